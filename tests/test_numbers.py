"""Every number equals one computed another way: SQL in another engine, from the definitions.

The data is real: what 985 people did over 13 years, most of it long gaps, bursts and returns.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from data_access import Window, metrics, scan

if TYPE_CHECKING:
    import polars as pl

ACTIVITY = Path(__file__).parent / "data" / "activity.jsonl.gz"
ACTIVE = "('session_started','extension_activated','server_operation_called','web_view_opened')"
WINDOWS = [
    pytest.param(Window(date(2026, 7, 25), date(2026, 8, 22)), id="last 28 days"),
    pytest.param(Window(date(2024, 1, 17), date(2024, 6, 3)), id="some months"),
    pytest.param(Window(date(2013, 1, 1), date(2013, 12, 1)), id="the beginning"),
    pytest.param(Window(date(2019, 2, 1), date(2019, 2, 2)), id="one day"),
    pytest.param(
        Window(date(2024, 1, 17), date(2024, 6, 3), week_starts_on="sunday"), id="sundays"
    ),
]


@pytest.fixture(scope="module")
def events(activity: Path) -> pl.LazyFrame:
    return scan("events", activity)


@pytest.fixture(scope="module")
def sql():
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"""CREATE TABLE e AS SELECT event_id, timestamp::TIMESTAMP AS t, timestamp::DATE AS day,
        event_name AS name, user_id_hash AS u, user_tier AS tier, session_id AS s, result,
        channel FROM read_json('{ACTIVITY}', format = 'newline_delimited',
        columns = {{event_id: 'VARCHAR', timestamp: 'TIMESTAMP', event_name: 'VARCHAR',
        user_id_hash: 'VARCHAR', user_tier: 'VARCHAR', session_id: 'VARCHAR', result: 'VARCHAR',
        channel: 'VARCHAR'}})"""
    )
    connection.execute(f"CREATE VIEW a AS SELECT * FROM e WHERE name IN {ACTIVE}")

    def run(query: str) -> list[tuple]:
        return connection.execute(query).fetchall()

    yield run
    connection.close()


def between(window: Window, column: str = "day") -> str:
    return f"{column} >= DATE '{window.start}' AND {column} < DATE '{window.end}'"


def period(window: Window, every: str, column: str = "day") -> str:
    if every == "1d":
        return f"{column}::DATE"
    if every == "1mo":
        return f"date_trunc('month', {column})::DATE"
    if window.week_starts_on == "sunday":
        return f"(date_trunc('week', {column} + 1)::DATE - 1)"
    return f"date_trunc('week', {column})::DATE"


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("every", ["1d", "1w", "1mo"])
def test_active_users_by_period(events, sql, window, every):
    wide = window.widened(every)
    expected = dict(
        sql(
            f"SELECT {period(window, every)} AS p, count(DISTINCT u) FROM a "
            f"WHERE {between(wide)} GROUP BY p"
        )
    )
    found = metrics.active_users(events, window, every=every).collect()

    assert dict(found.select("period", "users").rows()) == {
        one: expected.get(one, 0) for one in window.periods(every)
    }


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("days", [7, 30])
def test_rolling_active_users(events, sql, window, days):
    expected = dict(
        sql(
            f"SELECT d::DATE, (SELECT count(DISTINCT u) FROM a WHERE day > d::DATE - {days} "
            f"AND day <= d::DATE) FROM range(DATE '{window.start}', DATE '{window.end}', "
            "INTERVAL 1 DAY) AS days(d)"
        )
    )
    found = metrics.active_users(events, window, days=days).collect()

    assert dict(found.select("period", "users").rows()) == expected


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("every", ["1d", "1w", "1mo"])
def test_lifecycle(events, sql, window, every):
    step = {"1d": "1 DAY", "1w": "7 DAY", "1mo": "1 MONTH"}[every]
    expected = {
        one: tuple(counts)
        for one, *counts in sql(
            f"""WITH p AS (SELECT DISTINCT u, {period(window, every)} AS p FROM a),
            f AS (SELECT u, min(p) AS first FROM p GROUP BY u),
            now AS (SELECT p.p AS period, p.p = first AS is_new,
                EXISTS (SELECT 1 FROM p q WHERE q.u = p.u AND q.p = p.p - INTERVAL {step}) AS again
                FROM p JOIN f USING (u)),
            gone AS (SELECT (p.p + INTERVAL {step})::DATE AS period FROM p WHERE NOT EXISTS
                (SELECT 1 FROM p q WHERE q.u = p.u AND q.p = p.p + INTERVAL {step}))
            SELECT period, sum(is_new), sum(NOT is_new AND again), sum(NOT is_new AND NOT again),
                sum(gone) FROM
                (SELECT period, is_new::INT is_new, (again)::INT again, 0 gone FROM now
                 UNION ALL SELECT period, NULL, NULL, -1 FROM gone)
            GROUP BY period"""
        )
    }
    found = metrics.lifecycle(events, window, every=every).collect()

    for one, *counts in found.select(
        "period", "new", "returning", "resurrecting", "dormant"
    ).iter_rows():
        assert tuple(counts) == tuple(value or 0 for value in expected.get(one, (0, 0, 0, 0)))
    assert found["period"].to_list() == window.periods(every)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("every", ["1w", "1mo"])
@pytest.mark.parametrize("cohort", ["first", "recurring"])
def test_retention(events, sql, window, every, cohort):
    step = {"1w": "7", "1mo": None}[every]
    number = f"((b.p - c.p) / {step})::INT" if step else "datediff('month', c.p, b.p)"
    chosen = "min(p)" if cohort == "first" else "p"
    group = "GROUP BY u" if cohort == "first" else ""
    wide = window.widened(every)
    expected = {
        (one, n): users
        for one, n, users in sql(
            f"""WITH b AS (SELECT DISTINCT u, {period(window, every)} AS p FROM e),
            c AS (SELECT u, {chosen} AS p FROM b {group})
            SELECT c.p, {number} AS n, count(DISTINCT u) FROM c JOIN b USING (u)
            WHERE b.p >= c.p AND {between(wide, "c.p")} AND {between(wide, "b.p")}
            GROUP BY ALL"""
        )
    }
    found = metrics.retention(events, window, every=every, cohort=cohort).collect()
    rows = {(one, n): users for one, n, users in found.select("cohort", "period", "users").rows()}

    assert rows == {key: expected.get(key, 0) for key in rows}
    assert expected.keys() <= rows.keys()
    periods = len(window.periods(every))
    assert len(rows) == periods * (periods + 1) // 2


@pytest.mark.parametrize("window", WINDOWS)
def test_stickiness(events, sql, window):
    expected = dict(
        sql(
            f"SELECT n, count(*) FROM (SELECT u, count(DISTINCT day) AS n FROM a "
            f"WHERE {between(window)} GROUP BY u) GROUP BY n"
        )
    )
    found = metrics.stickiness(events, window).collect()

    assert dict(found.select("periods_active", "users").rows()) == {
        n: expected.get(n, 0) for n in range(1, window.days + 1)
    }


@pytest.mark.parametrize("window", WINDOWS)
def test_sessions_by_gap(events, sql, window):
    [expected] = sql(
        f"""WITH o AS (SELECT u, t, t - lag(t) OVER (PARTITION BY u ORDER BY t, event_id) AS gap
            FROM e WHERE {between(window)}),
        n AS (SELECT u, t, sum((gap IS NULL OR gap > INTERVAL 30 MINUTE)::INT)
            OVER (PARTITION BY u ORDER BY t ROWS UNBOUNDED PRECEDING) AS k FROM o),
        s AS (SELECT u, k, count(*) c, epoch(max(t) - min(t)) d FROM n GROUP BY u, k)
        SELECT count(*), ifnull(sum(c), 0), ifnull(sum(d), 0) FROM s"""
    )
    found = metrics.sessions(events, window).collect()

    assert (found.height, found["events"].sum()) == expected[:2]
    assert found["duration_s"].sum() == pytest.approx(expected[2])


@pytest.mark.parametrize("window", WINDOWS)
def test_kpis(events, sql, window):
    found = {
        row["kpi"]: row for row in metrics.kpis(events, window).collect().iter_rows(named=True)
    }
    last = window.end - timedelta(days=1)
    inside = between(window)
    opened = "name IN ('context_loaded','context_resumed') AND result = 'success'"
    [cdr] = sql(
        f"SELECT count(DISTINCT s) FILTER ({opened}), count(DISTINCT s) FROM e "
        f"WHERE {inside} AND s <> ''"
    )
    [cdr_users] = sql(
        f"SELECT count(DISTINCT u) FILTER ({opened}), count(DISTINCT u) FROM e WHERE {inside}"
    )
    [failed] = sql(f"SELECT count(*) FILTER (result <> 'success'), count(*) FROM e WHERE {inside}")
    [resurrection] = sql(
        f"""WITH d AS (SELECT DISTINCT u, day FROM a),
        g AS (SELECT u, day AS a, lead(day) OVER (PARTITION BY u ORDER BY day) AS b FROM d),
        ret AS (SELECT u, b FROM g WHERE b - a >= 8 AND {between(window, "b")}),
        dor AS (SELECT u FROM g WHERE a + 8 < DATE '{window.end}'
            AND least(a + 97, coalesce(b - 1, a + 97)) >= DATE '{window.start}'
            AND least(a + 97, coalesce(b - 1, a + 97)) >= a + 8),
        ctx AS (SELECT DISTINCT ret.u FROM ret JOIN e ON e.u = ret.u AND e.day = ret.b
            WHERE e.name = 'session_resumed_from_context')
        SELECT (SELECT count(DISTINCT u) FROM ret),
            (SELECT count(DISTINCT u) FROM (SELECT u FROM ret UNION SELECT u FROM dor)),
            (SELECT count(*) FROM ctx)"""
    )
    [paid] = sql(
        f"""WITH first AS (SELECT u, min(t) AS began FROM e WHERE name = 'paid_subscription_started'
            GROUP BY u),
        conv AS (SELECT u FROM first WHERE {between(window, "began")}),
        base AS (SELECT DISTINCT u FROM a WHERE {inside} UNION SELECT u FROM conv),
        before AS (SELECT u, arg_max(tier IN ('paid', 'enterprise'), (t, event_id)) AS paying
            FROM e WHERE day < DATE '{window.start}' GROUP BY u),
        begin AS (SELECT u, arg_min(tier IN ('paid', 'enterprise'), (t, event_id)) AS paying
            FROM e WHERE day < DATE '{window.end}' GROUP BY u),
        den AS (SELECT base.u FROM base LEFT JOIN before USING (u) LEFT JOIN begin USING (u)
            WHERE CASE WHEN before.u IS NOT NULL THEN NOT before.paying
            ELSE NOT begin.paying OR base.u IN (SELECT u FROM conv) END)
        SELECT (SELECT count(*) FROM conv WHERE u IN (SELECT u FROM den)),
            (SELECT count(*) FROM den), (SELECT count(*) FROM conv)"""
    )

    def pair(name: str) -> tuple:
        return found[name]["numerator"], found[name]["denominator"]

    assert pair("cdr") == cdr
    assert pair("cdr_users") == cdr_users
    assert pair("error_rate") == failed
    assert pair("resurrection") == resurrection[:2]
    assert pair("resurrection_by_context") == (resurrection[2], resurrection[0])
    assert pair("paid_conversion") == (paid[2], paid[1])
    assert pair("paid_conversion")[0] in (paid[0], paid[2])
    for name, days in (("dau", 1), ("wau", 7), ("mau", 30)):
        [(users,)] = sql(
            f"SELECT count(DISTINCT u) FROM a WHERE day > DATE '{last}' - {days} "
            f"AND day <= DATE '{last}'"
        )
        assert found[name]["value"] == users
    for row in found.values():
        if row["denominator"]:
            assert row["value"] == pytest.approx(row["numerator"] / row["denominator"])


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("every", ["1d", "1w"])
def test_activity_by_channel(events, sql, window, every):
    wide = window.widened(every)
    expected = {
        (one, channel): tuple(rest)
        for one, channel, *rest in sql(
            f"SELECT {period(window, every)} AS p, channel, count(*), count(DISTINCT u), "
            "count(DISTINCT s) FILTER (s <> ''), count(*) FILTER (result <> 'success') FROM e "
            f"WHERE {between(wide)} GROUP BY ALL"
        )
    }
    found = metrics.activity(events, window, every=every, by=("channel",)).collect()

    for one, channel, *rest in found.select(
        "period", "channel", "events", "users", "sessions", "failures"
    ).iter_rows():
        assert tuple(rest) == expected.pop((one, channel), (0, 0, 0, 0))
    assert not expected


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("within", ["1d", "14d", None])
def test_the_funnel(events, sql, window, within):
    steps = ["session_started", "context_loaded", "context_merged"]
    limit = f"INTERVAL '{within[:-1]} DAY'" if within else "INTERVAL '40000 DAY'"
    # best entry: a user reaches step k when some entry has a chain of later rows within the limit
    sql(
        "CREATE OR REPLACE TEMP TABLE o AS SELECT u, name, t, "
        "row_number() OVER (PARTITION BY u ORDER BY t, event_id) AS n FROM e "
        f"WHERE {between(window)} AND name IN ('{steps[0]}', '{steps[1]}', '{steps[2]}')"
    )
    [expected] = sql(
        f"""WITH one AS (SELECT u, t, n FROM o WHERE name = '{steps[0]}'),
        two AS (SELECT one.u, one.t, min(o.n) AS n FROM one JOIN o ON o.u = one.u
            AND o.name = '{steps[1]}' AND o.n > one.n AND o.t <= one.t + {limit}
            GROUP BY one.u, one.t, one.n),
        three AS (SELECT DISTINCT two.u FROM two JOIN o ON o.u = two.u
            AND o.name = '{steps[2]}' AND o.n > two.n AND o.t <= two.t + {limit})
        SELECT (SELECT count(DISTINCT u) FROM one), (SELECT count(DISTINCT u) FROM two),
            (SELECT count(*) FROM three)"""
    )
    found = metrics.funnel(events, window, steps=steps, within=within).collect()

    assert tuple(found["users"]) == expected
