"""Facts about paths: what is on one, where it is cut, and that every session is accounted for."""

from __future__ import annotations

import random
import re
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from frames import event, events, instant, window
from polars.testing import assert_frame_equal

from data_access.metrics import path_steps, path_users, paths, sessions, transitions
from data_access.metrics.common import MetricError

DAY = window("2026-01-05", "2026-01-06")
Edge = tuple[int, str, str, float, float]


def visit(items: str, user: str = "ada", at: str = "2026-01-05T09:00", **columns: Any) -> list[Any]:
    """Return a row a minute for the items, which are separated by blanks."""
    begun = instant(at)
    return [
        event(begun + timedelta(minutes=number), user, name, **columns)
        for number, name in enumerate(items.split())
    ]


def walk(*visits: list[Any], **options: Any) -> list[Edge]:
    frame = events(*(row for one in visits for row in one))
    return paths(frame, DAY, **options).collect().rows()


# --- what a path is --------------------------------------------------------------------------


def test_an_edge_counts_sessions_and_not_people():
    twice = walk(visit("a b"), visit("a b", at="2026-01-05T12:00"), visit("a b", "bob"))

    assert twice == [(1, "a", "b", 3.0, 60.0)]


def test_equal_items_in_a_row_are_one_at_the_time_of_the_last():
    assert walk(visit("a a b b b c")) == [(1, "a", "b", 1.0, 180.0), (2, "b", "c", 1.0, 60.0)]


def test_a_silence_of_exactly_the_gap_does_not_part_a_path():
    def after(time: str) -> list[Edge]:
        return walk([event("2026-01-05T09:00", name="a"), event(time, name="b")])

    assert after("2026-01-05T09:30:00Z") == [(1, "a", "b", 1.0, 1800.0)]
    assert after("2026-01-05T09:30:00.001Z") == []


def test_events_outside_the_window_are_on_no_path():
    assert walk(visit("a b c", at="2026-01-04T23:59")) == [(1, "b", "c", 1.0, 60.0)]
    assert walk(visit("a b c", at="2026-01-05T23:58")) == [(1, "a", "b", 1.0, 60.0)]


def test_events_of_the_same_millisecond_go_by_event_id():
    rows = [event("2026-01-05T09:00", name=name, event_id=name) for name in "ba"]

    assert walk(rows) == [(1, "a", "b", 1.0, 0.0)]


def test_an_event_of_nobody_is_on_no_path():
    assert walk([event("2026-01-05T09:00", None, "a"), event("2026-01-05T09:01", None, "b")]) == []


def test_only_the_first_items_are_kept():
    assert walk(visit("a b c d"), depth=2) == [(1, "a", "b", 1.0, 60.0)]
    assert walk(visit("a b c d"), depth=1) == []


def test_a_session_weighs_as_little_as_its_lightest_event():
    rows = visit("a b", weight=3.0)
    rows[0]["weight"] = 2.0

    assert walk(rows, visit("a b", "bob")) == [(1, "a", "b", 3.0, 60.0)]


def test_a_slash_at_the_end_is_no_other_page():
    assert walk(visit("/ /about/ /about /x//")) == [
        (1, "/", "/about", 1.0, 120.0),
        (2, "/about", "/x/", 1.0, 60.0),
    ]


# --- start and end ---------------------------------------------------------------------------

LONG = visit("/1 /2 /3 /4 /5 /about /after")
SHORT = visit("/5 /about", "bob")
OTHER = visit("/3 /4 /about /after", "eve")


def test_a_path_begins_at_the_first_such_item():
    assert walk(visit("x a b a c"), visit("x y", "bob"), start="a") == [
        (1, "a", "b", 1.0, 60.0),
        (2, "b", "a", 1.0, 60.0),
        (3, "a", "c", 1.0, 60.0),
    ]


@pytest.mark.parametrize("end", ["/about", "/about/"])
def test_a_path_ends_at_the_end_and_keeps_its_last_items(end: str):
    minute = (1.0, 60.0)

    assert walk(LONG, SHORT, OTHER, end=end) == [
        (1, "/2", "/3", *minute),
        (1, "/3", "/4", *minute),
        (1, "/5", "/about", *minute),
        (2, "/3", "/4", *minute),
        (2, "/4", "/about", *minute),
        (3, "/4", "/5", *minute),
        (4, "/5", "/about", *minute),
    ]


def test_a_path_ends_at_the_first_end():
    assert walk(visit("a b z c z"), end="z") == [(1, "a", "b", 1.0, 60.0), (2, "b", "z", 1.0, 60.0)]


