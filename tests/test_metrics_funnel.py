"""Facts about funnels: steps, limits, orders, exclusions, and a brute-force reference."""

from __future__ import annotations

import statistics
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from frames import day, event, events, instant, window
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data_access.metrics.common import MetricError
from data_access.metrics.funnel import (
    funnel,
    funnel_by,
    funnel_histogram,
    funnel_trend,
    funnel_users,
)
from tests.examples import examples

MONTH = window("2026-01-01", "2026-02-01")
START = instant("2026-01-01")


def at(hours: float, name: str, user: str = "ada", **columns: object) -> dict[str, Any]:
    """Return an event so many hours into the month."""
    return event(START + timedelta(hours=hours), user, name, **columns)


def counts(frame: pl.LazyFrame, steps: str = "ABC", **options: object) -> list[float]:
    return funnel(frame, MONTH, steps=list(steps), **options).collect()["users"].to_list()


def seconds(frame: pl.LazyFrame, steps: str = "AB", **options: object) -> list[list[float]]:
    return funnel_users(frame, MONTH, steps=list(steps), **options).collect()["seconds"].to_list()


def test_a_funnel_narrows_and_says_how_long_it_took():
    given = events(
        at(0, "A"),
        at(1, "B"),
        at(2, "C"),
        at(0, "A", "bob"),
        at(3, "B", "bob"),
        at(0, "A", "cyd"),
        at(0, "B", "dan"),
    )

    result = funnel(given, MONTH, steps=["A", "B", "C"]).collect()

    expected = pl.DataFrame(
        {
            "step": [0, 1, 2],
            "event_name": ["A", "B", "C"],
            "users": [3.0, 2.0, 1.0],
            "rate_from_first": [1.0, 2 / 3, 1 / 3],
            "rate_from_previous": [1.0, 2 / 3, 0.5],
            "seconds_p50": [0.0, 7200.0, 7200.0],
        }
    )
    assert_frame_equal(result, expected)


def test_nobody_gives_zeros_and_no_rates():
    for order in ("ordered", "strict", "unordered"):
        found = funnel(events(), MONTH, steps=["A", "B"], order=order).collect()

        assert found["users"].to_list() == [0.0, 0.0]
        columns = ("rate_from_first", "rate_from_previous", "seconds_p50")
        assert [found[name].to_list() for name in columns] == [[None, None]] * 3


def test_other_events_in_between_are_ignored_unless_strict():
    given = events(at(0, "A"), at(1, "x"), at(2, "B"))

    assert counts(given, "AB") == [1, 1]
    assert counts(given, "AB", order="strict") == [1, 0]


def test_strict_takes_the_entry_that_is_followed_directly():
    given = events(at(0, "A"), at(1, "A"), at(2, "B"))

    assert counts(given, "AB", order="strict") == [1, 1]
    assert seconds(given, order="strict") == [[0.0, 3600.0]]
    assert counts(given, "AB", order="strict", entry="first") == [1, 0]


def test_the_limit_is_inclusive_and_counts_from_the_first_step():
    given = events(at(0, "A"), at(1, "B"), at(2, "C"))

    assert counts(given, within="2h") == [1, 1, 1]
    assert counts(given, within="119m") == [1, 1, 0]
    assert counts(given, within="59m") == [1, 0, 0]
    assert counts(given, within=None) == [1, 1, 1]


def test_the_best_entry_wins_unless_only_the_first_counts():
    given = events(at(0, "A"), at(100, "A"), at(101, "B"))

    assert counts(given, "AB", within="2h") == [1, 1]
    assert seconds(given, within="2h") == [[0.0, 3600.0]]
    assert counts(given, "AB", within="2h", entry="first") == [1, 0]


def test_a_repeated_first_step_never_restarts():
    given = events(at(0, "A"), at(5, "A"), at(6, "B"))

    assert seconds(given) == [[0.0, 6 * 3600.0]]


def test_equal_times_convert_in_row_order():
    assert counts(events(at(0, "A"), at(0, "B")), "AB") == [1, 1]
    assert counts(events(at(0, "B"), at(0, "A")), "AB") == [1, 0]


