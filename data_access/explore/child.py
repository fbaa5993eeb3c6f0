"""The process that runs one query: it is told the home and the SQL, answers, and ends.

Started by `running`, never imported by the server. It reads one request from its standard input
and writes one reply to its standard output: a JSON header, then the answer as Arrow IPC.
"""

from __future__ import annotations

import difflib
import io
import json
import os
import pickle
import re
import select
import struct
import sys
import sysconfig
import threading
import time
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import polars as pl

from data_access.explore import limits
from data_access.explore.checked import check
from data_access.explore.frames import framed
from data_access.explore.refused import FAILED, MEMORY, MOVED, SIZE, QueryRefused
from data_access.explore.sandbox import Meter, close_doors, keep_small, limit
from data_access.schema import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from data_access.explore.checked import Checked
    from data_access.explore.running import Request

SIZE_FORMAT: Final = "<Q"
PART_BYTES: Final = 1024 * 1024
PART: Final = struct.pack(SIZE_FORMAT, 2**64 - 1)  # in the place of the header's size
ERROR_CHARS_MAX: Final = 600
# what to do about what the engine says, by a part of its words
_INSTEAD: Final = (
    ("subplan", "Join it: FROM events CROSS JOIN (SELECT MAX(day) AS last FROM events) AS m."),
    ("EXISTS", "Write IN (SELECT ...), or a JOIN."),
    ("window frame", "Write ROWS BETWEEN 6 PRECEDING AND CURRENT ROW, or leave the ROWS away."),
    ("to Boolean", "Compare it with what is true: release = 'yes'."),
    ("GROUP BY", "Name it in GROUP BY, or take a count, a sum, a minimum of it."),
    ("ambiguous", "Write the table's name before the column's."),
    ("no column named", "The columns are in the help."),
    ("conversion", "TRY_CAST gives null where that cannot be."),
    ("dtype", "CAST it to the type that is needed."),
    ("cannot compare", "CAST one of them to the type of the other."),
    ("regex", "Make the pattern simpler."),
    ("column", "Compare the names with those in the help."),
)
_OTHERWISE: Final = "Write it another way: the help has an example of each function."
_TWICE: Final = re.compile(r"duplicate output name '([^']*)'")
_DUMP: Final = re.compile(r"[: (\[]+[A-Z]\w+(?:\(| \{).*Span\(.*")  # what the engine's parser holds
_NAMED: Final = re.compile(r'column "([^"]*)"')
_SOURCES: Final = re.compile(r"(Parquet) SCAN \[(?:[^\]\n]*?)(?:\.\.\. (\d+) other sources)?\]")


def main() -> None:
    """Answer one request and end."""
    reply = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that prints gets between the lines
    keep_small()
    meter = Meter()
    guarded = close_doors(readable(Path(sys.argv[2])))
    _end_with_server(reply)
    _warm()
    reply.write(b"+" if guarded else b"-")
    reply.flush()
    idle = threading.Timer(limits.SPARE_IDLE_SECONDS_MAX, os._exit, [0])
    idle.daemon = True
    idle.start()
    request = _request()
    idle.cancel()
    if request is None:
        return
    limit(request.memory_mb, request.seconds, meter.held_bytes())
    header, body = _within_words(partial(_answered, request, reply))
    _send(reply, json.dumps(header).encode())
    _send(reply, body)
    reply.flush()
    os._exit(0)  # nothing of the engine's is worth an orderly end


def _end_with_server(reply: IO[bytes]) -> None:
    """End at once when the server is gone, however it went: nobody is left to read the reply."""
    if not hasattr(select, "poll"):  # on Windows, where the clock has to do
        return
    reader = select.poll()
    reader.register(reply, 0)  # that its other end was closed is told unasked

    def watch() -> None:
        reader.poll()
        os._exit(0)

    threading.Thread(target=watch, name="explore-watch", daemon=True).start()


