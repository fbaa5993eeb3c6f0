"""Paths and journeys over what 985 real people did, against SQL written from the definitions."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from data_access import Window, metrics, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

    Run = Callable[[str], list[tuple]]

ACTIVITY = Path(__file__).parent / "data" / "activity.jsonl.gz"
ACTIVE = "('session_started','extension_activated','server_operation_called','web_view_opened')"
GOAL = "paid_subscription_started"
WINDOWS = [
    pytest.param(Window(date(2026, 7, 25), date(2026, 8, 22)), id="last 28 days"),
    pytest.param(Window(date(2024, 1, 17), date(2024, 6, 3)), id="some months"),
    pytest.param(Window(date(2013, 1, 1), date(2026, 9, 1)), id="all of it"),
]


@pytest.fixture(scope="module")
def events(activity: Path) -> pl.LazyFrame:
    return scan("events", activity)


@pytest.fixture(scope="module")
def sql() -> Iterator[Run]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"""CREATE TABLE e AS SELECT event_id i, timestamp::TIMESTAMP AS t, event_name AS n,
        user_id_hash AS u, coalesce(result, 'success') AS r FROM read_json('{ACTIVITY}',
        format = 'newline_delimited', columns = {{event_id: 'VARCHAR', timestamp: 'TIMESTAMP',
        event_name: 'VARCHAR', user_id_hash: 'VARCHAR', result: 'VARCHAR'}})
        WHERE user_id_hash IS NOT NULL"""
    )

    def run(query: str) -> list[tuple]:
        return connection.execute(query).fetchall()

    yield run
    connection.close()


def walk(window: Window, gap: str = "INTERVAL 30 MINUTE") -> str:
    """Return SQL for the items of every session, merged and numbered: u, s, n, t, step, items."""
    return f"""WITH a AS (SELECT *, coalesce(t - lag(t) OVER w > {gap}, true) AS f FROM e
            WHERE t >= DATE '{window.start}' AND t < DATE '{window.end}'
            WINDOW w AS (PARTITION BY u ORDER BY t, i)),
        b AS (SELECT *, sum(f::INT) OVER (PARTITION BY u ORDER BY t, i) AS s FROM a),
        c AS (SELECT *, lead(n) OVER (PARTITION BY u, s ORDER BY t, i) AS z FROM b),
        p AS (SELECT u, s, n, t, i, row_number() OVER w AS step,
            count(*) OVER (PARTITION BY u, s) AS items FROM c WHERE z IS DISTINCT FROM n
            WINDOW w AS (PARTITION BY u, s ORDER BY t, i))"""


EDGES = """SELECT a.step::BIGINT, a.n, b.n, count(*)::DOUBLE, avg(epoch(b.t) - epoch(a.t))
    FROM q a JOIN q b ON a.u = b.u AND a.s = b.s AND b.step = a.step + 1 WHERE b.step <= 5
    GROUP BY ALL ORDER BY ALL"""


def same(found: list[tuple], expected: list[tuple]) -> None:
    assert found
    assert [row[:-1] for row in found] == [row[:-1] for row in expected]
    assert [row[-1] for row in found] == pytest.approx([row[-1] for row in expected], abs=1e-6)


@pytest.mark.parametrize("window", WINDOWS)
def test_paths(events: pl.LazyFrame, sql: Run, window: Window):
    found = metrics.paths(events, window).collect().rows()

    same(found, sql(f"{walk(window)}, q AS (SELECT * FROM p) {EDGES}"))


@pytest.mark.parametrize("window", WINDOWS)
def test_paths_from_a_start(events: pl.LazyFrame, sql: Run, window: Window):
    start = "server_operation_called"
    found = metrics.paths(events, window, start=start).collect().rows()

    expected = sql(f"""{walk(window)},
        k AS (SELECT u, s, min(step) k FROM p WHERE n = '{start}' GROUP BY ALL),
        q AS (SELECT u, s, n, t, step - k + 1 AS step FROM p JOIN k USING (u, s) WHERE step >= k)
        {EDGES}""")
    same(found, expected)


@pytest.mark.parametrize("window", WINDOWS)
def test_paths_to_an_end(events: pl.LazyFrame, sql: Run, window: Window):
    end = "server_operation_called"
    found = metrics.paths(events, window, end=end).collect().rows()

    expected = sql(f"""{walk(window)},
        k AS (SELECT u, s, min(step) k FROM p WHERE n = '{end}' GROUP BY ALL),
        q AS (SELECT u, s, n, t, step - greatest(k - 5, 0) AS step FROM p JOIN k USING (u, s)
            WHERE step <= k AND step > k - 5) {EDGES}""")
    same(found, expected)


@pytest.mark.parametrize("window", WINDOWS)
def test_steps_and_all_sessions(events: pl.LazyFrame, sql: Run, window: Window):
    found = metrics.path_steps(events, window).collect()

    expected = sql(f"""{walk(window)} SELECT step::BIGINT, n, count(*)::DOUBLE,
        count(*) FILTER (step = items)::DOUBLE FROM p WHERE step <= 5 GROUP BY ALL ORDER BY ALL""")
    assert found.rows() == expected
    assert found.filter(step=1)["sessions"].sum() == (
        metrics.sessions(events, window).collect().height
    )


@pytest.mark.parametrize("window", WINDOWS)
def test_transitions(events: pl.LazyFrame, sql: Run, window: Window):
    found = metrics.transitions(events, window, by="user").collect()

    expected = sql(f"""WITH a AS (SELECT u, n, lead(n) OVER w AS z, lag(n) OVER w AS y FROM e
            WHERE t >= DATE '{window.start}' AND t < DATE '{window.end}'
            WINDOW w AS (PARTITION BY u ORDER BY t, i)),
        b AS (SELECT u, n, coalesce(z, 'path_end') z FROM a UNION ALL
            SELECT u, 'path_start', n FROM a WHERE y IS NULL)
        SELECT n, z, count(*)::DOUBLE, count(DISTINCT u)::DOUBLE FROM b
        GROUP BY ALL ORDER BY ALL""")
    assert found.drop("share").rows() == expected


@pytest.mark.parametrize("window", WINDOWS)
def test_ways_to_the_goal(events: pl.LazyFrame, sql: Run, window: Window):
    found = metrics.journeys(events, window, depth=6, top=1000).collect()

    expected = sql(f"""WITH a AS (SELECT *, count(*) FILTER (n = '{GOAL}')
            OVER (PARTITION BY u ORDER BY t, i) AS g FROM e
            WHERE t >= DATE '{window.start}' AND t < DATE '{window.end}' AND u NOT IN (
                SELECT u FROM e WHERE n = '{GOAL}' AND t < DATE '{window.start}')),
        o AS (SELECT u, max(g) > 0 AS c FROM a GROUP BY u),
        b AS (SELECT u, n, t, i, lead(n) OVER (PARTITION BY u ORDER BY t, i) z FROM a WHERE g = 0),
        m AS (SELECT u, n, row_number() OVER (PARTITION BY u ORDER BY t, i) k FROM b
            WHERE z IS DISTINCT FROM n),
        w AS (SELECT u, string_agg(n, ' > ' ORDER BY k) p FROM m WHERE k <= 6 GROUP BY u)
        SELECT c, coalesce(p, ''), count(*)::DOUBLE FROM o LEFT JOIN w USING (u) GROUP BY ALL
        ORDER BY c, 3 DESC, 2""")
    cut = [row for flag in (False, True) for row in [r for r in expected if r[0] is flag][:1000]]
    assert found.select("converted", "path", "users").rows() == cut


@pytest.mark.parametrize("window", WINDOWS)
def test_the_map_from_the_first_event_to_silence(events: pl.LazyFrame, sql: Run, window: Window):
    found = metrics.journey_map(events, window).collect()

    def first(name: str) -> str:
        return f"min(t) FILTER (n IN {name} AND r = 'success')"

    moments = ", ".join(
        f"{first(name)} AS m{k}"
        for k, name in {
            1: "('context_created', 'context_auto_created')",
            2: "('context_loaded')",
            4: "('context_resumed')",
            5: f"('{GOAL}')",
        }.items()
    )
    [row] = sql(f"""WITH f AS (SELECT u, min(t) AS m0 FROM e GROUP BY u
            HAVING min(t) >= DATE '{window.start}' AND min(t) < DATE '{window.end}'),
        p AS (SELECT u, any_value(m0) m0, {moments},
            min(t) FILTER (t::DATE > m0::DATE) AS m3,
            greatest(any_value(m0), max(t) FILTER (n IN {ACTIVE}))::DATE
                < DATE '{window.end}' - 14 AS silent
            FROM e JOIN f USING (u) WHERE t < DATE '{window.end}' GROUP BY u),
        s AS (SELECT *, CASE WHEN m5 IS NOT NULL THEN 5 WHEN m4 IS NOT NULL THEN 4
            WHEN m3 IS NOT NULL THEN 3 WHEN m2 IS NOT NULL THEN 2 WHEN m1 IS NOT NULL THEN 1
            ELSE 0 END AS k FROM p)
        SELECT {", ".join(f"[count(m{k}), median(epoch(m{k} - m0)) / 86400, count(*) FILTER (k = {k}), count(*) FILTER (k = {k} AND silent)]" for k in range(6))} FROM s""")  # noqa: E501
    for at, (users, days, furthest, silent) in enumerate(row):
        told = found.row(at, named=True)
        assert (told["users"], told["furthest"], told["silent"]) == (users, furthest, silent)
        assert told["days_p50"] == (None if days is None else pytest.approx(days, abs=1e-6))
    assert found["users"][0] > 0


@pytest.mark.parametrize("window", WINDOWS)
def test_paths_by_session_id_add_up_to_the_sessions_of_overview(
    events: pl.LazyFrame, window: Window
):
    steps = metrics.path_steps(events, window, by="session_id").collect()
    kpis = metrics.kpis(events, window).collect()

    assert steps.filter(step=1)["sessions"].sum() == kpis.filter(kpi="cdr")["denominator"][0] > 0
