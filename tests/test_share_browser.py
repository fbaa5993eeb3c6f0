"""Saved views and links in a real Chromium: switched, shared, and never lost to somebody else."""

from __future__ import annotations

import re
import shutil
import threading
from contextlib import contextmanager
from datetime import date
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect
from serving import serving

from data_access import views
from ingest.views import change, save_view
from pages.components import menu
from tests.test_browser import (
    browser,
    choose,
    demo,
    frozen_link,
    go,
    healthy,
    numbers,
    opened,
    page,
    settle,
    visit,
)
from tests.test_explore_browser import rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["browser", "demo", "page"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]

END = date(2026, 3, 1)
FEB = "span=custom&from=2026-02-01&to=2026-02-28"


@pytest.fixture
def home(demo, tmp_path) -> Path:
    """Return a home of this test's own, with the team's words its alone."""
    folder = tmp_path / "telemetry"
    shutil.copytree(demo, folder)
    return folder


@pytest.fixture
def app(home, tmp_path) -> Iterator[str]:
    with serving(home, tmp_path / "server.log") as address:
        yield address


def save(page: Page, name: str, *, scope: str = "The team") -> None:
    page.get_by_role("button", name="Saved views").click()
    page.get_by_role("textbox", name="Name").last.fill(name)
    page.get_by_text(scope, exact=True).last.click()
    page.get_by_role("button", name="Save view").click()
    expect(page.get_by_text(f"Saved the view “{name}”")).to_be_visible()
    settle(page)
    page.keyboard.press("Escape")


def button(page: Page, name: str):
    return page.get_by_test_id("stSidebar").get_by_role("button", name=name, exact=True)


def view_link(page: Page, name: str):
    return page.get_by_test_id("stSidebar").get_by_role("link", name=name, exact=True)


def follow(page: Page, name: str) -> None:
    """Open a link of the sidebar: a load of its own, like any link."""
    with page.expect_navigation():
        view_link(page, name).click()
    settle(page)


def main_text(page: Page) -> str:
    return page.get_by_test_id("stMain").inner_text()


def test_a_view_is_saved_switched_to_from_another_page_changed_and_undone(page, app, home):
    visit(page, f"{app}/retention?retention.every=month&span=90d&tier=paid&compare=false")
    paid = numbers(page)
    save(page, "Paying by month")
    assert [(view.page, view.query, view.dates) for view in views(home)] == [
        ("retention", "span=90d&tier=paid&compare=false&retention.every=month", "relative")
    ]

    go(page, "Errors")
    choose(page, "Tier", "free")
    elsewhere = numbers(page)
    follow(page, "Paying by month")

    assert "/retention?" in page.url
    for part in ("retention.every=month", "span=90d", "tier=paid", "compare=false", "view="):
        assert part in page.url
    assert "free" not in page.url
    assert numbers(page) == paid
    expect(page.get_by_text("months since").first).to_be_attached()
    assert page.get_by_text("changed. Save?").count() == 0

    choose(page, "Channel", "extension")
    expect(page.get_by_text("“Paying by month”, changed. Save?")).to_be_visible()
    follow(page, "Undo")
    assert "channel" not in page.url
    assert numbers(page) == paid

    page.go_back()
    settle(page)
    assert "channel=extension" in page.url
    page.go_back()
    expect(page).not_to_have_url(re.compile("channel"))
    expect(page.get_by_text("changed. Save?")).to_have_count(0)
    settle(page)
    assert numbers(page) == paid
    page.go_back()
    page.wait_for_url(re.compile("errors"))
    settle(page)
    assert numbers(page) == elsewhere
    assert "tier=free" in page.url


def test_a_colleague_sees_the_team_s_view_and_opens_its_plain_link(page, browser, app, home):
    visit(page, f"{app}/funnels?span=28d&funnels.by=channel&where=ide:vscode")
    here = numbers(page)
    save(page, "Editors")
    page.get_by_role("button", name="Saved views").click()
    link = page.locator("[data-testid=stCode]").filter(has_text="funnels?").inner_text().strip()

    with opened(browser) as colleague:
        visit(colleague, f"{app}/overview")
        follow(colleague, "Editors")
        assert numbers(colleague) == here
        assert "funnels.by=channel" in colleague.url
        choose(colleague, "Tier", "free")
        button(colleague, "Save").click()
        expect(colleague.get_by_text("Saved the view as it is shown")).to_be_visible()
    assert "tier=free" in views(home)[0].query

    with opened(browser) as colleague:
        visit(colleague, link)
        assert numbers(colleague) == here
        expect(colleague.get_by_text("“Editors”, changed")).to_be_visible()


