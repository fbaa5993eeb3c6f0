"""One cell alone: only that is computed and sent, and nothing in it can be pressed."""

from __future__ import annotations

import re
from datetime import date
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from ingest.demo import write_demo
from pages.components import embed, menu
from pages.components.view import View

if TYPE_CHECKING:
    from pathlib import Path

END = date(2026, 3, 1)
DAYS = {"span": "custom", "from": "2026-02-01", "to": "2026-02-28"}
ENOUGH_S = 120


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("embed") / "telemetry"
    write_demo(home, events=6_000, days=60, seed=5, end=END)
    return home


@pytest.fixture
def computed(monkeypatch) -> list[str]:
    """Write down which metrics are asked for."""
    asked: list[str] = []
    load = View.load

    def spied(self, metric, **options):
        asked.append(metric)
        return load(self, metric, **options)

    monkeypatch.setattr(View, "load", spied)
    return asked


def shown(home: Path, monkeypatch, page: str = "overview", *, embedded=True, **query) -> AppTest:
    st.cache_data.clear()
    monkeypatch.setenv("TELEMETRY_HOME", str(home))
    monkeypatch.setattr("sys.argv", ["pytest"])
    app = AppTest.from_file("../pages/frame.py", default_timeout=ENOUGH_S)
    app.context["is_embedded"] = embedded
    app.context["url"] = f"http://telemetry.test/team/{page}"
    for name, value in {**DAYS, **query}.items():
        app.query_params[name] = value
    app.run()
    if page != "overview":
        [entry] = [one for one in menu.PAGES if one.address == page]
        app.switch_page(entry.file).run()
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    words = [*app.markdown, *app.caption, *app.subheader, *app.title, *app.warning, *app.error]
    return "\n".join(str(one.value) for one in words)


def test_only_the_cell_that_is_asked_for_is_computed(demo, monkeypatch, computed):
    app = shown(demo, monkeypatch, cell="people-by-tier", tier=["free", "paid"])

    assert set(computed) == {"tiers", "sampling"}
    assert [one.value for one in app.subheader] == ["People by tier"]
    assert len(app.get("plotly_chart")) == 1
    assert not app.title
    assert not app.metric


def test_there_is_nothing_to_press(demo, monkeypatch):
    app = shown(demo, monkeypatch, cell="active-people")

    pressed = ("button", "multiselect", "selectbox", "toggle", "text_input", "date_input")
    assert not [one for kind in pressed for one in app.get(kind)]
    assert not app.sidebar
    assert not app.get("download_button")
    [chart] = app.get("plotly_chart")
    assert not chart.proto.selection_mode


@pytest.mark.slow
def test_nothing_of_what_a_page_offers_between_its_cells_is_left(demo, monkeypatch):
    app = shown(demo, monkeypatch, "users", cell="people")

    kinds = ("button", "text_input", "selectbox", "toggle", "download_button", "expander")
    assert not [one for kind in kinds for one in app.get(kind)]
    assert [one.value for one in app.subheader] == ["People"]


@pytest.mark.slow
def test_no_words_ask_for_what_cannot_be_done_in_a_frame(demo, monkeypatch):
    assert "Choose a row" not in said(shown(demo, monkeypatch, "errors", cell="groups"))
    assert "Choose a row to see" in said(shown(demo, monkeypatch, "errors", embedded=False))


@pytest.mark.slow
def test_the_last_line_says_whose_numbers_these_are_and_leads_to_the_page(demo, monkeypatch):
    app = shown(demo, monkeypatch, cell="active-people", tier="paid", timezone="Asia/Kolkata")

    last = app.caption[-1].value
    assert last.startswith("Betascope · 28 days to 28 Feb")
    assert "Asia/Kolkata · only tier paid · data as of" in last
    assert (
        "](http://telemetry.test/team/overview?span=custom&from=2026-02-01&to=2026-02-28"
        "&timezone=Asia/Kolkata&tier=paid)" in last
    )


