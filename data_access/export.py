"""Rows out: a finished frame as CSV, Parquet, JSON lines or Excel, whole or saying where it is cut.

Text that a spreadsheet would run as a formula is neutralised in the formats spreadsheets open.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable

EXCEL_ROWS_MAX: Final = 1_048_575  # a sheet's limit less the header
EXCEL_CELL_CHARS_MAX: Final = 32_767
_FORMULA_START: Final = r"^[=+\-@\t\r]"


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with lists as text, times as ISO text and no formula in any text."""
    joined = [
        pl.col(name).cast(pl.List(pl.String)).list.join("; ").alias(name)
        for name, kind in frame.schema.items()
        if isinstance(kind, pl.List)
    ]
    frame = frame.with_columns(joined)
    times = [
        pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        for name, kind in frame.schema.items()
        if isinstance(kind, pl.Datetime)
    ]
    texts = [
        pl.when(pl.col(name).str.contains(_FORMULA_START))
        .then(pl.lit("'") + pl.col(name))
        .otherwise(pl.col(name))
        .alias(name)
        for name, kind in frame.schema.items()
        if kind == pl.String
    ]
    return frame.with_columns(times).with_columns(texts)


def to_csv(frame: pl.DataFrame, *, about: str = "") -> bytes:  # noqa: ARG001 - CSV has no place for it
    """Return the frame as CSV, UTF-8 with a header row. `about` has no place in a CSV."""
    return _flat(frame).write_csv().encode()


def to_parquet(frame: pl.DataFrame, *, about: str = "") -> bytes:
    """Return the frame as Parquet, types kept; row count and `about` are in its metadata."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, metadata={"rows": str(frame.height), "about": about})
    return buffer.getvalue()


def to_jsonl(frame: pl.DataFrame, *, about: str = "") -> bytes:  # noqa: ARG001 - as CSV
    """Return the frame as JSON lines, one object per row."""
    buffer = io.BytesIO()
    frame.write_ndjson(buffer)
    return buffer.getvalue()


def to_excel(frame: pl.DataFrame, *, about: str = "") -> bytes:
    """Return the frame as an Excel workbook: the rows, and a sheet that says what they are.

    A sheet holds at most EXCEL_ROWS_MAX rows; where the frame has more, the second sheet says so.
    """
    from xlsxwriter import Workbook  # noqa: PLC0415 - 60 ms that only this export needs

    buffer = io.BytesIO()
    cut = frame.height > EXCEL_ROWS_MAX
    shown = f"{min(frame.height, EXCEL_ROWS_MAX):,} of {frame.height:,} rows"
    with Workbook(buffer, {"in_memory": True, "strings_to_formulas": False}) as book:
        flat = _flat(frame.head(EXCEL_ROWS_MAX)).with_columns(
            pl.col(pl.String).str.slice(0, EXCEL_CELL_CHARS_MAX)
        )
        flat.write_excel(book, worksheet="Rows")
        sheet = book.add_worksheet("About")
        sheet.write_string(0, 0, shown + (": cut at the sheet's limit" if cut else ": complete"))
        sheet.write_string(1, 0, about)
    return buffer.getvalue()


# file ending -> (label, writer, MIME type)
FORMATS: Final[dict[str, tuple[str, Callable[..., bytes], str]]] = {
    "csv": ("CSV", to_csv, "text/csv"),
    "parquet": ("Parquet", to_parquet, "application/vnd.apache.parquet"),
    "jsonl": ("JSONL", to_jsonl, "application/x-ndjson"),
    "xlsx": (
        "Excel",
        to_excel,
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
}
