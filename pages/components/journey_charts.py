"""Pictures of journeys: the flow of sessions from step to step, and how far newcomers get.

Frame in, figure out. The flow is drawn here rather than by Plotly's Sankey, because its boxes can
be clicked, its labels leave when they do not fit, and it is as readable on a phone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pages.components import charts, palette, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import plotly.graph_objects as go
    import polars as pl

STOPPED: Final = "stopped here"
OTHER: Final = "other"
ROW_PX: Final = 92  # from one step to the next
_BOX: Final = 0.36  # of a row: the height of a box
_GAP: Final = 0.006  # of the width: between two boxes
_BEND: Final = 16  # points on each side of a ribbon
_RIBBON: Final = 0.28  # opacity: crossings stay visible
_TARGETS_MAX: Final = 120  # ribbons that can be clicked, the largest first
_NAME_CHARS: Final = 30
_WAY_PX: Final = 66  # two lines of steps and a bar
_WAY_CHARS: Final = 300
_LINE_CHARS: Final = 52  # what a phone has room for
ARROW: Final = " → "
_HATCH: Final = {
    "fillmode": "overlay",
    "size": 6,
    "solidity": 0.2,
    "fgcolor": palette.PAPER,
}


@dataclass(frozen=True, slots=True)
class Box:
    """An item at a step: where it is from left to right, and what it holds."""

    step: int
    item: str
    sessions: float
    left: float
    width: float

    @property
    def token(self) -> str:
        """What a link calls it."""
        return f"{self.step} > {self.item}"


@dataclass(frozen=True, slots=True)
class Ribbon:
    """Sessions from one box to another: both ends from left to right, and its width."""

    source: Box
    target: Box
    sessions: float
    seconds: float | None
    left: float
    arrives: float
    width: float

    @property
    def token(self) -> str:
        """What a link calls it."""
        return f"{self.source.step} > {self.source.item} > {self.target.item}"


def laid_out(steps: pl.DataFrame, edges: pl.DataFrame) -> tuple[list[Box], list[Ribbon]]:
    """Place the items of each step side by side, and the ribbons between them.

    Sessions that stop get a box of their own in the row below, at its right end, so that each
    row is as wide as what the row above passes on.

    Parameters
    ----------
    steps : step, item, sessions, ended.
    edges : step, source, target, sessions, seconds_mean.
    """
    last = max(steps["step"], default=0)
    ended = [
        (step, item, STOPPED, n, None)
        for step, item, n in steps.select("step", "item", "ended").iter_rows()
        if n and step < last
    ]
    links = [*edges.iter_rows(), *ended]
    held = [(step, item, n) for step, item, n, _ in steps.iter_rows()]
    stops: dict[int, float] = {}
    for step, *_, n, _ in ended:
        stops[step + 1] = stops.get(step + 1, 0.0) + n
    held += [(step, STOPPED, n) for step, n in stops.items()]
    boxes = {(box.step, box.item): box for box in _boxes(held)}
    return list(boxes.values()), list(_ribbons(boxes, links))


def _boxes(held: Sequence[tuple[int, str, float]]) -> Iterator[Box]:
    total = sum(n for step, _, n in held if step == 1) or 1.0
    place = dict.fromkeys((STOPPED, OTHER), 1) | {STOPPED: 2}
    for step in sorted({step for step, *_ in held}):
        row = sorted(
            ((item, n) for at, item, n in held if at == step),
            key=lambda one: (place.get(one[0], 0), -one[1], one[0]),
        )
        left = 0.0
        for item, n in row:
            yield Box(step, item, n, left, n / total)
            left += n / total + _GAP


def _ribbons(
    boxes: dict[tuple[int, str], Box],
    links: Sequence[tuple[int, str, str, float, float | None]],
) -> Iterator[Ribbon]:
    """Return the ribbons; at each box they leave and arrive in the order of the other end."""
    known = [
        (boxes[step, source], boxes[step + 1, target], n, seconds)
        for step, source, target, n, seconds in links
        if (step, source) in boxes and (step + 1, target) in boxes
    ]
    scale = next((box.width / box.sessions for box in boxes.values() if box.sessions), 0.0)
    out: dict[str, float] = {}
    into: dict[str, float] = {}
    arrivals = {}
    for source, target, n, _ in sorted(known, key=lambda one: (one[1].token, one[0].left)):
        arrivals[source.token, target.token] = target.left + into.get(target.token, 0.0)
        into[target.token] = into.get(target.token, 0.0) + n * scale
    for source, target, n, seconds in sorted(known, key=lambda one: (one[0].token, one[1].left)):
        left = source.left + out.get(source.token, 0.0)
        out[source.token] = out.get(source.token, 0.0) + n * scale
        arrives = arrivals[source.token, target.token]
        yield Ribbon(source, target, n, seconds, left, arrives, n * scale)


def flow(steps: pl.DataFrame, edges: pl.DataFrame) -> go.Figure:
    """Draw the flow from top to bottom: a row of boxes per step, ribbons between them."""
    boxes, ribbons = laid_out(steps, edges)
    rows = max((box.step for box in boxes), default=1)
    drawn = charts.figure(height=ROW_PX * rows, margin={"l": 2, "r": 2})
    for ribbon in ribbons:
        _draw_ribbon(drawn, ribbon)
    _draw_boxes(drawn, boxes)
    largest = sorted(ribbons, key=lambda one: -one.sessions)[:_TARGETS_MAX]
    drawn.add_scatter(
        x=[(one.left + one.arrives + one.width) / 2 for one in largest],
        y=[one.source.step + 0.5 for one in largest],
        mode="markers",
        marker={"size": 14, "opacity": 0},
        customdata=[[one.token, said(one)] for one in largest],
        hovertemplate="%{customdata[1]}<extra></extra>",
    )
    drawn.update_layout(
        hovermode="closest",
        barmode="overlay",
        uniformtext={"mode": "hide", "minsize": 10},
    )
    drawn.update_xaxes(visible=False, range=[-0.002, 1 + _GAP * 9], fixedrange=True)
    drawn.update_yaxes(
        range=[rows + _BOX, 1 - _BOX],
        tickvals=list(range(1, rows + 1)),
        ticktext=[f"{number}" for number in range(1, rows + 1)],
        showgrid=False,
        fixedrange=True,
        nticks=None,
    )
    return drawn


def said(ribbon: Ribbon) -> str:
    """Say a ribbon: what follows what, how often, and after how long."""
    source, target = charts.label_of(ribbon.source.item), charts.label_of(ribbon.target.item)
    share = text.percent(ribbon.sessions / ribbon.source.sessions)
    many = text.some(ribbon.sessions, "session")
    if ribbon.target.item == STOPPED:
        return f"{many} stop after step {ribbon.source.step}, {source} ({share} of those there)"
    after = "" if ribbon.seconds is None else f", {text.duration(ribbon.seconds * 1000)} on average"
    return f"{source} → {target}<br>{many}, {share} of those there{after}"


def _draw_ribbon(drawn: go.Figure, ribbon: Ribbon) -> None:
    top, bottom = ribbon.source.step + _BOX / 2, ribbon.target.step - _BOX / 2
    xs, ys = [], []
    for number in range(_BEND + 1):
        t = number / _BEND
        bend = t * t * (3 - 2 * t)
        xs.append(ribbon.left + (ribbon.arrives - ribbon.left) * bend)
        ys.append(top + (bottom - top) * t)
    stops = ribbon.target.item == STOPPED
    drawn.add_scatter(
        x=[*xs, *(x + ribbon.width for x in reversed(xs))],
        y=[*ys, *reversed(ys)],
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=palette.QUIET if stops else palette.INK,
        opacity=_RIBBON * (0.6 if stops else 1),
        hoveron="fills",
        text=said(ribbon),
        hoverinfo="text",
    )


def _draw_boxes(drawn: go.Figure, boxes: Sequence[Box]) -> None:
    """Draw a bar per box; the quiet ones are hatched, so that colour is not all they have."""
    total = sum(box.sessions for box in boxes if box.step == 1) or 1.0
    quiet = [box.item in {STOPPED, OTHER} for box in boxes]
    shapes = ["/" if box.item == STOPPED else "" for box in boxes]
    drawn.add_bar(
        orientation="h",
        base=[box.left for box in boxes],
        x=[box.width for box in boxes],
        y=[box.step for box in boxes],
        width=_BOX,
        marker={
            "color": [palette.GRID if one else palette.INK for one in quiet],
            "line": {"width": 0},
            "pattern": _HATCH | {"shape": shapes, "fgcolor": palette.QUIET},
        },
        text=[_label(box, total) for box in boxes],
        textposition="inside",
        insidetextanchor="start",
        textangle=0,
        textfont={
            "color": [palette.INK if one else palette.PAPER for one in quiet],
            "size": 12,
        },
        customdata=[[box.token, _said_box(box, total)] for box in boxes],
        hovertemplate="%{customdata[1]}<extra></extra>",
    )


def _label(box: Box, total: float) -> str:
    """Return an item's name on two lines, for a box is wider than it is high, and its share."""
    name = charts.label_of(box.item.replace("_", " "), most=_NAME_CHARS)
    words = name.split(" ")
    half = max(1, len(words) - 1) if len(words) > 1 else 1
    lines = [" ".join(words[:half]), *([" ".join(words[half:])] if words[half:] else [])]
    return f"{'<br>'.join(lines)} <b>{text.percent(box.sessions / total)}</b>"


