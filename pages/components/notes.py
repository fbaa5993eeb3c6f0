"""The team's notes: written beside the filters, shown on every time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import streamlit as st

import data_access
from ingest.vocabulary import NOTE_CHARS_MAX
from pages.components import access, team, text

if TYPE_CHECKING:
    from data_access import Note
    from pages.components.view import View

LISTED_MAX: Final = 8  # the latest ones of the period; the others stay on the time axes
WHO_CHARS_MAX: Final = 80
_WHO: Final = "_note_who"  # a name is asked for once a session


def popover(view: View) -> None:
    """Offer to note what happened on a day, and list what was noted in this period."""
    place = st.popover(
        "Notes", icon=":material/edit_note:", width="stretch", key="notes", on_change="rerun"
    )
    if not place.open:
        return
    with place:
        if access.may_or_say("write"):
            _form(view)
        inside = [note for note in data_access.notes(view.home) if _is_inside(note, view)]
        for note in reversed(inside[-LISTED_MAX:]):
            _listed(note, view)
        if len(inside) > LISTED_MAX:
            st.caption(f"And {len(inside) - LISTED_MAX} earlier ones in this period.")


def _form(view: View) -> None:
    with st.form("note", clear_on_submit=True, border=False):
        st.caption("A note stands on every time axis, for everybody who opens this telemetry.")
        day = st.date_input("Day", view.last_shown_day(), format="YYYY-MM-DD")
        words = st.text_input("What happened", max_chars=NOTE_CHARS_MAX)
        who = team.signed_in() or st.text_input(
            "Your name", st.session_state.get(_WHO, ""), max_chars=WHO_CHARS_MAX
        )
        if st.form_submit_button("Add the note") and team.add_note(view, words, day, who=who):
            st.session_state[_WHO] = who
            st.rerun()


def _listed(note: Note, view: View) -> None:
    row = st.container(horizontal=True, vertical_alignment="center")
    row.caption(f"{text.day(note.day, today=view.today)} · {said(note)}", width="stretch")
    if not team.may_remove(note.who):
        return
    row.button(
        "Remove",
        key=f"note-{note.id}",
        type="tertiary",
        on_click=_remove,
        args=(view, note.id),
    )


def _remove(view: View, note_id: str) -> None:
    team.remove_note(view, note_id)


def said(note: Note) -> str:
    """Return a note as markdown: its words and whose they are."""
    words = text.escaped(note.text, most=NOTE_CHARS_MAX)
    return f"{words} ({text.escaped(note.who)})" if note.who else words


def _is_inside(note: Note, view: View) -> bool:
    return view.window.start <= note.day < view.window.end
