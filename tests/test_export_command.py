"""`python -m data_access export`: a link in, a file out, and a clear word where it cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from lines import event
from polars.testing import assert_frame_equal

from data_access import Filters, export, notebook, scan
from data_access.__main__ import main
from data_access.metrics import active_users
from ingest.loader import load

ROOT = Path(__file__).parent.parent
DAYS = [
    event(f"u{n % 7}", at=f"2026-03-{1 + n // 5:02}T{n % 5:02}:00:00Z", event_id=f"e{n}")
    for n in range(5 * 28)
]
MARCH = "span=custom&from=2026-03-01&to=2026-03-28"


@pytest.fixture(scope="module")
def beta(tmp_path_factory):
    """Load four weeks of seven people, and of one whose name is a formula."""
    folder = tmp_path_factory.mktemp("beta")
    lines = folder / "lines.jsonl"
    rows = [*DAYS, event("=evil()", "=cmd()", at="2026-03-05T10:00:00Z")]
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    load(lines, folder / "home")
    return folder / "home"


@pytest.fixture
def run(beta, tmp_path, monkeypatch, capsys):
    """Run the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELEMETRY_HOME", str(beta))

    def command(*words: str) -> tuple[int, str, str]:
        try:
            code = main(["export", *words])
        except SystemExit as end:
            code = int(str(end.code))
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def settings(beta):
    """Let a test write the home's settings, and take them away again."""
    path = beta / "telemetry.toml"
    yield path
    path.unlink(missing_ok=True)


def numbers(home):
    window = Filters.from_query(MARCH).window
    return active_users(scan("events", home), window).collect()


@pytest.mark.parametrize("ending", export.FORMATS)
def test_every_format_holds_the_metrics_own_numbers(ending, run, beta):
    code, said, beside = run("--metric", "active_users", "--query", MARCH, "--format", ending)

    path = Path(f"active_users-2026-03-01-2026-03-28.{ending}")
    assert (code, said) == (0, f"{path}\n")
    assert f"{path}: 28 of 28 rows: complete." in beside
    if ending == "parquet":
        assert_frame_equal(pl.read_parquet(path), numbers(beta))
        facts = pl.read_parquet_metadata(path)
        assert facts["rows"] == "28"
        assert facts["query"] == MARCH
        assert facts["definition"].startswith("Active users per day")
    elif ending == "csv":
        assert_frame_equal(pl.read_csv(path, try_parse_dates=True), numbers(beta))
        about = json.loads(Path(f"{path}-metadata.json").read_text())
        assert (about["rows"], about["complete"], about["query"]) == (28, True, MARCH)
    elif ending == "jsonl":
        assert pl.read_ndjson(path)["users"].to_list() == numbers(beta)["users"].to_list()


