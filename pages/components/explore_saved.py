"""Questions saved by name, and what the reader asked lately: each one click away.

It writes through `ingest.views` into the home on show, never into its telemetry. A saved question
is the question alone; the filters stay the sidebar's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import streamlit as st

from data_access import DataUnavailable
from data_access.explore import Question
from data_access.views import history, queries
from ingest import views as store
from ingest.team import TeamRefused
from ingest.vocabulary import VIEW_NAME_CHARS_MAX, VIEW_WORDS_CHARS_MAX
from pages.components import access, explore, explore_build, menu, team, text

if TYPE_CHECKING:
    from data_access.views import SavedView
    from pages.components.explore import Shown
    from pages.components.explore_run import Outcome
    from pages.components.view import View

LISTED_MAX: Final = 25  # of the saved ones, of the latest; the search finds the others
LABEL_CHARS_MAX: Final = 160
LINE_CHARS_MAX: Final = 84
_ICONS: Final = {"personal": ":material/bookmark:", "team": ":material/group:"}
_REMOVED: Final = "_explore_removed"  # id and name of the one just taken away
_NOTED: Final = "_explore_noted"  # what was last written into the history


def bar(view: View, shown: Shown) -> None:
    """Offer to save the question on show, and the lists of saved and of latest ones."""
    with st.container(horizontal=True, width="content", key="explore-saved"):
        _list(view, shown)
        _history(view)


def opened(view: View, shown: Shown) -> None:
    """Say which saved question this is, and offer to keep what was changed in it."""
    found = shown.saved
    if found is None:
        return
    by = f", saved by {text.escaped(found.owner)}" if found.owner else ""
    whose = "the team's" if found.scope == "team" else "yours alone"
    said = f"**{text.escaped(found.name)}** ({whose}{by})"
    if found.description:
        said += f": {text.escaped(found.description, most=VIEW_WORDS_CHARS_MAX)}"
    row = st.container(horizontal=True, vertical_alignment="center", key="explore-opened")
    row.markdown(f"{_ICONS[found.scope]} {said}", width="content")
    if Question.from_query(found.query) == shown.question:
        return
    row.caption("Changed since.", width="content")
    if found.is_changed_by(access.who(), is_admin=access.may("admin")):
        row.button(
            "Save the change",
            type="tertiary",
            key="explore-update",
            on_click=partial(_update, view.home, found, shown.question.to_link()),
        )
    row.button(
        "Undo it",
        type="tertiary",
        key="explore-undo",
        on_click=partial(_open, found.query, found.id),
    )


def remember(view: View, question: Question, found: Outcome) -> None:
    """Write an answered question into the reader's history, once each time it is asked."""
    if found.answer is None or found.is_remembered:
        return
    key = (found.asked, found.version)
    if st.session_state.get(_NOTED) == key:
        return
    st.session_state[_NOTED] = key
    rows = text.some(found.answer.rows, "row")
    took = text.duration(found.answer.seconds * 1_000)
    label = f"{named(question)} ({rows}, {took})"
    try:
        store.remember(view.home, question.to_link(), who=access.who(), label=label)
    except TeamRefused:
        st.caption(
            ":material/info: The history could not be written: the home may be read only, or the "
            "question is longer than it keeps."
        )


def named(question: Question) -> str:
    """Return a question in one line."""
    words = question.sql or explore_build.said(question)
    return text.plain(words, most=LABEL_CHARS_MAX)


# --- saved by name ---------------------------------------------------------------------------


def _list(view: View, shown: Shown) -> None:
    place = st.popover(
        "Saved", icon=":material/bookmarks:", key="explore-saved-list", on_change="rerun"
    )
    if not place.open:
        return
    with place:
        try:
            found = queries(view.home, who=access.who())
        except DataUnavailable as error:
            st.caption(f":material/error: {text.escaped(error, most=400)}")
            return
        _bring_back(view.home)
        _form(view, shown)
        if found:
            st.markdown("**Saved questions**")
            st.caption("Opening one changes the question; the sidebar's filters stay.")
            _rows(view, found, shown)


def _form(view: View, shown: Shown) -> None:
    """Offer to save what is asked now under a new name."""
    with st.form("explore-save", border=False):
        st.markdown("**Save this question**")
        st.text_input("Name", key="_x-save-name", max_chars=VIEW_NAME_CHARS_MAX)
        st.text_input("What it is for", key="_x-save-words", max_chars=VIEW_WORDS_CHARS_MAX)
        st.radio(
            "For",
            list(team.SCOPES),
            index=0 if access.who() else 1,
            key="_x-save-scope",
            horizontal=True,
            help=None if access.who() else "Nobody signs in here: whoever opens this sees both.",
        )
        st.form_submit_button(
            "Save", type="primary", on_click=partial(_save, view.home, shown.question.to_link())
        )


def _rows(view: View, found: list[SavedView], shown: Shown) -> None:
    asked = ""
    if len(found) > 5:  # noqa: PLR2004 - fewer are seen at a glance
        asked = st.text_input(
            "Find", key="_x-find", type="search", live="300ms", placeholder="Name or words"
        )
    wanted = (asked or "").casefold()
    fits = [one for one in found if wanted in f"{one.name} {one.description}".casefold()]
    for one in fits[:LISTED_MAX]:
        _row(view, one, shown)
    if len(fits) > LISTED_MAX:
        st.caption(f"And {len(fits) - LISTED_MAX:,} more: search for them by name.")
    if not fits:
        st.caption("None is called that.")


