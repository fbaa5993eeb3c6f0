"""Pictures of what a product is made of: parts of a bar, amounts around zero, marks to click.

Frame in, figure out, as in charts.py; no Streamlit, no loading, no formula.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pages.components import charts, palette, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go
    import polars as pl

# fills that stand beside each other: told apart by hue, by lightness and by their pattern
FILLS: Final = ("ink", "server", "enterprise", "web", "extension", "trial", "paid", "quiet")
_BAR_PX: Final = 34
_LEGEND_PX: Final = 34


def stacked(
    frame: pl.DataFrame,
    *,
    name: str,
    part: str,
    value: str,
    parts: Sequence[str],
    noun: str,
) -> go.Figure:
    """Draw one horizontal bar per `name`, made of its `parts`: each a colour and a pattern.

    Parameters
    ----------
    frame : a row per name and part; names in the order of the rows, the first on top.
    parts : all values `part` may have, in the order they are stacked: each keeps its colour, and
        those nobody has are left out.
    noun : what is counted, for the words on hover.
    """
    names = frame[name].unique(maintain_order=True).to_list()
    shown = [charts.label_of(one) for one in names]
    drawn = charts.figure(
        height=max(charts.SMALL, _BAR_PX * len(names) + 60), margin={"t": _LEGEND_PX}
    )
    found = {(one, which): n for one, which, n in frame.select(name, part, value).iter_rows()}
    for position, which in enumerate(parts):
        values = [found.get((one, which)) for one in names]
        if not any(values):
            continue
        drawn.add_bar(
            y=shown,
            x=values,
            name=charts.label_of(which),
            orientation="h",
            marker=_fill(position),
            customdata=[f"{text.count(n)} {noun}" for n in values],
            hovertemplate="%{y}, %{fullData.name}: %{customdata}<extra></extra>",
        )
    drawn.update_layout(
        barmode="stack",
        showlegend=True,
        hovermode="closest",
        legend={"traceorder": "normal"},
    )
    drawn.update_xaxes(**charts.TICKS["count"])
    drawn.update_yaxes(autorange="reversed", showgrid=False, nticks=len(names))
    return drawn


def _fill(position: int) -> dict[str, object]:
    """Return the colour and pattern of the part at this place."""
    return {
        "color": palette.SLOTS[FILLS[position % len(FILLS)]],
        "line": {"width": 0},
        "pattern": {
            "shape": palette.PATTERNS[position % len(palette.PATTERNS)],
            "fillmode": "overlay",
            "size": 6,
            "solidity": 0.2,
            "fgcolor": palette.PAPER,
        },
    }


def told_apart(drawn: go.Figure) -> go.Figure:
    """Give the bars of a stack, which have no colour of their own meaning, one each."""
    for position, trace in enumerate(drawn.data):
        hatched = trace.marker.pattern.shape
        trace.marker.color = palette.SLOTS[FILLS[position % len(FILLS)]]
        trace.marker.pattern.shape = [
            "/" if opacity < 1 else shape
            for opacity, shape in zip(trace.marker.opacity, hatched, strict=True)
        ]
    return drawn


def clickable(
    drawn: go.Figure, tokens: Sequence[str], said: Sequence[str] | None = None
) -> go.Figure:
    """Let the bars of a picture be told apart by a click: one token each (`marks.token_at`).

    `said` is what a bar says on hover, where that is in its customdata.
    """
    words = said or [""] * len(tokens)
    drawn.data[0].customdata = [[one, word] for one, word in zip(tokens, words, strict=True)]
    if said:
        drawn.data[0].hovertemplate = "%{y}: %{customdata[1]}<extra></extra>"
    return drawn


def around_zero(
    frame: pl.DataFrame,
    series: Mapping[str, str],
    *,
    open_from: object = None,
) -> go.Figure:
    """Draw amounts that may be above and below zero as bars; what lies below is harm."""
    drawn = charts.columns(frame, series, open_from=open_from)  # type: ignore[arg-type]
    for trace in drawn.data:
        below = [(value or 0) < 0 for value in trace.y]
        trace.marker.color = [palette.HARM if is_low else palette.INK for is_low in below]
        late = [opacity < 1 for opacity in trace.marker.opacity]
        trace.marker.pattern.shape = [
            "x" if is_low else "/" if is_late else ""
            for is_low, is_late in zip(below, late, strict=True)
        ]
    drawn.update_yaxes(
        rangemode="normal", zeroline=True, zerolinewidth=1.5, zerolinecolor=palette.FADED_TEXT
    )
    return drawn
