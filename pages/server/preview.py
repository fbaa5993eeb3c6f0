"""What chat tools and search see of a link: Streamlit's empty page gets a title and a description.

They are made of the address alone, before anybody signs in, and hold nothing of the data.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Final

from starlette.datastructures import MutableHeaders
from streamlit import config

from pages.components import menu, titles

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_BYTES_MAX: Final = 1_000_000  # Streamlit's page has 8,000; anything longer is none of it
QUERY_BYTES_MAX: Final = 20_000
_TITLE: Final = re.compile(rb"<title>[^<]*</title>")
_HEAD_ENDS: Final = b"</head>"
_NOT_PAGES: Final = (
    *("_stcore", "media", "component", "static", "app", "api"),
    *("auth", "oauth2callback"),
)
# what would make Streamlit answer with something else than its whole page, as it is
_ASKED_OF_FILES: Final = (
    *(b"if-none-match", b"if-modified-since", b"if-range", b"if-match", b"if-unmodified-since"),
    *(b"range", b"accept-encoding"),
)


def _now() -> datetime:
    return datetime.now(UTC)


class LinkPreview:
    """Middleware: rewrites the head of the page that every address of the app is answered with."""

    def __init__(self, app: ASGIApp, *, clock: Callable[[], datetime] = _now) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        address = page_of(scope)
        if address is None:
            await self._app(scope, receive, send)
            return
        plain = {
            **scope,
            "method": "GET",
            "headers": [
                pair for pair in scope["headers"] if pair[0].lower() not in _ASKED_OF_FILES
            ],
        }
        await self._app(plain, receive, _Rewriting(scope, send, address, self._clock()))


class _Rewriting:
    """A send that holds back an HTML page until it is whole, and sends it with its own words."""

    def __init__(self, scope: Scope, send: Send, address: str, now: datetime) -> None:
        self._scope = scope
        self._send = send
        self._address = address
        self._now = now
        self._start: Message | None = None  # held back, while this may be the page
        self._body = b""

    async def __call__(self, message: Message) -> None:
        """Take one message of the answer."""
        if message["type"] == "http.response.start" and _is_html(message):
            self._start = message
        elif self._start is None:
            await self._pass(message)
        else:
            self._body += message.get("body", b"")
            if len(self._body) > PAGE_BYTES_MAX:
                await self._give_up(message)
            elif not message.get("more_body", False):
                await self._answer(self._start)

    async def _pass(self, message: Message) -> None:
        if message["type"] == "http.response.body" and self._scope["method"] == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)

    async def _give_up(self, message: Message) -> None:
        start, self._start = self._start, None
        if start is not None:
            await self._send(start)
        await self._pass({**message, "body": self._body})

    async def _answer(self, start: Message) -> None:
        query = self._scope["query_string"][: QUERY_BYTES_MAX + 1].decode("latin-1")
        said = titles.link(self._address, query, today=self._now.date(), now=self._now)
        body = rewritten(self._body, said)
        headers = MutableHeaders(raw=list(start.get("headers", [])))
        for name in ("last-modified", "accept-ranges", "content-length"):
            del headers[name]
        tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        headers["etag"] = tag
        headers["cache-control"] = "no-cache"  # kept, but asked for again: it names what is shown
        status = start["status"]
        if _has(self._scope, tag):
            status, body = 304, b""
        else:
            headers["content-length"] = str(len(body))
        await self._send({**start, "status": status, "headers": headers.raw})
        await self._pass({"type": "http.response.body", "body": body})


def page_of(scope: Scope) -> str | None:
    """Return the page a request is for, "" for the first one; None when it is for no page."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return None
    base = str(config.get_option("server.baseUrlPath") or "").strip("/")
    parts = [part for part in scope["path"].split("/") if part]
    if base:
        parts = parts[len(base.split("/")) :]
    if not parts:
        return menu.PAGES[0].address
    return None if "." in parts[-1] or parts[0] in _NOT_PAGES else parts[-1]


def rewritten(page: bytes, said: titles.Preview) -> bytes:
    """Return Streamlit's page with a title, a description, and what chats make previews of."""
    title, words = escape(said.title), escape(said.description)
    names = {"description": words, "twitter:card": "summary"}
    properties = {"og:type": "website", "og:site_name": titles.APP, "og:title": title}
    properties["og:description"] = words
    lines = [f"<title>{title}</title>"]
    lines += [f'<meta name="{name}" content="{value}" />' for name, value in names.items()]
    lines += [f'<meta property="{name}" content="{value}" />' for name, value in properties.items()]
    head = "\n    ".join(lines).encode("utf-8", "replace")
    found = _TITLE.search(page)
    if found:
        return page[: found.start()] + head + page[found.end() :]
    before, ends, after = page.partition(_HEAD_ENDS)
    return before + head + ends + after if ends else page


def _is_html(message: Message) -> bool:
    kind = MutableHeaders(raw=list(message.get("headers", []))).get("content-type", "")
    return message["status"] == 200 and kind.startswith("text/html")  # noqa: PLR2004 - the one that shows


def _has(scope: Scope, tag: str) -> bool:
    """Tell whether the browser has this very answer already."""
    said = b",".join(value for name, value in scope["headers"] if name.lower() == b"if-none-match")
    known = [one.strip().removeprefix("W/") for one in said.decode("latin-1").split(",")]
    return tag in known
