"""Pictures as figures: literal frames in, traces out. What a reader must not be misled by."""

from __future__ import annotations

import math
import tomllib
from datetime import UTC, date, datetime
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs

import polars as pl
import pytest

from data_access import Window
from data_access.asked import end_of_span
from pages.components import charts, filters, funnel_charts, palette, pictures
from pages.components.view import View

ROOT = Path(__file__).parent.parent
DAYS = pl.date_range(date(2026, 11, 1), date(2026, 11, 5), eager=True)
FRAME = pl.DataFrame({"period": DAYS, "users": [3.0, None, 5.0, 6.0, 1.0]})


def trace(figure, name):
    return next(one for one in figure.data if one.name == name)


def test_a_gap_in_the_data_is_a_gap_in_the_line():
    figure = charts.lines(FRAME, {"users": "people"})

    line = trace(figure, "people")
    assert list(line.y) == [3, None, 5, 6, 1]
    assert line.connectgaps is False


def test_the_hour_that_is_not_over_is_one_of_utc_on_the_page_s_clock():
    run = SimpleNamespace(timezone="Asia/Kolkata", now=datetime(2026, 11, 26, 10, 50, tzinfo=UTC))

    assert View.open_hour(run) == datetime(2026, 11, 26, 15, 30)  # noqa: DTZ001 - a clock's face


def test_an_open_period_is_dashed_and_never_a_drop_of_the_line():
    figure = charts.lines(FRAME, {"users": "people"}, open_from=date(2026, 11, 5))

    assert list(trace(figure, "people").y) == [3, None, 5, 6, None]
    late = trace(figure, "people, not over yet")
    assert list(late.y) == [6, 1]
    assert late.mode == "markers"  # six, then one so far: a line down would be a lie

    rising = FRAME.with_columns(users=pl.Series([3.0, 4.0, 5.0, 6.0, 7.0]))
    late = charts.lines(rising, {"users": "people"}, open_from=date(2026, 11, 5)).data[-1]
    assert (late.mode, late.line.dash) == ("lines+markers", "dot")


@pytest.mark.parametrize(
    ("last", "mode"), [(5.0, "lines+markers"), (1.0, "markers")], ids=["it grew", "it would fall"]
)
def test_an_open_period_is_hollow_in_small_pictures_too(last, mode):
    days = pl.DataFrame(
        {"period": [date(2026, 3, day) for day in (1, 2, 3)], "a": [3.0, 4.0, last]}
    )

    drawn = charts.small_multiples(days, {"a": "a"}, open_from=date(2026, 3, 3))

    end = drawn.data[-1]
    assert (end.mode, end.marker.symbol, list(end.marker.size)) == (mode, "circle-open", [0, 5])


def test_the_previous_period_lies_under_this_one_lighter_and_dotted():
    before = FRAME.with_columns(pl.col("period").dt.offset_by("-5d"))
    figure = charts.lines(FRAME, {"users": "people"}, before=before)

    past = trace(figure, "people, before")
    assert list(past.x) == list(DAYS)
    assert past.line.dash == "dot"
    assert past.opacity < 1


def test_up_to_four_lines_are_named_at_their_end_without_overlap():
    frame = pl.DataFrame({"period": DAYS, "a": [1.0] * 5, "b": [1.0] * 5, "c": [100.0] * 5})
    figure = charts.lines(frame, {"a": "a", "b": "b", "c": "c"})

    labels = {one.text.rpartition(" ")[2]: one for one in figure.layout.annotations}
    assert set(labels) == {"a", "b", "c"}
    assert abs(labels["a"].yshift - labels["b"].yshift) >= 15
    assert figure.layout.showlegend is False


def test_many_lines_get_a_legend():
    frame = pl.DataFrame({"period": DAYS} | {name: [1.0] * 5 for name in "abcde"})

    assert charts.lines(frame, {name: name for name in "abcde"}).layout.showlegend is True


def test_lines_are_told_apart_without_colour():
    frame = pl.DataFrame({"period": DAYS, "a": [1.0] * 5, "b": [2.0] * 5, "c": [3.0] * 5})
    figure = charts.lines(frame, {"a": "server", "b": "extension", "c": "web"})

    assert len({one.line.dash for one in figure.data}) == 3
    assert [one.line.color for one in figure.data] == [
        palette.SLOTS[name] for name in ("server", "extension", "web")
    ]


