"""Every page in every state: data, no home, nothing in it, values that are null or hostile."""

from __future__ import annotations

import gc
import json
import re
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.testing.v1 import AppTest

from data_access import scan
from data_access.metrics import METRICS
from ingest.loader import load
from ingest.team import save_segment
from pages.components import home as homes
from pages.components import menu
from pages.components.view import View
from tests.opened import words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# a person's run tries the rarer states on three pages, CI on all of them
EXAMPLES = ("overview", "retention", "errors")
PAGES = tuple(entry.name for entry in menu.REPORTS)
SOME_OR_ALL = [
    pytest.param(name, marks=[] if name in EXAMPLES else pytest.mark.slow) for name in PAGES
]
NOW = datetime.now(UTC).replace(microsecond=0)
HOSTILE = "**b** <script>x</script> $x$ :smile: [a](http://e) `c` \u202e\n# h"
TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line 3, in f\nValueError: no 7'


def at(days_ago: float) -> str:
    return (NOW - timedelta(days=days_ago)).isoformat()


def a_beta(name: str = "rag_search") -> list[dict[str, Any]]:
    """Return three weeks of three people: events, an error and traces on most days."""
    rows: list[dict[str, Any]] = []
    for day in range(1, 22):
        for number, tier in enumerate(("free", "paid", "enterprise")):
            who = {
                "user_id_hash": f"u{number}",
                "user_tier": tier,
                "session_id": f"s{day}-{number}",
                "channel": "server" if number else "web",
                "release": "1.1.0" if day < 10 else "1.0.0",
                "project_id": "p",
            }
            trial = {"flag": name, "variant": f"{name} {number}"}
            rows += [
                {"event_name": event, "timestamp": at(day), "metadata": trial, **who}
                for event in ("session_started", "context_loaded")
            ]
            rows.append(
                {"operation_name": name, "duration_ms": 10.0 * day, "timestamp": at(day), **who}
            )
        rows += in_the_extension(name, day, {**who, "channel": "extension"})
        rows.append(
            {
                "error_type": "ValueError",
                "error_message": f"no {day}",
                "stack_trace": TRACEBACK,
                "timestamp": at(day),
                **who,
            }
        )
    return rows


