"""What the team itself wrote into a home: notes on the time axis, and people saved by name.

It reads two small files and no telemetry; `sources` tells who is in a segment.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from data_access.errors import Problem, counted
from data_access.home import Home, open_home
from ingest.vocabulary import (
    NOTE_CHARS_MAX,
    NOTES_FILE,
    SEGMENT_NAME_CHARS_MAX,
    SEGMENT_USERS_MAX,
    SEGMENTS_FILE,
    TEAM_FILE_BYTES_MAX,
    TEAM_FOLDER,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEGMENTS_MAX: Final = 200  # the latest ones; a longer list helps nobody choose
NOTES_MAX: Final = 1_000
_DAY_CHARS: Final = 10


@dataclass(frozen=True, slots=True)
class Note:
    """A remark of the team about a day (`at` is a date) or an instant (a UTC datetime)."""

    id: str
    at: date
    text: str
    who: str = ""
    written_at: datetime | None = None

    @property
    def day(self) -> date:
        """The calendar day, UTC for an instant."""
        return self.at.date() if isinstance(self.at, datetime) else self.at


@dataclass(frozen=True, slots=True)
class Segment:
    """People saved by name: a list of user hashes, or the filters (as in a link) they match."""

    name: str
    users: tuple[str, ...] = ()
    query: str = ""
    who: str = ""
    written_at: datetime | None = None


@dataclass(slots=True)
class _Read:
    """One file read to its end: the later line of a key replaces the earlier, or removes it."""

    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: int = 0
    trouble: str = ""


Made = TypeVar("Made")


def notes(home: str | Path | None = None) -> list[Note]:
    """Return the team's notes, oldest day first. Not part of `version`: ask each time."""
    return _sorted_notes(_made(_read(open_home(home), NOTES_FILE, "id"), _note))


def segments(home: str | Path | None = None) -> dict[str, Segment]:
    """Return the saved segments by name, in the order of the alphabet."""
    return segments_of(open_home(home))


def segments_of(home: Home) -> dict[str, Segment]:
    """Return the saved segments of a home that is open already."""
    made = _made(_read(home, SEGMENTS_FILE, "name"), _segment)
    return {one.name: one for one in sorted(made[-SEGMENTS_MAX:], key=lambda one: one.name)}


def team_problems(home: Home) -> list[Problem]:
    """Return what in the team's files could not be read."""
    found = []
    for name, key, make in ((NOTES_FILE, "id", _note), (SEGMENTS_FILE, "name", _segment)):
        read = _read(home, name, key)
        _made(read, make)
        where = f"{TEAM_FOLDER}/{name}"
        if read.trouble:
            found.append(
                Problem("unreadable", where, f"{where} cannot be read: {read.trouble}.", "Mend it.")
            )
        if read.refused:
            lines = counted(read.refused, "line")
            found.append(
                Problem(
                    "unreadable",
                    where,
                    f"{lines} of {where} cannot be understood and {_is(read.refused)} left out.",
                    "Mend or delete them in the file.",
                    read.refused,
                )
            )
    return found


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _read(home: Home, name: str, key: str) -> _Read:
    read = _Read()
    if home.path != home.root:
        return read  # a single file has no team folder of its own
    try:
        with (home.root / TEAM_FOLDER / name).open("rb") as file:
            content = file.read(TEAM_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return read
    except OSError as error:
        read.trouble = error.strerror or str(error)
        return read
    if len(content) > TEAM_FILE_BYTES_MAX:
        read.trouble = f"it is longer than {TEAM_FILE_BYTES_MAX:,} bytes; the rest is left out"
    for line in content[:TEAM_FILE_BYTES_MAX].splitlines():
        if line.strip():
            _take(line, key, read)
    return read


def _take(line: bytes, key: str, read: _Read) -> None:
    try:
        said = json.loads(line)
        named = said[key]
    except (ValueError, RecursionError, TypeError, KeyError):
        read.refused += 1
        return
    if not isinstance(named, str) or not named:
        read.refused += 1
        return
    read.kept.pop(named, None)  # what was said last comes last
    if said.get("removed") is not True:
        read.kept[named] = said


def _made(read: _Read, make: Callable[[dict[str, Any]], Made]) -> list[Made]:
    made = []
    for said in read.kept.values():
        try:
            made.append(make(said))
        except (ValueError, TypeError, KeyError, OverflowError):
            read.refused += 1
    return made


def _note(said: dict[str, Any]) -> Note:
    at, text = str(said["at"]), said["text"]
    if not isinstance(text, str) or not text.strip():
        raise ValueError("a note without words")
    moment = date.fromisoformat(at) if len(at) == _DAY_CHARS else _instant(at)
    who = str(said.get("who") or "")
    return Note(said["id"], moment, text[:NOTE_CHARS_MAX], who, _written(said))


def _sorted_notes(found: list[Note]) -> list[Note]:
    latest = sorted(found, key=lambda note: (note.day, str(note.at), note.id))
    return latest[-NOTES_MAX:]


def _segment(said: dict[str, Any]) -> Segment:
    name, users, query = said["name"], said.get("users", []), said.get("query", "")
    if not isinstance(users, list) or not isinstance(query, str) or bool(users) == bool(query):
        raise TypeError("neither people nor filters")
    people = tuple(user for user in users if isinstance(user, str))[:SEGMENT_USERS_MAX]
    if len(name) > SEGMENT_NAME_CHARS_MAX or len(people) < bool(users):
        raise ValueError("no name a filter could carry, or nobody")
    return Segment(name, people, query, str(said.get("who") or ""), _written(said))


def _written(said: dict[str, Any]) -> datetime | None:
    try:
        return _instant(str(said.get("written_at")))
    except ValueError:
        return None


def _instant(text: str) -> datetime:
    read = datetime.fromisoformat(text)
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
