"""Features and tools of real and of older data equal what SQL in another engine says.

The SQL is written from the definitions alone; its metadata is read with DuckDB's own JSON.
"""

from __future__ import annotations

import sqlite3
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from data_access import Window, metrics, scan

if TYPE_CHECKING:
    import polars as pl

DATA = Path(__file__).parent / "data"
ACTIVE = "('session_started','extension_activated','server_operation_called','web_view_opened')"
LEFT_OUT = "('session_started','session_resumed_from_context','paid_subscription_started')"
WINDOWS = [
    pytest.param(Window(date(2026, 7, 25), date(2026, 8, 22)), id="last 28 days"),
    pytest.param(Window(date(2024, 1, 17), date(2024, 6, 3)), id="some months"),
    pytest.param(Window(date(2013, 1, 1), date(2013, 12, 1)), id="the beginning"),
]


@pytest.fixture(scope="module")
def events(activity: Path) -> pl.LazyFrame:
    return scan("events", activity)


def _scanned(tmp_path_factory, name: str) -> pl.LazyFrame:
    place = tmp_path_factory.mktemp("real") / name
    place.write_bytes((DATA / name).read_bytes())
    return scan("events", place)


@pytest.fixture(scope="module")
def sql():
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"""CREATE TABLE e AS SELECT timestamp::TIMESTAMP AS t, timestamp::DATE AS day,
        user_id_hash AS u, user_tier AS tier, session_id AS s, result, duration_ms AS ms,
        CASE WHEN event_name IN {LEFT_OUT} THEN NULL
            WHEN event_name = 'server_operation_called'
            THEN coalesce(json_extract_string(metadata, '$.tool_name'), event_name)
            ELSE event_name END AS f,
        event_name = 'server_operation_called' AS is_call, event_name IN {ACTIVE} AS is_active
        FROM read_json('{DATA / "activity.jsonl.gz"}', format = 'newline_delimited',
        columns = {{timestamp: 'TIMESTAMP', event_name: 'VARCHAR', user_id_hash: 'VARCHAR',
        user_tier: 'VARCHAR', session_id: 'VARCHAR', result: 'VARCHAR', duration_ms: 'DOUBLE',
        metadata: 'JSON'}})"""
    )

    def run(query: str) -> list[tuple]:
        return connection.execute(query).fetchall()

    yield run
    connection.close()


def between(window: Window) -> str:
    return f"day >= DATE '{window.start}' AND day < DATE '{window.end}'"


@pytest.mark.parametrize("window", WINDOWS)
def test_feature_usage_by_tier(events, sql, window):
    used = {
        (feature, tier): (users, uses)
        for feature, tier, users, uses in sql(
            f"SELECT f, tier, count(DISTINCT u), count(*) FROM e WHERE f IS NOT NULL AND "
            f"{between(window)} GROUP BY ALL"
        )
    }
    active = dict(
        sql(
            f"SELECT tier, count(DISTINCT u) FROM e WHERE (is_active OR f IS NOT NULL) AND "
            f"{between(window)} GROUP BY tier"
        )
    )
    found = metrics.feature_usage(events, window).collect()

    assert found.height == len({feature for feature, _ in used}) * len(active)
    for feature, tier, users, uses, active_users, share in found.rows():
        assert (users, uses) == used.get((feature, tier), (0, 0))
        assert active_users == active[tier]
        assert share == pytest.approx(users / active[tier])


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("every", ["1w", "1mo"])
def test_feature_usage_by_period(events, sql, window, every):
    unit = {"1w": "week", "1mo": "month"}[every]
    expected = {
        (feature, period): (users, uses)
        for feature, period, users, uses in sql(
            f"SELECT f, date_trunc('{unit}', day)::DATE, count(DISTINCT u), count(*) FROM e "
            f"WHERE f IS NOT NULL AND {between(window.widened(every))} GROUP BY ALL"
        )
    }
    found = metrics.feature_usage(events, window, by=None, every=every).collect()
    shown = found.select("feature", "period", "users", "uses").rows()

    assert {(f, p): (n, k) for f, p, n, k in shown if k} == expected
    assert len(shown) == len({f for f, _ in expected}) * len(window.periods(every))


