"""What the background thread does: prepare a batch, log it, store it, and say what became of it."""

from __future__ import annotations

import errno
import json
import os
import random
import time
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from ingest import scrub
from ingest.boundary import warn
from ingest.consent import resolve
from ingest.ids import Uuid7
from ingest.intake import Intake
from ingest.prepare import Preparer
from ingest.salt import home_salt
from ingest.sampling import Sampling, from_settings
from ingest.settings import read_settings
from ingest.tidy import tidy
from ingest.vocabulary import PIPELINE_FOLDER
from ingest.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ingest.pipeline import Marker, Pipeline
    from ingest.vocabulary import Row

BATCH_MAX: Final = 2_000  # things in one append and one transaction
RETRY_S: Final = 1.0  # between two tries of a log that cannot be written
STORE_RETRY_S: Final = 1.0  # between two tries of a database that cannot be written, doubled ...
STORE_RETRY_MAX_S: Final = 30.0  # ... up to this
BUSY_TIMEOUT_S: Final = 0.5  # the log must not wait for whoever holds the database
REPORT_EVERY_S: Final = 30.0
CONSENT_EVERY_S: Final = 5.0
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Worker:
    """Everything only the background thread touches. It keeps its state while the thread rests."""

    def __init__(self, pipeline: Pipeline) -> None:
        options = pipeline.options
        settings = read_settings(options.home)
        self.finished = False
        self._pipeline = pipeline
        self._counts = pipeline.counts
        self._settings = settings
        self._problems = list(settings.problems)
        self._intake: Intake | None = None
        self._unsafe: list[Row] = []  # prepared, and not in the log yet
        self._markers: list[Marker] = []  # who waits for them
        self._retry_at = self._store_at = self._consent_at = 0.0
        self._store_wait_s = STORE_RETRY_S
        self._started = _utc(options.now())
        self._report_at = time.monotonic() + REPORT_EVERY_S
        self._reported: dict[str, object] = {}
        self._tidied: date | None = None
        self._writer = Writer(
            options.home,
            now=lambda: _utc(options.now()),
            rotate_bytes=settings.rotate_bytes,
            busy_timeout_s=BUSY_TIMEOUT_S,
        )

    @property
    def waiting(self) -> int:
        """Return how many rows are prepared and not in the log."""
        return len(self._unsafe)

    def fail(self) -> None:
        """Get over a fault of ours: tell who waits, and try again later."""
        self._pipeline.trouble = self._pipeline.trouble or "failed"
        self._retry_at = time.monotonic() + RETRY_S
        for marker in self._markers:
            marker.reach(safe=False)
        self._pipeline.disappoint()
        if self._pipeline.closed:
            with self._pipeline.boundary:
                self._finish()

    def turn(self) -> bool:
        """Take one batch as far as it goes; True when nothing of ours failed on the way."""
        now_s = time.monotonic()
        if now_s >= self._consent_at:
            self._consent_at = now_s + CONSENT_EVERY_S
            if not self._is_allowed():
                return True
        is_time = now_s >= self._retry_at or self._pipeline.awaited or self._pipeline.closed
        if self._pipeline.trouble and not is_time:
            return True
        markers = self._markers = []
        safe = self._is_ready() and self._batch(markers, now_s)
        self._pipeline.trouble = "" if safe else self._pipeline.trouble
        is_last = self._pipeline.abandoned or any(marker.closes for marker in markers)
        if is_last or (self._pipeline.closed and not safe):
            self._finish()
        for marker in markers:
            marker.reach(safe=safe)
        if not safe:
            self._retry_at = now_s + RETRY_S
            self._pipeline.disappoint()
        elif not self.finished:
            self._look_after(now_s)
        return True

    def rest(self) -> None:
        """Let go of the database: the thread stops, or the process is about to be copied."""
        self._writer.close()

    # --- a batch ---

    def _is_ready(self) -> bool:
        """Make the home, its salt and what needs them, the first time; tell whether they are."""
        if self._intake is not None:
            return True
        options = self._pipeline.options
        try:
            salt = home_salt(options.home, options.environ)
        except OSError as error:
            self._in_trouble(error)
            return False
        preparer = Preparer(
            salt=salt,
            new_id=Uuid7(random.SystemRandom().getrandbits),
            counts=self._counts,
            allow=self._settings.metadata,
            channel=options.channel,
            release=options.release,
            sampling=self._sampling(self._settings.sampling),
        )
        self._intake = Intake(preparer, self._counts)
        return True

    def _batch(self, markers: list[Marker], now_s: float) -> bool:
        """Bring a batch into the log and tell whether it is there; add who waits for that."""
        intake = self._intake
        if intake is not None and not self._unsafe:  # what is prepared comes first
            self._prepare(intake, markers)
            self._unsafe += intake.due(self._pipeline.options.now(), now_s)
            if self._pipeline.abandoned or any(marker.closes for marker in markers):
                self._unsafe += intake.close()
        rows = self._unsafe
        safe = None
        with self._pipeline.boundary:
            safe = self._write(rows, now_s)
        if safe is None and self._unsafe:  # no line can be made of one of them
            self._counts.drop("failed", len(rows))
            self._unsafe = []
        return bool(safe)

    def _sampling(self, raw: Mapping[str, Any]) -> Sampling | None:
        try:
            found = from_settings(raw) if raw else None
        except ValueError as error:
            self._problems.append(str(error))
            return None
        return found if found is not None and found.keep_rate < 1 else None

    def _prepare(self, intake: Intake, markers: list[Marker]) -> None:
        """Make rows of a batch out of the buffer; what no row can be made of costs itself only."""
        batch, done = self._taken(markers), False
        while not done:
            with self._pipeline.boundary:  # one for all: a block of its own costs half a row
                for said in batch:
                    self._unsafe += intake.take(said)
                done = True
            if not done:
                self._counts.drop("unserializable")

    def _taken(self, markers: list[Marker]) -> Iterator[object]:
        """Take a batch out of the buffer, or less when somebody waits for what came so far."""
        buffer, is_marker = self._pipeline.buffer, self._pipeline.is_marker
        for _ in range(min(len(buffer), BATCH_MAX)):
            try:
                said = buffer.popleft()
            except IndexError:  # close ran out of time and emptied it
                return
            if is_marker(said):
                markers.append(said)
                return
            yield said

    def _write(self, rows: list[Row], now_s: float) -> bool:
        """Log the rows and store them; tell whether they are in the log."""
        if not rows:
            return True
        try:
            logged = self._writer.append(rows)
        except OSError as error:
            self._in_trouble(error)
            return False
        self._counts.written += len(rows)
        self._unsafe = []
        for marker in self._markers:
            marker.safe = True
        if now_s >= self._store_at:
            self._stored(self._writer.store(rows, logged), now_s)
        return True

    def _stored(self, done: bool, now_s: float) -> None:  # noqa: FBT001 - what store returned
        if done:
            self._store_wait_s = STORE_RETRY_S
        else:
            self._store_at = now_s + self._store_wait_s
            self._store_wait_s = min(self._store_wait_s * 2, STORE_RETRY_MAX_S)

    # --- now and then ---

    def _look_after(self, now_s: float) -> None:
        """Bring in what SQLite did not take before, and report."""
        if self._writer.is_behind and now_s >= self._store_at:
            self._stored(self._writer.catch_up(), now_s)
        if now_s >= self._report_at:
            self._report_at = now_s + REPORT_EVERY_S
            self.report()
            self._tidy()

    def _tidy(self) -> None:
        """Compress and remove old files of the log, once a day and home."""
        options = self._pipeline.options
        today = _utc(options.now()).date()
        if today == self._tidied:
            return
        self._tidied = today
        with suppress(OSError, RuntimeError):  # the log is in trouble, or there are no threads left
            tidy(options.home, today, self._settings, self._pipeline.boundary)

    def _is_allowed(self) -> bool:
        """Look whether telemetry was turned off meanwhile; then drop what waits and stop."""
        options = self._pipeline.options
        consent = resolve(options.environ, options.home)
        self._pipeline.consent = consent
        if consent.enabled:
            return True
        self._pipeline.withdraw()
        self._counts.drop("consent_withdrawn", len(self._unsafe))
        self._unsafe = []
        self.finished = True
        return False

    def _in_trouble(self, error: OSError) -> None:
        reason = "disk_full" if error.errno in _NO_SPACE else "log_unwritable"
        if self._pipeline.trouble != reason:
            warn("telemetry cannot be written and waits (%s: %s)", reason, type(error).__name__)
        self._pipeline.trouble = reason

    def _finish(self) -> None:
        """Count what could not be saved, say what became of everything, and stop."""
        self.finished = True
        if self._unsafe:
            self._counts.drop(self._pipeline.trouble or "left_at_close", len(self._unsafe))
            self._unsafe = []
        if self._writer.is_behind:
            self._writer.catch_up()
        self.report()

    def report(self) -> None:
        """Append the counters to the day's report, when they changed; best effort."""
        counts = self._counts.to_dict()
        if counts == self._reported:
            return
        options = self._pipeline.options
        at = _utc(options.now())
        folder = options.home / PIPELINE_FOLDER
        line = {
            "at": _iso(at),
            "writer": self._writer.name,
            "started_at": _iso(self._started),
            "channel": scrub.text(options.channel),
            "release": scrub.text(options.release or ""),
            **counts,
            "buffered": self._pipeline.waiting,
            "faults": self._pipeline.boundary.caught,
            "storing": self._writer.last_error,
            "problems": self._problems,
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{at:%Y-%m-%d}.jsonl"
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                file.write(json.dumps(line).encode() + b"\n")
        except OSError:  # the log is in the same trouble, and that was said
            return
        self._reported = counts


def _utc(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
