"""A stretch of the host's work that is timed: `with`, `async with`, or a decorator."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

P = ParamSpec("P")
R = TypeVar("R")


class Span:
    """One timed operation. It fails when an exception leaves it; the exception goes on.

    Attributes
    ----------
    result_count : how many results it had, if the host says so.
    success : False when an exception left it, or when the host says so.
    metadata : more to keep; the allow-list applies.
    """

    __slots__ = ("_clock", "_emit", "_started_s", "metadata", "result_count", "success")

    def __init__(
        self,
        emit: Callable[[Span, float], None],
        clock: Callable[[], float],
        metadata: dict[str, Any],
    ) -> None:
        self._emit = emit  # is given the span and its milliseconds, and never raises
        self._clock = clock
        self._started_s = 0.0
        self.result_count: int | None = None
        self.success = True
        self.metadata = metadata

    def __enter__(self) -> Self:
        self._started_s = self._clock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Stop the clock and record the trace."""
        took_ms = (self._clock() - self._started_s) * 1_000
        if error is not None and not isinstance(error, (GeneratorExit, StopIteration)):
            self.success = False
        self._emit(self, took_ms)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the clock and record the trace."""
        self.__exit__(kind, error, trace)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Time every call of a function: plain, async, or a generator of either kind."""
        return timed(function, self._again)

    def _again(self) -> Span:
        return Span(self._emit, self._clock, self.metadata.copy())


def timed(function: Callable[P, R], span: Callable[[], Span]) -> Callable[P, R]:
    """Return a function that runs each call of `function` inside a span of its own."""
    kind = inspect.unwrap(function)
    wrapper: Callable[..., Any]
    if inspect.iscoroutinefunction(kind):

        @wraps(function)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> object:
            with span():
                return await cast("Any", function(*args, **kwargs))

    elif inspect.isasyncgenfunction(kind):

        @wraps(function)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - any generator
            generator = cast("Any", function(*args, **kwargs))
            with span():
                try:
                    item = await anext(generator)
                    while True:
                        item = await generator.asend((yield item))
                except StopAsyncIteration:
                    return
                finally:
                    await generator.aclose()

    elif inspect.isgeneratorfunction(kind):

        @wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - any generator
            with span():
                return (yield from cast("Any", function(*args, **kwargs)))

    else:

        @wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> object:
            with span():
                return function(*args, **kwargs)

    return cast("Callable[P, R]", wrapper)
