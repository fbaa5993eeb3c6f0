"""The query string of a request: every name and value is understood, or refused by name.

A page forgives what it cannot use and says so beside the numbers; a script would not read that, so
here a slip of the pen is an answer of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import parse_qsl
from zoneinfo import available_timezones

from data_access.api.problem import ALLOWED_MAX, Refused, bad_value, near, shown
from data_access.api.schemas import DAY
from data_access.filters import DIMENSIONS, SPANS, VALUE_CHARS_MAX, VALUES_MAX, is_property
from data_access.window import known_timezone

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

FIELDS_MAX: Final = 1_000  # names and values of one query
LIMIT_DEFAULT: Final = 100
_TRUTH: Final = ("true", "false")
_WHOLE: Final = re.compile(r"[0-9]{1,9}")
_SEGMENT: Final = "not "

# returns None when a value can be used, else what it must be
Check: TypeAlias = "Callable[[str], str | None]"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its JSON schema, what it means, and whether it may be given several times."""

    name: str
    says: str
    schema: Mapping[str, Any]
    check: Check
    many: bool = False


def one_of(name: str, values: tuple[str, ...], says: str, *, many: bool = False) -> Parameter:
    """Make a parameter out of a closed set."""
    words = f"one of {', '.join(values)}"
    schema = {"type": "string", "enum": list(values)}
    return Parameter(name, says, schema, lambda one: None if one in values else words, many)


def text(name: str, says: str, *, many: bool = False, **schema: object) -> Parameter:
    """Make a parameter that takes any text of a bearable length."""
    limits = {"type": "string", "minLength": 1, "maxLength": VALUE_CHARS_MAX}
    return Parameter(name, says, limits | schema, lambda _: None, many)


def flag(name: str, says: str, *, default: bool) -> Parameter:
    """Make a switch."""
    schema = {"type": "boolean", "default": default}
    return Parameter(name, says, schema, lambda one: None if one in _TRUTH else "true or false")


def whole(name: str, says: str, *, least: int, most: int, default: int) -> Parameter:
    """Make a whole number with limits."""
    words = f"a whole number from {least:,} to {most:,}"

    def check(one: str) -> str | None:
        return None if _WHOLE.fullmatch(one) and least <= int(one) <= most else words

    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    return Parameter(name, says, schema, check)


def _is_day(one: str) -> str | None:
    words = "a day such as 2026-03-01"
    try:
        return None if date.fromisoformat(one).isoformat() == one else words
    except ValueError:
        return words