def test_equal_times_are_ordered_by_event_id_where_there_is_one():
    given = events(at(0, "B", event_id="2"), at(0, "A", event_id="1"))

    assert counts(given, "AB") == [1, 1]
    assert counts(given.drop("event_id"), "AB") == [1, 0]


def test_each_step_needs_its_own_event():
    assert counts(events(at(0, "A")), "AA") == [1, 0]
    assert counts(events(at(0, "A"), at(1, "A")), "AA") == [1, 1]


def test_steps_may_be_predicates_and_lists():
    given = events(at(0, "A", channel="web"), at(1, "B"), at(2, "C"))
    steps = [(pl.col("channel") == "web").alias("on the web"), ("X", "B")]

    found = funnel(given, MONTH, steps=steps).collect()

    assert found.select("event_name", "users").rows() == [("on the web", 1.0), ("X or B", 1.0)]


def test_only_events_inside_the_window_count():
    given = events(
        at(-0.001, "A"),
        event("2026-01-31T23:59:59.999Z", name="A"),
        event("2026-02-01T00:00:00Z", name="B"),
    )

    assert counts(given, "AB") == [1, 0]
    assert counts(
        events(at(0, "A"), event("2026-01-31T23:59:59.999Z", name="B")), "AB", within=None
    ) == [1, 1]


def test_an_exclusion_removes_the_user_from_the_whole_funnel():
    given = events(at(0, "A"), at(1, "x"), at(2, "B"), at(0, "A", "bob"), at(2, "B", "bob"))

    assert counts(given, "AB", exclude=[("x", 0, 1)]) == [1, 1]


def test_an_exclusion_outside_its_steps_removes_nobody():
    given = events(at(0, "x"), at(1, "A"), at(2, "B"), at(3, "x"), at(4, "C"))

    assert counts(given, exclude=[("x", 0, 1)]) == [1, 1, 1]
    assert counts(given, exclude=[("x", 1, 2)]) == [0, 0, 0]
    assert counts(given, exclude=[("x", 0, 2)]) == [0, 0, 0]


def test_an_exclusion_strikes_within_the_limit_when_the_next_step_never_comes():
    given = events(at(0, "A"), at(3, "x"))

    assert counts(given, "AB", within="3h", exclude=[("x", 0, 1)]) == [0, 0]
    assert counts(given, "AB", within="2h", exclude=[("x", 0, 1)]) == [1, 0]
    assert counts(given, "AB", within=None, exclude=[("x", 0, 1)]) == [0, 0]


def test_a_later_first_step_does_not_wash_an_exclusion_away():
    given = events(at(0, "A"), at(1, "x"), at(2, "A"), at(3, "B"))

    assert counts(given, "AB", exclude=[("x", 0, 1)]) == [0, 0]


def test_any_order_counts_how_many_different_steps():
    given = events(at(0, "C"), at(1, "A"), at(0, "B", "bob"), at(1, "B", "bob"))

    found = funnel(given, MONTH, steps=["A", "B", "C"], order="unordered").collect()

    assert found["users"].to_list() == [2, 1, 0]
    assert found["event_name"].to_list() == ["1 of 3 steps", "2 of 3 steps", "3 of 3 steps"]
    assert found["seconds_p50"].to_list() == [0.0, 3600.0, None]


def test_an_exclusion_takes_out_an_unordered_run_and_leaves_the_others():
    given = events(at(0, "B"), at(1, "x"), at(2, "A"), at(3, "B"))

    options: dict[str, Any] = {"order": "unordered", "exclude": [("x", 0, 1)]}
    assert seconds(given, **options) == [[0.0, 3600.0]]
    assert counts(given, "AB", entry="first", **options) == [0, 0]


def test_who_meets_what_excludes_on_every_unordered_run_is_out():
    given = events(at(0, "A"), at(1, "x"), at(0, "A", "bob"), at(1, "B", "bob"))

    options: dict[str, Any] = {"order": "unordered", "exclude": [("x", 0, 1)]}
    assert counts(given, "AB", **options) == [1, 1]
    assert counts(given, "AB", within="30m", **options) == [2, 0]


