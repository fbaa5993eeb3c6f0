"""Retention makes the log small and loses nothing: rows stay, and what SQLite lacks stays too."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from data_access import scan
from ingest import retention
from ingest.__main__ import main
from ingest.loader import load, replay_log
from ingest.retention import RetainSummary, retain
from ingest.settings import IngestSettings
from ingest.vocabulary import read_row
from ingest.writer import Writer
from tests.lines import event

TODAY = date(2026, 6, 30)
SETTINGS = IngestSettings()


def write(home: Path, age: int, *ids: str, loaded: bool = True) -> Path:
    """Write a day's log file, `age` days before TODAY, with one event per id."""
    day = TODAY - timedelta(days=age)
    one = Writer(home, now=lambda: datetime(day.year, day.month, day.day, 12, tzinfo=UTC), name="w")
    rows = [row for key in ids for row in read_row(event(event_id=key, at=f"{day}T10:00:00Z"))]
    if loaded:
        assert one.write(rows)
    else:
        one.append(rows)
    one.close()
    return home / "log" / str(day) / "w-0001.jsonl"


def run(home: Path, **options) -> RetainSummary:
    return retain(home, today=TODAY, settings=options.pop("settings", SETTINGS), **options)


def packed(path: Path) -> Path:
    return path.with_name(path.name + ".gz")


def files(home: Path) -> list[str]:
    return sorted(
        path.relative_to(home / "log").as_posix() for path in (home / "log").rglob("*.jsonl*")
    )


