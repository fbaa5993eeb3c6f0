"""Models and cost, and Extension: what stands out is said, and a bar opens down to its people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pages.components import text
from tests.opened import opened as run
from tests.opened import plain_words as words
from tests.opened import show

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streamlit.testing.v1 import AppTest

# test_pages.py opens this page in every run; what it does in detail is tried in CI
pytestmark = pytest.mark.slow

NOW = datetime.now(UTC).replace(microsecond=0)
# model -> provider, milliseconds of a call, dollars
MODELS = {"opus": ("anthropic", 900.0, 0.9), "mini": ("openai", 100.0, 0.1)}


def at(days_ago: float) -> str:
    return (NOW - timedelta(days=days_ago)).isoformat()


def row(user: str, name: str, days_ago: float, **more: Any) -> dict[str, Any]:
    return {
        "event_name": name,
        "user_id_hash": user,
        "session_id": f"s-{user}",
        "channel": "extension",
        "timestamp": at(days_ago),
    } | more


def calls() -> list[dict[str, Any]]:
    """Return 60 calls by 12 people of each model; every third one of `mini` fails."""
    return [
        row(
            f"u{number % 12:02}",
            "code_insert",
            3 + number % 10,
            duration_ms=duration,
            result="error" if model == "mini" and number % 3 == 0 else "success",
            metadata={"model": model, "provider": provider, "cost_usd": cost, "language": "go"},
        )
        for model, (provider, duration, cost) in MODELS.items()
        for number in range(60)
    ]


def newcomers() -> list[dict[str, Any]]:
    """Return 30 people who installed five weeks ago: 10 never used it, 5 came back next week."""
    rows = []
    for number in range(30):
        user = f"n{number:02}"
        rows += [row(user, "install", 35), row(user, "extension_activated", 35)]
        rows += [row(user, "ui_interaction", 34)] if number >= 10 else []
        rows += [row(user, "ui_interaction", 25)] if number >= 25 else []
    return rows


@pytest.fixture
def beta(home: Path, load_lines: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    load_lines(*calls(), *newcomers())
    show(home, monkeypatch)
    return home


def listed(app: AppTest) -> list[int]:
    """Return how many people the lists of people have."""
    lists = [one.value for one in app.dataframe if "user_id_hash" in one.value.columns]
    return [len(one) for one in lists]


def test_the_page_says_which_model_costs_fails_and_keeps_waiting(beta: Path):
    said = words(run("models"))

    assert "**mini** fails 33.3 % of its calls, the others 0 %." in said
    assert "**opus** is 90.0 % of the cost ($54.00 of $60.00) and 50.0 % of the calls." in said
    assert "p95 of **opus** is 9.0 times that of **mini** (900 ms against 100 ms)." in said


def test_the_headline_has_cost_per_session_and_person(beta: Path):
    numbers = {one.label: one.value for one in run("models").metric}

    assert numbers["Cost"] == "$60.00"
    assert numbers["Cost per session"] == "$3.53"  # also of the 5 who called no model
    assert numbers["Cost per active person"] == text.NOTHING  # nobody was active in the four ways
    assert numbers["Calls"] == "120"
    assert numbers["Failed calls"] == "16.7 %"


@pytest.mark.parametrize(
    ("who", "says", "how_many"),
    [
        ("models:v:opus", "12 people who called opus", 12),
        ("providers:v:openai", "12 people who called openai", 12),
        ("languages:v:go", "12 people under go", 12),
    ],
)
def test_a_bar_leads_to_its_people(beta: Path, who: str, says: str, how_many: int):
    app = run("models", who=who)

    assert says in words(app)
    assert listed(app) == [how_many]


def test_another_rank_orders_the_bars_and_is_in_the_link(beta: Path):
    app = run("models", **{"models.rank": "cost"})

    assert "By cost in this period" in words(app)


@pytest.mark.parametrize(
    ("page", "title"), [("models", "Cost by language"), ("extension", "Newcomers by channel")]
)
def test_a_breakdown_is_a_table_of_groups(beta: Path, page: str, title: str):
    key = title.rpartition(" ")[2]
    app = run(page, **{f"{page}.by": key})

    assert title in [one.value for one in app.header]
    [groups] = [one.value for one in app.dataframe if "group" in one.value.columns]
    assert groups["group"].to_list() == ["go" if key == "language" else "extension"]


def test_the_extension_says_who_never_used_it_and_who_did_not_come_back(beta: Path):
    said = words(run("extension"))

    assert "**10 of 30 people** who installed it never used it." in said
    assert "**15 of 20 people** who used it were not back in the week after." in said


@pytest.mark.parametrize(
    ("token", "says", "how_many"),
    [
        ("0", "installed: 30 people", 30),
        ("1-lost", "activated within 7 days, and then not “used it”: 10 people", 10),
        ("3", "used it again on days 7 to 13: 5 people", 5),
        ("never", "never used it: 10 people", 10),
    ],
)
def test_a_step_leads_to_its_people(beta: Path, token: str, says: str, how_many: int):
    app = run("extension", who=f"from-installing-to-using-it:{token}")

    assert says in words(app)
    assert listed(app) == [how_many]


def test_a_step_there_is_not_leads_nowhere(beta: Path):
    assert not listed(run("extension", who="from-installing-to-using-it:9x"))
