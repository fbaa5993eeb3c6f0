"""Is telemetry arriving, and what was lost? The clients' own counts, the log, SQLite and the disk.

`pipeline` reads a home's state once; every function in MEASURES turns it into one small frame and
defines each of its numbers. Nothing here opens more than the named limits allow.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import polars as pl

from data_access import database
from data_access.home import Home, open_home
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
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from data_access.window import Window

__all__ = ["LOSSES", "MEASURES", "Measure", "Pipeline", "pipeline"]

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

_INSTANT: Final = pl.Datetime("ms", "UTC")
_REPORTS: Final[dict[str, Any]] = (
    {"writer": pl.String, "at": _INSTANT, "started_at": _INSTANT}
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
    "last_written": _INSTANT,
}
_STORED: Final[dict[str, Any]] = {
    "table": pl.String,
    "rows": pl.Int64,
    "oldest": _INSTANT,
    "newest": _INSTANT,
    "last_stored": _INSTANT,
}
_LINES: Final[dict[str, Any]] = {
    "file": pl.String,
    "line": pl.Int64,
    "reason": pl.String,
    "text": pl.String,
    "put_aside": _INSTANT,
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


def _within(folder: Path, *, depth: int = 3) -> list[str]:
    """Return the files in a folder and its folders, FOLDER_FILES_MAX at most."""
    found: list[str] = []
    folders = [(str(folder), depth)]
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


# --- measures --------------------------------------------------------------------------------

Compute: TypeAlias = Callable[[Pipeline, "Window"], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Measure:
    """One frame about the pipeline; the twin of `metrics.Metric` for what is no telemetry."""

    name: str
    compute: Compute

    @property
    def definition(self) -> str:
        """The docstring: the definition a reader can argue with."""
        return inspect.getdoc(self.compute) or ""

    @property
    def code(self) -> str:
        """The function's source."""
        return inspect.getsource(self.compute)

    def of(self, column: str) -> str:
        """Return what the docstring says one column is, without its type."""
        found = re.search(rf"^{column} : [^;]*; (.*(?:\n +.*)*)", self.definition, re.MULTILINE)
        return " ".join(found[1].split()) if found else ""


def _lost() -> pl.Expr:
    return pl.sum_horizontal(*LOSSES)


def _changes(reports: pl.DataFrame) -> pl.DataFrame:
    """Return each report's counters as the difference to the same writer's report before."""

    def moved(name: str) -> pl.Expr:
        here = pl.col(name)
        step = here - here.shift(1, fill_value=0).over("writer")
        return pl.when(step < 0).then(here).otherwise(step).alias(name)

    ordered = reports.sort("writer", "at")
    return ordered.with_columns(moved(name) for name in (*COUNTERS, *LOSSES))


def _inside(state: Pipeline, window: Window) -> pl.DataFrame:
    return _changes(state.reports).filter(window.contains("at"))


