"""Queries to start from. They name nothing that only one home has; a test runs each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Example:
    """A query with its name and the question it answers."""

    name: str
    answers: str
    sql: str


EXAMPLES: Final = (
    Example(
        "p95 by release",
        "Did a release make operations slower?",
        """SELECT release, COUNT(*) AS traces,
  QUANTILE_CONT(duration_ms, 0.5) AS duration_ms_p50,
  QUANTILE_CONT(duration_ms, 0.95) AS duration_ms_p95
FROM traces
WHERE release IS NOT NULL
GROUP BY release
ORDER BY release""",
    ),
    Example(
        "Failures per tool",
        "Which tool fails most often?",
        """SELECT metadata.tool_name AS tool, SUM(weight) AS calls,
  SUM(CASE WHEN result <> 'success' THEN weight ELSE 0 END) / SUM(weight) AS error_rate
FROM events
WHERE metadata.tool_name IS NOT NULL
GROUP BY metadata.tool_name
ORDER BY error_rate DESC""",
    ),
    Example(
        "First day of each person",
        "How many people were first seen on each day of the period?",
        """WITH first_days AS (
  SELECT user_id_hash, MIN(day) AS first_day, MIN(weight) AS stands_for
  FROM events
  GROUP BY user_id_hash
)
SELECT first_day, SUM(stands_for) AS people
FROM first_days
GROUP BY first_day
ORDER BY first_day""",
    ),
    Example(
        "Paid sessions with context",
        "What share of paying people's sessions loaded or resumed a context?",
        """WITH each_session AS (
  SELECT session_id, MIN(weight) AS stands_for,
    MAX(CASE WHEN result = 'success'
      AND event_name IN ('context_loaded', 'context_resumed') THEN 1 ELSE 0 END) AS with_context
  FROM events
  WHERE session_id <> '' AND is_paid_user
  GROUP BY session_id
)
SELECT SUM(stands_for) AS sessions,
  SUM(with_context * stands_for) / SUM(stands_for) AS context_share
FROM each_session""",
    ),
    Example(
        "Hours of the week",
        "When are people here, on the page's clock?",
        """SELECT weekday, hour_of_day, SUM(weight) AS events
FROM events
GROUP BY weekday, hour_of_day
ORDER BY weekday, hour_of_day""",
    ),
    Example(
        "What came before a failure",
        "Which events stand before one that failed, in the same session?",
        """WITH in_order AS (
  SELECT event_name, result,
    LAG(event_name) OVER (PARTITION BY session_id ORDER BY timestamp) AS event_before
  FROM events
  WHERE session_id <> ''
)
SELECT event_before, event_name, COUNT(*) AS failures
FROM in_order
WHERE result <> 'success' AND event_before IS NOT NULL
GROUP BY event_before, event_name
ORDER BY failures DESC
LIMIT 20""",
    ),
)
