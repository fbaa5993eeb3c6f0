"""Filters mean the same in a link, in SQL and in Polars, and survive hostile links."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_access import Filters, Window
from data_access.database import select
from data_access.filters import DIMENSIONS
from data_access.schema import EVENTS
from ingest.migrate import open_database

if TYPE_CHECKING:
    import sqlite3

TODAY = date(2026, 3, 10)
NOW = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)
WINDOW = Window.last(28, today=TODAY)


def read(query: str, **known) -> Filters:
    return Filters.from_query(query, today=TODAY, now=NOW, known=known)


TEXT = st.text(min_size=1, max_size=50).filter(lambda text: text.strip() == text)


@given(
    st.sets(st.sampled_from(["free", "trial", "paid", "enterprise"])),
    st.sets(TEXT, max_size=4),
    st.sets(TEXT, max_size=4),
    st.dates(date(2000, 1, 1), date(2040, 1, 1)),
    st.integers(1, 1000),
)
def test_a_link_says_everything_the_filters_say(tiers, projects, events, start, days):
    window = Window(start, date.fromordinal(start.toordinal() + days), timezone="Europe/Berlin")
    filters = Filters(window, tiers=tuple(tiers), projects=tuple(projects), events=tuple(events))

    assert Filters.from_query(filters.to_query()) == filters


def test_a_frozen_link_shows_the_same_days_next_year():
    query = read("span=7d").to_query()

    again = Filters.from_query(query, today=date(2027, 1, 1), now=NOW)
    assert (again.window.start, again.window.end) == (date(2026, 3, 4), date(2026, 3, 11))


def test_a_frozen_link_of_24_hours_keeps_the_hour_it_ended_with():
    query = read("span=24h").to_query()

    again = Filters.from_query(query, today=date(2027, 1, 1), now=datetime(2027, 1, 1, tzinfo=UTC))
    assert again.window.closes_at == NOW


@pytest.mark.parametrize(
    ("span", "start", "end"),
    [
        ("7d", "2026-03-04", "2026-03-11"),
        ("28d", "2026-02-11", "2026-03-11"),
        ("90d", "2025-12-11", "2026-03-11"),
        ("week", "2026-03-09", "2026-03-11"),
        ("month", "2026-03-01", "2026-03-11"),
        ("24h", "2026-03-09", "2026-03-11"),
    ],
)
def test_a_preset_ends_with_today(span, start, end):
    window = read(f"span={span}").window

    assert (window.start, window.end) == (date.fromisoformat(start), date.fromisoformat(end))


@pytest.mark.parametrize(
    "query",
    [
        "tier=gold",
        "tier=%00",
        "span=never",
        "span=custom&from=x&to=y",
        "span=custom&from=2026-03-01",
        "from=0001-01-01&to=9999-12-31",
        "timezone=../../etc/passwd",
        "from=0001-01-02&to=0001-01-03",
        "from=9999-12-30&to=9999-12-30",
        "until=noon&span=24h",
        "until=9999-12-31T23:59:59Z&span=24h",
        "until=0001-01-01T00:00:00Z&span=24h",
        "until=0001-01-01T00:00:00%2B14:00&span=24h",
        "project=" + "x" * 5_000,
        "tier=paid&" * 5_000,
        "project=%27%3B+DROP+TABLE+telemetry_events%3B--",
    ],
)
def test_hostile_values_are_ignored_with_a_note(query):
    filters = read(query, projects=("p1",))

    assert filters.notes
    assert filters.chosen() == {}
    assert filters.window.days == (2 if "24h" in query else 28)


def test_a_hostile_timezone_given_as_the_default_is_survived_too():
    filters = Filters.from_query("span=7d", today=TODAY, now=NOW, timezone="../../etc/passwd")

    assert filters.window.timezone == "UTC"
    assert filters.notes


def test_dates_the_wrong_way_round_are_put_right():
    assert read("span=custom&from=2026-03-09&to=2026-03-01").window.days == 9


def test_equal_choices_are_one_cache_key():
    one = Filters(WINDOW, tiers=("paid", "free"), notes=("something",))
    other = Filters(WINDOW, tiers=("free", "paid", "paid"))

    assert one == other
    assert hash(one) == hash(other)


@pytest.fixture
def database(tmp_path):
    with contextlib.closing(open_database(tmp_path / "telemetry.db")) as connection:
        yield connection


def plan(connection: sqlite3.Connection, filters: Filters, table: str, since) -> str:
    where, values = filters.where(table, since=since)
    sql, parameters = select(table, ["user_id_hash"], where=where, values=values)
    return " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters))


@pytest.mark.parametrize("table", ["events", "errors", "traces", "sessions"])
def test_a_filter_on_time_searches_an_index_and_the_dimensions_ride_along(database, table):
    filters = Filters(
        WINDOW, tiers=("paid",), channels=("server",), projects=("p",), events=("context_created",)
    )

    where, values = filters.where(table, since=WINDOW.opens_at)
    assert "SEARCH" in plan(database, filters, table, WINDOW.opens_at)
    assert "USING INDEX idx_telemetry_" in plan(database, filters, table, WINDOW.opens_at)
    assert "user_tier IN" in where
    assert where.count("?") == len(values)
    assert ("event_name IN" in where) == (table == "events")


def test_sql_finds_every_spelling_of_a_standard_name():
    _, values = Filters(WINDOW, events=("context_auto_created",), channels=("server",)).where(
        "events"
    )

    assert {"context_auto_created", "branch_create", "mcp.branch_create"} <= set(values)
    assert {"server", "mcp"} <= set(values)


def test_no_value_is_ever_part_of_the_sql():
    evil = "'; DROP TABLE telemetry_events; --"
    where, values = Filters(WINDOW, projects=(evil,)).where("events")

    assert evil not in where
    assert evil in values


def test_the_predicate_keeps_exactly_the_chosen_rows():
    frame = pl.DataFrame(
        {"user_tier": ["free", "paid", None], "event_name": ["a", "b", "b"]},
    ).cast({"user_tier": EVENTS["user_tier"]})

    predicate = Filters(WINDOW, tiers=("paid", "free"), events=("b",)).predicate("events")
    assert predicate is not None
    assert frame.filter(predicate).rows() == [("paid", "b")]
    assert Filters(WINDOW).predicate("events") is None
    assert Filters(WINDOW, events=("b",)).predicate("traces") is None


def test_every_dimension_is_a_field_of_filters():
    assert set(DIMENSIONS) <= set(Filters.__dataclass_fields__)


def test_properties_and_segments_travel_in_the_link():
    filters = Filters(
        WINDOW,
        properties=("ide:vscode", "url:http://x?a=b&c"),
        segments=("not internal", "payers & co"),
    )

    again = Filters.from_query(filters.to_query())
    assert again == filters
    assert again.by_key() == {"ide": ["vscode"], "url": ["http://x?a=b&c"]}
    assert again.wanted_segments() == (["payers & co"], ["internal"])
    assert filters.chosen_query() == filters.to_query().partition("&to=2026-03-10&")[2]


@pytest.mark.parametrize(
    "query", ["where=ide", "where=:x", "where=ide:", "where=a'b:c", "where=" + "k" * 101 + ":v"]
)
def test_a_property_that_is_no_key_and_value_is_ignored_with_a_note(query):
    filters = read(query)

    assert filters.properties == ()
    assert "where" in filters.notes[0]


def test_a_segment_nobody_saved_is_ignored_with_a_note_and_so_is_its_opposite():
    filters = read("segment=gone&segment=not+gone&segment=not+internal", segments=["internal"])

    assert filters.segments == ("not internal",)
    assert "'gone', 'not gone'" in filters.notes[0]


def test_a_typed_property_need_not_be_among_the_choices():
    assert read("where=ide:emacs", properties=["ide:vscode"]).properties == ("ide:emacs",)


def test_values_of_one_property_add_up_and_each_further_one_narrows():
    frame = pl.DataFrame(
        {
            "event_id": ["1", "2", "3", "4", "5", "6"],
            "metadata": [
                '{"ide": "vscode", "auto": true}',
                '{"ide": "zed", "auto": false}',
                '{"auto": true}',
                None,
                "no json",
                '{"ide": "zed", "auto": true}',
            ],
        }
    )

    def kept(*properties: str) -> list[str]:
        predicate = Filters(WINDOW, properties=properties).predicate("events")
        assert predicate is not None
        return frame.filter(predicate)["event_id"].to_list()

    assert kept("ide:zed") == ["2", "6"]
    assert kept("ide:zed", "ide:vscode") == ["1", "2", "6"]
    assert kept("ide:zed", "ide:vscode", "auto:true") == ["1", "6"]
    assert kept("no pair") == []
    assert Filters(WINDOW, properties=("ide:zed",)).predicate("sessions") is None


def test_sql_stays_a_superset_of_what_properties_and_segments_keep():
    plain = Filters(WINDOW, tiers=("paid",))
    narrowed = Filters(WINDOW, tiers=("paid",), properties=("ide:zed",), segments=("internal",))

    assert narrowed.where("events") == plain.where("events")
