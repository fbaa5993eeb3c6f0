"""The Retention page's pictures: the triangle of cohorts, their curves, and how often people come.

Frame in, figure out, as in charts.py. A cell that is not over is outlined and starred, never
shaded: a shade would read as a drop. The mean and the curves leave it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pages.components import charts, palette, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    import plotly.graph_objects as go

    _Rates = Mapping[tuple[float, int], float | None]  # where in the picture -> the share

NOUNS: Final = {"1d": "day", "1w": "week", "1mo": "month"}
COHORTS_MAX: Final = {"1d": 28, "1w": 14, "1mo": 13}  # rows a reader still looks at
PERIODS_MAX: Final = 14  # columns that a telephone still shows apart
FEW: Final = 20  # people; a mean over fewer is drawn faint, and a cohort of fewer has no curve
_DARKEST: Final = 0.95  # of the shares lie below the darkest shade
_EACH_MAX: Final = 7  # periods of which each has its tick, on a telephone too
_ROW_PX: Final = 24
_MEAN_AT: Final = -1.3  # above the first cohort, with a gap
_THIN: Final = 0.55  # how strong one cohort's curve is beside the mean


def shown(cells: pl.DataFrame, *, every: str = "1w") -> pl.DataFrame:
    """Return the cells to draw: from the first cohort anybody is in, the newest, the first ones."""
    peopled = cells.filter(pl.col("cohort_users") > 0)["cohort"]
    if peopled.is_empty():
        return cells.clear()
    cohorts = cells.filter(pl.col("cohort") >= peopled.min())["cohort"].unique().sort()
    newest = cohorts.tail(COHORTS_MAX[every]).implode()
    return cells.filter(pl.col("cohort").is_in(newest), pl.col("period") <= PERIODS_MAX)


def token(cohort: date, period: int) -> str:
    """Return what the link calls a cell."""
    return f"{cohort}~{period}"


def cohort_name(cohort: date, every: str) -> str:
    """Return "12 Oct", or "October 2026" for a month."""
    return f"{cohort:%b %Y}" if every == "1mo" else f"{cohort.day} {cohort:%b}"


def cell_words(row: dict[str, Any], every: str) -> str:
    """Say a cell of `metrics.retention`: "12 Oct, week 2: 5 of 40 came back"."""
    noun, name = NOUNS[every], cohort_name(row["cohort"], every)
    if not row["period"]:
        return f"{name}: {text.some(row['users'], 'person', 'people')} in the cohort"
    share = f", {text.percent(row['rate'])}" if row["cohort_users"] >= text.GROUP_MIN else ""
    words = (
        f"{name}, {noun} {row['period']}: {text.count(row['users'])} of "
        f"{text.count(row['cohort_users'])} came back{share}"
    )
    return words if row["complete"] else f"{words}; not over yet"


def mean_words(row: dict[str, Any], every: str) -> str:
    """Say a row of `metrics.retention_mean`: "week 2: 18.2 %, 120 of 660 people in 9 cohorts"."""
    return (
        f"{NOUNS[every]} {row['period']}: {text.percent(row['rate'])}, {text.count(row['users'])} "
        f"of {text.count(row['cohort_users'])} people in {text.some(row['cohorts'], 'cohort')}"
    )


def triangle(cells: pl.DataFrame, mean: pl.DataFrame, *, every: str = "1w") -> go.Figure:
    """Draw a row per cohort and a column per period since: the share that came back, in percent.

    The weighted mean of all complete cells is on top. Every cell can be clicked, and tells its
    people on hover.
    """
    rows = shown(cells, every=every).rows(named=True)
    cohorts = sorted({row["cohort"] for row in rows})
    place = {cohort: at for at, cohort in enumerate(cohorts)}
    across = list(range(1, max((row["period"] for row in rows), default=0) + 1))
    means = [row for row in mean.rows(named=True) if row["period"] in across]
    drawn = charts.figure(height=max(charts.SMALL, _ROW_PX * (len(cohorts) + 2) + 52))
    over: _Rates = {(place[r["cohort"]], r["period"]): r["rate"] for r in rows if r["complete"]}
    mean_row: _Rates = {(_MEAN_AT, row["period"]): row["rate"] for row in means if _enough(row)}
    top = _darkest(rows)
    _shades(drawn, across, list(place.values()), over, top)
    _shades(drawn, across, [_MEAN_AT], mean_row, top)
    _write(
        drawn,
        [
            *(
                (0, place[row["cohort"]], text.count(row["users"]))
                for row in rows
                if not row["period"]
            ),
            *(
                (row["period"], _MEAN_AT, text.NOTHING if row["rate"] is None else _percent(row))
                for row in means
                if not _enough(row)
            ),
            *(
                (row["period"], place[row["cohort"]], f"{_percent(row)}*")
                for row in rows
                if _open(row)
            ),
        ],
    )
    _outline(drawn, [(row["period"], place[row["cohort"]]) for row in rows if _open(row)])
    some = [row for row in rows if row["cohort_users"]]
    charts.targets(
        drawn,
        [row["period"] for row in some] + [row["period"] for row in means],
        [place[row["cohort"]] for row in some] + [_MEAN_AT] * len(means),
        [token(row["cohort"], row["period"]) for row in some] + [""] * len(means),
        [cell_words(row, every) for row in some]
        + [f"Mean, {mean_words(row, every)}" for row in means],
    )
    _scales(drawn, across, cohorts, every)
    return drawn


def _shades(
    drawn: go.Figure,
    across: Sequence[int],
    down: Sequence[float],
    rates: _Rates,
    top: float,
) -> None:
    """Shade the cells that are over, darker the more came back, each with its percentage."""
    grid = [[rates.get((at, n)) for n in across] for at in down]
    drawn.add_heatmap(
        x=list(across),
        y=list(down),
        z=grid,
        colorscale=palette.scale(),
        zmin=0,
        zmax=top or 1,
        showscale=False,
        xgap=2,
        ygap=2,
        hoverongaps=False,
        text=[["" if rate is None else f"{rate * 100:.0f}" for rate in line] for line in grid],
        texttemplate="%{text}",
        textfont={"size": 11},
    )


def _enough(row: dict[str, Any]) -> bool:
    return bool(row["cohort_users"] >= FEW)


def _open(row: dict[str, Any]) -> bool:
    """Say whether somebody's period is not over: of an empty cohort nobody can come back."""
    return bool(row["period"] and not row["complete"] and row["cohort_users"])


