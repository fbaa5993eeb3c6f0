"""What several metrics need: event predicates, durations, weights, and one error for bad options.

It builds expressions and plans. What has to look at rows before it can plan further, does so
inside the plan (`in_memory`), so a metric stays a function from lazy frames to lazy frames.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

import polars as pl

from data_access.errors import MetricError
from data_access.schema import SCHEMAS, TIME
from ingest.vocabulary import share_of

if TYPE_CHECKING:
    from data_access.window import Window

__all__ = [
    "EVENT",
    "EVENT_ID",
    "KEY",
    "TIMESTAMP",
    "USER",
    "WEIGHT",
    "Chosen",
    "Event",
    "MetricError",
    "as_happened",
    "completed",
    "distinct_of",
    "duration",
    "earlier",
    "event_label",
    "event_predicate",
    "has_column",
    "in_memory",
    "in_order",
    "in_time_order",
    "keep_rates",
    "of_people",
    "of_same_time",
    "one_of",
    "over_calendar",
    "packed",
    "periods_between",
    "person_periods",
    "qualifying",
    "quantile_of",
    "reduced",
    "representative",
    "the_day",
    "unpacked",
    "unsampled",
    "user_key",
    "user_weights",
    "users_of",
    "weight_of",
    "weighted",
    "weighted_quantile",
]

USER: Final = "user_id_hash"
EVENT: Final = "event_name"
TIMESTAMP: Final = "timestamp"
EVENT_ID: Final = "event_id"
WEIGHT: Final = "weight"
KEY: Final = "_user"

# an event name, a predicate, several of either (any of them), or None for any event
Event: TypeAlias = str | pl.Expr | Sequence[str | pl.Expr] | None

DURATION_MAX: Final = timedelta(days=366 * 50)  # as long as the longest window
_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_DURATION: Final = re.compile(r"(?:\d{1,9}(?:ms|s|m|h|d|w))+")
_DURATION_PART: Final = re.compile(r"(\d{1,9})(ms|s|m|h|d|w)")


# --- options ---------------------------------------------------------------------------------


def duration(text: str | timedelta | None) -> timedelta | None:
    """Return the length of time `text` names ("30m", "14d", "1h30m"); None means no limit.

    A day is 24 hours and a week 7 of those: a length of time, not a calendar.

    Raises
    ------
    MetricError : when the text is no such length, or longer than DURATION_MAX.
    """
    if text is None or isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        raise MetricError(
            f"{text!r} is not a duration. Write a whole number and a unit out of "
            f"{', '.join(_UNITS)}, such as '30m' or '14d', or None for no limit."
        )
    try:
        total = sum(
            (int(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text)),
            timedelta(),
        )
    except OverflowError:
        total = timedelta.max
    if total > DURATION_MAX:
        raise MetricError(f"{text!r} is longer than {DURATION_MAX.days} days. Use None instead.")
    return total


def one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    """Return `value` when it is allowed for the option `name`.

    Raises
    ------
    MetricError : when it is not.
    """
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise MetricError(f"{name}={value!r} is unknown. Use one of {choices}.")
    return value


def the_day(value: date | str) -> date:
    """Return a day given as a date or as text such as "2026-10-12".

    Raises
    ------
    MetricError : when the text names no day.
    """
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise MetricError(f"{value!r} is no day. Write it as in '2026-10-12'.") from None


def event_predicate(event: Event) -> pl.Expr:
    """Return the predicate "this row is such an event"; it is never null.

    Parameters
    ----------
    event : an event name, a boolean `pl.Expr`, several of either (any of them matches), or
        None for any event.

    Raises
    ------
    MetricError : when it is none of these, or an empty list.
    """
    if event is None:
        return pl.lit(value=True)
    several = [event] if isinstance(event, str | pl.Expr) else list(event)
    if not several:
        raise MetricError("No event is named. Name at least one, or pass None for any event.")
    wrong = [one for one in several if not isinstance(one, str | pl.Expr)]
    if wrong:
        raise MetricError(
            f"{wrong[0]!r} is not an event. Use an event name, a pl.Expr predicate, or None."
        )
    names = [str(one) for one in several if isinstance(one, str)]
    tests = [one for one in several if isinstance(one, pl.Expr)]
    if len(names) == 1:
        tests.insert(0, pl.col(EVENT) == names[0])
    elif names:
        tests.insert(0, pl.col(EVENT).is_in(names))
    matched = tests[0] if len(tests) == 1 else pl.any_horizontal(*tests)
    return matched.fill_null(value=False)


def event_label(event: Event) -> str:
    """Return what to call an event: its name, a predicate's alias, or the predicate itself."""
    if event is None:
        return "any event"
    if isinstance(event, str):
        return str(event)
    if isinstance(event, pl.Expr):
        name = event.meta.output_name(raise_if_undetermined=False)
        unnamed = name is None or name == "literal" or name in event.meta.root_names()
        return str(event) if unnamed else str(name)
    return " or ".join(event_label(one) for one in event)


