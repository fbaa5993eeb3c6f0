"""Facts about tiers: the same numbers as kpis, moves between tiers, and whether rates differ."""

from __future__ import annotations

import math
import random
from datetime import timedelta

import polars as pl
import pytest
from frames import error, errors, event, events, instant, trace, traces, window
from hypothesis import given
from hypothesis import strategies as st

from data_access.metrics.common import MetricError
from data_access.metrics.kpis import kpis
from data_access.metrics.tiers import compare_rates, tier_moves, tiers
from ingest.vocabulary import CortexEventName

FEBRUARY = window("2026-02-01", "2026-03-01")


def random_events(seed: int, *, weights: tuple[float, ...] = (1.0,)) -> pl.LazyFrame:
    rng = random.Random(seed)
    names = [name.value for name in CortexEventName]
    rows = []
    for _ in range(600):
        tier = rng.choice(["free", "free", "trial", "paid", "enterprise", ""])
        rows.append(
            event(
                instant("2025-11-01") + timedelta(minutes=rng.randrange(125 * 1440)),
                f"u{rng.randrange(40)}",
                rng.choice(names),
                user_tier=tier,
                is_paid_user=tier in ("paid", "enterprise"),
                session_id=f"s{rng.randrange(60)}",
                result=rng.choice(["success", "success", "failure"]),
                weight=rng.choice(weights),
            )
        )
    return events(*rows)


@pytest.mark.parametrize("seed", range(3))
def test_a_row_is_what_kpis_says_with_the_tier_filter_set(seed: int):
    frame = random_events(seed, weights=(1.0, 2.0, 5.0))

    table = tiers(frame, errors(), traces(), FEBRUARY).collect()

    assert table["tier"].to_list() == ["", "enterprise", "free", "paid", "trial"]
    for row in table.rows(named=True):
        alone = frame.filter(pl.col("user_tier") == row["tier"])
        by_name = {kpi["kpi"]: kpi for kpi in kpis(alone, FEBRUARY).collect().rows(named=True)}
        for name in ("dau", "wau", "mau", "cdr", "cdr_users", "resurrection", "error_rate"):
            assert row[name] == pytest.approx(by_name[name]["value"])
        assert row["sessions"] == by_name["cdr"]["denominator"]
        assert row["failures"] == by_name["error_rate"]["numerator"]


@pytest.mark.parametrize("seed", range(3))
def test_conversions_by_entering_tier_add_up_to_the_whole(seed: int):
    frame = random_events(seed)

    table = tiers(frame, errors(), traces(), FEBRUARY).collect()
    whole = {row[0]: row for row in kpis(frame, FEBRUARY).collect().rows()}

    _, _, converted, convertible = whole["paid_conversion"]
    assert table["converted"].sum() == converted
    assert table["convertible"].sum() == convertible
    assert table["cancellations"].sum() == whole["cancellations"][1]


def test_the_four_tiers_are_there_with_nothing_in_them():
    table = tiers(events(), errors(), traces(), FEBRUARY).collect()

    assert table["tier"].to_list() == ["enterprise", "free", "paid", "trial"]
    assert table["users"].sum() == 0
    assert table["paid_conversion"].null_count() == 4


def test_errors_and_latency_count_under_their_own_tier():
    table = tiers(
        events(event("2026-02-02", user_tier="free"), event("2026-02-02", "bob", user_tier="free")),
        errors(
            error("2026-02-02", user_tier="free", occurrences=3),
            error("2026-01-31", user_tier="free"),
            error("2026-02-02", user_tier="beta"),
        ),
        traces(
            trace("2026-02-02", duration_ms=100.0, user_tier="free"),
            trace("2026-02-02", duration_ms=300.0, user_tier="free"),
            trace("2026-02-02", duration_ms=9.0, user_tier=None),
        ),
        FEBRUARY,
    ).collect()

    free = table.filter(pl.col("tier") == "free").row(0, named=True)
    assert (free["errors"], free["users_with_errors"], free["errors_per_user"]) == (3.0, 1.0, 1.5)
    assert (free["traces"], free["duration_ms_p50"], free["duration_ms_p95"]) == (2.0, 200.0, 290.0)
    assert table["tier"].to_list() == ["", "beta", "enterprise", "free", "paid", "trial"]
    assert table.row(0, named=True)["duration_ms_p50"] == 9.0


