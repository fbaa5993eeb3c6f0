"""An exception as text: type, message and trace, the way Python prints it but without source.

It runs in the host's thread, so it reads no file, never throws, takes about 1 microsecond a frame
and is bounded by the limits below. It keeps neither the exception nor its frames.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from ingest.boundary import Boundary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import CodeType, TracebackType

__all__ = ["Described", "describe"]

FRAMES_OUTERMOST_MAX: Final = 100  # a web server and a test runner each call in through 40
FRAMES_INNERMOST_MAX: Final = 60
REPEATED_FRAMES_SHOWN: Final = 3  # as in Python; more are counted
CHAIN_OUTERMOST_MAX: Final = 4
CHAIN_ROOTS_MAX: Final = 12  # as many causes as `stack_hash` looks at
CHAIN_STEPS_MAX: Final = 1_000  # a retry loop may hang one exception on the other for hours
MEMBERS_MAX: Final = 64  # of all groups together
GROUP_WIDTH_MAX: Final = 15  # as in Python
GROUP_DEPTH_MAX: Final = 10  # as in Python
MESSAGE_CHARS_MAX: Final = 8_192  # before scrubbing
NOTES_MAX: Final = 16
NAME_CHARS_MAX: Final = 1_000  # of a type, a file or a function

_THEIRS: Final = Boundary(foreign=True)
_HEADER = "Traceback (most recent call last):"
_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"
_UNNAMED_MODULES = ("builtins", "__main__")


class Described(NamedTuple):
    """What is worth keeping of an exception, unscrubbed.

    Attributes
    ----------
    error_type
        The type as Python prints it: `ValueError`, `json.decoder.JSONDecodeError`.
    message
        What follows the type, at most `MESSAGE_CHARS_MAX` characters; it may have several lines.
    stack_trace
        The text of `traceback.format_exception` without the lines of source code.
    """

    error_type: str
    message: str
    stack_trace: str


def describe(error: BaseException) -> Described:
    """Return the type, message and trace of an exception; see `Described`. It never throws.

    An exception that cannot be read at all gives its type's name and an empty message and trace.
    """
    with _THEIRS:  # an exception class may run any code of its own
        return Described(_type_name(error), _message(error), _Printer().print(error))
    return Described(type.__dict__["__name__"].__get__(type(error)), "", "")


# The exception itself -----------------------------------------------------------------------------


def _type_name(error: BaseException) -> str:
    kind = type(error)
    module: object = kind.__module__  # a class body may say anything here
    name = kind.__qualname__[:NAME_CHARS_MAX]
    if not isinstance(module, str):
        return f"<unknown>.{name}"
    return name if module in _UNNAMED_MODULES else f"{module[:NAME_CHARS_MAX]}.{name}"


def _message(error: BaseException) -> str:
    if not isinstance(error, SyntaxError):
        return _safe_text(error, "exception")
    message = _safe_text(error.msg, "exception") if error.msg else "<no detail available>"
    if error.lineno is None and error.filename is not None:
        return f"{message} ({_name(error.filename)})"
    return message


def _safe_text(value: object, what: str, to_text: Callable[[object], str] = str) -> str:
    """Take any object's text, or say that it has none, as Python does."""
    with _THEIRS:  # somebody's __str__
        text = to_text(value)
        return str.__getitem__(text, slice(MESSAGE_CHARS_MAX))  # a plain str, whatever `text` is
    return f"<{what} {to_text.__name__}() failed>"


def _name(value: object) -> str:
    return _safe_text(value, "name")[:NAME_CHARS_MAX]


def _headline(error: BaseException) -> Iterator[str]:
    """Give the place of a syntax error, then `Type: message`, then the notes."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        file = _name(error.filename) if error.filename else "<string>"
        yield f'  File "{file}", line {_name(error.lineno)}'
    message = _message(error)
    yield f"{_type_name(error)}: {message}" if message else _type_name(error)
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list | tuple):
        for note in islice(notes, NOTES_MAX):
            yield _safe_text(note, "note")
        if len(notes) > NOTES_MAX:
            yield f"[{len(notes) - NOTES_MAX} notes left out]"
    elif notes is not None:
        yield _safe_text(notes, "__notes__", repr)


# Its frames ---------------------------------------------------------------------------------------


def _frames(traceback: TracebackType | None) -> Iterator[str]:
    """Give one line per frame, outermost first; the middle of a very long stack is left out."""
    runs = _runs(traceback)
    for run in islice(runs, FRAMES_OUTERMOST_MAX):
        yield from _frame_lines(*run)
    innermost: deque[tuple[CodeType, int, int]] = deque(maxlen=FRAMES_INNERMOST_MAX)
    left_out = 0
    for run in runs:
        if len(innermost) == FRAMES_INNERMOST_MAX:
            left_out += innermost[0][2]
        innermost.append(run)
    if left_out:
        yield f"  [{left_out} frames left out]"
    for run in innermost:
        yield from _frame_lines(*run)


def _runs(traceback: TracebackType | None) -> Iterator[tuple[CodeType, int, int]]:
    """Give code, line and how often, with equal neighbours as one; a host's recursion ends it."""
    code: CodeType | None = None
    line = count = 0
    while traceback is not None:
        here, at = traceback.tb_frame.f_code, traceback.tb_lineno
        if here is code and at == line:
            count += 1
        else:
            if code is not None:
                yield code, line, count
            code, line, count = here, at, 1
        traceback = traceback.tb_next
    if code is not None:
        yield code, line, count


