"""What telemetry.toml says, read by the table of keys.py, and where each value came from.

The home's own telemetry.toml decides; one beside the app (or at $TELEMETRY_SETTINGS) fills in what
it leaves out. A value that cannot be used is named with the allowed ones, and has its default.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from data_access.errors import Problem
from data_access.keys import KEYS, KINDS, SMALL_GROUP_USERS, Key
from ingest.vocabulary import DEMO_FILE, SETTINGS_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from data_access.home import Home

SETTINGS_VARIABLE: Final = "TELEMETRY_SETTINGS"
SETTINGS_BYTES_MAX: Final = 1024 * 1024
BETA: Final = "beta"  # older files keep the top-level keys in this table
_SHOWN_CHARS_MAX: Final = 40
_LIST_SHOWN_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who may come in, and as what. `broken` holds what cannot be used: then nobody may.

    `required` is None when the file does not say: then any address but this machine's own needs it.
    """

    required: bool | None = None
    domains: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    groups_claim: str = "groups"
    verified_claim: str = "email_verified"
    admins: tuple[str, ...] = ()
    analysts: tuple[str, ...] = ()
    default_role: str = "viewer"
    session_hours: float = 12.0
    session_ends: str = "token"
    broken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one question, export or client of the HTTP API may take."""

    query_rows: int = 10_000
    query_seconds: float = 30.0
    query_memory_mb: int = 2_048
    query_chars: int = 20_000
    queries_at_once: int = 2
    export_rows: int = 5_000_000
    api_requests_per_minute: int = 120
    api_page_rows: int = 1_000


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on something is said to be slow or an incident."""

    apdex_ms: float = 500.0
    incident_failures: float = 10.0
    incident_times: float = 3.0


@dataclass(frozen=True, slots=True)
class Server:
    """What the server is told about the network around it."""

    public_url: str = ""
    trusted_proxies: tuple[str, ...] = ()
    embed_origins: tuple[str, ...] = ()


PEOPLE_COLUMNS: Final = ("user_id_hash", "session_id")  # what `people_lists = false` closes


@dataclass(frozen=True, slots=True)
class Settings:
    """What telemetry.toml says, with defaults for what it does not; KEYS explains each.

    `is_demo` is not of the file: the home holds sample data. `problems` is what in the file could
    not be used. `places` says where each value that is not a default came from. `others` are the
    keys that others read: the client's, and the home.
    """

    open_beta_date: date | None = None
    testers: tuple[str, ...] = ()
    timezone: str = "UTC"
    week_starts_on: str = "monday"
    record_app_use: bool | None = None
    small_groups: str = "hide"
    people_lists: bool = True
    sign_in: SignIn = SignIn()
    limits: Limits = Limits()
    thresholds: Thresholds = Thresholds()
    server: Server = Server()
    is_demo: bool = False
    problems: tuple[Problem, ...] = ()
    places: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    others: tuple[tuple[str, Any], ...] = field(default=(), repr=False, hash=False)

    @property
    def group_users_min(self) -> int:
        """How many people a group of a breakdown needs to be shown; 0 for any."""
        return 0 if self.small_groups == "show" else SMALL_GROUP_USERS


_TABLES: Final = frozenset(name.partition(".")[0] for name in KEYS if "." in name)
_OWN_TABLES: Final[dict[str, type]] = {
    "sign_in": SignIn,
    "limits": Limits,
    "thresholds": Thresholds,
    "server": Server,
}


@dataclass(frozen=True, slots=True)
class InForce:
    """One key as it is now: its value, and where that came from ("default" or a file)."""

    key: Key
    value: Any
    place: str


def beside_app() -> Path:
    """Return the settings file of the app itself: $TELEMETRY_SETTINGS, else ./telemetry.toml."""
    return Path(os.environ.get(SETTINGS_VARIABLE) or SETTINGS_FILE)


def home_beside_app() -> str:
    """Return the home that the app's own settings file names, relative to it; empty for none."""
    path = beside_app()
    said = _read(path, []).get("home")
    return str(path.parent / said) if isinstance(said, str) and said.strip() else ""


def settings_files(home: Home) -> list[Path]:
    """Return the files that say something about a home, the one that decides first."""
    return list(dict.fromkeys([(home.root / SETTINGS_FILE).resolve(), beside_app().resolve()]))


def settings_of(home: Home) -> Settings:
    """Return the settings of a home that is open already."""
    is_demo = home.path == home.root and (home.root / DEMO_FILE).exists()
    values, places, problems = _taken(settings_files(home), home.root)
    known = {one.name for one in fields(Settings)}
    own = {name: value for name, value in values.items() if name in known}
    others = {
        name: value
        for name, value in values.items()
        if name not in known and name.partition(".")[0] not in _OWN_TABLES
    }
    for table, kind in _OWN_TABLES.items():
        inside = {
            name.partition(".")[2]: value
            for name, value in values.items()
            if name.startswith(f"{table}.")
        }
        if kind is SignIn:
            wrong = [one.what for one in problems if _is_about(one, table)]
            inside["broken"] = tuple(wrong)
        own[table] = kind(**inside)
    return Settings(
        **own,
        is_demo=is_demo,
        problems=tuple(problems),
        places=tuple(places.items()),
        others=tuple(others.items()),
    )


