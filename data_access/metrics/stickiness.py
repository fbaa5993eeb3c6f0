"""In how many periods people came: once, or every day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from data_access.metrics.common import KEY, WEIGHT, MetricError, of_people, qualifying
from data_access.metrics.registry import metric
from ingest.vocabulary import ACTIVE_EVENTS

if TYPE_CHECKING:
    from data_access.metrics.common import Event
    from data_access.window import Window

__all__ = ["stickiness"]


@metric("events")
def stickiness(
    events: pl.LazyFrame,
    window: Window,
    *,
    every: str = "1d",
    at_least: bool = False,
    min_events: float = 1,
    active_events: Event = ACTIVE_EVENTS,
) -> pl.LazyFrame:
    """Users by the number of periods in which they were active.

    Definition
    ----------
    For k from 1 to the number of calendar periods the window touches (widened to whole ones):
    the users active in exactly k of them, or in at least k with `at_least`. A user is active
    with an event named in `active_events` (None: any event), and in a period only with at
    least `min_events` of them, counted as the sum of weights. A user counts at the smallest
    weight among the events of the periods that count. This is not the ratio DAU / MAU, which
    `kpis` calls stickiness.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : `scan("events")`; user_id_hash, event_name, timestamp and, if there, weight.

    Columns
    -------
    periods_active : Int64, count; 1 to the number of periods, all of them present.
    users : Float64, people; 0 where nobody was active in so many periods.

    Errors
    ------
    MetricError : when `min_events` is not above 0, or `active_events` is empty.
    WindowError : when `every` is no period.
    """
    if not min_events > 0:
        raise MetricError(f"min_events={min_events!r} would count everybody. Use 1 or more.")
    wide = window.widened(every)
    period = wide.period(every=every)
    possible = pl.LazyFrame(
        {"periods_active": range(1, len(wide.periods(every)) + 1)},
        schema={"periods_active": pl.Int64},
    )

    def per_period(events: pl.LazyFrame) -> pl.LazyFrame:
        active = qualifying(events, active_events, wide.contains(), period=period)
        return active.group_by("period", KEY).agg(
            pl.col(WEIGHT).min(), pl.col(WEIGHT).sum().alias("events")
        )

    def step(rows: pl.DataFrame, _: object, each: float) -> pl.LazyFrame:
        per_user = (
            rows.lazy()
            .filter(pl.col("events") >= min_events * each)
            .group_by(KEY)
            .agg(pl.len().cast(pl.Int64).alias("periods_active"), pl.col(WEIGHT).min())
        )
        exactly = per_user.group_by("periods_active").agg(pl.col(WEIGHT).sum().alias("users"))
        counted = (
            possible.join(exactly, on="periods_active", how="left")
            .with_columns(pl.col("users").fill_null(0.0))
            .sort("periods_active")
        )
        if at_least:
            return counted.with_columns(pl.col("users").cum_sum(reverse=True))
        return counted

    return of_people(events, per_period, step, when=wide.contains())
