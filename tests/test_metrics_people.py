"""Who is behind a number: the same people the number counts."""

from __future__ import annotations

from frames import error, errors, event, events, instant, trace, traces, window

from data_access.metrics import active_users, error_people, people, trace_people

DAY = window("2026-01-05", "2026-01-06")


def who(frame) -> dict[str, float]:
    return dict(frame.collect().select("user_id_hash", "times").rows())


def test_the_people_of_a_day_are_those_its_number_counts():
    rows = events(
        event("2026-01-05T09:00", "ada"),
        event("2026-01-05T10:00", "ada"),
        event("2026-01-05", "bob", "context_loaded"),
        event("2026-01-06", "eve"),
        event("2026-01-05", None),
    )

    assert who(people(rows, DAY)) == {"ada": 2}
    assert who(people(rows, DAY, active_events=None)) == {"ada": 2, "bob": 1}
    assert active_users(rows, DAY).collect()["users"].sum() == 1


def test_a_property_narrows_them_and_its_absence_does_too():
    rows = events(
        event("2026-01-05", "a", user_tier="paid"),
        event("2026-01-05", "b", user_tier=""),
        event("2026-01-05", "c", user_tier=None, metadata='{"ide": "vim"}'),
    )

    assert who(people(rows, DAY, by="user_tier", value="paid")) == {"a": 1}
    assert who(people(rows, DAY, by="user_tier")) == {"b": 1, "c": 1}
    assert who(people(rows, DAY, by="ide", value="vim")) == {"c": 1}


def test_a_person_is_shown_with_the_tier_they_have_in_the_end_and_the_smallest_weight():
    rows = events(
        event("2026-01-05T09:00", "a", user_tier="free", weight=2.0),
        event("2026-01-05T10:00", "a", user_tier="paid", weight=10.0),
    )

    [row] = people(rows, DAY).collect().to_dicts()

    assert row == {
        "user_id_hash": "a",
        "times": 12.0,
        "first_at": instant("2026-01-05T09:00"),
        "last_at": instant("2026-01-05T10:00"),
        "user_tier": "paid",
        "weight": 2.0,
    }


def test_errors_count_their_occurrences_and_a_group_narrows_them():
    rows = errors(
        error("2026-01-05", "a", occurrences=3, weight=2.0),
        error("2026-01-05", "b", group_hash="g2"),
        error("2026-01-07", "c"),
    )

    assert who(error_people(rows, DAY)) == {"a": 6, "b": 1}
    assert who(error_people(rows, DAY, group="g2")) == {"b": 1}


def test_an_operation_narrows_the_people_of_traces():
    rows = traces(trace("2026-01-05", "search", 1.0, "a"), trace("2026-01-05", "save", 1.0, "b"))

    assert who(trace_people(rows, DAY)) == {"a": 1, "b": 1}
    assert who(trace_people(rows, DAY, operation="save")) == {"b": 1}
