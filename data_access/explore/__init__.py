"""Questions nobody foresaw: put together by hand or written in SQL, run where they can do no harm.

A question is SQL in the end, and SQL is checked word by word, printed anew, and run by a process of
its own with limits on rows, time and memory. Nothing here starts that process before it is asked.
"""

from data_access.explore.builder import sql_of
from data_access.explore.pivot import Pivoted, pivoted
from data_access.explore.question import (
    BUCKETS,
    MEASURES,
    OPERATORS,
    PICTURES,
    Condition,
    Question,
)
from data_access.explore.refused import QueryRefused, QueryStopped
from data_access.explore.running import Answer, Running, ask, close, start, warm
from data_access.explore.starts import Start, narrowed, started
from data_access.explore.words import FUNCTIONS, Function

__all__ = [
    "BUCKETS",
    "FUNCTIONS",
    "MEASURES",
    "OPERATORS",
    "PICTURES",
    "Answer",
    "Condition",
    "Function",
    "Pivoted",
    "QueryRefused",
    "QueryStopped",
    "Question",
    "Running",
    "Start",
    "ask",
    "close",
    "narrowed",
    "pivoted",
    "sql_of",
    "start",
    "started",
    "warm",
]
