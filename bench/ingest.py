"""Measure what telemetry costs its host, side by side with other clients and bare SQLite.

    python -m bench.ingest                        everything, about four minutes
    python -m bench.ingest --only track
    python -m bench.ingest --only steady --minutes 10

Rivals take turns in one process, each saying the same event. Every part checks that nothing said
was lost before it prints a figure. Timings differ from machine to machine; read the ratios.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import queue
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ingest.client import Client

ROOT: Final = Path(__file__).resolve().parent.parent
CALLS: Final = 1_000  # in a round: fewer than the smallest buffer, OpenTelemetry's 2,048, holds
ROUNDS: Final = 60
BUSY_PER_SECOND: Final = 20_000
BUSY_S: Final = 5.0
BURST_S: Final = 0.001
SUSTAINED_EVENTS: Final = 100_000
SUSTAINED_ROUNDS: Final = 3
BATCH_ROWS: Final = 2_000  # the client's own: ingest.worker.BATCH_MAX
STEADY_PER_SECOND: Final = 1_000
STEADY_BURST_S: Final = 0.01
STARTS: Final = 15
TOOL_CALLS: Final = 100
TOOL_MS: Final = 1.0
DRAIN_S: Final = 60.0
REST_S: Final = 0.005  # after a drain, until the background's threads sleep again
PEOPLE: Final = 500
HEAVY: Final = ("polars", "streamlit", "plotly", "pandas", "sqlite_utils")
TOOLS: Final = (
    *("search_context", "update_memory", "compress_context", "reference_suggest"),
    *("ontology_classify", "branch_create", "tool_call"),
)


@dataclass(frozen=True)
class Figure:
    """One line of the result: what was measured, and the aim it has, if any."""

    part: str
    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def aim(self) -> str:
        """Say the aim."""
        if self.at_most is not None:
            return f"at most {self.at_most:.4g}"
        return "" if self.at_least is None else f"at least {self.at_least:.4g}"

    @property
    def verdict(self) -> str:
        """Say whether the aim is met."""
        if not self.aim:
            return ""
        above = self.at_most is not None and self.value > self.at_most
        below = self.at_least is not None and self.value < self.at_least
        return "missed" if above or below else "met"


class Wrong(RuntimeError):  # noqa: N818 - names the situation
    """A benchmark that lost something, or measured something else, has no result."""


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.ingest",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    parser.add_argument("--minutes", type=float, default=1.0, help="of the steady part")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--alone", choices=("client", "nothing"), help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.alone:
        _alone(chosen.home if chosen.alone == "client" else None, chosen.minutes)
        return
    figures: list[Figure] = []
    print(f"{'part':<10}{'figure':<64}{'value':>10} {'unit':<11}{'aim':<15}verdict")
    for part in [chosen.only] if chosen.only else PARTS:
        with tempfile.TemporaryDirectory(prefix="betascope-bench-") as folder:
            for figure in PARTS[part](Path(folder), chosen.minutes):
                figures.append(figure)
                print(_line(figure), flush=True)
    if chosen.json:
        lines = [{**vars(one), "aim": one.aim, "verdict": one.verdict} for one in figures]
        chosen.json.write_text(json.dumps(lines, indent=1) + "\n")


def _line(figure: Figure) -> str:
    value = f"{figure.value:,.0f}" if figure.value >= CALLS else f"{figure.value:,.3g}"
    return (
        f"{figure.part:<10}{figure.name:<64}{value:>10} {figure.unit:<11}{figure.aim:<15}"
        f"{figure.verdict}"
    ).rstrip()


def _must(holds: bool, message: str) -> None:  # noqa: FBT001 - an assertion that -O does not remove
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


def _said(count: int) -> list[Said]:
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


def _client(home: Path) -> Client:
    from ingest import Client  # noqa: PLC0415 - a process without a client must not load it

    return Client(home, channel="server", release="2.0.0", environ={})


def _track(client: Client, said: Said) -> bool:
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


def _stored(home: Path) -> int:
    """Return how many events SQLite has."""
    from ingest.migrate import open_database  # noqa: PLC0415 - as in _client

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
        self._client = client = _client(home)
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
        _must(self._client.flush(DRAIN_S), "flush ran out of time")

    def close(self) -> int:
        """Close; return how many rows SQLite has."""
        _must(self._client.close(DRAIN_S), "close ran out of time")
        stats = self._client.stats()
        _must(stats["faults"] == 0, f"the client met faults: {stats}")
        return _stored(self._home)


class OpenTelemetry:
    """The SDK's batched log records; the exporter only counts them."""

    name = "OpenTelemetry emit()"

    def __init__(self, _: Path) -> None:
        from opentelemetry._logs import LogRecord  # noqa: PLC0415 - as in _client
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
        _must(self._processor.force_flush(), "OpenTelemetry did not flush")

    def close(self) -> int:
        """Shut down; return how many records were exported."""
        self._provider.shutdown()
        return self._exporter.taken


