"""How long operations take: percentiles, their distribution, Apdex and the slowest single ones.

Failures count in every number: a timeout someone sat through is latency they felt. Nothing here
averages percentiles; each is taken over the rows it describes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import MetricError, has_column, in_memory, unsampled, weighted
from data_access.metrics.registry import metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.window import Window

__all__ = [
    "QUANTILES",
    "apdex",
    "grouped_percentiles",
    "latency",
    "latency_distribution",
    "latency_heatmap",
    "quantile_column",
    "slowest",
]

QUANTILES: Final = (0.5, 0.75, 0.9, 0.95, 0.99)
DURATION: Final = "duration_ms"
BINS_PER_DECADE: Final = 4  # each bucket ends at 1.78 times its start
BINS_MAX: Final = 50
# powers of ten between which buckets are told apart: faster than 0.1 ms, or slower than a day
# and a bit, is one bucket each
DECADES: Final = (-1, 8)
SLOWEST_MAX: Final = 10_000


def quantile_column(quantile: float) -> str:
    """Return the column of a quantile: 0.5 is duration_ms_p50, 0.999 is duration_ms_p99_9."""
    percent = f"{round(quantile * 100, 8):.10g}"
    return f"{DURATION}_p{percent.replace('.', '_')}"


@metric("traces")
def latency(
    traces: pl.LazyFrame,
    window: Window,
    *,
    by: Sequence[str] = ("operation_name",),
    every: str | None = None,
    quantiles: Sequence[float] = QUANTILES,
) -> pl.LazyFrame:
    """Percentiles of how long operations took.

    Definition
    ----------
    Over the traces inside the window, failed ones included. Percentiles interpolate linearly;
    with weights, a row of weight w stands at w positions in a row and only the step from one
    row to the next is interpolated. Traces without a duration are counted, not timed.
    With `every` ("1d", "1w", "1mo") a Date column `period` comes first, the window grows to
    whole periods, and each group has a row for every period, quiet ones included.
    `by=()` gives one row for everything.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    traces : one row per finished operation.

    Columns
    -------
    operation_name : String; the `by` columns, whichever were asked for.
    traces : Float64, count; sum of weights.
    failures : Float64, count; those that did not succeed.
    duration_ms_p50 : Float64, milliseconds; null when nothing was timed.
    duration_ms_p75 : Float64, milliseconds.
    duration_ms_p90 : Float64, milliseconds.
    duration_ms_p95 : Float64, milliseconds.
    duration_ms_p99 : Float64, milliseconds.

    Errors
    ------
    MetricError : when a column of `by` does not exist or a quantile is not between 0 and 1.
    """
    _check_columns(traces, by)
    for quantile in quantiles:
        if not 0 <= quantile <= 1:
            raise MetricError(f"A quantile lies between 0 and 1, so not {quantile!r}. p95 is 0.95.")
    span = window if every is None else window.widened(every)
    rows = _timed(traces, span, *by, "success")
    if every is not None:
        rows = rows.with_columns(window.period(every=every).alias("period"))
    keys = ["period", *by] if every is not None else list(by)
    found = grouped_percentiles(
        rows,
        keys,
        quantiles,
        pl.col("weight").sum().alias("traces"),
        pl.col("weight").filter(~pl.col("success")).sum().alias("failures"),
    )
    if every is not None:
        calendar = window.calendar(every).select("period")
        found = in_memory(found, lambda counted: _every_period(counted.lazy(), calendar, by))
    names = [quantile_column(quantile) for quantile in quantiles]
    result = found.select(*keys, pl.col("traces", "failures").fill_null(0.0), *dict.fromkeys(names))
    return result.sort(keys) if keys else result


def _every_period(found: pl.LazyFrame, calendar: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Return a row for each period and each value of `by` found in any of them."""
    groups = calendar.join(found.select(by).unique(), how="cross") if by else calendar
    return groups.join(found, on=["period", *by], how="left", nulls_equal=True)


