"""From a mark in a picture to the people behind it: click it, or choose it from a list.

What is chosen is in the link as `who=<cell>:<mark>`; the panel below the picture shows the people,
what they did, and takes them along: as files, as a segment, or one of them to a page of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import streamlit as st

from data_access import export
from ingest.vocabulary import SEGMENT_NAME_CHARS_MAX
from pages.components import access, tables, team, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from data_access.window import Window
    from pages.components.view import View

MARKS_MAX: Final = 400  # in a list; a reader looks no further
TOKEN_CHARS_MAX: Final = 150
EVENTS_MAX: Final = 500  # of the people behind a mark; the latest
PEOPLE_ASKED_MAX: Final = 500  # whose events are looked up; their list is part of the cache key
_SHOWN: Final = ("People", "Events")
_OPEN: Final = "_open_person"
_CLICKED: Final = "_clicked"
_NEXT: Final = "_next_mark"
HASH_CHARS: Final = 12  # of a pseudonym in a table; exports hold it whole
WHO: Final = "who"
_LABELS: Final = {
    "user_id_hash": "Person",
    "weight": "Stands for",
    "cost_usd": "Cost, US dollars",
    "tokens_input": "Tokens in",
    "tokens_output": "Tokens out",
    "user_tier": "Tier",
    "first_seen": "First seen",
    "last_seen": "Last seen",
    "entered_at": "Entered",
    "steps_reached": "Steps",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """Something in a picture one can ask about: its words, and what the link calls it."""

    label: str
    token: str


@dataclass(frozen=True, slots=True)
class Behind:
    """Who is behind a mark: a row per person (`user_id_hash` and what to show), and in words.

    `names` are the events that put them there, none: any of theirs; `window` is when they did,
    None: in the period on show.
    """

    people: pl.DataFrame
    words: str
    names: tuple[str, ...] = ()
    window: Window | None = None


def chosen(slug: str) -> str | None:
    """Return the mark of this cell that the link names, or None."""
    cell, _, token = str(st.session_state.get(WHO) or "").partition(":")
    return token if cell == slug and token else None


def token_at(point: dict[str, Any], _data: object) -> str | None:
    """Return the mark of a clicked point of `charts.targets`."""
    customdata = point.get("customdata")
    return str(customdata[0]) if isinstance(customdata, list) and customdata else None


def choose(slug: str, token: str | None) -> None:
    """Put a mark into the link; None takes it out."""
    fits = token and len(slug) + len(token) < TOKEN_CHARS_MAX
    st.session_state[WHO] = f"{slug}:{token}" if fits else ""


def click(key: str) -> None:
    """Remember the point clicked in the chart with this key: the callback of every chart.

    Streamlit keeps the callback of each picture it ever drew as long as the session lives, and
    every new picture is a new one to it. So this holds on to nothing: no frame, no view.
    """
    points: list[dict[str, Any]] = st.session_state[key]["selection"]["points"]
    st.session_state[_CLICKED] = (key, points[0] if points else None)


def clicked(key: str) -> tuple[bool, dict[str, Any] | None]:
    """Return whether the chart with this key was just clicked, and its point (None: put away)."""
    if st.session_state.get(_CLICKED, ("", None))[0] != key:
        return False, None
    point: dict[str, Any] | None = st.session_state.pop(_CLICKED)[1]
    return True, point


def choose_next(slug: str, token: str | None) -> None:
    """Put a mark into the link in the run that follows: in this one its field is drawn already."""
    st.session_state[_NEXT] = (slug, token)


def take() -> None:
    """Put the mark chosen by a click into the link; the frame calls it before it draws."""
    if _NEXT in st.session_state:
        choose(*st.session_state.pop(_NEXT))


def follow() -> None:
    """Go to the page of a person chosen in a list. The frame calls it: the filters come along."""
    if st.session_state.pop(_OPEN, False):
        st.switch_page("users.py", query_params={})


def picker(slug: str, title: str, marks: Sequence[Mark], after: Callable[[], None]) -> None:
    """Offer the marks in a list: what a click does, for the keyboard and the screen reader."""
    labels = {mark.token: mark.label for mark in marks[:MARKS_MAX]}
    tokens, here, key = list(labels), chosen(slug), f"_pick-{slug}"
    st.session_state[key] = here if here in labels else None

    def taken() -> None:
        choose(slug, st.session_state[key])
        after()

    st.selectbox(
        f"Who is behind {title}?",
        tokens,
        index=None,
        format_func=lambda token: text.plain(labels.get(token, token), most=120),
        key=key,
        on_change=taken,
        placeholder="Who is behind it? Click a mark, or choose one here",
        label_visibility="collapsed",
    )


def panel(view: View, slug: str, behind: Behind, after: Callable[[], None]) -> None:
    """Show who is behind the chosen mark."""
    people = behind.people
    with st.container(border=True, key=f"behind-{slug}"):
        head = st.container(horizontal=True, horizontal_alignment="distribute")
        head.markdown(f"**{behind.words}**")
        head.button(
            "Close",
            key=f"close-{slug}",
            icon=":material/close:",
            type="tertiary",
            on_click=partial(_close, slug, after),
        )
        if people.is_empty():
            st.caption("Nobody, in this period and with these filters.")
            return
        if not view.facts.settings.people_lists:
            st.caption(
                ":material/lock: People are not listed one by one here: `telemetry.toml` says "
                "`people_lists = false`."
            )
            return
        shown = st.segmented_control(
            "What to show of them",
            _SHOWN,
            default=_SHOWN[0],
            required=True,
            key=f"_shown-{slug}",
            label_visibility="collapsed",
        )
        if shown == _SHOWN[0]:
            _people(view, slug, people, after)
        else:
            _events(view, behind)
        _take_along(view, slug, people, behind.words)


def _close(slug: str, after: Callable[[], None]) -> None:
    choose(slug, None)
    after()


def _people(view: View, slug: str, people: pl.DataFrame, after: Callable[[], None]) -> None:
    labels = {
        name: _LABELS.get(name, name.replace("_", " ").capitalize()) for name in people.columns
    }
    shown = min(people.height, tables.ROWS_MAX)
    if shown < people.height:
        st.caption(f"The first {shown:,} of {people.height:,}; exports hold all.")
    key = f"_rows-{slug}"

    def opened() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows:
            st.session_state["user"] = people["user_id_hash"][rows[0]]
            st.session_state[_OPEN] = True
            after()

    short = people.with_columns(pl.col("user_id_hash").str.slice(0, HASH_CHARS))
    tables.show(
        tables.Table(short, labels, {"weight": "decimal"}, rows=8),
        timezone=view.timezone,
        alt=f"The people behind the mark, {text.count(people.height)} rows.",
        key=key,
        on_select=opened,
        selection_mode="single-row",
    )
    st.caption("Choose a row to open that person's page.")


def _events(view: View, behind: Behind) -> None:
    users = tuple(behind.people["user_id_hash"].unique(maintain_order=True).head(PEOPLE_ASKED_MAX))
    where = view if behind.window is None else view.over(behind.window)
    rows = where.load("people_events", users=users, names=behind.names, limit=EVENTS_MAX)
    said = f"The latest {rows.height:,}" if rows.height == EVENTS_MAX else f"All {rows.height:,}"
    of = f", of the first {len(users):,} people" if len(users) < behind.people.height else ""
    days = text.window(where.window, today=view.today)
    st.caption(f"{said} of their events, {days}{of}, newest first.")
    tables.show(
        tables.Table(
            rows.with_columns(pl.col("user_id_hash").str.slice(0, HASH_CHARS)),
            {
                "timestamp": "When",
                "user_id_hash": "Person",
                "event_name": "Event",
                "result": "Result",
                "duration_ms": "Took",
                "channel": "Channel",
                "release": "Release",
                "metadata": "Metadata",
            },
            {"duration_ms": "duration"},
            rows=8,
        ),
        timezone=view.timezone,
        alt="The events of the people behind the mark, newest first.",
    )


def _take_along(view: View, slug: str, people: pl.DataFrame, words: str) -> None:
    about = f"{words}; {text.period_and_filters(view.filters, today=view.today)}"
    if not access.may_or_say("export"):
        return  # nor may they write a segment
    with st.container(horizontal=True):
        for suffix, (label, write, mime) in export.FORMATS.items():
            st.download_button(
                label,
                data=partial(write, people, about=about),
                file_name=f"people-{slug}-{view.window.start}-{view.last_shown_day()}.{suffix}",
                mime=mime,
                on_click="ignore",
                type="tertiary",
                key=f"people-{slug}-{suffix}",
            )
    with st.form(f"segment-{slug}", border=False), st.container(horizontal=True):
        name = st.text_input(
            "Save these people as a segment",
            placeholder="Name of a segment to save them as",
            max_chars=SEGMENT_NAME_CHARS_MAX,
            label_visibility="collapsed",
        )
        if st.form_submit_button("Save as a segment"):
            team.save_segment(view, name, people["user_id_hash"].to_list())
