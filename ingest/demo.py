"""Writes the demo as a home: a believable beta, the same one for the same seed and dates.

The story is in `demo_script`, the people in `demo_cast`, what they do in `demo_session`. It never
touches a home it did not make.
"""

from __future__ import annotations

import json
import random
import shlex
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import accumulate
from math import exp
from operator import itemgetter
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from ingest import demo_script as script
from ingest.demo_cast import HOUR_WHEEL, Person, cast, no_shows
from ingest.demo_reports import write_reports
from ingest.demo_session import Rows, Session, Show, iso
from ingest.migrate import open_database
from ingest.vocabulary import (
    COLUMNAR_FOLDER,
    DATABASE_FILE,
    DEMO_FILE,
    INBOX_FOLDER,
    LOG_FOLDER,
    PIPELINE_FOLDER,
    SETTINGS_FILE,
    CortexEventName,
)
from ingest.writer import insert_rows

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Row = tuple[Any, ...]

__all__ = ["DemoRefused", "DemoSummary", "add_arguments", "run", "write_demo"]

EVENTS_DEFAULT: Final = 60_000
DAYS_DEFAULT: Final = 120
SEED_DEFAULT: Final = 7
EVENTS_MIN, EVENTS_MAX = 1_000, 20_000_000
DAYS_MIN, DAYS_MAX = 30, 1_500
BATCH_ROWS: Final = 20_000
SPARE_MS: Final = 60_000  # between the last event of the last day and its midnight
_NAME = CortexEventName
_TIME_OF: Final = itemgetter(1)
_TIME_AND_ID: Final = itemgetter(1, 0)


class DemoRefused(RuntimeError):  # noqa: N818 - a refusal, not a failure: nothing was written
    """The demo was not written. The message says why, where, and what to do."""


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """What was written, and the turning points of the story."""

    home: Path
    events: int
    errors: int
    traces: int
    sessions: int
    users: int
    testers: int
    start: date
    end: date
    open_beta: date
    releases: tuple[tuple[str, date], ...]
    bad_release: str
    incident: tuple[datetime, datetime]


def write_demo(
    home: Path,
    *,
    events: int = EVENTS_DEFAULT,
    days: int = DAYS_DEFAULT,
    seed: int = SEED_DEFAULT,
    end: date,
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> DemoSummary:
    """Write a demo home: telemetry.db, telemetry.toml, the clients' reports and the DEMO marker.

    The database is made aside and moved into place when it is whole, so that an interrupted
    demo leaves what was there before.

    Parameters
    ----------
    home : the folder to write; made when missing.
    events : how many rows telemetry_events gets, exactly.
    days : how many whole UTC days the data covers; the last one is the day before `end`.
    seed : another seed is another beta.
    end : the first day without data.
    replace : overwrite the demo that is already there.
    progress : called with (events written, events wanted) now and then.

    Raises
    ------
    DemoRefused : when the home holds anything the demo did not make, or the size is impossible.
    """
    _check_size(events, days)
    _check_home(home, replace=replace)
    rng = random.Random(seed)  # noqa: S311 - made-up data wants a seed, not secrecy
    story = script.story_of(end, days)
    people, sessions = cast(rng, story, events=events, seed=seed)
    home.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=home, prefix=".demo-") as aside:
        made = Path(aside) / DATABASE_FILE
        counts = _write_database(
            made, _play(rng, story, people, sessions, events), lambda n: _tell(progress, n, events)
        )
        write_reports(Path(aside), made, story.incident_ms)
        testers = [person.user for person in people if person.tester] + no_shows(seed)
        _put_in_place(home, made, _settings(story, testers), _marker(events, days, seed, end))
    start, stop = (datetime.fromtimestamp(at / 1000, UTC) for at in story.incident_ms)
    return DemoSummary(
        **counts,
        home=home,
        users=sum(person.last_day >= 0 for person in people),
        testers=len(testers),
        start=story.start,
        end=end,
        open_beta=story.date_of(story.open_day),
        releases=tuple(
            (name, story.date_of(day))
            for name, day in zip(script.RELEASES, story.release_days, strict=True)
        ),
        bad_release=script.RELEASES[script.BAD_RELEASE],
        incident=(start, stop),
    )


def _tell(progress: Callable[[int, int], None] | None, written: int, wanted: int) -> None:
    if progress is not None:
        progress(written, wanted)


# --- the home -------------------------------------------------------------------------------------


def _check_size(events: int, days: int) -> None:
    for name, value, least, most in (
        ("events", events, EVENTS_MIN, EVENTS_MAX),
        ("days", days, DAYS_MIN, DAYS_MAX),
    ):
        if not least <= value <= most:
            raise DemoRefused(
                f"A demo of {value:,} {name} cannot be made. "
                f"Ask for {least:,} to {most:,}: `--{name} {min(max(value, least), most)}`."
            )


