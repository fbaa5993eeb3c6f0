"""The same numbers once more: slow, plain Python over lists, from the definitions alone.

No frame and no expression; every function walks the rows one by one. A row is a dict with at
least `event_id`, `timestamp` (aware), `user_id_hash`, `event_name` and `weight`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Row = dict[str, Any]
ACTIVE = ("session_started", "extension_activated", "server_operation_called", "web_view_opened")
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Days:
    """A half-open range of days in a timezone, and what a week is there."""

    start: date
    end: date
    timezone: str = "UTC"
    week: str = "monday"

    def day(self, row: Row) -> date:
        """Return the day a row falls on."""
        moment: datetime = row["timestamp"]
        return moment.astimezone(ZoneInfo(self.timezone)).date()

    def first_of(self, day: date, every: str) -> date:
        """Return the first day of the period a day is in."""
        if every == "1mo":
            return day.replace(day=1)
        if every == "1w":
            first = 0 if self.week == "monday" else 6
            while day.weekday() != first:
                day -= DAY
        return day

    def following(self, period: date, every: str) -> date:
        """Return the first day of the next period."""
        day = period + DAY
        while self.first_of(day, every) == period:
            day += DAY
        return day

    def periods(self, every: str) -> list[date]:
        """Return every period that has a day in the range."""
        found: list[date] = []
        day = self.start
        while day < self.end:
            if (first := self.first_of(day, every)) not in found:
                found.append(first)
            day += DAY
        return found

    def complete(self, period: date, every: str) -> bool:
        """Return whether a period ends inside the range."""
        return self.following(period, every) <= self.end

    def inside(self, row: Row) -> bool:
        """Return whether a row falls on a day of the range."""
        return self.start <= self.day(row) < self.end


def in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["timestamp"], row["event_id"]))


def by_user(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in in_order(rows):
        if row["user_id_hash"] is not None:
            found[row["user_id_hash"]].append(row)
    return found


def least(rows: Iterable[Row]) -> float:
    return min(float(row["weight"]) for row in rows)


def named(*names: str) -> Callable[[Row], bool]:
    return lambda row: row["event_name"] in names


def anything(_: Row) -> bool:
    return True


# --- people and periods ----------------------------------------------------------------------


def active_users(
    rows: list[Row],
    days: Days,
    every: str = "1d",
    last: int | None = None,
    active: Callable[[Row], bool] | None = None,
) -> list[tuple[date, float, bool]]:
    active = active or named(*ACTIVE)
    found = []
    for period in days.periods(every):
        until = days.following(period, every)
        since = period if last is None else until - timedelta(days=last)
        total = 0.0
        for mine in by_user(rows).values():
            there = [row for row in mine if active(row) and since <= days.day(row) < until]
            total += least(there) if there else 0
        found.append((period, total, days.complete(period, every)))
    return found


def periods_of(
    mine: list[Row], days: Days, every: str, wanted: Callable[[Row], bool]
) -> dict[date, list[Row]]:
    found: dict[date, list[Row]] = defaultdict(list)
    for row in mine:
        if wanted(row):
            found[days.first_of(days.day(row), every)].append(row)
    return found


def stickiness(
    rows: list[Row], days: Days, every: str, *, at_least: bool, min_events: float
) -> list[tuple[int, float]]:
    periods = days.periods(every)
    bars = dict.fromkeys(range(1, len(periods) + 1), 0.0)
    for mine in by_user(rows).values():
        seen = periods_of(mine, days, every, named(*ACTIVE))
        there = [
            seen[period]
            for period in periods
            if period in seen and sum(row["weight"] for row in seen[period]) >= min_events
        ]
        for number in bars:
            if there and (number <= len(there) if at_least else number == len(there)):
                bars[number] += least(row for group in there for row in group)
    return list(bars.items())


def lifecycle(rows: list[Row], days: Days, every: str) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for period in days.periods(every):
        before = days.first_of(period - DAY, every)
        new = back = again = gone = 0.0
        for mine in by_user(rows).values():
            seen = periods_of(mine, days, every, named(*ACTIVE))
            if period in seen:
                if min(seen) == period:
                    new += least(seen[period])
                elif before in seen:
                    back += least(seen[period])
                else:
                    again += least(seen[period])
            elif before in seen:
                gone -= least(seen[before])
        found.append((period, new, back, again, gone, days.complete(period, every)))
    return found


def retention(
    rows: list[Row],
    days: Days,
    every: str,
    *,
    start: Callable[[Row], bool],
    back: Callable[[Row], bool],
    first: bool,
    unbounded: bool,
    min_returns: float,
) -> list[tuple[object, ...]]:
    periods = days.periods(every)
    found: list[tuple[object, ...]] = []
    for at, cohort in enumerate(periods):
        members = []
        for mine in by_user(rows).values():
            starts = periods_of(mine, days, every, start)
            if cohort in starts and (not first or min(starts) == cohort):
                members.append((starts[cohort], periods_of(mine, days, every, back)))
        size = sum(least(began) for began, _ in members)
        for number, period in enumerate(periods[at:]):
            users = 0.0
            for began, returns in members:
                later = periods[at + number :] if unbounded else [period]
                counted = [
                    row
                    for one in later
                    if sum(row["weight"] for row in returns.get(one, ())) >= min_returns
                    for row in returns.get(one, ())
                ]
                if number == 0:
                    users += least(began)
                elif counted:
                    users += least([*began, *counted])
            rate = users / size if size else None
            found.append((cohort, number, users, size, rate, days.complete(period, every)))
    return found


# --- funnels ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Funnel:
    """What is asked of a funnel; steps and exclusions are tests of a row."""

    steps: Sequence[Callable[[Row], bool]]
    within: timedelta | None
    order: str = "ordered"
    entry: str = "best"
    exclude: Sequence[tuple[Callable[[Row], bool], int, int]] = ()

    def soon(self, row: Row, since: Row) -> bool:
        """Return whether a row lies within the limit after another."""
        passed: timedelta = row["timestamp"] - since["timestamp"]
        return self.within is None or passed <= self.within


def funnel(rows: list[Row], days: Days, asked: Funnel) -> list[tuple[object, ...]]:
    """Return step, users, rate_from_first, rate_from_previous, seconds_p50."""
    runs = []
    for mine in by_user(row for row in rows if days.inside(row)).values():
        run = (_unordered if asked.order == "unordered" else _ordered)(mine, asked)
        if run:
            runs.append([mine[at] for at in run])
    found: list[tuple[object, ...]] = []
    counts: list[float] = []
    for k in range(len(asked.steps)):
        there = [run for run in runs if len(run) > k]
        weights = [least(run[: k + 1]) for run in there]
        seconds = [(run[k]["timestamp"] - run[0]["timestamp"]).total_seconds() for run in there]
        counts.append(sum(weights))
        found.append(
            (
                k,
                counts[k],
                counts[k] / counts[0] if counts[0] else None,
                counts[k] / counts[max(k - 1, 0)] if counts[max(k - 1, 0)] else None,
                percentile(seconds, weights, 0.5),
            )
        )
    return found


def _ordered(mine: list[Row], asked: Funnel) -> list[int]:
    """Return the positions of the run that counts; empty for who did not enter, or is out."""
    best: list[int] = []
    for at in [n for n, row in enumerate(mine) if asked.steps[0](row)]:
        run = [at]
        for step in asked.steps[1:]:
            rest = range(run[-1] + 1, len(mine))
            ahead = rest[:1] if asked.order == "strict" else rest
            hit = next((n for n in ahead if step(mine[n])), None)
            if hit is None or not asked.soon(mine[hit], mine[at]):
                break
            run.append(hit)
        if len(run) > len(best):
            best = run
        if asked.entry == "first":
            break
    out = any(_struck(mine, best, asked, exclusion) for exclusion in asked.exclude)
    return [] if out else best


def _struck(
    mine: list[Row],
    run: list[int],
    asked: Funnel,
    exclusion: tuple[Callable[[Row], bool], int, int],
) -> bool:
    """Return whether what excludes follows one step of the run before it reaches the other."""
    is_out, after, before = exclusion
    if len(run) <= after:
        return False
    if len(run) > before:
        return any(is_out(mine[n]) for n in range(run[after] + 1, run[before]))
    later = mine[run[after] + 1 :]
    return any(is_out(row) and asked.soon(row, mine[run[after]]) for row in later)


def _unordered(mine: list[Row], asked: Funnel) -> list[int]:
    """Return the positions of the furthest run that meets nothing that excludes it."""
    best: list[int] = []
    entries = [n for n, row in enumerate(mine) if any(step(row) for step in asked.steps)]
    for at in entries[:1] if asked.entry == "first" else entries:
        run = []
        for step in asked.steps:
            hits = [n for n in range(at, len(mine)) if step(mine[n])]
            if hits and asked.soon(mine[hits[0]], mine[at]):
                run.append(hits[0])
        run.sort()
        out = any(_struck(mine, run, asked, exclusion) for exclusion in asked.exclude)
        if len(run) > len(best) and not out:
            best = run
    return best


# --- visits ----------------------------------------------------------------------------------


def visits(rows: list[Row], days: Days, gap: timedelta) -> list[list[Row]]:
    found: list[list[Row]] = []
    everybody = by_user(row for row in rows if days.inside(row))
    for user in sorted(everybody):
        last: datetime | None = None
        for row in everybody[user]:
            if last is None or row["timestamp"] - last > gap:
                found.append([])
            found[-1].append(row)
            last = row["timestamp"]
    return found


def sessions(rows: list[Row], days: Days, gap: timedelta) -> list[tuple[object, ...]]:
    return [
        (
            visit[0]["user_id_hash"],
            visit[0]["timestamp"],
            visit[-1]["timestamp"],
            (visit[-1]["timestamp"] - visit[0]["timestamp"]).total_seconds(),
            sum(row["weight"] for row in visit),
        )
        for visit in visits(rows, days, gap)
    ]


def fits(pattern: str, name: str) -> bool:
    """Return whether a name fits a pattern, letter by letter; `*` stands for any text."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(fits(pattern[1:], name[n:]) for n in range(len(name) + 1))
    return name[:1] == pattern[0] and fits(pattern[1:], name[1:])


