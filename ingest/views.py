"""Saved views and queries, and what each person asked last: a small SQLite file of the team.

A view is a page with its filters under a name; a query is a question put to Explore. Several
people, threads and servers may save at once: each change is one transaction, and a change to
something that somebody else changed meanwhile is refused, never lost. It touches no telemetry.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sqlite3
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ingest.team import TeamRefused, one_line, team_folder
from ingest.vocabulary import (
    HISTORY_MAX,
    VIEW_NAME_CHARS_MAX,
    VIEW_QUERY_CHARS_MAX,
    VIEW_WORDS_CHARS_MAX,
    VIEWS_BYTES_MAX,
    VIEWS_FILE,
    VIEWS_SCHEMA,
    small,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "Kept",
    "ViewChanged",
    "change",
    "forget",
    "remember",
    "remove",
    "restore",
    "save_view",
]

KINDS: Final = ("view", "query")
SCOPES: Final = ("personal", "team")
DATES: Final = ("relative", "frozen")
BUSY_TIMEOUT_S: Final = 10.0  # for a file somebody else is writing to
WHO_CHARS_MAX: Final = 254  # the longest address there is
PAGE_CHARS_MAX: Final = 60
PERSONAL_MAX: Final = 200  # views, and queries, of one person
TEAM_MAX: Final = 500  # of everybody together
KEPT_AFTER_REMOVAL: Final = timedelta(days=30)  # so long a removal can be undone
HISTORY_CHARS_MAX: Final = 1_000_000  # per person; the oldest questions go first
_PAGE_BYTES: Final = 4_096
_PAGE: Final = re.compile(r"[a-z0-9][a-z0-9-]*\Z")
_NEW: Final = (
    """CREATE TABLE saved (
      id TEXT PRIMARY KEY,
      kind TEXT NOT NULL CHECK (kind IN ('view', 'query')),
      name TEXT NOT NULL,
      name_key TEXT NOT NULL,
      description TEXT NOT NULL,
      owner TEXT NOT NULL,
      scope TEXT NOT NULL CHECK (scope IN ('personal', 'team')),
      page TEXT NOT NULL,
      query TEXT NOT NULL,
      dates TEXT NOT NULL CHECK (dates IN ('relative', 'frozen')),
      created_at TEXT NOT NULL,
      updated_at TEXT NOT NULL,
      updated_by TEXT NOT NULL,
      revision INTEGER NOT NULL,
      removed_at TEXT
    ) STRICT, WITHOUT ROWID""",
    """CREATE UNIQUE INDEX saved_name ON saved (
      kind, scope, CASE scope WHEN 'team' THEN '' ELSE owner END, name_key
    ) WHERE removed_at IS NULL""",
    """CREATE TABLE history (
      owner TEXT NOT NULL,
      query TEXT NOT NULL,
      label TEXT NOT NULL,
      asked_at TEXT NOT NULL,
      times INTEGER NOT NULL,
      PRIMARY KEY (owner, query)
    ) STRICT, WITHOUT ROWID""",
)


class ViewChanged(TeamRefused):
    """Somebody else changed it meanwhile. The message says who and when; nothing was written."""


class Kept(NamedTuple):
    """What was kept: its id, and the revision to name when changing it."""

    id: str
    revision: int


# --- saving ----------------------------------------------------------------------------------


def save_view(
    home: str | Path,
    name: str,
    *,
    page: str,
    query: str,
    kind: str = "view",
    who: str = "",
    scope: str = "personal",
    description: str = "",
    dates: str = "relative",
    now: datetime | None = None,
) -> Kept:
    """Keep a page with its filters, or a question put to Explore, under a new name.

    Parameters
    ----------
    home : the folder on show.
    name : one line; two of a kind of the same owner (or of the team) differ by more than case.
    page : the page's address, such as `retention`.
    query : its filters and choices, or the question, as a link writes them.
    kind : "view" or "query".
    who : the owner's address; empty where nobody signs in.
    scope : "personal" (the owner's alone) or "team" (everybody sees it).
    dates : "relative" when the span in `query` is to move on with time, else "frozen". It is
        kept for the reader; the query itself is stored as it is.

    Raises
    ------
    TeamRefused : when the name is taken or cannot be used, a limit is met, or the home cannot be
        written.
    """
    person, at = _person(who), _stamp(now)
    row = {
        "id": secrets.token_hex(6),
        "kind": _one_of("kind", kind, KINDS),
        **_named(name),
        "description": one_line(description, VIEW_WORDS_CHARS_MAX),
        "owner": person,
        "scope": _one_of("scope", scope, SCOPES),
        "page": _page(page),
        "query": _query(query),
        "dates": _one_of("dates", dates, DATES),
        "created_at": at,
        "updated_at": at,
        "updated_by": person,
        "revision": 1,
    }
    with _writing(home) as connection:
        _refuse_taken(connection, row, "")
        _refuse_many(connection, row)
        marks = ", ".join(f":{name}" for name in row)
        connection.execute(f"INSERT INTO saved ({', '.join(row)}) VALUES ({marks})", row)
    return Kept(str(row["id"]), 1)


def change(
    home: str | Path,
    view_id: str,
    *,
    revision: int,
    who: str = "",
    is_admin: bool = False,
    name: str | None = None,
    description: str | None = None,
    scope: str | None = None,
    page: str | None = None,
    query: str | None = None,
    dates: str | None = None,
    now: datetime | None = None,
) -> Kept:
    """Change a saved view or query; what is None stays.

    Parameters
    ----------
    revision : the one that was read. When it is no longer the latest, nothing is changed.
    who, is_admin : who asks; a view is changed by its owner, one of the team also by an admin.

    Raises
    ------
    ViewChanged : when somebody changed it since `revision`.
    TeamRefused : as for `save_view`, and when it is not there or not the asker's to change.
    """
    person = _person(who)
    wanted: dict[str, Any] = {}
    if name is not None:
        wanted |= _named(name)
    if description is not None:
        wanted["description"] = one_line(description, VIEW_WORDS_CHARS_MAX)
    if scope is not None:
        wanted["scope"] = _one_of("scope", scope, SCOPES)
    if page is not None:
        wanted["page"] = _page(page)
    if query is not None:
        wanted["query"] = _query(query)
    if dates is not None:
        wanted["dates"] = _one_of("dates", dates, DATES)
    with _writing(home) as connection:
        found = _theirs(connection, view_id, person, is_admin=is_admin)
        if found["removed_at"] is not None:
            raise TeamRefused(
                f"“{found['name']}” was removed{_by(found)}. Save yours under a name."
            )
        if found["revision"] != revision:
            raise ViewChanged(
                f"“{found['name']}” was changed{_by(found)}, after you opened it. Nothing was "
                "saved. Open it again to see theirs, or save yours under another name."
            )
        after = {**found, **wanted}
        _refuse_taken(connection, after, view_id)
        if after["scope"] != found["scope"]:
            _refuse_many(connection, after)
        wanted |= {"updated_at": _stamp(now), "updated_by": person, "revision": revision + 1}
        _update(connection, view_id, wanted)
    return Kept(view_id, revision + 1)


def remove(
    home: str | Path,
    view_id: str,
    *,
    who: str = "",
    is_admin: bool = False,
    now: datetime | None = None,
) -> None:
    """Take a saved view or query away. `restore` brings it back for KEPT_AFTER_REMOVAL."""
    person, at = _person(who), now or datetime.now(UTC)
    with _writing(home) as connection:
        found = _theirs(connection, view_id, person, is_admin=is_admin)
        if found["removed_at"] is None:
            gone = {"removed_at": _stamp(at), "updated_at": _stamp(at), "updated_by": person}
            _update(connection, view_id, gone | {"revision": found["revision"] + 1})
        connection.execute(
            "DELETE FROM saved WHERE removed_at < ?", (_stamp(at - KEPT_AFTER_REMOVAL),)
        )


def restore(
    home: str | Path,
    view_id: str,
    *,
    who: str = "",
    is_admin: bool = False,
    now: datetime | None = None,
) -> Kept:
    """Bring back what was removed; refused when its name has been taken meanwhile."""
    person = _person(who)
    with _writing(home) as connection:
        found = _theirs(connection, view_id, person, is_admin=is_admin)
        revision: int = found["revision"]
        if found["removed_at"] is not None:
            _refuse_taken(connection, found, view_id)
            _refuse_many(connection, found)
            back = {"removed_at": None, "updated_at": _stamp(now), "updated_by": person}
            revision += 1
            _update(connection, view_id, back | {"revision": revision})
    return Kept(view_id, revision)


# --- what was asked --------------------------------------------------------------------------


def remember(
    home: str | Path, query: str, *, who: str = "", label: str = "", now: datetime | None = None
) -> None:
    """Write down a question put to Explore as the person's latest; asked again, it moves up.

    Parameters
    ----------
    query : the question as its link writes it.
    label : what to call it in a list; made one line.

    Raises
    ------
    TeamRefused : when the home cannot be written.
    """
    person, kept = _person(who), _query(query)
    with _writing(home) as connection:
        connection.execute(
            "INSERT INTO history (owner, query, label, asked_at, times) VALUES (?, ?, ?, ?, 1) "
            "ON CONFLICT (owner, query) DO UPDATE SET "
            "label = excluded.label, asked_at = excluded.asked_at, times = times + 1",
            (person, kept, one_line(label, VIEW_WORDS_CHARS_MAX), _stamp(now)),
        )
        connection.execute(
            "DELETE FROM history WHERE owner = ?1 AND query IN (SELECT query FROM (SELECT query, "
            "row_number() OVER latest AS place, sum(length(query)) OVER latest AS chars "
            "FROM history WHERE owner = ?1 WINDOW latest AS (ORDER BY asked_at DESC, query)) "
            "WHERE place > ?2 OR (chars > ?3 AND place > 1))",
            (person, HISTORY_MAX, HISTORY_CHARS_MAX),
        )


def forget(home: str | Path, query: str | None = None, *, who: str = "") -> int:
    """Strike one question from the person's history, or all of it; return how many went."""
    person = _person(who)
    with _writing(home) as connection:
        gone = connection.execute(
            "DELETE FROM history WHERE owner = ?1 AND (?2 IS NULL OR query = ?2)", (person, query)
        )
        return gone.rowcount


# --- what is said ----------------------------------------------------------------------------


def _named(name: str) -> dict[str, str]:
    """Return a name, and what tells it from others: not case, nor how its letters are encoded."""
    kept = one_line(name, VIEW_NAME_CHARS_MAX + 1)
    if not kept:
        raise TeamRefused("It needs a name, such as Paying people this month.")
    if len(kept) > VIEW_NAME_CHARS_MAX:
        raise TeamRefused(
            f"The name {kept[:20]!r}... is longer than {VIEW_NAME_CHARS_MAX} characters. "
            "Choose a shorter one."
        )
    return {"name": kept, "name_key": unicodedata.normalize("NFKC", kept).casefold()}


def _query(query: str) -> str:
    kept = one_line(query, VIEW_QUERY_CHARS_MAX + 1).removeprefix("?")
    if len(kept) > VIEW_QUERY_CHARS_MAX:
        raise TeamRefused(
            f"The filters are longer than {VIEW_QUERY_CHARS_MAX:,} characters. Choose fewer."
        )
    return kept


def _page(page: str) -> str:
    if not _PAGE.match(page) or len(page) > PAGE_CHARS_MAX:
        raise TeamRefused(
            f"{page[:40]!r} is no page. Name one as its address does: retention, open-beta."
        )
    return page


def _person(who: str) -> str:
    """Return an address the one way it is compared. Cutting one would make two people the same.

    So would folding letters beyond ASCII: straße@ and strasse@ are two people's.
    """
    kept = small(one_line(who, WHO_CHARS_MAX + 1))
    if len(kept) > WHO_CHARS_MAX:
        raise TeamRefused(f"The address {kept[:20]!r}... is longer than any real one.")
    return kept


def _one_of(what: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise TeamRefused(
            f"{what} cannot be {str(value)[:40]!r}; it is one of {', '.join(allowed)}."
        )
    return value


def _stamp(now: datetime | None) -> str:
    at = (now or datetime.now(UTC)).astimezone(UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _by(row: dict[str, Any]) -> str:
    """Return " by ana@example.com on 2026-11-20 at 14:03 UTC"."""
    who = f" by {row['updated_by']}" if row["updated_by"] else ""
    day, _, clock = row["updated_at"].partition("T")
    return f"{who} on {day} at {clock[:5]} UTC"


# --- the file --------------------------------------------------------------------------------


def _theirs(
    connection: sqlite3.Connection, view_id: str, person: str, *, is_admin: bool
) -> dict[str, Any]:
    """Return a saved row the person may change."""
    found = connection.execute("SELECT * FROM saved WHERE id = ?", (view_id,)).fetchone()
    # what is somebody's own does not exist for anybody else
    if found is None or (found["scope"] == "personal" and found["owner"] != person):
        raise TeamRefused("It is not there any more. Open the list again to see what is.")
    if found["owner"] != person and not is_admin:
        raise TeamRefused(
            f"“{found['name']}” belongs to {found['owner'] or 'nobody who signs in'}. Save yours "
            "under another name, or ask them or an admin to change it."
        )
    return dict(found)


def _refuse_taken(connection: sqlite3.Connection, row: dict[str, Any], but: str) -> None:
    other = connection.execute(
        "SELECT * FROM saved WHERE kind = :kind AND scope = :scope AND name_key = :name_key "
        "AND (scope = 'team' OR owner = :owner) AND removed_at IS NULL AND id != :but",
        {**row, "but": but},
    ).fetchone()
    if other is not None:
        raise TeamRefused(
            f"There is a {row['scope']} {row['kind']} “{other['name']}” already, saved"
            f"{_by(dict(other))}. Choose another name, or open that one and update it."
        )


def _refuse_many(connection: sqlite3.Connection, row: dict[str, Any]) -> None:
    most = TEAM_MAX if row["scope"] == "team" else PERSONAL_MAX
    (count,) = connection.execute(
        "SELECT count(*) FROM saved WHERE kind = :kind AND scope = :scope "
        "AND (scope = 'team' OR owner = :owner) AND removed_at IS NULL",
        row,
    ).fetchone()
    if count >= most:
        raise TeamRefused(
            f"There are {most:,} {row['scope']} {_plural(row['kind'])} already, which is the most. "
            "Remove one that nobody needs."
        )


def _plural(kind: str) -> str:
    return {"view": "views", "query": "queries"}[kind]


def _update(connection: sqlite3.Connection, view_id: str, values: dict[str, Any]) -> None:
    assigned = ", ".join(f"{name} = :{name}" for name in values)
    connection.execute(f"UPDATE saved SET {assigned} WHERE id = :id", {**values, "id": view_id})


@contextlib.contextmanager
def _writing(home: str | Path) -> Iterator[sqlite3.Connection]:
    """Open the file for one change, which happens whole or not at all."""
    path = team_folder(home, "saved views and queries") / VIEWS_FILE
    try:
        path.parent.mkdir(exist_ok=True)
        # made here, not by SQLite, so that it is the owner's alone from the start
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with contextlib.closing(_connected(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            _prepare(connection, path)
            yield connection
            connection.execute("COMMIT")
    except OSError as error:
        raise TeamRefused(
            f"{path} cannot be written: {error.strerror or error}. Ask the owner of the folder "
            "for the right to write there."
        ) from error
    except sqlite3.Error as error:
        raise TeamRefused(_said(path, error)) from error


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            with contextlib.suppress(sqlite3.OperationalError):  # another is at it: theirs will do
                connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA max_page_count = {VIEWS_BYTES_MAX // _PAGE_BYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new file; a file of a later version is left alone."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VIEWS_SCHEMA:
        raise TeamRefused(
            f"{path} was written by a later Betascope (version {version}; this one knows "
            f"{VIEWS_SCHEMA}). Update this one."
        )
    if version == 0:
        for statement in _NEW:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VIEWS_SCHEMA}")


def _said(path: Path, error: sqlite3.Error) -> str:
    words = str(error)
    if "locked" in words or "busy" in words:
        return f"{path} is being written by somebody else. Nothing was saved; try again."
    if "full" in words:
        return (
            f"{path} is full ({VIEWS_BYTES_MAX // 1024 // 1024} MB), or the disk is. Remove views "
            "that nobody needs, or free some disk space."
        )
    if "readonly" in words or "unable to open" in words:
        return (
            f"{path} cannot be written: {words}. Ask the owner of the folder for the right to "
            "write there."
        )
    return (
        f"{path} cannot be used: {words}. Move it aside, and a new one is made; what was saved "
        "may still be read from the old one with sqlite3."
    )
