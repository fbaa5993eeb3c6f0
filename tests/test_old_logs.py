"""An older system's history comes over whole, once, and with nothing made up."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import sqlite3
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from data_access import Window, metrics, scan
from ingest import old_logs
from ingest.__main__ import main
from ingest.loader import CannotLoad, load
from ingest.old_logs import migrate, read_old_record
from ingest.vocabulary import TABLES, Refused, pseudonym

DATA = Path(__file__).parent / "data"

# as the older system's documents print it
SEED: dict[str, Any] = {
    "timestamp": "2025-12-14T08:30:00Z",
    "level": "INFO",
    "service": "mcp",
    "event_type": "tool_call",
    "user_tier": "paid",
    "user_id_hash": "abc123",
    "tool_name": "search_context",
    "parameters": {"query": "where is the parser", "top_k": 5},
    "result": "success",
    "duration_ms": 125,
    "error": None,
    "metadata": {"project_id": "proj_xyz", "branch_id": "branch_123"},
}
DAY: dict[str, Any] = {
    "date": "2025-12-01",
    "event_type": "tool_call",
    "count": 41,
    "user_id_hash": "abc123",
}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


def lines(*records: dict[str, Any] | str) -> bytes:
    texts = [one if isinstance(one, str) else json.dumps(one) for one in records]
    return "".join(text + "\n" for text in texts).encode()


def rows_of(record: object) -> list[dict[str, Any]]:
    """Return the rows of a record by column name, metadata read, and the table."""
    found = []
    for row in read_old_record(record, event_id=lambda: "id"):
        values = dict(zip(TABLES[row.table].column_names, row.values, strict=True))
        found.append(values | {"table": row.table, "metadata": json.loads(values["metadata"])})
    return found


def rows(home: Path, sql: str) -> list[tuple]:
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        return connection.execute(sql).fetchall()


def ids(home: Path) -> list[tuple]:
    return rows(home, "SELECT event_id FROM telemetry_events ORDER BY event_id")


# --- one record ------------------------------------------------------------------------------


def test_the_seeds_line_is_an_event_with_its_query_as_a_length():
    [row] = rows_of(SEED)

    assert row == row | {
        "table": "events",
        "timestamp": "2025-12-14T08:30:00.000Z",
        "event_name": "tool_call",
        "channel": "server",
        "user_tier": "paid",
        "is_paid_user": 1,
        "user_id_hash": "abc123",
        "project_id": "proj_xyz",
        "branch_id": "branch_123",
        "result": "success",
        "duration_ms": 125.0,
        "weight": 1.0,
        "session_id": "",
        "metadata": {
            "level": "INFO",
            "tool_name": "search_context",
            "top_k": 5,
            "query_length": 19,
        },
    }


def test_what_a_line_does_not_say_stays_unsaid():
    [row] = rows_of({"timestamp": "2025-12-14T08:30:00Z", "event_type": "install", "user_id": "u"})

    unsaid = ("duration_ms", "project_id", "branch_id", "context_id", "release")
    assert [row[name] for name in unsaid] == [None] * 5
    assert (row["session_id"], row["channel"], row["user_tier"]) == ("", "", "")
    assert row["metadata"] == {}


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        ("ERROR", "error"),
        ("CRITICAL", "critical"),
        ("WARNING", "warning"),
        ("warn", "warning"),
        ("FATAL", "critical"),
        ("loud", "error"),
        (None, "error"),
    ],
)
def test_an_error_in_a_line_is_an_error_as_severe_as_its_level(level, severity):
    event, error = rows_of(SEED | {"error": "Query timed out", "result": "timeout", "level": level})

    assert (event["table"], event["result"]) == ("events", "timeout")
    assert "error" not in event["metadata"]
    assert (error["table"], error["severity"]) == ("errors", severity)
    assert (error["error_message"], error["error_type"]) == ("Query timed out", "Timeout")
    assert error["related_event_name"] == "tool_call"


def test_an_error_given_as_an_object_is_taken_apart():
    given = {"type": "ValueError", "message": "bad id", "traceback": "Traceback ..."}
    event, error = rows_of(SEED | {"error": given, "result": "error"})

    assert (error["error_type"], error["error_message"], error["stack_trace"]) == (
        "ValueError",
        "bad id",
        "Traceback ...",
    )
    assert "stack_trace" not in event["metadata"]


def test_an_error_object_without_a_message_keeps_what_it_says():
    _, error = rows_of(SEED | {"error": {"code": 7}})

    assert (error["error_type"], error["error_message"]) == ("7", '{"code": 7}')


@pytest.mark.parametrize("result", [None, ""])
def test_a_line_with_an_error_and_no_result_did_not_succeed(result):
    assert rows_of(SEED | {"error": "boom", "result": result})[0]["result"] == "error"
    assert rows_of(SEED | {"result": result})[0]["result"] == "success"


@pytest.mark.parametrize("nothing", [None, "", False, {}, []])
def test_an_empty_error_is_none(nothing):
    [row] = rows_of(SEED | {"error": nothing})

    assert "error" not in row["metadata"]


def test_a_result_that_is_no_word_becomes_one_and_its_content_metadata():
    assert rows_of(SEED | {"result": True})[0]["result"] == "success"
    assert rows_of(SEED | {"result": False})[0]["result"] == "error"
    [row] = rows_of(SEED | {"result": {"status": "timeout", "hits": 3}})
    assert row["result"] == "timeout"
    assert row["metadata"]["result"] == {"status": "timeout", "hits": 3}
    [row] = rows_of(SEED | {"result": ["a", "b"]})
    assert row["result"] == "success"


def test_parameters_nobody_knows_stay_under_their_name():
    [row] = rows_of(SEED | {"parameters": {"depth": 3, "tool_name": "other", "where": {"a": 1}}})

    assert row["metadata"]["parameters"] == {"depth": 3, "where": {"a": 1}}
    assert row["metadata"]["tool_name"] == "search_context"


def test_metadata_written_as_text_is_read():
    text = json.dumps({"project_id": "p", "ide": "vscode"})
    [row] = rows_of(SEED | {"metadata": text, "parameters": '{"top_k": 3}'})

    assert (row["project_id"], row["metadata"]["ide"], row["metadata"]["top_k"]) == (
        "p",
        "vscode",
        3,
    )


def test_a_column_of_the_line_wins_over_the_metadata():
    [row] = rows_of(SEED | {"project_id": "own"})

    assert row["project_id"] == "own"


def test_the_record_given_is_left_as_it_was():
    given = SEED | {"error": "x", "metadata": {"project_id": "p"}}
    before = json.dumps(given)
    read_old_record(given)

    assert json.dumps(given) == before


def test_a_line_of_the_new_schema_passes_as_it_is():
    given = {
        "timestamp": "2026-01-01T00:00:00Z",
        "event_name": "context_loaded",
        "user_id_hash": "u",
        "event_id": "e1",
        "weight": 20,
        "metadata": {"count": 3},
    }
    [row] = rows_of(given)

    assert (row["event_id"], row["weight"], row["metadata"]) == ("e1", 20.0, {"count": 3})


def test_what_is_no_object_is_refused():
    with pytest.raises(Refused, match="not an object"):
        read_old_record([1])


# --- a day and a count -----------------------------------------------------------------------


def test_a_day_with_a_count_is_at_noon_and_weighs_its_count():
    first, rest = rows_of(DAY)

    assert [one["timestamp"] for one in (first, rest)] == ["2025-12-01T12:00:00.000Z"] * 2
    assert (first["weight"], rest["weight"]) == (1.0, 40.0)
    assert first["event_id"] != rest["event_id"]
    for one in (first, rest):
        assert (one["duration_ms"], one["session_id"], one["metadata"]) == (None, "", {})


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ({"count": 1}, [1.0]),
        ({"count": 2}, [1.0, 1.0]),
        ({"count": "3"}, [1.0, 2.0]),
        ({"count": None}, [1.0]),
        ({}, [1.0]),
    ],
)
def test_a_days_weights_sum_to_its_count(given, count):
    record = {key: value for key, value in DAY.items() if key != "count"} | given

    assert [one["weight"] for one in rows_of(record)] == count


@pytest.mark.parametrize("spelling", ["2025-12-01", "20251201", 20251201, " 2025-12-01 "])
@pytest.mark.parametrize("name", ["date", "day", "timestamp"])
def test_a_day_may_be_spelled_in_several_ways(name, spelling):
    record = {key: value for key, value in DAY.items() if key != "date"} | {name: spelling}

    assert rows_of(record)[0]["timestamp"] == "2025-12-01T12:00:00.000Z"
    assert not rows_of(record)[0]["metadata"]


def test_an_hour_that_was_recorded_is_kept_and_a_count_beside_it_is_no_weight():
    [row] = rows_of(DAY | {"timestamp": "2025-12-01T08:00:00Z"})

    assert (row["timestamp"], row["weight"]) == ("2025-12-01T08:00:00.000Z", 1.0)
    assert row["metadata"]["count"] == 41


@pytest.mark.parametrize("count", [0, "0", -1, 1.5, "many", True, "nan", "inf", 10**13, [1]])
def test_a_count_that_is_no_number_of_events_is_refused(count):
    with pytest.raises(Refused, match="count"):
        rows_of(DAY | {"count": count})


def test_a_day_that_is_none_is_refused():
    with pytest.raises(Refused, match="no readable time"):
        rows_of(DAY | {"date": "2025-13-01"})


def test_the_whole_days_numbers_are_kept_once_and_its_words_with_every_event():
    first, rest = rows_of(
        DAY | {"duration_ms": 900, "tool_name": "search", "metadata": {"tokens_input": 4_100}}
    )

    assert (first["duration_ms"], rest["duration_ms"]) == (None, None)
    assert first["metadata"] == {"tool_name": "search", "tokens_input": 4_100, "duration_ms": 900}
    assert rest["metadata"] == {"tool_name": "search"}


def test_a_days_errors_are_counted_by_occurrences():
    record = {key: value for key, value in DAY.items() if key != "event_type"}
    [error] = rows_of(record | {"error_type": "TimeoutError"})
    assert (error["table"], error["occurrences"], error["weight"]) == ("errors", 41, 1.0)

    first, error, rest = rows_of(DAY | {"error": "boom", "result": "error"})
    assert (error["table"], error["occurrences"], error["weight"]) == ("errors", 41, 1.0)
    assert first["weight"] + rest["weight"] == 41


def test_a_days_history_counts_events_by_weight_and_each_person_once(home, old):
    (old / "days.jsonl").write_bytes(
        lines(DAY, DAY | {"user_id_hash": "u2", "count": 9}, DAY | {"date": "2025-12-02"})
    )
    migrate(old, home)
    window = Window(date(2025, 12, 1), date(2025, 12, 3))

    events = scan("events", home)
    assert events.collect()["weight"].sum() == 91.0
    assert events.collect()["event_name"].unique().to_list() == ["server_operation_called"]
    daily = metrics.active_users(events, window).collect()
    assert daily["users"].to_list() == [2.0, 1.0]


def test_a_severity_and_occurrences_that_were_recorded_are_kept():
    record = {key: value for key, value in DAY.items() if key != "event_type"}
    given = {"error_type": "E", "severity": "info", "level": "ERROR", "occurrences": 7}
    [error] = rows_of(record | given)

    assert (error["severity"], error["occurrences"]) == ("info", 7)


# --- folders ---------------------------------------------------------------------------------


def test_a_folder_of_plain_and_packed_and_nested_files_comes_over_whole(home, old):
    (old / "2025-12-13.jsonl").write_bytes(lines(SEED))
    (old / "mcp").mkdir()
    (old / "mcp" / "2025-12-14.jsonl.gz").write_bytes(
        gzip.compress(lines(SEED | {"user_id_hash": "u2"}, SEED | {"user_id_hash": "u3"}))
    )
    (old / "notes.txt").write_text("not a log")

    summary = migrate(old, home)

    assert (summary.files, summary.account.lines, summary.account.accepted) == (2, 3, 3)
    assert rows(home, "SELECT count(*) FROM telemetry_events") == [(3,)]


def test_a_file_and_its_packed_copy_are_the_same_lines(home, old):
    (old / "a.jsonl").write_bytes(lines(SEED, SEED, DAY))
    (old / "b").mkdir()
    (old / "b" / "a.jsonl.gz").write_bytes(gzip.compress(lines(SEED, SEED, DAY)))

    account = migrate(old, home).account

    assert (account.lines, account.accepted, account.duplicates) == (6, 3, 3)
    assert len(ids(home)) == 4


def test_a_file_that_has_grown_since_brings_only_what_is_new(home, old):
    (old / "a.jsonl").write_bytes(lines(SEED))
    migrate(old, home)
    (old / "a.jsonl").write_bytes(lines(SEED, SEED | {"user_id_hash": "u2"}))

    account = migrate(old, home).account

    assert (account.accepted, account.duplicates) == (1, 1)


def test_a_line_loaded_before_is_not_brought_over_twice(home, old):
    (old / "a.jsonl").write_bytes(lines(SEED))
    load(old / "a.jsonl", home)

    assert migrate(old, home).account.duplicates == 1


def test_bad_lines_are_accounted_for_under_the_name_of_their_file(home, old):
    (old / "mcp").mkdir()
    (old / "mcp" / "a.jsonl").write_bytes(lines("{broken", DAY | {"count": 0}, SEED))

    account = migrate(old, home).account

    assert (account.lines, account.accepted, account.quarantined) == (3, 1, 2)
    assert [(one.file, one.line) for one in account.refused] == [
        ("mcp/a.jsonl", 1),
        ("mcp/a.jsonl", 2),
    ]
    assert rows(home, "SELECT DISTINCT file FROM telemetry_quarantine") == [("mcp/a.jsonl",)]


def test_a_bad_line_of_a_file_and_of_its_packed_copy_is_kept_once(home, old):
    (old / "a.jsonl").write_bytes(lines("{broken"))
    (old / "a.jsonl.gz").write_bytes(gzip.compress(lines("{broken")))

    assert migrate(old, home).account.quarantined == 2
    assert rows(home, "SELECT file FROM telemetry_quarantine") == [("a.jsonl",)]


def test_more_bad_lines_than_are_shown_are_still_counted(home, old):
    for name in ("a.jsonl", "b.jsonl"):
        (old / name).write_bytes(lines(*(f"{{broken {name} {number}" for number in range(30))))

    account = migrate(old, home).account

    assert (account.quarantined, len(account.refused)) == (60, 20)


def test_parameters_and_errors_are_scrubbed_on_their_way_in(home, old):
    (old / "a.jsonl").write_bytes(
        lines(
            SEED
            | {
                "parameters": {"where": "/home/alice/secret/plan.py", "query": "alice@example.com"},
                "error": "no access for alice@example.com",
                "result": "error",
            },
            "{broken alice@example.com",
        )
    )
    migrate(old, home)

    for table in ("telemetry_events", "telemetry_errors", "telemetry_quarantine"):
        assert "alice" not in str(rows(home, f"SELECT * FROM {table}"))
    [(metadata,)] = rows(home, "SELECT metadata FROM telemetry_events")
    assert json.loads(metadata)["query_length"] == 17
    assert "where" in json.loads(metadata)["parameters"]


def test_a_raw_user_gets_the_hash_of_the_salt_it_is_given(home, old):
    record = {key: value for key, value in SEED.items() if key != "user_id_hash"}
    (old / "a.jsonl").write_bytes(lines(record | {"user_id": "alice"}))
    migrate(old, home, salt=b"pepper")

    assert rows(home, "SELECT user_id_hash FROM telemetry_events") == [
        (pseudonym("alice", b"pepper"),)
    ]


def test_what_is_already_there_and_what_is_not_is_said_with_what_to_do(home, old):
    with pytest.raises(CannotLoad, match="Check the name"):
        migrate(old / "none", home)
    with pytest.raises(CannotLoad, match=r"no \.jsonl"):
        migrate(old, home)
    with pytest.raises(CannotLoad, match="belongs to the home"):
        migrate(home, home)
    (home / "log").mkdir()
    with pytest.raises(CannotLoad, match="belongs to the home"):
        migrate(home / "log", home)
    assert not (home / "telemetry.db").exists()


def test_too_many_files_for_one_run_are_refused(home, old, monkeypatch):
    monkeypatch.setattr(old_logs, "FILES_MAX", 1)
    for name in ("a.jsonl", "b.jsonl"):
        (old / name).write_bytes(lines(SEED))

    with pytest.raises(CannotLoad, match="one by one"):
        migrate(old, home)


def test_a_home_inside_the_old_folder_is_not_brought_over_into_itself(old):
    home = old / "telemetry"
    (home / "inbox").mkdir(parents=True)
    (home / "inbox" / "mine.jsonl").write_bytes(lines(SEED | {"user_id_hash": "u2"}))
    (old / "a.jsonl").write_bytes(lines(SEED))

    assert migrate(old, home).account.lines == 1


# --- the marker ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["v1.db", "v2.db"])
def test_an_old_database_is_brought_over_once(home, name):
    first, second = migrate(DATA / name, home), migrate(DATA / name, home)

    assert (first.files, first.already, first.account.accepted) == (1, 0, first.account.lines)
    assert (second.files, second.already) == (0, 1)


def test_the_marker_names_source_version_and_account(home, old):
    (old / "a.jsonl").write_bytes(lines(SEED, "{broken"))
    migrate(old, home)

    [mark] = json.loads((home / "migrated.json").read_text())["sources"]
    assert mark == mark | {
        "name": "a.jsonl",
        "size": (old / "a.jsonl").stat().st_size,
        "version": 1,
        "lines": 2,
        "accepted": 1,
        "duplicates": 0,
        "quarantined": 1,
    }
    assert len(mark["sha256"]) == 64


def test_the_same_content_under_another_name_was_brought_over_already(home, tmp_path):
    migrate(DATA / "v1.db", home)
    shutil.copy(DATA / "v1.db", tmp_path / "copy.db")

    assert migrate(tmp_path / "copy.db", home).already == 1


def test_a_later_version_runs_again_and_adds_nothing_twice(home, old, monkeypatch):
    (old / "a.jsonl").write_bytes(lines(SEED, DAY, SEED))
    migrate(old, home)
    before = ids(home)
    monkeypatch.setattr(old_logs, "MIGRATE_VERSION", 2)

    account = migrate(old, home).account

    assert (account.accepted, account.duplicates) == (0, 3)
    assert ids(home) == before
    [mark] = json.loads((home / "migrated.json").read_text())["sources"]
    assert mark["version"] == 2


def test_again_reads_once_more_and_adds_nothing_twice(home, old):
    (old / "a.jsonl").write_bytes(lines(SEED, DAY))
    migrate(old, home)

    account = migrate(old, home, again=True).account
    assert (account.accepted, account.duplicates) == (0, 2)


def test_a_marker_is_good_for_the_database_it_was_made_with(home, old):
    (old / "a.jsonl").write_bytes(lines(SEED))
    migrate(old, home)
    for path in home.glob("telemetry.db*"):
        path.unlink()

    assert migrate(old, home).account.accepted == 1
    for path in home.glob("telemetry.db*"):
        path.unlink()
    load(DATA / "v2.db", home)
    assert migrate(old, home).account.accepted == 1


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"sources": 3}', b'{"sources": [3]}', b"\xff"])
def test_a_marker_nobody_can_read_costs_one_more_run(home, old, content):
    (old / "a.jsonl").write_bytes(lines(SEED))
    migrate(old, home)
    (home / "migrated.json").write_bytes(content)

    assert migrate(old, home).account.duplicates == 1
    assert migrate(old, home).already == 1


def test_a_file_that_broke_off_is_not_marked(home, old):
    (old / "a.jsonl.gz").write_bytes(gzip.compress(lines(*[SEED] * 2_000))[:-20])

    assert "cannot be read to its end" in migrate(old, home).account.trouble
    assert migrate(old, home).already == 0


def test_a_database_still_being_written_to_is_another_one_when_it_has_grown(home, tmp_path):
    path = tmp_path / "old.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            "CREATE TABLE telemetry_events (id, timestamp, event_type, user_id_hash)"
        )
        connection.execute("INSERT INTO telemetry_events VALUES (1, 1e9, 'install', 'u')")
        connection.commit()
        assert migrate(path, home).account.accepted == 1
        connection.execute("INSERT INTO telemetry_events VALUES (2, 1e9, 'install', 'u')")
        connection.commit()  # lies in the -wal
        assert migrate(path, home).account.accepted == 1


def test_a_migrated_home_has_no_salt(home, old):
    (old / "a.jsonl").write_bytes(lines(SEED))
    migrate(old, home)
    migrate(DATA / "v1.db", home)

    assert not (home / "salt").exists()


# --- the command -----------------------------------------------------------------------------


def test_the_command_brings_a_folder_over_and_says_so_when_repeated(home, old, capsys):
    (old / "a.jsonl").write_bytes(lines(SEED))
    (old / "b.jsonl").write_bytes(lines(DAY))

    assert main(["--home", str(home), "migrate", str(old)]) == 0
    assert "2 lines" in capsys.readouterr().out
    assert main(["--home", str(home), "migrate", str(old)]) == 0
    said = capsys.readouterr().out
    assert "already brought over (2 files)" in said
    assert "accepted" not in said
    assert main(["--home", str(home), "migrate", str(old), "--again"]) == 0
    assert "accepted" in capsys.readouterr().out


def test_the_command_exits_1_for_bad_lines_and_2_when_there_is_nothing(home, old, capsys):
    (old / "a.jsonl").write_bytes(lines(SEED, "{broken"))

    assert main(["--home", str(home), "migrate", str(old)]) == 1
    assert "a.jsonl line 2: not JSON" in capsys.readouterr().out
    assert main(["--home", str(home), "migrate", str(old / "none")]) == 2
    assert "Check the name" in capsys.readouterr().err


def test_the_command_exits_2_for_a_database_that_cannot_be_read(home, tmp_path, capsys):
    path = tmp_path / "old.db"
    path.write_bytes(b"SQLite format 3\0" + b"x" * 1_000)

    assert main(["--home", str(home), "migrate", str(path)]) == 2
    assert "Load a whole copy" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["migrate", "load"])
def test_the_command_takes_the_shared_salt_first_and_then_the_homes(
    home, old, monkeypatch, command
):
    record = {key: value for key, value in SEED.items() if key != "user_id_hash"}
    (home / "salt").write_bytes(b"own\n")
    (old / "a.jsonl").write_bytes(lines(record | {"user_id": "alice"}))
    (old / "b.jsonl").write_bytes(lines(record | {"user_id": "bob"}))
    monkeypatch.setenv("TELEMETRY_SALT", "shared")
    assert main(["--home", str(home), command, str(old / "a.jsonl")]) == 0
    monkeypatch.delenv("TELEMETRY_SALT")
    assert main(["--home", str(home), command, str(old / "b.jsonl")]) == 0

    assert rows(home, "SELECT user_id_hash FROM telemetry_events ORDER BY id") == [
        (pseudonym("alice", b"shared"),),
        (pseudonym("bob", b"own"),),
    ]
