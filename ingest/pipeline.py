"""The path of what the host said: a bounded buffer, and one background thread that empties it.

The host's threads only append to the buffer. The background thread prepares rows, appends them to
the log (then they are safe) and stores them in SQLite (then they are fast). Nothing that the host's
threads or its signal handlers call takes a lock that the code they interrupted could hold.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeGuard

from ingest.boundary import warn
from ingest.counts import Counts
from ingest.lifecycle import begin, end

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ingest.boundary import Boundary
    from ingest.consent import Consent
    from ingest.worker import Worker

BUFFER_MAX: Final = 20_000  # what the host said and is not in the log yet; about 10 MB
WAKES_MAX: Final = 8  # two are enough to be woken; the rest is for those that cross each other
POLL_S: Final = 0.005
WAKE_EVERY: Final = 1_024  # a power of two: a buffer that fills this fast is not left to wait
GATHER_S: Final = 0.2  # after the first event, wait this long for company
IDLE_S: Final = 0.5  # how often an idle thread looks by itself
PAUSE_S: Final = 1.0  # a fork waits this long for the thread


class Marker:
    """Put into the buffer by a thread that waits until everything before it is in the log."""

    __slots__ = ("_reached", "closes", "safe")

    def __init__(self, *, closes: bool) -> None:
        self.closes = closes
        self.safe = False
        self._reached: SimpleQueue[bool] = SimpleQueue()

    def reach(self, *, safe: bool) -> None:
        """Tell the waiting thread; the first word counts."""
        self._reached.put(safe)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the word; when it does not come in time, tell whether the log has it all."""
        try:
            return self._reached.get(timeout=max(timeout_s, 0.0))
        except Empty:
            return self.safe

    @property
    def is_reached(self) -> bool:
        """Tell whether the word is there."""
        return not self._reached.empty()


class Options(NamedTuple):
    """What a client was told when it was made."""

    home: Path
    channel: str
    release: str | None
    environ: Mapping[str, str]
    now: Callable[[], float]
    buffer_max: int = BUFFER_MAX


