"""The Settings page: every key with its value and origin, problems first, and no secret ever."""

from __future__ import annotations

import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import data_access
from data_access import config
from data_access.config import Server, SignIn, in_force
from data_access.keys import KEYS
from pages.components import access, settings
from pages.server.entry import Entry
from pages.server.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parent.parent / "docs" / "SETTINGS.md"
SECRET = "do-not-show-me"  # noqa: S105 - none, it only has to stay away


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch) -> Path:
    """Let the file beside the app be one of the test's, and forget other tests' pages."""
    st.cache_data.clear()
    monkeypatch.setattr(sys, "argv", ["pytest"])
    path = tmp_path / "beside" / "telemetry.toml"
    path.parent.mkdir()
    monkeypatch.setenv(config.SETTINGS_VARIABLE, str(path))
    return path


@pytest.fixture
def page(home, monkeypatch) -> Callable[..., AppTest]:
    def run(where: Path = home, **secrets: Any) -> AppTest:
        monkeypatch.setenv("TELEMETRY_HOME", str(where))
        app = AppTest.from_file("../pages/frame.py", default_timeout=60)
        for name, value in secrets.items():
            app.secrets[name] = value
        app.run()
        app.switch_page("settings.py").run()
        assert not app.exception, [one.message for one in app.exception]
        return app

    return run


