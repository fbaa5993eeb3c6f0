"""One person: their tiers, sessions, tools, errors and waits, and everything in order of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    EVENT,
    EVENT_ID,
    TIMESTAMP,
    USER,
    WEIGHT,
    MetricError,
    as_happened,
    event_predicate,
    in_memory,
    weighted,
    weighted_quantile,
)
from data_access.metrics.errors import error_groups
from data_access.metrics.latency import latency
from data_access.metrics.properties import tool_name
from data_access.metrics.registry import ALL_HISTORY, metric
from data_access.metrics.users import checked
from ingest.vocabulary import CortexEventName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.window import Window

__all__ = [
    "user_errors",
    "user_latency",
    "user_rows",
    "user_sessions",
    "user_tiers",
    "user_timeline",
    "user_tools",
]

KINDS: Final = ("event", "error", "trace")
DETAIL_CHARS: Final = 500
QUANTILES: Final = (0.5, 0.95)
PERCENTILES: Final = ("duration_ms_p50", "duration_ms_p95")
PLAN_EVENTS: Final = (
    CortexEventName.PAID_SUBSCRIPTION_STARTED.value,
    CortexEventName.PAID_SUBSCRIPTION_CANCELED.value,
)
CALLED: Final = CortexEventName.SERVER_OPERATION_CALLED.value
_SESSION: Final = "session_id"


def _of(frame: pl.LazyFrame, user: str) -> pl.LazyFrame:
    return frame.filter(pl.col(USER) == user)


def _own(frame: pl.LazyFrame, window: Window, user: str, *columns: str) -> pl.LazyFrame:
    """Return a person's rows up to the window's end: `columns` and the weight they have for them.

    In a sample they did once themselves what stands for the doing of many.
    """
    known = weighted(frame).filter(window.before())
    return in_memory(
        _of(known, user).select(*columns, WEIGHT),
        lambda rows: as_happened(rows, known).lazy(),
    )


@metric("events", lookback_days=ALL_HISTORY)
def user_tiers(events: pl.LazyFrame, window: Window, *, user: str) -> pl.LazyFrame:
    """Which tiers a person had, one after the other.

    Definition
    ----------
    All history up to the window's end, since a change long ago is still what made them what
    they are. A tier lasts from its first event to the first event of another one; events
    without a tier are skipped. What changed it is the last `paid_subscription_started` or
    `paid_subscription_canceled` after the tier before it began; without one, the event that
    first showed the new tier.

    On sampled data what was kept of this person.

    Source
    ------
    events : one row per event, all history.

    Columns
    -------
    from_at : Datetime, UTC; the first event of this tier.
    until_at : Datetime, UTC; the first event of the next one, null for the present tier.
    tier : String.
    how : String; the event that changed it.
    events : Float64, count; sum of weights while it lasted, 1 for what a sample kept.
    """
    tier = pl.col("user_tier")
    own = _own(events, window, user, TIMESTAMP, EVENT_ID, EVENT, "user_tier")
    rows = own.filter(tier != "").rename({"user_tier": "tier"})

    def step(rows: pl.DataFrame) -> pl.LazyFrame:
        at = pl.int_range(pl.len())
        new = pl.col("tier").ne_missing(pl.col("tier").shift(1))
        plan = pl.when(event_predicate(PLAN_EVENTS)).then("at").forward_fill()
        runs = (
            rows.lazy()
            .sort(TIMESTAMP, EVENT_ID, maintain_order=True)
            .with_columns(at.alias("at"), new.cum_sum().alias("run"))
            .with_columns(plan.alias("plan"), pl.col(EVENT).gather(plan).alias("plan_event"))
            .group_by("run", maintain_order=True)
            .agg(
                pl.col(TIMESTAMP, "tier", "at", "plan", "plan_event", EVENT).first(),
                pl.col(WEIGHT).sum().alias("events"),
            )
        )
        changed = pl.col("plan") > pl.col("at").shift(1)
        return runs.sort("run").select(
            pl.col(TIMESTAMP).alias("from_at"),
            pl.col(TIMESTAMP).shift(-1).alias("until_at"),
            "tier",
            pl.when(changed).then("plan_event").otherwise(EVENT).alias("how"),
            "events",
        )

    return in_memory(rows, step)


@metric("events", "errors")
def user_sessions(
    events: pl.LazyFrame, errors: pl.LazyFrame, window: Window, *, user: str
) -> pl.LazyFrame:
    """List a person's sessions, newest first.

    Definition
    ----------
    The distinct non-empty session_id of the person's events inside the window. A session lasts
    from its first to its last event there, one event alone 0 seconds. Errors are those that
    name the session.

    On sampled data what was kept of this person.

    Source
    ------
    events : one row per event.
    errors : one row per error, or per run of equal ones.

    Columns
    -------
    started_at : Datetime, UTC; its first event.
    session_id : String.
    duration_s : Float64, seconds.
    events : Float64, count; sum of weights, 1 for what a sample kept.
    errors : Float64, count; occurrences x weight.
    """
    inside = (window.contains(), pl.col(_SESSION) != "")
    length = pl.col(TIMESTAMP).max() - pl.col(TIMESTAMP).min()
    found = (
        _own(events, window, user, TIMESTAMP, _SESSION)
        .filter(*inside)
        .group_by(_SESSION)
        .agg(
            pl.col(TIMESTAMP).min().alias("started_at"),
            (length.dt.total_milliseconds() / 1000).alias("duration_s"),
            pl.col(WEIGHT).sum().alias("events"),
        )
    )
    times = pl.col("occurrences").fill_null(1) * pl.col(WEIGHT)
    met = _own(errors, window, user, TIMESTAMP, _SESSION, "occurrences").filter(*inside)
    errors_met = met.group_by(_SESSION).agg(times.sum().alias("errors"))
    return (
        found.join(errors_met, on=_SESSION, how="left")
        .select("started_at", _SESSION, "duration_s", "events", pl.col("errors").fill_null(0.0))
        .sort(["started_at", _SESSION], descending=True)
    )


@metric("events")
def user_tools(events: pl.LazyFrame, window: Window, *, user: str) -> pl.LazyFrame:
    """Which tools a person called, most called first.

    Definition
    ----------
    The `server_operation_called` events inside the window, by `tool_name` or, where none is
    given, the older name they were written under. A failure is a result other than `success`.

    On sampled data what was kept of this person.

    Source
    ------
    events : one row per event.

    Columns
    -------
    calls : Float64, count; sum of weights, 1 for what a sample kept.
    tool : String.
    failures : Float64, count.
    duration_ms_p95 : Float64, milliseconds; null when nothing was timed.
    last_used : Datetime, UTC.
    """
    named = events.with_columns(tool_name(events))
    own = _own(named, window, user, TIMESTAMP, EVENT, "tool", "result", "duration_ms")
    rows = own.filter(window.contains(), event_predicate(CALLED), pl.col("tool").is_not_null())

    def step(rows: pl.DataFrame) -> pl.LazyFrame:
        failed = pl.col("result").fill_null("success") != "success"
        counts = (
            rows.lazy()
            .group_by("tool")
            .agg(
                pl.col(WEIGHT).sum().alias("calls"),
                pl.col(WEIGHT).filter(failed).sum().alias("failures"),
                pl.col(TIMESTAMP).max().alias("last_used"),
            )
        )
        slow = weighted_quantile(
            rows.lazy(), "duration_ms", 0.95, by=["tool"], name="duration_ms_p95"
        )
        return (
            counts.join(slow, on="tool", how="left")
            .select("calls", "tool", "failures", "duration_ms_p95", "last_used")
            .sort(["calls", "tool"], descending=True)
        )

    return in_memory(rows, step)


@metric("errors", lookback_days=ALL_HISTORY)
def user_errors(errors: pl.LazyFrame, window: Window, *, user: str) -> pl.LazyFrame:
    """Which errors a person met, the latest first.

    Definition
    ----------
    The groups of errors this person met inside the window. Type and message are of their latest
    one; first_seen is when this very person first met it, over all history.

    On sampled data exact, since errors are always kept.

    Source
    ------
    errors : one row per error, or per run of equal ones, all history.

    Columns
    -------
    last_seen : Datetime, UTC; up to the end of the window.
    group_hash : String; the group's name on the Errors page.
    error_type : String.
    message_template : String; the message with its variable parts masked.
    severity : String; the worst one.
    occurrences : Float64, count; sum of occurrences x weight.
    first_seen : Datetime, UTC; over all history.
    """
    return (
        error_groups(_of(errors, user), window)
        .select(
            *("last_seen", "group_hash", "error_type", "message_template", "severity"),
            *("occurrences", "first_seen"),
        )
        .sort(["last_seen", "group_hash"], descending=True)
    )


@metric("traces")
def user_latency(traces: pl.LazyFrame, window: Window, *, user: str) -> pl.LazyFrame:
    """How long a person waited for each operation, against everybody.

    Definition
    ----------
    Per operation this person ran inside the window: percentiles of their own durations, failed
    ones included, beside those of all people's, theirs among them. Percentiles are those of
    `latency`.

    On sampled data what was kept of this person, beside an estimate of everybody's: for that the
    weights are added up.

    Source
    ------
    traces : one row per finished operation.

    Columns
    -------
    operation_name : String.
    traces : Float64, count; this person's.
    failures : Float64, count; this person's.
    duration_ms_p50 : Float64, milliseconds; null when nothing was timed.
    duration_ms_p95 : Float64, milliseconds.
    everybody_ms_p50 : Float64, milliseconds.
    everybody_ms_p95 : Float64, milliseconds.
    """
    felt = (TIMESTAMP, "operation_name", "duration_ms", "success")
    own = latency(_own(traces, window, user, *felt), window, quantiles=QUANTILES)
    ours = dict(zip(PERCENTILES, ("everybody_ms_p50", "everybody_ms_p95"), strict=True))
    everybody = latency(traces, window, quantiles=QUANTILES).drop("traces", "failures")
    return own.join(everybody.rename(ours), on="operation_name", how="left", nulls_equal=True).sort(
        "operation_name"
    )


@metric("events", "errors", "traces")
def user_timeline(
    events: pl.LazyFrame,
    errors: pl.LazyFrame,
    traces: pl.LazyFrame,
    window: Window,
    *,
    user: str,
    kinds: Sequence[str] = KINDS,
    names: Sequence[str] = (),
    limit: int = 200,
    skip: int = 0,
) -> pl.LazyFrame:
    """List what a person did, met and waited for, newest first.

    Definition
    ----------
    The rows inside the window as they were written, whatever their weights: events, errors and
    traces, or only the `kinds` asked for; of the `names` asked for, when there are any. The
    latest `limit` of them, after leaving out the first `skip`.

    On sampled data what was kept of this person.

    Source
    ------
    events : one row per event.
    errors : one row per error, or per run of equal ones.
    traces : one row per finished operation.

    Columns
    -------
    timestamp : Datetime, UTC.
    kind : String; event, error or trace.
    name : String; the event, the type of the error, the operation.
    result : String; of an event, the severity of an error, success or failure of a trace.
    duration_ms : Float64, milliseconds; null for an error.
    detail : String; an error's message, else the metadata (JSON); the first 500 characters.
    session_id : String.
    event_id : String.

    Errors
    ------
    MetricError : when a kind is unknown, `limit` is not between 1 and 10,000, or `skip` negative.
    """
    checked(limit, skip)
    rows = _rows(events, errors, traces, window, user).filter(_wanted(kinds, names))
    order = [TIMESTAMP, EVENT_ID, "kind"]
    return rows.sort(order, descending=True, maintain_order=True).slice(skip, limit)


@metric("events", "errors", "traces")
def user_rows(
    events: pl.LazyFrame,
    errors: pl.LazyFrame,
    traces: pl.LazyFrame,
    window: Window,
    *,
    user: str,
    kinds: Sequence[str] = KINDS,
    names: Sequence[str] = (),
) -> pl.LazyFrame:
    """How many rows of each name a person has, most first: what a timeline can show.

    Definition
    ----------
    The rows of `user_timeline`, all of them, counted as written: weights are not applied.

    On sampled data what was kept of this person.

    Source
    ------
    events : one row per event.
    errors : one row per error, or per run of equal ones.
    traces : one row per finished operation.

    Columns
    -------
    rows : Int64, count.
    kind : String; event, error or trace.
    name : String.

    Errors
    ------
    MetricError : when a kind is unknown.
    """
    rows = _rows(events, errors, traces, window, user).filter(_wanted(kinds, names))
    counted = rows.group_by("kind", "name").agg(pl.len().cast(pl.Int64).alias("rows"))
    return counted.select("rows", "kind", "name").sort(["rows", "kind", "name"], descending=True)


def _wanted(kinds: Sequence[str], names: Sequence[str]) -> pl.Expr:
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise MetricError(f"kinds={kinds!r} must be some of {', '.join(KINDS)}.")
    of_kind = pl.col("kind").is_in(list(kinds))
    return of_kind & pl.col("name").is_in(list(names)) if names else of_kind


def _rows(
    events: pl.LazyFrame, errors: pl.LazyFrame, traces: pl.LazyFrame, window: Window, user: str
) -> pl.LazyFrame:
    """Return one person's rows of all three tables under the same columns."""
    succeeded = pl.when(pl.col("success").fill_null(value=True))
    metadata = pl.when(pl.col("metadata") != "{}").then("metadata")
    none = pl.lit(None, pl.Float64)
    parts = {
        "event": (events, EVENT, pl.col("result"), pl.col("duration_ms"), metadata),
        "error": (errors, "error_type", pl.col("severity"), none, pl.col("error_message")),
        "trace": (
            traces,
            "operation_name",
            succeeded.then(pl.lit("success")).otherwise(pl.lit("failure")),
            pl.col("duration_ms"),
            metadata,
        ),
    }
    return pl.concat(
        [
            _of(frame, user)
            .filter(window.contains())
            .select(
                TIMESTAMP,
                pl.lit(kind).alias("kind"),
                pl.col(name).alias("name"),
                result.alias("result"),
                duration.cast(pl.Float64).alias("duration_ms"),
                detail.str.slice(0, DETAIL_CHARS).alias("detail"),
                _SESSION,
                EVENT_ID,
            )
            for kind, (frame, name, result, duration, detail) in parts.items()
        ]
    )
