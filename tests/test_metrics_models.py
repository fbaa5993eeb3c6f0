"""Models, costs, savings, credits, properties and people at the same moment: rows in, rows out."""

from __future__ import annotations

import json

import pytest
from frames import day, event, events, instant, window

from data_access import metrics
from data_access.metrics.common import MetricError
from data_access.window import WindowError

WEEK = window("2026-01-05", "2026-01-12")


def said(when: str, user: str = "ada", name: str = "server_operation_called", **metadata: object):
    """Return an event whose metadata is the keywords."""
    return event(when, user, name, metadata=json.dumps(metadata), session_id=f"s-{user}")


# --- models ----------------------------------------------------------------------------------


def test_a_call_falls_under_its_provider_and_model_whatever_its_client_calls_things():
    new = {"provider": "anthropic", "model": "opus", "tokens_input": 10, "tokens_output": 2}
    old = {"api_provider": "anthropic", "top_model": "opus", "input_tokens": 5, "output_tokens": 1}
    given = events(
        said("2026-01-05", **new, cost_usd=0.5) | {"duration_ms": 100.0},
        said("2026-01-06", "ben", **old, total_cost_usd=0.25) | {"duration_ms": 300.0},
        said("2026-01-06", "ben", **new) | {"result": "timeout", "duration_ms": 500.0},
        said("2026-01-07", provider="openai", model="gpt", cost_usd="1.5"),
        said("2026-01-07", tokens_input=3),
        said("2026-01-07", ide="zed"),
        said("2026-01-12", **new),
    )

    found = metrics.models(given, WEEK).collect()

    assert found.drop("duration_ms_p50", "duration_ms_p95").rows() == [
        (None, None, 1.0, 1.0, 3.0, 0.0, 0.0, 0.0, 0.0, 2),
        ("anthropic", "opus", 3.0, 2.0, 25.0, 5.0, 0.75, 1.0, 1 / 3, 1),
        ("openai", "gpt", 1.0, 1.0, 0.0, 0.0, 1.5, 0.0, 0.0, 2),
    ]
    assert found["duration_ms_p50"].to_list() == [None, 300.0, None]
    assert found["duration_ms_p95"].to_list() == [None, 480.0, None]


def test_an_event_that_sums_up_turns_is_as_many_calls_with_its_own_outcomes():
    rollup = {"top_model": "opus", "total_cost_usd": 2.0, "tokens_input": 900}
    given = events(
        said("2026-01-05", name="observer_turn_rollup", **rollup, turns=10)
        | {"duration_ms": 9_000.0, "weight": 2.0},
        said("2026-01-06", name="observer_turn_rollup", **rollup, turns=4, outcome_ok=1)
        | {"result": "error"},
        said("2026-01-06", name="observer_turn_rollup", **rollup, count=5, outcome_error=9)
        | {"weight": 2.0},
        said("2026-01-06", name="observer_turn_rollup", **rollup, count=3) | {"result": "error"},
        said("2026-01-06", name="other", **rollup, count=7),
    )

    [row] = metrics.models(given, WEEK).collect().iter_rows(named=True)

    assert row["calls"] == 20 + 4 + 10 + 3 + 1
    assert row["failures"] == 2 * 5 + 3  # never more than there are turns
    assert row["cost_usd"] == 2 * 2 + 2 + 2 * 2 + 2 + 2
    assert row["duration_ms_p50"] is None  # of ten turns together


def test_people_count_once_with_their_smallest_weight_and_nobody_is_no_person():
    call = {"model": "m"}
    given = events(
        said("2026-01-05", **call) | {"weight": 10.0},
        said("2026-01-06", **call) | {"weight": 4.0},
        said("2026-01-06", **call) | {"user_id_hash": None},
    )

    [row] = metrics.models(given, WEEK, by=("model",)).collect().iter_rows(named=True)

    assert (row["calls"], row["users"]) == (15.0, 4.0)


def test_models_by_period_have_a_row_for_every_day_and_a_rank_of_their_own():
    given = events(
        said("2026-01-05", model="a", cost_usd=1),
        said("2026-01-06", model="a"),
        said("2026-01-06", model="b"),
        said("2026-01-06", model="b"),
    )

    found = metrics.models(given, window("2026-01-05", "2026-01-07"), by=("model",), every="1d")

    assert found.select("period", "model", "calls", "cost_usd", "rank").collect().rows() == [
        (day("2026-01-05"), "a", 1.0, 1.0, 1),
        (day("2026-01-05"), "b", 0.0, 0.0, 2),
        (day("2026-01-06"), "a", 1.0, 0.0, 2),
        (day("2026-01-06"), "b", 2.0, 0.0, 1),
    ]


def test_models_of_everything_are_one_row_also_when_there_are_none():
    [row] = metrics.models(events(), WEEK, by=()).collect().iter_rows(named=True)

    assert (row["calls"], row["users"], row["cost_usd"], row["error_rate"]) == (0, 0, 0, None)