def grouped_percentiles(
    rows: pl.LazyFrame,
    keys: Sequence[str],
    quantiles: Sequence[float],
    *aggregates: pl.Expr,
) -> pl.LazyFrame:
    """Return `keys`, the aggregates and a duration percentile per quantile; without keys one row.

    Groups whose weights are all 1 take the native quantile; only those with another weight are
    gathered into lists, so sampling costs nobody who does not sample. `rows` needs `weight`
    (never null) and `duration_ms`, both Float64, and no column that nothing here uses.
    """
    if not keys:
        alone = [pl.lit(0, pl.Int8).alias("_all")]
        found = grouped_percentiles(rows.with_columns(alone), ["_all"], quantiles, *aggregates)
        return pl.LazyFrame().select(alone).join(found, on="_all", how="left").drop("_all")
    names = {quantile_column(quantile): quantile for quantile in quantiles}

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        plain = (
            found.lazy()
            .group_by(keys)
            .agg(
                *aggregates,
                *(pl.col(DURATION).quantile(q, "linear").alias(name) for name, q in names.items()),
            )
        )
        # looking for groups with other weights costs as much as all the rest
        return plain if unsampled(found) else _weighted(found.lazy(), plain, keys, names)

    return in_memory(rows, step)


def _weighted(
    rows: pl.LazyFrame, plain: pl.LazyFrame, keys: Sequence[str], names: dict[str, float]
) -> pl.LazyFrame:
    """Return `plain` with the weighted percentiles of the groups that hold a weight but 1."""
    sampled = rows.filter(pl.col("weight") != 1).select(keys).unique()
    gathered = (
        rows.filter(pl.col(DURATION).is_not_null())
        .join(sampled, on=keys, how="semi", nulls_equal=True)
        .group_by(keys)
        .agg(pl.col(DURATION).alias("_values"), pl.col("weight").alias("_upto"))
        .with_columns(pl.col("_values").list.eval(pl.element().arg_sort()).alias("_order"))
        .with_columns(
            pl.col("_values").list.gather(pl.col("_order")),
            pl.col("_upto").list.gather(pl.col("_order")).list.eval(pl.element().cum_sum()),
        )
        .select(*keys, *(_weighted_quantile(q).alias(f"_{name}") for name, q in names.items()))
    )
    return plain.join(gathered, on=keys, how="left", nulls_equal=True).select(
        pl.exclude([*names, *(f"_{name}" for name in names)]),
        *(pl.coalesce(f"_{name}", name).alias(name) for name in names),
    )


def _weighted_quantile(quantile: float) -> pl.Expr:
    """Return the quantile of the sorted list `_values` whose running weights are `_upto`."""
    wanted = (quantile * (pl.element().last() - 1)).clip(lower_bound=0.0)
    row = pl.col("_upto").list.eval((pl.element() <= wanted).sum()).list.first().cast(pl.Int64)
    position = (quantile * (pl.col("_upto").list.last() - 1)).clip(lower_bound=0.0)
    last_of_row = pl.col("_upto").list.get(row, null_on_oob=True) - 1
    value = pl.col("_values").list.get(row, null_on_oob=True)
    following = pl.col("_values").list.get(row + 1, null_on_oob=True).fill_null(value)
    return value + (position - last_of_row).clip(0.0, 1.0) * (following - value)


@metric("traces")
def latency_distribution(
    traces: pl.LazyFrame,
    window: Window,
    *,
    by: Sequence[str] = ("operation_name",),
    bins: int = BINS_PER_DECADE,
) -> pl.LazyFrame:
    """How many operations took how long, in buckets that grow by a constant factor.

    Definition
    ----------
    Over the traces inside the window that have a duration. A bucket holds the durations from
    its start up to, not including, its end; `bins` of them make a factor of ten. The first one
    takes everything below 0.1 ms, the last one everything from 100,000 seconds on. Every group
    has a row for each bucket between the fastest and the slowest trace seen, empty ones
    included.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    traces : one row per finished operation.

    Columns
    -------
    operation_name : String; the `by` columns, whichever were asked for.
    bucket_from_ms : Float64, milliseconds; inclusive.
    bucket_to_ms : Float64, milliseconds; exclusive, null for the open last one.
    traces : Float64, count; sum of weights.
    successes : Float64, count.
    failures : Float64, count.

    Errors
    ------
    MetricError : when a column of `by` does not exist or `bins` is not between 1 and 50.
    """
    _check_columns(traces, by)
    rows = _timed(traces, window, *by, "success").filter(pl.col(DURATION).is_not_null())
    counts = (
        rows.group_by(*by, _bucket(bins))
        .agg(
            pl.col("weight").sum().alias("traces"),
            pl.col("weight").filter("success").sum().alias("successes"),
        )
        .with_columns((pl.col("traces") - pl.col("successes")).alias("failures"))
    )

    def step(counted: pl.DataFrame) -> pl.LazyFrame:
        grid = _buckets_seen(counted.lazy(), bins)
        if by:
            grid = counted.lazy().select(by).unique().join(grid, how="cross")
        return (
            grid.join(counted.lazy(), on=[*by, "bucket"], how="left", nulls_equal=True)
            .select(
                *by,
                "bucket_from_ms",
                "bucket_to_ms",
                pl.col("traces", "successes", "failures").fill_null(0.0),
            )
            .sort(*by, "bucket_from_ms")
        )

    return in_memory(counts, step)


