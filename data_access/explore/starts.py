"""Where Explore begins when somebody comes from a cell: the question that says the same, or nearly.

A metric may follow people over time, which no single question does: then it is the rows the metric
is counted from, narrowed as far as can be said, ready to be counted in another way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from data_access.explore.builder import measure_name
from data_access.explore.question import (
    KEY_PREFIX,
    VALUE_CHARS_MAX,
    Condition,
    Question,
    is_listable,
)
from data_access.metadata import METADATA_COLUMN, is_key
from data_access.schema import SCHEMAS
from ingest.vocabulary import ACTIVE_EVENTS

BUCKET_OF: Final = {"1h": "hour", "1d": "day", "1w": "week", "1mo": "month"}
# what the pages call the groups of a breakdown
COLUMN_OF: Final = {
    "tier": "user_tier",
    "channel": "channel",
    "release": "release",
    "project": "project_id",
}
_PLAIN_NAME: Final = re.compile(r"[\w.:$/-]+\Z")


@dataclass(frozen=True, slots=True)
class Start:
    """A question to begin with, and what it has to do with the metric.

    `column` is the column of the metric that the answer's numbers equal, over whole days; empty
    when they do not. `is_rows` tells that the question shows the rows the metric is counted from.
    """

    question: Question
    column: str = ""

    @property
    def is_rows(self) -> bool:
        """Whether it shows rows as they are rather than counting them."""
        return not self.question.measure


@dataclass(frozen=True, slots=True)
class _Way:
    """How one metric becomes a question: what to measure of which rows, and by what.

    `column` is the metric's own number that comes out equal. `every` names the period's bucket when
    the metric has no option of that name; `by` are options that name columns to group by; `events`
    are options that name events; `among` are the names of events it is about anyway.
    """

    measure: str = ""
    of: str = ""
    table: str = ""
    group: tuple[str, ...] = ()
    every: str = ""
    by: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()
    events: tuple[str, ...] = ()
    among: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    order: str = ""
    limit: bool = False
    column: str = ""


def _filled(*columns: str) -> tuple[Condition, ...]:
    return tuple(Condition(column, "filled") for column in columns)


def _is(column: str, value: str) -> Condition:
    return Condition(column, "is", value)


_CALLED: Final = ("server_operation_called",)
_TOOL: Final = "metadata.tool_name"
_CONTEXTS: Final = (
    *("context_created", "context_auto_created", "context_loaded", "context_resumed"),
    *("context_modified", "context_merged", "context_deleted", "context_protection_triggered"),
    *("context_protection_blocked", "context_override_manual"),
)
_EVENT_COLUMNS: Final = (
    *("timestamp", "event_name", "user_id_hash", "user_tier", "channel", "release", "result"),
    *("duration_ms", "session_id"),
)
_ERROR_COLUMNS: Final = (
    *("timestamp", "error_type", "error_message", "severity", "user_id_hash", "user_tier"),
    *("release", "occurrences", "group_hash"),
)
_TRACE_COLUMNS: Final = (
    *("timestamp", "operation_name", "duration_ms", "success", "user_id_hash", "user_tier"),
    *("channel", "release"),
)
_COLUMNS: Final = {
    "events": _EVENT_COLUMNS,
    "errors": _ERROR_COLUMNS,
    "traces": _TRACE_COLUMNS,
    "sessions": (),
}
_ROWS: Final = _Way()
_OF_ACTIVE: Final = _Way(events=("active_events",))
_OF_STEPS: Final = _Way(events=("steps",))
_OF_FLAG: Final = _Way(where=_filled("metadata.variant"))
_BY_PERSON: Final = _Way("count", group=("user_id_hash",))
_P95: Final = _Way("p95", "duration_ms", by=("by",), order="-", column="duration_ms_p95")

# metric -> how to ask for it; a metric that is not here shows the rows of its first table
WAYS: Final[dict[str, _Way]] = {
    # people and activity
    "active_users": _Way("people", events=("active_events",), column="users"),
    "active_users_hourly": _Way("people", every="1h", events=("active_events",), column="users"),
    "activity": _Way("count", by=("by",), events=("event",), column="events"),
    "hourly": _Way("count", every="1h", events=("event",), column="events"),
    "sessions_by_period": _Way("sessions", column="sessions"),
    "movers": _Way("count", group=("event_name",), order="-", column="events"),
    "tiers": _Way("people", group=("user_tier",), column="users"),
    "kpis": _Way("people", every="1d", among=ACTIVE_EVENTS),
    # not the same: values of few people are one group there
    "by_property": _Way("count", by=("key",), events=("event",), order="-"),
    "people": replace(
        _BY_PERSON, events=("active_events",), by=("value",), order="-", column="times"
    ),
    "users": replace(_BY_PERSON, order="-"),
    "testers": replace(_BY_PERSON, order="-"),
    "feature_people": replace(_BY_PERSON, order="-"),
    "concurrent_users": _Way("people", every="1h"),
    "lifecycle": _OF_ACTIVE,
    "lifecycle_users": _OF_ACTIVE,
    "churn": _OF_ACTIVE,
    "stickiness": _OF_ACTIVE,
    "stickiness_users": _OF_ACTIVE,
    "sampling": _Way("rows", group=("weight",)),
    # contexts and features
    "context_lifecycle": _Way("count", group=("event_name",), among=_CONTEXTS),
    "branches": _Way(
        "count", group=("event_name",), among=("context_created", "context_auto_created")
    ),
    "activation": _Way(among=_CONTEXTS),
    "tools": _Way("count", group=(_TOOL,), by=("by",), among=_CALLED, order="-"),
    "feature_usage": _Way("people", group=("event_name",), by=("by",), order="-"),
    "feature_adoption": _Way("people", group=("event_name",)),
    "token_savings": _Way(where=_filled("metadata.before_tokens", "metadata.after_tokens")),
    "reference_acceptance": _Way(
        "count", group=("metadata.accepted",), where=_filled("metadata.accepted")
    ),
    "rag": _Way("count", where=(_is(_TOOL, "search_context"),)),
    "rag_results": _Way(
        "count",
        group=("metadata.results_count",),
        where=(_is(_TOOL, "search_context"), *_filled("metadata.results_count")),
    ),
    "ontology": _Way(
        "count", group=("metadata.category",), where=_filled("metadata.category"), order="-"
    ),
    # models and cost
    "models": _Way("count", by=("by",), where=_filled("metadata.model"), order="-"),
    "observations": _Way("count", group=("metadata.model",), where=_filled("metadata.model")),
    "costs": _Way("sum", "metadata.cost_usd"),
    "savings_against_naive": _Way("sum", "metadata.tokens_saved_vs_naive"),
    "credits_by_plan": _Way("sum", "metadata.credits", group=("metadata.plan",)),
    # the extension
    "interactions": _Way(
        "count",
        group=("metadata.element", "metadata.action"),
        among=("ui_interaction",),
        order="-",
        column="events",
    ),
    "code_insertions": _Way("count", among=("code_insert",), column="insertions"),
    "context_switches": _Way("count", among=("context_switch",), column="switches"),
    "extension_failures": _Way("count", group=("result",)),
    "extension_activation": _Way(where=(_is("channel", "extension"),)),
    "extension_funnel": _Way(where=(_is("channel", "extension"),)),
    "extension_installs": _Way(where=(_is("channel", "extension"),), among=("install",)),
    # experiments, funnels, journeys
    "experiment": _OF_FLAG,
    "experiment_daily": _OF_FLAG,
    "experiment_means": _OF_FLAG,
    "experiment_results": _OF_FLAG,
    "experiment_users": _OF_FLAG,
    "experiments": _Way(
        "people", group=("metadata.flag", "metadata.variant"), where=_filled("metadata.variant")
    ),
    "funnel": _OF_STEPS,
    "funnel_by": _OF_STEPS,
    "funnel_histogram": _OF_STEPS,
    "funnel_trend": _OF_STEPS,
    "funnel_users": _OF_STEPS,
    # health
    "error_groups": _Way(
        "count", table="errors", group=("group_hash",), order="-", column="occurrences"
    ),
    "errors_by_period": _Way("count", table="errors", column="occurrences"),
    "errors_by_release": _Way("count", table="errors", group=("release",), column="errors"),
    "error_people": _Way(
        "count", table="errors", group=("user_id_hash",), order="-", column="times"
    ),
    "error_shifts": _Way("error_rate", every="1d", by=("by",)),
    "incidents": _Way("error_rate", every="1h"),
    "releases": _Way("people", group=("release",), where=_filled("release")),
    "latency": _P95,
    "apdex": replace(_P95, column=""),
    "latency_distribution": _Way(by=(), where=_filled("duration_ms"), order="-duration_ms"),
    "latency_heatmap": _Way(where=_filled("duration_ms"), order="-duration_ms"),
    "shifts": _Way("p95", "duration_ms", every="1d", group=("operation_name",)),
    "slowest": _Way(
        where=_filled("duration_ms"), order="-duration_ms", limit=True, column="duration_ms"
    ),
    "trace_people": _Way("count", group=("user_id_hash",), order="-", column="times"),
    # one person
    "user_tools": _Way("count", group=(_TOOL,), among=_CALLED, order="-"),
    "user_errors": _Way("count", table="errors", group=("group_hash", "error_type"), order="-"),
    "user_latency": _Way("p95", "duration_ms", group=("operation_name",), order="-"),
}
# option -> the column it narrows to a value
_NARROWS: Final = {
    "user": "user_id_hash",
    "users": "user_id_hash",
    "group": "group_hash",
    "operation": "operation_name",
    "channel": "channel",
    "channels": "channel",
    "names": "event_name",
    "flag": "metadata.flag",
}
_ONLY_OF: Final = {"group": ("error_occurrences", "error_people")}  # elsewhere it is another word
_FLAG_DEFAULT: Final = "default"  # a variant without a flag is called so


def started(
    metric: str,
    sources: Sequence[str] = ("events",),
    options: Mapping[str, Any] | None = None,
    *,
    split: str = "",
) -> Start:
    """Return the question to begin with for a cell of a metric.

    Parameters
    ----------
    metric : its name in METRICS; of one that is not known, the rows of its first table.
    sources : the tables it reads.
    options : those of the cell and the metric's own defaults.
    split : what the cell is broken down by: a word of the pages, a column or a metadata key.
    """
    way, asked = WAYS.get(metric, _ROWS), dict(options or {})
    table = way.table or next((one for one in sources if one in SCHEMAS), "events")
    group, is_whole = _group(way, table, asked)
    names, are_plain = _names(way, asked)
    where = (*way.where, *_narrowed(metric, table, asked), *names)
    if "value" in way.by and asked.get("by"):
        where += (_with(_column(table, str(asked["by"])), asked.get("value")),)
    is_same = is_whole and are_plain and not asked.get("days") and not split
    by_split = _split(table, split)
    group = tuple(dict.fromkeys([*group, *([by_split] if by_split else [])]))
    question = Question(
        table=table,
        measure=way.measure,
        of=way.of,
        group=group if way.measure else (),
        columns=() if way.measure else way.columns or _COLUMNS[table],
        where=tuple(dict.fromkeys(where)),
        limit=int(asked.get("limit") or 0) if way.limit else 0,
    )
    return Start(replace(question, order=_order(way, question)), way.column if is_same else "")


def narrowed(question: Question, column: str, value: str | None) -> Question:
    """Return the question about the rows with a value in a column; None: with none there."""
    return replace(question, where=(*question.where, _with(column, value)))


def _with(column: str, value: Any) -> Condition:  # noqa: ANN401 - a cell's own value
    return Condition(column, "empty") if value in (None, "") else _is(column, str(value))


def _group(way: _Way, table: str, asked: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """Return what to group by, and whether its periods are whole ones of a question, too."""
    every = asked.get("every", way.every)
    found = [BUCKET_OF[every]] if every in BUCKET_OF else []
    for option in way.by:
        said = () if option == "value" else asked.get(option) or ()
        found += [_column(table, one) for one in ([said] if isinstance(said, str) else said)]
    # a metric of weeks or months counts whole ones, a question only the days on show
    is_whole = every in (None, "", "1h", "1d")
    return tuple(dict.fromkeys([*found, *way.group])), is_whole


def _column(table: str, name: str) -> str:
    """Return a column of a question for what a metric or a page calls it."""
    name = COLUMN_OF.get(name, name)
    return name if name in SCHEMAS[table] else KEY_PREFIX + name.removeprefix(KEY_PREFIX)


def _split(table: str, split: str) -> str:
    """Return the column of a breakdown; empty where the rows do not say it, as with a stage."""
    if not split or split == "stage":
        return ""
    column = _column(table, split)
    if column in SCHEMAS[table]:
        return column
    key = column.removeprefix(KEY_PREFIX)
    return column if METADATA_COLUMN in SCHEMAS[table] and is_key(key) else ""


def _names(way: _Way, asked: Mapping[str, Any]) -> tuple[tuple[Condition, ...], bool]:
    """Return the condition on the events' names, and whether it says all of it."""
    found: list[str] = list(way.among)
    for option in way.events:
        names, is_plain = _plain(asked.get(option))
        if not is_plain:
            return (), False
        found += names
    return _one_of("event_name", found), True


