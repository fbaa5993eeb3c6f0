"""Who is behind a number of a page: the people of a day, a tier, an error, an operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    TIMESTAMP,
    USER,
    WEIGHT,
    event_predicate,
    in_memory,
    weighted,
)
from data_access.metrics.properties import property_of
from data_access.metrics.registry import metric
from ingest.vocabulary import ACTIVE_EVENTS

if TYPE_CHECKING:
    from data_access.metrics.common import Event
    from data_access.window import Window

__all__ = ["error_people", "people", "trace_people"]

_COLUMNS: Final = (USER, "times", "first_at", "last_at", "user_tier", WEIGHT)


@metric("events")
def people(
    events: pl.LazyFrame,
    window: Window,
    *,
    active_events: Event = ACTIVE_EVENTS,
    by: str | None = None,
    value: str | None = None,
) -> pl.LazyFrame:
    """List the people with certain events inside the window.

    Definition
    ----------
    Everybody with an event named in `active_events` (None: any event) inside the window and, when
    `by` is given, with `value` in that column or metadata key of the same event; a `value` of
    None asks for rows that say nothing there. The sum of `weight` is the number of people the
    pages show for the same question.

    On sampled data an estimate: each person stands for `weight` people.

    Source
    ------
    events : one row per event.

    Columns
    -------
    user_id_hash : String.
    times : Float64, count; such events, the sum of weights.
    first_at : Datetime, UTC; the first of them.
    last_at : Datetime, UTC; the last of them.
    user_tier : String; at the last of them, any one of several in the same millisecond.
    weight : Float64, people this one stands for; the smallest weight of the events.

    Errors
    ------
    MetricError : when `active_events` is empty, or `by` can be no metadata key.
    """
    return _listed(events, window, event_predicate(active_events), by, value)


@metric("errors")
def error_people(errors: pl.LazyFrame, window: Window, *, group: str | None = None) -> pl.LazyFrame:
    """List the people who met errors inside the window, of one group or of any.

    Definition
    ----------
    Everybody with an error inside the window; with `group`, of that group_hash. `times` is the
    occurrences, each as many as the row's weight.

    On sampled data exact, since errors are always kept.

    Source
    ------
    errors : one row per error, or per run of equal ones.

    Columns
    -------
    user_id_hash : String.
    times : Float64, count; occurrences x weight.
    first_at : Datetime, UTC; the first of them.
    last_at : Datetime, UTC; the last of them.
    user_tier : String; at the last of them.
    weight : Float64, people this one stands for; the smallest weight of the errors.
    """
    wanted = pl.lit(value=True) if group is None else pl.col("group_hash") == group
    return _listed(errors, window, wanted, None, None, times=pl.col("occurrences").fill_null(1))


@metric("traces")
def trace_people(
    traces: pl.LazyFrame, window: Window, *, operation: str | None = None
) -> pl.LazyFrame:
    """List the people whose operations were timed inside the window, of one name or of any.

    Definition
    ----------
    Everybody with a trace inside the window; with `operation`, of that operation_name.

    On sampled data an estimate: each person stands for `weight` people.

    Source
    ------
    traces : one row per finished operation.

    Columns
    -------
    user_id_hash : String.
    times : Float64, count; operations, the sum of weights.
    first_at : Datetime, UTC; the first of them.
    last_at : Datetime, UTC; the last of them.
    user_tier : String; at the last of them.
    weight : Float64, people this one stands for; the smallest weight of the traces.
    """
    wanted = pl.lit(value=True) if operation is None else pl.col("operation_name") == operation
    return _listed(traces, window, wanted, None, None)


def _listed(
    rows: pl.LazyFrame,
    window: Window,
    wanted: pl.Expr,
    by: str | None,
    value: str | None,
    *,
    times: pl.Expr | None = None,
) -> pl.LazyFrame:
    """Return one row per person with such a row inside the window."""
    kept = weighted(rows).filter(window.contains(), wanted, pl.col(USER).is_not_null())
    if by is not None:
        said = property_of(rows, by).cast(pl.String)
        kept = kept.filter(said.is_null() | (said == "") if value is None else said == value)
    counted = (pl.lit(1.0) if times is None else times) * pl.col(WEIGHT)
    found = kept.select(USER, TIMESTAMP, "user_tier", WEIGHT, counted.alias("times"))

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        latest = pl.col("user_tier").sort_by(TIMESTAMP, "user_tier").last()
        return (
            found.lazy()
            .group_by(USER)
            .agg(
                pl.col("times").sum(),
                pl.col(TIMESTAMP).min().alias("first_at"),
                pl.col(TIMESTAMP).max().alias("last_at"),
                latest,
                pl.col(WEIGHT).min(),
            )
            .select(_COLUMNS)
            .sort(USER)
        )

    return in_memory(found, step)
