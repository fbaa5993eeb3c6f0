"""From a cell to a question: each metric has one, and where it claims the same numbers it has."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from data_access import Filters, Window, scan
from data_access.config import Limits
from data_access.explore import Question, ask, close
from data_access.metrics import METRICS
from ingest.loader import load
from pages.components.cell import Ask
from pages.components.explore_cells import start_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WINDOW = Window(date(2026, 5, 1), date(2026, 5, 15))
OPENS = datetime(2026, 4, 28, tzinfo=UTC)
# metrics that need to be told something
TOLD: dict[str, dict[str, Any]] = {
    "experiment": {"flag": "f"},
    "experiment_daily": {"flag": "f"},
    "experiment_means": {"flag": "f"},
    "experiment_results": {"flag": "f"},
    "experiment_users": {"flag": "f"},
    "error_occurrences": {"group": "0" * 16},
    "feature_users": {"feature": "context_loaded"},
    **{name: {"user": "u1"} for name in METRICS if name.startswith("user_")},
    **{
        name: {"steps": ("session_started", "context_loaded")}
        for name in METRICS
        if name.startswith("funnel")
    },
    "funnel_by": {"steps": ("session_started", "context_loaded"), "by": "user_tier"},
}
# further ways in which cells ask
MORE: list[tuple[str, dict[str, Any]]] = [
    ("active_users", {"active_events": None}),
    ("active_users", {"days": 7}),
    ("active_users", {"every": "1w"}),
    ("activity", {"by": ("user_tier",)}),
    ("activity", {"by": ("channel",), "event": "context_loaded"}),
    ("activity", {"event": "context_loaded where result:success"}),
    ("by_property", {"key": "ide", "most": 100}),
    ("by_property", {"key": "user_tier", "channels": ("web", "server"), "most": 100}),
    ("by_property", {"key": "ide", "event": ("context_loaded", "code_insert"), "most": 100}),
    ("error_people", {"group": "0" * 16}),
    ("hourly", {"event": "context_loaded"}),
    ("latency", {"by": ()}),
    ("latency", {"by": (), "every": "1d"}),
    ("latency", {"by": ("user_tier",)}),
    ("latency", {"by": ("operation_name", "success")}),
    ("people", {"active_events": None, "by": "user_tier", "value": "paid"}),
    ("people", {"active_events": None, "by": "ide", "value": None}),
    ("slowest", {"limit": 7}),
    ("trace_people", {"operation": "search"}),
    ("experiment", {"flag": "default"}),
]
ASKS = [Ask(name, tuple(TOLD.get(name, {}).items())) for name in METRICS]
ASKS += [Ask(name, tuple(options.items())) for name, options in MORE]
STARTS = [(one, start_of(one, WINDOW)) for one in ASKS]
SAME = [one for one, start in STARTS if start.column]
OTHERS = list(dict.fromkeys(start.question for _, start in STARTS if not start.column))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make a home of everything by chance, sampled rows among it."""
    folder = tmp_path_factory.mktemp("explored")
    chance = random.Random(5)
    rows = "".join(json.dumps(one) + "\n" for one in a_world(chance))
    (folder / "rows.jsonl").write_text(rows)
    home = folder / "home"
    home.mkdir()
    load(folder / "rows.jsonl", home)
    yield home
    close()