def test_an_unordered_run_with_an_exclusion_late_in_it_counts_for_no_step():
    """The run from B meets x too, so only C alone is left: one step, not the two before x."""
    given = events(at(10, "A"), at(11, "B"), at(12, "x"), at(13, "C"))

    assert counts(given, order="unordered", within="6h", exclude=[("x", 0, 2)]) == [1, 0, 0]


def test_two_exclusions_leave_the_unordered_runs_between_them():
    given = events(
        *(at(h, name) for h, name in enumerate("AxBCyDE")),
        *(at(h, name, "bob") for h, name in enumerate("AyBCyDxE")),
        *(at(h, name, "cyd") for h, name in enumerate("AxBCDxE")),
        *(at(h, name, "dan") for h, name in enumerate("ABCDE")),
        *(at(h, name, "eve") for h, name in enumerate("AxBxCyDxE")),
    )

    out = [("x", 0, 4), ("y", 0, 4)]
    assert counts(given, "ABCDE", order="unordered", exclude=out) == [5, 2, 1, 1, 1]


def test_a_user_weighs_what_the_lightest_event_of_the_run_weighs():
    given = events(
        at(0, "A", weight=4.0),
        at(1, "B", weight=2.0),
        at(2, "C", weight=8.0),
        at(3, "B", weight=1.0),
    )

    assert counts(given) == [4, 2, 2]
    assert funnel_users(given, MONTH, steps=["A", "B"]).collect()["weight"].to_list() == [2.0]


def test_weights_move_the_median():
    given = events(
        *(at(0, "A", user, weight=weight) for user, weight in (("u", 1.0), ("v", 3.0))),
        at(1, "B", "u", weight=1.0),
        at(5, "B", "v", weight=3.0),
    )

    found = funnel(given, MONTH, steps=["A", "B"]).collect()

    assert found["seconds_p50"].to_list() == [0.0, 5 * 3600.0]


def test_drop_offs_can_be_listed():
    given = events(at(0, "A", "ada"), at(1, "B", "ada"), at(2, "A", "bob"), at(2, "x", "cyd"))

    found = funnel_users(given, MONTH, steps=["A", "B"]).collect()

    expected = pl.DataFrame(
        {
            "user_id_hash": ["ada", "bob"],
            "steps_reached": [2, 1],
            "entered_at": [START, START + timedelta(hours=2)],
            "seconds": [[0.0, 3600.0], [0.0]],
            "weight": [1.0, 1.0],
        },
        schema_overrides={"entered_at": pl.Datetime("ms", "UTC")},
    )
    assert_frame_equal(found, expected)


def test_a_trend_counts_a_user_once_in_each_period_of_entry():
    given = events(
        at(0, "A"), at(1, "A"), at(23, "B"), at(24, "A"), at(30, "A", "bob"), at(50, "B", "bob")
    )
    over = window("2026-01-01", "2026-01-04")

    found = funnel_trend(given, over, steps=["A", "B"]).collect()

    assert found.rows() == [
        (day("2026-01-01"), 1.0, 1.0, 1.0, True, False, 23 * 3600.0),
        (day("2026-01-02"), 2.0, 1.0, 0.5, True, False, 20 * 3600.0),
        (day("2026-01-03"), 0.0, 0.0, None, True, False, None),
    ]


def test_a_period_is_settled_once_the_limit_of_its_last_entry_is_over():
    over = window("2026-01-01", "2026-01-05")

    def settled(within: str | None, **options: Any) -> list[bool]:
        found = funnel_trend(events(), over, steps=["A", "B"], within=within, **options).collect()
        return found["settled"].to_list()

    assert settled("2d") == [True, True, False, False]
    assert settled("0s") == [True] * 4
    assert settled(None) == [False] * 4
    assert settled("1s", every="1w") == [False]


def test_a_trend_may_start_at_a_later_step():
    given = events(
        at(0, "A"), at(1, "B"), at(2, "C"), at(3, "A", "bob"), at(30, "B", "bob"), at(4, "A", "cyd")
    )
    over = window("2026-01-01", "2026-01-03")

    found = funnel_trend(given, over, steps=["A", "B", "C"], from_step=1).collect()

    # bob's B is a day later, but the period is that of his entry
    assert found.select("users", "converted", "rate", "seconds_p50").rows() == [
        (2.0, 1.0, 0.5, 3600.0),
        (0.0, 0.0, None, None),
    ]


