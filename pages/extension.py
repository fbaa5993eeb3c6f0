"""Who installs the extension? Whether they go on using it, and what they do in it."""

from __future__ import annotations

import streamlit as st

from pages.components import charts, extension, options, pictures, properties, text
from pages.components.cell import ask, cell
from pages.components.head import head, reading
from pages.components.headline import headline
from pages.components.view import current

PAGE = "extension"
IN_IT = (extension.CHANNEL,)

view = current()
weeks = view.at_least(84)
open_day = view.open_from("1d")
span = text.window(weeks.window, today=view.today)

head(
    view,
    "Who installs the extension, and do they go on using it?",
    "Events of the extension channel; those who install are followed into their second week.",
)
reading(view, lambda: extension.reading(view, weeks))
headline(view, lambda: extension.numbers(view, weeks))

# Do they go on using it?
left, right = st.columns(2)
with left:
    extension.funnel(weeks)
with right:
    extension.by_week(weeks)
split = options.breakdown(PAGE, weeks)
if split is not None:
    extension.by_group(weeks, split)

# In which editor, and which version?
left, right = st.columns(2)
with left:
    properties.by_value(
        view,
        "Editors",
        "ide",
        channels=IN_IT,
        subtitle="People in the extension by the editor their events name",
        empty="No event of the extension names an editor. Send `ide` with its events.",
    )
with right:
    properties.over_weeks(
        weeks,
        "Editors by week",
        "ide",
        channels=IN_IT,
        subtitle=f"Share of the people in the extension, {span}",
        empty="No event of the extension names an editor. Send `ide` with its events.",
    )
properties.over_weeks(
    weeks,
    "Versions by week",
    "version",
    channels=IN_IT,
    subtitle=f"Share of the people in the extension, {span}; in a week one may use two",
    empty="No event of the extension names a version. Send `version` with its events.",
)

# What do they do in it?
left, right = st.columns(2)
with left:
    cell(
        view,
        "What is clicked most",
        ask("interactions"),
        extension.interactions,
        subtitle="Interactions with the extension's own elements, most frequent first",
        alt="A table of elements and actions with how often and by how many people.",
        empty="No `ui_interaction` in this period. Send it with `element` and `action`.",
    )
with right:
    cell(
        view,
        "Code insertions",
        ask("code_insertions"),
        lambda data: charts.lines(
            data.now,
            {"insertions": "insertions", "accepted": "accepted"},
            open_from=open_day,
        ),
        subtitle=extension.inserted,
        alt=lambda data: pictures.said(data.now, "insertions", "code insertions per day"),
        empty="No `code_insert` in this period. Send it with `lines_inserted` and `accepted`.",
    )
left, right = st.columns(2)
with left:
    cell(
        view,
        "Context switches",
        ask("context_switches"),
        lambda data: charts.columns(data.now, {"switches": "switches"}, open_from=open_day),
        subtitle="Switches from one context or branch to another, per day",
        alt=lambda data: pictures.said(data.now, "switches", "context switches per day"),
        empty="No `context_switch` in the extension in this period.",
    )
with right:
    cell(
        view,
        "Length of sessions",
        [ask("session_lengths"), ask("extension_sessions", every=None)],
        extension.lengths,
        subtitle=extension.length_words,
        alt="Bars of sessions by how long they last.",
        empty="Nobody was in the extension in this period.",
        is_empty=lambda data: not data.now["sessions"].sum(),
    )

# How long do they stay, and what goes wrong?
left, right = st.columns(2)
with left:
    cell(
        view,
        "Time a day",
        ask("extension_sessions"),
        lambda data: charts.lines(
            extension.timed(data.now),
            {extension.TIME_A_DAY: "per person"},
            kind="duration",
            before=None if data.before is None else extension.timed(data.before),
            open_from=open_day,
        ),
        compare=True,
        subtitle=f"All sessions of a person on a day, on average{pictures.before_is(view)}",
        alt=lambda data: pictures.said(
            extension.timed(data.now), extension.TIME_A_DAY, "the time per person and day"
        ),
        empty="Nobody was in the extension in this period.",
    )
with right:
    cell(
        view,
        "Errors and time-outs",
        ask("extension_failures"),
        lambda data: extension.failures(data.now, open_day),
        subtitle="Per day; a failed event often reports an error as well, so they are not added up",
        alt=lambda data: pictures.said(data.now, "errors", "errors per day"),
        empty="Nothing went wrong in the extension in this period.",
        is_empty=extension.nothing_wrong,
    )
