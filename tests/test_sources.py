"""One frame per table over everything on disk: each event once, nothing stale, nothing lost."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from data_access import (
    DataUnavailable,
    Filters,
    Window,
    choices,
    columnar,
    data_as_of,
    first_day,
    last_day,
    problems,
    properties,
    scan,
    segment_sizes,
    settings,
    version,
)
from data_access.home import open_home
from data_access.schema import SCHEMAS
from ingest.team import remove_segment, save_segment
from ingest.vocabulary import read_row
from ingest.writer import Writer
from tests.lines import event, many

DATA = Path(__file__).parent / "data"
NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
WINDOW = Window(date(2026, 3, 1), date(2026, 4, 1))
PLENTY = columnar.SEGMENT_ROWS_MIN + 500


def ids(home, table: str = "events", **options) -> list[str]:
    return scan(table, home, **options).select("event_id").collect().to_series().sort().to_list()


def execute(home: Path, sql: str, *values) -> None:
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        connection.execute(sql, values)
        connection.commit()


def inbox(home: Path, name: str, *records: dict) -> Path:
    path = home / "inbox" / name
    path.parent.mkdir(exist_ok=True)
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def written(home: Path, *records: dict) -> None:
    with contextlib.closing(Writer(home)) as writer:
        writer.write([row for record in records for row in read_row(record)])


def log(home: Path, text: str, name: str = "other-0001.jsonl") -> Path:
    path = home / "log" / "2026-03-05" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text)
    return path


def segments(home: Path) -> set[str]:
    return {path.name for path in (home / "columnar").glob("*.parquet")}


def kinds(home) -> set[str]:
    return {problem.kind for problem in problems(home, now=NOW)}


@pytest.mark.parametrize("table", SCHEMAS)
def test_an_empty_home_gives_empty_frames_of_the_promised_shape(home, table):
    frame = scan(table, home).collect()

    assert frame.schema == SCHEMAS[table]
    assert frame.is_empty()


@pytest.mark.parametrize("name", ["v1.db", "v2.db", "activity.jsonl.gz"])
def test_a_file_opens_as_it_is(tmp_path, name):
    shutil.copy(DATA / name, tmp_path)

    for table, schema in SCHEMAS.items():
        assert scan(table, tmp_path / name).collect().schema == schema


def test_the_older_databases_read_whole_with_mixed_times(tmp_path):
    for name in ("v1.db", "v2.db"):
        shutil.copy(DATA / name, tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in ("v1.db", "v2.db")}

    assert scan("events", tmp_path / "v1.db").collect().height == 3000
    assert scan("errors", tmp_path / "v1.db").collect().height == 116
    assert scan("events", tmp_path / "v2.db").collect().height == 4000
    assert scan("traces", tmp_path / "v2.db").collect().height == 1500
    errors = scan("errors", tmp_path / "v2.db").collect()
    assert errors["group_hash"].n_unique() == 4
    assert errors["stack_hash"].n_unique() == 299
    assert set(scan("events", tmp_path / "v2.db").collect()["channel"]) == {
        "server",
        "extension",
        "web",
    }
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_old_names_are_shown_by_their_standard_name_beside_their_own(load_lines, home):
    load_lines(
        event(name="branch_create", metadata={"auto_or_manual": "auto"}, event_id="1"),
        event(name="branch_create", metadata={"auto_or_manual": "manual"}, event_id="2"),
        event(name="mcp.tool_call", event_id="3"),
    )

    frame = scan("events", home).sort("event_id").select("event_name", "source_name").collect()
    assert frame.rows() == [
        ("context_auto_created", "branch_create"),
        ("context_created", "branch_create"),
        ("server_operation_called", "mcp.tool_call"),
    ]


def test_an_event_is_seen_once_wherever_it_lies(load_lines, home):
    load_lines(event(event_id="a"), event(event_id="b"))
    inbox(home, "x.jsonl", event(event_id="b"), event(event_id="c"), event(event_id="c"))
    inbox(home, "y.jsonl.gz", event(event_id="c"), event(event_id="d"))
    log(home, "".join(json.dumps(event(event_id=key)) + "\n" for key in "ade"))

    assert ids(home) == list("abcde")


@pytest.mark.parametrize("count", [3, PLENTY])
def test_rows_the_database_gets_later_leave_the_inbox_copy(load_lines, home, count):
    load_lines(event(event_id="e0"))
    inbox(home, "x.jsonl", *many(count))
    assert len(ids(home)) == count

    load_lines(*many(count))
    assert len(ids(home)) == count

    (home / "inbox" / "x.jsonl").unlink()
    assert len(ids(home)) == count


def test_a_file_that_leaves_the_inbox_takes_its_rows_along_and_gives_way_to_its_twin(home):
    inbox(home, "x.jsonl", event(event_id="a"), event(event_id="b"))
    inbox(home, "y.jsonl", event(event_id="b"), event(event_id="c"))
    assert ids(home) == ["a", "b", "c"]

    (home / "inbox" / "x.jsonl").unlink()
    assert ids(home) == ["b", "c"]


@pytest.mark.parametrize("count", [10, PLENTY])
def test_deleted_rows_disappear_and_a_replay_does_not_bring_them_back(home, count):
    written(home, *many(count))
    inbox(home, "x.jsonl", *many(count)[:5])
    assert len(ids(home)) == count

    execute(home, "DELETE FROM telemetry_events WHERE event_id IN ('e1', 'e7')")
    execute(home, "DELETE FROM telemetry_log_files")
    assert not {"e1", "e7"} & set(ids(home))
    assert len(ids(home)) == count - 2

    written(home, event(event_id="new"))
    assert len(ids(home)) == count - 1


@pytest.mark.parametrize("count", [10, PLENTY])
def test_updated_rows_are_read_again(load_lines, home, count):
    load_lines(*many(count))
    ids(home)
    execute(home, "UPDATE telemetry_events SET user_tier = 'paid' WHERE event_id = 'e3'")

    frame = scan("events", home).collect()
    assert frame.height == count
    assert frame.filter(pl.col("is_paid_user"))["event_id"].to_list() == ["e3"]


def test_new_rows_cost_a_new_segment_and_touch_no_old_one(load_lines, home):
    load_lines(*many(3 * PLENTY))
    ids(home)
    before = segments(home)

    load_lines(*many(PLENTY, prefix="new"))
    assert len(ids(home)) == 4 * PLENTY
    assert before < segments(home)
    assert len(segments(home)) == len(before) + 1


def test_few_new_rows_stay_in_sqlite_with_the_filter_pushed_into_it(load_lines, home):
    load_lines(*many(PLENTY))
    ids(home)
    before = segments(home)
    load_lines(event(event_id="new", user_tier="paid"), event(event_id="other"))

    assert segments(home) == before
    assert ids(home, filters=Filters(WINDOW, tiers=("paid",))) == ["new"]


def test_many_small_arrivals_do_not_become_many_files(load_lines, home):
    for number in range(columnar.SEGMENTS_SMALL_MAX + 2):
        load_lines(*many(columnar.SEGMENT_ROWS_MIN, prefix=f"{number}-"))
        ids(home)

    assert len(ids(home)) == columnar.SEGMENT_ROWS_MIN * (columnar.SEGMENTS_SMALL_MAX + 2)
    current = columnar.refresh(open_home(home)).segments["events"]
    assert len(current) <= columnar.SEGMENTS_SMALL_MAX


def test_the_copy_can_be_deleted_at_any_time(load_lines, home):
    load_lines(*many(PLENTY))
    ids(home)
    shutil.rmtree(home / "columnar")
    load_lines(event(event_id="new"))

    assert len(ids(home)) == PLENTY + 1


@pytest.mark.parametrize("lost", ["all", "segments"])
def test_the_copy_can_be_deleted_while_the_program_runs(load_lines, home, lost):
    load_lines(*many(PLENTY))
    ids(home)
    assert len(ids(home)) == PLENTY  # remembered by now
    if lost == "all":
        shutil.rmtree(home / "columnar")
    else:
        for path in (home / "columnar").glob("*.parquet"):
            path.unlink()

    assert len(ids(home)) == PLENTY


def test_a_database_that_was_away_for_a_moment_is_back_whole(load_lines, home):
    load_lines(*many(PLENTY))
    execute(home, "PRAGMA wal_checkpoint(TRUNCATE)")
    assert len(ids(home)) == PLENTY

    (home / "telemetry.db").rename(home / "away")
    assert ids(home) == []
    (home / "away").rename(home / "telemetry.db")
    assert len(ids(home)) == PLENTY


def test_a_restored_backup_is_read_anew(load_lines, home, tmp_path):
    load_lines(*many(PLENTY))
    shutil.copy(home / "telemetry.db", tmp_path / "backup.db")
    load_lines(*many(PLENTY, prefix="later"))
    assert len(ids(home)) == 2 * PLENTY

    for name in ("telemetry.db", "telemetry.db-wal", "telemetry.db-shm"):
        (home / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup.db", home / "telemetry.db")
    load_lines(event(event_id="after"))
    assert len(ids(home)) == PLENTY + 1


def test_an_event_in_the_log_is_in_the_frame_at_once(load_lines, home):
    load_lines(event(event_id="a"))
    before = version(home)
    log(home, json.dumps(event(event_id="b")) + "\n")

    assert version(home) != before
    assert ids(home) == ["a", "b"]


def test_a_log_line_cut_in_half_waits_for_its_end(home):
    line = json.dumps(event(event_id="a")) + "\n"
    log(home, line[:30])
    assert ids(home) == []
    assert problems(home, now=NOW) == []

    log(home, line[30:])
    assert ids(home) == ["a"]


def test_a_log_that_no_database_has_seen_is_read_whole_and_further(home):
    log(home, "".join(json.dumps(record) + "\n" for record in many(PLENTY)))
    assert len(ids(home)) == PLENTY

    log(home, json.dumps(event(event_id="new")) + "\n")
    assert len(ids(home)) == PLENTY + 1


def test_a_sealed_log_is_read_on_from_where_the_database_stopped(home):
    written(home, *many(5))
    [path] = (home / "log").glob("*/*.jsonl")
    with path.open("a") as file:
        file.write(json.dumps(event(event_id="later")) + "\n")
    packed = path.with_suffix(".jsonl.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()

    expected = [*(f"e{number}" for number in range(5)), "later"]
    assert ids(home) == expected
    inbox(home, "x.jsonl", event(event_id="zz"))
    assert ids(home) == [*expected, "zz"]


def test_lines_that_cannot_be_read_are_counted_and_the_rest_is_shown(home):
    inbox(home, "x.jsonl", event(event_id="a"))
    with (home / "inbox" / "x.jsonl").open("ab") as file:
        file.write(b'{"timestamp": "2026\n\xff\xfe\x00\n[]\n' + b"x" * 100_000 + b"\n")
        file.write(json.dumps(event(event_id="b", session_id="s\0\U0001f600")).encode() + b"\n")

    assert ids(home) == ["a", "b"]
    [problem] = problems(home, now=NOW)
    assert (problem.kind, problem.count) == ("quarantined", 4)


def test_ten_megabytes_of_metadata_do_not_stop_the_rest(home):
    inbox(home, "x.jsonl", event(event_id="a", metadata={"x": "y" * 10_000_000}), event())

    assert scan("events", home).collect().height == 2


def test_a_gzip_cut_in_half_shows_what_it_holds_and_says_so(home):
    path = inbox(home, "x.jsonl.gz", *many(5_000))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    assert 0 < len(ids(home)) < 5_000
    assert kinds(home) == {"unreadable"}


def test_a_corrupt_database_is_said_and_the_rest_is_shown(home):
    (home / "telemetry.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5_000)
    inbox(home, "x.jsonl", event(event_id="a"))

    assert ids(home) == ["a"]
    assert kinds(home) == {"corrupt"}


def test_a_database_that_breaks_later_leaves_what_was_read_before(load_lines, home):
    load_lines(*many(PLENTY))
    ids(home)
    for name in ("telemetry.db-wal", "telemetry.db-shm"):
        (home / name).unlink(missing_ok=True)
    (home / "telemetry.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5_000)

    assert len(ids(home)) == PLENTY
    assert kinds(home) == {"corrupt"}


def test_a_locked_database_is_said_and_the_rest_is_shown(load_lines, home):
    load_lines(*many(3))
    inbox(home, "x.jsonl", event(event_id="a"))
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM telemetry_quarantine")

        assert ids(home) == ["a"]
        assert kinds(home) == {"locked"}


@pytest.mark.parametrize("count", [3, PLENTY])
def test_text_that_is_no_utf8_is_shown_with_its_bad_bytes_replaced(load_lines, home, count):
    load_lines(*many(count))
    execute(home, "UPDATE telemetry_events SET project_id = CAST(x'41ff42' AS TEXT) WHERE id = 2")

    projects = scan("events", home).collect()["project_id"].drop_nulls().to_list()
    assert projects == ["A\N{REPLACEMENT CHARACTER}B"]


def test_a_gzip_with_flipped_bytes_shows_what_it_holds_and_says_so(home):
    path = inbox(home, "x.jsonl.gz", *many(5_000))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    path.write_bytes(data)

    assert len(ids(home)) < 5_000
    assert kinds(home) >= {"unreadable"}


@pytest.mark.parametrize("name", ["plain.jsonl.gz", "packed.jsonl"])
def test_a_file_is_told_by_its_content_not_its_name(home, name):
    data = (json.dumps(event(event_id="a")) + "\n").encode()
    (home / "inbox").mkdir()
    (home / "inbox" / name).write_bytes(data if name.endswith(".gz") else gzip.compress(data))

    assert ids(home) == ["a"]


def test_pages_sqlite_cannot_read_are_stepped_over_once_and_said_ever_after(load_lines, home):
    count = 4 * PLENTY
    load_lines(*many(count))
    execute(home, "PRAGMA wal_checkpoint(TRUNCATE)")
    path = home / "telemetry.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        pages = [
            page
            for (page,) in connection.execute(
                "SELECT pageno FROM dbstat WHERE name = 'telemetry_events' AND pagetype = 'leaf' "
                "ORDER BY pageno"
            )
        ]
    with path.open("r+b") as file:
        file.seek((pages[len(pages) // 2] - 1) * size)
        file.write(b"\xff" * size)

    seen = ids(home)
    assert 0.8 * count < len(seen) < count
    assert kinds(home) == {"corrupt"}
    inbox(home, "x.jsonl", event(event_id="new"))
    assert ids(home) == sorted([*seen, "new"])
    assert kinds(home) == {"corrupt"}


def test_a_row_without_a_readable_time_is_left_out_of_every_question_and_counted(load_lines, home):
    load_lines(*many(3))
    execute(
        home,
        "INSERT INTO telemetry_events (timestamp, event_name, user_id_hash) VALUES ('x', 'y', 'z')",
    )

    assert scan("events", home).select(pl.len()).collect().item() == 3
    assert scan("events", home).select("event_name").collect().height == 3
    [problem] = problems(home, now=NOW)
    assert (problem.kind, problem.count) == ("flagged", 1)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can become nobody")
@pytest.mark.parametrize("what", ["folder", "file", "closed"])
def test_a_home_that_may_not_be_written_is_read_and_one_that_may_not_be_read_says_so(
    load_lines, home, what
):
    load_lines(*many(5))
    execute(home, "PRAGMA wal_checkpoint(TRUNCATE)")
    for name in ("telemetry.db-wal", "telemetry.db-shm"):
        (home / name).unlink(missing_ok=True)
    for folder in (home, *home.parents):
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):  # noqa: S108 - pytest's own
            folder.chmod(0o755)
    home.chmod(0o700 if what == "closed" else 0o755)
    code = (
        "import os, sys, data_access\n"
        "from data_access import scan, DataUnavailable\n"
        "os.setuid(65534); os.environ['XDG_CACHE_HOME'] = '/nowhere'\n"
        "try: print(scan('events', sys.argv[1]).collect().height)\n"
        "except DataUnavailable as error: print('may not be read' in str(error))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(home / "telemetry.db" if what == "file" else home)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
    )

    assert run.stdout.strip() == ("True" if what == "closed" else "5"), run.stderr


def test_a_lock_brings_no_deleted_row_back_from_the_log(home):
    written(home, *many(PLENTY))
    execute(home, "DELETE FROM telemetry_events")
    assert ids(home) == []
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM telemetry_quarantine")
        inbox(home, "x.jsonl", event(event_id="a"))
        assert ids(home) == ["a"]
        other.rollback()
    inbox(home, "y.jsonl", event(event_id="b"))

    assert ids(home) == ["a", "b"]


def test_clocks_of_1970_and_2099_are_kept_and_said(load_lines, home):
    load_lines(
        event(at="1970-01-01T00:00:01Z"), event(at="2099-01-01T00:00:00Z"), event(event_id="now")
    )

    assert scan("events", home).collect().height == 3
    assert kinds(home) == {"clock"}
    assert first_day(home) == last_day(home, now=NOW) == date(2026, 3, 1)
    assert first_day(home, timezone="Pacific/Kiritimati") == date(2026, 3, 2)
    assert data_as_of(home, now=NOW) == datetime(2026, 3, 1, 10, tzinfo=UTC)


def test_no_home_says_where_we_looked_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TELEMETRY_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(DataUnavailable, match=r"nowhere.*python -m ingest demo"):
        scan("events")


def test_an_unknown_table_names_the_known_ones(home):
    with pytest.raises(KeyError, match="events, errors, traces, sessions"):
        scan("metrics", home)


def test_since_and_dimensions_narrow_and_the_window_does_not(load_lines, home):
    load_lines(
        event(event_id="early", at="2026-02-01T00:00:00Z"),
        event(event_id="late", at="2026-05-01T00:00:00Z"),
        event(event_id="paid", user_tier="paid", channel="server"),
    )

    assert ids(home, since=WINDOW.opens_at) == ["late", "paid"]
    assert ids(home, filters=Filters(WINDOW)) == ["early", "late", "paid"]
    assert ids(home, filters=Filters(WINDOW, tiers=("paid",), channels=("server",))) == ["paid"]


def test_the_stage_comes_from_all_history_or_from_the_tester_list(load_lines, home):
    load_lines(
        event("old", event_id="1", at="2026-02-01T00:00:00Z", user_tier="free"),
        {"operation_name": "o", "timestamp": "2026-01-01T00:00:00Z", "user_id_hash": "old"},
        event("old", event_id="2", user_tier="paid"),
        event("new", event_id="3", user_tier="paid"),
    )
    (home / "telemetry.toml").write_text('open_beta_date = "2026-02-01"\n')
    closed = Filters(WINDOW, tiers=("paid",), stages=("closed-beta",))
    assert ids(home, filters=closed) == ["2"]

    (home / "telemetry.toml").write_text('open_beta_date = 2026-02-01\ntesters = ["new"]\n')
    assert ids(home, filters=closed) == ["3"]
    assert ids(home, filters=Filters(WINDOW, stages=("open-beta",))) == ["1", "2"]
    assert choices(home)["stages"] == ["closed-beta", "open-beta"]


def narrowed(**chosen) -> Filters:
    return Filters(WINDOW, **chosen)


def test_a_segment_keeps_its_people_in_every_table_and_the_opposite_keeps_the_others(
    load_lines, home
):
    load_lines(
        event("ada", event_id="1"),
        event("bob", event_id="2"),
        event("cy", event_id="3"),
        {"operation_name": "o", "timestamp": "2026-03-01T00:00:00Z", "user_id_hash": "ada"},
        {"error_type": "E", "timestamp": "2026-03-01T00:00:00Z", "user_id_hash": "bob"},
    )
    save_segment(home, "internal", users=["ada"])
    save_segment(home, "friends", users=["bob", "nobody"])

    assert ids(home, filters=narrowed(segments=("internal",))) == ["1"]
    assert ids(home, filters=narrowed(segments=("internal", "friends"))) == ["1", "2"]
    assert ids(home, filters=narrowed(segments=("not internal",))) == ["2", "3"]
    assert ids(home, filters=narrowed(segments=("not internal", "not friends"))) == ["3"]
    assert ids(home, filters=narrowed(segments=("friends", "not internal"))) == ["2"]
    assert len(ids(home, "traces", filters=narrowed(segments=("internal",)))) == 1
    assert len(ids(home, "errors", filters=narrowed(segments=("internal",)))) == 0
    none = scan("sessions", home, filters=narrowed(segments=("not internal",))).collect()
    assert none.is_empty()


def test_a_segment_by_query_is_told_from_all_history_whatever_else_is_filtered(load_lines, home):
    load_lines(
        event("ada", event_id="1", at="2025-01-01T00:00:00Z", user_tier="paid"),
        event("ada", event_id="2", user_tier="free", metadata={"ide": "zed"}),
        event("bob", event_id="3", user_tier="free", metadata={"ide": "zed"}),
    )
    save_segment(home, "payers", query="tier=paid")
    save_segment(home, "lately", query="tier=paid&span=custom&from=2026-03-01&to=2026-03-31")

    free = narrowed(tiers=("free",), segments=("payers",))
    assert ids(home, filters=free, since=WINDOW.opens_at) == ["2"]
    assert ids(home, filters=narrowed(properties=("ide:zed",), segments=("not payers",))) == ["3"]
    assert ids(home, filters=narrowed(segments=("lately",))) == []
    assert segment_sizes(home) == {"lately": 0, "payers": 1}


def test_a_segment_may_be_made_of_others_but_not_of_itself(load_lines, home):
    load_lines(event("ada", event_id="1"), event("bob", event_id="2"))
    save_segment(home, "internal", users=["ada"])
    save_segment(home, "others", query="segment=not+internal")
    save_segment(home, "round", query="segment=about")
    save_segment(home, "about", query="segment=round")

    assert ids(home, filters=narrowed(segments=("others",))) == ["2"]
    with pytest.raises(DataUnavailable, match="asks for itself"):
        ids(home, filters=narrowed(segments=("round",)))
    assert segment_sizes(home) == {"about": None, "internal": 1, "others": 1, "round": None}


@pytest.mark.parametrize("query", ["tier=gold", "who=ada", "where=ide", "from=x&to=y&tier=paid"])
def test_a_segment_whose_filters_mean_nothing_is_said_and_is_not_everybody(load_lines, home, query):
    load_lines(event("ada", event_id="1", user_tier="paid"))
    save_segment(home, "odd", query=query)

    with pytest.raises(DataUnavailable, match="'odd' cannot be understood"):
        ids(home, filters=narrowed(segments=("odd",)))
    assert segment_sizes(home) == {"odd": None}


def test_a_segment_nobody_saved_is_said(load_lines, home):
    load_lines(event())

    with pytest.raises(DataUnavailable, match="no segment 'gone'"):
        ids(home, filters=narrowed(segments=("not gone",)))


def test_a_segment_that_changes_is_never_answered_from_before(load_lines, home):
    load_lines(event("ada", event_id="1"), event("bob", event_id="2"))
    save_segment(home, "s", users=["ada"])
    assert ids(home, filters=narrowed(segments=("s",))) == ["1"]
    assert choices(home)["segments"] == ["s"]

    save_segment(home, "s", users=["bob"])
    assert ids(home, filters=narrowed(segments=("s",))) == ["2"]
    remove_segment(home, "s")
    assert choices(home)["segments"] == []


def test_a_property_keeps_the_rows_that_say_so_in_every_table(load_lines, home):
    said = {"timestamp": "2026-03-01T00:00:00Z", "user_id_hash": "u", "metadata": {"ide": "zed"}}
    load_lines(
        event(event_id="1", metadata={"ide": "zed"}),
        event(event_id="2"),
        said | {"operation_name": "o", "event_id": "3"},
        said | {"error_type": "E", "event_id": "4"},
    )
    zed = narrowed(properties=("ide:zed",))

    assert ids(home, filters=zed) == ["1"]
    assert ids(home, "traces", filters=zed) == ["3"]
    assert ids(home, "errors", filters=zed) == ["4"]


def test_properties_are_found_in_the_latest_rows_and_keys_with_many_values_are_no_choice(
    load_lines, home
):
    load_lines(
        *(
            event(
                at=f"2026-03-01T10:{number // 60:02}:{number % 60:02}Z",
                metadata={
                    "ide": "zed" if number % 3 else "vscode",
                    "auto": number % 2 == 0,
                    "tool_name": f"t{number % 20}",
                    "model": f"m{number}",
                    "lines_inserted": number,
                },
            )
            for number in range(300)
        ),
        event(metadata="{broken"),
    )

    assert choices(home)["properties"] == ["auto:true", "auto:false", "ide:zed", "ide:vscode"]
    assert properties(home) == ("auto", "ide", "tool_name")


def test_settings_that_cannot_be_used_are_said_and_defaulted(home):
    (home / "telemetry.toml").write_text(
        'timezone = "Mars"\nopen_beta_date = "soon"\ntesters = 3\n'
    )
    found = settings(home)
    assert (found.timezone, found.open_beta_date, found.testers) == ("UTC", None, ())
    assert len(found.problems) == 3

    (home / "telemetry.toml").write_text('people_lists = "no"\n')
    assert settings(home).people_lists is False
    assert len(settings(home).problems) == 1

    (home / "telemetry.toml").write_text("= broken")
    assert settings(home).problems[0].kind == "settings"


def test_choices_come_most_frequent_first(load_lines, home):
    load_lines(
        event(project_id="b", event_id="1"),
        event(project_id="b", event_id="2"),
        event(project_id="a", event_id="3"),
        event(event_id="4"),
    )

    assert choices(home)["projects"] == ["b", "a"]


def test_many_threads_reading_at_once_see_the_same(load_lines, home):
    load_lines(*many(PLENTY))
    with ThreadPoolExecutor(8) as pool:
        heights = list(pool.map(lambda _: len(ids(home)), range(16)))

    assert set(heights) == {PLENTY}


def test_two_processes_refreshing_at_once_do_not_disturb_each_other(load_lines, home):
    load_lines(*many(PLENTY))
    code = (
        "import sys; from data_access import scan;"
        "print(scan('events', sys.argv[1]).collect().height)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(home)], stdout=subprocess.PIPE, env=environment
        )
        for _ in range(3)
    ]

    assert {int(one.communicate()[0]) for one in running} == {PLENTY}
    assert len(ids(home)) == PLENTY


def test_a_copy_that_cannot_be_kept_is_said_and_everything_is_read_all_the_same(load_lines, home):
    load_lines(*many(PLENTY))
    inbox(home, "x.jsonl", event(event_id="a"))
    inbox(home, "y.jsonl", *many(10))
    (home / "columnar").write_text("a file where the folder should be")

    assert len(ids(home)) == PLENTY + 1
    assert kinds(home) == {"copy"}
    execute(home, "DELETE FROM telemetry_events WHERE event_id = 'e3'")
    assert len(ids(home)) == PLENTY


def test_only_the_columns_a_query_needs_are_read_from_sqlite(load_lines, home):
    load_lines(*many(3))
    frame = scan("events", home).select("user_id_hash").collect()

    assert frame.columns == ["user_id_hash"]
    plan = scan("events", home).select("user_id_hash").explain()
    assert "PROJECT 1/" in plan or "1/17 COLUMNS" in plan.upper()
