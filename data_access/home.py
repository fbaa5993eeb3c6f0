"""Where a telemetry home keeps its files, and what the team's settings say.

It finds paths; settings.py reads telemetry.toml. It opens no data.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from data_access.config import Settings, home_beside_app, settings_files, settings_of
from data_access.errors import DataUnavailable
from ingest.vocabulary import (
    COLUMNAR_FOLDER,
    DATABASE_FILE,
    INBOX_FOLDER,
    LOG_FOLDER,
    SALT_FILE,
    SALT_VARIABLE,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME_VARIABLE: Final = "TELEMETRY_HOME"
HOME_DEFAULT: Final = "telemetry"
LOG_FILES_MAX: Final = 20_000
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
    """Return the home at `home`, else at $TELEMETRY_HOME, else as telemetry.toml says.

    Without any of them it is ./telemetry.

    A folder is a home. A file is read as it is: a database of ours or of an older system, or
    JSON lines.

    Raises
    ------
    DataUnavailable : when there is nothing at that path.
    """
    asked = Path(home or default_home()).expanduser()
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


def default_home() -> str:
    """Return $TELEMETRY_HOME, else the home that the app's own telemetry.toml names, or ours."""
    return os.environ.get(HOME_VARIABLE) or home_beside_app() or HOME_DEFAULT


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


def settings(home: str | Path | None = None) -> Settings:
    """Return the team's settings for a home; what cannot be used has its default and a problem."""
    return settings_of(open_home(home))


def settings_anyway(home: str | Path | None = None) -> Settings:
    """Return the settings also where there is no telemetry: the app's own file says some."""
    return settings_of(_home_anyway(home))


def settings_places(home: str | Path | None = None) -> list[Path]:
    """Return the settings files of a home, there or not, the one that decides first."""
    return settings_files(_home_anyway(home))


def _home_anyway(home: str | Path | None) -> Home:
    try:
        return open_home(home)
    except DataUnavailable:
        path = Path(home or default_home()).expanduser().resolve()
        return Home(path, path, path / DATABASE_FILE, path / COLUMNAR_FOLDER)
