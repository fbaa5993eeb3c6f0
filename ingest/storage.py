"""The older system's storage: saves one record at a time, and finds saved ones by filters.

Saving goes through the same scrubbing and the same log as `ingest.Client`, but in the caller's
thread. Reading opens telemetry.db read-only and changes nothing.
"""

from __future__ import annotations

import atexit
import os
import random
import sqlite3
import threading
import time
from collections import OrderedDict
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from ingest import scrub
from ingest.boundary import Boundary
from ingest.client import HOME_DEFAULT, HOME_VARIABLE, STRICT_VARIABLE
from ingest.consent import resolve
from ingest.counts import Counts
from ingest.ids import Uuid7
from ingest.migrate import OldDatabase, is_old
from ingest.older import flush_known
from ingest.prepare import Preparer
from ingest.said import WHO_SAID, ErrorSaid, EventSaid, TraceSaid
from ingest.salt import home_salt, read_salt
from ingest.settings import read_settings
from ingest.vocabulary import (
    ALIASES,
    BRANCH_CREATE_NAMES,
    CHANNEL_ALIASES,
    DATABASE_FILE,
    TABLES,
    ChannelType,
    CortexEventName,
    parse_json,
    parse_time,
    pseudonym,
    standard_name,
)
from ingest.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ingest.events import Error, Event, Trace
    from ingest.older import TelemetryError, TelemetryEvent, TelemetryTrace
    from ingest.said import WhoSaid
    from ingest.vocabulary import Row

__all__ = ["ROWS_MAX", "TelemetryStorage"]

ROWS_MAX: Final = 10_000  # in one answer; `offset` pages on
READ_FLUSH_S: Final = 2.0  # a read waits this long for what this process just said
READ_TIMEOUT_S: Final = 2.0  # and this long for a database somebody holds
SAVE_WAIT_S: Final = 5.0  # for another thread that is saving
FORK_WAIT_S: Final = 1.0
WRITERS_MAX: Final = 8  # homes this process saves into at the same time

_SERVER: Final = ChannelType.SERVER.value
_OLD_SERVER: Final = "mcp"  # what the oldest system called the server


