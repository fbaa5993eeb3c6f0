"""Who is new, who came back, who stayed and who fell silent, period by period."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    KEY,
    USER,
    WEIGHT,
    of_people,
    one_of,
    over_calendar,
    person_periods,
    qualifying,
    the_day,
    user_weights,
)
from data_access.metrics.registry import ALL_HISTORY, metric
from ingest.vocabulary import ACTIVE_EVENTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from data_access.metrics.common import Event
    from data_access.window import Window

__all__ = ["lifecycle", "lifecycle_users"]

_STATES: Final = ("new", "returning", "resurrecting", "dormant")
LENGTHS: Final = {"1d": "1d", "1w": "7d", "1mo": "1mo"}


@metric("events", lookback_days=ALL_HISTORY)
def lifecycle(
    events: pl.LazyFrame,
    window: Window,
    *,
    every: str = "1w",
    active_events: Event = ACTIVE_EVENTS,
) -> pl.LazyFrame:
    """Users who are new, returning, resurrecting or dormant, per day, week or month.

    Definition
    ----------
    A user is active with an event named in `active_events`; None means any event. In each
    calendar period a user is new (their first active period in all history), returning
    (active in the period before too), resurrecting (active now and earlier, not in the period
    before) or dormant (active in the period before, not now). Dormant is negative and counts a
    lapse once, in the first silent period. A user counts at the smallest weight among the
    events of the active period that decides: the period itself, for dormant the one before.
    Everything before the window decides too; the window is widened to whole periods.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : `scan("events")` over all history; user_id_hash, event_name, timestamp and, if
        there, weight.

    Columns
    -------
    period : Date, first day in the window's timezone; quiet periods included.
    new : Float64, people.
    returning : Float64, people.
    resurrecting : Float64, people.
    dormant : Float64, people; 0 or negative.
    complete : Boolean, flag; whether the period ended inside the window.

    Errors
    ------
    MetricError : when `active_events` is empty.
    WindowError : when `every` is no period.
    """

    def step(rows: pl.DataFrame, *_: object) -> pl.LazyFrame:
        return _by_state(rows, window, every)

    return _of_people(events, step, window.widened(every), every, active_events, user=KEY)


@metric("events", lookback_days=ALL_HISTORY)
def lifecycle_users(
    events: pl.LazyFrame,
    window: Window,
    *,
    every: str = "1w",
    active_events: Event = ACTIVE_EVENTS,
    bar: tuple[date | str, str] | None = None,
) -> pl.LazyFrame:
    """Users behind each bar of `lifecycle`.

    Definition
    ----------
    One row per user, period and state, under exactly the definition of `lifecycle`. The sum of
    `weight` over a period and state is its bar, for dormant the bar without its sign. With
    `bar=("2026-10-12", "new")` only the users of that period in that state.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : `scan("events")` over all history; user_id_hash, event_name, timestamp and, if
        there, weight.

    Columns
    -------
    period : Date, first day in the window's timezone.
    state : String, name; new, returning, resurrecting or dormant.
    user_id_hash : String, user.
    weight : Float64, people this user stands for.

    Errors
    ------
    MetricError : when `active_events` is empty, or `bar` is no day and state.
    WindowError : when `every` is no period.
    """
    only = _only(bar)
    wide = window.widened(every)
    inside = pl.col("period").is_between(wide.start, wide.end, closed="left")

    def step(rows: pl.DataFrame, *_: object) -> pl.LazyFrame:
        moved = _moved(_states(rows, wide, every, user=USER))
        columns = moved.select("period", "state", USER, WEIGHT)
        return columns.filter(inside, *only).sort("period", "state", USER)

    return _of_people(events, step, wide, every, active_events, user=USER)


def _only(bar: tuple[date | str, str] | None) -> list[pl.Expr]:
    """Return the predicates that keep one bar; none for all of them."""
    if bar is None:
        return []
    period, state = bar
    return [
        pl.col("period") == the_day(period),
        pl.col("state") == one_of("state", state, _STATES),
    ]


def _of_people(
    events: pl.LazyFrame,
    step: Callable[..., pl.LazyFrame],
    wide: Window,
    every: str,
    active_events: Event,
    *,
    user: str,
) -> pl.LazyFrame:
    """Return the step of a row per user and active period, up to the window's end."""
    columns = {} if user == KEY else {user: pl.col(user)}

    def per_period(events: pl.LazyFrame) -> pl.LazyFrame:
        period = wide.period(every=every)
        active = qualifying(events, active_events, wide.before(), period=period, **columns)
        return user_weights(active, ["period"], user=user)

    return of_people(events, per_period, step, when=wide.before())


def _states(rows: pl.DataFrame, wide: Window, every: str, *, user: str = KEY) -> pl.LazyFrame:
    """Return the active periods with their state, the period after, and whether it was silent."""
    stayed = (pl.col("last") == pl.col("before")).fill_null(value=False)
    state = (
        pl.when(pl.col("last").is_null())
        .then(pl.lit("new"))
        .when(stayed)
        .then(pl.lit("returning"))
        .otherwise(pl.lit("resurrecting"))
    )
    silent = pl.col("next").is_null() | (pl.col("next") > pl.col("after"))
    return (
        person_periods(rows, user=user)
        .with_columns(
            pl.col("period").dt.offset_by(LENGTHS[every]).alias("after"),
            wide.period_of_day(pl.col("period").dt.offset_by("-1d"), every=every).alias("before"),
        )
        .with_columns(state.alias("state"), silent.alias("silent"))
    )


def _moved(states: pl.LazyFrame) -> pl.LazyFrame:
    """Return who was active in a period, and below them who fell silent in it."""
    gone = states.filter("silent").with_columns(
        pl.col("after").alias("period"), pl.lit("dormant").alias("state")
    )
    return pl.concat([states, gone])


def _by_state(rows: pl.DataFrame, window: Window, every: str) -> pl.LazyFrame:
    """Return the columns of `lifecycle` out of a row per user and active period."""
    states = _states(rows, window.widened(every), every)
    alike = states.group_by("period", "after", "state", "silent").agg(pl.col(WEIGHT).sum())
    people = pl.when(pl.col("state") == "dormant").then(0.0 - pl.col(WEIGHT)).otherwise(WEIGHT)
    counted = (
        _moved(alike)
        .group_by("period")
        .agg(people.filter(pl.col("state") == name).sum().alias(name) for name in _STATES)
    )
    return over_calendar(window.calendar(every), counted, *_STATES)
