"""How far people get along a path of steps, how fast, and who leaves where.

Every run is found by position: for each row the next row that matches a step is known after one
backward fill, so following a run is a chain of look-ups and no row is visited in Python. Each
look-up is a frame of its own: in one plan, each would compute all those before it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.keys import SMALL_GROUP_USERS
from data_access.metrics.breakdown import GROUP, GROUPS_MAX, NO_VALUE, OTHER, column_of
from data_access.metrics.common import (
    EVENT,
    EVENT_ID,
    KEY,
    TIMESTAMP,
    USER,
    WEIGHT,
    MetricError,
    duration,
    event_label,
    event_predicate,
    has_column,
    in_memory,
    in_time_order,
    of_people,
    one_of,
    over_calendar,
    quantile_of,
    user_key,
    weight_of,
)
from data_access.metrics.properties import property_of
from data_access.metrics.registry import metric
from data_access.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from data_access.metrics.common import Event

__all__ = ["funnel", "funnel_by", "funnel_histogram", "funnel_trend", "funnel_users"]

ORDERS: Final = ("ordered", "strict", "unordered")
ENTRIES: Final = ("best", "first")
STEPS_MAX: Final = 20
BINS_MAX: Final = 200
BIN_SECONDS_MIN: Final = 60  # how wide a bin is when everybody took equally long

Exclusion = tuple["Event", int, int]  # the event, the step it comes after, the step before which


@metric("events")
def funnel(
    events: pl.LazyFrame,
    window: Window,
    *,
    steps: Sequence[Event],
    within: str | None = "14d",
    order: str = "ordered",
    entry: str = "best",
    exclude: Sequence[Exclusion] = (),
    optional: Sequence[int] = (),
) -> pl.LazyFrame:
    """Users who reach each step, and the time it takes them.

    Definition
    ----------
    Taken over the events inside `window`, each user's in order of time, then event_id. A run
    starts at an event of step 0 and goes to the next later row of step 1, from there to the
    next of step 2, and so on; every step is its own event and lies at most `within` after the
    run's first one (None: no limit). Equal times convert in row order. With `entry="best"` a
    user's run is the one that gets furthest, the earliest of equals, so a repeated first step
    never restarts a run that converts as well; with "first" it is the one from the user's
    first entry.

    `order="strict"`: each step has to be the user's very next event, of any name.
    `order="unordered"`: a run starts at an event of any step; step k shows who has events of
    k + 1 different steps within the limit. One event that matches several steps counts for
    each of them.

    An exclusion `(event, after, before)` removes a user from the whole funnel when the event
    follows the step `after` of the user's run before its step `before` or, if that is not
    reached, follows within the limit. In an unordered funnel it takes out that run alone, and
    the user counts with the best of the others, if there is one.

    `optional` numbers steps that nobody has to take; the first one is always required. No step
    waits for them and they have no say in which run counts. Once it is known, an optional step
    is reached by an event of it after the required step before it, and before the next required
    step that the run reaches, within the limit. Several optional steps side by side are looked
    for each on its own, so in any order. A rate from the step before goes by required steps.

    A user counts in a step at the smallest weight among the run's events so far.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : `scan("events")`; user_id_hash, event_name, timestamp and, if there, weight and
        event_id.

    Columns
    -------
    step : Int64, count; 0 is the entry.
    event_name : String, name of the step; in an unordered funnel how many steps.
    users : Float64, people who reached at least this step.
    rate_from_first : Float64, share of the users of step 0; null when nobody entered.
    rate_from_previous : Float64, share of the users of the last required step before; null
        without any.
    seconds_p50 : Float64, seconds; median from the entry to this step, null when nobody did.

    Errors
    ------
    MetricError : when an option is unknown, there is no step or more than 20, an exclusion does
        not lie between two required steps, or `optional` does not fit the steps or the order.
    """
    asked = _Asked(steps, within, order, entry, exclude, optional)
    return in_memory(_run_of_each(events, window, asked), lambda run: _steps_reached(run, asked))


def _steps_reached(run: pl.DataFrame, asked: _Asked) -> pl.LazyFrame:
    """Return the columns of `funnel` out of each user's run."""
    users = [pl.col(f"weight_{k}").sum() for k in asked.numbers]
    entered = pl.col("users").first()
    before = pl.col("users").gather([asked.before(k) for k in asked.numbers])
    return (
        run.lazy()
        .select(
            pl.int_ranges(pl.lit(0), len(asked.steps)).alias("step"),
            pl.lit(pl.Series([asked.labels])).first().alias(EVENT),
            pl.concat_list(users).alias("users"),
            pl.concat_list(_medians(run, asked)).alias("seconds_p50"),
        )
        .explode("step", EVENT, "users", "seconds_p50")
        .sort("step")
        .select(
            "step",
            EVENT,
            "users",
            pl.when(entered > 0).then(pl.col("users") / entered).alias("rate_from_first"),
            pl.when(before > 0).then(pl.col("users") / before).alias("rate_from_previous"),
            "seconds_p50",
        )
    )


