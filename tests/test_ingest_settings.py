"""telemetry.toml configures writing; what cannot be used keeps its default and is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ingest.settings import IngestSettings, read_settings
from ingest.vocabulary import METADATA, MetadataKey

EXAMPLE = """\
open_beta_date = 2026-03-01
[log]
rotate_mb = 1.5
compress_after_days = 7
remove_after_days = 14
[metadata]
prompt_kind = "text"
area = { kind = "text", limit = 80 }
pages = "number"
pinned = "flag"
[sampling]
keep_rate = 0.05
critical = ["paid_subscription_started"]
"""


def given(home: Path, text: str) -> IngestSettings:
    (home / "telemetry.toml").write_text(text, "utf-8")
    return read_settings(home)


def test_a_home_without_settings_has_the_defaults(home):
    found = read_settings(home)

    assert found == IngestSettings()
    assert (found.rotate_bytes, found.compress_after_days, found.remove_after_days) == (
        104_857_600,
        30,
        90,
    )
    assert found.metadata == METADATA


def test_the_file_sets_the_log_the_keys_and_the_sampling(home):
    found = given(home, EXAMPLE)

    assert found.problems == ()
    assert (found.rotate_bytes, found.compress_after_days, found.remove_after_days) == (
        1_572_864,
        7,
        14,
    )
    assert found.metadata == METADATA | {
        "prompt_kind": MetadataKey("text", 200),
        "area": MetadataKey("text", 80),
        "pages": MetadataKey("number", 1e15),
        "pinned": MetadataKey("flag"),
    }
    assert found.sampling == {"keep_rate": 0.05, "critical": ["paid_subscription_started"]}


def test_one_homes_keys_are_not_anothers(home):
    given(home, EXAMPLE).metadata["more"] = MetadataKey("flag")
    IngestSettings().metadata["more"] = MetadataKey("flag")

    assert "more" not in METADATA
    assert "prompt_kind" not in METADATA
    assert "more" not in IngestSettings().metadata


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[log\n", id="not toml"),
        pytest.param("a = " + "[" * 5_000, id="too deep"),
        pytest.param("a = 1\n" * 2, id="a key twice"),
        pytest.param("#" * 1_048_577, id="too large"),
    ],
)
def test_a_broken_file_gives_the_defaults_and_one_problem(home, text):
    found = given(home, text)

    [problem] = found.problems
    assert "Mend the file" in problem
    assert found == IngestSettings(problems=found.problems)


def test_a_file_that_is_no_text_or_no_file_is_one_problem(home):
    path = home / "telemetry.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert len(read_settings(home).problems) == 1
    path.unlink()
    path.mkdir()
    assert len(read_settings(home).problems) == 1


def test_an_editors_byte_order_mark_is_no_obstacle(home):
    assert given(home, "\ufeff[log]\nremove_after_days = 3").remove_after_days == 3


@pytest.mark.parametrize(
    "line",
    [
        "[log]\nrotate_mb = 0",
        "[log]\nrotate_mb = true",
        "[log]\nrotate_mb = nan",
        "[log]\nrotate_mb = inf",
        '[log]\nrotate_mb = "100"',
        "[log]\ncompress_after_days = -1",
        "[log]\ncompress_after_days = 1.5",
        "[log]\ncompress_after_days = true",
        "[log]\nremove_after_days = 36501",
        "log = 3",
        "sampling = 0.05",
        "metadata = []",
        '[metadata]\na = "string"',
        "[metadata]\na = 3",
        "[metadata]\na = { limit = 3 }",
        '[metadata]\na = { kind = "text", limit = 0 }',
        '[metadata]\na = { kind = "text", limit = 65537 }',
        '[metadata]\na = { kind = "text", limit = true }',
        '[metadata]\na = { kind = "number", limit = nan }',
        '[metadata]\na = { kind = ["text"] }',
        pytest.param(
            '[metadata]\na = { kind = "number", limit = 1' + "0" * 400 + " }", id="long limit"
        ),
        '[metadata]\na = { kind = "text", most = 3 }',
        '[metadata]\n"" = "text"',
        'record_app_use = "yes"',
    ],
)
def test_a_wrong_value_keeps_its_default_and_is_named_with_what_to_do(home, line):
    found = given(home, line)

    [problem] = found.problems
    name = line.replace("[log]\n", "log.").replace("[metadata]\n", "metadata.").split(" =")[0]
    assert problem.startswith(name.replace('"', ""))
    assert "Correct it in the file" in problem
    assert found == IngestSettings(problems=found.problems)


def test_a_wrong_value_costs_no_other(home):
    found = given(home, '[log]\nrotate_mb = 2\nremove_after_days = "soon"\n[metadata]\nb = "flag"')

    assert (found.rotate_bytes, found.remove_after_days) == (2_097_152, 90)
    assert "b" in found.metadata
    assert len(found.problems) == 1


def test_too_many_metadata_keys_are_refused_together(home):
    found = given(home, "[metadata]\n" + "\n".join(f'k{n} = "flag"' for n in range(1_001)))

    assert found.metadata == METADATA
    assert len(found.problems) == 1


def test_a_tiny_rotation_is_at_least_one_byte(home):
    assert given(home, "[log]\nrotate_mb = 1e-9").rotate_bytes == 1


@pytest.mark.parametrize("text", ["record_app_use = true", "[beta]\nrecord_app_use = true"])
def test_the_file_may_ask_for_the_apps_own_record(home, text):
    assert given(home, text).record_app_use is True
    assert given(home, "").record_app_use is None


def test_what_others_read_from_the_file_is_no_problem(home):
    text = 'open_beta_date = "soon"\ntesters = 3\n[limits]\nrows = "many"\n[beta]\nx = 1'

    assert given(home, text) == IngestSettings()


def test_asking_for_settings_loads_no_parser_while_there_is_no_file(home):
    code = (
        "import sys, pathlib, ingest.settings as s;"
        f"s.read_settings(pathlib.Path({str(home)!r})); print('tomllib' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )

    assert run.stdout.strip() == "False"
