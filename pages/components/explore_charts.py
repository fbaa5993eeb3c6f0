"""Which picture an answer makes, and that picture: line, area, bars, dots, a grid, one number.

Frame in, figure out: it draws what the answer says and computes nothing but the quiet days' zeros.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR
from typing import TYPE_CHECKING, Final

import polars as pl
from polars import selectors as cs

from pages.components import charts, palette, text
from pages.components import explore_words as words

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

    from data_access.explore import Question
    from data_access.window import Window

SERIES_MAX: Final = 8  # more lines cannot be told apart
BARS_MAX: Final = 30
GRID_MAX: Final = 60  # rows of a grid; more are no taller than a line of text
_ASLANT_CHARS: Final = 24
_ASLANT_PX: Final = 3.6  # of height per character of a name that is written aslant
DOTS_MAX: Final = 5_000  # the browser draws no more in good time
CALENDARS: Final = {"day": "1d", "week": "1w", "month": "1mo"}
COUNTS: Final = ("count", "people", "sessions", "rows")  # a quiet day has none of these: zero
_CLOCK: Final = ("weekday", "hour_of_day")  # whole numbers that are no quantity
_WEEK: Final = ("weekday",)
_EXACT_MAX: Final = 2**53  # a float holds no longer whole number for certain
# Plotly reads a little HTML, and Streamlit slots of the theme (charts.label_of does the same)
_MARKUP: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "#0000": "#\u200b0000"}
_FEW: Final = 6  # values side by side in bars; more make a grid


@dataclass(frozen=True, slots=True)
class Plan:
    """How an answer is drawn: the picture, and which of its columns are what."""

    picture: str
    x: str = ""
    y: str = ""
    series: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure, what it shows in words, and what is not in it."""

    figure: go.Figure
    alt: str
    note: str = ""


def is_time(dtype: pl.DataType) -> bool:
    """Tell whether a column is days or instants."""
    return isinstance(dtype, pl.Date | pl.Datetime)


