"""The statistics of comparisons against values others published, and against SciPy's own tests.

statsmodels and R: values printed in statsmodels' test suite and R's help pages, named where used.
"""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from data_access import stats
from data_access.errors import MetricError

RATES = st.tuples(st.integers(0, 300), st.integers(1, 300)).map(lambda pair: (min(pair), max(pair)))
ARMS = st.lists(RATES, min_size=2, max_size=5)


# --- intervals -------------------------------------------------------------------------------


@given(RATES)
def test_the_wilson_interval_is_the_one_of_scipy(rate):
    found = stats.rate_interval(*rate)

    expected = scipy_stats.binomtest(*rate).proportion_ci(method="wilson")
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("method", ["wilson", "normal"])
@pytest.mark.parametrize("rate", [(0, 3), (3, 3), (0.5, 0.7), (1, 1e9)])
def test_an_interval_of_a_rate_stays_between_0_and_1_and_around_the_rate(method, rate):
    low, high = stats.rate_interval(*rate, method=method)

    assert 0 <= low <= rate[0] / rate[1] <= high <= 1


def test_of_nobody_there_is_no_interval():
    assert all(map(math.isnan, stats.rate_interval(0, 0)))
    assert all(map(math.isnan, stats.rate_difference((0, 0), (1, 2))))


@pytest.mark.parametrize(
    ("method", "a", "b", "expected"),
    [
        # Newcombe 1998, table II, example (a): 56/70 - 48/80, methods 10 and 1
        ("newcombe", (48, 80), (56, 70), (0.0524, 0.3339)),
        ("wald", (48, 80), (56, 70), (0.0575, 0.3425)),
        # R PropCIs wald2ci(7, 34, 1, 34), in statsmodels test_proportion.py
        ("agresti-caffo", (1, 34), (7, 34), (0.01161167, 0.32172166)),
        ("wald", (1, 34), (7, 34), (0.02916942, 0.32377176)),
    ],
)
def test_the_interval_of_a_difference_of_rates(method, a, b, expected):
    assert stats.rate_difference(a, b, method=method) == pytest.approx(expected, abs=5.1e-5)
    low, high = stats.rate_difference(b, a, method=method)
    assert (-high, -low) == pytest.approx(expected, abs=5.1e-5)


# --- several arms and corrections ------------------------------------------------------------


@given(ARMS)
def test_the_chi_square_test_of_several_arms_is_the_one_of_scipy(arms):
    found = stats.compare_arms(arms)

    hits = sum(hit for hit, _ in arms)
    if hits in {0, sum(of for _, of in arms)}:
        assert found.p_value == 1
        return
    table = [[hit for hit, _ in arms], [of - hit for hit, of in arms]]
    expected = scipy_stats.chi2_contingency(table, correction=False)
    assert found == pytest.approx((expected.statistic, expected.dof, expected.pvalue), rel=1e-9)


def test_corrections_are_the_ones_r_prints():
    """R: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), method)."""
    given_p = [0.04, 0.01, 0.05, 0.02, 0.03]

    assert stats.corrected(given_p, method="bonferroni") == pytest.approx(
        [0.2, 0.05, 0.25, 0.1, 0.15]
    )
    assert stats.corrected(given_p, method="holm") == pytest.approx([0.09, 0.05, 0.09, 0.08, 0.09])
    assert stats.corrected(given_p, method="benjamini-hochberg") == pytest.approx([0.05] * 5)
    assert stats.corrected(given_p, method="none") == given_p


@given(st.lists(st.floats(0, 1), max_size=12))
def test_benjamini_hochberg_is_the_one_of_scipy(p_values):
    found = stats.corrected(p_values, method="benjamini-hochberg")

    assert found == pytest.approx(list(scipy_stats.false_discovery_control(p_values)))


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_and_is_never_worse_than_bonferroni(p_values):
    found = stats.corrected(p_values)

    order = sorted(range(len(found)), key=lambda at: p_values[at])
    assert [found[at] for at in order] == sorted(found)
    assert all(a <= b for a, b in zip(found, stats.corrected(p_values, method="bonferroni")))  # noqa: B905 - one length by the line above
    assert all(a >= b for a, b in zip(found, p_values, strict=True))


def test_what_is_no_test_counts_for_none():
    assert stats.corrected([0.01, math.nan, 0.04])[::2] == pytest.approx([0.02, 0.04])
    assert math.isnan(stats.corrected([0.01, math.nan, 0.04])[1])


@pytest.mark.parametrize("shares", [(), (1, 1, 2), (50.0, 25.0, 25.0)])
def test_the_sample_ratio_is_the_chi_square_test_of_the_planned_shares(shares):
    counts = [821, 815, 900]
    planned = shares or (1, 1, 1)

    found = stats.sample_ratio(counts, shares=shares)

    expected = [sum(counts) * share / sum(planned) for share in planned]
    theirs = scipy_stats.chisquare(counts, expected)
    assert found[:3] == pytest.approx((theirs.statistic, 2, theirs.pvalue), rel=1e-9)
    assert found.is_mismatch == (theirs.pvalue < 0.001)


