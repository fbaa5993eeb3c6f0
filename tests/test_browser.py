"""A real Chromium against a real server: what a product manager does with the notebook."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from playwright.sync_api import (
    Browser,
    Locator,
    Page,
    TimeoutError,  # noqa: A004 - Playwright's own, the only one meant here
    expect,
    sync_playwright,
)
from serving import serving

from data_access import Filters, scan
from data_access import metrics as metric
from ingest.demo import write_demo
from pages.components import menu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parent.parent
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PAGES = tuple(entry.address for entry in menu.PAGES)
REPORTS = tuple(entry.address for entry in menu.REPORTS)
SLOW_MS = 120_000
TRIES_MAX = 5
TRY_MS = 3_000
expect.set_options(timeout=SLOW_MS)
END = date(2026, 3, 1)  # the demo ends here, long ago: every span moves to its last day


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("demo") / "telemetry"
    write_demo(home, events=15_000, days=90, seed=3, end=END)
    return home


@pytest.fixture(scope="module")
def app(demo, tmp_path_factory) -> Iterator[str]:
    with serving(demo, tmp_path_factory.mktemp("log") / "server.log") as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser) -> Iterator[Page]:
    with opened(browser) as one:
        yield one


@contextmanager
def opened(browser: Browser, **options) -> Iterator[Page]:
    """Open a fresh session, and fail on any error the page itself reports."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, **options)
    context.add_init_script(HEARING)
    one = context.new_page()
    one.set_default_timeout(SLOW_MS)
    troubles: list[str] = []
    one.on("pageerror", lambda error: troubles.append(str(error)))
    yield one
    context.close()
    assert troubles == []


def visit(page: Page, url: str) -> None:
    page.goto(url)
    settle(page)


# a choice has been sent, and a busy server has not begun to answer: the app still says it rests
HEARING = """(() => {
    const Plain = window.WebSocket;
    window.asked = window.heard = 0;
    window.WebSocket = class extends Plain {
        constructor(...where) {
            super(...where);
            this.addEventListener('message', () => { window.heard = performance.now(); });
        }
        send(data) {
            window.asked = performance.now();
            super.send(data);
        }
    };
})()"""
ANSWER_MS = 10_000  # not everything sent is answered


def settle(page: Page) -> None:
    """Wait until the run is over and every cell has been filled."""
    expect(page.locator("h1").first).to_be_visible()
    # quiet for a while: between two runs the app is at rest for a moment too
    page.wait_for_function(
        """answer => {
            const app = document.querySelector('[data-testid=stApp]');
            const busy = app?.getAttribute('data-test-script-state') !== 'notRunning'
                || document.querySelector('[data-testid=stSkeleton]')
                || (asked > heard && performance.now() - asked < answer);
            if (busy || !window.quietSince) window.quietSince = performance.now();
            return !busy && performance.now() - window.quietSince > 500;
        }""",
        arg=ANSWER_MS,
        timeout=SLOW_MS,
        polling=100,
    )
    page.evaluate("window.quietSince = 0")


def numbers(page: Page) -> list[str]:
    return page.locator("[data-testid=stMetricValue]").all_inner_texts()


def healthy(page: Page) -> None:
    assert page.get_by_text("could not be computed").count() == 0
    assert page.locator("[data-testid=stException]").count() == 0


def frozen_link(page: Page) -> str:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    return page.evaluate("navigator.clipboard.readText()")


def choose(page: Page, label: str, option: str | None = None) -> None:
    """Choose from a list by its label, the first option unless told."""
    wanted = page.get_by_role("option", name=option, exact=True).first
    for _ in range(TRIES_MAX):
        first = opened_list(page, label)
        try:
            (wanted if option else first).click(timeout=TRY_MS)
        except TimeoutError:  # it closed between the two
            page.keyboard.press("Escape")
        else:
            page.evaluate("document.activeElement.blur()")  # Escape would take the choice back
            return settle(page)
    return pytest.fail(f"{option!r} could not be chosen from {label!r}")


def opened_list(page: Page, label: str) -> Locator:
    """Open a list by keyboard and return its first option; scrolling closes an open list."""
    box = page.get_by_role("combobox", name=re.compile(label)).first
    first = page.get_by_role("option").first
    for _ in range(TRIES_MAX):
        box.scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        box.press("ArrowDown")
        try:
            first.wait_for(timeout=TRY_MS)
        except TimeoutError:
            page.keyboard.press("Escape")
        else:
            return first
    return pytest.fail(f"the list {label!r} did not open")


