"""Is telemetry arriving, and what was lost? The clients' own counts, the log, SQLite and the disk.

`pipeline` reads a home's state once; `measures` makes frames of it. Nothing here opens more than
the named limits allow.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data_access import database
from data_access.home import Home, open_home
from data_access.schema import TIME
from ingest.vocabulary import (
    INBOX_FOLDER,
    LOG_FOLDER,
    PIPELINE_FOLDER,
    TABLES,
    is_gzip,
    parse_json,
    parse_time,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["LOSSES", "Pipeline", "pipeline"]

REPORT_FILES_MAX: Final = 400  # days; the newest
REPORT_BYTES_MAX: Final = 8 * 1024 * 1024  # of one day, from its end: counters are cumulative
REPORT_LINE_BYTES_MAX: Final = 64 * 1024
WRITERS_MAX: Final = 10_000
NAME_CHARS_MAX: Final = 200
COUNT_MAX: Final = 10**15
REPORT_STEP_S: Final = 900  # of one writer, the last report of every quarter of an hour is kept
WAITING_BYTES_MAX: Final = 64 * 1024 * 1024  # read to count the lines SQLite does not have
QUARANTINE_MAX: Final = 1_000
FLAGS_MAX: Final = 1_000
FOLDER_FILES_MAX: Final = 50_000
FOLDER_LEVELS_MAX: Final = 3
OTHER: Final = "other"

# reason, as in the clients' counts -> what happened, what to do
LOSSES: Final[dict[str, tuple[str, str]]] = {
    "buffer_full": (
        "more was said at once than could be written",
        "Track less often, or turn on sampling; a faster disk helps too.",
    ),
    "disk_full": ("the disk was full", "Free some space; the log goes on by itself."),
    "log_unwritable": (
        "the log could not be written",
        "Let the product's user write to the home's folder, and see that its disk is there.",
    ),
    "writer_dead": (
        "the background thread could not be started",
        "Look at the limits on threads and memory of the process.",
    ),
    "unserializable": (
        "no record could be made of what was given",
        "Give plain text, numbers and times; the product's log names the kind of fault.",
    ),
    "invalid": ("it had no name", "Give every event and trace a name."),
    "closed": ("it was said after the client was closed", "Close the client last."),
    "left_at_close": (
        "the process ended before all was written",
        "Give `close` more time, or call `flush` before the end.",
    ),
    "rollup_full": (
        "more people were in one rollup than it tells apart",
        "Give a session id with each turn, so that sessions are rolled up one by one.",
    ),
    "error_keys_full": (
        "more different errors came in a minute than are told apart",
        "Look for ids or times in the errors' types; the Errors page shows the first ones.",
    ),
    "consent_withdrawn": (
        "telemetry was turned off while it waited",
        "Nothing: this is what turning it off means.",
    ),
    "failed": ("our own code failed", "Please report it; the product's log names the kind."),
    OTHER: ("a reason this version does not know", "Update the app to the clients' version."),
}
COUNTERS: Final = ("written", "sampled_out", "merged", "flagged")
GAUGES: Final = ("held", "buffered", "faults")

# how a reason of telemetry_quarantine begins -> what to do
_MEND: Final = (
    ("not JSON", "One JSON object per line; a line that was cut off is lost."),
    ("the line is JSON but not an object", 'Each line has to be an object: {"event_name": ...}.'),
    ("no event name", "Give event_name (or operation_name, for a trace)."),
    ("no user", "Give user_id_hash, or user_id to have it hashed."),
    ("no readable time", "Give timestamp as ISO 8601 or as seconds since 1970."),
)
_MEND_ELSE: Final = "Mend the line where it is written, and load the file again."

_REPORTS: Final[dict[str, Any]] = (
    {"writer": pl.String, "at": TIME, "started_at": TIME}
    | {"channel": pl.String, "release": pl.String}
    | dict.fromkeys((*COUNTERS, *GAUGES, *LOSSES), pl.Int64)
    | {"storing": pl.String, "problems": pl.String}
)
_FILES: Final[dict[str, Any]] = {
    "file": pl.String,
    "day": pl.Date,
    "bytes": pl.Int64,
    "stored_bytes": pl.Int64,
    "waiting_bytes": pl.Int64,
    "waiting_lines": pl.Int64,
    "last_written": TIME,
}
_STORED: Final[dict[str, Any]] = {
    "table": pl.String,
    "rows": pl.Int64,
    "oldest": TIME,
    "newest": TIME,
    "last_stored": TIME,
}
_LINES: Final[dict[str, Any]] = {
    "file": pl.String,
    "line": pl.Int64,
    "reason": pl.String,
    "text": pl.String,
    "put_aside": TIME,
}
_REASONS: Final[dict[str, Any]] = {
    "reason": pl.String,
    "lines": pl.Int64,
    "files": pl.Int64,
    "what_to_do": pl.String,
}
_FLAGS: Final[dict[str, Any]] = {"file": pl.String, "field": pl.String, "rows": pl.Int64}
_SIZES: Final[dict[str, Any]] = {"place": pl.String, "files": pl.Int64, "bytes": pl.Int64}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a home says about its own pipeline.

    Attributes
    ----------
    kind : "home"; "file" for a single file, which has no pipeline; "old" for a home whose database
        is an older system's.
    reports : the clients' reports, the last of each writer and quarter of an hour; cumulative.
    skipped : report lines that were torn or not a client's.
    files, stored, quarantine, reasons, flags, sizes : what `MEASURES` show of them.
    troubles : what could not be read, in words.
    """

    kind: str
    reports: pl.DataFrame
    skipped: int
    files: pl.DataFrame
    stored: pl.DataFrame
    quarantine: pl.DataFrame
    reasons: pl.DataFrame
    flags: pl.DataFrame
    sizes: pl.DataFrame
    troubles: tuple[str, ...] = ()


