"""One fault, one hash: names an error's group from its stack trace; stores and logs nothing.

A hash is made of every exception in the chain. Each gives its type, its innermost in-app frames
and the template of its message's first line, taken after scrubbing: a secret is no part of a hash,
and a scrubbed trace has the hash of the raw one. A frame is a function plus (Python, JavaScript,
Go) a file stem: no line, column, directory, query, argument or address. Java, Rust and C# names are
qualified, so there the file is left out, and a build without debug symbols keeps its group.

What is in-app
--------------
Java, Go, Rust and C# decide by the qualified name, which scrubbing leaves alone. Python and
JavaScript decide by markers in the path (`site-packages`, `node_modules`, `lib/python3`, `node:`),
and, so that the standard library's usual frames are known from a bare `threading.py` too, by file
stem and function.

What scrubbing to bare basenames loses: a third-party Python or JavaScript frame then looks in-app,
and the hash of such a trace differs from the raw one. A scrubber that shortens paths with
`public_path` (which keeps `site-packages/jinja2/filters.py` and drops what comes before) loses
nothing. Truncating a trace keeps its hash as long as the outermost exception, the `CHAIN_MAX`
different ones nearest to the root, and the `FRAMES_MAX` innermost different in-app frames of each
survive. An exception that says what an earlier one said may go, a part of its frames may not.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from ingest.patterns import Lazy

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

__all__ = [
    "HASH_VERSION",
    "STACK_CHARS_MAX",
    "Explanation",
    "both_ends",
    "culprit",
    "explain",
    "message_template",
    "public_path",
    "stack_hash",
]

HASH_VERSION: int = 1
STACK_CHARS_MAX: Final = 96_000  # half from the start, half from the end: both ends name a fault
LINE_CHARS_MAX: Final = 1_000
HEADING_CHARS_MAX: Final = 40
CUT_WORD_CHARS_MAX: Final = 512  # a word cut by that limit goes, as in `ingest.scrub`
MESSAGE_CHARS_MAX: Final = 2_000
HEAD_CHARS_MAX: Final = (
    8_192  # of a message's first lines that are scrubbed; as many as scrub reads
)
SCRUBBED_CHARS_MAX: Final = 500  # of a scrubbed message that counts; as many as scrub keeps
TEMPLATE_CHARS_MAX: Final = 240
FRAMES_MAX: Final = 5  # innermost in-app frames; about what survives in 2 KB of a Python trace
LIBRARY_FRAMES_MAX: Final = 3  # fewer, because they count only when nothing in-app is left
CYCLE_FRAMES_MAX: Final = 12
CYCLE_WINDOW_FRAMES: Final = (
    40  # innermost in-app frames in which an endless recursion is looked for
)
CHAIN_MAX: Final = 12  # different causes, those nearest to the root
FAULTS_MAX: Final = 256  # exceptions read, equal ones included
MESSAGES_CACHED_MAX: Final = 256  # scrubbing costs 50 to 230 us and messages repeat
FRAMES_CACHED_MAX: Final = 4_096  # the same frames come again: 1.2x (Python) to 2.7x (JS) faster
GENERIC_DEPTH_MAX: Final = 8
TEMPLATE_PASSES_MAX: Final = 8  # masking is repeated until nothing changes; two passes are usual


class Frame(NamedTuple):
    """One call, as the hash sees it.

    `library` frames count only when nothing in-app is left; an `entry` frame (`<module>`, `main`)
    only when it is alone, because who called in is not part of the fault.
    """

    function: str
    file: str
    key: str
    library: bool = False
    entry: bool = False


class Fault:  # a dataclass would load inspect: 10 ms of a host's start
    """One exception of a chain: its frames run from the crash outwards."""

    __slots__ = ("boxed", "column", "frames", "location", "message", "type")

    def __init__(
        self, kind: str = "", *, frames: list[Frame] | None = None, column: int = 0
    ) -> None:
        self.type = kind
        self.message = ""
        self.frames = frames or []
        self.location = ""
        self.column = column
        self.boxed = False


class Explanation(NamedTuple):
    """Why a trace has its hash.

    Attributes
    ----------
    frames
        "function (file)" of each frame that counted, innermost first, all exceptions of the chain.
    template
        The masked first line of the message; empty when it was only the runtime's wording.
    language
        "python", "javascript", "java", "go", "rust", "csharp", or "" when only the message counted.
    culprit
        "function (file)" of the innermost in-app frame, or empty.
    hash
        The 16 hex characters `stack_hash` returns.
    """

    frames: tuple[str, ...]
    template: str
    language: str
    culprit: str
    hash: str


def stack_hash(stack_trace: str, *, error_type: str = "", message: str = "") -> str:
    """Name the group of an error: 16 lower-case hex characters, equal for the same fault.

    Parameters
    ----------
    stack_trace
        The trace as its runtime printed it, raw or scrubbed.
    error_type
        The type of the outermost exception; read from the trace when empty.
    message
        Its message; read from the trace when empty.
    """
    return explain(stack_trace, error_type=error_type, message=message).hash


def culprit(stack_trace: str) -> str:
    """Return "function (file)" of the innermost in-app frame, "search (engine.py)", or ""."""
    _, faults = _parse(_text(stack_trace))
    return _culprit(faults)


def explain(stack_trace: str, *, error_type: str = "", message: str = "") -> Explanation:
    """Show which frames and which template made the hash; see `Explanation`."""
    text = _text(stack_trace)
    language, faults = _parse(text)
    outer = faults[0] if faults else Fault()
    outer.message = _text(message) or outer.message
    if not faults:
        outer.message = outer.message or text
        faults = [outer]
    for fault in faults:
        _hide_secrets(fault)
    given_type = _text(error_type).strip()
    outer.type = _without_secrets(given_type) if given_type else outer.type

    chosen = [_chosen(fault, language) for fault in faults]
    templates = [_wording(fault, language) for fault in faults]
    prints = [
        "\x1f".join(
            (_simple_type(fault.type, language), *(frame.key for frame in frames), _blank(template))
        )
        for fault, frames, template in zip(faults, chosen, templates, strict=True)
    ]
    # equal ones count once: siblings of a group, attempts of a retry loop
    causes = [cause for cause in dict.fromkeys(prints[1:]) if cause != prints[0]]
    identity = "\x1e".join((prints[0], *sorted(causes[-CHAIN_MAX:])))
    import hashlib  # noqa: PLC0415 - 3 ms of OpenSSL that a host pays with its first error only

    digest = hashlib.blake2b(identity.encode("utf-8", "replace"), digest_size=8).hexdigest()
    return Explanation(
        frames=tuple(_shown(frame) for frames in chosen for frame in frames),
        template=templates[0],
        language=language,
        culprit=_culprit(faults),
        hash=digest,
    )


# Which frames count -------------------------------------------------------------------------------

_OVERFLOW = (
    *("recursionerror", "stackoverflow", "stack overflow", "maximum call stack"),
    *("too much recursion", "maximum recursion"),
)


def _chosen(fault: Fault, language: str) -> list[Frame]:
    """Take the frames of one exception that count, innermost first."""
    if _overflowed(fault):
        cycle = _cycle(fault.frames)
        if cycle:
            return cycle
    for rung in (
        [frame for frame in fault.frames if not frame.library and not frame.entry],
        [frame for frame in fault.frames if not frame.library][:1],
    ):
        if rung:
            return _unique(rung)[:FRAMES_MAX]
    if fault.location:
        return [Frame("", fault.location, _stem(fault.location, language))]
    return _unique(fault.frames)[:LIBRARY_FRAMES_MAX]


def _overflowed(fault: Fault) -> bool:
    said = f"{fault.type}\n{fault.message[:LINE_CHARS_MAX]}".lower()
    return any(words in said for words in _OVERFLOW)


def _cycle(frames: list[Frame]) -> list[Frame]:
    """Return the functions that call each other, sorted: the stack may end in any of them."""
    in_app = [frame for frame in frames if not frame.library][:CYCLE_WINDOW_FRAMES]
    counts = Counter(frame.key for frame in in_app)
    repeated = {frame.key: frame for frame in in_app if counts[frame.key] > 1}
    return [repeated[key] for key in sorted(repeated)][:CYCLE_FRAMES_MAX]


def _unique(frames: list[Frame]) -> list[Frame]:
    """Keep the first of equal frames, so that recursion depth does not count."""
    seen: dict[str, Frame] = {}
    for frame in frames:
        seen.setdefault(frame.key, frame)
    return list(seen.values())


def _culprit(faults: list[Fault]) -> str:
    """Show the innermost in-app frame of the outermost exception that has one."""
    in_app = (frame for fault in faults for frame in fault.frames if not frame.library)
    first = next(in_app, None)
    return _shown(first) if first else ""


def _shown(frame: Frame) -> str:
    return (
        f"{frame.function} ({frame.file})"
        if frame.file and frame.function
        else frame.function or frame.file
    )


def _simple_type(name: str, language: str) -> str:
    """Drop the module or package of a type: clients and runtimes disagree on printing it."""
    if language in {"go", "rust"}:
        return name.strip()
    return name.strip().split(" [", 1)[0].rsplit(".", 1)[-1].rsplit("$", 1)[-1]


# Reading a trace ----------------------------------------------------------------------------------

_ANSI = Lazy(r"\x1b\[[0-9;]*[A-Za-z]")
# docker compose writes `worker-1  | ` before each line, Android `E/AndroidRuntime(123): `
_CONTAINER_PREFIX = Lazy(r"^(?:[\w.-]+\s*\| |[^\n]{0,60}?\bE[ /]AndroidRuntime(?:\( *\d+\))?: )")


def _text(value: object) -> str:
    """Take whatever a client sent as text, cut to `STACK_CHARS_MAX`."""
    if isinstance(value, bytes | bytearray):
        value = bytes(value[: 4 * STACK_CHARS_MAX]).decode("utf-8", "replace")
    return both_ends("" if value is None else value if isinstance(value, str) else str(value))


_FRAME_START = Lazy(r'.*\bFile "|\s*at [^\s/]|\s*\d+: |[^\s()][^()]*\(|[^@]*@')
_HALF_FRAME_LINES = 3  # at most, at the start of the second half


def both_ends(text: str) -> str:
    """Cut a long trace to `STACK_CHARS_MAX`: both its ends, in whole lines and whole frames."""
    if len(text) <= STACK_CHARS_MAX:
        return text
    start, end = text[: STACK_CHARS_MAX // 2], text[-STACK_CHARS_MAX // 2 + 1 :]
    start = start[: start.rfind("\n")] if "\n" in start else start
    end = end[end.find("\n") + 1 :]
    lines = end.split("\n", _HALF_FRAME_LINES)
    whole = (at for at, line in enumerate(lines) if _FRAME_START.match(line[:LINE_CHARS_MAX]))
    return f"{start}\n" + "\n".join(lines[next(whole, 0) :])


def _parse(text: str) -> tuple[str, list[Fault]]:
    """Find the language and read the chain, outermost exception first."""
    lines = _lines(text)
    joined = "\n".join(lines)
    for language, (signature, parser) in _LANGUAGES.items():
        if signature.search(joined):
            faults = [
                fault for fault in parser(lines) if fault.frames or fault.type or fault.location
            ]
            if any(fault.frames or fault.location for fault in faults):
                return language, faults[:1] + faults[1:][-FAULTS_MAX:]
    return "", []


def _lines(text: str) -> list[str]:
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    lines = [_line(line.rstrip("\r")) for line in text.split("\n")]
    if lines and _CONTAINER_PREFIX.match(lines[0]):
        lines = [_CONTAINER_PREFIX.sub("", line, count=1) for line in lines]
    return lines


def _line(line: str) -> str:
    """Cut a long line between words, where `ingest.scrub` cuts it too."""
    if len(line) <= LINE_CHARS_MAX:
        return line
    head = line[:LINE_CHARS_MAX]
    if line[LINE_CHARS_MAX].isspace():
        return head
    word = max(head.rfind(edge) for edge in " \t,;&") + 1
    return head[:word] if word > LINE_CHARS_MAX - CUT_WORD_CHARS_MAX else head


def _basename(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


_LIBRARY_PATH = Lazy(
    r"[\\/](?P<kept>(?:site-packages|dist-packages|node_modules)[\\/].*"
    r"|lib(?:64)?[\\/]python\d(?:\.\d+)?[\\/].*|Lib[\\/].*\.py|pkg[\\/]mod[\\/].*)$"
)


def public_path(path: str) -> str:
    r"""Shorten a path to what names no one: the part from a library's marker on, or the file.

    Examples
    --------
    >>> public_path("/home/alice/.venv/lib/python3.11/site-packages/jinja2/filters.py")
    'site-packages/jinja2/filters.py'
    >>> public_path(r"C:\\Users\\alice\\shop\\cart.py")
    'cart.py'
    """
    path = path[:LINE_CHARS_MAX]
    while (found := _LIBRARY_PATH.search(path)) is not None:
        path = found["kept"].replace("\\", "/")
    return path if path.startswith(_KEPT_MARKERS) else _basename(path)


_KEPT_MARKERS = (
    "site-packages/",
    "dist-packages/",
    "node_modules/",
    "lib/python",
    "lib64/python",
    "Lib/",
    "pkg/mod/",
)


_JS_BUILD_PART = Lazy(
    r"chunk|bundle|min|prod|esm|cjs|umd|iife|legacy|development|production"
    r"|(?=[0-9a-f]*\d)[0-9a-f]{6,}|\d{3,}|\d+(?=$)"
)
_JS_VITE_HASH = Lazy(r"[-.](?=[\w-]*[A-Z\d])(?=[\w-]*[a-z\d])[\w-]{8}$")
_JS_PART = Lazy(r"([.~_-])")
_JS_EXTENSION = Lazy(r"\.(?:[cm]?[jt]sx?|vue|svelte|html?|map)$")


def _stem(path: str, language: str) -> str:
    """Reduce a path to what survives a release: no directory, content hash or extension."""
    name = _basename(path)
    if language == "javascript":
        return _js_stem(name.split("?", 1)[0].split("#", 1)[0])
    if "." in name[1:]:
        name = name[: name.rindex(".")]
    if name.startswith("<ipython-input") or name.isdigit():
        return "<cell>"
    return name


def _js_stem(name: str) -> str:
    name = _JS_EXTENSION.sub("", name)
    hashed = _JS_VITE_HASH.search(name)
    if hashed and _looks_random(hashed.group()[1:]):
        name = name[: hashed.start()]
    parts = _JS_PART.split(name)
    kept = [
        part for index, part in enumerate(parts) if index % 2 or not _JS_BUILD_PART.fullmatch(part)
    ]
    return "".join(kept).strip(".~_-") or "chunk"


def _looks_random(word: str) -> bool:
    """Tell `BxK3a9Qz` from `Checkout`: a digit, or more than one capital after the first."""
    return any(c.isdigit() for c in word) or sum(c.isupper() for c in word[1:]) > 1


# Python -------------------------------------------------------------------------------------------

_PY_FRAME = Lazy(r'File "(?P<file>[^"\n]+)", line \d+(?:,? in (?P<function>.+))?')
_PY_CELL = Lazy(r"^(?:Cell In|Input In) ?\[\d+\], (?:line \d+|in )")
_PY_LIBRARY = Lazy(
    r"(?:^|[\\/])(?:site-packages|dist-packages|lib(?:64)?[\\/]python\d[\d.]*|Lib"
    r"|python\d[\d.]*\.zip)[\\/]|^<frozen "
)
_PY_CONSOLE_SCRIPT = Lazy(r"^(?!<)[^.]+$|\.exe$")
_PY_NO_FRAME = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>"})  # inlined since Python 3.12
_PY_STANDARD = {
    "threading": {"_bootstrap", "_bootstrap_inner", "run"},
    "runners": {"run"},
    "base_events": {
        "run_until_complete",
        "run_forever",
        "_run_once",
        "call_soon",
        "create_connection",
    },
    "events": {"_run"},
    "taskgroups": {"__aexit__", "_aexit"},
    "tasks": {"wait_for", "gather", "__step", "_wrap_awaitable"},
    "timeouts": {"__aexit__"},
    "futures": {"result"},
    "_base": {"result", "__get_result"},
    "thread": {"run"},
    "process": {"_process_worker", "_process_chunk"},
    "pool": {"worker", "mapstar", "get"},
    "runpy": {"_run_module_as_main", "_run_code", "_run_module_code", "run_path", "run_module"},
    "contextlib": {"__exit__", "__aexit__", "inner", "__enter__", "__aenter__"},
    "functools": {"wrapper", "__get__", "_method", "dispatch"},
    "socket": {"create_connection", "getaddrinfo", "readinto", "accept"},
    "ssl": {"read", "recv_into", "do_handshake", "wrap_socket", "_create"},
    "client": {
        "_send_request",
        "_send_output",
        "endheaders",
        "getresponse",
        "begin",
        "_read_status",
    },
    "request": {
        "urlopen",
        "do_open",
        "http_open",
        "https_open",
        "_call_chain",
        "_open",
        "http_error_default",
    },
    "decoder": {"decode", "raw_decode"},
    "encoder": {
        "encode",
        "iterencode",
        "default",
        "_iterencode",
        "_iterencode_dict",
        "_iterencode_list",
    },
    "subprocess": {
        "run",
        "check_call",
        "check_output",
        "_execute_child",
        "communicate",
        "__init__",
    },
    "pathlib": {"open", "read_text", "write_text", "read_bytes", "stat", "mkdir", "unlink"},
    "case": {"run", "_callTestMethod", "assertEqual"},
    "codecs": {"decode"},
}


_PY_HEADER = "Traceback (most recent call last)"
_PY_GROUP_HEADER = "Exception Group Traceback"
_PY_INNERMOST_FIRST = "(most recent call first)"
_PY_BOUNDARY = Lazy(
    r"^\W*(?:The above exception was the direct cause of|During handling of the above exception,)"
    r"|^[ |]*\+(?:-\+)?-{16}"
)
_PY_BOX = ("| ", "+ ")  # at the left of a group and its members
_PY_BOX_CHARS = 4
_PY_BARE = Lazy(r"^[\s|]*(?P<type>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?$")


def _parse_python(lines: list[str]) -> list[Fault]:
    """Read chained tracebacks and exception groups, whatever a log put before each line."""
    if any(_PY_INNERMOST_FIRST in line for line in lines):
        return _parse_python_fatal(lines)
    reader = _Tracebacks()
    for line in lines:
        if 'File "' in line and reader.read_frame(line):
            continue
        if _PY_HEADER in line and reader.read_header(line):
            continue
        if not reader.read_type(line):
            reader.read_between(line)
    faults = reader.finish()
    for fault in faults:
        fault.frames.reverse()
    # frames that no exception follows are where a task was made, unless the trace was cut
    return _python_outer_first([fault for fault in faults[:-1] if fault.type] + faults[-1:])


class _Tracebacks:
    """Reads line by line. `open` is the traceback whose frames are being read.

    An exception that was never raised has no traceback: it is one `bare` line in its part of the
    text, where parts end at the words between two exceptions of a chain or members of a group.
    """

    __slots__ = ("bare", "faults", "first_part", "open", "raised")

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.open: Fault | None = None
        self.bare: Fault | None = None
        self.raised = False
        self.first_part = True

    def read_header(self, line: str) -> bool:
        group = line.find(_PY_GROUP_HEADER)
        at = group if group >= 0 else line.find(_PY_HEADER)
        if self._is_source(at):
            return False
        self._open(at)
        return True

    def read_frame(self, line: str) -> bool:
        found = _PY_FRAME.search(line)
        if not found or self._is_source(found.start() - 3):
            return False
        fault = self.open or self._open(0)
        if not fault.frames:  # a log may write before the header alone
            fault.column = max(found.start() - 2, 0)
            fault.boxed = line[: fault.column].endswith(_PY_BOX)
        frame = _python_frame(found["file"], found["function"])
        fault.frames.extend([frame] if frame else [])
        return True

    def read_type(self, line: str) -> bool:
        fault = self.open
        if fault is None or not fault.frames:
            return False
        column = fault.column
        if line[column : column + 1].strip(" \t") and not _PY_CELL.match(line[column:]):
            fault.type, _, fault.message = line[column:].partition(": ")
            self.open = None
        return True

    def read_between(self, line: str) -> None:
        if _PY_BOUNDARY.match(line):
            self._keep_bare()
            self.bare, self.raised, self.first_part = None, False, False
        elif self.bare is None and not self.raised:
            self.bare = _python_bare(line)

    def finish(self) -> list[Fault]:
        if not self.first_part:
            self._keep_bare()
        return self.faults

    def _open(self, column: int) -> Fault:
        self.open, self.raised = Fault(column=column), True
        self.faults.append(self.open)
        return self.open

    def _is_source(self, column: int) -> bool:
        """Tell source code that quotes a trace from the trace: it lies deeper than the frames."""
        return bool(self.open and self.open.frames and column > self.open.column)

    def _keep_bare(self) -> None:
        if self.bare and not self.raised:
            self.faults.append(self.bare)


def _python_bare(line: str) -> Fault | None:
    found = _PY_BARE.match(line)
    if not found:
        return None
    fault = Fault(found["type"], column=found.start("type"))
    fault.message = found["message"] or ""
    fault.boxed = line[: fault.column].endswith(_PY_BOX)
    return fault


def _parse_python_fatal(lines: list[str]) -> list[Fault]:
    """Read what the interpreter or `faulthandler` prints when it dies: innermost frame first."""
    fault = Fault("Fatal Python error")
    reading = False
    for line in lines:
        found = _PY_FRAME.search(line) if 'File "' in line else None
        if line.startswith("Fatal Python error: "):
            fault.message = line.partition(": ")[2]
        elif _PY_INNERMOST_FIRST in line:
            crashed = line.lstrip().startswith(("Current thread", "Stack"))
            reading = crashed or not fault.frames
            fault.frames = [] if crashed else fault.frames
        elif found and reading:
            frame = _python_frame(found["file"], found["function"])
            fault.frames.extend([frame] if frame else [])
    return [fault]


def _python_outer_first(faults: list[Fault]) -> list[Fault]:
    """Order from the exception that reached the top, the last at the outermost indent, to roots."""
    if not faults:
        return []
    edge = min(fault.column for fault in faults)
    outermost = {edge}
    if not any(fault.boxed for fault in faults if fault.column == edge):
        outermost.add(edge + _PY_BOX_CHARS)  # a group in a chain of plain exceptions
    outer = next(fault for fault in reversed(faults) if fault.column in outermost)
    return [outer, *(fault for fault in reversed(faults) if fault is not outer)]


@lru_cache(maxsize=FRAMES_CACHED_MAX)
def _python_frame(path: str, function: str | None) -> Frame | None:
    function = (function or "").strip().rsplit(".", 1)[-1]
    if function in _PY_NO_FRAME:
        return None
    name, stem = _basename(path), _stem(path, "python")
    entry = function == "<module>"
    library = (
        bool(_PY_LIBRARY.search(path))
        or function in _PY_STANDARD.get(stem, ())
        or (entry and bool(_PY_CONSOLE_SCRIPT.search(name)))
    )
    return Frame(function, name, f"{function}|{stem}", library, entry)


# JavaScript and TypeScript ------------------------------------------------------------------------

_JS_POSITION = Lazy(r"(?::(\d+))?(?::(\d+))?$")
_JS_LINE = Lazy(r":\d+$")
_JS_NOT_A_FILE = Lazy(
    r"^$|^native\b|^\[native code\]|^\[?wasm|<anonymous>|\beval at |> eval|^eval code|>"
    r" Function|^index \d+$"
    r"|^node:|^internal[\\/]|^ext:|^chrome-extension:|^moz-extension:"
)
_JS_LIBRARY = Lazy(
    r"(?:^|[\\/])(?:node_modules|bower_components|\.pnpm|\.yarn)[\\/]"
    r"|[\\/]webpack[\\/](?:bootstrap|runtime)"
)
_JS_PLUMBING = Lazy(
    r"Module\._|Module\.(?:load|runMain|require)$|(?:Function\.)?executeUserEntryPoint"
    r"|__webpack_require__"
    r"|(?:Object\.)?__awaiter$|__generator$|asyncGeneratorStep|_asyncToGenerator|tryCatch$"
    r"|regenerator|Generator\."
    r"|process\.(?:processTicksAndRejections|_tickCallback)|processTicksAndRejections"
    r"|listOnTimeout$|processTimers$"
)
_JS_NAME_NOISE = Lazy(r"^async[ *]|^new | \[as [^\]]*\]$|\$\d+$|/<*$")
_JS_ANONYMOUS = Lazy(
    r"^$|<anonymous>|^Anonymous function$|^(?:g|G)lobal code$|^(?:eval|module) code$"
    r"|^anonymous$|^_callee\d*\$?$|</|^\?$|<$"
)
_JS_TOP = Lazy(r"^Object\.<anonymous>$|^[Gg]lobal code$|^module code$")
_JS_HEADER = Lazy(
    r"^(?:error: )?(?:\(node:\d+\) UnhandledPromiseRejectionWarning: )?(?:Uncaught )?"
    r"(?:\(in promise\) )?(?P<type>[A-Za-z_$][\w$.]*)(?: \[\w+\])?(?::"
    r" (?P<message>.*))?$"
)
_JS_CAUSE = Lazy(r"^\s*(?:\[cause\]|[Cc]aused by|\[errors\]|\[?\d+\]?): (?P<header>.*)$")
_JS_MINIFIED_NAME_CHARS = 2
_JS_MINIFIED_COLUMN = 300


def _parse_javascript(lines: list[str]) -> list[Fault]:
    """Read V8, Gecko, WebKit and old Edge stacks, with Node's causes and aggregates."""
    fault = Fault()
    faults = [fault]
    above = ""
    for line in lines:
        call = _js_call(line)
        if call is None:
            above = line
            if _JS_CAUSE.match(line):
                fault = _js_next(faults)
            _js_headline(fault, line)
            continue
        if above[:1].isspace() and fault.frames and _JS_HEADER.match(above.strip()):
            fault = _js_next(faults)  # the next of `[errors]`
        if above and not fault.type:
            _js_headline(fault, above, custom=True)
        above = ""
        frame = _js_frame(*call)
        if frame:
            fault.frames.append(frame)
    return faults


