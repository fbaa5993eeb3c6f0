"""Numbers, changes, times and names as words, the same on every page.

It computes nothing a metric should, and never lets a name from the data act as markup.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from data_access.filters import Filters
    from data_access.window import Window

NOTHING: Final = "\N{EN DASH}"
ABOUT: Final = "\N{ALMOST EQUAL TO}"
NO_NAME: Final = "none named"
GROUP_MIN: Final = 50  # below this a share is told as "3 of 40", not as a percentage
SAY_MIN: Final = 10  # counts below this are too few to compare
SHARE_MIN: Final = 20  # a share of fewer than this is too few to compare
STEADY: Final = 0.03  # a relative change below this is "about the same"
NAME_CHARS_MAX: Final = 80
LINK_CHARS_MAX: Final = 20_000  # of a query string that is put into words

_SUFFIXES: Final = ((1e9, "B"), (1e6, "M"), (1e3, "k"))
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&@^=])")
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")


# --- numbers ---------------------------------------------------------------------------------


def count(value: float | None) -> str:
    """Return 1,234 under ten thousand, 12.3k and 4.5M above."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if abs(value) < 9_999.5:  # noqa: PLR2004 - 9,999.6 would round to 10,000
        whole = abs(value - round(value)) < 0.05 or abs(value) >= 100  # noqa: PLR2004
        return f"{value:,.0f}" if whole else f"{value:,.1f}"
    for size, suffix in _SUFFIXES:
        if abs(value) >= size * 0.99995:
            return f"{value / size:.1f}{suffix}"
    return f"{value:,.0f}"


def percent(share: float | None) -> str:
    """Return 95.2 %; more digits where one would round to nothing or to everything."""
    if share is None or not math.isfinite(share):
        return NOTHING
    value = share * 100
    if value in (0, 100):
        return f"{value:.0f} %"
    if 0 < abs(value) < 1 or 99.95 <= abs(value) < 100:  # noqa: PLR2004 - never "100.0 %" or "0.0 %"
        return f"{value:.2f} %"
    return f"{value:.1f} %" if abs(value) < 1_000 else f"{value:,.0f} %"  # noqa: PLR2004


def duration(milliseconds: float | None) -> str:
    """Return 380 ms, 1.24 s, 3.2 min or 5.1 h."""
    if milliseconds is None or not math.isfinite(milliseconds):
        return NOTHING
    size = abs(milliseconds)
    if size < 10:  # noqa: PLR2004
        return f"{milliseconds:.1f} ms" if size else "0 ms"
    if size < 999.5:  # noqa: PLR2004
        return f"{milliseconds:.0f} ms"
    for unit_ms, below_ms, name in ((1e3, 59_995, "s"), (6e4, 3.597e6, "min"), (3.6e6, 1.7e8, "h")):
        if size < below_ms:
            value = milliseconds / unit_ms
            digits = (2 if value < 10 else 1) if name == "s" else 1  # noqa: PLR2004
            return f"{value:.{digits}f} {name}"
    return f"{milliseconds / 8.64e7:.1f} days"


def money(dollars: float | None) -> str:
    """Return $12.34, $1,234 and $12.3k; below a dollar the first two digits, $0.33 and $0.0042."""
    if dollars is None or not math.isfinite(dollars):
        return NOTHING
    sign, size = "\N{MINUS SIGN}" if dollars < 0 else "", abs(dollars)
    if size >= 99.995:  # noqa: PLR2004 - $100.00 would show cents nobody asks for
        return f"{sign}${count(size)}"
    digits = 2 if size == 0 or size >= 1 else min(max(2, 1 - math.floor(math.log10(size))), 9)
    said = f"{size:.{digits}f}"
    return f"{sign}${said.rstrip('0') if digits > 2 else said}" if size else "$0"  # noqa: PLR2004


def share(part: float | None, whole: float | None, noun: str) -> str:
    """Return "3 of 40 testers" for a small group, "7.5 % of 1,234 testers" for a large one."""
    if part is None or not whole:
        return f"no {noun}"
    if whole < GROUP_MIN:
        return f"{count(part)} of {count(whole)} {noun}"
    return f"{percent(part / whole)} of {count(whole)} {noun}"


def rate(part: float | None, whole: float | None) -> str:
    """Return "3 of 40" for a small group and "7.5 %" for a large one: a headline's value."""
    if part is None or not whole:
        return NOTHING
    return f"{count(part)} of {count(whole)}" if whole < GROUP_MIN else percent(part / whole)


