"""The extension: who installs it and goes on using it, what they do in it, and what fails.

Everything here is about one channel's events; nothing is told from other channels.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    KEY,
    TIMESTAMP,
    USER,
    WEIGHT,
    distinct_of,
    event_predicate,
    in_memory,
    of_people,
    over_calendar,
    quantile_of,
    unsampled,
    user_key,
    weight_of,
    weighted,
)
from data_access.metrics.kpis import person_key, ratio
from data_access.metrics.properties import first_flag, first_number, first_text, saying
from data_access.metrics.registry import ALL_HISTORY, metric
from data_access.metrics.sessions import sessions
from ingest.vocabulary import CortexEventName

if TYPE_CHECKING:
    from data_access.window import Window

__all__ = [
    "code_insertions",
    "context_switches",
    "extension_activation",
    "extension_failures",
    "extension_funnel",
    "extension_installs",
    "extension_sessions",
    "interactions",
    "session_lengths",
]

CHANNEL: Final = "extension"
INSTALL: Final = "install"
ACTIVATED: Final = CortexEventName.EXTENSION_ACTIVATED.value
# what an editor does by itself when it opens and closes, and what goes wrong, is no use
NO_USE: Final = (
    *(INSTALL, ACTIVATED, "error"),
    *(CortexEventName.SESSION_STARTED.value, CortexEventName.SESSION_ENDED.value),
)
ACTIVATES_WITHIN: Final = timedelta(days=7)
NEXT_WEEK_DAYS: Final = (7, 13)  # after the day of the installation, both included
STEPS: Final = (
    "installed",
    "activated within 7 days",
    "used it",
    "used it again on days 7 to 13",
)
# seconds; a session of one event lasts 0
LENGTHS: Final = (0.0, 1.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0)
SUCCESS: Final = "success"
TIMEOUT: Final = "timeout"


def _of_channel(frame: pl.LazyFrame, channel: str = CHANNEL) -> pl.LazyFrame:
    return frame.filter(pl.col("channel") == channel)


# --- installed, activated, used ---------------------------------------------------------------


@metric("events", lookback_days=ALL_HISTORY)
def extension_installs(events: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """List everybody who first installed the extension in the window, and how far they got.

    Definition
    ----------
    Over the events of the extension channel up to the end of the window. A person is listed when
    their first `install` ever lies in it. They are activated by a successful
    `extension_activated` from then on, within 7 days (inclusive). A use is any event from then on
    but those an editor sends by itself: `install`, `extension_activated`, `session_started`,
    `session_ended` and `error`. The next week are the days 7 to 13 after the day of the
    installation, in the window's timezone; somebody is due when these lie inside the window.

    On sampled data only the people whose ordinary events are kept are listed, each at a weight of
    1 / keep rate.

    Source
    ------
    events : one row per event, all history.

    Columns
    -------
    user_id_hash : String.
    installed_at : Datetime, UTC; the first install.
    activated_at : Datetime, UTC; null when not activated within 7 days.
    first_used_at : Datetime, UTC; null when never used up to the end of the window.
    used_next_week : Boolean; whether there is a use on the days 7 to 13.
    steps_reached : Int64; of the four of `extension_funnel`, each only with those before it.
    due : Boolean; whether those days are over.
    weight : Float64, people this one stands for; the smallest weight of their installs.
    """
    return _installs(events, window)


def _installs(events: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Return the columns of `extension_installs`, of the days the window has."""
    inside = window.contains()
    is_install, is_use = pl.col("event_name") == INSTALL, ~event_predicate(NO_USE)
    activates = event_predicate(ACTIVATED) & (pl.col("result").fill_null(SUCCESS) == SUCCESS)

    def named(events: pl.LazyFrame) -> pl.LazyFrame:
        known = _of_channel(events).filter(window.before(), pl.col(USER).is_not_null())
        # nothing but an earlier install matters of what came before the window
        return known.filter(is_install | (inside & (activates | is_use))).select(
            *(user_key(), USER, TIMESTAMP, weight_of(events)),
            is_install.alias("installs"),
            activates.alias("activates"),
            is_use.alias("uses"),
        )

    def step(rows: pl.DataFrame, _: object, __: float) -> pl.LazyFrame:
        return _got_so_far(rows.lazy(), window)

    return of_people(events, named, step, when=window.before())


