"""A person's numbers equal those of SQL in another engine, on what 985 people did in 13 years."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from data_access import Filters, Window, metrics, scan
from data_access.schema import ERRORS, TRACES
from ingest.team import save_segment

if TYPE_CHECKING:
    import polars as pl

ACTIVITY = Path(__file__).parent / "data" / "activity.jsonl.gz"
ACTIVE = "('session_started','extension_activated','server_operation_called','web_view_opened')"
WINDOWS = [
    pytest.param(Window(date(2026, 7, 25), date(2026, 8, 22)), id="last 28 days"),
    pytest.param(Window(date(2024, 1, 17), date(2024, 6, 3)), id="some months"),
    pytest.param(Window(date(2013, 1, 1), date(2013, 12, 1)), id="the beginning"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("people") / "telemetry"
    (place / "inbox").mkdir(parents=True)
    (place / "inbox" / "activity.jsonl.gz").write_bytes(ACTIVITY.read_bytes())
    return place


@pytest.fixture(scope="module")
def events(home) -> pl.LazyFrame:
    return scan("events", home)


@pytest.fixture(scope="module")
def nothing() -> tuple[pl.LazyFrame, pl.LazyFrame]:
    return ERRORS.to_frame().lazy(), TRACES.to_frame().lazy()


@pytest.fixture(scope="module")
def sql():
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"""CREATE TABLE e AS SELECT event_id, timestamp::TIMESTAMP AS t, timestamp::DATE AS day,
        event_name AS name, user_id_hash AS u, user_tier AS tier, session_id AS s
        FROM read_json('{ACTIVITY}', format = 'newline_delimited',
        columns = {{event_id: 'VARCHAR', timestamp: 'TIMESTAMP', event_name: 'VARCHAR',
        user_id_hash: 'VARCHAR', user_tier: 'VARCHAR', session_id: 'VARCHAR'}})"""
    )

    def run(query: str) -> list[tuple]:
        return connection.execute(query).fetchall()

    yield run
    connection.close()


def between(window: Window) -> str:
    return f"day >= DATE '{window.start}' AND day < DATE '{window.end}'"


def naive(frame: pl.DataFrame) -> list[tuple]:
    """Return rows with the UTC times as DuckDB gives them."""
    import polars.selectors as cs  # noqa: PLC0415 - of this helper alone

    return frame.with_columns(cs.datetime().dt.replace_time_zone(None)).rows()


@pytest.mark.parametrize("window", WINDOWS)
def test_everybodys_row(events, nothing, sql, window):
    expected = sql(
        f"""SELECT u, arg_max(tier, (t, event_id)) FILTER (WHERE tier <> ''), min(t), max(t),
        count(DISTINCT day) FILTER (WHERE {between(window)} AND name IN {ACTIVE}),
        count(DISTINCT s) FILTER (WHERE {between(window)} AND s <> ''),
        count(*) FILTER (WHERE {between(window)})
        FROM e WHERE day < DATE '{window.end}' GROUP BY u
        HAVING count(*) FILTER (WHERE {between(window)}) > 0 ORDER BY u"""
    )
    found = metrics.users(events, *nothing, window).collect()

    assert (
        naive(
            found.select(
                *("user_id_hash", "tier", "first_seen", "last_seen", "days_active"),
                *("sessions", "events"),
            )
        )
        == expected
    )


@pytest.fixture(scope="module")
def busy(sql) -> list[str]:
    """Return the people with most tiers, then most events."""
    return [
        row[0]
        for row in sql(
            "SELECT u FROM e GROUP BY u ORDER BY count(DISTINCT tier) DESC, count(*) DESC LIMIT 12"
        )
    ]


def test_a_persons_tiers(events, sql, busy):
    window = WINDOWS[0].values[0]
    for user in busy:
        expected = sql(
            f"""WITH r AS (SELECT *, tier <> lag(tier, 1, '') OVER w AS new FROM e
            WHERE u = '{user}' AND tier <> '' AND day < DATE '{window.end}'
            WINDOW w AS (ORDER BY t, event_id)),
            runs AS (SELECT *, sum(new::INT) OVER (ORDER BY t, event_id) AS run FROM r)
            SELECT min(t), any_value(tier), count(*) FROM runs GROUP BY run ORDER BY run"""
        )
        found = metrics.user_tiers(events, window, user=user).collect()
        assert naive(found.select("from_at", "tier", "events")) == expected


@pytest.mark.parametrize("window", WINDOWS)
def test_a_persons_sessions_and_timeline(events, nothing, sql, busy, window):
    for user in busy[:4]:
        mine = f"u = '{user}' AND {between(window)}"
        sessions = metrics.user_sessions(events, nothing[0], window, user=user).collect()
        timeline = metrics.user_timeline(events, *nothing, window, user=user, limit=50).collect()

        assert naive(sessions.select("started_at", "session_id", "events")) == sql(
            f"SELECT min(t), s, count(*) FROM e WHERE {mine} AND s <> '' GROUP BY s "
            "ORDER BY 1 DESC, 2 DESC"
        )
        assert naive(timeline.select("timestamp", "event_id", "name")) == sql(
            f"SELECT t, event_id, name FROM e WHERE {mine} ORDER BY t DESC, event_id DESC LIMIT 50"
        )


def test_a_segment_by_query_and_its_opposite_are_everybody_once(home, sql):
    save_segment(home, "payers", query="tier=paid&tier=enterprise")
    payers = "SELECT DISTINCT u FROM e WHERE tier IN ('paid', 'enterprise')"
    window = WINDOWS[0].values[0]

    def events_of(*segments: str) -> int:
        frame = scan("events", home, filters=Filters(window, segments=segments))
        return frame.collect().height

    assert [(events_of("payers"), events_of("not payers"))] == sql(
        f"""SELECT count(*) FILTER (WHERE u IN ({payers})),
        count(*) FILTER (WHERE u NOT IN ({payers})) FROM e"""
    )