def _medians(run: pl.DataFrame, asked: _Asked) -> list[pl.Expr]:
    """Return the median seconds to each step; the native one, unless somebody is sampled."""
    weights = run.select(pl.col(f"weight_{k}") for k in asked.numbers)
    if all(weight.drop_nulls().eq(1).all() for weight in weights.iter_columns()):
        return [pl.col(f"seconds_{k}").quantile(0.5, "linear") for k in asked.numbers]
    return [quantile_of(pl.col(f"seconds_{k}"), pl.col(f"weight_{k}"), 0.5) for k in asked.numbers]


@metric("events")
def funnel_by(
    events: pl.LazyFrame,
    window: Window,
    *,
    by: str,
    steps: Sequence[Event],
    most: int = 5,
    users_min: int = SMALL_GROUP_USERS,
    within: str | None = "14d",
    order: str = "ordered",
    entry: str = "best",
    exclude: Sequence[Exclusion] = (),
    optional: Sequence[int] = (),
) -> pl.LazyFrame:
    """Users who reach each step of a funnel, by what was said when they entered.

    Definition
    ----------
    As `funnel`, each user in one group: that of the first event of the run that counts. Somebody
    who entered on the free tier and pays at the end is in "free", and the groups add up to the
    whole. The `most` groups with most people stand on their own; the rest, and every group of
    fewer than `users_min` people, is "other", which is left out while it has fewer itself.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : `scan("events")`; user_id_hash, event_name, timestamp, what `by` reads and, if
        there, weight and event_id.

    Columns
    -------
    group : String, value of `by`: tier, channel, release, project, a column or a metadata key.
    step : Int64, count; 0 is the entry.
    event_name : String, name of the step; in an unordered funnel how many steps.
    users : Float64, people of the group who reached at least this step.
    rate_from_first : Float64, share of the group's users of step 0.
    rate_from_previous : Float64, share of the group's users of the last required step before;
        null without any.
    seconds_p50 : Float64, seconds; median from the entry to this step, null when nobody did.

    Errors
    ------
    MetricError : as `funnel`, and when `most` is out of range or `by` can be no metadata key.
    """
    if isinstance(most, bool) or not 1 <= most <= GROUPS_MAX:
        raise MetricError(f"most={most!r} is out of range. Use 1 to {GROUPS_MAX} groups.")
    asked = _Asked(steps, within, order, entry, exclude, optional)
    said = property_of(events, column_of(by)).cast(pl.String).fill_null("")
    named = pl.when(said == "").then(pl.lit(NO_VALUE)).otherwise(said).alias(GROUP)
    run = _run_of_each(events.with_columns(named), window, asked, GROUP)
    return in_memory(run, lambda run: _reached_by_group(run, asked, most, users_min))