class Pipeline:
    """Buffer and thread of one client in one process.

    Attributes
    ----------
    buffer, limit : the client's hot path appends while `buffer` is shorter than `limit`, which is
        0 when nothing may be said.
    trouble : why the log takes nothing, one of counts.REASONS, or empty.
    abandoned : close() ran out of time; the thread stops as soon as it can.
    """

    def __init__(
        self,
        options: Options,
        consent: Consent,
        boundary: Boundary,
        owner: Callable[[], object],
    ) -> None:
        self.options = options
        self._owner = owner  # gives None when the client is gone
        self.boundary = boundary
        self.consent = consent
        self.counts = Counts()
        self.buffer: deque[Any] = deque()
        self.limit = options.buffer_max if consent.enabled else 0
        self.trouble = ""
        self.closed = self.abandoned = False
        self._wake: SimpleQueue[int] = SimpleQueue()  # its put may interrupt its own put
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        self._worker: Worker | None = None
        self._pausing = False
        self._running = threading.Lock()

    # --- called by the host's threads ---

    def submit(self, said: object) -> bool:
        """Put one thing into the buffer; False when there is no room."""
        waiting = len(self.buffer)
        if waiting >= self.limit:
            return self.refuse()
        self.buffer.append(said)
        if not waiting % WAKE_EVERY:
            self.wake(waiting)
        return True

    def refuse(self) -> bool:
        """Count what there is no room for; nothing is counted when telemetry is off."""
        if self.consent.enabled:
            reason = "closed" if self.closed else self.trouble or "buffer_full"
            self.counts.drop(reason)
            if reason == "buffer_full" or not self.counts.dropped[reason] % WAKE_EVERY:
                self.wake(WAKE_EVERY)
        return False

    def fail(self) -> bool:
        """Count what could not even be put into the buffer."""
        if self.consent.enabled:
            self.counts.drop("unserializable")
        return False

    def wake(self, waiting: int) -> bool:
        """Let the background thread look at the buffer, starting it when there is none."""
        thread = self._thread
        if (thread is None or not thread.is_alive()) and not self._start():
            return False
        if self._wake.qsize() < WAKES_MAX:
            self._wake.put(waiting)
        return True

    @property
    def waiting(self) -> int:
        """How much of what the host said is not in the log yet."""
        said = sum(not self.is_marker(item) for item in self.buffer.copy())
        return said + (0 if self._worker is None else self._worker.waiting)

    def flush(self, timeout_s: float, *, closes: bool = False) -> bool:
        """Wait until everything said before is in the log; tell whether it is."""
        if not self.consent.enabled or (self._worker is None and not self.buffer):
            return True
        if self._is_over():
            return not self.waiting
        marker = Marker(closes=closes)
        self.buffer.append(marker)
        if not self.wake(WAKE_EVERY):
            # no thread to be had: the interpreter is leaving, so do it here
            deadline_s = time.monotonic() + timeout_s
            self._run(lambda: marker.is_reached or time.monotonic() >= deadline_s)
            timeout_s = deadline_s - time.monotonic()
        safe = marker.wait(timeout_s)
        if not (closes or marker.is_reached):
            with suppress(ValueError, IndexError):  # it is being looked at
                self.buffer.remove(marker)
        return safe

    def _is_over(self) -> bool:
        return self._worker is not None and self._worker.finished

    def close(self, timeout_s: float) -> bool:
        """Write what waits and stop; what is left at the deadline is counted."""
        if self.closed:
            return self._await_close(timeout_s)
        deadline_s = time.monotonic() + timeout_s
        self.closed, self.limit = True, 0
        whole = self.flush(timeout_s, closes=True)
        self.abandoned = True
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(deadline_s - time.monotonic(), 0.0))
        left = self._empty()
        if left:
            self.counts.drop(self.trouble or "left_at_close", left)
            if self._worker is not None and self._worker.finished:
                self._worker.report()
        lost = {reason: times for reason, times in self.counts.dropped.items() if times}
        if lost:
            warn("telemetry lost %d records: %s", sum(lost.values()), ", ".join(lost))
        return whole and not left

    def _await_close(self, timeout_s: float) -> bool:
        """Wait for the close another thread, or what this handler interrupted, is at."""
        deadline_s = time.monotonic() + timeout_s
        if self._worker is not None or self.buffer:
            while not (self.abandoned or self._is_over()) and time.monotonic() < deadline_s:
                self.wake(WAKE_EVERY)
                time.sleep(POLL_S)
        return not self.waiting

    def _start(self) -> bool:
        with self._starting:
            if self._pausing:
                return False
            if self._thread is not None and self._thread.is_alive():
                return True
            thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads, or the interpreter is leaving
                self.trouble = "writer_dead"
                return False
            self._thread = thread
            begin(self)
            return True

    def _empty(self) -> int:
        """Empty the buffer; return how much of what the host said was in it."""
        said = 0
        while self.buffer:
            try:
                item = self.buffer.popleft()
            except IndexError:  # the background thread took the last one
                break
            if self.is_marker(item):
                item.reach(safe=False)
            else:
                said += 1
        return said

    # --- around a fork ---

    def pause(self) -> None:
        """Stop the thread and close the database before the process is copied."""
        with self._starting:
            self._pausing = True
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self._wake.put(WAKE_EVERY)
            thread.join(PAUSE_S)

    def resume(self) -> None:
        """Go on in the process that was copied."""
        self._pausing = False
        if self.buffer:
            self.wake(WAKE_EVERY)

    # --- called by the background thread ---

    @property
    def awaited(self) -> bool:
        """Tell whether a thread waits for what is in the buffer."""
        return any(self.is_marker(item) for item in self.buffer.copy())

    @staticmethod
    def is_marker(item: object) -> TypeGuard[Marker]:
        """Tell a marker from what the host said."""
        return type(item) is Marker

    def disappoint(self) -> None:
        """Tell every waiting thread that what it waits for is not in the log."""
        for item in self.buffer.copy():
            if self.is_marker(item):
                item.reach(safe=False)

    def withdraw(self) -> None:
        """Take nothing more and drop what waits: telemetry was turned off."""
        self.limit = 0
        self.counts.drop("consent_withdrawn", self._empty())

    def _run(self, is_enough: Callable[[], bool] = lambda: False) -> None:
        from ingest.worker import Worker  # noqa: PLC0415 - a host that says nothing pays nothing

        if not self._running.acquire(blocking=False):
            return
        try:
            with self.boundary:
                worker = self._worker = self._worker or Worker(self)
                while not (worker.finished or self._pausing or is_enough()):
                    self._gather()
                    whole = False
                    with self.boundary:
                        whole = worker.turn()
                    if not whole:
                        worker.fail()
                worker.rest()
                if worker.finished:
                    self.disappoint()
                    end(self)
        finally:
            self._running.release()

    def _gather(self) -> None:
        """Wait until there is something to do, and for company: a turn costs 100 rows."""
        waiting = len(self.buffer)
        if self.abandoned or (waiting >= WAKE_EVERY and not self.trouble):
            return
        try:
            if not waiting or self.trouble:
                waiting = self._wake.get(timeout=IDLE_S)
            until_s = time.monotonic() + GATHER_S
            while waiting < WAKE_EVERY and not self._pausing:
                waiting = self._wake.get(timeout=max(until_s - time.monotonic(), 0.001))
        except Empty:
            if self._owner() is None and not self.buffer:  # nobody can say anything any more
                self.closed = True
                self.buffer.append(Marker(closes=True))
