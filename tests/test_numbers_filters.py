"""Filtered numbers equal SQL on the same home: each filter as a WHERE clause on the raw database.

The rows are read by sqlite3, past everything that scans; the SQL is written from the definitions.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import date
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pytest

from data_access import Filters, Window, metrics, scan
from ingest.demo import write_demo
from ingest.demo_script import FLAG
from ingest.team import save_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[[str], list[tuple[Any, ...]]]

END = date(2026, 6, 1)
WINDOW = Window(date(2026, 4, 20), END)
ACTIVE = "('session_started','extension_activated','server_operation_called','web_view_opened')"
LEFT_OUT = """('session_started','session_ended','session_resumed_from_context',
    'extension_activated','install','context_auto_created','context_protection_triggered',
    'context_protection_blocked','paid_subscription_started','paid_subscription_canceled')"""
INSIDE = f"day >= DATE '{WINDOW.start}' AND day < DATE '{WINDOW.end}'"
WEEK = "date_trunc('week', day)::DATE"
PAYERS = "u IN (SELECT u FROM raw WHERE tier IN ('paid', 'enterprise'))"
GOPHERS = "u IN (SELECT u FROM raw WHERE json_extract_string(m, '$.language') = 'go')"


def says(key: str, *values: str) -> str:
    return f"json_extract_string(m, '$.{key}') IN ({', '.join(map(repr, values))})"


CHOSEN = {
    "nothing": ({}, "true"),
    "tiers": ({"tiers": ("trial", "paid")}, "tier IN ('trial', 'paid')"),
    "a channel": ({"channels": ("extension",)}, "channel = 'extension'"),
    "releases": ({"releases": ("1.3.0", "1.5.0")}, "release IN ('1.3.0', '1.5.0')"),
    "events": (
        {"events": ("session_started", "context_loaded", "server_operation_called")},
        "name IN ('session_started', 'context_loaded', 'server_operation_called')",
    ),
    "a property": ({"properties": ("ide:vscode",)}, says("ide", "vscode")),
    "properties": (
        {"properties": ("ide:vscode", "ide:cursor", "os:macos")},
        f"{says('ide', 'vscode', 'cursor')} AND {says('os', 'macos')}",
    ),
    "a number": ({"properties": ("top_k:10",)}, says("top_k", "10")),
    "a flag": ({"properties": ("auto:true",)}, says("auto", "true")),
    "open beta": ({"stages": ("open-beta",)}, "u NOT IN (SELECT u FROM testers)"),
    "closed beta": ({"stages": ("closed-beta",)}, "u IN (SELECT u FROM testers)"),
    "a segment": ({"segments": ("payers",)}, PAYERS),
    "another": ({"segments": ("gophers", "not payers")}, f"{GOPHERS} AND NOT {PAYERS}"),
    "several": (
        {"tiers": ("free",), "channels": ("server", "web"), "segments": ("not gophers",)},
        f"tier = 'free' AND channel IN ('server', 'web') AND NOT {GOPHERS}",
    ),
}
narrowed = pytest.mark.parametrize("kind", CHOSEN)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("filtered") / "home"
    write_demo(place, events=9_000, days=80, end=END)
    save_segment(place, "payers", query="tier=paid&tier=enterprise")
    save_segment(place, "gophers", query="where=language:go")
    return place


@pytest.fixture(scope="module")
def raw(home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    columns = (
        *("event_id", "timestamp", "event_name", "user_id_hash", "user_tier", "is_paid_user"),
        *("session_id", "channel", "result", "duration_ms", "metadata", "release"),
    )
    with sqlite3.connect(f"file:{home / 'telemetry.db'}?mode=ro", uri=True) as database:
        rows = database.execute(f"SELECT {', '.join(columns)} FROM telemetry_events").fetchall()
    database.close()
    place = home.parent / "raw.ndjson"
    place.write_text("\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in rows))
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"""CREATE TABLE raw AS SELECT event_id AS i, timestamp::TIMESTAMP AS t,
        timestamp::TIMESTAMP::DATE AS day, event_name AS name, user_id_hash AS u,
        user_tier AS tier, is_paid_user = 1 AS paying, session_id AS s, channel, result,
        duration_ms AS ms, metadata AS m, release FROM read_json('{place}',
        format = 'newline_delimited', columns = {{{
            ", ".join(
                f"{name}: '{kind}'"
                for name, kind in dict.fromkeys(columns, "VARCHAR").items()
                | {("duration_ms", "DOUBLE")}
                if (name, kind) != ("duration_ms", "VARCHAR")
            )
        }}})"""
    )
    settings = (home / "telemetry.toml").read_text(encoding="utf-8")
    testers = [part.strip(' ",') for part in settings.split("testers = [")[1].split("]")[0].split()]
    connection.execute("CREATE TABLE testers AS SELECT unnest(?::VARCHAR[]) AS u", [testers])
    yield connection
    connection.close()


@pytest.fixture
def sql(raw: duckdb.DuckDBPyConnection, kind: str) -> Run:
    raw.execute(f"CREATE OR REPLACE VIEW e AS SELECT * FROM raw WHERE {CHOSEN[kind][1]}")
    return lambda query: raw.execute(query).fetchall()


@pytest.fixture
def events(home: Path, kind: str) -> pl.LazyFrame:
    return scan("events", home, filters=Filters(WINDOW, **CHOSEN[kind][0]))


def same(found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> None:
    """Compare rows, numbers within rounding."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert list(one) == [
            pytest.approx(value, rel=1e-9) if isinstance(value, float) else value for value in other
        ]


