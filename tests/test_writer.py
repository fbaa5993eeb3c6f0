"""A row is in the log first, then in SQLite, and nothing between can lose or double it."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlite_utils

from ingest.loader import replay_log
from ingest.migrate import BUSY_TIMEOUT_S, OldDatabase, open_database
from ingest.migrations import migrations
from ingest.vocabulary import TABLES, read_row
from ingest.writer import Writer
from tests.lines import event, many

if TYPE_CHECKING:
    from collections.abc import Iterator

MIGRATIONS = Path(__file__).parent.parent / "ingest" / "migrations.py"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


MADE: list[Writer] = []


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().close()


def writer(home: Path, **options) -> Writer:
    MADE.append(Writer(home, now=lambda: NOON, name="w", **options))
    return MADE[-1]


def count(home: Path, table: str = "telemetry_events") -> int:
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def execute(home: Path, sql: str) -> None:
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        connection.execute(sql)
        connection.commit()


def log_of(home: Path) -> Path:
    return home / "log" / "2026-03-01" / "w-0001.jsonl"


def test_a_row_is_a_line_in_the_days_log_and_a_row_in_sqlite(home):
    assert writer(home).write(read_row(event(event_id="e1")))

    [line] = log_of(home).read_text().splitlines()
    assert json.loads(line)["event_id"] == "e1"
    assert count(home) == 1


def test_what_is_stored_is_noted_as_loaded_in_the_same_step(home):
    made = writer(home)
    for number in range(2):
        made.write(read_row(event(event_id=f"e{number}")))

    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        [(loaded,)] = connection.execute("SELECT loaded_bytes FROM telemetry_log_files")
    assert loaded == log_of(home).stat().st_size


def test_the_log_is_for_its_owner_only(home):
    writer(home).write(read_row(event()))

    assert stat.S_IMODE(log_of(home).stat().st_mode) == 0o600


def test_writing_an_id_twice_stores_it_once(home):
    one = writer(home)
    for _ in range(2):
        one.write(read_row(event(event_id="e1")))

    assert count(home) == 1


def test_a_locked_database_leaves_the_line_in_the_log_and_the_next_write_brings_it_in(home):
    one = writer(home)
    one.write(read_row(event(event_id="e1")))
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        one._connection.execute("PRAGMA busy_timeout = 50")
        assert not one.write(read_row(event(event_id="e2")))
        assert "locked" in (one.last_error or "")
        other.rollback()
    assert count(home) == 1

    assert one.write(read_row(event(event_id="e3")))
    assert count(home) == 3


def held(home: Path) -> sqlite3.Connection:
    """Hold a new database as another process does that is just making its tables."""
    lock = sqlite3.connect(home / "telemetry.db", isolation_level=None, check_same_thread=False)
    lock.execute("CREATE TABLE made (at)")
    lock.execute("BEGIN IMMEDIATE")
    return lock


def test_a_writer_waits_for_another_that_is_making_the_database(home):
    with contextlib.closing(held(home)) as lock:
        release = threading.Timer(0.2, lock.execute, ["COMMIT"])
        release.start()
        made = writer(home)
        is_stored = made.write(read_row(event(event_id="e1")))
        release.join()

    assert (is_stored, made.last_error) == (True, None)
    assert count(home) == 1


def test_a_writer_waits_no_longer_than_it_was_told_and_the_line_is_safe(home):
    with contextlib.closing(held(home)):
        made = writer(home, busy_timeout_s=0.1)
        began_s = time.monotonic()
        assert not made.write(read_row(event(event_id="e1")))
        assert 0.1 <= time.monotonic() - began_s < BUSY_TIMEOUT_S

    assert "locked" in str(made.last_error)
    assert made.is_behind
    assert made.catch_up()
    assert count(home) == 1


def test_a_corrupt_database_does_not_stop_the_log(home):
    (home / "telemetry.db").write_bytes(b"this is not a database" * 100)

    assert not writer(home).write(read_row(event(event_id="e1")))
    assert log_of(home).read_text().count("\n") == 1


def test_replay_reads_only_what_is_new_and_only_whole_lines(home):
    one = writer(home)
    one.write(read_row(event(event_id="e1")))
    whole = json.dumps(event(event_id="e2"))
    with log_of(home).open("a") as log:
        log.write(whole + "\n" + whole[:20])

    assert replay_log(home) == 1
    assert replay_log(home) == 0

    with log_of(home).open("a") as log:
        log.write(whole[20:].replace("e2", "e3") + "\n")
    assert replay_log(home) == 1


def test_a_torn_last_line_costs_itself_and_no_other(home):
    log_of(home).parent.mkdir(parents=True)
    log_of(home).write_text('{"timestamp": "2026-03')

    assert writer(home).write(read_row(event(event_id="e1")))
    assert count(home) == 1
    assert count(home, "telemetry_quarantine") == 1


def test_a_deleted_row_is_not_brought_back_by_a_replay(home):
    one = writer(home)
    one.write(read_row(event(event_id="e1")))
    execute(home, "DELETE FROM telemetry_events")
    execute(home, "DELETE FROM telemetry_log_files")

    assert replay_log(home) == 0
    assert count(home) == 0


def test_a_full_log_file_is_followed_by_the_next(home):
    one = writer(home, rotate_bytes=10)
    for number in range(3):
        one.write(read_row(event(event_id=f"e{number}")))

    assert sorted(path.name for path in log_of(home).parent.iterdir()) == [
        "w-0001.jsonl",
        "w-0002.jsonl",
        "w-0003.jsonl",
    ]
    assert count(home) == 3


def test_every_table_takes_a_row_through_log_and_replay(home):
    records = [
        event(event_id="e1"),
        event(event_id="e2", error_message="boom", result="error"),
        {"timestamp": 1e9, "operation_name": "rag", "user_id_hash": "u", "duration_ms": 1.5},
        {"start_time": 1e9, "session_id": "s", "user_id_hash": "u"},
    ]
    writer(home).write([row for record in records for row in read_row(record)])
    stored = {table.sql_name: count(home, table.sql_name) for table in TABLES.values()}
    (home / "telemetry.db").unlink()

    replay_log(home)

    assert {table.sql_name: count(home, table.sql_name) for table in TABLES.values()} == stored
    assert set(stored.values()) == {1, 2}


def pack(log: Path) -> Path:
    packed = log.with_name(f"{log.name}.gz")
    packed.write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    return packed


def test_a_compressed_log_is_replayed_from_where_the_plain_one_was_left(home):
    writer(home).write(read_row(event(event_id="e1")))
    with log_of(home).open("a") as log:
        log.writelines(json.dumps(event(at="2026-03-01T11:00:00Z")) + "\n" for _ in range(2))
    length = log_of(home).stat().st_size
    pack(log_of(home))

    assert replay_log(home) == 2
    assert replay_log(home) == 0
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        known = connection.execute("SELECT path, loaded_bytes FROM telemetry_log_files").fetchall()
    assert known == [("log/2026-03-01/w-0001.jsonl", length)]


def test_a_compressed_log_gives_the_same_ids_as_the_plain_one(home):
    log_of(home).parent.mkdir(parents=True)
    log_of(home).write_text("".join(json.dumps(event()) + "\n" for _ in range(3)))

    assert replay_log(home) == 3
    execute(home, "DELETE FROM telemetry_log_files")
    pack(log_of(home))
    assert replay_log(home) == 0
    assert count(home) == 3


def test_a_compressed_log_of_many_batches_is_read_to_its_end_and_then_left_alone(home, monkeypatch):
    log_of(home).parent.mkdir(parents=True)
    lines = "\n".join(json.dumps(line) for line in many(25_001))
    log_of(home).write_text(lines)  # the last line has no end, and nobody will write one
    pack(log_of(home))
    assert replay_log(home) == 25_001

    monkeypatch.setattr("ingest.writer.gzip.open", None)
    assert replay_log(home) == 0


def test_a_broken_compressed_log_gives_what_comes_before_and_stops_nothing(home):
    log_of(home).parent.mkdir(parents=True)
    log_of(home).write_text("".join(json.dumps(line) + "\n" for line in many(5_000)))
    packed = pack(log_of(home))
    packed.write_bytes(packed.read_bytes()[: packed.stat().st_size // 2])
    (packed.parent / "z-0001.jsonl").write_text(json.dumps(event(event_id="z")) + "\n")

    added = replay_log(home)

    assert 1 < added < 5_000
    assert replay_log(home) == 0
    assert count(home, "telemetry_quarantine") == 0


def test_a_log_named_gz_that_is_plain_text_is_replayed(home):
    log_of(home).parent.mkdir(parents=True)
    log_of(home).with_name("w-0001.jsonl.gz").write_text(json.dumps(event()) + "\n")

    assert replay_log(home) == 1


def schema(path: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT sql FROM sqlite_master WHERE name LIKE '%telemetry%'")
        return {sql for (sql,) in rows}


def test_sqlite_utils_sees_our_migrations_as_applied(home):
    open_database(home / "telemetry.db").close()
    database = sqlite_utils.Database(home / "telemetry.db")

    assert migrations.pending(database) == []
    migrations.apply(database)
    database.close()


def test_sqlite_utils_own_command_makes_the_same_database(home, tmp_path):
    open_database(home / "telemetry.db").close()
    command = [Path(sys.executable).with_name("sqlite-utils"), "migrate", "other.db", MIGRATIONS]
    subprocess.run(command, cwd=tmp_path, check=True)

    assert schema(tmp_path / "other.db") == schema(home / "telemetry.db")
    open_database(tmp_path / "other.db").close()


@pytest.mark.parametrize("table", ["telemetry_events", "telemetry_errors", "telemetry_traces"])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_an_older_systems_database_is_never_written_to(home, table, mode):
    execute(home, f"PRAGMA journal_mode = {mode}")
    execute(home, f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, timestamp TEXT)")
    before = {path.name: path.read_bytes() for path in home.iterdir()}

    with pytest.raises(OldDatabase, match="migrate"):
        open_database(home / "telemetry.db")

    assert {path.name: path.read_bytes() for path in home.iterdir()} == before
    assert list(before) == ["telemetry.db"]


def test_what_an_older_system_left_in_its_wal_stays_there(home, tmp_path):
    other = tmp_path / "telemetry.db"
    with contextlib.closing(sqlite3.connect(other)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE telemetry_events (id INTEGER PRIMARY KEY, timestamp TEXT)")
        connection.commit()
        for name in ("telemetry.db", "telemetry.db-wal"):  # as after a crash
            shutil.copy(tmp_path / name, home / name)
    before = {path.name: path.read_bytes() for path in home.iterdir()}

    with pytest.raises(OldDatabase, match="migrate"):
        open_database(home / "telemetry.db")

    assert {name: (home / name).read_bytes() for name in before} == before