def _js_next(faults: list[Fault]) -> Fault:
    faults.append(Fault())
    return faults[-1]


def _js_headline(fault: Fault, line: str, *, custom: bool = False) -> None:
    """Take type and message from a line, when it is one that heads a stack.

    A `custom` type need not be called an error: the line stands directly above the frames.
    """
    cause = _JS_CAUSE.match(line)
    text = cause["header"].removesuffix(" {") if cause else line.strip() if custom else line
    header = _JS_HEADER.match(text)
    if not header or fault.frames:
        return
    if cause or custom or "rror" in header["type"] or "xception" in header["type"]:
        fault.type, fault.message = header["type"], header["message"] or ""


def _js_call(line: str) -> tuple[str, str] | None:
    """Split a frame's line into name and location, or say that it is not one."""
    stripped = line.strip()
    if stripped.startswith("at "):
        body = stripped[3:].removesuffix(" {").removesuffix(",")
        if body.endswith(")") and " (" in body:
            name, _, location = body[:-1].partition(" (")
            return name, location
        return ("", body.removeprefix("async ")) if _JS_POSITION.search(body)[0] else None  # type: ignore[index]
    name, sign, location = stripped.partition("@")
    if (
        sign
        and (location == "[native code]" or _JS_LINE.search(location[-12:]))
        and " " not in name
    ):
        return name, location
    return None