def test_it_runs_as_a_command_from_anywhere(run):
    result = subprocess.run(
        [
            *(sys.executable, "-m", "data_access", "export", "--metric", "active_users"),
            *("--query", MARCH, "--format", "jsonl", "--output", "-"),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )

    assert len(result.stdout.splitlines()) == 28
    assert json.loads(result.stdout.splitlines()[0])["period"] == "2026-03-01"


@pytest.mark.slow
def test_stopped_on_the_way_it_says_so_in_a_line(run):
    words = ("--metric", "active_users", "--query", MARCH, "--format", "ipynb", "--output", "-")
    command = [sys.executable, "-m", "data_access", "export", *words]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        running.stdout.read(1)  # more than a pipe holds: it waits to write the rest
        running.terminate()
        _, said = running.communicate()

    assert (running.returncode, said.decode()) == (1, "\nStopped. No file was written.\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
@pytest.mark.parametrize("words", ["data_access export --list", "ingest retain --dry-run"])
def test_who_has_read_enough_ends_a_command_without_a_word(run, words):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        ended = subprocess.run(
            [sys.executable, "-m", *words.split()],
            cwd=ROOT,
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert (ended.returncode, ended.stderr) == (-signal.SIGPIPE, b"")


def test_what_is_wrong_with_the_data_is_said(run, tmp_path):
    (tmp_path / "broken.jsonl").write_text("no line of telemetry\n")

    code, out, said = run(
        *("--metric", "active_users", "--format", "csv"),
        *("--home", "broken.jsonl", "--output", "-"),
    )

    assert (code, out.partition(",")[0]) == (0, "period")
    assert "warning: " in said
    assert "broken.jsonl" in said


def test_people_with_a_formula_for_a_name_are_harmless(run):
    code, *_ = run("--metric", "users", "--query", MARCH, "--format", "csv", "--output", "u.csv")

    names = pl.read_csv("u.csv")["user_id_hash"].to_list()
    assert code == 0
    assert "'=evil()" in names
    assert "=evil()" not in names


def test_nothing_is_overwritten_without_force(run):
    asked = ("--metric", "active_users", "--query", MARCH, "--output", "a.csv")

    assert run(*asked)[0] == 0
    code, _, said = run(*asked)
    assert code == 1
    assert "--force" in said
    Path("a.csv").unlink()
    assert run(*asked)[0] == 1, "the file about it is still there"
    assert run(*asked, "--force")[0] == 0
    assert sorted(path.name for path in Path().iterdir()) == ["a.csv", "a.csv-metadata.json"]


def test_a_file_never_takes_the_place_of_a_device_or_a_pipe(run):
    os.mkfifo("pipe.csv")

    code, _, said = run("--metric", "active_users", "--output", "pipe.csv", "--force")

    assert (code, "is no file" in said) == (1, True)
    assert [path.is_fifo() for path in Path().iterdir()] == [True]


def test_a_query_that_is_no_text_is_no_traceback(run):
    asked = ("--metric", "active_users", "--format", "csv", "--query")

    assert run(*asked, f"{MARCH}&project=\udcff\udcfe")[0] in {0, 2}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--metric", "retentoin", "--format", "csv"], 2, "Did you mean retention"),
        (["--metric", "retention", "--format", "cvs"], 2, "Did you mean csv"),
        (["--metric", "retention"], 2, "--format"),
        (["--format", "csv"], 2, "--metric"),
        (["--metric", "retention", "--format", "csv", "--option", "evry=1d"], 2, "every"),
        (["--metric", "retention", "--format", "csv", "--option", "every=2d"], 2, "1d, 1w, 1mo"),
        (["--metric", "retention", "--format", "csv", "--option", "x"], 2, "KEY=VALUE"),
        (["--metric", "slowest", "--format", "csv", "--option", "limit=many"], 2, "whole number"),
        (["--metric", "retention", "--format", "csv", "--query", "tier=gold"], 2, "free, trial"),
        (["--metric", "retention", "--format", "csv", "--home", "/nowhere"], 1, "no telemetry"),
        (["--metric", "retention", "--output", "/nowhere/a.csv"], 1, "no folder"),
        (["--metric", "../../etc/passwd", "--format", "csv"], 2, "There is no metric"),
        (["--metric", "active_users", "--format", "csv", "--split", ""], 2, "key"),
        (["--what"], 2, "unrecognized"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_can(words, code, said, run):
    found, _, beside = run(*words)

    assert (found, said in beside) == (code, True), beside
    assert not list(Path().iterdir())


def test_options_are_read_as_the_metric_takes_them(run):
    code, *_ = run(
        *("--metric", "funnel", "--query", MARCH, "--output", "f.jsonl"),
        *("--option", "steps=session_started", "--option", "steps=any event where channel:web"),
        *("--option", "within=none", "--option", 'exclude=[["a", 0, 1]]'),
    )

    assert code == 0
    rows = [json.loads(line) for line in Path("f.jsonl").read_text().splitlines()]
    assert [row["event_name"] for row in rows] == ["session_started", "any event where channel:web"]


def test_the_list_names_every_metric_with_its_first_line(run):
    code, said, _ = run("--list")

    assert code == 0
    assert "retention                Users who came back" in said
    assert "pipeline_totals" in said


@pytest.mark.parametrize("words", [("--split", "tier"), ("--option", "every=1d")])
def test_what_is_about_the_whole_home_takes_neither_option_nor_split(run, words):
    code, _, said = run("--metric", "pipeline_totals", *words, "--output", "-", "--format", "csv")

    assert code == 2
    assert "pipeline_totals is about the home as a whole" in said


def test_what_is_cut_is_said(run, settings):
    settings.write_text("[limits]\nexport_rows = 5\n")
    code, _, said = run("--metric", "active_users", "--query", MARCH, "--output", "a.csv")

    assert code == 0
    assert "5 of 28 rows: cut at the limit of 5 rows" in said
    assert json.loads(Path("a.csv-metadata.json").read_text())["complete"] is False
    assert pl.read_csv("a.csv").height == 5


def test_a_setting_that_cannot_be_used_is_said(run, settings):
    settings.write_text('timezone = "Mars/Phobos"\n')
    code, _, said = run("--metric", "active_users", "--query", MARCH, "--output", "a.csv")

    assert code == 0
    assert f'warning: {settings}: timezone = "Mars/Phobos" cannot be used' in said
    assert 'until then it is "UTC"' in said


@pytest.mark.parametrize(
    "words",
    [
        ("--metric", "users", "--format", "csv"),
        ("--metric", "users", "--format", "ipynb"),
        ("--metric", "user_tools", "--option", "user=u1", "--output", "-", "--format", "csv"),
        ("--metric", "error_occurrences", "--format", "jsonl"),
    ],
)
def test_where_lists_of_people_are_closed_none_is_exported(words, run, settings, tmp_path):
    settings.write_text("people_lists = false\n")
    code, out, said = run(*words, "--query", MARCH)
    everybody, _, _ = run("--metric", "active_users", "--query", MARCH, "--format", "csv")

    assert (code, out, everybody) == (1, "", 0)
    assert f"{words[1]} lists single people" in said
    assert "people_lists = false" in said
    assert {one.name for one in tmp_path.iterdir()} == {
        "active_users-2026-03-01-2026-03-28.csv",
        "active_users-2026-03-01-2026-03-28.csv-metadata.json",
    }


@pytest.mark.parametrize("kind", notebook.KINDS)
def test_a_notebook_of_a_link_is_written_too(kind, run):
    query = f"/retention?{MARCH}&retention.every=day&retention.back=session_started"

    code, said, _ = run("--metric", "retention", "--query", query, "--format", kind)

    path = Path(said.strip())
    text = path.read_text()
    assert (code, path.suffix) == (0, f".{notebook.KINDS[kind].ending}")
    assert "The same numbers as exported." in text
    assert "session_started" in text
    assert "2026-03-01" in path.name, "the page's room ends where the data begins"


def test_the_clock_decides_relative_spans(run):
    code, *_ = run("--metric", "active_users", "--query", "span=7d", "--format", "csv")

    (path,) = Path().glob("*.csv")
    last = pl.read_csv(path, try_parse_dates=True)["period"].max()
    assert code == 0
    assert last <= datetime.now(UTC).date()