def _check_home(home: Path, *, replace: bool) -> None:
    """Refuse a home that holds anything the demo did not make."""
    elsewhere = "Name another folder with --home or TELEMETRY_HOME"
    if home.exists() and not home.is_dir():
        raise DemoRefused(f"{home} is a file, and a demo needs a folder. {elsewhere}.")
    own = next(_own_lines(home), None)
    if own is not None:
        raise DemoRefused(
            f"{own} holds events the demo did not make, so the demo stays out of {home}. "
            f"{elsewhere}, or move that file away first."
        )
    if not (home / DEMO_FILE).exists():
        for name in (DATABASE_FILE, SETTINGS_FILE):
            if (home / name).exists():
                raise DemoRefused(
                    f"{home / name} was not made by the demo, so the demo stays out of {home}. "
                    f"{elsewhere}."
                )
    elif (home / DATABASE_FILE).exists() and not replace:
        raise DemoRefused(
            f"{home} already holds a demo. Open it with `{_open_command(home)}`, "
            "or add --replace to make a new one in its place."
        )


def _own_lines(home: Path) -> Iterator[Path]:
    """Find event lines somebody else wrote: the log, the inbox, loose files."""
    for folder in (home / LOG_FOLDER, home / INBOX_FOLDER):
        yield from (path for path in sorted(folder.rglob("*")) if path.is_file())
    yield from sorted(home.glob("*.jsonl"))
    yield from sorted(home.glob("*.jsonl.gz"))


def _put_in_place(home: Path, made: Path, settings: str, marker: str) -> None:
    """Swap the finished demo in; the marker first, so that the home is never taken for real."""
    (home / DEMO_FILE).write_text(marker, encoding="utf-8")
    place = home / SETTINGS_FILE
    if place.exists() and place.read_text(encoding="utf-8") != settings:
        place.replace(place.with_name(f"{SETTINGS_FILE}.before"))  # somebody may have edited it
    place.write_text(settings, encoding="utf-8")
    rmtree(home / COLUMNAR_FOLDER, ignore_errors=True)  # derived from the rows that go now
    for suffix in ("-wal", "-shm"):  # of the database that goes; they would spoil the new one
        (home / f"{DATABASE_FILE}{suffix}").unlink(missing_ok=True)
    made.replace(home / DATABASE_FILE)
    rmtree(home / PIPELINE_FOLDER, ignore_errors=True)
    (made.parent / PIPELINE_FOLDER).replace(home / PIPELINE_FOLDER)


def _marker(events: int, days: int, seed: int, end: date) -> str:
    what = {"seed": seed, "events": events, "days": days, "end": end.isoformat()}
    return json.dumps(what) + "\n"


def _settings(story: script.Story, testers: Sequence[str]) -> str:
    listed = "".join(f'  "{user}",\n' for user in testers)
    return f"""\
# Settings of this telemetry home. Change a value, save, and reload the page.
# Lines that start with # are notes for people; the app does not read them.

# The first day of the open beta, as year-month-day.
open_beta_date = {story.date_of(story.open_day).isoformat()}

# Where your days begin and end: "UTC", or a place such as "Europe/Berlin" or "Asia/Seoul".
timezone = "UTC"

# The day a week starts on: "monday" or "sunday".
week_starts_on = "monday"

# The people invited to the closed beta, by their user_id_hash (never a name or an e-mail address).
# Everybody else belongs to the open beta. An empty list, [], means: whoever was first seen
# before open_beta_date.
testers = [
{listed}]
"""


# --- writing --------------------------------------------------------------------------------------


