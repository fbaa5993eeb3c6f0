"""Instruments the tools of an MCP server: one event and one trace for each call.

What a tool was given and what it answered stays with the tool: of both only numbers and flags on
the allow-list, ids, the length of a query and the number of results are kept. The `mcp` package
is not needed; a server is anything with a `tool()` decorator.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property, wraps
from itertools import islice
from time import perf_counter
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

from ingest.boundary import Boundary
from ingest.client import STRICT_VARIABLE, Client
from ingest.said import WHO_SAID
from ingest.settings import read_settings
from ingest.vocabulary import CortexEventName

if TYPE_CHECKING:
    from ingest.older import TelemetryClient

__all__ = ["MCPTools", "Who", "instrument_tool"]

P = ParamSpec("P")
R = TypeVar("R")
Who = Mapping[str, Any] | Callable[[], Mapping[str, Any] | None] | None

ARGUMENTS_MAX: Final = 64  # of a call that are looked at
KEYS_MAX: Final = 64  # of an answer

_CALLED: Final = CortexEventName.SERVER_OPERATION_CALLED.value
_CREATED: Final = CortexEventName.CONTEXT_CREATED.value
_AUTO_CREATED: Final = CortexEventName.CONTEXT_AUTO_CREATED.value
_LIFECYCLE: Final = {
    "branch_create": _CREATED,
    "create_branch": _CREATED,
    "create_context": _CREATED,
    "load_context": CortexEventName.CONTEXT_LOADED.value,
    "resume_context": CortexEventName.CONTEXT_RESUMED.value,
    "modify_context": CortexEventName.CONTEXT_MODIFIED.value,
    "merge_context": CortexEventName.CONTEXT_MERGED.value,
    "delete_context": CortexEventName.CONTEXT_DELETED.value,
} | {name.value: name.value for name in CortexEventName if name.value.startswith("context_")}

_IDS: Final = frozenset(("session_id", "project_id", "branch_id", "context_id"))
_NESTED: Final = frozenset(("arguments", "parameters", "params"))  # one dict with all of them
_DISPATCHERS: Final = frozenset(("tool_call", "mcp.tool_call", "call_tool"))  # call any tool
_TOOL_NAMES: Final = frozenset(("tool_name", "name"))  # and say in these which one
_TOOL: Final = re.compile(r"[A-Za-z][\w.-]{0,63}", re.ASCII)
_OUTERMOST: Final = _NESTED | _TOOL_NAMES  # read in a call's own arguments only
_LOOKED_AT: Final = _IDS | _NESTED | {"query", "auto_or_manual"}
_COUNTED: Final = {"results": "results_count", "suggestions": "suggestion_count"}
_TEXT_KEPT: Final = ("category",)  # of an answer; the one text that is a result, not content
_BRANCH_WORDS: Final = ("auto", "automatic", "manual")
_MARK: Final = "__says_each_call__"
_NUMBERS: Final = frozenset((int, float, bool))
_AUTOMATIC_KEYS: Final = ("auto", "automatic", "auto_or_manual")
_AUTOMATIC: Final = (True, 1, "1", "true", "auto", "automatic")
_SAYS_NOTHING: Final = frozenset((str, int, float, bool, bytes, type(None)))  # answers
_WHO: Final = frozenset(WHO_SAID)
_Given = tuple[tuple[Any, ...], dict[str, Any]]  # a call's arguments


def instrument_tool(
    client: Client | TelemetryClient, name: str | None = None, *, who: Who = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Say `server_operation_called`, and how long it took, for each call of a tool's handler.

    The handler may be plain or async and have any signature; its answer and its exceptions go on
    unchanged. An exception is an error as well; a TimeoutError gives the result `timeout`, a
    cancelled call `cancelled`. An answer with `success: False` or `isError: True` is an `error`.

    Parameters
    ----------
    client : an `ingest.Client`, or an older client.
    name : the tool's name; the handler's own when not given.
    who : user_id, user_id_hash, user_tier, session_id, channel, project_id, branch_id, context_id:
        a dict, or a function asked at the end of each call. Ids among the call's own arguments
        fill in what it does not say.
    """
    return lambda handler: _instrumented(handler, _Tool(client, name or _name_of(handler), who))


