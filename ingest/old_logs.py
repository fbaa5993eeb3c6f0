"""Brings an older system over: its log folders, and its databases.

A line says what it said and nothing more: no duration, session or hour is made up. Its id comes
from its content, so that a file may be brought over again, under any name, packed or not.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ingest.loader import CannotLoad, LoadSummary, load
from ingest.vocabulary import (
    DATABASE_FILE,
    METADATA,
    TABLES,
    EventSeverity,
    Refused,
    Row,
    parse_json,
    read_row,
    row_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIGRATE_VERSION: Final = 1  # raise it when a record becomes other rows; then everything runs again
MARKER_FILE: Final = "migrated.json"
MARKER_BYTES_MAX: Final = 16 * 1024 * 1024
MARKS_MAX: Final = 20_000
FILES_MAX: Final = 20_000
COUNT_MAX: Final = 10**12
_LINE_FILES: Final = (".jsonl", ".jsonl.gz")

# --- one record ------------------------------------------------------------------------------

_IN_METADATA: Final = ("project_id", "branch_id", "context_id", "session_id", "release")
_FREE_TEXT: Final = frozenset(("query", "prompt", "content", "code", "text", "message"))
_LEVELS: Final = {level.value: level.value for level in EventSeverity} | {
    "warn": "warning",
    "fatal": "critical",
}
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d|\d{8}", re.ASCII)


def read_old_record(
    raw: object, *, event_id: str | Callable[[], str] | None = None, salt: bytes = b""
) -> list[Row]:
    """Return the rows of one record of an old log: `read_row` for its older spelling.

    `error` becomes an error of its own, with the level as its severity. What was asked of a tool is
    kept as its length. A day with a count becomes rows at noon UTC whose weights sum to the count.

    Raises
    ------
    Refused : as `read_row`; also when a day's count is no number of events.
    """
    if not isinstance(raw, dict):
        return read_row(raw)
    record: dict[str, Any] = dict(raw)
    _places(record)
    _parameters(record)
    _error(record)
    _result(record)
    count = _whole_day(record)
    rows = read_row(record, event_id=event_id, salt=salt)
    for row in rows:
        if row.table == "errors":
            _complete_error(row, record, count)
    if rows[0].table == "events" and len(rows) > 1:
        _drop_from_metadata(rows[0], "stack_trace")  # the error has it
    if count is not None and count > 1 and rows[0].table in ("events", "traces"):
        rows.append(_rest(rows[0], count))
    return rows


def _places(record: dict[str, Any]) -> None:
    """Take what has a column of its own out of the metadata."""
    metadata = _object(record.get("metadata"))
    if metadata is None:
        return
    record["metadata"] = metadata = dict(metadata)
    for name in _IN_METADATA:
        if name in metadata and record.get(name) in (None, ""):
            record[name] = metadata.pop(name)


def _complete_error(row: Row, record: dict[str, Any], count: int | None) -> None:
    level = _LEVELS.get(str(record.get("level")).lower())
    if level is not None and "severity" not in record:
        _set(row, severity=level)
    if count is not None and "occurrences" not in record:
        _set(row, occurrences=count)


def _object(value: object) -> dict[str, Any] | None:
    """Return a JSON object, given as itself or as text, or None."""
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _parameters(record: dict[str, Any]) -> None:
    """Lift the known keys out of `parameters`, and keep the length of what somebody wrote."""
    given = _object(record.get("parameters"))
    if given is None:
        return
    rest = {}
    for name, value in given.items():
        if name in _FREE_TEXT and isinstance(value, str):
            record.setdefault(f"{name}_length", len(value))
        elif name in METADATA and isinstance(value, (str, int, float, bool)):
            record.setdefault(name, value)
        else:
            rest[name] = value
    record["parameters"] = rest or None


def _error(record: dict[str, Any]) -> None:
    """Spell `error` the way an event does: error_message, error_type, stack_trace."""
    given = record.pop("error", None)
    if not given:
        return
    inner = _object(given)
    if inner is None:
        found = {"error_message": str(given)}
    else:
        names = {
            "error_message": ("message", "error_message", "msg", "detail"),
            "error_type": ("type", "error_type", "name", "code"),
            "stack_trace": ("stack_trace", "stack", "traceback"),
        }
        found = {
            name: next((str(inner[key]) for key in keys if inner.get(key)), "")
            for name, keys in names.items()
        }
        found["error_message"] = found["error_message"] or json.dumps(inner, default=str)
    for name, value in found.items():
        if value and record.get(name) in (None, ""):
            record[name] = value
    if record.get("result") in (None, ""):
        record["result"] = "error"


def _result(record: dict[str, Any]) -> None:
    """Spell a result that is no word as one; what a tool gave back goes into the metadata."""
    given = record.get("result")
    if isinstance(given, bool):
        record["result"] = "success" if given else "error"
    elif isinstance(given, (dict, list)):
        status = given.get("status") if isinstance(given, dict) else None
        failed = bool(record.get("error_message"))
        record["result"] = status if isinstance(status, str) else ("error" if failed else None)
        record["metadata"] = {"result": given} | (_object(record.get("metadata")) or {})


def _whole_day(record: dict[str, Any]) -> int | None:
    """Set the time of a record that knows only its day, and return how many events it counts."""
    for name in ("timestamp", "date", "day"):
        value = record.get(name)
        if value not in (None, ""):
            break
    else:
        return None
    if name != "timestamp":
        del record[name]
        record["timestamp"] = value
    text = str(value).strip()
    if not _DAY.fullmatch(text):
        return None
    try:
        record["timestamp"] = f"{date.fromisoformat(text).isoformat()}T12:00:00.000Z"
    except ValueError:
        return None  # no such day; read_row says so
    count = _count(record.pop("count", None))
    if count > 1 and record.get("duration_ms") is not None:
        # of how many of them, nobody knows: it stays, but not as the duration of one
        record["metadata"] = (_object(record.get("metadata")) or {}) | {
            "duration_ms": record.pop("duration_ms")
        }
    return count


def _count(value: object) -> int:
    if value is None or value == "":
        return 1
    try:
        count = float(str(value))
    except ValueError:
        count = -1
    if count == 0:
        raise Refused("a count of 0: nothing happened, so there is nothing to keep")
    if not 0 < count <= COUNT_MAX or count != int(count):
        raise Refused(f"count is no number of events: {str(value)[:40]!r}")
    return int(count)


def _rest(first: Row, count: int) -> Row:
    """Return the row for all but the first of a day's events.

    Events are counted by the sum of weights, people by the smallest weight of theirs: with one row
    of weight `count` a single person would count as many. Numbers in the metadata are the whole
    day's, so only the first row has them.
    """
    columns = TABLES[first.table].column_names
    by_name = dict(zip(columns, first.values, strict=True))
    words = {
        key: value
        for key, value in json.loads(by_name["metadata"]).items()
        if isinstance(value, (str, bool))
    }
    rest = Row(first.table, first.values, first.flags)
    _set(
        rest,
        event_id=row_id("rest", by_name["event_id"]),
        weight=by_name["weight"] * (count - 1),
        metadata=json.dumps(words, ensure_ascii=False),
    )
    return rest


def _set(row: Row, **values: object) -> None:
    columns = TABLES[row.table].column_names
    row.values = tuple(
        values.get(name, value) for name, value in zip(columns, row.values, strict=True)
    )


def _drop_from_metadata(row: Row, key: str) -> None:
    text = row.values[TABLES[row.table].column_names.index("metadata")]
    if f'"{key}"' in text:
        found = json.loads(text)
        found.pop(key, None)
        _set(row, metadata=json.dumps(found, ensure_ascii=False))


# --- a folder or a file ----------------------------------------------------------------------


@dataclass(slots=True)
class MigrateSummary:
    """The account of everything that was brought over.

    Attributes
    ----------
    account : of all files together.
    files : files that were read now.
    already : files an earlier run had brought over.
    failed : files that could not be read at all, with what to do.
    """

    account: LoadSummary
    files: int = 0
    already: int = 0
    failed: list[str] = field(default_factory=list)

    def add(self, one: LoadSummary) -> None:
        """Add the account of one file."""
        account = self.account
        account.lines += one.lines
        account.accepted += one.accepted
        account.duplicates += one.duplicates
        account.flagged.update(one.flagged)
        for refused in one.refused:
            account.count(refused)
        account.quarantined += one.quarantined - len(one.refused)
        if one.trouble:
            account.trouble = f"{one.file}: {one.trouble}"


def migrate(
    old: Path,
    home: Path,
    *,
    salt: bytes | None = None,
    again: bool = False,
    progress: Callable[[LoadSummary, int, int], None] | None = None,
) -> MigrateSummary:
    """Bring an older system's database, log file or folder of log files into a home.

    What was brought over whole is written down in migrated.json, so that it is not read again.

    Parameters
    ----------
    old : an SQLite database, a JSONL or CSV file, or a folder of .jsonl and .jsonl.gz files.
    home : the telemetry home; made when missing. It gets no salt: its people keep their hash.
    salt : for records that carry a raw user id; the home's own when not given.
    again : read also what was brought over before; it adds nothing twice.
    progress : as in `load`, file by file.

    Raises
    ------
    CannotLoad : when there is nothing to bring over.
    """
    paths = _sources(old, home)
    marks = _Marks.of(home)
    summary = MigrateSummary(LoadSummary(old.name))
    for name, path in paths:
        try:
            print_of_it = _fingerprint(path)
            if not again and marks.has(print_of_it):
                summary.already += 1
                continue
            read = load(path, home, name=name, salt=salt, read=read_old_record, progress=progress)
        except CannotLoad as error:
            summary.failed.append(str(error))
            continue
        except OSError as error:
            summary.failed.append(f"{path} cannot be read ({error.strerror or error}).")
            continue
        summary.files += 1
        summary.add(read)
        if not read.trouble:
            marks.add(print_of_it | {"name": name}, read)
    marks.write()
    return summary


def _sources(old: Path, home: Path) -> list[tuple[str, Path]]:
    """Return the files to bring over, in order, with what to call them."""
    if not old.exists():
        raise CannotLoad(f"There is nothing at {old}. Check the name and run the command again.")
    inside = home.resolve()
    if old.resolve() == inside or inside in old.resolve().parents:
        raise CannotLoad(
            f"{old} belongs to the home {home} itself; there is nothing to bring over."
        )
    if not old.is_dir():
        return [(old.name, old)]
    found = sorted(
        path
        for path in _walk(old)
        if path.name.endswith(_LINE_FILES) and inside not in path.resolve().parents
    )
    if not found:
        raise CannotLoad(
            f"There is no .jsonl or .jsonl.gz file in {old}. Name the folder that has them, or a "
            "database file itself."
        )
    if len(found) > FILES_MAX:
        raise CannotLoad(
            f"{old} has {len(found):,} log files, and {FILES_MAX:,} are the most for one run. "
            "Bring over its folders one by one."
        )
    return [(path.relative_to(old).as_posix().removesuffix(".gz"), path) for path in found]


def _walk(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):  # follows no links
        yield from (Path(parent, name) for name in names)


def _fingerprint(path: Path) -> dict[str, Any]:
    """Return size and SHA-256 of a file; what a database has not moved in yet belongs to it."""
    with path.open("rb") as file:
        digest, size = hashlib.file_digest(file, "sha256"), file.tell()
    try:
        with path.with_name(f"{path.name}-wal").open("rb") as wal:
            while chunk := wal.read(1024 * 1024):
                digest.update(chunk)
                size += len(chunk)
    except OSError:
        pass  # there is none
    return {"size": size, "sha256": digest.hexdigest()}


# --- what was brought over already -----------------------------------------------------------


@dataclass(slots=True)
class _Marks:
    """The content of migrated.json; what cannot be read of it counts for nothing.

    A mark is good for the database it was made with: another one has other rows.
    """

    home: Path
    sources: list[dict[str, Any]]
    changed: bool = False

    @classmethod
    def of(cls, home: Path) -> _Marks:
        try:
            with (home / MARKER_FILE).open("rb") as file:
                found = json.loads(file.read(MARKER_BYTES_MAX))
        except (OSError, ValueError, RecursionError):
            return cls(home, [])
        sources = found.get("sources") if isinstance(found, dict) else None
        kept = sources if isinstance(sources, list) else []
        return cls(home, [one for one in kept if isinstance(one, dict)])

    def has(self, fingerprint: dict[str, Any]) -> bool:
        database = _identity(self.home / DATABASE_FILE)
        return database is not None and any(
            all(one.get(key) == value for key, value in fingerprint.items())
            and one.get("database") == database
            and isinstance(one.get("version"), int)
            and one["version"] >= MIGRATE_VERSION
            for one in self.sources
        )

    def add(self, source: dict[str, Any], account: LoadSummary) -> None:
        mark = source | {
            "version": MIGRATE_VERSION,
            "database": _identity(self.home / DATABASE_FILE),
            "lines": account.lines,
            "accepted": account.accepted,
            "duplicates": account.duplicates,
            "quarantined": account.quarantined,
        }
        same = [one for one in self.sources if one.get("sha256") != mark["sha256"]]
        self.sources = [*same, mark][-MARKS_MAX:]
        self.changed = True

    def write(self) -> None:
        if not self.changed:
            return
        text = json.dumps({"sources": self.sources}, ensure_ascii=False, indent=1)
        descriptor, made = tempfile.mkstemp(".partial", f"{MARKER_FILE}.", self.home)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text + "\n")
            Path(made).replace(self.home / MARKER_FILE)
        finally:
            Path(made).unlink(missing_ok=True)


def _identity(path: Path) -> str | None:
    """Return when a database was made, to the microsecond: no other has the same."""
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as connection:
            row = connection.execute(
                "SELECT applied_at FROM _sqlite_migrations ORDER BY rowid LIMIT 1"
            ).fetchone()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None
