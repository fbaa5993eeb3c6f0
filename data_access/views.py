"""Reading what the team saved by name: views of a page, queries of Explore, and what one asked.

It reads one small SQLite file that `ingest.views` writes, read-only, and no telemetry.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from data_access.database import connect
from data_access.errors import DataUnavailable, Problem
from data_access.home import Home, open_home
from ingest.vocabulary import HISTORY_MAX, TEAM_FOLDER, VIEWS_FILE, VIEWS_SCHEMA, small

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PastQuestion", "SavedView", "history", "queries", "saved", "saved_problems", "views"]

SHOWN_MAX: Final = 1_000  # more than the limits let be saved
_MINE: Final = "(scope = 'team' OR owner = :who) AND removed_at IS NULL"
_NO_TIME: Final = datetime.fromtimestamp(0, UTC)  # edited by hand: shown, with no time worth naming
_FIELDS: Final = (
    *("id", "kind", "name", "description", "owner", "scope", "page", "query", "dates"),
    *("created_at", "updated_at", "updated_by", "revision"),
)


@dataclass(frozen=True, slots=True)
class SavedView:
    """A page with its filters, or a query of Explore, under a name.

    `kind` is "view" or "query", `scope` "personal" or "team", `dates` "relative" or "frozen";
    `query` is what a link to `page` has after its question mark; `revision` is to be named when
    changing it.
    """

    id: str
    kind: str
    name: str
    description: str
    owner: str
    scope: str
    page: str
    query: str
    dates: str
    created_at: datetime
    updated_at: datetime
    updated_by: str
    revision: int

    @property
    def link(self) -> str:
        """The link to it below the app's address: what a colleague can open."""
        return f"{self.page}?{self.query}" if self.query else self.page

    def is_changed_by(self, who: str, *, is_admin: bool = False) -> bool:
        """Tell whether a person may change it: its owner, or for the team's an admin."""
        return self.owner == _person(who) or (is_admin and self.scope == "team")


@dataclass(frozen=True, slots=True)
class PastQuestion:
    """A question somebody put to Explore: as its link writes it, in words, when last, how often."""

    query: str
    label: str
    asked_at: datetime
    times: int


def views(home: str | Path | None = None, *, who: str = "") -> list[SavedView]:
    """Return the views a person sees, the team's and their own, in the order of the alphabet.

    Raises
    ------
    DataUnavailable : when there is no such home, or the file cannot be read.
    """
    return _all(home, "view", who)


def queries(home: str | Path | None = None, *, who: str = "") -> list[SavedView]:
    """Return the queries of Explore a person sees; see `views`."""
    return _all(home, "query", who)


def saved(home: str | Path | None, view_id: str, *, who: str = "") -> SavedView | None:
    """Return one saved view or query by its id; None when the person has none such."""
    rows = _rows(
        open_home(home),
        f"SELECT {', '.join(_FIELDS)} FROM saved WHERE id = :id AND {_MINE}",
        {"id": view_id, "who": _person(who)},
    )
    return _view(rows[0]) if rows else None


def history(
    home: str | Path | None = None, *, who: str = "", limit: int = HISTORY_MAX
) -> list[PastQuestion]:
    """Return what a person asked Explore, each question once, newest first."""
    rows = _rows(
        open_home(home),
        "SELECT query, label, asked_at, times FROM history WHERE owner = :who "
        "ORDER BY asked_at DESC, query LIMIT :limit",
        {"who": _person(who), "limit": max(0, min(limit, HISTORY_MAX))},
    )
    return [PastQuestion(query, label, _instant(at), times) for query, label, at, times in rows]


def saved_problems(home: Home) -> list[Problem]:
    """Return what is wrong with the file of saved views, for the app to show."""
    try:
        _rows(home, "SELECT 1 FROM saved LIMIT 1", {})
    except DataUnavailable as error:
        where = f"{TEAM_FOLDER}/{VIEWS_FILE}"
        return [Problem("unreadable", where, str(error), "Move it aside, or bring back a copy.")]
    return []


def _all(home: str | Path | None, kind: str, who: str) -> list[SavedView]:
    rows = _rows(
        open_home(home),
        f"SELECT {', '.join(_FIELDS)} FROM saved WHERE kind = :kind AND {_MINE} "
        "ORDER BY name_key, scope, id LIMIT :most",
        {"kind": kind, "who": _person(who), "most": SHOWN_MAX},
    )
    return [_view(row) for row in rows]


def _rows(home: Home, sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    path = home.root / TEAM_FOLDER / VIEWS_FILE
    if home.path != home.root:
        return []  # a single file has no team folder of its own
    try:
        if not path.exists():
            return []
        with contextlib.closing(connect(path)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > VIEWS_SCHEMA:
                raise DataUnavailable(
                    f"The saved views ({path.name}) were written by a later Betascope. Update "
                    "this one."
                )
            return connection.execute(sql, values).fetchall() if version else []
    except (OSError, sqlite3.Error) as error:
        raise DataUnavailable(
            f"The saved views at {path} cannot be read: {error}. The pages work without them."
        ) from error


def _view(row: tuple[Any, ...]) -> SavedView:
    said = dict(zip(_FIELDS, row, strict=True))
    said |= {name: _instant(said[name]) for name in ("created_at", "updated_at")}
    return SavedView(**said)


def _instant(text: str) -> datetime:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return _NO_TIME
    if not MINYEAR < read.year < MAXYEAR:  # the clock of some place cannot tell it
        return _NO_TIME
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _person(who: str) -> str:
    return small(" ".join(who.split()))
