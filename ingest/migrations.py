"""The same migrations for sqlite-utils' own command line.

    sqlite-utils migrate path/to/telemetry.db ingest/migrations.py

Only a person's command imports this file; sqlite-utils loads pandas, which a host must not.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sqlite_utils import Migrations

if __name__ != "ingest.migrations":  # the command runs this file as text and knows no `ingest`
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from ingest.migrate import MIGRATION_SET, MIGRATIONS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from sqlite_utils.db import Database


def _on_database(
    apply: Callable[[sqlite3.Connection], None],
) -> Callable[[Database], None]:
    def migration(db: Database) -> None:
        apply(db.conn)

    return migration


migrations = Migrations(MIGRATION_SET)
for _name, _apply in MIGRATIONS.items():
    migrations(name=_name)(_on_database(_apply))
