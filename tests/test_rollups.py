"""Facts about rollups: one record per session or window, the right sums, and nothing twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import rollups as module
from ingest.rollups import SessionRollups, WindowRollup
from ingest.vocabulary import read_row

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ADA = {"user_id_hash": "ada", "user_tier": "paid", "channel": "server"}
BOB = {"user_id_hash": "bob", "user_tier": "free", "channel": "server"}


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def add(rollups: SessionRollups, session: str, turns: int = 1, **values: object) -> list[Any]:
    return [record for _ in range(turns) for record in rollups.add(session, ADA, values, NOON)]


def summary(record: dict[str, Any] | None) -> tuple[str, str, int, int]:
    assert record is not None
    said = record["metadata"]
    return record["session_id"], said["rollup_reason"], said["window_seq"], said["turns"]


# --- sessions --------------------------------------------------------------------------------


def test_a_session_becomes_one_record_at_its_end():
    rollups = SessionRollups()
    first = {
        "tokens_input": 900,
        "tokens_output": 100,
        "cost_usd": 0.1,
        "compression_ms": 12.5,
        "before_tokens": 800,
        "after_tokens": 300,
        "observation_count": 2,
        "obs_type_bugfix": 1,
        "obs_type_decision": 1,
        "tokens_saved_vs_naive": 500,
        "outcome": "ok",
        "model": "opus",
    }
    second = {
        "tokens_input": 100,
        "cost_usd": 0.2,
        "before_tokens": 200,
        "after_tokens": 200,
        "observation_count": 1,
        "obs_type_bugfix": 1,
        "tokens_saved_vs_naive": -20,
        "outcome": "error",
        "model": "haiku",
    }

    assert rollups.add("s1", ADA, first, NOON) == []
    assert rollups.add("s1", ADA, second, after(30)) == []
    record = rollups.end("s1")

    assert record == {
        "event_name": "observer_turn_rollup",
        "session_id": "s1",
        "user_id_hash": "ada",
        "user_tier": "paid",
        "channel": "server",
        "timestamp": "2026-01-01T12:00:30.000Z",
        "metadata": {
            "turns": 2,
            "tokens_input": 1_000,
            "tokens_output": 100,
            "total_cost_usd": 0.3,
            "compression_ms": 12.5,
            "before_tokens": 1_000,
            "after_tokens": 500,
            "savings_rate": 0.5,
            "observations_created": 3,
            "obs_type_bugfix": 2,
            "obs_type_decision": 1,
            "tokens_saved_vs_naive": 480,
            "outcome_ok": 1,
            "outcome_error": 1,
            "top_model": "opus",
            "rollup_reason": "session_end",
            "window_seq": 0,
        },
    }
    assert (rollups.ignored, rollups.sessions, rollups.held) == (0, 0, 0)


def test_ending_an_ended_or_unknown_session_does_nothing():
    rollups = SessionRollups()
    add(rollups, "s1")

    assert rollups.end("s1") is not None
    assert rollups.end("s1") is None
    assert rollups.end("s2") is None
    assert rollups.end_all() == []


def test_two_sessions_add_up_on_their_own():
    rollups = SessionRollups()
    rollups.add("s1", ADA, {"tokens_input": 1}, NOON)
    rollups.add("s2", BOB, {"tokens_input": 10}, NOON)
    rollups.add("s1", ADA, {"tokens_input": 2}, NOON)

    first = rollups.end("s1")
    assert (first["user_id_hash"], first["metadata"]["tokens_input"]) == ("ada", 3)
    assert rollups.held == 1
    second = rollups.end("s2")
    assert (second["user_id_hash"], second["metadata"]["tokens_input"]) == ("bob", 10)


def test_a_process_that_stops_sends_every_open_session():
    rollups = SessionRollups()
    add(rollups, "s1")
    add(rollups, "s2", 3)

    assert [summary(record) for record in rollups.end_all()] == [
        ("s1", "worker_shutdown", 0, 1),
        ("s2", "worker_shutdown", 0, 3),
    ]
    assert rollups.sessions == 0


def test_a_session_of_too_many_turns_comes_in_parts_with_a_number_each():
    rollups = SessionRollups(records_max=3)

    parts = add(rollups, "s1", 7)
    end = rollups.end("s1")

    assert [summary(part) for part in (*parts, end)] == [
        ("s1", "safety_flush", 0, 3),
        ("s1", "safety_flush", 1, 3),
        ("s1", "session_end", 2, 1),
    ]


def test_a_session_that_resumes_after_its_end_goes_on_counting_its_parts():
    rollups = SessionRollups()
    add(rollups, "s1")
    rollups.end("s1")
    add(rollups, "s1")

    assert summary(rollups.end("s1")) == ("s1", "session_end", 1, 1)


def test_a_session_that_runs_too_long_is_sent_by_the_next_turn_or_by_due():
    rollups = SessionRollups(seconds_max=60)
    rollups.add("s1", ADA, {}, NOON)
    rollups.add("s2", BOB, {}, after(1))
    rollups.add("s1", ADA, {}, after(59.9))

    (late,) = rollups.add("s1", ADA, {}, after(60))
    assert summary(late) == ("s1", "safety_flush", 0, 2)
    assert late["timestamp"] == "2026-01-01T12:00:59.900Z"
    assert rollups.due(after(60.9)) == []
    assert [summary(record) for record in rollups.due(after(61))] == [("s2", "safety_flush", 0, 1)]
    assert rollups.end("s2") is None
    assert summary(rollups.end("s1")) == ("s1", "session_end", 1, 1)


def test_one_session_too_many_sends_off_the_one_that_was_quiet_longest():
    rollups = SessionRollups(sessions_max=2)
    for session in ("s1", "s2", "s1"):
        assert add(rollups, session) == []

    (left,) = add(rollups, "s3")

    assert summary(left) == ("s2", "safety_flush", 0, 1)
    assert rollups.sessions == 2


def test_a_clock_that_is_set_back_keeps_no_session_longer():
    rollups = SessionRollups(seconds_max=60)
    rollups.add("s1", ADA, {}, after(10_000))

    assert rollups.due(NOON) == []
    assert len(rollups.due(after(60))) == 1


def test_the_record_is_dated_by_its_last_turn_unless_somebody_says_when_it_ended():
    rollups = SessionRollups()
    plus_two = timezone(timedelta(hours=2))
    for session in ("s1", "s2"):
        rollups.add(session, ADA, {}, datetime(2026, 1, 1, 14, tzinfo=plus_two))
        rollups.add(session, ADA, {}, datetime(2026, 1, 1, 11))  # noqa: DTZ001 - naive is UTC

    assert rollups.end("s1")["timestamp"] == "2026-01-01T12:00:00.000Z"
    assert rollups.end("s2", at=after(60))["timestamp"] == "2026-01-01T12:01:00.000Z"


def test_the_most_frequent_model_wins_and_the_first_seen_of_equals():
    rollups = SessionRollups()
    for session, models in {"s1": "abbac", "s2": "abb"}.items():
        for model in models:
            add(rollups, session, model=model)

    assert rollups.end("s1")["metadata"]["top_model"] == "a"
    assert rollups.end("s2")["metadata"]["top_model"] == "b"


def test_models_are_counted_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(module, "MODELS_MAX", 2)
    rollups = SessionRollups()
    for model in ("a", "b", "c", "c", "b"):
        add(rollups, "s1", model=model)

    assert rollups.end("s1")["metadata"]["top_model"] == "b"
    assert rollups.ignored == 2


def test_an_unknown_type_of_observation_is_an_other():
    rollups = SessionRollups()
    add(rollups, "s1", obs_type_other=1, obs_type_security=2)

    assert rollups.end("s1")["metadata"]["obs_type_other"] == 3


@pytest.mark.parametrize(
    "values",
    [
        {"tokens_input": "900"},
        {"tokens_input": True},
        {"tokens_input": -1},
        {"tokens_input": float("nan")},
        {"tokens_input": float("inf")},
        {"tokens_input": 10**400},
        {"tokens_saved_vs_naive": -1e13},
        {"cost_usd": [1]},
        {"outcome": "splendid"},
        {"outcome": ["ok"]},
        {"model": 4},
    ],
)
def test_a_value_of_the_wrong_kind_is_left_out_and_counted(values):
    rollups = SessionRollups()
    add(rollups, "s1", **values)

    assert rollups.ignored == 1
    said = rollups.end("s1")["metadata"]
    assert said == {"turns": 1, "rollup_reason": "session_end", "window_seq": 0}


def test_what_is_missing_or_not_ours_leaves_no_trace():
    rollups = SessionRollups()
    add(rollups, "s1", tokens_input=None, outcome="", prompt="delete my account")

    assert rollups.ignored == 0
    record = rollups.end("s1")
    assert record["metadata"] == {"turns": 1, "rollup_reason": "session_end", "window_seq": 0}


def test_only_the_columns_of_who_are_taken_and_the_latest_of_each_stays():
    rollups = SessionRollups()
    rollups.add("s1", ADA | {"email": "a@b.c", "project_id": "p1"}, {}, NOON)
    rollups.add("s1", {"user_tier": "enterprise", "project_id": None, "channel": 4}, {}, NOON)

    record = rollups.end("s1")
    assert {name: record[name] for name in ("user_id_hash", "user_tier", "project_id")} == {
        "user_id_hash": "ada",
        "user_tier": "enterprise",
        "project_id": "p1",
    }
    assert record["channel"] == "server"
    assert "email" not in record


@pytest.mark.parametrize("session", ["", None, True, 1.5, ["s1"]])
def test_a_turn_without_a_session_is_ignored(session):
    rollups = SessionRollups()

    assert rollups.add(session, ADA, {}, NOON) == []
    assert (rollups.ignored, rollups.sessions) == (1, 0)


def test_an_id_is_cut_to_what_its_column_takes():
    rollups = SessionRollups()
    add(rollups, "s" * 300)

    assert rollups.end("s" * 300)["session_id"] == "s" * 200


def test_a_number_is_a_session_too():
    rollups = SessionRollups()
    rollups.add(7, ADA, {}, NOON)

    assert rollups.end(7)["session_id"] == "7"


def test_nothing_saved_says_nothing_and_savings_of_nothing_have_no_rate():
    rollups = SessionRollups()
    add(rollups, "s1", before_tokens=0, after_tokens=0)
    add(rollups, "s2", before_tokens=10)
    add(rollups, "s3", before_tokens=10, after_tokens=0)

    said = [rollups.end(session)["metadata"] for session in ("s1", "s2", "s3")]
    assert [rates.get("savings_rate") for rates in said] == [None, None, 1.0]


def test_only_so_many_sessions_numbers_are_remembered(monkeypatch):
    monkeypatch.setattr(module, "SEQUENCES_MAX", 2)
    rollups = SessionRollups()
    numbers = []
    for session in ("s1", "s2", "s2", "s1", "s3", "s1", "s2"):
        add(rollups, session)
        numbers.append(rollups.end(session)["metadata"]["window_seq"])
        assert len(rollups._sequences) <= 2

    assert numbers == [0, 0, 1, 1, 0, 2, 0]


@pytest.mark.parametrize(
    "options",
    [{"records_max": 0}, {"records_max": 1_001}, {"sessions_max": 0}, {"seconds_max": 0}],
)
def test_limits_of_sessions_have_a_range(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}=.* must"):
        SessionRollups(**options)


def test_a_rollup_is_an_event_without_a_flaw():
    rollups = SessionRollups()
    add(rollups, "s1", tokens_input=5, outcome="ok", model="opus")

    (row,) = read_row(rollups.end("s1") | {"event_id": "e1"})

    assert (row.table, row.flags) == ("events", ())
    assert "s1" in row.values


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(0, 1_000), st.integers(0, 40)), max_size=50
    )
)
def test_turns_and_tokens_all_come_out_exactly_once(turns):
    rollups = SessionRollups(records_max=4, sessions_max=2, seconds_max=60)
    records, now = [], 0
    for number, (session, tokens, later) in enumerate(turns):
        now += later
        records += rollups.add(session, ADA, {"tokens_input": tokens}, after(now))
        if number % 7 == 6:
            records += rollups.due(after(now))
        if number % 5 == 4:
            ended = rollups.end(session)
            records += [] if ended is None else [ended]
        assert rollups.sessions <= 2
        assert sum(r["metadata"]["turns"] for r in records) + rollups.held == number + 1
    records += rollups.end_all()

    for session in "abcd":
        mine = [r["metadata"] for r in records if r["session_id"] == session]
        assert [said["window_seq"] for said in mine] == list(range(len(mine)))
        assert all(1 <= said["turns"] <= 4 for said in mine)
        expected = [tokens for name, tokens, _ in turns if name == session]
        assert sum(said["turns"] for said in mine) == len(expected)
        assert sum(said["tokens_input"] for said in mine) == sum(expected)


# --- windows ---------------------------------------------------------------------------------


def test_injected_contexts_become_one_record_per_user_and_window():
    window = WindowRollup(window_s=300)
    told = {"observation_count": 3, "tokens_saved_vs_naive": 100, "tokens_injected": 40}

    assert window.add(ADA, told | {"outcome": "ok"}, NOON)
    assert window.add(BOB, {"outcome": "error"}, after(1))
    assert window.add(ADA, told, after(200))
    assert window.due(after(299)) == []
    assert window.due(after(300)) == [
        {
            "event_name": "context_injected_rollup",
            **ADA,
            "timestamp": "2026-01-01T12:03:20.000Z",
            "metadata": {
                "count": 2,
                "error_count": 0,
                "total_observations_injected": 6,
                "total_tokens_saved_vs_naive": 200,
                "tokens_injected": 80,
            },
        },
        {
            "event_name": "context_injected_rollup",
            **BOB,
            "timestamp": "2026-01-01T12:00:01.000Z",
            "metadata": {"count": 1, "error_count": 1},
        },
    ]
    assert (window.held, window.due(after(9_999))) == (0, [])


def test_the_next_window_opens_with_the_next_context():
    window = WindowRollup(window_s=300)
    window.add(ADA, {}, NOON)
    window.due(after(300))
    window.add(ADA, {}, after(1_000))

    assert window.due(after(1_299)) == []
    assert len(window.due(after(1_300))) == 1


def test_closing_a_window_sends_what_it_has():
    window = WindowRollup()
    window.add(ADA, {}, NOON)

    (record,) = window.close(after(5))
    assert record["timestamp"] == "2026-01-01T12:00:05.000Z"
    assert window.close() == []


def test_users_beyond_the_limit_are_counted_and_known_ones_go_on():
    window = WindowRollup(users_max=1)

    assert window.add(ADA, {}, NOON)
    assert not window.add(BOB, {}, NOON)
    assert window.add(ADA, {}, NOON)
    assert not window.add({"user_tier": "free"}, {}, NOON)
    assert (window.held, window.overflow) == (2, 2)


def test_a_raw_user_id_is_a_user_too():
    window = WindowRollup()
    window.add({"user_id": "ada@example.org"}, {}, NOON)

    assert window.close()[0]["user_id"] == "ada@example.org"


def test_wrong_values_in_a_window_are_counted():
    window = WindowRollup()
    window.add(ADA, {"observation_count": "3", "tokens_injected": 1, "outcome": "odd"}, NOON)

    assert window.ignored == 2
    assert window.close()[0]["metadata"] == {"count": 1, "error_count": 0, "tokens_injected": 1}


def test_a_clock_that_is_set_back_makes_no_window_longer():
    window = WindowRollup(window_s=300)
    window.add(ADA, {}, after(10_000))

    assert window.due(NOON) == []
    assert len(window.due(after(300))) == 1


@pytest.mark.parametrize("options", [{"window_s": 0}, {"users_max": 0}])
def test_limits_of_windows_are_above_zero(options):
    with pytest.raises(ValueError, match="must be above 0"):
        WindowRollup(**options)