@lru_cache(maxsize=FRAMES_CACHED_MAX)
def _js_frame(name: str, location: str) -> Frame | None:
    if _JS_NOT_A_FILE.search(location) or _JS_PLUMBING.search(name):
        return None
    position = _JS_POSITION.search(location)
    path = location[: position.start()] if position else location
    column = int((position[2] or "0")[:9]) if position else 0
    function = "" if _JS_ANONYMOUS.search(name) else _js_name(name)
    if len(function) <= _JS_MINIFIED_NAME_CHARS and column > _JS_MINIFIED_COLUMN:
        function = ""  # `t`, `aa`: another build gives another letter
    stem = _stem(path, "javascript")
    return Frame(
        function or "<anonymous>",
        _basename(path.split("?", 1)[0]),
        f"{function}|{stem}",
        library=bool(_JS_LIBRARY.search(path)),
        entry=bool(_JS_TOP.search(name)),
    )


def _js_name(name: str) -> str:
    """Reduce `async Cart.total [as sum]` to `total`: engines print the receiver differently."""
    for _ in range(3):
        name = _JS_NAME_NOISE.sub("", name)
    return name.rsplit(".", 1)[-1].rsplit("/", 1)[-1]


# Java ---------------------------------------------------------------------------------------------

_JAVA_FRAME = Lazy(r"^[ \t]*at (?P<name>[^\s(]+)\((?P<file>[^()]*)\)")
_JAVA_HEADER = Lazy(
    r'^(?:Exception in thread "[^"]*" )?(?P<type>[A-Za-z_][\w$]*(?:\.[\w$]+)*)'
    r"(?:: (?P<message>.*))?$"
)
_JAVA_CAUSE = Lazy(r"^[ \t]*(?:Caused by|Wrapped by): (?P<header>.*)$")
_JAVA_ASIDE = Lazy(r"^[ \t]*Suppressed: ")
_JAVA_GENERATED = Lazy(
    r"\$\$Lambda|\$\$(?:Enhancer|FastClass|Spring|Generated)|\$Proxy\d*\."
    r"|GeneratedMethodAccessor|GeneratedConstructorAccessor"
    r"|\.access\$\d+|\$HibernateProxy|_\$\$_|WeldClientProxy|\$ByteBuddy|\$MockitoMock"
    r"|LambdaForm|\$\$Internal"
)
_JAVA_NUMBERED = Lazy(r"(?<=\$)\d+|\$\d+$")
_JAVA_LIBRARY = (
    "java.", "javax.", "jakarta.", "jdk.", "sun.", "com.sun.", "kotlin.", "kotlinx.", "scala.",
    "groovy.", "clojure.", "android.", "androidx.", "com.android.", "dalvik.", "libcore.",
    "org.springframework.", "org.apache.", "org.eclipse.", "org.hibernate.", "org.junit.",
    "junit.", "org.testng.", "io.netty.", "reactor.", "rx.", "io.reactivex.", "com.google.",
    "okhttp3.", "okio.", "retrofit2.", "org.mortbay.", "com.fasterxml.", "org.jboss.",
    "org.gradle.", "net.bytebuddy.", "org.mockito.", "com.zaxxer.", "org.postgresql.",
    "com.mysql.", "oracle.", "akka.", "io.grpc.", "io.vertx.", "io.micronaut.", "io.quarkus.",
    "ch.qos.", "org.slf4j.", "org.codehaus.", "io.undertow.", "org.wildfly.",
    "com.intellij.rt.", "io.opentelemetry.", "feign.", "org.aspectj.", "org.jetbrains.",
    "jnr.", "zio.", "cats.",
)  # fmt: skip


