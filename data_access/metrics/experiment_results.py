"""Whether a variant differs from its control, how sure that is, and how long until it is sure.

Nothing here draws random numbers, and nothing is called a difference before there are enough
people behind it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data_access import stats
from data_access.metrics.common import Event, MetricError, event_label, one_of
from data_access.metrics.experiments import GOAL
from data_access.metrics.exposures import (
    RECENT_DAYS,
    Goal,
    Measure,
    Outcome,
    Setting,
    arms_of,
    followed,
)
from data_access.metrics.registry import metric
from data_access.metrics.tiers import compare_rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.window import Window

__all__ = ["CONVERTED_MIN", "EXPOSED_MIN", "experiment_results"]

EXPOSED_MIN: Final = 30  # people in an arm, fewer say nothing about a rate or a mean
CONVERTED_MIN: Final = 5  # of them who did it
EFFECT: Final = 0.2  # "20 % more" is what a plan looks for unless told otherwise
METRICS_MAX: Final = 20

# what a comparison may say
CONTROL, NO_CONTROL = "control", "nobody in the control"
MISMATCH, NOT_ENOUGH = "sample-ratio mismatch: do not read", "not enough data yet"
NO_DIFFERENCE, BETTER, WORSE = "no difference seen", "better", "worse"
HIGHER, LOWER = "higher", "lower"  # of a mean, which nobody said should rise


_RESULTS: Final = {
    "metric": pl.String,
    "kind": pl.String,
    "variant": pl.String,
    "is_control": pl.Boolean,
    **dict.fromkeys(
        (
            *("users", "converted", "value", "value_low", "value_high"),
            *("lift", "lift_low", "lift_high", "p_value", "p_corrected"),
        ),
        pl.Float64,
    ),
    "correction": pl.String,
    **dict.fromkeys(
        (
            *("chance_to_win", "expected_loss", "smallest_lift", "people_needed", "days_to_go"),
            *("srm_p_value", "mixed"),
        ),
        pl.Float64,
    ),
    "status": pl.String,
}


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a plan looks for, and over how many days the people who come are counted."""

    effect: float
    recent_days: int


