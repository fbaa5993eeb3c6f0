"""What a reader sees and may do: outside, in each role, and where nobody signs in."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING

import asgi
import pytest
import signing_in
import streamlit as st
from starlette._utils import get_route_path
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from streamlit.testing.v1 import AppTest
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from data_access import notes, segments, views
from ingest.team import add_note, save_segment
from pages.components import access
from pages.server import files
from pages.server.door import Door

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LISTS = """
[sign_in]
domains = ["example.com"]
admins = ["ada@example.com"]
analysts = ["ben@example.com"]
"""
TODAY = date(2026, 11, 1)
LONG_AGO = 1_700_000_000  # 2023, in seconds


@pytest.fixture
def here(home, monkeypatch, load_lines) -> Path:
    load_lines({"event_name": "session_started", "timestamp": "2026-11-01T10:00:00Z"})
    monkeypatch.setenv("TELEMETRY_HOME", str(home))
    st.cache_data.clear()
    return home


@pytest.fixture
def signing(here, tmp_path) -> Iterator[Path]:
    (here / "telemetry.toml").write_text(LISTS)
    path = tmp_path / "secrets.toml"
    path.write_text(signing_in.secrets("http://127.0.0.1:1", "http://127.0.0.1:2"))
    with signing_in.configured(path):
        yield here


def opened(somebody: str = "", **claims: object) -> AppTest:
    app = AppTest.from_file("../pages/frame.py", default_timeout=60)
    if somebody:
        app.user = signing_in.claims(somebody) | claims
    app.run()
    assert not app.exception, [one.message for one in app.exception]
    return app


def said(app: AppTest) -> str:
    parts = (app.caption, app.markdown, app.warning, app.info, app.title)
    return "\n".join(str(one.value) for part in parts for one in part)


def test_where_nobody_signs_in_the_sidebar_says_so(here):
    app = opened()

    assert access.HERE_ONLY in said(app)
    assert "Sign out" not in [one.label for one in app.button]


def test_a_stranger_reads_how_to_sign_in_and_nothing_else(signing):
    app = opened()

    assert [one.label for one in app.button] == ["Sign in"]
    assert "For people who have an address of the team's domain." in said(app)
    assert "example.com" not in said(app)
    assert len(app.metric) == len(app.sidebar.children) == 0


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"email_verified": False}, "is not verified by your provider"),
        ({"email": "eve@evil.org"}, "`eve@evil.org` is not among those who may come in"),
        ({"email": "<b>*x*</b>@evil.org"}, "is not among those who may come in"),
        ({"email": None}, "did not say which e-mail address is yours"),
        ({"exp": LONG_AGO}, "Your session is over"),
    ],
    ids=str,
)
def test_who_signed_in_and_may_not_come_in_reads_why(signing, claims, words):
    app = opened("ada@example.com", **claims)

    assert words in said(app)
    assert "**" not in said(app)
    assert len(app.metric) == 0


@pytest.mark.parametrize(
    ("email", "role"),
    [("ada@example.com", "admin"), ("ben@example.com", "analyst"), ("cleo@example.com", "viewer")],
)
def test_the_sidebar_says_who_is_signed_in_as_what(signing, email, role):
    app = opened(email)

    assert f"`{email}` {role}" in said(app)
    assert "Sign out" in [one.label for one in app.button]
    assert access.HERE_ONLY not in said(app)


def test_settings_that_cannot_be_used_let_nobody_in(signing):
    (signing / "telemetry.toml").write_text("[sign_in]\ndomains = 3\n")

    app = opened("ada@example.com")

    assert "The settings of the sign-in cannot be used" in said(app)
    assert len(app.metric) == 0


# --- roles ------------------------------------------------------------------------------------


@contextmanager
def page_script(email: str, code: str) -> Iterator[AppTest]:
    app = AppTest.from_string(code, default_timeout=60)
    app.user = signing_in.claims(email)
    app.run()
    assert not app.exception, [one.message for one in app.exception]
    yield app


ASK = """
import streamlit as st
from pages.components import access
from pages.server import files
from pages.server.door import Door
for what in access.NEEDED:
    if access.may_or_say(what):
        st.markdown(what)
