"""The part that reads: lazy frames over a telemetry home, filters, windows and metrics."""

from data_access.config import Settings
from data_access.errors import DataUnavailable, Problem
from data_access.filters import Filters
from data_access.home import settings, settings_anyway
from data_access.pipeline import Pipeline, pipeline
from data_access.sources import (
    choices,
    data_as_of,
    first_day,
    last_day,
    prepare,
    problems,
    properties,
    scan,
    segment_sizes,
    stages,
    version,
)
from data_access.team import Note, Segment, notes, segments
from data_access.views import PastQuestion, SavedView, history, queries, saved, views
from data_access.window import Window, WindowError

__all__ = [
    "DataUnavailable",
    "Filters",
    "Note",
    "PastQuestion",
    "Pipeline",
    "Problem",
    "SavedView",
    "Segment",
    "Settings",
    "Window",
    "WindowError",
    "choices",
    "data_as_of",
    "first_day",
    "history",
    "last_day",
    "notes",
    "pipeline",
    "prepare",
    "problems",
    "properties",
    "queries",
    "saved",
    "scan",
    "segment_sizes",
    "segments",
    "settings",
    "settings_anyway",
    "stages",
    "version",
    "views",
]
