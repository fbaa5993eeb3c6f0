"""Churn: who was here in one period and is gone in the next, people and payers apart."""

from __future__ import annotations

import pytest
from frames import event, events, window

from data_access.metrics import churn, lifecycle

WEEKS = window("2026-01-12", "2026-01-26")  # two whole weeks


def found(*rows, **options):
    return churn(events(*rows), WEEKS, **options).collect().to_dicts()


def test_who_was_active_the_week_before_and_is_not_now_is_gone():
    first, second = found(
        event("2026-01-07", "stays"),
        event("2026-01-14", "stays"),
        event("2026-01-07", "leaves"),
        event("2026-01-14", "is new"),
    )

    assert (first["active_before"], first["gone"], first["churn_rate"]) == (2, 1, 0.5)
    assert (second["active_before"], second["gone"], second["churn_rate"]) == (2, 2, 1.0)
    assert first["complete"]


def test_nobody_before_is_no_rate():
    first, second = found(event("2026-01-14", "new"))

    assert first["churn_rate"] is None
    assert second["churn_rate"] == 1.0


def test_an_event_that_makes_nobody_active_keeps_nobody_here():
    first, _ = found(
        event("2026-01-07", "u"), event("2026-01-14", "u", "context_modified", is_paid_user=True)
    )

    assert (first["gone"], first["paying_before"]) == (1, 0)


def test_a_payer_who_cancels_is_paid_churn_and_somebody_who_just_began_is_not():
    paying = {"is_paid_user": True}
    first, _ = found(
        event("2026-01-07", "pays", **paying),
        event("2026-01-14", "pays", **paying),
        event("2026-01-07", "cancels", **paying),
        event("2026-01-13", "cancels", "paid_subscription_canceled"),
        event("2026-01-13", "tried", "paid_subscription_started", **paying),
        event("2026-01-15", "tried", "paid_subscription_canceled"),
    )

    assert (first["paying_before"], first["cancelled"], first["paid_churn_rate"]) == (2, 1, 0.5)


@pytest.mark.parametrize("every", ["1d", "1w", "1mo"])
def test_the_gone_are_the_dormant_of_lifecycle(every):
    rows = [
        event(f"2026-01-{day:02}", f"u{day % number}")
        for number in (2, 3, 5, 7)
        for day in range(1, 31)
        if (day * number) % 4
    ]

    gone = churn(events(*rows), WEEKS, every=every).collect()["gone"]
    dormant = lifecycle(events(*rows), WEEKS, every=every).collect()["dormant"]

    assert gone.to_list() == [-count for count in dormant]
