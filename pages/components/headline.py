"""The headline row: a few numbers, each with its change in words, its past and its definition."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import streamlit as st

from data_access.metrics import METRICS
from pages.components import text
from pages.components.boundary import alone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pages.components.view import View

WIDTH_MIN: Final = 150  # px; the row breaks before a number does
HEIGHT: Final = 128

_UNITS: Final = re.compile(r"(?<=\d) (?=%|ms|s\b|min|h\b|points)")  # never broken off its number


@dataclass(frozen=True, slots=True)
class Number:
    """One headline number. `good` says which direction is good news: 1 up, -1 down, 0 neither.

    `people` is the number itself where it counts people: in a sample its error is then known.
    """

    label: str
    value: str
    change: text.Change | None = None
    metric: str | None = None
    good: int = 1
    spark: Sequence[float] = ()
    note: str = ""
    people: float | None = None


def headline(view: View, numbers: Callable[[], Sequence[Number]]) -> None:
    """Draw the row once the page is laid out; a failure is said in its place."""
    if view.only is not None:
        return
    slot = st.skeleton(HEIGHT) if view.is_first_look else st.container()

    def fill() -> None:
        with slot.container() if view.is_first_look else slot, alone("The headline"):
            _row(view, numbers())

    view.later(fill)


def _row(view: View, numbers: Sequence[Number]) -> None:
    grid = st.grid(len(numbers), min_column_width=WIDTH_MIN, gap="xsmall")
    for number in numbers:
        with grid:
            _card(number, view.sample(number.metric))


def _card(number: Number, sample: text.Sample | None) -> None:
    change = number.change
    arrow: Literal["up", "down", "off"] = "off"
    colour: Literal["green", "red", "gray"] = "gray"
    if change is not None and change.direction:
        arrow = "up" if change.direction > 0 else "down"
        if number.good:
            colour = "green" if change.direction == number.good else "red"
    spec = METRICS.get(number.metric or "")
    estimated = text.estimated(sample, number.people) if sample else ""
    defined = text.tooltip(spec.definition) if spec else ""
    told = " ".join(part for part in (number.note, estimated, defined) if part)
    st.metric(
        number.label,
        text.about(number.value, sample),
        _UNITS.sub("\u00a0", change.words) if change else None,
        delta_color=colour,
        delta_arrow=arrow,
        help=told or None,
        border=True,
        height="stretch",
        chart_data=list(number.spark) if len(number.spark) > 1 else None,
        chart_type="line",
    )
