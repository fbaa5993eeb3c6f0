"""How many of those who were here are gone: people who fell silent, and payers who cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from data_access.metrics.common import (
    EVENT,
    KEY,
    WEIGHT,
    event_predicate,
    of_people,
    over_calendar,
    qualifying,
    weight_of,
)
from data_access.metrics.kpis import ratio
from data_access.metrics.lifecycle import LENGTHS
from data_access.metrics.registry import ALL_HISTORY, metric
from ingest.vocabulary import ACTIVE_EVENTS, CortexEventName

if TYPE_CHECKING:
    from data_access.metrics.common import Event
    from data_access.window import Window

__all__ = ["churn"]

_CANCELS = CortexEventName.PAID_SUBSCRIPTION_CANCELED.value


@metric("events", lookback_days=ALL_HISTORY)
def churn(
    events: pl.LazyFrame,
    window: Window,
    *,
    every: str = "1w",
    active_events: Event = ACTIVE_EVENTS,
) -> pl.LazyFrame:
    """Share of the people of one period who are gone in the next, and of the payers who cancel.

    Definition
    ----------
    A person is gone in a calendar period when they were active in the period before and are not
    in this one: the dormant of `lifecycle`. Churn is the gone divided by everybody active in the
    period before. Somebody may return later; retention says who does.

    Paid churn is the people with a `paid_subscription_canceled` in the period who had a paying
    event in the period before, divided by everybody with a paying event in the period before.
    A person counts at the smallest weight among the events of the period before that qualify.
    The window is widened to whole periods; the period before the first one counts too.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : `scan("events")` over all history; user_id_hash, event_name, timestamp, is_paid_user
        and, if there, weight.

    Columns
    -------
    period : Date, first day in the window's timezone; quiet periods included.
    active_before : Float64, people; active in the period before.
    gone : Float64, people; of those, not active in this one.
    churn_rate : Float64, 0 to 1; gone / active_before, null when nobody was.
    paying_before : Float64, people; with a paying event in the period before.
    cancelled : Float64, people; of those, with a cancellation in this one.
    paid_churn_rate : Float64, 0 to 1; cancelled / paying_before, null when nobody paid.
    complete : Boolean, flag; whether the period ended inside the window.

    Errors
    ------
    MetricError : when `active_events` is empty.
    WindowError : when `every` is no period.
    """
    wide = window.widened(every)

    def per_period(events: pl.LazyFrame) -> pl.LazyFrame:
        weight = weight_of(events)
        paying = pl.col("is_paid_user").fill_null(value=False)
        return (
            qualifying(
                events,
                None,
                wide.before(),
                period=wide.period(every=every),
                active=pl.when(event_predicate(active_events)).then(weight),
                paying=pl.when(paying).then(weight),
                cancels=(pl.col(EVENT) == _CANCELS).fill_null(value=False),
            )
            .group_by("period", KEY)
            .agg(pl.col("active", "paying", WEIGHT).min(), pl.col("cancels").any())
        )

    def step(rows: pl.DataFrame, *_: object) -> pl.LazyFrame:
        return _lost(rows.lazy(), window, every)

    return of_people(events, per_period, step, when=wide.before())


def _lost(rows: pl.LazyFrame, window: Window, every: str) -> pl.LazyFrame:
    """Return the columns of `churn` out of what each person was in each period."""
    before = rows.select(
        pl.col("period").dt.offset_by(LENGTHS[every]),
        KEY,
        pl.col("active").alias("active_before"),
        pl.col("paying").alias("paying_before"),
    )
    now = rows.select("period", KEY, pl.col("active").is_not_null().alias("here"), "cancels")
    met = before.join(now, on=["period", KEY], how="left").with_columns(
        pl.col("here", "cancels").fill_null(value=False)
    )
    counts = ("active_before", "gone", "paying_before", "cancelled")
    counted = met.group_by("period").agg(
        pl.col("active_before").sum(),
        pl.col("active_before").filter(~pl.col("here")).sum().alias("gone"),
        pl.col("paying_before").sum(),
        pl.col("paying_before").filter("cancels").sum().alias("cancelled"),
    )
    return (
        over_calendar(window.calendar(every), counted, *counts)
        .select(
            *("period", "active_before", "gone"),
            ratio("gone", "active_before").alias("churn_rate"),
            *("paying_before", "cancelled"),
            ratio("cancelled", "paying_before").alias("paid_churn_rate"),
            "complete",
        )
        .sort("period")
    )
