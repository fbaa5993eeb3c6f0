"""The one cache: finished frames, answers and the few facts every page needs, per data version.

Keys are plain values only. Streamlit hashes a frame by the rows it would print, so a frame must
never become an argument here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import streamlit as st

import data_access
from data_access.compute import compute
from data_access.measures import MEASURES, Measure
from data_access.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import date, datetime

    from data_access import Filters, Problem, Settings
    from data_access.explore import Answer
    from data_access.metrics.registry import Metric
    from data_access.pipeline import Pipeline
    from data_access.window import Window

SECONDS_MAX: Final = 300  # a clock-dependent answer is never older than this
FRAMES_MAX: Final = 600  # about twelve pages' worth of filters for five readers
FRAMES_BYTES_MAX: Final = 256 * 1024 * 1024  # lists of people are large; the oldest frames go first
ANSWERS_MAX: Final = 200
ANSWERS_BYTES_MAX: Final = 128 * 1024 * 1024
FACTS_MAX: Final = 16
PIPELINE_SECONDS: Final = 10  # reports and locks change without the data's version
PIPELINES_MAX: Final = 8
SESSION_MAX: Final = timedelta(days=2)  # how far back a session may have begun
SESSION_EVENTS_MAX: Final = 50
OPTIONS_MAX: Final = 2_000  # of one filter; the browser draws no longer list in good time


@dataclass(frozen=True, slots=True)
class Facts:
    """What the frame around every page says about the data."""

    settings: Settings
    choices: dict[str, tuple[str, ...]]
    properties: tuple[str, ...]  # metadata keys to break a number down by
    problems: tuple[Problem, ...]
    first_day: date | None
    last_day: date | None
    as_of: datetime | None


@st.cache_data(
    ttl=SECONDS_MAX, max_entries=FRAMES_MAX, max_size=FRAMES_BYTES_MAX, show_spinner=False
)
def load(
    metric: str,
    filters: Filters,
    version: str,  # noqa: ARG001 - part of the key: fresh data is a new entry
    home: str,
    split: str | None = None,
    **options: Any,  # noqa: ANN401 - a metric's own options
) -> pl.DataFrame:
    """Compute `metric` under `filters`, for the data as of `version`. Failures are not cached."""
    return compute(METRICS[metric], filters, home, split=split, **options).collect()


def spec(name: str) -> Metric | Measure | None:
    """Return a metric, or a measure of the pipeline, by name."""
    return METRICS.get(name) or MEASURES.get(name)


def measured(name: str, window: Window, version: str, home: str) -> pl.DataFrame:
    """Compute a measure of the home's pipeline over a window."""
    return MEASURES[name].compute(_pipeline(home, version, window.start), window)


@st.cache_data(ttl=PIPELINE_SECONDS, max_entries=PIPELINES_MAX, show_spinner=False)
def _pipeline(home: str, version: str, since: date) -> Pipeline:  # noqa: ARG001 - the version is part of the key
    return data_access.pipeline(home, since=since)


@st.cache_data(ttl=SECONDS_MAX, max_entries=FACTS_MAX, show_spinner=False)
def facts(home: str, version: str, today: date) -> Facts:  # noqa: ARG001 - version and day are the key
    """Read what the frame needs: settings, filter options, troubles, and when the data ends."""
    choices = data_access.choices(home)
    settings = data_access.settings(home)
    return Facts(
        settings=settings,
        choices={name: tuple(values[:OPTIONS_MAX]) for name, values in choices.items()},
        properties=data_access.properties(home),
        problems=tuple(data_access.problems(home)),
        first_day=data_access.first_day(home, timezone=settings.timezone),
        last_day=data_access.last_day(home, timezone=settings.timezone),
        as_of=data_access.data_as_of(home),
    )


@st.cache_data(ttl=SECONDS_MAX, max_entries=FRAMES_MAX, show_spinner=False)
def session_before(
    home: str,
    version: str,  # noqa: ARG001 - part of the key
    session_id: str,
    moment: datetime,
) -> pl.DataFrame:
    """Return the last events of a session up to a moment, newest first: what led to an error."""
    events = data_access.scan("events", home, since=moment - SESSION_MAX)
    return (
        events.filter(pl.col("session_id") == session_id, pl.col("timestamp") <= moment)
        .select("timestamp", "event_name", "result", "duration_ms", "context_id", "event_id")
        .sort("timestamp", "event_id", descending=True)
        .head(SESSION_EVENTS_MAX)
        .collect()
    )


class Answers:
    """Answers of Explore, the longest unused going first.

    Streamlit's own cache computes inside a call, which nobody could cancel; this one is told.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Answer] = OrderedDict()
        self._bytes = 0.0

    def get(self, key: Hashable) -> Answer | None:
        """Return what was kept under a key: the question, its filters and the data's version."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Hashable, answer: Answer) -> None:
        """Keep an answer, within ANSWERS_MAX and ANSWERS_BYTES_MAX."""
        with self._lock:
            self._drop(key)
            self._kept[key] = answer
            self._bytes += answer.frame.estimated_size()
            while self._kept and (len(self._kept) > ANSWERS_MAX or self._bytes > ANSWERS_BYTES_MAX):
                self._drop(next(iter(self._kept)))

    def drop(self, key: Hashable) -> None:
        """Forget an answer."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: Hashable) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._bytes -= gone.frame.estimated_size()


@st.cache_resource(show_spinner=False)
def answers() -> Answers:
    """Return this server's answers of Explore."""
    return Answers()
