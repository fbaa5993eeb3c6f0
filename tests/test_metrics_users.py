"""Facts about people in a row each, and about one person: tiers, sessions, tools, errors, waits."""

from __future__ import annotations

import pytest
from frames import error, errors, event, events, instant, trace, traces, window

from data_access.metrics import (
    people_events,
    user_errors,
    user_latency,
    user_rows,
    user_sessions,
    user_tiers,
    user_timeline,
    user_tools,
    users,
)
from data_access.metrics.common import MetricError

JANUARY = window("2026-01-01", "2026-02-01")
CALLED = "server_operation_called"


def test_a_person_has_their_history_and_their_window_in_one_row():
    did = events(
        event("2025-06-01", session_id="s0"),
        event("2026-01-02T09:00", session_id="s1", user_tier="trial", weight=2.0),
        event("2026-01-02T10:00", name=CALLED, session_id="s1", source_name="search_context"),
        event("2026-01-03", name=CALLED, metadata='{"tool_name": "save"}', session_id=""),
        event("2026-01-04", name="context_loaded", session_id="s2", user_tier="paid"),
        event("2026-02-01", user_tier="enterprise"),
    )
    met = errors(error("2026-01-02", occurrences=3, weight=2.0, user_tier="free"))
    felt = traces(*(trace("2026-01-05T09:00", duration_ms=ms) for ms in (100.0, 200.0, None)))

    assert users(did, met, felt, JANUARY).collect().rows(named=True) == [
        {
            "user_id_hash": "ada",
            "tier": "paid",
            "paying": True,
            "first_seen": instant("2025-06-01"),
            "last_seen": instant("2026-01-05T09:00"),
            "days_active": 2,
            "sessions": 2.0,
            "events": 5.0,
            "tools": 2,
            "errors": 6.0,
            "duration_ms_p95": 195.0,
        }
    ]


def test_the_silent_have_a_row_only_when_everybody_is_asked_for():
    did = events(event("2025-06-01", "old"), event("2026-01-02", "new"))
    nothing = (errors(), traces())

    assert users(did, *nothing, JANUARY).collect()["user_id_hash"].to_list() == ["new"]
    found = users(did, *nothing, JANUARY, everybody=True).collect()
    assert found.select("user_id_hash", "events", "sessions", "tools").rows() == [
        ("new", 1.0, 0.0, 0),
        ("old", 0.0, 0.0, 0),
    ]


def test_somebody_with_nothing_but_an_error_or_a_trace_is_somebody():
    found = users(
        events(),
        errors(error("2026-01-02", "bob")),
        traces(trace("2026-01-02", user="cy")),
        JANUARY,
    ).collect()

    assert found.select("user_id_hash", "events", "errors", "duration_ms_p95").rows() == [
        ("bob", 0.0, 1.0, None),
        ("cy", 0.0, 0.0, 100.0),
    ]


@pytest.mark.parametrize(
    ("prefix", "found"),
    [("ab", ["AB1", "abc"]), (" ABC ", ["abc"]), ("", ["AB1", "abc", "x"]), (".*", []), ("c", [])],
)
def test_a_search_is_by_the_beginning_of_the_hash_whatever_the_case(prefix, found):
    did = events(event("2026-01-02", "abc"), event("2026-01-02", "AB1"), event("2026-01-02", "x"))

    rows = users(did, errors(), traces(), JANUARY, prefix=prefix).collect()
    assert rows["user_id_hash"].to_list() == found


def test_a_tier_lasts_until_the_next_one_and_says_what_changed_it():
    did = events(
        event("2025-06-01", name="install", user_tier="free"),
        event("2025-06-02", user_tier=None),
        event("2025-06-03", user_tier="free", weight=2.0),
        event("2026-01-02", name="paid_subscription_started", user_tier="paid"),
        event("2026-01-03", user_tier="paid"),
        event("2026-01-04", name="paid_subscription_canceled", user_tier="paid"),
        event("2026-01-05", name="context_loaded", user_tier="free"),
        event("2026-01-06", name="session_started", user_tier="enterprise"),
        event("2026-01-06", "bob", user_tier="trial"),
        event("2026-02-03", user_tier="free"),
    )

    found = user_tiers(did, JANUARY, user="ada").collect()
    assert found.select("tier", "how", "events").rows() == [
        ("free", "install", 3.0),
        ("paid", "paid_subscription_started", 3.0),
        ("free", "paid_subscription_canceled", 1.0),
        ("enterprise", "session_started", 1.0),
    ]
    assert found["until_at"].to_list() == [*found["from_at"].to_list()[1:], None]
    assert found["from_at"][1] == instant("2026-01-02")


def test_tiers_of_the_same_millisecond_come_in_the_order_of_their_ids():
    did = events(
        event("2026-01-02", user_tier="paid", event_id="2"),
        event("2026-01-02", user_tier="free", event_id="1"),
    )

    assert user_tiers(did, JANUARY, user="ada").collect()["tier"].to_list() == ["free", "paid"]


def test_sessions_are_newest_first_with_the_errors_that_name_them():
    did = events(
        event("2026-01-02T09:00", session_id="s1", weight=2.0),
        event("2026-01-02T09:30", session_id="s1"),
        event("2026-01-03T09:00", session_id="s2"),
        event("2026-01-03T10:00", session_id=""),
        event("2026-01-03T10:00", session_id=None),
        event("2026-01-03T10:00", "bob", session_id="s3"),
    )
    met = errors(
        error("2026-01-02T09:10", session_id="s1", occurrences=4),
        error("2026-01-02T09:10", session_id="s9"),
    )

    assert user_sessions(did, met, JANUARY, user="ada").collect().rows() == [
        (instant("2026-01-03T09:00"), "s2", 0.0, 1.0, 0.0),
        (instant("2026-01-02T09:00"), "s1", 1800.0, 3.0, 4.0),
    ]


