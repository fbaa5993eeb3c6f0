"""Releases: when each first appeared and how it does, for marks on charts and comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from data_access.metrics.common import (
    KEY,
    TIMESTAMP,
    WEIGHT,
    distinct_of,
    earlier,
    in_memory,
    reduced,
    weight_of,
    weighted,
)
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

    On sampled data estimates: the weights are added up; first_seen may be late.

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
    named = pl.col("release") != ""
    uses = events.filter(window.contains(), named).select(
        "release",
        TIMESTAMP,
        person_key(),
        weight_of(events),
        (pl.col("result") != "success").fill_null(value=False).alias("failed"),
    )
    timed = weighted(traces.filter(window.contains(), named)).select(
        "release", TIMESTAMP, pl.col("duration_ms").cast(pl.Float64), WEIGHT
    )
    fast = grouped_percentiles(timed, ["release"], (0.95,), pl.col(TIMESTAMP).min())
    before = (
        pl.concat([frame.select("release", TIMESTAMP) for frame in (events, traces)])
        .filter(earlier(window), named)
        .group_by("release")
        .agg(pl.col(TIMESTAMP).min())
    )
    return in_memory(uses, _compared, fast, before)


def _compared(uses: pl.DataFrame, fast: pl.DataFrame, before: pl.DataFrame) -> pl.LazyFrame:
    """Return the columns of `releases` out of the window's rows and those before."""
    key, first = ["release"], pl.col(TIMESTAMP).min()
    counts, users = reduced(
        uses.lazy()
        .group_by(key)
        .agg(
            first,
            pl.col(WEIGHT).sum().alias("events"),
            pl.col(WEIGHT).filter("failed").sum().alias("failures"),
        ),
        distinct_of(uses, key, KEY, "users"),
    )
    inside = pl.concat([part.select("release", TIMESTAMP) for part in (counts, fast.lazy())])
    seen = pl.concat([inside, before.lazy()]).group_by(key).agg(first.alias("first_seen"))
    table = seen.join(inside, on=key, how="semi")
    for part in (counts.drop(TIMESTAMP), users, fast.lazy().drop(TIMESTAMP)):
        table = table.join(part, on=key, how="left")
    return (
        table.with_columns(pl.col("events", "users", "failures").fill_null(0.0))
        .select(
            *("release", "first_seen", "events", "users"),
            ratio("failures", "events").alias("error_rate"),
            "duration_ms_p95",
        )
        .sort("release")
    )


def first_seen(rows: pl.LazyFrame, *, window: Window) -> pl.LazyFrame:
    """Return each named release and its first_seen, up to the window's end."""
    return (
        rows.filter(window.before(), pl.col("release") != "")
        .group_by("release")
        .agg(pl.col(TIMESTAMP).min().alias("first_seen"))
    )
