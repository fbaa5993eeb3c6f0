"""The conditions of a built question: a row each, of column, operator and value.

A condition that is not written to the end yet has no part in the question, and stays on the page.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

import polars as pl
import streamlit as st

from data_access.explore import Condition, Question
from data_access.explore.question import KEY_PREFIX, OPERATORS, VALUE_CHARS_MAX, listed
from data_access.filters import DIMENSIONS
from data_access.schema import SCHEMAS
from pages.components import explore
from pages.components import explore_words as words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pages.components.view import View

CONDITIONS_MAX: Final = 12
VALUES_OFFERED_MAX: Final = 300
_DRAFTS: Final = "_explore_conditions"
_NEW: Final = Condition("", "is")
_NOT_OFFERED: Final = ("properties", "segments", "stages")  # filters that are no single column


@dataclass(frozen=True, slots=True)
class _Row:
    """One condition on the page: its place, itself, and whether its fields are named above."""

    table: str
    number: int
    draft: Condition

    @property
    def labels(self) -> Literal["visible", "collapsed"]:
        return "visible" if self.number == 0 else "collapsed"

    def key(self, field: str) -> str:
        return f"_x-if-{field}-{self.number}"


def conditions(view: View, question: Question) -> None:
    """Draw the question's conditions, a row each."""
    drafts = _drafts(question)
    for number, draft in enumerate(drafts):
        _condition(view, _Row(question.table, number, draft))


def another() -> None:
    """Offer one more condition."""
    st.button(
        "Add a condition",
        icon=":material/add:",
        type="tertiary",
        key="_x-add",
        on_click=_add,
        disabled=len(st.session_state.get(_DRAFTS, ())) >= CONDITIONS_MAX,
    )


def _drafts(question: Question) -> tuple[Condition, ...]:
    """Return the conditions as they are being written, in step with the question's own."""
    drafts: tuple[Condition, ...] = st.session_state.get(_DRAFTS, ())
    if _whole(drafts) != question.where:
        drafts = question.where
    st.session_state[_DRAFTS] = drafts
    return drafts


def _whole(drafts: Sequence[Condition]) -> tuple[Condition, ...]:
    found = [
        one if words.needs_value(one.operator) else replace(one, value="")
        for one in drafts
        if one.column and (one.value or not words.needs_value(one.operator))
    ]
    return tuple(dict.fromkeys(found))


def _condition(view: View, row: _Row) -> None:
    draft, changed = row.draft, partial(_write, row.number)
    offered = words.conditions_of(row.table, view.facts.properties)
    if draft.column and draft.column not in offered:
        offered = [*offered, draft.column]
    with st.container(horizontal=True, vertical_alignment="bottom", key=f"explore-if-{row.number}"):
        st.session_state[row.key("column")] = draft.column or None
        st.selectbox(
            "Only where",
            offered,
            index=None,
            format_func=words.label,
            key=row.key("column"),
            on_change=changed,
            placeholder="Column",
            label_visibility=row.labels,
            width=220,
        )
        st.session_state[row.key("operator")] = draft.operator
        st.selectbox(
            "Condition",
            list(OPERATORS),
            format_func=words.operator,
            key=row.key("operator"),
            on_change=changed,
            label_visibility=row.labels,
            width=150,
        )
        if words.needs_value(draft.operator):
            _value(view, row)
        st.button(
            "Remove",
            icon=":material/close:",
            type="tertiary",
            key=row.key("remove"),
            on_click=partial(_take_away, row.number),
            help="Take this condition away",
        )


def _value(view: View, row: _Row) -> None:
    """Draw the value's field: a list where its values are known, which others may be typed into."""
    known, value, changed = _known_values(view, row), row.draft.value, partial(_write, row.number)
    key = row.key("value")
    if row.draft.operator == "any":
        chosen = listed(value)
        key = row.key("values")
        st.session_state[key] = chosen
        st.multiselect(
            "Values",
            list(dict.fromkeys([*known, *chosen])),
            key=key,
            on_change=changed,
            accept_new_options=True,
            placeholder="Choose or type",
            label_visibility=row.labels,
            width=360,
        )
        return
    if known:
        st.session_state[key] = value or None
        st.selectbox(
            "Value",
            known if value in known or not value else [*known, value],
            index=None,
            key=key,
            on_change=changed,
            accept_new_options=True,
            placeholder="Choose or type",
            label_visibility=row.labels,
            width=240,
        )
        return
    st.session_state[key] = value
    st.text_input(
        "Value",
        key=key,
        on_change=changed,
        max_chars=VALUE_CHARS_MAX,
        placeholder="Value",
        label_visibility=row.labels,
        width=240,
    )


def _known_values(view: View, row: _Row) -> list[str]:
    """Return the values a column is known to have: those the page's filters offer."""
    column = row.draft.column
    if column.startswith(KEY_PREFIX):
        key = f"{column.removeprefix(KEY_PREFIX)}:"
        pairs = view.facts.choices.get("properties", ())
        return [pair.removeprefix(key) for pair in pairs if pair.startswith(key)]
    if SCHEMAS[row.table].get(column) == pl.Boolean:
        return ["true", "false"]
    for name, dimension in DIMENSIONS.items():
        if dimension.column == column and name not in _NOT_OFFERED:
            found = dimension.closed or view.facts.choices.get(name, ())
            return list(found[:VALUES_OFFERED_MAX])
    return ["success", "error", "timeout"] if column == "result" else []


def _add() -> None:
    st.session_state[_DRAFTS] = (*st.session_state.get(_DRAFTS, ()), _NEW)


def _take_away(number: int) -> None:
    drafts = list(st.session_state.get(_DRAFTS, ()))
    del drafts[number : number + 1]
    _keep(drafts)


def _write(number: int) -> None:
    drafts: list[Condition] = list(st.session_state.get(_DRAFTS, ()))
    if number >= len(drafts):
        return
    before, row = drafts[number], _Row("", number, drafts[number])
    column = st.session_state.get(row.key("column")) or ""
    operator = st.session_state.get(row.key("operator"), before.operator)
    said = st.session_state.get(row.key("value"), before.value)
    if before.operator == "any":
        said = ", ".join(one for one in st.session_state.get(row.key("values"), ()) if one)
    # another column has other values
    value = str(said or "").strip()[:VALUE_CHARS_MAX] if column == before.column else ""
    drafts[number] = Condition(column, operator, value)
    _keep(drafts)


def _keep(drafts: Sequence[Condition]) -> None:
    st.session_state[_DRAFTS] = tuple(drafts)
    whole = _whole(drafts)
    if whole != explore.current().where:
        explore.change(where=whole)
