"""The one vocabulary: every table, column, name and metadata key, and how one raw row becomes them.

Both sides of the house read this file: ingest writes these columns, data_access reads them.
It imports the standard library only and never touches the disk.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "ACTIVE_EVENTS",
    "ALIASES",
    "METADATA",
    "PAID_TIERS",
    "TABLES",
    "TIERS",
    "ChannelType",
    "Column",
    "CortexEventName",
    "EventSeverity",
    "LineIds",
    "MetadataKey",
    "Refused",
    "Row",
    "Table",
    "is_gzip",
    "parse_json",
    "parse_time",
    "pseudonym",
    "read_old_row",
    "read_row",
    "read_who",
    "share_digest",
    "share_of",
    "standard_name",
]

# --- files of a home -------------------------------------------------------------------------

DATABASE_FILE: Final = "telemetry.db"
SETTINGS_FILE: Final = "telemetry.toml"
SALT_FILE: Final = "salt"
LOG_FOLDER: Final = "log"
INBOX_FOLDER: Final = "inbox"
COLUMNAR_FOLDER: Final = "columnar"
PIPELINE_FOLDER: Final = "pipeline"  # what the clients counted: written, sampled, lost and why
TEAM_FOLDER: Final = "team"  # what the team itself says: never read as telemetry
NOTES_FILE: Final = "notes.jsonl"
SEGMENTS_FILE: Final = "segments.jsonl"
VIEWS_FILE: Final = "views.db"  # saved views and queries, and what each person asked
CONSENT_FILE: Final = "telemetry.json"
SALT_VARIABLE: Final = "TELEMETRY_SALT"  # one salt for the homes of many machines
DEMO_FILE: Final = "DEMO"  # present when the demo wrote the home; the app then shows its banner

# --- limits ----------------------------------------------------------------------------------

EVENT_ID_CHARS_MAX: Final = 128
USER_CHARS_MAX: Final = 128
NAME_CHARS_MAX: Final = 200
MESSAGE_CHARS_MAX: Final = 8_192
STACK_CHARS_MAX: Final = 65_536
METADATA_CHARS_MAX: Final = 65_536
QUARANTINE_CHARS_MAX: Final = 2_048
TEAM_FILE_BYTES_MAX: Final = 32 * 1024 * 1024  # of notes, or of segments
NOTE_CHARS_MAX: Final = 500
SEGMENT_NAME_CHARS_MAX: Final = 60
SEGMENT_USERS_MAX: Final = 20_000
SEGMENT_QUERY_CHARS_MAX: Final = 4_000
VIEWS_BYTES_MAX: Final = 64 * 1024 * 1024
VIEWS_SCHEMA: Final = 1  # the version of the tables in it
VIEW_NAME_CHARS_MAX: Final = 80
VIEW_WORDS_CHARS_MAX: Final = 500  # of a description
VIEW_QUERY_CHARS_MAX: Final = 64_000  # a query of SQL, percent-encoded
HISTORY_MAX: Final = 100  # questions remembered per person
SEGMENT_NOT: Final = "not "  # before a segment's name in a filter: everybody else

# --- names -----------------------------------------------------------------------------------


class CortexEventName(StrEnum):
    """The 18 standard event names of the v2.0 schema. Any other name is welcome too."""

    CONTEXT_CREATED = "context_created"
    CONTEXT_AUTO_CREATED = "context_auto_created"
    CONTEXT_LOADED = "context_loaded"
    CONTEXT_RESUMED = "context_resumed"
    CONTEXT_MODIFIED = "context_modified"
    CONTEXT_MERGED = "context_merged"
    CONTEXT_DELETED = "context_deleted"
    CONTEXT_PROTECTION_TRIGGERED = "context_protection_triggered"
    CONTEXT_PROTECTION_BLOCKED = "context_protection_blocked"
    CONTEXT_OVERRIDE_MANUAL = "context_override_manual"
    SESSION_STARTED = "session_started"
    SESSION_ENDED = "session_ended"
    SESSION_RESUMED_FROM_CONTEXT = "session_resumed_from_context"
    EXTENSION_ACTIVATED = "extension_activated"
    SERVER_OPERATION_CALLED = "server_operation_called"
    WEB_VIEW_OPENED = "web_view_opened"
    PAID_SUBSCRIPTION_STARTED = "paid_subscription_started"
    PAID_SUBSCRIPTION_CANCELED = "paid_subscription_canceled"


class ChannelType(StrEnum):
    """Where an event came from."""

    SERVER = "server"
    EXTENSION = "extension"
    WEB = "web"


class EventSeverity(StrEnum):
    """How bad an error is."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


