"""Facts about latency: percentiles with and without weights, buckets, Apdex, the slowest."""

from __future__ import annotations

import math
from itertools import pairwise

import polars as pl
import pytest
from frames import day, trace, traces, window
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data_access.metrics.common import MetricError
from data_access.metrics.latency import (
    apdex,
    latency,
    latency_distribution,
    latency_heatmap,
    quantile_column,
    slowest,
)
from data_access.window import WindowError
from tests.examples import examples

THREE_DAYS = window("2026-01-01", "2026-01-04")


def linear(values: list[float], quantile: float) -> float:
    """Return the linear quantile of plain values, written as naively as possible."""
    values = sorted(values)
    position = quantile * (len(values) - 1)
    low = math.floor(position)
    high = min(low + 1, len(values) - 1)
    return values[low] + (position - low) * (values[high] - values[low])


def test_failures_count_and_a_trace_without_a_duration_is_counted_but_not_timed():
    given = traces(
        trace("2026-01-01T09:00", "search", 100.0),
        trace("2026-01-01T10:00", "search", 300.0, success=False),
        trace("2026-01-02T10:00", "save", None),
    )

    result = latency(given, THREE_DAYS, quantiles=(0.5, 0.999)).collect()

    expected = pl.DataFrame(
        {
            "operation_name": ["save", "search"],
            "traces": [1.0, 2.0],
            "failures": [0.0, 1.0],
            "duration_ms_p50": [None, 200.0],
            "duration_ms_p99_9": [None, 299.8],
        }
    )
    assert_frame_equal(result, expected)


def test_quiet_periods_keep_a_row_for_every_operation_without_an_invented_latency():
    given = traces(
        trace("2026-01-01T09:00", "search", 100.0), trace("2026-01-03T09:00", "save", 20.0)
    )

    result = latency(given, THREE_DAYS, every="1d", quantiles=(0.5,)).collect()

    assert result.rows() == [
        (day("2026-01-01"), "save", 0.0, 0.0, None),
        (day("2026-01-01"), "search", 1.0, 0.0, 100.0),
        (day("2026-01-02"), "save", 0.0, 0.0, None),
        (day("2026-01-02"), "search", 0.0, 0.0, None),
        (day("2026-01-03"), "save", 1.0, 0.0, 20.0),
        (day("2026-01-03"), "search", 0.0, 0.0, None),
    ]


def test_by_period_the_window_grows_to_whole_weeks_and_otherwise_does_not():
    given = traces(trace("2025-12-30T09:00", "search", 100.0))

    assert latency(given, THREE_DAYS, every="1w", quantiles=()).collect()["traces"].sum() == 1
    assert latency(given, THREE_DAYS, quantiles=()).collect().is_empty()


def test_days_begin_at_midnight_in_the_windows_timezone():
    given = traces(trace("2026-01-01T05:00Z", "search", 100.0))
    over = window("2025-12-31", "2026-01-02", timezone="America/New_York")

    result = latency(given, over, every="1d", by=(), quantiles=()).collect()

    assert result.rows() == [(day("2025-12-31"), 0.0, 0.0), (day("2026-01-01"), 1.0, 0.0)]


def test_without_groups_there_is_one_row_even_for_nothing():
    given = traces(trace("2026-01-01", "a", 10.0), trace("2026-01-01", "b", 20.0))

    assert latency(given, THREE_DAYS, by=(), quantiles=(0.5,)).collect().rows() == [(2, 0, 15)]
    assert latency(traces(), THREE_DAYS, by=(), quantiles=(0.5,)).collect().rows() == [(0, 0, None)]
    assert latency(traces(), THREE_DAYS).collect().is_empty()


def test_groups_of_several_columns_keep_null_as_a_value_of_its_own():
    given = traces(
        trace("2026-01-01", "a", 10.0, user_tier=None, weight=2.0),
        trace("2026-01-01", "a", 30.0, user_tier="free"),
    )

    result = latency(
        given, THREE_DAYS, by=("operation_name", "user_tier"), every="1mo", quantiles=(0.5,)
    ).collect()

    assert result.rows() == [
        (day("2026-01-01"), "a", None, 2.0, 0.0, 10.0),
        (day("2026-01-01"), "a", "free", 1.0, 0.0, 30.0),
    ]


