"""The cookies around signing in: who somebody is, and where they wanted to go."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pytest
import signing_in
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection
from streamlit.auth_util import set_cookie_with_chunks
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from pages.server import cookies

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APP = "https://betascope.example.com"
USER = "_streamlit_user"


@pytest.fixture(autouse=True)
def _secrets(tmp_path: Path) -> Iterator[None]:
    path = tmp_path / "secrets.toml"
    path.write_text(signing_in.secrets("http://127.0.0.1:1", APP))
    with signing_in.configured(path):
        yield


def signed(value: dict, secret: str = signing_in.SECRET, name: str = USER) -> dict[str, str]:
    made: dict[str, str] = {}
    set_cookie_with_chunks(
        lambda part, text: made.update({part: create_signed_value(secret, part, text).decode()}),
        lambda part, text: create_signed_value(secret, part, text),
        name,
        value,
        cookie_attr_size=90,
    )
    return made


ADA = {"email": "ada@example.com", "is_logged_in": True, "origin": APP}


def test_a_cookie_of_streamlits_own_making_is_read():
    assert cookies.claims(signed(ADA), APP) == {"email": "ada@example.com", "is_logged_in": True}


def test_a_long_one_in_several_parts_is_read_whole_or_not_at_all():
    long = ADA | {"groups": [uuid.uuid4().hex for _ in range(400)]}
    parts = signed(long)
    assert len(parts) > 3
    assert cookies.claims(parts, APP)["groups"] == long["groups"]

    assert cookies.claims({name: parts[name] for name in list(parts)[:-1]}, APP) == {}
    swapped = parts | {f"{USER}_1": parts[f"{USER}_2"], f"{USER}_2": parts[f"{USER}_1"]}
    assert cookies.claims(swapped, APP) == {}


@pytest.mark.parametrize(
    "made",
    [
        {},
        {USER: ""},
        {USER: json.dumps(ADA)},
        {USER: "é"},
        signed(ADA, "another secret that is just as long as ours is"),
        {USER: next(iter(signed(ADA, name="_streamlit_user_tokens").values()))},
        {USER: next(iter(signed(ADA, name=cookies.RETURN_COOKIE).values()))},
        signed(ADA | {"origin": "https://evil.org"}),
        signed({"email": "ada@example.com", "is_logged_in": True}),
        {USER: create_signed_value(signing_in.SECRET, USER, "[1]").decode()},
        {USER: create_signed_value(signing_in.SECRET, USER, "{").decode()},
        {USER: create_signed_value(signing_in.SECRET, USER, "chunks-3").decode()},
    ],
)
def test_anything_else_is_nobodys(made):
    assert cookies.claims(made, APP) == {}


def test_no_changed_letter_is_accepted():
    (value,) = signed(ADA).values()

    for at in range(0, len(value), 7):
        changed = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
        assert cookies.claims({USER: changed}, APP) == {}


def test_no_address_of_ours_means_nobody():
    assert cookies.claims(signed(ADA | {"origin": ""}), "") == {}


def test_only_the_cookies_of_a_sign_in_are_taken_off():
    header = (
        b"a=1; _streamlit_user=x; _streamlit_xsrf=y; _streamlit_user_tokens_2=z; "
        b"_streamlit_user_1=w; _streamlit_users=v"
    )

    kept = cookies.without_ours(
        [(b"host", b"h"), (b"cookie", header), (b"Cookie", b"_streamlit_user=x")]
    )

    assert kept == [(b"host", b"h"), (b"cookie", b"a=1; _streamlit_xsrf=y; _streamlit_users=v")]


@pytest.mark.parametrize("space", [" ", "\t", "\x1f", "\x85", "\xa0"])
def test_no_space_in_front_of_its_name_keeps_a_cookie_from_being_taken_off(space):
    header = f"a=1;{space}_streamlit_user{space}=x".encode("latin-1")

    kept = cookies.without_ours([(b"cookie", header)])

    read = HTTPConnection({"type": "http", "headers": kept}).cookies
    assert read == {"a": "1"}


def test_secure_is_added_once():
    assert cookies.secured("a=1; Path=/") == "a=1; Path=/; Secure"
    assert cookies.secured("a=1; secure; Path=/") == "a=1; secure; Path=/"
    assert cookies.secured("a=secure") == "a=secure; Secure"


# --- the way back -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (f"{APP}/errors?span=7d&model=a&model=b", "/errors?span=7d&model=a&model=b"),
        (f"{APP}/", "/"),
        (APP, "/"),
        (f"{APP}/errors?", "/errors"),
        (f"{APP}/errors?a=%2F%2Fevil.org%0D%0A", "/errors?a=%2F%2Fevil.org%0D%0A"),
        (f"{APP}/errors?" + "x" * 9_000, "/errors"),
        (f"{APP}/" + "x" * 9_000, ""),
        ("https://evil.org/errors", ""),
        ("http://betascope.example.com/errors", ""),
        (f"{APP}.evil.org/errors", ""),
        (f"{APP}@evil.org/errors", ""),
        (f"{APP}//evil.org", ""),
        (f"{APP}/\\evil.org", ""),
        (f"{APP}/é", ""),
        (f"{APP}/a b", ""),
        ("//evil.org", ""),
        ("javascript:alert(1)", ""),
        ("https://[", ""),
        ("", ""),
    ],
)
def test_only_a_path_of_ours_is_remembered(url, path):
    assert cookies.local_path(url, APP) == path


@given(st.text())
def test_nothing_leads_to_another_site(text):
    path = cookies.local_path(f"{APP}/{text}", APP)

    assert path == "" or (path.startswith("/") and not path.startswith(("//", "/\\")))
    assert path.isprintable()


def jar(set_cookie: str) -> dict[str, str]:
    name, _, value = set_cookie.partition(";")[0].partition("=")
    return {name: value}


def test_what_is_remembered_comes_back():
    line = cookies.remember("/errors?span=7d", "")

    assert cookies.remembered(jar(line)) == "/errors?span=7d"
    assert line.endswith("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax")
    assert "; Path=/beta;" in cookies.remember("/beta/errors", "/beta")
    assert cookies.remembered(jar(cookies.forget(""))) == ""


@pytest.mark.parametrize(
    "path", ["//evil.org", "/\\evil.org", "https://evil.org", "/a\r\nSet-Cookie: b"]
)
def test_even_a_signed_way_back_leads_nowhere_else(path):
    value = create_signed_value(signing_in.SECRET, cookies.RETURN_COOKIE, path).decode()

    assert cookies.remembered({cookies.RETURN_COOKIE: value}) == ""


def test_a_way_back_written_by_somebody_else_is_ignored():
    value = create_signed_value("x" * 40, cookies.RETURN_COOKIE, "/errors").decode()

    assert cookies.remembered({cookies.RETURN_COOKIE: value}) == ""
    assert cookies.remembered({cookies.RETURN_COOKIE: "/errors"}) == ""
    assert cookies.remembered({}) == ""
