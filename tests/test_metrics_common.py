"""Facts about durations, event predicates and weighted quantiles."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import polars as pl
import pytest
from frames import event, events
from hypothesis import given, settings
from hypothesis import strategies as st

from data_access.metrics.common import (
    KEY,
    MetricError,
    distinct_of,
    duration,
    event_label,
    event_predicate,
    in_memory,
    in_time_order,
    packed,
    quantile_of,
    unpacked,
    user_key,
    users_of,
    weighted,
    weighted_quantile,
)
from tests.examples import examples


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


@settings(max_examples=examples(60), deadline=None)
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

    in_memory_too = frame.select(quantile_of(pl.col("value"), pl.col("weight"), q)).collect(
        engine="in-memory"
    )

    assert found.item() == pytest.approx(written_out.quantile(q, "linear"))
    assert in_memory_too.item() == pytest.approx(found.item())
    assert grouped.rows() == [("x", found.item())]


def test_nothing_is_pushed_below_a_step_in_memory():
    frame = pl.LazyFrame({"a": [1, 2, 3], "b": [1.0, 2.0, 3.0]})
    plan = in_memory(frame, lambda rows: rows.lazy().select("a", pl.col("b").sum().alias("total")))

    assert plan.collect_schema() == {"a": pl.Int64, "total": pl.Float64}
    assert plan.filter(pl.col("a") == 3).collect().rows() == [(3, 6.0)]
    assert plan.tail(1).collect().rows() == [(3, 6.0)]
    assert plan.select("total").unique().collect().rows() == [(6.0,)]


def test_a_step_in_memory_has_the_rows_of_all_its_frames():
    left, right = pl.LazyFrame({"a": [1, 2]}), pl.LazyFrame({"a": [2, 3]})
    plan = in_memory(left, lambda one, two: one.lazy().join(two.lazy(), on="a"), right)

    assert plan.collect().rows() == [(2,)]
    assert plan.collect(engine="in-memory").rows() == [(2,)]


def test_steps_in_memory_inside_each_other_run_on_many_threads():
    frame = pl.LazyFrame({"a": range(1_000)})
    inner = in_memory(frame, lambda rows: rows.lazy().select(pl.col("a").sum()))
    outer = in_memory(frame, lambda rows, sums: pl.concat([rows, sums]).lazy(), inner)
    nested = in_memory(frame, lambda rows: pl.concat([rows.lazy(), inner]))

    with ThreadPoolExecutor(8) as pool:
        plans = [pl.concat([outer, nested]) for _ in range(24)]
        heights = list(pool.map(lambda plan: plan.collect().height, plans))

    assert heights == [2_002] * 24


def test_events_of_the_same_time_are_ordered_by_event_id():
    frame = events(
        event("2026-01-02", name="second", event_id="b"),
        event("2026-01-02", name="first", event_id="a"),
        event("2026-01-01", name="earliest", event_id="z"),
    ).select(user_key(), "timestamp", "event_name", "event_id")

    found = in_time_order(frame.drop("event_id").collect(), frame).collect()

    assert found["event_name"].to_list() == ["earliest", "first", "second"]
    assert found.columns == [KEY, "timestamp", "event_name"]


@pytest.mark.parametrize(("last", "expected"), [(True, {0: 2}), (False, {0: 1})])
def test_of_states_at_the_same_time_the_event_id_decides(last: bool, expected: dict[int, int]):  # noqa: FBT001
    rows = pl.LazyFrame(
        {
            KEY: [0, 0, 0, 0],
            "event_id": ["c", "b", "a", "d"],
            "state": [2, 0, 1, None],
        }
    ).with_columns(pl.lit(0).cast(pl.Datetime("ms", "UTC")).alias("timestamp"))
    codes = rows.select(KEY, *packed(pl.col("state"), 3)).group_by(KEY)
    people = codes.agg(pl.all().max() if last else pl.all().min())

    found = unpacked(people, pl.col("state"), 3, rows, last=last).collect()

    assert dict(found.select(KEY, "state").rows()) == expected


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y", None])), min_size=1, max_size=12
    )
)
def test_counting_says_the_same_as_adding_weights_of_one(rows):
    frame = pl.DataFrame(rows, schema={"by": pl.String, "of": pl.String}, orient="row")
    ones = frame.with_columns(weight=pl.lit(1.0))
    halves = frame.with_columns(weight=pl.lit(0.5))

    counted = distinct_of(ones, ["by"], "of").sort("by").collect()
    added = distinct_of(halves, ["by"], "of").sort("by").collect()

    assert counted.rows() == [(by, 2 * users) for by, users in added.rows()]
