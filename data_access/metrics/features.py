"""What people use: features by group and period, how fast each is taken up, who combines what.

A feature is what a person does on purpose: the tool of a call, and the name of every other event
that is not in NOT_FEATURES. What the product does by itself is no use of it.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    EVENT,
    KEY,
    TIMESTAMP,
    USER,
    WEIGHT,
    MetricError,
    distinct_of,
    event_predicate,
    in_memory,
    of_people,
    user_key,
    weight_of,
)
from data_access.metrics.kpis import person_key, ratio
from data_access.metrics.properties import property_of, tool_name
from data_access.metrics.registry import ALL_HISTORY, metric
from ingest.vocabulary import ACTIVE_EVENTS, CortexEventName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.metrics.common import Event
    from data_access.window import Window

__all__ = [
    "NOT_FEATURES",
    "co_usage",
    "feature_adoption",
    "feature_breadth",
    "feature_people",
    "feature_usage",
    "feature_users",
]

# events that no person does on purpose with the product: what it does by itself, what begins and
# ends a visit, money, failures, and sums of many events; names that end in _rollup are such too
NOT_FEATURES: Final = (
    CortexEventName.SESSION_STARTED.value,
    CortexEventName.SESSION_ENDED.value,
    CortexEventName.SESSION_RESUMED_FROM_CONTEXT.value,
    CortexEventName.EXTENSION_ACTIVATED.value,
    CortexEventName.CONTEXT_AUTO_CREATED.value,
    CortexEventName.CONTEXT_PROTECTION_TRIGGERED.value,
    CortexEventName.CONTEXT_PROTECTION_BLOCKED.value,
    CortexEventName.PAID_SUBSCRIPTION_STARTED.value,
    CortexEventName.PAID_SUBSCRIPTION_CANCELED.value,
    *("install", "error", "session_compressed", "context_injected", "historical_activity"),
)
CALLED: Final = CortexEventName.SERVER_OPERATION_CALLED.value
ROLLUP: Final = "_rollup"
COMBINED_MAX: Final = 40  # features that co_usage pairs, those in most sessions: 780 pairs
# of several rows taken for one: what they stand for, and whether one of them is from a sample
_WEIGHTS: Final = (pl.col(WEIGHT).min(), pl.col(WEIGHT).max().alias("most"))
_TAKEN: Final = {
    *("feature", "period", "users", "uses", "active_users", "share", "complete", WEIGHT, KEY),
}


def is_feature() -> pl.Expr:
    """Return the predicate "this row is a use of a feature"; it is never null."""
    name = pl.col(EVENT)
    left_out = name.is_in(NOT_FEATURES) | name.str.ends_with(ROLLUP) | (name == "")
    return (~left_out).fill_null(value=False)


def counted_uses(
    events: pl.LazyFrame, when: pl.Expr, counted: pl.Expr, *columns: pl.Expr | str
) -> pl.LazyFrame:
    """Return `feature` (null: none used), weight and `columns` of the rows that count.

    Calls are read apart from the others: only their metadata is needed, and it is most of what
    a row weighs.

    Parameters
    ----------
    when : which rows are looked at.
    counted : `is_feature()`, or `_active_or_used(active_events)`; every call counts.
    """
    is_call = (pl.col(EVENT) == CALLED).fill_null(value=False)
    used = (
        (tool_name(events), is_call),
        (pl.when(is_feature()).then(EVENT), ~is_call & counted),
    )
    return pl.concat(
        events.filter(when, which).select(name.alias("feature"), weight_of(events), *columns)
        for name, which in used
    )


def _active_or_used(active_events: Event) -> pl.Expr:
    return is_feature() | event_predicate(active_events)


# --- how many use it -------------------------------------------------------------------------


@metric("events")
def feature_usage(
    events: pl.LazyFrame,
    window: Window,
    *,
    by: str | None = "user_tier",
    every: str | None = None,
    active_events: Event = ACTIVE_EVENTS,
) -> pl.LazyFrame:
    """People and uses of each feature, by tier, by period or in all: the usage matrix.

    Definition
    ----------
    A feature is the tool of a server_operation_called, and the name of every other event except
    session_started, session_ended, session_resumed_from_context, extension_activated, install,
    context_auto_created, context_protection_triggered and _blocked, paid_subscription_started and
    _canceled, error, session_compressed, context_injected, historical_activity and names that
    end in _rollup. A use is one event, whatever its result. The share is of the group's active
    people: those with an event named in `active_events` or a use of any feature in the group.

    `by` is a column of the events or a metadata key; an event counts under its own value, so a
    person who changed tier is in two groups. None counts everybody together. With `every` the
    window is widened to whole periods and each feature has a row in every one, quiet ones
    included; `period` and `complete` (whether it ended inside the window) join the columns.

    On sampled data an estimate: the weights are added up.

    Source
    ------
    events : one row per event.

    Columns
    -------
    feature : String.
    user_tier : String; the value of `by`, under its name.
    users : Float64, count; people with a use.
    uses : Float64, count; sum of weights.
    active_users : Float64, count; active people of the group, whatever they used.
    share : Float64, 0 to 1; users / active_users, null without active people.

    Errors
    ------
    MetricError : when `by` is a column the result counts, or could be no metadata key.
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    if by in _TAKEN:
        raise MetricError(f"Features cannot be grouped by {by!r}: the counts use that name.")
    inside = window.widened(every).contains() if every else window.contains()
    groups = {} if by is None else {by: property_of(events, by)}
    if every:
        groups["period"] = window.period(every=every)
    columns = [value.alias(name) for name, value in groups.items()]
    rows = counted_uses(events, inside, _active_or_used(active_events), person_key(), *columns)
    calendar = window.calendar(every) if every else None
    return in_memory(rows, lambda found: _usage(found, list(groups), calendar))