class PostHog:
    """The official client with its queue and its consumer; only the network is cut out."""

    name = "posthog capture()"

    def __init__(self, _: Path) -> None:
        from posthog import Posthog  # noqa: PLC0415 - as in _client
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
            _must(time.monotonic() < until, "the consumer did not come to an end")
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


# --- track -------------------------------------------------------------------------------------


def _track_part(folder: Path, _: float) -> Iterator[Figure]:
    """Measure a call while the background rests, and while it has no rest."""
    things = _said(CALLS)
    rivals: list[Rival] = [kind(folder / f"home-{n}") for n, kind in enumerate(RIVALS)]
    times = _rounds(rivals, things)
    for rival in rivals:
        arrived = rival.close()
        _must(
            arrived in {-1, CALLS * (ROUNDS + 1)}, f"{rival.name}: {arrived} of {ROUNDS + 1} rounds"
        )
    best = {name: min(slot) for name, slot in times.items()}
    median = {name: statistics.median(slot) for name, slot in times.items()}
    for name in times:
        yield Figure("track", f"{name}, smallest of {ROUNDS} rounds", best[name], "us/call")
        yield Figure("track", f"{name}, median", median[name], "us/call")
    aims = {
        OpenTelemetry.name: 1 / 3,
        PostHog.name: None,
        PlainQueue.name: 1.0,
        ConsumedQueue.name: 1.0,
    }
    for name, aim in aims.items():
        short = (
            name.removesuffix(" emit()").removesuffix(" capture()").replace("queue.Queue", "Queue")
        )
        for kind, figures in (("smallest", best), ("median", median)):
            ratio = figures[Ours.name] / figures[name]
            yield Figure("track", f"ours / {short}, {kind}", ratio, "ratio", at_most=aim)
    yield from _busy_part(folder)


def _rounds(rivals: Sequence[Rival], things: Sequence[Said]) -> dict[str, list[float]]:
    """Return microseconds per call of every round, the rivals taking turns."""
    times: dict[str, list[float]] = {rival.name: [] for rival in rivals}
    for number in range(ROUNDS + 1):
        for rival in rivals:
            gc.collect()
            time.sleep(REST_S)
            say = rival.say
            start = time.perf_counter()
            for said in things:
                say(said)
            took = time.perf_counter() - start
            rival.drain()
            if number:  # the first round starts threads and fills caches
                times[rival.name].append(took * 1e6 / len(things))
    return times


def _busy_part(folder: Path) -> Iterator[Figure]:
    """Measure single calls while events come steadily and the background never rests."""
    what = f"{BUSY_PER_SECOND:,}/s for {BUSY_S:.0f} s"
    for kind in (Ours, OpenTelemetry, ConsumedQueue):
        rival: Rival = kind(folder / f"busy-{kind.__name__}")
        took_ns, behind_s = _steadily(rival.say)
        rival.drain()
        lost = 100 * (1 - rival.close() / len(took_ns))
        took_ns.sort()
        for name, at in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)):
            value = took_ns[round(at * (len(took_ns) - 1))] / 1e3
            yield Figure("busy", f"{rival.name} at {what}, {name}", value, "us")
        yield Figure("busy", f"{rival.name}, host late at the worst", behind_s * 1e3, "ms")
        yield Figure("busy", f"{rival.name}, not taken", lost, "% of calls", at_most=0)


