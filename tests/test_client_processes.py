"""The client in real programs: exits, signals, forks, threads, damage, consent, hostile hosts."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_access import scan
from ingest import Client, Error, Event, Trace
from ingest.loader import replay_log
from ingest.vocabulary import TABLES, parse_json, read_row
from tests.processes import (
    LENIENT,
    LOCKED,
    PICKY,
    PROGRAM_TIMEOUT_S,
    STRICT,
    accounted,
    answer,
    log_files,
    logged,
    losses,
    names,
    run,
    start,
    stored,
)

DATA = Path(__file__).parent / "data"
EXIT_MAX_S = 2.0
SLACK_S = 4.0  # start-up and a busy machine
BUFFER = """
def limited(client, most):
    client._options = client._options._replace(buffer_max=most)
    client.start_over()
"""
slow = pytest.mark.slow
flagged = pytest.mark.parametrize(
    "flags", [pytest.param((), id="plain"), pytest.param(PICKY, id="picky", marks=slow)]
)
METHODS = ["fork", pytest.param("spawn", marks=slow), pytest.param("forkserver", marks=slow)]


# --- the interpreter ends ---

EXITS = {
    "the script ends": "client = Client(home)\nclient.track('kept')",
    "a function owned the client": """
        def main():
            Client(home).track('kept')
        main()
    """,
    "sys.exit": "client = Client(home)\nclient.track('kept')\nsys.exit(0)",
    "a thread goes on after the script": """
        client = Client(home)
        threading.Thread(target=lambda: (time.sleep(0.2), client.track('kept'))).start()
    """,
    "an exit handler": """
        import atexit
        client = Client(home)
        atexit.register(client.track, 'kept')
    """,
    "an exit handler that flushes": """
        import atexit
        client = Client(home)
        atexit.register(lambda: (client.track('kept'), client.flush()))
    """,
    "asyncio.run": """
        import asyncio
        client = Client(home)
        async def main():
            async with client.trace('work'):
                await asyncio.sleep(0)
            client.track('kept')
        asyncio.run(main())
    """,
    "a context manager": "with Client(home) as client:\n    client.track('kept')",
    "a global that is deleted": "client = Client(home)\nclient.track('kept')\ndel client",
}


@flagged
@pytest.mark.parametrize("how", EXITS)
def test_what_was_tracked_right_before_the_end_is_written(home, how, flags):
    done = run(home, EXITS[how], flags=flags)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert names(home) == ["kept"]
    assert stored(home) == ["kept"]


def test_sys_exit_keeps_its_status(home):
    assert run(home, "c = Client(home)\nc.track('kept')\nsys.exit(3)").returncode == 3
    assert names(home) == ["kept"]


def test_an_unhandled_exception_is_the_hosts_own_and_the_event_is_written(home):
    done = run(home, "c = Client(home)\nc.track('kept')\nraise ValueError('mine')", flags=PICKY)

    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.endswith("ValueError: mine\n")
    assert names(home) == ["kept"]


def test_an_exit_handler_older_than_the_client_neither_crashes_nor_hangs(home):
    program = """
        import atexit
        atexit.register(lambda: (client.track('late'), client.flush(), client.close(),
                                 print(json.dumps('over'))))
        client = Client(home)
        client.track('kept')
    """
    assert answer(home, program, losing=True, flags=PICKY) == "over"
    assert "kept" in names(home)


WAITS = "\nprint('ready', flush=True)\ntime.sleep(30)\nprint('survived')\n"
ENDINGS = {
    "term": ("", signal.SIGTERM, -signal.SIGTERM, ""),
    "int": ("", signal.SIGINT, -signal.SIGINT, ""),
    "handler before": (
        "signal.signal(signal.SIGTERM, lambda *_: (print('host'), sys.exit(5)))\n",
        signal.SIGTERM,
        5,
        "host\n",
    ),
    "ignored before": (
        (
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(6))\n"
        ),
        signal.SIGUSR1,
        6,
        "",
    ),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_a_signal_ends_the_program_as_it_would_without_us_and_the_event_is_written(home, how):
    before, number, status, printed = ENDINGS[how]
    # imports in the writing thread make Python forget that SIGINT ended it: flush once before
    warm = "client = Client(home)\nclient.track('kept')\nclient.flush()\n"
    program = f"{before}{warm}client.track('kept'){WAITS}"
    with start(home, program) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=PROGRAM_TIMEOUT_S)

    assert (process.returncode, out) == (status, printed)
    assert err == "" or number == signal.SIGINT
    assert names(home) == ["kept", "kept"]


@pytest.mark.parametrize("handler", ["signal.SIG_IGN", "lambda *_: None"])
def test_the_hosts_own_sigterm_handler_is_left_alone(home, handler):
    program = f"""
        mine = {handler}
        signal.signal(signal.SIGTERM, mine)
        client = Client(home)
        client.track('kept')
        client.flush()
        same = signal.getsignal(signal.SIGTERM) is mine
        os.kill(os.getpid(), signal.SIGTERM)
        client.track('more')
        print(json.dumps([same, client.flush()]))
    """
    assert answer(home, program) == [True, True]
    assert names(home) == ["kept", "more"]


def test_a_sigterm_handler_the_host_sets_later_wins(home):
    program = """
        client = Client(home)
        client.track('kept')
        signal.signal(signal.SIGTERM, lambda *_: print('host', flush=True))
        Client(home).track('kept')
        os.kill(os.getpid(), signal.SIGTERM)
        client.track('more')
        sys.exit(4)
    """
    done = run(home, program)

    assert (done.returncode, done.stdout, done.stderr) == (4, "host\n", "")
    assert names(home) == ["kept", "kept", "more"]


@pytest.mark.parametrize("delay_s", [0.0, 0.013, 0.05, 0.11, 0.2])
def test_sigterm_amid_calls_of_many_threads_loses_nothing_that_came_before_it(home, delay_s):
    program = """
        client = Client(home)
        client.track('kept')
        def load():
            while True:
                client.track('load')
                time.sleep(0.0001)
        for _ in range(3):
            threading.Thread(target=load, daemon=True).start()
        print('ready', flush=True)
        load()
    """
    with start(home, program) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay_s)
        process.terminate()
        _, err = process.communicate(timeout=PROGRAM_TIMEOUT_S)

    assert process.returncode == -signal.SIGTERM
    assert "Traceback" not in err
    assert names(home)[0] == "kept"
    assert stored(home) == names(home)


@flagged
def test_daemon_threads_that_go_on_tracking_hold_no_exit_up(home, flags):
    program = """
        client = Client(home)
        def load():
            while True:
                client.track('load')
                client.error('again')
        for _ in range(4):
            threading.Thread(target=load, daemon=True).start()
        time.sleep(0.1)
        print(time.time(), flush=True)
    """
    done = run(home, program, flags=flags)

    assert time.time() - float(done.stdout) < EXIT_MAX_S + SLACK_S
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_an_exit_is_held_up_for_no_longer_however_many_clients_wait_for_a_database(home):
    program = """
        import sqlite3
        clients, locks = [], []
        for number in range(6):
            client = Client(f'{home}/{number}')
            client.track('kept')
            client.flush()
            lock = sqlite3.connect(f'{home}/{number}/telemetry.db', isolation_level=None)
            lock.execute('BEGIN EXCLUSIVE')
            client.track('more')
            clients.append(client)
            locks.append(lock)
        print(time.time(), flush=True)
    """
    done = run(home, program)

    assert time.time() - float(done.stdout) < EXIT_MAX_S + SLACK_S  # one after the other: 12 s
    assert (done.returncode, done.stderr) == (0, "")
    assert [names(home / str(number)) for number in range(6)] == [["kept", "more"]] * 6


# --- the process is copied ---


def test_a_fork_doubles_nothing_and_both_go_on(home):
    program = """
        client = Client(home)
        for _ in range(3):
            client.track('before')
        pid = os.fork()
        client.track('child' if pid == 0 else 'parent')
        done = client.flush()
        if pid == 0:
            os._exit(0 if done else 1)
        print(json.dumps([os.waitpid(pid, 0)[1], client.flush(), client.stats()['written']]))
    """
    assert answer(home, program, flags=PICKY) == [0, True, 4]
    assert names(home) == ["before", "before", "before", "child", "parent"]
    assert stored(home) == names(home)
    assert len(log_files(home)) == 2


def test_a_child_of_a_child_writes_a_file_of_its_own(home):
    program = """
        client = Client(home)
        client.track('first')
        if os.fork() == 0:
            client.track('second')
            if os.fork() == 0:
                client.track('third')
                client.close()
                os._exit(0)
            os.wait()
            client.close()
            os._exit(0)
        os.wait()
        print(json.dumps(client.close()))
    """
    assert answer(home, program) is True
    assert names(home) == ["first", "second", "third"]
    assert len(log_files(home)) == 3


def test_a_second_sigterm_while_the_first_is_written_down_loses_nothing(home):
    program = """
        import sqlite3
        client = Client(home)
        client.track('kept')
        client.flush()
        lock = sqlite3.connect(home + '/telemetry.db', isolation_level=None)
        lock.execute('BEGIN EXCLUSIVE')  # so that the writing takes a while
        client.track('said')
        time.sleep(0.3)
        client.track('last')
        print('ready', flush=True)
        time.sleep(30)
    """
    with start(home, program) as process:
        assert process.stdout.readline() == "ready\n"
        for _ in range(3):
            process.terminate()
            time.sleep(0.02)
        assert process.wait(PROGRAM_TIMEOUT_S) == -signal.SIGTERM

    assert names(home) == ["kept", "last", "said"]


def test_a_close_waits_for_the_close_of_another_thread(home):
    program = f"""
