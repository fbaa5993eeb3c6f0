"""The team's own words in a home: notes on the time axis, and groups of people saved by name.

Each is one line appended to a small file under `team/`; nothing is ever rewritten, so what was
said and who took it back stay on record. It never touches telemetry.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ingest.vocabulary import (
    NOTE_CHARS_MAX,
    NOTES_FILE,
    SEGMENT_NAME_CHARS_MAX,
    SEGMENT_NOT,
    SEGMENT_QUERY_CHARS_MAX,
    SEGMENT_USERS_MAX,
    SEGMENTS_FILE,
    TEAM_FILE_BYTES_MAX,
    TEAM_FOLDER,
    USER_CHARS_MAX,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "TeamRefused",
    "add_note",
    "one_line",
    "remove_note",
    "remove_segment",
    "save_segment",
    "team_folder",
]

WHO_CHARS_MAX: Final = 80
DAY_CHARS: Final = 10  # 2026-11-20
# line ends, controls, and marks that turn text around
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")


class TeamRefused(ValueError):  # noqa: N818 - a refusal, not a failure: nothing was written
    """A note or segment that cannot be kept. The message says why and what to do instead."""


def add_note(
    home: str | Path, text: str, *, at: date | str, who: str = "", now: datetime | None = None
) -> str:
    """Keep a note about a day or an instant, and return its id.

    Parameters
    ----------
    home : the folder on show.
    text : the team's own words; made one line, cut at NOTE_CHARS_MAX.
    at : a day, or an instant (naive ones are UTC), or either as ISO text.
    who : the name to show with it.

    Raises
    ------
    TeamRefused : when there is no text, `at` is no day, or the home cannot be written.
    """
    words = one_line(text, NOTE_CHARS_MAX)
    if not words:
        raise TeamRefused("A note needs some words. Say what happened on that day.")
    note_id = uuid.uuid4().hex
    said = {"id": note_id, "at": _moment(at), "text": words}
    _append(home, NOTES_FILE, said, who, now)
    return note_id


def remove_note(
    home: str | Path, note_id: str, *, who: str = "", now: datetime | None = None
) -> None:
    """Take a note back; its line stays in the file, with a later one that removes it."""
    _append(home, NOTES_FILE, {"id": one_line(note_id, WHO_CHARS_MAX), "removed": True}, who, now)


def save_segment(
    home: str | Path,
    name: str,
    *,
    users: Sequence[str] | None = None,
    query: str | None = None,
    who: str = "",
    now: datetime | None = None,
) -> str:
    """Keep a group of people under a name, instead of what had that name; return the name.

    Parameters
    ----------
    users : the people, by user_id_hash; or
    query : filters as a link writes them ("tier=paid&event=context_loaded"): everybody with an
        event that matches them, whenever the segment is used.

    Raises
    ------
    TeamRefused : when the name cannot be used, nobody is named, or the home cannot be written.
    """
    kept = segment_name(name)
    if (users is None) == (query is None):
        raise TeamRefused("A segment is a list of people or a query of filters: give one of them.")
    said: dict[str, Any] = {"name": kept}
    if users is not None:
        said["users"] = _people(users)
    else:
        said["query"] = _query(query or "")
    _append(home, SEGMENTS_FILE, said, who, now)
    return kept


def remove_segment(
    home: str | Path, name: str, *, who: str = "", now: datetime | None = None
) -> None:
    """Take a segment back; a later one of the same name starts anew."""
    said = {"name": one_line(name, SEGMENT_NAME_CHARS_MAX), "removed": True}
    _append(home, SEGMENTS_FILE, said, who, now)


def segment_name(name: str) -> str:
    """Return the name a segment is kept under.

    Raises
    ------
    TeamRefused : when it is empty, too long, or would read as the opposite of another.
    """
    kept = one_line(name, SEGMENT_NAME_CHARS_MAX + 1)
    if not kept:
        raise TeamRefused("A segment needs a name, such as internal or paying designers.")
    if len(kept) > SEGMENT_NAME_CHARS_MAX:
        raise TeamRefused(
            f"The name {kept[:20]!r}... is longer than {SEGMENT_NAME_CHARS_MAX} characters. "
            "Choose a shorter one."
        )
    if kept.lower().startswith(SEGMENT_NOT):
        raise TeamRefused(
            f"A segment's name cannot begin with {SEGMENT_NOT.strip()!r}: "
            f"{(SEGMENT_NOT + 'NAME')!r} is how a filter asks for everybody else."
        )
    return kept


def _people(users: Sequence[str]) -> list[str]:
    kept = sorted({user for user in users if user})
    if not kept:
        raise TeamRefused("Nobody is in the list. Choose at least one person.")
    if len(kept) > SEGMENT_USERS_MAX:
        raise TeamRefused(
            f"{len(kept):,} people are more than a list holds ({SEGMENT_USERS_MAX:,}). "
            "Save the filters that find them instead."
        )
    if any(len(user) > USER_CHARS_MAX for user in kept):
        raise TeamRefused(f"A user_id_hash is at most {USER_CHARS_MAX} characters long.")
    return kept


def _query(query: str) -> str:
    kept = one_line(query, SEGMENT_QUERY_CHARS_MAX + 1).removeprefix("?")
    if not kept:
        raise TeamRefused("No filter is set, so the segment would be everybody. Set one first.")
    if len(kept) > SEGMENT_QUERY_CHARS_MAX:
        raise TeamRefused(
            f"The filters are longer than {SEGMENT_QUERY_CHARS_MAX:,} characters. Choose fewer."
        )
    return kept


def _moment(at: date | str) -> str:
    """Return a day as it is, an instant in UTC with milliseconds."""
    try:
        if isinstance(at, str):
            at = (date if len(at) == DAY_CHARS else datetime).fromisoformat(at)
        if isinstance(at, datetime):
            at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
            return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError) as error:
        raise TeamRefused(
            f"{str(at)[:40]!r} is no day. Write one as 2026-11-20, or as 2026-11-20T14:30."
        ) from error
    return at.isoformat()


def one_line(text: str, most: int) -> str:
    """Return text on one line, without what cannot be seen, and no longer than `most`."""
    whole = str(text).encode("utf-8", "replace").decode("utf-8")  # a lone surrogate is no text
    return " ".join(_UNSEEN.sub(" ", whole).split())[:most].strip()


def team_folder(home: str | Path, things: str) -> Path:
    """Return the folder of a home that keeps what the team says; it need not be there yet.

    Raises
    ------
    TeamRefused : when the home is not there, or is a single file without room for `things`.
    """
    root = Path(home).expanduser()
    if not root.exists():
        raise TeamRefused(f"There is no telemetry at {root}, so there is no place to keep this.")
    if not root.is_dir():
        raise TeamRefused(
            f"{root.name} is a single file, which has no room for {things}. Put it into a folder's "
            "inbox/ and open the folder instead."
        )
    return root / TEAM_FOLDER


def _append(
    home: str | Path, name: str, said: dict[str, Any], who: str, now: datetime | None
) -> None:
    """Append one line in one write; what others append meanwhile stays whole."""
    path = team_folder(home, "notes and segments") / name
    written_at = (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds")
    said |= {"who": one_line(who, WHO_CHARS_MAX), "written_at": written_at.replace("+00:00", "Z")}
    try:
        path.parent.mkdir(exist_ok=True)
        _write(path, json.dumps(said).encode() + b"\n")
    except OSError as error:
        raise TeamRefused(
            f"{path} cannot be written: {error.strerror or error}. Ask the owner of the folder "
            "for the right to write there."
        ) from error


def _write(path: Path, line: bytes) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size + len(line) > TEAM_FILE_BYTES_MAX:
            raise TeamRefused(
                f"{path} is full ({TEAM_FILE_BYTES_MAX // 1024 // 1024} MB). Keep a copy of it "
                "and leave out the lines that later ones replace."
            )
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line  # a torn last line costs itself, never the next one
        if os.write(descriptor, line) != len(line):
            raise OSError(f"{path} took only part of the line; free some disk space")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
