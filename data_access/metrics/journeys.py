"""How people get from their first event to paying, or to silence: one journey per person."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    EVENT,
    KEY,
    TIMESTAMP,
    USER,
    WEIGHT,
    MetricError,
    earlier,
    event_label,
    event_predicate,
    of_people,
    reduced,
    user_key,
    weight_of,
    weighted_quantile,
)
from data_access.metrics.kpis import ratio
from data_access.metrics.paths import Shape, reading, walk_of
from data_access.metrics.registry import ALL_HISTORY, metric
from data_access.metrics.tiers import compare_rates
from ingest.vocabulary import ACTIVE_EVENTS, CortexEventName

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from data_access.metrics.common import Event
    from data_access.window import Window

__all__ = [
    "CAME_BACK",
    "FIRST_EVENT",
    "journey_items",
    "journey_map",
    "journey_path_users",
    "journey_users",
    "journeys",
]

PAID: Final = CortexEventName.PAID_SUBSCRIPTION_STARTED.value
FIRST_EVENT: Final = "first event"
CAME_BACK: Final = "came back another day"
MILESTONES: Final[tuple[Event, ...]] = (
    (CortexEventName.CONTEXT_CREATED.value, CortexEventName.CONTEXT_AUTO_CREATED.value),
    CortexEventName.CONTEXT_LOADED.value,
    CAME_BACK,
    CortexEventName.CONTEXT_RESUMED.value,
    PAID,
)
MILESTONES_MAX: Final = 20
SILENT_DAYS_MAX: Final = 366
TOP_MAX: Final = 1_000
BETWEEN: Final = " > "  # the items of a path in one text


# --- converted and not -----------------------------------------------------------------------


@metric("events", lookback_days=ALL_HISTORY)
def journeys(
    events: pl.LazyFrame,
    window: Window,
    *,
    goal: Event = PAID,
    depth: int = 8,
    top: int = 10,
    groups: Sequence[str] = (),
    hide: Sequence[str] = (),
    item: str | pl.Expr = EVENT,
) -> pl.LazyFrame:
    """Most common ways of the people who reached a goal, and of those who did not.

    Definition
    ----------
    Everybody with an event inside `window` who had not reached the goal before it. Their way is
    what they did from their first event of the window up to the goal or, without one, to the
    window's end: items as in `paths`, equal ones in a row merged, over all sessions, the
    first `depth` of them. Whoever reached the goal at once has an empty way. Of each group
    the `top` ways of most people, equally common ones by name. The goal is an event or a predicate.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : `scan("events")`, all history; user_id_hash, event_name, timestamp and, if there,
        weight, event_id and whatever `item` and the goal read.

    Columns
    -------
    converted : Boolean, flag; whether these people reached the goal.
    rank : Int64, count; 1 is the commonest way of its group.
    path : String, items with " > " between them.
    users : Float64, people who went this way.
    group_users : Float64, people of the group, whichever way they went.
    share : Float64, share of the group's people.

    Errors
    ------
    MetricError : when an option is out of range, or the goal is no event.
    """
    if isinstance(top, bool) or not 1 <= top <= TOP_MAX:
        raise MetricError(f"top={top!r} is out of range. Use a whole number up to {TOP_MAX}.")

    def ranked(people: pl.DataFrame, walk: pl.DataFrame, _: float) -> pl.LazyFrame:
        group = pl.col("users").sum().over("converted")
        return (
            people.lazy()
            .join(_ways(walk), on=KEY, how="left")
            .group_by("converted", pl.col("path").fill_null(""))
            .agg(pl.col(WEIGHT).sum().alias("users"))
            .with_columns(group.alias("group_users"))
            .sort("converted", "users", "path", descending=[False, True, False])
            .with_columns(pl.int_range(1, pl.len() + 1).over("converted").alias("rank"))
            .filter(pl.col("rank") <= top)
            .select(
                *("converted", "rank", "path", "users", "group_users"),
                ratio("users", "group_users").alias("share"),
            )
        )

    return _compared(events, window, goal, _shape(depth, groups, hide, item), ranked)


@metric("events", lookback_days=ALL_HISTORY)
def journey_items(
    events: pl.LazyFrame,
    window: Window,
    *,
    goal: Event = PAID,
    depth: int = 8,
    groups: Sequence[str] = (),
    hide: Sequence[str] = (),
    item: str | pl.Expr = EVENT,
) -> pl.LazyFrame:
    """Compare what people who reach a goal do on their way with what others do.

    Definition
    ----------
    People and ways as in `journeys`: an item counts once per person who has it among the
    first `depth` of theirs. The p value is that of `compare_rates` on the two shares, for one
    item looked at by itself; it says the groups differ, not that the item made them.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : `scan("events")`, all history; user_id_hash, event_name, timestamp and, if there,
        weight, event_id and whatever `item` and the goal read.

    Columns
    -------
    item : String, name of what was done.
    users_converted : Float64, people who reached the goal and did this before.
    users_others : Float64, people who did not reach it and did this.
    share_converted : Float64, share of those who reached the goal; null when nobody did.
    share_others : Float64, share of the others; null when there are none.
    p_value : Float64, 0 to 1; null when a group is empty.

    Errors
    ------
    MetricError : when an option is out of range, or the goal is no event.
    """

    def compared(people: pl.DataFrame, walk: pl.DataFrame, each: float) -> pl.LazyFrame:
        did = walk.lazy().select(KEY, "item").unique().join(people.lazy(), on=KEY, how="inner")
        of = {
            name: float(people.filter(converted=flag)[WEIGHT].sum())
            for flag, name in _GROUPS.items()
        }
        counts = [
            pl.col(WEIGHT).filter(pl.col("converted") == flag).sum().alias(f"users_{name}")
            for flag, name in _GROUPS.items()
        ]
        found = did.group_by("item").agg(counts).sort("item").collect(engine="in-memory")
        pairs = found.select("users_converted", "users_others").rows()
        p_values = [
            compare_rates(
                (a / each, of["converted"] / each), (b / each, of["others"] / each)
            ).p_value
            for a, b in pairs
        ]
        shares = [
            (pl.col(f"users_{name}") / (of[name] or None)).cast(pl.Float64).alias(f"share_{name}")
            for name in _GROUPS.values()
        ]
        p_value = pl.Series("p_value", p_values, dtype=pl.Float64).fill_nan(None)
        return found.with_columns(*shares, p_value).lazy()

    return _compared(events, window, goal, _shape(depth, groups, hide, item), compared)


@metric("events", lookback_days=ALL_HISTORY)
def journey_path_users(
    events: pl.LazyFrame,
    window: Window,
    *,
    path: str = "",
    converted: bool = True,
    goal: Event = PAID,
    depth: int = 8,
    groups: Sequence[str] = (),
    hide: Sequence[str] = (),
    item: str | pl.Expr = EVENT,
) -> pl.LazyFrame:
    """People who went one of the ways of `journeys`.

    Definition
    ----------
    Everybody of one group, those who reached the goal or the others, whose way with the same
    options is exactly `path`.

    On sampled data only the people whose ordinary events are kept are there.

    Source
    ------
    events : `scan("events")`, all history; user_id_hash, event_name, timestamp and, if there,
        weight, event_id and whatever `item` and the goal read.

    Columns
    -------
    user_id_hash : String, user.
    reached_at : Datetime, UTC; the goal in the window, null for the others.
    weight : Float64, people this one stands for.

    Errors
    ------
    MetricError : when an option is out of range, or the goal is no event.
    """

    def there(people: pl.DataFrame, walk: pl.DataFrame, _: float) -> pl.LazyFrame:
        return (
            people.lazy()
            .filter(pl.col("converted") == converted)
            .join(_ways(walk), on=KEY, how="left")
            .filter(pl.col("path").fill_null("") == path)
            .select(USER, "reached_at", WEIGHT)
            .sort(USER)
        )

    return _compared(events, window, goal, _shape(depth, groups, hide, item), there, USER)


_GROUPS: Final = {True: "converted", False: "others"}


def _ways(walk: pl.DataFrame) -> pl.LazyFrame:
    """Return each person's way as one text."""
    return walk.lazy().group_by(KEY).agg(pl.col("item").str.join(BETWEEN).alias("path"))