def test_start_and_end_keep_what_is_between():
    assert walk(LONG, SHORT, OTHER, start="/5", end="/about") == [(1, "/5", "/about", 2.0, 60.0)]


def test_an_end_before_the_start_does_not_count():
    assert walk(visit("z a b z c"), start="a", end="z") == [
        (1, "a", "b", 1.0, 60.0),
        (2, "b", "z", 1.0, 60.0),
    ]
    assert walk(visit("z a b"), start="a", end="z") == []


@pytest.mark.parametrize(
    ("depth", "items"),
    [
        pytest.param(6, "a b c d e f", id="all of it fits"),
        pytest.param(5, "a b ... e f", id="two at each end"),
        pytest.param(4, "a b ... e f", id="half of four is two too"),
        pytest.param(3, "a ... f", id="one at each end"),
        pytest.param(2, "a ... f", id="half of two is one"),
        pytest.param(1, "a ... f", id="never less than the two ends"),
    ],
)
def test_a_path_from_start_to_end_that_is_too_long_loses_its_middle(depth: int, items: str):
    found = walk(visit("x a b c d e f y"), start="a", end="f", depth=depth)

    names = items.split()
    assert [edge[1:3] for edge in found] == list(pairwise(names))
    assert [edge[0] for edge in found] == list(range(1, len(names)))


def test_the_middle_has_the_time_of_the_first_item_it_stands_for():
    found = walk(LONG, start="/1", end="/about", depth=4)

    assert [edge[1:] for edge in found] == [
        ("/1", "/2", 1.0, 60.0),
        ("/2", "...", 1.0, 60.0),
        ("...", "/5", 1.0, 120.0),
        ("/5", "/about", 1.0, 60.0),
    ]


def test_a_start_nobody_was_at_leaves_no_path():
    assert walk(visit("a b"), start="nowhere") == []
    assert walk(visit("a b"), end="nowhere") == []
    assert walk(visit("a b"), start="a", end="nowhere") == []


def test_two_runs_of_the_start_in_one_visit_do_not_reach_into_the_next():
    first, second = visit("a b"), visit("b c", at="2026-01-05T12:00")

    assert walk(first, second, start="a") == [(1, "a", "b", 1.0, 60.0)]
    assert walk(first, second, end="c") == [(1, "b", "c", 1.0, 60.0)]


# --- groups, noise and the rest --------------------------------------------------------------


def test_what_fits_a_pattern_becomes_the_pattern_and_is_merged():
    found = walk(
        visit("/1 /2/bar/1/foo /3"),
        visit("/1 /bar/2/foo /3", "bob"),
        visit("/1 /bar/33/foo /bar/34/foo /3", "eve"),
        groups=["/bar/*/foo"],
    )

    assert found == [(1, "/1", "/bar/*/foo", 3.0, 80.0), (2, "/bar/*/foo", "/3", 3.0, 60.0)]


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("context_*", "context_loaded context_"),
        ("*_loaded", "context_loaded"),
        ("*", "context_loaded session_resumed_from_context context_ a.b acb /docs/7"),
        ("a.b", "a.b"),
        ("/docs/*", "/docs/7"),
    ],
)
def test_a_star_stands_for_anything_and_nothing_else_does(pattern: str, fits: str):
    names = ("context_loaded", "session_resumed_from_context", "context_", "a.b", "acb", "/docs/7")
    changed = []
    for name in names:
        [node] = path_steps(events(*visit(name)), DAY, groups=[pattern]).collect().rows()
        changed += [name] if node[1] == pattern else []

    assert changed == fits.split()


def test_of_several_patterns_the_first_with_a_star_counts():
    hard = "a" * 40 + "!"
    found = walk(
        visit(f"{hard} /2/bar/aaa /3"),
        visit("/1 /2/3?q=1 /3?q=1", "bob"),
        groups=["(a+)+", "[aaa|aaaa]+", "1.*", ".*", "/3?q=1", "/3*"],
    )

    assert found == [
        (1, "/1", "/3*", 1.0, 120.0),
        (1, hard, "/2/bar/aaa", 1.0, 60.0),
        (2, "/2/bar/aaa", "/3*", 1.0, 60.0),
    ]


def test_noise_is_left_out_before_equal_items_are_merged():
    assert walk(visit("a noise a b"), hide=["noise"]) == [(1, "a", "b", 1.0, 60.0)]
    assert walk(visit("a n1 b n2 b"), hide=["n*"]) == [(1, "a", "b", 1.0, 240.0)]
    assert walk(visit("a n1 b"), groups=["n*"], hide=["n*"]) == [(1, "a", "b", 1.0, 120.0)]


