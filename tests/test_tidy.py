"""The log's retention runs once a day by itself, in one of the processes that write."""

from __future__ import annotations

import threading
import time
from datetime import UTC, date, datetime

from ingest.boundary import Boundary
from ingest.settings import IngestSettings
from ingest.tidy import tidy
from ingest.vocabulary import read_row
from ingest.writer import Writer
from tests.lines import event
from tests.said import NOON_S, client

TODAY = date(2026, 3, 1)


def wait_for_tidying() -> None:
    for thread in threading.enumerate():
        if thread.name == "telemetry-tidy":
            thread.join(20)


def old_log(home) -> None:
    then = Writer(home, now=lambda: datetime(2026, 1, 20, tzinfo=UTC), name="w")
    then.write(read_row(event(event_id="e1")))
    then.close()


def test_the_first_of_the_day_does_it_and_no_second(home):
    old_log(home)

    assert tidy(home, TODAY, IngestSettings(), Boundary(strict=True))
    wait_for_tidying()
    assert not tidy(home, TODAY, IngestSettings(), Boundary(strict=True))

    assert [path.name for path in home.glob("log/*/*")] == ["w-0001.jsonl.gz"]
    assert [path.name for path in home.glob("log/.*")] == [".retained-2026-03-01"]


def test_yesterdays_mark_is_cleared_away(home):
    old_log(home)
    (home / "log" / ".retained-2026-02-28").touch()

    tidy(home, TODAY, IngestSettings(), Boundary(strict=True))
    wait_for_tidying()

    assert [path.name for path in home.glob("log/.*")] == [".retained-2026-03-01"]


def test_a_client_that_runs_for_a_while_does_it(home):
    old_log(home)
    made = client(home, now=lambda: NOON_S)
    made.track("x", user_id="u1")
    made.flush()
    made._pipeline._worker._report_at = 0.0  # as if half a minute had passed
    made.track("x", user_id="u1")
    made.flush()
    deadline_s = time.monotonic() + 20
    while not list(home.glob("log/*/*.gz")) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    wait_for_tidying()
    made.close()

    assert [path.name for path in home.glob("log/2026-01-20/*")] == ["w-0001.jsonl.gz"]
