"""What language models are asked, what they cost and how they answer, by provider and model.

Clients spell these things differently, and some report many turns in one event; what counts as
one call is decided here and nowhere else.
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
    has_column,
    in_memory,
    weight_of,
)
from data_access.metrics.kpis import person_key, ratio
from data_access.metrics.latency import grouped_percentiles
from data_access.metrics.properties import first_number, first_text, saying
from data_access.metrics.registry import metric
from ingest.vocabulary import METADATA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.window import Window

__all__ = [
    "COST",
    "OBSERVATION_TYPES",
    "OBSERVED",
    "SPENT",
    "TOKENS_IN",
    "TOKENS_OUT",
    "models",
    "observations",
    "observed",
]

# what a metadata key is called, the newer client's spelling first
MODEL: Final = ("model", "top_model")
PROVIDER: Final = ("provider", "api_provider")
TOKENS_IN: Final = ("tokens_input", "input_tokens")
TOKENS_OUT: Final = ("tokens_output", "output_tokens")
COST: Final = ("cost_usd", "total_cost_usd")
SPENT: Final = (*TOKENS_IN, *TOKENS_OUT, *COST)
_CALLED: Final = (*MODEL, *SPENT)  # a call names one of these
# a rollup of ingest.rollups: an event for many turns, with the number of each outcome
SESSION_ROLLUP: Final = "observer_turn_rollup"
_NOT_OK: Final = ("outcome_error", "outcome_aborted", "outcome_invalid_output")
_OUTCOMES: Final = ("outcome_ok", *_NOT_OK)
_BESIDE: Final = (*PROVIDER, *_OUTCOMES, "turns", "count")

TYPES: Final = tuple(name for name in METADATA if name.startswith("obs_type_"))
OBSERVATION_TYPES: Final = tuple(name.removeprefix("obs_type_") for name in TYPES)
OBSERVED: Final = ("observations_created", "observation_count", *TYPES)
_INJECTED: Final = (
    "context_injected_rollup",
    "context_injected",
)  # their observations were made before

_SUMS: Final = ("calls", "failures", "tokens_input", "tokens_output", "cost_usd")
_QUANTILES: Final = (0.5, 0.95)
_TAKEN: Final = {*_SUMS, "period", "users", "error_rate", "rank", "duration_ms", WEIGHT, KEY}


@metric("events")
def models(
    events: pl.LazyFrame,
    window: Window,
    *,
    by: Sequence[str] = ("provider", "model"),
    every: str | None = None,
) -> pl.LazyFrame:
    """Rank language models: calls, people, tokens, cost, failures and speed.

    Definition
    ----------
    A call is an event inside the window that names a model (`model`, `top_model`), tokens
    (`tokens_input`, `input_tokens`, `tokens_output`, `output_tokens`) or a cost (`cost_usd`,
    `total_cost_usd`); of two spellings in one event the first counts. An event that sums up
    several turns stands for as many calls: its `turns`, or the `count` of an
    `observer_turn_rollup`; its tokens and cost are sums already, and it falls under the model
    that had most of its turns. Provider is `provider`, else `api_provider`.

    Failures are calls with a result other than success; of summed turns those whose outcome is
    not ok, where the event tells outcomes. Durations are those of single calls. The rank is by
    calls, equal ones share it. `by` takes any column of the events or metadata key; with `every`
    ("1d", "1w", "1mo") a Date column `period` comes first, the window grows to whole periods,
    each group has a row for every period, and the rank is the period's. `by=()` gives one row.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event; its metadata.

    Columns
    -------
    provider : String; the `by` columns, whichever were asked for, null where none is named.
    model : String; null where none is named.
    calls : Float64, count; sum of weights.
    users : Float64, count; people with a call.
    tokens_input : Float64, tokens.
    tokens_output : Float64, tokens.
    cost_usd : Float64, US dollars; as the client reported them, 0 where it reports none.
    failures : Float64, count; calls that did not succeed.
    error_rate : Float64, 0 to 1; failures / calls, null without calls.
    duration_ms_p50 : Float64, milliseconds; null when no call was timed.
    duration_ms_p95 : Float64, milliseconds; null when no call was timed.
    rank : Int64; 1 has most calls.

    Errors
    ------
    MetricError : when `by` names what the result counts, or what no metadata key can be called.
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    by = list(dict.fromkeys(by))
    for name in by:
        if name in _TAKEN:
            raise MetricError(f"Calls cannot be grouped by {name!r}: the result uses that name.")
    span, keys = window, by
    if every is not None:
        span, keys = window.widened(every), ["period", *by]
        events = events.with_columns(window.period(every=every).alias("period"))
    rows = _calls(events.filter(span.contains()), keys)
    calendar = None if every is None else window.calendar(every).select("period")
    return in_memory(rows, lambda found: _counted(found, keys, calendar))


