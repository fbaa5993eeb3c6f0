"""The HTTP API as one ASGI application: who may ask, how often, and what the answer looks like.

Everything but the network runs in threads, so that a long question never holds up the pages. It is
the one boundary where an exception of any kind stops: the client gets a name, the log the rest.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
import orjson
from anyio.to_thread import run_sync
from starlette.responses import Response, StreamingResponse

import data_access
from data_access import DataUnavailable
from data_access.api import openapi, problem, prometheus
from data_access.api.answers import Asking
from data_access.api.endpoints import Endpoint, table
from data_access.api.limits import Buckets, Taken
from data_access.api.problem import Refused, near, shown
from data_access.api.query import Query, read
from data_access.api.reader import Frames, HungUp, Reader, reader
from data_access.api.rows import rows_of
from data_access.config import Limits, Server
from data_access.errors import MetricError
from data_access.filters import DIMENSIONS, QUERY_CHARS_MAX
from data_access.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator

    from starlette.types import Message, Receive, Scope, Send

    from data_access.api.answers import Answer

PATH_CHARS_MAX: Final = 2_000
HEADERS_BYTES_MAX: Final = 16 * 1024
WORKERS_MAX: Final = 2  # questions at a time; each uses every core by itself
GATE_WORKERS_MAX: Final = 4  # looking at tokens, which is quick
WAITING_MAX: Final = 64  # questions that wait for a worker; one more is sent away
STREAMS_MAX: Final = 4  # exports at a time: each keeps its rows on disk until its reader has them
IPV6_NETWORK_BITS: Final = 64  # what one household or machine is given, at least
HUNG_UP: Final = 499  # how an answer nobody waited for is counted; it is never sent
STALL_SECONDS: Final = 60.0  # a reader who takes nothing for so long has gone, or never meant to
METHODS: Final = ("GET", "HEAD", "OPTIONS")
BELOW: Final = ("/api", "/metrics", "/healthz", "/readyz")
RELEASE: Final = "0.1.0"

_JSON: Final = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC
_HEADERS: Final = {
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
_PAGE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose token it is: its id, and what it may."""

    id: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Presented:
    """What a presented token is: its holder, or the reason why it opens nothing."""

    holder: Holder | None
    reason: str = ""


# (home, what was presented, now) -> what it is
Check: TypeAlias = Callable[[str, str, datetime], Presented]


