"""Reading telemetry.db: read-only connections, SQL from the filters, rows into frames.

Our own tables are read column by column with what was asked pushed into the WHERE; an older
system's tables are read row by row through the vocabulary.
"""

from __future__ import annotations

import contextlib
import sqlite3
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import polars as pl
from polars.io.plugins import register_io_source

from data_access.filters import since_clause
from data_access.frames import raw_schema, standard
from data_access.schema import SCHEMAS
from ingest.vocabulary import TABLES, Refused, read_old_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from data_access.filters import Filters

BUSY_TIMEOUT_S: Final = 2.0
BATCH_ROWS: Final = 65_536
DAMAGE_ROWS: Final = 256  # lost at most with a page SQLite cannot read; doubled while it stays so
_NEEDS: Final = {  # frame column -> what has to be read to make it
    "event_name": ("event_name", "metadata"),
    "source_name": ("event_name", "metadata"),
    "is_paid_user": ("is_paid_user", "user_tier"),
    "group_hash": ("stack_hash", "hash_version", "stack_trace", "error_type", "error_message"),
}


def connect(path: Path) -> sqlite3.Connection:
    """Open a database for reading only; nothing beside it is created where it cannot be written.

    Raises
    ------
    sqlite3.Error : when it is locked, corrupt or not a database.
    """
    uri = path.as_uri()
    try:
        connection = _open(f"{uri}?mode=ro")
    except sqlite3.OperationalError as error:
        if "unable to open" not in str(error) and "readonly" not in str(error):
            raise
        connection = _open(
            f"{uri}?mode=ro&immutable=1"
        )  # a read-only folder, WAL without its files
    return connection


def _open(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False, isolation_level=None
    )
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def columns_of(connection: sqlite3.Connection, sql_name: str) -> set[str]:
    """Return the columns of a table, none when it is not there."""
    return {row[1] for row in connection.execute(f"PRAGMA table_info({sql_name})")}


def is_ours(connection: sqlite3.Connection) -> bool:
    """Tell whether the database has our tables with their bookkeeping."""
    return bool(columns_of(connection, "telemetry_changes")) and "event_id" in columns_of(
        connection, TABLES["events"].sql_name
    )


def read_old(
    connection: sqlite3.Connection, file_name: str
) -> tuple[dict[str, list[tuple[Any, ...]]], int]:
    """Return all rows of an older system's tables by table, and how many could not be read."""
    found: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
    refused = 0
    for table in TABLES.values():
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table.sql_name})")]
        if not names:
            continue
        everything = batches(connection, f"SELECT * FROM {table.sql_name}", [])
        for values in chain.from_iterable(everything):
            raw = dict(zip(names, values, strict=True))
            try:
                rows = read_old_row(raw, file_name=file_name, sql_name=table.sql_name)
            except Refused:
                refused += 1
                continue
            for row in rows:
                found[row.table].append(row.values)
    return found, refused


def select(
    table: str,
    columns: list[str],
    *,
    above: int = 0,
    up_to: int | None = None,
    where: str = "1",
    values: list[object] | None = None,
) -> tuple[str, list[object]]:
    """Return the SELECT over one of our tables: rows by id, narrowed by a WHERE of `Filters`."""
    clauses = [where]
    parameters = list(values or [])
    if above:
        clauses.append("id > ?")
        parameters.append(above)
    if up_to is not None:
        clauses.append("id <= ?")
        parameters.append(up_to)
    sql = f"SELECT {', '.join(columns)} FROM {TABLES[table].sql_name} WHERE {' AND '.join(clauses)}"
    return sql, parameters


def batches(
    connection: sqlite3.Connection, sql: str, parameters: list[object], size: int = BATCH_ROWS
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of a query in batches.

    Text that is no UTF-8 is read with its bad bytes replaced. Only then: decoding in Python makes
    every row three times slower.
    """
    done = 0
    try:
        for rows in _fetched(connection, sql, parameters, size):
            yield rows
            done += len(rows)
    except sqlite3.OperationalError as error:
        if "decode" not in str(error):
            raise
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        yield from _fetched(connection, f"{sql} LIMIT -1 OFFSET {done}", parameters, size)


def _fetched(
    connection: sqlite3.Connection, sql: str, parameters: list[object], size: int
) -> Iterator[list[tuple[Any, ...]]]:
    cursor = connection.execute(sql, parameters)
    while rows := cursor.fetchmany(size):
        yield rows


def rows_by_id(
    connection: sqlite3.Connection, table: str, *, above: int, up_to: int
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield (id, *columns) of our table by id, stepping over pages SQLite cannot read.

    Raises
    ------
    sqlite3.DatabaseError : at the end, when something had to be left out.
    """
    columns = ["id", *TABLES[table].column_names]
    size, step = BATCH_ROWS, DAMAGE_ROWS
    damage: sqlite3.DatabaseError | None = None
    while above < up_to:
        sql, values = select(table, columns, above=above, up_to=up_to)
        try:
            for rows in batches(connection, f"{sql} ORDER BY id", values, size):
                yield rows
                above = rows[-1][0]
            break
        except sqlite3.OperationalError:
            raise  # locked, say: nothing is wrong with the rows
        except sqlite3.DatabaseError as error:
            if size == DAMAGE_ROWS:  # small batches have led up to the damage: step over it
                damage = error
                above += step
                step *= 2
            size = DAMAGE_ROWS
    if damage is not None:
        raise damage


def lazy(
    path: Path,
    table: str,
    *,
    above: int,
    up_to: int,
    filters: Filters | None,
    since: Any = None,  # noqa: ANN401 - datetime | None, passed through to Filters.where
) -> pl.LazyFrame:
    """Return rows of our tables with id in (above, up_to] as a lazy frame.

    Only the columns a query needs are read, and the filters' WHERE rides along.
    """
    where, values = (
        since_clause(table, since) if filters is None else filters.where(table, since=since)
    )

    def read(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG001 - part of the plugin's signature
    ) -> Iterator[pl.DataFrame]:
        wanted = list(with_columns or SCHEMAS[table])
        if predicate is not None:
            wanted += [name for name in predicate.meta.root_names() if name not in wanted]
        # the time always: a row without a readable one is no row, whatever is asked of it
        needed = [
            TABLES[table].time_column,
            *(name for one in wanted for name in _NEEDS.get(one, (one,))),
        ]
        columns = [name for name in TABLES[table].column_names if name in needed]
        sql, parameters = select(
            table, columns, above=above, up_to=up_to, where=where, values=values
        )
        left = n_rows
        with contextlib.closing(connect(path)) as connection:
            for rows in batches(connection, sql, parameters):
                schema = {name: raw_schema(table)[name] for name in columns}
                raw = pl.DataFrame(rows, schema=schema, orient="row", strict=False)
                frame = standard(table, raw).select(wanted)
                if predicate is not None:
                    frame = frame.filter(predicate)
                if with_columns is not None:
                    frame = frame.select(with_columns)
                if left is not None:
                    frame = frame.head(left)
                    left -= frame.height
                yield frame
                if left is not None and left <= 0:
                    return

    return register_io_source(read, schema=SCHEMAS[table])


__all__ = [
    "batches",
    "columns_of",
    "connect",
    "is_ours",
    "lazy",
    "read_old",
    "rows_by_id",
    "select",
]
