"""What a feature goes with: days come back to it, and goals reached with it and without it."""

from __future__ import annotations

from typing import Any

import pytest
from frames import event, events, window

from data_access.metrics import compare_rates, feature_value

OVER = window("2026-01-01", "2026-02-01")
PAID = "paid_subscription_started"


def found(*rows: dict[str, Any], **options: Any) -> dict[str, dict[str, Any]]:
    return {
        row.pop("feature"): row
        for row in feature_value(events(*rows), OVER, **options).collect().to_dicts()
    }


def test_who_uses_a_feature_on_two_days_comes_back_to_it():
    rows = found(
        event("2026-01-05T09:00", "often", "code_insert"),
        event("2026-01-06T09:00", "often", "code_insert"),
        event("2026-01-05T09:00", "twice a day", "code_insert"),
        event("2026-01-05T19:00", "twice a day", "code_insert"),
    )

    assert rows["code_insert"]["users"] == 2
    assert rows["code_insert"]["users_again"] == 1
    assert rows["code_insert"]["again_rate"] == 0.5


def test_the_goal_is_reached_with_a_feature_used_before_it_and_without_one_used_after():
    rows = found(
        event("2026-01-05", "before", "code_insert"),
        event("2026-01-06", "before", PAID),
        event("2026-01-05", "after", PAID),
        event("2026-01-06", "after", "code_insert"),
        event("2026-01-05", "never", "code_insert"),
        event("2026-01-05", "neither"),
    )

    one = rows["code_insert"]
    assert (one["with_users"], one["with_reached"], one["with_rate"]) == (2, 1, 0.5)
    assert (one["without_users"], one["without_reached"], one["without_rate"]) == (2, 1, 0.5)
    assert one["users"] == 3


def test_who_pays_already_can_convert_no_more_but_uses_features():
    rows = found(
        event("2026-01-05", "pays", "code_insert", is_paid_user=True),
        event("2026-01-05", "free", "code_insert"),
    )

    assert rows["code_insert"]["users"] == 2
    assert rows["code_insert"]["with_users"] == 1
    assert rows["code_insert"]["without_users"] == 0
    assert rows["code_insert"]["without_rate"] is None


def test_a_tool_is_a_feature_and_what_the_product_does_by_itself_is_none():
    rows = found(
        event("2026-01-05", "u", "server_operation_called", metadata='{"tool_name": "rag"}'),
        event("2026-01-05", "u", "session_ended"),
        event("2026-01-05", None, "code_insert"),
    )

    assert list(rows) == ["rag"]


def test_another_goal_can_be_asked_about():
    rows = found(
        event("2026-01-05", "u", "code_insert"),
        event("2026-01-06", "u", "context_merged"),
        goal="context_merged",
    )

    assert rows["code_insert"]["with_rate"] == 1.0
    assert rows["context_merged"]["with_users"] == 0


def crowd(prefix: str, people: int, reached: int, *names: str) -> list[dict[str, Any]]:
    """Return so many people who used `names`, of whom some reached the goal."""
    return [
        event("2026-01-05", f"{prefix}{number}", name)
        for number in range(people)
        for name in ("session_started", *names)
    ] + [event("2026-01-06", f"{prefix}{number}", PAID) for number in range(reached)]


def test_a_difference_is_told_with_its_p_value_corrected_for_all_features():
    rows = found(
        *crowd("with", 100, 40, "code_insert"),
        *crowd("without", 100, 10),
        *crowd("both", 50, 5, "code_insert", "context_merged"),
    )

    one, other = rows["code_insert"], rows["context_merged"]
    assert (one["with_rate"], one["without_rate"]) == (45 / 150, 0.1)
    assert one["lift"] == pytest.approx(2.0)
    alone = compare_rates((10, 100), (45, 150)).p_value
    assert one["p_value"] == pytest.approx(2 * alone)
    assert other["p_value"] >= compare_rates((50, 200), (5, 50)).p_value


def test_too_few_people_on_either_side_say_nothing():
    rows = found(*crowd("with", 29, 20, "code_insert"), *crowd("without", 100, 10))

    assert rows["code_insert"]["with_rate"] == pytest.approx(20 / 29)
    assert rows["code_insert"]["lift"] is None
    assert rows["code_insert"]["p_value"] is None
