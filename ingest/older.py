"""The older system's names, working as its documents show them, on top of `ingest.Client`.

What a caller says is turned into the events, errors and traces of today; nothing here writes.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, overload

from ingest.boundary import Boundary
from ingest.client import FLUSH_TIMEOUT_S, STRICT_VARIABLE, Client
from ingest.events import Error, Event, Trace
from ingest.said import WHO_SAID
from ingest.vocabulary import CHANNEL_ALIASES, PAID_TIERS, ChannelType, EventSeverity

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

__all__ = [
    "ExtensionTelemetryClient",
    "MCPTelemetryClient",
    "TelemetryClient",
    "TelemetryError",
    "TelemetryEvent",
    "TelemetryTrace",
    "flush_known",
    "get_extension_telemetry_client",
    "get_mcp_telemetry_client",
]

SUCCESS: Final = "success"
_CHANNEL: Final = ChannelType.SERVER.value
_NEVER_KEPT: Final = ("parameters", "query", "prompt", "project_path", "branch_topic")


# --- the three records ------------------------------------------------------------------------


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever the host gave
    """Return an enum's value; anything else as it is."""
    return value.value if isinstance(value, Enum) else value


def _mapping(value: object) -> dict[str, Any]:
    """Copy a mapping, which stays the caller's; anything else says nothing."""
    return dict(value) if isinstance(value, Mapping) else {}


def _is_paid(tier: object, said: object) -> bool:
    """Tell whether a user pays: the tier says so, and without one what was said."""
    return tier in PAID_TIERS if tier else bool(said)


class _Who:
    """What the three have in common: who, and where in the product."""

    user_id_hash: str
    user_tier: str
    is_paid_user: bool
    session_id: str
    channel: str
    project_id: str | None
    branch_id: str | None
    context_id: str | None
    metadata: dict[str, Any]

    def _settle(self, service: object = None) -> None:
        """Convert the fields all three share; called once, when the record is made."""
        self.user_tier = _plain(self.user_tier) or ""
        self.is_paid_user = _is_paid(self.user_tier, self.is_paid_user)
        given = _plain(self.channel) or _plain(service)
        self._channel_said = bool(given)
        self.channel = CHANNEL_ALIASES.get(given, given) if isinstance(given, str) else _CHANNEL
        self.metadata = _mapping(self.metadata)

    def _said(self) -> dict[str, Any]:
        """Return who, as `ingest.events` names it; the client's own values fill what is missing."""
        named = self._channel_said or self.channel != _CHANNEL
        tier = self.user_tier or (PAID_TIERS[0] if self.is_paid_user else None)
        return {
            "user_id_hash": self.user_id_hash or None,
            "user_tier": tier,
            "session_id": self.session_id or None,
            "channel": self.channel if named else None,
            "project_id": self.project_id or None,
            "branch_id": self.branch_id or None,
            "context_id": self.context_id or None,
        }


@dataclass
class TelemetryEvent(_Who):
    """Something happened. The last five fields are the oldest system's, converted when made.

    `service` becomes `channel` ("mcp" is "server"), `event_type` becomes `event_name`, the tier
    decides `is_paid_user`, and `event_data` and `tool_name` join a copy of `metadata`. An
    `error_message` makes it an error as well, once it is tracked or saved.

    Attributes
    ----------
    duration_ms : milliseconds.
    timestamp : when; ISO 8601, a datetime, or seconds since 1970. Now, when not given.
    """

    event_name: str = ""
    user_id_hash: str = ""
    user_tier: str = ""
    is_paid_user: bool = False
    session_id: str = ""
    channel: str = ""
    project_id: str | None = None
    branch_id: str | None = None
    context_id: str | None = None
    result: str = SUCCESS
    duration_ms: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    timestamp: str = field(default_factory=_now)
    service: str | None = None
    event_type: str | None = None
    tool_name: str | None = None
    event_data: dict[str, Any] = field(default_factory=dict)
    error_message: str | None = None

    def __post_init__(self) -> None:
        self._settle(self.service)
        self.event_name = _plain(self.event_name) or _plain(self.event_type) or ""
        self.result = _plain(self.result) or SUCCESS
        self.metadata |= _mapping(self.event_data)
        if self.tool_name:
            self.metadata["tool_name"] = _plain(self.tool_name)

    def to_records(self) -> list[Event | Error | Trace]:
        """Return the event, and the error inside it when there is one."""
        event = Event(
            self.event_name,
            self.result,
            self.duration_ms,
            metadata=_flat(self.metadata),
            timestamp=self.timestamp,
            **self._said(),
        )
        return [event, self._error()] if self.error_message else [event]

    def _error(self) -> Error:
        failed = self.result != SUCCESS
        error_type = self.metadata.get("error_type")
        return Error(
            str(error_type or (self.result.capitalize() if failed else "Error")),
            str(self.error_message),
            self.metadata.get("stack_trace"),
            EventSeverity.ERROR.value if failed else EventSeverity.WARNING.value,
            self.event_name,
            timestamp=self.timestamp,
            **self._said(),
        )


