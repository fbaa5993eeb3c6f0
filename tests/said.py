"""Clients for tests, and what they left on disk."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any

from ingest import Client

if TYPE_CHECKING:
    from pathlib import Path

NOON_S = 1_772_366_400.0  # 2026-03-01T12:00:00Z


def client(home: Path, **options: Any) -> Client:
    """Make a client of a home, whatever the environment says."""
    return Client(home, **({"environ": {"TELEMETRY_STRICT": "1"}, "channel": "server"} | options))


def lines(home: Path) -> list[dict[str, Any]]:
    """Return the log's records, oldest first."""
    paths = sorted(home.glob("log/*/*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


def rows(home: Path, table: str = "events") -> list[dict[str, Any]]:
    """Return the rows of a table in telemetry.db, in the order they came."""
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        connection.row_factory = sqlite3.Row
        return [
            dict(row) for row in connection.execute(f"SELECT * FROM telemetry_{table} ORDER BY id")
        ]


def dropped(made: Client) -> dict[str, int]:
    """Return the reasons something was lost for, and how often."""
    return {reason: n for reason, n in made.stats()["dropped"].items() if n}
