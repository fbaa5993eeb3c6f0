"""The door: every request and every message of an open page passes here before anything answers.

Where nobody signs in it keeps out everything that is not of this machine. Where people do, it lets
through what shows no data to strangers (the look, the sign-in itself, whether the server is well)
and everything else only to those whom entry.decide lets in, asked again at every message.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from anyio.to_thread import run_sync
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match

from data_access.api import refusal
from pages.components import home
from pages.server import cookies, files, network, policy
from pages.server.entry import Entry, decide
from pages.server.left import Left
from pages.server.watch import Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# paths without the base path, as the router sees them; the first part of each stands for all below
OPEN_HERE: Final = ("_stcore/health", "_stcore/host-config")  # say nothing about the data
# answers programs without a browser; keeps what is uploaded in memory: nobody needs either
CLOSED: Final = ("_stcore/agent", "_stcore/upload_file")
ADMINS: Final = ("_stcore/metrics", "_stcore/script-health-check")  # name what the app computes
FILES: Final = ("media",)  # what one reader downloads
MEMBERS: Final = ("_stcore", *FILES, "component", "app/static")
TOKENS: Final = ("api", "metrics", "healthz", "readyz")  # the HTTP API, with tokens of its own
LOGIN, LOGOUT, CALLBACK = "auth/login", "auth/logout", "oauth2callback"
STREAM: Final = "_stcore/stream"
NO_EXPORTS: Final = "Exports need the analyst role. Ask an admin."
HSTS_SECONDS: Final = 365 * 24 * 3_600
_log: Final = logging.getLogger(__name__)
_REFUSED: Final = 1008  # websocket: policy violation
_ORIGIN_CHARS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.:/-*[]_")


@dataclass(frozen=True, slots=True)
class Visit:
    """One request: how it came, who sent it, and under which policy."""

    way: network.Way
    policy: policy.Policy
    path: str
    entry: Entry
    claims: dict[str, Any]


class Door:
    """ASGI middleware around everything the server answers."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Sequence[BaseRoute] = (),
        where: Callable[[], str] = home.chosen,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._routes = tuple(routes)
        self._where = where
        self._clock = clock
        self._left = Left()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it here."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        visit = self._met(scope)
        refused = self._refusal(scope, visit)
        if refused is not None:
            await _refuse(scope, receive, self._answering(scope, visit, send), *refused)
        elif scope["type"] == "websocket":
            await self._watched(scope, visit, receive, send)
        else:
            if visit.path == LOGOUT and visit.claims:
                await run_sync(self._left.add, self._where(), visit.claims, self._clock())
            if visit.path == CALLBACK:
                said = scope["query_string"].decode("latin-1")
                scope["query_string"] = cookies.plain_callback(said).encode("latin-1")
            send = self._answering(scope, visit, send)
            if visit.policy.is_on and visit.entry.role == "viewer" and _is_below(visit.path, FILES):
                send = _only_shown(scope, receive, send)
            await self._app(scope, receive, send)

    # --- who is it ----------------------------------------------------------------------------

    def _met(self, scope: Scope) -> Visit:
        found = policy.current(self._where())
        way = network.arrived(scope, found.server.trusted_proxies)
        path = _below_base(network.routed(scope))
        if not found.is_on:
            return Visit(way, found, path, Entry(), {})
        claims = self._claims(scope, found)
        entry = self._entry(claims, found)
        if entry.why in ("anonymous", "settings"):  # Streamlit must not think that somebody is in
            scope["headers"] = cookies.without_ours(scope["headers"])
        return Visit(way, found, path, entry, claims)

    def _claims(self, scope: Scope, found: policy.Policy) -> dict[str, Any]:
        if found.missing:
            return {}
        return cookies.claims(HTTPConnection(scope).cookies, found.origin)

    def _entry(self, claims: dict[str, Any], found: policy.Policy) -> Entry:
        if found.missing or not claims:
            return Entry(why="anonymous")
        try:
            has_left = self._left.has(self._where(), claims)
        except OSError as error:  # who cannot be told from somebody who left stays outside
            _log.warning("nobody is let in: who signed out cannot be read: %s", error)
            return Entry(why="settings")
        return Entry(why="anonymous") if has_left else decide(claims, found.sign_in, self._clock())

    # --- may it pass --------------------------------------------------------------------------

    def _refusal(self, scope: Scope, visit: Visit) -> tuple[int, str] | None:
        """Return the status and the words with which a request is sent away; None lets it pass."""
        if not visit.policy.is_on:
            strange = network.strange_to_this_machine(scope, visit.way)
            return (403, _local_only(strange)) if strange else None
        if _is_below(visit.path, (*OPEN_HERE[:1], *TOKENS)):
            return None
        if visit.policy.missing or visit.entry.why == "settings":
            return 503, "Nobody can be let in as it is set up. The server's log says why."
        strange = _strange_here(scope, visit)
        if strange:
            return 403, strange
        return self._closed(scope, visit)

    def _closed(self, scope: Scope, visit: Visit) -> tuple[int, str] | None:
        path = visit.path
        if path == LOGOUT and _first(scope, b"sec-fetch-site") in ("cross-site", "same-site"):
            return 403, "Another site cannot sign you out. Sign out in the app."
        if _is_below(path, CLOSED):
            return 404, "Not found."
        if path in (STREAM, *OPEN_HERE):
            return None
        if _is_below(path, MEMBERS) or self._is_own_route(scope, path):
            return _not_for(visit)
        return None  # the look: files that everybody has who installs the app

    def _is_own_route(self, scope: Scope, path: str) -> bool:
        """Tell whether one of our own routes answers; new ones are closed until they say how."""
        if scope["type"] != "http" or _is_below(path, TOKENS):
            return False
        return any(route.matches(scope)[0] is not Match.NONE for route in self._routes)

    # --- an open page -------------------------------------------------------------------------

    async def _watched(self, scope: Scope, visit: Visit, receive: Receive, send: Send) -> None:
        if not visit.policy.is_on:
            await self._app(scope, receive, send)
            return
        if not visit.entry.is_in:
            _forget_session(scope)

        def still_in() -> bool:
            found = policy.current(self._where())
            entry = self._entry(visit.claims, found)
            return entry.is_in and entry.role == visit.entry.role

        watched = Watched(receive, send, still_in if visit.entry.is_in else None, self._clock)
        await watched.run(self._app, scope)

    # --- what leaves --------------------------------------------------------------------------

    def _answering(self, scope: Scope, visit: Visit, send: Send) -> Send:
        """Return a send that puts on every answer what it must carry."""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                _come_back(scope, visit, headers)
                if visit.policy.is_on and (
                    _is_below(visit.path, FILES) or self._is_own_route(scope, visit.path)
                ):
                    headers.setdefault("cache-control", "private, no-store")  # in no shared cache
                _guard(visit, headers)
                message = {**message, "headers": headers.raw}
            await send(message)

        return answer


