"""Real programs that use the client, and what they leave in a telemetry home."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROGRAM_TIMEOUT_S = 60  # a program that takes longer hangs
WARNINGS_MAX = 4  # lines in the host's log, whatever is lost
STRICT = {"TELEMETRY_STRICT": "1"}
LENIENT: dict[str, str] = {}
PICKY = ("-W", "error", "-X", "dev")
# from Python 3.12 on it says so of every fork beside a thread, which is what is tried here
FORKING = ("-W", "ignore:This process:DeprecationWarning")

HEAD = """
import json, os, signal, sys, threading, time
from pathlib import Path
from ingest.client import Client
home = sys.argv[1]
"""
LOCKED = "import sqlite3\nlock = sqlite3.connect(home + '/telemetry.db', isolation_level=None)\n"


def environment(**variables: str) -> dict[str, str]:
    """Return an environment in which nothing but these settles anything about telemetry."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ}
    return kept | {"PYTHONPATH": str(ROOT)} | variables


def start(
    home: Path, program: str, *, flags: tuple[str, ...] = (), env: dict[str, str] = STRICT
) -> subprocess.Popen[str]:
    """Start a program; it finds `Client` imported and `home` set."""
    text = HEAD + textwrap.dedent(program)
    path = home.parent / f"program{len(list(home.parent.glob('program*.py')))}.py"
    path.write_text(text)  # a file: multiprocessing imports its main module again
    return subprocess.Popen(
        [sys.executable, *flags, *FORKING, str(path), str(home)],
        env=environment(**env),
        cwd=home.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(
    home: Path, program: str, *, flags: tuple[str, ...] = (), env: dict[str, str] = STRICT
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    with start(home, program, flags=flags, env=env) as process:
        try:
            out, err = process.communicate(timeout=PROGRAM_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def answer(home: Path, program: str, *, losing: bool = False, **options: Any) -> Any:
    """Run a program that ends well and quietly; return the JSON it printed.

    One that is about losing something may say so in its log, in a line or two.
    """
    done = run(home, program, **options)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert said == [line for line in said if losing and line.startswith("telemetry ")]
    assert len(said) <= WARNINGS_MAX
    return json.loads(done.stdout)


def log_files(home: Path) -> list[Path]:
    """Return the log files, each of one writer."""
    return sorted(home.glob("log/*/*.jsonl"))


def logged(home: Path) -> list[dict[str, Any]]:
    """Return every whole line of the log; a line that is no JSON is an error."""
    lines: list[dict[str, Any]] = []
    for path in log_files(home):
        *whole, _torn = path.read_bytes().split(b"\n")
        lines += [json.loads(line) for line in whole if line.strip()]
    return lines


def names(home: Path) -> list[str]:
    """Return the names of the events in the log, sorted."""
    return sorted(line["event_name"] for line in logged(home) if "event_name" in line)


def stored(home: Path, column: str = "event_name", table: str = "telemetry_events") -> list[Any]:
    """Return a column of a table in SQLite, sorted."""
    with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
        rows = connection.execute(f"SELECT {column} FROM {table} ORDER BY 1").fetchall()
    return [value for (value,) in rows]


def accounted(stats: dict[str, Any]) -> int:
    """Return how many calls the counters tell the fate of."""
    known = ("written", "sampled_out", "merged", "held", "buffered")
    return sum(stats[name] for name in known) + sum(stats["dropped"].values())


def losses(stats: dict[str, Any]) -> dict[str, int]:
    """Return the reasons something was lost for, and how often."""
    return {reason: times for reason, times in stats["dropped"].items() if times}