def test_noise_keeps_a_session_going():
    rows = [event(f"2026-01-05T{at}", name=name) for at, name in
            (("09:00", "a"), ("09:20", "noise"), ("09:40", "b"))]  # fmt: skip

    assert walk(rows, hide=["noise"]) == [(1, "a", "b", 1.0, 2400.0)]


def test_the_less_common_items_of_a_step_are_other():
    found = walk(visit("a b"), visit("a b", "u2"), visit("a c", "u3"), visit("d e", "u4"), most=1)

    assert found == [
        (1, "a", "b", 2.0, 60.0),
        (1, "a", "other", 1.0, 60.0),
        (1, "other", "other", 1.0, 60.0),
    ]


def test_an_item_that_is_called_other_is_among_the_others():
    visits = [
        *(visit("a b", f"u{n}") for n in range(2)),
        visit("a other", "u3"),
        visit("a c", "u4"),
    ]

    assert walk(*visits, most=1) == [(1, "a", "b", 2.0, 60.0), (1, "a", "other", 2.0, 60.0)]


def test_edges_are_limited_by_their_sessions_and_then_by_number():
    many = [visit("a b", f"u{number}") for number in range(3)]
    some = [visit("a c", f"v{number}") for number in range(2)]
    one = [visit("a d c", "w")]
    found = {
        name: [edge[1:4] for edge in walk(*many, *some, *one, **options)]
        for name, options in {
            "least": {"min_sessions": 2},
            "most": {"max_sessions": 2},
            "top": {"top": 1},
            "ties": {"top": 3},
            "both": {"max_sessions": 2, "top": 1},
        }.items()
    }

    assert found == {
        "least": [("a", "b", 3.0), ("a", "c", 2.0)],
        "most": [("a", "c", 2.0), ("a", "d", 1.0), ("d", "c", 1.0)],
        "top": [("a", "b", 3.0)],
        "ties": [("a", "b", 3.0), ("a", "c", 2.0), ("a", "d", 1.0)],
        "both": [("a", "c", 2.0)],
    }


def test_edges_that_nothing_leads_to_are_dropped_when_asked():
    known = [visit("/1 /2 /3 /4 /5 /about /after", f"u{number}") for number in range(5)]
    others = [visit("/2 /a /x /about", "v"), visit("/2 /b /x /about", "w")]
    options = {"start": "/2", "top": 6}

    kept = [edge[1:4] for edge in walk(*known, *others, **options, connected=True)]
    assert kept == [
        ("/2", "/3", 5.0),
        ("/2", "/a", 1.0),
        ("/3", "/4", 5.0),
        ("/4", "/5", 5.0),
        ("/5", "/about", 5.0),
    ]
    every = [edge[1:4] for edge in walk(*known, *others, **options)]
    assert sorted(every) == sorted([*kept, ("/x", "/about", 2.0)])


def test_the_item_is_what_one_asks_for():
    rows = [
        event("2026-01-05T09:00", name="server_operation_called", source_name="tool_call",
              metadata='{"tool_name": "search"}', channel="web"),
        event("2026-01-05T09:01", name="context_loaded", metadata='{"tool_name": "none"}'),
        event("2026-01-05T09:02", name="server_operation_called", source_name="mcp.update_memory"),
    ]  # fmt: skip

    def named(item: str | pl.Expr) -> list[tuple[str, str]]:
        return [edge[1:3] for edge in walk(rows, item=item)]

    assert named("tool_name") == [("search", "update_memory")]
    assert named("tool_or_event") == [
        ("search", "context_loaded"),
        ("context_loaded", "update_memory"),
    ]
    assert named("channel") == [("web", "server")]
    assert named(pl.col("timestamp").dt.minute()) == [("0", "1"), ("1", "2")]
    assert named("no_such_key") == []


# --- steps, people, transitions --------------------------------------------------------------


def test_a_step_says_how_many_stop_there_and_the_cut_is_no_stop():
    frame = events(*visit("a b c d"), *visit("a b", "bob"), *visit("a", "eve"))

    assert path_steps(frame, DAY, depth=3).collect().rows() == [
        (1, "a", 3.0, 1.0),
        (2, "b", 2.0, 1.0),
        (3, "c", 1.0, 0.0),
    ]


