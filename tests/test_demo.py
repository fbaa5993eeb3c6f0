"""The demo is a beta one can believe: whole, deterministic, within the vocabulary, with a story."""

from __future__ import annotations

import argparse
import hashlib
import json
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest import demo_script
from ingest.demo import DemoRefused, DemoSummary, add_arguments, run, write_demo
from ingest.migrate import open_database
from ingest.stack_hash import HASH_VERSION, stack_hash
from ingest.vocabulary import (
    CHANNELS,
    DATABASE_FILE,
    DEMO_FILE,
    METADATA,
    PAID_TIERS,
    SETTINGS_FILE,
    TABLES,
    TIERS,
    CortexEventName,
    read_row,
)

END = date(2026, 6, 2)
EVENTS = 24_000
DAYS = 90
STARTED, CANCELED = "paid_subscription_started", "paid_subscription_canceled"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DemoSummary:
    home = tmp_path_factory.mktemp("demo") / "home"
    return write_demo(home, events=EVENTS, days=DAYS, end=END)


def query(home: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(home / DATABASE_FILE)) as connection:
        return connection.execute(sql, values).fetchall()


def records(home: Path, table: str) -> list[dict[str, Any]]:
    columns = TABLES[table].column_names
    rows = query(home, f"SELECT {', '.join(columns)} FROM {TABLES[table].sql_name} ORDER BY id")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def digest(home: Path) -> str:
    rows = [records(home, table) for table in TABLES]
    texts = [(home / name).read_text() for name in (SETTINGS_FILE, DEMO_FILE)]
    return hashlib.sha256(json.dumps([rows, texts]).encode()).hexdigest()


def p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


def search_durations(made: DemoSummary, first: date, last: date) -> list[float]:
    rows = query(
        made.home,
        "SELECT duration_ms FROM telemetry_traces WHERE operation_name = 'rag_search' "
        "AND timestamp >= ? AND timestamp < ?",
        *(first.isoformat(), last.isoformat()),
    )
    return [duration for (duration,) in rows]


def small(home: Path, **changes: Any) -> DemoSummary:
    return write_demo(home, **({"events": 2_000, "days": 30, "end": END} | changes))


# --- whole and deterministic


def test_the_same_seed_makes_the_same_rows_byte_by_byte(tmp_path: Path) -> None:
    small(tmp_path / "a")
    small(tmp_path / "b")

    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_another_process_with_another_hash_seed_makes_the_same_rows(tmp_path: Path) -> None:
    """Nothing depends on the order of a set or on hash() of a string."""
    code = (
        "import sys; from datetime import date; from pathlib import Path\n"
        "from ingest.demo import write_demo\n"
        f"write_demo(Path(sys.argv[1]), events=2_000, days=30, end=date.fromisoformat('{END}'))"
    )
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / seed)],
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1])},
        )

    assert digest(tmp_path / "1") == digest(tmp_path / "2")


def test_another_seed_is_another_beta(tmp_path: Path) -> None:
    small(tmp_path / "a")
    small(tmp_path / "b", seed=8)

    assert digest(tmp_path / "a") != digest(tmp_path / "b")


@pytest.mark.parametrize(
    ("events", "days"),
    [
        pytest.param(1_000, 30, id="the smallest"),
        pytest.param(3_001, 37, id="odd numbers"),
        pytest.param(1_000, 400, id="more days than sessions"),
    ],
)
def test_there_are_exactly_as_many_events_as_asked_for(
    tmp_path: Path, events: int, days: int
) -> None:
    made = small(tmp_path, events=events, days=days)

    assert made.events == events
    assert query(tmp_path, "SELECT count(*) FROM telemetry_events") == [(events,)]


def test_the_summary_counts_what_the_tables_hold(made: DemoSummary) -> None:
    counts = {name: len(records(made.home, name)) for name in TABLES}

    assert counts == {name: getattr(made, name) for name in TABLES}
    assert counts["events"] == EVENTS