def _parse_java(lines: list[str]) -> list[Fault]:
    """Read an exception and its causes; suppressed ones are another story and left out."""
    fault = Fault()
    faults = [fault]
    aside = False
    for line in lines:
        found = _JAVA_FRAME.match(line)
        if found:
            frame = None if aside else _java_frame(found["name"], found["file"])
            if frame:
                fault.frames.append(frame)
            continue
        cause = _JAVA_CAUSE.match(line)
        if cause and aside and line[:1].isspace():
            continue  # what caused the suppressed one
        if cause:
            fault, aside = Fault(), False
            faults.append(fault)
        elif _JAVA_ASIDE.match(line):
            aside = True
            continue
        header = _JAVA_HEADER.match(cause["header"] if cause else line.strip())
        if (
            header
            and not fault.frames
            and not aside
            and (cause or "." in header["type"] or not fault.type)
        ):
            fault.type, fault.message = header["type"], header["message"] or ""
    return faults


@lru_cache(maxsize=FRAMES_CACHED_MAX)
def _java_frame(name: str, file: str) -> Frame | None:
    if _JAVA_GENERATED.search(name):
        return None
    name = name.rsplit("/", 1)[-1]  # `java.base@17/`, `app//`
    library = name.startswith(_JAVA_LIBRARY)
    name = _JAVA_NUMBERED.sub("", name)
    owner, _, method = name.rpartition(".")
    shown = file.split(":", 1)[0]
    return Frame(
        method,
        shown if "." in shown else _basename(owner.replace(".", "/")),
        name,
        library,
        method == "main",
    )


# Go -----------------------------------------------------------------------------------------------

_GO_CALL = Lazy(r"^(?P<name>[^\s()][^()\n]*(?:\([^()]*\)[^()\n]*)?)\([^()]*\)$")
_GO_FILE = Lazy(r"^\s+(?P<file>\S.*?\.(?:go|s|c|cgo1\.go)):\d+")
_GO_HEADER = Lazy(
    r"^(?:(?P<type>panic|fatal error)|(?:\S+ ){0,8}http: panic serving \S+): (?P<message>.*)$"
)
_GO_CLOSURE = Lazy(
    r"(?:\.(?:func|gowrap|deferwrap)?\d+|\.func\d+(?:-range\d+)?|-range\d+|-fm|·\d+)+$"
)
_GO_GENERIC = Lazy(r"\[[^\[\]]*\]")
_GO_STANDARD = frozenset({
    "archive", "bufio", "bytes", "cmp", "compress", "container", "context", "crypto",
    "database", "debug", "embed", "encoding", "errors", "expvar", "flag", "fmt", "go", "hash",
    "html", "image", "index", "internal", "io", "iter", "log", "maps", "math", "mime", "net",
    "os", "path", "plugin", "reflect", "regexp", "runtime", "slices", "sort", "strconv",
    "strings", "sync", "syscall", "testing", "text", "time", "unicode", "unique", "unsafe",
    "vendor", "panic",
})  # fmt: skip
_GO_LIBRARY = ("golang.org/x/", "google.golang.org/", "gopkg.in/", "go.uber.org/", "k8s.io/")