def paths(
    rows: list[Row],
    days: Days,
    gap: timedelta,
    *,
    depth: int,
    start: str | None,
    end: str | None,
    groups: Sequence[str],
    top: int | None,
) -> list[tuple[object, ...]]:
    def read(name: str) -> str:
        return next((pattern for pattern in groups if fits(pattern, name)), name)

    start, end = (None if one is None else read(one) for one in (start, end))

    edges: dict[tuple[int, str, str], list[tuple[float, float]]] = defaultdict(list)
    for visit in visits(rows, days, gap):
        walk: list[tuple[str, datetime]] = []
        for row in visit:
            item = read(row["event_name"])
            if walk and walk[-1][0] == item:
                walk.pop()
            walk.append((item, row["timestamp"]))
        names = [item for item, _ in walk]
        if start is not None:
            walk = walk[names.index(start) :] if start in names else []
            names = [item for item, _ in walk]
        if end is not None:
            walk = walk[: names.index(end) + 1] if end in names else []
        walk = _shortened(walk, depth, start=start, end=end)
        weight = least(visit)
        for at, ((source, left), (target, came)) in enumerate(pairwise(walk), 1):
            edges[at, source, target].append((weight, (came - left).total_seconds()))
    found = [
        (
            *edge,
            sum(weight for weight, _ in seen),
            sum(weight * seconds for weight, seconds in seen) / sum(weight for weight, _ in seen),
        )
        for edge, seen in edges.items()
    ]
    if top is not None:
        found = sorted(found, key=lambda edge: (-edge[3], *edge[:3]))[:top]
    return sorted(found)


