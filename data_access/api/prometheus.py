"""What Prometheus scrapes: KPIs, freshness, losses, and the server's own requests.

Written by hand, in both text formats: it is fifty lines, and a library would add a registry whose
counters nobody else uses.
"""

from __future__ import annotations

import math
import os
import platform
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

import data_access

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from data_access.api.reader import Reader

PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
OPEN: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_STARTED_AT: Final = time.time()


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family: its samples as (suffix, labels, value)."""

    name: str
    kind: str
    says: str
    samples: list[tuple[str, dict[str, str], float]] = field(default_factory=list)


class Requests:
    """The API's own requests, counted by endpoint and status; both are closed sets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count: Counter[tuple[str, int]] = Counter()
        self._below: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def finished(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one request."""
        with self._lock:
            self._count[endpoint, status] += 1
            below = self._below.setdefault(endpoint, [0] * (len(BUCKETS_S) + 1))
            place = next((i for i, edge in enumerate(BUCKETS_S) if seconds <= edge), -1)
            below[place] += 1
            self._seconds[endpoint] = self._seconds.get(endpoint, 0.0) + seconds

    def families(self) -> list[Family]:
        """Return what was counted."""
        count = Family("betascope_api_requests", "counter", "Requests of the HTTP API.")
        took = Family("betascope_api_request_duration_seconds", "histogram", "How long they took.")
        with self._lock:
            for (endpoint, status), number in sorted(self._count.items()):
                labels = {"endpoint": endpoint, "status": str(status)}
                count.samples.append(("_total", labels, number))
            for endpoint, below in sorted(self._below.items()):
                so_far = 0
                for edge, number in zip((*BUCKETS_S, math.inf), below, strict=True):
                    so_far += number
                    labels = {"endpoint": endpoint, "le": _number(edge)}
                    took.samples.append(("_bucket", labels, so_far))
                own = {"endpoint": endpoint}
                took.samples.append(("_sum", own, self._seconds[endpoint]))
                took.samples.append(("_count", own, so_far))
        return [count, took]


def exposition(families: Iterable[Family], *, is_open: bool) -> str:
    """Return the families as text, in the OpenMetrics format or the older one."""
    lines: list[str] = []
    for family in families:
        name = family.name
        if family.kind == "counter" and not is_open:
            name += "_total"
        lines += [f"# HELP {name} {_escaped(family.says)}", f"# TYPE {name} {family.kind}"]
        for suffix, labels, value in family.samples:
            said = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            shown = f"{{{said}}}" if said else ""
            lines.append(f"{family.name}{suffix}{shown} {_number(value)}")
    return "\n".join([*lines, *(["# EOF"] if is_open else []), ""])


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value)) if not float(value).is_integer() else str(int(value))


def of_process(release: str) -> list[Family]:
    """Return what is known of the process itself."""
    build = {"version": release, "python": platform.python_version(), "polars": pl.__version__}
    return [
        one("betascope_build_info", "Which code runs.", 1, build),
        one("process_start_time_seconds", "When this process started.", _STARTED_AT),
        *(
            [one("process_resident_memory_bytes", "Memory in use.", resident)]
            if (resident := _resident_bytes()) is not None
            else []
        ),
    ]


def _resident_bytes() -> float | None:
    """Return the memory in use, where the system says so in /proc."""
    if sys.platform != "linux":
        return None
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no folder of ours
        return float(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def of_data(reader: Reader) -> Iterator[Family]:
    """Return the KPIs of the days asked for, and how the telemetry itself is doing."""
    kpis = {row["kpi"]: row for row in reader.frame("kpis").iter_rows(named=True)}
    active = Family("betascope_active_users", "gauge", "Active people up to the last whole day.")
    for name, days in (("dau", "1"), ("wau", "7"), ("mau", "30")):
        active.samples.append(("", {"days": days}, kpis[name]["value"] or 0.0))
    yield active
    rate = Family(
        "betascope_kpi_ratio", "gauge", "KPIs that are rates, over the last 28 whole days."
    )
    for name, row in kpis.items():
        if row["denominator"] is not None and row["value"] is not None:
            rate.samples.append(("", {"kpi": name}, row["value"]))
    yield rate
    yield one(
        "betascope_cancellations",
        "People who cancelled in the last 28 whole days.",
        kpis["cancellations"]["value"] or 0.0,
    )
    yield from _counts(reader, kpis["error_rate"]["denominator"] or 0.0)
    yield from _freshness(reader)


def _counts(reader: Reader, events: float) -> Iterator[Family]:
    yield one("betascope_events", "Events in the last 28 whole days.", events)
    met = float(reader.frame("errors_by_period")["occurrences"].sum())
    yield one("betascope_errors", "Errors in the last 28 whole days.", met)
    rows = Family("betascope_stored_rows", "gauge", "Rows in the home, by table.")
    for table in ("events", "errors", "traces"):
        key = ("stored_rows", reader.home, reader.version, table)
        found = reader.kept.get(key)
        if found is None:
            found = data_access.scan(table, reader.home).select(pl.len()).collect()
            reader.kept.keep(key, found)
        rows.samples.append(("", {"table": table}, found.item()))
    yield rows


def _freshness(reader: Reader) -> Iterator[Family]:
    if reader.as_of is not None:
        at = reader.as_of.timestamp()
        yield one("betascope_data_as_of_timestamp_seconds", "The latest instant in the data.", at)
        age = max(0.0, (reader.now - reader.as_of).total_seconds())
        yield one("betascope_data_age_seconds", "How long ago that is.", age)
    problems = Family("betascope_problems", "gauge", "Troubles with the data, by kind.")
    counts: Counter[str] = Counter()
    for problem in data_access.problems(reader.home, now=reader.now):
        counts[problem.kind] += problem.count
    for kind in KINDS_OF_PROBLEMS:
        problems.samples.append(("", {"kind": kind}, counts[kind]))
    yield problems


# of data_access.Problem: all of them are said, so that an alert can wait for one
KINDS_OF_PROBLEMS: Final = (
    *("clock", "copy", "corrupt", "flagged", "locked", "quarantined", "settings", "unreadable"),
)


def one(name: str, says: str, value: float, labels: dict[str, str] | None = None) -> Family:
    """Return a gauge of one sample."""
    return Family(name, "gauge", says, [("", labels or {}, float(value))])
