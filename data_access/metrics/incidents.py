"""Hours in which far more fails than usual: what an incident looks like from inside the data."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import KEY, WEIGHT, distinct_of, in_memory, weight_of
from data_access.metrics.kpis import person_key, ratio
from data_access.metrics.registry import metric

if TYPE_CHECKING:
    from data_access.window import Window

__all__ = ["incidents"]

USUAL_DAYS: Final = 28  # before the window: what is usual is known from its first hour on
FAILURES_MIN: Final = 10.0  # in an hour; fewer are nobody's incident
TIMES_MIN: Final = 3.0  # as many failures as usual
SURPRISE_MIN: Final = 5.0  # units of the noise a usual hour has
QUIET_HOURS_MAX: Final = 1  # between two bad hours of one incident


@metric("events", lookback_days=USUAL_DAYS)
def incidents(
    events: pl.LazyFrame,
    window: Window,
    *,
    failures_min: float = FAILURES_MIN,
    times_min: float = TIMES_MIN,
) -> pl.LazyFrame:
    """Stretches of hours in which far more events failed than usual.

    Definition
    ----------
    An hour (UTC) is bad when at least 10 of its events fail (`failures_min`), the error rate is at
    least three times the usual one (`times_min`), and the failures exceed the expected ones by
    five times their noise. The usual rate is that of the window and the 28 days before it, bad
    hours left out. Bad hours with at most one other hour between them are one incident; it is
    there when it touches the window. Its end is the end of its last bad hour.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event, from 28 days before the window.

    Columns
    -------
    started_at : Datetime, UTC; the first bad hour.
    ended_at : Datetime, UTC; the first instant after the last bad hour.
    events : Float64, count; in those hours and those between.
    failures : Float64, count; events with a result other than success.
    error_rate : Float64, 0 to 1; failures / events.
    usual_rate : Float64, 0 to 1; outside the bad hours.
    users : Float64, count; people for whom something failed.
    """
    since = pl.lit(window.opens_at - timedelta(days=USUAL_DAYS)).cast(pl.Datetime("ms", "UTC"))
    rows = events.filter(window.before(), pl.col("timestamp") >= since).select(
        pl.col("timestamp").dt.truncate("1h").alias("hour"),
        weight_of(events),
        person_key(),
        (pl.col("result") != "success").fill_null(value=False).alias("failed"),
    )
    hours = rows.group_by("hour").agg(
        pl.col(WEIGHT).sum().alias("events"),
        pl.col(WEIGHT).filter("failed").sum().alias("failures"),
        (pl.col(WEIGHT) ** 2).sum().alias("squares"),
    )
    failed = rows.filter("failed").select("hour", KEY, WEIGHT)
    least = (failures_min, times_min)
    return in_memory(hours, lambda found, failed: _runs(found, failed, window, least), failed)


def _runs(
    hours: pl.DataFrame, failed: pl.DataFrame, window: Window, least: tuple[float, float]
) -> pl.LazyFrame:
    """Return the columns of `incidents` out of the hours and the events that failed."""
    marked = hours.lazy().sort("hour")
    for _ in range(2):  # first against everything, then against what is not bad
        marked = _marked(marked, *least)
    bad = marked.filter("bad").with_columns(
        (pl.col("hour").diff() > timedelta(hours=1 + QUIET_HOURS_MAX))
        .fill_null(value=True)
        .cum_sum()
        .alias("run")
    )
    # an hour between two bad ones belongs to the run of the one before it
    within = marked.join_asof(bad.select("hour", "run"), on="hour").filter(
        pl.col("hour") <= pl.col("hour").filter("bad").max().over("run")
    )
    people = within.select("hour", "run").join(failed.lazy(), on="hour").collect()
    opens = pl.lit(window.opens_at).cast(pl.Datetime("ms", "UTC"))
    return (
        within.group_by("run")
        .agg(
            pl.col("hour").min().alias("started_at"),
            (pl.col("hour").max() + timedelta(hours=1)).alias("ended_at"),
            pl.col("events", "failures").sum(),
            pl.col("usual_rate").first(),
        )
        .filter(pl.col("ended_at") > opens)
        .join(distinct_of(people, ["run"], KEY), on="run", how="left")
        .select(
            "started_at",
            "ended_at",
            "events",
            "failures",
            ratio("failures", "events").alias("error_rate"),
            "usual_rate",
            pl.col("users").fill_null(0.0),
        )
        .sort("started_at")
    )


def _marked(hours: pl.LazyFrame, failures_min: float, times_min: float) -> pl.LazyFrame:
    """Return the hours with the rate of those not yet bad, and which are bad against it."""
    calm = ~pl.col("bad") if "bad" in hours.collect_schema() else pl.lit(value=True)
    usual = pl.col("failures").filter(calm).sum() / pl.col("events").filter(calm).sum()
    expected = pl.col("events") * pl.col("usual_rate")
    each = pl.col("squares") / pl.col("events")  # what one event stands for, in a sample
    noise = (expected * (1 - pl.col("usual_rate")) * each).sqrt()
    return hours.with_columns(usual.alias("usual_rate")).with_columns(
        (
            (pl.col("failures") >= failures_min)
            & (pl.col("failures") >= times_min * expected)
            & (pl.col("failures") - expected >= SURPRISE_MIN * noise)
        ).alias("bad")
    )
