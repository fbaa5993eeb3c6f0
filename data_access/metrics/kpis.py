"""The headline numbers of a beta: dependency on contexts, people, resurrection, conversion.

Every rate comes with its numerator and denominator, so that a reader can ask "of how many?".
`by_group` computes the same numbers per tier, so the two pages cannot disagree.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    KEY,
    USER,
    event_predicate,
    has_column,
    user_key,
    weighted,
)
from data_access.metrics.registry import ALL_HISTORY, metric
from ingest.vocabulary import ACTIVE_EVENTS, CortexEventName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.window import Window

__all__ = [
    "DORMANT_FROM_DAYS",
    "LOST_FROM_DAYS",
    "by_group",
    "conversions",
    "kpis",
    "person_key",
    "ratio",
]

DORMANT_FROM_DAYS: Final = 8  # seven whole idle days lie between the last active day and this one
LOST_FROM_DAYS: Final = 98  # dormant for 90 days, then lost
WEEK_DAYS: Final = 7
MONTH_DAYS: Final = 30
DEPENDENT_EVENTS: Final = (
    CortexEventName.CONTEXT_LOADED.value,
    CortexEventName.CONTEXT_RESUMED.value,
)
SUCCESS: Final = "success"


@metric("events", lookback_days=ALL_HISTORY)
def kpis(events: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Headline numbers of the window, each with what it was divided by.

    Definition
    ----------
    cdr : sessions (distinct non-empty session_id) with a successful `context_loaded` or
        `context_resumed`, divided by sessions with any event.
    cdr_users : likewise over users.
    resurrection : a return is an active day whose previous active day leaves seven or more
        whole idle days between them. A user is dormant from the eighth to the 97th day after
        an active day, or until the return if sooner; then lost, though a later return still
        counts. Users with a return in the window, divided by users dormant on some day of the
        window or returned in it.
    resurrection_by_context : users with a return in the window on a day that holds a
        `session_resumed_from_context`, divided by users with a return in the window.
    dau, wau, mau : users active in the 1, 7 and 30 days that end with the window's last day.
    stickiness : dau divided by mau.
    paid_conversion : users whose first ever `paid_subscription_started` is in the window,
        divided by users active or converting in the window whose last event before the window
        was not a paying one (no earlier event: their first event is not, or they convert).
    cancellations : users with a `paid_subscription_canceled` in the window. It stands beside
        the conversion and is never netted with it.
    error_rate : events with a result other than `success`, divided by events.

    Active means one of the four active events. People and sessions count with the smallest
    weight among their qualifying events: for a dormant user those of the last active day known
    to open the dormancy, for a return those of its day.

    Source
    ------
    events : one row per event, all history.

    Columns
    -------
    kpi : String; one row for each name above.
    value : Float64; a rate from 0 to 1, or a count. Null when there is nothing to divide by.
    numerator : Float64, count.
    denominator : Float64, count; null for a plain count.
    """
    everything = pl.concat(
        [by_group(events, window), conversions(events, window)], how="horizontal"
    )
    rows: dict[str, tuple[str, str | None]] = {
        "cancellations": ("cancellations", None),
        "cdr": ("sessions_dependent", "sessions"),
        "cdr_users": ("users_dependent", "users"),
        "dau": ("dau", None),
        "error_rate": ("failures", "events"),
        "mau": ("mau", None),
        "paid_conversion": ("converted", "convertible"),
        "resurrection": ("returned", "dormant_or_returned"),
        "resurrection_by_context": ("returned_by_context", "returned"),
        "stickiness": ("dau", "mau"),
        "wau": ("wau", None),
    }
    nothing = pl.lit(None, pl.Float64)
    return (
        everything.select(
            pl.concat_list(pl.lit(name) for name in rows).alias("kpi"),
            pl.concat_list(
                pl.col(top) if bottom is None else ratio(top, bottom)
                for top, bottom in rows.values()
            ).alias("value"),
            pl.concat_list(pl.col(top) for top, _ in rows.values()).alias("numerator"),
            pl.concat_list(
                nothing if bottom is None else pl.col(bottom) for _, bottom in rows.values()
            ).alias("denominator"),
        )
        .explode("kpi", "value", "numerator", "denominator")
        .sort("kpi")
    )


def ratio(numerator: str, denominator: str) -> pl.Expr:
    """Return one column divided by another; null when that is 0."""
    divided = pl.col(numerator) / pl.col(denominator)
    return pl.when(pl.col(denominator) > 0).then(divided)


