"""The HTTP API on the real server: before any page was opened, and under schemathesis."""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import signing_in
from serving import serving

import data_access
from data_access.api import endpoints
from ingest import tokens
from ingest.demo import write_demo
from pages.server import files, plotly_js

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
GUARDED = [one for one in endpoints.table(page_rows=1_000) if one.scope]
EXAMPLES_MAX = 3
TIMEOUT_S = 900


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("api") / "telemetry"
    write_demo(folder, events=3_000, days=90, seed=5, end=date(2026, 3, 1))
    (folder / "telemetry.toml").write_text(
        "[limits]\napi_requests_per_minute = 1000000\n", encoding="utf-8"
    )
    return folder


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("log") / "server.log"


@pytest.fixture(scope="module")
def address(home, log) -> Iterator[str]:
    with serving(home, log) as found:
        yield found


@pytest.fixture(scope="module")
def token(home) -> str:
    scopes = list(tokens.SCOPES)
    secret, _ = tokens.create(home, name="test", scopes=scopes, now=datetime.now(UTC))
    return secret


def get(url: str, token: str | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    asked = urllib.request.Request(url, headers=headers)  # noqa: S310 - our own server
    if token:
        asked.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - the same
            return answer.status, _lower(answer.headers), answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, _lower(refused.headers), refused.read()


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def test_before_any_page_was_opened_everything_answers_and_nothing_is_open(home, tmp_path, token):
    with serving(home, tmp_path / "log") as fresh:
        assert get(f"{fresh}/healthz")[::2] == (200, b'{"status":"ok"}')
        assert get(f"{fresh}/readyz")[::2] == (200, b'{"status":"ready"}')
        for endpoint in GUARDED:
            path = endpoint.path.replace("{user_id_hash}", "x")
            status, headers, body = get(fresh + path)
            assert (status, headers["content-type"]) == (401, "application/problem+json")
            assert json.loads(body)["status"] == 401
            assert get(fresh + path, token)[0] == (404 if "users" in path else 200)


def test_a_path_under_api_is_never_a_page(address, token):
    for path in (
        "/api",
        "/api/",
        "/api/x",
        "/api/telemetry",
        "/api/kpi/cdr/",
        "/api/..%2f..%2fetc",
    ):
        status, headers, _ = get(address + path, token)
        assert (status, headers["content-type"]) == (404, "application/problem+json")


def test_where_people_sign_in_a_token_is_still_what_opens_the_api(tmp_path):
    home = tmp_path / "telemetry"
    write_demo(home, events=1_000, days=30, seed=5, end=date(2026, 3, 1))
    (home / "telemetry.toml").write_text('[sign_in]\nrequired = true\ndomains = ["a.example"]')
    secret, _ = tokens.create(home, name="test", scopes=["read"], now=datetime.now(UTC))
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(signing_in.secrets("https://idp.example.com", "http://127.0.0.1:8501"))

    with serving(home, tmp_path / "log", options=[f"--secrets.files={secrets}"]) as address:
        for path in ("/api/kpi/all", "/metrics", "/api/telemetry/export/csv"):
            status, headers, _ = get(address + path)
            assert (status, headers["content-type"]) == (401, "application/problem+json")
        assert get(f"{address}/api/kpi/all", secret)[0] == 200
        assert get(f"{address}/api/telemetry/export/csv", secret)[0] == 403
        assert get(f"{address}/healthz")[0] == 200
        assert get(f"{address}/_stcore/metrics", secret)[0] == 401


def test_from_another_site_s_name_nothing_answers_and_says_so_as_json(address, token):
    status, headers, body = get(f"{address}/api/kpi/all", token, Host="evil.example")

    assert (status, headers["content-type"]) == (403, "application/problem+json")
    assert json.loads(body)["title"] == "Forbidden"


def raw(address: str, lines: str) -> bytes:
    """Send bytes no library would send."""
    where = urlsplit(address)
    with socket.create_connection((where.hostname, where.port), timeout=30) as to:
        head, _, rest = lines.partition("\r\n")
        to.sendall(
            f"{head}\r\nHost: {where.netloc}\r\nConnection: close\r\n{rest}".encode("latin-1")
        )
        return b"".join(iter(lambda: to.recv(65_536), b""))


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [
        pytest.param("GET /api/../api/kpi/all HTTP/1.1\r\n\r\n", (400, 404), id="dots"),
        pytest.param(
            "GET /api/telemetry/users/../../../etc/passwd HTTP/1.1\r\n\r\n",
            (401, 400, 404),
            id="traversal",
        ),
        pytest.param("GET //api/kpi/all HTTP/1.1\r\n\r\n", (400, 404), id="slashes"),
        pytest.param("GET /API/kpi/all HTTP/1.1\r\n\r\n", (200, 404), id="capitals"),
        pytest.param(
            "GET /api/kpi/all HTTP/1.1\r\nX-HTTP-Method-Override: OPTIONS\r\n\r\n",
            (401,),
            id="method-override",
        ),
        pytest.param(
            "GET /x HTTP/1.1\r\nX-Original-URL: /api/kpi/all\r\n"
            "X-Rewrite-URL: /api/kpi/all\r\nX-Forwarded-Prefix: /api\r\n\r\n",
            (200,),
            id="rewrites",
        ),
        pytest.param(
            "GET /api/kpi/all HTTP/1.1\r\nX-Forwarded-Email: a@b.c\r\n"
            "Remote-User: admin\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n",
            (401,),
            id="who-somebody-says-to-be",
        ),
        pytest.param(f"GET /api/kpi/all?{'x' * 70_000} HTTP/1.1\r\n\r\n", (400, 414), id="query"),
        pytest.param(
            f"GET /api/kpi/all HTTP/1.1\r\nX: {'x' * 70_000}\r\n\r\n",
            (400, 431),
            id="header",
        ),
        pytest.param("GET /api/kpi/all%00 HTTP/1.1\r\n\r\n", (404,), id="nul"),
        pytest.param("GET /api/kpi/%ff%fe HTTP/1.1\r\n\r\n", (404,), id="no-utf-8"),
    ],
)
def test_a_request_nobody_decent_sends_gets_no_data(address, lines, statuses):
    answered = raw(address, lines)

    status = int(answered.split(b" ", 2)[1])
    assert status in statuses, answered[:300]
    assert b'"data"' not in answered


