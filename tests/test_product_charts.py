"""Pictures of parts, of amounts around zero, and marks that can be clicked."""

from __future__ import annotations

from datetime import date

import polars as pl

from pages.components import charts, extension, marks, palette, product_charts, properties

DAYS = pl.date_range(date(2026, 11, 1), date(2026, 11, 3), eager=True)
PARTS = pl.DataFrame(
    {
        "model": ["b", "b", "<i>a</i>"],
        "type": ["fix", "idea", "fix"],
        "n": [3.0, 1.0, 2.0],
    }
)


def test_parts_of_a_bar_differ_in_colour_and_in_pattern_and_keep_their_order():
    drawn = product_charts.stacked(
        PARTS, name="model", part="type", value="n", parts=["fix", "bug", "idea"], noun="notes"
    )

    fix, idea = drawn.data
    assert (list(fix.x), list(idea.x)) == ([3, 2], [1, None])
    assert list(fix.y) == ["b", "&lt;i&gt;a&lt;/i&gt;"]
    assert fix.marker.color != idea.marker.color
    assert idea.marker.color == palette.SLOTS[product_charts.FILLS[2]]  # its own, not the next
    assert fix.marker.pattern.shape != idea.marker.pattern.shape
    assert list(fix.customdata) == ["3 notes", "2 notes"]


def test_what_lies_below_zero_is_drawn_as_harm_and_hatched():
    frame = pl.DataFrame({"period": DAYS, "saved": [5.0, -2.0, None]})

    [trace] = product_charts.around_zero(frame, {"saved": "saved"}).data

    assert list(trace.marker.color) == [palette.INK, palette.HARM, palette.INK]
    assert list(trace.marker.pattern.shape) == ["", "x", ""]


def test_bars_of_a_stack_are_told_apart_also_where_their_period_is_not_over():
    frame = pl.DataFrame({"period": DAYS, "a": [1.0] * 3, "b": [1.0] * 3})

    drawn = product_charts.told_apart(
        charts.columns(frame, {"a": "a", "b": "b"}, open_from=date(2026, 11, 3))
    )

    fills = [one.marker for one in drawn.data]
    assert fills[0].color != fills[1].color
    assert [list(one.pattern.shape) for one in fills] == [["", "", "/"], ["/", "/", "/"]]


def test_a_click_on_a_bar_is_told_by_its_token_and_hover_keeps_its_words():
    frame = pl.DataFrame({"name": ["a", "b"], "n": [2.0, 1.0]})
    drawn = charts.bars(frame, name="name", value="n")

    product_charts.clickable(drawn, ["v:a", "none"], ["two", "one"])

    clicked = {"customdata": list(drawn.data[0].customdata[1])}
    assert marks.token_at(clicked, None) == "none"
    assert "customdata[1]" in drawn.data[0].hovertemplate


def test_a_value_that_is_called_none_is_not_the_one_nobody_named():
    frame = pl.DataFrame({"value": [None, "none"], "n": [1, 2]})

    for value in (None, "none", "v:x", ""):
        assert properties.value_of(properties.token_of(value)) == value
    assert properties.of_value(frame, "value", properties.token_of("none"))["n"].to_list() == [2]
    assert properties.of_value(frame, "value", properties.token_of(None))["n"].to_list() == [1]


def test_the_rest_and_none_come_after_the_named_values_and_nobody_not_at_all():
    frame = pl.DataFrame(
        {"value": [None, "other", "go", "c", "none left"], "users": [9.0, 8.0, 2.0, 3.0, 0.0]}
    )

    assert properties.ordered(frame)["value"].to_list() == ["c", "go", "other", None]


def test_time_a_day_is_written_in_minutes():
    frame = pl.DataFrame({"period": DAYS, "seconds_per_day": [600.0, 1_500.0, None]})

    drawn = charts.lines(extension.timed(frame), {extension.TIME_A_DAY: "x"}, kind="duration")

    assert drawn.layout.yaxis.ticktext[:3] == ("0", "10 min", "20 min")
    assert drawn.data[0].customdata[1] == "25.0 min"


def test_small_amounts_of_money_are_never_thousandths_of_a_prefix():
    frame = pl.DataFrame({"period": DAYS, "cost": [0.1, 0.05, 0.2]})

    drawn = charts.lines(frame, {"cost": "cost"}, kind="money")

    assert drawn.layout.yaxis.tickformat == "~f"
    assert drawn.data[0].customdata[1] == "$0.05"