def test_counts_start_at_zero():
    assert charts.lines(FRAME, {"users": "people"}).layout.yaxis.rangemode == "tozero"
    assert charts.columns(FRAME, {"users": "people"}).layout.yaxis.rangemode == "tozero"


def test_bars_of_an_open_period_are_hatched_and_faint():
    figure = charts.columns(FRAME, {"users": "people"}, open_from=date(2026, 11, 5))

    assert figure.data[0].marker.pattern.shape == ("", "", "", "", "/")
    assert figure.data[0].marker.opacity[-1] < 1


def test_names_from_the_data_are_not_html_in_a_chart():
    frame = pl.DataFrame({"name": ["<b>x</b>", "", "same", "same"], "n": [3.0, 2.0, 1.0, 1.0]})
    figure = charts.bars(frame, name="name", value="n")

    assert figure.data[0].y[0] == "&lt;b&gt;x&lt;/b&gt;"
    assert figure.data[0].y[1] == "none named"
    assert len(set(figure.data[0].y)) == 4


def test_a_log_axis_survives_zero_and_nothing():
    frame = pl.DataFrame({"period": DAYS, "p50": [0.0, None, 5.0, 60_000.0, 1.0]})
    for log_frame in (frame, frame.with_columns(p50=pl.lit(None, pl.Float64))):
        figure = charts.lines(log_frame, {"p50": "p50"}, kind="duration", log=True)
        low, high = figure.layout.yaxis.range
        assert low < high


def test_the_lifecycle_puts_who_went_quiet_below_zero_in_the_colour_of_harm():
    frame = pl.DataFrame(
        {
            "period": [date(2026, 11, 2)],
            "new": [2.0],
            "returning": [3.0],
            "resurrecting": [1.0],
            "dormant": [-2.0],
        }
    )
    figure = charts.lifecycle(frame)

    quiet = trace(figure, "gone quiet")
    assert list(quiet.y) == [-2]
    assert quiet.marker.color == palette.HARM


def test_every_meaning_has_the_colour_the_theme_gives_its_slot():
    theme = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))["theme"]
    for place, name in enumerate(("light", "dark")):
        wanted = [colours[place] for colours in palette.COLOURS.values()]
        assert theme[name]["chartCategoricalColors"] == wanted
        assert len(theme[name]["chartSequentialColors"]) == 10
        assert len(theme[name]["chartDivergingColors"]) == 10


def test_text_reads_on_every_tone_of_a_grid():
    theme = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))["theme"]
    for name in ("light", "dark"):
        for tone in theme[name]["chartSequentialColors"]:
            # Plotly writes in one of these two
            assert max(contrast(tone, "#FFFFFF"), contrast(tone, "#444444")) >= 4.5, tone


def test_the_scale_of_a_grid_rises_and_jumps_over_its_middle():
    places = [place for place, _ in palette.scale()]

    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, 1)
    assert places[5] - places[4] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("place", "paper"), [(0, "#FFFFFF"), (1, "#12171C")], ids=["light", "dark"]
)
def test_every_colour_stands_off_its_paper(place, paper):
    for name, colours in palette.COLOURS.items():
        assert contrast(colours[place], paper) >= 3, name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_their_faded_kin_read_on_every_ground(scheme):
    theme = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))["theme"]
    paper, text = theme[scheme]["backgroundColor"], theme[scheme]["textColor"]
    fields = (theme[scheme], theme[scheme]["sidebar"])
    grounds = [
        field[name] for field in fields for name in ("backgroundColor", "secondaryBackgroundColor")
    ]

    assert all(contrast(text, ground) >= 7 for ground in grounds)
    assert contrast(faded(text, paper), paper) >= 4.5  # axis labels
    for name in ("linkColor", "primaryColor", "redColor", "greenColor"):
        assert contrast(theme[scheme][name], paper) >= 4.5, name


def faded(text: str, paper: str, share: float = 0.6) -> str:
    """Return the tone of text that is as transparent as Streamlit's secondary text."""
    pairs = zip(channels(text), channels(paper), strict=True)
    return "#" + "".join(f"{round((a * share + b * (1 - share)) * 255):02X}" for a, b in pairs)


