"""What breaks, for whom, since when? Groups of errors, down to one and what led to it."""

from __future__ import annotations

import streamlit as st

from pages.components import behind, charts, failures, groups, palette, pictures, sentences
from pages.components.cell import ask, cell
from pages.components.head import head, reading, section
from pages.components.headline import headline
from pages.components.view import current

view = current()
open_day = view.open_from("1d")
chosen = failures.chosen_group()
EMPTY = "No errors in this period. That is what it looks like when nothing breaks."

head(view, "What breaks, and for whom?", "Errors, grouped by where they come from.")
reading(
    view,
    lambda: [
        *sentences.new_errors(view),
        *sentences.heaviest(view),
        *sentences.failing(view),
    ],
)
headline(view, lambda: failures.numbers(view))

# When?
left, right = st.columns(2)
with left:
    cell(
        view,
        "Errors per day",
        ask("errors_by_period"),
        lambda data: charts.columns(
            data.now,
            {"occurrences": "errors"},
            colours={"errors": palette.HARM},
            open_from=open_day,
        ),
        subtitle="Occurrences of all groups",
        alt=lambda data: pictures.said(data.now, "occurrences", "errors per day"),
        empty=EMPTY,
        **behind.of_periods(view, "error_people", did="met an error"),
    )
with right:
    cell(
        view,
        "People who meet them",
        ask("errors_by_period"),
        lambda data: charts.lines(
            data.now,
            {"users": "people"},
            before=data.before,
            open_from=open_day,
            fill=True,
        ),
        compare=True,
        subtitle=f"People with an error per day{pictures.before_is(view)}",
        alt=lambda data: pictures.said(data.now, "users", "people with an error per day"),
        empty=EMPTY,
        **behind.of_periods(view, "error_people", did="met an error"),
    )

groups.over_time("errors", view, "Errors", "errors_by_period", "occurrences")

# Which?
cell(
    view,
    "Groups",
    [ask("error_groups"), ask("kpis")],
    lambda data: failures.groups(view, data),
    subtitle="Same place in the code, same group",
    alt="A table of groups of errors, most frequent first.",
    empty=EMPTY,
    is_empty=lambda data: not data.now.height,
    on_row=failures.choose_row,
    hint="Choose a row to see its occurrences below",
)
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

# What exactly?
section(view, "One group, close up", "group")
failures.drill_down(view, chosen)
