"""Every metric that counts, on samples of one home and on all of it: equal within its stated error.

The home has people who fail, wait and pay, so that those left out of a sample still show up with
the rows that are always kept. A draw is the same home with its users called something else.
"""

from __future__ import annotations

import math
import random
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import streamlit as st
from frames import error, errors, event, events, trace, traces, window
from polars.testing import assert_frame_equal
from streamlit.testing.v1 import AppTest

from data_access.metrics import METRICS, compare_rates
from data_access.metrics.common import keep_rates, representative
from data_access.metrics.properties import text_of
from ingest.sampling import Sampling, standard_error, standard_error_of_sum
from ingest.vocabulary import share_of
from pages.components import lift, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

WINDOW = window("2026-02-02", "2026-03-02")  # four weeks, Monday to Sunday
FIRST = datetime(2026, 1, 12, 7, tzinfo=UTC)
DAYS, PEOPLE = 49, 2_000
TO_PAID = ("session_started", "context_created", "context_loaded", "paid_subscription_started")
TO_WORK = ("session_started", "context_created", "context_loaded")
KEPT_MIN = 8  # people in the sample: fewer have no bell curve
SUCCESSES = ("server_operation_called", "context_created", "context_loaded", "web_view_opened")
# what a call says about itself
CALLS = (
    '{"tool_name": "search_context", "results_count": 3}',
    '{"tool_name": "compress_context", "before_tokens": 10, "after_tokens": 4}',
    '{"tool_name": "reference_suggest", "accepted": true}',
    '{"tool_name": "ontology_classify", "category": "code", "confidence": 0.9}',
)
# and what others say: models called, observations made, tokens saved, credits given
WORK = {
    "context_created": (
        '{"model": "m1", "provider": "p", "tokens_input": 200, "tokens_output": 50, "cost_usd": 2}',
        '{"model": "m2", "tokens_input": 100, "cost_usd": 1, "turns": 3, "outcome_error": 1}',
        '{"model": "m1", "observations_created": 3, "obs_type_bugfix": 2}',
    ),
    "context_loaded": ('{"tokens_saved_vs_naive": 700}', '{"tokens_saved_vs_naive": -300}'),
    "web_view_opened": ('{"language": "python"}', '{"language": "rust"}', "{}"),
    "paid_subscription_started": ('{"credits": 100, "plan": "pro"}',),
}
IN_EDITOR = {
    "ui_interaction": ('{"element": "sidebar", "action": "open"}', '{"element": "result"}'),
    "code_insert": ('{"lines_inserted": 4, "accepted": true}', '{"accepted": false}'),
    "context_switch": ("{}",),
}
INSTALLED = range(21, 42)  # days on which people install the extension

# what no sample can tell without bias, and why
CANNOT = {
    "concurrent_users": "the largest of several estimates is too large: its peak is tested below",
    "experiment_means": "averages over people; how many there are is what experiment counts",
    "incidents": "finds hours worth a sentence; a large one is tested below",
    "error_shifts": "finds days worth a sentence; it names days, not how many people",
    "sampling": "says how much is a sample; nothing of the whole home is",
    "shifts": "finds days worth a sentence; it names days, not how many people",
    "testers": "lists people: of somebody left out only the failed, slow and critical is known",
}
# made of what is always kept, so a sample shows it exactly
EXACT = ("error_groups", "error_occurrences", "error_people", "errors_by_period", "slowest")
# lists what is known of one person or of a few
OF_ONE: dict[str, str] = {
    "people_events": "users",
    "user_errors": "user",
    "user_latency": "user",
    "user_rows": "user",
    "user_sessions": "user",
    "user_tiers": "user",
    "user_timeline": "user",
    "user_tools": "user",
    "users": "prefix",
}


@dataclass(frozen=True)
class Home:
    """The three tables of a home, whole or sampled."""

    events: pl.DataFrame
    errors: pl.DataFrame
    traces: pl.DataFrame

    def ask(self, name: str, **options: Any) -> pl.DataFrame:
        """Return a metric's finished frame over WINDOW."""
        spec = METRICS[name]
        frames = [getattr(self, source).lazy() for source in spec.sources]
        return spec.compute(*frames, WINDOW, **options).collect()


