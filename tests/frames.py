"""Literal rows for tests: `events(event(...), event(...))` is a frame as `scan` returns it.

Every builder fills what it is not told with a plain default, and counts up the event_ids of
one frame so that rows written first come first among equal times.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from data_access.schema import ERRORS, EVENTS, TRACES
from data_access.window import Window

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["day", "error", "errors", "event", "events", "instant", "trace", "traces", "window"]

Row = dict[str, Any]


def instant(when: str | datetime) -> datetime:
    """Read "2026-01-01", "2026-01-01T09:00" or "...Z"; times without an offset are UTC."""
    read = datetime.fromisoformat(when) if isinstance(when, str) else when
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


def day(text: str) -> date:
    """Read "2026-01-01"."""
    return date.fromisoformat(text)


def window(start: str, end: str, *, timezone: str = "UTC", week: str = "monday") -> Window:
    """Return the window from `start` to the day before `end`."""
    return Window(day(start), day(end), timezone=timezone, week_starts_on=week)


def event(
    when: str | datetime, user: str = "ada", name: str = "session_started", **columns: object
) -> Row:
    """Return one row of telemetry_events; weight 1, successful, in the server channel."""
    given: Row = {
        "timestamp": instant(when),
        "user_id_hash": user,
        "event_name": name,
        "source_name": name,
        "channel": "server",
        "user_tier": "free",
        "is_paid_user": False,
        "result": "success",
        "weight": 1.0,
    }
    return given | columns


def error(
    when: str | datetime, user: str = "ada", error_type: str = "ValueError", **columns: object
) -> Row:
    """Return one row of telemetry_errors: one occurrence of weight 1 in group "g1"."""
    given: Row = {
        "timestamp": instant(when),
        "first_at": instant(when),
        "last_at": instant(when),
        "user_id_hash": user,
        "error_type": error_type,
        "error_message": "it broke",
        "stack_hash": "g1",
        "group_hash": "g1",
        "severity": "error",
        "channel": "server",
        "occurrences": 1,
        "weight": 1.0,
    }
    return given | columns


def trace(
    when: str | datetime,
    operation: str = "search",
    duration_ms: float | None = 100.0,
    user: str = "ada",
    **columns: object,
) -> Row:
    """Return one row of telemetry_traces: a successful operation that took `duration_ms`."""
    begun = instant(when)
    given: Row = {
        "timestamp": begun,
        "operation_name": operation,
        "duration_ms": duration_ms,
        "user_id_hash": user,
        "success": True,
        "channel": "server",
        "weight": 1.0,
    }
    return given | columns


def events(*rows: Row) -> pl.LazyFrame:
    """Return the rows as a frame with exactly the columns of EVENTS."""
    return _frame(rows, EVENTS)


def errors(*rows: Row) -> pl.LazyFrame:
    """Return the rows as a frame with exactly the columns of ERRORS."""
    return _frame(rows, ERRORS)


def traces(*rows: Row) -> pl.LazyFrame:
    """Return the rows as a frame with exactly the columns of TRACES."""
    return _frame(rows, TRACES)


def _frame(rows: tuple[Row, ...], schema: Mapping[str, Any]) -> pl.LazyFrame:
    """Fill event_id by position; a column that no schema knows is a slip, so it raises."""
    known = [{"event_id": f"{at:08}"} | row for at, row in enumerate(rows)]
    unknown = {name for row in known for name in row} - set(schema)
    if unknown:
        raise KeyError(f"No column {sorted(unknown)}. The table has {sorted(schema)}.")
    columns = {name: [row.get(name) for row in known] for name in schema}
    return pl.LazyFrame(columns, schema=schema)
