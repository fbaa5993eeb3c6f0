"""What the language models cost, for how much: per session, person, observation; and what it saved.

A cost is what a client reported, in US dollars; no price list is kept here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    KEY,
    WEIGHT,
    distinct_of,
    event_predicate,
    in_memory,
    over_calendar,
    weight_of,
)
from data_access.metrics.kpis import person_key, ratio
from data_access.metrics.models import COST, OBSERVED, SPENT, TOKENS_IN, TOKENS_OUT, observed
from data_access.metrics.properties import first_number, first_text, saying
from data_access.metrics.registry import metric
from ingest.vocabulary import ACTIVE_EVENTS, CortexEventName

if TYPE_CHECKING:
    from data_access.window import Window

__all__ = ["costs", "credits_by_plan", "savings_against_naive"]

SAVED: Final = ("tokens_saved_vs_naive", "total_tokens_saved_vs_naive")
_SUMS: Final = ("cost_usd", "tokens_input", "tokens_output", "observations")
_PER: Final = {
    "cost_per_session": "sessions",
    "cost_per_user": "users",
    "cost_per_observation": "observations",
}


@metric("events")
def costs(events: pl.LazyFrame, window: Window, *, every: str | None = "1d") -> pl.LazyFrame:
    """Add up what language models cost per period, and per session, active person and observation.

    Definition
    ----------
    Over the whole periods the window touches. Cost and tokens are those of calls, as `models`
    counts them. Sessions are all distinct non-empty session_id with any event, whether or not a
    model was called in it; people are the active ones (an event out of the four active events);
    observations are those made, as `observations` counts them. Each is null when there is
    nothing to divide by. With `every=None` one row for the window itself, without `period` and
    `complete`: sessions and people are counted on their own, never added up.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event; its metadata.

    Columns
    -------
    period : Date; first day of the period, quiet ones included.
    cost_usd : Float64, US dollars; sum of the reported costs x weight.
    tokens_input : Float64, tokens.
    tokens_output : Float64, tokens.
    observations : Float64, count; those made.
    sessions : Float64, count; distinct non-empty session_id.
    users : Float64, count; active people.
    cost_per_session : Float64, US dollars; null without sessions.
    cost_per_user : Float64, US dollars; null without active people.
    cost_per_observation : Float64, US dollars; null without observations.
    complete : Boolean; whether the period ended inside the window.

    Errors
    ------
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    span = window if every is None else window.widened(every)
    # one group for everything, where no period is asked for
    period = pl.lit(window.start) if every is None else window.period(every=every)
    rows = events.filter(span.contains()).with_columns(period.alias("period"))
    active = event_predicate(ACTIVE_EVENTS)
    in_session = pl.when(pl.col("session_id") != "").then(pl.col("session_id").hash())
    here = rows.select(
        "period",
        weight_of(events),
        pl.when(active).then(person_key()).alias(KEY),
        in_session.alias("session"),
    )
    calendar = (
        pl.LazyFrame({"period": [window.start], "complete": [True]})
        if every is None
        else window.calendar(every)
    )

    def step(found: pl.DataFrame, spent: pl.DataFrame) -> pl.LazyFrame:
        parts = [
            spent.lazy().group_by("period").agg(pl.col(*_SUMS).sum()),
            distinct_of(found, ["period"], "session", "sessions"),
            distinct_of(found, ["period"], KEY, "users"),
        ]
        counted = calendar.select("period")
        for part in parts:
            counted = counted.join(part, on="period", how="left")
        shares = [ratio("cost_usd", whole).alias(name) for name, whole in _PER.items()]
        names = [*_SUMS, "sessions", "users"]
        result = over_calendar(calendar, counted, *names).select(
            *("period", *names), *shares, "complete"
        )
        return result.drop("period", "complete") if every is None else result

    return in_memory(here, step, _spent(rows))


