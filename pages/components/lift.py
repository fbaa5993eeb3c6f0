"""Tiers side by side: the lines of the table, the lift of each rate, and when not to say one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data_access.metrics import compare_rates
from pages.components import text
from pages.components.headline import Number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pages.components.view import View

ENOUGH: Final = 30  # people or sessions a rate needs on both sides before it is compared
WIDTH_MAX: Final = 2.0  # an interval wider than 200 % says nothing either
CONTROL: Final = "free"
TIERS: Final = ("free", "trial", "paid", "enterprise")
# rate -> (label, hits, out of)
RATES: Final = {
    "cdr": ("Context dependency", "sessions_dependent", "sessions"),
    "cdr_users": ("Context dependency of people", "users_dependent", "users"),
    "resurrection": ("Resurrection", "returned", "dormant_or_returned"),
    "error_rate": ("Error rate", "failures", "events"),
    "people_hit": ("People who met an error", "users_with_errors", "users"),
    "paid_conversion": ("Paid conversion", "converted", "convertible"),
}


def _counted(column: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: text.count(row[column])


def _shared(rate: str) -> Callable[[dict[str, Any]], str]:
    _, hits, of = RATES[rate]
    return lambda row: (
        f"{text.percent(row[hits] / row[of])} of {text.count(row[of])}"
        if (row[of] or 0) >= ENOUGH
        else f"{text.count(row[hits])} of {text.count(row[of])}"
        if row[of]
        else text.NOTHING
    )


def _timed(column: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: text.duration(row[column])


LINES: Final[Sequence[tuple[str, Callable[[dict[str, Any]], str]]]] = (
    ("People", _counted("users")),
    ("Daily active, last day", _counted("dau")),
    ("Weekly active", _counted("wau")),
    ("Monthly active", _counted("mau")),
    ("Sessions", _counted("sessions")),
    ("Context dependency, of sessions", _shared("cdr")),
    ("Context dependency, of people", _shared("cdr_users")),
    ("Resurrection, of dormant people", _shared("resurrection")),
    ("Paid conversion, of people not paying", _shared("paid_conversion")),
    ("Cancellations", _counted("cancellations")),
    ("Events", _counted("events")),
    ("Error rate, of events", _shared("error_rate")),
    ("Errors", _counted("errors")),
    ("People who met an error", _shared("people_hit")),
    ("p50 of operations", _timed("duration_ms_p50")),
    ("p95 of operations", _timed("duration_ms_p95")),
)


def present(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the tiers to show: the known ones, and others that anybody is in."""
    return ordered(frame.filter(pl.col("tier").is_in(TIERS) | (pl.col("events") > 0)), "tier")


def ordered(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return the rows in the order of the tiers, other values last."""
    order = {tier: place for place, tier in enumerate(TIERS)}
    places = [order.get(tier, len(order)) for tier in frame[column]]
    return frame.with_columns(pl.Series("_place", places)).sort("_place", column).drop("_place")


def table(frame: pl.DataFrame, each: float = 1.0) -> pl.DataFrame:
    """Return a row per rate and tier: lift over free, its interval, and whether n is enough.

    Parameters
    ----------
    each : how many people one who was kept stands for, in a sample: n is what was kept.
    """
    rows = {row["tier"]: row for row in frame.rows(named=True)}
    control = rows.get(CONTROL)
    found = []
    for label, hits, of in RATES.values():
        for tier in TIERS:
            row = rows.get(tier)
            if tier == CONTROL or row is None or control is None or not row["events"]:
                continue
            a, b = (((one[hits] or 0) / each, (one[of] or 0) / each) for one in (control, row))
            compared = compare_rates(a, b)
            fewest = min(a[1], b[1])
            width = compared.ci_high - compared.ci_low  # not a number when it cannot be told
            is_told = fewest >= ENOUGH and width <= WIDTH_MAX
            found.append(
                {
                    "rate": label,
                    "tier": tier,
                    "lift": compared.lift if math.isfinite(compared.lift) else None,
                    "ci_low": compared.ci_low if math.isfinite(compared.ci_low) else None,
                    "ci_high": compared.ci_high if math.isfinite(compared.ci_high) else None,
                    "p_value": compared.p_value,
                    "n": float(fewest),
                    "is_enough": is_told,
                }
            )
    return pl.DataFrame(
        found,
        schema={
            "rate": pl.String,
            "tier": pl.String,
            "lift": pl.Float64,
            "ci_low": pl.Float64,
            "ci_high": pl.Float64,
            "p_value": pl.Float64,
            "n": pl.Float64,
            "is_enough": pl.Boolean,
        },
    )


def left_out(frame: pl.DataFrame, each: float = 1.0) -> str | None:
    """Say which comparisons are not drawn, and why."""
    few = table(frame, each).filter(~pl.col("is_enough"))
    if few.is_empty():
        return None
    parts = []
    for tier in TIERS:
        rows = few.filter(pl.col("tier") == tier)
        if rows.height:
            told = rows.select("rate", "n").iter_rows()
            names = ", ".join(f"{rate.lower()} ({text.count(n)})" for rate, n in told)
            parts.append(f"{tier}: {names}")
    return f"Too few to say (n in brackets): {'; '.join(parts)}."


def said(frame: pl.DataFrame, each: float = 1.0) -> str:
    """Say the lifts for somebody who does not see them."""
    rows = (
        table(frame, each).filter("is_enough").select("rate", "tier", "lift", "ci_low", "ci_high")
    )
    return "; ".join(
        f"{rate}, {tier}: {text.percent(mid)} ({text.percent(low)} to {text.percent(high)})"
        for rate, tier, mid, low, high in rows.iter_rows()
    )


def sentences(frame: pl.DataFrame, each: float = 1.0) -> list[str]:
    """Say the differences from free that are hardly chance, the surest first."""
    sure = (
        table(frame, each)
        .filter(pl.col("is_enough") & ((pl.col("ci_low") > 0) | (pl.col("ci_high") < 0)))
        .sort("p_value")
    )
    return [
        f"{rate} is **{text.percent(abs(mid))} {'higher' if mid > 0 else 'lower'}** for {tier} "
        f"than for free (95 % interval {_reach(low, high)})."
        for rate, tier, mid, low, high in sure.select(
            "rate", "tier", "lift", "ci_low", "ci_high"
        ).iter_rows()
    ]


def _reach(low: float, high: float) -> str:
    """Say an interval on one side of zero without its sign: "higher" or "lower" says it."""
    near, far = sorted((abs(low), abs(high)))
    return f"{text.percent(near)} to {text.percent(far)}"


def numbers(view: View) -> list[Number]:
    """Return the people of each tier as headline numbers."""
    now = {row["tier"]: row for row in view.load("tiers").rows(named=True)}
    before = {}
    if view.previous is not None:
        before = {row["tier"]: row for row in view.load("tiers", before=True).rows(named=True)}
    found = []
    for tier in TIERS:
        users = now.get(tier, {}).get("users")
        change = text.change(users, before.get(tier, {}).get("users"))
        found.append(Number(f"{tier.capitalize()}, people", text.count(users), change, "tiers"))
    return found
