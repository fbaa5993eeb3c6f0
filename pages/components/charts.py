"""Frame in, figure out: every kind of picture is drawn here, and looks decided once.

No Streamlit, no loading, no formula. Colours are the theme's slots (palette.py), so a figure is
right in light and dark. Nulls are gaps: a day without data must not look like a day at zero.
"""

from __future__ import annotations

import html
import math
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from pages.components import palette, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HEIGHT: Final = 309  # a table of eight rows beside it is as tall
TALL: Final = 360
SMALL: Final = 200
LABELS_MAX: Final = 4  # so many lines are labelled at their end, more get a legend
NAME_CHARS_MAX: Final = 34
SPARK_POINTS_MAX: Final = 60
_LOG_MS_MIN: Final = 0.05  # a logarithmic axis has no zero
_LABEL_PX: Final = 15  # labels of lines stand at least this far apart
_MINUTE_MS: Final = 60_000
_CHAR_PX: Final = 6.6
_TARGET_PX: Final = 24
_NO_TITLE: Final = {"text": "", "standoff": 0, "font": {"size": 1}}  # the subtitle names the unit
_MULTIPLE_PX: Final = 82  # of one small chart
_TITLE_CHARS_MAX: Final = 24  # of a small chart's name: two stand side by side on a phone
_SHORT_CHARS_MAX: Final = 24  # of a bar's name, where what is said beside it is long
_SAID_CHARS: Final = 14
_FAINT: Final = 0.45
_PLOT_PX_MIN: Final = 120
CONFIG: Final = {"displayModeBar": False, "showSendToCloud": False, "responsive": True}

# what a number on an axis or a tooltip is; Plotly's own formats, close to text.py's
TICKS: Final[dict[str, dict[str, Any]]] = {
    "count": {"tickformat": "~s", "rangemode": "tozero"},
    "percent": {"tickformat": "~%", "rangemode": "tozero"},
    "duration": {"rangemode": "tozero"},
    "money": {"tickprefix": "$", "tickformat": "~s", "rangemode": "tozero"},
}
# days and hours on an axis, the way the tables and sentences write them
DATES: Final = (
    {"dtickrange": [None, 86_399_999], "value": "%H:%M\n%-d %b %Y"},
    {"dtickrange": [86_400_000, 2_419_199_999], "value": "%-d %b\n%Y"},
    {"dtickrange": [2_419_200_000, None], "value": "%b %Y"},
    {"dtickrange": ["M1", None], "value": "%b %Y"},
)
SAY: Final[dict[str, Callable[[float | None], str]]] = {
    "count": text.count,
    "percent": text.percent,
    "duration": text.duration,
    "money": text.money,
}


def figure(*, height: int = HEIGHT, margin: Mapping[str, int] | None = None) -> go.Figure:
    """Return an empty figure with the house's layout."""
    return go.Figure(
        layout={
            "height": height,
            "margin": {"l": 8, "r": 12, "t": 10, "b": 4, "pad": 4} | dict(margin or {}),
            "hovermode": "x unified",
            "hoverlabel": {"namelength": -1},
            "showlegend": False,
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": ""},
            "dragmode": False,
            "bargap": 0.25,
            "xaxis": {"title": _NO_TITLE, "showgrid": False, "automargin": True},
            "yaxis": {"title": _NO_TITLE, "automargin": True, "nticks": 5, "zeroline": False},
        }
    )


# --- over time -------------------------------------------------------------------------------