class TelemetryStorage:
    """Saves and finds the records of one telemetry home.

    Parameters
    ----------
    home : the telemetry home; $TELEMETRY_HOME or ./telemetry when not given.
    environ : the environment to read settings from.
    now : the clock, in seconds since 1970.
    """

    def __init__(
        self,
        home: str | Path | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.home = Path(home or environ.get(HOME_VARIABLE) or HOME_DEFAULT).absolute()
        self._environ = environ
        self._now = now
        self._boundary = Boundary(strict=environ.get(STRICT_VARIABLE) == "1")
        self._preparer: Preparer | None = None

    # --- saving ---

    def save_event(self, event: TelemetryEvent) -> bool:
        """Save an event, and the error inside it; return whether it is safe on disk.

        It is in the log when this returns True, and in SQLite unless somebody holds the database.
        With telemetry off nothing is written.
        """
        return self._save(event)

    def save_error(self, error: TelemetryError) -> bool:
        """Save an error, on its own row; return as `save_event` does."""
        return self._save(error)

    def save_trace(self, trace: TelemetryTrace) -> bool:
        """Save a trace; return as `save_event` does."""
        return self._save(trace)

    def _save(self, said: TelemetryEvent | TelemetryError | TelemetryTrace) -> bool:
        with self._boundary:
            consent = resolve(self._environ, self.home)
            records = said.to_records() if consent.enabled else []
            allowed = [one for one in records if one.kind != "errors" or consent.errors]
            if not allowed:
                return False
            with _writers.of(self.home, self._now) as writer:
                rows = [row for row in map(self._row, allowed) if row is not None]
                writer.write(rows)
            return len(rows) == len(allowed)
        return False

    def _row(self, record: Event | Error | Trace) -> Row | None:
        preparer = self._preparer = self._preparer or self._prepared()
        values = record.to_record()
        who = cast("WhoSaid", tuple([values.pop(name, None) for name in WHO_SAID]))
        at_s = self._now()
        if record.kind == "events":
            return preparer.event(EventSaid(at_s, who=who, **values))
        if record.kind == "traces":
            return preparer.trace(TraceSaid(at_s, who=who, **values))
        return preparer.error_row(preparer.error(ErrorSaid(at_s, who=who, **values)))

    def _prepared(self) -> Preparer:
        return Preparer(
            salt=home_salt(self.home, self._environ),
            new_id=Uuid7(random.SystemRandom().getrandbits),
            counts=Counts(),
            allow=read_settings(self.home).metadata,
            channel=_SERVER,
            release=None,
        )

    # --- finding ---

    def get_events(  # noqa: PLR0917 - the older signature
        self,
        service: str | None = None,
        user_tier: str | None = None,
        event_type: str | None = None,
        project_id: str | None = None,
        start_date: date | str | None = None,
        end_date: date | str | None = None,
        user_id_hash: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """Return events, newest first, what this process just tracked included.

        Each has the columns of `telemetry_events` with `metadata` as a dict, and beside them
        `source_name` (the name as written; `event_name` is the standard one) and the oldest
        system's `service`, `event_type` (as written), `tool_name` and `event_data`.

        Parameters
        ----------
        service : mcp (or server), extension, web.
        user_tier : free, trial, paid, enterprise.
        event_type : the name as written, its standard name, or an alias of that.
        project_id, user_id_hash : as they were given when the event was tracked.
        start_date, end_date : a date, a datetime (UTC when it says no zone) or ISO 8601 text. The
            start is included. An end that is a date includes that whole UTC day; one with a time
            of day is not included itself.
        limit, offset : at most `ROWS_MAX` rows at a time.

        Raises
        ------
        ValueError : a date cannot be read.
        OldDatabase : the home still holds an older system's tables.
        sqlite3.Error : the database is corrupt, or held by somebody for too long.
        """
        where = _Where(self._salt())
        where.name(event_type)
        where.who(service, user_tier, project_id, user_id_hash)
        where.between(start_date, end_date)
        return [_event(row) for row in self._select("events", where, limit, offset)]

    def get_errors(  # noqa: PLR0917 - the older signature
        self,
        service: str | None = None,
        user_tier: str | None = None,
        error_type: str | None = None,
        project_id: str | None = None,
        start_date: date | str | None = None,
        end_date: date | str | None = None,
        user_id_hash: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """Return errors, newest first: the columns of `telemetry_errors`, and `service`.

        Parameters and what it raises as for `get_events`; `error_type` as it was given. Equal
        errors of a minute are one row with their `occurrences`.
        """
        return self._find(
            "errors",
            {"error_type": error_type},
            (service, user_tier, project_id, user_id_hash),
            (start_date, end_date),
            (limit, offset),
        )

    def get_traces(  # noqa: PLR0917 - the older signature
        self,
        service: str | None = None,
        user_tier: str | None = None,
        operation_name: str | None = None,
        project_id: str | None = None,
        start_date: date | str | None = None,
        end_date: date | str | None = None,
        user_id_hash: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """Return traces, newest first: the columns of `telemetry_traces`, and `service`.

        Parameters and what it raises as for `get_events`; `operation_name` as it was given.
        """
        return self._find(
            "traces",
            {"operation_name": operation_name},
            (service, user_tier, project_id, user_id_hash),
            (start_date, end_date),
            (limit, offset),
        )

    def _find(
        self,
        table: str,
        equal: dict[str, str | None],
        who: tuple[str | None, str | None, str | None, str | None],
        between: tuple[date | str | None, date | str | None],
        page: tuple[int, int],
    ) -> list[dict[str, Any]]:
        where = _Where(self._salt())
        for column, value in equal.items():
            where.one_of(column, value)
        where.who(*who)
        where.between(*between)
        return [_common(row) for row in self._select(table, where, *page)]

    def _salt(self) -> bytes:
        return read_salt(self.home, self._environ)

    def _select(self, table: str, where: _Where, limit: int, offset: int) -> list[dict[str, Any]]:
        flush_known(self.home, READ_FLUSH_S)
        path = self.home / DATABASE_FILE
        if not path.exists():
            return []
        names = TABLES[table].column_names
        query = (
            f"SELECT {', '.join(names)} FROM {TABLES[table].sql_name}{where.sql} "
            "ORDER BY timestamp DESC, id DESC LIMIT ? OFFSET ?"
        )
        page = (max(0, min(int(limit), ROWS_MAX)), int(offset))
        with closing(_opened(path)) as connection:
            if not _is_there(connection, table, path):
                return []
            found = connection.execute(query, (*where.values, *page)).fetchall()
        return [dict(zip(names, row, strict=True)) for row in found]


# --- the question -----------------------------------------------------------------------------


class _Where:
    """The conditions of one question; every value is a parameter."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self._conditions: list[str] = []
        self.values: list[object] = []

    @property
    def sql(self) -> str:
        return f" WHERE {' AND '.join(self._conditions)}" if self._conditions else ""

    def add(self, condition: str, *values: object) -> None:
        self._conditions.append(condition)
        self.values += values

    def one_of(self, column: str, *values: str | None) -> None:
        """Ask for a column with one of these values; None and no text ask for nothing."""
        wanted = [_text(value) for value in values if value]
        if wanted:
            self.add(f"{column} IN ({_marks(wanted)})", *wanted)

    def who(
        self,
        service: str | None,
        user_tier: str | None,
        project_id: str | None,
        user_id_hash: str | None,
    ) -> None:
        if service:
            channel = _text(service).strip().lower()
            self.one_of("channel", CHANNEL_ALIASES.get(channel, channel))
        if user_tier:
            self.one_of("user_tier", _text(user_tier).strip().lower())
        if project_id:  # one that looked like a name or a path was kept as a pseudonym
            project = _text(project_id)
            plain = scrub.is_plain_id(project)
            self.one_of("project_id", project, None if plain else pseudonym(project, self._salt))
        if user_id_hash:  # as was one that looked like a person
            user = _text(user_id_hash)
            self.one_of("user_id_hash", user, pseudonym(user, self._salt))

    def between(self, start: date | str | None, end: date | str | None) -> None:
        if start is not None:
            self.add("timestamp >= ?", _moment(start, "start_date", is_end=False))
        if end is not None:
            self.add("timestamp < ?", _moment(end, "end_date", is_end=True))

    def name(self, event_type: str | None) -> None:
        """Ask for an event by any of its names."""
        if not event_type:
            return
        asked = _text(event_type)
        standard = standard_name(asked)
        if asked in _spellings(standard):
            self._standard(standard)
            return
        bare = asked.removeprefix("mcp.").removeprefix("ext.")
        names = [bare, f"mcp.{bare}", f"ext.{bare}"]
        if bare in _TOOLS:  # the standard name says which tool in its metadata
            called = _spellings(standard)
            self.add(
                f"(event_name IN ({_marks(names)}) OR (event_name IN ({_marks(called)}) "
                "AND json_extract(metadata, '$.tool_name') = ?))",
                *(*names, *called, bare),
            )
            return
        if asked in BRANCH_CREATE_NAMES:
            names += _spellings(CortexEventName.CONTEXT_AUTO_CREATED.value)
        self.one_of("event_name", *names, *_spellings(standard))

    def _standard(self, standard: str) -> None:
        """Ask for a standard name and all its aliases; one alias stands for two standard names."""
        names = [standard, *(name for name in ALIASES if ALIASES[name] == standard)]
        made = f"event_name IN ({_marks(BRANCH_CREATE_NAMES)})"
        if standard == CortexEventName.CONTEXT_AUTO_CREATED:
            condition = f"(event_name IN ({_marks(names)}) OR ({made} AND {_AUTOMATIC}))"
            self.add(condition, *names, *BRANCH_CREATE_NAMES)
            return
        self.one_of("event_name", *names)
        if standard == CortexEventName.CONTEXT_CREATED:
            self.add(f"NOT ({made} AND {_AUTOMATIC})", *BRANCH_CREATE_NAMES)


_TOOLS: Final = (
    *("search_context", "update_memory", "compress_context"),
    *("reference_suggest", "ontology_classify"),
)
# as data_access/frames.py reads it
_AUTOMATIC_KEYS: Final = ("auto", "automatic", "auto_or_manual")
_AUTOMATIC_WORDS: Final = ("1", "true", "auto", "automatic")
_AUTOMATIC: Final = "({})".format(
    " OR ".join(
        f"CAST(COALESCE(json_extract(metadata, '$.{key}'), '') AS TEXT) IN {_AUTOMATIC_WORDS}"
        for key in _AUTOMATIC_KEYS
    )
)


def _spellings(standard: str) -> list[str]:
    return [standard, f"mcp.{standard}", f"ext.{standard}"]


def _marks(values: list[str] | tuple[str, ...]) -> str:
    return ", ".join("?" * len(values))


def _text(value: object) -> str:
    return str(value.value if isinstance(value, Enum) else value)


def _moment(value: date | str, name: str, *, is_end: bool) -> str:
    """Return a bound as the column has it; the end of a date is the next day's midnight."""
    day: date | None = value if isinstance(value, date) else None
    if isinstance(value, str):
        try:
            day = date.fromisoformat(value.strip())
        except ValueError:
            day = None
    if day is not None and not isinstance(day, datetime):
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        value = midnight + timedelta(days=int(is_end))
    moment = parse_time(value)
    if moment is None:
        raise ValueError(
            f"{name} = {str(value)[:40]!r} is no time. Give a date, a datetime, or text like "
            "2025-12-14 or 2025-12-14T08:30:00Z."
        )
    return moment


# --- the answer -------------------------------------------------------------------------------


def _opened(path: Path) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=READ_TIMEOUT_S)


def _is_there(connection: sqlite3.Connection, table: str, path: Path) -> bool:
    """Tell whether the table exists.

    Raises
    ------
    OldDatabase : when it is an older system's.
    """
    if is_old(connection):
        raise OldDatabase(
            f"{path} holds an older system's tables. Bring them over with "
            "`python -m ingest migrate OLD_DB` into a new home, and ask that one."
        )
    name = TABLES[table].sql_name
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,))
    return found.fetchone() is not None


def _common(row: dict[str, Any]) -> dict[str, Any]:
    """Add the oldest name of the channel, and make the metadata a dict."""
    row["metadata"] = _metadata(row["metadata"])
    row["is_paid_user"] = bool(row["is_paid_user"])
    if "success" in row:
        row["success"] = bool(row["success"])
    channel = row["channel"]
    return row | {"service": _OLD_SERVER if channel == _SERVER else channel}


def _event(row: dict[str, Any]) -> dict[str, Any]:
    written, row = row["event_name"], _common(row)
    metadata = row["metadata"]
    said = [str(metadata.get(key)).lower() for key in _AUTOMATIC_KEYS]
    automatic = any(word in _AUTOMATIC_WORDS for word in said)
    return row | {
        "event_name": standard_name(written, automatic=automatic),
        "source_name": written,
        "event_type": written,
        "tool_name": metadata.get("tool_name"),
        "event_data": dict(metadata),
    }


def _metadata(text: str) -> dict[str, Any]:
    try:
        found = parse_json(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


# --- who writes -------------------------------------------------------------------------------


class _Writers:
    """The writers of a process, one per home: a storage made for each record costs no log file.

    Before a fork every database is closed, and nobody saves while the process is copied.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._writers: OrderedDict[tuple[Path, int, Callable[[], float]], Writer] = OrderedDict()
        self._is_hooked = self._is_held = False

    @contextmanager
    def of(self, home: Path, now: Callable[[], float]) -> Iterator[Writer]:
        """Give the writer of a home to one thread at a time.

        Raises
        ------
        TimeoutError : when another thread does not finish saving.
        """
        if not self._lock.acquire(timeout=SAVE_WAIT_S):
            raise TimeoutError("another thread is saving and does not finish; save again later")
        try:
            yield self._writer(home, now)
        finally:
            self._lock.release()

    def _writer(self, home: Path, now: Callable[[], float]) -> Writer:
        self._hook()
        key = (home, os.getpid(), now)
        writer = self._writers.pop(key, None)
        if writer is None:
            writer = Writer(home, now=lambda: datetime.fromtimestamp(now(), UTC))
        self._writers[key] = writer
        while len(self._writers) > WRITERS_MAX:
            self._writers.popitem(last=False)[1].close()
        return writer

    def close(self) -> None:
        """Close every database; a writer opens its own again when it is needed."""
        with self._lock:
            for writer in self._writers.values():
                writer.close()

    def _hook(self) -> None:
        if self._is_hooked:
            return
        self._is_hooked = True
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self._after_fork,
                after_in_child=self._after_fork,
            )

    def _before_fork(self) -> None:
        self._is_held = self._lock.acquire(timeout=FORK_WAIT_S)
        if self._is_held:
            self.close()

    def _after_fork(self) -> None:
        if self._is_held:
            self._is_held = False
            self._lock.release()


_writers: Final = _Writers()
