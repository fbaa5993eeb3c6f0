"""The columns of the closed beta's tables, and testers as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pages.components import tables
from pages.components.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS: Final = {
    "user_id_hash": "Tester",
    "tier": "Tier",
    "last_seen": "Last seen",
    "quiet_days": "Quiet, days",
    "days_active": "Active, days",
    "sessions": "Sessions",
    "errors": "Errors",
    "error_groups": "Kinds of error",
    "contexts_created": "Created",
    "contexts_loaded": "Loaded",
    "contexts_resumed": "Resumed",
    "protections_triggered": "Protected",
    "protections_blocked": "Blocked",
    "overrides": "Overridden",
}
QUIET: Final = ("user_id_hash", "quiet_days", "last_seen", "errors")
UNLUCKY: Final = ("user_id_hash", "errors", "error_groups", "sessions")
CONTEXTS: Final = {
    "context_created": "created",
    "context_auto_created": "created automatically",
    "context_loaded": "loaded",
    "context_resumed": "resumed",
    "context_modified": "modified",
    "context_merged": "merged",
    "context_deleted": "deleted",
}
GUARDED: Final = {
    "protections_triggered": "triggered",
    "protections_blocked": "blocked",
    "overrides": "overridden by hand",
}


def table(
    frame: pl.DataFrame,
    *order: str,
    columns: Sequence[str] = tuple(COLUMNS),
    most: int | None = None,
) -> Table:
    """Return testers ordered by `order`, largest first, under short names."""
    top = frame.sort(*order, "user_id_hash", descending=True, nulls_last=True)
    shown = (top.head(most) if most else top).with_columns(
        pl.col("user_id_hash").str.slice(0, 12).alias("user_id_hash")
    )
    return Table(
        shown,
        {name: COLUMNS[name] for name in columns},
        rows=min(most or tables.ROWS_TALL, tables.ROWS_TALL),
    )
