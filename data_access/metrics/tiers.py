"""Every headline side by side for free, trial, paid and enterprise, and whether they differ.

A row of `tiers` is what `kpis` says when the tier filter is set to it: the same code computes it.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from data_access.metrics.common import (
    EVENT_ID,
    KEY,
    TIMESTAMP,
    USER,
    MetricError,
    has_column,
    in_memory,
    in_time_order,
    of_people,
    reduced,
    user_key,
    users_of,
    weight_of,
    weighted,
)
from data_access.metrics.kpis import by_group, conversions, history, merged, of_chosen, ratio
from data_access.metrics.latency import grouped_percentiles
from data_access.metrics.registry import ALL_HISTORY, metric
from ingest.vocabulary import TIERS

if TYPE_CHECKING:
    from data_access.window import Window

__all__ = ["USERS_MIN", "RateComparison", "compare_rates", "tier_moves", "tiers"]

TIER: Final = "user_tier"
CONFIDENCE: Final = 0.95
USERS_MIN: Final = 30  # fewer on either side are too few to say anything about a rate


@metric("events", "errors", "traces", lookback_days=ALL_HISTORY)
def tiers(
    events: pl.LazyFrame, errors: pl.LazyFrame, traces: pl.LazyFrame, window: Window
) -> pl.LazyFrame:
    """Every headline number by tier.

    Definition
    ----------
    Each event, error and trace counts under its own tier, so a person who changed tier is in
    two rows and the rows do not add up to the whole. A tier's row equals `kpis` with the tier
    filter set to it: cdr, resurrection, DAU, WAU, MAU and error rate are defined there, and a
    tier's history is the tier's own. Paid conversion and cancellations count a user under the
    tier they had on entering the window: that of their last event before it, else of their
    first one inside. The four tiers are always there; other values found in the data follow.

    On sampled data as `kpis`, with conversions among the people whose ordinary events are kept.

    Source
    ------
    events : one row per event, all history.
    errors : one row per error, or per run of equal ones.
    traces : one row per finished operation.

    Columns
    -------
    tier : String; empty when none was given.
    users : Float64, count; people with any event.
    dau : Float64, count; active people on the window's last day.
    wau : Float64, count; in the 7 days that end with it.
    mau : Float64, count; in the 30 days that end with it.
    sessions : Float64, count; distinct non-empty session_id.
    events : Float64, count; sum of weights.
    sessions_dependent : Float64, count; numerator of cdr.
    cdr : Float64, 0 to 1; sessions_dependent / sessions.
    users_dependent : Float64, count; numerator of cdr_users.
    cdr_users : Float64, 0 to 1; users_dependent / users.
    returned : Float64, count; numerator of resurrection.
    dormant_or_returned : Float64, count; denominator of resurrection.
    resurrection : Float64, 0 to 1.
    failures : Float64, count; events with a result other than success.
    error_rate : Float64, 0 to 1; failures / events.
    errors : Float64, count; occurrences x weight.
    users_with_errors : Float64, count.
    errors_per_user : Float64; errors / users.
    traces : Float64, count; sum of weights.
    duration_ms_p50 : Float64, milliseconds; null without a timed trace.
    duration_ms_p95 : Float64, milliseconds; null without a timed trace.
    converted : Float64, count; numerator of paid_conversion.
    convertible : Float64, count; denominator of paid_conversion.
    paid_conversion : Float64, 0 to 1; null for a tier nobody could convert from.
    cancellations : Float64, count; people, never netted with conversions.
    """
    events, errors, traces = (_with_tier(frame) for frame in (events, errors, traces))
    seen = history(events, window)

    def step(rows: pl.DataFrame) -> pl.LazyFrame:
        # grouping by a small number takes half the time of grouping by a text
        few = pl.Enum(rows[TIER].unique().sort())
        rows = rows.lazy().with_columns(pl.col(TIER).cast(few)).collect(engine="streaming")
        chosen = of_chosen(rows, events, window)
        if chosen is not None:
            chosen = chosen.with_columns(pl.col(TIER).cast(few))
        groups = by_group(rows, window, [TIER], chosen=chosen)
        # the tier on entering is the one of an event before, which of others may be left out
        people = rows if chosen is None else chosen
        parts = [
            groups.with_columns(pl.col(TIER).cast(pl.String)),
            conversions(people, seen, window, by_entering_tier=True),
            *_broken_and_timed(errors, traces, window),
        ]
        return _table(parts)

    return in_memory(seen.drop(EVENT_ID, strict=False), step)


def _broken_and_timed(
    errors: pl.LazyFrame, traces: pl.LazyFrame, window: Window
) -> list[pl.LazyFrame]:
    """Return what errors and traces say per tier."""
    broken = weighted(errors.filter(window.contains()))
    timed = weighted(traces.filter(window.contains())).select(
        TIER, pl.col("duration_ms").cast(pl.Float64), "weight"
    )
    occurrences = pl.col("occurrences").fill_null(1) * pl.col("weight")
    return [
        broken.group_by(TIER).agg(occurrences.sum().alias("errors")),
        users_of(broken, [TIER]).rename({"users": "users_with_errors"}),
        grouped_percentiles(timed, [TIER], (0.5, 0.95), pl.col("weight").sum().alias("traces")),
    ]


def _table(parts: list[pl.LazyFrame]) -> pl.LazyFrame:
    """Return the columns of `tiers` out of its parts, the standard tiers always there."""
    standard = pl.LazyFrame({TIER: TIERS}, schema={TIER: pl.String})
    table = merged([standard, *parts], [TIER])
    counts = pl.exclude(TIER, "duration_ms_p50", "duration_ms_p95")
    return (
        table.with_columns(counts.fill_null(0.0))
        .select(
            pl.col(TIER).alias("tier"),
            *("users", "dau", "wau", "mau", "sessions", "events"),
            "sessions_dependent",
            ratio("sessions_dependent", "sessions").alias("cdr"),
            "users_dependent",
            ratio("users_dependent", "users").alias("cdr_users"),
            *("returned", "dormant_or_returned"),
            ratio("returned", "dormant_or_returned").alias("resurrection"),
            "failures",
            ratio("failures", "events").alias("error_rate"),
            *("errors", "users_with_errors"),
            ratio("errors", "users").alias("errors_per_user"),
            *("traces", "duration_ms_p50", "duration_ms_p95", "converted", "convertible"),
            ratio("converted", "convertible").alias("paid_conversion"),
            "cancellations",
        )
        .sort("tier")
    )


@metric("events", lookback_days=ALL_HISTORY)
def tier_moves(events: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Who moved from which tier to which.

    Definition
    ----------
    A move is an event inside the window whose tier differs from the tier of the user's event
    just before it, in the window or in history. Events without a tier are skipped. Moves count
    with the weight of the event that shows the new tier, users with their smallest such one.

    On sampled data only the people whose ordinary events are kept count, each as 1 / keep rate.

    Source
    ------
    events : one row per event, all history.

    Columns
    -------
    from_tier : String.
    to_tier : String.
    users : Float64, count; people who moved so at least once.
    moves : Float64, count; every such move.
    """

    def known(events: pl.LazyFrame) -> pl.LazyFrame:
        ids = [EVENT_ID] if has_column(events, EVENT_ID) else []
        named = events.filter(window.before(), pl.col(TIER) != "", pl.col(USER).is_not_null())
        return named.select(user_key(), TIMESTAMP, TIER, weight_of(events), *ids)

    def step(rows: pl.DataFrame, ids: pl.LazyFrame, _: float) -> pl.LazyFrame:
        return _moved(in_time_order(_of_changers(rows), ids), window)

    return of_people(events, known, step, when=window.before())


