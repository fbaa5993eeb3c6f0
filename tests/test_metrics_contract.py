"""What every listed metric promises: its documented columns, their order, and a plan, not data."""

from __future__ import annotations

import random
import re
from datetime import timedelta
from functools import cache
from typing import Any

import polars as pl
import pytest
from frames import error, errors, event, events, instant, trace, traces, window
from polars.testing import assert_frame_equal

import data_access.metrics  # noqa: F401 - importing it lists every metric
from data_access.metrics.registry import METRICS, Metric
from data_access.schema import SESSIONS
from ingest.vocabulary import CortexEventName

WINDOW = window("2026-01-10", "2026-01-24")
STEPS = {"steps": ["session_started", "context_created", "context_loaded"]}
ONE = {"user": "a"}
EXPERIMENT = {"flag": "f", "goal": "session_started"}
# what a metric cannot do without
OPTIONS: dict[str, dict[str, Any]] = {
    "error_occurrences": {"group": "g1"},
    "feature_users": {"feature": "context_loaded"},
    "experiment": EXPERIMENT,
    "experiment_daily": EXPERIMENT,
    "experiment_means": {"flag": "f"},
    "experiment_results": {"flag": "f", "goals": ["session_started"], "values": ["events"]},
    "experiment_users": EXPERIMENT,
    "funnel": STEPS,
    "funnel_by": STEPS | {"by": "tier", "users_min": 0},
    "funnel_histogram": STEPS,
    "funnel_trend": STEPS,
    "funnel_users": STEPS,
    "people_events": {"users": ("a", "b", "c")},
    "user_errors": ONE,
    "user_latency": ONE,
    "user_rows": ONE,
    "user_sessions": ONE,
    "user_tiers": ONE,
    "user_timeline": ONE,
    "user_tools": ONE,
}
# the columns a result is sorted by; the first column alone where nothing is said
KEYS = {
    "activation": ["step"],
    "by_property": ["value"],
    "co_usage": ["feature", "other"],
    "context_lifecycle": ["period"],
    "credits_by_plan": ["period", "plan"],
    "error_shifts": ["event_name", "day"],
    "funnel_by": ["group", "step"],
    "interactions": ["element", "action"],
    "journeys": ["converted", "rank"],
    "feature_adoption": ["feature", "period"],
    "feature_usage": ["feature", "user_tier"],
    "experiment_daily": ["period", "variant"],
    "experiment_results": ["metric", "variant"],
    "experiments": ["flag", "variant"],
    "latency_distribution": ["operation_name", "bucket_from_ms"],
    "latency_heatmap": ["period", "bucket_from_ms"],
    "models": ["provider", "model"],
    "observations": ["model", "type"],
    "path_steps": ["step", "item"],
    "paths": ["step", "source", "target"],
    "lifecycle_users": ["period", "state", "user_id_hash"],
    "property_users": ["value", "user_id_hash"],
    "retention": ["cohort", "period"],
    "retention_users": ["cohort", "period", "user_id_hash"],
    "sessions": ["user_id_hash", "started_at"],
    "shifts": ["operation_name", "day"],
    "stickiness_users": ["periods_active", "user_id_hash"],
    "tier_moves": ["from_tier", "to_tier"],
    "transitions": ["source", "target"],
}
NEWEST_OR_MOST_FIRST = {
    "people_events": ["timestamp", "event_id"],
    "user_errors": ["last_seen", "group_hash"],
    "user_rows": ["rows", "kind", "name"],
    "user_sessions": ["started_at", "session_id"],
    "user_timeline": ["timestamp", "event_id", "kind"],
    "user_tools": ["calls", "tool"],
    "error_occurrences": ["timestamp", "event_id"],
    "slowest": ["duration_ms", "timestamp", "event_id"],
}
COLUMN = re.compile(r"^(?P<name>\w+) : (?P<type>\w+(?:\(\w+\))?)[,;.]")