def test_a_known_sample_ratio_mismatch_is_one():
    """Kohavi, Tang, Xu 2020, chapter 21: 821,588 against 815,482 people, planned as halves."""
    found = stats.sample_ratio([821_588, 815_482])

    assert found.p_value == pytest.approx(1.8e-6, rel=0.02)
    assert found.is_mismatch
    assert not stats.sample_ratio([1_010, 990]).is_mismatch
    assert not stats.sample_ratio([0, 0]).is_mismatch


# --- means and counts ------------------------------------------------------------------------


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize(
    ("a", "b"), [((15.0, 87.5, 13), (12.0, 39.0, 11)), ((0.2, 0.16, 1500), (0.225, 0.175, 90))]
)
def test_the_t_tests_are_the_ones_of_scipy(equal, a, b):
    found = stats.compare_means(a, b, equal_variance=equal)

    expected = scipy_stats.ttest_ind_from_stats(
        b[0], math.sqrt(b[1]), b[2], a[0], math.sqrt(a[1]), a[2], equal_var=equal
    )
    assert (found.t, found.p_value) == pytest.approx(expected, rel=1e-9)
    assert found.difference == b[0] - a[0]


def test_the_interval_of_a_relative_difference_is_the_delta_methods():
    """By hand: 30 against 20; squared errors 4/100 and 9/100, df from Welch."""
    found = stats.compare_means((20.0, 4.0, 100), (30.0, 9.0, 100))

    reach = scipy_stats.t.ppf(0.975, found.df) * math.sqrt(0.09 / 400 + 900 * 0.04 / 160_000)
    assert found.df == pytest.approx(0.0169 * 99 / 0.0097)
    assert (found.lift, found.ci_low, found.ci_high) == pytest.approx(
        (0.5, 0.5 - reach, 0.5 + reach)
    )


def test_the_interval_of_a_mean_is_students():
    found = stats.mean_interval((10.0, 16.0, 25))

    assert found == pytest.approx(scipy_stats.t.interval(0.95, 24, 10.0, 0.8))
    assert math.isnan(stats.mean_interval((10.0, 0.0, 1)).low)


def test_means_that_cannot_be_compared_say_so():
    alone = stats.compare_means((1.0, 0.0, 1), (2.0, 1.0, 5))
    still = stats.compare_means((2.0, 0.0, 5), (2.0, 0.0, 5))
    from_zero = stats.compare_means((0.0, 1.0, 5), (2.0, 1.0, 5))

    assert alone.difference == 1
    assert math.isnan(alone.p_value)
    assert still.p_value == 1
    assert from_zero.p_value < 0.05
    assert math.isnan(from_zero.lift)


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.2, 5))
def test_the_exact_test_of_two_counts_is_the_binomial_one_of_scipy(a, b, exposure):
    found = stats.compare_counts(a, b, exposure=(1.0, exposure))

    if a + b == 0:
        assert found == 1
    else:
        expected = scipy_stats.binomtest(b, a + b, exposure / (1 + exposure)).pvalue
        assert found == pytest.approx(expected, rel=1e-6)


# --- planning --------------------------------------------------------------------------------


def test_the_power_of_two_rates_is_the_one_r_prints():
    """R: power.prop.test(n = 50, p1 = .50, p2 = .75), and the n for a power of .90."""
    assert stats.power_of_rates(0.5, 0.75, 50) == pytest.approx(0.7401659, abs=1e-6)
    assert stats.people_for_rates(0.5, 0.75, power=0.9) == pytest.approx(76.7, abs=0.05)


def test_the_power_of_two_means_is_the_one_r_prints():
    """R: power.t.test(n = 20, delta = 1), and the n for a power of .90."""
    assert stats.power_of_means(1.0, 20) == pytest.approx(0.8689528, abs=1e-6)
    assert stats.people_for_means(1.0, power=0.9) == pytest.approx(22.02110, abs=1e-4)
    assert stats.smallest_effect(20, 20, power=0.8689530) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("effect", [0.0, 0.01, 0.5, 3.0, 50.0])
@pytest.mark.parametrize(("n_a", "n_b"), [(2, 2), (30, 400), (1e6, 1e6)])
def test_power_is_a_probability_whatever_the_size(effect, n_a, n_b):
    assert 0.04999999 <= stats.power_of_means(effect, n_a, n_b) <= 1


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_planning_is_the_inverse_of_power(rate):
    lift = stats.smallest_lift(rate, 5_000, 4_000)

    assert stats.power_of_rates(rate, rate * (1 + lift), 5_000, 4_000) == pytest.approx(0.8)
    people = stats.people_for_rates(rate, rate * 1.05)
    assert stats.power_of_rates(rate, rate * 1.05, people) == pytest.approx(0.8)


