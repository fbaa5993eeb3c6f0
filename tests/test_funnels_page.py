"""The Funnels page: what a link asks for, what is said about it, and who is behind a bar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from pages.components import funnel_charts, funnels
from pages.components.cell import Data
from tests.opened import opened, show
from tests.opened import plain_words as words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streamlit.testing.v1 import AppTest

# test_pages.py opens this page in every run; what it does in detail is tried in CI
pytestmark = pytest.mark.slow

NOW = datetime.now(UTC).replace(microsecond=0)


def people() -> list[dict[str, Any]]:
    """Return 80 people: all start, 60 create, 45 load; half of the trial load, few of the free."""
    rows = []
    for number in range(80):
        tier = "trial" if number % 2 else "free"
        started = NOW - timedelta(days=20, minutes=number)
        ways = [("session_started", 0)]
        ways += [("context_created", 1)] if number < 60 else []
        ways += [("context_loaded", 3)] if number < 60 and (number % 2 or number < 30) else []
        rows += [
            {
                "event_name": name,
                "user_id_hash": f"u{number:02}",
                "user_tier": tier,
                "channel": "web",
                "timestamp": (started + timedelta(hours=hours)).isoformat(),
            }
            for name, hours in ways
        ]
    return rows


@pytest.fixture
def beta(home: Path, load_lines: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    load_lines(*people())
    show(home, monkeypatch)
    return home


def run(**chosen: str | list[str]) -> AppTest:
    """Open the page with choices of its own, or with `who`."""
    own = {one if one == "who" else f"funnels.{one}": said for one, said in chosen.items()}
    return opened("funnels", **own)


def numbers(app: AppTest) -> dict[str, str]:
    return {one.label: one.value for one in app.metric}


STEPS = ["session_started", "context_created", "context_loaded"]


def test_the_link_says_which_funnel(beta: Path):
    app = run(steps=STEPS)

    assert numbers(app) == {
        "Entered": "80",
        "Converted": "45",
        "Conversion": "56.2 %",
        "Median time": "3.0 h",
    }
    assert numbers(run(steps=STEPS, within="1h"))["Converted"] == "0"
    assert numbers(run(steps=[STEPS[0], STEPS[2]], order="strict"))["Converted"] == "0"


def test_the_reading_says_the_biggest_drop_and_who_differs_beyond_chance(beta: Path):
    said = words(run(steps=STEPS))

    assert "Most are lost between session_started and **context_created**: 25.0 % of 80" in said
    assert "**trial** converts more often than free: 30 of 40 people against 15 of 40" in said
    assert "Half of those who convert do so within 3.0 h." in said


def test_a_condition_can_be_typed_as_a_step(beta: Path):
    app = run(steps=["session_started", "context_created where user_tier:trial"])

    assert numbers(app)["Converted"] == "30"


def test_an_optional_step_is_not_waited_for(beta: Path):
    required = run(steps=["session_started", "context_loaded", "context_created"])
    optional = run(
        steps=["session_started", "context_loaded", "context_created"], optional="context_loaded"
    )

    assert numbers(required)["Converted"] == "0"
    assert numbers(optional)["Converted"] == "60"


def test_who_also_did_something_is_left_out_between_the_steps_named(beta: Path):
    assert numbers(run(steps=STEPS[::2], without="context_created"))["Entered"] == "20"
    everybody = run(steps=STEPS, without="context_loaded between 1 and 2")
    assert numbers(everybody)["Entered"] == "80"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        pytest.param(
            {
                "steps": [*STEPS, "nope", "x where y"],
                "optional": STEPS[0],
                "without": ["install between 2 and 9", "install where x"],
            },
            [
                "No event is called nope, so 0 people",
                "Left out “x where y”: 'y' in",
                "The first step is always required",
                "such as “install between 1 and 2”",
                "Left out “install where x”",
            ],
            id="several",
        ),
        pytest.param(
            {"steps": STEPS, "optional": STEPS[1], "order": "strict"},
            ["Every step is required here"],
            id="optional and strict",
        ),
        pytest.param(
            {"steps": ["x where y"]}, ["Choose at least one step"], id="no step can be read"
        ),
        pytest.param(
            {"steps": STEPS[:1], "without": "install"}, ["leaves nobody out"], id="one step"
        ),
    ],
)
def test_what_makes_no_sense_is_left_out_and_said(
    beta: Path, query: dict[str, Any], says: list[str]
):
    app = run(**query)

    said = "\n".join(one.value for one in app.warning).replace("\\", "")
    assert [one for one in says if one not in said] == []
    assert len(app.metric) == 4


@pytest.mark.parametrize(
    ("token", "says", "how_many"),
    [
        pytest.param("left-1", "20 people got to session_started and not to", 20, id="left"),
        pytest.param("reached-2", "45 people, 56.2 % of all who entered", 45, id="converted"),
        pytest.param("reached-0", "80 people entered", 80, id="entered"),
    ],
)
def test_a_bar_leads_to_its_people(beta: Path, token: str, says: str, how_many: int):
    app = run(steps=STEPS, who=f"step-by-step:{token}")

    assert says in words(app)
    lists = [one.value for one in app.dataframe if "user_id_hash" in one.value.columns]
    assert [len(one) for one in lists] == [how_many]


def test_a_bar_there_is_not_leads_nowhere(beta: Path):
    app = run(steps=STEPS, who="step-by-step:reached-99")

    assert not [one for one in app.dataframe if "user_id_hash" in one.value.columns]


# --- pictures ---------------------------------------------------------------------------------

FUNNEL = pl.DataFrame(
    {
        "step": [0, 1, 2],
        "event_name": ["A", "B", "C"],
        "users": [100.0, 20.0, 50.0],
        "rate_from_first": [1.0, 0.2, 0.5],
        "rate_from_previous": [1.0, 0.2, 0.5],
        "seconds_p50": [0.0, 60.0, 3600.0],
    }
)


def test_what_is_lost_lies_beside_the_bar_up_to_the_required_step_before():
    got, lost = funnel_charts.steps(FUNNEL, optional=(1,)).data[:2]

    assert list(got.x) == [1.0, 0.2, 0.5]
    assert list(lost.x) == pytest.approx([0.0, 0.8, 0.5])
    assert [one[0] for one in lost.customdata] == ["left-0", "left-1", "left-2"]
    assert lost.customdata[1][1] == "80 people got to A and did without B"
    assert lost.customdata[2][1] == "50 people got to A and not to C"


def test_a_step_says_both_its_rates_and_its_time():
    rows = FUNNEL.rows(named=True)

    assert funnel_charts.said(rows[2]) == (
        "C: 50 people, 50.0 % of all who entered; 50.0 % went on from the step before; "
        "median 1.0 h after entering"
    )
    assert "20.0 % took it" in funnel_charts.said(rows[1], (1,))


def test_a_previous_period_ends_where_somebody_still_had_time():
    before = pl.DataFrame({"rate": [0.5, 0.1], "settled": [True, False]})

    found = funnels.settled_before(Data({}, {"funnel_trend": before}))

    assert found is not None
    assert found["rate"].to_list() == [0.5, None]
    assert funnels.settled_before(Data({}, {})) is None


def test_ticks_stand_at_round_times():
    assert funnel_charts.ticks(90.0)["ticktext"] == ["0", "30 s", "1 min", "1.5 min"]
    assert funnel_charts.ticks(3 * 86400)["ticktext"][1] == "12 h"
    assert funnel_charts.ticks(28 * 86400)["ticktext"][-1] == "25 days"


def test_groups_leave_optional_steps_out():
    two = pl.concat(
        [FUNNEL.select(pl.lit(group).alias("group"), pl.all()) for group in ("free", "paid")]
    )

    drawn = funnel_charts.groups(two, optional=(1,))

    assert [list(one.x) for one in drawn.data] == [[1.0, 0.5]] * 2
    assert list(drawn.layout.yaxis.ticktext) == ["A", "C"]
