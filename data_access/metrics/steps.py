"""A step as a person types it: an event's name, what it has to say, or one of several events.

    context_loaded
    context_loaded or context_resumed
    server_operation_called where tool_name:search_context and ide:vscode
    any event where channel:web

What stands before the colon is a column of the events or else a metadata key; what stands behind
it is the whole value, exactly. A value that holds " and key:" itself goes into double quotes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.common import Event, MetricError, event_label, event_predicate
from data_access.metrics.properties import value_is
from data_access.schema import EVENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["names_of", "step_of", "steps_of"]

STEP_CHARS_MAX: Final = 500
CONDITIONS_MAX: Final = 10
ANY: Final = event_label(None)
_WHERE: Final = re.compile(r"\s+where\s+")
_OR: Final = re.compile(r"\s+or\s+")
_AND: Final = re.compile(r"\s+and\s+(?=[^\s:\"]+:)(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)")


def step_of(text: str) -> Event:
    """Return the event a text names: a plain name as it is, anything else as a predicate.

    The predicate is called what the text says, so a label reads as it was typed.

    Raises
    ------
    MetricError : when the text names no event, or a condition is no `key:value`.
    """
    text = text.strip()
    if not 0 < len(text) <= STEP_CHARS_MAX:
        raise MetricError(
            f"A step of {len(text)} characters is none. Write an event's name, such as "
            f"'context_loaded', in at most {STEP_CHARS_MAX} characters."
        )
    names, *conditions = _WHERE.split(text, maxsplit=1)
    which = _named(names)
    if not conditions:
        return event_predicate(which).alias(text) if isinstance(which, tuple) else which
    parts = _AND.split(conditions[0])
    if len(parts) > CONDITIONS_MAX:
        raise MetricError(f"{text!r} has {len(parts)} conditions. Use at most {CONDITIONS_MAX}.")
    is_such = event_predicate(which)
    tests = [is_such, *(_condition(part, text, is_such) for part in parts)]
    return pl.all_horizontal(tests).alias(text)


def steps_of(texts: Sequence[str]) -> tuple[Event, ...]:
    """Return the event of each text, in order."""
    return tuple(step_of(text) for text in texts)


def names_of(text: str) -> tuple[str, ...]:
    """Return the events' names in a text that `step_of` reads; none for any event."""
    which = _named(_WHERE.split(text.strip(), maxsplit=1)[0])
    if which is None:
        return ()
    return (which,) if isinstance(which, str) else which


def _named(names: str) -> str | tuple[str, ...] | None:
    """Return the event before "where": a name, several of them, or None for any."""
    if names.strip() == ANY:
        return None
    several = tuple(name for name in _OR.split(names.strip()) if name)
    return several[0] if len(several) == 1 else several


def _condition(part: str, text: str, is_such: pl.Expr) -> pl.Expr:
    """Return the predicate of one `key:value`; null values match nothing.

    Parameters
    ----------
    is_such : the predicate of the events it is about; nothing is parsed in others.
    """
    key, colon, value = part.partition(":")
    key, value = key.strip(), value.strip()
    if not (key and colon and value):
        raise MetricError(
            f"{part!r} in {text!r} is no condition. Write key:value after 'where', such as "
            "'context_loaded where ide:vscode', and join several with ' and '."
        )
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return _property(key, value, text, is_such).fill_null(value=False)


def _property(key: str, value: str, text: str, is_such: pl.Expr) -> pl.Expr:
    """Return whether a column, or else a metadata key, says exactly the value."""
    dtype = EVENTS.get(key)
    if dtype is None:
        return value_is(key, value, among=is_such)
    if dtype == pl.String:
        return pl.col(key) == value
    if dtype == pl.Boolean and value.lower() in {"true", "false"}:
        return pl.col(key) == (value.lower() == "true")
    if dtype.is_numeric():
        try:
            return pl.col(key) == float(value)
        except ValueError:
            pass
    wanted = {pl.Boolean: "true or false", pl.Float64: "a number"}.get(type(dtype), "no condition")
    raise MetricError(f"{key}:{value} in {text!r} can match nothing: {key} takes {wanted}.")