# a law that holds of every metric alike is tried on these in a person's run, on all in CI
EXAMPLES = {"active_users", "error_groups", "funnel", "kpis", "latency", "paths", "retention"}

listed = pytest.mark.parametrize("spec", METRICS.values(), ids=METRICS)
law_of_each = pytest.mark.parametrize(
    "spec",
    [
        pytest.param(spec, id=name, marks=[] if name in EXAMPLES else pytest.mark.slow)
        for name, spec in METRICS.items()
    ],
)


SAID = (
    *(None, "{}", "{broken", '{"language": "go", "ide": "zed", "version": "1.0"}'),
    '{"model": "m1", "provider": "p", "tokens_input": 5, "tokens_output": 2, "cost_usd": 0.5}',
    '{"top_model": "m2", "turns": 3, "outcome_error": 1, "outcome_ok": 2, "total_cost_usd": 2.25}',
    '{"observations_created": 3, "obs_type_bugfix": 2, "model": "m1", "language": "rust"}',
    '{"tokens_saved_vs_naive": -20}',
    '{"plan": "pro", "credits": 500, "language": "python"}',
    *('{"flag": "f", "variant": "a"}', '{"ide": "zed", "variant": "b", "flag": "f"}'),
)


DONE = ("install", "extension_activated", "ui_interaction", "code_insert", "context_switch")
DONE_SAID = (
    *(None, "{}", '{"element": "menu", "action": "open"}', '{"lines_inserted": 3}'),
    '{"lines_inserted": 2, "accepted": true}',
)


def in_extension(rng: random.Random, columns: dict[str, object]) -> dict[str, Any]:
    """Return a random event of the extension."""
    return event(
        instant("2025-12-20") + timedelta(minutes=rng.randrange(60 * 24 * 40)),
        rng.choice("abcdefgh"),
        rng.choice(DONE),
        channel="extension",
        result=rng.choice(("success", "success", "timeout", "error")),
        metadata=rng.choice(DONE_SAID),
        **columns,
    )


@cache
def small() -> dict[str, pl.LazyFrame]:
    """Return a few hundred random rows of each table, some sampled, some without a tier."""
    rng, words = random.Random(7), random.Random(8)
    names = [name.value for name in CortexEventName]
    users, tiers, hashes = [*"abcdefgh"], ["free", "paid", "trial", "", None], ["g1", "g2", "g3"]

    def columns() -> dict[str, object]:
        return {
            "session_id": rng.choice(["s1", "s2", "s3", "", None]),
            "release": rng.choice(["1.0", "1.1", None]),
            "user_tier": rng.choice(tiers),
            "weight": rng.choice([1.0, 1.0, 2.0]),
        }

    def moment() -> Any:
        return instant("2025-12-01") + timedelta(minutes=rng.randrange(60 * 24 * 60))

    results = ["success", "success", "failure"]
    return {
        "events": events(
            *(
                event(
                    moment(),
                    rng.choice(users),
                    rng.choice(names),
                    result=rng.choice(results),
                    is_paid_user=rng.random() < 0.3,
                    metadata=words.choice(SAID),
                    **columns(),
                )
                for _ in range(400)
            ),
            *(in_extension(words, columns()) for _ in range(120)),
        ),
        "errors": errors(
            *(
                error(moment(), rng.choice(users), group_hash=rng.choice(hashes), **columns())
                for _ in range(100)
            )
        ),
        "traces": traces(
            *(
                trace(
                    moment(),
                    rng.choice(["search", "save"]),
                    rng.choice([None, 0.0, rng.lognormvariate(4, 1)]),
                    rng.choice(users),
                    success=rng.random() < 0.9,
                    **columns(),
                )
                for _ in range(300)
            )
        ),
        "sessions": pl.LazyFrame(schema=SESSIONS),
    }


def compute(spec: Metric, tables: dict[str, pl.LazyFrame]) -> pl.LazyFrame:
    frames = [tables[source] for source in spec.sources]
    return spec.compute(*frames, WINDOW, **OPTIONS.get(spec.name, {}))