def _is_instant(one: str) -> str | None:
    words = "an instant such as 2026-03-01T12:00:00Z"
    try:
        moment = datetime.fromisoformat(one)
        (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return words
    return None


def _is_timezone(one: str) -> str | None:
    if known_timezone(one) == one:
        return None
    meant = near(one, available_timezones())
    return "an IANA name such as Europe/Berlin" + (f"; perhaps {', '.join(meant)}" if meant else "")


def _is_pair(one: str) -> str | None:
    return None if is_property(one) else "key:value, such as ide:vscode"


_SAYS: Final = {
    "tiers": "Keep these tiers.",
    "channels": "Keep these channels.",
    "projects": "Keep these projects.",
    "releases": "Keep these releases.",
    "stages": "Keep people of these stages.",
    "events": "Keep these events; errors and traces are not events.",
    "properties": "Keep rows whose metadata says this, as `key:value`. Values of one key add up, "
    "each further key narrows.",
    "segments": "Keep people in these saved segments; `not NAME` leaves its people out.",
}


def _dimension(field: str) -> Parameter:
    dimension = DIMENSIONS[field]
    name, says = dimension.query_name, _SAYS[field]
    if field == "properties":
        pattern = r"^[^'\"\\:]{1,100}:.+$"
        made = text(name, says, many=True, pattern=pattern)
        return Parameter(name, says, made.schema, _is_pair, many=True)
    if dimension.closed:
        return one_of(name, dimension.closed, says, many=True)
    return text(name, says, many=True)


# the page's own query string: what every data endpoint takes
PAGE: Final[tuple[Parameter, ...]] = (
    one_of("span", SPANS, "A relative span of days; `custom` goes with `from` and `to`."),
    Parameter("from", "The first day, included; with `to`.", DAY, _is_day),
    Parameter("to", "The last day, included; with `from`.", DAY, _is_day),
    Parameter(
        "until",
        "The instant that `span=24h`, or the last hours of a custom span, end with.",
        {"type": "string", "format": "date-time"},
        _is_instant,
    ),
    Parameter(
        "timezone",
        "Where days begin; the home's own timezone when left out.",
        {"type": "string", "example": "Europe/Berlin", "maxLength": VALUE_CHARS_MAX},
        _is_timezone,
    ),
    one_of("week_starts_on", ("monday", "sunday"), "The first day of a week."),
    flag("complete", "Leave out today, which is not over, from relative spans.", default=True),
    flag("live", "Show today as well, whatever `complete` says.", default=False),
    flag("compare", "Put the period before beside the KPIs.", default=False),
    *(_dimension(field) for field in DIMENSIONS),
)


@dataclass(frozen=True, slots=True)
class Query:
    """What was asked: the values by name, and which names were a page's own and mean nothing."""

    values: dict[str, list[str]]
    ignored: tuple[str, ...] = ()
    defaults: Mapping[str, int] = field(default_factory=dict)

    def one(self, name: str) -> str | None:
        """Return the value of a parameter that is given once, or None."""
        values = self.values.get(name)
        return values[-1] if values else None

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a switch."""
        said = self.one(name)
        return default if said is None else said == "true"

    def number(self, name: str) -> int:
        """Return a whole number, or the parameter's default."""
        said = self.one(name)
        return self.defaults[name] if said is None else int(said)


def read(raw: str, parameters: Collection[Parameter], *, of_pages: Collection[str] = ()) -> Query:
    """Return a query string understood.

    Parameters
    ----------
    of_pages : names, or beginnings that end with a dot, by which a single page keeps choices of
        its own in the link. They are accepted and mean nothing here.

    Raises
    ------
    Refused : a name that is unknown or twice, a value that cannot be used, or a half range.
    """
    known = {parameter.name: parameter for parameter in parameters}
    values: dict[str, list[str]] = {}
    ignored: list[str] = []
    for name, value in _pairs(raw):
        if name not in known:
            if not _is_of_a_page(name, of_pages):
                raise _unknown(name, list(known))
            ignored.append(name)
            continue
        _checked(known[name], value)
        values.setdefault(name, []).append(value)
    for name, given in values.items():
        if len(given) > (VALUES_MAX if known[name].many else 1):
            often = f"at most {VALUES_MAX} times" if known[name].many else "once"
            raise Refused(
                HTTPStatus.BAD_REQUEST,
                f"{name} is given {len(given)} times. Give it {often}.",
                parameter=name,
            )
    _check_range(values)
    defaults = {
        one.name: one.schema["default"] for one in parameters if one.schema.get("type") == "integer"
    }
    return Query(values, tuple(dict.fromkeys(ignored)), defaults)


def _pairs(raw: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(raw, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise Refused(
            HTTPStatus.BAD_REQUEST,
            f"The query has more than {FIELDS_MAX:,} parts. Filter by fewer values.",
        ) from None


def _is_of_a_page(name: str, of_pages: Collection[str]) -> bool:
    beginnings = tuple(one for one in of_pages if one.endswith("."))
    return name in of_pages or (bool(beginnings) and name.startswith(beginnings))


def _unknown(name: str, known: list[str]) -> Refused:
    meant = near(name, known)
    perhaps = f" Did you mean {' or '.join(meant)}?" if meant else ""
    others = f"Known are {', '.join(known)}." if known else "This address takes none."
    return Refused(
        HTTPStatus.BAD_REQUEST,
        f"There is no parameter {shown(name)}.{perhaps} {others}",
        parameter=name[:VALUE_CHARS_MAX],
        suggestions=meant,
        allowed=known,
    )


def _checked(parameter: Parameter, value: str) -> None:
    if len(value) > VALUE_CHARS_MAX or not value:
        raise bad_value(parameter.name, value, f"1 to {VALUE_CHARS_MAX} characters long")
    must_be = parameter.check(value)
    if must_be is not None:
        allowed = list(parameter.schema.get("enum", ()))[:ALLOWED_MAX]
        more = {"allowed": allowed, "suggestions": near(value, allowed)} if allowed else {}
        raise bad_value(parameter.name, value, must_be, **more)


def _check_range(values: Mapping[str, list[str]]) -> None:
    given = {"from", "to"} & values.keys()
    span = values.get("span", ["custom" if given else ""])[-1]
    if len(given) == 1 or (span == "custom" and not given):
        raise Refused(
            HTTPStatus.BAD_REQUEST,
            "A custom span needs both from and to: from=2026-03-01&to=2026-03-31.",
            parameter=next(iter({"from", "to"} - given)),
        )
    for name, wanted in (
        ("from", ("custom",)),
        ("to", ("custom",)),
        ("until", ("24h", "custom")),
    ):
        if name in values and span not in wanted:
            raise Refused(
                HTTPStatus.BAD_REQUEST,
                f"{name} goes with span={' or '.join(wanted)} only. Leave it out, or change span.",
                parameter=name,
            )