def test_a_move_is_a_tier_unlike_the_one_before_whenever_that_was():
    given = events(
        event("2025-06-01", "ada", user_tier="free"),
        event("2026-02-02", "ada", user_tier=""),
        event("2026-02-03", "ada", user_tier="paid", weight=3.0),
        event("2026-02-04", "ada", user_tier="free"),
        event("2026-02-05", "ada", user_tier="paid", weight=2.0),
        event("2026-01-02", "bob", user_tier="free"),
        event("2026-01-03", "bob", user_tier="paid"),
        event("2026-02-03", "bob", user_tier="paid"),
        event("2026-02-03", "cy", user_tier="trial"),
    )

    assert tier_moves(given, FEBRUARY).collect().rows() == [
        ("free", "paid", 2.0, 5.0),
        ("paid", "free", 1.0, 1.0),
    ]


# --- rates -----------------------------------------------------------------------------------


def test_the_lift_and_its_interval_by_the_delta_method():
    """10 % against 12 % of 1,000 each, worked by hand."""
    result = compare_rates((100, 1000), (120, 1000))

    spread = 1.2 * math.sqrt(0.9 / 100 + 0.88 / 120)
    assert result.lift == pytest.approx(0.2)
    assert result.ci_low == pytest.approx(0.2 - 1.959963984540054 * spread)
    assert result.ci_high == pytest.approx(0.2 + 1.959963984540054 * spread)
    assert result.p_value == pytest.approx(0.1529, abs=5e-5)


def test_the_p_value_pools_unless_told_not_to():
    pooled = compare_rates((73, 86), (90, 93)).p_value

    assert pooled == pytest.approx(0.00533824886503131, abs=1e-12)
    assert compare_rates((73, 86), (90, 93), pooled=False).p_value != pytest.approx(pooled)


@pytest.mark.parametrize(
    ("a", "b", "known"),
    [
        pytest.param((0, 0), (1, 2), (False, False, False), id="nobody in a"),
        pytest.param((1, 2), (0, 0), (False, False, False), id="nobody in b"),
        pytest.param((0, 10), (3, 10), (False, False, True), id="no hit in a"),
        pytest.param((3, 10), (0, 10), (True, False, True), id="no hit in b"),
        pytest.param((0, 10), (0, 10), (False, False, True), id="no hit at all"),
        pytest.param((5, 5), (5, 5), (True, True, True), id="all of both"),
        pytest.param((12.5, 10), (5, 10), (True, True, True), id="sampled hits outweigh"),
    ],
)
def test_what_the_numbers_cannot_say_is_nan(
    a: tuple[float, float], b: tuple[float, float], known: tuple[bool, bool, bool]
):
    for pooled in (True, False):
        lift, low, high, p_value = compare_rates(a, b, pooled=pooled)
        assert (not math.isnan(lift), not math.isnan(low), not math.isnan(p_value)) == known
        assert math.isnan(low) == math.isnan(high)


def test_counts_that_are_none_are_refused():
    for wrong in ((-1, 10), (1, math.inf), (math.nan, 3)):
        with pytest.raises(MetricError, match="must be counts"):
            compare_rates(wrong, (1, 10))


@given(
    a=st.tuples(st.integers(0, 50), st.integers(50, 90)),
    b=st.tuples(st.integers(0, 50), st.integers(50, 90)),
)
def test_swapping_the_sides_keeps_the_p_value_and_turns_the_lift(
    a: tuple[int, int], b: tuple[int, int]
):
    forth, back = compare_rates(a, b), compare_rates(b, a)

    assert forth.p_value == pytest.approx(back.p_value)
    assert 0 <= forth.p_value <= 1
    if a[0] and b[0]:
        assert (forth.lift + 1) * (back.lift + 1) == pytest.approx(1)
        assert forth.ci_low <= forth.lift <= forth.ci_high
