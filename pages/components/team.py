"""Keeping what the team says about its people and days: the second file of the pages that writes.

It writes through `ingest.team` into the home on show, never into its telemetry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from ingest.team import TeamRefused
from ingest.team import add_note as note
from ingest.team import remove_note as take_back_note
from ingest.team import remove_segment as take_back
from ingest.team import save_segment as keep
from ingest.vocabulary import SEGMENT_NOT
from pages.components import access, text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from pages.components.view import View


def save_segment(view: View, name: str, users: Sequence[str]) -> bool:
    """Keep a list of people under a name and say so; what cannot be kept says why."""
    who = text.some(len(set(users)), "person", "people")
    try:
        kept = keep(view.home, name, users=users, who=signed_in())
    except TeamRefused as error:
        return _refused(error)
    return _saved(kept, who)


def save_filters(view: View, name: str) -> bool:
    """Keep everybody with an event that matches the present filters, whatever the days."""
    try:
        kept = keep(view.home, name, query=view.filters.chosen_query(), who=signed_in())
    except TeamRefused as error:
        return _refused(error)
    return _saved(kept, "its filters")


def remove_segment(view: View, name: str) -> bool:
    """Take a segment back, and out of the filters; to be called from a callback."""
    try:
        take_back(view.home, name, who=signed_in())
    except TeamRefused as error:
        return _refused(error)
    gone = (name, f"{SEGMENT_NOT}{name}")
    chosen = st.session_state.get("segment", [])
    st.session_state["segment"] = [one for one in chosen if one not in gone]
    return _done(f"Removed the segment “{text.escaped(name)}”.", "bookmark_remove")


def add_note(view: View, words: str, at: date, *, who: str) -> bool:
    """Keep a note about a day, for the time axes."""
    try:
        note(view.home, words, at=at, who=who)
    except TeamRefused as error:
        return _refused(error)
    return _done(f"Noted on {text.day(at, today=view.today)}.", "edit_note")


def remove_note(view: View, note_id: str) -> bool:
    """Take a note back."""
    try:
        take_back_note(view.home, note_id, who=signed_in())
    except TeamRefused as error:
        return _refused(error)
    return _done("Removed the note.", "edit_off")


def signed_in() -> str:
    """Return the reader's address where people sign in, to stand beside what they said."""
    return access.who()


def _saved(name: str, who: str) -> bool:
    said = f"Saved the segment “{text.escaped(name)}” ({who}). It is among the filters now."
    return _done(said, "bookmark_added")


def _done(said: str, icon: str) -> bool:
    st.toast(said, icon=f":material/{icon}:")
    return True


def _refused(error: TeamRefused) -> bool:
    st.toast(text.escaped(error, most=400), icon=":material/error:", duration="long")
    return False