def test_answers_are_compressed_for_who_takes_it(address, token):
    url = f"{address}/api/telemetry/overview?span=28d"
    _, plain, body = get(url, token)
    _, packed, zipped = get(url, token, **{"Accept-Encoding": "gzip"})

    assert packed["content-encoding"] == "gzip"
    assert gzip.decompress(zipped) == body
    assert plain["etag"] == packed["etag"]


def test_the_log_holds_no_token(address, token, log):
    get(f"{address}/api/kpi/all?span=7d", token)
    get(f"{address}/api/kpi/all?access_token={token}")

    assert token.rpartition("_")[2] not in log.read_text("utf-8")


def test_under_a_base_path_the_api_and_our_own_files_are_there_too(home, tmp_path, token):
    with serving(home, tmp_path / "log", base="notebook") as address:
        script = get(f"{address}/{plotly_js.ADDRESS}")
        assert script[0] == 200
        assert script[1]["content-type"].startswith("text/javascript")
        assert get(f"{address}/{files.ADDRESS}/token/rows.csv")[0] == 404
        assert get(f"{address}/healthz")[0] == 200
        status, _, body = get(f"{address}/api/telemetry/errors?limit=1&span=90d", token)
        assert status == 200
        assert json.loads(body)["meta"]["page"]["next"].startswith("/notebook/api/telemetry/errors")


def test_the_commands_of_the_docs_work_as_shown(address, home, tmp_path):
    text = (ROOT / "docs" / "API.md").read_text("utf-8")
    shell = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    python = f'python() {{ PYTHONPATH="{ROOT}" "{sys.executable}" "$@"; }}'

    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{python}\n{shell}"],
        cwd=tmp_path,
        env=os.environ | {"TELEMETRY_HOME": str(home), "BETASCOPE": address},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    decoder, answers, at = json.JSONDecoder(), [], 0
    while at < len(ended.stdout):
        one, at = decoder.raw_decode(ended.stdout, at)
        answers.append(one)
    assert [sorted(one) for one in answers] == [["data", "meta"]] * 3
    assert [bool(one["data"]) for one in answers] == [True] * 3
    secret = (tmp_path / "betascope-token").read_text("utf-8").strip()
    assert get(f"{address}/metrics", secret)[0] == 200


# --- schemathesis ----------------------------------------------------------------------------


# what goes together, which no schema can say; written out for schemathesis to load
HOOKS = """
import schemathesis


def possible(query):
    asked = query or {}
    given = {"from", "to"} & asked.keys()
    span = asked.get("span", "custom" if given else "28d")
    if len(given) == 1 or (span == "custom") != bool(given) or "until" in asked and span != "24h":
        return False
    return all(str(asked[name])[:2] in ("19", "20") for name in given)


@schemathesis.hook
def filter_case(context, case):
    modes = {part.mode.value for part in case.meta.components.values()} if case.meta else set()
    return possible(case.query) if modes == {"positive"} else True
"""
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 414, 431]
"""


# the thorough phase asks for somebody who is there; the other one also for nobody
PHASES = ("examples,fuzzing", "coverage")
SOMEBODY = """
[[operations]]
include-path = "/api/telemetry/users/{{user_id_hash}}"
parameters = {{ "path.user_id_hash" = "{0}" }}
"""


@pytest.mark.parametrize("phases", PHASES)
def test_schemathesis_finds_no_fault(address, home, token, tmp_path, phases):
    who = data_access.scan("events", home).select("user_id_hash").head(1).collect().item()
    known = SOMEBODY.format(who) if phases == "coverage" else ""
    (tmp_path / "hooks_of_ours.py").write_text(HOOKS, "utf-8")
    (tmp_path / "config.toml").write_text(CONFIG + known, "utf-8")
    command = [sys.executable, "-m", "schemathesis.cli"]
    command += ["--config-file", "config.toml", "run", f"{address}/api/openapi.json"]
    command += ["--header", f"Authorization: Bearer {token}", "--checks", "all", "--no-color"]
    command += ["--phases", phases, "--include-method", "GET"]
    command += ["--max-examples", str(EXAMPLES_MAX), "--seed", "7", "--continue-on-failure"]

    run = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "hooks_of_ours", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )

    told = "\n".join(line[:300] for line in run.stdout.splitlines()[-80:])
    assert run.returncode == 0, told
    assert "generated" in told
    assert f"Tested: {len(endpoints.table(page_rows=1_000))}" in told  # every one of them
    assert phases != "coverage" or "Missing test data" not in told