def some(number: float, one: str, many: str | None = None) -> str:
    """Return "1 tester", "3 testers"."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


# --- samples ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """That numbers come from a sample: `keep_rate` is the share of people kept, if one is known."""

    keep_rate: float | None = None

    @property
    def each(self) -> float:
        """How many people a person who is kept stands for; 1 when nobody knows."""
        return 1 / self.keep_rate if self.keep_rate else 1.0


def about(words: str, sample: Sample | None) -> str:
    """Return "≈ 1,234" for what was estimated from a sample; else the words as they are."""
    if sample is None or words == NOTHING or words.startswith(ABOUT):
        return words
    return f"{ABOUT}\N{NO-BREAK SPACE}{words}"


def estimated(sample: Sample, people: float | None = None) -> str:
    """Say what a number is an estimate from, and how far off it may be.

    Parameters
    ----------
    people : the estimate, when it is a count of people: then its error is known, at most
        twice `ingest.sampling.standard_error`.
    """
    if sample.keep_rate is None:
        return "Estimated from a sample."
    one_in = round(sample.each)
    few = f"1 in {one_in}" if abs(sample.each - one_in) < 0.05 * sample.each else ""
    kept = few or percent(sample.keep_rate).replace(".0 %", " %") + " of"
    said = f"Estimated from a sample: about {kept} people's ordinary events are kept."
    if not people:
        return said
    reach = 2 * math.sqrt((1 - sample.keep_rate) * sample.each / people)
    if reach >= 1:
        return f"{said} Too few people were kept to say how far off it is."
    digits = 0 if reach >= 0.1 else 1  # noqa: PLR2004
    return f"{said} 19 of 20 times the true value is within ±{100 * reach:.{digits}f} %."


# --- changes ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """A change in words, and its direction: 1 up, -1 down, 0 when there is nothing to see."""

    words: str
    direction: int = 0


def change(now: float | None, before: float | None, *, each: float = 1) -> Change | None:
    """Say how a count changed; None when there is nothing to compare with.

    Parameters
    ----------
    each : how many each one counted stands for, in a sample: the more, the more is chance.
    """
    if now is None or before is None:
        return None
    if now == before == 0:
        return None
    if max(now, before) < SAY_MIN * each:
        return Change(f"too few to say (n = {count(max(now, before))})")
    if before == 0:
        return Change("up from none", 1)
    moved = abs(now - before)
    if moved < STEADY * before or moved < math.sqrt(each * (now + before)):
        return Change(f"about the same (from {count(before)})")
    return _moved(now / before - 1, count(before))


def change_of_rate(
    now: tuple[float | None, float | None],
    before: tuple[float | None, float | None],
    *,
    each: float = 1,
) -> Change | None:
    """Say how a share (part, whole) changed, in percentage points; `each` as for `change`."""
    (part, whole), (part_before, whole_before) = now, before
    if part is None or part_before is None or whole is None or whole_before is None:
        return None
    fewest = min(whole, whole_before)
    if not whole or not whole_before:
        return None
    if fewest < SHARE_MIN * each:
        return Change(f"too few to say (n = {count(fewest)})")
    first, second = part_before / whole_before, part / whole
    pooled = (part + part_before) / (whole + whole_before)
    noise = math.sqrt(max(pooled * (1 - pooled), 0) * each * (1 / whole + 1 / whole_before))
    points = (second - first) * 100
    if abs(points) < 0.1 or abs(second - first) < noise:  # noqa: PLR2004 - a tenth of a point is shown as 0.1
        return Change(f"about the same (from {percent(first)})")
    word = "up" if points > 0 else "down"
    return Change(
        f"{word} {abs(points):.1f} points (from {percent(first)})", 1 if points > 0 else -1
    )


def change_of_duration(
    now: float | None, before: float | None, *, fewest: float | None = None
) -> Change | None:
    """Say how a duration in milliseconds changed; `fewest` is the smaller number measured."""
    return _change_of(now, before, fewest, duration)


def change_of_money(
    now: float | None, before: float | None, *, fewest: float | None = None
) -> Change | None:
    """Say how an amount of dollars changed; `fewest` is the smaller number it is spent on."""
    return _change_of(now, before, fewest, money)


def _change_of(
    now: float | None,
    before: float | None,
    fewest: float | None,
    say: Callable[[float | None], str],
) -> Change | None:
    if now is None or before is None:
        return None
    if fewest is not None and fewest < SHARE_MIN:
        return Change(f"too few to say (n = {count(fewest)})")
    if now == before == 0:
        return None
    if before <= 0 or abs(now / before - 1) < 0.05:  # noqa: PLR2004 - percentiles wobble by that much
        return Change(f"about the same (from {say(before)})")
    return _moved(now / before - 1, say(before))


def _moved(relative: float, before: str) -> Change:
    direction = 1 if relative > 0 else -1
    if relative >= 2:  # noqa: PLR2004 - "up 340 %" is harder to read than "4.4-fold"
        times = relative + 1
        digits = 1 if times < 9.95 else 0  # noqa: PLR2004
        return Change(f"up {times:.{digits}f}-fold (from {before})", 1)
    size = abs(relative) * 100
    digits = 1 if size < 9.95 else 0  # noqa: PLR2004
    return Change(
        f"{'up' if direction > 0 else 'down'} {size:.{digits}f} % (from {before})", direction
    )


# --- time ------------------------------------------------------------------------------------


def day(value: date, *, today: date | None = None) -> str:
    """Return 18 Nov, with the year when it is not this one."""
    year = "" if today is not None and value.year == today.year else f" {value.year}"
    return f"{value.day} {value:%b}{year}"


def moment(value: datetime, now: datetime, timezone: str = "UTC") -> str:
    """Return relative and absolute time together: 2 days ago, 18 Nov 14:05."""
    zone = ZoneInfo(timezone)
    value = value if value.tzinfo else value.replace(tzinfo=UTC)
    local, here = value.astimezone(zone), now.astimezone(zone)
    return f"{ago(now - value)}, {day(local.date(), today=here.date())} {local:%H:%M}"


def ago(span: timedelta) -> str:
    """Return 3 minutes ago, in 2 days."""
    seconds = abs(span.total_seconds())
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            words = some(int(seconds // size), name)
            return f"{words} ago" if span > timedelta(0) else f"in {words}"
    return "just now"


def clock(value: datetime, now: datetime, timezone: str = "UTC") -> str:
    """Return 09:41 today, and the day as well on any other."""
    zone = ZoneInfo(timezone)
    local, here = value.astimezone(zone), now.astimezone(zone)
    if local.date() == here.date():
        return f"{local:%H:%M}"
    return f"{day(local.date(), today=here.date())} {local:%H:%M}"


def window(value: Window, *, today: date) -> str:
    """Return "28 days to 20 Nov" or "24 hours to 20 Nov 09:41"."""
    if value.start_at is not None and value.end_at is not None:
        hours = round((value.end_at - value.start_at).total_seconds() / 3600)
        end = value.end_at.astimezone(ZoneInfo(value.timezone))
        return f"{hours} hours to {day(end.date(), today=today)} {end:%H:%M}"
    last = value.end - timedelta(days=1)
    return f"{some(value.days, 'day')} to {day(last, today=today)}"


def filtered(filters: Filters) -> str:
    """Say in plain words (not markdown) what narrows the data: "tier paid, free; stage ..."."""
    names = {
        "tiers": "tier",
        "channels": "channel",
        "projects": "project",
        "releases": "release",
        "stages": "stage",
        "events": "event",
        "properties": "property",
        "segments": "segment",
    }
    return "; ".join(
        f"{names.get(name, name)} {listed(values)}" for name, values in filters.chosen().items()
    )


# --- names and prose -------------------------------------------------------------------------


def listed(names: Sequence[str], *, most: int = 4) -> str:
    """Return "a, b, c" and how many more there are."""
    shown = ", ".join(plain(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def plain(value: object, *, most: int = NAME_CHARS_MAX) -> str:
    """Return text from the data on one line, without control characters, and not too long."""
    text = _UNSEEN.sub(" ", str(value)).strip()
    return text if len(text) <= most else text[: most - 1] + "…"


def escaped(value: object, *, most: int = NAME_CHARS_MAX) -> str:
    """Return text from the data that markdown shows as it is."""
    return _MARKUP.sub(r"\\\1", plain(value, most=most))


def person(user_id_hash: str) -> str:
    """Return a pseudonym short enough for a table's first column."""
    return plain(user_id_hash, most=12)