client = Client(home)
client.track('before')
client.flush()
{LOCKED}
lock.execute('BEGIN EXCLUSIVE')
for _ in range(5_000):
    client.track('said')
other = threading.Thread(target=client.close)
other.start()
while not client._pipeline.closed:
    time.sleep(0.0001)
closed = client.close()
print(json.dumps([closed, client.stats()['written']]))
"""
    assert answer(home, program) == [True, 5_001]


MADE = {
    "at import": """
        client = Client(home)
        def child(number):
            client.track(f'child{number}')
    """,
    "in the child": """
        def child(number):
            global client
            client = Client(home)
            client.track(f'child{number}')
    """,
    "and forgotten": """
        def child(number):
            Client(home).track(f'child{number}')
    """,
}


@pytest.mark.parametrize("where", MADE)
@pytest.mark.parametrize("method", METHODS)
def test_children_of_multiprocessing_write_what_they_said_without_closing(home, method, where):
    program = f"""
import multiprocessing
{"".join(line[8:] + chr(10) for line in MADE[where].splitlines())}
if __name__ == '__main__':
    context = multiprocessing.get_context('{method}')
    children = [context.Process(target=child, args=(number,)) for number in range(3)]
    for one in children: one.start()
    for one in children: one.join()
    print(json.dumps([one.exitcode for one in children]))
"""
    assert answer(home, program) == [0, 0, 0]
    assert names(home) == ["child0", "child1", "child2"]
    assert stored(home) == names(home)


@pytest.mark.parametrize("end", ["close", "terminate"])
@pytest.mark.parametrize("method", METHODS)
def test_a_pool_writes_what_its_workers_said(home, method, end):
    program = f"""
import multiprocessing
client = Client(home)
def child(number):
    return client.track(f'child{{number}}')
if __name__ == '__main__':
    pool = multiprocessing.get_context('{method}').Pool(2)
    said = pool.map(child, range(8), chunksize=1)
    pool.{end}()
    pool.join()
    print(json.dumps(said))
