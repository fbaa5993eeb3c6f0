"""Keeping what the team says about its people and days: the second file of the pages that writes.

It writes through `ingest.team` into the home on show, never into its telemetry.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

import data_access
from ingest.team import TeamRefused, segment_name
from ingest.team import add_note as note
from ingest.team import remove_note as take_back_note
from ingest.team import remove_segment as take_back
from ingest.team import save_segment as keep
from ingest.vocabulary import SEGMENT_NOT
from pages.components import access, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from pages.components.view import View


SCOPES: Final = {"Only me": "personal", "The team": "team"}  # for whom a view is kept


def save_segment(view: View, name: str, users: Sequence[str]) -> bool:
    """Keep a list of people under a name and say so; what cannot be kept says why."""
    if not _may_change(view, name):
        return False
    who = text.some(len(set(users)), "person", "people")
    try:
        kept = keep(view.home, name, users=users, who=signed_in())
    except TeamRefused as error:
        return _refused(error)
    return _saved(kept, who)


def save_filters(view: View, name: str) -> bool:
    """Keep everybody with an event that matches the present filters, whatever the days."""
    if not _may_change(view, name):
        return False
    try:
        kept = keep(view.home, name, query=view.filters.chosen_query(), who=signed_in())
    except TeamRefused as error:
        return _refused(error)
    return _saved(kept, "its filters")


def remove_segment(view: View, name: str) -> bool:
    """Take a segment back, and out of the filters; to be called from a callback."""
    if not _may_change(view, name):
        return False
    try:
        take_back(view.home, name, who=signed_in())
    except TeamRefused as error:
        return _refused(error)
    gone = (name, f"{SEGMENT_NOT}{name}")
    chosen = st.session_state.get("segment", [])
    st.session_state["segment"] = [one for one in chosen if one not in gone]
    return _done(f"Removed the segment “{text.escaped(name)}”.", "bookmark_remove")


def add_note(view: View, words: str, at: date, *, who: str) -> bool:
    """Keep a note about a day, for the time axes; where people sign in it bears their address."""
    if not access.may("write"):
        return _not_allowed()
    try:
        note(view.home, words, at=at, who=signed_in() or who)
    except TeamRefused as error:
        return _refused(error)
    return _done(f"Noted on {text.day(at, today=view.today)}.", "edit_note")


def remove_note(view: View, note_id: str) -> bool:
    """Take a note back."""
    if not may_remove(
        next((one.who for one in data_access.notes(view.home) if one.id == note_id), "")
    ):
        return _not_allowed()
    try:
        take_back_note(view.home, note_id, who=signed_in())
    except TeamRefused as error:
        return _refused(error)
    return _done("Removed the note.", "edit_off")


def signed_in() -> str:
    """Return the reader's address where people sign in, to stand beside what they said."""
    return access.who()


def asker() -> dict[str, Any]:
    """Return who asks for a change, as `ingest.views` is told."""
    return {"who": access.who(), "is_admin": access.may("admin")}


def may_remove(whose: str) -> bool:
    """Say whether the reader may take back what somebody wrote: their own, or anything as admin."""
    return access.may("admin") or (access.may("write") and bool(whose) and whose == signed_in())


def _may_change(view: View, name: str) -> bool:
    """Say whether the reader may save or remove a segment of this name; if not, tell them."""
    try:
        known = data_access.segments(view.home).get(segment_name(name))
    except TeamRefused:
        known = None  # such a name is refused anyway, in better words
    allowed = access.may("write") if known is None else may_remove(known.who)
    return allowed or _not_allowed()


def _not_allowed() -> bool:
    words = (
        "That is somebody else's. Ask them, or an admin."
        if access.may("write")
        else access.refusal("write")
    )
    st.toast(words, icon=":material/lock:", duration="long")
    return False


def _saved(name: str, who: str) -> bool:
    said = f"Saved the segment “{text.escaped(name)}” ({who}). It is among the filters now."
    return _done(said, "bookmark_added")


def _done(said: str, icon: str) -> bool:
    st.toast(said, icon=f":material/{icon}:")
    return True


@contextmanager
def refusals_said() -> Iterator[None]:
    """Do something to what is kept; what is refused is said, and the rest left undone."""
    try:
        yield
    except TeamRefused as error:
        _refused(error)


def _refused(error: TeamRefused) -> bool:
    st.toast(text.escaped(error, most=400), icon=":material/error:", duration="long")
    return False
