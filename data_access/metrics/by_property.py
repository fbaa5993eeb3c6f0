"""Who uses what: people, sessions and events by language, region, editor, system or version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    KEY,
    USER,
    WEIGHT,
    MetricError,
    distinct_of,
    event_predicate,
    has_column,
    in_memory,
    reduced,
    representative,
    weight_of,
)
from data_access.metrics.kpis import person_key, ratio
from data_access.metrics.properties import first_text, saying
from data_access.metrics.registry import metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.metrics.common import Event
    from data_access.window import Window

__all__ = ["OTHER", "by_property", "property_users"]

OTHER: Final = "other"
VALUES_MAX: Final = 1_000
EPSILON: Final = 1e-6
_COUNTS: Final = ("events", "users", "sessions")


@metric("events")
def by_property(
    events: pl.LazyFrame,
    window: Window,
    *,
    key: str = "language",
    most: int = 12,
    least_users: float = 0,
    every: str | None = None,
    channels: Sequence[str] = (),
    event: Event = None,
) -> pl.LazyFrame:
    """Count people, sessions and events by the value of a column or a metadata key.

    Definition
    ----------
    Over the events inside the window, or those of `channels` and of `event` only. An event
    counts under its own value; people and sessions under each value they name, so one may be in
    two rows. The row without a value holds the events that name none, and the people and
    sessions who never name one in that time. The share is of all people with such an event, so
    shares may add up to more than 1.

    The `most` values with most people keep their own row; the rest are "other", counted as one
    group, and a value that is called so joins them. So do values with fewer than `least_users`
    people; "other" is left out while it has fewer itself. With `every` ("1d", "1w", "1mo") a
    Date column `period` comes first, the window grows to whole periods, and each value has a row
    for every period, quiet ones included; which values are shown is decided once, for the whole
    time.

    On sampled data an estimate: the weights are added up; people who name no value are counted
    among those whose ordinary events are kept, each as 1 / keep rate.

    Source
    ------
    events : one row per event; its metadata.

    Columns
    -------
    value : String; null where none is named.
    events : Float64, count; sum of weights.
    users : Float64, count.
    sessions : Float64, count; distinct non-empty session_id.
    share : Float64, 0 to 1; users / people with any such event, null when there are none.

    Errors
    ------
    MetricError : when `most` is not between 1 and 1,000, or no metadata key is called `key`.
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    asked = _Asked(key, most, least_users, every, tuple(channels), event)
    rows, named = _rows(events, window, asked)
    calendar = None if every is None else window.calendar(every).select("period")

    def step(rows: pl.DataFrame, named: pl.DataFrame) -> pl.LazyFrame:
        folded = _folded(named, most, least_users)
        silent = _chosen(events, window, asked, rows, named)
        result = _by_value(rows, folded, silent, calendar).filter(_enough(folded, least_users))
        return result.drop("period") if calendar is None else result

    return in_memory(rows, step, named)


@metric("events")
def property_users(
    events: pl.LazyFrame,
    window: Window,
    *,
    key: str = "language",
    most: int = 12,
    least_users: float = 0,
    channels: Sequence[str] = (),
    event: Event = None,
) -> pl.LazyFrame:
    """List the people behind each value of a column or a metadata key.

    Definition
    ----------
    The people `by_property` counts with the same options, under each value they name; under no
    value those who never name one inside the window.

    On sampled data those who are kept stand for more than one; of others only what failed, was
    slow or critical is known, and under no value they are left out.

    Source
    ------
    events : one row per event; its metadata.

    Columns
    -------
    value : String; null where none is named.
    user_id_hash : String.
    events : Float64, count; those that name the value, 0 where none is named.
    weight : Float64, people this one stands for; the smallest weight of those events.

    Errors
    ------
    MetricError : when `most` is not between 1 and 1,000, or no metadata key is called `key`.
    """
    asked = _Asked(key, most, least_users, None, tuple(channels), event)
    rows, named = _rows(events, window, asked, pl.col(USER))

    def step(rows: pl.DataFrame, named: pl.DataFrame) -> pl.LazyFrame:
        keys, least = ["value", USER], pl.col(WEIGHT).min()
        somebody = pl.col(USER).is_not_null()
        folded = _folded(named, most, least_users)
        each = (
            folded.lazy()
            .filter(somebody, _enough(folded, least_users))
            .group_by(keys)
            .agg(pl.col(WEIGHT).sum().alias("events"), least)
        )
        everybody, naming = _chosen(events, window, asked, rows, named, pl.col(USER))
        silent = (
            everybody.lazy()
            .filter(somebody)
            .join(naming.lazy().select(USER).unique(), on=USER, how="anti")
            .group_by(USER)
            .agg(least)
            .select(
                pl.lit(None, pl.String).alias("value"), USER, pl.lit(0.0).alias("events"), WEIGHT
            )
        )
        return pl.concat([each, silent]).sort(keys)

    return in_memory(rows, step, named)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options of `by_property`."""

    key: str
    most: int
    least_users: float
    every: str | None
    channels: tuple[str, ...]
    event: Event


def _rows(
    events: pl.LazyFrame, window: Window, asked: _Asked, *more: pl.Expr
) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Return period, KEY, weight, session of all rows; and with their value those that name one."""
    if not 1 <= asked.most <= VALUES_MAX:
        raise MetricError(f"most={asked.most!r} must lie between 1 and {VALUES_MAX:,}.")
    every, key = asked.every, asked.key
    span = window if every is None else window.widened(every)
    period = pl.lit(window.start) if every is None else window.period(every=every)
    chosen = [span.contains(), event_predicate(asked.event)]
    if asked.channels:
        chosen.append(pl.col("channel").is_in(asked.channels))
    in_session = pl.when(pl.col("session_id") != "").then(pl.col("session_id").hash())
    counted = [
        *(period.alias("period"), person_key(), weight_of(events), in_session.alias("session")),
        *more,
    ]
    here = events.filter(*chosen)
    if has_column(events, key):
        value, said = pl.col(key).cast(pl.String).replace("", None), here
    else:
        value, said = first_text(key), saying(here, [key])
    named = said.select(value.alias("value"), *counted).filter(pl.col("value").is_not_null())
    return here.select(counted), named