def _parse_go(lines: list[str]) -> list[Fault]:
    """Read the panic and the first goroutine that ran; the others only waited."""
    fault = Fault()
    name, running, seen = "", False, False
    for line in lines:
        header = None if fault.type else _GO_HEADER.match(line)
        if header:
            fault.type = header["type"] or "panic"
            fault.message = (
                header["message"]
                .removesuffix(" [recovered]")
                .removesuffix(" [recovered, repanicked]")
            )
        elif line.startswith("goroutine "):
            running, seen = not seen, True
        elif line.startswith("created by "):
            name = ""
        elif running or not seen:
            call = _GO_CALL.match(line)
            found = None if call else _GO_FILE.match(line)
            if call:
                name = call["name"]
            elif found and name and running:
                fault.frames.append(_go_frame(name, found["file"]))
                name = ""
    return [fault]


def _go_frame(name: str, path: str) -> Frame:
    name = _GO_GENERIC.sub("", name)
    closure = _GO_CLOSURE.search(name)
    bare = name[: closure.start()] if closure else name
    package = bare.rsplit("/", 1)
    short = package[-1]
    root = bare.split("/", 1)[0].split(".", 1)[0] if "." in bare else bare
    standard = root in _GO_STANDARD and "." not in bare.split("/", 1)[0].removesuffix(short)
    function = f"{short}.func" if closure else short
    return Frame(
        function,
        _basename(path),
        f"{function}|{_stem(path, 'go')}",
        library=standard or bare.startswith(_GO_LIBRARY),
        entry=short == "main.main",
    )


# Rust ---------------------------------------------------------------------------------------------

_RUST_FRAME = Lazy(r"^\s*\d+:\s+(?:0x[0-9a-f]+ - )?(?P<name>\S.*)$")
_RUST_FILE = Lazy(r"^\s+at (?P<file>\S.*?):\d+(?::\d+)?$")
_RUST_PANIC = Lazy(r"panicked at (?P<rest>.*)$")
_RUST_OLD_PANIC = Lazy(r"^'(?P<message>.*)', (?P<file>.*?):\d+(?::\d+)?$")
_RUST_NEW_PANIC = Lazy(r"^(?P<file>.*?):\d+:\d+:$")
_RUST_HEADINGS = ("Caused by:", "Stack backtrace:", "stack backtrace:")
_RUST_CAUSE_NUMBER = Lazy(r"^ *\d+: ")
_RUST_GENERIC = Lazy(r"(?<=\w)(?:::)?<(?!impl )[^<>]*>")
_RUST_INHERENT = Lazy(r"^<([^<> ]+)>(?=::)")
_RUST_HASH = Lazy(r"::h[0-9a-f]{16}$|(?<=\w)\[[0-9a-f]{8,}\]")
_RUST_CLOSURE = Lazy(
    r"(?:::(?:\{\{closure\}\}|\{closure(?:#\d+|_env#\d+)?\}|\{async[^}]*\}))+|#\d+"
)
_RUST_LIBRARY = Lazy(
    r"^[<&\s]*(?:dyn |mut )*(?:std|core|alloc|backtrace|proc_macro|test|tokio|futures\w*"
    r"|rayon\w*|hyper|tower|axum|actix\w*"
    r"|async_std|tracing\w*|serde\w*|anyhow|color_eyre|eyre|crossbeam\w*|parking_lot\w*"
    r"|once_cell|__rustc|_?rust_begin_unwind"
    r"|_?rust_panic|__rust_\w+|rust_oom)(?:::|$|\b(?!\w))"
    r"|^<fn\([^()]*\)[^()]* as core::ops::function::Fn"
)
_RUST_NO_FRAME = Lazy(
    r"^<unknown>|^BaseThreadInitThunk|^RtlUserThreadStart|^_?_?libc_start"
    r"|^_?start(?:_thread)?$|^_?main$|^clone3?$"
    r"|^_?_?pthread_\w+|^invoke_main|^_?_?scrt_\w+|^_?thread_start$|^mainCRTStartup|^__clone"
)


def _parse_rust(lines: list[str]) -> list[Fault]:
    """Read a panic with or without symbols; without, its location's file is all there is."""
    fault = Fault("panic")
    causes: list[Fault] = []
    in_causes = False
    for index, line in enumerate(lines):
        if line.startswith(_RUST_HEADINGS):
            in_causes = line.startswith("C")
        elif in_causes:
            causes.extend(_rust_cause(line))
            continue
        elif line.startswith("Error: ") and not fault.message:
            fault.type, fault.message = "error", line.removeprefix("Error: ")
        panic = None if fault.location else _RUST_PANIC.search(line)
        if panic:
            _read_panic(fault, panic["rest"], lines[index + 1] if index + 1 < len(lines) else "")
            continue
        found = _RUST_FRAME.match(line)
        if found:
            frame = _rust_frame(found["name"])
            if frame:
                fault.frames.append(frame)
        elif fault.frames and (at := _RUST_FILE.match(line)):
            fault.frames[-1] = fault.frames[-1]._replace(file=_basename(at["file"]))
    return [fault, *causes]


def _rust_cause(line: str) -> list[Fault]:
    """Read one line of what anyhow prints under "Caused by"."""
    message = _RUST_CAUSE_NUMBER.sub("", line).strip()
    if not message:
        return []
    cause = Fault("cause")
    cause.message = message
    return [cause]


def _read_panic(fault: Fault, rest: str, following: str) -> None:
    old = _RUST_OLD_PANIC.match(rest)
    new = _RUST_NEW_PANIC.match(rest)
    if old:
        fault.message, fault.location = old["message"], _basename(old["file"])
    elif new:
        fault.message, fault.location = following, _basename(new["file"])


def _rust_frame(name: str) -> Frame | None:
    name = _RUST_HASH.sub("", name.strip())
    if _RUST_NO_FRAME.search(name):
        return None
    library = bool(_RUST_LIBRARY.search(name))
    if "<" in name and not library:
        name = _rust_without_generics(name)
    bare = _RUST_CLOSURE.sub("", name)
    function = f"{bare}::{{closure}}" if bare != name else bare
    return Frame(function, "", function, library, bare.endswith("::main") and bare.count("::") == 1)


def _rust_without_generics(name: str) -> str:
    """Reduce `<app::Map<i32>>::get::<u8>` to `app::Map::get`, which older compilers print."""
    name = name.replace("->", "")
    for _ in range(GENERIC_DEPTH_MAX):
        name, dropped = _RUST_GENERIC.subn("", name)
        if not dropped:
            break
    return _RUST_INHERENT.sub(r"\1", name)


# C# -----------------------------------------------------------------------------------------------

_CS_FRAME = Lazy(r"^\s+\S{1,8} (?P<name>[^\s(]\S*(?:\[[^\]()]*\])?) ?\((?P<rest>.*)$")
_CS_FILE = Lazy(r"\) (?:\[0x[0-9a-f]+\] )?\w{1,4} (?P<file>[^<].*?):\D{0,12}\d+[. ]*$")
_CS_HEADER = Lazy(
    r"^\s*(?:--->\s*)?(?:\(Inner Exception #\d+\) )?(?:Unhandled"
    r" [Ee]xception[.:]\s+|\[ERROR\] FATAL UNHANDLED EXCEPTION: )?"
    r"(?P<type>[A-Za-z_][\w.`+]*)(?: \((?P<code>[^)]*)\))?: ?(?P<message>.*)$"
)
_CS_STATE_MACHINE = Lazy(r"<(?P<method>[^<>]+)>d(?:__\d+)?(?:`\d+)?(?:\[[^\]]*\])?\.MoveNext$")
_CS_LAMBDA = Lazy(
    r"(?:<>c(?:__DisplayClass\d+(?:_\d+)?)?(?:`\d+)?\.)?<(?P<method>[^<>]+)>b__[\w|]+$"
)
_CS_LOCAL = Lazy(
    r"(?:<>c(?:__DisplayClass\d+(?:_\d+)?)?(?:`\d+)?\.)?<(?P<method>[^<>]+)>g__(?P<local>\w+)\|[\d_]+$"
)
_CS_GENERIC = Lazy(r"`\d+|\[[^\[\]]*\]|<>c(?:__DisplayClass\d+(?:_\d+)?)?\.?")
_CS_HOP = Lazy(r"location|[Oo]rt\b|emplacement|Position|ubicaci|местоположени|場所|位置")
_CS_NO_FRAME = Lazy(r"^CallSite\.|^lambda_method|^DynamicClass\.|^\(wrapper ")
_CS_LIBRARY = (
    "System.", "Microsoft.", "MS.", "Mono.", "Interop.", "Internal.", "Newtonsoft.",
    "UnityEngine.", "UnityEditor.", "Castle.", "Autofac.", "NUnit.", "Xunit.", "Moq.",
    "Npgsql.", "MySql.", "Dapper.", "Serilog.", "NLog.", "log4net.", "RestSharp.", "Polly.",
    "MediatR.", "AutoMapper.", "Grpc.", "StackExchange.", "Azure.", "Amazon.", "Google.",
    "Windows.", "Avalonia.", "Hangfire.", "MassTransit.", "Quartz.", "FluentValidation.",
    "Swashbuckle.", "NHibernate.", "IronPython.",
)  # fmt: skip