def _got_so_far(rows: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Return the columns of `extension_installs` out of its rows."""
    first = pl.col(TIMESTAMP).min().alias("installed_at")
    people = (
        rows.filter("installs")
        .group_by(KEY)
        .agg(pl.col(USER).first(), first, pl.col(WEIGHT).min())
        .filter(window.contains("installed_at"))
        .with_columns(window.day("installed_at").alias("install_day"))
    )
    later = (
        rows.filter(pl.col("activates") | pl.col("uses"))
        .select(KEY, TIMESTAMP, "activates", "uses")
        .join(people.select(KEY, "installed_at", "install_day"), on=KEY, how="inner")
        .filter(pl.col(TIMESTAMP) >= pl.col("installed_at"))
    )
    soon = pl.col(TIMESTAMP) <= pl.col("installed_at") + ACTIVATES_WITHIN
    days = (window.day() - pl.col("install_day")).dt.total_days()
    did = later.group_by(KEY).agg(
        pl.col(TIMESTAMP).filter(pl.col("activates") & soon).min().alias("activated_at"),
        pl.col(TIMESTAMP).filter("uses").min().alias("first_used_at"),
        (pl.col("uses") & days.is_between(*NEXT_WEEK_DAYS)).any().alias("used_next_week"),
    )
    over = pl.col("install_day") + pl.duration(days=NEXT_WEEK_DAYS[1]) < window.end
    activated = pl.col("activated_at").is_not_null()
    used = activated & pl.col("first_used_at").is_not_null()
    steps = (activated, used, used & pl.col("used_next_week"))
    return (
        people.join(did, on=KEY, how="left")
        .with_columns(pl.col("used_next_week").fill_null(value=False))
        .select(
            *(USER, "installed_at", "activated_at", "first_used_at", "used_next_week"),
            (1 + pl.sum_horizontal(step.cast(pl.Int64) for step in steps)).alias("steps_reached"),
            over.alias("due"),
            WEIGHT,
        )
        .sort(USER)
    )


@metric("events", lookback_days=ALL_HISTORY)
def extension_activation(
    events: pl.LazyFrame, window: Window, *, every: str = "1w"
) -> pl.LazyFrame:
    """Follow those who install the extension in each period: activated, used, used the week after.

    Definition
    ----------
    People as in `extension_installs`, by the period of their first install; the window grows to
    whole periods. Activated is within 7 days; used at least once up to the window's end; used
    next week on the days 7 to 13 after the installation, activated or not. A period is complete
    when these days of its last newcomer lie inside the window: until then the numbers still grow,
    and read as a drop what is none.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : one row per event, all history.

    Columns
    -------
    period : Date; first day of the period, quiet ones included.
    installed : Float64, count; people.
    activated : Float64, count.
    used : Float64, count.
    used_next_week : Float64, count.
    never_used : Float64, count; installed - used.
    activated_rate : Float64, 0 to 1; activated / installed, null when nobody installed.
    used_next_week_rate : Float64, 0 to 1; used_next_week / installed.
    never_used_rate : Float64, 0 to 1; never_used / installed.
    complete : Boolean; whether days 7 to 13 are over for everybody of the period.

    Errors
    ------
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    counts = ("installed", "activated", "used", "used_next_week", "never_used")
    people = _installs(events, window.widened(every)).select(
        window.period("installed_at", every=every).alias("period"),
        pl.col(WEIGHT).alias("installed"),
        _weight_when(pl.col("activated_at").is_not_null()).alias("activated"),
        _weight_when(pl.col("first_used_at").is_not_null()).alias("used"),
        _weight_when(pl.col("used_next_week")).alias("used_next_week"),
        _weight_when(pl.col("first_used_at").is_null()).alias("never_used"),
    )
    periods = window.periods(every)
    wait = timedelta(days=NEXT_WEEK_DAYS[1])
    over = [window.period_end(period, every=every) + wait <= window.end for period in periods]
    calendar = pl.LazyFrame(
        {"period": periods, "complete": over}, schema={"period": pl.Date, "complete": pl.Boolean}
    )

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        counted = found.lazy().group_by("period").agg(pl.col(*counts).sum())
        rates = [
            ratio(name, "installed").alias(f"{name}_rate")
            for name in ("activated", "used_next_week", "never_used")
        ]
        return over_calendar(calendar, counted, *counts).select(
            "period", *counts, *rates, "complete"
        )

    return in_memory(people, step)


def _weight_when(happened: pl.Expr) -> pl.Expr:
    return pl.when(happened).then(WEIGHT)


@metric("events", lookback_days=ALL_HISTORY)
def extension_funnel(events: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Say how many of those who installed the extension got how far.

    Definition
    ----------
    People as in `extension_installs` who are due: those whose days 7 to 13 after the
    installation are over, so that nobody counts as lost who still has time. Each step is of the
    people of the step before: installed; activated within 7 days; used it at least once; used
    it on the days 7 to 13.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : one row per event, all history.

    Columns
    -------
    step : Int64; 0 is installed.
    event_name : String; the step in words.
    users : Float64, count.
    rate_from_first : Float64, 0 to 1; null when nobody is due.
    rate_from_previous : Float64, 0 to 1; null when nobody took the step before.
    """
    people = _installs(events, window).filter("due").select("steps_reached", WEIGHT)

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        steps = [
            found.lazy().select(
                pl.lit(number, pl.Int64).alias("step"),
                pl.lit(name).alias("event_name"),
                pl.col(WEIGHT).filter(pl.col("steps_reached") > number).sum().alias("users"),
            )
            for number, name in enumerate(STEPS)
        ]
        return (
            pl.concat(steps)
            .sort("step")
            .with_columns(
                pl.col("users").first().alias("_first"),
                pl.col("users").shift(1).fill_null(pl.col("users")).alias("_previous"),
            )
            .select(
                *("step", "event_name", "users"),
                ratio("users", "_first").alias("rate_from_first"),
                ratio("users", "_previous").alias("rate_from_previous"),
            )
        )

    return in_memory(people, step)


# --- what is done in it -----------------------------------------------------------------------


@metric("events")
def interactions(events: pl.LazyFrame, window: Window, *, channel: str = CHANNEL) -> pl.LazyFrame:
    """Count what is clicked, opened and chosen, by element and action.

    Definition
    ----------
    The `ui_interaction` events of the channel inside the window, whatever their result, by the
    `element` and the `action` their metadata names.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event; its metadata.

    Columns
    -------
    element : String; null where none is named.
    action : String; null where none is named.
    events : Float64, count; sum of weights.
    users : Float64, count.
    failures : Float64, count; those with a result other than success.
    """
    keys = ["element", "action"]
    here = _of_channel(events, channel).filter(window.contains(), event_predicate("ui_interaction"))
    said = saying(here, keys, anyway=True)
    rows = said.select(
        *(first_text(key) for key in keys),
        person_key(),
        weight_of(events),
        _failed().alias("failed"),
    )

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        counts = (
            found.lazy()
            .group_by(keys)
            .agg(
                pl.col(WEIGHT).sum().alias("events"),
                pl.col(WEIGHT).filter("failed").sum().alias("failures"),
            )
        )
        return (
            counts.join(distinct_of(found, keys, KEY), on=keys, how="left", nulls_equal=True)
            .select(*keys, "events", pl.col("users").fill_null(0.0), "failures")
            .sort(keys)
        )

    return in_memory(rows, step)


def _failed() -> pl.Expr:
    return (pl.col("result") != SUCCESS).fill_null(value=False)


@metric("events")
def code_insertions(events: pl.LazyFrame, window: Window, *, every: str = "1d") -> pl.LazyFrame:
    """Count code insertions per period: lines, and how many were accepted.

    Definition
    ----------
    The `code_insert` events of the whole periods the window touches, whatever their result.
    Lines are their `lines_inserted`. The accepted share is of those that say whether they were
    accepted; an insertion that says nothing is neither.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event; its metadata.

    Columns
    -------
    period : Date; first day of the period, quiet ones included.
    insertions : Float64, count; sum of weights.
    users : Float64, count.
    lines : Float64, lines; sum of lines x weight.
    answered : Float64, count; insertions that say whether they were accepted.
    accepted : Float64, count.
    accepted_rate : Float64, 0 to 1; accepted / answered, null without answers.
    complete : Boolean; whether the period ended inside the window.

    Errors
    ------
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    here = events.filter(window.widened(every).contains(), event_predicate("code_insert"))
    said = saying(here, ["lines_inserted", "accepted"], anyway=True)
    answer, weight = first_flag("accepted"), weight_of(events)
    rows = said.select(
        window.period(every=every).alias("period"),
        person_key(),
        weight,
        (first_number("lines_inserted") * weight).alias("lines"),
        pl.when(answer.is_not_null()).then(weight).alias("answered"),
        pl.when(answer).then(weight).alias("accepted"),
    )
    names = ("insertions", "users", "lines", "answered", "accepted")

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        sums = found.lazy().group_by("period")
        counted = sums.agg(
            pl.col(WEIGHT).sum().alias("insertions"), pl.col("lines", "answered", "accepted").sum()
        ).join(distinct_of(found, ["period"], KEY), on="period", how="left")
        return over_calendar(window.calendar(every), counted, *names).select(
            *("period", *names), ratio("accepted", "answered").alias("accepted_rate"), "complete"
        )

    return in_memory(rows, step)


@metric("events")
def context_switches(
    events: pl.LazyFrame, window: Window, *, every: str = "1d", channel: str = CHANNEL
) -> pl.LazyFrame:
    """Count switches from one context or branch to another, per period.

    Definition
    ----------
    The `context_switch` events of the channel, in the whole periods the window touches, whatever
    their result. Per person: by the people who switched.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event.

    Columns
    -------
    period : Date; first day of the period, quiet ones included.
    switches : Float64, count; sum of weights.
    users : Float64, count; people who switched.
    switches_per_user : Float64; null when nobody switched.
    complete : Boolean; whether the period ended inside the window.

    Errors
    ------
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    rows = (
        _of_channel(events, channel)
        .filter(window.widened(every).contains(), event_predicate("context_switch"))
        .select(window.period(every=every).alias("period"), person_key(), weight_of(events))
    )

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        total = found.lazy().group_by("period").agg(pl.col(WEIGHT).sum().alias("switches"))
        counted = total.join(distinct_of(found, ["period"], KEY), on="period", how="left")
        return over_calendar(window.calendar(every), counted, "switches", "users").select(
            *("period", "switches", "users"),
            ratio("switches", "users").alias("switches_per_user"),
            "complete",
        )

    return in_memory(rows, step)


# --- how long they stay -----------------------------------------------------------------------


@metric("events")
def extension_sessions(
    events: pl.LazyFrame,
    window: Window,
    *,
    every: str | None = "1d",
    channel: str = CHANNEL,
    gap: str | None = "30m",
) -> pl.LazyFrame:
    """Measure sessions in one channel per period: how many, how long, and minutes a day.

    Definition
    ----------
    Sessions are those of `sessions` over the channel's events alone, by a silence longer than
    `gap`, in the whole periods the window touches; each counts in the period it starts in and
    lasts from its first to its last event, 0 seconds for a single one. A day of use is a person
    and a day, in the window's timezone, on which a session of theirs starts; the time a day is
    the time of all sessions by those. With `every=None` one row for the window itself, without
    `period` and `complete`.

    On sampled data only the sessions of people whose ordinary events are kept are there, each at a
    weight of 1 / keep rate.

    Source
    ------
    events : one row per event.

    Columns
    -------
    period : Date; first day of the period, quiet ones included.
    sessions : Float64, count.
    users : Float64, count; people with a session.
    seconds_p50 : Float64, seconds; median length, null without sessions.
    days_of_use : Float64, count; people times days.
    seconds_per_day : Float64, seconds; per person and day of use, null without sessions.
    complete : Boolean; whether the period ended inside the window.

    Errors
    ------
    MetricError : when `gap` is no duration.
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    span = window if every is None else window.widened(every)
    day = window.day("started_at")
    period = pl.lit(window.start) if every is None else window.period_of_day(day, every=every)
    rows = sessions(_of_channel(events, channel), span, gap=gap).select(
        *(USER, WEIGHT, "duration_s"), day.alias("day"), period.alias("period")
    )
    calendar = (
        pl.LazyFrame({"period": [window.start], "complete": [True]})
        if every is None
        else window.calendar(every)
    )

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        result = _measured(found, calendar)
        return result.drop("period", "complete") if every is None else result

    return in_memory(rows, step)


def _measured(found: pl.DataFrame, calendar: pl.LazyFrame) -> pl.LazyFrame:
    """Return the columns of `extension_sessions` out of single sessions."""
    length, weight = pl.col("duration_s"), pl.col(WEIGHT)
    plain = unsampled(found)
    median = length.quantile(0.5, "linear") if plain else quantile_of(length, weight, 0.5)
    by_day = distinct_of(found, ["period", "day"], USER, "days_of_use")
    counted = (
        found.lazy()
        .group_by("period")
        .agg(
            weight.sum().alias("sessions"),
            (length * weight).sum().alias("seconds"),
            median.alias("seconds_p50"),
        )
        .join(distinct_of(found, ["period"], USER), on="period", how="left")
        .join(by_day.group_by("period").agg(pl.col("days_of_use").sum()), on="period", how="left")
    )
    counts = ("sessions", "users", "days_of_use", "seconds")
    medians = counted.select("period", "seconds_p50")
    return (
        over_calendar(calendar, counted, *counts)
        .join(medians, on="period", how="left")
        .select(
            *("period", "sessions", "users", "seconds_p50", "days_of_use"),
            ratio("seconds", "days_of_use").alias("seconds_per_day"),
            "complete",
        )
        .sort("period")
    )


@metric("events")
def session_lengths(
    events: pl.LazyFrame, window: Window, *, channel: str = CHANNEL, gap: str | None = "30m"
) -> pl.LazyFrame:
    """Count sessions in one channel by how long they last.

    Definition
    ----------
    Sessions as in `extension_sessions`, of the window itself. A class holds the lengths from its
    start up to, not including, its end: under a second (a single event), up to 1, 5, 15, 30 and
    60 minutes, 2 hours, and longer. Every class has a row.

    On sampled data only the sessions of people whose ordinary events are kept are there, each at a
    weight of 1 / keep rate.

    Source
    ------
    events : one row per event.

    Columns
    -------
    seconds_from : Float64, seconds; inclusive.
    seconds_to : Float64, seconds; exclusive, null for the open last one.
    sessions : Float64, count.
    users : Float64, count; people with a session of that length.
    share : Float64, 0 to 1; of all sessions, null when there are none.

    Errors
    ------
    MetricError : when `gap` is no duration.
    """
    number = pl.sum_horizontal((pl.col("duration_s") >= start).cast(pl.Int64) for start in LENGTHS)
    rows = sessions(_of_channel(events, channel), window, gap=gap).select(
        USER, WEIGHT, (number - 1).alias("class")
    )
    classes = pl.LazyFrame(
        {
            "class": range(len(LENGTHS)),
            "seconds_from": LENGTHS,
            "seconds_to": [*LENGTHS[1:], None],
        },
        schema={"class": pl.Int64, "seconds_from": pl.Float64, "seconds_to": pl.Float64},
    )

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        total = found.lazy().group_by("class").agg(pl.col(WEIGHT).sum().alias("sessions"))
        return (
            classes.join(total, on="class", how="left")
            .join(distinct_of(found, ["class"], USER), on="class", how="left")
            .with_columns(pl.col("sessions", "users").fill_null(0.0))
            .with_columns(pl.col("sessions").sum().alias("_all"))
            .select(
                *("seconds_from", "seconds_to", "sessions", "users"),
                ratio("sessions", "_all").alias("share"),
            )
            .sort("seconds_from")
        )

    return in_memory(rows, step)


# --- what fails -------------------------------------------------------------------------------


@metric("events", "errors")
def extension_failures(
    events: pl.LazyFrame,
    errors: pl.LazyFrame,
    window: Window,
    *,
    every: str = "1d",
    channel: str = CHANNEL,
) -> pl.LazyFrame:
    """Count what went wrong in one channel per period: failed events, time-outs and errors.

    Definition
    ----------
    Over the channel's events and errors in the whole periods the window touches. A time-out is
    an event with the result `timeout`; a failure one with any other result but success. Errors
    are those reported on their own, often for a failure that is counted as well: never add the
    two. People hit met any of the three.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event.
    errors : one row per error, or per run of equal ones.

    Columns
    -------
    period : Date; first day of the period, quiet ones included.
    events : Float64, count; sum of weights.
    failures : Float64, count; events neither successful nor timed out.
    timeouts : Float64, count.
    failure_rate : Float64, 0 to 1; failures and timeouts / events, null without events.
    errors : Float64, count; occurrences x weight.
    users_hit : Float64, count; people who met a failure, a time-out or an error.
    complete : Boolean; whether the period ended inside the window.

    Errors
    ------
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    period = window.period(every=every).alias("period")
    inside = window.widened(every).contains()
    timed_out = (pl.col("result") == TIMEOUT).fill_null(value=False)
    happened = (
        _of_channel(events, channel)
        .filter(inside)
        .select(
            *(period, person_key(), weight_of(events)),
            (_failed() & ~timed_out).alias("failed"),
            timed_out.alias("timed_out"),
        )
    )
    reported = weighted(_of_channel(errors, channel).filter(inside)).select(
        period,
        person_key(),
        WEIGHT,
        (pl.col("occurrences").fill_null(1) * pl.col(WEIGHT)).alias("errors"),
    )
    return in_memory(
        happened,
        lambda happened, reported: _went_wrong(happened, reported, window.calendar(every)),
        reported,
    )


def _went_wrong(
    happened: pl.DataFrame, reported: pl.DataFrame, calendar: pl.LazyFrame
) -> pl.LazyFrame:
    """Return the columns of `extension_failures` out of events and errors."""
    weight = pl.col(WEIGHT)
    counted = (
        happened.lazy()
        .group_by("period")
        .agg(
            weight.sum().alias("events"),
            weight.filter("failed").sum().alias("failures"),
            weight.filter("timed_out").sum().alias("timeouts"),
        )
    )
    errors = reported.lazy().group_by("period").agg(pl.col("errors").sum())
    bad = happened.filter(pl.col("failed") | pl.col("timed_out"))
    who = ("period", KEY, WEIGHT)
    hit = distinct_of(pl.concat([bad.select(who), reported.select(who)]), ["period"], KEY)
    merged = (
        calendar.select("period")
        .join(counted, on="period", how="left")
        .join(errors, on="period", how="left")
        .join(hit.rename({"users": "users_hit"}), on="period", how="left")
    )
    counts = ("events", "failures", "timeouts", "errors", "users_hit")
    wrong = (pl.col("failures") + pl.col("timeouts")).alias("_wrong")
    return (
        over_calendar(calendar, merged, *counts)
        .with_columns(wrong)
        .select(
            *("period", "events", "failures", "timeouts"),
            ratio("_wrong", "events").alias("failure_rate"),
            *("errors", "users_hit", "complete"),
        )
    )
