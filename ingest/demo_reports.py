"""The demo's clients' own counts: what they would have reported while the story happened."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ingest.counts import REASONS
from ingest.vocabulary import PIPELINE_FOLDER, TABLES

if TYPE_CHECKING:
    from pathlib import Path

DAYS_MAX: Final = 90  # as long as reports are kept
LOST_SHARE: Final = 40  # in the incident, one record in so many is lost: its clients are too busy
LEFT_OUT_SHARE: Final = 60  # one value in so many records is on no list


def write_reports(aside: Path, database: Path, incident_ms: tuple[int, int]) -> None:
    """Write a report per day and channel into `aside`/pipeline, from the rows of the database.

    Parameters
    ----------
    incident_ms : when the incident began and ended, in milliseconds since 1970.
    """
    folder = aside / PIPELINE_FOLDER
    folder.mkdir()
    began, ended = (_day(at) for at in incident_ms)
    for day, lines in list(_counted(database).items())[-DAYS_MAX:]:
        reports = [
            _report(day, channel, written, is_bad=channel == "server" and began <= day <= ended)
            for channel, written in lines
        ]
        (folder / f"{day}.jsonl").write_text("".join(reports), encoding="utf-8")


def _day(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%Y-%m-%d}"


def _counted(database: Path) -> dict[str, list[tuple[str, int]]]:
    """Return, by day in order, how many records each channel wrote."""
    rows = " UNION ALL ".join(
        f"SELECT substr(timestamp, 1, 10) AS day, channel FROM {TABLES[name].sql_name}"
        for name in ("events", "errors", "traces")
    )
    days: dict[str, list[tuple[str, int]]] = {}
    with closing(sqlite3.connect(database)) as connection:
        for day, channel, written in connection.execute(
            f"SELECT day, channel, count(*) FROM ({rows}) GROUP BY 1, 2 ORDER BY 1, 2"
        ):
            days.setdefault(day, []).append((channel, written))
    return days


def _report(day: str, channel: str, written: int, *, is_bad: bool) -> str:
    dropped = dict.fromkeys(REASONS, 0)
    if is_bad:
        dropped["buffer_full"] = written // LOST_SHARE
    report = {
        "at": f"{day}T23:59:30.000Z",
        "writer": f"demo-{channel}-{day}",
        "started_at": f"{day}T00:00:05.000Z",
        "channel": channel,
        "release": "",
        "written": written,
        "sampled_out": 0,
        "held": 0,
        "merged": 0,
        "flagged": written // LEFT_OUT_SHARE,
        "dropped": dropped,
        "buffered": 0,
        "faults": 0,
        "storing": None,
        "problems": [],
    }
    return json.dumps(report) + "\n"
