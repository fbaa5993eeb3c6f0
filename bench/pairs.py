"""The questions of the pages twice: the metric that answers one, and good SQL for the same.

The SQL reads views named events, errors and traces over the very Parquet files our frames scan.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data_access import Window, scan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

END: Final = date(2026, 11, 21)
DAYS: Final = 28


def window_of(end: date = END) -> Window:
    """Return the window the pages open with: 28 whole days."""
    return Window(end - timedelta(days=DAYS), end)


@dataclass(frozen=True, slots=True)
class Pair:
    """One question: the metric and its options, and the SQL."""

    metric: str
    sql: str
    options: dict[str, Any] = field(default_factory=dict)


_ACTIVE: Final = (
    "event_name IN ('session_started','extension_activated','server_operation_called',"
    "'web_view_opened')"
)
_START, _END = f"TIMESTAMPTZ '{window_of().start} 00:00:00+00'", f"TIMESTAMPTZ '{END} 00:00:00+00'"
_IN: Final = f"timestamp >= {_START} AND timestamp < {_END}"
_DAY: Final = "timestamp::DATE"


def _rolling(days: int) -> str:
    """Return SQL for distinct people in the `days` days ending with each day, as intervals."""
    return f"""
    WITH d AS (SELECT DISTINCT user_id_hash AS u, {_DAY} AS day FROM events
        WHERE {_ACTIVE} AND timestamp >= {_START} - INTERVAL {days} DAY AND timestamp < {_END}),
    n AS (SELECT u, day, lead(day) OVER (PARTITION BY u ORDER BY day) AS next FROM d),
    e AS (SELECT day AS moment, 1 AS step FROM n UNION ALL
        SELECT least(day + {days}, coalesce(next, day + {days})), -1 FROM n)
    SELECT moment, sum(sum(step)) OVER (ORDER BY moment) FROM e
        GROUP BY moment ORDER BY moment"""


_QUANTILES: Final = ", ".join(
    f"quantile_cont(duration_ms, {q})" for q in (0.5, 0.75, 0.9, 0.95, 0.99)
)

PAIRS: Final[dict[str, Pair]] = {
    "daily active users": Pair(
        "active_users",
        f"SELECT {_DAY} d, count(DISTINCT user_id_hash) FROM events WHERE {_ACTIVE} AND {_IN} "
        "GROUP BY d ORDER BY d",
    ),
    "weekly active, rolling": Pair("active_users", _rolling(7), {"days": 7}),
    "monthly active, rolling": Pair("active_users", _rolling(30), {"days": 30}),
    "activity by day": Pair(
        "activity",
        f"SELECT {_DAY} d, count(*), count(DISTINCT user_id_hash), count(DISTINCT session_id), "
        f"count(*) FILTER (result <> 'success') FROM events WHERE {_IN} GROUP BY d ORDER BY d",
    ),
    "activity by channel and day": Pair(
        "activity",
        f"SELECT {_DAY} d, channel, count(*), count(DISTINCT user_id_hash), "
        "count(DISTINCT session_id), count(*) FILTER (result <> 'success') FROM events "
        f"WHERE {_IN} GROUP BY d, channel ORDER BY d, channel",
        {"by": ("channel",)},
    ),
    "lifecycle by week": Pair(
        "lifecycle",
        f"""WITH p AS (SELECT DISTINCT user_id_hash u, date_trunc('week', timestamp)::DATE p
            FROM events WHERE {_ACTIVE} AND timestamp < {_END}),
        n AS (SELECT u, p, lag(p) OVER w AS before, lead(p) OVER w AS next FROM p
            WINDOW w AS (PARTITION BY u ORDER BY p))
        SELECT p, count(*) FILTER (before IS NULL), count(*) FILTER (before = p - 7),
            count(*) FILTER (before < p - 7),
            count(*) FILTER (next IS NULL OR next > p + 7) FROM n GROUP BY p ORDER BY p""",
    ),
    "retention by week": Pair(
        "retention",
        f"""WITH p AS (SELECT DISTINCT user_id_hash u, date_trunc('week', timestamp)::DATE p
            FROM events WHERE timestamp < {_END}),
        c AS (SELECT u, min(p) AS c FROM p GROUP BY u)
        SELECT c, (p - c) // 7 AS n, count(*) FROM p JOIN c USING (u)
        WHERE c >= DATE '{window_of().start}' - 7 GROUP BY c, n ORDER BY c, n""",
    ),
    "free-to-paid funnel": Pair(
        "funnel",
        f"""WITH o AS (SELECT user_id_hash u, event_name e, timestamp t FROM events WHERE {_IN}
            AND event_name IN ('session_started','context_loaded','paid_subscription_started')),
        a AS (SELECT u, t, e, max(t) FILTER (e = 'session_started') OVER (PARTITION BY u
            ORDER BY t ROWS UNBOUNDED PRECEDING) AS s FROM o),
        b AS (SELECT u, t, e, s, max(s) FILTER (e = 'context_loaded' AND t <= s + INTERVAL 14 DAY)
            OVER (PARTITION BY u ORDER BY t ROWS UNBOUNDED PRECEDING) AS s2 FROM a)
        SELECT count(DISTINCT u) FILTER (s IS NOT NULL), count(DISTINCT u) FILTER (s2 IS NOT NULL),
            count(DISTINCT u) FILTER (e = 'paid_subscription_started'
            AND t <= s2 + INTERVAL 14 DAY) FROM b""",
        {"steps": ("session_started", "context_loaded", "paid_subscription_started")},
    ),
    "key figures": Pair(
        "kpis",
        f"""WITH d AS (SELECT DISTINCT user_id_hash u, {_DAY} AS day FROM events
            WHERE {_ACTIVE} AND timestamp < {_END}),
        g AS (SELECT u, day a, lead(day) OVER (PARTITION BY u ORDER BY day) b FROM d),
        r AS (SELECT DISTINCT u FROM g WHERE b - a >= 8 AND b >= DATE '{window_of().start}'),
        q AS (SELECT DISTINCT u FROM g WHERE a + 8 < DATE '{END}'
            AND least(a + 97, coalesce(b - 1, a + 97)) >= DATE '{window_of().start}'
            AND coalesce(b - 1, a + 97) >= a + 8),
        f AS (SELECT user_id_hash u, min(timestamp) FILTER (event_name =
            'paid_subscription_started') c, arg_max(is_paid_user, timestamp)
            FILTER (timestamp < {_START}) p FROM events WHERE timestamp < {_END} GROUP BY u),
        s AS (SELECT session_id, bool_or(event_name IN ('context_loaded','context_resumed')
            AND result = 'success') k FROM events WHERE {_IN} AND session_id <> '' GROUP BY 1),
        v AS (SELECT user_id_hash u, bool_or(event_name IN ('context_loaded','context_resumed')
            AND result = 'success') k, count(*) FILTER (result <> 'success') x, count(*) n
            FROM events WHERE {_IN} GROUP BY 1)
        SELECT (SELECT count(*) FROM r), (SELECT count(*) FROM (FROM r UNION FROM q)),
            (SELECT count(*) FILTER (k) / count(*) FROM s), (SELECT count(*) FROM f
            WHERE c >= {_START}), (SELECT count(*) FROM f WHERE NOT p),
            (SELECT count(*) FILTER (k) / count(*) FROM v), (SELECT sum(x) / sum(n) FROM v),
            (SELECT count(DISTINCT u) FROM d WHERE day = DATE '{END}' - 1),
            (SELECT count(DISTINCT u) FROM d WHERE day >= DATE '{END}' - 7),
            (SELECT count(DISTINCT u) FROM d WHERE day >= DATE '{END}' - 30)""",
    ),
    "latency by operation": Pair(
        "latency",
        f"SELECT operation_name o, count(*), count(*) FILTER (NOT success), {_QUANTILES} "
        f"FROM traces WHERE {_IN} GROUP BY o ORDER BY o",
    ),
    "latency by day": Pair(
        "latency",
        f"SELECT {_DAY} d, operation_name o, count(*), count(*) FILTER (NOT success), {_QUANTILES}"
        f" FROM traces WHERE {_IN} GROUP BY d, o ORDER BY d, o",
        {"every": "1d"},
    ),
    "latency heatmap": Pair(
        "latency_heatmap",
        f"SELECT {_DAY} d, floor(log10(greatest(duration_ms, 1)) * 10) b, count(*) FROM traces "
        f"WHERE {_IN} GROUP BY d, b ORDER BY d, b",
    ),
    "apdex": Pair(
        "apdex",
        "SELECT operation_name o, (count(*) FILTER (success AND duration_ms <= 500) "
        "+ count(*) FILTER (success AND duration_ms > 500 AND duration_ms <= 2000) / 2) / count(*) "
        f"FROM traces WHERE {_IN} GROUP BY o ORDER BY o",
    ),
    "error groups": Pair(
        "error_groups",
        f"""SELECT group_hash g, arg_max(error_type, timestamp), arg_max(error_message, timestamp),
            arg_max(stack_trace, timestamp), sum(occurrences * weight) FILTER ({_IN}),
            count(DISTINCT user_id_hash) FILTER ({_IN}), min(first_at), max(last_at),
            list(DISTINCT user_tier) FILTER ({_IN}), list(DISTINCT release) FILTER ({_IN}),
            list(DISTINCT channel) FILTER ({_IN}), count(DISTINCT session_id) FILTER ({_IN})
        FROM errors WHERE timestamp < {_END} GROUP BY g ORDER BY g""",
    ),
    "errors by day": Pair(
        "errors_by_period",
        f"SELECT {_DAY} d, sum(occurrences * weight), count(DISTINCT user_id_hash), "
        f"count(DISTINCT group_hash) FROM errors WHERE {_IN} GROUP BY d ORDER BY d",
    ),
    "what changed most": Pair(
        "movers",
        f"SELECT event_name n, count(*) FILTER ({_IN}), count(*) FILTER (timestamp < {_START}), "
        f"count(DISTINCT user_id_hash) FILTER ({_IN}), "
        f"count(DISTINCT user_id_hash) FILTER (timestamp < {_START}) FROM events "
        f"WHERE timestamp >= {_START} - INTERVAL {DAYS} DAY AND timestamp < {_END} "
        "GROUP BY n ORDER BY n",
    ),
    "people one by one": Pair(
        "testers",
        f"""WITH e AS (SELECT user_id_hash u, min(timestamp) a, max(timestamp) z,
            count(DISTINCT {_DAY}) FILTER ({_IN}), count(DISTINCT session_id) FILTER ({_IN}),
            count(*) FILTER (event_name = 'context_created' AND {_IN}),
            count(*) FILTER (event_name = 'context_loaded' AND {_IN}),
            count(*) FILTER (event_name = 'context_resumed' AND {_IN}),
            count(*) FILTER (event_name = 'context_protection_triggered' AND {_IN}),
            count(*) FILTER (event_name = 'context_protection_blocked' AND {_IN}),
            count(*) FILTER (event_name = 'context_override_manual' AND {_IN}),
            arg_max(user_tier, timestamp) FROM events WHERE timestamp < {_END} GROUP BY u),
        x AS (SELECT user_id_hash u, sum(occurrences) n, count(DISTINCT group_hash) g FROM errors
            WHERE {_IN} GROUP BY u)
        SELECT * FROM e LEFT JOIN x USING (u) ORDER BY u""",
    ),
}

_P95_SQL: Final = """SELECT timestamp, user_tier, user_id_hash, duration_ms FROM telemetry_events"""


def _ours(home: Path) -> int:
    rows = (
        scan("events", home)
        .group_by(pl.col("timestamp").dt.date().alias("day"), "user_tier")
        .agg(
            pl.col("user_id_hash").n_unique().alias("users"),
            pl.col("duration_ms").quantile(0.95, "linear").alias("duration_ms_p95"),
        )
        .sort("day", "user_tier")
        .collect()
    )
    return rows.height


def _pandas(home: Path) -> int:
    import pandas as pd  # noqa: PLC0415 - its memory must not count for the other side

    connection = sqlite3.connect(home / "telemetry.db")
    frame = pd.read_sql(_P95_SQL, connection)
    connection.close()
    frame["day"] = pd.to_datetime(frame["timestamp"], format="ISO8601").dt.date
    grouped = frame.groupby(["day", "user_tier"])
    users = grouped["user_id_hash"].nunique()
    users.to_frame("users").join(grouped["duration_ms"].quantile(0.95))
    return len(users)


BY_DAY_AND_TIER: Final[dict[str, Callable[[Path], int]]] = {"ours": _ours, "pandas": _pandas}
