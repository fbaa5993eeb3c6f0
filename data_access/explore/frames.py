"""The tables as a query sees them: the page's rows, and a few columns nobody wrote down.

A metadata key and a part of time are columns only where a query names them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.explore.question import BUCKET_COLUMN, BUCKETS, KEY_COLUMN
from data_access.metadata import METADATA_COLUMN, quick_text
from data_access.schema import SCHEMAS
from ingest.vocabulary import TABLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.explore.checked import Checked
    from data_access.explore.running import Request
    from data_access.window import Window

WEIGHT: Final = "weight"
# who somebody is, and when they were there: the same session would find a person again
NAMING: Final = ("user_id_hash", "session_id")


def framed(request: Request, checked: Checked) -> dict[str, pl.LazyFrame]:
    """Return the tables a query names, cut by the page's filters and days."""
    return {table: _frame(request, checked, table) for table in checked.tables}


def _frame(request: Request, checked: Checked, table: str) -> pl.LazyFrame:
    window, moment = request.window, TABLES[table].time_column
    since = None if request.all_history else window.opens_at
    frame = request.handed.scan(table, since=since, filters=request.filters)
    if not request.all_history:
        frame = frame.filter(window.contains(moment))
    if request.disguise is not None:
        named = [name for name in NAMING if name in SCHEMAS[table]]
        frame = frame.with_columns(_disguised(name, request.disguise) for name in named)
    return with_named(frame, table, window, keys=checked.keys, buckets=checked.buckets)


def _disguised(name: str, seed: int) -> pl.Expr:
    """Return a column called anew; whoever has no name still has none."""
    return pl.when(pl.col(name).is_not_null()).then(pl.col(name).hash(seed).cast(pl.String))


def with_named(
    frame: pl.LazyFrame,
    table: str,
    window: Window,
    *,
    keys: Sequence[str] = (),
    buckets: Sequence[str] = (),
) -> pl.LazyFrame:
    """Return a table with the metadata keys and the parts of time that a query names as columns."""
    moment = TABLES[table].time_column
    made = [_bucket(window, moment, name) for name in BUCKETS if name in buckets]
    if METADATA_COLUMN in SCHEMAS[table]:
        made += [quick_text(key).alias(KEY_COLUMN + key) for key in keys]
    if WEIGHT in SCHEMAS[table]:
        made.append(pl.col(WEIGHT).fill_null(1.0))
    return frame.with_columns(made)


def _bucket(window: Window, moment: str, name: str) -> pl.Expr:
    local = pl.col(moment).dt.convert_time_zone(window.timezone)
    made = {
        "hour": local.dt.truncate("1h"),
        "day": window.period(moment),
        "week": window.period(moment, every="1w"),
        "month": window.period(moment, every="1mo"),
        "weekday": local.dt.weekday().cast(pl.Int64),
        "hour_of_day": local.dt.hour().cast(pl.Int64),
    }
    return made[name].alias(BUCKET_COLUMN + name)
