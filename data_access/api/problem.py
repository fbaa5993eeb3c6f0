"""Refusals over HTTP: what happened, where, and what to do, as problem+json (RFC 9457)."""

from __future__ import annotations

import difflib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MEDIA: Final = "application/problem+json"
SHOWN_CHARS_MAX: Final = 80  # of what was sent, in an answer
ALLOWED_MAX: Final = 20  # values named in an answer
NEAR_MAX: Final = 3


class Refused(Exception):  # noqa: N818 - names the situation
    """A request that gets no data. It becomes the answer; `more` are further fields of it."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,  # noqa: ANN401 - whatever JSON can say
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    def body(self) -> dict[str, Any]:
        """Return the problem as JSON values."""
        head = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        return head | self.more


def shown(text: str) -> str:
    """Return what was sent, quoted and cut short."""
    cut = text if len(text) <= SHOWN_CHARS_MAX else f"{text[:SHOWN_CHARS_MAX]}…"
    return repr(cut)


def near(wrong: str, right: Iterable[str]) -> list[str]:
    """Return which of the right words a wrong one may have meant."""
    return difflib.get_close_matches(wrong[:SHOWN_CHARS_MAX], list(right), n=NEAR_MAX)


def bad_value(name: str, value: str, must_be: str, **more: list[str]) -> Refused:
    """Refuse a value of a parameter, saying which would do."""
    detail = f"{name}={shown(value)} cannot be used: it must be {must_be}."
    refused = Refused(HTTPStatus.BAD_REQUEST, detail, parameter=name)
    refused.more |= more
    return refused


# fields beside the four of every problem -> what they say
FIELDS: Final[dict[str, dict[str, Any]]] = {
    "parameter": {"type": "string", "description": "The parameter that is wrong."},
    "allowed": {
        "type": "array",
        "items": {"type": "string"},
        "description": "What would do instead.",
    },
    "suggestions": {
        "type": "array",
        "items": {"type": "string"},
        "description": "What may have been meant.",
    },
    "scope": {"type": "string", "description": "The scope that the token lacks."},
    "setting": {"type": "string", "description": "The setting that closes this."},
    "id": {"type": "string", "description": "Under this name the server's log says what broke."},
}
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened, and what to do next."},
        **FIELDS,
    },
}