@cache
def rows() -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Return events, errors and traces of people who come on some of 49 days."""
    rng, editor = random.Random(11), random.Random(12)
    said: list[dict[str, Any]] = []
    for number in range(PEOPLE):
        busy = rng.choice((0.03, 0.08, 0.3))
        tier = rng.choice(("free", "free", "free", "paid"))
        installs = editor.choice(INSTALLED)
        for day in range(DAYS):
            if rng.random() < busy:
                visit, tier = _visit(rng, f"{number}", day, tier)
                said += visit
            if day == installs or (day > installs and editor.random() < busy):
                said += _in_editor(editor, f"{number}", day, tier, installs=day == installs)
    failed = [
        error(row["timestamp"], row["user_id_hash"], group_hash=f"g{len(row['event_name']) % 3}")
        | {name: row[name] for name in ("session_id", "release", "user_tier", "channel")}
        for row in said
        if row["result"] == "failure"
    ]
    timed = [
        trace(
            row["timestamp"],
            row["event_name"],
            row["duration_ms"],
            row["user_id_hash"],
            success=row["result"] == "success",
            user_tier=row["user_tier"],
            release=row["release"],
        )
        for row in said
        if row["event_name"] in SUCCESSES
    ]
    return said, failed, timed


def _visit(rng: random.Random, user: str, day: int, tier: str) -> tuple[list[dict[str, Any]], str]:
    at = FIRST + timedelta(days=day, minutes=rng.uniform(0, 600))
    common = {"session_id": f"{user}-{day}", "release": f"1.{day // 20}"}
    first = "session_resumed_from_context" if rng.random() < 0.2 else "session_started"
    names = [first, *(rng.choice(SUCCESSES) for _ in range(rng.randrange(5)))]
    if tier == "free" and rng.random() < 0.04:
        names.append("paid_subscription_started")
    elif tier == "paid" and rng.random() < 0.02:
        names.append("paid_subscription_canceled")
    found = []
    for name in names:
        tier = {TO_PAID[-1]: "paid", "paid_subscription_canceled": "free"}.get(name, tier)
        more = common | {"user_tier": tier, "is_paid_user": tier == "paid"}
        if name == first:
            more["metadata"] = f'{{"flag": "f", "variant": "{"ab"[int(user) % 2]}"}}'
        result = "failure" if name in SUCCESSES and rng.random() < 0.05 else "success"
        took = round(rng.lognormvariate(5, 1), 3)
        if says := CALLS if name == "server_operation_called" else WORK.get(name):
            more["metadata"] = says[int(took * 1000) % len(says)]
        found.append(event(at, user, name, result=result, duration_ms=took, **more))
        at += timedelta(minutes=rng.choice((1, 5, 12, 45)), seconds=rng.random())
    return found, tier


def _in_editor(
    rng: random.Random, user: str, day: int, tier: str, *, installs: bool
) -> list[dict[str, Any]]:
    at = FIRST + timedelta(days=day, minutes=rng.uniform(0, 600))
    common = {"session_id": f"e{user}-{day}", "release": f"1.{day // 20}", "channel": "extension"}
    common |= {"user_tier": tier, "is_paid_user": tier == "paid"}
    first = ["install"] if installs else []
    if installs and rng.random() < 0.7:
        first.append("extension_activated")
    found = []
    for name in [*first, *(rng.choice(list(IN_EDITOR)) for _ in range(rng.randrange(4)))]:
        more = common | {"metadata": rng.choice(IN_EDITOR.get(name, ("{}",)))}
        if name in IN_EDITOR:
            more["result"] = rng.choice((*["success"] * 18, "failure", "timeout"))
        found.append(event(at, user, name, **more))
        at += timedelta(minutes=rng.choice((1, 5, 12, 45)), seconds=rng.random())
    return found


@cache
def whole() -> Home:
    said, failed, timed = rows()
    return Home(*(f.collect() for f in (events(*said), errors(*failed), traces(*timed))))


def sample(rate: float, draw: int) -> Home:
    """Return what the client would have kept of the home."""
    sampling = Sampling(keep_rate=rate)
    kept = []
    for table, given in zip((whole().events, whole().errors, whole().traces), rows(), strict=True):
        weights = [
            sampling.decide(row | {"user_id_hash": f"{draw}/{row['user_id_hash']}"}).weight
            for row in given
        ]
        named = pl.concat_str(pl.lit(f"{draw}/"), "user_id_hash").alias("user_id_hash")
        kept.append(
            table.with_columns(named, pl.Series("weight", weights)).filter(pl.col("weight") > 0)
        )
    return Home(*kept)


# --- the numbers, and what each user adds to them -----------------------------------------------

Numbers = dict[str, float]
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "active_users": [{"every": "1w"}, {"days": 7}],
    "by_property": [{}, {"key": "result", "every": "1w"}, {"channels": ("server",)}],
    "costs": [{"every": None}, {"every": "1w"}],
    "extension_sessions": [{"every": None}, {"every": "1w"}],
    "feature_usage": [{"by": None}, {"every": "1w"}],
    "feature_users": [{"feature": "context_loaded"}],
    "funnel": [
        {"steps": TO_PAID, "within": None},
        {"steps": TO_WORK, "within": "2d"},
        {"steps": TO_WORK, "order": "strict"},
        {"steps": TO_PAID, "order": "unordered"},
        {"steps": TO_WORK, "entry": "first", "exclude": [("web_view_opened", 0, 1)]},
    ],
    "funnel_by": [{"steps": TO_WORK, "by": "tier"}, {"steps": TO_WORK, "by": "language"}],
    "funnel_histogram": [{"steps": TO_WORK}],
    "funnel_trend": [{"steps": TO_WORK, "every": "1w"}],
    "funnel_users": [{"steps": TO_PAID, "within": None}],
    "lifecycle_users": [{}, {"every": "1mo"}],
    "retention": [
        {},
        {"unbounded": True},
        {"cohort": "recurring", "min_returns": 3},
        {"brackets": (1, 2)},
        {"start": "context_created", "back": "web_view_opened"},
        {"clock": "rolling"},
    ],
    "retention_users": [{"cohort": "recurring"}, {"min_returns": 2}],
    "stickiness": [
        {"at_least": True},
        {"every": "1w", "min_events": 2},
        {"min_events": 2, "min_events_op": "eq"},
        {"periods_per_bucket": 2},
    ],
    "journey_path_users": [{"path": "session_started", "converted": False, "depth": 1}],
    "sessions": [{}, {"starts_with": "session_started"}],
    "error_occurrences": [{"group": "g2"}],
    "experiment": [{"flag": "f"}, {"flag": "f", "goal": "context_created"}],
    "experiment_daily": [{"flag": "f", "goal": "context_created"}],
    "experiment_results": [{"flag": "f", "goals": ("context_created",)}],
    "experiment_users": [{"flag": "f"}],
    "activity": [{"every": "1w"}, {"every": "1mo", "by": ("channel",)}],
    "latency": [{}, {"by": (), "every": "1w"}],
    "feature_value": [{}, {"goal": "context_loaded"}],
    "models": [{}, {"by": ()}, {"by": ("release",), "every": "1w"}],
    "people": [{}, {"by": "language", "value": "rust"}, {"by": "language"}],
    "trace_people": [{}, {"operation": "context_loaded"}],
}
COMPARED = [name for name in METRICS if name not in {*CANNOT, *EXACT, *OF_ONE}]
# metric -> the columns that tell its rows apart, and those that count people
PEOPLE_IN: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "activation": (["step"], ["users"]),
    "active_users": (["period"], ["users"]),
    "activity": (["period"], ["users"]),
    "by_property": (["value", "period"], ["users"]),
    "churn": (["period"], ["active_before", "gone", "paying_before", "cancelled"]),
    "errors_by_release": (["release"], ["users", "users_with_errors"]),
    "extension_activation": (
        ["period"],
        ["installed", "activated", "used", "used_next_week", "never_used"],
    ),
    "extension_funnel": (["step"], ["users"]),
    "extension_installs": (["steps_reached", "due"], ["weight"]),
    "extension_sessions": (["period"], ["users"]),
    "feature_adoption": (["feature", "period"], ["new_users", "adopters", "people"]),
    "feature_breadth": (["features"], ["users"]),
    "feature_people": ([], ["weight"]),
    "feature_usage": (["feature", "user_tier", "period"], ["users", "active_users"]),
    "feature_value": (
        ["feature"],
        [
            *("users", "users_again", "with_users", "with_reached"),
            *("without_users", "without_reached"),
        ],
    ),
    "feature_users": ([], ["weight"]),
    "experiment": (["variant"], ["users", "users_recent", "converted"]),
    "experiment_daily": (["variant"], ["exposed", "converted"]),
    "experiment_results": (["variant"], ["users", "converted"]),
    "experiment_users": (["variant"], ["weight"]),
    "experiments": (["variant"], ["users"]),
    "funnel": (["step"], ["users"]),
    "funnel_by": (["group", "step"], ["users"]),
    "costs": (["period"], ["users"]),
    "funnel_histogram": ([], ["users"]),
    "funnel_trend": (["period"], ["users", "converted"]),
    "lifecycle_users": (["period", "state"], ["weight"]),
    "interactions": (["element"], ["users"]),
    "journey_items": (["item"], ["users_converted", "users_others"]),
    "journey_map": (["milestone"], ["users", "furthest", "silent", "here"]),
    "journey_path_users": ([], ["weight"]),
    "journey_users": (["milestone"], ["weight"]),
    "journeys": (["converted", "rank"], ["group_users"]),
    "lifecycle": (["period"], ["new", "returning", "resurrecting", "dormant"]),
    "models": (["provider", "model", "release", "period"], ["users"]),
    "movers": (["event_name"], ["users", "users_before"]),
    "people": ([], ["weight"]),
    "property_users": (["value"], ["weight"]),
    "releases": (["release"], ["users"]),
    "retention": (["cohort", "period"], ["users", "cohort_users"]),
    "retention_mean": (["period"], ["users", "cohort_users"]),
    "retention_users": (["cohort", "period"], ["weight"]),
    "session_lengths": (["seconds_from"], ["users"]),
    "funnel_users": (["steps_reached"], ["weight"]),
    "sessions_by_period": (["period"], ["users"]),
    "stickiness": (["periods_active"], ["users"]),
    "stickiness_users": (["periods_active"], ["weight"]),
    "tier_moves": (["from_tier", "to_tier"], ["users"]),
    "trace_people": ([], ["weight"]),
    "tiers": (
        ["tier"],
        [
            *("users", "dau", "wau", "mau", "users_dependent", "returned", "dormant_or_returned"),
            *("users_with_errors", "converted", "convertible", "cancellations"),
        ],
    ),
}
# metric -> the columns that add up something of which one user may have several
SUMS_IN: dict[str, tuple[Sequence[str], dict[str, str]]] = {
    "active_users_hourly": ([], {"users": "event"}),
    "branches": ([], {"manual": "kind"}),
    "by_property": (["value", "period"], {"events": "event", "sessions": "session"}),
    "code_insertions": (
        [],
        {
            "insertions": "event",
            "users": "session",
            "lines": "lines_inserted",
            "answered": "event",
            "accepted": "event",
        },
    ),
    "context_switches": ([], {"switches": "event", "users": "session"}),
    "costs": (
        ["period"],
        {
            "cost_usd": "cost_usd",
            "tokens_input": "tokens_input",
            "tokens_output": "tokens_output",
            "observations": "observations_created",
            "sessions": "session",
        },
    ),
    "credits_by_plan": (["plan"], {"credits": "credits", "events": "event", "users": "session"}),
    "extension_failures": (
        [],
        {
            "events": "event",
            "failures": "failure",
            "timeouts": "failure",
            "errors": "failure",
            "users_hit": "failure",
        },
    ),
    "extension_sessions": (["period"], {"sessions": "visit", "days_of_use": "session"}),
    "co_usage": (["feature", "other"], {"sessions": "session", "sessions_feature": "session"}),
    "feature_usage": (["feature", "user_tier", "period"], {"uses": "event"}),
    "interactions": (["element"], {"events": "event", "failures": "failure"}),
    "models": (
        ["provider", "model", "release", "period"],
        {
            "calls": "turns",
            "failures": "turns",
            "cost_usd": "cost_usd",
            "tokens_input": "tokens_input",
            "tokens_output": "tokens_output",
        },
    ),
    "observations": (["type"], {"observations": "observations_created", "events": "call"}),
    "ontology": (["category"], {"events": "call"}),
    "people": ([], {"times": "event"}),
    "property_users": (["value"], {"events": "event"}),
    "rag": ([], {"searches": "call", "counted": "call"}),
    "rag_results": (["results_from"], {"searches": "call"}),
    "reference_acceptance": ([], {"answered": "call", "accepted": "call"}),
    "token_savings": ([], {"events": "call"}),
    "tools": (["tool"], {"calls": "call", "failures": "failure"}),
    "activity": (["period"], {"events": "event", "sessions": "session", "failures": "failure"}),
    "context_lifecycle": ([], {"context_created": "kind", "context_loaded": "kind"}),
    "errors_by_release": (["release"], {"events": "event", "errors": "failure"}),
    "hourly": ([], {"events": "event", "failures": "failure", "users": "event"}),
    "latency": (["operation_name", "period"], {"traces": "trace", "failures": "failure"}),
    "latency_distribution": (["bucket_from_ms"], {"traces": "trace", "failures": "failure"}),
    "latency_heatmap": (["bucket_from_ms"], {"traces": "trace"}),
    "apdex": (
        ["operation_name"],
        {"satisfied": "trace", "tolerating": "trace", "frustrated": "trace", "traces": "trace"},
    ),
    "movers": (["event_name"], {"events": "event", "events_before": "event"}),
    "path_steps": (["step", "item"], {"sessions": "visit", "ended": "visit"}),
    "path_users": ([], {"sessions": "visit"}),
    "paths": (["step"], {"sessions": "visit"}),
    "releases": (["release"], {"events": "event"}),
    "savings_against_naive": (
        [],
        {
            "tokens_saved": "tokens_saved_vs_naive",
            "tokens_lost": "tokens_lost",
            "events": "event",
            "users": "session",
        },
    ),
    "session_lengths": (["seconds_from"], {"sessions": "visit"}),
    "sessions": ([], {"weight": "visit", "events": "event", "seconds": "second"}),
    "sessions_by_period": (["period"], {"sessions": "session", "events": "event"}),
    "tier_moves": (["from_tier", "to_tier"], {"moves": "visit"}),
    "trace_people": ([], {"times": "trace"}),
    "transitions": (["source", "target"], {"transitions": "event", "paths": "visit"}),
    "tiers": (
        ["tier"],
        {
            "sessions": "session",
            "events": "event",
            "failures": "failure",
            "sessions_dependent": "session",
            "errors": "failure",
            "traces": "trace",
        },
    ),
}
KPI_SUMS = {"cdr": "session", "error_rate": "event"}
# metadata keys that metrics add up: units of their own
VALUES = (
    *("cost_usd", "tokens_input", "tokens_output", "turns", "observations_created"),
    *("tokens_saved_vs_naive", "credits", "lines_inserted"),
)


def numbers(home: Home) -> Iterator[tuple[str, float, str]]:
    """Yield name, value and unit of every number the metrics count in a home."""
    for name in METRICS:
        if name not in COMPARED:
            continue
        for at, options in enumerate(OPTIONS.get(name, [{}])):
            frame = home.ask(name, **options)
            if name == "kpis":
                yield from _kpis(frame)
                continue
            if name == "sessions":
                frame = frame.with_columns(
                    (pl.col("duration_s") * pl.col("weight")).alias("seconds")
                )
            keys, units = [], {}
            if name in PEOPLE_IN:
                keys, columns = PEOPLE_IN[name]
                units |= dict.fromkeys(columns, "person")
            if name in SUMS_IN:
                keys, more = SUMS_IN[name]
                units |= more
            by = [key for key in keys if key in frame.columns]
            totals = (
                frame.group_by(by).agg(pl.col(*units).sum())
                if by
                else frame.select(pl.col(*units).sum())
            )
            for row in totals.iter_rows(named=True):
                label = " ".join(f"{row[key]}" for key in by)
                for column, unit in units.items():
                    yield f"{name}[{at}] {label} {column}", row[column], unit


def _kpis(frame: pl.DataFrame) -> Iterator[tuple[str, float, str]]:
    for row in frame.iter_rows(named=True):
        for part in ("numerator", "denominator"):
            if row[part] is not None:
                unit = KPI_SUMS.get(row["kpi"], "person")
                yield f"kpis {row['kpi']} {part}", row[part], unit


@cache
def spread() -> dict[str, float]:
    """Return per unit how much the squares add up to: sum(y^2) / sum(y) over the users.

    A user has at most so many of a unit in any one number, so this states the error too large
    where a number holds a part of them only: for counts of people it is exact.
    """
    inside = whole().events.lazy().filter(WINDOW.contains())
    visits = whole().ask("sessions").lazy().group_by("user_id_hash")
    per_user = {
        "event": inside.group_by("user_id_hash").len("y"),
        "call": inside.drop_nulls("metadata").group_by("user_id_hash", "metadata").len("y"),
        "kind": inside.group_by("user_id_hash", "event_name").len("y"),
        "failure": inside.filter(pl.col("result") != "success").group_by("user_id_hash").len("y"),
        "session": inside.group_by("user_id_hash").agg(pl.col("session_id").n_unique().alias("y")),
        "trace": whole().traces.lazy().filter(WINDOW.contains()).group_by("user_id_hash").len("y"),
        "visit": visits.agg(pl.len().alias("y")),
        "second": visits.agg(pl.col("duration_s").sum().alias("y")),
    }
    for key in VALUES:
        one = text_of(key).cast(pl.Float64)
        if key == "turns":  # a call that sums up none is one
            one = pl.when(pl.col("event_name") == "context_created").then(one.fill_null(1.0))
        per_user[key] = inside.group_by("user_id_hash").agg(one.sum().alias("y"))
    lost = text_of("tokens_saved_vs_naive").cast(pl.Float64).clip(upper_bound=0).abs()
    per_user["tokens_lost"] = inside.group_by("user_id_hash").agg(lost.sum().alias("y"))
    found = {"person": 1.0}
    for unit, frame in per_user.items():
        y = frame.collect()["y"].cast(pl.Float64).to_list()
        # the documented formula for a sum, of a rate of one half so that its factor is 2 y^2
        found[unit] = standard_error_of_sum(y, 0.5) ** 2 / 2 / sum(y)
    return found


def stated_error(value: float, unit: str, rate: float) -> float:
    """Return the standard error of a number, by the documented formulas."""
    return standard_error(abs(value) * rate, rate) * math.sqrt(spread()[unit])


@cache
def truth() -> dict[str, tuple[float, str]]:
    return {name: (value, unit) for name, value, unit in numbers(whole())}


def deviations(rate: float, draws: int) -> dict[str, list[float]]:
    """Return per number how many standard errors each draw is from the truth."""
    found: dict[str, list[float]] = defaultdict(list)
    for draw in range(draws):
        shown = {name: value for name, value, _ in numbers(sample(rate, draw))}
        for name, (value, unit) in truth().items():
            if abs(value) * rate >= KEPT_MIN * spread()[unit]:
                error_ = stated_error(value, unit, rate)
                found[name].append((shown.get(name, 0.0) - value) / error_)
    return found


def check(rate: float, draws: int, *, far: float = 4) -> None:
    """Each number within `far` standard errors; its mean within four of the mean's."""
    found = deviations(rate, draws)
    assert {name.partition("[")[0].partition(" ")[0] for name in found} == set(COMPARED)
    worst = {name: max(each, key=abs) for name, each in found.items()}
    assert {name: off for name, off in worst.items() if abs(off) > far} == {}
    means = {name: sum(each) / draws for name, each in found.items()}
    assert {name: mean for name, mean in means.items() if abs(mean) > 4 / math.sqrt(draws)} == {}


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "draws"), [(0.1, 3), (0.05, 2)])
def test_every_count_of_a_sample_is_within_its_stated_error(rate, draws):
    check(rate, draws)


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "draws"), [(0.1, 30), (0.05, 20)])
def test_no_count_is_biased_over_many_samples(rate, draws):
    check(rate, draws, far=5)  # of thirty thousand, one or two lie beyond four by chance