def tooltip(definition: str, *, most: int = 600) -> str:
    """Return what of a metric's docstring fits a tooltip: its first line and definition."""
    parts = _sections(definition)
    body = " ".join([parts.get("", ""), parts.get("Definition", "")]).split()
    words = " ".join(body)
    return words if len(words) <= most else words[:most].rsplit(" ", 1)[0] + " …"


def definition_markdown(definition: str) -> str:
    """Return a metric's docstring as markdown: its sections become bold lines."""
    lines = []
    for name, body in _sections(definition).items():
        if name:
            lines.append(f"**{name}**")
        listing = name in ("Columns", "Parameters", "Source", "Raises")
        lines.append(_definition_list(body) if listing else body)
    return "\n\n".join(lines)


def _definition_list(body: str) -> str:
    items: list[str] = []
    for line in body.splitlines():
        if line and not line.startswith(" "):
            name, colon, rest = line.partition(" : ")
            items.append(f"- `{name}`: {rest}" if colon else f"- {line}")
        elif line.strip() and items:
            items[-1] += " " + line.strip()
    return "\n".join(items)


def _sections(definition: str) -> dict[str, str]:
    found: dict[str, list[str]] = {"": []}
    current = ""
    lines = definition.splitlines()
    for number, line in enumerate(lines):
        if line and set(line) == {"-"} and number:
            found[current].pop()  # the line above is the section's title
            current = lines[number - 1].strip()
            found[current] = []
        else:
            found[current].append(line)
    return {name: "\n".join(body).strip() for name, body in found.items()}


def period_and_filters(filters: Filters, *, today: date) -> str:
    """Say in plain words which rows these are: period, timezone and filters."""
    words = f"{window(filters.window, today=today)}, {filters.window.timezone}"
    narrowed = filtered(filters)
    return f"{words}; {narrowed}" if narrowed else words
