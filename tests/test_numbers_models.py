"""Models, costs, people at the same moment and the extension equal SQL of another engine."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import duckdb
import pytest

from data_access import Window, metrics, scan
from ingest.demo import write_demo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

END = date(2026, 6, 1)
WINDOWS = [
    pytest.param(Window(date(2026, 5, 4), END), id="four weeks"),
    pytest.param(Window(date(2026, 4, 1), date(2026, 4, 3)), id="two days"),
]
ACTIVE = "('session_started','extension_activated','server_operation_called','web_view_opened')"


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> pl.LazyFrame:
    home = tmp_path_factory.mktemp("demo") / "home"
    write_demo(home, events=6_000, days=80, end=END)
    return scan("events", home)


@pytest.fixture(scope="module")
def sql(
    events: pl.LazyFrame, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], list[tuple]]]:
    place = tmp_path_factory.mktemp("sql") / "events.parquet"
    events.sink_parquet(place)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    keys = {
        "model": "VARCHAR",
        "provider": "VARCHAR",
        "language": "VARCHAR",
        "tokens_input": "DOUBLE",
        "tokens_output": "DOUBLE",
        "cost_usd": "DOUBLE",
        "observations_created": "DOUBLE",
        "tokens_saved_vs_naive": "DOUBLE",
    }
    read = ", ".join(
        f"TRY_CAST(json_extract_string(metadata, '$.{key}') AS {kind}) AS {key}"
        for key, kind in keys.items()
    )
    connection.execute(
        f"CREATE TABLE e AS SELECT event_id, timestamp::TIMESTAMP AS t, timestamp::DATE AS day, "
        f"event_name AS name, user_id_hash AS u, session_id AS s, channel, result, duration_ms, "
        f"{read} FROM read_parquet('{place}')"
    )
    yield lambda query: connection.execute(query).fetchall()
    connection.close()


def between(window: Window) -> str:
    return f"day >= DATE '{window.start}' AND day < DATE '{window.end}'"


def same(found: list[tuple], expected: list[tuple]) -> None:
    """Compare rows, numbers within rounding."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert list(one) == [
            pytest.approx(value) if isinstance(value, float) else value for value in other
        ]


@pytest.mark.parametrize("window", WINDOWS)
def test_models(events, sql, window):
    expected = sql(
        f"""SELECT provider, model, count(*)::DOUBLE, count(DISTINCT u)::DOUBLE,
            sum(tokens_input), sum(tokens_output), sum(cost_usd),
            count(*) FILTER (result <> 'success')::DOUBLE,
            count(*) FILTER (result <> 'success') / count(*),
            quantile_cont(duration_ms, 0.5), quantile_cont(duration_ms, 0.95),
            rank() OVER (ORDER BY count(*) DESC)
            FROM e WHERE {between(window)} AND model IS NOT NULL GROUP BY ALL ORDER BY ALL"""
    )
    assert expected

    same(metrics.models(events, window).collect().rows(), expected)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("every", ["1d", "1w"])
def test_costs(events, sql, window, every):
    period = "day" if every == "1d" else "date_trunc('week', day)::DATE"
    found = metrics.costs(events, window, every=every).drop("complete").collect()
    wide = window.widened(every)
    expected = sql(
        f"""SELECT {period} p, coalesce(sum(cost_usd), 0), coalesce(sum(tokens_input), 0),
            coalesce(sum(tokens_output), 0), coalesce(sum(observations_created), 0) o,
            count(DISTINCT s) FILTER (s <> '')::DOUBLE,
            count(DISTINCT u) FILTER (name IN {ACTIVE})::DOUBLE,
            sum(cost_usd) / nullif(count(DISTINCT s) FILTER (s <> ''), 0),
            sum(cost_usd) / nullif(count(DISTINCT u) FILTER (name IN {ACTIVE}), 0),
            sum(cost_usd) / nullif(sum(observations_created), 0)
            FROM e WHERE {between(wide)} GROUP BY p ORDER BY p"""
    )
    quiet = set(found["period"]) - {row[0] for row in expected}

    same(found.filter(~found["period"].is_in(list(quiet))).rows(), expected)
    assert found["period"].to_list() == window.periods(every)