def test_a_trend_goes_by_the_windows_days():
    berlin = window("2026-01-01", "2026-01-04", timezone="Europe/Berlin")

    found = funnel_trend(events(at(23.5, "A")), berlin, steps=["A"]).collect()

    assert found["users"].to_list() == [0.0, 1.0, 0.0]


def test_times_fall_into_equal_bins():
    given = events(
        *(at(0, "A", user) for user in "abc"),
        *(at(hours, "B", user) for hours, user in ((1, "a"), (2, "b"), (5, "c"))),
    )

    found = funnel_histogram(given, MONTH, steps=["A", "B"], bins=2).collect()

    assert found.rows() == [
        (3600.0, 10800.0, 2.0),
        (10800.0, 18000.0, 0.0),
        (18000.0, 25200.0, 1.0),
    ]
    assert funnel_histogram(events(), MONTH, steps=["A", "B"]).collect().height == 0


# --- by group ---------------------------------------------------------------------------------


def by_group(frame: pl.LazyFrame, by: str, **options: Any) -> list[tuple[str, int, float]]:
    found = funnel_by(frame, MONTH, by=by, steps=["A", "B"], **({"users_min": 0} | options))
    return found.collect().select("group", "step", "users").rows()


def test_a_user_is_in_the_group_said_on_entering():
    given = events(
        *(at(0, "A", user_tier="free"), at(1, "B", user_tier="paid")),
        *(at(0, "A", "bob", user_tier="paid"), at(1, "A", "bob", user_tier="free")),
        at(0, "A", "cyd", user_tier=""),
    )

    assert by_group(given, "tier") == [
        *(("free", 0, 1.0), ("free", 1, 1.0)),
        *(("none named", 0, 1.0), ("none named", 1, 0.0)),
        *(("paid", 0, 1.0), ("paid", 1, 0.0)),
    ]


def test_a_group_may_be_what_the_metadata_says():
    given = events(
        at(0, "A", metadata='{"ide": "vscode"}'), at(1, "B"), at(0, "A", "bob", metadata="{}")
    )

    assert by_group(given, "ide") == [
        *(("none named", 0, 1.0), ("none named", 1, 0.0)),
        *(("vscode", 0, 1.0), ("vscode", 1, 1.0)),
    ]


def test_small_groups_are_one_that_is_shown_when_it_is_large_enough():
    tiers = {"free": "abc", "paid": "de", "trial": "f"}
    given = events(*(at(0, "A", user, user_tier=tier) for tier in tiers for user in tiers[tier]))

    def sizes(**options: int) -> dict[str, float]:
        return {group: n for group, step, n in by_group(given, "tier", **options) if not step}

    assert sizes(users_min=2) == {"free": 3.0, "paid": 2.0}
    assert sizes(users_min=3) == {"free": 3.0, "other": 3.0}
    assert sizes(users_min=0, most=1) == {"free": 3.0, "other": 3.0}
    assert sizes(users_min=9) == {}


@pytest.mark.parametrize("most", [0, 21, True])
def test_how_many_groups_there_may_be_is_limited(most: int):
    with pytest.raises(MetricError, match="Use 1 to 20 groups"):
        by_group(events(), "tier", most=most)


# --- optional steps ---------------------------------------------------------------------------


def test_nobody_has_to_take_an_optional_step():
    given = events(
        *(at(0, "A"), at(1, "B"), at(2, "C")),
        *(at(0, "A", "bob"), at(4, "C", "bob")),
        *(at(0, "A", "cyd"), at(1, "B", "cyd")),
        at(0, "A", "dan"),
    )

    found = funnel(given, MONTH, steps=["A", "B", "C"], optional=(1,)).collect()

    assert found.drop("event_name").rows() == [
        (0, 4.0, 1.0, 1.0, 0.0),
        (1, 2.0, 0.5, 0.5, 3600.0),
        (2, 2.0, 0.5, 0.5, 3 * 3600.0),
    ]
    assert counts(given) == [4, 2, 1]


