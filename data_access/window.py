"""The half-open range of days a number is about, in one timezone.

It knows calendars, never data. Everything that cuts a frame by time goes through it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

if TYPE_CHECKING:
    from typing import Self

PERIODS: Final = ("1d", "1w", "1mo")
DAYS_MAX: Final = 366 * 50  # a longer window is a typing slip, and its calendar would be large
TIMEZONES_MAX: Final = 1_000  # names looked at once; there are 600
_WEEK_STARTS: Final = ("monday", "sunday")


class WindowError(ValueError):
    """The asked range of days makes no sense. The message says what to change."""


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open range of days: `start` is in it, `end` is not.

    Parameters
    ----------
    start, end : first day, and the day after the last one.
    timezone : IANA name; days begin at midnight there.
    week_starts_on : "monday" or "sunday".
    start_at, end_at : instants that narrow the first and last day, for "the last 24 hours".
        The days stay `start`..`end`; `contains` then uses the instants.

    Raises
    ------
    WindowError : when the range is empty, too long, or the timezone unknown.
    """

    start: date
    end: date
    timezone: str = "UTC"
    week_starts_on: str = "monday"
    start_at: datetime | None = None
    end_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise WindowError(
                f"The window {self.start} to {self.end} holds no day. "
                "Its end is the day after the last one, so it must lie after the start."
            )
        if (self.end - self.start).days > DAYS_MAX:
            raise WindowError(f"The window is longer than {DAYS_MAX} days. Choose a shorter one.")
        if self.week_starts_on not in _WEEK_STARTS:
            raise WindowError(
                f"Weeks start on {' or '.join(_WEEK_STARTS)}, not on {self.week_starts_on!r}."
            )
        if known_timezone(self.timezone) != self.timezone:
            raise WindowError(
                f"Unknown timezone {self.timezone!r}. Use an IANA name such as Europe/Berlin."
            )

    @classmethod
    def last(
        cls, days: int, today: date, *, timezone: str = "UTC", week_starts_on: str = "monday"
    ) -> Self:
        """Return the `days` days that end with `today`, today included."""
        return cls(
            today - timedelta(days=days - 1),
            today + timedelta(days=1),
            timezone=timezone,
            week_starts_on=week_starts_on,
        )

    @classmethod
    def last_hours(
        cls, hours: int, now: datetime, *, timezone: str = "UTC", week_starts_on: str = "monday"
    ) -> Self:
        """Return the `hours` hours that end with `now`, as a window over the days they touch."""
        start_at = now.astimezone(UTC) - timedelta(hours=hours)
        zone = ZoneInfo(timezone)
        return cls(
            start_at.astimezone(zone).date(),
            (now - timedelta(milliseconds=1)).astimezone(zone).date() + timedelta(days=1),
            timezone=timezone,
            week_starts_on=week_starts_on,
            start_at=start_at,
            end_at=now.astimezone(UTC),
        )

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.end - self.start).days

    @property
    def opens_at(self) -> datetime:
        """The first instant inside, UTC."""
        return self.start_at or self._midnight(self.start)

    @property
    def closes_at(self) -> datetime:
        """The first instant after, UTC."""
        return self.end_at or self._midnight(self.end)

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), ZoneInfo(self.timezone)).astimezone(UTC)

    def previous(self) -> Window:
        """Return the window of the same length that ends where this one starts."""
        if self.start_at is not None and self.end_at is not None:
            length = self.end_at - self.start_at
            zone = ZoneInfo(self.timezone)
            start_at = self.start_at - length
            last_day = (self.start_at - timedelta(milliseconds=1)).astimezone(zone).date()
            return replace(
                self,
                start=start_at.astimezone(zone).date(),
                end=last_day + timedelta(days=1),
                start_at=start_at,
                end_at=self.start_at,
            )
        return replace(self, start=self.start - timedelta(days=self.days), end=self.start)

    def contains(self, column: str = "timestamp") -> pl.Expr:
        """Return the predicate "this instant lies in the window" for a UTC time column."""
        return pl.col(column).is_between(
            pl.lit(self.opens_at).cast(pl.Datetime("ms", "UTC")),
            pl.lit(self.closes_at).cast(pl.Datetime("ms", "UTC")),
            closed="left",
        )

    def before(self, column: str = "timestamp") -> pl.Expr:
        """Return the predicate "this instant lies before the window ends": window and history."""
        return pl.col(column) < pl.lit(self.closes_at).cast(pl.Datetime("ms", "UTC"))

    def day(self, column: str = "timestamp") -> pl.Expr:
        """Return the calendar day, in the window's timezone, of a UTC time column."""
        instant = pl.col(column)
        if self.timezone != "UTC":
            instant = instant.dt.convert_time_zone(self.timezone)
        return instant.dt.date()

    def period(self, column: str = "timestamp", *, every: str = "1d") -> pl.Expr:
        """Return the first day of the calendar day, week or month an instant lies in."""
        return self.period_of_day(self.day(column), every=every)

    def period_of_day(self, day: pl.Expr, *, every: str) -> pl.Expr:
        """Return the first day of the period a Date expression lies in."""
        _check_period(every)
        if every == "1d":
            return day
        if every == "1mo":
            return day.dt.month_start()
        # ISO weekday: Monday 1 .. Sunday 7
        shift = day.dt.weekday() - 1 if self.week_starts_on == "monday" else day.dt.weekday() % 7
        return day - pl.duration(days=shift)

    def period_start(self, day: date, *, every: str) -> date:
        """Return the first day of the period `day` lies in."""
        _check_period(every)
        if every == "1d":
            return day
        if every == "1mo":
            return day.replace(day=1)
        shift = day.weekday() if self.week_starts_on == "monday" else day.isoweekday() % 7
        return day - timedelta(days=shift)

    def period_end(self, period: date, *, every: str) -> date:
        """Return the first day after the period that starts on `period`."""
        if every == "1mo":
            return (period.replace(day=1) + timedelta(days=32)).replace(day=1)
        return period + timedelta(days=7 if every == "1w" else 1)

    def widened(self, every: str) -> Window:
        """Return the whole periods this window touches: a metric by period counts those."""
        last = self.period_start(self.end - timedelta(days=1), every=every)
        return replace(
            self,
            start=self.period_start(self.start, every=every),
            end=self.period_end(last, every=every),
            start_at=None,
            end_at=None,
        )

    def periods(self, every: str = "1d") -> list[date]:
        """Return the first day of every period the window touches, in order."""
        period = self.period_start(self.start, every=every)
        found = []
        while period < self.end:
            found.append(period)
            period = self.period_end(period, every=every)
        return found

    def calendar(self, every: str = "1d") -> pl.LazyFrame:
        """Return one row per period the window touches.

        Columns
        -------
        period : Date, its first day.
        complete : Boolean, whether it ended inside the window.
        """
        periods = self.periods(every)
        complete = [self.period_end(period, every=every) <= self.end for period in periods]
        if self.end_at is not None and complete:
            complete[-1] = complete[-1] and self.end_at >= self._midnight(self.end)
        return pl.LazyFrame(
            {"period": periods, "complete": complete},
            schema={"period": pl.Date, "complete": pl.Boolean},
        )


@lru_cache(maxsize=TIMEZONES_MAX)
def known_timezone(name: str) -> str:
    """Return the name if it is a timezone's, else UTC; hostile names are no timezone either.

    A machine has files that are none of the IANA's, such as "localtime": Polars knows no such.
    """
    try:
        ZoneInfo(name)
        pl.Series([0]).cast(pl.Datetime("ms", "UTC")).dt.convert_time_zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, pl.exceptions.ComputeError):
        return "UTC"
    return name


def _check_period(every: str) -> None:
    if every not in PERIODS:
        raise WindowError(f"A period is one of {', '.join(PERIODS)}, not {every!r}.")
