"""What people use, how soon, how widely, and together with what: rows in, rows out."""

from __future__ import annotations

import json

import pytest
from frames import day, event, events, instant, window

from data_access import metrics
from data_access.metrics.common import MetricError
from data_access.metrics.features import COMBINED_MAX, NOT_FEATURES
from data_access.window import WindowError
from ingest.vocabulary import share_of

WEEK = window("2026-01-05", "2026-01-12")


def call(when: str, user: str = "ada", tool: str = "search", **columns: object):
    """Return a call of a tool."""
    said = json.dumps({"tool_name": tool, "top_k": 5})
    return event(when, user, "server_operation_called", metadata=said, **columns)


def load(when: str, user: str = "ada", **columns: object):
    """Return a use of the feature `context_loaded`."""
    return event(when, user, "context_loaded", **columns)


# --- feature_usage -----------------------------------------------------------------------------


def test_a_feature_counts_people_and_uses_by_the_tier_of_each_event():
    given = events(
        call("2026-01-05"),
        call("2026-01-06"),
        call("2026-01-07", user_tier="paid"),
        load("2026-01-05", "ben", weight=3.0),
        event("2026-01-05", "cleo", "session_started"),
        call("2026-01-04"),
        call("2026-01-12"),
    )

    assert metrics.feature_usage(given, WEEK).collect().rows() == [
        ("context_loaded", "free", 3.0, 3.0, 5.0, 0.6),
        ("context_loaded", "paid", 0.0, 0.0, 1.0, 0.0),
        ("search", "free", 1.0, 2.0, 5.0, 0.2),
        ("search", "paid", 1.0, 1.0, 1.0, 1.0),
    ]


@pytest.mark.parametrize("name", [*NOT_FEATURES, "observer_turn_rollup", "any_rollup", ""])
def test_what_the_product_does_by_itself_is_no_feature(name):
    given = events(event("2026-01-05", name=name), load("2026-01-05", "ben"))

    found = metrics.feature_usage(given, WEEK, by=None, active_events=None).collect()

    assert found.rows() == [("context_loaded", 1.0, 1.0, 2.0, 0.5)]


def test_usage_by_week_has_every_feature_in_every_week_and_says_which_are_over():
    given = events(call("2026-01-07"), load("2026-01-13", "ben"), load("2026-01-14", "ben"))

    found = metrics.feature_usage(
        given, window("2026-01-07", "2026-01-21"), by=None, every="1w"
    ).collect()

    first, second, third = day("2026-01-05"), day("2026-01-12"), day("2026-01-19")
    assert found.rows() == [
        ("context_loaded", first, 0.0, 0.0, 1.0, 0.0, True),
        ("context_loaded", second, 1.0, 2.0, 1.0, 1.0, True),
        ("context_loaded", third, 0.0, 0.0, 0.0, None, False),
        ("search", first, 1.0, 1.0, 1.0, 1.0, True),
        ("search", second, 0.0, 0.0, 1.0, 0.0, True),
        ("search", third, 0.0, 0.0, 0.0, None, False),
    ]


def test_usage_goes_by_any_column_or_metadata_key_and_none_is_a_group():
    given = events(
        event("2026-01-05", "ada", "code_insert", metadata='{"ide": "zed"}'),
        event("2026-01-05", "ben", "code_insert"),
    )

    found = metrics.feature_usage(given, WEEK, by="ide").collect()

    assert found.columns[:2] == ["feature", "ide"]
    assert found.rows() == [
        ("code_insert", None, 1.0, 1.0, 1.0, 1.0),
        ("code_insert", "zed", 1.0, 1.0, 1.0, 1.0),
    ]


def test_a_use_by_nobody_is_a_use_and_no_person():
    found = metrics.feature_usage(
        events(load("2026-01-05", None)), WEEK, by=None
    ).collect()  # fmt: skip

    assert found.rows() == [("context_loaded", 0.0, 1.0, 0.0, None)]


def test_usage_says_which_options_it_cannot_work_with():
    with pytest.raises(MetricError, match="'users'"):
        metrics.feature_usage(events(), WEEK, by="users")
    with pytest.raises(MetricError, match="no metadata key"):
        metrics.feature_usage(events(), WEEK, by='a"b')
    with pytest.raises(WindowError):
        metrics.feature_usage(events(), WEEK, every="1h")


# --- feature_adoption --------------------------------------------------------------------------


def test_adoption_starts_with_the_first_use_in_all_history_and_people_grow_too():
    given = events(
        call("2025-12-01"),
        call("2026-01-06"),
        event("2026-01-06", "ben"),
        call("2026-01-13", "ben"),
        load("2026-01-14", "ben"),
        event("2026-01-14", "cleo"),
        event("2026-01-14", "dan"),
        call("2026-02-02", "dan"),
    )

    found = metrics.feature_adoption(given, window("2026-01-05", "2026-01-20")).collect()

    first, second, third = day("2026-01-05"), day("2026-01-12"), day("2026-01-19")
    assert found.rows() == [
        ("context_loaded", first, 0.0, 0.0, 2.0, 0.0, True),
        ("context_loaded", second, 1.0, 1.0, 4.0, 0.25, True),
        ("context_loaded", third, 0.0, 1.0, 4.0, 0.25, False),
        ("search", first, 0.0, 1.0, 2.0, 0.5, True),
        ("search", second, 1.0, 2.0, 4.0, 0.5, True),
        ("search", third, 0.0, 2.0, 4.0, 0.5, False),
    ]


