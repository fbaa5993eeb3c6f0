"""Who comes back: cohorts by the period people started in, and the share seen again later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import polars as pl

from data_access.metrics.common import (
    KEY,
    TIMESTAMP,
    USER,
    WEIGHT,
    MetricError,
    event_predicate,
    of_people,
    one_of,
    periods_between,
    qualifying,
    reduced,
    the_day,
    weight_of,
)
from data_access.metrics.kpis import ratio
from data_access.metrics.registry import ALL_HISTORY, metric
from data_access.schema import TIME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from data_access.metrics.common import Event
    from data_access.window import Window

__all__ = ["retention", "retention_mean", "retention_users"]

COHORTS: Final = ("first", "recurring")
CLOCKS: Final = ("calendar", "rolling")
# a period on a clock of one's own, which knows no calendar
LENGTHS: Final = {"1d": timedelta(days=1), "1w": timedelta(weeks=1), "1mo": timedelta(days=30)}
PERIODS_MAX: Final = 1_000  # a triangle of half a million cells; nobody reads a larger one
_CELL: Final = ("cohort", "period")


@metric("events", lookback_days=ALL_HISTORY)
def retention(
    events: pl.LazyFrame,
    window: Window,
    *,
    every: str = "1w",
    start: Event = None,
    back: Event = None,
    cohort: str = "first",
    unbounded: bool = False,
    min_returns: float = 1,
    brackets: Sequence[int] = (),
    clock: str = "calendar",
    to_the_hour: bool = True,
) -> pl.LazyFrame:
    """Users who came back, per cohort and number of periods since.

    Definition
    ----------
    With `cohort="first"`, a user belongs to the calendar period of their first `start` event in
    all history; with "recurring", to every period of the window that holds one. Cell 0 is the
    size of the cohort, whoever returns. Cell n counts its users with at least `min_returns`
    `back` events (the sum of weights) in the n-th period after; with `unbounded`, in that
    period or a later one of the window. A user counts in a cohort at the smallest weight among
    the start events there, in a cell at the smallest among those and the returns counted.
    The window is widened to whole periods; nothing after it counts.

    With `brackets=(3, 5)`, cell 1 spans periods 1 to 3 after the cohort and cell 2 periods 4
    to 8. A bracket that reaches past the window is there, but not complete.

    With `clock="rolling"`, a user's own clock runs from their first start event of the cohort's
    period: cell n counts returns from n to n + 1 lengths after it, a length being 24 hours, 7
    days or 30 days. Cohorts stay calendar periods. Times are floored to the hour first, so that
    a return at 17:00 is on day 1 for who started at 17:59 the day before; `to_the_hour=False`
    takes them as they are. A cell is complete when that length has ended inside the window for
    whoever started last.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : `scan("events")` over all history; user_id_hash, event_name, timestamp and, if
        there, weight.

    Columns
    -------
    cohort : Date, first day of the cohort's period in the window's timezone.
    period : Int64, count; periods (or brackets) since, from 0 to the window's last period.
    users : Float64, people; cell 0 is the whole cohort.
    cohort_users : Float64, people; 0 for an empty cohort.
    rate : Float64, share of the cohort; null when the cohort is empty.
    complete : Boolean, flag; whether the cell's last period ended inside the window.

    Errors
    ------
    MetricError : when an option is unknown or out of range, or the window has too many periods.
    WindowError : when `every` is no period.
    """
    asked = _Asked(every, start, back, cohort, unbounded, min_returns, brackets, clock, to_the_hour)
    grid = _grid(window, asked)

    def step(rows: pl.DataFrame, _: object, each: float) -> pl.LazyFrame:
        return _shares(rows.lazy(), grid, window, asked.of(each))

    return _of_people(events, step, window, asked, user=KEY)


def _shares(
    activity: pl.LazyFrame, grid: pl.LazyFrame, window: Window, asked: _Asked
) -> pl.LazyFrame:
    """Return the columns of `retention` out of a row per user and period."""
    cells = _cells(activity, window, asked, user=KEY)
    # 84 daily cohorts of 11,000 people have 440,000 pairs of days: 13 ms, and 28 in memory
    [counted] = reduced(cells.group_by(_CELL).agg(pl.col(WEIGHT).sum().alias("users")))
    size = counted.filter(pl.col("period") == 0).select(
        "cohort", pl.col("users").alias("cohort_users")
    )
    return (
        grid.join(counted, on=_CELL, how="left")
        .join(size, on="cohort", how="left")
        .with_columns(pl.col("users", "cohort_users").fill_null(0.0))
        .select(
            *(*_CELL, "users", "cohort_users"),
            ratio("users", "cohort_users").alias("rate"),
            "complete",
        )
        .sort(_CELL)
    )


@metric("events", lookback_days=ALL_HISTORY)
def retention_mean(
    events: pl.LazyFrame,
    window: Window,
    *,
    every: str = "1w",
    start: Event = None,
    back: Event = None,
    cohort: str = "first",
    unbounded: bool = False,
    min_returns: float = 1,
    brackets: Sequence[int] = (),
    clock: str = "calendar",
    to_the_hour: bool = True,
) -> pl.LazyFrame:
    """Share of people who came back n periods later, over all cohorts: the curve of `retention`.

    Definition
    ----------
    Over the cells of `retention` with the same options, per number of periods since: only
    cohorts whose cell is complete take part, in the numerator and in the denominator, so a
    period that is not over never reads as a drop. `rate` is the weighted mean: their users
    divided by the sizes of their cohorts, so a large cohort says more than a small one.
    `rate_mean` weighs every cohort that has anybody alike; one of which nobody came back is in
    it with 0. An empty cohort has no share: it adds nothing to either, and counts in `cohorts`.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : `scan("events")` over all history; user_id_hash, event_name, timestamp and, if
        there, weight.

    Columns
    -------
    period : Int64, count; periods (or brackets) since, from 0 to the window's last period.
    cohorts : Int64, count; cohorts whose cell is complete, empty ones included.
    users : Float64, people; of those cohorts, who came back.
    cohort_users : Float64, people; in those cohorts.
    rate : Float64, share; null when nobody is in a complete cohort.
    rate_mean : Float64, share; the plain mean over cohorts with anybody, null without any.

    Errors
    ------
    MetricError : when an option is unknown or out of range, or the window has too many periods.
    WindowError : when `every` is no period.
    """
    cells = retention(
        events,
        window,
        every=every,
        start=start,
        back=back,
        cohort=cohort,
        unbounded=unbounded,
        min_returns=min_returns,
        brackets=brackets,
        clock=clock,
        to_the_hour=to_the_hour,
    )
    over = pl.col("complete")
    return (
        cells.group_by("period")
        .agg(
            over.sum().cast(pl.Int64).alias("cohorts"),
            pl.col("users", "cohort_users").filter(over).sum(),
            pl.col("rate").filter(over).mean().alias("rate_mean"),
        )
        .select(
            *("period", "cohorts", "users", "cohort_users"),
            ratio("users", "cohort_users").alias("rate"),
            "rate_mean",
        )
        .sort("period")
    )


@metric("events", lookback_days=ALL_HISTORY)
def retention_users(
    events: pl.LazyFrame,
    window: Window,
    *,
    every: str = "1w",
    start: Event = None,
    back: Event = None,
    cohort: str = "first",
    unbounded: bool = False,
    min_returns: float = 1,
    brackets: Sequence[int] = (),
    clock: str = "calendar",
    to_the_hour: bool = True,
    cell: tuple[date | str, int] | None = None,
) -> pl.LazyFrame:
    """Users behind each cell of `retention`.

    Definition
    ----------
    One row per user in a cell, under exactly the definition of `retention`. The sum of
    `weight` over a cell is its `users`. With `cell=("2026-10-12", 2)` only the users of that
    cohort in that cell.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : `scan("events")` over all history; user_id_hash, event_name, timestamp and, if
        there, weight.

    Columns
    -------
    cohort : Date, first day of the cohort's period in the window's timezone.
    period : Int64, count; periods (or brackets) since; 0 lists the whole cohort.
    user_id_hash : String, user.
    weight : Float64, people this user stands for in the cell.

    Errors
    ------
    MetricError : when an option is unknown or out of range, or the window has too many periods.
    WindowError : when `every` is no period.
    """
    asked = _Asked(every, start, back, cohort, unbounded, min_returns, brackets, clock, to_the_hour)
    _grid(window, asked)
    only = (
        [] if cell is None else [pl.col("cohort") == the_day(cell[0]), pl.col("period") == cell[1]]
    )

    def step(rows: pl.DataFrame, _: object, each: float) -> pl.LazyFrame:
        cells = _cells(rows.lazy(), window, asked.of(each), user=USER).filter(*only)
        return cells.select(*_CELL, USER, WEIGHT).sort(*_CELL, USER)

    return _of_people(events, step, window, asked, user=USER)


def _only(cell: tuple[date | str, int] | None) -> list[pl.Expr]:
    """Return the predicates that keep one cell; none for all of them."""
    if cell is None:
        return []
    cohort, period = cell
    return [pl.col("cohort") == the_day(cohort), pl.col("period") == period]


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options of one question, checked."""

    every: str
    start: Event
    back: Event
    cohort: str
    unbounded: bool
    min_returns: float
    brackets: Sequence[int]
    clock: str
    to_the_hour: bool

    def __post_init__(self) -> None:
        one_of("cohort", self.cohort, COHORTS)
        one_of("clock", self.clock, CLOCKS)
        if not self.min_returns > 0:
            raise MetricError(
                f"min_returns={self.min_returns!r} would count everybody. Use 1 or more."
            )

    def of(self, each: float) -> _Asked:
        """Return the same question where every event stands for so many."""
        return replace(self, min_returns=self.min_returns * each)


