"""The older system's code runs as it was written: its documents' snippets, and what they leave."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import threading
import time
import traceback
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, date, datetime

import pytest

from ingest.migrate import OldDatabase
from ingest.older import (
    ExtensionTelemetryClient,
    MCPTelemetryClient,
    TelemetryClient,
    TelemetryError,
    TelemetryEvent,
    TelemetryTrace,
    get_extension_telemetry_client,
    get_mcp_telemetry_client,
)
from ingest.stack_hash import stack_hash
from ingest.storage import READ_FLUSH_S, ROWS_MAX, WRITERS_MAX, TelemetryStorage, _writers
from ingest.vocabulary import (
    TABLES,
    ChannelType,
    CortexEventName,
    EventSeverity,
    pseudonym,
    read_row,
)
from tests.said import NOON_S, lines, rows

SECRET = "ghp_" + "FAKEfakeFAKEfakeFAKEfakeFAKEfakeFAKE"
SAMPLE = """{
  "event_name": "context_loaded",
  "user_id_hash": "abc123...",
  "user_tier": "paid",
  "is_paid_user": true,
  "session_id": "sess_xyz789",
  "channel": "extension",
  "project_id": "proj_001",
  "branch_id": "branch_main",
  "context_id": "ctx_12345",
  "result": "success",
  "duration_ms": 150,
  "metadata": {
    "context_size_kb": 25,
    "compression_ratio": 0.3
  },
  "timestamp": "2025-12-14T10:30:45.123Z"
}"""


@pytest.fixture
def here(home, monkeypatch):
    """Make the home the one that a client without an argument writes to."""
    monkeypatch.setenv("TELEMETRY_HOME", str(home))
    yield home
    get_mcp_telemetry_client().shutdown()
    get_extension_telemetry_client().shutdown()


def everything(home):
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


def metadata(row):
    return json.loads(row["metadata"])


# --- the documents' own snippets ---


def test_track_tool_call(here):
    client = MCPTelemetryClient()
    client.track_tool_call(
        tool_name="search_context",
        user_tier="paid",
        user_id_hash="abc123",
        parameters={"query": "test", "top_k": 5},
        result="success",
        duration_ms=100,
        project_id="proj_xyz",
    )

    # DB에 저장되었는지 확인
    db = TelemetryStorage()
    events = db.get_events(event_type="tool_call", limit=1)
    assert len(events) == 1
    assert events[0]["tool_name"] == "search_context"


def test_a_client_written_as_the_documents_write_it_works(here):
    class OwnTelemetryClient(TelemetryClient):
        def __init__(self):
            super().__init__(service="mcp")

        def track_search_context(self, user_tier, user_id_hash, query, top_k, project_id=None):
            event = TelemetryEvent(
                service="mcp",
                event_type="search_context",
                user_tier=user_tier,
                user_id_hash=user_id_hash,
                event_data={"query": query, "top_k": top_k},
                result="success",
                duration_ms=7,
                project_id=project_id,
            )
            self.track_event(event)

        def track_activate(self, user_tier, user_id_hash, ide, project_path):
            event = TelemetryEvent(
                service="extension",
                event_type="activate",
                user_tier=user_tier,
                user_id_hash=user_id_hash,
                event_data={"ide": ide, "project_path": project_path},
                result="success",
            )
            self.track_event(event)

    client = OwnTelemetryClient()
    client.track_search_context("free", "u1", "a secret query", 5)
    client.track_activate("free", "u1", "cursor", "/home/alice/secret")

    activated, searched = TelemetryStorage().get_events()
    assert (activated["channel"], activated["metadata"]) == ("extension", {"ide": "cursor"})
    assert (searched["channel"], searched["metadata"]) == (
        "server",
        {"top_k": 5, "query_length": 14},
    )
    client.shutdown()
    assert b"secret" not in everything(here)


def test_an_event_of_the_oldest_form_is_converted():
    event = TelemetryEvent(
        service="mcp",
        event_type="tool_call",
        user_tier="free",
        user_id_hash="abc123",
    )

    assert (event.channel, event.event_name, event.is_paid_user) == ("server", "tool_call", False)
    assert (event.service, event.event_type, event.result) == ("mcp", "tool_call", "success")
    assert datetime.fromisoformat(event.timestamp).tzinfo is UTC


def test_an_event_before_and_after_its_migration_is_the_same():
    before = TelemetryEvent(
        service="mcp", event_type="context_loaded", user_tier="paid", user_id_hash="abc123"
    )
    after = TelemetryEvent(
        event_name=CortexEventName.CONTEXT_LOADED,
        channel="server",
        user_tier="paid",
        is_paid_user=True,
        user_id_hash="abc123",
    )

    named = ("event_name", "channel", "user_tier", "is_paid_user", "user_id_hash", "metadata")
    assert [getattr(before, name) for name in named] == [getattr(after, name) for name in named]
    assert type(after.event_name) is str


def test_all_core_events(here):
    telemetry = TelemetryClient()
    for event_name in CortexEventName:
        event = TelemetryEvent(event_name=event_name, user_id_hash="abc123", user_tier="free")
        telemetry.track_event(event)

    found = TelemetryStorage().get_events()
    assert {event["event_name"] for event in found} == {name.value for name in CortexEventName}
    assert len(found) == 18
    telemetry.shutdown()


def test_an_error_is_tracked(here):
    try:
        int("x")
    except ValueError:
        error = TelemetryError(
            error_type="ValueError",
            error_message="Invalid project ID",
            stack_trace=traceback.format_exc(),
            severity=EventSeverity.ERROR,
            user_id_hash="abc123",
            user_tier="free",
            related_event_name="context_loaded",
        )
    telemetry = TelemetryClient()
    assert telemetry.track_error(error)

    [row] = TelemetryStorage().get_errors()
    assert (row["error_type"], row["error_message"]) == ("ValueError", "Invalid project ID")
    assert (row["severity"], row["related_event_name"]) == ("error", "context_loaded")
    assert (row["user_id_hash"], row["user_tier"], row["service"]) == ("abc123", "free", "mcp")
    assert row["stack_hash"] == error.stack_hash
    assert 'int("x")' not in row["stack_trace"]
    telemetry.shutdown()


def test_a_trace_is_tracked(here):
    trace = TelemetryTrace(
        operation_name="rag_search",
        duration_ms=150,
        success=True,
        result_count=10,
        user_id_hash="abc123",
        metadata={"query_length": 50},
    )
    with TelemetryClient() as telemetry:
        telemetry.track_trace(trace)

    [row] = TelemetryStorage().get_traces()
    assert (row["operation_name"], row["duration_ms"], row["success"]) == (
        "rag_search",
        150.0,
        True,
    )
    assert (row["result_count"], row["metadata"]) == (10, {"query_length": 50})


def test_the_sample_event_reads_as_it_is_and_as_an_older_event(home):
    raw = json.loads(SAMPLE)
    [read] = read_row(raw)
    found = dict(zip(TABLES["events"].column_names, read.values, strict=True))
    TelemetryStorage(home).save_event(TelemetryEvent(**raw))
    [saved] = rows(home)

    for name, value in raw.items():
        assert found[name] == (
            value if name != "metadata" else json.dumps(value, separators=(", ", ": "))
        )
        assert saved[name] == found[name]
    assert (read.flags, read.table) == ((), "events")


def test_the_handler_of_the_search_tool_is_instrumented(here):
    def handle(query, project_id, top_k=5):
        user_id_hash = hashlib.sha256(b"alice").hexdigest()
        start_time = time.time()
        telemetry = get_mcp_telemetry_client()
        try:
            results = [query] if query else 1 / 0
        except ZeroDivisionError as e:
            duration_ms = int((time.time() - start_time) * 1000)
            telemetry.track_tool_call(
                tool_name="search_context",
                user_tier="free",
                user_id_hash=user_id_hash,
                parameters={"query": query, "top_k": top_k},
                result="error",
                duration_ms=duration_ms,
                error_message=str(e),
                project_id=project_id,
            )
            raise
        duration_ms = int((time.time() - start_time) * 1000)
        telemetry.track_search_context(
            user_tier="free",
            user_id_hash=user_id_hash,
            query=query,
            top_k=top_k,
            results_count=len(results),
            duration_ms=duration_ms,
            project_id=project_id,
        )
        return {"success": True, "results": results}

    assert handle("how do I fire Bob", "proj_1")["success"]
    with pytest.raises(ZeroDivisionError):
        handle("", "proj_1")

    failed, fine = TelemetryStorage().get_events()
    assert fine["metadata"] == {"query_length": 17, "top_k": 5, "results_count": 1}
    assert failed["metadata"] == {"query_length": 0, "top_k": 5, "tool_name": "search_context"}
    assert (failed["result"], fine["project_id"]) == ("error", "proj_1")
    [error] = TelemetryStorage().get_errors()
    assert (error["error_message"], error["related_event_name"]) == (
        "division by zero",
        "tool_call",
    )
    assert b"Bob" not in everything(here)


def test_old_logs_are_saved_one_by_one(here):
    old_logs = [{"at": f"2025-12-{day:02d}T12:00:00Z", "tool": "search"} for day in range(1, 31)]

    for log in old_logs:
        event = TelemetryEvent(
            service="mcp",
            event_type="tool_call",
            user_tier="free",
            user_id_hash="abc123",
            tool_name=log["tool"],
            timestamp=log["at"],
        )
        db = TelemetryStorage()
        assert db.save_event(event)

    assert len(rows(here)) == 30
    assert rows(here)[0]["timestamp"] == "2025-12-01T12:00:00.000Z"
    assert len(list(here.glob("log/*/*.jsonl"))) == 1, (
        "a storage for each event is no file for each"
    )


def test_a_product_that_turned_telemetry_off_writes_nothing(here):
    telemetry_enabled = False  # config.py: TELEMETRY_ENABLED = False
    with TelemetryClient(enabled=telemetry_enabled) as telemetry:
        assert not telemetry.track_event(TelemetryEvent("x", "abc", "free"))
        assert not telemetry.emit_event("x")
        assert not telemetry.track_error(ValueError("x"))

    assert list(here.iterdir()) == []


# --- the three records ---


def test_the_fields_stand_in_the_documents_order():
    values = ("context_loaded", "abc", "paid", True, "s1", "web", "p", "b", "c", "timeout", 5)
    event = TelemetryEvent(*values, {"a": 1})

    assert asdict(event) == {
        "event_name": "context_loaded",
        "user_id_hash": "abc",
        "user_tier": "paid",
        "is_paid_user": True,
        "session_id": "s1",
        "channel": "web",
        "project_id": "p",
        "branch_id": "b",
        "context_id": "c",
        "result": "timeout",
        "duration_ms": 5,
        "metadata": {"a": 1},
        "timestamp": event.timestamp,
        "service": None,
        "event_type": None,
        "tool_name": None,
        "event_data": {},
        "error_message": None,
    }


def test_the_callers_dicts_stay_as_they_are():
    given, data = {"top_k": 1}, {"top_k": 2, "results_count": 3}
    event = TelemetryEvent("x", "abc", metadata=given, event_data=data, tool_name="search")

    assert event.metadata == {"top_k": 2, "results_count": 3, "tool_name": "search"}
    assert (given, data) == ({"top_k": 1}, {"top_k": 2, "results_count": 3})
    assert event.event_data is data


@pytest.mark.parametrize(
    ("given", "channel"),
    [
        ({}, "server"),
        ({"service": "mcp"}, "server"),
        ({"service": "extension"}, "extension"),
        ({"service": "ext"}, "extension"),
        ({"channel": "mcp"}, "server"),
        ({"channel": ChannelType.WEB}, "web"),
        ({"channel": "web", "service": "extension"}, "web"),
    ],
)
def test_the_service_becomes_the_channel(given, channel):
    assert TelemetryEvent("x", "abc", **given).channel == channel


@pytest.mark.parametrize(
    ("tier", "said", "is_paid"),
    [
        ("free", False, False),
        ("trial", False, False),
        ("paid", False, True),
        ("enterprise", False, True),
        ("free", True, False),
        ("", True, True),
    ],
)
def test_the_tier_decides_who_pays(home, tier, said, is_paid):
    event = TelemetryEvent("x", "abc", tier, is_paid_user=said)
    TelemetryStorage(home).save_event(event)

    assert event.is_paid_user is is_paid
    assert rows(home)[0]["is_paid_user"] == is_paid


def test_an_error_knows_its_hash_and_keeps_one_it_was_given():
    trace = 'Traceback (most recent call last):\n  File "app.py", line 3, in f\nValueError: x'
    error = TelemetryError("ValueError", "x", trace)

    assert error.stack_hash == stack_hash(trace, error_type="ValueError", message="x")
    assert TelemetryError("ValueError", "x", trace, "abc").stack_hash == "abc"
    assert asdict(error)["stack_hash"] == error.stack_hash


def test_what_makes_no_sense_does_not_raise():
    event = TelemetryEvent(event_type=None, metadata=None, event_data="text", user_tier=None)

    assert (event.event_name, event.metadata, event.user_tier) == ("", {}, "")


# --- the clients ---


def test_every_call_of_the_mcp_client_leaves_its_event(here):
    client = MCPTelemetryClient()
    client.track_tool_call(
        "load", "free", "u1", {"top_k": 1, "model": "m"}, "timeout", 7, None, "p", "b"
    )
    client.track_branch_create("free", "u1", "a secret topic", "auto", "p")
    client.track_search_context("free", "u1", "a secret query", 5, 3, 12, "p")
    client.track_compress_context("free", "u1", 900, 300, 0.67, "p", "b")
    client.track_reference_suggest("free", "u1", 4, True, "p")  # noqa: FBT003 - the older signature
    client.shutdown()

    assert [(row["event_name"], row["result"], row["duration_ms"]) for row in rows(here)] == [
        ("tool_call", "timeout", 7.0),
        ("branch_create", "success", None),
        ("search_context", "success", 12.0),
        ("compress_context", "success", None),
        ("reference_suggest", "success", None),
    ]
    assert [metadata(row) for row in rows(here)] == [
        {"top_k": 1, "model": "m", "tool_name": "load"},
        {"auto_or_manual": "auto"},
        {"top_k": 5, "results_count": 3, "query_length": 14},
        {"before_tokens": 900, "after_tokens": 300, "savings_rate": 0.67},
        {"suggestion_count": 4, "accepted": True},
    ]
    assert {row["channel"] for row in rows(here)} == {"server"}
    assert [row["branch_id"] for row in rows(here)] == ["b", None, None, "b", None]
    assert b"secret" not in everything(here)


def test_every_call_of_the_extension_client_leaves_its_event(here):
    client = ExtensionTelemetryClient()
    client.track_install("free", "u1", "vscode", "1.2.3")
    client.track_activate("free", "u1", "cursor", "/home/alice/projects/secret")
    client.track_ui_interaction("free", "u1", "click", "open_panel_button", "p")
    client.track_code_insert("free", "u1", "python", 12, "p")
    client.track_error("free", "u1", "TypeError", f"cannot read {SECRET}", "at f (a.js:1:2)")
    client.shutdown()

    assert [(row["event_name"], metadata(row)) for row in rows(here)] == [
        ("install", {"ide": "vscode", "version": "1.2.3"}),
        ("activate", {"ide": "cursor"}),
        ("ui_interaction", {"action": "click", "element": "open_panel_button"}),
        ("code_insert", {"language": "python", "lines_inserted": 12}),
        ("error", {}),
    ]
    assert {row["channel"] for row in rows(here)} == {"extension"}
    [error] = rows(here, "errors")
    assert (error["error_type"], error["related_event_name"]) == ("TypeError", "error")
    assert (error["channel"], error["user_id_hash"], error["severity"]) == (
        "extension",
        "u1",
        "error",
    )
    assert error["stack_trace"] == "at f (a.js:1:2)"
    assert not [word for word in (b"alice", b"secret", SECRET.encode()) if word in everything(here)]


def test_a_query_stays_out_even_when_the_team_allows_the_key(here):
    keys = ("query", "prompt", "project_path", "branch_topic")
    allowed = "".join(f'{key} = "text"\n' for key in keys)
    (here / "telemetry.toml").write_text(f"[metadata]\n{allowed}")
    with MCPTelemetryClient() as client:
        client.track_search_context("free", "u1", "a secret query", 5, 3, 12)
        client.track_branch_create("free", "u1", "a secret topic", "auto", "p")
        given = {"query": "secret", "prompt": "secret", "project_path": "/secret"}
        client.track_tool_call("load", "free", "u1", given, "success", 1)
    with ExtensionTelemetryClient() as client:
        client.track_activate("free", "u1", "cursor", "/home/secret")

    assert len(rows(here)) == 4
    assert b"secret" not in everything(here)


def test_an_event_with_a_message_that_succeeded_is_a_warning(home):
    with TelemetryClient(home=home) as client:
        client.track_event(TelemetryEvent("x", "abc", error_message="tried twice"))
        client.track_event(TelemetryEvent("x", "abc", result="timeout", error_message="gave up"))

    assert [(row["error_type"], row["severity"]) for row in rows(home, "errors")] == [
        ("Error", "warning"),
        ("Timeout", "error"),
    ]


def test_a_client_fills_in_its_own_channel_and_user(home):
    with TelemetryClient("extension", home, user_id_hash="mine", session_id="s1") as client:
        client.track_event(TelemetryEvent("x"))
        client.track_event(TelemetryEvent("x", "other", channel="server"))

    assert [(row["channel"], row["user_id_hash"], row["session_id"]) for row in rows(home)] == [
        ("extension", "mine", "s1"),
        ("server", "other", "s1"),
    ]


def test_a_channel_may_be_said_after_the_event_was_made(home):
    late = TelemetryEvent("x", "abc")
    late.channel = "web"
    with TelemetryClient("extension", home) as client:
        client.track_event(late)

    assert rows(home)[0]["channel"] == "web"


def test_a_parameter_cannot_pass_for_the_tool(home):
    with MCPTelemetryClient(home) as client:
        client.track_tool_call("load", "free", "u1", {"tool_name": "other"}, "success", 1)

    assert metadata(rows(home)[0]) == {"tool_name": "load"}


def test_an_event_can_be_emitted_by_name(home):
    with TelemetryClient(home=home) as client:
        data = {
            "user_id_hash": "abc",
            "user_tier": "paid",
            "top_k": 5,
            "metadata": {"accepted": True},
        }
        assert client.emit_event(CortexEventName.CONTEXT_LOADED, data)
        assert client.emit_event("x", {"user_id": "alice@example.com", "code": "print()"})
        assert client.emit_event("y")

    first, second, third = rows(home)
    assert (first["event_name"], first["user_tier"], first["user_id_hash"]) == (
        "context_loaded",
        "paid",
        "abc",
    )
    assert metadata(first) == {"top_k": 5, "accepted": True}
    salt = (home / "salt").read_bytes().strip()
    assert second["user_id_hash"] == pseudonym("alice@example.com", salt)
    assert third["user_id_hash"] != second["user_id_hash"]
    assert (metadata(second), data["metadata"]) == ({}, {"accepted": True})


def test_an_exception_is_tracked_with_its_context(home):
    with TelemetryClient(home=home) as client:
        given = {"user_id_hash": "abc", "severity": "critical", "attempt": 2, "query": "secret"}
        assert client.track_error(LookupError(f"no {SECRET}"), given)
        error = TelemetryError("KeyError", "x", user_id_hash="abc", metadata={"attempt": 1})
        more = {"user_id": "alice", "session_id": "s1", "attempt": 9, "related_event_name": "load"}
        assert client.track_error(error, more)
        assert client.track_error("the disk is slow")

    first, second, third = rows(home, "errors")
    assert (first["error_type"], first["user_id_hash"], first["severity"]) == (
        "LookupError",
        "abc",
        "critical",
    )
    assert metadata(first)["attempt"] == 2
    assert SECRET not in first["error_message"]
    assert (second["user_id_hash"], second["session_id"], metadata(second)) == (
        "abc",
        "s1",
        {"attempt": 1},
    )
    assert second["related_event_name"] == "load"
    assert third["error_message"] == "the disk is slow"


def test_a_client_never_raises_into_its_host(home):
    client = TelemetryClient(home=home, environ={})

    assert client.track_event("not an event") is False
    assert client.track_trace(None) is False
    assert client.stats()["faults"] == 2
    assert client.shutdown()


def test_the_singletons_are_one_for_all_threads_and_new_after_a_shutdown(here):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(get_mcp_telemetry_client())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = get_mcp_telemetry_client()
    assert set(map(id, found)) == {id(first)}
    assert first.home == here

    first.shutdown()
    second = get_mcp_telemetry_client()
    assert second is not first
    assert second is get_mcp_telemetry_client()
    first.shutdown()
    assert second is get_mcp_telemetry_client()
    assert get_extension_telemetry_client().service == "extension"


def test_a_read_waits_for_the_clients_of_its_own_home_only(home, tmp_path):
    other = TelemetryClient(home=tmp_path / "other")
    other.client._pipeline._pausing = True  # its thread does not come
    other.emit_event("x")
    started_s = time.monotonic()

    assert TelemetryStorage(home).get_events() == []
    assert time.monotonic() - started_s < READ_FLUSH_S
    assert other.stats()["buffered"] == 1
    other.client._pipeline.resume()
    other.close()


# --- storage ---


def event(name="tool_call", at="2025-12-14T12:00:00Z", **said):
    return TelemetryEvent(**({"event_type": name, "user_id_hash": "u1", "timestamp": at} | said))


@pytest.fixture
def storage(home):
    return TelemetryStorage(home)


def test_what_is_saved_is_durable_when_save_returns(home, storage):
    assert storage.save_event(event(error_message="no", result="error"))
    assert storage.save_error(TelemetryError("KeyError", f"no {SECRET}", user_id_hash="u1"))
    assert storage.save_trace(TelemetryTrace("rag_search", 150, user_id_hash="u1"))

    assert len(lines(home)) == 4
    counts = [len(rows(home, name)) for name in ("events", "errors", "traces")]
    assert counts == [1, 2, 1]
    assert SECRET.encode() not in everything(home)


def test_saving_scrubs_as_tracking_does(home, storage):
    storage.save_event(
        event(
            metadata={"query": "secret", "file_name": "secret.py", "top_k": 1},
            user_id_hash="alice@example.com",
            project_id="/home/alice/secret",
        )
    )

    assert metadata(rows(home)[0]) == {"query_length": 6, "top_k": 1}
    assert not [word for word in (b"alice", b"secret") if word in everything(home)]


@pytest.mark.parametrize("environ", [{"DO_NOT_TRACK": "1"}, {"TELEMETRY": "0"}])
def test_nothing_is_saved_with_telemetry_off(home, environ):
    assert not TelemetryStorage(home, environ=environ).save_event(event())
    assert list(home.iterdir()) == []


def test_errors_can_be_left_out_alone(home):
    storage = TelemetryStorage(home, environ={"TELEMETRY_ERRORS": "0"})

    assert not storage.save_error(TelemetryError("KeyError", "x"))
    assert storage.save_event(event(error_message="no"))
    assert (len(rows(home)), rows(home, "errors")) == (1, [])


def test_what_cannot_be_saved_says_so(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    storage = TelemetryStorage(tmp_path / "file" / "home", environ={})

    assert storage.save_event(event()) is False


def test_an_event_without_a_name_is_not_saved(storage):
    assert not storage.save_event(TelemetryEvent(user_id_hash="u1"))


def test_an_event_shows_the_oldest_names_beside_the_new_ones(storage):
    storage.save_event(
        event(
            service="mcp",
            user_tier="paid",
            tool_name="search",
            event_data={"top_k": 5},
            duration_ms=7,
        )
    )
    [found] = storage.get_events()

    found.pop("event_id")
    assert found == {
        "timestamp": "2025-12-14T12:00:00.000Z",
        "event_name": "server_operation_called",
        "source_name": "tool_call",
        "event_type": "tool_call",
        "service": "mcp",
        "channel": "server",
        "tool_name": "search",
        "user_id_hash": "u1",
        "user_tier": "paid",
        "is_paid_user": True,
        "session_id": "",
        "project_id": None,
        "branch_id": None,
        "context_id": None,
        "result": "success",
        "duration_ms": 7.0,
        "metadata": {"top_k": 5, "tool_name": "search"},
        "event_data": {"top_k": 5, "tool_name": "search"},
        "release": None,
        "weight": 1.0,
    }


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("tool_call", [0, 1, 2, 3]),
        ("mcp.tool_call", [0, 1, 2, 3]),
        ("search_context", [3, 4]),
        ("update_memory", [5]),
        ("server_operation_called", [0, 1, 2, 3, 4, 5]),
        ("mcp.server_operation_called", [0, 1, 2, 3, 4, 5]),
        ("branch_create", [6, 7, 8, 9, 15]),
        ("context_created", [6, 9]),
        ("context_auto_created", [7, 8, 15]),
        ("activate", [10, 11]),
        ("extension_activated", [10, 11]),
        ("install", [12, 13]),
        ("ext.install", [12, 13]),
        ("our_own", [14]),
        ("' OR 1=1 --", []),
        ("nothing", []),
        (CortexEventName.CONTEXT_LOADED, []),
    ],
)
def test_an_event_is_found_by_any_of_its_names(storage, asked, found):
    written = [
        event("tool_call"),
        event("mcp.tool_call"),
        event("server_operation_called", tool_name="load"),
        event("server_operation_called", tool_name="search_context"),
        event("search_context"),
        event("mcp.update_memory"),
        event("branch_create", event_data={"auto_or_manual": "manual"}),
        event("branch_create", event_data={"auto_or_manual": "auto"}),
        event("mcp.branch_create", event_data={"automatic": True}),
        event("context_created"),
        event("activate"),
        event("extension_activated"),
        event("install"),
        event("ext.install"),
        event("our_own"),
        event("context_auto_created"),
    ]
    for number, one in enumerate(written):
        one.metadata["count"] = number
        storage.save_event(one)

    assert sorted(one["metadata"]["count"] for one in storage.get_events(event_type=asked)) == found


def test_a_branch_without_a_word_on_how_was_created_by_hand(storage):
    storage.save_event(event("branch_create"))

    [found] = storage.get_events(event_type="context_created")
    assert found["event_name"] == "context_created"
    assert storage.get_events(event_type="context_auto_created") == []


def test_the_filters_narrow_each_other_down(storage):
    storage.save_event(event("a", service="mcp", user_tier="free", project_id="p1"))
    storage.save_event(event("b", service="extension", user_tier="paid", project_id="p1"))
    storage.save_event(event("c", channel="web", user_tier="paid", user_id_hash="u2"))

    def names(**asked):
        return "".join(sorted(one["event_name"] for one in storage.get_events(**asked)))

    assert names(service="mcp") == names(service=ChannelType.SERVER) == "a"
    assert names(service="extension") == names(service="ext") == "b"
    assert names(user_tier="PAID") == "bc"
    assert names(user_tier="paid", project_id="p1") == "b"
    assert names(user_id_hash="u2") == "c"
    assert names(user_id_hash="u2", service="mcp") == ""
    assert names(service="x' OR '1'='1") == names(user_tier="' --") == names(project_id="'") == ""
    assert names() == "abc"


def test_a_project_or_user_that_was_kept_as_a_pseudonym_is_found_by_its_name(home):
    with TelemetryClient(home=home) as client:
        client.track_event(event("x", project_id="Acme Redesign", user_id_hash="alice@example.com"))
    storage = TelemetryStorage(home)

    assert len(storage.get_events(project_id="Acme Redesign")) == 1
    assert len(storage.get_events(user_id_hash="alice@example.com")) == 1


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        (None, None, [0, 23, 24, 47]),
        (date(2025, 12, 14), date(2025, 12, 14), [0, 23]),
        ("2025-12-14", "2025-12-14", [0, 23]),
        ("2025-12-15", None, [24, 47]),
        (None, "2025-12-13", []),
        (datetime(2025, 12, 14, 23, tzinfo=UTC), datetime(2025, 12, 15, 23, tzinfo=UTC), [23, 24]),
        (datetime(2025, 12, 14, 23), None, [23, 24, 47]),  # noqa: DTZ001 - a naive time is UTC
        ("2025-12-15T00:30:00+01:00", "2025-12-15T00:00:00.001Z", [24]),
        ("2025-12-14T23:00:00Z", "2025-12-15T00:00:00Z", [23]),
    ],
)
def test_dates_bound_the_answer(storage, start, end, hours):
    for hour in (0, 23, 24, 47):
        at = f"2025-12-{14 + hour // 24}T{hour % 24:02d}:00:00Z"
        storage.save_event(event(at=at, event_data={"count": hour}))

    found = storage.get_events(start_date=start, end_date=end)
    assert [one["metadata"]["count"] for one in found] == hours[::-1]


def test_a_date_that_cannot_be_read_says_what_can(storage):
    with pytest.raises(ValueError, match=r"start_date = 'yesterday' is no time\. Give a date"):
        storage.get_events(start_date="yesterday")


def test_pages_are_newest_first_and_bounded(storage):
    for minute in range(5):
        storage.save_event(event(at=f"2025-12-14T12:0{minute}:00Z", event_data={"count": minute}))

    def counts(limit, offset=0):
        return [one["metadata"]["count"] for one in storage.get_events(limit=limit, offset=offset)]

    assert counts(2) == [4, 3]
    assert counts(2, 2) == [2, 1]
    assert counts(-1) == counts(0) == []
    assert counts(2, -7) == [4, 3]
    assert counts(10**9) == [4, 3, 2, 1, 0]


def test_one_answer_has_a_limit(home, storage):
    storage.save_event(event())
    with closing(sqlite3.connect(home / "telemetry.db")) as connection, connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO telemetry_events (timestamp, event_name, user_id_hash) "
            "SELECT '2025-12-14T12:00:00.000Z', 'x', 'u' FROM n",
            (ROWS_MAX,),
        )

    assert len(storage.get_events(limit=10**9)) == ROWS_MAX
    assert len(storage.get_events(limit=10**9, offset=ROWS_MAX)) == 1


def test_errors_and_traces_are_found_likewise(storage):
    storage.save_error(TelemetryError("KeyError", "x", user_id_hash="u1", user_tier="paid"))
    storage.save_error(TelemetryError("ValueError", "x", user_id_hash="u2", channel="extension"))
    storage.save_trace(TelemetryTrace("rag_search", 5, user_id_hash="u1", project_id="p1"))
    storage.save_trace(TelemetryTrace("compress", 5, False, user_id_hash="u1"))  # noqa: FBT003 - the older order

    assert [one["error_type"] for one in storage.get_errors(error_type="KeyError")] == ["KeyError"]
    assert [one["error_type"] for one in storage.get_errors("ext")] == ["ValueError"]
    assert [one["user_tier"] for one in storage.get_errors(user_tier="paid")] == ["paid"]
    assert [one["success"] for one in storage.get_traces(operation_name="compress")] == [False]
    assert len(storage.get_traces("mcp", project_id="p1", start_date="2020-01-01")) == 1
    assert storage.get_traces(end_date="2020-01-01") == []


@pytest.mark.parametrize("made", [False, True], ids=["no home", "an empty home"])
def test_a_home_without_data_has_no_events(tmp_path, made):
    if made:
        (tmp_path / "home").mkdir()
        sqlite3.connect(tmp_path / "home" / "telemetry.db").close()
    storage = TelemetryStorage(tmp_path / "home")

    assert storage.get_events() == storage.get_errors() == storage.get_traces() == []
    assert (tmp_path / "home").exists() == made


def test_reading_leaves_every_file_as_it_was(home, storage, tmp_path):
    storage.save_event(event())
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)  # as a crash would leave it: the row is in the -wal only
    before = {path.name: path.read_bytes() for path in copy.glob("telemetry.db*")}
    assert "telemetry.db-wal" in before

    assert len(TelemetryStorage(copy).get_events()) == 1
    after = {path.name: path.read_bytes() for path in copy.glob("telemetry.db*")}
    for name in ("telemetry.db", "telemetry.db-wal"):
        assert after[name] == before[name]


def test_reading_works_while_somebody_writes(home, storage):
    storage.save_event(event())
    with closing(sqlite3.connect(home / "telemetry.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert len(storage.get_events()) == 1


def test_an_older_systems_database_says_how_to_bring_it_over(home, storage):
    with closing(sqlite3.connect(home / "telemetry.db")) as old:
        old.execute("CREATE TABLE telemetry_events (id INTEGER, service TEXT, event_type TEXT)")

    with pytest.raises(OldDatabase, match="python -m ingest migrate"):
        storage.get_events()


def test_many_threads_save_and_each_row_is_there_once(home):
    def save():
        for _ in range(25):
            TelemetryStorage(home).save_event(event())

    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({row["event_id"] for row in rows(home)}) == 100
    assert len(list(home.glob("log/*/*.jsonl"))) == 1


def test_a_forked_process_saves_into_a_file_of_its_own(home, storage):
    storage.save_event(event())
    child = os.fork()
    if child == 0:
        is_closed = all(writer._connection is None for writer in _writers._writers.values())
        os._exit(0 if is_closed and storage.save_event(event()) else 1)
    _, status = os.waitpid(child, 0)
    storage.save_event(event())

    assert os.waitstatus_to_exitcode(status) == 0
    assert len({row["event_id"] for row in rows(home)}) == 3
    assert len(list(home.glob("log/*/*.jsonl"))) == 2


def test_only_so_many_homes_are_kept_open(tmp_path):
    for number in range(WRITERS_MAX + 3):
        assert TelemetryStorage(tmp_path / f"home{number}").save_event(event())

    assert len(_writers._writers) == WRITERS_MAX
    assert TelemetryStorage(tmp_path / "home0").save_event(event())
    assert len(rows(tmp_path / "home0")) == 2


def test_the_clock_names_the_day_of_the_log(home):
    TelemetryStorage(home, now=lambda: NOON_S).save_event(event())

    assert [path.name for path in (home / "log").iterdir()] == ["2026-03-01"]
