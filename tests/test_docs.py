"""What the docs show works as written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ingest.settings import read_settings
from tests.said import rows

ROOT = Path(__file__).parent.parent


def blocks(name: str, language: str) -> list[str]:
    text = (ROOT / name).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


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


@pytest.mark.parametrize("name", ["docs/CLIENT.md", "docs/DATA.md"])
def test_the_settings_shown_can_be_used(home, name):
    for block in blocks(name, "toml"):
        (home / "telemetry.toml").write_text(block, "utf-8")

        assert read_settings(home).problems == ()
