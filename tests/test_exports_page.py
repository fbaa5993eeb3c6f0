"""The Export tab: what it offers, what it says where something is cut, and who may."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from data_access import export
from pages.components import access, exports
from pages.server.files import shelf

if TYPE_CHECKING:
    from collections.abc import Iterator


TAB = """
import polars as pl

from data_access import export
from pages.components import exports

exports.files(
    pl.DataFrame({"n": range(5), "name": ["=evil()"] * 5}),
    export.About("Rows", "tier paid", {"query": "tier=paid"}),
    "../Rows",
    key="t",
    limit=LIMIT,
)
"""


@pytest.fixture
def shown() -> Iterator[object]:
    def run(limit: int = 100) -> AppTest:
        app = AppTest.from_string(TAB.replace("LIMIT", str(limit)), default_timeout=30).run()
        assert not app.exception
        return app

    yield run
    shelf.clear()


def said(app: AppTest) -> str:
    return "\n".join(one.value for one in [*app.caption, *app.markdown])


def test_a_small_file_is_made_when_it_is_clicked(shown):
    app = shown()

    assert "All 5 rows, with these filters." in said(app)
    assert not app.button


def test_what_is_cut_is_said_beside_the_buttons(shown, monkeypatch):
    assert "The first 3 of 5 rows: `limits.export_rows`" in said(shown(3))
    monkeypatch.setattr(export, "EXCEL_ROWS_MAX", 4)
    assert "Excel has room for the first 4 only" in said(shown())


def test_a_large_file_is_prepared_and_sent_from_disk(shown, monkeypatch):
    monkeypatch.setattr(exports, "LARGE_ROWS", 4)
    app = shown(3)

    app.button(key="export-t-csv").click().run()

    link = next(one.value for one in app.markdown if "Download CSV" in one.value)
    _, token, name = link.partition("(")[2].removesuffix(")").rsplit("/", 2)
    assert name == "rows-first-3-rows.csv"
    path, mime = shelf.find(token, name, now=time.monotonic())
    assert mime == "text/csv"
    assert pl.read_csv(path)["name"].to_list() == ["'=evil()"] * 3
    assert [one.name for one in path.parent.iterdir()] == [name]
    assert "3 of 5 rows: cut at the limit of 3 rows" in said(app)


def test_who_may_not_export_is_told_so(shown, monkeypatch):
    monkeypatch.setattr(access, "may", lambda _: False)

    app = shown()

    assert "analyst" in said(app)
    assert "rows" not in said(app)


def test_the_facts_of_a_file_are_plain_json():
    about = export.About("T", "w", {"query": "tier=paid"})
    schema = pl.Schema({"n": pl.Int64()})

    found = json.loads(export.sidecar("t.csv", schema, export.Written(1, 1), about))

    assert (found["rows"], found["query"], found["said"]) == (
        1,
        "tier=paid",
        "1 of 1 rows: complete",
    )
