"""Frames as tables a person reads: named columns, aligned numbers, times in the page's zone.

Names from the data are cells, never markup. Nothing is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl
import streamlit as st

from pages.components import text

if TYPE_CHECKING:
    from collections.abc import Mapping

ROWS_MAX: Final = 1_000  # shown; exports hold everything
ROW_PX: Final = 34
ROWS_TALL: Final = 12

_PERCENT: Final = ("rate", "share")


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
    present = {name: label for name, label in table.labels.items() if name in table.frame.columns}
    frame = table.frame.select(list(present)).head(ROWS_MAX)
    kinds = {
        name: table.kinds.get(name) or _kind(name, dtype) for name, dtype in frame.schema.items()
    }
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


def rows(frame: pl.DataFrame, *, timezone: str, alt: str) -> None:
    """Draw a metric's own rows under their own names: the table behind a picture."""
    labels = {name: name for name in frame.columns}
    show(Table(frame, labels), timezone=timezone, alt=alt)


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
    number = {"number": "localized", "percent": "%.1f %%", "ratio": "%.2f", "decimal": "%.1f"}
    number |= {"money": "dollar"}
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
    if kind in number:
        return st.column_config.NumberColumn(label, format=number[kind], width=width)
    alignment: Literal["right"] | None = "right" if kind == "said" else None
    return st.column_config.TextColumn(label, width=width, alignment=alignment)
