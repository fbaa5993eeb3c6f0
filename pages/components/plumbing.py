"""The Pipeline page's sentences, numbers and tables, picked out of finished frames."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from data_access import DataUnavailable, Filters
from data_access.measures import MEASURES
from data_access.pipeline import LOSSES
from pages.components import charts, palette, text
from pages.components.headline import Number
from pages.components.tables import Table

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from pages.components.cell import Data
    from pages.components.view import View

TOTALS: Final = "pipeline_totals"
SERIES_MAX: Final = 5  # reasons with a colour of their own; the others share one
SETTLED: Final = timedelta(minutes=1)  # lines wait this long without anything being wrong
ROWS: Final = 8
_ASIDE: Final = ("quarantine", "flags")
_SIZES: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_COLOURS: Final = (palette.HARM, palette.INK, palette.QUIET)  # with a pattern each


def own_view(view: View) -> View:
    """Return the view this page is about: no dimensions, no comparison, and today as well.

    Clients count records, not people, so only the period applies. Whether telemetry arrives is a
    question about now: a period that ends with yesterday goes on to today.
    """
    window = view.window
    if window.end == view.today and window.end_at is None:
        window = replace(window, end=window.end + timedelta(days=1))
    return replace(view, filters=Filters(window), compare=False)


def totals(view: View) -> dict[str, Any]:
    """Return the one row of totals."""
    return view.load(TOTALS).row(0, named=True)


class Sections(NamedTuple):
    """Which of the page's questions have anything to show."""

    clients: bool = True
    losses: bool = True
    log: bool = True
    aside: bool = True


def sections(view: View) -> Sections:
    """Return what to show; everything when it cannot be known, for each cell then says why."""
    try:
        found = totals(view)
        rows = {name: view.load(f"pipeline_{name}").height for name in ("files", *_ASIDE)}
    except DataUnavailable:
        return Sections()
    aside = any(rows[name] for name in _ASIDE)
    return Sections(bool(found["writers"]), bool(found["lost"]), bool(rows["files"]), aside)


# --- in words --------------------------------------------------------------------------------


def sentences(view: View) -> list[str]:
    """Say what was lost and why, what waits, and what was put aside; worst first."""
    found = totals(view)
    said = [_no_pipeline(found), _lost(view, found), _lost_after(view, found)]
    said += [_waiting(view, found), _unread(found), _put_aside(view), _arrived(view, found)]
    return [sentence for sentence in said if sentence]


def _no_pipeline(found: dict[str, Any]) -> str:
    if found["kind"] == "file":
        return "This is a single file, which has no pipeline: nobody counted what was lost."
    if found["kind"] == "old":
        return (
            "This database is an older system's, which counted no losses. It is read as it is; "
            "`python -m ingest migrate` brings it into a home of its own."
        )
    return ""


def _lost(view: View, found: dict[str, Any]) -> str:
    period = text.window(view.window, today=view.today)
    if not found["writers"]:
        last = found["last_report"]
        when = last and text.moment(last, view.now, view.timezone)
        return (
            f"No client reported in the {period}; the last report is from {when}." if when else ""
        )
    if not found["lost"]:
        return (
            f"**Nothing was lost** in the {period}: "
            f"{text.some(found['written'], 'record')} written by "
            f"{text.some(found['writers'], 'process', 'processes')}."
        )
    _, records, meaning, what_to_do, _ = view.load("pipeline_reasons").row(0)
    most = "because" if records == found["lost"] else f"{text.count(records)} of them because"
    return (
        f"**{text.count(found['lost'])} of {text.some(found['said'], 'record')} "
        f"{'was' if found['lost'] == 1 else 'were'} lost** in the {period}, {most} {meaning}. "
        f"{what_to_do}"
    )


def _lost_after(view: View, found: dict[str, Any]) -> str:
    if not found["lost_after"]:
        return ""
    last = text.day(view.last_shown_day(), today=view.today)
    return (
        f"**{text.some(found['lost_after'], 'record')}** "
        f"{'was' if found['lost_after'] == 1 else 'were'} lost after {last}; choose a later "
        "period to see why."
    )


