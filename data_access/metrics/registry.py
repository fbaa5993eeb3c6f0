"""How a metric is listed: its function, the tables it reads and how far back it looks.

The function stays a plain function, called with its frames completed (`completed`); everything
a cell shows about it comes from its source.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import polars as pl

from data_access.metrics.common import completed

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

    def option_kinds(self) -> dict[str, str]:
        """Return the metric's own options by name, with the type its source gives each."""
        found = inspect.signature(self.compute).parameters
        return {
            name: str(one.annotation)
            for name, one in found.items()
            if name not in (*self.sources, "window")
        }

    def options_needed(self) -> list[str]:
        """Return the options that have no default."""
        found = inspect.signature(self.compute).parameters
        empty = inspect.Parameter.empty
        return [name for name in self.option_kinds() if found[name].default is empty]

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
    """List a metric function in METRICS under its own name.

    Its frames come first, named as its sources; each is completed before the function sees it.
    """

    def enlist(function: Function) -> Function:
        @functools.wraps(function)
        def compute(*given: object, **options: object) -> object:
            frames = [_completed(*pair) for pair in zip(given, sources, strict=False)]
            named = {
                name: _completed(value, name) if name in sources else value
                for name, value in options.items()
            }
            return function(*frames, *given[len(frames) :], **named)

        METRICS[function.__name__] = Metric(function.__name__, compute, sources, lookback_days)
        return cast("Function", compute)

    return enlist


def _completed(frame: object, table: str) -> object:
    """Return the frame completed; anything else is the function's own to refuse."""
    return completed(frame, table) if isinstance(frame, pl.LazyFrame | pl.DataFrame) else frame
