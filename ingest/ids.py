"""Ids and times for rows made here: UUIDv7 that sort by when they were made, and ISO 8601."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LOW_BITS: Final = 48
_LOW_MASK: Final = (1 << _LOW_BITS) - 1
_LOW_TOP: Final = 1 << (_LOW_BITS - 1)  # always set: twelve digits without padding
_VARIANT: Final = 0b10 << 14


class Uuid7:
    """Makes UUIDv7 texts: 48 bits of milliseconds, then random bits that count up (RFC 9562, 6.2).

    Parameters
    ----------
    random_bits : `random.SystemRandom().getrandbits`, or a seeded one in a test.
    """

    __slots__ = ("_at_ms", "_head", "_low", "_middle")

    def __init__(self, random_bits: Callable[[int], int]) -> None:
        self._middle = f"7{random_bits(12):03x}-{_VARIANT | random_bits(14):04x}"
        self._low = random_bits(_LOW_BITS) | _LOW_TOP
        self._at_ms, self._head = -1, ""

    def __call__(self, at_s: float) -> str:
        """Return the next id; `at_s` is when its row was made, in seconds since 1970."""
        at_ms = int(at_s * 1_000)
        if at_ms != self._at_ms:  # many ids are of the same millisecond
            self._at_ms = at_ms
            text = f"{max(at_ms, 0):012x}"[-12:]
            self._head = f"{text[:8]}-{text[8:]}-{self._middle}-"
        self._low = low = (self._low + 1) & _LOW_MASK | _LOW_TOP
        return f"{self._head}{low:x}"


class IsoTime:
    """Writes seconds since 1970 as UTC ISO 8601 with milliseconds; remembers the last one."""

    __slots__ = ("_at_ms", "_second", "_text", "_whole")

    def __init__(self) -> None:
        self._at_ms, self._second = -1, -1
        self._text = self._whole = ""

    def __call__(self, at_s: float) -> str:
        """Return "2026-11-20T10:30:45.123Z"."""
        at_ms = int(at_s * 1_000)
        if at_ms != self._at_ms:
            self._at_ms = at_ms
            second, rest = divmod(at_ms, 1_000)
            if second != self._second:
                self._second = second
                self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._whole = f"{self._text}.{rest:03d}Z"
        return self._whole
