"""What a query may take beyond the limits of the team's settings (`config.Limits`)."""

from __future__ import annotations

from typing import Final

RESULT_BYTES_MAX: Final = 64 * 1024 * 1024  # of one answer, on its way into the server
WHOLE_BYTES_MAX: Final = 4 * 1024**3  # of one answer that goes into a file
WHOLE_SECONDS_MAX: Final = 600.0  # for such a one
COLUMNS_MAX: Final = 200  # of one answer
DAYS_FROM_1970_MAX: Final = 95_000_000  # the calendar ends in 262,142
PLAN_CHARS_MAX: Final = 20_000
WAIT_SECONDS_MAX: Final = 5.0  # for one of the places to become free
SPARE_IDLE_SECONDS_MAX: Final = 600.0  # an unused process goes home after that
START_SECONDS_MAX: Final = 30.0  # for a process to load the engine, on a busy machine
