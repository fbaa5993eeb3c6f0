"""Signing in against a certified OpenID provider, and what a stranger gets: nothing.

One provider and one server serve all of it; the first test is the server's first visitor.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING

import pytest
import signing_in
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from raw_page import QUIET_S, RawPage, refused, visit
from serving import free_port
from signing_in import BASE_TOML, get
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.util import calc_hash
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from ingest.demo import write_demo
from pages.components import menu

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SLOW_MS = 120_000
END = date(2026, 3, 1)
OUT_WITHIN_MS = 60_000  # seconds, and a busy machine
SHORT_TOKEN_S = 30  # as in provider.mjs
BROWSER = signing_in.CHROMIUM
DEMO_WORDS = ("monthly active", "rag_search", "made up")  # a picture is told by its kind
# what says nothing about the data: the app's own files, the sign-in, whether the server is well
OPEN = {
    "/_stcore/health": {200, 204, 405},
    "/_stcore/host-config": {200, 405},
    "/auth/login": {302, 405},
    "/auth/logout": {302, 405},
    "/oauth2callback": {302, 405},
    "/_stcore/stream": {200, 405},  # without a websocket: the app's empty page
}
TOKENS = ("/api", "/metrics", "/healthz", "/readyz")  # the HTTP API's own tests are about those


class World:
    """The server behind the sign-in, and the file that says who may come in."""

    def __init__(self, app: str, home: Path, log: Path, secrets: Path) -> None:
        self.app, self.home, self.log, self.secrets = app, home, log, secrets

    def let_in(self, toml: str = BASE_TOML) -> None:
        """Write who may come in."""
        (self.home / "telemetry.toml").write_text(toml)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    signing_in.needs_provider()
    folder = tmp_path_factory.mktemp("world")
    home = folder / "telemetry"
    write_demo(home, events=3_000, days=30, seed=3, end=END)
    port = free_port()
    app = f"http://127.0.0.1:{port}"
    with signing_in.provider(app) as issuer:
        secrets = folder / "secrets.toml"
        secrets.write_text(signing_in.secrets(issuer, app))
        made = World(app, home, folder / "log", secrets)
        made.let_in()
        with signing_in.serving(home, port, made.log, f"--secrets.files={secrets}"):
            yield made


@pytest.fixture(autouse=True)
def _as_it_was(world: World) -> Iterator[None]:
    yield
    world.let_in()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        expect.set_options(timeout=SLOW_MS)
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=signing_in.FLAGS)
        yield chromium
        chromium.close()


@contextmanager
def opened(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(SLOW_MS)
    yield context.new_page()
    context.close()


@pytest.fixture
def page(browser) -> Iterator[Page]:
    with opened(browser) as one:
        yield one


def sign_in(page: Page, world: World, account: str, path: str = "/") -> None:
    """Open a link, and sign in as one of the provider's accounts."""
    page.goto(f"{world.app}{path}")
    page.get_by_role("button", name="Sign in").click()
    page.locator("input[name=login]").fill(account)
    page.locator("input[name=password]").fill("any")
    page.locator("button[type=submit]").click()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(f"{world.app}/**")
    expect(page.locator("[data-testid=stApp] h1").first).to_be_visible()


def sign_out(page: Page) -> None:
    """Sign out here, and at the provider, who asks."""
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Yes, sign me out").click()


def is_inside(page: Page) -> None:
    expect(page.get_by_test_id("stSidebar")).to_be_visible()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def jar(context: BrowserContext) -> dict[str, str]:
    return {one["name"]: one["value"] for one in context.cookies() if one["name"][0] == "_"}


