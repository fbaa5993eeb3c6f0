"""Who comes back: cohorts by the period people started in, and the share seen again later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import (
    KEY,
    USER,
    WEIGHT,
    MetricError,
    event_predicate,
    of_people,
    one_of,
    qualifying,
    weight_of,
)
from data_access.metrics.registry import ALL_HISTORY, metric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from data_access.metrics.common import Event
    from data_access.window import Window

__all__ = ["retention", "retention_users"]

COHORTS: Final = ("first", "recurring")
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
    grid = _grid(window, every, brackets)
    asked = _Asked(every, start, back, cohort, unbounded, min_returns, brackets)

    def step(rows: pl.DataFrame, _: object, each: float) -> pl.LazyFrame:
        return _shares(rows.lazy(), grid, window, asked.of(each))

    return _of_people(events, step, window, asked, user=KEY)


def _shares(
    activity: pl.LazyFrame, grid: pl.LazyFrame, window: Window, asked: _Asked
) -> pl.LazyFrame:
    """Return the columns of `retention` out of a row per user and period."""
    cells = _cells(activity, window, asked, user=KEY)
    counted = cells.group_by(_CELL).agg(pl.col(WEIGHT).sum().alias("users"))
    size = counted.filter(pl.col("period") == 0).select(
        "cohort", pl.col("users").alias("cohort_users")
    )
    return (
        grid.join(counted, on=_CELL, how="left")
        .join(size, on="cohort", how="left")
        .with_columns(pl.col("users", "cohort_users").fill_null(0.0))
        .with_columns(
            pl.when(pl.col("cohort_users") > 0)
            .then(pl.col("users") / pl.col("cohort_users"))
            .alias("rate")
        )
        .select(*_CELL, "users", "cohort_users", "rate", "complete")
        .sort(_CELL)
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
) -> pl.LazyFrame:
    """Users behind each cell of `retention`.

    Definition
    ----------
    One row per user in a cell, under exactly the definition of `retention`. The sum of
    `weight` over a cell is its `users`.

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
    _grid(window, every, brackets)
    asked = _Asked(every, start, back, cohort, unbounded, min_returns, brackets)

    def step(rows: pl.DataFrame, _: object, each: float) -> pl.LazyFrame:
        cells = _cells(rows.lazy(), window, asked.of(each), user=USER)
        return cells.select(*_CELL, USER, WEIGHT).sort(*_CELL, USER)

    return _of_people(events, step, window, asked, user=USER)


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

    def __post_init__(self) -> None:
        one_of("cohort", self.cohort, COHORTS)
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
    seen = _followed(activity, wide, asked, user=user)
    seen = seen.with_columns(
        _periods_between(pl.col("cohort"), pl.col("at"), asked.every).alias("period")
    )
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

    `born` is the smallest weight of the start events there and `least` that of the returns
    (null: there is none), `times` how many returns that is.
    """
    either = None if asked.start is None or asked.back is None else [asked.start, asked.back]
    columns = {
        "at": wide.period(every=asked.every),
        "born": pl.when(event_predicate(asked.start)).then(weight_of(events)),
        "least": pl.when(event_predicate(asked.back)).then(weight_of(events)),
    } | ({} if user == KEY else {user: pl.col(user)})
    since = wide.before() if asked.cohort == "first" else wide.contains()
    known = (
        pl.lit(value=True)
        if either is None
        else pl.any_horizontal(*(event_predicate(one) for one in either))
    )
    return (
        qualifying(events, None, since & known, **columns)
        .group_by("at", user)
        .agg(pl.col("born").min(), pl.col("least").min(), pl.col("least").sum().alias("times"))
    )


def _followed(activity: pl.LazyFrame, wide: Window, asked: _Asked, *, user: str) -> pl.LazyFrame:
    """Join each cohort's users, at the weight they joined with, to their later periods."""
    started = pl.col("born").is_not_null()
    if asked.cohort == "recurring":
        starts = activity.filter(started).select(
            user, pl.col("at").alias("cohort"), pl.col("born").alias(WEIGHT)
        )
        return starts.join(activity.drop("born"), on=user).filter(pl.col("at") >= pl.col("cohort"))
    first = pl.when(started).then("at").min().over(user)
    joined_with = pl.when(pl.col("at") == pl.col("cohort")).then("born").min().over(user)
    return (
        activity.with_columns(first.alias("cohort"))
        .filter(pl.col("cohort") >= wide.start, pl.col("at") >= pl.col("cohort"))
        .with_columns(joined_with.alias(WEIGHT))
    )


def _or_any_later(cells: pl.LazyFrame, user: str) -> pl.LazyFrame:
    """Spread each return over the cells since the one before: "in this period or later"."""
    group = ["cohort", user]
    before = pl.col("period").shift(1, fill_value=0).over(group, order_by="period")
    least = pl.col("least").cum_min(reverse=True).over(group, order_by="period")
    return cells.with_columns(
        pl.int_ranges(before + 1, pl.col("period") + 1), least.alias("least")
    ).explode("period")


def _periods_between(first: pl.Expr, last: pl.Expr, every: str) -> pl.Expr:
    """Return how many periods the period `last` is after the period `first`, as Int64."""
    if every == "1mo":
        years = last.dt.year().cast(pl.Int64) - first.dt.year().cast(pl.Int64)
        return years * 12 + last.dt.month().cast(pl.Int64) - first.dt.month().cast(pl.Int64)
    return (last - first).dt.total_days() // (7 if every == "1w" else 1)


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


def _grid(window: Window, every: str, brackets: Sequence[int]) -> pl.LazyFrame:
    """Return cohort, period, complete: every cell that begins inside the window, users or not."""
    periods = window.periods(every)
    if len(periods) > PERIODS_MAX:
        raise MetricError(
            f"The window has {len(periods)} periods of {every}; retention shows at most "
            f"{PERIODS_MAX}. Choose longer periods or a shorter window."
        )
    calendar = window.calendar(every).with_row_index("cohort_at")
    spans = _spans(brackets, len(periods))
    columns = pl.LazyFrame(
        {
            "cell": range(len(spans)),
            "first": [first for first, _ in spans],
            "last": [last for _, last in spans],
        },
        schema={"cell": pl.Int64, "first": pl.Int64, "last": pl.Int64},
    )
    ends = calendar.select(pl.col("cohort_at").cast(pl.Int64).alias("ends_at"), "complete")
    return (
        calendar.select(pl.col("period").alias("cohort"), pl.col("cohort_at").cast(pl.Int64))
        .join(columns, how="cross")
        .filter(pl.col("cohort_at") + pl.col("first") < len(periods))
        .with_columns((pl.col("cohort_at") + pl.col("last")).alias("ends_at"))
        .join(ends, on="ends_at", how="left")
        .select(
            "cohort",
            pl.col("cell").alias("period"),
            pl.col("complete").fill_null(value=False),
        )
    )
