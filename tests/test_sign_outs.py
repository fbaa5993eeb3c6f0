"""Sign-outs are remembered in the home: by every server of it, as long as a cookie can count."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.web.server.starlette import starlette_app_utils

from ingest import sign_outs
from ingest.sign_outs import KEPT_S, has_signed_out, note_sign_out, sign_outs_folder
from pages.server.left import Left

ROOT = Path(__file__).parent.parent
NOW = 1_780_000_000.0
ONE, OTHER = "1" * 64, "2" * 64
ADA = {"email": "ada@example.com", "nonce": "n"}


def test_a_sign_out_is_there_for_whoever_looks_and_says_nothing_of_the_person(home):
    Left().add(str(home), ADA, NOW)

    assert Left().has(str(home), ADA)
    assert not Left().has(str(home), ADA | {"nonce": "another"})
    [file] = sign_outs_folder(home).iterdir()
    assert file.read_bytes() == b""
    assert "ada" not in file.name
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_home_that_is_one_file_keeps_them_beside_it(tmp_path):
    home = tmp_path / "events.db"
    home.touch()

    note_sign_out(home, ONE, now=NOW)

    assert has_signed_out(home, ONE)
    assert (tmp_path / "events.db.sign_outs" / ONE).exists()


def test_it_is_kept_until_no_copy_of_the_cookie_can_count(home):
    assert starlette_app_utils._DEFAULT_SIGNED_VALUE_MAX_AGE_DAYS * 86_400 < KEPT_S
    note_sign_out(home, ONE, now=NOW)

    note_sign_out(home, OTHER, now=NOW + KEPT_S - 1)
    assert has_signed_out(home, ONE)

    note_sign_out(home, OTHER, now=NOW + KEPT_S + 1)
    assert not has_signed_out(home, ONE)
    assert has_signed_out(home, OTHER)


def test_where_there_are_too_many_the_oldest_goes(home, monkeypatch):
    monkeypatch.setattr(sign_outs, "SIGN_OUTS_MAX", 3)
    digests = [f"{number:064x}" for number in range(5)]

    for number, digest in enumerate(digests):
        note_sign_out(home, digest, now=NOW + number)

    assert [has_signed_out(home, one) for one in digests] == [False, False, True, True, True]


def test_a_digest_is_never_a_path(home):
    with pytest.raises(ValueError, match="SHA-256"):
        has_signed_out(home, "../telemetry.db")


def test_where_it_cannot_be_told_nobody_may_say_no(home):
    sign_outs_folder(home).touch()

    with pytest.raises(OSError, match=r"."):
        Left().has(str(home), ADA)


def test_a_home_that_cannot_be_written_is_remembered_until_the_server_ends(home, caplog):
    left = Left()
    gone = str(home / "gone")

    left.add(gone, ADA, NOW)

    assert left.has(gone, ADA)
    assert not left.has(gone, ADA | {"nonce": "another"})
    assert "until this server ends only" in caplog.text
    assert "ada" not in caplog.text


MANY = """
import sys
from pathlib import Path
from ingest import sign_outs
sign_outs.SIGN_OUTS_MAX = 20
for number in range(200):
    sign_outs.note_sign_out(Path(sys.argv[1]), f"{number:064x}", now=1e9 + number)
"""


@pytest.mark.slow
def test_servers_that_write_and_tidy_up_at_once_do_not_disturb_each_other(home):
    command = [sys.executable, "-c", MANY, str(home)]
    running = [
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]

    assert [one.communicate()[1] for one in running] == ["", "", ""]
    assert has_signed_out(home, f"{199:064x}")
    assert len(list(sign_outs_folder(home).iterdir())) <= 22
