"""Experiments: who saw which variant, and what they did from then on.

A variant is read from the metadata of any event. Whether variants differ is said in
`experiment_results`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import KEY, TIMESTAMP, USER, WEIGHT, Event, of_people
from data_access.metrics.exposures import (
    Goal,
    Measure,
    Setting,
    exposures,
    followed,
    told,
    with_interval,
)
from data_access.metrics.kpis import ratio
from data_access.metrics.registry import ALL_HISTORY, metric

if TYPE_CHECKING:
    from data_access.window import Window

__all__ = [
    "GOAL",
    "experiment",
    "experiment_daily",
    "experiment_means",
    "experiment_users",
    "experiments",
]

GOAL: Final = "paid_subscription_started"


@metric("events", lookback_days=ALL_HISTORY)
def experiments(events: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """List the experiments there are: each flag, its variants, and how many people saw them.

    Definition
    ----------
    An event exposes its user to a variant when its metadata names one: `flag` and `variant`, or
    `variant` alone (the flag is then called "default"). Events that only report a flag
    (`feature_flag_called`, `exposure`, `experiment_exposed` and alike) may also call the flag
    `$feature_flag` or `flag_key`, and the variant `$feature_flag_response` or `value`. People
    count inside the window, who saw several variants in each; first and last seen look at all
    history up to its end, so an experiment that is over has a row with 0 people.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : one row per event, all history; user_id_hash, timestamp, event_name and metadata.

    Columns
    -------
    flag : String.
    variant : String.
    users : Float64, count; people exposed inside the window.
    first_seen : Datetime, UTC; the first exposure ever.
    last_seen : Datetime, UTC; the last one before the window ends.
    """

    def step(rows: pl.DataFrame, _ids: pl.LazyFrame, _each: float) -> pl.LazyFrame:
        keys = ["flag", "variant"]
        return (
            told(rows)
            .filter(pl.col("variant").is_not_null())
            .group_by(*keys, KEY)
            .agg(pl.col(TIMESTAMP).min(), pl.col("last_at").max(), pl.col(WEIGHT).min())
            .group_by(keys)
            .agg(
                pl.col(WEIGHT).sum().alias("users"),
                pl.col(TIMESTAMP).min().alias("first_seen"),
                pl.col("last_at").max().alias("last_seen"),
            )
            .sort(keys)
        )

    return of_people(
        events,
        lambda events: exposures(events, window.before(), window.contains()),
        step,
        when=window.before(),
    )


@metric("events")
def experiment(
    events: pl.LazyFrame,
    window: Window,
    *,
    flag: str,
    goal: Event = GOAL,
    control: str | None = None,
) -> pl.LazyFrame:
    """How many of those who saw each variant of an experiment reached the goal afterwards.

    Definition
    ----------
    Exposure is a person's first event in the window that names the flag and a variant
    (`experiments` says how); everybody exposed is in the denominator, whether they went on or
    not. They converted when a goal event follows: later than the exposure, or in the same
    millisecond unless it is an exposing event itself. Whoever saw several variants of the flag
    in the window is left out of every arm and counted as mixed. The interval is Wilson's, 95 %.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate;
    the interval rests on `n`, how many independent people that is worth.

    Source
    ------
    events : one row per event; user_id_hash, timestamp, event_name and metadata.

    Columns
    -------
    variant : String.
    is_control : Boolean; the one named, else the first of "control", "baseline", "off", ..., else
        the first by name.
    users : Float64, count; people exposed to this variant alone.
    users_recent : Float64, count; of them, exposed in the last 7 days of the window.
    converted : Float64, count; of them, those who reached the goal.
    rate : Float64, 0 to 1; converted / users.
    rate_low : Float64, 0 to 1; of the 95 % interval.
    rate_high : Float64, 0 to 1.
    n : Float64, count; the people the interval rests on: users without sampling.
    mixed : Float64, count; people of several variants, the same in every row.

    Errors
    ------
    MetricError : when the goal is no event.
    """
    outcome = Goal(flag, goal)
    outcome.predicate()  # refuses what is no event before anything runs

    def step(people: pl.LazyFrame, _each: float, rows: list[pl.DataFrame]) -> pl.LazyFrame:
        return outcome.arms(people, rows[0], Setting(window, control))

    return followed(events, window, flag, [outcome], step)


@metric("events")
def experiment_daily(
    events: pl.LazyFrame, window: Window, *, flag: str, goal: Event = GOAL
) -> pl.LazyFrame:
    """How an experiment filled up: exposures by day, and the conversion so far.

    Definition
    ----------
    People, exposure and goal as in `experiment`; each person counts on the day, in the window's
    timezone, of their exposure and on the day of their conversion. The totals run from the
    window's first day; the rate so far is people converted by then out of people exposed by
    then, with Wilson's 95 % interval. Every variant has a row for every day.

    On sampled data as `experiment`.

    Source
    ------
    events : one row per event; user_id_hash, timestamp, event_name and metadata.

    Columns
    -------
    period : Date; every day of the window.
    variant : String.
    exposed : Float64, count; people first exposed that day.
    converted : Float64, count; people who reached the goal that day.
    exposed_total : Float64, count; up to and with that day.
    converted_total : Float64, count; up to and with that day.
    rate : Float64, 0 to 1; null before anybody was exposed.
    rate_low : Float64, 0 to 1; of the 95 % interval.
    rate_high : Float64, 0 to 1.
    complete : Boolean; whether the day ended inside the window.

    Errors
    ------
    MetricError : when the goal is no event.
    """
    calendar, outcome = window.calendar("1d"), Goal(flag, goal)

    def step(people: pl.LazyFrame, _each: float, rows: list[pl.DataFrame]) -> pl.LazyFrame:
        people = outcome.reached(people, rows[0]).filter(pl.col("variant").is_not_null())
        weight, keys = pl.col(WEIGHT), ["period", "variant"]
        exposed, converted = (
            people.filter(pl.col(at).is_not_null())
            .group_by(window.day(at).alias("period"), "variant")
            .agg(weight.sum().alias(name), (weight**2).sum().alias(f"{name}_squared"))
            for at, name in (("exposed_at", "exposed"), ("converted_at", "converted"))
        )
        counts = ("exposed", "converted", "exposed_squared")
        days = (
            calendar.join(people.select("variant").unique(), how="cross")
            .join(exposed, on=keys, how="left")
            .join(converted.drop("converted_squared"), on=keys, how="left")
            .with_columns(pl.col(counts).fill_null(0.0))
            .sort(keys)
            .with_columns(pl.col(counts).cum_sum().over("variant").name.suffix("_total"))
            .with_columns(ratio("converted_total", "exposed_total").alias("rate"))
        )
        n = pl.col("exposed_total") ** 2 / pl.col("exposed_squared_total")
        n = pl.when(pl.col("exposed_total") > 0).then(n)
        return with_interval(days, pl.col("rate") * n, n).select(
            *("period", "variant", "exposed", "converted", "exposed_total", "converted_total"),
            *("rate", "rate_low", "rate_high", "complete"),
        )

    return followed(events, window, flag, [outcome], step)


@metric("events")
def experiment_users(
    events: pl.LazyFrame,
    window: Window,
    *,
    flag: str,
    goal: Event = GOAL,
    variant: str | None = None,
    converted: bool | None = None,
) -> pl.LazyFrame:
    """List everybody in an experiment: their variant, since when, and whether they converted.

    Definition
    ----------
    People, exposure and goal as in `experiment`. Whoever saw several variants has a row too,
    without a variant. `variant` lists those of one alone, `converted` those who did or did not.
    To count people, sum `weight`.

    On sampled data only the people whose ordinary events are kept are there.

    Source
    ------
    events : one row per event; user_id_hash, timestamp, event_name and metadata.

    Columns
    -------
    user_id_hash : String.
    variant : String; null for somebody who saw several.
    exposed_at : Datetime, UTC.
    is_converted : Boolean.
    converted_at : Datetime, UTC; null when they did not.
    weight : Float64, people this one stands for.

    Errors
    ------
    MetricError : when the goal is no event.
    """
    outcome = Goal(flag, goal)

    def step(people: pl.LazyFrame, _each: float, rows: list[pl.DataFrame]) -> pl.LazyFrame:
        return (
            outcome.reached(people, rows[0])
            .select(
                *(USER, "variant", "exposed_at"),
                pl.col("converted_at").is_not_null().alias("is_converted"),
                *("converted_at", WEIGHT),
            )
            .filter(
                pl.lit(value=True) if variant is None else pl.col("variant") == variant,
                pl.lit(value=True) if converted is None else pl.col("is_converted") == converted,
            )
            .sort(USER)
        )

    return followed(events, window, flag, [outcome], step)


@metric("events")
def experiment_means(
    events: pl.LazyFrame,
    window: Window,
    *,
    flag: str,
    value: str = "events",
    control: str | None = None,
) -> pl.LazyFrame:
    """Average per person what those who saw each variant did from then on.

    Definition
    ----------
    People and exposure as in `experiment`. Each person has one number, over their events from
    the moment of their exposure on, that moment included: `events` counts them, `sessions` the
    distinct non-empty session_id, `sum of KEY` adds up a column or a metadata number such as
    cost_usd, `mean of KEY` averages it. Who has none counts as 0, but for a mean of something,
    which leaves them out. The mean, the variance (divided by n - 1) and its error are over
    people.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate;
    the error rests on `n`, how many independent people that is worth.

    Source
    ------
    events : one row per event; user_id_hash, timestamp, event_name, metadata, and the column if
        one is asked for.

    Columns
    -------
    variant : String.
    is_control : Boolean; as in `experiment`.
    users : Float64, count; people with a number.
    users_recent : Float64, count; of them, exposed in the last 7 days of the window.
    mean : Float64; per person.
    variance : Float64; null for fewer than two people.
    std_error : Float64; of the mean.
    n : Float64, count; the people the error rests on: users without sampling.
    mixed : Float64, count; people of several variants, the same in every row.

    Errors
    ------
    MetricError : when the value is no measure.
    """
    measure = Measure.of(value)

    def step(people: pl.LazyFrame, each: float, rows: list[pl.DataFrame]) -> pl.LazyFrame:
        return measure.arms(people, rows[0], Setting(window, control, each))

    return followed(events, window, flag, [measure], step)
