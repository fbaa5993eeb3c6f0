"""The closed beta: a row per tester, how far newcomers get, and the life of their contexts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    KEY,
    USER,
    event_predicate,
    user_key,
    weighted,
    weighted_quantile,
)
from data_access.metrics.kpis import ratio
from data_access.metrics.registry import ALL_HISTORY, metric
from ingest.vocabulary import ACTIVE_EVENTS, CortexEventName

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from data_access.window import Window

__all__ = ["STEPS", "activation", "context_lifecycle", "testers"]

CREATED: Final = (
    CortexEventName.CONTEXT_CREATED.value,
    CortexEventName.CONTEXT_AUTO_CREATED.value,
)
LOADED: Final = (CortexEventName.CONTEXT_LOADED.value,)
RESUMED: Final = (CortexEventName.CONTEXT_RESUMED.value,)
TRIGGERED: Final = (CortexEventName.CONTEXT_PROTECTION_TRIGGERED.value,)
BLOCKED: Final = (CortexEventName.CONTEXT_PROTECTION_BLOCKED.value,)
OVERRIDDEN: Final = (CortexEventName.CONTEXT_OVERRIDE_MANUAL.value,)
SESSION_RESUMED: Final = (CortexEventName.SESSION_RESUMED_FROM_CONTEXT.value,)

# column -> the events it counts
_TESTER_COUNTS: Final = {
    "contexts_created": CREATED,
    "contexts_loaded": LOADED,
    "contexts_resumed": RESUMED,
    "protections_triggered": TRIGGERED,
    "protections_blocked": BLOCKED,
    "overrides": OVERRIDDEN,
}
_LIFECYCLE_COUNTS: Final = {
    "context_created": CREATED[:1],
    "context_auto_created": CREATED[1:],
    "context_loaded": LOADED,
    "context_resumed": RESUMED,
    "context_modified": (CortexEventName.CONTEXT_MODIFIED.value,),
    "context_merged": (CortexEventName.CONTEXT_MERGED.value,),
    "context_deleted": (CortexEventName.CONTEXT_DELETED.value,),
    "protections_triggered": TRIGGERED,
    "protections_blocked": BLOCKED,
    "overrides": OVERRIDDEN,
}
STEPS: Final = (
    "first seen",
    "context created",
    "context loaded or resumed",
    "came back another day",
    "session resumed from context",
)


@metric("events", "errors", lookback_days=ALL_HISTORY)
def testers(events: pl.LazyFrame, errors: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """List every tester: what they did, what they met, and how long they have been quiet.

    Definition
    ----------
    Everybody with an event or an error up to the end of the window has a row, also those who
    were silent inside it. First and last seen and the tier look at all history; everything
    else counts inside the window. An active day holds one of the four active events. Contexts
    created include those created automatically. Quiet days lie between the day a tester was
    last seen and the window's last day: 0 for somebody seen on it.

    Source
    ------
    events : one row per event, all history.
    errors : one row per error, or per run of equal ones, all history.

    Columns
    -------
    user_id_hash : String.
    tier : String; of the latest event or error that names one, null when none does.
    first_seen : Datetime, UTC; over all history.
    last_seen : Datetime, UTC; up to the end of the window.
    quiet_days : Int64, days.
    days_active : Int64, days; inside the window.
    sessions : Float64, count; distinct non-empty session_id.
    events : Float64, count; sum of weights.
    contexts_created : Float64, count.
    contexts_loaded : Float64, count.
    contexts_resumed : Float64, count.
    protections_triggered : Float64, count.
    protections_blocked : Float64, count.
    overrides : Float64, count; protections overridden by hand.
    errors : Float64, count; occurrences x weight.
    error_groups : Int64, count; distinct groups met.
    """
    columns = ["timestamp", "event_id", USER, "user_tier"]
    group = "group_hash" if "group_hash" in errors.collect_schema() else "stack_hash"
    seen = pl.concat([events.select(columns), errors.select(columns)]).filter(
        window.before(), pl.col(USER).is_not_null()
    )
    people = seen.group_by(USER).agg(
        pl.col("timestamp").min().alias("first_seen"),
        pl.col("timestamp").max().alias("last_seen"),
    )
    tier = (
        seen.filter(pl.col("user_tier") != "")
        .group_by(USER)
        .agg(pl.col("user_tier").sort_by("timestamp", "event_id").last().alias("tier"))
    )
    inside = weighted(events.filter(window.contains()))
    days = (
        inside.filter(event_predicate(ACTIVE_EVENTS))
        .group_by(USER)
        .agg(window.day().n_unique().cast(pl.Int64).alias("days_active"))
    )
    did = _counted(inside, USER, {"events": None, **_TESTER_COUNTS})
    sessions = (
        inside.filter(pl.col("session_id") != "")
        .group_by(USER, "session_id")
        .agg(pl.col("weight").min())
        .group_by(USER)
        .agg(pl.col("weight").sum().alias("sessions"))
    )
    met = (
        weighted(errors.filter(window.contains()))
        .group_by(USER)
        .agg(
            (pl.col("occurrences").fill_null(1) * pl.col("weight")).sum().alias("errors"),
            pl.col(group).n_unique().cast(pl.Int64).alias("error_groups"),
        )
    )
    for part in (tier, days, did, sessions, met):
        people = people.join(part, on=USER, how="left")
    last = pl.lit(window.end - timedelta(days=1))
    quiet = (last - window.day("last_seen")).dt.total_days().alias("quiet_days")
    return people.select(
        *(USER, "tier", "first_seen", "last_seen"),
        quiet,
        pl.col("days_active").fill_null(0),
        pl.col("sessions", "events", *_TESTER_COUNTS, "errors").fill_null(0.0),
        pl.col("error_groups").fill_null(0),
    ).sort(USER)


@metric("events", lookback_days=ALL_HISTORY)
def activation(events: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """How far people get who were first seen in the window.

    Definition
    ----------
    Users whose first event ever lies in the window, and how many of them reached each step up
    to its end: created a context (by hand or automatically), loaded or resumed one, had an
    event on another day than their first, and resumed a session from a context. Events of a
    step must have succeeded. Each step counts on its own; nobody has to take the others first.
    Users count with the smallest weight among their events of the step.

    Source
    ------
    events : one row per event, all history.

    Columns
    -------
    step : Int64; 0 is first seen.
    name : String; the step in words.
    users : Float64, count.
    rate_from_first : Float64, 0 to 1; users / users first seen, null when there are none.
    seconds_p50 : Float64, seconds; median from the first event to the step, null for nobody.
    """
    known = weighted(events.filter(window.before(), pl.col(USER).is_not_null()))
    newcomers = (
        known.group_by(user_key())
        .agg(pl.col("timestamp").min().alias("first"))
        .filter(window.contains("first"))
    )
    rows = known.filter(window.contains()).with_columns(user_key())
    rows = rows.join(newcomers, on=KEY, how="inner")
    done = pl.col("result").fill_null("success") == "success"
    reached = (
        pl.lit(value=True),
        event_predicate(CREATED) & done,
        event_predicate((*LOADED, *RESUMED)) & done,
        window.day() > window.day("first"),
        event_predicate(SESSION_RESUMED) & done,
    )
    moments = [f"at_{step}" for step in range(len(reached))]
    weights = [f"weight_{step}" for step in range(len(reached))]
    per_user = (
        rows.select(
            *(KEY, "first"),
            *(
                pl.when(test).then("timestamp").alias(name)
                for name, test in zip(moments, reached, strict=True)
            ),
            *(
                pl.when(test).then("weight").alias(name)
                for name, test in zip(weights, reached, strict=True)
            ),
        )
        .group_by(KEY)
        .agg(pl.col("first", *moments, *weights).min())
    )
    times = pl.concat(
        [
            per_user.select(
                pl.lit(step, pl.Int64).alias("step"),
                pl.col(f"weight_{step}").alias("weight"),
                (pl.col(f"at_{step}") - pl.col("first")).alias("elapsed"),
            )
            for step in range(len(STEPS))
        ]
    ).filter(pl.col("weight").is_not_null())
    elapsed = pl.col("elapsed").dt.total_milliseconds() / 1000
    times = times.with_columns(elapsed.alias("seconds"))
    median = weighted_quantile(times, "seconds", 0.5, by=["step"], name="seconds_p50")
    steps = pl.LazyFrame(
        {"step": range(len(STEPS)), "name": STEPS}, schema={"step": pl.Int64, "name": pl.String}
    )
    return (
        steps.join(
            times.group_by("step").agg(pl.col("weight").sum().alias("users")),
            on="step",
            how="left",
        )
        .join(median, on="step", how="left")
        .with_columns(pl.col("users").fill_null(0.0))
        .sort("step")
        .with_columns(pl.col("users").first().alias("_first"))
        .select(
            *("step", "name", "users"),
            ratio("users", "_first").alias("rate_from_first"),
            "seconds_p50",
        )
    )


@metric("events")
def context_lifecycle(events: pl.LazyFrame, window: Window, *, every: str = "1w") -> pl.LazyFrame:
    """Count what happens to contexts, per period: created, used, changed, protected.

    Definition
    ----------
    Events of each kind in the whole periods the window touches, whatever their result.

    Source
    ------
    events : one row per event.

    Columns
    -------
    period : Date; first day of the period, quiet ones included.
    context_created : Float64, count; sum of weights.
    context_auto_created : Float64, count.
    context_loaded : Float64, count.
    context_resumed : Float64, count.
    context_modified : Float64, count.
    context_merged : Float64, count.
    context_deleted : Float64, count.
    protections_triggered : Float64, count.
    protections_blocked : Float64, count.
    overrides : Float64, count; protections overridden by hand.
    complete : Boolean; whether the period ended inside the window.

    Errors
    ------
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    names = [name for several in _LIFECYCLE_COUNTS.values() for name in several]
    rows = weighted(
        events.filter(window.widened(every).contains(), event_predicate(names))
    ).with_columns(window.period(every=every).alias("period"))
    counts = _counted(rows, "period", _LIFECYCLE_COUNTS)
    return (
        window.calendar(every)
        .join(counts, on="period", how="left")
        .select("period", pl.col(*_LIFECYCLE_COUNTS).fill_null(0.0), "complete")
        .sort("period")
    )


def _counted(
    rows: pl.LazyFrame, key: str, counts: Mapping[str, Collection[str] | None]
) -> pl.LazyFrame:
    """Return per key the weight of the events named for each column; None names all of them."""
    columns = [
        pl.when(event_predicate(None if names is None else tuple(names)))
        .then("weight")
        .alias(column)
        for column, names in counts.items()
    ]
    return rows.select(key, *columns).group_by(key).agg(pl.col(*counts).sum())
