"""A picture's source draws the same arrays again, from the frames alone."""

from __future__ import annotations

import ast
from datetime import UTC, date, datetime, timedelta
from typing import Any

import plotly.graph_objects as go
import polars as pl
import pytest

from data_access.notebook import Part
from data_access.notebook.story import variables
from pages.components import charts, pictures, redrawn

DAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(6)]
DAILY = pl.DataFrame({"period": DAYS, "users": [3.0, None, 5.0, 8.0, 13.0, 2.0]})
EVIL = '"]); import os; os.abort() #\n{x}\x00'
GROUPS = pl.DataFrame(
    {
        "period": DAYS * 2,
        "group": ["paid"] * 6 + [EVIL] * 6,
        "users": [float(n) for n in range(12)],
    }
)
TIERS = pl.DataFrame({"tier": ["free", "paid", "trial"], "users": [5.0, 0.0, 9.0]})
MATRIX = pl.DataFrame(
    {
        "feature": ["a", "a", "b", "b"],
        "tier": ["free", "paid"] * 2,
        "share": [0.1, 0.2, 0.3, None],
    }
)


def again(drawn: go.Figure, *frames: pl.DataFrame, befores: int = 0) -> go.Figure | None:
    """Run the source of a figure on its frames and return what it draws."""
    parts = [Part(f"f{at}", "users", frame) for at, frame in enumerate(frames)]
    for at in range(len(parts) - befores, len(parts)):
        parts[at] = Part("f0", "users", frames[at], is_before=True)
    source = redrawn.code(drawn, parts, "Europe/Berlin")
    if not source:
        return None
    named = dict(zip(variables(parts), frames, strict=True))
    space: dict[str, Any] = {"go": go, "pl": pl, "date": date, **named}
    assert not [n for n in ast.walk(ast.parse(source)) if getattr(n, "attr", "") == "abort"]
    exec(source, space)  # noqa: S102 - our own source, as a notebook runs it
    figure: go.Figure = space["figure"]
    return figure


def arrays(figure: go.Figure) -> list[tuple[list[Any], list[Any]]]:
    """Return the places and values of every mark, gaps at the ends left out."""
    found = []
    for trace in figure.data:
        pairs = list(zip(list(trace.x), list(trace.y), strict=True))
        known = [at for at, (x, y) in enumerate(pairs) if x is not None and y is not None]
        cut = pairs[known[0] : known[-1] + 1] if known else []
        if cut:
            found.append(([x for x, _ in cut], [y for _, y in cut]))
    return found


@pytest.mark.parametrize(
    ("drawn", "frames", "befores"),
    [
        pytest.param(charts.lines(DAILY, {"users": "people"}), [DAILY], 0, id="a line"),
        pytest.param(
            charts.lines(DAILY, {"users": "people"}, open_from=DAYS[4]),
            [DAILY],
            0,
            id="an open end",
        ),
        pytest.param(
            charts.lines(DAILY, {"users": "people"}, before=DAILY.with_columns(users=pl.lit(7.0))),
            [DAILY, DAILY.with_columns(pl.col("period") - timedelta(days=6), users=pl.lit(7.0))],
            1,
            id="the period before",
        ),
        pytest.param(
            charts.lines(*pictures.spread(GROUPS, "group", "users")), [GROUPS], 0, id="groups"
        ),
        pytest.param(
            charts.columns(*pictures.spread(GROUPS, "group", "users")), [GROUPS], 0, id="columns"
        ),
        pytest.param(
            charts.bars(TIERS.filter(pl.col("users") > 0), name="tier", value="users"),
            [TIERS],
            0,
            id="bars of those there are",
        ),
    ],
)
def test_a_picture_is_drawn_again_from_its_frames(drawn, frames, befores):
    figure = again(drawn, *frames, befores=befores)

    assert figure is not None
    assert arrays(figure) == arrays(drawn)
    assert "#0000" not in figure.to_json(), "no colour is a slot of the theme"


def test_times_are_on_the_pages_clock():
    hours = pl.DataFrame(
        {"hour": [datetime(2026, 3, 1, n, tzinfo=UTC) for n in range(3)], "events": [1.0, 2.0, 3.0]}
    ).cast({"hour": pl.Datetime("ms", "UTC")})
    drawn = charts.columns(
        pictures.zoned(hours, "hour", "Europe/Berlin"), {"events": "events"}, x="hour"
    )

    figure = again(drawn, hours)

    assert figure is not None
    assert next(iter(figure.data[0].x)) == datetime(2026, 3, 1, 1)  # noqa: DTZ001 - a clock's face


def test_a_grid_is_dealt_from_three_columns():
    drawn = go.Figure()
    drawn.add_heatmap(z=[[0.1, 0.2], [0.3, None]], x=[0, 1], y=[0, 1])

    figure = again(drawn, MATRIX)

    assert figure is not None
    assert [list(row) for row in figure.data[0].z] == [[0.1, 0.2], [0.3, None]]
    assert (list(figure.data[0].x), list(figure.data[0].y)) == (["free", "paid"], ["a", "b"])


