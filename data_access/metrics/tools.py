"""What the server's tools do for people: calls and failures, tokens saved, suggestions, searches.

Each number reads what a call says about itself in its metadata; rows that say nothing of the
kind are left out before any text is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    EVENT,
    KEY,
    WEIGHT,
    MetricError,
    distinct_of,
    event_predicate,
    has_column,
    in_memory,
    unsampled,
    weight_of,
    weighted_quantile,
)
from data_access.metrics.kpis import person_key, ratio
from data_access.metrics.latency import grouped_percentiles
from data_access.metrics.properties import (
    first_number,
    flag_of,
    has_key,
    number_of,
    property_of,
    saying,
    text_of,
    tool_name,
)
from data_access.metrics.registry import metric
from ingest.vocabulary import CortexEventName

if TYPE_CHECKING:
    from data_access.window import Window

__all__ = [
    "ACCEPTANCE_TARGET",
    "SAVINGS_TARGET",
    "branches",
    "ontology",
    "rag",
    "rag_results",
    "reference_acceptance",
    "token_savings",
    "tools",
]

SAVINGS_TARGET: Final = 0.7  # of the tokens of a context, saved by compressing it
ACCEPTANCE_TARGET: Final = 0.8  # of the suggestions, taken
CALLED: Final = CortexEventName.SERVER_OPERATION_CALLED.value
SEARCH, SUGGEST, CLASSIFY = "search_context", "reference_suggest", "ontology_classify"
SAVED: Final = ("before_tokens", "after_tokens", "savings_rate")
AUTOMATIC: Final = CortexEventName.CONTEXT_AUTO_CREATED.value
MANUAL: Final = CortexEventName.CONTEXT_CREATED.value
RESULTS_FROM: Final = (0, 1, 2, 3, 4, 5, 6, 11, 21, 51)  # classes of rag_results, the last open
_DURATION: Final = "duration_ms"
_TAKEN: Final = {
    *("tool", "period", "calls", "users", "failures", "error_rate", "complete", WEIGHT, KEY),
    *(_DURATION, "duration_ms_p50", "duration_ms_p95", "failed"),
}


def _calls(events: pl.LazyFrame, when: pl.Expr) -> pl.LazyFrame:
    return events.filter(when, (pl.col(EVENT) == CALLED).fill_null(value=False))


def _calls_of(events: pl.LazyFrame, when: pl.Expr, tool: str) -> pl.LazyFrame:
    """Return the calls of one tool; a text that does not name it is not read any further."""
    named = pl.col("metadata").str.contains(f'"{tool}"', literal=True).fill_null(value=False)
    if has_column(events, "source_name"):
        older = pl.col("source_name").str.ends_with(tool).fill_null(value=False)
        named |= older
    # a column, not a predicate: those are all taken of every row, the costly one too
    return _calls(events, when).filter(named).with_columns(tool_name(events)).filter(tool=tool)


def _timed() -> pl.Expr:
    return pl.col(_DURATION).cast(pl.Float64)


def _failed() -> pl.Expr:
    return (pl.col("result") != "success").fill_null(value=False).alias("failed")


@metric("events")
def tools(
    events: pl.LazyFrame, window: Window, *, by: str | None = None, every: str | None = None
) -> pl.LazyFrame:
    """Usage, failures and duration of each tool of the server.

    Definition
    ----------
    Over every server_operation_called. Its tool is the metadata's tool_name; where none is
    given, the older name it was written under (search_context, update_memory, ...), else the
    event's own name. A failure is a result other than success; durations are those of all
    calls that state one, failed ones included. With `by`, a column of the events or a metadata
    key such as release, that column follows the tool; with `every`, `period` follows too, the
    window is widened to whole periods, each tool has a row in every one, and `complete` (whether
    it ended inside the window) is the last column.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event.

    Columns
    -------
    tool : String.
    calls : Float64, count; sum of weights.
    users : Float64, count; people who called it.
    failures : Float64, count.
    error_rate : Float64, 0 to 1; failures / calls, null without calls.
    duration_ms_p50 : Float64, milliseconds; null without a timed call.
    duration_ms_p95 : Float64, milliseconds; null without a timed call.

    Errors
    ------
    MetricError : when `by` is a column the result counts, or could be no metadata key.
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    if by in _TAKEN:
        raise MetricError(f"Tools cannot be grouped by {by!r}: the counts use that name.")
    inside = window.widened(every).contains() if every else window.contains()
    groups = {} if by is None else {by: property_of(events, by)}
    if every:
        groups["period"] = window.period(every=every)
    keys = ["tool", *groups]
    rows = _calls(events, inside).select(
        tool_name(events),
        *(value.alias(name) for name, value in groups.items()),
        *(person_key(), weight_of(events), _timed(), _failed()),
    )
    calendar = window.calendar(every) if every else None
    return in_memory(rows, lambda found: _per_tool(found, keys, calendar))