def pipeline_totals(state: Pipeline, window: Window) -> pl.DataFrame:
    """Count what became of everything the product said, in one row.

    Definition
    ----------
    Clients count for themselves and report every half a minute, cumulatively; a day's number is the
    difference between reports. What a process that was killed had in its memory is counted by
    nobody: up to half a minute of reports, and what was not in the log yet.

    Source
    ------
    reports : the files in the folder `pipeline`, one line per report.

    Columns
    -------
    writers : Int64, count; processes that reported in the period.
    said : Int64, count; written, lost, left out by sampling and merged ones together.
    written : Int64, count; records that reached the log in the period. From then on they are safe.
    lost : Int64, count; what the product said and the log never got, for any reason.
    sampled_out : Int64, count; successes left out on purpose. The kept ones carry a weight, so the
        pages count the left out ones too and say "about".
    merged : Int64, count; repeats of an error, and turns of a session, that share another one's
        record; its `occurrences` counts them.
    flagged : Int64, count; values, not records, that were left out because they may not be kept.
    lost_after : Int64, count; lost after the end of the period, up to now.
    written_after : Int64, count; written after the end of the period, up to now.
    waiting_lines : Int64, count; lines that are safe in the log and not in SQLite yet, now. The
        pages show them already. Null when SQLite cannot be asked or there are too many to count.
    waiting_bytes : Int64, bytes; the same in bytes.
    rows : Int64, count; rows in SQLite's tables, now. Null when it cannot be asked.
    last_written : Datetime, UTC; when the log was last written to.
    not_storing : Int64, count; writers whose last report says that SQLite did not take their rows.
    storing : String; what SQLite said to the last of them; null when there is none.
    last_report : Datetime, UTC; when a client last reported; null when none ever did.
    skipped : Int64, count; lines of report files that are torn or no report.
    kind : String; "home", "file" (a single file, which has no pipeline) or "old" (an older
        system's database).
    trouble : String; what could not be read; null when all could.
    """
    changes = _changes(state.reports)
    inside = changes.filter(window.contains("at"))
    after = changes.filter(~window.before("at"))
    sums = inside.select(
        pl.col("writer").n_unique().cast(pl.Int64).alias("writers"),
        *(pl.col(name).sum() for name in COUNTERS),
        _lost().sum().cast(pl.Int64).alias("lost"),
    )
    latest = state.reports.sort("at").group_by("writer", maintain_order=True).last()
    refused = latest.sort("at")["storing"].drop_nulls()
    return sums.select(
        "writers",
        pl.sum_horizontal("written", "lost", "sampled_out", "merged").alias("said"),
        "written",
        "lost",
        "sampled_out",
        "merged",
        "flagged",
        pl.lit(after.select(_lost().sum()).item(), pl.Int64).alias("lost_after"),
        pl.lit(after["written"].sum(), pl.Int64).alias("written_after"),
        pl.lit(_whole_sum(state.files["waiting_lines"]), pl.Int64).alias("waiting_lines"),
        pl.lit(_whole_sum(state.files["waiting_bytes"]), pl.Int64).alias("waiting_bytes"),
        pl.lit(_rows_stored(state), pl.Int64).alias("rows"),
        pl.lit(state.files["last_written"].max(), _INSTANT).alias("last_written"),
        pl.lit(len(refused), pl.Int64).alias("not_storing"),
        pl.lit(refused[-1] if len(refused) else None, pl.String).alias("storing"),
        pl.lit(state.reports["at"].max(), _INSTANT).alias("last_report"),
        pl.lit(state.skipped, pl.Int64).alias("skipped"),
        pl.lit(state.kind, pl.String).alias("kind"),
        pl.lit(" ".join(state.troubles) or None, pl.String).alias("trouble"),
    )


def _rows_stored(state: Pipeline) -> int | None:
    is_told = state.stored.height or not (state.troubles or state.kind == "old")
    return _whole_sum(state.stored["rows"]) if is_told else None


def _whole_sum(values: pl.Series) -> int | None:
    """Return the sum, or None when a part of it is not known."""
    return None if values.null_count() else int(values.sum())


def pipeline_by_day(state: Pipeline, window: Window) -> pl.DataFrame:
    """Count what clients wrote, left out and lost per day.

    Definition
    ----------
    A report counts on the day it was written, in the window's timezone; a process that runs over
    midnight counts on both days with what it added on each.

    Source
    ------
    reports : the files in the folder `pipeline`, one line per report.

    Columns
    -------
    period : Date; the day, quiet ones included.
    written : Int64, count; records that reached the log.
    sampled_out : Int64, count; left out by sampling, on purpose.
    merged : Int64, count; repeats that share another one's record.
    flagged : Int64, count; values left out of records.
    lost : Int64, count; lost for any reason.
    complete : Boolean; whether the day ended inside the window.
    """
    per_day = (
        _inside(state, window)
        .group_by(window.day("at").alias("period"))
        .agg(
            *(pl.col(name).sum() for name in COUNTERS),
            _lost().sum().cast(pl.Int64).alias("lost"),
        )
    )
    days = window.calendar().collect().join(per_day, on="period", how="left")
    return days.select(
        "period",
        *(pl.col(name).fill_null(0) for name in (*COUNTERS, "lost")),
        "complete",
    ).sort("period")


