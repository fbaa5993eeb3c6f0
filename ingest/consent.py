"""Whether telemetry may be recorded here, and which setting decided that.

DO_NOT_TRACK > TELEMETRY > telemetry.json in the home > on, kept on this machine. It reads one
file and writes nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ingest.vocabulary import CONSENT_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DO_NOT_TRACK: Final = "DO_NOT_TRACK"
TELEMETRY: Final = "TELEMETRY"
TELEMETRY_ERRORS: Final = "TELEMETRY_ERRORS"
TELEMETRY_SEND: Final = "TELEMETRY_SEND"
_YES: Final = frozenset(("1", "true", "yes", "on", "y", "t", "enabled"))
_NO_TO_DO_NOT_TRACK: Final = frozenset(("", "0", "false", "no", "off", "n", "f"))


class Consent(NamedTuple):
    """What may be done here.

    Attributes
    ----------
    enabled : anything may be recorded at all.
    errors : errors may be recorded too.
    send : what was recorded may leave this machine; nothing does unless someone turned it on.
    decided_by : the setting that decided `enabled`.
    reason : the same in a sentence.
    """

    enabled: bool
    errors: bool
    send: bool
    decided_by: str
    reason: str


OFF_HERE: Final = Consent(
    enabled=False,
    errors=False,
    send=False,
    decided_by="enabled",
    reason="this client was made with enabled=False",
)


def resolve(environ: Mapping[str, str], home: Path) -> Consent:
    """Return what the environment and the home's telemetry.json allow."""
    config, trouble = _config(home)
    enabled, decided_by, reason = _enabled(environ, home / CONSENT_FILE, config, trouble)
    errors = _switch(environ, TELEMETRY_ERRORS, config.get("errors"), default=True)
    send = _switch(environ, TELEMETRY_SEND, config.get("send"), default=False)
    return Consent(enabled, enabled and errors, enabled and send, decided_by, reason)


def explain(environ: Mapping[str, str], home: Path) -> str:
    """Return in words what is recorded here and which setting decided it."""
    found = resolve(environ, home)
    if not found.enabled:
        return f"Telemetry is off: {found.reason}. Nothing is written."
    errors = "" if found.errors else " Errors are left out."
    where = "may be sent on" if found.send else "stays on this machine"
    return f"Telemetry is on: {found.reason}. It {where}.{errors}"


def _enabled(
    environ: Mapping[str, str], path: Path, config: Mapping[str, Any], trouble: str
) -> tuple[bool, str, str]:
    wish = environ.get(DO_NOT_TRACK, "").strip()
    if wish.lower() not in _NO_TO_DO_NOT_TRACK:
        return False, DO_NOT_TRACK, f"the environment says {DO_NOT_TRACK}={wish}"
    wish = environ.get(TELEMETRY, "").strip()
    if wish:
        return _is_yes(wish), TELEMETRY, f"the environment says {TELEMETRY}={wish}"
    if trouble:  # somebody wrote the file, most likely to say no
        return False, CONSENT_FILE, f"{path} cannot be read ({trouble}); mend or remove it"
    for key in ("enabled", "telemetry"):
        if key in config:
            said = json.dumps(config[key], default=str)
            return _is_yes(config[key]), CONSENT_FILE, f"{path} says {key}: {said}"
    return True, "default", "no setting says otherwise"


def _config(home: Path) -> tuple[dict[str, Any], str]:
    """Return what telemetry.json says, and why it could not be read."""
    try:
        config = json.loads((home / CONSENT_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}, ""
    except (OSError, ValueError, RecursionError) as error:
        return {}, type(error).__name__
    return (config, "") if isinstance(config, dict) else ({}, "not an object")


def _switch(environ: Mapping[str, str], name: str, said: object, *, default: bool) -> bool:
    wish = environ.get(name, "").strip()
    if wish:
        return _is_yes(wish)
    return default if said is None else _is_yes(said)


def _is_yes(value: object) -> bool:
    return value is True or str(value).strip().lower() in _YES
