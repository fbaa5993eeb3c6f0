"""The worked cases of tests/cases/paths.json, run through the public metrics; none is left out.

A page view's item is its path and any other event's its name: the adapter writes that into a
column, which is what the option `item` is for.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from frames import event, events

from data_access.metrics import paths, transitions
from data_access.window import Window

CASES = json.loads((Path(__file__).parent / "cases" / "paths.json").read_text(encoding="utf-8"))
PAGES = ("$pageview", "$screen")
NOT_ASKED: dict[str, str] = {}

Case = dict[str, Any]


def cases(*, counted: bool) -> list[Any]:
    """Return the cases that count transitions, or those that count edges, as parameters."""
    return [
        pytest.param(case, id=case["id"])
        for case in CASES["cases"]
        if (case["params"].get("kind") == "transition_counts") is counted
    ]


def item(given: Case) -> str:
    return str(given["properties"]["path"] if given["event"] in PAGES else given["event"])


def included(given: Case, wanted: Any) -> bool:
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return given["event"] not in PAGES  # "custom (not $pageview/$screen)"
    return given["event"] in wanted


def asked_window(asked: Case) -> Window:
    start = date.fromisoformat(asked.get("range_start") or "2010-01-01")
    end = date.fromisoformat(asked.get("range_end") or "2029-12-31")
    return Window(start, end + timedelta(days=1))


def rows(case: Case) -> pl.LazyFrame:
    kept = [one for one in case["events"] if included(one, case["params"].get("include_events"))]
    frame = events(
        *(
            event(
                one["timestamp"],
                one["user"],
                one["event"],
                session_id=one["properties"].get("session_id"),
            )
            for one in kept
        )
    )
    return frame.with_columns(pl.Series("path", [item(one) for one in kept], dtype=pl.String))


def test_no_case_is_left_out():
    known = {case["id"] for case in CASES["cases"]}

    assert set(NOT_ASKED) <= known
    assert len(NOT_ASKED) == 0
    assert len(known) == 8


@pytest.mark.parametrize("case", cases(counted=False))
def test_paths(case: Case):
    asked = case["params"]
    assert asked["event_filter"] is None
    assert asked["user_filter"] is None
    found = paths(
        rows(case),
        asked_window(asked),
        gap=f"{asked['session_gap_seconds']}s",
        depth=asked["max_steps"],
        start=asked["start"],
        end=asked["end"],
        groups=asked["groupings"],
        hide=asked["exclude_items"],
        min_sessions=asked["min_edge"],
        max_sessions=asked["max_edge"],
        top=asked["edge_limit"],
        item="path",
    ).collect()

    keys = ("step", "source", "target")
    seen = {row[:3]: row[3:] for row in found.rows()}
    expected = {tuple(edge[key] for key in keys): edge for edge in case["expected"]["edges"]}
    assert {edge: sessions for edge, (sessions, _) in seen.items()} == {
        edge: told["value"] for edge, told in expected.items()
    }
    for edge, told in expected.items():
        if "avg_seconds" in told:
            assert seen[edge][1] == pytest.approx(told["avg_seconds"], abs=1e-9)


@pytest.mark.parametrize("case", cases(counted=True))
def test_transitions(case: Case):
    asked, expected = case["params"], case["expected"]
    found = transitions(
        rows(case),
        asked_window(asked),
        by="user" if asked["path"] == "user" else "session_id",
        ends=asked["with_path_start_end"],
    ).collect()

    counts: dict[str, dict[str, float]] = {}
    for source, target, number in found.select("source", "target", "transitions").iter_rows():
        counts.setdefault(source, {})[target] = number
    assert counts == expected["transition_counts"]
    if "total" in expected:
        assert found["transitions"].sum() == expected["total"]
