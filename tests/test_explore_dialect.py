"""SQL means here what it means elsewhere: the same queries, answered by DuckDB on the same rows."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pytest

from data_access import Filters, Window, sources
from data_access.explore import QueryRefused
from data_access.explore.checked import check
from data_access.explore.frames import framed
from data_access.explore.running import Request
from ingest.demo import write_demo

if TYPE_CHECKING:
    from collections.abc import Iterator

    Run = Any

END = date(2026, 6, 1)
WINDOW = Window(date(2026, 4, 19), date(2026, 5, 31), timezone="Europe/Berlin")
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)

# what both engines read the same way; an answer without ORDER BY is compared as a set of rows
QUERIES = (Path(__file__).parent / "cases" / "explore.sql").read_text("utf-8").splitlines()


@pytest.fixture(scope="module")
def request_of(tmp_path_factory: pytest.TempPathFactory) -> Request:
    place = tmp_path_factory.mktemp("dialect") / "home"
    write_demo(place, events=1_500, days=50, end=END)
    filters = Filters(WINDOW)
    handed = sources.handed(place, filters=filters, since=WINDOW.opens_at)
    return Request(
        handed=handed,
        sql="",
        filters=filters,
        window=WINDOW,
        all_history=False,
        now=NOW,
        rows=10_000,
        chars=20_000,
        seconds=30,
        memory_mb=2_048,
        disguise=None,
    )


@pytest.fixture(scope="module")
def duck(request_of: Request) -> Iterator[Run]:
    """Let DuckDB read the very rows, with the parts of time as columns."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for table in ("events", "errors", "traces", "sessions"):
        checked = check(f"SELECT day, week, month, weekday, hour_of_day FROM {table}")
        frame = framed(request_of, checked)[table].collect()
        frame = frame.rename({name: name.removeprefix("~page.") for name in frame.columns})
        connection.register(f"{table}_rows", frame.to_arrow())
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM {table}_rows")
    yield connection.execute
    connection.close()


def rows_of(rows: list[tuple[Any, ...]], *, ordered: bool) -> list[tuple[Any, ...]]:
    plain = [tuple(plain_value(value) for value in row) for row in rows]
    return plain if ordered else sorted(plain, key=repr)


def plain_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    if isinstance(value, bool) or value is None or isinstance(value, str | date):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        return value
    return None if math.isnan(number) else float(f"{number:.9g}")


@pytest.mark.parametrize("sql", QUERIES)
def test_it_answers_as_duckdb_does(sql, request_of, duck):
    checked = check(sql, now=NOW, window=WINDOW)
    context = pl.SQLContext(frames=framed(request_of, checked), eager=False)
    frame = context.execute(checked.sql).collect()
    frame = frame.drop([name for name in frame.columns if checked.is_hidden(name)])

    expected = duck(sql).fetchall()

    ordered = "ORDER BY" in sql.rpartition(")")[2]
    assert rows_of(frame.rows(), ordered=ordered) == rows_of(expected, ordered=ordered)


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        # the engine would take the number for milliseconds
        ("SELECT 1 FROM events WHERE timestamp > 1750000000", "A moment cannot be compared"),
        ("SELECT 1 FROM events WHERE day BETWEEN 1 AND 7", "A day cannot be compared"),
        (
            "SELECT 1 FROM (SELECT MAX(timestamp) - MIN(timestamp) AS l FROM events) WHERE l > 30",
            "A length of time cannot be compared",
        ),
        ("SELECT timestamp + 7 FROM events", "Write INTERVAL '7 days'"),
        ("SELECT EXTRACT(epoch FROM MAX(timestamp) - MIN(timestamp)) FROM events", "EPOCH(last)"),
        # the engine would leave out what only the right side has
        (
            "SELECT session_id FROM events RIGHT JOIN errors USING (session_id)",
            "COALESCE(a.x, b.x)",
        ),
        ("SELECT session_id FROM events FULL JOIN errors USING (session_id)", "COALESCE(a.x, b.x)"),
        ("SELECT ROUND(weight, 99) FROM events", "up to 12 digits"),
        ("SELECT 1 FROM events WHERE channel IN ()", "nothing in the brackets"),
        # it would be every row with every row
        ("SELECT 1 FROM events LEFT JOIN errors", "Write ON a.x = b.x"),
        ("SELECT 1 FROM events SEMI JOIN errors", "Write ON a.x = b.x"),
        ("SELECT metadata ->> 'http.status' FROM events", "metadata['http.status']"),
        ("SELECT TO_CHAR(timestamp, 'YYYY') FROM events", "Write STRFTIME(timestamp, '%Y-%m')"),
        ("SELECT TIME_BUCKET(INTERVAL '1 day', timestamp) FROM events", "TIME_BUCKET is not"),
        ("SELECT MODE(channel) FROM events", "ORDER BY COUNT(*) DESC"),
        ("SELECT LPAD(channel, 9, ' ') FROM events", "LPAD is not"),
        ("SELECT 1 FROM events WHERE channel = ANY (SELECT channel FROM errors)", "Write IN (...)"),
        ("SELECT COUNT(DISTINCT (channel, result)) FROM events", "join several with ||"),
        ("SELECT channel FROM events GROUP BY CUBE (channel)", "Write ROLLUP"),
        ("SELECT 1 FROM events WHERE channel SIMILAR TO 'a'", "Write REGEXP_LIKE"),
        ("SELECT * FROM events NATURAL JOIN errors", "USING (session_id)"),
    ],
)
def test_what_would_mean_something_else_or_is_not_there_says_what_to_write(sql, says):
    with pytest.raises(QueryRefused) as refused:
        check(sql)

    assert says in str(refused.value)
    assert "(line 1)" in refused.value.where


def test_a_metadata_flag_is_true_or_false():
    said = [
        check(f"SELECT 1 FROM events WHERE {condition}").sql.partition(" WHERE ")[2]
        for condition in ("metadata.is_new = TRUE", "metadata ->> 'is_new' <> false")
    ]
    assert said == ["(\"~key.is_new\" = 'true')", "(\"~key.is_new\" <> 'false')"]
    assert "WHEN 'true' THEN TRUE" in check("SELECT (metadata ->> 'a')::boolean FROM events").sql
