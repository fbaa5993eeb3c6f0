"""Random small worlds: every number of the public surface equals the one plain Python counts.

`references.py` is written from the definitions and shares no code with the metrics. The worlds
lie around changes of the clock, with events exactly at midnight, exactly a gap or a limit apart,
at the same instant as another (event_id decides), of nobody, and of several weights.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import pytest
import references
from frames import event, events, trace, traces
from references import Days, Funnel, named, utc

from data_access import Window, metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FEW = 40  # worlds by default
MANY = 200
ZONES = [
    ("UTC", date(2026, 3, 2)),
    ("America/New_York", date(2026, 3, 6)),
    ("America/New_York", date(2026, 10, 30)),
    ("Australia/Lord_Howe", date(2026, 4, 3)),  # half an hour
    ("Australia/Lord_Howe", date(2026, 10, 2)),
    ("America/Santiago", date(2026, 4, 2)),
    ("America/Santiago", date(2026, 9, 4)),  # a day without a midnight
    ("America/Havana", date(2026, 10, 30)),  # and one with two
    ("Asia/Kathmandu", date(2026, 2, 27)),
]
NAMES = [
    *references.ACTIVE,
    *("context_loaded", "context_resumed", "session_resumed_from_context"),
    *("paid_subscription_started", "paid_subscription_canceled"),
]
STEPS = [timedelta(), timedelta(minutes=30), timedelta(minutes=30, milliseconds=1)]
STEPS += [timedelta(minutes=5), timedelta(hours=1), timedelta(days=1), timedelta(days=8)]
LONG = [timedelta(days) for days in (7, 8, 30, 97, 98)]  # where somebody is dormant, or lost
GAPS = {"5m": STEPS[3], "30m": STEPS[1], "1h": STEPS[4], "1d": STEPS[5]}
LIMITS = {None: None, "14d": timedelta(days=14), "8d": STEPS[6]} | GAPS
EVERY = ("1d", "1w", "1mo")


@dataclass
class World:
    """Rows, the range of days asked about, and what to draw further choices from."""

    rng: random.Random
    rows: list[dict[str, Any]]
    days: Days

    @property
    def window(self) -> Window:
        """The range as the metrics take it."""
        days = self.days
        return Window(days.start, days.end, timezone=days.timezone, week_starts_on=days.week)

    @property
    def frame(self) -> pl.LazyFrame:
        """The rows as somebody may hand them over: in other types, or without newer columns."""
        frame = events(*self.rows)
        older = all(row["weight"] == 1 for row in self.rows)
        when = pl.col("timestamp")
        return self.rng.choice(
            [
                frame,
                frame.with_columns(when.dt.replace_time_zone(None)),
                frame.with_columns(when.cast(pl.Datetime("us", "UTC"))),
                frame.with_columns(when.dt.convert_time_zone("America/New_York")),
                frame.drop("weight", "source_name", "release") if older else frame,
            ]
        )


def world(seed: object, *, days: Sequence[int], before: int, names: int = 9) -> World:
    """Return a random world: how many days are asked about, how many lie before them."""
    rng = random.Random(str(seed))
    timezone, around = rng.choice(ZONES)
    start = around + timedelta(days=rng.randrange(-3, 4))
    length = rng.choice(days)
    asked = Days(start, start + timedelta(days=length), timezone, rng.choice(["monday", "sunday"]))
    moments: list[datetime] = []
    for _ in range(rng.randrange(1, rng.choice([12, 70]))):
        moments.append(_moment(rng, asked, before, moments))
    ids = rng.sample(range(len(moments)), len(moments))
    some = rng.sample(NAMES, names)
    weights = rng.choice([[1.0], [1.0], [1.0, 1.0, 2.0, 3.5, 10.0]])
    users = [None, *"abcde"[: rng.randrange(1, 6)]]
    rows = [
        event(
            moment,
            rng.choice(users),
            rng.choice(some),
            event_id=f"{at:03}",
            weight=rng.choice(weights),
            session_id=rng.choice(["s1", "s2", "s3", "", None]),
            result=rng.choice(["success", "success", "failure", "timeout", None]),
            is_paid_user=rng.random() < 0.3,
        )
        for moment, at in zip(moments, ids, strict=True)
    ]
    return World(rng, rows, asked)


def _moment(rng: random.Random, days: Days, before: int, moments: list[datetime]) -> datetime:
    kind = rng.random()
    if kind < 0.3:
        edge = rng.choice([days.start, days.end])
        away = rng.choice(LONG) if before > 100 else timedelta(rng.randrange(-3, 3))
        midnight = utc(edge - away, days.timezone)
        return midnight + timedelta(milliseconds=rng.choice([-1, 0, 0, 1]))
    if kind < 0.6 and moments:
        return rng.choice(moments) + rng.choice(LONG if before > 100 else STEPS)
    length = before + (days.end - days.start).days + 2
    first = utc(days.start, days.timezone) - timedelta(before)
    return first + timedelta(minutes=rng.randrange(length * 24 * 60))


def worlds(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test over a few worlds by default, and over many among the slow ones."""
    few = [pytest.param(range(FEW), id="few")]
    many = [pytest.param(range(FEW, MANY), id="many", marks=pytest.mark.slow)]
    return pytest.mark.parametrize("seeds", few + many)(test)


