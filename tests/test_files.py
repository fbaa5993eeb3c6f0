"""A file made for one reader: found by its whole address alone, for a while, and then gone."""

from __future__ import annotations

import socket
import threading
import time
import tomllib
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING

import plotly.graph_objects as go
import pytest
import uvicorn
from starlette.applications import Starlette

from data_access.export import About
from pages.components import palette, picture_file
from pages.server import files, plotly_js

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent


def kept(shelf: files.Shelf, name: str = "rows.csv", *, now: float = 0.0) -> str:
    path = shelf.place(name)
    path.write_text("a\n1\n")
    return shelf.put(path, "text/csv", now=now)


def find(shelf: files.Shelf, address: str, *, now: float = 0.0):
    _, token, name = address.split("/")
    return shelf.find(token, name, now=now)


def test_a_file_is_found_by_its_token_and_name_until_its_time_is_over():
    shelf = files.Shelf()
    address = kept(shelf)
    path, mime = find(shelf, address)

    assert (path.read_text(), mime) == ("a\n1\n", "text/csv")
    assert find(shelf, f"download/{'x' * 43}/rows.csv") is None
    assert find(shelf, address.replace("rows", "other")) is None
    assert find(shelf, address, now=files.KEPT_SECONDS) is None
    assert not path.exists()


def test_the_oldest_file_makes_room():
    shelf = files.Shelf()
    addresses = [kept(shelf) for _ in range(files.FILES_MAX + 1)]

    assert find(shelf, addresses[0]) is None
    assert find(shelf, addresses[1]) is not None
    shelf.clear()
    assert find(shelf, addresses[1]) is None


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/passwd", "a/b.csv"])
def test_a_name_is_never_a_path(name):
    shelf = files.Shelf()

    path = shelf.place(name)

    assert path.parent.name.startswith("betascope-file-")
    assert "/" not in path.name
    shelf.drop(path)
    assert not path.parent.exists()


@pytest.fixture
def get():
    """Serve the routes for real, and ask them for a path as it is written."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        app = Starlette(routes=[files.route(), plotly_js.route()])
        serving = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=serving.run, args=([listening],), daemon=True)
        thread.start()
        while not serving.started:
            time.sleep(0.01)

        @contextmanager
        def ask(path: str) -> Iterator[HTTPResponse]:
            asking = HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=10)
            with closing(asking):
                asking.request("GET", path)
                yield asking.getresponse()

        yield ask
        serving.should_exit = True
        thread.join()
    files.shelf.clear()


def test_the_route_sends_the_file_and_nothing_else(get):
    address = kept(files.shelf, now=time.monotonic())

    with get(f"/{address}") as sent:
        assert (sent.status, sent.read()) == (200, b"a\n1\n")
        assert sent.headers["content-disposition"] == 'attachment; filename="rows.csv"'
        assert sent.headers["cache-control"] == "private, no-store"
    token = address.split("/")[1]
    for other in ("x", f"{token}/..%2f..%2fetc%2fpasswd", "../../etc/passwd", "%2e%2e/app.py"):
        with get(f"/download/{other}") as sent:
            assert sent.status == 404


def test_plotlys_script_is_the_installed_one_and_kept_for_long(get):
    with get(f"/{plotly_js.ADDRESS}") as sent:
        assert sent.status == 200
        assert sent.headers["content-type"].startswith("text/javascript")
        assert "immutable" in sent.headers["cache-control"]
        assert b"plotly.js v" in sent.read(200)


def test_a_picture_that_leaves_the_app_has_the_light_themes_colours_and_says_what_it_is():
    colours = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]["light"]
    slots = [*palette.SLOTS.values(), *palette.SEQUENTIAL]
    expected = [*colours["chartCategoricalColors"], *colours["chartSequentialColors"]]
    drawn = go.Figure(layout={"height": 300})
    for slot in slots:
        drawn.add_scatter(x=[1], y=[2], line={"color": slot})

    found = picture_file.as_picture(
        drawn, About("<b>T</b>", "28 days"), r"a\_b **c** " + "w " * 200
    )

    assert [trace["line"]["color"] for trace in found["data"]] == expected
    assert found["layout"]["title"]["text"] == "<b>&lt;b&gt;T&lt;/b&gt;</b>"
    assert found["layout"]["title"]["subtitle"]["text"].startswith("a_b c w w")
    assert found["layout"]["annotations"][-1]["text"] == "Betascope · 28 days"
    assert found["layout"]["height"] > 300
    assert "template" not in found["layout"]
    assert "Source" not in found["layout"]["font"]["family"], "the file has no font of the page"
