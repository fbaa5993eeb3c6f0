"""What stands between the network and the pages: routes and middleware, handed over by app.py.

Each part is a module of its own; these two lists are the only place that knows them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.middleware import Middleware
    from starlette.routing import BaseRoute

__all__ = ["middleware", "routes"]


def routes() -> list[BaseRoute]:
    """Return the routes beside Streamlit's own, in the order they are tried."""
    return []


def middleware() -> list[Middleware]:
    """Return the middleware around all of them, the outermost first."""
    return []
