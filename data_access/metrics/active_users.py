"""How many people use the product: per period, or over the days that end with each day."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    KEY,
    WEIGHT,
    MetricError,
    distinct_of,
    in_memory,
    over_calendar,
    person_periods,
    qualifying,
    user_weights,
)
from data_access.metrics.registry import metric
from data_access.window import Window
from ingest.vocabulary import ACTIVE_EVENTS

if TYPE_CHECKING:
    from data_access.metrics.common import Event

__all__ = ["active_users"]

ROLLING_DAYS_MAX: Final = 366
_DAU, _WAU, _MAU = 1, 7, 30


@metric("events", lookback_days=_MAU - 1)
def active_users(
    events: pl.LazyFrame,
    window: Window,
    *,
    every: str = "1d",
    days: int | None = None,
    active_events: Event = ACTIVE_EVENTS,
) -> pl.LazyFrame:
    """Active users per day, week or month (DAU), or over the last `days` days (WAU, MAU).

    Definition
    ----------
    A user is active with an event named in `active_events`; None means any event. Each user
    counts once per calendar period of the window's timezone, at the smallest weight among the
    events that make them active there. The window is widened to whole periods.

    With `days`, a period shows the distinct users of the `days` days ending with its last
    day: `days=7` is WAU and `days=30` MAU. Days before the window count.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : `scan("events")`; user_id_hash, event_name, timestamp and, if there, weight. With
        `days`, the frame has to hold the `days - 1` days before the window; METRICS reads 29.

    Columns
    -------
    period : Date, first day in the window's timezone; quiet periods included.
    users : Float64, people; 0 in a quiet period.
    complete : Boolean, flag; whether the period ended inside the window.

    Errors
    ------
    MetricError : when `days` is not between 1 and 366, or `active_events` is empty.
    WindowError : when `every` is no period.
    """
    calendar, wide = window.calendar(every), window.widened(every)
    if days is None:
        period = wide.period(every=every)
        active = qualifying(events, active_events, wide.contains(), period=period)
        return in_memory(
            active,
            lambda rows: over_calendar(calendar, distinct_of(rows, ["period"], KEY), "users"),
        )
    if isinstance(days, bool) or not 1 <= days <= ROLLING_DAYS_MAX:
        raise MetricError(
            f"days={days!r} is out of range. Use {_WAU} for WAU, {_MAU} for MAU, or any whole "
            f"number from {_DAU} to {ROLLING_DAYS_MAX}."
        )
    ends = {
        period: wide.period_end(period, every=every) - timedelta(days=1)
        for period in wide.periods(every)
    }
    last_days = pl.LazyFrame(
        {"period": list(ends), "day": list(ends.values())},
        schema={"period": pl.Date, "day": pl.Date},
    )
    seen = Window(
        wide.start - timedelta(days=days - 1),
        wide.end,
        timezone=wide.timezone,
        week_starts_on=wide.week_starts_on,
    )
    active = qualifying(events, active_events, seen.contains(), period=seen.day())

    def step(rows: pl.DataFrame) -> pl.LazyFrame:
        per_day = _counted(_stays(person_periods(rows), days), seen)
        return over_calendar(calendar, last_days.join(per_day, on="day"), "users")

    return in_memory(user_weights(active, ["period"], user=KEY), step)


def _stays(daily: pl.LazyFrame, days: int) -> pl.LazyFrame:
    """Return disjoint stays: from, until (the first day after), weight, people.

    An active day keeps its user active for `days` days, or until the next active day, which
    then takes over, so no day is counted twice and nothing is expanded. Only a user whose
    weight varies is looked at day by day, each with the smallest weight of its `days` days.
    """
    varies = pl.col("varies")
    later = pl.int_ranges(0, pl.when(varies).then(days).otherwise(1))
    start = pl.col("period") + pl.duration(days=pl.col("later"))
    runs_out = pl.min_horizontal(pl.col("period") + timedelta(days=days), "next")
    return (
        daily.with_columns(later.alias("later"))
        .explode("later")
        .group_by(
            start.alias("from"),
            pl.when(varies).then(start + timedelta(days=1)).otherwise(runs_out).alias("until"),
            pl.when(varies).then(KEY).alias("who"),
            pl.when(~varies).then(WEIGHT).alias("constant"),
        )
        .agg(pl.col(WEIGHT).min(), pl.len().cast(pl.Int64).alias("people"))
        .select(
            "from",
            "until",
            WEIGHT,
            pl.when(pl.col("who").is_null()).then("people").otherwise(1).alias("people"),
        )
    )


def _counted(stays: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Return day, users: the weights of the stays each day lies in.

    Arrivals and departures are counted in whole people per weight and only then weighted, so
    that adding and removing 3.33 a thousand times leaves no crumbs.
    """
    net = (
        stays.select(
            pl.concat_list("from", "until").alias("day"),
            WEIGHT,
            pl.concat_list("people", 0 - pl.col("people")).alias("move"),
        )
        .explode("day", "move")
        .group_by("day", WEIGHT)
        .agg(pl.col("move").sum())
    )
    days = window.calendar().select(pl.col("period").alias("day"))
    present = pl.col("move").fill_null(0).cum_sum().over(WEIGHT, order_by="day")
    return (
        days.join(net.select(WEIGHT).unique(), how="cross")
        .join(net, on=["day", WEIGHT], how="left")
        .with_columns(present.alias("present"))
        .group_by("day")
        .agg((pl.col("present") * pl.col(WEIGHT)).sum().alias("users"))
    )
