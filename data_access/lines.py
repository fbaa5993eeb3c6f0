"""Reading one JSON-lines file, inbox or log, through the vocabulary, from a byte offset on."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ingest.vocabulary import (
    LOG_FOLDER,
    TABLES,
    LineIds,
    Refused,
    is_gzip,
    parse_json,
    read_row,
    row_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from data_access.home import Home

BATCH_LINES: Final = 100_000


@dataclass(slots=True)
class FileReader:
    """Reads one JSONL file from a byte offset on, line by line, through the vocabulary."""

    home: Home
    path: Path
    start: int = 0
    end: int = 0
    refused: int = 0
    flagged: int = 0
    trouble: str = ""

    def batches(self) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
        """Yield rows by table, BATCH_LINES lines at a time; stops at an unfinished line."""
        self.end = self.start
        ids, salt = LineIds(), self.home.salt()
        in_log = is_log(self.home, self.path)
        key, sealed = log_key(self.home, self.path), self.path.suffix == ".gz"
        rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
        count = 0
        try:
            with self._open() as file:
                file.seek(self.start)
                for line in file:
                    if in_log and not line.endswith(b"\n") and not sealed:
                        break  # being written at this moment
                    event_id = (
                        partial(row_id, "log", key, self.end) if in_log else partial(ids.of, line)
                    )
                    self.end += len(line)
                    self._take(line, event_id, salt, rows)
                    count += 1
                    if count % BATCH_LINES == 0:
                        yield rows
                        rows = {name: [] for name in TABLES}
        except (OSError, EOFError, zlib.error) as error:  # gone, unreadable, or a .gz cut in half
            self.trouble = str(error) or type(error).__name__
        yield rows

    def _open(self) -> Any:  # noqa: ANN401 - a binary file of either kind
        with self.path.open("rb") as file:  # by its content: a name may say otherwise
            packed = is_gzip(file.read(2))
        return gzip.open(self.path) if packed else self.path.open("rb")

    def _take(
        self,
        line: bytes,
        event_id: Callable[[], str],
        salt: bytes,
        rows: dict[str, list[tuple[Any, ...]]],
    ) -> None:
        if not line.strip():
            return
        try:
            for row in read_row(parse_json(line), event_id=event_id, salt=salt):
                rows[row.table].append(row.values)
                self.flagged += bool(row.flags)
        except (Refused, ValueError, RecursionError):
            self.refused += 1


def is_log(home: Home, path: Path) -> bool:
    """Tell whether a file is part of the event log, which somebody may be writing to."""
    return path.parent.parent.name == LOG_FOLDER and path.parent.parent.parent == home.root


def log_key(home: Home, path: Path) -> str:
    """Return the name telemetry_log_files has for a file, compressed or not."""
    return home.name_of(path).removesuffix(".gz")