def _waiting(view: View, found: dict[str, Any]) -> str:
    late = found["last_written"] is not None and view.now - found["last_written"] > SETTLED
    if found["waiting_bytes"] == 0 or not (found["not_storing"] or late):
        return ""
    if found["waiting_bytes"] is None:
        return ""  # said by what could not be read
    lines = found["waiting_lines"]
    many = "Many lines" if lines is None else text.some(lines, "line")
    why = f" ({text.escaped(found['storing'], most=120)})" if found["storing"] else ""
    return (
        f"{many} in the log {'waits' if lines == 1 else 'wait'} for SQLite{why}. "
        "They are safe and on the pages already; "
        "`python -m ingest load` on the log's files brings them in."
    )


def _unread(found: dict[str, Any]) -> str:
    parts = []
    if found["trouble"]:
        parts.append(text.escaped(found["trouble"], most=400))
    if found["skipped"]:
        parts.append(
            f"{text.some(found['skipped'], 'line')} of the clients' reports could not be read."
        )
    return " ".join(parts)


def _put_aside(view: View) -> str:
    reasons = view.load("pipeline_quarantine")
    if reasons.is_empty():
        return ""
    reason, first, _, what_to_do = reasons.row(0)
    lines = int(reasons["lines"].sum())
    most = "for" if first == lines else f"{text.count(first)} of them for"
    return (
        f"**{text.some(lines, 'line')}** {'was' if lines == 1 else 'were'} put aside, {most} "
        f"“{text.escaped(reason)}”. {text.escaped(what_to_do, most=200)}"
    )


def _arrived(view: View, found: dict[str, Any]) -> str:
    if found["last_written"] is None:
        return ""
    when = text.moment(found["last_written"], view.now, view.timezone)
    return f"The log was last written to {when}."


# --- numbers ---------------------------------------------------------------------------------


def numbers(view: View) -> list[Number]:
    """Return the headline: what became of what was said, and what SQLite has."""
    found, days = totals(view), view.load("pipeline_by_day")
    reported = bool(found["writers"])
    measure = MEASURES[TOTALS]

    def number(label: str, name: str, *, counts: bool = True) -> Number:
        value = found[name] if reported or not counts else None
        past = charts.spark(days, name) if reported and name in days.columns else ()
        return Number(label, text.count(value), spark=past, note=_sentence(measure.of(name)))

    return [
        number("Written", "written"),
        number("Lost", "lost"),
        number("Left out by sampling", "sampled_out"),
        number("Merged repeats", "merged"),
        number("Waiting for SQLite", "waiting_lines", counts=False),
        number("Rows in SQLite", "rows", counts=False),
    ]


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


# --- pictures --------------------------------------------------------------------------------


def became(view: View, data: Data) -> go.Figure:
    """Draw what became of everything said, per day."""
    series = {"written": "written", "sampled_out": "left out by sampling", "merged": "merged"}
    series |= {"lost": "lost"}
    shown = {name: label for name, label in series.items() if data.now[name].sum()}
    colours = {
        "written": palette.INK,
        "left out by sampling": palette.SLOTS["web"],
        "merged": palette.QUIET,
        "lost": palette.HARM,
    }
    return charts.columns(data.now, shown, colours=colours, open_from=view.open_from("1d"))


def losses(view: View, data: Data) -> go.Figure:
    """Draw losses per day, by reason; the most frequent reasons keep their own colour."""
    sums = {name: int(data.now[name].sum()) for name in LOSSES}
    names = sorted((name for name in sums if sums[name]), key=lambda name: -sums[name])
    own, rest = names[:SERIES_MAX], names[SERIES_MAX:]
    frame = data.now.with_columns(pl.sum_horizontal(rest).alias("_rest") if rest else pl.lit(0))
    series = {name: in_short(name) for name in own} | ({"_rest": "other reasons"} if rest else {})
    colours = {
        label: _COLOURS[number % len(_COLOURS)] for number, label in enumerate(series.values())
    }
    return charts.columns(frame, series, colours=colours, open_from=view.open_from("1d"))