"""
    assert answer(home, program) == [True] * 8
    assert names(home) == [f"child{number}" for number in range(8)]


def test_no_thread_of_ours_is_alive_at_the_moment_of_a_fork(home):
    program = """
        alive = []
        def look():
            alive.extend(one.name for one in threading.enumerate() if 'telemetry' in one.name)
        os.register_at_fork(before=look)  # the last registered runs first
        client = Client(home)
        threads = []
        for number in range(5):
            client.track('before')
            time.sleep(0.05 * number)
            if os.fork() == 0:
                os._exit(len(threading.enumerate()) - 1)
            threads.append(os.wait()[1])
        print(json.dumps([alive, threads, client.close()]))
    """
    assert answer(home, program, flags=PICKY) == [[], [0] * 5, True]
    assert names(home) == ["before"] * 5


def test_forks_while_other_threads_track_lose_and_double_nothing(home):
    program = """
        client, said, stop = Client(home), [0, 0, 0], threading.Event()
        def load(mine):
            while not stop.is_set():
                client.track('parent')
                said[mine] += 1
                time.sleep(0.0002)
        threads = [threading.Thread(target=load, args=(mine,)) for mine in range(3)]
        for one in threads: one.start()
        ends = []
        for _ in range(15):
            time.sleep(0.01)
            pid = os.fork()
            if pid == 0:
                client.track('child')
                os._exit(0 if client.flush() else 1)
            ends.append(os.waitpid(pid, 0)[1])
        stop.set()
        for one in threads: one.join()
        print(json.dumps([ends, client.close(), sum(said), client.stats()]))
    """
    ends, closed, said, stats = answer(home, program)

    assert (ends, closed) == ([0] * 15, True)
    assert stats["written"] == said
    assert names(home) == ["child"] * 15 + ["parent"] * said
    assert stored(home) == names(home)


def test_four_prefork_workers_of_one_client_end_by_sigterm_and_write_everything(home):
    program = """
        client = Client(home)
        client.track('master')
        pids = []
        for number in range(4):
            come, go = os.pipe()
            pid = os.fork()
            if pid == 0:
                for _ in range(50):
                    client.track(f'worker{number}')
                os.write(go, b'.')
                while True:
                    time.sleep(1)
            os.read(come, 1)
            pids.append(pid)
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]))
    """
    assert answer(home, program) == [-signal.SIGTERM] * 4
    workers = [f"worker{number}" for number in range(4) for _ in range(50)]
    assert names(home) == ["master", *workers]
    assert stored(home) == names(home)
    assert len(log_files(home)) == 5


def test_a_process_that_forks_forever_remembers_no_more_for_it(home):
    program = """
        import multiprocessing.util
        client = Client(home)
        for _ in range(50):
            if os.fork() == 0:
                os._exit(0)
            os.wait()
        print(json.dumps(len(multiprocessing.util._afterfork_registry)))
    """
    assert answer(home, program) <= 2


# --- threads ---


def test_sixteen_threads_and_flushes_between_them_account_for_every_call(home):
    program = """
        client = Client(home)
        def load():
            for number in range(2_000):
                client.track('load')
                if number % 500 == 0:
                    client.flush()
        threads = [threading.Thread(target=load) for _ in range(16)]
        for one in threads: one.start()
        for one in threads: one.join()
        print(json.dumps([client.flush(), client.stats()]))
    """
    flushed, stats = answer(home, program)

    assert flushed
    assert stats["buffered"] == 0
    assert accounted(stats) == 32_000
    assert stats["written"] == len(logged(home)) == len(stored(home))


def test_a_full_buffer_drops_and_counts_exactly(home):
    program = f"""
{BUFFER}
client = Client(home)
limited(client, 50)
said = [0] * 8
def load(mine):
    for _ in range(5_000):
        said[mine] += client.track('load')
threads = [threading.Thread(target=load, args=(mine,)) for mine in range(8)]
for one in threads: one.start()
for one in threads: one.join()
waiting = client._pipeline._wake.qsize()
client.flush()
print(json.dumps([sum(said), client.stats(), waiting]))
"""
    said, stats, waiting = answer(home, program, losing=True)

    assert stats["written"] == said == len(logged(home))
    assert losses(stats) == {"buffer_full": 40_000 - said}
    assert said < 40_000
    assert waiting < 100  # a queue of its own that nobody limits would be a leak


@slow
def test_close_while_others_track_accounts_for_every_call(home):
    program = """
        client, said, stop = Client(home), [0] * 4, threading.Event()
        def load(mine):
            while not stop.is_set():
                client.track('load')
                said[mine] += 1
        threads = [threading.Thread(target=load, args=(mine,)) for mine in range(4)]
        for one in threads: one.start()
        time.sleep(0.1)
        client.close()
        time.sleep(0.05)
        stop.set()
        for one in threads: one.join()
        print(json.dumps([sum(said), client.stats()]))
    """
    said, stats = answer(home, program, losing=True)

    assert accounted(stats) == said
    assert stats["written"] == len(logged(home))
    assert losses(stats).keys() <= {"closed", "buffer_full", "left_at_close"}


def test_a_closed_client_stays_closed_and_holds_nothing_up(home):
    program = """
        client = Client(home)
        client.track('kept')
        began = time.monotonic()
        found = [client.close(), client.close(), client.track('late'), client.close()]
        client.flush()
        print(json.dumps([found, time.monotonic() - began, client.stats(),
                          [one.name for one in threading.enumerate()]]))
    """
    found, took_s, stats, threads = answer(home, program, losing=True)

    assert found == [True, True, False, True]
    assert took_s < SLACK_S  # a flush that waits for nobody: 5 s
    assert (stats["buffered"], stats["written"], losses(stats)) == (0, 1, {"closed": 1})
    assert threads == ["MainThread"]


@pytest.mark.parametrize("timeout_s", [0, 0.0, -1, 0.000_001])
def test_a_close_without_time_stops_the_thread_and_counts_what_was_left(home, timeout_s):
    program = f"""
        client = Client(home)
        for _ in range(100):
            client.track('said')
        client.close({timeout_s})
        time.sleep(0.3)
        used_s = time.process_time()
        time.sleep(0.5)
        used_s = time.process_time() - used_s
        print(json.dumps([used_s, client.stats(), [one.name for one in threading.enumerate()]]))
    """
    used_s, stats, threads = answer(home, program, losing=True)

    assert used_s < 0.1
    assert threads == ["MainThread"]
    assert accounted(stats) == 100
    assert stats["written"] == len(logged(home))
    assert losses(stats).keys() <= {"left_at_close"}


def test_flushes_without_time_are_no_events_and_fill_no_buffer(home):
    program = f"""
{BUFFER}
client = Client(home)
limited(client, 50)
client.track('kept')
answers = [client.flush(0) for _ in range(200)]
room = client.track('kept')
buffered = client.stats()['buffered']
print(json.dumps([room, buffered, client.flush()]))
"""
    room, buffered, flushed = answer(home, program)

    assert room
    assert buffered <= 2
    assert flushed
    assert names(home) == ["kept", "kept"]


@slow
def test_a_locked_database_does_not_hold_a_flush_up_and_gets_the_rows_later(home):
    program = f"""
