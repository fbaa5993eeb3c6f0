"""Facts about active users: periods, rolling windows, weights, timezones."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from frames import day, event, events, instant, window
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data_access.metrics.active_users import active_users, active_users_hourly
from data_access.metrics.common import MetricError
from data_access.metrics.registry import METRICS
from data_access.window import Window, WindowError
from tests.examples import examples

THREE_DAYS = window("2026-01-01", "2026-01-04")


def users(frame: pl.LazyFrame, over: Window, **options: object) -> list[float]:
    return active_users(frame, over, **options).collect()["users"].to_list()


def test_a_user_counts_once_a_day_and_quiet_days_show_zero():
    given = events(
        event("2026-01-01T09:00", "ada"),
        event("2026-01-01T10:00", "ada"),
        event("2026-01-01T11:00", "bob"),
        event("2026-01-03T11:00", "bob"),
    )

    result = active_users(given, THREE_DAYS).collect()

    expected = pl.DataFrame(
        {
            "period": [day("2026-01-01"), day("2026-01-02"), day("2026-01-03")],
            "users": [2.0, 0.0, 1.0],
            "complete": [True, True, True],
        }
    )
    assert_frame_equal(result, expected)


def test_an_empty_table_gives_every_day_with_nobody():
    for days in (None, 7):
        assert users(events(), THREE_DAYS, days=days) == [0.0, 0.0, 0.0]


def test_only_active_events_make_active_unless_none_is_asked():
    given = events(event("2026-01-01", name="context_loaded"))

    assert users(given, THREE_DAYS) == [0.0, 0.0, 0.0]
    assert users(given, THREE_DAYS, active_events=None) == [1.0, 0.0, 0.0]
    assert users(given, THREE_DAYS, active_events=["context_loaded"]) == [1.0, 0.0, 0.0]
    by_predicate = [pl.col("channel") == "server", "web_view_opened"]
    assert users(given, THREE_DAYS, active_events=by_predicate) == [1.0, 0.0, 0.0]


def test_the_end_of_the_window_is_outside_and_its_start_inside():
    given = events(
        event("2026-01-01T00:00:00Z", "first"),
        event("2026-01-03T23:59:59.999Z", "last"),
        event("2026-01-04T00:00:00Z", "late"),
        event("2025-12-31T23:59:59.999Z", "early"),
    )

    assert users(given, THREE_DAYS) == [1.0, 0.0, 1.0]


def test_days_begin_at_midnight_in_the_windows_timezone():
    given = events(event("2026-01-01T23:30:00Z"))
    berlin = window("2026-01-01", "2026-01-04", timezone="Europe/Berlin")

    assert users(given, THREE_DAYS) == [1.0, 0.0, 0.0]
    assert users(given, berlin) == [0.0, 1.0, 0.0]
    assert users(given, berlin, days=2) == [0.0, 1.0, 1.0]


def test_weeks_widen_the_window_and_say_when_they_are_not_over():
    given = events(event("2025-12-29T12:00"), event("2026-01-07T12:00", "bob"))

    result = active_users(given, window("2026-01-01", "2026-01-07"), every="1w").collect()

    assert result.rows() == [
        (day("2025-12-29"), 1.0, True),
        (day("2026-01-05"), 1.0, False),
    ]


def test_weeks_may_start_on_sunday():
    given = events(event("2026-01-04T12:00"))  # a Sunday

    monday = active_users(given, window("2026-01-01", "2026-01-08"), every="1w").collect()
    sunday = active_users(
        given, window("2026-01-01", "2026-01-08", week="sunday"), every="1w"
    ).collect()

    assert monday["users"].to_list() == [1.0, 0.0]
    assert sunday["users"].to_list() == [0.0, 1.0]


def test_months_are_calendar_months():
    given = events(event("2026-01-31T23:00"), event("2026-02-01"), event("2026-02-28", "bob"))

    assert users(given, window("2026-01-15", "2026-03-01"), every="1mo") == [1.0, 2.0]


def test_wau_looks_back_six_days_before_the_window():
    given = events(event("2025-12-26", "seven"), event("2025-12-25", "eight"))

    assert users(given, THREE_DAYS, days=7) == [1.0, 0.0, 0.0]


def test_wau_by_week_is_the_number_on_the_weeks_last_day():
    given = events(event("2026-01-05"), event("2026-01-11", "bob"), event("2025-12-30", "cyd"))

    assert users(given, window("2026-01-01", "2026-01-12"), every="1w", days=7) == [1.0, 2.0]
    assert users(given, window("2026-01-01", "2026-01-12"), every="1w", days=30) == [1.0, 3.0]


def test_a_user_weighs_what_the_lightest_of_their_events_in_the_period_weighs():
    given = events(
        event("2026-01-01", weight=4.0),
        event("2026-01-01", weight=2.0),
        event("2026-01-02", weight=10.0),
        event("2026-01-02", name="other", weight=1.0),
    )

    assert users(given, THREE_DAYS) == [2.0, 10.0, 0.0]
    assert users(given, THREE_DAYS, days=2) == [2.0, 2.0, 10.0]


def test_a_frame_without_weights_or_ids_counts_people_once():
    given = events(event("2026-01-01"), event("2026-01-02", "bob")).select(
        "user_id_hash", "event_name", "timestamp"
    )

    assert users(given, THREE_DAYS) == [1.0, 1.0, 0.0]
    assert users(given, THREE_DAYS, days=7) == [1.0, 2.0, 2.0]


def test_events_of_nobody_are_no_users():
    given = events(event("2026-01-01", user_id_hash=None))

    assert users(given, THREE_DAYS) == [0.0, 0.0, 0.0]
    assert users(given, THREE_DAYS, days=7) == [0.0, 0.0, 0.0]


def test_thirds_of_a_person_leave_no_crumbs():
    given = events(*(event("2026-01-01", f"u{n}", weight=10 / 3) for n in range(9)))

    assert users(given, THREE_DAYS, days=1) == [pytest.approx(30.0, abs=1e-9), 0.0, 0.0]


@pytest.mark.parametrize("days", [0, -1, 367, True])
def test_senseless_days_are_refused(days: int):
    with pytest.raises(MetricError, match=r"out of range\. Use 7 for WAU"):
        active_users(events(), THREE_DAYS, days=days)


def test_an_unknown_period_is_refused():
    with pytest.raises(WindowError, match="A period is one of"):
        active_users(events(), THREE_DAYS, every="1h")


def test_it_is_listed_with_the_days_a_month_needs():
    assert METRICS["active_users"].lookback_days == 29


activity = st.lists(
    st.tuples(
        st.integers(0, 60 * 24),  # hours since 1 January
        st.sampled_from("abcd"),
        st.sampled_from([1.0, 1.0, 1.0, 2.0, 10 / 3]),
        st.sampled_from(["session_started", "web_view_opened", "other"]),
    ),
    max_size=40,
)


@settings(max_examples=examples(60), deadline=None)
@given(
    rows=activity, days=st.sampled_from([1, 2, 7, 30]), zone=st.sampled_from(["UTC", "Asia/Tokyo"])
)
def test_rolling_users_are_those_counted_by_hand(rows, days: int, zone: str):
    over = window("2026-01-20", "2026-02-20", timezone=zone)
    start = instant("2026-01-01")
    frame = events(*(event(start + timedelta(hours=at), u, n, weight=w) for at, u, w, n in rows))
    shift = timedelta(hours=9 if zone == "Asia/Tokyo" else 0)

    def by_hand(last: date) -> float:
        least: dict[str, float] = {}
        for at, user, weight, name in rows:
            when = (start + timedelta(hours=at) + shift).date()
            if name != "other" and last - timedelta(days=days) < when <= last:
                least[user] = min(weight, least.get(user, weight))
        return sum(least.values())

    found = active_users(frame, over, days=days).collect()

    assert found["period"].to_list() == over.periods()
    assert found["users"].to_list() == pytest.approx([by_hand(d) for d in over.periods()], abs=1e-9)


# --- by hour -----------------------------------------------------------------------------------


def hourly(frame: pl.LazyFrame, over: Window, **options: object) -> list[tuple[int, float, bool]]:
    found = active_users_hourly(frame, over, **options).collect()
    return [(hour.hour, users, over) for hour, users, over in found.iter_rows()]


def test_an_hour_counts_its_people_once_and_the_window_cuts_the_last_one():
    given = events(
        event("2026-01-01T09:10", "ada", weight=2.0),
        event("2026-01-01T09:50", "ada", weight=3.0),
        event("2026-01-01T10:00", "bob"),
    )
    over = Window.last_hours(2, instant("2026-01-01T10:30"))

    assert hourly(given, over) == [(8, 0.0, True), (9, 2.0, True), (10, 1.0, False)]


def test_rolling_hours_look_back_before_the_window_and_leave_after_whole_days():
    given = events(event("2026-01-01T09:30", "ada"), event("2026-01-02T09:00", "bob"))
    over = Window.last_hours(3, instant("2026-01-02T11:00"))

    assert hourly(given, over, days=1) == [(8, 1.0, True), (9, 1.0, True), (10, 1.0, True)]
    assert [users for _, users, _ in hourly(given, over, days=2)] == [1.0, 2.0, 2.0]
    with pytest.raises(MetricError, match="out of range"):
        active_users_hourly(given, over, days=0)
