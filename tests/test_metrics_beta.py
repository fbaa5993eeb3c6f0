"""Facts about testers, how far newcomers get, the life of contexts, and releases."""

from __future__ import annotations

from frames import day, error, errors, event, events, instant, trace, traces, window

from data_access.metrics import beta  # pytest would take a bare `testers` for a test
from data_access.metrics.beta import STEPS, activation, context_lifecycle
from data_access.metrics.releases import releases

WEEK = window("2026-01-05", "2026-01-12")


def test_a_tester_is_described_by_history_and_counted_inside_the_window():
    used = events(
        event("2025-12-01", "ada", user_tier="free"),
        event("2026-01-05T09:00", "ada", session_id="s1", user_tier="paid"),
        event("2026-01-05T10:00", "ada", "context_created", session_id="s1", weight=2.0),
        event("2026-01-06T10:00", "ada", "context_auto_created", session_id="s2", user_tier=""),
        event("2026-01-07T10:00", "ada", "context_protection_triggered", user_tier=None),
        event("2026-01-07T10:00", "ada", "context_protection_blocked", user_tier="trial"),
        event("2026-01-07T10:00", "ada", "context_override_manual", user_tier=None),
    )
    met = errors(
        error("2026-01-06", "ada", occurrences=3),
        error("2026-01-06", "ada", group_hash="g2"),
        error("2025-12-24", "ada", group_hash="g3"),
    )

    (row,) = beta.testers(used, met, WEEK).collect().rows(named=True)

    assert row == {
        "user_id_hash": "ada",
        "tier": "trial",
        "first_seen": instant("2025-12-01"),
        "last_seen": instant("2026-01-07T10:00"),
        "quiet_days": 4,
        "days_active": 1,
        "sessions": 2.0,
        "events": 7.0,
        "contexts_created": 3.0,
        "contexts_loaded": 0.0,
        "contexts_resumed": 0.0,
        "protections_triggered": 1.0,
        "protections_blocked": 1.0,
        "overrides": 1.0,
        "errors": 4.0,
        "error_groups": 2,
    }


def test_a_silent_tester_and_one_who_only_meets_errors_have_a_row():
    used = events(
        event("2025-12-01", "silent"), event("2026-01-12", "later"), event("2026-01-11", "today")
    )
    met = errors(error("2026-01-10", "unlucky"))

    result = beta.testers(used, met, WEEK).collect()

    assert result.select("user_id_hash", "quiet_days", "days_active", "errors").rows() == [
        ("silent", 41, 0, 0.0),
        ("today", 0, 1, 0.0),
        ("unlucky", 1, 0, 1.0),
    ]


def test_quiet_days_are_days_of_the_windows_timezone():
    over = window("2026-01-05", "2026-01-12", timezone="Asia/Tokyo")

    result = beta.testers(events(event("2026-01-10T20:00Z")), errors(), over).collect()

    assert result["quiet_days"].item() == 0


def test_activation_follows_those_first_seen_in_the_window():
    given = events(
        event("2026-01-06T00:00", "ada", "install"),
        event("2026-01-06T00:10", "ada", "context_created"),
        event("2026-01-06T00:30", "ada", "context_resumed"),
        event("2026-01-08T00:00", "ada", "session_resumed_from_context"),
        event("2026-01-06T00:00", "bob"),
        event("2026-01-06T00:20", "bob", "context_auto_created"),
        event("2026-01-06T00:30", "bob", "context_loaded", result="failure"),
        event("2026-01-13T00:00", "bob"),
        event("2025-12-31", "veteran"),
        event("2026-01-06", "veteran", "context_created"),
    )

    result = activation(given, WEEK).collect()

    assert result.rows() == [
        (0, STEPS[0], 2.0, 1.0, 0.0),
        (1, STEPS[1], 2.0, 1.0, 900.0),
        (2, STEPS[2], 1.0, 0.5, 1800.0),
        (3, STEPS[3], 1.0, 0.5, 172_800.0),
        (4, STEPS[4], 1.0, 0.5, 172_800.0),
    ]


def test_activation_of_nobody_has_every_step():
    assert activation(events(), WEEK).collect().select("users", "rate_from_first").rows() == [
        (0.0, None)
    ] * len(STEPS)


def test_the_context_lifecycle_keeps_quiet_weeks_and_ignores_other_events():
    given = events(
        event("2026-01-06", name="context_created", weight=2.0),
        event("2026-01-06", name="context_merged", result="failure"),
        event("2026-01-06", name="context_override_manual"),
        event("2026-01-06", name="session_started"),
    )

    result = context_lifecycle(given, window("2026-01-05", "2026-01-20")).collect()

    assert result["period"].to_list() == [day(f"2026-01-{number}") for number in ("05", 12, 19)]
    assert result.row(0)[1:] == (2.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, True)
    assert result.row(1)[1:-1] == (0.0,) * 10
    assert result["complete"].to_list() == [True, True, False]


def test_a_release_in_use_says_since_when_by_how_many_and_how_well():
    used = events(
        event("2025-12-01", release="1.0"),
        event("2026-01-06", "ada", release="1.0", result="failure"),
        event("2026-01-06", "bob", release="1.0", weight=3.0),
        event("2025-12-02", release="0.9"),
        event("2026-01-06", release=None),
        event("2026-01-06", release=""),
    )
    timed = traces(
        trace("2026-01-07", duration_ms=10.0, release="1.1"),
        trace("2026-01-07", duration_ms=30.0, release="1.1"),
    )

    assert releases(used, timed, WEEK).collect().rows() == [
        ("1.0", instant("2025-12-01"), 4.0, 4.0, 0.25, None),
        ("1.1", instant("2026-01-07"), 0.0, 0.0, None, 29.0),
    ]