client = Client(home)
client.track('before')
client.flush()
{LOCKED}
lock.execute('BEGIN EXCLUSIVE')
took = []
until = time.monotonic() + 3
while time.monotonic() < until:
    client.track('locked')
    began = time.monotonic()
    took.append([client.flush(0.4), time.monotonic() - began])
    time.sleep(0.2)
lock.execute('ROLLBACK')
until = time.monotonic() + 10
while time.monotonic() < until:
    [[rows]] = lock.execute('SELECT count(*) FROM telemetry_events').fetchall()
    if rows == len(took) + 1:
        break
    time.sleep(0.1)
print(json.dumps([took, rows]))
"""
    took, rows = answer(home, program)

    assert [safe for safe, _ in took] == [True] * len(took)
    assert max(seconds for _, seconds in took) < 2.0  # as long as it is locked: 3 s
    assert rows == len(took) + 1
    assert stored(home) == names(home)


def test_a_flush_gives_up_in_time_when_no_thread_can_be_started(home):
    """The address space is too small for another stack."""
    program = """
        import resource
        import ingest.worker, ingest.intake, sqlite3
        client = Client(home)
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        threading.stack_size(1 << 34)
        client.track('said')
        began = time.monotonic()
        client.flush(0.5)
        took_s = time.monotonic() - began
        client.track('said')
        client.close(0.5)
        print(json.dumps([took_s, client.stats()]))
    """
    with start(home, program, env=LENIENT) as process:
        try:
            out, _ = process.communicate(timeout=PROGRAM_TIMEOUT_S)
        finally:
            process.kill()
    took_s, stats = parse_json(out)

    assert took_s < SLACK_S
    assert accounted(stats) == 2


# --- damage ---

SAYS = """
client = Client(home)
for _ in range(5):
    client.track('said')
flushed = client.flush(1.0)
during = client.stats()
closed = client.close()
print(json.dumps([flushed, during, closed, client.stats()]))
"""


def blocked_home(home: Path) -> None:
    home.rmdir()
    home.write_text("a file")


def blocked_log(home: Path) -> None:
    home.joinpath("log").write_text("a file")


def sealed_log(home: Path) -> None:
    home.joinpath("log").symlink_to("/proc/self/nowhere")


def blocked_salt(home: Path) -> None:
    home.joinpath("salt").mkdir()
    home.joinpath("log").write_text("a file")


@pytest.mark.parametrize("damage", [blocked_home, blocked_log, sealed_log, blocked_salt])
def test_a_home_that_cannot_be_written_costs_the_host_nothing_and_is_counted(home, damage):
    damage(home)
    flushed, during, closed, stats = answer(home, SAYS, losing=True, env=LENIENT)

    assert (flushed, closed) == (False, False)
    assert during["trouble"] == "log_unwritable"
    assert accounted(during) == 5
    assert during["faults"] == 0
    assert losses(stats) == {"log_unwritable": 5}


@pytest.mark.skipif(os.getuid() == 0, reason="root writes where it likes")
def test_a_read_only_home_costs_the_host_nothing_and_is_counted(home):
    home.chmod(0o500)
    flushed, during, closed, stats = answer(home, SAYS, losing=True, env=LENIENT)
    home.chmod(0o700)

    assert (flushed, closed, accounted(during)) == (False, False, 5)
    assert losses(stats) == {"log_unwritable": 5}


def random_bytes(home: Path) -> None:
    home.joinpath("telemetry.db").write_bytes(bytes(range(256)) * 64)


def database_folder(home: Path) -> None:
    home.joinpath("telemetry.db").mkdir()


def old_database(home: Path) -> None:
    shutil.copy(DATA / "v1.db", home / "telemetry.db")


@pytest.mark.parametrize("damage", [random_bytes, database_folder, old_database])
def test_a_database_that_takes_nothing_leaves_everything_in_the_log(home, damage):
    damage(home)
    database = home / "telemetry.db"
    before = database.read_bytes() if database.is_file() else None
    flushed, during, closed, stats = answer(home, SAYS)

    assert (flushed, closed, losses(stats), stats["written"]) == (True, True, {}, 5)
    assert accounted(during) == 5
    assert names(home) == ["said"] * 5
    assert before is None or database.read_bytes() == before

    if database.is_dir():
        database.rmdir()
    else:
        database.unlink()
    assert replay_log(home) == 5
    assert stored(home) == ["said"] * 5


def test_a_database_locked_for_the_whole_life_gets_everything_by_a_replay(home):
    assert answer(home, SAYS)[3]["written"] == 5
    with contextlib.closing(sqlite3.connect(home / "telemetry.db", isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        flushed, _, closed, stats = answer(home, SAYS)
        lock.execute("ROLLBACK")

    assert (flushed, closed, stats["written"], losses(stats)) == (True, True, 5, {})
    assert scan("events", home).collect().height == 10
    assert replay_log(home) == 5
    assert replay_log(home) == 0
    assert stored(home) == names(home) == ["said"] * 10


def test_a_log_folder_deleted_under_a_running_process_costs_what_was_in_it_only(home):
    program = """
        import shutil
        client = Client(home)
        for _ in range(5):
            client.track('deleted')
        client.flush()
        shutil.rmtree(home + '/log')
        for _ in range(3):
            client.track('after')
            client.flush()
        print(json.dumps([client.close(), client.stats()]))
    """
    closed, stats = answer(home, program)

    assert closed
    assert (stats["written"], losses(stats), stats["faults"]) == (8, {}, 0)
    assert names(home) == ["after"] * 3
    assert stored(home) == ["after"] * 3 + ["deleted"] * 5
    assert scan("events", home).collect().height == 8


@slow
def test_a_log_folder_deleted_while_sqlite_was_behind_costs_what_was_in_it_only(home):
    program = f"""