@pytest.mark.parametrize("table", list(TABLES))
def test_everything_lies_between_the_first_day_and_the_end(made: DemoSummary, table: str) -> None:
    times = [
        value
        for row in records(made.home, table)
        for name, value in row.items()
        if name in ("timestamp", "start_time", "end_time", "first_at", "last_at")
    ]

    assert min(times) >= (END - timedelta(days=DAYS)).isoformat()
    assert max(times) < END.isoformat()
    assert max(times) > (END - timedelta(days=1)).isoformat()


def test_every_day_has_events(made: DemoSummary) -> None:
    assert query(
        made.home, "SELECT count(DISTINCT substr(timestamp, 1, 10)) FROM telemetry_events"
    ) == [(DAYS,)]


@pytest.mark.parametrize("table", ["events", "errors", "traces"])
def test_rows_are_written_in_order_of_time_with_time_ordered_ids(
    made: DemoSummary, table: str
) -> None:
    rows = [(row["timestamp"], row["event_id"]) for row in records(made.home, table)]

    assert rows == sorted(rows)
    assert sorted(event_id for _, event_id in rows) == [event_id for _, event_id in rows]


# --- within the vocabulary


@pytest.mark.parametrize("table", list(TABLES))
def test_every_row_reads_back_unchanged_and_unflagged(made: DemoSummary, table: str) -> None:
    for record in records(made.home, table):
        (row,) = read_row(record)

        assert row.table == table
        assert row.flags == ()
        assert row.values == tuple(record.values())


@pytest.mark.parametrize("table", list(TABLES))
def test_tiers_and_channels_are_the_vocabularys(made: DemoSummary, table: str) -> None:
    rows = records(made.home, table)

    assert {row["user_tier"] for row in rows} == set(TIERS)
    assert {row["channel"] for row in rows} == set(CHANNELS)


def test_all_standard_events_happen(made: DemoSummary) -> None:
    happened = {row["event_name"] for row in records(made.home, "events")}

    assert happened == {name.value for name in CortexEventName} | {
        *("install", "ui_interaction", "code_insert", "context_switch")
    }


@pytest.mark.parametrize("table", ["events", "errors", "traces"])
def test_metadata_keys_and_types_are_the_vocabularys(made: DemoSummary, table: str) -> None:
    python_types = {"text": str, "number": (int, float), "flag": bool}
    for row in records(made.home, table):
        for key, value in json.loads(row["metadata"]).items():
            assert isinstance(value, python_types[METADATA[key].kind]), key
            assert METADATA[key].kind == "flag" or not isinstance(value, bool), key


def test_errors_and_traces_come_in_believable_proportion(made: DemoSummary) -> None:
    assert 0.01 < made.errors / EVENTS < 0.025
    assert 0.25 < made.traces / EVENTS < 0.40


# --- sessions


def test_a_session_row_says_what_its_events_say(made: DemoSummary) -> None:
    events = query(
        made.home,
        "SELECT session_id, user_id_hash, channel, min(timestamp), max(timestamp), count(*) "
        "FROM telemetry_events GROUP BY session_id ORDER BY session_id",
    )
    sessions = query(
        made.home,
        "SELECT session_id, user_id_hash, channel, start_time, end_time, event_count "
        "FROM telemetry_user_sessions ORDER BY session_id",
    )

    assert events == sessions


def test_extension_sessions_start_with_the_extension(made: DemoSummary) -> None:
    openings: dict[str, list[str]] = {}
    for row in records(made.home, "events"):
        if row["event_name"] != "install":
            openings.setdefault(f"{row['channel']} {row['session_id']}", []).append(
                row["event_name"]
            )

    for session, names in openings.items():
        started = 1 if session.startswith("extension") else 0
        assert names[started] == "session_started"
        assert started == 0 or names[0] == "extension_activated"
        assert "session_ended" not in names[:-1]


def test_a_persons_sessions_never_overlap(made: DemoSummary) -> None:
    ended: dict[str, str] = {}
    for row in sorted(records(made.home, "sessions"), key=lambda row: row["start_time"]):
        assert row["start_time"] > ended.get(row["user_id_hash"], "")
        ended[row["user_id_hash"]] = row["end_time"]


# --- the story