def test_an_optional_step_counts_between_its_neighbours_only():
    early = events(at(0, "B"), at(1, "A"), at(2, "C"))
    late = events(at(0, "A"), at(1, "C"), at(2, "B"))
    too_late = events(at(0, "A"), at(3, "B"))

    assert counts(early, optional=(1,)) == [1, 0, 1]
    assert counts(late, optional=(1,)) == [1, 0, 1]
    assert counts(too_late, optional=(1,), within="2h") == [1, 0, 0]
    assert counts(too_late, optional=(1,), within="3h") == [1, 1, 0]


def test_an_optional_step_has_no_say_in_which_run_counts():
    given = events(at(0, "A"), at(1, "C"), at(2, "A"), at(3, "B"), at(4, "C"))

    assert counts(given, optional=(1,)) == [1, 0, 1]


def test_optional_steps_side_by_side_come_in_any_order():
    given = events(at(0, "A"), at(1, "C"), at(2, "B"), at(3, "D"))

    assert counts(given, "ABCD", optional=(1, 2)) == [1, 1, 1, 1]
    assert seconds(given, "ABCD", optional=(1, 2)) == [[0.0, 7200.0, 3600.0, 10800.0]]


def test_an_optional_last_step_is_no_conversion():
    given = events(at(0, "A"), at(1, "B"), at(2, "C"), at(0, "A", "bob"), at(1, "B", "bob"))
    options: dict[str, Any] = {"steps": ["A", "B", "C"], "optional": (2,)}

    assert counts(given, optional=(2,)) == [2, 2, 1]
    people = funnel_users(given, MONTH, **options).collect()
    assert people.select("steps_reached", "seconds").rows() == [
        (2, [0.0, 3600.0, 7200.0]),
        (2, [0.0, 3600.0]),
    ]
    assert funnel_trend(given, MONTH, **options).collect()["converted"][0] == 2


def test_an_optional_step_left_out_is_null_among_the_seconds():
    given = events(at(0, "A"), at(2, "C"))

    assert seconds(given, "ABC", optional=(1,)) == [[0.0, None, 7200.0]]


def test_an_optional_step_is_weighed_with_the_required_ones_before_it():
    given = events(at(0, "A", weight=4.0), at(1, "B", weight=1.0), at(2, "C", weight=2.0))

    assert counts(given, optional=(1,)) == [4, 1, 2]


def test_an_exclusion_goes_by_required_steps():
    given = events(at(0, "A"), at(1, "x"), at(2, "B"), at(3, "C"))

    assert counts(given, optional=(1,), exclude=[("x", 0, 2)]) == [0, 0, 0]
    with pytest.raises(MetricError, match=r"required steps: \[0, 2\]"):
        counts(given, optional=(1,), exclude=[("x", 0, 1)])


# --- more worked cases ------------------------------------------------------------------------


def test_strict_steps_follow_each_other_in_the_first_second_too():
    given = events(at(0, "A"), at(0, "B"), at(0, "C"), at(0, "A", "bob"), at(0, "x", "bob"))

    assert counts(given, order="strict") == [2, 1, 1]


def test_strict_does_not_look_past_an_event_of_no_step_at_the_same_time():
    given = events(at(0, "A"), at(1, "x"), at(1, "B"))

    assert counts(given, "AB", order="strict") == [1, 0]


def test_strict_ignores_what_other_people_do_in_between():
    given = events(at(0, "A"), at(1, "x", "bob"), at(2, "B"))

    assert counts(given, "AB", order="strict") == [1, 1]


def test_a_strict_chain_keeps_its_limit():
    given = events(at(0, "A"), at(1, "B"), at(3, "C"))

    assert counts(given, order="strict", within="3h") == [1, 1, 1]
    assert counts(given, order="strict", within="2h") == [1, 1, 0]


