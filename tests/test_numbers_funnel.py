"""Funnels equal ones computed another way: SQL in another engine, on what 985 people really did.

The SQL looks at every pair of rows there could be, as the definition has it; it shares no idea
with the metric.
"""

from __future__ import annotations

import statistics
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from data_access import Window, metrics, scan

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

ACTIVITY = Path(__file__).parent / "data" / "activity.jsonl.gz"
STEPS = ("session_started", "context_loaded", "context_merged")
WINDOWS = [
    pytest.param(Window(date(2026, 7, 25), date(2026, 8, 22)), id="last 28 days"),
    pytest.param(Window(date(2024, 1, 17), date(2024, 6, 3)), id="some months"),
    pytest.param(Window(date(2019, 2, 1), date(2019, 2, 2)), id="one day"),
]


@pytest.fixture(scope="module")
def events(activity: Path) -> pl.LazyFrame:
    return scan("events", activity)


@pytest.fixture(scope="module")
def sql():
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"""CREATE TABLE e AS SELECT event_id, timestamp AS t, event_name AS name,
        user_id_hash AS u FROM read_json('{ACTIVITY}', format = 'newline_delimited',
        columns = {{event_id: 'VARCHAR', timestamp: 'TIMESTAMP', event_name: 'VARCHAR',
        user_id_hash: 'VARCHAR'}})"""
    )

    def run(query: str) -> list[tuple[Any, ...]]:
        return connection.execute(query).fetchall()

    yield run
    connection.close()


def number(sql: Any, window: Window, names: tuple[str, ...] = ()) -> None:
    """Make a table o of the window's rows, numbered per person; of some events only, if given."""
    only = f"AND name IN {names}" if names else ""
    sql(
        f"""CREATE OR REPLACE TEMP TABLE o AS SELECT u, name, t,
        row_number() OVER (PARTITION BY u ORDER BY t, event_id) AS n FROM e
        WHERE t >= DATE '{window.start}' AND t < DATE '{window.end}' {only}"""
    )


def interval(within: str | None) -> str:
    return f"INTERVAL '{within[:-1]} DAY'" if within else "INTERVAL '40000 DAY'"


def runs(sql: Any, within: str | None, *, link: str = ">") -> list[tuple[Any, ...]]:
    """Return every run: person, entry, when each later step came; the next one, or the very next.

    `link` says how a row lies to that of the step before: ">" it, or "= 1 +" it.
    """
    limit = interval(within)
    sql(
        f"""CREATE OR REPLACE TEMP TABLE r AS
        WITH one AS (SELECT u, t, n FROM o WHERE name = '{STEPS[0]}'),
        two AS (SELECT one.u, one.n, one.t, min(o.n) AS n1, min(o.t) AS t1 FROM one
            LEFT JOIN o ON o.u = one.u AND o.name = '{STEPS[1]}' AND o.n {link} one.n
            AND o.t <= one.t + {limit} GROUP BY ALL)
        SELECT two.u, two.n, two.t, t1, min(o.t) AS t2 FROM two
            LEFT JOIN o ON o.u = two.u AND o.name = '{STEPS[2]}' AND o.n {link} two.n1
            AND o.t <= two.t + {limit} GROUP BY ALL"""
    )
    return sql("SELECT u, t, t1, t2 FROM r ORDER BY u, n")


def best(found: list[tuple[Any, ...]], key: Callable[..., Any]) -> dict[Any, tuple[Any, ...]]:
    """Return per key the run that gets furthest, the earliest of equals."""
    chosen: dict[Any, tuple[Any, ...]] = {}
    for run in found:
        there = chosen.get(key(run))
        if there is None or run.count(None) < there.count(None):
            chosen[key(run)] = run
    return chosen


def check(table: pl.DataFrame, chosen: dict[Any, tuple[Any, ...]]) -> None:
    """Compare people and median seconds of each step."""
    for k in range(len(STEPS)):
        took = [
            (run[1 + k] - run[1]).total_seconds()
            for run in chosen.values()
            if run[1 + k] is not None
        ]
        assert table["users"][k] == len(took)
        assert table["seconds_p50"][k] == (pytest.approx(statistics.median(took)) if took else None)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("within", ["1d", "14d", None])
def test_ordered_people_and_medians(events, sql, window, within):
    number(sql, window, STEPS)
    chosen = best(runs(sql, within), lambda run: run[0])

    check(metrics.funnel(events, window, steps=STEPS, within=within).collect(), chosen)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("within", ["1d", None])
def test_strict_people_and_medians(events, sql, window, within):
    number(sql, window)
    chosen = best(runs(sql, within, link="= 1 +"), lambda run: run[0])
    found = metrics.funnel(events, window, steps=STEPS, within=within, order="strict")

    check(found.collect(), chosen)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("within", ["1d", "14d"])
def test_people_in_any_order(events, sql, window, within):
    number(sql, window, STEPS)
    expected = dict(
        sql(
            f"""WITH c AS (SELECT a.u, a.n, count(DISTINCT b.name) AS steps FROM o a
                JOIN o b ON b.u = a.u AND b.n >= a.n AND b.t <= a.t + {interval(within)}
                GROUP BY ALL),
            m AS (SELECT u, max(steps) AS steps FROM c GROUP BY u)
            SELECT steps, count(*) FROM m GROUP BY steps"""
        )
    )
    found = metrics.funnel(events, window, steps=STEPS, within=within, order="unordered").collect()

    for k in range(len(STEPS)):
        assert found["users"][k] == sum(n for steps, n in expected.items() if steps > k)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("to_step", [1, 2])
def test_the_trend_by_week(events, sql, window, to_step):
    wide = window.widened("1w")
    number(sql, wide, STEPS)
    chosen = best(
        runs(sql, "14d"), lambda run: (run[0], wide.period_start(run[1].date(), every="1w"))
    )
    found = metrics.funnel_trend(events, window, steps=STEPS, every="1w", to_step=to_step)

    for period, users, converted in found.select("period", "users", "converted").collect().rows():
        there = [run for (_, week), run in chosen.items() if week == period]
        assert users == len(there)
        assert converted == sum(run[1 + to_step] is not None for run in there)


@pytest.mark.parametrize("window", WINDOWS)
def test_an_optional_step_between_two(events, sql, window):
    """context_loaded is optional: who merged is who merged after a start, loaded or not."""
    number(sql, window, STEPS)
    [(merged, loaded)] = sql(
        f"""WITH one AS (SELECT u, t, n FROM o WHERE name = '{STEPS[0]}'),
        two AS (SELECT one.u, one.n, one.t, min(o.n) AS n2 FROM one LEFT JOIN o ON o.u = one.u
            AND o.name = '{STEPS[2]}' AND o.n > one.n AND o.t <= one.t + INTERVAL 14 DAY
            GROUP BY ALL),
        r AS (SELECT * FROM two QUALIFY row_number() OVER (PARTITION BY u
            ORDER BY n2 IS NULL, n) = 1)
        SELECT count(n2), (SELECT count(DISTINCT r.u) FROM r JOIN o ON o.u = r.u
            AND o.name = '{STEPS[1]}' AND o.n > r.n AND o.n < coalesce(r.n2, o.n + 1)
            AND o.t <= r.t + INTERVAL 14 DAY) FROM r"""
    )
    found = metrics.funnel(events, window, steps=STEPS, optional=(1,)).collect()

    assert found["users"].to_list()[1:] == [loaded, merged]