def person_key() -> pl.Expr:
    """Return a user as `KEY`; null for a row of nobody, which is an event but not a person."""
    return pl.when(pl.col(USER).is_not_null()).then(user_key()).alias(KEY)


def by_group(events: pl.LazyFrame, window: Window, keys: Sequence[str] = ()) -> pl.LazyFrame:
    """Return every number of `kpis` but conversion, as counts, per value of `keys`.

    Each event counts under its own value of the keys; a group's history is the group's own.
    Without keys: one row.

    Columns: keys, dau, wau, mau, returned, returned_by_context, dormant_or_returned, sessions,
    sessions_dependent, users, users_dependent, events, failures; all Float64.
    """
    seen = weighted(events.filter(window.before())).with_columns(person_key())
    inside = seen.filter(window.contains())
    parts = [
        _active(seen, window, keys),
        _sessions(inside, keys),
        _people(inside, keys),
    ]
    if not keys:
        return pl.concat(parts, how="horizontal").with_columns(pl.all().fill_null(0.0))
    return merged(parts, keys).with_columns(pl.exclude(keys).fill_null(0.0))


def merged(parts: Sequence[pl.LazyFrame], keys: Sequence[str]) -> pl.LazyFrame:
    """Return one row per key out of frames that have at most one row for each.

    Stacked and grouped, so that every part is computed once; a join onto the list of all keys
    would compute it twice.
    """
    return pl.concat(parts, how="diagonal").group_by(keys).agg(pl.all().max())


def _grouped(frame: pl.LazyFrame, keys: Sequence[str], *aggregates: pl.Expr) -> pl.LazyFrame:
    return frame.group_by(keys).agg(aggregates) if keys else frame.select(aggregates)


def _sum(name: str, *, when: pl.Expr | None = None, of: str = "weight") -> pl.Expr:
    column = pl.col(of) if when is None else pl.col(of).filter(when)
    return column.sum().alias(name)


