"""The numbers of an experiment equal SQL of another engine, on a small demo with a true lift."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest
from scipy import stats as scipy_stats

from data_access import Window, metrics, scan
from ingest.demo import write_demo
from ingest.demo_script import FLAG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

END = date(2026, 6, 1)
WINDOWS = [
    pytest.param(Window(date(2026, 4, 1), END), id="two months"),
    pytest.param(Window(date(2026, 5, 18), date(2026, 5, 21)), id="three days"),
]
PAID, STARTED = "paid_subscription_started", "session_started"


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> pl.LazyFrame:
    home = tmp_path_factory.mktemp("demo") / "home"
    write_demo(home, events=15_000, days=80, end=END)
    return scan("events", home)


@pytest.fixture(scope="module")
def sql(
    events: pl.LazyFrame, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], list[tuple]]]:
    place = tmp_path_factory.mktemp("sql") / "events.parquet"
    events.sink_parquet(place)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"""CREATE TABLE e AS SELECT timestamp::TIMESTAMP AS t, timestamp::DATE AS day,
        event_name AS name, user_id_hash AS u, session_id AS s, duration_ms,
        json_extract_string(metadata, '$.flag') AS flag,
        json_extract_string(metadata, '$.variant') AS variant,
        TRY_CAST(json_extract_string(metadata, '$.cost_usd') AS DOUBLE) AS cost_usd
        FROM read_parquet('{place}')"""
    )
    yield lambda query: connection.execute(query).fetchall()
    connection.close()


def exposed(window: Window, *, swap: bool = False) -> str:
    """Return the common tables `w`, the window's events, and `p`, a row per person exposed.

    Swapping gives half of the control people a second variant, so that somebody is mixed.
    """
    variant = (
        "CASE WHEN name = 'code_insert' THEN 'compact' ELSE variant END" if swap else "variant"
    )
    return f"""WITH w AS (SELECT *, {variant} AS v FROM e
            WHERE day >= DATE '{window.start}' AND day < DATE '{window.end}'),
        p AS (SELECT u, min(t) AS since, min(v) AS v, count(DISTINCT v) AS several FROM w
            WHERE flag = '{FLAG}' AND v IS NOT NULL GROUP BY u)"""


def swapped(events: pl.LazyFrame) -> pl.LazyFrame:
    """Return the events with another variant on every code_insert."""
    text = pl.col("metadata")
    other = text.str.replace('"variant": "control"', '"variant": "compact"', literal=True)
    is_insert = pl.col("event_name") == "code_insert"
    return events.with_columns(pl.when(is_insert).then(other).otherwise(text).alias("metadata"))


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("goal", [PAID, STARTED, "code_insert"])
@pytest.mark.parametrize("swap", [False, True], ids=["plain", "mixed"])
def test_exposed_and_converted(events, sql, window, goal, swap):
    expected = sql(
        f"""{exposed(window, swap=swap)},
        g AS (SELECT DISTINCT u FROM w JOIN p USING (u) WHERE name = '{goal}' AND (t > since
            OR (t = since AND NOT coalesce(flag = '{FLAG}' AND w.v IS NOT NULL, false))))
        SELECT v, count(*), count(g.u), (SELECT count(*) FROM p WHERE several > 1)
        FROM p LEFT JOIN g USING (u) WHERE several = 1 GROUP BY v ORDER BY v"""
    )
    given = swapped(events) if swap else events

    found = metrics.experiment(given, window, flag=FLAG, goal=goal).collect()

    assert found.select("variant", "users", "converted", "mixed").rows() == expected
    people = metrics.experiment_users(given, window, flag=FLAG, goal=goal).collect()
    assert people.filter(people["variant"].is_null()).height == expected[0][3]
    assert people.filter(people["variant"].is_not_null())["is_converted"].sum() == sum(
        row[2] for row in expected
    )


@pytest.mark.parametrize("window", WINDOWS)
def test_the_list_of_experiments(events, sql, window):
    expected = sql(
        f"""SELECT flag, variant, count(DISTINCT u) FILTER (day >= DATE '{window.start}'),
        min(t), max(t) FROM e WHERE variant IS NOT NULL AND day < DATE '{window.end}'
        GROUP BY flag, variant ORDER BY flag, variant"""
    )

    found = metrics.experiments(events, window).collect()

    times = [
        (flag, variant, users, first.replace(tzinfo=None), last.replace(tzinfo=None))
        for flag, variant, users, first, last in found.rows()
    ]
    assert times == expected


@pytest.mark.parametrize("window", WINDOWS)
def test_the_days_of_an_experiment(events, sql, window):
    expected = sql(
        f"""{exposed(window)},
        g AS (SELECT u, min(t) AS hit FROM w JOIN p USING (u) WHERE name = '{STARTED}'
            AND t > since GROUP BY u),
        d AS (SELECT unnest(generate_series(DATE '{window.start}', DATE '{window.end}' - 1,
            INTERVAL 1 DAY))::DATE AS day)
        SELECT day, v, count(*) FILTER (since::DATE = day), count(*) FILTER (hit::DATE = day),
        count(*) FILTER (since::DATE <= day), count(*) FILTER (hit::DATE <= day)
        FROM d CROSS JOIN p LEFT JOIN g USING (u) WHERE several = 1
        GROUP BY day, v ORDER BY day, v"""
    )

    found = metrics.experiment_daily(events, window, flag=FLAG, goal=STARTED).collect()

    counts = ("exposed", "converted", "exposed_total", "converted_total")
    assert found.select("period", "variant", *counts).rows() == expected


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    ("value", "of_person"),
    [
        ("events", "count(w.t)"),
        ("sessions", "count(DISTINCT nullif(s, ''))"),
        ("sum of cost_usd", "coalesce(sum(cost_usd), 0)"),
        ("mean of cost_usd", "avg(cost_usd)"),
        ("mean of duration_ms", "avg(duration_ms)"),
    ],
)
def test_means_per_person(events, sql, window, value, of_person):
    expected = sql(
        f"""{exposed(window)},
        n AS (SELECT p.v, p.u, {of_person} AS x FROM p LEFT JOIN w ON w.u = p.u AND t >= since
            WHERE several = 1 GROUP BY p.v, p.u)
        SELECT v, count(x), avg(x), var_samp(x) FROM n GROUP BY v ORDER BY v"""
    )

    found = metrics.experiment_means(events, window, flag=FLAG, value=value).collect()

    rows = found.select("variant", "users", "mean", "variance").rows()
    assert [row[0] for row in rows] == [row[0] for row in expected]
    for row, want in zip(rows, expected, strict=True):
        assert row[1:] == pytest.approx(want[1:], rel=1e-9)


def test_the_comparison_of_a_mean_is_welchs_test_of_the_people(events, sql):
    window = WINDOWS[0].values[0]
    x = {
        variant: [
            row[0]
            for row in sql(
                f"{exposed(window)} SELECT count(*) FROM p JOIN w ON w.u = p.u AND t >= since "
                f"WHERE p.v = '{variant}' GROUP BY p.u"
            )
        ]
        for variant in ("compact", "control")
    }

    found = metrics.experiment_results(events, window, flag=FLAG, values=("events",)).collect()

    row = found.filter(metric="events", variant="compact").row(0, named=True)
    theirs = scipy_stats.ttest_ind(x["compact"], x["control"], equal_var=False)
    assert row["p_value"] == pytest.approx(theirs.pvalue, rel=1e-9)
