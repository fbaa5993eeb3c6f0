"""What else do you want to know? A question nobody foresaw, put together or written in SQL."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from data_access.explore import QueryRefused, Question, warm
from pages.components import (
    access,
    explore,
    explore_build,
    explore_result,
    explore_run,
    explore_saved,
    explore_sql,
    explore_words,
    notices,
    style,
)
from pages.components.boundary import alone
from pages.components.head import head
from pages.components.view import current

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

WAYS = ("Build", "SQL")
SOME_SQL = "SELECT *\nFROM events\nORDER BY timestamp DESC\nLIMIT 100"

view = current()
limits = view.facts.settings.limits


def written() -> None:
    """Turn the built question into SQL to go on with, or go back to what was built."""
    question = explore.current()
    sql = ""
    if st.session_state["_x-way"] == "SQL":
        try:
            sql = explore.text_of(question)
        except QueryRefused:
            sql = SOME_SQL
    explore.put(replace(question, sql=sql, picture="auto", x="", y="", series=""))


def page() -> None:
    """Draw the question, and what became of it."""
    shown = explore.shown(view.home)
    question = shown.question
    notices.notes((*shown.notes, *explore_words.doubts(question, view.facts.properties)))
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        st.session_state["_x-way"] = WAYS[bool(question.sql)]
        st.segmented_control(
            "How to ask",
            WAYS,
            key="_x-way",
            required=True,
            on_change=written,
            label_visibility="collapsed",
        )
        explore_saved.bar(view, shown)
    if shown.said:
        st.caption(f":material/open_in_new: {shown.said}")
    explore_saved.opened(view, shown)
    if question.sql:
        said = explore_sql.editor(view, question)
    else:
        st.html(style.paper(explore_build.said(question)))
        explore_build.builder(view, question)
        said = st.container(key="explore-said")
    if explore.is_too_long(question):
        st.caption(
            ":material/link_off: This question is too long for a link (more than "
            f"{explore.LINK_CHARS_MAX:,} characters). Save it: the saved one has a link."
        )
    place = st.container(key="explore-answer")
    view.later(lambda: answered(said, place, question))
    st.caption(
        f"At most {limits.query_rows:,} rows, {limits.query_seconds:g} s and "
        f"{limits.query_memory_mb:,} MB a question, {limits.queries_at_once} at once: `[limits]` "
        "in telemetry.toml says so."
    )


def answered(said: DeltaGenerator, place: DeltaGenerator, question: Question) -> None:
    """Ask, and draw the answer where it belongs; what there is to say stands by the question."""
    with place, alone("The answer"):
        asked = explore_run.asked_of(view, question)
        found = explore_run.outcome(asked, view.version, live=bool(st.session_state.get("live")))
        if found is None:
            with said:
                explore_run.waiting(limits.query_seconds)
            found = explore_run.before(asked)
            if found is None:
                return
            st.caption("The answer before, until this one is there:")
        else:
            explore_saved.remember(view, question, found)
        if found.refused is not None:
            with said:
                explore_result.refused(found.refused)
        elif found.answer is not None:
            explore_result.result(view, question, found, found.answer)


head(
    replace(view, compare=False),
    "What else do you want to know?",
    "Any question about what was written down, put together here or in SQL.",
)
if access.may("explore"):
    warm(view.home)
    page()
else:
    st.info(access.refusal("explore"), icon=":material/lock:")