def test_any_order_has_its_limit_from_whichever_step_came_first():
    given = events(at(0, "C"), at(2, "B"), at(4, "A"))

    assert counts(given, order="unordered", within="4h") == [1, 1, 1]
    assert counts(given, order="unordered", within="3h") == [1, 1, 0]
    assert counts(given, order="unordered", within="1h") == [1, 0, 0]


def test_any_order_looks_for_the_best_stretch():
    given = events(at(0, "A"), at(10, "B"), at(11, "C"), at(12, "A"))

    assert counts(given, order="unordered", within="2h") == [1, 1, 1]
    assert counts(given, order="unordered", within="2h", entry="first") == [1, 0, 0]


def test_any_order_takes_events_of_the_same_time():
    given = events(at(0, "C"), at(0, "A"), at(0, "B"))

    assert counts(given, order="unordered", within="0s") == [1, 1, 1]


def test_a_millisecond_past_the_limit_is_past_it():
    def done(after: timedelta) -> list[float]:
        rows = event(START, "ada", "A"), event(START + after, "ada", "B")
        return counts(events(*rows), "AB", within="1h")

    assert done(timedelta(hours=1)) == [1, 1]
    assert done(timedelta(hours=1, milliseconds=1)) == [1, 0]


def test_the_limit_counts_from_the_entry_of_the_run_that_counts():
    given = events(at(0, "A"), at(3, "A"), at(4, "B"), at(7, "C"))

    assert counts(given, within="4h") == [1, 1, 1]
    assert seconds(given, "ABC", within="4h") == [[0.0, 3600.0, 14400.0]]
    assert counts(given, within="4h", entry="first") == [1, 1, 0]


def test_a_later_step_before_the_entry_is_no_conversion():
    given = events(at(0, "B"), at(1, "C"), at(2, "A"))

    assert counts(given) == [1, 0, 0]


def test_an_exclusion_before_the_entry_or_after_the_end_removes_nobody():
    given = events(at(0, "x"), at(1, "A"), at(2, "B"), at(3, "x"))

    assert counts(given, "AB", exclude=[("x", 0, 1)]) == [1, 1]


def test_an_exclusion_at_the_time_of_a_step_goes_by_row_order():
    between = events(at(0, "A"), at(1, "x"), at(1, "B"))
    behind = events(at(0, "A"), at(1, "B"), at(1, "x"))

    assert counts(between, "AB", exclude=[("x", 0, 1)]) == [0, 0]
    assert counts(behind, "AB", exclude=[("x", 0, 1)]) == [1, 1]


def test_an_exclusion_removes_nobody_who_left_before_it_applies():
    given = events(at(0, "A"), at(1, "x"))

    assert counts(given, exclude=[("x", 1, 2)]) == [1, 0, 0]


def test_a_strict_run_is_struck_by_what_follows_it():
    given = events(at(0, "A"), at(1, "B"), at(2, "x"))

    assert counts(given, order="strict", exclude=[("x", 1, 2)]) == [0, 0, 0]


def test_three_columns_are_enough():
    given = events(at(0, "A"), at(1, "B")).select("user_id_hash", "event_name", "timestamp")

    assert counts(given, "AB", exclude=[("x", 0, 1)]) == [1, 1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"steps": []}, "list of 1 to 20 steps", id="no step"),
        pytest.param({"steps": "AB"}, "list of 1 to 20 steps", id="a name"),
        pytest.param({"steps": ["A"] * 21}, "list of 1 to 20 steps", id="too many"),
        pytest.param({"order": "any"}, "Use one of 'ordered', 'strict'", id="order"),
        pytest.param({"entry": "last"}, "Use one of 'best', 'first'", id="entry"),
        pytest.param({"within": "2 weeks"}, "is not a duration", id="within"),
        pytest.param({"exclude": [("x", 1, 1)]}, "is not an exclusion", id="order of exclusion"),
        pytest.param({"exclude": [("x", 0, 2)]}, "is not an exclusion", id="past the end"),
        pytest.param({"exclude": ["x"]}, "is not an exclusion", id="no steps"),
        pytest.param({"optional": (0,)}, "the first step, 0, is always", id="optional entry"),
        pytest.param({"optional": (2,)}, "does not fit 2 steps", id="optional past the end"),
        pytest.param({"optional": "1"}, "does not fit 2 steps", id="optional text"),
        pytest.param({"optional": (1,), "order": "strict"}, "needs order='ordered'", id="strict"),
        pytest.param(
            {"optional": (1,), "order": "unordered"}, "needs order='ordered'", id="unordered"
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], says: str):
    with pytest.raises(MetricError, match=says):
        funnel(events(), MONTH, **({"steps": ["A", "B"]} | options))


