"""The app as its own first customer: what it records of its own use, where, and when it is off."""

from __future__ import annotations

import json
import shlex
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import signing_in
import streamlit as st
from streamlit.runtime.scriptrunner_utils.exceptions import StopException
from streamlit.testing.v1 import AppTest

from data_access import DataUnavailable, Settings, settings
from data_access.metrics import METRICS
from ingest.vocabulary import METADATA
from pages.components import recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent
ON = Settings(record_app_use=True)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start without clients, with telemetry allowed and with faults of the client showing."""
    st.cache_data.clear()
    recorder._client.clear()
    for name in ("DO_NOT_TRACK", "TELEMETRY", "TELEMETRY_ERRORS", "TELEMETRY_SALT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TELEMETRY_STRICT", "1")
    monkeypatch.setattr(sys, "argv", ["pytest"])
    yield
    recorder._client.clear()


@pytest.fixture
def demo(home: Path, load_lines: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    load_lines(
        {"event_name": "session_started", "user_id_hash": "u", "timestamp": "2026-03-01T10:00:00Z"},
        {"operation_name": "o", "duration_ms": 5, "user_id_hash": "u", "timestamp": "2026-03-01"},
    )
    (home / "DEMO").write_text("")
    monkeypatch.setenv("TELEMETRY_HOME", str(home))
    return home


def run(*pages: str, user: str = "", **query: str) -> AppTest:
    app = AppTest.from_file("../pages/frame.py", default_timeout=60)
    if user:
        app.user = signing_in.claims(user)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    for page in pages:
        app.switch_page(f"{page}.py").run()
    assert not app.exception, [one.message for one in app.exception]
    return app


def said(app: AppTest) -> str:
    return "\n".join(str(one.value) for kind in (app.caption, app.markdown) for one in kind)


def recorded(home: Path) -> list[dict[str, Any]]:
    """Return what the app has written about its use of this home, in order."""
    own = recorder.own_home(str(home))
    recorder._client(str(own)).flush()
    logs = [path.read_text("utf-8") for path in sorted(own.glob("log/*/*.jsonl"))]
    rows = [json.loads(line) for log in logs for line in log.splitlines()]
    return [row | {"metadata": json.loads(row["metadata"])} for row in rows]


def events(home: Path) -> list[tuple[str, str]]:
    rows = [row for row in recorded(home) if "event_name" in row]
    return [(row["event_name"], row["metadata"]["element"]) for row in rows]


# --- what is recorded ------------------------------------------------------------------------


def test_a_visit_is_one_session_and_each_page_change_one_view_however_often_it_reruns(demo):
    app = run()
    app.run()
    app.switch_page("latency.py").run()
    app.run()
    app.switch_page("overview.py").run()

    assert events(demo) == [
        ("session_started", "overview"),
        ("web_view_opened", "overview"),
        ("web_view_opened", "latency"),
        ("web_view_opened", "overview"),
    ]


def test_each_cell_is_a_trace_with_its_time_its_rows_and_its_page(demo):
    run("latency")

    traces = {row["operation_name"]: row for row in recorded(demo) if row.get("operation_name")}
    one = traces["percentiles-over-time"]
    assert one["duration_ms"] > 0
    assert one["success"] == 1
    assert one["result_count"] == 28
    assert one["metadata"] == {"element": "latency", "route": "latency"}
    assert len(traces) >= 7


def test_a_reader_is_one_pseudonym_of_one_visit_on_the_web_channel_with_the_apps_release(demo):
    app = run("latency")

    rows = recorded(demo)
    visit = app.session_state["_visit"]
    assert {row["session_id"] for row in rows} == {visit}
    assert {row["channel"] for row in rows} == {"web"}
    assert {row["release"] for row in rows} == {recorder.RELEASE}
    (user,) = {row["user_id_hash"] for row in rows}
    assert user != visit
    assert len(user) == 64


def test_two_visits_are_two_people_unless_they_sign_in(demo, tmp_path):
    run()
    run()
    assert len({row["user_id_hash"] for row in recorded(demo)}) == 2

    (tmp_path / "secrets.toml").write_text(signing_in.secrets("http://idp", "http://127.0.0.1:1"))
    (demo / "telemetry.toml").write_text('[sign_in]\ndomains = ["example.com"]\n')
    with signing_in.configured(tmp_path / "secrets.toml"):
        run(user="ada@example.com")
        run(user="ada@example.com")

    rows = recorded(demo)
    assert len({row["session_id"] for row in rows}) == 4
    assert len({row["user_id_hash"] for row in rows}) == 3
    assert "ada@" not in json.dumps(rows)


def test_nobody_is_counted_among_the_testers(demo):
    before = settings(demo), sorted(demo.rglob("*.jsonl"))
    run("latency", "errors")

    assert (settings(demo), sorted(demo.rglob("*.jsonl"))) == before
    assert not recorder.own_home(str(demo)).is_relative_to(demo)


def test_only_allowed_metadata_is_used():
    assert {"element", "route"} <= METADATA.keys()


def broken(metric: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(*_frames: object, **_options: object) -> None:
        raise error

    monkeypatch.setitem(METRICS, metric, replace(METRICS[metric], compute=compute))


def test_an_error_in_a_cell_is_recorded_and_the_page_says_the_same_as_without(demo, monkeypatch):
    broken("slowest", ValueError("no ada@example.com"), monkeypatch)

    app = run("latency")

    assert ["“The slowest” could not be computed" in one.value for one in app.error] == [True]
    recorder._client(str(recorder.own_home(str(demo)))).close()
    rows = recorded(demo)
    (error,) = [row for row in rows if "error_type" in row]
    assert (error["error_type"], error["metadata"]["element"]) == ("ValueError", "the-slowest")
    assert "ada@" not in json.dumps(error)
    failed = [row["operation_name"] for row in rows if row.get("success") == 0]
    assert failed == ["the-slowest"]


def test_data_that_is_not_there_is_an_error_too(demo, monkeypatch):
    broken("slowest", DataUnavailable("gone"), monkeypatch)

    app = run("latency")

    assert [one.value for one in app.warning] == ["gone"]
    recorder._client(str(recorder.own_home(str(demo)))).close()
    (error,) = [row for row in recorded(demo) if "error_type" in row]
    assert error["error_type"].endswith("DataUnavailable")


def test_a_run_the_reader_interrupts_is_no_failure(tmp_path):
    own = recorder.of(str(tmp_path / "t"), ON)
    with pytest.raises(StopException), own.timed("cell", "metric"):
        raise StopException

    assert recorded(tmp_path / "t") == []


def test_the_apps_own_home_opens_like_any_other(demo, monkeypatch):
    run("latency", "pipeline")
    recorder._client(str(recorder.own_home(str(demo)))).close()
    own = recorder.own_home(str(demo))
    monkeypatch.setenv("TELEMETRY_HOME", str(own))
    st.cache_data.clear()

    overview = run(complete="false")
    latency = run("latency", complete="false")
    pipe = run("pipeline")

    assert not [one for app in (overview, latency, pipe) for one in app.error]
    assert any("1" in one.value for one in overview.metric)
    assert any(digit in one.value for one in latency.metric for digit in "123456789")
    assert "Nothing was lost" in said(pipe)
    assert "This is the app's own use" in said(pipe)
    assert not own.with_name(own.name + recorder.SUFFIX).exists()


# --- when ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("is_demo", "asked", "wanted"),
    [(True, None, True), (True, False, False), (False, None, False), (False, True, True)],
)
def test_it_is_on_in_a_demo_and_otherwise_asked_for(tmp_path, is_demo, asked, wanted):
    given = Settings(is_demo=is_demo, record_app_use=asked)

    assert recorder.is_wanted(str(tmp_path / "t"), given) is wanted


@pytest.mark.parametrize("text", ["record_app_use = true", "[beta]\nrecord_app_use = true"])
def test_the_settings_ask_for_it(home, text):
    (home / "telemetry.toml").write_text(text)

    assert settings(home).record_app_use is True
    assert settings(home).problems == ()


def test_a_setting_that_is_neither_yes_nor_no_is_a_problem_and_changes_nothing(home):
    (home / "telemetry.toml").write_text('record_app_use = "maybe"')

    found = settings(home)

    assert found.record_app_use is None
    (problem,) = found.problems
    assert problem.what == 'record_app_use = "maybe" cannot be used: it must be true or false.'


def test_the_apps_own_home_and_its_files_are_never_recorded(tmp_path):
    own = recorder.own_home(str(tmp_path / "t"))

    assert recorder.is_wanted(str(tmp_path / "t"), ON)
    assert not recorder.is_wanted(str(own), ON)
    assert not recorder.is_wanted(f"{own}/", ON)
    assert not recorder.is_wanted(str(own / "telemetry.db"), ON)
    assert not recorder.is_wanted(str(tmp_path / "x" / ".." / own.name), ON)
    assert not recorder.is_wanted("/", ON)


def test_turned_off_in_the_settings_nothing_is_written(demo):
    (demo / "telemetry.toml").write_text("record_app_use = false")

    app = run("pipeline")

    assert not recorder.own_home(str(demo)).exists()
    assert "does not record its own use" in said(app)


@pytest.mark.parametrize(("name", "value"), [("DO_NOT_TRACK", "1"), ("TELEMETRY", "0")])
def test_who_does_not_want_telemetry_has_none(demo, monkeypatch, name, value):
    monkeypatch.setenv(name, value)

    app = run("pipeline")

    assert not recorder.own_home(str(demo)).exists()
    assert name in said(app).replace("\\", "")


def test_a_home_beside_which_nothing_can_be_written_is_shown_all_the_same(demo):
    recorder.own_home(str(demo)).write_text("a file, where the folder would be")

    app = run("latency")

    assert not app.error
    assert len(app.metric) >= 4


# --- where -----------------------------------------------------------------------------------


def test_the_foot_of_the_page_names_the_home_and_a_command_that_opens_it(
    demo, tmp_path, monkeypatch
):
    spaced = demo.rename(tmp_path / "my beta")
    monkeypatch.setenv("TELEMETRY_HOME", str(spaced))

    app = run("pipeline")

    (command,) = [one.value for one in app.code if "streamlit run" in one.value]
    assert shlex.split(command) == [
        *("streamlit", "run", "app.py", "--"),
        str(tmp_path / "my beta-betascope"),
    ]
    assert Path(shlex.split(command)[-1]).is_dir()
    assert "record_app_use = false" in said(app)


def test_beside_a_single_file_the_home_has_the_files_name(tmp_path):
    assert recorder.own_home(str(tmp_path / "a.db")) == tmp_path / "a.db-betascope"


def test_only_so_many_clients_are_kept_and_the_oldest_is_closed(tmp_path):
    first = recorder._client(str(tmp_path / "0"))
    assert first is recorder._client(str(tmp_path / "0"))

    for number in range(1, recorder.CLIENTS_MAX + 1):
        recorder._client(str(tmp_path / str(number)))

    assert not first.track("late")
    assert first.stats()["dropped"]["closed"] == 1


def test_the_release_is_the_projects_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert project["version"] == recorder.RELEASE