def _flat(metadata: dict[str, Any]) -> dict[str, Any]:
    """Lay the parameters of a tool call beside the rest, where the allow-list looks at each.

    A query becomes its length and a prompt goes, whatever the team's own list allows.
    """
    flat = _mapping(metadata.get("parameters")) | metadata
    query = flat.get("query")
    if isinstance(query, str):
        flat.setdefault("query_length", len(query))
    return {name: value for name, value in flat.items() if name not in _NEVER_KEPT}


class _StackHash:
    """Computes the hash of an error when somebody asks for it; most are never asked."""

    @overload
    def __get__(self, error: None, kind: type) -> None: ...
    @overload
    def __get__(self, error: TelemetryError, kind: type) -> str: ...
    def __get__(self, error: TelemetryError | None, kind: type) -> str | None:
        """Return the hash; None of the class itself, which is the field's default."""
        if error is None:
            return None
        if not error.__dict__.get("_stack_hash"):
            from ingest.stack_hash import stack_hash  # noqa: PLC0415 - the first error pays for it

            error.__dict__["_stack_hash"] = stack_hash(
                str(error.stack_trace or ""),
                error_type=str(error.error_type),
                message=str(error.error_message),
            )
        return str(error.__dict__["_stack_hash"])

    def __set__(self, error: TelemetryError, value: str | None) -> None:
        """Keep a hash that was given; None asks for ours."""
        error.__dict__["_stack_hash"] = value


@dataclass
class TelemetryError(_Who):
    """Something failed. Message and trace are scrubbed before they are written.

    `stack_hash` is computed when it is not given; what is stored is always today's hash, so that
    equal faults of all versions meet in one group.
    """

    error_type: str = "Error"
    error_message: str = ""
    stack_trace: str | None = None
    stack_hash: _StackHash = _StackHash()
    severity: str = EventSeverity.ERROR.value
    user_id_hash: str = ""
    user_tier: str = ""
    is_paid_user: bool = False
    session_id: str = ""
    channel: str = ""
    project_id: str | None = None
    branch_id: str | None = None
    context_id: str | None = None
    related_event_name: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    timestamp: str = field(default_factory=_now)

    def __post_init__(self) -> None:
        self._settle()
        self.severity = _plain(self.severity) or EventSeverity.ERROR.value
        self.related_event_name = _plain(self.related_event_name)

    def to_records(self) -> list[Event | Error | Trace]:
        """Return the error."""
        error = Error(
            self.error_type,
            self.error_message,
            self.stack_trace,
            self.severity,
            self.related_event_name,
            metadata=self.metadata,
            timestamp=self.timestamp,
            **self._said(),
        )
        return [error]