def test_the_regression_shows_in_p95_and_the_next_release_ends_it(made: DemoSummary) -> None:
    days = dict(made.releases)
    bad, fixed = days[made.bad_release], days["1.5.0"]

    before = p95(search_durations(made, bad - timedelta(days=21), bad))
    during = p95(search_durations(made, bad + timedelta(days=1), fixed))
    incident = made.incident[0].date()
    after = p95(
        search_durations(made, fixed + timedelta(days=3), incident)
        + search_durations(made, incident + timedelta(days=1), END)
    )

    assert during > 1.6 * before
    assert after < 1.3 * before


def test_the_regression_raises_failures_of_the_search(made: DemoSummary) -> None:
    rates = dict(
        query(
            made.home,
            "SELECT release = ?, 1 - avg(success) FROM telemetry_traces "
            "WHERE operation_name = 'rag_search' AND NOT (timestamp >= ? AND timestamp < ?) "
            "GROUP BY 1",
            made.bad_release,
            *(moment.strftime("%Y-%m-%dT%H") for moment in made.incident),
        )
    )

    assert rates[1] > 2 * rates[0]


def test_a_release_takes_days_to_reach_everybody(made: DemoSummary) -> None:
    bad = dict(made.releases)[made.bad_release]
    shares = query(
        made.home,
        "SELECT avg(release = ?) FROM telemetry_events WHERE timestamp >= ? "
        "GROUP BY substr(timestamp, 1, 10) ORDER BY substr(timestamp, 1, 10) LIMIT 5",
        *(made.bad_release, bad.isoformat()),
    )

    assert 0.2 < shares[0][0] < 0.85
    assert shares[-1][0] > shares[0][0]
    assert query(
        made.home,
        "SELECT count(*) FROM telemetry_events WHERE release = ? AND timestamp < ?",
        *(made.bad_release, bad.isoformat()),
    ) == [(0,)]


def test_the_incident_is_a_burst_of_failures_and_timeouts(made: DemoSummary) -> None:
    rates = dict(
        query(
            made.home,
            "SELECT timestamp >= ? AND timestamp < ?, avg(result <> 'success') "
            "FROM telemetry_events GROUP BY 1",
            *(moment.strftime("%Y-%m-%dT%H") for moment in made.incident),
        )
    )
    timeouts = query(
        made.home,
        "SELECT substr(timestamp, 1, 10) FROM telemetry_events WHERE result = 'timeout' "
        "GROUP BY 1 ORDER BY count(*) DESC LIMIT 1",
    )

    assert rates[1] > 6 * rates[0]
    assert timeouts == [(made.incident[0].date().isoformat(),)]


def test_testers_come_before_the_open_beta_and_everybody_else_after(made: DemoSummary) -> None:
    settings = tomllib.loads((made.home / SETTINGS_FILE).read_text())
    first_seen = dict(
        query(made.home, "SELECT user_id_hash, min(timestamp) FROM telemetry_events GROUP BY 1")
    )
    opened = made.open_beta.isoformat()
    seen_before = {user for user, moment in first_seen.items() if moment < opened}

    assert settings["open_beta_date"] == made.open_beta
    assert len(settings["testers"]) == made.testers
    assert seen_before == set(settings["testers"]) & set(first_seen)
    assert len(set(settings["testers"]) - set(first_seen)) == demo_script.NO_SHOWS


def test_people_convert_cancel_and_change_tier_with_the_event(made: DemoSummary) -> None:
    """The event that starts a subscription is paid, the one that ends it is the last paid one."""
    tiers: dict[str, str] = {}
    names: list[str] = []
    for row in records(made.home, "events"):
        before = tiers.get(row["user_id_hash"])
        if row["event_name"] == STARTED:
            assert (before in ("free", "trial"), row["user_tier"]) == (True, "paid")
        elif before == "paid" and row["user_tier"] != "paid":
            assert names[-1:] == [CANCELED]
        if row["event_name"] in (STARTED, CANCELED):
            names.append(row["event_name"])
        canceled = row["event_name"] == CANCELED
        tiers[row["user_id_hash"]] = "free" if canceled else row["user_tier"]
        assert row["is_paid_user"] == (row["user_tier"] in PAID_TIERS)

    assert names.count(STARTED) > 5
    assert 0 < names.count(CANCELED) < names.count(STARTED)


