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
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bench.rivals import (
    BURST_S,
    DRAIN_S,
    RIVALS,
    ConsumedQueue,
    OpenTelemetry,
    Ours,
    PlainQueue,
    PostHog,
    client_of,
    must,
    stored_in,
    to_say,
    track,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bench.rivals import Rival, Said

ROOT: Final = Path(__file__).resolve().parent.parent
CALLS: Final = 1_000  # in a round: fewer than the smallest buffer, OpenTelemetry's 2,048, holds
ROUNDS: Final = 60
BUSY_PER_SECOND: Final = 20_000
BUSY_S: Final = 5.0
SUSTAINED_EVENTS: Final = 100_000
SUSTAINED_ROUNDS: Final = 3
BATCH_ROWS: Final = 2_000  # the client's own: ingest.worker.BATCH_MAX
STEADY_PER_SECOND: Final = 1_000
STEADY_BURST_S: Final = 0.01
STARTS: Final = 15
TOOL_CALLS: Final = 100
TOOL_MS: Final = 1.0
REST_S: Final = 0.005  # after a drain, until the background's threads sleep again
HEAVY: Final = ("polars", "streamlit", "plotly", "pandas", "sqlite_utils")


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


# --- track -------------------------------------------------------------------------------------


def _track_part(folder: Path, _: float) -> Iterator[Figure]:
    """Measure a call while the background rests, and while it has no rest."""
    things = to_say(CALLS)
    rivals: list[Rival] = [kind(folder / f"home-{n}") for n, kind in enumerate(RIVALS)]
    times = _rounds(rivals, things)
    for rival in rivals:
        arrived = rival.close()
        must(
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
    things = itertools.cycle(to_say(CALLS))
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
    things = to_say(SUSTAINED_EVENTS)
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
    client = client_of(home)
    say, refused = client.track, 0
    must(track(client, things[0]) and client.flush(DRAIN_S), "the first event did not arrive")
    gc.collect()
    start = _now()
    for said in things:
        while not say(
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
    stored = stored_in(home)
    must(flushed and stored == len(things) + 1, f"{stored} of {len(things) + 1} are in SQLite")
    must(client.close(DRAIN_S), "close ran out of time")
    stats = client.stats()
    must(sum(stats["dropped"].values()) == refused, f"{refused} calls were refused: {stats}")
    must(_logged(home) == stored, f"the log has {_logged(home)} lines, SQLite {stored} rows")
    return took


def _logged(home: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in home.glob("log/*/*.jsonl"))


def _rows(home: Path) -> list[tuple[Any, ...]]:
    """Return the rows of a home as they are, without the first."""
    from ingest.vocabulary import TABLES  # noqa: PLC0415 - as in client_of

    columns = ", ".join(TABLES["events"].column_names)
    connection = sqlite3.connect(home / "telemetry.db")
    query = f"SELECT {columns} FROM telemetry_events ORDER BY id LIMIT -1 OFFSET 1"
    rows = connection.execute(query).fetchall()
    connection.close()
    return rows


def _bare(folder: Path, rows: Sequence[tuple[Any, ...]]) -> Took:
    """Return the time SQLite takes for the same rows into the same table, prebuilt."""
    from ingest.migrate import open_database  # noqa: PLC0415 - as in client_of
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
    must(stored_in(folder) == len(rows), "bare executemany lost rows")
    return took


# --- steady ------------------------------------------------------------------------------------


def _steady_part(folder: Path, minutes: float) -> Iterator[Figure]:
    """Measure memory and CPU of steady work, over the same process without a client."""
    without = _in_its_own_process("nothing", folder / "home", minutes)
    with_it = _in_its_own_process("client", folder / "home", minutes)
    said = with_it["said"]
    must(stored_in(folder / "home") == said, f"not all of {said:,.0f} events are in SQLite")
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
    things = itertools.cycle(to_say(CALLS))
    client = None if home is None else client_of(home)
    burst, bursts = round(STEADY_PER_SECOND * STEADY_BURST_S), round(minutes * 60 / STEADY_BURST_S)
    half_mb = 0.0
    start, cpu = time.monotonic(), time.process_time()
    for number in range(bursts):
        for said in itertools.islice(things, burst):
            if client is not None:
                must(track(client, said), "the buffer is full at a thousand events a second")
        if number == bursts // 2:
            half_mb = _memory_mb("VmRSS")
        time.sleep(max(start + (number + 1) * STEADY_BURST_S - time.monotonic(), 0))
    if client is not None:
        must(client.flush(DRAIN_S), "flush ran out of time")
    share = (time.process_time() - cpu) / (time.monotonic() - start)
    end_mb, peak_mb = _memory_mb("VmRSS"), _memory_mb("VmHWM")
    if client is not None:
        must(client.close(DRAIN_S), "close ran out of time")
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
    must(not heavy, f"import ingest loads {', '.join(heavy)}")
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
        from ingest.mcp import instrument_tool  # noqa: PLC0415 - as in client_of
    except ImportError:
        print("mcp       skipped: there is no ingest.mcp.instrument_tool")
        return
    loops = _loops_of(TOOL_MS)

    def search_context(query: str) -> dict[str, int]:
        for _ in range(loops):
            pass
        return {"results_count": len(query)}

    client = client_of(folder / "home")
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
    must(client.close(DRAIN_S), "close ran out of time")
    stored, calls = stored_in(folder / "home"), TOOL_CALLS * (ROUNDS + 1)
    must(stored == calls, f"{stored} of {calls} calls of the tool were recorded")
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
    from ingest import scrub  # noqa: PLC0415 - as in client_of
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
    client = client_of(folder / "home")
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
    must(client.close(DRAIN_S), "close ran out of time")
    yield from _worker_steps(folder)


def _worker_steps(folder: Path) -> Iterator[Figure]:
    """Measure what the background thread does to an event, step by step."""
    from ingest.counts import Counts  # noqa: PLC0415 - as in client_of
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
    things = itertools.cycle(to_say(CALLS))

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