import shutil
client = Client(home)
client.track('before')
client.flush()
{LOCKED}
lock.execute('BEGIN EXCLUSIVE')
client.track('lost')
client.flush()
shutil.rmtree(home + '/log')
lock.execute('ROLLBACK')
flushed = []
for _ in range(3):
    time.sleep(0.7)
    client.track('after')
    flushed.append(client.flush())
print(json.dumps([flushed, client.close(), client.stats()]))
"""
    flushed, closed, stats = answer(home, program, env=LENIENT)

    assert (flushed, closed) == ([True] * 3, True)
    assert (losses(stats), stats["faults"]) == ({}, 0)
    assert stored(home) == ["after"] * 3 + ["before"]


def test_a_whole_home_deleted_under_a_running_process_is_made_again(home):
    program = """
        import shutil
        client = Client(home)
        client.track('deleted')
        client.flush()
        shutil.rmtree(home)
        client.track('after')
        flushed = client.flush()
        print(json.dumps([flushed, client.close(), client.stats()]))
    """
    flushed, closed, stats = answer(home, program, env=LENIENT)

    assert (flushed, closed) == (True, True)
    assert stats["faults"] == 0
    assert names(home) == ["after"]
    assert scan("events", home).collect().height == 1


FULL = """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def space(most):
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
"""


def test_a_full_disk_raises_nothing_and_what_fitted_the_buffer_is_written_once_there_is_space(home):
    program = f"""
{FULL}
client = Client(home)
client.track('before')
client.flush()
size = sum(path.stat().st_size for path in Path(home).glob('log/*/*'))
space(size + 500)
said, flushed = 1, []
for _ in range(4):
    for number in range(50):
        client.track('full', session_id=f's{{number}}')
        said += 1
    flushed.append(client.flush(2.0))
during = client.stats()
space(resource.RLIM_INFINITY)
print(json.dumps([flushed, during, client.flush(), client.close(), client.stats(), said]))
"""
    flushed, during, safe, closed, stats, said = answer(home, program, losing=True, env=LENIENT)

    assert (flushed, safe, closed) == ([False] * 4, True, True)
    assert during["trouble"] in ("disk_full", "log_unwritable")
    assert accounted(during) == said
    assert (stats["written"], losses(stats), stats["faults"]) == (said, {}, 0)
    assert scan("events", home).collect().height == said
    replay_log(home)
    assert stored(home) == ["before"] + ["full"] * 200


def test_a_disk_full_to_the_end_is_counted_and_what_is_in_the_log_is_whole(home):
    program = f"""
{FULL}
{BUFFER}
client = Client(home)
limited(client, 1_000)
client.track('before')
client.flush()
space(3_000)
for _ in range(5_000):
    client.track('full')
client.flush(2.0)
during = client.stats()
print(json.dumps([during, client.close(), client.stats()]))
"""
    during, closed, stats = answer(home, program, losing=True, env=LENIENT)

    assert not closed
    assert accounted(during) == accounted(stats) == 5_001
    assert losses(stats).keys() <= {"disk_full", "log_unwritable", "buffer_full"}
    assert stats["buffered"] == stats["faults"] == 0
    before = scan("events", home).collect()["event_id"].to_list()
    assert len(set(before)) == len(before) >= stats["written"]


def test_a_disk_that_is_full_on_the_first_day_leaves_no_empty_salt_behind(home):
    program = f"""
{FULL}
space(0)
client = Client(home, user_id='ada')
client.track('said')
full = client.flush(1.0)
space(resource.RLIM_INFINITY)
time.sleep(1.2)
print(json.dumps([full, client.flush()]))
"""
    assert answer(home, program, losing=True, env=LENIENT) == [False, True]

    salt = home.joinpath("salt").read_bytes().strip()
    assert len(salt) == 64
    assert sorted(path.name for path in home.glob(".salt*")) == []
    [line] = logged(home)
    assert line["user_id_hash"] != (
        "9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0"  # sha256 of "ada"
    )


def test_a_salt_another_process_makes_meanwhile_is_used(tmp_path):
    """The other process comes between the first look and the second."""
    from ingest import salt  # noqa: PLC0415 - its code objects are needed here only

    home = tmp_path / "home"

    def other(frame: Any, what: str, _: object) -> None:
        if what == "return" and frame.f_code is salt.read_salt.__code__:
            sys.setprofile(None)
            salt.home_salt(home, {})

    sys.setprofile(other)
    try:
        mine = salt.home_salt(home, {})
    finally:
        sys.setprofile(None)
    assert mine == salt.read_salt(home, {}) != b""


@pytest.fixture
def small_disk(tmp_path: Path):
    """Mount a file system of 1 MB, where that is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:  # noqa: PLW1510 - the status is looked at
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_really_full_disk_loses_nothing_that_fitted_the_buffer(small_disk):
    program = """
        ballast = Path(home).parent / 'ballast'
        client = Client(home)
        client.track('before')
        client.flush()
        with open(ballast, 'wb', buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1024))
            except OSError:
                pass
        for _ in range(300):
            client.track('full')
        full = client.flush(2.0)
        during = client.stats()
        ballast.unlink()
        print(json.dumps([full, during, client.flush(), client.close(), client.stats()]))
    """
    home = small_disk / "telemetry"
    full, during, safe, closed, stats = answer(home, program, losing=True, env=LENIENT)

    assert (full, during["trouble"], safe, closed) == (False, "disk_full", True, True)
    assert accounted(during) == accounted(stats) == stats["written"] == 301
    assert stats["faults"] == 0
    assert scan("events", home).collect().height == 301
    replay_log(home)
    assert len(stored(home)) == 301


