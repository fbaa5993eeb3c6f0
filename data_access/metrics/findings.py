"""Changes worth a sentence: the day an operation became slower, or failures more frequent.

A finding is a step: the days before it look alike, the days after it look alike, and the two
differ by more than the thresholds below. Quiet or noisy data gives none rather than a guess.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import MetricError, has_column, weighted
from data_access.metrics.latency import grouped_percentiles
from data_access.metrics.registry import ALL_HISTORY, metric
from data_access.metrics.releases import first_seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.window import Window

__all__ = ["error_shifts", "shifts"]

MIN_DAYS: Final = 3  # days with data on each side of a step
MIN_TRACES: Final = 50  # traces, or events, on each side
SIDE_DAYS_MAX: Final = 28  # a step is judged against four weeks on each side, not against years
RATIO_MIN: Final = 1.5  # p95 grew to this many times itself, or shrank to one such part
DURATION_MS_MIN: Final = 20.0  # a change nobody can feel is no news, whatever its ratio
ERROR_RATE_CHANGE_MIN: Final = 0.01  # one percentage point
TINY: Final = 1e-3  # milliseconds; keeps the logarithm of an instant operation finite


@metric("traces", lookback_days=ALL_HISTORY)
def shifts(traces: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Find the day on which each operation's p95 changed most.

    Definition
    ----------
    Takes the p95 of every day with traces inside the window and, for each day, the median of
    up to 28 calendar days before it and of as many from it on. A step needs 3 days and 50
    traces with a duration on each side, a ratio of at least 1.5 either way, and 20 ms, and the
    day itself has to look like those after it. Of the days that qualify, the one that parts
    the days best is kept: at most one row an operation.
    The release is the last one first seen on that day or the day before.

    Source
    ------
    traces : one row per finished operation; all history, to know since when a release exists.

    Columns
    -------
    operation_name : String.
    day : Date; the first day that looks different.
    ratio : Float64; after / before.
    duration_ms_p95_before : Float64, milliseconds; median of the daily p95.
    duration_ms_p95_after : Float64, milliseconds; median of the daily p95.
    release : String; null when none is first seen then.
    """
    rows = (
        weighted(traces.filter(window.contains(), pl.col("duration_ms").is_not_null()))
        .select(
            "operation_name",
            pl.col("duration_ms").cast(pl.Float64),
            "weight",
            window.day().alias("day"),
        )
        .filter(pl.col("operation_name").is_not_null())
    )
    count = pl.len().cast(pl.Int64).alias("count")
    daily = grouped_percentiles(rows, ["operation_name", "day"], (0.95,), count).select(
        "operation_name", "day", "count", pl.col("duration_ms_p95").alias("value")
    )
    ratio = pl.col("after") / pl.col("before")
    worthwhile = (
        (pl.max_horizontal(ratio, 1 / ratio) >= RATIO_MIN)
        & ((pl.col("after") - pl.col("before")).abs() >= DURATION_MS_MIN)
        & (pl.col("before") > 0)
    )
    # on the logarithm, so that doubling and halving weigh the same
    level = pl.max_horizontal("value", pl.lit(TINY)).log()
    steps = _steps(daily, ["operation_name"], level).filter(worthwhile)
    return (
        _with_release(_best(steps, ["operation_name"]), traces, window)
        .select(
            "operation_name",
            "day",
            ratio.alias("ratio"),
            pl.col("before").alias("duration_ms_p95_before"),
            pl.col("after").alias("duration_ms_p95_after"),
            "release",
        )
        .sort("operation_name")
    )


