"""From the pictures of the Features page to the people behind them.

Each function returns what `cell` takes as `marks`, `at` and `behind`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data_access.metrics.breakdown import NO_VALUE, OTHER
from pages.components import text
from pages.components.behind import PERIODS
from pages.components.features import JOIN, largest, paired
from pages.components.marks import Behind, Mark, token_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pages.components.cell import Data
    from pages.components.view import View

# what a breakdown is called -> the filter that keeps one of its groups; others are metadata
_FILTERS: Final = {
    "tier": "tiers",
    "channel": "channels",
    "release": "releases",
    "project": "projects",
    "stage": "stages",
}


def of_groups(view: View, column: str, split: str) -> dict[str, Any]:
    """Lead from the squares of a matrix by tier, or by what it is broken down by, to people."""

    def within(value: str) -> View:
        name = _FILTERS.get(split, "properties")
        kept = (value,) if split in _FILTERS else (*view.filters.properties, f"{split}:{value}")
        narrowed: dict[str, Any] = {name: kept}
        return view.of(replace(view.filters, **narrowed))

    def told(row: Mapping[str, Any]) -> bool:
        return bool(row[column]) and row[column] not in (OTHER, NO_VALUE)

    return _who(
        lambda data: [row for row in data.now.rows(named=True) if told(row)],
        column,
        within,
        lambda value: f"in {value}",
    )


def of_periods(view: View, every: str) -> dict[str, Any]:
    """Lead from the squares of a matrix by period to the people of one."""

    def within(value: str) -> View:
        start = date.fromisoformat(value)
        end = view.window.period_end(start, every=every)
        return view.over(replace(view.window, start=start, end=end, start_at=None, end_at=None))

    def said(value: str) -> str:
        return f"{PERIODS[every]} {text.day(date.fromisoformat(value), today=view.today)}"

    return _who(
        lambda data: data.now.sort("period", descending=True).rows(named=True),
        "period",
        within,
        said,
    )


def _who(
    rows_of: Callable[[Data], Sequence[Mapping[str, Any]]],
    column: str,
    within: Callable[[str], View],
    said: Callable[[str], str],
) -> dict[str, Any]:
    """Return marks, at and behind for a matrix of features by `column`."""

    def marks(data: Data) -> list[Mark]:
        shown = largest(data.now)
        return [
            Mark(
                f"{row['feature']} {said(str(row[column]))}: "
                f"{text.count(row['users'])} of {text.count(row['active_users'])} people",
                f"{row['feature']}{JOIN}{row[column]}",
            )
            for row in rows_of(data)
            if row["users"] and row["feature"] in shown
        ]

    def behind(token: str, _data: Data) -> Behind:
        feature, _, value = token.rpartition(JOIN)
        where = within(value)
        found = _most_first(where.load("feature_users", feature=feature))
        words = f"used {text.escaped(feature)} {text.escaped(said(value))}"
        return Behind(found, f"{_people(where, found)} {words}", window=where.window)

    return {"marks": marks, "at": token_at, "behind": behind}


def of_pairs(view: View) -> dict[str, Any]:
    """Lead from a pair to the people who used both in one session."""

    def marks(data: Data) -> list[Mark]:
        names = paired(data.now)
        shown = data.now.filter(
            pl.col("sessions") > 0,
            pl.col("feature").is_in(names),
            pl.col("other").is_in(names),
        ).sort("sessions", descending=True)
        return [
            Mark(
                f"{row['feature']} and {row['other']}: {text.some(row['sessions'], 'session')}",
                f"{row['feature']}{JOIN}{row['other']}",
            )
            for row in shown.rows(named=True)
        ]

    def behind(token: str, _data: Data) -> Behind:
        feature, _, other = token.partition(JOIN)
        found = _most_first(view.load("feature_users", feature=feature, other=other))
        pair = f"{text.escaped(feature)} and {text.escaped(other)}"
        return Behind(found, f"{_people(view, found)} used {pair} in one session")

    return {"marks": marks, "at": token_at, "behind": behind}


def of_breadth(view: View) -> dict[str, Any]:
    """Lead from a number of features to the people who used so many."""

    def marks(data: Data) -> list[Mark]:
        return [
            Mark(
                f"{text.some(row['features'], 'feature')}: {text.count(row['users'])} people",
                str(row["features"]),
            )
            for row in data.now.rows(named=True)
            if row["users"]
        ]

    def behind(token: str, _: Data) -> Behind:
        found = view.load("feature_people").filter(pl.col("features") == int(token))
        many = text.some(int(token), "different feature")
        return Behind(found, f"{_people(view, found)} used {many}")

    return {
        "marks": marks,
        "at": lambda point, _: str(point.get("x")),
        "behind": behind,
    }


def _most_first(found: pl.DataFrame) -> pl.DataFrame:
    return found.sort("uses", "user_id_hash", descending=[True, False])


def _people(view: View, found: pl.DataFrame) -> str:
    many = text.some(float(found["weight"].sum()), "person", "people")
    return text.about(many, view.sample("feature_users"))