def cookie_header(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def signed(world: World, secret: str = signing_in.SECRET, **claims: object) -> dict[str, str]:
    """Return the cookies of somebody signed in, as the server makes them."""
    said = signing_in.claims("ben@example.com", origin=world.app, provider="default") | claims
    value = create_signed_value(
        secret, "_streamlit_user", json.dumps(said | {"nonce": uuid.uuid4().hex})
    )
    health = get(f"{world.app}/_stcore/health").headers["Set-Cookie"]
    xsrf = re.search(r"_streamlit_xsrf=([^;]+)", health)
    assert xsrf is not None
    return {"_streamlit_user": value.decode(), "_streamlit_xsrf": xsrf[1]}


# --- a stranger -------------------------------------------------------------------------------


def routes() -> list[str]:
    """Return the path of every route of the app."""
    code = (
        "import json; from app import app; "
        "print(json.dumps([r.path for r in app._build_starlette_app().routes]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=signing_in.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(set(json.loads(run.stdout.splitlines()[-1])))


def ways_to(entry: menu.Entry) -> list[dict[str, str]]:
    """Return how a page can be asked for: by a link, by its file, by two kinds of hash."""
    path = str(signing_in.ROOT / "pages" / entry.file)
    return [
        {"page": entry.address, "query": "span=7d&tier=paid"},
        {"page": entry.name},
        {"page_hash": calc_hash(path)},
        {"page_hash": calc_hash(entry.address)},
    ]


def a_stranger_sees_nothing(world: World, *, ways: int) -> None:
    """Ask for every page in some ways, and for every route with every method."""
    for entry in menu.PAGES:
        for asked in ways_to(entry)[:ways]:
            heard = visit(world.app, **asked)
            assert "Sign in" in heard.text, asked
            assert heard.kinds <= {"markdown", "heading", "button", "html"}, (asked, heard.kinds)
            assert not [word for word in DEMO_WORDS if word in heard.text.lower()], asked
            assert str(signing_in.ROOT) not in heard.text  # where it lies on the server
        assert b"rag_search" not in get(f"{world.app}/{entry.address}").body
    for path in routes():
        filled = re.sub(r"\{[^}]*\}", "0123456789abcdef", path)
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            answer = get(f"{world.app}{filled}", method)
            if path and not path.startswith(TOKENS):
                allowed = OPEN.get(path, {400, 401, 403, 404, 405})
                assert answer.status in allowed, (method, path, answer.status)


def test_before_the_first_visit_since_its_start_a_stranger_sees_nothing(world):
    a_stranger_sees_nothing(world, ways=4)


def test_a_fragment_a_download_or_a_command_of_a_strangers_websocket_is_not_heard(world):
    raw = RawPage(world.app)
    raw.rerun("overview")
    raw.listen(runs=2, seconds=QUIET_S)
    drawn = len(raw.heard.messages)

    raw.rerun("overview", fragment=calc_hash("pages.components.cell._cell"))
    for set_one in (
        lambda one: setattr(one, "clear_cache", True),
        lambda one: setattr(one, "load_git_info", True),
        lambda one: setattr(one, "stop_script", True),
        lambda one: setattr(one.backend_operation_request.deferred_file, "file_id", "x"),
        lambda one: one.backend_operation_request.install_skills.SetInParent(),
        lambda one: one.file_urls_request.file_names.append("x"),
    ):
        message = BackMsg()
        set_one(message)
        raw.say(message)
    raw.listen(seconds=QUIET_S)

    assert len(raw.heard.messages) == drawn
    raw.rerun("errors")
    assert "Sign in" in raw.listen().text
    raw.close()


@pytest.mark.parametrize(
    "origin", ["http://evil.org", "http://localhost:3000", "null", "https://127.0.0.1"]
)
def test_a_page_of_another_site_opens_no_websocket(world, origin):
    assert refused(world.app, origin=origin, cookies=signed(world)) == 403


@pytest.mark.parametrize("host", ["evil.org", "127.0.0.1.evil.org", ""])
def test_a_name_that_is_not_the_servers_gets_no_answer(world, host):
    assert get(f"{world.app}/", Host=host).status in (400, 403)


def test_whether_the_server_is_well_is_open_under_any_name(world):
    assert get(f"{world.app}/_stcore/health", Host="10.0.0.5:8501").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Email": "ada@example.com"},
        {"X-Streamlit-User": "ada@example.com"},
        {"X-Forwarded-User": "ada"},
        {"Authorization": "Bearer ada@example.com"},
        {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"},
        {"X-Original-URL": "/_stcore/health", "X-Rewrite-URL": "/_stcore/health"},
    ],
    ids=str,
)
def test_no_header_makes_somebody_of_nobody(world, headers):
    assert "Sign in" in visit(world.app, headers=headers).text
    assert get(f"{world.app}/_stcore/metrics", **headers).status == 401
    assert get(f"{world.app}/media/x.csv", **headers).status == 401


@pytest.mark.parametrize(
    "path",
    [
        "/_stcore/metrics/",
        "/_stcore/metrics?x=/_stcore/health",
        "/_stcore/../_stcore/metrics",
        "/_stcore/health/../metrics",
        "/_stcore%2fmetrics",
        "/%5fstcore/metrics",
        "/_stcore//metrics",
        "//_stcore/metrics",
        "/static/../_stcore/metrics",
        "/_stcore/metrics%00",
        "/_STCORE/metrics",
        "/_stcore/metrics;x",
    ],
)
def test_no_way_of_writing_a_path_gets_round_the_door(world, path):
    answer = get(f"{world.app}{path}")

    assert b"cache_memory_bytes" not in answer.body
    assert b"# EOF" not in answer.body


def test_the_headers_of_a_proxy_nobody_named_are_not_believed(world):
    answer = get(
        f"{world.app}/_stcore/health", X_Forwarded_Proto="https", X_Forwarded_Host="evil.org"
    )

    assert "Secure" not in answer.headers["Set-Cookie"]
    assert "Strict-Transport-Security" not in answer.headers


def test_every_answer_says_what_a_browser_must_not_do_with_it(world):
    for path in ("/", "/errors", "/_stcore/health", "/_stcore/metrics", "/media/x"):
        headers = get(f"{world.app}{path}").headers
        assert headers["Content-Security-Policy"] == "frame-ancestors 'self'"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"


# --- signing in -------------------------------------------------------------------------------


def test_signing_in_leads_to_the_link_one_came_with(world, page):
    sign_in(page, world, "ada", "/errors?span=7d&tier=paid")

    is_inside(page)
    expect(page.get_by_text("What breaks, and for whom?")).to_be_visible()
    assert "/errors?" in page.url
    assert "span=7d" in page.url
    assert "tier=paid" in page.url
    expect(page.get_by_text(re.compile("ada@example.com admin"))).to_be_attached()
    cookies = {one["name"]: one for one in page.context.cookies(world.app)}
    assert cookies["_streamlit_user"]["httpOnly"]
    assert cookies["_streamlit_user"]["sameSite"] == "Lax"
    assert "betascope_return" not in cookies


@pytest.mark.parametrize(
    ("account", "role"),
    [("ben", "viewer"), ("cleo", "viewer"), ("listed", "analyst")],
)
def test_who_is_of_the_domain_in_a_group_or_listed_comes_in(world, page, account, role):
    sign_in(page, world, account)

    is_inside(page)
    expect(page.get_by_text(re.compile(f"@[a-z.]+ {role}"))).to_be_attached()
    metrics = get(f"{world.app}/_stcore/metrics", Cookie=cookie_header(jar(page.context)))
    assert metrics.status == 403


@pytest.mark.parametrize(
    ("account", "words"),
    [
        ("eve", "eve@evil-example.com is not among those"),
        ("sub", "sub@example.com.evil.org is not among those"),
        ("quoted", "is not among those"),
        ("unverified", "uma@example.com is not verified by your provider"),
        ("texted", "tex@example.com is not verified by your provider"),
        ("nobody", "did not say which e-mail address is yours"),
    ],
)
def test_anybody_else_is_told_why_not_and_can_go_back(world, page, account, words):
    sign_in(page, world, account, "/overview")

    expect(page.get_by_text(words)).to_be_visible()
    expect(page.get_by_test_id("stSidebarNav")).not_to_be_visible()
    cookies = jar(page.context)
    assert visit(world.app, "errors", cookies=cookies).kinds <= {
        "alert",
        "heading",
        "button",
        "html",
    }
    assert get(f"{world.app}/media/x", Cookie=cookie_header(cookies)).status == 401
    sign_out(page)
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_an_admin_may_look_at_the_servers_own_numbers_and_nobody_at_its_agent(world):
    admin = cookie_header(signed(world, groups=["telemetry-admins"]))

    assert b"# EOF" in get(f"{world.app}/_stcore/metrics", Cookie=admin).body
    assert get(f"{world.app}/_stcore/agent/openapi.json", Cookie=admin).status == 404


# --- and out again ----------------------------------------------------------------------------


def test_signing_out_clears_the_cookies_and_makes_copies_of_them_worthless(world, page):
    sign_in(page, world, "ben")
    is_inside(page)
    copy = jar(page.context)
    assert get(f"{world.app}/media/x", Cookie=cookie_header(copy)).status == 404

    sign_out(page)
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()

    assert "_streamlit_user" not in jar(page.context)
    assert get(f"{world.app}/media/x", Cookie=cookie_header(copy)).status == 401
    assert "Sign in" in visit(world.app, "errors", cookies=copy).text


def test_another_server_of_the_home_or_the_same_one_later_knows_who_signed_out(world, tmp_path):
    copy = cookie_header(signed(world))
    stays = cookie_header(signed(world))
    assert get(f"{world.app}/auth/logout", Cookie=copy).status == 302

    secrets = f"--secrets.files={world.secrets}"
    with signing_in.serving(world.home, free_port(), tmp_path / "log", secrets) as other:
        assert get(f"{other}/media/x", Cookie=copy).status == 401
        assert get(f"{other}/media/x", Cookie=stays).status == 404
        assert get(f"{other}/auth/logout", Cookie=stays).status == 302
    assert get(f"{world.app}/media/x", Cookie=stays).status == 401


def test_another_site_cannot_sign_somebody_out(world):
    answer = get(f"{world.app}/auth/logout", Sec_Fetch_Site="cross-site")

    assert answer.status == 403
    assert "Set-Cookie" not in answer.headers


def test_a_session_ends_with_its_token_in_an_open_page_too(world, page):
    sign_in(page, world, "brief", "/errors?span=7d")
    is_inside(page)

    expect(page.get_by_text("Your session is over")).to_be_visible(
        timeout=SHORT_TOKEN_S * 1_000 + OUT_WITHIN_MS
    )
    expect(page.get_by_text("What breaks, and for whom?")).not_to_be_attached()
    assert get(f"{world.app}/media/x", Cookie=cookie_header(jar(page.context))).status == 401


def test_an_open_page_of_somebody_taken_off_the_list_goes_within_seconds(world, page):
    sign_in(page, world, "ben", "/errors")
    is_inside(page)
    raw = RawPage(world.app, cookies=jar(page.context))
    raw.rerun("latency")
    assert "plotly_chart" in raw.listen().kinds

    world.let_in('[sign_in]\naddresses = ["listed@elsewhere.net"]\n')

    expect(page.get_by_text("is not among those")).to_be_visible(timeout=OUT_WITHIN_MS)
    expect(page.get_by_text("What breaks, and for whom?")).not_to_be_attached()
    assert raw.listen(runs=2).is_closed
    assert raw.heard.messages[-1].HasField("auth_redirect")
    assert get(f"{world.app}/media/x", Cookie=cookie_header(jar(page.context))).status == 401


def test_a_message_right_after_it_is_heard_no_more(world):
    raw = RawPage(world.app, cookies=signed(world))
    raw.rerun("latency")
    assert "plotly_chart" in raw.listen().kinds
    raw.listen(runs=2, seconds=QUIET_S)
    before = len(raw.heard.messages)

    world.let_in("[sign_in]\ndomains = []\naddresses = ['a@b.org']\n")
    raw.rerun("errors")
    raw.listen(seconds=QUIET_S)

    assert raw.heard.is_closed
    assert [one.WhichOneof("type") for one in raw.heard.messages[before:]] == ["auth_redirect"]


def test_settings_that_break_let_nobody_in_until_they_are_mended(world):
    cookies = signed(world)
    assert get(f"{world.app}/media/x", Cookie=cookie_header(cookies)).status == 404

    world.let_in("[sign_in]\ndomains = 3\n")
    assert get(f"{world.app}/media/x", Cookie=cookie_header(cookies)).status == 503
    assert get(f"{world.app}/").status == 503

    world.let_in("= broken")
    assert get(f"{world.app}/media/x", Cookie=cookie_header(cookies)).status == 503

    world.let_in()
    assert get(f"{world.app}/media/x", Cookie=cookie_header(cookies)).status == 404


# --- cookies ----------------------------------------------------------------------------------


def test_a_cookie_nobody_tampered_with_shows_the_pages(world):
    assert "plotly_chart" in visit(world.app, "errors", cookies=signed(world)).kinds


@pytest.mark.parametrize(
    "change",
    [
        # the letter before the last: of the last one's six bits base64 ignores two
        lambda value, _world: value[:-2] + ("A" if value[-2] != "A" else "B") + value[-1],
        lambda value, _world: "x" + value,
        lambda value, _world: value.partition(".")[0],
        lambda _value, world: signed(world, "another secret, as long as the real one is")[
            "_streamlit_user"
        ],
        lambda _value, world: signed(world, iat=0)["_streamlit_user"],
        lambda _value, world: signed(world, exp=time.time() - 1)["_streamlit_user"],
        lambda _value, world: signed(world, email_verified="true")["_streamlit_user"],
        lambda _value, world: signed(world, is_logged_in=1)["_streamlit_user"],
        lambda _value, _world: json.dumps({"email": "ben@example.com", "is_logged_in": True}),
    ],
    ids=[
        "a letter of the signature",
        "first letter",
        "no signature",
        "another key",
        "long ago",
        "expired",
        "verified as text",
        "signed in as 1",
        "no signature at all",
    ],
)
def test_a_cookie_that_is_not_whole_is_nobodys(world, change):
    cookies = signed(world)
    cookies["_streamlit_user"] = change(cookies["_streamlit_user"], world)

    assert get(f"{world.app}/media/x", Cookie=cookie_header(cookies)).status == 401
    heard = visit(world.app, "errors", cookies=cookies)
    assert heard.kinds <= {"markdown", "heading", "button", "html", "alert"}


def test_a_cookie_without_the_token_against_forgery_opens_no_page(world):
    other = "2|00000000|00|1"

    assert "Sign in" in visit(world.app, "errors", cookies=signed(world), xsrf=other).text


def test_a_stranger_cannot_go_on_with_somebodys_session(world):
    raw = RawPage(world.app, cookies=signed(world))
    raw.rerun("errors")
    heard = raw.listen()
    session = next(
        one.new_session.initialize.session_id
        for one in heard.messages
        if one.HasField("new_session")
    )
    assert session

    stranger = RawPage(world.app, session=session)
    stranger.rerun("errors")
    assert "Sign in" in stranger.listen().text
    stranger.close()
    raw.close()
    again = RawPage(world.app, session=session)
    again.rerun("errors")
    assert "Sign in" in again.listen().text
    again.close()


# --- what a file says -------------------------------------------------------------------------


def test_a_download_is_for_those_inside_only(world, page):
    sign_in(page, world, "listed", "/errors")
    is_inside(page)
    page.get_by_role("button", name="Details").first.click()
    page.get_by_role("tab", name="Export").click()
    with page.expect_download() as waiting:
        page.get_by_test_id("stTabs").get_by_role("button", name="CSV").click()
    url = waiting.value.url
    assert "/media/" in url

    inside = get(url, Cookie=cookie_header(jar(page.context)))
    assert inside.status == 200
    assert inside.headers["Cache-Control"] == "private, no-store"
    assert get(url).status == 401
    assert get(url, Cookie=cookie_header(signed(world, email="eve@evil.org"))).status == 401


def test_a_viewer_reads_and_an_analyst_takes_away(world, page):
    sign_in(page, world, "ben", "/errors")
    is_inside(page)
    page.get_by_role("button", name="Details").first.click()
    page.get_by_role("tab", name="Export").click()

    expect(page.get_by_text("Exports need the analyst role. Ask an admin.")).to_be_visible()
    expect(page.get_by_test_id("stDownloadButton")).not_to_be_attached()
    expect(page.get_by_label(re.compile("Download as CSV")).first).not_to_be_visible()


def test_after_all_these_visits_a_stranger_still_sees_nothing(world):
    a_stranger_sees_nothing(world, ways=1)


def test_no_address_of_anybody_is_in_the_servers_log_or_the_apps_own_use(world):
    written = [world.log, *world.home.parent.rglob("*.jsonl"), *world.home.parent.rglob("*.db")]
    for path in written:
        assert not re.search(rb"(ada|ben|cleo|listed|eve|uma)@", path.read_bytes().lower()), path
