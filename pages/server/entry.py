"""Who may come in, and as what: decided from what the provider said and what the team listed.

Pure: no Streamlit, no clock, no file. The same decision stands at the door of every page, at every
message of an open session and at every file, so that none of them can be more generous.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

import idna

if TYPE_CHECKING:
    from collections.abc import Mapping

    from data_access.config import SignIn

Role = Literal["viewer", "analyst", "admin"]
Why = Literal["", "anonymous", "expired", "address", "unverified", "unlisted", "settings"]
ADDRESS_CHARS_MAX: Final = 320  # RFC 3696: 64 before the @, 255 behind it
GROUPS_MAX: Final = 10_000
LISTS_MAX: Final = 16  # lists of addresses kept in the spelling they are compared in
CLOCK_SKEW_S: Final = 300  # a provider's clock may be this far ahead of ours
HOUR_S: Final = 3_600
GROUP: Final = "group:"  # in `admins` and `analysts`: a group instead of an address
_QUOTED: Final = re.compile(r'\A"[^"]*"\Z')  # RFC 5321: only so a name may hold an @
GOOGLE: Final = ("https://accounts.google.com", "accounts.google.com")


@dataclass(frozen=True, slots=True)
class Entry:
    """What the door says to one reader: their address and role, or why they stay outside."""

    address: str = ""
    role: Role = "viewer"
    why: Why = "anonymous"
    ends: float = 0.0

    @property
    def is_in(self) -> bool:
        """Whether the reader may see anything."""
        return not self.why


def decide(claims: Mapping[str, Any], sign_in: SignIn, now: float) -> Entry:
    """Return whether the person these claims are about may come in, and as what.

    Whatever is missing, malformed or not listed stays outside; so does everybody while the
    settings cannot be read.
    """
    if claims.get("is_logged_in") is not True:
        return Entry()
    address, groups = plain_address(claims.get("email")), groups_of(claims, sign_in)
    ends = session_end(claims, sign_in)
    checks: tuple[tuple[Why, bool], ...] = (
        ("expired", starts_before(claims, now) and now < ends),
        ("address", bool(address)),
        ("settings", not sign_in.broken),
        ("unverified", claims.get(sign_in.verified_claim) is True),
        ("unlisted", _is_listed(address, groups, claims, sign_in)),
    )
    why: Why = next((reason for reason, passed in checks if not passed), "")
    return Entry(address, "viewer" if why else _role(address, groups, sign_in), why, ends)


def session_end(claims: Mapping[str, Any], sign_in: SignIn) -> float:
    """Return when this sign-in is over: so many hours after it, or with the provider's token."""
    began = _moment(claims.get("iat"))
    ends = began + sign_in.session_hours * HOUR_S
    if sign_in.session_ends == "token":
        ends = min(ends, _moment(claims.get("exp")))
    return ends if math.isfinite(ends) else 0.0


def starts_before(claims: Mapping[str, Any], now: float) -> bool:
    """Tell whether the token was issued by now, give or take two clocks."""
    return _moment(claims.get("iat")) <= now + CLOCK_SKEW_S


def _moment(value: object) -> float:
    """Return a claim's moment; what is none is long over."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    try:
        return float(value) if math.isfinite(value) else 0.0
    except OverflowError:  # a whole number larger than any float
        return 0.0


# --- addresses, domains, groups ---------------------------------------------------------------


def plain_address(value: object) -> str:
    """Return an address in the one spelling it is compared in, or "" when it is none."""
    if not isinstance(value, str) or not 0 < len(value) <= ADDRESS_CHARS_MAX:
        return ""
    local, at, domain = value.rpartition("@")
    is_plain = all(one.isprintable() and not one.isspace() for one in value)
    if not (local and at and is_plain) or "@" in _QUOTED.sub("", local):
        return ""
    domain = plain_domain(domain)
    return f"{_lower(local)}@{domain}" if domain else ""


def plain_domain(value: str) -> str:
    """Return a domain as it is looked up (xn--...), in small letters, or "" when it is none.

    Letters beyond ASCII are never folded into others: `straße.de` and `strasse.de` have different
    owners, and so have `K` the Kelvin sign and `k`.
    """
    try:
        name = idna.encode(_lower(value), strict=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return ""
    return "" if name.endswith(".") else name


def _lower(value: str) -> str:
    return "".join(one.lower() if one.isascii() else one for one in value)


def groups_of(claims: Mapping[str, Any], sign_in: SignIn) -> frozenset[str]:
    """Return the groups the team's claim names: a list of names, or one name."""
    value = claims.get(sign_in.groups_claim)
    if isinstance(value, str):
        return frozenset({value} if value else ())
    if isinstance(value, list | tuple) and len(value) <= GROUPS_MAX:
        return frozenset(one for one in value if isinstance(one, str) and one)
    return frozenset()


def _is_listed(
    address: str, groups: frozenset[str], claims: Mapping[str, Any], sign_in: SignIn
) -> bool:
    if not address:
        return False
    if address in _addresses(sign_in.addresses):
        return True
    if not groups.isdisjoint(sign_in.groups):
        return True
    domain = address.rpartition("@")[2]
    if domain not in {plain_domain(one) for one in sign_in.domains}:
        return False
    return claims.get("iss") not in GOOGLE or _lower(str(claims.get("hd", ""))) == domain


@lru_cache(maxsize=LISTS_MAX)
def _addresses(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(plain_address(one) for one in names) - {""}


def _role(address: str, groups: frozenset[str], sign_in: SignIn) -> Role:
    if _is_named(address, groups, sign_in.admins):
        return "admin"
    if _is_named(address, groups, sign_in.analysts):
        return "analyst"
    role: Role = sign_in.default_role  # type: ignore[assignment] # the settings allow these words only
    return role


def _is_named(address: str, groups: frozenset[str], names: tuple[str, ...]) -> bool:
    for name in names:
        if name.startswith(GROUP) and name.removeprefix(GROUP) in groups:
            return True
    return address in _addresses(names)
