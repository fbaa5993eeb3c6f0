"""Groups of errors and the way down to a single one: the choice is in the link as `group=`.

A hidden bound field of the frame holds the choice, so that the URL carries the hash while the
list shows words (a bound list would put its labels into the URL). Rows and list write to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl
import streamlit as st

from pages.components import kpi, pictures, tables, text
from pages.components.boundary import alone
from pages.components.cell import ask, cell
from pages.components.headline import Number
from pages.components.load import session_before
from pages.components.tables import Table

if TYPE_CHECKING:
    from pages.components.cell import Data
    from pages.components.view import View

_GROUP: Final = "group"
_PICK: Final = "_group_pick"
_OCCURRENCE: Final = "_occurrence"
MESSAGE_CHARS_MAX: Final = 20_000  # of one message or trace on the page; exports hold all
METADATA_CHARS_MAX: Final = 5_000
LINES_MAX: Final = 14  # a longer trace scrolls in a box of its own
TRACE_PX: Final = 360


def chosen_group() -> str:
    """Return the group the link names, or an empty text."""
    return str(st.session_state.get(_GROUP) or "")


def choose_row(frame: pl.DataFrame, row: int) -> None:
    """Choose the group of a table's row."""
    st.session_state[_GROUP] = frame["group_hash"][row]


def _choose_listed() -> None:
    st.session_state[_GROUP] = st.session_state[_PICK] or ""


def _choose_occurrence(frame: pl.DataFrame, row: int) -> None:
    st.session_state[_OCCURRENCE] = frame["event_id"][row]


def numbers(view: View) -> list[Number]:
    """Return the headline of the errors page."""
    groups = view.load("error_groups")
    per_day = view.load("errors_by_period")
    total, kinds = pictures.total(groups, "occurrences"), groups.height
    fresh = groups.filter(pl.col("first_seen") >= view.window.opens_at).height
    before = view.load("error_groups", before=True) if view.previous is not None else None
    return [
        Number(
            "Errors",
            text.count(total),
            text.change(total, pictures.total(before, "occurrences"))
            if before is not None
            else None,
            "error_groups",
            -1,
            kpi.spark(view, per_day, "occurrences"),
        ),
        Number(
            "Groups",
            text.count(kinds),
            text.change(kinds, before.height) if before is not None else None,
            "error_groups",
            -1,
        ),
        Number("New groups", text.count(fresh), None, "error_groups", -1, (), "First seen here."),
        kpi.error_rate(view),
        kpi.number(view, "mau"),
    ]


def groups(view: View, data: Data) -> Table:
    """Return the table of groups, most frequent first, with whom each hits."""
    people = data.frames["kpis"].filter(pl.col("kpi") == "cdr_users")["denominator"]
    everybody = people[0] if len(people) else None
    frame = data.now.sort("occurrences", "group_hash", descending=[True, False])
    hit = [text.share(min(n, everybody or n), everybody, "people") for n in frame["users"]]
    now = view.now
    frame = frame.with_columns(
        pl.Series("_hit", hit, pl.String),
        pl.Series("_last", [_ago(at, now) for at in frame["last_seen"]], pl.String),
    )
    return Table(
        frame,
        {
            "error_type": "Type",
            "message_template": "Message",
            "occurrences": "Count",
            "_hit": "People hit",
            "per_day": "Per day",
            "_last": "Last seen",
            "culprit": "Where",
            "first_seen": "First seen",
            "tiers": "Tiers",
            "releases": "Releases",
            "severity": "Severity",
            "group_hash": "Group",
        },
        {"per_day": "spark", "_hit": "said"},
        widths={"error_type": 150, "message_template": 260, "per_day": 130},
    )


def _ago(at: Any, now: Any) -> str:  # noqa: ANN401 - datetimes out of a frame
    return text.NOTHING if at is None else text.ago(now - at)


def drill_down(view: View, chosen: str) -> None:
    """Show one group: what it is, its occurrences, one of them, and what led to it."""
    slot = st.container()

    def fill() -> None:
        with slot, alone("One group", quiet=True):  # the cells above say so already
            found = view.load("error_groups")
            _drill(view, chosen, found.sort("occurrences", "group_hash", descending=[True, False]))

    view.later(fill)