TIERS: Final = ("free", "trial", "paid", "enterprise")
PAID_TIERS: Final = ("paid", "enterprise")
CHANNELS: Final = tuple(channel.value for channel in ChannelType)
CHANNEL_ALIASES: Final = {"mcp": "server", "ext": "extension"}

ACTIVE_EVENTS: Final = (
    CortexEventName.SESSION_STARTED.value,
    CortexEventName.EXTENSION_ACTIVATED.value,
    CortexEventName.SERVER_OPERATION_CALLED.value,
    CortexEventName.WEB_VIEW_OPENED.value,
)

_OLD_NAMES: Final = {
    "activate": "extension_activated",
    "tool_call": "server_operation_called",
    "search_context": "server_operation_called",
    "update_memory": "server_operation_called",
    "compress_context": "server_operation_called",
    "reference_suggest": "server_operation_called",
    "ontology_classify": "server_operation_called",
    "branch_create": "context_created",  # context_auto_created when automatic: standard_name
}
_OLD_NAMES_KEPT: Final = ("install", "ui_interaction", "code_insert", "context_switch", "error")
_PREFIXES: Final = ("", "mcp.", "ext.")

# every old spelling -> its standard name
ALIASES: Final = {
    prefix + old: new
    for prefix in _PREFIXES
    for old, new in (_OLD_NAMES | {name: name for name in _OLD_NAMES_KEPT}).items()
    if prefix + old != new
} | {prefix + name.value: name.value for prefix in _PREFIXES[1:] for name in CortexEventName}
BRANCH_CREATE_NAMES: Final = tuple(prefix + "branch_create" for prefix in _PREFIXES)


def standard_name(source_name: str, *, automatic: bool = False) -> str:
    """Return the standard event name for a name as written; unknown names stay themselves."""
    if automatic and source_name in BRANCH_CREATE_NAMES:
        return CortexEventName.CONTEXT_AUTO_CREATED.value
    return ALIASES.get(source_name, source_name)


# --- metadata --------------------------------------------------------------------------------


class MetadataKey(NamedTuple):
    """One allowed metadata key: its JSON type and its limit.

    `kind` is "text", "number" or "flag"; `limit` is characters for text, the largest absolute
    value for a number, and unused for a flag.
    """

    kind: str
    limit: float = 0.0


_TEXT_KEYS = (
    *("tool_name", "ide", "version", "extension_version", "mcp_version", "os", "platform"),
    *("model", "provider", "language", "region", "variant", "flag", "action", "element"),
    *("category", "outcome", "error_category", "error_mode", "rollup_reason", "auto_or_manual"),
    *("top_model", "level", "route", "status", "method", "plan", "from_tier", "to_tier", "step"),
    "request_id",
)
_NUMBER_KEYS = (
    *("tokens_input", "tokens_output", "tokens_total", "tokens_saved_vs_naive", "read_tokens"),
    *("before_tokens", "after_tokens", "savings_rate", "compression_ratio", "compression_ms"),
    *("cost_usd", "total_cost_usd", "credits", "results_count", "result_count", "top_k"),
    *("query_length", "suggestion_count", "lines_inserted", "confidence", "context_size_kb"),
    *("context_size", "file_size_bytes", "token_count", "count", "turns", "window_seq"),
    *("observation_count", "observations_created", "total_observations_injected"),
    *("total_tokens_saved_vs_naive", "session_count", "files_changed", "attempt", "queue_depth"),
    *("errno", "http_status", "input_tokens", "output_tokens", "tokens_injected", "error_count"),
    *("outcome_ok", "outcome_error", "outcome_aborted", "outcome_invalid_output"),
)
_FLAG_KEYS = ("accepted", "auto", "automatic", "cached", "retried", "streamed")
_OBSERVATION_TYPES = ("bugfix", "feature", "refactor", "change", "discovery", "decision", "other")