def same(found: object, wanted: object) -> bool:
    """Return whether two results are equal, numbers up to rounding."""
    if isinstance(found, tuple | list) and isinstance(wanted, tuple | list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(found, float) and isinstance(wanted, float | int):
        return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-9)
    return found == wanted


def rows_of(frame: pl.LazyFrame) -> list[tuple[Any, ...]]:
    return frame.collect().rows()


class Kind(NamedTuple):
    """An event, as a metric takes it and as plain Python tells it."""

    asked: Any
    matches: Callable[[dict[str, Any]], bool]


def kind(rng: random.Random, names: Sequence[str] = NAMES) -> Kind:
    name, other = rng.sample(list(names), 2)
    worked = (pl.col("event_name") == name) & (pl.col("result") == "success")
    return rng.choice(
        [
            Kind(name, named(name)),
            Kind(name, named(name)),
            Kind((name, other), named(name, other)),
            Kind(worked, lambda row: row["event_name"] == name and row["result"] == "success"),
        ]
    )


# --- people and periods ----------------------------------------------------------------------


@worlds
def test_active_users(seeds):
    for seed in seeds:
        one = world(seed, days=[1, 1, 2, 9, 40], before=40)
        every = one.rng.choice(EVERY)
        among = one.rng.choice([None, kind(one.rng), Kind(None, references.anything)])
        options = {} if among is None else {"active_events": among.asked}
        for last in (None, 7, 30, one.rng.randrange(1, 20)):
            days = {} if last is None else {"days": last}
            found = metrics.active_users(one.frame, one.window, every=every, **days, **options)
            matches = None if among is None else among.matches
            wanted = references.active_users(one.rows, one.days, every, last, matches)
            assert same(rows_of(found), wanted), (seed, every, last)


@worlds
def test_stickiness(seeds):
    for seed in seeds:
        one = world(seed, days=[1, 2, 9, 40], before=3)
        every = one.rng.choice(EVERY)
        options = {
            "at_least": one.rng.random() < 0.5,
            "min_events": one.rng.choice([1, 1, 2, 3, 4.5]),
        }
        found = metrics.stickiness(one.frame, one.window, every=every, **options)
        wanted = references.stickiness(one.rows, one.days, every, **options)
        assert same(rows_of(found), wanted), (seed, every, options)


@worlds
def test_lifecycle(seeds):
    for seed in seeds:
        one = world(seed, days=[1, 2, 9, 40], before=40)
        for every in EVERY:
            found = metrics.lifecycle(one.frame, one.window, every=every)
            wanted = references.lifecycle(one.rows, one.days, every)
            assert same(rows_of(found), wanted), (seed, every)


@worlds
def test_retention(seeds):
    for seed in seeds:
        one = world(seed, days=[1, 2, 9, 20], before=10)
        every = one.rng.choice(EVERY)
        anything = Kind(None, references.anything)
        start, back = one.rng.choice(
            [(anything, anything), (kind(one.rng), kind(one.rng)), (kind(one.rng), anything)]
        )
        options = {
            "unbounded": one.rng.random() < 0.4,
            "min_returns": one.rng.choice([1, 1, 2, 3]),
        }
        for cohort in ("first", "recurring"):
            asked = {"every": every, "cohort": cohort, "start": start.asked, "back": back.asked}
            found = metrics.retention(one.frame, one.window, **asked, **options)
            wanted = references.retention(
                one.rows,
                one.days,
                every,
                start=start.matches,
                back=back.matches,
                first=cohort == "first",
                **options,
            )
            assert same(rows_of(found), wanted), (seed, asked, options)


# --- funnels ---------------------------------------------------------------------------------


