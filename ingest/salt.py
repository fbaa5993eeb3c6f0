"""The home's salt: what makes a raw user id a pseudonym nobody can look up elsewhere."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Final

from ingest.vocabulary import DATABASE_FILE, SALT_FILE, SALT_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SALT_BYTES: Final = 32


def read_salt(home: Path, environ: Mapping[str, str]) -> bytes:
    """Return the shared salt of TELEMETRY_SALT, else the home's own, else none."""
    shared = environ.get(SALT_VARIABLE, "").strip()
    if shared:
        return shared.encode("utf-8", "replace")
    try:
        return (home / SALT_FILE).read_bytes().strip()
    except OSError:
        return b""


def home_salt(home: Path, environ: Mapping[str, str]) -> bytes:
    """Return the salt of a home, made on its first day.

    A home that already has a database and no salt was brought over from a system that hashed
    without one; it never gets one, so that its people keep their history. When several processes
    come first together, one salt wins.

    Raises
    ------
    OSError : when the home cannot be written.
    """
    found = read_salt(home, environ)
    if found:
        return found
    if (home / SALT_FILE).exists() or (home / DATABASE_FILE).exists():
        return read_salt(home, environ)  # another process may have made it since
    home.mkdir(parents=True, exist_ok=True)
    made = home / f".{SALT_FILE}-{os.getpid()}-{secrets.token_hex(4)}"
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(SALT_BYTES).encode() + b"\n")
        try:
            os.link(made, home / SALT_FILE)
        except FileExistsError:
            pass  # another process was first; its salt is ours
        except OSError:  # a file system without links
            made.replace(home / SALT_FILE)
    finally:
        made.unlink(missing_ok=True)
    return read_salt(home, environ)
