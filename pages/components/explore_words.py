"""What tables, columns, measures and pictures of Explore are called, and what they mean.

Words only: the columns themselves are the vocabulary's, and a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.explore.question import KEY_PREFIX, OPERATORS, WITHOUT_VALUE
from data_access.schema import SCHEMAS
from ingest.vocabulary import METADATA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.explore.question import Question

TABLES: Final = {
    "events": "What people did: a row per event.",
    "errors": "What went wrong: a row per error, or per minute of the same one (`occurrences`).",
    "traces": "How long operations took: a row per operation that was timed.",
    "sessions": "Sessions as older systems wrote them; empty in most homes. To count sessions, "
    "take `session_id` of the events.",
}
# column -> (what it is in, what it means); a test holds the names to the vocabulary's
MEANINGS: Final[dict[str, tuple[str, str]]] = {
    "event_id": ("", "tells this row from all others"),
    "timestamp": ("UTC", "when"),
    "event_name": ("", "what happened, under its standard name"),
    "source_name": ("", "the event's name as it was written"),
    "user_id_hash": ("", "who: a pseudonym, never a name"),
    "user_tier": ("", "free, trial, paid or enterprise, at that moment"),
    "is_paid_user": ("", "whether that tier pays"),
    "session_id": ("", "the session it belongs to; empty where nobody said"),
    "channel": ("", "server, extension or web"),
    "project_id": ("", "the project, a pseudonym where it could be a name"),
    "branch_id": ("", "the branch of the context"),
    "context_id": ("", "the context it is about"),
    "result": ("", "success, error or timeout"),
    "duration_ms": ("milliseconds", "how long it took; empty where nobody measured"),
    "metadata": ("JSON", "what else it says; one key is a column: metadata.ide"),
    "release": ("", "the product's version"),
    "weight": ("", "how many the row stands for: 1, more where only a sample is kept"),
    "error_type": ("", "the kind of error, such as ValueError"),
    "error_message": ("", "what it said, with secrets and paths masked"),
    "stack_trace": ("", "where it happened, line by line"),
    "stack_hash": ("", "the fault's fingerprint, as it was written"),
    "group_hash": ("", "the fault's fingerprint: equal for the same fault"),
    "hash_version": ("", "which version of the fingerprint was written"),
    "severity": ("", "debug, info, warning, error or critical"),
    "related_event_name": ("", "the event during which it happened"),
    "occurrences": ("", "how often it happened within the row's minute"),
    "first_at": ("UTC", "when it first happened in that minute"),
    "last_at": ("UTC", "when it last happened in that minute"),
    "operation_name": ("", "which operation"),
    "success": ("", "whether it succeeded"),
    "result_count": ("", "how many results it gave"),
    "start_time": ("UTC", "when the session began"),
    "end_time": ("UTC", "when it ended"),
    "duration_sec": ("seconds", "how long it lasted"),
    "event_count": ("", "events in it"),
    "error_count": ("", "errors in it"),
    "os": ("", "the operating system"),
    "ide": ("", "the editor"),
    "extension_version": ("", "the extension's version"),
    "mcp_version": ("", "the server's version"),
}
MEASURES: Final = {
    "count": "How many",
    "people": "People",
    "sessions": "Sessions",
    "rows": "Rows stored",
    "error_rate": "Error rate",
    "success_rate": "Success rate",
    "sum": "Sum of",
    "mean": "Mean of",
    "min": "Smallest",
    "max": "Largest",
    "median": "Median of",
    "p75": "p75 of",
    "p90": "p90 of",
    "p95": "p95 of",
    "p99": "p99 of",
    "": "Nothing: show the rows",
}
BUCKETS: Final = {
    "hour": "Hour",
    "day": "Day",
    "week": "Week",
    "month": "Month",
    "weekday": "Day of the week",
    "hour_of_day": "Hour of the day",
}
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
PICTURES: Final = {
    "line": "Line",
    "area": "Area",
    "bar": "Bars",
    "scatter": "Dots",
    "heatmap": "Grid",
    "number": "Number",
}
_ALMOST: Final = 0.75  # as difflib counts: a letter or two of a name are wrong
# what rows are grouped by most, in this order; the other columns follow
_FIRST: Final = (
    *("event_name", "error_type", "operation_name", "user_tier", "channel", "release", "result"),
    *("severity", "success", "is_paid_user", "project_id"),
)
_TEXTS: Final = ("metadata", "stack_trace", "error_message")  # too long to group by
_TYPES: Final = {
    pl.String: "text",
    pl.Float64: "number",
    pl.Int64: "whole number",
    pl.Boolean: "yes or no",
    pl.Datetime: "time",
}


@dataclass(frozen=True, slots=True)
class Described:
    """A column as the help beside a query lists it."""

    name: str
    kind: str
    unit: str
    meaning: str


def described(table: str) -> list[Described]:
    """Return every column of a table with its type, unit and meaning."""
    return [
        Described(name, _TYPES[type(dtype)], *MEANINGS[name])
        for name, dtype in SCHEMAS[table].items()
    ]


def label(name: str) -> str:
    """Return a bucket, a column or a metadata key the way a person reads it."""
    if name in BUCKETS:
        return BUCKETS[name]
    if name.startswith(KEY_PREFIX):
        return f"{name.removeprefix(KEY_PREFIX)} (metadata)"
    return name


def keys_of(table: str, found: Sequence[str]) -> list[str]:
    """Return the metadata keys of a table as columns: those the data has."""
    return [f"{KEY_PREFIX}{key}" for key in found] if "metadata" in SCHEMAS[table] else []


def doubts(question: Question, found: Sequence[str]) -> list[str]:
    """Say which names are no column, no key the data is known to have, and almost a column."""
    if question.sql:
        return []
    columns = {*SCHEMAS[question.table], *BUCKETS}
    named = (
        *question.columns,
        *question.group,
        question.of,
        *(one.column for one in question.where),
    )
    unknown = [
        name
        for name in dict.fromkeys(named)
        if name not in columns and name not in found and not name.startswith(KEY_PREFIX)
    ]
    return [
        f"No column is called {name[:40]!r}, so it was looked for among the keys of the metadata. "
        f"Did you mean {meant!r}?"
        for name in unknown
        for meant in get_close_matches(name, sorted(columns), n=1, cutoff=_ALMOST)
    ]


def groups_of(table: str, found: Sequence[str]) -> list[str]:
    """Return what a table can be grouped by, the most asked first."""
    columns = [name for name, dtype in SCHEMAS[table].items() if _groups(name, dtype)]
    first = [name for name in _FIRST if name in columns]
    return [
        *BUCKETS,
        *first,
        *keys_of(table, found),
        *[name for name in columns if name not in first],
    ]


def numbers_of(table: str) -> list[str]:
    """Return what of a table can be added up: its numbers, and the metadata's known ones."""
    columns = [name for name, dtype in SCHEMAS[table].items() if dtype.is_numeric()]
    known = [key for key, told in METADATA.items() if told.kind == "number"]
    ordered = sorted(name for name in columns if name not in {"weight", "hash_version"})
    return [*ordered, *keys_of(table, known)]


def conditions_of(table: str, found: Sequence[str]) -> list[str]:
    """Return what of a table conditions can be about: every column and the keys it has."""
    columns = list(SCHEMAS[table])
    first = [name for name in _FIRST if name in columns]
    others = [name for name in columns if name not in first and name != "metadata"]
    return [*first, *keys_of(table, found), *others]


def measures_of(table: str) -> list[str]:
    """Return the measures that make sense for a table."""
    columns = SCHEMAS[table]
    left_out = {"error_rate"} if "result" not in columns else set()
    left_out |= {"success_rate"} if not {"result", "success"} & set(columns) else set()
    return [name for name in MEASURES if name not in left_out]


def operator(name: str) -> str:
    """Return an operator in words."""
    return OPERATORS[name]


def needs_value(name: str) -> bool:
    """Tell whether an operator compares with a value."""
    return name not in WITHOUT_VALUE


def _groups(name: str, dtype: pl.DataType) -> bool:
    is_time = isinstance(dtype, pl.Datetime)
    return not is_time and name not in _TEXTS and name not in {"weight", "event_id"}
