"""Runs the log's retention once a day from inside a client, so that nobody has to remember it.

It has a thread of its own: compressing a day's log must not hold up what is written now.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

from ingest.vocabulary import LOG_FOLDER

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from ingest.boundary import Boundary
    from ingest.settings import IngestSettings

BUSY_TIMEOUT_S: Final = 0.5
_MARK: Final = ".retained-"


def tidy(home: Path, today: date, settings: IngestSettings, boundary: Boundary) -> bool:
    """Start the day's retention, unless another process did; tell whether it was started."""
    if not _is_first(home / LOG_FOLDER, today):
        return False
    threading.Thread(
        target=_retain, args=(home, today, settings, boundary), name="telemetry-tidy", daemon=True
    ).start()
    return True


def _is_first(log: Path, today: date) -> bool:
    """Leave the day's mark; only one process can be the first to."""
    mark = log / f"{_MARK}{today}"
    try:
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    for old in log.glob(f"{_MARK}*"):
        if old.name < mark.name:
            old.unlink(missing_ok=True)
    return True


def _retain(home: Path, today: date, settings: IngestSettings, boundary: Boundary) -> None:
    from ingest.retention import retain  # noqa: PLC0415 - once a day

    with boundary:
        retain(home, today=today, settings=settings, busy_timeout_s=BUSY_TIMEOUT_S)
