"""How much happens and when: events, people, sessions and failures by period and by hour.

People here are those with any event at all; `active_users` counts the ones who did something
that makes a user active. Counts of people are never added up over periods.
"""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    EVENT,
    KEY,
    WEIGHT,
    MetricError,
    distinct_of,
    event_predicate,
    has_column,
    in_memory,
    reduced,
    weight_of,
)
from data_access.metrics.kpis import person_key, ratio
from data_access.metrics.registry import PREVIOUS_WINDOW, metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.metrics.common import Event
    from data_access.window import Window

__all__ = ["activity", "hourly", "movers", "sessions_by_period"]

# columns that `activity` makes, so that none of the same name can be grouped by
_TAKEN: Final = {
    *("period", "events", "users", "sessions", "failures", "error_rate", "complete"),
    *(WEIGHT, KEY, "session", "failed"),
}


@metric("events")
def activity(
    events: pl.LazyFrame,
    window: Window,
    *,
    every: str = "1d",
    by: Sequence[str] = (),
    event: Event = None,
) -> pl.LazyFrame:
    """Events, people, sessions and failures per period.

    Definition
    ----------
    Over all events of the whole periods the window touches, or over those `event` names (a
    name, a predicate, or several of either). With `by`, those columns follow
    the period, and each of their values has a row for every period, quiet ones included; an
    event counts under its own value. People and sessions (distinct non-empty session_id) count
    with the smallest weight among their events of the row.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event.

    Columns
    -------
    period : Date; first day of the period, quiet ones included.
    events : Float64, count; sum of weights.
    users : Float64, count; people with any event.
    sessions : Float64, count.
    failures : Float64, count; events with a result other than success.
    error_rate : Float64, 0 to 1; failures / events, null without events.
    complete : Boolean; whether the period ended inside the window.

    Errors
    ------
    MetricError : when a column of `by` does not exist, or is one the result counts; when `event`
        is an empty list.
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    by = list(dict.fromkeys(by))
    for name in by:
        if not has_column(events, name):
            raise MetricError(f"The events have no column {name!r} to group by.")
        if name in _TAKEN:
            raise MetricError(
                f"Events cannot be grouped by {name!r}: the counts use that name. "
                "Rename the column first."
            )
    rows = _of(events, window.widened(every).contains(), event).select(
        window.period(every=every).alias("period"), *by, *_counted(events)
    )
    return in_memory(rows, lambda found: _per_period(found, window.calendar(every), by))


def _of(events: pl.LazyFrame, when: pl.Expr, event: Event) -> pl.LazyFrame:
    """Return the rows in time that are such an event."""
    return events.filter(when if event is None else when & event_predicate(event))


def _counted(events: pl.LazyFrame) -> list[pl.Expr]:
    """Return what is counted of an event: weight, KEY, session (null: none), failed."""
    in_session = pl.col("session_id") != ""
    return [
        weight_of(events),
        person_key(),
        pl.when(in_session).then(pl.col("session_id").hash()).alias("session"),
        (pl.col("result") != "success").fill_null(value=False).alias("failed"),
    ]


def _per_period(rows: pl.DataFrame, calendar: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Return the columns of `activity` out of its rows."""
    keys = ["period", *by]
    counts, users, sessions = reduced(
        rows.lazy()
        .group_by(keys)
        .agg(
            pl.col(WEIGHT).sum().alias("events"),
            pl.col(WEIGHT).filter("failed").sum().alias("failures"),
        ),
        distinct_of(rows, keys, KEY, "users"),
        distinct_of(rows, keys, "session", "sessions"),
    )
    if by:
        calendar = calendar.join(counts.select(by).unique(), how="cross")
    for part in (counts, users, sessions):
        calendar = calendar.join(part, on=keys, how="left", nulls_equal=True)
    return (
        calendar.with_columns(pl.col("events", "users", "sessions", "failures").fill_null(0.0))
        .select(
            *keys,
            "events",
            "users",
            "sessions",
            "failures",
            ratio("failures", "events").alias("error_rate"),
            "complete",
        )
        .sort(keys)
    )