def _parse_csharp(lines: list[str]) -> list[Fault]:
    """Read .NET and Mono traces in any display language; the inner frames come first."""
    faults: list[Fault] = []
    open_faults: list[Fault] = []
    for line in lines:
        found = _CS_FRAME.match(line)
        if found and not line.lstrip().startswith("-"):
            frame = _cs_frame(found["name"], line)
            if frame and open_faults:
                open_faults[-1].frames.append(frame)
            elif frame:
                faults.append(Fault(frames=[frame]))
                open_faults.append(faults[-1])
        elif line.lstrip().startswith("---") and "--->" not in line:
            if len(open_faults) > 1 and _ends_inner(line):
                open_faults.pop()
        else:
            _open_cs_faults(line, faults, open_faults)
    return faults


def _ends_inner(line: str) -> bool:
    """Tell the end of an inner exception from an async hop, whose words name a "location"."""
    return not _CS_HOP.search(line)


def _open_cs_faults(line: str, faults: list[Fault], open_faults: list[Fault]) -> None:
    """Open one exception per `Type: message` of a header, `Outer: a ---> Inner: b`."""
    if open_faults and open_faults[-1].frames and "--->" not in line:
        return
    pieces = line.split("--->") if "--->" in line else [line]
    for piece in pieces:
        header = _CS_HEADER.match(piece)
        if header and (not open_faults or "--->" in line):
            fault = Fault(header["type"])
            fault.message = header["message"].strip()
            faults.append(fault)
            open_faults.append(fault)


def _cs_frame(name: str, line: str) -> Frame | None:
    if _CS_NO_FRAME.search(name):
        return None
    name = _CS_STATE_MACHINE.sub(r"\g<method>", name)
    name = _CS_LOCAL.sub(r"\g<method>.\g<local>", name)
    name = _CS_LAMBDA.sub(r"\g<method>.lambda", name)
    name = _CS_GENERIC.sub("", _CS_GENERIC.sub("", name)).replace("..", ".").replace("+", ".")
    at = _CS_FILE.search(line)
    method = name.rsplit(".", 1)[-1]
    return Frame(
        name if method == "lambda" else method,
        _basename(at["file"]) if at else "",
        name,
        library=name.startswith(_CS_LIBRARY),
        entry=method in {"Main", "<Main>$"},
    )


_LANGUAGES: dict[str, tuple[Lazy, Callable[[list[str]], list[Fault]]]] = {
    "python": (Lazy(r'File "[^"\n]+", line \d'), _parse_python),
    "rust": (
        Lazy(r"(?m)panicked at |^ *\d+: +(?:0x[0-9a-f]+ - )?[\w<]\S*::"),
        _parse_rust,
    ),
    "go": (Lazy(r"(?m)^goroutine \d+ "), _parse_go),
    "java": (
        Lazy(
            r"(?m)^[ \t]*at [^\s(]+\((?:[^()\n:]+\.(?:java|kts?|scala|groovy|clj)(?::\d+)?|Native"
            r" Method|Unknown Source"
            r"|<generated>|SourceFile(?::\d+)?|PG:\d+)\)"
        ),
        _parse_java,
    ),
    "javascript": (
        Lazy(
            r"(?m)^[ \t]*at [^\n]*:\d+:\d+\)?(?: \{)?$|^[^@\n]*@[^\n]*:\d+$|^[ \t]*at"
            r" [^\n]*\((?:native|<anonymous>)"
        ),
        _parse_javascript,
    ),
    "csharp": (Lazy(r"(?m)^[ \t]+[^\s:]{1,8} [\w.<>`+|\[\],]+ ?\("), _parse_csharp),
}


# The message --------------------------------------------------------------------------------------


def message_template(message: str) -> str:
    """Mask the variable parts of a message's first line.

    Numbers, ids, hashes and durations become `<n>`, quoted data `<str>`, and so on; names of code
    (a module, a property), digit words (`sha256`, `utf-8`) and codes with a meaning (errno, HTTP
    status) stay. Applying it to its own result changes nothing.

    Examples
    --------
    >>> message_template("user 'alice' has 3 open orders")
    'user <str> has <n> open orders'
    >>> message_template("[Errno 2] No such file or directory: '/home/alice/a.csv'")
    '[Errno 2] No such file or directory: <path>'
    """
    text = _first_line(_text(message))
    for _ in range(TEMPLATE_PASSES_MAX):
        masked = _mask(text)
        if masked == text:
            break
        text = masked
    return text


_HEAD = Lazy(r"[^\r\n]*(?:[\r\n]\s*[^\r\n]*){0,2}")  # the lines `_first_line` looks at


def _hide_secrets(fault: Fault) -> None:
    """Scrub type and message as one line: that is how they stand in a trace that is scrubbed."""
    head = _HEAD.match(fault.message[:HEAD_CHARS_MAX].strip())[0]  # type: ignore[index]
    before = f"{fault.type}: " if fault.type and head else fault.type
    scrubbed = _without_secrets(before + head)
    if scrubbed.startswith(before):
        message = scrubbed[len(before) :]
    else:  # the type was one, or held one
        fault.type, _, message = scrubbed.partition(": ")
    if _names_a_secret(fault.type):  # `BadPassword: hunter`: scrubbing knows by the type alone
        message = ""
    elif len(message) > SCRUBBED_CHARS_MAX:
        message = _without_secrets(message, short=True)
    fault.message = message if message.strip(" \t~^") else ""  # `~`: a home, read as a caret line


@lru_cache(maxsize=MESSAGES_CACHED_MAX)
def _without_secrets(said: str, *, short: bool = False) -> str:
    if not said:
        return said
    from ingest import scrub  # noqa: PLC0415 - it imports this module

    return scrub.text(said, limit=SCRUBBED_CHARS_MAX if short else HEAD_CHARS_MAX)


def _names_a_secret(kind: str) -> bool:
    from ingest.scrub_rules import is_secret_key  # noqa: PLC0415 - loaded with `ingest.scrub`

    return is_secret_key(kind)


def _first_line(message: str) -> str:
    """Take the line that says what happened; pydantic needs the lines that follow too."""
    head = message[:MESSAGE_CHARS_MAX].strip()
    lines = [line.strip() for line in head.replace("\r", "\n").split("\n") if line.strip()]
    if not lines:
        return ""
    wanted = (
        3
        if "validation error" in lines[0]
        else 2
        if lines[0].endswith(":") and len(lines[0]) < HEADING_CHARS_MAX
        else 1
    )
    return " ".join(" ".join(lines[:wanted]).split())


