"""Compare every page computation with DuckDB on the same Parquet, and with pandas from SQLite.

    python -m bench                    1,000,000 events, made when missing
    python -m bench --events 200000

Each pair runs alternately in one process; the figure is the smallest of the rounds. Memory is the
peak of a process of its own. Timings differ from machine to machine; read the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl

from bench.pairs import BY_DAY_AND_TIER, PAIRS, window_of
from data_access import prepare, scan
from data_access.columnar import refresh
from data_access.home import open_home
from data_access.metrics import METRICS
from ingest.demo import write_demo

if TYPE_CHECKING:
    from collections.abc import Callable

    from data_access.window import Window

ROUNDS = 5
END = date(2026, 11, 21)


def main() -> None:
    """Run the comparison asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--only", help=argparse.SUPPRESS)  # one side, for its memory
    chosen = parser.parse_args()
    home = chosen.home or Path(tempfile.gettempdir()) / f"betascope-bench-{chosen.events}"
    if chosen.only:
        _only(chosen.only, home)
        return
    if not (home / "telemetry.db").exists():
        print(f"Writing {chosen.events:,} events to {home} ...")
        write_demo(home, events=chosen.events, days=chosen.days, end=END)
    os.environ["POLARS_MAX_THREADS"] = os.environ.get("POLARS_MAX_THREADS", "2")
    prepare(home)
    window = window_of(END)
    rows = scan("events", home).select(pl.len()).collect().item()
    print(f"\n{rows:,} events; window {window.start} to {window.end} (excluded)\n")
    _pages(home, window)
    _memory(home)
    _from_sqlite(home)
    _refresh(home)


def connected(home: Path) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB over the very files our frames scan."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 2")
    for table, files in refresh(open_home(home)).segments.items():
        if files:
            listed = ", ".join(f"'{path}'" for path in files)
            connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet([{listed}])")
    return connection


def _best(*runs: Callable[[], Any]) -> list[float]:
    """Return the smallest time of each run, rounds interleaved."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(ROUNDS):
        for slot, run in zip(times, runs, strict=True):
            start = time.perf_counter()
            run()
            slot.append(time.perf_counter() - start)
    return [min(slot) for slot in times]


def _compute(home: Path, window: Window, name: str) -> pl.DataFrame:
    pair = PAIRS[name]
    spec, window = METRICS[pair.metric], pair.window or window
    frames = [scan(table, home, since=spec.since(window)) for table in spec.sources]
    result: pl.DataFrame = spec.compute(*frames, window, **pair.options).collect()
    return result


def _fetch(connection: duckdb.DuckDBPyConnection, sql: str) -> object:
    return connection.sql(sql).to_arrow_table()


def _pages(home: Path, window: Window) -> None:
    connection = connected(home)
    print(f"{'page computation':<28}{'ours ms':>10}{'DuckDB ms':>12}{'ratio':>8}")
    ratios = []
    for name, pair in PAIRS.items():
        mine, other = _best(
            partial(_compute, home, window, name),
            partial(_fetch, connection, pair.sql),
        )
        ratios.append(mine / other)
        print(f"{name:<28}{mine * 1e3:>10.0f}{other * 1e3:>12.0f}{mine / other:>8.2f}")
    print(f"{'median ratio':<50}{statistics.median(ratios):>8.2f}")
    print(f"{'worst ratio':<50}{max(ratios):>8.2f}\n")


def _memory(home: Path) -> None:
    """Print the peak memory of all page computations, each side in a process of its own."""
    print("peak memory of all of these, one after the other")
    for side in ("pages", "DuckDB"):
        print(f"  {side:<8}{_alone(side, home)['peak_mb']:>9,.0f} MB")
    print()


def _from_sqlite(home: Path) -> None:
    """Users and p95 by day and tier: from our scan, and from SQLite through pandas."""
    results = {side: _alone(side, home) for side in BY_DAY_AND_TIER}
    assert results["ours"]["rows"] == results["pandas"]["rows"]  # noqa: S101 - same question
    ratio = results["pandas"]["seconds"] / results["ours"]["seconds"]
    print("users and p95 by day and tier, whole table")
    for side, result in results.items():
        print(f"  {side:<8}{result['seconds']:>9.3f} s   peak {result['peak_mb']:>6,.0f} MB")
    print(f"  ours is {ratio:,.0f} times faster than pandas read_sql\n")


def _alone(side: str, home: Path) -> dict[str, float]:
    """Run one side in a process of its own and return its seconds, rows and peak memory."""
    run = subprocess.run(
        [sys.executable, "-m", "bench", "--only", side, "--home", str(home)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(run.stdout)
    return found


def _only(side: str, home: Path) -> None:
    """Run one side and print its time, rows and peak memory as JSON."""
    run = {**BY_DAY_AND_TIER, "pages": _all_pages, "DuckDB": _all_sql}[side]
    run(home)  # imports and file caches are warm for every side
    times = []
    for _ in range(3 if side == "ours" else 1):
        start = time.perf_counter()
        rows = run(home)
        times.append(time.perf_counter() - start)
    print(json.dumps({"seconds": min(times), "rows": rows, "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    """Return this process's own peak; getrusage counts that of the process that forked it too."""
    status = Path("/proc/self/status")
    if status.exists():
        [line] = [one for one in status.read_text().splitlines() if one.startswith("VmHWM")]
        return int(line.split()[1]) / 1024
    import resource  # noqa: PLC0415 - not there on Windows, where only this part is lost

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _all_pages(home: Path) -> int:
    return sum(_compute(home, window_of(END), name).height for name in PAIRS)


def _all_sql(home: Path) -> int:
    connection = connected(home)
    for pair in PAIRS.values():
        _fetch(connection, pair.sql)
    return len(PAIRS)


def _refresh(home: Path) -> None:
    """1,000 new rows on all of these against the first copy: the work follows what is new."""
    import shutil  # noqa: PLC0415 - only here
    import sqlite3  # noqa: PLC0415 - only here

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "home"
        shutil.copytree(home, place, ignore=shutil.ignore_patterns("columnar"))
        start = time.perf_counter()
        prepare(place)
        first = time.perf_counter() - start
        times = []
        for number in range(ROUNDS):
            connection = sqlite3.connect(place / "telemetry.db")
            connection.execute(
                "INSERT INTO telemetry_events (event_id, timestamp, event_name, user_id_hash) "
                "SELECT ? || id, timestamp, event_name, user_id_hash FROM telemetry_events "
                "WHERE id <= 1000",
                (f"bench-{number}-",),
            )
            connection.commit()
            connection.close()
            start = time.perf_counter()
            prepare(place)
            times.append(time.perf_counter() - start)
    print("refreshing the columnar copy")
    less = first / min(times)
    print(f"  first copy of everything      {first:>9.3f} s")
    print(f"  after 1,000 new rows          {min(times):>9.3f} s, {less:,.0f} times less")


if __name__ == "__main__":
    main()