METADATA: Final[dict[str, MetadataKey]] = (
    {key: MetadataKey("text", NAME_CHARS_MAX) for key in _TEXT_KEYS}
    | {key: MetadataKey("number", 1e15) for key in _NUMBER_KEYS}
    | {key: MetadataKey("flag") for key in _FLAG_KEYS}
    | {f"obs_type_{name}": MetadataKey("number", 1e15) for name in _OBSERVATION_TYPES}
)

# --- tables ----------------------------------------------------------------------------------


class Column(NamedTuple):
    """One column: its SQLite type, what a row gets when it says nothing, and its frame type.

    `frame` is "text", "number", "count", "flag" or "time"; data_access/schema.py maps it to Polars.
    """

    name: str
    sql: str
    frame: str


class Table(NamedTuple):
    """One table of telemetry.db. `name` is what `scan` calls it."""

    name: str
    sql_name: str
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns a writer fills, in table order."""
        return tuple(column.name for column in self.columns)

    @property
    def key(self) -> str:
        """Name of the column that tells two rows apart."""
        return "session_id" if self.name == "sessions" else "event_id"

    @property
    def time_column(self) -> str:
        """Name of the column that says when."""
        return "start_time" if self.name == "sessions" else "timestamp"


_EVENT_ID = Column("event_id", "TEXT NOT NULL UNIQUE DEFAULT (lower(hex(randomblob(16))))", "text")
_TIMESTAMP = Column("timestamp", "TEXT NOT NULL", "time")
_WHO = (
    Column("user_id_hash", "TEXT NOT NULL", "text"),
    Column("user_tier", "TEXT NOT NULL DEFAULT ''", "text"),
    Column("is_paid_user", "INTEGER NOT NULL DEFAULT 0", "flag"),
    Column("session_id", "TEXT NOT NULL DEFAULT ''", "text"),
    Column("channel", "TEXT NOT NULL DEFAULT ''", "text"),
    Column("project_id", "TEXT", "text"),
    Column("branch_id", "TEXT", "text"),
    Column("context_id", "TEXT", "text"),
)
_TAIL = (
    Column("metadata", "TEXT NOT NULL DEFAULT '{}'", "text"),
    Column("release", "TEXT", "text"),
    Column("weight", "REAL NOT NULL DEFAULT 1", "number"),
)

TABLES: Final[dict[str, Table]] = {
    "events": Table(
        "events",
        "telemetry_events",
        (
            _EVENT_ID,
            _TIMESTAMP,
            Column("event_name", "TEXT NOT NULL", "text"),  # as written; frames add the standard
            *_WHO,
            Column("result", "TEXT NOT NULL DEFAULT 'success'", "text"),
            Column("duration_ms", "REAL", "number"),
            *_TAIL,
        ),
    ),
    "errors": Table(
        "errors",
        "telemetry_errors",
        (
            _EVENT_ID,
            _TIMESTAMP,
            Column("error_type", "TEXT NOT NULL DEFAULT 'Error'", "text"),
            Column("error_message", "TEXT NOT NULL DEFAULT ''", "text"),
            Column("stack_trace", "TEXT", "text"),
            Column("stack_hash", "TEXT", "text"),
            Column("hash_version", "INTEGER", "count"),
            Column("severity", "TEXT NOT NULL DEFAULT 'error'", "text"),
            *_WHO,
            Column("related_event_name", "TEXT", "text"),
            Column("occurrences", "INTEGER NOT NULL DEFAULT 1", "count"),
            Column("first_at", "TEXT", "time"),
            Column("last_at", "TEXT", "time"),
            *_TAIL,
        ),
    ),
    "traces": Table(
        "traces",
        "telemetry_traces",
        (
            _EVENT_ID,
            _TIMESTAMP,
            Column("operation_name", "TEXT NOT NULL", "text"),
            Column("duration_ms", "REAL", "number"),
            Column("success", "INTEGER NOT NULL DEFAULT 1", "flag"),
            Column("result_count", "INTEGER", "count"),
            *_WHO,
            *_TAIL,
        ),
    ),
    "sessions": Table(
        "sessions",
        "telemetry_user_sessions",
        (
            Column("session_id", "TEXT NOT NULL UNIQUE", "text"),
            Column("user_id_hash", "TEXT NOT NULL", "text"),
            Column("user_tier", "TEXT NOT NULL DEFAULT ''", "text"),
            Column("channel", "TEXT NOT NULL DEFAULT ''", "text"),
            Column("start_time", "TEXT NOT NULL", "time"),
            Column("end_time", "TEXT", "time"),
            Column("duration_sec", "REAL", "number"),
            Column("event_count", "INTEGER NOT NULL DEFAULT 0", "count"),
            Column("error_count", "INTEGER NOT NULL DEFAULT 0", "count"),
            Column("os", "TEXT", "text"),
            Column("ide", "TEXT", "text"),
            Column("extension_version", "TEXT", "text"),
            Column("mcp_version", "TEXT", "text"),
        ),
    ),
}

# --- one raw row -> one or more rows of the tables -------------------------------------------


class Refused(ValueError):  # noqa: N818 - it is a verdict on a line, not a failure of ours
    """A line that cannot become a row. The message is the reason, in words a person reads."""


class Row:
    """One row for one table, in the table's column order, and what was wrong with its values."""

    __slots__ = ("flags", "table", "values")

    def __init__(self, table: str, values: tuple[Any, ...], flags: tuple[str, ...] = ()) -> None:
        self.table = table
        self.values = values
        self.flags = flags

    def __repr__(self) -> str:
        return f"Row({self.table!r}, {self.values!r}, {self.flags!r})"


_CANONICAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_SECONDS_MAX = 1e11  # an epoch number above this is milliseconds: 1e11 s is the year 5138
_MILLISECONDS_MAX = 1e14


def parse_time(value: object) -> str | None:
    """Return `value` as UTC ISO 8601 with milliseconds, or None when it names no instant.

    Reads ISO 8601 with any offset or none (naive is UTC), a blank instead of the T, and epoch
    seconds, milliseconds or microseconds as a number or digits. Hour 24 is the next midnight, and
    a leap second ends with the second before it.
    """
    if isinstance(value, bool) or value is None:
        return None
    try:
        if isinstance(value, datetime):
            moment = value
        elif isinstance(value, (int, float)):
            return _epoch(float(value))
        else:
            text = str(value).strip()
            try:
                if _CANONICAL_TIME.fullmatch(text):
                    datetime.fromisoformat(text)
                    return text
                if re.fullmatch(r"-?\d+(\.\d+)?", text) and len(text) not in (6, 7, 8):
                    return _epoch(float(text))
                moment = datetime.fromisoformat(text)
            except ValueError:
                moment = _loose_time(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return _iso(moment.astimezone(UTC))
    except (ValueError, OverflowError, OSError):
        return None


_LOOSE_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d)(:\d\d)(:\d\d)?(\.\d+)?\s*(Z|UTC|GMT|[+-]\d\d:?\d\d)?",
    re.IGNORECASE | re.ASCII,
)