def _reached_by_group(run: pl.DataFrame, asked: _Asked, most: int, users_min: int) -> pl.LazyFrame:
    """Return the columns of `funnel_by`: the largest groups, and the rest as one."""
    people = pl.col("weight_0").sum()
    sizes = run.group_by(GROUP).agg(people).sort("weight_0", GROUP, descending=[True, False])
    own = sizes.filter(pl.col("weight_0") >= users_min)[GROUP].head(most)
    label = pl.when(pl.col(GROUP).is_in(own.implode())).then(GROUP).otherwise(pl.lit(OTHER))
    parts = [
        _steps_reached(rows, asked).select(pl.lit(group).alias(GROUP), pl.all())
        for (group,), rows in run.with_columns(label.alias(GROUP)).group_by(GROUP)
        if rows["weight_0"].sum() >= users_min
    ]
    none = _steps_reached(run.clear(), asked).select(pl.lit("").alias(GROUP), pl.all()).clear()
    return pl.concat([none, *parts]).sort(GROUP, "step")


@metric("events")
def funnel_users(
    events: pl.LazyFrame,
    window: Window,
    *,
    steps: Sequence[Event],
    within: str | None = "14d",
    order: str = "ordered",
    entry: str = "best",
    exclude: Sequence[Exclusion] = (),
    optional: Sequence[int] = (),
) -> pl.LazyFrame:
    """Users behind a funnel: how far each one got, and when.

    Definition
    ----------
    One row per user who entered and was not excluded, for the run that `funnel` counts.
    Who left after step k has `steps_reached` k + 1; who converted has as many as there are
    steps, not counting optional ones at the end.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : `scan("events")`; user_id_hash, event_name, timestamp and, if there, weight and
        event_id.

    Columns
    -------
    user_id_hash : String, user.
    steps_reached : Int64, count; steps up to the last required one reached, 1 is the entry
        alone.
    entered_at : Datetime, UTC; the first event of the run.
    seconds : List, seconds from the entry to each step up to the last one reached; the first
        is 0, an optional step left out is null.
    weight : Float64, people this user stands for at the last required step reached.

    Errors
    ------
    MetricError : when an option is unknown, there is no step or more than 20, an exclusion does
        not lie between two required steps, or `optional` does not fit the steps or the order.
    """
    asked = _Asked(steps, within, order, entry, exclude, optional)
    run = _run_of_each(events, window, asked, USER)
    return run.select(
        USER,
        pl.col("reached").alias("steps_reached"),
        "entered_at",
        pl.concat_list(f"seconds_{k}" for k in asked.numbers)
        .list.head(_furthest(asked.numbers))
        .alias("seconds"),
        pl.min_horizontal(f"weight_{k}" for k in asked.required).alias(WEIGHT),
    ).sort(USER)


def _furthest(numbers: Sequence[int]) -> pl.Expr:
    """Return how many steps there are up to the last one reached, optional or not."""
    return pl.max_horizontal(
        pl.when(pl.col(f"seconds_{k}").is_not_null()).then(k + 1) for k in numbers
    )


