"""Streamlit's own scripts and styles, compressed: once per process, not once per reader.

Streamlit sends them as they are and leaves compressing to a proxy; a team that has none would wait
for 10 MB where 3 will do. Only these files are compressed, which are the same for everybody: a page
that holds secrets beside what somebody else chose must not be (BREACH).
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import threading
from collections import OrderedDict
from functools import cache
from typing import TYPE_CHECKING, Final

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response

from pages.server.shell import STATIC, below_base

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOLDER: Final = "static/"
ENDINGS: Final = frozenset({".js", ".css", ".json", ".svg", ".map", ".wasm"})
BYTES_MIN: Final = 500  # less is not worth a header
HELD_BYTES_MAX: Final = 16 * 1024 * 1024  # compressed; all there are take 7 MB
LEVEL: Final = 6  # 9 saves another 0.3 % of the largest file
YEAR_S: Final = 365 * 24 * 3_600
CACHED: Final = f"public, immutable, max-age={YEAR_S}"  # as Streamlit says: names hold a hash


class Bundles:
    """ASGI middleware that answers for compressible files of the front end; all else goes on."""

    def __init__(self, app: ASGIApp, *, held: Held | None = None) -> None:
        self._app = app
        self._held = held or HELD

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the compressed file where the reader takes one."""
        path = _asked(scope)
        if path is None:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if "range" in headers or not takes_gzip(headers.get("accept-encoding", "")):
            await self._app(scope, receive, _varying(send))
            return
        body, tag = await anyio.to_thread.run_sync(self._held.compressed, path)
        told = {
            "cache-control": CACHED,
            "content-encoding": "gzip",
            "etag": tag,
            "vary": "Accept-Encoding",
            "x-content-type-options": "nosniff",
        }
        if tag in headers.get("if-none-match", ""):
            await Response(status_code=304, headers=told)(scope, receive, send)
            return
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        told["content-length"] = str(len(body))
        answer = Response(b"" if scope["method"] == "HEAD" else body, headers=told, media_type=kind)
        await answer(scope, receive, send)


class Held:
    """Compressed files in memory: at most `most` bytes, the longest unused go first."""

    def __init__(self, most: int = HELD_BYTES_MAX) -> None:
        self._most = most
        self._files: OrderedDict[Path, tuple[bytes, str]] = OrderedDict()
        self._making: dict[Path, threading.Lock] = {}
        self._lock = threading.Lock()

    def compressed(self, path: Path) -> tuple[bytes, str]:
        """Return a file's compressed bytes and their tag: made once, whoever asks meanwhile."""
        found = self._found(path)
        if found is not None:
            return found
        with self._lock:
            making = self._making.setdefault(path, threading.Lock())
        with making:  # of this file alone: a small one never waits for a large one
            found = self._found(path)
            if found is None:
                body = gzip.compress(path.read_bytes(), LEVEL, mtime=0)
                found = body, f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}-gzip"'
                self._keep(path, found)
            return found

    def _found(self, path: Path) -> tuple[bytes, str] | None:
        with self._lock:
            if path in self._files:
                self._files.move_to_end(path)
            return self._files.get(path)

    def _keep(self, path: Path, made: tuple[bytes, str]) -> None:
        with self._lock:
            self._files[path] = made
            self._making.pop(path, None)
            while len(self._files) > 1 and self.size > self._most:
                self._files.popitem(last=False)

    @property
    def size(self) -> int:
        """How many bytes are held."""
        return sum(len(body) for body, _tag in self._files.values())


HELD: Final = Held()


@cache
def known() -> dict[str, Path]:
    """Return the files worth compressing by their path below the front end: no other is opened."""
    return {
        path.relative_to(STATIC).as_posix(): path
        for path in (STATIC / FOLDER).rglob("*")
        if path.suffix in ENDINGS and path.is_file() and path.stat().st_size >= BYTES_MIN
    }


def takes_gzip(accepted: str) -> bool:
    """Tell whether an Accept-Encoding header takes gzip: named, or by *, and not refused."""
    said: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, _, rest = part.partition(";")
        weight = rest.strip().removeprefix("q=").strip() if rest else "1"
        try:
            said[name.strip()] = float(weight)
        except ValueError:
            said[name.strip()] = 0.0
    return said.get("gzip", said.get("*", 0.0)) > 0


def _asked(scope: Scope) -> Path | None:
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return None
    return known().get(below_base(scope["path"]))


def _varying(send: Send) -> Send:
    """Say also on the uncompressed answer that another reader may get another one."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).add_vary_header("Accept-Encoding")
        await send(message)

    return told