def lines(
    frame: pl.DataFrame,
    series: Mapping[str, str],
    *,
    kind: str = "count",
    x: str = "period",
    before: pl.DataFrame | None = None,
    open_from: date | None = None,
    colours: Mapping[str, str] | None = None,
    height: int = HEIGHT,
    fill: bool = False,
    labels_max: int = LABELS_MAX,
    log: bool = False,
    top: float | None = None,
) -> go.Figure:
    """Draw one line per column of `series` (column -> label) against `x`.

    Parameters
    ----------
    kind : "count", "percent" or "duration": how numbers are written.
    before : the previous period's frame, row for row; drawn lighter and dashed.
    open_from : rows from here on are not over; drawn as a dashed end.
    colours : label -> slot, where the label itself has no meaning in the palette.
    fill : shade under a single line.
    log : a logarithmic axis, for durations that span milliseconds and minutes.
    top : where the axis ends, from zero on; at the highest value when not given.
    """
    drawn = figure(height=height)
    when = _naive(frame[x])
    single = len(series) == 1
    for position, (column, label) in enumerate(series.items()):
        colour = (colours or {}).get(label, palette.colour(label))
        dash = "solid" if single else palette.dash(label, position)
        values = frame[column].cast(pl.Float64).to_list()
        said = [SAY[kind](value) for value in values]
        is_open = [_is_open(moment, open_from) for moment in when]
        if before is not None and column in before.columns:
            past = before[column].cast(pl.Float64).to_list()[: len(when)]
            drawn.add_scatter(
                x=when[: len(past)],
                y=past,
                name=f"{label_of(label)}, before",
                mode="lines",
                line={"color": colour, "width": 1.4, "dash": "dot"},
                opacity=_FAINT,
                customdata=[SAY[kind](value) for value in past],
                hovertemplate="%{customdata}",
            )
        closed = [None if late else value for value, late in zip(values, is_open, strict=True)]
        drawn.add_scatter(
            x=when,
            y=closed,
            name=label_of(label),
            mode="lines+markers",  # a point that is not drawn can still be clicked
            marker={"size": 5, "opacity": 1} if _sparse(closed) else {"size": 12, "opacity": 0},
            line={"color": colour, "width": 2, "dash": dash},
            fill="tozeroy" if fill and single else None,
            fillpattern=None,
            connectgaps=False,
            customdata=said,
            hovertemplate="%{customdata}",
        )
        if fill and single:
            drawn.data[-1].update(fillgradient=None, fillcolor=palette.GRID)
        _open_end(drawn, when, values, is_open, label=label, colour=colour, said=said)
    _dated(drawn, when)
    span = _axes(drawn, kind, [v for column in series for v in frame[column].to_list()], log=log)
    if top is not None:
        span = 0.0, top
        drawn.update_yaxes(range=span)
    if 1 < len(series) <= labels_max:
        _end_labels(drawn, frame, series, colours or {}, _Scale(*span, height - 50, log))
    elif len(series) > labels_max:
        drawn.update_layout(showlegend=True, margin={"t": 34})
    return drawn


