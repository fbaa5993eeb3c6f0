"""Tokens of the HTTP API: shown once, kept as a hash, ended by time or by hand."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingest import tokens
from ingest.tokens import TokenRefused, check, create, listed, note_use, revoke, tokens_file

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).parent.parent


@pytest.fixture
def made(home):
    return create(home, name="grafana", scopes=["metrics", "read"], days=30, now=NOW)


def test_a_token_opens_what_it_was_made_for(home, made):
    secret, token = made

    checked = check(home, secret, now=NOW)

    assert checked.token == token
    assert token.scopes == ("read", "metrics")
    assert token.expires_at == NOW + timedelta(days=30)


def test_the_secret_is_nowhere_on_disk_and_the_file_is_its_owners_alone(home, made):
    secret, token = made
    held = b"".join(path.read_bytes() for path in home.iterdir())

    assert token.id.encode() in held
    assert secret.rpartition("_")[2].encode() not in held
    assert bytes.fromhex(secret.rpartition("_")[2]) not in held
    assert stat.S_IMODE(tokens_file(home).stat().st_mode) == 0o600


def test_a_file_with_wider_rights_is_narrowed_before_anything_is_written(home):
    tokens_file(home).touch(0o644)
    tokens_file(home).chmod(0o644)

    create(home, name="x", now=NOW)

    assert stat.S_IMODE(tokens_file(home).stat().st_mode) == 0o600


def test_a_server_killed_in_the_middle_of_writing_leaves_tokens_that_can_be_read(
    home, made, tmp_path
):
    secret, token = made
    after = tmp_path / "after"
    with contextlib.closing(sqlite3.connect(tokens_file(home), isolation_level=None)) as writing:
        writing.execute("PRAGMA cache_size = 1")  # pages go into the file before the end
        writing.execute("BEGIN IMMEDIATE")
        writing.executemany(
            "INSERT INTO tokens VALUES (?, ?, x'00', 'read', 1, 2, NULL, NULL)",
            [(f"{number:012x}", "name" * 20) for number in range(1_000)],
        )
        shutil.copytree(home, after)
        writing.execute("ROLLBACK")
    assert (after / "tokens.db-journal").stat().st_size > 0

    assert check(after, secret, now=NOW).token == token
    assert listed(after) == [token]


def _other(secret: str) -> str:
    return secret[:-1] + ("0" if secret[-1] != "0" else "1")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(_other, "unknown", id="one-character-off"),
        pytest.param(lambda secret: secret[:-1], "malformed", id="cut"),
        pytest.param(lambda secret: secret + "\n", "malformed", id="a-line-end"),
        pytest.param(lambda secret: secret.upper(), "malformed", id="upper-case"),
        pytest.param(lambda secret: secret.replace("bts_", "bts_" + "0" * 12 + "_"), "malformed"),
        pytest.param(
            lambda secret: f"bts_{'0' * 12}_{secret.rpartition('_')[2]}", "unknown", id="other-id"
        ),
        pytest.param(lambda _: "bts_' OR 1=1 --_x", "malformed", id="sql"),
        pytest.param(lambda _: "", "malformed", id="nothing"),
        pytest.param(lambda _: f"bts_{'0' * 12}_{'0' * 64}", "unknown", id="zeros"),
    ],
)
def test_whatever_is_not_the_token_opens_nothing(home, made, change, reason):
    checked = check(home, change(made[0]), now=NOW)

    assert (checked.token, checked.reason) == (None, reason)


def test_without_any_tokens_nothing_opens(home):
    assert check(home, f"bts_{'0' * 12}_{'0' * 64}", now=NOW).token is None
    assert listed(home) == []
    assert not tokens_file(home).exists()


def test_a_token_ends_on_the_second(home, made):
    secret, token = made

    assert check(home, secret, now=token.expires_at - timedelta(seconds=1)).token
    assert check(home, secret, now=token.expires_at).reason == "expired"


def test_a_revoked_token_ends_at_once_and_stays_in_the_list(home, made):
    secret, token = made

    revoke(home, token.id, now=NOW)
    revoke(home, token.id, now=NOW + timedelta(days=1))

    assert check(home, secret, now=NOW).reason == "revoked"
    assert [one.revoked_at for one in listed(home)] == [NOW]


def test_tokens_that_ended_a_year_ago_leave_with_the_next_one_revoked(home, made):
    _, old = made
    later = NOW + timedelta(days=400)
    _, young = create(home, name="young", now=later)

    revoke(home, young.id, now=later)

    assert [one.id for one in listed(home)] == [young.id]
    with pytest.raises(TokenRefused, match="no token"):
        revoke(home, old.id, now=later)


def test_the_last_use_is_remembered_by_the_hour(home, made):
    _, token = made

    assert note_use(home, token, now=NOW)
    [used] = listed(home)
    assert used.used_at == NOW
    assert not note_use(home, used, now=NOW + timedelta(minutes=59))
    assert note_use(home, used, now=NOW + timedelta(minutes=60))


def test_a_use_that_cannot_be_written_down_hurts_nobody(home, made):
    _, token = made
    holder = sqlite3.connect(tokens_file(home))
    holder.execute("BEGIN IMMEDIATE")

    assert not note_use(home, token, now=NOW)

    holder.close()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param({"name": " "}, "needs a name", id="no-name"),
        pytest.param({"name": "a\nb"}, "printable", id="two-lines"),
        pytest.param({"name": "x" * 101}, "100", id="long"),
        pytest.param({"scopes": ["root"]}, "read, people, export, metrics", id="scope"),
        pytest.param({"scopes": []}, "needs a scope", id="no-scope"),
        pytest.param({"days": 0}, "1 to 3,650", id="no-days"),
        pytest.param({"days": 4_000}, "1 to 3,650", id="for-ever"),
    ],
)
def test_what_makes_no_token_says_what_would(home, asked, said):
    with pytest.raises(TokenRefused, match=said):
        create(home, **{"name": "x", "now": NOW} | asked)
    assert listed(home) == []


def test_a_home_that_is_a_file_keeps_its_tokens_beside_it(tmp_path):
    path = tmp_path / "events.jsonl"
    path.touch()

    secret, token = create(path, name="x", now=NOW)

    assert check(path, secret, now=NOW).token == token
    assert tokens_file(path) == tmp_path / "events.jsonl.tokens.db"


def test_there_are_never_more_tokens_than_the_limit(home, made, monkeypatch):
    monkeypatch.setattr(tokens, "TOKENS_MAX", 1)

    with pytest.raises(TokenRefused, match="already"):
        create(home, name="y", now=NOW)


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ingest", "token", *arguments, "--home", str(home)],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_person_makes_looks_at_and_ends_tokens(home):
    made = command(home, "create", "--name", "grafana", "--scope", "metrics")
    secret = made.stdout.strip()
    [token] = listed(home)

    assert check(home, secret, now=datetime.now(UTC)).token == token
    assert made.stdout == secret + "\n"
    assert "not shown again" in made.stderr
    shown = command(home, "list").stdout
    assert token.id in shown
    assert "grafana" in shown
    assert secret.rpartition("_")[2] not in shown
    assert command(home, "revoke", token.id).returncode == 0
    assert "revoked" in command(home, "list").stdout
    refused = command(home, "revoke", "nothing")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "There is no token 'nothing'" in refused.stderr
