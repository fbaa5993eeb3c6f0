"""Whether telemetry may be recorded: four settings, the first that speaks decides."""

from __future__ import annotations

import json

import pytest

from ingest.consent import explain, resolve


@pytest.mark.parametrize(
    ("environ", "config", "enabled", "decided_by"),
    [
        pytest.param({}, None, True, "default", id="nobody says anything"),
        pytest.param({}, {"enabled": False}, False, "telemetry.json", id="the home says no"),
        pytest.param({}, {"enabled": True}, True, "telemetry.json", id="the home says yes"),
        pytest.param({}, {"telemetry": "off"}, False, "telemetry.json", id="in other words"),
        pytest.param({}, {"errors": False}, True, "default", id="about errors only"),
        pytest.param({"TELEMETRY": "0"}, {"enabled": True}, False, "TELEMETRY", id="env over file"),
        pytest.param({"TELEMETRY": "1"}, {"enabled": False}, True, "TELEMETRY", id="env says yes"),
        pytest.param({"TELEMETRY": "perhaps"}, None, False, "TELEMETRY", id="unclear is no"),
        pytest.param({"TELEMETRY": " "}, None, True, "default", id="blank is silent"),
        pytest.param(
            {"DO_NOT_TRACK": "1", "TELEMETRY": "1"}, None, False, "DO_NOT_TRACK", id="dnt"
        ),
        pytest.param({"DO_NOT_TRACK": "true"}, None, False, "DO_NOT_TRACK", id="dnt in words"),
        pytest.param({"DO_NOT_TRACK": "0", "TELEMETRY": "1"}, None, True, "TELEMETRY", id="no dnt"),
    ],
)
def test_the_first_setting_that_speaks_decides(home, environ, config, enabled, decided_by):
    if config is not None:
        (home / "telemetry.json").write_text(json.dumps(config))

    found = resolve(environ, home)

    assert (found.enabled, found.decided_by) == (enabled, decided_by)
    assert decided_by == "default" or decided_by in explain(environ, home)
    assert not found.send


@pytest.mark.parametrize("content", ["{", "[]", "\0", "[" * 100_000])
def test_a_file_that_cannot_be_read_most_likely_said_no(home, content):
    (home / "telemetry.json").write_text(content)

    assert not resolve({}, home).enabled
    assert "mend or remove it" in explain({}, home)


def test_errors_and_sending_have_switches_of_their_own(home):
    (home / "telemetry.json").write_text('{"errors": false, "send": true}')

    assert resolve({}, home).enabled
    assert not resolve({}, home).errors
    assert resolve({}, home).send
    assert resolve({"TELEMETRY_ERRORS": "1"}, home).errors
    assert not resolve({"TELEMETRY_SEND": "0"}, home).send
    assert not resolve({"DO_NOT_TRACK": "1", "TELEMETRY_SEND": "1"}, home).send


def test_a_home_that_is_not_there_says_nothing(tmp_path):
    assert resolve({}, tmp_path / "nothing").enabled
    assert list(tmp_path.iterdir()) == []


def test_it_says_what_leaves_the_machine(home):
    assert "stays on this machine" in explain({}, home)
    assert "Nothing is written" in explain({"TELEMETRY": "0"}, home)
    assert "Errors are left out" in explain({"TELEMETRY_ERRORS": "0"}, home)
