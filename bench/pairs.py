"""The questions of the pages twice: the metric that answers one, and good SQL for the same.

The SQL reads views named events, errors and traces over the very Parquet files our frames scan,
and gives the same columns. It may assume what holds in the demo and our side has to check: that
every weight of an event or a trace is 1, and that no two events of a user share a millisecond.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data_access import Window, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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
    window: Window | None = None  # where it is not that of the page


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


_DAYS: Final = (
    f"SELECT unnest(generate_series(DATE '{window_of().start}', DATE '{END}' - 1, "
    "INTERVAL 1 DAY))::DATE AS day"
)
_DEPENDENT: Final = "event_name IN ('context_loaded','context_resumed') AND result = 'success'"
_START_PAYING: Final = "event_name = 'paid_subscription_started'"


def _headlines(by: str = "") -> str:
    """Return SQL views with the parts of `kpis`, or of one `by` column's `tiers`.

    h: who returned or was dormant and DAU, WAU, MAU; s: sessions; v: people and failures; f: each
    user's conversion and state on entering the window.
    """
    key = f"{by}," if by else ""
    return f"""WITH d AS (SELECT DISTINCT {key} user_id_hash u, {_DAY} AS day FROM events
            WHERE {_ACTIVE} AND timestamp < {_END}),
        g AS (SELECT {key} u, day a, lead(day) OVER w b, lag(day) OVER w z FROM d
            WINDOW w AS (PARTITION BY {key} u ORDER BY day)),
        m AS (SELECT DISTINCT {key} user_id_hash u, {_DAY} a, true resumed FROM events
            WHERE event_name = 'session_resumed_from_context' AND {_IN}),
        p AS (SELECT {key} u,
            bool_or(a >= DATE '{window_of().start}' AND a - z >= 8) returned,
            bool_or(a >= DATE '{window_of().start}' AND a - z >= 8 AND resumed) by_context,
            bool_or(a + 8 < DATE '{END}' AND a + 8 < least(a + 98, coalesce(b, a + 98))
                AND least(a + 98, coalesce(b, a + 98)) > DATE '{window_of().start}') dormant,
            bool_or(a >= DATE '{END}' - 1) dau, bool_or(a >= DATE '{END}' - 7) wau,
            bool_or(a >= DATE '{END}' - 30) mau
            FROM g LEFT JOIN m USING ({key} u, a) GROUP BY ALL),
        h AS (SELECT {key} count(*) FILTER (returned) returned,
            count(*) FILTER (by_context) by_context,
            count(*) FILTER (returned OR dormant) dormant_or_returned, count(*) FILTER (dau) dau,
            count(*) FILTER (wau) wau, count(*) FILTER (mau) mau FROM p GROUP BY ALL),
        s1 AS (SELECT {key} session_id, bool_or({_DEPENDENT}) k FROM events
            WHERE {_IN} AND session_id <> '' GROUP BY ALL),
        s AS (SELECT {key} count(*) sessions, count(*) FILTER (k) sessions_dependent
            FROM s1 GROUP BY ALL),
        v1 AS (SELECT {key} user_id_hash u, bool_or({_DEPENDENT}) k,
            count(*) FILTER (result <> 'success') x, count(*) n FROM events WHERE {_IN}
            GROUP BY ALL),
        v AS (SELECT {key} count(*) users, count(*) FILTER (k) users_dependent, sum(n) events,
            sum(x) failures FROM v1 GROUP BY ALL),
        f1 AS (SELECT user_id_hash u,
            min(timestamp) FILTER ({_START_PAYING}) >= {_START} converted,
            arg_max(is_paid_user, timestamp) FILTER (timestamp < {_START}) before,
            arg_min(is_paid_user, timestamp) FILTER ({_IN}) first,
            {_entering(by)}
            bool_or({_ACTIVE} AND {_IN}) active,
            bool_or(event_name = 'paid_subscription_canceled' AND {_IN}) cancelled
            FROM events WHERE timestamp < {_END} GROUP BY u),
        f AS (SELECT {key} count(*) FILTER (converted) converted,
            count(*) FILTER ((active OR converted) AND (CASE WHEN before IS NOT NULL
                THEN NOT before ELSE NOT first OR coalesce(converted, false) END)) convertible,
            count(*) FILTER (cancelled) cancellations FROM f1 WHERE first IS NOT NULL
            GROUP BY ALL)"""


def _entering(by: str) -> str:
    if not by:
        return ""
    return (
        f"coalesce(arg_max({by}, timestamp) FILTER (timestamp < {_START}), "
        f"arg_min({by}, timestamp) FILTER ({_IN})) {by},"
    )


_TO_PAID: Final = ("session_started", "context_loaded", "paid_subscription_started")
_FIVE: Final = (
    *("session_started", "context_created", "context_loaded", "context_modified"),
    "paid_subscription_started",
)


def _funnel_runs(steps: Sequence[str], group: str = "u") -> str:
    """Return SQL views for the best run of each `group`, d: t, t1, t2, ... and n, steps after t.

    ASOF joins from step to step, each dropping who was too late: in 60 to 70 % of the time of
    window functions that look forward. Users are hashed as on our side, which saves another third.
    """
    limit = "INTERVAL 14 DAY"
    views = [
        f"""o AS MATERIALIZED (SELECT hash(user_id_hash) u, timestamp t, event_name e
            FROM events WHERE {_IN} AND event_name IN {tuple(steps)}),
        c0 AS (SELECT u, t, 0 n FROM o WHERE e = '{steps[0]}')"""
    ]
    for k, step in enumerate(steps[1:], 1):
        since = f"c{k - 1}.t{k - 1 or ''}"
        views.append(f"""c{k} AS (SELECT c{k - 1}.* REPLACE ({k} AS n), x.t t{k} FROM c{k - 1}
            ASOF JOIN (SELECT u, t FROM o WHERE e = '{step}') x ON c{k - 1}.u = x.u
            AND x.t > {since} WHERE x.t <= c{k - 1}.t + {limit})""")
    every = " UNION ALL BY NAME ".join(f"SELECT * FROM c{k}" for k in range(len(steps)))
    fields = ", ".join(["n := n", "t := t", *(f"t{k} := t{k}" for k in range(1, len(steps)))])
    views.append(f"""d AS (SELECT unnest(r) FROM (SELECT arg_max(struct_pack({fields}),
            n * 10000000000000 - epoch_ms(t)) r FROM ({every}) GROUP BY {group}))""")
    return "WITH " + ", ".join(views)


def _funnel_table(steps: Sequence[str]) -> str:
    """Return SQL for the columns of `funnel`."""
    later = range(1, len(steps))
    users = ", ".join(["count(*)", *(f"count(*) FILTER (n >= {k})" for k in later)])
    spent = ", ".join(["0", *(f"median(epoch(t{k} - t)) FILTER (n >= {k})" for k in later)])
    return f"""{_funnel_runs(steps)}, s AS (SELECT unnest(range({len(steps)})) step,
            unnest([{users}]) users, unnest([{spent}]) AS secs FROM d)
        SELECT step, users, users / first(users) OVER w, users / lag(users, 1, users) OVER w, secs
        FROM s WINDOW w AS (ORDER BY step) ORDER BY step"""


_FUNNEL_TREND: Final = f"""{_funnel_runs(_FIVE, "u, t::DATE")}
        SELECT day, count(n), count(*) FILTER (n >= 4), count(*) FILTER (n >= 4) / count(n),
            median(epoch(t4 - t)) FILTER (n >= 4)
        FROM ({_DAYS}) LEFT JOIN d ON day = t::DATE GROUP BY day ORDER BY day"""
_FUNNEL_HISTOGRAM: Final = f"""{_funnel_runs(_FIVE)},
        s AS (SELECT epoch(t3 - t) s FROM d WHERE n >= 3),
        w AS (SELECT min(s) low, ceil((max(s) - min(s)) / 20) width FROM s),
        b AS (SELECT floor((s - low) / width) b, count(*) n FROM s, w GROUP BY ALL)
        SELECT low + k * width, low + (k + 1) * width, coalesce(n, 0)
        FROM w CROSS JOIN range(21) x(k) LEFT JOIN b ON b = k ORDER BY 1"""


def _buckets(key: str, group: str, *, outcomes: bool) -> str:
    """Return SQL for the counts of each `group` in every bucket between the first and last."""
    succeeded = ", count(*) FILTER (success) y" if outcomes else ""
    both = ", coalesce(y, 0), coalesce(n - y, 0)" if outcomes else ""
    return f"""WITH c AS (SELECT {key} AS k,
            floor(log10(greatest(duration_ms, 0.1)) * 4)::BIGINT b, count(*) n{succeeded}
            FROM traces WHERE {_IN} AND duration_ms IS NOT NULL
            GROUP BY ALL),
        g AS (SELECT unnest(range(min(b), max(b) + 1)) b FROM c), k AS ({group})
        SELECT k.k, 10 ** (g.b / 4) lo, 10 ** ((g.b + 1) / 4) hi, coalesce(n, 0){both}
        FROM k CROSS JOIN g LEFT JOIN c ON c.k = k.k AND c.b = g.b ORDER BY 1, 2"""


def _first_releases(*tables: str) -> str:
    """Return SQL for each release: since when it exists and whether it is seen inside."""
    rows = " UNION ALL ".join(
        f"SELECT release, min(timestamp) t, bool_or({_IN}) i FROM {table} "
        f"WHERE timestamp < {_END} GROUP BY 1"
        for table in tables
    )
    return f"SELECT release, min(t) first_seen, bool_or(i) inside FROM ({rows}) GROUP BY 1"


_QUANTILES: Final = ", ".join(
    f"quantile_cont(duration_ms, {q})" for q in (0.5, 0.75, 0.9, 0.95, 0.99)
)

_CONTEXT_EVENTS: Final = (
    *("context_created", "context_auto_created", "context_loaded", "context_resumed"),
    *("context_modified", "context_merged", "context_deleted"),
    *("context_protection_triggered", "context_protection_blocked", "context_override_manual"),
)
_ACTIVATION: Final = f"""WITH n AS (SELECT user_id_hash u, min(timestamp) f FROM events
            WHERE timestamp < {_END} GROUP BY u HAVING f >= {_START}),
        p AS (SELECT u, min(f) f,
            min(timestamp) FILTER (event_name IN ('context_created','context_auto_created')
                AND result = 'success') a,
            min(timestamp) FILTER ({_DEPENDENT}) b,
            min(timestamp) FILTER (timestamp::DATE > f::DATE) c,
            min(timestamp) FILTER (event_name = 'session_resumed_from_context'
                AND result = 'success') d
            FROM events JOIN n ON user_id_hash = u WHERE {_IN} GROUP BY u),
        s AS (SELECT f, unnest([f, a, b, c, d]) t, unnest([0, 1, 2, 3, 4]) step FROM p)
        SELECT step, count(t) users, count(t) / first(count(t)) OVER (ORDER BY step) rate,
            median(epoch(t - f)) AS secs FROM s GROUP BY step ORDER BY step"""
_SHIFTS: Final = f"""WITH p AS (SELECT operation_name o, {_DAY} AS day, count(*) n,
            quantile_cont(duration_ms, 0.95) v FROM traces WHERE duration_ms IS NOT NULL
            AND timestamp >= {_START} - INTERVAL 14 DAY AND timestamp < {_END} GROUP BY ALL),
        x AS (SELECT o, day, v, median(v) OVER b before, median(v) OVER a after,
            avg(ln(v)) OVER b l, avg(ln(v)) OVER a r, count(*) OVER b m, count(*) OVER a k,
            sum(n) OVER b i, sum(n) OVER a j FROM p
            WINDOW b AS (PARTITION BY o ORDER BY day
                RANGE BETWEEN INTERVAL 14 DAY PRECEDING AND INTERVAL 1 DAY PRECEDING),
            a AS (PARTITION BY o ORDER BY day
                RANGE BETWEEN CURRENT ROW AND INTERVAL 13 DAY FOLLOWING)),
        s AS (SELECT o, after > before AS up, arg_max(struct_pack(day, before, after),
            (abs(r - l) * sqrt(m * k / (m + k)), -epoch(day))) s FROM x
            WHERE least(m, k) >= 3 AND least(i, j) >= 50 AND abs(v - after) < abs(v - before)
            AND greatest(after / before, before / after) >= 1.5 AND abs(after - before) >= 20
            AND day >= DATE '{window_of().start}' GROUP BY ALL),
        f AS (SELECT release, min(timestamp)::DATE AS first_day FROM traces
            WHERE timestamp < {_END} AND release <> '' GROUP BY 1)
        SELECT o, s.day, s.after / s.before, s.before, s.after, arg_max(release, first_day)
        FROM s LEFT JOIN f ON s.day - first_day IN (0, 1) GROUP BY ALL ORDER BY o"""

# json_extract with a list of paths reads each text once, as our side does
_MODELS: Final = f"""WITH r AS (SELECT user_id_hash u, result, duration_ms, json_extract_string(
            metadata, ['provider', 'model', 'tokens_input', 'tokens_output', 'cost_usd']) j
            FROM events WHERE {_IN} AND (contains(metadata, '"model"') OR
            contains(metadata, '"tokens_') OR contains(metadata, '"cost_usd"'))),
        c AS (SELECT u, result, duration_ms, j[1] p, j[2] m, TRY_CAST(j[3] AS DOUBLE) i,
            TRY_CAST(j[4] AS DOUBLE) o, TRY_CAST(j[5] AS DOUBLE) c FROM r)
        SELECT p, m, count(*), count(DISTINCT u), sum(i), sum(o), sum(c),
            count(*) FILTER (result <> 'success'), quantile_cont(duration_ms, [0.5, 0.95]),
            rank() OVER (ORDER BY count(*) DESC) FROM c
        WHERE m IS NOT NULL OR i IS NOT NULL OR o IS NOT NULL OR c IS NOT NULL
        GROUP BY p, m ORDER BY p, m"""
# in lists: windows take twice as long
_PATHS: Final = f"""WITH u AS (SELECT list(epoch_ms(timestamp) ORDER BY timestamp) t,
            list(event_name ORDER BY timestamp) n FROM events WHERE {_IN} GROUP BY user_id_hash),
        k AS (SELECT t, n, list_filter(range(1, len(t) + 1), lambda i: i = len(t)
            OR n[i] <> n[i + 1] OR t[i + 1] - t[i] > 1800000) k FROM u),
        c AS (SELECT list_select(t, k) t, list_select(n, k) n,
            list_filter(range(1, len(k) + 1),
                lambda m: m = 1 OR t[k[m - 1] + 1] - t[k[m - 1]] > 1800000) s FROM k),
        v AS (SELECT t, n, unnest(s) i, unnest(list_concat(s[2:], [len(t) + 1])) j FROM c),
        w AS (SELECT t[i:least(i + 4, j - 1)] t, n[i:least(i + 4, j - 1)] n FROM v
            WHERE j - i > 1),
        e AS (SELECT unnest(range(1, len(n))) step, unnest(n[:len(n) - 1]) AS source,
            unnest(n[2:]) AS target, unnest(t[:len(t) - 1]) a, unnest(t[2:]) b FROM w)
        SELECT step, source, target, count(*) sessions, avg(b - a) / 1000 FROM e
        GROUP BY ALL ORDER BY ALL"""


def _days_of(event: str = "true", since: str = "") -> str:
    """Return SQL for `d`: the distinct days of each user, up to the window's end.

    Weeks and months are made of these few rows: `date_trunc` of a million instants would take
    DuckDB longer than all the rest. Its own 64-bit hash of the user groups a tenth faster.
    """
    return f"""d AS (SELECT DISTINCT hash(user_id_hash) u, {_DAY} AS day FROM events
        WHERE {event} AND timestamp < {_END} {since})"""


def _cohorts(every: str, cohort: str, start: date) -> str:
    """Return SQL for `retention`: people per cohort and number of periods since."""
    if every == "1d":
        period, number = "day", "p.p - c.p"
    else:
        period, number = "date_trunc('week', day)::DATE", "(p.p - c.p) // 7"
    chosen = "min(p) p" if cohort == "first" else "p"
    since = "" if cohort == "first" else f"AND timestamp >= TIMESTAMPTZ '{start} 00:00:00+00'"
    return f"""WITH {_days_of(since=since)}, p AS (SELECT DISTINCT u, {period} p FROM d),
        c AS (SELECT u, {chosen} FROM p {"GROUP BY u" if cohort == "first" else ""})
        SELECT c.p AS cohort, {number} AS n, count(*) FROM c JOIN p USING (u)
        WHERE c.p >= DATE '{start}' AND p.p >= c.p GROUP BY ALL ORDER BY ALL"""


# 84 days: what the Retention page opens with
_TWELVE_WEEKS: Final = Window(END - timedelta(days=84), END)
_COHORT_TABLES: Final[dict[str, Pair]] = {
    f"{cohort} cohorts by {name}": Pair(
        "retention",
        _cohorts(every, cohort, _TWELVE_WEEKS.widened(every).start),
        {"every": every, "cohort": cohort},
        _TWELVE_WEEKS,
    )
    for every, name in (("1w", "week"), ("1d", "day"))
    for cohort in ("first", "recurring")
}

_NOT_FEATURES: Final = (
    "event_name IN ('session_started','session_ended','session_resumed_from_context',"
    "'extension_activated','install','context_auto_created','context_protection_triggered',"
    "'context_protection_blocked','paid_subscription_started','paid_subscription_canceled',"
    "'error','session_compressed','context_injected','historical_activity') "
    "OR event_name LIKE '%_rollup'"
)
_FEATURE: Final = f"""CASE WHEN event_name = 'server_operation_called'
            THEN coalesce(json_extract_string(metadata, '$.tool_name'), event_name)
            WHEN NOT ({_NOT_FEATURES}) THEN event_name END"""
_FEATURE_USAGE: Final = f"""WITH r AS (SELECT user_tier t, user_id_hash u, {_FEATURE} f,
            {_ACTIVE} a FROM events WHERE {_IN}),
        n AS (SELECT t, count(DISTINCT u) active FROM r WHERE a OR f IS NOT NULL GROUP BY t),
        c AS (SELECT f, t, count(DISTINCT u) users, count(*) uses FROM r WHERE f IS NOT NULL
            GROUP BY f, t)
        SELECT f, t, users, uses, active, users / active FROM c JOIN n USING (t) ORDER BY f, t"""
_ADOPTION: Final = f"""WITH r AS (SELECT user_id_hash u, {_FEATURE} f, min(timestamp) t FROM events
            WHERE ({_ACTIVE} OR NOT ({_NOT_FEATURES}))
            AND timestamp < date_trunc('week', {_END} - INTERVAL 1 DAY) + INTERVAL 7 DAY
            GROUP BY 1, 2),
        w AS (SELECT unnest(generate_series(date_trunc('week', {_START}),
            {_END} - INTERVAL 1 DAY, INTERVAL 7 DAY)) w),
        p AS (SELECT w, count(*) people FROM w, (SELECT u, min(t) t FROM r GROUP BY u)
            WHERE t < w + INTERVAL 7 DAY GROUP BY w),
        c AS (SELECT f, w, count(*) adopters, count(*) FILTER (t >= w) new_users FROM w, r
            WHERE f IS NOT NULL AND t < w + INTERVAL 7 DAY GROUP BY f, w)
        SELECT f, w, new_users, adopters, people, adopters / people FROM c JOIN p USING (w)
        ORDER BY f, w"""
_CO_USAGE: Final = f"""WITH r AS (SELECT DISTINCT session_id s, {_FEATURE} f FROM events
            WHERE {_IN} AND session_id <> '' AND NOT ({_NOT_FEATURES})),
        n AS (SELECT f, count(*) n FROM r GROUP BY f),
        m AS (SELECT count(DISTINCT s) m FROM r),
        p AS (SELECT a.f f, b.f g, count(*) k FROM r a JOIN r b ON a.s = b.s AND a.f < b.f
            GROUP BY ALL)
        SELECT f, g, k, x.n, y.n, m, k / m, k * m / (x.n * y.n) FROM p JOIN n x USING (f)
            JOIN n y ON y.f = g CROSS JOIN m ORDER BY f, g"""
_TOOL: Final = "coalesce(json_extract_string(metadata, '$.tool_name'), event_name)"
_SAVINGS: Final = f"""WITH r AS (SELECT {_DAY} d, user_id_hash u,
            json_extract(metadata, ['$.before_tokens', '$.after_tokens'])::BIGINT[] n
            FROM events WHERE {_IN} AND metadata LIKE '%"before_tokens"%')
        SELECT d, count(*), count(DISTINCT u), sum(n[1]), sum(n[2]), 1 - sum(n[2]) / sum(n[1])
        FROM r WHERE n[1] >= 0 AND n[2] >= 0 GROUP BY d ORDER BY d"""

_WAYS: Final = f"""WITH x AS (SELECT DISTINCT user_id_hash u FROM events
            WHERE {_START_PAYING} AND timestamp < {_START}),
        u AS (SELECT user_id_hash u, list(event_name ORDER BY timestamp) n FROM events
            ANTI JOIN x ON u = user_id_hash WHERE {_IN} GROUP BY user_id_hash),
        g AS (SELECT n, coalesce(list_position(n, 'paid_subscription_started'), 0) g FROM u),
        b AS (SELECT g > 0 c, CASE WHEN g > 0 THEN n[:g - 1] ELSE n END n FROM g),
        w AS (SELECT c, array_to_string(list_filter(n, lambda e, i: i = 1 OR n[i - 1] <> e)[:8],
            ' > ') p FROM b)
        SELECT c, row_number() OVER (PARTITION BY c ORDER BY count(*) DESC, p) AS r, p, count(*),
            sum(count(*)) OVER (PARTITION BY c), count(*) / sum(count(*)) OVER (PARTITION BY c)
        FROM w GROUP BY c, p QUALIFY r <= 10 ORDER BY c, r"""
_MAP: Final = f"""WITH f AS (SELECT user_id_hash u, min(timestamp) m0 FROM events
            WHERE timestamp < {_END} GROUP BY 1 HAVING m0 >= {_START}),
        p AS (SELECT any_value(m0) m0, min(timestamp) FILTER (event_name IN
                ('context_created', 'context_auto_created') AND result = 'success') m1,
            min(timestamp) FILTER (event_name = 'context_loaded' AND result = 'success') m2,
            min(timestamp) FILTER (timestamp::DATE > m0::DATE) m3,
            min(timestamp) FILTER (event_name = 'context_resumed' AND result = 'success') m4,
            min(timestamp) FILTER ({_START_PAYING} AND result = 'success') m5,
            greatest(any_value(m0), max(timestamp) FILTER ({_ACTIVE}))::DATE
                < DATE '{END}' - 14 AS silent
            FROM events JOIN f ON u = user_id_hash WHERE {_IN} GROUP BY u),
        s AS (SELECT unnest([m0, m1, m2, m3, m4, m5]) t, unnest([0, 1, 2, 3, 4, 5]) k, m0, silent,
            CASE WHEN m5 IS NOT NULL THEN 5 WHEN m4 IS NOT NULL THEN 4 WHEN m3 IS NOT NULL THEN 3
                WHEN m2 IS NOT NULL THEN 2 WHEN m1 IS NOT NULL THEN 1 ELSE 0 END z FROM p)
        SELECT k, count(t), count(t) / first(count(t)) OVER (ORDER BY k),
            median(epoch(t - m0)) / 86400, count(*) FILTER (z = k),
            count(*) FILTER (z = k AND silent), count(*) FILTER (z = k AND NOT silent)
        FROM s GROUP BY k ORDER BY k"""

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
        f"""WITH {_days_of(_ACTIVE)},
        p AS (SELECT DISTINCT u, date_trunc('week', day)::DATE p FROM d),
        n AS (SELECT u, p, lag(p) OVER w AS before, lead(p) OVER w AS next FROM p
            WINDOW w AS (PARTITION BY u ORDER BY p))
        SELECT p, count(*) FILTER (before IS NULL), count(*) FILTER (before = p - 7),
            count(*) FILTER (before < p - 7),
            count(*) FILTER (next IS NULL OR next > p + 7) FROM n GROUP BY p ORDER BY p""",
    ),
    **_COHORT_TABLES,
    "free-to-paid funnel": Pair(
        "funnel",
        _funnel_table(_TO_PAID),
        {"steps": _TO_PAID},
    ),
    "funnel of five steps": Pair("funnel", _funnel_table(_FIVE), {"steps": _FIVE}),
    "funnel by day": Pair("funnel_trend", _FUNNEL_TREND, {"steps": _FIVE}),
    "time through the funnel": Pair(
        "funnel_histogram", _FUNNEL_HISTOGRAM, {"steps": _FIVE, "to_step": 3}
    ),
    "paths of sessions": Pair("paths", _PATHS),
    "ways to paying": Pair("journeys", _WAYS),
    "from first event to silence": Pair("journey_map", _MAP),
    "key figures": Pair(
        "kpis",
        f"{_headlines()} SELECT * FROM h, s, v, f",
    ),
    "headlines by tier": Pair(
        "tiers",
        f"""{_headlines("user_tier")},
        e AS (SELECT user_tier, sum(occurrences * weight) errors, count(DISTINCT user_id_hash) hit
            FROM errors WHERE {_IN} GROUP BY 1),
        t AS (SELECT user_tier, count(*) traces, quantile_cont(duration_ms, [0.5, 0.95])
            FROM traces WHERE {_IN} GROUP BY 1)
        SELECT * FROM v LEFT JOIN h USING (user_tier) LEFT JOIN s USING (user_tier)
            LEFT JOIN f USING (user_tier) LEFT JOIN e USING (user_tier)
            LEFT JOIN t USING (user_tier) ORDER BY user_tier""",
    ),
    "moves between tiers": Pair(
        "tier_moves",
        f"""WITH k AS (SELECT user_id_hash u, user_tier x, timestamp FROM events
            WHERE timestamp < {_END} AND user_tier <> ''),
        c AS (SELECT u FROM k GROUP BY u HAVING min(x) <> max(x)),
        m AS (SELECT u, x, timestamp, lag(x) OVER (PARTITION BY u ORDER BY timestamp) z
            FROM k SEMI JOIN c USING (u))
        SELECT z, x, count(DISTINCT u), count(*) FROM m WHERE z <> x AND {_IN}
        GROUP BY ALL ORDER BY ALL""",
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
        _buckets(_DAY, f"SELECT day AS k FROM ({_DAYS})", outcomes=False),
    ),
    "latency distribution": Pair(
        "latency_distribution",
        _buckets("operation_name", "SELECT DISTINCT k FROM c", outcomes=True),
    ),
    "apdex": Pair(
        "apdex",
        f"""WITH c AS (SELECT operation_name o,
            count(*) FILTER (success AND duration_ms <= 500) s,
            count(*) FILTER (success AND duration_ms > 500 AND duration_ms <= 2000) t,
            count(*) FILTER (NOT success OR duration_ms IS NOT NULL) n
            FROM traces WHERE {_IN} GROUP BY o)
        SELECT o, s, t, n - s - t, n, (s + t / 2) / n FROM c ORDER BY o""",
    ),
    "operations that shifted": Pair("shifts", _SHIFTS),
    "error groups": Pair(
        "error_groups",
        f"""WITH k AS (SELECT group_hash g, min(least(first_at, timestamp)) first_seen,
            max(greatest(last_at, timestamp)) last_seen FROM errors WHERE timestamp < {_END}
            GROUP BY g),
        i AS (SELECT group_hash g, arg_max(error_type, timestamp),
            arg_max(error_message, timestamp), arg_max(stack_trace, timestamp),
            sum(occurrences * weight), count(DISTINCT user_id_hash), count(DISTINCT session_id),
            max(list_position(['info', 'warning', 'error', 'critical'], severity)),
            list_sort(list(DISTINCT user_tier)), list_sort(list(DISTINCT release)),
            list_sort(list(DISTINCT channel)) FROM errors WHERE {_IN} GROUP BY g),
        n AS (SELECT group_hash g, {_DAY} AS day, sum(occurrences * weight) n FROM errors
            WHERE {_IN} GROUP BY ALL),
        l AS (SELECT i.g, list(coalesce(n, 0) ORDER BY d.day) FROM i CROSS JOIN ({_DAYS}) d
            LEFT JOIN n ON n.g = i.g AND n.day = d.day GROUP BY i.g)
        SELECT * FROM i JOIN k USING (g) JOIN l USING (g) ORDER BY g""",
    ),
    "errors by release": Pair(
        "errors_by_release",
        f"""WITH r AS ({_first_releases("events", "errors")}),
        u AS (SELECT release, count(*) events, count(DISTINCT user_id_hash) users FROM events
            WHERE {_IN} GROUP BY 1),
        e AS (SELECT release, sum(occurrences * weight) errors, count(DISTINCT user_id_hash) hit
            FROM errors WHERE {_IN} GROUP BY 1)
        SELECT r.release, first_seen, events, users, errors, hit, 1000 * errors / events
        FROM r LEFT JOIN u ON u.release IS NOT DISTINCT FROM r.release
            LEFT JOIN e ON e.release IS NOT DISTINCT FROM r.release WHERE inside ORDER BY 1""",
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
    "activity by hour": Pair(
        "hourly",
        f"SELECT date_trunc('hour', timestamp) h, count(*), count(*) FILTER (result <> 'success'), "
        f"count(DISTINCT user_id_hash) FROM events WHERE {_IN} GROUP BY h ORDER BY h",
    ),
    "features by tier": Pair("feature_usage", _FEATURE_USAGE),
    "adoption of features": Pair("feature_adoption", _ADOPTION),
    "features used together": Pair("co_usage", _CO_USAGE),
    "tools": Pair(
        "tools",
        f"SELECT {_TOOL} t, count(*), count(DISTINCT user_id_hash), "
        "count(*) FILTER (result <> 'success'), quantile_cont(duration_ms, [0.5, 0.95]) "
        f"FROM events WHERE {_IN} AND event_name = 'server_operation_called' "
        "GROUP BY t ORDER BY t",
    ),
    "tokens saved by day": Pair("token_savings", _SAVINGS),
    "releases": Pair(
        "releases",
        f"""WITH r AS ({_first_releases("events", "traces")}),
        u AS (SELECT release, count(*) events, count(DISTINCT user_id_hash) users,
            count(*) FILTER (result <> 'success') / count(*) error_rate FROM events
            WHERE {_IN} AND release <> '' GROUP BY 1),
        t AS (SELECT release, quantile_cont(duration_ms, 0.95) p95 FROM traces
            WHERE {_IN} AND release <> '' GROUP BY 1)
        SELECT release, first_seen, events, users, error_rate, p95 FROM r
            LEFT JOIN u USING (release) LEFT JOIN t USING (release)
            WHERE inside AND release <> '' ORDER BY 1""",
    ),
    "life of contexts": Pair(
        "context_lifecycle",
        "SELECT date_trunc('week', timestamp)::DATE w, "
        + ", ".join(f"count(*) FILTER (event_name = '{name}')" for name in _CONTEXT_EVENTS)
        + f" FROM events WHERE timestamp >= date_trunc('week', {_START}) "
        f"AND timestamp < date_trunc('week', {_END} - INTERVAL 1 DAY) + INTERVAL 7 DAY "
        f"AND event_name IN ({', '.join(repr(name) for name in _CONTEXT_EVENTS)}) "
        "GROUP BY w ORDER BY w",
    ),
    "activation": Pair("activation", _ACTIVATION),
    "language models": Pair("models", _MODELS),
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