@narrowed
def test_every_row_that_fits_is_there_once(events, sql):
    assert sorted(events.select("event_id").collect().to_series()) == sorted(
        row[0] for row in sql("SELECT i FROM e")
    )


@narrowed
def test_active_users(events, sql):
    weekly = dict(sql(f"SELECT {WEEK}, count(DISTINCT u) FROM e WHERE name IN {ACTIVE} GROUP BY 1"))
    monthly = dict(
        sql(
            f"""SELECT d::DATE, (SELECT count(DISTINCT u) FROM e WHERE name IN {ACTIVE}
            AND day > d::DATE - 30 AND day <= d::DATE)
            FROM range(DATE '{WINDOW.start}', DATE '{WINDOW.end}', INTERVAL 1 DAY) AS days(d)"""
        )
    )
    found = metrics.active_users(events, WINDOW, every="1w").collect()
    rolling = metrics.active_users(events, WINDOW, days=30).collect()

    assert dict(found.select("period", "users").rows()) == {
        week: weekly.get(week, 0) for week in WINDOW.periods("1w")
    }
    assert dict(rolling.select("period", "users").rows()) == monthly


@narrowed
@pytest.mark.parametrize("cohort", ["first", "recurring"])
def test_retention(events, sql, cohort):
    chosen, group = ("min(p)", "GROUP BY u") if cohort == "first" else ("p", "")
    expected = {
        row[:2]: row[2]
        for row in sql(
            f"""WITH b AS (SELECT DISTINCT u, {WEEK} AS p FROM e),
            c AS (SELECT u, {chosen} AS p FROM b {group})
            SELECT c.p, (b.p - c.p) // 7, count(*) FROM c JOIN b USING (u)
            WHERE b.p >= c.p AND c.p >= DATE '{WINDOW.start}' GROUP BY ALL"""
        )
    }
    found = metrics.retention(events, WINDOW, cohort=cohort).collect()
    rows = {row[:2]: row[2] for row in found.select("cohort", "period", "users").iter_rows()}

    assert expected.keys() <= rows.keys()
    assert rows == {key: expected.get(key, 0) for key in rows}


@narrowed
def test_funnel(events, sql):
    first, second, third = "session_started", "server_operation_called", "context_loaded"
    [expected] = sql(
        f"""WITH w AS (SELECT * FROM e WHERE {INSIDE}),
        a AS (SELECT u, t, i FROM w WHERE name = '{first}'),
        b AS (SELECT a.u, a.t, a.i, min((w.t, w.i)) AS x FROM a JOIN w ON w.u = a.u
            AND w.name = '{second}' AND (w.t, w.i) > (a.t, a.i)
            AND w.t <= a.t + INTERVAL 3 DAY GROUP BY ALL),
        c AS (SELECT DISTINCT b.u FROM b JOIN w ON w.u = b.u AND w.name = '{third}'
            AND (w.t, w.i) > (x[1], x[2]) AND w.t <= b.t + INTERVAL 3 DAY)
        SELECT (SELECT count(DISTINCT u) FROM a), (SELECT count(DISTINCT u) FROM b),
            (SELECT count(*) FROM c)"""
    )
    found = metrics.funnel(events, WINDOW, steps=[first, second, third], within="3d").collect()

    assert tuple(found["users"]) == expected


