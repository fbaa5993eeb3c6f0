"""What leaves the app is whole, typed where the format can, and harmless in a spreadsheet."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime

import polars as pl
import pytest

from data_access import export

FRAME = pl.DataFrame(
    {
        "name": ["=cmd|' /C calc'!A0", "plain", "-1+1", None],
        "tiers": [["free", "paid"], [], ["=x"], None],
        "at": [datetime(2026, 3, 1, 10, tzinfo=UTC)] * 4,
        "value": [1.5, None, -2.0, 3.0],
    }
)


def test_csv_holds_every_row_and_no_formula():
    back = pl.read_csv(io.BytesIO(export.to_csv(FRAME)))

    assert back["name"].to_list() == ["'=cmd|' /C calc'!A0", "plain", "'-1+1", None]
    assert back["tiers"].to_list()[0] == "free; paid"
    assert back["value"].to_list() == FRAME["value"].to_list()


def test_parquet_comes_back_as_it_went_and_says_what_it_is():
    data = export.to_parquet(FRAME, about="tier paid")

    assert pl.read_parquet(io.BytesIO(data)).equals(FRAME)
    metadata = pl.read_parquet_metadata(io.BytesIO(data))
    assert (metadata["rows"], metadata["about"]) == ("4", "tier paid")


def test_json_lines_hold_one_object_per_row():
    back = pl.read_ndjson(io.BytesIO(export.to_jsonl(FRAME)))

    assert back["name"].to_list() == FRAME["name"].to_list()
    assert back["tiers"].to_list() == FRAME["tiers"].to_list()


def test_excel_says_whether_it_is_whole(monkeypatch):
    def about_sheet() -> str:
        with zipfile.ZipFile(io.BytesIO(export.to_excel(FRAME, about="tier paid"))) as book:
            return book.read("xl/sharedStrings.xml").decode()

    assert "4 of 4 rows: complete" in about_sheet()
    assert "tier paid" in about_sheet()
    monkeypatch.setattr(export, "EXCEL_ROWS_MAX", 3)
    assert "3 of 4 rows: cut at the sheet" in about_sheet()


@pytest.mark.parametrize("ending", export.FORMATS)
def test_every_format_takes_an_empty_frame(ending):
    _, write, _ = export.FORMATS[ending]

    assert isinstance(write(FRAME.clear(), about=""), bytes)