def _send(reply: IO[bytes], part: bytes) -> None:
    reply.write(struct.pack(SIZE_FORMAT, len(part)))
    reply.write(part)


def _within_words(
    run: Callable[[], tuple[dict[str, Any], bytes]],
) -> tuple[dict[str, Any], bytes]:
    """Return what `run` does, or what became of it in words."""
    try:
        return run()
    except QueryRefused as error:
        refused = error
    except MemoryError:
        refused = QueryRefused("", kind=MEMORY)
    except (FileNotFoundError, PermissionError):
        refused = QueryRefused("", kind=MOVED)
    except Exception as error:  # noqa: BLE001 - whatever it is, the server is told of it
        words = f"The query cannot be answered ({type(error).__name__})."
        refused = QueryRefused(words, kind=FAILED)
    return _refused(refused), b""


def readable(copy: Path) -> list[Path]:
    """Return the folders a query's process reads: the copy, and the code that reads it."""
    code = Path(__file__).resolve().parents[2]
    paths = sysconfig.get_paths()
    libraries = {Path(pl.__file__).resolve().parents[1], *(Path(paths[one]) for one in _LIBRARIES)}
    return [copy, code / "data_access", code / "ingest", *libraries, Path("/usr/share/zoneinfo")]


_LIBRARIES: Final = ("stdlib", "platstdlib", "purelib", "platlib")


def _warm() -> None:
    """Load what a query would load, so that it does not wait for it."""
    frame = pl.LazyFrame({"n": [1]})
    checked = check("SELECT COUNT(*) AS n FROM events")
    pl.SQLContext(frames={"events": frame}, eager=False).execute(checked.sql).collect()


def _request() -> Request | None:
    """Read the request; None when the server has gone away without one."""
    with os.fdopen(0, "rb", closefd=False) as given:
        size = given.read(struct.calcsize(SIZE_FORMAT))
        if len(size) < struct.calcsize(SIZE_FORMAT):
            return None
        request: Request = pickle.loads(  # noqa: S301 - written by the server that started this
            given.read(struct.unpack(SIZE_FORMAT, size)[0])
        )
        return request


