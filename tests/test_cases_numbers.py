"""The worked cases about percentiles and about two rates, run through the public metrics.

A case that the public surface cannot ask is listed in NOT_ASKED with the reason.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from frames import trace, traces, window

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
    None: "asks for a sum, a mean, a minimum or a maximum of durations, which no page shows",
    "ci_one_proportion": "the interval of one rate; ours is that of a lift",
    "power_t_two_sample": "planning an experiment is not part of this surface",
    "t_two_sample": "compares means with a variance given; ours compares rates",
    "bayes_beta_best_arm": "a Bayesian answer; ours is the two-proportion z test",
    "bayes_beta_expected_loss": "a Bayesian answer; ours is the two-proportion z test",
    "poisson_means_exact": "compares counts without a denominator",
    "bonferroni": "a correction over several tests; one comparison is made at a time",
}
ANSWERED = {
    *("any", "linear", "lower", "higher"),
    *("chi2_pairwise", "ci_difference", "conversion_rates"),
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


@pytest.mark.parametrize("case", cases("ab_test", "test", "chi2_pairwise"))
def test_the_pooled_z_test_is_the_chi_square_test_of_each_pair(case: Case):
    arms = [(arm["conversions"], arm["users"]) for arm in case["params"]["arms"]]
    expected = case["expected"]

    for (a, b), p_value in zip(case["params"]["pair_order"], expected["p_raw"], strict=True):
        found = compare_rates(arms[a], arms[b]).p_value
        assert found == pytest.approx(p_value, abs=expected["tolerance_abs"])


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
