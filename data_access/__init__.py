"""The part that reads: lazy frames over a telemetry home, filters, windows and metrics."""

from data_access.errors import DataUnavailable, Problem
from data_access.filters import Filters
from data_access.home import Settings, settings
from data_access.pipeline import Pipeline, pipeline
from data_access.sources import (
    choices,
    data_as_of,
    first_day,
    last_day,
    prepare,
    problems,
    scan,
    stages,
    version,
)
from data_access.window import Window, WindowError

__all__ = [
    "DataUnavailable",
    "Filters",
    "Pipeline",
    "Problem",
    "Settings",
    "Window",
    "WindowError",
    "choices",
    "data_as_of",
    "first_day",
    "last_day",
    "pipeline",
    "prepare",
    "problems",
    "scan",
    "settings",
    "stages",
    "version",
]
