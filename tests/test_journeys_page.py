"""Facts about the Journeys page: the flow as laid out, what is said of it, who is behind it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from frames import event, events, instant, window

from data_access.metrics import journey_map, path_steps, paths
from pages.components import journey_charts, palette
from pages.components.journey_charts import STOPPED, laid_out
from tests.opened import opened, show
from tests.opened import plain_words as words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import polars as pl
    from streamlit.testing.v1 import AppTest

# test_pages.py opens this page in every run; what it does in detail is tried in CI
pytestmark = pytest.mark.slow

DAY = window("2026-01-05", "2026-01-06")
NOW = datetime.now(UTC).replace(microsecond=0)


def frames(*visits: str, **options: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the steps and edges of one visit per user, an event a minute."""
    begun = instant("2026-01-05T09:00")
    frame = events(
        *(
            event(begun + timedelta(minutes=at), f"u{number}", name)
            for number, visit in enumerate(visits)
            for at, name in enumerate(visit.split())
        )
    )
    return path_steps(frame, DAY, **options).collect(), paths(frame, DAY, **options).collect()


# --- the flow --------------------------------------------------------------------------------


def test_each_row_is_as_wide_as_what_the_row_above_passes_on():
    boxes, ribbons = laid_out(*frames("a b c", "a b", "a c", "b", depth=3))

    assert [(box.step, box.item, box.sessions, box.width) for box in boxes] == [
        (1, "a", 3, 0.75),
        (1, "b", 1, 0.25),
        (2, "b", 2, 0.5),
        (2, "c", 1, 0.25),
        (2, STOPPED, 1, 0.25),
        (3, "c", 1, 0.25),
        (3, STOPPED, 2, 0.5),
    ]
    assert {one.token: one.sessions for one in ribbons} == {
        "1 > a > b": 2,
        "1 > a > c": 1,
        f"1 > b > {STOPPED}": 1,
        "2 > b > c": 1,
        f"2 > b > {STOPPED}": 1,
        f"2 > c > {STOPPED}": 1,
    }


def test_ribbons_leave_and_arrive_side_by_side():
    boxes, ribbons = laid_out(*frames("a x", "a y", "b x", "b y"))

    for box in boxes:
        out = sorted((one.left, one.width) for one in ribbons if one.source == box)
        into = sorted((one.arrives, one.width) for one in ribbons if one.target == box)
        for ends in (out, into):
            at = box.left
            for left, width in ends:
                assert left == pytest.approx(at)
                at += width
            assert not ends or at == pytest.approx(box.left + box.width)


def test_what_stops_in_the_last_row_is_not_drawn_below_it():
    boxes, _ = laid_out(*frames("a b", depth=2))

    assert max(box.step for box in boxes) == 2


def test_the_rest_stands_behind_the_named_and_the_stopped_behind_all():
    boxes, _ = laid_out(*frames("a x", "a y", "a z", "a", most=1))

    assert [box.item for box in boxes if box.step == 2] == ["x", "other", STOPPED]


def test_a_flow_has_a_box_to_click_and_words_for_every_item():
    drawn = journey_charts.flow(*frames("a b", "a"))

    [bars] = [one for one in drawn.data if one.type == "bar"]
    assert [one[0] for one in bars.customdata] == ["1 > a", "2 > b", f"2 > {STOPPED}"]
    assert bars.customdata[0][1] == "Step 1: a<br>2 sessions, 100 % of all"
    assert bars.marker.color == (palette.INK, palette.INK, palette.GRID)
    assert bars.marker.pattern.shape == ("", "", "/")
    [targets] = [one for one in drawn.data if one.type == "scatter" and one.mode == "markers"]
    assert [one[0] for one in targets.customdata] == ["1 > a > b", f"1 > a > {STOPPED}"]
    assert targets.customdata[0][1] == (
        "a → b<br>1 session, 50.0 % of those there, 1.0 min on average"
    )


def test_names_of_the_data_are_no_markup():
    drawn = journey_charts.flow(*frames("<i>x</i> y"))

    [bars] = [one for one in drawn.data if one.type == "bar"]
    ribbons = [one for one in drawn.data if one.type == "scatter"]
    shown = [*bars.text, *(one[1] for one in bars.customdata), *(one.text for one in ribbons)]
    assert "&lt;i&gt;x&lt;/i&gt;" in str(shown)
    assert "<i>" not in str(shown)


def test_nothing_makes_an_empty_flow():
    assert laid_out(*frames()) == ([], [])
    assert journey_charts.flow(*frames()).layout.height > 0


