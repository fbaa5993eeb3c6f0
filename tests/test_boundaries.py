"""The walls between the three rooms: who may import what, read from the source and tried out."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("ingest", "data_access", "pages")
SHOWING = {"streamlit", "plotly", "pandas"}
SHARED = {"ingest.vocabulary", "ingest.stack_hash"}
# the one file of ingest that a host never imports and a person's command may
COMMAND_LINE_ONLY = {"ingest/migrations.py": {"sqlite_utils"}}
# the files of the pages that write: the app is its own first customer, keeps the team's notes,
# segments, views and questions, looks at the tokens of the HTTP API and remembers who signed out;
# none touches the telemetry on show
WRITERS = {
    "pages/components/recorder.py": {"ingest", "ingest.client", "ingest.events"},
    "pages/components/team.py": {"ingest.team"},
    "pages/components/explore_saved.py": {"ingest", "ingest.team"},
    "pages/components/views.py": {"ingest.views"},
    "pages/server/api.py": {"ingest.tokens"},
    "pages/server/left.py": {"ingest.sign_outs"},
}


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Return every module a file imports, wherever in it, type checking included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


def tops(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_every_room_has_files():
    assert all(files(room) for room in ROOMS)


@pytest.mark.parametrize("path", files("ingest"), ids=str)
def test_ingest_imports_the_standard_library_and_itself(path):
    allowed = COMMAND_LINE_ONLY.get(path.relative_to(ROOT).as_posix(), set())

    assert tops(imports(path)) - {"ingest"} - allowed <= sys.stdlib_module_names


@pytest.mark.parametrize("path", files("data_access"), ids=str)
def test_data_access_knows_no_page_and_of_ingest_only_the_words(path):
    found = imports(path)

    assert not tops(found) & (SHOWING | {"pages", "app"})
    assert {name for name in found if name.startswith("ingest")} <= SHARED


@pytest.mark.parametrize("path", files("pages"), ids=str)
def test_pages_read_through_data_access_alone(path):
    found = imports(path)

    allowed = SHARED | WRITERS.get(path.relative_to(ROOT).as_posix(), set())
    assert not tops(found) & {"sqlite3", "sqlite_utils", "pandas"}
    assert {name for name in found if name.startswith("ingest")} <= allowed


def test_app_holds_no_logic():
    tree = ast.parse((ROOT / "app.py").read_text("utf-8"))

    branches = (ast.If, ast.For, ast.While, ast.Try)
    assert not any(isinstance(node, branches) for node in ast.walk(tree))
    assert len((ROOT / "app.py").read_text("utf-8").splitlines()) < 40


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("data_access", SHOWING | {"numpy", "pyarrow", "sqlite_utils"}),
        ("data_access.metrics", SHOWING | {"numpy", "pyarrow", "scipy"}),
        ("ingest", SHOWING | {"polars", "numpy", "sqlite_utils"}),
        ("ingest.writer", SHOWING | {"polars", "numpy", "sqlite_utils"}),
    ],
)
def test_importing_a_room_loads_nothing_of_the_next(module, unwanted):
    code = f"import sys, {module}; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert not unwanted & set(run.stdout.split())