@pytest.mark.parametrize("window", WINDOWS)
def test_savings(events, sql, window):
    found = metrics.savings_against_naive(events, window).collect()
    expected = dict(
        sql(
            f"SELECT day, sum(tokens_saved_vs_naive) FROM e WHERE {between(window)} "
            "AND tokens_saved_vs_naive IS NOT NULL GROUP BY day"
        )
    )

    assert dict(found.select("period", "tokens_saved").rows()) == {
        day: expected.get(day, 0.0) for day in window.periods()
    }


@pytest.mark.parametrize("window", WINDOWS)
def test_languages(events, sql, window):
    expected = sql(
        f"""WITH w AS (SELECT * FROM e WHERE {between(window)}),
        named AS (SELECT language, count(*) n, count(DISTINCT u) us, count(DISTINCT s) ss
            FROM w WHERE language IS NOT NULL GROUP BY language),
        none AS (SELECT NULL AS language,
            (SELECT count(*) FROM w WHERE language IS NULL) n,
            (SELECT count(DISTINCT u) FROM w WHERE u NOT IN
                (SELECT u FROM w WHERE language IS NOT NULL)) us,
            (SELECT count(DISTINCT s) FROM w WHERE s NOT IN
                (SELECT s FROM w WHERE language IS NOT NULL)) ss)
        SELECT language, n::DOUBLE, us::DOUBLE, ss::DOUBLE,
            us / (SELECT count(DISTINCT u) FROM w)
        FROM (FROM named UNION ALL FROM none) ORDER BY language NULLS FIRST"""
    )

    same(metrics.by_property(events, window, key="language").collect().rows(), expected)


@pytest.mark.parametrize("window", WINDOWS)
def test_people_at_the_same_moment(events, sql, window):
    """Asked at every start and every full hour, who of all sessions is here; never added up."""
    found = metrics.concurrent_users(events, window).collect()
    expected = dict(
        sql(
            f"""WITH o AS (SELECT u, t, t - lag(t) OVER (PARTITION BY u ORDER BY t) gap
                FROM e WHERE {between(window)}),
            n AS (SELECT u, t, sum((gap IS NULL OR gap > INTERVAL 30 MINUTE)::INT)
                OVER (PARTITION BY u ORDER BY t ROWS UNBOUNDED PRECEDING) k FROM o),
            s AS (SELECT u, k, min(t) a, max(t) b FROM n GROUP BY u, k),
            moments AS (SELECT a m FROM s UNION SELECT unnest(generate_series(
                TIMESTAMP '{window.start}', TIMESTAMP '{window.end}' - INTERVAL 1 HOUR,
                INTERVAL 1 HOUR)))
            SELECT date_trunc('hour', m), max(c) FROM (SELECT m, (SELECT count(*) FROM s
                WHERE s.a <= m AND s.b >= m) c FROM moments) GROUP BY ALL"""
        )
    )

    assert {
        hour.replace(tzinfo=None): users for hour, users in found.select("period", "users").rows()
    } == expected
    assert found["users"].max() >= 1


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("every", ["1d", "1w"])
def test_extension_activation(events, sql, window, every):
    period = "i" if every == "1d" else "date_trunc('week', i)::DATE"
    wide = window.widened(every)
    expected = {
        one: tuple(counts)
        for one, *counts in sql(
            f"""WITH x AS (SELECT * FROM e WHERE channel = 'extension' AND day < '{wide.end}'),
            p AS (SELECT u, min(t) a, min(t)::DATE i FROM x WHERE name = 'install' GROUP BY u),
            d AS (SELECT u, i,
                bool_or(name = 'extension_activated' AND result = 'success' AND t >= a
                    AND t <= a + INTERVAL 7 DAY) activated,
                bool_or(name NOT IN ('install', 'extension_activated', 'session_started',
                    'session_ended', 'error') AND t >= a) used,
                bool_or(name NOT IN ('install', 'extension_activated', 'session_started',
                    'session_ended', 'error') AND day - i BETWEEN 7 AND 13) later
                FROM p JOIN x USING (u) GROUP BY u, i)
            SELECT {period} w, count(*), count(*) FILTER (activated), count(*) FILTER (used),
                count(*) FILTER (later) FROM d
            WHERE i >= '{wide.start}' GROUP BY w"""
        )
    }
    assert expected or window.days < 7
    found = metrics.extension_activation(events, window, every=every).collect()

    counted = found.select("period", "installed", "activated", "used", "used_next_week").rows()
    assert {one: tuple(counts) for one, *counts in counted} == {
        one: expected.get(one, (0, 0, 0, 0)) for one in window.periods(every)
    }
