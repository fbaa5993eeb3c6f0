"""Who has signed out: a copy of their cookie opens nothing any more.

Streamlit's cookie is good until it ends, wherever a copy of it is; this remembers, in memory, those
that were taken back before.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

LEFT_MAX: Final = 100_000  # sign-outs remembered; the oldest goes first


class Left:
    """The sign-ins that were ended by hand and would otherwise still count."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, claims: Mapping[str, Any], until: float, now: float) -> None:
        """Remember that this sign-in was ended; it would have counted `until` then."""
        if len(self._until) >= LEFT_MAX:
            self._until = {key: end for key, end in self._until.items() if end > now}
        while len(self._until) >= LEFT_MAX:
            del self._until[next(iter(self._until))]
        self._until[_key(claims)] = until

    def has(self, claims: Mapping[str, Any], now: float) -> bool:
        """Tell whether this sign-in was ended by hand."""
        return bool(self._until) and bool(claims) and self._until.get(_key(claims), 0.0) > now


def _key(claims: Mapping[str, Any]) -> str:
    """Return a digest of one sign-in: its token's nonce makes it unlike every other."""
    return hashlib.sha256(json.dumps(claims, sort_keys=True).encode()).hexdigest()