@metric("traces")
def latency_heatmap(
    traces: pl.LazyFrame, window: Window, *, every: str = "1d", bins: int = BINS_PER_DECADE
) -> pl.LazyFrame:
    """How many operations took how long, per period.

    Definition
    ----------
    Over the traces with a duration, in the whole periods the window touches. Every period has
    a row for each bucket between the fastest and the slowest trace seen; without any trace,
    each period has one row whose bucket is null. Buckets are those of `latency_distribution`.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    traces : one row per finished operation.

    Columns
    -------
    period : Date; first day of the period, quiet ones included.
    bucket_from_ms : Float64, milliseconds; inclusive.
    bucket_to_ms : Float64, milliseconds; exclusive, null for the open last one.
    traces : Float64, count; sum of weights.

    Errors
    ------
    MetricError : when `bins` is not between 1 and 50.
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    counts = (
        _timed(traces, window.widened(every))
        .filter(pl.col(DURATION).is_not_null())
        .group_by(window.period(every=every).alias("period"), _bucket(bins))
        .agg(pl.col("weight").sum().alias("traces"))
    )
    calendar = window.calendar(every).select("period", pl.lit(0, pl.Int8).alias("_all"))

    def step(counted: pl.DataFrame) -> pl.LazyFrame:
        # the constant key keeps the quiet periods when no bucket was seen at all
        grid = _buckets_seen(counted.lazy(), bins).with_columns(pl.lit(0, pl.Int8).alias("_all"))
        return (
            calendar.join(grid, on="_all", how="left")
            .join(counted.lazy(), on=["period", "bucket"], how="left")
            .select("period", "bucket_from_ms", "bucket_to_ms", pl.col("traces").fill_null(0.0))
            .sort("period", "bucket_from_ms")
        )

    return in_memory(counts, step)


@metric("traces")
def apdex(
    traces: pl.LazyFrame,
    window: Window,
    *,
    threshold_ms: float = 500,
    by: Sequence[str] = ("operation_name",),
) -> pl.LazyFrame:
    """Apdex: how satisfied people can be with the speed, as one number from 0 to 1.

    Definition
    ----------
    Over the traces inside the window. With the threshold T, a success within T satisfies, one
    within 4 T is tolerated, anything slower frustrates, and so does every failure, however
    fast. Apdex = (satisfied + tolerating / 2) / all three. A success without a duration says
    nothing about speed and is left out.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    traces : one row per finished operation.

    Columns
    -------
    operation_name : String; the `by` columns, whichever were asked for.
    satisfied : Float64, count; sum of weights.
    tolerating : Float64, count.
    frustrated : Float64, count.
    traces : Float64, count; the three together.
    apdex : Float64, 0 to 1; null when there is no trace.

    Errors
    ------
    MetricError : when a column of `by` does not exist or the threshold is not above 0.
    """
    _check_columns(traces, by)
    if not threshold_ms > 0:
        raise MetricError(f"threshold_ms={threshold_ms!r} must be above 0. 500 is half a second.")
    within = pl.col("success") & (pl.col(DURATION) <= threshold_ms)
    tolerable = pl.col("success") & pl.col(DURATION).is_between(
        threshold_ms, 4 * threshold_ms, closed="right"
    )
    counts = pl.col("satisfied", "tolerating", "traces").sum()
    rows = (
        _timed(traces, window, *by, "success")
        .filter(pl.col(DURATION).is_not_null() | ~pl.col("success"))
        .select(
            *by,
            pl.when(within).then("weight").alias("satisfied"),
            pl.when(tolerable).then("weight").alias("tolerating"),
            pl.col("weight").alias("traces"),
        )
    )
    found = rows.group_by(by).agg(counts) if by else rows.select(counts)
    score = (pl.col("satisfied") + pl.col("tolerating") / 2) / pl.col("traces")
    frustrated = pl.col("traces") - pl.col("satisfied") - pl.col("tolerating")
    result = found.select(
        *by,
        "satisfied",
        "tolerating",
        frustrated.alias("frustrated"),
        "traces",
        pl.when(pl.col("traces") > 0).then(score).alias("apdex"),
    )
    return result.sort(by) if by else result


@metric("traces")
def slowest(traces: pl.LazyFrame, window: Window, limit: int = 50) -> pl.LazyFrame:
    """List the slowest single operations.

    Definition
    ----------
    The `limit` traces inside the window with the longest durations, slowest first; equal ones
    newest first. Each row is one trace, whatever its weight.

    On sampled data complete above the limit from which all slow ones are kept.

    Source
    ------
    traces : one row per finished operation.

    Columns
    -------
    duration_ms : Float64, milliseconds.
    timestamp : Datetime, UTC.
    operation_name : String.
    success : Boolean.
    user_id_hash : String.
    user_tier : String.
    session_id : String.
    channel : String.
    release : String.
    event_id : String.

    Errors
    ------
    MetricError : when `limit` is not between 1 and 10,000.
    """
    if not 1 <= limit <= SLOWEST_MAX:
        raise MetricError(f"limit={limit!r} must lie between 1 and {SLOWEST_MAX:,}.")
    order = [DURATION, "timestamp", "event_id"]
    return (
        traces.filter(window.contains(), pl.col(DURATION).is_not_null())
        .select(
            *(DURATION, "timestamp", "operation_name", "success", "user_id_hash", "user_tier"),
            *("session_id", "channel", "release", "event_id"),
        )
        .sort(order, descending=True)
        .head(limit)
    )


def _timed(traces: pl.LazyFrame, window: Window, *columns: str) -> pl.LazyFrame:
    """Return the window's rows with weight and duration, an unknown outcome being a success."""
    rows = weighted(traces.filter(window.contains()))
    asked = list(dict.fromkeys(("timestamp", "weight", DURATION, *columns)))
    rows = rows.select(asked).with_columns(pl.col(DURATION).cast(pl.Float64))
    if "success" not in columns:
        return rows
    return rows.with_columns(pl.col("success").fill_null(value=True))


