"""Changes worth a sentence: the day an operation became slower, or failures more frequent.

A finding is a step: the days before it look alike, the days after it look alike, and the two
differ by more than the thresholds below. Quiet or noisy data gives none rather than a guess.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import MetricError, has_column, in_memory, weight_of, weighted
from data_access.metrics.latency import grouped_percentiles
from data_access.metrics.registry import ALL_HISTORY, metric
from data_access.metrics.releases import first_seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.window import Window

__all__ = ["error_shifts", "shifts"]

MIN_DAYS: Final = 3  # days with data on each side of a step
MIN_TRACES: Final = 50  # traces, or events, on each side
SIDE_DAYS_MAX: Final = 14  # a step is judged against two weeks on each side: a fix may be near
RATIO_MIN: Final = 1.5  # p95 grew to this many times itself, or shrank to one such part
DURATION_MS_MIN: Final = 20.0  # a change nobody can feel is no news, whatever its ratio
ERROR_RATE_CHANGE_MIN: Final = 0.01  # one percentage point
Z_MIN: Final = 4.0  # failures before and after differ by this many units of chance
TINY: Final = 1e-3  # milliseconds; keeps the logarithm of an instant operation finite


@metric("traces", lookback_days=ALL_HISTORY)
def shifts(traces: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Find the days on which each operation's p95 rose most and fell most.

    Definition
    ----------
    Takes the p95 of every day with traces and, for each day of the window, the median of up to
    14 calendar days before it and of as many from it on. Days before the window count among
    those before, days after it never count. A step needs 3 days and 50 traces with a duration
    on each side, a ratio of at least 1.5 either way, and 20 ms; the day itself has to look like
    those after it and the last one before it like those before. Of the days that qualify,
    those that part the days around them best are kept: at most one rise and one fall an
    operation. Each day around counts by which of the two medians it is nearer to, so that one
    bad day neither makes a step nor moves it.
    The release is the last one first seen on that day or the day before.

    On sampled data noisier: a small step may be missed.

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
    around = _with_days_before(window)
    rows = (
        weighted(traces.filter(around.contains(), pl.col("duration_ms").is_not_null()))
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
    by = ["operation_name"]
    best = in_memory(
        daily, lambda days: _best(_steps(days, by, level, window, worthwhile=[worthwhile]), by)
    )
    return (
        _with_release(best, traces, window)
        .select(
            "operation_name",
            "day",
            ratio.alias("ratio"),
            pl.col("before").alias("duration_ms_p95_before"),
            pl.col("after").alias("duration_ms_p95_after"),
            "release",
        )
        .sort("operation_name", "day")
    )


@metric("events", lookback_days=ALL_HISTORY)
def error_shifts(
    events: pl.LazyFrame, window: Window, *, by: Sequence[str] = ("event_name",)
) -> pl.LazyFrame:
    """Find the days on which each kind of event's error rate rose most and fell most.

    Definition
    ----------
    Like `shifts`, on the daily error rate: events with a result other than success divided by
    events. A step needs 3 days and 50 events on each side, a change of one percentage point, a
    ratio of at least 1.5 either way, and more than chance: the two-proportion z of all failures
    of the days after and before, sampled events counting as fewer, lies beyond 4. Rank by the
    excess: how many failures there were after the step that the rate before does not explain.
    `by=()` looks at all events together.

    On sampled data noisier: a small step may be missed.

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
    excess : Float64, count; failures of the days after beyond those at the rate before, summed
        over the days and negative for a fall.
    release : String; null when none is first seen then.

    Errors
    ------
    MetricError : when a column of `by` does not exist, or is `release`, which the result names.
    """
    by = list(dict.fromkeys(by))
    for name in by:
        if not has_column(events, name):
            raise MetricError(f"The events have no column {name!r} to group by.")
    if "release" in by:
        raise MetricError("A step says which release came with it. Filter by one instead.")
    failed = (pl.col("result") != "success").fill_null(value=False)
    rows = events.filter(_with_days_before(window).contains()).select(
        *by,
        window.day().alias("_day"),
        weight_of(events).alias("_weight"),
        failed.alias("_failed"),
    )
    daily = (
        rows.group_by(*by, "_day")
        .agg(
            pl.len().cast(pl.Int64).alias("count"),
            pl.col("_weight").filter("_failed").sum().alias("failures"),
            pl.col("_weight").sum().alias("events"),
            (pl.col("_weight") ** 2).sum().alias("noise"),
        )
        .rename({"_day": "day"})
        .with_columns((pl.col("failures") / pl.col("events")).alias("value"))
    )
    best = in_memory(daily, lambda days: _best(_worse_or_better(days, by, window), by))
    ratio = pl.when(pl.col("before") > 0).then(pl.col("after") / pl.col("before"))
    result = _with_release(best, events, window).select(
        *by,
        "day",
        ratio.alias("ratio"),
        pl.col("before").alias("error_rate_before"),
        pl.col("after").alias("error_rate_after"),
        "excess",
        "release",
    )
    return result.sort(*by, "day")


def _with_days_before(window: Window) -> Window:
    """Return the window with the whole days before it that its first days are judged against."""
    start = window.start - timedelta(days=SIDE_DAYS_MAX)
    return replace(window, start=start, start_at=None)


def _worse_or_better(daily: pl.DataFrame, by: Sequence[str], window: Window) -> pl.LazyFrame:
    """Return the steps of an error rate that are large and no chance, with their excess."""
    low, high = pl.min_horizontal("before", "after"), pl.max_horizontal("before", "after")
    before, after = (pl.col(f"failures_{side}") / pl.col(f"events_{side}") for side in _SIDES)
    # sampled events say as much as this many unsampled ones
    worth = [pl.col(f"events_{side}") ** 2 / pl.col(f"noise_{side}") for side in _SIDES]
    hits = before * worth[0] + after * worth[1]
    rate = hits / (worth[0] + worth[1])
    z = (after - before) / (rate * (1 - rate) * (1 / worth[0] + 1 / worth[1])).sqrt()
    worthwhile = [
        high - low >= ERROR_RATE_CHANGE_MIN,
        high >= RATIO_MIN * low,
        # in the direction of the medians: one terrible day must not stand for the others
        z * (pl.col("after") - pl.col("before")).sign() >= Z_MIN,
    ]
    sums = ("failures", "events", "noise")
    steps = _steps(daily, by, pl.col("value"), window, worthwhile=worthwhile, sums=sums)
    excess = pl.col("failures_after") - before * pl.col("events_after")
    return steps.with_columns(excess.alias("excess"))


_SIDE: Final = f"{SIDE_DAYS_MAX}d"
_SIDES: Final = {"before": f"-{_SIDE}", "after": "0d"}  # each from here on, that many days


def _steps(
    daily: pl.DataFrame,
    by: Sequence[str],
    level: pl.Expr,
    window: Window,
    *,
    worthwhile: Sequence[pl.Expr],
    sums: Sequence[str] = (),
) -> pl.LazyFrame:
    """Return for each group and `worthwhile` day both medians and how well it parts them.

    Columns: by, day, before, after, score, and the `sums` of both sides. The score is that of a
    jump as in a CUSUM, the difference of the levels times the square root of n m / (n + m), by
    the share of days that look like their own side: a day's distance beyond that has no say.
    """
    values = daily.lazy().with_columns(level.alias("level")).sort(*by, "day")
    keys = [*by, "day"]
    sides = values.select(
        *keys,
        pl.col("value").alias("on_the_day"),
        (pl.col("value").shift(1).over(by) if by else pl.col("value").shift(1)).alias("on_its_eve"),
    ).filter(pl.col("day").is_between(window.start, window.end, closed="left"))
    for side, offset in _SIDES.items():
        around = values.rolling(
            "day", period=_SIDE, offset=offset, closed="left", group_by=by or None
        ).agg(
            pl.col("value").median().alias(side),
            pl.col("level").median().alias(f"level_{side}"),
            pl.len().cast(pl.Float64).alias(f"days_{side}"),
            *(pl.col(name).sum().alias(f"{name}_{side}") for name in ("count", *sums)),
        )
        sides = sides.join(around, on=keys, how="left", nulls_equal=True)
    from_before, from_after = (
        {day: (pl.col(day) - pl.col(side)).abs() for day in ("on_the_day", "on_its_eve")}
        for side in _SIDES
    )
    possible = sides.filter(
        # else two new days would outvote the old one before them, and the step be dated too early
        from_after["on_the_day"] < from_before["on_the_day"],
        # else a step of the week before the window would be dated to the window's first day
        from_before["on_its_eve"] <= from_after["on_its_eve"],
        pl.min_horizontal("days_before", "days_after") >= MIN_DAYS,
        pl.min_horizontal("count_before", "count_after") >= MIN_TRACES,
        *worthwhile,
    )
    jump = (pl.col("right") - pl.col("wrong")) * (
        pl.col("level_after") - pl.col("level_before")
    ).abs()
    days = pl.col("days_before") * pl.col("days_after")
    strength = (days / (pl.col("days_before") + pl.col("days_after"))).sqrt()
    return possible.join(_alike(values, possible, by), on=keys, nulls_equal=True).select(
        *keys,
        *_SIDES,
        (jump * strength).alias("score"),
        *(f"{name}_{side}" for name in sums for side in _SIDES),
    )


def _alike(values: pl.LazyFrame, steps: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Return for each step the share of days that look like those after it, on both sides.

    Columns: by, day, right (of the days after it), wrong (of those before it).
    """
    offsets = pl.LazyFrame(
        {"offset": range(-SIDE_DAYS_MAX, SIDE_DAYS_MAX)}, schema={"offset": pl.Int64}
    )
    away = {side: (pl.col("level") - pl.col(f"level_{side}")).abs() for side in _SIDES}
    levels = [f"level_{side}" for side in _SIDES]
    looks, later = (away["after"] < away["before"]), pl.col("offset") >= 0
    return (
        steps.select(*by, pl.col("day").alias("step"), *levels)
        .join(offsets, how="cross")
        .with_columns((pl.col("step") + pl.duration(days=pl.col("offset"))).alias("day"))
        .join(values.select(*by, "day", "level"), on=[*by, "day"], nulls_equal=True)
        .group_by(*by, "step")
        .agg(looks.filter(later).mean().alias("right"), looks.filter(~later).mean().alias("wrong"))
        .rename({"step": "day"})
    )


def _best(steps: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Return each group's rise and fall with the highest score; of equal ones the first."""
    kinds = [*by, "_rise"]
    ranked = steps.with_columns((pl.col("after") > pl.col("before")).alias("_rise")).sort(
        [*kinds, "score", "day"], descending=[*(False for _ in kinds), True, False]
    )
    return ranked.group_by(kinds, maintain_order=True).first().drop("_rise")


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
