"""An exported notebook runs by itself and gives the same numbers; what is hostile stays text."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import venv
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import nbformat
import plotly.graph_objects as go
import polars as pl
import pytest
from lines import event
from polars.testing import assert_frame_equal

from data_access import Filters, Window, notebook, version
from data_access.compute import compute
from data_access.explore import Question, ask
from data_access.explore.checked import check
from data_access.fingerprint import differences, fingerprint
from data_access.measures import MEASURES
from data_access.metrics import METRICS
from data_access.notebook.carried import carried, imports_of
from data_access.notebook.literals import quoted
from data_access.notebook.picture import plain_picture
from data_access.pipeline import pipeline
from ingest.loader import load

if TYPE_CHECKING:
    from pathlib import Path

RUN_S = 120
INSTALL_S = 600
WINDOW = Window(date(2026, 3, 1), date(2026, 3, 29), timezone="Europe/Berlin")
PAID = Filters(WINDOW, tiers=("paid", "free"), properties=('ide:it\'s "a" \\',))
HOURS = Filters(Window.last_hours(24, datetime(2026, 3, 28, 12, 30, tzinfo=UTC)))
STEPS = ("session_started", "context_loaded where ide:vscode", "paid_subscription_started")
PATH = {"steps": STEPS, "within": None, "exclude": (("context_deleted", 0, 2),), "optional": (1,)}
# name of the case -> (filters, [(metric, options, split)])
CASES = {
    "retention": (
        Filters(WINDOW),
        [
            ("retention", {"every": "1w", "start": "any event where ide:vscode"}, None),
            ("retention_mean", {"every": "1w", "back": "any event"}, None),
        ],
    ),
    "funnel": (Filters(WINDOW), [("funnel", PATH, None), ("funnel_trend", PATH, None)]),
    "kpis": (PAID, [("kpis", {}, None)]),
    "errors": (Filters(WINDOW), [("error_groups", {}, None)]),
    "latency": (Filters(WINDOW), [("latency", {"by": (), "every": "1d"}, "tier")]),
    "hours": (HOURS, [("hourly", {}, None)]),
    "stage": (Filters(WINDOW), [("active_users", {"days": 7}, "stage")]),
    "pipeline": (Filters(WINDOW), [("pipeline_totals", {}, None)]),
}


def rows() -> list[dict[str, object]]:
    """Return four weeks of eleven people with errors, traces and metadata."""
    found: list[dict[str, object]] = []
    names = ("session_started", "context_loaded", "server_operation_called", "context_deleted")
    for n in range(28 * 12):
        day, hour = f"2026-03-{1 + n // 12:02}", f"{n % 12 * 2:02}:{n % 60:02}:00Z"
        who = {
            "user_tier": "paid" if n % 3 else "free",
            "metadata": {"ide": "vscode" if n % 2 else 'it\'s "a" \\'},
            "session_id": f"s{n // 4}",
        }
        at = f"{day}T{hour}"
        found.append(event(f"u{n % 11}", names[n % 4], at=at, event_id=f"e{n}", **who))
        if not n % 5:
            found.append({"operation_name": "search", "duration_ms": 7.5 * n, "timestamp": at}
                         | {"user_id_hash": f"u{n % 11}"} | who)  # fmt: skip
        if not n % 7:
            found.append({"error_type": "ValueError", "error_message": f"no {n}", "timestamp": at}
                         | {"user_id_hash": f"u{n % 11}"} | who)  # fmt: skip
    found.append(event("u1", "paid_subscription_started", at="2026-03-20T10:00:00Z"))
    return found


@pytest.fixture(scope="module")
def beta(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beta")
    lines = folder / "lines.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    load(lines, folder / "home")
    (folder / "home" / "telemetry.toml").write_text('testers = ["u1", "u2"]\n')
    return folder / "home"


def story(case: str, home: Path, **more: object) -> notebook.Story:
    filters, asked = CASES[case]
    parts = []
    for name, options, split in asked:
        if name in MEASURES:
            state = pipeline(home, since=filters.window.start)
            frame = MEASURES[name].compute(state, filters.window)
        else:
            frame = compute(METRICS[name], filters, home, split=split, **options).collect()
        assert frame.height, f"{case}: nothing to compare"
        parts.append(notebook.Part(name, name, frame, options, split))
    told = {"title": case, "words": ("What it says.",), "facts": {"Link": "http://h/?a=b"}}
    told |= {"parts": parts, "filters": filters, "home": str(home), "version": version(home)}
    return notebook.Story(**told | more)


SQL = """SELECT day, metadata.ide AS ide, COUNT(*) AS rows, SUM(weight) AS events
FROM events WHERE user_tier = 'paid' GROUP BY day, metadata.ide ORDER BY day, ide"""


def explored(home: Path) -> notebook.Story:
    """Return the story of a question that reads a metadata key and a part of time."""
    answer = ask(Question(sql=SQL), Filters(WINDOW), home)
    checked = check(answer.sql)
    asked = notebook.Query(
        answer.sql, answer.ran, checked.tables, checked.keys, checked.buckets, rows=answer.rows
    )
    part = notebook.Part("answer", "", answer.frame, query=asked)
    assert checked.keys
    assert checked.buckets
    told = story("kpis", home)
    return notebook.Story("Q", (), [part], Filters(WINDOW), str(home), told.version)


def elsewhere(*command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command where this project is on no path."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=RUN_S,
        env={**kept, "HOME": str(folder), "JUPYTER_PLATFORM_DIRS": "1"} | variables,
    )


RUN_IPYNB = """
import sys, nbformat
from nbclient import NotebookClient
book = nbformat.read(sys.argv[1], 4)
assert "data_access" not in sys.modules
book.cells.append(nbformat.v4.new_code_cell(sys.argv[2]))
NotebookClient(book, timeout=100, kernel_name="python3").execute()
nbformat.write(book, sys.argv[1])
"""
KEEP = "for _at, _name in enumerate(EXPORTED): globals()[_name].write_parquet(f'{_at}.parquet')"


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CASES, "explore"])
def test_a_jupyter_notebook_gives_the_same_numbers_without_this_project(case, beta, tmp_path):
    told = explored(beta) if case == "explore" else story(case, beta)
    path = tmp_path / "book.ipynb"
    path.write_bytes(notebook.to_ipynb(told))

    run = elsewhere(sys.executable, "-c", RUN_IPYNB, str(path), KEEP, folder=tmp_path)

    assert run.returncode == 0, run.stderr[-2_000:]
    book = nbformat.read(path, 4)
    printed = "".join(
        str(out.get("text", "")) for cell in book.cells for out in cell.get("outputs", [])
    )
    assert "The same numbers as exported." in printed
    shown = [out for cell in book.cells for out in cell.get("outputs", []) if "data" in out]
    figures = [out.data for out in shown if "application/vnd.plotly.v1+json" in out.data]
    assert figures
    assert figures[0]["application/vnd.plotly.v1+json"]["config"]["showSendToCloud"] is False
    for at, part in enumerate(told.parts):
        assert_frame_equal(pl.read_parquet(tmp_path / f"{at}.parquet"), part.frame)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["retention", "funnel", "latency", "explore"])
def test_a_marimo_notebook_is_a_script_that_gives_the_same_numbers(case, beta, tmp_path):
    path = tmp_path / "book.py"
    told = explored(beta) if case == "explore" else story(case, beta)
    path.write_bytes(notebook.to_marimo(told))

    run = elsewhere(sys.executable, str(path), folder=tmp_path)
    checked = elsewhere(
        sys.executable, "-m", "marimo", "check", "--strict", str(path), folder=tmp_path
    )

    assert run.returncode == 0, run.stderr[-2_000:]
    assert "The same numbers as exported." in run.stdout
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", notebook.KINDS)
def test_a_fresh_environment_of_the_headers_packages_is_enough(kind, beta, tmp_path):
    """Untouched, in an environment made of nothing but what the notebook's own header names."""
    made = notebook.KINDS[kind]
    path = tmp_path / f"book.{made.ending}"
    path.write_bytes(made.write(story("retention", beta)))
    text = path.read_text()
    if kind == "ipynb":
        text = "".join(json.loads(text)["cells"][1]["source"])
    needed = header(text)["dependencies"]
    venv.create(tmp_path / "fresh", with_pip=True)
    python = str(tmp_path / "fresh" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", *needed], check=True, timeout=INSTALL_S)

    if kind == "ipynb":
        command = [
            python,
            "-m",
            "nbconvert",
            "--to",
            "notebook",
            "--execute",
            "--stdout",
            str(path),
        ]
    else:
        command = [python, str(path)]
    run = elsewhere(*command, folder=tmp_path)

    assert run.returncode == 0, run.stderr[-2_000:]
    assert "The same numbers as exported." in run.stdout


def header(text: str) -> dict[str, object]:
    """Read a script's header as PEP 723 says."""
    found = re.search(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$", text)
    lines = found["content"].splitlines()
    return tomllib.loads(
        "\n".join(line[2:] if line.startswith("# ") else line[1:] for line in lines)
    )


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(one, marks=[] if one in {"kpis", "latency"} else pytest.mark.slow)
        for one in CASES
    ],
)
def test_a_notebook_is_valid_and_holds_what_it_promises(case, beta):
    told = story(case, beta)

    book = nbformat.reads(notebook.to_ipynb(told).decode(), 4)
    script = notebook.to_marimo(told).decode()

    nbformat.validate(book)
    ast.parse(script)
    source = "\n".join(cell.source for cell in book.cells)
    metric = CASES[case][1][0][0]
    assert f"def {metric}(" in source
    assert "Filters(" in source
    assert f'HOME = os.environ.get("TELEMETRY_HOME") or "{beta}"' in source
    assert "Link: http://h/?a=b" in source
    assert all(not cell.get("outputs") for cell in book.cells)
    needed = header(book.cells[1].source)["dependencies"]
    assert f"polars=={pl.__version__}" in needed
    assert header(script)["dependencies"][:2] == needed[:2]
    assert len(source) < 600_000


