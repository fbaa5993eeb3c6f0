"""A process may be killed at any moment: what `flush` promised is there, exactly once."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from data_access import scan
from ingest.loader import replay_log
from tests.processes import STRICT, log_files, logged, start, stored

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

EVENTS_PER_PROCESS = 1_000_000  # the numbers of one process; its events carry them as duration_ms
ROUNDS_EVERYDAY = 4
ROUNDS_SLOW = 300
POINTS_EVERYDAY = 12

# A warm process that forks the ones that are killed: a start-up costs more than a whole round.
NEST = """
import random, select
import ingest.intake, ingest.salt, ingest.worker, ingest.writer, ingest.loader, secrets, sqlite3

PROCESSES = 4

def say(client, out, first, dice):
    number = first
    while True:
        numbers = range(number, number + dice.choice((1, 3, 40, 400)))
        for number in numbers:
            client.track("session_started", duration_ms=number, user_id="ada")
        if client.flush(10.0):
            os.write(out, f"{numbers.start} {numbers.stop}\\n".encode())
        number = numbers.stop

def load(order):
    while not Path(order["home"], "salt").exists():
        time.sleep(0.001)
    while True:
        try:
            ingest.loader.replay_log(Path(order["home"]))
        except sqlite3.OperationalError:
            pass  # locked, or not made yet

def burst(order):
    dice = random.Random(order["seed"])
    come, out = os.pipe()
    early = Client(order["home"]) if dice.random() < 0.3 else None
    pids = []
    for process in range(PROCESSES + order["loader"]):
        pid = os.fork()
        if pid == 0:
            try:
                if process == PROCESSES:
                    load(order)
                client = early or Client(order["home"])
                say(client, out, order["first"] + process * order["step"], dice)
            finally:
                os._exit(9)
        pids.append(pid)
    time.sleep(order["delay_s"])
    dice.shuffle(pids)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        time.sleep(dice.random() * order["gap_s"])
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    os.close(out)
    with os.fdopen(come) as pipe:
        safe = [[int(number) for number in line.split()] for line in pipe]
    return {"ends": ends, "safe": safe}

# --- a process that kills itself at its nth dealing with the file system or the database ---

DEALINGS = {"write", "open", "close", "link", "mkdir", "unlink", "replace", "fdopen", "connect",
            "execute", "executemany", "fstat", "stat", "lseek", "read", "scandir"}

class Fuse:
    def __init__(self, left):
        self.left, self.seen = left, 0
    def __call__(self, frame, what, function):
        if what not in ("c_call", "c_return") or "/ingest/" not in frame.f_code.co_filename:
            return
        if getattr(function, "__name__", "") in DEALINGS:
            self.seen += 1
            if self.seen == self.left:
                os.kill(os.getpid(), signal.SIGKILL)

def point(order):
    come, out = os.pipe()
    pid = os.fork()
    if pid == 0:
        fuse = Fuse(order["nth"])
        threading.setprofile(fuse)  # the thread that writes is made below
        client = Client(order["home"])
        for first in range(order["first"], order["first"] + 9, 3):
            for number in range(first, first + 3):
                client.track("session_started", duration_ms=number, user_id="ada")
            if client.flush(10.0):
                os.write(out, f"{first} {first + 3}\\n".encode())
        client.close()
        os.write(out, f"-1 {fuse.seen}\\n".encode())
        os._exit(0)
    os.close(out)
    with os.fdopen(come) as pipe:
        safe = [[int(number) for number in line.split()] for line in pipe]
    end = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    seen = [last for first, last in safe if first < 0]
    return {"ends": [end], "safe": [one for one in safe if one[0] >= 0], "seen": seen}

for line in sys.stdin:
    order = json.loads(line)
    print(json.dumps({"burst": burst, "point": point}[order["do"]](order)), flush=True)
