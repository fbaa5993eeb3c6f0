"""Pictures of what is used: a grid of shares, a line against its target, counts by a number.

Frame in, figure out, as in charts.py; nothing is loaded or computed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import plotly.graph_objects as go  # noqa: TC002 - the module's own return type

from pages.components import charts, palette, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    import polars as pl

ROWS_MAX: Final = 14  # of a grid; more is a list, and every row has one
COLUMNS_MAX: Final = 14
_ROW_PX: Final = 26
_AXIS_PX: Final = 52
_ROOMY: Final = 6  # columns; more are too narrow for a number and its sign
_SLANTED_PX: Final = 120
_SLANTED_CHARS: Final = 70  # of all column names together: more do not fit side by side
_NAME_CHARS: Final = 22
_TARGET_ROOM: Final = 1.08  # of the higher of values and target, above the line


@dataclass(frozen=True, slots=True)
class Square:
    """One cell of a grid: how dark it is, what it says, what a hover says, and its mark."""

    value: float | None
    shown: str
    said: str
    token: str = ""


def grid(
    squares: Mapping[tuple[str, str], Square], down: Sequence[str], across: Sequence[str]
) -> go.Figure:
    """Draw a grid in one hue, each square with its number; one without data stays empty.

    Parameters
    ----------
    squares : (row, column) -> what is there.
    down, across : the rows from the top and the columns from the left, as they are named.
    """
    rows = [[squares.get((row, column)) for column in across] for row in down]
    known = [one.value for row in rows for one in row if one and one.value is not None]
    slanted = sum(min(len(name), _NAME_CHARS) for name in across) > _SLANTED_CHARS
    drawn = charts.figure(height=_ROW_PX * len(down) + (_SLANTED_PX if slanted else _AXIS_PX))
    drawn.add_heatmap(
        x=list(range(len(across))),
        y=list(range(len(down))),
        z=[[one.value if one else None for one in row] for row in rows],
        zmin=0,
        zmax=max(known, default=0) or 1,
        colorscale=palette.scale(),
        showscale=False,
        xgap=2,
        ygap=2,
        hoverongaps=False,
        text=[[_short(one, len(across)) for one in row] for row in rows],
        texttemplate="%{text}",
        textfont={"size": 11},
    )
    drawn.update_layout(hovermode="closest")
    drawn.update_xaxes(
        tickvals=list(range(len(across))),
        ticktext=[charts.label_of(name, most=_NAME_CHARS) for name in across],
        side="top",
        tickangle=30 if slanted else None,
        range=[-0.5, len(across) - 0.5],
    )
    drawn.update_yaxes(
        tickvals=list(range(len(down))),
        ticktext=[charts.label_of(name, most=_NAME_CHARS) for name in down],
        range=[len(down) - 0.5, -0.5],
        showgrid=False,
        nticks=None,
    )
    there = [
        (x, y, one) for y, row in enumerate(rows) for x, one in enumerate(row) if one is not None
    ]
    return charts.targets(
        drawn,
        [x for x, _, _ in there],
        [y for _, y, _ in there],
        [one.token for *_, one in there],
        [one.said for *_, one in there],
    )


def _short(square: Square | None, columns: int) -> str:
    """Return what a square says; beside many others, a percentage goes without its sign."""
    if square is None:
        return ""
    return square.shown if columns <= _ROOMY else square.shown.replace(" %", "")


def against_target(
    frame: pl.DataFrame,
    series: Mapping[str, str],
    target: float,
    *,
    before: pl.DataFrame | None = None,
    open_from: date | None = None,
) -> go.Figure:
    """Draw shares over time and the line they are meant to reach, named with its number."""
    drawn = charts.lines(frame, series, kind="percent", before=before, open_from=open_from)
    highest = [frame[name].max() for name in series]
    top = max([target, *(float(one) for one in highest if isinstance(one, int | float))])
    drawn.update_yaxes(range=[0, top * _TARGET_ROOM])
    drawn.add_hline(target, line={"color": palette.FADED_TEXT, "width": 1.4, "dash": "longdash"})
    drawn.add_annotation(
        xref="paper",
        x=0.01,
        xanchor="left",
        y=target,
        yanchor="bottom",
        text=f"target {target * 100:.0f} %",
        showarrow=False,
        font={"size": 12},
    )
    return drawn


def each_against_target(
    frame: pl.DataFrame, series: Mapping[str, str], target: float, *, open_from: date | None = None
) -> go.Figure:
    """Draw one small chart per group on one scale, each with the line it is meant to reach."""
    drawn = charts.small_multiples(frame, series, kind="percent", open_from=open_from)
    drawn.add_hline(
        target,
        row="all",
        col="all",
        line={"color": palette.FADED_TEXT, "width": 1.2, "dash": "longdash"},
    )
    highest = [float(one) for name in series for one in frame[name].drop_nulls()]
    return drawn.update_yaxes(range=[0, max([target, *highest]) * _TARGET_ROOM])


def ranking(
    frame: pl.DataFrame, *, name: str, value: str, said: Sequence[str], before: Mapping[str, float]
) -> go.Figure:
    """Draw a bar per row, and a tick where it stood in the period before."""
    drawn = charts.bars(frame, name=name, value=value, said=said, most=ROWS_MAX)
    names = frame[name].head(ROWS_MAX).to_list()
    past = [before.get(one) for one in names]
    # every name, not every second; no room for more bars than there are
    drawn.update_yaxes(tickmode="linear", tick0=0, dtick=1, range=[len(names) - 0.5, -0.5])
    drawn.update_yaxes(autorange=False)
    if any(one is not None for one in past):
        drawn.add_scatter(
            x=past,
            y=drawn.data[0].y,
            mode="markers",
            marker={
                "symbol": "line-ns",
                "size": 16,
                "line": {"width": 3, "color": palette.QUIET},
            },
            customdata=[text.percent(one) for one in past],
            hovertemplate="%{y}, before: %{customdata}<extra></extra>",
        )
    return drawn


def by_number(
    frame: pl.DataFrame, *, label: str, value: str, said: Sequence[str], unit: str
) -> go.Figure:
    """Draw a column per number or class of numbers, in their order; `unit` is what they count."""
    drawn = charts.columns(frame, {value: value}, x=label)
    drawn.data[0].update(customdata=list(said), hovertemplate="%{customdata}<extra></extra>")
    drawn.update_layout(hovermode="closest")
    return drawn.update_xaxes(type="category", title=_title(unit))


def levels(
    frame: pl.DataFrame, series: Mapping[str, str], *, label: str, unit: str, kind: str
) -> go.Figure:
    """Draw lines over numbers or classes of them: whether one thing grows with another."""
    drawn = charts.lines(frame, series, kind=kind, x=label)
    return drawn.update_xaxes(type="category", title=_title(unit))


def _title(words: str) -> dict[str, object]:
    return {"text": words, "standoff": 6, "font": {"size": 12}}
