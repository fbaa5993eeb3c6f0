"""Which way people walk: the order of what they do inside a visit, and where a visit ends.

A path is a column of rows here, never a list: rows are sorted once, and what begins, ends or
repeats is told by looking at the neighbouring row, so no path is visited in Python.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    EVENT,
    EVENT_ID,
    KEY,
    TIMESTAMP,
    USER,
    WEIGHT,
    MetricError,
    duration,
    has_column,
    in_time_order,
    of_people,
    one_of,
    unsampled,
    weight_of,
)
from data_access.metrics.properties import property_of, tool_name
from data_access.metrics.registry import metric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from data_access.window import Window

__all__ = ["path_steps", "path_users", "paths", "transitions"]

MIDDLE: Final = "..."  # stands for what lies between the two ends of a path that is too long
OTHER: Final = "other"
PATH_START: Final = "path_start"
PATH_END: Final = "path_end"
TOOL: Final = "tool_name"
TOOL_OR_EVENT: Final = "tool_or_event"
DEPTH_MAX: Final = 20
PATTERNS_MAX: Final = 100  # of groups, and of hidden items
BYS: Final = ("session", "session_id", "user")

_ITEM: Final = "item"
_STEP: Final = "step"
_VISIT: Final = "visit"
_FIRST: Final = pl.col(_VISIT).ne_missing(pl.col(_VISIT).shift(1))
_LAST: Final = pl.col(_VISIT).ne_missing(pl.col(_VISIT).shift(-1))


@dataclass(frozen=True, slots=True)
class Shape:
    """The options that shape a path, checked; for whoever else walks."""

    gap: timedelta | None
    depth: int = 5
    start: str | None = None
    end: str | None = None
    groups: Sequence[str] = ()
    hide: Sequence[str] = ()
    most: int | None = None
    item: str | pl.Expr = EVENT
    by: str = "session"

    def __post_init__(self) -> None:
        one_of("by", self.by, BYS)
        for name in ("start", "end"):
            if not isinstance(getattr(self, name), str | None):
                raise MetricError(f"{name}={getattr(self, name)} is no item. Use a name, or None.")
        if not _is_whole(self.depth, DEPTH_MAX):
            raise MetricError(
                f"depth={self.depth!r} is out of range. Use a whole number from 1 to {DEPTH_MAX}."
            )
        if self.most is not None and not _is_whole(self.most):
            raise MetricError(f"most={self.most!r} is no number of items. Use 1 or more, or None.")
        for name in ("groups", "hide"):
            given = getattr(self, name)
            if isinstance(given, str) or not all(isinstance(one, str) for one in given):
                raise MetricError(f"{name}={given!r} is no list of names. Use ('context_*',).")
            if len(given) > PATTERNS_MAX:
                raise MetricError(f"{name} has {len(given)} entries; at most {PATTERNS_MAX}.")

    @property
    def path(self) -> str:
        """The column that keeps paths apart."""
        return "session_id" if self.by == "session_id" else USER

    @property
    def silence(self) -> timedelta | None:
        """How long a silence has to be to part a path; None: none does."""
        return self.gap if self.by == "session" else None

    def read(self, name: str) -> str:
        """Return what an item is called on a path: without its last slash, or as its group."""
        short = name[:-1] if len(name) > 1 and name.endswith("/") else name
        # a pattern without a wildcard replaces an item by itself: one with a wildcard goes first
        ordered = sorted(self.groups, key=lambda pattern: "*" not in pattern)
        return next((one for one in ordered if _matches(one, short)), short)

    def is_hidden(self, name: str) -> bool:
        """Return whether an item is left out of every path."""
        return any(name == self.read(one) or _matches(one, name) for one in self.hide)


def _is_whole(number: object, most: int | None = None) -> bool:
    is_number = isinstance(number, int) and not isinstance(number, bool)
    return is_number and number >= 1 and (most is None or number <= most)  # type: ignore[operator]


def _matches(pattern: str, name: str) -> bool:
    """Return whether a name fits a pattern whose `*` stands for any characters, or for none.

    The whole name has to fit, except that a path may go on, before and after: "/docs/*/new"
    fits "https://example.org/docs/7/new?tab=2" too.
    """
    wanted = ".*".join(re.escape(part) for part in pattern.split("*"))
    find = re.search if pattern.startswith("/") and "*" in pattern else re.fullmatch
    return find(wanted, name, re.DOTALL) is not None


# --- the metrics -----------------------------------------------------------------------------


@metric("events")
def paths(
    events: pl.LazyFrame,
    window: Window,
    *,
    gap: str | None = "30m",
    by: str = "session",
    depth: int = 5,
    start: str | None = None,
    end: str | None = None,
    groups: Sequence[str] = (),
    top: int | None = None,
    hide: Sequence[str] = (),
    most: int | None = None,
    item: str | pl.Expr = EVENT,
    min_sessions: float | None = None,
    max_sessions: float | None = None,
    connected: bool = False,
) -> pl.LazyFrame:
    """Sessions that go from one thing to the next, step by step.

    Definition
    ----------
    Taken over the events inside `window`. A session is that of `sessions`: a user's events
    without a silence longer than `gap`; or, as `by` says, everything with one non-empty
    "session_id" or all that a "user" did. Its path are its events' items in order of time, then
    event_id: event names, or what `item` names (a column, a metadata key, "tool_name" for
    the tool a call used, "tool_or_event" for that and the name of everything else, or an
    expression). An event without an item is on no path. A "/" at the end of an item is left
    out. An item that fits a pattern of `groups` becomes the pattern ("context_*"; one that
    begins with "/" may fit any part of a path). Items named in `hide`, by name or pattern, are
    then left out, and equal items in a row are one, at the time of the last of them.

    Items are numbered 1, 2, 3, ... and the first `depth` are kept. `start`: a path begins at
    the first such item. `end`: it ends at the first one (after the start), and its last
    `depth` items are kept. With both, a path longer than `depth` keeps half of it at each end
    and "..." for what is between. Sessions without the start or the end do not count.

    An edge is one step of a session from an item to the next; it counts sessions, not people,
    each at the smallest weight of its events. `most`: at each step the items of so many
    sessions less than the most common ones become "other". Of the edges those of `min_sessions` to
    `max_sessions` are kept, and of these the `top` largest; `connected` then drops those that no
    edge of the first step leads to.

    On sampled data only the sessions of people whose ordinary events are kept count, each as 1 /
    keep rate.

    Source
    ------
    events : `scan("events")`; user_id_hash, event_name, timestamp and, if there, weight,
        event_id and whatever `item` reads.

    Columns
    -------
    step : Int64, count; 1 for the edge from the first item to the second.
    source : String, item at this step.
    target : String, item at the next one.
    sessions : Float64, count; the sum of weights.
    seconds_mean : Float64, seconds; from the last event of the source to the last of the target.

    Errors
    ------
    MetricError : when an option is unknown or out of range, or `gap` is no duration.
    """
    asked = Shape(duration(gap), depth, start, end, groups, hide, most, item, by)
    if top is not None and not _is_whole(top):
        raise MetricError(f"top={top!r} is no number of edges. Use 1 or more, or None for all.")

    def step(rows: pl.DataFrame, ids: pl.LazyFrame, _: float) -> pl.LazyFrame:
        found = _between(_edges(walk_of(rows, ids, asked)), min_sessions, max_sessions)
        if top is not None:
            order = [pl.col("sessions"), *_EDGE]
            found = found.sort(order, descending=[True, False, False, False]).head(top)
        found = found.sort(_EDGE)
        return _connected(found) if connected else found

    return of_people(events, reading(window, asked), step, when=window.contains())


@metric("events")
def path_steps(
    events: pl.LazyFrame,
    window: Window,
    *,
    gap: str | None = "30m",
    by: str = "session",
    depth: int = 5,
    start: str | None = None,
    end: str | None = None,
    groups: Sequence[str] = (),
    hide: Sequence[str] = (),
    most: int | None = None,
    item: str | pl.Expr = EVENT,
) -> pl.LazyFrame:
    """Sessions at each step of their path, and how many stop there.

    Definition
    ----------
    The nodes of `paths` with the same options. Every session has one item at step 1, so their
    sessions add up to those of `sessions`, unless one has nothing but hidden items or lacks
    the start or the end. Those of a step that do not stop there go on to the next; a path
    that is longer than `depth` is cut, and does not stop, in the last.

    On sampled data only the sessions of people whose ordinary events are kept count, each as 1 /
    keep rate.

    Source
    ------
    events : `scan("events")`; user_id_hash, event_name, timestamp and, if there, weight,
        event_id and whatever `item` reads.

    Columns
    -------
    step : Int64, count; 1 is the first item.
    item : String, name of what happened.
    sessions : Float64, count; sessions with this item at this step.
    ended : Float64, count; those of them with nothing after it.

    Errors
    ------
    MetricError : when an option is unknown or out of range, or `gap` is no duration.
    """
    asked = Shape(duration(gap), depth, start, end, groups, hide, most, item, by)

    def step(rows: pl.DataFrame, ids: pl.LazyFrame, _: float) -> pl.LazyFrame:
        walk = walk_of(rows, ids, asked)
        stopped = pl.when("ended").then(WEIGHT).sum()
        counted = walk.rows.group_by(_STEP, _ITEM).agg(
            pl.col(WEIGHT).sum().alias("sessions"), stopped.alias("ended")
        )
        return counted.with_columns(walk.named(_ITEM)).sort(_STEP, _ITEM)

    return of_people(events, reading(window, asked), step, when=window.contains())


@metric("events")
def path_users(
    events: pl.LazyFrame,
    window: Window,
    *,
    step: int = 1,
    source: str | None = None,
    target: str | None = None,
    ended: bool = False,
    gap: str | None = "30m",
    by: str = "session",
    depth: int = 5,
    start: str | None = None,
    end: str | None = None,
    groups: Sequence[str] = (),
    hide: Sequence[str] = (),
    most: int | None = None,
    item: str | pl.Expr = EVENT,
) -> pl.LazyFrame:
    """People behind one item or one edge of the paths.

    Definition
    ----------
    Users with a session whose path, as in `paths` with the same options, has `source` at `step`
    (None: any item) and, if given, `target` at the next; with `ended` only sessions that have
    nothing after it.

    On sampled data only the people whose ordinary events are kept are there.

    Source
    ------
    events : `scan("events")`; user_id_hash, event_name, timestamp and, if there, weight,
        event_id and whatever `item` reads.

    Columns
    -------
    user_id_hash : String, user.
    sessions : Float64, count; the sum of weights.

    Errors
    ------
    MetricError : when an option is unknown or out of range, or `gap` is no duration.
    """
    asked = Shape(duration(gap), depth, start, end, groups, hide, most, item, by)

    def found(rows: pl.DataFrame, ids: pl.LazyFrame, _: float) -> pl.LazyFrame:
        walk = walk_of(rows, ids, asked)
        named = walk.rows.with_columns(walk.named(_ITEM))
        goes_to = pl.when(~_LAST).then(pl.col(_ITEM).shift(-1))
        wanted = [pl.col(_STEP) == step]
        wanted += [pl.col(_ITEM) == source] if source is not None else []
        wanted += [goes_to == target] if target is not None else []
        wanted += [pl.col("ended")] if ended else []
        there = named.filter(pl.all_horizontal(wanted))
        return there.group_by(USER).agg(pl.col(WEIGHT).sum().alias("sessions")).sort(USER)

    return of_people(events, reading(window, asked, USER), found, when=window.contains())


@metric("events")
def transitions(
    events: pl.LazyFrame,
    window: Window,
    *,
    by: str = "session",
    gap: str | None = "30m",
    ends: bool = True,
    groups: Sequence[str] = (),
    hide: Sequence[str] = (),
    item: str | pl.Expr = EVENT,
) -> pl.LazyFrame:
    """Count every pair of consecutive events, wherever on a path it is.

    Definition
    ----------
    Taken over the events inside `window`. A path is a session by `gap`, everything with one
    non-empty `session_id`, or everything a user did, as `by` says: "session", "session_id",
    "user". Items are read as in `paths`, but equal ones in a row stay: an item may follow
    itself. With `ends`, each path also goes from "path_start" to its first item and from its
    last to "path_end". A pair counts at the smallest weight of its path's events.

    On sampled data only the paths of people whose ordinary events are kept count, each as 1 / keep
    rate.

    Source
    ------
    events : `scan("events")`; user_id_hash, event_name, timestamp and, if there, weight,
        event_id, session_id and whatever `item` reads.

    Columns
    -------
    source : String, item; or "path_start".
    target : String, item right after it; or "path_end".
    transitions : Float64, count; how often, the sum of weights.
    paths : Float64, count; paths on which it happens.
    share : Float64, share of all that follows the source.

    Errors
    ------
    MetricError : when an option is unknown or out of range, or `gap` is no duration.
    """
    asked = Shape(duration(gap), groups=groups, hide=hide, item=item, by=by)

    def step(rows: pl.DataFrame, ids: pl.LazyFrame, _: float) -> pl.LazyFrame:
        visits = visits_of(rows, ids, asked)
        return _pairs(visits, ends=ends)

    return of_people(events, reading(window, asked), step, when=window.contains())


def _pairs(visits: Walk, *, ends: bool) -> pl.LazyFrame:
    """Return the columns of `transitions` out of items in order."""
    inner = visits.rows.with_columns(visits.named(_ITEM)).select(
        _VISIT,
        WEIGHT,
        pl.col(_ITEM).alias("source"),
        pl.when(~_LAST).then(pl.col(_ITEM).shift(-1)).otherwise(pl.lit(PATH_END)).alias("target"),
        _LAST.alias("is_last"),
        _FIRST.alias("is_first"),
    )
    begun = inner.filter("is_first").with_columns(
        pl.lit(PATH_START).alias("source"), pl.col("source").alias("target")
    )
    counted = pl.concat([inner, begun]) if ends else inner.filter(~pl.col("is_last"))
    each = counted.group_by("source", "target", _VISIT).agg(
        pl.col(WEIGHT).sum().alias("transitions"), pl.col(WEIGHT).first().alias("paths")
    )
    return (
        each.group_by("source", "target")
        .agg(pl.col("transitions", "paths").sum())
        .with_columns(
            (pl.col("transitions") / pl.col("transitions").sum().over("source")).alias("share")
        )
        .sort("source", "target")
    )


# --- from events to paths --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Walk:
    """Rows in order, a visit's together, with each item as the number of its name."""

    rows: pl.LazyFrame
    names: pl.Series

    def named(self, column: str) -> pl.Expr:
        """Return the names of a column of numbers."""
        return pl.lit(self.names).gather(pl.col(column)).alias(column)