@pytest.mark.parametrize("window", WINDOWS)
def test_feature_adoption(events, sql, window):
    wide = window.widened("1mo")
    first = sql(
        f"SELECT f, u, min(day) FROM e WHERE f IS NOT NULL AND day < DATE '{wide.end}' GROUP BY ALL"
    )
    seen = sql("SELECT u, min(day) FROM e WHERE is_active OR f IS NOT NULL GROUP BY u")
    found = metrics.feature_adoption(events, window, every="1mo").collect()

    some = {feature for feature, _, _ in first[:: max(1, len(first) // 40)]} | {"context_loaded"}
    for feature in some & {feature for feature, _, _ in first}:
        days = [day for name, _, day in first if name == feature]
        rows = found.filter(feature=feature)
        for period, new, adopters, people in rows.select(
            "period", "new_users", "adopters", "people"
        ).iter_rows():
            end = wide.period_end(period, every="1mo")
            assert adopters == sum(day < end for day in days)
            assert new == sum(period <= day < end for day in days)
            assert people == sum(day < end for _, day in seen)


@pytest.mark.parametrize("window", WINDOWS)
def test_breadth_and_depth(events, sql, window):
    expected = {
        user: tuple(row)
        for user, *row in sql(
            f"SELECT u, count(DISTINCT f), count(f), count(DISTINCT day) FROM e "
            f"WHERE (is_active OR f IS NOT NULL) AND {between(window)} GROUP BY u"
        )
    }
    people = metrics.feature_people(events, window).collect()
    breadth = metrics.feature_breadth(events, window).collect()

    rows = people.select("user_id_hash", "features", "uses", "active_days").rows()
    assert {user: tuple(row) for user, *row in rows} == expected
    counts = dict(breadth.select("features", "users").rows())
    assert counts == {n: sum(row[0] == n for row in expected.values()) for n in counts}
    assert sum(counts.values()) == len(expected)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("tools_only", [False, True])
def test_co_usage(events, sql, window, tools_only):
    only = "AND is_call" if tools_only else ""
    sets: dict[str, set[str]] = {}
    for session, feature in sql(
        f"SELECT DISTINCT s, f FROM e WHERE f IS NOT NULL AND s <> '' AND {between(window)} {only}"
    ):
        sets.setdefault(session, set()).add(feature)
    found = metrics.co_usage(events, window, tools_only=tools_only).collect()

    assert found.height
    for feature, other, sessions, first, second, everything in found.select(
        "feature", "other", *(f"sessions{part}" for part in ("", "_feature", "_other", "_all"))
    ).iter_rows():
        assert sessions == sum({feature, other} <= one for one in sets.values())
        assert first == sum(feature in one for one in sets.values())
        assert second == sum(other in one for one in sets.values())
        assert everything == len(sets)
    named = sorted({*found["feature"], *found["other"]})
    pairs = found.select("feature", "other").rows()
    assert pairs == list(combinations(named, 2))


@pytest.mark.parametrize("window", WINDOWS)
def test_the_people_behind_a_pair(events, sql, window):
    pair = metrics.co_usage(events, window).collect().sort("sessions").row(-1)[:2]
    sessions = (
        f"SELECT s FROM e WHERE s <> '' AND f IN {pair} AND {between(window)} GROUP BY s "
        "HAVING count(DISTINCT f) = 2"
    )
    expected = sql(
        f"SELECT u, count(*), count(DISTINCT s) FROM e WHERE f IN {pair} AND s IN ({sessions}) "
        f"AND {between(window)} GROUP BY u ORDER BY u"
    )
    found = metrics.feature_users(events, window, feature=pair[0], other=pair[1]).collect()

    assert found.select("user_id_hash", "uses", "sessions").rows() == expected


@pytest.mark.parametrize("window", WINDOWS)
def test_tools(events, sql, window):
    expected = sql(
        f"SELECT f, count(*), count(DISTINCT u), count(*) FILTER (result <> 'success'), "
        f"quantile_cont(ms, 0.5), quantile_cont(ms, 0.95) FROM e WHERE is_call "
        f"AND {between(window)} GROUP BY f ORDER BY f"
    )
    found = metrics.tools(events, window).collect().drop("error_rate")

    assert sorted(found.rows()) == sorted(expected)


# --- older data ----------------------------------------------------------------------------------

NOVEMBER = Window(date(2025, 11, 1), date(2025, 12, 1))


@pytest.fixture(scope="module")
def v1():
    connection = sqlite3.connect(f"file:{DATA / 'v1.db'}?mode=ro", uri=True)
    yield lambda query: connection.execute(query).fetchall()
    connection.close()


def test_tools_of_the_first_version_have_the_names_they_were_called_by(tmp_path_factory, v1):
    events = _scanned(tmp_path_factory, "v1.db")
    expected = v1(
        """SELECT CASE WHEN event_type = 'tool_call'
            THEN coalesce(json_extract(event_data, '$.tool_name'), 'server_operation_called')
            ELSE event_type END AS tool, count(*), count(DISTINCT user_id_hash)
        FROM telemetry_events WHERE event_type IN ('tool_call', 'search_context',
            'update_memory', 'compress_context', 'reference_suggest', 'ontology_classify')
        GROUP BY tool ORDER BY tool"""
    )
    found = metrics.tools(events, NOVEMBER).collect()

    assert found.select("tool", "calls", "users").rows() == expected
    usage = metrics.feature_usage(events, NOVEMBER, by=None).collect()
    assert set(found["tool"]) < set(usage["feature"])
    assert not {"error", "install", "extension_activated"} & set(usage["feature"])


def test_savings_and_acceptance_of_the_first_version(tmp_path_factory, v1):
    events = _scanned(tmp_path_factory, "v1.db")
    [(compressed, before, after)] = v1(
        """SELECT count(*), sum(json_extract(event_data, '$.before_tokens')),
        sum(json_extract(event_data, '$.after_tokens')) FROM telemetry_events
        WHERE event_type = 'compress_context'"""
    )
    [(suggested, accepted)] = v1(
        """SELECT count(*), sum(json_extract(event_data, '$.accepted')) FROM telemetry_events
        WHERE event_type = 'reference_suggest'"""
    )
    [savings] = metrics.token_savings(events, NOVEMBER, every="1mo").collect().rows(named=True)
    [taken] = metrics.reference_acceptance(events, NOVEMBER, every="1mo").collect().rows(named=True)

    assert (savings["events"], savings["before_tokens"]) == (compressed, before)
    assert savings["savings_rate"] == pytest.approx(1 - after / before)
    assert (taken["answered"], taken["accepted"]) == (suggested, accepted)


def test_features_of_the_second_version(tmp_path_factory):
    events = _scanned(tmp_path_factory, "v2.db")
    with sqlite3.connect(f"file:{DATA / 'v2.db'}?mode=ro", uri=True) as connection:
        expected = connection.execute(
            """SELECT json_extract(metadata, '$.tool_name') AS tool, count(*),
            count(DISTINCT user_id_hash) FROM telemetry_events
            WHERE event_name = 'server_operation_called' AND timestamp < '2025-12-01'
            GROUP BY tool ORDER BY tool"""
        ).fetchall()
    connection.close()

    found = metrics.tools(events, NOVEMBER).collect()
    assert found.select("tool", "calls", "users").rows() == expected
    branches = metrics.branches(events, NOVEMBER, every="1mo").collect()
    assert branches["automatic"][0] > branches["manual"][0] > 0
