"""Numbers, changes, times and names as words."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from data_access import Filters, Window
from ingest.sampling import standard_error
from pages.components import text

NOW = datetime(2026, 11, 20, 16, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, text.NOTHING),
        (float("nan"), text.NOTHING),
        (0, "0"),
        (0.4, "0.4"),
        (7, "7"),
        (1234, "1,234"),
        (9999, "9,999"),
        (9999.6, "10.0k"),
        (12_345, "12.3k"),
        (999_960, "1.0M"),
        (4_500_000, "4.5M"),
        (2_000_000_000, "2.0B"),
    ],
)
def test_counts_are_written_out_up_to_ten_thousand(value, said):
    assert text.count(value) == said


@pytest.mark.parametrize(
    ("dollars", "said"),
    [
        (None, text.NOTHING),
        (0, "$0"),
        (0.00421, "$0.0042"),
        (0.000_042, "$0.000042"),
        (0.0183, "$0.018"),
        (0.05, "$0.05"),
        (0.334, "$0.33"),
        (0.5, "$0.50"),
        (1.5, "$1.50"),
        (99.994, "$99.99"),
        (99.996, "$100"),
        (1234.5, "$1,234"),
        (12_345, "$12.3k"),
        (-1.5, "\N{MINUS SIGN}$1.50"),
    ],
)
def test_money_shows_cents_while_they_matter(dollars, said):
    assert text.money(dollars) == said


def test_changes_of_money_name_the_amount_before():
    assert text.change_of_money(3, 2) == text.Change("up 50 % (from $2.00)", 1)
    assert text.change_of_money(2.01, 2).direction == 0
    assert text.change_of_money(0, 0) is None
    assert text.change_of_money(3, 2, fewest=4) == text.Change("too few to say (n = 4)")


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (None, text.NOTHING),
        (0, "0 %"),
        (1, "100 %"),
        (0.952, "95.2 %"),
        (0.0004, "0.04 %"),
        (0.99961, "99.96 %"),
        (-0.479, "-47.9 %"),
        (14.2, "1,420 %"),
    ],
)
def test_percentages_never_round_to_nothing_or_everything(share, said):
    assert text.percent(share) == said


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [
        (None, text.NOTHING),
        (0, "0 ms"),
        (0.42, "0.4 ms"),
        (380, "380 ms"),
        (999.7, "1.00 s"),
        (1240, "1.24 s"),
        (30_112, "30.1 s"),
        (192_000, "3.2 min"),
        (18_360_000, "5.1 h"),
        (259_200_000, "3.0 days"),
    ],
)
def test_durations_have_the_unit_a_person_would_use(milliseconds, said):
    assert text.duration(milliseconds) == said


def test_a_small_group_is_told_in_people_and_a_large_one_in_percent():
    assert text.share(3, 40, "testers") == "3 of 40 testers"
    assert text.share(93, 1234, "testers") == "7.5 % of 1,234 testers"
    assert text.share(0, 0, "testers") == "no testers"
    assert text.rate(3, 40) == "3 of 40"
    assert text.rate(93, 1234) == "7.5 %"
    assert text.rate(1, 0) == text.NOTHING


@pytest.mark.parametrize(
    ("now", "before", "said", "direction"),
    [
        (381, 340, "up 12 % (from 340)", 1),
        (300, 340, "down 12 % (from 340)", -1),
        (345, 340, "about the same (from 340)", 0),
        (110, 100, "about the same (from 100)", 0),  # within the noise of a count
        (7, 2, "too few to say (n = 7)", 0),
        (50, 0, "up from none", 1),
        (900, 100, "up 9.0-fold (from 100)", 1),
        (1_980, 100, "up 20-fold (from 100)", 1),
    ],
)
def test_a_change_is_said_in_words_and_has_a_direction(now, before, said, direction):
    assert text.change(now, before) == text.Change(said, direction)


def test_nothing_is_said_about_a_change_without_two_numbers():
    assert text.change(None, 3) is None
    assert text.change(3, None) is None
    assert text.change(0, 0) is None


def test_a_rate_changes_in_points_and_only_beyond_its_noise():
    assert text.change_of_rate((60, 1000), (30, 1000)) == text.Change(
        "up 3.0 points (from 3.0 %)", 1
    )
    assert text.change_of_rate((31, 1000), (30, 1000)).direction == 0
    assert text.change_of_rate((1, 4), (30, 1000)) == text.Change("too few to say (n = 4)")
    assert text.change_of_rate((None, 4), (30, 1000)) is None


def test_a_duration_changes_relative_to_what_it_was():
    assert text.change_of_duration(790, 380) == text.Change("up 108 % (from 380 ms)", 1)
    assert text.change_of_duration(381, 380).direction == 0
    assert text.change_of_duration(790, 380, fewest=3) == text.Change("too few to say (n = 3)")


def test_a_moment_is_relative_and_absolute():
    assert text.moment(datetime(2026, 11, 18, 14, 5, tzinfo=UTC), NOW) == "2 days ago, 18 Nov 14:05"
    assert text.moment(datetime(2025, 11, 18, 14, 5), NOW).endswith("18 Nov 2025 14:05")  # noqa: DTZ001 - naive is UTC
    assert text.moment(NOW, NOW, "Asia/Seoul") == "just now, 21 Nov 01:05"
    assert text.ago(timedelta(hours=-3)) == "in 3 hours"
    assert text.clock(NOW, NOW) == "16:05"


def test_a_window_is_told_by_its_length_and_last_day():
    today = date(2026, 11, 20)
    assert text.window(Window.last(28, today), today=today) == "28 days to 20 Nov"
    assert text.window(Window.last(1, date(2025, 1, 2)), today=today) == "1 day to 2 Jan 2025"
    assert text.window(Window.last_hours(24, NOW), today=today) == "24 hours to 20 Nov 16:05"


def test_what_is_filtered_is_said_in_words():
    filters = Filters(
        Window.last(7, date(2026, 11, 20)), tiers=("paid", "free"), events=("a", "b", "c", "d", "e")
    )
    assert text.filtered(filters) == "tier free, paid; event a, b, c, d and 1 more"


@pytest.mark.parametrize(
    "name",
    [
        "**bold**",
        "<b>x</b>",
        "[a](http://evil)",
        "`code`",
        "$x^2$",
        ":smile:",
        "~~gone~~",
        "# heading",
        "![i](u)",
    ],
)
def test_names_from_the_data_are_never_markup(name):
    escaped = text.escaped(name)
    unescaped = [
        character
        for place, character in enumerate(escaped)
        if character in "*<>[]()`$:~#!" and escaped[place - 1] != "\\"
    ]
    assert not unescaped


def test_control_characters_and_length_do_not_reach_the_page():
    assert text.plain("a\x00b\nc\u202ed") == "a b c d"
    assert len(text.plain("x" * 500)) == text.NAME_CHARS_MAX
    assert text.person("0123456789abcdef") == "0123456789a…"


DEFINITION = """Count things.