def test_what_a_colleague_changed_meanwhile_is_not_overwritten(page, app, home):
    kept = save_view(
        home, "Ours", page="overview", query="span=28d&tier=paid", who="ana@x.org", scope="team"
    )
    visit(page, f"{app}/overview")
    follow(page, "Ours")
    change(home, kept.id, revision=1, who="ben@x.org", is_admin=True, query="span=28d&tier=free")
    choose(page, "Channel", "extension")

    expect(page.get_by_text("“Ours” was changed by ben@x.org after you opened it")).to_be_visible()
    follow(page, "Show theirs")
    assert "tier=free" in page.url
    assert "channel" not in page.url

    choose(page, "Channel", "extension")  # the button to save is there, and then it is too late
    change(home, kept.id, revision=2, who="ben@x.org", is_admin=True, query="span=7d")
    button(page, "Save").click()
    expect(page.get_by_text("Nothing was saved")).to_be_visible()
    assert [view.query for view in views(home)] == ["span=7d"]


def test_a_view_removed_comes_back_and_one_renamed_keeps_its_filters(page, app, home):
    visit(page, f"{app}/overview?span=7d&tier=paid")
    save(page, "Seven <b>days</b>")
    page.get_by_role("button", name="Saved views").click()
    page.get_by_text("Rename, describe or remove it").click()
    settle(page)
    page.get_by_role("textbox", name="Name").first.fill("*Week*")
    page.get_by_role("button", name="Save these").click()
    expect(view_link(page, "*Week*")).to_be_visible()
    assert [(view.name, view.query) for view in views(home)] == [("*Week*", "span=7d&tier=paid")]

    settle(page)
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(view_link(page, "*Week*")).to_have_count(0)
    assert views(home) == []
    settle(page)
    page.get_by_role("button", name="Bring it back").click()
    expect(view_link(page, "*Week*")).to_be_visible()
    assert len(views(home)) == 1


def test_a_view_that_names_what_is_gone_says_so(page, app, home):
    query = "span=7d&project=gone&segment=nobody"
    save_view(home, "Old", page="errors", query=query, scope="team")
    save_view(home, "Older", page="no-such-page", query="span=7d", scope="team")
    visit(page, f"{app}/overview")
    follow(page, "Old")

    assert "/errors?" in page.url
    assert page.get_by_text("Ignored unknown project: 'gone'").first.is_visible()
    assert page.get_by_text("Ignored unknown segment: 'nobody'").first.is_visible()

    older = page.get_by_test_id("stSidebar").get_by_text("Older", exact=True)
    assert older.get_attribute("title") == "Its page, no-such-page, is gone"
    assert view_link(page, "Older").count() == 0


HARD = [
    *((entry.address, "span=28d&tier=paid&tier=free") for entry in menu.REPORTS),
    ("overview", "span=24h"),
    ("overview", "span=week"),
    ("overview", "span=month&complete=false"),
    ("overview", "live=true&compare=false"),
    ("overview", f"{FEB}&timezone=Asia/Kolkata"),
    ("overview", f"{FEB}&who=active-people:2026-02-17"),
    ("retention", "span=90d&retention.every=day&retention.kind=recurring&retention.times=2"),
    ("retention", "span=90d&retention.later=true&retention.by=channel"),
    ("funnels", "funnels.steps=session_started&funnels.steps=context_loaded where ide:vscode"),
    ("funnels", "funnels.order=strict&funnels.within=7d&funnels.entry=first&span=90d"),
    ("journeys", "journeys.depth=4&journeys.item=tool&span=7d"),
    ("errors", "where=ide:vscode&where=model:a%26b%3D%23c%2B%25&stage=open-beta"),
    ("features", "features.every=day&features.all=true&timezone=America/New_York"),
]


@pytest.mark.parametrize("chunk", range(4))
def test_a_copied_link_shows_the_very_same_page(browser, demo, tmp_path, chunk):
    """Word by word, in a new session: every page, every kind of span and choice."""
    with serving(demo, tmp_path / "server.log") as app:
        for name, query in HARD[chunk::4]:
            with opened(browser) as one, opened(browser) as other:
                visit(one, f"{app}/{name}?{query}")
                link = frozen_link(one)
                settle(one)
                visit(other, link)
                healthy(other)
                hidden = "The data ends on"  # said of a span that moved, and frozen days do not
                told, again = (
                    [line for line in main_text(page).splitlines() if line and line != "info"]
                    for page in (one, other)
                )
                told = [line for line in told if hidden not in line]
                assert again == told, (name, query, link)


