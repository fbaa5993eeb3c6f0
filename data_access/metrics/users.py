"""Everybody in a row: who they are, what they did, what they met and how long they waited."""

from __future__ import annotations

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
    as_happened,
    event_predicate,
    in_memory,
    packed,
    reduced,
    unpacked,
    user_key,
    weight_of,
    weighted,
)
from data_access.metrics.latency import grouped_percentiles
from data_access.metrics.properties import tool_name
from data_access.metrics.registry import ALL_HISTORY, metric
from ingest.vocabulary import ACTIVE_EVENTS, PAID_TIERS, CortexEventName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.window import Window

__all__ = ["people_events", "seen", "users"]

ROWS_MAX: Final = 10_000  # single events at once; more is an export's work
_LEVEL: Final = 0.95


@metric("events", "errors", "traces", lookback_days=ALL_HISTORY)
def users(
    events: pl.LazyFrame,
    errors: pl.LazyFrame,
    traces: pl.LazyFrame,
    window: Window,
    *,
    prefix: str = "",
    everybody: bool = False,
) -> pl.LazyFrame:
    """List the people: who they are, what they did, what they met and how long they waited.

    Definition
    ----------
    Everybody with an event, an error or a trace inside the window has a row; with `everybody`
    also those who were there earlier and silent inside it. `prefix` keeps the people whose
    user_id_hash begins so, whatever the case. First and last seen and the tier look at all
    history up to the window's end; everything else counts inside the window. An active day
    holds one of the four active events. Latency felt is over the person's own traces, failed
    ones included.

    On sampled data a person who is kept has their own counts, not those of the people they stand
    for; of the others only what failed, was slow or critical is known, so they seem quieter and
    newer than they are. Neither the rows nor their counts add up to everybody's.

    Source
    ------
    events : one row per event, all history.
    errors : one row per error, or per run of equal ones, all history.
    traces : one row per finished operation, all history.

    Columns
    -------
    user_id_hash : String.
    tier : String; of the latest row that names one, null when none does.
    paying : Boolean; whether that tier is paid or enterprise.
    first_seen : Datetime, UTC; over all history.
    last_seen : Datetime, UTC; up to the end of the window.
    days_active : Int64, days.
    sessions : Float64, count; distinct non-empty session_id.
    events : Float64, count; sum of weights, 1 for what a sample kept.
    tools : Int64, count; distinct tools called.
    errors : Float64, count; occurrences x weight.
    duration_ms_p95 : Float64, milliseconds; null when nothing was timed.
    """
    inside = window.contains()
    own = (user_key(), pl.col(USER, TIMESTAMP, "user_tier", EVENT_ID))
    known = [window.before(), pl.col(USER).is_not_null(), *_beginning(prefix)]
    did = events.filter(*known).select(
        *own,
        EVENT,
        pl.when(inside).then(weight_of(events)).alias(WEIGHT),
        pl.when(inside & (pl.col("session_id") != ""))
        .then(pl.col("session_id").hash())
        .alias("session"),
    )
    met = weighted(errors.filter(*known)).select(
        *own,
        pl.when(inside).then(pl.col("occurrences").fill_null(1) * pl.col(WEIGHT)).alias("errors"),
    )
    felt = weighted(traces.filter(*known)).select(
        *own, pl.when(inside).then("duration_ms").alias("duration_ms"), WEIGHT
    )
    calls = event_predicate(CortexEventName.SERVER_OPERATION_CALLED.value)
    called = events.filter(*known, inside, calls).select(user_key(), tool_name(events)).unique()
    # a beginning may be that of a single person, who tells nothing of a sample
    all_events, all_traces = (frame.filter(window.before()) for frame in (events, traces))
    three = (did, met, felt)
    ids = pl.concat([frame.select(KEY, TIMESTAMP, "user_tier", EVENT_ID) for frame in three])

    def step(
        did: pl.DataFrame, met: pl.DataFrame, felt: pl.DataFrame, called: pl.DataFrame
    ) -> pl.LazyFrame:
        did, felt = (as_happened(rows, of) for rows, of in ((did, all_events), (felt, all_traces)))
        people = seen([did, met, felt], ids)
        for part in (*_done(did.lazy(), window), _met(met), _felt(felt), _called(called)):
            people = people.join(part, on=KEY, how="left")
        there = pl.lit(value=True) if everybody else window.contains("last_seen")
        return people.filter(there).select(*_COLUMNS).sort(USER)

    return in_memory(did.drop(EVENT_ID), step, met.drop(EVENT_ID), felt.drop(EVENT_ID), called)


_COLUMNS: Final = (
    pl.col(USER),
    pl.col("tier"),
    pl.col("tier").is_in(PAID_TIERS).fill_null(value=False).alias("paying"),
    pl.col("first_seen"),
    pl.col("last_seen"),
    pl.col("days_active").fill_null(0),
    pl.col("sessions").fill_null(0.0),
    pl.col("events").fill_null(0.0),
    pl.col("tools").fill_null(0),
    pl.col("errors").fill_null(0.0),
    pl.col("duration_ms_p95"),
)


