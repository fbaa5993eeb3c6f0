"""Which way do people go? Sessions step by step, newcomers to silence, ways to paying."""

from __future__ import annotations

from functools import partial

import streamlit as st

from data_access.links import WAY_DEPTH, WAYS
from pages.components import journey_charts, journeys, text
from pages.components.cell import ask, cell
from pages.components.head import head, reading
from pages.components.headline import headline
from pages.components.view import current

view = current()

head(
    view, "Which way do people go?", "Sessions step by step, and people from their first event on."
)
choice = journeys.choices(view)
reading(view, lambda: journeys.sentences(view, choice))
headline(view, lambda: journeys.numbers(view, choice))

# Which way do sessions go, and where do they stop?
cell(
    view,
    "From step to step",
    [
        ask("path_steps", **choice.shape),
        ask("paths", **choice.shape),
    ],
    lambda data: journeys.flow(data, choice),
    subtitle=lambda data: journeys.counted(view, data, choice),
    alt=journeys.flow_said,
    empty="No session goes this way. Choose “any” for From and To, or a longer period.",
    note=lambda data: journeys.flow_note(data, choice),
    height=journey_charts.ROW_PX * choice.depth,
    marks=lambda data: journeys.flow_marks(data, choice),
    at=journeys.flow_at,
    behind=lambda token, data: journeys.flow_behind(view, token, data, choice),
)

# How far do newcomers get, and where do we lose them?
cell(
    view,
    "From the first event to paying or to silence",
    ask("journey_map", silent_days=journeys.SILENT_DAYS),
    lambda data: journey_charts.milestones(data.now),
    subtitle="People first seen in this period, by the last milestone they reached; share of all "
    "newcomers, and the median time from the first event",
    alt=journeys.map_said,
    empty="Nobody was first seen in this period. Choose a longer one.",
    is_empty=journeys.nobody_new,
    note=f"Silent is who has not been active for {journeys.SILENT_DAYS} days; whoever came later "
    "than that cannot be silent yet.",
    height=350,
    marks=journeys.map_marks,
    at=journeys.map_at,
    behind=lambda token, data: journeys.map_behind(view, token, data),
)

if choice.split is not None:
    cell(
        view,
        f"Newcomers by {text.escaped(choice.split)}",
        ask("journey_map", split=choice.split, silent_days=journeys.SILENT_DAYS),
        journeys.by_group,
        subtitle="Share of each group's newcomers who reached a milestone, and who fell silent; "
        "who changed group may be new in both",
        alt="A table of groups.",
        empty="Nobody was first seen in this period. Choose a longer one.",
        is_empty=journeys.nobody_new,
    )

# What did those who reached the goal do before?
left, right = st.columns(2)
for place, converted, title, empty in (
    (left, True, "Ways of those who reached the goal", "Nobody reached the goal in this period."),
    (right, False, "Ways of those who did not", "Everybody here reached the goal."),
):
    with place:
        cell(
            view,
            title,
            ask("journeys", **choice.way, top=WAYS),
            partial(journeys.ways, converted=converted),
            subtitle=partial(journeys.way_people, converted=converted),
            alt=partial(journeys.ways_said, converted=converted),
            empty=empty,
            is_empty=partial(journeys.no_way, converted=converted),
            at=journeys.way_at,
            marks=partial(journeys.way_marks, converted=converted),
            behind=partial(journeys.way_behind, view, choice, converted=converted),
        )
cell(
    view,
    "What those who reached the goal did more often",
    ask("journey_items", **choice.way),
    lambda data: journey_charts.compared(
        journeys.most_telling(data), converted="those who reached the goal", others="the others"
    ),
    subtitle=f"Share of each group with this among their first {WAY_DEPTH} steps, where "
    "chance alone would rarely make such a difference (p below 5 %)",
    alt=lambda data: f"Bars of {journeys.most_telling(data).height} steps, two per step.",
    empty="Nothing that chance could not explain. More people or a longer period would show more.",
    note="It says that the groups differ, not that a step made them differ.",
    is_empty=lambda data: journeys.most_telling(data).is_empty(),
)
