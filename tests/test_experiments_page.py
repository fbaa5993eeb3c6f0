"""The Experiments page: the verdict in words, and the way from a mark to the people behind it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from pages.components import experiment_charts
from tests.opened import opened as open_page
from tests.opened import plain_words as words
from tests.opened import show

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streamlit.testing.v1 import AppTest

# test_pages.py opens this page in every run; what it does in detail is tried in CI
pytestmark = pytest.mark.slow

NOW = datetime.now(UTC).replace(microsecond=0)
PAID = "paid_subscription_started"


def crowd(variant: str, people: int, converted: int, days_ago: int = 9) -> list[dict[str, Any]]:
    """Return people who see a variant and, the first of them, pay a day later."""
    said = {"flag": "answers", "variant": variant}
    rows = []
    for at in range(people):
        who = {"user_id_hash": f"{variant}{at:03}", "session_id": f"s{at}"}
        seen = (NOW - timedelta(days=days_ago)).isoformat()
        rows.append({"event_name": "exposure", "timestamp": seen, "metadata": said, **who})
        if at < converted:
            later = (NOW - timedelta(days=days_ago - 1)).isoformat()
            rows.append({"event_name": PAID, "timestamp": later, **who})
    return rows


@pytest.fixture
def opened(
    home: Path, load_lines: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., AppTest]:
    """Return a function that opens the page on rows, with choices in the link."""
    show(home, monkeypatch)

    def run(*groups: list[dict[str, Any]], **query: str | list[str]) -> AppTest:
        load_lines(*(row for group in groups for row in group))
        return open_page("experiments", **query)

    return run


@pytest.mark.parametrize(
    ("control", "other", "verdict"),
    [
        ((200, 20), (200, 60), "**new is better than control** at paid_subscription_started"),
        ((200, 60), (200, 20), "**new is worse than control**"),
        ((200, 20), (200, 21), "**No difference seen** between new and control"),
        ((12, 2), (15, 4), "**Not enough data yet** to compare new with control"),
        ((200, 20), (90, 40), "**Do not read this experiment.** People are split 200 to 90"),
    ],
    ids=["better", "worse", "none", "few", "mismatch"],
)
def test_the_verdict_comes_first_and_in_words(opened, control, other, verdict):
    app = opened(crowd("control", *control), crowd("new", *other))

    assert verdict in words(app)


def test_too_few_people_show_no_lift_and_say_what_is_missing(opened):
    app = opened(crowd("control", 12, 2), crowd("new", 15, 4))

    said = words(app)
    assert "2 of 12 people in control and 4 of 15 people in new did it" in said
    assert "a comparison needs 30 people and 5 who did in each" in said
    assert "Not enough data yet for a lift" in said


def test_what_does_not_cover_the_experiment_is_widened_to_it_unless_asked(opened):
    groups = [crowd("control", 40, 9, days_ago=60), crowd("new", 40, 9)]

    whole = opened(*groups)
    period = opened(experiments__period="true")

    assert "53 days to" in words(whole)  # the data ends eight days ago
    assert "**No difference seen**" in words(whole)
    assert "**There is nothing to compare yet**: answers has people in new only" in words(period)


def test_a_link_opens_the_people_of_a_variant(opened):
    app = opened(crowd("control", 40, 9), crowd("new", 40, 3), who="conversion-by-variant:new~yes")

    assert "3 people saw new and reached paid_subscription_started" in words(app)
    [table] = [one for one in app.dataframe if "converted_at" in one.value.columns]
    assert sorted(table.value["user_id_hash"]) == ["new000", "new001", "new002"]


def test_what_cannot_be_read_is_said_and_left_out(opened):
    app = opened(
        crowd("control", 40, 9), crowd("new", 40, 9), experiments__means=["events", "clicks"]
    )

    assert "'clicks' is no measure" in words(app)


def test_without_an_experiment_two_lines_show_how_to_begin(opened):
    app = opened(
        [{"event_name": "session_started", "user_id_hash": "u", "timestamp": NOW.isoformat()}]
    )

    [code] = [one.value for one in app.code if "client.track" in one.value]
    assert len(code.splitlines()) == 2
    assert "no experiment to read" in words(app).replace("\n", " ")


ARMS = pl.DataFrame(
    {
        "variant": ["control", "<b>new"],
        "is_control": [True, False],
        "users": [100.0, 90.0],
        "converted": [10.0, 0.0],
        "rate": [0.1, 0.0],
        "rate_low": [0.05, 0.0],
        "rate_high": [0.17, 0.04],
    }
)


def test_each_variant_is_a_dot_with_its_interval_that_can_be_clicked():
    drawn = experiment_charts.dots(ARMS)

    control, other = drawn.data
    assert (control.x[0], control.error_x.array[0]) == (0.1, pytest.approx(0.07))
    assert list(control.customdata[0]) == [
        "control~yes",
        "10.0 % (5.0 % to 17.0 %): 10 of 100 people",
    ]
    assert control.marker.symbol != other.marker.symbol
    assert "<b>" not in "".join(drawn.layout.yaxis.ticktext)


def test_the_first_days_do_not_flatten_the_others():
    days = [datetime(2026, 1, day, tzinfo=UTC).date() for day in range(1, 31)]
    wide = pl.DataFrame(
        {
            "period": days,
            "_0": [None, *[0.1] * 29],
            "_0_low": [None, *[0.05] * 29],
            "_0_high": [None, 0.9, *[0.15] * 28],
        }
    )

    drawn = experiment_charts.so_far(wide, {"_0": "new"}, None)

    assert drawn.layout.yaxis.range == (0, pytest.approx(0.2))
