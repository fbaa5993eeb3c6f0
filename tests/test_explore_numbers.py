"""What Explore counts equals what the pages' metrics count, where both mean the same."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from data_access import Filters, Window, metrics, scan
from data_access.config import Limits
from data_access.explore import Condition, Question, ask, close
from ingest.demo import write_demo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

END = date(2026, 6, 1)
WINDOW = Window(
    date(2026, 4, 19), date(2026, 5, 31), timezone="America/New_York", week_starts_on="sunday"
)
FILTERS = [
    pytest.param(Filters(WINDOW), id="nothing"),
    pytest.param(Filters(WINDOW, tiers=("free",), channels=("server",)), id="a tier, a channel"),
    pytest.param(Filters(WINDOW, properties=("ide:vscode",)), id="a property"),
    pytest.param(Filters(WINDOW, stages=("closed-beta",)), id="a stage"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Write a demo in which some rows stand for several, and some have no user or session."""
    place = tmp_path_factory.mktemp("numbers") / "home"
    write_demo(place, events=4_000, days=70, end=END)
    (place / "telemetry.toml").write_text('open_beta_date = "2026-05-01"\n')
    with contextlib.closing(sqlite3.connect(place / "telemetry.db")) as database:
        for table in ("telemetry_events", "telemetry_traces", "telemetry_errors"):
            database.execute(f"UPDATE {table} SET weight = 3.5 WHERE id % 7 = 0")
            database.execute(f"UPDATE {table} SET weight = 10 WHERE id % 31 = 0")
        database.execute("UPDATE telemetry_events SET session_id = '' WHERE id % 11 = 0")
        database.execute("UPDATE telemetry_errors SET occurrences = 4 WHERE id % 3 = 0")
        database.commit()
    yield place
    close()


def explored(home: Path, filters: Filters, **question: object) -> pl.DataFrame:
    return ask(Question(**question), filters, home, Limits(query_rows=100_000)).frame


def counted(home: Path, filters: Filters, metric: str, **options: object) -> pl.DataFrame:
    spec = metrics.METRICS[metric]
    since = spec.since(filters.window)
    frames = [scan(source, home, since=since, filters=filters) for source in spec.sources]
    return spec.compute(*frames, filters.window, **options).collect()