def _shape(depth: int, groups: Sequence[str], hide: Sequence[str], item: str | pl.Expr) -> Shape:
    """Return what a way looks like: all that a user did."""
    return Shape(None, depth, groups=groups, hide=hide, item=item, by="user")


def _compared(
    events: pl.LazyFrame,
    window: Window,
    goal: Event,
    shape: Shape,
    of: Callable[[pl.DataFrame, pl.DataFrame, float], pl.LazyFrame],
    *more: str,
) -> pl.LazyFrame:
    """Return what `of` makes of the people and their ways (KEY, item), in order.

    People have KEY, `more`, weight, converted and reached_at; `of` is also told how many
    people each of them stands for at least.
    """
    reached = event_predicate(goal).alias("goal")

    def step(
        rows: pl.DataFrame, ids: pl.LazyFrame, each: float, before: pl.DataFrame
    ) -> pl.LazyFrame:
        if before.height:
            rows = rows.filter(~pl.col(KEY).is_in(before[KEY].implode()))
        [reduction] = reduced(
            rows.lazy()
            .group_by(KEY)
            .agg(
                pl.col(TIMESTAMP).filter("goal").min().alias("reached_at"),
                pl.col(WEIGHT).min(),
                pl.col(more).first(),
            )
            .with_columns(pl.col("reached_at").is_not_null().alias("converted"))
        )
        people = reduction.collect(engine="in-memory")
        late = people.filter("converted").select(KEY, "reached_at")
        before_goal = pl.col("reached_at").is_null() | (pl.col(TIMESTAMP) < pl.col("reached_at"))
        ahead = rows.join(late, on=KEY, how="left", maintain_order="left").filter(before_goal)
        walk = walk_of(ahead.drop("reached_at", "goal", *more), ids.drop("goal", *more), shape)
        named = walk.rows.select(KEY, walk.named("item")).collect(engine="in-memory")
        return of(people, named, each)

    there = events.filter(earlier(window), pl.col(USER).is_not_null(), event_predicate(goal))
    before = there.select(user_key()).unique()
    return of_people(
        events, reading(window, shape, reached, *more), step, before, when=window.before()
    )


