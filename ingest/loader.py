"""Brings files into a home: JSON lines, CSV and older databases, in batches, with a full account.

Every line ends as accepted, duplicate or quarantined; nothing else can happen to one. What a line
says in free words is scrubbed before it is stored: it was written by somebody else's code.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sqlite3
import zlib
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from ingest import scrub
from ingest.migrate import is_old, open_database
from ingest.salt import read_salt
from ingest.settings import read_settings
from ingest.vocabulary import (
    DATABASE_FILE,
    LOG_FOLDER,
    METADATA_CHARS_MAX,
    QUARANTINE_CHARS_MAX,
    TABLES,
    LineIds,
    Refused,
    Row,
    is_gzip,
    parse_json,
    read_old_row,
    read_row,
)
from ingest.writer import (
    Quarantined,
    insert_quarantined,
    insert_rows,
    quarantined,
    replay,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from ingest.vocabulary import MetadataKey

BATCH_LINES: Final = 10_000
CSV_FIELD_CHARS_MAX: Final = 16 * 1024 * 1024
NUMBERS_MAX: Final = 1_000_000
REASONS_SHOWN_MAX: Final = 20
REDACTED_CACHED_MAX: Final = 4_096
CACHED_CHARS_MAX: Final = 200
_SQLITE_HEADER: Final = b"SQLite format 3\0"

# one line of a file: its number, and its rows or why it was refused
Parsed = tuple[int, "list[Row] | Quarantined"]


class ReadRecord(Protocol):
    """Makes rows of one record: `vocabulary.read_row`, or one that knows an older spelling."""

    def __call__(
        self, raw: object, *, event_id: Callable[[], str] | None = None, salt: bytes = b""
    ) -> list[Row]:
        """Return the rows of a record, or raise Refused."""


class CannotLoad(RuntimeError):  # noqa: N818 - names the situation
    """A file that cannot be loaded at all: missing, or of a kind we do not read."""


@dataclass(slots=True)
class LoadSummary:
    """The account of one file: accepted + duplicates + quarantined = lines."""

    file: str
    lines: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    flagged: Counter[str] = field(default_factory=Counter)
    refused: list[Quarantined] = field(default_factory=list)
    trouble: str = ""
    numbers: int = 0  # that an older system had computed

    def count(self, parsed: Quarantined) -> None:
        """Count a refused line and keep the first ones for the summary."""
        self.quarantined += 1
        if len(self.refused) < REASONS_SHOWN_MAX:
            self.refused.append(parsed)


def load(
    path: Path,
    home: Path,
    *,
    name: str = "",
    salt: bytes | None = None,
    read: ReadRecord = read_row,
    progress: Callable[[LoadSummary, int, int], None] | None = None,
) -> LoadSummary:
    """Load one file into a home and return the account of its lines.

    Parameters
    ----------
    path : JSON lines or CSV, plain or gzip, or an SQLite database of an older system or of ours.
    home : the telemetry home; made when missing.
    name : what the account calls the file, when not by its own name.
    salt : for records that carry a raw user id; the home's own when not given.
    read : makes rows of a record of JSON lines or CSV.
    progress : called after each batch with the account so far, and bytes (or rows) done and all.

    Raises
    ------
    CannotLoad : when there is no such file, or it is of a kind we do not read.
    """
    if not path.is_file():
        raise CannotLoad(f"There is no file at {path}. Check the name and load it again.")
    if not os.access(path, os.R_OK):
        raise CannotLoad(f"{path} may not be read by this user. Ask its owner, then load it again.")
    summary = LoadSummary(name or path.name)
    scrubber = _Scrubber(read_settings(home).metadata)
    reader = _Reader(summary.file, read_salt(home, {}) if salt is None else salt, read)
    with closing(open_database(home / DATABASE_FILE)) as connection:
        for parsed, done, total in _parsed(path, reader, summary):
            for _, one in parsed:
                scrubber.clean(one)
            _store(connection, summary, parsed)
            if progress is not None:
                progress(summary, done, total)
        summary.numbers = _copy_numbers(path, connection)
        # the same for a second load of the same file: loading twice changes nothing
        connection.executemany(
            "INSERT INTO telemetry_flags (file, field, rows) VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET rows = excluded.rows WHERE rows <> excluded.rows",
            [(summary.file, name, rows) for name, rows in summary.flagged.items()],
        )
    return summary


def replay_log(home: Path) -> int:
    """Bring every log line SQLite has not seen into the tables; return how many rows were new."""
    added = 0
    with closing(open_database(home / DATABASE_FILE)) as connection:
        for path in sorted((home / LOG_FOLDER).glob("*/*.jsonl*")):
            if path.name.endswith((".jsonl", ".jsonl.gz")):
                added += replay(connection, home, path)
    return added


_CLEANED: Final = ("metadata", "error_message", "stack_trace")
_PLACES: Final = {
    name: {column: table.column_names.index(column) for column in _CLEANED}
    if name == "errors"
    else {"metadata": table.column_names.index("metadata")}
    for name, table in TABLES.items()
    if "metadata" in table.column_names
}
_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str).encode


@dataclass(slots=True)
class _Scrubber:
    """Takes what is personal out of the free words of rows and refused lines.

    `allow` are the metadata keys the team knows; a value of one, of its kind and size, stays as it
    is. Any other key keeps its place with a redacted value.
    """

    allow: Mapping[str, MetadataKey]

    def clean(self, parsed: list[Row] | Quarantined) -> None:
        """Scrub one line's rows, or the text it was refused with, in place."""
        if isinstance(parsed, Quarantined):
            parsed.text = scrub.text(parsed.text, limit=QUARANTINE_CHARS_MAX)
            parsed.reason = scrub.text(parsed.reason, limit=QUARANTINE_CHARS_MAX)
            return
        for row in parsed:
            changed = {
                place: self.cleaned(name, row.values[place])
                for name, place in _PLACES.get(row.table, {}).items()
                if row.values[place] not in (None, "", "{}")
            }
            if changed:
                values = list(row.values)
                for place, value in changed.items():
                    values[place] = value
                row.values = tuple(values)

    def cleaned(self, name: str, value: str) -> str:
        if name == "metadata":
            return self.metadata(value)
        return scrub.text(value) if name == "error_message" else scrub.stack(value)

    def metadata(self, text: str) -> str:
        """Return metadata with the values of unknown keys redacted; JSON in, JSON out."""
        found = parse_json(text)
        if not isinstance(found, dict):
            return text
        unknown = {key: value for key, value in found.items() if not self.is_known(key, value)}
        if not unknown:
            return text
        known = {key: value for key, value in found.items() if key not in unknown}
        text = _to_json(known | _redacted(unknown))
        return text if len(text) <= METADATA_CHARS_MAX else _to_json(known)

    def is_known(self, name: str, value: object) -> bool:
        key = self.allow.get(name)
        if key is None:
            return False
        if isinstance(value, str):
            return key.kind == "text" and len(value) <= key.limit
        # a number or a flag under any known name can hold nothing personal
        return value is None or isinstance(value, (bool, int, float))