def _chosen(
    events: pl.LazyFrame,
    window: Window,
    asked: _Asked,
    rows: pl.DataFrame,
    named: pl.DataFrame,
    *more: pl.Expr,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows that show who names no value: of a sample, those of the people kept.

    Of somebody left out only what failed or was slow is known, and that may name nothing.
    """
    span = window if asked.every is None else window.widened(asked.every)
    chosen = representative(rows, events.filter(span.contains()))
    if chosen is None:
        return rows, named
    again = _rows(chosen.events, window, asked, *more)
    rows, named = pl.collect_all(again, engine="streaming")
    return rows, named


def _folded(named: pl.DataFrame, most: int, least_users: float) -> pl.DataFrame:
    """Return the rows with all but the values of most people called OTHER."""
    known = named.filter(pl.col("value") != OTHER)
    top = (
        distinct_of(known, ["value"], KEY)
        .filter(pl.col("users") >= least_users)
        .sort("users", "value", descending=[True, False])
        .head(most)
        .collect(engine="in-memory")["value"]
    )
    kept = pl.when(pl.col("value").is_in(top.implode())).then("value").otherwise(pl.lit(OTHER))
    return named.with_columns(kept.alias("value"))


def _enough(folded: pl.DataFrame, least_users: float) -> pl.Expr:
    """Return the predicate "this value may be shown": false for OTHER while it is too small."""
    rest = distinct_of(folded.filter(pl.col("value") == OTHER), ["value"], KEY)
    users = rest.collect(engine="in-memory")["users"].sum()
    return pl.col("value").ne_missing(OTHER) | pl.lit(users >= least_users)


def _by_value(
    rows: pl.DataFrame,
    named: pl.DataFrame,
    silent: tuple[pl.DataFrame, pl.DataFrame],
    calendar: pl.LazyFrame | None,
) -> pl.LazyFrame:
    """Return period and the columns of `by_property`."""
    keys = ["period", "value"]
    events = pl.col(WEIGHT).sum().alias("events")
    sums, users, sessions, everybody, *nameless = reduced(
        named.lazy().group_by(keys).agg(events),
        distinct_of(named, keys, KEY),
        distinct_of(named, keys, "session", "sessions"),
        distinct_of(rows, ["period"], KEY, "everybody"),
        _without(*silent, KEY, "users"),
        _without(*silent, "session", "sessions"),
        rows.lazy().group_by("period").agg(events),
    )
    own = sums.join(users, on=keys, how="left").join(sessions, on=keys, how="left")
    none = _nothing_named(nameless, sums)
    found = pl.concat([own, none], how="diagonal").with_columns(pl.col(*_COUNTS).fill_null(0.0))
    if calendar is not None:
        grid = calendar.join(found.select("value").unique(), how="cross")
        found = grid.join(found, on=keys, how="left", nulls_equal=True)
    return (
        found.join(everybody, on="period", how="left")
        .with_columns(pl.col(*_COUNTS).fill_null(0.0))
        .select(*keys, *_COUNTS, ratio("users", "everybody").alias("share"))
        .sort(keys)
    )


def _without(rows: pl.DataFrame, named: pl.DataFrame, of: str, name: str) -> pl.LazyFrame:
    """Return per period how many people or sessions name no value there."""
    who = ["period", of]
    has = named.lazy().select(who).unique()
    everybody = rows.lazy().filter(pl.col(of).is_not_null()).group_by(who).agg(pl.col(WEIGHT).min())
    return (
        everybody.join(has, on=who, how="anti")
        .group_by("period")
        .agg(pl.col(WEIGHT).sum().alias(name))
    )


def _nothing_named(parts: Sequence[pl.LazyFrame], sums: pl.LazyFrame) -> pl.LazyFrame:
    """Return per period the row of those that name no value; none where every event names one."""
    users, sessions, total = parts
    named = sums.group_by("period").agg(pl.col("events").sum().alias("named"))
    rest = (pl.col("events") - pl.col("named").fill_null(0.0)).alias("events")
    return (
        total.join(named, on="period", how="left")
        .select("period", rest)
        .join(users, on="period", how="left")
        .join(sessions, on="period", how="left")
        # a difference of two sums of weights is not quite 0 when it should be
        .filter((pl.col("events") > EPSILON) | (pl.col("users") > 0))
        .select("period", pl.lit(None, pl.String).alias("value"), *_COUNTS)
    )
