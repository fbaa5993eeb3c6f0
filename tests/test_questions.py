"""docs/QUESTIONS.md: every link in it opens a page that has the cell it names."""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from ingest.demo import write_demo
from pages.components import menu

QUESTIONS = Path(__file__).parent.parent / "docs" / "QUESTIONS.md"
LINK = re.compile(r"\[[^\]]+\]\((/[^)]+)\)")
ROW = re.compile(r"^\| (?P<question>[^|]+\?) \| (?P<answer>[^|]+) \|$", re.MULTILINE)


def links() -> list[str]:
    return sorted(set(LINK.findall(QUESTIONS.read_text("utf-8"))))


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("questions") / "telemetry"
    write_demo(home, events=6_000, days=60, seed=5, end=date(2026, 3, 1))
    return home


@cache
def anchors(home: Path, page: str, query: str) -> tuple[set[str], str]:
    """Return the anchors of a page and what went wrong on it."""
    st.cache_data.clear()
    app = AppTest.from_file("../pages/frame.py", default_timeout=120)
    for name, values in parse_qs(query).items():
        app.query_params[name] = values
    app.run()
    [entry] = [one for one in menu.PAGES if one.address == page]
    app.switch_page(entry.file).run()
    assert not app.exception
    found = {one.anchor for one in [*app.subheader, *app.header]}
    return found, "; ".join(one.value for one in app.error)


@pytest.mark.slow
@pytest.mark.parametrize("link", links())
def test_a_link_opens_the_cell_that_answers(demo: Path, monkeypatch: pytest.MonkeyPatch, link: str):
    monkeypatch.setenv("TELEMETRY_HOME", str(demo))
    monkeypatch.setattr("sys.argv", ["pytest"])
    parts = urlsplit(link)

    found, trouble = anchors(demo, parts.path.strip("/"), parts.query)

    assert parts.fragment in found
    assert not trouble


def test_every_question_has_an_answer_and_every_page_answers_one():
    text = QUESTIONS.read_text("utf-8")
    rows = ROW.findall(text)

    assert len(rows) >= 30
    asked = {urlsplit(link).path.strip("/") for link in links()}
    assert asked >= {page.address for page in menu.REPORTS} - {"closed-beta"}
