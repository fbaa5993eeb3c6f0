"""The headline numbers of a beta: dependency on contexts, people, resurrection, conversion.

Every rate comes with its numerator and denominator, so that a reader can ask "of how many?".
`by_group` computes the same numbers per tier, so the two pages cannot disagree.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, cast

import polars as pl

from data_access.metrics.common import (
    EVENT,
    EVENT_ID,
    KEY,
    TIMESTAMP,
    USER,
    WEIGHT,
    event_predicate,
    has_column,
    in_memory,
    packed,
    reduced,
    representative,
    unpacked,
    unsampled,
    user_key,
    weight_of,
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
    "history",
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

    On sampled data estimates; for resurrection, and for whom a conversion is divided by, only the
    people whose ordinary events are kept count, each as 1 / keep rate.

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
    kinds: dict[str, tuple[str, str | None]] = {
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

    def step(rows: pl.DataFrame) -> pl.LazyFrame:
        chosen = of_chosen(rows, events, window)
        counts = by_group(rows, window, chosen=chosen)
        paying = conversions(rows, seen, window)
        if chosen is not None:
            entering = conversions(chosen, seen, window).select("convertible")
            paying = pl.concat([paying.drop("convertible"), entering], how="horizontal")
        return _listed(pl.concat([counts, paying], how="horizontal"), kinds)

    seen = history(events, window)
    return in_memory(seen.drop(EVENT_ID, "user_tier", strict=False), step)


def _listed(everything: pl.LazyFrame, kinds: dict[str, tuple[str, str | None]]) -> pl.LazyFrame:
    """Return a row per kpi out of one row with all counts."""
    nothing = pl.lit(None, pl.Float64)
    return (
        everything.select(
            pl.concat_list(pl.lit(name) for name in kinds).alias("kpi"),
            pl.concat_list(
                pl.col(top) if bottom is None else ratio(top, bottom)
                for top, bottom in kinds.values()
            ).alias("value"),
            pl.concat_list(pl.col(top) for top, _ in kinds.values()).alias("numerator"),
            pl.concat_list(
                nothing if bottom is None else pl.col(bottom) for _, bottom in kinds.values()
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


def history(events: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Return all that `by_group` and `conversions` know of the rows up to the window's end.

    Read once: every column that is decoded again costs 5 to 15 ms per million rows, and what a
    row is takes a bit where its event name takes a string.

    Columns: KEY (null: of nobody), timestamp, event_id (if any), user_tier, weight, day, inside,
    session (null: none), paying, and what the row is: active, dependent, failed, resumed,
    starts, cancels.
    """
    inside = window.contains()
    session = pl.when(inside & (pl.col("session_id") != "")).then(pl.col("session_id").hash())
    succeeded = pl.col("result").fill_null(SUCCESS) == SUCCESS
    return events.filter(window.before()).select(
        person_key(),
        TIMESTAMP,
        *([EVENT_ID] if has_column(events, EVENT_ID) else []),
        "user_tier",
        weight_of(events),
        window.day().alias("day"),
        inside.alias("inside"),
        session.alias("session"),
        pl.col("is_paid_user").fill_null(value=False).alias("paying"),
        event_predicate(ACTIVE_EVENTS).alias("active"),
        (event_predicate(DEPENDENT_EVENTS) & succeeded).alias("dependent"),
        (pl.col("result") != SUCCESS).fill_null(value=False).alias("failed"),
        _is(CortexEventName.SESSION_RESUMED_FROM_CONTEXT).alias("resumed"),
        _is(CortexEventName.PAID_SUBSCRIPTION_STARTED).alias("starts"),
        _is(CortexEventName.PAID_SUBSCRIPTION_CANCELED).alias("cancels"),
    )


def _is(name: CortexEventName) -> pl.Expr:
    return (pl.col(EVENT) == name.value).fill_null(value=False)


def of_chosen(rows: pl.DataFrame, events: pl.LazyFrame, window: Window) -> pl.DataFrame | None:
    """Return the `history` of the people a sample was made of; None when nothing is sampled."""
    chosen = representative(rows, events.filter(window.before()))
    if chosen is None:
        return None
    again = history(chosen.events, window).drop(EVENT_ID, strict=False)
    return again.collect(engine="streaming")


