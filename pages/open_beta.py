"""Does the beta grow? Do people come back, and do they pay."""

from __future__ import annotations

import streamlit as st

from data_access.links import TO_PAID
from pages.components import (
    behind,
    charts,
    kpi,
    pictures,
    retention_charts,
    retention_people,
    sentences,
    text,
)
from pages.components.cell import ask, cell
from pages.components.head import head, reading, stage_notes
from pages.components.headline import headline
from pages.components.retention import Asked
from pages.components.view import current

everyone = current()
view = everyone.of_stage("open-beta")
weeks = view.at_least(84)
open_day, open_week = view.open_from("1d"), weeks.open_from("1w")
span = text.window(weeks.window, today=view.today)

head(view, "Does the open beta grow, and do people stay?", "Open-beta users.")
stage_notes(everyone, "open-beta")
reading(
    view,
    lambda: [
        *sentences.people(view),
        *sentences.slower(view, most=1),
        *sentences.failing(view),
    ],
)
headline(
    view,
    lambda: [
        kpi.number(view, "mau", past=kpi.daily_active(view, 30)),
        kpi.number(view, "dau", past=kpi.daily_active(view)),
        kpi.number(view, "cdr"),
        kpi.number(view, "resurrection"),
        kpi.number(view, "paid_conversion"),
        kpi.error_rate(view),
    ],
)

# Does it grow?
left, right = st.columns(2)
with left:
    cell(
        weeks,
        "Growth by week",
        ask("active_users", every="1w"),
        lambda data: charts.lines(
            data.now,
            {"users": "people"},
            open_from=open_week,
            fill=True,
        ),
        subtitle=f"People active per week, {span}",
        alt=lambda data: pictures.said(data.now, "users", "people active per week"),
        empty="Nobody was active.",
        **behind.of_periods(weeks, every="1w"),
    )
with right:
    cell(
        weeks,
        "Who comes, stays and goes",
        ask("lifecycle"),
        lambda data: charts.lifecycle(data.now, open_from=open_week),
        subtitle=f"People per week, {span}",
        alt=lambda data: pictures.said(data.now, "new", "new people per week"),
        empty="Nobody was active.",
        **retention_people.of_lifecycle(weeks, "1w"),
    )

# Do they come back?
cell(
    weeks,
    "Weekly retention",
    [ask("retention"), ask("retention_mean")],
    lambda data: retention_charts.triangle(data.now, data.frames["retention_mean"]),
    subtitle="Share in percent of the people first seen in a week who came back n weeks later; "
    "* is a week that is not over",
    alt="A triangle: a row per week of first use, a column per week since.",
    empty="Nobody was first seen in these weeks, so there is nobody who could come back.",
    is_empty=lambda data: not data.now["cohort_users"].sum(),
    height=charts.TALL,
    **retention_people.of_cells(weeks, Asked()),
)

# Do they pay, and through which door do they come?
left, right = st.columns(2)
with left:
    cell(
        view,
        "From free to paid",
        ask("funnel", steps=TO_PAID, within=None),
        lambda data: charts.funnel(data.now, height=charts.HEIGHT),
        subtitle="People who took each step after the one before, in this period",
        alt=lambda data: pictures.said_bars(data.now, "event_name", "users"),
        empty="Nobody started a session in this period.",
        is_empty=lambda data: not data.now["users"].sum(),
    )
with right:
    cell(
        view,
        "People by channel",
        ask("activity", by=("channel",)),
        lambda data: charts.lines(
            *pictures.spread(data.now, "channel", "users"), open_from=open_day
        ),
        subtitle="People with any event per day; one person may use several channels",
        alt=lambda data: pictures.said(data.now, "users", "people per day and channel"),
        empty="Nobody was here in this period.",
    )

# Did a release break it, or slow it down?
left, right = st.columns(2)
with left:
    cell(
        view,
        "Errors by release",
        ask("errors_by_release"),
        pictures.errors_by_release,
        subtitle="Newest first; errors per 1,000 events make a small release comparable",
        alt="A table of releases with their errors.",
        empty="No event or error names a release.",
        is_empty=lambda data: not data.now.height,
    )
with right:
    cell(
        view,
        "Speed by release",
        ask("releases"),
        pictures.speed_by_release,
        subtitle="Newest first; p95 of all operations under the release",
        alt="A table of releases with their speed.",
        empty="No event or trace names a release.",
        is_empty=lambda data: not data.now.height,
    )