def _calls(events: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    """Return a row per event that is a call: keys, KEY, weight, duration_ms and weighted sums."""
    spelled = {"model": MODEL, "provider": PROVIDER}
    others = [name for name in keys if name not in spelled and not has_column(events, name)]
    said = saying(events, [*_CALLED, *_BESIDE, *others], among=_CALLED)
    turns = pl.max_horizontal(_turns(), pl.lit(1.0))
    weight = weight_of(events)
    spent = {
        "tokens_input": first_number(*TOKENS_IN),
        "tokens_output": first_number(*TOKENS_OUT),
        "cost_usd": first_number(*COST),
    }
    known = [first_text(*MODEL).is_not_null(), *(one.is_not_null() for one in spent.values())]
    return said.filter(pl.any_horizontal(known)).select(
        *(
            pl.col(name) if has_column(events, name) else first_text(*spelled.get(name, (name,)))
            for name in keys
        ),
        person_key(),
        weight,
        pl.when(turns == 1).then("duration_ms").alias("duration_ms"),
        (turns * weight).alias("calls"),
        (_failed(turns) * weight).alias("failures"),
        *((one * weight).alias(name) for name, one in spent.items()),
    )


def _turns() -> pl.Expr:
    """Return how many turns a row of `saying` sums up; null for a call of its own."""
    is_rollup = (pl.col(EVENT) == SESSION_ROLLUP).fill_null(value=False)
    return pl.coalesce(first_number("turns"), pl.when(is_rollup).then(first_number("count")))


def _failed(turns: pl.Expr) -> pl.Expr:
    """Return how many of the turns did not succeed: by their outcomes, else by the result."""
    told = pl.any_horizontal(first_number(name).is_not_null() for name in _OUTCOMES)
    not_ok = pl.sum_horizontal(first_number(name) for name in _NOT_OK)
    missed = (pl.col("result") != "success").fill_null(value=False)
    return pl.when(told).then(not_ok.clip(0, turns)).otherwise(missed * turns)


def _counted(
    rows: pl.DataFrame, keys: Sequence[str], calendar: pl.LazyFrame | None
) -> pl.LazyFrame:
    """Return the columns of `models` out of its rows."""
    if not keys:
        alone = rows.with_columns(pl.lit(0, pl.Int8).alias("_all"))
        one = pl.LazyFrame({"_all": [0]}, schema={"_all": pl.Int8})
        return _counted(alone, ["_all"], one).drop("_all")
    sums = [pl.col(name).sum() for name in _SUMS]
    timed = rows.lazy().select(*keys, *_SUMS, WEIGHT, "duration_ms")
    found = grouped_percentiles(timed, keys, _QUANTILES, *sums)
    groups = rows.lazy().select(keys).unique()
    if calendar is not None:
        by = keys[1:]
        groups = calendar.join(groups.select(by).unique(), how="cross") if by else calendar
    users = distinct_of(rows, keys, KEY)
    for part in (found, users):
        groups = groups.join(part, on=keys, how="left", nulls_equal=True)
    rank = pl.col("calls").rank("min", descending=True).cast(pl.Int64)
    return (
        groups.with_columns(pl.col(*_SUMS, "users").fill_null(0.0))
        .select(
            *keys,
            *("calls", "users", "tokens_input", "tokens_output", "cost_usd", "failures"),
            ratio("failures", "calls").alias("error_rate"),
            *("duration_ms_p50", "duration_ms_p95"),
            (rank if calendar is None else rank.over(keys[0])).alias("rank"),
        )
        .sort(keys)
    )


@metric("events")
def observations(events: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Observations made, by model and type.

    Definition
    ----------
    Over the events inside the window that made observations: each `obs_type_...` they name, and
    under no type what their `observations_created`, else `observation_count`, says beyond those.
    An event falls under its model (`model`, else `top_model`: the one with most turns of a
    summary). Observations injected into a context again are not made then, so the events
    `context_injected` and `context_injected_rollup` are left out. Types are those of the
    vocabulary.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event; its metadata.

    Columns
    -------
    model : String; null where none is named.
    type : String; bugfix, feature, refactor, ...; null for those without a type.
    observations : Float64, count; sum of values x weight, above 0.
    events : Float64, count; sum of weights of the events that made any of them.
    """
    said = saying(events.filter(window.contains()), [*OBSERVED, *MODEL], among=OBSERVED)
    untyped = "untyped"
    parts = [first_number(name).alias(name) for name in TYPES]
    rest = observed() - pl.sum_horizontal(first_number(name) for name in TYPES)
    rows = (
        said.select(EVENT, first_text(*MODEL), weight_of(events), *parts, rest.alias(untyped))
        .filter(~pl.col(EVENT).is_in(_INJECTED).fill_null(value=False))
        .drop(EVENT)
        .unpivot(index=["model", WEIGHT], variable_name="type", value_name="made")
        .filter(pl.col("made") > 0)
    )
    return (
        rows.group_by(
            "model",
            pl.col("type").replace(untyped, None).str.strip_prefix("obs_type_"),
        )
        .agg(
            (pl.col("made") * pl.col(WEIGHT)).sum().alias("observations"),
            pl.col(WEIGHT).sum().alias("events"),
        )
        .sort("model", "type")
    )


def observed() -> pl.Expr:
    """Return how many observations a row of `saying` made: its total, or its types' if larger."""
    typed = pl.sum_horizontal(first_number(name) for name in TYPES)
    made = pl.max_horizontal(first_number("observations_created", "observation_count"), typed)
    injected = pl.col(EVENT).is_in(_INJECTED).fill_null(value=False)
    return pl.when(~injected).then(made.clip(lower_bound=0.0)).alias("observations")
