"""The three things a product can say: an Event happened, an Error was met, a Trace was timed."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(slots=True)
class _Said:
    """What all three have in common: who, where in the product, and when.

    `user_id` is hashed before it is kept; `user_id_hash` is kept as it is. Without either it is
    this installation. A missing timestamp is the moment the client is told.
    """

    user_id: str | None = field(default=None, kw_only=True)
    user_id_hash: str | None = field(default=None, kw_only=True)
    user_tier: str | None = field(default=None, kw_only=True)
    is_paid_user: bool | None = field(default=None, kw_only=True)  # follows the tier
    session_id: str | None = field(default=None, kw_only=True)
    channel: str | None = field(default=None, kw_only=True)
    project_id: str | None = field(default=None, kw_only=True)
    branch_id: str | None = field(default=None, kw_only=True)
    context_id: str | None = field(default=None, kw_only=True)
    metadata: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    timestamp: datetime | str | float | None = field(default=None, kw_only=True)
    event_id: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = ""

    def to_record(self) -> dict[str, Any]:
        """Return the fields by name; those without a value are left out."""
        record = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in record.items() if value is not None}


@dataclass(slots=True)
class Event(_Said):
    """Something happened. `duration_ms` is milliseconds, `result` success, error, timeout, ..."""

    event_name: str
    result: str = "success"
    duration_ms: float | None = None

    kind: ClassVar[str] = "events"


@dataclass(slots=True)
class Error(_Said):
    """Something failed. The stack trace is scrubbed and shortened before it is kept."""

    error_type: str
    error_message: str = ""
    stack_trace: str | None = None
    severity: str = "error"
    related_event_name: str | None = None
    occurrences: int = 1
    stack_hash: str | None = None  # made of the trace when not given

    kind: ClassVar[str] = "errors"


@dataclass(slots=True)
class Trace(_Said):
    """Something took `duration_ms` milliseconds."""

    operation_name: str
    duration_ms: float
    success: bool = True
    result_count: int | None = None

    kind: ClassVar[str] = "traces"
