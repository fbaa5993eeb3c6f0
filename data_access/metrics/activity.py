"""How much happens and when: events, people, sessions and failures by period and by hour.

People here are those with any event at all; `active_users` counts the ones who did something
that makes a user active. Counts of people are never added up over periods.
"""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import polars as pl

from data_access.metrics.common import KEY, MetricError, has_column, weighted
from data_access.metrics.kpis import person_key, ratio
from data_access.metrics.registry import PREVIOUS_WINDOW, metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.window import Window

__all__ = ["activity", "hourly", "movers", "sessions_by_period"]


@metric("events")
def activity(
    events: pl.LazyFrame, window: Window, *, every: str = "1d", by: Sequence[str] = ()
) -> pl.LazyFrame:
    """Events, people, sessions and failures per period.

    Definition
    ----------
    Over all events of the whole periods the window touches. With `by`, those columns follow
    the period, and each of their values has a row for every period, quiet ones included; an
    event counts under its own value. People and sessions (distinct non-empty session_id) count
    with the smallest weight among their events of the row.

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
    MetricError : when a column of `by` does not exist.
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    for name in by:
        if not has_column(events, name):
            raise MetricError(f"The events have no column {name!r} to group by.")
    rows = weighted(events.filter(window.widened(every).contains())).with_columns(
        window.period(every=every).alias("period")
    )
    keys = ["period", *by]
    people = (
        rows.group_by(*keys, person_key())
        .agg(
            pl.col("weight").min(),
            pl.col("weight").sum().alias("events"),
            pl.col("weight").filter(pl.col("result") != "success").sum().alias("failures"),
        )
        .group_by(keys)
        .agg(
            pl.col("events", "failures").sum(),
            pl.col("weight").filter(pl.col(KEY).is_not_null()).sum().alias("users"),
        )
    )
    calendar = window.calendar(every)
    if by:
        calendar = calendar.join(rows.select(by).unique(), how="cross")
    return (
        calendar.join(people, on=keys, how="left", nulls_equal=True)
        .join(_sessions(rows, keys), on=keys, how="left", nulls_equal=True)
        .with_columns(pl.col("events", "users", "sessions", "failures").fill_null(0.0))
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
def hourly(events: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Events, failures and people per hour.

    Definition
    ----------
    Over the events inside the window, by UTC hour. Every hour the window touches has a row,
    quiet ones included; the first and the last may be cut by the window's edges.

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
    people = (
        weighted(events.filter(window.contains()))
        .group_by(pl.col("timestamp").dt.truncate("1h").alias("hour"), person_key())
        .agg(
            pl.col("weight").min(),
            pl.col("weight").sum().alias("events"),
            pl.col("weight").filter(pl.col("result") != "success").sum().alias("failures"),
        )
    )
    counts = people.group_by("hour").agg(
        pl.col("events", "failures").sum(),
        pl.col("weight").filter(pl.col(KEY).is_not_null()).sum().alias("users"),
    )
    return (
        hours.join(counts, on="hour", how="left")
        .select("hour", pl.col("events", "failures", "users").fill_null(0.0))
        .sort("hour")
    )


@metric("events", lookback_days=PREVIOUS_WINDOW)
def movers(events: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Compare each event with the period before: what changed most.

    Definition
    ----------
    Every event name seen in the window or in the window of equal length before it. z says how
    surprising the change is if both counts were chance around one rate: the difference divided
    by the square root of the sum of squared weights, which is the count itself when nothing is
    sampled. Rank by its absolute value; beyond 3 is more than noise.

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
    people = (
        weighted(events.filter(now | earlier.contains()))
        .select(
            "event_name",
            person_key(),
            pl.when(now).then("weight").alias("now"),
            pl.when(~now).then("weight").alias("before"),
            (pl.col("weight") ** 2).alias("noise"),
        )
        .group_by("event_name", KEY)
        .agg(
            pl.col("now").sum().alias("events"),
            pl.col("before").sum().alias("events_before"),
            pl.col("now").min().alias("users"),
            pl.col("before").min().alias("users_before"),
            pl.col("noise").sum(),
        )
    )
    named = pl.col(KEY).is_not_null()
    counts = people.group_by("event_name").agg(
        pl.col("events", "events_before", "noise").sum(),
        pl.col("users", "users_before").filter(named).sum(),
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
    rows = weighted(
        events.filter(window.widened(every).contains(), pl.col("session_id") != "")
    ).with_columns(window.period(every=every).alias("period"))
    people = (
        rows.group_by("period", person_key())
        .agg(pl.col("weight").min().alias("users"), pl.col("weight").sum().alias("events"))
        .group_by("period")
        .agg(
            pl.col("users").filter(pl.col(KEY).is_not_null()).sum(),
            pl.col("events").sum(),
        )
    )
    return (
        window.calendar(every)
        .join(people, on="period", how="left")
        .join(_sessions(rows, ["period"]), on="period", how="left")
        .with_columns(pl.col("sessions", "users", "events").fill_null(0.0))
        .select(
            *("period", "sessions", "users", "events"),
            ratio("events", "sessions").alias("events_per_session"),
            "complete",
        )
        .sort("period")
    )


def _sessions(rows: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    return (
        rows.filter(pl.col("session_id") != "")
        .group_by(*keys, "session_id")
        .agg(pl.col("weight").min())
        .group_by(keys)
        .agg(pl.col("weight").sum().alias("sessions"))
    )