def go(page: Page, name: str) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=name).click()
    page.wait_for_url(re.compile(name.lower().replace(" ", "-")))
    settle(page)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("overview", "errors") else pytest.mark.slow)
        for name in REPORTS
    ],
)
def test_every_page_opens_by_its_own_address_with_numbers_and_pictures(page, app, name):
    visit(page, f"{app}/{name}")

    healthy(page)
    assert len(numbers(page)) >= 3
    assert page.locator("[data-testid=stPlotlyChart]").count() >= 1
    assert page.get_by_text("This data is made up.").is_visible()
    assert page.get_by_text("The data ends on").first.is_visible()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_scrolls_sideways_on_a_phone(browser, app, scheme):
    with opened(browser, color_scheme=scheme) as phone:
        phone.set_viewport_size({"width": 420, "height": 900})
        for name in PAGES:
            visit(phone, f"{app}/{name}")

            healthy(phone)
            width = phone.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
            assert width <= 420, name


def test_a_filter_is_in_the_link_and_survives_pages_reload_and_back(page, app):
    visit(page, f"{app}/overview")
    everyone = numbers(page)
    choose(page, "Tier", "paid")

    assert "tier=paid" in page.url
    assert numbers(page) != everyone

    go(page, "Errors")
    assert "tier=paid" in page.url
    go(page, "Overview")
    paid = numbers(page)
    assert paid != everyone
    page.reload()
    settle(page)
    assert numbers(page) == paid

    page.go_back()
    page.wait_for_url(re.compile("errors"))
    settle(page)
    assert "tier=paid" in page.url


@pytest.mark.slow
def test_a_copied_link_shows_a_colleague_the_same_numbers(page, browser, app):
    visit(page, f"{app}/open-beta?span=7d&channel=extension")
    link = frozen_link(page)
    assert "span=custom" in link
    assert "from=" in link
    assert "channel=extension" in link

    with opened(browser) as colleague:
        visit(colleague, link)
        assert numbers(colleague) == numbers(page)


@pytest.mark.slow
def test_the_numbers_are_those_the_metrics_give(page, app, demo):
    visit(page, f"{app}/overview?span=custom&from=2026-02-01&to=2026-02-28&tier=free")
    filters = Filters.from_query("from=2026-02-01&to=2026-02-28&tier=free")
    found = metric.kpis(scan("events", demo, filters=filters), filters.window).collect()
    by_name = dict(found.select("kpi", "value").rows())

    expected = [f"{by_name[name]:.0f}" for name in ("dau", "wau", "mau")]
    assert numbers(page)[:3] == expected


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("tier=gold", marks=pytest.mark.slow),
        pytest.param("span=forever", marks=pytest.mark.slow),
        "project=%3Cscript%3Ealert(1)%3C/script%3E&timezone=../../etc/passwd",
        pytest.param("from=0001-01-01&to=9999-12-31&span=custom", marks=pytest.mark.slow),
        pytest.param("live=maybe", marks=pytest.mark.slow),
    ],
)
def test_a_hostile_link_is_ignored_with_a_note(page, app, query):
    page.on("dialog", lambda _: pytest.fail("the link ran a script"))
    visit(page, f"{app}/overview?{query}")

    healthy(page)
    assert page.get_by_text("Ignored").first.is_visible()
    assert len(numbers(page)) >= 3


@pytest.mark.slow
def test_an_error_is_followed_down_to_its_trace_with_the_filters_kept(page, app):
    visit(page, f"{app}/errors?tier=free")
    kind = opened_list(page, "Group of errors").inner_text().partition(":")[0]
    choose(page, "Group of errors")

    assert re.search(r"group=[0-9a-f]{16}", page.url)
    assert "tier=free" in page.url
    healthy(page)
    trace = page.locator("[data-testid=stCode]").filter(has_text=kind)
    expect(trace.first).to_be_visible()

    address = page.url
    page.goto(address)
    settle(page)
    expect(trace.first).to_be_visible()