# --- what is not a count --------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXACT)
def test_what_is_always_kept_is_shown_exactly(name):
    for options in OPTIONS.get(name, [{}]):
        shown, true = (home.ask(name, **options) for home in (sample(0.1, 0), whole()))
        assert true.height
        assert_frame_equal(
            shown.drop("user_id_hash", strict=False), true.drop("user_id_hash", strict=False)
        )


@pytest.mark.parametrize("draw", range(3))
def test_medians_of_a_sample_are_within_their_stated_error(draw):
    """In ranks: which share of all people took less time than the median that is shown."""
    kept = sample(0.1, draw)
    steps = {"steps": TO_WORK, "within": "2d"}
    taken = whole().ask("funnel_users", **steps)["seconds"].list.get(2, null_on_oob=True)
    shown = kept.ask("funnel", **steps)["seconds_p50"][2]
    _check_rank(taken.drop_nulls(), shown)

    visits = whole().ask("sessions").filter(pl.col("duration_s") > 0)["duration_s"]
    lasting = kept.ask("sessions").filter(pl.col("duration_s") > 0)
    assert lasting["weight"].n_unique() == 1
    median = lasting["duration_s"].median()
    assert isinstance(median, float)
    _check_rank(visits, median)


def _check_rank(values: pl.Series, median: float) -> None:
    rank = (values < median).mean()
    assert isinstance(rank, float)
    assert abs(rank - 0.5) < 4 * 0.5 * standard_error(len(values) * 0.1, 0.1) / len(values)