class MCPTools:
    """Instruments a set of tools, each with the standard event that fits its name.

    A tool that creates, loads, resumes, modifies, merges or deletes a context says so (a branch
    created automatically is `context_auto_created`); every other one `server_operation_called`.
    A `tool_call` handler that calls other tools goes by the `tool_name` (or `name`) it is given.

    Parameters
    ----------
    client, who : as for `instrument_tool`.
    """

    def __init__(self, client: Client | TelemetryClient, *, who: Who = None) -> None:
        self._client = client
        self._who = who

    def tool(self, name: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Instrument one handler; `name` is the tool's, the handler's own when not given."""
        return lambda handler: self._one(name or _name_of(handler), handler)

    def wrap(self, handlers: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
        """Return the handlers of a server by tool name, instrumented."""
        return {name: self._one(name, handler) for name, handler in handlers.items()}

    def install(self, server: Any) -> None:  # noqa: ANN401 - whatever has a tool() decorator
        """Instrument every tool a server gets from now on through `server.tool`.

        Works as `@server.tool()`, `@server.tool("name")`, `@server.tool(name="name")`, and where
        the server allows it `@server.tool` and `server.tool(handler)`. The server sees a handler
        with the name, the signature and the documentation of the one it was given.
        """
        original = server.tool

        @wraps(original)
        def tool(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the server's own signature
            if args and callable(args[0]):
                handler, *rest = args
                name = kwargs.get("name") or _name_of(handler)
                return original(self._one(name, handler), *rest, **kwargs)
            decorate = original(*args, **kwargs)
            given = kwargs.get("name") or (args[0] if args and isinstance(args[0], str) else None)
            return lambda handler: decorate(self._one(given or _name_of(handler), handler))

        server.tool = tool

    def _one(self, name: str, handler: Callable[P, R]) -> Callable[P, R]:
        return _instrumented(handler, _Tool(self._client, name, self._who, _LIFECYCLE))


def _name_of(handler: object) -> str:
    return str(getattr(handler, "__name__", None) or type(handler).__name__)


class _Tool:
    """One tool: what is known of it before it is called, and what is said of each call."""

    def __init__(
        self,
        client: Client | TelemetryClient,
        name: str,
        who: Who,
        events: Mapping[str, str] | None = None,
    ) -> None:
        self._client = client if isinstance(client, Client) else client.client
        self._name = name
        self._events = events or {}
        self._looked_at = _LOOKED_AT | (_TOOL_NAMES if name in _DISPATCHERS else frozenset())
        self._asked = who
        self._boundary = Boundary(strict=os.environ.get(STRICT_VARIABLE) == "1")
        self._positions: tuple[str, ...] = ()
        self._defaults: dict[str, Any] = {}

    @cached_property
    def _allow(self) -> frozenset[str]:
        """Metadata keys of this home that may hold a number or a flag."""
        metadata = read_settings(self._client.home).metadata
        return frozenset(name for name, key in metadata.items() if key.kind != "text")

    @cached_property
    def _always(self) -> dict[str, Any]:
        """Return what is said of every call: the tool's name, and the defaults of its numbers."""
        kept = {name: value for name, value in self._defaults.items() if name in self._allow}
        return {"tool_name": self._name, **kept}

    def learn(self, handler: Callable[..., Any]) -> None:
        """Look at the handler's parameters, once."""
        try:
            parameters = list(inspect.signature(handler).parameters.values())
        except (TypeError, ValueError):  # a builtin says nothing of its parameters
            return
        by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self._positions = tuple(one.name for one in parameters if one.kind in by_position)
        self._defaults = {
            one.name: one.default for one in parameters if type(one.default) in _NUMBERS
        }

    def answered(self, started_s: float, given: _Given, answer: object) -> None:
        """Say that the handler returned."""
        took_ms = (perf_counter() - started_s) * 1_000
        with self._boundary:
            who, metadata = self._kept(given)
            is_error = type(answer) not in _SAYS_NOTHING and _read(answer, self._allow, metadata)
            self._say(who, metadata, took_ms, "error" if is_error else "success")

    def failed(self, started_s: float, given: _Given, error: BaseException) -> None:
        """Say that an exception left the handler."""
        took_ms = (perf_counter() - started_s) * 1_000
        with self._boundary:
            who, metadata = self._kept(given)
            if not isinstance(error, Exception):
                self._say(who, metadata, took_ms, "cancelled")
                return
            result = "timeout" if isinstance(error, TimeoutError) else "error"
            event = self._say(who, metadata, took_ms, result)
            self._client.error(error, related_event_name=event, metadata=metadata, **who)

    def _say(
        self, who: dict[str, Any], metadata: dict[str, Any], took_ms: float, result: str
    ) -> str:
        """Say the event and the trace; return the event's name."""
        tool = metadata["tool_name"]
        event = self._events.get(tool.removeprefix("mcp."), _CALLED)
        if event == _CREATED and any(metadata.get(key) in _AUTOMATIC for key in _AUTOMATIC_KEYS):
            event = _AUTO_CREATED
        count = metadata.get("results_count")
        self._client.called(
            event, tool, took_ms, result=result, result_count=count, metadata=metadata, **who
        )
        return event

    def _kept(self, given: _Given) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return who calls, and what of the arguments may be kept: numbers, flags, a length."""
        args, kwargs = given
        who: dict[str, Any] = {}
        metadata = self._always.copy()
        named = dict(zip(self._positions, args, strict=False)) | kwargs if args else kwargs
        self._look(named, who, metadata)
        if self._asked is not None:
            who |= self._caller(self._asked)
        return who, metadata

    def _caller(
        self, asked: Mapping[str, Any] | Callable[[], Mapping[str, Any] | None]
    ) -> dict[str, Any]:
        """Return who calls, as the host says; nothing when it cannot say."""
        said: Mapping[str, Any] | None = None
        if callable(asked):
            with self._boundary:  # the host's own function
                said = asked()
        else:
            said = asked
        return {key: said[key] for key in said if key in _WHO and said[key]} if said else {}

    def _look(
        self, named: Mapping[str, Any], who: dict[str, Any], metadata: dict[str, Any]
    ) -> None:
        for name in named if len(named) <= ARGUMENTS_MAX else list(named)[:ARGUMENTS_MAX]:
            value = named[name]
            if type(value) in _NUMBERS:
                if name in self._allow:
                    metadata[name] = value
            elif name in self._looked_at:
                self._look_at(name, value, who, metadata)

    def _look_at(
        self,
        name: str,
        value: Any,  # noqa: ANN401 - any argument
        who: dict[str, Any],
        metadata: dict[str, Any],
    ) -> None:
        """Keep what a text or a dict among the arguments gives: an id, a length, a known word."""
        if name in _IDS:
            who[name] = value or None
        elif name in _TOOL_NAMES:  # a word, as a tool is named; anything else is content
            if isinstance(value, str) and _TOOL.fullmatch(value):
                metadata["tool_name"] = value
        elif name == "query":
            if isinstance(value, str):
                metadata["query_length"] = len(value)
        elif name == "auto_or_manual":
            if value in _BRANCH_WORDS:
                metadata[name] = value
        elif type(value) is dict:
            inner = {key: one for key, one in value.items() if key not in _OUTERMOST}
            self._look(inner, who, metadata)


def _read(answer: object, allow: frozenset[str], metadata: dict[str, Any]) -> bool:
    """Keep what of an answer may be kept; tell whether it says that the call failed."""
    if isinstance(answer, dict):
        is_error = answer.get("isError") is True or answer.get("is_error") is True
        inner = answer.get("structuredContent")
        return _found(answer, allow, metadata) or is_error or _found(inner, allow, metadata)
    if isinstance(answer, (list, tuple)):
        metadata["results_count"] = len(answer)
        return False
    # an object of a server's library
    is_error = any(getattr(answer, name, None) is True for name in ("isError", "is_error"))
    inner = getattr(answer, "structuredContent", None) or getattr(
        answer, "structured_content", None
    )
    return _found(inner, allow, metadata) or is_error


def _found(content: object, allow: frozenset[str], metadata: dict[str, Any]) -> bool:
    """Keep what of the named parts of an answer may be kept; tell whether they say failure."""
    if not isinstance(content, dict):
        return False
    for name, value in islice(content.items(), KEYS_MAX):
        if type(value) in _NUMBERS:
            if name in allow:
                metadata[name] = value
        elif name in _COUNTED:
            if isinstance(value, (list, tuple)):
                metadata.setdefault(_COUNTED[name], len(value))
        elif name in _TEXT_KEPT:
            if isinstance(value, str):
                metadata[name] = value
        elif name == "auto_or_manual" and value in _BRANCH_WORDS:
            metadata[name] = value
    return content.get("success") is False


def _instrumented(handler: Callable[P, R], tool: _Tool) -> Callable[P, R]:
    """Return a handler that says each call; one that does already stays as it is."""
    if getattr(handler, _MARK, False):
        return handler
    tool.learn(handler)
    waits = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - an object with an async __call__
    )
    wrapper = _waiting(handler, tool) if waits else _plain(handler, tool)
    # a server resolves annotations that are text in the module of what it is given: this one's
    with suppress(NameError, AttributeError, TypeError, ValueError, SyntaxError):
        wrapper.__signature__ = inspect.signature(handler, eval_str=True)  # type: ignore[attr-defined]
    setattr(wrapper, _MARK, True)
    return cast("Callable[P, R]", wrapper)


def _plain(handler: Callable[..., Any], tool: _Tool) -> Callable[..., Any]:
    @wraps(handler)
    def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any handler
        started_s = perf_counter()
        try:
            answer = handler(*args, **kwargs)
        except BaseException as error:
            tool.failed(started_s, (args, kwargs), error)
            raise
        if type(answer) is CoroutineType:  # `lambda query: search(query)` of an async search
            return _awaited(answer, tool, started_s, (args, kwargs))
        tool.answered(started_s, (args, kwargs), answer)
        return answer

    return wrapper


def _waiting(handler: Callable[..., Any], tool: _Tool) -> Callable[..., Any]:
    @wraps(handler)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any handler
        return await _awaited(handler(*args, **kwargs), tool, perf_counter(), (args, kwargs))

    return wrapper


async def _awaited(answer: Any, tool: _Tool, started_s: float, given: _Given) -> Any:  # noqa: ANN401 - any handler
    try:
        found = await answer
    except BaseException as error:
        tool.failed(started_s, given, error)
        raise
    tool.answered(started_s, given, found)
    return found
