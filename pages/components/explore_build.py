"""A question put together without code: table, measure, groups, conditions, how many rows.

Each field changes the question in the link, and the fields show what the link says.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from data_access.explore import MEASURES, QueryRefused, Question
from data_access.explore.question import LIMIT_MAX, NAMES_MAX
from data_access.schema import SCHEMAS
from pages.components import explore, explore_where, text
from pages.components import explore_words as words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pages.components.view import View

GROUPS_MAX: Final = 3


# what to begin with when nothing is asked yet
STARTS: Final = {
    "People per day": Question(measure="people", group=("day",)),
    "Events by name": Question(group=("event_name",), order="-events"),
    "Failures by release": Question(measure="error_rate", group=("release",)),
    "p95 by operation": Question(
        table="traces",
        measure="p95",
        of="duration_ms",
        group=("operation_name",),
        order="-duration_ms_p95",
    ),
    "When people are here": Question(measure="people", group=("weekday", "hour_of_day")),
    "The latest events": Question(measure=""),
}


def builder(view: View, question: Question) -> None:
    """Draw the fields that make up a question."""
    if question == Question():
        with st.container(horizontal=True, vertical_alignment="center", key="explore-starts"):
            st.caption("Begin with", width="content")
            for label, start in STARTS.items():
                st.button(
                    label,
                    key=f"_x-start-{label}",
                    type="tertiary",
                    on_click=partial(explore.put, start, saved=""),
                )
    with st.container(horizontal=True, vertical_alignment="bottom", key="explore-build"):
        _table(question)
        _measure(question)
        if question.measure:
            _groups(view, question)
        else:
            _columns(view, question)
    explore_where.conditions(view, question)
    with st.container(horizontal=True, vertical_alignment="center", key="explore-more"):
        explore_where.another()
        with st.popover(_more_said(question), type="tertiary", key="_x-more"):
            _more(view, question)


def _more_said(question: Question) -> str:
    """Return what the order, the number of rows and the days are, when they are anything."""
    parts = [_order_said(question.order)] if question.order else []
    parts += [f"{question.limit:,} rows at most"] if question.limit else []
    parts += ["all of history"] if question.all_history else []
    return text.plain("; ".join(parts) or "Order, rows, days", most=120)


# --- what ------------------------------------------------------------------------------------


def _table(question: Question) -> None:
    _seed("table", question.table)
    st.selectbox(
        "Table",
        list(SCHEMAS),
        key="_x-table",
        on_change=_set_table,
        help=words.TABLES[question.table],
        width=130,
    )


def _set_table() -> None:
    """Change the table; what the other table has not is left out of the question."""
    table, question = st.session_state["_x-table"], explore.current()
    has = SCHEMAS[table]

    def stays(name: str) -> bool:
        return name in has or (name.startswith("metadata.") and "metadata" in has)

    measure = question.measure if question.measure in words.measures_of(table) else "count"
    of = question.of if question.of in words.numbers_of(table) else ""
    if MEASURES[measure] and not of:
        of = words.numbers_of(table)[0]
    explore.put(
        replace(
            question,
            table=table,
            measure=measure,
            of=of if MEASURES[measure] else "",
            columns=tuple(name for name in question.columns if name in has),
            group=tuple(name for name in question.group if name in words.BUCKETS or stays(name)),
            where=tuple(one for one in question.where if stays(one.column)),
            order="",
        )
    )


def _measure(question: Question) -> None:
    offered = words.measures_of(question.table)
    _seed("measure", question.measure, offered)
    st.selectbox(
        "Measure",
        offered,
        format_func=lambda name: words.MEASURES[name],
        key="_x-measure",
        on_change=_set_measure,
        width=180,
    )
    if MEASURES[question.measure]:
        numbers = _with(words.numbers_of(question.table), question.of)
        _seed("of", question.of, numbers)
        st.selectbox(
            "Of",
            numbers,
            format_func=words.label,
            key="_x-of",
            on_change=_set("of"),
            width=190,
        )


def _set_measure() -> None:
    measure, question = st.session_state["_x-measure"], explore.current()
    of = ""
    if MEASURES[measure]:
        of = question.of or words.numbers_of(question.table)[0]
    explore.put(replace(question, measure=measure, of=of, order=""))


def _groups(view: View, question: Question) -> None:
    offered = words.groups_of(question.table, view.facts.properties)
    offered = _with(offered, *question.group)
    _seed("group", list(question.group))
    st.multiselect(
        "By",
        offered,
        format_func=words.label,
        key="_x-group",
        on_change=_set("group"),
        max_selections=max(GROUPS_MAX, len(question.group)),
        placeholder="All in one number",
        help="Up to three. Time is the page's: days begin at its midnight.",
        width=330,
    )


def _columns(view: View, question: Question) -> None:
    offered = [*SCHEMAS[question.table], *words.keys_of(question.table, view.facts.properties)]
    offered = _with(offered, *question.columns)
    _seed("columns", list(question.columns))
    st.multiselect(
        "Columns",
        offered,
        format_func=words.label,
        key="_x-columns",
        on_change=_set("columns"),
        max_selections=NAMES_MAX,
        placeholder="All of them",
        width=330,
    )


# --- how many --------------------------------------------------------------------------------


def _more(view: View, question: Question) -> None:
    offered = _with(["", *_orders(question)], question.order)
    _seed("order", question.order)
    st.selectbox("Order", offered, format_func=_order_said, key="_x-order", on_change=_set("order"))
    _seed("limit", question.limit or None)
    st.number_input(
        "Rows at most",
        1,
        LIMIT_MAX,
        None,
        1,
        key="_x-limit",
        on_change=_set_limit,
        placeholder=f"{view.facts.settings.limits.query_rows:,}",
    )
    _seed("all_history", question.all_history)
    st.toggle(
        "All of history",
        key="_x-all_history",
        on_change=_set("all_history"),
        help="Leaves the sidebar's days out of account; its other filters still hold.",
    )


def _orders(question: Question) -> list[str]:
    try:
        names = explore.orders_of(question)
    except QueryRefused:  # a group a link made up: the answer says so
        names = []
    return [order for name in names for order in (f"-{name}", name)]


def _order_said(order: str) -> str:
    if not order:
        return "By its groups; rows newest first"
    name = words.label(order.removeprefix("-"))
    return f"{name}, largest first" if order.startswith("-") else f"{name}, smallest first"


def _set_limit() -> None:
    explore.change(limit=int(st.session_state["_x-limit"] or 0))


# --- fields ----------------------------------------------------------------------------------


def _seed(name: str, value: Any, offered: Sequence[Any] | None = None) -> None:  # noqa: ANN401 - a widget's own value
    """Let a field show what the question says."""
    st.session_state[f"_x-{name}"] = value
    if offered is not None and value not in offered:
        st.session_state[f"_x-{name}"] = offered[0]


def _set(name: str) -> Callable[[], None]:
    """Return what a change of a field does: the question's field of that name becomes its value."""

    def changed() -> None:
        value = st.session_state[f"_x-{name}"]
        explore.change(**{name: tuple(value) if isinstance(value, list) else value})

    return changed


def _with(offered: Sequence[str], *values: str) -> list[str]:
    """Return what is offered, and what a link asks for beside it."""
    return [*offered, *[value for value in values if value and value not in offered]]


def said(question: Question) -> str:
    """Return a built question as a phrase: for the history and its saved name."""
    what = words.MEASURES[question.measure] if question.measure else "Rows"
    if question.of:
        what = f"{what} {words.label(question.of)}"
    if question.measure in {"count", "rows"}:
        what = (
            f"{what} of {question.table}"
            if question.measure == "rows"
            else f"How many {question.table}"
        )
    else:
        what = f"{what} in {question.table}"
    if question.measure and question.group:
        what += " by " + text.listed([words.label(name) for name in question.group])
    if question.where:
        what += " where " + ", ".join(
            f"{words.label(one.column)} {words.operator(one.operator)} {one.value}".strip()
            for one in question.where[:3]
        )
    return what
