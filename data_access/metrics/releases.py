"""Releases: when each first appeared and how it does, for marks on charts and comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from data_access.metrics.common import KEY, weighted
from data_access.metrics.kpis import person_key, ratio
from data_access.metrics.latency import grouped_percentiles
from data_access.metrics.registry import ALL_HISTORY, metric

if TYPE_CHECKING:
    from data_access.window import Window

__all__ = ["first_seen", "releases"]


@metric("events", "traces", lookback_days=ALL_HISTORY)
def releases(events: pl.LazyFrame, traces: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Every release in use: since when, by how many, how often it fails, how fast it is.

    Definition
    ----------
    Releases named by an event or a trace inside the window. first_seen is the release's first
    event or trace over all history; one that lies in the window marks a roll-out. Users have
    any event under the release. Rows that name no release are left out.

    Source
    ------
    events : one row per event, all history.
    traces : one row per finished operation, all history.

    Columns
    -------
    release : String.
    first_seen : Datetime, UTC; over all history.
    events : Float64, count; sum of weights.
    users : Float64, count.
    error_rate : Float64, 0 to 1; failed events / events, null without events.
    duration_ms_p95 : Float64, milliseconds; of all its traces, null without a timed one.
    """
    seen = first_seen(events, traces, window=window).filter("inside").drop("inside")
    named = pl.col("release") != ""
    people = (
        weighted(events.filter(window.contains(), named))
        .group_by("release", person_key())
        .agg(
            pl.col("weight").min(),
            pl.col("weight").sum().alias("events"),
            pl.col("weight").filter(pl.col("result") != "success").sum().alias("failures"),
        )
        .group_by("release")
        .agg(
            pl.col("events", "failures").sum(),
            pl.col("weight").filter(pl.col(KEY).is_not_null()).sum().alias("users"),
        )
    )
    timed = weighted(traces.filter(window.contains(), named)).with_columns(
        pl.col("duration_ms").cast(pl.Float64)
    )
    return (
        seen.join(people, on="release", how="left")
        .join(grouped_percentiles(timed, ["release"], (0.95,)), on="release", how="left")
        .with_columns(pl.col("events", "users", "failures").fill_null(0.0))
        .select(
            *("release", "first_seen", "events", "users"),
            ratio("failures", "events").alias("error_rate"),
            "duration_ms_p95",
        )
        .sort("release")
    )


def first_seen(*frames: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Return each named release: release, first_seen up to the window's end, inside (it)."""
    rows = pl.concat([frame.select("release", "timestamp") for frame in frames])
    return (
        rows.filter(window.before(), pl.col("release") != "")
        .group_by("release")
        .agg(
            pl.col("timestamp").min().alias("first_seen"),
            window.contains().any().alias("inside"),
        )
    )