def _loose_time(text: str) -> datetime:
    """Read what `fromisoformat` refuses: z, UTC and GMT, hour 24, a leap second."""
    found = _LOOSE_TIME.fullmatch(text)
    if found is None:
        raise ValueError("not a time")
    day, hour, minute, second, fraction, zone = found.groups(default="")
    if zone.isalpha():
        zone = "+00:00"
    if second == ":60":
        second, fraction = ":59", ".999"
    midnight = hour == "24" and not (minute + second + fraction).strip(":.0")
    if midnight:
        hour = "00"
    moment = datetime.fromisoformat(f"{day}T{hour}{minute}{second}{fraction}{zone}")
    return moment + timedelta(days=int(midnight))


def _epoch(number: float) -> str | None:
    if not math.isfinite(number):
        return None
    if abs(number) > _MILLISECONDS_MAX:
        number /= 1_000_000
    elif abs(number) > _SECONDS_MAX:
        number /= 1_000
    return _iso(datetime.fromtimestamp(number, UTC))


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def is_gzip(first_bytes: bytes) -> bool:
    """Tell whether a file that begins like this is compressed, whatever its name says."""
    return first_bytes.startswith(b"\x1f\x8b")


class _LongNumber(float):
    """An integer of more digits than Python reads: infinite as a number, its digits as text."""

    __slots__ = ("digits",)

    def __init__(self, digits: str) -> None:
        self.digits = digits

    def __str__(self) -> str:
        return self.digits


def _whole_number(digits: str) -> int | _LongNumber:
    try:
        return int(digits)
    except ValueError:
        return _LongNumber(digits)


def parse_json(text: bytes | str) -> object:
    """Return the value of a JSON text; an integer too long to read costs itself, not the line.

    Raises
    ------
    ValueError : when it is not JSON.
    RecursionError : when it is nested too deeply.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        if type(error) is not ValueError:  # not JSON; only the limit on digits is a plain one
            raise
        return json.loads(text, parse_int=_whole_number)


_LOOKS_PERSONAL = re.compile(r"[@/\\]")


def pseudonym(user: str, salt: bytes = b"") -> str:
    """Return the hash stored for a raw user id: HMAC-SHA256 with the salt, plain without one."""
    import hashlib  # noqa: PLC0415 - 5 ms that `import ingest` need not take
    import hmac  # noqa: PLC0415 - the same

    data = user.encode("utf-8", "replace")
    return hmac.new(salt, data, "sha256").hexdigest() if salt else hashlib.sha256(data).hexdigest()


# Sampling keeps a user's ordinary events when the user's share is below the keep rate. Frozen:
# another hash would choose other users, and cut everybody's history in two.
SHARE_BYTES: Final = 8
SHARES: Final = 2.0 ** (8 * SHARE_BYTES)


def share_digest(key: str) -> bytes:
    """Return a key's hash; bytes of equal length compare like the big-endian number they are."""
    from hashlib import blake2b  # noqa: PLC0415 - as in pseudonym

    data = key.encode("utf-8", "replace")
    return blake2b(data, digest_size=SHARE_BYTES, person=b"betascope.sample").digest()


def share_of(key: str) -> float:
    """Return where a user, session, request or event id falls between 0 and 1; never changes."""
    return int.from_bytes(share_digest(key), "big") / SHARES


_NAMESPACE = "5b1f7c52-0d8e-5b5e-9c3c-7f6a3a1f4d10"


def row_id(*parts: object) -> str:
    """Return the same id for the same parts, for rows that came without one."""
    from uuid import UUID, uuid5  # noqa: PLC0415 - 3 ms that `import ingest` need not take

    return str(uuid5(UUID(_NAMESPACE), "\x1f".join(str(part) for part in parts)))


class LineIds:
    """Ids for lines that carry none: by content and by how often that content came before.

    Loading a file twice, or under another name, gives the same ids; two equal lines stay two.
    """

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen: Counter[bytes] = Counter()

    def of(self, line: bytes) -> str:
        """Return the id of this line."""
        from hashlib import blake2b  # noqa: PLC0415 - as in pseudonym

        digest = blake2b(line.strip(), digest_size=16).digest()
        self.seen[digest] += 1
        return row_id("line", digest.hex(), self.seen[digest])


