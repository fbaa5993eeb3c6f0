"""Models, costs, people at the same moment and the extension equal SQL of another engine."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from data_access import Window, metrics, scan
from ingest.demo import write_demo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

END = date(2026, 6, 1)
REAL = Path(__file__).parent / "data" / "activity.jsonl.gz"
WINDOWS = [
    pytest.param(Window(date(2026, 5, 4), END), id="four weeks"),
    pytest.param(Window(date(2026, 4, 1), date(2026, 4, 3)), id="two days"),
]
MADE = ("bugfix", "feature", "refactor", "change", "decision")
ACTIVE = "('session_started','extension_activated','server_operation_called','web_view_opened')"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("demo") / "home"
    write_demo(home, events=6_000, days=80, end=END)
    return home


@pytest.fixture(scope="module")
def events(home: Path) -> pl.LazyFrame:
    return scan("events", home)


@pytest.fixture(scope="module")
def sql(
    home: Path, events: pl.LazyFrame, tmp_path_factory: pytest.TempPathFactory
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
        "credits": "DOUBLE",
        "plan": "VARCHAR",
        "element": "VARCHAR",
        "action": "VARCHAR",
        "lines_inserted": "DOUBLE",
        "accepted": "VARCHAR",
        **{f"obs_type_{kind}": "DOUBLE" for kind in MADE},
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
    broken = place.with_name("errors.parquet")
    scan("errors", home).sink_parquet(broken)
    connection.execute(
        f"CREATE TABLE x AS SELECT timestamp::DATE AS day, user_id_hash AS u, channel, occurrences "
        f"FROM read_parquet('{broken}')"
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


def filled(rows: list[tuple], window: Window, nothing: tuple) -> list[tuple]:
    """Return a row for every day: those of SQL, `nothing` on quiet ones."""
    found = {day: rest for day, *rest in rows}
    return [(day, *found.get(day, nothing)) for day in window.periods()]


@pytest.mark.parametrize("window", WINDOWS)
def test_observations(events, sql, window):
    types = " UNION ALL ".join(
        f"SELECT model, '{kind}' AS kind, sum(obs_type_{kind}) n, count(*)::DOUBLE c FROM e "
        f"WHERE {between(window)} AND obs_type_{kind} > 0 GROUP BY model"
        for kind in MADE
    )
    expected = sql(f"SELECT * FROM ({types}) ORDER BY model, kind")
    assert expected

    same(metrics.observations(events, window).collect().rows(), expected)


@pytest.mark.parametrize("window", WINDOWS)
def test_credits(events, sql, window):
    wide = window.widened("1w")
    expected = sql(
        f"""SELECT date_trunc('week', day)::DATE, plan, sum(credits), count(*)::DOUBLE,
            count(DISTINCT u)::DOUBLE FROM e WHERE {between(wide)} AND credits IS NOT NULL
            AND name <> 'paid_subscription_canceled' GROUP BY ALL ORDER BY ALL"""
    )
    found = metrics.credits_by_plan(events, window).drop("complete").collect()

    same(found.filter(found["events"] > 0).rows(), expected)


@pytest.mark.parametrize("window", WINDOWS)
def test_interactions_and_insertions(events, sql, window):
    same(
        metrics.interactions(events, window).collect().rows(),
        sql(
            f"""SELECT element, action, count(*)::DOUBLE, count(DISTINCT u)::DOUBLE,
            count(*) FILTER (result <> 'success')::DOUBLE FROM e WHERE {between(window)}
            AND name = 'ui_interaction' AND channel = 'extension' GROUP BY ALL ORDER BY ALL"""
        ),
    )
    inserted = sql(
        f"""SELECT day, count(*)::DOUBLE, count(DISTINCT u)::DOUBLE, sum(lines_inserted),
        count(accepted)::DOUBLE, count(*) FILTER (accepted = 'true')::DOUBLE,
        count(*) FILTER (accepted = 'true') / count(accepted) FROM e WHERE {between(window)}
        AND name = 'code_insert' GROUP BY day"""
    )
    same(
        metrics.code_insertions(events, window).drop("complete").collect().rows(),
        filled(inserted, window, (0.0, 0.0, 0.0, 0.0, 0.0, None)),
    )


VISITS = """WITH o AS (SELECT u, t, t - lag(t) OVER (PARTITION BY u ORDER BY t) gap FROM e
    WHERE {where} AND channel = 'extension'),
    n AS (SELECT u, t, sum((gap IS NULL OR gap > INTERVAL 30 MINUTE)::INT)
        OVER (PARTITION BY u ORDER BY t ROWS UNBOUNDED PRECEDING) k FROM o),
    s AS (SELECT u, min(t)::DATE AS day, epoch(max(t) - min(t)) d FROM n GROUP BY u, k)"""


@pytest.mark.parametrize("window", WINDOWS)
def test_sessions_of_the_extension(events, sql, window):
    visits = VISITS.format(where=between(window))
    daily = sql(
        f"""{visits} SELECT day, count(*)::DOUBLE, count(DISTINCT u)::DOUBLE,
        quantile_cont(d, 0.5), count(DISTINCT u)::DOUBLE, sum(d) / count(DISTINCT u)
        FROM s GROUP BY day"""
    )
    same(
        metrics.extension_sessions(events, window).drop("complete").collect().rows(),
        filled(daily, window, (0.0, 0.0, None, 0.0, None)),
    )
    lengths = sql(
        f"""{visits} SELECT b, count(d)::DOUBLE, count(DISTINCT u)::DOUBLE
        FROM (VALUES (0, 1), (1, 60), (60, 300), (300, 900), (900, 1800), (1800, 3600),
            (3600, 7200), (7200, 1e12)) c(b, z) LEFT JOIN s ON d >= b AND d < z
        GROUP BY b ORDER BY b"""
    )
    found = metrics.session_lengths(events, window).collect()
    assert found.select("seconds_from", "sessions", "users").rows() == lengths


@pytest.mark.parametrize("window", WINDOWS)
def test_failures_of_the_extension(home, events, sql, window):
    here = f"{between(window)} AND channel = 'extension'"
    expected = sql(
        f"""WITH a AS (SELECT day, count(*) n,
            count(*) FILTER (result NOT IN ('success', 'timeout')) f,
            count(*) FILTER (result = 'timeout') o FROM e WHERE {here} GROUP BY day),
        b AS (SELECT day, sum(occurrences) r FROM x WHERE {here} GROUP BY day),
        h AS (SELECT day, count(DISTINCT u) p FROM (
            SELECT day, u FROM e WHERE {here} AND result <> 'success'
            UNION SELECT day, u FROM x WHERE {here}) GROUP BY day)
        SELECT day, n::DOUBLE, f::DOUBLE, o::DOUBLE, (f + o) / n, coalesce(r, 0)::DOUBLE,
            coalesce(p, 0)::DOUBLE FROM a LEFT JOIN b USING (day) LEFT JOIN h USING (day)"""
    )
    found = metrics.extension_failures(events, scan("errors", home), window)

    same(
        found.drop("complete").collect().rows(),
        filled(expected, window, (0.0, 0.0, 0.0, None, 0.0, 0.0)),
    )


def test_people_at_the_same_moment_of_thirteen_real_years(tmp_path):
    place = tmp_path / "activity.jsonl.gz"
    place.write_bytes(REAL.read_bytes())
    window = Window(date(2026, 7, 25), date(2026, 8, 22))
    expected = dict(
        duckdb.sql(
            f"""WITH e AS (SELECT user_id_hash u, timestamp t FROM read_json('{place}',
                format = 'newline_delimited', columns = {{user_id_hash: 'VARCHAR',
                timestamp: 'TIMESTAMP'}}) WHERE t >= '{window.start}' AND t < '{window.end}'),
            o AS (SELECT u, t, t - lag(t) OVER (PARTITION BY u ORDER BY t) gap FROM e),
            n AS (SELECT u, t, sum((gap IS NULL OR gap > INTERVAL 30 MINUTE)::INT)
                OVER (PARTITION BY u ORDER BY t ROWS UNBOUNDED PRECEDING) k FROM o),
            s AS (SELECT u, min(t) a, max(t) b FROM n GROUP BY u, k),
            m AS (SELECT a m FROM s UNION SELECT unnest(generate_series(
                TIMESTAMP '{window.start}', TIMESTAMP '{window.end}' - INTERVAL 1 DAY,
                INTERVAL 1 DAY)))
            SELECT m::DATE, max(c) FROM (SELECT m, (SELECT count(*) FROM s WHERE a <= m
                AND b >= m) c FROM m) GROUP BY ALL"""
        ).fetchall()
    )
    found = metrics.concurrent_users(scan("events", place), window, every="1d").collect()

    assert dict(found.rows()) == expected
    assert found["users"].max() > 1