def by_group(
    rows: pl.DataFrame,
    window: Window,
    keys: Sequence[str] = (),
    *,
    chosen: pl.DataFrame | None = None,
) -> pl.LazyFrame:
    """Return every number of `kpis` but conversion, as counts, per value of `keys`.

    Each event counts under its own value of the keys; a group's history is the group's own.
    Without keys: one row. The rows are those of `history`, and `chosen` those of `of_chosen`,
    which say who returned or was dormant: that takes two days of somebody.

    Columns: keys, dau, wau, mau, returned, returned_by_context, dormant_or_returned, sessions,
    sessions_dependent, users, users_dependent, events, failures; all Float64.
    """
    inside = rows.lazy().filter("inside")
    totals = _grouped(inside, keys, _sum("events"), _sum("failures", when=pl.col("failed")))
    sessions, people, totals, *days = reduced(
        _each(inside, [*keys, "session"]),
        _each(inside, [*keys, KEY]),
        totals,
        *_days(rows, window, keys),
    )
    active = [_active(days, window, keys)]
    if chosen is not None:
        back = _active(reduced(*_days(chosen, window, keys)), window, keys)
        active = [active[0].drop(_OVER_TIME), back.select(*keys, *_OVER_TIME)]
    parts = [
        *active,
        _grouped(sessions, keys, _sum("sessions"), _sum("sessions_dependent", of="dependent")),
        _grouped(people, keys, _sum("users"), _sum("users_dependent", of="dependent")),
        totals,
    ]
    if not keys:
        return pl.concat(parts, how="horizontal").with_columns(pl.all().fill_null(0.0))
    return merged(parts, keys).with_columns(pl.exclude(keys).fill_null(0.0))


_OVER_TIME: Final = ("returned", "returned_by_context", "dormant_or_returned")


def _each(inside: pl.LazyFrame, who: Sequence[str]) -> pl.LazyFrame:
    """Return, for each session or person, the smallest weight: of all and of dependent rows."""
    dependent = pl.when("dependent").then(WEIGHT).alias("dependent")
    known = inside.filter(pl.col(who[-1]).is_not_null())
    return known.select(*who, WEIGHT, dependent).group_by(who).agg(pl.all().min())


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


def _days(rows: pl.DataFrame, window: Window, keys: Sequence[str]) -> list[pl.LazyFrame]:
    """Return recent active days, the last one before those, and the days of a resumed session.

    Each with the keys, KEY, day and the smallest weight there (of a resumed session: `resumed`).
    """
    # days before this one matter only by the last of them a user was active on
    recent_from = min(window.start, window.end - timedelta(days=MONTH_DAYS))
    who = [*keys, KEY]
    active = rows.lazy().filter(pl.col("active"), pl.col(KEY).is_not_null())
    recent = active.filter(pl.col("day") >= recent_from).group_by(*who, "day")
    least = pl.col("weight").filter(pl.col("day") == pl.col("day").max()).min()
    # which costs more than all days, and says nothing when nobody is sampled
    last = pl.lit(1.0).alias("weight") if unsampled(rows) else least
    earlier = active.filter(pl.col("day") < recent_from).group_by(who)
    resumed = rows.lazy().filter(
        pl.col("resumed"), pl.col("day").is_between(window.start, window.end, closed="left")
    )
    return [
        recent.agg(pl.col("weight").min()),
        earlier.agg(pl.col("day").max(), last).select(*who, "day", "weight"),
        resumed.group_by(*who, "day").agg(pl.col("weight").min().alias("resumed")),
    ]


