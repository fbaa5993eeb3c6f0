"""Any metric for each group of a property: the largest groups, and the rest as "other".

The metric does not know: it is computed over each group's own rows. So a person who was in two
groups is in both, and the groups do not add up to the whole, which is counted on its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data_access.keys import SMALL_GROUP_USERS
from data_access.metadata import METADATA_COLUMN
from data_access.metrics.common import (
    KEY,
    MetricError,
    has_column,
    user_key,
    users_of,
    weight_of,
)
from data_access.metrics.properties import has_key, property_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.metrics.registry import Metric
    from data_access.window import Window

__all__ = ["BREAKDOWNS", "GROUPS_MAX", "broken_down", "column_of"]

GROUPS_MAX: Final = 20  # each is one more computation of the metric
OTHER: Final = "other"
NO_VALUE: Final = "none named"
GROUP: Final = "group"

# what a person calls it -> the column; any other name is a metadata key
BREAKDOWNS: Final = {
    "tier": "user_tier",
    "channel": "channel",
    "release": "release",
    "project": "project_id",
    "event": "event_name",
}


def column_of(by: str) -> str:
    """Return the column a breakdown reads, or the metadata key it is."""
    return BREAKDOWNS.get(by, by)


def broken_down(
    metric: Metric,
    frames: Sequence[pl.LazyFrame],
    window: Window,
    *,
    by: str,
    most: int = 5,
    users_min: int = SMALL_GROUP_USERS,
    **options: Any,  # noqa: ANN401 - the metric's own options
) -> pl.LazyFrame:
    """Return the metric's frame once per group, with the group as first column.

    Definition
    ----------
    The groups are the values of `by` with most people inside the window, counted in the metric's
    first frame; the values after the first `most` are one group, "other". Where `by` is a column,
    rows without a value are the group "none named"; where it is a metadata key, rows that do not
    have it are in no group. A group of fewer than `users_min` people joins "other", and "other"
    is left out while it has fewer itself.

    Which groups there are is looked up at once; the rest is a plan.

    Parameters
    ----------
    by : "tier", "channel", "release", "project", "event", another column or a metadata key.
    most : how many values stay groups of their own, up to GROUPS_MAX.
    users_min : 0 shows every group.

    Columns
    -------
    group : String; the largest first, "other" last.
    ... : the metric's own columns.

    Raises
    ------
    MetricError : when `most` is out of range or `by` can be no metadata key.
    """
    if isinstance(most, bool) or not 1 <= most <= GROUPS_MAX:
        raise MetricError(f"most={most!r} is out of range. Use 1 to {GROUPS_MAX} groups.")
    name = column_of(by)
    marked = [_marked(frame, name) for frame in frames]
    named, rest = _groups(marked[0], window, most=most, users_min=users_min)
    wanted = {value: pl.col(GROUP) == value for value in named}
    if rest or not named:
        wanted[OTHER] = pl.lit(rest) & ~pl.col(GROUP).is_in(named)
    parts = []
    for value, which in wanted.items():
        own = [frame.filter(which).drop(GROUP) for frame in marked]
        plan: pl.LazyFrame = metric.compute(*own, window, **options)
        parts.append(plan.select(pl.lit(value).alias(GROUP), pl.all()))
    return pl.concat(parts)


def _marked(frame: pl.LazyFrame, name: str) -> pl.LazyFrame:
    """Return the rows that are in some group, with the group."""
    if has_column(frame, name):
        value = pl.col(name).cast(pl.String).fill_null("")
        return frame.with_columns(
            pl.when(value == "").then(pl.lit(NO_VALUE)).otherwise(value).alias(GROUP)
        )
    if not has_column(frame, METADATA_COLUMN):
        return frame.with_columns(pl.lit(None, pl.String).alias(GROUP)).filter(pl.lit(value=False))
    value = property_of(frame, name)
    return frame.filter(has_key(name)).with_columns(pl.when(value != "").then(value).alias(GROUP))


def _groups(
    frame: pl.LazyFrame, window: Window, *, most: int, users_min: int
) -> tuple[list[str], bool]:
    """Return the groups that stand on their own, and whether the rest is one."""
    rows = frame.filter(window.contains(), pl.col(GROUP).is_not_null())
    keyed = rows.filter(pl.col("user_id_hash").is_not_null()).select(
        GROUP, user_key(), weight_of(frame)
    )
    sizes = (
        users_of(keyed, [GROUP], user=KEY).sort("users", GROUP, descending=[True, False]).collect()
    )
    large = sizes.filter(pl.col("users") >= users_min, pl.col(GROUP) != OTHER)
    named = large[GROUP].head(most).to_list()
    others = keyed.filter(~pl.col(GROUP).is_in(named))
    people = users_of(others, user=KEY).collect()["users"].item()
    return named, people > 0 and people >= users_min