def _said_box(box: Box, total: float) -> str:
    share = text.percent(box.sessions / total)
    many = text.some(box.sessions, "session")
    if box.item == STOPPED:
        return f"{many} had stopped after step {box.step - 1} ({share} of all)"
    return f"Step {box.step}: {charts.label_of(box.item)}<br>{many}, {share} of all"


# --- the map ---------------------------------------------------------------------------------

WENT_ON: Final = "went further"
HERE: Final = "stopped here so far, still active"
SILENT: Final = "fell silent here"


def milestones(frame: pl.DataFrame) -> go.Figure:
    """Draw a bar per milestone: who reached it, and of them who went on, is here, fell silent."""
    names = [charts.label_of(name) for name in frame["name"]]
    parts = {
        SILENT: (frame["silent"], palette.HARM, "/"),
        HERE: (frame["here"], palette.INK, ""),
        WENT_ON: (frame["users"] - frame["furthest"], palette.GRID, ""),
    }
    drawn = charts.figure(height=46 * len(names) + 70, margin={"t": 34, "r": 110})
    first = max(frame["users"], default=0.0)
    for label, (values, colour, shape) in parts.items():
        drawn.add_bar(
            orientation="h",
            y=names,
            x=values.to_list(),
            name=label,
            marker={
                "color": colour,
                "line": {"width": 0},
                "pattern": _HATCH | {"shape": shape},
            },
            customdata=[
                [f"{number} {label}", f"{text.some(n, 'person', 'people')} {label}"]
                for number, n in enumerate(values)
            ],
            hovertemplate="%{y}<br>%{customdata[1]}<extra></extra>",
        )
    for number, row in enumerate(frame.iter_rows(named=True)):
        drawn.add_annotation(
            x=row["users"],
            y=names[number],
            text=_reached(row["users"], first, row["days_p50"]),
            showarrow=False,
            xanchor="left",
            xshift=6,
            font={"size": 12, "color": palette.FADED_TEXT},
        )
    drawn.update_layout(
        hovermode="closest", barmode="stack", showlegend=True, legend={"traceorder": "normal"}
    )
    drawn.update_xaxes(**charts.count_ticks([first]), range=[0, first * 1.02 or 1])
    drawn.update_yaxes(autorange="reversed", showgrid=False, nticks=None)
    return drawn


