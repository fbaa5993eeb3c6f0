"""What stands between the network and the pages: routes and middleware, handed over by app.py.

Each part is a module of its own; these two lists are the only place that knows them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware import Middleware

from pages.components import home
from pages.server import files, network, plotly_js, start
from pages.server.api import ApiFirst
from pages.server.bundles import Bundles
from pages.server.door import Door
from pages.server.preview import LinkPreview
from pages.server.shell import Shell

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

__all__ = ["middleware", "refuse_unsafe", "routes"]


def routes() -> list[BaseRoute]:
    """Return the routes beside Streamlit's own, in the order they are tried."""
    base = network.base()
    return [files.route(base), plotly_js.route(base)]


def middleware() -> list[Middleware]:
    """Return the middleware around all of them, the outermost first."""
    return [
        Middleware(Door, routes=routes()),
        Middleware(ApiFirst),
        Middleware(LinkPreview),
        Middleware(Shell),
        Middleware(Bundles),
    ]


def refuse_unsafe() -> None:
    """End the process when it would let strangers in, before it answers anything."""
    start.refuse_unsafe(home.chosen())