def test_a_listed_metric_that_counts_is_compared_or_says_why_not():
    assert set(COMPARED) == {*PEOPLE_IN, *SUMS_IN, "kpis"}


@pytest.mark.parametrize("name", [name for name in METRICS if name != "sampling"])
def test_a_definition_says_what_a_sample_does_to_it(name):
    assert "On sampled data" in METRICS[name].definition


@cache
def _one(*, kept: bool) -> str:
    """Return the busiest person of the first sample of one in ten, or of those left out of it."""
    busiest = whole().events.group_by("user_id_hash").len().sort("len", "user_id_hash")
    names: list[str] = busiest["user_id_hash"].to_list()
    return [name for name in names if (share_of(f"0/{name}") < 0.1) == kept][-1]


def _of_one(home: Home, name: str, user: str) -> pl.DataFrame:
    asked = (user,) if OF_ONE[name] == "users" else user
    found = home.ask(name, **{OF_ONE[name]: asked})
    estimated = [column for column in found.columns if column.startswith("everybody")]
    if "user_id_hash" in found.columns:  # a beginning may be that of several
        found = found.filter(pl.col("user_id_hash") == user).drop("user_id_hash")
    return found.drop(estimated)


@pytest.mark.parametrize("name", OF_ONE)
def test_of_somebody_in_the_sample_everything_is_known(name):
    user = _one(kept=True)
    true = _of_one(whole(), name, user)

    assert true.height
    assert_frame_equal(_of_one(sample(0.1, 0), name, f"0/{user}"), true)


