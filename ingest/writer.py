"""The path of a row to disk: one line in the event log first, then one row in SQLite.

A row is durable when its line is in the log. When SQLite cannot take it, the log carries on and
`replay` brings the row in later. Nothing here samples, scrubs or swallows an error.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import secrets
import sqlite3
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, cast

from ingest.migrate import BUSY_TIMEOUT_S, OldDatabase, open_database
from ingest.vocabulary import (
    DATABASE_FILE,
    LOG_FOLDER,
    QUARANTINE_CHARS_MAX,
    TABLES,
    Refused,
    Row,
    Table,
    is_gzip,
    parse_json,
    read_row,
    row_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ROTATE_BYTES: Final = 100 * 1024 * 1024
BATCH_ROWS_MAX: Final = 10_000
_TRAILER_BYTES: Final = 4  # a gzip file ends with the length of what was packed
_BINARY: Final = getattr(os, "O_BINARY", 0)  # Windows would write \\r\\n

PARAMETERS_MAX: Final = 999  # of one statement, in the oldest SQLite we meet


def _insert(table: Table, rows: int) -> str:
    one = f"({', '.join('?' * len(table.columns))})"
    return (
        f"INSERT INTO {table.sql_name} ({', '.join(table.column_names)}) "
        f"VALUES {', '.join([one] * rows)} ON CONFLICT ({table.key}) DO NOTHING"
    )


# several rows in one INSERT are a third less work for SQLite than one by one
_TOGETHER: Final = {name: PARAMETERS_MAX // len(table.columns) for name, table in TABLES.items()}
_INSERTS: Final = {name: _insert(table, 1) for name, table in TABLES.items()}
_INSERTS_TOGETHER: Final = {name: _insert(table, _TOGETHER[name]) for name, table in TABLES.items()}

LINES_CACHED_MAX: Final = 4_096  # parts of lines that are remembered
_to_line = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_quoted = json.encoder.encode_basestring


def insert_rows(connection: sqlite3.Connection, table: str, rows: Iterable[tuple[Any, ...]]) -> int:
    """Insert rows in table column order and return how many were new.

    Known ids are left as they are, and ids that were deleted stay deleted. The caller commits.
    """
    name = TABLES[table].sql_name
    sequence = _sequence(connection, name)
    before = connection.total_changes
    batch, together = list(_not_deleted(connection, rows)), _TOGETHER[table]
    single = len(batch) % together
    connection.executemany(_INSERTS[table], batch[:single])
    connection.executemany(
        _INSERTS_TOGETHER[table],
        [
            list(chain.from_iterable(batch[at : at + together]))
            for at in range(single, len(batch), together)
        ],
    )
    added = connection.total_changes - before
    # a conflict uses up an id; give unused ones back, so that loading twice changes nothing
    connection.execute(
        f"UPDATE sqlite_sequence SET seq = max(?, (SELECT ifnull(max(id), 0) FROM {name})) "
        "WHERE name = ?",
        (sequence, name),
    )
    return added


def _sequence(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else 0


def _not_deleted(
    connection: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]
) -> Iterable[tuple[Any, ...]]:
    """Leave out rows somebody deleted: a replay must not bring them back."""
    deleted = "SELECT 1 FROM telemetry_changes WHERE kind = 'deleted'"
    if connection.execute(f"{deleted} LIMIT 1").fetchone() is None:
        return rows
    query = f"{deleted} AND event_id = ? LIMIT 1"
    return [row for row in rows if connection.execute(query, (row[0],)).fetchone() is None]


def to_line(row: Row) -> bytes:
    """Return the log line of a row: its columns by name, nulls left out."""
    return _line(row).encode()


def _line(row: Row) -> str:
    values, shape = row.values, _SHAPES.get(row.table)
    if shape is None:
        names = TABLES[row.table].column_names
        pairs = zip(names, values, strict=True)
        return _to_line({name: value for name, value in pairs if value is not None}) + "\n"
    # most of it is as in a line before, and was made into text then: three to five times as fast
    took, count = values[shape.took_at], shape.count_at and values[shape.count_at]
    numbers = "" if took is None else f'"duration_ms":{took!r},'
    if count is not None:
        numbers += f'"result_count":{count},'
    return (
        f'{{"event_id":{_quoted(values[0])},"timestamp":{_quoted(values[1])},{numbers}'
        f'"metadata":{_quoted(values[shape.metadata_at])},{shape.usual(shape.rest(values))}}}\n'
    )


class _Shape(NamedTuple):
    """Where in a row the values are that differ from line to line, and the text of the rest."""

    took_at: int
    metadata_at: int
    count_at: int | None
    rest: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    usual: Callable[[tuple[Any, ...]], str]


def _shape(names: tuple[str, ...]) -> _Shape:
    own = ("event_id", "timestamp", "duration_ms", "metadata", "result_count")
    rest = [at for at, name in enumerate(names) if name not in own]

    @lru_cache(LINES_CACHED_MAX)
    def usual(values: tuple[Any, ...]) -> str:
        pairs = zip(rest, values, strict=True)
        return _to_line({names[at]: value for at, value in pairs if value is not None})[1:-1]

    count_at = names.index("result_count") if "result_count" in names else None
    took_at, metadata_at = names.index("duration_ms"), names.index("metadata")
    return _Shape(took_at, metadata_at, count_at, itemgetter(*rest), usual)


_SHAPES: Final = {name: _shape(TABLES[name].column_names) for name in ("events", "traces")}


@dataclass(slots=True)
class Quarantined:
    """A line that could not become a row, and why."""

    file: str
    line: int
    reason: str
    text: str


def parse_line(
    line: bytes, *, file: str, number: int, event_id: Callable[[], str]
) -> list[Row] | Quarantined:
    """Return the rows of one line, or why it was refused."""
    try:
        return read_row(parse_json(line), event_id=event_id)
    except Refused as refusal:
        return quarantined(file, number, str(refusal), line)
    except (ValueError, RecursionError) as error:
        return quarantined(file, number, f"not JSON: {error}", line)


def quarantined(file: str, number: int, reason: str, line: bytes) -> Quarantined:
    """Return the quarantine record of a line, cut to its limit."""
    text = line[:QUARANTINE_CHARS_MAX].decode("utf-8", "replace").replace("\0", "")
    return Quarantined(file, number, reason, text.rstrip("\r\n"))


def insert_quarantined(connection: sqlite3.Connection, refused: Sequence[Quarantined]) -> None:
    """Keep refused lines; the same line of the same file is kept once."""
    connection.executemany(
        "INSERT INTO telemetry_quarantine (file, line, reason, text) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        [(one.file, one.line, one.reason, one.text) for one in refused],
    )


def replay(connection: sqlite3.Connection, home: Path, path: Path) -> int:
    """Bring the lines of one log file that SQLite has not seen into the tables.

    Only whole lines are read: a line still being written waits for its end. A compressed file goes
    by the name and the offsets it had before, and one that breaks off gives what comes before.
    Returns how many rows were new. Rows and offset are written in one transaction per batch.
    """
    name = path.relative_to(home).as_posix().removesuffix(".gz")
    packed = path.suffix == ".gz"
    if packed and _length_in_trailer(path) == loaded_bytes(connection, name) % 2**32:
        return 0
    added = 0
    with _open_log(path) as log:
        while True:
            connection.execute("BEGIN IMMEDIATE")
            try:
                start = loaded_bytes(connection, name)
                lines, end = _whole_lines(log, start, finished=packed)
                added += _store_lines(connection, name, lines)
                _set_loaded_bytes(connection, name, end)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            if len(lines) < BATCH_ROWS_MAX:
                return added


def _store_lines(
    connection: sqlite3.Connection, name: str, lines: Sequence[tuple[int, bytes]]
) -> int:
    rows: dict[str, list[tuple[Any, ...]]] = {}
    refused: list[Quarantined] = []
    for offset, line in lines:
        if not line.strip():
            continue
        parsed = parse_line(
            line, file=name, number=offset, event_id=partial(row_id, "log", name, offset)
        )
        if isinstance(parsed, Quarantined):
            refused.append(parsed)
        else:
            for row in parsed:
                rows.setdefault(row.table, []).append(row.values)
    insert_quarantined(connection, refused)
    return sum(insert_rows(connection, table, batch) for table, batch in rows.items())


def loaded_bytes(connection: sqlite3.Connection, name: str) -> int:
    """Return how many bytes of this log file are in the tables."""
    row = connection.execute(
        "SELECT loaded_bytes FROM telemetry_log_files WHERE path = ?", (name,)
    ).fetchone()
    return int(row[0]) if row else 0


def _set_loaded_bytes(connection: sqlite3.Connection, name: str, end: int) -> None:
    connection.execute(
        "INSERT INTO telemetry_log_files (path, loaded_bytes) VALUES (?, ?) "
        "ON CONFLICT (path) DO UPDATE SET loaded_bytes = excluded.loaded_bytes",
        (name, end),
    )


def _open_log(path: Path) -> IO[bytes]:
    """Open a log file; one named .gz may have been unpacked under its name."""
    log = path.open("rb")
    if path.suffix != ".gz" or not is_gzip(log.peek(2)):
        return log
    log.close()
    return cast("IO[bytes]", gzip.open(path))


def _length_in_trailer(path: Path) -> int | None:
    """Return the length a gzip file says it unpacks to, modulo 4 GiB, without unpacking it."""
    with path.open("rb") as log:
        if not is_gzip(log.peek(2)) or path.stat().st_size < _TRAILER_BYTES:
            return None
        log.seek(-_TRAILER_BYTES, os.SEEK_END)
        return int.from_bytes(log.read(_TRAILER_BYTES), "little")


def _whole_lines(
    log: IO[bytes], offset: int, *, finished: bool
) -> tuple[list[tuple[int, bytes]], int]:
    """Return the next batch of lines and where it ends; only a finished file may end in half."""
    lines: list[tuple[int, bytes]] = []
    try:
        log.seek(offset)
        for line in islice(log, BATCH_ROWS_MAX):
            if not (finished or line.endswith(b"\n")):
                break
            lines.append((offset, line))
            offset += len(line)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        pass  # data_access.problems names the broken file
    return lines, offset


def _last_byte(descriptor: int) -> bytes:
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Logged:
    """Where a batch lies in the log: the file, and the bytes its lines take up."""

    path: Path
    start: int
    end: int


@dataclass(slots=True)
class Writer:
    """Appends rows to this process's own log file and then stores them in telemetry.db.

    Parameters
    ----------
    home : the telemetry home; made when missing.
    now : the clock, which names the day's folder.
    name : the writer's own file name; one writer per file.
    rotate_bytes : a log file that has reached this size is followed by the next one.
    busy_timeout_s : how long to wait for a database somebody else is writing to.
    """

    home: Path
    now: Callable[[], datetime] = _utc_now
    name: str = ""
    rotate_bytes: int = ROTATE_BYTES
    busy_timeout_s: float = BUSY_TIMEOUT_S
    last_error: str | None = field(default=None, init=False)
    _connection: sqlite3.Connection | None = field(default=None, init=False)
    _log: Path | None = field(default=None, init=False)
    _sequence: int = field(default=0, init=False)
    _behind: list[Path] = field(default_factory=list, init=False)  # files with lines to store

    def __post_init__(self) -> None:
        self.home = Path(self.home)
        self.name = self.name or f"{os.getpid()}-{secrets.token_hex(4)}"

    def write(self, rows: Sequence[Row]) -> bool:
        """Log the rows, then store them; tell whether SQLite has them too.

        Raises
        ------
        OSError : when the log cannot take the lines; then nothing was stored either.
        """
        return self.store(rows, self.append(rows)) if rows else True

    def append(self, rows: Sequence[Row]) -> Logged:
        """Append the rows to the log; from then on they are safe.

        Raises
        ------
        OSError : when the log cannot take the lines.
        """
        logged = self._append("".join([_line(row) for row in rows]).encode())
        if logged.path not in self._behind:
            self._behind.append(logged.path)
        return logged

    def store(self, rows: Sequence[Row], logged: Logged) -> bool:
        """Store a batch that was just logged; tell whether SQLite has every line by now."""
        try:
            connection = self._connected()
            if not _store_rows(connection, self.home, rows, logged):
                replay(connection, self.home, logged.path)
            return self.catch_up(but=logged.path)
        except (sqlite3.Error, OldDatabase, OSError) as error:
            self._disconnect(str(error))
            return False

    def catch_up(self, *, but: Path | None = None) -> bool:
        """Store what SQLite did not take before; tell whether it has every line by now."""
        try:
            while self._behind:
                if self._behind[0] != but:
                    with suppress(FileNotFoundError):  # somebody deleted it
                        replay(self._connected(), self.home, self._behind[0])
                self._behind.pop(0)
        except (sqlite3.Error, OldDatabase, OSError) as error:  # the lines are safe in the log
            self._disconnect(str(error))
            return False
        self.last_error = None
        return True

    @property
    def is_behind(self) -> bool:
        """Tell whether the log holds lines that SQLite has not taken yet."""
        return bool(self._behind)

    def close(self) -> None:
        """Close the database; the log needs no closing."""
        self._disconnect(self.last_error)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            path = self.home / DATABASE_FILE
            self._connection = open_database(path, timeout_s=self.busy_timeout_s)
        return self._connection

    def _disconnect(self, error: str | None) -> None:
        self.last_error = error
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _append(self, data: bytes) -> Logged:
        path = self._log_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _BINARY, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and _last_byte(descriptor) != b"\n":
                data = b"\n" + data  # a torn last line costs itself, never the next one
            written = os.write(descriptor, data)
            if written != len(data):
                raise OSError(
                    errno.ENOSPC,
                    f"{path} took {written} of {len(data)} bytes. Free some disk space; "
                    "the lines will be written again.",
                )
        finally:
            os.close(descriptor)
        return Logged(path, size, size + len(data))

    def _is_over(self, log: Path) -> bool:
        """Tell whether a file is full, or gone: how far one of its name was loaded is known."""
        try:
            return log.stat().st_size >= self.rotate_bytes
        except FileNotFoundError:
            return True

    def _log_path(self) -> Path:
        folder = self.home / LOG_FOLDER / self.now().strftime("%Y-%m-%d")
        if self._log is None or self._log.parent != folder:
            self._sequence = 1
        elif self._is_over(self._log):
            self._sequence += 1
        self._log = folder / f"{self.name}-{self._sequence:04d}.jsonl"
        return self._log


def _store_rows(
    connection: sqlite3.Connection, home: Path, rows: Sequence[Row], logged: Logged
) -> bool:
    """Store a batch without reading it back, unless lines before it are missing still."""
    name = logged.path.relative_to(home).as_posix()
    by_table: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        by_table.setdefault(row.table, []).append(row.values)
    connection.execute("BEGIN IMMEDIATE")
    try:
        is_next = loaded_bytes(connection, name) == logged.start
        if is_next:
            for table, batch in by_table.items():
                insert_rows(connection, table, batch)
            _set_loaded_bytes(connection, name, logged.end)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return is_next