def _per_tool(rows: pl.DataFrame, keys: list[str], calendar: pl.LazyFrame | None) -> pl.LazyFrame:
    """Return the columns of `tools` out of the calls."""
    plain = rows.lazy()
    counts = grouped_percentiles(
        plain.select(*keys, WEIGHT, _DURATION, "failed"),
        keys,
        (0.5, 0.95),
        pl.col(WEIGHT).sum().alias("calls"),
        pl.col(WEIGHT).filter("failed").sum().alias("failures"),
    )
    people = distinct_of(rows, keys, KEY)
    grid = plain.select(set(keys) - {"period"}).unique()
    if calendar is not None:
        grid = grid.join(calendar, how="cross")
    for part in (counts, people):
        grid = grid.join(part, on=keys, how="left", nulls_equal=True)
    return (
        grid.with_columns(pl.col("calls", "users", "failures").fill_null(0.0))
        .select(
            *(*keys, "calls", "users", "failures"),
            ratio("failures", "calls").alias("error_rate"),
            *("duration_ms_p50", "duration_ms_p95"),
            *(["complete"] if calendar is not None else []),
        )
        .sort(keys)
    )


# --- tokens saved ------------------------------------------------------------------------------


@metric("events")
def token_savings(events: pl.LazyFrame, window: Window, *, every: str = "1d") -> pl.LazyFrame:
    """Share of tokens that compressing contexts saved, per period; the target is 70 %.

    Definition
    ----------
    Over every event that states both before_tokens and after_tokens, whatever its name and
    result: the calls of compress_context, and the sums of many of them such as
    observer_turn_rollup. The rate is 1 - (sum of after_tokens) / (sum of before_tokens): a large
    context counts for more than a small one, and it is never a mean of rates. It is below 0
    when contexts grew. A number below 0 is no count of tokens, and that event is left out.

    An event that states only a savings_rate has no size to weigh it by. Such events are not
    part of the sums; they are counted apart, with the mean of what they state.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event.

    Columns
    -------
    period : Date; first day of the period, quiet ones included.
    events : Float64, count; those that state both numbers.
    users : Float64, count; people behind those.
    before_tokens : Float64, tokens.
    after_tokens : Float64, tokens.
    saved_tokens : Float64, tokens; before_tokens - after_tokens.
    savings_rate : Float64; saved_tokens / before_tokens, null without tokens before.
    events_rate_only : Float64, count; those that state only a savings_rate.
    stated_rate_mean : Float64; mean of what those state, null without any.
    complete : Boolean; whether the period ended inside the window.

    Errors
    ------
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    inside = events.filter(window.widened(every).contains())
    rows = saying(inside, SAVED, among=("before_tokens", "savings_rate")).select(
        window.period(every=every).alias("period"),
        *(first_number(key) for key in SAVED),
        *(person_key(), weight_of(events)),
    )
    return in_memory(rows, lambda found: _saved(found, window.calendar(every)))


def _saved(rows: pl.DataFrame, calendar: pl.LazyFrame) -> pl.LazyFrame:
    """Return the columns of `token_savings` out of what its events state."""
    before, after = pl.col("before_tokens"), pl.col("after_tokens")
    sized = rows.filter(before >= 0, after >= 0)
    unsized = rows.lazy().filter(
        before.is_null() | after.is_null(), pl.col("savings_rate").is_not_null()
    )
    weight = pl.col(WEIGHT)
    sums = (
        sized.lazy()
        .group_by("period")
        .agg(
            weight.sum().alias("events"),
            (before * weight).sum(),
            (after * weight).sum(),
        )
    )
    stated = unsized.group_by("period").agg(
        weight.sum().alias("events_rate_only"),
        (pl.col("savings_rate") * weight).sum().alias("_stated"),
    )
    for part in (sums, distinct_of(sized, ["period"], KEY), stated):
        calendar = calendar.join(part, on="period", how="left")
    counts = ("events", "users", "before_tokens", "after_tokens", "events_rate_only")
    return (
        calendar.with_columns(pl.col(*counts).fill_null(0.0))
        .with_columns((before - after).alias("saved_tokens"))
        .select(
            *("period", "events", "users", "before_tokens", "after_tokens", "saved_tokens"),
            ratio("saved_tokens", "before_tokens").alias("savings_rate"),
            "events_rate_only",
            ratio("_stated", "events_rate_only").alias("stated_rate_mean"),
            "complete",
        )
        .sort("period")
    )


# --- suggestions taken -------------------------------------------------------------------------


@metric("events")
def reference_acceptance(
    events: pl.LazyFrame, window: Window, *, every: str = "1d"
) -> pl.LazyFrame:
    """Share of Reference History's suggestions that were accepted, per period; target 80 %.

    Definition
    ----------
    Over the calls of reference_suggest whose metadata says whether they were `accepted`. A call
    counts once, however many references it suggested: it was accepted when the key is true (or
    yes, 1, accepted) or a number of accepted references above 0, and not when it is false or 0.
    Calls that do not say are counted apart, never as refused.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event.

    Columns
    -------
    period : Date; first day of the period, quiet ones included.
    answered : Float64, count; calls that say whether they were accepted.
    accepted : Float64, count.
    acceptance_rate : Float64, 0 to 1; accepted / answered, null without any.
    unanswered : Float64, count; calls that do not say.
    suggestions : Float64, count; references suggested, where suggestion_count says so.
    users : Float64, count; people who got a suggestion.
    complete : Boolean; whether the period ended inside the window.

    Errors
    ------
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    several = number_of("accepted") > 0
    rows = _calls_of(events, window.widened(every).contains(), SUGGEST).select(
        window.period(every=every).alias("period"),
        pl.coalesce(flag_of("accepted"), several).alias("accepted"),
        number_of("suggestion_count"),
        *(person_key(), weight_of(events)),
    )

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        weight, known = pl.col(WEIGHT), pl.col("accepted").is_not_null()
        counts = (
            found.lazy()
            .group_by("period")
            .agg(
                weight.filter(known).sum().alias("answered"),
                weight.filter(pl.col("accepted").fill_null(value=False)).sum().alias("accepted"),
                weight.filter(~known).sum().alias("unanswered"),
                (pl.col("suggestion_count") * weight).sum().alias("suggestions"),
            )
        )
        table = window.calendar(every).join(counts, on="period", how="left")
        table = table.join(distinct_of(found, ["period"], KEY), on="period", how="left")
        return (
            table.with_columns(pl.exclude("period", "complete").fill_null(0.0))
            .select(
                *("period", "answered", "accepted"),
                ratio("accepted", "answered").alias("acceptance_rate"),
                *("unanswered", "suggestions", "users", "complete"),
            )
            .sort("period")
        )

    return in_memory(rows, step)


