"""A question written in SQL: the field, what the tables hold, the functions, and examples to start.

What is typed is asked when Run is pressed (or Ctrl and Enter); only then is it in the link.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import polars as pl
import streamlit as st

from data_access.explore import FUNCTIONS, Question
from data_access.schema import SCHEMAS
from pages.components import explore, explore_run, tables, text
from pages.components import explore_words as words
from pages.components.explore_examples import EXAMPLES

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from pages.components.view import View

HEIGHT_PX: Final = 290
_FIELD: Final = "_x-sql"
_SEEDED: Final = "_explore_sql_of"  # the question the field was last filled from
_FRESH: Final = "_explore_sql_fresh"  # filled in the run before
_TABLE: Final = "_x-help-table"
_TOLD: Final = "_explore_told"


def editor(view: View, question: Question) -> DeltaGenerator:
    """Draw the field with its Run button, and the help beside it.

    Returns the place below the field, for what is to be said about the query.
    """
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _field(view, question)
    with right:
        _help()
    return left.container(key="explore-said")


def _field(view: View, question: Question) -> None:
    if st.session_state.get(_SEEDED) != question.sql or _FIELD not in st.session_state:
        st.session_state[_FIELD] = question.sql
        st.session_state[_SEEDED] = question.sql
        st.session_state[_FRESH] = True
    elif st.session_state.pop(_FRESH, False) and st.session_state[_FIELD] == question.sql:
        # a browser that was slow draws the field only now, of what this run says: said once more
        st.session_state[_FIELD] = question.sql
    limits = view.facts.settings.limits
    with st.container(key="explore-sql"):
        st.text_area(
            "SQL",
            key=_FIELD,
            height=HEIGHT_PX,
            max_chars=limits.query_chars,
            placeholder="SELECT ... FROM events",
            help="One SELECT over events, errors, traces and sessions. They hold what the "
            "sidebar's filters leave.",
        )
    row = st.container(horizontal=True, vertical_alignment="center")
    row.button(
        "Run",
        icon=":material/play_arrow:",
        type="primary",
        key="explore-run",
        on_click=_run,
        shortcut="Mod+Enter",
    )
    _seed_history(question)
    row.toggle(
        "All of history",
        key="_x-sql-all_history",
        on_change=_set_history,
        help="Leaves the sidebar's days out of account; its other filters still hold.",
    )
    told = st.session_state.pop(_TOLD, "")
    if told:
        row.caption(told)


def _seed_history(question: Question) -> None:
    st.session_state["_x-sql-all_history"] = question.all_history


def _set_history() -> None:
    explore.change(all_history=bool(st.session_state["_x-sql-all_history"]))


def _run() -> None:
    """Ask what the field says; asked once more, it is asked anew."""
    sql = str(st.session_state[_FIELD] or "").strip()
    if not sql:
        st.session_state[_TOLD] = "Write a query first, or start from an example."
        return
    question = explore.current()
    if question.sql == sql:
        explore_run.again()
    st.session_state[_SEEDED] = sql
    explore.put(replace(question, sql=sql, picture="auto", x="", y="", series=""))


def ask(sql: str) -> None:
    """Put a query into the field and ask it; to be called in a callback."""
    explore.put(Question(sql=sql), saved="")


# --- help ------------------------------------------------------------------------------------


def _help() -> None:
    columns, functions, examples = st.tabs(["Columns", "Functions", "Examples"])
    with columns:
        _columns()
    with functions:
        _functions()
    with examples:
        for number, one in enumerate(EXAMPLES):
            with st.container(gap=None, key=f"explore-example-{number}"):
                st.button(
                    one.name,
                    key=f"_x-example-{number}",
                    icon=":material/play_circle:",
                    type="tertiary",
                    on_click=partial(ask, one.sql),
                )
                st.caption(one.answers)


def _columns() -> None:
    table = st.segmented_control(
        "Table",
        list(SCHEMAS),
        default=next(iter(SCHEMAS)),
        required=True,
        key=_TABLE,
        label_visibility="collapsed",
    )
    st.caption(words.TABLES[table])
    found = words.described(table)
    frame = pl.DataFrame(
        {
            "name": [one.name for one in found] + list(words.BUCKETS),
            "kind": [one.kind for one in found] + ["made from the time"] * len(words.BUCKETS),
            "meaning": [f"{one.meaning} ({one.unit})" if one.unit else one.meaning for one in found]
            + [f"{said}, on the page's clock" for said in words.BUCKETS.values()],
        }
    )
    key = f"_x-help-columns-{table}"

    def chosen() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows:
            _add(frame["name"][rows[0]])

    tables.show(
        tables.Table(
            frame,
            {"name": "Column", "kind": "Type", "meaning": "What it says"},
            rows=7,
            widths={"name": 120, "kind": 90, "meaning": 260},
        ),
        timezone="UTC",
        alt=f"The columns of {table} with their types and meanings.",
        key=key,
        on_select=chosen,
        selection_mode="single-row",
    )
    st.caption(
        "Choose a row to add the column to the query. A key of the metadata is a column too: "
        "`metadata.ide`."
    )


def _add(name: str) -> None:
    """Write a column's name at the end of the query."""
    sql = str(st.session_state.get(_FIELD) or "")
    st.session_state[_FIELD] = f"{sql.rstrip()} {name}" if sql.strip() else f"SELECT {name} FROM "


def _functions() -> None:
    frame = pl.DataFrame(
        {
            "kind": [one.kind for one in FUNCTIONS],
            "example": [one.example for one in FUNCTIONS],
            "meaning": [one.meaning for one in FUNCTIONS],
        }
    )
    tables.show(
        tables.Table(
            frame,
            {"example": "For example", "meaning": "What it gives", "kind": "For"},
            rows=8,
            widths={"example": 230, "meaning": 200},
        ),
        timezone="UTC",
        alt="The functions a query may use, each with an example.",
    )
    st.caption(f"These {text.some(len(FUNCTIONS), 'function')} and no others.")
