"""The extension: who installs it and goes on, what they do, how long, what fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from frames import day, error, errors, event, events, instant, window

from data_access import metrics, scan

OLD = Path(__file__).parent / "data" / "v1.db"
JANUARY = window("2026-01-05", "2026-02-02")  # four weeks
DAYS = window("2026-01-05", "2026-01-07")


def done(when: str, user: str = "ada", name: str = "code_insert", **columns: object):
    """Return an event of the extension."""
    return event(when, user, name, **({"channel": "extension"} | columns))


def said(**metadata: object) -> str:
    return json.dumps(metadata)


def a_newcomer(user: str, installs: str, *others: tuple[str, str]):
    """Return an installation and (time, event name) of what follows."""
    return [done(installs, user, "install"), *(done(when, user, name) for when, name in others)]


# --- installed, activated, used --------------------------------------------------------------

ON = "extension_activated"
NEWCOMERS = [
    # activated on the last instant, used at once and on day 7
    *a_newcomer("ada", "2026-01-05T10:00", ("2026-01-12T10:00", ON), ("2026-01-12T23:00", "ui_x")),
    # activated too late; used on day 13
    *a_newcomer("ben", "2026-01-06T10:00", ("2026-01-13T10:00:01", ON), ("2026-01-19", "ui_x")),
    # only what an editor does by itself, and what another channel sees
    *a_newcomer("cy", "2026-01-06", ("2026-01-07", ON), ("2026-01-14", "session_started")),
    event("2026-01-14", "cy", "server_operation_called"),
    # used on day 6 and on day 14, but not between
    *a_newcomer("dee", "2026-01-07", ("2026-01-13", "ui_x"), ("2026-01-21", "ui_x")),
    # not for the first time
    *a_newcomer("eve", "2025-11-01", ("2026-01-07", "install"), ("2026-01-07", "ui_x")),
    # whose next week is not over
    *a_newcomer("fay", "2026-01-20", ("2026-01-20", ON), ("2026-01-20", "ui_x")),
    event("2026-01-08", "gus", "install"),
    done("2026-01-08", "hal", "install", user_id_hash=None),
]


def test_who_installs_is_followed_to_their_activation_and_their_next_week():
    found = metrics.extension_activation(events(*NEWCOMERS), JANUARY).collect()

    assert found.rows() == [
        (day("2026-01-05"), 4.0, 2.0, 3.0, 2.0, 1.0, 0.5, 0.5, 0.25, True),
        (day("2026-01-12"), 0.0, 0.0, 0.0, 0.0, 0.0, None, None, None, True),
        (day("2026-01-19"), 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, False),
        (day("2026-01-26"), 0.0, 0.0, 0.0, 0.0, 0.0, None, None, None, False),
    ]


def test_a_period_is_complete_once_day_13_of_its_last_newcomer_is_over():
    for end, complete in (("2026-01-24", False), ("2026-01-25", True)):
        found = metrics.extension_activation(events(), window("2026-01-05", end)).collect()
        assert found["complete"][0] is complete


def test_the_funnel_asks_only_those_whose_next_week_is_over_and_each_step_of_the_one_before():
    found = metrics.extension_funnel(events(*NEWCOMERS), JANUARY).collect()

    assert found.drop("event_name").rows() == [
        (0, 4.0, 1.0, 1.0),
        (1, 2.0, 0.5, 0.5),
        (2, 1.0, 0.25, 0.5),
        (3, 1.0, 0.25, 1.0),
    ]


def test_the_people_behind_it_are_listed_with_what_they_did():
    found = metrics.extension_installs(events(*NEWCOMERS), JANUARY).collect()

    assert found["user_id_hash"].to_list() == ["ada", "ben", "cy", "dee", "fay"]
    assert found.row(0) == (
        "ada",
        instant("2026-01-05T10:00"),
        instant("2026-01-12T10:00"),
        instant("2026-01-12T23:00"),
        True,
        4,
        True,
        1.0,
    )
    assert found["steps_reached"].to_list() == [4, 1, 2, 1, 3]
    assert found["due"].to_list() == [True, True, True, True, False]


def test_an_activation_that_failed_is_none():
    given = events(done("2026-01-05", name="install"), done("2026-01-05", name=ON, result="error"))

    assert metrics.extension_activation(given, JANUARY).collect()["activated"].sum() == 0


def test_days_of_an_installation_begin_at_midnight_of_the_windows_timezone():
    """23:30 UTC on the 5th is the 6th in Berlin, so the 12th there is day 6, and no use."""
    given = events(done("2026-01-05T23:30", name="install"), done("2026-01-12T10:00", name="ui_x"))
    berlin = window("2026-01-05", "2026-02-02", timezone="Europe/Berlin")

    assert metrics.extension_activation(given, JANUARY).collect()["used_next_week"].sum() == 1
    assert metrics.extension_activation(given, berlin).collect()["used_next_week"].sum() == 0


# --- what is done ----------------------------------------------------------------------------


def test_interactions_are_told_by_element_and_action_in_one_channel():
    opens = {"name": "ui_interaction", "metadata": said(element="menu", action="open")}
    given = events(
        done("2026-01-05", **opens),
        done("2026-01-05", **opens, result="error", weight=2.0),
        done("2026-01-05", "ben", **opens),
        done("2026-01-05", name="ui_interaction", metadata="{"),
        done("2026-01-05", **opens, channel="web"),
        done("2026-01-07", **opens),
    )

    assert metrics.interactions(given, DAYS).collect().rows() == [
        (None, None, 1.0, 1.0, 0.0),
        ("menu", "open", 4.0, 2.0, 2.0),
    ]
    assert metrics.interactions(given, DAYS, channel="web").collect()["events"].sum() == 1


def test_an_insertion_that_says_nothing_is_neither_accepted_nor_refused():
    given = events(
        done("2026-01-05", metadata=said(lines_inserted=10, accepted=True), weight=2.0),
        done("2026-01-05", metadata=said(lines_inserted="4", accepted="no")),
        done("2026-01-05", "ben", metadata=said(language="go")),
        done("2026-01-05", "ben", "ui_interaction", metadata=said(lines_inserted=9)),
    )

    assert metrics.code_insertions(given, DAYS).drop("complete").collect().rows() == [
        (day("2026-01-05"), 4.0, 2.0, 24.0, 3.0, 2.0, 2 / 3),
        (day("2026-01-06"), 0.0, 0.0, 0.0, 0.0, 0.0, None),
    ]


def test_context_switches_are_divided_by_those_who_switch():
    given = events(
        *(done("2026-01-05", user, "context_switch") for user in ("ada", "ada", "ben")),
        done("2026-01-05", "cy", "context_switch", channel="server"),
    )

    assert metrics.context_switches(given, DAYS).drop("complete").collect().rows() == [
        (day("2026-01-05"), 3.0, 2.0, 1.5),
        (day("2026-01-06"), 0.0, 0.0, None),
    ]


# --- how long --------------------------------------------------------------------------------

VISITS = events(
    done("2026-01-05T09:00"), done("2026-01-05T09:10"), done("2026-01-05T09:40"),
    done("2026-01-05T12:00"),
    done("2026-01-05T23:50", "ben"), done("2026-01-06T00:10", "ben"),
    event("2026-01-05T12:20"),
    done("2026-01-06T10:00", weight=1.0), done("2026-01-06T10:02"),
)  # fmt: skip


def test_time_in_the_extension_is_told_per_person_and_day_of_use():
    found = metrics.extension_sessions(VISITS, DAYS).drop("complete").collect()

    assert found.rows() == [
        (day("2026-01-05"), 3.0, 2.0, 1_200.0, 2.0, 1_800.0),
        (day("2026-01-06"), 1.0, 1.0, 120.0, 1.0, 120.0),
    ]
    [row] = metrics.extension_sessions(VISITS, DAYS, every=None).collect().rows()
    assert row == (4.0, 2.0, 660.0, 3.0, 1_240.0)


def test_lengths_of_sessions_fall_into_classes_that_are_all_there():
    found = metrics.session_lengths(VISITS, DAYS).collect()

    assert dict(found.select("seconds_from", "sessions").rows()) == {
        0.0: 1.0, 1.0: 0.0, 60.0: 1.0, 300.0: 0.0, 900.0: 1.0, 1_800.0: 1.0, 3_600.0: 0.0,
        7_200.0: 0.0,
    }  # fmt: skip
    assert found["seconds_to"].to_list()[-1] is None
    assert found["share"].sum() == 1


# --- what fails ------------------------------------------------------------------------------


def test_failures_timeouts_and_errors_are_told_apart_and_people_hit_once():
    given = events(
        done("2026-01-05"),
        done("2026-01-05", result="timeout", weight=3.0),
        done("2026-01-05", result="error"),
        done("2026-01-05", "ben", result="odd"),
        event("2026-01-05", "cy", result="error"),
    )
    broken = errors(
        error("2026-01-05", "ada", channel="extension", occurrences=4, weight=2.0),
        error("2026-01-05", "dee", channel="extension"),
        error("2026-01-05", "eve"),
    )

    found = metrics.extension_failures(given, broken, DAYS).drop("complete").collect()

    assert found.rows() == [
        (day("2026-01-05"), 6.0, 2.0, 3.0, pytest.approx(5 / 6), 9.0, 3.0),
        (day("2026-01-06"), 0.0, 0.0, 0.0, None, 0.0, 0.0),
    ]


def test_the_older_extension_is_told_in_its_own_words(tmp_path):
    """`activate`, and `error` as an event: a database of the first version reads as today's."""
    copy = tmp_path / "v1.db"
    copy.write_bytes(OLD.read_bytes())
    given = scan("events", copy)
    days = given.select("timestamp").collect()["timestamp"].dt.date()
    everything = window(str(days.min()), f"{days.max().year + 1}-01-01")

    installed = metrics.extension_activation(given, everything, every="1mo").collect()
    inserted = metrics.code_insertions(given, everything, every="1mo").collect()

    assert 0 < installed["activated"].sum() <= installed["installed"].sum()
    assert inserted["lines"].sum() > inserted["insertions"].sum() > 0
    assert metrics.interactions(given, everything).collect()["element"].null_count() == 0
