"""How a metric is listed: its function, the tables it reads and how far back it looks.

The function stays a plain function; everything a cell shows about it comes from its source.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from data_access.window import Window

METRICS: Final[dict[str, Metric]] = {}

ALL_HISTORY: Final = -1
PREVIOUS_WINDOW: Final = -2  # as many days as the window itself has


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: `compute(*frames, window, **options)` over the `sources` in order.

    `lookback_days` is how many days before the window it reads: 0, 6, 29, ALL_HISTORY or
    PREVIOUS_WINDOW.
    """

    name: str
    compute: Callable[..., Any]
    sources: tuple[str, ...]
    lookback_days: int

    @property
    def definition(self) -> str:
        """The docstring: the definition a reader can argue with."""
        return inspect.getdoc(self.compute) or ""

    @property
    def summary(self) -> str:
        """The docstring's first line."""
        return self.definition.partition("\n")[0]

    @property
    def code(self) -> str:
        """The function's source."""
        return inspect.getsource(self.compute)

    def since(self, window: Window) -> datetime | None:
        """Return the first instant the metric has to see; None means all history."""
        if self.lookback_days == ALL_HISTORY:
            return None
        if self.lookback_days == PREVIOUS_WINDOW:
            return window.previous().opens_at
        # a month is the longest period a metric widens its window to
        return window.opens_at - timedelta(days=self.lookback_days + 31)


Function = TypeVar("Function", bound="Callable[..., Any]")


def metric(*sources: str, lookback_days: int = 0) -> Callable[[Function], Function]:
    """List a metric function in METRICS under its own name."""

    def enlist(function: Function) -> Function:
        METRICS[function.__name__] = Metric(function.__name__, function, sources, lookback_days)
        return function

    return enlist
