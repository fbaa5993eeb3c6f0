"""A long table made wide: one row per value of one column, one column per value of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from data_access.explore.question import is_pattern
from data_access.explore.refused import QueryRefused

PIVOT_COLUMNS_MAX: Final = 50
EMPTY: Final = "(none)"


@dataclass(frozen=True, slots=True)
class Pivoted:
    """The wide table; `left_out` is how many columns there was no room for."""

    frame: pl.DataFrame
    left_out: int


def pivoted(
    frame: pl.DataFrame, rows: str, columns: str, value: str, *, most: int = PIVOT_COLUMNS_MAX
) -> Pivoted:
    """Return a row per value of `rows` and a column per value of `columns`, holding `value`.

    The columns with the largest sums stay when there are more than `most`; a time or a number
    keeps its order. Where nothing was found is null.

    Raises
    ------
    QueryRefused : when a column is missing, named twice, or a cell has more than one value.
    """
    for name in (rows, columns, value):
        if name not in frame.columns:
            raise QueryRefused(
                "The answer has no column", f"{name!r}.", f"It has {', '.join(frame.columns)}."
            )
    if len({rows, columns, value}) < 3:  # noqa: PLR2004 - rows, columns and value
        raise QueryRefused("Rows, columns and value of a pivot are three different columns.")
    if frame.select(pl.struct(rows, columns).is_duplicated().any()).item():
        raise QueryRefused(
            "A pivot has room for one value in each cell, and the answer has more:",
            f"several rows share a {rows} and a {columns}.",
            "Group by these two alone.",
        )
    kept = _columns(frame, columns, value, most)
    names = [EMPTY if one is None else _name(str(one)) for one in kept]
    wide = frame.select(pl.col(rows).unique(maintain_order=True))
    for one, name in zip(kept, _apart(names, rows), strict=True):
        of_one = frame.filter(pl.col(columns).eq_missing(pl.lit(one, frame.schema[columns])))
        wide = wide.join(
            of_one.select(rows, pl.col(value).alias(name)),
            on=rows,
            how="left",
            nulls_equal=True,
            maintain_order="left",
        )
    return Pivoted(wide, frame[columns].n_unique() - len(kept))


def _columns(frame: pl.DataFrame, columns: str, value: str, most: int) -> list[object]:
    """Return the values to make columns of: the largest, in their own order."""
    size = pl.col(value).sum() if frame.schema[value].is_numeric() else pl.len()
    sums = frame.group_by(columns, maintain_order=True).agg(size.alias("size"))
    kept = sums.sort("size", descending=True, nulls_last=True, maintain_order=True).head(most)
    if frame.schema[columns] == pl.String:  # the largest first, as a legend has it
        return kept[columns].to_list()
    return kept[columns].sort(nulls_last=True).to_list()


def _name(value: str) -> str:
    return f"“{value}”" if is_pattern(value) else value


def _apart(names: list[str], *taken: str) -> list[str]:
    """Return the names, each told apart from those before it."""
    seen: set[str] = set(taken)
    found = []
    for name in names:
        unique, number = name, 2
        while unique in seen:
            unique, number = f"{name} ({number})", number + 1
        seen.add(unique)
        found.append(unique)
    return found
