"""Asking: one process per query, a spare one kept warm, a few at once, each to be stopped.

The server never parses SQL and never runs any: it starts a process, hands it what it may see,
and kills it when it is over a limit or no longer wanted. What comes back is a header in JSON and a
table in Arrow IPC, and nothing that could run.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import pickle
import secrets
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

import polars as pl

from data_access import sources
from data_access.explore import limits as most
from data_access.explore.builder import sql_of
from data_access.explore.refused import (
    BUSY,
    CANCELLED,
    CRASHED,
    FAILED,
    MEMORY,
    MOVED,
    SIZE,
    TIME,
    QueryRefused,
    QueryStopped,
    refusal,
)
from data_access.home import open_home, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from data_access.config import Limits
    from data_access.explore.question import Question
    from data_access.filters import Filters
    from data_access.sources import Handed
    from data_access.window import Window

ROOT: Final = Path(__file__).resolve().parents[2]
_SIZE: Final = "<Q"
_SIZE_BYTES: Final = struct.calcsize(_SIZE)
_PART: Final = 2**64 - 1  # in the place of a header's size: a part of the rows follows
_HEADER_BYTES_MAX: Final = 1024 * 1024
_STDERR_CHARS: Final = 4_000
_COMPLAINT_CHARS: Final = 200
_BOOT: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from data_access.explore import child; child.main()"
)
# an abort without a word is an allocation that failed while saying so; a kill is the kernel's
_OUT_OF_MEMORY: Final = frozenset((signal.SIGABRT, getattr(signal, "SIGKILL", signal.SIGABRT)))
_OUT_OF_TIME: Final = frozenset(
    getattr(signal, name, signal.SIGABRT) for name in ("SIGXCPU", "SIGALRM")
)
_PARTING_SECONDS: Final = 5.0  # a killed process is gone long before


@dataclass(frozen=True, slots=True)
class Request:
    """What the process of a query is told."""

    handed: Handed
    sql: str
    filters: Filters
    window: Window
    all_history: bool
    now: datetime
    rows: int
    chars: int
    seconds: float
    memory_mb: int
    disguise: int | None  # what people are called anew with, where single ones may not be listed
    whole: bool = False  # the rows go into a file


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave.

    `sql` is the question in SQL; `ran` is what ran, printed from the checked query; `plan` is how
    Polars went about it; `seconds` is how long that took; `truncated` tells that there are more
    rows than the limit, `rows` is how many are here. `guarded` tells that the kernel kept the
    process from all other files. With `into`, the rows are in that Parquet file, of which the first
    `rows` count, and `frame` has the columns alone.
    """

    frame: pl.DataFrame
    truncated: bool
    rows: int
    seconds: float
    plan: str
    sql: str
    ran: str
    guarded: bool
    file: Path | None = None

    def lazy(self) -> pl.LazyFrame:
        """Return the rows, wherever they are."""
        if self.file is None:
            return self.frame.lazy()
        return pl.scan_parquet(self.file).head(self.rows)


def ask(
    question: Question,
    filters: Filters,
    home: str | Path | None = None,
    limits: Limits | None = None,
    *,
    now: datetime | None = None,
    into: Path | None = None,
) -> Answer:
    """Return the answer to a question about the rows the filters leave, or say why there is none.

    Parameters
    ----------
    question : the SQL, or what to put together.
    filters : the page's; rows outside its window are left out unless `question.all_history`.
    home : as `scan` takes it.
    limits : how much it may take; those of the home's settings when not given.
    now : what CURRENT_DATE and NOW() say; the clock's when not given.
    into : a file to write the rows to, as Parquet, while they come: `export_rows` of them, however
        large they are together. It is removed again when there is no answer.

    Raises
    ------
    QueryRefused : when the query is not allowed, not understood or cannot be answered.
    QueryStopped : when it was over a limit; a QueryRefused too.
    DataUnavailable : when there is nothing at `home`.
    """
    return start(question, filters, home, limits, now=now, into=into).answer()


def start(
    question: Question,
    filters: Filters,
    home: str | Path | None = None,
    limits: Limits | None = None,
    *,
    now: datetime | None = None,
    into: Path | None = None,
) -> Running:
    """Begin to answer a question, as `ask` does, and return at once."""
    running = Running(question, filters, home, limits, now or datetime.now(UTC), into=into)
    running._thread.start()  # noqa: SLF001 - begun here and nowhere else
    return running


