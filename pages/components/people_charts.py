"""Pictures of one person: the tiers they had, and how long they waited beside everybody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import plotly.graph_objects as go  # noqa: TC002 - the module's own return type

from ingest.vocabulary import TIERS
from pages.components import charts, palette, text

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

TIERS_MAX: Final = 12  # rows of the picture; tiers are few
OPERATIONS_MAX: Final = 12
_ROW_PX: Final = 34
_SYMBOLS: Final = {"free": "circle", "trial": "diamond", "paid": "square", "enterprise": "star"}


def tier_steps(runs: pl.DataFrame, until: datetime, timezone: str) -> go.Figure:
    """Draw a person's tiers as steps over time, the present one up to `until`.

    Times are text, so that nothing is marked on an axis this coarse.
    """
    order = [*TIERS, *runs["tier"].unique(maintain_order=True).to_list()]
    rows = [tier for tier in dict.fromkeys(order) if tier in runs["tier"]][:TIERS_MAX]
    shown = runs.with_columns(runs["from_at"].dt.convert_time_zone(timezone))
    starts = [f"{at:%Y-%m-%d %H:%M}" for at in shown["from_at"]]
    tiers = shown["tier"].to_list()
    drawn = charts.figure(height=charts.SMALL)
    drawn.add_scatter(
        x=[*starts, f"{until:%Y-%m-%d %H:%M}"],
        y=[*(charts.label_of(tier) for tier in tiers), charts.label_of(tiers[-1])],
        mode="lines",
        line={"shape": "hv", "color": palette.INK, "width": 2},
        hoverinfo="skip",
    )
    drawn.add_scatter(
        x=starts,
        y=[charts.label_of(tier) for tier in tiers],
        mode="markers",
        marker={
            "size": 11,
            "color": [palette.colour(tier) for tier in tiers],
            "symbol": [_SYMBOLS.get(tier, "triangle-up") for tier in tiers],
        },
        customdata=[
            f"{charts.label_of(tier)} by {charts.label_of(how)}; {text.count(count)} events"
            for tier, how, count in shown.select("tier", "how", "events").iter_rows()
        ],
        hovertemplate="%{x|%d %b %Y, %H:%M}<br>%{customdata}<extra></extra>",
    )
    drawn.update_layout(hovermode="closest")
    drawn.update_xaxes(type="date", tickformatstops=charts.DATES)
    names = [charts.label_of(tier) for tier in rows]
    return drawn.update_yaxes(type="category", categoryorder="array", categoryarray=names)


def waits(frame: pl.DataFrame) -> go.Figure:
    """Draw each operation's p95 of one person beside everybody's, the slowest for them on top."""
    top = frame.sort("duration_ms_p95", "operation_name", nulls_last=True).tail(OPERATIONS_MAX)
    names = [charts.label_of(name) for name in top["operation_name"]]
    drawn = charts.figure(height=_ROW_PX * len(names) + 80, margin={"t": 34})
    looks = {
        "everybody_ms_p95": ("everybody", "diamond-open", palette.QUIET),
        "duration_ms_p95": ("this person", "circle", palette.INK),
    }
    for near, far, name in zip(top["duration_ms_p95"], top["everybody_ms_p95"], names, strict=True):
        drawn.add_scatter(
            x=[near, far],
            y=[name, name],
            mode="lines",
            line={"color": palette.GRID, "width": 4},
            showlegend=False,
            hoverinfo="skip",
        )
    for column, (who, symbol, colour) in looks.items():
        drawn.add_scatter(
            x=top[column].to_list(),
            y=names,
            name=who,
            mode="markers",
            marker={"size": 10, "symbol": symbol, "color": colour, "line": {"width": 2}},
            customdata=[text.duration(value) for value in top[column]],
            hovertemplate=f"%{{y}}: %{{customdata}} ({who})<extra></extra>",
        )
    drawn.update_layout(hovermode="closest", showlegend=True)
    known = [value for column in looks for value in top[column].to_list() if value is not None]
    drawn.update_xaxes(type="log", showgrid=True, **charts.duration_ticks(known))
    return drawn.update_yaxes(type="category", nticks=None, tickmode="linear")
