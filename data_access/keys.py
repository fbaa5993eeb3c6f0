"""Every key of telemetry.toml in one table: what it is for, what it may be, and what if not given.

It reads no file: config.py does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from data_access.window import known_timezone

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL_GROUP_USERS: Final = 5  # fewer could be recognised by somebody outside the team
NAMES_MAX: Final = 100_000  # of one list: testers, addresses
ROLES: Final = ("viewer", "analyst", "admin")  # each may do what those before it may


@dataclass(frozen=True, slots=True)
class Key:
    """One key of telemetry.toml: what it is for, what it may be, and what it is when not given.

    `kind` is one of KINDS; `words` are the only values of a word, `low` and `high` the bounds of a
    number. `if_wrong` is what a value that cannot be used turns into; the default when None.
    `reader` is who uses it: the app, or the client of an instrumented product.
    """

    name: str
    kind: str
    default: Any
    doc: str
    words: tuple[str, ...] = ()
    low: float = 0
    high: float = 0
    if_wrong: Any = None
    reader: str = "app"

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        return _ALLOWED[self.kind](self)


def _either(words: tuple[str, ...]) -> str:
    quoted = [f'"{word}"' for word in words]
    return " or ".join((", ".join(quoted[:-1]), quoted[-1])) if len(quoted) > 1 else quoted[0]


def _plain(number: float) -> str:
    return f"{number:,.6f}".rstrip("0").rstrip(".")


_ALLOWED: Final[dict[str, Callable[[Key], str]]] = {
    "day": lambda _key: "a day, such as 2026-10-05",
    "names": lambda _key: 'a list of texts, such as ["a", "b"]',
    "timezone": lambda _key: 'the name of a timezone, such as "Europe/Berlin"',
    "word": lambda key: _either(key.words),
    "switch": lambda _key: "true or false",
    "whole": lambda key: f"a whole number from {key.low:,.0f} to {key.high:,.0f}",
    "number": lambda key: f"a number from {_plain(key.low)} to {key.high:,.0f}",
    "text": lambda _key: "a text",
    "table": lambda key: f"a table, written [{key.name}]",
}


def _day(value: object, _key: Key) -> date:
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else date.fromisoformat(str(value))


def _names(value: object, _key: Key) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > NAMES_MAX:
        raise TypeError
    if not all(isinstance(one, str) and one.strip() for one in value):
        raise TypeError
    return tuple(value)


def _timezone(value: object, _key: Key) -> str:
    if known_timezone(str(value)) != value:
        raise ValueError
    return str(value)


def _word(value: object, key: Key) -> str:
    if value not in key.words:
        raise ValueError
    return str(value)


def _switch(value: object, _key: Key) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _number(value: object, key: Key) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    if not key.low <= value <= key.high:
        raise ValueError
    return float(value)


def _whole(value: object, key: Key) -> int:
    if not isinstance(value, int):
        raise TypeError
    return int(_number(value, key))


def _text(value: object, _key: Key) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value.strip()


def _table(value: object, _key: Key) -> object:
    if not isinstance(value, dict):
        raise TypeError
    return value


KINDS: Final[dict[str, Callable[[Any, Key], Any]]] = {
    "day": _day,
    "names": _names,
    "timezone": _timezone,
    "word": _word,
    "switch": _switch,
    "whole": _whole,
    "number": _number,
    "text": _text,
    "table": _table,
}

_HOUR_MS: Final = 3_600_000

# every key there is, in the order they are explained; a dot names the table it stands in
KEYS: Final[dict[str, Key]] = {
    key.name: key
    for key in (
        Key("home", "text", "", "The telemetry to show. Only beside the app, not in a home."),
        Key("open_beta_date", "day", None, "People first seen earlier are the closed beta."),
        Key("testers", "names", (), "The closed beta's people by user_id_hash, instead of a day."),
        Key("timezone", "timezone", "UTC", "Where your days begin and end."),
        Key(
            "week_starts_on", "word", "monday", "The first day of a week.", ("monday", "sunday")
        ),
        Key(
            "record_app_use",
            "switch",
            None,
            "The app records its own use, in a home beside this one. Not given: only for demos.",
        ),
        Key(
            "small_groups",
            "word",
            "hide",
            f"Breakdowns fold groups of fewer than {SMALL_GROUP_USERS} people into “other”.",
            ("hide", "show"),
        ),
        Key(
            "people_lists",
            "switch",
            True,  # noqa: FBT003 - the default of a switch
            "Single people may be listed: on the pages, in the API and by `export`.",
            if_wrong=False,
        ),
        Key("thresholds.apdex_ms", "number", 500.0, "Apdex: this fast satisfies.", (), 1, _HOUR_MS),
        Key(
            "thresholds.incident_failures",
            "number",
            10.0,
            "Fewer failures in an hour are nobody's incident.",
            (),
            1,
            1e9,
        ),
        Key(
            "thresholds.incident_times",
            "number",
            3.0,
            "An incident fails this many times as often as usual.",
            (),
            1,
            1_000,
        ),
        Key(
            "sign_in.required",
            "switch",
            None,
            "Everybody signs in. When not given: unless the server is open to this machine only.",
        ),
        Key("sign_in.domains", "names", (), "Everybody with an address there may come in."),
        Key("sign_in.addresses", "names", (), "These people may come in, by e-mail address."),
        Key("sign_in.groups", "names", (), "Members of these groups may come in."),
        Key(
            "sign_in.groups_claim",
            "text",
            "groups",
            "The claim in which your provider lists a person's groups.",
        ),
        Key(
            "sign_in.verified_claim",
            "text",
            "email_verified",
            "The claim that says the address is verified; it must be true.",
        ),
        Key(
            "sign_in.admins",
            "names",
            (),
            'Who may do everything: addresses, or "group:NAME".',
        ),
        Key(
            "sign_in.analysts",
            "names",
            (),
            'Who may explore and export: addresses, or "group:NAME".',
        ),
        Key("sign_in.default_role", "word", "viewer", "The role of everybody else.", ROLES),
        Key(
            "sign_in.session_hours",
            "number",
            12.0,
            "After so long one has to sign in again.",
            (),
            0.01,
            24 * 30,
        ),
        Key(
            "sign_in.session_ends",
            "word",
            "token",
            "A session ends with the provider's token, or only after session_hours.",
            ("token", "hours"),
        ),
        Key("limits.query_rows", "whole", 10_000, "Rows of one answer.", (), 1, 1_000_000),
        Key("limits.query_seconds", "number", 30.0, "Time of one query.", (), 0.1, 3_600),
        Key("limits.query_memory_mb", "whole", 2_048, "Memory of one query.", (), 256, 1_000_000),
        Key("limits.query_chars", "whole", 20_000, "Length of one query.", (), 100, 1_000_000),
        Key("limits.queries_at_once", "whole", 2, "Queries that run at a time.", (), 1, 64),
        Key("limits.export_rows", "whole", 5_000_000, "Rows of one export.", (), 1, 1_000_000_000),
        Key(
            "limits.api_requests_per_minute",
            "whole",
            120,
            "Requests of one token to the HTTP API.",
            (),
            1,
            1_000_000,
        ),
        Key("limits.api_page_rows", "whole", 1_000, "Rows of one page of it.", (), 1, 100_000),
        Key("server.public_url", "text", "", "The address people open, behind a proxy."),
        Key(
            "server.trusted_proxies",
            "names",
            (),
            "Addresses of proxies whose X-Forwarded headers are believed.",
        ),
        Key(
            "server.embed_origins",
            "names",
            (),
            'Sites that may show a cell in a frame, such as "https://wiki.example.com".',
        ),
        Key("log.rotate_mb", "number", 100.0, "Size at which a log file is followed by the next.",
            (), 0.001, 100_000, reader="client"),
        Key("log.compress_after_days", "whole", 30, "Age at which log files are compressed.",
            (), 0, 36_500, reader="client"),
        Key("log.remove_after_days", "whole", 90, "Age at which loaded log files are removed.",
            (), 0, 36_500, reader="client"),
        Key("sampling.keep_rate", "number", 1.0, "Share of people whose events are kept.",
            (), 0.000_001, 1, reader="client"),
        Key("sampling.slow_ms", "number", 1_000.0, "What took longer is always kept.",
            (), 0, 1e15, reader="client"),
        Key("sampling.critical", "names", None, "Names that are always kept, instead of the usual.",
            reader="client"),
        Key("metadata", "table", None, "Your own metadata keys: see CLIENT.md.", reader="client"),
    )
}  # fmt: skip
