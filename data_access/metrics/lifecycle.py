"""Who is new, who came back, who stayed and who fell silent, period by period."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    KEY,
    WEIGHT,
    of_people,
    over_calendar,
    person_periods,
    qualifying,
    user_weights,
)
from data_access.metrics.registry import ALL_HISTORY, metric
from ingest.vocabulary import ACTIVE_EVENTS

if TYPE_CHECKING:
    from data_access.metrics.common import Event
    from data_access.window import Window

__all__ = ["lifecycle"]

_STATES: Final = ("new", "returning", "resurrecting", "dormant")
_LENGTHS: Final = {"1d": "1d", "1w": "7d", "1mo": "1mo"}


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
    wide = window.widened(every)
    period = wide.period(every=every)

    def per_period(events: pl.LazyFrame) -> pl.LazyFrame:
        active = qualifying(events, active_events, wide.before(), period=period)
        return user_weights(active, ["period"], user=KEY)

    def step(rows: pl.DataFrame, *_: object) -> pl.LazyFrame:
        return _by_state(rows, window, every)

    return of_people(events, per_period, step, when=wide.before())


def _by_state(rows: pl.DataFrame, window: Window, every: str) -> pl.LazyFrame:
    """Return the columns of `lifecycle` out of a row per user and active period."""
    wide = window.widened(every)
    periods = person_periods(rows).with_columns(
        pl.col("period").dt.offset_by(_LENGTHS[every]).alias("after"),
        wide.period_of_day(pl.col("period").dt.offset_by("-1d"), every=every).alias("before"),
    )
    first = pl.col("last").is_null()
    stayed = (pl.col("last") == pl.col("before")).fill_null(value=False)
    state = (
        pl.when(first)
        .then(pl.lit("new"))
        .when(stayed)
        .then(pl.lit("returning"))
        .otherwise(pl.lit("resurrecting"))
    )
    silent = (pl.col("next").is_null() | (pl.col("next") > pl.col("after"))).alias("silent")
    alike = periods.group_by("period", "after", state.alias("state"), silent).agg(
        pl.col(WEIGHT).sum()
    )
    present = alike.select("period", WEIGHT, "state")
    gone = alike.filter("silent").select(
        pl.col("after").alias("period"),
        (0.0 - pl.col(WEIGHT)).alias(WEIGHT),
        pl.lit("dormant").alias("state"),
    )
    counted = (
        pl.concat([present, gone])
        .group_by("period")
        .agg(pl.col(WEIGHT).filter(pl.col("state") == name).sum().alias(name) for name in _STATES)
    )
    return over_calendar(window.calendar(every), counted, *_STATES)
