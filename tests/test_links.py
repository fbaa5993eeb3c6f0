"""A copied link as a script reads it: the days, the filters and the choices its page shows."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from urllib.parse import urlencode

import pytest
from lines import event
from polars.testing import assert_frame_equal

from data_access import Filters, Window, scan
from data_access import links as read
from data_access.links import LinkError, read_link
from data_access.metrics import METRICS, retention
from ingest.loader import load
from pages.components import filters, funnels

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
MARCH = [
    event(f"u{n % 7}", at=f"2026-03-{1 + n // 5:02}T{n % 5:02}:00:00Z", event_id=f"e{n}")
    for n in range(5 * 28)
]


@pytest.fixture(scope="module")
def beta(tmp_path_factory):
    """Load four weeks of seven people; the data ends on 28 March, after NOW's day."""
    folder = tmp_path_factory.mktemp("beta")
    lines = folder / "lines.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in MARCH))
    load(lines, folder / "home")
    return folder / "home"


def link(text, home, **options):
    return read_link(text, home, now=NOW).request("retention", home, **options)


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ("", date(2026, 2, 20), date(2026, 3, 19)),
        ("span=7d", date(2026, 3, 13), date(2026, 3, 19)),
        ("span=7d&complete=false", date(2026, 3, 14), date(2026, 3, 20)),
        ("span=7d&live=true", date(2026, 3, 14), date(2026, 3, 20)),
        ("span=week", date(2026, 3, 16), date(2026, 3, 19)),
        ("span=custom&from=2026-03-05&to=2026-03-01", date(2026, 3, 1), date(2026, 3, 5)),
        ("from=2026-03-01&to=2026-03-05", date(2026, 3, 1), date(2026, 3, 5)),
    ],
)
def test_a_span_ends_where_the_page_lets_it_end(query, first, last, beta):
    window = read_link(query, beta, now=NOW).filters.window

    assert (window.start, window.end) == (first, Window.last(1, last).end)


def test_a_span_ends_with_the_data(beta):
    late = read_link("span=7d", beta, now=datetime(2026, 5, 1, tzinfo=UTC))

    assert late.filters.window.end == date(2026, 3, 29)


@pytest.mark.parametrize(
    "form", ["{}", "?{}", "http://h:1/overview?{}#a", "/overview?{}", "overview?{}"]
)
def test_a_query_or_a_whole_link_say_the_same(form, beta):
    query = urlencode([("span", "7d"), ("tier", "paid"), ("where", "ide:a?b"), ("segment", "x")])

    found = read_link(form.format(query), beta, now=NOW).filters

    assert found.tiers == ("paid",)
    assert found.properties == ("ide:a?b",)


def test_a_bare_query_asks_for_the_metric_as_it_is_defined(beta):
    asked = link("from=2026-03-02&to=2026-03-20", beta)

    window = Window(date(2026, 3, 2), date(2026, 3, 21))
    expected = retention(scan("events", beta), window).collect()
    assert_frame_equal(asked.compute(beta).collect(), expected)


def test_the_link_of_a_page_asks_with_its_choices_and_its_room(beta):
    query = urlencode(
        [
            ("span", "7d"),
            ("retention.every", "day"),
            ("retention.cohort", "recurring"),
            ("retention.times", "2"),
            ("retention.later", "true"),
            ("retention.clock", "own-clock"),
            ("retention.back", "session_started where channel:server"),
            ("retention.by", "tier"),
        ]
    )

    asked = link(query, beta)

    assert asked.options == {
        "every": "1d",
        "cohort": "recurring",
        "min_returns": 2,
        "unbounded": True,
        "clock": "rolling",
        "back": "session_started where channel:server",
    }
    assert asked.split == "tier"
    assert asked.filters.window.start == date(2026, 3, 1)  # 28 days, but not before the data
    assert link(query, beta, every="1w").options["every"] == "1w"
    assert asked.compute(beta).collect().columns[:2] == ["group", "cohort"]


@pytest.mark.parametrize(("split", "is_doubted"), [("user_tier", False), ("http.status", True)])
def test_only_a_breakdown_that_may_be_misspelt_is_doubted(beta, split, is_doubted):
    asked = link("span=7d", beta, split=split)

    assert any("spelled" in note for note in asked.notes) is is_doubted


