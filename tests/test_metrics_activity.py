"""Facts about activity: periods and hours with their quiet ones, what moved, sessions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from frames import day, event, events, instant, window

from data_access.metrics.activity import activity, hourly, movers, sessions_by_period
from data_access.metrics.common import MetricError
from data_access.window import Window

THREE_DAYS = window("2026-01-01", "2026-01-04")


def test_a_day_counts_events_by_weight_and_people_and_sessions_once():
    given = events(
        event("2026-01-01T09:00", "ada", session_id="s1", weight=3.0),
        event("2026-01-01T10:00", "ada", "anything", session_id="s1", result="timeout", weight=2.0),
        event("2026-01-01T11:00", "bob", session_id=""),
        event("2026-01-03T11:00", "bob", session_id="s1"),
    )

    assert activity(given, THREE_DAYS).collect().rows() == [
        (day("2026-01-01"), 6.0, 3.0, 2.0, 2.0, pytest.approx(1 / 3), True),
        (day("2026-01-02"), 0.0, 0.0, 0.0, 0.0, None, True),
        (day("2026-01-03"), 1.0, 1.0, 1.0, 0.0, 0.0, True),
    ]


def test_only_the_events_asked_for_are_counted():
    given = events(
        event("2026-01-01", name="a"), event("2026-01-01", name="b"), event("2026-01-02")
    )

    assert activity(given, THREE_DAYS, event="a").collect()["events"].to_list() == [1.0, 0.0, 0.0]
    assert hourly(given, THREE_DAYS, event="a").collect()["events"].sum() == 1.0
    either = activity(given, THREE_DAYS, event=("a", "b")).collect()
    assert either["events"].to_list() == [2.0, 0.0, 0.0]


def test_every_value_of_by_has_every_period_null_included():
    given = events(
        event("2026-01-01", channel="web"),
        event("2026-01-03", channel=None),
    )

    result = activity(given, THREE_DAYS, by=["channel"]).collect()

    assert result.select("period", "channel", "events").rows() == [
        (day(f"2026-01-0{number}"), channel, float((number, channel) in {(1, "web"), (3, None)}))
        for number in (1, 2, 3)
        for channel in (None, "web")
    ]
    with pytest.raises(MetricError, match="no column 'city'"):
        activity(given, THREE_DAYS, by=["city"])


def test_a_column_the_counts_need_is_no_group():
    with pytest.raises(MetricError, match="the counts use that name"):
        activity(events(), THREE_DAYS, by=("weight",))


def test_a_group_named_twice_is_one_group():
    given = events(event("2026-01-01", "ada"))

    once = activity(given, THREE_DAYS, by=["channel"]).collect()
    assert activity(given, THREE_DAYS, by=["channel", "channel"]).collect().equals(once)


def test_an_open_week_says_so_and_counts_the_days_before_the_window():
    given = events(event("2025-12-29"), event("2026-01-03"))

    assert activity(given, THREE_DAYS, every="1w").collect().rows() == [
        (day("2025-12-29"), 2.0, 1.0, 0.0, 0.0, 0.0, False)
    ]


def test_the_last_hours_have_a_row_each_from_the_hour_they_begin_in():
    over = Window.last_hours(3, instant("2026-01-02T01:30"))
    given = events(
        event("2026-01-01T22:29", "too early"),
        event("2026-01-01T22:30", "ada"),
        event("2026-01-02T01:29", "ada", result="failure", weight=2.0),
        event("2026-01-02T01:29", "bob"),
        event("2026-01-02T01:30", "too late"),
    )

    assert hourly(given, over).collect().rows() == [
        (instant("2026-01-01T22:00"), 1.0, 0.0, 1.0),
        (instant("2026-01-01T23:00"), 0.0, 0.0, 0.0),
        (instant("2026-01-02T00:00"), 0.0, 0.0, 0.0),
        (instant("2026-01-02T01:00"), 3.0, 2.0, 3.0),
    ]


def test_a_day_with_a_clock_change_has_23_hours():
    spring = window("2026-03-29", "2026-03-30", timezone="Europe/Berlin")

    hours = hourly(events(), spring).collect()["hour"].to_list()

    assert len(hours) == 23
    assert hours[-1] - hours[0] == timedelta(hours=22)


def test_movers_compare_with_the_window_of_equal_length_before():
    given = events(
        *(event("2025-12-30", name="grows") for _ in range(4)),
        *(event("2026-01-02", f"u{number % 3}", name="grows") for number in range(12)),
        event("2025-12-29", name="stops"),
        event("2026-01-02", name="starts", weight=4.0),
        event("2025-12-28", name="too old"),
    )

    assert movers(given, THREE_DAYS).collect().rows() == [
        ("grows", 12.0, 4.0, 3.0, 1.0, 2.0, 2.0),
        ("starts", 4.0, 0.0, 4.0, 0.0, None, 1.0),
        ("stops", 0.0, 1.0, 0.0, 1.0, -1.0, -1.0),
    ]


def test_a_session_counts_in_every_period_it_touches():
    given = events(
        event("2026-01-01T23:59", session_id="night", weight=2.0),
        event("2026-01-01T23:58", session_id="night"),
        event("2026-01-02T00:01", session_id="night"),
        event("2026-01-02T09:00", session_id="day"),
        event("2026-01-02T09:00", "bob", session_id=""),
    )

    assert sessions_by_period(given, THREE_DAYS).collect().rows() == [
        (day("2026-01-01"), 1.0, 1.0, 3.0, 3.0, True),
        (day("2026-01-02"), 2.0, 1.0, 2.0, 1.0, True),
        (day("2026-01-03"), 0.0, 0.0, 0.0, None, True),
    ]
