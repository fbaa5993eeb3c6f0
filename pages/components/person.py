"""One person: who they are, their tiers, sessions, tools, errors, waits, and the timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl
import streamlit as st

from data_access.metrics.person import KINDS
from pages.components import charts, failures, options, people, people_charts, pictures, text
from pages.components.boundary import alone
from pages.components.cell import ask, cell
from pages.components.head import reading, section
from pages.components.headline import Number, headline
from pages.components.tables import Table

if TYPE_CHECKING:
    from pages.components.cell import Data
    from pages.components.view import View

PAGE: Final = "users"
ROWS: Final = 200  # of the timeline at once
PAGES_MAX: Final = 50
NAMES_MAX: Final = 100
SLOWER: Final = 1.5  # times everybody's p95; below that it is chance or habit
_NONE: Final = "Nothing of this person in this period, under these filters. Try a longer period."


def show(view: View, user: str) -> None:
    """Lay out the page of one person."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Everybody", icon=":material/arrow_back:", on_click=people.close, key="everybody")
        st.code(user, language=None, width="content", wrap_lines=True)
    reading(view, lambda: _who(view, user))
    headline(view, lambda: _numbers(view, user))
    _past(view, user)
    _work(view, user)
    _trouble(view, user)
    _timeline(view, user)


def _row(view: View, user: str) -> dict[str, Any] | None:
    found = view.load("users", prefix=user, everybody=True).filter(pl.col("user_id_hash") == user)
    return found.row(0, named=True) if found.height else None


def _who(view: View, user: str) -> list[str]:
    """Say who this is: the tier and since when, first and last seen."""
    row = _row(view, user)
    if row is None:
        nobody = f"Nobody here has the hash {text.escaped(user)}, under these filters."
        return [f"{nobody} Search for its beginning in the list of everybody."]
    seen = [
        f"{name} seen {text.moment(row[column], view.now, view.timezone)}"
        for name, column in (("First", "first_seen"), ("last", "last_seen"))
    ]
    runs = view.load("user_tiers", user=user)
    if runs.is_empty():
        return [f"{', '.join(seen)}; no event names a tier."]
    last = runs.row(runs.height - 1, named=True)
    since = text.moment(last["from_at"], view.now, view.timezone)
    tier = f"On the tier **{text.escaped(last['tier'])}** since {since}"
    told = [f"{', '.join(seen)}.", f"{tier}, by {text.escaped(last['how'])}."]
    return told + _slower_than_usual(view, user)


def _slower_than_usual(view: View, user: str) -> list[str]:
    """Say which operation keeps this person waiting much longer than everybody else, if any."""
    times = pl.col("duration_ms_p95") / pl.col("everybody_ms_p95")
    slow = view.load("user_latency", user=user).filter(
        pl.col("traces") >= text.SAY_MIN, times > SLOWER
    )
    return [
        f"**{text.escaped(name)}** keeps them waiting longer than everybody: p95 "
        f"{text.duration(own)} against {text.duration(usual)}, over {text.some(n, 'time')}."
        for name, own, usual, n in slow.sort(times, descending=True)
        .head(1)
        .select("operation_name", "duration_ms_p95", "everybody_ms_p95", "traces")
        .iter_rows()
    ]


def _numbers(view: View, user: str) -> list[Number]:
    row = _row(view, user) or {}
    everybody = view.load("latency", by=())
    usual = everybody["duration_ms_p95"][0] if everybody.height else None
    beside = text.Change(f"everybody: {text.duration(usual)}") if usual is not None else None
    counts = (("Events", "events"), ("Sessions", "sessions"), ("Days active", "days_active"))
    return [
        *(Number(label, text.count(row.get(name)), None, "users") for label, name in counts),
        Number("Tools", text.count(row.get("tools")), None, "users"),
        Number("Errors met", text.count(row.get("errors")), None, "users", -1),
        Number("p95 felt", text.duration(row.get("duration_ms_p95")), beside, "users", -1),
    ]


def _past(view: View, user: str) -> None:
    cell(
        view,
        "Tiers over time",
        ask("user_tiers", user=user),
        lambda data: people_charts.tier_steps(data.now, view.latest, view.timezone),
        subtitle="Since their first event; what changed a tier is on hover",
        alt=lambda data: "Tiers in order: " + text.listed(data.now["tier"].to_list(), most=12),
        empty="No event of this person names a tier.",
        is_empty=_no_rows,
        height=charts.SMALL,
    )