def _of_changers(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of users with several tiers: sorting all history would be the whole cost."""
    tier = pl.col(TIER).hash()
    people = rows.lazy().select(KEY, tier.alias("least"), tier.alias("most")).group_by(KEY)
    several = people.agg(pl.col("least").min(), pl.col("most").max()).filter(
        pl.col("least") != pl.col("most")
    )
    (changers,) = reduced(several.select(KEY))
    return (
        rows.lazy()
        .join(changers, on=KEY, how="semi", maintain_order="left")
        .collect(engine="in-memory")
    )


def _moved(ordered: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Return the columns of `tier_moves` out of rows in order."""
    before = pl.when(pl.col(KEY) == pl.col(KEY).shift(1)).then(pl.col(TIER).shift(1))
    moves = (
        ordered.with_columns(before.alias("from_tier"))
        .filter(pl.col("from_tier") != pl.col(TIER), window.contains(TIMESTAMP))
        .rename({TIER: "to_tier"})
    )
    pair = ["from_tier", "to_tier"]
    counts = moves.group_by(pair).agg(pl.col("weight").sum().alias("moves"))
    people = users_of(moves, pair, user=KEY)
    return counts.join(people, on=pair, how="left").select(*pair, "users", "moves").sort(pair)


def _with_tier(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(pl.col(TIER).fill_null(""))


# --- do two rates differ? --------------------------------------------------------------------


class RateComparison(NamedTuple):
    """How rate b compares with rate a; NaN where the numbers cannot say."""

    lift: float
    ci_low: float
    ci_high: float
    p_value: float


def compare_rates(
    a: tuple[float, float], b: tuple[float, float], *, pooled: bool = True
) -> RateComparison:
    """Compare two rates, each given as (hits, out of how many).

    Definition
    ----------
    The lift is the rate of b divided by that of a, minus 1: 0.1 is "10 % more". Its 95 %
    interval is the normal one on the lift itself, by the delta method, with each side's own
    variance. The p value is that of the two-sided z test for two proportions; its standard
    error pools the two sides, as the hypothesis says they are one, unless `pooled=False`.

    Parameters
    ----------
    a, b : hits and how many could have been; the control first. Weighted counts are welcome.
    pooled : whether the p value pools the variance.

    Returns
    -------
    RateComparison : lift, ci_low, ci_high, p_value. All NaN when a side is empty. The lift and
        its interval are NaN when nobody hit in a; the interval also when nobody hit in b, where
        the normal one would claim a certainty that is not there. Two rates that both are 0 or
        both 1 do not differ: their p value is 1.

    Raises
    ------
    MetricError : when a count is negative or not finite.
    """
    for name, (hits, total) in (("a", a), ("b", b)):
        if not (0 <= hits < math.inf and 0 <= total < math.inf):
            raise MetricError(f"{name}=({hits}, {total}): both must be counts, 0 or more.")
    # sampled hits may outweigh their total by a little; a rate has nothing to say above 1
    a, b = (min(a[0], a[1]), a[1]), (min(b[0], b[1]), b[1])
    (hits_a, total_a), (hits_b, total_b) = a, b
    if not total_a or not total_b:
        return RateComparison(math.nan, math.nan, math.nan, math.nan)
    rate_a, rate_b = hits_a / total_a, hits_b / total_b
    p_value = _p_value(a, b, pooled=pooled)
    if not hits_a:
        return RateComparison(math.nan, math.nan, math.nan, p_value)
    lift = rate_b / rate_a - 1
    if not hits_b:
        return RateComparison(lift, math.nan, math.nan, p_value)
    relative_error = math.sqrt((1 - rate_a) / hits_a + (1 - rate_b) / hits_b)
    reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * (lift + 1) * relative_error
    return RateComparison(lift, lift - reach, lift + reach, p_value)


def _p_value(a: tuple[float, float], b: tuple[float, float], *, pooled: bool) -> float:
    (hits_a, total_a), (hits_b, total_b) = a, b
    rate_a, rate_b = hits_a / total_a, hits_b / total_b
    if rate_a == rate_b:
        return 1.0
    if pooled:
        both = (hits_a + hits_b) / (total_a + total_b)
        variance = both * (1 - both) * (1 / total_a + 1 / total_b)
    else:
        variance = rate_a * (1 - rate_a) / total_a + rate_b * (1 - rate_b) / total_b
    if variance <= 0:  # none of a hit and all of b did, or the other way round
        return 0.0
    z = abs(rate_b - rate_a) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))
