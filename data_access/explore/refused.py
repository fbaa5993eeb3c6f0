"""What a page has to catch when a query is not answered: what, where, and what to do instead."""

from __future__ import annotations

from typing import Final

# why a query was not answered
REFUSED: Final = "refused"  # not allowed, or not understood: nothing ran
FAILED: Final = "failed"  # allowed, but the engine could not answer it
BUSY: Final = "busy"
CANCELLED: Final = "cancelled"
TIME: Final = "time"
MEMORY: Final = "memory"
SIZE: Final = "size"
CRASHED: Final = "crashed"
MOVED: Final = "moved"  # the copy's files were written anew while they were read
_STOPPED: Final = frozenset({CANCELLED, TIME, MEMORY, SIZE, CRASHED})


class QueryRefused(ValueError):  # noqa: N818 - names the situation
    """A query that is not answered.

    Parameters
    ----------
    what : what was wrong, a sentence.
    where : the words of the query it is about, or the line; empty when it is about all of it.
    what_to_do : what to do instead, a sentence.
    kind : "refused", "failed", "busy", or what stopped it: "cancelled", "time", "memory", "size",
        "crashed", "moved".
    """

    def __init__(
        self, what: str, where: str = "", what_to_do: str = "", *, kind: str = REFUSED
    ) -> None:
        self.what, self.where, self.what_to_do, self.kind = what, where, what_to_do, kind
        super().__init__(" ".join(part for part in (what, where, what_to_do) if part))


class QueryStopped(QueryRefused):
    """A query that had begun and was stopped: cancelled, or over one of the limits."""


def refusal(what: str, where: str, what_to_do: str, kind: str) -> QueryRefused:
    """Return the error of a kind, as a child's words say it."""
    made = QueryStopped if kind in _STOPPED else QueryRefused
    return made(what, where, what_to_do, kind=kind)
