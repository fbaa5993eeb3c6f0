"""What leaves the app is whole, typed where the format can, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import gc
import hashlib
import io
import json
import re
import resource
import subprocess
import sys
import tempfile
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

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


# --- formulas --------------------------------------------------------------------------------


FORMULAS = (
    *("=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\tx", "\rx", "\nx", "=", "-"),
    *("\uff1d1+1", "\uff0b1", "\uff0d1", "\uff201", "\ufe661", "\ufe621", "\ufe631", "\ufe6b1"),
    *("  =1", "\u00a0=1", "\u3000=1", "\ufeff=1", "\u200b=1", "\x00=1", "\x7f=1", " \t\n =1"),
    *('=HYPERLINK("http://e")', "=cmd|' /C calc'!A0", "@echo", "-2+3+cmd|' /C calc'!A0"),
)


@pytest.mark.parametrize("text", FORMULAS)
@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_text_that_a_spreadsheet_would_run_begins_with_an_apostrophe(text, ending):
    frame = pl.DataFrame({"name": [text], "n": [-1]})

    data = export.to_bytes(frame, ending)

    said, number = cells(data, ending)[1]
    assert str(said).startswith("'")
    assert str(said).replace("'", "").split() == text.replace("'", "").split()
    assert number in {"-1", -1}


def cells(data: bytes, ending: str) -> list[list[object]]:
    """Return the rows of a file, its header first, as a reader that is not ours sees them."""
    if ending == "csv":
        return list(csv.reader(io.StringIO(data.decode(), newline="")))
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        sheet, words = (
            ET.fromstring(book.read(f"xl/{name}.xml"))  # noqa: S314 - written by us just now
            for name in ("worksheets/sheet1", "sharedStrings")
        )
    strings = ["".join(part.text or "" for part in one.iter(f"{SHEET}t")) for one in words]
    return [[_cell(cell, strings) for cell in row] for row in sheet.iter(f"{SHEET}row")]


SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def _cell(cell: ET.Element, strings: list[str]) -> object:
    assert cell.find(f"{SHEET}f") is None, "a formula"
    value = cell.find(f"{SHEET}v")
    raw = "" if value is None or value.text is None else value.text
    if cell.get("t") == "s":
        return re.sub("_x([0-9A-F]{4})_", lambda m: chr(int(m[1], 16)), strings[int(raw)])
    return float(raw)


@pytest.mark.parametrize(
    "text", ["plain", "a=b", "3-1", "x@y", "'=1", "", " ", "…-", "a\nb", "a;b"]
)
def test_other_text_stays_as_it_is(text):
    assert cells(export.to_csv(pl.DataFrame({"name": [text]})), "csv")[1:] == [[text]]


@pytest.mark.parametrize("text", ["x;=1+1;y", "x\n=1+1", "x\t=1+1", "x; \uff1d1"])
def test_no_formula_begins_a_cell_where_the_separator_is_another(text):
    """A German Excel splits a comma's CSV at the semicolons, and ignores the quotes within."""
    data = export.to_csv(pl.DataFrame({"n": [1], "name": [text]})).decode()

    pieces = re.split("[;\t\n]", data)
    assert not [one for one in pieces if one.strip()[:1] in tuple("=+-@\uff1d")]


def test_names_of_columns_and_texts_in_lists_and_structs_are_neutralised_too():
    frame = pl.DataFrame(
        {
            "=1": ["x"],
            "'=1": ["y"],
            "of": [["a", "=1"]],
            "deep": [{"=k": "=v"}],
            "kind": pl.Series(["=1"], dtype=pl.Categorical),
        }
    )

    header, row = cells(export.to_csv(frame), "csv")

    assert header[:2] == ["'=1", "'=1_1"]
    assert row == ["x", "y", "a; '=1", '{"=k": "=v"}', "'=1"]


@pytest.mark.parametrize("name", ["^x$", "^.*$", "*"])
@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_a_column_whose_name_looks_like_a_pattern_is_neutralised_as_any_other(name, ending):
    frame = pl.DataFrame({name: ["=1"], "x": ["=2"], "n": [3]})

    assert cells(export.to_bytes(frame, ending), ending)[1] in (
        ["'=1", "'=2", "3"],
        ["'=1", "'=2", 3],
    )


def test_parquet_and_json_lines_hold_text_as_it_was():
    frame = pl.DataFrame({"=1": FORMULAS})

    assert pl.read_parquet(io.BytesIO(export.to_parquet(frame))).equals(frame)
    lines = export.to_jsonl(frame).decode().splitlines()
    assert [json.loads(line)["=1"] for line in lines] == list(FORMULAS)


