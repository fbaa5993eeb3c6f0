"""Explore in a real Chromium: built, written, refused, cancelled, shared, saved, from a cell."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.test_browser import (
    app,
    browser,
    choose,
    demo,
    frozen_link,
    go,
    healthy,
    opened,
    page,
    settle,
    visit,
)
from tests.test_explore_page import HEAVY

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["app", "browser", "demo", "page"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]

DAYS = "span=custom&from=2026-02-01&to=2026-02-28"


def answer(page: Page) -> Locator:
    return page.locator(".st-key-explore-answer")


def answered(page: Page, rows: str = r"[\d,]+") -> Locator:
    """Expect an answer with so many rows, and return where it says so."""
    page.get_by_text("Running for").wait_for(state="detached")
    found = answer(page).get_by_text(re.compile(rf"^{rows} rows? in ")).first
    expect(found).to_be_visible()
    settle(page)
    return found


def rows(page: Page) -> str:
    """Return how many rows the answer says it has, once it is there."""
    return answered(page).inner_text().partition(" row")[0]


def write(page: Page, sql: str) -> None:
    field = page.get_by_role("textbox", name="SQL", exact=True)
    field.fill(sql)
    field.press("Control+Enter")


def asks(**explore: str | list[str]) -> str:
    named = {f"explore.{name}": value for name, value in explore.items()}
    return urlencode(named, doseq=True)


def test_a_question_is_put_together_and_a_new_session_shows_the_same(page, browser, app):
    visit(page, f"{app}/explore?{DAYS}")
    choose(page, "Measure", "People")
    choose(page, "By", "Day")
    answered(page, "28")
    expect(page.locator("[data-testid=stPlotlyChart]")).to_be_visible()
    assert "explore.measure=people" in page.url
    assert "explore.group=day" in page.url
    healthy(page)

    with opened(browser) as colleague:
        visit(colleague, frozen_link(page))
        answered(colleague, "28")
        healthy(colleague)


def test_the_question_is_still_there_after_another_page_and_after_back(page, app):
    visit(page, f"{app}/explore?{DAYS}&{asks(measure='people', group='day')}")
    answered(page, "28")
    go(page, "Errors")
    assert "explore." not in page.url
    go(page, "Explore")
    answered(page, "28")
    go(page, "Errors")
    page.go_back()
    page.wait_for_url(re.compile("explore.group=day"))
    answered(page, "28")


def test_sql_runs_on_a_key_and_is_in_the_link(page, app):
    visit(page, f"{app}/explore?{DAYS}&{asks(measure='people', group='user_tier')}")
    built = rows(page)
    page.get_by_role("radio", name="SQL").click()
    page.wait_for_url(re.compile("explore.sql="))
    answered(page, built)
    write(page, "SELECT event_name FROM events GROUP BY event_name LIMIT 3")
    page.wait_for_url(re.compile("LIMIT(\\+|%20)3"))
    answered(page, "3")
    page.reload()
    settle(page)
    answered(page, "3")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM sqlite_master",
        "DELETE FROM events",
        "SELECT getenv('PATH')",
        "SELECT 1; SELECT 2",
    ],
)
def test_a_link_with_hostile_sql_is_refused_where_the_query_is(page, app, sql):
    visit(page, f"{app}/explore?{asks(sql=sql)}")

    said = page.locator(".st-key-explore-said [data-testid=stAlert]")
    expect(said).to_be_visible()
    assert "root:" not in page.content()
    expect(answer(page).locator("[data-testid=stDataFrame]")).to_have_count(0)


def test_a_heavy_query_is_cancelled_and_the_next_one_runs(page, app):
    visit(page, f"{app}/explore?{DAYS}&{asks(sql='SELECT 1 AS one FROM events LIMIT 1')}")
    answered(page, "1")
    write(page, HEAVY)
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel).to_be_visible()
    expect(page.get_by_text(re.compile("Running for [1-9]"))).to_be_visible()
    cancel.click()

    expect(page.get_by_text("Cancelled.")).to_be_visible()
    expect(page.get_by_text("Running for")).to_have_count(0)
    write(page, "SELECT 1 AS one FROM events LIMIT 2")
    answered(page, "2")


def test_somebody_is_answered_while_another_asks_something_heavy(browser, app):
    with opened(browser) as heavy, opened(browser) as other:
        visit(other, f"{app}/overview?{DAYS}")
        heavy.goto(f"{app}/explore?{DAYS}&{asks(sql=HEAVY)}")
        expect(heavy.get_by_role("button", name="Cancel")).to_be_visible()
        other.goto(f"{app}/explore?{DAYS}&{asks(measure='people', group='day')}")
        answered(other, "28")


def test_an_answer_is_a_chart_a_table_and_a_pivot_and_the_link_says_which(page, app):
    group = ["day", "user_tier"]
    visit(page, f"{app}/explore?{DAYS}&{asks(group=group)}")
    rows(page)
    for shown, word in (("Table", "table"), ("Pivot", "pivot")):
        page.get_by_role("radio", name=shown).click()
        page.wait_for_url(re.compile(f"explore.picture={word}"))
        settle(page)
        expect(answer(page).locator("[data-testid=stDataFrame]")).to_be_visible()
        healthy(page)
    page.get_by_role("radio", name="Chart").click()
    expect(answer(page).locator("[data-testid=stPlotlyChart]")).to_be_visible()


def test_a_question_is_saved_by_name_found_and_opened_by_its_link(page, browser, app):
    visit(page, f"{app}/explore?{DAYS}&{asks(measure='people', group='day')}")
    rows(page)
    name = f"People a day {time.time_ns()}"
    page.get_by_role("button", name="Saved", exact=True).click()
    page.get_by_role("textbox", name="Name", exact=True).fill(name)
    page.get_by_role("textbox", name="What it is for").fill("For Mondays")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url(re.compile("explore.saved="))
    [saved] = re.findall(r"explore\.saved=(\w+)", page.url)

    with opened(browser) as colleague:
        visit(colleague, f"{app}/explore?{DAYS}&explore.saved={saved}")
        answered(colleague, "28")
        expect(colleague.get_by_text(name).first).to_be_visible()
        expect(colleague.get_by_text("For Mondays").first).to_be_visible()


def test_a_cell_opens_its_question_with_the_filters_kept(page, app):
    visit(page, f"{app}/overview?{DAYS}&tier=free")
    details = page.get_by_role("button", name=re.compile("Details")).first
    details.scroll_into_view_if_needed()
    details.click()
    page.get_by_role("tab", name="Explore").click()
    page.get_by_role("button", name="Open in Explore").first.click()
    page.wait_for_url(re.compile("/explore.*explore.measure=people"))

    answered(page, "28")
    assert "tier=free" in page.url
    assert "from=2026-02-01" in page.url
    expect(page.get_by_text("The same numbers as “Active people”").first).to_be_visible()


def test_the_history_lists_what_was_asked(page, app, demo: Path):
    visit(page, f"{app}/explore?{DAYS}&{asks(table='errors', group='release')}")
    rows(page)
    page.get_by_role("button", name="History", exact=True).click()

    asked = page.get_by_role("button", name=re.compile("How many errors by release"))
    expect(asked.first).to_be_visible()
    assert (demo / "team" / "views.db").exists()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sql_and_its_help_fit_a_phone(browser, app, scheme):
    with opened(browser, color_scheme=scheme) as phone:
        phone.set_viewport_size({"width": 420, "height": 900})
        visit(phone, f"{app}/explore?{DAYS}&{asks(sql='SELECT event_name, channel FROM events')}")
        rows(phone)

        healthy(phone)
        width = phone.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
        assert width <= 420
