"""The HTML and the bundles a browser gets: compressed, cached, mended, and nothing but files."""

from __future__ import annotations

import asyncio
import gzip
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from streamlit import config

from pages import server
from pages.components import menu
from pages.server import bundles, shell
from pages.server.bundles import Bundles, Held, takes_gzip
from pages.server.shell import STATIC, Shell

PLOTLY = next((STATIC / "static" / "js").glob("PlotlyChart.*.js"))
SCRIPT = f"/static/js/{PLOTLY.name}"


@dataclass
class Answer:
    """What came back, decompressed."""

    status_code: int
    headers: dict[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The content as text."""
        return self.content.decode()


class Client:
    """Speaks ASGI to an app, without a network and without mending the path."""

    def __init__(self, app) -> None:
        self.app = app

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> Answer:
        """Send one request and return the whole answer."""
        sent = []
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "server": ("127.0.0.1", 80),
            "headers": [(name.encode(), one.encode()) for name, one in (headers or {}).items()],
        }

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        asyncio.run(self.app(scope, receive, send))
        told = {name.decode(): one.decode() for name, one in sent[0]["headers"]}
        body = b"".join(one.get("body", b"") for one in sent[1:])
        if body and told.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        return Answer(sent[0]["status"], told, body)

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        """Ask for something."""
        return self.ask("GET", path, headers)


@pytest.fixture
def client() -> Client:
    def rest(request) -> PlainTextResponse:
        return PlainTextResponse(f"rest {request.url.path}")

    app = Starlette(routes=[Route("/{path:path}", rest)])
    return Client(Shell(Bundles(app, held=Held())))


def test_a_bundle_is_compressed_and_says_how_long_and_for_whom(client):
    answer = client.get(SCRIPT, headers={"accept-encoding": "gzip, br"})

    assert answer.content == PLOTLY.read_bytes()
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < PLOTLY.stat().st_size / 3
    assert answer.headers["vary"] == "Accept-Encoding"
    assert "immutable" in answer.headers["cache-control"]
    assert "javascript" in answer.headers["content-type"]
    again = client.get(
        SCRIPT, headers={"accept-encoding": "gzip", "if-none-match": answer.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


def test_head_says_the_same_without_the_bytes(client):
    got = client.get(SCRIPT, headers={"accept-encoding": "gzip"})
    asked = client.ask("HEAD", SCRIPT, headers={"accept-encoding": "gzip"})

    assert asked.headers["content-length"] == got.headers["content-length"]
    assert asked.content == b""


@pytest.mark.parametrize(
    "headers",
    [
        {"accept-encoding": "identity"},
        {"accept-encoding": "gzip;q=0, *;q=0.5"},
        {"accept-encoding": "br"},
        {"accept-encoding": "gzip", "range": "bytes=0-9"},
    ],
)
def test_who_takes_no_gzip_or_asks_for_a_part_gets_streamlits_own(client, headers):
    answer = client.get(SCRIPT, headers=headers)

    assert answer.text == f"rest {SCRIPT}"
    assert "content-encoding" not in answer.headers
    assert answer.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("said", "takes"),
    [
        ("gzip", True),
        ("GZIP;q=0.1", True),
        ("*", True),
        ("deflate, gzip;q=1.0", True),
        ("gzip;q=0", False),
        ("*;q=0", False),
        ("gzip;q=oops", False),
        ("", False),
        ("xgzip", False),
    ],
)
def test_accept_encoding_is_read_as_the_rfc_says(said, takes):
    assert takes_gzip(said) is takes


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../../etc/passwd",
        "/static/%2e%2e/index.html",
        "/static/js/nothing.js",
        "/media/abc.js",
        "/static/media/font.woff2",
        f"//static/js/{PLOTLY.name}",
        "/_stcore/health",
        "/overview/static/js/x.js",
        "/nonsense",
    ],
)
def test_all_else_goes_on_untouched(client, path):
    answer = client.get(path, headers={"accept-encoding": "gzip"})

    assert answer.text.startswith("rest")
    assert "vary" not in answer.headers


def test_a_post_is_none_of_its_business(client):
    assert client.ask("POST", SCRIPT).status_code == 405
    assert client.ask("POST", "/overview").status_code == 405


def test_what_is_held_stays_below_its_bound(tmp_path):
    files = [tmp_path / f"{number}.js" for number in range(4)]
    for number, path in enumerate(files):
        path.write_bytes(bytes((i * 7919 + number) % 251 for i in range(20_000)))
    one = len(gzip.compress(files[0].read_bytes(), bundles.LEVEL))
    held = Held(most=int(one * 2.5))

    tags = [held.compressed(path)[1] for path in files]

    assert held.size <= one * 2.5
    assert len(set(tags)) == 4
    assert held.compressed(files[0])[1] == tags[0]  # the same file has the same tag


def test_a_file_that_many_ask_for_at_once_is_compressed_once(monkeypatch):
    times = []

    def counted(body: bytes, level: int, *, mtime: int) -> bytes:
        times.append(level)
        return gzip.compress(body, level, mtime=mtime)

    monkeypatch.setattr(bundles, "gzip", SimpleNamespace(compress=counted))
    held = Held()
    with ThreadPoolExecutor(8) as pool:
        tags = {tag for _body, tag in pool.map(held.compressed, [PLOTLY] * 16)}

    assert (len(times), len(tags)) == (1, 1)


def test_every_page_begins_with_our_name_and_what_it_will_need(client):
    for address in ("", "home", *(entry.address for entry in menu.PAGES)):
        answer = client.get(f"/{address}")

        assert answer.headers["content-type"].startswith("text/html"), address
        assert answer.headers["cache-control"] == "no-cache"
        assert "<title>Betascope</title>" in answer.text
        assert "stSidebarNavItems" in answer.text
        wanted = set(re.findall(r'href="\./([^"]+)"', answer.text))
        assert all((STATIC / name).is_file() for name in wanted if name.startswith("static/")), (
            address
        )
        assert (f"static/js/{PLOTLY.name}" in wanted) is (address != menu.SETTINGS.address)


def test_a_page_known_already_is_not_sent_again(client):
    tag = client.get("/overview").headers["etag"]

    assert client.get("/overview", headers={"if-none-match": tag}).status_code == 304


def test_streamlit_still_has_what_is_replaced_and_hinted_at():
    text = (STATIC / "index.html").read_text("utf-8")
    assert "<title>Streamlit</title>" in text
    assert text.count("</head>") == 1
    links = "".join(shell.preloads())
    for name in (*shell.SOON, *shell.LATER, *shell.FONTS):
        assert links.count(f"/{name}.") == 1, name


def test_below_a_base_path_the_same_is_answered(client):
    before = config.get_option("server.baseUrlPath")
    config.set_option("server.baseUrlPath", "/team/beta/")
    try:
        assert "Betascope" in client.get("/team/beta/overview").text
        assert "Betascope" in client.get("/team/beta").text
        assert client.get("/overview").text.startswith("rest")
        answer = client.get(f"/team/beta{SCRIPT}", headers={"accept-encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
    finally:
        config.set_option("server.baseUrlPath", before)


def test_the_server_has_both_in_their_places():
    names = [one.cls.__name__ for one in server.middleware()]

    assert {"Shell", "Bundles"} <= set(names)
