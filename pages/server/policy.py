"""Whether people sign in here, and what is still missing for that: telemetry.toml and secrets.toml.

Both files are read again when they change, so that who is taken off the list is out at once.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from streamlit import auth_util, config

import data_access
from data_access import DataUnavailable
from data_access.config import Server, SignIn, settings_files
from data_access.home import open_home
from pages.server import network
from pages.server.entry import GROUP, plain_address, plain_domain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET_CHARS_MIN: Final = 32  # of cookie_secret: who guesses it can be anybody
POLICIES_MAX: Final = 4  # homes whose settings are kept parsed
CALLBACK: Final = "/oauth2callback"
DEFAULT_PROVIDER: Final = "default"  # Streamlit's name for one written straight into [auth]
_PROVIDER_KEYS: Final = ("client_id", "client_secret", "server_metadata_url")
_MODULES: Final = ("authlib", "httpx")


@dataclass(frozen=True, slots=True)
class Policy:
    """What the two files say about signing in."""

    sign_in: SignIn
    server: Server
    file: str = ""
    is_configured: bool = False  # secrets.toml has an [auth] section
    redirect_uri: str = ""
    providers: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def is_on(self) -> bool:
        """Whether people sign in: they must, or somebody began to set it up.

        `required = false` turns it off for a server that answers this machine alone; anywhere
        else it cannot be turned off. What is half set up is on, and lets nobody in.
        """
        said = self.sign_in
        if said.required is not None:
            return said.required
        lists = said.domains or said.addresses or said.groups
        return bool(lists or self.is_configured or self._is_unclear)

    @property
    def _is_unclear(self) -> bool:
        return any("sign_in" in one for one in self.sign_in.broken)

    @property
    def origin(self) -> str:
        """The one address under which people sign in, as a browser writes it."""
        return network.origin_of(self.redirect_uri)

    def hosts(self) -> frozenset[str]:
        """Return the host names this server answers to while people sign in."""
        names = {network.host_of(urlsplit(url).netloc) for url in self._urls() if url}
        names |= {str(one).lower() for one in config.get_option("server.allowedHosts")}
        return frozenset(names - {""})

    def _urls(self) -> tuple[str, ...]:
        return (self.redirect_uri, self.server.public_url)


def current(where: str) -> Policy:
    """Return what is in force for the home at `where`, as of now."""
    return _read(where, _versions(where), auth_of(auth_util.get_secrets_auth_section()))


def auth_of(section: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """Return the [auth] section as plain pairs, with dots for the tables in it."""
    return tuple(sorted(_flat(section or {}, "")))


def _flat(section: Mapping[str, Any], above: str) -> Iterator[tuple[str, str]]:
    for name, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", str(value)


def _versions(where: str) -> tuple[tuple[int, int, int], ...]:
    """Return what changes when one of the settings files does."""
    try:
        files = settings_files(open_home(where))
    except DataUnavailable:
        return ()
    return tuple(_version(path) for path in files)


def _version(path: Path) -> tuple[int, int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - a path that may be missing, asked for at every message
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(maxsize=POLICIES_MAX)
def _read(
    where: str, _versions: tuple[tuple[int, int, int], ...], auth: tuple[tuple[str, str], ...]
) -> Policy:
    try:
        found = data_access.settings(where)
        sign_in, server = found.sign_in, found.server
        file = str(settings_files(open_home(where))[0])
    except DataUnavailable as error:
        sign_in, server, file = SignIn(broken=(str(error),)), Server(), ""
    return policy_of(sign_in, server, dict(auth), file)


def policy_of(sign_in: SignIn, server: Server, auth: Mapping[str, str], file: str = "") -> Policy:
    """Return the policy of settings and a flat [auth] section."""
    policy = Policy(
        sign_in,
        server,
        file,
        is_configured=bool(auth),
        redirect_uri=_redirect_uri(auth),
        providers=tuple(_providers(auth)),
    )
    return replace(policy, missing=tuple(_missing(policy, auth)))


def _redirect_uri(auth: Mapping[str, str]) -> str:
    return auth.get("redirect_uri", "").replace("{port}", str(config.get_option("server.port")))


def _providers(auth: Mapping[str, str]) -> Iterator[str]:
    """Yield the providers that are told completely; Streamlit takes none with "_" in its name."""
    if all(auth.get(key) for key in _PROVIDER_KEYS):
        yield DEFAULT_PROVIDER
    named = dict.fromkeys(name.partition(".")[0] for name in auth if "." in name)
    for name in named:
        if "_" not in name and all(auth.get(f"{name}.{key}") for key in _PROVIDER_KEYS):
            yield name


# --- what is missing --------------------------------------------------------------------------


def _missing(policy: Policy, auth: Mapping[str, str]) -> Iterator[str]:
    """Yield what has to be added or mended before anybody can sign in."""
    absent = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if absent:
        yield f"Python packages: {', '.join(absent)}. Run `pip install -r requirements.txt`."
    yield from _missing_secrets(policy, auth)
    yield from _missing_lists(policy.sign_in, policy.file or "telemetry.toml")
    yield from _wrong_network(policy)


def _missing_secrets(policy: Policy, auth: Mapping[str, str]) -> Iterator[str]:
    secrets = ".streamlit/secrets.toml"
    if not auth:
        yield f"{secrets} has no section [auth], or cannot be read."
        return
    if len(auth.get("cookie_secret", "")) < SECRET_CHARS_MIN:
        yield (
            f"{secrets}: [auth] cookie_secret must have at least {SECRET_CHARS_MIN} random "
            'characters. Make one with `python -c "import secrets; '
            'print(secrets.token_urlsafe(48))"`.'
        )
    if not policy.origin or urlsplit(policy.redirect_uri).path[-len(CALLBACK) :] != CALLBACK:
        yield (
            f"{secrets}: [auth] redirect_uri must be the address people open, followed by "
            f'{CALLBACK}, such as "https://betascope.example.com{CALLBACK}".'
        )
    if not policy.providers:
        yield (
            f"{secrets}: [auth] must name a provider by {', '.join(_PROVIDER_KEYS)}; a table of "
            "it, such as [auth.google], must have no underscore in its name."
        )


def _missing_lists(sign_in: SignIn, file: str) -> Iterator[str]:
    yield from sign_in.broken
    lists = (sign_in.domains, sign_in.addresses, sign_in.groups)
    if not any(lists) and not sign_in.broken:
        yield (
            f"{file}: [sign_in] must say who may come in: at least one of domains, addresses and "
            "groups."
        )
    for one in sign_in.domains:
        if not plain_domain(one):
            yield f'{file}: sign_in.domains has {one!r}, which is no domain such as "example.com".'
    roles = [one for one in (*sign_in.admins, *sign_in.analysts) if not one.startswith(GROUP)]
    for one in (*sign_in.addresses, *roles):
        if not plain_address(one):
            yield f"{file}: [sign_in] has {one!r}, which is no e-mail address."


def _wrong_network(policy: Policy) -> Iterator[str]:
    if config.get_option("server.trustedUserHeaders"):
        yield (
            "Streamlit's server.trustedUserHeaders lets a header say who somebody is. Take it out "
            "of the configuration."
        )
    for one in policy.server.trusted_proxies:
        if not network.networks([one]):
            yield (
                f"server.trusted_proxies has {one!r}, which is no IP address or range such as "
                '"127.0.0.1" or "10.0.0.0/8".'
            )
