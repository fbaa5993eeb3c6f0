"""Titles and link previews: what a link says it shows, and that nothing in it becomes markup."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Mount, Route
from streamlit import config, file_util
from streamlit.web.server.starlette.starlette_static_routes import create_streamlit_static_handler

from data_access import Filters
from data_access.filters import DIMENSIONS
from pages.components import menu, text, titles
from pages.server.preview import LinkPreview, rewritten

TODAY = date(2026, 11, 28)
NOW = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
ROOT = Path(__file__).parent.parent
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\x00</title>\ud800"


class Client:
    """Sends one request at a time straight to an app, and nothing of its own."""

    def __init__(self, app: Starlette) -> None:
        self.app = app

    def __getattr__(self, method):
        def send(url: str, headers: dict[str, str] | None = None) -> httpx.Response:
            return asyncio.run(self._send(method.upper(), url, headers or {}))

        return send

    async def _send(self, method: str, url: str, headers: dict[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.request(method, url, headers=headers)


@pytest.fixture
def client() -> Client:
    return Client(served())


def served(base: str = "") -> Starlette:
    """Return Streamlit's own file handler behind the middleware, and a route of another kind."""
    static = create_streamlit_static_handler(file_util.get_static_dir(), base)
    routes = [
        Route("/api/text", lambda _: PlainTextResponse("<title>Streamlit</title>")),
        Route("/huge", lambda _: HTMLResponse("x" * 1_100_000)),
        Route("/none", lambda _: HTMLResponse("<title>Mine</title>", 404)),
        Mount(f"/{base}", static),
    ]
    return Starlette(routes=routes, middleware=[Middleware(LinkPreview, clock=lambda: NOW)])