def _check_columns(frame: pl.LazyFrame, names: Sequence[str]) -> None:
    for name in names:
        if not has_column(frame, name):
            raise MetricError(
                f"The frame has no column {name!r} to group by. It has "
                f"{', '.join(frame.collect_schema().names())}."
            )


def _bucket_starts(bins: int) -> list[float]:
    """Return where each bucket but the first starts; the first one starts at 0."""
    if not 1 <= bins <= BINS_MAX:
        raise MetricError(f"bins={bins!r} must lie between 1 and {BINS_MAX} per factor of ten.")
    lowest, highest = (decade * bins for decade in DECADES)
    return [10 ** (number / bins) for number in range(lowest, highest + 1)]


def _bucket(bins: int) -> pl.Expr:
    """Return the number of a duration's bucket, from 0.

    Searched among the very bounds that are shown: a logarithm puts 1000 ms just below 10^3.
    """
    starts = pl.lit(pl.Series(_bucket_starts(bins)))
    return starts.search_sorted(pl.col(DURATION), side="right").cast(pl.Int32).alias("bucket")


def _buckets_seen(counts: pl.LazyFrame, bins: int) -> pl.LazyFrame:
    """Return every bucket between the lowest and the highest in `counts`, with its bounds."""
    starts = _bucket_starts(bins)
    buckets = pl.LazyFrame(
        {
            "bucket": range(len(starts) + 1),
            "bucket_from_ms": [0.0, *starts],
            "bucket_to_ms": [*starts, None],
        },
        schema={"bucket": pl.Int32, "bucket_from_ms": pl.Float64, "bucket_to_ms": pl.Float64},
    )
    seen = counts.select(
        pl.col("bucket").min().alias("_low"), pl.col("bucket").max().alias("_high")
    )
    within = pl.col("bucket").is_between("_low", "_high")
    return buckets.join(seen, how="cross").filter(within).drop("_low", "_high")