def with_lengths(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with lengths of time as text: "89d 22h 51m"."""
    return frame.with_columns(cs.duration().dt.to_string("polars"))


def keys_of(frame: pl.DataFrame, question: Question) -> list[str]:
    """Return the columns that name a row rather than measure it."""
    if not question.sql and question.measure:
        return frame.columns[: len(question.group)]
    return [
        name
        for name, dtype in frame.schema.items()
        if not (dtype.is_numeric() or dtype == pl.Duration) or name.rpartition(".")[2] in _CLOCK
    ]


def values_of(frame: pl.DataFrame, question: Question) -> list[str]:
    """Return the columns that measure."""
    keys = set(keys_of(frame, question))
    numbers = [name for name, dtype in frame.schema.items() if dtype.is_numeric()]
    return [name for name in numbers if name not in keys]


def planned(frame: pl.DataFrame, question: Question) -> Plan:
    """Return how to draw an answer: as the question says, and what it leaves open by itself."""
    found = _fitting(frame, question)
    columns = frame.columns
    x = question.x if question.x in columns else found.x
    y = question.y if question.y in columns else found.y
    series = question.series if question.series in columns else found.series
    if series in {x, y}:
        series = ""
    picture = found.picture if question.picture == "auto" else question.picture
    return Plan(picture, x, y, series)


def _fitting(frame: pl.DataFrame, question: Question) -> Plan:
    keys, values = keys_of(frame, question), values_of(frame, question)
    rows_only = not question.sql and not question.measure
    if rows_only or frame.is_empty() or not values or len(keys) > 2:  # noqa: PLR2004 - x and series
        return Plan("table", _at(keys, 0), _at(values, 0), _at(keys, 1))
    if not keys:
        if frame.height == 1:
            return Plan("number", "", values[0])
        if len(values) == 1:
            return Plan("table", "", values[0])
        return Plan("scatter", values[0], values[1])
    # time runs along, and the hours of a day before the days of a week
    keys = sorted(keys, key=lambda name: (not is_time(frame.schema[name]), name in _WEEK))
    x, y, series = keys[0], values[0], _at(keys, 1)
    if is_time(frame.schema[x]):
        return Plan("line", x, y, series)
    grid = series and (
        frame[series].n_unique() > _FEW or all(one.rpartition(".")[2] in _CLOCK for one in keys)
    )
    return Plan("heatmap" if grid else "bar", x, y, series)


def _at(names: Sequence[str], place: int) -> str:
    return names[place] if len(names) > place else ""


def kind_of(name: str, question: Question) -> str:
    """Return how a column's numbers are written: "count", "percent", "duration" or "money"."""
    measured = f"{name} {question.of if name not in question.group else ''}"
    if "rate" in name.split("_") or "share" in name.split("_"):
        return "percent"
    if "duration_ms" in measured or name.endswith("_ms"):
        return "duration"
    return "money" if "cost_usd" in measured or name.endswith("_usd") else "count"


def draw(frame: pl.DataFrame, plan: Plan, question: Question, window: Window) -> Drawn | str:
    """Return the picture, or why there is none.

    Parameters
    ----------
    window : the page's days, in whose timezone instants are told.
    """
    missing = _missing(frame, plan)
    if missing:
        return missing
    shown, twice = _one_each(_named(frame, plan, window.timezone), plan)
    if plan.picture in {"line", "area"} and not question.sql:
        shown = _with_quiet_days(shown, plan, question, window)
    kind = kind_of(plan.y, question)
    if plan.picture == "heatmap":
        drawn = _grid(shown, plan, kind)
    elif plan.picture == "scatter":
        drawn = _dots(shown, plan, kind)
    elif plan.picture == "bar" and not is_time(shown.schema[plan.x]) and not plan.series:
        in_order = bool(question.sql or question.order or plan.x in _CLOCK)
        drawn = _bars(shown, plan, kind, in_order=in_order)
    else:
        drawn = _over(shown, plan, kind)
    note = " ".join(part for part in (drawn.note, twice) if part)
    return Drawn(drawn.figure, drawn.alt, note)


def _missing(frame: pl.DataFrame, plan: Plan) -> str:
    """Return what the picture lacks, empty when nothing."""
    if frame.is_empty():
        return "There is nothing to draw: the answer has no rows."
    if plan.picture == "heatmap" and not plan.series:
        return "A grid needs two columns to group by, one across and one down."
    if not has_number(frame, plan):
        return "The answer has no number to draw. Measure something, or look at the table."
    if not plan.x:
        return "There is one number, and nothing to draw it along. Group by something."
    for name in (plan.x, plan.series):
        if name and is_time(frame.schema[name]):
            years = frame[name].dt.year().drop_nulls()
            if not years.is_between(MINYEAR, MAXYEAR, closed="none").all():
                return f"A time is beyond the years {MINYEAR} to {MAXYEAR}: the table has it."
    return ""


def _named(frame: pl.DataFrame, plan: Plan, timezone: str) -> pl.DataFrame:
    """Return the columns of a picture, times on the page's clock and days of the week by name."""
    wanted = [name for name in dict.fromkeys((plan.x, plan.y, plan.series)) if name]
    shown = with_lengths(frame.select(wanted))
    for name in wanted:
        dtype = shown.schema[name]
        if isinstance(dtype, pl.Datetime) and dtype.time_zone:
            local = pl.col(name).dt.convert_time_zone(timezone).dt.replace_time_zone(None)
            shown = shown.with_columns(local)
        elif dtype == pl.Boolean and name != plan.y:
            said = pl.when(pl.col(name)).then(pl.lit("yes")).when(~pl.col(name)).then(pl.lit("no"))
            shown = shown.with_columns(said.alias(name))
        elif dtype.is_decimal() or dtype == pl.Int128:
            shown = shown.with_columns(pl.col(name).cast(pl.Float64))
    return shown


def _one_each(frame: pl.DataFrame, plan: Plan) -> tuple[pl.DataFrame, str]:
    """Return one row per place of the picture, and a word on those that had several."""
    if plan.picture == "scatter":
        return frame, ""
    places = [name for name in (plan.x, plan.series) if name]
    first = frame.unique(places, keep="first", maintain_order=True)
    if first.height == frame.height:
        return frame, ""
    return first, (
        f"Several rows share a place in this picture; the first of each is drawn. Group by "
        f"{text.listed([text.escaped(words.label(name)) for name in places])} alone to see all."
    )


def _with_quiet_days(
    frame: pl.DataFrame, plan: Plan, question: Question, window: Window
) -> pl.DataFrame:
    """Return the frame with the periods in which nothing happened: zero where one counts."""
    every = next(
        (CALENDARS[name] for name in question.group if name in CALENDARS and plan.x.endswith(name)),
        None,
    )
    if every is None or question.all_history or frame.schema[plan.x] != pl.Date:
        return frame
    days = window.calendar(every).collect().to_series().alias(plan.x).to_frame()
    if plan.series:
        days = days.join(frame.select(plan.series).unique(maintain_order=True), how="cross")
    places = [name for name in (plan.x, plan.series) if name]
    whole = days.join(frame, on=places, how="left", nulls_equal=True, maintain_order="left")
    if question.measure in COUNTS:
        whole = whole.with_columns(pl.col(plan.y).fill_null(0))
    return whole.select(frame.columns)


def _spread(frame: pl.DataFrame, plan: Plan) -> tuple[pl.DataFrame, dict[str, str], str]:
    """Return a column per series, its labels, and a word on those left out."""
    if not plan.series:
        return frame.sort(plan.x).rename({plan.y: "_0"}), {"_0": plan.y}, ""
    named = frame.with_columns(_as_text(plan.series))
    sizes = named.group_by(plan.series, maintain_order=True).agg(pl.col(plan.y).abs().sum())
    order = sizes.sort(plan.y, plan.series, descending=[True, False])[plan.series].to_list()
    wide = named.select(plan.x).unique().sort(plan.x)
    for number, value in enumerate(order[:SERIES_MAX]):
        of_one = named.filter(pl.col(plan.series) == value)
        wide = wide.join(
            of_one.select(plan.x, pl.col(plan.y).alias(f"_{number}")),
            on=plan.x,
            how="left",
            nulls_equal=True,
            maintain_order="left",
        )
    left = len(order) - SERIES_MAX
    note = f"The {SERIES_MAX} largest of {len(order)} are drawn." if left > 0 else ""
    return wide, {f"_{n}": value for n, value in enumerate(order[:SERIES_MAX])}, note


def _as_text(name: str) -> pl.Expr:
    said = pl.col(name).cast(pl.String).replace("", None).fill_null(text.NO_NAME)
    if name.rpartition(".")[2] == "weekday":
        days = {str(number): day for number, day in enumerate(words.WEEKDAYS, start=1)}
        said = said.replace(days)
    return said.alias(name)


def _as_labels(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return text along an axis as Plotly shows it as it is; what differs stays different."""
    if frame.schema[name] != pl.String:
        return frame
    return frame.with_columns(pl.col(name).str.replace_many(_MARKUP))


def _over(frame: pl.DataFrame, plan: Plan, kind: str) -> Drawn:
    """Draw lines, areas or bars along a time, a number or a few names."""
    wide, labels, note = _spread(frame, plan)
    if not is_time(wide.schema[plan.x]):
        wide = _as_labels(wide.with_columns(_as_text(plan.x)), plan.x)
    if plan.picture == "bar":
        figure = charts.columns(wide, labels, kind=kind, x=plan.x, stacked=kind == "count")
    else:
        figure = charts.lines(
            wide, labels, kind=kind, x=plan.x, height=charts.TALL, fill=plan.picture == "area"
        )
        if plan.picture == "area" and len(labels) > 1:
            for trace in figure.data:
                trace.update(stackgroup="all", line={"dash": "solid"})
    return Drawn(figure, _said(frame, plan, kind), note)


def _bars(frame: pl.DataFrame, plan: Plan, kind: str, *, in_order: bool) -> Drawn:
    if not in_order:
        frame = frame.sort(plan.y, descending=True, nulls_last=True, maintain_order=True)
    named = frame.with_columns(_as_text(plan.x))
    figure = charts.bars(named, name=plan.x, value=plan.y, kind=kind, most=BARS_MAX)
    left = frame.height - BARS_MAX
    note = f"The first {BARS_MAX} of {frame.height:,} are drawn." if left > 0 else ""
    return Drawn(figure, _said(frame, plan, kind), note)


def _grid(frame: pl.DataFrame, plan: Plan, kind: str) -> Drawn:
    """Draw x across and the series down."""
    down = frame[plan.series].unique(maintain_order=True)
    kept = frame.filter(pl.col(plan.series).is_in(down.head(GRID_MAX).to_list(), nulls_equal=True))
    for name in (plan.x, plan.series):
        if not is_time(kept.schema[name]) and not kept.schema[name].is_numeric():
            kept = kept.with_columns(_as_text(name))
    kept = _as_labels(kept, plan.x)
    rows = kept[plan.series].unique().sort().to_list()
    names = [_row_name(plan.series, one) for one in rows]
    across = _across(kept[plan.x])
    below = int(_ASLANT_PX * max(map(len, across), default=0))  # taken from the grid's own room
    figure = charts.heatmap(
        kept,
        x=plan.x,
        y=plan.series,
        value=plan.y,
        kind=kind,
        y_labels=names,
        height=max(charts.SMALL, min(22 * len(rows) + 60, 900)) + below,
    )
    figure.update_yaxes(autorange="reversed")
    if across:
        figure.update_xaxes(tickvals=list(range(len(across))), ticktext=across)
    if plan.x == "weekday":
        figure.update_xaxes(tickvals=list(range(1, 8)), ticktext=list(words.WEEKDAYS))
    left = down.len() - GRID_MAX
    note = f"The first {GRID_MAX} of {down.len():,} rows are drawn." if left > 0 else ""
    return Drawn(figure, _said(frame, plan, kind), note)


def _across(labels: pl.Series) -> list[str]:
    """Return the names along the foot of a grid in their order, short; none where it has none."""
    if labels.dtype != pl.String:
        return []
    names = labels.unique().sort().to_list()
    return [charts.label_of(html.unescape(name), most=_ASLANT_CHARS) for name in names]


def _row_name(column: str, value: object) -> str:
    if column.rpartition(".")[2] == "weekday" and isinstance(value, int):
        return words.WEEKDAYS[value - 1]
    return charts.label_of(value)


def _dots(frame: pl.DataFrame, plan: Plan, kind: str) -> Drawn:
    """Draw a dot per row, in a colour and a shape per series."""
    shown = _as_labels(frame.head(DOTS_MAX), plan.x)
    figure = charts.figure(height=charts.TALL)
    groups: list[tuple[str, pl.DataFrame]] = [(plan.y, shown)]
    if plan.series:
        named = shown.with_columns(_as_text(plan.series))
        order = named[plan.series].unique(maintain_order=True).head(SERIES_MAX).to_list()
        groups = [(value, named.filter(pl.col(plan.series) == value)) for value in order]
    for number, (label, rows) in enumerate(groups):
        figure.add_scatter(
            x=rows[plan.x].to_list(),
            y=rows[plan.y].to_list(),
            mode="markers",
            name=charts.label_of(label),
            marker={
                "color": palette.colour(label),
                "size": 7,
                "opacity": 0.6,
                "symbol": number,
            },
        )
    figure.update_layout(hovermode="closest", showlegend=len(groups) > 1)
    figure.update_xaxes(title={"text": charts.label_of(words.label(plan.x)), "font": {"size": 12}})
    figure.update_yaxes(**charts.TICKS[kind])
    left = frame.height - DOTS_MAX
    note = f"The first {DOTS_MAX:,} of {frame.height:,} rows are drawn." if left > 0 else ""
    return Drawn(figure, _said(frame, plan, kind), note)


def _said(frame: pl.DataFrame, plan: Plan, kind: str) -> str:
    """Say a picture for somebody who does not see it."""
    known = frame[plan.y].drop_nulls()
    along = words.label(plan.x) + (f" and {words.label(plan.series)}" if plan.series else "")
    what = f"{words.label(plan.y)} by {along}"
    if known.is_empty():
        return f"A chart of {what}, without any value."
    say = charts.SAY[kind]
    low, high = (float(one) for one in (known.min(), known.max()))  # type: ignore[arg-type]
    return (
        f"A chart of {what}, {frame.height:,} values from {say(low)} to {say(high)}. "
        "The numbers are under Table."
    )


def has_number(frame: pl.DataFrame, plan: Plan) -> bool:
    """Tell whether what is to be drawn is a number: a link may name any column."""
    return bool(plan.y) and frame.schema[plan.y].is_numeric()


def number(frame: pl.DataFrame, plan: Plan, question: Question) -> str:
    """Return the one number of an answer in words."""
    value = frame[plan.y][0] if frame.height else None
    if value is None and not question.sql and question.measure in COUNTS:
        value = 0  # of nothing there are none; any other measure of nothing has no value
    exact, kind = None if value is None else float(value), kind_of(plan.y, question)
    if kind == "count" and exact is not None and exact.is_integer() and abs(exact) < _EXACT_MAX:
        return f"{exact:,.0f}"  # there is room for all of it
    return charts.SAY[kind](exact)


def adds_up(question: Question) -> bool:
    """Tell whether the numbers of a built question may be added: only then is there a total."""
    return not question.sql and question.measure in {"count", "rows", "sum"}
