"""The shared filters in the sidebar: every choice is in the link, and the link is every choice.

Streamlit keeps a widget with `bind="query-params"` and the URL in step; options are the URL's own
tokens, because the URL carries what an option shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode

import streamlit as st

from data_access.asked import resolve
from data_access.filters import (
    DIMENSIONS,
    SPAN_DEFAULT,
    SPANS,
    VALUE_CHARS_MAX,
    Filters,
    is_property,
)
from ingest.vocabulary import SEGMENT_NOT
from pages.components import menu, text
from pages.components import options as own_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from data_access.asked import Moved
    from pages.components.load import Facts

SWITCHES: Final = {"compare": True, "complete": True, "live": False}
LABELS: Final = {
    "tiers": "Tier",
    "channels": "Channel",
    "projects": "Project",
    "releases": "Release",
    "stages": "Stage",
    "events": "Event",
    "properties": "Property",
    "segments": "Segment",
}
HELP: Final = {
    "properties": (
        "What an event says about itself, as key:value. The list is out of the latest events; any "
        "other may be typed. Values of one key add up, each further key narrows."
    ),
    "segments": (
        "People saved by name on the Users page. A name that begins with “not” leaves those "
        "people out, such as the team's own."
    ),
}
_PLACE: Final = ("timezone", "week_starts_on")
OWN: Final = ("group", "operation", "user", "who")  # of a single page; whom a mark stands for
VIEW: Final = "view"  # the saved view this was opened from; says nothing of what is shown
OTHERS: Final = (*OWN, VIEW, "cell", "embed", "embed_options")  # the last two are Streamlit's
_READABLE: Final = ":/"  # stands for itself in a link
_TRUTH: Final = ("true", "false")
_HOURLY: Final = ("24h", "custom")  # spans whose last hours a link may end with an instant
_ASKED: Final = "_asked"
_NOTES: Final = "_notes"
_SHOWN: Final = "_shown"


@dataclass(frozen=True, slots=True)
class Choice:
    """What the sidebar says: the filters, the switches, and what was ignored or moved."""

    filters: Filters
    compare: bool
    complete: bool
    live: bool
    span: str
    latest: datetime
    notes: tuple[str, ...]
    team_place: tuple[str, str] = ("UTC", "monday")  # timezone and first day of the week, unasked


def options(facts: Facts | None) -> dict[str, tuple[str, ...]]:
    """Return the values each filter offers; those of a closed set are always all there."""
    found = facts.choices if facts else {}
    offered = {
        name: dimension.closed or tuple(found.get(name, ()))
        for name, dimension in DIMENSIONS.items()
    }
    offered["segments"] += tuple(f"{SEGMENT_NOT}{name}" for name in offered["segments"])
    return offered


def sidebar(facts: Facts | None, *, now: datetime, today: date) -> Choice:
    """Draw the filters and return what they say. `facts` is None when there is no data."""
    offered = options(facts)
    asked = _first_asked()
    values = _widgets(offered)
    switches = {name: bool(st.session_state.get(name, usual)) for name, usual in SWITCHES.items()}
    notes = _notes(asked, values, offered, facts)
    choice = _chosen(values, switches, facts, notes, now=now, today=today)
    window = choice.filters.window
    st.session_state[_SHOWN] = (window.start, window.end - timedelta(days=1))
    return choice


def of_link(facts: Facts, *, now: datetime, today: date) -> Choice:
    """Return what the link says, where no filter is drawn; the same as `sidebar` for it."""
    offered = options(facts)
    asked = _first_asked()
    values: dict[str, Sequence[str]] = {
        name: [value for value in said if value and len(value) <= VALUE_CHARS_MAX]
        for name, said in asked.items()
    }
    if last(values, "span") not in SPANS:
        values["span"] = ["custom" if values.get("from") and values.get("to") else SPAN_DEFAULT]
    for name, dimension in DIMENSIONS.items():
        values[dimension.query_name] = [
            value
            for value in dict.fromkeys(values.get(dimension.query_name, ()))
            if value in offered[name] or (name == "properties" and is_property(value))
        ]
    said = {name: last(asked, name).lower() for name in SWITCHES}
    switches = {
        name: said[name] == _TRUTH[0] if said[name] in _TRUTH else usual
        for name, usual in SWITCHES.items()
    }
    return _chosen(values, switches, facts, ignored(asked, offered), now=now, today=today)


def last(asked: Mapping[str, Sequence[str]], name: str) -> str:
    """Return the last value a link gives something, "" when it gives none."""
    return next(reversed(asked.get(name, ())), "")[:VALUE_CHARS_MAX]


def _chosen(
    values: Mapping[str, Sequence[str]],
    switches: Mapping[str, bool],
    facts: Facts | None,
    notes: tuple[str, ...],
    *,
    now: datetime,
    today: date,
) -> Choice:
    timezone, week_starts_on = team_place = (
        (facts.settings.timezone, facts.settings.week_starts_on) if facts else ("UTC", "monday")
    )
    asked_for = resolve(
        values,
        now=now,
        today=today,
        timezone=timezone,
        week_starts_on=week_starts_on,
        first_day=facts.first_day if facts else None,
        last_day=facts.last_day if facts else None,
        complete=switches["complete"],
        live=switches["live"],
    )
    span = asked_for.span
    is_named = span == "24h" and bool(values.get("until"))  # an instant in the link is not moved
    moved = () if is_named else why_moved(asked_for.moved, span, today, asked_for.end)
    said = (*notes, *asked_for.filters.notes, *moved)
    return Choice(
        filters=asked_for.filters,
        compare=switches["compare"],
        complete=switches["complete"],
        live=switches["live"],
        span=span,
        latest=asked_for.latest,
        notes=tuple(dict.fromkeys(said)),
        team_place=team_place,
    )


def why_moved(why: Moved, span: str, today: date, end: date) -> tuple[str, ...]:
    """Say why a span does not end with the usual day, if it does not."""
    said = {
        "began": f"This {span} began today, so today is shown although it is not over.",
        "first": "The first telemetry came today, so today is shown, though not over yet.",
        "ended": f"The data ends on {text.day(end)} "
        f"({text.ago(timedelta(days=(today - end).days))}), so the span ends there.",
    }
    return (said[why],) if why else ()


def query(choice: Choice, own: Sequence[tuple[str, str]] = (), *, dates: str) -> str:
    """Return what is shown as a query string: its dates "frozen", or its span still "relative".

    Days chosen by hand are the same either way. What is as everybody finds it is left out.
    """
    filters, window = choice.filters, choice.filters.window
    switches = {"compare": choice.compare, "complete": choice.complete, "live": choice.live}
    if dates == "frozen" or choice.span == "custom":
        pairs = parse_qsl(filters.to_query())
        switches = {"compare": choice.compare, "complete": choice.complete and not choice.live}
    else:
        pairs = [("span", choice.span), *parse_qsl(filters.chosen_query())]
    place = (window.timezone, window.week_starts_on)
    extra = [
        (name, here)
        for name, here, usual in zip(_PLACE, place, choice.team_place, strict=True)
        if here != usual
    ]
    extra += [
        (name, str(said).lower()) for name, said in switches.items() if said != SWITCHES[name]
    ]
    extra += [(name, value) for name, value in own if value or "." in name]  # or emptied
    named = {name for name, _ in pairs}
    pairs += [(name, value) for name, value in extra if name not in named]
    return urlencode(pairs, safe=_READABLE)


# --- widgets ---------------------------------------------------------------------------------


def _widgets(offered: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    span = st.segmented_control(
        "Span",
        SPANS,
        default=SPAN_DEFAULT,
        required=True,
        key="span",
        bind="query-params",
        on_change=_span_chosen,
        help="Days end with the last one that is over; week and month are the current ones.",
    )
    values: dict[str, Sequence[str]] = {"span": [span or SPAN_DEFAULT]}
    values |= _dates(is_shown=span == "custom")
    values |= _place(span)
    st.toggle(
        "Compare with the previous period",
        value=SWITCHES["compare"],
        key="compare",
        bind="query-params",
    )
    st.toggle(
        "Only complete days",
        value=SWITCHES["complete"],
        key="complete",
        bind="query-params",
        help="Leaves out today, which would look like a drop.",
    )
    st.toggle(
        "Live",
        value=SWITCHES["live"],
        key="live",
        bind="query-params",
        help="Shows today as well and follows new events within seconds.",
    )
    for name, dimension in DIMENSIONS.items():
        key = dimension.query_name
        values[key] = st.multiselect(
            LABELS[name],
            offered[name],
            key=key,
            bind="query-params",
            placeholder="All",
            help=HELP.get(name),
            accept_new_options=name == "properties",
        )
    st.button("Reset", on_click=_reset, icon=":material/restart_alt:", width="stretch")
    return values


def _dates(*, is_shown: bool) -> dict[str, Sequence[str]]:
    """Draw two days. They are always there, else the link would not learn of their values."""
    with st.container(key="dates-shown" if is_shown else "dates-hidden"):
        first = st.date_input("From", None, key="from", bind="query-params", format="YYYY-MM-DD")
        last = st.date_input("To", None, key="to", bind="query-params", format="YYYY-MM-DD")
    return {"from": [str(first)], "to": [str(last)]} if is_shown and first and last else {}


def _place(span: str | None) -> dict[str, Sequence[str]]:
    """Draw what a link may say of clocks: the instant hours end with, the timezone, the week.

    They are always there, most of the time hidden, else the link would not keep their values.
    """
    is_asked = "until" in st.query_params or bool(st.session_state.get("until"))
    values: dict[str, Sequence[str]] = {}
    with st.container(key="until-shown" if span == "24h" and is_asked else "until-hidden"):
        until = st.text_input("Until", key="until", bind="query-params", help="An instant, UTC.")
        if until and span in _HOURLY:
            values["until"] = [until]
    with st.container(key="place-hidden"):
        for name in _PLACE:
            said = st.text_input(name, key=name, bind="query-params", max_chars=VALUE_CHARS_MAX)
            if said:
                values[name] = [said]
    return values


def _span_chosen() -> None:
    """Let custom days begin as the days last shown, and leave none behind."""
    days = (None, None)
    if st.session_state["span"] == "custom":
        days = st.session_state.get(_SHOWN, days)
    st.session_state["from"], st.session_state["to"] = days
    st.session_state["until"] = ""


def own_choices() -> None:
    """Keep what a single page lets one choose in the link on every page: hidden, bound fields.

    A bound field of a page would lose its value with the page.
    """
    with st.container(key="own-hidden"):
        for name in (*OWN, VIEW):
            st.text_input(name, key=name, bind="query-params", max_chars=VALUE_CHARS_MAX)


def own_of_link() -> None:
    """Take what a single page lets one choose from the link, where no field is drawn for it.

    But for the mark whose people are shown: those are nobody's to read in another page.
    """
    asked = _first_asked()
    for name in OWN:
        st.session_state[name] = "" if name == "who" else last(asked, name)


def in_link() -> list[tuple[str, str]]:
    """Return what a link has to say of a single page's choices kept beside the filters."""
    return [(name, str(st.session_state.get(name) or "")) for name in OWN]


