"""What a notebook tells: its words, its frames and where they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from data_access.filters import Filters


@dataclass(frozen=True, slots=True)
class Query:
    """A question in SQL, as it ran: over which tables, and which hidden columns it reads.

    `asked` is what the reader wrote or put together; `rows` how many were kept of the answer.
    """

    asked: str
    ran: str
    tables: tuple[str, ...]
    keys: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    all_history: bool = False
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """One frame of a cell: which metric, with which options, and the numbers it gave.

    `name` is what the cell calls it; `is_before` when it is of the period before. With `query` it
    is no metric's but the answer to a question.
    """

    name: str
    metric: str
    frame: pl.DataFrame
    options: Mapping[str, Any] = field(default_factory=dict)
    split: str | None = None
    is_before: bool = False
    query: Query | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """Everything a notebook tells.

    `words` are paragraphs of markdown: what the cell says. `facts` are further lines by name.
    `picture` is the code of the chart, over the parts' variables; a plain one where it is empty.
    """

    title: str
    words: Sequence[str]
    parts: Sequence[Part]
    filters: Filters
    home: str
    version: str
    facts: Mapping[str, str] = field(default_factory=dict)
    picture: str = ""


def variables(parts: Sequence[Part]) -> list[str]:
    """Return each part's variable, in order."""
    if len(parts) == 1:
        return ["rows"]
    taken: set[str] = set()
    return [_name_of(f"{one.name} before" if one.is_before else one.name, taken) for one in parts]


def _name_of(words: str, taken: set[str]) -> str:
    """Return a variable for a frame, like no other name there is."""
    plain = "".join(one if one.isascii() and one.isalnum() else "_" for one in words.lower())
    plain = "_".join(filter(None, plain.split("_"))) or "all"
    base = f"{plain}_rows" if plain[0].isalpha() else f"of_{plain}_rows"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    taken.add(name)
    return name
