"""Is telemetry arriving, and what was lost: the clients' reports, the log, SQLite, and the page."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import re
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from data_access import Window, pipeline
from data_access.measures import MEASURES
from data_access.pipeline import LOSSES, OTHER
from ingest import Client
from ingest.counts import REASONS
from ingest.loader import replay_log
from ingest.vocabulary import read_row
from ingest.writer import Writer
from pages.components import text
from tests.opened import words

if TYPE_CHECKING:
    from pathlib import Path

# the package's own name `pipeline` is the function
module = importlib.import_module("data_access.pipeline")

MARCH = Window(date(2026, 3, 1), date(2026, 3, 8))
HOSTILE = "**b** <script>x</script> $x$ :smile: [a](http://e) `c` \u202e\n# h"
NOW = datetime.now(UTC).replace(microsecond=0)


def report(at: str, writer: str = "7-a", *, dropped: dict[str, int] | None = None, **more: Any):
    """Return one line as a client writes it; the counters are cumulative."""
    line = {"at": at, "writer": writer, "started_at": at, "channel": "server", "release": "1.0"}
    line |= {"written": 0, "sampled_out": 0, "held": 0, "merged": 0, "flagged": 0}
    line |= {"dropped": dict.fromkeys(REASONS, 0) | (dropped or {}), "buffered": 0, "faults": 0}
    return line | {"storing": None, "problems": []} | more


def write_reports(home: Path, *reports: dict[str, Any] | str) -> None:
    """Append reports to the file of their day; text goes to the first of March as it is."""
    (home / "pipeline").mkdir(parents=True, exist_ok=True)
    for one in reports:
        line = one if isinstance(one, str) else json.dumps(one)
        day = "2026-03-01" if isinstance(one, str) else one["at"][:10]
        with (home / "pipeline" / f"{day}.jsonl").open("a") as file:
            file.write(line + "\n")


def totals(home: Path, window: Window = MARCH) -> dict[str, Any]:
    state = pipeline(home, since=window.start)
    return MEASURES["pipeline_totals"].compute(state, window).row(0, named=True)


def measured(home: Path, name: str, window: Window = MARCH) -> list[dict[str, Any]]:
    return MEASURES[name].compute(pipeline(home, since=window.start), window).rows(named=True)


def lost_by_day(home: Path, window: Window = MARCH) -> dict[str, int]:
    rows = measured(home, "pipeline_by_day", window)
    return {str(row["period"]): row["lost"] for row in rows if row["lost"]}


# --- what clients report ---------------------------------------------------------------------


def test_every_reason_a_client_knows_has_words_and_advice():
    assert set(LOSSES) == {*REASONS, OTHER}
    assert all(meaning and what_to_do.endswith(".") for meaning, what_to_do in LOSSES.values())


def test_counters_are_cumulative_so_the_last_report_of_each_writer_counts(home):
    write_reports(
        home,
        report("2026-03-02T10:00:00.000Z", written=10, merged=1),
        report("2026-03-02T10:00:30.000Z", written=25, merged=3),
        report("2026-03-02T10:00:20.000Z", "8-b", written=100, sampled_out=40, flagged=2),
    )

    found = totals(home)

    assert (found["writers"], found["written"]) == (2, 125)
    assert (found["merged"], found["sampled_out"], found["flagged"]) == (3, 40, 2)
    assert (found["lost"], found["said"]) == (0, 168)


def test_a_writer_that_runs_over_midnight_loses_on_the_day_it_lost(home):
    write_reports(
        home,
        report("2026-03-02T23:59:50.000Z", dropped={"disk_full": 5}),
        report("2026-03-03T00:00:20.000Z", dropped={"disk_full": 5}, written=1),
        report("2026-03-03T00:00:50.000Z", dropped={"disk_full": 12}, written=1),
    )

    assert lost_by_day(home) == {"2026-03-02": 5, "2026-03-03": 7}


def test_a_loss_is_on_the_day_of_the_windows_timezone(home):
    write_reports(home, report("2026-03-02T23:30:00.000Z", dropped={"disk_full": 5}))
    berlin = replace(MARCH, timezone="Europe/Berlin")

    assert lost_by_day(home, berlin) == {"2026-03-03": 5}


def test_the_first_day_of_a_timezone_ahead_begins_in_the_file_of_the_day_before(home):
    write_reports(
        home,
        report("2026-02-28T23:30:00.000Z", dropped={"disk_full": 5}),
        report("2026-03-02T23:30:00.000Z", "8-b"),
    )

    assert lost_by_day(home, replace(MARCH, timezone="Europe/Berlin")) == {"2026-03-01": 5}
    assert lost_by_day(home, MARCH) == {}


def test_what_a_writer_counted_before_the_window_is_not_counted_again(home):
    """It was silent for two weeks: the difference needs a report from long before the window."""
    started = "2026-02-10T09:00:00.000Z"
    write_reports(
        home,
        report("2026-02-10T09:00:30.000Z", written=90, started_at=started),
        report("2026-02-14T09:00:30.000Z", written=100, started_at=started),
        report("2026-03-02T09:00:30.000Z", written=104, started_at=started),
    )

    assert totals(home)["written"] == 4


def test_days_long_before_the_window_are_left_unread_when_nothing_needs_them(home):
    write_reports(home, report("2026-03-02T09:00:30.000Z", written=4))
    (home / "pipeline" / "2026-02-01.jsonl").write_text("no report\n")

    assert totals(home)["skipped"] == 0
    assert pipeline(home).skipped == 1


def test_a_counter_that_went_back_began_anew(home):
    write_reports(
        home,
        report("2026-03-02T09:00:00.000Z", written=100),
        report("2026-03-02T12:00:00.000Z", written=30),
    )

    assert totals(home)["written"] == 130


def test_a_reason_of_a_later_version_is_counted_as_other(home):
    write_reports(
        home, report("2026-03-02T09:00:00.000Z", dropped={"eaten_by_dog": 3, "closed": 1})
    )

    rows = measured(home, "pipeline_reasons")

    assert [(row["reason"], row["records"]) for row in rows] == [("other", 3), ("closed", 1)]


def test_losses_after_the_window_are_told_apart_from_those_inside(home):
    write_reports(
        home,
        report("2026-03-07T23:00:00.000Z", dropped={"failed": 1}),
        report("2026-03-08T00:00:00.000Z", dropped={"failed": 3}, written=2),
    )

    found = totals(home)

    assert (found["lost"], found["lost_after"], found["written_after"]) == (1, 2, 2)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('{"at": "2026-03-02T09:00', id="torn"),
        pytest.param("[1, 2]", id="no object"),
        pytest.param(json.dumps({"event_name": "x", "user_id": "u"}), id="an event"),
        pytest.param(json.dumps(report("yesterday")), id="no time"),
        pytest.param(json.dumps(report("2026-03-02T09:00:00.000Z", "")), id="no writer"),
        pytest.param(json.dumps(report("2026-03-02T09:00:00.000Z", written=-1)), id="negative"),
        pytest.param(json.dumps(report("2026-03-02T09:00:00.000Z", written=True)), id="a flag"),
        pytest.param(json.dumps(report("2026-03-02T09:00:00.000Z", written=10**30)), id="huge"),
        pytest.param(json.dumps(report("2026-03-02T09:00:00.000Z") | {"dropped": 3}), id="dropped"),
        pytest.param(
            json.dumps(report("2026-03-02T09:00:00.000Z", dropped={"closed": "x"})), id="reason"
        ),
        pytest.param(
            json.dumps(report("2026-03-02T09:00:00.000Z", problems=["p" * 70_000])), id="too long"
        ),
        pytest.param("[" * 50_000, id="deep"),
    ],
)
def test_a_line_that_is_no_report_is_skipped_and_counted(home, line):
    write_reports(home, line, report("2026-03-02T09:00:00.000Z", written=5))

    found = totals(home)

    assert (found["skipped"], found["written"], found["writers"]) == (1, 5, 1)


def test_of_a_day_with_too_many_reports_the_end_is_read_and_nothing_is_counted_wrong(
    home, monkeypatch
):
    monkeypatch.setattr(module, "REPORT_BYTES_MAX", 1_500)
    moments = [f"2026-03-02T{hour:02d}:00:00.000Z" for hour in range(24)]
    write_reports(home, *(report(at, written=10 * n) for n, at in enumerate(moments)))

    found = totals(home)

    assert (found["written"], found["skipped"]) == (230, 0)


def test_only_so_many_days_are_read(home, monkeypatch):
    monkeypatch.setattr(module, "REPORT_FILES_MAX", 2)
    for day in (2, 3, 4):
        write_reports(home, report(f"2026-03-0{day}T10:00:00.000Z", f"{day}-a", written=day))

    assert totals(home)["written"] == 7


def test_what_a_real_client_lost_is_on_the_day_with_its_reason(home, monkeypatch):
    monkeypatch.setenv("TELEMETRY_STRICT", "1")
    at = datetime(2026, 3, 4, 12, tzinfo=UTC).timestamp()
    client = Client(home, environ={"TELEMETRY_STRICT": "1"}, now=lambda: at)
    client._options = client._options._replace(buffer_max=50)
    client.start_over()
    client._pipeline.pause()  # the disk is slow
    for number in range(80):
        client.track("context_loaded", user_id=f"u{number}")
    client._pipeline.resume()
    client.close()

    found = totals(home)

    assert (found["written"], found["lost"]) == (50, 30)
    assert client.stats()["dropped"]["buffer_full"] == 30
    assert lost_by_day(home) == {"2026-03-04": 30}
    assert [row["reason"] for row in measured(home, "pipeline_reasons")] == ["buffer_full"]
    (writer,) = measured(home, "pipeline_writers")
    assert (writer["written"], writer["lost"], writer["channel"]) == (50, 30, "server")


# --- the log, SQLite, the disk ---------------------------------------------------------------


def some_rows(count: int, at: str = "2026-03-02T10:00:00Z") -> list[Any]:
    raw = {"event_name": "x", "user_id_hash": "u", "timestamp": at}
    return [row for n in range(count) for row in read_row(raw, event_id=f"e{n}")]


def test_lines_sqlite_does_not_have_yet_wait_until_they_are_stored(home):
    writer = Writer(home, now=lambda: datetime(2026, 3, 2, tzinfo=UTC), name="w")
    writer.write(some_rows(3))
    writer.append(some_rows(7)[3:])
    writer.close()

    found = totals(home)
    (file,) = measured(home, "pipeline_files")
    assert (found["waiting_lines"], found["rows"]) == (4, 3)
    assert file["waiting_bytes"] == file["bytes"] - file["stored_bytes"] > 0
    assert (file["file"], file["day"]) == ("log/2026-03-02/w-0001.jsonl", date(2026, 3, 2))

    replay_log(home)
    found = totals(home)
    assert (found["waiting_lines"], found["waiting_bytes"], found["rows"]) == (0, 0, 7)


def test_without_a_database_the_whole_log_waits(home):
    Writer(home, name="w").append(some_rows(5))

    assert totals(home)["waiting_lines"] == 5


def test_a_compressed_file_that_is_stored_does_not_wait(home):
    writer = Writer(home, now=lambda: datetime(2026, 3, 2, tzinfo=UTC), name="w")
    writer.write(some_rows(5))
    writer.close()
    path = home / "log/2026-03-02/w-0001.jsonl"
    path.with_name("w-0001.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()

    found = totals(home)

    assert (found["waiting_bytes"], found["waiting_lines"]) == (0, 0)


def test_more_waiting_bytes_than_are_read_are_told_without_their_lines(home, monkeypatch):
    monkeypatch.setattr(module, "WAITING_BYTES_MAX", 100)
    Writer(home, name="w").append(some_rows(5))

    found = totals(home)

    assert found["waiting_lines"] is None
    assert found["waiting_bytes"] > 100


def test_quarantined_lines_are_grouped_by_what_is_wrong_with_advice(home, load_lines):
    load_lines(
        '{"event_name": "x", ',
        "no JSON, token=abc",
        {"event_name": "x", "user_id": "u", "timestamp": "yesterday"},
        {"event_name": "x", "user_id": "u", "timestamp": "2026-03-02", "duration_ms": "long"},
    )

    rows = measured(home, "pipeline_quarantine")
    lines = measured(home, "pipeline_lines")

    assert [(row["reason"], row["lines"], row["files"]) for row in rows] == [
        ("not JSON", 2, 1),
        ("no readable time in timestamp", 1, 1),
    ]
    assert "ISO 8601" in rows[1]["what_to_do"]
    assert [row["line"] for row in lines] == [3, 2, 1]
    assert lines[0]["file"] == "lines.jsonl"
    assert lines[0]["text"].startswith('{"event_name"')
    flags = measured(home, "pipeline_flags")
    assert flags == [{"file": "lines.jsonl", "field": "duration_ms", "rows": 1}]


def test_a_table_tells_its_rows_its_span_and_when_the_last_one_came(home, load_lines):
    load_lines(
        {"event_name": "x", "user_id": "u", "timestamp": "2026-03-02T10:00:00Z"},
        {"event_name": "x", "user_id": "u", "timestamp": "2026-03-01T10:00:00Z"},
    )

    events = measured(home, "pipeline_stored")[0]

    assert (events["table"], events["rows"]) == ("events", 2)
    assert events["oldest"] == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert events["newest"] == datetime(2026, 3, 2, 10, tzinfo=UTC)
    assert abs(events["last_stored"] - datetime.now(UTC)) < timedelta(minutes=5)


def test_sizes_are_those_of_the_files(home, load_lines):
    load_lines({"event_name": "x", "user_id": "u", "timestamp": "2026-03-02"})
    write_reports(home, report("2026-03-02T09:00:00.000Z"))
    (home / "inbox").mkdir()
    (home / "inbox" / "a.jsonl").write_bytes(b"x" * 1_234)

    sizes = {row["place"]: (row["files"], row["bytes"]) for row in measured(home, "pipeline_sizes")}

    assert sizes["inbox"] == (1, 1_234)
    assert sizes["reports"] == (1, (home / "pipeline" / "2026-03-02.jsonl").stat().st_size)
    assert sizes["log"] == (0, 0)
    assert sizes["database"][1] >= (home / "telemetry.db").stat().st_size


def locked(home: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(home / "telemetry.db", isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def test_while_the_database_is_locked_the_reports_and_the_log_are_told_and_the_rest_is_unknown(
    home, monkeypatch
):
    monkeypatch.setattr("data_access.database.BUSY_TIMEOUT_S", 0.05)
    writer = Writer(home, name="w")
    writer.write(some_rows(5))
    writer.close()
    write_reports(home, report("2026-03-02T09:00:00.000Z", written=5))

    with closing(locked(home)):
        found = totals(home)

    assert (found["written"], found["rows"], found["waiting_lines"]) == (5, None, None)
    assert "Another program holds the database" in found["trouble"]


def test_a_corrupt_database_costs_what_it_holds_and_nothing_else(home):
    writer = Writer(home, name="w")
    writer.write(some_rows(500))
    writer.close()
    write_reports(home, report("2026-03-02T09:00:00.000Z", written=500))
    path = home / "telemetry.db"
    path.write_bytes(path.read_bytes()[:4096] + b"Z" * (path.stat().st_size - 4096))
    for end in ("-wal", "-shm"):
        path.with_name(f"telemetry.db{end}").unlink(missing_ok=True)

    found = totals(home)

    assert found["written"] == 500
    assert found["rows"] is None
    assert "SQLite cannot read" in found["trouble"]


def test_a_single_file_and_an_older_database_say_that_they_have_no_pipeline(home, load_lines):
    load_lines({"event_name": "x", "user_id": "u", "timestamp": "2026-03-02"})
    write_reports(home, report("2026-03-02T09:00:00.000Z", written=5))
    lines = home / "a.jsonl"
    lines.write_text('{"event_name": "x"}\n')
    old = home / "old.db"
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("CREATE TABLE telemetry_events (id INTEGER, event_type TEXT)")

    alone = totals(home / "telemetry.db")

    assert (alone["kind"], alone["rows"], alone["written"]) == ("file", 1, 0)
    assert totals(lines)["kind"] == "file"
    assert (totals(old)["kind"], totals(old)["rows"]) == ("old", None)


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_has_exactly_the_columns_its_definition_lists(home, name):
    frame = MEASURES[name].compute(pipeline(home), MARCH)

    columns = MEASURES[name].definition.partition("Columns\n-------\n")[2]
    listed = re.findall(r"^([a-z_, \n]+?) :", columns, re.MULTILINE)
    names = [one.strip() for part in listed for one in part.replace("\n", " ").split(",")]
    assert frame.columns == names
    assert "def " + name in MEASURES[name].code


def test_a_definition_can_be_asked_about_one_column():
    assert MEASURES["pipeline_totals"].of("lost").startswith("what the product said and the log")
    assert MEASURES["pipeline_totals"].of("merged").endswith("`occurrences` counts them.")
    assert MEASURES["pipeline_totals"].of("nothing") == ""


# --- the page --------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def fresh_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    st.cache_data.clear()
    monkeypatch.setattr(sys, "argv", ["pytest"])


def run(home: Path, monkeypatch: pytest.MonkeyPatch, **query: str) -> AppTest:
    monkeypatch.setenv("TELEMETRY_HOME", str(home))
    app = AppTest.from_file("../pages/frame.py", default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run().switch_page("pipeline.py").run()
    assert not app.exception, [one.message for one in app.exception]
    return app


def headline(app: AppTest) -> dict[str, str]:
    return {one.label: one.value for one in app.metric}


def ago(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_when_nothing_was_lost_the_page_says_so_with_its_numbers(home, monkeypatch):
    write_reports(home, *(report(ago(2), f"{n}-a", written=4_115) for n in range(3)))

    app = run(home, monkeypatch)

    assert re.search(r"Nothing was lost\*\* in the 2[89] days to", words(app))
    assert "12.3k records written by 3 processes" in words(app)
    assert headline(app)["Written"] == "12.3k"
    assert headline(app)["Lost"] == "0"
    assert not app.error


def test_a_loss_is_told_with_its_main_reason_and_what_to_do(home, monkeypatch):
    write_reports(
        home, report(ago(2), written=588, dropped={"disk_full": 400, "left_at_close": 12})
    )

    said = words(run(home, monkeypatch))

    assert "**412 of 1,000 records were lost**" in said
    assert "400 of them because the disk was full. Free some space; the log goes on" in said


def test_what_was_lost_today_is_shown_although_only_complete_days_are(home, monkeypatch):
    write_reports(home, report(ago(0), dropped={"failed": 1}))

    app = run(home, monkeypatch)

    assert "**1 of 1 record was lost**" in words(app)
    assert "today included" in words(app)


def test_a_loss_after_the_period_is_told_too(home, load_lines, monkeypatch):
    """The data ended with the loss, and the span ends with the data."""
    load_lines({"event_name": "session_started", "user_id_hash": "u", "timestamp": ago(20)})
    write_reports(home, report(ago(4), dropped={"disk_full": 9}))

    assert "**9 records** were lost after" in words(run(home, monkeypatch))


def test_a_silence_is_told_with_the_last_report(home, load_lines, monkeypatch):
    load_lines({"event_name": "session_started", "user_id_hash": "u", "timestamp": ago(1)})
    write_reports(home, report(ago(40), written=9))

    app = run(home, monkeypatch)

    assert re.search(r"No client reported in the .*the last report is from 40 days ago", words(app))
    assert headline(app)["Written"] == text.NOTHING


def test_lines_put_aside_are_told_with_the_first_reason_and_what_to_do(
    home, load_lines, monkeypatch
):
    load_lines("no JSON", "nor this", {"event_name": "x", "user_id": "u", "timestamp": "never"})

    app = run(home, monkeypatch)

    assert "**3 lines** were put aside, 2 of them for “not JSON”" in words(app)
    assert not app.error


def test_each_number_carries_its_definition(home, monkeypatch):
    write_reports(home, report(ago(2), written=5))

    app = run(home, monkeypatch)

    helps = {one.label: one.help for one in app.metric}
    assert helps["Lost"] == "What the product said and the log never got, for any reason."
    assert all(helps.values())


def test_lines_that_wait_because_of_a_lock_are_safe_and_said_to_be(home, monkeypatch):
    Writer(home, name="w").append(some_rows(3, ago(1)))
    write_reports(home, report(ago(1), written=3, storing="database is locked"))

    app = run(home, monkeypatch)

    assert "3 lines in the log wait for SQLite (database is locked). They are safe" in words(app)
    assert headline(app)["Waiting for SQLite"] == "3"


def test_a_home_no_client_has_written_to_shows_lines_that_work(home, monkeypatch):
    app = run(home, monkeypatch)
    assert "No client has written here yet" in words(app)
    (code,) = [one.value for one in app.code if "ingest" in one.value]

    assert len(code.replace("\n\n", "\n").splitlines()) <= 5
    monkeypatch.setattr(os, "environ", {"TELEMETRY_STRICT": "1"})
    exec(code, {})  # noqa: S102 - the page's own example
    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", ["pytest"])
    st.cache_data.clear()

    app = run(home, monkeypatch)
    assert "No client has written here yet" not in words(app)
    assert headline(app)["Written"] == "1"


def test_other_filters_rest_and_the_page_says_so(home, monkeypatch):
    write_reports(home, report(ago(2), written=5))

    app = run(home, monkeypatch, tier="paid")

    assert "Filters other than the period rest here" in words(app)
    assert "Only tier" not in words(app)
    assert headline(app)["Written"] == "5"


def test_the_span_chooses_the_days(home, monkeypatch):
    write_reports(home, report(ago(20), "1-a", written=100), report(ago(3), "2-a", written=5))

    assert headline(run(home, monkeypatch, span="7d"))["Written"] == "5"
    assert headline(run(home, monkeypatch, span="28d"))["Written"] == "105"


def test_names_in_reports_are_never_markup(home, monkeypatch):
    Writer(home, name="w").append(some_rows(3, ago(1)))
    line = report(ago(2), HOSTILE, written=5, channel=HOSTILE, release=HOSTILE, storing=HOSTILE)
    write_reports(home, line | {"problems": [HOSTILE]})

    app = run(home, monkeypatch)

    assert not app.error
    assert "wait for SQLite" in words(app)
    assert "<script>" not in words(app).replace("\\<script\\>", "")


def test_a_locked_database_leaves_the_page_with_what_clients_counted(home, monkeypatch):
    monkeypatch.setattr("data_access.database.BUSY_TIMEOUT_S", 0.05)
    writer = Writer(home, name="w")
    writer.write(some_rows(5, ago(1)))
    writer.close()
    write_reports(home, report(ago(2), written=5))

    with closing(locked(home)):
        app = run(home, monkeypatch)

    assert "Another program holds the database" in words(app)
    assert headline(app)["Written"] == "5"
    assert headline(app)["Rows in SQLite"] == text.NOTHING
    assert not app.error


def test_a_measure_that_fails_takes_its_own_cell_with_it_and_nothing_else(home, monkeypatch):
    write_reports(home, report(ago(2), written=5))

    def compute(*_given: object) -> None:
        raise RuntimeError("on purpose: /secret/path")

    broken = replace(MEASURES["pipeline_writers"], compute=compute)
    monkeypatch.setitem(MEASURES, "pipeline_writers", broken)

    app = run(home, monkeypatch)

    assert ["Processes that write" in one.value for one in app.error] == [True]
    assert "/secret/path" not in words(app)
    assert headline(app)["Written"] == "5"
