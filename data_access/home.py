"""Where a telemetry home keeps its files, and what the team's settings say.

It finds paths and reads telemetry.toml; it opens no data.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from data_access.errors import DataUnavailable, Problem
from data_access.window import known_timezone
from ingest.vocabulary import (
    COLUMNAR_FOLDER,
    DATABASE_FILE,
    DEMO_FILE,
    INBOX_FOLDER,
    LOG_FOLDER,
    SALT_FILE,
    SALT_VARIABLE,
    SETTINGS_FILE,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HOME_VARIABLE: Final = "TELEMETRY_HOME"
HOME_DEFAULT: Final = "telemetry"
LOG_FILES_MAX: Final = 20_000
SMALL_GROUP_USERS: Final = 5  # fewer could be recognised by somebody outside the team
INBOX_FILES_MAX: Final = 1_000
_LINE_FILES: Final = (".jsonl", ".jsonl.gz")


@dataclass(frozen=True, slots=True)
class Home:
    """The places of one home. `path` is what was asked for: a folder, a .db or a JSONL file."""

    path: Path
    root: Path
    database: Path
    columnar: Path

    def log_files(self) -> list[Path]:
        """Return the event log's files, oldest day first; none when the home is a single file."""
        if self.path != self.root:
            return []
        return _line_files(self.root / LOG_FOLDER, depth=2, most=LOG_FILES_MAX)

    def inbox_files(self) -> list[Path]:
        """Return the files to show as they are: the inbox, loose JSONL, or the file asked for."""
        if self.path != self.root:
            return [self.path] if self.path.name.endswith(_LINE_FILES) else []
        loose = _line_files(self.root, depth=1, most=INBOX_FILES_MAX)
        return loose + _line_files(self.root / INBOX_FOLDER, depth=1, most=INBOX_FILES_MAX)

    def name_of(self, path: Path) -> str:
        """Return a file's name within the home, the way telemetry_log_files spells it."""
        return path.relative_to(self.root).as_posix()

    def salt(self) -> bytes:
        """Return the salt of TELEMETRY_SALT, else the home's own, empty when it has none."""
        shared = os.environ.get(SALT_VARIABLE, "").strip()
        if shared:
            return shared.encode("utf-8", "replace")
        try:
            return (self.root / SALT_FILE).read_bytes().strip()
        except OSError:
            return b""


def _line_files(folder: Path, *, depth: int, most: int) -> list[Path]:
    return sorted(_walk(folder, depth))[:most]


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name.endswith(_LINE_FILES) and entry.is_file():
            yield Path(entry.path)
        elif depth > 1 and entry.is_dir():
            yield from _walk(Path(entry.path), depth - 1)


def open_home(home: str | Path | None = None) -> Home:
    """Return the home at `home`, else at $TELEMETRY_HOME, else ./telemetry.

    A folder is a home. A file is read as it is: a database of ours or of an older system, or
    JSON lines.

    Raises
    ------
    DataUnavailable : when there is nothing at that path.
    """
    asked = Path(home or os.environ.get(HOME_VARIABLE) or HOME_DEFAULT).expanduser()
    path = asked.resolve()
    if not _readable(path):
        raise DataUnavailable(
            f"The telemetry at {asked} may not be read by this user. Ask its owner for the right "
            f"to read it, or point {HOME_VARIABLE} at other telemetry."
        )
    if path.is_dir():
        return Home(path, path, path / DATABASE_FILE, _writable(path / COLUMNAR_FOLDER))
    if path.is_file():
        columnar = _writable(path.with_name(f"{path.name}.{COLUMNAR_FOLDER}"))
        if path.name.endswith(_LINE_FILES):
            return Home(path, path.parent, path.parent / "no-database", columnar)
        return Home(path, path.parent, path, columnar)
    raise DataUnavailable(
        f"There is no telemetry at {asked}. Point {HOME_VARIABLE} at a folder with telemetry, at "
        "a .db file or at a .jsonl file, or run `python -m ingest demo` to make one with sample "
        "data."
    )


