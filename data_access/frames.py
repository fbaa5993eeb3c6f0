"""Raw rows in table column order become typed frames with standard names.

Every source of rows, SQLite, log, inbox or an older database, passes through `typed` once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data_access.schema import SCHEMAS
from ingest.stack_hash import HASH_VERSION, stack_hash
from ingest.vocabulary import (
    ALIASES,
    BRANCH_CREATE_NAMES,
    CHANNEL_ALIASES,
    PAID_TIERS,
    TABLES,
    CortexEventName,
    parse_time,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_RAW_TYPES: Final = {
    "text": pl.String,
    "number": pl.Float64,
    "count": pl.Int64,
    "flag": pl.Int64,
    "time": pl.String,
}
_ISO: Final = "%Y-%m-%dT%H:%M:%S%.3fZ"


def raw_schema(table: str) -> dict[str, type[pl.DataType]]:
    """Return the Polars types rows of a table have before `typed`."""
    return {column.name: _RAW_TYPES[column.frame] for column in TABLES[table].columns}


def empty(table: str) -> pl.DataFrame:
    """Return a frame of the table's shape without rows."""
    return pl.DataFrame(schema=SCHEMAS[table])


def typed(table: str, rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    """Return rows given in table column order as a frame of the table's schema.

    Values of another type than the column's become null; rows whose time cannot be read are left
    out.
    """
    if not rows:
        return empty(table)
    frame = pl.DataFrame(rows, schema=raw_schema(table), orient="row", strict=False)
    return standard(table, frame)


def standard(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Give a raw frame, with any of the table's columns, its types and standard names."""
    columns = {column.name: column for column in TABLES[table].columns}
    present = [name for name in frame.columns if name in columns]
    frame = frame.with_columns(
        [
            _time(frame[name]) if columns[name].frame == "time" else pl.col(name).cast(pl.Boolean)
            for name in present
            if columns[name].frame in ("time", "flag")
        ]
    )
    time_column = TABLES[table].time_column
    if time_column in frame.columns:
        frame = frame.filter(pl.col(time_column).is_not_null())
    if "channel" in frame.columns:
        frame = frame.with_columns(pl.col("channel").replace(CHANNEL_ALIASES))
    if {"is_paid_user", "user_tier"} <= set(frame.columns):
        frame = frame.with_columns(is_paid_user=pl.col("user_tier").is_in(PAID_TIERS))
    if table == "events" and "event_name" in frame.columns:
        frame = _standard_event_names(frame)
    if table == "errors" and "stack_hash" in frame.columns:
        frame = frame.with_columns(group_hash=_group_hashes(frame))
    return frame.select([name for name in SCHEMAS[table] if name in frame.columns])


def _time(column: pl.Series) -> pl.Series:
    moments = column.str.to_datetime(_ISO, time_unit="ms", time_zone="UTC", strict=False)
    odd = moments.is_null() & column.is_not_null()
    if not odd.any():
        return moments
    # written by other hands: any offset, a blank for the T, seconds without a fraction
    spelled = {text: parse_time(text) for text in column.filter(odd).unique()}
    mended = column.replace(spelled)
    return mended.str.to_datetime(_ISO, time_unit="ms", time_zone="UTC", strict=False)


def _standard_event_names(frame: pl.DataFrame) -> pl.DataFrame:
    source = frame["event_name"]
    names = source.replace(ALIASES)
    if "metadata" in frame.columns and source.is_in(BRANCH_CREATE_NAMES).any():
        automatic = frame.select(
            source.is_in(BRANCH_CREATE_NAMES)
            & pl.col("metadata").map_elements(_is_automatic, return_dtype=pl.Boolean)
        ).to_series()
        names = names.set(automatic, CortexEventName.CONTEXT_AUTO_CREATED.value)
    return frame.with_columns(names.alias("event_name"), source.alias("source_name"))


def _is_automatic(metadata: str) -> bool:
    if "auto" not in metadata:
        return False
    try:
        found = json.loads(metadata)
    except ValueError:
        return False
    said = [found.get(key) for key in ("auto", "automatic", "auto_or_manual")]
    return any(value in (True, 1, "1", "true", "auto", "automatic") for value in said)


def _group_hashes(frame: pl.DataFrame) -> pl.Series:
    """Return the stored hash where it is of the current version, else the hash computed now."""
    hashes = [
        stored if stored and version == HASH_VERSION else _hash(trace, kind, message)
        for stored, version, trace, kind, message in frame.select(
            "stack_hash", "hash_version", "stack_trace", "error_type", "error_message"
        ).iter_rows()
    ]
    return pl.Series("group_hash", hashes, dtype=pl.String)


def _hash(trace: str | None, kind: str | None, message: str | None) -> str:
    return stack_hash(trace or "", error_type=kind or "", message=message or "")


__all__ = ["empty", "raw_schema", "standard", "typed"]
