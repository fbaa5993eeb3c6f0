"""Every page in every state before axe-core: no serious fault, in light, in dark and on a phone.

What axe cannot see (where the keyboard is, which page is open, headings in order) is asked beside.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from test_browser import (
    PAGES,
    browser,  # noqa: F401 - fixtures
    choose,
    demo,  # noqa: F401
    opened,
    opened_list,
    serving,
    settle,
    visit,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = Axe()
BLOCKING = ("serious", "critical")
OPTIONS = {"resultTypes": ["violations"]}
# a popover, a list or a fold opens, what is old fades, colours change: all of it has ended
STILL = """() => document.getAnimations().every(
    one => one.playState !== 'running' || one.effect.getTiming().iterations === Infinity
)"""
LEVELS = "[...document.querySelectorAll('main :is(h1,h2,h3,h4)')].map(e => +e.tagName[1])"


@pytest.fixture(scope="module")
def app(demo: Path, tmp_path_factory) -> Iterator[str]:  # noqa: F811
    with serving(demo, tmp_path_factory.mktemp("log") / "server.log") as address:
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:  # noqa: F811
    with opened(browser, color_scheme="light") as one:
        yield one


def faults(page: Page, **options) -> list[str]:
    """Return what axe finds to be serious: the rule, the element, and why."""
    found = AXE.run(page, options=OPTIONS | options).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:160]} {node['failureSummary'][:300]}"
        for one in found
        if one["impact"] in BLOCKING
        for node in one["nodes"]
    ]


def rest(page: Page) -> None:
    """Wait until nothing is computed and nothing moves."""
    settle(page)
    page.wait_for_function(STILL)


def free_of_faults(page: Page, where: str) -> None:
    """Ask for everything as it is, and for contrast in the other scheme."""
    rest(page)
    assert faults(page) == [], where
    scheme = page.locator("html").evaluate("e => e.style.colorScheme")
    other = "dark" if scheme == "light" else "light"
    page.emulate_media(color_scheme=other)
    page.wait_for_function(f"document.documentElement.style.colorScheme === '{other}'")
    rest(page)
    assert faults(page, runOnly=["color-contrast"]) == [], f"{where}, {other}"
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function(f"document.documentElement.style.colorScheme === '{scheme}'")


@contextmanager
def opened_by(page: Page, name: str) -> Iterator[None]:
    """Open what a button opens, and close it again."""
    page.get_by_role("button", name=name, exact=True).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    rest(page)
    yield
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_judge_sees_a_fault_when_there_is_one(browser):  # noqa: F811
    with opened(browser) as page:
        page.set_content("<html lang=en><title>t</title><main><h1>x</h1><img src=x></main>")

        assert any(one.startswith("image-alt") for one in faults(page))


def test_no_page_has_a_fault(page, app):
    for name in PAGES:
        visit(page, f"{app}/{name}")

        free_of_faults(page, name)
        levels = page.evaluate(LEVELS)
        assert levels[0] == 1, name
        assert all(after - before <= 1 for before, after in pairwise(levels))
        assert page.locator("html").get_attribute("lang") == "en"
        current = page.locator("nav a[aria-current=page]")
        assert current.count() == 1, name
        assert current.get_attribute("href").endswith(f"/{name}")


def test_nothing_that_opens_has_a_fault(page, app):
    visit(page, f"{app}/overview")
    for name in ("Saved views", "Notes", "Details"):
        with opened_by(page, name):
            free_of_faults(page, name)
            tabs = page.get_by_role("tab").all()
            assert bool(tabs) == (name == "Details")
            for tab in tabs:
                tab.click()
                free_of_faults(page, tab.inner_text())
    for label in ("Tier", "Who is behind"):
        opened_list(page, label)
        free_of_faults(page, f"the list {label}")
        page.keyboard.press("Escape")


@pytest.mark.parametrize(
    "path",
    [
        "overview?span=custom&from=2026-02-01&to=2026-02-20&tier=paid&overview.by=tier",
        "overview?tier=gold&who=active-people:2026-02-20",
        "users?user=nobody",
        "explore?explore.sql=SELECT+nope+FROM+events",
        "explore?explore.group=day&explore.group=user_tier&explore.if=is:channel:web",
    ],
)
def test_no_state_of_a_page_has_a_fault(browser, app, path):  # noqa: F811
    with opened(browser, color_scheme="dark") as page:
        visit(page, f"{app}/{path}")

        free_of_faults(page, path)


def test_explore_in_sql_and_what_opens_there_has_no_fault(page, app):
    visit(page, f"{app}/explore")
    page.get_by_test_id("stMain").get_by_text("SQL", exact=True).first.click()
    settle(page)
    free_of_faults(page, "SQL")
    for name in ("Saved", "History"):
        with opened_by(page, name):
            free_of_faults(page, name)


def test_one_group_of_errors_has_no_fault(page, app):
    visit(page, f"{app}/errors")
    choose(page, "Group of errors")
    assert "group=" in page.url

    free_of_faults(page, "one group of errors")


def test_no_page_has_a_fault_on_a_phone(browser, app):  # noqa: F811
    with opened(browser, color_scheme="dark") as phone:
        phone.set_viewport_size({"width": 420, "height": 900})
        for name in ("overview", "users", "experiments", "settings"):
            visit(phone, f"{app}/{name}")
            free_of_faults(phone, name)
        phone.get_by_test_id("stExpandSidebarButton").click()

        free_of_faults(phone, "the menu")


def test_without_data_no_page_has_a_fault(browser, tmp_path):  # noqa: F811
    empty = tmp_path / "telemetry"
    empty.mkdir()
    (empty / "telemetry.toml").write_text("timezone = 3\n")
    with ExitStack() as stack:
        full = stack.enter_context(serving(empty, tmp_path / "empty.log"))
        none = stack.enter_context(serving(tmp_path / "nowhere", tmp_path / "none.log"))
        page = stack.enter_context(opened(browser))
        for address in (full, none):
            for name in ("overview", "pipeline", "settings"):
                visit(page, f"{address}/{name}")
                free_of_faults(page, f"{name} without data")


def test_the_keyboard_is_always_seen_to_be_somewhere(page, app):
    visit(page, f"{app}/overview")
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                """() => {
                    let one = document.activeElement
                    while (one.shadowRoot?.activeElement) one = one.shadowRoot.activeElement
                    const style = getComputedStyle(one)
                    const ring = style.outlineStyle !== 'none' || style.boxShadow !== 'none'
                    // a list's frame and a table's cell change their colour instead
                    const framed = one.closest('.stSelectbox, .stMultiSelect')
                    return {
                        what: one.outerHTML.slice(0, 200),
                        is_seen: ring || framed !== null || one.tagName === 'CANVAS',
                    }
                }"""
            )
        )

    assert [one["what"] for one in seen if not one["is_seen"]] == []
    assert "Skip to main content" in json.dumps(seen[0])


def test_on_paper_the_dark_page_is_black_on_white_with_its_link_and_nothing_to_press(
    browser,  # noqa: F811
    app,
):
    with opened(browser, color_scheme="dark") as page:
        visit(page, f"{app}/overview?tier=paid")
        foot = page.locator(".bs-foot")
        assert not foot.is_visible()
        page.emulate_media(media="print")

        style = "e => getComputedStyle(e)"
        assert page.locator("body").evaluate(f"{style}.backgroundColor") == "rgb(255, 255, 255)"
        assert page.locator("h1").evaluate(f"{style}.color") == "rgb(0, 0, 0)"
        assert page.get_by_text("Only tier paid").is_visible()
        assert "tier=paid" in foot.inner_text()
        assert "span=custom" in foot.inner_text()  # the days, not "the last 28"
        for hidden in ("stSidebar", "stHeader", "stPopover", "stSelectbox", "stButtonGroup"):
            there = page.get_by_test_id(hidden).all()
            assert there, hidden
            assert not any(one.is_visible() for one in there), hidden
        kept = page.locator("[class*=st-key-cell-]").first.evaluate(f"{style}.breakInside")
        assert kept == "avoid"


def test_what_is_chosen_is_told_apart_in_the_reader_s_own_colours(
    browser,  # noqa: F811
    app,
):
    with opened(browser, forced_colors="active") as page:
        visit(page, f"{app}/overview")
        ground = "e => getComputedStyle(e).backgroundColor"
        spans = page.get_by_role("radiogroup").first
        chosen = spans.get_by_role("radio", checked=True).evaluate(ground)
        other = spans.get_by_role("radio", checked=False).first.evaluate(ground)
        switches = page.locator("[data-testid=stSidebar] .stCheckbox")
        knob = "label > div:has(> div:empty)"
        on = switches.filter(has_text="Only complete days").locator(knob).evaluate(ground)
        off = switches.filter(has_text="Live").locator(knob).evaluate(ground)

        assert chosen != other
        assert on != off


def test_a_folded_sidebar_leaves_the_first_lines_free(
    browser,  # noqa: F811
    app,
):
    with opened(browser) as page:
        page.set_viewport_size({"width": 720, "height": 500})  # a window at 200 %
        visit(page, f"{app}/explore")
        header = page.get_by_test_id("stHeader").bounding_box()
        first = page.locator(".stMainBlockContainer .stAlert, .stMainBlockContainer h1").first

        assert first.bounding_box()["y"] >= header["y"] + header["height"]
