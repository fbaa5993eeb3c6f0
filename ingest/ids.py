"""Ids and times for rows made here: UUIDv7 that sort by when they were made, and ISO 8601."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_COUNTER_BITS: Final = 62
_COUNTER_MASK: Final = (1 << _COUNTER_BITS) - 1
_VARIANT: Final = 0b10 << _COUNTER_BITS


class Uuid7:
    """Makes UUIDv7 texts: 48 bits of milliseconds, then random bits that count up (RFC 9562, 6.2).

    Parameters
    ----------
    random_bits : `random.SystemRandom().getrandbits`, or a seeded one in a test.
    """

    __slots__ = ("_counter", "_node")

    def __init__(self, random_bits: Callable[[int], int]) -> None:
        self._node = f"7{random_bits(12):03x}"
        self._counter = random_bits(_COUNTER_BITS)

    def __call__(self, at_s: float) -> str:
        """Return the next id; `at_s` is when its row was made, in seconds since 1970."""
        self._counter = (self._counter + 1) & _COUNTER_MASK
        head = f"{max(int(at_s * 1_000), 0):012x}"[-12:]
        tail = f"{_VARIANT | self._counter:016x}"
        return f"{head[:8]}-{head[8:]}-{self._node}-{tail[:4]}-{tail[4:]}"


class IsoTime:
    """Writes seconds since 1970 as UTC ISO 8601 with milliseconds; remembers the last second."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second, self._text = -1, ""

    def __call__(self, at_s: float) -> str:
        """Return "2026-11-20T10:30:45.123Z"."""
        second = int(at_s // 1)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._text}.{int((at_s - second) * 1_000):03d}Z"
