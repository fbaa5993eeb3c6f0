"""Facts about the Retention page: what its pictures show and leave out, its words, its marks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from frames import event, events, window

from data_access.metrics.retention import retention, retention_mean
from data_access.metrics.stickiness import stickiness
from ingest.vocabulary import share_of
from pages.components import marks, retention_charts
from tests.opened import opened, show, words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import plotly.graph_objects as go

# test_pages.py opens this page in every run; what it does in detail is tried in CI
pytestmark = pytest.mark.slow

THREE_WEEKS = window("2026-10-05", "2026-10-23")  # the third is not over
COHORT = [f"u{number:02}" for number in range(30)]


def some_weeks() -> pl.LazyFrame:
    """Return 30 people of the second week, of whom 12 came back in the third, and one early."""
    return events(
        *(event("2026-10-13", user) for user in COHORT),
        *(event("2026-10-20", user) for user in COHORT[:12]),
        event("2026-10-06", "early"),
        event("2026-10-14", "early"),
    )


def triangle(frame: pl.LazyFrame, every: str = "1w") -> go.Figure:
    cells = retention(frame, THREE_WEEKS, every=every).collect()
    mean = retention_mean(frame, THREE_WEEKS, every=every).collect()
    return retention_charts.triangle(cells, mean, every=every)


def written(figure: go.Figure) -> dict[tuple[int, float], str]:
    """Return the text without a shade, by place."""
    [trace] = [one for one in figure.data if one.type == "scatter" and one.mode == "text"]
    return dict(zip(zip(trace.x, trace.y, strict=True), trace.text, strict=True))


def test_a_cell_that_is_not_over_is_outlined_and_starred_and_has_no_shade():
    figure = triangle(some_weeks())
    cohorts = figure.data[0]

    assert list(cohorts.text[0]) == ["100", ""]
    assert [list(line) for line in cohorts.z] == [[1.0, None], [None, None], [None, None]]
    assert written(figure)[1, 1] == "40*"
    assert [(shape.x0, shape.y0) for shape in figure.layout.shapes] == [
        (pytest.approx(1.54), pytest.approx(-0.42)),
        (pytest.approx(0.54), pytest.approx(0.58)),
    ]


def test_nobody_yet_is_a_star_and_no_nought():
    assert written(triangle(some_weeks()))[2, 0] == "*"


def test_the_sizes_of_cohorts_stand_beside_them_and_rows_begin_with_somebody():
    later = some_weeks().filter(pl.col("user_id_hash") != "early")
    figure = triangle(later)

    assert figure.layout.yaxis.ticktext == ("<b>mean</b>", "12 Oct", "19 Oct")
    assert written(figure)[0, 0] == "30"


def test_a_mean_over_few_people_is_written_without_a_shade():
    figure = triangle(some_weeks())

    assert list(figure.data[1].z[0]) == [None, None]  # one person, and nobody
    assert written(figure)[1, retention_charts._MEAN_AT] == "100"


def test_a_click_on_a_cell_tells_its_cohort_and_period():
    figure = triangle(some_weeks())
    tokens = {token for token, _ in figure.data[-1].customdata}
    words = {words for _, words in figure.data[-1].customdata}

    assert {"2026-10-12~0", "2026-10-12~1"} <= tokens
    assert not any(token.startswith("2026-10-19") for token in tokens)  # nobody started then
    assert "12 Oct, week 1: 12 of 30 came back; not over yet" in words
    assert "Mean, week 1: 100 %, 1 of 1 people in 1 cohort" in words
    point = {"customdata": ["2026-10-12~1", "12 of 30"]}
    assert marks.token_at(point, None) == "2026-10-12~1"


def test_nothing_at_all_is_an_empty_triangle():
    figure = triangle(events())

    assert figure.layout.yaxis.ticktext == ("<b>mean</b>",)
    assert not len(figure.data[-1].x)


def test_months_are_called_by_their_name():
    over = window("2026-09-01", "2026-11-01")
    cells = retention(some_weeks(), over, every="1mo").collect()
    mean = retention_mean(some_weeks(), over, every="1mo").collect()

    figure = retention_charts.triangle(cells, mean, every="1mo")

    assert figure.layout.yaxis.ticktext == ("<b>mean</b>", "Oct 2026")


def test_curves_leave_out_what_is_not_over_and_cohorts_of_few():
    more = events(
        *(event("2026-10-06", user) for user in COHORT),
        *(event("2026-10-13", user) for user in COHORT[:15]),
        event("2026-10-13", "one"),
        *(event("2026-10-20", user) for user in COHORT[:3]),
    )
    cells = retention(more, THREE_WEEKS).collect()
    mean = retention_mean(more, THREE_WEEKS).collect()

    figure = retention_charts.curves(mean, cells, before=mean)

    strong = [trace for trace in figure.data if trace.line.width != 1]
    lines = {trace.name: (list(trace.x), list(trace.y)) for trace in strong}
    assert lines == {"mean before": ([1], [0.5]), "mean": ([1], [0.5])}
    assert [trace.name for trace in figure.data].count("5 Oct") == 1
    assert "12 Oct" not in [trace.name for trace in figure.data]
    names = {one.text: one.yanchor for one in figure.layout.annotations}
    assert sorted(names.values()) == ["bottom", "top"]  # lines that end together keep their names


def test_how_often_says_each_bar_in_words():
    given = events(event("2026-10-06"), event("2026-10-07"), event("2026-10-06", "bob"))
    found = stickiness(given, window("2026-10-06", "2026-10-09")).collect()

    figure = retention_charts.times(found, every="1d")

    assert list(figure.data[0].customdata[0]) == [
        "1",
        "1 of 2 people were active in 1 of 3 days",
    ]


# --- the page ---------------------------------------------------------------------------------

NOW = datetime.now(UTC).replace(microsecond=0)


def weeks_ago(number: int) -> tuple[date, str]:
    """Return the Monday of a week so many weeks ago, and a moment on its Tuesday."""
    monday = (NOW - timedelta(days=NOW.weekday(), weeks=number)).date()
    return monday, f"{monday + timedelta(days=1)}T12:00:00Z"


@pytest.fixture
def home_of_weeks(
    home: Path, load_lines: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Hold 40 people first seen six weeks ago, of whom 10 came back the week after."""
    rows = [
        {"event_name": "session_started", "user_id_hash": f"u{number:02}", "timestamp": when}
        for back, people in ((6, 40), (5, 10), (1, 1))
        for when in [weeks_ago(back)[1]]
        for number in range(people)
    ]
    tiers = {True: "free", False: "paid"}
    load_lines(*(row | {"user_tier": tiers[row["user_id_hash"] < "u20"]} for row in rows))
    show(home, monkeypatch)
    return home


