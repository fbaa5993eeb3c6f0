"""A window is a half-open range of days, in one timezone, and knows its calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_access import Window, WindowError

DAYS = st.dates(date(1990, 1, 1), date(2090, 1, 1))


def at(*instants: str) -> pl.LazyFrame:
    times = [datetime.fromisoformat(one) for one in instants]
    return pl.LazyFrame({"timestamp": times}, schema={"timestamp": pl.Datetime("ms", "UTC")})


def kept(window: Window, *instants: str) -> int:
    return at(*instants).filter(window.contains()).collect().height


@pytest.mark.parametrize(
    ("instant", "inside"),
    [
        pytest.param("2026-03-01T00:00:00.000Z", 1, id="first instant"),
        pytest.param("2026-02-28T23:59:59.999Z", 0, id="just before"),
        pytest.param("2026-03-02T23:59:59.999Z", 1, id="last instant"),
        pytest.param("2026-03-03T00:00:00.000Z", 0, id="the end itself"),
    ],
)
def test_the_start_is_inside_and_the_end_is_not(instant, inside):
    assert kept(Window(date(2026, 3, 1), date(2026, 3, 3)), instant) == inside


def test_days_begin_at_midnight_in_the_windows_timezone():
    window = Window(date(2026, 3, 29), date(2026, 3, 30), timezone="Europe/Berlin")

    assert window.closes_at - window.opens_at == timedelta(hours=23)  # clocks go forward
    assert kept(window, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z") == 1


def test_the_last_28_days_are_28_days_and_end_with_today():
    window = Window.last(28, today=date(2026, 3, 10))

    assert (window.days, window.end) == (28, date(2026, 3, 11))


def test_the_previous_window_is_as_long_and_touches_this_one():
    window = Window.last(28, today=date(2026, 3, 10))

    assert window.previous().end == window.start
    assert window.previous().days == 28


def test_the_last_24_hours_are_24_hours_across_midnight():
    window = Window.last_hours(24, datetime(2026, 3, 10, 9, 30, tzinfo=UTC))

    assert (window.start, window.end) == (date(2026, 3, 9), date(2026, 3, 11))
    assert kept(window, "2026-03-09T09:29:59Z", "2026-03-09T09:30:00Z", "2026-03-10T09:30:00Z") == 1
    assert window.previous().closes_at == window.opens_at
    assert window.calendar().collect()["complete"].to_list() == [True, False]


@pytest.mark.parametrize(
    ("every", "week_starts_on", "expected"),
    [
        ("1d", "monday", ["2026-02-28", "2026-03-01", "2026-03-02"]),
        ("1w", "monday", ["2026-02-23", "2026-03-02"]),
        ("1w", "sunday", ["2026-02-22", "2026-03-01"]),
        ("1mo", "monday", ["2026-02-01", "2026-03-01"]),
    ],
)
def test_the_calendar_has_every_period_the_window_touches(every, week_starts_on, expected):
    window = Window(date(2026, 2, 28), date(2026, 3, 3), week_starts_on=week_starts_on)

    assert window.calendar(every).collect()["period"].cast(pl.String).to_list() == expected


def test_a_period_is_complete_when_it_ended_inside_the_window():
    calendar = Window(date(2026, 2, 1), date(2026, 3, 2)).calendar("1mo").collect()

    assert calendar["complete"].to_list() == [True, False]


def test_a_window_widens_to_whole_periods():
    window = Window(date(2026, 2, 28), date(2026, 3, 3)).widened("1w")

    assert (window.start, window.end) == (date(2026, 2, 23), date(2026, 3, 9))


@given(
    DAYS,
    st.integers(1, 400),
    st.sampled_from(["1d", "1w", "1mo"]),
    st.sampled_from(["monday", "sunday"]),
)
def test_the_expression_and_the_calendar_agree_on_every_day(start, days, every, week_starts_on):
    window = Window(start, start + timedelta(days=days), week_starts_on=week_starts_on)
    every_day = [start + timedelta(days=number) for number in range(days)]
    by_expression = (
        pl.DataFrame({"day": every_day})
        .select(window.period_of_day(pl.col("day"), every=every))["day"]
        .unique()
        .sort()
        .to_list()
    )

    assert by_expression == window.periods(every)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((date(2026, 3, 1), date(2026, 3, 1)), "no day"),
        ((date(2026, 3, 2), date(2026, 3, 1)), "no day"),
        ((date(1900, 1, 1), date(2026, 3, 1)), "longer than"),
        ((date(2026, 3, 1), date(2026, 3, 2), "Mars/Base"), "timezone"),
        ((date(2026, 3, 1), date(2026, 3, 2), "../../etc/passwd"), "timezone"),
        ((date(2026, 3, 1), date(2026, 3, 2), "localtime"), "timezone"),
        ((date(2026, 3, 1), date(2026, 3, 2), "right/UTC"), "timezone"),
        ((date(2026, 3, 1), date(2026, 3, 2), "UTC", "friday"), "Weeks start"),
    ],
)
def test_a_window_that_makes_no_sense_says_what_to_change(arguments, message):
    with pytest.raises(WindowError, match=message):
        Window(*arguments)


def test_an_unknown_period_names_the_known_ones():
    with pytest.raises(WindowError, match="1d, 1w, 1mo"):
        Window(date(2026, 3, 1), date(2026, 3, 2)).calendar("1q")