@pytest.mark.parametrize("name", ["people_events", "user_timeline"])
def test_of_somebody_left_out_of_a_sample_what_is_always_kept_is_listed(name):
    user = _one(kept=False)
    true, shown = _of_one(whole(), name, user), _of_one(sample(0.1, 0), name, f"0/{user}")

    assert 0 < shown.height < true.height
    assert_frame_equal(true.join(shown, on="event_id", how="semi"), shown)
    assert true.filter(pl.col("result") == "failure").height == (
        shown.filter(pl.col("result") == "failure").height
    )


def test_everybodys_wait_beside_one_persons_is_within_its_stated_error():
    shown = sample(0.1, 0).ask("user_latency", user=f"0/{_one(kept=True)}")
    for name, median in shown.select("operation_name", "everybody_ms_p50").iter_rows():
        ran = pl.col("operation_name") == name
        taken = whole().traces.filter(ran, WINDOW.contains())["duration_ms"]
        _check_rank(taken, median)


def test_an_incident_of_a_sample_is_the_one_that_happened():
    """What fails is always kept, so it is the hours and the people, not an estimate of them."""
    rng = random.Random(7)
    given = []
    for number in range(4_000):
        at = FIRST + timedelta(days=25, hours=number % 10, minutes=rng.uniform(0, 59))
        fails = rng.random() < (0.4 if number % 10 in {4, 5} else 0.02)
        said = event(at, f"{number // 4}", result="failure" if fails else "success")
        given.append(said | {"weight": Sampling(keep_rate=0.1).decide(said).weight})
    frame = events(*given)
    shown, true = (
        METRICS["incidents"].compute(one, WINDOW).collect()
        for one in (frame.filter(pl.col("weight") > 0), frame.with_columns(weight=pl.lit(1.0)))
    )

    counted_by_failures = ["started_at", "ended_at", "failures", "users"]
    assert true.height == 1
    assert_frame_equal(shown.select(counted_by_failures), true.select(counted_by_failures))
    assert shown["error_rate"].to_list() == pytest.approx(true["error_rate"].to_list(), rel=0.3)


