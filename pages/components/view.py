"""What one run of a page looks at: the filters, the data's version, the clock; and its to-do list.

The frame makes one per run and every page reads it; nothing here draws or computes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from data_access.asked import at_least, last_hours
from data_access.measures import MEASURES
from data_access.metrics import METRICS
from data_access.metrics.sampling import AS_WRITTEN
from pages.components import options
from pages.components.load import Facts, load, measured
from pages.components.recorder import OFF, Recorder
from pages.components.text import Sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date, datetime

    from data_access import Filters
    from data_access.window import Window

_KEY: Final = "_view"


@dataclass
class Alone:
    """What was met of a page while looking for the one cell to show."""

    slugs: list[str] = field(default_factory=list)
    fill: Callable[[], None] | None = None  # draws the cell, once it is found
    view: View | None = None  # of the days it shows: more than asked for where those are too few


@dataclass(frozen=True)
class View:
    """The reader's question: which data, which filters, compared with what, and when."""

    home: str
    version: str
    filters: Filters
    compare: bool  # the reader wants the period before
    facts: Facts
    now: datetime
    today: date
    complete: bool  # only days that are over are shown
    latest: datetime  # the end of the data's last hours: now, unless the data ends before
    linker: Callable[[], str]  # the link to what is shown, with the choices made by then
    mover: Callable[[], str] = str  # the same, but a relative span stays relative
    is_first_look: bool = True  # of this session at this page: only then do skeletons help
    recorder: Recorder = OFF  # writes down how this page is used, where that is wanted
    sections: list[str] = field(default_factory=list, compare=False)  # headings above cells so far
    pending: list[Callable[[], None]] = field(default_factory=list, compare=False)
    rates: dict[Filters, dict[str, float | None]] = field(default_factory=dict, compare=False)
    only: str | None = None  # the one cell to show, where it stands alone in another page
    alone: Alone = field(default_factory=Alone, compare=False)

    @property
    def window(self) -> Window:
        """The days on show."""
        return self.filters.window

    @property
    def previous(self) -> Filters | None:
        """The same filters over the period before; None when unwanted, or without data then."""
        before, first = self.filters.previous(), self.facts.first_day
        is_there = first is not None and first < before.window.end
        return before if self.compare and is_there else None

    @property
    def link(self) -> str:
        """The link that shows exactly this, today and next year."""
        return self.linker()

    @property
    def timezone(self) -> str:
        """The timezone of those days."""
        return self.window.timezone

    @property
    def apdex_ms(self) -> float:
        """The duration with which Apdex counts people as satisfied."""
        return self.facts.settings.thresholds.apdex_ms

    @property
    def incidents(self) -> dict[str, Any]:
        """The options of `metrics.incidents` that the team's settings decide."""
        found = self.facts.settings.thresholds
        return {"failures_min": found.incident_failures, "times_min": found.incident_times}

    def load(
        self,
        metric: str,
        *,
        before: bool = False,
        split: str | None = None,
        **options: Any,  # noqa: ANN401 - a metric's own options
    ) -> pl.DataFrame:
        """Return a finished frame, over the period on show or the one before it.

        With `split`, one of `breakdowns()`, once per group, named in the first column `group`.
        """
        filters = self.filters.previous() if before else self.filters
        if metric in MEASURES:
            return measured(metric, filters.window, self.version, self.home)
        return load(metric, filters, self.version, self.home, split=split, **options)

    def breakdowns(self) -> list[str]:
        """Return what numbers can be broken down by here: words for columns, metadata keys."""
        found = self.facts.choices
        columns = {"tier": "tiers", "channel": "channels", "stage": "stages"}
        columns |= {"release": "releases", "project": "projects"}
        present = [name for name, field_name in columns.items() if found.get(field_name)]
        return [*present, *self.facts.properties]

    def sample(self, *metrics: str | None) -> Sample | None:
        """Return the sample that any of these metrics looks at; None when it is no sample."""
        known = [METRICS[name] for name in metrics if name in METRICS and name not in AS_WRITTEN]
        tables = {table for metric in known for table in metric.sources}
        if not tables:
            return None
        if self.filters not in self.rates:  # every number asks, so it is looked up once a run
            kept = self.load("sampling").filter(pl.col("rows_kept") > 0)
            self.rates[self.filters] = dict(zip(kept["source"], kept["keep_rate"], strict=True))
        found = [rate for table, rate in self.rates[self.filters].items() if table in tables]
        told = [rate for rate in found if rate is not None]
        return Sample(min(told, default=None)) if found else None

    def each(self, *metrics: str) -> float:
        """Return how many people one who was kept stands for; 1 where nothing is sampled."""
        sample = self.sample(*metrics)
        return sample.each if sample else 1.0

    def open_from(self, every: str) -> date:
        """Return the first day of the first period that is not over: it is drawn dashed."""
        over = min(self.window.end, self.today)
        start = self.window.period_start(over, every=every)
        return min(self.window.end, start)

    def at_least(self, days: int) -> View:
        """Return a view of no fewer than `days` days to the same end: weeks need room."""
        window = at_least(self.window, days)
        return self if window is self.window else self.over(window)

    def last_hours(self, hours: int) -> View:
        """Return a view of the data's last whole hours, the present one included."""
        if self.latest != self.window.closes_at:
            options.also("until", f"{self.latest.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
        return self.over(last_hours(self.window, hours, self.latest))

    def over(self, window: Window) -> View:
        """Return a view of another window with the same filters."""
        return self.of(self.filters.with_window(window))

    def of_stage(self, stage: str) -> View:
        """Return a view of one stage, where the home can tell stages apart."""
        if not self.facts.choices.get("stages"):
            return self
        return self.of(replace(self.filters, stages=(stage,)))

    def of(self, filters: Filters) -> View:
        """Return a view with other filters, on the same page and the same to-do list."""
        return replace(self, filters=filters)

    def open_hour(self) -> datetime:
        """Return the hour of UTC it is, on the page's own clock face: its bar is not over."""
        hour = self.now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return hour.astimezone(ZoneInfo(self.timezone)).replace(tzinfo=None)

    def later(self, fill: Callable[[], None]) -> None:
        """Fill something after the whole page has been laid out, so that nothing jumps."""
        self.pending.append(fill)

    def last_shown_day(self) -> date:
        """Return the window's last day."""
        return self.last_day_of(self.window)

    @staticmethod
    def last_day_of(window: Window) -> date:
        """Return a window's last day."""
        return window.end - timedelta(days=1)


def publish(view: View) -> None:
    """Make `view` what the page about to run sees."""
    st.session_state[_KEY] = view


def current() -> View:
    """Return the view of this run. The frame has published it before any page runs."""
    view: View = st.session_state[_KEY]
    return view
