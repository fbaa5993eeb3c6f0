"""Rows out: CSV, Parquet, JSON lines or Excel, written in slices, whole or saying where it is cut.

Text that a spreadsheet would run as a formula is neutralised in the formats spreadsheets open (CSV
and Excel): a `'` stands before it. Numbers stay numbers. Parquet and JSON lines hold every text as
it is. Times are told in UTC in both; in a sheet they are times, in CSV text.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import math
import os
import re
import tempfile
import unicodedata
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from xlsxwriter import Workbook
    from xlsxwriter.format import Format as CellFormat
    from xlsxwriter.worksheet import Worksheet

__all__ = [
    "EXCEL_ROWS_MAX",
    "FORMATS",
    "ROWS_MAX",
    "SIDECARS",
    "About",
    "Format",
    "Written",
    "chunks",
    "neutral",
    "rows_max_of",
    "sidecar",
    "sidecar_name",
    "stem_of",
    "to_bytes",
    "to_csv",
    "to_excel",
    "to_jsonl",
    "to_parquet",
    "write",
    "write_bytes",
]

EXCEL_ROWS_MAX: Final = 1_048_575  # a sheet's limit less the header
EXCEL_COLUMNS_MAX: Final = 16_384
EXCEL_CELL_CHARS_MAX: Final = 32_767
EXCEL_DIGITS_MAX: Final = 15  # more of a number are not kept: longer ones become text
EXCEL_FROM: Final = date(1900, 3, 1)  # a sheet's calendar has a 29 February 1900
EXCEL_TO: Final = date(9999, 12, 31)
EXCEL_TIME_CHARS: Final = 25  # a column's width
EXCEL_PROPERTY_CHARS_MAX: Final = 255
EXCEL_HELD_ROWS: Final = 20_000  # more are not held: written to disk row by row
ROWS_MAX: Final = 5_000_000  # of one file, unless the home's settings say otherwise
ROWS_AT_ONCE: Final = 50_000  # one slice; a few tens of MB while it is being turned into text
STEM_CHARS_MAX: Final = 100
SIDECARS: Final = ("csv", "jsonl")  # formats that have no place for facts about themselves

# What a spreadsheet takes for the beginning of a formula, wide and small variants included, and
# what it may skip before that. OWASP lists = + - @ tab and CR; the rest is what is normalised away.
_STARTS: Final = "=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
_SKIPPED: Final = (
    "\\x00-\\x20\\x7f-\\x{a0}\\x{ad}\\x{34f}\\x{61c}\\x{1680}\\x{180e}\\x{2000}-\\x{200f}"
    "\\x{2028}-\\x{202f}\\x{205f}-\\x{206f}\\x{3000}\\x{feff}"
)
_FORMULA: Final = f"^(?:[{_SKIPPED}]*[{_STARTS}]|[\\t\\r\\n])"
# a spreadsheet whose separator is not the comma, or that ignores quotes, begins a new cell at these
_FORMULA_WITHIN: Final = f"([;\\t\\r\\n][{_SKIPPED}]*)([{_STARTS}])"


@dataclass(frozen=True, slots=True)
class About:
    """What the rows are: said in the file itself where the format has a place, else beside it.

    `words` is one line for a person: period and filters. `facts` are further lines by name, such as
    query, metric, data_version. `made_at` is when it was exported.
    """

    title: str = ""
    words: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    made_at: datetime | None = None

    def lines(self, rows: int, rows_whole: int) -> dict[str, str]:
        """Return everything by name, with how many rows there are and whether that is all."""
        own = {"title": self.title, "about": self.words}
        own |= {"made_at": self.made_at.isoformat(timespec="seconds")} if self.made_at else {}
        return {
            "rows": str(rows),
            "rows_whole": str(rows_whole),
            "complete": "true" if rows == rows_whole else "false",
            **{name: value for name, value in own.items() if value},
            **{name: value for name, value in self.facts.items() if value},
        }


@dataclass(frozen=True, slots=True)
class Written:
    """What became of an export: rows in the file, rows there are, and what to tell the reader."""

    rows: int
    rows_whole: int
    notes: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every row is in the file."""
        return self.rows == self.rows_whole

    @property
    def said(self) -> str:
        """How much it is, in words: "3 of 4 rows: cut at ..."."""
        shown = f"{self.rows:,} of {self.rows_whole:,} rows"
        return f"{shown}: {'complete' if self.is_complete else self.notes[0]}"


