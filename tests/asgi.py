"""Asks an ASGI application over no network: what a server would hand it, and what it answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import anyio


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body read as JSON."""
        return json.loads(self.body)


def scope_of(
    address: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
    peer: str = "127.0.0.1",
) -> dict[str, Any]:
    """Return one request as a server hands it on; `address` is the raw path and query string."""
    path, _, query = address.partition("?")
    given = list(headers.items()) if isinstance(headers, dict) else headers or []
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given],
        "client": (peer, 1234),
        "server": ("127.0.0.1", 8501),
        "scheme": "http",
    }


def ask(
    app: Any,
    address: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
    peer: str = "127.0.0.1",
) -> Answered:
    """Send one request; `address` is the raw path and query string."""
    scope = scope_of(address, method=method, headers=headers, peer=peer)
    sent: list[dict[str, Any]] = []
    finished = anyio.Event

    async def run() -> None:
        done = finished()

        async def receive() -> dict[str, Any]:
            if not done.is_set():
                done.set()
                return {"type": "http.request", "body": b"", "more_body": False}
            await anyio.sleep_forever()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await app(scope, receive, send)

    anyio.run(run)
    start = sent[0]
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Answered(
        start["status"],
        {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]},
        body,
    )
