"""In how many periods people came: once, or every day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    KEY,
    USER,
    WEIGHT,
    MetricError,
    of_people,
    one_of,
    periods_between,
    qualifying,
)
from data_access.metrics.registry import metric
from ingest.vocabulary import ACTIVE_EVENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from data_access.metrics.common import Event
    from data_access.window import Window

__all__ = ["stickiness", "stickiness_users"]

OPERATORS: Final = ("gte", "lte", "eq")
_PEOPLE_DIGITS: Final = 9  # 3 events of weight 10/3 are 10 events, whatever floats say


@metric("events")
def stickiness(
    events: pl.LazyFrame,
    window: Window,
    *,
    every: str = "1d",
    at_least: bool = False,
    min_events: float = 1,
    min_events_op: str = "gte",
    periods_per_bucket: int = 1,
    active_events: Event = ACTIVE_EVENTS,
) -> pl.LazyFrame:
    """Users by the number of periods in which they were active.

    Definition
    ----------
    For k from 1 to the number of calendar periods the window touches (widened to whole ones):
    the users active in exactly k of them, or in at least k with `at_least`. A user is active
    with an event named in `active_events` (None: any event), and in a period only with at
    least `min_events` of them, counted as the sum of weights; at most so many with
    `min_events_op="lte"`, exactly so many with "eq". With `periods_per_bucket`, so many
    periods in a row, from the window's first one on, count as one. A user counts at the
    smallest weight among the events of the periods that count. This is not the ratio
    DAU / MAU, which `kpis` calls stickiness.

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
    MetricError : when `min_events` is not above 0, `min_events_op` is unknown,
        `periods_per_bucket` is not a whole number above 0, or `active_events` is empty.
    WindowError : when `every` is no period.
    """
    asked = _Asked(every, min_events, min_events_op, periods_per_bucket, active_events)
    buckets = -(-len(window.periods(every)) // periods_per_bucket)
    possible = pl.LazyFrame(
        {"periods_active": range(1, buckets + 1)}, schema={"periods_active": pl.Int64}
    )

    def step(rows: pl.DataFrame, _: object, each: float) -> pl.LazyFrame:
        per_user = _per_user(rows, asked, each, user=KEY)
        exactly = per_user.group_by("periods_active").agg(pl.col(WEIGHT).sum().alias("users"))
        counted = (
            possible.join(exactly, on="periods_active", how="left")
            .with_columns(pl.col("users").fill_null(0.0))
            .sort("periods_active")
        )
        if at_least:
            return counted.with_columns(pl.col("users").cum_sum(reverse=True))
        return counted

    return _of_people(events, step, window, asked, user=KEY)


@metric("events")
def stickiness_users(
    events: pl.LazyFrame,
    window: Window,
    *,
    every: str = "1d",
    min_events: float = 1,
    min_events_op: str = "gte",
    periods_per_bucket: int = 1,
    active_events: Event = ACTIVE_EVENTS,
    bar: int | None = None,
) -> pl.LazyFrame:
    """Users behind each bar of `stickiness`: in how many periods each was active.

    Definition
    ----------
    One row per user active in any period, under exactly the definition of `stickiness`. The sum
    of `weight` over a number of periods is its bar. With `bar=3` only the users active in
    exactly 3.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : `scan("events")`; user_id_hash, event_name, timestamp and, if there, weight.

    Columns
    -------
    periods_active : Int64, count; from 1.
    user_id_hash : String, user.
    weight : Float64, people this user stands for.

    Errors
    ------
    MetricError : as `stickiness`.
    WindowError : when `every` is no period.
    """
    asked = _Asked(every, min_events, min_events_op, periods_per_bucket, active_events)
    only = [] if bar is None else [pl.col("periods_active") == bar]

    def step(rows: pl.DataFrame, _: object, each: float) -> pl.LazyFrame:
        per_user = _per_user(rows, asked, each, user=USER).filter(*only)
        return per_user.select("periods_active", USER, WEIGHT).sort("periods_active", USER)

    return _of_people(events, step, window, asked, user=USER)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options of one question, checked."""

    every: str
    min_events: float
    min_events_op: str
    periods_per_bucket: int
    active_events: Event

    def __post_init__(self) -> None:
        one_of("min_events_op", self.min_events_op, OPERATORS)
        if not self.min_events > 0:
            raise MetricError(
                f"min_events={self.min_events!r} would count everybody. Use 1 or more."
            )
        merged = self.periods_per_bucket
        if isinstance(merged, bool) or not isinstance(merged, int) or merged < 1:
            raise MetricError(
                f"periods_per_bucket={merged!r} must be a whole number of periods, 1 or more."
            )


def _of_people(
    events: pl.LazyFrame,
    step: Callable[..., pl.LazyFrame],
    window: Window,
    asked: _Asked,
    *,
    user: str,
) -> pl.LazyFrame:
    """Return the step of a row per user and bucket of periods: weight and events."""
    wide = window.widened(asked.every)
    period = wide.period(every=asked.every)
    if asked.periods_per_bucket > 1:
        place = periods_between(pl.lit(wide.start), period, asked.every)
        period = place // asked.periods_per_bucket
    columns = {"period": period} | ({} if user == KEY else {user: pl.col(user)})

    def per_period(events: pl.LazyFrame) -> pl.LazyFrame:
        active = qualifying(events, asked.active_events, wide.contains(), **columns)
        return active.group_by("period", user).agg(
            pl.col(WEIGHT).min(), pl.col(WEIGHT).sum().alias("events")
        )

    return of_people(events, per_period, step, when=wide.contains())


def _per_user(rows: pl.DataFrame, asked: _Asked, each: float, *, user: str) -> pl.LazyFrame:
    """Return the user, periods_active and weight; `each` as `of_people` gives it."""
    seen = (pl.col("events") / each).round(_PEOPLE_DIGITS)
    counts = {
        "gte": seen >= asked.min_events,
        "lte": seen <= asked.min_events,
        "eq": seen == asked.min_events,
    }
    return (
        rows.lazy()
        .filter(counts[asked.min_events_op])
        .group_by(user)
        .agg(pl.len().cast(pl.Int64).alias("periods_active"), pl.col(WEIGHT).min())
    )
