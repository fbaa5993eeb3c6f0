"""One question as plain values: to and from a link, and a cache key. It touches no data.

Either `sql`, or a table with what to count, group, filter and draw.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode

from data_access.metadata import is_key
from data_access.schema import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PREFIX: Final = "explore."  # of the names in a link, as of every page's own choices
KEY_PREFIX: Final = "metadata."  # metadata.ide is the key "ide"
HIDDEN: Final = "~"  # begins the columns nobody wrote down; no name in a query may
KEY_COLUMN: Final = f"{HIDDEN}key."
BUCKET_COLUMN: Final = f"{HIDDEN}page."
# what a table can be grouped by beside its columns, in the window's timezone
BUCKETS: Final = ("hour", "day", "week", "month", "weekday", "hour_of_day")
# measure -> whether it is taken of a column
MEASURES: Final[dict[str, bool]] = {
    "": False,  # the rows as they are
    "count": False,
    "people": False,
    "sessions": False,
    "rows": False,
    "error_rate": False,
    "success_rate": False,
    "sum": True,
    "mean": True,
    "min": True,
    "max": True,
    "median": True,
    "p75": True,
    "p90": True,
    "p95": True,
    "p99": True,
}
# how an answer is shown; "auto" leaves it to what the answer looks like
PICTURES: Final = (
    *("auto", "table", "pivot", "number"),
    *("line", "area", "bar", "scatter", "heatmap"),
)
OPERATORS: Final = {
    "is": "is",
    "not": "is not",
    "any": "is one of",
    "contains": "contains",
    "starts": "starts with",
    "gt": "is more than",
    "ge": "is at least",
    "lt": "is less than",
    "le": "is at most",
    "empty": "is empty",
    "filled": "is not empty",
}
WITHOUT_VALUE: Final = ("empty", "filled")
NAMES_MAX: Final = 30  # columns, groups or conditions of one question
NAME_CHARS_MAX: Final = 200
VALUE_CHARS_MAX: Final = 1_000
LIMIT_MAX: Final = 1_000_000
LINK_CHARS_MAX: Final = 100_000
_PATTERN: Final = re.compile(r"\*|\^.*\$", re.DOTALL)


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """One more condition on the rows: a column or metadata key, an operator, a value as text."""

    column: str
    operator: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.operator}:{self.column}:{self.value}"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Parameters
    ----------
    sql : the question in SQL; everything up to `all_history` is then left alone.
    table : "events", "errors", "traces" or "sessions".
    columns : the columns of raw rows to show, none for all; used when nothing is measured.
    group : columns, metadata keys ("metadata.ide") and parts of time out of `BUCKETS`.
    measure : one of `MEASURES`; "" shows rows as they are.
    of : the column or metadata key measured, for a sum, a mean, a percentile, ...
    where : conditions on the rows beside the page's filters; all have to hold.
    order : a column of the answer; with a "-" before it the largest first.
    limit : rows of the answer at most; 0 for as many as the server allows.
    all_history : leave the page's days out of account.
    picture : one of `PICTURES`; x, y and series name columns of the answer.
    notes : what a link asked for that was ignored; takes no part in equality.
    """

    sql: str = ""
    table: str = "events"
    columns: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    measure: str = "count"
    of: str = ""
    where: tuple[Condition, ...] = ()
    order: str = ""
    limit: int = 0
    all_history: bool = False
    picture: str = "auto"
    x: str = ""
    y: str = ""
    series: str = ""
    notes: tuple[str, ...] = field(default=(), compare=False)

    def to_query(self) -> list[tuple[str, str]]:
        """Return the (name, value) pairs of a link that asks exactly this; defaults are left out.

        A measure of "" is written "raw", since an empty value is no value in a link.
        """
        pairs: list[tuple[str, str]] = []
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name == "notes" or value == one.default:
                continue
            several = value if isinstance(value, tuple) else (value,)
            name = PREFIX + ("if" if one.name == "where" else one.name)
            pairs += [(name, _text(each)) for each in several]
        return pairs

    def to_link(self) -> str:
        """Return the pairs of `to_query` as a query string."""
        return urlencode(self.to_query())

    @classmethod
    def from_query(cls, query: str | Mapping[str, Sequence[str]]) -> Question:
        """Return the question of a link; what cannot be used is left out and named in `notes`."""
        notes: list[str] = []
        asked = _asked(query, notes)
        read = _Reader(asked, notes)
        return cls(
            sql=asked.get("sql", [""])[-1],
            table=read.one("table", tuple(SCHEMAS)),
            columns=read.names("columns"),
            group=read.names("group"),
            measure=read.one("measure", tuple(MEASURES)),
            of=read.name("of"),
            where=read.conditions(),
            order=read.name("order"),
            limit=read.number("limit", LIMIT_MAX),
            all_history=read.one("all_history", ("", "yes")) == "yes",
            picture=read.one("picture", PICTURES),
            x=read.name("x"),
            y=read.name("y"),
            series=read.name("series"),
            notes=tuple(notes),
        )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) or "raw"


