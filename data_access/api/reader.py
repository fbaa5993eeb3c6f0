"""One request's view of the data: the filters resolved, frames computed, each kept for a while.

The numbers come out of the very metrics the pages load, under the very filters; the frames are
kept per version of the data, so a script that asks every minute costs one computation.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import polars as pl

import data_access
from data_access import asked
from data_access.api.problem import Refused, near, shown
from data_access.compute import compute
from data_access.filters import DIMENSIONS
from data_access.metrics import METRICS
from data_access.metrics.sampling import AS_WRITTEN
from data_access.sources import CHOICES_MAX
from ingest.vocabulary import SEGMENT_NOT

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from datetime import datetime

    from data_access import Filters, Settings
    from data_access.api.query import Query
    from data_access.asked import Asked
    from data_access.window import Window

FRAMES_MAX: Final = 300
FRAMES_BYTES_MAX: Final = 64 * 1024 * 1024
WEEKS_DAYS: Final = 84  # at least, as on the pages where weeks are compared


class HungUp(Exception):  # noqa: N818 - names the situation
    """Nobody waits for the answer any more."""


class Frames:
    """Finished frames by plain keys: the least recently used go first; safe among threads."""

    def __init__(self, *, most: int = FRAMES_MAX, bytes_max: int = FRAMES_BYTES_MAX) -> None:
        self._most = most
        self._bytes_max = bytes_max
        self._bytes = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, pl.DataFrame] = OrderedDict()

    def get(self, key: Hashable) -> pl.DataFrame | None:
        """Return a frame, if it is still kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: Hashable, frame: pl.DataFrame) -> None:
        """Keep a frame; one that is larger than all room there is, is not kept."""
        size = int(frame.estimated_size())
        with self._lock:
            if size > self._bytes_max or key in self._kept:
                return
            self._kept[key] = frame
            self._bytes += size
            while len(self._kept) > self._most or self._bytes > self._bytes_max:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= int(oldest.estimated_size())


@dataclass(frozen=True, slots=True)
class Reader:
    """What one request looks at."""

    home: str
    version: str
    settings: Settings
    asked: Asked
    as_of: datetime | None
    now: datetime
    kept: Frames
    is_wanted: Callable[[], bool]
    notes: tuple[str, ...] = ()

    @property
    def filters(self) -> Filters:
        """The filters asked for."""
        return self.asked.filters

    @property
    def window(self) -> Window:
        """The days asked for."""
        return self.asked.filters.window

    @property
    def is_complete(self) -> bool:
        """Tell whether every day asked for is over."""
        return self.window.closes_at <= self.now

    @property
    def incidents(self) -> dict[str, Any]:
        """The options of `metrics.incidents` that the team's settings decide."""
        found = self.settings.thresholds
        return {"failures_min": found.incident_failures, "times_min": found.incident_times}

    def frame(
        self,
        metric: str,
        *,
        window: Window | None = None,
        **options: Any,  # noqa: ANN401 - a metric's own options
    ) -> pl.DataFrame:
        """Return a metric's finished frame, over the days asked for or over `window`.

        Raises
        ------
        HungUp : when nobody waits for it any more.
        """
        if not self.is_wanted():
            raise HungUp
        filters = self.filters if window is None else self.filters.with_window(window)
        key = (self.home, self.version, metric, filters, tuple(sorted(options.items())))
        found = self.kept.get(key)
        if found is None:
            found = compute(METRICS[metric], filters, self.home, **options).collect()
            self.kept.keep(key, found)
        return found

    def weeks(self) -> Window:
        """Return the days asked for, or twelve weeks to the same end where those are fewer."""
        return asked.at_least(self.window, WEEKS_DAYS)

    def last_24_hours(self) -> Window:
        """Return the data's last 24 whole hours, the present one included."""
        return asked.last_hours(self.window, 24, self.asked.latest)

    def before(self) -> Window | None:
        """Return the period before the one asked for; None before the first data."""
        first = data_access.first_day(self.home, timezone=self.settings.timezone)
        before = self.window.previous()
        return before if first is None or first < before.end else None

    def sample(self, metrics: Sequence[str]) -> dict[str, float | None] | None:
        """Return the sample that any of these metrics looks at; None when it is no sample."""
        known = [METRICS[name] for name in metrics if name not in AS_WRITTEN]
        tables = {table for metric in known for table in metric.sources}
        if not tables:
            return None
        kept = self.frame("sampling").filter(
            pl.col("rows_kept") > 0, pl.col("source").is_in(sorted(tables))
        )
        rates = kept["keep_rate"].drop_nulls()
        return {"keep_rate": min(rates.to_list(), default=None)} if kept.height else None


def reader(
    home: str,
    query: Query,
    *,
    now: datetime,
    kept: Frames,
    is_wanted: Callable[[], bool] = lambda: True,
) -> Reader:
    """Open the data for a query; the work ends at the next frame once it is not wanted any more.

    Raises
    ------
    DataUnavailable : when there is nothing at `home`.
    Refused : when the query names a segment or stage that is not there.
    """
    settings = data_access.settings(home)
    version = data_access.prepare(home)
    place = settings.timezone
    resolved = asked.resolve(
        query.values,
        now=now,
        today=now.astimezone(ZoneInfo(place)).date(),
        timezone=place,
        week_starts_on=settings.week_starts_on,
        first_day=data_access.first_day(home, timezone=place),
        last_day=data_access.last_day(home, now=now, timezone=place),
        complete=query.flag("complete", default=True),
        live=query.flag("live", default=False),
    )
    if resolved.filters.notes:  # what `query.read` let through and the filters do not take
        raise Refused(HTTPStatus.BAD_REQUEST, " ".join(resolved.filters.notes))
    return Reader(
        home=home,
        version=version,
        settings=settings,
        asked=resolved,
        as_of=data_access.data_as_of(home, now=now),
        now=now,
        kept=kept,
        is_wanted=is_wanted,
        notes=(*_moved(resolved), *_not_there(home, resolved.filters), *_of_pages(query)),
    )


def _moved(resolved: Asked) -> list[str]:
    said = {
        "began": f"This {resolved.span} began today, so today is in it although it is not over.",
        "first": "The first telemetry came today, so today is in it although it is not over.",
        "ended": f"The data ends on {resolved.end.isoformat()}, so the span ends there.",
    }
    return [said[resolved.moved]] if resolved.moved else []


def _of_pages(query: Query) -> list[str]:
    if not query.ignored:
        return []
    return [f"Choices of a single page mean nothing here: {', '.join(query.ignored[:10])}."]


def _not_there(home: str, filters: Filters) -> list[str]:
    """Say which values no row has; refuse a segment or a stage that cannot be told.

    A page drops what it cannot offer and shows everybody; here that would be a wrong number, so
    the filter stays and finds nothing.
    """
    found = data_access.choices(home)
    segments = found["segments"]
    for name in filters.segments:
        if name.removeprefix(SEGMENT_NOT) not in segments:
            raise Refused(
                HTTPStatus.NOT_FOUND,
                f"There is no segment {shown(name.removeprefix(SEGMENT_NOT))}. Save it on the "
                "Users page, or name another one.",
                parameter="segment",
                suggestions=near(name, segments),
            )
    return [
        f"No row has {DIMENSIONS[field].query_name}={shown(value)}."
        for field, values in filters.chosen().items()
        if field not in ("stages", "properties", "segments")
        for value in values
        if len(found[field]) < CHOICES_MAX and value not in found[field]
    ]