@pytest.mark.parametrize("name", ["mit Blank und ümläut 日本", "a%20b?c#d", "quote'\"`"])
def test_a_home_may_have_any_name(tmp_path, name):
    home = tmp_path / name / "home"
    home.parent.mkdir()
    assert answer(home, SAYS)[3]["written"] == 5
    assert stored(home) == names(home) == ["said"] * 5


def test_a_relative_home_stays_where_it_was_when_the_program_goes_elsewhere(home, tmp_path):
    program = """
        client = Client()
        client.track('before')
        os.makedirs('elsewhere')
        os.chdir('elsewhere')
        client.track('after')
        print(json.dumps([client.close(), os.listdir('.')]))
    """
    env = STRICT | {"TELEMETRY_HOME": "my/telemetry"}
    assert answer(home, program, env=env) == [True, []]
    assert names(tmp_path / "my" / "telemetry") == ["after", "before"]


def test_a_working_folder_that_is_gone_raises_nothing(home):
    program = """
        os.makedirs('gone')
        os.chdir('gone')
        os.rmdir(os.getcwd())
        client = Client()
        client.track('said')
        other = Client(home)
        other.track('kept')
        print(json.dumps([client.close(), other.close(), client.stats()]))
    """
    lost, kept, stats = answer(home, program, losing=True, env=LENIENT)

    assert (lost, kept) == (False, True)
    assert losses(stats) == {"log_unwritable": 1}
    assert names(home) == ["kept"]


