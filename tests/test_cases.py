"""The worked cases of tests/cases, run through the public metrics.

The adapter turns a case's words into options and filters; it computes nothing a metric should.
A case that the public surface cannot ask is listed in NOT_ASKED with the reason.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from frames import event, events

from data_access.metrics.active_users import active_users, active_users_hourly
from data_access.metrics.activity import activity, hourly
from data_access.metrics.funnel import funnel, funnel_histogram, funnel_trend, funnel_users
from data_access.metrics.lifecycle import lifecycle, lifecycle_users
from data_access.metrics.retention import retention, retention_users
from data_access.metrics.sessions import sessions
from data_access.metrics.stickiness import stickiness, stickiness_users
from data_access.window import Window

CASES = Path(__file__).parent / "cases"
EVERY = {"hour": "1h", "day": "1d", "week": "1w", "month": "1mo", "total": "1d"}
NOT_ASKED: dict[str, str] = {}  # none at the moment
# A user is new in the first active period ever; nobody here has a created_at. The numbers are
# the ones the case's own note gives for that definition.
FIRST_EVENT_IS_NEW = {
    "lc-created-before-first-event": {
        "new": [0, 1, 0, 0, 0, 0, 0, 0],
        "resurrecting": [0, 0, 0, 0, 1, 0, 0, 0],
    }
}

Case = dict[str, Any]


def cases(analysis: str) -> list[Any]:
    """Return the cases of one file that the public surface can ask, as parameters."""
    read = json.loads((CASES / f"{analysis}.json").read_text(encoding="utf-8"))["cases"]
    return [pytest.param(case, id=case["id"]) for case in read if case["id"] not in NOT_ASKED]


def rows(case: Case) -> pl.LazyFrame:
    """Return the case's events after its filters, with a column `has:<property>` for each."""
    asked = case["params"]
    properties = sorted({name for given in case["events"] for name in given["properties"]})
    people = case.get("users", {})
    kept = [
        given
        for given in case["events"]
        if _passes(given["properties"], asked.get("event_filter"))
        and _passes(people.get(given["user"], {}), asked.get("user_filter"))
    ]
    columns = {
        f"has:{name}": pl.Series(
            [_text(given["properties"].get(name)) for given in kept], dtype=pl.String
        )
        for name in properties
    }
    frame = events(
        *(event(given["timestamp"], _who(given, asked), given["event"]) for given in kept)
    )
    return frame.with_columns(**columns)


def _who(given: Case, asked: Case) -> str:
    by_device = asked.get("count_by") == "distinct_id"
    return str(
        given["properties"].get("distinct_id", given["user"]) if by_device else given["user"]
    )


def _text(value: object) -> str | None:
    return None if value is None else json.dumps(value)


def _passes(properties: Case, wanted: Case | None) -> bool:
    if wanted is None:
        return True
    value = properties.get(wanted["property"])
    if "in" in wanted:
        return value in wanted["in"]
    if "not_equals" in wanted:
        return bool(value != wanted["not_equals"])
    return bool(value == wanted["equals"])


def asked_window(case: Case) -> Window:
    """Return the case's range, whose end is inclusive; all time when it has none."""
    asked = case["params"]
    if asked.get("interval") == "hour":
        first, last = (datetime.fromisoformat(asked[f"range_{end}"]) for end in ("start", "end"))
        hours = (last - first) // timedelta(hours=1) + 1
        return Window.last_hours(hours, last.astimezone(UTC) + timedelta(hours=1))
    start = date.fromisoformat(asked.get("range_start") or "2015-01-01")
    if "total_intervals" in asked:
        end = start
        for _ in range(asked["total_intervals"] + asked.get("lookahead", 0)):
            end = Window(start, start + timedelta(days=1)).period_end(
                end, every=EVERY[asked["period"]]
            )
    else:
        end = date.fromisoformat(asked.get("range_end") or "2029-12-31") + timedelta(days=1)
    return Window(
        start, end, timezone=asked["timezone"], week_starts_on=asked.get("week_start", "monday")
    )


def test_the_cases_left_out_are_exactly_these():
    known = {
        case["id"]
        for analysis in (
            "active_users",
            "lifecycle",
            "retention",
            "stickiness",
            "sessions",
            "funnel",
        )
        for case in json.loads((CASES / f"{analysis}.json").read_text(encoding="utf-8"))["cases"]
    }

    assert set(NOT_ASKED) <= known
    assert len(NOT_ASKED) == 0
    assert len(known) == 47


def check(found: list[Any], expected: Case, *, first: int = 0) -> None:
    """Compare a list with all positions a case gives, or with those it gives `at`."""
    if "data" in expected:
        assert found == expected["data"]
    for at, value in expected.get("at", {}).items():
        assert found[int(at) - first] == value