def test_a_weight_is_that_many_equal_rows_and_only_between_rows_is_interpolated():
    """S = 5, p50 is at 2: inside the row of weight 3; p75 at 3, its last position but none on."""
    given = traces(
        trace("2026-01-01", "a", 10.0),
        trace("2026-01-01", "a", 20.0, weight=3.0),
        trace("2026-01-01", "a", 40.0),
    )

    result = latency(given, THREE_DAYS, quantiles=(0.1, 0.5, 0.75, 0.9)).collect()

    assert result.row(0)[:3] == ("a", 5.0, 0.0)
    assert result.row(0)[3:] == pytest.approx((14.0, 20.0, 20.0, 32.0))


def test_one_sampled_operation_does_not_change_its_neighbour():
    plain = [trace("2026-01-01", "plain", float(ms)) for ms in (1, 2, 4)]
    sampled = [trace("2026-01-01", "sampled", float(ms), weight=7.0) for ms in (1, 2, 4)]

    alone = latency(traces(*plain), THREE_DAYS).collect()
    together = latency(traces(*plain, *sampled), THREE_DAYS).collect()

    assert_frame_equal(alone, together.filter(pl.col("operation_name") == "plain"))
    assert together.filter(pl.col("operation_name") == "sampled")["traces"].item() == 21


@settings(deadline=None, max_examples=examples(60))
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.floats(0, 1e6, allow_nan=False),
            st.integers(1, 6),
        ),
        min_size=1,
        max_size=25,
    ),
    quantile=st.floats(0, 1),
)
def test_whole_weights_give_the_quantile_of_the_repeated_rows(
    rows: list[tuple[str, float, int]], quantile: float
):
    frame = traces(
        *(trace("2026-01-01", name, ms, weight=float(weight)) for name, ms, weight in rows)
    )

    result = latency(frame, THREE_DAYS, quantiles=(quantile,)).collect()

    for name, value in result.select("operation_name", quantile_column(quantile)).rows():
        repeated = [ms for group, ms, weight in rows if group == name for _ in range(weight)]
        assert value == pytest.approx(linear(repeated, quantile), rel=1e-9, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(
        st.tuples(st.floats(0, 1e5, allow_nan=False), st.floats(0.01, 9)), min_size=1, max_size=20
    )
)
def test_any_weights_give_quantiles_that_rise_and_stay_among_the_values(
    rows: list[tuple[float, float]],
):
    frame = traces(*(trace("2026-01-01", "a", ms, weight=weight) for ms, weight in rows))

    found = latency(frame, THREE_DAYS).collect().row(0)[3:]

    assert min(ms for ms, _ in rows) <= found[0]
    assert found[-1] <= max(ms for ms, _ in rows) + 1e-6
    assert all(low <= high + 1e-6 for low, high in pairwise(found))


@pytest.mark.parametrize(
    ("quantile", "column"),
    [(0.5, "p50"), (0.999, "p99_9"), (0.07, "p7"), (1, "p100"), (0, "p0"), (0.9999, "p99_99")],
)
def test_a_quantile_names_its_column(quantile: float, column: str):
    assert quantile_column(quantile) == f"duration_ms_{column}"


def test_options_that_make_no_sense_are_refused_with_what_to_do():
    with pytest.raises(MetricError, match=r"p95 is 0\.95"):
        latency(traces(), THREE_DAYS, quantiles=(95,))
    with pytest.raises(MetricError, match="no column 'city'"):
        latency(traces(), THREE_DAYS, by=("city",))
    with pytest.raises(MetricError, match="above 0"):
        apdex(traces(), THREE_DAYS, threshold_ms=0)
    with pytest.raises(MetricError, match="between 1 and 50"):
        latency_distribution(traces(), THREE_DAYS, bins=0)
    with pytest.raises(MetricError, match="between 1 and 10,000"):
        slowest(traces(), THREE_DAYS, 0)
    with pytest.raises(WindowError):
        latency_heatmap(traces(), THREE_DAYS, every="1h")


# --- buckets ---------------------------------------------------------------------------------