def _shortened(
    walk: list[tuple[str, datetime]], depth: int, *, start: str | None, end: str | None
) -> list[tuple[str, datetime]]:
    if end is None:
        return walk[:depth]
    if start is None:
        return walk[-depth:]
    if len(walk) <= depth:
        return walk
    half = depth // 2
    return [*walk[:half], ("...", walk[half][1]), *walk[-half:]]


# --- headline numbers ------------------------------------------------------------------------


def kpis(rows: list[Row], days: Days) -> dict[str, tuple[float, float | None]]:
    """Return the numerator and denominator of each."""
    known = [row for row in rows if days.day(row) < days.end]
    inside = [row for row in known if days.inside(row)]
    today = days.end - DAY
    return {
        **_of_contexts(inside),
        **_of_returns(known, days),
        **_of_payment(known, days),
        **{
            name: (
                active_users(rows, Days(today, days.end, days.timezone), last=number)[0][1],
                None,
            )
            for name, number in {"dau": 1, "wau": 7, "mau": 30}.items()
        },
        "error_rate": (
            sum(row["weight"] for row in inside if row["result"] not in ("success", None)),
            sum(row["weight"] for row in inside),
        ),
    }


def _of_contexts(inside: list[Row]) -> dict[str, tuple[float, float | None]]:
    found: dict[str, tuple[float, float | None]] = {}
    for kpi, column in {"cdr": "session_id", "cdr_users": "user_id_hash"}.items():
        groups: dict[str, list[Row]] = defaultdict(list)
        for row in inside:
            if row[column]:
                groups[row[column]].append(row)
        dependent = [
            [
                row
                for row in group
                if row["event_name"] in ("context_loaded", "context_resumed")
                and row["result"] in ("success", None)
            ]
            for group in groups.values()
        ]
        found[kpi] = (
            sum(least(group) for group in dependent if group),
            sum(least(group) for group in groups.values()),
        )
    return found