def test_people_behind_an_item_an_edge_and_a_stop():
    frame = events(
        *visit("a b c"),
        *visit("a b", at="2026-01-05T12:00"),
        *visit("a b", "bob"),
        *visit("a c", "eve"),
    )

    def who(**options: Any) -> list[tuple[str, float]]:
        return path_users(frame, DAY, **options).collect().rows()

    assert who() == [("ada", 2.0), ("bob", 1.0), ("eve", 1.0)]
    assert who(step=2, source="b") == [("ada", 2.0), ("bob", 1.0)]
    assert who(step=2, source="b", ended=True) == [("ada", 1.0), ("bob", 1.0)]
    assert who(step=2, source="b", target="c") == [("ada", 1.0)]
    assert who(step=1, source="a", target="c") == [("eve", 1.0)]
    assert who(step=1, source="b") == []


def test_transitions_are_counted_per_session_session_id_or_user():
    frame = events(
        *visit("a a b", session_id="s1"),
        *visit("b a", at="2026-01-05T12:00", session_id="s1"),
        *visit("c", "bob", session_id=""),
    )

    def counted(by: str, **options: Any) -> dict[tuple[str, str], tuple[float, float]]:
        found = transitions(frame, DAY, by=by, ends=False, **options).collect()
        return {row[:2]: row[2:4] for row in found.rows()}

    assert counted("session") == {
        ("a", "a"): (1.0, 1.0), ("a", "b"): (1.0, 1.0), ("b", "a"): (1.0, 1.0)
    }  # fmt: skip
    joined = {
        ("a", "a"): (1.0, 1.0), ("a", "b"): (1.0, 1.0), ("b", "b"): (1.0, 1.0),
        ("b", "a"): (1.0, 1.0),
    }  # fmt: skip
    assert counted("user") == joined
    assert counted("session_id") == joined
    ends = transitions(frame, DAY, by="session_id").collect().filter(source="path_start")
    assert ends.rows() == [("path_start", "a", 1.0, 1.0, 1.0)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depth": 0}, "depth=0 is out of range"),
        ({"depth": 21}, "depth=21 is out of range"),
        ({"depth": True}, "depth=True is out of range"),
        ({"most": 0}, "most=0 is no number"),
        ({"top": 0}, "top=0 is no number"),
        ({"groups": "a*"}, "is no list of names"),
        ({"hide": [1]}, "is no list of names"),
        ({"hide": ["a"] * 101}, "at most 100"),
        ({"by": "day"}, "by='day' is unknown"),
        ({"start": pl.lit(1)}, "is no item"),
        ({"gap": "half an hour"}, "is not a duration"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any], said: str):
    with pytest.raises(MetricError, match=said):
        paths(events(), DAY, **options)


def test_a_path_may_be_a_session_id_or_all_that_a_user_did():
    rows = [
        *visit("a b", session_id="s1"),
        *visit("b c", at="2026-01-05T12:00", session_id="s1"),
        *visit("x y", at="2026-01-05T15:00", session_id=""),
    ]

    assert [edge[1:3] for edge in walk(rows, by="session_id")] == [("a", "b"), ("b", "c")]
    assert [edge[1:3] for edge in walk(rows, by="user")] == [
        ("a", "b"), ("b", "c"), ("c", "x"), ("x", "y")
    ]  # fmt: skip
    assert len(walk(rows, by="session")) == 3


def test_transitions_by_something_else_are_refused():
    with pytest.raises(MetricError, match="by='day' is unknown"):
        transitions(events(), DAY, by="day")


# --- against a slow walk in Python -----------------------------------------------------------

Seen = tuple[str, datetime, float]


def slow_paths(rows: list[Any], asked: dict[str, Any]) -> list[list[Seen]]:
    """Return each session's path: (item, time, weight of the session)."""
    found = []
    for user in sorted({row["user_id_hash"] for row in rows}):
        mine = sorted(
            (row for row in rows if row["user_id_hash"] == user),
            key=lambda row: (row["timestamp"], row["event_id"]),
        )
        for one in slow_sessions(mine):
            weight = min(row["weight"] for row in one)
            items: list[Seen] = []
            for row in one:
                name = slow_name(row["event_name"], asked)
                if name is None:
                    continue
                if items and items[-1][0] == name:
                    items.pop()
                items.append((name, row["timestamp"], weight))
            found.append(items)
    return found


def slow_sessions(mine: list[Any]) -> list[list[Any]]:
    parts: list[list[Any]] = []
    for row in mine:
        late = parts and row["timestamp"] - parts[-1][-1]["timestamp"] > timedelta(minutes=30)
        if late or not parts:
            parts.append([])
        parts[-1].append(row)
    return parts


def slow_name(name: str, asked: dict[str, Any]) -> str | None:
    for pattern in asked.get("groups", ()):
        if re.fullmatch(pattern.replace("*", ".*"), name):
            name = pattern
            break
    return None if name in asked.get("hide", ()) else name


