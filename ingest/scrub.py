"""Takes secrets and personal data out of what is about to be written; stores and sends nothing.

Free text is allowed, then redacted: an ordered list of rules, each from text to text, each with an
example in the tests. Metadata is denied, then allowed: only known keys with values of their type.
Everything here is pure, bounded by the limits below, and never raises.

Masks are words in brackets (`[email]`), which `ingest.stack_hash` reads as "something was hidden":
so the hash of a scrubbed trace is the hash of the raw one. Scrubbing twice equals scrubbing once.

Patterns are compiled on first use: importing this module costs a host nothing.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from ingest.boundary import Boundary
from ingest.scrub_rules import (
    KEY_CHARS_MAX,
    NAME_KEYS,
    RULES,
    SECRET,
    VALUE_KEYS,
    is_secret_key,
    names_itself,
    rx,
    without_cards,
)
from ingest.stack_hash import STACK_CHARS_MAX as RAW_CHARS_MAX
from ingest.stack_hash import culprit, explain, public_path, stack_hash
from ingest.vocabulary import METADATA, MetadataKey

if TYPE_CHECKING:
    import re

__all__ = ["is_plain_id", "is_secret_key", "properties", "redact", "stack", "text"]

MESSAGE_CHARS_MAX: Final = 500
STACK_CHARS_MAX: Final = 2_048
INPUT_CHARS_MAX: Final = 8_192  # of a text that are looked at
CUT_WORD_CHARS_MAX: Final = 512  # a word cut by a limit goes, up to this length
PASSES_MAX: Final = 6  # redaction is repeated until nothing changes; two passes are usual
ID_CHARS_MAX: Final = 128
DEPTH_MAX: Final = 24
NODES_MAX: Final = 2_000
VALUE_CHARS_TOTAL_MAX: Final = 65_536  # of all strings in one value given to redact
INTEGER_BITS_MAX: Final = 128
TEXTS_CACHED_MAX: Final = 4_096

REDACTED: Final = "[redacted]"
CYCLE: Final = "[cycle]"
TOO_MUCH: Final = "[too much]"
UNREADABLE: Final = "[unreadable]"

_T = TypeVar("_T")


def text(message: object, *, limit: int = MESSAGE_CHARS_MAX) -> str:
    """Return free text without secrets and personal data, at most `limit` characters.

    Whitespace and everything harmless stay as they are. Anything may be given: what cannot be
    read becomes a placeholder, None the empty text.
    """
    return _settled(_readable(message, INPUT_CHARS_MAX), limit)


def _settled(given: str, limit: int) -> str:
    """Redact and cut until nothing changes, so that doing it again changes nothing either."""
    current = given
    for _ in range(PASSES_MAX):
        cleaned = _cut(_redacted(current), limit)
        if cleaned == current:
            return current
        current = cleaned
    return _cut(REDACTED, limit)


def _readable(value: object, limit: int) -> str:
    """Return any value as text of at most `limit` characters that UTF-8 can say."""
    if isinstance(value, str):
        found = str.__str__(value)
    elif value is None:
        return ""
    elif isinstance(value, (bytes, bytearray)):
        found = bytes(value[: 4 * limit]).decode("utf-8", "replace")
    else:
        found = _shielded(lambda: str(value), UNREADABLE)
    found = _cut(found, limit)
    if found.isascii():
        return found.replace("\0", "") if "\0" in found else found
    # joins the two halves of a character, and replaces a half that is alone
    return found.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _shielded(call: Callable[[], _T], otherwise: _T) -> _T:
    """Run code of the host's objects (`__str__`, `items`), which may raise anything."""
    with _THEIRS:
        return call()
    return otherwise


_THEIRS: Final = Boundary(foreign=True)