@dataclass
class TelemetryTrace(_Who):
    """Something took `duration_ms` milliseconds."""

    operation_name: str = ""
    duration_ms: float = 0
    success: bool = True
    result_count: int | None = None
    user_id_hash: str = ""
    user_tier: str = ""
    is_paid_user: bool = False
    session_id: str = ""
    channel: str = ""
    project_id: str | None = None
    branch_id: str | None = None
    context_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    timestamp: str = field(default_factory=_now)

    def __post_init__(self) -> None:
        self._settle()
        self.operation_name = _plain(self.operation_name) or ""

    def to_records(self) -> list[Event | Error | Trace]:
        """Return the trace."""
        trace = Trace(
            self.operation_name,
            self.duration_ms,
            self.success,
            self.result_count,
            metadata=self.metadata,
            timestamp=self.timestamp,
            **self._said(),
        )
        return [trace]


# --- the clients ------------------------------------------------------------------------------

_known: Final[weakref.WeakValueDictionary[int, Client]] = weakref.WeakValueDictionary()


def flush_known(home: Path, timeout_s: float) -> bool:
    """Bring what this process's older clients said of a home into its log, within `timeout_s`."""
    until_s = monotonic() + timeout_s
    clients = [reference() for reference in _known.valuerefs()]
    flushed = [
        client.flush(max(until_s - monotonic(), 0.0))
        for client in clients
        if client is not None and client.home == home
    ]
    return all(flushed)


_EVENT_FIELDS: Final = frozenset(one.name for one in fields(TelemetryEvent))
_ERROR_FIELDS: Final = ("severity", "related_event_name", "timestamp")