# --- searches ----------------------------------------------------------------------------------


def _searches(events: pl.LazyFrame, when: pl.Expr, *columns: pl.Expr) -> pl.LazyFrame:
    """Return the searches with what they found; `results` is null where that is not known."""
    found = number_of("results_count")
    known = pl.when((found >= 0) & (pl.col("result") == "success")).then(found)
    return _calls_of(events, when, SEARCH).select(
        *columns, known.alias("results"), _timed(), _failed(), person_key(), weight_of(events)
    )


@metric("events")
def rag(events: pl.LazyFrame, window: Window, *, every: str = "1d") -> pl.LazyFrame:
    """How much searches find, how often nothing, and how long they take, per period.

    Definition
    ----------
    Over the calls of search_context. Results are the results_count of the
    successful ones that state it: a search that failed found nothing for another reason, and is
    counted as a failure. Durations are those of all searches that state one.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event.

    Columns
    -------
    period : Date; first day of the period, quiet ones included.
    searches : Float64, count; sum of weights.
    users : Float64, count; people who searched.
    failures : Float64, count; searches with a result other than success.
    counted : Float64, count; successful searches that say how much they found.
    results_mean : Float64, count; results per counted search, null without any.
    empty : Float64, count; counted searches with no result.
    empty_rate : Float64, 0 to 1; empty / counted, null without any.
    duration_ms_p50 : Float64, milliseconds; null without a timed search.
    duration_ms_p95 : Float64, milliseconds; null without a timed search.
    complete : Boolean; whether the period ended inside the window.

    Errors
    ------
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    period = window.period(every=every).alias("period")
    rows = _searches(events, window.widened(every).contains(), period)
    return in_memory(rows, lambda found: _found(found, window.calendar(every)))


def _found(rows: pl.DataFrame, calendar: pl.LazyFrame) -> pl.LazyFrame:
    """Return the columns of `rag` out of the searches."""
    weight, results = pl.col(WEIGHT), pl.col("results")
    counts = grouped_percentiles(
        rows.lazy().drop(KEY),
        ["period"],
        (0.5, 0.95),
        weight.sum().alias("searches"),
        weight.filter("failed").sum().alias("failures"),
        weight.filter(results.is_not_null()).sum().alias("counted"),
        weight.filter((results == 0).fill_null(value=False)).sum().alias("empty"),
        (results * weight).sum().alias("_results"),
    )
    for part in (counts, distinct_of(rows, ["period"], KEY)):
        calendar = calendar.join(part, on="period", how="left")
    counted = ("searches", "users", "failures", "counted", "empty")
    return (
        calendar.with_columns(pl.col(*counted).fill_null(0.0))
        .select(
            *("period", "searches", "users", "failures", "counted"),
            ratio("_results", "counted").alias("results_mean"),
            "empty",
            ratio("empty", "counted").alias("empty_rate"),
            *("duration_ms_p50", "duration_ms_p95", "complete"),
        )
        .sort("period")
    )


@metric("events")
def rag_results(events: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """How many searches find how much, and how long those take.

    Definition
    ----------
    Over the counted searches of rag: successful calls of search_context that state how many
    results they found, by classes of that number: 0 to 5 each, 6 to 10, 11 to 20, 21 to 50, more.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event.

    Columns
    -------
    results_from : Int64, count; the smallest number in the class; every class has its row.
    results_to : Int64, count; the largest, null for the last class.
    searches : Float64, count; sum of weights.
    share : Float64, 0 to 1; of all counted searches, null without any.
    duration_ms_p50 : Float64, milliseconds; null without a timed search.
    duration_ms_p95 : Float64, milliseconds; null without a timed search.
    """
    least = pl.max_horizontal(
        pl.when(pl.col("results") >= edge).then(pl.lit(edge, pl.Int64)) for edge in RESULTS_FROM
    )
    classes = pl.LazyFrame(
        {
            "results_from": RESULTS_FROM,
            "results_to": [*(after - 1 for after in RESULTS_FROM[1:]), None],
        },
        schema={"results_from": pl.Int64, "results_to": pl.Int64},
    )
    rows = (
        _searches(events, window.contains())
        .filter(pl.col("results").is_not_null())
        .select("results", WEIGHT, _DURATION)
    )

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        classed = found.lazy().select(least.alias("results_from"), WEIGHT, _DURATION)
        counts = grouped_percentiles(
            classed, ["results_from"], (0.5, 0.95), pl.col(WEIGHT).sum().alias("searches")
        )
        return (
            classes.join(counts, on="results_from", how="left")
            .with_columns(pl.col("searches").fill_null(0.0))
            .with_columns(pl.col("searches").sum().alias("_all"))
            .select(
                *("results_from", "results_to", "searches"),
                ratio("searches", "_all").alias("share"),
                *("duration_ms_p50", "duration_ms_p95"),
            )
            .sort("results_from")
        )

    return in_memory(rows, step)


# --- branches and the ontology -----------------------------------------------------------------


@metric("events")
def branches(events: pl.LazyFrame, window: Window, *, every: str = "1w") -> pl.LazyFrame:
    """How many contexts the product opens by itself, and how many people open, per period.

    Definition
    ----------
    Automatic is a context_auto_created (the older branch_create that says so included), manual
    a context_created, each whatever its result.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event.

    Columns
    -------
    period : Date; first day of the period, quiet ones included.
    automatic : Float64, count; sum of weights.
    manual : Float64, count.
    automatic_share : Float64, 0 to 1; automatic / both, null without any.
    users : Float64, count; people with either.
    complete : Boolean; whether the period ended inside the window.

    Errors
    ------
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    created = event_predicate((AUTOMATIC, MANUAL))
    rows = events.filter(window.widened(every).contains(), created).select(
        window.period(every=every).alias("period"),
        (pl.col(EVENT) == AUTOMATIC).alias("is_automatic"),
        *(person_key(), weight_of(events)),
    )

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        weight = pl.col(WEIGHT)
        counts = (
            found.lazy()
            .group_by("period")
            .agg(
                weight.filter("is_automatic").sum().alias("automatic"),
                weight.filter(~pl.col("is_automatic")).sum().alias("manual"),
                weight.sum().alias("_both"),
            )
        )
        table = window.calendar(every).join(counts, on="period", how="left")
        table = table.join(distinct_of(found, ["period"], KEY), on="period", how="left")
        return (
            table.with_columns(pl.exclude("period", "complete").fill_null(0.0))
            .select(
                *("period", "automatic", "manual"),
                ratio("automatic", "_both").alias("automatic_share"),
                *("users", "complete"),
            )
            .sort("period")
        )

    return in_memory(rows, step)


