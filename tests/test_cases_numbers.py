"""The worked cases about percentiles and about experiments, run through the public metrics.

A case that the public surface cannot ask is listed in NOT_ASKED with the reason.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from frames import trace, traces, window

from data_access import metrics
from data_access.metrics.latency import latency, quantile_column
from data_access.metrics.tiers import compare_rates

CASES = Path(__file__).parent / "cases"
OVER = window("2026-01-01", "2026-01-02")
# the quantile is linear by definition; these methods answer another question
NOT_ASKED = {
    "averaged_inverted_cdf": "averages two order statistics; ours is the linear quantile",
    "closest_observation": "returns an observation; ours interpolates",
    "inverted_cdf": "nearest rank returns an observation; ours interpolates",
    "histogram_linear": "works on buckets; we keep the durations",
    # an option for the four above would give a second number the name of the first
    None: "asks for a sum, a mean, a minimum or a maximum of durations, which no page shows",
}
ANSWERED = {
    *("any", "linear", "lower", "higher"),
    *("chi2_pairwise", "ci_one_proportion", "ci_difference", "conversion_rates"),
    *("power_t_two_sample", "t_two_sample", "bonferroni", "poisson_means_exact"),
    *("bayes_beta_best_arm", "bayes_beta_expected_loss"),
}

Case = dict[str, Any]


def read(analysis: str) -> list[Case]:
    return json.loads((CASES / f"{analysis}.json").read_text(encoding="utf-8"))["cases"]


def cases(analysis: str, key: str, *values: str) -> list[Any]:
    asked = [case for case in read(analysis) if case["params"].get(key) in values]
    assert asked, f"no case of {analysis} has {key} in {values}"
    return [pytest.param(case, id=case["id"]) for case in asked]


def percentile(values: list[float | None], quantile: float) -> float:
    frame = traces(*(trace("2026-01-01", duration_ms=value) for value in values))
    return latency(frame, OVER, quantiles=(quantile,)).collect()[quantile_column(quantile)].item()


def test_every_case_is_asked_or_has_a_reason():
    kinds = {case["params"].get("method") for case in read("percentiles")}
    kinds |= {case["params"]["test"] for case in read("ab_test")}

    assert kinds - set(NOT_ASKED) <= ANSWERED


@pytest.mark.parametrize("case", cases("percentiles", "method", "any", "linear"))
def test_percentiles(case: Case):
    values = case["values"] + [None] * case.get("nulls_added", 0)
    expected = case["expected"]

    found = percentile(values, case["params"]["q"])

    assert found == pytest.approx(
        expected["value"], rel=1e-9, abs=expected.get("tolerance_abs", 1e-9)
    )


@pytest.mark.parametrize("case", cases("percentiles", "method", "lower", "higher"))
def test_the_linear_median_lies_between_the_order_statistics(case: Case):
    """Lower and higher are the two observations the linear quantile lies between."""
    found, expected = percentile(case["values"], case["params"]["q"]), case["expected"]["value"]

    assert found >= expected if case["params"]["method"] == "lower" else found <= expected
    if len(case["values"]) % 2:
        assert found == expected


def rate(arm: Case) -> tuple[float, float]:
    return arm["conversions"], arm.get("users", arm["conversions"] + arm.get("failures", 0))


def mean(arm: Case) -> tuple[float, float, float]:
    return arm["mean"], arm["variance"], arm["n"]


@pytest.mark.parametrize("case", cases("ab_test", "test", "chi2_pairwise"))
def test_each_pair_of_arms_and_its_correction(case: Case):
    arms = [rate(arm) for arm in case["params"]["arms"]]
    expected, tolerance = case["expected"], case["expected"]["tolerance_abs"]

    found = metrics.compare_pairs(arms, correction="holm")

    assert [[pair.a, pair.b] for pair in found] == case["params"]["pair_order"]
    assert [pair.p_value for pair in found] == pytest.approx(expected["p_raw"], abs=tolerance)
    assert [pair.p_corrected for pair in found] == pytest.approx(expected["p_holm"], abs=tolerance)


@pytest.mark.parametrize("case", cases("ab_test", "test", "chi2_pairwise"))
def test_the_pooled_z_test_is_the_chi_square_test_of_each_pair(case: Case):
    arms = [rate(arm) for arm in case["params"]["arms"]]
    expected = case["expected"]

    for (a, b), p_value in zip(case["params"]["pair_order"], expected["p_raw"], strict=True):
        found = compare_rates(arms[a], arms[b]).p_value
        assert found == pytest.approx(p_value, abs=expected["tolerance_abs"])


@pytest.mark.parametrize("case", cases("ab_test", "test", "ci_one_proportion"))
def test_the_interval_of_one_rate(case: Case):
    params, expected = case["params"], case["expected"]

    found = metrics.rate_interval(
        *rate(params["a"]), confidence=1 - params["alpha"], method=params["method"]
    )

    if "ci" in expected:
        assert found == pytest.approx(expected["ci"], abs=expected["tolerance_abs"])
    else:
        low, high = expected["ci_within"]
        assert low <= found.low <= found.high <= high


@pytest.mark.parametrize("case", cases("ab_test", "test", "ci_difference"))
def test_the_interval_of_a_difference_of_rates(case: Case):
    """The case takes b from a; ours takes the control, which comes first, from the other."""
    params, expected = case["params"], case["expected"]

    found = metrics.rate_difference(
        rate(params["b"]),
        rate(params["a"]),
        confidence=1 - params["alpha"],
        method=params["method"],
    )

    assert found == pytest.approx(expected["ci"], abs=expected["tolerance_abs"])


@pytest.mark.parametrize("case", cases("ab_test", "test", "t_two_sample"))
def test_the_t_test_of_two_means(case: Case):
    """The case takes b from a, as above."""
    params, expected = case["params"], case["expected"]

    found = metrics.compare_means(
        mean(params["b"]), mean(params["a"]), equal_variance=params["equal_var"]
    )

    assert (found.t, found.df, found.p_value) == pytest.approx(
        (expected["t"], expected["df"], expected["p_value"]), abs=expected["tolerance_abs"]
    )


@pytest.mark.parametrize("case", cases("ab_test", "test", "power_t_two_sample"))
def test_the_power_of_two_means(case: Case):
    params, expected = case["params"], case["expected"]

    found = metrics.power_of_means(
        params["effect_size"], params["n_per_arm"], alpha=params["alpha"]
    )

    assert found == pytest.approx(expected["power"], abs=expected["tolerance_abs"])


@pytest.mark.parametrize("case", cases("ab_test", "test", "bayes_beta_best_arm"))
def test_the_chance_of_each_arm_to_win(case: Case):
    """The case was simulated, so it allows 0.05; ours is integrated and rounds to its digits."""
    arms, expected = case["params"]["arms"], case["expected"]["probability_best"]

    found = metrics.chances_of_rates([rate(arm) for arm in arms.values()])

    for name, chance in zip(arms, found, strict=True):
        assert chance.best == pytest.approx(expected[name], abs=0.0006)


@pytest.mark.parametrize("case", cases("ab_test", "test", "bayes_beta_expected_loss"))
def test_the_expected_loss_of_choosing_an_arm(case: Case):
    arms, expected = case["params"]["arms"], case["expected"]

    found = metrics.chances_of_rates([rate(arm) for arm in arms.values()])

    loss = dict(zip(arms, found, strict=True))[case["params"]["choose"]].expected_loss
    assert loss == pytest.approx(expected["expected_loss"], abs=0.0001)


@pytest.mark.parametrize("case", cases("ab_test", "test", "poisson_means_exact"))
def test_two_counts_over_equal_exposure(case: Case):
    params, expected = case["params"], case["expected"]

    found = metrics.compare_counts(params["a"], params["b"])

    assert found == pytest.approx(expected["p_value"], abs=expected["tolerance_abs"])


@pytest.mark.parametrize("case", cases("ab_test", "test", "bonferroni"))
def test_which_of_several_tests_are_significant_after_the_correction(case: Case):
    params, expected = case["params"], case["expected"]

    found = metrics.corrected(params["p_values"], method="bonferroni")

    assert [p < params["alpha"] for p in found] == expected["significant"]


@pytest.mark.parametrize("case", cases("ab_test", "test", "ci_difference"))
def test_the_unpooled_p_value_agrees_with_the_wald_interval_of_the_difference(case: Case):
    """The interval leaves out 0, so the test must reject; its centre and width give the z."""
    a, b = (
        (arm["conversions"], arm["users"]) for arm in (case["params"]["a"], case["params"]["b"])
    )
    low, high = case["expected"]["ci"]
    z = (low + high) / (high - low) * 1.959963984540054

    found = compare_rates(a, b, pooled=False)

    assert found.p_value == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), abs=1e-5)
    assert (found.p_value < case["params"]["alpha"]) == (low > 0 or high < 0)


@pytest.mark.parametrize("case", cases("ab_test", "test", "conversion_rates"))
def test_the_lift_follows_the_denominator(case: Case):
    control, variant = case["params"]["control"], case["params"]["variant"]
    expected = case["expected"]

    for denominator, change, rates in (
        ("entrants", "funnel_change", "funnel_conversion"),
        ("exposures", "per_exposure_change", "per_exposure_conversion"),
    ):
        a, b = ((arm["completers"], arm[denominator]) for arm in (control, variant))
        assert compare_rates(a, b).lift == pytest.approx(
            expected[change], abs=expected["tolerance_abs"]
        )
        for (hits, total), rate in zip((a, b), expected[rates], strict=True):
            assert hits / total == pytest.approx(rate, abs=expected["tolerance_abs"])