@metric("events")
def experiment_results(
    events: pl.LazyFrame,
    window: Window,
    *,
    flag: str,
    goals: Sequence[Event] = (GOAL,),
    values: Sequence[str] = (),
    control: str | None = None,
    correction: str = "holm",
    shares: Sequence[float] = (),
    effect: float = EFFECT,
) -> pl.LazyFrame:
    """Compare every variant of an experiment with its control, and say what can be said.

    Definition
    ----------
    One row per metric and variant: the goals as in `experiment`, the values as in
    `experiment_means`. Lift is relative to the control, with a 95 % interval by the delta
    method; the p value is the pooled two-proportion z test's for a goal and Welch's t test's for
    a mean, two-sided, and `p_corrected` allows for every comparison in the table. The chance to
    win is that this variant is the best of all: rates believed to be Beta(1 + converted,
    1 + not), means normal; the expected loss is what choosing it would cost on average.

    The status, first that holds: "sample-ratio mismatch: do not read" when people are not split
    as planned (chi-square, p below 0.001); "nobody in the control"; "not enough data yet" with
    fewer than 30 people in either arm, or fewer than 5 who converted: then no lift is given;
    "no difference seen" while `p_corrected` is 0.05 or more; "better" or "worse" for a goal,
    "higher" or "lower" for a mean, which nobody said should rise.

    A plan: `smallest_lift` is the rise that these many people show with 80 % power at a p value
    of 0.05; `people_needed` are those per arm who would show `effect`, and `days_to_go` the days
    until both arms have them at the pace of the window's last 7 days.

    On sampled data the statistics rest on `n` of `experiment`, not on what it is scaled up to.

    Source
    ------
    events : one row per event; user_id_hash, timestamp, event_name and metadata.

    Columns
    -------
    metric : String; the goal or the value.
    kind : String; rate or mean.
    variant : String.
    is_control : Boolean.
    users : Float64, count; people exposed, for a mean those with a number.
    converted : Float64, count; null for a mean.
    value : Float64; the rate, 0 to 1, or the mean per person.
    value_low : Float64; of the 95 % interval.
    value_high : Float64.
    lift : Float64; value / the control's - 1, null for the control.
    lift_low : Float64; of the 95 % interval.
    lift_high : Float64.
    p_value : Float64, 0 to 1; of this comparison alone.
    p_corrected : Float64, 0 to 1; allowing for all of them.
    correction : String; how.
    chance_to_win : Float64, 0 to 1; null for all when an arm has too little data.
    expected_loss : Float64; in the unit of `value`.
    smallest_lift : Float64; the smallest rise that would be seen, null when none would.
    people_needed : Float64, count; per arm, to see the effect asked for.
    days_to_go : Float64, days; null when nobody comes any more.
    srm_p_value : Float64, 0 to 1; of the split of people, the same in every row.
    mixed : Float64, count; people of several variants, left out.
    status : String; one of those above, "control" for the control.

    Errors
    ------
    MetricError : when a goal is no event, a value no measure, there are none or more than 20 of
        them, the correction is unknown, the effect is not above 0, or a share is not above 0.
    """
    one_of("correction", correction, stats.CORRECTIONS)
    if not 0 < len(goals) + len(values) <= METRICS_MAX:
        raise MetricError(f"{len(goals) + len(values)} metrics: ask for 1 to {METRICS_MAX}.")
    if not 0 < effect < math.inf:
        raise MetricError(f"effect={effect}: it is a relative rise above 0; 0.2 is 20 % more.")
    if not all(0 < share < math.inf for share in shares):
        raise MetricError(f"shares={tuple(shares)}: each is above 0, such as (50, 50).")
    plan = _Plan(effect, min(RECENT_DAYS, window.days))
    outcomes: list[Outcome] = [Goal(flag, goal) for goal in goals]
    outcomes += [Measure.of(value) for value in values]
    names = [*(event_label(goal) for goal in goals), *values]

    def step(people: pl.LazyFrame, each: float, rows: list[pl.DataFrame]) -> pl.LazyFrame:
        setting = Setting(window, control, each)
        arms = [one.arms(people, own, setting) for one, own in zip(outcomes, rows, strict=True)]
        exposed, *found = pl.collect_all([arms_of(people, window), *arms], engine="in-memory")
        split = _split(exposed, shares)
        compared = [
            row
            for name, frame in zip(names, found, strict=True)
            for row in _compared(name, frame.rows(named=True), plan)
        ]
        _conclude(compared, split, correction)
        table = pl.LazyFrame(compared, schema=_RESULTS)
        return table.sort("metric", "variant", maintain_order=True)

    return followed(events, window, flag, outcomes, step)


def _split(exposed: pl.DataFrame, shares: Sequence[float]) -> stats.SampleRatio | None:
    """Return whether people are split as planned; None with fewer than two variants."""
    if exposed.height < 2:  # noqa: PLR2004 - one variant is no split
        return None
    planned = shares if len(shares) == exposed.height else ()
    return stats.sample_ratio(exposed["n"].to_list(), shares=planned)


def _compared(name: str, arms: list[dict[str, Any]], plan: _Plan) -> list[dict[str, Any]]:
    """Return the rows of one metric, without what needs all metrics."""
    kind = "rate" if arms and "rate" in arms[0] else "mean"
    control = next((arm for arm in arms if arm["is_control"]), None)
    of_kind = _rate if kind == "rate" else _mean
    rows = []
    for arm in arms:
        row = dict.fromkeys(_RESULTS) | {"metric": name, "kind": kind, "mixed": arm["mixed"]}
        row |= {key: arm[key] for key in ("variant", "is_control", "users")}
        row |= {"converted": arm.get("converted"), "_is_enough": _is_enough(arm)}
        row |= of_kind(arm, control, plan)
        rows.append(row)
    if len(rows) > 1 and all(row["_is_enough"] for row in rows):
        for row, chance in zip(rows, _chances(kind, arms), strict=True):
            row |= {"chance_to_win": chance.best, "expected_loss": chance.expected_loss}
    return rows


def _is_enough(arm: dict[str, Any]) -> bool:
    if "rate" not in arm:
        return bool(arm["n"] >= EXPOSED_MIN)
    return bool(arm["n"] >= EXPOSED_MIN and arm["rate"] * arm["n"] >= CONVERTED_MIN)


def _chances(kind: str, arms: list[dict[str, Any]]) -> list[stats.WinChance]:
    if kind == "rate":
        return stats.chances_of_rates([_hits(arm) for arm in arms])
    if not all(arm["std_error"] for arm in arms):
        return [stats.WinChance(math.nan, math.nan)] * len(arms)
    return stats.chances_of_means([(arm["mean"], arm["std_error"]) for arm in arms])


