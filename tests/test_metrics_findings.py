"""Facts about findings: a real step is found on its day; noise and silence give nothing."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, cast

import polars as pl
import pytest
from frames import day, event, events, instant, trace, traces, window

from data_access.metrics.common import MetricError
from data_access.metrics.findings import MIN_DAYS, MIN_TRACES, error_shifts, shifts
from pages.components import sentences, text

if TYPE_CHECKING:
    from collections.abc import Callable

NOVEMBER = window("2025-11-01", "2025-12-01")
DAYS = [date(2025, 11, 1) + timedelta(days=number) for number in range(30)]


def timed(level: Callable[[date], float], *, per_day: int = 20, **columns: object) -> list[Any]:
    """Return traces of every day around a level, with a spread that repeats itself."""
    rng = random.Random(5)
    return [
        trace(
            instant(when.isoformat()) + timedelta(minutes=number),
            "rag_search",
            level(when) * rng.uniform(0.8, 1.2),
            **columns,
        )
        for when in DAYS
        for number in range(per_day)
    ]


def test_a_doubled_p95_is_found_on_its_day_with_the_release_of_that_day():
    step = day("2025-11-12")
    rows = timed(lambda when: 200.0 if when >= step else 100.0)
    for row in rows:
        row["release"] = "1.4.0" if row["timestamp"].date() >= step else "1.3.0"

    (found,) = shifts(traces(*rows), NOVEMBER).collect().rows(named=True)

    assert (found["operation_name"], found["day"]) == ("rag_search", step)
    assert found["ratio"] == pytest.approx(2, rel=0.05)
    assert found["duration_ms_p95_before"] == pytest.approx(118, rel=0.05)
    assert found["duration_ms_p95_after"] == pytest.approx(236, rel=0.05)
    assert found["release"] == "1.4.0"


def test_a_release_of_the_day_before_counts_and_an_older_one_does_not():
    step = day("2025-11-12")
    rows = timed(lambda when: 200.0 if when >= step else 100.0)

    def released(first: str) -> object:
        made = [
            row | {"release": "2.0" if str(row["timestamp"]) >= first else "1.9"} for row in rows
        ]
        return shifts(traces(*made), NOVEMBER).collect()["release"].item()

    assert released("2025-11-11") == "2.0"
    assert released("2025-11-10") is None


def test_a_release_seen_before_the_window_is_not_new_in_it():
    step = day("2025-11-02")
    rows = timed(lambda when: 200.0 if when >= step + timedelta(days=2) else 100.0)
    old = trace("2025-06-01", "rag_search", 100.0, release="1.0")
    new = [row | {"release": "1.0"} for row in rows if row["timestamp"].date() >= DAYS[3]]
    rest = [row for row in rows if row["timestamp"].date() < DAYS[3]]

    assert shifts(traces(*rest, *new), NOVEMBER).collect()["release"].item() == "1.0"
    assert shifts(traces(old, *rest, *new), NOVEMBER).collect()["release"].item() is None


def test_an_improvement_is_a_finding_too():
    rows = timed(lambda when: 100.0 if when >= day("2025-11-20") else 300.0)

    (found,) = shifts(traces(*rows), NOVEMBER).collect().rows(named=True)

    assert found["day"] == day("2025-11-20")
    assert found["ratio"] == pytest.approx(1 / 3, rel=0.05)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([], id="nothing"),
        pytest.param(timed(lambda _: 100.0), id="steady"),
        pytest.param(timed(lambda when: 500.0 if when == DAYS[9] else 100.0), id="one bad day"),
        pytest.param(timed(lambda when: 120.0 if when >= DAYS[9] else 100.0), id="small"),
        pytest.param(timed(lambda when: 2.0 if when >= DAYS[9] else 1.0), id="nobody feels it"),
        pytest.param(timed(lambda when: 9e2 if when >= DAYS[9] else 1e2, per_day=1), id="few"),
        pytest.param(timed(lambda when: 9e2 if when >= DAYS[-MIN_DAYS + 1] else 1e2), id="fresh"),
    ],
)
def test_no_step_gives_no_finding(rows: list[Any]):
    assert shifts(traces(*rows), NOVEMBER).collect().is_empty()


def test_one_outlier_does_not_hide_the_step_nor_move_it():
    step = day("2025-11-15")
    rows = timed(lambda when: 5000.0 if when == DAYS[3] else 300.0 if when >= step else 100.0)

    assert shifts(traces(*rows), NOVEMBER).collect()["day"].item() == step


def test_a_rise_and_the_fall_that_mends_it_a_row_each():
    rise, fall = day("2025-11-08"), day("2025-11-18")
    rows = timed(lambda when: 250.0 if rise <= when < fall else 100.0)

    found = shifts(traces(*rows), NOVEMBER).collect()

    assert found["day"].to_list() == [rise, fall]
    assert found["ratio"].to_list() == [pytest.approx(2.5, rel=0.1), pytest.approx(0.4, rel=0.1)]


def test_the_days_before_the_window_are_compared_with_and_never_named():
    rows = timed(lambda when: 250.0 if when >= DAYS[9] else 100.0)

    def found(start: date, end: date) -> list[date]:
        asked = window(start.isoformat(), end.isoformat())
        return shifts(traces(*rows), asked).collect()["day"].to_list()

    assert found(DAYS[9], DAYS[12]) == [DAYS[9]]
    assert found(DAYS[10], DAYS[20]) == []
    assert found(DAYS[0], DAYS[11]) == []  # two days are not enough after it


def test_a_step_next_to_the_windows_edge_needs_days_on_both_sides():
    last_chance = DAYS[-MIN_DAYS]
    rows = timed(lambda when: 300.0 if when >= last_chance else 100.0)

    assert shifts(traces(*rows), NOVEMBER).collect()["day"].item() == last_chance


def failing(rate: Callable[[date], float], *, per_day: int = 20) -> pl.LazyFrame:
    return events(
        *(
            event(
                instant(when.isoformat()) + timedelta(minutes=number),
                name="server_operation_called",
                result="failure" if number < rate(when) * per_day else "success",
                release="1.1" if when >= DAYS[10] else "1.0",
            )
            for when in DAYS
            for number in range(per_day)
        )
    )


# 14 days of 20 events, 30 % of them failures where 10 % used to be
EXCESS = pytest.approx(14 * 20 * 0.2)


def test_more_failures_from_a_day_on_are_found():
    frame = failing(lambda when: 0.3 if when >= DAYS[10] else 0.1)

    assert error_shifts(frame, NOVEMBER).collect().rows() == [
        ("server_operation_called", DAYS[10], pytest.approx(3), 0.1, 0.3, EXCESS, "1.1")
    ]
    assert error_shifts(frame, NOVEMBER, by=()).collect().rows() == [
        (DAYS[10], pytest.approx(3), 0.1, 0.3, EXCESS, "1.1")
    ]


def test_failures_out_of_nothing_have_no_ratio():
    frame = failing(lambda when: 0.3 if when >= DAYS[10] else 0.0)

    assert error_shifts(frame, NOVEMBER).collect()["ratio"].to_list() == [None]


def test_a_rise_and_the_fall_that_mends_it_are_both_found():
    frame = failing(lambda when: 0.4 if DAYS[8] <= when < DAYS[18] else 0.1)

    found = error_shifts(frame, NOVEMBER).collect()

    assert found["day"].to_list() == [DAYS[8], DAYS[18]]
    assert (found["excess"] > 0).to_list() == [True, False]


@pytest.mark.parametrize(("per_day", "number"), [(20, 0), (100, 1)])
def test_a_few_failures_more_are_chance_and_the_same_of_many_are_not(per_day: int, number: int):
    frame = failing(lambda when: 0.10 if when >= DAYS[10] else 0.05, per_day=per_day)

    assert error_shifts(frame, NOVEMBER).collect().height == number


def test_sampled_events_say_no_more_than_were_written():
    few = failing(lambda when: 0.10 if when >= DAYS[10] else 0.05)
    sampled = few.with_columns(pl.lit(5.0).alias("weight"))

    assert error_shifts(sampled, NOVEMBER).collect().is_empty()


def test_one_terrible_day_is_no_step():
    frame = failing(lambda when: 1.0 if when == DAYS[12] else 0.05)

    assert error_shifts(frame, NOVEMBER).collect().is_empty()


def test_failures_as_ever_give_nothing():
    assert error_shifts(failing(lambda _: 0.2), NOVEMBER).collect().is_empty()
    assert error_shifts(events(), NOVEMBER, by=()).collect().is_empty()
    few = failing(lambda when: float(when >= DAYS[10]), per_day=1)
    assert error_shifts(few, NOVEMBER).collect().is_empty()
    assert len(DAYS) < MIN_TRACES


def test_steps_are_not_grouped_by_release():
    with pytest.raises(MetricError, match="Filter by one instead"):
        error_shifts(events(), NOVEMBER, by=["release"])


def test_an_unknown_column_is_refused():
    with pytest.raises(MetricError, match="no column 'city'"):
        error_shifts(events(), NOVEMBER, by=["city"])


class Shown:
    """A view that has these findings."""

    today = DAYS[-1]

    def __init__(self, found: pl.DataFrame) -> None:
        self.found = found

    def load(self, _metric: str) -> pl.DataFrame:
        """Return what was found."""
        return self.found


def slow_or_fast(**ratios: float) -> Any:
    """Return steps of operations by ratio; one whose name ends in _released has a release."""
    return Shown(
        pl.DataFrame(
            {
                "operation_name": list(ratios),
                "day": DAYS[9],
                "ratio": list(ratios.values()),
                "duration_ms_p95_before": 100.0,
                "duration_ms_p95_after": [100.0 * ratio for ratio in ratios.values()],
                "release": ["2.0" if name.endswith("_released") else None for name in ratios],
            }
        )
    )


@pytest.mark.parametrize(
    ("ratios", "order"),
    [
        pytest.param({"fall": 0.1, "rise_released": 1.6}, [1, 0], id="a release that harmed"),
        pytest.param({"fall_released": 0.45, "rise": 2.0}, [1, 0], id="harm at similar size"),
        pytest.param({"rise": 1.6, "fall": 0.1}, [1, 0], id="much larger"),
        pytest.param({"less": 0.6, "more": 0.5}, [1, 0], id="size"),
    ],
)
def test_what_got_worse_is_said_first(ratios: dict[str, float], order: list[int]):
    said = sentences.slower(slow_or_fast(**ratios))

    names = list(ratios)
    expected = [text.escaped(names[at]) for at in order]
    assert [sentence.split("**")[1] for sentence in said] == expected


def test_the_error_rate_that_brought_most_failures_is_said_first():
    found = pl.DataFrame(
        {
            "event_name": ["rare", "often"],
            "day": DAYS[9],
            "error_rate_before": [0.0, 0.01],
            "error_rate_after": [0.5, 0.03],
            "excess": [20.0, 900.0],
            "release": pl.Series([None, None], dtype=pl.String),
        }
    )

    (said,) = sentences.failing(cast("Any", Shown(found)))
    assert said.startswith("The error rate of **often** rose from 1")