def _work(view: View, user: str) -> None:
    left, right = st.columns(2)
    with left:
        cell(
            view,
            "Sessions",
            ask("user_sessions", user=user),
            _sessions,
            subtitle=lambda data: f"{text.some(data.now.height, 'session')}, newest first",
            alt="A table of the person's sessions, newest first.",
            empty=_NONE,
            is_empty=_no_rows,
        )
    with right:
        cell(
            view,
            "Tools used",
            ask("user_tools", user=user),
            lambda data: Table(
                data.now,
                {
                    "tool": "Tool",
                    "calls": "Calls",
                    "failures": "Failed",
                    "duration_ms_p95": "p95",
                    "last_used": "Last used",
                },
                rows=pictures.ROWS,
            ),
            subtitle="Server operations by tool, most called first",
            alt="A table of the tools the person called.",
            empty="They called no tool in this period.",
            is_empty=_no_rows,
        )


def _sessions(data: Data) -> Table:
    lasted = [text.duration(seconds * 1_000) for seconds in data.now["duration_s"]]
    return Table(
        data.now.with_columns(pl.Series("_lasted", lasted, pl.String)),
        {
            "started_at": "Started",
            "_lasted": "Lasted",
            "events": "Events",
            "errors": "Errors",
            "session_id": "Session",
        },
        {"_lasted": "said"},
        rows=pictures.ROWS,
    )


def _trouble(view: View, user: str) -> None:
    left, right = st.columns(2)
    with left:
        cell(
            view,
            "Latency felt",
            ask("user_latency", user=user),
            lambda data: people_charts.waits(data.now),
            subtitle="p95 per operation of this person (dot) and of everybody (diamond)",
            alt=lambda data: pictures.said_bars(data.now, "operation_name", "traces"),
            empty="Nothing they did was timed in this period.",
            is_empty=lambda data: not data.now["duration_ms_p95"].drop_nulls().len(),
        )
    with right:
        cell(
            view,
            "Errors met",
            ask("user_errors", user=user),
            lambda data: Table(
                data.now,
                {
                    "error_type": "Type",
                    "message_template": "Message",
                    "occurrences": "Count",
                    "last_seen": "Last",
                    "severity": "Severity",
                    "group_hash": "Group",
                },
                rows=pictures.ROWS,
                widths={"message_template": 240},
            ),
            subtitle="Groups of errors, the latest first",
            alt="A table of groups of errors the person met, the latest first.",
            empty="They met no error in this period.",
            is_empty=_no_rows,
            on_row=failures.choose_row,
            hint="Choose a row to open it on Errors",
        )
        group = failures.chosen_group()
        if group:
            label = f"Open the group {text.escaped(text.person(group))} on Errors"
            st.page_link("errors.py", label=label, icon=":material/bug_report:")


def _timeline(view: View, user: str) -> None:
    section(view, "Everything, in order of time", "timeline")
    with alone("The timeline's filters"):
        kinds, names, total, skip = _asked(view, user)
        cell(
            view,
            "Timeline",
            ask("user_timeline", user=user, kinds=kinds, names=names, limit=ROWS, skip=skip),
            _rows,
            subtitle=lambda data: (
                f"Rows {skip + 1:,} to {skip + data.now.height:,} of {total:,}, newest first, as "
                "they were written"
            ),
            alt="A table of what the person did, met and waited for, newest first.",
            empty=_NONE,
            is_empty=_no_rows,
            note=f"Pages end at row {PAGES_MAX * ROWS:,}; a shorter period shows what is older."
            if total > PAGES_MAX * ROWS
            else None,
        )


def _asked(view: View, user: str) -> tuple[tuple[str, ...], tuple[str, ...], int, int]:
    """Offer what to show of the timeline: kinds, names, how many rows that is, how many to skip."""
    with st.container(horizontal=True):
        kinds = options.several(PAGE, "kinds", "Kind", KINDS, placeholder="All three") or KINDS
        there = view.load("user_rows", user=user, kinds=kinds)
        offered = list(dict.fromkeys(there["name"].drop_nulls().to_list()))[:NAMES_MAX]
        names = options.several(PAGE, "names", "Name", offered, placeholder="Any")
        wanted = there.filter(pl.col("name").is_in(names)) if names else there
        total = int(pictures.total(wanted, "rows"))
        pages = min(max(-(-total // ROWS), 1), PAGES_MAX)
        number = options.number(PAGE, "page", "Page", 1, 1, pages) if pages > 1 else 1
    return kinds, names, total, (number - 1) * ROWS


def _rows(data: Data) -> Table:
    return Table(
        data.now,
        {
            "timestamp": "When",
            "kind": "Kind",
            "name": "Name",
            "result": "Result",
            "duration_ms": "Took",
            "detail": "Detail",
            "session_id": "Session",
        },
        rows=pictures.ROWS * 2,
        widths={"detail": 420},
    )


def _no_rows(data: Data) -> bool:
    return data.now.is_empty()