def _hits(arm: dict[str, Any]) -> tuple[float, float]:
    """Return how many of how many, as many as the people are worth."""
    return min(1.0, arm["rate"]) * arm["n"], arm["n"]


def _rate(arm: dict[str, Any], control: dict[str, Any] | None, plan: _Plan) -> dict[str, Any]:
    """Return what a rate says: value, lift, p value and plan."""
    row = {"value": arm["rate"], "value_low": arm["rate_low"], "value_high": arm["rate_high"]}
    if control is None or arm is control:
        return row
    if _is_enough(arm) and _is_enough(control):
        found = compare_rates(_hits(control), _hits(arm))
        row |= dict(zip(("lift", "lift_low", "lift_high", "p_value"), found, strict=True))
    base, n = control["rate"], (control["n"], arm["n"])
    if not base:
        return row
    row["smallest_lift"] = stats.smallest_lift(base, *n)
    if base * (1 + plan.effect) <= 1:
        needed = stats.people_for_rates(base, base * (1 + plan.effect))
        row |= _plan(needed, control, arm, plan)
    return row


def _mean(arm: dict[str, Any], control: dict[str, Any] | None, plan: _Plan) -> dict[str, Any]:
    """Return what a mean says: value, lift, p value and plan."""
    row: dict[str, Any] = {"value": arm["mean"]}
    if arm["std_error"] is not None:
        ends = stats.mean_interval((arm["mean"], arm["variance"], arm["n"]))
        row |= {"value_low": ends.low, "value_high": ends.high}
    if control is None or arm is control:
        return row
    if not (_is_enough(arm) and _is_enough(control)):
        return row
    a, b = ((one["mean"], one["variance"], one["n"]) for one in (control, arm))
    found = stats.compare_means(a, b)
    row |= {"lift": found.lift, "lift_low": found.ci_low, "lift_high": found.ci_high}
    row["p_value"] = found.p_value
    deviation = math.sqrt((a[1] + b[1]) / 2)
    if a[0] > 0 and deviation:
        row["smallest_lift"] = stats.smallest_effect(a[2], b[2]) * deviation / a[0]
        row |= _plan(stats.people_for_means(plan.effect * a[0] / deviation), control, arm, plan)
    return row


def _plan(
    needed: float, control: dict[str, Any], arm: dict[str, Any], plan: _Plan
) -> dict[str, float]:
    """Return the people per arm and the days until the slower arm has them.

    A sampled person is worth n / users of one.
    """
    days = [
        stats.days_to_go(
            needed, one["n"], one["users_recent"] * one["n"] / one["users"] / plan.recent_days
        )
        for one in (control, arm)
    ]
    return {"people_needed": needed, "days_to_go": max(days)}


def _conclude(rows: list[dict[str, Any]], split: stats.SampleRatio | None, correction: str) -> None:
    """Add to the rows what needs all of them: the correction, the split and the status."""
    raw = [math.nan if row["p_value"] is None else row["p_value"] for row in rows]
    has_control = any(row["is_control"] for row in rows)
    enough = {row["metric"]: row["_is_enough"] for row in rows if row["is_control"]}
    for row, p in zip(rows, stats.corrected(raw, method=correction), strict=True):
        is_enough = row.pop("_is_enough") and enough.get(row["metric"], False)
        row |= {"p_corrected": p, "correction": correction}
        row["srm_p_value"] = None if split is None else split.p_value
        is_broken = split is not None and split.is_mismatch
        row["status"] = _status(
            row, has_control=has_control, is_enough=is_enough, is_broken=is_broken
        )
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                row[name] = None


def _status(row: dict[str, Any], *, has_control: bool, is_enough: bool, is_broken: bool) -> str:
    """Say in a word or two what a comparison says."""
    if row["is_control"]:
        return CONTROL
    if is_broken:
        return MISMATCH
    if not (has_control and is_enough):
        return NOT_ENOUGH if has_control else NO_CONTROL
    if not row["p_corrected"] < stats.ALPHA:
        return NO_DIFFERENCE
    # a control that is 0 has no lift
    is_up = (row["value"] if row["lift"] is None else row["lift"]) > 0
    words = (WORSE, BETTER) if row["kind"] == "rate" else (LOWER, HIGHER)
    return words[is_up]
