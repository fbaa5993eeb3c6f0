"""What became of everything the host said: written, sampled, merged, or lost for a named reason."""

from __future__ import annotations

import threading
from typing import Final

# every way to lose something; a loss has exactly one of these
REASONS: Final = (
    "buffer_full",  # the host is faster than the disk, and the buffer has a limit
    "disk_full",  # the log could not be written: no space
    "log_unwritable",  # the log could not be written: rights, a missing disk, ...
    "writer_dead",  # the background thread could not be started
    "unserializable",  # a payload that no row can be made of
    "invalid",  # no name
    "closed",  # said after close()
    "left_at_close",  # close() or the exit ran out of time
    "rollup_full",  # more people in one window than a rollup tells apart
    "error_keys_full",  # more different errors in a minute than are told apart
    "consent_withdrawn",  # telemetry was turned off while this waited
    "failed",  # a fault of ours; the boundary caught it
)


class Counts:
    """Counters of one client. Losses may be counted by any thread, the rest by its writer only."""

    __slots__ = ("_lock", "dropped", "flagged", "held", "merged", "sampled_out", "written")

    def __init__(self) -> None:
        self.written = 0  # records in the log
        self.sampled_out = 0  # left out by sampling; the kept ones carry their weight
        self.held = 0  # errors and turns that wait for the record they will share
        self.merged = 0  # errors and turns that share another one's record
        self.flagged = 0  # values that were left out of a row
        self.dropped = dict.fromkeys(REASONS, 0)
        # a signal handler may count while its own thread is counting: hence reentrant
        self._lock = threading.RLock()

    def drop(self, reason: str, times: int = 1) -> None:
        """Count a loss."""
        with self._lock:
            self.dropped[reason] += times

    def to_dict(self) -> dict[str, object]:
        """Return the counters by name."""
        with self._lock:
            dropped = dict(self.dropped)
        return {
            "written": self.written,
            "sampled_out": self.sampled_out,
            "held": self.held,
            "merged": self.merged,
            "flagged": self.flagged,
            "dropped": dropped,
        }
