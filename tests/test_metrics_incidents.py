"""Incidents: hours far worse than usual, joined; never a bad day of a few failures."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from frames import event, events, instant, window

from data_access.metrics import incidents

OVER = window("2026-01-08", "2026-01-09")


def hours(*bad: int, failures: int = 20, each: int = 30, start: str = "2026-01-08") -> list[Any]:
    """Return a day of `each` events an hour, of which one fails; in bad hours `failures` do."""
    return [
        event(
            instant(start) + timedelta(hours=hour, minutes=number),
            f"u{number % 7}",
            result="error" if number < (failures if hour in bad else 1) else "success",
        )
        for hour in range(24)
        for number in range(each)
    ]


def found(rows: list[Any]) -> list[dict[str, Any]]:
    return incidents(events(*rows), OVER).collect().to_dicts()


def test_one_bad_hour_is_an_incident_with_what_happened_in_it():
    [only] = found(hours(9))

    assert only["started_at"] == instant("2026-01-08T09:00")
    assert only["ended_at"] == instant("2026-01-08T10:00")
    assert (only["events"], only["failures"], only["users"]) == (30, 20, 7)
    assert only["error_rate"] == pytest.approx(20 / 30)
    assert only["usual_rate"] == pytest.approx(1 / 30)  # the bad hour left out


def test_bad_hours_one_hour_apart_are_one_incident_and_two_hours_apart_are_two():
    one, two = found(hours(3, 4, 6, 9))

    assert (one["started_at"].hour, one["ended_at"].hour, one["events"]) == (3, 7, 120)
    assert (two["started_at"].hour, two["ended_at"].hour) == (9, 10)


def test_few_failures_are_no_incident_however_unusual():
    assert found(hours(9, failures=9)) == []
    assert len(found(hours(9, failures=10))) == 1


def test_three_times_the_usual_rate_is_needed():
    rows = [
        event(
            instant("2026-01-08") + timedelta(hours=hour, seconds=number),
            result="error" if number < (260 if hour == 9 else 100) else "success",
        )
        for hour in range(24)
        for number in range(1_000)
    ]

    assert found(rows) == []


def test_what_is_usual_is_known_from_the_weeks_before_and_what_was_bad_then_is_not_shown():
    before = hours(2, start="2026-01-05")
    quiet_start = [event("2026-01-08T00:10", f"u{n}", result="error") for n in range(12)]

    [only] = found([*before, *quiet_start])

    assert only["started_at"] == instant("2026-01-08")
    assert only["usual_rate"] == pytest.approx(1 / 30)


def test_an_incident_that_reaches_into_the_window_is_shown_whole():
    rows = [*hours(22, 23, start="2026-01-07"), *hours(0)]

    [only] = found(rows)

    assert only["started_at"] == instant("2026-01-07T22:00")
    assert only["ended_at"] == instant("2026-01-08T01:00")


def test_no_events_and_no_failures_are_no_incident():
    assert found([]) == []
    assert found([event("2026-01-08", f"u{n}") for n in range(50)]) == []
    assert found([event("2026-01-08", f"u{n}", result="error") for n in range(50)]) == []


def test_sampled_events_count_as_many_as_they_stand_for():
    rows = [row | {"weight": 10.0} for row in hours(9, failures=12)]

    [only] = found(rows)

    assert (only["events"], only["failures"], only["users"]) == (300, 120, 70)


def test_in_a_sample_more_is_chance():
    rows = hours(9, failures=5)

    assert found(rows) == []
    assert found([row | {"weight": 10.0} for row in rows]) == []