def slow_cut(items: list[Seen], asked: dict[str, Any]) -> tuple[list[Seen], bool]:
    """Return the path as it is counted, and whether its last item is where it stops."""
    start, end, depth = asked.get("start"), asked.get("end"), asked.get("depth", 5)
    names = [name for name, *_ in items]
    if start is not None:
        items = items[names.index(start) :] if start in names else []
        names = [name for name, *_ in items]
    if end is not None:
        items = items[: names.index(end) + 1] if end in names else []
        if start is None:
            return items[-depth:], True
        half = max(depth // 2, 1)
        if len(items) > max(depth, 2 * half):
            middle = ("...", *items[half][1:])
            return [*items[:half], middle, *items[-half:]], True
        return items, True
    return items[:depth], len(items) <= depth


def slow(rows: list[Any], asked: dict[str, Any]) -> tuple[list[Edge], list[Any]]:
    edges: Counter[tuple[int, str, str]] = Counter()
    seconds: Counter[tuple[int, str, str]] = Counter()
    nodes: Counter[tuple[int, str]] = Counter()
    stops: Counter[tuple[int, str]] = Counter()
    for items in slow_paths(rows, asked):
        path, stopped = slow_cut(items, asked)
        for step, (name, at, weight) in enumerate(path, 1):
            nodes[step, name] += weight
            is_last = step == len(path)
            stops[step, name] += weight if is_last and stopped else 0.0
            if not is_last:
                after, later, _ = path[step]
                edges[step, name, after] += weight
                seconds[step, name, after] += weight * (later - at).total_seconds()
    return (
        [(*edge, float(n), seconds[edge] / n) for edge, n in sorted(edges.items())],
        [(*node, float(n), float(stops[node])) for node, n in sorted(nodes.items())],
    )


@pytest.mark.parametrize("seed", range(40))
def test_paths_are_those_of_a_slow_walk(seed: int):
    rng = random.Random(seed)
    rows = [
        event(
            instant("2026-01-05")
            + timedelta(minutes=rng.randrange(1_200), seconds=rng.randrange(3)),
            rng.choice("uvw"),
            rng.choice(["a", "b", "b1", "b2", "c", "d"]),
            weight=rng.choice([1.0, 1.0, 2.0]) if seed % 3 == 0 else 1.0,
            event_id=f"{number:04}",
        )
        for number in range(rng.randrange(1, 150))
    ]
    asked: dict[str, Any] = {"depth": rng.randrange(1, 8)}
    for name, values in {
        "start": ["a", "b", None],
        "end": ["c", "d", None, None],
        "groups": [(), ("b*",), ("b1", "b*")],
        "hide": [(), ("d",), ("b*",)],
    }.items():
        asked[name] = rng.choice(values)
    if asked["groups"]:
        asked["start"] = asked["start"] and "b*" if asked["start"] == "b" else asked["start"]
    elif asked["hide"] == ("b*",):
        asked["hide"] = ("b",)
    asked["groups"] = tuple(sorted(asked["groups"], key=lambda one: "*" not in one))
    edges, nodes = slow(rows, asked)
    frame = events(*rows)

    assert paths(frame, DAY, **asked).collect().rows() == [
        (*edge[:4], pytest.approx(edge[4])) for edge in edges
    ]
    assert path_steps(frame, DAY, **asked).collect().rows() == nodes
    if not asked["start"] and not asked["end"] and not asked["hide"]:
        assert sum(node[2] for node in nodes if node[0] == 1) == (
            sessions(frame, DAY).collect()["weight"].sum()
        )


@pytest.mark.parametrize("seed", range(5))
def test_every_session_of_a_step_stops_goes_on_or_is_cut(seed: int):
    rng = random.Random(seed)
    rows = []
    for number in range(30):
        rows += visit(" ".join(rng.choices("abcd", k=rng.randrange(1, 9))), f"u{number}")
    frame, options = events(*rows), {"depth": 4, "most": 2}
    nodes = path_steps(frame, DAY, **options).collect()
    out = (
        paths(frame, DAY, **options)
        .collect()
        .group_by("step", pl.col("source").alias("item"))
        .agg(pl.col("sessions").sum().alias("out"))
    )
    both = nodes.join(out, on=["step", "item"], how="left").with_columns(
        pl.col("out").fill_null(0.0)
    )
    inner = both.filter(pl.col("step") < 4)

    assert_frame_equal(
        inner.select(pl.col("ended") + pl.col("out")),
        inner.select(pl.col("sessions").alias("ended")),
    )
    assert both.filter(step=1)["sessions"].sum() == sessions(frame, DAY).collect().height