@pytest.mark.parametrize("draw", range(3))
def test_most_people_at_once_are_within_their_stated_error_where_many_are(draw):
    here = [
        event(f"2026-02-02T12:{minute}", f"{draw}/{number}")
        for number in range(2_000)
        for minute in ("10", "30")
    ]
    sampling = Sampling(keep_rate=0.1)
    kept = [row | {"weight": sampling.decide(row).weight} for row in here]
    frame = events(*(row for row in kept if row["weight"]))
    most = METRICS["concurrent_users"].compute(frame, WEEK).collect()["users"].max()

    assert abs(most - 2_000) < 4 * standard_error(200, 0.1)


def test_what_stands_for_others_happened_once_to_its_own_person_and_an_imported_count_as_often():
    ordinary = [row for user in TENTH for row in days_of(user, 2, 3, weight=10.0)]
    imported = days_of(TENTH[0], 4, weight=41.0)
    frames = events(*ordinary, *imported), errors(), traces()

    people = METRICS["users"].compute(*frames, WEEK).collect()
    counts = dict(people.select("user_id_hash", "events").rows())
    assert (counts[TENTH[0]], counts[TENTH[1]]) == (2 + 41, 2)
    alone = METRICS["users"].compute(*frames, WEEK, prefix=TENTH[0]).collect()
    assert alone["events"].to_list() == [2 + 41]


def test_what_a_sample_is_sure_of_rests_on_the_people_who_were_kept():
    """A tenth of the people cannot tell two rates apart as well as all of them can."""
    for row in sample(0.1, 0).ask("feature_value").rows(named=True):
        used, others = row["with_users"] / 10, row["without_users"] / 10
        reached = row["with_reached"] / 10, row["without_reached"] / 10
        alone = compare_rates((reached[1], others), (reached[0], used)).p_value
        assert (row["p_value"] is not None) == (min(used, others) >= 30)
        # corrected for a list of features, it can only be larger
        assert row["p_value"] is None or row["p_value"] >= alone - 1e-9

    found = sample(0.1, 0).ask("tiers")
    counts = [column for column in found.columns if found[column].dtype == pl.Float64]
    kept = found.with_columns(pl.col(counts) / 10)
    assert_frame_equal(lift.table(found, 10), lift.table(kept))


def test_who_was_left_out_is_not_said_never_to_name_a_value():
    """Their failures are all that is known of them; a value may be named by what was not kept."""
    python = {"metadata": '{"language": "python"}'}
    chosen = [row for user in TENTH for row in days_of(user, 2, weight=10.0, **python)]
    failed = [row for user in TENTH + OTHERS for row in days_of(user, 3, result="failure")]
    frame = events(*chosen, *failed)

    found = METRICS["by_property"].compute(frame, WEEK).collect()
    assert found.select("value", "events", "users").rows() == [(None, 24, 0), ("python", 120, 120)]
    listed = METRICS["property_users"].compute(frame, WEEK).collect()
    assert listed["value"].to_list() == ["python"] * 12


def test_somebody_left_out_of_a_sample_is_still_listed_among_the_testers():
    shown, true = sample(0.1, 0).ask("testers"), whole().ask("testers")

    assert 0.1 * true.height < shown.height < true.height
    assert shown["errors"].sum() == true["errors"].sum() > 0


# --- is it a sample? ------------------------------------------------------------------------------

# 12 of the 5 %, 12 more of the 10 %, and 12 of the rest
_SHARES = sorted((share_of(f"user-{number}"), f"user-{number}") for number in range(1_000))
TWENTIETH = [user for share, user in _SHARES if share < 0.05][-12:]
TENTH = [user for share, user in _SHARES if 0.05 < share < 0.1][:12]
OTHERS = [user for share, user in _SHARES if share > 0.5][:12]
WEEK = window("2026-02-02", "2026-02-09")


def days_of(user: str, *days: int, **columns: Any) -> list[dict[str, Any]]:
    return [event(f"2026-02-{day:02}", user, **columns) for day in days]