def _active(days: Sequence[pl.LazyFrame], window: Window, keys: Sequence[str]) -> pl.LazyFrame:
    """Return DAU, WAU and MAU on the last day, and who returned or was dormant."""
    last = window.end - timedelta(days=1)
    recent, earlier, resumed = days
    who = [*keys, KEY]
    here = [pl.col(name) for name in who]

    def neighbour(step: int) -> pl.Expr:
        """Return the user's active day before or after, of rows in order."""
        same = pl.all_horizontal(one.eq_missing(one.shift(step)) for one in here)
        return pl.when(same).then(pl.col("day").shift(step))

    table = (
        pl.concat([recent, earlier])
        .sort([*who, "day"])
        .with_columns(neighbour(1).alias("before"), neighbour(-1).alias("after"))
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

    people = table.group_by(who).agg(
        active_within(1).alias("dau"),
        active_within(WEEK_DAYS).alias("wau"),
        active_within(MONTH_DAYS).alias("mau"),
        pl.col("weight").filter(returned).min().alias("returned"),
        pl.col("resumed").filter(returned).min().alias("returned_by_context"),
        pl.col("weight").filter(dormant).min().alias("dormant"),
    )
    either = pl.min_horizontal("dormant", "returned").alias("dormant_or_returned")
    counted = ("dau", "wau", "mau", *_OVER_TIME)
    return _grouped(people.with_columns(either), keys, *(_sum(name, of=name) for name in counted))


def conversions(
    rows: pl.DataFrame, ids: pl.LazyFrame, window: Window, *, by_entering_tier: bool = False
) -> pl.LazyFrame:
    """Return who converted, out of whom, and who cancelled, as counts.

    With `by_entering_tier`, per tier a user had on entering the window: that of the last event
    before it, else of the first one inside. Cancellations count there too.

    Columns: [user_tier], converted, convertible, cancellations; all Float64.

    Parameters
    ----------
    rows : those of `history`; by tier, with user_tier as an Enum.
    ids : the plan of `history`, to be asked for the event_id of the few where it decides.
    """
    known = rows.lazy().filter(pl.col(KEY).is_not_null())
    inside, before = known.filter("inside"), known.filter(~pl.col("inside"))
    state, tiers = pl.col("paying").cast(pl.Int64), pl.Series([], dtype=pl.String)
    if by_entering_tier:
        known_tiers = rows.schema["user_tier"]
        tiers = cast("pl.Enum", known_tiers).categories
        state += 2 * pl.col("user_tier").cast(known_tiers).to_physical().cast(pl.Int64)
    number = 2 * max(len(tiers), 1)
    starts = (
        known.filter("starts")
        .group_by(KEY)
        .agg(pl.col(TIMESTAMP).min(), pl.col(WEIGHT).min().alias("converted"))
        .filter(window.contains())
        .drop(TIMESTAMP)
    )
    weights = {
        name: pl.when(which).then(WEIGHT).alias(name)
        for name, which in {"active": "active", "cancellations": "cancels"}.items()
    }
    # whoever converts, cancels or is active has an event inside, so `people` holds everybody
    entering, people, starts = reduced(
        before.select(KEY, *packed(state, number)).group_by(KEY).agg(pl.all().max()),
        inside.select(KEY, *packed(state, number), *weights.values())
        .group_by(KEY)
        .agg(pl.all().min()),
        starts,
    )
    people = unpacked(people, state, number, ids, last=False).rename({"state": "first"})
    entering = unpacked(entering, state, number, ids, last=True).rename({"state": "before"})
    people = people.join(entering, on=KEY, how="left").join(starts, on=KEY, how="left")
    # somebody without an earlier event is judged by the first one, unless that converts them
    free = (
        pl.when(pl.col("before").is_not_null())
        .then(pl.col("before") % 2 == 0)
        .otherwise((pl.col("first") % 2 == 0) | pl.col("converted").is_not_null())
    )
    convertible = pl.when(free).then(pl.min_horizontal("active", "converted"))
    people = people.with_columns(convertible.alias("convertible"))
    keys = []
    if by_entering_tier:
        tier = pl.lit(tiers).gather(pl.coalesce("before", "first") // 2)
        people, keys = people.with_columns(tier.alias("user_tier")), ["user_tier"]
    counted = ("converted", "convertible", "cancellations")
    return _grouped(people, keys, *(_sum(name, of=name) for name in counted))
