"""What a link shows, in a line: for the browser's tab and history, and for previews in a chat.

It knows a link and nothing of the data, so a preview tells a stranger no more than the link does.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl

from data_access.filters import SPAN_DEFAULT, Filters
from pages.components import menu, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

APP: Final = "Betascope"
TITLE_CHARS_MAX: Final = 110  # tabs and chats cut sooner
WORDS_CHARS_MAX: Final = 280
VALUE_CHARS_MAX: Final = 40
VALUES_MAX: Final = 3
CELL_CHARS_MAX: Final = 60
_CELL: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\Z")
_RELATIVE: Final = {
    "24h": "last 24 hours",
    "7d": "last 7 days",
    "28d": "last 28 days",
    "90d": "last 90 days",
    "week": "this week",
    "month": "this month",
}
# what each page asks, as its own headline says it
QUESTIONS: Final = {
    "overview": "How is the beta doing?",
    "closed-beta": "Do the invited testers come to depend on it?",
    "open-beta": "Does the open beta grow, and do people stay?",
    "tiers": "Do paying people use it differently?",
    "retention": "Do they come back?",
    "funnels": "How far do people get?",
    "journeys": "Which way do people go?",
    "users": "Who are they?",
    "features": "What do they use?",
    "models": "What do the models cost, and which are used?",
    "extension": "Who installs the extension, and do they go on using it?",
    "experiments": "Did the change help?",
    "errors": "What breaks, and for whom?",
    "latency": "How fast is it, and did that change?",
    "pipeline": "Is telemetry arriving, and what was lost?",
    "explore": "What else do you want to know?",
}


class Preview(NamedTuple):
    """A link in words, as plain text: whoever writes it into a page escapes it."""

    title: str
    description: str


def page(address: str, filters: Filters, days: str, *, cell: str = "") -> str:
    """Return a page's title: "Retention - paid, 28 days to 20 Nov - Betascope"."""
    entry = _entry(address)
    if entry is None or not _has_days(entry):
        return _cut(" - ".join([*([entry.title] if entry else []), APP]))
    first = f"{_words_of(cell)} ({entry.title})" if cell else entry.title
    said = ", ".join([*_values(filters), days])
    return _cut(f"{first} - {said} - {APP}", keep=f" - {APP}")


def link(address: str, query: str, *, today: date, now: datetime) -> Preview:
    """Return what a link says it shows. `query` is what follows its question mark.

    What in it means nothing is left out; a relative span is told as such, for where the data ends
    is not for strangers.
    """
    entry = _entry(address)
    if entry is None or not _has_days(entry):
        title = page(address, Filters.from_query("", today=today, now=now), "")
        return Preview(title, "A telemetry notebook: who uses the product, what breaks, how fast.")
    filters = Filters.from_query(query, today=today, now=now)
    asked = dict(parse_qsl(query[: text.LINK_CHARS_MAX]))
    days = _RELATIVE.get(_span(asked)) or text.window(filters.window, today=today)
    cell = asked.get("cell", "")
    named = cell if len(cell) <= CELL_CHARS_MAX and _CELL.match(cell) else ""
    said = [QUESTIONS.get(address, f"{entry.title}.")]
    narrowed = text.filtered(filters)
    said += [f"Only {narrowed}."] if narrowed else []
    said.append(f"{days[0].upper()}{days[1:]}, {filters.window.timezone}.")
    return Preview(
        page(address, filters, days, cell=named), _cut(" ".join(said), most=WORDS_CHARS_MAX)
    )


def _entry(address: str) -> menu.Entry | None:
    return next((one for one in menu.PAGES if one.address == address), None)


def _has_days(entry: menu.Entry) -> bool:
    """Tell whether a page shows a period under filters; how the notebook is set up has neither."""
    return entry.is_report or entry.address in QUESTIONS


def _span(asked: Mapping[str, str]) -> str:
    """Return the span a link names, "custom" when its days or hours are written out."""
    try:
        days = [date.fromisoformat(asked.get(name, "")) for name in ("from", "to")]
    except ValueError:
        days = []
    span = asked.get("span", "custom" if days else SPAN_DEFAULT)
    if span == "24h" and "until" in asked:
        return "custom"
    return span if span in _RELATIVE or (span == "custom" and days) else SPAN_DEFAULT


def _values(filters: Filters) -> list[str]:
    """Return the chosen values, a few of them, without saying of what: there is little room."""
    values = [
        text.plain(value, most=VALUE_CHARS_MAX)
        for chosen in filters.chosen().values()
        for value in chosen
    ]
    more = len(values) - VALUES_MAX
    return values if more <= 1 else [*values[:VALUES_MAX], f"{more} more"]


def _words_of(cell: str) -> str:
    return cell.replace("-", " ").capitalize()


def _cut(words: str, *, most: int = TITLE_CHARS_MAX, keep: str = "") -> str:
    """Return words no longer than `most`, with `keep` at their end whatever was cut."""
    words = text.plain(words, most=text.LINK_CHARS_MAX)
    if len(words) <= most:
        return words
    return f"{words.removesuffix(keep)[: most - len(keep) - 1].rstrip()}…{keep}"