@narrowed
def test_paths(events, sql):
    expected = sql(
        f"""WITH a AS (SELECT *, coalesce(t - lag(t) OVER v > INTERVAL 30 MINUTE, true) AS f
            FROM e WHERE {INSIDE} WINDOW v AS (PARTITION BY u ORDER BY t, i)),
        b AS (SELECT *, sum(f::INT) OVER (PARTITION BY u ORDER BY t, i) AS visit FROM a),
        c AS (SELECT *, lead(name) OVER (PARTITION BY u, visit ORDER BY t, i) AS z FROM b),
        p AS (SELECT u, visit, name, t, row_number() OVER (PARTITION BY u, visit
            ORDER BY t, i) AS step FROM c WHERE z IS DISTINCT FROM name)
        SELECT x.step, x.name, y.name, count(*), avg(epoch(y.t) - epoch(x.t)) FROM p x
        JOIN p y ON y.u = x.u AND y.visit = x.visit AND y.step = x.step + 1 WHERE y.step <= 5
        GROUP BY ALL ORDER BY ALL"""
    )
    found = metrics.paths(events, WINDOW).collect().rows()

    assert [row[:4] for row in found] == [row[:4] for row in expected]
    assert [row[4] for row in found] == pytest.approx([row[4] for row in expected], abs=1e-5)


@narrowed
def test_churn(events, sql):
    expected = {
        row[0]: row[1:]
        for row in sql(
            f"""WITH p AS (SELECT u, {WEEK} AS p, bool_or(name IN {ACTIVE}) AS active,
                bool_or(paying) AS pays, bool_or(name = 'paid_subscription_canceled') AS cancels
                FROM e GROUP BY ALL)
            SELECT b.p + 7, count(*) FILTER (b.active),
                count(*) FILTER (b.active AND NOT coalesce(n.active, false)),
                count(*) FILTER (b.pays), count(*) FILTER (b.pays AND coalesce(n.cancels, false))
            FROM p b LEFT JOIN p n ON n.u = b.u AND n.p = b.p + 7 GROUP BY 1"""
        )
    }
    found = metrics.churn(events, WINDOW).collect()

    counts = found.select("period", "active_before", "gone", "paying_before", "cancelled")
    assert {row[0]: row[1:] for row in counts.iter_rows()} == {
        week: expected.get(week, (0, 0, 0, 0)) for week in WINDOW.periods("1w")
    }


@narrowed
def test_experiments(events, sql):
    flag, variant = "json_extract_string(m, '$.flag')", "json_extract_string(m, '$.variant')"
    listed = sql(
        f"""SELECT {flag}, {variant}, count(DISTINCT u) FILTER ({INSIDE}) FROM e
        WHERE {variant} IS NOT NULL AND day < DATE '{END}' GROUP BY ALL ORDER BY ALL"""
    )
    results = sql(
        f"""WITH w AS (SELECT * FROM e WHERE {INSIDE}),
        p AS (SELECT u, min(t) AS since, min({variant}) AS v FROM w WHERE {flag} = '{FLAG}'
            AND {variant} IS NOT NULL GROUP BY u HAVING count(DISTINCT {variant}) = 1),
        g AS (SELECT DISTINCT u FROM w JOIN p USING (u) WHERE name = 'context_loaded'
            AND (t > since OR t = since AND {flag} IS DISTINCT FROM '{FLAG}'))
        SELECT v, count(*), count(g.u) FROM p LEFT JOIN g USING (u) GROUP BY v ORDER BY v"""
    )
    found = metrics.experiments(events, WINDOW).collect()
    one = metrics.experiment(events, WINDOW, flag=FLAG, goal="context_loaded").collect()

    assert found.select("flag", "variant", "users").rows() == listed
    assert one.select("variant", "users", "converted").rows() == results