class _Reader:
    """Takes typed values out of one raw mapping and remembers what was wrong with them."""

    __slots__ = ("flags", "raw")

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self.flags: list[str] = []

    def flag(self, what: str) -> None:
        if what not in self.flags:
            self.flags.append(what)

    def first(self, *names: str) -> Any:  # noqa: ANN401 - raw JSON has any type
        for name in names:
            value = self.raw.get(name)
            if value is not None and value != "":
                return value
        return None

    def text(self, *names: str, limit: int = NAME_CHARS_MAX) -> str | None:
        value = self.first(*names)
        if value is None:
            return None
        if type(value) is str and value.isascii() and len(value) <= limit and "\0" not in value:
            return value  # nearly every value; the checks below cost five times as much
        if isinstance(value, (dict, list)):
            self.flag(names[0])
            value = json.dumps(value, ensure_ascii=False, default=str)
        elif not isinstance(value, str):
            value = str(value)
        return self.clean(value, names[0], limit)

    def clean(self, value: str, name: str, limit: int) -> str | None:
        if not value.isascii() or "\0" in value:
            fixed = value.encode("utf-8", "replace").decode("utf-8").replace("\0", "")
            if fixed != value:
                self.flag(name)
                value = fixed
        if len(value) > limit:
            self.flag(name)
            value = value[:limit]
        return value or None

    def number(self, name: str, *, least: float = -math.inf) -> float | None:
        value = self.first(name)
        if value is None:
            return None
        try:
            number = float(value) if not isinstance(value, (dict, list)) else math.nan
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number) or number < least:
            self.flag(name)
            return None
        return number

    def count(self, name: str, *, default: int | None = None) -> int | None:
        number = self.number(name, least=0)
        if number is None or number > 2**53:
            return default
        return int(number)

    def yes_no(self, name: str, *, default: bool) -> int:
        value = self.first(name)
        if value is None:
            return int(default)
        if isinstance(value, (bool, int, float)):
            return int(bool(value))
        word = str(value).strip().lower()
        if word in ("1", "true", "yes", "t"):
            return 1
        if word in ("0", "false", "no", "f"):
            return 0
        self.flag(name)
        return int(default)

    def time(self, name: str) -> str | None:
        value = self.first(name)
        moment = parse_time(value)
        if value is not None and moment is None:
            self.flag(name)
        return moment


_SPELLINGS: Final = frozenset(
    ("id", "created_at", "event", "event_type", "service", "user_id", "event_data", "properties")
) | {"client_info", "error_message", "source_name", "group_hash", "table"}
_OWN_KEYS: Final = {
    name: _SPELLINGS | frozenset(table.column_names) for name, table in TABLES.items()
}


def read_row(
    raw: object,
    *,
    event_id: str | Callable[[], str] | None = None,
    salt: bytes = b"",
) -> list[Row]:
    """Return the rows one raw record stands for, values checked and in table order.

    Usually one row; an old event that carries an error message is an error as well. The table is
    told by what the record has: `operation_name` makes a trace, `error_type` without an event
    name an error, `start_time` without one a session, anything else an event.

    Parameters
    ----------
    raw : the record, as `json.loads`, a CSV reader or an old table gave it.
    event_id : used when the record has none; may be a function, called only then.
    salt : the home's salt, for records that still carry a raw user id.

    Raises
    ------
    Refused : when the time, the event name or the user cannot be read.
    """
    if not isinstance(raw, dict):
        raise Refused(f"the line is JSON but not an object: {type(raw).__name__}")
    reader = _Reader(raw)
    name = reader.text("event_name", "event", "event_type")
    if name is None and reader.first("operation_name") is not None:
        return [_trace(reader, event_id, salt)]
    if name is None and reader.first("error_type") is not None:
        return [_error(reader, event_id, salt)]
    if name is None and reader.first("start_time") is not None:
        return [_session(reader, salt)]
    if name is None:
        raise Refused("no event name: expected event_name, event_type or operation_name")
    event = _event(reader, name, event_id, salt)
    if reader.first("error_message") is None:
        return [event]
    return [event, _error_of_event(reader, event)]


