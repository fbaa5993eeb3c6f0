"""Keeps the event log small: old days are compressed, and removed once SQLite has all of them.

Retention is for the log, not for the data: every row stays in telemetry.db. Nothing is removed that
SQLite does not hold whole and safe on the disk, and a crash at any step loses and doubles nothing.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import sqlite3
import tempfile
import zlib
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ingest.migrate import BUSY_TIMEOUT_S, OldDatabase, is_old, open_database
from ingest.vocabulary import DATABASE_FILE, LOG_FOLDER, PIPELINE_FOLDER, is_gzip
from ingest.writer import loaded_bytes, replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedWriter

    from ingest.settings import IngestSettings

FILES_MAX: Final = 100_000  # in one run, oldest day first
KEPT_SHOWN_MAX: Final = 20
COPY_BYTES: Final = 1024 * 1024
ALIVE_DAYS: Final = 1  # a file of today or yesterday may still be written to
_PARTIAL: Final = ".partial"
_PACKED: Final = ".gz"
_TRAILER_BYTES: Final = 4  # a gzip file ends with the length of what was packed
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(slots=True)
class RetainSummary:
    """What one run did, or with `dry_run` would do.

    Attributes
    ----------
    replayed : rows that came into SQLite from the log first.
    compressed, removed, pruned : log files compressed and removed, pipeline files removed.
    kept : log files old enough to be removed that are not fully loaded; `reasons` names the first.
    freed_bytes : what the disk got back.
    problems : what else went wrong, each with what to do.
    trouble : why the database could not be used; then no log file was removed.
    """

    replayed: int = 0
    compressed: int = 0
    removed: int = 0
    pruned: int = 0
    kept: int = 0
    freed_bytes: int = 0
    reasons: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    trouble: str = ""

    def keep(self, name: str, reason: str) -> None:
        """Count a file that stays although it is old enough to go."""
        self.kept += 1
        if len(self.reasons) < KEPT_SHOWN_MAX:
            self.reasons.append(f"{name}: {reason}")


@dataclass(frozen=True, slots=True)
class _LogFile:
    """One log file and the age of its day."""

    path: Path
    name: str  # the way telemetry_log_files spells it
    age_days: int

    @property
    def is_packed(self) -> bool:
        return self.path.suffix == _PACKED


def retain(
    home: Path,
    *,
    today: date,
    settings: IngestSettings,
    dry_run: bool = False,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    progress: Callable[[int, int], None] | None = None,
) -> RetainSummary:
    """Load what SQLite has not seen, then compress and remove the old files of the log.

    Parameters
    ----------
    home : the telemetry home.
    today : the day in UTC; a file of today or yesterday is never touched.
    settings : how many days until compression and until removal.
    dry_run : change nothing, and return what a run would do, as far as that can be known.
    busy_timeout_s : how long to wait for a database somebody else is writing to.
    progress : called after each log file with files done and files in all.
    """
    summary = RetainSummary()
    files = _log_files(home, today, summary)
    if dry_run:
        _plan(home, files, settings, summary)
    else:
        _sweep_partials(home, today)
        try:
            if files:
                opened = open_database(home / DATABASE_FILE, timeout_s=busy_timeout_s)
                with closing(opened) as connection:
                    _Run(home, connection, settings, summary, progress).run(files)
        except (sqlite3.Error, OldDatabase) as error:
            summary.trouble = str(error)
        _remove_empty_folders(home, today, settings)
    _prune_pipeline(home, today, settings, summary, dry_run=dry_run)
    return summary


# --- what there is ---------------------------------------------------------------------------


def _day_of(name: str) -> date | None:
    try:
        return date.fromisoformat(name) if _DAY.fullmatch(name) else None
    except ValueError:
        return None


def _day_folders(home: Path, today: date) -> Iterator[tuple[Path, int]]:
    """Yield the folders of the log that are named for a day, oldest first, and their age."""
    log = home / LOG_FOLDER
    for folder in sorted(log.iterdir()) if log.is_dir() else ():
        day = _day_of(folder.name)
        if day is not None and folder.is_dir():
            yield folder, (today - day).days


def _log_files(home: Path, today: date, summary: RetainSummary) -> list[_LogFile]:
    found: list[_LogFile] = []
    for folder, age in _day_folders(home, today):
        try:
            paths = sorted(folder.iterdir())
        except OSError as error:
            summary.problems.append(_failed(folder, "read", error))
            continue
        for path in paths:
            name = path.relative_to(home).as_posix()
            if not name.endswith((".jsonl", ".jsonl.gz")) or path.is_symlink():
                continue
            if len(found) == FILES_MAX:
                summary.problems.append(
                    f"The log has more than {FILES_MAX:,} files. Run the command again for the "
                    "rest."
                )
                return found
            found.append(_LogFile(path, name.removesuffix(_PACKED), age))
    return found


def _failed(path: Path, what: str, error: OSError) -> str:
    return (
        f"{path} could not be {what} ({error.strerror or error}). It is left as it was; look at "
        "its rights and at the disk, and run the command again."
    )


# --- what is due -----------------------------------------------------------------------------


def _may_be_touched(file: _LogFile) -> bool:
    return file.age_days > ALIVE_DAYS


def _is_due(file: _LogFile, after_days: int) -> bool:
    return _may_be_touched(file) and file.age_days > after_days


def _is_loaded(file: _LogFile, loaded: int) -> bool:
    """Tell whether every byte of a log file is in SQLite; unpacks it only in doubt."""
    with file.path.open("rb") as log:
        packed = file.is_packed and is_gzip(log.peek(2))
    size = file.path.stat().st_size
    if not packed:
        return size == loaded
    with file.path.open("rb") as log:
        log.seek(-_TRAILER_BYTES, os.SEEK_END)
        trailer = int.from_bytes(log.read(_TRAILER_BYTES), "little")
    return trailer == loaded % 2**32 or _unpacked_length(file.path) == loaded


def _unpacked_length(path: Path) -> int | None:
    """Return how many bytes a gzip file of any number of parts holds, or None when it breaks."""
    length = 0
    try:
        with gzip.open(path) as log:
            while chunk := log.read(COPY_BYTES):
                length += len(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return None
    return length


# --- a dry run -------------------------------------------------------------------------------


def _plan(
    home: Path, files: list[_LogFile], settings: IngestSettings, summary: RetainSummary
) -> None:
    """Fill the summary with what a run would do, reading the database without changing it."""
    try:
        with closing(_open_unchanged(home / DATABASE_FILE)) as connection:
            if is_old(connection):
                summary.trouble = "it holds an older system's tables"
                return
            for file in files:
                try:
                    _plan_file(connection, file, settings, summary)
                except OSError as error:
                    summary.problems.append(_failed(file.path, "read", error))
    except sqlite3.Error as error:
        summary.trouble = str(error)


def _open_unchanged(path: Path) -> sqlite3.Connection:
    if not path.exists():
        return sqlite3.connect(":memory:")
    # as in ingest.migrate: a connection that may only read leaves a -wal behind where none was
    mode = "ro" if path.with_name(f"{path.name}-wal").exists() else "rw"
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True)


def _plan_file(
    connection: sqlite3.Connection, file: _LogFile, settings: IngestSettings, summary: RetainSummary
) -> None:
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'telemetry_log_files'")
    loaded = loaded_bytes(connection, file.name) if known.fetchone() else 0
    if _is_due(file, settings.remove_after_days):
        if _is_loaded(file, loaded):
            summary.removed += 1
            summary.freed_bytes += file.path.stat().st_size
        else:
            summary.keep(file.name, "its lines would be loaded first; it goes if all of them can")
    elif _is_due(file, settings.compress_after_days) and not file.is_packed:
        summary.compressed += 1


# --- a run -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Run:
    """One run over the log with the database open."""

    home: Path
    connection: sqlite3.Connection
    settings: IngestSettings
    summary: RetainSummary
    progress: Callable[[int, int], None] | None

    def run(self, files: list[_LogFile]) -> None:
        odd = {file.name for file in files if self.is_at_odds(file)}
        files = [file for file in files if file.name not in odd]
        for file in files:  # all first: a fault of the database then finds every file as it was
            self.replay(file)
        loaded = []
        for done, file in enumerate(files, 1):
            kept = self.compress(file)
            if kept is not None and _is_due(kept, self.settings.remove_after_days):
                if self.is_loaded(kept):
                    loaded.append(kept)
                else:
                    self.summary.keep(kept.name, self.why_not_loaded(kept))
            if self.progress is not None:
                self.progress(done, len(files))
        if loaded and self.rows_are_safe():
            for file in loaded:
                self.remove(file)

    def is_at_odds(self, file: _LogFile) -> bool:
        """Tell whether a plain file has a compressed one beside it that holds other lines."""
        packed = _packed_path(file.path)
        try:
            if file.is_packed or not packed.exists() or _is_beginning_of(packed, file.path):
                return False
        except OSError as error:
            self.summary.problems.append(_failed(file.path, "read", error))
            return True
        self.summary.problems.append(
            f"{file.path} and {packed.name} hold different lines; both are left as they were. "
            "Rename one of them, and run the command again."
        )
        return True

    def replay(self, file: _LogFile) -> None:
        try:
            self.summary.replayed += replay(self.connection, self.home, file.path)
        except OSError as error:
            self.summary.problems.append(_failed(file.path, "read", error))

    def is_loaded(self, file: _LogFile) -> bool:
        try:
            return _is_loaded(file, loaded_bytes(self.connection, file.name))
        except OSError:
            return False  # said when it was replayed

    def why_not_loaded(self, file: _LogFile) -> str:
        loaded = loaded_bytes(self.connection, file.name)
        return (
            f"SQLite has {loaded:,} bytes of it and it cannot be read on from there. Replace it "
            "with a whole copy, or delete it to give up the rest."
        )

    def compress(self, file: _LogFile) -> _LogFile | None:
        """Compress a file when it is due and return what is there now; None when it is gone."""
        try:
            if not self.should_be_packed(file):
                return file
            freed = _pack_in_place(file.path)
        except FileNotFoundError:
            return None  # another run was faster
        except OSError as error:
            self.summary.problems.append(_failed(file.path, "compressed", error))
            return file
        self.summary.compressed += 1
        self.summary.freed_bytes += freed
        packed = _LogFile(_packed_path(file.path), file.name, file.age_days)
        self.replay(packed)
        return packed

    def should_be_packed(self, file: _LogFile) -> bool:
        """Tell whether to compress a file.

        A plain file that is due for removal goes without it, unless its last line is torn: only
        a compressed file is finished, and the torn line then goes into quarantine.
        """
        if file.is_packed or file.path.stat().st_size == 0:
            return False
        if _is_due(file, self.settings.remove_after_days):
            return not self.is_loaded(file)
        return _is_due(file, self.settings.compress_after_days)

    def rows_are_safe(self) -> bool:
        """Tell whether the rows are whole and on the disk itself, so that the log may go."""
        try:
            [(verdict,)] = self.connection.execute("PRAGMA quick_check(1)").fetchall()
            busy, _, _ = self.connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        except sqlite3.DatabaseError as error:
            verdict, busy = str(error), False
        if verdict != "ok":
            self.summary.trouble = f"it is damaged: {verdict}"
        elif busy:
            self.summary.trouble = "another program is using it"
        return not self.summary.trouble

    def remove(self, file: _LogFile) -> None:
        try:
            size = file.path.stat().st_size
            file.path.unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            self.summary.problems.append(_failed(file.path, "removed", error))
            return
        self.summary.removed += 1
        self.summary.freed_bytes += size


# --- compressing one file --------------------------------------------------------------------


def _packed_path(path: Path) -> Path:
    return path.with_name(path.name + _PACKED)


def _pack_in_place(path: Path) -> int:
    """Replace a file by its compressed self, and return the bytes freed.

    The compressed file is on the disk under its name before the plain one goes. In between both
    are there, which readers take for one file: they share the name without .gz, and the offsets.
    A compressed file that is there already, of a run that was cut off, is made anew.

    Raises
    ------
    OSError : when the disk is full, a file is not ours, or the plain file has grown meanwhile.
    """
    packed = _packed_path(path)
    descriptor, made = tempfile.mkstemp(_PARTIAL, f"{packed.name}.", path.parent)  # 0600, as a log
    try:
        with os.fdopen(descriptor, "wb") as file:
            size = _pack(path, file)
        if path.stat().st_size != size:
            raise OSError("somebody is still writing to it")
        Path(made).replace(packed)
        _sync_folder(path.parent)
        freed = size - packed.stat().st_size
        path.unlink(missing_ok=True)
    finally:
        Path(made).unlink(missing_ok=True)
    return freed


def _pack(path: Path, file: BufferedWriter) -> int:
    """Compress a file into an open one, down to the disk, and return how long it was."""
    with (
        path.open("rb") as plain,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packer,
    ):
        shutil.copyfileobj(plain, packer, COPY_BYTES)
        size = plain.tell()
    file.flush()
    os.fsync(file.fileno())
    return size


def _is_beginning_of(packed: Path, path: Path) -> bool:
    """Tell whether a plain file holds all that can be read of a compressed one."""
    try:
        with gzip.open(packed) as log, path.open("rb") as plain:
            while chunk := log.read1(COPY_BYTES):  # `read` drops what precedes a break
                if plain.read(len(chunk)) != chunk:
                    return False
    except (EOFError, zlib.error, gzip.BadGzipFile):
        pass  # it breaks off; what came before is in the plain file too
    return True


def _sync_folder(folder: Path) -> None:
    """Bring a new name in a folder down to the disk, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- tidying up ------------------------------------------------------------------------------


def _sweep_partials(home: Path, today: date) -> None:
    """Remove what a run that was cut off had begun to compress."""
    for folder, _ in _day_folders(home, today):
        for path in folder.glob(f"*.jsonl{_PACKED}.*{_PARTIAL}"):
            with suppress(OSError):
                path.unlink()


def _remove_empty_folders(home: Path, today: date, settings: IngestSettings) -> None:
    for folder, age in _day_folders(home, today):
        if age > max(ALIVE_DAYS, settings.remove_after_days):
            with suppress(OSError):  # not empty, or not ours
                folder.rmdir()


def _prune_pipeline(
    home: Path, today: date, settings: IngestSettings, summary: RetainSummary, *, dry_run: bool
) -> None:
    """Remove the clients' own counters of days that are past keeping."""
    for path in sorted((home / PIPELINE_FOLDER).glob("*.jsonl")):
        day = _day_of(path.stem)
        if day is None or (today - day).days <= max(ALIVE_DAYS, settings.remove_after_days):
            continue
        try:
            size = path.stat().st_size
            if not dry_run:
                path.unlink()
        except OSError as error:
            summary.problems.append(_failed(path, "removed", error))
            continue
        summary.pruned += 1
        summary.freed_bytes += size