def _percent(row: dict[str, Any]) -> str:
    """Return the share as whole percent; nothing yet says nothing, and a nought is a verdict."""
    return f"{row['rate'] * 100:.0f}" if row["rate"] else ""


def _darkest(rows: Sequence[dict[str, Any]]) -> float:
    """Return the share the darkest shade stands for: three of four people must not set it."""
    rates = [row["rate"] for row in rows if row["period"] and row["complete"]]
    return float(pl.Series(rates, dtype=pl.Float64).quantile(_DARKEST, "linear") or 0.0)


def _write(drawn: go.Figure, words: Sequence[tuple[int, float, str]]) -> None:
    """Write what has no shade: the sizes of cohorts, what is not over, and what is of few."""
    drawn.add_scatter(
        x=[x for x, _, _ in words],
        y=[y for _, y, _ in words],
        mode="text",
        text=[said for _, _, said in words],
        textfont={"size": 11, "color": palette.FADED_TEXT},
        cliponaxis=False,
    )


def _outline(drawn: go.Figure, places: Sequence[tuple[int, float]]) -> None:
    """Outline the cells that are not over."""
    for x, y in places:
        drawn.add_shape(
            type="rect",
            x0=x - 0.46,
            x1=x + 0.46,
            y0=y - 0.42,
            y1=y + 0.42,
            line={"color": palette.QUIET, "width": 1, "dash": "dot"},
        )


def _scales(drawn: go.Figure, across: Sequence[int], cohorts: Sequence[date], every: str) -> None:
    drawn.update_layout(hovermode="closest", clickmode="event+select")
    drawn.update_xaxes(
        tickvals=[0, *across],
        ticktext=["n", *map(str, across)],
        tickangle=0,
        title={"text": f"{NOUNS[every]}s since", "standoff": 4, "font": {"size": 12}},
        range=[-0.6, (across[-1] if across else 1) + 0.5],
        side="top",
    )
    drawn.update_yaxes(
        tickvals=[_MEAN_AT, *range(len(cohorts))],
        ticktext=["<b>mean</b>", *(cohort_name(cohort, every) for cohort in cohorts)],
        range=[len(cohorts) - 0.4, _MEAN_AT - 0.55],
        showgrid=False,
        nticks=None,
    )


