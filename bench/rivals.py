"""The clients `bench.ingest` measures side by side, and the same things for each to say."""

from __future__ import annotations

import itertools
import queue
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ingest.client import Client

PEOPLE: Final = 500
BURST_S: Final = 0.001
DRAIN_S: Final = 60.0
TOOLS: Final = (
    *("search_context", "update_memory", "compress_context", "reference_suggest"),
    *("ontology_classify", "branch_create", "tool_call"),
)


class Wrong(RuntimeError):  # noqa: N818 - names the situation
    """A benchmark that lost something, or measured something else, has no result."""


def must(holds: bool, message: str) -> None:  # noqa: FBT001 - an assertion that -O does not remove
    """Refuse to go on with what would be no result."""
    if not holds:
        raise Wrong(message)


# --- what is said ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """What a host has at hand when it calls."""

    user: str
    session: str
    tier: str
    tool: str
    took_ms: float
    results: int


def to_say(count: int) -> list[Said]:
    """Return that many different things to say, the same every time."""
    chance = random.Random(1)  # noqa: S311 - a payload, not a secret
    tiers = ("free", "trial", "paid", "enterprise")
    people = [(f"user-{n}", f"sess_{n:04d}", tiers[n % 4]) for n in range(PEOPLE)]
    return [
        Said(
            *chance.choice(people),
            chance.choice(TOOLS),
            round(chance.lognormvariate(4, 1), 2),
            chance.randrange(50),
        )
        for _ in range(count)
    ]


def client_of(home: Path) -> Client:
    """Return a client that writes to a home."""
    from ingest import Client  # noqa: PLC0415 - a process without a client must not load it

    return Client(home, channel="server", release="2.0.0", environ={})


def track(client: Client, said: Said) -> bool:
    """Say it the way a host would."""
    return client.track(
        "server_operation_called",
        user_id=said.user,
        session_id=said.session,
        user_tier=said.tier,
        channel="server",
        result="success",
        duration_ms=said.took_ms,
        metadata={"tool_name": said.tool, "results_count": said.results},
    )


def stored_in(home: Path) -> int:
    """Return how many events SQLite has."""
    from ingest.migrate import open_database  # noqa: PLC0415 - as in client_of

    connection = open_database(home / "telemetry.db")
    try:
        return int(connection.execute("SELECT count(*) FROM telemetry_events").fetchone()[0])
    finally:
        connection.close()


# --- the rivals --------------------------------------------------------------------------------


class Rival(Protocol):
    """A client under its usual settings, and a count of what reached its far end."""

    name: str

    def say(self, said: Said) -> object:
        """Make one call."""

    def drain(self) -> None:
        """Wait until the background has nothing left."""

    def close(self) -> int:
        """Stop; return how many calls reached the far end."""


class Ours:
    """Log and SQLite."""

    name = "betascope track()"

    def __init__(self, home: Path) -> None:
        self._home = home
        self._client = client = client_of(home)
        self.say = lambda said: client.track(
            "server_operation_called",
            user_id=said.user,
            session_id=said.session,
            user_tier=said.tier,
            channel="server",
            result="success",
            duration_ms=said.took_ms,
            metadata={"tool_name": said.tool, "results_count": said.results},
        )

    def drain(self) -> None:
        """Wait for the log and SQLite."""
        must(self._client.flush(DRAIN_S), "flush ran out of time")

    def close(self) -> int:
        """Close; return how many rows SQLite has."""
        must(self._client.close(DRAIN_S), "close ran out of time")
        stats = self._client.stats()
        must(stats["faults"] == 0, f"the client met faults: {stats}")
        return stored_in(self._home)