@metric("events")
def funnel_trend(
    events: pl.LazyFrame,
    window: Window,
    *,
    steps: Sequence[Event],
    every: str = "1d",
    from_step: int = 0,
    to_step: int | None = None,
    within: str | None = "14d",
    order: str = "ordered",
    entry: str = "best",
    exclude: Sequence[Exclusion] = (),
    optional: Sequence[int] = (),
) -> pl.LazyFrame:
    """Users who enter a funnel and convert, by the day, week or month they entered.

    Definition
    ----------
    As `funnel`, but each period is judged on the runs that start in it: a user counts once
    per period of entry, with the run from there that gets furthest, and the later steps may
    fall in later periods of the window; late entries have had less time to convert. The window
    is widened to whole periods. With
    `entry="first"` only the user's first entry in the window counts, in its period.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : `scan("events")`; user_id_hash, event_name, timestamp and, if there, weight and
        event_id.

    Columns
    -------
    period : Date, day or first day of the period of step 0, in the window's timezone.
    users : Float64, people who reached `from_step`.
    converted : Float64, people who reached `to_step` (the last required one unless given).
    rate : Float64, share of `users` that converted; null when there are none.
    complete : Boolean, flag; whether the period ended inside the window.
    settled : Boolean, flag; whether everybody who entered had the whole limit inside the window;
        never without a limit.
    seconds_p50 : Float64, seconds; median from `from_step` to `to_step`, null when nobody
        converted.

    Errors
    ------
    MetricError : when an option is unknown, there is no step or more than 20, the steps to
        compare are not in order or start with an optional one, an exclusion does not lie between
        two required steps, or `optional` does not fit the steps or the order.
    WindowError : when `every` is no period.
    """
    asked = _Asked(steps, within, order, entry, exclude, optional)
    last = _last_step(asked, from_step, to_step)
    wide = window.widened(every)
    period = wide.period("entered_at", every=every).alias("period")
    taken = pl.col(f"seconds_{last}") - pl.col(f"seconds_{from_step}")
    counted = (
        _run_of_each(events, wide, asked, period=period)
        .group_by("period")
        .agg(
            pl.col(f"weight_{from_step}").sum().alias("users"),
            pl.col(f"weight_{last}").sum().alias("converted"),
            quantile_of(taken, pl.col(f"weight_{last}"), 0.5).alias("seconds_p50"),
        )
    )
    rate = pl.when(pl.col("users") > 0).then(pl.col("converted") / pl.col("users"))
    calendar = window.calendar(every).with_columns(_settled(window, every, asked))
    return (
        over_calendar(calendar, counted, "users", "converted")
        .join(calendar.drop("complete"), on="period")
        .join(counted.select("period", "seconds_p50"), on="period", how="left")
        .select(
            *("period", "users", "converted"),
            rate.alias("rate"),
            *("complete", "settled", "seconds_p50"),
        )
        .sort("period")
    )


def _settled(window: Window, every: str, asked: _Asked) -> pl.Series:
    """Return, per period, whether the limit of its latest entry lies inside the window."""
    starts = window.periods(every)
    ends = [
        Window(start, window.period_end(start, every=every), timezone=window.timezone).closes_at
        for start in starts
    ]
    limit = asked.limit
    settled = [limit is not None and end + limit <= window.closes_at for end in ends]
    return pl.Series("settled", settled, dtype=pl.Boolean)


