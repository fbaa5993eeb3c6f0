"""Facts about error groups, their occurrences, and errors by period and release."""

from __future__ import annotations

import polars as pl
import pytest
from frames import day, error, errors, event, events, instant, window

from data_access.metrics.errors import (
    error_groups,
    error_occurrences,
    errors_by_period,
    errors_by_release,
)

THREE_DAYS = window("2026-01-01", "2026-01-04")
TRACE = """Traceback (most recent call last):
  File "/srv/app/engine.py", line 12, in search
    return index[key]
KeyError: 'ada'"""


def groups(*rows: dict[str, object]) -> list[dict[str, object]]:
    return error_groups(errors(*rows), THREE_DAYS).collect().rows(named=True)


def test_a_group_is_told_by_its_hash_and_described_by_its_latest_row():
    given = [
        error("2026-01-01", error_type="OldError", error_message="old 1"),
        error("2026-01-03", error_type="KeyError", error_message="no key 'x9' in row 17",
              stack_trace=TRACE),
        error("2026-01-02", group_hash="g0"),
    ]  # fmt: skip

    first, second = groups(*given)

    assert first["group_hash"] == "g0"
    assert first["culprit"] == ""
    assert second["group_hash"] == "g1"
    assert second["error_type"] == "KeyError"
    assert second["message_template"] == "no key <str> in row <n>"
    assert second["culprit"] == "search (engine.py)"


def test_of_equal_times_the_later_event_id_is_the_latest():
    row = groups(
        error("2026-01-02", event_id="b", error_type="Second"),
        error("2026-01-02", event_id="a", error_type="First"),
    )[0]

    assert row["error_type"] == "Second"


def test_history_says_since_when_and_the_window_says_how_much():
    row = groups(
        error("2025-06-01", "old", user_tier="enterprise", severity="critical"),
        error("2026-01-01T08:00", "ada", user_tier="free", channel="web", release="1.0"),
        error("2026-01-03T08:00", "bob", user_tier="paid", release="1.1", session_id="s"),
        error("2026-01-03T09:00", "bob", user_tier="", severity="warning", session_id="s"),
        error("2026-01-04", "later"),
    )[0]

    assert (row["first_seen"], row["last_seen"]) == (
        instant("2025-06-01"),
        instant("2026-01-03T09:00"),
    )
    assert (row["occurrences"], row["users"], row["sessions"]) == (3.0, 2.0, 1.0)
    assert (row["tiers"], row["releases"]) == (["free", "paid"], ["1.0", "1.1"])
    assert row["channels"] == ["server", "web"]
    assert row["severity"] == "error"
    assert row["per_day"] == [1.0, 0.0, 2.0]


def test_a_group_of_the_past_alone_is_not_listed():
    assert groups(error("2025-12-31T23:59"), error("2026-01-04")) == []


def test_occurrences_multiply_with_weight_and_people_take_their_smallest():
    row = groups(
        error("2026-01-01", occurrences=40, weight=2.0),
        error("2026-01-02", occurrences=None, weight=5.0),
    )[0]

    assert (row["occurrences"], row["users"]) == (85.0, 2.0)
    assert row["per_day"] == [80.0, 5.0, 0.0]


def test_a_folded_row_reaches_back_to_its_first_and_on_to_its_last():
    row = groups(
        error(
            "2026-01-02",
            first_at=instant("2026-01-01T01:00"),
            last_at=instant("2026-01-02T05:00"),
        )
    )[0]

    assert row["first_seen"] == instant("2026-01-01T01:00")
    assert row["last_seen"] == instant("2026-01-02T05:00")


@pytest.mark.parametrize(
    ("met", "worst"),
    [
        (["debug", "critical", "error"], "critical"),
        (["info", "warning"], "warning"),
        (["fatal", "debug"], "debug"),
        (["fatal"], "fatal"),
    ],
)
def test_severity_is_the_worst_one_known(met: list[str], worst: str):
    rows = [error("2026-01-02", severity=severity) for severity in met]

    assert groups(*rows)[0]["severity"] == worst


def test_without_group_hash_the_stored_hash_groups():
    frame = errors(error("2026-01-02", stack_hash="kept")).drop("group_hash")

    assert error_groups(frame, THREE_DAYS).collect()["group_hash"].to_list() == ["kept"]
    assert error_occurrences(frame, THREE_DAYS, group="kept").collect().height == 1


def test_quiet_days_have_no_errors_and_people_are_not_summed():
    frame = errors(
        error("2026-01-01T01:00", occurrences=3),
        error("2026-01-01T02:00", group_hash="g2"),
        error("2026-01-03"),
    )

    assert errors_by_period(frame, THREE_DAYS).collect().rows() == [
        (day("2026-01-01"), 4.0, 2, 1.0, True),
        (day("2026-01-02"), 0.0, 0, 0.0, True),
        (day("2026-01-03"), 1.0, 1, 1.0, True),
    ]
    assert errors_by_period(frame, THREE_DAYS, every="1mo").collect().rows() == [
        (day("2026-01-01"), 5.0, 2, 1.0, False)
    ]


def test_occurrences_of_a_group_come_newest_first():
    frame = errors(
        error("2026-01-01"), error("2026-01-03"), error("2026-01-02", group_hash="g2"),
        error("2026-01-04"),
    )  # fmt: skip

    result = error_occurrences(frame, THREE_DAYS, group="g1").collect()

    assert result["timestamp"].to_list() == [instant("2026-01-03"), instant("2026-01-01")]


def test_a_release_is_judged_by_its_errors_per_thousand_events():
    used = events(
        event("2025-12-01", release="1.0"),
        *(event("2026-01-02", release="1.0") for _ in range(4)),
        event("2025-12-02", release="0.9"),
        event("2026-01-02", release=""),
    )
    broken = errors(
        error("2026-01-02", release="1.0", occurrences=2),
        error("2026-01-03", "bob", release="1.1"),
    )

    result = errors_by_release(used, broken, THREE_DAYS).collect()

    assert result.rows() == [
        (None, instant("2026-01-02"), 1.0, 1.0, 0.0, 0.0, 0.0),
        ("1.0", instant("2025-12-01"), 4.0, 1.0, 2.0, 1.0, 500.0),
        ("1.1", instant("2026-01-03"), 0.0, 0.0, 1.0, 1.0, None),
    ]


def test_naming_a_group_reads_one_row_of_it(monkeypatch: pytest.MonkeyPatch):
    """Masking a message takes Python: it must run per group, never per row."""
    from data_access.metrics import errors as module  # noqa: PLC0415 - patched here only

    asked: list[str] = []
    monkeypatch.setattr(module, "message_template", lambda text: asked.append(text) or text)
    rows = [error("2026-01-02", error_message=f"m{number}") for number in range(50)]

    error_groups(errors(*rows), THREE_DAYS).collect()

    assert asked == ["m49"]
    assert isinstance(error_groups(errors(*rows), THREE_DAYS), pl.LazyFrame)