# --- columns ---------------------------------------------------------------------------------

# what a column says that was not written, for those that came after the v2.0 schema; in this order
_DEFAULTS: Final[dict[str, pl.Expr]] = {
    EVENT_ID: pl.lit(None, pl.String),
    WEIGHT: pl.lit(1.0),
    "release": pl.lit(None, pl.String),
    "occurrences": pl.lit(1, pl.Int64),
    "first_at": pl.col(TIMESTAMP),
    "last_at": pl.col(TIMESTAMP),
    "stack_hash": pl.lit(None, pl.String),
    "group_hash": pl.col("stack_hash"),
    "hash_version": pl.lit(None, pl.Int64),
}


def completed(frame: pl.LazyFrame | pl.DataFrame, table: str) -> pl.LazyFrame:
    """Return a frame of a table with the columns that came after the v2.0 schema, in our types.

    A frame as `scan` returns it comes back as it is. Another one gets what it lacks: weight and
    occurrences are 1, a run begins and ends at its timestamp, the group is the stack_hash, and
    release, event_id and hash_version are null. Times become UTC milliseconds, naive ones being
    UTC; a column that holds nothing but null, a number, and a flag that is 0 or 1 take the type
    they have in `scan`.

    Parameters
    ----------
    frame : at least the columns of the v2.0 schema that the metric reads.
    table : "events", "errors", "traces" or "sessions".
    """
    plan = frame.lazy()
    have, want = plan.collect_schema(), SCHEMAS[table]
    if have == want:
        return plan
    typed = [
        _as_type(name, have[name], dtype)
        for name, dtype in want.items()
        if name in have and have[name] != dtype
    ]
    plan = plan.with_columns(typed) if typed else plan
    for name, value in _DEFAULTS.items():
        if name in want and name not in have:
            plan = plan.with_columns(value.alias(name))
    return plan


def _as_type(name: str, have: pl.DataType, want: pl.DataType) -> pl.Expr:
    """Return the column in the type we use, where that loses nothing; else as it is."""
    column = pl.col(name)
    if want == TIME and have.is_temporal():
        if isinstance(have, pl.Datetime) and have.time_zone is not None:
            return column.cast(TIME)
        return column.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    if have == pl.Null or (have.is_numeric() and want == pl.Float64):
        return column.cast(want)
    if have.is_integer() and want in {pl.Int64, pl.Boolean}:
        return column.cast(want)
    return column


def earlier(window: Window) -> pl.Expr:
    """Return the predicate "this row lies before the window": history without the window."""
    return pl.col(TIMESTAMP) < pl.lit(window.opens_at).cast(pl.Datetime("ms", "UTC"))


def has_column(frame: pl.LazyFrame, name: str) -> bool:
    """Return whether a frame has a column. Reads the schema, never the data."""
    return name in frame.collect_schema().names()