@pytest.mark.usefixtures("home_of_weeks")
def test_the_page_reads_the_curve_and_opens_the_people_of_a_cell():
    app = opened("retention", who=f"cohorts:{weeks_ago(6)[0]}~1")

    said = words(app)
    assert "**25.0 %** of people first seen in a week came back in week 1" in said
    assert [one.value for one in app.metric if one.label == "Back in week 1"] == ["10 of 40"]
    assert "week 1: 10 of 40 came back" in said


@pytest.mark.usefixtures("home_of_weeks")
def test_a_bar_of_who_goes_and_one_of_how_often_open_their_people():
    gone = f"who-comes-stays-and-goes:{weeks_ago(5)[0]}~dormant"

    assert "30 people gone quiet" in words(opened("retention", who=gone))
    assert "9 people active in 2 weeks" in words(opened("retention", who="how-often-they-come:2"))


@pytest.mark.usefixtures("home_of_weeks")
@pytest.mark.parametrize("who", ["cohorts:2031-01-06~1", "cohorts:x", "how-often-they-come:-1"])
def test_a_link_to_a_mark_that_is_not_there_says_so(who: str):
    assert "a mark that is not in this picture" in words(opened("retention", who=who))


@pytest.mark.usefixtures("home_of_weeks")
@pytest.mark.parametrize("every", ["day", "week", "month"])
def test_every_choice_comes_from_the_link(every: str):
    app = opened(
        "retention",
        retention__every=every,
        retention__cohort="recurring",
        retention__start="session_started where user_tier:free",
        retention__times="2",
        retention__later="true",
        retention__clock="own-clock",
        retention__by="tier",
    )

    said = words(app).replace("\\", "")
    when = f"{'on' if every == 'day' else 'in'} a {every}"
    assert f"people with session_started where user_tier:free {when}" in said
    assert "at least 2 times" in said
    assert "by tier" in said


@pytest.mark.usefixtures("home_of_weeks")
def test_an_event_nobody_can_read_counts_as_any_and_says_why():
    said = words(opened("retention", retention__start="session_started where nonsense"))

    assert "is no condition" in said
    assert "people first seen in a week" in said


def test_one_day_of_data_has_nothing_to_tell_yet(
    home: Path, load_lines: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    load_lines({"event_name": "session_started", "user_id_hash": "u", "timestamp": NOW.isoformat()})
    show(home, monkeypatch)

    app = opened("retention")

    assert "No week after a cohort's own is over yet" in words(app)
    assert [one.value for one in app.metric if one.label == "Gone quiet"] == ["0"]
    assert "came back in week 1" not in words(app)


def test_a_sample_reads_as_about_and_its_people_stand_for_many(
    home: Path, load_lines: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    """One in ten is kept: 40 people stand for 400, and half of them came back."""
    kept = [name for name in (f"u{at}" for at in range(2_000)) if share_of(name) < 0.1][:40]
    load_lines(
        *(
            {
                "event_name": "session_started",
                "user_id_hash": name,
                "timestamp": weeks_ago(back)[1],
                "weight": 10.0,
            }
            for back, people in ((6, kept), (5, kept[:20]), (1, kept[:1]))
            for name in people
        )
    )
    show(home, monkeypatch)

    said = words(opened("retention", who=f"cohorts:{weeks_ago(6)[0]}~1"))

    assert "**≈\N{NO-BREAK SPACE}50.0 %** of people first seen in a week" in said
    assert "200 of 400 came back, 50.0 %; estimated" in said
