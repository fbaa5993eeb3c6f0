"""One key of an event's metadata, which is JSON text, as an expression.

It knows no names of keys and raises over no data: a key that is missing, null or inside text that
is no JSON object reads as null.
"""

from __future__ import annotations

from typing import Final

import polars as pl

METADATA_COLUMN: Final = "metadata"
KEY_CHARS_MAX: Final = 100


def is_key(key: str) -> bool:
    """Return whether a metadata key could be called that."""
    return 0 < len(key) <= KEY_CHARS_MAX and not set(key) & set("'\"\\")


def json_text(key: str) -> pl.Expr:
    """Return the value of a key (`is_key`) as String; numbers and flags as their JSON text."""
    return pl.col(METADATA_COLUMN).str.json_path_match(f"$['{key}']").alias(key)


def names_key(*keys: str) -> pl.Expr:
    """Return whether the metadata's text names one of the keys: a cheap filter before a parse.

    It may be true for a key inside a value; never false for a key that is there.
    """
    text = pl.col(METADATA_COLUMN)
    if len(keys) == 1:
        return text.str.contains(f'"{keys[0]}"', literal=True).fill_null(value=False)
    any_of = "|".join(pl.escape_regex(key) for key in keys)
    return text.str.contains(f'"(?:{any_of})"').fill_null(value=False)