def small_multiples(
    frame: pl.DataFrame,
    series: Mapping[str, str],
    *,
    kind: str = "count",
    open_from: date | None = None,
    log: bool = False,
    across: int = 2,
) -> go.Figure:
    """Draw one small chart per series on one common scale: many lines that stay readable."""
    down = max(1, math.ceil(len(series) / across))
    drawn = make_subplots(
        rows=down,
        cols=across,
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.04,
        vertical_spacing=min(0.3 / down, 0.2),
        subplot_titles=[label_of(label, most=_TITLE_CHARS_MAX) for label in series.values()],
    )
    when = _naive(frame["period"])
    is_open = [_is_open(moment, open_from) for moment in when]
    for position, (column, label) in enumerate(series.items()):
        values = frame[column].cast(pl.Float64).to_list()
        said = [SAY[kind](value) for value in values]
        closed = [None if late else value for value, late in zip(values, is_open, strict=True)]
        place = {"row": position // across + 1, "col": position % across + 1}
        drawn.add_scatter(
            x=when,
            y=closed,
            name=label_of(label),
            mode="lines+markers" if _sparse(closed) else "lines",
            marker={"size": 4},
            line={"color": palette.INK, "width": 1.6},
            customdata=said,
            hovertemplate="%{x|%d %b}: %{customdata}<extra></extra>",
            **place,
        )
        if any(is_open):
            first = is_open.index(True)
            begin = max(first - 1, 0)
            falls = (values[first] or 0) < (values[begin] or 0)
            drawn.add_scatter(
                x=when[begin:],
                y=values[begin:],
                mode="markers" if falls else "lines+markers",
                marker={
                    "size": [0] * (first - begin) + [5] * (len(when) - first),
                    "symbol": "circle-open",
                    "color": palette.INK,
                },
                name=f"{label_of(label)}, not over yet",
                line={"color": palette.INK, "width": 1.4, "dash": "dot"},
                customdata=said[begin:],
                hovertemplate="%{x|%d %b}: %{customdata}, not over yet<extra></extra>",
                **place,
            )
    base = figure(height=_MULTIPLE_PX * down + 44, margin={"t": 24}).layout
    drawn.update_layout(base)
    drawn.update_layout(hovermode="closest")
    drawn.update_xaxes(title=_NO_TITLE, showgrid=False, nticks=5)
    _dated(drawn, when)
    drawn.update_yaxes(title=_NO_TITLE, zeroline=False)
    drawn.update_annotations(font={"size": 12}, yshift=2)
    _axes(
        drawn, kind, [v for column in series for v in frame[column].to_list()], log=log, steps=(1,)
    )
    drawn.update_yaxes(nticks=3)
    return drawn


def percentiles(
    frame: pl.DataFrame,
    *,
    before: pl.DataFrame | None = None,
    open_from: date | None = None,
) -> go.Figure:
    """Draw p50 to p99 on one axis: one hue, the higher the fainter; p95 is the strong one."""
    strengths = {50: 0.75, 75: 0.45, 90: 0.55, 95: 1.0, 99: 0.55}
    series = {f"duration_ms_p{p}": f"p{p}" for p in strengths}
    drawn = lines(
        frame,
        series,
        kind="duration",
        open_from=open_from,
        height=TALL,
        labels_max=len(series),
        log=True,
    )
    for trace in drawn.data:
        number = int(trace.name.partition(",")[0][1:])
        trace.opacity = strengths[number]
        trace.line.width = 2.6 if number == 95 else 1.6  # noqa: PLR2004
    if before is not None:
        past = before["duration_ms_p95"].to_list()[: frame.height]
        drawn.add_scatter(
            x=_naive(frame["period"])[: len(past)],
            y=past,
            name="p95, before",
            mode="lines",
            line={"color": palette.INK, "width": 1.4, "dash": "dot"},
            opacity=_FAINT,
            customdata=[text.duration(value) for value in past],
            hovertemplate="%{customdata}",
        )
    return drawn


def _open_end(
    drawn: go.Figure,
    when: Sequence[Any],
    values: Sequence[float | None],
    is_open: Sequence[bool],
    *,
    label: str,
    colour: str,
    said: Sequence[str],
) -> None:
    """Draw what is not over as hollow points; a dotted line joins them unless it would fall.

    A line that falls into half a day reads as a drop, and is none.
    """
    if not any(is_open):
        return
    first = is_open.index(True)
    begin = max(first - 1, 0)
    falls = (values[first] or 0) < (values[begin] or 0)
    drawn.add_scatter(
        x=when[begin:],
        y=list(values[begin:]),
        name=f"{label_of(label)}, not over yet",
        mode="markers" if falls else "lines+markers",
        marker={
            "size": [0] * (first - begin) + [7] * (len(when) - first),
            "symbol": "circle-open",
            "color": colour,
        },
        line={"color": colour, "width": 1.4, "dash": "dot"},
        customdata=[""] * (first - begin) + list(said[first:]),
        hoverinfo="skip" if first == begin else None,
        hovertemplate="%{customdata}",
    )


def columns(
    frame: pl.DataFrame,
    series: Mapping[str, str],
    *,
    kind: str = "count",
    x: str = "period",
    open_from: date | datetime | None = None,
    colours: Mapping[str, str] | None = None,
    stacked: bool = True,
    height: int = HEIGHT,
) -> go.Figure:
    """Draw bars over time, stacked or side by side; a period that is not over is hatched."""
    drawn = figure(height=height, margin={"t": 34} if len(series) > 1 else {})
    when = _naive(frame[x])
    for position, (column, label) in enumerate(series.items()):
        values = frame[column].cast(pl.Float64).to_list()
        shape = palette.pattern(label, position) if len(series) > 1 else ""
        is_open = [_is_open(moment, open_from) for moment in when]
        drawn.add_bar(
            x=when,
            y=values,
            name=label_of(label),
            marker={
                "color": (colours or {}).get(label, palette.colour(label)),
                "opacity": [_FAINT if late else 1 for late in is_open],
                "line": {"width": 0},
                "pattern": {
                    "shape": ["/" if late else shape for late in is_open],
                    "fillmode": "overlay",
                    "size": 6,
                    "solidity": 0.13,
                    "fgcolor": palette.PAPER,
                },
            },
            customdata=[SAY[kind](value) for value in values],
            hovertemplate="%{customdata}",
        )
    _dated(drawn, when)
    drawn.update_layout(barmode="relative" if stacked else "group", showlegend=len(series) > 1)
    tallest: pl.Series = frame.select(pl.sum_horizontal(list(series)).alias("_")).to_series()
    _axes(drawn, kind, list(tallest))
    return drawn


def lifecycle(frame: pl.DataFrame, *, open_from: date | None = None) -> go.Figure:
    """Draw who came above zero and who went quiet below it, per period."""
    meant = {
        "returning": ("returning", palette.INK, ""),
        "new": ("new", palette.SLOTS["server"], "/"),
        "resurrecting": ("back after a pause", palette.SLOTS["web"], "."),
        "dormant": ("gone quiet", palette.HARM, "x"),
    }
    drawn = columns(
        frame, {name: said for name, (said, _, _) in meant.items()}, open_from=open_from
    )
    for trace, (_, colour, shape) in zip(drawn.data, meant.values(), strict=True):
        late = [opacity == _FAINT for opacity in trace.marker.opacity]
        trace.marker.color = colour
        trace.marker.pattern.shape = ["/" if is_late else shape for is_late in late]
    drawn.update_yaxes(zeroline=True, zerolinewidth=1.5, zerolinecolor=palette.FADED_TEXT)
    return drawn


# --- by name ---------------------------------------------------------------------------------


def bars(
    frame: pl.DataFrame,
    *,
    name: str,
    value: str,
    kind: str = "count",
    said: Sequence[str] | None = None,
    most: int = 12,
    height: int | None = None,
) -> go.Figure:
    """Draw one horizontal bar per row, the first on top, each with its value in words."""
    shown = frame.head(most)
    values = shown[value].cast(pl.Float64).to_list()
    words = list(said or [SAY[kind](one) for one in values])[: len(values)]
    longest = max((len(word) for word in words), default=0)
    most_chars = NAME_CHARS_MAX if longest <= _SAID_CHARS else _SHORT_CHARS_MAX
    names = [label_of(one, most=most_chars) for one in shown[name].to_list()]
    drawn = figure(height=height or max(120, 30 * len(names) + 40))
    drawn.add_bar(
        y=_distinct(names),
        x=values,
        orientation="h",
        marker={"color": [palette.colour(one) for one in names]},
        text=[f"{word} " for word in words],
        textposition="outside",
        cliponaxis=False,
        textfont={"size": 12},
        hovertemplate="%{y}: %{text}<extra></extra>",
    )
    drawn.update_layout(hovermode="closest", margin={"r": int(longest * _CHAR_PX) + 16})
    drawn.update_xaxes(visible=False, rangemode="tozero")
    drawn.update_yaxes(autorange="reversed", ticklabelstandoff=6, nticks=len(names), showgrid=False)
    return drawn


def funnel(frame: pl.DataFrame, *, height: int = SMALL) -> go.Figure:
    """Draw each step as a bar with how many got there, from the first and from the one before."""
    said = [
        text.count(users)
        if step == 0
        else f"{text.count(users)} ({text.percent(first)} of all, "
        f"{text.percent(previous)} of the step before)"
        for step, users, first, previous in frame.select(
            "step", "users", "rate_from_first", "rate_from_previous"
        ).iter_rows()
    ]
    drawn = bars(
        frame, name="event_name", value="users", said=said, most=frame.height, height=height
    )
    inside = [word.split(" (")[0] for word in said]
    drawn.data[0].text = [
        word if number == 0 else f"{word} · {text.percent(frame['rate_from_first'][number])}"
        for number, word in enumerate(inside)
    ]
    drawn.data[0].customdata = said
    drawn.data[0].hovertemplate = "%{y}: %{customdata}<extra></extra>"
    drawn.update_layout(margin={"r": 110})
    return drawn


def intervals(
    frame: pl.DataFrame, *, name: str, value: str, low: str, high: str, group: str
) -> go.Figure:
    """Draw a dot with its interval per row and group around zero: "is it really different?"."""
    groups = frame[group].unique(maintain_order=True).to_list()
    names = frame[name].unique(maintain_order=True).to_list()
    drawn = figure(height=TALL, margin={"t": 34})
    symbols = ("circle", "diamond", "square", "triangle-up")
    for position, one in enumerate(groups):
        rows = frame.filter(pl.col(group) == one)
        shift = (position - (len(groups) - 1) / 2) * 0.24
        values = rows[value].to_list()
        drawn.add_scatter(
            x=values,
            y=[names.index(row) + shift for row in rows[name]],
            name=label_of(one),
            mode="markers",
            marker={
                "color": palette.colour(str(one)),
                "size": 9,
                "symbol": symbols[position % len(symbols)],
            },
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [
                    None if a is None or b is None else b - a
                    for a, b in zip(values, rows[high], strict=True)
                ],
                "arrayminus": [
                    None if a is None or b is None else a - b
                    for a, b in zip(values, rows[low], strict=True)
                ],
                "thickness": 1.6,
                "width": 4,
                "color": palette.colour(str(one)),
            },
            customdata=[
                f"{text.percent(mid)} ({text.percent(lo)} to {text.percent(hi)})"
                for mid, lo, hi in rows.select(value, low, high).iter_rows()
            ],
            hovertemplate="%{customdata}",
        )
    drawn.update_layout(hovermode="closest", showlegend=len(groups) > 1)
    drawn.update_xaxes(
        tickformat="+~%", zeroline=True, zerolinewidth=1.5, zerolinecolor=palette.FADED_TEXT
    )
    drawn.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[label_of(one) for one in names],
        range=[len(names) - 0.5, -0.5],
        showgrid=False,
    )
    return drawn


