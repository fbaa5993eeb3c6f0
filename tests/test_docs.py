"""What the docs show works as written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from data_access import settings
from ingest.settings import read_settings
from tests.said import rows

ROOT = Path(__file__).parent.parent


def blocks(name: str, language: str) -> list[str]:
    text = (ROOT / name).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def settings_shown(name: str, expected: int) -> list[str]:
    """Return what a page shows of telemetry.toml, and fail when that is not as much as expected."""
    shown = [block for block in blocks(f"docs/{name}.md", "toml") if "secrets.toml" not in block]
    assert len(shown) == expected, name
    return shown


@pytest.mark.parametrize("name", ["docs/CLIENT.md", "README.md"])
def test_the_first_lines_of_a_product_work_as_shown(tmp_path, name):
    [program] = [block for block in blocks(name, "python") if "from ingest import" in block]

    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TELEMETRY_STRICT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert rows(tmp_path / "telemetry")[0]["event_name"] == "session_started"


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, id=f"{name}, {number}")
        for name, shown in {"CLIENT": 2, "SETTINGS": 1, "SHARING": 1, "SIGN_IN": 2}.items()
        for number, block in enumerate(settings_shown(name, shown))
    ],
)
def test_the_settings_shown_can_be_used(home, block):
    (home / "telemetry.toml").write_text(block, "utf-8")

    assert read_settings(home).problems == ()
    assert settings(home).problems == ()