# --- the map ---------------------------------------------------------------------------------


@metric("events", lookback_days=ALL_HISTORY)
def journey_map(
    events: pl.LazyFrame,
    window: Window,
    *,
    milestones: Sequence[Event] = MILESTONES,
    silent_days: int = 14,
    active_events: Event = ACTIVE_EVENTS,
) -> pl.LazyFrame:
    """How far newcomers get, how long it takes them, and where they fall silent.

    Definition
    ----------
    Everybody whose first event ever lies inside `window`. They reach a milestone with their
    first such event up to the window's end that did not fail; "came back another day" with
    their first event of a later day. The first event is always the first milestone; each counts
    on its own, nobody has to take the others before. Everybody stands at the last milestone of the
    list that they reached. Whoever stands there is silent when neither their first event nor an
    active one lies in the window's last `silent_days` days, else still here; so nobody who
    came in those days is silent.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : `scan("events")`, all history; user_id_hash, event_name, timestamp, result and, if
        there, weight.

    Columns
    -------
    milestone : Int64, count; 0 is the first event.
    name : String, the milestone.
    users : Float64, people who reached it.
    rate : Float64, share of those with a first event; null when there are none.
    days_p50 : Float64, days; median from the first event to it, null when nobody did.
    furthest : Float64, people who stand at it: silent and here together.
    silent : Float64, people who stand at it and fell silent.
    here : Float64, people who stand at it and are still active.

    Errors
    ------
    MetricError : when a milestone is no event, there are more than 20, or `silent_days` is out of
        range.
    """
    asked = _milestones(milestones, silent_days)

    def step(days: pl.DataFrame, _: object, __: float) -> pl.LazyFrame:
        # once: every milestone looks at them
        people = _newcomers(days, window, asked, silent_days).collect(engine="in-memory").lazy()
        return _mapped(people, [FIRST_EVENT, *map(event_label, asked)])

    return _of_newcomers(events, window, asked, active_events, step)