def _steadily(say: Callable[[Said], object]) -> tuple[list[int], float]:
    """Return what each call took, in nanoseconds, and how late the host's loop ever was."""
    burst = round(BUSY_PER_SECOND * BURST_S)
    things = itertools.cycle(_said(CALLS))
    took_ns: list[int] = []
    behind_s = 0.0
    clock = time.perf_counter_ns
    start = time.monotonic()
    for number in range(round(BUSY_S / BURST_S)):
        for said in itertools.islice(things, burst):
            before = clock()
            say(said)
            took_ns.append(clock() - before)
        wait = start + (number + 1) * BURST_S - time.monotonic()
        behind_s = max(behind_s, -wait)
        time.sleep(max(wait, 0))
    return took_ns, behind_s


# --- sustained ---------------------------------------------------------------------------------


class Took(NamedTuple):
    """Seconds by the clock, and of processor time in all threads."""

    wall_s: float
    cpu_s: float


def _now() -> Took:
    return Took(time.perf_counter(), time.process_time())


def _since(start: Took) -> Took:
    now = _now()
    return Took(now.wall_s - start.wall_s, now.cpu_s - start.cpu_s)


def _sustained_part(folder: Path, _: float) -> Iterator[Figure]:
    """Measure the way to log and SQLite as fast as it goes, against SQLite alone."""
    things = _said(SUSTAINED_EVENTS)
    ours, bare = [], []
    for number in range(SUSTAINED_ROUNDS + 1):
        home = folder / f"home-{number}"
        took = _tracked(home, things)
        rows = _rows(home)
        alone = _bare(folder / f"bare-{number}", rows)
        if number:  # the first round fills caches
            ours.append(took)
            bare.append(alone)
    each: dict[str, Callable[[Iterable[float]], float]] = {"best": min, "median": statistics.median}
    for kind, figure in each.items():
        mine, other = figure(took.wall_s for took in ours), figure(took.wall_s for took in bare)
        yield Figure("sustained", f"log and SQLite, {kind}", len(things) / mine, "events/s")
        yield Figure("sustained", f"bare executemany, {kind}", len(things) / other, "rows/s")
        yield Figure("sustained", f"ours / bare, {kind}", other / mine, "ratio", at_least=0.5)
    # a busy machine spoils the clock's figures, not so much these
    mine, other = min(took.cpu_s for took in ours), min(took.cpu_s for took in bare)
    yield Figure(
        "sustained", "log and SQLite, processor time", mine * 1e6 / len(things), "us/event"
    )
    yield Figure(
        "sustained", "bare executemany, processor time", other * 1e6 / len(things), "us/row"
    )
    yield Figure("sustained", "ours / bare, processor time", other / mine, "ratio")


def _tracked(home: Path, things: Sequence[Said]) -> Took:
    """Return the time until all of it is in the log and in SQLite."""
    client = _client(home)
    track, refused = client.track, 0
    _must(_track(client, things[0]) and client.flush(DRAIN_S), "the first event did not arrive")
    gc.collect()
    start = _now()
    for said in things:
        while not track(
            "server_operation_called",
            user_id=said.user,
            session_id=said.session,
            user_tier=said.tier,
            channel="server",
            result="success",
            duration_ms=said.took_ms,
            metadata={"tool_name": said.tool, "results_count": said.results},
        ):
            refused += 1
            time.sleep(BURST_S)
    flushed = client.flush(DRAIN_S)
    took = _since(start)
    stored = _stored(home)
    _must(flushed and stored == len(things) + 1, f"{stored} of {len(things) + 1} are in SQLite")
    _must(client.close(DRAIN_S), "close ran out of time")
    stats = client.stats()
    _must(sum(stats["dropped"].values()) == refused, f"{refused} calls were refused: {stats}")
    _must(_logged(home) == stored, f"the log has {_logged(home)} lines, SQLite {stored} rows")
    return took


def _logged(home: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in home.glob("log/*/*.jsonl"))


def _rows(home: Path) -> list[tuple[Any, ...]]:
    """Return the rows of a home as they are, without the first."""
    from ingest.vocabulary import TABLES  # noqa: PLC0415 - as in _client

    columns = ", ".join(TABLES["events"].column_names)
    connection = sqlite3.connect(home / "telemetry.db")
    query = f"SELECT {columns} FROM telemetry_events ORDER BY id LIMIT -1 OFFSET 1"
    rows = connection.execute(query).fetchall()
    connection.close()
    return rows