@metric("events", lookback_days=ALL_HISTORY)
def error_shifts(
    events: pl.LazyFrame, window: Window, *, by: Sequence[str] = ("event_name",)
) -> pl.LazyFrame:
    """Find the day on which each kind of event's error rate changed most.

    Definition
    ----------
    Like `shifts`, on the daily error rate: events with a result other than success divided by
    events. A step needs 3 days and 50 events on each side, a change of one percentage point,
    and a ratio of at least 1.5 either way. `by=()` looks at all events together.

    Source
    ------
    events : one row per event; all history, to know since when a release exists.

    Columns
    -------
    event_name : String; the `by` columns, whichever were asked for.
    day : Date; the first day that looks different.
    ratio : Float64; after / before, null when there were no failures before.
    error_rate_before : Float64, 0 to 1; median of the daily rates.
    error_rate_after : Float64, 0 to 1; median of the daily rates.
    release : String; null when none is first seen then.

    Errors
    ------
    MetricError : when a column of `by` does not exist.
    """
    for name in by:
        if not has_column(events, name):
            raise MetricError(f"The events have no column {name!r} to group by.")
    failed = pl.col("weight").filter(pl.col("result") != "success").sum()
    daily = (
        weighted(events.filter(window.contains()))
        .group_by(*by, window.day().alias("day"))
        .agg(
            pl.len().cast(pl.Int64).alias("count"),
            (failed / pl.col("weight").sum()).alias("value"),
        )
    )
    low, high = pl.min_horizontal("before", "after"), pl.max_horizontal("before", "after")
    worthwhile = (high - low >= ERROR_RATE_CHANGE_MIN) & (high >= RATIO_MIN * low)
    steps = _steps(daily, by, pl.col("value")).filter(worthwhile)
    ratio = pl.when(pl.col("before") > 0).then(pl.col("after") / pl.col("before"))
    result = _with_release(_best(steps, by), events, window).select(
        *by,
        "day",
        ratio.alias("ratio"),
        pl.col("before").alias("error_rate_before"),
        pl.col("after").alias("error_rate_after"),
        "release",
    )
    return result.sort(*by, "day")


def _steps(daily: pl.LazyFrame, by: Sequence[str], level: pl.Expr) -> pl.LazyFrame:
    """Return for each group and day the medians on both sides and how well it parts them.

    Columns: by, day, before, after, score. The score is that of a jump of the mean level, as in
    a CUSUM: the difference of the means times the square root of n m / (n + m).
    """
    values = daily.with_columns(level.alias("level"))
    offsets = pl.LazyFrame(
        {"offset": range(-SIDE_DAYS_MAX, SIDE_DAYS_MAX)}, schema={"offset": pl.Int64}
    )
    # each value takes part in the 56 steps it lies near: linear in days, however long the window
    near = (
        values.join(offsets, how="cross")
        .with_columns(
            (pl.col("day") - pl.duration(days=pl.col("offset"))).alias("step"),
            (pl.col("offset") >= 0).alias("later"),
        )
        .join(
            values.select(*by, pl.col("day").alias("step")),
            on=[*by, "step"],
            how="semi",
            nulls_equal=True,
        )
    )
    earlier, later = ~pl.col("later"), pl.col("later")
    sides = near.group_by(*by, "step").agg(
        pl.col("value").filter(earlier).median().alias("before"),
        pl.col("value").filter(later).median().alias("after"),
        pl.col("value").filter(pl.col("offset") == 0).first().alias("on_the_day"),
        (pl.col("level").filter(later).mean() - pl.col("level").filter(earlier).mean())
        .abs()
        .alias("jump"),
        earlier.sum().cast(pl.Float64).alias("days_before"),
        later.sum().cast(pl.Float64).alias("days_after"),
        pl.col("count").filter(earlier).sum().alias("count_before"),
        pl.col("count").filter(later).sum().alias("count_after"),
    )
    days = pl.col("days_before") * pl.col("days_after")
    strength = (days / (pl.col("days_before") + pl.col("days_after"))).sqrt()
    # else two new days would outvote the old one before them, and the step be dated too early
    belongs = (pl.col("on_the_day") - pl.col("after")).abs() < (
        pl.col("on_the_day") - pl.col("before")
    ).abs()
    return sides.filter(
        belongs,
        pl.min_horizontal("days_before", "days_after") >= MIN_DAYS,
        pl.min_horizontal("count_before", "count_after") >= MIN_TRACES,
    ).select(
        *by,
        pl.col("step").alias("day"),
        "before",
        "after",
        (pl.col("jump") * strength).alias("score"),
    )


def _best(steps: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Return the step with the highest score of each group; of equal ones the first."""
    ranked = steps.sort([*by, "score", "day"], descending=[*(False for _ in by), True, False])
    if not by:
        return ranked.head(1)
    return ranked.group_by(by, maintain_order=True).first()


def _with_release(steps: pl.LazyFrame, rows: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Add the last release first seen on the step's day or the day before."""
    seen = first_seen(rows, window=window).select("release", "first_seen")
    begun = window.day("first_seen")
    new = (
        pl.concat(
            [seen.with_columns((begun + timedelta(days=delay)).alias("day")) for delay in (0, 1)]
        )
        .sort("first_seen", "release")
        .group_by("day")
        .agg(pl.col("release").last())
    )
    return steps.join(new, on="day", how="left")