_CODE_WORDS = (
    r"(?:sha-?[0-9]{1,3}|md[45]|crc-?(?:8|16|32|64)|utf-?(?:8|16|32)(?:-?[lb]e)?|utf8mb[34]"
    r"|iso-8859-\d+|windows-125\d|cp\d{3,4}"
    r"|latin-?1|aes-?\d{3}|rsa-?\d{4}|base-?(?:16|32|58|64|85)|u?int(?:8|16|32|64|128)?"
    r"|float(?:16|32|64)|[iuf](?:8|16|32|64|128)"
    r"|x86(?:_64)?|x64|x32|amd64|arm64|aarch64|win(?:32|64)|ipv?[46]|s3|k8s|ec2|http[23]?"
    r"|h[23]|h26[45]|oauth[12]?|web[23]|gb18030"
    r"|p(?:50|75|90|95|99|999)|mp[34]|i18n|l10n|a11y|log4j2?|log4net|python[23]|py[23]|es[5-9]"
    r"|es20\d\d|sqlite3|boto3|urllib3|psycopg[23]"
    r"|jinja2|numpy2|tls1(?:\.\d)?|sslv[23]|v\d{1,2}|argon2\w*|blake2[bs]?|bcrypt2?|ed25519"
    r"|x25519|x509|rfc\d+|grpc2?|md2|bz2|gzip2?"
    r"|7z|lz4|zlib2?|int\(\)|vp[89]|av1|d3|three3d|2d|3d|2fa|mfa2|i/o|neo4j|db2|o365|h2o|utf8"
    r"|base2|s3a|level\d|ipv6|4o|catch22|c3p0)"
)
_STATUS = (
    r"\b(?:errno|winerror|os error|http(?: error|/\d(?:\.\d)?)?|status(?:[ _-]?code)?|sqlstate"
    r"|hresult|ntstatus"
    r"|exit(?:ed with)?[ _](?:code|status)|returned non-zero exit status|signal|error[ _]code"
    r"|response code)"
    r"[\"']?[ :=#(\[]{0,3}-?(?:0x[0-9A-Fa-f]{8}|\d{1,5}|[0-9][0-9A-Z]{4})\b(?![.,]?\d)"
    r"|\bcode[\"']?[ :=]{1,2}-?\d{1,3}\b(?![.,]?\d)"
    r"|\b[1-5]\d\d (?:Not Found|Internal Server Error|Bad Gateway|Bad Request|Unauthorized"
    r"|Forbidden|Service Unavailable"
    r"|Gateway Time-?out|Too Many Requests|Conflict|Gone|Client Error|Server Error|Unprocessable)\b"
    r"|\b(?:ORA|TNS|PLS|DPY|SQL|ERR|MSB|NETSDK)-?\d{3,6}\b|\b(?:TS|CS|E)\d{4,5}\b"
)
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}"
_CLOCK = r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?[AaPp][Mm]\b)?"
_ZONE = r"(?: ?(?:Z\b|[A-Z]{3,4}\b|[+-]\d\d:?\d\d\b))?"
_DATE = (
    rf"\d{{4}}[-/.]\d\d?[-/.]\d\d?(?:[T _]{_CLOCK}{_ZONE})?|"
    rf"\d{{8}}[T ]?{_CLOCK}{_ZONE}|"
    r"\d{8}T\d{4,6}Z?|"
    rf"(?:{_DAY},? )?\d\d?[ -/]{_MONTH}[ -/]\d{{2,4}}(?:[ :,]{{1,2}}{_CLOCK}{_ZONE})?|"
    rf"(?:{_DAY},? )?{_MONTH} {{1,2}}\d\d?(?:(?:,? \d{{4}})?,? {_CLOCK}{_ZONE}(?: \d{{4}})?|,?"
    rf" \d{{4}})|"
    rf"\d\d?[/.]\d\d?[/.]\d{{4}}(?:,? {_CLOCK}{_ZONE})?|"
    rf"(?<![:\w]){_CLOCK}{_ZONE}(?![:\w])"
)
_EXTENSIONS = (
    r"(?:pyc?|pyx|ipynb|[cm]?[jt]sx?|java|kt|go|rs|cs|cpp|cc|hpp|[ch]|rb|php|json[l5]?|ya?ml"
    r"|toml|ini|cfg|conf|csv|tsv|txt|log|xml"
    r"|html?|md|db|sqlite3?|parquet|zip|t?gz|tar|png|jpe?g|gif|svg|pdf|xlsx?|docx?|pptx?|tmp"
    r"|lock|so|dll|dylib|exe|sh|bat|env|pem|key"
    r"|crt|bin|dat|pkl|npy|wasm|css|map|vsix|bak|pid|sock)"
)
_TLD = (
    r"(?:com|net|org|io|dev|local|internal|lan|app|cloud|edu|gov|info|co|de|fr|uk|us|eu|ai|me|svc"
    r"|test|example|invalid|localhost)"
)
_UNITS = (
    r"(?:ns|us|µs|ms|s|m|h|d|w|sec|secs|mins?|hours?|days?|[kKMGTP]i?[bB]|[bB]|px|em|pt|Hz"
    r"|st|nd|rd|th|x|k|K|M)"
)

_UUID = r"(?i:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?!\w)"

_TOKEN = (
    r"(?P<placeholder><(?:n|str|path|url|email|ip|host|date|json|hidden)>)|"
    r"(?P<hidden>[\[<](?:redacted|email|ip|token|secret|path|phone|card|user|hash|url|key|jwt"
    r"|password|id|uuid|filtered|masked)[\]>]"
    r"|\*{3,})|"
    r"(?P<url>\b[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s\"'<>)\]]+)|"
    r"(?P<email>(?:\"[^\"\n]{0,64}\""
    r" )?<?(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+>?)|"
    rf"(?P<uuid>(?<!\w){_UUID})|"
    rf"(?P<keep>(?i:{_STATUS}))|"
    rf"(?P<date>(?<![\w.])(?:{_DATE}))|"
    r"(?P<mac>\b[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}\b)|"
    r"(?P<ip>(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?:/\d\d?)?(?::\d{1,5})?(?![\w.]\d)"
    r"|(?<![\w:])\[?(?=[0-9A-Fa-f:]*\d)(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?:%\w+)?(?:\]:\d{1,5})?(?![\w:]))|"
    rf"(?P<host>(?<![\w.@-])(?:[\w-]+\.)+{_TLD}\b(?::\d{{1,5}})?(?![.-]?\w|\())|"
    r"(?P<json>\{(?=\s*[\"'])(?:[^{}]|\{[^{}]*+\})*+\})|"
    r"(?P<object>(?<=[\w)])@[0-9a-f]{3,16}\b)|"
    r"(?P<quoted>(?<!\w)'[^'\n]{0,300}'(?!\w)|\"[^\"\n]{0,300}\"|“[^”\n]{0,300}”|«[^»\n]{0,300}»)|"
    r"(?P<path>(?<![\w<])[A-Za-z]:[\\/][^\s\"'<>|:*?]*(?::\d+(?::\d+)?)?"
    r"|\\\\[\w.$-]+\\[^\s\"'<>|:*?]+"
    r"|(?<![\w<.)/])(?:~|\.{1,2})?/[\w.@+~-]+(?:/[\w.@+~=-]*)*(?::\d+(?::\d+)?)?"
    rf"|(?<![\w<./\\])(?:[\w.@-]+[/\\])*[\w@-][\w.@-]*\.{_EXTENSIONS}(?::\d+(?::\d+)?)?(?![\w(]|\.\w))|"
    rf"(?P<word>(?<![\w])(?i:{_CODE_WORDS})(?![\w-]*\w|\.\d))|"
    r"(?P<hex>(?<!\w)0[xX][0-9a-fA-F]+|\beyJ[\w-]{8,}(?:\.[\w-]+)*)|"
    r"(?P<duration>(?<![\w.])P(?=\d|T\d)(?:\d+[YMWD])*(?:T(?:\d+(?:\.\d+)?[HMS])+)?\b"
    rf"|(?<![\w.])[-+]?(?:\d[\d,_]*(?:\.\d+)?{_UNITS})+(?!\w))|"
    r"(?P<number>(?<!\w)[-+]?(?:[vV](?=\d+\.))?\d+(?:[.,_]\d+)*(?:[eE][-+]?\d+)?%?(?![\w-]*\w))|"
    r"(?P<id>(?<!\w)[A-Za-z0-9]*\w*\d[\w-]*|(?<!\w)[A-Za-z_-]+-\w*\d[\w-]*)|"
    r"(?P<long>[^\s<>]{65,})"
)
_PLACEHOLDERS = {
    "url": "<url>",
    "email": "<email>",
    "date": "<date>",
    "uuid": "<n>",
    "mac": "<ip>",
    "ip": "<ip>",
    "host": "<host>",
    "json": "<json>",
    "object": "@<n>",
    "path": "<path>",
    "hex": "<n>",
    "duration": "<n>",
    "number": "<n>",
    "long": "<n>",
    "hidden": "<hidden>",
}
_VARIABLE = Lazy(r"[\d\"'“«@/\\{<\[*]|\.\w|[^\s<>]{65}")
_LIST = Lazy(r"(<(?:n|str|path|ip|host|date|url|email)>)(?:,\s*\1)+")
_JOINED = Lazy(r"<n>(?:[-_:./]?<n>)+")
_NAME_BEFORE = Lazy(
    r"(?i)(?:\b(?:modules?|names?|named|attribute|propert(?:y|ies)|methods?|function|columns?"
    r"|table|relation|variable|arguments?|parameter"
    r"|field|keyword|reading|setting|from|import|package|class|type|command|option|flag|header"
    r"|codec|operator|symbol|identifier|index"
    r"|schema|constraint|extension|database|collection|export|overload|member|directive"
    r"|component)[:\s(]*)$"
)
_NAME_AFTER = Lazy(r"^ (?:object|codec|instance|module|operator)\b")
_DATA_IN_NAME = Lazy(r"\d{3}|@\w+\.\w")
_CODE_NAME = Lazy(r"[A-Za-z_$@.][\w$.:/@*-]{0,79}(?:\(\))?$")
_ID_PART = Lazy(r"([-_])")
_WORD_THEN_NUMBER = Lazy(r"([A-Za-z]{2,})\d+$")
_CODE_WORD = Lazy(rf"(?i:{_CODE_WORDS})")
_ANY_TOKEN = Lazy(_TOKEN)
_HEX_ID = Lazy(r"[0-9a-f]{6,}|[0-9A-F]{7,}")
_HEX_PART = Lazy(r"(?=[a-f]*\d)[0-9a-f]{4,}")
_RANDOM = Lazy(rf"(?<![^\W_]){_UUID}|-(?=[a-f]*\d)[0-9a-f]{{8,10}}-[b-df-hj-np-tv-xz2456789]{{5}}$")