def empty() -> dict[str, pl.LazyFrame]:
    return {name: frame.clear() for name, frame in small().items()}


def section(spec: Metric, name: str) -> list[str]:
    """Return the lines of one section of a docstring."""
    _, found, rest = spec.definition.partition(f"{name}\n{'-' * len(name)}\n")
    assert found, f"{spec.name} has no section {name}"
    return re.split(r"\n\n?\w+\n-+\n", rest)[0].splitlines()


def documented(spec: Metric) -> dict[str, str]:
    """Return the columns of a docstring, in order, each with its type."""
    found = {}
    for line in section(spec, "Columns"):
        if line.startswith(" "):
            continue  # a remark that runs on
        match = COLUMN.match(line)
        assert match, f"{spec.name}: a line of Columns is 'name : Type, unit; remark': {line!r}"
        found[match["name"]] = match["type"]
    return found


def spelled(dtype: pl.DataType, like: str) -> str:
    """Return a type as the docstring spells it: parameters only where it gives them."""
    full = str(dtype)
    return full if full == like else full.partition("(")[0]


@listed
def test_a_docstring_names_exactly_the_columns_there_are(spec: Metric):
    asked = documented(spec)

    for tables in (empty(), small()):
        schema = compute(spec, tables).collect().schema
        real = {name: spelled(dtype, asked.get(name, "")) for name, dtype in schema.items()}
        assert list(real.items()) == list(asked.items())


@listed
def test_a_docstring_says_what_is_counted_and_where_it_comes_from(spec: Metric):
    assert section(spec, "Definition")
    lines = section(spec, "Source")
    assert tuple(line.partition(" : ")[0] for line in lines if not line.startswith(" ")) == (
        spec.sources
    )


@listed
def test_a_metric_returns_a_plan_whose_schema_is_known_before_it_runs(spec: Metric):
    for tables in (empty(), small()):
        plan = compute(spec, tables)
        assert isinstance(plan, pl.LazyFrame)
        assert dict(plan.collect_schema()) == dict(plan.collect().schema)


@listed
def test_a_metric_gives_the_same_rows_every_time_in_the_order_of_its_keys(spec: Metric):
    result = compute(spec, small()).collect()

    if spec.name in NEWEST_OR_MOST_FIRST:
        expected = result.sort(NEWEST_OR_MOST_FIRST[spec.name], descending=True)
    else:
        keys = KEYS.get(spec.name, result.columns[:1])
        expected = result.sort(keys, maintain_order=True)
    assert_frame_equal(result, expected)
    assert_frame_equal(result, compute(spec, small()).collect())


@law_of_each
def test_the_order_of_the_rows_on_disk_does_not_matter(spec: Metric):
    shuffled = {
        name: frame.collect().sample(fraction=1.0, shuffle=True, seed=3).lazy()
        for name, frame in small().items()
    }

    assert_frame_equal(
        compute(spec, small()).collect(), compute(spec, shuffled).collect(), rel_tol=1e-9
    )


@law_of_each
def test_the_in_memory_engine_agrees_with_the_streaming_one(spec: Metric):
    plan = compute(spec, small())

    assert_frame_equal(plan.collect(engine="streaming"), plan.collect(engine="in-memory"))


# the columns of the v2.0 schema: all that a metric may require
REQUIRED = {
    "events": (
        "timestamp event_name user_id_hash user_tier is_paid_user session_id channel project_id "
        "branch_id context_id result duration_ms metadata"
    ),
    "errors": (
        "timestamp error_type error_message stack_trace stack_hash severity user_id_hash "
        "user_tier is_paid_user session_id channel project_id branch_id context_id "
        "related_event_name metadata"
    ),
    "traces": (
        "timestamp operation_name duration_ms success result_count user_id_hash user_tier "
        "is_paid_user session_id channel project_id branch_id context_id metadata"
    ),
}
SINCE_THEN: dict[str, pl.Expr] = {
    "weight": pl.lit(1.0),
    "occurrences": pl.lit(1, pl.Int64),
    "first_at": pl.col("timestamp"),
    "last_at": pl.col("timestamp"),
    "stack_hash": pl.col("group_hash"),
    "event_id": pl.lit(None, pl.String),
    "release": pl.lit(None, pl.String),
    "hash_version": pl.lit(None, pl.Int64),
}


