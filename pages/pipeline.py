"""Is telemetry arriving, and what was lost? The clients' own counts, the log, SQLite, the disk."""

from __future__ import annotations

import streamlit as st

from pages.components import charts, notices, pictures, plumbing, recorder
from pages.components.cell import ask, cell
from pages.components.head import head, reading
from pages.components.headline import headline
from pages.components.view import current

whole = current()
view = plumbing.own_view(whole)
NO_REPORT = "No client reported in this period. A client reports every half a minute."
NO_LINES = "No line was put aside: every line that was loaded became a row."
NOTHING_ASIDE = "Nothing was put aside: every line and every value that was loaded could be used."

head(view, "Is telemetry arriving, and what was lost?", "What clients wrote, left out and lost.")
if whole.filters.chosen():
    st.caption(":material/info: Filters other than the period rest here: clients count no people.")
reading(view, lambda: plumbing.sentences(view))
headline(view, lambda: plumbing.numbers(view))
notices.first_client(view)
there = plumbing.sections(view)  # a box that says "nothing" for every question helps nobody

cell(
    view,
    "Events arriving",
    ask("activity"),
    lambda data: charts.columns(data.now, {"events": "events"}, open_from=view.open_from("1d")),
    subtitle="Events per day, by the time they tell; a day without any is a gap to ask about",
    alt=lambda data: pictures.said(data.now, "events", "events per day"),
    empty="No event tells a time in this period.",
)

# What became of it, and why was some lost?
if there.clients:
    left, right = st.columns(2)
    with left:
        cell(
            view,
            "What became of it",
            ask("pipeline_by_day"),
            lambda data: plumbing.became(view, data),
            subtitle="Records per day, as the clients counted them",
            alt=lambda data: pictures.said(data.now, "written", "records written per day"),
            empty=NO_REPORT,
        )
    with right:
        cell(
            view,
            "Lost, by reason",
            ask("pipeline_losses"),
            lambda data: plumbing.losses(view, data),
            subtitle="Records per day that the log never got",
            alt=plumbing.said,
            empty="Nothing was lost in this period, as far as clients reported.",
        )
if there.losses:
    cell(
        view,
        "Why records were lost",
        ask("pipeline_reasons"),
        plumbing.reasons,
        subtitle="Every loss has one reason; most first",
        alt="A table of reasons with what to do.",
        empty="Nothing was lost in this period, as far as clients reported.",
        is_empty=lambda data: not data.now.height,
    )

# Who writes, and where does it lie?
if there.clients:
    cell(
        view,
        "Processes that write",
        ask("pipeline_writers"),
        plumbing.writers,
        subtitle="Counts of the period; the last to report first",
        alt="A table of processes with what each wrote and lost.",
        empty=NO_REPORT,
        is_empty=lambda data: not data.now.height,
    )
left, right = st.columns(2)
with left:
    cell(
        view,
        "In SQLite",
        ask("pipeline_stored"),
        plumbing.stored,
        subtitle="Rows per table, now",
        alt="A table of SQLite's tables with their rows.",
        empty="There is no database of ours here, or it cannot be asked.",
        is_empty=lambda data: not data.now.height,
    )
with right:
    cell(
        view,
        "On disk",
        ask("pipeline_sizes"),
        plumbing.sizes,
        subtitle="Now; the fast copy may be deleted at any time",
        alt="A table of folders with their sizes.",
        empty="There are no files.",
    )
if there.log:
    cell(
        view,
        "Log files",
        ask("pipeline_files"),
        plumbing.log_files,
        subtitle="Now; a line is safe when it is here, and waiting until SQLite has it too",
        alt="A table of log files with what waits to be stored.",
        empty="There is no event log here: no client has written, or it was loaded and removed.",
        is_empty=lambda data: not data.now.height,
    )

# What was put aside?
if there.aside:
    left, right = st.columns([2, 1])
    with left:
        cell(
            view,
            "Why lines were put aside",
            ask("pipeline_quarantine"),
            plumbing.put_aside,
            subtitle="All there are, now; most first",
            alt="A table of reasons with what to do.",
            empty=NO_LINES,
            is_empty=lambda data: not data.now.height,
        )
    with right:
        cell(
            view,
            "Values left out",
            ask("pipeline_flags"),
            plumbing.flags,
            subtitle="Rows of loaded files whose value was unusable or unusual",
            alt="A table of fields and files.",
            empty="Every value of every loaded row could be used.",
            is_empty=lambda data: not data.now.height,
        )
    cell(
        view,
        "Lines put aside",
        ask("pipeline_lines"),
        plumbing.lines,
        subtitle="The newest first, 1,000 at most",
        alt="A table of lines with where each is and what is wrong with it.",
        empty=NO_LINES,
        is_empty=lambda data: not data.now.height,
    )
else:
    st.caption(NOTHING_ASIDE)
recorder.foot(view.home, view.facts.settings)