def test_models_group_by_any_column_or_key_but_by_no_name_of_their_own():
    given = events(said("2026-01-05", model="a", language="go") | {"channel": "web"})

    found = metrics.models(given, WEEK, by=("channel", "language")).collect()

    assert found.select("channel", "language", "calls").rows() == [("web", "go", 1.0)]
    with pytest.raises(MetricError, match="grouped by 'cost_usd'"):
        metrics.models(given, WEEK, by=("cost_usd",))


def test_observations_are_told_by_model_and_type_and_injected_ones_are_not_made_again():
    given = events(
        said(
            "2026-01-05", model="m", observations_created=5, obs_type_bugfix=2, obs_type_feature=1
        ),
        said("2026-01-06", model="m", obs_type_bugfix=3),
        said("2026-01-06", observation_count=4) | {"weight": 2.0},
        said("2026-01-06", name="context_injected", observation_count=40),
        said("2026-01-06", name="context_injected_rollup", obs_type_bugfix=40),
        said("2026-01-06", observations_created=0, obs_type_bugfix="many"),
    )

    assert metrics.observations(given, WEEK).collect().rows() == [
        (None, None, 8.0, 2.0),
        ("m", None, 2.0, 1.0),
        ("m", "bugfix", 5.0, 2.0),
        ("m", "feature", 1.0, 1.0),
    ]
    total = metrics.costs(given, WEEK, every=None).collect()["observations"].item()
    assert total == metrics.observations(given, WEEK).collect()["observations"].sum()


# --- costs -----------------------------------------------------------------------------------


def test_costs_are_shared_among_all_sessions_active_people_and_observations():
    given = events(
        said("2026-01-05T09:00", cost_usd=3, tokens_input=10, tokens_output=4),
        said("2026-01-05T10:00", "ben", observations_created=2),
        said("2026-01-05T11:00", "cy", "context_loaded"),
        said("2026-01-06T09:00", "ben", "code_insert", total_cost_usd=1) | {"session_id": ""},
    )

    found = metrics.costs(given, window("2026-01-05", "2026-01-08")).collect()

    assert found.drop("complete").rows() == [
        (day("2026-01-05"), 3.0, 10.0, 4.0, 2.0, 3.0, 2.0, 1.0, 1.5, 1.5),
        (day("2026-01-06"), 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, None, None, None),
        (day("2026-01-07"), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, None, None, None),
    ]
    assert found["complete"].all()


def test_costs_of_the_whole_window_count_people_and_sessions_once():
    given = events(
        said("2026-01-05", cost_usd=1),
        said("2026-01-06", cost_usd=2),
        said("2026-02-01", cost_usd=9),
    )

    [row] = metrics.costs(given, WEEK, every=None).collect().iter_rows(named=True)

    assert (row["cost_usd"], row["sessions"], row["users"]) == (3.0, 1.0, 1.0)
    assert (row["cost_per_session"], row["cost_per_user"]) == (3.0, 3.0)
    assert "period" not in row


def test_savings_may_be_losses():
    given = events(
        said("2026-01-05", tokens_saved_vs_naive=100),
        said("2026-01-05", "ben", tokens_saved_vs_naive=-300) | {"weight": 2.0},
        said("2026-01-06", total_tokens_saved_vs_naive=50),
        said("2026-01-06", tokens_saved_vs_naive=7, total_tokens_saved_vs_naive=50),
        said("2026-01-06", tokens_saved_vs_naive="much"),
    )

    found = metrics.savings_against_naive(given, window("2026-01-05", "2026-01-08")).collect()

    assert found.drop("complete").rows() == [
        (day("2026-01-05"), -500.0, -600.0, 3.0, 3.0, -500 / 3),
        (day("2026-01-06"), 57.0, 0.0, 2.0, 1.0, 28.5),
        (day("2026-01-07"), 0.0, 0.0, 0.0, 0.0, None),
    ]


def test_credits_go_under_their_plan_and_those_of_a_cancellation_are_not_given():
    given = events(
        said("2026-01-05", name="paid_subscription_started", plan="pro", credits=500),
        said("2026-01-05", name="paid_subscription_canceled", plan="pro", credits=500),
        said("2026-01-13", "ben", "paid_subscription_started", credits=20),
    )

    found = metrics.credits_by_plan(given, window("2026-01-05", "2026-01-19")).collect()

    assert found.drop("complete").rows() == [
        (day("2026-01-05"), None, 0.0, 0.0, 0.0),
        (day("2026-01-05"), "pro", 500.0, 1.0, 1.0),
        (day("2026-01-12"), None, 20.0, 1.0, 1.0),
        (day("2026-01-12"), "pro", 0.0, 0.0, 0.0),
    ]


# --- properties ------------------------------------------------------------------------------


def test_people_count_under_every_value_they_name_and_under_none_only_without_one():
    given = events(
        said("2026-01-05", "ada", language="go"),
        said("2026-01-06", "ada", language="rust"),
        said("2026-01-06", "ben", language="go"),
        said("2026-01-06", "ben"),
        said("2026-01-06", "cy", language=""),
        said("2026-01-12", "late", language="go"),
    )

    assert metrics.by_property(given, WEEK, key="language").collect().rows() == [
        (None, 2.0, 1.0, 1.0, 1 / 3),
        ("go", 2.0, 2.0, 2.0, 2 / 3),
        ("rust", 1.0, 1.0, 1.0, 1 / 3),
    ]