@metric("events", lookback_days=ALL_HISTORY)
def journey_users(
    events: pl.LazyFrame,
    window: Window,
    *,
    milestones: Sequence[Event] = MILESTONES,
    silent_days: int = 14,
    active_events: Event = ACTIVE_EVENTS,
) -> pl.LazyFrame:
    """People behind the journey map: how far each one got, and whether they fell silent.

    Definition
    ----------
    A row per person `journey_map` counts with the same options.

    On sampled data only the people whose ordinary events are kept are there.

    Source
    ------
    events : `scan("events")`, all history; user_id_hash, event_name, timestamp, result and, if
        there, weight.

    Columns
    -------
    user_id_hash : String, user.
    first_seen : Datetime, UTC; the first event ever.
    milestone : Int64, count; the one they stand at, 0 is the first event.
    reached : List, count; every milestone they reached.
    last_active : Datetime, UTC; null without an active event.
    silent : Boolean, flag.
    weight : Float64, people this one stands for.

    Errors
    ------
    MetricError : when a milestone is no event, there are more than 20, or `silent_days` is out of
        range.
    """
    asked = _milestones(milestones, silent_days)

    def step(days: pl.DataFrame, _: object, __: float) -> pl.LazyFrame:
        people = _newcomers(days, window, asked, silent_days)
        reached = [
            pl.when(pl.col(f"at_{k}").is_not_null()).then(pl.lit(k, pl.Int64))
            for k in range(len(asked) + 1)
        ]
        return people.select(
            USER,
            pl.col("at_0").alias("first_seen"),
            "milestone",
            pl.concat_list(reached).list.drop_nulls().alias("reached"),
            *("last_active", "silent", WEIGHT),
        ).sort(USER)

    return _of_newcomers(events, window, asked, active_events, step, USER)


def _milestones(milestones: Sequence[Event], silent_days: int) -> list[Event]:
    """Return the milestones after the first event, checked."""
    if isinstance(milestones, str) or not 1 <= len(milestones) <= MILESTONES_MAX:
        raise MetricError(f"Name 1 to {MILESTONES_MAX} milestones, such as ('context_loaded',).")
    if isinstance(silent_days, bool) or not 1 <= silent_days <= SILENT_DAYS_MAX:
        raise MetricError(f"silent_days={silent_days!r}: use 1 to {SILENT_DAYS_MAX} days.")
    for one in milestones:
        event_predicate(one)
    return list(milestones)