def read_old_row(raw: Mapping[str, Any], *, file_name: str, sql_name: str) -> list[Row]:
    """Return the rows of one row of an older database, with ids that never change.

    The id is made of file, table and row id, and of time and user as well, so that the databases
    of two machines that share a file name do not swallow each other's rows. A row without a row id
    is known by all it holds.
    """
    parts = (raw.get("id"), raw.get("timestamp"), raw.get("user_id_hash"))
    if raw.get("id") is None:
        parts = ("content", json.dumps(raw, sort_keys=True, default=str), None)
    return read_row(dict(raw), event_id=row_id(file_name, sql_name, *parts))


def read_who(raw: Mapping[str, Any], salt: bytes = b"") -> tuple[Any, ...]:
    """Return the columns from user_id_hash to context_id of a raw record, in table order.

    Raises
    ------
    Refused : when there is no user.
    """
    return _who(_Reader(raw), salt)


def _who(reader: _Reader, salt: bytes) -> tuple[Any, ...]:
    user = reader.text("user_id_hash", limit=10 * USER_CHARS_MAX)
    if user is None:
        raw_user = reader.text("user_id", limit=10 * USER_CHARS_MAX)
        user = pseudonym(raw_user, salt) if raw_user else None
    elif len(user) > USER_CHARS_MAX or _LOOKS_PERSONAL.search(user):
        reader.flag("user_id_hash")
        user = pseudonym(user, salt)
    if user is None or not user.strip():
        raise Refused("no user: expected user_id_hash or user_id")
    tier = (reader.text("user_tier") or "").strip().lower()
    if tier and tier not in TIERS:
        reader.flag("user_tier")
    if not tier and reader.yes_no("is_paid_user", default=False):
        tier = "paid"
    channel = (reader.text("channel", "service") or "").strip().lower()
    channel = CHANNEL_ALIASES.get(channel, channel)
    if channel and channel not in CHANNELS:
        reader.flag("channel")
    return (
        user,
        tier,
        int(tier in PAID_TIERS),
        reader.text("session_id") or "",
        channel,
        reader.text("project_id"),
        reader.text("branch_id"),
        reader.text("context_id"),
    )


_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str).encode


