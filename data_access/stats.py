"""The statistics of comparisons: pure functions of numbers, which never see a frame.

A rate is given as (hits, out of how many), a mean as (mean, variance, how many), the control
first. Counts may be weighted, so they need not be whole. Nothing here draws random numbers: the
same counts always give the same answer. SciPy is imported when a function first needs it, because
it costs 0.2 s that the start of the app need not pay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from data_access.errors import MetricError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

__all__ = [
    "CORRECTIONS",
    "ChiSquare",
    "Interval",
    "MeanComparison",
    "PairComparison",
    "SampleRatio",
    "WinChance",
    "chances_of_means",
    "chances_of_rates",
    "compare_arms",
    "compare_counts",
    "compare_means",
    "compare_pairs",
    "corrected",
    "days_to_go",
    "mean_interval",
    "people_for_means",
    "people_for_rates",
    "power_of_means",
    "power_of_rates",
    "rate_difference",
    "rate_interval",
    "sample_ratio",
    "smallest_effect",
    "smallest_lift",
]

Rate: TypeAlias = tuple[float, float]
Mean: TypeAlias = tuple[float, float, float]

CONFIDENCE: Final = 0.95
ALPHA: Final = 0.05
POWER: Final = 0.8
MISMATCH: Final = 0.001  # a planned split this unlikely is broken, not unlucky
CORRECTIONS: Final = ("holm", "bonferroni", "benjamini-hochberg", "none")
ARMS_MAX: Final = 50
ROUNDS_MAX: Final = 200  # of halving an interval; a float has no more halves
NODES: Final = 16  # of Gauss and Legendre, per stretch between two quantiles
# where an arm's distribution bends: the integration takes each stretch between them by itself
BENDS: Final = (1e-14, 1e-9, 1e-6, 1e-4, 1e-3, 0.01, 0.05, 0.15, 0.3, 0.5)
_NORMAL: Final = NormalDist()


class Interval(NamedTuple):
    """From `low` to `high`; both NaN where the numbers cannot say."""

    low: float
    high: float


class ChiSquare(NamedTuple):
    """A chi-square test: its statistic, degrees of freedom and p value."""

    chi2: float
    df: float
    p_value: float


class PairComparison(NamedTuple):
    """Arms `a` and `b`, by their places, with the p value before and after the correction."""

    a: int
    b: int
    p_value: float
    p_corrected: float


@dataclass(frozen=True, slots=True)
class MeanComparison:
    """How mean b compares with mean a; NaN where the numbers cannot say."""

    difference: float
    t: float
    df: float
    p_value: float
    lift: float
    ci_low: float
    ci_high: float


class WinChance(NamedTuple):
    """The chance that an arm is the best one, and what choosing it is expected to lose."""

    best: float
    expected_loss: float


class SampleRatio(NamedTuple):
    """Whether people were split as planned: the chi-square test of the shares, and its verdict."""

    chi2: float
    df: float
    p_value: float
    is_mismatch: bool


# --- one rate, and the difference of two -----------------------------------------------------


def rate_interval(
    hits: float, total: float, *, confidence: float = CONFIDENCE, method: str = "wilson"
) -> Interval:
    """Return the interval of one rate, never below 0 or above 1.

    Parameters
    ----------
    hits, total : how many did, out of how many.
    confidence : the share of such intervals that hold the true rate.
    method : "wilson", which stays honest near 0 and 1, or "normal", the textbook one.

    Returns
    -------
    Interval : NaN when the total is 0.

    Raises
    ------
    MetricError : when a count is negative, hits outnumber the total, or an option is unknown.
    """
    _known_method(method, ("wilson", "normal"))
    _check_rate("hits, total", (hits, total))
    z = _two_sided(1 - confidence)
    if not total:
        return Interval(math.nan, math.nan)
    rate = hits / total
    if method == "normal":
        reach = z * math.sqrt(rate * (1 - rate) / total)
        return Interval(max(0.0, rate - reach), min(1.0, rate + reach))
    scale = 1 + z * z / total
    middle = (rate + z * z / (2 * total)) / scale
    reach = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total)) / scale
    low = 0.0 if not hits else max(0.0, middle - reach)
    return Interval(low, 1.0 if hits == total else min(1.0, middle + reach))


def rate_difference(
    a: Rate, b: Rate, *, confidence: float = CONFIDENCE, method: str = "newcombe"
) -> Interval:
    """Return the interval of rate b minus rate a.

    Parameters
    ----------
    a, b : (hits, out of how many), the control first.
    confidence : the share of such intervals that hold the true difference.
    method : "newcombe" (from the two Wilson intervals), "agresti-caffo" (one hit and one miss
        added to each side) or "wald" (the textbook one, which claims too much on small counts).

    Returns
    -------
    Interval : NaN when a side is empty.

    Raises
    ------
    MetricError : as `rate_interval`.
    """
    _known_method(method, ("newcombe", "agresti-caffo", "wald"))
    _check_rate("a", a)
    _check_rate("b", b)
    if not a[1] or not b[1]:
        return Interval(math.nan, math.nan)
    if method == "newcombe":
        return _newcombe(a, b, confidence)
    if method == "agresti-caffo":
        a, b = (a[0] + 1, a[1] + 2), (b[0] + 1, b[1] + 2)
    rate_a, rate_b = a[0] / a[1], b[0] / b[1]
    error = math.sqrt(rate_a * (1 - rate_a) / a[1] + rate_b * (1 - rate_b) / b[1])
    reach = _two_sided(1 - confidence) * error
    return Interval(max(-1.0, rate_b - rate_a - reach), min(1.0, rate_b - rate_a + reach))


def _newcombe(a: Rate, b: Rate, confidence: float) -> Interval:
    rate_a, rate_b = a[0] / a[1], b[0] / b[1]
    of_a, of_b = (rate_interval(*side, confidence=confidence) for side in (a, b))
    down = math.hypot(rate_b - of_b.low, of_a.high - rate_a)
    up = math.hypot(of_b.high - rate_b, rate_a - of_a.low)
    return Interval(rate_b - rate_a - down, rate_b - rate_a + up)


# --- several arms ----------------------------------------------------------------------------


def compare_arms(arms: Sequence[Rate]) -> ChiSquare:
    """Return the chi-square test that all arms have one rate, without continuity correction.

    Parameters
    ----------
    arms : (hits, out of how many) of each.

    Returns
    -------
    ChiSquare : NaN when an arm is empty; p is 1 when nobody or everybody hit.

    Raises
    ------
    MetricError : when there are fewer than two arms, or a count makes no sense.
    """
    _check_arms(arms)
    df = float(len(arms) - 1)
    total = sum(of for _, of in arms)
    if not all(of for _, of in arms):
        return ChiSquare(math.nan, df, math.nan)
    rate = sum(hits for hits, _ in arms) / total
    if rate in {0.0, 1.0}:
        return ChiSquare(0.0, df, 1.0)
    chi2 = sum((hits - of * rate) ** 2 / (of * rate * (1 - rate)) for hits, of in arms)
    return ChiSquare(chi2, df, _chi2_tail(chi2, df))


def compare_pairs(arms: Sequence[Rate], *, correction: str = "holm") -> list[PairComparison]:
    """Return the chi-square test of each pair of arms, corrected for how many pairs there are.

    Parameters
    ----------
    arms : (hits, out of how many) of each.
    correction : as in `corrected`.

    Raises
    ------
    MetricError : as `compare_arms`, or when the correction is unknown.
    """
    _check_arms(arms)
    pairs = [(a, b) for a in range(len(arms)) for b in range(a + 1, len(arms))]
    raw = [compare_arms((arms[a], arms[b])).p_value for a, b in pairs]
    return [
        PairComparison(a, b, p, better)
        for (a, b), p, better in zip(pairs, raw, corrected(raw, method=correction), strict=True)
    ]


def corrected(p_values: Sequence[float], *, method: str = "holm") -> list[float]:
    """Return p values corrected for there being several, in the order given.

    Compare each with the alpha you would use for one: it holds for all of them together.

    Parameters
    ----------
    p_values : one per test; NaN is no test, counts for none and stays NaN.
    method : "holm" and "bonferroni" bound the chance of any false finding (Holm's is never the
        worse of the two), "benjamini-hochberg" the share of false ones among the findings,
        "none" leaves them alone.

    Raises
    ------
    MetricError : when a p value is not between 0 and 1, or the method is unknown.
    """
    _known_method(method, CORRECTIONS)
    for p in p_values:
        if not (math.isnan(p) or 0 <= p <= 1):
            raise MetricError(f"A p value lies between 0 and 1, so not {p!r}.")
    order = sorted((at for at, p in enumerate(p_values) if p == p), key=lambda at: p_values[at])  # noqa: PLR0124 - NaN alone differs from itself
    count, found = len(order), [math.nan] * len(p_values)
    raised = [p_values[at] * _factor(method, rank, count) for rank, at in enumerate(order)]
    if method == "holm":
        steps = [max(raised[: rank + 1]) for rank in range(count)]
    elif method == "benjamini-hochberg":
        steps = [min(raised[rank:]) for rank in range(count)]
    else:
        steps = raised
    for at, p in zip(order, steps, strict=True):
        found[at] = min(1.0, p)
    return found


def _factor(method: str, rank: int, count: int) -> float:
    """Return by what the p value of that rank, counted from 0, is multiplied."""
    if method == "holm":
        return count - rank
    if method == "benjamini-hochberg":
        return count / (rank + 1)
    return count if method == "bonferroni" else 1


def sample_ratio(counts: Sequence[float], *, shares: Sequence[float] = ()) -> SampleRatio:
    """Return whether people were split among the arms as planned.

    A mismatch means that the assignment or the recording is broken, and that no number of the
    experiment can be read. It is called one when the p value is below 0.001: a look a day at a
    healthy experiment must not cry wolf.

    Parameters
    ----------
    counts : the people in each arm.
    shares : the planned share of each, in any unit; by default equal ones.

    Returns
    -------
    SampleRatio : NaN and no mismatch when nobody is in any arm.

    Raises
    ------
    MetricError : when there are fewer than two arms, a count is negative, or the shares are not
        one positive number per arm.
    """
    planned = list(shares) or [1.0] * len(counts)
    if not 1 < len(counts) <= ARMS_MAX or len(planned) != len(counts):
        raise MetricError(
            f"{len(counts)} counts with {len(planned)} shares: give 2 to {ARMS_MAX} counts, and "
            "a planned share for each or none at all."
        )
    if not all(0 <= count < math.inf for count in counts):
        raise MetricError(f"counts={list(counts)}: all must be counts, 0 or more.")
    if not all(0 < share < math.inf for share in planned):
        raise MetricError(f"shares={planned}: all must be above 0, such as (50, 50).")
    total, df = sum(counts), float(len(counts) - 1)
    if not total:
        return SampleRatio(math.nan, df, math.nan, is_mismatch=False)
    expected = [total * share / sum(planned) for share in planned]
    chi2 = sum((count - want) ** 2 / want for count, want in zip(counts, expected, strict=True))
    p_value = _chi2_tail(chi2, df)
    return SampleRatio(chi2, df, p_value, is_mismatch=p_value < MISMATCH)


# --- means and counts ------------------------------------------------------------------------


def compare_means(
    a: Mean, b: Mean, *, equal_variance: bool = False, confidence: float = CONFIDENCE
) -> MeanComparison:
    """Compare two means, each given as (mean, variance, how many), the control first.

    Definition
    ----------
    Student's two-sided t test on mean b minus mean a; Welch's by default, which lets the
    variances differ, else the pooled one. The lift is mean b divided by mean a, minus 1; its
    interval is that of a relative difference by the delta method, with the test's own degrees
    of freedom.

    Parameters
    ----------
    a, b : the mean, the sample variance (divided by n - 1) and n.
    equal_variance : whether both sides share one variance.
    confidence : the share of such intervals that hold the true lift.

    Returns
    -------
    MeanComparison : difference, t, df, p_value, lift, ci_low, ci_high. All but the difference
        are NaN when a side has fewer than two; t and p also when nothing varies at all, unless
        the means agree: then p is 1. The lift and its interval are NaN when mean a is 0.

    Raises
    ------
    MetricError : when a number is not finite, a variance is negative or n is below 0.
    """
    _check_mean("a", a)
    _check_mean("b", b)
    difference = b[0] - a[0]
    if min(a[2], b[2]) < 2:  # noqa: PLR2004 - one number has no variance
        return MeanComparison(difference, *[math.nan] * 6)
    error_a, error_b, df = _errors(a, b, equal_variance=equal_variance)
    error = math.sqrt(error_a + error_b)
    if not error:
        p = 1.0 if not difference else math.nan
        lift = difference / a[0] if a[0] else math.nan
        return MeanComparison(difference, math.nan, df, p, lift, lift, lift)
    t = difference / error
    p_value = 2 * float(_special().stdtr(df, -abs(t)))
    if not a[0]:
        return MeanComparison(difference, t, df, p_value, math.nan, math.nan, math.nan)
    lift, ratio = difference / a[0], b[0] / a[0]
    reach = -float(_special().stdtrit(df, (1 - confidence) / 2))
    reach *= math.sqrt(error_b + ratio * ratio * error_a) / abs(a[0])
    return MeanComparison(difference, t, df, p_value, lift, lift - reach, lift + reach)


def _errors(a: Mean, b: Mean, *, equal_variance: bool) -> tuple[float, float, float]:
    """Return the squared standard error of each mean, and the degrees of freedom."""
    (_, var_a, n_a), (_, var_b, n_b) = a, b
    if equal_variance:
        df = n_a + n_b - 2
        pooled = ((n_a - 1) * var_a + (n_b - 1) * var_b) / df
        return pooled / n_a, pooled / n_b, df
    of_a, of_b = var_a / n_a, var_b / n_b
    below = of_a * of_a / (n_a - 1) + of_b * of_b / (n_b - 1)
    return of_a, of_b, (of_a + of_b) ** 2 / below if below else n_a + n_b - 2


def mean_interval(mean: Mean, *, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of one mean, by Student's t.

    Parameters
    ----------
    mean : (mean, variance, how many), as in `compare_means`.
    confidence : the share of such intervals that hold the true mean.

    Returns
    -------
    Interval : NaN for fewer than two.

    Raises
    ------
    MetricError : as `compare_means`.
    """
    _check_mean("mean", mean)
    middle, variance, n = mean
    if n < 2:  # noqa: PLR2004 - one number has no variance
        return Interval(math.nan, math.nan)
    reach = -float(_special().stdtrit(n - 1, (1 - confidence) / 2)) * math.sqrt(variance / n)
    return Interval(middle - reach, middle + reach)


