"""The list of Parquet segments: a small SQLite file whose write lock orders refreshes.

A crash leaves the list as it was; files it does not name are swept away later.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from ingest.vocabulary import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ROW_GROUP_ROWS: Final = 65_536
LOCK_TIMEOUT_S: Final = 60.0
ORPHAN_AGE_S: Final = 600  # a replaced file may still be read by a plan made a moment ago
# what tells two rows of a table apart
KEY: Final = {name: table.key for name, table in TABLES.items()}

_MANIFEST: Final = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS segments (
  id INTEGER PRIMARY KEY, source TEXT NOT NULL, origin TEXT NOT NULL, file TEXT NOT NULL,
  rows INTEGER NOT NULL, first_id INTEGER NOT NULL, last_id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS origins (
  origin TEXT PRIMARY KEY, mark TEXT NOT NULL, refused INTEGER NOT NULL DEFAULT 0,
  flagged INTEGER NOT NULL DEFAULT 0, trouble TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deleted (key TEXT PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(slots=True)
class Segment:
    """One Parquet file: rows of one table from one origin, and the ids they span there."""

    id: int
    source: str
    origin: str
    file: str
    rows: int
    first_id: int
    last_id: int


class Manifest:
    """Which segments there are, in a small SQLite file whose write lock orders refreshes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.connection = sqlite3.connect(
            folder / "manifest.db", timeout=LOCK_TIMEOUT_S, isolation_level=None
        )
        self.connection.executescript(_MANIFEST)
        self.connection.execute("BEGIN IMMEDIATE")

    def close(self) -> None:
        """Give the lock back; what was not committed is gone."""
        self.connection.close()

    def commit(self) -> None:
        """Make the list as it is now the one others read."""
        self.connection.execute("COMMIT")

    def fact(self, name: str) -> str | None:
        """Return a remembered value, or None."""
        row = self.connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def set_fact(self, name: str, value: object) -> None:
        """Remember a value."""
        self.connection.execute(
            "INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            (name, str(value)),
        )

    def segments(self, source: str | None = None, origin: str | None = None) -> list[Segment]:
        """Return the segments, of one table or origin if asked, oldest ids first."""
        rows = self.connection.execute("SELECT * FROM segments ORDER BY origin, first_id, id")
        found = [Segment(*row) for row in rows]
        return [
            one
            for one in found
            if source in (None, one.source) and (origin is None or origin == one.origin)
        ]

    def add(self, source: str, origin: str, frame: pl.DataFrame, first: int, last: int) -> None:
        """Write a frame as a new segment, sorted by time."""
        name = f"{source}-{uuid.uuid4().hex}.parquet"
        frame.sort(TABLES[source].time_column, KEY[source]).write_parquet(
            self.folder / name, row_group_size=ROW_GROUP_ROWS, compression="zstd"
        )
        self.connection.execute(
            "INSERT INTO segments (source, origin, file, rows, first_id, last_id) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (source, origin, name, frame.height, first, last),
        )

    def drop(self, segment: Segment) -> None:
        """Take a segment off the list."""
        self.connection.execute("DELETE FROM segments WHERE id = ?", (segment.id,))

    def read(self, segment: Segment) -> pl.DataFrame:
        """Return a segment's rows."""
        return pl.read_parquet(self.folder / segment.file)

    def origins(self) -> dict[str, dict[str, Any]]:
        """Return what is known of each origin, by name."""
        rows = self.connection.execute("SELECT * FROM origins")
        names = ("origin", "mark", "refused", "flagged", "trouble")
        return {row[0]: dict(zip(names, row, strict=True)) for row in rows}

    def set_origin(
        self, origin: str, mark: str, *, refused: int = 0, flagged: int = 0, trouble: str = ""
    ) -> None:
        """Remember how far an origin was read and what was wrong with it."""
        self.connection.execute(
            "INSERT OR REPLACE INTO origins VALUES (?, ?, ?, ?, ?)",
            (origin, mark, refused, flagged, trouble or None),
        )

    def drop_origin(self, origin: str) -> None:
        """Forget an origin and its segments."""
        self.connection.execute("DELETE FROM segments WHERE origin = ?", (origin,))
        self.connection.execute("DELETE FROM origins WHERE origin = ?", (origin,))

    def deleted(self, keys: Iterable[str]) -> set[str]:
        """Return which of these are keys of rows somebody removed: no origin may show them."""
        find = self.connection.execute
        query = "SELECT 1 FROM deleted WHERE key = ?"
        return {key for key in keys if find(query, (key,)).fetchone()}

    def add_deleted(self, keys: list[str]) -> None:
        """Remember keys of removed rows, for when the database itself cannot be asked."""
        self.connection.executemany(
            "INSERT OR IGNORE INTO deleted VALUES (?)", [(key,) for key in keys]
        )

    def is_whole(self) -> bool:
        """Tell whether every listed segment is still there: files may be deleted at any time."""
        return all((self.folder / one.file).exists() for one in self.segments())

    def clear(self) -> None:
        """Forget everything."""
        for name in ("segments", "origins", "facts", "deleted"):
            self.connection.execute(f"DELETE FROM {name}")

    def sweep(self) -> None:
        """Remove files no manifest row names, once nobody can be reading them."""
        known = {segment.file for segment in self.segments()}
        oldest = time.time() - ORPHAN_AGE_S
        for path in self.folder.glob("*.parquet"):
            if path.name not in known:
                with contextlib.suppress(OSError):
                    if path.stat().st_mtime < oldest:
                        path.unlink()