def _bare(folder: Path, rows: Sequence[tuple[Any, ...]]) -> Took:
    """Return the time SQLite takes for the same rows into the same table, prebuilt."""
    from ingest.migrate import open_database  # noqa: PLC0415 - as in _client
    from ingest.vocabulary import TABLES  # noqa: PLC0415 - the same

    columns = TABLES["events"].column_names
    insert = (
        f"INSERT INTO telemetry_events ({', '.join(columns)}) "
        f"VALUES ({', '.join('?' * len(columns))})"
    )
    connection = open_database(folder / "telemetry.db")
    gc.collect()
    start = _now()
    for at in range(0, len(rows), BATCH_ROWS):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, rows[at : at + BATCH_ROWS])
        connection.execute("COMMIT")
    took = _since(start)
    connection.close()
    _must(_stored(folder) == len(rows), "bare executemany lost rows")
    return took


# --- steady ------------------------------------------------------------------------------------


def _steady_part(folder: Path, minutes: float) -> Iterator[Figure]:
    """Measure memory and CPU of steady work, over the same process without a client."""
    without = _in_its_own_process("nothing", folder / "home", minutes)
    with_it = _in_its_own_process("client", folder / "home", minutes)
    said = with_it["said"]
    _must(_stored(folder / "home") == said, f"not all of {said:,.0f} events are in SQLite")
    what = f"{STEADY_PER_SECOND:,}/s for {minutes:g} min"
    for name, key in (("at the end", "end_mb"), ("at its peak", "peak_mb")):
        added = with_it[key] - without[key]
        yield Figure("steady", f"memory added {name}, {what}", added, "MB", at_most=50)
    grown = with_it["end_mb"] - with_it["half_mb"]
    yield Figure("steady", "memory grown in the second half", grown, "MB")
    cpu = 100 * (with_it["cpu"] - without["cpu"])
    yield Figure("steady", f"CPU added, {what}", cpu, "% of a core", at_most=5)
    yield Figure("steady", "CPU of the loop alone", 100 * without["cpu"], "% of a core")


def _in_its_own_process(side: str, home: Path, minutes: float) -> dict[str, float]:
    asked = ["--alone", side, "--minutes", str(minutes), "--home", str(home)]
    run = subprocess.run(
        [sys.executable, "-m", "bench.ingest", *asked],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    found: dict[str, float] = json.loads(run.stdout)
    return found


def _alone(home: Path | None, minutes: float) -> None:
    """Say STEADY_PER_SECOND events a second, or build them only; print memory and CPU as JSON."""
    things = itertools.cycle(_said(CALLS))
    client = None if home is None else _client(home)
    burst, bursts = round(STEADY_PER_SECOND * STEADY_BURST_S), round(minutes * 60 / STEADY_BURST_S)
    half_mb = 0.0
    start, cpu = time.monotonic(), time.process_time()
    for number in range(bursts):
        for said in itertools.islice(things, burst):
            if client is not None:
                _must(_track(client, said), "the buffer is full at a thousand events a second")
        if number == bursts // 2:
            half_mb = _memory_mb("VmRSS")
        time.sleep(max(start + (number + 1) * STEADY_BURST_S - time.monotonic(), 0))
    if client is not None:
        _must(client.flush(DRAIN_S), "flush ran out of time")
    share = (time.process_time() - cpu) / (time.monotonic() - start)
    end_mb, peak_mb = _memory_mb("VmRSS"), _memory_mb("VmHWM")
    if client is not None:
        _must(client.close(DRAIN_S), "close ran out of time")
    found = {"said": burst * bursts, "cpu": share}
    print(json.dumps(found | {"half_mb": half_mb, "end_mb": end_mb, "peak_mb": peak_mb}))


def _memory_mb(name: str) -> float:
    """Return this process's own memory, now or at its peak; Linux only."""
    status = Path("/proc/self/status").read_text()
    [line] = [one for one in status.splitlines() if one.startswith(name)]
    return int(line.split()[1]) / 1024


# --- import ------------------------------------------------------------------------------------


def _import_part(_: Path, __: float) -> Iterator[Figure]:
    """Measure what `import ingest` adds to a bare start; refuse whatever heavy it brings along."""
    _start("import ingest")  # compiles what has no bytecode yet
    pairs = [(_start("pass"), _start("import ingest")) for _number in range(STARTS)]
    added_ms = [1e3 * (full.wall_s - bare.wall_s) for bare, full in pairs]
    added_cpu_ms = [1e3 * (full.cpu_s - bare.cpu_s) for bare, full in pairs]
    name = f"import ingest over a bare start, median of {STARTS}"
    yield Figure("import", name, statistics.median(added_ms), "ms", at_most=50)
    yield Figure("import", "the same, processor time", statistics.median(added_cpu_ms), "ms")
    listing = "import sys, ingest; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True, cwd=ROOT
    )
    heavy = sorted(set(HEAVY) & set(run.stdout.split()))
    _must(not heavy, f"import ingest loads {', '.join(heavy)}")
    yield Figure("import", f"of {', '.join(HEAVY)}", len(heavy), "loaded", at_most=0)