def _of_people(
    events: pl.LazyFrame,
    step: Callable[..., pl.LazyFrame],
    window: Window,
    asked: _Asked,
    *,
    user: str,
) -> pl.LazyFrame:
    """Return the step of each user's activity per period."""
    wide = window.widened(asked.every)
    return of_people(
        events,
        lambda events: _activity(events, wide, asked, user=user),
        step,
        when=wide.before(),
        weights=("born", "least"),
    )


def _cells(activity: pl.LazyFrame, window: Window, asked: _Asked, *, user: str) -> pl.LazyFrame:
    """Return cohort, period, the user and weight: one row per user and cell of `_activity`."""
    wide = window.widened(asked.every)
    follow = _followed if asked.clock == "calendar" else _on_own_clock
    seen = follow(activity, wide, asked, user=user)
    itself = pl.col("period") == 0
    enough = pl.col("times") >= asked.min_returns
    least = pl.when(~itself).then("least")
    if not asked.brackets and not asked.unbounded:
        cells = seen.filter(itself | enough)
        return cells.select(*_CELL, user, pl.min_horizontal(WEIGHT, least).alias(WEIGHT))
    later = seen.filter(~itself)
    if asked.brackets:
        later = (
            later.join(_bracket_of(asked.brackets), on="period")
            .group_by("cohort", "bracket", user)
            .agg(pl.col(WEIGHT).min(), pl.col("least").min(), pl.col("times").sum())
            .rename({"bracket": "period"})
        )
    later = later.filter(enough)
    if asked.unbounded:
        later = _or_any_later(later, user)
    everybody = seen.filter(itself).select(*_CELL, user, WEIGHT)
    return pl.concat(
        [everybody, later.select(*_CELL, user, pl.min_horizontal(WEIGHT, "least").alias(WEIGHT))]
    )