def test_a_cell_shows_its_definition_by_keyboard_and_exports_all_its_rows(page, app, tmp_path):
    visit(page, f"{app}/overview?span=custom&from=2026-02-01&to=2026-02-28")
    details = page.get_by_role("button", name=re.compile("Details")).first
    details.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Definition").first).to_be_visible()
    page.get_by_role("tab", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Parquet", exact=True).click()
    path = tmp_path / "rows.parquet"
    download.value.save_as(path)

    frame = pl.read_parquet(path)
    assert frame.height >= 28
    assert pl.read_parquet_metadata(path)["rows"] == str(frame.height)
    assert "2026-02-01" in download.value.suggested_filename


@pytest.mark.slow
def test_a_cell_is_taken_away_as_picture_and_notebooks_by_keyboard(page, app, tmp_path):
    visit(page, f"{app}/retention?span=custom&from=2026-02-01&to=2026-02-28")
    page.locator(".st-key-details-cohorts button").first.click()
    page.get_by_role("tab", name="Export").click()

    saved = {}
    for name in ("PNG", "Jupyter", "marimo", "About the rows"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name).focus()
            page.keyboard.press("Enter")
        saved[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[name])

    picture = saved["PNG"].read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", picture[16:24])
    assert width == 2 * 1_000
    assert height > 2 * 300
    assert len(picture) > 20_000, "more than white paper"
    expect(page.get_by_role("status").filter(has_text="Saved as")).to_be_visible()
    book = json.loads(saved["Jupyter"].read_text())
    assert "figure.add_heatmap(" in "".join("".join(one["source"]) for one in book["cells"])
    compile(saved["marimo"].read_text(), "book.py", "exec")
    about = json.loads(saved["About the rows"].read_text())
    assert about["url"] == f"{saved['PNG'].stem}.csv"
    assert "to=2026-02-28" in about["query"]


@pytest.mark.slow
def test_a_table_is_taken_away_as_a_picture(page, app, tmp_path):
    visit(page, f"{app}/errors?span=custom&from=2026-02-01&to=2026-02-28")
    page.locator(".st-key-details-groups button").first.click()
    page.get_by_role("tab", name="Export").click()

    with page.expect_download() as download:
        page.get_by_role("button", name="PNG").click()
    download.value.save_as(tmp_path / "table.png")

    picture = (tmp_path / "table.png").read_bytes()
    width, height = struct.unpack(">II", picture[16:24])
    assert width > 2 * 1_000, "as wide as its columns"
    assert height > 2 * 200
    assert len(picture) > 20_000, "more than white paper"
    healthy(page)


@pytest.mark.slow
def test_live_shows_an_event_written_to_the_log_without_a_reload(browser, tmp_path):
    home = tmp_path / "telemetry"
    folder = home / "log" / datetime.now(UTC).strftime("%Y-%m-%d")
    folder.mkdir(parents=True)

    def write(user: str, at: datetime) -> None:
        line = {"timestamp": at.isoformat(), "event_name": "session_started", "user_id_hash": user}
        with (folder / "host-0001.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")

    write("first", datetime.now(UTC))
    with serving(home, tmp_path / "server.log") as app, opened(browser) as page:
        visit(page, f"{app}/overview?live=true")
        assert numbers(page)[0] == "1"

        write("second", datetime.now(UTC))
        expect(page.locator("[data-testid=stMetricValue]").first).to_have_text("2")


@pytest.mark.slow
def test_data_that_ended_long_ago_says_so_and_shows_its_last_days(page, app):
    visit(page, f"{app}/overview")

    last = END - timedelta(days=1)
    assert page.get_by_text(f"{last.day} {last.strftime('%b')}").first.is_visible()
    assert numbers(page)[2] not in ("0", "-")


@pytest.mark.slow
def test_an_empty_home_says_what_would_fill_every_page(browser, tmp_path):
    home = tmp_path / "telemetry"
    home.mkdir()
    with serving(home, tmp_path / "server.log") as app, opened(browser) as page:
        for name in REPORTS:
            visit(page, f"{app}/{name}")

            healthy(page)
            assert page.get_by_text("There are no events yet").is_visible(), name


@pytest.mark.slow
def test_no_home_says_where_it_looked_and_what_to_do(browser, tmp_path):
    with (
        serving(tmp_path / "nowhere", tmp_path / "server.log") as app,
        opened(browser) as page,
    ):
        visit(page, app)

        assert page.get_by_text("nowhere").first.is_visible()
        assert page.get_by_text("python -m ingest demo").first.is_visible()


@pytest.mark.slow
def test_a_corrupt_database_is_said_on_the_page(browser, tmp_path):
    home = tmp_path / "telemetry"
    home.mkdir()
    (home / "telemetry.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5_000)
    with serving(home, tmp_path / "server.log") as app, opened(browser) as page:
        visit(page, f"{app}/overview")

        healthy(page)
        page.get_by_text("problem with the data").click()
        expect(page.get_by_text("SQLite cannot read the database")).to_be_visible()


def lead(page: Page, step: Callable[[], None], address: str) -> None:
    """Take a step until it has led to an address: a page that still moves loses a click."""
    for _ in range(TRIES_MAX):
        step()
        settle(page)
        if re.search(address, page.url):
            return
    pytest.fail(f"nothing led to {address!r}")


def pick(page: Page, label: str, option: str) -> None:
    """Choose from the list below a picture by keyboard: what a click on a mark does."""
    box = page.get_by_role("combobox", name=f"Who is behind {label}?")

    def typed() -> None:
        box.scroll_into_view_if_needed()
        box.fill(option)
        box.press("Enter")

    lead(page, typed, "who=")


def panel_of(page: Page) -> str:
    return page.locator("[class*=st-key-behind-]").inner_text()


@pytest.mark.slow
def test_a_mark_leads_to_its_people_by_keyboard_and_the_link_opens_the_same_list(
    page, browser, app
):
    visit(page, f"{app}/overview?span=custom&from=2026-02-01&to=2026-02-28&tier=free")
    pick(page, "Active people", "17 Feb")

    said = panel_of(page)
    assert re.search(r"\d+ people were active on 17 Feb", said)
    assert "tier=free" in page.url
    link = frozen_link(page)

    with opened(browser) as colleague:
        visit(colleague, link)
        assert panel_of(colleague) == said
        healthy(colleague)


@pytest.mark.slow
def test_a_click_on_a_bar_opens_its_people_and_a_row_opens_a_person(page, app):
    visit(page, f"{app}/overview?span=custom&from=2026-02-01&to=2026-02-28")
    bar = page.locator(".st-key-cell-people-by-tier .barlayer .point path").first
    rows = page.locator("[class*=st-key-behind-] canvas").first

    def click_the_bar() -> None:
        bar.scroll_into_view_if_needed()
        box = bar.bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.move(*middle)
        page.wait_for_timeout(300)  # Plotly clicks what it hovers over
        page.mouse.click(*middle)

    def click_the_first_row() -> None:
        rows.scroll_into_view_if_needed()
        corner = rows.bounding_box()
        page.mouse.click(corner["x"] + 12, corner["y"] + 51)

    lead(page, click_the_bar, "who=people-by-tier")
    lead(page, click_the_first_row, "users.*user=")
    healthy(page)
    expect(page.get_by_text("What did this person do").first).to_be_visible()
    assert "from=2026-02-01" in page.url


@pytest.mark.slow
def test_a_page_s_own_choices_are_in_the_copied_link(page, browser, app):
    visit(page, f"{app}/retention?retention.every=month&span=90d")
    link = frozen_link(page)
    assert "retention.every=month" in link

    with opened(browser) as colleague:
        visit(colleague, link)
        assert numbers(colleague) == numbers(page)
        expect(colleague.get_by_text("months since").first).to_be_attached()


@pytest.mark.slow
def test_a_note_of_the_team_stands_on_the_time_axis_until_it_is_taken_back(browser, demo, tmp_path):
    home = tmp_path / "telemetry"
    shutil.copytree(demo, home)
    with serving(home, tmp_path / "server.log") as app, opened(browser) as page:
        visit(page, f"{app}/overview")
        notes = page.get_by_test_id("stSidebarUserContent").get_by_role("button", name="Notes")
        notes.click()
        page.get_by_role("textbox", name="What happened").fill("Newsletter went out")
        page.get_by_role("textbox", name="Your name").fill("Ana")
        page.get_by_role("button", name="Add the note").click()
        mark = page.locator(".st-key-cell-active-people .annotation-text", has_text="Newsletter")
        expect(mark).to_be_visible()
        assert "Newsletter went out" in (home / "team" / "notes.jsonl").read_text()

        page.reload()
        settle(page)
        expect(mark).to_be_visible()
        notes.click()
        page.get_by_role("button", name="Remove").click()
        expect(mark).to_have_count(0)