# --- distributions and grids -----------------------------------------------------------------


def histogram(
    frame: pl.DataFrame,
    *,
    low: str,
    high: str,
    series: Mapping[str, str],
    marks: Mapping[str, float] | None = None,
) -> go.Figure:
    """Draw counted classes of durations on a logarithmic axis, with percentiles marked.

    `series` are stacked, column -> label; the second is hatched in the colour of harm.
    """
    drawn = figure(margin={"t": 36})
    lows = [max(float(one or 0), _LOG_MS_MIN) for one in frame[low]]
    # the last class is open: it is drawn as wide as a class of a tenth of a decade
    highs = [
        float(one) if one is not None else start * 1.26
        for one, start in zip(frame[high], lows, strict=True)
    ]
    for position, (column, label) in enumerate(series.items()):
        values = frame[column].cast(pl.Float64).to_list()
        drawn.add_bar(
            x=[(a * b) ** 0.5 for a, b in zip(lows, highs, strict=True)],
            y=values,
            width=[(b - a) * 0.94 for a, b in zip(lows, highs, strict=True)],
            name=label_of(label),
            marker={
                "color": palette.HARM if position else palette.INK,
                "line": {"width": 0},
                "pattern": {
                    "shape": "/" if position else "",
                    "fillmode": "overlay",
                    "size": 5,
                    "solidity": 0.13,
                    "fgcolor": palette.PAPER,
                },
            },
            customdata=[
                f"{text.duration(a)} to {text.duration(b)}: {text.count(n)} {label}"
                for a, b, n in zip(lows, highs, values, strict=True)
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    drawn.update_layout(hovermode="closest", bargap=0, barmode="stack")
    drawn.update_xaxes(type="log", **_duration_ticks([*lows, *highs], log=True))
    tallest = frame.select(pl.sum_horizontal(list(series))).to_series()
    drawn.update_yaxes(**count_ticks(tallest.to_list()))
    for position, (label, mark) in enumerate((marks or {}).items()):
        if mark > 0:
            lift = 12 * (position % 2)  # neighbours often stand too close for one line
            vertical(drawn, mark, f"{label} {text.duration(mark)}", lift_px=lift)
    return drawn


def heatmap(
    frame: pl.DataFrame,
    *,
    x: str,
    y: str,
    value: str,
    kind: str = "count",
    y_labels: Sequence[str] | None = None,
    log: bool = False,
    height: int = HEIGHT,
) -> go.Figure:
    """Draw a grid in one hue; a cell without data stays empty."""
    across = frame[x].unique().sort().to_list()
    down = frame[y].unique().sort().to_list()
    found = {(b, a): n for a, b, n in frame.select(x, y, value).iter_rows()}
    grid = [[found.get((b, a)) for a in across] for b in down]
    shade = [[_log(n) if log else n for n in row] for row in grid]
    names = y_labels or [label_of(one) for one in down]
    drawn = figure(height=height)
    when = _naive(pl.Series(across))
    drawn.add_heatmap(
        x=when,
        y=list(range(len(down))),
        z=shade,
        colorscale=palette.scale(),
        showscale=False,
        xgap=1,
        ygap=1,
        hoverongaps=False,
        customdata=[[f"{names[r]}: {SAY[kind](n)}" for n in row] for r, row in enumerate(grid)],
        hovertemplate="%{x}<br>%{customdata}<extra></extra>",
    )
    drawn.update_layout(hovermode="closest")
    _dated(drawn, when)
    step = max(1, len(down) // 12)
    drawn.update_yaxes(
        tickvals=list(range(0, len(down), step)),
        ticktext=[names[number] for number in range(0, len(down), step)],
        showgrid=False,
        nticks=None,
    )
    return drawn


def targets(
    drawn: go.Figure,
    x: Sequence[Any],
    y: Sequence[Any],
    tokens: Sequence[str],
    said: Sequence[str],
) -> go.Figure:
    """Lay invisible squares over a picture whose own marks cannot be clicked: heatmaps, Sankeys.

    Each takes over the hover words of what it covers, and tells a click apart by its token
    (`marks.token_at`).
    """
    for trace in drawn.data:
        trace.update(hoverinfo="skip", hovertemplate=None)
    drawn.add_scatter(
        x=list(x),
        y=list(y),
        mode="markers",
        marker={"size": _TARGET_PX, "symbol": "square", "opacity": 0},
        showlegend=False,
        name="",
        # Plotly clicks only what it hovers over
        customdata=[[token, words] for token, words in zip(tokens, said, strict=True)],
        hovertemplate="%{customdata[1]}<extra></extra>",
    )
    return drawn


def spark(frame: pl.DataFrame, column: str) -> list[float]:
    """Return a column as the list a headline's sparkline is drawn from; gaps are left out."""
    values = frame[column].cast(pl.Float64).drop_nulls().to_list()
    return [round(value, 6) for value in values[-SPARK_POINTS_MAX:]]


# --- small parts -----------------------------------------------------------------------------


def label_of(value: object, *, most: int = NAME_CHARS_MAX) -> str:
    """Return a name from the data that Plotly shows as it is: it reads a little HTML."""
    shown = html.escape(_fitted(text.plain(value, most=most), most), quote=False) or text.NO_NAME
    return shown.replace("#0000", "#\u200b0000")  # a slot of the theme, if it were a name


def _fitted(name: str, most: int) -> str:
    """Shorten a name whose characters are wide: one of Chinese or Japanese has room for two."""
    used = 0
    for at, character in enumerate(name):
        used += 1 + (unicodedata.east_asian_width(character) in "FW")
        if used > most:
            return f"{name[: at - 1]}…"
    return name


def _log(value: float | None) -> float | None:
    return None if value is None else math.log10(max(value, 1e-3))


def _naive(moments: pl.Series) -> list[Any]:
    """Return instants the way Plotly shows them: without a zone."""
    if isinstance(moments.dtype, pl.Datetime):
        moments = moments.dt.replace_time_zone(None)
    return moments.to_list()


def _dated(drawn: go.Figure, when: Sequence[Any]) -> None:
    """Write days and hours on the horizontal axis the day before the month, where it has any."""
    if when and isinstance(when[0], date):
        hours = ", %H:%M" if isinstance(when[0], datetime) else ""
        drawn.update_xaxes(tickformatstops=DATES, hoverformat=f"%-d %b %Y{hours}")


def _day(moment: object) -> date:
    return moment.date() if isinstance(moment, datetime) else moment  # type: ignore[return-value]


def _is_open(moment: date | datetime, open_from: date | datetime | None) -> bool:
    """Say whether a period that starts at `moment` is not over: hours have an hour for it."""
    if isinstance(open_from, datetime):
        return isinstance(moment, datetime) and moment >= open_from
    return open_from is not None and _day(moment) >= open_from


def _sparse(values: Sequence[float | None]) -> bool:
    """Say whether a line would hide points: some stand alone between gaps, or there are few."""
    here = [value is not None for value in values]
    alone = any(
        is_here
        and not (number and here[number - 1])
        and not (number + 1 < len(here) and here[number + 1])
        for number, is_here in enumerate(here)
    )
    return alone or sum(here) <= 2  # noqa: PLR2004


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names Plotly takes for different ones although two of them read the same."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name + "\u200b" * (seen[name] - 1))
    return found


def _axes(
    drawn: go.Figure,
    kind: str,
    values: Sequence[float | None],
    *,
    log: bool = False,
    steps: Sequence[int] = (1, 3),
) -> tuple[float, float]:
    """Set the vertical axis and return its lowest and highest value."""
    drawn.update_yaxes(**TICKS[kind])
    known = [float(value) for value in values if value is not None]
    top = max(known, default=1.0) or 1.0
    if log:
        positive = [max(value, _LOG_MS_MIN) for value in known] or [1.0]
        low, high = min(positive) * 0.8, max(positive) * 1.25
        ticks = _duration_ticks([low, high], log=True, steps=steps)
        drawn.update_yaxes(
            type="log", range=[math.log10(low), math.log10(high)], rangemode="normal", **ticks
        )
        return low, high
    if kind == "duration":
        drawn.update_yaxes(**_duration_ticks([0.0, *known], log=False))
    elif kind == "money" and top < 1:
        drawn.update_yaxes(tickformat="~f")  # 100m reads as millions
    elif kind == "count":
        drawn.update_yaxes(count_ticks(known))
    return min(0.0, *known) if known else 0.0, top


def count_ticks(values: Sequence[float]) -> dict[str, Any]:
    """Return the ticks of an axis of counts; there are no half people."""
    whole = {"dtick": 1, "nticks": None} if max(values, default=1) < 5 else {}  # noqa: PLR2004 - no room for more
    return TICKS["count"] | whole


def _duration_ticks(
    values: Sequence[float], *, log: bool, steps: Sequence[int] = (1, 3)
) -> dict[str, Any]:
    """Return ticks at round durations, named as the text names them."""
    top = max(values, default=1.0) or 1.0
    if log:
        bottom = max(min(values, default=1.0), 0.5)
        ticks = [
            10.0**power * step
            for power in range(-1, 9)
            for step in steps
            if bottom * 0.9 <= 10.0**power * step <= top * 1.1
        ]
    else:
        step = _duration_step(top / 4)
        ticks = [number * step for number in range(int(top / step) + 2)]
    return {"tickvals": ticks, "ticktext": [_short(tick) for tick in ticks], "nticks": None}


def duration_ticks(values: Sequence[float]) -> dict[str, Any]:
    """Return the ticks of a logarithmic axis of durations."""
    return _duration_ticks(values or [1.0], log=True, steps=(1,))


def _duration_step(rough: float) -> float:
    """Return the next round step: 1, 2, 5, 10, ... of a second; from half a minute on, minutes."""
    if rough >= _MINUTE_MS / 2:
        minutes = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1_440)
        return next((m * _MINUTE_MS for m in minutes if m * _MINUTE_MS >= rough), rough)
    size = 10.0 ** len(str(int(rough))) / 10 if rough >= 1 else 0.1
    return next((m * size for m in (1, 2, 5, 10) if m * size >= rough), rough)


def _short(milliseconds: float) -> str:
    if milliseconds >= _MINUTE_MS and milliseconds % _MINUTE_MS == 0:
        return f"{milliseconds / _MINUTE_MS:g} min"
    if milliseconds >= 1_000:  # noqa: PLR2004
        return f"{milliseconds / 1000:g} s"
    return f"{milliseconds:g} ms" if milliseconds else "0"


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where a value stands on a vertical axis, in pixels from its foot."""

    low: float
    high: float
    height_px: float
    log: bool

    def px(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = (math.log10(max(one, _LOG_MS_MIN)) for one in (low, high, value))
        return (at - low) / ((high - low) or 1) * max(self.height_px, _PLOT_PX_MIN)

    def at(self, value: float) -> float:
        """Return the value the way Plotly wants an annotation's place on this axis."""
        return math.log10(max(value, _LOG_MS_MIN)) if self.log else value


def _end_labels(
    drawn: go.Figure,
    frame: pl.DataFrame,
    series: Mapping[str, str],
    colours: Mapping[str, str],
    scale: _Scale,
) -> None:
    """Write each line's name at its end, pushed apart where they would overlap."""
    ends = []
    for column, label in series.items():
        values = frame[column].cast(pl.Float64).drop_nulls()
        if len(values):
            ends.append((float(values[-1]), label))
    low = -float("inf")
    for value, label in sorted(ends):
        wanted = scale.px(value)
        low = max(wanted, low + _LABEL_PX)
        drawn.add_annotation(
            xref="paper",
            x=1,
            y=scale.at(value),
            yshift=low - wanted,
            xanchor="left",
            xshift=6,
            # a dot in the line's colour; the name itself in the text's, which is easier to read
            text=f'<span style="color:{colours.get(label, palette.colour(label))}">\u25cf</span> '
            + label_of(label, most=18),
            showarrow=False,
            font={"size": 12},
        )
    longest = max((len(text.plain(label, most=18)) for _, label in ends), default=0)
    drawn.update_layout(margin={"r": int(longest * _CHAR_PX) + 32})


def vertical(
    drawn: go.Figure,
    at: object,
    label: str,
    *,
    lift_px: int = 0,
    line: Mapping[str, Any] | None = None,
    said: str | None = None,
) -> None:
    """Draw a thin line over the whole height with a name on top; `said` is told on hover."""
    is_log = drawn.layout.xaxis.type == "log"
    drawn.add_shape(
        type="line",
        x0=at,
        x1=at,
        yref="paper",
        y0=0,
        y1=1,
        line={"color": palette.QUIET, "width": 1, "dash": "dot"} | dict(line or {}),
    )
    drawn.add_annotation(
        x=_log(float(at)) if is_log else at,  # type: ignore[arg-type]
        yref="paper",
        y=1,
        yanchor="bottom",
        yshift=lift_px,
        text=label,
        hovertext=said,
        showarrow=False,
        font={"size": 10.5, "color": palette.FADED_TEXT},
    )