def pipeline_losses(state: Pipeline, window: Window) -> pl.DataFrame:
    """Count what was lost per day, by reason.

    Definition
    ----------
    Every loss has exactly one reason out of a closed set. It counts on the day of the report that
    first tells of it; while a disk is full, that may be later than the loss.

    Source
    ------
    reports : the files in the folder `pipeline`, one line per report.

    Columns
    -------
    period : Date; the day, quiet ones included.
    buffer_full, disk_full, log_unwritable, writer_dead, unserializable, invalid, closed,
    left_at_close, rollup_full, error_keys_full, consent_withdrawn, failed, other : Int64, count;
        lost for this reason. The table of reasons says what each one means.
    """
    per_day = (
        _inside(state, window)
        .group_by(window.day("at").alias("period"))
        .agg(pl.col(name).sum() for name in LOSSES)
    )
    days = window.calendar().collect().join(per_day, on="period", how="left")
    return days.select("period", *(pl.col(name).fill_null(0) for name in LOSSES)).sort("period")


def pipeline_reasons(state: Pipeline, window: Window) -> pl.DataFrame:
    """Why records were lost in the period, most first.

    Source
    ------
    reports : the files in the folder `pipeline`, one line per report.

    Columns
    -------
    reason : String; the code word, as in `client.stats()`.
    records : Int64, count; what was lost for it.
    meaning : String; what happened.
    what_to_do : String; what helps.
    last_at : Datetime, UTC; the last report that added to it.
    """
    inside = _inside(state, window)
    rows = [
        (name, int(inside[name].sum()), *words, inside.filter(pl.col(name) > 0)["at"].max())
        for name, words in LOSSES.items()
    ]
    schema = {"reason": pl.String, "records": pl.Int64, "meaning": pl.String}
    schema |= {"what_to_do": pl.String, "last_at": _INSTANT}  # type: ignore[dict-item]
    frame = pl.DataFrame([row for row in rows if row[1]], schema, orient="row")
    return frame.sort("records", "reason", descending=[True, False])


def pipeline_writers(state: Pipeline, window: Window) -> pl.DataFrame:
    """List the processes that reported in the period, the last to report first.

    Definition
    ----------
    A writer is one client in one process. It reports when its counts changed, so silence may mean
    that nothing happened. Counts are those of the period; the rest is its last report's.

    Source
    ------
    reports : the files in the folder `pipeline`, one line per report.

    Columns
    -------
    writer : String; process id and a random part, as in the names of its log files.
    channel : String; where in the product.
    release : String; the product's version.
    started_at : Datetime, UTC; when it said something for the first time.
    last_report : Datetime, UTC; its last report in the period.
    written : Int64, count; records that reached the log.
    sampled_out : Int64, count; left out by sampling.
    merged : Int64, count; repeats that share another one's record.
    flagged : Int64, count; values left out of records.
    lost : Int64, count; lost for any reason.
    buffered : Int64, count; said and not in the log yet, at the last report.
    held : Int64, count; errors and turns that wait for the record they will share, at that time.
    faults : Int64, count; exceptions of our own code that were stopped, since it started.
    storing : String; why SQLite did not take its rows, at the last report; null when it did.
    problems : String; settings it could not use.
    """
    latest = ("channel", "release", *GAUGES, "storing", "problems")
    return (
        _inside(state, window)
        .sort("at")
        .group_by("writer", maintain_order=True)
        .agg(
            *(pl.col(name).last() for name in latest),
            pl.col("started_at").first(),
            pl.col("at").last().alias("last_report"),
            *(pl.col(name).sum() for name in COUNTERS),
            _lost().sum().cast(pl.Int64).alias("lost"),
        )
        .select(
            *("writer", "channel", "release", "started_at", "last_report"),
            *(*COUNTERS, "lost", "buffered", "held", "faults", "storing", "problems"),
        )
        .sort("last_report", "writer", descending=[True, False])
    )