@metric("events")
def hourly(events: pl.LazyFrame, window: Window, *, event: Event = None) -> pl.LazyFrame:
    """Events, failures and people per hour.

    Definition
    ----------
    Over the events inside the window, or over those `event` names (a name, a predicate, or
    several of either), by UTC hour. Every hour the window touches has a row,
    quiet ones included; the first and the last may be cut by the window's edges.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event.

    Columns
    -------
    hour : Datetime, UTC; its first instant.
    events : Float64, count; sum of weights.
    failures : Float64, count; events with a result other than success.
    users : Float64, count; people with any event.
    """
    first = window.opens_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = pl.LazyFrame().select(
        pl.datetime_range(
            first, window.closes_at, timedelta(hours=1), closed="left", time_unit="ms"
        ).alias("hour")
    )
    rows = _of(events, window.contains(), event).select(
        pl.col("timestamp").dt.truncate("1h").alias("hour"),
        weight_of(events),
        person_key(),
        (pl.col("result") != "success").fill_null(value=False).alias("failed"),
    )

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        counts, users = reduced(
            found.lazy()
            .group_by("hour")
            .agg(
                pl.col(WEIGHT).sum().alias("events"),
                pl.col(WEIGHT).filter("failed").sum().alias("failures"),
            ),
            distinct_of(found, ["hour"], KEY, "users"),
        )
        return (
            hours.join(counts, on="hour", how="left")
            .join(users, on="hour", how="left")
            .select("hour", pl.col("events", "failures", "users").fill_null(0.0))
            .sort("hour")
        )

    return in_memory(rows, step)


@metric("events", lookback_days=PREVIOUS_WINDOW)
def movers(events: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Compare each event with the period before: what changed most.

    Definition
    ----------
    Every event name seen in the window or in the window of equal length before it. z says how
    surprising the change is if both counts were chance around one rate: the difference divided
    by the square root of the sum of squared weights, which is the count itself when nothing is
    sampled. Rank by its absolute value; beyond 3 is more than noise.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event, from the start of the previous window.

    Columns
    -------
    event_name : String.
    events : Float64, count; sum of weights.
    events_before : Float64, count; in the previous window.
    users : Float64, count.
    users_before : Float64, count; in the previous window.
    change : Float64; events / events_before - 1, null when there were none before.
    z : Float64; the change in units of its expected noise.
    """
    earlier = window.previous()
    now = window.contains()
    rows = events.filter(now | earlier.contains()).select(
        EVENT, person_key(), weight_of(events), now.alias("now")
    )
    return in_memory(rows, _compared)


def _compared(rows: pl.DataFrame) -> pl.LazyFrame:
    """Return the columns of `movers` out of the events of both windows."""
    sides = [EVENT, "now"]
    counts, users = reduced(
        rows.lazy()
        .group_by(sides)
        .agg(
            pl.col(WEIGHT).sum().alias("events"),
            (pl.col(WEIGHT) ** 2).sum().alias("noise"),
        ),
        distinct_of(rows, sides, KEY, "users"),
    )
    now = pl.col("now")
    counts = (
        counts.join(users, on=sides, how="left", nulls_equal=True)
        .group_by(EVENT)
        .agg(
            pl.col("events", "users").filter(now).sum(),
            pl.col("events", "users").filter(~now).sum().name.suffix("_before"),
            pl.col("noise").sum(),
        )
    )
    change = pl.col("events") / pl.col("events_before") - 1
    return counts.select(
        *("event_name", "events", "events_before", "users", "users_before"),
        pl.when(pl.col("events_before") > 0).then(change).alias("change"),
        ((pl.col("events") - pl.col("events_before")) / pl.col("noise").sqrt()).alias("z"),
    ).sort("event_name")


@metric("events")
def sessions_by_period(events: pl.LazyFrame, window: Window, *, every: str = "1d") -> pl.LazyFrame:
    """Sessions per period, and how much happens in one.

    Definition
    ----------
    A session is a distinct non-empty session_id; it counts in every period it has an event in,
    with the smallest weight among its events there. Events without a session are left out.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event.

    Columns
    -------
    period : Date; first day of the period, quiet ones included.
    sessions : Float64, count.
    users : Float64, count; people with a session.
    events : Float64, count; those that belong to a session.
    events_per_session : Float64; null without sessions.
    complete : Boolean; whether the period ended inside the window.

    Errors
    ------
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    calendar = window.calendar(every)
    rows = events.filter(window.widened(every).contains(), pl.col("session_id") != "").select(
        window.period(every=every).alias("period"), *_counted(events)
    )

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        return _per_period(found, calendar, ()).select(
            *("period", "sessions", "users", "events"),
            ratio("events", "sessions").alias("events_per_session"),
            "complete",
        )

    return in_memory(rows, step)
