"""Frames as tables a person reads: named columns, aligned numbers, times in the page's zone.

Names from the data are cells, never markup. Nothing is computed here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl
import streamlit as st

from pages.components import text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROWS_MAX: Final = 1_000  # shown; exports hold everything
ROW_PX: Final = 34
ROWS_TALL: Final = 12

CELL_CHARS_MAX: Final = 200  # of one cell of a table in words

_PERCENT: Final = ("rate", "share")
# how the browser writes numbers, and how a table in words does
_NUMBERS: Final = {
    "number": "localized",
    "percent": "%.1f %%",
    "ratio": "%.2f",
    "decimal": "%.1f",
    "money": "dollar",
}
_TIMES: Final = dict.fromkeys(("instant", "local"), "%-d %b %Y, %H:%M") | {"date": "%-d %b %Y"}
_WRITTEN: Final[dict[str, Callable[[float], str]]] = {
    "percent": "{:.1f} %".format,
    "ratio": "{:.2f}".format,
    "decimal": "{:.1f}".format,
    "duration": "{:,.0f}".format,
    "money": lambda dollars: f"{'-' if dollars < 0 else ''}${abs(dollars):,.2f}",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A frame to show as a cell's picture, with the names of its columns in order.

    `labels` are column -> heading; columns not named are left out. `kinds` say how numbers are
    written where the column's name does not: "percent", "duration", "money", "ratio", "decimal",
    "spark", "said" (numbers that are words already, set right). `widths` as st.column_config
    takes them; `helps` explain a column on hover.
    """

    frame: pl.DataFrame
    labels: Mapping[str, str]
    kinds: Mapping[str, str] = field(default_factory=dict)
    rows: int = ROWS_TALL
    widths: Mapping[str, str | int] = field(default_factory=dict)
    helps: Mapping[str, str] = field(default_factory=dict)


def show(table: Table, *, timezone: str, alt: str, key: str | None = None, **select: Any) -> Any:  # noqa: ANN401 - Streamlit's own return
    """Draw the table; `select` is passed on for tables whose rows can be chosen."""
    frame, present, kinds = _shown(table, ROWS_MAX)
    config = {
        name: _column(label, kinds[name], timezone, table.widths.get(name))
        for name, label in present.items()
    }
    for name, told in table.helps.items():
        if name in config:
            config[name]["help"] = told
    height = ROW_PX * (min(frame.height, table.rows) + 1) + 3
    return st.dataframe(
        _readable(frame, kinds),
        hide_index=True,
        column_config=config,
        height=height,
        row_height=ROW_PX,
        placeholder=text.NOTHING,
        alt=alt,
        key=key,
        **select,
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column in words: its heading, its cells as the page writes them, and their side.

    A cell of a spark is its numbers.
    """

    heading: str
    cells: list[str | list[float]]
    is_right: bool


def written(table: Table, *, timezone: str, most: int) -> list[Column]:
    """Return the first rows in words: for a picture of the table."""
    frame, present, kinds = _shown(table, most)
    shown = _readable(frame, kinds).with_columns(
        _local(pl.col(name), kind, timezone).dt.strftime(_TIMES[kind])
        for name, kind in kinds.items()
        if kind in _TIMES
    )
    return [
        Column(
            f"{label}, ms" if kinds[name] == "duration" else label,
            [_cell(value, kinds[name]) for value in shown[name].to_list()],
            kinds[name] in _NUMBERS or kinds[name] in ("duration", "said"),
        )
        for name, label in present.items()
    ]


def _local(column: pl.Expr, kind: str, timezone: str) -> pl.Expr:
    return column.dt.convert_time_zone(timezone) if kind == "instant" else column


def _cell(value: Any, kind: str) -> str | list[float]:  # noqa: ANN401 - any value of a frame
    """Return one value as `_column` has it written in the browser."""
    if kind == "spark" and all(isinstance(one, int | float) for one in value or ()):
        return [float(one) if math.isfinite(one) else 0.0 for one in value or ()]
    if value is None:
        return text.NOTHING
    if not isinstance(value, int | float | Decimal):
        return text.plain(value, most=CELL_CHARS_MAX)
    if kind == "flag":
        return "yes" if value else "no"
    if kind in _WRITTEN:
        return _WRITTEN[kind](float(value))
    said = f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"
    return said.rstrip("0").rstrip(".") if "." in said else said


def rows(frame: pl.DataFrame, *, timezone: str, alt: str) -> None:
    """Draw a metric's own rows under their own names: the table behind a picture."""
    labels = {name: name for name in frame.columns}
    show(Table(frame, labels), timezone=timezone, alt=alt)


def _shown(table: Table, most: int) -> tuple[pl.DataFrame, dict[str, str], dict[str, str]]:
    """Return the first rows of the columns that are shown, their headings and their kinds."""
    present = {name: label for name, label in table.labels.items() if name in table.frame.columns}
    frame = table.frame.select(list(present)).head(most)
    kinds = {
        name: table.kinds.get(name) or _kind(name, dtype) for name, dtype in frame.schema.items()
    }
    return frame, present, kinds


def _kind(name: str, dtype: pl.DataType) -> str:  # noqa: PLR0911 - one line per kind
    """Say how a column is written, from its type and its name."""
    if isinstance(dtype, pl.Datetime):
        return "instant" if dtype.time_zone else "local"
    if isinstance(dtype, pl.List):
        return "list" if dtype.inner == pl.String() else "spark"
    if dtype == pl.Date():
        return "date"
    if dtype == pl.Boolean():
        return "flag"
    if dtype.is_float() and any(part in name.split("_") for part in _PERCENT):
        return "percent"
    if name.startswith("duration_ms"):
        return "duration"
    return "number" if dtype.is_numeric() else "text"


def _readable(frame: pl.DataFrame, kinds: Mapping[str, str]) -> pl.DataFrame:
    """Return the frame with lists as one line and shares as percentages."""
    return frame.with_columns(
        pl.col(name).list.join(", ") if kind == "list" else pl.col(name) * 100
        for name, kind in kinds.items()
        if kind in ("list", "percent")
    )


def _column(label: str, kind: str, timezone: str, width: Any) -> Any:  # noqa: ANN401, PLR0911 - Streamlit's types are private; one line per kind
    if kind == "spark":
        return st.column_config.BarChartColumn(label, y_min=0, color="red", width=width or 150)
    if kind == "duration":
        return st.column_config.NumberColumn(f"{label}, ms", format="%,.0f", width=width)
    if kind in ("instant", "local"):
        zone = timezone if kind == "instant" else None
        return st.column_config.DatetimeColumn(
            label, format="D MMM YYYY, HH:mm", timezone=zone, width=width
        )
    if kind == "date":
        return st.column_config.DateColumn(label, format="D MMM YYYY", width=width)
    if kind == "flag":
        return st.column_config.CheckboxColumn(label, width=width)
    if kind in _NUMBERS:
        return st.column_config.NumberColumn(label, format=_NUMBERS[kind], width=width)
    alignment: Literal["right"] | None = "right" if kind == "said" else None
    return st.column_config.TextColumn(label, width=width, alignment=alignment)