def _of_returns(known: list[Row], days: Days) -> dict[str, tuple[float, float | None]]:
    returned = resumed = either = 0.0
    window = [days.start + n * DAY for n in range((days.end - days.start).days)]
    for mine in by_user(known).values():
        active = periods_of(mine, days, "1d", named(*ACTIVE))
        order = sorted(active)
        backs = [b for a, b in pairwise(order) if (b - a).days >= 8]
        backs = [b for b in backs if b in window]
        asleep = []
        for a in order:
            until = min([b for b in order if b > a], default=date.max)
            if any(a + 8 * DAY <= day < until and day <= a + 97 * DAY for day in window):
                asleep.append(a)
        by_context = [
            row
            for b in backs
            for row in mine
            if days.day(row) == b and row["event_name"] == "session_resumed_from_context"
        ]
        of_back = [row for b in backs for row in active[b]]
        of_either = of_back + [row for a in asleep for row in active[a]]
        returned += least(of_back) if of_back else 0
        resumed += least(by_context) if by_context else 0
        either += least(of_either) if of_either else 0
    return {"resurrection": (returned, either), "resurrection_by_context": (resumed, returned)}


def _of_payment(known: list[Row], days: Days) -> dict[str, tuple[float, float | None]]:
    converted = convertible = cancelled = 0.0
    for mine in by_user(known).values():
        inside = [row for row in mine if days.inside(row)]
        before = [row for row in mine if not days.inside(row)]
        starts = [row for row in mine if row["event_name"] == "paid_subscription_started"]
        converts = bool(starts) and days.inside(starts[0])
        cancels = [row for row in inside if row["event_name"] == "paid_subscription_canceled"]
        cancelled += least(cancels) if cancels else 0
        converted += least(starts) if converts else 0
        qualifying = [row for row in inside if row["event_name"] in ACTIVE]
        qualifying += starts if converts else []
        free = not before[-1]["is_paid_user"] if before else None
        if free is None and inside:
            free = not inside[0]["is_paid_user"] or converts
        if qualifying and free:
            convertible += least(qualifying)
    return {"paid_conversion": (converted, convertible), "cancellations": (cancelled, None)}


# --- statistics ------------------------------------------------------------------------------


def percentile(values: Sequence[float], weights: Sequence[float], q: float) -> float | None:
    """Return the value at q (S - 1) of the values laid out one after another."""
    if not values:
        return None
    rows = sorted(zip(values, weights, strict=True))
    wanted = max(q * (sum(weights) - 1), 0.0)
    first = 0.0  # the first position of a row
    for at, (value, weight) in enumerate(rows):
        last = first + weight - 1
        if wanted <= last or at == len(rows) - 1:
            return value
        if wanted < last + 1:
            return value + (wanted - last) * (rows[at + 1][0] - value)
        first += weight
    return None


def compare_rates(
    a: tuple[float, float], b: tuple[float, float], *, pooled: bool
) -> tuple[float, float, float, float]:
    """Return lift, low, high, p of two rates between 0 and 1."""
    p, q = a[0] / a[1], b[0] / b[1]
    if pooled:
        both = (a[0] + b[0]) / (a[1] + b[1])
        error = math.sqrt(both * (1 - both) * (1 / a[1] + 1 / b[1]))
    else:
        error = math.sqrt(p * (1 - p) / a[1] + q * (1 - q) / b[1])
    p_value = 2 * (1 - NormalDist().cdf(abs(q - p) / error))
    # the delta method: var(q / p) = var(q) / p^2 + q^2 var(p) / p^4
    spread = math.sqrt(q * (1 - q) / b[1] / p**2 + q**2 * (p * (1 - p) / a[1]) / p**4)
    reach = NormalDist().inv_cdf(0.975) * spread
    return q / p - 1, q / p - 1 - reach, q / p - 1 + reach, p_value


def utc(day: date, timezone: str) -> datetime:
    """Return the first instant of a day."""
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) - 2 * DAY
    step = timedelta(minutes=15)
    while moment.astimezone(ZoneInfo(timezone)).date() < day:
        moment += step
    return moment
