"""A metric per group: the largest groups, the rest as one, and nobody who could be recognised."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from frames import event, events, window

from data_access.metrics import METRICS
from data_access.metrics.breakdown import broken_down
from data_access.metrics.common import MetricError
from data_access.schema import SCHEMAS

OVER = window("2026-01-05", "2026-01-07")


def people(**groups: int) -> list[dict[str, Any]]:
    """Return an event of as many people as each group says."""
    return [
        event("2026-01-05", f"{name}-{number}", project_id=name, metadata=f'{{"ide": "{name}"}}')
        for name, size in groups.items()
        for number in range(size)
    ]


def per_group(rows: list[dict[str, Any]], **asked: Any) -> dict[str, list[float]]:
    found = broken_down(METRICS["active_users"], [events(*rows)], OVER, **asked).collect()
    assert found.columns == ["group", "period", "users", "complete"]
    return {
        group: found.filter(group=group)["users"].to_list()
        for group in found["group"].unique(maintain_order=True)
    }


def test_the_groups_with_most_people_come_first_and_the_rest_is_other():
    rows = people(a=7, b=9, c=5, d=6)

    found = per_group(rows, by="project", most=2)

    assert found == {"b": [9, 0], "a": [7, 0], "other": [11, 0]}
    assert list(found) == ["b", "a", "other"]


def test_a_value_that_is_called_other_is_among_the_rest():
    rows = people(a=7, other=9, c=6)

    assert per_group(rows, by="project", most=1) == {"a": [7, 0], "other": [15, 0]}
    assert per_group(rows, by="project", most=2) == {"a": [7, 0], "c": [6, 0], "other": [9, 0]}


def test_a_metadata_key_breaks_down_like_a_column_and_rows_without_it_are_in_no_group():
    rows = [*people(vscode=6), *(event("2026-01-05", f"x{n}") for n in range(8))]

    assert per_group(rows, by="ide") == {"vscode": [6, 0]}


def test_rows_without_a_value_in_a_column_are_a_group_of_their_own():
    rows = [event("2026-01-05", f"{n}", release=None if n % 2 else "") for n in range(6)]

    assert per_group(rows, by="release") == {"none named": [6, 0]}


def test_a_person_in_two_groups_is_in_both():
    both = [event("2026-01-05", "p", channel=name) for name in ("web", "server")]

    assert per_group(both, by="channel", users_min=0) == {"server": [1, 0], "web": [1, 0]}


def test_groups_of_fewer_than_five_people_are_only_shown_together():
    assert per_group(people(a=6, b=3, c=2), by="project") == {"a": [6, 0], "other": [5, 0]}


def test_a_rest_of_fewer_than_five_people_is_not_shown_at_all():
    assert per_group(people(a=6, b=4), by="project") == {"a": [6, 0]}
    assert per_group(people(b=4), by="project") == {"other": [0, 0]}


def test_small_groups_can_be_asked_for():
    assert per_group(people(a=6, b=4), by="project", users_min=0) == {"a": [6, 0], "b": [4, 0]}


def test_only_people_inside_the_window_make_a_group_large():
    rows = people(a=5)
    early = [event("2025-12-01", f"b{n}", project_id="b") for n in range(9)]

    assert per_group([*rows, *early], by="project") == {"a": [5, 0]}


def test_sampled_people_count_as_many_as_they_stand_for():
    rows = [event("2026-01-05", "a", project_id="a", weight=10.0), *people(b=7)]

    assert list(per_group(rows, by="project")) == ["a", "b"]


def test_a_metric_of_several_tables_is_broken_down_in_all_of_them():
    spec = METRICS["tiers"]
    frames = [pl.LazyFrame(schema=SCHEMAS[table]) for table in spec.sources]

    found = broken_down(spec, frames, OVER, by="channel").collect()

    assert found["group"].unique().to_list() == ["other"]
    assert found["users"].sum() == 0


@pytest.mark.parametrize("most", [0, 21, True])
def test_too_many_groups_are_refused(most):
    with pytest.raises(MetricError, match="out of range"):
        per_group(people(a=5), by="project", most=most)
