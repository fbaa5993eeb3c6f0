"""What happened, on a time axis: at its place, once per place, in words on hover."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import plotly.graph_objects as go
import polars as pl
import pytest

from pages.components import charts, palette
from pages.components.moments import MOMENTS_MAX, Moment, annotated, time_axis

DAYS = [date(2026, 11, 1) + timedelta(days=n) for n in range(5)]
FRAME = pl.DataFrame({"period": DAYS, "users": [1.0, 2.0, 3.0, 2.0, 4.0]})


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 11, 1, hour) + timedelta(days=day - 1)  # noqa: DTZ001 - the page's clock


def lines() -> go.Figure:
    return charts.lines(FRAME, {"users": "people"})


def texts(figure: go.Figure) -> list[str]:
    return [one.text for one in figure.layout.annotations]


def test_moments_outside_the_shown_time_are_left_out_and_those_of_a_day_share_a_line():
    figure = annotated(
        lines(), [Moment(at(-9), "0.9"), Moment(at(3), "1.0"), Moment(at(3, 12), "1.1")]
    )

    assert texts(figure) == ["1.0, 1.1"]
    assert len(figure.layout.shapes) == 1
    assert figure.layout.shapes[0].x0 == date(2026, 11, 3)


def test_a_moment_of_the_last_day_is_on_it_and_one_of_the_day_after_is_not():
    assert texts(annotated(lines(), [Moment(at(5, 23), "late"), Moment(at(6), "after")])) == [
        "late"
    ]


def test_a_moment_inside_a_week_stands_at_its_week():
    weeks = [date(2026, 11, 2), date(2026, 11, 9), date(2026, 11, 16)]
    figure = charts.columns(FRAME.head(3).with_columns(pl.Series("period", weeks)), {"users": "u"})

    annotated(figure, [Moment(at(12), "inside"), Moment(at(20), "last week")])

    assert [shape.x0 for shape in figure.layout.shapes] == [weeks[1], weeks[2]]


def test_an_hour_axis_places_moments_by_the_hour():
    hours = [at(1, hour) for hour in range(4)]
    figure = charts.columns(
        pl.DataFrame({"hour": hours, "n": [1.0] * 4}), {"n": "events"}, x="hour"
    )

    annotated(figure, [Moment(at(1, 2) + timedelta(minutes=40), "incident", "incident")])

    assert figure.layout.shapes[0].x0 == at(1, 2)


def test_an_incident_looks_other_than_a_release_by_colour_and_by_dash():
    figure = annotated(lines(), [Moment(at(2), "1.0"), Moment(at(4), "incident", "incident")])

    release, incident = (shape.line for shape in figure.layout.shapes)
    assert incident.color == palette.HARM != release.color
    assert incident.dash != release.dash


def test_where_something_broke_on_the_day_of_a_release_the_line_is_the_incidents():
    figure = annotated(lines(), [Moment(at(2), "1.0"), Moment(at(2, 9), "incident", "incident")])

    assert figure.layout.shapes[0].line.color == palette.HARM
    assert texts(figure) == ["1.0, incident"]


def test_names_that_would_overlap_stand_one_above_the_other():
    days = [date(2026, 11, 1) + timedelta(days=n) for n in range(28)]
    month = charts.lines(pl.DataFrame({"period": days, "n": [1.0] * 28}), {"n": "n"})
    top = month.layout.margin.t

    figure = annotated(month, [Moment(at(n), f"a very long release {n}") for n in (2, 4, 25)])

    lifts = [one.yshift for one in figure.layout.annotations]
    assert lifts[0] == lifts[2] == 0
    assert lifts[1] > 0
    assert figure.layout.margin.t > top


def test_only_the_latest_few_are_drawn():
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(30)]
    figure = charts.lines(pl.DataFrame({"period": days, "n": [1.0] * 30}), {"n": "n"})
    moments = [Moment(datetime(2026, 1, 1) + timedelta(days=n), f"r{n}") for n in range(20)]  # noqa: DTZ001 - the page's clock

    annotated(figure, moments)

    assert len(figure.layout.shapes) == MOMENTS_MAX
    assert texts(figure)[-1] == "r19"


def test_names_from_the_data_are_no_markup():
    figure = annotated(lines(), [Moment(at(2), "<b>x</b>", said="<i>y</i>")])

    assert texts(figure) == ["&lt;b&gt;x&lt;/b&gt;"]
    assert figure.layout.annotations[0].hovertext == "&lt;i&gt;y&lt;/i&gt;"


def test_small_pictures_side_by_side_get_lines_without_names():
    figure = charts.small_multiples(FRAME.with_columns(b=pl.lit(1.0)), {"users": "a", "b": "b"})
    before = len(figure.layout.annotations)

    annotated(figure, [Moment(at(3), "1.0")])

    assert len(figure.layout.shapes) == 2
    assert len(figure.layout.annotations) == before


@pytest.mark.parametrize(
    "figure",
    [
        pytest.param(
            charts.bars(pl.DataFrame({"a": ["x"], "n": [1.0]}), name="a", value="n"), id="bars"
        ),
        pytest.param(go.Figure(), id="empty"),
        pytest.param(charts.lines(FRAME.head(1), {"users": "people"}), id="a single day"),
    ],
)
def test_a_picture_without_a_time_axis_stays_as_it_is(figure: go.Figure):
    assert annotated(figure, [Moment(at(1), "1.0")]).layout.shapes == ()
    assert len(time_axis(figure)) < 2


def test_a_legend_stands_above_the_names():
    figure = charts.columns(FRAME.with_columns(b=pl.lit(1.0)), {"users": "a", "b": "b"})
    before = figure.layout.legend.y, figure.layout.margin.t

    annotated(figure, [Moment(at(3), "1.0")])

    assert figure.layout.legend.y > before[0]
    assert figure.layout.margin.t > before[1]