class TelemetryClient:
    """The older client: says what happened through an `ingest.Client`, and never raises.

    Parameters
    ----------
    service : mcp, extension or web; the channel of what does not say its own.
    home : the telemetry home; $TELEMETRY_HOME or ./telemetry when not given.
    options : as for `ingest.Client`; `enabled=False` (an old TELEMETRY_ENABLED) writes nothing.
    """

    def __init__(
        self,
        service: str = "mcp",
        home: str | Path | None = None,
        **options: Any,  # noqa: ANN401 - as for Client
    ) -> None:
        self.service = str(_plain(service))
        channel = CHANNEL_ALIASES.get(self.service, self.service)
        environ: Mapping[str, str] = options.get("environ", os.environ)
        self._boundary = Boundary(strict=environ.get(STRICT_VARIABLE) == "1")
        self.client = Client(home, **({"channel": channel} | options))
        self.home = self.client.home
        _known[id(self.client)] = self.client

    def track_event(self, event: TelemetryEvent) -> bool:
        """Say that something happened; return whether there was room for it."""
        with self._boundary:
            return self._record(event.to_records())
        return False

    def emit_event(self, name: str, data: Mapping[str, Any] | None = None) -> bool:
        """Say that something happened; return whether there was room for it.

        Parameters
        ----------
        name : the event's name.
        data : fields of `TelemetryEvent`, `user_id`, and metadata.
        """
        with self._boundary:
            given = {**_mapping(data), "event_name": name}
            user_id = given.pop("user_id", None)
            known = {key: value for key, value in given.items() if key in _EVENT_FIELDS}
            more = {key: value for key, value in given.items() if key not in _EVENT_FIELDS}
            known["metadata"] = more | _mapping(given.get("metadata"))
            records = TelemetryEvent(**known).to_records()
            for record in records:
                record.user_id = user_id
            return self._record(records)
        return False

    def track_error(
        self,
        error: BaseException | TelemetryError | str | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> bool:
        """Say that something failed; return whether there was room for it.

        Parameters
        ----------
        error : an exception (the one being handled, when not given), a message, or the record.
        context : who, `severity`, `related_event_name`, `timestamp`, and metadata.
        """
        with self._boundary:
            given = _mapping(context)
            who = {name: given.pop(name, None) for name in WHO_SAID}
            if isinstance(error, TelemetryError):
                return self._record([_in_context(error, who, given)])
            said = {name: given.pop(name) for name in _ERROR_FIELDS if given.get(name) is not None}
            metadata = given | _mapping(given.pop("metadata", None))
            return self.client.error(error, metadata=metadata, **said, **who)
        return False

    def track_trace(self, trace: TelemetryTrace) -> bool:
        """Say how long something took; return whether there was room for it."""
        with self._boundary:
            return self._record(trace.to_records())
        return False

    def flush(self, timeout_s: float = FLUSH_TIMEOUT_S) -> bool:
        """Wait until everything said so far is in the log; return whether it is."""
        return self.client.flush(timeout_s)

    def close(self, timeout_s: float = FLUSH_TIMEOUT_S) -> bool:
        """Write everything and stop; return whether nothing was left at the deadline."""
        if _singles.get(type(self)) is self:
            _singles.pop(type(self), None)
        return self.client.close(timeout_s)

    def shutdown(self, timeout_s: float = FLUSH_TIMEOUT_S) -> bool:
        """Do what `close` does."""
        return self.close(timeout_s)

    def stats(self) -> dict[str, Any]:
        """Return what became of everything said; see `Client.stats`."""
        stats = self.client.stats()
        stats["faults"] += self._boundary.caught
        return stats

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Close the client; an exception of the host goes on."""
        self.close()

    def _record(self, records: list[Event | Error | Trace]) -> bool:
        """Say each; return whether there was room for the first, which the others belong to."""
        said, *_ = [self.client.record(record) for record in records]
        return said

    def _track(self, event_type: str, data: dict[str, Any], **said: Any) -> bool:  # noqa: ANN401 - fields of the event
        with self._boundary:
            event = TelemetryEvent(
                service=self.service, event_type=event_type, event_data=data, **said
            )
            return self._record(event.to_records())
        return False


def _in_context(error: TelemetryError, who: dict[str, Any], context: dict[str, Any]) -> Error:
    """Return the record of an error; the context fills in what the error does not say."""
    [record] = error.to_records()
    if not isinstance(record, Error):  # for the type checker; an error's record is one
        raise TypeError("not an error")
    if not record.related_event_name:
        record.related_event_name = _plain(context.get("related_event_name"))
    for name, value in who.items():
        if getattr(record, name) is None:
            setattr(record, name, value)
    record.metadata = {**context, **_mapping(context.get("metadata")), **record.metadata}
    return record


class MCPTelemetryClient(TelemetryClient):
    """The older client of an MCP server."""

    def __init__(
        self,
        home: str | Path | None = None,
        **options: Any,  # noqa: ANN401 - as for Client
    ) -> None:
        super().__init__("mcp", home, **options)

    def track_tool_call(  # noqa: PLR0917 - the older signature
        self,
        tool_name: str,
        user_tier: str,
        user_id_hash: str,
        parameters: dict[str, Any],
        result: str,
        duration_ms: float,
        error_message: str | None = None,
        project_id: str | None = None,
        branch_id: str | None = None,
    ) -> bool:
        """Say that a tool was called; of the parameters only allowed keys are kept."""
        return self._track(
            "tool_call",
            {"tool_name": tool_name, "parameters": parameters},
            tool_name=tool_name,
            user_tier=user_tier,
            user_id_hash=user_id_hash,
            result=result,
            duration_ms=duration_ms,
            error_message=error_message,
            project_id=project_id,
            branch_id=branch_id,
        )

    def track_branch_create(
        self,
        user_tier: str,
        user_id_hash: str,
        branch_topic: str,
        auto_or_manual: str,
        project_id: str,
    ) -> bool:
        """Say that a branch was made, automatically or by hand; its topic is never kept."""
        del branch_topic
        return self._track(
            "branch_create",
            {"auto_or_manual": auto_or_manual},
            user_tier=user_tier,
            user_id_hash=user_id_hash,
            project_id=project_id,
        )

    def track_search_context(  # noqa: PLR0917 - the older signature
        self,
        user_tier: str,
        user_id_hash: str,
        query: str,
        top_k: int,
        results_count: int,
        duration_ms: float,
        project_id: str | None = None,
    ) -> bool:
        """Say that somebody searched; of the query only its length is kept."""
        return self._track(
            "search_context",
            {"query": query, "top_k": top_k, "results_count": results_count},
            user_tier=user_tier,
            user_id_hash=user_id_hash,
            duration_ms=duration_ms,
            project_id=project_id,
        )

    def track_compress_context(  # noqa: PLR0917 - the older signature
        self,
        user_tier: str,
        user_id_hash: str,
        before_tokens: int,
        after_tokens: int,
        savings_rate: float,
        project_id: str,
        branch_id: str,
    ) -> bool:
        """Say that a context was compressed, from so many tokens to so many."""
        return self._track(
            "compress_context",
            {
                "before_tokens": before_tokens,
                "after_tokens": after_tokens,
                "savings_rate": savings_rate,
            },
            user_tier=user_tier,
            user_id_hash=user_id_hash,
            project_id=project_id,
            branch_id=branch_id,
        )

    def track_reference_suggest(
        self,
        user_tier: str,
        user_id_hash: str,
        suggestion_count: int,
        accepted: bool,  # noqa: FBT001 - the older signature
        project_id: str,
    ) -> bool:
        """Say that references were suggested, and whether they were accepted."""
        return self._track(
            "reference_suggest",
            {"suggestion_count": suggestion_count, "accepted": accepted},
            user_tier=user_tier,
            user_id_hash=user_id_hash,
            project_id=project_id,
        )


class ExtensionTelemetryClient(TelemetryClient):
    """The older client of an editor's extension."""

    def __init__(
        self,
        home: str | Path | None = None,
        **options: Any,  # noqa: ANN401 - as for Client
    ) -> None:
        super().__init__("extension", home, **options)

    def track_install(self, user_tier: str, user_id_hash: str, ide: str, version: str) -> bool:
        """Say that the extension was installed."""
        return self._track(
            "install",
            {"ide": ide, "version": version},
            user_tier=user_tier,
            user_id_hash=user_id_hash,
        )

    def track_activate(
        self, user_tier: str, user_id_hash: str, ide: str, project_path: str
    ) -> bool:
        """Say that the extension was activated; nothing of the project's path is kept."""
        del project_path
        return self._track("activate", {"ide": ide}, user_tier=user_tier, user_id_hash=user_id_hash)

    def track_ui_interaction(
        self,
        user_tier: str,
        user_id_hash: str,
        action: str,
        element: str,
        project_id: str | None = None,
    ) -> bool:
        """Say what was done with which part of the interface."""
        return self._track(
            "ui_interaction",
            {"action": action, "element": element},
            user_tier=user_tier,
            user_id_hash=user_id_hash,
            project_id=project_id,
        )

    def track_code_insert(
        self,
        user_tier: str,
        user_id_hash: str,
        language: str,
        lines_inserted: int,
        project_id: str | None = None,
    ) -> bool:
        """Say how many lines of which language were inserted; never the lines."""
        return self._track(
            "code_insert",
            {"language": language, "lines_inserted": lines_inserted},
            user_tier=user_tier,
            user_id_hash=user_id_hash,
            project_id=project_id,
        )

    def track_error(  # type: ignore[override] # the older signature, different from its base's
        self,
        user_tier: str,
        user_id_hash: str,
        error_type: str,
        error_message: str,
        stack_trace: str | None = None,
    ) -> bool:
        """Say that the extension failed: an event `error`, and the error itself."""
        return self._track(
            "error",
            {"error_type": error_type, "stack_trace": stack_trace},
            user_tier=user_tier,
            user_id_hash=user_id_hash,
            result="error",
            error_message=error_message,
        )


# --- one of each per process ------------------------------------------------------------------

_C = TypeVar("_C", bound=TelemetryClient)

_singles: Final[dict[type[TelemetryClient], Any]] = {}


def get_mcp_telemetry_client() -> MCPTelemetryClient:
    """Return this process's client for an MCP server; another one after a shutdown.

    The home is the one $TELEMETRY_HOME names when the client is first asked for.
    """
    return _single(MCPTelemetryClient)


def get_extension_telemetry_client() -> ExtensionTelemetryClient:
    """Return this process's client for an extension; another one after a shutdown."""
    return _single(ExtensionTelemetryClient)


def _single(kind: type[_C]) -> _C:
    # `setdefault` lets one of several threads win without a lock that a fork could copy while it
    # is held; a client that lost said nothing and costs nothing
    found: _C = _singles.get(kind) or _singles.setdefault(kind, kind())
    return found
