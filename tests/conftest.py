"""Fixtures: a real home on disk, written by the real writer and loader."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from ingest.loader import load

if TYPE_CHECKING:
    from collections.abc import Callable

# a fault of ours must fail a test, not be swallowed; and no wish of the machine's owner decides
os.environ["TELEMETRY_STRICT"] = "1"
for _name in ("DO_NOT_TRACK", "TELEMETRY", "TELEMETRY_ERRORS", "TELEMETRY_SALT", "TELEMETRY_HOME"):
    os.environ.pop(_name, None)

# how long an example takes says how busy the machine is, not whether the code is right
settings.register_profile("house", deadline=None)
settings.load_profile("house")

CASES = Path(__file__).parent / "cases"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make an empty telemetry home."""
    folder = tmp_path / "telemetry"
    folder.mkdir()
    return folder


@pytest.fixture
def load_lines(home: Path, tmp_path: Path) -> Callable[..., Any]:
    """Load records, or raw lines, into the home and return the loader's account."""

    def run(*records: dict[str, Any] | str | bytes, name: str = "lines.jsonl") -> Any:
        path = tmp_path / name
        path.write_bytes(b"".join(_line(record) for record in records))
        return load(path, home)

    return run


def _line(record: dict[str, Any] | str | bytes) -> bytes:
    if isinstance(record, dict):
        record = json.dumps(record)
    return (record.encode() if isinstance(record, str) else record) + b"\n"
