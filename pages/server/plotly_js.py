"""Plotly's own JavaScript, as the installed package has it: what draws a PNG in the browser.

Streamlit's copy is bundled into its front end, where nothing else reaches it. This one is fetched
only when somebody asks for a picture, and then kept by the browser.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.responses import FileResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["ADDRESS", "route"]

ADDRESS: Final = f"assets/plotly-{version('plotly')}.min.js"
_A_YEAR: Final = "public, max-age=31536000, immutable"  # another version has another address


def route(base: str = "") -> Route:
    """Return the route of the script, below the path under which the app is served."""
    return Route(f"{base}/{ADDRESS}", _send, methods=["GET"])


async def _send(_: Request) -> Response:
    found = find_spec("plotly")
    folder = Path(str(found.origin)).parent if found else Path()
    return FileResponse(
        folder / "package_data" / "plotly.min.js",
        media_type="text/javascript",
        headers={"Cache-Control": _A_YEAR, "X-Content-Type-Options": "nosniff"},
    )
