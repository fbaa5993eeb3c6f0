"""Facts about retention: cohorts, cells, options, and the people behind a cell."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from frames import day, event, events, instant, window
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data_access.metrics.common import MetricError
from data_access.metrics.retention import (
    PERIODS_MAX,
    retention,
    retention_mean,
    retention_users,
)
from data_access.window import Window
from tests.examples import examples

DAYS = window("2026-01-01", "2026-01-04")


def matrix(frame: pl.LazyFrame, over: Window = DAYS, **options: object) -> list[list[float]]:
    found = retention(frame, over, **({"every": "1d"} | options)).collect()
    return [rows["users"].to_list() for _, rows in found.group_by("cohort", maintain_order=True)]


def test_a_cohort_is_followed_to_the_windows_last_period():
    given = events(
        event("2026-01-01", "ada"),
        event("2026-01-03", "ada"),
        event("2026-01-01", "bob"),
        event("2026-01-02", "cyd"),
    )

    result = retention(given, DAYS, every="1d").collect()

    first, second, third = day("2026-01-01"), day("2026-01-02"), day("2026-01-03")
    expected = pl.DataFrame(
        {
            "cohort": [first, first, first, second, second, third],
            "period": [0, 1, 2, 0, 1, 0],
            "users": [2.0, 0.0, 1.0, 1.0, 0.0, 0.0],
            "cohort_users": [2.0, 2.0, 2.0, 1.0, 1.0, 0.0],
            "rate": [1.0, 0.0, 0.5, 1.0, 0.0, None],
            "complete": [True] * 6,
        }
    )
    assert_frame_equal(result, expected)


def test_an_empty_table_has_every_cohort_with_nobody():
    found = retention(events(), DAYS, every="1d").collect()

    assert found["users"].to_list() == [0.0] * 6
    assert found["rate"].to_list() == [None] * 6


def test_who_started_before_the_window_is_in_no_first_cohort():
    given = events(event("2025-06-01"), event("2026-01-01"), event("2026-01-02"))

    assert matrix(given) == [[0, 0, 0], [0, 0], [0]]
    assert matrix(given, cohort="recurring") == [[1, 1, 0], [1, 0], [0]]


def test_the_first_start_event_decides_not_the_first_event():
    given = events(
        event("2025-12-01", name="visit"),
        event("2026-01-02", name="sign_up"),
        event("2026-01-03", name="visit"),
    )

    assert matrix(given, start="sign_up", back="visit") == [[0, 0, 0], [1, 1], [0]]
    is_sign_up = pl.col("event_name").str.starts_with("sign")
    assert matrix(given, start=is_sign_up, back="visit") == [[0, 0, 0], [1, 1], [0]]


def test_cell_zero_needs_no_return_event():
    given = events(event("2026-01-01", name="sign_up"))

    assert matrix(given, start="sign_up", back="visit", min_returns=3)[0] == [1, 0, 0]


def test_unbounded_counts_a_return_in_every_cell_up_to_it():
    given = events(event("2026-01-01"), event("2026-01-03"), event("2026-01-02", "bob"))

    assert matrix(given, unbounded=True) == [[1, 1, 1], [1, 0], [0]]


def test_a_minimum_of_returns_adds_up_weights():
    given = events(
        event("2026-01-01", "ada"),
        event("2026-01-02", "ada", weight=2.0),
        event("2026-01-03", "ada"),
    )

    assert matrix(given, min_returns=2) == [[1, 1, 0], [0, 0], [0]]


def test_a_user_never_weighs_more_in_a_cell_than_in_the_cohort():
    given = events(
        event("2026-01-01", weight=2.0),
        event("2026-01-01", weight=5.0),
        event("2026-01-02", weight=9.0),
        event("2026-01-03", weight=1.0),
    )

    assert matrix(given)[0] == [2, 2, 1]
    assert matrix(given, unbounded=True)[0] == [2, 1, 1]


def test_brackets_join_periods_and_are_open_past_the_window():
    given = events(event("2026-01-01"), event("2026-01-03"), event("2026-01-06"))
    over = window("2026-01-01", "2026-01-07")

    found = retention(given, over, every="1d", brackets=(3, 3)).collect()

    assert found.filter(cohort=day("2026-01-01")).select("period", "users", "complete").rows() == [
        (0, 1.0, True),
        (1, 1.0, True),
        (2, 1.0, False),
    ]
    assert found.filter(cohort=day("2026-01-06"))["period"].to_list() == [0]


def test_a_week_that_is_not_over_makes_its_cells_incomplete():
    found = retention(events(), window("2026-01-05", "2026-01-14")).collect()

    assert found.select("cohort", "period", "complete").rows() == [
        (day("2026-01-05"), 0, True),
        (day("2026-01-05"), 1, False),
        (day("2026-01-12"), 0, False),
    ]


def test_months_count_across_the_new_year():
    given = events(event("2025-11-30"), event("2026-02-01"))

    assert matrix(given, window("2025-11-01", "2026-03-01"), every="1mo")[0] == [1, 0, 0, 1]


def test_days_begin_in_the_windows_timezone_and_its_end_is_outside():
    given = events(event("2026-01-01T23:30:00Z"), event("2026-01-03T23:00:00Z"))
    berlin = window("2026-01-01", "2026-01-04", timezone="Europe/Berlin")

    assert matrix(given) == [[1, 0, 1], [0, 0], [0]]
    assert matrix(given, berlin) == [[0, 0, 0], [1, 0], [0]]


def test_the_people_of_a_cell_add_up_to_it():
    given = events(event("2026-01-01", "ada", weight=2.0), event("2026-01-03", "ada", weight=2.0))

    assert retention_users(given, DAYS, every="1d").collect().rows() == [
        (day("2026-01-01"), 0, "ada", 2.0),
        (day("2026-01-01"), 2, "ada", 2.0),
    ]


def test_one_cell_lists_its_people_alone():
    given = events(event("2026-01-01", "ada"), event("2026-01-03", "ada"), event("2026-01-01"))

    one = retention_users(given, DAYS, every="1d", cell=("2026-01-01", 2)).collect()

    assert one.rows() == [(day("2026-01-01"), 2, "ada", 1.0)]
    with pytest.raises(MetricError, match="'soon' is no day"):
        retention_users(given, DAYS, cell=("soon", 2))


# --- the mean over cohorts ---------------------------------------------------------------------


def test_the_mean_weighs_cohorts_by_their_size_and_says_how_many_there_are():
    """Three came on the 1st and one came back; one came on the 2nd, and did; nobody on the 3rd."""
    given = events(
        *(event("2026-01-01", user) for user in ("ada", "bob", "cyd")),
        *(event("2026-01-02", user) for user in ("ada", "dan")),
        event("2026-01-03", "dan"),
    )

    result = retention_mean(given, DAYS, every="1d").collect()

    expected = pl.DataFrame(
        {
            "period": [0, 1, 2],
            "cohorts": [3, 2, 1],
            "users": [4.0, 2.0, 0.0],
            "cohort_users": [4.0, 4.0, 3.0],
            "rate": [1.0, 0.5, 0.0],
            "rate_mean": [1.0, (1 / 3 + 1) / 2, 0.0],
        }
    )
    assert_frame_equal(result, expected)


def test_an_empty_cohort_counts_as_a_cohort_and_weighs_nothing():
    given = events(event("2026-01-01"), event("2026-01-02"))

    result = retention_mean(given, DAYS, every="1d").collect()

    assert result["cohorts"].to_list() == [3, 2, 1]
    assert result["rate"].to_list() == result["rate_mean"].to_list() == [1.0, 1.0, 0.0]


def test_a_cell_that_is_not_over_is_no_drop_in_the_mean():
    """Week 1 of the second cohort has three days left: whoever is still to come is not missing."""
    over = window("2026-01-05", "2026-01-23")
    given = events(
        *(event("2026-01-05", user) for user in "ab"),
        *(event("2026-01-12", user) for user in "abcd"),
    )

    result = retention_mean(given, over).collect()

    assert result.rows() == [
        (0, 2, 4.0, 4.0, 1.0, 1.0),
        (1, 1, 2.0, 2.0, 1.0, 1.0),
        (2, 0, 0.0, 0.0, None, None),
    ]


def test_a_mean_over_nothing_has_its_rows_and_no_share():
    result = retention_mean(events(), DAYS, every="1d").collect()

    assert result.select("cohorts", "users", "rate", "rate_mean").rows() == [
        (3, 0.0, None, None),
        (2, 0.0, None, None),
        (1, 0.0, None, None),
    ]


# --- on a clock of one's own -------------------------------------------------------------------


def test_a_rolling_day_is_24_hours_from_the_users_own_start():
    """Both came the next calendar day; only bob a whole day later."""
    given = events(
        event("2026-01-01T18:00", "ada"),
        event("2026-01-02T09:00", "ada"),
        event("2026-01-01T08:00", "bob"),
        event("2026-01-02T09:00", "bob"),
    )

    assert matrix(given)[0] == [2, 2, 0]
    assert matrix(given, clock="rolling")[0] == [2, 1, 0]


def test_a_rolling_clock_is_floored_to_the_hour_unless_told_otherwise():
    given = events(event("2026-01-01T17:59"), event("2026-01-02T17:00"))

    assert matrix(given, clock="rolling")[0] == [1, 1, 0]
    assert matrix(given, clock="rolling", to_the_hour=False)[0] == [1, 0, 0]


def test_half_an_hour_from_utc_an_hour_begins_at_half_past():
    given = events(event("2026-01-01T17:59"), event("2026-01-02T17:20"))
    delhi = window("2026-01-01", "2026-01-04", timezone="Asia/Kolkata")

    assert matrix(given, clock="rolling")[0] == [1, 1, 0]
    assert matrix(given, delhi, clock="rolling")[0] == [1, 0, 0]


def test_a_rolling_cell_is_complete_when_it_is_over_for_the_last_who_came():
    found = retention(events(), DAYS, every="1d", clock="rolling").collect()

    assert found.select("cohort", "period", "complete").rows() == [
        (day("2026-01-01"), 0, True),
        (day("2026-01-01"), 1, True),
        (day("2026-01-01"), 2, False),
        (day("2026-01-02"), 0, True),
        (day("2026-01-02"), 1, False),
        (day("2026-01-03"), 0, False),
    ]


def test_a_rolling_month_is_30_days_and_recurring_cohorts_have_a_clock_each():
    given = events(event("2026-01-31"), event("2026-02-10"), event("2026-03-05"))
    over = window("2026-01-01", "2026-04-01")
    options = {"every": "1mo", "clock": "rolling", "cohort": "recurring"}

    assert matrix(given, over, **options) == [[1, 1, 0], [1, 0], [1, 0]]
    assert matrix(given, over, **(options | {"cohort": "first"})) == [[1, 1, 0], [0, 0], [0, 0]]


def test_a_return_before_the_start_event_is_none():
    given = events(
        event("2026-01-01T08:00", name="visit"),
        event("2026-01-01T12:00", name="sign_up"),
        event("2026-01-02T10:00", name="visit"),
        event("2026-01-02T13:00", name="visit"),
    )

    asked = {"start": "sign_up", "back": "visit", "clock": "rolling"}
    assert matrix(given, **asked)[0] == [1, 1, 0]
    assert matrix(given, **asked, min_returns=2)[0] == [1, 0, 0]
    people = retention_users(given, DAYS, every="1d", **asked).collect()
    assert people["period"].to_list() == [0, 1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"clock": "sun"}, "Use one of 'calendar', 'rolling'", id="clock"),
        pytest.param({"cohort": "weekly"}, "Use one of 'first', 'recurring'", id="cohort"),
        pytest.param({"min_returns": 0}, "Use 1 or more", id="min_returns"),
        pytest.param({"brackets": (2, 0)}, "whole numbers of periods", id="brackets"),
        pytest.param({"start": ()}, "Name at least one", id="start"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], says: str):
    with pytest.raises(MetricError, match=says):
        retention(events(), DAYS, **options)


def test_a_window_of_too_many_periods_is_refused():
    too_long = Window(day("2020-01-01"), day("2020-01-01") + timedelta(days=PERIODS_MAX + 1))

    with pytest.raises(MetricError, match="Choose longer periods"):
        retention(events(), too_long, every="1d")


activity = st.lists(
    st.tuples(
        st.integers(-10, 30),
        st.sampled_from("abc"),
        st.sampled_from(["start", "back"]),
        st.sampled_from([1.0, 1.0, 2.0]),
    ),
    max_size=30,
)


@settings(max_examples=examples(60), deadline=None)
@given(
    rows=activity,
    every=st.sampled_from(["1d", "1w"]),
    kind=st.tuples(st.sampled_from(["first", "recurring"]), st.booleans()),
    least=st.sampled_from([1, 2]),
    names=st.sampled_from([("start", "back"), (None, None), ("back", None)]),
)
def test_cells_are_those_counted_by_hand(rows, every, kind, least, names):
    cohort, unbounded = kind
    over = window("2026-01-01", "2026-01-20")
    base = instant("2026-01-01T12:00")
    frame = events(*(event(base + timedelta(days=d), u, n, weight=w) for d, u, n, w in rows))
    periods = over.periods(every)
    placed = [
        (over.period_start((base + timedelta(days=d)).date(), every=every), u, n, w)
        for d, u, n, w in rows
    ]

    def weights(user: str, period: object, name: str | None) -> list[float]:
        return [w for p, u, n, w in placed if (p, u) == (period, user) and name in (None, n)]

    expected = []
    for i, born in enumerate(periods):
        row = []
        for n in range(len(periods) - i):
            total = 0.0
            for user in "abc":
                started = weights(user, born, names[0])
                earlier = any(
                    u == user and p < born and names[0] in (None, name) for p, u, name, _ in placed
                )
                if not started or (cohort == "first" and earlier):
                    continue
                if n == 0:
                    total += min(started)
                    continue
                spans = periods[i + n :] if unbounded else [periods[i + n]]
                seen = [weights(user, period, names[1]) for period in spans]
                seen = [returned for returned in seen if sum(returned) >= least]
                if seen:
                    total += min(*started, *(min(returned) for returned in seen))
            row.append(total)
        expected.append(row)

    options = {"every": every, "cohort": cohort, "unbounded": unbounded, "min_returns": least}
    options |= {"start": names[0], "back": names[1]}
    assert matrix(frame, over, **options) == expected
    people = retention_users(frame, over, **options).collect()
    assert people["weight"].sum() == sum(map(sum, expected))
