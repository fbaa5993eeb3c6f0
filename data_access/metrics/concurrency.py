"""How many people are here at the same moment."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import WEIGHT, in_memory
from data_access.metrics.registry import metric
from data_access.metrics.sessions import sessions
from data_access.window import PERIODS, WindowError

if TYPE_CHECKING:
    from data_access.window import Window

__all__ = ["concurrent_users"]

HOUR: Final = "1h"
_TICK, _COMES, _GOES = 0, 1, 2  # in this order at one moment: an end and a start there overlap


@metric("events")
def concurrent_users(
    events: pl.LazyFrame, window: Window, *, every: str = HOUR, gap: str | None = "30m"
) -> pl.LazyFrame:
    """Count the most people in a session at the same moment, per hour or period.

    Definition
    ----------
    Somebody is here from the first to the last event of each session, both included; sessions
    are those of `sessions`, by a silence longer than `gap`, cut at the edges of the window, of
    events with or without a session_id. Each hour's number is the largest at any moment in it,
    also when nobody comes or goes then. With `every` "1d", "1w" or "1mo" the window grows to
    whole periods and the period is a Date. Never add these numbers up.

    On sampled data only the sessions of people whose ordinary events are kept are there, each at a
    weight of 1 / keep rate; the largest of many such estimates is rather too large.

    Source
    ------
    events : one row per event.

    Columns
    -------
    period : Datetime, UTC; the first instant of the hour, quiet ones included.
    users : Float64, count; the most at the same moment.

    Errors
    ------
    MetricError : when `gap` is no duration.
    WindowError : when `every` is not "1h", "1d", "1w" or "1mo".
    """
    if every not in (HOUR, *PERIODS):
        choices = ", ".join((HOUR, *PERIODS))
        raise WindowError(f"People at the same moment are told per {choices}, not per {every!r}.")
    span = window if every == HOUR else window.widened(every)
    period = (
        pl.col("at").dt.truncate(HOUR) if every == HOUR else window.period("at", every=every)
    ).alias("period")
    visits = sessions(events, span, gap=gap).select("started_at", "ended_at", WEIGHT)
    ticks = _ticks(span, every)

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        here = found.lazy()
        changes = [
            ticks.select("at", pl.lit(_TICK, pl.Int8).alias("order"), pl.lit(0.0).alias("step")),
            _changes(here, "started_at", _COMES, pl.col(WEIGHT)),
            _changes(here, "ended_at", _GOES, -pl.col(WEIGHT)),
        ]
        level = pl.col("step").cum_sum().clip(lower_bound=0.0).alias("users")
        return (
            pl.concat(changes)
            .sort("at", "order")
            .select(period, level)
            .group_by("period")
            .agg(pl.col("users").max())
            .sort("period")
        )

    return in_memory(visits, step)


def _changes(visits: pl.LazyFrame, at: str, order: int, step: pl.Expr) -> pl.LazyFrame:
    """Return a row per arrival or departure: at, order, step."""
    return visits.select(
        pl.col(at).alias("at"), pl.lit(order, pl.Int8).alias("order"), step.alias("step")
    )


def _ticks(window: Window, every: str) -> pl.LazyFrame:
    """Return the first instant of each hour or period: how many are still here then."""
    if every == HOUR:
        first = window.opens_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return pl.LazyFrame().select(
            pl.datetime_range(
                first, window.closes_at, timedelta(hours=1), closed="left", time_unit="ms"
            ).alias("at")
        )
    days = pl.Series("at", window.periods(every), pl.Date).cast(pl.Datetime("ms"))
    local = days.dt.replace_time_zone(
        window.timezone, ambiguous="earliest", non_existent="null"
    ).drop_nulls()
    return pl.LazyFrame({"at": local.dt.convert_time_zone("UTC")})