CLOCKS = {
    "1970": "lambda: 0.0",
    "before 1970": "lambda: -86_400.5",
    "2100": "lambda: 4_102_444_800.0",
    "backwards": "lambda begin=time.time(), tick=iter(range(9_999)): begin - next(tick) * 7_200",
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_an_odd_clock_loses_nothing(home, clock):
    program = f"""
        client = Client(home, now={CLOCKS[clock]})
        for number in range(30):
            client.track('said')
            client.error(f'boom {{number}}')
            client.turn('s', tokens_input=1)
            if number % 7 == 0:
                client.flush()
        print(json.dumps([client.close(), client.stats()]))
    """
    closed, stats = answer(home, program)

    assert closed
    assert accounted(stats) == 90
    assert losses(stats) == {}
    assert stored(home).count("said") == 30
    assert sum(stored(home, "occurrences", "telemetry_errors")) == 30


BROKEN = {
    "a clock without a time": "now=lambda: None",
    "a clock of no number": "now=lambda: float('nan')",
    "a clock beyond time": "now=lambda: 1e18",
    "a release that cannot be said": "release=Mute()",
    "a channel that cannot be said": "channel=Mute()",
    "a user who cannot be said": "user_id=Mute(), session_id=Mute()",
}


@slow
@pytest.mark.parametrize("how", BROKEN)
def test_a_host_that_makes_the_client_of_broken_things_pays_neither_time_nor_exceptions(home, how):
    program = f"""
        class Mute:
            def __str__(self): raise RuntimeError('no')
            __repr__ = __bool__ = __hash__ = __str__
        client = Client(home, {BROKEN[how]})
        for _ in range(5):
            client.track('said')
        began = time.monotonic()
        client.flush(0.5)
        used_s = time.process_time()
        time.sleep(0.5)
        used_s = time.process_time() - used_s
        during = client.stats()
        client.close(0.5)
        print(json.dumps([used_s, during, client.stats(), time.monotonic() - began]))
    """
    used_s, during, stats, took_s = answer(home, program, losing=True, env=LENIENT)

    assert used_s < 0.25
    assert took_s < SLACK_S
    assert accounted(during) == accounted(stats) == 5
    assert stats["buffered"] == 0


def test_a_refused_call_costs_no_memory_and_an_idle_client_no_time(home):
    """The log cannot be written, the buffer is full, and the host goes on and on."""
    program = f"""
{BUFFER}
Path(home, 'log').write_text('a file')
client = Client(home)
limited(client, 10)
for _ in range(100_000):
    client.track('said')
waiting = client._pipeline._wake.qsize()
time.sleep(0.2)
used_s = time.process_time()
time.sleep(0.5)
used_s = time.process_time() - used_s
print(json.dumps([waiting, used_s, client.stats()]))
"""
    waiting, used_s, stats = answer(home, program, losing=True, env=LENIENT)

    assert waiting < 100
    assert used_s < 0.1
    assert accounted(stats) == 100_000


# --- consent ---


def not_tracked(home: Path) -> dict[str, str]:
    return {"DO_NOT_TRACK": "1"}


def turned_off(home: Path) -> dict[str, str]:
    return {"TELEMETRY": "0"}


def turned_off_in_the_home(home: Path) -> dict[str, str]:
    home.joinpath("telemetry.json").write_text('{"enabled": false}')
    return {}


@pytest.mark.parametrize("no", [not_tracked, turned_off, turned_off_in_the_home])
def test_no_consent_is_no_file_no_folder_and_no_thread(home, tmp_path, no):
    home.rmdir()
    if no is turned_off_in_the_home:
        home.mkdir()
    program = """
        client = Client(home)
        client.track('said')
        client.error(ValueError('said'))
        with client.trace('said'):
            pass
        client.turn('s', tokens_input=1)
        client.injected(tokens_injected=1)
        client.instrument('info', 'said', event='said', error=ValueError('said'))
        threads = [one.name for one in threading.enumerate()]
        handler = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        flushed = client.flush()
        print(json.dumps([threads, handler, flushed, client.close(), client.stats()]))
    """
    answered = answer(home, program, losing=True, env=STRICT | no(home))
    threads, handler, flushed, closed, stats = answered

    assert threads == ["MainThread"]
    assert (handler, flushed, closed) == (True, True, True)
    assert accounted(stats) == 0
    left = sorted(path.name for path in tmp_path.rglob("*") if path.suffix != ".py")
    assert left == ([] if no is not turned_off_in_the_home else ["telemetry", "telemetry.json"])


@slow
def test_telemetry_turned_off_while_a_program_runs_stops_and_counts_what_waited(home):
    program = f"""
{FULL}
client = Client(home)
client.track('kept')
client.flush()
space(0)  # what is said now has to wait
calls, told = 1, time.monotonic()
Path(home, 'telemetry.json').touch()
os.truncate(Path(home, 'telemetry.json'), 0)
calls += client.track('waits')
while client.stats()['consent'] and time.monotonic() < told + 15:
    calls += client.track('waits')
    time.sleep(0.01)
took_s = time.monotonic() - told
space(resource.RLIM_INFINITY)
after = client.track('after')
time.sleep(0.3)
print(json.dumps([took_s, calls, after, client.flush(), client.close(), client.stats(),
                  [one.name for one in threading.enumerate()]]))
"""
    took_s, calls, after, flushed, closed, stats, threads = answer(
        home, program, losing=True, env=LENIENT
    )

    assert took_s < 5.0 + SLACK_S
    assert (after, flushed, closed) == (False, True, True)
    assert losses(stats) == {"consent_withdrawn": calls - 1}
    assert accounted(stats) == calls
    assert names(home) == ["kept"]
    assert threads == ["MainThread"]


def test_errors_can_be_left_out_alone(home):
    program = """
        client = Client(home)
        said = [client.track('kept'), client.error(ValueError('no')),
                client.record(__import__('ingest').Error('ValueError', 'no'))]
        print(json.dumps([said, client.close(), client.stats()]))
    """
    said, closed, stats = answer(home, program, env=STRICT | {"TELEMETRY_ERRORS": "0"})

    assert (said, closed) == ([True, False, False], True)
    assert losses(stats) == {}
    assert [line.get("error_type") for line in logged(home)] == [None]


# --- hosts that do not mean well ---


class Mute:
    """Cannot be said in any way, but to Hypothesis."""

    def __repr__(self) -> str:
        return "Mute()"

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __hash__(self) -> int:
        raise RuntimeError("no hash")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equal")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    def __float__(self) -> float:
        raise RuntimeError("no number")


class Knot(dict):
    """A dict that lets nobody see what is in it."""

    def items(self):
        """Raise."""
        raise RuntimeError("no items")

    keys = values = __iter__ = copy = items

    def __repr__(self) -> str:
        return "Knot()"

    def __len__(self) -> int:
        raise RuntimeError("no length")


class MuteError(Exception):
    """An exception that cannot be said either."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __repr__(self) -> str:
        return "MuteError()"


class Silent(Mute):
    """Cannot be said to anybody."""

    __repr__ = Mute.__str__


LONG = 10_000_000
odd_text = st.text(st.characters(), max_size=20) | st.sampled_from(
    ("\ud800", "a\0b", "\0", "", " ", "\n", "x" * 70_000, "\u2028", "/home/ada/x.py", "a@b.example")
)
odd_number = st.sampled_from(
    (0, -1, -0.0, 1.5, math.nan, math.inf, -math.inf, 2**53, 2**64, 10**400, True, False, 5e-324)
)
odd_thing = (
    odd_text
    | odd_number
    | st.none()
    | st.binary(max_size=5)
    | st.datetimes()
    | st.sampled_from((datetime(1, 1, 1, tzinfo=UTC), object(), int, [], (), {}, {1, 2}, 1j))
    | st.lists(odd_number, max_size=3)
)
mutes = st.builds(Mute) | st.builds(Knot, a=st.just(1)) | st.builds(MuteError) | st.just(Mute)
keys = odd_text | st.sampled_from(("tool_name", "tokens_input", "accepted", "model", "top_k"))
tame_data = st.dictionaries(keys, odd_thing, max_size=4) | odd_thing
wild = odd_thing | mutes
wild_data = (
    tame_data | mutes | st.dictionaries(keys | st.integers() | st.none() | st.binary(), wild)
)

WHO = ("user_id", "user_id_hash", "user_tier", "session_id", "channel", "project_id", "branch_id")
EXTRA = ("tool_name", "tokens_input", "cost_usd", "accepted", "query", "obs_type_x")


def said_with(thing: st.SearchStrategy[Any], data: st.SearchStrategy[Any]):
    """Return calls of every method, with these things for their arguments."""

    def fields(*names: str, **more: st.SearchStrategy[Any]):
        return st.fixed_dictionaries({}, optional=dict.fromkeys(names, thing) | more)

    common = {"metadata": data, "timestamp": thing}
    event = fields(*WHO, *EXTRA, "result", "duration_ms", **common)
    error = fields(*WHO, *EXTRA, "severity", "related_event_name", **common)
    who = [name for name in WHO if name != "session_id"]
    turn = fields(*who, *EXTRA, "outcome", "model", "before_tokens", "after_tokens")
    span = fields(*WHO, *EXTRA, metadata=data)
    record = fields(*WHO, "event_id", **common)
    shape = {"result": thing, "duration_ms": thing}
    return st.one_of(
        st.tuples(st.just("track"), st.tuples(thing), event),
        st.tuples(st.just("track"), st.just(("session_ended",)), event),
        st.tuples(st.just("error"), st.tuples(thing), error),
        st.tuples(st.just("turn"), st.tuples(thing), turn),
        st.tuples(st.just("injected"), st.just(()), turn),
        st.tuples(st.just("trace"), st.tuples(thing), span),
        st.tuples(
            st.just("record"),
            st.tuples(
                st.builds(
                    _event, thing, shape=st.fixed_dictionaries({}, optional=shape), more=record
                )
            ),
            st.just({}),
        ),
        st.tuples(
            st.just("record"), st.tuples(st.builds(_error, thing, thing, record)), st.just({})
        ),
        st.tuples(
            st.just("record"),
            st.tuples(st.builds(_trace, thing, thing, thing, thing, record)),
            st.just({}),
        ),
    )


def _event(name: Any, *, shape: dict[str, Any], more: dict[str, Any]) -> Event:
    return Event(name, **shape, **more)


def _error(kind: Any, message: Any, more: dict[str, Any]) -> Error:
    return Error(kind, message, stack_trace=message, **more)


def _trace(name: Any, took: Any, success: Any, count: Any, more: dict[str, Any]) -> Trace:
    return Trace(name, took, success, count, **more)


def say(client: Client, method: str, args: tuple[Any, ...], values: dict[str, Any]) -> None:
    if method == "trace":
        with client.trace(*args, **values) as span:
            span.result_count = values.get("tool_name")
        return
    assert type(getattr(client, method)(*args, **values)) is bool


def rows_by_id(home: Path, table: str) -> dict[str, tuple[Any, ...]]:
    names = ", ".join(TABLES[table].column_names)
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        rows = connection.execute(f"SELECT {names} FROM {TABLES[table].sql_name}").fetchall()
    return {row[0]: row for row in rows}


def assert_log_is_the_table(home: Path) -> None:
    """Every line parses, alone, into the row in SQLite; of two of one id the first is the row."""
    rows = {table: rows_by_id(home, table) for table in ("events", "errors", "traces")}
    lines: dict[tuple[str, str], tuple[Any, ...]] = {}
    for path in log_files(home):
        for line in path.read_bytes().splitlines(keepends=True):
            assert line.endswith(b"\n")
            [row] = read_row(parse_json(line))
            lines.setdefault((row.table, row.values[0]), row.values)
    stored_rows = {(table, id_): row for table in rows for id_, row in rows[table].items()}
    assert lines == stored_rows


def hold(calls: list[Any], *, faultless: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        client = Client(home, environ={}, now=itertools.count(1_770_000_000).__next__)
        for call in calls:
            say(client, *call)
        assert client.close(10.0)
        stats = client.stats()
        known = accounted(stats)
        assert known == len(calls)
        assert stats["dropped"]["failed"] == 0
        if faultless:
            assert losses(stats).keys() <= {"invalid"}
            assert stats["faults"] == 0
        if stats["written"]:
            assert_log_is_the_table(home)
        assert stats["written"] == len(logged(home))


generous = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@generous
@given(st.lists(said_with(odd_thing, tame_data), min_size=1, max_size=12))
def test_wrong_types_in_every_argument_cost_a_value_and_never_a_record(calls):
    hold(calls, faultless=True)


@generous
@given(st.lists(said_with(wild, wild_data), min_size=1, max_size=12))
def test_nothing_a_host_can_say_raises_or_goes_uncounted(calls):
    hold(calls, faultless=False)


def test_a_record_that_cannot_be_said_costs_no_other(home):
    client = Client(home, environ={})
    client.track("before")
    for bad in (Silent(), MuteError(), Knot(tool_name="x")):
        client.track(bad)
        client.track("good", metadata=bad)
        client.track("good", session_id=bad)
        client.error(bad)
        client.record(Event(bad))
    client.track("after")
    assert client.close()

    stats = client.stats()
    assert accounted(stats) == 17
    assert losses(stats).keys() <= {"unserializable", "invalid"}
    assert {"after", "before"} <= set(names(home))


def test_metadata_changed_right_after_the_call_keeps_what_it_was(home):
    client = Client(home, environ=STRICT)
    metadata = {"tool_name": "rag"}
    for said in (client.track, client.error):
        metadata["tool_name"] = "rag"
        said("said", metadata=metadata)
        metadata["tool_name"] = "other"
    metadata["tool_name"] = "rag"
    with client.trace("said", metadata=metadata):
        metadata["tool_name"] = "other"
    metadata["tool_name"] = "rag"
    client.record(Event("said", metadata=metadata))
    metadata.clear()
    client.close()

    found = [parse_json(line["metadata"]) for line in logged(home)]
    assert found == [{"tool_name": "rag"}] * 4


def test_texts_of_ten_megabytes_are_cut_and_hold_nothing_up(home):
    client = Client(home, environ=STRICT)
    began = time.process_time()
    for text in ("x" * LONG, "/ a@b" * (LONG // 5), "\ud800\0" * (LONG // 2)):
        client.track(text, user_id=text, session_id=text, result=text, tool_name=text)
        client.error(text, session_id=text, severity=text)
    assert client.close(20.0)

    assert time.process_time() - began < 10
    assert max(path.stat().st_size for path in log_files(home)) < 50_000
    assert accounted(client.stats()) == 6
    assert_log_is_the_table(home)


def test_buffered_calls_are_bounded_by_their_number(home):
    client = Client(home, environ={})
    client._options = client._options._replace(buffer_max=3)
    client.start_over()
    client._pipeline.pause()  # nobody empties the buffer
    found = [client.track("said") for _ in range(5)]
    client._pipeline.resume()

    assert found == [True, True, True, False, False]
    assert client.close()
    assert losses(client.stats()) == {"buffer_full": 2}


def test_the_limits_of_this_process_are_as_they_were():
    """The programs above set limits of their own, never this one's."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