def pipeline_files(state: Pipeline, _window: Window) -> pl.DataFrame:
    """List the files of the event log, now: those with lines to store first, then the newest.

    Source
    ------
    log : the files in the folder `log`, and how far SQLite has read each.

    Columns
    -------
    file : String; its path in the home.
    day : Date; the day it is for, UTC.
    bytes : Int64, bytes; its size on disk.
    stored_bytes : Int64, bytes; how much of it, unpacked, is in SQLite. Null when SQLite cannot be
        asked.
    waiting_bytes : Int64, bytes; the rest of it.
    waiting_lines : Int64, count; the lines of the rest. Null when it is compressed, or when there
        are more than 64 MB of them.
    last_written : Datetime, UTC; when it last changed.
    """
    return state.files


def pipeline_stored(state: Pipeline, _window: Window) -> pl.DataFrame:
    """Say what SQLite holds, now.

    Source
    ------
    database : telemetry.db.

    Columns
    -------
    table : String; events, errors, traces or sessions.
    rows : Int64, count; its rows. Null when they cannot be counted.
    oldest : Datetime, UTC; the earliest time a row tells.
    newest : Datetime, UTC; the latest time a row tells.
    last_stored : Datetime, UTC; when the last row came in.
    """
    return state.stored


def pipeline_sizes(state: Pipeline, _window: Window) -> pl.DataFrame:
    """How much room the home takes on disk, now.

    Source
    ------
    disk : the home's own folders. The fast copy can be deleted at any time; it is made again.

    Columns
    -------
    place : String; log, database, fast copy, inbox or reports.
    files : Int64, count; files in it, 50,000 at most.
    bytes : Int64, bytes; their sizes.
    """
    return state.sizes


def pipeline_quarantine(state: Pipeline, _window: Window) -> pl.DataFrame:
    """Why lines were put aside instead of becoming rows, most first; all there are, now.

    Definition
    ----------
    A line is put aside only when its JSON, its time, its event name or its user cannot be read. Any
    other wrong value is left out of its row and flagged.

    Source
    ------
    database : the table telemetry_quarantine.

    Columns
    -------
    reason : String; what is wrong, without what differs from line to line.
    lines : Int64, count; lines put aside for it.
    files : Int64, count; files they are in.
    what_to_do : String; what helps.
    """
    return state.reasons


def pipeline_lines(state: Pipeline, _window: Window) -> pl.DataFrame:
    """List the lines that were put aside, newest first, 1,000 at most.

    Source
    ------
    database : the table telemetry_quarantine.

    Columns
    -------
    file : String; where the line is.
    line : Int64; its number; in a file of the log, the byte it begins at.
    reason : String; what is wrong with it.
    text : String; its first 2 KB, redacted.
    put_aside : Datetime, UTC; when.
    """
    return state.quarantine


def pipeline_flags(state: Pipeline, _window: Window) -> pl.DataFrame:
    """Values that were left out of otherwise good rows when files were loaded, most first.

    Source
    ------
    database : the table telemetry_flags.

    Columns
    -------
    file : String; the file that was loaded.
    field : String; what was left out, or is unusual.
    rows : Int64, count; in so many of its rows.
    """
    return state.flags


def _listed(functions: Iterable[Compute]) -> dict[str, Measure]:
    return {one.__name__: Measure(one.__name__, one) for one in functions}


MEASURES: Final[dict[str, Measure]] = _listed(
    (
        pipeline_totals,
        pipeline_by_day,
        pipeline_losses,
        pipeline_reasons,
        pipeline_writers,
        pipeline_files,
        pipeline_stored,
        pipeline_sizes,
        pipeline_quarantine,
        pipeline_lines,
        pipeline_flags,
    )
)