def _answered(request: Request, reply: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Return the header and the table; a whole answer's rows go ahead, in parts."""
    checked = check(request.sql, chars_max=request.chars, now=request.now, window=request.window)
    start = time.perf_counter()
    try:
        plan = _planned(request, checked)
        if request.whole:
            with io.BufferedWriter(_Parts(reply), PART_BYTES) as file:
                plan.head(request.rows + 1).sink_parquet(file)
            frame = pl.DataFrame(schema=plan.collect_schema())
        else:
            frame = plan.head(request.rows + 1).collect()
        seconds = time.perf_counter() - start
        words = _plan_words(plan, request)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _failed(error, checked, request.sql) from None
    header = {
        "truncated": frame.height > request.rows,
        "seconds": seconds,
        "plan": words,
        "ran": checked.sql,
    }
    return header, _packed(frame.head(request.rows))


class _Parts(io.RawIOBase):
    """A file that sends what is written to it; its parts come before the header."""

    def __init__(self, reply: IO[bytes]) -> None:
        self._reply = reply

    def write(self, part: Buffer) -> int:
        """Send a part, with its size before it."""
        data = bytes(part)
        if data:
            self._reply.write(PART)
            _send(self._reply, data)
        return len(data)

    def writable(self) -> bool:
        """Return that it takes what is written."""
        return True


def _planned(request: Request, checked: Checked) -> pl.LazyFrame:
    context = pl.SQLContext(frames=framed(request, checked), eager=False)
    plan = context.execute(checked.sql)
    plan = plan.drop([name for name in plan.collect_schema().names() if checked.is_hidden(name)])
    columns = len(plan.collect_schema())
    if columns > limits.COLUMNS_MAX:
        raise QueryRefused(
            f"The answer would have {columns:,} columns.",
            "",
            f"Name the ones you want, {limits.COLUMNS_MAX} at most.",
            kind=SIZE,
        )
    return plan


def _packed(frame: pl.DataFrame) -> bytes:
    written = io.BytesIO()
    try:
        frame.write_ipc(written, compression="uncompressed")
    except OSError as error:  # all that can happen to a file in memory
        raise MemoryError from error
    if written.tell() > limits.RESULT_BYTES_MAX:
        raise QueryRefused(
            f"The answer is {written.tell() / 1e6:,.0f} MB large.",
            "",
            f"Ask for fewer rows or columns: {limits.RESULT_BYTES_MAX / 1e6:,.0f} MB is the limit.",
            kind=SIZE,
        )
    return written.getvalue()


def _plan_words(plan: pl.LazyFrame, request: Request) -> str:
    """Return the plan as Polars tells it, without the names of files."""
    words = _SOURCES.sub(_as_count, plan.explain())
    words = words.replace(str(request.handed.folder), "")
    return words[: limits.PLAN_CHARS_MAX]


def _as_count(found: re.Match[str]) -> str:
    more = int(found[2] or 0)
    return f"{found[1]} SCAN [{more + 1} file{'s' if more else ''}]"


def _failed(error: BaseException, checked: Checked, sql: str) -> QueryRefused:
    """Return what Polars said in one line, without its own plan of what it was doing."""
    said = str(error).partition("\n\nResolved plan until failure")[0].strip()
    said = said.partition("\n\nThis error occurred")[0]
    said = checked.as_written(" ".join(said.split()))[:ERROR_CHARS_MAX].rstrip(".")
    if "memory" in said.lower() and "alloc" in said.lower():
        return QueryRefused("", kind=MEMORY)
    said = _DUMP.sub("", said)
    if isinstance(error, pl.exceptions.ColumnNotFoundError):
        return _no_column(said, checked, sql)
    twice = _TWICE.search(said)
    if twice:
        return QueryRefused(
            "Two columns have the same name:",
            _where(twice[1], sql),
            "Call one of them otherwise: b.event_name AS next.",
            kind=FAILED,
        )
    if "maximum length" in said:
        return QueryRefused(
            "The query has more than 4 billion rows on its way.",
            "",
            "Join on a column, or count each table before joining.",
            kind=SIZE,
        )
    instead = next((words for needle, words in _INSTEAD if needle in said), _OTHERWISE)
    return QueryRefused("The query cannot be answered:", f"{said}.", instead, kind=FAILED)


def _where(name: str, sql: str) -> str:
    """Return a name, and the line of the query it is first met in."""
    found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", sql, re.IGNORECASE)
    return f"{name} (line {sql.count(chr(10), 0, found.start()) + 1})." if found else f"{name}."


def _no_column(said: str, checked: Checked, sql: str) -> QueryRefused:
    found = _NAMED.search(said)
    name = found[1] if found else ""
    known = sorted({column for schema in SCHEMAS.values() for column in schema})
    like = [one for one in known if name and one.startswith(name)]
    like += difflib.get_close_matches(name, known, 1)
    if f' AS "{name}"' in checked.sql:
        instead = "A name given in SELECT is not known in it: write out what it stands for."
    elif like and like[0] != name:  # it may be a column of another table
        instead = f"Did you mean {like[0]}?"
    elif any(name in SCHEMAS[table] for table in checked.tables):
        instead = "This table, or this part of the query, has none: SELECT it there as well."
    elif name.isidentifier():
        instead = f"A key of the metadata is written metadata.{name}; the columns are in the help."
    else:
        instead = "The columns are in the help."
    return QueryRefused(
        "There is no such column:",
        _where(name or said.partition(";")[0], sql),
        instead,
        kind=FAILED,
    )


def _refused(error: QueryRefused) -> dict[str, Any]:
    return {
        "what": error.what,
        "where": error.where,
        "what_to_do": error.what_to_do,
        "kind": error.kind,
    }