def pipeline(home: str | Path | None = None, *, since: date | None = None) -> Pipeline:
    """Read the state of a home's pipeline.

    Parameters
    ----------
    home : a folder, a database or a JSONL file; $TELEMETRY_HOME or ./telemetry when not given.
    since : the first day the reader asks about; reports of days before are read only as far as
        the differences need them. All there are (up to REPORT_FILES_MAX days) when not given.

    Raises
    ------
    DataUnavailable : when there is nothing at `home`.
    """
    place = open_home(home)
    reports, skipped = _reports(place, since)
    found = _database(place)
    kind = "home" if place.path == place.root else "file"
    return Pipeline(
        kind="old" if found.is_old else kind,
        reports=reports,
        skipped=skipped,
        files=_files(place, found.loaded),
        stored=pl.DataFrame(found.stored, _STORED, orient="row"),
        quarantine=pl.DataFrame(found.quarantine, _LINES, orient="row"),
        reasons=pl.DataFrame(_by_reason(found.reasons), _REASONS, orient="row"),
        flags=pl.DataFrame(found.flags, _FLAGS, orient="row"),
        sizes=_sizes(place),
        troubles=tuple(found.troubles),
    )


# --- the clients' reports --------------------------------------------------------------------


def _reports(home: Home, since: date | None) -> tuple[pl.DataFrame, int]:
    """Return the reports, oldest first, and how many lines were none."""
    rows: list[tuple[Any, ...]] = []
    skipped = 0
    unfounded: dict[str, date] = {}  # writer -> the day it started, while no report is from then
    for day, path in _report_files(home):
        # a day of the page's timezone may begin on the UTC day before
        is_early = since is not None and day < since - timedelta(days=1)
        if is_early and rows and not unfounded:
            break
        try:
            stat = path.stat()
        except OSError:
            continue
        found, torn = _report_file(path, stat.st_size, stat.st_mtime_ns)
        skipped += torn
        for row in found:
            if row[0] not in unfounded and len(unfounded) >= WRITERS_MAX:
                continue
            rows.append(row)
            unfounded[row[0]] = row[2].date()
        unfounded = {name: started for name, started in unfounded.items() if started < day}
    return pl.DataFrame(rows, _REPORTS, orient="row").sort("writer", "at"), skipped


def _report_files(home: Home) -> list[tuple[date, Path]]:
    """Return the days with reports, newest first; none when the home is a single file."""
    if home.path != home.root:
        return []
    found = []
    with contextlib.suppress(OSError):
        for path in (home.root / PIPELINE_FOLDER).iterdir():
            with contextlib.suppress(ValueError):
                if path.suffix == ".jsonl":
                    found.append((date.fromisoformat(path.stem), path))
    return sorted(found, reverse=True)[:REPORT_FILES_MAX]