def _reached(users: float, first: float, days: float | None) -> str:
    after = f"<br>after {text.duration(days * 86_400_000)}" if days else ""
    share = text.rate(users, first)
    few = 0 < first < text.GROUP_MIN  # "3 of 40" has the number in it
    return f"{share if few else f'{text.count(users)}, {share}'}{after}"


# --- converted and not -----------------------------------------------------------------------


def ways(frame: pl.DataFrame, *, most: float, colour: str) -> go.Figure:
    """Draw a bar per way, its steps written above it.

    Parameters
    ----------
    frame : rank, path, users, group_users, share; the commonest first.
    most : where the axis ends: the same for the pictures one compares.
    """
    drawn = charts.figure(height=_WAY_PX * frame.height + 40)
    shares = frame["share"].to_list()
    drawn.add_bar(
        orientation="h",
        y=list(range(frame.height)),
        x=shares,
        width=0.26,
        marker={"color": colour, "line": {"width": 0}},
        text=[
            text.rate(n, of) if of < text.GROUP_MIN else f"{text.count(n)}, {text.percent(n / of)}"
            for n, of in frame.select("users", "group_users").iter_rows()
        ],
        textposition="outside",
        cliponaxis=False,
        customdata=[
            [
                f"{rank}",
                f"{charts.label_of(path, most=_WAY_CHARS)}<br>{text.some(n, 'person', 'people')}",
            ]
            for rank, path, n in frame.select("rank", "path", "users").iter_rows()
        ],
        hovertemplate="%{customdata[1]}<extra></extra>",
    )
    for number, path in enumerate(frame["path"]):
        drawn.add_annotation(
            x=0,
            y=number - 0.16,
            text=_wrapped(path),
            showarrow=False,
            xanchor="left",
            yanchor="bottom",
            align="left",
            font={"size": 12},
        )
    drawn.update_layout(hovermode="closest")
    drawn.update_xaxes(**charts.TICKS["percent"], range=[0, (most or 1.0) * 1.25], nticks=5)
    drawn.update_yaxes(visible=False, range=[frame.height - 0.7, -0.85])
    return drawn