@pytest.mark.parametrize("case", cases("active_users"))
def test_active_users(case: Case):
    asked, expected = case["params"], case["expected"]
    rolling = asked["metric"].startswith("rolling_")
    days = int(asked["metric"].removeprefix("rolling_").removesuffix("d")) if rolling else None
    given, over, every = rows(case), asked_window(case), EVERY[asked["interval"]]
    if asked["metric"] == "events":
        plan = (
            hourly(given, over, event=asked["event"])
            if every == "1h"
            else activity(given, over, every=every, event=asked["event"])
        )
        found = plan.collect()
    elif every == "1h":
        active = (asked["event"],)
        found = active_users_hourly(given, over, days=days, active_events=active).collect()
    else:
        active = (asked["event"],)
        found = active_users(given, over, every=every, days=days, active_events=active).collect()
    counted = found["events" if asked["metric"] == "events" else "users"]

    if "value" in expected:
        assert counted.last() == expected["value"]
    check(counted.to_list(), expected)
    if "dates" in expected:
        assert [str(period) for period in found["period"]] == expected["dates"]


@pytest.mark.parametrize("case", cases("stickiness"))
def test_stickiness(case: Case):
    asked, expected = case["params"], case["expected"]
    least = asked["min_events"] or {"op": "gte", "value": 1}
    options = {
        "every": EVERY[asked["period"]],
        "min_events": least["value"],
        "min_events_op": least["op"],
        "periods_per_bucket": asked["periods_per_bucket"],
        "active_events": (asked["event"],),
    }
    frame, over = rows(case), asked_window(case)
    found = stickiness(frame, over, at_least=asked["cumulative"], **options).collect()
    people = stickiness_users(frame, over, **options).collect()

    assert people.height == (found["users"].max() if asked["cumulative"] else found["users"].sum())
    check(found["users"].to_list(), expected, first=1)
    if "users_total" in expected:
        assert found["users"].sum() == expected["users_total"]


@pytest.mark.parametrize("case", cases("lifecycle"))
def test_lifecycle(case: Case):
    asked = case["params"]
    expected = case["expected"] | FIRST_EVENT_IS_NEW.get(case["id"], {})
    frame, over = rows(case), asked_window(case)
    options = {"every": EVERY[asked["period"]], "active_events": (asked["event"],)}
    found = lifecycle(frame, over, **options).collect()
    people = lifecycle_users(frame, over, **options).collect()

    for state in ("new", "returning", "resurrecting", "dormant"):
        there = [people.filter(period=one, state=state).height for one in found["period"]]
        assert there == [abs(number) for number in expected[state]]
        assert found[state].to_list() == expected[state]
        if "totals" in expected:
            assert found[state].sum() == expected["totals"][state]
    if "dates" in expected:
        assert [str(period) for period in found["period"]] == expected["dates"]


@pytest.mark.parametrize("case", cases("retention"))
def test_retention(case: Case):
    asked, expected = case["params"], case["expected"]
    window = asked_window(case)
    frame = rows(case)
    if asked.get("first_time_scope") == "within the analysis range":
        frame = frame.filter(window.contains())
    options = {
        "every": EVERY[asked["period"]],
        "start": asked["start_event"],
        "back": asked["return_event"],
        "cohort": "first" if asked["retention_type"] == "first_time" else "recurring",
        "unbounded": asked["cumulative"],
        "min_returns": asked["min_return_occurrences"],
        "brackets": tuple(asked.get("custom_brackets", ())),
        "clock": "calendar" if asked["time_window"] == "calendar" else "rolling",
        "to_the_hour": asked.get("floor_timestamps_to") == "hour",
    }
    found = retention(frame, window, **options).collect()
    cohorts = found["cohort"].unique(maintain_order=True).to_list()
    matrix = [found.filter(cohort=cohort)["users"].to_list() for cohort in cohorts]
    rates = [found.filter(cohort=cohort)["rate"].to_list() for cohort in cohorts]
    people = retention_users(frame, window, **options).collect()
    if "lookahead" in asked:  # a longer window, cut to the rows and columns asked for
        matrix = [row[: asked["lookahead"]] for row in matrix[: asked["total_intervals"]]]

    if "matrix" in expected:
        assert matrix == expected["matrix"]
    if "row_dates" in expected:
        assert [str(cohort) for cohort in cohorts] == expected["row_dates"]
    for at, row in enumerate(expected.get("rows_prefix", ())):
        assert matrix[at] == row
        assert rates[at] == pytest.approx(expected["rates_prefix"][at], abs=1e-9)
    if "bracket_row" in expected:
        assert matrix[expected["bracket_row"]["index"]] == expected["bracket_row"]["counts"]
    for cell, users in expected.get("cell_users", {}).items():
        row, column = map(int, cell.split(","))
        there = people.filter(cohort=cohorts[row], period=column)
        assert there["user_id_hash"].to_list() == sorted(users)
    for user, number in expected.get("user_day", {}).items():
        back = people.filter(pl.col("user_id_hash") == user, pl.col("period") > 0)
        assert back["period"].to_list() == ([number] if number else [])
    if "row" in expected:
        there = people.filter(cohort=cohorts[expected["row"]["index"]])
        seen = {
            user: there.filter(user_id_hash=user)["period"].to_list()
            for user in expected["row"]["users"]
        }
        assert set(there["user_id_hash"]) == set(expected["row"]["users"])
        assert seen == expected["row"]["appearances"]