def test_the_parts_of_a_milestone_add_up_to_who_reached_it():
    frame = events(
        event("2026-01-05T09:00", "u1", "x"), event("2026-01-05T09:00", "u2", "context_loaded")
    )
    found = journey_map(frame, DAY).collect()

    drawn = journey_charts.milestones(found)

    parts = {one.name: list(one.x) for one in drawn.data}
    assert [sum(column) for column in zip(*parts.values(), strict=True)] == [2, 0, 1, 0, 0, 0]
    assert {one.marker.pattern.shape for one in drawn.data} == {"/", ""}


# --- the page --------------------------------------------------------------------------------


def a_beta() -> list[dict[str, Any]]:
    """Return 30 people who go silent, ten after they paid, and one who came yesterday."""
    late = {"user_id_hash": "late", "session_id": "l", "timestamp": str(NOW - timedelta(days=1))}
    rows: list[dict[str, Any]] = [late | {"event_name": "session_started"}]
    for number in range(30):
        pays = number < 10
        who = {"user_id_hash": f"u{number:02}", "user_tier": "free", "session_id": f"s{number}"}
        names = ["session_started", "web_view_opened"] if pays else ["install", "session_started"]
        names += ["context_loaded", "paid_subscription_started"] if pays else []
        begun = NOW - timedelta(days=20)
        rows += [
            {"event_name": name, "timestamp": (begun + timedelta(minutes=at)).isoformat(), **who}
            for at, name in enumerate(names)
        ]
    return rows


@pytest.fixture
def shown(
    home: Path, load_lines: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., AppTest]:
    load_lines(*a_beta())
    show(home, monkeypatch)
    return partial(opened, "journeys")


def test_the_page_says_what_payers_do_and_where_newcomers_fall_silent(shown):
    said = words(shown())

    assert "**100 %** had web_view_opened among their first 4 steps; of the others 0 %" in said
    assert "**30 of 31 newcomers** have fallen silent; most of them (20) had got as far" in said
    assert "Most sessions begin with **install** (64.5 %)" in said
    assert "31 sessions, a new one after 30 minutes of silence" in said


def test_its_own_choices_narrow_the_flow_and_say_so(shown):
    app = shown(journeys__start="web_view_opened", journeys__gap="session id")

    said = words(app)
    assert "10 of 31 sessions, by their id, as on Overview" in said
    assert "Sessions without the chosen steps are left out" in said
    offered = next(one for one in app.selectbox if one.label == "From").options
    assert {"any", "install", "session_started", "web_view_opened"} <= set(offered)


def test_newcomers_are_broken_down_by_what_one_chooses(shown):
    app = shown(journeys__by="tier")

    table = next(one.value for one in app.dataframe if "newcomers" in one.value.columns)
    assert table[["group", "newcomers", "_5", "_silent"]].to_numpy().tolist() == [
        ["free", 30.0, pytest.approx(100 / 3), 100.0]
    ]


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("from-step-to-step:1 > install", "Step 1, install: 20 sessions"),
        (
            "from-step-to-step:2 > web_view_opened > context_loaded",
            "Step 2, web_view_opened, then context_loaded: 10 sessions",
        ),
        (
            f"from-step-to-step:2 > session_started > {STOPPED}",
            "Step 2, session_started, and nothing after it: 20 sessions",
        ),
        (
            "from-the-first-event-to-paying-or-to-silence:5 reached",
            "paid_subscription_started: 10 people reached it",
        ),
        (
            "from-the-first-event-to-paying-or-to-silence:0 silent",
            "first event: 20 people fell silent",
        ),
        (
            "ways-of-those-who-reached-the-goal:1",
            "10 people: session_started → web_view_opened → context_loaded",
        ),
    ],
)
def test_a_mark_in_the_link_opens_the_people_behind_it(shown, who, said):
    app = shown(who=who)

    assert f"**{said}**" in words(app)
    people = next(one.value for one in app.dataframe if "Person" in str(one.value.columns) or
                  "user_id_hash" in one.value.columns)  # fmt: skip
    assert len(people) == (20 if "20" in said else 10)


def test_without_a_newcomer_the_map_says_so_instead_of_drawing_nothing(
    home: Path, load_lines: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    show(home, monkeypatch)
    seen = {"user_id_hash": "u", "event_name": "session_started"}
    load_lines(*(seen | {"timestamp": str(NOW - timedelta(days=ago))} for ago in (2, 90)))

    app = opened("journeys")

    assert "Nobody was first seen in this period" in words(app)
    assert "1 sessions" not in words(app)
