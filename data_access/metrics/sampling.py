"""How much of what happened was kept, so that a page can say which numbers are estimates."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    TIMESTAMP,
    USER,
    WEIGHT,
    in_memory,
    keep_rates,
    unsampled,
    weight_of,
    weighted,
)
from data_access.metrics.registry import ALL_HISTORY, metric

if TYPE_CHECKING:
    from data_access.window import Window

__all__ = ["sampling"]

# metrics that show rows as they are: nothing of them is estimated
AS_WRITTEN: Final = frozenset(
    {
        *("error_occurrences", "people_events", "slowest"),
        *("user_errors", "user_rows", "user_sessions", "user_tiers", "user_timeline", "user_tools"),
    }
)
DAYS_BEFORE: Final = 29  # as far back as MAU looks


@metric("events", "errors", "traces", lookback_days=ALL_HISTORY)
def sampling(
    events: pl.LazyFrame, errors: pl.LazyFrame, traces: pl.LazyFrame, window: Window
) -> pl.LazyFrame:
    """How much of each table is a sample, and of which share of the people.

    Definition
    ----------
    Over the rows of the window and of the 29 days before it, which MAU counts. A row of a
    weight above 1 is from a sample unless somebody who carries that weight lies outside the
    share it names: then it is a count that was imported as one row. The keep rate is the lowest
    one that so many people carry that it is no chance; null when there is none, as in a sample
    of sessions.

    Source
    ------
    events : one row per event.
    errors : one row per error, or per run of equal ones.
    traces : one row per finished operation.

    Columns
    -------
    source : String; errors, events or traces.
    keep_rate : Float64, 0 to 1; share of the people whose ordinary rows are kept.
    users_kept : Int64, count; people with a row from a sample.
    rows_kept : Int64, count; rows from a sample.
    events : Float64, count; rows before sampling, the sum of the weights of rows_kept.
    """
    since = pl.lit(window.opens_at - timedelta(days=DAYS_BEFORE)).cast(pl.Datetime("ms", "UTC"))
    when = window.before() & (pl.col(TIMESTAMP) >= since)
    tables = {"errors": errors, "events": events, "traces": traces}
    # the largest weight alone is read in a quarter of the time, and mostly it is 1
    most = [frame.select(weight_of(frame).max()) for frame in tables.values()]

    def step(*most: pl.DataFrame) -> pl.LazyFrame:
        told = [
            _told(name, None if unsampled(largest) else frame.filter(when))
            for (name, frame), largest in zip(tables.items(), most, strict=True)
        ]
        return pl.concat(told)

    return in_memory(most[0], step, *most[1:])


def _told(source: str, rows: pl.LazyFrame | None) -> pl.LazyFrame:
    """Return one row about one table; None is one without a weight above 1."""
    heavy = pl.DataFrame(schema={USER: pl.String, WEIGHT: pl.Float64, "rows": pl.Int64})
    if rows is not None:
        counted = weighted(rows).filter(pl.col(WEIGHT) > 1).group_by(USER, WEIGHT)
        heavy = counted.agg(pl.len().cast(pl.Int64).alias("rows")).collect(engine="streaming")
    rates = keep_rates(heavy)
    kept = heavy.join(rates, on=WEIGHT, how="semi")
    known = rates.filter("is_known")["keep_rate"]
    return kept.lazy().select(
        pl.lit(source).alias("source"),
        pl.lit(known.min(), pl.Float64).alias("keep_rate"),
        pl.col(USER).drop_nulls().n_unique().cast(pl.Int64).alias("users_kept"),
        pl.col("rows").sum().alias("rows_kept"),
        (pl.col("rows") * pl.col(WEIGHT)).sum().alias("events"),
    )
