"""Do they come back? Cohorts, curves, who comes and goes, and how often."""

from __future__ import annotations

import polars as pl
import streamlit as st

from pages.components import charts, pictures, retention, retention_people, text, titles
from pages.components import retention_charts as drawn
from pages.components.cell import ask, cell
from pages.components.head import head, reading
from pages.components.headline import headline
from pages.components.view import current

PAGE = "retention"
everyone = current()
top = st.container()
asked, split = retention.choose(PAGE, everyone)
view = retention.enough(everyone, asked.every)
span = text.window(view.window, today=view.today)
open_period = view.open_from(asked.every)

with top:
    st.set_page_config(titles.page(PAGE, view.filters, span))
    head(view, "Do they come back?", retention.counted(asked, everyone, view))
    reading(view, lambda: retention.sentences(view, asked))
    headline(view, lambda: retention.numbers(view, asked))

# Who of each cohort came back, and when?
cell(
    view,
    "Cohorts",
    [asked.ask("retention"), asked.ask("retention_mean")],
    lambda data: drawn.triangle(data.now, data.frames["retention_mean"], every=asked.every),
    subtitle=f"Share in percent of the people of each cohort who {asked.came()}, by "
    f"{asked.noun}s since, {span}; the mean weighs cohorts by their people",
    alt=lambda data: (
        f"A triangle, a row per {asked.noun} of start, a column per {asked.noun} "
        f"since. {pictures.said(data.frames['retention_mean'], 'rate', 'the mean share')}"
    ),
    empty=f"No {asked.born()} of this period. Choose a longer one, or another start event.",
    is_empty=lambda data: not data.now["cohort_users"].sum(),
    note=lambda data: retention.left_out(data, asked),
    height=charts.TALL,
    **retention_people.of_cells(view, asked),
)

# Does the curve level off, and is it better than before, or for some?
if split is None:
    cell(
        view,
        "Retention curves",
        [asked.ask("retention_mean"), asked.ask("retention")],
        lambda data: drawn.curves(
            data.now, data.frames["retention"], every=asked.every, before=data.before
        ),
        subtitle=f"The mean over all cohorts, and each cohort of {drawn.FEW} or more as a thin "
        f"line, {span}; dotted where fewer people are behind it",
        alt=lambda data: pictures.said(data.now.filter(pl.col("period") > 0), "rate", "the mean"),
        empty=f"No {asked.noun} after a cohort's own is over yet. Time will tell, or "
        "shorter cohorts.",
        is_empty=lambda data: not data.now.filter(pl.col("period") > 0)["cohort_users"].sum(),
        compare=True,
        height=charts.TALL,
        **retention_people.of_cells(view, asked),
    )
else:
    cell(
        view,
        "Retention curves",
        asked.ask("retention_mean", split=split),
        lambda data: drawn.by_group(*retention.curves_of(data.now), every=asked.every),
        subtitle=f"The mean over all cohorts by {text.escaped(split)}, {span}; who changed group "
        "is in both",
        alt=lambda data: pictures.said(data.now.filter(pl.col("period") > 0), "rate", "the means"),
        empty=f"No group has {drawn.FEW} people whose next {asked.noun} is over.",
        is_empty=lambda data: not retention.curves_of(data.now)[1],
    )

# Who comes and goes, and how often do they come?
left, right = st.columns(2)
with left:
    cell(
        view,
        "Who comes, stays and goes",
        ask("lifecycle", every=asked.every),
        lambda data: charts.lifecycle(data.now, open_from=open_period),
        subtitle=f"Active people per {asked.noun}, {span}; below zero who was there before and "
        "is not any more",
        alt=lambda data: pictures.said(data.now, "new", f"new people per {asked.noun}"),
        empty="Nobody was active.",
        **retention_people.of_lifecycle(view, asked.every),
    )
with right:
    cell(
        view,
        "How often they come",
        ask("stickiness", every=asked.every),
        lambda data: drawn.times(data.now, every=asked.every),
        subtitle=f"Active people by the number of {asked.noun}s they were active in, {span}",
        alt=lambda data: pictures.said_bars(data.now, "periods_active", "users", most=31),
        empty="Nobody was active.",
        is_empty=lambda data: not data.now["users"].sum(),
        **retention_people.of_times(view, asked.every),
    )

# How many of those who were here are gone?
cell(
    view,
    "Who is gone",
    ask("churn", every=asked.every),
    lambda data: charts.lines(
        data.now,
        {"churn_rate": "people", "paid_churn_rate": "payers"},
        kind="percent",
        open_from=open_period,
    ),
    subtitle=f"Churn: share of the people active in one {asked.noun} who are not in the next, and "
    f"of the payers who cancelled, {span}",
    alt=lambda data: pictures.said(data.now, "churn_rate", f"churn per {asked.noun}"),
    empty=f"Nobody was active in one {asked.noun} and could be gone in the next.",
    is_empty=lambda data: not data.now["active_before"].sum(),
)