def _readable(path: Path) -> bool:
    """Tell whether a path may be read, or is not there at all."""
    try:
        wanted = os.R_OK | os.X_OK if path.is_dir() else os.R_OK
        return os.access(path, wanted) or not path.exists()
    except PermissionError:
        return False


def _writable(folder: Path) -> Path:
    """Return `folder` if it can be written, else a folder of its own in the user's cache."""
    if os.access(folder if folder.exists() else folder.parent, os.W_OK):
        return folder
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "betascope" / hashlib.blake2b(str(folder).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Settings:
    """What telemetry.toml says, with defaults for what it does not.

    `testers` are user hashes; `record_app_use` whether the app records its own use, None when the
    file does not say; `group_users_min` how many people a group of a breakdown needs to be shown
    (0: any); `people_lists` whether single people may be listed; `problems` what in the file could
    not be used.
    """

    open_beta_date: date | None = None
    testers: tuple[str, ...] = ()
    timezone: str = "UTC"
    week_starts_on: str = "monday"
    is_demo: bool = False
    record_app_use: bool | None = None
    group_users_min: int = SMALL_GROUP_USERS
    people_lists: bool = True
    problems: tuple[Problem, ...] = field(default=())


def settings(home: str | Path | None = None) -> Settings:
    """Return the team's settings for a home; a broken file gives the defaults and a problem."""
    place = open_home(home)
    path = place.root / SETTINGS_FILE
    is_demo = place.path == place.root and (place.root / DEMO_FILE).exists()
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Settings(is_demo=is_demo)
    except (OSError, ValueError) as error:
        problem = Problem(
            "settings", str(path), f"The settings cannot be read: {error}", "Mend the file."
        )
        return Settings(is_demo=is_demo, problems=(problem,))
    raw |= raw.get("beta", {}) if isinstance(raw.get("beta"), dict) else {}
    wrong: list[str] = []
    return Settings(
        open_beta_date=_day(raw.get("open_beta_date"), wrong),
        testers=_names(raw.get("testers"), wrong),
        timezone=_timezone(raw.get("timezone", "UTC"), wrong),
        week_starts_on=_week(raw.get("week_starts_on", "monday"), wrong),
        is_demo=is_demo,
        record_app_use=_switch("record_app_use", raw, wrong),
        group_users_min=_small_groups(raw.get("small_groups", "hide"), wrong),
        people_lists=_people_lists(raw, wrong),
        problems=tuple(
            Problem("settings", str(path), f"{name} cannot be used.", "Correct it in the file.")
            for name in wrong
        ),
    )


def _day(value: object, wrong: list[str]) -> date | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        wrong.append("open_beta_date")
        return None


def _names(value: object, wrong: list[str]) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    wrong.append("testers")
    return ()


def _switch(name: str, raw: Mapping[str, object], wrong: list[str]) -> bool | None:
    value = raw.get(name)
    if value is None or isinstance(value, bool):
        return value
    wrong.append(name)
    return None


def _small_groups(value: object, wrong: list[str]) -> int:
    if value == "show":
        return 0
    if value != "hide":
        wrong.append("small_groups")
    return SMALL_GROUP_USERS


def _people_lists(raw: Mapping[str, object], wrong: list[str]) -> bool:
    """Return whether lists of people are open; what cannot be read was meant to close them."""
    said = _switch("people_lists", raw, wrong)
    return "people_lists" not in wrong and said is not False


def _timezone(value: object, wrong: list[str]) -> str:
    known = known_timezone(str(value))
    if known != str(value):
        wrong.append("timezone")
    return known


def _week(value: object, wrong: list[str]) -> str:
    if value in ("monday", "sunday"):
        return str(value)
    wrong.append("week_starts_on")
    return "monday"