class Rows(HTMLParser):
    """Reads the cells of tables and the lines of lists, as text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag, _attrs):
        """Begin a row or a cell."""
        self.tags.add(tag)
        if tag in ("tr", "dt"):
            self.rows.append([])
        if tag in ("th", "td", "dt", "dd"):
            self.rows[-1].append("")

    def handle_data(self, data):
        """Add words to the cell that is open."""
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def html_of(app: AppTest) -> str:
    return "".join(one.proto.body for one in app.get("html"))


def shown(app: AppTest) -> dict[str, list[str]]:
    """Return value, origin and what it may be by key, and what is said of each fact."""
    rows = Rows(html_of(app)).rows
    names = {row[0]: row[1:] for row in rows if row}
    keys = {
        name: next((said for head, said in names.items() if head.startswith(name)), [])
        for name in sorted(KEYS, key=len)
    }
    return names | keys


def everything(app: AppTest) -> str:
    kinds = (app.title, app.header, app.markdown, app.caption, app.error, app.text, app.code)
    return html_of(app) + "\n".join(str(one.value) for kind in kinds for one in kind)


def test_every_key_is_there_with_its_value_and_where_it_came_from(page, home, alone):
    (home / "telemetry.toml").write_text("[limits]\nquery_rows = 500\n")
    alone.write_text('timezone = "Asia/Seoul"\n')

    found = shown(page())

    assert all(len(found[name]) == 3 for name in KEYS)
    assert found["limits.query_rows"][:2] == ["500", "the home's telemetry.toml"]
    assert "otherwise 10_000" in found["limits.query_rows"][2]
    assert found["timezone"][:2] == ['"Asia/Seoul"', "telemetry.toml beside the app"]
    assert found["week_starts_on"][:2] == ['"monday"', "default"]
    assert found["home"][:2] == [f'"{home}"', "$TELEMETRY_HOME"]
    for key in KEYS.values():
        assert key.allowed in found[key.name][2]


def test_what_cannot_be_used_is_said_first_with_what_it_may_be(page, home):
    (home / "telemetry.toml").write_text('week_starts_on = "often"\n[limits]\nquery_row = 3\n')

    app = page()

    (error,) = app.error
    assert "2 settings cannot be used" in error.value
    assert 'must be "monday" or "sunday"' in error.value.replace("\\", "")
    assert "Did you mean limits.query_rows?" in error.value.replace("\\", "")
    assert shown(app)["week_starts_on"][:2] == ['"monday"', "default"]


@pytest.mark.parametrize("content", [b"= broken", b"\xff\xfe", b'timezone = "Mars"'])
def test_it_opens_with_a_file_that_cannot_be_read(page, home, content):
    (home / "telemetry.toml").write_bytes(content)

    assert "cannot be used" in page().error[0].value


def test_it_opens_without_telemetry_and_says_where_it_looked(page, tmp_path, alone):
    alone.write_text('timezone = "Asia/Seoul"\n')

    app = page(tmp_path / "nowhere")

    assert "nowhere" in app.text[0].value
    assert shown(app)["timezone"][0] == '"Asia/Seoul"'
    assert "How is this notebook set up?" in app.title[0].value


def test_it_opens_with_a_broken_database(page, home):
    (home / "telemetry.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5_000)

    assert len(shown(page())["timezone"]) == 3


def test_what_a_file_says_is_never_markup(page, home):
    (home / "telemetry.toml").write_text(
        'testers = ["<script>alert(1)</script>"]\n[sign_in]\ngroups_claim = "<img src=x>"\n'
    )

    found = Rows(html_of(page()))

    assert not {"script", "img"} & found.tags
    assert any("<img src=x>" in cell for row in found.rows for cell in row)


def test_of_the_provider_its_host_is_shown_and_no_secret(page, home):
    (home / "telemetry.toml").write_text("[sign_in]\nrequired = true\ndomains = ['a.org']\n")

    app = page(
        auth={
            "client_id": SECRET,
            "client_secret": SECRET,
            "cookie_secret": SECRET,
            "server_metadata_url": f"https://id.a.org/{SECRET}",
        }
    )

    if "The door" in shown(app):  # who is not signed in may not get here at all
        assert "id.a.org" in html_of(app)
    assert SECRET not in everything(app)


def test_a_viewer_sees_no_names_no_paths_and_no_doors(page, home, monkeypatch):
    (home / "telemetry.toml").write_text('testers = ["somebody"]\n[sign_in]\nadmins = ["a@b.c"]\n')
    monkeypatch.setattr(access, "_entry", lambda: Entry("v@b.c", "viewer", ""))

    app = page()

    said = everything(app)
    assert "somebody" not in said
    assert "a@b.c" not in said
    assert str(home) not in said
    assert "sign_in.domains" not in said
    assert shown(app)["testers"][0] == "1 name"
    assert "shown to those who are admins" in said


@pytest.mark.parametrize(
    ("found", "address", "provider", "says"),
    [
        (Policy(SignIn(), Server()), "127.0.0.1", "", "Open to this machine only"),
        (Policy(SignIn(), Server()), "::1", "", "Open to this machine only"),
        (Policy(SignIn(required=False), Server()), "10.0.0.7", "", "everybody who reaches it"),
        (Policy(SignIn(required=True), Server()), "127.0.0.1", "id.org", "signs in with id.org."),
        (Policy(SignIn(domains=("a", "b"), groups=("g",)), Server()), "", "", "2 domains, 1 group"),
        (Policy(SignIn(required=True), Server()), "", "x", "Nobody is listed"),
        (Policy(SignIn(required=True, broken=("x",)), Server()), "", "x", "until it is set up"),
        (Policy(SignIn(required=True), Server(), missing=("x",)), "", "x", "until it is set up"),
    ],
)
def test_the_door_says_who_comes_in(found, address, provider, says):
    assert says in " ".join(settings.door(found, address, provider))


def test_the_lines_to_copy_are_settings_that_are_accepted(home):
    found = data_access.settings(home)
    here = settings.Here("somewhere", "", found.open_beta_date, None)
    lines = [settings.as_toml(*group) for group in settings.grouped(found, here).items()]
    text = "\n".join(
        line.removeprefix("# ")
        for line in "\n".join(lines).splitlines()
        if " = " in line or line.startswith("[")
        if "home = " not in line
    )

    (home / "telemetry.toml").write_text(text)

    assert not data_access.settings(home).problems
    assert len(tomllib.loads(text)) >= len(settings.TITLES) - 1


def test_the_lines_to_copy_say_what_is_in_force(home):
    text = 'testers = ["\\"a", "b\\\\"]\ntimezone = "Asia/Seoul"\nopen_beta_date = 2026-10-05\n'
    text += "people_lists = false\n[sampling]\nkeep_rate = 0.25\n"
    (home / "telemetry.toml").write_text(text)
    before = data_access.settings(home)
    here = settings.Here("somewhere", "", before.open_beta_date, None)

    lines = [settings.as_toml(*group) for group in settings.grouped(before, here).items()]
    (home / "telemetry.toml").write_text("\n".join(lines))

    after = data_access.settings(home)
    values = [[one.value or None for one in in_force(found)] for found in (before, after)]
    assert values[0] == values[1]
    assert not after.problems


def test_the_groups_are_those_of_the_docs():
    text = DOCS.read_text("utf-8")
    assert {settings.table_of(key) for key in KEYS.values()} == set(settings.TITLES)
    places = [text.index(f"## {title}") for title in settings.TITLES.values()]
    assert places == sorted(places)