def _reset() -> None:
    st.session_state["span"] = SPAN_DEFAULT
    st.session_state.update({"from": None, "to": None, "until": ""})
    st.session_state.update(SWITCHES)
    st.session_state.update({dimension.query_name: [] for dimension in DIMENSIONS.values()})
    st.session_state.update(dict.fromkeys((*_PLACE, *OWN, VIEW), ""))
    own_options.reset()
    st.session_state[_ASKED] = {}


# --- what the link asked for -----------------------------------------------------------------


def _first_asked() -> dict[str, list[str]]:
    """Return the query the session began with: Streamlit drops what it cannot use, silently."""
    if _ASKED not in st.session_state:
        query = {name: st.query_params.get_all(name) for name in st.query_params}
        st.session_state[_ASKED] = query
        if "span" not in query and {"from", "to"} <= query.keys():
            st.session_state["span"] = "custom"  # what the same query means elsewhere
    asked: dict[str, list[str]] = st.session_state[_ASKED]
    return asked


def _notes(
    asked: Mapping[str, Sequence[str]],
    values: Mapping[str, Sequence[str]],
    offered: Mapping[str, Sequence[str]],
    facts: Facts | None,
) -> tuple[str, ...]:
    """Say what the link asked for in vain, until the reader changes a filter."""
    if not asked or facts is None:
        return ()
    seen = {name: tuple(chosen) for name, chosen in values.items()}
    first, notes = st.session_state.get(_NOTES) or (seen, ignored(asked, offered))
    st.session_state[_NOTES] = (first, notes)
    return notes if first == seen else ()


def ignored(
    asked: Mapping[str, Sequence[str]], offered: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Return a note for everything in a link that means nothing here."""
    known = {name: values for name, values in offered.items() if values or name == "segments"}
    own = {name: values for name, values in asked.items() if "." not in name}  # no page's choice
    notes = list(Filters.from_query(own, known=known).notes)
    for name in SWITCHES:
        wrong = [value for value in asked.get(name, ()) if value.lower() not in _TRUTH]
        if wrong:
            notes.append(f"Ignored {name}: {wrong[0][:40]!r} is neither true nor false.")
    names = {"span", "from", "to", "until", *SWITCHES, *_PLACE, *OTHERS}
    names |= {dimension.query_name for dimension in DIMENSIONS.values()}
    pages = tuple(f"{page.address}." for page in menu.PAGES)
    strange = sorted(name for name in set(asked) - names if not name.startswith(pages))
    if strange:
        notes.append(f"Ignored unknown parts of the link: {text.listed(strange)}.")
    return tuple(notes)