def test_numbers_stay_numbers_whatever_their_sign_or_size():
    frame = pl.DataFrame({"n": [-1, 2**60], "x": [-0.5, float("inf")]})

    assert cells(export.to_csv(frame), "csv")[1:] == [["-1", "-0.5"], [str(2**60), "inf"]]
    assert cells(export.to_excel(frame), "xlsx")[1:] == [[-1, -0.5], [str(2**60), "inf"]]


def test_a_sheet_keeps_every_digit_of_a_number():
    exact, longer = 10**15 - 1, 10**15 + 1
    frame = pl.DataFrame(
        {
            "n": [exact, -exact, longer],
            "d": pl.Series(["1.50", "-0.25", "1234567890123456.5"]).cast(pl.Decimal(38, 2)),
        }
    )

    assert cells(export.to_excel(frame), "xlsx")[1:] == [
        [exact, 1.5],
        [-exact, -0.25],
        [str(longer), "1234567890123456.50"],
    ]


def test_times_are_times_in_a_sheet_told_in_utc_and_text_where_it_has_no_place_for_them():
    frame = pl.DataFrame(
        {
            "at": [datetime(2026, 3, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")), None],
            "face": [datetime(2026, 3, 1, 12)] * 2,  # noqa: DTZ001 - a clock's face has no zone
            "fine": [datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)] * 2,
            "early": [datetime(1899, 1, 1, tzinfo=UTC)] * 2,
            "before years": pl.Series([date(1, 1, 1)] * 2).dt.offset_by("-438y"),
            "day": [date(1900, 3, 1), date(1900, 2, 28)],
        }
    )
    midnight = (date(2026, 3, 1) - date(1899, 12, 30)).days

    book = export.to_excel(frame)

    fine, early = "2026-03-01T12:00:00.000001Z", "1899-01-01T00:00:00.000000Z"
    before = "'-0437-01-01"
    assert cells(book, "xlsx")[1:] == [
        [midnight, midnight + 0.5, fine, early, before, 61],
        [midnight + 0.5, fine, early, before, "1900-02-28"],
    ]
    with zipfile.ZipFile(io.BytesIO(book)) as parts:
        styles = parts.read("xl/styles.xml").decode()
    assert "yyyy-mm-dd hh:mm:ss.000&quot;Z&quot;" in styles


def test_every_kind_of_column_has_a_place_in_every_format():
    frame = pl.DataFrame(
        {
            "day": [date(2026, 1, 2), date(1800, 1, 1)],
            "at": [datetime(2026, 1, 2, 3, tzinfo=ZoneInfo("Europe/Berlin"))] * 2,
            "face": [datetime(2026, 1, 2, 3)] * 2,  # noqa: DTZ001 - a clock's face has no zone
            "took": [timedelta(seconds=90), None],
            "flag": [True, None],
            "raw": [b"\xff", None],
            "deep": [[{"x": [1]}], []],
        }
    )

    for ending in export.FORMATS:
        assert export.to_bytes(frame, ending)
    assert cells(export.to_csv(frame), "csv")[1] == [
        *("2026-01-02", "2026-01-02T02:00:00.000000Z", "2026-01-02T03:00:00.000000"),
        *("PT1M30S", "true", "/w==", '[{"x": [1]}]'),
    ]


# --- files -----------------------------------------------------------------------------------


ABOUT = export.About(
    "Retention", "28 days; tier paid", {"query": "tier=paid"}, datetime(2026, 1, 1, tzinfo=UTC)
)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("ending", export.FORMATS)
def test_a_file_is_what_the_rows_in_memory_are_and_says_how_many(
    ending, lazy, tmp_path, monkeypatch
):
    monkeypatch.setattr(export, "ROWS_AT_ONCE", 3)
    frame = pl.DataFrame({"n": range(10), "name": ["=x"] * 10})
    seen: list[tuple[int, int]] = []

    written = export.write(
        frame.lazy() if lazy else frame,
        tmp_path / f"rows.{ending}",
        ending,
        ABOUT,
        progress=lambda done, total: seen.append((done, total)),
    )

    assert (written.rows, written.rows_whole, written.is_complete) == (10, 10, True)
    assert seen[-1] == (10, 10)
    data = (tmp_path / f"rows.{ending}").read_bytes()
    assert list(tmp_path.iterdir()) == [tmp_path / f"rows.{ending}"]
    if ending == "parquet":
        assert pl.read_parquet(io.BytesIO(data)).equals(frame)
    elif ending == "jsonl":
        assert pl.read_ndjson(io.BytesIO(data)).equals(frame)
    else:
        assert [row[0] for row in cells(data, ending)][1:] in (
            [str(n) for n in range(10)],
            [*range(10)],
        )


def test_what_is_cut_is_said_in_the_file_and_beside_it(tmp_path):
    frame = pl.DataFrame({"n": range(10)})

    written = export.write(frame, tmp_path / "a.parquet", "parquet", ABOUT, limit=4)
    beside = json.loads(export.sidecar("a.csv", frame.schema, written, ABOUT))

    assert written.said == "4 of 10 rows: cut at the limit of 4 rows"
    facts = pl.read_parquet_metadata(tmp_path / "a.parquet")
    assert (facts["rows"], facts["rows_whole"], facts["complete"]) == ("4", "10", "false")
    assert (facts["query"], facts["about"]) == ("tier=paid", "28 days; tier paid")
    assert (beside["rows"], beside["complete"], beside["query"]) == (4, False, "tier=paid")
    assert beside["url"] == "a.csv"
    assert beside["tableSchema"]["columns"] == [{"name": "n", "datatype": "Int64"}]


def test_a_file_that_fails_on_the_way_leaves_what_was_there(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("before")

    def full(done: int, total: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        export.write(pl.DataFrame({"n": [1]}), path, "csv", progress=full)

    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def no_room():
    """Let no file of this process grow above 20 kB, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


# xlsxwriter leaves the file of a sheet it could not write for Python to close
@pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO")
@pytest.mark.parametrize("held", [10_000, 10], ids=["held", "row by row"])
@pytest.mark.parametrize("ending", export.FORMATS)
def test_a_full_disk_is_an_error_of_the_system_and_leaves_nothing(
    ending, held, tmp_path, monkeypatch, no_room
):
    monkeypatch.setattr(export, "EXCEL_HELD_ROWS", held)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    texts = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(2_000)]

    with pytest.raises(OSError, match="too large"):
        export.write(pl.DataFrame({"n": texts}), tmp_path / f"rows.{ending}", ending)

    gc.collect()  # what is said when an archive is thrown away would fail this test
    assert not list(tmp_path.iterdir())


def test_pieces_of_a_response_are_the_file(monkeypatch):
    monkeypatch.setattr(export, "ROWS_AT_ONCE", 3)
    frame = pl.DataFrame({"n": range(10)})

    pieces = list(export.chunks(frame.lazy(), "csv", limit=7))

    assert len(pieces) == 3
    assert b"".join(pieces) == export.to_csv(frame.head(7))
    with pytest.raises(ValueError, match="csv or jsonl"):
        list(export.chunks(frame, "xlsx"))


@pytest.mark.parametrize(
    ("text", "stem"),
    [
        ("Retention by ide", "retention-by-ide"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\x\\..\\y\x00", "c-x-y"),
        ("\u202e", "rows"),
        ("Über; filename=x", "uber-filename-x"),
        ("a" * 999, "a" * 100),
    ],
)
def test_a_name_from_anywhere_makes_a_harmless_file_name(text, stem):
    assert export.stem_of(text) == stem


@pytest.mark.slow
@pytest.mark.parametrize("ending", export.FORMATS)
def test_a_million_rows_do_not_double_memory(ending, tmp_path):
    """Measured in a process of its own: what writing adds, against the frame itself."""
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, ending, str(tmp_path / f"rows.{ending}")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )

    size, grown = map(float, run.stdout.split())
    assert grown < 0.8 * size, f"{ending}: {grown / size:.2f} of the frame"


MEMORY = """
import sys, threading, time
from pathlib import Path
import polars as pl
from data_access import export

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

number = pl.arange(0, 1_000_000)
frame = pl.select(
    number.alias("n"),
    number.cast(pl.String).str.pad_start(64, "a").alias("user_id_hash"),
    (number * 1000).cast(pl.Datetime("ms", "UTC")).alias("timestamp"),
    (number / 7).alias("value"),
    (pl.lit("=1+") + number.cast(pl.String) + pl.lit(", some text")).alias("name"),
)
ending, path = sys.argv[1], Path(sys.argv[2])
export.write(frame.head(1_000), path, ending)
before = most = resident()
done = False

def watch():
    global most
    while not done:
        most = max(most, resident())
        time.sleep(0.005)

watching = threading.Thread(target=watch)
watching.start()
assert export.write(frame, path, ending).is_complete
done = True
watching.join()
print(frame.estimated_size(), most - before)
"""
