"""The cookies around signing in: who somebody is, where they wanted to go, and how all are set.

Who somebody is stands in Streamlit's own signed cookie; it is read here with Streamlit's own
functions, because a route or a file has no st.user.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from streamlit.auth_util import get_cookie_with_chunks, get_signing_secret
from streamlit.web.server.starlette.starlette_app_utils import (
    create_signed_value,
    decode_signed_value,
)
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RETURN_COOKIE: Final = "betascope_return"
RETURN_SECONDS: Final = 600  # so long may signing in take before one lands on the home page
RETURN_CHARS_MAX: Final = 3_000  # of a path and its query; a cookie holds 4,096 with its signature
DAY_S: Final = 86_400
_OWN: Final = re.compile(rf"^{USER_COOKIE_NAME}(_tokens)?(_\d+)?$")
_ERROR: Final = re.compile(r"[a-z_]{1,40}")  # such as access_denied, as OAuth names them
_SAFE_PATH: Final = re.compile(r"/(?!/)[!-\[\]-~]*")  # printable ASCII without a backslash


def claims(cookies: Mapping[str, str], origin: str) -> dict[str, Any]:
    """Return what the provider said about the reader; empty when the cookie is not ours and whole.

    `origin` is where people sign in: a cookie made for another address counts for nothing.
    """
    secret = get_signing_secret()

    def one(name: str) -> bytes | None:
        value = cookies.get(name)
        return decode_signed_value(secret, name, value.encode("latin-1")) if value else None

    try:
        whole = get_cookie_with_chunks(one, USER_COOKIE_NAME)
        found = json.loads(whole) if whole else {}
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or not origin or found.pop("origin", None) != origin:
        return {}
    return found


def without_ours(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return a request's headers without the cookies that say who somebody is."""
    kept = []
    for name, value in headers:
        if name.lower() == b"cookie":
            rest = [one for one in value.split(b";") if not _is_ours(one)]
            if rest:
                kept.append((name, b";".join(rest)))
        else:
            kept.append((name, value))
    return kept


def _is_ours(pair: bytes) -> bool:
    # decoded before it is stripped, as the reader of the cookies does: more counts as space then
    return _OWN.match(pair.decode("latin-1").partition("=")[0].strip()) is not None


def secured(set_cookie: str) -> str:
    """Return a cookie that goes over https only."""
    flags = {part.strip().lower() for part in set_cookie.split(";")[1:]}
    return set_cookie if "secure" in flags else f"{set_cookie}; Secure"


# --- the way back to a link, through the provider ---------------------------------------------


def local_path(url: str, origin: str) -> str:
    """Return path and query of an address of ours; "" when it is another's, odd or too long.

    What comes back from here is where somebody is sent after signing in: never another site.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if f"{parts.scheme}://{parts.netloc}" != origin:
        return ""
    for path in (f"{parts.path or '/'}?{parts.query}".rstrip("?"), parts.path or "/"):
        if len(path) <= RETURN_CHARS_MAX and _SAFE_PATH.fullmatch(path):
            return path
    return ""


def plain_callback(query: str) -> str:
    """Return the query a provider sends somebody back with, without its own words about an error.

    Streamlit writes them into the log: they may name a person, and anybody can send them.
    """
    said = parse_qs(query)
    if "error" not in said:
        return query
    code = said["error"][-1]
    return urlencode({"error": code if _ERROR.fullmatch(code) else "unknown"})


def remember(path: str, base: str) -> str:
    """Return the Set-Cookie line that remembers where somebody wanted to go."""
    value = create_signed_value(get_signing_secret(), RETURN_COOKIE, path).decode()
    return (
        f"{RETURN_COOKIE}={value}; Path={base or '/'}; Max-Age={RETURN_SECONDS}; HttpOnly; "
        "SameSite=Lax"
    )


def forget(base: str) -> str:
    """Return the Set-Cookie line that forgets it."""
    return f"{RETURN_COOKIE}=; Path={base or '/'}; Max-Age=0; HttpOnly; SameSite=Lax"


def remembered(cookies: Mapping[str, str]) -> str:
    """Return where somebody wanted to go, when we wrote that down ourselves and not long ago."""
    value = cookies.get(RETURN_COOKIE, "")
    found = decode_signed_value(
        get_signing_secret(), RETURN_COOKIE, value, max_age_days=RETURN_SECONDS / DAY_S
    )
    path = found.decode() if found else ""
    return path if _SAFE_PATH.fullmatch(path) else ""
