"""Visits: runs of one user's events without a long silence between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from data_access.metrics.common import (
    EVENT_ID,
    KEY,
    TIMESTAMP,
    USER,
    WEIGHT,
    duration,
    event_predicate,
    has_column,
    in_time_order,
    of_people,
    user_key,
    weight_of,
)
from data_access.metrics.registry import metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.metrics.common import Event
    from data_access.window import Window

__all__ = ["sessions"]


@metric("events")
def sessions(
    events: pl.LazyFrame,
    window: Window,
    *,
    gap: str | None = "30m",
    split_at_midnight: bool = False,
    starts_with: Event = (),
) -> pl.LazyFrame:
    """Sessions: one row per run of a user's events without a gap longer than `gap`.

    Definition
    ----------
    Taken over the events inside `window`, of any name: a session that reaches over its edge is
    cut there. A new session starts after a silence longer than `gap` (a silence of exactly
    `gap` does not end one; None: never), and, when asked, at midnight in the window's timezone
    and at every event named in `starts_with`. It lasts from its first to its last event; one
    event alone lasts 0 seconds. To count sessions, sum `weight`.

    On sampled data only the sessions of people whose ordinary events are kept are there, each at a
    weight of 1 / keep rate.

    Source
    ------
    events : `scan("events")`; user_id_hash, timestamp and, if there, weight and event_id.

    Columns
    -------
    user_id_hash : String, user.
    started_at : Datetime, UTC; its first event.
    ended_at : Datetime, UTC; its last event.
    duration_s : Float64, seconds; 0 for a single event.
    events : Float64, count; the sum of weights.
    weight : Float64, sessions this one stands for; the smallest weight of its events.

    Errors
    ------
    MetricError : when `gap` is no duration.
    """
    silence = duration(gap)
    marks = not isinstance(starts_with, tuple | list) or bool(starts_with)
    breaks = [pl.col(USER).ne_missing(pl.col(USER).shift(1))]
    if silence is not None:
        breaks.append(pl.col(TIMESTAMP) - pl.col(TIMESTAMP).shift(1) > silence)
    if split_at_midnight:
        breaks.append(window.day() != window.day().shift(1))
    if marks:
        breaks.append(pl.col("starts"))
    starts = event_predicate(starts_with) if marks else pl.lit(value=False)

    def named(events: pl.LazyFrame) -> pl.LazyFrame:
        known = events.filter(window.contains(), pl.col(USER).is_not_null())
        # which of two events at the same time comes first only matters when one of them splits
        order = [pl.col(EVENT_ID)] if marks and has_column(events, EVENT_ID) else []
        asked = [*order, *([starts.alias("starts")] if marks else [])]
        return known.select(user_key(), USER, TIMESTAMP, weight_of(events), *asked)

    def step(rows: pl.DataFrame, ids: pl.LazyFrame, _: float) -> pl.LazyFrame:
        ordered = in_time_order(rows, ids) if marks else rows.lazy().sort(KEY, TIMESTAMP)
        return _visits(ordered, breaks)

    return of_people(events, named, step, when=window.contains())


def _visits(rows: pl.LazyFrame, breaks: Sequence[pl.Expr]) -> pl.LazyFrame:
    """Return the columns of `sessions` out of rows in order and what begins a new one."""
    length = pl.col("ended_at") - pl.col("started_at")
    return (
        rows.with_columns(pl.any_horizontal(*breaks).cum_sum().alias("session"))
        .group_by("session")
        .agg(
            pl.col(USER).first(),
            pl.col(TIMESTAMP).min().alias("started_at"),
            pl.col(TIMESTAMP).max().alias("ended_at"),
            pl.col(WEIGHT).sum().alias("events"),
            pl.col(WEIGHT).min(),
        )
        .with_columns((length.dt.total_milliseconds() / 1000).alias("duration_s"))
        .sort(USER, "session")
        .select(USER, "started_at", "ended_at", "duration_s", "events", WEIGHT)
    )
