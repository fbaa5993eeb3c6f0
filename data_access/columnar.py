"""The derived Parquet copy that makes reading fast; it is safe to delete at any time.

`refresh` brings it up to date and returns a snapshot: segments, the newest rows that are in no
segment yet, and what was wrong. The work is in proportion to what changed.

A segment holds rows of one table from one origin. The origin is the database, or one JSONL file
(inbox or log). Rows of the database are unique by themselves; rows of files are kept only while
no earlier origin has their event_id, and leave again when the database gets them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data_access import database
from data_access.config import settings_files
from data_access.errors import Problem, counted
from data_access.frames import empty, typed
from data_access.lines import FileReader, log_key
from data_access.manifest import KEY, Manifest, Segment
from ingest.vocabulary import SEGMENTS_FILE, TABLES, TEAM_FOLDER, parse_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from data_access.home import Home

SEGMENT_ROWS_MAX: Final = 262_144
SEGMENT_ROWS_MIN: Final = 2_000  # fewer new rows stay where they are until more have come
SEGMENTS_SMALL_MAX: Final = 12  # more small segments of one table and origin are merged into one
LAYOUT: Final = "4"  # raise it when segments of an earlier version cannot be read any more
DATABASE: Final = "database"


@dataclass(slots=True)
class Snapshot:
    """What can be read now.

    Attributes
    ----------
    segments : Parquet files by table.
    tail : rows of files that are in no segment, by table.
    database_rows : by table, the half-open id range (above, up_to] to read from SQLite itself.
    problems : what was wrong while reading.
    """

    segments: dict[str, list[Path]] = field(default_factory=lambda: {name: [] for name in TABLES})
    tail: dict[str, pl.DataFrame] = field(
        default_factory=lambda: {name: empty(name) for name in TABLES}
    )
    database_rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


_lock = threading.Lock()  # one refresh at a time in this process; the manifest guards the others


def refresh(home: Home, *, progress: Callable[[int, int], None] | None = None) -> Snapshot:
    """Bring the copy of `home` up to date and return what can be read.

    Where the copy cannot be kept, the snapshot reads the sources themselves.
    """
    with _lock:
        try:
            return _Refresh(home, progress).run()
        except (OSError, sqlite3.Error) as error:
            snapshot = _without_copy(home)
            snapshot.problems.append(
                Problem(
                    "copy",
                    str(home.columnar),
                    f"The fast copy cannot be kept here ({error}); pages are slower.",
                    "Make the folder writable, or delete it; it is rebuilt by itself.",
                )
            )
            return snapshot


def _without_copy(home: Home) -> Snapshot:
    """Return a snapshot that reads everything where it lies."""
    snapshot = Snapshot()
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
    loaded: dict[str, int] = {}
    deleted: set[str] = set()
    with contextlib.ExitStack() as open_files:
        own: sqlite3.Connection | None = None
        try:
            if home.database.exists():
                connection = database.connect(home.database)
                open_files.callback(connection.close)
                if database.is_ours(connection):
                    own, loaded = connection, _loaded_bytes(connection)
                    deleted = {key for _, _, _, key, kind in _changes(own, 0) if kind == "deleted"}
                    above = {name: (0, _max_id(own, name)) for name in TABLES}
                    snapshot.database_rows = above
                else:
                    rows, _ = database.read_old(connection, home.database.name)
        except sqlite3.Error as error:
            snapshot.problems.append(_database_problem(home, error))
        for path in [*home.inbox_files(), *home.log_files()]:
            for batch in FileReader(home, path, loaded.get(log_key(home, path), 0)).batches():
                for name in TABLES:
                    rows[name] += batch[name]
        for name in TABLES:
            frame = typed(name, rows[name]).unique(KEY[name], keep="first")
            gone = deleted | _known_to(own, name, frame[KEY[name]])
            snapshot.tail[name] = frame.filter(~pl.col(KEY[name]).is_in(list(gone)))
    return snapshot


def _known_to(own: sqlite3.Connection | None, table: str, keys: pl.Series) -> set[str]:
    """Return which of these keys our database has: a search in its index, one by one."""
    if own is None:
        return set()
    query = f"SELECT 1 FROM {TABLES[table].sql_name} WHERE {KEY[table]} = ?"
    return {key for key in keys if own.execute(query, (key,)).fetchone()}


def _changes(connection: sqlite3.Connection, seen: int) -> list[tuple[int, str, int, str, str]]:
    """Return what was deleted or updated since: seq, table, row id, key, kind."""
    return connection.execute(
        "SELECT seq, source, row_id, event_id, kind FROM telemetry_changes WHERE seq > ?", (seen,)
    ).fetchall()


def _loaded_bytes(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT path, loaded_bytes FROM telemetry_log_files"))


def _max_id(connection: sqlite3.Connection, table: str) -> int:
    row = connection.execute(f"SELECT max(id) FROM {TABLES[table].sql_name}").fetchone()
    return int(row[0] or 0)


def _database_problem(home: Home, error: sqlite3.Error) -> Problem:
    if "locked" in str(error) or "busy" in str(error):
        return Problem(
            "locked",
            str(home.database),
            "Another program holds the database; rows newer than the last visit are missing.",
            "Wait a moment and reload. If it stays, close the program that has it open.",
        )
    return Problem(
        "corrupt",
        str(home.database),
        f"SQLite cannot read the database ({error}). What was read before, the event log and the "
        "inbox are shown.",
        "Restore a backup, or move the file away and run `python -m ingest load` on the log files.",
    )


def _mark(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError:
        return "gone"
    return f"{stat.st_size}-{stat.st_mtime_ns}"


# --- one refresh -----------------------------------------------------------------------------


class _Refresh:
    """One pass over all origins of a home, inside the manifest's write lock."""

    def __init__(self, home: Home, progress: Callable[[int, int], None] | None) -> None:
        self.home = home
        self.progress = progress
        self.snapshot = Snapshot()
        self.loaded: dict[str, int] = {}
        self.untimed = 0  # rows still in SQLite whose time cannot be read
        self.own: sqlite3.Connection | None = None  # our database, while it can be asked

    def run(self) -> Snapshot:
        with contextlib.ExitStack() as open_files:
            self.manifest = Manifest(self.home.columnar)
            open_files.callback(self.manifest.close)
            if self.manifest.fact("layout") != LAYOUT or not self.manifest.is_whole():
                self._start_over()
            self._database(open_files)
            self._files()
            self._compact()
            for segment in self.manifest.segments():
                path = self.manifest.folder / segment.file
                self.snapshot.segments[segment.source].append(path)
            self.manifest.commit()
            self.manifest.sweep()
        return self.snapshot

    def _start_over(self) -> None:
        self.manifest.clear()
        self.manifest.set_fact("layout", LAYOUT)

    # -- the database --

    def _database(self, open_files: contextlib.ExitStack) -> None:
        if not self.home.database.exists():
            if self.manifest.fact("identity") or DATABASE in self.manifest.origins():
                self._start_over()
            return
        # what is remembered of it counts while it cannot be asked: locked, say
        self.loaded = json.loads(self.manifest.fact("loaded") or "{}")
        try:
            connection = database.connect(self.home.database)
            open_files.callback(connection.close)
            # one read transaction: offsets, changes and rows belong together
            connection.execute("BEGIN")
            if database.is_ours(connection):
                self._own_database(connection)
                self.own = connection
            else:
                self._old_database(connection)
        except sqlite3.DatabaseError as error:
            self.snapshot.problems.append(_database_problem(self.home, error))

    def _own_database(self, connection: sqlite3.Connection) -> None:
        identity = self._identity(connection)
        if self.manifest.fact("identity") != identity or self._went_back(connection):
            self._start_over()
            self.manifest.set_fact("identity", identity)
        self.loaded = _loaded_bytes(connection)
        self.manifest.set_fact("loaded", json.dumps(self.loaded))
        updated = self._follow_changes(connection)
        for table in TABLES:
            self._append_rows(connection, table, updated.get(table, []))
        damaged = self.manifest.fact("damaged")
        if damaged:
            error = sqlite3.DatabaseError(damaged)
            self.snapshot.problems.append(_database_problem(self.home, error))
        untimed = int(self.manifest.fact("untimed") or 0) + self.untimed
        if untimed:
            self.snapshot.problems.append(_untimed_problem(self.home, untimed))

    @staticmethod
    def _identity(connection: sqlite3.Connection) -> str:
        row = connection.execute(
            "SELECT applied_at FROM _sqlite_migrations ORDER BY rowid LIMIT 1"
        ).fetchone()
        return str(row[0]) if row else "ours"

    def _went_back(self, connection: sqlite3.Connection) -> bool:
        """Tell whether the file is an earlier state of the one copied: a restored backup."""
        for table in TABLES:
            mark = int(self.manifest.fact(f"watermark-{table}") or 0)
            highest = connection.execute(
                "SELECT seq FROM sqlite_sequence WHERE name = ?", (TABLES[table].sql_name,)
            ).fetchone()
            if mark > (int(highest[0]) if highest else 0):
                return True
        seen = int(self.manifest.fact("changes") or 0)
        last = connection.execute("SELECT max(seq) FROM telemetry_changes").fetchone()[0] or 0
        return seen > last

    def _follow_changes(self, connection: sqlite3.Connection) -> dict[str, list[int]]:
        """Take deleted and updated rows out of the segments; return the ids to read again."""
        rows = _changes(connection, int(self.manifest.fact("changes") or 0))
        if not rows:
            return {}
        self.manifest.add_deleted([key for _, _, _, key, kind in rows if kind == "deleted"])
        gone: dict[str, set[str]] = {}
        again: dict[str, set[int]] = {}
        span: dict[str, tuple[int, int]] = {}
        for _, source, row, key, kind in rows:
            gone.setdefault(source, set()).add(key)
            low, high = span.get(source, (row, row))
            span[source] = (min(low, row), max(high, row))
            if kind == "updated" and row <= int(self.manifest.fact(f"watermark-{source}") or 0):
                again.setdefault(source, set()).add(row)
        for source, keys in gone.items():
            self._remove(source, pl.Series(sorted(keys), dtype=pl.String), span[source])
        self.manifest.set_fact("changes", rows[-1][0])
        return {source: sorted(ids) for source, ids in again.items()}

    def _remove(
        self, source: str, keys: pl.Series, ids: tuple[int, int] | None, *, files_only: bool = False
    ) -> None:
        """Rewrite the segments that hold any of these keys without them."""
        for segment in self.manifest.segments(source):
            if segment.origin == DATABASE:
                out_of_reach = ids and (segment.last_id < ids[0] or segment.first_id > ids[1])
                if files_only or out_of_reach:
                    continue
            column = pl.scan_parquet(self.manifest.folder / segment.file).select(KEY[source])
            hits = column.filter(pl.col(KEY[source]).is_in(keys.implode())).collect()
            if hits.is_empty():
                continue
            kept = self.manifest.read(segment).filter(
                ~pl.col(KEY[source]).is_in(hits.to_series().implode())
            )
            self.manifest.drop(segment)
            if not kept.is_empty():
                self.manifest.add(source, segment.origin, kept, segment.first_id, segment.last_id)

    def _append_rows(self, connection: sqlite3.Connection, table: str, again: list[int]) -> None:
        mark = int(self.manifest.fact(f"watermark-{table}") or 0)
        highest = _max_id(connection, table)
        if again:
            self._reread(connection, table, again)
        if highest - mark >= SEGMENT_ROWS_MIN:
            self._make_segments(connection, table, mark, highest)
        elif highest > mark:
            self.snapshot.database_rows[table] = (mark, highest)
            sql, values = database.select(
                table, [KEY[table], TABLES[table].time_column], above=mark
            )
            rows = connection.execute(sql, values).fetchall()
            self.untimed += sum(parse_time(moment) is None for _, moment in rows)
            self._claim(table, pl.Series([key for key, _ in rows], dtype=pl.String))

    def _make_segments(
        self, connection: sqlite3.Connection, table: str, mark: int, highest: int
    ) -> None:
        """Copy rows above the mark, and move it along with every segment that is written."""
        held: list[pl.DataFrame] = []
        first = last = 0

        def flush() -> None:
            nonlocal first
            if held:
                self._flush(table, pl.concat(held), first, last)
                self.manifest.set_fact(f"watermark-{table}", last)
                held.clear()
                first = 0

        try:
            for rows in database.rows_by_id(connection, table, above=mark, up_to=highest):
                first, last = first or rows[0][0], rows[-1][0]
                # typed at once: rows as Python objects take ten times the memory of columns
                held.append(typed(table, [row[1:] for row in rows]))
                untimed = int(self.manifest.fact("untimed") or 0) + len(rows) - held[-1].height
                self.manifest.set_fact("untimed", untimed)
                if self.progress is not None:
                    self.progress(last - mark, highest - mark)
                if sum(frame.height for frame in held) >= SEGMENT_ROWS_MAX:
                    flush()
        except sqlite3.OperationalError:
            flush()  # locked, say: the rest comes with a later refresh
            raise
        except sqlite3.DatabaseError as error:
            self.manifest.set_fact("damaged", str(error))
        flush()
        self.manifest.set_fact(f"watermark-{table}", highest)

    def _flush(self, table: str, frame: pl.DataFrame, first: int, last: int) -> None:
        self._claim(table, frame[KEY[table]])
        if not frame.is_empty():
            self.manifest.add(table, DATABASE, frame, first, last)

    def _reread(self, connection: sqlite3.Connection, table: str, ids: list[int]) -> None:
        rows: list[tuple[Any, ...]] = []
        for one in ids:
            sql, values = database.select(
                table, list(TABLES[table].column_names), above=one - 1, up_to=one
            )
            rows += connection.execute(sql, values)
        frame = typed(table, rows)
        if not frame.is_empty():
            self.manifest.add(table, DATABASE, frame, ids[0], ids[-1])

    def _claim(self, table: str, keys: pl.Series) -> None:
        """Take rows the database now has out of the segments made from files."""
        if any(one.origin != DATABASE for one in self.manifest.segments(table)):
            self._remove(table, keys, None, files_only=True)

    def _old_database(self, connection: sqlite3.Connection) -> None:
        wal = self.home.database.with_name(self.home.database.name + "-wal")
        mark = f"{_mark(self.home.database)}/{_mark(wal)}"
        known = self.manifest.origins().get(DATABASE)
        if known is None or known["mark"] != mark:
            self._start_over()
            rows, refused = database.read_old(connection, self.home.database.name)
            for table, values in rows.items():
                for start in range(0, len(values), SEGMENT_ROWS_MAX):
                    frame = typed(table, values[start : start + SEGMENT_ROWS_MAX])
                    if not frame.is_empty():
                        self.manifest.add(table, DATABASE, frame, start, start + frame.height)
            self.manifest.set_origin(DATABASE, mark, refused=refused)
            known = self.manifest.origins()[DATABASE]
        if known["refused"]:
            self.snapshot.problems.append(_refused_problem(str(self.home.database), known))

    # -- files --

    def _files(self) -> None:
        self._inbox({f"inbox:{self.home.name_of(path)}": path for path in self.home.inbox_files()})
        self._logs({f"log:{log_key(self.home, path)}": path for path in self.home.log_files()})
        for origin, facts in self.manifest.origins().items():
            name = origin.partition(":")[2]
            if facts["trouble"]:
                self.snapshot.problems.append(_trouble_problem(name, facts))
            if facts["refused"] and origin != DATABASE:
                self.snapshot.problems.append(_refused_problem(name, facts))

    def _inbox(self, files: dict[str, Path]) -> None:
        known = {
            origin: facts
            for origin, facts in self.manifest.origins().items()
            if origin.startswith("inbox:")
        }
        marks = {origin: _mark(path) for origin, path in files.items()}
        if any(marks.get(origin) != facts["mark"] for origin, facts in known.items()):
            # a row kept out as a duplicate of a changed file may be due now: read all again
            for origin in known:
                self.manifest.drop_origin(origin)
            known = {}
        for origin, path in files.items():
            if origin not in known:
                self._read_file(origin, FileReader(self.home, path), mark=marks[origin])

    def _logs(self, files: dict[str, Path]) -> None:
        known = self.manifest.origins()
        for origin in known:
            if origin.startswith("log:") and origin not in files:
                self.manifest.drop_origin(origin)
        for origin, path in files.items():
            self._read_log(origin, path, known.get(origin))

    def _read_log(self, origin: str, path: Path, known: dict[str, Any] | None) -> None:
        done = int(known["mark"]) if known else 0
        start = max(self.loaded.get(log_key(self.home, path), 0), done)
        if path.suffix == ".gz":  # sealed: read once, and not again while it stays the same
            fact, mark = f"sealed-{origin}", f"{_mark(path)}/{start}"
            if self.manifest.fact(fact) == mark:
                return
            self._read_file(origin, FileReader(self.home, path, start), mark="")
            end = (self.manifest.origins().get(origin) or {"mark": start})["mark"]
            self.manifest.set_fact(fact, f"{_mark(path)}/{max(start, int(end))}")
        elif path.stat().st_size > start:
            self._read_file(origin, FileReader(self.home, path, start), mark=None)

    def _read_file(self, origin: str, reader: FileReader, *, mark: str | None) -> None:
        """Read a file on; rows become segments, or stay in memory while they are few."""
        before = self.manifest.origins().get(origin, {"refused": 0, "flagged": 0})
        lasting = mark is not None
        for batch in reader.batches():
            frames = {table: self._unseen(table, rows) for table, rows in batch.items() if rows}
            lasting = lasting or sum(frame.height for frame in frames.values()) >= SEGMENT_ROWS_MIN
            for table, frame in frames.items():
                if lasting and not frame.is_empty():
                    self.manifest.add(table, origin, frame, 0, 0)
                elif not frame.is_empty():
                    self.snapshot.tail[table] = pl.concat([self.snapshot.tail[table], frame])
            if self.progress is not None:
                self.progress(reader.end - reader.start, 0)
        facts = {
            "refused": before["refused"] + reader.refused,
            "flagged": before["flagged"] + reader.flagged,
            "trouble": reader.trouble,
        }
        if lasting:
            self.manifest.set_origin(origin, mark or str(reader.end), **facts)
        elif reader.refused:
            name = origin.partition(":")[2]
            self.snapshot.problems.append(_refused_problem(name, facts))

    def _unseen(self, table: str, rows: list[tuple[Any, ...]]) -> pl.DataFrame:
        """Return the rows no origin has yet and nobody deleted, as a frame."""
        key = KEY[table]
        frame = typed(table, rows).unique(key, keep="first", maintain_order=True)
        frame = frame.join(self.snapshot.tail[table], on=key, how="anti", maintain_order="left")
        seen = self.manifest.deleted(frame[key]) | _known_to(self.own, table, frame[key])
        seen |= self._known_to_segments(table, frame)
        return frame.filter(~pl.col(key).is_in(list(seen))) if seen else frame

    def _known_to_segments(self, table: str, frame: pl.DataFrame) -> set[str]:
        """Return which of these ids are in segments the database cannot answer for."""
        files = [
            self.manifest.folder / one.file
            for one in self.manifest.segments(table)
            if self.own is None or one.origin != DATABASE
        ]
        if not files or frame.is_empty():
            return set()
        keys = pl.scan_parquet(files).select(KEY[table])
        known = keys.filter(pl.col(KEY[table]).is_in(frame[KEY[table]].implode()))
        return set(known.collect().to_series())

    # -- upkeep --

    def _compact(self) -> None:
        """Merge small segments, so that many small arrivals do not become many files."""
        groups: dict[tuple[str, str], list[Segment]] = {}
        for segment in self.manifest.segments():
            if segment.rows < SEGMENT_ROWS_MAX // 2:
                groups.setdefault((segment.source, segment.origin), []).append(segment)
        for (source, origin), small in groups.items():
            if len(small) <= SEGMENTS_SMALL_MAX:
                continue
            held: list[Segment] = []
            for segment in sorted(small, key=lambda one: one.first_id):
                if held and sum(one.rows for one in held) + segment.rows > SEGMENT_ROWS_MAX:
                    self._merge(source, origin, held)
                    held = []
                held.append(segment)
            self._merge(source, origin, held)

    def _merge(self, source: str, origin: str, held: list[Segment]) -> None:
        if len(held) < 2:  # noqa: PLR2004 - one segment is merged already
            return
        frame = pl.concat([self.manifest.read(one) for one in held])
        first, last = min(one.first_id for one in held), max(one.last_id for one in held)
        self.manifest.add(source, origin, frame, first, last)
        for one in held:
            self.manifest.drop(one)


