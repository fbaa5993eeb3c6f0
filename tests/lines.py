"""Raw records as a client would send them."""

from __future__ import annotations

from typing import Any


def event(
    user: str = "u1",
    name: str = "session_started",
    at: str = "2026-03-01T10:00:00Z",
    **more: Any,
) -> dict[str, Any]:
    """Return a raw event."""
    return {"timestamp": at, "event_name": name, "user_id_hash": user} | more


def many(count: int, *, prefix: str = "e") -> list[dict[str, Any]]:
    """`count` events a minute apart, ids e0, e1, ..."""
    return [
        event(
            user=f"u{number % 7}",
            at=f"2026-03-{1 + number // 1440 % 28:02}T{number // 60 % 24:02}:{number % 60:02}:00Z",
            event_id=f"{prefix}{number}",
        )
        for number in range(count)
    ]