def _not_for(visit: Visit) -> tuple[int, str] | None:
    if not visit.entry.is_in:
        return 401, "Sign in to see this."
    if _is_below(visit.path, ADMINS) and visit.entry.role != "admin":
        return 403, "This is for admins. Ask one of them."
    if _is_below(visit.path, (files.ADDRESS,)) and visit.entry.role == "viewer":
        return 403, NO_EXPORTS
    return None


def _only_shown(scope: Scope, receive: Receive, send: Send) -> Send:
    """Return a send for a viewer: what is to be looked at passes, a file to take away does not."""
    is_refused = False

    async def shown(message: Message) -> None:
        nonlocal is_refused
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", [])}
            is_refused = b"content-disposition" in names
            if is_refused:
                await _refuse(scope, receive, send, 403, NO_EXPORTS)
        if not is_refused:
            await send(message)

    return shown


def _guard(visit: Visit, headers: MutableHeaders) -> None:
    """Put the headers on that tell the browser what not to do with this answer."""
    for name, value in _headers(visit):
        headers.setdefault(name, value)
    if visit.way.scheme == "https":
        made = [cookies.secured(one) for one in headers.getlist("set-cookie")]
        del headers["set-cookie"]
        for one in made:
            headers.append("set-cookie", one)


def _headers(visit: Visit) -> list[tuple[str, str]]:
    sites = [one for one in visit.policy.server.embed_origins if set(one.lower()) <= _ORIGIN_CHARS]
    found = [
        ("content-security-policy", " ".join(["frame-ancestors 'self'", *sites])),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
    ]
    if visit.way.scheme == "https":
        found.append(("strict-transport-security", f"max-age={HSTS_SECONDS}"))
    return found


def _come_back(scope: Scope, visit: Visit, headers: MutableHeaders) -> None:
    """Keep the link through the provider: note it when signing in begins, go there at its end.

    Streamlit itself sends everybody to the home page. The link is the page from which the sign-in
    was asked for, as the browser says it.
    """
    if not visit.policy.is_on or visit.policy.missing:
        return
    base = network.base()
    if visit.path == LOGIN:
        path = cookies.local_path(_first(scope, b"referer"), visit.policy.origin)
        headers.append("set-cookie", cookies.remember(path, base) if path else cookies.forget(base))
    elif visit.path == CALLBACK:
        path = cookies.remembered(HTTPConnection(scope).cookies)
        if path:
            headers["location"] = path
        headers.append("set-cookie", cookies.forget(base))


def _strange_here(scope: Scope, visit: Visit) -> str:
    """Say why a request is not for the address under which people sign in; "" when it is."""
    name = network.host_of(visit.way.host)
    if name not in visit.policy.hosts() and not network.is_local_name(name):
        return (
            "This server does not answer to that name. Its address is [auth] redirect_uri in "
            "secrets.toml, and server.public_url in telemetry.toml."
        )
    origin, own = visit.way.origin, visit.policy.origin
    if scope["type"] == "websocket" and origin is not None and origin != own:
        return f"Pages are read at {own} only."
    return ""


def _local_only(strange: str) -> str:
    return (
        f"Betascope is open to this machine only, and this request was refused: {strange}. "
        "docs/SIGN_IN.md says how to open it to others."
    )


def _forget_session(scope: Scope) -> None:
    """Take the id of an older session off a websocket: a stranger resumes nobody's page."""
    name = b"sec-websocket-protocol"
    scope["headers"] = [
        (key, b", ".join(value.split(b",")[:2]) if key.lower() == name else value)
        for key, value in scope["headers"]
    ]
    if "subprotocols" in scope:
        scope["subprotocols"] = list(scope["subprotocols"])[:2]


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, words: str) -> None:
    if scope["type"] == "websocket":
        await receive()  # the handshake; closing before it is accepted answers it with 403
        await send({"type": "websocket.close", "code": _REFUSED, "reason": ""})
        return
    answer: Response = PlainTextResponse(f"{words}\n", status, {"cache-control": "no-store"})
    if _is_below(_below_base(network.routed(scope)), TOKENS):  # programs read it
        answer = refusal(status, words)
    await answer(scope, receive, send)


def _first(scope: Scope, name: bytes) -> str:
    return network.header_values(scope).get(name, [""])[0]


def _below_base(path: str) -> str:
    """Return a path as Streamlit's routes name it: below the base path, without the first slash."""
    return path.removeprefix(network.base()).removeprefix("/")


def _is_below(path: str, parts: Sequence[str]) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in parts)
