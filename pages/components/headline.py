"""The headline row: a few numbers, each with its change in words, its past and its definition."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote

import streamlit as st

from data_access.metrics import METRICS
from pages.components import text
from pages.components.boundary import alone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pages.components.view import View

WIDTH_MIN: Final = 150  # px; the row breaks before a number does
HEIGHT: Final = 128
WIDE, TALL, TOP, LOW = 100, 24, 2, 22  # of a sparkline, in its own units

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
    with st.container(border=True, height="stretch", gap=None):
        st.metric(
            number.label,
            text.about(number.value, sample),
            _UNITS.sub("\u00a0", change.words) if change else None,
            delta_color=colour,
            delta_arrow=arrow,
            help=told or None,
        )
        if len(number.spark) > 1:
            st.html(line(number.spark))


def line(values: Sequence[float]) -> str:
    """Return a sparkline as HTML: decoration of a number that is said in words beside it.

    `st.metric` would draw one with Vega: 0.8 MB that a reader downloads for this alone, and marks
    that assistive technology meets without a name. `st.html` takes no SVG, so it is the mask
    through which the text's own colour shows.
    """
    low, high = min(values), max(values)
    step, span = WIDE / (len(values) - 1), (high - low) or 1.0
    floor = LOW if high > low else TALL / 2
    points = " ".join(
        f"{number * step:.1f},{floor - (value - low) / span * (LOW - TOP):.1f}"
        for number, value in enumerate(values)
    )
    drawn = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDE} {TALL}' "
        f"preserveAspectRatio='none'><polyline points='{points}' fill='none' stroke='black' "
        "stroke-width='1.5' stroke-linejoin='round' vector-effect='non-scaling-stroke'/></svg>"
    )
    mask = f"url(&quot;data:image/svg+xml,{quote(drawn)}&quot;)"
    return f'<div class="bs-spark" aria-hidden="true" style="mask-image: {mask}"></div>'