# --- breadth and depth -------------------------------------------------------------------------


def test_breadth_and_depth_of_each_person():
    given = events(
        call("2026-01-05T09:00"),
        call("2026-01-05T10:00"),
        load("2026-01-05"),
        event("2026-01-06"),
        event("2026-01-05", "ben"),
        load("2026-01-04", "cleo"),
        event("2026-01-05", "dan", "error"),
    )

    assert metrics.feature_people(given, WEEK).collect().rows() == [
        ("ada", 2, 3.0, 2, 1.5, 1.0),
        ("ben", 0, 0.0, 1, 0.0, 1.0),
    ]
    assert metrics.feature_breadth(given, WEEK).collect().rows() == [
        (0, 1.0, 0.5, 0.0, 1.0),
        (1, 0.0, 0.0, None, None),
        (2, 1.0, 0.5, 1.5, 2.0),
    ]


def test_of_a_sample_each_chosen_person_keeps_their_own_uses():
    chosen = [user for user in map(str, range(400)) if share_of(user) < 0.1][:12]
    left_out = [user for user in map(str, range(400)) if share_of(user) > 0.5][:12]
    given = events(
        *(call("2026-01-05", user, weight=10.0) for user in chosen),
        *(load("2026-01-05", user, result="failure") for user in chosen),
        *(load("2026-01-05", user, result="failure") for user in left_out),
    )

    assert metrics.feature_breadth(given, WEEK).collect().rows()[2] == (2, 120.0, 1.0, 2.0, 1.0)
    assert metrics.feature_people(given, WEEK).collect().rows() == [
        (user, 2, 2.0, 1, 2.0, 10.0) for user in sorted(chosen)
    ]


# --- co_usage ----------------------------------------------------------------------------------


def test_pairs_count_the_sessions_with_both_and_compare_with_chance():
    given = events(
        call("2026-01-05", session_id="a"),
        load("2026-01-05", session_id="a"),
        load("2026-01-05", session_id="a"),
        call("2026-01-06", session_id="b"),
        event("2026-01-06", name="code_insert", session_id="b"),
        call("2026-01-07", "ben", session_id="c"),
        load("2026-01-08", "ben", session_id="d"),
        event("2026-01-08", "ben", session_id="e"),
        load("2026-01-08", "ben", session_id=""),
        call("2026-01-08", "ben", session_id=None),
    )

    assert metrics.co_usage(given, WEEK).collect().rows() == [
        ("code_insert", "context_loaded", 0.0, 1.0, 2.0, 4.0, 0.0, 0.0),
        ("code_insert", "search", 1.0, 1.0, 3.0, 4.0, 0.25, pytest.approx(4 / 3)),
        ("context_loaded", "search", 1.0, 2.0, 3.0, 4.0, 0.25, pytest.approx(2 / 3)),
    ]


def test_tools_alone_are_paired_when_asked():
    given = events(
        call("2026-01-05", session_id="a"),
        call("2026-01-05", tool="update", session_id="a"),
        load("2026-01-05", session_id="b"),
    )

    assert metrics.co_usage(given, WEEK, tools_only=True).collect().rows() == [
        ("search", "update", 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    ]


def test_only_the_features_in_most_sessions_are_paired():
    common = [f"tool-{number:02}" for number in range(COMBINED_MAX)]
    given = events(
        *(call("2026-01-05", tool=tool, session_id=s) for tool in common for s in "ab"),
        call("2026-01-05", tool="rare", session_id="a"),
    )

    found = metrics.co_usage(given, WEEK).collect()

    assert found.height == COMBINED_MAX * (COMBINED_MAX - 1) // 2
    assert {*found["feature"], *found["other"]} == set(common)
    assert set(found["sessions"]) == {2.0}
    assert set(found["lift"]) == {1.0}


@pytest.mark.parametrize("rows", [(), (load("2026-01-05", session_id="a"),)])
def test_without_two_features_there_is_no_pair(rows):
    assert metrics.co_usage(events(*rows), WEEK).collect().is_empty()


# --- feature_users -----------------------------------------------------------------------------


def test_the_people_behind_a_feature_and_behind_a_pair_in_one_session():
    given = events(
        call("2026-01-05T09:00", session_id="a"),
        load("2026-01-06T09:00", session_id="a"),
        call("2026-01-06T10:00", session_id="b", weight=2.0),
        call("2026-01-07", "ben", session_id="c"),
        load("2026-01-07", "ben", session_id="d"),
        call("2026-01-07", None, session_id="e"),
        call("2026-01-12", "cleo"),
    )

    alone = metrics.feature_users(given, WEEK, feature="search").collect()
    both = metrics.feature_users(given, WEEK, feature="search", other="context_loaded").collect()

    seventh = instant("2026-01-07")
    first, last = instant("2026-01-05T09:00"), instant("2026-01-06T10:00")
    assert alone.rows() == [
        ("ada", 3.0, 2, 2, first, last, 1.0),
        ("ben", 1.0, 1, 1, seventh, seventh, 1.0),
    ]
    assert both.rows() == [("ada", 2.0, 1, 2, first, instant("2026-01-06T09:00"), 1.0)]
    usage = metrics.feature_usage(given, WEEK, by=None).collect()
    assert alone["weight"].sum() == usage.filter(feature="search")["users"][0]
