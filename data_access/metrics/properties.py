"""What an event says about itself beyond its columns: one key of its metadata as an expression.

Metadata is JSON text. A key that is missing, null or inside text that is no JSON object reads as
null, and a value of another type than asked for too: nothing here raises over data.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metadata import METADATA_COLUMN, is_key, json_text, names_key, says
from data_access.metrics.common import MetricError, has_column
from ingest.vocabulary import CortexEventName

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "first_flag",
    "first_number",
    "first_text",
    "flag_of",
    "has_key",
    "number_of",
    "property_of",
    "saying",
    "text_of",
    "tool_name",
    "value_is",
]

SAID: Final = "_said"
_TRUE: Final = ("true", "1", "yes", "auto", "automatic", "accepted")
_FALSE: Final = ("false", "0", "no", "manual", "rejected")
_CALLED: Final = CortexEventName.SERVER_OPERATION_CALLED.value
_PREFIX: Final = r"^(?:mcp|ext)\."
_TOOL_FIRST: Final = r'^\{"tool_name": ?"([^"\\]+)"'


def text_of(key: str) -> pl.Expr:
    """Return a metadata key as String, named as the key; numbers and flags as their JSON text.

    About 0.8 us a row: filter first, with `has_key` where nothing else narrows.

    Raises
    ------
    MetricError : when no metadata key could be called that.
    """
    return json_text(_known(key))


def _known(key: str) -> str:
    if not is_key(key):
        raise MetricError(f"{key!r} is no metadata key. Use one such as 'ide' or 'tool_name'.")
    return key


def value_is(key: str, value: str, *, among: pl.Expr) -> pl.Expr:
    """Return whether `text_of` the key is the value, in the rows that meet `among`; never null.

    Only texts that may say so are parsed: a tenth of the time and less.

    Raises
    ------
    MetricError : when no metadata key could be called that.
    """
    return says(_known(key), [value], among=among)


def number_of(key: str) -> pl.Expr:
    """Return a metadata key as Float64; null where it is no finite number."""
    number = text_of(key).cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number).alias(key)


def flag_of(key: str) -> pl.Expr:
    """Return a metadata key as Boolean: true, 1, yes, auto; false, 0, no, manual; else null."""
    return _flag(text_of(key)).alias(key)


def _flag(text: pl.Expr) -> pl.Expr:
    said = text.str.to_lowercase()
    return pl.when(said.is_in(_TRUE) | said.is_in(_FALSE)).then(said.is_in(_TRUE))


def has_key(*keys: str) -> pl.Expr:
    """Return whether the metadata's text names one of the keys: a cheap filter before a parse.

    It may be true for a key inside a value; never false for a key that is there.
    """
    return names_key(*keys)


def saying(
    frame: pl.LazyFrame, keys: Sequence[str], *, among: Sequence[str] = (), anyway: bool = False
) -> pl.LazyFrame:
    """Return the rows with any of the metadata keys; `first_text` and the like then read them.

    All keys are read in one go, which costs what `text_of` costs for a single one. A number is
    told as short as it goes: 1.0 is "1".

    Parameters
    ----------
    among : the keys of which a row has to have one, where others are only read beside them.
    anyway : keep the rows with none of them as well; all keys are null there.

    Raises
    ------
    MetricError : when no metadata key could be called that.
    """
    wanted = {key: text_of(key) for key in keys}  # refuses what is no key
    texts = pl.col(METADATA_COLUMN).map_batches(
        partial(_read, wanted=wanted),
        return_dtype=pl.Struct(dict.fromkeys(wanted, pl.String)),
        is_elementwise=True,
    )
    named = has_key(*(among or keys))
    # what may be no JSON at all is not worth reading
    if anyway:
        return frame.with_columns(_blank_unless(named)).with_columns(texts.alias(SAID))
    return frame.filter(named).with_columns(texts.alias(SAID))


def _blank_unless(named: pl.Expr) -> pl.Expr:
    """Return the metadata, null where it does not name a key."""
    return pl.when(named).then(METADATA_COLUMN).alias(METADATA_COLUMN)


def _read(metadata: pl.Series, wanted: dict[str, pl.Expr]) -> pl.Series:
    """Return the keys of each text as a struct: at once, or where one text is amiss, one by one."""
    types = pl.Struct(dict.fromkeys(wanted, pl.String))
    try:
        found = metadata.str.json_decode(types)
    except pl.exceptions.ComputeError:  # of a single text that is no JSON object
        found = None
    if found is not None and len(found) == len(metadata):
        return found
    return (
        metadata.alias(METADATA_COLUMN)
        .to_frame()
        .select(pl.struct(list(wanted.values())))
        .to_series()
    )


def first_text(*keys: str) -> pl.Expr:
    """Return the first of the keys that a row of `saying` has, as String; empty ones are none."""
    said = [pl.col(SAID).struct.field(key).replace("", None) for key in keys]
    return pl.coalesce(said).alias(keys[0])


def first_flag(key: str) -> pl.Expr:
    """Return a key of a row of `saying` as Boolean, in the words `flag_of` knows."""
    return _flag(pl.col(SAID).struct.field(key)).alias(key)


def first_number(*keys: str) -> pl.Expr:
    """Return the first of the keys that a row of `saying` has as a finite number; else null."""
    numbers = [
        pl.col(SAID).struct.field(key).cast(pl.Float64, strict=False).alias(key) for key in keys
    ]
    finite = [pl.when(number.is_finite()).then(number) for number in numbers]
    return pl.coalesce(finite).alias(keys[0])


def property_of(frame: pl.LazyFrame, name: str) -> pl.Expr:
    """Return a column of the frame by its name, or else the metadata key of that name."""
    return pl.col(name) if has_column(frame, name) else text_of(name)


def tool_name(frame: pl.LazyFrame) -> pl.Expr:
    """Return which tool an event called, as `tool`; null where it called none.

    The metadata's `tool_name` of a `server_operation_called`; where none is given, the older name
    the event was written under (`search_context`, `update_memory`, ...), else the event's name.
    """
    written = pl.col("event_name")
    if has_column(frame, "source_name"):
        older = pl.col("source_name").str.replace(_PREFIX, "")
        written = pl.when(older == "tool_call").then("event_name").otherwise(older)
    is_call = (pl.col("event_name") == _CALLED).fill_null(value=False)
    # of a text that begins with the key no more is read: a third of the time of parsing it all
    said = pl.when(is_call).then(METADATA_COLUMN)
    first = said.str.extract(_TOOL_FIRST)
    rest = pl.when(first.is_null()).then(said).str.json_path_match("$['tool_name']")
    return pl.when(is_call).then(pl.coalesce(first, rest, written)).alias("tool")
