"""`python -m ingest token create | list | revoke`: what a person types to give out API tokens."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from ingest import tokens
from ingest.tokens import DAYS_DEFAULT, SCOPES

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

_DAY: Final = "%Y-%m-%d"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the three commands to a parser."""
    parser.description = (
        "Bearer tokens of the HTTP API (docs/API.md). A token is shown once, when it is made; the "
        "home keeps only a hash of it."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    made = actions.add_parser(
        "create",
        help="make a token and print it, once",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="scopes:\n" + "\n".join(f"  {name:<8} {what}" for name, what in SCOPES.items()),
    )
    made.add_argument("--name", required=True, help="who uses it, such as grafana")
    made.add_argument(
        "--scope",
        action="append",
        choices=tuple(SCOPES),
        metavar="SCOPE",
        help=f"what it may read, repeatable: {', '.join(SCOPES)} (default: read)",
    )
    made.add_argument(
        "--days", type=int, default=DAYS_DEFAULT, help="how long it lasts (default: %(default)s)"
    )
    shown = actions.add_parser("list", help="show every token but its secret")
    ended = actions.add_parser("revoke", help="end a token at once")
    ended.add_argument("id", metavar="ID", help="the id that `token list` shows")
    for action in (made, shown, ended):
        action.add_argument("--home", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def run(
    chosen: argparse.Namespace,
    home: Path,
    *,
    now: datetime,
    say: Callable[[str], None],
    explain: Callable[[str], None],
) -> int:
    """Run one of the commands: `say` prints its result, `explain` what a person should know.

    Raises
    ------
    TokenRefused : when it cannot be done as asked.
    """
    if chosen.action == "create":
        scopes = chosen.scope or ["read"]
        secret, token = tokens.create(
            home, name=chosen.name, scopes=scopes, days=chosen.days, now=now
        )
        say(secret)
        explain(
            f"Token {token.id} for {token.name} ({', '.join(token.scopes)}) lasts until "
            f"{token.expires_at:{_DAY}}. It is not shown again: keep it like a password. "
            f"`python -m ingest token revoke {token.id}` ends it."
        )
    elif chosen.action == "list":
        found = tokens.listed(home)
        for line in _table([_row(token, now) for token in found]) if found else ():
            say(line)
        if not found:
            explain("There are no tokens. `python -m ingest token create --name WHO` makes one.")
    else:
        token = tokens.revoke(home, chosen.id, now=now)
        say(f"Token {token.id} for {token.name} ended on {token.revoked_at:{_DAY}}.")
    return 0


_HEAD: Final = ("id", "state", "expires", "last used", "made", "scopes", "name")


def _row(token: tokens.Token, now: datetime) -> tuple[str, ...]:
    used = f"{token.used_at:{_DAY}}" if token.used_at else "never"
    return (
        token.id,
        token.state(now),
        f"{token.expires_at:{_DAY}}",
        used,
        f"{token.made_at:{_DAY}}",
        ",".join(token.scopes),
        token.name,
    )


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    return [
        "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()
        for row in (_HEAD, *rows)
    ]