def _row(view: View, one: SavedView, shown: Shown) -> None:
    is_open = shown.saved is not None and shown.saved.id == one.id
    with st.container(key=f"explore-one-{one.id}", gap="xsmall"):
        row = st.container(horizontal=True, vertical_alignment="center")
        row.button(
            text.escaped(one.name),
            icon=_ICONS[one.scope],
            key=f"_x-open-{one.id}",
            type="secondary" if is_open else "tertiary",
            on_click=partial(_open, one.query, one.id),
        )
        may = one.is_changed_by(access.who(), is_admin=access.may("admin"))
        if may:
            row.button(
                "Remove",
                icon=":material/delete:",
                key=f"_x-remove-{one.id}",
                type="tertiary",
                on_click=partial(_remove, view.home, one.id, one.name),
            )
        if one.description:
            st.caption(text.escaped(one.description, most=VIEW_WORDS_CHARS_MAX))
        if may and is_open and st.toggle("Rename or describe it", key=f"_x-edit-{one.id}"):
            _edit(view, one)


def _edit(view: View, one: SavedView) -> None:
    key = f"_x-edited-{one.id}-{one.revision}"
    with st.form(key, border=False):
        st.text_input("Name", one.name, max_chars=VIEW_NAME_CHARS_MAX, key=f"{key}-name")
        st.text_input(
            "What it is for", one.description, max_chars=VIEW_WORDS_CHARS_MAX, key=f"{key}-words"
        )
        st.radio(
            "For",
            list(team.SCOPES),
            index=list(team.SCOPES.values()).index(one.scope),
            key=f"{key}-scope",
            horizontal=True,
        )
        st.form_submit_button("Keep these", on_click=partial(_edited, view.home, one, key))


def _bring_back(home: str) -> None:
    gone = st.session_state.get(_REMOVED)
    if gone is None:
        return
    row = st.container(horizontal=True, vertical_alignment="center")
    row.caption(f"Removed “{text.escaped(gone[1])}”.")
    row.button(
        "Bring it back",
        type="tertiary",
        key="_x-restore",
        on_click=partial(_restore, home, *gone),
    )


def _open(query: str, view_id: str = "") -> None:
    explore.put(Question.from_query(query), saved=view_id)


def _save(home: str, query: str) -> None:
    state = st.session_state
    with team.refusals_said():
        kept = store.save_view(
            home,
            state["_x-save-name"],
            kind="query",
            page=menu.EXPLORE.address,
            query=query,
            who=access.who(),
            scope=team.SCOPES[state["_x-save-scope"]],
            description=state["_x-save-words"],
        )
        _done(f"Saved “{text.escaped(state['_x-save-name'])}”.")
        explore.put(Question.from_query(query), saved=kept.id)
        state["_x-save-name"], state["_x-save-words"] = "", ""


def _update(home: str, one: SavedView, query: str) -> None:
    with team.refusals_said():
        store.change(home, one.id, revision=one.revision, query=query, **team.asker())
        _done("Kept.")


def _edited(home: str, one: SavedView, key: str) -> None:
    state = st.session_state
    with team.refusals_said():
        store.change(
            home,
            one.id,
            revision=one.revision,
            name=state[f"{key}-name"],
            description=state[f"{key}-words"],
            scope=team.SCOPES[state[f"{key}-scope"]],
            **team.asker(),
        )
        _done("Kept.")


def _remove(home: str, view_id: str, name: str) -> None:
    with team.refusals_said():
        store.remove(home, view_id, **team.asker())
        st.session_state[_REMOVED] = (view_id, name)
        explore.put(explore.current(), saved="")


def _restore(home: str, view_id: str, name: str) -> None:
    with team.refusals_said():
        store.restore(home, view_id, **team.asker())
        st.session_state.pop(_REMOVED, None)
        _done(f"“{text.escaped(name)}” is back.")


def _done(said: str) -> None:
    st.toast(said, icon=":material/bookmark_added:")


# --- asked lately ----------------------------------------------------------------------------


def _history(view: View) -> None:
    place = st.popover(
        "History", icon=":material/history:", key="explore-history", on_change="rerun"
    )
    if not place.open:
        return
    with place:
        try:
            found = history(view.home, who=access.who(), limit=LISTED_MAX)
        except DataUnavailable as error:
            st.caption(f":material/error: {text.escaped(error, most=400)}")
            return
        if not found:
            st.caption("Nothing was asked yet. What you ask is listed here, the latest first.")
            return
        for number, one in enumerate(found):
            times = f", {one.times:,} times" if one.times > 1 else ""
            with st.container(gap=None, key=f"explore-past-{number}"):
                st.button(
                    text.escaped(_short(one.label or one.query), most=2 * LABEL_CHARS_MAX),
                    key=f"_x-history-{number}",
                    type="tertiary",
                    on_click=partial(_open, one.query),
                )
                st.caption(f"{text.moment(one.asked_at, view.now, view.timezone)}{times}")
        st.button(
            "Clear the history",
            icon=":material/delete_sweep:",
            key="_x-forget",
            on_click=partial(_forget, view.home),
        )


def _short(label: str) -> str:
    """Return a label that fits one line; how many rows it had, in brackets at its end, stays."""
    if len(label) <= LINE_CHARS_MAX:
        return label
    words, bracket, rows = label.rpartition(" (")
    return f"{words[: LINE_CHARS_MAX - len(rows)].rstrip()}…{bracket}{rows}"


def _forget(home: str) -> None:
    with team.refusals_said():
        gone = store.forget(home, who=access.who())
        st.toast(f"Cleared {text.some(gone, 'question')}.", icon=":material/delete_sweep:")
