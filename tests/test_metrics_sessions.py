"""Facts about sessions by gap."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from frames import event, events, instant, window
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data_access.metrics.common import MetricError
from data_access.metrics.sessions import sessions

DAYS = window("2026-01-01", "2026-01-04")


def lengths(frame: pl.LazyFrame, **options: object) -> list[float]:
    return sessions(frame, DAYS, **options).collect()["events"].to_list()


def test_a_gap_longer_than_thirty_minutes_starts_a_new_session():
    given = events(
        event("2026-01-01T09:00:00Z", "ada"),
        event("2026-01-01T09:30:00Z", "ada"),
        event("2026-01-01T10:00:00.001Z", "ada"),
        event("2026-01-01T09:10:00Z", "bob"),
    )

    result = sessions(given, DAYS).collect()

    expected = pl.DataFrame(
        {
            "user_id_hash": ["ada", "ada", "bob"],
            "started_at": [
                instant("2026-01-01T09:00:00Z"),
                instant("2026-01-01T10:00:00.001Z"),
                instant("2026-01-01T09:10:00Z"),
            ],
            "ended_at": [
                instant("2026-01-01T09:30:00Z"),
                instant("2026-01-01T10:00:00.001Z"),
                instant("2026-01-01T09:10:00Z"),
            ],
            "duration_s": [1800.0, 0.0, 0.0],
            "events": [2.0, 1.0, 1.0],
            "weight": [1.0, 1.0, 1.0],
        },
        schema_overrides=dict.fromkeys(("started_at", "ended_at"), pl.Datetime("ms", "UTC")),
    )
    assert_frame_equal(result, expected)


def test_the_order_of_arrival_does_not_matter():
    given = events(event("2026-01-01T09:40"), event("2026-01-01T09:00"), event("2026-01-01T09:20"))

    assert lengths(given) == [3.0]


def test_events_outside_the_window_are_cut_off():
    given = events(
        event("2025-12-31T23:59:59Z"),
        event("2026-01-01T00:00:00Z"),
        event("2026-01-03T23:59:59Z"),
        event("2026-01-04T00:00:00Z"),
    )

    assert lengths(given) == [1.0, 1.0]


def test_events_and_the_session_weigh_differently():
    given = events(event("2026-01-01T09:00", weight=2.0), event("2026-01-01T09:01", weight=5.0))

    assert sessions(given, DAYS).collect().select("events", "weight").rows() == [(7.0, 2.0)]


def test_an_empty_table_has_no_sessions():
    assert lengths(events()) == []


def test_without_a_gap_a_user_has_one_session():
    assert lengths(events(event("2026-01-01"), event("2026-01-03")), gap=None) == [2.0]


def test_midnight_splits_in_the_windows_timezone_when_asked():
    given = events(event("2026-01-01T22:55:00Z"), event("2026-01-01T23:05:00Z"))
    berlin = window("2026-01-01", "2026-01-04", timezone="Europe/Berlin")

    assert lengths(given, split_at_midnight=True) == [2.0]
    assert sessions(given, berlin, split_at_midnight=True).collect().height == 2


def test_an_event_may_start_a_session_and_ties_keep_row_order():
    given = events(
        event("2026-01-01T09:00", name="sep"),
        event("2026-01-01T09:00", name="a"),
        event("2026-01-01T09:00", name="sep"),
        event("2026-01-01T09:00", name="b"),
    )

    assert lengths(given, starts_with="sep") == [2.0, 2.0]


def test_two_columns_are_enough():
    given = events(event("2026-01-01")).select("user_id_hash", "timestamp")

    assert lengths(given) == [1.0]


def test_a_gap_that_is_no_duration_is_refused():
    with pytest.raises(MetricError, match="is not a duration"):
        sessions(events(), DAYS, gap="half an hour")


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from("ab"), st.sampled_from([1.0, 3.0])),
        max_size=25,
    )
)
def test_sessions_are_those_found_by_hand(rows):
    start = instant("2026-01-01")
    frame = events(*(event(start + timedelta(minutes=m), u, weight=w) for m, u, w in rows))
    expected = []
    for user in "ab":
        run: list[tuple[int, float]] = []
        for minute, weight in [*sorted((m, w) for m, u, w in rows if u == user), (10**6, 0.0)]:
            if run and minute - run[-1][0] > 30:
                seconds = 60.0 * (run[-1][0] - run[0][0])
                expected.append((user, seconds, sum(w for _, w in run), min(w for _, w in run)))
                run = []
            run.append((minute, weight))

    found = sessions(frame, DAYS).collect()

    assert found.select("user_id_hash", "duration_s", "events", "weight").rows() == expected
