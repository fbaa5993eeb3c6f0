"""How often one client may ask: a bucket of requests that refills as time goes by."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

CLIENTS_MAX: Final = 10_000  # remembered at once; the one not seen for longest is forgotten
_MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What asking once more came to."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int  # until all are there again
    retry_after_s: int  # until the next one is there

    def headers(self) -> dict[str, str]:
        """Return the headers that tell the client."""
        told = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }
        return told if self.allowed else told | {"Retry-After": str(self.retry_after_s)}


class Buckets:
    """One bucket per client, of a minute's requests; safe among threads.

    A forgotten client begins with a full bucket, so forgetting is never a punishment.
    """

    def __init__(self, *, clients_max: int = CLIENTS_MAX) -> None:
        self._clients_max = clients_max
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def take(self, client: str, *, per_minute: int, at_s: float) -> Taken:
        """Take one request out of a client's bucket, at a moment of a clock that never turns."""
        rate = per_minute / _MINUTE_S
        with self._lock:
            left, then_s = self._left.get(client, (float(per_minute), at_s))
            left = min(float(per_minute), left + max(0.0, at_s - then_s) * rate)
            allowed = left >= 1.0
            left -= 1.0 if allowed else 0.0
            self._left[client] = (left, at_s)
            self._left.move_to_end(client)
            while len(self._left) > self._clients_max:
                self._left.popitem(last=False)
        return Taken(
            allowed,
            per_minute,
            int(left),
            math.ceil((per_minute - left) / rate),
            max(1, math.ceil((1.0 - left) / rate)),
        )