# --- text that a spreadsheet would run -------------------------------------------------------


def neutral(text: pl.Expr) -> pl.Expr:
    """Return text that no spreadsheet takes for a formula; all other text as it is."""
    safe = text.str.replace_all(_FORMULA_WITHIN, "${1}'${2}")
    return pl.when(text.str.contains(_FORMULA)).then(pl.lit("'") + safe).otherwise(safe)


def _neutral_names(frame: pl.DataFrame) -> pl.DataFrame:
    """Neutralise the columns' names too: a metadata key or a query can call one anything."""
    names = pl.DataFrame({"name": frame.columns}, schema={"name": pl.String})
    safe = names.select(neutral(pl.col("name"))).to_series().to_list()
    if safe == frame.columns:
        return frame
    taken: set[str] = set()
    for number, name in enumerate(safe):
        while safe[number] in taken:
            safe[number] = f"{name}_{number}"
        taken.add(safe[number])
    return frame.rename(dict(zip(frame.columns, safe, strict=True)))


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame as CSV can hold it: lists and times as text, and no formula."""
    flat = pl.DataFrame([_text_of(frame[name], kind) for name, kind in frame.schema.items()])
    return _without_formulas(flat)


def _in_cells(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame as a sheet can hold it: as in CSV, but times stay times where they can."""
    return _without_formulas(pl.DataFrame([_cells_of(column) for column in frame]))


def _cells_of(column: pl.Series) -> pl.Series:
    if _is_time_of_a_sheet(column):
        return _clock(column)
    if column.dtype == pl.Date and not column.is_between(date.min, date.max).all():
        return column.cast(pl.String)
    return _text_of(column, column.dtype)


def _is_time_of_a_sheet(column: pl.Series) -> bool:
    """Tell whether a sheet's calendar holds each of these times to the last digit."""
    if not isinstance(column.dtype, pl.Datetime):
        return False
    clock = _clock(column)
    is_kept = (clock.dt.date().is_between(EXCEL_FROM, EXCEL_TO)) & (
        clock == clock.dt.truncate("1ms")
    )
    return bool(is_kept.all())  # a gap is kept


def _clock(column: pl.Series) -> pl.Series:
    zoned = isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None
    return column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zoned else column


def _without_formulas(flat: pl.DataFrame) -> pl.DataFrame:
    # by name, not `pl.col`: a query may call a column "^x$", which is a pattern there
    texts = [pl.selectors.by_name(name) for name, kind in flat.schema.items() if kind == pl.String]
    return _neutral_names(flat.with_columns(neutral(text).name.keep() for text in texts))


