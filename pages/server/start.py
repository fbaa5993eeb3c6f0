"""May the server start? Not where others can reach it while nobody has to sign in.

Asked when app.py is imported, before any server answers, and again when one starts.
"""

from __future__ import annotations

import gc
import os
import socket
from typing import TYPE_CHECKING, Final

from uvicorn import Config
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from pages.server import network, policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OPEN_FILES_MAX: Final = 4_096  # this process's, looked through for sockets that listen
_OPEN_FILES: Final = "/dev/fd"
_EXAMPLE: Final = """
    # .streamlit/secrets.toml
    [auth]
    redirect_uri = "https://betascope.example.com/oauth2callback"
    cookie_secret = "at least 32 random characters"
    client_id = "from your provider"
    client_secret = "from your provider"
    server_metadata_url = "https://accounts.google.com/.well-known/openid-configuration"

    # telemetry.toml, in the home or beside app.py
    [sign_in]
    domains = ["example.com"]
    admins = ["you@example.com"]
"""


def refuse_unsafe(where: str) -> None:
    """End the process, saying why and what to do, when it would let strangers in.

    Also makes uvicorn leave X-Forwarded headers alone: it believes every program of this machine.
    """
    servers = _servers()
    for one in servers:
        _leave_headers_alone(one)
    said = refusal(policy.current(where), [*_listening(), *(_host(one) for one in servers)])
    if said:
        raise SystemExit(f"\n{said}\n")


def refusal(found: policy.Policy, addresses: Iterable[str]) -> str:
    """Say why a server on these addresses may not start; "" when it may."""
    reachable = [one for one in addresses if not network.answers_here_only(one)]
    on = ", ".join(dict.fromkeys(one or "every address" for one in reachable))
    open_to_all = f"it would listen on {on}, where other machines reach it, and "
    if reachable and not found.is_on:
        why = f"{open_to_all}nobody signs in"
    elif found.is_on and found.missing:
        why = f"{open_to_all if reachable else ''}signing in is not set up completely"
    else:
        return ""
    lines = [f"Betascope did not start: {why}.", ""]
    if reachable:
        lines += [
            "Open it to this machine only:",
            "    streamlit run app.py --server.address=127.0.0.1",
            "or turn sign-in on. For that:",
        ]
    else:
        lines += ["Mend it, or write `required = false` under [sign_in] to have none here:"]
    lines += [f"  - {one}" for one in found.missing]
    if found.sign_in.required is False:
        lines += ["  - telemetry.toml: [sign_in] says required = false. Take that out."]
    return "\n".join([*lines, _EXAMPLE, "docs/SIGN_IN.md has it step by step."])


def _servers() -> list[Config]:
    """Return the uvicorn servers of this process, however they were started."""
    return [one for one in gc.get_objects() if issubclass(type(one), Config)]


def _leave_headers_alone(server: Config) -> None:
    server.proxy_headers = False
    loaded = getattr(server, "loaded_app", None)
    while isinstance(loaded, ProxyHeadersMiddleware):
        server.loaded_app = loaded = loaded.app


def _host(server: Config) -> str:
    """Return the address a uvicorn server is to listen on; a socket file is of this machine."""
    return "127.0.0.1" if server.uds or server.fd is not None else server.host


def _listening() -> Iterator[str]:
    """Yield the addresses on which this process listens already, as the system knows them."""
    try:
        names = os.listdir(_OPEN_FILES)[:OPEN_FILES_MAX]  # noqa: PTH208 - numbers, not paths
    except OSError:
        return
    for name in names:
        address = _listens(int(name)) if name.isdigit() else None
        if address is not None:
            yield address


def _listens(number: int) -> str | None:
    """Return the address of an open file that is a listening internet socket."""
    try:
        with socket.socket(fileno=os.dup(number)) as one:
            if one.family not in (socket.AF_INET, socket.AF_INET6):
                return None
            if not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return None
            return str(one.getsockname()[0])
    except OSError:
        return None
