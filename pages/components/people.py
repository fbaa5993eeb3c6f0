"""People as a list: found by their hash, opened as a page of their own, saved as a segment.

Whose page is open is in the link as `user=`, a hidden bound field of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import streamlit as st

import data_access
from data_access import Filters
from ingest.vocabulary import SEGMENT_NAME_CHARS_MAX, SEGMENT_NOT
from pages.components import access, kpi, tables, team, text
from pages.components.boundary import alone
from pages.components.cell import ask
from pages.components.marks import Behind, Mark
from pages.components.tables import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pages.components.cell import Ask, Data
    from pages.components.headline import Number
    from pages.components.view import View

ORDERS: Final = {
    "events": "events",
    "last-seen": "last_seen",
    "first-seen": "first_seen",
    "days": "days_active",
    "tools": "tools",
    "errors": "errors",
    "latency": "duration_ms_p95",
}
COLUMNS: Final = {
    "user_id_hash": "Person",
    "tier": "Tier",
    "last_seen": "Last seen",
    "first_seen": "First seen",
    "days_active": "Days active",
    "sessions": "Sessions",
    "events": "Events",
    "tools": "Tools",
    "errors": "Errors",
    "duration_ms_p95": "p95 felt",
    "paying": "Paying",
}
LISTED_MAX: Final = 200  # people in a list to choose from; the search finds the others
HASH_CHARS: Final = 16
_USER: Final = "user"
_PICK: Final = "_user_pick"
_NAME: Final = "_segment_name"
_WHO: Final = "_segment_who"
_CHOSEN: Final = "_segment_people"
_BY: Final = ("Whoever matches the filters, asked anew each time", "This list", "Some of this list")


@dataclass(frozen=True, slots=True)
class Search:
    """Whom the reader looks for, and who comes first: `find` is the beginning of a hash."""

    find: str
    order: str

    def ask(self) -> Ask:
        """Ask for these people; a search also finds who was silent in this period."""
        return ask("users", prefix=self.find, everybody=bool(self.find))

    def people(self, view: View) -> pl.DataFrame:
        """Return them in order, whole hashes as `_hash`."""
        return self.sorted(view.load("users", prefix=self.find, everybody=bool(self.find)))

    def sorted(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return people with short hashes, the whole ones as `_hash`, the most first."""
        by = [ORDERS[self.order], "user_id_hash"]
        top = frame.sort(by, descending=[True, False], nulls_last=True)
        return top.with_columns(
            pl.col("user_id_hash").alias("_hash"),
            pl.col("user_id_hash").str.slice(0, HASH_CHARS),
        )


def chosen() -> str:
    """Return whose page the link names, or an empty text."""
    return str(st.session_state.get(_USER) or "").strip()


def choose_row(frame: pl.DataFrame, row: int) -> None:
    """Open the page of a table's row."""
    st.session_state[_USER] = frame["_hash"][row]


def close() -> None:
    """Go back to everybody."""
    st.session_state[_USER] = ""


def _choose_listed() -> None:
    st.session_state[_USER] = st.session_state[_PICK] or ""


def numbers(view: View) -> list[Number]:
    """Return the headline of the list: how many came, how often, and how many began to pay."""
    return [
        kpi.number(view, "mau", past=kpi.daily_active(view, 30)),
        kpi.number(view, "wau", past=kpi.daily_active(view, 7)),
        kpi.number(view, "dau", past=kpi.daily_active(view)),
        kpi.number(view, "stickiness"),
        kpi.number(view, "paid_conversion"),
    ]


def table(data: Data, search: Search) -> Table:
    """Return people as a table, the most first."""
    return Table(search.sorted(data.now), COLUMNS, widths={"user_id_hash": 150, "tier": 90})


def behind_days(view: View) -> dict[str, Any]:
    """Lead from a bar of "how often they come" to the people active on so many days."""

    def marks(data: Data) -> list[Mark]:
        rows = data.now.select("periods_active", "users").iter_rows()
        return [
            Mark(f"{text.some(days, 'day')}: {text.some(n, 'person', 'people')}", str(days))
            for days, n in rows
            if n
        ]

    def at(point: dict[str, Any], _: Data) -> str | None:
        days = point.get("x")
        return str(int(days)) if isinstance(days, int | float) else None

    def who(token: str, _: Data) -> Behind:
        days = int(token) if token.isdecimal() else 0
        found = view.load("users").filter(pl.col("days_active") == days)
        shown = found.select("user_id_hash", "tier", "first_seen", "last_seen", "events", "errors")
        said = text.some(found.height, "person", "people")
        return Behind(shown, f"{said} active on {text.some(days, 'day')}")

    return {"marks": marks, "at": at, "behind": who}


def counted(view: View, data: Data, search: Search) -> str:
    """Say how many there are, and which ones are shown."""
    if data.now.is_empty():
        return ""
    height, first = data.now.height, search.order.replace("-", " ")
    fresh = data.now.filter(pl.col("first_seen") >= view.window.opens_at).height
    who = (
        f"whose hash begins with “{text.escaped(search.find)}”"
        if search.find
        else f"in this period ({text.count(fresh)} of them new, "
        f"{text.count(data.now.filter('paying').height)} paying)"
    )
    shown = (
        f"the first {tables.ROWS_MAX:,} by {first}; a search finds the others"
        if height > tables.ROWS_MAX
        else f"most by {first} first"
    )
    return f"{text.some(height, 'person', 'people')} {who}, {shown}"