def in_short(reason: str) -> str:
    """Return a code word as words: "disk full"."""
    return reason.replace("_", " ")


def said(data: Data) -> str:
    """Say the chart of losses for somebody who does not see it."""
    sums = {name: int(data.now[name].sum()) for name in LOSSES}
    parts = [f"{in_short(name)}: {text.count(sums[name])}" for name in sums if sums[name]]
    return "Records lost per day, by reason. " + "; ".join(parts) + "."


# --- tables ----------------------------------------------------------------------------------


def reasons(data: Data) -> Table:
    """Return why records were lost, in words beside the code word."""
    return Table(
        data.now.with_columns(pl.col("meaning").map_elements(_sentence, pl.String)),
        {
            "meaning": "What happened",
            "records": "Records",
            "what_to_do": "What to do",
            "last_at": "Last",
            "reason": "In client.stats()",
        },
        rows=ROWS,
        widths={"meaning": "medium", "what_to_do": "large"},
    )


def writers(data: Data) -> Table:
    """Return the processes that reported."""
    return Table(
        data.now.with_columns(pl.col("storing").fill_null("yes").alias("_stored")),
        {
            "writer": "Process",
            "channel": "Channel",
            "release": "Release",
            "last_report": "Last report",
            "written": "Written",
            "lost": "Lost",
            "sampled_out": "Sampled out",
            "merged": "Merged",
            "flagged": "Values left out",
            "buffered": "In memory",
            "held": "Held",
            "faults": "Our faults",
            "_stored": "Stored in SQLite",
            "started_at": "Since",
            "problems": "Settings not used",
        },
        rows=ROWS,
    )


def log_files(data: Data) -> Table:
    """Return the log's files with what SQLite has not taken yet."""
    return Table(
        data.now.with_columns(_said_bytes("bytes"), _said_bytes("waiting_bytes")),
        {
            "file": "File",
            "last_written": "Last written",
            "bytes": "Size",
            "waiting_bytes": "Waiting",
            "waiting_lines": "Lines waiting",
        },
        {"bytes": "said", "waiting_bytes": "said"},
        rows=ROWS,
        widths={"file": "medium"},
    )


def stored(data: Data) -> Table:
    """Return what SQLite holds."""
    return Table(
        data.now,
        {
            "table": "Table",
            "rows": "Rows",
            "oldest": "Oldest",
            "newest": "Newest",
            "last_stored": "Last stored",
        },
        rows=ROWS,
    )


def sizes(data: Data) -> Table:
    """Return how much room the home takes."""
    return Table(
        data.now.with_columns(_said_bytes("bytes")),
        {"place": "Place", "files": "Files", "bytes": "Size"},
        {"bytes": "said"},
        rows=ROWS,
    )


def put_aside(data: Data) -> Table:
    """Return why lines were put aside."""
    return Table(
        data.now,
        {"reason": "Reason", "lines": "Lines", "files": "Files", "what_to_do": "What to do"},
        rows=ROWS,
        widths={"what_to_do": "large"},
    )


def lines(data: Data) -> Table:
    """Return the lines that were put aside."""
    return Table(
        data.now,
        {
            "file": "File",
            "line": "Line",
            "reason": "Reason",
            "text": "Text, redacted",
            "put_aside": "When",
        },
        rows=ROWS,
        widths={"reason": "medium", "text": "large"},
    )


def flags(data: Data) -> Table:
    """Return values left out of rows."""
    return Table(data.now, {"field": "Field", "file": "File", "rows": "Rows"}, rows=ROWS)


def _said_bytes(name: str) -> pl.Expr:
    return pl.col(name).map_elements(size, pl.String)


def size(value: int) -> str:
    """Return 380 B, 1.2 kB or 3.4 MB."""
    for unit, name in _SIZES:
        if value >= unit:
            return f"{value / unit:.1f} {name}"
    return f"{value} B"
