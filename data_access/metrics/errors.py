"""What breaks: errors by group, over time, by release, and the single occurrences of a group.

A group is a `group_hash`: the same fault on any machine and release. Counts are occurrences, so
an error that a client folded into one row with `occurrences=40` counts 40 times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    KEY,
    TIMESTAMP,
    USER,
    WEIGHT,
    distinct_of,
    earlier,
    in_memory,
    reduced,
    weight_of,
    weighted,
)
from data_access.metrics.kpis import person_key
from data_access.metrics.registry import ALL_HISTORY, metric
from ingest.stack_hash import culprit, message_template
from ingest.vocabulary import EventSeverity

if TYPE_CHECKING:
    from collections.abc import Callable

    from data_access.window import Window

__all__ = ["error_groups", "error_occurrences", "errors_by_period", "errors_by_release"]

GROUP: Final = "group_hash"
SEVERITIES: Final = tuple(severity.value for severity in EventSeverity)  # least bad first
_LIST: Final = pl.List(pl.String)


@metric("errors", lookback_days=ALL_HISTORY)
def error_groups(errors: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Every group of errors met in the window: what it is, how often, whom it hits.

    Definition
    ----------
    Groups with an occurrence inside the window. Counts, people, tiers, releases and severity
    are those of the window; first_seen and last_seen look at all history up to its end, so a
    group whose first_seen lies in the window is new. Type, message template and culprit come
    from the group's latest row. Users and sessions count with the smallest weight among their
    rows of the group.

    On sampled data exact, since errors are always kept.

    Source
    ------
    errors : one row per error, or per run of equal ones, all history.

    Columns
    -------
    group_hash : String; the stored hash of today's version, else computed from the trace.
    error_type : String.
    message_template : String; the message with its variable parts masked.
    culprit : String; function and file of the innermost frame of our own, empty when unknown.
    occurrences : Float64, count; sum of occurrences x weight.
    users : Float64, count.
    sessions : Float64, count; distinct non-empty session_id.
    first_seen : Datetime, UTC; over all history.
    last_seen : Datetime, UTC; up to the end of the window.
    severity : String; the worst in the window, a name we do not know being the least bad.
    tiers : List(String); sorted, those of the window.
    releases : List(String); sorted, those of the window.
    channels : List(String); sorted, those of the window.
    per_day : List(Float64), count; occurrences on each day of the window, in order.
    """
    rows = _grouped(errors).filter(window.before()).select(_READ)
    return in_memory(rows, lambda known: _described(known.lazy(), window))


