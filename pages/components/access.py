"""Who is looking, and what they may do. Nobody signs in here yet: whoever is here may do all."""

from __future__ import annotations

from typing import Final, Literal

Role = Literal["viewer", "analyst", "admin"]
ROLES: Final[tuple[Role, ...]] = ("viewer", "analyst", "admin")  # each may do what those before may
NEEDED: Final[dict[str, Role]] = {"explore": "analyst", "export": "analyst", "admin": "admin"}


def who() -> str:
    """Return the reader's e-mail address; empty when nobody has to sign in."""
    return ""


def role() -> Role:
    """Return the reader's role; who sits at this machine is its admin when nobody signs in."""
    return "admin"


def may(what: str) -> bool:
    """Say whether the reader may do one of NEEDED: explore, export or admin."""
    return ROLES.index(role()) >= ROLES.index(NEEDED[what])