@pytest.mark.parametrize("case", cases("sessions"))
def test_sessions(case: Case):
    asked, expected = case["params"], case["expected"]
    frame = rows(case)
    seconds = asked["timeout_seconds"]
    found = sessions(
        frame,
        asked_window(case),
        gap=None if seconds is None else f"{seconds}s",
        split_at_midnight=asked["reset_at_midnight"],
        starts_with=(asked["separator"],) if "separator" in asked else (),
    ).collect()

    if "page_filter" in asked:
        on_page = frame.filter(pl.col("has:path") == json.dumps(asked["page_filter"])).collect()
        assert on_page.height == expected["events"]
        assert on_page["user_id_hash"].n_unique() == expected["users"]
        entered = found.join(
            on_page, left_on=["user_id_hash", "started_at"], right_on=["user_id_hash", "timestamp"]
        )
        assert 100 * (entered["events"] == 1).mean() == expected["bounce_rate_pct"]
        assert entered["duration_s"].mean() == expected["avg_seconds"]
    if "sessions" in expected:
        assert found.height == expected["session_count"]
        assert found["events"].to_list() == [len(one["events"]) for one in expected["sessions"]]
        assert found["duration_s"].to_list() == [one["seconds"] for one in expected["sessions"]]
    for user, numbered in expected.get("session_index", {}).items():
        lengths = found.filter(user_id_hash=user)["events"].to_list()
        starts = [at for at, length in enumerate(lengths, 1) for _ in range(int(length))]
        names = [given["event"] for given in case["events"] if given["user"] == user]
        kept = zip(names, starts, strict=True)
        assert [[name, at] for name, at in kept if name != asked["separator"]] == numbered


def predicate(step: Case) -> str | pl.Expr:
    """Return a step as the metrics take it."""
    if "filter" not in step:
        return str(step["event"])
    wanted = step["filter"]
    has = pl.col(f"has:{wanted['property']}") == json.dumps(wanted["equals"])
    return (pl.col("event_name") == step["event"]) & has


@pytest.mark.parametrize("case", cases("funnel"))
def test_funnel(case: Case):
    asked, expected = case["params"], case["expected"]
    window, frame = asked_window(case), rows(case)
    limit = asked["window_seconds"]
    options: Case = {
        "steps": [predicate(step) for step in asked["steps"]],
        "within": None if limit is None else f"{limit}s",
        "order": asked["order"],
        "entry": "first" if asked.get("reentry") == "first_entry_only" else "best",
        "exclude": [
            (out["event"], out["after_step"], out["before_step"]) for out in asked["exclusions"]
        ],
    }
    found = funnel(frame, window, **options).collect()
    people = funnel_users(frame, window, **options).collect()

    if "counts" in expected:
        assert found["users"].to_list() == expected["counts"]
        reached = [people.filter(pl.col("steps_reached") > k).height for k in found["step"]]
        assert reached == expected["counts"]
    for k, users in enumerate(expected.get("users", ())):
        assert people.filter(pl.col("steps_reached") > k)["user_id_hash"].to_list() == sorted(users)
    if "share_of_previous_step" in expected:
        shares = expected["share_of_previous_step"][1:]
        assert found["rate_from_previous"].to_list()[1:] == pytest.approx(shares, abs=1e-9)
    if "time_to_convert" in asked:
        check_times(frame, window, options, asked["time_to_convert"], expected)
    if "trend" in asked:
        trend = funnel_trend(
            frame,
            window,
            every=EVERY[asked["trend"]["interval"]],
            from_step=asked["trend"]["from"],
            to_step=asked["trend"]["to"],
            **options,
        ).collect()
        percent = (100 * trend["rate"].fill_null(0.0)).round(2)
        together = zip(trend["users"], trend["converted"], percent, strict=True)
        assert [list(row) for row in together] == expected["trend"]


def check_times(
    frame: pl.LazyFrame, window: Window, options: Case, between: Case, expected: Case
) -> None:
    """Compare how long people took from one step to another."""
    people = funnel_users(frame, window, **options).collect()
    done = people.filter(pl.col("steps_reached") > between["to"])
    taken = done.select(
        pl.col("seconds").list.get(between["to"]) - pl.col("seconds").list.get(between["from"])
    ).to_series()
    bins = funnel_histogram(
        frame,
        window,
        bins=between["bins"],
        from_step=between["from"],
        to_step=between["to"],
        **options,
    ).collect()
    assert sorted(taken) == expected["seconds_sorted"]
    assert taken.mean() == pytest.approx(expected["avg_seconds"], abs=1e-9)
    assert [list(row) for row in bins.select("seconds_from", "users").rows()] == expected["bins"]
    if between["from"] == 0:
        median = funnel(frame, window, **options).collect()["seconds_p50"][between["to"]]
        assert median == taken.median()