def _drill(view: View, chosen: str, found: pl.DataFrame) -> None:
    hashes = found["group_hash"].to_list()
    if not hashes:
        st.caption("There is no group to look into in this period.")
        return
    labels = {
        row["group_hash"]: f"{text.plain(row['error_type'], most=40)}: "
        f"{text.plain(row['message_template'], most=70)} ({text.count(row['occurrences'])})"
        for row in found.rows(named=True)
    }
    st.session_state[_PICK] = chosen if chosen in labels else None
    st.selectbox(
        "Group of errors",
        hashes,
        key=_PICK,
        index=None,
        format_func=lambda one: labels.get(one, one),
        on_change=_choose_listed,
        placeholder="Choose a group here, or a row in the table above",
    )
    if chosen and chosen not in labels:
        st.info(
            f"The group {text.escaped(chosen)} has no errors in this period, under these filters. "
            "Try a longer period.",
            icon=":material/search_off:",
        )
    if chosen not in labels:
        return
    _group(view, found.row(hashes.index(chosen), named=True))
    cell(
        view,
        "Occurrences",
        ask("error_occurrences", group=chosen),
        lambda data: Table(
            data.now,
            {
                "timestamp": "When",
                "error_message": "Message",
                "user_id_hash": "Who",
                "user_tier": "Tier",
                "channel": "Channel",
                "release": "Release",
                "occurrences": "Times",
                "related_event_name": "During",
                "severity": "Severity",
            },
            rows=pictures.ROWS,
            widths={"error_message": 320, "user_id_hash": 120},
        ),
        subtitle=lambda data: (
            f"{text.some(data.now.height, 'row')}, newest first. Choose one to see its trace below"
        ),
        alt="A table of single errors, newest first.",
        empty="None in this period.",
        is_empty=lambda data: not data.now.height,
        on_row=_choose_occurrence,
    )
    _occurrence_later(view, chosen)


def _group(view: View, row: dict[str, Any]) -> None:
    st.code(
        f"{row['error_type']}: {row['message_template']}"[:MESSAGE_CHARS_MAX],
        language=None,
        wrap_lines=True,
    )
    facts = [
        f"in {text.escaped(row['culprit'])}" if row["culprit"] else "in an unknown place",
        f"{text.some(row['occurrences'], 'time')}",
        text.some(row["users"], "person", "people"),
        f"first seen {text.moment(row['first_seen'], view.now, view.timezone)}",
        f"last seen {text.moment(row['last_seen'], view.now, view.timezone)}",
    ]
    for name in ("tiers", "releases", "channels"):
        values = [one for one in row[name] or () if one]
        if values:
            facts.append(f"{name} {text.escaped(text.listed(values))}")
    st.caption(" · ".join(facts))


def _occurrence_later(view: View, chosen: str) -> None:
    slot = st.container()

    def fill() -> None:
        with slot, alone("One occurrence"):
            rows = view.load("error_occurrences", group=chosen)
            if rows.is_empty():
                return
            wanted = st.session_state.get(_OCCURRENCE)
            at = rows["event_id"].to_list()
            _occurrence(view, rows.row(at.index(wanted) if wanted in at else 0, named=True))

    view.later(fill)


def _occurrence(view: View, row: dict[str, Any]) -> None:
    st.subheader("One occurrence", anchor="occurrence")
    may_list = view.facts.settings.people_lists
    who = [
        text.moment(row["timestamp"], view.now, view.timezone),
        *([f"by {text.escaped(text.person(row['user_id_hash']))}"] if may_list else []),
        *(text.escaped(row[name]) for name in ("user_tier", "channel", "release") if row[name]),
    ]
    st.caption(" · ".join(who))
    st.code(_cut(row["error_message"] or "no message"), language=None, wrap_lines=True)
    left, right = st.columns(2)
    with left, st.container(border=True):
        st.markdown("**Stack trace**")
        if row["stack_trace"]:
            is_long = row["stack_trace"].count("\n") > LINES_MAX
            height: int | Literal["content"] = TRACE_PX if is_long else "content"
            st.code(_cut(row["stack_trace"]), language=None, height=height)
        else:
            st.caption("None was sent.")
        if row["metadata"] and row["metadata"] != "{}":
            st.markdown("**Metadata**")
            st.code(_cut(row["metadata"], METADATA_CHARS_MAX), language="json", wrap_lines=True)
    with right, st.container(border=True):
        st.markdown("**What the session did before**")
        _before(view, row)


def _before(view: View, row: dict[str, Any]) -> None:
    if not row["session_id"]:
        st.caption("The error names no session, so nothing can be told about it.")
        return
    events = session_before(view.home, view.version, row["session_id"], row["timestamp"])
    if events.is_empty():
        st.caption("No event of this session came before the error.")
        return
    table = Table(
        events,
        {
            "timestamp": "When",
            "event_name": "Event",
            "result": "Result",
            "duration_ms": "Took",
            "context_id": "Context",
        },
        {"duration_ms": "duration"},
    )
    tables.show(
        table, timezone=view.timezone, alt="Events of the session before the error, newest first."
    )


def _cut(message: str, most: int = MESSAGE_CHARS_MAX) -> str:
    if len(message) <= most:
        return message
    return f"{message[:most]}\n… cut here: {len(message) - most:,} more characters"
