"""How is the beta doing? Who is here, what breaks, how fast it is, and what changed."""

from __future__ import annotations

import polars as pl
import streamlit as st

from pages.components import behind, charts, groups, kpi, lift, moments, pictures, sentences, text
from pages.components.cell import ask, cell
from pages.components.head import head, reading
from pages.components.headline import headline
from pages.components.view import current

view = current()
open_day = view.open_from("1d")

head(view, "How is the beta doing?", "Active people, sessions, errors and speed.")
reading(
    view,
    lambda: [
        *sentences.slower(view, most=1),
        *sentences.failing(view),
        *sentences.people(view),
        *sentences.moved(view),
    ],
)
headline(
    view,
    lambda: [
        kpi.number(view, "dau", past=kpi.daily_active(view)),
        kpi.number(view, "wau", past=kpi.daily_active(view, 7)),
        kpi.number(view, "mau", past=kpi.daily_active(view, 30)),
        kpi.sessions(view),
        kpi.error_rate(view),
        kpi.latency(view, "duration_ms_p95", "p95 of operations"),
    ],
)

# How many people, day by day?
cell(
    view,
    "Active people",
    [
        ask("active_users", "DAU"),
        ask("active_users", "WAU", days=7),
        ask("active_users", "MAU", days=30),
    ],
    lambda data: charts.lines(
        pictures.side_by_side(data.frames, "users"),
        {name: name for name in data.frames},
        open_from=open_day,
    ),
    subtitle="People per day (DAU), in the 7 (WAU) and the 30 days (MAU) that end with it",
    alt=lambda data: pictures.said(data.now, "users", "daily active people"),
    empty="Nobody was active. A session, an activation, an operation or a web view fills this.",
    **behind.of_periods(view),
)
groups.over_time("overview", view, "Active people", "active_users", "users")

left, right = st.columns(2)
with left:
    hours = view.last_hours(24)
    cell(
        hours,
        "Last 24 hours",
        ask("hourly"),
        lambda data: charts.columns(
            pictures.zoned(data.now, "hour", view.timezone),
            {"events": "events"},
            x="hour",
            open_from=view.open_hour(),
        ),
        subtitle=f"Events per hour, {text.escaped(view.timezone)}; "
        f"{text.window(hours.window, today=view.today)}",
        alt=lambda data: pictures.said(data.now, "events", "events per hour"),
        empty="No events in the last 24 hours of the data.",
    )
    cell(
        view,
        "Events by channel",
        ask("activity", by=("channel",)),
        lambda data: charts.columns(
            *pictures.spread(data.now, "channel", "events"), open_from=open_day
        ),
        subtitle="Events per day",
        alt=lambda data: pictures.said(data.now, "events", "events per day and channel"),
        empty="No events in this period.",
    )
with right:
    cell(
        view,
        "What changed most",
        ask("movers"),
        lambda data: pictures.movers(data.now),
        subtitle="Events against the period before; the first lines are the least likely chance",
        alt="A table of event names with their count now, before, and the change.",
        empty="Nothing to compare: no events in this period, or none in the one before.",
        is_empty=lambda data: not data.now["events_before"].sum(),
    )
    cell(
        view,
        "People by tier",
        ask("tiers"),
        lambda data: charts.bars(
            lift.present(data.now).filter(pl.col("users") > 0),
            name="tier",
            value="users",
            height=charts.HEIGHT,
        ),
        subtitle="People with any event; who changed tier is in two bars",
        alt=lambda data: pictures.said_bars(data.now, "tier", "users"),
        empty="Nobody was here in this period.",
        is_empty=lambda data: not data.now["users"].sum(),
        **behind.of_values(
            view,
            "tier",
            of=lambda tier: {"by": "user_tier", "value": tier, "active_events": None},
        ),
    )

# What happened meanwhile?
cell(
    view,
    "What happened",
    [ask("releases"), ask("incidents", **view.incidents)],
    lambda _: moments.table(view),
    subtitle="Releases first seen, incidents found in the data, and the team's notes, newest first",
    alt="A table of releases, incidents and notes with their day.",
    empty="No release, incident or note in this period. “Notes”, beside the filters, adds one.",
    is_empty=lambda _: not moments.of(view),
)