def picker(view: View, search: Search) -> None:
    """Offer the people of the table in a list: what choosing a row does, for the keyboard."""
    slot = st.container()

    def fill() -> None:
        with slot, alone("The list of people", quiet=True):
            top = search.people(view).head(LISTED_MAX)
            labels = {
                row["_hash"]: f"{row['user_id_hash']} ({row['tier'] or 'no tier'})"
                for row in top.rows(named=True)
            }
            st.session_state[_PICK] = None
            st.selectbox(
                "Open somebody's page",
                list(labels),
                index=None,
                key=_PICK,
                format_func=lambda one: text.plain(labels.get(one, one)),
                on_change=_choose_listed,
                placeholder="Open somebody's page: choose here, or a row in the table",
                label_visibility="collapsed",
            )

    view.later(fill)


def closed() -> None:
    """Say that people are not listed here, and why."""
    st.info(
        "People are not listed one by one here: `telemetry.toml` says `people_lists = false`. "
        "Every number about groups is on the other pages.",
        icon=":material/visibility_off:",
    )


# --- segments --------------------------------------------------------------------------------


def saver(view: View, search: Search | None = None) -> None:
    """Offer to save the filters as a segment; where people are listed, the list or some of it."""
    popover = st.popover(
        "Save as a segment", icon=":material/bookmark_add:", key="save-segment", on_change="rerun"
    )
    if not popover.open:
        return
    with popover, alone("Saving a segment"):
        if access.may_or_say("write"):
            _form(view, search.people(view)["_hash"].to_list() if search else None)


def _form(view: View, everybody: Sequence[str] | None) -> None:
    narrowed = text.filtered(view.filters)
    listed = () if everybody is None else tuple(everybody)
    st.caption(
        "A segment is a filter on every page. Filters now: "
        + (text.escaped(narrowed, most=300) if narrowed else "none")
        + (f". List: {text.some(len(listed), 'person', 'people')}." if listed else ".")
    )
    st.text_input(
        "Name", key=_NAME, max_chars=SEGMENT_NAME_CHARS_MAX, placeholder="internal, design partners"
    )
    offered = _BY if listed else _BY[:1]
    by = st.radio("Who", offered, key=_WHO, index=len(offered) // 2)
    if by == _BY[2]:
        st.multiselect(
            "People",
            list(listed[: tables.ROWS_MAX]),
            key=_CHOSEN,
            format_func=lambda one: text.plain(one, most=HASH_CHARS),
            placeholder="Choose people",
        )
    st.button(
        "Save",
        type="primary",
        key="save-segment-now",
        on_click=partial(_save, view, listed),
    )


def _save(view: View, everybody: Sequence[str]) -> None:
    name, by = str(st.session_state.get(_NAME) or ""), st.session_state.get(_WHO)
    if by == _BY[0]:
        team.save_filters(view, name)
    else:
        some = st.session_state.get(_CHOSEN, ())
        team.save_segment(view, name, everybody if by == _BY[1] else some)


def segments(view: View) -> None:
    """Show the saved segments with their size, and what can be done with one."""
    slot = st.container()

    def fill() -> None:
        with slot, alone("The segments"):
            _segments(view)

    view.later(fill)


def _segments(view: View) -> None:
    saved = data_access.segments(view.home)
    if not saved:
        st.caption(
            ":material/hourglass_empty: None is saved yet. Save the list or the filters above "
            "under a name, such as “internal” for the team's own people, and choose "
            "“not internal” in the filters to leave them out of every number."
        )
        return
    sizes = data_access.segment_sizes(view.home)
    rows = [
        {
            "name": one.name,
            "people": sizes.get(one.name),
            "made_of": _made_of(one, view),
            "who": one.who,
            "written_at": one.written_at,
        }
        for one in saved.values()
    ]
    schema: dict[str, Any] = {
        "name": pl.String,
        "people": pl.Int64,
        "made_of": pl.String,
        "who": pl.String,
        "written_at": pl.Datetime("ms", "UTC"),
    }
    tables.show(
        Table(
            pl.DataFrame(rows, schema=schema),
            {
                "name": "Segment",
                "people": "People",
                "made_of": "Who is in it",
                "who": "Saved by",
                "written_at": "Saved",
            },
        ),
        timezone=view.timezone,
        alt="A table of saved segments with their size.",
    )
    _actions(view, saved)


def _made_of(one: data_access.Segment, view: View) -> str:
    if not one.query:
        return "a list"
    filters = Filters.from_query(one.query, today=view.today, now=view.now)
    return f"whoever matches {text.filtered(filters) or 'anything'}"


def _actions(view: View, saved: Mapping[str, data_access.Segment]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Segment",
            list(saved),
            key="_segment",
            format_func=text.plain,
            label_visibility="collapsed",
            width=240,
        )
        st.button("Only these people", on_click=partial(_filter, name), key="only-segment")
        st.button(
            "Leave them out", on_click=partial(_filter, f"{SEGMENT_NOT}{name}"), key="not-segment"
        )
        if team.may_remove(saved[name].who):
            st.button(
                "Remove",
                icon=":material/delete:",
                type="tertiary",
                on_click=partial(_remove, view, name),
                key="remove-segment",
            )


def _remove(view: View, name: str) -> None:
    team.remove_segment(view, name)


def _filter(value: str) -> None:
    st.session_state["segment"] = [value]