def test_tools_are_most_called_first_by_their_own_or_their_older_name():
    did = events(
        event("2026-01-02", name=CALLED, metadata='{"tool_name": "save"}', duration_ms=100.0),
        event("2026-01-03", name=CALLED, source_name="mcp.search_context", duration_ms=300.0),
        event("2026-01-04", name=CALLED, source_name="search_context", result="failure"),
        event("2026-01-05", name="context_loaded", metadata='{"tool_name": "none"}'),
        event("2026-01-05", "bob", CALLED),
    )

    assert user_tools(did, JANUARY, user="ada").collect().rows() == [
        (2.0, "search_context", 1.0, 300.0, instant("2026-01-04")),
        (1.0, "save", 0.0, 100.0, instant("2026-01-02")),
    ]


def test_errors_are_a_persons_own_and_first_seen_is_when_they_first_met_it():
    met = errors(
        error("2025-06-01", "bob"),
        error("2025-07-01", error_message="no 1"),
        error("2026-01-02", error_message="no 2", occurrences=5),
        error("2026-01-03", group_hash="g2", severity="critical"),
        error("2025-07-01", group_hash="g3"),
    )

    found = user_errors(met, JANUARY, user="ada").collect()
    assert found.select("group_hash", "occurrences", "first_seen", "severity").rows() == [
        ("g2", 1.0, instant("2026-01-03"), "critical"),
        ("g1", 5.0, instant("2025-07-01"), "error"),
    ]


def test_latency_felt_stands_beside_everybodys():
    felt = traces(
        trace("2026-01-02", "search", 100.0),
        trace("2026-01-02", "search", 300.0, "bob", success=False),
        trace("2026-01-02", "save", 50.0, success=False),
        trace("2026-01-02", "load", 50.0, "bob"),
    )

    assert user_latency(felt, JANUARY, user="ada").collect().rows() == [
        ("save", 1.0, 1.0, 50.0, 50.0, 50.0, 50.0),
        ("search", 1.0, 0.0, 100.0, 100.0, 200.0, 290.0),
    ]


def everything() -> tuple:
    return (
        events(
            event("2026-01-02T09:00", metadata='{"ide": "zed"}', session_id="s"),
            event("2026-01-02T09:03", name="context_loaded", metadata="{}", duration_ms=5.0),
            event("2026-01-02T09:03", "bob"),
        ),
        errors(error("2026-01-02T09:01", error_message="x" * 600, severity="critical")),
        traces(trace("2026-01-02T09:02", success=False), trace("2026-03-01")),
    )


def test_a_timeline_is_all_three_tables_newest_first():
    found = user_timeline(*everything(), JANUARY, user="ada").collect()

    assert found.select("kind", "name", "result", "duration_ms", "detail").rows() == [
        ("event", "context_loaded", "success", 5.0, None),
        ("trace", "search", "failure", 100.0, None),
        ("error", "ValueError", "critical", None, "x" * 500),
        ("event", "session_started", "success", None, '{"ide": "zed"}'),
    ]


def test_a_timeline_is_cut_by_kind_and_name_and_goes_on_where_it_stopped():
    def names(**options) -> list[str]:
        return (
            user_timeline(*everything(), JANUARY, user="ada", **options).collect()["name"].to_list()
        )

    assert names(kinds=("error", "trace")) == ["search", "ValueError"]
    assert names(names=("session_started",)) == ["session_started"]
    assert names(limit=2) == ["context_loaded", "search"]
    assert names(limit=2, skip=2) == ["ValueError", "session_started"]
    assert names(limit=2, skip=4) == []


def test_the_rows_of_a_timeline_are_counted_as_written():
    did = events(event("2026-01-02", weight=10.0), event("2026-01-03"), event("2026-01-03", "bob"))
    found = user_rows(
        did, errors(error("2026-01-02", occurrences=9)), traces(), JANUARY, user="ada"
    )

    assert found.collect().rows() == [(2, "event", "session_started"), (1, "error", "ValueError")]


def test_the_events_of_several_people_come_newest_first():
    did = events(
        event("2026-01-02", "ada"),
        event("2026-01-03", "bob", "context_loaded"),
        event("2026-01-04", "cy"),
        event("2026-03-04", "ada"),
    )

    def found(**options) -> list[str]:
        return people_events(did, JANUARY, **options).collect()["user_id_hash"].to_list()

    assert found(users=("ada", "bob")) == ["bob", "ada"]
    assert found(users=("ada", "bob"), names=("session_started",)) == ["ada"]
    assert found(users=("ada", "bob", "cy"), limit=1) == ["cy"]
    assert found() == []


@pytest.mark.parametrize(
    "options", [{"limit": 0}, {"limit": 10_001}, {"skip": -1}, {"kinds": ()}, {"kinds": ("x",)}]
)
def test_a_timeline_nobody_could_read_is_refused(options):
    with pytest.raises(MetricError):
        user_timeline(*everything(), JANUARY, user="ada", **options)


def test_a_list_of_events_has_a_limit_too():
    with pytest.raises(MetricError, match="limit"):
        people_events(events(), JANUARY, users=("a",), limit=0)