def test_some_conversions_go_through_a_trial(made: DemoSummary) -> None:
    plans = [
        json.loads(row["metadata"])["from_tier"]
        for row in records(made.home, "events")
        if row["event_name"] == STARTED
    ]

    assert set(plans) == {"free", "trial"}


def test_people_come_back_after_long_silence_with_and_without_a_context(made: DemoSummary) -> None:
    days: dict[str, dict[date, set[str]]] = {}
    for row in records(made.home, "events"):
        day = date.fromisoformat(row["timestamp"][:10])
        days.setdefault(row["user_id_hash"], {}).setdefault(day, set()).add(row["event_name"])
    returns = [
        "session_resumed_from_context" in happened[day]
        for happened in days.values()
        for earlier, day in zip(sorted(happened), sorted(happened)[1:], strict=False)
        if day - earlier >= timedelta(days=demo_script.RETURN_GAP_DAYS)
    ]
    silent = [user for user in days if max(days[user]) < END - timedelta(days=8)]

    assert returns.count(True) > 5
    assert returns.count(False) > 5
    assert len(silent) > len(days) / 10


def test_weekdays_are_busier_and_the_beta_grows(made: DemoSummary) -> None:
    per_day = dict(
        query(
            made.home,
            "SELECT substr(timestamp, 1, 10), count(DISTINCT user_id_hash) "
            "FROM telemetry_events GROUP BY 1",
        )
    )
    last = [date.fromisoformat(day) for day in sorted(per_day)[-28:]]
    weekend = [per_day[day.isoformat()] for day in last if day.weekday() >= 5]
    week = [per_day[day.isoformat()] for day in last if day.weekday() < 5]
    first = [per_day[day] for day in sorted(per_day)[:28]]

    assert sum(week) / len(week) > 1.3 * sum(weekend) / len(weekend)
    assert sum(week) / len(week) > 2 * sum(first) / len(first)


# --- errors


def test_each_fault_is_one_group_on_every_machine(made: DemoSummary) -> None:
    groups = query(
        made.home,
        "SELECT error_type, count(DISTINCT stack_hash), count(DISTINCT stack_trace), "
        "count(DISTINCT user_id_hash) FROM telemetry_errors GROUP BY 1",
    )

    assert len(groups) == len(demo_script.FAULTS)
    for _, hashes, traces, users in groups:
        assert hashes == 1
        assert traces > 1
        assert users > 1


def test_stored_hashes_are_stack_hashs_own(made: DemoSummary) -> None:
    for row in records(made.home, "errors")[:100]:
        said = stack_hash(
            row["stack_trace"], error_type=row["error_type"], message=row["error_message"]
        )
        assert (row["stack_hash"], row["hash_version"]) == (said, HASH_VERSION)


def test_one_fault_comes_with_the_regression_and_one_ends_with_a_fix(made: DemoSummary) -> None:
    releases = {
        kind: set(names.split(","))
        for kind, names in query(
            made.home,
            "SELECT error_type, group_concat(DISTINCT release) FROM telemetry_errors GROUP BY 1",
        )
    }

    assert releases["EmbeddingMismatchError"] == {made.bad_release}
    assert releases["KeyError"] <= {"1.0.0", "1.1.0", "1.2.0"}


# --- the home


def test_a_home_with_somebodys_data_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / DATABASE_FILE).write_bytes(b"mine")

    with pytest.raises(DemoRefused, match="not made by the demo"):
        small(tmp_path, replace=True)

    assert [path.name for path in tmp_path.iterdir()] == [DATABASE_FILE]
    assert (tmp_path / DATABASE_FILE).read_bytes() == b"mine"


@pytest.mark.parametrize(
    "name", ["log/2026-06-01/1-0001.jsonl", "inbox/a.jsonl.gz", "a.jsonl", SETTINGS_FILE]
)
def test_a_home_with_events_or_settings_of_its_own_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("{}\n")

    with pytest.raises(DemoRefused, match=r"did not make|not made by"):
        small(tmp_path)

    assert not (tmp_path / DATABASE_FILE).exists()


