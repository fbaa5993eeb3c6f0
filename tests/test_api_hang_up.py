"""Who hangs up on the HTTP API ends the work, and the waiting: over sockets, without clocks."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from serving import free_port

from data_access.api import Api, reader, server
from ingest import tokens
from ingest.demo import write_demo
from pages.server.api import check

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_S = 60  # waited for at most, where something is broken


class Watched:
    """The API, telling when it heard that somebody hung up and when it was done with a request."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.began, self.heard, self.done = (threading.Semaphore(0) for _ in range(3))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand one request on."""

        async def listened() -> Any:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.heard.release()
            return message

        self.began.release()
        await self.api(scope, listened, send)
        self.done.release()


class Held:
    """Lets no frame be computed until `go`, and counts those that are."""

    def __init__(self, compute: Any) -> None:
        self.compute, self.frames = compute, 0
        self.begun, self.go = threading.Semaphore(0), threading.Event()

    def __call__(self, *given: Any, **options: Any) -> Any:
        """Compute a frame, once it may."""
        self.frames += 1
        self.begun.release()
        assert self.go.wait(LONG_S)
        return self.compute(*given, **options)


@pytest.fixture
def held(monkeypatch) -> Iterator[Held]:
    made = Held(reader.compute)
    monkeypatch.setattr(reader, "compute", made)
    yield made
    made.go.set()


@contextmanager
def serving(home: Any) -> Iterator[tuple[Watched, int]]:
    port = free_port()
    watched = Watched(Api(home=lambda: str(home), check=check))
    run = uvicorn.Server(uvicorn.Config(watched, port=port, lifespan="off", log_level="error"))
    thread = threading.Thread(target=run.run)
    thread.start()
    try:
        while not run.started:
            thread.join(0.01)
        yield watched, port
    finally:
        run.should_exit = True
        thread.join(LONG_S)


@pytest.fixture
def asked(home) -> Iterator[Any]:
    write_demo(home, events=1_000, days=30, seed=5, end=datetime(2026, 3, 1, tzinfo=UTC).date())
    secret, _ = tokens.create(home, name="t", scopes=["read", "metrics"], now=datetime.now(UTC))

    with serving(home) as (watched, port):

        def ask(path: str) -> socket.socket:
            to = socket.create_connection(("127.0.0.1", port), timeout=LONG_S)
            head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n\r\n"
            to.sendall(head.encode())
            assert watched.began.acquire(timeout=LONG_S)
            return to

        ask.watched = watched  # type: ignore[attr-defined] # handed on together
        yield ask


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/api/telemetry/overview", "/metrics"])
def test_the_work_for_a_client_that_hung_up_ends_at_the_next_frame(asked, held, path):
    watched = asked.watched
    to = asked(path)
    assert held.begun.acquire(timeout=LONG_S)

    to.close()
    assert watched.heard.acquire(timeout=LONG_S), "nobody listened while the answer was made"
    held.go.set()

    assert watched.done.acquire(timeout=LONG_S)
    assert held.frames == 1
    counted = b"".join(one.encode() for one in map(str, watched.api._requests.families()))
    assert str(server.HUNG_UP).encode() in counted


@pytest.mark.slow
def test_a_client_that_hung_up_while_it_waited_leaves_the_queue_at_once(asked, held):
    watched = asked.watched
    working = [asked("/api/telemetry/overview") for _ in range(server.WORKERS_MAX)]
    for _ in working:
        assert held.begun.acquire(timeout=LONG_S)

    asked("/api/telemetry/overview").close()

    assert watched.done.acquire(timeout=LONG_S), "it waits for a worker that it does not need"
    assert held.frames == server.WORKERS_MAX
    held.go.set()
    for one in working:
        assert one.recv(15) == b"HTTP/1.1 200 OK"
        one.close()
    assert watched.api._waiting == 0
