"""The people behind retention: of a cohort's cell, of a lifecycle bar, of how often they come.

Each function returns what `cell` takes as `marks`, `at` and `behind`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pages.components import retention_charts as drawn
from pages.components import text
from pages.components.marks import Behind, Mark, token_at

if TYPE_CHECKING:
    from data_access.window import Window
    from pages.components.cell import Data
    from pages.components.retention import Asked
    from pages.components.view import View

_A_DAY: Final = timedelta(days=1)
# trace of `charts.lifecycle` -> (state, in words)
STATES: Final = {
    0: ("returning", "returning"),
    1: ("new", "new"),
    2: ("resurrecting", "back after a pause"),
    3: ("dormant", "gone quiet"),
}


def of_cells(view: View, asked: Asked) -> dict[str, Any]:
    """Lead from the cells of the triangle, or the points of the curves, to their people."""

    def marks(data: Data) -> list[Mark]:
        cells = drawn.shown(data.frames["retention"], every=asked.every)
        peopled = cells.filter(pl.col("users") > 0)
        rows = peopled.sort("cohort", "period", descending=[True, False]).rows(named=True)
        return [Mark(drawn.cell_words(row, asked.every), drawn.token(**_key(row))) for row in rows]

    def who(token: str, data: Data) -> Behind:
        rows = data.frames["retention"].rows(named=True)
        row = next(row for row in rows if drawn.token(**_key(row)) == token)
        people = view.load("retention_users", cell=(row["cohort"], row["period"]), **asked.options)
        window = _when(view.window, asked, row["cohort"], row["period"])
        return _behind(view, "retention_users", people, drawn.cell_words(row, asked.every), window)

    return {"marks": marks, "at": token_at, "behind": who}


def _key(row: dict[str, Any]) -> dict[str, Any]:
    return {"cohort": row["cohort"], "period": row["period"]}


def _when(window: Window, asked: Asked, cohort: date, period: int) -> Window:
    """Return the days in which people came back, those of their own clocks included."""
    start = end = cohort
    for _ in range(period):
        start = window.period_end(start, every=asked.every)
    end = window.period_end(start, every=asked.every)
    if asked.clock == "rolling" and period:
        end = window.period_end(end, every=asked.every)
    if asked.later and period:
        end = max(end, window.end)
    return _days(window, start, end)


def _days(window: Window, start: date, end: date) -> Window:
    return replace(window, start=start, end=end, start_at=None, end_at=None)


def of_lifecycle(view: View, every: str) -> dict[str, Any]:
    """Lead from the bars of who comes, stays and goes to the people in one."""

    def words(row: dict[str, Any], state: str, said: str) -> str:
        people = text.some(abs(row[state]), "person", "people")
        return f"{drawn.cohort_name(row['period'], every)}: {people} {said}"

    def marks(data: Data) -> list[Mark]:
        rows = data.now.sort("period", descending=True).rows(named=True)
        return [
            Mark(words(row, state, said), f"{row['period']}~{state}")
            for row in rows
            for state, said in STATES.values()
            if row[state]
        ]

    def at(point: dict[str, Any], _: Data) -> str | None:
        state = STATES.get(int(point.get("curve_number", -1)))
        return f"{str(point.get('x'))[:10]}~{state[0]}" if state else None

    def who(token: str, data: Data) -> Behind:
        period, _, state = token.partition("~")
        row = data.now.filter(pl.col("period").cast(pl.String) == period).row(0, named=True)
        people = view.load("lifecycle_users", every=every, bar=(row["period"], state))
        day = row["period"]
        window = _days(view.window, day, view.window.period_end(day, every=every))
        if state == "dormant":  # what they did last, in the period before
            before = view.window.period_start(day - _A_DAY, every=every)
            window = _days(view.window, before, day)
        said = words(row, state, dict(STATES.values())[state])
        return _behind(view, "lifecycle_users", people, said, window)

    return {"marks": marks, "at": at, "behind": who}


def of_times(view: View, every: str) -> dict[str, Any]:
    """Lead from the bars of how often people come to the people in one."""

    def words(periods: int, users: float) -> str:
        noun = drawn.NOUNS[every]
        return f"{text.some(users, 'person', 'people')} active in {text.some(periods, noun)}"

    def marks(data: Data) -> list[Mark]:
        rows = data.now.select("periods_active", "users").iter_rows()
        return [Mark(words(periods, users), str(periods)) for periods, users in rows if users]

    def who(token: str, data: Data) -> Behind:
        [(periods, users)] = data.now.filter(periods_active=int(token)).rows()
        people = view.load("stickiness_users", every=every, bar=periods)
        return _behind(view, "stickiness_users", people, words(periods, users), None)

    return {"marks": marks, "at": token_at, "behind": who}


def _behind(
    view: View, metric: str, people: pl.DataFrame, words: str, window: Window | None
) -> Behind:
    """Return a row per person, and how many each stands for where that is not one."""
    sample = view.sample(metric)
    shown = people.select("user_id_hash", *(["weight"] if sample else []))
    return Behind(shown, f"{words}; estimated" if sample else words, window=window)