def reading(
    window: Window, asked: Shape, *more: str | pl.Expr
) -> Callable[[pl.LazyFrame], pl.LazyFrame]:
    """Return the function from events to the rows a walk is made of."""

    def read(events: pl.LazyFrame) -> pl.LazyFrame:
        known = [window.contains(), pl.col(USER).is_not_null()]
        if asked.path != USER:
            known.append(pl.col(asked.path) != "")
        kept = [*more, TIMESTAMP, *([EVENT_ID] if has_column(events, EVENT_ID) else [])]
        return events.filter(*known).select(
            pl.col(asked.path).hash().alias(KEY),
            *kept,
            weight_of(events),
            _item_of(events, asked.item).alias(_ITEM),
        )

    return read


def _item_of(events: pl.LazyFrame, item: str | pl.Expr) -> pl.Expr:
    if isinstance(item, pl.Expr):
        return item.cast(pl.String)
    if item == TOOL_OR_EVENT:
        return pl.coalesce(tool_name(events), EVENT)
    if item == TOOL and not has_column(events, TOOL):
        return tool_name(events)
    return property_of(events, item).cast(pl.String)


def visits_of(rows: pl.DataFrame, ids: pl.LazyFrame, asked: Shape) -> Walk:
    """Return the items in order: visit, item, timestamp, weight and what else the rows have."""
    written = rows[_ITEM].unique().drop_nulls().sort()
    read = pl.Series([asked.read(name) for name in written], dtype=pl.String)
    names = read.filter(~read.map_elements(asked.is_hidden, pl.Boolean)).unique().sort()
    number = {name: number for number, name in enumerate(names)}
    codes = pl.Series([number.get(name) for name in read], dtype=pl.UInt32)
    place = pl.col(_ITEM).cast(pl.Enum(written), strict=False).to_physical()
    code = pl.lit(codes).gather(place).alias(_ITEM)
    new = pl.col(KEY) != pl.col(KEY).shift(1)
    if asked.silence is not None:
        new |= pl.col(TIMESTAMP) - pl.col(TIMESTAMP).shift(1) > asked.silence
    # numbers are put in order in half the time of names
    walk = in_time_order(rows.with_columns(code), ids.with_columns(code)).select(
        new.fill_null(value=True).cum_sum().alias(_VISIT), pl.all()
    )
    if not unsampled(rows):
        walk = walk.with_columns(pl.col(WEIGHT).min().over(_VISIT))
    if codes.null_count() or rows[_ITEM].null_count():
        walk = walk.filter(pl.col(_ITEM).is_not_null())
    return Walk(walk, pl.concat([names, pl.Series([MIDDLE, OTHER])]))