def test_a_home_in_another_timezone_is_linked_in_the_one_shown(browser, home, tmp_path):
    (home / "telemetry.toml").write_text('timezone = "Asia/Kolkata"\nweek_starts_on = "sunday"\n')
    with serving(home, tmp_path / "server.log") as app:
        for query, part in (("", "timezone=Asia/Kolkata"), ("&timezone=UTC", "timezone=UTC")):
            with opened(browser) as one, opened(browser) as other:
                visit(one, f"{app}/overview?span=7d{query}")
                link = frozen_link(one)
                assert part in link
                assert "week_starts_on=sunday" in link
                visit(other, link)
                assert numbers(other) == numbers(one)
                one.reload()
                settle(one)
                assert numbers(one) == numbers(other)


def shows(page: Page, query: str, *, tags: list[str], first: str) -> None:
    """Expect the very state of a link: the address, the fields, and the first number."""
    expect(page).to_have_url(re.compile(re.escape(f"/overview?{query}") + "$"))
    filters = page.locator(".st-key-filters")
    expect(filters.locator("[data-tag]")).to_have_text(tags)
    settle(page)
    assert numbers(page)[0] == first


def test_back_undoes_one_choice_at_a_time_and_forward_makes_it_again(page, app):
    visit(page, f"{app}/errors?span=90d")
    go(page, "Overview")
    steps = [("span=90d", [])]
    choose(page, "Tier", "free")
    steps.append(("span=90d&tier=free", ["free"]))
    choose(page, "Channel", "extension")
    steps.append(("channel=extension&span=90d&tier=free", ["free", "extension"]))
    seen = [numbers(page)[0]]
    page.get_by_role("button", name="Reset").click()  # many fields at once: one step all the same
    expect(page).to_have_url(f"{app}/overview")
    settle(page)

    shown = []
    for query, tags in reversed(steps):
        page.go_back()
        expect(page).to_have_url(f"{app}/overview?{query}")
        expect(page.locator(".st-key-filters [data-tag]")).to_have_text(tags)
        settle(page)
        shown.append(numbers(page)[0])
    assert shown[0] == seen[0]
    assert len(set(shown)) == 3
    page.go_back()
    expect(page.get_by_role("heading", name="What breaks, and for whom?")).to_be_visible()
    expect(page).to_have_url(f"{app}/errors?span=90d")

    for (query, tags), first in zip(steps, reversed(shown), strict=True):
        page.go_forward()
        shows(page, query, tags=tags, first=first)


def test_back_after_two_questions_opened_in_explore_finds_every_filter(page, app):
    def open_in_explore(slug: str) -> None:
        details = page.locator(f".st-key-menu-{slug}").get_by_role("button")
        details.scroll_into_view_if_needed()
        details.click()
        page.get_by_role("tab", name="Explore").click()
        page.get_by_role("button", name="Open in Explore").first.click()
        page.wait_for_url(re.compile(r"/explore\?explore\."))
        # Streamlit may lose a click on the menu to the look that waits for the answer
        rows(page)

    query = "span=90d&tier=free"
    visit(page, f"{app}/overview?{query}")
    here = numbers(page)[0]
    open_in_explore("active-people")
    first = page.url
    go(page, "Overview")
    open_in_explore("people-by-tier")

    page.go_back()
    shows(page, query, tags=["free"], first=here)
    page.go_back()
    expect(page).to_have_url(first)
    expect(page.get_by_role("heading", name="What else do you want to know?")).to_be_visible()
    expect(page.get_by_text("The same numbers as")).to_have_count(0)
    settle(page)
    page.go_back()
    shows(page, query, tags=["free"], first=here)


# a busy server: what the page sends arrives a second later
LATE = """(() => {
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (data) { setTimeout(() => send.call(this, data), 1000); };
})()"""