@narrowed
def test_feature_usage(events, sql):
    used = f"""SELECT CASE WHEN name IN {LEFT_OUT} THEN NULL WHEN name = 'server_operation_called'
        THEN coalesce(json_extract_string(m, '$.tool_name'), name) ELSE name END AS f, *
        FROM e WHERE {INSIDE}"""
    expected = sql(
        f"""WITH x AS ({used}) SELECT f, tier, count(DISTINCT u), count(*) FROM x
        WHERE f IS NOT NULL GROUP BY ALL ORDER BY ALL"""
    )
    found = metrics.feature_usage(events, WINDOW).collect().filter(pl.col("uses") > 0)

    assert found.select("feature", "user_tier", "users", "uses").rows() == expected


@narrowed
def test_models_and_costs(events, sql):
    def number(key: str) -> str:
        return f"TRY_CAST(json_extract_string(m, '$.{key}') AS DOUBLE)"

    model, provider = (f"json_extract_string(m, '$.{key}')" for key in ("model", "provider"))
    by_model = sql(
        f"""SELECT {provider}, {model}, count(*)::DOUBLE, count(DISTINCT u)::DOUBLE,
        coalesce(sum({number("tokens_input")}), 0), coalesce(sum({number("cost_usd")}), 0)
        FROM e WHERE {INSIDE} AND {model} IS NOT NULL GROUP BY ALL ORDER BY ALL"""
    )
    weekly = {
        row[0]: row[1:]
        for row in sql(
            f"""SELECT {WEEK}, coalesce(sum({number("cost_usd")}), 0),
            count(DISTINCT s) FILTER (s <> '')::DOUBLE FROM e WHERE {INSIDE} GROUP BY 1"""
        )
    }
    models = metrics.models(events, WINDOW).collect()
    costs = metrics.costs(events, WINDOW, every="1w").collect()

    shown = models.select("provider", "model", *models.columns[2:5], models.columns[6])
    same(shown.rows(), by_model)
    names = [costs.columns[1], "sessions"]
    same(
        costs.select("period", *names).rows(),
        [(week, *weekly.get(week, (0.0, 0.0))) for week in WINDOW.periods("1w")],
    )


@narrowed
def test_incidents(events, sql):
    """By the definition: two looks at what is usual, then islands of bad hours."""
    bad = """f >= 10 AND f >= 3 * n * r AND f - n * r >= 5 * sqrt(n * r * (1 - r))"""
    expected = sql(
        f"""WITH h AS (SELECT date_trunc('hour', t) AS hour, count(*)::DOUBLE AS n,
            count(*) FILTER (result <> 'success')::DOUBLE AS f FROM e
            WHERE day >= DATE '{WINDOW.start}' - 28 AND day < DATE '{END}' GROUP BY 1),
        one AS (SELECT *, (SELECT sum(f) / sum(n) FROM h) AS r FROM h),
        two AS (SELECT hour, n, f, (SELECT sum(f) / sum(n) FROM one WHERE NOT ({bad})) AS r
            FROM one),
        b AS (SELECT *, hour - lag(hour) OVER (ORDER BY hour) > INTERVAL 2 HOUR AS cut FROM two
            WHERE {bad}),
        runs AS (SELECT *, sum(coalesce(cut, true)::INT) OVER (ORDER BY hour) AS k FROM b),
        spans AS (SELECT k, min(hour) AS a, max(hour) + INTERVAL 1 HOUR AS z, min(r) AS r
            FROM runs GROUP BY k)
        SELECT a, z, count(*)::DOUBLE, count(*) FILTER (result <> 'success')::DOUBLE, min(r),
            count(DISTINCT u) FILTER (result <> 'success')::DOUBLE
        FROM spans JOIN e ON t >= a AND t < z WHERE z > TIMESTAMP '{WINDOW.start}'
        GROUP BY a, z ORDER BY a"""
    )
    found = metrics.incidents(events, WINDOW).collect().drop("error_rate")

    same(
        found.with_columns(pl.col("started_at", "ended_at").dt.replace_time_zone(None)).rows(),
        expected,
    )