def test_a_bucket_includes_its_start_and_not_its_end_and_empty_ones_between_are_kept():
    given = traces(
        trace("2026-01-01", "a", 10.0),
        trace("2026-01-01", "a", 99.0, success=False, weight=2.0),
        trace("2026-01-01", "a", 1000.0),
        trace("2026-01-01", "a", None),
    )

    result = latency_distribution(given, THREE_DAYS, bins=1).collect()

    assert result.rows() == [
        ("a", 10.0, 100.0, 3.0, 1.0, 2.0),
        ("a", 100.0, 1000.0, 0.0, 0.0, 0.0),
        ("a", 1000.0, 10_000.0, 1.0, 1.0, 0.0),
    ]


def test_the_first_bucket_starts_at_nothing_and_the_last_never_ends():
    given = traces(trace("2026-01-01", "a", 0.0), trace("2026-01-01", "a", 1e12))

    result = latency_distribution(given, THREE_DAYS, by=(), bins=1).collect()

    assert result.row(0)[:3] == (0.0, 0.1, 1.0)
    assert result.row(-1)[:3] == (1e8, None, 1.0)
    assert result["traces"].sum() == 2


@settings(deadline=None, max_examples=40)
@given(
    values=st.lists(st.floats(0, 1e9, allow_nan=False), min_size=1, max_size=20),
    bins=st.integers(1, 12),
)
def test_every_duration_lies_in_exactly_one_bucket(values: list[float], bins: int):
    frame = traces(*(trace("2026-01-01", "a", ms) for ms in values))

    result = latency_distribution(frame, THREE_DAYS, bins=bins).collect()

    assert result["traces"].sum() == len(values)
    for start, end in pairwise(result["bucket_from_ms"]):
        assert start < end
    assert result["bucket_from_ms"][0] <= min(values) * (1 + 1e-9)


def test_the_heatmap_has_every_bucket_on_every_day():
    given = traces(
        trace("2026-01-01", "a", 10.0),
        trace("2026-01-01", "b", 20.0),
        trace("2026-01-03", "a", 100.0, weight=3.0),
    )

    result = latency_heatmap(given, THREE_DAYS, bins=1).collect()

    assert result.rows() == [
        (day("2026-01-01"), 10.0, 100.0, 2.0),
        (day("2026-01-01"), 100.0, 1000.0, 0.0),
        (day("2026-01-02"), 10.0, 100.0, 0.0),
        (day("2026-01-02"), 100.0, 1000.0, 0.0),
        (day("2026-01-03"), 10.0, 100.0, 0.0),
        (day("2026-01-03"), 100.0, 1000.0, 3.0),
    ]


def test_a_heatmap_of_nothing_still_shows_the_days():
    assert latency_heatmap(traces(), THREE_DAYS).collect().rows() == [
        (day(f"2026-01-0{number}"), None, None, 0.0) for number in (1, 2, 3)
    ]


# --- Apdex and the slowest -------------------------------------------------------------------


def test_apdex_takes_the_bounds_in_and_lets_every_failure_frustrate():
    given = traces(
        trace("2026-01-01", "a", 500.0),
        trace("2026-01-01", "a", 500.1),
        trace("2026-01-01", "a", 2000.0),
        trace("2026-01-01", "a", 2000.1),
        trace("2026-01-01", "a", 1.0, success=False),
        trace("2026-01-01", "a", None, success=False),
        trace("2026-01-01", "a", None),
    )

    result = apdex(given, THREE_DAYS).collect()

    assert result.rows() == [("a", 1.0, 2.0, 3.0, 6.0, pytest.approx(2 / 6))]


def test_apdex_of_nothing_is_unknown():
    assert apdex(traces(), THREE_DAYS, by=()).collect().rows() == [(0.0, 0.0, 0.0, 0.0, None)]


def test_the_slowest_come_first_and_equal_ones_newest_first():
    given = traces(
        trace("2026-01-01", "a", 5.0),
        trace("2026-01-01", "b", 9.0),
        trace("2026-01-02", "c", 9.0),
        trace("2026-01-04", "outside", 99.0),
    )

    assert slowest(given, THREE_DAYS, 2).collect()["operation_name"].to_list() == ["c", "b"]
