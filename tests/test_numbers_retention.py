"""Retention, lifecycle and stickiness equal SQL in another engine, on real people's activity.

The SQL is written from the definition and shares nothing with the metrics; each option is asked
by the day, the week and the month, over windows that cut weeks and months.
"""

from __future__ import annotations

from datetime import date
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
    pytest.param(Window(date(2024, 1, 17), date(2024, 4, 10)), id="12 weeks"),
    pytest.param(Window(date(2024, 1, 17), date(2024, 3, 3), week_starts_on="sunday"), id="sunday"),
    pytest.param(Window(date(2013, 1, 1), date(2013, 3, 1)), id="the beginning"),
]
EVERY = ["1d", "1w", "1mo"]
COHORTS = ["first", "recurring"]


@pytest.fixture(scope="module")
def events(activity: Path) -> pl.LazyFrame:
    return scan("events", activity)


@pytest.fixture(scope="module")
def sql():
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"""CREATE TABLE e AS SELECT timestamp::TIMESTAMP AS t, timestamp::DATE AS day,
        event_name AS name, user_id_hash AS u FROM read_json('{ACTIVITY}',
        format = 'newline_delimited', columns = {{timestamp: 'TIMESTAMP',
        event_name: 'VARCHAR', user_id_hash: 'VARCHAR'}})"""
    )

    def run(query: str) -> list[tuple]:
        return connection.execute(query).fetchall()

    yield run
    connection.close()


def names(sql) -> tuple[str, str]:
    """Return the two most frequent event names: what people start with and come back for."""
    [(first,), (second,)] = sql("SELECT name FROM e GROUP BY name ORDER BY count(*) DESC LIMIT 2")
    return first, second


def period(window: Window, every: str) -> str:
    if every == "1d":
        return "day"
    if every == "1mo":
        return "date_trunc('month', day)::DATE"
    if window.week_starts_on == "sunday":
        return "(date_trunc('week', day + 1)::DATE - 1)"
    return "date_trunc('week', day)::DATE"


def cells(  # one argument per word of the question
    sql, window: Window, every: str, *, cohort: str, start: str, back: str, least: int, later: bool
) -> dict[tuple[date, int], int]:
    """Return users per cohort and cell as SQL counts them: cells of nobody are missing."""
    wide = window.widened(every)
    number = {
        "1d": "datediff('day', c.p, b.p)",
        "1w": "datediff('day', c.p, b.p) // 7",
        "1mo": "datediff('month', c.p, b.p)",
    }[every]
    chosen, group = ("min(p)", "GROUP BY u") if cohort == "first" else ("p", "")
    spread = f"unnest(range(1, {number} + 1))" if later else number
    return {
        (one, n): users
        for one, n, users in sql(
            f"""WITH s AS (SELECT DISTINCT u, {period(window, every)} AS p FROM e
                WHERE name IN ({start})),
            c AS (SELECT u, {chosen} AS p FROM s {group}),
            k AS (SELECT * FROM c WHERE p >= DATE '{wide.start}' AND p < DATE '{wide.end}'),
            b AS (SELECT u, {period(window, every)} AS p FROM e WHERE name IN ({back})
                AND day < DATE '{wide.end}' GROUP BY ALL HAVING count(*) >= {least}),
            r AS (SELECT k.u, c.p, {spread} AS n FROM k JOIN c USING (u, p) JOIN b ON b.u = k.u
                AND b.p > c.p)
            SELECT p, 0, count(DISTINCT u) FROM k GROUP BY p
            UNION ALL SELECT p, n, count(DISTINCT u) FROM r GROUP BY p, n"""
        )
    }


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("by", [(every, cohort) for every in EVERY for cohort in COHORTS])
@pytest.mark.parametrize("kind", ["any event", "two events", "unbounded", "three returns"])
def test_retention(events, sql, window, by, kind):
    every, cohort = by
    everything = "SELECT DISTINCT name FROM e"
    start, back = names(sql)
    two = kind in ("two events", "unbounded")
    least, later = (3 if kind == "three returns" else 1), kind == "unbounded"
    expected = cells(
        sql,
        window,
        every,
        cohort=cohort,
        start=f"'{start}'" if two else everything,
        back=f"'{back}'" if two else everything,
        least=least,
        later=later,
    )
    options = {"every": every, "cohort": cohort, "min_returns": least, "unbounded": later}
    options |= {"start": start, "back": back} if two else {}
    found = metrics.retention(events, window, **options).collect()
    rows = {(one, n): users for one, n, users in found.select("cohort", "period", "users").rows()}

    assert expected.keys() <= rows.keys()
    assert rows == {key: expected.get(key, 0) for key in rows}
    for one, n, users, size, rate, _ in found.iter_rows():
        assert size == expected.get((one, 0), 0)
        assert rate == (pytest.approx(users / size) if size else None), (one, n)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("cohort", COHORTS)
