"""Facts about stickiness: how many users came in how many periods."""

from __future__ import annotations

import polars as pl
import pytest
from frames import event, events, window
from polars.testing import assert_frame_equal

from data_access.metrics.common import MetricError
from data_access.metrics.stickiness import stickiness, stickiness_users

THREE_DAYS = window("2026-01-01", "2026-01-04")
FREQUENT = events(
    event("2026-01-01T08:00", "ada"),
    event("2026-01-01T09:00", "ada"),
    event("2026-01-02", "ada"),
    event("2026-01-03", "ada"),
    event("2026-01-02", "bob"),
    event("2025-12-31", "bob"),
    event("2026-01-04", "bob"),
)


def users(frame: pl.LazyFrame, **options: object) -> list[float]:
    return stickiness(frame, THREE_DAYS, **options).collect()["users"].to_list()


def test_users_stand_at_the_exact_number_of_their_days():
    expected = pl.DataFrame({"periods_active": [1, 2, 3], "users": [1.0, 0.0, 1.0]})

    assert_frame_equal(stickiness(FREQUENT, THREE_DAYS).collect(), expected)


def test_at_least_adds_up_from_the_end():
    assert users(FREQUENT, at_least=True) == [2.0, 1.0, 1.0]


def test_a_day_with_too_few_events_does_not_count():
    assert users(FREQUENT, min_events=2) == [1.0, 0.0, 0.0]


def test_an_event_of_weight_two_is_two_events_and_a_user_weighs_least():
    given = events(event("2026-01-01", weight=2.0), event("2026-01-02", weight=3.0))

    assert users(given) == [0.0, 2.0, 0.0]
    assert users(given, min_events=2) == [0.0, 2.0, 0.0]
    assert users(given, min_events=3) == [3.0, 0.0, 0.0]


def test_an_empty_table_has_all_its_rows():
    assert users(events()) == [0.0, 0.0, 0.0]


def test_weeks_are_whole_ones_in_the_windows_timezone():
    given = events(event("2026-01-04T23:30:00Z"), event("2026-01-05T10:00:00Z"))
    utc = window("2026-01-01", "2026-01-08")
    berlin = window("2026-01-01", "2026-01-08", timezone="Europe/Berlin")

    assert stickiness(given, utc, every="1w").collect()["users"].to_list() == [0.0, 1.0]
    assert stickiness(given, berlin, every="1w").collect()["users"].to_list() == [1.0, 0.0]


def test_three_columns_are_enough():
    assert users(FREQUENT.select("user_id_hash", "event_name", "timestamp")) == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("least", [0, -1])
def test_a_minimum_everybody_meets_is_refused(least: int):
    with pytest.raises(MetricError, match="Use 1 or more"):
        stickiness(FREQUENT, THREE_DAYS, min_events=least)


def test_a_day_counts_by_at_most_or_exactly_so_many_events():
    assert users(FREQUENT, min_events=1, min_events_op="lte") == [1.0, 1.0, 0.0]
    assert users(FREQUENT, min_events=2, min_events_op="eq") == [1.0, 0.0, 0.0]
    assert users(FREQUENT, min_events=2, min_events_op="lte") == [1.0, 0.0, 1.0]
    with pytest.raises(MetricError, match="Use one of 'gte', 'lte', 'eq'"):
        stickiness(FREQUENT, THREE_DAYS, min_events_op="gt")


def test_periods_in_a_row_are_merged_from_the_windows_first_one_on():
    """Three days in twos: the 1st and 2nd are one, the 3rd stands alone."""
    assert users(FREQUENT, periods_per_bucket=2) == [1.0, 1.0]
    assert users(FREQUENT, periods_per_bucket=3) == [2.0]
    assert users(FREQUENT, periods_per_bucket=2, min_events=3) == [1.0, 0.0]
    with pytest.raises(MetricError, match="whole number of periods"):
        stickiness(FREQUENT, THREE_DAYS, periods_per_bucket=0)


def test_months_are_merged_across_the_new_year():
    given = events(event("2025-11-30"), event("2025-12-01"), event("2026-01-31"))
    over = window("2025-11-01", "2026-02-01")

    found = stickiness(given, over, every="1mo", periods_per_bucket=2).collect()

    assert found["users"].to_list() == [0.0, 1.0]


def test_the_people_of_a_bar_are_listed():
    assert stickiness_users(FREQUENT, THREE_DAYS).collect().rows() == [
        (1, "bob", 1.0),
        (3, "ada", 1.0),
    ]
    assert stickiness_users(FREQUENT, THREE_DAYS, bar=3).collect().rows() == [(3, "ada", 1.0)]