def _plain(said: Any) -> tuple[list[str], bool]:  # noqa: ANN401 - a metric's own option
    """Return the names of events an option says, and whether it says names and nothing else."""
    if said is None:
        return [], True
    if isinstance(said, str):
        return ([said], True) if _PLAIN_NAME.match(said) else ([], False)
    if not isinstance(said, Sequence):
        return [], False
    parts = [_plain(one) for one in said]
    names = [name for several, _ in parts for name in several]
    return names, all(is_plain for _, is_plain in parts)


def _one_of(column: str, values: Sequence[str]) -> tuple[Condition, ...]:
    """Return the condition that a column has one of the values; none where it cannot be said."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) == 1:
        return (_is(column, distinct[0]),)
    joined = ", ".join(distinct)
    fits = distinct and all(map(is_listable, distinct)) and len(joined) <= VALUE_CHARS_MAX
    return (Condition(column, "any", joined),) if fits else ()


def _narrowed(metric: str, table: str, asked: Mapping[str, Any]) -> list[Condition]:
    """Return the conditions that options such as a user or a channel are."""
    found: list[Condition] = []
    for option, column in _NARROWS.items():
        said = asked.get(option)
        if not said or metric not in _ONLY_OF.get(option, (metric,)) or said == _FLAG_DEFAULT:
            continue
        if column in SCHEMAS[table] or column.startswith(KEY_PREFIX):
            values = [said] if isinstance(said, str) else [str(one) for one in said]
            found += _one_of(column, values)
    return found


def _order(way: _Way, question: Question) -> str:
    """Return the order; "-" alone is the largest first."""
    return f"-{measure_name(question)}" if way.order == "-" else way.order