def _start(code: str) -> Took:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    took, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


# --- MCP ---------------------------------------------------------------------------------------


def _mcp_part(folder: Path, _: float) -> Iterator[Figure]:
    """Measure what the decorator adds to a tool that works for a millisecond."""
    try:
        from ingest.mcp import instrument_tool  # noqa: PLC0415 - as in _client
    except ImportError:
        print("mcp       skipped: there is no ingest.mcp.instrument_tool")
        return
    loops = _loops_of(TOOL_MS)

    def search_context(query: str) -> dict[str, int]:
        for _ in range(loops):
            pass
        return {"results_count": len(query)}

    client = _client(folder / "home")
    told = instrument_tool(client)(search_context)
    calls_ms: list[list[float]] = [[], []]
    cpu_ms = [0.0, 0.0]
    for number in range(ROUNDS + 1):
        for side, tool in enumerate((search_context, told)):
            gc.collect()
            time.sleep(REST_S)
            cpu = time.process_time()
            slot = [_once_ms(tool) for _ in range(TOOL_CALLS)]
            client.flush(DRAIN_S)
            if number:
                calls_ms[side] += slot
                cpu_ms[side] += (time.process_time() - cpu) * 1e3
    _must(client.close(DRAIN_S), "close ran out of time")
    stored, calls = _stored(folder / "home"), TOOL_CALLS * (ROUNDS + 1)
    _must(stored == calls, f"{stored} of {calls} calls of the tool were recorded")
    bare, over = calls_ms
    yield Figure("mcp", "the tool alone, median", statistics.median(bare), "ms")
    for kind, figure in (("median", statistics.median), ("smallest", min)):
        added = 100 * (figure(over) / figure(bare) - 1)
        yield Figure("mcp", f"added to a call by the decorator, {kind}", added, "%", at_most=3)
    share = 100 * (cpu_ms[1] / cpu_ms[0] - 1)
    yield Figure("mcp", "processor time added, with the background's", share, "%")


def _once_ms(tool: Callable[[str], object]) -> float:
    start = time.perf_counter()
    tool("where is it")
    return (time.perf_counter() - start) * 1e3


def _loops_of(milliseconds: float) -> int:
    """Return how many empty turns take that long here."""
    turns = 100_000
    took = []
    for _ in range(10):
        start = time.perf_counter()
        for _turn in range(turns):
            pass
        took.append(time.perf_counter() - start)
    return round(turns * milliseconds / (min(took) * 1e3))


# --- parts -------------------------------------------------------------------------------------

MESSAGE: Final = "cannot open /home/ada/work/notes.txt for ada@example.com: token ghp_" + "a1B2" * 9
TRACE: Final = "Traceback (most recent call last):\n" + "".join(
    f'  File "/srv/app/step_{n}.py", line {n}, in step_{n}\n    go({n})\n' for n in range(12)
)


