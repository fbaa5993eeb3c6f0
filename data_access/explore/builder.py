"""A question put together by hand, as SQL: what is shown under "see the SQL" is what runs.

Counts are the house's: events add up `weight`, people and sessions the smallest weight of each
one's rows, percentiles stand at cumulative weights. It knows no data and no engine.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from data_access.explore.question import (
    BUCKETS,
    MEASURES,
    NAME_CHARS_MAX,
    OPERATORS,
    WITHOUT_VALUE,
    is_name,
    key_of,
    listed,
)
from data_access.explore.refused import QueryRefused
from data_access.metadata import METADATA_COLUMN, is_key
from data_access.schema import SCHEMAS
from ingest.vocabulary import TABLES

if TYPE_CHECKING:
    from data_access.explore.question import Condition, Question

USER: Final = "user_id_hash"
SESSION: Final = "session_id"
WEIGHT: Final = "weight"
# what is always a number of it: rows in the order they came say more than none
_PERCENTILES: Final = {"median": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_COMPARED: Final = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_FINITE: Final = "1.7e308"
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_ ]*")


def sql_of(question: Question) -> str:
    """Return the question as SQL over the four tables.

    Raises
    ------
    QueryRefused : when it names a column, measure or the like that is not there.
    """
    if question.sql.strip():
        return question.sql
    if question.table not in SCHEMAS:
        raise QueryRefused(
            "There is no table", f"{question.table!r}.", f"The tables are {', '.join(SCHEMAS)}."
        )
    if question.measure not in MEASURES:
        raise QueryRefused(
            "There is no measure",
            f"{question.measure!r}.",
            f"The measures are {', '.join(name for name in MEASURES if name)}.",
        )
    return _rows(question) if not question.measure else _measured(question)


def measure_name(question: Question) -> str:
    """Return what the column of the measure is called in the answer."""
    if question.measure in _PERCENTILES or MEASURES.get(question.measure):
        ending = "p50" if question.measure == "median" else question.measure
        return f"{_column_name(question.of)}_{ending}"
    names = {"count": question.table, "people": "users"}
    return names.get(question.measure, question.measure)


def group_names(question: Question) -> list[str]:
    """Return what the columns of the groups are called in the answer."""
    return [_column_name(name) for name in question.group]


# --- names -----------------------------------------------------------------------------------


def quoted(name: str) -> str:
    """Return a name in double quotes, unless it is a plain one."""
    if '"' in name or not 0 < len(name) <= NAME_CHARS_MAX or not name.isprintable():
        raise QueryRefused("This cannot be a name:", f"{name[:40]!r}.", "Choose another.")
    return name if name.isascii() and name.isidentifier() and name.islower() else f'"{name}"'


def text(value: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def _column_name(name: str) -> str:
    key = key_of(name)
    return key if key and is_name(key) else name


def _reading(question: Question, name: str) -> str:
    """Return how a column, a part of time or a metadata key is read."""
    if name in SCHEMAS[question.table] or name in BUCKETS:
        return quoted(name)
    key = key_of(name) or name
    if METADATA_COLUMN in SCHEMAS[question.table] and is_key(key) and key.isprintable():
        if _PLAIN_KEY.fullmatch(key):
            return f"{METADATA_COLUMN} ->> {text(key)}"
        return f"{METADATA_COLUMN}[{text(key)}]"  # ->> would read dots and the like as a path
    raise QueryRefused(
        f"The {question.table} have no column",
        f"{name[:80]!r}.",
        f"They have {', '.join(SCHEMAS[question.table])}.",
    )


def _is_number(question: Question, name: str) -> bool:
    kind = SCHEMAS[question.table].get(name)
    return kind is not None and kind.is_numeric()


def _as_number(question: Question, name: str) -> str:
    """Return how a column or metadata key is read as a number."""
    if not name:
        raise QueryRefused(
            f"The {question.measure} needs a column", "", "Choose what to take it of."
        )
    if _is_number(question, name):
        return quoted(name)
    if name in SCHEMAS[question.table] or name in BUCKETS:
        raise QueryRefused(
            "This column holds no numbers:", f"{name}.", "Choose one such as duration_ms."
        )
    return f"TRY_CAST({_reading(question, name)} AS DOUBLE)"


def _times(question: Question) -> str:
    """Return how often a row happened, as SQL."""
    if WEIGHT not in SCHEMAS[question.table]:
        return "1.0"
    return f"occurrences * {WEIGHT}" if question.table == "errors" else WEIGHT


def _least(question: Question) -> str:
    return f"MIN({WEIGHT})" if WEIGHT in SCHEMAS[question.table] else "1.0"


# --- conditions ------------------------------------------------------------------------------


def _where(question: Question, *more: str) -> str:
    conditions = [_condition(question, one) for one in question.where] + list(more)
    return f"\nWHERE {' AND '.join(conditions)}" if conditions else ""


def _condition(question: Question, one: Condition) -> str:
    if one.operator not in OPERATORS:
        raise QueryRefused(
            "There is no operator", f"{one.operator!r}.", f"Use one of {', '.join(OPERATORS)}."
        )
    column = _reading(question, one.column)
    kind = SCHEMAS[question.table].get(one.column)
    is_text = (kind is None and one.column not in BUCKETS) or str(kind) == "String"
    if one.operator in WITHOUT_VALUE:
        empty = f"({column} IS NULL OR {column} = '')" if is_text else f"{column} IS NULL"
        return empty if one.operator == "empty" else f"NOT {_bracketed(empty)}"
    if one.operator in ("contains", "starts"):
        as_text = column if is_text else f"CAST({column} AS VARCHAR)"
        if one.operator == "starts":
            return f"STARTS_WITH({as_text}, {text(one.value)})"
        return f"CONTAINS({as_text}, {text(one.value)})"
    if one.operator in _COMPARED:
        return _compared(question, one, column)
    return f"{column} {_equal(question, one, is_text=is_text)}"


def _equal(question: Question, one: Condition, *, is_text: bool) -> str:
    """Return "is", "is not" and "is one of" with their values."""
    if one.operator == "any":
        several = [replace(one, value=value) for value in listed(one.value)]
        if not several:
            raise _no_value(one, "values between commas")
        return f"IN ({', '.join(_value(question, each, is_text=is_text) for each in several)})"
    sign = "=" if one.operator == "is" else "IS DISTINCT FROM"
    return f"{sign} {_value(question, one, is_text=is_text)}"


def _bracketed(condition: str) -> str:
    return condition if condition.startswith("(") else f"({condition})"


def _compared(question: Question, one: Condition, column: str) -> str:
    """Return "is more than": of numbers where the column holds them or the value is one."""
    sign = _COMPARED[one.operator]
    in_schema = one.column in SCHEMAS[question.table] or one.column in BUCKETS
    if not in_schema and _is_numeral(one.value):
        return f"TRY_CAST({column} AS DOUBLE) {sign} {one.value}"
    return f"{column} {sign} {_value(question, one, is_text=not in_schema)}"


def _is_numeral(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return value.strip("-").replace(".", "", 1).isdigit() and value.isascii()


def _value(question: Question, one: Condition, *, is_text: bool) -> str:
    """Return a value as the column's type has it.

    Raises
    ------
    QueryRefused : when it can be none of that type.
    """
    if is_text:
        return text(one.value)
    kind = str(SCHEMAS[question.table].get(one.column, ""))
    if kind == "Boolean":
        if one.value.lower() not in ("true", "false"):
            raise _no_value(one, "true or false")
        return one.value.upper()
    if kind.startswith("Datetime") or one.column == "hour":
        return f"CAST({text(_instant(one))} AS TIMESTAMP)"
    if one.column in ("day", "week", "month"):
        return f"CAST({text(_instant(one)[:10])} AS DATE)"
    if kind == "String":
        return text(one.value)
    if not _is_numeral(one.value):
        raise _no_value(one, "a number")
    return one.value


def _instant(one: Condition) -> str:
    """Return an instant in UTC as the engine reads it."""
    try:
        moment = datetime.fromisoformat(one.value.strip())
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _no_value(one, "a time such as 2026-01-31 or 2026-01-31T09:00") from None
    return moment.replace(tzinfo=None).isoformat(" ", "milliseconds")


def _no_value(one: Condition, wanted: str) -> QueryRefused:
    return QueryRefused(f"{one.column} takes {wanted}, not", f"{one.value[:40]!r}.")


# --- rows as they are ------------------------------------------------------------------------


def _rows(question: Question) -> str:
    columns = [_named(question, name) for name in question.columns] or ["*"]
    moment = TABLES[question.table].time_column
    order = _order(question, [*question.columns, *SCHEMAS[question.table]]) or (
        f"\nORDER BY {moment} DESC"
    )
    return (
        f"SELECT {', '.join(columns)}\nFROM {question.table}{_where(question)}{order}"
        f"{_limit(question)}"
    )


def _named(question: Question, name: str) -> str:
    """Return a column with the name it has in the answer."""
    reading, column = _reading(question, name), quoted(_column_name(name))
    return reading if reading == column else f"{reading} AS {column}"


def _order(question: Question, known: list[str], default: str = "") -> str:
    wanted = question.order.removeprefix("-")
    if not wanted:
        return default
    names = {_column_name(name) for name in known}
    if wanted not in names and _column_name(wanted) not in names:
        raise QueryRefused(
            "The answer has no column to sort by called",
            f"{wanted[:80]!r}.",
            f"It has {', '.join(sorted(names))}.",
        )
    way = " DESC NULLS LAST" if question.order.startswith("-") else ""
    return f"\nORDER BY {quoted(_column_name(wanted))}{way}"


def _limit(question: Question) -> str:
    return f"\nLIMIT {question.limit}" if question.limit > 0 else ""


# --- measures --------------------------------------------------------------------------------


def _measured(question: Question) -> str:
    names = group_names(question)
    taken = [*names, measure_name(question)]
    if len(set(taken)) < len(taken):
        raise QueryRefused(
            "Two columns of the answer would have the same name:",
            f"{', '.join(taken)}.",
            "Group by each thing once.",
        )
    if question.measure in _PERCENTILES:
        body = _percentile(question)
    elif question.measure in ("people", "sessions"):
        body = _distinct(question)
    else:
        body = _aggregated(question)
    default = f"\nORDER BY {', '.join(quoted(name) for name in names)}" if names else ""
    return body + _order(question, taken, default) + _limit(question)


def _groups(question: Question) -> list[str]:
    return [_named(question, name) for name in question.group]


def _group_by(question: Question) -> str:
    readings = [_reading(question, name) for name in question.group]
    return f"\nGROUP BY {', '.join(readings)}" if readings else ""


def _aggregated(question: Question) -> str:
    name = quoted(measure_name(question))
    items = ", ".join([*_groups(question), f"{_aggregate(question)} AS {name}"])
    return f"SELECT {items}\nFROM {question.table}{_where(question)}{_group_by(question)}"


def _aggregate(question: Question) -> str:
    """Return the measure of a group as one expression."""
    times = _times(question)
    if question.measure == "rows":
        return "COUNT(*)"
    if question.measure == "count":
        return f"SUM({times})"
    if question.measure in ("error_rate", "success_rate"):
        failed = f"SUM(CASE WHEN {_failed(question)} THEN {times} ELSE 0 END) / SUM({times})"
        return failed if question.measure == "error_rate" else f"1 - {failed}"
    of = _as_number(question, question.of)
    finite = _finite(question, of)
    if question.measure in ("min", "max"):
        return f"{question.measure.upper()}({finite})"
    total = f"SUM({finite} * {times})"
    if question.measure == "sum":
        return total
    return f"{total} / SUM(CASE WHEN {_is_finite(of)} THEN {times} END)"


def _is_finite(of: str) -> str:
    return f"{of} BETWEEN -{_FINITE} AND {_FINITE}"


def _finite(question: Question, of: str) -> str:
    """Return the number, null where a metadata key says NaN or infinity."""
    return of if _is_number(question, question.of) else f"CASE WHEN {_is_finite(of)} THEN {of} END"


def _failed(question: Question) -> str:
    columns = SCHEMAS[question.table]
    if "result" in columns:
        return "result <> 'success'"
    if "success" in columns:
        return "NOT success"
    raise QueryRefused(
        f"The {question.table} do not say what failed.",
        "",
        "Take the error rate of events or traces.",
    )


def _distinct(question: Question) -> str:
    """Return people or sessions per group: each with the smallest weight of its rows there."""
    who = USER if question.measure == "people" else SESSION
    somebody = f"{who} IS NOT NULL" if who == USER else f"{who} <> ''"
    keys = "".join(f"{one}, " for one in _groups(question))
    readings = ", ".join([*(_reading(question, name) for name in question.group), who])
    names = [quoted(name) for name in group_names(question)]
    total = f"SUM(least_weight) AS {quoted(measure_name(question))}"
    group = f"\nGROUP BY {', '.join(names)}" if names else ""
    if not names:
        total = f"COALESCE(SUM(least_weight), 0) AS {quoted(measure_name(question))}"
    return (
        f"WITH each_one AS (\n"
        f"  SELECT {keys}{who}, {_least(question)} AS least_weight\n"
        f"  FROM {question.table}{_where(question, somebody)}\n"
        f"  GROUP BY {readings}\n"
        f")\n"
        f"SELECT {', '.join([*names, total])}\nFROM each_one{group}"
    )


def _percentile(question: Question) -> str:
    """Return a percentile per group: the value at cumulative weight q (S - 1), interpolated.

    Only the step from the last position of one row to the first of the next is interpolated.
    """
    share, of = _PERCENTILES[question.measure], _as_number(question, question.of)
    names = [quoted(name) for name in group_names(question)]
    keys = "".join(f"{name}, " for name in names)
    by = f"PARTITION BY {', '.join(names)} " if names else ""
    groups = "".join(f"{one}, " for one in _groups(question))
    weight = WEIGHT if WEIGHT in SCHEMAS[question.table] else "1.0"
    group = f"\nGROUP BY {', '.join(names)}" if names else ""
    return (
        f"WITH known AS (\n"
        f"  SELECT {groups}{of} AS value, {weight} AS times\n"
        f"  FROM {question.table}{_where(question, _is_finite(of))}\n"
        f"), placed AS (\n"
        f"  SELECT {keys}value, times,\n"
        f"    LEAD(value) OVER ({by}ORDER BY value) AS following,\n"
        f"    SUM(times) OVER ({by}ORDER BY value\n"
        f"      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS up_to,\n"
        f"    GREATEST(0, {share} * (SUM(times) OVER ({by.strip()}) - 1)) AS place\n"
        f"  FROM known\n"
        f")\n"
        f"SELECT {keys}MAX(value + (COALESCE(following, value) - value) *\n"
        f"    LEAST(1, GREATEST(0, place - (up_to - 1)))) AS {quoted(measure_name(question))}\n"
        f"FROM placed\n"
        f"WHERE up_to - times <= place{group}"
    )