def a_world(chance: random.Random) -> Iterator[dict[str, Any]]:
    names = ("session_started", "context_loaded", "code_insert", "ui_interaction", "context_switch")
    names += ("server_operation_called", "web_view_opened", "x y")
    for _ in range(700):
        who = chance.randrange(9)
        said = {
            "user_id_hash": f"u{who}",
            "user_tier": ("free", "trial", "paid", "enterprise", "")[who % 5],
            "session_id": f"s{who}-{chance.randrange(6)}" if chance.random() < 0.8 else "",
            "channel": chance.choice(("server", "extension", "web")),
            "release": chance.choice(("1.0", "1.1", None)),
            "weight": chance.choice((1, 1, 2.5, 4)),
            "timestamp": (OPENS + timedelta(minutes=chance.randrange(25_000))).isoformat(),
        }
        keys = {
            "ide": chance.choice(("vscode", "vim")),
            "element": chance.choice(("a", "b")),
            "action": "open",
            "tool_name": "search",
        }
        kept = {key: value for key, value in keys.items() if chance.random() < 0.7}
        yield {
            "event_name": chance.choice(names),
            "result": chance.choice(("success", "success", "error", "timeout")),
            "metadata": kept,
            **said,
        }
        if chance.random() < 0.5:
            yield {
                "operation_name": chance.choice(("search", "load")),
                "duration_ms": chance.choice((None, chance.randrange(1, 9_000) / 7)),
                "success": chance.random() < 0.8,
                **said,
            }
        if chance.random() < 0.3:
            yield {
                "error_type": chance.choice(("ValueError", "KeyError")),
                "error_message": "no",
                "occurrences": chance.choice((1, 1, 5)),
                **said,
            }


def named(one: Ask) -> str:
    return f"{one.metric} {dict(one.options)}"


@pytest.mark.parametrize("one", ASKS, ids=named)
def test_every_metric_has_a_question_that_its_link_says(one):
    question = start_of(one, WINDOW).question

    assert Question.from_query(question.to_link()) == question
    assert question.table in METRICS[one.metric].sources


@pytest.mark.slow
@pytest.mark.parametrize("question", OTHERS, ids=lambda one: one.to_link()[:60])
def test_every_question_of_a_metric_has_an_answer(world, question):
    answer(world, question)


@pytest.mark.slow
@pytest.mark.parametrize("one", SAME, ids=named)
def test_a_question_that_claims_the_same_numbers_has_them(world, one):
    start = start_of(one, WINDOW)
    found = answer(world, start.question)
    metric = METRICS[one.metric]
    frames = [
        scan(source, world, since=metric.since(WINDOW), filters=Filters(WINDOW))
        for source in metric.sources
    ]
    expected = metric.compute(*frames, WINDOW, **dict(one.options)).collect()

    name = "duration_ms" if start.is_rows else found.columns[-1]
    assert numbers(found, name) == pytest.approx(numbers(expected, start.column))
    assert len(numbers(found, name)) > 0 or "0" * 16 in named(one)


def answer(home: Path, question: Question) -> pl.DataFrame:
    return ask(question, Filters(WINDOW), home, Limits(query_rows=100_000)).frame


def numbers(frame: pl.DataFrame, column: str) -> list[float]:
    """Return a column's numbers in order, quiet days and gaps left out."""
    values = frame[column].cast(pl.Float64).drop_nulls()
    return values.filter(values != 0).sort().to_list()


def test_what_is_the_same_is_said_of_many_and_of_none_that_follows_people():
    same = {one.metric for one in SAME}

    assert {"active_users", "activity", "latency", "error_groups", "hourly"} <= same
    assert not same & {"by_property"}, "few people are one group there"
    assert not same & {"retention", "funnel", "lifecycle", "kpis", "journeys", "experiment"}


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(Ask("active_users", (("days", 7),)), id="a month of days"),
        pytest.param(Ask("active_users", (("every", "1w"),)), id="whole weeks"),
        pytest.param(Ask("activity", (("event", "a where b:c"),)), id="a condition"),
        pytest.param(Ask("latency", (("split", "tier"),)), id="groups of few people"),
    ],
)
def test_what_the_question_cannot_say_it_does_not_claim(one):
    assert start_of(one, WINDOW).column == ""


@pytest.mark.parametrize(
    ("timezone", "is_same"),
    [("Europe/Berlin", True), ("Asia/Kolkata", False), ("Australia/Adelaide", False)],
)
def test_hours_are_the_same_only_where_the_clock_agrees_with_utc_s(timezone, is_same):
    window = replace(WINDOW, timezone=timezone)

    assert bool(start_of(Ask("hourly"), window).column) is is_same
    assert start_of(Ask("activity"), window).column == "events"