@pytest.mark.parametrize(
    "text",
    [
        '"""\nimport os; os.abort()\n"""',
        "'''",
        "\\",
        "</script><script>x",
        "\n# ///",
        "{x}",
        "\x00",
    ],
)
def test_text_from_the_data_stays_text(text, beta):
    filters = Filters(WINDOW, projects=(text,))
    told = story("kpis", beta, title=text, words=(text,), facts={text: text}, filters=filters)

    book = nbformat.reads(notebook.to_ipynb(told).decode(), 4)
    script = notebook.to_marimo(told).decode()

    assert "<script>" not in book.cells[0].source
    code = [cell.source for cell in book.cells if cell.cell_type == "code"]
    for source in (*code, script):
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
        assert not [one for one in calls if one.attr == "abort"]
    assert any(quoted(text) in source for source in code), "the filter itself is there, verbatim"


def test_no_text_from_the_data_makes_a_notebook_ask_another_server(beta):
    image = "![x](https://evil.org/x.png) [![y]][1] [1]: https://evil.org/y.png"
    filters = Filters(WINDOW, projects=(image,))
    told = story("kpis", beta, title=image, words=(), facts={"Link": image}, filters=filters)

    book = nbformat.reads(notebook.to_ipynb(told).decode(), 4)

    prose = "".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    assert prose.count("evil.org/x.png") == 3
    assert not re.search(r"(?<!\\)\[", prose)