def _beginning(prefix: str) -> list[pl.Expr]:
    """Return the predicate "this user's hash begins so", if that is asked."""
    wanted = prefix.strip().lower()
    return [pl.col(USER).str.to_lowercase().str.starts_with(wanted)] if wanted else []


def _done(did: pl.LazyFrame, window: Window) -> list[pl.LazyFrame]:
    """Return per KEY the active days, the sessions and the events inside the window."""
    inside = did.filter(pl.col(WEIGHT).is_not_null())
    active = inside.filter(event_predicate(ACTIVE_EVENTS)).select(KEY, window.day().alias("day"))
    in_session = inside.filter(pl.col("session").is_not_null())
    days, sessions, counts = reduced(
        active.unique(),
        in_session.group_by(KEY, "session").agg(pl.col(WEIGHT).min()),
        inside.group_by(KEY).agg(pl.col(WEIGHT).sum().alias("events")),
    )
    return [
        days.group_by(KEY).agg(pl.len().cast(pl.Int64).alias("days_active")),
        sessions.group_by(KEY).agg(pl.col(WEIGHT).sum().alias("sessions")),
        counts,
    ]


def _met(met: pl.DataFrame) -> pl.LazyFrame:
    return met.lazy().group_by(KEY).agg(pl.col("errors").sum())


def _felt(felt: pl.DataFrame) -> pl.LazyFrame:
    timed = felt.lazy().filter(pl.col("duration_ms").is_not_null())
    rows = timed.select(KEY, pl.col("duration_ms").cast(pl.Float64), WEIGHT)
    return grouped_percentiles(rows, [KEY], (_LEVEL,))


def _called(called: pl.DataFrame) -> pl.LazyFrame:
    tools = called.lazy().filter(pl.col("tool").is_not_null())
    return tools.group_by(KEY).agg(pl.len().cast(pl.Int64).alias("tools"))


def seen(tables: Sequence[pl.DataFrame], ids: pl.LazyFrame) -> pl.LazyFrame:
    """Return KEY, user_id_hash, first_seen, last_seen and tier over several tables' rows.

    Parameters
    ----------
    tables : KEY, user_id_hash, timestamp and user_tier of each.
    ids : KEY, timestamp, user_tier and event_id of them all; read only where the order of rows of
        the same millisecond decides.
    """
    values = pl.concat([rows["user_tier"].unique() for rows in tables])
    tiers = values.filter(values != "").unique().sort()
    number = max(len(tiers), 1)
    # no tier, and the empty one, is no number and has no say
    state = pl.col("user_tier").cast(pl.Enum(tiers), strict=False).to_physical().cast(pl.Int64)
    aggregates = [
        pl.col(USER).first(),
        pl.col("first_seen").min(),
        pl.col("last_seen").max(),
        pl.col("up", "down").max(),
    ]
    moments = [pl.col(TIMESTAMP).alias(name) for name in ("first_seen", "last_seen")]
    own = [
        rows.lazy()
        .select(KEY, USER, *moments, *packed(state, number))
        .group_by(KEY)
        .agg(aggregates)
        for rows in tables
    ]
    people = pl.concat(reduced(*own)).group_by(KEY).agg(aggregates)
    tier = pl.lit(tiers).gather(pl.col("state")).alias("tier")
    return unpacked(people, state, number, ids, last=True).with_columns(tier)


@metric("events")
def people_events(
    events: pl.LazyFrame,
    window: Window,
    *,
    users: Sequence[str] = (),
    names: Sequence[str] = (),
    limit: int = 500,
) -> pl.LazyFrame:
    """List what certain people did, newest first.

    Definition
    ----------
    The events inside the window of the people in `users`, of the names in `names` when there
    are any, as they were written: the latest `limit` of them, whatever their weights.

    On sampled data what was kept of these people.

    Source
    ------
    events : one row per event.

    Columns
    -------
    timestamp : Datetime, UTC.
    user_id_hash : String.
    event_name : String.
    result : String.
    duration_ms : Float64, milliseconds.
    user_tier : String.
    channel : String.
    release : String.
    session_id : String.
    metadata : String; JSON.
    event_id : String.

    Errors
    ------
    MetricError : when `limit` is not between 1 and 10,000.
    """
    checked(limit)
    wanted = [window.contains(), pl.col(USER).is_in(list(users))]
    if names:
        wanted.append(event_predicate(list(names)))
    return (
        events.filter(*wanted)
        .select(
            *(TIMESTAMP, USER, EVENT, "result", "duration_ms", "user_tier", "channel", "release"),
            *("session_id", "metadata", EVENT_ID),
        )
        .sort([TIMESTAMP, EVENT_ID], descending=True)
        .head(limit)
    )


def checked(limit: int, skip: int = 0) -> None:
    """Refuse to list more rows at once than anybody reads.

    Raises
    ------
    MetricError : when `limit` is not between 1 and ROWS_MAX, or `skip` is negative.
    """
    if not 1 <= limit <= ROWS_MAX:
        raise MetricError(f"limit={limit!r} must lie between 1 and {ROWS_MAX:,}.")
    if skip < 0:
        raise MetricError(f"skip={skip!r} leaves out the first rows, so it is 0 or more.")