def active_once_and_twice(*given: dict[str, Any]) -> list[float]:
    frame = METRICS["stickiness"].compute(events(*given), WEEK).collect()
    return frame["users"].to_list()[:2]


def test_people_who_were_left_out_do_not_count_and_the_chosen_count_whole():
    """Each comes twice; of those left out one visit failed, which is all that is known."""
    chosen = [row for user in TENTH for row in days_of(user, 2, weight=10.0)]
    chosen += [row for user in TENTH for row in days_of(user, 3, result="failure")]
    left_out = [row for user in OTHERS for row in days_of(user, 3, result="failure")]

    assert active_once_and_twice(*chosen, *left_out) == [0, 120]


def test_events_of_the_same_millisecond_are_put_in_order_among_the_chosen_too():
    """Their event_id decides, and what failed counts like the rest of its user."""
    steps = ["session_started", "context_loaded"]
    chosen = [
        event("2026-02-02", user, name, event_id=f"{user}-{at}", result=result, weight=weight)
        for user in TENTH
        for at, (name, result, weight) in enumerate(
            [(steps[0], "success", 10.0), (steps[1], "failure", 1.0)]
        )
    ]
    left_out = [event("2026-02-02", user, name, weight=1.0) for user in OTHERS for name in steps]
    frame = events(*reversed(chosen), *left_out)

    reached = METRICS["funnel"].compute(frame, WEEK, steps=steps).collect()["users"].to_list()
    assert reached == [120, 120]


def test_the_lowest_of_several_keep_rates_is_taken():
    """At first 5 % were kept, later 10 %: only the former are known all along."""
    early = [row for user in TWENTIETH for row in days_of(user, 2, weight=20.0)]
    late = [row for user in TWENTIETH + TENTH for row in days_of(user, 3, weight=10.0)]

    assert active_once_and_twice(*early, *late) == [0, 12 * 20]


def test_sampling_that_began_after_the_window_leaves_the_window_as_it_was():
    inside = [row for user in OTHERS for row in days_of(user, 2, weight=2.0)]
    after = [row for user in TENTH for row in days_of(user, 20, weight=10.0)]

    assert active_once_and_twice(*inside, *after) == [24, 0]


def test_conversions_are_counted_exactly_and_divided_by_what_the_chosen_say():
    """Who started to pay is always kept; from which tier is known of the chosen alone."""
    chosen = [row for user in TENTH for row in days_of(user, 2, weight=10.0)]
    failed = [row for user in OTHERS for row in days_of(user, 2, result="failure")]
    paying: dict[str, Any] = {"name": TO_PAID[-1], "user_tier": "paid", "is_paid_user": True}
    started = [row for user in (*OTHERS[:2], TENTH[0]) for row in days_of(user, 3, **paying)]
    frame = events(*chosen, *failed, *started)

    kpis = METRICS["kpis"].compute(frame, WEEK).collect()
    conversion = kpis.filter(pl.col("kpi") == "paid_conversion")
    assert conversion.select("numerator", "denominator").rows() == [(3, 120)]
    tiers = METRICS["tiers"].compute(frame, errors(), traces(), WEEK).collect()
    free = tiers.filter(pl.col("tier") == "free")
    assert free.select("converted", "convertible").rows() == [(10, 120)]


def test_a_day_imported_as_one_row_is_no_sample():
    """A weight that somebody outside the share carries was counted, not sampled."""
    counts = [row for user in OTHERS for row in days_of(user, 2, 3, weight=41.0)]

    assert active_once_and_twice(*counts, *days_of("ada", 4)) == [1, 12 * 41]
    told = METRICS["sampling"].compute(events(*counts), errors(), traces(), WEEK).collect()
    assert told.filter(pl.col("source") == "events").rows() == [("events", None, 0, 0, 0.0)]


def test_a_few_weights_that_fit_by_chance_are_no_sample():
    two = [row for user in TENTH[:2] for row in days_of(user, 2, weight=10.0)]
    three = [row for user in TENTH[:3] for row in days_of(user, 2, weight=10.0)]
    others = [row for user in OTHERS for row in days_of(user, 3)]

    assert active_once_and_twice(*two, *others) == [20 + 12, 0]
    assert active_once_and_twice(*three, *others) == [30, 0]


def test_many_different_weights_need_more_people_each():
    """Of a thousand imported counts a few fit by chance; that makes none of them a rate."""
    rng = random.Random(3)
    counts = [
        event("2026-02-02", f"team-{number}", weight=float(rng.randrange(2, 5_000)))
        for number in range(1_000)
    ]
    total = sum(row["weight"] for row in counts)

    assert active_once_and_twice(*counts) == [total, 0]


def test_counts_imported_into_a_sampled_home_leave_the_rate_as_it_is():
    chosen = [row for user in TENTH for row in days_of(user, 2, weight=10.0)]
    imported = [row for user in (*OTHERS, TENTH[0]) for row in days_of(user, 3, weight=41.0)]

    # what was imported for people outside the sample is theirs, and they are not in it
    assert active_once_and_twice(*chosen, *imported) == [11 * 10, 10]


def test_what_is_sampled_by_session_has_nobody_to_choose():
    nobodys = [event("2026-02-02", None, weight=10.0, session_id=f"s{n}") for n in range(30)]

    assert active_once_and_twice(*nobodys, *days_of("ada", 2)) == [1, 0]
    told = METRICS["sampling"].compute(events(*nobodys), errors(), traces(), WEEK).collect()
    assert told.filter(pl.col("source") == "events").rows() == [("events", None, 0, 30, 300.0)]


def test_weights_below_one_and_a_frame_without_any_row_are_no_sample():
    assert active_once_and_twice(*days_of("ada", 2, weight=0.5)) == [0, 0]
    assert active_once_and_twice() == [0, 0]
    assert representative(pl.DataFrame({"weight": []}), events()) is None