def _usage(
    rows: pl.DataFrame, groups: Sequence[str], calendar: pl.LazyFrame | None
) -> pl.LazyFrame:
    """Return the columns of `feature_usage` out of its rows."""
    rows = _small(rows).with_columns(pl.lit(0, pl.Int8).alias("_all"))
    groups = ["_all", *groups]
    keys, uses = ["feature", *groups], rows.filter(pl.col("feature").is_not_null())
    grid = uses.lazy().select("feature").unique()
    grid = grid.join(rows.lazy().select(set(groups) - {"period"}).unique(), how="cross")
    if calendar is not None:
        grid = grid.join(calendar, how="cross")
    counts = uses.lazy().group_by(keys).agg(pl.col(WEIGHT).sum().alias("uses"))
    for on, part in (
        (keys, counts),
        (keys, distinct_of(uses, keys, KEY)),
        (groups, distinct_of(rows, groups, KEY, "active_users")),
    ):
        grid = grid.join(part, on=on, how="left", nulls_equal=True)
    named = [pl.col("feature").cast(pl.String), *map(pl.col, groups[1:])]
    return (
        grid.with_columns(pl.col("uses", "users", "active_users").fill_null(0.0))
        .select(
            *named,
            *("users", "uses", "active_users"),
            ratio("users", "active_users").alias("share"),
            *(["complete"] if calendar is not None else []),
        )
        .sort("feature", *groups[1:])
    )