def _text_of(column: pl.Series, kind: pl.DataType) -> pl.Series:
    """Return a column as numbers, days, flags or text: whatever else it holds becomes text."""
    if isinstance(kind, pl.Datetime):
        digits = {"ms": "%.3f", "us": "%.6f", "ns": "%.9f"}[kind.time_unit]
        local = column if kind.time_zone is None else column.dt.convert_time_zone("UTC")
        return local.dt.strftime(
            f"%Y-%m-%dT%H:%M:%S{digits}{'' if kind.time_zone is None else 'Z'}"
        )
    if isinstance(kind, pl.Duration):
        return column.dt.to_string("iso")
    if isinstance(kind, pl.Time | pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if isinstance(kind, pl.List) and not kind.inner.is_nested() and kind.inner != pl.Binary:
        return column.cast(pl.List(pl.String)).list.join("; ")
    if kind.is_nested() or kind in (pl.Binary, pl.Object):
        said = [None if value is None else _said(value) for value in column.to_list()]
        return pl.Series(column.name, said, dtype=pl.String)
    return column


def _said(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return json.dumps(value, ensure_ascii=False, default=_said_plainly)


def _said_plainly(value: object) -> str:
    return _said(value) if isinstance(value, bytes) else str(value)


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with what JSON has no word for, bytes and objects, as text."""
    odd = [name for name, kind in frame.schema.items() if kind in (pl.Binary, pl.Object)]
    return frame.with_columns(_text_of(frame[name], frame.schema[name]) for name in odd)


# --- one slice after the other ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rows:
    """A frame in memory, or a plan's rows on disk, a slice at a time."""

    source: pl.DataFrame | pl.LazyFrame
    schema: pl.Schema
    rows_whole: int
    rows: int

    def slices(self) -> Iterator[pl.DataFrame]:
        """Return the rows in order, never more than ROWS_AT_ONCE at a time; at least one slice."""
        if not self.rows:
            yield pl.DataFrame(schema=self.schema)
        for start in range(0, self.rows, ROWS_AT_ONCE):
            part = self.source.slice(start, min(ROWS_AT_ONCE, self.rows - start))
            yield part.collect() if isinstance(part, pl.LazyFrame) else part


@contextlib.contextmanager
def _opened(source: pl.DataFrame | pl.LazyFrame, rows_max: int) -> Iterator[_Rows]:
    """Open the rows; a plan is first run into a temporary file, which knows how many there are."""
    if isinstance(source, pl.DataFrame):
        yield _Rows(source, source.schema, source.height, min(source.height, rows_max))
        return
    with tempfile.TemporaryDirectory(prefix="betascope-export-") as folder:
        path = Path(folder) / "rows.parquet"
        source.sink_parquet(path, row_group_size=ROWS_AT_ONCE, compression="lz4")
        found = pl.scan_parquet(path)
        whole = int(found.select(pl.len()).collect().item())
        yield _Rows(found, found.collect_schema(), whole, min(whole, rows_max))


def _write_csv(rows: _Rows, file: IO[bytes], _: About, tick: Callable[[int], None]) -> list[str]:
    for number, part in enumerate(rows.slices()):
        _flat(part).write_csv(file, include_header=number == 0)
        tick(part.height)
    return []


def _write_jsonl(rows: _Rows, file: IO[bytes], _: About, tick: Callable[[int], None]) -> list[str]:
    for part in rows.slices():
        if part.height:
            _plain(part).write_ndjson(file)
        tick(part.height)
    return []


def _write_parquet(
    rows: _Rows, file: IO[bytes], about: About, tick: Callable[[int], None]
) -> list[str]:
    facts = about.lines(rows.rows, rows.rows_whole)
    whole = rows.source.lazy().head(rows.rows)
    try:
        whole.sink_parquet(file, metadata=facts, row_group_size=ROWS_AT_ONCE)
    except pl.exceptions.ComputeError as error:  # the rows are there: only writing can fail
        raise OSError(str(error)) from None
    tick(rows.rows)
    return []


def _write_excel(
    rows: _Rows, file: IO[bytes], about: About, tick: Callable[[int], None]
) -> list[str]:
    from xlsxwriter import Workbook  # noqa: PLC0415 - 60 ms that only this export needs
    from xlsxwriter.exceptions import FileCreateError  # noqa: PLC0415 - the same

    if len(rows.schema) > EXCEL_COLUMNS_MAX:
        raise ValueError(
            f"A sheet has {EXCEL_COLUMNS_MAX:,} columns and these rows {len(rows.schema):,}. "
            "Choose CSV or Parquet."
        )
    options = {
        "constant_memory": rows.rows > EXCEL_HELD_ROWS,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with tempfile.TemporaryDirectory(prefix="betascope-export-") as folder:
        into = _Forgiving(file)
        book = Workbook(into, {**options, "tmpdir": folder})
        if rows.rows > EXCEL_HELD_ROWS:
            book.use_zip64()
        try:
            notes = _fill(book, rows, about, tick)
            book.close()
        except FileCreateError as error:
            raise OSError(str(error)) from None
        finally:
            into.file = io.BytesIO()
    return notes


@dataclass(slots=True)
class _Forgiving:
    """A file for a zip archive, which writes its end even after it failed: then to nowhere."""

    file: IO[bytes]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all that a file has
        return getattr(self.file, name)


def _fill(book: Workbook, rows: _Rows, about: About, tick: Callable[[int], None]) -> list[str]:
    """Write the rows, what they are and the workbook's properties; return what is to be said."""
    kinds = rows.schema.dtypes()
    sheet = book.add_worksheet("Rows")
    bold = book.add_format({"bold": True})
    formats = [book.add_format({"num_format": _cell_format(kind)}) for kind in kinds]
    for column, kind in enumerate(kinds):
        if kind.is_temporal():  # too narrow, a sheet shows #### instead
            sheet.set_column(column, column, EXCEL_TIME_CHARS)
    sheet.freeze_panes(1, 0)
    at = long_texts = 0
    for part in rows.slices():
        flat = _in_cells(part)
        if not at:
            sheet.write_row(0, 0, [_cell_text(name) for name in flat.columns], bold)
        for values in flat.iter_rows():
            at += 1
            long_texts += _write_row(sheet, at, values, formats)
        tick(part.height)
    notes = [f"cut at {_excel_limit(rows)}"] if rows.rows < rows.rows_whole else []
    if long_texts:
        notes.append(f"{long_texts:,} texts cut at {EXCEL_CELL_CHARS_MAX:,} characters")
    _about_sheet(book.add_worksheet("About"), rows, about, notes)
    facts = about.lines(rows.rows, rows.rows_whole)
    book.set_properties(
        {
            "title": about.title[:EXCEL_PROPERTY_CHARS_MAX],
            "comments": about.words[:EXCEL_PROPERTY_CHARS_MAX],
            **({"created": about.made_at.replace(tzinfo=None)} if about.made_at else {}),
        }
    )
    for name, value in facts.items():
        book.set_custom_property(name, value[:EXCEL_PROPERTY_CHARS_MAX], "text")
    return notes


def _excel_limit(rows: _Rows) -> str:
    at_sheet = rows.rows == EXCEL_ROWS_MAX
    return "the sheet's limit" if at_sheet else f"the limit of {rows.rows:,} rows"


def _cell_format(kind: pl.DataType) -> str:
    """Return how a sheet writes a column; the Z says that a time is in UTC, as in CSV."""
    if kind == pl.Date:
        return "yyyy-mm-dd"
    if isinstance(kind, pl.Datetime):
        return 'yyyy-mm-dd hh:mm:ss.000"Z"' if kind.time_zone else "yyyy-mm-dd hh:mm:ss.000"
    return "General"


def _write_row(
    sheet: Worksheet, at: int, values: tuple[Any, ...], formats: list[CellFormat]
) -> int:
    """Write one row of cells and return how many texts did not fit."""
    cut = 0
    for column, value in enumerate(values):
        if value is None:
            continue
        if isinstance(value, str):
            sheet.write_string(at, column, _cell_text(value))
            cut += len(value) > EXCEL_CELL_CHARS_MAX
        elif isinstance(value, bool):
            sheet.write_boolean(at, column, value)
        elif isinstance(value, datetime) or (isinstance(value, date) and value >= EXCEL_FROM):
            sheet.write_datetime(at, column, value, formats[column])
        elif isinstance(value, date):
            sheet.write_string(at, column, value.isoformat())
        elif math.isfinite(value) and _is_exact(value):
            sheet.write_number(at, column, value)
        else:
            sheet.write_string(at, column, str(value))
    return cut


def _is_exact(value: Any) -> bool:  # noqa: ANN401 - int, float or Decimal
    """Tell whether a sheet keeps every digit of a whole number or a decimal."""
    if isinstance(value, float):
        return True  # a measure: its last digits are noise
    if isinstance(value, int):
        return abs(value) < 10**EXCEL_DIGITS_MAX
    return len(str(value).replace(".", "").strip("-0")) <= EXCEL_DIGITS_MAX


def _cell_text(text: str) -> str:
    return text[:EXCEL_CELL_CHARS_MAX]


def _about_sheet(sheet: Worksheet, rows: _Rows, about: About, notes: list[str]) -> None:
    sheet.write_string(0, 0, Written(rows.rows, rows.rows_whole, tuple(notes)).said)
    sheet.write_string(1, 0, _cell_text(about.words))
    at = 3
    for note in notes:
        sheet.write_string(at, 0, note)
        at += 1
    for name, value in about.lines(rows.rows, rows.rows_whole).items():
        sheet.write_string(at, 0, name)
        sheet.write_string(at, 1, _cell_text(value))
        at += 1


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file: what it is called, how it is written, and what browsers call it."""

    label: str
    write: Callable[[_Rows, IO[bytes], About, Callable[[int], None]], list[str]]
    mime: str


_FORMATS: Final = {
    "csv": Format("CSV", _write_csv, "text/csv"),
    "parquet": Format("Parquet", _write_parquet, "application/vnd.apache.parquet"),
    "jsonl": Format("JSONL", _write_jsonl, "application/x-ndjson"),
    "xlsx": Format(
        "Excel",
        _write_excel,
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
}


# --- whole files -----------------------------------------------------------------------------


def rows_max_of(ending: str, limit: int = ROWS_MAX) -> int:
    """Return how many rows a file of this kind may have: a sheet has a limit of its own."""
    return min(limit, EXCEL_ROWS_MAX) if ending == "xlsx" else limit


def write(
    source: pl.DataFrame | pl.LazyFrame,
    path: Path,
    ending: str,
    about: About | None = None,
    *,
    limit: int = ROWS_MAX,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Write rows to a file and return how many they were; a file that is there is replaced.

    Nothing is seen at `path` before the file is whole: it is written beside it and renamed. A plan
    is run into a temporary file and read from there, so neither needs memory for all its rows.

    Parameters
    ----------
    ending : "csv", "parquet", "jsonl" or "xlsx".
    about : what the rows are. For the formats of SIDECARS, `sidecar` says it beside the file.
    limit : rows of one file; what is above is left out, and `Written` says so.
    progress : called with the rows written so far and the rows there will be.
    """
    with _whole(path) as part, _opened(source, rows_max_of(ending, limit)) as rows:
        return _written(rows, part, ending, about or About(), progress)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file; nothing is seen at `path` before it is whole."""
    with _whole(path) as part:
        part.write(content)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file beside `path` that takes its place at the end, or leaves no trace."""
    part = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed below, whatever happens
        dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part", delete=False
    )
    try:
        with part:
            yield part
        Path(part.name).chmod(0o666 & ~_umask())
        Path(part.name).replace(path)
    except BaseException:
        Path(part.name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """Return what the user takes away from new files: a temporary one is theirs alone."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _written(
    rows: _Rows,
    file: IO[bytes],
    ending: str,
    about: About,
    progress: Callable[[int, int], None] | None,
) -> Written:
    done = 0

    def tick(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, rows.rows)

    notes = _FORMATS[ending].write(rows, file, about, tick)
    if rows.rows < rows.rows_whole and not notes:
        notes = [f"cut at the limit of {rows.rows:,} rows"]
    return Written(rows.rows, rows.rows_whole, tuple(notes))


def chunks(
    source: pl.DataFrame | pl.LazyFrame, ending: str, *, limit: int = ROWS_MAX
) -> Iterator[bytes]:
    """Return CSV or JSON lines in pieces, for a response that is sent while it is made."""
    if ending not in SIDECARS:
        raise ValueError(f"{ending!r} is not sent in pieces. Use {' or '.join(SIDECARS)}.")
    with _opened(source, rows_max_of(ending, limit)) as rows:
        for number, part in enumerate(rows.slices()):
            if ending == "csv":
                yield _flat(part).write_csv(include_header=number == 0).encode()
            elif part.height:
                yield _plain(part).write_ndjson().encode()


def to_bytes(
    source: pl.DataFrame | pl.LazyFrame,
    ending: str,
    about: About | str = "",
    *,
    limit: int = ROWS_MAX,
) -> bytes:
    """Return a whole file in memory: for few rows."""
    buffer = io.BytesIO()
    said = about if isinstance(about, About) else About(words=about)
    with _opened(source, rows_max_of(ending, limit)) as rows:
        _written(rows, buffer, ending, said, None)
    return buffer.getvalue()


def to_csv(frame: pl.DataFrame, *, about: About | str = "") -> bytes:
    """Return the frame as CSV, UTF-8 with a header row. `about` goes beside it: `sidecar`."""
    return to_bytes(frame, "csv", about)


def to_parquet(frame: pl.DataFrame, *, about: About | str = "") -> bytes:
    """Return the frame as Parquet, types kept; row count and `about` are in its metadata."""
    return to_bytes(frame, "parquet", about)


def to_jsonl(frame: pl.DataFrame, *, about: About | str = "") -> bytes:
    """Return the frame as JSON lines, one object per row. `about` goes beside it: `sidecar`."""
    return to_bytes(frame, "jsonl", about)


def to_excel(frame: pl.DataFrame, *, about: About | str = "") -> bytes:
    """Return the frame as an Excel workbook: the rows, and a sheet that says what they are.

    A sheet holds at most EXCEL_ROWS_MAX rows; where the frame has more, the second sheet says so.
    """
    return to_bytes(frame, "xlsx", about)


# file ending -> (label, writer, MIME type)
FORMATS: Final[dict[str, tuple[str, Callable[..., bytes], str]]] = {
    "csv": (_FORMATS["csv"].label, to_csv, _FORMATS["csv"].mime),
    "parquet": (_FORMATS["parquet"].label, to_parquet, _FORMATS["parquet"].mime),
    "jsonl": (_FORMATS["jsonl"].label, to_jsonl, _FORMATS["jsonl"].mime),
    "xlsx": (_FORMATS["xlsx"].label, to_excel, _FORMATS["xlsx"].mime),
}


# --- beside the file -------------------------------------------------------------------------


def sidecar_name(name: str) -> str:
    """Return what the file about a CSV or JSONL file is called, as the W3C's CSVW has it."""
    return f"{name}-metadata.json"


def sidecar(name: str, schema: pl.Schema, written: Written, about: About) -> bytes:
    """Return the facts about a file that has no place for them, as JSON beside it.

    The form is that of "CSV on the Web" (`<name>.csv-metadata.json`), which tools find by the name.
    """
    facts = about.lines(written.rows, written.rows_whole)
    said = {
        "@context": "http://www.w3.org/ns/csvw",
        "url": name,
        **{f"dc:{key}": facts[own] for key, own in _DUBLIN.items() if own in facts},
        "rows": written.rows,
        "rows_whole": written.rows_whole,
        "complete": written.is_complete,
        "said": written.said,
        **{key: value for key, value in facts.items() if key not in _COUNTED},
        "tableSchema": {
            "columns": [{"name": column, "datatype": str(kind)} for column, kind in schema.items()]
        },
    }
    return (json.dumps(said, ensure_ascii=False, indent=2) + "\n").encode()


_DUBLIN: Final = {"title": "title", "description": "about", "created": "made_at"}
_COUNTED: Final = ("rows", "rows_whole", "complete")


def stem_of(text: str) -> str:
    """Return a file name's stem made of a text: lower-case letters, digits and hyphens alone."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:STEM_CHARS_MAX].strip("-") or "rows"
