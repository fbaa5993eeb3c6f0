"""A metric by name, over a home, under filters: what a page, a command and a notebook all call.

The options may be what a person types: an event as text is read as `steps` reads it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data_access.filters import STAGES
from data_access.home import settings
from data_access.metrics.breakdown import GROUP, broken_down
from data_access.metrics.steps import step_of, steps_of
from data_access.sources import scan

if TYPE_CHECKING:
    from pathlib import Path

    from data_access.filters import Filters
    from data_access.metrics.registry import Metric

__all__ = ["compute", "frames_of", "with_events"]

_EVENTS: Final = frozenset({"start", "back", "goal"})  # options that are one event


def compute(
    metric: Metric,
    filters: Filters,
    home: str | Path | None = None,
    *,
    split: str | None = None,
    **options: Any,  # noqa: ANN401 - a metric's own options
) -> pl.LazyFrame:
    """Return the metric over the filters' window, as a plan.

    Parameters
    ----------
    split : ask once per group of this, named in the first column `group`: "tier", "stage",
        another column or a metadata key.
    options : the metric's own; `start`, `back`, `goal`, `steps` and `exclude` may be typed text.
    """
    read = with_events(options)
    if split == "stage":  # no column says it: `scan` does
        return pl.concat(
            _computed(metric, replace(filters, stages=(stage,)), home, read).select(
                pl.lit(stage).alias(GROUP), pl.all()
            )
            for stage in (filters.stages or STAGES)
        )
    if split is None:
        return _computed(metric, filters, home, read)
    # its own options are bound first: a metric may have a `by`, too
    asked = replace(metric, compute=partial(metric.compute, **read))
    frames = frames_of(metric, filters, home)
    users_min = settings(home).group_users_min
    return broken_down(asked, frames, filters.window, by=split, users_min=users_min)


def with_events(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with what a person types as an event read as one."""
    read = dict(options)
    for name in _EVENTS & read.keys():
        if isinstance(read[name], str):
            read[name] = step_of(read[name])
    if "steps" in read:
        read["steps"] = steps_of(read["steps"])
    if "exclude" in read:
        read["exclude"] = tuple((step_of(event), *rest) for event, *rest in read["exclude"])
    return read


def frames_of(metric: Metric, filters: Filters, home: str | Path | None) -> list[pl.LazyFrame]:
    """Return the metric's tables as far back as it looks, with the filters."""
    since = metric.since(filters.window)
    return [scan(source, home, since=since, filters=filters) for source in metric.sources]


def _computed(
    metric: Metric, filters: Filters, home: str | Path | None, options: dict[str, Any]
) -> pl.LazyFrame:
    plan: pl.LazyFrame = metric.compute(
        *frames_of(metric, filters, home), filters.window, **options
    )
    return plan
