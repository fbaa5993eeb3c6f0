"""What the team's telemetry.toml says about writing: the log's files, metadata keys, sampling.

The client asks when it starts, so a missing file costs nothing and a bad one never raises.
What else the file says is for others: data_access/home.py reads the same file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ingest.vocabulary import (
    METADATA,
    METADATA_CHARS_MAX,
    NAME_CHARS_MAX,
    SETTINGS_FILE,
    MetadataKey,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SETTINGS_BYTES_MAX: Final = 1024 * 1024
ROTATE_MB_MAX: Final = 100_000
DAYS_MAX: Final = 36_500
METADATA_KEYS_MAX: Final = 1_000
NUMBER_MAX: Final = 1e15
MB: Final = 1024 * 1024
_KINDS: Final = {"text": float(NAME_CHARS_MAX), "number": NUMBER_MAX, "flag": 0.0}
_LIMITS_MAX: Final = {"text": float(METADATA_CHARS_MAX), "number": 1e300, "flag": 1e300}


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """What telemetry.toml says about writing, with defaults for what it does not.

    Attributes
    ----------
    rotate_bytes : a log file that has reached this size is followed by the next one.
    compress_after_days, remove_after_days : age of a day's log files, in whole days.
    metadata : the allowed metadata keys, the vocabulary's and the team's.
    sampling : the table as written; empty when there is none.
    record_app_use : whether the app records its own use; None when the file does not say.
    problems : what in the file could not be used, each with what to do.
    """

    rotate_bytes: int = 100 * MB
    compress_after_days: int = 30
    remove_after_days: int = 90
    metadata: dict[str, MetadataKey] = field(default_factory=METADATA.copy)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    record_app_use: bool | None = None
    problems: tuple[str, ...] = ()


def read_settings(home: Path) -> IngestSettings:
    """Return the settings of a home; what cannot be used keeps its default and is a problem."""
    path = home / SETTINGS_FILE
    try:
        with path.open("rb") as file:
            content = file.read(SETTINGS_BYTES_MAX + 1)
    except FileNotFoundError:
        return IngestSettings()
    except OSError as error:
        return _unreadable(path, error.strerror or str(error))
    if len(content) > SETTINGS_BYTES_MAX:
        return _unreadable(path, f"it is larger than {SETTINGS_BYTES_MAX:,} bytes")
    import tomllib  # noqa: PLC0415 - 10 ms, and most homes have no settings

    try:
        raw = tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return _unreadable(path, str(error))
    return _Reader(path, raw).settings()


def _unreadable(path: Path, reason: str) -> IngestSettings:
    problem = f"{path} cannot be read ({reason}); every setting has its default. Mend the file."
    return IngestSettings(problems=(problem,))


class _Reader:
    """Takes typed values out of the parsed file and remembers what was wrong with them."""

    def __init__(self, path: Path, raw: dict[str, Any]) -> None:
        self.path = path
        self.raw = raw
        self.problems: list[str] = []

    def settings(self) -> IngestSettings:
        default = IngestSettings()
        log = self.table("log")
        megabytes = self.number(log, "rotate_mb", default.rotate_bytes / MB, most=ROTATE_MB_MAX)
        return IngestSettings(
            rotate_bytes=max(1, int(megabytes * MB)),
            compress_after_days=self.days(log, "compress_after_days", default.compress_after_days),
            remove_after_days=self.days(log, "remove_after_days", default.remove_after_days),
            metadata=self.metadata(),
            sampling=self.table("sampling"),
            record_app_use=self.record_app_use(),
            problems=tuple(self.problems),
        )

    def wrong(self, name: str, value: object, expected: str) -> None:
        self.problems.append(
            f"{name} = {str(value)[:40]!r} in {self.path} cannot be used: it must be {expected}. "
            "Correct it in the file; until then it has its default."
        )

    def table(self, name: str) -> dict[str, Any]:
        value = self.raw.get(name, {})
        if isinstance(value, dict):
            return value
        self.wrong(name, value, f"a table, written [{name}]")
        return {}

    def number(self, table: Mapping[str, Any], name: str, default: float, *, most: float) -> float:
        value = table.get(name, default)
        if _is_number(value) and 0 < value <= most:
            return float(value)
        self.wrong(f"log.{name}", value, f"a number above 0, at most {most:,}")
        return default

    def days(self, table: Mapping[str, Any], name: str, default: int) -> int:
        value = table.get(name, default)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= DAYS_MAX:
            return value
        self.wrong(f"log.{name}", value, f"a whole number of days from 0 to {DAYS_MAX:,}")
        return default

    def metadata(self) -> dict[str, MetadataKey]:
        keys = dict(METADATA)
        given = self.table("metadata")
        if len(given) > METADATA_KEYS_MAX:
            self.wrong("metadata", f"{len(given):,} keys", f"at most {METADATA_KEYS_MAX:,} keys")
            return keys
        for name, value in given.items():
            key = _metadata_key(value)
            if key is None or not 0 < len(name) <= NAME_CHARS_MAX:
                kinds = ", ".join(f'"{kind}"' for kind in _KINDS)
                self.wrong(f"metadata.{name[:40]}", value, f"{kinds} or {{ kind, limit }}")
            else:
                keys[name] = key
        return keys

    def record_app_use(self) -> bool | None:
        # a line at the end of the file lands in the last table, which is usually [beta]
        beta = self.raw.get("beta")
        value = (self.raw | (beta if isinstance(beta, dict) else {})).get("record_app_use")
        if value is None or isinstance(value, bool):
            return value
        self.wrong("record_app_use", value, "true or false")
        return None


def _metadata_key(value: object) -> MetadataKey | None:
    """Return the key a value of [metadata] describes, or None when it describes none."""
    given = {"kind": value} if isinstance(value, str) else value
    if not isinstance(given, dict) or given.keys() - {"kind", "limit"}:
        return None
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        return None
    limit = given.get("limit", _KINDS[kind])
    if not _is_number(limit) or not 0 <= limit <= _LIMITS_MAX[kind]:
        return None
    if kind != "flag" and limit == 0:
        return None
    return MetadataKey(kind, float(limit))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
