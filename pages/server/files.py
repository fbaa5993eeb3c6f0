"""Files made for one reader: kept on disk for a while, served under an address nobody can guess.

Streamlit would hold a download in memory for as long as the session lasts; a large export is sent
from disk instead. Who may reach the route at all is decided in front of it, as for every other.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["ADDRESS", "Shelf", "route", "shelf"]

ADDRESS: Final = "download"
KEPT_SECONDS: Final = 1_800  # long enough to click, short enough to forget
FILES_MAX: Final = 16  # the oldest makes room
TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class _Kept:
    folder: Path
    path: Path
    mime: str
    until: float


class Shelf:
    """The files there are. One folder each, so that a name is never more than a name."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def place(self, name: str) -> Path:
        """Return where to write a file of this name; it is `put` when it is whole."""
        folder = Path(tempfile.mkdtemp(prefix="betascope-file-"))
        return folder / Path(name).name

    def put(self, path: Path, mime: str, *, now: float) -> str:
        """Keep a written file and return its address under the server's root."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        with self._lock:
            self._forget(now)
            while len(self._kept) >= FILES_MAX:
                self._remove(next(iter(self._kept)))
            self._kept[token] = _Kept(path.parent, path, mime, now + KEPT_SECONDS)
        return f"{ADDRESS}/{token}/{path.name}"

    def drop(self, path: Path) -> None:
        """Remove a file that was never put."""
        shutil.rmtree(path.parent, ignore_errors=True)

    def find(self, token: str, name: str, *, now: float) -> tuple[Path, str] | None:
        """Return a kept file and its kind, if there is one of this token and name."""
        with self._lock:
            self._forget(now)
            kept = self._kept.get(token)
            return None if kept is None or kept.path.name != name else (kept.path, kept.mime)

    def clear(self) -> None:
        """Remove every file: the server ends."""
        with self._lock:
            for token in list(self._kept):
                self._remove(token)

    def _forget(self, now: float) -> None:
        for token in [one for one, kept in self._kept.items() if kept.until <= now]:
            self._remove(token)

    def _remove(self, token: str) -> None:
        shutil.rmtree(self._kept.pop(token).folder, ignore_errors=True)


shelf: Final = Shelf()


def route(base: str = "") -> Route:
    """Return the route of the files, below the path under which the app is served."""
    return Route(f"{base}/{ADDRESS}/{{token}}/{{name}}", _send, methods=["GET"])


async def _send(request: Request) -> Response:

    token, name = request.path_params["token"], request.path_params["name"]
    found = shelf.find(token, name, now=time.monotonic())
    if found is None:
        return PlainTextResponse(
            "This file is no longer kept. Export it again.", status_code=404, headers=_PRIVATE
        )
    path, mime = found
    return FileResponse(path, media_type=mime, filename=name, headers=_PRIVATE)


_PRIVATE: Final = {
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address is the key
}