class Running:
    """One query on its way: `done`, `cancel`, `answer`."""

    def __init__(
        self,
        question: Question,
        filters: Filters,
        home: str | Path | None,
        limits: Limits | None,
        now: datetime,
        *,
        into: Path | None = None,
    ) -> None:
        self.question = question
        self._into = into
        self._asked = (question, filters, home, limits, now)
        self._cancelled = threading.Event()
        self._done = threading.Event()
        self._process: _Process | None = None
        self._lock = threading.Lock()
        self._answer: Answer | None = None
        self._error: Exception | None = None
        self._since = time.monotonic()
        self._until: float | None = None
        self._thread = threading.Thread(target=self._run, name="explore-query", daemon=True)

    @property
    def seconds(self) -> float:
        """How long it has been asked, in seconds; stands still once it is done."""
        return (self._until or time.monotonic()) - self._since

    def done(self) -> bool:
        """Return whether there is an answer, or a reason why there is none."""
        return self._done.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait no longer than that, and return whether it is done."""
        return self._done.wait(seconds)

    def cancel(self) -> None:
        """Stop it; `answer` then raises. Safe from any thread, at any time, and twice."""
        self._cancelled.set()
        with self._lock:
            if self._process is not None:
                self._process.kill()
        with _places.changed:
            _places.changed.notify_all()

    def answer(self) -> Answer:
        """Wait for the answer and return it; raises as `ask` does."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        assert self._answer is not None  # noqa: S101 - done without an error has one
        return self._answer

    def _run(self) -> None:
        with contextlib.ExitStack() as afterwards:  # nobody waits for the tidying up
            try:
                self._answer = self._answered(afterwards)
            except Exception as error:  # noqa: BLE001 - handed on to whoever asks for the answer
                self._error = error
            finally:
                self._until = time.monotonic()
                self._done.set()

    def _answered(self, afterwards: contextlib.ExitStack) -> Answer:
        question, filters, home, limits, now = self._asked
        team = settings(home)
        limits = limits or team.limits
        sql = sql_of(question)
        if len(sql) > limits.query_chars:
            raise QueryRefused(
                f"The query is {len(sql):,} characters long.",
                "",
                f"{limits.query_chars:,} is the limit: make it shorter.",
            )
        rows_max = limits.query_rows if self._into is None else limits.export_rows
        since = None if question.all_history else filters.window.opens_at
        request = Request(
            handed=sources.handed(home, filters=filters, since=since),
            sql=sql,
            filters=filters,
            window=filters.window,
            all_history=question.all_history,
            now=now,
            rows=min(question.limit or rows_max, rows_max),
            chars=limits.query_chars,
            seconds=limits.query_seconds if self._into is None else most.WHOLE_SECONDS_MAX,
            memory_mb=limits.query_memory_mb,
            disguise=None if team.people_lists else secrets.randbits(63),
            whole=self._into is not None,
        )
        afterwards.enter_context(_places.one(limits.queries_at_once, self._cancelled))
        try:
            return self._through(request, afterwards)
        except _Moved:  # the copy was written anew in between
            again = sources.handed(home, filters=filters, since=since)
            return self._through(replace(request, handed=again), afterwards)

    def _through(self, request: Request, afterwards: contextlib.ExitStack) -> Answer:
        """Hand the request to a process and read what it says."""
        process = _spares.take(request.handed.folder)
        afterwards.callback(_spares.renew, request.handed.folder)
        afterwards.callback(process.end)
        try:
            with self._lock:
                self._process = process
            if self._cancelled.is_set():
                raise _cancelled()
            try:
                return process.answer(request, self._into)
            except QueryStopped:
                if self._cancelled.is_set():
                    raise _cancelled() from None
                raise
        finally:
            with self._lock:
                self._process = None


def _cancelled() -> QueryStopped:
    return QueryStopped("The query was cancelled.", kind=CANCELLED)