def _mask(text: str) -> str:
    """Mask once. One scan decides every token, so no pattern sees another's output."""
    text = unicodedata.normalize("NFC", text) if not text.isascii() else text
    if _VARIABLE.search(text):
        text = _ANY_TOKEN.sub(_masked, text)
        text = _JOINED.sub("<n>", text)
        text = _LIST.sub(r"\1", text)
    return text[:TEMPLATE_CHARS_MAX].rstrip()


def _masked(found: re.Match[str]) -> str:
    kind, token = found.lastgroup or "", found.group()
    if kind in {"placeholder", "keep", "word"}:
        return token
    if kind == "quoted":
        return _masked_quote(found)
    if kind == "id":
        first, *rest = _ID_PART.split(_RANDOM.sub("<n>", token))
        return _masked_part(first) + "".join(
            "<n>" if _HEX_PART.fullmatch(part) else _masked_part(part) for part in rest
        )
    return _PLACEHOLDERS[kind]


def _masked_quote(found: re.Match[str]) -> str:
    """Keep a quoted name of code (`module 'left-pad'`), mask quoted data (`user 'alice'`)."""
    content = found.group()[1:-1]
    before, after = (
        found.string[max(0, found.start() - 24) : found.start()],
        found.string[found.end() :][:12],
    )
    if content.startswith("<") and content.endswith(">"):
        return content if content in _PLACEHOLDERS.values() else "<str>"
    named = _NAME_BEFORE.search(before) or _NAME_AFTER.match(after)
    if named and _CODE_NAME.match(content) and not _DATA_IN_NAME.search(content):
        return f"'{_basename(content)}'"
    return "<path>" if _PATH_START.match(content) or _FILE_NAME.match(content) else "<str>"


_PATH_START = Lazy(r"(?:~|\.{0,2})?[\\/]|[A-Za-z]:[\\/]")
_FILE_NAME = Lazy(rf"[\w@ -][\w.@ -]*\.{_EXTENSIONS}$")


def _masked_part(part: str) -> str:
    if part in {"-", "_", ""} or not any(c.isdigit() for c in part):
        return part
    if _CODE_WORD.fullmatch(part):
        return part
    numbered = _WORD_THEN_NUMBER.match(part)
    if numbered and numbered[1][1:].islower() | part.isupper() and not _HEX_ID.fullmatch(part):
        return f"{numbered[1]}<n>"
    return "<n>"


_BLANK = Lazy(r"(?:<(?:n|str|path|url|email|ip|host|date|json|hidden)>[ ,:;.-]*)+")


def _blank(template: str) -> str:
    """Forget which kind of data was masked: a scrubbed message has its own placeholders."""
    return _BLANK.sub("*", template)


# The runtime's own wording changes with version and display language: a canonical form stands in.

_WORDING: dict[str, tuple[tuple[Lazy, str], ...]] = {
    "javascript": tuple(
        (Lazy(pattern), canonical)
        for pattern, canonical in (
            ((r"^Cannot (?:read|get) propert(?:y|ies) (?:of (?:undefined|null) \(reading"
             r" )?'([^']*)'.*"), r"no property '\1'"),
            (r"^Unable to get (?:property|value of the property) '([^']*)'.*", r"no property '\1'"),
            ((r"^(?:undefined|null|'\w+') is not an object \(evaluating"
             r" '(?:[^']*[.\]])?([\w$]+)(?:\(.*)?'\)"), r"no property '\1'"),
            (r"^can't access property \"([^\"]*)\".*", r"no property '\1'"),
            ((r"^Cannot set propert(?:y|ies) (?:of (?:undefined|null) \(setting"
             r" )?'([^']*)'.*"), r"cannot set property '\1'"),
            (r"^Unable to set property '([^']*)'.*", r"cannot set property '\1'"),
            ((r"^Object doesn't support (?:this )?property or method"
             r" '([^']*)'"), r"no function '\1'"),
            (r"^Object .* has no method '([^']*)'", r"no function '\1'"),
            ((r"^(?:\(intermediate value\)|[\w$.()\[\]]*?)\.?([\w$]+)(?:\(\.\.\.\))? is not a"
             r" function.*"), r"no function '\1'"),
            (r"^Can't find variable: ([\w$]+)", r"no variable '\1'"),
            (r"^'?([\w$]+)'? is (?:not defined|undefined)$", r"no variable '\1'"),
            ((r"^(?:Unexpected (?:token|end of JSON|non-whitespace|EOF|identifier).*JSON.*"
             r"|JSON\.parse: .*|JSON Parse error: .*)"), "bad JSON"),
            ((r"^(?:Failed to fetch|Load failed|NetworkError when attempting to fetch"
             r" resource\.?)$"), "fetch failed"),
        )
    ),
    "python": tuple(
        (Lazy(pattern), canonical)
        for pattern, canonical in (
            ((r"(?:\.|:) Did you (?:mean|forget).*|\. Perhaps you forgot.*|\. Maybe you"
             r" meant.*"), ""),
            (r"^(?:cannot access )?local variable '([^']*)'.*", r"unbound variable '\1'"),
            ((r"^(?:float |integer |complex )?(?:division|modulo|division or modulo|floor"
             r" division|division by zero).*zero$"), ""),
            (r"^(?:[\w<>]+\.)*([\w<>]+\(\) (?:missing|takes|got))", r"\1"),
            (r" ?\(\d+ sub-exceptions?\)$", ""),
        )
    ),
    "java": tuple(
        (Lazy(pattern), canonical)
        for pattern, canonical in (
            ((r"^Cannot (?:invoke|read|load|store|enter|assign|throw|get) .* (?:because .*)?is"
             r" null$|^null$"), ""),
            (r"^Attempt to (?:invoke|read|write|get) .* null .*", ""),
            (r"^((?:[\w$]+\.)+[\w$]*(?:Exception|Error))(?:: .*)?$", r"\1"),  # of its cause
            (r"^(?:Index |index |length=|String index out of range).*|^-?\d+$|^begin -?\d+.*", ""),
            (r"^(?:class )?([\w.$]+) cannot be cast to (?:class )?([\w.$]+).*", r"\1 is no \2"),
        )
    ),
}  # fmt: skip
_CS_RUNTIME_TYPES = frozenset({
    "NullReferenceException", "IndexOutOfRangeException", "DivideByZeroException",
    "InvalidCastException", "OverflowException", "ArrayTypeMismatchException",
    "StackOverflowException", "OutOfMemoryException", "COMException",
    "AccessViolationException",
})  # fmt: skip
_CS_CODE = Lazy(r"0x[0-9A-Fa-f]{8}|\b[1-5]\d\d\b(?= \()")


def _wording(fault: Fault, language: str) -> str:
    """Return the template of an exception's message, without what is only its runtime's wording."""
    if _overflowed(fault):
        return ""
    line = _first_line(fault.message)
    if language == "csharp" and _cs_runtime_message(fault):
        return " ".join(_CS_CODE.findall(line))
    for pattern, canonical in _WORDING.get(language, ()):
        line, changed = pattern.subn(canonical, line, count=1)
        if changed:
            break
    return message_template(line)


def _cs_runtime_message(fault: Fault) -> bool:
    """Tell a message .NET wrote, in the user's language, from one the application wrote."""
    simple = _simple_type(fault.type, "csharp")
    thrown_inside = (
        bool(fault.frames)
        and fault.frames[0].key.startswith("System.")
        and fault.type.startswith("System.")
    )
    return simple in _CS_RUNTIME_TYPES or (
        thrown_inside and not fault.type.startswith("System.Data.")
    )
