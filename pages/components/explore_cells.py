"""From any cell to the question behind it: "Explore" in the cell's menu.

What a cell asks becomes a question by data_access.explore.starts; here its options are completed
with the metric's own, and the cell's days and stage go along where they differ from the sidebar's.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import streamlit as st

from data_access.explore import Question, Start, started
from data_access.metrics import METRICS
from pages.components import access, explore, explore_build, text
from pages.components.view import current

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from data_access import Filters, Window
    from pages.components.cell import Ask
    from pages.components.view import View

OFFERED_MAX: Final = 4  # questions of one cell


@dataclass(frozen=True, slots=True)
class Kept:
    """What of a cell's filters is not the sidebar's: fields of the sidebar, as they have to be."""

    fields: tuple[tuple[str, Any], ...] = ()
    is_whole: bool = True  # nothing about the cell's days is lost on the way


def start_of(ask: Ask, window: Window) -> Start | None:
    """Return the question of one ask of a cell; None when it is not about the four tables."""
    spec = METRICS.get(ask.metric)
    if spec is None:
        return None
    given = dict(ask.options)
    split = given.pop("split", None) or ""
    options = {
        name: one.default
        for name, one in inspect.signature(spec.compute).parameters.items()
        if one.default is not inspect.Parameter.empty
    }
    start = started(ask.metric, spec.sources, options | given, split=split)
    if "hour" in start.question.group and not _has_hours_of_utc(window):
        return replace(start, column="")
    return start


def _has_hours_of_utc(window: Window) -> bool:
    """Say whether the hours of metrics, UTC's, begin with those of the page's clock."""
    zone, hour = ZoneInfo(window.timezone), timedelta(hours=1)
    offsets = (at.astimezone(zone).utcoffset() for at in (window.opens_at, window.closes_at))
    return not any((offset or timedelta()) % hour for offset in offsets)


def offer(
    view: View, title: str, slug: str, asks: Iterable[Ask], after: Callable[[], None]
) -> None:
    """Offer the questions behind a cell; `after` runs the page once more, to go there."""
    if not access.may_or_say("explore"):
        return
    found: dict[Question, tuple[str, Start]] = {}
    for ask in asks:
        start = start_of(ask, view.window)
        if start is not None and len(found) < OFFERED_MAX:
            found.setdefault(start.question, (ask.name, start))
    if not found:
        st.caption(
            "Explore asks events, errors, traces and sessions. This is told by the clients' own "
            "counts, which it does not read."
        )
        return
    kept = _kept(view)
    for number, (name, start) in enumerate(found.values()):
        said = _said(title if len(found) == 1 else f"{title}, {name}", start, kept)
        st.caption(f"{text.escaped(explore_build.said(start.question), most=200)}. {said}")
        st.button(
            "Open in Explore",
            icon=":material/manage_search:",
            key=f"explore-{slug}-{number}",
            on_click=partial(_open, start.question, said, kept, after),
        )


def _said(title: str, start: Start, kept: Kept) -> str:
    """Say what the question has to do with the cell."""
    cell = f"“{text.escaped(title)}”"
    if start.column and kept.is_whole:
        return f"The same numbers as {cell} ({text.escaped(start.column)})."
    if start.is_rows:
        return f"The rows {cell} is counted from. Choose a measure to count them."
    return f"Near to {cell}, which counts a little differently: its definition says how."


def _open(question: Question, said: str, kept: Kept, after: Callable[[], None]) -> None:
    for name, value in kept.fields:
        st.session_state[name] = value
    explore.open_next(question, said=said)
    after()


def _kept(view: View) -> Kept:
    """Return what has to be set so that the sidebar says what the cell shows."""
    shown: Filters = current().filters
    fields: dict[str, Any] = {}
    is_whole = True
    if view.filters.stages != shown.stages:
        fields["stage"] = list(view.filters.stages)
    window = view.filters.window
    if window != shown.window:
        is_whole = window.start_at is None and window.end_at is None
        fields |= {"span": "custom", "from": window.start, "to": window.end - timedelta(days=1)}
    return Kept(tuple(fields.items()), is_whole)
