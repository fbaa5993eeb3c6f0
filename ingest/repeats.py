"""The rate limit of errors: equal ones become one record with a count, so a crash loop stays small.

For each key (fingerprint, user, release) at most one record per window is written. The first
occurrence comes out at the next `due`, so a crash is visible at once, and whatever came with it is
in its count; later ones wait for the window's end. It holds records and gives them back: it never
writes, reads no clock and starts no thread, so one thread may use it.

    repeats = Repeats(window_s=60.0)
    while running:
        for error in buffer.drain():                         # every 0.1 s or so
            key = (error["stack_hash"], error["user_id_hash"], error["release"] or "")
            repeats.add(key, error, error_at_s)              # epoch seconds of the occurrence
        write(repeats.due(time.monotonic()))                 # after each drain; [] most of the time
    write(repeats.close())                                   # whatever is still waiting

A record that comes out is a copy of the first occurrence it stands for (its message, its trace,
its event_id) with `occurrences`, `first_at` and `last_at`. Nothing is lost silently: what was added
is what came out plus `held` plus `overflow`. A killed process loses `held`, one window's count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ingest.vocabulary import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KEYS_MAX", "WINDOW_S", "Key", "Repeats", "Verdict"]

Key: TypeAlias = tuple[str, str, str]

WINDOW_S: Final = 60.0
KEYS_MAX: Final = 1_000  # at most 2 KB of scrubbed stack each
OCCURRENCES_MAX: Final = 2**53  # as many as the vocabulary reads
WEIGHT_MIN: Final = 1e-6
WEIGHT_MAX: Final = 1e6


class Verdict(StrEnum):
    """What became of an occurrence."""

    FIRST = "first"  # of its key; the next `due` brings it out
    REPEATED = "repeated"  # counted in a record that waits
    OVERFLOW = "overflow"  # only counted in `overflow`: too many different keys


@dataclass(slots=True)
class _Run:
    """Occurrences that wait to come out as one record."""

    record: Mapping[str, Any]
    occurrences: int
    weight: float
    first_at_s: float
    last_at_s: float

    def join(self, other: _Run) -> None:
        """Add the other's occurrences; unequal weights are averaged, which keeps their sum."""
        together = self.occurrences + other.occurrences
        if other.weight != self.weight:
            step = (other.weight - self.weight) * (other.occurrences / together)
            self.weight += step
        self.occurrences = together
        self.first_at_s = min(self.first_at_s, other.first_at_s)
        self.last_at_s = max(self.last_at_s, other.last_at_s)

    def finished(self) -> dict[str, Any]:
        """Return the record that stands for the run."""
        counted: dict[str, Any] = {
            "occurrences": self.occurrences,
            "first_at": parse_time(self.first_at_s),
            "last_at": parse_time(self.last_at_s),
        }
        if self.weight != 1 or "weight" in self.record:
            counted["weight"] = self.weight
        return {**self.record, **counted}


@dataclass(slots=True)
class _Window:
    """One key's window: when its last record came out (None: not yet), and what waits since."""

    opened_s: float | None = None
    waiting: _Run | None = None

    def is_over(self, now_s: float, window_s: float) -> bool:
        if self.opened_s is None:
            return True
        # a clock that was set back must not make a window longer than a window
        self.opened_s = min(self.opened_s, now_s)
        return now_s - self.opened_s >= window_s


@dataclass(slots=True)
class Repeats:
    """Folds equal errors into one record per key and window.

    Parameters
    ----------
    window_s : seconds between two records of one key.
    keys_max : keys known at a time; occurrences of further ones are counted in `overflow`.

    Raises
    ------
    ValueError : when one of them is not above 0.
    """

    window_s: float = WINDOW_S
    keys_max: int = KEYS_MAX
    held: int = field(default=0, init=False)  # occurrences waiting
    overflow: int = field(default=0, init=False)  # occurrences that no record will ever show
    _windows: dict[Key, _Window] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if not (0 < self.window_s < math.inf and self.keys_max > 0):
            raise ValueError(
                f"window_s={self.window_s!r} and keys_max={self.keys_max!r} must be above 0."
            )

    def add(self, key: Key, record: Mapping[str, Any], at_s: float) -> Verdict:
        """Count an occurrence. The record is kept as it is, so leave it alone afterwards.

        Parameters
        ----------
        key : fingerprint, user and release.
        record : a row of telemetry_errors by column name; `occurrences`, `weight`, `first_at` and
            `last_at` count when they can be read.
        at_s : epoch seconds of the occurrence, for first_at and last_at.
        """
        run = _run_of(record, at_s)
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= self.keys_max:
                self.overflow += run.occurrences
                return Verdict.OVERFLOW
            window = self._windows[key] = _Window()
        self.held += run.occurrences
        is_first = window.opened_s is None and window.waiting is None
        if window.waiting is None:
            window.waiting = run
        else:
            window.waiting.join(run)
        return Verdict.FIRST if is_first else Verdict.REPEATED

    def due(self, now_s: float) -> list[dict[str, Any]]:
        """Return the records to write now: of new keys, and of keys whose window is over.

        Each opens the key's next window; a key that was quiet for a whole window is forgotten.

        Parameters
        ----------
        now_s : seconds of any clock, always the same one; only differences count.
        """
        over = [
            (key, window)
            for key, window in self._windows.items()
            if window.is_over(now_s, self.window_s)
        ]
        records = []
        for key, window in over:
            if window.waiting is None:
                del self._windows[key]
            else:
                records.append(self._finished(window.waiting))
                window.waiting, window.opened_s = None, now_s
        return records

    def close(self) -> list[dict[str, Any]]:
        """Return a record for everything that waits, whatever its window, and forget all keys."""
        waiting = [window.waiting for window in self._windows.values()]
        self._windows.clear()
        return [self._finished(run) for run in waiting if run is not None]

    def _finished(self, run: _Run) -> dict[str, Any]:
        self.held -= run.occurrences
        return run.finished()


def _run_of(record: Mapping[str, Any], at_s: float) -> _Run:
    first = _epoch_s(record.get("first_at"), at_s)
    last = _epoch_s(record.get("last_at"), at_s)
    return _Run(
        record,
        int(_within(record.get("occurrences"), 1, OCCURRENCES_MAX)),
        float(_within(record.get("weight"), WEIGHT_MIN, WEIGHT_MAX)),
        min(first, last),
        max(first, last),
    )


def _within(value: object, least: float, most: float) -> float:
    """Return a number that lies within its range; 1 for anything else."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and least <= value <= most else 1  # type: ignore[operator,return-value] # a number


def _epoch_s(value: object, otherwise: float) -> float:
    moment = None if value is None else parse_time(value)
    return otherwise if moment is None else datetime.fromisoformat(moment).timestamp()