class Head(HTMLParser):
    """What a chat tool reads of a page, and every tag there is."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.metas, self.tags, self.title, self._in_title = {}, [], "", False
        self.feed(page)

    def handle_starttag(self, tag, attrs):  # noqa: D102 - HTMLParser asks for it
        said = dict(attrs)
        self.tags.append((tag, tuple(sorted(said))))
        self._in_title = tag == "title"
        if tag == "meta" and (name := said.get("name") or said.get("property")):
            self.metas[name] = said.get("content")

    def handle_data(self, data):  # noqa: D102 - the same
        if self._in_title:
            self.title += data

    def handle_endtag(self, tag):  # noqa: ARG002, D102 - the same
        self._in_title = False


def title(query: str, address: str = "retention") -> str:
    return titles.link(address, query, today=TODAY, now=NOW).title


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "Retention - last 28 days - Betascope"),
        ("span=24h&tier=paid", "Retention - paid, last 24 hours - Betascope"),
        ("span=month", "Retention - this month - Betascope"),
        ("span=forever", "Retention - last 28 days - Betascope"),
        (
            "span=custom&from=2026-10-24&to=2026-11-20&tier=paid",
            "Retention - paid, 28 days to 20 Nov - Betascope",
        ),
        ("from=2025-01-01&to=2025-01-02", "Retention - 2 days to 2 Jan 2025 - Betascope"),
        (
            "span=24h&until=2026-11-20T09:41:00Z",
            "Retention - 24 hours to 20 Nov 09:41 - Betascope",
        ),
        (
            "where=ide%3Avscode&segment=not+internal&release=1&release=2&release=3",
            "Retention - 1, 2, 3, 2 more, last 28 days - Betascope",
        ),
        ("tier=gold&from=x&to=y", "Retention - last 28 days - Betascope"),
        ("cell=who-is-gone", "Who is gone (Retention) - last 28 days - Betascope"),
        ("cell=../../x", "Retention - last 28 days - Betascope"),
        ("user=0123456789abcdef&who=cohorts:x", "Retention - last 28 days - Betascope"),
    ],
)
def test_a_title_says_what_the_link_shows_and_names_no_person(query, said):
    assert title(query) == said


def test_a_page_on_show_has_the_title_with_its_days_told():
    filters = Filters.from_query("span=28d&tier=paid", today=TODAY, now=NOW)
    days = text.window(filters.window, today=TODAY)

    assert titles.page("retention", filters, days) == (
        "Retention - paid, 28 days to 28 Nov - Betascope"
    )
    assert titles.page("settings", filters, days) == "Settings - Betascope"
    assert titles.page("nowhere", filters, days) == "Betascope"


def test_explore_is_about_a_period_too():
    assert title("span=7d&explore.sql=SELECT+1", "explore") == "Explore - last 7 days - Betascope"


def test_long_titles_are_cut_before_the_app_s_name():
    said = title("&".join(f"project={letter * 100}" for letter in "abc"))

    assert len(said) <= titles.TITLE_CHARS_MAX
    assert said.endswith("… - Betascope")


def test_every_report_says_what_it_asks_in_the_words_of_its_headline():
    addresses = {entry.address: entry.file for entry in menu.PAGES}

    assert {entry.address for entry in menu.REPORTS} <= set(titles.QUESTIONS)
    for address, question in titles.QUESTIONS.items():
        assert f'"{question}"' in (ROOT / "pages" / addresses[address]).read_text("utf-8")


def test_a_deep_link_has_a_title_and_a_description_for_chats(client):
    answer = client.get("/retention?span=28d&tier=paid")
    head = Head(answer.text)

    assert head.title == "Retention - paid, last 28 days - Betascope"
    assert head.metas["og:title"] == head.title
    assert head.metas["og:description"] == head.metas["description"]
    assert head.metas["description"] == "Do they come back? Only tier paid. Last 28 days, UTC."
    assert head.metas["og:site_name"] == "Betascope"
    assert answer.headers["cache-control"] == "no-cache"
    assert "last-modified" not in answer.headers


def test_the_rest_of_streamlit_s_page_is_as_it_was(client):
    there = (Path(file_util.get_static_dir()) / "index.html").read_text("utf-8")
    found = client.get("/").text

    assert "<title>Streamlit</title>" in there
    assert found.count("<title>") == 1
    before, _, after = there.partition("<title>Streamlit</title>")
    assert found.startswith(before)
    assert found.endswith(after)


@pytest.mark.parametrize(
    "name",
    ["span", "from", "to", "until", "timezone", "cell", "user", "who", "view", "embed", "x"]
    + [dimension.query_name for dimension in DIMENSIONS.values()]
    + ["compare", "retention.every", "group", "operation"],
)
def test_nothing_in_a_link_becomes_markup(client, name):
    quiet = Head(client.get("/retention").text).tags
    for value in (HOSTILE, f"key:{HOSTILE}", f"28d{HOSTILE}"):
        sent = quote(value.encode("utf-8", "surrogatepass"))
        answer = client.get(f"/retention?{name}={sent}&{sent}={sent}")

        assert answer.status_code == 200
        assert Head(answer.text).tags == quiet
        assert "<script>alert" not in answer.text
        assert "\u202e" not in answer.text


def test_a_hostile_path_names_no_page(client):
    quiet = Head(client.get("/").text).tags

    head = Head(client.get("/%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E").text)
    assert head.tags == quiet
    assert head.title == "Betascope"


def test_a_browser_that_has_the_answer_is_told_so_and_another_link_is_another_answer(client):
    first = client.get("/retention?tier=paid")
    tag = first.headers["etag"]

    again = client.get("/retention?tier=paid", headers={"if-none-match": f'W/{tag}, "x"'})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get("/retention?tier=free", headers={"if-none-match": tag})
    assert other.status_code == 200
    late = client.get("/retention", headers={"if-modified-since": "Mon, 28 Nov 2050 00:00:00 GMT"})
    assert late.status_code == 200
    assert int(first.headers["content-length"]) == len(first.content)


def test_head_has_the_headers_and_no_body(client):
    answer = client.head("/retention?tier=paid")

    assert answer.content == b""
    assert answer.headers["etag"] == client.get("/retention?tier=paid").headers["etag"]


def test_what_is_no_page_is_left_alone(client):
    assert client.get("/api/text").text == "<title>Streamlit</title>"
    assert client.get("/none").text == "<title>Mine</title>"
    assert client.get("/none").status_code == 404
    assert len(client.get("/huge").content) == 1_100_000
    style = re.search(r"\./(static/css/[^\"]+)", client.get("/").text)[1]
    kept = client.get(f"/{style}")
    assert "immutable" in kept.headers["cache-control"]
    same = client.get(f"/{style}", headers={"if-none-match": kept.headers["etag"]})
    assert same.status_code == 304
    assert client.post("/retention").status_code == 405


def test_an_endless_link_is_answered_all_the_same(client):
    answer = client.get("/retention?" + "&".join(f"project={n}" for n in range(3_000)))

    assert Head(answer.text).title.startswith("Retention - ")


def test_below_a_base_path_pages_are_still_told(monkeypatch):
    config.set_option("server.baseUrlPath", "team/beta")
    try:
        client = Client(served("team/beta"))
        assert Head(client.get("/team/beta/errors").text).title == (
            "Errors - last 28 days - Betascope"
        )
        assert Head(client.get("/team/beta/").text).title == "Overview - last 28 days - Betascope"
    finally:
        config.set_option("server.baseUrlPath", "")


def test_a_page_without_a_title_gets_one_where_its_head_ends():
    said = titles.Preview("T", "D")

    assert b"<title>T</title>" in rewritten(b"<head></head>", said)
    assert rewritten(b"no head at all", said) == b"no head at all"