@dataclass(slots=True)
class Call:
    """One request on its way: what it asks for, and the headers its answer has so far."""

    method: str
    path: str
    query: str
    headers: dict[str, list[str]]
    peer: str
    home: str
    now: datetime
    root: str = ""
    endpoint: Endpoint | None = None
    named: dict[str, str] = field(default_factory=dict)
    holder: Holder | None = None
    is_streamed: bool = False
    told: dict[str, str] = field(default_factory=dict)
    gone: threading.Event = field(default_factory=threading.Event)

    @property
    def where(self) -> str:
        """What was asked for, without the person it may name: for the log."""
        return self.endpoint.path if self.endpoint else "an unknown path"

    def is_wanted(self) -> bool:
        """Tell whether somebody still waits for the answer."""
        return not self.gone.is_set()

    def header(self, name: str) -> str:
        """Return a header's values, joined the way HTTP lets them be."""
        return ", ".join(self.headers.get(name, ()))


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished answer; where it is streamed, `body` is the first piece and `pieces` the rest."""

    status: int
    body: bytes = b""
    media: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    pieces: Iterator[bytes] | None = None


class Api:
    """The application. It keeps frames, counts and buckets; all of them are bounded.

    Parameters
    ----------
    home : says which telemetry this process shows.
    check : says whose token was presented.
    of_pages : what pages keep in a link for themselves; see `query.read`.
    prefix : what stands before every path, such as server.baseUrlPath.
    now, monotonic_s : the clocks.
    stall_s : how long a reader may take nothing of an answer.
    """

    def __init__(
        self,
        *,
        home: Callable[[], str],
        check: Check,
        of_pages: Collection[str] = (),
        prefix: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic_s: Callable[[], float] = time.monotonic,
        stall_s: float = STALL_SECONDS,
    ) -> None:
        self._home = home
        self._check = check
        self._of_pages = tuple(of_pages)
        self._prefix = prefix
        self._now = now
        self._monotonic_s = monotonic_s
        self._kept = Frames()
        self._requests = prometheus.Requests()
        self._asked = Buckets()
        self._failed = Buckets()
        self._gate = anyio.CapacityLimiter(GATE_WORKERS_MAX)
        self._workers = anyio.CapacityLimiter(WORKERS_MAX)
        self._waiting = 0
        self._stall_s = stall_s
        self._streams = 0

    def serves(self, path: str) -> bool:
        """Tell whether a path is one of these, known or not."""
        if not path.startswith(self._prefix):
            return False
        own = path.removeprefix(self._prefix)
        return any(own == one or own.startswith(f"{one}/") for one in BELOW)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started_s = self._monotonic_s()
        call = self._call(scope)
        try:
            _check_sizes(scope)
            reply = await self._reply(call, receive)
        except HungUp:
            reply = Reply(HUNG_UP)
        except Refused as refused:
            reply = _refusal(refused)
        except Exception:  # noqa: BLE001 - the server's boundary: told by name, logged whole
            reply = _fault(call)
        try:
            if reply.status != HUNG_UP:
                await self._response(call, reply)(scope, receive, self._in_time(send))
        except* TimeoutError:
            _log.warning("an answer was taken too slowly, and ended: %s", call.where)
        finally:  # whoever hung up is counted too, and ends the work at once
            if isinstance(reply.pieces, Generator):
                reply.pieces.close()
            self._streams -= call.is_streamed
            name = call.endpoint.name if call.endpoint else "unknown"
            self._requests.finished(name, reply.status, self._monotonic_s() - started_s)

    def _in_time(self, send: Send) -> Send:
        """Return a send that gives up on whoever takes nothing for too long."""

        async def sent(message: Message) -> None:
            with anyio.fail_after(self._stall_s):
                await send(message)

        return sent

    # --- on the event loop -----------------------------------------------------------------

    def _call(self, scope: Scope) -> Call:
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        return Call(
            method=scope["method"],
            path=scope["path"].removeprefix(self._prefix),
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
            peer=(scope.get("client") or ("",))[0],
            home=self._home(),
            now=self._now(),
            root=str(scope.get("root_path", "")),
        )

    async def _reply(self, call: Call, receive: Receive) -> Reply:
        self._route(call)
        endpoint = call.endpoint
        if call.method == "OPTIONS":
            return Reply(HTTPStatus.NO_CONTENT, headers={"Allow": ", ".join(METHODS)})
        if endpoint is None or endpoint.name == "healthz":
            return _json({"status": "ok"})
        await run_sync(self._enter, call, limiter=self._gate)
        if not endpoint.scope:
            return await run_sync(self._open, call, limiter=self._gate)
        if self._waiting >= WAITING_MAX:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too much is being asked at once. Try again in a moment.",
                headers={"Retry-After": "2"},
            )
        if endpoint.name == "export_csv" and call.method == "GET":
            self._begin_stream(call)
        self._waiting += 1
        try:
            return await self._while_wanted(call, receive)
        finally:
            self._waiting -= 1

    async def _while_wanted(self, call: Call, receive: Receive) -> Reply:
        """Answer in a thread; who hangs up leaves the queue, or ends the work at its next frame."""
        with anyio.CancelScope() as queue:

            async def listen() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                call.gone.set()
                queue.cancel()  # does nothing once a thread has begun

            listening = asyncio.ensure_future(listen())
            try:
                return await run_sync(self._answer, call, limiter=self._workers)
            finally:
                if not listening.done():
                    listening.cancel()
                    await asyncio.wait({listening})
        raise HungUp

    def _begin_stream(self, call: Call) -> None:
        if self._streams >= STREAMS_MAX:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{STREAMS_MAX} exports are being read already. Try again when one is done.",
                headers={"Retry-After": "10"},
            )
        self._streams += 1
        call.is_streamed = True

    def _response(self, call: Call, reply: Reply) -> Response:
        headers = {**_HEADERS, **call.told, **reply.headers}
        if reply.pieces is None:
            response = Response(reply.body, reply.status, headers, reply.media or None)
            if call.method == "HEAD":
                response.body = b""  # its Content-Length stays that of GET
            if reply.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
                del response.headers["Content-Length"]
                del response.headers["Content-Type"]
            return response
        if call.method == "HEAD":
            return Response(b"", reply.status, headers, reply.media)
        pieces = self._stream(reply.body, reply.pieces)
        return StreamingResponse(pieces, reply.status, headers, reply.media)

    async def _stream(self, first: bytes, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        """Send the pieces as they are made."""
        yield first
        while piece := await run_sync(next, pieces, b"", limiter=self._workers):
            yield piece

    def _route(self, call: Call) -> None:
        """Find the endpoint, and refuse methods it has not."""
        endpoints = _table(Limits().api_page_rows)
        for one in endpoints:
            match = one.pattern.fullmatch(call.path)
            if match:
                call.endpoint, call.named = one, match.groupdict()
                break
        else:
            meant = near(call.path, [one.path for one in endpoints])
            raise Refused(
                HTTPStatus.NOT_FOUND,
                f"There is nothing at {shown(call.path)}. /api/openapi.json lists what there is.",
                suggestions=meant,
            )
        if call.method not in METHODS:
            raise Refused(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"{shown(call.method)} is not for this address: it is only read.",
                headers={"Allow": ", ".join(METHODS)},
            )

    # --- in threads: the gate --------------------------------------------------------------

    def _enter(self, call: Call) -> None:
        """Let in whoever shows a token that may do this, and has not asked too often."""
        limits, server = self._settings(call.home)
        endpoint = call.endpoint
        if endpoint is None or not endpoint.scope:
            return
        per_minute = limits.api_requests_per_minute
        presented = self._presented(call)
        if presented.holder is None:
            address = client_address(call.peer, call.header("x-forwarded-for"), server)
            taken = self._take(self._failed, address, per_minute)
            if not taken.allowed:
                raise _too_often(taken, "Too many requests without a valid token from here.")
            raise _unauthorized(presented.reason)
        taken = self._take(self._asked, presented.holder.id, per_minute)
        if not taken.allowed:
            raise _too_often(taken, f"This token may ask {per_minute:,} times a minute.")
        call.told |= taken.headers()
        if endpoint.scope not in presented.holder.scopes:
            raise Refused(
                HTTPStatus.FORBIDDEN,
                f"This token lacks the scope {endpoint.scope}. Make one that has it: "
                f"python -m ingest token create --name WHO --scope {endpoint.scope}",
                headers={
                    "WWW-Authenticate": f'Bearer error="insufficient_scope", '
                    f'scope="{endpoint.scope}"'
                },
                scope=endpoint.scope,
            )
        call.holder = presented.holder

    def _settings(self, home: str) -> tuple[Limits, Server]:
        try:
            found = data_access.settings(home)
        except DataUnavailable:  # said where the data is asked for, not at the gate
            return Limits(), Server()
        return found.limits, found.server

    def _take(self, buckets: Buckets, client: str, per_minute: int) -> Taken:
        return buckets.take(client, per_minute=per_minute, at_s=self._monotonic_s())

    def _presented(self, call: Call) -> Presented:
        given = call.headers.get("authorization", [])
        if len(given) != 1:
            return Presented(None, "several" if given else "missing")
        scheme, _, secret = given[0].partition(" ")
        if scheme.lower() != "bearer":
            return Presented(None, "scheme")
        return self._check(call.home, secret.strip(" "), call.now)

    # --- in threads: the answer ------------------------------------------------------------

    def _open(self, call: Call) -> Reply:
        """Answer what everybody may ask, which says nothing about the data."""
        endpoint = _endpoint(call)
        read(call.query, endpoint.parameters)
        page_rows = self._settings(call.home)[0].api_page_rows
        if endpoint.name == "readyz":
            return self._ready(call.home)
        if endpoint.name == "docs":
            page = openapi.page(_table(page_rows)).encode()
            headers = {"Content-Security-Policy": _PAGE_POLICY}
            return Reply(HTTPStatus.OK, page, "text/html; charset=utf-8", headers)
        return Reply(HTTPStatus.OK, _document(page_rows))

    def _ready(self, home: str) -> Reply:
        try:
            data_access.version(home)
        except (DataUnavailable, OSError) as error:
            _log.warning("not ready: %s", error)
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The telemetry cannot be read. The server's log says why.",
                headers={"Retry-After": "10"},
            ) from None
        return _json({"status": "ready"})

    def _answer(self, call: Call) -> Reply:
        """Answer a question about the data."""
        found = _endpoint(call)
        limits, _ = self._settings(call.home)
        endpoint = next(one for one in _table(limits.api_page_rows) if one.name == found.name)
        query = read(call.query, endpoint.parameters, of_pages=self._of_pages)
        if endpoint.name == "metrics":
            return self._metrics(call, query)
        try:
            data = self._reader(call, query)
            if endpoint.scope == "people" and not data.settings.people_lists:
                raise Refused(
                    HTTPStatus.FORBIDDEN,
                    "The team has closed lists of people: people_lists = false in "
                    "telemetry.toml. Numbers about everybody stay open.",
                    setting="people_lists",
                )
            if endpoint.name == "export_csv":
                return _export(data, query, is_head=call.method == "HEAD")
            return self._tables(call, endpoint, query, data)
        except DataUnavailable as error:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None
        except MetricError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from None

    def _reader(self, call: Call, query: Query) -> Reader:
        return reader(call.home, query, now=call.now, kept=self._kept, is_wanted=call.is_wanted)

    def _tables(self, call: Call, endpoint: Endpoint, query: Query, data: Reader) -> Reply:
        holder = call.holder or Holder("", ())
        may_see_people = "people" in holder.scopes and data.settings.people_lists
        seen = (endpoint.path, call.path, sorted(query.values.items()), data.filters.to_query())
        tag = _etag(RELEASE, data.version, data.settings, data.is_complete, may_see_people, *seen)
        if _is_known(call.header("if-none-match"), tag):
            return Reply(HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
        if endpoint.answer is None:
            raise TypeError(f"{endpoint.path} has no answer")
        asking = Asking(
            data, query, call.root + self._prefix + call.path, call.named, may_see_people
        )
        answer = endpoint.answer(asking)
        headers = {"ETag": tag}
        if answer.next:
            headers["Link"] = f'<{answer.next}>; rel="next"'
        return _json({"data": answer.data, "meta": _meta(data, answer)}, headers)

    def _metrics(self, call: Call, query: Query) -> Reply:
        families = [*prometheus.of_process(RELEASE), *self._requests.families()]
        try:
            data = self._reader(call, query)
            families += prometheus.of_data(data)
            readable = 1
        except DataUnavailable as error:
            _log.warning("no telemetry for /metrics: %s", error)
            readable = 0
        families.append(prometheus.one("betascope_readable", "Whether telemetry is.", readable))
        is_open = "application/openmetrics-text" in call.header("accept")
        body = prometheus.exposition(families, is_open=is_open).encode()
        return Reply(HTTPStatus.OK, body, prometheus.OPEN if is_open else prometheus.PLAIN)


def refusal(status: int, words: str) -> Response:
    """Return a refusal in the API's own form, for who stands before it."""
    body = orjson.dumps(Refused(status, words).body())
    return Response(body, status, dict(_HEADERS), problem.MEDIA)


