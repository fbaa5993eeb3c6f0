"""The HTML every page begins with: Streamlit's own, with its name, its hints and its menu mended.

It holds no data and is the same for everybody, so it may be sent to a reader not yet signed in.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import streamlit
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from streamlit import config

from pages.components import menu

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

STATIC: Final = Path(streamlit.__file__).parent / "static"
TITLE: Final = "Betascope"
HOME: Final = ("", "home")  # two addresses of the first page
# What Streamlit's first answer asks for next. Told in the HTML it is fetched beside the rest,
# not after it: the picture's library alone is half of all there is to fetch.
SOON: Final = ("PlotlyChart", "Metric", "Html", "ButtonGroup", "DateInput", "Checkbox")
LATER: Final = ("Multiselect", "TextInput", "Selectbox", "DataFrame")
FONTS: Final = ("MaterialSymbols-Rounded",)
_HEAD_END: Final = "</head>"
_TITLE: Final = "<title>Streamlit</title>"

# What Streamlit leaves out, for readers who listen, use the keyboard, or prefer the dark:
# - the menu's entries stand in <div>s inside of a <ul>, which no list may have, and none says that
#   it is the open page: each section becomes a list with the name of its heading;
# - code that scrolls cannot be reached by keyboard;
# - what floats above the page (menus, tooltips) is told nothing of the page's light or dark;
# - a changed field replaces the entry in the browser's history, so Back would leave the page and
#   not undo it; and every field the app sets by itself adds one, so Back would lead through filters
#   nobody chose. Here each thing a reader does is one entry, with all that followed from it.
MENDED: Final = """<meta name="color-scheme" content="light dark">
<script>
(() => {
  const menu = 'ul[data-testid="stSidebarNavItems"]'
  const mend = () => {
    for (const items of document.querySelectorAll(menu)) {
      if (items.querySelector('li') && !items.querySelector(':scope > li')) {
        if (items.getAttribute('role') !== 'group') items.setAttribute('role', 'group')
      }
      for (const section of items.querySelectorAll(':scope > div:not([role])')) {
        const heading = section.querySelector('[data-testid="stNavSectionHeader"]')
        section.setAttribute('role', 'list')
        const name = heading?.querySelector('p')?.textContent
        if (name) section.setAttribute('aria-label', name)
        heading?.setAttribute('role', 'presentation')
      }
      for (const link of items.querySelectorAll('a')) {
        const isOpen = link.pathname === location.pathname
        if (isOpen !== link.hasAttribute('aria-current')) {
          if (isOpen) link.setAttribute('aria-current', 'page')
          else link.removeAttribute('aria-current')
        }
      }
    }
    for (const code of document.querySelectorAll('[data-testid="stCode"] pre:not([tabindex])')) {
      code.setAttribute('tabindex', '0')
    }
    const app = document.querySelector('[data-testid="stApp"]')
    if (app) {
      const scheme = getComputedStyle(app).colorScheme
      if (root.style.colorScheme !== scheme) root.style.colorScheme = scheme
    }
    waiting = false
  }
  const root = document.documentElement
  let waiting = false
  new MutationObserver(() => {
    if (!waiting) { waiting = true; setTimeout(mend, 50) }
  }).observe(root, {
    childList: true, subtree: true, attributes: true, attributeFilter: ['class']
  })

  const { pushState, replaceState } = history
  let isNew = false  // the reader did something, and the address has not changed since
  for (const kind of ['pointerdown', 'keydown', 'click']) {
    addEventListener(kind, event => {
      if (kind !== 'click' || event.detail === 0) isNew = true  // else its pointerdown was told
    }, true)
  }
  addEventListener('popstate', () => { isNew = false }, true)
  history.pushState = history.replaceState = (state, title, url) => {
    const write = isNew ? pushState : replaceState
    isNew = false
    write.call(history, state, title, url)
  }
})()
</script>"""


class Shell:
    """ASGI middleware that answers for the pages of the menu; all else goes on as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a page's address, or hand the request on."""
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            address = below_base(scope["path"])
            if address in addresses():
                await answer(address, Headers(scope=scope))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def answer(address: str, headers: Headers) -> Response:
    """Return a page's HTML, or that the reader has it already."""
    is_report = address != menu.SETTINGS.address
    text, tag = html(is_report=is_report)
    told = {"etag": tag, "cache-control": "no-cache"}
    if tag in headers.get("if-none-match", ""):
        return Response(status_code=304, headers=told)
    return HTMLResponse(text, headers=told)


@cache
def html(*, is_report: bool) -> tuple[str, str]:
    """Return the HTML and its tag. Reports also name what a picture needs."""
    text = (STATIC / "index.html").read_text("utf-8")
    hints = "\n".join(preloads()) if is_report else ""
    text = text.replace(_TITLE, f"<title>{TITLE}</title>")
    text = text.replace(_HEAD_END, f"{hints}\n{MENDED}\n{_HEAD_END}", 1)
    return text, f'"{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"'


def preloads() -> list[str]:
    """Return the links that name early what the first answer will ask for."""
    found = []
    for name in (*SOON, *LATER):
        low = ' fetchpriority="low"' if name in LATER else ""
        found += [
            f'<link rel="modulepreload" crossorigin href="./static/js/{path.name}"{low}>'
            for path in sorted((STATIC / "static" / "js").glob(f"{name}.*.js"))
        ]
    for name in FONTS:
        found += [
            f'<link rel="preload" as="font" type="font/woff2" crossorigin '
            f'href="./static/media/{path.name}">'
            for path in sorted((STATIC / "static" / "media").glob(f"{name}.*.woff2"))
        ]
    return found


@cache
def addresses() -> frozenset[str]:
    """Return the addresses that open a page."""
    return frozenset((*HOME, *(entry.address for entry in menu.PAGES)))


def below_base(path: str) -> str:
    """Return a request's path below server.baseUrlPath, without its first slash."""
    base = str(config.get_option("server.baseUrlPath") or "").strip("/")
    rest = path.removeprefix("/")
    if not base:
        return rest
    if rest == base:
        return ""
    return rest[len(base) + 1 :] if rest.startswith(f"{base}/") else f"/{rest}"