def _activity(events: pl.LazyFrame, wide: Window, asked: _Asked, *, user: str) -> pl.LazyFrame:
    """Return one row per user and period: born, least and times, in one pass over the events.

    On a rolling clock `at` is the instant itself, or its hour, and not the period.
    `born` is the smallest weight of the start events there and `least` that of the returns
    (null: there is none), `times` how many returns that is.
    """
    columns = {"at": _at(wide, asked)} | ({} if user == KEY else {user: pl.col(user)})
    since = wide.before() if asked.cohort == "first" else wide.contains()
    born, least = pl.col("born").min(), pl.col("least").min()
    times = pl.col("least").sum().alias("times")
    if asked.start is None and asked.back is None:
        rows = qualifying(events, None, since, **columns).rename({WEIGHT: "least"})
        seen = rows.group_by("at", user).agg(least, times)
        seen = seen.select("at", user, pl.col("least").alias("born"), "least", "times")
    else:
        starts, backs = event_predicate(asked.start), event_predicate(asked.back)
        columns["born"] = pl.when(starts).then(weight_of(events))
        columns["least"] = pl.when(backs).then(weight_of(events))
        rows = qualifying(events, None, since & (starts | backs), **columns)
        seen = rows.group_by("at", user).agg(born, least, times)
    if asked.clock == "rolling" or asked.every == "1d":
        return seen
    period = wide.period_of_day(pl.col("at"), every=asked.every)
    return seen.group_by(period.alias("at"), user).agg(born, least, pl.col("times").sum())


