"""Bearer tokens of the HTTP API: made, looked at and revoked; the secret itself is never kept.

A token reads `bts_<id>_<secret>`. The secret is 256 random bits, so nobody can try them all, and
one SHA-256 of it is as good at rest as a slow, salted hash would be: those exist for passwords,
which people choose. What is stored cannot be turned back into a token.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

TOKENS_FILE: Final = "tokens.db"
PREFIX: Final = "bts"
SCOPES: Final[dict[str, str]] = {
    "read": "numbers and tables that name nobody",
    "people": "single people, by pseudonym",
    "export": "rows as they are, people's pseudonyms included",
    "metrics": "/metrics, for Prometheus",
}
DAYS_DEFAULT: Final = 90
DAYS_MAX: Final = 3_650
NAME_CHARS_MAX: Final = 100
TOKENS_MAX: Final = 10_000  # of one home, revoked and expired ones included
ID_BYTES: Final = 6
SECRET_BYTES: Final = 32
USED_EVERY: Final = timedelta(hours=1)  # how finely it is remembered when a token was last used
BUSY_S: Final = 5.0
BUSY_NOTING_S: Final = 0.05  # a request does not wait to write down that a token was used

_TOKEN: Final = re.compile(
    rf"{PREFIX}_(?P<id>[0-9a-f]{{{2 * ID_BYTES}}})_(?P<secret>[0-9a-f]{{{2 * SECRET_BYTES}}})"
)
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS tokens (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  digest BLOB NOT NULL,
  scopes TEXT NOT NULL,
  made_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at INTEGER,
  revoked_at INTEGER
) STRICT
"""
_COLUMNS: Final = "id, name, scopes, made_at, expires_at, used_at, revoked_at"