def test_what_can_never_be_seen_is_not_a_number_or_takes_for_ever():
    assert math.isnan(stats.smallest_lift(0.9, 10, 10))
    assert math.isnan(stats.smallest_lift(0.0, 1_000, 1_000))
    assert stats.people_for_rates(0.1, 0.1) == math.inf
    assert stats.people_for_means(0.0) == math.inf
    assert stats.days_to_go(100, 40, 0) == math.inf
    assert stats.days_to_go(100, 40, 12) == 5
    assert stats.days_to_go(100, 140, 0) == 0


# --- chance to win ---------------------------------------------------------------------------


def choose(n: int, k: int) -> int:
    return math.comb(n, k)


def beats(a: tuple[int, int], b: tuple[int, int]) -> Fraction:
    """Return P(b > a) for Beta(shapes), by the finite sum for whole shapes (Evan Miller)."""

    def beta(x: int, y: int) -> Fraction:
        return Fraction(1, choose(x + y - 2, x - 1) * (x + y - 1))

    return sum(
        (
            beta(a[0] + i, a[1] + b[1]) / ((b[1] + i) * beta(1 + i, b[1]) * beta(*a))
            for i in range(b[0])
        ),
        Fraction(0),
    )


@given(RATES, RATES)
def test_the_chance_of_two_rates_is_the_exact_sum(a, b):
    shapes = [(1 + hits, 1 + of - hits) for hits, of in (a, b)]

    first, second = stats.chances_of_rates([a, b])

    exact = float(beats(*shapes))
    assert (first.best, second.best) == pytest.approx((1 - exact, exact), abs=1e-9)


@given(ARMS)
def test_chances_add_up_to_one_and_the_best_arm_loses_least(arms):
    found = stats.chances_of_rates(arms)

    assert sum(arm.best for arm in found) == pytest.approx(1, abs=1e-9)
    means = [(1 + hits) / (2 + of) for hits, of in arms]
    losses = [arm.expected_loss for arm in found]
    # E[best] is the same whichever is chosen, so the losses differ by the means exactly
    assert [loss + mean for loss, mean in zip(losses, means, strict=True)] == pytest.approx(
        [losses[0] + means[0]] * len(arms), abs=1e-9
    )


def test_a_narrow_arm_among_wide_ones_is_not_missed():
    found = stats.chances_of_rates([(5, 10), (5_000_000, 10_000_000)])

    assert [arm.best for arm in found] == pytest.approx([0.5, 0.5], abs=1e-6)


def test_the_chance_of_two_means_is_the_normal_one():
    first, second = stats.chances_of_means([(1.0, 0.3), (1.5, 0.4)])

    assert second.best == pytest.approx(scipy_stats.norm.cdf(0.5 / 0.5), abs=1e-10)
    # E[max(0, X)] of a normal X with mean 0.5 and deviation 0.5
    assert first.expected_loss == pytest.approx(
        0.5 * scipy_stats.norm.cdf(1) + 0.5 * scipy_stats.norm.pdf(1), abs=1e-10
    )


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda: stats.rate_interval(3, 2),
        lambda: stats.rate_interval(-1, 2),
        lambda: stats.rate_interval(1, math.nan),
        lambda: stats.rate_interval(1, 2, method="exact"),
        lambda: stats.rate_interval(1, 2, confidence=1.0),
        lambda: stats.rate_difference((1, 2), (3, 2)),
        lambda: stats.compare_arms([(1, 2)]),
        lambda: stats.compare_arms([(1, 2)] * 51),
        lambda: stats.compare_pairs([(1, 2), (1, 3)], correction="tukey"),
        lambda: stats.corrected([1.2]),
        lambda: stats.sample_ratio([1, 2], shares=(1,)),
        lambda: stats.sample_ratio([1, 2], shares=(1, 0)),
        lambda: stats.sample_ratio([1, -2]),
        lambda: stats.compare_means((1, -1, 2), (1, 1, 2)),
        lambda: stats.compare_counts(-1, 2),
        lambda: stats.compare_counts(1, 2, exposure=(0, 1)),
        lambda: stats.power_of_rates(0.5, 1.5, 10),
        lambda: stats.power_of_rates(0.5, 0.6, 0),
        lambda: stats.people_for_rates(0.5, 0.6, power=1.0),
        lambda: stats.power_of_means(math.inf, 10),
        lambda: stats.power_of_means(1, 1),
        lambda: stats.days_to_go(1, 2, -1),
        lambda: stats.chances_of_rates([(1, 2)]),
        lambda: stats.chances_of_means([(1, 2)]),
        lambda: stats.chances_of_means([(1, 0), (1, 1)]),
    ],
)
def test_what_makes_no_sense_is_refused(ask):
    with pytest.raises(MetricError, match=r"."):
        ask()