def _at(wide: Window, asked: _Asked) -> pl.Expr:
    """Return when an event was: its day, or on a rolling clock its hour or instant.

    The month of 60,000 days is found in no time; that of a million instants takes 40 ms.
    """
    if asked.clock == "calendar":
        return wide.day()
    if not asked.to_the_hour:
        return pl.col(TIMESTAMP)
    local = pl.col(TIMESTAMP).dt.convert_time_zone(wide.timezone)
    return local.dt.truncate("1h").dt.convert_time_zone("UTC")


def _followed(activity: pl.LazyFrame, wide: Window, asked: _Asked, *, user: str) -> pl.LazyFrame:
    """Join each cohort's users, at the weight they joined with, to their later periods."""
    started = pl.col("born").is_not_null()
    since = periods_between(pl.col("cohort"), pl.col("at"), asked.every).alias("period")
    if asked.cohort == "recurring":
        starts = activity.filter(started).select(
            user, pl.col("at").alias("cohort"), pl.col("born").alias(WEIGHT)
        )
        later = starts.join(activity.drop("born"), on=user)
        return later.filter(pl.col("at") >= pl.col("cohort")).with_columns(since)
    first = pl.when(started).then("at").min().over(user)
    joined_with = pl.when(pl.col("at") == pl.col("cohort")).then("born").min().over(user)
    return (
        activity.with_columns(first.alias("cohort"))
        .filter(pl.col("cohort") >= wide.start, pl.col("at") >= pl.col("cohort"))
        .with_columns(joined_with.alias(WEIGHT), since)
    )


