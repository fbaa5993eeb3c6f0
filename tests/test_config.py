"""telemetry.toml: every key is read, refused by name with what it may be, and explained."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import pytest

import data_access
from data_access import config, settings
from data_access.home import default_home, open_home
from data_access.keys import KEYS, KINDS

DOCS = Path(__file__).parent.parent / "docs" / "SETTINGS.md"

GOOD = {
    "day": ("2026-10-05", date(2026, 10, 5)),
    "names": ('["a", "b"]', ("a", "b")),
    "timezone": ('"Europe/Berlin"', "Europe/Berlin"),
    "switch": ("false", False),
    "text": ('"some"', "some"),
    "table": ("{ }", {}),
}
WRONG = {
    "day": '"soon"',
    "names": "3",
    "timezone": '"Mars"',
    "word": '"often"',
    "switch": '"no"',
    "whole": "1.5",
    "number": "-1",
    "text": "3",
    "table": "3",
}
IN_A_HOME = [key for key in KEYS.values() if key.name != "home"]


@pytest.fixture(autouse=True)
def beside_app(tmp_path, monkeypatch) -> Path:
    """Let the app's own file be one of the test's, and absent at first."""
    path = tmp_path / "beside" / "telemetry.toml"
    path.parent.mkdir()
    monkeypatch.setenv(config.SETTINGS_VARIABLE, str(path))
    return path


def wrote(home: Path, name: str, value: str) -> data_access.Settings:
    table, _, inside = name.rpartition(".")
    (home / "telemetry.toml").write_text(
        f"[{table}]\n{inside} = {value}\n" if table else f"{name} = {value}\n"
    )
    return settings(home)


def value_of(found: data_access.Settings, name: str) -> object:
    return next(one.value for one in config.in_force(found) if one.key.name == name)


@pytest.mark.parametrize("key", IN_A_HOME, ids=lambda key: key.name)
def test_every_key_is_read(home, key):
    text, expected = GOOD.get(key.kind, (str(key.high), key.high))
    if key.kind == "word":
        text, expected = f'"{key.words[-1]}"', key.words[-1]

    found = wrote(home, key.name, text)

    assert value_of(found, key.name) == expected
    assert not found.problems
    assert dict(found.places)[key.name] == str((home / "telemetry.toml").resolve())


@pytest.mark.parametrize("key", [*KEYS.values()], ids=lambda key: key.name)
def test_a_wrong_value_is_refused_by_name_with_what_it_may_be(home, beside_app, key):
    if key.name == "home":
        beside_app.write_text("home = 3\n")
        found = settings(home)
    else:
        found = wrote(home, key.name, WRONG[key.kind])

    (problem,) = found.problems
    assert problem.what.startswith(f"{key.name} = ")
    assert key.allowed in problem.what


def test_the_defaults_of_the_table_are_those_of_the_settings(home):
    found = config.in_force(settings(home))

    assert {one.key.name: one.value for one in found} == {
        name: key.default for name, key in KEYS.items()
    }
    assert {one.place for one in found} == {"default"}


def test_what_closes_lists_of_people_keeps_them_closed_when_it_cannot_be_read(home):
    assert wrote(home, "people_lists", '"no"').people_lists is False


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('[sign_in]\ndomain = ["a.org"]', "sign_in.domains"),
        ('timezon = "UTC"', "timezone"),
        ("[limits]\nquery_row = 3", "limits.query_rows"),
        ("query_rows = 3", "limits.query_rows"),
    ],
)
def test_an_unknown_key_is_said_with_the_one_that_was_meant(home, text, meant):
    (home / "telemetry.toml").write_text(text)

    (problem,) = settings(home).problems
    assert "is no setting" in problem.what
    assert meant in problem.what_to_do


@pytest.mark.parametrize(
    "text",
    ["= broken", "[sign_in]\ndomains = 3", "[sign_in]\ndomian = ['a.org']", "sign_in = 3", "\xff"],
)
def test_what_may_hide_who_may_come_in_lets_nobody_in(home, text):
    (home / "telemetry.toml").write_bytes(text.encode("latin-1"))

    assert settings(home).sign_in.broken


def test_other_troubles_close_no_door(home):
    assert not wrote(home, "timezone", '"Mars"').sign_in.broken


def test_the_homes_own_file_decides_over_the_one_beside_the_app(home, beside_app):
    beside_app.write_text('timezone = "Europe/Berlin"\nweek_starts_on = "sunday"\n')
    (home / "telemetry.toml").write_text('timezone = "Asia/Seoul"\n')

    found = settings(home)

    assert (found.timezone, found.week_starts_on) == ("Asia/Seoul", "sunday")
    assert dict(found.places)["week_starts_on"] == str(beside_app.resolve())


def test_the_file_beside_the_app_names_the_home(home, beside_app):
    beside_app.write_text(f'home = "../{home.name}"\n')

    assert Path(default_home()).resolve() == home.resolve()
    assert open_home().root == home.resolve()
    assert not settings().problems


def test_a_home_cannot_name_another(home):
    (problem,) = wrote(home, "home", '"/elsewhere"').problems
    assert "inside a home" in problem.what


def test_a_change_beside_the_app_is_a_new_version(home, beside_app):
    before = data_access.version(home)
    beside_app.write_text('timezone = "Asia/Seoul"\n')

    assert data_access.version(home) != before


def test_an_enormous_file_is_not_read(home):
    (home / "telemetry.toml").write_bytes(b"#" * (config.SETTINGS_BYTES_MAX + 1))

    (problem,) = settings(home).problems
    assert "larger than" in problem.what


def test_the_docs_explain_every_key_and_their_example_is_right(home):
    text = DOCS.read_text("utf-8")
    for key in KEYS.values():
        name = key.name
        assert f"| `{key.name}` | {key.allowed} |" in text, name
        assert key.doc in text, name
    example = text.partition("```toml\n")[2].partition("```")[0]
    assert set(tomllib.loads(example)) <= {name.partition(".")[0] for name in KEYS}
    (home / "telemetry.toml").write_text(example)
    assert not settings(home).problems


def test_every_kind_says_what_it_allows():
    assert {key.kind for key in KEYS.values()} == set(KINDS)
