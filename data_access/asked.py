"""What exactly is asked for: a query's relative span as days, the way every reader resolves it.

The pages and the JSON routes both come through here, so the same query means the same days.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from data_access.filters import SPAN_DEFAULT, Filters
from data_access.window import Window, known_timezone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Moved = Literal["", "began", "first", "ended"]
EARLIEST: Final = datetime(1970, 1, 2, tzinfo=UTC)  # of an instant a link may name
_PERIODS: Final = {"week": "1w", "month": "1mo"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A query resolved: its filters, and where its span ends and why there.

    Attributes
    ----------
    span : one of SPANS.
    end : the day a relative span ends with.
    moved : why that is not the usual day: the period `began` today, the `first` telemetry came
        today, the data `ended` before; empty when it is the usual one.
    latest : where the data's last hours end: with what is shown, or with this minute; beside days
        a query may name it as `until`.
    """

    filters: Filters
    span: str
    end: date
    moved: Moved
    latest: datetime


def resolve(
    values: Mapping[str, Sequence[str]],
    *,
    now: datetime,
    today: date,
    timezone: str,
    week_starts_on: str,
    first_day: date | None,
    last_day: date | None,
    complete: bool = True,
    live: bool = False,
) -> Asked:
    """Return what a query asks for.

    Parameters
    ----------
    values : the query's values by name; names that are no filter are ignored.
    today : the day it is where the team is.
    timezone, week_starts_on : the team's, for a query that names none.
    first_day, last_day : the first and the last day with data, if any.
    complete, live : whether only days that are over are shown; live shows today anyhow.
    """
    place = {"timezone": timezone, "week_starts_on": week_starts_on}
    place |= {name: values[name][-1] for name in place if values.get(name)}
    given = dict(values) | {name: [value] for name, value in place.items()}
    usual = "custom" if values.get("from") and values.get("to") else SPAN_DEFAULT
    span = next(reversed(values.get("span") or ()), usual)
    end, moved = end_of_span(
        span,
        today,
        last_day,
        first_day=first_day,
        complete=complete,
        live=live,
        week_starts_on=place["week_starts_on"],
    )
    moment = to_the_minute(now)
    if end < today:  # 24 hours end with the last day that has data, or with this minute
        moment = Window(
            end, end + timedelta(days=1), timezone=known_timezone(place["timezone"])
        ).closes_at
    filters = Filters.from_query(given, today=end, now=moment, timezone=place["timezone"])
    latest = _latest(filters.window, span, now, last_day)
    if span == "custom":
        latest = _instant(values, latest, now)
    return Asked(filters, span, end, moved, latest)


def end_of_span(
    span: str,
    today: date,
    last_day: date | None,
    *,
    complete: bool,
    live: bool,
    first_day: date | None = None,
    week_starts_on: str = "monday",
) -> tuple[date, Moved]:
    """Return the day a relative span ends with, and why it is not the usual one.

    Custom days and links that name an instant are never moved.
    """
    if span == "custom":
        return today, ""
    end = today
    moved: Moved = ""
    if complete and not live and span != "24h":
        end = today - timedelta(days=1)
        if span in _PERIODS and _began(today, span, week_starts_on):
            end, moved = today, "began"
        elif first_day == today:
            end, moved = today, "first"
    if last_day is not None and last_day < end:
        end = last_day
        if (today - last_day).days > 1 or live or not complete:
            moved = "ended"
    return end, moved


def last_hours(window: Window, hours: int, latest: datetime) -> Window:
    """Return the whole hours up to `latest`, the one it lies in included, where `window` is."""
    past = timedelta(minutes=latest.minute, seconds=latest.second, microseconds=latest.microsecond)
    return Window.last_hours(
        hours,
        latest - past + timedelta(hours=1 if past else 0),
        timezone=window.timezone,
        week_starts_on=window.week_starts_on,
    )


def at_least(window: Window, days: int) -> Window:
    """Return a window of no fewer than `days` days to the same end: weeks need room."""
    if window.days >= days:
        return window
    start = min(window.start, window.end - timedelta(days=days))
    return replace(window, start=start, start_at=None, end_at=None)


def to_the_minute(now: datetime) -> datetime:
    """Round up, so that the last 24 hours are one cache key for a minute and miss no event."""
    return now.replace(second=0, microsecond=0) + timedelta(minutes=1)


def _began(today: date, span: str, week_starts_on: str) -> bool:
    week = week_starts_on if week_starts_on == "sunday" else "monday"
    day = Window.last(1, today, week_starts_on=week)
    return day.period_start(today, every=_PERIODS[span]) == today


def _latest(window: Window, span: str, now: datetime, last_day: date | None) -> datetime:
    if span in ("custom", "24h"):
        return window.closes_at
    if last_day is None:
        return to_the_minute(now)
    after = Window(last_day, last_day + timedelta(days=1), timezone=window.timezone).closes_at
    return min(to_the_minute(now), after)


def _instant(values: Mapping[str, Sequence[str]], usual: datetime, now: datetime) -> datetime:
    """Return the instant a link of days names for its last hours; one to come is no such."""
    said = next(reversed(values.get("until") or ()), "")
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        return usual
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment if EARLIEST < moment <= to_the_minute(now) else usual