def test_values_beyond_the_largest_and_small_groups_are_one_other_group():
    given = events(
        *(said("2026-01-05", user, language="go") for user in ("ada", "ben", "cy")),
        *(said("2026-01-05", user, language="rust") for user in ("ada", "ben")),
        said("2026-01-05", "ada", language="c"),
        said("2026-01-05", "ada", language="d"),
        said("2026-01-05", "ben", language="other"),
    )

    def rows(**options: object) -> list[tuple]:
        found = metrics.by_property(given, WEEK, key="language", **options).collect()
        return found.select("value", "events", "users").rows()

    assert rows(most=2) == [("go", 3.0, 3.0), ("other", 3.0, 2.0), ("rust", 2.0, 2.0)]
    assert rows(least_users=2) == [("go", 3.0, 3.0), ("other", 3.0, 2.0), ("rust", 2.0, 2.0)]
    assert rows(least_users=3) == [("go", 3.0, 3.0)]
    with pytest.raises(MetricError, match="most=0"):
        metrics.by_property(given, WEEK, most=0)


def test_a_property_by_period_keeps_its_values_and_quiet_periods_and_its_channels():
    given = events(
        said("2026-01-05", "ada", ide="zed") | {"channel": "extension"},
        said("2026-01-06", "ben", ide="vim") | {"channel": "server"},
        said("2026-01-07", "ada", ide="zed") | {"channel": "extension"},
        said("2026-01-07", "cy") | {"channel": "extension"},
    )

    found = metrics.by_property(
        given,
        window("2026-01-05", "2026-01-08"),
        key="ide",
        every="1d",
        channels=("extension",),
    )

    assert found.select("period", "value", "users", "share").collect().rows() == [
        (day("2026-01-05"), None, 0.0, 0.0),
        (day("2026-01-05"), "zed", 1.0, 1.0),
        (day("2026-01-06"), None, 0.0, None),
        (day("2026-01-06"), "zed", 0.0, None),
        (day("2026-01-07"), None, 1.0, 0.5),
        (day("2026-01-07"), "zed", 1.0, 0.5),
    ]


def test_a_property_may_be_a_column():
    given = events(said("2026-01-05"), said("2026-01-05", "ben") | {"channel": "web"})

    found = metrics.by_property(given, WEEK, key="channel").collect()

    assert found.select("value", "users").rows() == [("server", 1.0), ("web", 1.0)]


def test_the_people_behind_a_value_are_those_that_are_counted():
    given = events(
        said("2026-01-05", "ada", language="go"),
        said("2026-01-06", "ada", language="go") | {"weight": 2.0},
        said("2026-01-05", "ada", language="c"),
        said("2026-01-06", "ben", language="go"),
        said("2026-01-06", "ben"),
        said("2026-01-06", "cy"),
    )

    assert metrics.property_users(given, WEEK, most=1).collect().rows() == [
        (None, "cy", 0.0, 1.0),
        ("go", "ada", 3.0, 1.0),
        ("go", "ben", 1.0, 1.0),
        ("other", "ada", 1.0, 1.0),
    ]


# --- at the same moment ----------------------------------------------------------------------


def test_people_at_the_same_moment_overlap_also_where_one_comes_as_another_goes():
    given = events(
        event("2026-01-05T09:00", "ada"),
        event("2026-01-05T09:20", "ada"),
        event("2026-01-05T09:20", "ben"),
        event("2026-01-05T09:40", "ben"),
        event("2026-01-05T10:05", "ben"),
        event("2026-01-05T09:30", "cy"),
    )

    found = metrics.concurrent_users(given, window("2026-01-05", "2026-01-06")).collect()

    assert found.height == 24
    assert found.filter(found["users"] > 0).rows() == [
        (instant("2026-01-05T09:00"), 2.0),
        (instant("2026-01-05T10:00"), 1.0),
    ]


def test_somebody_who_stays_is_here_in_the_hours_without_an_event():
    given = events(*(event(f"2026-01-05T{time}", "ada") for time in ("08:50", "10:10")))

    found = metrics.concurrent_users(given, window("2026-01-05", "2026-01-06"), gap="2h").collect()

    assert found["users"].to_list() == [0.0] * 8 + [1.0] * 3 + [0.0] * 13


def test_the_most_people_of_a_day_are_those_of_its_own_midnight():
    """23:30 UTC is the next day in Berlin, and who came before midnight is still here then."""
    given = events(
        event("2026-01-05T22:50", "ada"), event("2026-01-05T23:10", "ada"),
        event("2026-01-05T23:30", "ben"),
    )  # fmt: skip
    berlin = window("2026-01-05", "2026-01-08", timezone="Europe/Berlin")

    found = metrics.concurrent_users(given, berlin, every="1d").collect()

    assert found.rows() == [
        (day("2026-01-05"), 1.0),
        (day("2026-01-06"), 1.0),
        (day("2026-01-07"), 0.0),
    ]
    with pytest.raises(WindowError, match="not per '5m'"):
        metrics.concurrent_users(given, berlin, every="5m")
