"""The Features page: what its pictures show, what is said, and who is behind a square."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import streamlit as st

from pages.components import feature_charts, features
from pages.components.cell import Data
from pages.components.feature_charts import Square
from tests.opened import opened, show, words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streamlit.testing.v1 import AppTest

# test_pages.py opens this page in every run; what it does in detail is tried in CI
pytestmark = pytest.mark.slow

NOW = datetime.now(UTC).replace(microsecond=0)


def people() -> list[dict[str, Any]]:
    """Return 60 people; all search, half update too; half the updates fail, savings are low."""
    rows: list[dict[str, Any]] = []
    for number in range(60):
        who = {
            "user_id_hash": f"u{number:02}",
            "user_tier": "paid" if number % 3 == 0 else "free",
            "session_id": f"s{number}",
            "channel": "server",
            "release": "1.0.0",
            "timestamp": (NOW - timedelta(days=3 + number % 20)).isoformat(),
        }
        calls: list[tuple[dict[str, Any], str]] = [
            ({"tool_name": "search_context", "results_count": number % 4}, "success")
        ]
        if number % 2:
            calls.append(
                ({"tool_name": "update_memory"}, "error" if number % 4 == 1 else "success")
            )
            calls.append(
                ({"tool_name": "compress", "before_tokens": 10, "after_tokens": 6}, "success")
            )
            calls.append(({"tool_name": "reference_suggest", "accepted": True}, "success"))
        rows += [
            {
                "event_name": "server_operation_called",
                "duration_ms": 50.0,
                "metadata": said,
                "result": result,
            }
            | who
            for said, result in calls
        ]
        rows.append({"event_name": "session_started"} | who)
    return rows


@pytest.fixture
def beta(home: Path, load_lines: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    load_lines(*people())
    show(home, monkeypatch)
    return home


def run(**chosen: str | list[str]) -> AppTest:
    """Open the page with choices of its own, or with `who`."""
    own = {one if one == "who" else f"features.{one}": said for one, said in chosen.items()}
    return opened("features", **own)


def test_the_page_says_what_is_used_what_fails_and_whether_the_targets_are_met(beta: Path):
    app = run()

    said = words(app)
    assert "**search\\_context** is used by most: 100 % of 60 active people" in said
    assert "**update\\_memory** fails most: 15 of 30 calls, against 10.0 % of all" in said
    assert "**40.0 %** of tokens saved, below the target of 70 %" in said
    assert "**100 %** of suggestions accepted, on target, which is 80 %" in said
    values = {one.label: one.value for one in app.metric}
    assert values["Features in use"] == "4"
    assert values["Failed calls"] == "10.0 %"
    assert values["Tokens saved"] == "40.0 %"


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("features-by-tier:search_context~paid", "20 people used search\\_context in paid"),
        ("most-used-features:update_memory", "30 people used update\\_memory"),
        ("used-together:search_context~update_memory", "30 people used search\\_context and"),
        ("how-many-features-one-person-uses:1", "30 people used 1 different feature"),
        ("tools:compress", "30 people called compress"),
    ],
)
def test_a_link_to_a_mark_shows_the_people_behind_it(beta: Path, who: str, said: str):
    assert said in words(run(who=who))


def test_a_square_of_a_week_leads_to_the_people_of_that_week(beta: Path):
    day = (NOW - timedelta(days=10)).date()
    monday = day - timedelta(days=day.weekday())

    said = words(run(who=f"features-over-time:search_context~{monday}"))

    assert "people used search\\_context in the week of" in said


def test_a_breakdown_replaces_tiers_in_the_matrix_and_leads_on_to_people(beta: Path):
    app = run(by="channel", who="features-by-channel:search_context~server")

    said = words(app)
    assert "Features by channel" in said
    assert "Features by tier" not in said
    assert "60 people used search\\_context in server" in said


def test_all_features_can_be_paired_and_periods_be_months(beta: Path):
    app = run(all="true", every="month")

    assert app.toggle(key="features.all").value is True
    assert "sessions with any feature" in words(app)
    assert "Percent of the month's active people" in words(app)


def test_nobody_is_listed_where_the_team_said_so(beta: Path):
    assert "Who uses most" in words(run())

    (beta / "telemetry.toml").write_text("people_lists = false\n")
    st.cache_data.clear()

    app = run(who="most-used-features:update_memory")
    assert "Who uses most" not in words(app)
    assert "people\\_lists = false" in words(app) or "people_lists = false" in words(app)


# --- pictures ------------------------------------------------------------------------------------


def test_a_grid_is_shaded_from_nothing_to_its_largest_and_is_clicked_by_its_token():
    squares = {("a", "x"): Square(0.5, "50 %", "half", "a~x"), ("b", "x"): Square(0.4, "40 %", "")}

    figure = feature_charts.grid(squares, ["a", "b"], ["x", "y"])

    assert (figure.data[0].zmin, figure.data[0].zmax) == (0, 0.5)
    assert [list(row) for row in figure.data[0].text] == [["50 %", ""], ["40 %", ""]]
    assert [list(one) for one in figure.data[1].customdata] == [["a~x", "half"], ["", ""]]


def test_the_target_is_drawn_and_named_and_always_in_sight():
    frame = pl.DataFrame({"period": [date(2026, 1, 1), date(2026, 1, 2)], "rate": [0.2, 0.3]})

    figure = feature_charts.against_target(frame, {"rate": "saved"}, 0.7)

    assert figure.layout.shapes[0].y0 == 0.7
    assert "target 70 %" in [one.text for one in figure.layout.annotations]
    assert figure.layout.yaxis.range[1] > 0.7


def test_of_a_breakdown_each_group_has_its_own_small_chart_with_the_target():
    rows = [("a", date(2026, 1, day), 0.2 * day) for day in (1, 2)]
    rows += [("b", date(2026, 1, day), 0.9) for day in (1, 2)]
    frame = pl.DataFrame(rows, schema=["group", "period", "acceptance_rate"], orient="row")

    figure = features.acceptance(date(2026, 2, 1))(Data({"reference_acceptance": frame}, {}))

    assert [one.name for one in figure.data] == ["b", "a"]
    assert [one.y0 for one in figure.layout.shapes] == [0.8, 0.8]
    assert figure.layout.yaxis.range[1] > 0.9


def test_rates_without_tokens_are_a_line_of_their_own_and_said():
    frame = pl.DataFrame(
        {
            "period": [date(2026, 1, 1)],
            "savings_rate": [0.5],
            "stated_rate_mean": [0.9],
            "events_rate_only": [3.0],
        }
    )
    data = Data({"token_savings": frame}, {})

    figure = features.savings(date(2026, 2, 1))(data)

    assert [one.name for one in figure.data] == ["tokens saved", "stated rates, mean"]
    assert "3 compressions more stated only a rate" in (features.savings_note(data) or "")


def test_names_of_features_are_never_markup_in_a_picture():
    frame = pl.DataFrame(
        {
            "feature": ["<b>x</b>"],
            "user_tier": ["free"],
            "users": [1.0],
            "uses": [1.0],
            "active_users": [2.0],
            "share": [0.5],
        }
    )

    figure = features.matrix(frame, "user_tier")

    assert "&lt;b&gt;" in figure.layout.yaxis.ticktext[0]
    assert "<b>" not in figure.data[1].customdata[0][1]


def test_classes_of_results_end_with_the_largest_anybody_found():
    frame = pl.DataFrame(
        {"results_from": [0, 6, 51], "results_to": [0, 10, None], "searches": [1.0, 2.0, 0.0]}
    )

    assert features.results(frame)["label"].to_list() == ["0", "6 to 10"]