@worlds
@pytest.mark.parametrize("order", ["ordered", "strict", "unordered"])
def test_funnel(seeds, order):
    for seed in seeds:
        one = world((order, seed), days=[1, 2, 5, 20], before=1, names=3)
        names = sorted({row["event_name"] for row in one.rows} | set(NAMES[:2]))
        steps = [kind(one.rng, names) for _ in range(one.rng.randrange(1, 5))]
        within, limit = one.rng.choice(list(LIMITS.items()))
        entry = one.rng.choice(["best", "best", "first"])
        out = []
        if len(steps) > 1 and one.rng.random() < 0.6:
            for _ in range(one.rng.randrange(1, 3)):
                after = one.rng.randrange(len(steps) - 1)
                before = one.rng.randrange(after + 1, len(steps))
                out.append((one.rng.choice(names), after, before))
        found = metrics.funnel(
            one.frame,
            one.window,
            steps=[step.asked for step in steps],
            within=within,
            order=order,
            entry=entry,
            exclude=out,
        )
        asked = Funnel(
            [step.matches for step in steps],
            limit,
            order,
            entry,
            [(named(name), after, before) for name, after, before in out],
        )
        wanted = references.funnel(one.rows, one.days, asked)
        told = (seed, within, entry, out, [str(step.asked) for step in steps])
        assert same(rows_of(found.drop("event_name")), wanted), told


# --- visits ----------------------------------------------------------------------------------


@worlds
def test_sessions(seeds):
    for seed in seeds:
        one = world(seed, days=[1, 2, 5], before=1)
        for gap, silence in GAPS.items():
            found = metrics.sessions(one.frame, one.window, gap=gap).drop("weight")
            assert same(rows_of(found), references.sessions(one.rows, one.days, silence)), (
                seed,
                gap,
            )


@worlds
def test_paths(seeds):
    for seed in seeds:
        one = world(seed, days=[1, 2, 5], before=1, names=4)
        names = [row["event_name"] for row in one.rows]
        gap, silence = one.rng.choice(list(GAPS.items()))
        options = {
            "depth": one.rng.choice([1, 2, 3, 4, 5, 10]),
            "start": one.rng.choice([None, None, one.rng.choice(names)]),
            "end": one.rng.choice([None, None, one.rng.choice(names)]),
            "groups": one.rng.choice([(), ("context_*",), ("session_*", "*_opened"), ("*ed",)]),
            "top": one.rng.choice([None, None, 1, 3]),
        }
        if options["depth"] == 1 and options["end"]:
            options["depth"] = 5  # "..." has no room between two ends there
        found = metrics.paths(one.frame, one.window, gap=gap, **options)
        wanted = references.paths(one.rows, one.days, silence, **options)
        assert same(rows_of(found), wanted), (seed, gap, options)


# --- headline numbers, percentiles, rates ----------------------------------------------------


@worlds
def test_kpis(seeds):
    for seed in seeds:
        one = world(seed, days=[1, 2, 7, 30], before=120)
        found = {row[0]: row[1:] for row in rows_of(metrics.kpis(one.frame, one.window))}
        wanted = references.kpis(one.rows, one.days)
        wanted["stickiness"] = (wanted["dau"][0], wanted["mau"][0])

        assert found.keys() == wanted.keys()
        for name, (top, bottom) in wanted.items():
            value = top if bottom is None else top / bottom if bottom else None
            assert same(found[name], (value, float(top), bottom)), (seed, name)


@worlds
def test_percentiles(seeds):
    quantiles = (0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
    for seed in seeds:
        rng = random.Random(seed)
        among = rng.choice([[1.0], [1.0, 1.0, 2.0, 3.0, 2.5]])
        rows = [
            (rng.choice([rng.uniform(0, 9), float(rng.randrange(4)), None]), rng.choice(among))
            for _ in range(rng.randrange(1, 14))
        ]
        frame = traces(*(trace("2026-01-05", "op", one, weight=weight) for one, weight in rows))
        window = Window(date(2026, 1, 5), date(2026, 1, 6))
        found = rows_of(metrics.latency(frame, window, quantiles=quantiles))[0]
        timed = [(one, weight) for one, weight in rows if one is not None]
        values, weights = [one for one, _ in timed], [weight for _, weight in timed]

        assert found[1] == sum(weight for _, weight in rows)
        assert same(
            list(found[3:]), [references.percentile(values, weights, q) for q in quantiles]
        ), (seed, rows)


@worlds
def test_compared_rates(seeds):
    for seed in seeds:
        rng = random.Random(seed)
        a, b = [(rng.randrange(1, n), n) for n in (rng.randrange(2, 3000), rng.randrange(2, 3000))]
        for pooled in (True, False):
            found = metrics.compare_rates(a, b, pooled=pooled)
            assert same(list(found), list(references.compare_rates(a, b, pooled=pooled))), (a, b)
