"""The Export tab: what it offers, what it says where something is cut, and who may."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from data_access import export
from pages.components import access, exports, picture_file, tables
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


def test_a_disk_that_is_full_is_said_where_the_file_was_asked_for(shown, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exports, "LARGE_ROWS", 4)
    monkeypatch.setattr(export, "write", full)
    app = shown()

    app.button(key="export-t-csv").click().run()

    assert "No space left on device" in app.error[0].value
    assert not app.exception
    assert not any("Download CSV" in one.value for one in app.markdown)


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


TABLE = tables.Table(
    pl.DataFrame(
        {
            "name": ["<b>=1\u202e</b>\n" + "x" * 300, None],
            "first_seen": [datetime(2026, 3, 29, 1, 30, tzinfo=UTC), None],
            "day": [date(2026, 3, 1), None],
            "events": [1_234_567, None],
            "weight": [1_234.5678, 3.0],
            "error_rate": [0.0123, float("nan")],
            "duration_ms_p95": [1_234.5, None],
            "cost": [-12.5, 0.0],
            "is_new": [True, False],
            "tiers": [["free", "paid"], []],
            "per_day": [[0.0, 2.0], None],
            "left_out": ["not named", ""],
        }
    ),
    {
        "name": "Name",
        "first_seen": "First seen",
        "day": "Day",
        "events": "Events",
        "weight": "Weight",
        "error_rate": "Error rate",
        "duration_ms_p95": "p95",
        "cost": "Cost",
        "is_new": "New",
        "tiers": "Tiers",
        "per_day": "Per day",
        "gone": "Not in the frame",
    },
    {"cost": "money", "per_day": "spark"},
)


def test_a_tables_picture_says_what_the_page_says_in_its_words():
    columns = tables.written(TABLE, timezone="Europe/Berlin", most=9)

    assert [[one.heading, *one.cells] for one in columns] == [
        ["Name", "<b>=1 </b> " + "x" * 188 + "…", "–"],  # noqa: RUF001 - what stands for nothing
        ["First seen", "29 Mar 2026, 03:30", "–"],  # noqa: RUF001
        ["Day", "1 Mar 2026", "–"],  # noqa: RUF001
        ["Events", "1,234,567", "–"],  # noqa: RUF001
        ["Weight", "1,234.568", "3"],
        ["Error rate", "1.2 %", "nan %"],
        ["p95, ms", "1,234", "–"],  # noqa: RUF001
        ["Cost", "-$12.50", "$0.00"],
        ["New", "yes", "no"],
        ["Tiers", "free, paid", ""],
        ["Per day", [0.0, 2.0], []],
    ]
    assert [one.heading for one in columns if one.is_right] == [
        *("Events", "Weight", "Error rate", "p95, ms", "Cost"),
    ]


def test_a_tables_picture_says_where_it_is_cut():
    wide = pl.DataFrame({f"c{n}": range(60) for n in range(15)})
    table = tables.Table(wide, {name: name for name in wide.columns})

    made = picture_file.of(table, export.About("T", "28 days"), r"By *day*\.", "UTC")["table"]

    assert made["lines"] == ["By *day*.", "The first 50 of 60 rows and 12 of 15 columns."]
    assert (len(made["columns"]), len(made["columns"][0]["cells"])) == (12, 50)
    assert (made["title"], made["source"]) == ("T", "Betascope · 28 days")
    json.dumps(made, allow_nan=False)