def in_force(found: Settings) -> list[InForce]:
    """Return every key with its value and where it came from."""
    places, others = dict(found.places), dict(found.others)
    listed = []
    for name, key in KEYS.items():
        table, _, inside = name.rpartition(".")
        holder = getattr(found, table, None) if table else found
        value = others[name] if name in others else getattr(holder, inside, key.default)
        listed.append(InForce(key, value, places.get(name, "default")))
    return listed


def _is_about(problem: Problem, table: str) -> bool:
    """Tell whether a problem may hide what was said in a table: a broken file may hide anything."""
    return (
        f"{table}." in problem.what
        or f"[{table}]" in problem.what
        or "cannot be read" in problem.what
    )


# --- reading a file ---------------------------------------------------------------------------


def _taken(files: list[Path], root: Path) -> tuple[dict[str, Any], dict[str, str], list[Problem]]:
    """Return the values of all files by key, where each came from, and what could not be used."""
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    problems: list[Problem] = []
    for path in reversed(files):  # the file that decides comes last and wins
        for name, value in _flat(_read(path, problems), path, problems).items():
            key = KEYS[name]
            if name == "home" and path.parent == root and path != beside_app().resolve():
                problems.append(_problem(path, "home cannot be set inside a home.", "Remove it."))
                continue
            try:
                values[name] = KINDS[key.kind](value, key)
            except (TypeError, ValueError, OverflowError):
                values[name] = key.default if key.if_wrong is None else key.if_wrong
                problems.append(_refused(path, key, value, values[name]))
            else:
                places[name] = str(path)
    return values, places, problems


def _read(path: Path, problems: list[Problem]) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(SETTINGS_BYTES_MAX + 1)
        if len(content) > SETTINGS_BYTES_MAX:
            raise ValueError(f"it is larger than {SETTINGS_BYTES_MAX:,} bytes")  # noqa: TRY301 - told as the others
        return tomllib.loads(content.decode("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        problems.append(_problem(path, f"The settings cannot be read: {error}", "Mend the file."))
        return {}


def _flat(raw: Mapping[str, Any], path: Path, problems: list[Problem]) -> dict[str, Any]:
    """Return what a file says by dotted key; what is no key is a problem."""
    beta = raw.get(BETA)
    whole = dict(raw) | (beta if isinstance(beta, dict) else {})
    whole.pop(BETA, None)
    flat: dict[str, Any] = {}
    for name, value in whole.items():
        if name in _TABLES:
            if isinstance(value, dict):
                flat |= {f"{name}.{inside}": one for inside, one in value.items()}
            else:
                problems.append(
                    _problem(path, f"[{name}] must be a table.", f"Write it as [{name}].")
                )
        else:
            flat[name] = value
    for name in [name for name in flat if name not in KEYS]:
        del flat[name]
        problems.append(_unknown(path, name))
    return flat


def _unknown(path: Path, name: str) -> Problem:
    shown = name[:_SHOWN_CHARS_MAX]
    near = difflib.get_close_matches(shown, KEYS, n=1)
    inside = [one for one in KEYS if one.rpartition(".")[2] == name]
    meant = near or inside
    what_to_do = (
        f"Did you mean {meant[0]}?" if meant else "Remove it; docs/SETTINGS.md has them all."
    )
    return _problem(path, f"{shown} is no setting.", what_to_do)


def _refused(path: Path, key: Key, value: object, instead: object) -> Problem:
    what = f"{key.name} = {said(value)} cannot be used: it must be {key.allowed}."
    return _problem(path, what, f"Correct it; until then it is {said(instead)}.")


def _problem(path: Path, what: str, what_to_do: str) -> Problem:
    return Problem("settings", str(path), what, what_to_do)


def said(value: object) -> str:
    """Return a value the way the file would say it, cut short."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        shown = ", ".join(said(one) for one in value[:_LIST_SHOWN_MAX])
        more = f", ... {len(value):,} in all" if len(value) > _LIST_SHOWN_MAX else ""
        return f"[{shown}{more}]"
    if isinstance(value, int | float):
        return f"{value:,}".replace(",", "_").removesuffix(".0")
    text = str(value)
    cut = text[:_SHOWN_CHARS_MAX] + ("..." if len(text) > _SHOWN_CHARS_MAX else "")
    return cut if isinstance(value, date) else f'"{cut}"'