def _cut(given: str, limit: int) -> str:
    """Cut to `limit` characters without leaving half a word, which may be half a secret."""
    if len(given) <= limit:
        return given
    head = given[: max(limit, 0)]
    if given[len(head)].isspace() or not head:
        return head
    start = max(0, len(head) - CUT_WORD_CHARS_MAX)
    cut_word = rx(r"[^\s,;&]+\Z").search(head, start)
    if cut_word is None or cut_word.start() == start > 0:
        return head
    if cut_word.start() == 0:
        return head if _wordlike(head) else TOO_MUCH[:limit]
    return head[: cut_word.start()]


def _wordlike(word: str) -> bool:
    """Tell a run of one letter or a long name from what may be the first half of a secret."""
    return len(word) > KEY_CHARS_MAX and not any(c.isdigit() for c in word)


# Redaction ----------------------------------------------------------------------------------------


def _redacted(given: str) -> str:
    """Apply every rule once, then again to the text without what hides letters."""
    cleaned = _ruled(given)
    if cleaned.isascii() and not rx(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search(cleaned):
        return cleaned
    if "\u202e" in cleaned or "\u202d" in cleaned:
        cleaned = rx(r"[\u202d\u202e]([^\u202c\n]*)\u202c?").sub(_unreversed, cleaned)
    plain = _skeleton(cleaned)
    revealed = plain if plain == cleaned else _ruled(plain)
    return cleaned if revealed == plain else revealed


def _ruled(given: str) -> str:
    lowered = given.lower()
    for rule in RULES:
        if not rule.needs or any(need in lowered for need in rule.needs):
            cleaned = rule.apply(given)
            if cleaned != given:
                given, lowered = cleaned, cleaned.lower()
    return given


def _unreversed(found: re.Match[str]) -> str:
    """Hide a stretch that is written backwards when it hides something forwards."""
    forwards = _skeleton(found[1][::-1])
    return found[0] if _ruled(forwards) == forwards else REDACTED


def _skeleton(given: str) -> str:
    """Return the text as a reader sees it: no invisible characters, wide ones as ASCII."""
    given = rx(r"\x1b\[[0-9;?]*[A-Za-z]").sub("", given)
    return "".join(map(_plain_character, given))


@lru_cache(maxsize=4_096)
def _plain_character(character: str) -> str:
    if character < "\x7f":
        return character if character >= " " or character in "\t\n\r" else ""
    kind = unicodedata.category(character)
    if kind in {"Cf", "Cc"} or character in "\u034f\u115f\u1160\u3164\uffa0":
        return ""
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 and plain.isascii() else character


# Any value ----------------------------------------------------------------------------------------


class _Budget:
    """What is left of the limits while one value is walked."""

    __slots__ = ("chars", "nodes", "open", "spent")

    def __init__(self) -> None:
        self.nodes = NODES_MAX
        self.chars = VALUE_CHARS_TOTAL_MAX
        self.open: set[int] = set()
        self.spent = False


def redact(value: object) -> object:
    """Return the value with secrets and personal data hidden, in the same shape, ready for JSON.

    Keys are scrubbed as text; values under keys that name a secret are hidden whole. A flag or
    None there stays: it says whether there was a secret, not which. NaN and infinity, which JSON
    cannot say, become None; any other object becomes its scrubbed text; a generator is not
    consumed. Cycles, and what goes beyond the limits of depth and size, become placeholders.
    """
    for _ in range(PASSES_MAX):
        budget = _Budget()
        cleaned = _walk(value, budget, 0, secret=False)
        if not budget.spent or cleaned == value:
            return cleaned
        value = cleaned
    return cleaned


def _walk(value: object, budget: _Budget, depth: int, *, secret: bool) -> object:
    if value is None or isinstance(value, bool):
        return value
    if budget.nodes <= 0 or budget.chars <= 0:
        budget.spent = True
        return TOO_MUCH
    budget.nodes -= 1
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number(value, secret=secret)
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return _container(value, budget, depth, secret=secret)
    return _leaf(value, budget, secret=secret)


def _number(value: float, *, secret: bool) -> object:
    if secret:
        return SECRET
    if isinstance(value, int):
        number = int.__int__(value)
        if number.bit_length() > INTEGER_BITS_MAX:
            return TOO_MUCH
        written = str(number)
        return number if _hidden_in_digits(written) == written else "[card]"
    return float(value) if math.isfinite(value) else None


def _hidden_in_digits(written: str) -> str:
    return written if len(written) < 13 else without_cards(written)  # noqa: PLR2004


def _leaf(value: object, budget: _Budget, *, secret: bool) -> object:
    written = _readable(value, min(INPUT_CHARS_MAX, budget.chars))
    if isinstance(value, str) and len(value) > len(written) and len(written) < INPUT_CHARS_MAX // 2:
        budget.spent = True
    budget.chars -= max(len(written), 1)
    if secret:
        return SECRET if written else written
    return _settled(written, INPUT_CHARS_MAX)


def _container(value: object, budget: _Budget, depth: int, *, secret: bool) -> object:
    if id(value) in budget.open:
        return CYCLE
    if depth >= DEPTH_MAX:
        return TOO_MUCH
    budget.open.add(id(value))
    try:
        if isinstance(value, Mapping):
            pairs = _shielded(lambda: list(islice(value.items(), NODES_MAX + 1)), None)
            return UNREADABLE if pairs is None else _mapping(pairs, budget, depth, secret=secret)
        items = _shielded(lambda: list(islice(value, NODES_MAX + 1)), None)  # type: ignore[call-overload]
        if items is None:
            return UNREADABLE
        walked = _sequence(items, budget, depth, secret=secret)
        return tuple(walked) if isinstance(value, tuple) else walked
    finally:
        budget.open.discard(id(value))


def _mapping(
    pairs: list[tuple[object, object]], budget: _Budget, depth: int, *, secret: bool
) -> dict[str, object]:
    kept: dict[str, object] = {}
    named = _names_a_secret(pairs)
    for pair in pairs:
        if budget.nodes <= 0 or budget.chars <= 0:
            budget.spent = True
            kept[TOO_MUCH] = TOO_MUCH
            break
        key, value = _shielded(lambda pair=pair: tuple(pair), (UNREADABLE, UNREADABLE))  # type: ignore[misc]
        name = _readable(key, KEY_CHARS_MAX)
        shown = _unused(_settled(name, KEY_CHARS_MAX), kept)
        hides = secret or is_secret_key(shown) or (named and shown.lower() in VALUE_KEYS)
        if "version" in shown and isinstance(value, str) and _is_version(value):
            kept[shown] = str.__str__(value)
            continue
        kept[shown] = _walk(value, budget, depth + 1, secret=hides)
    return kept


def _names_a_secret(pairs: list[tuple[object, object]]) -> bool:
    """Tell `{"name": "DB_PASSWORD", "value": "x"}`, where one entry names the other."""
    for pair in pairs:
        key, value = _shielded(lambda pair=pair: tuple(pair), ("", ""))  # type: ignore[misc]
        names = type(key) is str and key.lower() in NAME_KEYS
        if names and isinstance(value, str) and is_secret_key(str.__str__(value)):
            return True
    return False


def _unused(name: str, kept: Mapping[str, object]) -> str:
    """Give a number to a name that scrubbing made equal to another one."""
    if name not in kept:
        return name
    return next(
        numbered for count in range(2, NODES_MAX + 3) if (numbered := f"{name} {count}") not in kept
    )


def _is_version(value: str) -> bool:
    return len(value) <= ID_CHARS_MAX and bool(rx(r"v?\d{1,6}(?:\.\d{1,6}){1,3}").fullmatch(value))


def _sequence(items: list[object], budget: _Budget, depth: int, *, secret: bool) -> list[object]:
    """Walk a list; in a pair or an argument list a name hides the value after it."""
    is_pair = len(items) == 2  # noqa: PLR2004 - ["Authorization", "Bearer x"]
    walked: list[object] = []
    hides = False
    for item in items:
        if budget.nodes <= 0 or budget.chars <= 0:
            budget.spent = True
            walked.append(TOO_MUCH)
            break
        shown = _walk(item, budget, depth + 1, secret=secret or hides)
        walked.append(shown)
        hides = isinstance(shown, str) and _hides_next(shown, is_pair)
    return walked


def _hides_next(item: str, is_pair: bool) -> bool:  # noqa: FBT001 - one caller, a fact
    if not item.startswith("-"):
        return is_pair and is_secret_key(item)
    name = item.lstrip("-")
    return is_secret_key(name) if "=" not in name and " " not in name else False


# Metadata -----------------------------------------------------------------------------------------

_LENGTH = "_length"


def properties(
    metadata: object, allow: Mapping[str, MetadataKey] = METADATA
) -> dict[str, str | float | int | bool]:
    """Return the allowed keys of `metadata` whose values have their key's type and limit.

    Text is scrubbed and cut, a number or flag of the wrong type or size is dropped; digits in a
    string are no number. Of a text under a key that is not allowed only its length stays, when
    the key `<key>_length` is: a query becomes a `query_length`. Anything may be given; an `allow`
    that is no mapping allows nothing.
    """
    allow = _mapping_or_nothing(allow)
    if type(metadata) is dict:
        pairs = list(metadata.items())
    elif isinstance(metadata, Mapping):
        nothing: list[tuple[object, object]] = []
        pairs = _shielded(lambda: [(k, v) for k, v in islice(metadata.items(), NODES_MAX)], nothing)
    else:
        return {}
    kept: dict[str, str | float | int | bool] = {}
    for key, value in pairs:
        if type(key) is not str:
            continue
        spec = allow.get(key)
        if spec is None:
            if isinstance(value, str) and (name := key + _LENGTH) in allow:
                kept.setdefault(name, len(value))
            continue
        checked = _checked(key, value, spec)
        if checked is not None:
            kept[key] = checked
    return kept


def _mapping_or_nothing(allow: object) -> Mapping[str, MetadataKey]:
    return allow if isinstance(allow, Mapping) else {}


def _checked(key: str, value: object, spec: MetadataKey) -> str | float | int | bool | None:
    kind = spec.kind
    if kind == "text":
        if type(value) is str:
            return _property_text(key, value, spec.limit)
        return _enum_text(key, value, spec) if isinstance(value, str | Enum) else None
    if kind == "flag":
        return value if isinstance(value, bool) else None
    if type(value) is int or type(value) is float:
        return value if abs(value) <= spec.limit else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        plain = _shielded(lambda: int(value) if isinstance(value, int) else float(value), math.inf)
        return plain if abs(plain) <= spec.limit else None
    return None


def _enum_text(key: str, value: object, spec: MetadataKey) -> str | None:
    if isinstance(value, Enum):
        value = value.value
    return _property_text(key, str.__str__(value), spec.limit) if isinstance(value, str) else None


def _property_text(key: str, value: str, limit: float) -> str:
    if len(value) > ID_CHARS_MAX:
        return text(value, limit=int(limit))  # too long to be worth a place in the cache
    return _short_text(value, int(limit), "version" in key)


@lru_cache(maxsize=TEXTS_CACHED_MAX)
def _short_text(value: str, limit: int, is_version: bool) -> str:  # noqa: FBT001 - part of the key
    return value if is_version and _is_version(value) else text(value, limit=limit)


# Ids ----------------------------------------------------------------------------------------------


def is_plain_id(value: str) -> bool:
    """Tell whether a value may be kept as the id of a session, project, branch or context.

    An id is letters, digits and `_.:-`, at most `ID_CHARS_MAX`, and no vendor's token: a UUID, a
    hash and `sess_xyz789` are ids, a name with a blank, a path, an email or a `ghp_...` is not.
    """
    return isinstance(value, str) and len(value) <= ID_CHARS_MAX and _is_plain_id(value)


@lru_cache(maxsize=TEXTS_CACHED_MAX)
def _is_plain_id(value: str) -> bool:
    if rx(r"[A-Za-z0-9_.:-]+").fullmatch(value) is None:
        return False
    if rx(_UUID_OR_HASH).fullmatch(value):
        return True
    return not names_itself(value)


_UUID_OR_HASH = (
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|(?:[0-9a-f]{32}|[0-9a-f]{40}"
    r"|[0-9a-f]{64})"
)


# Stack traces -------------------------------------------------------------------------------------

TRACE_LINES_MAX: Final = 4_000
HEADER_CHARS_MAX: Final = 1_000  # of a message's line in a trace; the hash reads as much
BLOCKS_CACHED_MAX: Final = 256
BLOCK_CHARS_MAX: Final = 4_000  # of the lines between two runs of frames
# what a long trace keeps, by patience: in-app frames, library frames, characters of a message line
_PATIENCE: Final = (
    (12, 12, 1_000), (12, 6, 1_000), (8, 3, 1_000), (5, 3, 1_000), (5, 0, 1_000),
    (12, 0, 300), (8, 3, 300), (5, 3, 300), (5, 0, 300), (5, 0, 150), (3, 3, 100), (2, 0, 80),
)  # fmt: skip
_REPEATS_KEPT: Final = 2  # of one frame: how the hash tells a recursion
_LEFT_OUT: Final = " frames left out ..."

_FRAME: Final = {
    "python": r"File \"[^\"\n]+\", line \d+",
    "javascript": r"^\s*at (?:.*\)|\S.*:\d+)(?: \{)?$|^[^@\n]*@(?:\[native code\]|.*:\d+)$",
    "java": r"^[ \t]*at [^\s(]+\([^()]*\)",
    "go": r"^(?:created by )?[^\s()][^()\n]*(?:\([^()]*\)[^()\n]*)?\([^()]*\)$|^created by ",
    "rust": r"^\s*\d+:\s+(?:0x[0-9a-f]+ - )?\S",
    "csharp": r"^\s+\S{1,8} [^\s(]\S*(?:\[[^\]()]*\])? ?\(",
}
_FRAME_REST: Final = {  # the second line of a frame that has two
    "python": r"\[Previous line repeated \d+ more times?\]",
    "go": r"^\s+\S.*\.\w+:\d+",
    "rust": r"^\s+at \S",
}
_FRAME_PATH: Final = {
    "python": r"(?P<lead>File \")(?P<path>[^\"\n]+)(?=\", line \d)",
    "javascript": (
        r"(?P<lead>^\s*at (?:async )?|\(|^(?!\s*at )[^@\n]*@)"
        r"(?P<path>(?!eval at |node:|internal/|<|native|\[|(?:ext|https?|chrome-extension"
        r"|moz-extension):)[^()\n]*?)"
        r"(?=(?::\d+){1,2}\)*(?:,|(?: \{)?$))"
    ),
    "go": r"(?P<lead>^\s+)(?P<path>\S.*?\.(?:go|s|c))(?=:\d+)",
    "rust": (
        r"(?P<lead>^\s+at |panicked at (?!')|', )(?P<path>[^\s'][^\n']*?)(?=:\d+(?::\d+)?:?$)"
    ),
    "csharp": (
        r"(?P<lead>\) (?:\[0x[0-9a-f]+\] )?\w{1,4} )(?P<path>[^<\n].*?)(?=:\D{0,12}\d+[. ]*$)"
    ),
}
_CODE_EXCERPT: Final = (
    r"^[ \t]*+(?:[>|-]{1,6}[ \t]*+)?(?:\d++[ \t]*+)?\|(?:\s.*)?$"
    r"|^[ \t]*+(?:\|[ \t]*+)?[~^][ \t~^]*+$|^-{2,}> ?\d+ "
)
_BEFORE_CARET: Final = r"^[ \t]*+[~^][ \t~^]*+$"
_HEADLINES: Final = (
    r"Traceback \(|Caused by|Wrapped by|--->|^goroutine |panicked at|\[cause\]|Suppressed: "
    r"|Exception Group|^panic: |^fatal error: |exception was the|During handling"
)
_BLOCK_EDGE_LINES: Final = 3


class _Piece(NamedTuple):
    """Some lines of a trace: one frame, or what stands between frames."""

    lines: tuple[str, ...]
    is_frame: bool


def stack(trace: object, *, limit: int = STACK_CHARS_MAX) -> str:
    """Return a stack trace without secrets, directories and source code, at most `limit` long.

    `ingest.stack_hash.stack_hash` gives it the hash of the raw trace, with few exceptions: a
    secret that the hash's own template would have kept, and more exceptions than `limit` holds.
    A long trace loses its outer frames first; a line says how many.
    """
    current = _stack_once(_trace_text(trace), limit)
    for _ in range(PASSES_MAX):
        again = _stack_once(current, limit)
        if again == current:
            return current
        current = again
    return _cut(REDACTED, limit)


def _trace_text(trace: object) -> str:
    """Take both ends of a long trace, as the hash does."""
    written = trace if type(trace) is str else _readable(trace, 16 * RAW_CHARS_MAX)
    if len(written) > RAW_CHARS_MAX:
        written = _both_halves(written)
    return _readable(written, RAW_CHARS_MAX + 1)


def _both_halves(written: str) -> str:
    """Cut the middle out, at line ends: the rest of a cut line may be source code or a secret."""
    half = RAW_CHARS_MAX // 2
    head, tail = written[:half], written[-half:]
    head = head[: head.rfind("\n")] if "\n" in head else _cut(written, half)
    if "\n" not in tail:
        return head
    tail = tail.partition("\n")[2]
    language = explain(head).language or explain(tail).language
    return "\n".join((head, *_from_first_frame(tail.split("\n"), language)))


def _from_first_frame(lines: list[str], language: str) -> list[str]:
    """Drop what comes before the first frame: source code whose own frame is cut away."""
    if not language:
        return lines
    frame = rx(_FRAME[language])
    for index, line in enumerate(lines):
        if frame.search(line[:HEADER_CHARS_MAX]):
            return lines[index:]
    unindented = (index for index, line in enumerate(lines) if line[:1].strip())
    return lines[next(unindented, len(lines)) :]


def _stack_once(raw: str, limit: int) -> str:
    wanted = explain(raw)
    text_without_keys = _without_blocks(rx(r"\x1b\[[0-9;]*[A-Za-z]").sub("", raw))
    lines = text_without_keys.split("\n")
    if len(lines) > TRACE_LINES_MAX:
        tail = _from_first_frame(lines[-TRACE_LINES_MAX // 2 :], wanted.language)
        lines = lines[: TRACE_LINES_MAX // 2] + tail
    lines = [_cut(line.rstrip("\r"), HEADER_CHARS_MAX) for line in lines]
    if not wanted.language:
        return _settled(_cut("\n".join(_without_excerpts(lines)), INPUT_CHARS_MAX), limit)
    pieces = _pieces(_without_code(lines, wanted.language), wanted.language)
    if sum(len(line) for piece in pieces for line in piece.lines) <= 4 * limit:
        whole = _joined(pieces, wanted.language, HEADER_CHARS_MAX)
        if len(whole) <= limit:
            return whole
    return _fitting(pieces, wanted.language, wanted.hash, limit)


def _without_blocks(raw: str) -> str:
    """Hide what spreads over lines before the lines are read one by one."""
    lowered = raw.lower()
    for rule in RULES[:4]:
        if any(need in lowered for need in rule.needs):
            raw = rule.apply(raw)
    return raw


def _without_excerpts(lines: list[str]) -> list[str]:
    """Drop source code as Node, compilers and notebooks print it: numbered, or above a caret."""
    dropped = {index for index, line in enumerate(lines) if rx(_CODE_EXCERPT).match(line)}
    for index in list(dropped):
        if index and rx(_BEFORE_CARET).match(lines[index]):
            dropped.add(index - 1)
    return [line for index, line in enumerate(lines) if index not in dropped]


def _without_code(lines: list[str], language: str) -> list[str]:
    if language != "python":
        return _without_excerpts(lines)
    kept: list[str] = []
    column = -1  # where a line after a frame starts when it is no code; -1: no frame before
    for line in lines:
        frame = rx(_FRAME["python"]).search(line)
        if frame:
            column = max(frame.start() - 2, 0)
        elif column >= 0 and not line[column : column + 1].strip(" \t"):
            if not rx(_FRAME_REST["python"]).search(line) and _LEFT_OUT not in line:
                continue
        else:
            column = -1
        kept.append(line)
    return kept


def _pieces(lines: list[str], language: str) -> list[_Piece]:
    """Group the lines into frames and what stands between them."""
    frame, rest = rx(_FRAME[language]), _FRAME_REST.get(language)
    pieces: list[_Piece] = []
    between: list[str] = []
    for line in lines:
        if frame.search(line):
            if between:
                pieces.append(_Piece(tuple(between), is_frame=False))
                between = []
            pieces.append(_Piece((line,), is_frame=True))
        elif rest and not between and pieces and rx(rest).search(line):
            pieces[-1] = pieces[-1]._replace(lines=(*pieces[-1].lines, line))
        else:
            between.append(line)
    return [*pieces, _Piece(tuple(between), is_frame=False)] if between else pieces


def _joined(pieces: list[_Piece], language: str, header_chars: int) -> str:
    return "\n".join(_scrubbed(piece, language, header_chars) for piece in pieces)


def _scrubbed_until(
    pieces: Iterable[_Piece], language: str, header_chars: int, limit: int
) -> list[str]:
    """Scrub pieces until they are longer than `limit`: the rest would be work for nothing."""
    scrubbed: list[str] = []
    room = limit + 1
    for piece in pieces:
        scrubbed.append(_scrubbed(piece, language, header_chars))
        room -= len(scrubbed[-1]) + 1
        if room < 0:
            break
    return scrubbed


def _scrubbed(piece: _Piece, language: str, header_chars: int) -> str:
    """Scrub one piece; a frame keeps its lines, however it is written."""
    if piece.is_frame:
        return "\n".join(_scrubbed_frame(line, language) for line in piece.lines)
    lines = [_cut(_shortened(line, language), header_chars) for line in piece.lines]
    return _scrubbed_block(_cut("\n".join(lines), BLOCK_CHARS_MAX))


@lru_cache(maxsize=BLOCKS_CACHED_MAX)
def _scrubbed_block(block: str) -> str:
    return _settled(block, BLOCK_CHARS_MAX)


@lru_cache(maxsize=TEXTS_CACHED_MAX)
def _scrubbed_frame(line: str, language: str) -> str:
    return _settled(_shortened(line[:HEADER_CHARS_MAX], language), HEADER_CHARS_MAX)


def _shortened(line: str, language: str) -> str:
    """Shorten the path of a frame's line, or of a panic's, to what names no one."""
    pattern = _FRAME_PATH.get(language)
    return rx(pattern).sub(_shorten_frame_path, line) if pattern else line


def _shorten_frame_path(found: re.Match[str]) -> str:
    path = found["path"]
    if rx(r"^[\w-]+:/{2,3}[^\s]*/?webpack/(?:bootstrap|runtime)").search(path):
        return found[0]
    return found["lead"] + public_path(path)


def _fitting(pieces: list[_Piece], language: str, wanted: str, limit: int) -> str:
    """Leave out frames until the trace fits, preferring what keeps the hash."""
    runs = _runs(pieces, language)
    fallback = ""
    for in_app, library, header_chars in _PATIENCE:
        kept = [piece for run in runs for piece in _kept_of(run, language, in_app, library)]
        short = "\n".join(_scrubbed_until(kept, language, header_chars, limit))
        if len(short) > limit:
            continue
        if stack_hash(short) == wanted:
            return short
        fallback = fallback or short
    if fallback:
        return fallback
    last = _scrubbed_until(reversed(kept), language, header_chars, limit)
    return _both_ends(short, "\n".join(reversed(last)), limit)


def _both_ends(first: str, last: str, limit: int) -> str:
    """Cut the middle out of what is still too long: many exceptions, each with its words."""
    mark = "\n  ..." + _LEFT_OUT + "\n"
    half = max((limit - len(mark)) // 2, 0)
    head = first[:half].rpartition("\n")[0]
    tail = last[len(last) - half :].partition("\n")[2]
    return _settled(f"{head}{mark}{tail}", limit)


def _runs(pieces: list[_Piece], language: str) -> list[list[_Piece]]:
    """Group frames that follow each other; of a Go dump, stop where the first goroutine ends."""
    runs: list[list[_Piece]] = []
    goroutines = 0
    for piece in pieces:
        if language == "go" and not piece.is_frame:
            goroutines += sum(line.startswith("goroutine ") for line in piece.lines)
            if goroutines > 1 and any(run[0].is_frame for run in runs):
                runs.append([_Piece(("  ... other goroutines left out ...",), is_frame=False)])
                break
        if runs and runs[-1][0].is_frame and piece.is_frame:
            runs[-1].append(piece)
        else:
            runs.append([piece])
    return runs


def _kept_of(run: list[_Piece], language: str, in_app: int, library: int) -> list[_Piece]:
    """Keep the innermost frames of a run, in their order, with a line for what was left out."""
    if not run[0].is_frame:
        return [_Piece(_headlines(run[0].lines), is_frame=False)]
    inner_first = run[::-1] if language == "python" else run
    kept: list[_Piece] = []
    seen: dict[str, int] = {}
    counts = {True: 0, False: 0}
    for frame in inner_first:
        name = _in_app_name(frame.lines, language)
        shape = name or rx(r"\d+").sub("", frame.lines[0])
        seen[shape] = seen.get(shape, 0) + 1
        if seen[shape] == 1:
            counts[bool(name)] += 1
        room = counts[bool(name)] <= (in_app if name else library)
        if room and seen[shape] <= _REPEATS_KEPT:
            kept.append(frame)
        if counts[True] > in_app and counts[False] > library:
            break
    if len(kept) == len(run):
        return run
    first = run[0].lines[0]
    indent = first[: len(first) - len(first.lstrip())]
    if language == "python":
        indent = first[: first.index('File "')]
    note = _Piece((f"{indent or '  '}... {len(run) - len(kept)}{_LEFT_OUT}",), is_frame=False)
    return [note, *reversed(kept)] if language == "python" else [*kept, note]


def _headlines(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Keep the first and last lines of a long message, and every line that opens an exception."""
    last = len(lines) - _BLOCK_EDGE_LINES
    return tuple(
        line
        for index, line in enumerate(lines)
        if index < _BLOCK_EDGE_LINES or index >= last or rx(_HEADLINES).search(line)
    )


_MINIMAL: Final = {
    "go": "goroutine 1 [running]:\n{}",
    "rust": "thread 'main' panicked at a.rs:1:1:\nx\n{}",
}


@lru_cache(maxsize=TEXTS_CACHED_MAX)
def _in_app_name(lines: tuple[str, ...], language: str) -> str:
    """Return what the hash calls this frame, or "" for a library's."""
    return culprit(_MINIMAL.get(language, "E: x\n{}").format("\n".join(lines)))