@pytest.mark.parametrize("frame", [pl.DataFrame({"n": [1.5]}), pl.DataFrame({"n": [None]})])
def test_a_plain_picture_is_drawn_of_no_rows_too(frame):
    source = plain_picture([notebook.Part("a", "kpis", frame.cast(pl.Float64))], ["rows"])

    for rows, drawn in ((frame, 1), (frame.clear(), 0)):
        space: dict[str, Any] = {"go": go, "rows": rows}
        exec(source, space)  # noqa: S102 - our own source, as a notebook runs it
        assert len(space["figure"].data[0].y) == drawn


def test_every_metric_can_be_read_and_run_outside_its_module(monkeypatch):
    """Its imports are complete: nothing postpones an annotation there."""
    for name, metric in METRICS.items():
        monkeypatch.setitem(METRICS, name, metric)  # what is run lists itself in its place
        source, names = imports_of(metric.compute)
        space: dict[str, object] = {}
        exec(  # noqa: S102 - our own source, as a notebook runs it
            compile("\n".join([*names.values(), source]), name, "exec", dont_inherit=True), space
        )
        assert callable(space[name])


def test_only_what_is_needed_is_carried():
    modules = carried(["data_access.metrics.retention", "data_access.sources"])

    assert "data_access.metrics.funnel" not in modules
    assert "ingest.client" not in modules
    assert modules["data_access.metrics"].count("import") == 0


def test_a_fingerprint_tells_every_change_and_forgives_the_last_digit():
    frame = pl.DataFrame({"a": [0.1, 0.2, None], "b": ["x", "y", "z"], "c": [1, 2, 3]})
    said = fingerprint(frame)

    assert differences(said, frame) == []
    assert differences(said, frame.with_columns(pl.col("a") * (1 + 1e-13))) == []
    assert differences(said, frame.reverse()) == ["a differs", "b differs", "c differs"]
    assert differences(said, frame.head(2))[0] == "2 rows instead of 3"
    assert differences(said, frame.drop("c")) == ["no column c"]
    assert differences(said, frame.with_columns(d=1)) == ["a new column d"]
    assert differences(said, frame.with_columns(pl.col("a") + 1e-6)) == ["a differs"]
    assert differences(said, frame.with_columns(pl.col("a").fill_null(0.0))) == ["a differs"]
    odd = pl.DataFrame({"a": [float("nan"), float("inf")]})
    assert differences(ast.literal_eval(repr(fingerprint(odd))), odd) == []
