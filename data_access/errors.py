"""What a page may have to catch, and the troubles it shows.

DataUnavailable      nothing can be read: no home, or a path that is not one
MetricError          a number was asked for with an option it cannot work with
"""

from __future__ import annotations

from dataclasses import dataclass


class DataUnavailable(RuntimeError):  # noqa: N818 - names the situation
    """There is no data to read. The message says where we looked and what to do next."""


class MetricError(ValueError):
    """An option a metric cannot work with. The message says what to pass instead."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One trouble with the data, in words for the page.

    `kind` is out of a closed set: corrupt, locked, unreadable, quarantined, flagged, clock,
    settings, copy.
    """

    kind: str
    where: str
    what: str
    what_to_do: str
    count: int = 1


def counted(count: int, noun: str) -> str:
    """Return "1 line" or "1,234 lines"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