def _sessions(inside: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    """Return sessions and those that depended on a context."""
    sessions = (
        inside.filter(pl.col("session_id") != "")
        .group_by(*keys, "session_id")
        .agg(
            pl.col("weight").min(),
            pl.col("weight").filter(_dependent()).min().alias("dependent"),
        )
    )
    return _grouped(sessions, keys, _sum("sessions"), _sum("sessions_dependent", of="dependent"))


def _people(inside: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    """Return users, users that depended on a context, events and failures."""
    people = inside.group_by(*keys, KEY).agg(
        pl.col("weight").min(),
        pl.col("weight").filter(_dependent()).min().alias("dependent"),
        _sum("events"),
        _sum("failures", when=pl.col("result") != SUCCESS),
    )
    named = pl.col(KEY).is_not_null()
    return _grouped(
        people,
        keys,
        _sum("users", when=named),
        _sum("users_dependent", when=named, of="dependent"),
        _sum("events", of="events"),
        _sum("failures", of="failures"),
    )


def _dependent() -> pl.Expr:
    succeeded = pl.col("result").fill_null(SUCCESS) == SUCCESS
    return pl.col("event_name").is_in(DEPENDENT_EVENTS) & succeeded


def _active(seen: pl.LazyFrame, window: Window, keys: Sequence[str]) -> pl.LazyFrame:
    """Return DAU, WAU and MAU on the last day, and who returned or was dormant."""
    last = window.end - timedelta(days=1)
    # days before this one matter only by the last of them a user was active on
    recent_from = min(window.start, window.end - timedelta(days=MONTH_DAYS))
    active = seen.filter(event_predicate(ACTIVE_EVENTS), pl.col(KEY).is_not_null()).select(
        *keys, KEY, "weight", window.day().alias("day")
    )
    who = [*keys, KEY]
    recent = (
        active.filter(pl.col("day") >= recent_from)
        .group_by(*who, "day")
        .agg(pl.col("weight").min())
    )
    earlier = (
        active.filter(pl.col("day") < recent_from)
        .group_by(who)
        .agg(
            pl.col("day").max(),
            pl.col("weight").filter(pl.col("day") == pl.col("day").max()).min(),
        )
        .select(*who, "day", "weight")
    )
    resumed = (
        seen.filter(
            pl.col("event_name") == CortexEventName.SESSION_RESUMED_FROM_CONTEXT.value,
            window.day().is_between(window.start, last),
        )
        .group_by(*who, window.day().alias("day"))
        .agg(pl.col("weight").min().alias("resumed"))
    )
    days = (
        pl.concat([recent, earlier])
        .sort([*who, "day"])
        .with_columns(
            pl.col("day").shift(1).over(who).alias("before"),
            pl.col("day").shift(-1).over(who).alias("after"),
        )
        .join(resumed, on=[*who, "day"], how="left", nulls_equal=True)
    )
    away = pl.duration(days=DORMANT_FROM_DAYS)
    returned = pl.col("day").is_between(window.start, last) & (
        pl.col("day") - pl.col("before") >= away
    )
    lost = pl.col("day") + pl.duration(days=LOST_FROM_DAYS)
    dormant = (
        (pl.col("day") + away <= last)
        & (pl.min_horizontal(lost, "after") > window.start)
        & (pl.col("day") + away < pl.min_horizontal(lost, "after"))
    )

    def active_within(number: int) -> pl.Expr:
        return (
            pl.col("weight").filter(pl.col("day") > window.end - timedelta(days=number + 1)).min()
        )

    people = days.group_by(who).agg(
        active_within(1).alias("dau"),
        active_within(WEEK_DAYS).alias("wau"),
        active_within(MONTH_DAYS).alias("mau"),
        pl.col("weight").filter(returned).min().alias("returned"),
        pl.col("resumed").filter(returned).min().alias("returned_by_context"),
        pl.col("weight").filter(dormant).min().alias("dormant"),
    )
    either = pl.min_horizontal("dormant", "returned").alias("dormant_or_returned")
    counted = ("dau", "wau", "mau", "returned", "returned_by_context", "dormant_or_returned")
    return _grouped(people.with_columns(either), keys, *(_sum(name, of=name) for name in counted))


def conversions(
    events: pl.LazyFrame, window: Window, *, by_entering_tier: bool = False
) -> pl.LazyFrame:
    """Return who converted, out of whom, and who cancelled, as counts.

    With `by_entering_tier`, per tier a user had on entering the window: that of the last event
    before it, else of the first one inside. Cancellations count there too.

    Columns: [user_tier], converted, convertible, cancellations; all Float64.
    """
    seen = weighted(events.filter(window.before(), pl.col(USER).is_not_null()))
    inside = window.contains()
    # each part reads few columns and keeps few rows, which is faster than one pass over all
    starts = (
        _named(seen, CortexEventName.PAID_SUBSCRIPTION_STARTED)
        .group_by(user_key())
        .agg(pl.col("timestamp").min(), pl.col("weight").min().alias("converted"))
        .filter(inside)
        .drop("timestamp")
    )
    cancelled = (
        _named(seen.filter(inside), CortexEventName.PAID_SUBSCRIPTION_CANCELED)
        .group_by(user_key())
        .agg(pl.col("weight").min().alias("cancellations"))
    )
    active = (
        seen.filter(inside, event_predicate(ACTIVE_EVENTS))
        .group_by(user_key())
        .agg(pl.col("weight").min().alias("active"))
    )
    order = ["timestamp", "event_id"] if has_column(events, "event_id") else ["timestamp"]
    paying = pl.col("is_paid_user").fill_null(value=False).alias("paying")
    states = seen.select(user_key(), paying, "user_tier", *order)

    def state(end: str) -> list[pl.Expr]:
        ordered = pl.col("paying", "user_tier").sort_by(order)
        return [(ordered.last() if end == "before" else ordered.first()).name.suffix(f"_{end}")]

    entering = states.filter(~inside).group_by(KEY).agg(state("before"))
    # whoever converts, cancels or is active has an event inside, so this holds everybody
    people = states.filter(inside).group_by(KEY).agg(state("first"))
    for part in (entering, starts, cancelled, active):
        people = people.join(part, on=KEY, how="left")
    # somebody without an earlier event is judged by the first one, unless that converts them
    free = (
        pl.when(pl.col("paying_before").is_not_null())
        .then(~pl.col("paying_before"))
        .otherwise(~pl.col("paying_first") | pl.col("converted").is_not_null())
    )
    convertible = pl.when(free).then(pl.min_horizontal("active", "converted"))
    people = people.with_columns(convertible.alias("convertible"))
    keys = []
    if by_entering_tier:
        tier = (
            pl.when(pl.col("paying_before").is_null())
            .then("user_tier_first")
            .otherwise("user_tier_before")
        )
        people, keys = people.with_columns(tier.alias("user_tier")), ["user_tier"]
    counted = ("converted", "convertible", "cancellations")
    return _grouped(people, keys, *(_sum(name, of=name) for name in counted))


def _named(frame: pl.LazyFrame, name: CortexEventName) -> pl.LazyFrame:
    return frame.filter(pl.col("event_name") == name.value)