@metric("events")
def ontology(events: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Into which categories memories are classified, how often, and how surely.

    Definition
    ----------
    Over the calls of ontology_classify that name a `category`, and the calls of other tools that
    name a category together with a `confidence`, such as an update_memory that was classified.
    The confidence is what the call states; calls that state none count, but not in the mean and
    the median.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event.

    Columns
    -------
    category : String.
    events : Float64, count; sum of weights.
    share : Float64, 0 to 1; of all classified events.
    users : Float64, count; people behind them.
    confidence_mean : Float64, 0 to 1; null where none is stated.
    confidence_p50 : Float64, 0 to 1; the median, null where none is stated.
    """
    rows = (
        _calls(events, window.contains())
        .filter(has_key("category"))
        .select(
            text_of("category"),
            number_of("confidence"),
            tool_name(events),
            *(person_key(), weight_of(events)),
        )
        .filter(
            pl.col("category") != "",
            (pl.col("tool") == CLASSIFY) | pl.col("confidence").is_not_null(),
        )
    )
    return in_memory(rows.drop("tool"), _classified)


def _classified(rows: pl.DataFrame) -> pl.LazyFrame:
    """Return the columns of `ontology` out of the classified events."""
    key, weight, confidence = ["category"], pl.col(WEIGHT), pl.col("confidence")
    counts = (
        rows.lazy()
        .group_by(key)
        .agg(
            weight.sum().alias("events"),
            (confidence * weight).sum().alias("_stated"),
            weight.filter(confidence.is_not_null()).sum().alias("_stating"),
        )
    )
    if unsampled(rows):
        median = rows.lazy().group_by(key).agg(confidence.median().alias("confidence_p50"))
    else:
        median = weighted_quantile(rows.lazy(), "confidence", 0.5, by=key, name="confidence_p50")
    for part in (distinct_of(rows, key, KEY), median):
        counts = counts.join(part, on=key, how="left")
    return (
        counts.with_columns(pl.col("users").fill_null(0.0), pl.col("events").sum().alias("_all"))
        .select(
            *("category", "events", ratio("events", "_all").alias("share"), "users"),
            ratio("_stated", "_stating").alias("confidence_mean"),
            "confidence_p50",
        )
        .sort("category")
    )
