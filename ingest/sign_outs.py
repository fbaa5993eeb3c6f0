"""Who signed out before their sign-in was over: an empty file each, named by a digest of it.

A file is there or not, whoever else writes, looks or tidies up: nothing to wait for at every
message of an open page, and nothing that a crash could leave half written.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

SIGN_OUTS_FOLDER: Final = "sign_outs"
SIGN_OUTS_MAX: Final = 100_000  # of one home; the oldest goes first
KEPT_S: Final = 40 * 86_400  # no cookie counts for longer than 31 days
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def sign_outs_folder(home: Path) -> Path:
    """Return where a home keeps its sign-outs: in its folder, or beside the file it is."""
    beside = home.with_name(f"{home.name}.{SIGN_OUTS_FOLDER}")
    return beside if home.is_file() else home / SIGN_OUTS_FOLDER


def note_sign_out(home: Path, digest: str, *, now: float) -> None:
    """Remember that this sign-in was ended by hand, and forget those that are over anyway.

    Raises
    ------
    OSError : when the home cannot be written.
    """
    folder = sign_outs_folder(home)
    folder.mkdir(mode=0o700, exist_ok=True)
    _tidy(folder, now)
    file = os.open(_path(folder, digest), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.utime(file, (now, now))  # by the open file: another server may tidy it up just now
    finally:
        os.close(file)


def has_signed_out(home: Path, digest: str) -> bool:
    """Tell whether this sign-in was ended by hand.

    Raises
    ------
    OSError : when that cannot be told.
    """
    try:
        os.stat(_path(sign_outs_folder(home), digest))  # noqa: PTH116 - asked at every message
    except FileNotFoundError:
        return False
    return True


def _path(folder: Path, digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise ValueError("a sign-out is named by a SHA-256 in hex")
    return os.path.join(folder, digest)  # noqa: PTH118 - the same


def _tidy(folder: Path, now: float) -> None:
    """Remove the files of sign-ins that are over, and the oldest where there are too many."""
    with os.scandir(folder) as files:
        found = sorted((_moment(one), one.path) for one in files)
    over = [path for at, path in found if at < now - KEPT_S]
    too_many = len(found) - len(over) - (SIGN_OUTS_MAX - 1)
    over += [path for _, path in found[len(over) :][: max(0, too_many)]]
    for path in over:
        with suppress(FileNotFoundError):  # another server tidies up as well
            os.unlink(path)  # noqa: PTH108 - the same


def _moment(file: os.DirEntry[str]) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # removed meanwhile
        return 0.0