def weight_of(frame: pl.LazyFrame) -> pl.Expr:
    """Return each row's weight as Float64, named `weight`; 1 where nobody wrote one."""
    if not has_column(frame, WEIGHT):
        return pl.lit(1.0).alias(WEIGHT)
    return pl.col(WEIGHT).cast(pl.Float64).fill_null(1.0)


def weighted(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Return the frame with a `weight` column that is Float64 and never null."""
    return frame.with_columns(weight_of(frame))


def in_order(frame: pl.LazyFrame, *keys: str) -> pl.LazyFrame:
    """Return the rows ordered by `keys`, then time, then event_id; then as they came."""
    last = [EVENT_ID] if has_column(frame, EVENT_ID) else []
    order = pl.arg_sort_by(*keys, TIMESTAMP, *last, maintain_order=True)
    # half the time of `sort` under the streaming engine, which would sort whole rows
    return frame.with_columns(order.alias("_order")).select(
        pl.all().exclude("_order").gather(pl.col("_order"))
    )


# --- engines ---------------------------------------------------------------------------------


def in_memory(
    frame: pl.LazyFrame, step: Callable[..., pl.LazyFrame], *others: pl.LazyFrame
) -> pl.LazyFrame:
    """Return `step` of the frames' rows: the frames run as any plan, the step in memory.

    The streaming engine, which collects by default, is the faster one at reading and grouping a
    million rows, and the slower one at everything that looks at other rows: the free-to-paid
    funnel takes 183 ms there and 77 ms in memory. It also reads the same columns again for every
    branch of a plan; the step has them once, however often it uses them.

    Parameters
    ----------
    frame, others : reduced as far as they can be, with no column that the step does not use.
    step : from their rows, a data frame each, to the plan of the result. It is also asked about
        no rows at all, for the columns it gives. Nothing that comes after is pushed below it.
    """
    none = [one.collect_schema().to_frame() for one in (frame, *others)]

    def run(rows: pl.DataFrame) -> pl.DataFrame:
        more = pl.collect_all(others, engine="streaming") if others else []
        return step(rows, *more).collect(engine="in-memory")

    return frame.map_batches(run, schema=step(*none).collect_schema())


def reduced(*plans: pl.LazyFrame) -> list[pl.LazyFrame]:
    """Return what the plans give, computed side by side: large groupings inside a step.

    The streaming engine groups half a million rows in a third of the time the other takes.
    """
    return [frame.lazy() for frame in pl.collect_all(plans, engine="streaming")]


def unsampled(rows: pl.DataFrame, weights: Sequence[str] = (WEIGHT,)) -> bool:
    """Return whether every row has the weight 1, so that counting says the same as adding.

    Parameters
    ----------
    weights : the columns to look at; a null in them says nothing.
    """
    if rows.is_empty():
        return True
    return all(rows[name].min() in {1, None} and rows[name].max() in {1, None} for name in weights)


def of_same_time(rows: pl.LazyFrame, ties: pl.DataFrame) -> pl.LazyFrame:
    """Return the `rows` with KEY and timestamp in `ties`: the few whose event_id has to be read.

    An event_id costs more to read than all other columns together, and decides nothing but the
    order of one user's events in the same millisecond.
    """
    at = ties[TIMESTAMP].unique().implode()
    return rows.filter(pl.col(TIMESTAMP).is_in(at)).join(
        ties.lazy(), on=[KEY, TIMESTAMP], how="semi", maintain_order="left"
    )


def in_time_order(rows: pl.DataFrame, ids: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows of a step ordered by KEY, then time, then event_id; then as they came.

    Parameters
    ----------
    rows : KEY, timestamp and more, no event_id.
    ids : the plan that gave `rows`, with event_id if there is one. It is read only when a user
        has rows of the same time that differ.
    """
    # two sorts by one key each: half the time of one by both, and less where times come sorted
    for key in (TIMESTAMP, KEY):
        if not (key == TIMESTAMP and rows[key].is_sorted()):
            rows = rows[rows.select(pl.arg_sort_by(key, maintain_order=True)).to_series()]
    ordered = rows
    same = pl.col(KEY, TIMESTAMP) == pl.col(KEY, TIMESTAMP).shift(1)
    again = ordered.select(pl.all_horizontal(same.fill_null(value=False)).alias("again"))["again"]
    if not again.any() or not has_column(ids, EVENT_ID):
        return ordered.lazy()
    ties = ordered.filter(again).select(KEY, TIMESTAMP).unique()
    settled = ordered.lazy().join(ties.lazy(), on=[KEY, TIMESTAMP], how="anti")
    unsettled = of_same_time(ids, ties).sort(KEY, TIMESTAMP, EVENT_ID, maintain_order=True)
    return pl.concat([settled, unsettled.select(rows.columns)]).sort(
        KEY, TIMESTAMP, maintain_order=True
    )


# --- sampled people --------------------------------------------------------------------------

CHANCE_MAX: Final = 1e-3  # that a frame whose weights are plain counts is taken for a sample


@dataclass(frozen=True, slots=True)
class Chosen:
    """The events of the people a sample was made of, and how many people each stands for."""

    events: pl.LazyFrame
    each: float


def representative(
    rows: pl.DataFrame, events: pl.LazyFrame, weights: Sequence[str] = (WEIGHT,)
) -> Chosen | None:
    """Return the events of the people a sample was made of; None when nothing is sampled.

    The client keeps what failed, was slow or is critical of everybody at weight 1, and the rest
    of a chosen share of the users at 1 / that share. Adding up weights is right then. A number
    that needs two facts about a person, or that nothing came before, is not: of somebody left
    out only the slow and the failed is known, so they seem new and their days have holes. Such a
    number counts the chosen and nobody else, each at 1 / keep rate, whatever they did. Where the
    rate was changed the lowest one wins: whoever is kept at 1 % is kept at 5 % too.

    A weight above 1 need not come from sampling: a daily count imported as one row has one too.
    `keep_rates` tells them apart. Such a row of a chosen user keeps the larger weight.

    Parameters
    ----------
    rows : what a step has of the events; nothing is read when every weight in it is 1.
    events : user_id_hash, weight and whatever the metric reads, up to the end of its window.
    weights : the columns of `rows` that hold weights.
    """
    if unsampled(rows, weights):
        return None
    events = weighted(events.filter(pl.col(USER).is_not_null()))
    known = keep_rates(_pairs(events)).filter("is_known")
    if known.is_empty():
        return None
    rate: float = known["keep_rate"].to_list()[-1]  # that of the largest weight
    users = events.select(pl.col(USER).unique()).collect(engine="streaming")[USER]
    chosen = pl.Series([user for user in users if share_of(user) < rate], dtype=pl.String)
    each = pl.max_horizontal(WEIGHT, pl.lit(1 / rate)).alias(WEIGHT)
    return Chosen(events.filter(pl.col(USER).is_in(chosen.implode())).with_columns(each), 1 / rate)


def keep_rates(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return the weights that may come from sampling people, and whether they must.

    A weight can only come from keeping a share 1 / w of the users if each user who carries it
    lies in that share, as `share_of` says. By chance n users do with a probability of w^-n; a
    rate is known when that, times the number of weights there are, is at most CHANCE_MAX: for a
    single rate three users at 10 %, two at 1 %.

    Columns: weight, keep_rate (1 / weight), users (Int64), is_known (Boolean); by weight.

    Parameters
    ----------
    pairs : each user_id_hash with each weight above 1 it carries; a null user is nobody's row,
        which was chosen by something else and says nothing against a rate.
    """
    users = pairs[USER].drop_nulls().unique()
    shares = pl.DataFrame(
        {USER: users, "share": [share_of(user) for user in users]},
        schema={USER: pl.String, "share": pl.Float64},
    )
    rate, count = 1 / pl.col(WEIGHT), pl.col("users")
    surprise = math.log(max(pairs[WEIGHT].n_unique(), 1) / CHANCE_MAX)
    return (
        pairs.join(shares, on=USER, how="left")
        .group_by(WEIGHT)
        .agg(pl.col("share").max(), pl.col("share").count().cast(pl.Int64).alias("users"))
        .filter(pl.col("share").is_null() | (pl.col("share") < rate))
        .select(
            WEIGHT,
            rate.alias("keep_rate"),
            "users",
            (count * pl.col(WEIGHT).log() >= surprise).alias("is_known"),
        )
        .sort(WEIGHT)
    )


def as_happened(rows: pl.DataFrame, table: pl.LazyFrame) -> pl.DataFrame:
    """Return the rows with the weight they have for their own person: 1 where it is a sample's.

    What somebody in a sample did stands for what others did, but they did it once themselves. A
    weight that is no keep rate was counted so, and stays.

    Parameters
    ----------
    rows : weight, null where a row does not count, and whatever the step needs.
    table : user_id_hash and weight of everybody, up to the end of the window: what tells a sample.
        Nothing is read when every weight in `rows` is 1.
    """
    if unsampled(rows):
        return rows
    known = keep_rates(_pairs(weighted(table))).filter("is_known")[WEIGHT]
    once = pl.when(pl.col(WEIGHT).is_in(known.implode())).then(1.0).otherwise(WEIGHT)
    return rows.with_columns(once.alias(WEIGHT))


def _pairs(table: pl.LazyFrame) -> pl.DataFrame:
    """Return each user with each weight above 1 they carry, as `keep_rates` wants them."""
    heavy = table.filter(pl.col(USER).is_not_null(), pl.col(WEIGHT) > 1)
    return heavy.select(USER, WEIGHT).unique().collect(engine="streaming")


def of_people(
    events: pl.LazyFrame,
    reduce: Callable[[pl.LazyFrame], pl.LazyFrame],
    step: Callable[..., pl.LazyFrame],
    *others: pl.LazyFrame,
    when: pl.Expr,
    weights: Sequence[str] = (WEIGHT,),
) -> pl.LazyFrame:
    """Return `in_memory(reduce(events), step)`; of a sample, over its `representative` events.

    For every number that needs two facts about one person. A frame without other weights than 1
    costs a look at the rows the step has anyway; a sampled one is reduced a second time.

    Parameters
    ----------
    reduce : from events to the rows of the step; their event_id, if any, is left to `ids`.
    step : from the rows, `ids` (the plan they came from), how many people each of them stands
        for at least, and the rows of `others`, to the plan of the result.
    when : the predicate on time within which weights are looked at.
    weights : the columns of the reduced rows that hold weights.
    """
    plan = reduce(events)

    def run(rows: pl.DataFrame, *more: pl.DataFrame) -> pl.LazyFrame:
        chosen = representative(rows, events.filter(when), weights)
        if chosen is None:
            return step(rows, plan, 1.0, *more)
        ids = reduce(chosen.events)
        again = ids.drop(EVENT_ID, strict=False).collect(engine="streaming")
        return step(again, ids, chosen.each, *more)

    return in_memory(plan.drop(EVENT_ID, strict=False), run, *others)


# --- states ----------------------------------------------------------------------------------


def packed(state: pl.Expr, number: int) -> list[pl.Expr]:
    """Return columns `up` and `down`: the moment of a row with its state behind it.

    The first or last state of a user is behind the smallest or largest of them, which is found
    in a third of the time of a sort. `down` counts the states down, so the two agree unless rows
    of the same millisecond differ.

    Parameters
    ----------
    state : a whole number from 0 to `number` - 1; a row where it is null has no say.
    """
    moment = pl.col(TIMESTAMP).dt.epoch("ms") * number
    return [(moment + state).alias("up"), (moment + number - 1 - state).alias("down")]


def unpacked(
    people: pl.LazyFrame, state: pl.Expr, number: int, ids: pl.LazyFrame, *, last: bool
) -> pl.LazyFrame:
    """Replace the `up` and `down` of each KEY by its `state`, Int64.

    Parameters
    ----------
    people : the smallest `up` and `down` of each KEY, or the largest if `last`.
    state, number : as given to `packed`.
    ids : KEY, timestamp, what `state` reads and event_id, if there is one. It is read for the
        users only whose rows of that millisecond differ.
    """
    found, other = pl.col("up") % number, number - 1 - pl.col("down") % number
    moment = (pl.col("up") // number).cast(pl.Datetime("ms", "UTC")).alias(TIMESTAMP)
    ties = people.filter(found != other).select(KEY, moment).collect(engine="in-memory")
    people = people.with_columns(found.alias("state")).drop("up", "down")
    if ties.is_empty():
        return people
    order = [TIMESTAMP, *([EVENT_ID] if has_column(ids, EVENT_ID) else [])]
    settled = (
        of_same_time(ids, ties)
        .with_columns(state.cast(pl.Int64).alias("state"))
        .filter(pl.col("state").is_not_null())
        .sort(order, maintain_order=True)
        .group_by(KEY)
        .agg(pl.col("state").last() if last else pl.col("state").first())
    )
    return people.update(settled, on=KEY)


# --- people ----------------------------------------------------------------------------------


def user_key() -> pl.Expr:
    """Return a user as 64 bits, named `KEY`, for grouping inside one plan; never shown or kept.

    Grouping and sorting by 64 hex characters takes twice as long. A million users share a key
    with a chance of 1 in 37 million.
    """
    return pl.col(USER).hash().alias(KEY)


def qualifying(
    events: pl.LazyFrame, event: Event, when: pl.Expr, **columns: pl.Expr
) -> pl.LazyFrame:
    """Return `KEY`, weight and `columns` of the rows of somebody that are such events, in time.

    Parameters
    ----------
    events : a frame with user_id_hash and whatever the predicates read.
    event : what counts, as in `event_predicate`.
    when : the predicate on time, such as `window.contains()`.
    columns : further columns to keep, by name.
    """
    named = [column.alias(name) for name, column in columns.items()]
    counted = [when, pl.col(USER).is_not_null()]
    if event is not None:
        counted.append(event_predicate(event))
    return events.filter(*counted).select(user_key(), weight_of(events), *named)


def user_weights(frame: pl.LazyFrame, by: Sequence[str] = (), *, user: str = USER) -> pl.LazyFrame:
    """Return `by`, the user and the smallest `weight` among that user's rows in each group.

    Rows without a user are nobody's and drop out. The frame needs the user and weight.
    """
    return frame.filter(pl.col(user).is_not_null()).group_by(*by, user).agg(pl.col(WEIGHT).min())


def users_of(frame: pl.LazyFrame, by: Sequence[str] = (), *, user: str = USER) -> pl.LazyFrame:
    """Return the people per group: `by`, users (Float64, the sum of their smallest weights).

    Without groups: one row, 0 users when there are none. Row order is not promised.
    """
    people = user_weights(frame, by, user=user)
    total = pl.col(WEIGHT).sum().alias("users")
    return people.group_by(by).agg(total) if by else people.select(total)


def distinct_of(
    rows: pl.DataFrame, by: Sequence[str], of: str, name: str = "users"
) -> pl.LazyFrame:
    """Return per `by` the sum over each distinct `of` of its smallest weight, as `name`.

    A null is nobody. Without sampling that is a count of distinct values, which takes a third
    of the time of looking for the smallest weight of each.
    """
    known = rows.lazy().filter(pl.col(of).is_not_null())
    if unsampled(rows):
        return known.group_by(by).agg(pl.col(of).n_unique().cast(pl.Float64).alias(name))
    each = known.group_by(*by, of).agg(pl.col(WEIGHT).min())
    return each.group_by(by).agg(pl.col(WEIGHT).sum().alias(name))


def person_periods(active: pl.DataFrame, *, user: str = KEY) -> pl.LazyFrame:
    """Return the rows in order with the user's active periods around each: last, next, varies.

    `last` and `next` are null where there is none; `varies` says whether the weight differs
    between the user's periods.

    Parameters
    ----------
    active : one row per user and period: the user, period, weight.
    user : the column that tells users apart.
    """
    same = pl.col(user) == pl.col(user).shift(1)
    followed = pl.col(user) == pl.col(user).shift(-1)
    weights = pl.col(WEIGHT).min().over(user) != pl.col(WEIGHT).max().over(user)
    return (
        active.lazy()
        .sort(user, "period")
        .with_columns(
            pl.when(same).then(pl.col("period").shift(1)).alias("last"),
            pl.when(followed).then(pl.col("period").shift(-1)).alias("next"),
            (pl.lit(value=False) if unsampled(active) else weights).alias("varies"),
        )
    )


def periods_between(first: pl.Expr, last: pl.Expr, every: str) -> pl.Expr:
    """Return how many periods the period `last` is after the period `first`, as Int64."""
    if every == "1mo":
        years = last.dt.year().cast(pl.Int64) - first.dt.year().cast(pl.Int64)
        return years * 12 + last.dt.month().cast(pl.Int64) - first.dt.month().cast(pl.Int64)
    return (last - first).dt.total_days() // (7 if every == "1w" else 1)


def over_calendar(calendar: pl.LazyFrame, counted: pl.LazyFrame, *counts: str) -> pl.LazyFrame:
    """Return a row per `period` of the calendar with `counts` 0 where nothing was counted."""
    filled = [pl.col(name).fill_null(0.0) for name in counts]
    return (
        calendar.join(counted, on="period", how="left")
        .select("period", *filled, "complete")
        .sort("period")
    )


def quantile_of(value: pl.Expr, weight: pl.Expr, q: float) -> pl.Expr:
    """Return the weighted quantile of the non-null values, linearly interpolated; null for none.

    With S the sum of weights, the value at cumulative weight h = q (S - 1): a row of weight w
    stands at w positions in a row, and only the step from one row's last position to the next
    row's first is interpolated. With weights of 1 this is the ordinary linear quantile.
    """
    known = value.is_not_null()
    values = value.filter(known).sort()
    upto = weight.filter(known).sort_by(value.filter(known)).cum_sum()
    position = (q * (upto.last() - 1)).clip(lower_bound=0.0)
    # rounding of a long sum must not push the last position past the last row
    # the length of `values` itself would do, but Polars 2.1 then forgets to sort them in memory
    last = value.filter(known).len().cast(pl.Int64) - 1
    row = pl.min_horizontal((upto <= position).sum(), last)
    here = values.get(row, null_on_oob=True)
    following = values.get(row + 1, null_on_oob=True).fill_null(here)
    share = (position - (upto.get(row, null_on_oob=True) - 1)).clip(0.0, 1.0)
    return here + share * (following - here)


def weighted_quantile(
    frame: pl.LazyFrame, value: str, q: float, *, by: Sequence[str], name: str
) -> pl.LazyFrame:
    """Return `by` and the weighted quantile of `value` as `name`, as in `quantile_of`.

    Groups without any non-null value are absent. The frame needs a `weight` column.
    """
    known = frame.filter(pl.col(value).is_not_null())
    return known.group_by(by).agg(quantile_of(pl.col(value), pl.col(WEIGHT), q).alias(name))
