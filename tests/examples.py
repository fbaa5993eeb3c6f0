"""How many examples a law is tried with: all of them in CI, a third in a person's run."""

from __future__ import annotations

import os

SHARE = 1 if os.environ.get("CI") else 3


def examples(count: int) -> int:
    """Return how many of `count` this run tries; the first ones, as no run draws others."""
    return count // SHARE
