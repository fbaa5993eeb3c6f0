"""Which metadata keys are worth offering: found in a look at some rows, never in all of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from data_access.metadata import METADATA_COLUMN, is_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    import polars as pl

KEYS_MAX: Final = 50
BREAKDOWN_VALUES_MAX: Final = 100  # a key with more is an id, or prose
PAIR_VALUES_MAX: Final = 12  # of one key, in the sidebar
PAIRS_MAX: Final = 200
VALUE_CHARS_MAX: Final = 60
_FLAGS: Final = {True: "true", False: "false"}  # as a filter reads them
_SEEN_MAX: Final = 1_000  # keys; more are no vocabulary
_TEXT_MAX: Final = 8_192  # longer metadata is no place to look for a key


@dataclass(frozen=True, slots=True)
class Found:
    """Keys to break a number down by, and "key:value" pairs to filter by, most frequent first."""

    keys: tuple[str, ...]
    pairs: tuple[str, ...]


def found_in(frames: Iterable[pl.DataFrame]) -> Found:
    """Return what frames of metadata texts, each with its number of rows `len`, offer."""
    seen: dict[str, Counter[str]] = {}
    for frame in frames:
        for text, rows in frame.select(METADATA_COLUMN, "len").iter_rows():
            _count(text, rows, seen)
    kept = {key: values for key, values in seen.items() if 0 < len(values) <= BREAKDOWN_VALUES_MAX}
    keys = sorted(kept, key=lambda key: (-kept[key].total(), key))[:KEYS_MAX]
    few = [key for key in keys if len(kept[key]) <= PAIR_VALUES_MAX]
    pairs = [f"{key}:{value}" for key in few for value, _ in kept[key].most_common()]
    return Found(tuple(keys), tuple(pairs[:PAIRS_MAX]))


def _count(text: str | None, rows: int, seen: dict[str, Counter[str]]) -> None:
    if not text or len(text) > _TEXT_MAX:
        return
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(said, dict):
        return
    for key, value in said.items():
        named = _FLAGS.get(value) if isinstance(value, bool) else value
        if isinstance(named, str) and 0 < len(named) <= VALUE_CHARS_MAX and is_key(key):
            _add(seen, key, named, rows)


def _add(seen: dict[str, Counter[str]], key: str, value: str, rows: int) -> None:
    """Count a value; one past the most a key may have is counted no further, and says so."""
    if key not in seen and len(seen) >= _SEEN_MAX:
        return
    values = seen.setdefault(key, Counter())
    if value in values or len(values) <= BREAKDOWN_VALUES_MAX:
        values[value] += rows