# what somebody without one kind of cones sees (Machado, Oliveira and Fernandes 2009, severity 1)
BLIND = {
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
TOGETHER = (  # the colours that stand side by side in one picture
    ("free", "trial", "paid", "enterprise"),
    ("server", "extension", "web"),
    ("harm", "ink", "quiet"),
)
APART = 10  # in CIELAB; 2.3 is just noticeable side by side


@pytest.mark.parametrize("place", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("kind", BLIND)
def test_colours_of_one_picture_are_told_apart_by_everybody(kind, place):
    for names in TOGETHER:
        seen = [lab(BLIND[kind], palette.COLOURS[name][place]) for name in names]
        for (one, a), (other, b) in combinations(zip(names, seen, strict=True), 2):
            assert math.dist(a, b) >= APART, (one, other)


def lab(matrix, colour: str) -> tuple[float, float, float]:
    """Return where a colour lies in CIELAB for an eye that the matrix stands for."""
    whole = [linear(part) for part in channels(colour)]
    seen = [sum(a * b for a, b in zip(row, whole, strict=True)) for row in matrix]
    red, green, blue = (min(max(part, 0), 1) for part in seen)
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def channels(colour: str) -> list[float]:
    return [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]


def linear(part: float) -> float:
    return part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    red, green, blue = (linear(part) for part in channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_largest_series_come_first_and_nameless_ones_have_a_name():
    frame = pl.DataFrame(
        {
            "period": [date(2026, 11, 1)] * 3,
            "channel": ["web", "", "server"],
            "events": [1.0, 2.0, 9.0],
        }
    )
    wide, labels = pictures.spread(frame, "channel", "events")

    assert list(labels.values()) == ["server", "none named", "web"]
    assert wide.row(0)[1:] == (9.0, 2.0, 1.0)


# --- where a relative span ends --------------------------------------------------------------

TODAY = date(2026, 11, 18)  # a Wednesday


@pytest.mark.parametrize(
    ("span", "last_day", "switches", "end"),
    [
        pytest.param("28d", TODAY, {}, date(2026, 11, 17), id="only-complete-days-end-yesterday"),
        pytest.param("28d", TODAY, {"live": True}, TODAY, id="live-shows-today"),
        pytest.param("28d", TODAY, {"complete": False}, TODAY, id="open-days-may-be-shown"),
        pytest.param("28d", date(2020, 5, 1), {}, date(2020, 5, 1), id="old-data"),
        pytest.param("24h", TODAY, {}, TODAY, id="hours-end-now"),
        pytest.param("28d", None, {}, date(2026, 11, 17), id="no-data"),
        pytest.param("28d", TODAY, {"first_day": TODAY}, TODAY, id="the-first-day-of-all"),
        pytest.param(
            "28d",
            TODAY,
            {"first_day": date(2026, 11, 17)},
            date(2026, 11, 17),
            id="a-day-is-over",
        ),
    ],
)
def test_a_relative_span_ends_with_the_last_day_worth_showing(span, last_day, switches, end):
    found, _ = end_of_span(span, TODAY, last_day, **{"complete": True, "live": False} | switches)
    assert found == end


def test_a_span_that_was_moved_says_so():
    end, moved = end_of_span("7d", TODAY, date(2020, 5, 1), complete=True, live=False)
    assert "The data ends on 1 May 2020" in filters.why_moved(moved, "7d", TODAY, end)[0]


@pytest.mark.parametrize(
    ("span", "day"), [("week", date(2026, 11, 16)), ("month", date(2026, 11, 1))]
)
def test_a_period_on_its_first_day_shows_that_day(span, day):
    found, moved = end_of_span(span, day, day, complete=True, live=False)
    assert found == day
    assert "began today" in filters.why_moved(moved, span, day, found)[0]


def test_what_a_link_asks_for_in_vain_is_noted():
    offered = {"tiers": ("free", "paid"), "events": ("a",)}
    asked = {"tier": ["root", "paid"], "live": ["banana"], "foo": ["1"], "span": ["evil"]}

    notes = " ".join(filters.ignored(asked, offered))

    for part in ("'root'", "'banana'", "foo", "'evil'"):
        assert part in notes
    assert "paid" not in notes
    assert filters.ignored({"tier": ["paid"], "compare": ["false"], "group": ["x"]}, offered) == ()


def test_a_link_writes_its_dates_out():
    choice = filters.Choice(
        filters=filters.Filters(Window.last(7, TODAY), tiers=("paid",)),
        compare=False,
        complete=True,
        live=True,
        span="7d",
        latest=datetime(2026, 11, 18),  # noqa: DTZ001 - not read here
        notes=(),
    )
    own = [("group", "g1"), ("operation", "")]
    url = filters.query(choice, own, dates="frozen")

    assert url.startswith("span=custom&from=2026-11-12&to=2026-11-18&tier=paid")
    assert "compare=false" in url
    assert "group=g1" in url
    assert "operation" not in url
    assert "live" not in url
    assert "complete=false" in url  # live, so the running day is in it

    moving = filters.query(choice, own, dates="relative")
    assert moving == "span=7d&tier=paid&compare=false&live=true&group=g1"


def test_a_link_names_the_place_where_it_is_not_the_team_s():
    window = Window.last(7, TODAY, timezone="UTC", week_starts_on="monday")
    choice = filters.Choice(
        filters=filters.Filters(window, projects=("a b&c=d#e%+/:é",)),
        compare=True,
        complete=True,
        live=False,
        span="7d",
        latest=datetime(2026, 11, 18),  # noqa: DTZ001 - not read here
        notes=(),
        team_place=("Asia/Kolkata", "sunday"),
    )

    for dates in ("frozen", "relative"):
        said = filters.query(choice, [("page.emptied", "")], dates=dates)
        asked = parse_qs(said, keep_blank_values=True)
        assert asked["timezone"] == ["UTC"]
        assert asked["week_starts_on"] == ["monday"]
        assert asked["project"] == ["a b&c=d#e%+/:é"]
        assert asked["page.emptied"] == [""]
        assert "compare" not in asked


def test_a_wide_name_is_cut_where_a_narrow_one_would_fit():
    """Twenty characters of Japanese take the room of forty."""
    assert charts.label_of("データベース" * 2, most=24) == "データベース" * 2
    assert charts.label_of("データベース" * 3, most=24) == "データベースデータベー…"
    assert charts.label_of("a" * 24, most=24) == "a" * 24


@pytest.mark.parametrize("users", [[1], [1, 0, 4]])
def test_an_axis_of_a_few_people_has_no_half_person(users):
    rows = pl.DataFrame(
        {
            "seconds_from": [10.0 * at for at in range(len(users))],
            "seconds_to": [10.0 * at + 10 for at in range(len(users))],
            "users": users,
        }
    )

    drawn = funnel_charts.times(rows, 9.0 * len(users))

    assert drawn.layout.yaxis.dtick == 1
    assert drawn.layout.annotations[0].xanchor == "right"  # the median stands at the right edge


def test_labels_stand_apart_where_the_axis_goes_beyond_the_lines():
    days = [date(2026, 1, 1), date(2026, 1, 2)]
    rows = pl.DataFrame({"period": days, "a": [0.05, 0.053], "b": [0.05, 0.048]})

    drawn = charts.lines(rows, {"a": "a", "b": "b"}, kind="percent", top=10.0)

    shifts = [one.yshift for one in drawn.layout.annotations]
    assert drawn.layout.yaxis.range == (0, 10)
    assert shifts[1] - shifts[0] >= 14


@pytest.mark.parametrize("drawn", [charts.lines, charts.columns])
def test_days_on_an_axis_are_written_as_in_the_tables(drawn):
    axis = drawn(FRAME, {"users": "people"}).layout.xaxis

    assert axis.hoverformat == "%-d %b %Y"
    assert [one.value for one in axis.tickformatstops][:2] == ["%H:%M\n%-d %b %Y", "%-d %b\n%Y"]
    assert (
        charts.histogram(
            pl.DataFrame({"low": [1.0], "high": [2.0], "n": [3]}),
            low="low",
            high="high",
            series={"n": "n"},
        ).layout.xaxis.tickformatstops
        == ()
    )