def _spent(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return period, weighted cost and tokens, and observations made, of the rows with any."""
    said = saying(rows, [*SPENT, *OBSERVED])
    spent = {
        "cost_usd": first_number(*COST),
        "tokens_input": first_number(*TOKENS_IN),
        "tokens_output": first_number(*TOKENS_OUT),
        "observations": observed(),
    }
    return said.select(
        "period", *((one * weight_of(rows)).alias(name) for name, one in spent.items())
    )


@metric("events")
def savings_against_naive(
    events: pl.LazyFrame, window: Window, *, every: str = "1d"
) -> pl.LazyFrame:
    """Add up the tokens that contexts saved against sending everything, per period.

    Definition
    ----------
    The `tokens_saved_vs_naive` of the events of the whole periods the window touches, or where an
    event names none, its `total_tokens_saved_vs_naive` (a summary of many contexts). A context
    can cost more than it saves: then the number is below zero, and so may the sum be.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event; its metadata.

    Columns
    -------
    period : Date; first day of the period, quiet ones included.
    tokens_saved : Float64, tokens; what was saved less what was lost, sum of values x weight.
    tokens_lost : Float64, tokens; of the events below zero, 0 or negative.
    events : Float64, count; sum of weights of the events that say what they saved.
    users : Float64, count; people with such an event.
    tokens_saved_per_event : Float64, tokens; tokens_saved / events, null without events.
    complete : Boolean; whether the period ended inside the window.

    Errors
    ------
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    saved, weight = first_number(*SAVED), weight_of(events)
    rows = (
        saying(events.filter(window.widened(every).contains()), SAVED)
        .filter(saved.is_not_null())
        .select(
            window.period(every=every).alias("period"),
            person_key(),
            weight,
            (saved * weight).alias("tokens_saved"),
            (saved.clip(upper_bound=0.0) * weight).alias("tokens_lost"),
        )
    )
    names = ("tokens_saved", "tokens_lost", "events", "users")

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        sums = found.lazy().group_by("period")
        counted = sums.agg(
            pl.col("tokens_saved", "tokens_lost").sum(), pl.col(WEIGHT).sum().alias("events")
        ).join(distinct_of(found, ["period"], KEY), on="period", how="left")
        return over_calendar(window.calendar(every), counted, *names).select(
            *("period", *names),
            ratio("tokens_saved", "events").alias("tokens_saved_per_event"),
            "complete",
        )

    return in_memory(rows, step)


@metric("events")
def credits_by_plan(events: pl.LazyFrame, window: Window, *, every: str = "1w") -> pl.LazyFrame:
    """Add up credits by plan, per period.

    Definition
    ----------
    The `credits` of the events of the whole periods the window touches, under the `plan` the
    event names. A `paid_subscription_canceled` says which credits end, not which are given, so
    it is left out. Each plan has a row for every period, quiet ones included.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event; its metadata.

    Columns
    -------
    period : Date; first day of the period.
    plan : String; null where none is named.
    credits : Float64, credits; sum of values x weight.
    events : Float64, count; sum of weights of the events that name credits.
    users : Float64, count; people with such an event.
    complete : Boolean; whether the period ended inside the window.

    Errors
    ------
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    ends = event_predicate(CortexEventName.PAID_SUBSCRIPTION_CANCELED.value)
    amount, weight = first_number("credits"), weight_of(events)
    rows = (
        saying(
            events.filter(window.widened(every).contains(), ~ends),
            ["credits", "plan"],
            among=["credits"],
        )
        .filter(amount.is_not_null())
        .select(
            window.period(every=every).alias("period"),
            first_text("plan"),
            person_key(),
            weight,
            (amount * weight).alias("credits"),
        )
    )
    keys = ["period", "plan"]

    def step(found: pl.DataFrame) -> pl.LazyFrame:
        sums = (
            found.lazy()
            .group_by(keys)
            .agg(pl.col("credits").sum(), pl.col(WEIGHT).sum().alias("events"))
        )
        grid = window.calendar(every).join(found.lazy().select("plan").unique(), how="cross")
        for part in (sums, distinct_of(found, keys, KEY)):
            grid = grid.join(part, on=keys, how="left", nulls_equal=True)
        counts = ("credits", "events", "users")
        return grid.select(*keys, pl.col(*counts).fill_null(0.0), "complete").sort(keys)

    return in_memory(rows, step)