# --- small things ----------------------------------------------------------------------------


def client_address(peer: str, forwarded: str, server: Server) -> str:
    """Return whose request it is: the peer's, or what a trusted proxy says of its own peer.

    The header is read from its end, because anybody may send a beginning. Of an IPv6 address it is
    the network: whoever has one has all 2**64 addresses of it.
    """
    address = peer
    for said in reversed([one.strip() for one in forwarded.split(",")]):
        if not said or not _is_trusted(address, server.trusted_proxies):
            break
        address = said
    return _network(address)


def _network(address: str) -> str:
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if known.version == 4 or known.ipv4_mapped or known.is_loopback:  # noqa: PLR2004 - IPv4
        return address
    return str(ipaddress.ip_network((known, IPV6_NETWORK_BITS), strict=False))


def _is_trusted(address: str, proxies: Collection[str]) -> bool:
    try:
        known = ipaddress.ip_address(address)
        return any(known in ipaddress.ip_network(one, strict=False) for one in proxies)
    except ValueError:
        return False


@lru_cache(maxsize=4)
def _table(page_rows: int) -> tuple[Endpoint, ...]:
    return table(page_rows=page_rows)


@lru_cache(maxsize=4)
def _document(page_rows: int) -> bytes:
    return orjson.dumps(openapi.document(_table(page_rows), release=RELEASE))


