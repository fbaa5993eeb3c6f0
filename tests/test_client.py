"""The client: one call, one line in the log, one row; and what it does when it cannot."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import gc
import json
import logging
import os
import re
import sqlite3
import stat
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

import ingest
from data_access import scan
from ingest import (
    ChannelType,
    Client,
    CortexEventName,
    Error,
    Event,
    EventSeverity,
    Trace,
    lifecycle,
)
from ingest.counts import REASONS
from ingest.pipeline import Pipeline
from ingest.stack_hash import stack_hash
from ingest.vocabulary import pseudonym
from tests.said import NOON_S, client, dropped, lines, rows

SECRET = "ghp_" + "FAKEfakeFAKEfakeFAKEfakeFAKEfakeFAKE"


def small(home, buffer_max):
    """Make a client whose buffer holds little, and whose thread does not come to empty it."""
    made = client(home)
    made._options = made._options._replace(buffer_max=buffer_max)
    made.start_over()
    return made


# --- three pipelines ---


def test_a_tracked_event_is_a_line_in_the_log_and_a_row_in_sqlite(home):
    with client(home, release="1.2.0", now=lambda: NOON_S) as made:
        assert made.track(
            CortexEventName.CONTEXT_LOADED,
            user_id_hash="abc123",
            user_tier="paid",
            session_id="sess_xyz789",
            channel=ChannelType.EXTENSION,
            project_id="proj_001",
            branch_id="branch_main",
            context_id="ctx_12345",
            duration_ms=150,
            metadata={"context_size_kb": 25},
            compression_ratio=0.3,
        )
        assert made.flush()

    [line] = lines(home)
    [row] = rows(home)
    assert row["timestamp"] == line["timestamp"] == "2026-03-01T12:00:00.000Z"
    assert row["event_id"] == line["event_id"]
    assert (row["event_name"], row["user_id_hash"], row["user_tier"]) == (
        "context_loaded",
        "abc123",
        "paid",
    )
    assert (row["is_paid_user"], row["session_id"], row["channel"]) == (
        1,
        "sess_xyz789",
        "extension",
    )
    assert (row["project_id"], row["branch_id"], row["context_id"]) == (
        "proj_001",
        "branch_main",
        "ctx_12345",
    )
    assert (row["result"], row["duration_ms"], row["release"], row["weight"]) == (
        "success",
        150.0,
        "1.2.0",
        1.0,
    )
    assert json.loads(row["metadata"]) == {"context_size_kb": 25, "compression_ratio": 0.3}


def test_every_standard_name_and_any_other_is_tracked(home):
    with client(home) as made:
        for name in CortexEventName:
            made.track(name, user_id="u1")
        made.track("something_of_our_own", user_id="u1")

    assert [row["event_name"] for row in rows(home)] == [
        *(name.value for name in CortexEventName),
        "something_of_our_own",
    ]


def test_an_event_without_a_name_is_counted_as_invalid(home):
    with client(home) as made:
        made.track()
        made.track("   ")

    assert dropped(made) == {"invalid": 2}


def test_an_exception_becomes_an_error_without_its_source_lines(home):
    with client(home, release="1.2.0") as made:
        try:
            int("no such project")  # not a comment to keep
        except ValueError as error:
            made.error(error, user_id="u1", related_event_name="context_loaded", attempt=2)

    [row] = rows(home, "errors")
    assert (row["error_type"], row["error_message"]) == (
        "ValueError",
        "invalid literal for int() with base 10: 'no such project'",
    )
    assert "test_client.py" in row["stack_trace"]
    assert "not a comment to keep" not in row["stack_trace"]
    assert row["stack_hash"] == stack_hash(row["stack_trace"])
    assert (row["severity"], row["occurrences"], row["release"]) == ("error", 1, "1.2.0")
    assert (row["related_event_name"], row["metadata"]) == ("context_loaded", '{"attempt": 2}')


def test_the_exception_being_handled_needs_no_name(home):
    with client(home) as made:
        try:
            {}["orders"]
        except KeyError:
            made.error(severity=EventSeverity.CRITICAL)
        made.error("the disk is slow", severity="warning")

    assert [(row["error_type"], row["severity"]) for row in rows(home, "errors")] == [
        ("KeyError", "critical"),
        ("Error", "warning"),
    ]


def test_a_span_times_its_work_and_lets_the_exception_go_on(home):
    with client(home) as made:
        with made.trace("rag_search", user_id="u1", top_k=5) as span:
            span.result_count = 10
            span.metadata["cached"] = True
        with pytest.raises(TimeoutError), made.trace("rag_search", user_id="u1"):
            raise TimeoutError

    fine, failed = rows(home, "traces")
    assert (fine["operation_name"], fine["success"], fine["result_count"]) == ("rag_search", 1, 10)
    assert json.loads(fine["metadata"]) == {"top_k": 5, "cached": True}
    assert 0 <= fine["duration_ms"] < 1_000
    assert failed["success"] == 0


def test_a_span_decorates_every_kind_of_function(home):
    made = client(home)

    @made.trace("plain")
    def plain(number: int) -> int:
        return number + 1

    @made.trace("waits")
    async def waits(number: int) -> int:
        await asyncio.sleep(0)
        return number + 1

    @made.trace("yields")
    def yields():
        got = yield 1
        yield got

    @made.trace("yields_async")
    async def yields_async():
        got = yield 1
        yield got

    async def main() -> list[int]:
        both = yields_async()
        return [await waits(1), await anext(both), await both.asend(7)]

    generator = yields()
    assert (plain(1), plain.__name__) == (2, "plain")
    assert [next(generator), generator.send(5)] == [1, 5]
    assert list(generator) == []
    assert asyncio.run(main()) == [2, 1, 7]
    made.close()
    names = [row["operation_name"] for row in rows(home, "traces")]
    assert sorted(names) == ["plain", "waits", "yields", "yields_async"]


def test_the_three_can_be_said_as_objects(home):
    with client(home) as made:
        assert made.record(Event("context_loaded", user_id_hash="abc", metadata={"top_k": 1}))
        assert made.record(Error("ValueError", "bad", user_id_hash="abc", occurrences=3))
        assert made.record(Trace("rag_search", 150, result_count=10, user_id_hash="abc"))

    assert rows(home)[0]["event_name"] == "context_loaded"
    assert rows(home, "errors")[0]["occurrences"] == 3
    assert rows(home, "traces")[0]["duration_ms"] == 150.0


def test_an_event_may_be_tracked_as_an_object_and_pays_when_it_says_so(home):
    with client(home) as made:
        assert made.track(Event("context_loaded", user_id="zaphod", is_paid_user=True))
        made.track(["context_loaded", "zaphod"])
        made.record(Error("ValueError", "bad", stack_hash="0123456789abcdef"))

    [row] = rows(home)
    assert (row["event_name"], row["user_tier"], row["is_paid_user"]) == (
        "context_loaded",
        "paid",
        1,
    )
    assert dropped(made) == {"invalid": 1}
    assert rows(home, "errors")[0]["stack_hash"] == "0123456789abcdef"
    assert b"zaphod" not in b"".join(path.read_bytes() for path in home.rglob("*.jsonl"))


def test_metadata_may_be_called_like_an_argument_of_ours(home):
    with client(home) as made:
        with made.trace(name="rag", result_count=5, success=False, took_ms=1):
            pass
        made.track(name="x", results_count=1)
        made.instrument("info", "m", event="x", error=ValueError("v"), severity="warning")
        made.error("no answer", error_type="Timeout")

    assert [row["operation_name"] for row in rows(home, "traces")] == ["rag"]
    assert [row["event_name"] for row in rows(home)] == ["x", "x"]
    found = {row["error_type"]: row["severity"] for row in rows(home, "errors")}
    assert found == {"ValueError": "warning", "Timeout": "error"}
    assert "sampling is off" in made.explain("context_loaded")


def test_a_call_without_an_events_name_keeps_its_trace_and_counts_the_event(home):
    with client(home) as made:
        made.called("", "search_context", 12.5, user_id="u1")

    assert dropped(made) == {"invalid": 1}
    assert rows(home) == []
    assert [row["operation_name"] for row in rows(home, "traces")] == ["search_context"]


def test_one_call_writes_the_local_line_and_the_telemetry(home, caplog):
    failure = RuntimeError("no answer")
    with client(home) as made, caplog.at_level(logging.INFO):
        made.instrument("info", "loaded the context", event="context_loaded", user_id="u1")
        made.instrument(logging.ERROR, "gave up", event="context_loaded", error=failure)

    assert [record.message for record in caplog.records] == ["loaded the context", "gave up"]
    assert [row["result"] for row in rows(home)] == ["success", "error"]
    assert rows(home, "errors")[0]["related_event_name"] == "context_loaded"


def test_the_local_line_is_written_with_telemetry_off(home, caplog):
    made = client(home, environ={"DO_NOT_TRACK": "1"})
    with caplog.at_level(logging.INFO):
        made.instrument("info", "loaded the context", event="context_loaded")

    assert [record.message for record in caplog.records] == ["loaded the context"]
    assert list(home.iterdir()) == []


# --- who ---


def test_a_raw_user_id_is_hashed_with_the_homes_own_salt(home):
    with client(home) as made:
        made.track("session_started", user_id="alice@example.com")

    salt = (home / "salt").read_bytes().strip()
    assert rows(home)[0]["user_id_hash"] == pseudonym("alice@example.com", salt)
    assert stat.S_IMODE((home / "salt").stat().st_mode) == 0o600
    assert b"alice" not in b"".join(path.read_bytes() for path in home.glob("**/*.*"))


def test_one_salt_can_be_shared_across_machines(home, tmp_path):
    for place in (home, tmp_path / "other"):
        with client(place, environ={"TELEMETRY_SALT": "pepper"}) as made:
            made.track("session_started", user_id="u1")

    assert rows(home)[0]["user_id_hash"] == pseudonym("u1", b"pepper")
    assert rows(tmp_path / "other")[0]["user_id_hash"] == pseudonym("u1", b"pepper")


def test_a_home_brought_over_from_an_older_system_keeps_its_peoples_history(home, load_lines):
    load_lines({"timestamp": NOON_S, "event_name": "install", "user_id_hash": pseudonym("u1")})

    with client(home) as made:
        made.track("session_started", user_id="u1")

    assert len({row["user_id_hash"] for row in rows(home)}) == 1


def test_a_hash_that_looks_like_a_person_is_hashed(home):
    with client(home) as made:
        made.track("session_started", user_id_hash="alice@example.com")

    assert "alice" not in rows(home)[0]["user_id_hash"]


def test_what_names_no_user_is_this_installation(home):
    with client(home) as made:
        made.track("session_started")
        made.track("session_ended")

    assert len({row["user_id_hash"] for row in rows(home)}) == 1


def test_a_client_fills_in_its_own_user_and_never_mixes_two(home):
    with client(home, user_id_hash="mine", user_tier="trial", session_id="s1") as made:
        made.track("session_started")
        made.track("session_started", user_id="another", session_id="s2")

    first, second = rows(home)
    assert (first["user_id_hash"], first["user_tier"], first["session_id"]) == (
        "mine",
        "trial",
        "s1",
    )
    assert (second["user_tier"], second["session_id"]) == ("trial", "s2")
    assert second["user_id_hash"] not in ("mine", "another")


def test_an_id_that_looks_like_a_name_or_a_secret_is_kept_as_a_pseudonym(home):
    with client(home) as made:
        made.track("x", project_id="Acme Redesign", branch_id="/home/alice/acme", context_id=SECRET)
        made.track(
            "x", project_id="Acme Redesign", session_id="7b0c1c52-0d8e-4b5e-9c3c-7f6a3a1f4d10"
        )

    first, second = rows(home)
    assert first["project_id"] == second["project_id"]
    assert second["session_id"] == "7b0c1c52-0d8e-4b5e-9c3c-7f6a3a1f4d10"
    kept = json.dumps([first, second])
    assert not [word for word in ("Acme", "alice", SECRET) if word in kept]


# --- what is kept ---


def test_metadata_is_denied_unless_it_is_on_the_list(home):
    with client(home) as made:
        made.track(
            "search_context",
            metadata={"query": "how do I fire Bob", "top_k": 5, "file_name": "secret.py"},
            tool_name="search_context",
            accepted="yes",
        )

    [row] = rows(home)
    assert json.loads(row["metadata"]) == {
        "query_length": 17,
        "top_k": 5,
        "tool_name": "search_context",
    }
    assert made.stats()["flagged"] == 2


def test_the_host_may_use_its_dict_again(home):
    made, metadata = client(home), {"top_k": 1}
    made.track("x", metadata=metadata)
    metadata["top_k"] = 2
    made.close()

    assert json.loads(rows(home)[0]["metadata"]) == {"top_k": 1}


def test_no_secret_reaches_the_disk_in_any_field(home):
    with client(home, release=SECRET) as made:
        made.track(
            f"event {SECRET}",
            user_id=SECRET,
            user_tier=SECRET,
            session_id=SECRET,
            channel=SECRET,
            project_id=SECRET,
            result=SECRET,
            metadata={"tool_name": SECRET, SECRET: 1},
            timestamp=SECRET,
        )
        made.error(RuntimeError(f"token {SECRET} refused"), related_event_name=SECRET)
        with made.trace(f"call {SECRET}", model=SECRET):
            pass
        made.turn("s1", model=SECRET, outcome=SECRET)

    assert len(lines(home)) == 4
    assert SECRET.encode() not in b"".join(
        path.read_bytes() for path in home.rglob("*") if path.is_file()
    )


def test_a_time_may_be_given_and_an_unreadable_one_is_now(home):
    with client(home, now=lambda: NOON_S) as made:
        made.track("x", timestamp=datetime(2026, 2, 1, tzinfo=UTC))
        made.track("x", timestamp="2026-02-01T01:00:00+01:00")
        made.track("x", timestamp="yesterday")

    assert [row["timestamp"] for row in rows(home)] == [
        "2026-02-01T00:00:00.000Z",
        "2026-02-01T00:00:00.000Z",
        "2026-03-01T12:00:00.000Z",
    ]


# --- repeats and rollups ---


def test_a_burst_of_one_error_is_one_record_with_its_count(home):
    made = client(home)
    made._pipeline._pausing = True  # the thread comes when all of it is said
    for number in range(100):
        made.error(RuntimeError(f"no answer from worker {number}"), user_id="u1")
    made.error(RuntimeError("no answer from worker 1"), user_id="u2")
    made._pipeline.resume()
    made.close()

    assert [row["occurrences"] for row in rows(home, "errors")] == [100, 1]
    assert made.stats()["merged"] == 99


def test_the_first_of_an_error_is_there_before_its_minute_is_over(home):
    made = client(home)
    made.error(RuntimeError("no answer"), user_id="u1")
    made.flush()
    made.error(RuntimeError("no answer"), user_id="u1")
    made.flush()

    assert [row["occurrences"] for row in rows(home, "errors")] == [1]
    assert made.stats()["held"] == 1
    made.close()
    assert [row["occurrences"] for row in rows(home, "errors")] == [1, 1]


def test_turns_are_one_record_at_the_sessions_end(home):
    with client(home) as made:
        for _ in range(3):
            made.turn("s1", user_id="u1", tokens_input=100, tokens_output=20, cost_usd=0.01)
        made.track("session_ended", user_id="u1", session_id="s1")
        made.turn("s2", user_id="u1", tokens_input=5)
        made.injected(user_id="u1", observation_count=4, tokens_saved_vs_naive=900)

    found = {row["event_name"]: json.loads(row["metadata"]) for row in rows(home)}
    ended, left = [row for row in rows(home) if row["event_name"] == "observer_turn_rollup"]
    assert json.loads(ended["metadata"]) | {"savings_rate": None} == {
        "turns": 3,
        "tokens_input": 300,
        "tokens_output": 60,
        "total_cost_usd": 0.03,
        "rollup_reason": "session_end",
        "window_seq": 0,
        "savings_rate": None,
    }
    assert json.loads(left["metadata"])["rollup_reason"] == "worker_shutdown"
    assert found["context_injected_rollup"]["total_observations_injected"] == 4


# --- when it cannot ---


def test_a_full_buffer_counts_what_it_refuses(home):
    made = small(home, 10)
    made._pipeline._pausing = True  # the thread does not come
    accepted = [made.track("x", user_id="u1") for _ in range(25)]
    made._pipeline.resume()
    made.close()

    assert accepted == [True] * 10 + [False] * 15
    assert dropped(made) == {"buffer_full": 15}
    assert len(rows(home)) == 10


def test_what_is_said_after_close_is_counted(home):
    made = client(home)
    made.track("x")
    assert made.close()
    assert not made.track("x")
    assert made.close()

    assert dropped(made) == {"closed": 1}


def test_a_client_nobody_holds_writes_what_it_was_told_and_leaves(home):
    others = set(lifecycle._running)  # an app of another test may still record its own use
    client(home).track("x", user_id="u1")
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s and (
        set(lifecycle._running) - others or not (home / "telemetry.db").exists()
    ):
        time.sleep(0.02)
        gc.collect()

    assert [row["event_name"] for row in rows(home)] == ["x"]
    assert not set(lifecycle._running) - others


def test_a_closed_client_stays_closed_in_a_copied_process(home):
    made = client(home)
    made.close()
    made.start_over()

    assert not made.track("x")
    assert dropped(made) == {"closed": 1}


def test_a_client_that_says_nothing_leaves_nothing(home):
    made = client(home)

    assert made.flush()
    assert made.close()
    assert list(home.iterdir()) == []


def test_a_locked_database_holds_up_neither_the_log_nor_the_host(home):
    with client(home) as made:
        made.track("x", user_id="u1")
        made.flush()
        with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as other:
            other.execute("BEGIN EXCLUSIVE")
            made.track("x", user_id="u2")
            assert made.flush()
            assert len(lines(home)) == 2
        assert len(rows(home)) == 1

    assert len(rows(home)) == 2


def test_a_database_that_was_locked_gets_its_rows_without_another_event(home):
    made = client(home)
    made.track("x", user_id="u1")
    made.flush()
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        made.track("x", user_id="u2")
        assert made.flush()
    deadline_s = time.monotonic() + 20
    while len(rows(home)) < 2 and time.monotonic() < deadline_s:
        time.sleep(0.05)

    assert len(rows(home)) == 2
    made.close()


def test_a_home_that_cannot_be_made_costs_the_events_and_says_so(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    made = client(tmp_path / "file" / "home")
    made.track("x")

    assert not made.flush(1)
    assert made.stats()["trouble"] == "log_unwritable"
    assert not made.close(1)
    assert dropped(made) == {"log_unwritable": 1}


def test_a_payload_no_row_can_be_made_of_costs_only_itself(home):
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("no")

    with client(home, environ={}) as made:
        made.track("x", user_id=Mute())
        made.track("y", user_id="u1", metadata={"tool_name": Mute()})

    assert [row["event_name"] for row in rows(home)] == ["y"]
    assert dropped(made) == {"unserializable": 1}
    assert made.stats()["faults"] == 1


def test_strict_lets_a_fault_of_ours_out(home, monkeypatch):
    monkeypatch.setattr(Pipeline, "submit", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        client(home).error("x")
    assert client(home, environ={}).error("x") is False


def test_everything_said_is_accounted_for(home):
    made = small(home, 500)
    said = [made.track(name, user_id="u1") for name in ["x", ""] * 600]
    for _ in range(7):
        made.error(RuntimeError("one"))
    made.close()
    stats = made.stats()

    assert len(said) + 7 == (
        sum(stats["dropped"].values())
        + stats["written"]
        + stats["merged"]
        + stats["sampled_out"]
        + stats["held"]
        + stats["buffered"]
    )


def test_the_reasons_are_a_closed_set():
    assert set(client("unused").stats()["dropped"]) == set(REASONS)


def test_one_place_alone_stops_exceptions_it_does_not_name():
    """A broad handler is allowed only where it ends in `raise`; Boundary.__exit__ is the one."""
    broad = []
    for path in Path(ingest.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                names = ast.unparse(node.type) if node.type else "BaseException"
                swallows = not isinstance(node.body[-1], ast.Raise)
                if swallows and {"Exception", "BaseException"} & set(re.findall(r"\w+", names)):
                    broad.append(path.name)
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
                named = {ast.unparse(argument) for argument in node.args}
                broad += [path.name] * bool({"Exception", "BaseException"} & named)
            elif isinstance(node, ast.FunctionDef) and node.name == "__exit__":
                stops = any(isinstance(one, ast.Return) and one.value for one in ast.walk(node))
                broad += [path.name] * stops

    assert broad == ["boundary.py"]


# --- consent ---


@pytest.mark.parametrize(
    "environ", [{"DO_NOT_TRACK": "1"}, {"TELEMETRY": "0"}, {"TELEMETRY": "off"}]
)
def test_off_means_no_file_and_no_thread(home, environ):
    made = client(home, environ=environ)
    before = threading.active_count()

    assert not made.track("x")
    assert not made.error("x")
    with made.trace("x"):
        pass
    assert made.flush()
    assert made.close()
    assert (list(home.iterdir()), threading.active_count()) == ([], before)
    assert not dropped(made)


def test_errors_can_be_off_alone(home):
    with client(home, environ={"TELEMETRY_ERRORS": "0"}) as made:
        made.track("x")
        assert not made.error("y")

    assert (len(rows(home)), rows(home, "errors")) == (1, [])


def test_a_client_can_be_made_off(home):
    made = client(home, enabled=False)

    assert not made.track("x")
    assert "enabled=False" in made.explain()
    assert list(home.iterdir()) == []


def test_telemetry_turned_off_meanwhile_stops_and_counts_what_waited(home):
    made = client(home)
    made.track("x")
    made.flush()
    (home / "telemetry.json").write_text('{"enabled": false}')
    made._pipeline._worker._consent_at = 0.0  # as if the seconds between two looks had passed
    made.track("y")
    made.flush(2)

    assert not made.track("z")
    assert dropped(made) == {"consent_withdrawn": 1}
    assert [row["event_name"] for row in rows(home)] == ["x"]


# --- what the rest of the house sees ---


def test_what_was_flushed_is_on_the_page_at_once(home):
    made = client(home)
    made.track("session_started", user_id="u1", user_tier="free")
    made.flush()

    assert scan("events", home).collect()["event_name"].to_list() == ["session_started"]
    made.close()


def test_the_counters_are_reported_beside_the_log(home):
    with client(home) as made:
        made.track("x")
        made.track("")

    [path] = (home / "pipeline").iterdir()
    [report] = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert (report["written"], report["dropped"]["invalid"], report["storing"]) == (1, 1, None)


def test_the_public_names_are_these():
    assert sorted(ingest.__all__) == ingest.__all__
    assert all(getattr(ingest, name) is not None for name in ingest.__all__)
    assert {"Client", "Error", "Event", "Trace", "message_template", "scrub", "stack_hash"} <= set(
        ingest.__all__
    )
    assert ingest.scrub.text("mail alice@example.com") != "mail alice@example.com"
    assert callable(ingest.stack_hash)


def test_the_environment_names_the_home(home, monkeypatch):
    monkeypatch.setenv("TELEMETRY_HOME", str(home))
    with Client(channel="web") as made:
        made.track("web_view_opened")

    assert (made.home, rows(home)[0]["channel"]) == (home, "web")
    assert os.environ["TELEMETRY_STRICT"] == "1"
