"""What happened when: releases, incidents and the team's notes, marked on every time axis."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import polars as pl

import data_access
from pages.components import charts, palette, text
from pages.components.boundary import alone
from pages.components.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

    from pages.components.view import View

MOMENTS_MAX: Final = 8  # on one axis; more would be a fence
LABEL_CHARS: Final = 20
_NAMES_PX: Final = 18
_LEVEL_PX: Final = 13
_LEVELS: Final = 3
_CHAR_SHARE: Final = 0.021  # of the width of a picture on a phone: when two names would overlap

# kind -> how its line looks, the most telling first; never by colour alone
_LINES: Final[dict[str, dict[str, Any]]] = {
    "incident": {"color": palette.HARM, "dash": "dash", "width": 1.4},
    "note": {"color": palette.INK, "dash": "longdashdot"},
    "release": {"color": palette.QUIET, "dash": "dot"},
}


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened. `label` stands on the axis, `said` is the whole of it."""

    at: datetime  # on the page's own clock
    label: str
    kind: str = "release"
    said: str = ""


def of(view: View) -> list[Moment]:
    """Return what happened inside the window, oldest first."""
    found: list[Moment] = []
    for what in (_releases, _incidents, _notes):
        with alone("What happened", quiet=True):  # a picture is complete without it
            found += what(view)
    return sorted(found, key=lambda one: (one.at, one.kind, one.label))


def table(view: View) -> Table:
    """Return what happened as a table, newest first."""
    found = of(view)[::-1]
    frame = pl.DataFrame(
        {
            "at": [one.at for one in found],
            "kind": [one.kind for one in found],
            "said": [text.plain(one.said or one.label, most=300) for one in found],
        },
        schema={"at": pl.Datetime("ms"), "kind": pl.String, "said": pl.String},
    )
    labels = {"at": "When", "kind": "Kind", "said": "What happened"}
    return Table(frame, labels, rows=8, widths={"at": 150, "kind": 90})


def _releases(view: View) -> list[Moment]:
    inside = view.load("releases").filter(
        pl.col("first_seen").is_between(view.window.opens_at, view.window.closes_at)
    )
    return [
        Moment(_local(at, view), release, said=f"release {release}, first seen")
        for release, at in inside.select("release", "first_seen").iter_rows()
    ]


def _incidents(view: View) -> list[Moment]:
    return [
        Moment(
            _local(row["started_at"], view),
            "incident",
            "incident",
            f"incident: {text.percent(row['error_rate'])} of events failed until "
            f"{_local(row['ended_at'], view):%H:%M}, {text.percent(row['usual_rate'])} is usual; "
            f"{text.some(row['users'], 'person', 'people')} hit",
        )
        for row in view.load("incidents", **view.incidents).iter_rows(named=True)
    ]


def _notes(view: View) -> list[Moment]:
    found = []
    for note in data_access.notes(view.home):
        if isinstance(note.at, datetime):
            at = _local(note.at, view)
        else:
            at = datetime.combine(note.at, time())
        by = f" ({note.who})" if note.who else ""
        found.append(Moment(at, note.text, "note", f"{note.text}{by}"))
    return [one for one in found if view.window.start <= one.at.date() < view.window.end]


def _local(at: datetime, view: View) -> datetime:
    return at.astimezone(ZoneInfo(view.timezone)).replace(tzinfo=None)


# --- on a picture ----------------------------------------------------------------------------


def annotated(drawn: go.Figure, moments: Sequence[Moment]) -> go.Figure:
    """Mark moments on a picture's time axis; a picture without one stays as it is.

    A moment stands at the hour, day or period of the axis it lies in. Those of one place share a
    line, and names that would overlap stand one above the other.
    """
    axis = time_axis(drawn)
    places: dict[Any, list[Moment]] = {}
    for moment in moments:
        at = _place(moment.at, axis)
        if at is not None:
            places.setdefault(at, []).append(moment)
    shown = sorted(places.items())[-MOMENTS_MAX:]
    names = [", ".join(one.label for one in together) for _, together in shown]
    levels = _levels([axis.index(at) for at, _ in shown], names, len(axis))
    several = "xaxis2" in drawn.layout
    for (at, together), name, level in zip(shown, names, levels, strict=True):
        line = _LINES[min((one.kind for one in together), key=list(_LINES).index)]
        if several:  # small pictures side by side have no room for names
            drawn.add_vline(at, line={"width": 1} | line, row="all", col="all")
            continue
        charts.vertical(
            drawn,
            at,
            charts.label_of(name, most=LABEL_CHARS),
            lift_px=level * _LEVEL_PX,
            line=line,
            said="<br>".join(charts.label_of(one.said or one.label, most=140) for one in together),
        )
    if shown and not several:
        _make_room(drawn, names_px=_NAMES_PX + max(levels) * _LEVEL_PX)
    return drawn


def _make_room(drawn: go.Figure, *, names_px: int) -> None:
    """Make the margin above the picture as high as the names need, and the legend above them."""
    top, height = int(drawn.layout.margin.t or 0), int(drawn.layout.height or charts.HEIGHT)
    if drawn.layout.showlegend:
        top += names_px
        drawn.update_layout(legend={"y": 1 + names_px / (height - top)})
    drawn.update_layout(margin={"t": max(top, names_px + 4)})


def time_axis(drawn: go.Figure) -> list[Any]:
    """Return the days or hours a picture runs over, in order; empty when it has no time axis."""
    for trace in drawn.data:
        x = trace.x if "x" in trace else None
        if x is not None and len(x) and isinstance(x[0], date) and trace.type != "histogram":
            return sorted(set(x))
    return []


def _place(at: datetime, axis: Sequence[Any]) -> Any:  # noqa: ANN401 - a day or an hour
    """Return the last place of the axis that is not after the moment; None outside of it."""
    if len(axis) < 2:  # noqa: PLR2004 - one place is no axis
        return None
    moment = at if isinstance(axis[0], datetime) else at.date()
    length = axis[-1] - axis[-2]
    if not axis[0] <= moment < axis[-1] + length:
        return None
    return max(one for one in axis if one <= moment)


def _levels(at: Sequence[int], names: Sequence[str], places: int) -> list[int]:
    """Return how many lines up each name stands, so that neighbours do not overlap."""
    ends = [-1.0] * _LEVELS  # where the last name of each level ends, as a share of the width
    found = []
    for position, name in zip(at, names, strict=True):
        middle = position / max(places - 1, 1)
        half = min(len(name), LABEL_CHARS) * _CHAR_SHARE / 2
        level = next((n for n, end in enumerate(ends) if middle - half > end), 0)
        ends[level] = middle + half
        found.append(level)
    return found
