"""The vocabulary as Polars types: what columns a frame of each table has, in which order.

It holds no data and reads no files; `sources.scan` promises frames of exactly these shapes.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from ingest.vocabulary import TABLES, Column

TIME: Final = pl.Datetime("ms", "UTC")

_FRAME_TYPES: Final[dict[str, pl.DataType]] = {
    "text": pl.String(),
    "number": pl.Float64(),
    "count": pl.Int64(),
    "flag": pl.Boolean(),
    "time": TIME,
}
# columns a frame has and the database has not, each after the column it explains
_DERIVED: Final = {
    ("events", "event_name"): "source_name",
    ("errors", "stack_hash"): "group_hash",
}


def _schema(table: str) -> pl.Schema:
    columns: dict[str, pl.DataType] = {}
    for column in TABLES[table].columns:
        columns[column.name] = frame_type(column)
        derived = _DERIVED.get((table, column.name))
        if derived is not None:
            columns[derived] = pl.String()
    return pl.Schema(columns)


def frame_type(column: Column) -> pl.DataType:
    """Return the Polars type of a column of the vocabulary."""
    return _FRAME_TYPES[column.frame]


EVENTS: Final = _schema("events")
ERRORS: Final = _schema("errors")
TRACES: Final = _schema("traces")
SESSIONS: Final = _schema("sessions")
SCHEMAS: Final = {"events": EVENTS, "errors": ERRORS, "traces": TRACES, "sessions": SESSIONS}
