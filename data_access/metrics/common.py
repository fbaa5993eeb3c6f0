"""What several metrics need: event predicates, durations, weights, and one error for bad options.

It builds expressions and plans; it never collects a frame.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, TypeAlias

import polars as pl

__all__ = [
    "EVENT",
    "EVENT_ID",
    "KEY",
    "TIMESTAMP",
    "USER",
    "WEIGHT",
    "Event",
    "MetricError",
    "duration",
    "event_label",
    "event_predicate",
    "has_column",
    "in_order",
    "one_of",
    "over_calendar",
    "person_periods",
    "qualifying",
    "quantile_of",
    "user_key",
    "user_weights",
    "users_of",
    "weight_of",
    "weighted",
    "weighted_quantile",
]

USER: Final = "user_id_hash"
EVENT: Final = "event_name"
TIMESTAMP: Final = "timestamp"
EVENT_ID: Final = "event_id"
WEIGHT: Final = "weight"
KEY: Final = "_user"

# an event name, a predicate, several of either (any of them), or None for any event
Event: TypeAlias = str | pl.Expr | Sequence[str | pl.Expr] | None

DURATION_MAX: Final = timedelta(days=366 * 50)  # as long as the longest window
_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_DURATION: Final = re.compile(r"(?:\d{1,9}(?:ms|s|m|h|d|w))+")
_DURATION_PART: Final = re.compile(r"(\d{1,9})(ms|s|m|h|d|w)")


class MetricError(ValueError):
    """An option a metric cannot work with. The message says what to pass instead."""


# --- options ---------------------------------------------------------------------------------


def duration(text: str | timedelta | None) -> timedelta | None:
    """Return the length of time `text` names ("30m", "14d", "1h30m"); None means no limit.

    A day is 24 hours and a week 7 of those: a length of time, not a calendar.

    Raises
    ------
    MetricError : when the text is no such length, or longer than DURATION_MAX.
    """
    if text is None or isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        raise MetricError(
            f"{text!r} is not a duration. Write a whole number and a unit out of "
            f"{', '.join(_UNITS)}, such as '30m' or '14d', or None for no limit."
        )
    try:
        total = sum(
            (int(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text)),
            timedelta(),
        )
    except OverflowError:
        total = timedelta.max
    if total > DURATION_MAX:
        raise MetricError(f"{text!r} is longer than {DURATION_MAX.days} days. Use None instead.")
    return total


def one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    """Return `value` when it is allowed for the option `name`.

    Raises
    ------
    MetricError : when it is not.
    """
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise MetricError(f"{name}={value!r} is unknown. Use one of {choices}.")
    return value


def event_predicate(event: Event) -> pl.Expr:
    """Return the predicate "this row is such an event"; it is never null.

    Parameters
    ----------
    event : an event name, a boolean `pl.Expr`, several of either (any of them matches), or
        None for any event.

    Raises
    ------
    MetricError : when it is none of these, or an empty list.
    """
    if event is None:
        return pl.lit(value=True)
    several = [event] if isinstance(event, str | pl.Expr) else list(event)
    if not several:
        raise MetricError("No event is named. Name at least one, or pass None for any event.")
    wrong = [one for one in several if not isinstance(one, str | pl.Expr)]
    if wrong:
        raise MetricError(
            f"{wrong[0]!r} is not an event. Use an event name, a pl.Expr predicate, or None."
        )
    names = [str(one) for one in several if isinstance(one, str)]
    tests = [one for one in several if isinstance(one, pl.Expr)]
    if len(names) == 1:
        tests.insert(0, pl.col(EVENT) == names[0])
    elif names:
        tests.insert(0, pl.col(EVENT).is_in(names))
    matched = tests[0] if len(tests) == 1 else pl.any_horizontal(*tests)
    return matched.fill_null(value=False)


def event_label(event: Event) -> str:
    """Return what to call an event: its name, a predicate's alias, or the predicate itself."""
    if event is None:
        return "any event"
    if isinstance(event, str):
        return str(event)
    if isinstance(event, pl.Expr):
        name = event.meta.output_name(raise_if_undetermined=False)
        unnamed = name is None or name == "literal" or name in event.meta.root_names()
        return str(event) if unnamed else str(name)
    return " or ".join(event_label(one) for one in event)


# --- columns ---------------------------------------------------------------------------------


def has_column(frame: pl.LazyFrame, name: str) -> bool:
    """Return whether a frame has a column. Reads the schema, never the data."""
    return name in frame.collect_schema().names()


def weight_of(frame: pl.LazyFrame) -> pl.Expr:
    """Return each row's weight as Float64, named `weight`; 1 where nobody wrote one."""
    if not has_column(frame, WEIGHT):
        return pl.lit(1.0).alias(WEIGHT)
    return pl.col(WEIGHT).cast(pl.Float64).fill_null(1.0)