def curves(
    mean: pl.DataFrame,
    cells: pl.DataFrame,
    *,
    every: str = "1w",
    before: pl.DataFrame | None = None,
) -> go.Figure:
    """Draw the mean as a strong line, each cohort as a thin one, and the mean before, dashed."""
    drawn = charts.figure(height=charts.TALL)
    over = shown(cells, every=every).filter("complete", pl.col("period") > 0)
    large = over.filter(pl.col("cohort_users") >= FEW)
    for cohort in large["cohort"].unique(maintain_order=True):
        rows = large.filter(cohort=cohort).rows(named=True)
        _curve(
            drawn,
            rows,
            cohort_name(cohort, every),
            [[token(row["cohort"], row["period"]), cell_words(row, every)] for row in rows],
            line={"color": palette.QUIET, "width": 1},
            opacity=_THIN,
        )
    last: int = over.select(pl.col("period").max()).item() or 1
    ends: dict[str, dict[str, Any]] = {}
    for frame, name, dash, width in (
        (before, "mean before", "dash", 1.6),
        (mean, "mean", "solid", 3),
    ):
        rows = [] if frame is None else _told(frame, last)
        sure = [row for row in rows if _enough(row)]
        look = {"color": palette.INK, "width": width, "dash": dash}
        _mean_curve(drawn, sure, name, every, line=look)
        faint = {"color": palette.INK, "width": 1, "dash": "dot"}
        _mean_curve(drawn, rows[max(len(sure) - 1, 0) :], name, every, line=faint, opacity=_THIN)
        if rows:
            ends[name] = rows[-1]
    upper = max(ends, key=lambda name: ends[name]["rate"], default="")
    for name, row in ends.items():  # names of lines that end together stand above and below
        _named(drawn, row, name, above=name == upper)
    drawn.update_layout(hovermode="closest", margin={"r": 84})
    drawn.update_yaxes(**charts.TICKS["percent"])
    _periods_axis(drawn, last, every)
    return drawn


def _mean_curve(
    drawn: go.Figure,
    rows: Sequence[dict[str, Any]],
    name: str,
    every: str,
    **look: Any,  # noqa: ANN401 - Plotly's own words
) -> None:
    said = [["", f"{name.capitalize()}, {mean_words(row, every)}"] for row in rows]
    _curve(drawn, rows, name, said, **look)


def _told(mean: pl.DataFrame, last: int) -> list[dict[str, Any]]:
    """Return the rows of a mean to draw: those with a share, as far as the cohorts go."""
    rows = mean.filter(pl.col("period") > 0, pl.col("rate").is_not_null()).rows(named=True)
    return [row for row in rows if row["period"] <= last]


def _curve(
    drawn: go.Figure,
    rows: Sequence[dict[str, Any]],
    name: str,
    said: Sequence[list[str]],
    **look: Any,  # noqa: ANN401 - Plotly's own words
) -> None:
    drawn.add_scatter(
        x=[row["period"] for row in rows],
        y=[row["rate"] for row in rows],
        name=name,
        mode="lines+markers",
        marker={"size": 5},
        customdata=list(said),
        hovertemplate="%{customdata[1]}<extra></extra>",
        **look,
    )


def _named(drawn: go.Figure, row: dict[str, Any], name: str, *, above: bool) -> None:
    drawn.add_annotation(
        x=row["period"],
        y=row["rate"],
        text=name,
        xanchor="left",
        yanchor="bottom" if above else "top",
        xshift=6,
        yshift=2 if above else -2,
        showarrow=False,
        font={"size": 12},
    )


def _periods_axis(drawn: go.Figure, last: int, every: str) -> None:
    """Say what the horizontal axis counts; there is no half period."""
    drawn.update_xaxes(
        title={"text": f"{NOUNS[every]}s since", "standoff": 6, "font": {"size": 12}},
        tickformat="d",
        dtick=1 if last <= _EACH_MAX else 2 * max(1, last // PERIODS_MAX),
        tickangle=0,
    )


def by_group(frame: pl.DataFrame, series: dict[str, str], *, every: str = "1w") -> go.Figure:
    """Draw one mean curve per group: a column per group, named in `series`."""
    drawn = charts.lines(frame, series, kind="percent", labels_max=len(series))
    _periods_axis(drawn, frame.height, every)
    return drawn


def times(frame: pl.DataFrame, *, every: str = "1d") -> go.Figure:
    """Draw how many people were active in exactly so many periods."""
    total, noun = float(frame["users"].sum()), NOUNS[every]
    most = frame.height
    drawn = charts.figure()
    drawn.add_bar(
        x=frame["periods_active"].to_list(),
        y=frame["users"].to_list(),
        marker={"color": palette.INK},
        customdata=[
            [str(k), f"{text.share(users, total, 'people')} were active in {k} of {most} {noun}s"]
            for k, users in frame.select("periods_active", "users").iter_rows()
        ],
        hovertemplate="%{customdata[1]}<extra></extra>",
    )
    drawn.update_layout(hovermode="closest")
    drawn.update_yaxes(**charts.count_ticks(frame["users"].to_list()))
    drawn.update_xaxes(
        title={"text": f"{noun}s with activity", "standoff": 6, "font": {"size": 12}},
        tickformat="d",
        dtick=1 if most <= PERIODS_MAX else None,
    )
    return drawn