def test_a_demo_home_that_has_got_events_of_its_own_is_never_replaced(tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "mine.jsonl").write_text("{}\n")

    with pytest.raises(DemoRefused, match=r"mine\.jsonl"):
        small(tmp_path, replace=True)


def test_a_demo_is_replaced_only_when_asked(tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / "columnar").mkdir()
    with pytest.raises(DemoRefused, match="--replace"):
        small(tmp_path, seed=8)

    small(tmp_path, seed=8, replace=True)

    small(tmp_path / "fresh", seed=8)
    assert digest(tmp_path) == digest(tmp_path / "fresh")
    assert not (tmp_path / "columnar").exists()


def test_changes_still_in_the_old_demos_wal_never_reach_the_new_one(tmp_path: Path) -> None:
    small(tmp_path)
    with closing(open_database(tmp_path / DATABASE_FILE)) as somebody:
        somebody.execute("DELETE FROM telemetry_events")  # in the -wal file until it is closed

        small(tmp_path, replace=True)

        assert query(tmp_path, "SELECT count(*) FROM telemetry_events") == [(2_000,)]
        assert query(tmp_path, "PRAGMA integrity_check") == [("ok",)]


def test_edited_settings_are_kept_beside_the_new_ones(tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / SETTINGS_FILE).write_text("# mine\n")

    small(tmp_path, replace=True)

    assert (tmp_path / f"{SETTINGS_FILE}.before").read_text() == "# mine\n"
    assert tomllib.loads((tmp_path / SETTINGS_FILE).read_text())["timezone"] == "UTC"


def test_an_interrupted_demo_leaves_what_was_there(tmp_path: Path) -> None:
    small(tmp_path)
    before = digest(tmp_path)

    def interrupt(_done: int, _wanted: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small(tmp_path, seed=8, replace=True, progress=interrupt)

    assert digest(tmp_path) == before
    assert not list(tmp_path.glob(".demo-*"))


@pytest.mark.parametrize(("name", "value"), [("events", 10), ("days", 3), ("days", 10_000)])
def test_impossible_sizes_are_refused_with_a_possible_one(
    tmp_path: Path, name: str, value: int
) -> None:
    with pytest.raises(DemoRefused, match=f"--{name}"):
        small(tmp_path, **{name: value})


# --- the command line


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


def test_the_command_writes_a_demo_and_says_how_to_open_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "a home"
    code = run(arguments("--events", "2000", "--days", "30"), home=home, today=END)

    out, err = capsys.readouterr()
    assert code == 0
    assert f"TELEMETRY_HOME='{home}' streamlit run app.py" in out
    assert "100 %" in err
    assert "\r" not in err
    assert json.loads((home / DEMO_FILE).read_text()) == {
        "seed": 7,
        "events": 2000,
        "days": 30,
        "end": "2026-06-02",
    }


def test_the_command_says_why_it_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / DATABASE_FILE).write_bytes(b"mine")

    code = run(arguments("--end", "2026-06-02"), home=tmp_path, today=END)

    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert str(tmp_path / DATABASE_FILE) in err


def test_the_demo_loads_no_data_frame_library() -> None:
    code = "import sys, ingest.demo; print({'polars', 'pandas', 'numpy'} & set(sys.modules))"
    root = Path(__file__).parents[1]
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True)

    assert said.stdout.strip() == b"set()"


def test_the_clients_of_the_demo_counted_what_is_in_the_database(made: DemoSummary) -> None:
    reports = [
        json.loads(line)
        for path in sorted((made.home / "pipeline").iterdir())
        for line in path.read_text().splitlines()
    ]
    since = min(report["at"][:10] for report in reports)
    rows = sum(
        query(made.home, f"SELECT count(*) FROM telemetry_{table} WHERE timestamp >= ?", since)[0][
            0
        ]
        for table in ("events", "errors", "traces")
    )
    lost = {report["at"][:10] for report in reports if sum(report["dropped"].values())}

    assert sum(report["written"] for report in reports) == rows
    assert lost
    assert lost <= {f"{moment:%Y-%m-%d}" for moment in made.incident}
