"""What a browser downloads for the first page, and when the reader sees something.

    python -m bench.paint                        the home the app would open
    python -m bench.paint --home PLACE

Chromium opens Overview with an empty cache and once more, with our compression and without it (a
header that asks for none), one after the other in the same run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from playwright.sync_api import sync_playwright

from bench.serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
ROUNDS: Final = 3
PATIENCE_MS: Final = 180_000
# Chromium's own names for a line: bytes per second each way, and a round trip
LINES: Final = {"this machine": None, "10 Mbit/s, 40 ms": (1_250_000, 40)}
MEASURED: Final = """() => {
  const all = performance.getEntriesByType('resource')
  const first = performance.getEntriesByType('navigation')[0]
  const paint = performance.getEntriesByName('first-contentful-paint')[0]
  return {
    requests: all.length + 1,
    wire: [...all, first].reduce((sum, one) => sum + one.transferSize, 0),
    paint: paint ? paint.startTime : 0,
  }
}"""
DRAWN: Final = "() => document.querySelector('.js-plotly-plot .main-svg') !== null"
FULL: Final = """() => {
  const app = document.querySelector('[data-testid=stApp]')
  const busy = app?.getAttribute('data-test-script-state') !== 'notRunning'
  return !busy && document.querySelector('.js-plotly-plot')
    && !document.querySelector('[data-testid=stSkeleton]')
}"""


def visited(page: Page, url: str) -> dict[str, float]:
    """Open the page and return what it cost: requests, bytes, and three moments in ms."""
    start = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_function(DRAWN, timeout=PATIENCE_MS, polling=20)
    drawn = (time.perf_counter() - start) * 1_000
    page.wait_for_function(FULL, timeout=PATIENCE_MS, polling=20)
    full = (time.perf_counter() - start) * 1_000
    found: dict[str, Any] = page.evaluate(MEASURED)
    return {**found, "drawn": drawn, "full": full}


def opened(browser: Browser, url: str, line: tuple[int, int] | None, *, gzip: bool) -> list[Any]:
    """Open the page in a browser that knows nothing, and once more in the same one."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    session = context.new_cdp_session(page)
    if line is not None:
        speed, round_trip = line
        session.send("Network.enable")
        session.send(
            "Network.emulateNetworkConditions",
            {
                "offline": False,
                "latency": round_trip,
                "downloadThroughput": speed,
                "uploadThroughput": speed,
            },
        )
    if not gzip:
        context.set_extra_http_headers({"Accept-Encoding": "identity"})
    found = [visited(page, url), visited(page, url)]
    context.close()
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.paint", description=__doc__)
    parser.add_argument("--home", type=Path)
    home = parser.parse_args().home
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with serving(home) as (address, _), sync_playwright() as playwright:
        print(f"{'':<52}{'requests':>9}{'MB':>8}{'paint s':>9}{'first cell':>11}{'all cells':>10}")
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        url = f"{address}/overview"
        opened(browser, url, None, gzip=True)  # the server's own first time is another question
        for name, line in LINES.items():
            wire = {}
            for gzip in (False, True):
                rounds = [opened(browser, url, line, gzip=gzip) for _ in range(ROUNDS)]
                for place, cache in enumerate(("empty cache", "again")):
                    middle = {
                        key: statistics.median(one[place][key] for one in rounds)
                        for key in rounds[0][place]
                    }
                    wire[gzip, cache] = middle["wire"]
                    kind = "compressed" if gzip else "as Streamlit sends it"
                    print(
                        f"{f'{name}, {kind}, {cache}':<52}{middle['requests']:>9.0f}"
                        f"{middle['wire'] / 1e6:>8.2f}{middle['paint'] / 1e3:>9.2f}"
                        f"{middle['drawn'] / 1e3:>11.2f}{middle['full'] / 1e3:>10.2f}",
                        flush=True,
                    )
            ratio = wire[True, "empty cache"] / wire[False, "empty cache"]
            print(f"{name}: bytes compressed / not, empty cache: {ratio:.2f}")
        browser.close()


if __name__ == "__main__":
    main()
