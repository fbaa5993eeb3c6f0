"""The tables of telemetry.db: made from the vocabulary with the standard library's sqlite3.

sqlite-utils sees the same history in its own migrations table, but is never imported here: it
loads pandas, and this file runs inside somebody's product.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ingest.vocabulary import TABLES, Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIGRATION_SET: Final = "betascope"
BUSY_TIMEOUT_S: Final = 5.0
WAL_RETRY_S: Final = 0.005  # between two tries to make a new database one with a WAL
_STRICT_SINCE: Final = (3, 37, 0)
_PRIMARY_CODE: Final = 0xFF  # the rest of an error code says more about the same


class OldDatabase(RuntimeError):  # noqa: N818 - names the situation, as sqlite-utils does
    """The file holds an older system's tables; it can be read and loaded, not written to."""


def _create_table(table: Table) -> str:
    columns = ",\n  ".join(f"{column.name} {column.sql}" for column in table.columns)
    strict = " STRICT" if sqlite3.sqlite_version_info >= _STRICT_SINCE else ""
    return (
        f"CREATE TABLE {table.sql_name} (\n"
        f"  id INTEGER PRIMARY KEY AUTOINCREMENT,\n  {columns},\n"
        f"  created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP\n){strict}"
    )


def _triggers(table: Table) -> list[str]:
    """Write down what was deleted or changed, so that copies drop it and a replay obeys."""
    return [
        f"CREATE TRIGGER {table.sql_name}_{kind}d AFTER {kind.upper()} ON {table.sql_name} BEGIN\n"
        f"  INSERT INTO telemetry_changes (source, row_id, event_id, kind)\n"
        f"  VALUES ('{table.name}', OLD.id, OLD.{table.key}, '{kind}d');\nEND"
        for kind in ("delete", "update")
    ]


def _tables(connection: sqlite3.Connection) -> None:
    """Create every table, its time index and its triggers."""
    for table in TABLES.values():
        connection.execute(_create_table(table))
        connection.execute(
            f"CREATE INDEX idx_{table.sql_name}_{table.time_column} "
            f"ON {table.sql_name} ({table.time_column})"
        )
    for statement in _BOOKKEEPING:
        connection.execute(statement)
    for table in TABLES.values():
        for trigger in _triggers(table):
            connection.execute(trigger)


_BOOKKEEPING: Final = (
    # numbers an older system had computed, as it kept them
    """CREATE TABLE telemetry_metrics (
  id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL, service TEXT NOT NULL,
  metric_name TEXT NOT NULL, metric_value REAL NOT NULL, user_tier TEXT,
  created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)""",
    # how far each log file is in the tables, written in the rows' own transaction
    """CREATE TABLE telemetry_log_files (
  path TEXT PRIMARY KEY, loaded_bytes INTEGER NOT NULL) WITHOUT ROWID""",
    # what was deleted or updated, in order
    """CREATE TABLE telemetry_changes (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, row_id INTEGER NOT NULL,
  event_id TEXT NOT NULL, kind TEXT NOT NULL,
  changed_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)""",
    "CREATE INDEX idx_telemetry_changes_event_id ON telemetry_changes (event_id)",
    # lines that could not become rows
    """CREATE TABLE telemetry_quarantine (
  id INTEGER PRIMARY KEY AUTOINCREMENT, file TEXT NOT NULL, line INTEGER NOT NULL,
  reason TEXT NOT NULL, text TEXT NOT NULL,
  created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, UNIQUE (file, line, text))""",
    # values that were kept out of otherwise good rows, counted by file and field
    """CREATE TABLE telemetry_flags (
  file TEXT NOT NULL, field TEXT NOT NULL, rows INTEGER NOT NULL,
  PRIMARY KEY (file, field)) WITHOUT ROWID""",
)

MIGRATIONS: Final[dict[str, Callable[[sqlite3.Connection], None]]] = {"0001_tables": _tables}


def open_database(path: Path, *, timeout_s: float = BUSY_TIMEOUT_S) -> sqlite3.Connection:
    """Open telemetry.db for writing, creating or migrating its tables first.

    The connection is in autocommit; a writer says `BEGIN IMMEDIATE` itself.

    Raises
    ------
    OldDatabase : when the file holds an older system's tables.
    sqlite3.Error : when the file is locked, corrupt or not writable.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _refuse_old_file(path, timeout_s)
    connection = sqlite3.connect(
        path, timeout=timeout_s, isolation_level=None, check_same_thread=False
    )
    try:
        _keep_a_wal(connection, timeout_s)
        connection.execute("PRAGMA synchronous = NORMAL")
        if pending(connection):
            _apply(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _keep_a_wal(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Switch a new database to its WAL, waiting for whoever does the same right now.

    SQLite waits for a lock, but not here: the switch makes a writer of a reader, which it refuses
    at once, whatever the timeout: in 28 of 60 forks in a new home, one of the two processes had its
    rows in the log only, and a short-lived one never came round to storing them.
    """
    until_s = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() >= until_s:
                raise
            time.sleep(WAL_RETRY_S)
        else:
            return


def pending(connection: sqlite3.Connection) -> list[str]:
    """Return the names of migrations this database has not had."""
    try:
        rows = connection.execute(
            "SELECT name FROM _sqlite_migrations WHERE migration_set = ?", (MIGRATION_SET,)
        )
        applied = {name for (name,) in rows}
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        applied = set()
    return [name for name in MIGRATIONS if name not in applied]


def is_old(connection: sqlite3.Connection) -> bool:
    """Tell whether this database holds an older system's tables: rows without an event_id."""
    return any(
        columns and "event_id" not in columns
        for columns in (
            {row[1] for row in connection.execute(f"PRAGMA table_info({table.sql_name})")}
            for table in TABLES.values()
            if table.name != "sessions"
        )
    )


def _refuse_old_file(path: Path, timeout_s: float) -> None:
    """Refuse an older system's file while not a byte of it, or beside it, has changed."""
    if not path.exists():
        return
    # closing a connection that may write tidies up: it moves a -wal left behind into the file;
    # closing one that may not leaves a -wal of its own
    mode = "ro" if path.with_name(f"{path.name}-wal").exists() else "rw"
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    with closing(sqlite3.connect(uri, uri=True, timeout=timeout_s)) as connection:
        _refuse_old(connection, path)


def _refuse_old(connection: sqlite3.Connection, path: Path) -> None:
    if is_old(connection):
        raise OldDatabase(
            f"{path} holds an older system's tables, which Betascope reads but never writes. "
            "Bring it over with `python -m ingest migrate OLD_DB` into a new home."
        )


def _apply(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        _refuse_old(connection, path)
        # the shape sqlite-utils gives its own table, so that its command line works on ours
        connection.execute(
            "CREATE TABLE IF NOT EXISTS _sqlite_migrations "
            "(id INTEGER PRIMARY KEY, migration_set TEXT, name TEXT, applied_at TEXT)"
        )
        connection.execute(
            "CREATE UNIQUE INDEX IF NOT EXISTS idx__sqlite_migrations_migration_set_name "
            "ON _sqlite_migrations (migration_set, name)"
        )
        for name in pending(connection):
            MIGRATIONS[name](connection)
            connection.execute(
                "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)",
                (MIGRATION_SET, name, str(datetime.now(UTC))),
            )
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