"""


@pytest.mark.parametrize(
    ("email", "may"),
    [
        ("ada@example.com", ["explore", "export", "write", "admin"]),
        ("ben@example.com", ["explore", "export", "write"]),
        ("cleo@example.com", []),
        ("eve@evil.org", []),
    ],
)
def test_each_role_may_what_those_before_it_may_and_more(signing, email, may):
    with page_script(email, ASK) as app:
        assert [one.value for one in app.markdown] == may
        refused = [one.value for one in app.caption]
        assert len(refused) == len(access.NEEDED) - len(may)
        if email == "cleo@example.com":
            assert "Exports need the analyst role. Ask an admin." in refused[1]


def test_where_nobody_signs_in_one_may_do_all(here):
    with page_script("whoever@evil.org", ASK) as app:
        assert [one.value for one in app.markdown] == list(access.NEEDED)


WRITE = """
from types import SimpleNamespace
from datetime import date
from pages.components import team
view = SimpleNamespace(home={home!r}, today=date(2026, 11, 1))
team.add_note(view, "new", date(2026, 11, 1), who="ada@example.com")
team.save_segment(view, "mine", ["u1"])
team.save_segment(view, "theirs", ["u9"])
team.remove_note(view, {note!r})
team.remove_segment(view, "old")
"""


@pytest.mark.parametrize(
    ("email", "words", "people"),
    [
        ("cleo@example.com", {"theirs"}, {"old": "u1", "theirs": "u1"}),
        ("ben@example.com", {"theirs", "new"}, {"old": "u1", "theirs": "u1", "mine": "u1"}),
        ("ada@example.com", {"new"}, {"theirs": "u9", "mine": "u1"}),
    ],
)
def test_analysts_write_and_admins_also_change_what_others_wrote(signing, email, words, people):
    note = add_note(signing, "theirs", at=TODAY, who="dora@example.com")
    for name in ("old", "theirs"):
        save_segment(signing, name, users=["u1"], who="dora@example.com")

    with page_script(email, WRITE.format(home=str(signing), note=note)):
        pass

    assert {one.text for one in notes(signing)} == words
    assert {name: one.users[0] for name, one in segments(signing).items()} == people
    assert {one.who for one in notes(signing) if one.text == "new"} <= {email}


def test_an_analyst_takes_back_their_own(signing):
    note = add_note(signing, "mine", at=TODAY, who="ben@example.com")
    save_segment(signing, "old", users=["u1"], who="ben@example.com")

    with page_script("ben@example.com", WRITE.format(home=str(signing), note=note)):
        pass

    assert {one.text for one in notes(signing)} == {"new"}
    assert "old" not in segments(signing)


SAVE = """
import streamlit as st
from pages.components import views
here = views.Shown({home!r}, "errors", "span=7d", "span=custom", "7d", "")
for name, value in (("name", "new"), ("words", ""), ("scope", "The team"), ("dates", "relative")):
    st.session_state[f"_view_form-{{name}}"] = value
