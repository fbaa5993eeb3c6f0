"""How many people use the product: per period, or over the days that end with each day."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    KEY,
    TIMESTAMP,
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
from data_access.schema import TIME
from data_access.window import Window
from ingest.vocabulary import ACTIVE_EVENTS

if TYPE_CHECKING:
    from datetime import datetime

    from data_access.metrics.common import Event

__all__ = ["active_users", "active_users_hourly"]

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
    _check(days)
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
        stays = _stays(person_periods(rows), days, timedelta(days=1))
        per_day = _counted(stays, seen.calendar().select("period")).rename({"period": "day"})
        return over_calendar(calendar, last_days.join(per_day, on="day"), "users")

    return in_memory(user_weights(active, ["period"], user=KEY), step)


@metric("events", lookback_days=_MAU - 1)
def active_users_hourly(
    events: pl.LazyFrame,
    window: Window,
    *,
    days: int | None = None,
    active_events: Event = ACTIVE_EVENTS,
) -> pl.LazyFrame:
    """Active users per hour, or over the last `days` days up to and including each hour.

    Definition
    ----------
    A user is active with an event named in `active_events`; None means any event. Each user
    counts once per UTC hour, at the smallest weight among the events that make them active
    there. Every hour the window touches has a row. With `days`, an hour shows the distinct
    users of the `days` x 24 hours ending with it; hours before the window count.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : `scan("events")`; user_id_hash, event_name, timestamp and, if there, weight. With
        `days`, the frame has to hold the `days` days before the window; METRICS reads 29.

    Columns
    -------
    hour : Datetime, UTC; its first instant, quiet hours included.
    users : Float64, people; 0 in a quiet hour.
    complete : Boolean, flag; whether the hour ended inside the window.

    Errors
    ------
    MetricError : when `days` is not between 1 and 366, or `active_events` is empty.
    """
    hour, lasts = timedelta(hours=1), 1 if days is None else _check(days) * 24
    first, end = _whole_hour(window.opens_at), window.closes_at
    since = first - (lasts - 1) * hour
    hours = pl.LazyFrame().select(
        pl.datetime_range(since, end, hour, closed="left", time_unit="ms").alias("period")
    )
    when = pl.col(TIMESTAMP).is_between(
        pl.lit(since).cast(TIME), pl.lit(_whole_hour(end, up=True)).cast(TIME), closed="left"
    )
    period = pl.col(TIMESTAMP).dt.truncate("1h")
    active = qualifying(events, active_events, when, period=period)

    def step(rows: pl.DataFrame) -> pl.LazyFrame:
        counted = _counted(_stays(person_periods(rows), lasts, hour), hours)
        over = pl.col("period") + hour <= pl.lit(end).cast(TIME)
        shown = hours.filter(pl.col("period") >= pl.lit(first).cast(TIME))
        whole = over_calendar(shown.with_columns(over.alias("complete")), counted, "users")
        return whole.rename({"period": "hour"})

    return in_memory(user_weights(active, ["period"], user=KEY), step)


def _whole_hour(moment: datetime, *, up: bool = False) -> datetime:
    """Return the UTC hour a moment lies in, or the first one that begins no earlier."""
    utc = moment.astimezone(UTC)
    start = utc.replace(minute=0, second=0, microsecond=0)
    return start + timedelta(hours=1) if up and start < utc else start


def _check(days: int) -> int:
    """Return the number of rolling days when it is one."""
    if isinstance(days, bool) or not 1 <= days <= ROLLING_DAYS_MAX:
        raise MetricError(
            f"days={days!r} is out of range. Use {_WAU} for WAU, {_MAU} for MAU, or any whole "
            f"number from {_DAU} to {ROLLING_DAYS_MAX}."
        )
    return days


def _stays(active: pl.LazyFrame, lasts: int, step: timedelta) -> pl.LazyFrame:
    """Return disjoint stays: from, until (the first period after), weight, people.

    An active day (or hour: the `step`) keeps its user active for as many as it `lasts`, or until
    the next active one, which then takes over, so no day is counted twice and nothing is
    expanded. Only a user whose weight varies is looked at day by day, each with the smallest
    weight of the days it follows from.
    """
    varies = pl.col("varies")
    later = pl.int_ranges(0, pl.when(varies).then(lasts).otherwise(1))
    start = pl.col("period") + pl.col("later") * step
    runs_out = pl.min_horizontal(pl.col("period") + lasts * step, "next")
    return (
        active.with_columns(later.alias("later"))
        .explode("later")
        .group_by(
            start.alias("from"),
            pl.when(varies).then(start + step).otherwise(runs_out).alias("until"),
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


def _counted(stays: pl.LazyFrame, periods: pl.LazyFrame) -> pl.LazyFrame:
    """Return period, users: the weights of the stays each of the periods lies in.

    Arrivals and departures are counted in whole people per weight and only then weighted, so
    that adding and removing 3.33 a thousand times leaves no crumbs.
    """
    net = (
        stays.select(
            pl.concat_list("from", "until").alias("period"),
            WEIGHT,
            pl.concat_list("people", 0 - pl.col("people")).alias("move"),
        )
        .explode("period", "move")
        .group_by("period", WEIGHT)
        .agg(pl.col("move").sum())
    )
    present = pl.col("move").fill_null(0).cum_sum().over(WEIGHT, order_by="period")
    return (
        periods.join(net.select(WEIGHT).unique(), how="cross")
        .join(net, on=["period", WEIGHT], how="left")
        .with_columns(present.alias("present"))
        .group_by("period")
        .agg((pl.col("present") * pl.col(WEIGHT)).sum().alias("users"))
    )
