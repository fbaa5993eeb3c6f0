"""What the host said, on its way from the host's thread to the background one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

# user_id, user_id_hash, user_tier, session_id, channel, project_id, branch_id, context_id
WhoSaid = tuple[Any, Any, Any, Any, Any, Any, Any, Any]
WHO_SAID: Final = (
    *("user_id", "user_id_hash", "user_tier", "session_id"),
    *("channel", "project_id", "branch_id", "context_id"),
)


class EventSaid(NamedTuple):
    """What `track` was given, at the moment `at_s`."""

    at_s: float
    event_name: Any
    who: WhoSaid
    result: Any = "success"
    duration_ms: Any = None
    metadata: Any = None
    more: Any = None
    timestamp: Any = None
    event_id: Any = None


class TraceSaid(NamedTuple):
    """What a trace was given; `at_s` is when it began."""

    at_s: float
    operation_name: Any
    who: WhoSaid
    duration_ms: Any
    success: Any = True
    result_count: Any = None
    metadata: Any = None
    more: Any = None
    timestamp: Any = None
    event_id: Any = None


class ErrorSaid(NamedTuple):
    """What `error` was given: type, message and trace as the host's runtime had them."""

    at_s: float
    error_type: Any
    who: WhoSaid
    error_message: Any = ""
    stack_trace: Any = None
    severity: Any = "error"
    related_event_name: Any = None
    occurrences: Any = 1
    metadata: Any = None
    more: Any = None
    timestamp: Any = None
    event_id: Any = None
    stack_hash: Any = None


class CallSaid(NamedTuple):
    """A call that is an event and a trace; `at_s` is when it ended."""

    at_s: float
    event_name: str
    operation_name: str
    who: WhoSaid
    result: str
    duration_ms: float
    result_count: Any
    metadata: dict[str, Any]


class TurnSaid(NamedTuple):
    """What one turn of a session, or one context that belongs to none, adds to its rollup."""

    at_s: float
    who: WhoSaid
    values: Mapping[str, Any]