def _of_newcomers(
    events: pl.LazyFrame,
    window: Window,
    milestones: Sequence[Event],
    active_events: Event,
    step: Callable[..., pl.LazyFrame],
    *more: str,
) -> pl.LazyFrame:
    """Return `step` of each newcomer's days: the first moment of every milestone, `at_0` of any.

    Whoever was there before the window is left out first: most rows are theirs.
    """
    somebody = pl.col(USER).is_not_null()
    done = pl.col("result").fill_null("success") == "success"

    before = events.filter(somebody, earlier(window)).select(user_key()).unique()

    def days(events: pl.LazyFrame) -> pl.LazyFrame:
        when = pl.col(TIMESTAMP)
        moments = {
            f"at_{number}": event_predicate(one) & done
            for number, one in enumerate(milestones, 1)
            if not _is_return(one)
        }
        return (
            events.filter(somebody, window.contains())
            .with_columns(user_key())
            .join(before, on=KEY, how="anti")
            .select(
                *(KEY, *more),
                weight_of(events),
                window.day().alias("day"),
                when.alias("at_0"),
                pl.when(event_predicate(active_events)).then(when).alias("last_active"),
                *(pl.when(is_one).then(when).alias(name) for name, is_one in moments.items()),
            )
            .group_by(KEY, *more, "day")
            .agg(pl.col(WEIGHT, "at_0", *moments).min(), pl.col("last_active").max())
        )

    return of_people(events, days, step, when=window.before())


def _is_return(milestone: Event) -> bool:
    return isinstance(milestone, str) and milestone == CAME_BACK


def _newcomers(
    days: pl.DataFrame,
    window: Window,
    milestones: Sequence[Event],
    silent_days: int,
) -> pl.LazyFrame:
    """Return each newcomer's moments, the milestone they stand at, and whether they are silent."""
    own = [USER] if USER in days.columns else []
    first_moments = {
        f"at_{k}": pl.col("at_0").filter(pl.col("day") > pl.col("day").min()).min()
        if _is_return(one)
        else pl.col(f"at_{k}").min()
        for k, one in enumerate(milestones, 1)
    }
    reached = [
        pl.when(pl.col(f"at_{k}").is_not_null()).then(pl.lit(k, pl.Int64))
        for k in range(len(milestones) + 1)
    ]
    silent_from = pl.lit(window.end - timedelta(days=silent_days))
    return (
        days.lazy()
        .group_by(KEY, *own)
        .agg(
            pl.col("at_0", WEIGHT).min(),
            pl.col("last_active").max(),
            *(moment.alias(name) for name, moment in first_moments.items()),
        )
        .with_columns(
            pl.max_horizontal(reached).alias("milestone"),
            pl.max_horizontal("last_active", "at_0").alias("last_sign"),
        )
        .with_columns((window.day("last_sign") < silent_from).alias("silent"))
    )


def _mapped(people: pl.LazyFrame, names: Sequence[str]) -> pl.LazyFrame:
    """Return the columns of `journey_map` out of the newcomers."""
    moments = pl.concat(
        [
            people.filter(pl.col(f"at_{k}").is_not_null()).select(
                pl.lit(k, pl.Int64).alias("milestone"),
                WEIGHT,
                ((pl.col(f"at_{k}") - pl.col("at_0")).dt.total_milliseconds() / 86_400_000).alias(
                    "days"
                ),
            )
            for k in range(len(names))
        ]
    )
    stands = people.group_by("milestone").agg(
        pl.col(WEIGHT).sum().alias("furthest"),
        pl.when("silent").then(WEIGHT).sum().alias("silent"),
    )
    counts = ("users", "furthest", "silent")
    return (
        pl.LazyFrame(
            {"milestone": range(len(names)), "name": names},
            schema={"milestone": pl.Int64, "name": pl.String},
        )
        .join(
            moments.group_by("milestone").agg(pl.col(WEIGHT).sum().alias("users")),
            on="milestone",
            how="left",
        )
        .join(
            weighted_quantile(moments, "days", 0.5, by=["milestone"], name="days_p50"),
            on="milestone",
            how="left",
        )
        .join(stands, on="milestone", how="left")
        .with_columns(pl.col(counts).fill_null(0.0))
        .sort("milestone")
        .with_columns(pl.col("users").first().alias("first"))
        .select(
            *("milestone", "name", "users"),
            ratio("users", "first").alias("rate"),
            *("days_p50", "furthest", "silent"),
            (pl.col("furthest") - pl.col("silent")).alias("here"),
        )
    )