@pytest.mark.parametrize(("first", "last"), [(1, 0), (0, 2), (-1, 1)])
def test_steps_to_compare_come_in_order(first: int, last: int):
    with pytest.raises(MetricError, match="Steps count from 0 to 1"):
        funnel_trend(events(), MONTH, steps=["A", "B"], from_step=first, to_step=last)


def test_a_comparison_starts_at_a_required_step():
    with pytest.raises(MetricError, match="is required"):
        funnel_trend(events(), MONTH, steps=["A", "B", "C"], optional=(1,), from_step=1)


# --- the reference: every chain of rows there is ----------------------------------------------

Row = tuple[int, str, float]  # hours, name, weight; sorted


def chains(rows: list[Row], steps: list[str], order: str, limit: int | None) -> list[list[int]]:
    """Return every run there is: positions, one per step reached."""
    inside = lambda i, j: limit is None or rows[j][0] - rows[i][0] <= limit  # noqa: E731
    if order == "unordered":
        runs = []
        for i, row in enumerate(rows):
            if row[1] not in steps:
                continue
            found = [
                next((j for j in range(i, len(rows)) if rows[j][1] == step and inside(i, j)), None)
                for step in steps
            ]
            runs.append(sorted(j for j in found if j is not None))
        return runs
    runs = [[i] for i, row in enumerate(rows) if row[1] == steps[0]]
    longer = runs
    for step in steps[1:]:
        longer = [
            [*run, j]
            for run in longer
            for j in range(run[-1] + 1, len(rows))
            if rows[j][1] == step and inside(run[0], j) and (order != "strict" or j == run[-1] + 1)
        ]
        runs = runs + longer
    return runs


def struck(
    rows: list[Row], run: list[int], out: tuple[str, int, int], limit: int | None
) -> int | None:
    """Return where an exclusion strikes a run."""
    name, after, before = out
    if len(run) <= after:
        return None
    for j in range(run[after] + 1, len(rows)):
        if len(run) > before and j >= run[before]:
            return None
        late = limit is not None and rows[j][0] - rows[run[after]][0] > limit
        if rows[j][1] == name and not (len(run) <= before and late):
            return j
    return None


def by_hand(
    rows: list[Row], steps: list[str], limit: int | None, asked: dict[str, Any]
) -> tuple[list[float], list[float]] | None:
    """Return one user's seconds and weights per step reached; None when not in the funnel."""
    runs = chains(rows, steps, asked["order"], limit)
    if runs and asked["entry"] == "first":
        runs = [run for run in runs if run[0] == min(run[0] for run in runs)]
    hits = lambda run: [  # noqa: E731
        hit for out in asked["exclude"] if (hit := struck(rows, run, out, limit)) is not None
    ]
    if asked["order"] == "unordered":
        runs = [run for run in runs if not hits(run)]
    if not runs:
        return None
    run = min(runs, key=lambda run: (-len(run), run))
    if hits(run):
        return None
    spent = [3600.0 * (rows[j][0] - rows[run[0]][0]) for j in run]
    return spent, [min(rows[j][2] for j in run[: k + 1]) for k in range(len(run))]