def test_a_funnel_is_the_pages_own(beta):
    query = urlencode(
        [
            *(("funnels.steps", name) for name in ("session_started", "b", "c")),
            ("funnels.optional", "b"),
            ("funnels.without", "d between 1 and 3"),
            ("funnels.within", "7d"),
            ("funnels.by", "channel"),
        ]
    )

    asked = read_link(query, beta, now=NOW).request("funnel_by", beta)

    assert asked.options == {
        "steps": ("session_started", "b", "c"),
        "within": "7d",
        "by": "channel",
        "users_min": 5,
        "optional": (1,),
        "exclude": (("d", 0, 2),),
    }
    assert asked.compute(beta).collect().height
    plain = read_link("", beta, now=NOW).request("funnel", beta)
    assert plain.options == {"steps": funnels.TO_PAID}
    shown = read_link("http://h/funnels", beta, now=NOW).request("funnel_trend", beta)
    assert (shown.options["within"], shown.filters.window.days) == ("30d", 84)


def test_journeys_and_experiments_ask_as_their_pages(load_lines, home):
    trial = {"flag": "f", "variant": "a"}
    load_lines(*(event(f"u{n}", at=f"2026-03-{n:02}T10:00:00Z", metadata=trial) for n in (1, 9)))

    query = "journeys.gap=session+id&journeys.item=tool&journeys.start=any"
    asked = read_link(query, home, now=NOW).request("path_steps", home)
    tried = read_link("/experiments?span=7d", home, now=NOW).request("experiment_results", home)

    assert asked.options == {
        "by": "session_id", "item": "tool_name", "start": None, "depth": 5, "most": 6
    }  # fmt: skip
    assert tried.options["flag"] == "f"
    assert tried.filters.window.start == date(2026, 3, 1)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("tier=gold", "free, trial, paid, enterprise"),
        ("span=29d", "24h, 7d, 28d"),
        ("from=2026-99-01&to=x", "not calendar days"),
        ("where=nothing", "Ignored unknown where"),
        ("retention.evry=day", "Did you mean retention.every"),
        ("retention.every=year", "day, week, month"),
        ("retention.times=x", "no number"),
        ("complete=maybe", "neither true nor false"),
        ("retention.every=day&funnels.order=strict", "several pages"),
        ("x" * 30_000, "none of ours"),
        ("timezone=Mars/Olympus", "Unknown timezone"),
    ],
)
def test_what_a_link_cannot_mean_is_refused_with_what_it_can(query, said, beta):
    with pytest.raises(LinkError, match=said):
        link(query, beta)


def test_words_that_filter_nothing_are_noted(beta):
    notes = read_link("span=7d&utm_source=mail&who=a&embed=true", beta, now=NOW).notes

    assert notes == ("Ignored unknown parts of the link: utm_source.",)


def test_metrics_and_options_are_refused_with_near_ones(beta):
    asked = read_link("", beta, now=NOW)

    with pytest.raises(LinkError, match="Did you mean retention"):
        asked.request("retentoin", beta)
    with pytest.raises(LinkError, match="Did you mean every"):
        asked.request("retention", beta, evry="1d")
    with pytest.raises(LinkError, match="needs user"):
        asked.request("user_rows", beta)


def test_the_words_are_those_of_the_pages():
    """The tables here and the pages' own lists of tokens must not drift apart."""
    assert set(read.LIMITS) == set(funnels.LIMITS)
    assert set(read._SWITCHES) == set(filters.SWITCHES)
    assert {*read._OF_A_PAGE, "who"} == set(filters.OWN)


def test_every_choice_is_an_option_of_some_metric():
    known = {option for metric in METRICS.values() for option in metric.option_kinds()}
    for page, choices in read.CHOICES.items():
        for name, choice in choices.items():
            assert choice.option in known | {"split", "period"}, f"{page}.{name}"


def test_filters_without_a_home_span_agree_with_the_library(beta):
    query = Filters(Window(date(2026, 3, 1), date(2026, 3, 8)), tiers=("paid",)).to_query()

    assert read_link(query, beta, now=NOW).filters == Filters.from_query(query)