"""


class Nest:
    """Talks to the process that starts and kills the others."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, **order: Any) -> dict[str, Any]:
        """Give an order and return what came of it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the nest itself died"
        return json.loads(line)


@pytest.fixture
def nest(home: Path) -> Iterator[Nest]:
    with start(home, NEST, env=STRICT) as process:
        yield Nest(process)
        process.stdin.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


def numbers(ranges: list[list[int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last)}


def assert_whole(home: Path, safe: set[int]) -> None:
    """Everything promised is there exactly once, wherever one looks, and everything is readable."""
    if not home.joinpath("log").exists():  # killed before anything was said
        assert not safe
        return
    said = Counter(line["duration_ms"] for line in logged(home))
    assert safe <= said.keys()
    assert set(said.values()) <= {1}

    shown = Counter(scan("events", home).collect()["duration_ms"])
    assert shown == said

    replay_log(home)
    rows = stored(home, "id || event_id || duration_ms")
    assert Counter(stored(home, "duration_ms")) == said
    assert stored(home, "text", "telemetry_quarantine") == []
    assert replay_log(home) == 0
    assert stored(home, "id || event_id || duration_ms") == rows

    assert len(set(stored(home, "user_id_hash"))) <= 1  # one salt for all
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert Counter(scan("events", home).collect()["duration_ms"]) == said


def tear(home: Path, dice: random.Random) -> str:
    """Cut one log file inside its last line; return that line."""
    path = dice.choice([path for path in log_files(home) if path.stat().st_size])
    text = path.read_bytes().removesuffix(b"\n")
    start_of_last = text.rfind(b"\n") + 1
    cut = dice.randrange(start_of_last + 1, len(text) + 1)
    path.write_bytes(text[:cut])
    return text[start_of_last:].decode()


def one_round(nest: Nest, home: Path, seed: int) -> None:
    dice = random.Random(seed)
    if dice.random() < 0.5:
        home.mkdir(parents=True, exist_ok=True)
        home.joinpath("telemetry.toml").write_text("[log]\nrotate_mb = 0.005\n")
    safe: set[int] = set()
    for burst in range(dice.randint(1, 3)):
        found = nest.ask(
            do="burst",
            home=str(home),
            seed=dice.random(),
            first=burst * 8 * EVENTS_PER_PROCESS,
            step=EVENTS_PER_PROCESS,
            loader=dice.random() < 0.3,
            delay_s=dice.choice((0.004, 0.02, 0.05, 0.12)) * (0.5 + dice.random()),
            gap_s=dice.choice((0.0, 0.01)),
        )
        assert set(found["ends"]) == {-9}
        safe |= numbers(found["safe"])
    assert_whole(home, safe)


def rounds(nest: Nest, home: Path, seed: int, count: int) -> None:
    for number in range(seed, seed + count):
        try:
            one_round(nest, home.parent / f"home{number}", number)
        except AssertionError as error:
            error.add_note(f"seed {number}")
            raise


def test_four_processes_killed_under_load_lose_nothing_that_was_promised(nest, home):
    rounds(nest, home, 1_000, ROUNDS_EVERYDAY)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_hundreds_of_kills_lose_nothing_that_was_promised(nest, home, part):
    count = ROUNDS_SLOW // 4
    rounds(nest, home, 2_000 + part * count, count)


def killed_at(nest: Nest, home: Path, nth: int, first: int = 0) -> dict[str, Any]:
    found = nest.ask(do="point", home=str(home), nth=nth, first=first)
    assert found["ends"] == [0 if found["seen"] else -9]
    return found


def check_points(nest: Nest, home: Path, points: list[int]) -> None:
    """Kill a process at each point of its life, let another finish the job, look at both."""
    for nth in points:
        try:
            own = home.parent / f"home{nth}"
            own.mkdir()
            own.joinpath("telemetry.toml").write_text("[log]\nrotate_mb = 0.0005\n")
            first, second = killed_at(nest, own, nth), killed_at(nest, own, 0, first=100)
            assert len(numbers(second["safe"])) == 9
            assert_whole(own, numbers(first["safe"]) | numbers(second["safe"]))
        except AssertionError as error:
            error.add_note(f"killed at dealing {nth} with files and database")
            raise


def dealings(nest: Nest, home: Path) -> int:
    [seen] = killed_at(nest, home.parent / "whole", 0)["seen"]
    assert seen > 50
    return seen


@pytest.mark.slow
def test_a_kill_between_two_dealings_with_the_disk_loses_nothing(nest, home):
    points = range(1, dealings(nest, home) + 1)
    check_points(nest, home, sorted(random.Random(3).sample(points, POINTS_EVERYDAY)))


@pytest.mark.slow
def test_a_kill_before_and_after_every_dealing_with_the_disk_loses_nothing(nest, home):
    check_points(nest, home, list(range(1, dealings(nest, home) + 1)))


@pytest.mark.parametrize("seed", range(5))
def test_a_torn_last_line_is_never_believed_and_costs_no_other_line(nest, home, seed):
    dice = random.Random(seed)
    for first in (0, 100):
        killed_at(nest, home, 0, first=first)
    home.joinpath("telemetry.db").unlink()
    before = Counter(line["duration_ms"] for line in logged(home))
    torn = tear(home, dice)
    left = before - Counter([json.loads(torn)["duration_ms"]])

    assert Counter(scan("events", home).collect()["duration_ms"]) == left
    replay_log(home)
    assert Counter(stored(home, "duration_ms")) == left
    killed_at(nest, home, 0, first=200)
    assert Counter(stored(home, "duration_ms")) == left + Counter(range(200, 209))
    assert stored(home, "text", "telemetry_quarantine") == []


def test_a_kill_leaves_all_processes_with_one_salt(nest, home):
    """Kills before there is a salt, while it is made, and after."""
    hashes = set()
    for nth in range(1, 25, 4):
        own = home.parent / f"home{nth}"
        killed_at(nest, own, nth)
        for first in (100, 200):
            killed_at(nest, own, 0, first=first)
        found = {line["user_id_hash"] for line in logged(own)}
        assert len(found) == 1, f"killed at dealing {nth}"
        hashes |= found
    assert len(hashes) == 6  # and every home has its own