@pytest.mark.slow
@settings(max_examples=examples(250), deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 9),
            st.sampled_from("uv"),
            st.sampled_from("ABCx"),
            st.sampled_from([1.0, 1.0, 2.0, 4.0]),
        ),
        max_size=16,
    ),
    steps=st.sampled_from([["A"], ["A", "B"], ["A", "B", "C"], ["A", "B", "A"], ["A", "A", "B"]]),
    limit=st.sampled_from([None, 0, 2, 5]),
    kind=st.tuples(
        st.sampled_from(["ordered", "strict", "unordered"]), st.sampled_from(["best", "first"])
    ),
    out=st.sampled_from(
        [[], [("x", 0, 1)], [("x", 0, 1), ("C", 0, 1)], [("x", 1, 2)], [("x", 0, 2)]]
    ),
)
def test_users_go_as_far_as_every_chain_of_rows_allows(rows, steps, limit, kind, out):
    order, entry = kind
    if order == "unordered" and len(set(steps)) < len(steps):
        steps = ["A", "B", "C"]
    asked: dict[str, Any] = {
        "order": order,
        "entry": entry,
        "exclude": [one for one in out if one[2] < len(steps)],
    }
    frame = events(*(at(h, name, user, weight=w) for h, user, name, w in rows))
    expected = {}
    for user in "uv":
        own = sorted(((h, n, w) for h, u, n, w in rows if u == user), key=lambda row: row[0])
        found = by_hand(own, steps, limit, asked)
        if found:
            expected[user] = found
    within = None if limit is None else f"{limit}h"

    people = funnel_users(frame, MONTH, steps=steps, within=within, **asked).collect()
    table = funnel(frame, MONTH, steps=steps, within=within, **asked).collect()

    assert dict(zip(people["user_id_hash"], people["seconds"].to_list(), strict=True)) == {
        user: spent for user, (spent, _) in expected.items()
    }
    assert people["weight"].to_list() == [weights[-1] for _, weights in expected.values()]
    for k in range(len(steps)):
        reached = [(s[k], w[k]) for s, w in expected.values() if len(s) > k]
        assert table["users"][k] == sum(w for _, w in reached)
        written_out = [s for s, w in reached for _ in range(int(w))]
        median = statistics.median(written_out) if written_out else None
        assert table["seconds_p50"][k] == median


def optional_by_hand(
    rows: list[Row], steps: list[str], optional: tuple[int, ...], limit: int | None
) -> list[float | None] | None:
    """Return one user's seconds per step up to the last one reached; None when not in."""
    required = [k for k in range(len(steps)) if k not in optional]
    runs = chains(rows, [steps[k] for k in required], "ordered", limit)
    if not runs:
        return None
    run = dict(zip(required, min(runs, key=lambda run: (-len(run), run)), strict=False))
    for k in optional:
        since = run.get(max(j for j in required if j < k))
        until = run.get(min((j for j in required if j > k), default=-1), len(rows))
        if since is None:
            continue
        for j in range(since + 1, until):
            soon = limit is None or rows[j][0] - rows[run[0]][0] <= limit
            if rows[j][1] == steps[k] and soon:
                run[k] = j
                break
    first = rows[run[0]][0]
    return [3600.0 * (rows[run[k]][0] - first) if k in run else None for k in range(max(run) + 1)]


@pytest.mark.slow
@settings(max_examples=examples(150), deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from("uv"), st.sampled_from("ABCD")), max_size=16
    ),
    kind=st.sampled_from(
        [("ABC", (1,)), ("ABC", (2,)), ("ABCD", (1, 2)), ("ABCD", (1, 3)), ("ABAC", (2,))]
    ),
    limit=st.sampled_from([None, 0, 2, 5]),
)
def test_optional_steps_lie_where_every_chain_of_rows_has_them(rows, kind, limit):
    steps, optional = kind
    frame = events(*(at(h, name, user) for h, user, name in rows))
    expected = {}
    for user in "uv":
        own = sorted(((h, n, 1.0) for h, u, n in rows if u == user), key=lambda row: row[0])
        found = optional_by_hand(own, list(steps), optional, limit)
        if found:
            expected[user] = found
    within = None if limit is None else f"{limit}h"

    options: dict[str, Any] = {"steps": list(steps), "optional": optional, "within": within}
    people = funnel_users(frame, MONTH, **options).collect()
    users = funnel(frame, MONTH, **options).collect()["users"].to_list()

    found = dict(zip(people["user_id_hash"], people["seconds"].to_list(), strict=True))
    assert found == expected
    for k in range(len(steps)):
        took = [spent for spent in expected.values() if len(spent) > k and spent[k] is not None]
        assert users[k] == len(took)