def in_the_extension(name: str, day: int, who: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what somebody does there: a call of a model, on the first day an installation."""
    first = ["install", "extension_activated"] if day == 21 else []
    said = {
        "model": name,
        "provider": "p",
        "cost_usd": 0.5,
        "tokens_input": 100,
        "ide": name,
        "language": "go",
        "element": name,
        "action": "open",
    }
    return [
        {"event_name": event, "timestamp": at(day), "metadata": said, **who}
        for event in (*first, "code_insert", "ui_interaction")
    ]


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    lines = folder / "lines.jsonl"
    lines.write_text("".join(f"{json.dumps(row)}\n" for row in a_beta()))
    home = folder / "telemetry"
    home.mkdir()
    load(lines, home)
    return home


@pytest.fixture
def full(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Show the home these tests share, and what was computed of it; none writes into it."""
    monkeypatch.setenv("TELEMETRY_HOME", str(written))


@pytest.fixture
def own(written: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Show a copy of that home, to write into."""
    shutil.copytree(written, home, dirs_exist_ok=True)
    monkeypatch.setenv("TELEMETRY_HOME", str(home))
    return home


def run(page: str, **query: str | list[str]) -> AppTest:
    app = AppTest.from_file("../pages/frame.py", default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    if page != "overview":
        app.switch_page(f"{page}.py").run()
    assert not app.exception, [one.message for one in app.exception]
    return app


@pytest.mark.parametrize("page", PAGES)
def test_a_page_with_data_fails_nowhere_and_has_numbers(full: None, page: str):
    app = run(page)

    assert not app.error, [one.value for one in app.error]
    assert len(app.metric) >= 4
    assert any(any(digit in one.value for digit in "123456789") for one in app.metric)
    assert "days to" in words(app)
    assert "data as of" in words(app)


@pytest.mark.parametrize("page", SOME_OR_ALL)
def test_without_a_home_every_page_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str
):
    monkeypatch.setenv("TELEMETRY_HOME", str(tmp_path / "nowhere"))

    app = run(page)

    assert "python -m ingest demo" in words(app) + "".join(one.value for one in app.code)
    assert not app.metric


@pytest.mark.parametrize("page", SOME_OR_ALL)
def test_an_empty_home_shows_every_cell_empty_and_none_failed(
    home: Path, monkeypatch: pytest.MonkeyPatch, page: str
):
    monkeypatch.setenv("TELEMETRY_HOME", str(home))

    app = run(page)

    assert not app.error
    assert "There are no events yet" in words(app)
    assert "hourglass" in words(app)
    assert not app.get("plotly_chart")


@pytest.mark.parametrize("page", SOME_OR_ALL)
def test_rows_that_leave_out_all_they_may_are_shown(
    home: Path, load_lines: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, page: str
):
    bare = {"user_id_hash": "u", "timestamp": at(2)}
    load_lines(
        bare | {"event_name": "session_started"},
        bare | {"error_type": "E"},
        bare | {"operation_name": "o"},
    )
    monkeypatch.setenv("TELEMETRY_HOME", str(home))

    app = run(page)

    assert not app.error, [one.value for one in app.error]


@pytest.mark.parametrize("page", SOME_OR_ALL)
def test_names_full_of_markup_break_no_page_and_are_never_markup(
    home: Path, load_lines: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, page: str
):
    rows = [
        row
        | {
            "project_id": HOSTILE,
            "release": HOSTILE,
            "user_tier": HOSTILE,
            "error_message": HOSTILE,
            "user_id_hash": f"{HOSTILE[:20]}{row['user_id_hash']}",
        }
        for row in a_beta(HOSTILE)
    ]
    load_lines(*rows)
    monkeypatch.setenv("TELEMETRY_HOME", str(home))

    app = run(page)

    assert not app.error, [one.value for one in app.error]
    assert "<script>" not in words(app).replace("\\<script\\>", "")


def test_two_days_in_a_link_are_its_span(full: None):
    days = {name: at(ago)[:10] for name, ago in (("from", 5), ("to", 3))}

    app = run("overview", **days)

    assert app.segmented_control(key="span").value == "custom"
    assert "3 days to" in words(app)
    assert not app.warning


@pytest.mark.parametrize("page", ["overview", "errors"])
def test_a_deep_link_opens_with_its_filters(full: None, page: str):
    app = run(page, span="7d", tier=["paid", "free"], compare="false")

    assert app.multiselect(key="tier").value == ["paid", "free"]
    assert app.toggle(key="compare").value is False
    assert "7 days to" in words(app)
    assert "Only tier free, paid" in words(app)
    assert all(not one.delta for one in app.metric)


def test_days_before_the_first_data_are_nothing_to_compare_with(full: None):
    app = run("overview")

    said = words(app)
    assert "nothing before to compare with as the data begins on" in said
    assert all(not one.delta for one in app.metric)
    assert "up from none" not in said
    assert "Nothing to compare" in said


def test_a_period_before_that_the_data_covers_in_part_says_so(full: None):
    app = run("overview", span="7d")
    assert "compared with" in words(app)
    assert "the data begins on" not in words(app)
    assert any(one.delta for one in app.metric)

    days = {
        name: f"{NOW - timedelta(days=ago):%Y-%m-%d}" for name, ago in (("from", 13), ("to", 1))
    }
    assert "(the data begins on" in words(run("overview", span="custom", **days))


def test_a_segment_and_a_property_are_filters_like_any_other(own: Path):
    save_segment(own, "internal", users=["u0"])

    app = run("overview", segment="not internal", where=["ide:none"])
    assert app.multiselect(key="segment").value == ["not internal"]
    assert app.multiselect(key="segment").options == ["internal", "not internal"]
    assert app.multiselect(key="where").value == ["ide:none"]
    assert "property ide:none; segment not internal" in words(app).replace("\\", "")


def test_a_segment_nobody_saved_is_ignored_with_a_note(full: None):
    app = run("overview", segment="gone")

    assert not app.error
    assert "Ignored unknown segment" in words(app)
    assert app.multiselect(key="segment").value == []


def test_a_hostile_link_is_ignored_with_a_note(full: None):
    app = run("overview", span="evil", tier="<b>root</b>", live="banana", foo="1")

    said = words(app)
    assert app.segmented_control(key="span").value == "28d"
    for part in ("evil", "root", "banana", "foo"):
        assert part in said


def test_reset_takes_every_filter_back(full: None):
    app = run("overview", span="7d", tier="paid", complete="false", live="true")

    next(one for one in app.button if one.label == "Reset").click().run()

    assert app.segmented_control(key="span").value == "28d"
    assert app.multiselect(key="tier").value == []
    assert app.toggle(key="complete").value is True
    assert app.toggle(key="live").value is False


def test_reset_takes_back_a_page_s_own_choices_and_the_opened_list(full: None):
    day = (NOW - timedelta(days=3)).date().isoformat()
    app = run("overview", who=f"active-people:{day}", **{"overview.by": "tier"})
    assert "were active on" in words(app)

    next(one for one in app.button if one.label == "Reset").click().run()

    assert app.selectbox(key="overview.by").value == "none"
    assert "were active on" not in words(app)


def test_old_data_moves_the_span_and_says_so(
    home: Path, load_lines: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    load_lines(
        {"event_name": "session_started", "user_id_hash": "u", "timestamp": "2020-05-01T10:00:00Z"}
    )
    monkeypatch.setenv("TELEMETRY_HOME", str(home))

    said = words(run("overview"))

    assert "The data ends on 1 May 2020" in said
    assert "28 days to 1 May 2020" in said


def test_a_chosen_group_opens_down_to_its_trace(full: None):
    app = run("errors")
    box = next(one for one in app.selectbox if one.label == "Group of errors")
    assert len(box.options) == 1  # twenty-one messages that differ in a number are one group

    box.set_value(box.options[0]).run()

    assert "One occurrence" in [one.value for one in app.subheader]
    assert any("line 3, in f" in one.value for one in app.code)
    assert app.session_state["group"]


def opened_group(home: Path) -> dict[str, str]:
    return {"group": scan("errors", home).select("group_hash").first().collect().item()}


def told_apart(page: str, **query: str) -> set[str]:
    """Return the people a page names, in its words or its tables."""
    app = run(page, **query)
    assert not app.error
    said = words(app) + "".join(str(one.value.to_dict("list")) for one in app.dataframe)
    return set(re.findall(r"\bu[0-2]\b", said))


@pytest.mark.parametrize("page", SOME_OR_ALL)
def test_where_lists_of_people_are_closed_no_page_tells_one_from_another(own: Path, page: str):
    (own / "telemetry.toml").write_text("open_beta_date = 2099-01-01\npeople_lists = false\n")

    assert told_apart(page, **opened_group(own)) == set()


def test_pages_name_people_by_pseudonym_where_they_may(own: Path):
    (own / "telemetry.toml").write_text("open_beta_date = 2099-01-01\n")

    assert told_apart("errors", **opened_group(own)) == {"u2"}
    assert told_apart("closed_beta") == {"u0", "u1", "u2"}


@pytest.mark.parametrize("page", SOME_OR_ALL)
def test_a_metric_that_fails_takes_its_own_cells_with_it_and_nothing_else(
    own: Path, monkeypatch: pytest.MonkeyPatch, page: str
):
    broken = {
        "overview": "movers",
        "closed_beta": "activation",
        "open_beta": "retention",
        "tiers": "tier_moves",
        "funnels": "tier_moves",
        "retention": "stickiness",
        "errors": "error_groups",
        "latency": "slowest",
        "pipeline": "activity",
        "journeys": "journey_items",
        "users": "users",
        "models": "observations",
        "features": "co_usage",
        "extension": "interactions",
        "experiments": "experiment_daily",
    }[page]

    def compute(*_frames: object, **_options: object) -> None:
        raise RuntimeError("on purpose: /secret/path")

    monkeypatch.setitem(METRICS, broken, replace(METRICS[broken], compute=compute))

    app = run(page)

    assert app.error
    assert "could not be computed" in app.error[0].value
    assert "/secret/path" not in words(app)
    assert len([*app.header, *app.subheader]) >= 3
    assert page == "errors" or app.metric


def test_the_path_on_the_command_line_beats_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TELEMETRY_HOME", "/environment")
    monkeypatch.setattr(sys, "argv", ["/somewhere/app.py", "/argument"])
    assert homes.chosen() == "/argument"

    monkeypatch.setattr(sys, "argv", ["/somewhere/app.py"])
    assert homes.chosen() == "/environment"

    monkeypatch.setattr(sys, "argv", ["/usr/bin/uvicorn", "app:app"])
    assert homes.chosen() == "/environment"

    monkeypatch.delenv("TELEMETRY_HOME")
    assert homes.chosen() == "telemetry"


def test_a_link_opens_the_people_behind_a_mark(full: None):
    day = (NOW - timedelta(days=3)).date().isoformat()

    app = run("overview", who=f"active-people:{day}")

    assert "**3 people** were active on" in words(app) or "3 people were active on" in words(app)
    [table] = [one for one in app.dataframe if "times" in one.value.columns]
    assert sorted(table.value["user_id_hash"]) == ["u0", "u1", "u2"]


@pytest.mark.parametrize("token", ["2020-01-01", "<script>", "active-people"])
def test_a_mark_that_is_not_in_the_picture_is_said_and_breaks_nothing(full: None, token: str):
    app = run("overview", who=f"active-people:{token}")

    assert not app.error
    assert "a mark that is not in this picture" in words(app)


@pytest.mark.parametrize(
    ("page", "title"),
    [("overview", "Active people"), ("errors", "Errors"), ("latency", "p95")],
)
def test_a_number_can_be_broken_down_and_small_groups_are_kept_together(
    own: Path, page: str, title: str
):
    few = run(page, **{f"{page}.by": "tier"})
    (own / "telemetry.toml").write_text('small_groups = "show"')
    shown = run(page, **{f"{page}.by": "tier"})

    assert f"{title} by tier" in [one.value for one in [*shown.header, *shown.subheader]]
    assert "Fewer could be recognised" in words(few)
    assert "Fewer could be recognised" not in words(shown)
    assert not shown.error


def test_a_session_keeps_nothing_of_the_pictures_it_has_seen(full: None):
    """Streamlit keeps every picture's callback; one that held a view would keep all its frames."""
    app = run("overview")

    def views() -> int:
        gc.collect()
        return sum(isinstance(one, View) for one in gc.get_objects())

    counts = []
    for span in ("7d", "28d", "90d", "month", "7d", "28d"):
        app.segmented_control(key="span").set_value(span).run()
        counts.append(views())

    assert counts[-1] <= counts[0]
