"""JSON schemas of what the endpoints answer, out of the metrics' own docstrings.

A test keeps every docstring equal to its metric's real columns, so these cannot drift either.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final, TypeAlias

from data_access.metrics import METRICS

Schema: TypeAlias = "dict[str, Any]"

_COLUMN: Final = re.compile(r"^(?P<name>\w+) : (?P<type>\w+(?:\(\w+\))?)(?P<rest>.*)$")
_KINDS: Final[dict[str, Schema]] = {
    "Boolean": {"type": ["boolean", "null"]},
    "Date": {"type": ["string", "null"], "format": "date"},
    "Datetime": {"type": ["string", "null"], "format": "date-time"},
    "Float64": {"type": ["number", "null"]},
    "Int64": {"type": ["integer", "null"]},
    "List(Float64)": {"type": ["array", "null"], "items": {"type": ["number", "null"]}},
    "List(String)": {"type": ["array", "null"], "items": {"type": ["string", "null"]}},
    "String": {"type": ["string", "null"]},
}


@cache
def columns(metric: str) -> dict[str, Schema]:
    """Return the schema of each column of a metric, in order."""
    _, _, rest = METRICS[metric].definition.partition("Columns\n-------\n")
    lines: list[str] = []
    for line in rest.partition("\n\n")[0].splitlines():
        if line.startswith(" ") and lines:  # a remark that runs on
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    found = {}
    for line in lines:
        match = _COLUMN.match(line)
        if match:
            says = match["rest"].lstrip(",; ").strip()
            found[match["name"]] = _KINDS[match["type"]] | ({"description": says} if says else {})
    return found


def row(metric: str, *, without: tuple[str, ...] = (), **extra: Schema) -> Schema:
    """Return the schema of one row of a metric; `extra` are columns that it has here."""
    there = {name: kind for name, kind in columns(metric).items() if name not in without}
    return strict(there | extra)


def rows(metric: str, *, without: tuple[str, ...] = (), **extra: Schema) -> Schema:
    """Return the schema of a metric's rows."""
    return {"type": "array", "items": row(metric, without=without, **extra)}


def strict(properties: dict[str, Schema]) -> Schema:
    """Return the schema of an object that has these properties, all of them and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def maybe(schema: Schema) -> Schema:
    """Return a schema of an object that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": ["number", "null"]}
FLAG: Final[Schema] = {"type": "boolean"}
WHOLE: Final[Schema] = {"type": "integer"}
INSTANT: Final[Schema] = {"type": "string", "format": "date-time"}
DAY: Final[Schema] = {"type": "string", "format": "date"}

META: Final[Schema] = strict(
    {
        "metrics": {
            "description": "The metrics behind the numbers; their full definitions are in the "
            "description of this endpoint.",
            "type": "array",
            "items": strict({"name": TEXT, "summary": TEXT}),
        },
        "query": TEXT
        | {"description": "The same question with its days written out; it means the same later."},
        "window": strict(
            {
                "from": DAY,
                "to": DAY | {"description": "The last day, included."},
                "opens_at": INSTANT,
                "closes_at": INSTANT | {"description": "The first instant after."},
                "days": WHOLE,
                "timezone": TEXT,
                "week_starts_on": TEXT,
            }
        ),
        "filters": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": TEXT},
            "description": "The filters in force, by the name of their parameter.",
        },
        "complete": FLAG | {"description": "Whether every day of the window is over."},
        "sample": maybe(strict({"keep_rate": NUMBER}))
        | {"description": "Set when the numbers are estimates out of a sample of the people."},
        "rows": WHOLE | {"description": "Rows in `data`, of all its tables together."},
        "version": TEXT | {"description": "Changes whenever the data does."},
        "as_of": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "The latest instant in the data.",
        },
        "notes": {"type": "array", "items": TEXT, "description": "What a reader should know."},
    }
)


def envelope(data: Schema, **more: Schema) -> Schema:
    """Return the schema of a whole answer around its data."""
    meta = META
    if more:
        meta = strict(META["properties"] | more)
    return strict({"data": data, "meta": meta})