def ids(home: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        query = "SELECT event_id FROM telemetry_events ORDER BY event_id"
        return [key for (key,) in connection.execute(query)]


def quarantined(home: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM telemetry_quarantine")]


def shown(home: Path) -> list[str]:
    """Return the ids on the page, each as often as it is there."""
    return sorted(scan("events", home).collect()["event_id"])


# --- compression -----------------------------------------------------------------------------


def test_a_day_past_its_days_is_compressed_under_its_name_and_a_younger_one_is_not(home):
    old, young = write(home, 31, "e1", "e2"), write(home, 30, "e3")
    whole = old.read_bytes()

    summary = run(home)

    assert (summary.compressed, summary.removed, summary.kept, summary.problems) == (1, 0, 0, [])
    assert not old.exists()
    assert gzip.decompress(packed(old).read_bytes()) == whole
    assert summary.freed_bytes == len(whole) - packed(old).stat().st_size
    assert young.exists()
    assert ids(home) == shown(home) == ["e1", "e2", "e3"]


def test_a_compressed_file_is_for_its_owner_only_and_nothing_else_is_left(home):
    old = write(home, 31, "e1")
    run(home)

    assert stat.S_IMODE(packed(old).stat().st_mode) == 0o600
    assert list(old.parent.iterdir()) == [packed(old)]


def test_a_second_run_finds_nothing_to_do(home):
    write(home, 31, "e1")
    write(home, 91, "e2")
    run(home)

    assert run(home) == RetainSummary()


def test_lines_sqlite_has_not_seen_come_in_first(home):
    write(home, 31, "e1", loaded=False)
    write(home, 0, "e2", loaded=False)

    summary = run(home)

    assert (summary.replayed, summary.compressed) == (2, 1)
    assert ids(home) == ["e1", "e2"]


def test_a_replay_after_compression_brings_in_nothing_twice(home):
    write(home, 31, "e1", "e2")
    run(home)

    assert replay_log(home) == 0
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        connection.execute("DELETE FROM telemetry_log_files")
        connection.commit()
    assert replay_log(home) == 0
    assert ids(home) == shown(home) == ["e1", "e2"]


@pytest.mark.parametrize("loaded", [True, False])
def test_a_crash_before_the_plain_file_goes_doubles_nothing_anywhere(home, loaded):
    """The state between the two steps: both files are there."""
    old = write(home, 31, "e1", "e2", loaded=loaded)
    packed(old).write_bytes(gzip.compress(old.read_bytes()))

    assert shown(home) == ["e1", "e2"]
    replay_log(home)
    assert ids(home) == shown(home) == ["e1", "e2"]

    summary = run(home)
    assert (summary.compressed, summary.problems) == (1, [])
    assert files(home) == [f"{old.parent.name}/w-0001.jsonl.gz"]
    assert ids(home) == shown(home) == ["e1", "e2"]


def test_rows_without_an_id_of_their_own_keep_theirs_through_compression(home):
    """Their id is made of file and offset; the offset is the one before compression."""
    old = write(home, 31, "e1")
    with old.open("a") as log:
        log.write(json.dumps(event(user="u2")) + "\n")
    before = shown(home)

    run(home)

    assert len(before) == 2
    assert ids(home) == shown(home) == before


def test_a_run_that_was_cut_off_while_compressing_leaves_nothing_behind(home):
    old = write(home, 31, "e1")
    left = old.with_name("w-0001.jsonl.gz.abc.partial")
    left.write_bytes(b"\x1f\x8bhalf")

    assert shown(home) == ["e1"]
    run(home)

    assert list(old.parent.iterdir()) == [packed(old)]
    assert shown(home) == ["e1"]


def test_a_compressed_file_cut_off_by_another_tool_is_made_anew_from_the_plain_one(home):
    old = write(home, 31, *(f"e{number:04}" for number in range(2_000)))
    whole = old.read_bytes()
    packed(old).write_bytes(gzip.compress(whole)[:-2_000])

    summary = run(home)

    assert (summary.compressed, summary.problems) == (1, [])
    assert gzip.decompress(packed(old).read_bytes()) == whole


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("age", [31, 91])
def test_two_files_of_one_name_with_different_lines_both_stay(home, age, cut):
    old = write(home, age, "e1", "e2", "e3", "e4")
    other = gzip.compress(old.read_bytes().replace(b'"e', b'"f'))
    packed(old).write_bytes(other[:-9] if cut else other)

    summary = run(home)

    [problem] = summary.problems
    assert "Rename one of them" in problem
    assert (summary.compressed, summary.removed) == (0, 0)
    assert len(files(home)) == 2


def test_a_file_that_grows_while_it_is_compressed_is_left_as_it_is(home, monkeypatch):
    old = write(home, 31, "e1")
    line = json.dumps(event(event_id="e2")) + "\n"
    pack = retention._pack

    def pack_and_grow(path: Path, file) -> int:
        size = pack(path, file)
        with path.open("a") as log:
            log.write(line)
        return size

    monkeypatch.setattr(retention, "_pack", pack_and_grow)
    summary = run(home)

    assert "still writing" in summary.problems[0]
    assert files(home) == [f"{old.parent.name}/w-0001.jsonl"]
    assert shown(home) == ["e1", "e2"]


def test_a_torn_last_line_is_quarantined_once_nobody_can_finish_it(home):
    old = write(home, 31, "e1")
    with old.open("a") as log:
        log.write('{"timestamp": "2026-0')

    run(home)

    assert ids(home) == ["e1"]
    assert quarantined(home) == ['{"timestamp": "2026-0']


def test_an_empty_file_is_not_worth_compressing(home):
    old = write(home, 31, "e1")
    old.with_name("empty.jsonl").touch()

    assert run(home).compressed == 1
    assert old.with_name("empty.jsonl").exists()


DIES_AT_STEP = """
import os, sys
from datetime import date
from pathlib import Path
from ingest.retention import retain
from ingest.settings import IngestSettings

home, step = sys.argv[1], int(sys.argv[2])
seen = 0

def die(event, arguments):
    global seen
    if event in ("open", "os.rename", "os.remove", "os.rmdir") and home in str(arguments[0]):
        seen += 1
        if seen == step:
            os._exit(9)

sys.addaudithook(die)
retain(Path(home), today=date(2026, 6, 30), settings=IngestSettings())
"""


@pytest.mark.slow
def test_a_run_that_dies_at_any_step_loses_and_doubles_nothing(tmp_path):
    """Killed before each single thing it does with a file, until it comes through."""
    given = tmp_path / "given"
    write(given, 31, "e1", "e2")
    write(given, 40, "e3", loaded=False)
    torn = write(given, 91, "e4", loaded=False)
    with torn.open("a") as log:
        log.write('{"torn')
    write(given, 92, "e5")
    everything = ["e1", "e2", "e3", "e4", "e5"]
    step, code = 0, 9
    while code == 9:
        step += 1
        home = tmp_path / str(step)
        shutil.copytree(given, home)
        command = [sys.executable, "-c", DIES_AT_STEP, str(home), str(step)]
        code = subprocess.run(command, check=False).returncode
        assert shown(home) == everything, step
        run(home)
        assert shown(home) == ids(home) == everything, step
        assert quarantined(home) == ['{"torn'], step
        assert [name.partition("/")[2] for name in files(home)] == ["w-0001.jsonl.gz"] * 2, step
    assert code == 0
    assert step > 20


# --- removal ---------------------------------------------------------------------------------


def test_a_loaded_file_past_its_days_goes_with_its_folder_and_its_rows_stay(home):
    old, younger = write(home, 91, "e1"), write(home, 90, "e2")
    size = old.stat().st_size

    summary = run(home)

    assert (summary.removed, summary.compressed, summary.kept) == (1, 1, 0)
    assert summary.freed_bytes >= size
    assert not old.parent.exists()
    assert packed(younger).exists()
    assert ids(home) == shown(home) == ["e1", "e2"]


def test_a_compressed_file_goes_too(home):
    old = write(home, 31, "e1", "e2")
    run(home)

    summary = run(home, settings=IngestSettings(remove_after_days=30))

    assert summary.removed == 1
    assert not packed(old).exists()
    assert ids(home) == shown(home) == ["e1", "e2"]


@pytest.mark.parametrize("torn", [b'{"timestamp": "2026-0', b"\n\n{"])
def test_an_old_file_with_a_torn_last_line_goes_once_the_line_is_quarantined(home, torn):
    old = write(home, 91, "e1", loaded=False)
    with old.open("ab") as log:
        log.write(torn)

    summary = run(home)

    assert (summary.replayed, summary.compressed, summary.removed, summary.kept) == (1, 1, 1, 0)
    assert ids(home) == ["e1"]
    assert quarantined(home) == [torn.decode().strip()]


def test_a_file_of_several_gzip_parts_is_unpacked_to_see_that_it_is_loaded(home):
    old = write(home, 91, "e1", "e2", loaded=False)
    parts = old.read_bytes().splitlines(keepends=True)
    packed(old).write_bytes(b"".join(gzip.compress(part) for part in parts))
    old.unlink()

    summary = run(home)

    assert (summary.replayed, summary.removed) == (2, 1)
    assert ids(home) == ["e1", "e2"]


def test_a_file_that_cannot_be_read_to_its_end_is_kept_and_named(home):
    old = write(home, 91, *(f"e{number:04}" for number in range(2_000)), loaded=False)
    packed(old).write_bytes(gzip.compress(old.read_bytes())[:-5_000])
    old.unlink()

    summary = run(home)

    assert (summary.removed, summary.kept) == (0, 1)
    assert "Replace it with a whole copy" in summary.reasons[0]
    assert packed(old).exists()
    assert 0 < summary.replayed < 2_000


def test_only_the_first_reasons_are_kept_but_every_file_is_counted(home):
    for number in range(25):
        path = write(home, 91 + number, "e1", loaded=False)
        packed(path).write_bytes(gzip.compress(path.read_bytes())[:-10])
        path.unlink()

    summary = run(home)

    assert (summary.kept, len(summary.reasons)) == (25, 20)


def test_a_file_shorter_than_what_was_loaded_is_kept(home):
    old = write(home, 91, "e1", "e2")
    old.write_bytes(old.read_bytes().splitlines(keepends=True)[0])

    assert run(home).kept == 1
    assert packed(old).exists()


def test_an_empty_folder_goes_only_when_nobody_can_be_about_to_write_there(home):
    for age in (0, 1, 5, 91):
        (home / "log" / str(TODAY - timedelta(days=age))).mkdir(parents=True)

    run(home)

    assert [folder.name for folder in sorted((home / "log").iterdir())] == [
        "2026-06-25",
        "2026-06-29",
        "2026-06-30",
    ]


def test_more_files_than_one_run_takes_are_left_to_the_next(home, monkeypatch):
    monkeypatch.setattr(retention, "FILES_MAX", 1)
    oldest, next_one = write(home, 40, "e1"), write(home, 39, "e2")

    summary = run(home)

    assert "Run the command again" in summary.problems[0]
    assert packed(oldest).exists()
    assert next_one.exists()


def test_a_folder_with_something_else_in_it_stays(home):
    old = write(home, 91, "e1")
    (old.parent / "notes.txt").write_text("mine")

    assert run(home).removed == 1
    assert (old.parent / "notes.txt").exists()


@pytest.mark.parametrize("age", [1, 0, -1, -400])
def test_a_file_of_yesterday_or_later_is_never_touched(home, age):
    path = write(home, age, "e1")
    before = path.read_bytes()

    summary = run(home, settings=IngestSettings(compress_after_days=0, remove_after_days=0))

    assert summary == RetainSummary()
    assert path.read_bytes() == before


def test_the_day_before_yesterday_may_go(home):
    write(home, 2, "e1")

    assert run(home, settings=IngestSettings(remove_after_days=0)).removed == 1
    assert ids(home) == ["e1"]


def test_what_is_not_a_days_folder_or_not_a_log_is_none_of_our_business(home):
    for name in ("notes/a.jsonl", "2020-13-01/a.jsonl", "20200101/a.jsonl", "2020-01-01/a.txt"):
        path = home / "log" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x\n")
    (home / "log" / "2019-01-01").write_text("a file")

    assert run(home) == RetainSummary()
    assert len(list((home / "log").rglob("*"))) == 9


def test_a_link_is_not_followed(home, tmp_path):
    path = write(home, 91, "e1")
    elsewhere = tmp_path / "elsewhere.jsonl"
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)

    assert run(home).removed == 0
    assert elsewhere.exists()


# --- the database is not well ----------------------------------------------------------------


def test_a_locked_database_keeps_everything_and_says_so(home):
    write(home, 31, "e1")
    write(home, 91, "e2")
    before = files(home)
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        summary = run(home, busy_timeout_s=0.05)
        other.rollback()

    assert "locked" in summary.trouble
    assert files(home) == before


def test_a_corrupt_database_keeps_everything_and_says_so(home):
    write(home, 31, "e1")
    write(home, 91, "e2")
    before = files(home)
    (home / "telemetry.db").write_bytes(b"this is not a database" * 100)

    assert "not a database" in run(home).trouble
    assert files(home) == before


def test_a_database_with_a_damaged_page_of_rows_keeps_the_log_that_could_mend_it(home):
    """Its bookkeeping still says that all is loaded; the rows themselves are gone."""
    path = write(home, 91, *(f"e{number:05}" for number in range(3_000)))
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [(page,)] = connection.execute(
            "SELECT max(pageno) FROM dbstat WHERE name = 'telemetry_events' AND pagetype = 'leaf'"
        ).fetchall()
        [(size,)] = connection.execute("PRAGMA page_size").fetchall()
    with (home / "telemetry.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)

    summary = run(home)

    assert "damaged" in summary.trouble
    assert summary.removed == 0
    assert path.exists()


def test_an_older_systems_database_keeps_everything_and_is_not_touched(home):
    path = write(home, 91, "e1", loaded=False)
    old = Path(__file__).parent / "data" / "v1.db"
    shutil.copy(old, home / "telemetry.db")

    summary = run(home)

    assert "migrate OLD_DB" in summary.trouble
    assert path.exists()
    assert (home / "telemetry.db").read_bytes() == old.read_bytes()


def test_a_reader_in_the_way_keeps_the_log_until_the_rows_are_on_the_disk(home):
    path = write(home, 91, "e1")
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM telemetry_events").fetchone()
        write(home, 91, "e2")
        summary = run(home, busy_timeout_s=0.05)

    assert "another program" in summary.trouble
    assert path.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named_and_costs_no_other(home):
    closed, other = write(home, 32, "e1"), write(home, 31, "e2")
    closed.chmod(0)

    assert str(closed) in run(home).problems[0]
    assert packed(other).exists()


# --- the clients' counters -------------------------------------------------------------------


def test_old_counters_of_the_clients_go(home):
    folder = home / "pipeline"
    folder.mkdir()
    for name in ("2026-03-31.jsonl", "2026-04-01.jsonl", "2026-06-30.jsonl", "notes.jsonl"):
        (folder / name).write_text("{}\n")

    assert run(home, dry_run=True).pruned == 1
    summary = run(home)

    assert (summary.pruned, summary.freed_bytes) == (1, 3)
    assert sorted(path.name for path in folder.iterdir()) == [
        "2026-04-01.jsonl",
        "2026-06-30.jsonl",
        "notes.jsonl",
    ]


# --- a dry run and the command ---------------------------------------------------------------


def test_a_dry_run_tells_what_a_run_would_do_and_changes_nothing(home):
    write(home, 31, "e1")
    gone = write(home, 91, "e2")
    size = gone.stat().st_size
    write(home, 92, "e3", loaded=False)
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}

    summary = run(home, dry_run=True)

    assert (summary.compressed, summary.removed, summary.kept) == (1, 1, 1)
    assert summary.freed_bytes == size
    assert "would be loaded first" in summary.reasons[0]
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


def test_a_dry_run_makes_no_database(home):
    write(home, 91, "e1", loaded=False)

    assert run(home, dry_run=True).kept == 1
    assert not (home / "telemetry.db").exists()


def test_a_dry_run_says_when_the_database_cannot_be_asked(home):
    write(home, 91, "e1", loaded=False)
    (home / "telemetry.db").write_bytes(b"this is not a database" * 100)

    assert "not a database" in run(home, dry_run=True).trouble


def test_a_dry_run_does_not_tidy_up_what_a_crash_left_of_the_database(home, tmp_path):
    """Rows that are in the -wal only stay there."""
    write(home, 91, "e1")
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        connection.execute("DELETE FROM telemetry_events")
        connection.commit()
        crashed = tmp_path / "crashed"
        shutil.copytree(home, crashed)
    names = ("telemetry.db", "telemetry.db-wal")
    before = [(crashed / name).read_bytes() for name in names]

    assert run(crashed, dry_run=True).removed == 1
    assert [(crashed / name).read_bytes() for name in names] == before


def test_a_dry_run_beside_an_older_systems_database_says_that_it_can_do_nothing(home):
    write(home, 91, "e1", loaded=False)
    shutil.copy(Path(__file__).parent / "data" / "v1.db", home / "telemetry.db")

    summary = run(home, dry_run=True)

    assert "older system" in summary.trouble
    assert summary.kept == 0


def test_progress_is_told_file_by_file(home):
    write(home, 31, "e1")
    write(home, 0, "e2")
    seen = []

    run(home, progress=lambda done, total: seen.append((done, total)))

    assert seen == [(1, 2), (2, 2)]


def test_a_home_without_a_log_stays_without_a_database(home):
    assert run(home) == RetainSummary()
    assert list(home.iterdir()) == []


def age_by_name(home: Path, days: int, key: str) -> Path:
    """Write and load a log file that many days before the real today."""
    day = datetime.now(UTC) - timedelta(days=days)
    one = Writer(home, now=lambda: day, name="w")
    one.write(read_row(event(event_id=key)))
    one.close()
    return home / "log" / day.strftime("%Y-%m-%d") / "w-0001.jsonl"


def test_the_command_says_what_it_did_and_exits_for_scripts(home, capsys):
    old, older = age_by_name(home, 40, "e1"), age_by_name(home, 100, "e2")

    assert main(["--home", str(home), "retain", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "would" in said
    assert old.exists()
    assert older.exists()

    assert main(["retain", "--home", str(home)]) == 0
    said = capsys.readouterr().out.split()
    assert said[said.index("compressed") + 1] == "1"
    assert said[said.index("removed") + 1] == "1"
    assert packed(old).exists()
    assert not older.exists()


def test_the_commands_options_win_over_the_settings_file(home, capsys):
    path = age_by_name(home, 5, "e1")
    (home / "telemetry.toml").write_text("[log]\ncompress_after_days = 300\n")

    assert main(["--home", str(home), "retain"]) == 0
    assert path.exists()
    assert main(["--home", str(home), "retain", "--compress-after-days", "4"]) == 0
    assert packed(path).exists()
    assert main(["--home", str(home), "retain", "--remove-after-days", "4"]) == 0
    assert not packed(path).exists()


@pytest.mark.parametrize("given", ["-1", "1.5", "soon", "36501"])
def test_an_impossible_number_of_days_is_refused(home, capsys, given):
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(home), "retain", f"--remove-after-days={given}"])

    assert ended.value.code == 2
    assert "days" in capsys.readouterr().err


def test_the_command_exits_1_when_files_were_kept_and_2_when_the_database_fails(home, capsys):
    path = age_by_name(home, 100, "e1")
    path.write_bytes(b"")
    assert main(["--home", str(home), "retain"]) == 1
    assert "Replace it" in capsys.readouterr().out

    (home / "telemetry.db").write_bytes(b"this is not a database" * 100)
    assert main(["--home", str(home), "retain"]) == 2
    assert "telemetry.db" in capsys.readouterr().err


def test_a_dry_run_of_the_command_exits_0_for_files_that_would_be_loaded_first(home, capsys):
    path = age_by_name(home, 100, "e1")
    (home / "telemetry.db").unlink()

    assert main(["--home", str(home), "retain", "--dry-run"]) == 0
    assert path.exists()


def test_the_command_names_a_home_that_is_not_there(tmp_path, capsys):
    assert main(["--home", str(tmp_path / "none"), "retain"]) == 2
    assert "no telemetry home" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_the_command_names_a_wrong_setting_and_goes_on(home, capsys):
    path = age_by_name(home, 40, "e1")
    (home / "telemetry.toml").write_text("[log]\nrotate_mb = 0\n")

    assert main(["--home", str(home), "retain"]) == 0
    assert "log.rotate_mb" in capsys.readouterr().err
    assert packed(path).exists()


def test_a_file_in_the_inbox_is_not_part_of_the_log(home):
    inbox = home / "inbox"
    inbox.mkdir()
    (inbox / "2020-01-01.jsonl").write_text(json.dumps(event(event_id="e1")) + "\n")
    load(inbox / "2020-01-01.jsonl", home)

    run(home)

    assert (inbox / "2020-01-01.jsonl").exists()
