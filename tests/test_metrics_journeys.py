"""Facts about people's journeys: to a goal or not, and how far before they fall silent."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from frames import event, events, instant, window

from data_access.metrics import (
    activation,
    journey_items,
    journey_map,
    journey_path_users,
    journey_users,
    journeys,
)
from data_access.metrics.common import MetricError
from data_access.metrics.journeys import CAME_BACK, FIRST_EVENT

MONTH = window("2026-01-01", "2026-02-01")
GOAL = "paid_subscription_started"


def visit(items: str, user: str = "ada", at: str = "2026-01-05T09:00", **columns: Any) -> list[Any]:
    """Return a row a minute for the items, which are separated by blanks."""
    begun = instant(at)
    return [
        event(begun + timedelta(minutes=number), user, name, **columns)
        for number, name in enumerate(items.split())
    ]


def ways(*visits: list[Any], **options: Any) -> list[tuple[Any, ...]]:
    frame = events(*(row for one in visits for row in one))
    return journeys(frame, MONTH, **options).collect().rows()


# --- converted and not -----------------------------------------------------------------------


def test_a_way_goes_over_all_sessions_up_to_the_goal():
    found = ways(
        visit("a a b"),
        visit(f"b c {GOAL} d", at="2026-01-20T09:00"),
        visit("a b c d", "bob"),
        visit("a b c d", "eve"),
    )

    assert found == [
        (False, 1, "a > b > c > d", 2.0, 2.0, 1.0),
        (True, 1, "a > b > c", 1.0, 1.0, 1.0),
    ]


def test_the_commonest_ways_of_each_group_come_first_and_the_rest_counts_in_the_share():
    found = ways(visit("a b", "u1"), visit("a b", "u2"), visit("a", "u3"), visit("b", "u4"), top=2)

    assert found == [
        (False, 1, "a > b", 2.0, 4.0, 0.5),
        (False, 2, "a", 1.0, 4.0, 0.25),
    ]


def test_whoever_had_reached_the_goal_before_the_window_is_in_neither_group():
    assert ways(visit(GOAL, at="2025-12-01"), visit("a b")) == []
    assert ways(visit("a", at="2025-12-01"), visit(f"b {GOAL}")) == [(True, 1, "b", 1.0, 1.0, 1.0)]


def test_whoever_reaches_the_goal_at_once_has_an_empty_way():
    assert ways(visit(f"{GOAL} a")) == [(True, 1, "", 1.0, 1.0, 1.0)]


def test_only_the_first_items_are_on_the_way_and_noise_is_not():
    assert ways(visit("a x b c d"), depth=2, hide=["x"])[0][2] == "a > b"
    assert ways(visit("a c1 c2 b"), groups=["c*"])[0][2] == "a > c* > b"


def test_a_hidden_goal_still_counts_and_a_goal_may_be_a_predicate():
    assert ways(visit(f"a {GOAL}"), hide=[GOAL])[0][:3] == (True, 1, "a")
    assert ways(visit("a b"), goal=pl.col("event_name") == "b")[0][:3] == (True, 1, "a")


def test_what_converters_do_that_others_do_not():
    frame = events(
        *visit(f"a b {GOAL} c", "u1"),
        *visit(f"a {GOAL}", "u2"),
        *visit("a c", "u3"),
    )

    found = journey_items(frame, MONTH).collect()

    assert found.drop("p_value").rows() == [
        ("a", 2.0, 1.0, 1.0, 1.0),
        ("b", 1.0, 0.0, 0.5, 0.0),
        ("c", 0.0, 1.0, 0.0, 1.0),
    ]
    assert found["p_value"][0] == 1
    assert found["p_value"][1] == pytest.approx(0.38648, abs=1e-5)


def test_people_of_a_way_are_those_it_counts():
    frame = events(*visit(f"a b {GOAL}", "u1"), *visit("a b", "u2"), *visit(GOAL, "u3"))

    def who(path: str, *, converted: bool) -> list[tuple[Any, ...]]:
        options = {"path": path, "converted": converted}
        return journey_path_users(frame, MONTH, **options).collect().rows()

    assert who("a > b", converted=True) == [("u1", instant("2026-01-05T09:02"), 1.0)]
    assert who("a > b", converted=False) == [("u2", None, 1.0)]
    assert who("", converted=True) == [("u3", instant("2026-01-05T09:00"), 1.0)]
    assert who("a", converted=False) == []


def test_without_a_group_there_is_no_share_and_no_p_value():
    found = journey_items(events(*visit("a")), MONTH).collect()

    assert found.rows() == [("a", 0.0, 1.0, None, 1.0, None)]


@pytest.mark.parametrize("seed", range(12))
def test_ways_are_those_of_a_slow_walk(seed: int):
    rng = random.Random(seed)
    rows = [
        event(
            instant("2025-12-25") + timedelta(minutes=rng.randrange(30 * 24 * 60)),
            rng.choice("uvwxyz"),
            rng.choice(["a", "b", "c", "c", GOAL if rng.random() < 0.4 else "a"]),
            event_id=f"{number:04}",
        )
        for number in range(60)
    ]
    expected: dict[bool, dict[str, int]] = {False: {}, True: {}}
    for user in "uvwxyz":
        mine = sorted((r for r in rows if r["user_id_hash"] == user), key=lambda r: r["timestamp"])
        early = [r for r in mine if r["timestamp"] < instant("2026-01-01")]
        names = [r["event_name"] for r in mine if r["timestamp"] >= instant("2026-01-01")]
        if any(r["event_name"] == GOAL for r in early) or not names:
            continue
        converted = GOAL in names
        ahead = names[: names.index(GOAL)] if converted else names
        merged = [name for at, name in enumerate(ahead) if not at or ahead[at - 1] != name]
        path = " > ".join(merged[:4])
        expected[converted][path] = expected[converted].get(path, 0) + 1

    found = journeys(events(*rows), MONTH, depth=4).collect()

    for converted in (False, True):
        group = found.filter(pl.col("converted") == converted)
        assert dict(group.select("path", "users").rows()) == expected[converted]
        assert group["users"].to_list() == sorted(group["users"], reverse=True)


# --- the map ---------------------------------------------------------------------------------


def mapped(*visits: list[Any], **options: Any) -> list[tuple[Any, ...]]:
    frame = events(*(row for one in visits for row in one))
    return journey_map(frame, MONTH, **options).collect().rows()


def test_everybody_stands_at_the_last_milestone_they_reached():
    found = mapped(
        visit("session_started"),
        visit("session_started context_created", "bob"),
        visit("context_loaded", "bob", "2026-01-07T09:01"),
        visit("session_started", "eve", "2026-01-25"),
    )

    assert found == [
        (0, FIRST_EVENT, 3.0, 1.0, 0.0, 2.0, 1.0, 1.0),
        (1, "context_created or context_auto_created", 1.0, 1 / 3, 1 / 1440, 0.0, 0.0, 0.0),
        (2, "context_loaded", 1.0, 1 / 3, 2 + 1 / 1440, 0.0, 0.0, 0.0),
        (3, CAME_BACK, 1.0, 1 / 3, 2 + 1 / 1440, 1.0, 1.0, 0.0),
        (4, "context_resumed", 0.0, 0.0, None, 0.0, 0.0, 0.0),
        (5, GOAL, 0.0, 0.0, None, 0.0, 0.0, 0.0),
    ]


def test_whoever_was_there_before_the_window_is_no_newcomer():
    old = visit("x", at="2025-06-01")

    assert mapped(old, visit("context_loaded"))[0][2] == 0


def test_silence_is_counted_from_the_last_active_event_or_the_first_of_all():
    def silent(*visits: list[Any], days: int = 14) -> float:
        return float(mapped(*visits, silent_days=days)[0][6])

    came = visit("session_started", at="2026-01-02")
    assert silent(came, visit("web_view_opened", at="2026-01-17T23:59")) == 0  # stands at came back
    assert silent(visit("web_view_opened", at="2026-01-17T23:59")) == 1
    assert silent(visit("web_view_opened", at="2026-01-18T00:00")) == 0
    assert silent(visit("no_active_event", at="2026-01-20")) == 0
    assert silent(visit("web_view_opened", at="2026-01-20"), days=5) == 1


def test_an_event_that_is_not_active_does_not_end_a_silence():
    first, later = visit("session_started", at="2026-01-02"), visit("x", at="2026-01-30")
    found = mapped(first, later, milestones=["context_loaded"])

    assert found[0][5:] == (1.0, 1.0, 0.0)


def test_what_failed_reaches_no_milestone():
    assert mapped(visit("context_loaded", result="failure"))[2][2] == 0


def test_milestones_are_ones_own():
    loaded = pl.col("event_name") == "context_loaded"
    found = mapped(visit("context_loaded"), milestones=[loaded.alias("loaded"), ("a", "b")])

    assert [row[1] for row in found] == [FIRST_EVENT, "loaded", "a or b"]


def test_people_of_the_map_are_those_it_counts():
    rows = [
        *visit("session_started"),
        *visit("session_started context_created", "bob"),
        *visit("context_loaded", "bob", "2026-01-28T09:01"),
        *visit("x", "old", "2025-06-01"),
        *visit("x", "old"),
    ]

    found = journey_users(events(*rows), MONTH).collect()

    assert found.drop("weight").rows() == [
        ("ada", instant("2026-01-05T09:00"), 0, [0], instant("2026-01-05T09:00"), True),
        ("bob", instant("2026-01-05T09:00"), 3, [0, 1, 2, 3], instant("2026-01-05T09:00"), True),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_map_agrees_with_its_people_and_with_activation(seed: int):
    rng = random.Random(seed)
    names = ["session_started", "context_created", "context_loaded", "context_resumed", "x", GOAL]
    frame = events(
        *(
            event(
                instant("2025-12-20") + timedelta(minutes=rng.randrange(40 * 24 * 60)),
                rng.choice("abcdefghijklmnop"),
                rng.choice(names),
                result=rng.choice(["success", "success", "failure"]),
                weight=rng.choice([1.0, 3.0]) if seed % 2 else 1.0,
            )
            for _ in range(60)
        )
    )

    found = journey_map(frame, MONTH).collect()
    people = journey_users(frame, MONTH).collect()
    steps = activation(frame, MONTH).collect()

    for row in found.iter_rows(named=True):
        stand = people.filter(milestone=row["milestone"])
        assert row["furthest"] == stand["weight"].sum()
        assert row["silent"] == stand.filter("silent")["weight"].sum()
        there = people.filter(pl.col("reached").list.contains(row["milestone"]))
        assert row["users"] == there["weight"].sum()
    assert found["furthest"].sum() == found["users"][0]
    assert found["here"].sum() + found["silent"].sum() == found["users"][0]
    assert people.height == len(set(people["user_id_hash"]))
    if seed % 2 == 0:  # a person's weight is the smallest of all days here, of each step's there
        assert found["users"][0] == steps["users"][0]
        assert found["users"][3] == steps["users"][3]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"milestones": []}, "Name 1 to 20 milestones"),
        ({"milestones": "context_loaded"}, "Name 1 to 20 milestones"),
        ({"milestones": [[1]]}, "is not an event"),
        ({"silent_days": 0}, "use 1 to 366 days"),
    ],
)
def test_a_map_of_nothing_is_refused(options: dict[str, Any], said: str):
    with pytest.raises(MetricError, match=said):
        journey_map(events(), MONTH, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"top": 0}, "top=0 is out of range"),
        ({"depth": 99}, "depth=99"),
        ({"goal": []}, "No event"),
    ],
)
def test_ways_that_cannot_be_are_refused(options: dict[str, Any], said: str):
    with pytest.raises(MetricError, match=said):
        journeys(events(), MONTH, **options)
