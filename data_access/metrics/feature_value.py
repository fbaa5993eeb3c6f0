"""Which features people come back to, and which go with paying: what to build more of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from data_access.metrics.common import (
    KEY,
    TIMESTAMP,
    USER,
    WEIGHT,
    event_predicate,
    of_people,
    user_key,
)
from data_access.metrics.features import counted_uses
from data_access.metrics.kpis import ratio
from data_access.metrics.registry import metric
from data_access.metrics.tiers import USERS_MIN, compare_rates
from data_access.stats import corrected
from ingest.vocabulary import CortexEventName

if TYPE_CHECKING:
    from data_access.metrics.common import Event
    from data_access.window import Window

__all__ = ["feature_value"]


@metric("events")
def feature_value(
    events: pl.LazyFrame,
    window: Window,
    *,
    goal: Event = CortexEventName.PAID_SUBSCRIPTION_STARTED.value,
) -> pl.LazyFrame:
    """Say for each feature who comes back to it, and who reaches the goal with and without it.

    Definition
    ----------
    A feature is what `feature_usage` says. Over the events inside the window: somebody comes back
    to a feature when they use it on two days or more. Somebody could reach the goal when their
    first event inside the window is not a paying one; they reach it with their first `goal` event.
    They did so with the feature when they used it before that; who did not reach the goal had
    the feature when they used it at all. So `without` includes who used it only afterwards.

    That two things go together does not say that one makes the other: who stays longer uses more
    and pays more. A person counts at the smallest weight among their events of the window.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate;
    `lift` and `p_value` rest on how many they are, not on what they are scaled up to.

    Source
    ------
    events : one row per event.

    Columns
    -------
    feature : String.
    users : Float64, people; who used it.
    users_again : Float64, people; who used it on two days or more.
    again_rate : Float64, 0 to 1; users_again / users.
    with_users : Float64, people; who could reach the goal and had the feature.
    with_reached : Float64, people; of those, who reached it.
    with_rate : Float64, 0 to 1; null when nobody had it.
    without_users : Float64, people; who could reach the goal and had not the feature.
    without_reached : Float64, people; of those, who reached it.
    without_rate : Float64, 0 to 1; null when everybody had it.
    lift : Float64; with_rate / without_rate - 1, null where either side has fewer than 30 people
        or cannot be told.
    p_value : Float64, 0 to 1; of two rates that do not differ, corrected by Holm for all features
        of the list; null where there is no lift.

    Errors
    ------
    MetricError : when `goal` is no event.
    """
    when = window.contains() & pl.col(USER).is_not_null()

    def reduce(events: pl.LazyFrame) -> pl.LazyFrame:
        return counted_uses(
            events,
            when,
            pl.lit(value=True),
            user_key(),
            TIMESTAMP,
            window.day().alias("day"),
            pl.col("is_paid_user").fill_null(value=False).alias("paying"),
            event_predicate(goal).alias("reached"),
        )

    def step(rows: pl.DataFrame, _: object, each: float) -> pl.LazyFrame:
        return _compared(_valued(rows.lazy()).collect(), each).lazy()

    return of_people(events, reduce, step, when=when)


def _valued(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return the columns of `feature_value` out of everybody's events with their feature."""
    people = (
        rows.group_by(KEY)
        .agg(
            pl.col(WEIGHT).min(),
            pl.col(TIMESTAMP).filter("reached").min().alias("reached_at"),
            (~pl.col("paying").sort_by(TIMESTAMP, "paying").first()).alias("could"),
        )
        .collect()
    )
    uses = (
        rows.filter(pl.col("feature").is_not_null())
        .group_by("feature", KEY)
        .agg((pl.col("day").n_unique() > 1).alias("again"), pl.col(TIMESTAMP).min().alias("first"))
        .join(people.lazy(), on=KEY)
    )
    reached = pl.col("reached_at").is_not_null()
    had = pl.col("could") & (~reached | (pl.col("first") < pl.col("reached_at")))
    could = people.filter("could")
    everybody = could[WEIGHT].sum()
    arrived = could.filter(pl.col("reached_at").is_not_null())[WEIGHT].sum()
    weight = pl.col(WEIGHT)
    return (
        uses.group_by("feature")
        .agg(
            weight.sum().alias("users"),
            weight.filter("again").sum().alias("users_again"),
            weight.filter(had).sum().alias("with_users"),
            weight.filter(had & reached).sum().alias("with_reached"),
        )
        .with_columns(
            (everybody - pl.col("with_users")).alias("without_users"),
            (arrived - pl.col("with_reached")).alias("without_reached"),
        )
        .select(
            *("feature", "users", "users_again"),
            ratio("users_again", "users").alias("again_rate"),
            *("with_users", "with_reached"),
            ratio("with_reached", "with_users").alias("with_rate"),
            *("without_users", "without_reached"),
            ratio("without_reached", "without_users").alias("without_rate"),
        )
        .sort("feature")
    )


def _compared(features: pl.DataFrame, each: float) -> pl.DataFrame:
    """Add how the two rates of each feature differ, where there are people enough to say.

    Parameters
    ----------
    each : how many people one who was kept stands for: no more than were kept say anything.
    """
    lifts: list[float | None] = []
    p_values: list[float | None] = []
    counts = features.select("with_reached", "with_users", "without_reached", "without_users")
    for reached, users, others_reached, others in (counts / each).iter_rows():
        found = compare_rates((others_reached, others), (reached, users))
        is_told = min(users, others) >= USERS_MIN and math.isfinite(found.lift)
        lifts.append(found.lift if is_told else None)
        p_values.append(found.p_value if is_told else None)
    told = [p for p in p_values if p is not None]
    fair = iter(corrected(told)) if told else iter(())
    return features.with_columns(
        pl.Series("lift", lifts, pl.Float64),
        pl.Series("p_value", [None if p is None else next(fair) for p in p_values], pl.Float64),
    )