def _endpoint(call: Call) -> Endpoint:
    if call.endpoint is None:
        raise TypeError("a request without an endpoint came this far")
    return call.endpoint


def _json(value: object, headers: dict[str, str] | None = None) -> Reply:
    return Reply(HTTPStatus.OK, orjson.dumps(value, option=_JSON), headers=headers or {})


def _check_sizes(scope: Scope) -> None:
    path, query = scope.get("raw_path") or b"", scope["query_string"]
    for name, length, most in (
        ("path", len(path), PATH_CHARS_MAX),
        ("query", len(query), QUERY_CHARS_MAX),
    ):
        if length > most:
            raise Refused(
                HTTPStatus.REQUEST_URI_TOO_LONG,
                f"The {name} is longer than {most:,} characters. Filter by fewer values.",
            )
    if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADERS_BYTES_MAX:
        raise Refused(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"The headers are longer than {HEADERS_BYTES_MAX:,} bytes. Send fewer.",
        )


_WHY: Final = {
    "missing": "This needs a token: Authorization: Bearer bts_... `python -m ingest token create "
    "--name WHO` makes one. A token in the address is not looked at.",
    "several": "There are several Authorization headers. Send one.",
    "scheme": "The Authorization header has to say Bearer and a token.",
    "malformed": "That is no token: they read bts_, an id, _ and a secret.",
    "unknown": "This token is not known here.",
    "expired": "This token has expired. `python -m ingest token create --name WHO` makes another.",
    "revoked": "This token was revoked. `python -m ingest token create --name WHO` makes another.",
}