def walk_of(rows: pl.DataFrame, ids: pl.LazyFrame, asked: Shape) -> Walk:
    """Return the paths: as `visits_of`, with step and whether the path ends, cut as asked."""
    visits = visits_of(rows, ids, asked)
    merged = visits.rows.filter(_LAST | (pl.col(_ITEM) != pl.col(_ITEM).shift(-1)))
    walk = _cut(merged, visits.names, asked)
    if asked.most is not None:
        walk = _lumped(walk, asked.most, _code(visits.names, OTHER))
    return Walk(walk, visits.names)


def _cut(walk: pl.LazyFrame, names: pl.Series, asked: Shape) -> pl.LazyFrame:
    """Return the rows between the start and the end, at most `depth` of each visit, numbered."""
    code = {name: number for number, name in reversed(list(enumerate(names)))}
    at = [
        None if one is None else code.get(asked.read(one), -1) for one in (asked.start, asked.end)
    ]
    start, end = at
    if start is not None:
        walk = walk.filter(_hits(pl.col(_ITEM) == start) > 0)
    if end is not None:
        is_end = pl.col(_ITEM) == end
        walk = walk.filter(_hits(is_end) - is_end.cast(pl.UInt32) == 0).filter(
            (pl.col(_ITEM).last() == end).over(_VISIT)
        )
    walk = walk.with_columns(_position().alias(_STEP), _LAST.alias("ended"))
    if end is None:
        return walk.filter(pl.col(_STEP) <= asked.depth)
    left = pl.len().over(_VISIT).cast(pl.Int64) - pl.col(_STEP)  # items after this one
    if start is None:
        return walk.filter(left < asked.depth).with_columns(_position().alias(_STEP))
    half = max(asked.depth // 2, 1)
    is_long = pl.len().over(_VISIT) > max(asked.depth, 2 * half)
    middle = is_long & (pl.col(_STEP) == half + 1)
    kept = ~is_long | (pl.col(_STEP) <= half + 1) | (left < half)
    return (
        walk.with_columns(
            pl.when(middle)
            .then(pl.lit(_code(names, MIDDLE), pl.UInt32))
            .otherwise(_ITEM)
            .alias(_ITEM),
            kept.alias("kept"),
        )
        .filter("kept")
        .with_columns(_position().alias(_STEP))
    )


def _code(names: pl.Series, name: str) -> int:
    """Return the number of a name, the first one: an item may be called "other", or "..."."""
    return names.to_list().index(name)


def _position() -> pl.Expr:
    """Return a row's place in its visit, from 1."""
    row = pl.int_range(pl.len(), dtype=pl.Int64)
    return row - pl.when(_FIRST).then(row).forward_fill() + 1


def _hits(is_hit: pl.Expr) -> pl.Expr:
    """Return how many rows of the visit, up to this one, are hits."""
    total = is_hit.cum_sum()
    before = pl.when(_FIRST).then(total - is_hit.cast(pl.UInt32)).forward_fill()
    return total - before


def _lumped(walk: pl.LazyFrame, most: int, other: int) -> pl.LazyFrame:
    """Return the rows with all but the commonest items of each step as "other"."""
    common = (
        walk.group_by(_STEP, _ITEM)
        .agg(pl.col(WEIGHT).sum())
        .sort(_STEP, WEIGHT, _ITEM, descending=[False, True, False])
        .filter(pl.int_range(pl.len()).over(_STEP) < most)
        .select(_STEP, _ITEM, pl.lit(value=True).alias("is_common"))
    )
    kept = pl.when("is_common").then(_ITEM).otherwise(pl.lit(other, pl.UInt32))
    return (
        walk.join(common, on=[_STEP, _ITEM], how="left", maintain_order="left")
        .with_columns(kept.alias(_ITEM))
        .drop("is_common")
    )


# --- from paths to edges ---------------------------------------------------------------------

_EDGE: Final = (_STEP, "source", "target")


def _edges(walk: Walk) -> pl.LazyFrame:
    """Return the columns of `paths` for every edge, in no order."""
    length = (pl.col(TIMESTAMP).shift(-1) - pl.col(TIMESTAMP)).dt.total_milliseconds() / 1000
    seconds = (pl.col("seconds") * pl.col(WEIGHT)).sum() / pl.col(WEIGHT).sum()
    return (
        walk.rows.select(
            _STEP,
            pl.col(_ITEM).alias("source"),
            pl.col(_ITEM).shift(-1).alias("target"),
            WEIGHT,
            length.alias("seconds"),
            _LAST.alias("is_last"),
        )
        .filter(~pl.col("is_last"))
        .group_by(_EDGE)
        .agg(pl.col(WEIGHT).sum().alias("sessions"), seconds.alias("seconds_mean"))
        .with_columns(walk.named("source"), walk.named("target"))
    )


def _between(edges: pl.LazyFrame, least: float | None, most: float | None) -> pl.LazyFrame:
    if least is not None:
        edges = edges.filter(pl.col("sessions") >= least)
    if most is not None:
        edges = edges.filter(pl.col("sessions") <= most)
    return edges


def _connected(edges: pl.LazyFrame) -> pl.LazyFrame:
    """Return the edges that can be followed from one of the first step."""
    left = edges.collect(engine="in-memory")
    reached = left.filter(pl.col(_STEP) == 1)
    found = [reached]
    for step in range(2, DEPTH_MAX + 1):
        reached = left.filter(
            pl.col(_STEP) == step, pl.col("source").is_in(reached["target"].implode())
        )
        found.append(reached)
    return pl.concat(found).lazy()
