"""The closed beta: a row per tester, how far newcomers get, and the life of their contexts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    EVENT,
    EVENT_ID,
    KEY,
    TIMESTAMP,
    USER,
    WEIGHT,
    earlier,
    event_predicate,
    in_memory,
    of_people,
    reduced,
    unsampled,
    user_key,
    weight_of,
    weighted,
    weighted_quantile,
)
from data_access.metrics.kpis import ratio
from data_access.metrics.registry import ALL_HISTORY, metric
from data_access.metrics.users import seen
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


_FIRST_SEEN, _CAME_BACK = 0, 3
_STEP_EVENTS: Final = {1: CREATED, 2: (*LOADED, *RESUMED), 4: SESSION_RESUMED}


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

    On sampled data a tester who is kept has the counts of 1 / keep rate people; of the others only
    what failed, was slow or critical is known, so they seem quieter and newer than they are.

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
    own = (user_key(), pl.col(USER, TIMESTAMP, "user_tier", EVENT_ID))
    inside = window.contains()
    known = [window.before(), pl.col(USER).is_not_null()]
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
        pl.when(inside).then("group_hash").alias("group"),
    )
    ids = pl.concat([frame.select(KEY, TIMESTAMP, "user_tier", EVENT_ID) for frame in (did, met)])

    def step(did: pl.DataFrame, met: pl.DataFrame) -> pl.LazyFrame:
        people = seen([did, met], ids)
        for part in (*_done(did.lazy(), window), _met(met.lazy())):
            people = people.join(part, on=KEY, how="left")
        last = pl.lit(window.end - timedelta(days=1))
        quiet = (last - window.day("last_seen")).dt.total_days().alias("quiet_days")
        return people.select(
            *(USER, "tier", "first_seen", "last_seen"),
            quiet,
            pl.col("days_active").fill_null(0),
            pl.col("sessions", "events", *_TESTER_COUNTS, "errors").fill_null(0.0),
            pl.col("error_groups").fill_null(0),
        ).sort(USER)

    return in_memory(did.drop(EVENT_ID), step, met.drop(EVENT_ID))


def _done(did: pl.LazyFrame, window: Window) -> list[pl.LazyFrame]:
    """Return per KEY what somebody did inside the window, in several frames."""
    inside = did.filter(pl.col(WEIGHT).is_not_null())
    named = tuple(name for names in _TESTER_COUNTS.values() for name in names)
    active = inside.filter(event_predicate(ACTIVE_EVENTS)).select(KEY, window.day().alias("day"))
    in_session = inside.filter(pl.col("session").is_not_null())
    days, sessions, *counts = reduced(
        active.unique(),
        in_session.group_by(KEY, "session").agg(pl.col(WEIGHT).min()),
        inside.group_by(KEY).agg(pl.col(WEIGHT).sum().alias("events")),
        _counted(inside.filter(event_predicate(named)), KEY, _TESTER_COUNTS),
    )
    return [
        days.group_by(KEY).agg(pl.len().cast(pl.Int64).alias("days_active")),
        sessions.group_by(KEY).agg(pl.col(WEIGHT).sum().alias("sessions")),
        *counts,
    ]


def _met(met: pl.LazyFrame) -> pl.LazyFrame:
    """Return per KEY the errors somebody met inside the window."""
    inside = met.filter(pl.col("errors").is_not_null())
    return inside.group_by(KEY).agg(
        pl.col("errors").sum(), pl.col("group").n_unique().cast(pl.Int64).alias("error_groups")
    )


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

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

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
    done = pl.col("result").fill_null("success") == "success"
    does = [
        (event_predicate(names) & done).alias(f"does_{step}")
        for step, names in _STEP_EVENTS.items()
    ]
    somebody = pl.col(USER).is_not_null()

    def inside(events: pl.LazyFrame) -> pl.LazyFrame:
        own = (user_key(), TIMESTAMP, weight_of(events), window.day().alias("day"))
        return events.filter(somebody, window.contains()).select(*own, *does)

    def step(rows: pl.DataFrame, _: object, __: float, known: pl.DataFrame) -> pl.LazyFrame:
        return _activated(rows, known)

    before = events.filter(somebody, earlier(window)).select(user_key()).unique()
    return of_people(events, inside, step, before, when=window.before())


def _activated(rows: pl.DataFrame, known: pl.DataFrame) -> pl.LazyFrame:
    """Return the columns of `activation` out of the window's rows and who was seen before it.

    Reduced to people and days first: joining every row to its user's first moment would cost
    three times as much.
    """
    earliest = pl.col(TIMESTAMP, WEIGHT).min()
    inside = rows.lazy()
    days, *did = reduced(
        inside.group_by(KEY, "day").agg(earliest),
        *(inside.filter(f"does_{step}").group_by(KEY).agg(earliest) for step in _STEP_EVENTS),
    )
    days = days.join(known.lazy(), on=KEY, how="anti")
    newcomers = days.group_by(KEY).agg(
        earliest, pl.col(TIMESTAMP).min().alias("first"), pl.col("day").min().alias("first_day")
    )
    again = days.join(newcomers.select(KEY, "first_day"), on=KEY, how="inner")
    reached = {
        _FIRST_SEEN: newcomers,
        _CAME_BACK: again.filter(pl.col("day") > pl.col("first_day")).group_by(KEY).agg(earliest),
        **dict(zip(_STEP_EVENTS, did, strict=True)),
    }
    first = newcomers.select(KEY, "first")
    times = pl.concat(
        [
            found.select(KEY, TIMESTAMP, WEIGHT)
            .join(first, on=KEY, how="inner")
            .select(
                pl.lit(step, pl.Int64).alias("step"),
                WEIGHT,
                (pl.col(TIMESTAMP) - pl.col("first")).alias("elapsed"),
            )
            for step, found in reached.items()
        ]
    )
    elapsed = pl.col("elapsed").dt.total_milliseconds() / 1000
    times = times.with_columns(elapsed.alias("seconds"))
    if unsampled(rows):
        seconds = pl.col("seconds").quantile(0.5, "linear").alias("seconds_p50")
        median = times.group_by("step").agg(seconds)
    else:
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

    On sampled data an estimate: the weights are added up.

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