Definition
----------
A thing is a thing.

Columns
-------
period : Date, first day;
    quiet ones included.
users : Float64, people."""


def test_a_docstring_becomes_a_tooltip_and_markdown():
    assert text.tooltip(DEFINITION) == "Count things. A thing is a thing."
    markdown = text.definition_markdown(DEFINITION)
    assert "**Definition**" in markdown
    assert "- `period`: Date, first day; quiet ones included." in markdown


# --- samples ---------------------------------------------------------------------------------


def test_what_comes_from_a_sample_is_marked_and_the_rest_is_not():
    tenth = text.Sample(0.1)

    assert text.about("1,234", tenth) == "≈\u00a01,234"
    assert text.about("1,234", None) == "1,234"
    assert text.about(text.NOTHING, tenth) == text.NOTHING
    assert text.about(text.about("7", tenth), tenth) == "≈\u00a07"


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (0.1, "about 1 in 10 people's"),
        (0.05, "about 1 in 20 people's"),
        (0.015, "about 1 in 67 people's"),
        (1 / 3, "about 1 in 3 people's"),
        (0.4, "about 40 % of people's"),
        (0.7, "about 70 % of people's"),
    ],
)
def test_a_sample_says_how_many_people_it_keeps(rate, said):
    assert said in text.estimated(text.Sample(rate))


def test_an_estimate_of_people_says_how_far_off_it_may_be():
    """Twice the standard error that sampling states, of the number shown."""
    told = text.estimated(text.Sample(0.1), people=40_000)

    assert 2 * standard_error(4_000, 0.1) / 40_000 == pytest.approx(0.03, abs=0.0001)
    assert told == (
        "Estimated from a sample: about 1 in 10 people's ordinary events are kept. "
        "19 of 20 times the true value is within ±3.0 %."
    )
    assert text.estimated(text.Sample(0.1), people=482).endswith("within ±27 %.")
    assert text.estimated(text.Sample(0.1), people=30).endswith("to say how far off it is.")
    assert text.estimated(text.Sample(0.1), people=0).endswith("events are kept.")
    assert text.estimated(text.Sample(None), people=482) == "Estimated from a sample."


def test_a_change_in_a_sample_has_to_be_larger_to_be_news():
    """Up from 340 to 400 is news of people counted, and noise of one in ten of them."""
    assert text.change(400, 340) == text.Change("up 18 % (from 340)", 1)
    assert text.change(400, 340, each=10) == text.Change("about the same (from 340)")
    assert text.change(600, 340, each=10) == text.Change("up 76 % (from 340)", 1)
    assert text.change(90, 40, each=10) == text.Change("too few to say (n = 90)")
    assert text.change_of_rate((80, 400), (48, 400)) == text.Change(
        "up 8.0 points (from 12.0 %)", 1
    )
    assert text.change_of_rate((80, 400), (48, 400), each=10) == text.Change(
        "about the same (from 12.0 %)"
    )
    assert text.change_of_rate((80, 190), (48, 190), each=10) == text.Change(
        "too few to say (n = 190)"
    )
    assert text.Sample(0.1).each == pytest.approx(10)
    assert text.Sample(None).each == 1
