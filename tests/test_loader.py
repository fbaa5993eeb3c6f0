"""Loading accounts for every line, and loading twice changes nothing."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import shutil
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from ingest.__main__ import main
from ingest.loader import CannotLoad, load
from tests.lines import event, many

DATA = Path(__file__).parent / "data"


def dump(home: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        return list(connection.iterdump())


def rows(home: Path, sql: str) -> list[tuple]:
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        return connection.execute(sql).fetchall()


def test_every_line_is_accepted_a_duplicate_or_quarantined(load_lines, home):
    summary = load_lines(
        event(event_id="e1"),
        event(event_id="e1"),
        b"{broken",
        event(event_id="e2", at="soon"),
        b"",
        b"\xff\xfe",
        event(event_id="e3", user_tier="gold"),
    )

    assert (summary.lines, summary.accepted, summary.duplicates, summary.quarantined) == (
        6,
        2,
        1,
        3,
    )
    assert [one.line for one in summary.refused] == [3, 4, 6]
    assert summary.flagged == {"user_tier": 1}
    assert rows(home, "SELECT line FROM telemetry_quarantine") == [(3,), (4,), (6,)]


@pytest.mark.parametrize("name", ["activity.jsonl.gz", "v1.db", "v2.db"])
def test_loading_twice_gives_the_same_database(home, name):
    first = load(DATA / name, home)
    before = dump(home)
    second = load(DATA / name, home)

    assert dump(home) == before
    assert (first.accepted, second.accepted) == (first.lines, 0)
    assert second.duplicates == first.lines


def test_the_real_activity_loads_whole(home):
    summary = load(DATA / "activity.jsonl.gz", home)

    assert (summary.lines, summary.accepted, summary.quarantined) == (35_132, 35_132, 0)
    assert rows(home, "SELECT count(DISTINCT user_id_hash) FROM telemetry_events") == [(985,)]


def test_an_old_events_errors_come_with_it(home):
    load(DATA / "v1.db", home)

    assert rows(home, "SELECT count(*) FROM telemetry_errors") == [(116,)]


def test_the_old_systems_own_hash_is_kept_as_given(home):
    load(DATA / "v2.db", home)

    with contextlib.closing(sqlite3.connect(f"file:{DATA / 'v2.db'}?mode=ro", uri=True)) as old:
        given = old.execute("SELECT stack_hash FROM telemetry_errors ORDER BY id").fetchall()
    assert rows(home, "SELECT stack_hash FROM telemetry_errors ORDER BY id") == given


def test_csv_plain_and_gzip_load_like_json_lines(home, tmp_path):
    path = tmp_path / "events.csv"
    with path.open("w", newline="") as file:
        table = csv.DictWriter(
            file, ["timestamp", "event_name", "user_id_hash", "duration_ms", "metadata"]
        )
        table.writeheader()
        table.writerow(event(duration_ms=12, metadata='{"ide": "vscode"}'))
        table.writerow(event(at="never"))
    packed = tmp_path / "again.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))

    first, second = load(path, home), load(packed, home)

    assert (first.accepted, first.quarantined) == (1, 1)
    assert first.refused[0].line == 3
    assert (second.accepted, second.duplicates) == (0, 1)
    assert rows(home, "SELECT duration_ms, metadata FROM telemetry_events") == [
        (12.0, '{"ide": "vscode"}')
    ]


def test_a_gzip_cut_in_half_gives_what_it_holds_and_says_so(home, tmp_path):
    whole = gzip.compress("\n".join(json.dumps(line) for line in many(5_000)).encode())
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])

    summary = load(path, home)

    assert 0 < summary.accepted < 5_000
    assert "cannot be read to its end" in summary.trouble


@pytest.mark.parametrize("name", ["bad.jsonl.gz", "bad.csv.gz"])
def test_a_gzip_with_flipped_bytes_gives_what_it_holds_and_says_so(home, tmp_path, capsys, name):
    lines = [json.dumps(line) for line in many(5_000)]
    if name == "bad.csv.gz":
        lines = ["timestamp,event_name,user_id_hash,event_id"]
        lines += [",".join(map(str, line.values())) for line in many(5_000)]
    packer = zlib.compressobj(wbits=31)  # gzip
    whole = packer.compress("\n".join(lines).encode()) + packer.flush(zlib.Z_FULL_FLUSH)
    path = tmp_path / name
    path.write_bytes(whole + b"\xff" * 200)  # no block of gzip begins like this

    assert main(["--home", str(home), "load", str(path)]) == 1
    assert "cannot be read to its end" in capsys.readouterr().out
    [(count,)] = rows(home, "SELECT count(*) FROM telemetry_events")
    assert 0 < count <= 5_000


def test_plain_text_named_gz_loads_and_so_does_gzip_named_plain(load_lines, home, tmp_path):
    assert load_lines(event(event_id="e1"), name="plain.jsonl.gz").accepted == 1
    packed = tmp_path / "packed.jsonl"
    packed.write_bytes(gzip.compress(json.dumps(event(event_id="e2")).encode()))
    assert load(packed, home).accepted == 1


def test_a_line_with_an_integer_too_long_to_read_is_kept_and_flagged(load_lines, home):
    line = json.dumps(event(metadata={"a": 1, "b": 0}))
    summary = load_lines(line.replace('"b": 0', '"b": ' + "9" * 5_000))

    assert (summary.accepted, summary.quarantined) == (1, 0)
    assert summary.flagged == {"metadata": 1}
    assert rows(home, "SELECT metadata FROM telemetry_events") == [('{"a": 1, "b": null}',)]


@pytest.mark.parametrize(
    ("table", "name", "value"),
    [
        ("telemetry_errors", "error_type", "ValueError"),
        ("telemetry_traces", "operation_name", "rag"),
    ],
)
def test_an_old_table_without_row_ids_loads_each_different_row_once(
    home, tmp_path, table, name, value
):
    path = tmp_path / "old.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE {table} (timestamp, user_id_hash, {name}, session_id)")
        connection.executemany(
            f"INSERT INTO {table} VALUES ('2025-01-01T00:00:00Z', 'u', ?, ?)",
            [(value, "s1"), (value, "s2"), (value, "s2")],
        )
        connection.commit()

    first, second = load(path, home), load(path, home)

    assert (first.accepted, first.duplicates) == (2, 1)
    assert (second.accepted, second.duplicates) == (0, 3)


def test_an_old_row_id_that_is_no_number_is_no_obstacle(home, tmp_path):
    path = tmp_path / "old.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TABLE telemetry_events (id, timestamp, event_type, user_id_hash)"
        )
        connection.execute("INSERT INTO telemetry_events VALUES ('x', 1e9, 'install', 'u')")
        connection.commit()

    assert load(path, home).accepted == 1


def test_a_file_of_more_than_one_batch_is_read_to_its_end(load_lines):
    assert load_lines(*many(25_001)).accepted == 25_001


def test_another_home_of_ours_can_be_loaded(load_lines, home, tmp_path):
    load_lines(*many(5))
    other = tmp_path / "other"

    assert load(home / "telemetry.db", other).accepted == 5
    assert load(home / "telemetry.db", other).duplicates == 5


def test_two_old_databases_of_one_name_do_not_swallow_each_other(home, tmp_path):
    ids = []
    for machine in ("a", "b"):
        (tmp_path / machine).mkdir()
        path = tmp_path / machine / "telemetry.db"
        shutil.copy(DATA / "v1.db", path)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE telemetry_events SET user_id_hash = ? || id", (machine,))
            connection.commit()
        ids.append(load(path, home).accepted)

    assert ids == [3000, 3000]


def test_what_cannot_be_loaded_is_said_with_what_to_do(home, tmp_path):
    with pytest.raises(CannotLoad, match="Check the name"):
        load(tmp_path / "missing.jsonl", home)
    empty = tmp_path / "empty.db"
    with contextlib.closing(sqlite3.connect(empty)) as connection:
        connection.execute("CREATE TABLE other (a)")
    with pytest.raises(CannotLoad, match="nothing to load"):
        load(empty, home)


def test_the_command_says_what_happened_and_exits_for_scripts(home, tmp_path, capsys):
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text(json.dumps(event()) + "\n")
    bad.write_text("{broken\n")

    assert main(["--home", str(home), "load", str(good)]) == 0
    assert "accepted" in capsys.readouterr().out
    assert main(["--home", str(home), "load", str(bad)]) == 1
    assert "line 1: not JSON" in capsys.readouterr().out
    assert main(["load", "--home", str(home), str(tmp_path / "none")]) == 2
    assert "Check the name" in capsys.readouterr().err


def test_a_file_that_cannot_be_loaded_does_not_keep_the_next_from_it(home, tmp_path, capsys):
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text(json.dumps(event()) + "\n")
    bad.write_text("{broken\n")

    assert main(["--home", str(home), "load", str(tmp_path / "none"), str(good), str(bad)]) == 2
    said = capsys.readouterr()
    assert "Check the name" in said.err
    assert "good.jsonl" in said.out
    assert rows(home, "SELECT count(*) FROM telemetry_events") == [(1,)]


def test_import_ingest_is_light():
    code = "import sys, ingest.writer; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert not {"polars", "pandas", "sqlite_utils", "streamlit", "plotly", "numpy"} & set(loaded)


# --- what is personal in free words ----------------------------------------------------------


def metadata_of(home: Path) -> list[dict]:
    return [json.loads(text) for (text,) in rows(home, "SELECT metadata FROM telemetry_events")]


def test_metadata_the_team_knows_stays_and_the_rest_is_redacted_in_its_place(load_lines, home):
    known = {"tool_name": "search_context", "tokens_input": 4_100, "accepted": True}
    unknown = {"author": "alice@example.com", "nested": {"deep": ["alice@example.com", 3]}}
    load_lines(event(metadata=known | unknown))

    [found] = metadata_of(home)
    assert found == found | known
    assert list(found) == [*known, *unknown]
    assert "alice" not in json.dumps(found)
    assert found["nested"]["deep"][1] == 3


def test_a_known_key_with_a_value_not_of_its_kind_is_redacted(load_lines, home):
    load_lines(
        event(
            metadata={
                "tokens_input": "alice@example.com",
                "accepted": "alice@example.com",
                "tool_name": ["alice@example.com"],
                "model": "alice@example.com " * 20,
            }
        )
    )

    assert "alice" not in json.dumps(metadata_of(home))


def test_a_key_of_the_settings_is_known(load_lines, home):
    (home / "telemetry.toml").write_text('[metadata]\nauthor = "text"\n')
    load_lines(event(metadata={"author": "alice@example.com", "editor": "alice@example.com"}))

    [found] = metadata_of(home)
    assert found["author"] == "alice@example.com"
    assert "alice" not in found["editor"]


def test_two_keys_that_look_the_same_without_their_secrets_both_stay(load_lines, home):
    load_lines(event(metadata={"alice@example.com": 1, "bob@example.com": 2}))

    [found] = metadata_of(home)
    assert sorted(found.values()) == [1, 2]
    assert "example.com" not in json.dumps(found)


def test_equal_values_of_different_types_are_not_mistaken_for_each_other(load_lines, home):
    values = [1, True, 1.0, None, "1", False, 0]
    load_lines(*(event(metadata={"zeal": value}) for value in values))

    assert [repr(one["zeal"]) for one in metadata_of(home)] == [repr(value) for value in values]


def test_loose_keys_beside_the_columns_are_redacted_too(load_lines, home):
    load_lines(event(author="alice@example.com"))

    assert "alice" not in json.dumps(metadata_of(home))
    assert "author" in metadata_of(home)[0]


def test_an_errors_message_and_trace_are_scrubbed(load_lines, home):
    trace = 'Traceback (most recent call last):\n  File "/home/alice/app.py", line 3, in run\n'
    error = {"timestamp": 1e9, "error_type": "ValueError", "user_id_hash": "u"}
    load_lines(
        error | {"error_message": "no mail for alice@example.com", "stack_trace": trace},
        event(error_message="no mail for alice@example.com", event_data={"stack_trace": trace}),
        event(metadata={}, event_id="bare"),
    )

    for table in ("telemetry_errors", "telemetry_events"):
        assert "alice" not in str(rows(home, f"SELECT * FROM {table}"))
    [(message, kept), _] = rows(
        home, "SELECT error_message, stack_trace FROM telemetry_errors ORDER BY id"
    )
    assert message.startswith("no mail for ")
    assert "app.py" in kept


def test_a_long_message_is_cut_and_a_long_trace_keeps_both_its_ends(load_lines, home):
    error = {"timestamp": 1e9, "error_type": "ValueError", "user_id_hash": "u"}
    frame = '  File "app.py", line 3, in run\n    run(1)\n'
    trace = "Traceback (most recent call last):\n" + frame * 200 + "ValueError: no\n"
    load_lines(error | {"error_message": "too bad " * 200, "stack_trace": trace})

    [(message, kept)] = rows(home, "SELECT error_message, stack_trace FROM telemetry_errors")
    assert 400 < len(message) <= 500
    assert kept.startswith("Traceback")  # the middle goes, both ends stay
    assert kept.rstrip().endswith("ValueError: no")


def test_a_csv_and_an_older_database_are_scrubbed_as_well(home, tmp_path):
    path = tmp_path / "events.csv"
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, [*event(), "author"])
        table.writeheader()
        table.writerow(event(author="alice@example.com"))
    load(path, home)
    old = tmp_path / "old.db"
    with contextlib.closing(sqlite3.connect(old)) as connection:
        connection.execute(
            "CREATE TABLE telemetry_events (id, timestamp, event_type, user_id_hash, event_data)"
        )
        connection.execute(
            "INSERT INTO telemetry_events VALUES (1, 1e9, 'install', 'u', ?)",
            ('{"author": "alice@example.com"}',),
        )
        connection.commit()
    load(old, home)

    assert len(metadata_of(home)) == 2
    assert "alice" not in json.dumps(metadata_of(home))


def test_a_refused_line_is_kept_scrubbed_and_cut(load_lines, home):
    summary = load_lines(
        b"{broken alice@example.com " + b"x " * 3_000, event(at="alice@example.com")
    )

    kept = rows(home, "SELECT reason, text FROM telemetry_quarantine")
    assert len(kept) == 2
    assert "alice" not in str(kept)
    assert "alice" not in str(summary.refused)
    assert sorted(len(text) > 1_500 for _, text in kept) == [False, True]
    assert all(len(text) <= 2_048 for _, text in kept)


def test_metadata_that_redaction_makes_too_long_keeps_what_is_known(load_lines, home):
    growing = {f"k{number:04}": "a@b.co" for number in range(3_400)}
    load_lines(event(metadata={"tool_name": "search"} | growing))

    [found] = metadata_of(home)
    assert found == {"tool_name": "search"}


def test_the_commands_warn_about_settings_they_cannot_use(home, tmp_path, capsys):
    (home / "telemetry.toml").write_text("[metadata]\na = 3\n")
    good = tmp_path / "good.jsonl"
    good.write_text(json.dumps(event()) + "\n")

    for command in ("load", "migrate"):
        assert main(["--home", str(home), command, str(good)]) == 0
        assert "metadata.a" in capsys.readouterr().err


def test_the_numbers_an_older_system_had_computed_come_along_once(home, tmp_path):
    old = tmp_path / "old.db"
    shutil.copy(DATA / "v1.db", old)
    with contextlib.closing(sqlite3.connect(old)) as connection:
        connection.execute("DROP TABLE IF EXISTS telemetry_metrics")
        connection.execute(
            "CREATE TABLE telemetry_metrics (id INTEGER PRIMARY KEY, timestamp, "
            "service, metric_name, metric_value, user_tier)"
        )
        connection.executemany(
            "INSERT INTO telemetry_metrics (timestamp, service, metric_name, metric_value) "
            "VALUES (?, ?, ?, ?)",
            [("2026-01-01", "mcp", "dau", 12.0), ("2026-01-02", "mcp", "dau", None)],
        )
        connection.commit()

    assert load(old, home).numbers == 1
    assert load(old, home).numbers == 0
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        found = connection.execute("SELECT metric_name, metric_value FROM telemetry_metrics")
        assert found.fetchall() == [("dau", 12.0)]