@pytest.mark.parametrize("is_late", [False, True])
def test_a_link_is_copied_with_the_choice_made_just_before_and_says_so(page, app, is_late):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    if is_late:
        page.add_init_script(LATE)
    visit(page, f"{app}/overview?span=28d&tier=paid")
    page.get_by_test_id("stSidebar").get_by_text("Only complete days").click()
    copy = button(page, "Copy link")
    copy.focus()
    page.keyboard.press("Enter")  # the run that knows of the choice has not answered yet

    expect(page.get_by_role("status").filter(has_text="Copied.")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == f"{app}/overview?{FEB}&tier=paid&complete=false"
    settle(page)
    choose(page, "Channel", "extension")
    expect(page.get_by_text("Copied.")).to_have_count(0)  # of another link


REFUSED = "Object.defineProperty(navigator, 'clipboard', {value: undefined})"  # as on plain http
# what the older way takes; no test shares the clipboard with another
TAKEN = """document.addEventListener('copy', event => {
  const field = event.composedPath()[0];
  window.taken = field.value.slice(field.selectionStart, field.selectionEnd);
})"""


@pytest.mark.parametrize("older_way", [True, False])
def test_where_the_clipboard_is_refused_the_link_is_copied_or_shown_to_be(page, app, older_way):
    page.add_init_script(REFUSED)
    page.add_init_script(TAKEN)
    if not older_way:
        page.add_init_script("document.execCommand = () => false")
    visit(page, f"{app}/overview?span=28d")
    button(page, "Copy link").click()
    link = page.get_by_role("textbox", name="The link")

    if older_way:
        expect(page.get_by_text("Copied.")).to_be_visible()
        expect(link).to_be_hidden()
        assert "/overview?span=custom" in page.evaluate("window.taken")
    else:
        expect(page.get_by_text("Press Ctrl+C")).to_be_visible()
        expect(link).to_be_focused()
        assert link.evaluate("field => field.selectionEnd") == len(link.input_value())


LOWER = """height => {
    const chart = document.querySelector('[data-testid=stPlotlyChart]');
    return chart.getBoundingClientRect().height < height;
}"""


@contextmanager
def site(folder: Path, html: str) -> Iterator[str]:
    """Serve a page of somebody else's, as another origin."""
    folder.mkdir(exist_ok=True)
    (folder / "wiki.html").write_text(html)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/wiki.html"
        finally:
            server.shutdown()
            thread.join()


def test_a_picture_stands_in_the_frame_of_a_named_site_alone_and_fills_it(browser, home, tmp_path):
    with serving(home, tmp_path / "server.log") as app:
        frame = f'<iframe src="{app}/overview?embed=true&amp;cell=people-by-tier&amp;{FEB}"'
        with site(tmp_path / "wiki", f'{frame} width="600" height="500"></iframe>') as wiki:
            with opened(browser) as page:
                with page.expect_console_message(lambda said: "frame-ancestors" in said.text):
                    page.goto(wiki)
                inside = page.frame_locator("iframe")
                assert inside.get_by_text("People by tier").count() == 0  # not a named site

            origin = wiki.rpartition("/")[0]
            (home / "telemetry.toml").write_text(f'[server]\nembed_origins = ["{origin}"]\n')
            with opened(browser) as page:
                page.goto(wiki)
                inside = page.frame_locator("iframe")
                chart = inside.get_by_test_id("stPlotlyChart")
                expect(chart).to_be_visible()
                expect(inside.get_by_text("Betascope · 28 days to 28 Feb")).to_be_visible()
                assert inside.get_by_role("button").count() == 0
                assert inside.get_by_role("combobox").count() == 0
                assert chart.count() == 1
                expect(inside.get_by_role("link", name="Open the whole page")).to_be_visible()
                tall = chart.bounding_box()["height"]
                page.locator("iframe").evaluate("frame => { frame.height = 260; }")
                page.frames[1].wait_for_function(LOWER, arg=tall - 150)


def test_tab_and_preview_say_what_is_shown(page, app):
    visit(page, f"{app}/retention?{FEB}&tier=paid")
    # four weeks are too few for cohorts by week: the page shows twelve, and its tab says so
    assert page.title().startswith("Retention - paid, 84 days to 28 Feb")
    choose(page, "Channel", "extension")
    assert "paid, extension" in page.title()
    go(page, "Errors")
    assert page.title().startswith("Errors - paid, extension")


def test_the_menu_of_a_picture_has_the_html_that_shows_it_alone(page, browser, app):
    visit(page, f"{app}/overview?span=28d&tier=paid")
    page.get_by_role("button", name=re.compile("Details")).first.click()
    page.get_by_role("tab", name="Link").click()
    code = page.get_by_test_id("stCode").filter(has_text="<iframe")
    expect(code).to_be_visible()
    source = re.search(r'src="([^"]+)"', code.inner_text())[1]
    address = source.replace("&amp;", "&")

    assert address.startswith(f"{app}/overview?embed=true&cell=active-people&span=28d&tier=paid")
    with opened(browser) as other:
        other.goto(address)
        expect(other.get_by_test_id("stPlotlyChart")).to_be_visible()
        expect(other.get_by_text("only tier paid")).to_be_visible()
