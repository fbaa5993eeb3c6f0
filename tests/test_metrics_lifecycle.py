"""Facts about the lifecycle: new, returning, resurrecting, dormant."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from frames import day, event, events, instant, window
from hypothesis import given, settings
from hypothesis import strategies as st

from data_access.metrics.common import MetricError
from data_access.metrics.lifecycle import lifecycle, lifecycle_users
from tests.examples import examples

if TYPE_CHECKING:
    from data_access.window import Window

DAYS = window("2026-01-05", "2026-01-09")


def states(frame: pl.LazyFrame, over: Window = DAYS, **options: object) -> list[tuple[float, ...]]:
    found = lifecycle(frame, over, **({"every": "1d"} | options)).collect()
    return found.select("new", "returning", "resurrecting", "dormant").rows()


def test_one_user_goes_through_all_four_states():
    given = events(event("2026-01-05"), event("2026-01-06"), event("2026-01-08"))

    assert states(given) == [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, -1), (0, 0, 1, 0)]


def test_history_before_the_window_decides_its_first_period():
    given = events(
        event("2026-01-04", "stays"),
        event("2026-01-05", "stays"),
        event("2026-01-04", "leaves"),
        event("2025-06-01", "is back"),
        event("2026-01-05", "is back"),
    )

    assert states(given)[0] == (0, 1, 1, -1)


def test_events_after_the_window_change_nothing():
    assert states(events(event("2026-01-09T00:00:00Z"))) == [(0, 0, 0, 0)] * 4
    assert states(events(event("2026-01-08T23:59:59.999Z")))[3] == (1, 0, 0, 0)


def test_a_lapse_counts_once_and_weighs_what_the_last_active_period_weighed():
    given = events(event("2026-01-05", weight=3.0), event("2026-01-05T12:00", weight=2.0))

    assert states(given) == [(2, 0, 0, 0), (0, 0, 0, -2), (0, 0, 0, 0), (0, 0, 0, 0)]


def test_the_people_of_every_bar_are_listed():
    given = events(event("2026-01-05"), event("2026-01-06"), event("2026-01-08", weight=2.0))

    assert lifecycle_users(given, DAYS, every="1d").collect().rows() == [
        (day("2026-01-05"), "new", "ada", 1.0),
        (day("2026-01-06"), "returning", "ada", 1.0),
        (day("2026-01-07"), "dormant", "ada", 1.0),
        (day("2026-01-08"), "resurrecting", "ada", 2.0),
    ]


def test_one_bar_lists_its_people_alone():
    given = events(event("2026-01-05", "ada"), event("2026-01-05", "bob"), event("2026-01-06"))
    bar = ("2026-01-06", "dormant")

    one = lifecycle_users(given, DAYS, every="1d", bar=bar).collect()

    assert one.rows() == [(day("2026-01-06"), "dormant", "bob", 1.0)]
    with pytest.raises(MetricError, match="state='gone' is unknown"):
        lifecycle_users(given, DAYS, bar=("2026-01-06", "gone"))


def test_columns_types_and_order():
    found = lifecycle(events(), window("2026-01-01", "2026-01-14")).collect()

    assert found.schema == pl.Schema(
        {
            "period": pl.Date,
            "new": pl.Float64,
            "returning": pl.Float64,
            "resurrecting": pl.Float64,
            "dormant": pl.Float64,
            "complete": pl.Boolean,
        }
    )
    assert found["period"].to_list() == [day("2025-12-29"), day("2026-01-05"), day("2026-01-12")]
    assert found["complete"].to_list() == [True, True, False]


def test_months_of_unequal_length_follow_each_other():
    given = events(event("2026-01-31"), event("2026-02-01"), event("2026-03-31"))

    assert states(given, window("2026-01-01", "2026-05-01"), every="1mo") == [
        (1, 0, 0, 0),
        (0, 1, 0, 0),
        (0, 1, 0, 0),
        (0, 0, 0, -1),
    ]


def test_only_named_events_count():
    given = events(event("2026-01-05", name="other"))

    assert states(given)[0] == (0, 0, 0, 0)
    assert states(given, active_events=None)[0] == (1, 0, 0, 0)


activity = st.lists(
    st.tuples(st.integers(0, 45 * 24), st.sampled_from("abcd"), st.sampled_from([1.0, 1.0, 2.0])),
    max_size=40,
)


@settings(max_examples=examples(60), deadline=None)
@given(
    rows=activity,
    every=st.sampled_from(["1d", "1w", "1mo"]),
    week=st.sampled_from(["monday", "sunday"]),
)
def test_states_are_those_found_by_hand(rows, every: str, week: str):
    over = window("2026-01-12", "2026-02-10", timezone="America/New_York", week=week)
    start = instant("2026-01-01T05:00")  # midnight in New York
    frame = events(*(event(start + timedelta(hours=at), u, weight=w) for at, u, w in rows))
    active: dict[tuple[str, object], float] = {}
    for at, user, weight in rows:
        key = (
            user,
            over.period_start(
                day("2026-01-01") + timedelta(hours=at) // timedelta(days=1) * timedelta(days=1),
                every=every,
            ),
        )
        active[key] = min(weight, active.get(key, weight))

    expected = []
    for period in over.periods(every):
        before = over.period_start(period - timedelta(days=1), every=every)
        new = returning = back = dormant = 0.0
        for user in "abcd":
            now, was = active.get((user, period)), active.get((user, before))
            ever = any(u == user and p < period for u, p in active)
            if now and not ever:
                new += now
            elif now and was:
                returning += now
            elif now:
                back += now
            elif was:
                dormant -= was
        expected.append((new, returning, back, dormant))

    assert states(frame, over, every=every) == expected
