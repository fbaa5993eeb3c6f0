"""The rows behind the numbers as CSV, batch by batch: never more than a batch in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

import data_access
from data_access import export
from data_access.config import PEOPLE_COLUMNS
from ingest.vocabulary import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from data_access.api.reader import Reader


@dataclass(frozen=True, slots=True)
class Rows:
    """What an export holds: its plan, its rows, and how many there would be without a limit."""

    plan: pl.LazyFrame
    rows: int
    total: int

    @property
    def is_cut(self) -> bool:
        """Tell whether the limit left rows out."""
        return self.rows < self.total

    def csv(self) -> Iterator[bytes]:
        """Return the CSV in pieces, the first one with the header."""
        return export.chunks(self.plan, "csv", limit=self.rows)


def rows_of(reader: Reader, table: str, *, named: bool) -> Rows:
    """Return the rows of a table in the window and under the filters; without names, if asked."""
    time = TABLES[table].time_column
    plan = data_access.scan(
        table, reader.home, since=reader.window.opens_at, filters=reader.filters
    ).filter(reader.window.contains(time))
    if not named:
        plan = plan.drop(PEOPLE_COLUMNS, strict=False)
    total = int(plan.select(pl.len()).collect().item())
    most = reader.settings.limits.export_rows
    return Rows(plan.head(most), min(total, most), total)
