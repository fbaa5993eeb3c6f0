"""Where Explore begins when somebody comes from a cell: the question nearest to its metric.

Not the metric itself, which may follow people over time: the rows it is made of, counted in the
way that comes closest, ready to be changed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from data_access.explore.question import BUCKETS, KEY_PREFIX, Condition, Question
from data_access.metadata import METADATA_COLUMN, is_key
from data_access.schema import SCHEMAS

_DAILY: Final = Question(group=("day",), picture="line", x="day")
_PEOPLE: Final = replace(_DAILY, measure="people", y="users")
_EVENTS: Final = replace(_DAILY, y="events")
_OF_NAMES: Final = {
    "day": "day",
    "1d": "day",
    "week": "week",
    "1w": "week",
    "month": "month",
    "1mo": "month",
}
_STARTS: Final[dict[str, Question]] = {
    "active_users": _PEOPLE,
    "active_users_hourly": replace(_PEOPLE, group=("hour",), x="hour"),
    "lifecycle": _PEOPLE,
    "retention": _PEOPLE,
    "people": replace(_PEOPLE, group=(), picture="table", x="", y=""),
    "activity": _EVENTS,
    "hourly": replace(_EVENTS, group=("hour",), x="hour"),
    "movers": Question(group=("event_name",), order="-events", picture="bar", x="event_name"),
    "sessions_by_period": replace(_DAILY, measure="sessions", y="sessions"),
    "kpis": _PEOPLE,
    "tiers": Question(group=("user_tier",), measure="people", picture="bar", x="user_tier"),
    "features": Question(group=("event_name",), measure="people", order="-users", picture="bar"),
    "models": Question(group=("metadata.model",), order="-events", picture="bar"),
    "costs": replace(_DAILY, measure="sum", of="metadata.cost_usd", y="cost_usd_sum"),
    "latency": Question(
        table="traces",
        group=("operation_name",),
        measure="p95",
        of="duration_ms",
        order="-duration_ms_p95",
        picture="bar",
        x="operation_name",
    ),
    "error_groups": Question(
        table="errors", group=("error_type", "group_hash"), order="-errors", picture="bar"
    ),
    "error_people": Question(table="errors", measure="people"),
    "trace_people": Question(table="traces", measure="people"),
}


def started(
    metric: str, sources: tuple[str, ...] = ("events",), *, every: str = "", split: str = ""
) -> Question:
    """Return the question to begin with for a cell of a metric.

    Parameters
    ----------
    metric : its name in METRICS.
    sources : the tables it reads; the first one is asked about where the metric has no own start.
    every : the period the cell shows, such as "week" or "1w".
    split : the column or metadata key it is broken down by.
    """
    table = next((one for one in sources if one in SCHEMAS), "events")
    default = (
        replace(_EVENTS, table=table, y=table) if table != "sessions" else Question(table=table)
    )
    question = _STARTS.get(metric, default)
    period = _OF_NAMES.get(every)
    if period and question.group and question.group[0] in BUCKETS:
        question = replace(question, group=(period, *question.group[1:]), x=period)
    if not split or split == "stage":
        return question
    name = (
        split if split in SCHEMAS[question.table] else KEY_PREFIX + split.removeprefix(KEY_PREFIX)
    )
    key = name.removeprefix(KEY_PREFIX)
    if name in question.group or not (name in SCHEMAS[question.table] or is_key(key)):
        return question
    if name != key and METADATA_COLUMN not in SCHEMAS[question.table]:
        return question
    return replace(question, group=(*question.group, name), series=key)


def narrowed(question: Question, column: str, value: str | None) -> Question:
    """Return the question about the rows with a value in a column; None: with none there."""
    more = Condition(column, "empty") if value is None else Condition(column, "is", value)
    return replace(question, where=(*question.where, more))