def _small(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with the feature as a small number: grouping takes half the time."""
    few = pl.Enum(rows["feature"].drop_nulls().unique().sort())
    return rows.with_columns(pl.col("feature").cast(few))


@metric("events", lookback_days=ALL_HISTORY)
def feature_adoption(
    events: pl.LazyFrame,
    window: Window,
    *,
    every: str = "1w",
    active_events: Event = ACTIVE_EVENTS,
) -> pl.LazyFrame:
    """Share of all people so far who have ever used each feature, period by period.

    Definition
    ----------
    A person adopts a feature with their first use of it in all history; features and uses as in
    feature_usage. A period shows everybody who had adopted it by its end, out of everybody who
    had ever been active or used a feature by then. Because the people grow too, a share can fall.
    The window is widened to whole periods.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : one row per event, all history.

    Columns
    -------
    feature : String.
    period : Date; first day of the period, quiet ones included.
    new_users : Float64, count; people whose first use ever lies in the period.
    adopters : Float64, count; people who used it by the period's end.
    people : Float64, count; people ever active by the period's end.
    share : Float64, 0 to 1; adopters / people, null without people.
    complete : Boolean; whether the period ended inside the window.

    Errors
    ------
    MetricError : when `active_events` is empty.
    WindowError : when `every` is not "1d", "1w" or "1mo".
    """
    until = window.widened(every).before()
    somebody = until & pl.col(USER).is_not_null()

    def first_uses(events: pl.LazyFrame) -> pl.LazyFrame:
        return (
            counted_uses(events, somebody, _active_or_used(active_events), user_key(), TIMESTAMP)
            .group_by(KEY, "feature")
            .agg(pl.col(TIMESTAMP).min(), *_WEIGHTS)
        )

    def step(rows: pl.DataFrame, _: object, __: float) -> pl.LazyFrame:
        return _adopted(rows, window, every)

    return of_people(events, first_uses, step, when=until, weights=(WEIGHT, "most"))


def _adopted(firsts: pl.DataFrame, window: Window, every: str) -> pl.LazyFrame:
    """Return the columns of `feature_adoption` out of each person's first use of each feature."""
    calendar = window.calendar(every)
    begin = window.widened(every).start
    # what came before the window is there from its first period on
    period = pl.max_horizontal(window.period(every=every), pl.lit(begin))
    is_new = window.period(every=every) >= begin
    each = firsts.lazy().with_columns(period.alias("period"), is_new.alias("is_new"))
    earliest = pl.col("period", WEIGHT).min()
    people = each.group_by(KEY).agg(earliest).group_by("period").agg(pl.col(WEIGHT).sum())
    known = calendar.join(people, on="period", how="left").sort("period")
    known = known.with_columns(pl.col(WEIGHT).fill_null(0.0).cum_sum().alias("people"))
    uses = each.filter(pl.col("feature").is_not_null())
    counts = uses.group_by("feature", "period").agg(
        pl.col(WEIGHT).sum().alias("came"),
        pl.col(WEIGHT).filter("is_new").sum().alias("new_users"),
    )
    adopters = pl.col("came").cum_sum().over("feature", order_by="period")
    return (
        uses.select("feature")
        .unique()
        .join(known.select("period", "people", "complete"), how="cross")
        .join(counts, on=["feature", "period"], how="left")
        .with_columns(pl.col("came", "new_users").fill_null(0.0))
        .with_columns(adopters.alias("adopters"))
        .select(
            *("feature", "period", "new_users", "adopters", "people"),
            ratio("adopters", "people").alias("share"),
            "complete",
        )
        .sort("feature", "period")
    )


# --- how widely and how deeply one person uses it ----------------------------------------------


@metric("events")
def feature_people(
    events: pl.LazyFrame, window: Window, *, active_events: Event = ACTIVE_EVENTS
) -> pl.LazyFrame:
    """Breadth and depth of each person: how many features, how often on an active day.

    Definition
    ----------
    Everybody active in the window: with an event named in `active_events` or a use of a feature;
    features and uses as in feature_usage. Breadth is the number of different features, depth
    the uses per active day; an active day is one with an active event or a use.

    On sampled data only the people whose ordinary events are kept are listed, each standing for
    1 / keep rate people; their uses are their own.

    Source
    ------
    events : one row per event.

    Columns
    -------
    user_id_hash : String.
    features : Int64, count; different features used.
    uses : Float64, count; this person's own.
    active_days : Int64, count.
    uses_per_day : Float64; uses / active_days.
    weight : Float64; people this one stands for.

    Errors
    ------
    MetricError : when `active_events` is empty.
    """
    return _people(events, window, active_events).sort(USER)


def _people(events: pl.LazyFrame, window: Window, active_events: Event) -> pl.LazyFrame:
    """Return the columns of `feature_people`, in no order."""
    inside = window.contains()
    somebody = inside & pl.col(USER).is_not_null()
    who = (USER, user_key(), window.day().alias("day"))

    def used(events: pl.LazyFrame) -> pl.LazyFrame:
        return (
            counted_uses(events, somebody, _active_or_used(active_events), *who)
            .group_by(KEY, "feature", "day")
            .agg(pl.col(USER).first(), pl.col(WEIGHT).sum().alias("uses"), *_WEIGHTS)
        )

    def step(rows: pl.DataFrame, _: object, each: float) -> pl.LazyFrame:
        is_use = pl.col("feature").is_not_null()
        return (
            _small(rows)
            .lazy()
            .group_by(KEY)
            .agg(
                pl.col(USER).first(),
                pl.col("feature").drop_nulls().n_unique().cast(pl.Int64).alias("features"),
                pl.col("uses").filter(is_use).sum() / each,
                pl.col("day").n_unique().cast(pl.Int64).alias("active_days"),
                pl.col(WEIGHT).min(),
            )
            .select(
                *(USER, "features", "uses", "active_days"),
                (pl.col("uses") / pl.col("active_days")).alias("uses_per_day"),
                WEIGHT,
            )
        )

    return of_people(events, used, step, when=inside, weights=(WEIGHT, "most"))


@metric("events")
def feature_breadth(
    events: pl.LazyFrame, window: Window, *, active_events: Event = ACTIVE_EVENTS
) -> pl.LazyFrame:
    """How many people use how many features, and how deeply those do.

    Definition
    ----------
    The people of feature_people by their number of different features, from 0 (active, but no
    feature used) to the most anybody used, numbers nobody has included. The medians are of the
    people, each once.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : one row per event.

    Columns
    -------
    features : Int64, count; different features one person used.
    users : Float64, count; people who used so many.
    share : Float64, 0 to 1; of all active people, null without any.
    uses_per_day_p50 : Float64; median of their uses per active day, null for nobody.
    active_days_p50 : Float64; median of their active days, null for nobody.

    Errors
    ------
    MetricError : when `active_events` is empty.
    """
    return in_memory(_people(events, window, active_events), _breadth)


def _breadth(people: pl.DataFrame) -> pl.LazyFrame:
    """Return the columns of `feature_breadth` out of the people; all of one weight, or nearly."""
    most = people["features"].max()
    upto = pl.int_range(0, (most if isinstance(most, int) else -1) + 1, dtype=pl.Int64)
    counts = (
        people.lazy()
        .group_by("features")
        .agg(
            pl.col(WEIGHT).sum().alias("users"),
            pl.col("uses_per_day").median().alias("uses_per_day_p50"),
            pl.col("active_days").median().alias("active_days_p50"),
        )
    )
    return (
        pl.LazyFrame()
        .select(upto.alias("features"))
        .join(counts, on="features", how="left")
        .with_columns(pl.col("users").fill_null(0.0))
        .with_columns(pl.col("users").sum().alias("_all"))
        .select(
            *("features", "users", ratio("users", "_all").alias("share")),
            *("uses_per_day_p50", "active_days_p50"),
        )
        .sort("features")
    )


# --- what is used together ---------------------------------------------------------------------


@metric("events")
def co_usage(events: pl.LazyFrame, window: Window, *, tools_only: bool = False) -> pl.LazyFrame:
    """Which features are used in one session, and whether more often than by chance.

    Definition
    ----------
    A session is a distinct non-empty session_id with a use of a feature in the window; features
    as in feature_usage, or with `tools_only` the tools of calls alone. A pair's sessions hold
    both at least once, in any order. Chance is both being used independently of each other: lift
    is sessions x sessions_all / (sessions_feature x sessions_other), so 1 is chance and 2 is
    twice as often. The 40 features in most sessions are paired, each pair once, the first of the
    two in the alphabet as `feature`; pairs never combined are there with 0.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : one row per event.

    Columns
    -------
    feature : String.
    other : String.
    sessions : Float64, count; with both.
    sessions_feature : Float64, count; with the first.
    sessions_other : Float64, count; with the second.
    sessions_all : Float64, count; with any feature.
    share : Float64, 0 to 1; sessions / sessions_all.
    lift : Float64; times as often as by chance.
    """
    inside = window.contains()
    in_session = inside & (pl.col("session_id") != "")
    if tools_only:
        in_session &= pl.col(EVENT) == CALLED
    session = pl.col("session_id").hash().alias("session")

    def used(events: pl.LazyFrame) -> pl.LazyFrame:
        uses = counted_uses(events, in_session, is_feature(), session)
        return uses.group_by("session", "feature").agg(*_WEIGHTS)

    def step(rows: pl.DataFrame, _: object, __: float) -> pl.LazyFrame:
        return _pairs(rows)

    return of_people(events, used, step, when=inside, weights=(WEIGHT, "most"))


def _pairs(uses: pl.DataFrame) -> pl.LazyFrame:
    """Return the columns of `co_usage` out of each session's features.

    Sessions with the same features are one row of bits, so a pair is looked for in a few thousand
    rows however many sessions there are.
    """
    each = uses.lazy().group_by("session").agg(pl.col(WEIGHT).min())
    sessions_all = each.select(pl.col(WEIGHT).sum()).collect().item() or 0.0
    weighed = uses.lazy().drop(WEIGHT).join(each, on="session", how="inner")
    common = (
        weighed.group_by("feature")
        .agg(pl.col(WEIGHT).sum().alias("sessions"))
        .sort("sessions", "feature", descending=[True, False])
        .head(COMBINED_MAX)
        .sort("feature")
        .with_row_index("bit")
        .collect()
    )
    bits = common.lazy().select("feature", pl.lit(2, pl.Int64).pow(pl.col("bit")).alias("bit"))
    sets = (
        weighed.join(bits, on="feature", how="inner")
        .group_by("session")
        .agg(pl.col("bit").sum(), pl.col(WEIGHT).first())
        .group_by("bit")
        .agg(pl.col(WEIGHT).sum())
        .collect()
    )
    names, counts = common["feature"].to_list(), common["sessions"].to_list()
    pairs = list(combinations(range(len(names)), 2))
    together = _together(sets, len(names), pairs)
    return (
        pl.LazyFrame(
            {
                "feature": [names[a] for a, _ in pairs],
                "other": [names[b] for _, b in pairs],
                "sessions": together,
                "sessions_feature": [counts[a] for a, _ in pairs],
                "sessions_other": [counts[b] for _, b in pairs],
            },
            schema=dict.fromkeys(("feature", "other"), pl.String)
            | dict.fromkeys(("sessions", "sessions_feature", "sessions_other"), pl.Float64),
        )
        .with_columns(pl.lit(sessions_all, pl.Float64).alias("sessions_all"))
        .with_columns(
            ratio("sessions", "sessions_all").alias("share"),
            (
                pl.col("sessions")
                * pl.col("sessions_all")
                / (pl.col("sessions_feature") * pl.col("sessions_other"))
            ).alias("lift"),
        )
        .sort("feature", "other")
    )


def _together(sets: pl.DataFrame, many: int, pairs: Sequence[tuple[int, int]]) -> list[float]:
    """Return the weight of the sets with both bits of each pair."""
    if not pairs:
        return []
    has = sets.select(
        WEIGHT, *((pl.col("bit") & (1 << at) != 0).alias(f"{at}") for at in range(many))
    )
    both = [
        pl.col(WEIGHT).filter(pl.col(f"{a}") & pl.col(f"{b}")).sum().alias(f"{a} {b}")
        for a, b in pairs
    ]
    return list(has.select(both).row(0))


@metric("events")
def feature_users(
    events: pl.LazyFrame, window: Window, *, feature: str, other: str | None = None
) -> pl.LazyFrame:
    """List the people behind a feature, or behind two of them in one session.

    Definition
    ----------
    Everybody with a use of `feature` in the window; features and uses as in feature_usage. With
    `other`, only uses of either in a session that holds both count.

    On sampled data the people who are known: of somebody left out that is their failed, slow and
    critical events. The weights add up to the people of feature_usage.

    Source
    ------
    events : one row per event.

    Columns
    -------
    user_id_hash : String.
    uses : Float64, count; sum of weights.
    sessions : Int64, count; distinct non-empty session_id.
    days : Int64, count; days with a use.
    first_at : Datetime, UTC; the first use in the window.
    last_at : Datetime, UTC.
    weight : Float64; people this one stands for.
    """
    wanted = [feature] if other is None else [feature, other]
    somebody = window.contains() & pl.col(USER).is_not_null()
    columns = (USER, TIMESTAMP, "session_id", window.day().alias("day"))
    uses = counted_uses(events, somebody, is_feature(), *columns).filter(
        pl.col("feature").is_in(wanted)
    )
    if other is not None:
        several = pl.col("feature").n_unique() == len(set(wanted))
        both = uses.filter(pl.col("session_id") != "").group_by("session_id").agg(several)
        uses = uses.join(both.filter("feature"), on="session_id", how="semi")
    named = pl.when(pl.col("session_id") != "").then("session_id")
    return (
        uses.with_columns(named)
        .group_by(USER)
        .agg(
            pl.col(WEIGHT).sum().alias("uses"),
            pl.col("session_id").drop_nulls().n_unique().cast(pl.Int64).alias("sessions"),
            pl.col("day").n_unique().cast(pl.Int64).alias("days"),
            pl.col(TIMESTAMP).min().alias("first_at"),
            pl.col(TIMESTAMP).max().alias("last_at"),
            pl.col(WEIGHT).min(),
        )
        .sort(USER)
    )
