"""More worked cases of the kind public test suites contain, in as few letters as they need.

The numbers are facts of public tests (PostHog's on retention, lifecycle, stickiness, funnels and
paths; statsmodels' and numpy's examples) or worked out by hand; hours and minutes stand for times.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from frames import event, events, instant, trace, traces

from data_access import Window, metrics

Visits = dict[str, str]
MAY = Window(date(2021, 5, 1), date(2021, 5, 15))


def journeys(people: Visits, unit: timedelta = timedelta(hours=1)) -> Any:
    """Return events from "name@time name ...": without a time, one unit after the one before."""
    rows = []
    for user, steps in people.items():
        at = 0.0
        for step in steps.split():
            name, _, given = step.partition("@")
            at = float(given) if given else at + 1
            rows.append(event(instant("2021-05-01") + at * unit, user, name))
    return events(*rows)


def days_of(people: dict[str, list[int]], start: str, name: str = "seen") -> list[dict[str, Any]]:
    """Return an event at noon of each of the days after the start."""
    noon = instant(start) + timedelta(hours=12)
    return [
        event(noon + timedelta(days=day), user, name)
        for user, days in people.items()
        for day in days
    ]


# --- retention -------------------------------------------------------------------------------

TWO = {"one": [0, 1, 2, 5, 5, 6], "two": [1, 2, 3, 6]}


def triangle(rows: list[dict[str, Any]], window: Window, **options: Any) -> list[list[float]]:
    found = metrics.retention(events(*rows), window, **options).collect()
    cohorts = found["cohort"].unique(maintain_order=True)
    return [found.filter(cohort=cohort)["users"].to_list() for cohort in cohorts]


def week(days: int, start: str = "2020-06-10", **place: str) -> Window:
    first = date.fromisoformat(start)
    return Window(first, first + timedelta(days=days), **place)


def test_a_cohort_for_every_day_somebody_is_there():
    assert triangle(days_of(TWO, "2020-06-10"), week(7), every="1d", cohort="recurring") == [
        [1, 1, 1, 0, 0, 1, 1],
        [2, 2, 1, 0, 1, 2],
        [2, 1, 0, 1, 2],
        [1, 0, 0, 1],
        [0, 0, 0],
        [1, 1],
        [2],
    ]


def test_what_starts_is_not_what_brings_back():
    rows = [
        *days_of({"one": [0, 1, 2, 3], "two": [0, 1, 2, 3], "three": [5]}, "2020-06-10", "start"),
        *days_of({"one": [5, 6], "two": [5]}, "2020-06-10", "back"),
    ]
    options = {"every": "1d", "start": "start", "back": "back"}

    assert triangle(rows, week(7), cohort="recurring", **options) == [
        [2, 0, 0, 0, 0, 2, 1],
        [2, 0, 0, 0, 2, 1],
        [2, 0, 0, 2, 1],
        [2, 0, 2, 1],
        [0, 0, 0],
        [1, 0],
        [0],
    ]
    first = triangle(rows, week(7), **options)
    assert first[0] == [2, 0, 0, 0, 0, 2, 1]
    assert first[1:5] == [[0] * 6, [0] * 5, [0] * 4, [0] * 3]
    assert triangle(rows, week(7), unbounded=True, **options)[0] == [2, 2, 2, 2, 2, 2, 1]


def test_weeks_that_start_on_sundays():
    people = {"one": [0, 1, 7, 14, 24, 31], "two": [0, 1, 7, 24, 31, 45]}
    window = week(44, "2020-06-07", week_starts_on="sunday")

    assert triangle(days_of(people, "2020-06-10"), window, cohort="recurring") == [
        [2, 2, 1, 2, 2, 0, 1],
        [2, 1, 2, 2, 0, 1],
        [1, 1, 1, 0, 0],
        [2, 2, 0, 1],
        [2, 0, 1],
        [0, 0],
        [1],
    ]


def test_two_returns_in_a_day_are_asked_for():
    found = triangle(
        days_of(TWO, "2020-06-10"), week(7), every="1d", cohort="recurring", min_returns=2
    )

    assert found[0] == [1, 0, 0, 0, 0, 1, 0]
    assert found[3] == [1, 0, 0, 0]


def test_months_are_calendar_months_of_any_length():
    rows = [event(at, "a") for at in ("2026-01-31T23:59", "2026-02-28", "2026-03-31")]

    assert triangle(rows, week(47, "2026-01-15"), every="1mo") == [[1, 1, 1], [0, 0], [0]]


def test_the_night_the_clock_goes_forward_is_a_night():
    rows = [event("2026-03-08T04:30"), event("2026-03-09T03:30")]  # 23:30 on the 7th and the 8th

    window = week(2, "2026-03-07", timezone="America/New_York")
    assert triangle(rows, window, every="1d") == [[1, 1], [0]]


# --- lifecycle -------------------------------------------------------------------------------

FOUR = {"p1": [2, 3, 4, 6, 8, 10], "p2": [0, 3], "p3": [3], "p4": [6]}
STATES = ("new", "returning", "resurrecting", "dormant")


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        pytest.param(
            week(8, "2020-01-12"),
            [
                [1, 0, 0, 1, 0, 0, 0, 0],
                [1, 1, 0, 0, 0, 0, 0, 0],
                [1, 0, 0, 1, 0, 1, 0, 1],
                [0, -2, -1, 0, -2, 0, -1, 0],
            ],
            id="with history",
        ),
        pytest.param(
            week(9, "2020-01-09"),
            [
                [1, 0, 1, 1, 0, 0, 1, 0, 0],
                [0, 0, 0, 1, 1, 0, 0, 0, 0],
                [0, 0, 0, 1, 0, 0, 1, 0, 1],
                [0, -1, 0, 0, -2, -1, 0, -2, 0],
            ],
            id="from the first day",
        ),
    ],
)
def test_lifecycle_by_day(window: Window, expected: list[list[int]]):
    rows = days_of(FOUR, "2020-01-09")
    found = metrics.lifecycle(events(*rows), window, every="1d", active_events="seen").collect()

    assert [found[state].to_list() for state in STATES] == expected


def test_lifecycle_by_week_and_in_another_timezone():
    people = {"p1": [0, 4, 9, 14, 26, 30], "p2": [10, 17], "p3": [11], "p4": [26]}
    rows = events(*days_of(people, "2020-02-01"))
    by_week = metrics.lifecycle(rows, week(34, "2020-02-05"), active_events="seen").collect()
    late = [event("2020-01-11T23:00"), event("2020-01-12T01:00"), event("2020-01-13T12:00")]
    there = week(2, "2020-01-12", timezone="US/Pacific")
    by_day = metrics.lifecycle(events(*late), there, every="1d").collect()

    assert [by_week[state].to_list() for state in STATES] == [
        [0, 2, 0, 1, 0, 0],
        [1, 1, 1, 0, 1, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, -2, -1, -1, -1],
    ]
    assert [by_day[state].to_list() for state in STATES] == [[0, 0], [0, 0], [0, 1], [-1, 0]]


# --- stickiness and active users -------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [2, 1, 1, 0, 0, 0, 0, 0]),
        ({"at_least": True}, [4, 2, 1, 0, 0, 0, 0, 0]),
        ({"min_events": 2}, [1, 0, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_stickiness(options: dict[str, Any], expected: list[int]):
    people = {"1": [0], "2": [0, 1, 1], "3": [0, 1, 2], "4": [4]}
    rows = events(*days_of(people, "2020-01-01"))
    window = week(8, "2020-01-01")

    found = metrics.stickiness(rows, window, active_events="seen", **options).collect()

    assert found["users"].to_list() == expected


def test_a_week_of_active_users_ends_with_each_day():
    people = {"p1": [2, 3, 10], "p2": [0, 3], "p3": [9]}
    rows = events(*days_of(people, "2020-01-09"))
    window = week(11, "2020-01-09")

    found = metrics.active_users(rows, window, days=7, active_events="seen").collect()

    assert found["users"].to_list() == [1, 1, 2, 2, 2, 2, 2, 2, 2, 3, 2]


# --- funnels ---------------------------------------------------------------------------------

AGAIN = ["s", "p", "p", "p", "p"]
ADVANCED = {
    "1": "s@1 pv@2 x@3 iv@4 x@4.5 it@5 x@5.5 p2@6",
    "2": "s@1 pv@2 iv@4 x@4.5 it@5 x@5.5 p2@6",
    "3": "s@1 x@1.5 pv@2 iv@4 it@5 x@5.5 p2@6",
}
BOTH = {
    "1": "s@1 x@2 pv@3 iv@4 y@4.5 it@5 p2@6",
    "2": "s@1 y@1.5 pv@2 iv@4 y@4.5 it@5 x@5.5 p2@6",
    "3": "s@1 x@1.5 pv@2 iv@4 it@5 x@5.5 p2@6",
    "4": "s@1 pv@2 iv@4 it@5 p2@6",
}
FIVE = ["s", "pv", "iv", "it", "p2"]
UNORDERED = {
    "1": "s",
    "2": "pv cry",
    "3": "s pv z iv",
    "4": "iv cry s",
    "5": "pv s cry iv",
    "6": "z iv",
    "7": "pv z",
    "8": "iv pv",
}


@pytest.mark.parametrize(
    ("people", "steps", "options", "expected"),
    [
        pytest.param({"a": "s s", "b": "s"}, ["s", "s"], {}, [2, 1], id="the same step twice"),
        pytest.param(
            {"a": "s", "b": "s p", "c": "s p z p", "d": "s p z p p z", "e": "s p p p p"},
            AGAIN,
            {},
            [5, 4, 3, 2, 1],
            id="a step four times",
        ),
        pytest.param(
            {
                "a": "p s",
                "b": "s p",
                "c": "p s z p",
                "d": "z p z p s p",
                "e": "s p z p p p",
                "f": "p z p p p",
            },
            AGAIN,
            {},
            [5, 4, 1, 1, 1],
            id="what came before the entry",
        ),
        pytest.param(
            {"1": "u u a a", "2": "u u a", "3": "u a u a", "4": "u a u", "5": "a"},
            ["u", "u", "a", "a"],
            {},
            [4, 4, 3, 1],
            id="steps in between",
        ),
        *(
            pytest.param(ADVANCED, FIVE, {"exclude": [("x", *out)]}, [left] * 5, id=f"x {out}")
            for out, left in {(0, 1): 2, (1, 2): 2, (2, 3): 1, (3, 4): 0, (1, 3): 1}.items()
        ),
        *(
            pytest.param(BOTH, FIVE, {"exclude": [("x", *x), ("y", *y)]}, [1] * 5, id=f"{x} {y}")
            for x, y in [((0, 1), (2, 3)), ((0, 1), (0, 1)), ((0, 4), (0, 4))]
        ),
        pytest.param(
            {"1": "s@1 p@2", "2": "s@3 x@3.5 p@4", "3": "s@5 x@6", "4": "s@7 x@32"},
            ["s", "p"],
            {"within": "1d", "exclude": [("x", 0, 1)]},
            [2, 1],
            id="x and no end",
        ),
        pytest.param(
            {str(n): "one@0 two@24" if n < 10 else "one@0 two@216" for n in range(25)},
            ["one", "two", "three"],
            {"within": "7d"},
            [25, 10, 0],
            id="a window of seven days",
        ),
        pytest.param({"1": "s@330 p@340"}, ["s", "p"], {}, [1, 0], id="after the window's end"),
        pytest.param(
            {
                "1": "z u",
                "3": "u z u S q",
                "4": "z u S v z",
                "7": "z u S v u w",
                "8": "z u u S v w",
            },
            ["u", "S", "v", "w"],
            {"order": "strict"},
            [5, 4, 3, 1],
            id="strict",
        ),
        pytest.param(
            UNORDERED, ["s", "pv", "iv", "cry"], {"order": "unordered"}, [8, 5, 3, 1], id="any"
        ),
        pytest.param(
            BOTH | {"5": "s@1 x@1.5 pv@2 x@2.5 iv@4 y@4.5 it@5 x@5.5 p2@6"},
            FIVE,
            {"order": "unordered", "exclude": [("x", 0, 4), ("y", 0, 4)]},
            [5, 2, 1, 1, 1],
            id="any but x and y",
        ),
        pytest.param(
            {"1": "a@10 b@11 x@12 c@13", "2": "a@10 b@11 c@12"},
            ["a", "b", "c"],
            {"order": "unordered", "within": "6h", "exclude": [("x", 0, 2)]},
            [2, 1, 1],
            id="any but x late",
        ),
    ],
)
def test_funnel(people: Visits, steps: list[str], options: dict[str, Any], expected: list[int]):
    found = metrics.funnel(journeys(people), MAY, steps=steps, **options).collect()

    assert found["users"].to_list() == expected


def test_a_limit_is_a_length_of_time_whatever_the_clock_does():
    rows = events(event("2024-03-01T15:10", name="a"), event("2024-03-15T14:27", name="b"))
    window = week(31, "2024-02-17", timezone="US/Pacific")

    found = metrics.funnel(rows, window, steps=["a", "b"]).collect()

    assert found["users"].to_list() == [1, 1]
    assert found["seconds_p50"].to_list() == [0, 1_207_020]


# --- paths and sessions ----------------------------------------------------------------------

LONG = {
    "1": "/1@1 /2@2 /3@3 /4@4 /5@5 /about@6 /after@7",
    "2": "/5@1 /about@2",
    "3": "/3@1 /4@2 /about@3 /after@4",
}


@pytest.mark.parametrize(
    ("people", "options", "expected"),
    [
        pytest.param(
            {"f": "/1@0 /2@1 /3@3 /4@6", "g": "/1@0 /2@2 /3@6"},
            {"depth": 4},
            [(1, "/1", "/2", 2, 90), (2, "/2", "/3", 2, 180), (3, "/3", "/4", 1, 180)],
            id="times",
        ),
        pytest.param(
            {"f": "/1@0 /1@0.25 /2@1 /2/@1.25 /3@3.25", "g": "/1@0 /2/@2 /3@6"},
            {},
            [(1, "/1", "/2", 2, 90), (2, "/2", "/3", 2, 180)],
            id="repeats and a last slash",
        ),
        pytest.param(LONG, {"start": "/5", "end": "/about"}, [(1, "/5", "/about", 2, 60)], id="5"),
        pytest.param(
            LONG,
            {"start": "/2", "end": "/about", "depth": 4},
            [
                *((1, "/2", "/3", 1, 60), (2, "/3", "...", 1, 60)),
                *((3, "...", "/5", 1, 60), (4, "/5", "/about", 1, 60)),
            ],
            id="a middle",
        ),
        pytest.param({"1": "a@0 b@30"}, {}, [(1, "a", "b", 1, 1800)], id="half an hour"),
        pytest.param({"1": "a@0 b@30.001"}, {}, [], id="a moment longer"),
    ],
)
def test_paths(people: Visits, options: dict[str, Any], expected: list[tuple[Any, ...]]):
    rows = journeys(people, timedelta(minutes=1))

    assert metrics.paths(rows, MAY, **options).collect().rows() == expected


def test_groups_and_the_largest_edges():
    people = {
        **{f"a{n}": "one b1_a b1_b b1_c two three" for n in range(5)},
        **{f"b{n}": "one b1_a b1_b two b2_a b2_b" for n in range(10)},
        **{f"c{n}": "one drop1 drop2" + (" branch" if n % 2 else "") for n in range(20)},
    }
    rows = journeys(people, timedelta(minutes=1))
    groups = ("b1_*", "b2_*", "drop*")
    every = metrics.paths(rows, MAY, groups=groups).collect()
    top = metrics.paths(rows, MAY, groups=groups, top=2).collect()

    assert every.drop("seconds_mean").rows() == [
        *((1, "one", "b1_*", 15), (1, "one", "drop*", 20)),
        *((2, "b1_*", "two", 15), (2, "drop*", "branch", 10)),
        *((3, "two", "b2_*", 10), (3, "two", "three", 5)),
    ]
    assert every["seconds_mean"][0] == pytest.approx((5 * 3 + 10 * 2) * 60 / 15)
    assert top.drop("seconds_mean").rows() == every.drop("seconds_mean").rows()[:2]


def test_a_session_is_cut_where_the_window_begins():
    begun = datetime(2026, 1, 1, 0, 10)  # noqa: DTZ001 - times without an offset are UTC
    minutes = (-20, 0, 30, 60.0001)
    rows = events(*(event(begun + timedelta(minutes=at)) for at in minutes))

    found = metrics.sessions(rows, week(1, "2026-01-01")).collect()

    assert found.select("duration_s", "events").rows() == [(1800, 2), (0, 1)]


# --- statistics ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "weights", "quantiles", "expected"),
    [
        ([15, 20, 35, 40, 50], [1] * 5, (0.05, 0.3, 0.4, 0.5, 1.0), [16, 23, 29, 35, 50]),
        ([4, 1, 3, 2], [1] * 4, (0.1, 0.25, 0.75), [1.3, 1.75, 3.25]),
        ([1, 2, 3], [1, 2, 1], (0.5, 0.9), [2, 2.7]),
        ([7], [3], (0.0, 0.5, 0.99), [7, 7, 7]),
    ],
)
def test_percentiles(
    values: list[float], weights: list[float], quantiles: tuple[float, ...], expected: list[float]
):
    rows = [
        trace("2026-01-01", duration_ms=float(value), weight=float(weight))
        for value, weight in zip(values, weights, strict=True)
    ]
    found = metrics.latency(
        traces(*rows), week(1, "2026-01-01"), by=(), quantiles=quantiles
    ).collect()

    assert found.row(0)[2:] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("a", "b", "pooled", "p_value"),
    [
        ((5, 83), (12, 99), True, 0.15918129181156992),
        ((15, 25), (5, 25), True, 0.003892417122778637),
        ((100, 1000), (130, 1000), False, 0.0352853203),
    ],
)
def test_two_rates(a: tuple[int, int], b: tuple[int, int], pooled: bool, p_value: float):  # noqa: FBT001 - a row of the table
    assert metrics.compare_rates(a, b, pooled=pooled).p_value == pytest.approx(p_value, rel=1e-4)
