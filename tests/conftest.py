"""Fixtures: a real home on disk, written by the real writer and loader."""

from __future__ import annotations

import functools
import gc
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from ingest.loader import load
from tests.examples import examples

if TYPE_CHECKING:
    from collections.abc import Callable

# a fault of ours must fail a test, not be swallowed; and no wish of the machine's owner decides
os.environ["TELEMETRY_STRICT"] = "1"
for _name in ("DO_NOT_TRACK", "TELEMETRY", "TELEMETRY_ERRORS", "TELEMETRY_SALT", "TELEMETRY_HOME"):
    os.environ.pop(_name, None)

# how long an example takes says how busy the machine is, not whether the code is right;
# and the same examples each time: a run must not fail by chance what passed before
settings.register_profile("house", deadline=None, derandomize=True, max_examples=examples(100))
settings.load_profile("house")

DATA = Path(__file__).parent / "data"


def pytest_collection_finish() -> None:
    """Do once per run what every test would pay for again."""
    # a new AppTest reads the metadata of all installed packages in search of components
    if "streamlit" in sys.modules:
        from streamlit.components.v2 import manifest_scanner as scanner  # noqa: PLC0415 - most tests need no Streamlit

        scanner.scan_component_manifests = functools.cache(scanner.scan_component_manifests)
    # eleven thousand tests are no garbage: the collector need not walk them each time
    gc.collect()
    gc.freeze()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make an empty telemetry home."""
    folder = tmp_path / "telemetry"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def activity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the real activity to where it may be prepared, once; nobody writes to it."""
    place = tmp_path_factory.mktemp("real") / "activity.jsonl.gz"
    shutil.copyfile(DATA / place.name, place)
    return place


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