def _asked(query: str | Mapping[str, Sequence[str]], notes: list[str]) -> dict[str, list[str]]:
    if isinstance(query, str):
        if len(query) > LINK_CHARS_MAX:
            notes.append("Ignored the question in the link: it is longer than any real one.")
            return {}
        pairs = parse_qsl(query.removeprefix("?"), keep_blank_values=True)
    else:
        pairs = [(name, value) for name, values in query.items() for value in values]
    asked: dict[str, list[str]] = {}
    for name, value in pairs:
        if name.startswith(PREFIX):
            asked.setdefault(name.removeprefix(PREFIX), []).append(value)
    return asked


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the values of a link one by one, and notes what is none."""

    asked: dict[str, list[str]]
    notes: list[str]

    def _refuse(self, name: str, value: str, why: str = "") -> None:
        self.notes.append(f"Ignored unknown {name}: {value[:40]!r}.{why}")

    def one(self, name: str, allowed: tuple[str, ...]) -> str:
        default = "count" if name == "measure" else allowed[0]
        value = self.asked.get(name, [default])[-1]
        if name == "measure" and value == "raw":
            return ""
        if value in allowed:
            return value
        self._refuse(name, value, f" It may be {', '.join(filter(None, allowed))}.")
        return default

    def name(self, name: str) -> str:
        value = self.asked.get(name, [""])[-1]
        if len(value) <= NAME_CHARS_MAX:
            return value
        self._refuse(name, value, " It is too long.")
        return ""

    def names(self, name: str) -> tuple[str, ...]:
        kept: list[str] = []
        for value in dict.fromkeys(self.asked.get(name, [])):
            if 0 < len(value) <= NAME_CHARS_MAX and len(kept) < NAMES_MAX:
                kept.append(value)
            else:
                self._refuse(name, value)
        return tuple(kept)

    def conditions(self) -> tuple[Condition, ...]:
        kept: list[Condition] = []
        for text in dict.fromkeys(self.asked.get("if", [])):
            operator, _, rest = text.partition(":")
            column, _, value = rest.partition(":")
            if not column or operator not in OPERATORS or len(kept) >= NAMES_MAX:
                self._refuse("condition", text)
            elif len(column) > NAME_CHARS_MAX or len(value) > VALUE_CHARS_MAX:
                self._refuse("condition", text, " It is too long.")
            else:
                kept.append(Condition(column, operator, value))
        return tuple(kept)

    def number(self, name: str, most: int) -> int:
        value = self.asked.get(name, ["0"])[-1]
        if value.isascii() and value.isdigit() and len(value) <= len(str(most)):
            return min(int(value), most)
        self._refuse(name, value)
        return 0


def is_pattern(name: str) -> bool:
    """Tell whether the engine takes a name for a pattern of names."""
    return _PATTERN.fullmatch(name) is not None


def is_name(text: str) -> bool:
    """Tell whether a column can be called that."""
    is_hidden = text.startswith(HIDDEN)
    return 0 < len(text) <= NAME_CHARS_MAX and not ('"' in text or is_hidden or is_pattern(text))


def key_of(name: str) -> str | None:
    """Return the metadata key a name like "metadata.ide" means, or None."""
    key = name.removeprefix(KEY_PREFIX)
    return key if key != name and is_key(key) else None


def listed(value: str) -> list[str]:
    """Return the values of "is one of": between commas."""
    return [part.strip() for part in value.split(",") if part.strip()]


def is_listable(value: str) -> bool:
    """Tell whether a value can be one of several between commas."""
    return bool(value) and "," not in value and value == value.strip()