def _store(connection: sqlite3.Connection, summary: LoadSummary, batch: list[Parsed]) -> None:
    """Write one batch in one transaction and account for each of its lines."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        # the first row of a line decides whether the line is new; a second one follows it
        first: dict[str, list[tuple[Any, ...]]] = {}
        second: dict[str, list[tuple[Any, ...]]] = {}
        refused = []
        for _, parsed in batch:
            if isinstance(parsed, Quarantined):
                refused.append(parsed)
                continue
            first.setdefault(parsed[0].table, []).append(parsed[0].values)
            for row in parsed[1:]:
                second.setdefault(row.table, []).append(row.values)
        accepted = sum(insert_rows(connection, table, rows) for table, rows in first.items())
        for table, rows in second.items():
            insert_rows(connection, table, rows)
        insert_quarantined(connection, refused)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    summary.lines += len(batch)
    summary.accepted += accepted
    summary.duplicates += len(batch) - len(refused) - accepted
    for one in refused:
        summary.count(one)
    for _, parsed in batch:
        if not isinstance(parsed, Quarantined):
            summary.flagged.update(flag for row in parsed for flag in row.flags)


def _redacted(given: dict[str, Any]) -> dict[str, Any]:
    """Redact metadata; a file says the same few words over and over, and they are remembered."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        if isinstance(value, str) and len(value) > CACHED_CHARS_MAX:
            found |= cast("dict[str, Any]", scrub.redact({key: value}))
        elif value is None or isinstance(value, (str, bool, int, float)):
            found |= _redacted_once(key, value)
        else:
            found |= cast("dict[str, Any]", scrub.redact({key: value}))
    if len(found) == len(given):
        return found
    return cast("dict[str, Any]", scrub.redact(given))  # two keys look the same without secrets