def _described(known: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Return the columns of `error_groups` out of the rows up to the window's end."""
    inside = known.filter(window.contains())
    severities = pl.Enum(SEVERITIES)
    severity = pl.col("severity").cast(severities, strict=False).to_physical()
    groups = inside.group_by(GROUP).agg(
        pl.col("occurrences").sum(),
        severity.max().alias("_severity"),
        pl.col("severity").max(),
        *(_values(source).alias(name) for name, source in _LISTS.items()),
    )
    latest = (
        inside.sort("timestamp", "event_id")
        .group_by(GROUP)
        .agg(pl.col("error_type", "error_message", "stack_trace").last())
    )
    seen = known.group_by(GROUP).agg(
        pl.min_horizontal("first_at", "timestamp").min().alias("first_seen"),
        pl.max_horizontal("last_at", "timestamp").max().alias("last_seen"),
    )
    named = inside.filter(pl.col(USER).is_not_null())
    in_session = inside.filter(pl.col("session_id") != "")
    for part in (
        latest,
        seen,
        _distinct(named, GROUP, USER, "users"),
        _distinct(in_session, GROUP, "session_id", "sessions"),
        _per_day(inside, window),
    ):
        groups = groups.join(part, on=GROUP, how="left", nulls_equal=True)
    worst = pl.col("_severity").replace_strict(
        range(len(SEVERITIES)), SEVERITIES, default=None, return_dtype=pl.String
    )
    return groups.select(
        GROUP,
        "error_type",
        _each(pl.col("error_message"), message_template).alias("message_template"),
        _each(pl.col("stack_trace"), culprit).alias("culprit"),
        "occurrences",
        pl.col("users", "sessions").fill_null(0.0),
        "first_seen",
        # a row that stands for a run may end after the window; nobody can know that inside it
        pl.min_horizontal("last_seen", pl.lit(window.closes_at).cast(pl.Datetime("ms", "UTC"))),
        pl.coalesce(worst, "severity").alias("severity"),
        *_LISTS,
        "per_day",
    ).sort(GROUP)


_READ: Final = (
    *(GROUP, "timestamp", "event_id", "error_type", "error_message", "stack_trace"),
    *("severity", "occurrences", "weight", "first_at", "last_at", USER, "session_id"),
    *("user_tier", "release", "channel"),
)
_LISTS: Final = {"tiers": "user_tier", "releases": "release", "channels": "channel"}


@metric("errors")
def errors_by_period(errors: pl.LazyFrame, window: Window, *, every: str = "1d") -> pl.LazyFrame:
    """How many errors, of how many groups, hit how many people, per period.

    Definition
    ----------
    Over the whole periods the window touches. People count with the smallest weight among
    their errors of the period; never add them up over periods.

    On sampled data exact, since errors are always kept.

    Source
    ------
    errors : one row per error, or per run of equal ones.

    Columns
    -------
    period : Date; first day of the period, quiet ones included.
    occurrences : Float64, count; sum of occurrences x weight.
    groups : Int64, count; distinct groups.
    users : Float64, count.
    complete : Boolean; whether the period ended inside the window.

    Errors
    ------
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    rows = _grouped(errors.filter(window.widened(every).contains())).with_columns(
        window.period(every=every).alias("period")
    )
    counts = rows.group_by("period").agg(
        pl.col("occurrences").sum(), pl.col(GROUP).n_unique().cast(pl.Int64).alias("groups")
    )
    people = _distinct(rows.filter(pl.col(USER).is_not_null()), "period", USER, "users")
    return (
        window.calendar(every)
        .join(counts, on="period", how="left")
        .join(people, on="period", how="left")
        .select(
            "period",
            pl.col("occurrences").fill_null(0.0),
            pl.col("groups").fill_null(0),
            pl.col("users").fill_null(0.0),
            "complete",
        )
        .sort("period")
    )


@metric("errors")
def error_occurrences(
    errors: pl.LazyFrame, window: Window, *, group: str | None = None
) -> pl.LazyFrame:
    """List the single errors, of one group or of all, newest first.

    Definition
    ----------
    The rows inside the window as they were written, of `group` when one is given. A row with
    `occurrences` above 1 stands for a run of equal errors between first_at and last_at.

    On sampled data exact, since errors are always kept.

    Source
    ------
    errors : one row per error, or per run of equal ones.

    Columns
    -------
    timestamp : Datetime, UTC.
    event_id : String.
    group_hash : String; the group's name on the Errors page.
    error_type : String.
    error_message : String.
    severity : String.
    occurrences : Int64, count; as written, weight not applied.
    first_at : Datetime, UTC.
    last_at : Datetime, UTC.
    user_id_hash : String.
    user_tier : String.
    session_id : String.
    channel : String.
    release : String.
    related_event_name : String.
    stack_trace : String.
    metadata : String; JSON.
    """
    wanted = [window.contains(), *([] if group is None else [pl.col(GROUP) == group])]
    return (
        errors.filter(*wanted)
        .select(
            *("timestamp", "event_id", GROUP, "error_type", "error_message", "severity"),
            "occurrences",
            *("first_at", "last_at", "user_id_hash", "user_tier", "session_id", "channel"),
            *("release", "related_event_name", "stack_trace", "metadata"),
        )
        .sort(["timestamp", "event_id"], descending=True)
    )


@metric("events", "errors", lookback_days=ALL_HISTORY)
def errors_by_release(events: pl.LazyFrame, errors: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """How often each release breaks, for the amount of use it gets.

    Definition
    ----------
    Releases with an event or an error inside the window; rows that name no release are the
    null one. first_seen is the release's first event or error over all history. Errors per
    1,000 events make a release few people have comparable with one everybody has.

    On sampled data errors are exact, events and users estimates, and first_seen may be late.

    Source
    ------
    events : one row per event, all history.
    errors : one row per error, or per run of equal ones, all history.

    Columns
    -------
    release : String; null where none was named.
    first_seen : Datetime, UTC; over all history.
    events : Float64, count; sum of weights.
    users : Float64, count; people with an event under the release.
    errors : Float64, count; sum of occurrences x weight.
    users_with_errors : Float64, count.
    errors_per_1000_events : Float64; null without events.
    """
    inside = window.contains()
    used = _release(events)
    broken = _release(_grouped(errors))
    before = (
        pl.concat([frame.select("release", TIMESTAMP) for frame in (used, broken)])
        .filter(earlier(window))
        .group_by("release")
        .agg(pl.col(TIMESTAMP).min())
    )
    uses = used.filter(inside).select("release", TIMESTAMP, person_key(), weight_of(events))
    own = ["release", TIMESTAMP, person_key(), WEIGHT, "occurrences"]
    return in_memory(uses, _by_release, broken.filter(inside).select(own), before)


def _by_release(used: pl.DataFrame, broken: pl.DataFrame, before: pl.DataFrame) -> pl.LazyFrame:
    """Return the columns of `errors_by_release` out of the window's rows and those before."""
    key, first = ["release"], pl.col(TIMESTAMP).min()
    events, users, errors, hit = reduced(
        used.lazy().group_by(key).agg(first, pl.col(WEIGHT).sum().alias("events")),
        distinct_of(used, key, KEY, "users"),
        broken.lazy().group_by(key).agg(first, pl.col("occurrences").sum().alias("errors")),
        distinct_of(broken, key, KEY, "users_with_errors"),
    )
    inside = pl.concat([part.select("release", TIMESTAMP) for part in (events, errors)])
    seen = pl.concat([inside, before.lazy()]).group_by(key).agg(first.alias("first_seen"))
    table = seen.join(inside, on=key, how="semi", nulls_equal=True)
    for part in (events.drop(TIMESTAMP), users, errors.drop(TIMESTAMP), hit):
        table = table.join(part, on=key, how="left", nulls_equal=True)
    counts = pl.col("events", "users", "errors", "users_with_errors").fill_null(0.0)
    per_1000 = 1000 * pl.col("errors") / pl.col("events")
    return (
        table.select("release", "first_seen", counts)
        .with_columns(pl.when(pl.col("events") > 0).then(per_1000).alias("errors_per_1000_events"))
        .sort("release")
    )


def _grouped(errors: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows with group_hash, weight, and occurrences times weight as Float64."""
    return weighted(errors).with_columns(
        pl.col("occurrences").fill_null(1).cast(pl.Float64) * pl.col("weight")
    )


def _release(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(pl.when(pl.col("release") != "").then("release").alias("release"))


def _distinct(rows: pl.LazyFrame, key: str, of: str, name: str) -> pl.LazyFrame:
    """Return per key the sum over each distinct `of` of its smallest weight."""
    each = rows.group_by(key, of).agg(pl.col("weight").min())
    return each.group_by(key).agg(pl.col("weight").sum().alias(name))


def _values(column: str) -> pl.Expr:
    """Return the distinct values that say something, sorted, as a list."""
    return pl.col(column).filter(pl.col(column) != "").unique().sort()


def _per_day(inside: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Return per group a list with the occurrences on each day of the window."""
    counts = inside.group_by(GROUP, window.day().alias("period")).agg(pl.col("occurrences").sum())
    days = window.calendar().select("period")
    return (
        counts.select(GROUP)
        .unique()
        .join(days, how="cross")
        .join(counts, on=[GROUP, "period"], how="left", nulls_equal=True)
        .group_by(GROUP)
        .agg(pl.col("occurrences").fill_null(0.0).sort_by("period").alias("per_day"))
    )


def _each(column: pl.Expr, function: Callable[[str], str]) -> pl.Expr:
    """Return a text function of one row per group; a text that is missing is empty."""
    return column.fill_null("").map_elements(function, return_dtype=pl.String)