def test_a_grid_is_found_in_the_order_of_its_labels_as_logarithms_and_as_pairs_both_ways():
    tiers = go.Figure()
    tiers.add_heatmap(z=[[0.2, 0.1], [0.4, 0.3]], x=[0, 1], y=[0, 1])
    tiers.update_xaxes(tickvals=[0, 1], ticktext=["paid", "free"])
    logs = go.Figure()
    logs.add_heatmap(z=[[1.0, 2.0], [0.0, None]], x=["free", "paid"], y=[0, 1])
    pairs = go.Figure()
    pairs.add_heatmap(z=[[None, 0.5, 0.2], [0.5, None, 0.1], [0.2, 0.1, None]], x=[0, 1, 2])
    matrix = MATRIX.with_columns(share=pl.Series([0.1, 0.2, 0.3, 0.4]))
    counts = MATRIX.with_columns(share=pl.Series([10.0, 100.0, 1.0, 0.0]))
    two = pl.DataFrame({"f": ["a", "a", "b"], "g": ["b", "c", "c"], "share": [0.5, 0.2, 0.1]})

    for drawn, frame, across in (
        (tiers, matrix, ["paid", "free"]),
        (logs, counts, ["free", "paid"]),
        (pairs, two, ["a", "b", "c"]),
    ):
        figure = again(drawn, frame)
        assert figure is not None
        assert list(figure.data[0].x) == across
        assert [list(row) for row in figure.data[0].z] == [list(row) for row in drawn.data[0].z]


def test_bars_of_a_range_are_in_its_middle_and_as_wide():
    ranges = pl.DataFrame({"ms_from": [1.0, 4.0], "ms_to": [4.0, 16.0], "traces": [3.0, 5.0]})
    drawn = go.Figure()
    drawn.add_bar(x=[2.0, 8.0], y=[3.0, 5.0], width=[3 * 0.94, 12 * 0.94])

    figure = again(drawn, ranges)

    assert figure is not None
    assert arrays(figure) == arrays(drawn)
    assert list(figure.data[0].width) == list(drawn.data[0].width)


def test_words_of_the_picture_alone_are_those_that_tell_the_rows_apart():
    ranges = pl.DataFrame({"from": [0, 1, 6], "to": [0, 5, 10], "searches": [4.0, 7.0, 2.0]})
    drawn, other = go.Figure(), go.Figure()
    drawn.add_bar(x=["none: 0", "1 to 5", "6 to 10"], y=[4.0, 7.0, 2.0])
    other.add_bar(x=["few", "some", "many"], y=[4.0, 7.0, 2.0])

    figure = again(drawn, ranges)

    assert figure is not None
    assert arrays(figure) == [(["0 to 0", "1 to 5", "6 to 10"], [4.0, 7.0, 2.0])]
    assert again(other, ranges) is None, "these rows may be others with the same numbers"


def test_bars_in_the_order_of_another_frame_are_found():
    now = pl.DataFrame({"tier": ["free", "paid", "trial"], "users": [5.0, 6.0, 9.0]})
    before = pl.DataFrame({"tier": ["free", "paid", "trial"], "users": [3.0, 2.0, 1.0]})
    drawn = go.Figure()
    drawn.add_bar(x=[9.0, 6.0, 5.0], y=["trial", "paid", "free"], orientation="h")
    drawn.add_scatter(x=[1.0, 2.0, 3.0], y=["trial", "paid", "free"], mode="markers")
    drawn.update_yaxes(range=[2.5, -0.5], autorange=False)

    figure = again(drawn, now, before, befores=1)

    assert figure is not None
    assert arrays(figure) == arrays(drawn)
    assert figure.layout.yaxis.autorange == "reversed"


def test_what_is_found_nowhere_is_not_redrawn():
    drawn = go.Figure()
    drawn.add_bar(x=["free"], y=[123.456])

    assert again(drawn, TIERS) is None
    assert redrawn.code(go.Figure(), [Part("f", "users", TIERS)]) == ""


@pytest.mark.parametrize("mark", ["#a", "#b", "\x00"])
def test_a_columns_name_is_never_code(mark):
    evil = " + str(__import__('os').abort()) + "
    numbers = pl.DataFrame({"t": ["p", "q"], f"x{mark}": [5.0, 7.5], evil: [1.0, 2.0]})
    trace = {"type": "scatter", "x": ["p", "q"], "y": [4.0, 5.5]}

    source = redrawn.redrawn([trace], {}, [Part("answer", "", numbers)])

    names = {one.value for one in ast.walk(ast.parse(source)) if isinstance(one, ast.Constant)}
    assert {f"x{mark}", evil} <= names
    assert "__import__" not in {
        one.id for one in ast.walk(ast.parse(source)) if isinstance(one, ast.Name)
    }