@pytest.mark.slow
def test_a_picture_of_more_days_than_were_chosen_says_so_above_and_below(demo, monkeypatch):
    app = shown(demo, monkeypatch, "retention", cell="cohorts")

    told = re.findall(r"(\d+) days to 28 Feb", said(app))
    assert len(told) == 2
    assert told[0] == told[1] != "28"
    assert "from=2026-02-01" in app.caption[-1].value  # the link is to what was asked for


@pytest.mark.slow
def test_a_page_s_own_choices_come_from_the_link(demo, monkeypatch):
    query = {"cell": "cohorts", "retention.every": "day"}
    app = shown(demo, monkeypatch, "retention", **query)

    assert "A triangle" not in said(app)
    assert "by days since" in said(app)
    assert "retention.every=day" in app.caption[-1].value


def test_an_unknown_cell_says_which_there_are(demo, monkeypatch, computed):
    app = shown(demo, monkeypatch, cell="no*such*cell")

    assert "There is no picture “no\\*such\\*cell” on this page." in said(app)
    assert "`active-people`, `last-24-hours`" in said(app)
    assert computed == []


@pytest.mark.slow
def test_an_empty_cell_says_what_would_fill_it(demo, monkeypatch):
    days = {"from": "2020-01-01", "to": "2020-01-02", "project": "gone"}
    app = shown(demo, monkeypatch, cell="active-people", **days)

    assert "Nobody was active" in said(app)
    assert "Ignored unknown project" in said(app)
    assert not app.get("plotly_chart")


@pytest.mark.slow
def test_a_cell_that_fails_says_so(demo, monkeypatch):
    monkeypatch.setattr(View, "load", lambda *_, **__: 1 / 0)
    app = shown(demo, monkeypatch, cell="people-by-tier")

    assert "could not be computed" in said(app)
    assert "Traceback" not in said(app)


@pytest.mark.slow
def test_the_people_behind_a_mark_are_not_shown_in_another_page(demo, monkeypatch, computed):
    query = {"cell": "active-people", "who": "active-people:2026-02-17"}
    app = shown(demo, monkeypatch, **query)

    assert "people_events" not in computed
    assert not app.dataframe


def test_without_data_it_says_so(tmp_path, monkeypatch):
    app = shown(tmp_path / "nowhere", monkeypatch, cell="active-people")

    assert "There is no telemetry here yet" in said(app)
    assert "nowhere" not in said(app)


@pytest.mark.slow
@pytest.mark.parametrize("page", [menu.SETTINGS.address, menu.EXPLORE.address])
def test_a_tool_of_the_notebook_cannot_be_embedded(demo, monkeypatch, page):
    app = shown(demo, monkeypatch, page, cell="active-people")

    assert "no pictures that could stand alone" in said(app)


@pytest.mark.slow
def test_a_cell_named_outside_a_frame_is_an_ordinary_page(demo, monkeypatch):
    app = shown(demo, monkeypatch, embedded=False, cell="active-people")

    assert app.title
    assert len(app.get("plotly_chart")) > 1
    assert "Ignored unknown parts" not in said(app)


@pytest.mark.slow
@pytest.mark.parametrize("page", [entry.address for entry in menu.REPORTS])
def test_every_cell_of_every_page_stands_alone(demo, monkeypatch, page):
    listed = said(shown(demo, monkeypatch, page, cell="-")).partition("There are: ")[2]
    listed = listed.partition("\n")[0]
    slugs = [one.strip("`. \n") for one in listed.split(",")]
    assert len(slugs) > 1
    for slug in slugs:
        app = shown(demo, monkeypatch, page, cell=slug)
        assert len(app.subheader) == 1, slug
        assert not app.error, slug
        assert "There is no picture" not in said(app), slug


def test_the_snippet_is_html_that_says_no_more_than_the_link():
    link = 'http://x/overview?span=7d&project="><script>'
    found: list[dict[str, str]] = []

    class Frames(HTMLParser):
        def handle_starttag(self, tag, attrs):
            assert tag == "iframe"
            found.append(dict(attrs))

    Frames().feed(embed.snippet(link, "active-people", 300))

    [frame] = found
    assert frame["src"] == (
        'http://x/overview?embed=true&cell=active-people&span=7d&project="><script>'
    )
    assert frame["height"] == "490"