def _parts_part(folder: Path, _: float) -> Iterator[Figure]:
    """Measure single steps, for information."""
    from ingest import scrub  # noqa: PLC0415 - as in _client
    from ingest.sampling import Sampling  # noqa: PLC0415 - the same
    from ingest.stack_hash import stack_hash  # noqa: PLC0415 - the same

    numbers = itertools.count()
    sampling = Sampling(keep_rate=0.1)
    record = {
        "event_name": "context_loaded",
        "result": "success",
        "user_id_hash": "b7e1",
        "duration_ms": 12.5,
        "metadata": {"tool_name": "search_context"},
    }
    client = _client(folder / "home")
    try:
        _fail(8)
    except ValueError as error:
        failure = error
    steps: dict[str, Callable[[], object]] = {
        "scrub.text of a short message": lambda: scrub.text("connection refused by the server"),
        "scrub.text of a path, an email and a token": lambda: scrub.text(MESSAGE),
        "scrub.properties, two keys": lambda: scrub.properties(
            {"tool_name": "search_context", "results_count": 3}
        ),
        "stack_hash of 12 frames": lambda: stack_hash(
            TRACE + f"ValueError: row {next(numbers)}", error_type="ValueError"
        ),
        "Sampling.decide": lambda: sampling.decide(record),
        "client.error() with 9 frames, for the host": lambda: client.error(failure, user_id="ada"),
    }
    for name, step in steps.items():
        yield Figure("parts", name, _each_us(step), "us")
    _must(client.close(DRAIN_S), "close ran out of time")
    yield from _worker_steps(folder)


def _worker_steps(folder: Path) -> Iterator[Figure]:
    """Measure what the background thread does to an event, step by step."""
    from ingest.counts import Counts  # noqa: PLC0415 - as in _client
    from ingest.ids import Uuid7  # noqa: PLC0415 - the same
    from ingest.migrate import open_database  # noqa: PLC0415 - the same
    from ingest.prepare import Preparer  # noqa: PLC0415 - the same
    from ingest.said import EventSaid  # noqa: PLC0415 - the same
    from ingest.vocabulary import METADATA  # noqa: PLC0415 - the same
    from ingest.writer import insert_rows, to_line  # noqa: PLC0415 - the same

    preparer = Preparer(
        salt=b"bench",
        new_id=Uuid7(random.SystemRandom().getrandbits),
        counts=Counts(),
        allow=METADATA,
        channel="server",
        release="2.0.0",
    )
    things = itertools.cycle(_said(CALLS))

    def event() -> Any:  # noqa: ANN401 - a Row, which only ingest names
        said = next(things)
        who = (said.user, None, said.tier, said.session, "server", None, None, None)
        metadata = {"tool_name": said.tool, "results_count": said.results}
        more: dict[str, object] = {}
        return preparer.event(
            EventSaid(
                time.time(),
                "server_operation_called",
                who,
                duration_ms=said.took_ms,
                metadata=metadata,
                more=more,
            )
        )

    row = event()
    yield Figure("parts", "worker: a row of an event", _each_us(event), "us")
    yield Figure("parts", "worker: its line", _each_us(lambda: to_line(row)), "us")
    connection = open_database(folder / "steps" / "telemetry.db")

    def insert() -> None:
        rows = [event().values for _ in range(BATCH_ROWS)]
        started = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        insert_rows(connection, "events", rows)
        connection.execute("COMMIT")
        times.append((time.perf_counter() - started) * 1e6 / BATCH_ROWS)

    times: list[float] = []
    for _ in range(10):
        insert()
    connection.close()
    yield Figure("parts", "worker: its row into SQLite", statistics.median(times), "us")


def _fail(depth: int) -> None:
    if not depth:
        raise ValueError("no such row: 17")
    _fail(depth - 1)


def _each_us(step: Callable[[], object]) -> float:
    """Return the microseconds of one step: the smallest mean of several rounds."""
    turns = 200
    found = []
    for _ in range(10):
        start = time.perf_counter()
        for _turn in range(turns):
            step()
        found.append((time.perf_counter() - start) * 1e6 / turns)
    return min(found)


PARTS: Final[dict[str, Callable[[Path, float], Iterator[Figure]]]] = {
    "track": _track_part,
    "sustained": _sustained_part,
    "steady": _steady_part,
    "import": _import_part,
    "mcp": _mcp_part,
    "parts": _parts_part,
}


if __name__ == "__main__":
    os.environ.pop("DO_NOT_TRACK", None)
    main()