def test_retention_mean(events, sql, window, every, cohort):
    start, back = names(sql)
    counted = cells(
        sql,
        window,
        every,
        cohort=cohort,
        start=f"'{start}'",
        back=f"'{back}'",
        least=1,
        later=False,
    )
    periods = window.periods(every)
    over = [window.period_end(one, every=every) <= window.end for one in periods]
    found = metrics.retention_mean(
        events, window, every=every, cohort=cohort, start=start, back=back
    ).collect()

    assert found["period"].to_list() == list(range(len(periods)))
    for n, cohorts, users, size, rate, plain in found.iter_rows():
        whole = [at for at in range(len(periods) - n) if over[at + n]]
        sizes = [counted.get((periods[at], 0), 0) for at in whole]
        came = [counted.get((periods[at], n), 0) for at in whole]
        assert (cohorts, users, size) == (len(whole), sum(came), sum(sizes))
        assert rate == (pytest.approx(sum(came) / sum(sizes)) if sum(sizes) else None)
        shares = [part / of for part, of in zip(came, sizes, strict=True) if of]
        assert plain == (pytest.approx(sum(shares) / len(shares)) if shares else None)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("every", ["1d", "1w"])
def test_retention_on_everybodys_own_clock(events, sql, window, every):
    """By the first hour of everybody's first period, in steps of 24 hours or of 7 times that."""
    wide, hours = window.widened(every), {"1d": 24, "1w": 168}[every]
    expected = {
        (one, n): users
        for one, n, users in sql(
            f"""WITH f AS (SELECT u, min(date_trunc('hour', t)) AS began FROM e GROUP BY u),
            c AS (SELECT u, began, {period(window, every).replace("day", "began::DATE")} AS p
                FROM f WHERE began >= TIMESTAMP '{wide.start}'
                AND began < TIMESTAMP '{wide.end}')
            SELECT p, datediff('hour', began, date_trunc('hour', t)) // {hours} AS n,
                count(DISTINCT u) FROM c JOIN e USING (u) WHERE t < TIMESTAMP '{wide.end}'
            GROUP BY ALL"""
        )
    }
    found = metrics.retention(events, window, every=every, clock="rolling").collect()
    rows = {(one, n): users for one, n, users in found.select("cohort", "period", "users").rows()}

    assert expected.keys() <= rows.keys()
    assert rows == {key: expected.get(key, 0) for key in rows}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("every", EVERY)
def test_the_people_behind_every_lifecycle_bar_add_up_to_it(events, window, every):
    bars = metrics.lifecycle(events, window, every=every).collect()
    people = metrics.lifecycle_users(events, window, every=every).collect()

    for row in bars.iter_rows(named=True):
        for state in ("new", "returning", "resurrecting", "dormant"):
            there = people.filter(period=row["period"], state=state)
            assert there["weight"].sum() == abs(row[state])
            assert there["user_id_hash"].n_unique() == there.height


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("asked", [("gte", 3, 1), ("lte", 2, 1), ("eq", 1, 3), ("gte", 1, 7)])
def test_stickiness(events, sql, window, asked):
    op, least, merged = asked
    sign = {"gte": ">=", "lte": "<=", "eq": "="}[op]
    expected = {
        (n, u)
        for u, n in sql(
            f"""WITH d AS (SELECT u, datediff('day', DATE '{window.start}', day) // {merged} AS k
                FROM e WHERE name IN {ACTIVE} AND day >= DATE '{window.start}'
                AND day < DATE '{window.end}' GROUP BY ALL HAVING count(*) {sign} {least})
            SELECT u, count(*) FROM d GROUP BY u"""
        )
    }
    options = {"min_events": least, "min_events_op": op, "periods_per_bucket": merged}
    found = metrics.stickiness(events, window, **options).collect()
    people = metrics.stickiness_users(events, window, **options).collect()

    assert set(people.select("periods_active", "user_id_hash").rows()) == expected
    for n, users in found.iter_rows():
        assert users == sum(1 for k, _ in expected if k == n)
    assert found.height == -(-window.days // merged)


@pytest.mark.parametrize("window", WINDOWS)
def test_active_users_by_hour(events, sql, window):
    day = Window(window.start, date.fromordinal(window.start.toordinal() + 3))
    expected = dict(
        sql(
            f"""SELECT h, (SELECT count(DISTINCT u) FROM e WHERE name IN {ACTIVE}
                AND t >= h - INTERVAL 167 HOUR AND t < h + INTERVAL 1 HOUR)
            FROM range(TIMESTAMP '{day.start}', TIMESTAMP '{day.end}', INTERVAL 1 HOUR) AS x(h)"""
        )
    )
    found = metrics.active_users_hourly(events, day, days=7).collect()

    assert {hour.replace(tzinfo=None): users for hour, users, _ in found.iter_rows()} == expected
