"""Pictures of a funnel: its steps, its groups side by side, and how long people take.

Frame in, figure out, as in charts.py. Marks one can ask about carry their token first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pages.components import charts, palette, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    import plotly.graph_objects as go

REACHED, LEFT = "reached", "left"  # tokens: reached-2 is who got to step 2, left-2 who did not
STEP_PX: Final = 58
EDGE_PX: Final = 26
SIDE_PX: Final = 132  # for the number beside the longest bar
BAR: Final = 0.4
NAME_CHARS_MAX: Final = 40
_TIMES: Final = tuple(
    size * number * 1_000
    for size, numbers in (
        (1, (1, 2, 5, 10, 30)),
        (60, (1, 2, 5, 10, 30)),
        (3_600, (1, 2, 6, 12)),
        (86_400, (1, 2, 5, 7, 14, 28, 56, 112, 224, 448, 896)),
    )
    for number in numbers
)  # milliseconds between two ticks
_SYMBOLS: Final = ("circle", "diamond", "square", "triangle-up", "cross", "x")


def height_of(steps: int) -> int:
    """Return how tall a funnel of so many steps is."""
    return STEP_PX * steps + EDGE_PX


def steps(
    frame: pl.DataFrame,
    before: pl.DataFrame | None = None,
    *,
    optional: Sequence[int] = (),
    numbered: bool = True,
) -> go.Figure:
    """Draw each step as the share of all who entered, what was lost hatched, and both rates said.

    Parameters
    ----------
    before : the same of the previous period: a thin line where each step was then.
    optional : numbers of steps nobody has to take.
    numbered : write each step's number before its name.
    """
    rows = frame.rows(named=True)
    drawn = charts.figure(height=height_of(len(rows)), margin={"r": SIDE_PX, "t": 18})
    at = [row["step"] for row in rows]
    shares = [row["rate_from_first"] or 0.0 for row in rows]
    past = [before_of(rows, row["step"], optional) for row in rows]
    previous = [row["rate_from_first"] or 0.0 for row in past]
    drawn.add_bar(
        y=at,
        x=shares,
        width=BAR,
        orientation="h",
        marker={"color": palette.INK, "opacity": [0.55 if k in optional else 1.0 for k in at]},
        customdata=[[f"{REACHED}-{row['step']}", said(row, optional)] for row in rows],
        hovertemplate="%{customdata[1]}<extra></extra>",
        name="got here",
    )
    drawn.add_bar(
        y=at,
        x=[max(before - share, 0.0) for before, share in zip(previous, shares, strict=True)],
        base=shares,
        width=BAR,
        orientation="h",
        marker={
            "color": palette.GRID,
            "pattern": {"shape": "/", "size": 6, "solidity": 0.2, "fgcolor": palette.QUIET},
        },
        customdata=[
            [f"{LEFT}-{row['step']}", lost(row, one, optional)]
            for row, one in zip(rows, past, strict=True)
        ],
        hovertemplate="%{customdata[1]}<extra></extra>",
        name="did not",
    )
    _numbers(drawn, rows, shares, previous)
    _names(drawn, rows, optional, numbered=numbered)
    if before is not None:
        _before(drawn, before)
    drawn.update_layout(hovermode="closest", barmode="overlay", bargap=0)
    for trace in drawn.data:  # what is not chosen stays readable
        is_words = trace.type == "scatter" and trace.mode == "text"
        if is_words:
            trace.update(unselected={"textfont": {"color": palette.FADED_TEXT}})
        else:
            trace.update(unselected={"marker": {"opacity": 0.5}})
    drawn.update_xaxes(visible=False, range=[0, 1])
    drawn.update_yaxes(visible=False, range=[len(rows) - 0.6, -0.62])
    return drawn


def said(
    row: dict[str, Any],
    optional: Sequence[int] = (),
    *,
    name_of: Callable[[object], str] = charts.label_of,
) -> str:
    """Say one step with both its rates and its median time.

    Parameters
    ----------
    name_of : what makes a step's name safe where the words are shown: a figure, or markdown.
    """
    name, people = name_of(row["event_name"]), text.some(row["users"], "person", "people")
    if not row["step"]:
        return f"{name}: {people} entered"
    whose = "took it" if row["step"] in optional else "went on from the step before"
    took = row["seconds_p50"]
    after = "" if took is None else f"; median {text.duration(took * 1000)} after entering"
    return (
        f"{name}: {people}, {text.percent(row['rate_from_first'])} of all who entered; "
        f"{text.percent(row['rate_from_previous'])} {whose}{after}"
    )


def lost(
    row: dict[str, Any],
    before: dict[str, Any],
    optional: Sequence[int] = (),
    *,
    name_of: Callable[[object], str] = charts.label_of,
) -> str:
    """Say how many got to the required step before a step, and not to it; as `said`."""
    many = text.some(before["users"] - row["users"], "person", "people")
    name, past = name_of(row["event_name"]), name_of(before["event_name"])
    if row["step"] in optional:
        return f"{many} got to {past} and did without {name}"
    return f"{many} got to {past} and not to {name}"


def before_of(
    rows: Sequence[dict[str, Any]], step: int, optional: Sequence[int] = ()
) -> dict[str, Any]:
    """Return the row of the required step before a step; the entry's own for the entry."""
    return rows[max((k for k in range(step) if k not in optional), default=0)]


