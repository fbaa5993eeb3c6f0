"""The cell that computes a frame: a metric's call with its options, or a question's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data_access.compute import with_events
from data_access.explore.question import HIDDEN
from data_access.measures import MEASURES
from data_access.metrics import METRICS
from data_access.notebook.literals import literal, quoted, text_of
from ingest.vocabulary import TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from data_access.notebook.story import Part, Query


def computed(part: Part, name: str) -> str:
    """Return the cell that computes a part's frame and shows it."""
    if part.query is not None:
        return _answered(part.query, name)
    filters = "before" if part.is_before else "filters"
    as_typed = part.split is not None
    options = [_option(key, value, as_typed=as_typed) for key, value in part.options.items()]
    if part.metric in MEASURES:
        read = f"pipeline(HOME, since={filters}.window.start)"
        return f"{name} = {part.metric}({read}, {filters}.window)\n{name}"
    if as_typed:
        first = f"replace(METRICS[{quoted(part.metric)}], compute={part.metric})"
        given = [first, filters, "HOME", f"split={quoted(part.split or '')}", *options]
        return f"{name} = {_call('compute', given)}.collect()\n{name}"
    metric = METRICS[part.metric]
    since = f"METRICS[{quoted(part.metric)}].since({filters}.window)"
    scans = [
        f"_{table} = scan({quoted(table)}, HOME, since={since}, filters={filters})"
        for table in metric.sources
    ]
    given = [*(f"_{table}" for table in metric.sources), f"{filters}.window", *options]
    return "\n".join([*scans, f"{name} = {_call(part.metric, given)}.collect()", name])


def _answered(query: Query, name: str) -> str:
    """Return the cell that asks a question of the rows the filters leave."""
    lines = []
    for table in query.tables:
        since = "None" if query.all_history else "filters.window.opens_at"
        rows = f"scan({quoted(table)}, HOME, since={since}, filters=filters)"
        if not query.all_history:
            rows += f".filter(filters.window.contains({quoted(TABLES[table].time_column)}))"
        named = f"keys={literal(query.keys)}, buckets={literal(query.buckets)}"
        given = [rows, quoted(table), "filters.window", named]
        lines.append(f"_{table} = {_call('with_named', given)}")
    frames = ", ".join(f"{quoted(table)}: _{table}" for table in query.tables)
    kept = [
        f"# as it was printed from the question after it was checked, {query.rows:,} rows at most",
        f"SQL = {text_of(query.ran)}",
        f"_answer = pl.SQLContext(frames={{{frames}}}, eager=False).execute(SQL)",
        f"_hidden = [one for one in _answer.collect_schema() if one.startswith({quoted(HIDDEN)})]",
        f"{name} = _answer.drop(_hidden).head({query.rows}).collect()",
    ]
    return "\n".join([*lines, *kept, name])


def is_typed(part: Part) -> bool:
    """Tell whether an option is an event a person typed, which `step_of` reads."""
    return part.split is None and any(
        isinstance(value, str) and _event(value) != quoted(value)
        for name, value in _events_in(part.options)
    )


def _events_in(options: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found = [(name, options[name]) for name in ("start", "back", "goal") if name in options]
    found += [("steps", one) for one in options.get("steps", ())]
    return found + [("exclude", one[0]) for one in options.get("exclude", ())]


def _event(said: object) -> str:
    """Return an event as source: a plain name as it is, anything else as `step_of` reads it."""
    if isinstance(said, str) and with_events({"start": said})["start"] is not said:
        stripped = with_events({"start": said})["start"]
        return quoted(stripped) if isinstance(stripped, str) else f"step_of({quoted(said)})"
    return literal(said)


def _option(name: str, value: Any, *, as_typed: bool) -> str:  # noqa: ANN401 - any plain value
    if as_typed:
        return f"{name}={literal(value)}"
    if name in {"start", "back", "goal"}:
        return f"{name}={_event(value)}"
    if name == "steps":
        return f"{name}=({', '.join(map(_event, value))},)"
    if name == "exclude":
        each = [f"({_event(event)}, {', '.join(map(literal, rest))})" for event, *rest in value]
        return f"{name}=({''.join(f'{one}, ' for one in each)})"
    return f"{name}={literal(value)}"


def _call(function: str, given: Sequence[str]) -> str:
    return "\n".join([f"{function}(", *(f"    {one}," for one in given), ")"])
