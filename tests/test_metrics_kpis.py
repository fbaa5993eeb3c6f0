"""Facts about the headline numbers, and a naive second opinion on each of them."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from frames import event, events, instant, window
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data_access.metrics.kpis import kpis
from data_access.window import Window
from ingest.vocabulary import ACTIVE_EVENTS
from tests.examples import examples

FEBRUARY = window("2026-02-01", "2026-03-01")
PAID, CANCELED = "paid_subscription_started", "paid_subscription_canceled"
RESUMED = "session_resumed_from_context"

Numbers = dict[str, tuple[float | None, float, float | None]]


def numbers(frame: pl.LazyFrame, over: Window = FEBRUARY) -> Numbers:
    return {
        name: (value, top, bottom)
        for name, value, top, bottom in kpis(frame, over).collect().rows()
    }


def test_the_names_are_there_and_sorted_and_nothing_is_divided_by_zero():
    result = kpis(events(), FEBRUARY).collect()

    assert result["kpi"].to_list() == [
        *("cancellations", "cdr", "cdr_users", "dau", "error_rate", "mau", "paid_conversion"),
        *("resurrection", "resurrection_by_context", "stickiness", "wau"),
    ]
    counts = result.filter(pl.col("denominator").is_null())
    assert counts.select("kpi", "value").rows() == [
        ("cancellations", 0.0),
        ("dau", 0.0),
        ("mau", 0.0),
        ("wau", 0.0),
    ]
    assert result.filter(pl.col("denominator") == 0)["value"].null_count() == 7


# --- dependency on contexts ------------------------------------------------------------------


def test_cdr_takes_sessions_with_a_successful_load_or_resume_out_of_all_sessions():
    given = events(
        event("2026-02-02", "ada", "context_loaded", session_id="s1"),
        event("2026-02-02", "ada", "context_resumed", session_id="s1"),
        event("2026-02-03", "ada", "context_loaded", session_id="s2", result="failure"),
        event("2026-02-03", "bob", "context_created", session_id="s3"),
        event("2026-02-03", "cy", "context_loaded", session_id=""),
        event("2026-02-03", "cy", "context_loaded", session_id=None),
        event("2026-01-31", "dot", "context_loaded", session_id="s4"),
    )

    result = numbers(given)

    assert result["cdr"] == (pytest.approx(1 / 3), 1.0, 3.0)
    assert result["cdr_users"] == (pytest.approx(2 / 3), 2.0, 3.0)


def test_sessions_and_people_weigh_as_little_as_their_lightest_qualifying_event():
    given = events(
        event("2026-02-02", "ada", "context_loaded", session_id="s1", weight=4.0),
        event("2026-02-02", "ada", "context_loaded", session_id="s1", weight=3.0),
        event("2026-02-02", "ada", "session_started", session_id="s1", weight=2.0),
    )

    result = numbers(given)

    assert result["cdr"] == (1.5, 3.0, 2.0)
    assert result["cdr_users"] == (1.5, 3.0, 2.0)
    assert result["mau"] == (2.0, 2.0, None)


def test_error_rate_counts_every_result_but_success_by_weight():
    given = events(
        event("2026-02-02", weight=6.0),
        event("2026-02-02", result="timeout"),
        event("2026-02-28T23:59:59.999", result="failure"),
        event("2026-03-01", result="failure"),
    )

    assert numbers(given)["error_rate"] == (0.25, 2.0, 8.0)


# --- people ----------------------------------------------------------------------------------


def test_dau_wau_and_mau_end_with_the_last_day_and_reach_before_the_window():
    given = events(
        event("2026-02-28T12:00", "today"),
        event("2026-02-22T00:00", "this-week"),
        event("2026-02-21T23:59", "this-month"),
        event("2026-01-30T00:00", "this-month-before-the-window"),
        event("2026-01-29T23:59", "too-long-ago"),
        event("2026-02-28T12:00", "inactive", "context_loaded"),
    )

    result = numbers(given)

    assert [result[name][0] for name in ("dau", "wau", "mau")] == [1.0, 2.0, 4.0]
    assert result["stickiness"] == (0.25, 1.0, 4.0)


def test_the_last_day_is_the_windows_own():
    given = events(event("2026-03-01T02:00Z"))

    assert numbers(given)["dau"][0] == 0.0
    new_york = window("2026-02-01", "2026-03-01", timezone="America/New_York")
    assert numbers(given, new_york)["dau"][0] == 1.0


# --- resurrection ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        pytest.param(["2026-02-02", "2026-02-09"], (0, 1), id="six idle days are no return"),
        pytest.param(["2026-02-02", "2026-02-10"], (1, 1), id="seven idle days are"),
        pytest.param(["2025-06-01", "2026-02-10"], (1, 1), id="lost, and yet a return"),
        pytest.param(["2025-06-01"], (0, 0), id="lost"),
        pytest.param(["2025-10-26"], (0, 0), id="day 97 is the day before the window"),
        pytest.param(["2025-10-27"], (0, 1), id="day 97 is its first day"),
        pytest.param(["2026-02-20"], (0, 1), id="day 8 is its last day"),
        pytest.param(["2026-02-21"], (0, 0), id="day 8 comes after it"),
        pytest.param(["2026-01-20", "2026-02-01"], (1, 1), id="returned on the first day"),
        pytest.param(["2026-01-20", "2026-01-31", "2026-02-21"], (1, 1), id="twice"),
        pytest.param(["2026-01-20", "2026-01-31"], (0, 1), id="returned before, dormant again"),
        pytest.param(["2026-02-28"], (0, 0), id="new"),
        pytest.param(
            [f"2026-02-{number:02}" for number in (2, 8, 14, 20, 26)], (0, 0), id="never idle long"
        ),
    ],
)
def test_who_returned_and_who_was_dormant(days: list[str], expected: tuple[int, int]):
    result = numbers(events(*(event(f"{when}T12:00") for when in days)))

    # in the first two cases ada is dormant at the end, from the 17th and the 18th on
    assert result["resurrection"][1:] == expected


def test_a_return_is_by_context_when_its_own_day_holds_a_resumed_session():
    given = events(
        event("2026-01-01", "ada"),
        event("2026-02-10T09:00", "ada", RESUMED),
        event("2026-02-10T10:00", "ada"),
        event("2026-01-01", "bob"),
        event("2026-02-10", "bob"),
        event("2026-02-11", "bob", RESUMED),
        event("2026-02-12", "new", RESUMED),
    )

    assert numbers(given)["resurrection_by_context"] == (0.5, 1.0, 2.0)


# --- conversion ------------------------------------------------------------------------------


def paying(when: str, user: str = "ada", name: str = "session_started", **columns: object) -> Any:
    return event(when, user, name, is_paid_user=True, user_tier="paid", **columns)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([event("2026-01-05"), paying("2026-02-05", name=PAID)], (1, 1), id="converts"),
        pytest.param([event("2026-01-05"), event("2026-02-05")], (0, 1), id="active and free"),
        pytest.param([event("2026-01-05")], (0, 0), id="not here in the window"),
        pytest.param(
            [event("2026-01-05"), event("2026-02-05", name="install")], (0, 0), id="not active"
        ),
        pytest.param([paying("2026-01-05"), event("2026-02-05")], (0, 0), id="paid before"),
        pytest.param([paying("2026-02-05")], (0, 0), id="new and paying already"),
        pytest.param([paying("2026-02-05", name=PAID)], (1, 1), id="new and converting"),
        pytest.param(
            [
                paying("2026-01-05", name=PAID),
                event("2026-01-06"),
                event("2026-02-04"),
                paying("2026-02-05", name=PAID),
            ],
            (0, 1),
            id="only the first ever start converts",
        ),
        pytest.param(
            [
                event("2026-01-05", event_id="b"),
                paying("2026-01-05", event_id="a"),
                event("2026-02-05"),
            ],
            (0, 1),
            id="equal times go by event_id",
        ),
        pytest.param(
            [
                event("2026-01-05", event_id="a"),
                paying("2026-01-05", event_id="b"),
                event("2026-02-05"),
            ],
            (0, 0),
            id="equal times go by event_id, the other way",
        ),
    ],
)
def test_who_converted_out_of_whom(rows: list[Any], expected: tuple[int, int]):
    assert numbers(events(*rows))["paid_conversion"][1:] == expected


def test_cancellations_stand_beside_the_conversion_and_change_nothing_in_it():
    kept = [event("2026-01-05"), paying("2026-02-05", name=PAID)]

    result = numbers(events(*kept, event("2026-02-06", name=CANCELED)))

    assert result["paid_conversion"] == numbers(events(*kept))["paid_conversion"] == (1, 1, 1)
    assert result["cancellations"] == (1.0, 1.0, None)


# --- a naive second opinion ------------------------------------------------------------------

START = date(2026, 2, 1)
OVER = Window(START, START + timedelta(days=20))
NAMES = ["session_started", "context_loaded", RESUMED, PAID, CANCELED, "web_view_opened", "install"]


def second_opinion(  # noqa: C901, PLR0912 - the definitions read once, from top to bottom
    rows: list[Any], over: Window
) -> dict[str, tuple[float, float | None]]:
    """Count everything row by row and day by day, the way the definitions read; weights are 1."""
    rows = sorted(rows, key=lambda row: (row["timestamp"], row["event_id"]))
    window_days = {over.start + timedelta(days=number) for number in range(over.days)}
    last = over.end - timedelta(days=1)
    by_user: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        if row["timestamp"].date() <= last:
            by_user[row["user_id_hash"]].append(row)

    def inside(row: Any) -> bool:
        return row["timestamp"].date() in window_days

    found: dict[str, set[str]] = defaultdict(set)
    for user, own in by_user.items():
        active = sorted(
            {row["timestamp"].date() for row in own if row["event_name"] in ACTIVE_EVENTS}
        )
        for name, length in (("dau", 1), ("wau", 7), ("mau", 30)):
            if any(0 <= (last - day).days < length for day in active):
                found[name].add(user)
        dormant: set[date] = set()
        for number, day in enumerate(active):
            following = active[number + 1] if number + 1 < len(active) else None
            for delay in range(8, 98):
                idle = day + timedelta(days=delay)
                if following is None or idle < following:
                    dormant.add(idle)
            if following is not None and (following - day).days >= 8 and following in window_days:
                found["returned"].add(user)
                if any(
                    row["event_name"] == RESUMED and row["timestamp"].date() == following
                    for row in own
                ):
                    found["by_context"].add(user)
        if dormant & window_days or user in found["returned"]:
            found["dormant_or_returned"].add(user)
        starts = [row for row in own if row["event_name"] == PAID]
        if starts and inside(starts[0]):
            found["converted"].add(user)
        before = [row for row in own if row["timestamp"].date() < over.start]
        within = [row for row in own if inside(row)]
        if user in found["converted"] or any(row["event_name"] in ACTIVE_EVENTS for row in within):
            if before:
                free = not before[-1]["is_paid_user"]
            else:
                free = not within[0]["is_paid_user"] or user in found["converted"]
            if free:
                found["convertible"].add(user)
        if any(row["event_name"] == CANCELED for row in within):
            found["cancelled"].add(user)
    size = {name: len(users) for name, users in found.items()}
    return {
        "dau": (size.get("dau", 0), None),
        "wau": (size.get("wau", 0), None),
        "mau": (size.get("mau", 0), None),
        "stickiness": (size.get("dau", 0), size.get("mau", 0)),
        "resurrection": (size.get("returned", 0), size.get("dormant_or_returned", 0)),
        "resurrection_by_context": (size.get("by_context", 0), size.get("returned", 0)),
        "paid_conversion": (size.get("converted", 0), size.get("convertible", 0)),
        "cancellations": (size.get("cancelled", 0), None),
    }


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(150))
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-150, 25), st.sampled_from("abc"), st.sampled_from(NAMES), st.booleans()
        ),
        max_size=30,
    )
)
def test_a_naive_count_agrees(rows: list[tuple[int, str, str, bool]]):
    first = datetime.combine(START, datetime.min.time())
    made = [
        event(first + timedelta(days=day), user, name, is_paid_user=paid, event_id=f"{at:04}")
        for at, (day, user, name, paid) in enumerate(rows)
    ]

    result = numbers(events(*made), OVER)

    for name, (top, bottom) in second_opinion(made, OVER).items():
        assert (name, *result[name][1:]) == (name, top, bottom)


def test_sql_agrees_on_the_plain_counts():
    """The same rows in SQLite, asked in SQL."""
    made = [
        event(
            instant("2026-01-20") + timedelta(minutes=number * 371),
            f"u{number * 7 % 13}",
            NAMES[number * 5 % 7],
            session_id=f"s{number % 31}" if number % 4 else "",
            result="failure" if number % 9 == 0 else "success",
        )
        for number in range(300)
    ]
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE e (day TEXT, user TEXT, name TEXT, session TEXT, result TEXT)")
    database.executemany(
        "INSERT INTO e VALUES (?, ?, ?, ?, ?)",
        [
            (
                row["timestamp"].date().isoformat(),
                *(row[name] for name in ("user_id_hash", "event_name", "session_id", "result")),
            )
            for row in made
        ],
    )
    inside = "day >= '2026-02-01' AND day < '2026-03-01'"
    loaded = "name IN ('context_loaded', 'context_resumed') AND result = 'success'"
    active = f"name IN {ACTIVE_EVENTS}"

    def ask(what: str, where: str) -> float:
        return database.execute(f"SELECT {what} FROM e WHERE {where}").fetchone()[0]

    result = numbers(events(*made))

    sessions, people = "COUNT(DISTINCT NULLIF(session, ''))", "COUNT(DISTINCT user)"
    assert result["cdr"][1:] == (ask(sessions, f"{inside} AND {loaded}"), ask(sessions, inside))
    assert result["cdr_users"][1:] == (ask(people, f"{inside} AND {loaded}"), ask(people, inside))
    assert result["error_rate"][1:] == (
        ask("COUNT(*)", f"{inside} AND result <> 'success'"),
        ask("COUNT(*)", inside),
    )
    assert result["mau"][0] == ask(people, f"{active} AND day >= '2026-01-30' AND {inside[23:]}")
    database.close()


def test_the_order_of_rows_changes_nothing():
    made = [event(f"2026-02-{day:02}", "ab"[day % 2], NAMES[day % 7]) for day in range(1, 25)]

    assert_frame_equal(
        kpis(events(*made), FEBRUARY).collect(), kpis(events(*made[::-1]), FEBRUARY).collect()
    )
