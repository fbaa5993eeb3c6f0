"""Values and texts as source or as markdown: whatever they hold, they stay what they are."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Final

_LINKS: Final = re.compile(r"[\\`\[\]|$]")  # what begins more in markdown than emphasis


class CannotTell(ValueError):  # noqa: N818 - names the situation
    """Something in a cell has no form in source. The message says what."""


def literal(value: object) -> str:
    """Return a plain value as source; whatever it holds, it stays one literal."""
    if isinstance(value, str):
        return quoted(value)
    if value is None or isinstance(value, bool | int | float):
        return _number(value) if isinstance(value, float) else repr(value)
    if isinstance(value, datetime):
        return f"datetime.fromisoformat({quoted(value.isoformat())})"
    if isinstance(value, date):
        return f"date({value.year}, {value.month}, {value.day})"
    if isinstance(value, tuple):
        inner = ", ".join(map(literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    raise CannotTell(f"A {type(value).__name__} among the options has no form in a notebook.")


def quoted(value: str) -> str:
    """Return a text as a literal in double quotes where that needs no escapes, else as Python's."""
    said = repr(value)
    return f'"{said[1:-1]}"' if said[0] == "'" and '"' not in said and "\\" not in said else said


def _number(value: float) -> str:
    return repr(value) if value - value == 0 else f'float("{value}")'


def text_of(value: str) -> str:
    """Return a long text as readable source: raw where nothing in it ends the quotes."""
    for quote in ('"""', "'''"):
        is_safe = quote not in value and not value.endswith((quote[0], "\\"))
        if is_safe and "\r" not in value and "\x00" not in value:
            return f"r{quote}{value}{quote}"
    return repr(value)


def markdown(value: str) -> str:
    """Return markdown in which text from the data is no HTML; Streamlit's icons are left out."""
    plain = value.replace("&", "&amp;").replace("<", "&lt;")
    words = plain.split(" ")
    return " ".join(one for one in words if not one.startswith(":material/"))


def unlinked(value: str) -> str:
    """Return text from the data in which markdown finds no image, link, code or table.

    An image would tell its server who opened the notebook, before a cell of it is run.
    """
    return _LINKS.sub(r"\\\g<0>", " ".join(value.split()))
