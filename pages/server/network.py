"""Where a request comes from: whose word about it counts, and whether it is of this machine.

Only what the operating system says is taken as true. X-Forwarded headers are believed from the
proxies that telemetry.toml names, and taken off every other request.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from streamlit import config

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping

    from starlette.types import Scope

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
FORWARDED: Final = (
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
    b"x-real-ip",
    b"forwarded",
)
_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_PORTS: Final = {"http": 80, "https": 443}
_SAID_CHARS_MAX: Final = 80


@dataclass(frozen=True, slots=True)
class Way:
    """How a request came: its scheme as the reader sees it, the Host asked for, and from where."""

    scheme: str
    host: str
    origin: str | None
    is_forwarded: bool


def arrived(scope: MutableMapping[str, Any], proxies: tuple[str, ...]) -> Way:
    """Say how a request came, and take what is not to be believed off it.

    The scope is changed: forwarded headers of strangers leave it, a trusted proxy's scheme and
    client enter it.
    """
    headers = header_values(scope)
    said = {name: values for name, values in headers.items() if name in FORWARDED}
    trusted = is_trusted(scope, proxies)
    if not trusted:
        scope["headers"] = [pair for pair in scope["headers"] if pair[0].lower() not in FORWARDED]
    scheme = _SCHEMES.get(str(scope.get("scheme", "http")), "http")
    if trusted:
        scheme = _last(said.get(b"x-forwarded-proto"), _SCHEMES, scheme)
        scope["scheme"] = scheme if scope["type"] == "http" else scheme.replace("http", "ws")
        reader = _reader(said.get(b"x-forwarded-for", []), proxies)
        scope["client"] = (reader, 0) if reader else scope["client"]
    host, origin = headers.get(b"host", [""]), headers.get(b"origin", [])
    return Way(
        scheme,
        host[0] if len(host) == 1 else "",
        ", ".join(origin) if origin else None,
        is_forwarded=not trusted and _names_another_machine(said),
    )


def header_values(scope: Mapping[str, Any]) -> dict[bytes, list[str]]:
    """Return the values of each header of a request, by name in small letters."""
    found: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.lower(), []).append(value.decode("latin-1").strip())
    return found


def is_trusted(scope: Mapping[str, Any], proxies: tuple[str, ...]) -> bool:
    """Tell whether the other end of the connection is a proxy that the settings name."""
    client = scope.get("client")
    peer = address_of(client[0]) if client else None
    return peer is not None and any(peer in network for network in networks(proxies))


def _reader(values: list[str], proxies: tuple[str, ...]) -> str:
    """Return for whom the nearest proxy asks: the last address that is not a proxy's own."""
    known = networks(proxies)
    for one in reversed([part.strip() for value in values for part in value.split(",")]):
        found = address_of(one)
        if found is None:
            return ""
        if not any(found in network for network in known):
            return str(found)
    return ""


def networks(proxies: Iterable[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Return the networks of addresses and ranges; what is neither is left out."""
    found = []
    for one in proxies:
        try:
            found.append(ipaddress.ip_network(one, strict=False))
        except ValueError:
            continue
    return found


def _last(values: list[str] | None, known: Mapping[str, str], otherwise: str) -> str:
    """Return the last word of a header: the one the nearest proxy added."""
    last = (values or [""])[-1].rpartition(",")[2].strip().lower()
    return known.get(last, otherwise)


def _names_another_machine(said: Mapping[bytes, list[str]]) -> bool:
    """Tell whether forwarded headers say that somebody on another machine is behind this."""
    if b"forwarded" in said:
        return True
    people = said.get(b"x-forwarded-for", []) + said.get(b"x-real-ip", [])
    hosts = said.get(b"x-forwarded-host", [])
    return not all(
        is_loopback(one.strip()) for value in people for one in value.split(",")
    ) or not all(is_local_name(host_of(one.strip())) for value in hosts for one in value.split(","))


# --- this machine -----------------------------------------------------------------------------


def address_of(text: str) -> Address | None:
    """Return an IP address; an IPv4 one written as IPv6 is the IPv4 one it is."""
    try:
        found = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found


def is_loopback(text: str) -> bool:
    """Tell whether an IP address is this machine's own."""
    found = address_of(text)
    return found is not None and found.is_loopback


def is_local_name(name: str) -> bool:
    """Tell whether a host name can only mean this machine: localhost, or a loopback address."""
    return name == "localhost" or is_loopback(name)


def answers_here_only(host: str) -> bool:
    """Tell whether a server told to listen on `host` can be reached from this machine only."""
    if address_of(host) is not None:
        return is_loopback(host)
    try:
        found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM) if host else []
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(is_loopback(str(one[4][0])) for one in found)


def host_of(netloc: str) -> str:
    """Return the name in a Host header without its port, in small letters; "" when it is odd."""
    try:
        parts = urlsplit(f"//{netloc}")
        name, _port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return ""
    return name.removesuffix(".")


def origin_of(url: str) -> str:
    """Return scheme and host of a URL the way a browser writes an origin; "" when it has none."""
    try:
        parts = urlsplit(url)
        name, port = parts.hostname, parts.port
    except ValueError:
        return ""
    if parts.scheme not in _PORTS or not name or parts.username is not None:
        return ""
    host = f"[{name}]" if ":" in name else name
    told = "" if port is None or port == _PORTS[parts.scheme] else f":{port}"
    return f"{parts.scheme}://{host}{told}"


def strange_to_this_machine(scope: Mapping[str, Any], way: Way) -> str:
    """Say why a request may not be of this machine's own reader; "" when it is.

    Without a sign-in three things keep others out: the server listens on this machine alone; a
    page of the web whose name was pointed here sends that name as Host; and a proxy says for whom
    it asks.
    """
    server, client = scope.get("server"), scope.get("client")
    if server and server[1] is not None and not is_local_name(str(server[0])):
        return f"it came in through {_said(server[0])}, which other machines can reach"
    if client and not is_local_name(str(client[0])):
        return "it comes from another machine"
    if way.is_forwarded:
        return "a proxy brought it from another machine"
    if not is_local_name(host_of(way.host)):
        return f"it asks for the host {_said(way.host) or 'of no name'}, which is not this machine"
    if way.origin is not None and way.origin != f"{way.scheme}://{way.host}":
        return f"it was sent by a page of {_said(way.origin)}"
    return ""


def _said(text: object) -> str:
    return "".join(one for one in str(text) if one.isprintable())[:_SAID_CHARS_MAX]


def routed(scope: Scope) -> str:
    """Return the path by which the routes behind are chosen: without a server's own root path.

    As Starlette's router has it: anything else would let a request pass as what it is not.
    """
    root, path = str(scope.get("root_path", "")), str(scope["path"])
    below = path.removeprefix(root)
    return below if path.startswith(root) and below.startswith("/") else path


def base() -> str:
    """Return the path under which the app is served, "" for the root."""
    said = str(config.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{said}" if said else ""