def _unauthorized(reason: str) -> Refused:
    challenge = 'Bearer realm="betascope"'
    if reason not in ("missing", "scheme"):
        challenge += ', error="invalid_token"'
    return Refused(
        HTTPStatus.UNAUTHORIZED,
        _WHY.get(reason, _WHY["unknown"]),
        headers={"WWW-Authenticate": challenge},
    )


def _too_often(taken: Taken, words: str) -> Refused:
    return Refused(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"{words} Wait {taken.retry_after_s} s.",
        headers=taken.headers(),
    )


def _refusal(refused: Refused) -> Reply:
    body = orjson.dumps(refused.body(), option=_JSON)
    return Reply(refused.status, body, problem.MEDIA, refused.headers)


def _fault(call: Call) -> Reply:
    """Log the exception that is being handled under a name, and answer with that name."""
    name = secrets.token_hex(8)
    _log.exception("fault %s in %s %s", name, call.method, call.where)
    return _refusal(
        Refused(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            f"Something broke here. The server's log says more under {name}.",
            id=name,
        )
    )


def _etag(*parts: object) -> str:
    """Return a weak tag: the same numbers, whatever compression does to the bytes."""
    digest = blake2b("\n".join(map(repr, parts)).encode("utf-8", "replace"), digest_size=12)
    return f'W/"{digest.hexdigest()}"'


def _is_known(header: str, tag: str) -> bool:
    said = [one.strip().removeprefix("W/") for one in header.split(",")]
    return tag.removeprefix("W/") in said or "*" in said


def _meta(data: Reader, answer: Answer) -> dict[str, Any]:
    window = data.window
    return {
        "metrics": [
            {"name": name, "summary": METRICS[name].summary}
            for name in dict.fromkeys(answer.metrics)
        ],
        "query": data.filters.to_query(),
        "window": {
            "from": window.start,
            "to": window.end - timedelta(days=1),
            "opens_at": window.opens_at,
            "closes_at": window.closes_at,
            "days": window.days,
            "timezone": window.timezone,
            "week_starts_on": window.week_starts_on,
        },
        "filters": {
            DIMENSIONS[name].query_name: list(values)
            for name, values in data.filters.chosen().items()
        },
        "complete": data.is_complete,
        "sample": data.sample(answer.metrics),
        "rows": answer.rows,
        "version": data.version,
        "as_of": data.as_of,
        "notes": [*data.notes, *answer.notes],
        **answer.more,
    }


def _export(data: Reader, query: Query, *, is_head: bool) -> Reply:
    name = query.one("table") or "events"
    found = rows_of(data, name, named=data.settings.people_lists)
    window = data.window
    file = f"{name}-{window.start}-{window.end - timedelta(days=1)}.csv"
    headers = {
        "X-Rows": str(found.rows),
        "X-Total-Rows": str(found.total),
        "X-Truncated": str(found.is_cut).lower(),
        "X-Query": data.filters.to_query(),
        "Content-Disposition": f'attachment; filename="{file}"',
    }
    media, pieces = "text/csv; charset=utf-8", found.csv()
    # what fails at all mostly fails here, while the answer can still say so
    first = b"" if is_head else next(pieces, b"")
    return Reply(HTTPStatus.OK, first, media, headers, pieces)