def _frame_lines(code: CodeType, line: int, count: int) -> Iterator[str]:
    file, function = code.co_filename[:NAME_CHARS_MAX], code.co_name[:NAME_CHARS_MAX]
    text = f'  File "{file}", line {line}, in {function}'
    if count <= REPEATED_FRAMES_SHOWN:
        for _ in range(count):
            yield text
        return
    more = count - REPEATED_FRAMES_SHOWN
    for _ in range(REPEATED_FRAMES_SHOWN):
        yield text
    yield f"  [Previous line repeated {more} more time{'s' if more > 1 else ''}]"


# Its chain and its group --------------------------------------------------------------------------


def _chain(error: BaseException, seen: set[int]) -> list[tuple[str, BaseException | None]]:
    """List an exception and what led to it, outermost first, each with the words printed after it.

    None stands for the middle of a long chain.
    """
    chain: list[tuple[str, BaseException | None]] = [("", error)]
    seen.add(id(error))
    for _ in range(CHAIN_STEPS_MAX):
        words, earlier = _CAUSE, error.__cause__
        if earlier is None or id(earlier) in seen:
            words, earlier = _CONTEXT, None if error.__suppress_context__ else error.__context__
        if earlier is not None and id(earlier) in seen:
            earlier = None
        if earlier is not None:
            chain.append((words, earlier))
            seen.add(id(earlier))
        if isinstance(error, BaseExceptionGroup):  # its members are told inside it, as in Python
            seen.update(map(id, error.exceptions))
        if earlier is None:
            break
        error = earlier
    middle = slice(CHAIN_OUTERMOST_MAX, -CHAIN_ROOTS_MAX)
    if len(chain) > CHAIN_OUTERMOST_MAX + CHAIN_ROOTS_MAX + 1:
        chain[middle] = [(chain[CHAIN_OUTERMOST_MAX][0], None)]
    return chain


class _Printer:
    """Prints one exception with its chain and groups into `lines`.

    Attributes
    ----------
    lines : what is printed so far.
    seen : ids of the exceptions printed or about to be, so that a cycle ends.
    depth : how many groups are open.
    left : how many members of groups may still be printed.
    unclosed : whether the box around the innermost group still lacks its last line.
    """

    __slots__ = ("depth", "left", "lines", "seen", "unclosed")

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.seen: set[int] = set()
        self.depth = 0
        self.left = MEMBERS_MAX
        self.unclosed = False

    def print(self, error: BaseException) -> str:
        """Return the whole trace."""
        self._print_chain(error)
        return "\n".join((*self.lines, ""))

    def _emit(self, lines: Iterable[str]) -> None:
        if not self.depth:
            self.lines.extend(lines)
            return
        margin = "  " * self.depth + "| "
        for text in lines:  # `splitlines` as in Python: a form feed ends a line too
            boxed = (margin + line for line in f"{text}\n".splitlines(keepends=True))
            self.lines.append("".join(boxed)[:-1])

    def _print_chain(self, error: BaseException) -> None:
        for words, link in reversed(_chain(error, self.seen)):
            if link is None:
                self._emit(["[exceptions left out]"])
            elif isinstance(link, BaseExceptionGroup):
                self._print_group(link)
            else:
                frames = list(_frames(link.__traceback__))
                self._emit([_HEADER, *frames] if frames else ())
                self._emit(_headline(link))
            if words:
                self._emit(["", words, ""])

    def _print_group(self, group: BaseExceptionGroup[BaseException]) -> None:
        if self.depth > GROUP_DEPTH_MAX:
            self._emit([f"... (max_group_depth is {GROUP_DEPTH_MAX})"])
            return
        top = not self.depth
        self.depth += top
        frames = list(_frames(group.__traceback__))
        if top and frames:
            self.lines.append(f"  + Exception Group {_HEADER}")
        elif frames:
            self._emit([f"Exception Group {_HEADER}"])
        self._emit(frames)
        self._emit(_headline(group))
        self._print_members(group.exceptions)
        self.depth -= top

    def _print_members(self, members: tuple[BaseException, ...]) -> None:
        """Print each member under its number; the last one closes the frame of all."""
        printed = min(len(members), GROUP_WIDTH_MAX, self.left)
        self.left -= printed
        titles = [str(number) for number in range(1, printed + 1)]
        titles += ["..."] if printed < len(members) else []
        self.unclosed = False
        for number, title in enumerate(titles):
            self.unclosed = self.unclosed or number == len(titles) - 1
            corner = "  " if number else "+-"
            self.lines.append(
                f"{'  ' * self.depth}{corner}+---------------- {title} ----------------"
            )
            self.depth += 1
            if number < printed:
                self._print_chain(members[number])
            else:
                more = len(members) - printed
                self._emit([f"and {more} more exception{'s' if more > 1 else ''}"])
            if number == len(titles) - 1 and self.unclosed:
                self.lines.append("  " * self.depth + "+------------------------------------")
                self.unclosed = False
            self.depth -= 1