def assert_same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Compare, but for periods in which nothing happened: SQL has no row for them."""
    assert expected.height > 3
    assert_frame_equal(found, expected, check_dtypes=False, check_exact=False, abs_tol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize(
    ("measure", "column"),
    [
        ("count", "events"),
        ("people", "users"),
        ("sessions", "sessions"),
        ("error_rate", "error_rate"),
    ],
)
def test_a_day_of_events_is_that_of_activity(home, filters, measure, column):
    activity = counted(home, filters, "activity").filter(pl.col("events") > 0)

    found = explored(home, filters, group=("day",), measure=measure)

    expected = activity.select(pl.col("period").alias("day"), column)
    if measure == "sessions":
        expected = expected.filter(pl.col("sessions") > 0)
    assert_same(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("every", ["day", "week", "month"])
def test_people_of_a_period_are_the_active_users_of_any_event(home, every):
    within = Window(date(2026, 5, 1), date(2026, 6, 1)) if every == "month" else WINDOW
    filters = Filters(within)
    users = counted(
        home,
        filters,
        "active_users",
        every=f"1{every[0] if every != 'month' else 'mo'}",
        active_events=None,
    )

    found = explored(home, filters, group=(every,), measure="people")

    expected = users.filter(pl.col("users") > 0).select(pl.col("period").alias(every), "users")
    assert_frame_equal(found, expected, check_exact=False)


def test_everybody_is_counted_once(home):
    people = counted(home, Filters(WINDOW), "people", active_events=None)

    [[users]] = explored(home, Filters(WINDOW), measure="people").rows()

    assert math.isclose(users, people["weight"].sum())


def test_a_metadata_key_groups_as_it_does_on_the_pages(home):
    by_property = counted(home, Filters(WINDOW), "by_property", key="ide", most=1_000)

    found = explored(home, Filters(WINDOW), group=("metadata.ide",), measure="count")

    named = by_property.filter(pl.col("value").is_not_null()).sort("value")
    assert_same(
        found.filter(pl.col("ide").is_not_null()),
        named.select(pl.col("value").alias("ide"), "events"),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("measure", "ending"), [("median", "p50"), ("p90", "p90"), ("p99", "p99")])
def test_percentiles_are_the_weighted_ones_of_latency(home, measure, ending):
    latency = counted(home, Filters(WINDOW), "latency")

    found = explored(
        home,
        Filters(WINDOW),
        table="traces",
        group=("operation_name",),
        measure=measure,
        of="duration_ms",
    )

    assert_same(found, latency.select("operation_name", f"duration_ms_{ending}"))


@pytest.mark.slow
def test_errors_count_their_occurrences(home):
    groups = counted(home, Filters(WINDOW), "error_groups")

    found = explored(home, Filters(WINDOW), table="errors", group=("group_hash",))

    assert_same(
        found.select("group_hash", "errors"),
        groups.select("group_hash", pl.col("occurrences").alias("errors")).sort("group_hash"),
    )


@pytest.mark.slow
def test_conditions_of_every_kind_narrow_the_rows_as_polars_would(home):
    events = scan("events", home).filter(WINDOW.contains()).collect()
    ide = pl.col("metadata").str.json_path_match("$.ide")
    cases = [
        (Condition("result", "is", "success"), pl.col("result") == "success"),
        (Condition("result", "not", "success"), pl.col("result").ne_missing("success")),
        (Condition("event_name", "contains", "ext"), pl.col("event_name").str.contains("ext")),
        (
            Condition("event_name", "starts", "context"),
            pl.col("event_name").str.starts_with("context"),
        ),
        (Condition("duration_ms", "gt", "100"), pl.col("duration_ms") > 100),
        (Condition("duration_ms", "le", "99.5"), pl.col("duration_ms") <= 99.5),
        (Condition("duration_ms", "empty"), pl.col("duration_ms").is_null()),
        (Condition("session_id", "filled"), pl.col("session_id") != ""),
        (Condition("metadata.ide", "is", "vscode"), ide == "vscode"),
        (Condition("metadata.ide", "empty"), ide.is_null()),
        (Condition("is_paid_user", "is", "true"), pl.col("is_paid_user")),
        (Condition("weight", "ge", "3.5"), pl.col("weight") >= 3.5),
        (
            Condition("metadata.top_k", "gt", "5"),
            pl.col("metadata").str.json_path_match("$.top_k").cast(pl.Float64) > 5,
        ),
        (
            Condition("timestamp", "ge", "2026-05-20T12:00:00Z"),
            pl.col("timestamp") >= datetime(2026, 5, 20, 12, tzinfo=UTC),
        ),
    ]
    for condition, predicate in cases:
        [[found]] = explored(home, Filters(WINDOW), measure="rows", where=(condition,)).rows()

        assert found == events.filter(predicate).height > 0, condition


def test_sums_and_means_are_weighted(home):
    events = scan("events", home).filter(WINDOW.contains())
    known = events.filter(pl.col("duration_ms").is_not_null())
    total = (pl.col("duration_ms") * pl.col("weight")).sum().alias("total")
    [[summed, mean]] = (
        known.select(total, (total / pl.col("weight").sum()).alias("mean")).collect().rows()
    )

    [[found]] = explored(home, Filters(WINDOW), measure="sum", of="duration_ms").rows()
    [[found_mean]] = explored(home, Filters(WINDOW), measure="mean", of="duration_ms").rows()

    assert math.isclose(found, summed)
    assert math.isclose(found_mean, mean)


def test_all_history_looks_past_the_window(home):
    [[found]] = explored(home, Filters(WINDOW), measure="rows", all_history=True).rows()

    assert found == scan("events", home).select(pl.len()).collect().item()