def _write_database(
    path: Path, days: Iterable[Rows], tell: Callable[[int], None]
) -> dict[str, int]:
    """Insert the rows day by day and return how many each table got."""
    counts = dict.fromkeys(Rows.TABLES, 0)
    with closing(open_database(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # a file made aside: all of it or nothing
        for day in days:
            for table, rows in day.take().items():
                counts[table] += _insert(connection, table, rows)
            tell(counts["events"])
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return counts


def _insert(connection: sqlite3.Connection, table: str, rows: list[Row]) -> int:
    new = 0
    for start in range(0, len(rows), BATCH_ROWS):
        connection.execute("BEGIN IMMEDIATE")
        new += insert_rows(connection, table, rows[start : start + BATCH_ROWS])
        connection.execute("COMMIT")
    return new


# --- the days -------------------------------------------------------------------------------------


def _play(
    rng: random.Random,
    story: script.Story,
    people: Sequence[Person],
    sessions: Sequence[Sequence[int]],
    events: int,
) -> Iterator[Rows]:
    """Yield the rows after each day; together they hold exactly `events` events."""
    rows = Rows()
    total, before, done = sum(map(len, sessions)), 0, 0
    for day, indexes in enumerate(sessions):
        before += len(indexes)
        quota = events * before // total - done
        done += quota
        shows = _shows(rng, story, day, [people[index] for index in indexes])
        for (start, person), length in zip(shows, _lengths(rng, shows, quota), strict=False):
            Session(rng, story, rows, Show(person, day, start, length)).play()
        rows.until = iso(story.start_ms + (day + 1) * script.DAY_MS)
        yield rows


def _shows(
    rng: random.Random, story: script.Story, day: int, players: Iterable[Person]
) -> list[tuple[int, Person]]:
    """Say when each session of the day starts: working hours where the person lives."""
    midnight = story.start_ms + day * script.DAY_MS
    shows = []
    for person in players:
        local = int(HOUR_WHEEL.draw(rng)) * script.HOUR_MS + rng.randrange(script.HOUR_MS)
        shows.append((midnight + (local - person.offset_ms) % script.DAY_MS, person))
    shows.sort(key=itemgetter(0))
    return shows


def _lengths(rng: random.Random, shows: Sequence[tuple[int, Person]], quota: int) -> list[int]:
    """Share the day's events among its sessions: uneven, none too short, the sum exact."""
    count = min(len(shows), quota // script.SESSION_EVENTS_MIN)
    if not count:
        return [quota] if shows and quota else []
    wishes = [
        exp(rng.gauss(0, 0.7)) * script.TIER_APPETITE[person.tier] for _, person in shows[:count]
    ]
    spare = quota - count * script.SESSION_EVENTS_MIN
    scale = spare / sum(wishes)
    ends = [round(end * scale) for end in accumulate(wishes)]
    ends[-1] = spare
    return [
        script.SESSION_EVENTS_MIN + end - start
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]


# --- the command line -----------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `python -m ingest demo`."""
    option = parser.add_argument
    option("--events", type=int, default=EVENTS_DEFAULT, metavar="N", help="events, exactly")
    option("--days", type=int, default=DAYS_DEFAULT, metavar="D", help="whole days of data")
    option("--seed", type=int, default=SEED_DEFAULT, metavar="S", help="another seed, another beta")
    option(
        "--end",
        type=date.fromisoformat,
        metavar="YYYY-MM-DD",
        help="the first day without data (default: today)",
    )
    option("--replace", action="store_true", help="make the demo that is there anew")


def run(arguments: argparse.Namespace, *, home: Path, today: date) -> int:
    """Write the demo the arguments ask for, tell how it goes, and return the exit code."""
    started = time.monotonic()
    line = _Progress(started)
    try:
        summary = write_demo(
            home,
            events=arguments.events,
            days=arguments.days,
            seed=arguments.seed,
            end=arguments.end or today,
            replace=arguments.replace,
            progress=line.show,
        )
    except DemoRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    except (OSError, sqlite3.Error) as error:
        sys.stderr.write(
            f"The demo could not be written to {home}: {error}. "
            "Check that the folder can be written to and has room, or name another one.\n"
        )
        return 1
    finally:
        line.close()
    sys.stdout.write(_summary_text(summary, time.monotonic() - started))
    return 0


@dataclass(slots=True)
class _Progress:
    """The progress line on stderr: redrawn on a terminal, every tenth elsewhere."""

    started: float
    shown: int = -1
    open: bool = False

    def show(self, done: int, wanted: int) -> None:
        """Show how far it is, at most once for each percent."""
        terminal = sys.stderr.isatty()
        percent = 100 * done // wanted
        if percent // (1 if terminal else 10) == self.shown // (1 if terminal else 10):
            return
        self.shown = percent
        speed = done / max(time.monotonic() - self.started, 0.001)
        text = f"demo: {percent:3d} %  {done:,} of {wanted:,} events, {speed:,.0f} per second"
        sys.stderr.write(f"\r{text}  " if terminal else f"{text}\n")
        sys.stderr.flush()
        self.open = terminal

    def close(self) -> None:
        """End the line, if one is being redrawn."""
        if self.open:
            sys.stderr.write("\n")


def _open_command(home: Path) -> str:
    return f"TELEMETRY_HOME={shlex.quote(str(home))} streamlit run app.py"


def _summary_text(made: DemoSummary, seconds: float) -> str:
    rows = made.events + made.errors + made.traces + made.sessions
    releases = ", ".join(f"{name} on {day:%d %b}" for name, day in made.releases)
    start, stop = made.incident
    return f"""\
A demo of {made.events:,} events is in {made.home}
  {made.start} to {made.end} (that day excluded), {made.users:,} people, {made.testers} testers,
  {made.errors:,} errors, {made.traces:,} traces, {made.sessions:,} sessions
  open beta from {made.open_beta}; releases {releases}
  {made.bad_release} slows rag_search down; an incident on {start:%d %b, %H:%M} to {stop:%H:%M} UTC
  {rows:,} rows in {seconds:.1f} seconds, {rows / max(seconds, 0.001):,.0f} per second
Open it with:
  {_open_command(made.home)}
"""