@lru_cache(maxsize=REDACTED_CACHED_MAX, typed=True)
def _redacted_once(key: str, value: str | float | None) -> dict[str, Any]:
    return cast("dict[str, Any]", scrub.redact({key: value}))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Makes rows of the records of one file, or says why not."""

    file: str
    salt: bytes
    read: ReadRecord

    def line(self, line: bytes, number: int, event_id: Callable[[], str]) -> Parsed:
        try:
            return number, self.read(parse_json(line), event_id=event_id, salt=self.salt)
        except Refused as refusal:
            return number, quarantined(self.file, number, str(refusal), line)
        except (ValueError, RecursionError) as error:
            return number, quarantined(self.file, number, f"not JSON: {error}", line)

    def record(self, record: dict[str, Any], number: int, ids: LineIds) -> Parsed:
        line = json.dumps(record, ensure_ascii=False, default=str).encode("utf-8", "replace")
        try:
            return number, self.read(record, event_id=partial(ids.of, line), salt=self.salt)
        except Refused as refusal:
            return number, quarantined(self.file, number, str(refusal), line)


def _parsed(
    path: Path, reader: _Reader, summary: LoadSummary
) -> Iterator[tuple[list[Parsed], int, int]]:
    """Yield batches of parsed lines with how far the file is read and its length."""
    with path.open("rb") as file:
        header = file.read(len(_SQLITE_HEADER))
    if header == _SQLITE_HEADER:
        yield from _old_rows(path, summary)
        return
    name = path.name.removesuffix(".gz")
    total = path.stat().st_size
    with path.open("rb") as raw:
        stream = gzip.GzipFile(fileobj=raw) if is_gzip(header) else raw
        if name.endswith((".csv", ".tsv")):
            lines = _csv_lines(stream, reader, tab=name.endswith(".tsv"))
        else:
            lines = _json_lines(stream, reader)
        lines = _to_the_fault(lines, summary)
        while batch := list(islice(lines, BATCH_LINES)):
            yield batch, raw.tell(), total


def _to_the_fault(lines: Iterator[Parsed], summary: LoadSummary) -> Iterator[Parsed]:
    """Yield lines up to where the file itself breaks, such as a .gz cut in half or damaged."""
    try:
        yield from lines
    except (OSError, EOFError, zlib.error) as error:
        summary.trouble = f"the file cannot be read to its end: {error}"


def _json_lines(stream: Iterable[bytes], reader: _Reader) -> Iterator[Parsed]:
    ids = LineIds()
    for number, line in enumerate(stream, 1):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if text.strip():
            yield reader.line(text, number, partial(ids.of, line))


def _csv_lines(stream: Any, reader: _Reader, *, tab: bool) -> Iterator[Parsed]:  # noqa: ANN401 - either kind of binary file
    csv.field_size_limit(CSV_FIELD_CHARS_MAX)
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
    table = csv.DictReader(text, delimiter="\t" if tab else ",", restkey="more")
    ids = LineIds()
    try:
        while True:
            try:
                record = next(table, None)
            except csv.Error as error:
                number = table.line_num
                yield number, Quarantined(reader.file, number, f"not CSV: {error}", "")
                continue
            if record is None:
                return
            yield reader.record(record, table.line_num, ids)
    finally:
        text.detach()  # else the wrapper closes the stream under its reader


def _old_rows(path: Path, summary: LoadSummary) -> Iterator[tuple[list[Parsed], int, int]]:
    """Yield the rows of a database: of an older system, or of another home of ours."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            old = is_old(connection)
            tables = {table: _columns(connection, table.sql_name) for table in TABLES.values()}
        except sqlite3.DatabaseError as error:
            raise CannotLoad(
                f"{path} cannot be read as a database ({error}). Load a whole copy of it."
            ) from error
        tables = {table: columns for table, columns in tables.items() if columns}
        if not tables:
            names = ", ".join(table.sql_name for table in TABLES.values())
            raise CannotLoad(f"{path} has none of the tables {names}; there is nothing to load.")
        counts = {
            table: connection.execute(f"SELECT count(*) FROM {table.sql_name}").fetchone()[0]
            for table in tables
        }
        total, done = sum(counts.values()), 0
        for table, columns in tables.items():
            cursor = connection.execute(f"SELECT * FROM {table.sql_name} ORDER BY rowid")
            while True:
                try:
                    rows = cursor.fetchmany(BATCH_LINES)
                except sqlite3.DatabaseError as error:
                    summary.trouble = f"the file cannot be read to its end: {error}"
                    return
                if not rows:
                    break
                batch = [
                    _old_row(dict(zip(columns, row, strict=True)), path.name, table.sql_name, old)
                    for row in rows
                ]
                done += len(rows)
                yield batch, done, total


def _old_row(raw: dict[str, Any], file: str, sql_name: str, old: bool) -> Parsed:  # noqa: FBT001 - internal
    number = raw["id"] if isinstance(raw.get("id"), int) else 0
    try:
        if not old:
            return number, read_row(raw)
        return number, read_old_row(raw, file_name=file, sql_name=sql_name)
    except Refused as refusal:
        line = json.dumps(raw, ensure_ascii=False, default=str).encode("utf-8", "replace")
        return number, quarantined(f"{file}/{sql_name}", number, str(refusal), line)


def _copy_numbers(path: Path, connection: sqlite3.Connection) -> int:
    """Copy the numbers an older system had computed, each once; return how many were new."""
    with path.open("rb") as file:
        if file.read(len(_SQLITE_HEADER)) != _SQLITE_HEADER:
            return 0
    columns = "timestamp, service, metric_name, metric_value, user_tier"
    query = f"SELECT {columns} FROM telemetry_metrics"
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as source:
        if not _columns(source, "telemetry_metrics"):
            return 0
        named = "timestamp, service, metric_name, metric_value"
        whole = " AND ".join(f"{name} IS NOT NULL" for name in named.split(", "))
        given = source.execute(f"{query} WHERE {whole} LIMIT ?", (NUMBERS_MAX,)).fetchall()
    known = set(connection.execute(query))
    new = [row for row in dict.fromkeys(given) if row not in known]
    connection.executemany(f"INSERT INTO telemetry_metrics ({columns}) VALUES (?, ?, ?, ?, ?)", new)
    return len(new)


def _columns(connection: sqlite3.Connection, sql_name: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({sql_name})")]