@metric("events")
def funnel_histogram(
    events: pl.LazyFrame,
    window: Window,
    *,
    steps: Sequence[Event],
    bins: int = 20,
    from_step: int = 0,
    to_step: int | None = None,
    within: str | None = "14d",
    order: str = "ordered",
    entry: str = "best",
    exclude: Sequence[Exclusion] = (),
    optional: Sequence[int] = (),
) -> pl.LazyFrame:
    """Users by the time they took from one step of a funnel to a later one.

    Definition
    ----------
    Over the runs that `funnel` counts and that reach `to_step`. Bins are equally wide whole
    seconds from the shortest time on: the range divided by `bins`, rounded up, or 60 seconds
    when everybody took equally long. There is one bin more than asked for, so that the longest
    time lies inside.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : `scan("events")`; user_id_hash, event_name, timestamp and, if there, weight and
        event_id.

    Columns
    -------
    seconds_from : Float64, seconds; the shortest time in the bin.
    seconds_to : Float64, seconds; the first time after it.
    users : Float64, people; no rows at all when nobody converted.

    Errors
    ------
    MetricError : when an option is unknown, there is no step or more than 20, the steps to
        compare are not in order or start with an optional one, `bins` is out of range, an
        exclusion does not lie between two required steps, or `optional` does not fit the steps
        or the order.
    """
    asked = _Asked(steps, within, order, entry, exclude, optional)
    last = _last_step(asked, from_step, to_step)
    if isinstance(bins, bool) or not 1 <= bins <= BINS_MAX:
        raise MetricError(f"bins={bins!r} is out of range. Use a whole number up to {BINS_MAX}.")
    taken = (
        _run_of_each(events, window, asked)
        .filter(pl.col(f"weight_{last}").is_not_null())
        .select(
            (pl.col(f"seconds_{last}") - pl.col(f"seconds_{from_step}")).alias("seconds"),
            pl.col(f"weight_{last}").alias(WEIGHT),
        )
    )
    shortest, longest = pl.col("seconds").min(), pl.col("seconds").max()
    width = ((longest - shortest) / bins).ceil()
    width = pl.when(width > 0).then(width).otherwise(float(BIN_SECONDS_MIN))
    numbers = pl.int_ranges(pl.lit(0), bins + 1)
    weights = [pl.col(WEIGHT).filter(pl.col("bin") == k).sum() for k in range(bins + 1)]
    start = pl.col("shortest") + pl.col("number") * pl.col("width")
    return (
        taken.with_columns(((pl.col("seconds") - shortest) // width).cast(pl.Int64).alias("bin"))
        .select(
            shortest.alias("shortest"),
            width.alias("width"),
            numbers.alias("number"),
            pl.concat_list(weights).alias("users"),
        )
        .explode("number", "users")
        .filter(pl.col("shortest").is_not_null())
        .select(start.alias("seconds_from"), (start + pl.col("width")).alias("seconds_to"), "users")
        .sort("seconds_from")
    )


# --- options ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options of one funnel, checked."""

    steps: Sequence[Event]
    within: str | None
    order: str
    entry: str
    exclude: Sequence[Exclusion]
    optional: Sequence[int]

    def __post_init__(self) -> None:
        one_of("order", self.order, ORDERS)
        one_of("entry", self.entry, ENTRIES)
        if isinstance(self.steps, str | pl.Expr) or not 1 <= len(self.steps) <= STEPS_MAX:
            raise MetricError(
                f"steps={self.steps!r} is not a list of 1 to {STEPS_MAX} steps. Pass event names "
                "or pl.Expr predicates in order, such as ['session_started', 'context_loaded']."
            )
        _check_optional(self.optional, len(self.steps), self.order)
        for exclusion in self.exclude:
            _check_exclusion(exclusion, self.required)

    @property
    def numbers(self) -> range:
        return range(len(self.steps))

    @property
    def required(self) -> list[int]:
        return [k for k in self.numbers if k not in self.optional]

    def before(self, k: int) -> int:
        """Return the required step before step `k`; the entry itself for the entry."""
        return max((j for j in self.required if j < k), default=0)

    def after(self, k: int) -> int | None:
        """Return the next required step after step `k`; None: there is none."""
        return min((j for j in self.required if j > k), default=None)

    @property
    def limit(self) -> timedelta | None:
        return duration(self.within)

    @property
    def labels(self) -> list[str]:
        if self.order == "unordered":
            return [f"{k + 1} of {len(self.steps)} steps" for k in self.numbers]
        return [event_label(step) for step in self.steps]


def _last_step(asked: _Asked, from_step: int, to_step: int | None) -> int:
    last = asked.required[-1] if to_step is None else to_step
    if 0 <= from_step <= last < len(asked.steps) and from_step in asked.required:
        return last
    raise MetricError(
        f"from_step={from_step} and to_step={to_step} do not fit {len(asked.steps)} steps. "
        f"Steps count from 0 to {len(asked.steps) - 1}, and from_step comes first and is required."
    )


def _check_optional(optional: Sequence[int], steps: int, order: str) -> None:
    if not optional:
        return
    if order != "ordered":
        raise MetricError(f"optional={optional!r} needs order='ordered', not {order!r}.")
    if not isinstance(optional, tuple | list) or not all(
        isinstance(k, int) and not isinstance(k, bool) and 0 < k < steps for k in optional
    ):
        raise MetricError(
            f"optional={optional!r} does not fit {steps} steps. List the numbers of steps, from 1 "
            f"to {steps - 1}; the first step, 0, is always required."
        )


def _check_exclusion(exclusion: Exclusion, required: Sequence[int]) -> None:
    if isinstance(exclusion, tuple | list) and len(exclusion) == 3:  # noqa: PLR2004 -- a triple
        _, after, before = exclusion
        if after in required and before in required and after < before:
            return
    raise MetricError(
        f"{exclusion!r} is not an exclusion. Write (event, after_step, before_step) with "
        f"after_step < before_step, both numbers of required steps: {list(required)}."
    )


# --- runs ------------------------------------------------------------------------------------


def _run_of_each(
    events: pl.LazyFrame, window: Window, asked: _Asked, *keep: str, period: pl.Expr | None = None
) -> pl.LazyFrame:
    """Return the run of each user that counts; with `period`, of each user and period of entry."""

    def marked(events: pl.LazyFrame) -> pl.LazyFrame:
        return _marked(events, window, asked, *keep)

    def run(rows: pl.DataFrame, ids: pl.LazyFrame, _: float) -> pl.LazyFrame:
        ordered = in_time_order(rows, ids).collect(engine="in-memory")
        follow = _any_order if asked.order == "unordered" else _one_order
        runs = follow(ordered, asked).with_columns(_reached(asked).alias("reached"))
        if period is None:
            chosen = _one_run(runs, [KEY])
        else:
            chosen = _one_run(runs.with_columns(period), [KEY, "period"])
        return _spent(chosen, ordered[WEIGHT], asked)

    return of_people(events, marked, run, when=window.contains())


def _reached(asked: _Asked) -> pl.Expr:
    """Return how many steps a run has up to the last required one it reaches."""
    return pl.max_horizontal(
        pl.when(_p(k).is_not_null()).then(pl.lit(k + 1, pl.Int64)) for k in asked.required
    )


def _one_run(runs: pl.LazyFrame, group: Sequence[str]) -> pl.LazyFrame:
    """Keep the run of each group that counts: the furthest, the earliest of equals; or none."""
    ahead = pl.col("reached") * (pl.col("at").max() + 1) - pl.col("at")
    return (
        runs.with_columns(ahead.alias("ahead"))
        .filter(pl.col("ahead") == pl.col("ahead").max().over(group))
        .filter(~pl.col("excluded"))
    )


def _spent(runs: pl.LazyFrame, weights: pl.Series, asked: _Asked) -> pl.LazyFrame:
    """Add, for each step k, seconds_k and weight_k, null when it is not reached.

    An optional step is weighed with the required ones before it.
    """
    positions = runs.collect(engine="in-memory")
    own = [weights.gather(positions[f"p_{k}"]).alias(f"w_{k}") for k in asked.numbers]

    def lightest(k: int) -> pl.Expr:
        return pl.min_horizontal(f"w_{j}" for j in (*asked.required, k) if j <= k)

    return (
        positions.with_columns(own)
        .lazy()
        .with_columns(
            *(
                pl.when(_p(k).is_not_null())
                .then((pl.col(f"t_{k}") - pl.col("entered_at")).dt.total_milliseconds() / 1000)
                .alias(f"seconds_{k}")
                for k in asked.numbers
            ),
            *(
                pl.when(_p(k).is_not_null()).then(lightest(k)).alias(f"weight_{k}")
                for k in asked.numbers
            ),
        )
        .drop(f"{part}_{k}" for part in "ptw" for k in asked.numbers)
    )


def _p(k: int) -> pl.Expr:
    """Return the position of step `k` in the run that starts at this row; null: not reached."""
    return pl.col(f"p_{k}")


def _marked(events: pl.LazyFrame, window: Window, asked: _Asked, *keep: str) -> pl.LazyFrame:
    """Return the rows that matter, with what each one is.

    Columns: KEY, `keep`, timestamp, event_id (if any), weight, is_k (it matches step k) and
    out_i (it matches exclusion i).
    """
    is_step = [event_predicate(step).alias(f"is_{k}") for k, step in enumerate(asked.steps)]
    is_out = [event_predicate(out[0]).alias(f"out_{i}") for i, out in enumerate(asked.exclude)]
    flags = [*is_step, *is_out]
    rows = events.filter(window.contains(), pl.col(USER).is_not_null())
    if not all(
        isinstance(step, str) for step in (*asked.steps, *(out[0] for out in asked.exclude))
    ):
        # looked at once, for a condition may have to parse; names are cheaper to look at twice
        rows, flags = rows.with_columns(flags), [pl.col(one.meta.output_name()) for one in flags]
    if asked.order != "strict":  # there, what lies between two steps matters too
        rows = rows.filter(pl.any_horizontal(flags))
    tie = [EVENT_ID] if has_column(events, EVENT_ID) else []
    return rows.select(user_key(), *keep, TIMESTAMP, *tie, weight_of(events), *flags)


_AT: Final = pl.int_range(pl.len(), dtype=pl.Int64)  # a row's position
_OF_USER: Final = pl.col(KEY)
_BEGIN: Final = (
    pl.when(_OF_USER.ne_missing(_OF_USER.shift(1))).then(_AT).forward_fill()
)  # the position of its user's first row
_END: Final = (
    pl.when(_OF_USER.ne_missing(_OF_USER.shift(-1))).then(_AT).backward_fill()
)  # and of the last one


def _next(flag: str, *, order: str = "ordered") -> pl.Expr:
    """Return the position of the user's next later row with the flag; of the very next if strict.

    Null when there is none.
    """
    if order == "strict":
        return pl.when(pl.col(flag).shift(-1) & (_AT < _END)).then(_AT + 1)
    position = pl.when(flag).then(_AT).backward_fill().shift(-1)
    return pl.when(position <= _END).then(position)


def _entries(entered: pl.Expr, asked: _Asked) -> pl.Expr:
    """Return whether a run starts here: at every entry, or at each user's first."""
    if asked.entry == "best":
        return entered
    earlier = pl.when(entered).then(_AT).forward_fill().shift(1)
    return entered & (earlier.is_null() | (earlier < _BEGIN))


def _late(time: str, since: str, asked: _Asked) -> pl.Expr:
    """Return whether one time lies further than the limit after another."""
    if asked.limit is None:
        return pl.lit(value=False)
    return pl.col(time) - pl.col(since) > asked.limit


def _one_order(rows: pl.DataFrame, asked: _Asked) -> pl.LazyFrame:
    """Return a row per run through the steps in their order: p_k, t_k and whether it is excluded.

    It follows runs without the limit: a step too late has no later step in time, so the limit
    can cut the run afterwards.
    """
    following = (
        rows.lazy()
        .select(
            _entries(pl.col("is_0"), asked).alias("entered"),
            *(_next(f"is_{k}", order=asked.order).alias(f"is_{k}") for k in asked.numbers[1:]),
            *(_next(f"out_{i}").alias(f"out_{i}") for i in range(len(asked.exclude))),
        )
        .collect(engine="in-memory")
    )
    follow = [following["entered"].arg_true().cast(pl.Int64)]
    for k in asked.numbers[1:]:
        follow.append(following[f"is_{k}"].gather(follow[asked.before(k)]))
    strikes = [
        following[f"out_{i}"].gather(follow[after]) for i, (_, after, _) in enumerate(asked.exclude)
    ]
    times = rows[TIMESTAMP]
    runs = rows.select(pl.exclude(TIMESTAMP, WEIGHT, "^is_.*$", "^out_.*$"))[follow[0]]
    return _in_limit(
        runs.with_columns(
            *(at.alias(f"q_{k}") for k, at in enumerate(follow)),
            *(times.gather(at).alias(f"t_{k}") for k, at in enumerate(follow)),
            *(at.alias(f"x_{i}") for i, at in enumerate(strikes)),
            *(times.gather(at).alias(f"tx_{i}") for i, at in enumerate(strikes)),
            follow[0].alias("at"),
            times.gather(follow[0]).alias("entered_at"),
        ).lazy(),
        asked,
    )


def _in_limit(runs: pl.LazyFrame, asked: _Asked) -> pl.LazyFrame:
    """Cut runs at the limit, take optional steps that lie in their place, and mark exclusions."""
    soon = {k: pl.when(~_late(f"t_{k}", "t_0", asked)).then(f"q_{k}") for k in asked.numbers}
    runs = runs.with_columns(soon[k].alias(f"p_{k}") for k in asked.required)
    for k in asked.optional:
        after = asked.after(k)
        in_place = (
            pl.lit(value=True)
            if after is None
            else _p(after).is_null() | (pl.col(f"q_{k}") < _p(after))
        )
        runs = runs.with_columns(
            pl.when(in_place & _p(asked.before(k)).is_not_null()).then(soon[k]).alias(f"p_{k}")
        )
    hits = [hit.is_not_null() for hit in _hits(asked)]
    excluded = pl.any_horizontal(*hits) if hits else pl.lit(value=False)
    return runs.with_columns(excluded.alias("excluded"))


def _any_order(ordered: pl.DataFrame, asked: _Asked) -> pl.LazyFrame:
    """Return a row per run through the steps in any order, those that are excluded left out."""
    rows = ordered.lazy()
    entered = _entries(pl.any_horizontal(f"is_{k}" for k in asked.numbers), asked)
    first = [
        pl.when(f"is_{k}").then(_AT).otherwise(_next(f"is_{k}")).alias(f"first_{k}")
        for k in asked.numbers
    ]
    rows = rows.with_columns(_AT.alias("at"), entered.alias("entered"), *first)
    reached = [pl.col(f"first_{k}") for k in asked.numbers]
    if asked.limit is not None:
        now = pl.col(TIMESTAMP)
        reached = [pl.when(now.gather(at) - now <= asked.limit).then(at) for at in reached]
    rows = rows.with_columns(
        pl.concat_list(reached).list.sort(nulls_last=True).alias("run"),
        pl.col(TIMESTAMP).alias("entered_at"),
    ).with_columns(pl.col("run").list.get(k).alias(f"p_{k}") for k in asked.numbers)
    rows = rows.with_columns(
        *(pl.col(TIMESTAMP).gather(_p(k)).alias(f"t_{k}") for k in asked.numbers),
        *(
            _next(f"out_{i}").gather(_p(after)).alias(f"x_{i}")
            for i, (_, after, _) in enumerate(asked.exclude)
        ),
    )
    if asked.exclude:
        struck = [
            pl.col(TIMESTAMP).gather(pl.col(f"x_{i}")).alias(f"tx_{i}")
            for i in range(len(asked.exclude))
        ]
        met = pl.any_horizontal(hit.is_not_null() for hit in _hits(asked))
        rows = rows.with_columns(struck).with_columns(pl.col("entered") & ~met)
    return rows.filter("entered").with_columns(pl.lit(value=False).alias("excluded"))


def _hits(asked: _Asked) -> list[pl.Expr]:
    """Return, per exclusion, the position where it strikes the run; null: it does not."""
    hits: list[pl.Expr] = []
    for i, (_, after, before) in enumerate(asked.exclude):
        struck = pl.col(f"x_{i}")
        soon = _p(after).is_not_null() & ~_late(f"tx_{i}", f"t_{after}", asked)
        hits.append(
            pl.when(pl.when(_p(before).is_null()).then(soon).otherwise(struck < _p(before))).then(
                struck
            )
        )
    return hits