class TokenRefused(ValueError):  # noqa: N818 - names the situation
    """A token cannot be made or revoked as asked. The message says what to do instead."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token: everything but its secret."""

    id: str
    name: str
    scopes: tuple[str, ...]
    made_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    revoked_at: datetime | None = None

    def state(self, now: datetime) -> str:
        """Return "valid", "expired" or "revoked"."""
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if now < self.expires_at else "expired"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a presented token is: a `token` that may be used, or else the `reason` why not."""

    token: Token | None = None
    reason: str = field(default="unknown")


def tokens_file(home: Path) -> Path:
    """Return where a home keeps its tokens: in its folder, or beside the file it is."""
    return home.with_name(f"{home.name}.{TOKENS_FILE}") if home.is_file() else home / TOKENS_FILE


def create(
    home: Path,
    *,
    name: str,
    scopes: Sequence[str] = ("read",),
    days: int = DAYS_DEFAULT,
    now: datetime,
) -> tuple[str, Token]:
    """Make a token and return it with what is known of it; it can never be shown again.

    Raises
    ------
    TokenRefused : when the name, a scope or the days cannot be used, or the home is none.
    """
    given = _named(name)
    wanted = _known(scopes)
    if not 1 <= days <= DAYS_MAX:
        raise TokenRefused(f"A token lasts from 1 to {DAYS_MAX:,} days, not {days:,}.")
    if not home.exists():
        raise TokenRefused(
            f"There is no telemetry at {home}. Name a home with --home, or make one with "
            "`python -m ingest demo`."
        )
    made_at = now.astimezone(UTC).replace(microsecond=0)
    token = Token(secrets.token_hex(ID_BYTES), given, wanted, made_at, made_at + timedelta(days))
    secret = secrets.token_hex(SECRET_BYTES)
    with _writing(home) as connection:
        [number] = connection.execute("SELECT count(*) FROM tokens").fetchone()
        if number >= TOKENS_MAX:
            raise TokenRefused(
                f"There are {number:,} tokens already. Revoke what is not used; tokens that ended "
                "long ago are removed when one is revoked."
            )
        connection.execute(
            "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)",
            (
                token.id,
                token.name,
                _digest(secret),
                " ".join(token.scopes),
                _seconds(token.made_at),
                _seconds(token.expires_at),
            ),
        )
    return f"{PREFIX}_{token.id}_{secret}", token


def listed(home: Path) -> list[Token]:
    """Return the tokens of a home, newest first."""
    with _reading(home) as connection:
        if connection is None:
            return []
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM tokens ORDER BY made_at DESC, id LIMIT ?", (TOKENS_MAX,)
        )
        return [_token(*row) for row in rows.fetchall()]


def revoke(home: Path, token_id: str, *, now: datetime) -> Token:
    """End a token from now on and return it; revoking it again changes nothing.

    Raises
    ------
    TokenRefused : when there is no token of that id.
    """
    found = {token.id: token for token in listed(home)}.get(token_id)
    if found is None:
        raise TokenRefused(
            f"There is no token {token_id[:40]!r}. `python -m ingest token list` shows their ids."
        )
    with _writing(home) as connection:
        connection.execute(
            "UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL",
            (_seconds(now), token_id),
        )
        # what ended a year ago is no longer worth a line in the list
        long_ago = _seconds(now) - int(timedelta(days=365).total_seconds())
        connection.execute(
            "DELETE FROM tokens WHERE id != ? AND min(expires_at, ifnull(revoked_at, expires_at))"
            " < ?",
            (token_id, long_ago),
        )
    return next(token for token in listed(home) if token.id == token_id)


def check(home: Path, presented: str, *, now: datetime) -> Checked:
    """Return what a presented token is, in the time it takes for any other.

    Reasons: malformed, unknown, revoked, expired.

    Raises
    ------
    sqlite3.Error : when the home's tokens cannot be read.
    """
    match = _TOKEN.fullmatch(presented)
    if match is None:
        return Checked(reason="malformed")
    with _reading(home) as connection:
        row = (
            connection
            and connection.execute(
                f"SELECT digest, {_COLUMNS} FROM tokens WHERE id = ?", (match["id"],)
            ).fetchone()
        )
    stored, *known = row or (_NOBODY,)
    is_it = hmac.compare_digest(bytes(stored), _digest(match["secret"]))
    if not is_it or not known:
        return Checked(reason="unknown")
    token = _token(*known)
    state = token.state(now)
    return Checked(token, "") if state == "valid" else Checked(reason=state)


def note_use(home: Path, token: Token, *, now: datetime) -> bool:
    """Remember roughly when a token was last used; return whether it had to be written down."""
    if token.used_at is not None and now - token.used_at < USED_EVERY:
        return False
    try:
        with _writing(home, busy_s=BUSY_NOTING_S) as connection:
            connection.execute(
                "UPDATE tokens SET used_at = ? WHERE id = ?", (_seconds(now), token.id)
            )
    except (sqlite3.Error, OSError):  # a home that is read-only or busy: the next use says it
        return False
    return True


_NOBODY: Final = bytes(hashlib.sha256().digest_size)  # what no secret has for a digest


def _digest(secret: str) -> bytes:
    return hashlib.sha256(bytes.fromhex(secret)).digest()


def _named(name: str) -> str:
    given = name.strip()
    if not given or len(given) > NAME_CHARS_MAX or not given.isprintable():
        raise TokenRefused(
            f"A token needs a name of 1 to {NAME_CHARS_MAX} printable characters that says who "
            "uses it, such as --name grafana."
        )
    return given


def _known(scopes: Sequence[str]) -> tuple[str, ...]:
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        named = f"{unknown[0][:40]!r} is no scope" if unknown else "A token needs a scope"
        raise TokenRefused(f"{named}. The scopes are {', '.join(SCOPES)}.")
    return tuple(scope for scope in SCOPES if scope in scopes)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _token(  # noqa: PLR0917 - a row of the table, in its order
    token_id: str,
    name: str,
    scopes: str,
    made_at: int,
    expires_at: int,
    used_at: int | None,
    revoked_at: int | None,
) -> Token:
    known = tuple(scope for scope in scopes.split() if scope in SCOPES)
    return Token(
        token_id,
        name,
        known,
        datetime.fromtimestamp(made_at, UTC),
        datetime.fromtimestamp(expires_at, UTC),
        _moment(used_at),
        _moment(revoked_at),
    )


@contextlib.contextmanager
def _reading(home: Path) -> Iterator[sqlite3.Connection | None]:
    """Open the tokens to read; None when none was ever made.

    Not read-only where it can be helped: what a server killed in the middle of writing left behind
    has to be taken back before anything can be read.
    """
    path = tokens_file(home)
    if not path.exists():
        yield None
        return
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=BUSY_S)
    with contextlib.closing(connection):
        yield connection


@contextlib.contextmanager
def _writing(home: Path, *, busy_s: float = BUSY_S) -> Iterator[sqlite3.Connection]:
    """Open the tokens to write, in one transaction; the file is its owner's alone."""
    path = tokens_file(home)
    # made by us with its rights, never by SQLite with everybody's; a journal takes them over
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)
    with contextlib.closing(sqlite3.connect(path, timeout=busy_s, isolation_level=None)) as opened:
        opened.execute("BEGIN IMMEDIATE")
        try:
            opened.execute(_TABLE)
            yield opened
        except BaseException:
            opened.execute("ROLLBACK")
            raise
        opened.execute("COMMIT")