def at_defaults() -> dict[str, pl.LazyFrame]:
    """Return the random rows with every column that is not in REQUIRED at its default."""
    return {
        name: frame.with_columns(
            value.alias(column)
            for column, value in SINCE_THEN.items()
            if column in frame.collect_schema()
        )
        for name, frame in small().items()
    }


@law_of_each
def test_the_columns_of_the_old_schema_are_enough(spec: Metric):
    full = at_defaults()
    old = {name: full[name].select(columns.split()) for name, columns in REQUIRED.items()}

    assert_frame_equal(compute(spec, old).collect(), compute(spec, full).collect())
    named = dict(zip(spec.sources, [old[source] for source in spec.sources], strict=True))
    by_name = spec.compute(**named, window=WINDOW, **OPTIONS.get(spec.name, {}))
    assert_frame_equal(by_name.collect(), compute(spec, full).collect())


@law_of_each
@pytest.mark.parametrize("time", [pl.Datetime("us", "UTC"), pl.Datetime("ns", "UTC")], ids=str)
def test_finer_times_give_the_same_numbers(spec: Metric, time: pl.Datetime):
    finer = {
        name: frame.with_columns(pl.selectors.datetime(time_zone="UTC").cast(time))
        for name, frame in small().items()
    }

    assert_frame_equal(compute(spec, finer).collect(), compute(spec, small()).collect())


@law_of_each
def test_naive_times_are_utc(spec: Metric):
    naive = {
        name: frame.with_columns(
            pl.selectors.datetime(time_zone="UTC").dt.replace_time_zone(None).cast(pl.Datetime)
        )
        for name, frame in small().items()
    }

    assert_frame_equal(compute(spec, naive).collect(), compute(spec, small()).collect())


@law_of_each
def test_flags_may_be_0_and_1_as_sqlite_keeps_them(spec: Metric):
    numbers = {
        name: frame.with_columns(pl.selectors.boolean().cast(pl.Int64))
        for name, frame in small().items()
    }

    assert_frame_equal(compute(spec, numbers).collect(), compute(spec, small()).collect())


@law_of_each
def test_columns_of_nothing_but_null_need_no_type(spec: Metric):
    """A frame made from rows that all lack a value has a column of the type Null."""
    optional = ["session_id", "release", "user_tier", "project_id", "metadata", "group_hash"]

    def without(*, typed: bool) -> dict[str, pl.LazyFrame]:
        return {
            name: frame.with_columns(
                pl.lit(None, pl.String if typed else pl.Null).alias(column)
                for column in optional
                if column in frame.collect_schema()
            )
            for name, frame in small().items()
        }

    assert_frame_equal(
        compute(spec, without(typed=False)).collect(), compute(spec, without(typed=True)).collect()
    )


@law_of_each
def test_what_happens_after_the_window_changes_nothing(spec: Metric):
    """Metrics that widen to whole periods do so by at most a month."""
    later = WINDOW.end + timedelta(days=31)
    cut = {
        name: frame.filter(pl.col("timestamp") < pl.lit(instant(later.isoformat())))
        if "timestamp" in frame.collect_schema()
        else frame
        for name, frame in small().items()
    }
    extended = dict(cut)
    for name, make in (("events", event), ("errors", error), ("traces", trace)):
        built = {"events": events, "errors": errors, "traces": traces}[name]
        row = make("2026-06-01", "latecomer", event_id="later", release="9.9")
        extended[name] = pl.concat([cut[name], built(row)])

    assert_frame_equal(
        compute(spec, cut).collect(), compute(spec, extended).collect(), rel_tol=1e-9
    )