def compare_counts(a: float, b: float, *, exposure: tuple[float, float] = (1.0, 1.0)) -> float:
    """Return the p value of the exact two-sided test that two counts happen at one rate.

    Given a + b in all, b is binomial with the share of its own exposure; the p value adds up
    every outcome that is no likelier than the one seen.

    Parameters
    ----------
    a, b : whole counts; of weighted ones the nearest whole number is taken.
    exposure : what each is counted over: days, sessions, people.

    Returns
    -------
    float : 1 when nothing was counted.

    Raises
    ------
    MetricError : when a count is negative or an exposure not above 0.
    """
    if not (0 <= a < math.inf and 0 <= b < math.inf):
        raise MetricError(f"a={a}, b={b}: both must be counts, 0 or more.")
    if not all(0 < part < math.inf for part in exposure):
        raise MetricError(f"exposure={exposure}: both must be above 0.")
    hits, total = round(b), round(a) + round(b)
    share = exposure[1] / (exposure[0] + exposure[1])
    likeliest = share * total
    if hits == likeliest or not total:
        return 1.0
    bound = _log_mass(hits, total, share) + 1e-7
    if hits < likeliest:  # the outcomes above the middle that are no likelier, and those below
        other = _first(
            lambda at: _log_mass(at, total, share) <= bound, math.ceil(likeliest), total + 1
        )
        return min(1.0, _below(hits, total, share) + 1 - _below(other - 1, total, share))
    other = _first(
        lambda at: _log_mass(math.floor(likeliest) - at, total, share) <= bound,
        0,
        math.floor(likeliest) + 1,
    )
    lower = math.floor(likeliest) - other
    return min(1.0, _below(lower, total, share) + 1 - _below(hits - 1, total, share))