views._save(here)
"""


@pytest.mark.parametrize(
    ("email", "scope"), [("cleo@example.com", "personal"), ("ben@example.com", "team")]
)
def test_what_stands_in_everybodys_sidebar_is_an_analysts_to_save(signing, email, scope):
    with page_script(email, SAVE.format(home=str(signing))):
        pass

    assert [one.scope for one in views(signing, who=email)] == [scope]


@pytest.mark.parametrize(
    ("email", "status"),
    [("", 401), ("cleo@example.com", 403), ("ben@example.com", 200), ("ada@example.com", 200)],
)
def test_a_large_export_is_sent_to_those_who_may_export_whoever_has_its_address(
    signing, email, status
):
    path = files.shelf.place("rows.csv")
    path.write_text("a\n1\n")
    address = files.shelf.put(path, "text/csv", now=time.monotonic())
    own = [files.route()]
    door = Door(Starlette(routes=own), routes=own, where=lambda: str(signing))
    said = json.dumps(signing_in.claims(email, origin="http://127.0.0.1:2"))
    cookie = create_signed_value(signing_in.SECRET, "_streamlit_user", said).decode()
    headers = {"Host": "127.0.0.1:2"} | ({"Cookie": f"_streamlit_user={cookie}"} if email else {})

    answered = asgi.ask(door, f"/{address}", headers=headers)

    assert (answered.status, answered.body == b"a\n1\n") == (status, status == 200)
    files.shelf.clear()


def signed_in(
    signing: Path, email: str = "ada@example.com", **told: str
) -> tuple[Door, dict[str, str]]:
    """Return a server's door as it is after its start, and the headers of somebody's request."""

    async def answer(scope, receive, send):
        await PlainTextResponse("data", headers=told)(scope, receive, send)

    said = json.dumps(signing_in.claims(email, origin="http://127.0.0.1:2"))
    cookie = create_signed_value(signing_in.SECRET, "_streamlit_user", said).decode()
    headers = {"Host": "127.0.0.1:2", "Cookie": f"_streamlit_user={cookie}"}
    return Door(answer, where=lambda: str(signing)), headers


def test_a_copied_cookie_is_worthless_after_the_sign_out_whichever_server_sees_it(signing):
    door, copied = signed_in(signing)
    assert asgi.ask(door, "/media/x", headers=copied).status == 200

    asgi.ask(door, "/auth/logout", headers=copied)

    restarted, _ = signed_in(signing)
    assert asgi.ask(door, "/media/x", headers=copied).status == 401
    assert asgi.ask(restarted, "/media/x", headers=copied).status == 401


def test_who_signed_out_and_cannot_be_told_lets_nobody_in(signing, caplog):
    door, headers = signed_in(signing)
    (signing / "sign_outs").touch()

    assert asgi.ask(door, "/media/x", headers=headers).status == 503
    assert asgi.ask(door, "/", headers=headers).status == 503
    assert "who signed out cannot be read" in caplog.text
    assert asgi.ask(door, "/_stcore/health", headers=headers).status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
def test_nobody_fills_the_servers_memory_with_uploads(signing, method):
    door, headers = signed_in(signing)

    answered = asgi.ask(door, "/_stcore/upload_file/session/file", headers=headers, method=method)
    assert answered.status == 404


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_signs_nobody_out(signing, site):
    door, headers = signed_in(signing)

    assert asgi.ask(door, "/auth/logout", headers=headers | {"Sec-Fetch-Site": site}).status == 403
    assert asgi.ask(door, "/media/x", headers=headers).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("email", "status"), [("cleo@example.com", 403), ("ben@example.com", 200)])
def test_a_file_an_analyst_exported_is_no_viewers_whoever_gave_them_its_address(
    signing, email, status, method
):
    kept = {"Content-Disposition": 'attachment; filename="people.csv"'}
    door, headers = signed_in(signing, email, **kept)
    shown, _ = signed_in(signing, email)

    answered = asgi.ask(door, "/media/x.csv", headers=headers, method=method)
    assert (answered.status, answered.body == b"data") == (status, status == 200)
    assert asgi.ask(shown, "/media/picture.png", headers=headers).body == b"data"


@pytest.mark.parametrize(
    ("query", "logged"),
    [
        ("error=access_denied&error_description=ada%40example.com", "error=access_denied"),
        ("error=ada%40example.com&state=x", "error=unknown"),
        ("error=x%1b%5b2Jfaked&error=y%0a", "error=unknown"),
        ("code=a%2Bb&state=c%26d", "code=a%2Bb&state=c%26d"),
    ],
)
def test_a_providers_words_about_an_error_are_not_handed_to_who_logs_them(signing, query, logged):
    async def answer(scope, receive, send):
        await PlainTextResponse(scope["query_string"])(scope, receive, send)

    door = Door(answer, where=lambda: str(signing))

    asked = f"/oauth2callback?{query}"
    assert asgi.ask(door, asked, headers={"Host": "127.0.0.1:2"}).body.decode() == logged


def test_where_on_the_server_the_apps_own_use_is_written_is_for_admins(signing):
    (signing / "telemetry.toml").write_text(f"record_app_use = true\n{LISTS}")

    for email, is_told in (("cleo@example.com", False), ("ada@example.com", True)):
        app = opened(email).switch_page("settings.py").run()
        words = " ".join([one.value for one in (*app.caption, *app.code)])
        assert "The app records its own use" in words
        assert ("-betascope" in words) is is_told


@pytest.mark.parametrize("root", ["/foo", "/foo/", "/", "/media", "/foo/bar"])
def test_a_server_with_a_root_path_has_the_same_door(signing, root):
    async def answer(scope, receive, send):
        await PlainTextResponse(get_route_path(scope))(scope, receive, send)

    door = Door(answer, where=lambda: str(signing))

    async def rooted(scope, receive, send):
        path = root + scope["path"]  # as uvicorn's --root-path has it
        await door({**scope, "root_path": root, "path": path}, receive, send)

    async def unrooted(scope, receive, send):
        await door({**scope, "root_path": root}, receive, send)

    for path in ("/media/x", "/_stcore/metrics", "/app/static/x", "/component/x"):
        for app in (rooted, unrooted):
            answered = asgi.ask(app, path, headers={"Host": "127.0.0.1:2"})
            assert answered.status == 401 or answered.body.decode() != path, (app, path)
