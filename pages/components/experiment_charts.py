"""The pictures of an experiment: each variant's rate with its interval, and how it came about.

Frame in, figure out, as in charts.py. The control is grey; a variant is told by its place, its
mark and its label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pages.components import charts, palette, text

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

SYMBOLS: Final = ("circle", "diamond", "square", "triangle-up", "star", "x")
_ROW_PX: Final = 46
_LAST_DAYS: Final = 14


def height(variants: int) -> int:
    """Return how tall a picture with a row per variant is."""
    return max(charts.SMALL, 70 + _ROW_PX * variants)


def dots(frame: pl.DataFrame) -> go.Figure:
    """Draw each variant's rate as a dot with its interval; a click tells them apart.

    Parameters
    ----------
    frame : the rows of `experiment`, in the order to show.
    """
    drawn = charts.figure(height=height(frame.height))
    for place, row in enumerate(frame.iter_rows(named=True)):
        colour = palette.QUIET if row["is_control"] else palette.INK
        rate, low, high = row["rate"], row["rate_low"], row["rate_high"]
        words = (
            f"{text.percent(rate)} ({text.percent(low)} to {text.percent(high)}): "
            f"{text.count(row['converted'])} of {text.count(row['users'])} people"
        )
        drawn.add_scatter(
            x=[rate],
            y=[place],
            name=charts.label_of(row["variant"]),
            mode="markers+text",
            marker={"color": colour, "size": 13, "symbol": SYMBOLS[place % len(SYMBOLS)]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - rate],
                "arrayminus": [rate - low],
                "thickness": 2,
                "width": 6,
                "color": colour,
            },
            text=[text.percent(rate)],
            textposition="top center",
            customdata=[[f"{row['variant']}~yes", words]],
            hovertemplate="%{customdata[1]}",
        )
    drawn.update_layout(hovermode="closest")
    drawn.update_xaxes(tickformat="~%", rangemode="tozero", showgrid=True)
    names = [
        charts.label_of(row["variant"])
        + (" (control)" if row["is_control"] and row["variant"] != "control" else "")
        for row in frame.iter_rows(named=True)
    ]
    return drawn.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=names,
        range=[len(names) - 0.5, -0.6],
        showgrid=False,
    )


def so_far(wide: pl.DataFrame, variants: dict[str, str], control: str | None) -> go.Figure:
    """Draw the conversion so far of each variant over time, with a band for its interval.

    Parameters
    ----------
    wide : `period`, and per column of `variants` the rate, with `_low` and `_high` behind it.
    variants : column -> variant.
    control : the variant drawn in grey.
    """
    bands = charts.figure()
    for column, variant in variants.items():
        known = wide.filter(wide[column].is_not_null())
        colour = palette.QUIET if variant == control else palette.INK
        for end, fill in (("high", None), ("low", "tonexty")):
            bands.add_scatter(
                x=known["period"].to_list(),
                y=known[f"{column}_{end}"].to_list(),
                mode="lines",
                line={"width": 0.6, "color": colour},
                opacity=0.5,
                fill=fill,
                fillcolor=palette.GRID,
                hoverinfo="skip",
                showlegend=False,
                name=f"{charts.label_of(variant)}, {end}",
            )
    greys = {control: palette.QUIET} if control is not None else {}
    # the first days know next to nothing: their intervals must not flatten all the others
    last = max((_most(wide[name].tail(_LAST_DAYS)) for name in variants), default=0.0)
    highest = max((_most(wide[f"{name}_high"]) for name in variants), default=0.0)
    top = min(highest, 2 * last) or highest or 1.0
    drawn = charts.lines(wide, variants, kind="percent", colours=greys, top=top)
    lined = drawn.data
    drawn.data = ()
    return drawn.add_traces([*bands.data, *lined])


def _most(values: pl.Series) -> float:
    return max((float(one) for one in values if one is not None), default=0.0)