def _refused_problem(name: str, facts: dict[str, Any]) -> Problem:
    return Problem(
        "quarantined",
        name,
        f"{counted(facts['refused'], 'line')} of {name} could not be read: left out.",
        f"Run `python -m ingest load {name}` to see each one with its reason.",
        facts["refused"],
    )


def _untimed_problem(home: Home, count: int) -> Problem:
    return Problem(
        "flagged",
        str(home.database),
        f"{counted(count, 'row')} without a readable time: left out.",
        "Correct the timestamps in the database; the rows then appear.",
        count,
    )


def _trouble_problem(name: str, facts: dict[str, Any]) -> Problem:
    return Problem(
        "unreadable",
        name,
        f"{name} cannot be read to its end: {facts['trouble']}.",
        "Replace the file with a whole copy; what came before the fault is shown.",
    )


def fingerprint(home: Home) -> str:
    """Return a cheap value that changes when the files of a home do."""
    parts = [str(home.path)]
    watched = [
        home.database,
        home.database.with_name(home.database.name + "-wal"),
        *settings_files(home),
        home.root / TEAM_FOLDER / SEGMENTS_FILE,  # frames are cut by it; notes cut none
        *home.inbox_files(),
        *home.log_files(),
    ]
    for path in watched:
        with contextlib.suppress(OSError):
            stat = os.stat(path)  # noqa: PTH116 - thousands of log files; Path.stat is slower
            parts.append(f"{path}:{stat.st_size}:{stat.st_mtime_ns}")
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()
