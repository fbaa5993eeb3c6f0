"""The one place where an exception of ours stops before it reaches the host's code.

Nothing else in ingest swallows an exception it does not name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

KINDS_LOGGED_MAX: Final = 20  # different exception types said in the log, once each
LOGGER: Final = "ingest"


class Boundary:
    """A `with` block that lets no exception out, counts it, and never shows what was in it.

    Parameters
    ----------
    strict : let exceptions out all the same; TELEMETRY_STRICT=1, so that tests see them.
    foreign : around somebody else's code, such as a `__str__`: not even an exit gets out, only
        Ctrl-C, and nothing is said of it, for it is no fault of ours.
    """

    __slots__ = ("caught", "foreign", "kinds", "strict")

    def __init__(self, *, strict: bool = False, foreign: bool = False) -> None:
        self.caught = 0
        self.kinds: set[str] = set()
        self.strict = strict
        self.foreign = foreign

    def __enter__(self) -> None:
        """Begin a stretch of code that must not hurt the host."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        """Count the exception and stop it; interrupts and exits go on."""
        if self.foreign:
            return error is not None and not isinstance(error, KeyboardInterrupt)
        if self.strict or not isinstance(error, Exception):
            return False
        self.caught += 1
        name = type(error).__name__
        if name not in self.kinds and len(self.kinds) < KINDS_LOGGED_MAX:
            self.kinds.add(name)
            warn("telemetry failed inside and went on: %s", name)
        return True


def warn(message: str, *values: object) -> None:
    """Say something of ours in the host's log; never a payload."""
    import logging  # noqa: PLC0415 - 8 ms that only trouble has to pay

    logging.getLogger(LOGGER).warning(message, *values)
