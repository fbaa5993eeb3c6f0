"""Questions of Explore against DuckDB: what a reader waits for, process and checks included.

    python -m bench.explore                    1,000,000 events, made when missing
    python -m bench.explore --home PLACE

Ours is asked the way the page asks: a process that waits is handed the question, checks it, runs
it and sends the answer back. DuckDB runs the SQL in this very process over the same Parquet files,
and has to find the same: a percentile weighted as the house's is, or one of rows on both sides.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.__main__ import END, connected
from bench.pairs import window_of
from data_access import Filters, prepare
from data_access.explore import Question, ask, close, sql_of, warm
from ingest.demo import write_demo

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS: Final = 5
EVENTS: Final = 1_000_000
_START = f"TIMESTAMPTZ '{window_of().start} 00:00:00+00'"
_IN = f"timestamp >= {_START} AND timestamp < TIMESTAMPTZ '{END} 00:00:00+00'"
_P95: Final = Question(table="traces", group=("operation_name",), measure="p95", of="duration_ms")
PAIRS: Final[dict[str, tuple[Question, str]]] = {
    "events per day": (
        Question(group=("day",)),
        f"SELECT timestamp::DATE d, sum(weight) FROM events WHERE {_IN} GROUP BY d ORDER BY d",
    ),
    "people per day and tier": (
        Question(group=("day", "user_tier"), measure="people"),
        (
            "SELECT d, user_tier, sum(w) FROM (SELECT timestamp::DATE d, user_tier, user_id_hash, "
            f"min(weight) w FROM events WHERE {_IN} GROUP BY ALL) GROUP BY ALL ORDER BY ALL"
        ),
    ),
    "p95 by operation": (
        _P95,
        sql_of(_P95).replace("FROM traces", f"FROM (SELECT * FROM traces WHERE {_IN})"),
    ),
    "p95 of rows by operation, in SQL": (
        Question(
            sql="SELECT operation_name, QUANTILE_CONT(duration_ms, 0.95) AS p95 FROM traces "
            "GROUP BY operation_name ORDER BY operation_name"
        ),
        (
            "SELECT operation_name, quantile_cont(duration_ms, 0.95) FROM traces "
            f"WHERE {_IN} GROUP BY ALL ORDER BY ALL"
        ),
    ),
    "events by metadata key": (
        Question(group=("metadata.ide",)),
        f"SELECT metadata ->> '$.ide' i, sum(weight) FROM events WHERE {_IN} GROUP BY i ORDER BY i",
    ),
    "the latest 100 rows": (
        Question(measure="", limit=100),
        f"SELECT * FROM events WHERE {_IN} ORDER BY timestamp DESC LIMIT 100",
    ),
    "events per person, all history": (
        Question(group=("user_id_hash",), order="-events", limit=100, all_history=True),
        "SELECT user_id_hash, sum(weight) n FROM events GROUP BY ALL ORDER BY n DESC LIMIT 100",
    ),
    "time between events, in SQL": (
        Question(
            sql="WITH g AS (SELECT timestamp - LAG(timestamp) OVER (PARTITION BY user_id_hash "
            "ORDER BY timestamp) AS gap FROM events) SELECT COUNT(*) FROM g "
            "WHERE gap > INTERVAL '30 minutes'"
        ),
        (
            "WITH g AS (SELECT timestamp - lag(timestamp) OVER (PARTITION BY user_id_hash "
            f"ORDER BY timestamp) AS gap FROM events WHERE {_IN}) SELECT count(*) FROM g "
            "WHERE gap > INTERVAL '30 minutes'"
        ),
    ),
}


def main() -> None:
    """Compare, and print one line per question."""
    parser = argparse.ArgumentParser(prog="python -m bench.explore", description=__doc__)
    parser.add_argument("--home", type=Path)
    home = parser.parse_args().home or Path(tempfile.gettempdir()) / f"betascope-bench-{EVENTS}"
    if not (home / "telemetry.db").exists():
        write_demo(home, events=EVENTS, days=180, end=END)
    prepare(home)
    filters, connection = Filters(window_of()), connected(home)
    print(f"{'question':<34}{'ours ms':>9}{'engine':>8}{'DuckDB':>8}{'ratio':>7}")
    for name, (question, sql) in PAIRS.items():
        ours, engine, theirs = [], [], []
        for _ in range(ROUNDS):
            warm(home, wait=True)
            seconds, answer = _timed(lambda: ask(question, filters, home))  # noqa: B023 - run at once
            ours.append(seconds)
            engine.append(answer.seconds)
            seconds, rows = _timed(lambda: connection.execute(sql).fetchall())  # noqa: B023 - the same
            theirs.append(seconds)
            assert answer.rows == len(rows), name  # noqa: S101 - the same question
        row = [min(ours) * 1e3, min(engine) * 1e3, min(theirs) * 1e3]
        print(f"{name:<34}{row[0]:>9.0f}{row[1]:>8.0f}{row[2]:>8.0f}{row[0] / row[2]:>7.2f}")
    close()


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = run()
    return time.perf_counter() - start, found


if __name__ == "__main__":
    main()
