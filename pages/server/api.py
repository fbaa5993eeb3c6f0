"""Puts the HTTP API in front of the pages: the same address and port, its own rights.

It stands before Streamlit's own routes, so that a path under /api is never answered with a page.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.middleware.gzip import GZipMiddleware

from data_access.api import Api, Holder, Presented
from ingest.tokens import check as looked_at
from ingest.tokens import note_use
from pages.components import filters, home, menu
from pages.server import network

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.types import ASGIApp, Receive, Scope, Send

# what pages keep in a link beside the filters: it means nothing to the API
OF_PAGES = (*filters.OTHERS, *(f"{page.address}." for page in menu.PAGES))
SMALLEST_ZIPPED_BYTES = 1_024


class ApiFirst:
    """Middleware: the API's own paths go to the API, everything else to the pages."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.api = Api(
            home=home.chosen,
            check=check,
            of_pages=OF_PAGES,
            prefix=network.base(),
        )
        self.zipped = GZipMiddleware(self.api, minimum_size=SMALLEST_ZIPPED_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand one request on."""
        path = network.routed(scope) if scope["type"] == "http" else ""
        if self.api.serves(path):
            await self.zipped(dict(scope, path=path), receive, send)
        else:
            await self.app(scope, receive, send)


def check(where: str, presented: str, now: datetime) -> Presented:
    """Say whose token was presented, and remember that it was used."""
    place = Path(where).expanduser()
    found = looked_at(place, presented, now=now)
    if found.token is None:
        return Presented(None, found.reason)
    note_use(place, found.token, now=now)
    return Presented(Holder(found.token.id, found.token.scopes))