def groups(frame: pl.DataFrame, *, optional: Sequence[int] = ()) -> go.Figure:
    """Draw a dot per group and required step: the share of the group's people who got there."""
    frame = frame.filter(~pl.col("step").is_in(optional))
    order = frame.filter(step=0).sort("users", "group", descending=[True, False])["group"].to_list()
    names = frame.filter(group=order[0])["event_name"].to_list() if order else []
    drawn = charts.figure(height=max(charts.SMALL, 46 * len(names) + 70), margin={"t": 40})
    for position, group in enumerate(order):
        rows = frame.filter(group=group).rows(named=True)
        colour = palette.colour(str(group))
        drawn.add_scatter(
            x=[row["rate_from_first"] for row in rows],
            y=list(range(len(rows))),
            name=f"{charts.label_of(group)} ({text.count(rows[0]['users'])})",
            mode="lines+markers",
            line={"color": colour, "width": 1.4, "dash": palette.dash(str(group), position)},
            marker={"color": colour, "size": 9, "symbol": _SYMBOLS[position % len(_SYMBOLS)]},
            customdata=[
                f"{charts.label_of(group)}: {text.count(row['users'])} of "
                f"{text.count(rows[0]['users'])}, {text.percent(row['rate_from_first'])}"
                for row in rows
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    drawn.update_layout(hovermode="closest", showlegend=True)
    drawn.update_xaxes(tickformat="~%", rangemode="tozero", showgrid=True)
    drawn.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[charts.label_of(name, most=28) for name in names],
        range=[len(names) - 0.6, -0.4],
        showgrid=False,
    )
    return drawn


def groups_said(frame: pl.DataFrame) -> str:
    """Say each group's way for somebody who does not see it."""
    parts = []
    for (group,), rows in frame.group_by("group", maintain_order=True):
        shares = ", ".join(text.percent(rate) for rate in rows["rate_from_first"][1:])
        parts.append(f"{text.plain(group)} ({text.count(rows['users'][0])} people): {shares}")
    return "; ".join(parts)


def medians(frame: pl.DataFrame, *, open_from: date | None = None) -> go.Figure:
    """Draw the median time to convert by period of entry."""
    spent = frame.with_columns((pl.col("seconds_p50") * 1000).alias("duration_ms_p50"))
    drawn = charts.lines(
        spent, {"duration_ms_p50": "median time"}, kind="duration", open_from=open_from
    )
    longest = float(frame["seconds_p50"].max() or 1.0)  # type: ignore[arg-type]
    found = ticks(longest, most=5)
    return drawn.update_yaxes(found | {"tickvals": [one * 1000 for one in found["tickvals"]]})


def times(frame: pl.DataFrame, median_s: float | None) -> go.Figure:
    """Draw how many people took how long, and the median."""
    drawn = charts.figure(margin={"t": 28})
    rows = frame.select("seconds_from", "seconds_to", "users").rows()
    drawn.add_bar(
        x=[(low + high) / 2 for low, high, _ in rows],
        y=[users for _, _, users in rows],
        width=[(high - low) * 0.94 for low, high, _ in rows],
        marker={"color": palette.INK},
        customdata=[
            f"{text.duration(low * 1000)} to {text.duration(high * 1000)}: "
            f"{text.some(users, 'person', 'people')}"
            for low, high, users in rows
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    drawn.update_layout(hovermode="closest", bargap=0)
    longest = max((high for _, high, _ in rows), default=1.0)
    drawn.update_xaxes(**ticks(longest), rangemode="tozero")
    drawn.update_yaxes(**charts.count_ticks([users for _, _, users in rows]))
    if median_s is not None:
        is_late = median_s > longest / 2
        drawn.add_vline(
            median_s,
            line={"color": palette.FADED_TEXT, "width": 1.2, "dash": "dash"},
            annotation={
                "text": f"median {text.duration(median_s * 1000)}",
                "yref": "paper",
                "y": 1,
                "yanchor": "bottom",
                "xanchor": "right" if is_late else "left",
                "showarrow": False,
            },
        )
    return drawn


def times_said(frame: pl.DataFrame) -> str:
    """Say who took how long for somebody who does not see it."""
    return "; ".join(
        f"{text.duration(low * 1000)} to {text.duration(high * 1000)}: {text.count(users)}"
        for low, high, users in frame.filter(pl.col("users") > 0).iter_rows()
    )


def ticks(longest_s: float, *, most: int = 6) -> dict[str, Any]:
    """Return ticks at round lengths of time up to the longest, in seconds."""
    fits = (step for step in _TIMES if longest_s * 1000 / step <= most)
    step = next(fits, longest_s * 1000 / most) / 1000
    at = [number * step for number in range(int(longest_s / step) + 1)]
    return {
        "tickvals": at,
        "ticktext": [text.duration(one * 1000).replace(".0 ", " ") if one else "0" for one in at],
        "nticks": None,
    }


def _numbers(
    drawn: go.Figure, rows: list[dict[str, Any]], shares: list[float], previous: list[float]
) -> None:
    """Write beside each bar how many people, and their share of all."""
    ends = [max(pair) for pair in zip(shares, previous, strict=True)]
    drawn.add_scatter(
        x=ends,
        y=[row["step"] for row in rows],
        mode="text",
        text=[
            f" {text.count(row['users'])}"
            + (f" · {text.percent(row['rate_from_first'])} of all" if row["step"] else " entered")
            for row in rows
        ],
        textposition="middle right",
        cliponaxis=False,
        hoverinfo="skip",
    )


def _names(
    drawn: go.Figure, rows: list[dict[str, Any]], optional: Sequence[int], *, numbered: bool
) -> None:
    """Write above each bar what the step is, and the share of the step before."""
    for row in rows:
        name = charts.label_of(row["event_name"], most=NAME_CHARS_MAX)
        words = f"<b>{row['step'] + 1}&nbsp; {name}</b>" if numbered else f"<b>{name}</b>"
        if row["step"]:
            whose = "took it, optional" if row["step"] in optional else "of the step before"
            words += f"&nbsp; {text.percent(row['rate_from_previous'])} {whose}"
        drawn.add_annotation(
            x=0,
            y=row["step"] - BAR / 2,
            text=words,
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
            align="left",
            font={"size": 12},
        )


def _before(drawn: go.Figure, before: pl.DataFrame) -> None:
    rows = before.filter(before["step"] > 0).rows(named=True)
    drawn.add_scatter(
        x=[row["rate_from_first"] for row in rows],
        y=[row["step"] for row in rows],
        mode="markers",
        marker={
            "symbol": "line-ns",
            "size": STEP_PX * BAR * 0.8,  # Plotly draws it 1.4 times as long
            "line": {"width": 2.5, "color": palette.QUIET},
        },
        hovertemplate="%{customdata}<extra></extra>",
        customdata=[
            f"before: {text.percent(row['rate_from_first'])} of "
            f"{text.count(before['users'][0])} who entered"
            for row in rows
        ],
        name="the period before",
    )