class OpenTelemetry:
    """The SDK's batched log records; the exporter only counts them."""

    name = "OpenTelemetry emit()"

    def __init__(self, _: Path) -> None:
        from opentelemetry._logs import LogRecord  # noqa: PLC0415 - as in client_of
        from opentelemetry.sdk._logs import LoggerProvider, export  # noqa: PLC0415 - the same

        class Counting(export.LogRecordExporter):
            taken = 0

            def export(self, batch: Sequence[object]) -> export.LogRecordExportResult:
                self.taken += len(batch)
                return export.LogRecordExportResult.SUCCESS

            def shutdown(self) -> None:
                """Nothing to stop."""

            def force_flush(self, timeout_millis: int = 30_000) -> bool:
                return timeout_millis > 0

        self._exporter = Counting()
        self._provider = LoggerProvider(shutdown_on_exit=False)
        self._processor = export.BatchLogRecordProcessor(self._exporter)
        self._provider.add_log_record_processor(self._processor)
        emit = self._provider.get_logger("bench").emit
        self.say = lambda said: emit(
            LogRecord(
                timestamp=time.time_ns(),
                event_name="server_operation_called",
                attributes={
                    "user.id": said.user,
                    "session.id": said.session,
                    "user_tier": said.tier,
                    "channel": "server",
                    "result": "success",
                    "duration_ms": said.took_ms,
                    "tool_name": said.tool,
                    "results_count": said.results,
                },
            )
        )

    def drain(self) -> None:
        """Export what waits."""
        must(self._processor.force_flush(), "OpenTelemetry did not flush")

    def close(self) -> int:
        """Shut down; return how many records were exported."""
        self._provider.shutdown()
        return self._exporter.taken


class PostHog:
    """The official client with its queue and its consumer; only the network is cut out."""

    name = "posthog capture()"

    def __init__(self, _: Path) -> None:
        from posthog import Posthog  # noqa: PLC0415 - as in client_of
        from posthog.consumer import Consumer  # noqa: PLC0415 - the same

        self._taken = 0
        setattr(Consumer, "request", self._request)  # noqa: B010 - a method, mypy would rather not
        self._client = Posthog("phc_bench", host="http://127.0.0.1:9", sync_mode=False)
        capture = self._client.capture
        self.say = lambda said: capture(
            "server_operation_called",
            distinct_id=said.user,
            properties={
                "$session_id": said.session,
                "user_tier": said.tier,
                "channel": "server",
                "result": "success",
                "duration_ms": said.took_ms,
                "tool_name": said.tool,
                "results_count": said.results,
            },
        )

    def _request(self, batch: Sequence[object]) -> None:
        self._taken += len(batch)

    def drain(self) -> None:
        """Wait for the queue."""
        self._client.flush()

    def close(self) -> int:
        """Shut down; return how many events would have been sent."""
        self._client.shutdown()
        return self._taken


@dataclass(slots=True)
class Record:
    """What a hand-written client would put into its queue."""

    name: str
    user: str
    session: str
    tier: str
    channel: str
    result: str
    duration_ms: float
    metadata: Mapping[str, Any]
    timestamp: float


class PlainQueue:
    """`queue.Queue` of dataclasses, emptied by hand between the rounds."""

    name = "queue.Queue of dataclasses"

    def __init__(self, _: Path) -> None:
        self.taken = 0
        self.queue: queue.Queue[Record | None] = queue.Queue()
        put = self.queue.put
        self.say = lambda said: put(
            Record(
                name="server_operation_called",
                user=said.user,
                session=said.session,
                tier=said.tier,
                channel="server",
                result="success",
                duration_ms=said.took_ms,
                metadata={"tool_name": said.tool, "results_count": said.results},
                timestamp=time.time(),
            )
        )

    def drain(self) -> None:
        """Take everything out."""
        while not self.queue.empty():
            self.queue.get()
            self.taken += 1

    def close(self) -> int:
        """Return how many came out."""
        return self.taken


class ConsumedQueue(PlainQueue):
    """The same with a thread that takes each one and does nothing with it."""

    name = "queue.Queue of dataclasses, one consumer"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._thread = threading.Thread(target=self._consume, daemon=True)
        self._thread.start()

    def _consume(self) -> None:
        while self.queue.get() is not None:
            self.taken += 1

    def drain(self) -> None:
        """Wait until the thread has taken everything."""
        until = time.monotonic() + DRAIN_S
        while not self.queue.empty():
            must(time.monotonic() < until, "the consumer did not come to an end")
            time.sleep(BURST_S)

    def close(self) -> int:
        """Stop the thread; return how many it took."""
        self.queue.put(None)
        self._thread.join(DRAIN_S)
        return self.taken


class Nothing:
    """An empty call: what the measuring itself costs, and is part of every figure."""

    name = "an empty call"

    def __init__(self, _: Path) -> None:
        self._calls = itertools.count()
        self.say = lambda _said: None

    def drain(self) -> None:
        """Nothing waits."""

    def close(self) -> int:
        """Nothing can be lost."""
        return -1


RIVALS: Final[tuple[Callable[[Path], Rival], ...]] = (
    Ours,
    OpenTelemetry,
    PostHog,
    PlainQueue,
    ConsumedQueue,
    Nothing,
)
