"""Who has signed out: a copy of their cookie opens nothing any more.

Streamlit's cookie is good until it ends, wherever a copy of it is; this remembers those that were
taken back before, in the home, so that a restart or a second server does not forget them.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ingest.sign_outs import has_signed_out, note_sign_out

if TYPE_CHECKING:
    from collections.abc import Mapping

UNWRITTEN_MAX: Final = 10_000  # sign-outs of a home that cannot be written; the oldest goes first
_log: Final = logging.getLogger(__name__)


class Left:
    """The sign-ins that were ended by hand and would otherwise still count."""

    def __init__(self) -> None:
        self._unwritten: dict[str, None] = {}

    def add(self, where: str, claims: Mapping[str, Any], now: float) -> None:
        """Remember that this sign-in was ended; in memory at least, where the home is read-only."""
        key = _key(claims)
        try:
            note_sign_out(_home(where), key, now=now)
        except OSError as error:
            _log.warning("a sign-out is remembered until this server ends only: %s", error)
            while len(self._unwritten) >= UNWRITTEN_MAX:
                del self._unwritten[next(iter(self._unwritten))]
            self._unwritten[key] = None

    def has(self, where: str, claims: Mapping[str, Any]) -> bool:
        """Tell whether this sign-in was ended by hand.

        Raises
        ------
        OSError : when that cannot be told.
        """
        key = _key(claims)
        return key in self._unwritten or has_signed_out(_home(where), key)


def _home(where: str) -> Path:
    return Path(where).expanduser()


def _key(claims: Mapping[str, Any]) -> str:
    """Return a digest of one sign-in: its token's nonce makes it unlike every other."""
    return hashlib.sha256(json.dumps(claims, sort_keys=True).encode()).hexdigest()
