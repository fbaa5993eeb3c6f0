"""The top of a page: the question, what is counted and until when, and what stands out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import streamlit as st

from pages.components import text
from pages.components.boundary import alone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pages.components.view import View

SENTENCES_MAX: Final = 3


def head(view: View, question: str, counted: str) -> None:
    """Write the question as the title, and one line on what is counted, for whom, until when."""
    if view.only is not None:
        return
    st.title(question, anchor=False)
    st.caption(f"{counted} {period(view)}")
    narrowed = text.filtered(view.filters)
    if narrowed:
        st.caption(f":material/filter_alt: Only {text.escaped(narrowed, most=400)}.")


def section(view: View, title: str, anchor: str) -> None:
    """Head the cells that follow: from here on their own titles are one level lower."""
    st.header(title, anchor=anchor)
    view.sections.append(title)


def stage_notes(view: View, stage: str) -> None:
    """Say where the page's own stage cannot be told, or replaces the reader's."""
    if not view.facts.choices.get("stages"):
        st.caption(
            ":material/info: Everybody is shown: `telemetry.toml` names neither testers nor an "
            "open-beta date, so nobody can be told to be in the closed beta."
        )
    elif view.filters.stages not in ((), (stage,)):
        st.caption(f":material/info: The stage filter rests here: this page is about {stage}.")


def period(view: View) -> str:
    """Return "28 days to 20 Nov, UTC, only complete days; data as of 09:41."."""
    window, facts = view.window, view.facts
    parts = [text.window(window, today=view.today), text.escaped(window.timezone)]
    if view.open_from("1d") < window.end:
        parts.append("today included, which is not over")
    elif view.complete and window.end_at is None:
        parts.append("only complete days")
    parts.extend(_compared(view))
    words = ", ".join(parts)
    words = words[0].upper() + words[1:]
    if facts.as_of is not None:
        return f"{words}; data as of {text.clock(facts.as_of, view.now, view.timezone)}."
    return f"{words}."


def _compared(view: View) -> list[str]:
    """Say which period it is compared with, and how much of that there is."""
    begins = view.facts.first_day
    if begins is None:
        return []
    since = text.day(begins, today=view.today)
    if view.previous is None:
        return [f"nothing before to compare with as the data begins on {since}"] * view.compare
    before = view.previous.window
    if before.start_at is not None:
        return ["compared with the hours before"]
    first = text.day(before.start, today=view.today)
    last = text.day(view.last_day_of(before), today=view.today)
    days = first if first == last else f"{first} to {last}"
    is_short = before.start < begins
    return [f"compared with {days}" + (f" (the data begins on {since})" if is_short else "")]


def reading(view: View, sentences: Callable[[], Sequence[str]]) -> None:
    """Write what stands out, most surprising first; nothing when nothing does.

    Names from the data inside a sentence have to be escaped by whoever writes it.
    """
    if view.only is not None:
        return
    slot = st.container(key="reading")

    def fill() -> None:
        with slot, alone("The reading", quiet=True):
            found = list(sentences())[:SENTENCES_MAX]
            if found:
                st.markdown("  \n".join(found))

    view.later(fill)