def _finite(value: Any) -> Any:  # noqa: ANN401 - raw JSON has any type
    """Return the value with null for each number in it that JSON cannot say."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _finite_json(value: dict[str, Any]) -> str:
    try:
        return _to_json(_finite(value))
    except (ValueError, RecursionError):  # a knot of references
        return "{}"


def _metadata(reader: _Reader, table: str) -> str:
    own = _OWN_KEYS[table]
    merged: dict[str, Any] = {
        key: value
        for key, value in reader.raw.items()
        if key not in own and value is not None and value != "" and isinstance(key, str)
    }
    for name in ("client_info", "properties", "event_data", "metadata"):
        value = reader.first(name)
        if isinstance(value, str):
            try:
                value = parse_json(value)
            except (ValueError, RecursionError):
                reader.flag(name)
                continue
        if isinstance(value, dict):
            merged.update(value)
        elif value is not None:
            reader.flag(name)
    if not merged:
        return "{}"
    try:
        text = _to_json(merged)
    except (ValueError, RecursionError):
        reader.flag("metadata")
        text = _finite_json(merged)
    text = text.replace("\\u0000", "")
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    if len(text) > METADATA_CHARS_MAX:
        reader.flag("metadata")
        return "{}"
    return text


def _tail(reader: _Reader, table: str) -> tuple[Any, ...]:
    weight = reader.number("weight", least=0)
    return _metadata(reader, table), reader.text("release"), weight or 1.0


def _start(reader: _Reader, event_id: str | Callable[[], str] | None) -> tuple[str, str]:
    moment = parse_time(reader.first("timestamp"))
    if moment is None:
        raise Refused(f"no readable time in timestamp: {str(reader.raw.get('timestamp'))[:40]!r}")
    given = reader.text("event_id", limit=METADATA_CHARS_MAX)
    if given is None:
        given = event_id() if callable(event_id) else event_id
    if given is None:
        given = row_id("row", json.dumps(reader.raw, sort_keys=True, default=str))
    if len(given) > EVENT_ID_CHARS_MAX:
        reader.flag("event_id")
        given = row_id("long", given)
    return given, moment


def _event(
    reader: _Reader, name: str, event_id: str | Callable[[], str] | None, salt: bytes
) -> Row:
    start = _start(reader, event_id)
    who = _who(reader, salt)
    values = (
        *start,
        name,
        *who,
        (reader.text("result") or "success").lower(),
        reader.number("duration_ms", least=0),
        *_tail(reader, "events"),
    )
    return Row("events", values, tuple(reader.flags))


def _error(reader: _Reader, event_id: str | Callable[[], str] | None, salt: bytes) -> Row:
    event_key, moment = _start(reader, event_id)
    values = (
        event_key,
        moment,
        reader.text("error_type") or "Error",
        reader.text("error_message", limit=MESSAGE_CHARS_MAX) or "",
        reader.text("stack_trace", limit=STACK_CHARS_MAX),
        reader.text("stack_hash"),
        reader.count("hash_version"),
        (reader.text("severity") or "error").lower(),
        *_who(reader, salt),
        reader.text("related_event_name"),
        reader.count("occurrences", default=1) or 1,
        reader.time("first_at") or moment,
        reader.time("last_at") or moment,
        *_tail(reader, "errors"),
    )
    return Row("errors", values, tuple(reader.flags))


def _error_of_event(reader: _Reader, event: Row) -> Row:
    """Return the error inside an old event: v1 kept message and trace in the event itself."""
    by_name = dict(zip(TABLES["events"].column_names, event.values, strict=True))
    metadata = json.loads(by_name["metadata"])
    failed = by_name["result"] != "success"
    inner = {
        "error_type": metadata.get("error_type")
        or (by_name["result"].capitalize() if failed else "Error"),
        "error_message": reader.raw["error_message"],
        "stack_trace": metadata.get("stack_trace"),
        "related_event_name": by_name["event_name"],
    }
    if not failed:
        inner["severity"] = EventSeverity.WARNING.value
    raw = by_name | inner | {"event_id": row_id("error", by_name["event_id"]), "metadata": {}}
    for name in ("event_name", "result", "duration_ms"):
        raw.pop(name)
    return _error(_Reader(raw), None, b"")


def _trace(reader: _Reader, event_id: str | Callable[[], str] | None, salt: bytes) -> Row:
    start = _start(reader, event_id)
    failed = (reader.text("result") or "success").lower() != "success"
    values = (
        *start,
        reader.text("operation_name"),
        reader.number("duration_ms", least=0),
        reader.yes_no("success", default=not failed),
        reader.count("result_count"),
        *_who(reader, salt),
        *_tail(reader, "traces"),
    )
    return Row("traces", values, tuple(reader.flags))


def _session(reader: _Reader, salt: bytes) -> Row:
    started = parse_time(reader.first("start_time"))
    session_id = reader.text("session_id")
    if started is None:
        raise Refused(f"no readable time in start_time: {str(reader.raw['start_time'])[:40]!r}")
    if session_id is None:
        raise Refused("a session without session_id")
    user, tier, _, _, channel, *_ = _who(reader, salt)
    values = (
        *(session_id, user, tier, channel, started),
        reader.time("end_time"),
        reader.number("duration_sec", least=0),
        reader.count("event_count", default=0),
        reader.count("error_count", default=0),
        *(reader.text(name) for name in ("os", "ide", "extension_version", "mcp_version")),
    )
    return Row("sessions", values, tuple(reader.flags))


def small(address: str) -> str:
    """Return an address as it is compared: letters beyond ASCII are never folded into others."""
    return "".join(one.lower() if one.isascii() else one for one in address)