class _Process:
    """One child: waits for a request, answers it, ends."""

    def __init__(self, folder: Path) -> None:
        self.may_read = _identity(folder)
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self._process = subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
            [sys.executable, "-I", "-c", _BOOT, json.dumps(_import_paths()), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env=_environment(),
            cwd="/" if os.name == "posix" else None,
            start_new_session=True,
        )
        _living.add(self)
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        assert self._process.stdout is not None  # noqa: S101 - the same
        self._stdin = self._process.stdin
        self._stdout = cast("io.BufferedReader", self._process.stdout)

    def alive(self) -> bool:
        """Return whether it still waits; one that was idle for long has gone home."""
        return self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Return when it has loaded the engine; at once if it has ended."""
        self._stdout.peek(1)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def end(self) -> None:
        """Leave nothing of it behind."""
        self._process.kill()
        with contextlib.suppress(OSError):
            self._stdin.close()
        self._stdout.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PARTING_SECONDS)
        self._complaints.close()
        _living.discard(self)

    def answer(self, request: Request, into: Path | None = None) -> Answer:
        """Return what it says to a request; rows that come in parts go into the file.

        Raises
        ------
        QueryRefused, QueryStopped : what it says instead, or what became of it.
        """
        with self._within(most.START_SECONDS_MAX, None):
            guarded = self._read(1) == b"+"
        asked = pickle.dumps(request)
        with self._within(request.seconds, request), _whole_or_gone(into):
            self._stdin.write(struct.pack(_SIZE, len(asked)) + asked)
            self._stdin.close()
            size = self._size() if into is None else self._parts(into)
            header = json.loads(self._part(size, _HEADER_BYTES_MAX))
            body = self._part(self._size(), most.RESULT_BYTES_MAX)
            if "what" in header:
                raise _said(header, request)
        with _whole_or_gone(into):
            return _answer(header, body, request, into, guarded=guarded)

    @contextlib.contextmanager
    def _within(self, seconds: float, request: Request | None) -> Iterator[None]:
        """Kill it when the body takes longer, and say why it ended when it does."""
        late = threading.Event()

        def stop() -> None:
            late.set()
            self.kill()

        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (EOFError, OSError):
            raise (_late(seconds) if late.is_set() else self._died(request)) from None
        finally:
            timer.cancel()

    def _size(self) -> int:
        [size] = struct.unpack(_SIZE, self._read(_SIZE_BYTES))
        return int(size)

    def _parts(self, into: Path) -> int:
        """Write the parts to the file, and return the size of the header behind them."""
        left = most.WHOLE_BYTES_MAX
        with into.open("wb") as file:
            while (size := self._size()) == _PART:
                part = self._part(self._size(), left)
                left -= len(part)
                file.write(part)
        return size

    def _part(self, size: int, most_bytes: int) -> bytes:
        if size > most_bytes:
            raise QueryStopped(
                "The answer is larger than it may be.",
                "",
                "Ask for fewer rows or columns.",
                kind=SIZE,
            )
        return self._read(size)

    def _read(self, size: int) -> bytes:
        read = self._stdout.read(size)
        if len(read) < size:
            raise EOFError
        return read

    def _died(self, request: Request | None) -> QueryStopped:
        """Return why it said nothing: what the engine complained, or how it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PARTING_SECONDS)
        self._complaints.seek(0)
        words = self._complaints.read(_STDERR_CHARS).decode("utf-8", "replace").strip()
        said, ended = words.lower(), -(self._process.returncode or 0)
        if "alloc" in said or "memory" in said or (ended in _OUT_OF_MEMORY and not said):
            return _over_memory(request)
        if ended in _OUT_OF_TIME and request is not None:
            return _late(request.seconds)
        if request is None:
            last = words.rpartition("\n")[2][:_COMPLAINT_CHARS]
            return QueryStopped(
                "The process that answers queries could not be started:",
                f"{last.rstrip('.') or f'it ended with {-ended}'}.",
                "Install what requirements.txt lists, and look at the server's memory.",
                kind=CRASHED,
            )
        return QueryStopped(
            f"The engine stopped in the middle of the query ({_ending(ended)}).",
            "",
            "Nothing else was touched. Write the query another way, or ask for less at once.",
            kind=CRASHED,
        )


def _late(seconds: float) -> QueryStopped:
    return QueryStopped(
        f"The query was stopped after {seconds:g} seconds, the limit.",
        "",
        "Ask about fewer days or rows, or group before joining.",
        kind=TIME,
    )


def _over_memory(request: Request | None) -> QueryStopped:
    limit = f" of {request.memory_mb:,} MB" if request else ""
    return QueryStopped(
        f"The query was stopped: it needs more memory than the limit{limit} allows.",
        "",
        "Ask about fewer days or columns, or group before joining.",
        kind=MEMORY,
    )


def _ending(signal_number: int) -> str:
    return f"signal {signal_number}" if signal_number > 0 else f"exit code {-signal_number}"


class _Moved(QueryRefused):
    """A file of the copy was gone when it was read."""


def _said(header: dict[str, Any], request: Request) -> QueryRefused:
    """Return what a child says instead of an answer."""
    if header["kind"] == MEMORY:
        return _over_memory(request)
    if header["kind"] == MOVED:
        return _Moved("The data was written anew while it was read.", "", "Ask again.", kind=MOVED)
    return refusal(
        str(header["what"]), str(header["where"]), str(header["what_to_do"]), str(header["kind"])
    )