def test_three_people_at_ten_percent_make_a_rate_known():
    rows_ = [(user, 10.0) for user in TENTH[:3]] + [(OTHERS[0], 7.0), (None, 3.0)]
    pairs = pl.DataFrame(
        rows_, schema={"user_id_hash": pl.String, "weight": pl.Float64}, orient="row"
    )

    assert keep_rates(pairs.filter(pl.col("weight") == 10)).rows() == [(10.0, 0.1, 3, True)]
    # among three different weights the same three could be chance
    assert keep_rates(pairs).rows() == [(3.0, 1 / 3, 0, False), (10.0, 0.1, 3, False)]


def test_sampling_says_how_much_was_kept():
    told = sample(0.1, 1).ask("sampling").rows_by_key("source", named=True, unique=True)
    kept = sample(0.1, 1).events.filter(
        pl.col("weight") > 1, pl.col("timestamp") < pl.lit(WINDOW.closes_at)
    )

    assert told["events"]["keep_rate"] == told["traces"]["keep_rate"] == pytest.approx(0.1)
    assert told["events"]["rows_kept"] == kept.height
    assert told["events"]["users_kept"] == kept["user_id_hash"].n_unique()
    assert told["events"]["events"] == 10 * kept.height
    assert told["errors"] == {"keep_rate": None, "users_kept": 0, "rows_kept": 0, "events": 0.0}
    assert whole().ask("sampling")["rows_kept"].sum() == 0


def test_sampling_looks_as_far_back_as_monthly_users():
    many = [event("2026-01-04T00:00", user, weight=10.0) for user in TENTH]
    before = [event("2026-01-03T23:59", user, weight=10.0) for user in TENTH]
    later = [event("2026-02-09T00:00", user, weight=10.0) for user in TENTH]

    def kept(given: list[dict[str, Any]]) -> int:
        frames = events(*given), errors(), traces()
        told: pl.DataFrame = METRICS["sampling"].compute(*frames, WEEK).collect()
        return int(told["rows_kept"].sum())

    assert [kept(many), kept(before), kept(later)] == [12, 0, 0]


# --- what the pages say -------------------------------------------------------------------------


def _beta(*, rate: float) -> list[dict[str, Any]]:
    """Return what is kept of 240 people who come on each of 20 days, one of them failing.

    Every fifth has not come in the last 14.
    """
    sampling, now = Sampling(keep_rate=rate), datetime.now(UTC).replace(microsecond=0)
    given: list[dict[str, Any]] = []
    for number, day in [(number, day) for number in range(240) for day in range(1, 21)]:
        if number % 5 == 1 and day < 16:
            continue
        who = {
            "timestamp": (now - timedelta(days=day)).isoformat(),
            "user_id_hash": f"user-{number}",
            "user_tier": "free",
            "session_id": f"s{number}-{day}",
        }
        named = {"event_name": "session_started"}
        if number == 0:
            named = {"error_type": "ValueError", "error_message": "no"}
        given.append(who | named)
        if day == 1:
            given.append(who | {"operation_name": "search", "duration_ms": 100.0 + number})
    decided = [(row, sampling.decide(row)) for row in given]
    return [row | {"weight": decision.weight} for row, decision in decided if decision.keep]


@pytest.fixture
def shown(
    home: Path, load_lines: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., AppTest]:
    """Return a function that shows a page of the beta sampled at a rate."""
    st.cache_data.clear()
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.setenv("TELEMETRY_HOME", str(home))

    def run(page: str, rate: float) -> AppTest:
        load_lines(*_beta(rate=rate))
        app = AppTest.from_file("../pages/frame.py", default_timeout=60).run()
        return app.switch_page(f"{page}.py").run()

    return run


def test_a_page_marks_what_it_estimates_and_says_from_what(shown: Callable[..., AppTest]):
    app = shown("overview", 0.1)
    monthly = {metric.label: metric for metric in app.metric}["Monthly active"]

    assert not app.exception
    assert monthly.value.startswith("≈\u00a0")
    assert "about 1 in 10 people's ordinary events are kept" in monthly.help
    assert "19 of 20 times" in monthly.help
    assert any(caption.value.startswith("≈\u00a0People per day") for caption in app.caption)
    assert all(metric.value.startswith(("≈", text.NOTHING)) for metric in app.metric)


def test_a_page_does_not_mark_what_is_always_kept(shown: Callable[..., AppTest]):
    values = {metric.label: metric.value for metric in shown("errors", 0.1).metric}

    assert values["Errors"] == "20"
    assert values["Monthly active"].startswith("≈")


@pytest.mark.parametrize("page", ["overview", "errors"])
def test_a_page_of_a_whole_home_says_nothing_about_samples(shown: Callable[..., AppTest], page):
    app = shown(page, 1.0)

    assert not app.exception
    assert app.metric
    said = [*(item.value for item in (*app.caption, *app.markdown, *app.metric))]
    said += [metric.help for metric in app.metric]
    assert not [words for words in said if "≈" in words or "Estimated from a sample" in words]


def test_sentences_mark_what_they_estimate(shown: Callable[..., AppTest]):
    app = shown("closed_beta", 0.1)

    said = " ".join(markdown.value for markdown in app.markdown)
    assert re.search("≈\u00a0[^*]* testers", said), said


def test_single_operations_are_listed_as_they_were_written(shown: Callable[..., AppTest]):
    captions = [caption.value for caption in shown("latency", 0.1).caption]

    assert "Single operations, slowest first" in captions
    assert any(words.startswith("≈\u00a0Operations per day") for words in captions)
