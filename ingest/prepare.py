"""Turns what the host said into rows: who, when, scrubbed, sampled. It reads and writes nothing.

It runs in the background thread, so a value that repeats (a user, a session, a tool's name) is
looked at once and remembered.
"""

from __future__ import annotations

import json
import math
import re
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from ingest import scrub
from ingest.ids import IsoTime
from ingest.said import WHO_SAID, TraceSaid
from ingest.vocabulary import (
    METADATA_CHARS_MAX,
    NAME_CHARS_MAX,
    Row,
    parse_time,
    pseudonym,
    read_who,
    standard_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ingest.counts import Counts
    from ingest.said import CallSaid, ErrorSaid, WhoSaid
    from ingest.sampling import Sampling
    from ingest.vocabulary import MetadataKey

CACHED_MAX: Final = 4_096  # people and words remembered
ERRORS_CACHED_MAX: Final = 256
USUAL_KEYS_MAX, USUAL_CHARS_MAX = 16, 64  # of metadata that is made into JSON on a short way
INSTALLATION: Final = "this installation"  # the user of what names no user
ROW_NUMBER_MAX: Final = 2**53

_HASH: Final = re.compile(r"[0-9a-f]{16}").fullmatch
_metadata_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

_ID_NAMES: Final = ("session_id", "project_id", "branch_id", "context_id")


class Preparer:
    """Makes rows; one per client, used by its background thread only.

    Parameters
    ----------
    salt : the home's salt, for raw user ids.
    new_id : makes an event_id from seconds since 1970.
    counts : where what is left out is counted.
    allow : the metadata keys that may be kept.
    channel, release : for what does not say its own.
    sampling : keeps a share of ordinary successes; None keeps everything.
    """

    def __init__(
        self,
        *,
        salt: bytes,
        new_id: Callable[[float], str],
        counts: Counts,
        allow: Mapping[str, MetadataKey],
        channel: str,
        release: str | None,
        sampling: Sampling | None = None,
    ) -> None:
        self._salt = salt
        self._new_id = new_id
        self._counts = counts
        self._allow = allow
        self._channel = channel
        self._sampling = sampling
        self._iso = IsoTime()
        self._known_who = lru_cache(CACHED_MAX)(self._who)
        self._known_word = lru_cache(CACHED_MAX, typed=True)(_word)
        self._known_error = lru_cache(ERRORS_CACHED_MAX)(_fault)
        self._known_text = lru_cache(CACHED_MAX)(self._json_text)
        self._known_key = lru_cache(CACHED_MAX)(lambda key: f"{_metadata_json(key)}: ")
        self._release = self._word(release) or None

    def event(self, said: tuple[Any, ...], *, sampled: bool = True) -> Row | None:
        """Return the row of an event, or None when it was counted instead; `said`: an EventSaid."""
        at_s, name, who, result, duration_ms, metadata, more, timestamp, event_id = said
        name = self._word(name)
        if not name:
            self._counts.drop("invalid")
            return None
        if timestamp is None and event_id is None:
            event_id, timestamp = self._new_id(at_s), self._iso(at_s)
        else:
            event_id, timestamp = self._start(at_s, timestamp, event_id)
        who = self.who(who)
        result = self._outcome(result)
        duration_ms = None if duration_ms is None else _number(duration_ms)
        if sampled and self._sampling is not None:
            properties = self._properties(metadata, more)
            what = {"event_name": standard_name(name), "result": result}
            weight = self._weight(self._sampling, event_id, who, duration_ms, properties, **what)
            if not weight:
                return None
            kept = self._json(properties)
        else:
            kept, weight = self._kept_json(metadata, more), 1.0
        tail = (result, duration_ms, kept, self._release, weight)
        return Row("events", (event_id, timestamp, name, *who, *tail))

    def trace(self, said: TraceSaid) -> Row | None:
        """Return the row of a trace, or None when it was counted instead."""
        name = self._word(said.operation_name)
        if not name:
            self._counts.drop("invalid")
            return None
        event_id, timestamp = self._start(said.at_s, said.timestamp, said.event_id)
        who = self.who(said.who)
        success = said.success is None or bool(said.success)
        duration_ms = _number(said.duration_ms)
        if self._sampling is None:
            kept, weight = self._kept_json(said.metadata, said.more), 1.0
        else:
            properties = self._properties(said.metadata, said.more)
            what = {"operation_name": name, "success": success}
            weight = self._weight(self._sampling, event_id, who, duration_ms, properties, **what)
            if not weight:
                return None
            kept = self._json(properties)
        results = None if said.result_count is None else _count(said.result_count)
        measured = (name, duration_ms, int(success), results)
        tail = (kept, self._release, weight)
        return Row("traces", (event_id, timestamp, *measured, *who, *tail))

    def call(self, said: CallSaid) -> list[Row]:
        """Return the event and the trace of a call, which share everything but their names."""
        at_s, event, operation, who, result, took_ms, results, metadata = said
        began_s = at_s - took_ms / 1_000
        names = self._word(event), self._word(operation)
        if self._sampling is not None or not all(names):
            went_well = result == "success"
            both = (
                self.event((at_s, event, who, result, took_ms, metadata, None, None, None)),
                self.trace(
                    TraceSaid(began_s, operation, who, took_ms, went_well, results, metadata)
                ),
            )
            return [row for row in both if row is not None]
        who, outcome = self.who(who), self._outcome(result)
        tail = (self._kept_json(metadata, None), self._release, 1.0)
        happened = (self._new_id(at_s), self._iso(at_s), names[0])
        timed = (self._new_id(began_s), self._iso(began_s), names[1], took_ms)
        went = (int(outcome == "success"), None if results is None else _count(results))
        return [
            Row("events", (*happened, *who, outcome, took_ms, *tail)),
            Row("traces", (*timed, *went, *who, *tail)),
        ]

    def error(self, said: ErrorSaid) -> dict[str, Any]:
        """Return an error, scrubbed and hashed, to be merged with its equals before it is a row.

        The hash is made of the trace as it was; of the trace itself only the scrubbed one stays.
        """
        from ingest.stack_hash import HASH_VERSION  # noqa: PLC0415 - the first error pays for it

        error_type = self._word(said.error_type) or "Error"
        message, trace = _text(said.error_message), _text(said.stack_trace)
        stack_hash, message, trace = self._known_error(error_type, message, trace)
        given = _HASH(_text(said.stack_hash))
        event_id, timestamp = self._start(said.at_s, said.timestamp, said.event_id)
        return {
            "event_id": event_id,
            "timestamp": timestamp,
            "error_type": error_type,
            "error_message": message,
            "stack_trace": trace or None,
            "stack_hash": given[0] if given else stack_hash,
            "hash_version": None if given else HASH_VERSION,
            "severity": self._word(said.severity).lower() or "error",
            "who": self.who(said.who),
            "related_event_name": self._word(said.related_event_name) or None,
            "occurrences": _count(said.occurrences) or 1,
            "first_at": timestamp,
            "last_at": timestamp,
            "metadata": self._json(self._properties(said.metadata, said.more)),
        }

    def error_row(self, error: Mapping[str, Any]) -> Row:
        """Return the row of an error that was merged with its equals."""
        head = [error[name] for name in _ERROR_HEAD]
        tail = [error[name] for name in _ERROR_TAIL]
        values = (*head, *error["who"], *tail, error["metadata"], self._release, 1.0)
        return Row("errors", values)

    def who(self, said: WhoSaid) -> tuple[Any, ...]:
        """Return the columns from user_id_hash to context_id."""
        try:
            return self._known_who(said)
        except TypeError:  # something in it cannot be remembered
            return self._who(said)

    def _who(self, said: WhoSaid) -> tuple[Any, ...]:
        raw = dict(zip(WHO_SAID, said, strict=True))
        for name in ("user_id", "user_id_hash"):
            text = _text(raw[name]).replace("\0", "")
            raw[name] = text if text.strip() else None
        if raw["user_id"] is None and raw["user_id_hash"] is None:
            raw["user_id"] = INSTALLATION
        raw["user_tier"] = self._word(raw["user_tier"])
        raw["channel"] = self._word(raw["channel"]) or self._channel
        for name in _ID_NAMES:
            raw[name] = self._identifier(raw[name])
        return read_who(raw, self._salt)

    def _identifier(self, value: object) -> str | None:
        """Return an id as it is; one that looks like a name, a path or a secret as a pseudonym."""
        if value is None or value == "":
            return None
        text = _text(value)
        return text if scrub.is_plain_id(text) else pseudonym(text, self._salt)

    def _word(self, value: object) -> str:
        """Return a name, scrubbed; the same names come again and again."""
        try:
            return self._known_word(value)
        except TypeError:
            return _word(value)

    def _outcome(self, value: object) -> str:
        if type(value) is str and value == "success":
            return value
        return self._word(value).lower() or "success"

    def _start(self, at_s: float, timestamp: object, event_id: object) -> tuple[str, str]:
        at = None
        if timestamp is not None:
            at = parse_time(timestamp)
            self._counts.flagged += at is None
        given = None if event_id is None else self._identifier(event_id)
        return given or self._new_id(at_s), at or self._iso(at_s)

    def _properties(self, metadata: object, more: object) -> dict[str, Any]:
        """Return what of the metadata is allowed; the rest is counted."""
        kept = self._allowed(metadata) if metadata else {}
        return kept | self._allowed(more) if more else kept

    def _allowed(self, given: object) -> dict[str, Any]:
        allowed = scrub.properties(given, self._allow)
        length = len(given) if type(given) is dict else 1
        if length > len(allowed):
            self._counts.flagged += length - len(allowed)
        return allowed

    def _kept_json(self, metadata: object, more: object) -> str:
        """Return what of the metadata is allowed, as JSON."""
        usual = self._usual_json(more if not metadata else None if more else metadata)
        return self._json(self._properties(metadata, more)) if usual is None else usual

    def _usual_json(self, given: object) -> str | None:
        """Return the same as `_json` of `_properties`, or None for anything unusual.

        Nearly all metadata is a few allowed keys with short texts and numbers: a third of the time.
        """
        if type(given) is not dict or len(given) > USUAL_KEYS_MAX:
            return None
        parts = []
        for key, value in given.items():
            spec = self._allow.get(key)
            if spec is None:
                return None
            kind = type(value)
            if kind is int or kind is float:
                if spec.kind != "number" or not -spec.limit <= value <= spec.limit:
                    return None
                parts.append(f"{self._known_key(key)}{value!r}")
            elif kind is str and spec.kind == "text" and len(value) <= USUAL_CHARS_MAX:
                parts.append(self._known_text(key, value))
            else:
                return None
        return f"{{{', '.join(parts)}}}"

    def _json_text(self, key: str, value: str) -> str:
        """Return one text of the metadata as JSON, scrubbed, with its key."""
        return _metadata_json(scrub.properties({key: value}, self._allow))[1:-1]

    def _json(self, properties: dict[str, Any]) -> str:
        if not properties:
            return "{}"
        text = _metadata_json(properties)
        if len(text) <= METADATA_CHARS_MAX:
            return text
        self._counts.flagged += 1
        return "{}"

    def _weight(
        self,
        sampling: Sampling,
        event_id: str,
        who: tuple[Any, ...],
        duration_ms: float | None,
        properties: dict[str, Any],
        **what: object,
    ) -> float:
        """Return what the row stands for; 0 when sampling leaves it out."""
        record = what | {
            "event_id": event_id,
            "user_id_hash": who[0],
            "session_id": who[3],
            "duration_ms": duration_ms,
            "metadata": properties,
        }
        decision = sampling.decide(record)
        if decision.keep:
            return decision.weight
        self._counts.sampled_out += 1
        return 0.0


_ERROR_HEAD: Final = (
    *("event_id", "timestamp", "error_type", "error_message", "stack_trace"),
    *("stack_hash", "hash_version", "severity"),
)
_ERROR_TAIL: Final = ("related_event_name", "occurrences", "first_at", "last_at")


def _word(value: object) -> str:
    """Return a name, scrubbed; nothing for what is none, such as a list."""
    known = isinstance(value, (str, Enum, int, float)) or value is None
    return scrub.text(_text(value), limit=NAME_CHARS_MAX).strip() if known else ""


def _text(value: object) -> str:
    """Return a value as text; what cannot be said raises, and costs itself only."""
    if isinstance(value, Enum):
        value = value.value
    return "" if value is None else str(value)


def _fault(error_type: str, message: str, trace: str) -> tuple[str, str, str]:
    from ingest.stack_hash import stack_hash  # noqa: PLC0415 - the first error pays for it

    hashed = stack_hash(trace, error_type=error_type, message=message)
    return hashed, scrub.text(message), scrub.stack(trace)


def _number(value: object) -> float | None:
    """Return a number of milliseconds, or None for what is none."""
    try:
        number = float(value)  # type: ignore[arg-type] # a Decimal or a number of numpy's
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _count(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number <= ROW_NUMBER_MAX else None