def _wrapped(path: str) -> str:
    """Return a way on at most two lines, broken after an arrow."""
    steps = [charts.label_of(step) for step in path.split(ARROW)]
    lines = [steps[0]]
    for step in steps[1:]:
        fits = len(lines[-1]) + len(step) < _LINE_CHARS or len(lines) > 1
        lines = [*lines[:-1], lines[-1] + ARROW + step] if fits else [*lines, f"→ {step}"]
    return "<br>".join(lines)


def compared(frame: pl.DataFrame, *, converted: str, others: str) -> go.Figure:
    """Draw two bars per item: which share of each group did it."""
    drawn = charts.figure(height=44 * frame.height + 90, margin={"t": 54, "r": 50})
    names = [charts.label_of(name) for name in frame["item"]]
    for label, column, colour, shape in (
        (converted, "converted", palette.colour("paid"), ""),
        (others, "others", palette.QUIET, "/"),
    ):
        shares = frame[f"share_{column}"].to_list()
        drawn.add_bar(
            orientation="h",
            y=names,
            x=shares,
            name=charts.label_of(label),
            marker={
                "color": colour,
                "line": {"width": 0},
                "pattern": _HATCH | {"shape": shape},
            },
            text=[text.percent(share) for share in shares],
            textposition="outside",
            cliponaxis=False,
            customdata=[
                f"{text.some(n, 'person', 'people')}, {text.percent(share)} of {label}"
                for n, share in zip(frame[f"users_{column}"], shares, strict=True)
            ],
            hovertemplate="%{y}<br>%{customdata}<extra></extra>",
        )
    drawn.update_layout(
        hovermode="closest", barmode="group", showlegend=True, bargap=0.3, bargroupgap=0.08
    )
    drawn.update_xaxes(**charts.TICKS["percent"])
    drawn.update_yaxes(autorange="reversed", showgrid=False, nticks=None)
    return drawn