def weighted(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Return the frame with a `weight` column that is Float64 and never null."""
    return frame.with_columns(weight_of(frame))


def in_order(frame: pl.LazyFrame, *keys: str) -> pl.LazyFrame:
    """Return the rows ordered by `keys`, then time, then event_id; then as they came."""
    last = [EVENT_ID] if has_column(frame, EVENT_ID) else []
    order = pl.arg_sort_by(*keys, TIMESTAMP, *last, maintain_order=True)
    # half the time of `sort` under the streaming engine, which would sort whole rows
    return frame.with_columns(order.alias("_order")).select(
        pl.all().exclude("_order").gather(pl.col("_order"))
    )


# --- people ----------------------------------------------------------------------------------


def user_key() -> pl.Expr:
    """Return a user as 64 bits, named `KEY`, for grouping inside one plan; never shown or kept.

    Grouping and sorting by 64 hex characters takes twice as long. A million users share a key
    with a chance of 1 in 37 million.
    """
    return pl.col(USER).hash().alias(KEY)


def qualifying(
    events: pl.LazyFrame, event: Event, when: pl.Expr, **columns: pl.Expr
) -> pl.LazyFrame:
    """Return `KEY`, weight and `columns` of the rows of somebody that are such events, in time.

    Parameters
    ----------
    events : a frame with user_id_hash and whatever the predicates read.
    event : what counts, as in `event_predicate`.
    when : the predicate on time, such as `window.contains()`.
    columns : further columns to keep, by name.
    """
    named = [column.alias(name) for name, column in columns.items()]
    counted = [when, pl.col(USER).is_not_null()]
    if event is not None:
        counted.append(event_predicate(event))
    return events.filter(*counted).select(user_key(), weight_of(events), *named)


def user_weights(frame: pl.LazyFrame, by: Sequence[str] = (), *, user: str = USER) -> pl.LazyFrame:
    """Return `by`, the user and the smallest `weight` among that user's rows in each group.

    Rows without a user are nobody's and drop out. The frame needs the user and weight.
    """
    return frame.filter(pl.col(user).is_not_null()).group_by(*by, user).agg(pl.col(WEIGHT).min())


def users_of(frame: pl.LazyFrame, by: Sequence[str] = (), *, user: str = USER) -> pl.LazyFrame:
    """Return the people per group: `by`, users (Float64, the sum of their smallest weights).

    Without groups: one row, 0 users when there are none. Row order is not promised.
    """
    people = user_weights(frame, by, user=user)
    total = pl.col(WEIGHT).sum().alias("users")
    return people.group_by(by).agg(total) if by else people.select(total)


def person_periods(active: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row per user and `period`: KEY, period, weight, last, next, varies.

    `last` and `next` are the user's active periods around it (null: none), `weight` the
    smallest one there, `varies` whether it differs between the user's periods. The given frame
    needs KEY, weight and period.
    """
    periods = pl.col("period")
    # lists, because the few periods of one user sort faster than the rows of all
    return (
        user_weights(active, ["period"], user=KEY)
        .group_by(KEY)
        .agg(
            periods.sort(),
            pl.col(WEIGHT).sort_by("period"),
            (pl.col(WEIGHT).min() != pl.col(WEIGHT).max()).alias("varies"),
        )
        .with_columns(periods.list.shift(1).alias("last"), periods.list.shift(-1).alias("next"))
        .explode("period", WEIGHT, "last", "next")
    )


def over_calendar(calendar: pl.LazyFrame, counted: pl.LazyFrame, *counts: str) -> pl.LazyFrame:
    """Return a row per `period` of the calendar with `counts` 0 where nothing was counted."""
    filled = [pl.col(name).fill_null(0.0) for name in counts]
    return (
        calendar.join(counted, on="period", how="left")
        .select("period", *filled, "complete")
        .sort("period")
    )


def quantile_of(value: pl.Expr, weight: pl.Expr, q: float) -> pl.Expr:
    """Return the weighted quantile of the non-null values, linearly interpolated; null for none.

    With S the sum of weights, the value at cumulative weight h = q (S - 1): a row of weight w
    stands at w positions in a row, and only the step from one row's last position to the next
    row's first is interpolated. With weights of 1 this is the ordinary linear quantile.
    """
    known = value.is_not_null()
    values = value.filter(known).sort()
    upto = weight.filter(known).sort_by(value.filter(known)).cum_sum()
    position = (q * (upto.last() - 1)).clip(lower_bound=0.0)
    # rounding of a long sum must not push the last position past the last row
    row = pl.min_horizontal((upto <= position).sum(), values.len().cast(pl.Int64) - 1)
    here = values.get(row, null_on_oob=True)
    following = values.get(row + 1, null_on_oob=True).fill_null(here)
    share = (position - (upto.get(row, null_on_oob=True) - 1)).clip(0.0, 1.0)
    return here + share * (following - here)


def weighted_quantile(
    frame: pl.LazyFrame, value: str, q: float, *, by: Sequence[str], name: str
) -> pl.LazyFrame:
    """Return `by` and the weighted quantile of `value` as `name`, as in `quantile_of`.

    Groups without any non-null value are absent. The frame needs a `weight` column.
    """
    known = frame.filter(pl.col(value).is_not_null())
    return known.group_by(by).agg(quantile_of(pl.col(value), pl.col(WEIGHT), q).alias(name))