def _on_own_clock(
    activity: pl.LazyFrame, wide: Window, asked: _Asked, *, user: str
) -> pl.LazyFrame:
    """Do as `_followed` by the time since each user's first start event of the cohort."""
    clocks = (
        activity.filter(pl.col("born").is_not_null())
        .with_columns(wide.period("at", every=asked.every).alias("cohort"))
        .group_by(user, "cohort")
        .agg(pl.col("at").min().alias("began"), pl.col("born").min().alias(WEIGHT))
    )
    if asked.cohort == "first":
        clocks = clocks.filter(pl.col("cohort") == pl.col("cohort").min().over(user))
    length = LENGTHS[asked.every] // timedelta(milliseconds=1)
    passed = (pl.col("at") - pl.col("began")).dt.total_milliseconds()
    return (
        clocks.filter(pl.col("cohort") >= wide.start)
        .join(activity.drop("born"), on=user)
        .filter(passed >= 0)
        .group_by("cohort", user, (passed // length).alias("period"))
        .agg(pl.col(WEIGHT).first(), pl.col("least").min(), pl.col("times").sum())
    )


def _or_any_later(cells: pl.LazyFrame, user: str) -> pl.LazyFrame:
    """Spread each return over the cells since the one before: "in this period or later"."""
    group = ["cohort", user]
    before = pl.col("period").shift(1, fill_value=0).over(group, order_by="period")
    least = pl.col("least").cum_min(reverse=True).over(group, order_by="period")
    return cells.with_columns(
        pl.int_ranges(before + 1, pl.col("period") + 1), least.alias("least")
    ).explode("period")


def _spans(brackets: Sequence[int], periods: int) -> list[tuple[int, int]]:
    """Return the first and last period after the cohort of each cell, cell 0 first."""
    if not brackets:
        return [(n, n) for n in range(periods)]
    if any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in brackets):
        raise MetricError(f"brackets={brackets!r} must be whole numbers of periods, 1 or more.")
    spans = [(0, 0)]
    for size in brackets:
        spans.append((spans[-1][1] + 1, spans[-1][1] + size))
    return spans


def _bracket_of(brackets: Sequence[int]) -> pl.LazyFrame:
    """Return period, bracket: which cell a period after the cohort belongs to."""
    inside = [
        (n, cell)
        for cell, (first, last) in enumerate(_spans(brackets, 0))
        for n in range(first, min(last, PERIODS_MAX) + 1)
    ]
    return pl.LazyFrame(inside, schema={"period": pl.Int64, "bracket": pl.Int64}, orient="row")


def _grid(window: Window, asked: _Asked) -> pl.LazyFrame:
    """Return cohort, period, complete: every cell that begins inside the window, users or not."""
    periods = window.periods(asked.every)
    if len(periods) > PERIODS_MAX:
        raise MetricError(
            f"The window has {len(periods)} periods of {asked.every}; retention shows at most "
            f"{PERIODS_MAX}. Choose longer periods or a shorter window."
        )
    most = len(periods)
    if asked.clock == "rolling":
        wide = window.widened(asked.every)
        most = (wide.closes_at - wide.opens_at) // LENGTHS[asked.every] + 1
    spans = _spans(asked.brackets, most)
    columns = pl.LazyFrame(
        {
            "cell": range(len(spans)),
            "first": [first for first, _ in spans],
            "last": [last for _, last in spans],
        },
        schema={"cell": pl.Int64, "first": pl.Int64, "last": pl.Int64},
    )
    placed = _by_clock if asked.clock == "rolling" else _by_calendar
    return placed(columns, window, asked.every).select(
        "cohort", pl.col("cell").alias("period"), "complete"
    )


def _by_calendar(columns: pl.LazyFrame, window: Window, every: str) -> pl.LazyFrame:
    """Return cohort, cell, complete by whole periods: cell n of a cohort is n periods after it."""
    calendar = window.calendar(every).with_row_index("cohort_at")
    ends = calendar.select(pl.col("cohort_at").cast(pl.Int64).alias("ends_at"), "complete")
    return (
        calendar.select(pl.col("period").alias("cohort"), pl.col("cohort_at").cast(pl.Int64))
        .join(columns, how="cross")
        .filter(pl.col("cohort_at") + pl.col("first") < len(window.periods(every)))
        .with_columns((pl.col("cohort_at") + pl.col("last")).alias("ends_at"))
        .join(ends, on="ends_at", how="left")
        .with_columns(pl.col("complete").fill_null(value=False))
    )


def _by_clock(columns: pl.LazyFrame, window: Window, every: str) -> pl.LazyFrame:
    """Return cohort, cell, complete where a cell begins with the first of a cohort to get there.

    It ends with the last one: who started in the last hour of the cohort's period.
    """
    zone = ZoneInfo(window.timezone)
    periods, length = window.periods(every), LENGTHS[every]
    opens = [datetime.combine(period, time(), zone) for period in periods]
    closes = [
        datetime.combine(window.period_end(period, every=every), time(), zone) for period in periods
    ]
    cohorts = pl.LazyFrame(
        {"cohort": periods, "opens": opens, "closes": closes},
        schema={"cohort": pl.Date, "opens": TIME, "closes": TIME},
    )
    begins = pl.col("opens") + pl.col("first") * length
    ends = pl.col("closes") + (pl.col("last") + 1) * length
    return (
        cohorts.join(columns, how="cross")
        .filter(begins < pl.lit(window.widened(every).closes_at).cast(TIME))
        .with_columns((ends <= pl.lit(window.closes_at).cast(TIME)).alias("complete"))
    )