def _log_mass(hits: int, total: int, share: float) -> float:
    """Return the logarithm of the chance of so many hits."""
    ways = math.lgamma(total + 1) - math.lgamma(hits + 1) - math.lgamma(total - hits + 1)
    return ways + hits * math.log(share) + (total - hits) * math.log1p(-share)


def _below(hits: int, total: int, share: float) -> float:
    """Return the chance of at most so many hits."""
    if hits < 0:
        return 0.0
    return 1.0 if hits >= total else float(_special().betainc(total - hits, hits + 1, 1 - share))


def _first(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return the first whole number from `low` on where it holds, `high` if there is none."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


# --- planning --------------------------------------------------------------------------------


def power_of_rates(
    rate_a: float, rate_b: float, n_a: float, n_b: float | None = None, *, alpha: float = ALPHA
) -> float:
    """Return the chance that the two-sided z test sees the difference between two true rates.

    Pooled under the hypothesis and unpooled under the truth, as R's `power.prop.test`.

    Parameters
    ----------
    rate_a, rate_b : the true rates.
    n_a, n_b : the people in each arm; as many in b as in a by default.
    alpha : the chance of a false finding that is accepted.

    Returns
    -------
    float : alpha / 2 when the rates are equal: the half of false findings in that direction.

    Raises
    ------
    MetricError : when a rate is not between 0 and 1, or an arm is empty.
    """
    n_b = n_a if n_b is None else n_b
    _check_share("rate_a", rate_a)
    _check_share("rate_b", rate_b)
    _check_arm_size(n_a, n_b)
    both = (rate_a * n_a + rate_b * n_b) / (n_a + n_b)
    pooled = math.sqrt(both * (1 - both) * (1 / n_a + 1 / n_b))
    own = math.sqrt(rate_a * (1 - rate_a) / n_a + rate_b * (1 - rate_b) / n_b)
    reach = abs(rate_b - rate_a) - _two_sided(alpha) * pooled
    if not own:
        return float(reach > 0) if rate_a != rate_b else alpha / 2
    return _NORMAL.cdf(reach / own)


def people_for_rates(
    rate_a: float, rate_b: float, *, power: float = POWER, alpha: float = ALPHA
) -> float:
    """Return how many people each arm needs to see the difference between two true rates.

    The inverse of `power_of_rates`; not rounded, so round it up.

    Returns
    -------
    float : infinity when the rates are equal.

    Raises
    ------
    MetricError : when a rate, the power or alpha is not between 0 and 1.
    """
    _check_share("rate_a", rate_a)
    _check_share("rate_b", rate_b)
    if rate_a == rate_b:
        return math.inf
    both = (rate_a + rate_b) / 2
    own = rate_a * (1 - rate_a) + rate_b * (1 - rate_b)
    reach = _two_sided(alpha) * math.sqrt(2 * both * (1 - both)) + _quantile(power) * math.sqrt(own)
    return (reach / (rate_b - rate_a)) ** 2


def smallest_lift(
    rate: float, n_a: float, n_b: float, *, power: float = POWER, alpha: float = ALPHA
) -> float:
    """Return the smallest rise of a rate, relative to it, that is seen with that power.

    The minimum detectable effect: 0.2 is "20 % more". A fall needs about as much.

    Parameters
    ----------
    rate : the control's rate.
    n_a, n_b : the people in each arm.

    Returns
    -------
    float : NaN when the rate is 0 or even a rate of 1 would not be seen.

    Raises
    ------
    MetricError : as `power_of_rates`.
    """
    _check_share("power", power)
    if not rate or power_of_rates(rate, 1.0, n_a, n_b, alpha=alpha) < power:
        return math.nan
    found = _crossing(
        lambda other: power_of_rates(rate, other, n_a, n_b, alpha=alpha) - power, rate, 1.0
    )
    return found / rate - 1


def power_of_means(
    effect: float, n_a: float, n_b: float | None = None, *, alpha: float = ALPHA
) -> float:
    """Return the power of the two-sided t test of two means, by the noncentral t distribution.

    Parameters
    ----------
    effect : the true difference in standard deviations.
    n_a, n_b : how many in each arm; as many in b as in a by default.
    alpha : the chance of a false finding that is accepted.

    Raises
    ------
    MetricError : when an arm holds fewer than two, or the effect is not finite.
    """
    n_b = n_a if n_b is None else n_b
    if not math.isfinite(effect):
        raise MetricError(f"effect={effect}: give a finite number of standard deviations.")
    _check_arm_size(n_a, n_b, least=2)
    special, df = _special(), n_a + n_b - 2
    shift = abs(effect) * math.sqrt(n_a * n_b / (n_a + n_b))
    edge = -float(special.stdtrit(df, alpha / 2))
    beyond = 1 - _number(special.nctdtr(df, shift, edge))
    return beyond + _number(special.nctdtr(df, shift, -edge))


def people_for_means(effect: float, *, power: float = POWER, alpha: float = ALPHA) -> float:
    """Return how many each arm needs to see a difference of so many standard deviations.

    The inverse of `power_of_means`; not rounded, so round it up.

    Returns
    -------
    float : infinity when the effect is 0 or needs more than 10^9 in each arm.

    Raises
    ------
    MetricError : when the power or alpha is not between 0 and 1.
    """
    _check_share("power", power)
    most = 1e9
    if not effect or power_of_means(effect, most, alpha=alpha) < power:
        return math.inf
    return _crossing(lambda n: power_of_means(effect, n, alpha=alpha) - power, 2.0, most)


def smallest_effect(n_a: float, n_b: float, *, power: float = POWER, alpha: float = ALPHA) -> float:
    """Return the smallest difference of means, in standard deviations, seen with that power.

    Raises
    ------
    MetricError : as `power_of_means`.
    """
    _check_share("power", power)
    most = 1.0
    while power_of_means(most, n_a, n_b, alpha=alpha) < power and most < 2.0**10:
        most *= 2
    return _crossing(lambda size: power_of_means(size, n_a, n_b, alpha=alpha) - power, 0.0, most)


def days_to_go(needed: float, have: float, per_day: float) -> float:
    """Return the days until an arm of `have` people that gains `per_day` holds `needed`.

    Returns
    -------
    float : 0 when there are enough, infinity when nobody comes.

    Raises
    ------
    MetricError : when a number is negative or not a number.
    """
    if not (needed >= 0 and 0 <= have < math.inf and 0 <= per_day < math.inf):
        raise MetricError(f"needed={needed}, have={have}, per_day={per_day}: give 0 or more.")
    missing = needed - have
    if missing <= 0:
        return 0.0
    return missing / per_day if per_day else math.inf


# --- chance to win ---------------------------------------------------------------------------


def chances_of_rates(arms: Sequence[Rate]) -> list[WinChance]:
    """Return each arm's chance to have the highest rate, and what choosing it may lose.

    Definition
    ----------
    Each true rate is believed to be Beta(1 + hits, 1 + misses), independent of the others: every
    rate was as likely before the first person came. The expected loss of an arm is the mean of
    how far the best of all lies above it, in points of the rate: 0.002 is 0.2 percentage points.
    Integrated numerically, to seven digits and more.

    Parameters
    ----------
    arms : (hits, out of how many) of each.

    Raises
    ------
    MetricError : when there are fewer than two arms, or a count makes no sense.
    """
    _check_arms(arms)
    special = _special()
    shapes = [(1 + hits, 1 + of - hits) for hits, of in arms]

    def density(arm: int, x: Any) -> Any:  # noqa: ANN401 - arrays of NumPy, which is not imported here
        a, b = shapes[arm]
        log = special.xlogy(a - 1, x) + special.xlog1py(b - 1, -x) - special.betaln(a, b)
        return special.exp10(log / math.log(10))  # SciPy has no exp, and NumPy stays outside

    return _chances(
        len(shapes),
        density,
        lambda arm, x: special.betainc(*shapes[arm], x),
        lambda arm, q: special.betaincinv(*shapes[arm], q),
        lambda arm, q: special.betainccinv(*shapes[arm], q),
    )


def chances_of_means(arms: Sequence[tuple[float, float]]) -> list[WinChance]:
    """Return each arm's chance to have the highest mean, and what choosing it may lose.

    Each true mean is believed to be normal around the one seen, with its standard error, as it
    is for a large sample; the expected loss is in the unit of the mean.

    Parameters
    ----------
    arms : (mean, standard error) of each; the error above 0.

    Raises
    ------
    MetricError : when there are fewer than two arms, or a number makes no sense.
    """
    if not 1 < len(arms) <= ARMS_MAX:
        raise MetricError(f"{len(arms)} arms: give 2 to {ARMS_MAX}.")
    for mean, error in arms:
        if not (math.isfinite(mean) and 0 < error < math.inf):
            raise MetricError(f"({mean}, {error}): give a finite mean and an error above 0.")
    special = _special()

    def standard(arm: int, x: Any) -> Any:  # noqa: ANN401 - as above
        return (x - arms[arm][0]) / arms[arm][1]

    def density(arm: int, x: Any) -> Any:  # noqa: ANN401 - as above
        log = -(standard(arm, x) ** 2) / 2
        return special.exp10(log / math.log(10)) / (arms[arm][1] * math.sqrt(2 * math.pi))

    return _chances(
        len(arms),
        density,
        lambda arm, x: special.ndtr(standard(arm, x)),
        lambda arm, q: arms[arm][0] + arms[arm][1] * special.ndtri(q),
        lambda arm, q: arms[arm][0] - arms[arm][1] * special.ndtri(q),
    )


def _chances(
    arms: int,
    density: Callable[[int, Any], Any],
    below: Callable[[int, Any], Any],
    low: Callable[[int, float], float],
    high: Callable[[int, float], float],
) -> list[WinChance]:
    """Integrate over all arms' distributions, given their density and shares from both ends.

    The chance is the integral of the arm's density times everybody else's share below; the loss
    that of the share below of this arm where not all others are below as well.
    """
    ends = [end(arm, q) for arm in range(arms) for q in BENDS for end in (low, high)]
    x, step = _nodes(sorted({float(one) for one in ends}))
    shares = [below(arm, x) for arm in range(arms)]
    found = []
    for arm in range(arms):
        others = math.prod(share for at, share in enumerate(shares) if at != arm)
        best = float((step * density(arm, x) * others).sum())
        loss = float((step * shares[arm] * (1 - others)).sum())
        found.append(WinChance(min(1.0, best), max(0.0, loss)))
    return found


def _nodes(edges: Sequence[float]) -> tuple[Any, Any]:
    """Return where to look, and how much each look counts, between neighbouring edges."""
    import numpy as np  # noqa: PLC0415 - 40 ms that only a chance to win needs

    at, weight = _special().roots_legendre(NODES)
    left, right = np.array(edges[:-1])[:, None], np.array(edges[1:])[:, None]
    half = (right - left) / 2
    return (left + half * (1 + at)).ravel(), (half * weight).ravel()


# --- parts -----------------------------------------------------------------------------------


def _special() -> ModuleType:
    from scipy import special  # noqa: PLC0415 - 0.2 s that neither start-up nor a host pays

    return special  # type: ignore[no-any-return]


def _chi2_tail(chi2: float, df: float) -> float:
    return float(_special().chdtrc(df, chi2))


def _number(value: float) -> float:
    """Return a tail probability; what is too small to be told apart from 0 comes as NaN."""
    return 0.0 if math.isnan(value) else float(value)


def _quantile(share: float) -> float:
    if not 0 < share < 1:
        raise MetricError(f"power={share}: it lies between 0 and 1, usually 0.8.")
    return _NORMAL.inv_cdf(share)


def _two_sided(alpha: float) -> float:
    """Return the z that alpha leaves on both sides together."""
    if not 0 < alpha < 1:
        raise MetricError(f"alpha={alpha}: it lies between 0 and 1, usually 0.05.")
    return _NORMAL.inv_cdf(1 - alpha / 2)


def _crossing(rising: Callable[[float], float], low: float, high: float) -> float:
    """Return where a rising function crosses 0, by halving."""
    for _ in range(ROUNDS_MAX):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        low, high = (low, middle) if rising(middle) >= 0 else (middle, high)
    return high


def _known_method(method: str, allowed: Sequence[str]) -> None:
    if method not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise MetricError(f"{method=} is unknown. Use one of {choices}.")


def _check_rate(name: str, rate: Rate) -> None:
    hits, total = rate
    if not 0 <= hits <= total < math.inf:
        raise MetricError(f"{name}={hits}, {total}: give counts, 0 or more, hits out of a total.")


def _check_mean(name: str, given: Mean) -> None:
    mean, variance, n = given
    if not (math.isfinite(mean) and 0 <= variance < math.inf and 0 <= n < math.inf):
        raise MetricError(
            f"{name}=({mean}, {variance}, {n}): give a finite mean, a variance of 0 or more "
            "and how many it is the mean of."
        )


def _check_arms(arms: Sequence[Rate]) -> None:
    if not 1 < len(arms) <= ARMS_MAX:
        raise MetricError(f"{len(arms)} arms: give 2 to {ARMS_MAX}.")
    for at, arm in enumerate(arms):
        _check_rate(f"arm {at}", arm)


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise MetricError(f"{name}={share}: it lies between 0 and 1.")


def _check_arm_size(n_a: float, n_b: float, *, least: float = 1) -> None:
    if not (least <= n_a < math.inf and least <= n_b < math.inf):
        raise MetricError(f"n={n_a}, {n_b}: each arm needs {least:g} people or more.")