@contextlib.contextmanager
def _whole_or_gone(file: Path | None) -> Iterator[None]:
    """Remove the file when the body fails: half an answer looks like one."""
    try:
        yield
    except BaseException:
        if file is not None:
            file.unlink(missing_ok=True)
        raise


def _answer(
    header: dict[str, Any], body: bytes, request: Request, into: Path | None, *, guarded: bool
) -> Answer:
    frame = pl.read_ipc(io.BytesIO(body))
    found = frame.height
    if into is not None:
        found = pl.scan_parquet(into).select(pl.len()).collect().item()
    _check_times(frame.lazy() if into is None else pl.scan_parquet(into))
    return Answer(
        frame=frame,
        truncated=bool(header["truncated"]) or found > request.rows,
        rows=min(found, request.rows),
        seconds=float(header["seconds"]),
        plan=str(header["plan"]),
        sql=request.sql,
        ran=str(header["ran"]),
        guarded=guarded,
        file=into,
    )


def _check_times(rows: pl.LazyFrame) -> None:
    """Refuse a time so far away that the engine holds it and panics where it is shown."""
    a_day = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
    far = []
    for name, kind in rows.collect_schema().items():
        if isinstance(kind, pl.Date | pl.Datetime):
            unit = a_day[kind.time_unit] if isinstance(kind, pl.Datetime) else 1
            days = pl.selectors.by_name(name).to_physical().cast(pl.Int64) // unit
            far.append((days.abs() > most.DAYS_FROM_1970_MAX).any())
    if not far:
        return
    for name, is_far in rows.select(far).collect(engine="streaming").row(0, named=True).items():
        if is_far:
            raise QueryRefused(
                "A time in the answer is too far away to be shown:",
                f"{name}.",
                "Add or take away fewer days.",
                kind=FAILED,
            )


def _import_paths() -> list[str]:
    """Return where a child finds our code and the libraries, wherever it is started."""
    return [str(ROOT), *(path for path in sys.path if Path(path).is_absolute())]


def _environment() -> dict[str, str]:
    """Return what a child may know of the machine: nothing that could be a secret."""
    kept = ("SYSTEMROOT", "POLARS_MAX_THREADS")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }


def _identity(folder: Path) -> tuple[str, int, int] | None:
    """Return which folder this is: the kernel's leave is for the folder, not for its name."""
    try:
        stat = folder.stat()
    except OSError:
        return None
    return str(folder), stat.st_dev, stat.st_ino


class _Spares:
    """One process that has loaded the engine and waits, for the home asked last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spare: _Process | None = None

    def take(self, folder: Path) -> _Process:
        """Return the one that waits, or start another."""
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            if spare.may_read == _identity(folder) and spare.alive():
                return spare
            spare.end()
        return _Process(folder)

    def renew(self, folder: Path, *, wait: bool = False) -> None:
        """Have one wait for the next query."""
        with self._lock:
            if self._spare is None or not self._spare.alive():
                if self._spare is not None:
                    self._spare.end()
                self._spare = _Process(folder)
            if wait:
                self._spare.wait_until_ready()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.end()


class _Places:
    """How many queries run in this server at once; who finds no place in time is told so."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._taken = 0

    @contextlib.contextmanager
    def one(self, places: int, cancelled: threading.Event) -> Iterator[None]:
        """Hold a place while the body runs."""
        with self.changed:
            free = self.changed.wait_for(
                lambda: self._taken < places or cancelled.is_set(), most.WAIT_SECONDS_MAX
            )
            if cancelled.is_set():
                raise _cancelled()
            if not free:
                raise QueryRefused(
                    f"{self._taken} queries are running already, as many as this server allows.",
                    "",
                    "Try again in a moment.",
                    kind=BUSY,
                )
            self._taken += 1
        try:
            yield
        finally:
            with self.changed:
                self._taken -= 1
                self.changed.notify_all()


_spares: Final = _Spares()
_living: Final[set[_Process]] = set()
_places: Final = _Places()


def warm(home: str | Path | None = None, *, wait: bool = False) -> None:
    """Have a process wait for the first query, so that it need not wait for the engine.

    Parameters
    ----------
    wait : until it has loaded the engine.
    """
    _spares.renew(open_home(home).columnar, wait=wait)


def close() -> None:
    """End every process there is: the one that waits, and those of queries that still run."""
    _spares.close()
    for process in list(_living):
        process.kill()


atexit.register(close)
