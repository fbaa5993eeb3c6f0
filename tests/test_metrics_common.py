"""Facts about durations, event predicates and weighted quantiles."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from frames import event, events
from hypothesis import given, settings
from hypothesis import strategies as st

from data_access.metrics.common import (
    MetricError,
    duration,
    event_label,
    event_predicate,
    quantile_of,
    users_of,
    weighted,
    weighted_quantile,
)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("30m", timedelta(minutes=30)),
        ("14d", timedelta(days=14)),
        ("2w", timedelta(weeks=2)),
        ("1h30m", timedelta(minutes=90)),
        ("250ms", timedelta(milliseconds=250)),
        ("0s", timedelta()),
        (None, None),
    ],
)
def test_a_duration_is_read(text: str | None, length: timedelta | None):
    assert duration(text) == length


@pytest.mark.parametrize(
    "text", ["", "14", "d", "14 d", "-1d", "1.5h", "1mo", "1y", 14, "9" * 12 + "d"]
)
def test_what_is_no_duration_is_refused(text: str):
    with pytest.raises(MetricError, match="Write a whole number and a unit"):
        duration(text)


@pytest.mark.parametrize("text", ["999999999w", "60000d"])
def test_an_endless_duration_is_refused(text: str):
    with pytest.raises(MetricError, match="Use None instead"):
        duration(text)


def test_an_event_is_a_name_a_predicate_or_several_of_them():
    frame = events(event("2026-01-01", name="a"), event("2026-01-01", name="b", result=None))

    def matches(one: object) -> list[bool]:
        return frame.select(event_predicate(one).alias("is")).collect()["is"].to_list()

    assert matches("a") == [True, False]
    assert matches(pl.col("result") == "success") == [True, False]
    assert matches(["a", pl.col("event_name") == "b"]) == [True, True]
    assert matches(("a", "b")) == [True, True]
    assert matches([pl.col("result") == "success"]) == [True, False]
    assert event_predicate(None).meta.eq(pl.lit(value=True))


@pytest.mark.parametrize("wrong", [[], (), [3], ["a", None]])
def test_what_is_no_event_is_refused(wrong: object):
    with pytest.raises(MetricError):
        event_predicate(wrong)


def test_an_event_is_called_by_its_name_or_alias():
    assert event_label("a") == "a"
    assert event_label(["a", "b"]) == "a or b"
    assert event_label((pl.col("tier") == "paid").alias("paying")) == "paying"
    assert "tier" in event_label(pl.col("tier") == "paid")
    assert event_label(None) == "any event"


def test_users_are_sums_of_their_smallest_weights():
    frame = events(
        event("2026-01-01", "ada", weight=3.0),
        event("2026-01-01", "ada", weight=2.0, channel="web"),
        event("2026-01-01", "bob", weight=None),
    )

    assert users_of(weighted(frame)).collect().rows() == [(3.0,)]
    by_channel = users_of(weighted(frame), ["channel"]).sort("channel").collect()
    assert by_channel.rows() == [("server", 4.0), ("web", 2.0)]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), min_size=1, max_size=12),
    q=st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]),
)
def test_a_weighted_quantile_is_that_of_the_rows_written_out(rows, q: float):
    frame = pl.LazyFrame(rows, schema={"value": pl.Float64, "weight": pl.Float64}, orient="row")
    written_out = pl.Series([float(v) for v, w in rows for _ in range(w)])

    found = frame.select(quantile_of(pl.col("value"), pl.col("weight"), q)).collect()
    grouped = weighted_quantile(
        frame.with_columns(by=pl.lit("x")), "value", q, by=["by"], name="q"
    ).collect()

    assert found.item() == pytest.approx(written_out.quantile(q, "linear"))
    assert grouped.rows() == [("x", found.item())]