@lru_cache(maxsize=REPORT_FILES_MAX)
def _report_file(
    path: Path,
    size: int,
    changed_ns: int,  # noqa: ARG001 - part of the key: a file that grew is read again
) -> tuple[tuple[tuple[Any, ...], ...], int]:
    """Return the reports of one day and how many of its lines were none."""
    start = max(0, size - REPORT_BYTES_MAX)
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(REPORT_BYTES_MAX)
    except OSError:
        return (), 0
    lines = data.split(b"\n")
    kept: dict[tuple[str, int], tuple[Any, ...]] = {}
    skipped = 0
    for line in lines[1:] if start else lines:
        if not line.strip():
            continue
        row = _report(line)
        if row is None:
            skipped += 1
            continue
        key = (row[0], int(row[1].timestamp()) // REPORT_STEP_S)
        if key not in kept or kept[key][1] <= row[1]:
            kept[key] = row
    return tuple(kept.values()), skipped


def _report(line: bytes) -> tuple[Any, ...] | None:
    """Return one report as a row of _REPORTS, or None when the line is none."""
    if len(line) > REPORT_LINE_BYTES_MAX:
        return None
    try:
        raw = parse_json(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict) or not isinstance(raw.get("dropped"), dict):
        return None
    at, writer = _instant(raw.get("at")), raw.get("writer")
    counts = [_count(raw.get(name, 0)) for name in (*COUNTERS, *GAUGES)]
    dropped = {str(name): _count(n) for name, n in raw["dropped"].items()}
    if at is None or not isinstance(writer, str) or not writer or "written" not in raw:
        return None
    if None in counts or None in dropped.values():
        return None
    losses = [dropped.get(name, 0) for name in LOSSES if name != OTHER]
    unknown = sum(n or 0 for name, n in dropped.items() if name not in LOSSES or name == OTHER)
    problems = raw.get("problems")
    return (
        writer[:NAME_CHARS_MAX],
        at,
        _instant(raw.get("started_at")) or at,
        _text(raw.get("channel")),
        _text(raw.get("release")),
        *counts,
        *losses,
        unknown,
        _text(raw.get("storing")),
        _text(" ".join(map(str, problems))) if isinstance(problems, list) else None,
    )


def _count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= COUNT_MAX
    return value if is_count and isinstance(value, int) else None


def _instant(value: object) -> datetime | None:
    text = parse_time(value)
    return None if text is None else datetime.fromisoformat(text)


def _text(value: object) -> str | None:
    return str(value)[:NAME_CHARS_MAX] if value else None


# --- the database ----------------------------------------------------------------------------


@dataclass(slots=True)
class _Found:
    """What the database says. `loaded` is None while it cannot be asked."""

    is_old: bool = False
    loaded: dict[str, int] | None = None
    stored: list[tuple[Any, ...]] = field(default_factory=list)
    quarantine: list[tuple[Any, ...]] = field(default_factory=list)
    reasons: list[tuple[Any, ...]] = field(default_factory=list)
    flags: list[tuple[Any, ...]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def _database(home: Home) -> _Found:
    found = _Found()
    if not home.database.exists():
        found.loaded = {}
        return found
    try:
        with contextlib.closing(database.connect(home.database)) as connection:
            found.is_old = not database.is_ours(connection)
            if not found.is_old:
                _ask(connection, found)
    except (sqlite3.Error, OSError) as error:
        found.troubles.append(_trouble(error))
    return found


def _ask(connection: sqlite3.Connection, found: _Found) -> None:
    """Ask our database everything; what is damaged costs its own answer only."""

    def rows(sql: str, *values: object) -> list[tuple[Any, ...]] | None:
        try:
            return connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            trouble = _trouble(error)
            if trouble not in found.troubles:
                found.troubles.append(trouble)
            return None

    offsets = rows("SELECT path, loaded_bytes FROM telemetry_log_files")
    found.loaded = None if offsets is None else dict(offsets)
    for name, table in TABLES.items():
        time, sql_name = table.time_column, table.sql_name
        counted = rows(f"SELECT count(*) FROM {sql_name}")
        # each bound on its own: together they would read every row
        bounds = [rows(f"SELECT {which}({time}) FROM {sql_name}") for which in ("min", "max")]
        last = rows(f"SELECT created_at FROM {sql_name} ORDER BY id DESC LIMIT 1")
        moments = [_instant(one[0][0]) if one else None for one in (*bounds, last)]
        found.stored.append((name, counted[0][0] if counted else None, *moments))
    lines = "SELECT file, line, reason, text, created_at FROM telemetry_quarantine"
    newest = rows(f"{lines} ORDER BY id DESC LIMIT ?", QUARANTINE_MAX) or []
    found.quarantine = [(*row[:4], _instant(row[4])) for row in newest]
    found.reasons = (
        rows("SELECT reason, count(*), file FROM telemetry_quarantine GROUP BY reason, file") or []
    )
    flagged = "SELECT file, field, rows FROM telemetry_flags ORDER BY rows DESC LIMIT ?"
    found.flags = rows(flagged, FLAGS_MAX) or []


def _trouble(error: Exception) -> str:
    if "locked" in str(error) or "busy" in str(error):
        return (
            "Another program holds the database, so what it has stored cannot be told. Wait a "
            "moment and reload; the log goes on meanwhile."
        )
    return f"SQLite cannot read all of the database ({error}). The rest is shown."


def _by_reason(rows: Sequence[tuple[Any, ...]]) -> list[tuple[str, int, int, str]]:
    """Return the reasons without what differs from line to line, most frequent first."""
    lines: dict[str, int] = {}
    files: dict[str, set[str]] = {}
    for reason, count, file in rows:
        kind = str(reason).partition(":")[0]
        lines[kind] = lines.get(kind, 0) + int(count)
        files.setdefault(kind, set()).add(str(file))
    return [
        (kind, lines[kind], len(files[kind]), _what_to_do(kind))
        for kind in sorted(lines, key=lambda kind: (-lines[kind], kind))
    ]


def _what_to_do(kind: str) -> str:
    return next((mend for start, mend in _MEND if kind.startswith(start)), _MEND_ELSE)


# --- files -----------------------------------------------------------------------------------


def _files(home: Home, loaded: Mapping[str, int] | None) -> pl.DataFrame:
    """Return a row per log file, those with something to store first, then the newest."""
    rows = []
    left = WAITING_BYTES_MAX
    for path in home.log_files():
        try:
            stat = path.stat()
            packed = path.suffix == ".gz"
            length = _unpacked(path, stat.st_size) if packed else stat.st_size
        except OSError:
            continue
        name = home.name_of(path).removesuffix(".gz")
        stored = None if loaded is None else loaded.get(name, 0)
        waiting = None if stored is None else max(0, length - stored)
        lines = 0 if waiting == 0 else None
        if waiting and stored is not None and not packed and waiting <= left:
            left -= waiting
            lines = _lines_beyond(path, stored)
        day = _day(path.parent.name)
        last = datetime.fromtimestamp(stat.st_mtime, UTC)
        rows.append((home.name_of(path), day, stat.st_size, stored, waiting, lines, last))
    frame = pl.DataFrame(rows, _FILES, orient="row")
    order = [pl.col("waiting_bytes").fill_null(0), "last_written", "file"]
    return frame.sort(order, descending=[True, True, False])


def _unpacked(path: Path, size: int) -> int:
    """Return the length a gzip file unpacks to, as its last four bytes say."""
    with path.open("rb") as file:
        if size < 4 or not is_gzip(file.read(2)):  # noqa: PLR2004 - the four bytes
            return size
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(4), "little")


def _lines_beyond(path: Path, start: int) -> int | None:
    """Count the lines after an offset; one that is still being written counts too."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(WAITING_BYTES_MAX)
    except OSError:
        return None
    return sum(bool(line.strip()) for line in data.split(b"\n"))


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None


def _sizes(home: Home) -> pl.DataFrame:
    whole = home.path == home.root
    beside = [home.database.with_name(home.database.name + end) for end in ("", "-wal", "-shm")]
    alone = [] if whole or home.database == home.path else [home.path]
    places: dict[str, Sequence[str | Path]] = {
        "log": _within(home.root / LOG_FOLDER) if whole else [],
        "database": beside,
        "fast copy": _within(home.columnar),
        "inbox": _within(home.root / INBOX_FOLDER) if whole else alone,
        "reports": _within(home.root / PIPELINE_FOLDER) if whole else [],
    }
    rows = []
    for place, paths in places.items():
        sizes = [size for size in map(_size, paths) if size is not None]
        rows.append((place, len(sizes), sum(sizes)))
    return pl.DataFrame(rows, _SIZES, orient="row")


def _within(folder: Path) -> list[str]:
    """Return the files in a folder and its folders, FOLDER_FILES_MAX at most."""
    found: list[str] = []
    folders = [(str(folder), FOLDER_LEVELS_MAX)]
    while folders and len(found) < FOLDER_FILES_MAX:
        name, levels = folders.pop()
        with contextlib.suppress(OSError), os.scandir(name) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    found.append(entry.path)
                elif levels > 1:
                    folders.append((entry.path, levels - 1))
    return found[:FOLDER_FILES_MAX]


def _size(path: str | Path) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - many files; Path.stat is slower
    except OSError:
        return None
