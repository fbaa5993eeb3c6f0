"""The people behind the pictures several pages share: of a day or a week, and of a bar.

Each function returns what `cell` takes as `marks`, `at` and `behind`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from pages.components import charts, text
from pages.components.marks import Behind, Mark

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from pages.components.cell import Data
    from pages.components.view import View

PERIODS = {"1d": "on", "1w": "in the week of", "1mo": "in the month of"}


def of_periods(
    view: View,
    metric: str = "people",
    *,
    every: str = "1d",
    column: str = "users",
    did: str = "were active",
    **options: Any,  # noqa: ANN401 - the metric's own options
) -> dict[str, Any]:
    """Lead from the days, weeks or months of a time axis to the people of one.

    Parameters
    ----------
    metric : the one that lists people, asked over that period alone.
    column : of the cell's first frame; how many people a period has.
    did : what they did, for the sentence above the list.
    """

    def named(period: date) -> str:
        return f"{PERIODS[every]} {text.day(period, today=view.today)}"

    def marks(data: Data) -> list[Mark]:
        rows = data.now.select("period", column).iter_rows()
        said = [(period, text.some(n or 0, "person", "people")) for period, n in rows if n]
        return [
            Mark(f"{_capital(named(period))}: {n}", period.isoformat())
            for period, n in reversed(said)
        ]

    def who(token: str, _: Data) -> Behind:
        period = date.fromisoformat(token)
        window = replace(
            view.window,
            start=period,
            end=view.window.period_end(period, every=every),
            start_at=None,
            end_at=None,
        )
        found = view.over(window).load(metric, **options)
        words = f"{_many(view, metric, found)} {did} {named(period)}"
        return Behind(found, words, window=window)

    return {"marks": marks, "at": _day_at, "behind": who}


def of_values(
    view: View,
    name: str,
    *,
    column: str = "users",
    did: str = "were here with",
    metric: str = "people",
    of: Callable[[str | None], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Lead from a bar, or a table's row, per value to the people who have the value.

    Parameters
    ----------
    name : the column of the cell's first frame that names the bars.
    of : from a value to the metric's options; not given, people with any event of that value.
    """
    options_of = of or (lambda value: {"by": name, "value": value, "active_events": None})

    def marks(data: Data) -> list[Mark]:
        rows = data.now.select(name, column).iter_rows()
        return [
            Mark(f"{value or text.NO_NAME}: {text.count(n)}", value or "") for value, n in rows if n
        ]

    def at(point: dict[str, Any], data: Data) -> str | None:
        labels = {charts.label_of(value or ""): value or "" for value in data.now[name]}
        return labels.get(str(point.get("y")))

    def who(token: str, _: Data) -> Behind:
        found = view.load(metric, **options_of(token or None))
        said = text.escaped(token or text.NO_NAME)
        return Behind(found, f"{_many(view, metric, found)} {did} {said}")

    return {"marks": marks, "at": at, "behind": who}


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _day_at(point: dict[str, Any], _: Data) -> str | None:
    """Return the day of a clicked point of a time axis."""
    day = str(point.get("x"))[:10]
    try:
        return date.fromisoformat(day).isoformat()
    except ValueError:
        return None


def _many(view: View, metric: str, found: pl.DataFrame) -> str:
    """Say how many people a list stands for."""
    number = text.some(float(found["weight"].sum()), "person", "people")
    return text.about(number, view.sample(metric))
