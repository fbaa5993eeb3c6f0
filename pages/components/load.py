"""The one cache: finished frames and the few facts every page needs, per version of the data.

Keys are plain values only. Streamlit hashes a frame by the rows it would print, so a frame must
never become an argument here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import streamlit as st

import data_access
from data_access.compute import compute
from data_access.metrics import METRICS
from data_access.pipeline import MEASURES, Measure, Pipeline

if TYPE_CHECKING:
    from datetime import date, datetime

    from data_access import Filters, Problem, Settings
    from data_access.metrics.registry import Metric
    from data_access.window import Window

SECONDS_MAX: Final = 300  # a clock-dependent answer is never older than this
FRAMES_MAX: Final = 600  # about twelve pages' worth of filters for five readers
FRAMES_BYTES_MAX: Final = 256 * 1024 * 1024  # lists of people are large; the oldest frames go first
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
