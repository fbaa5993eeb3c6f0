"""A real OpenID provider and a real server behind a sign-in, for the tests of the door."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from serving import free_port, wait_for
from streamlit import config
from streamlit.runtime.secrets import secrets_singleton

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

ROOT = Path(__file__).resolve().parents[1]
PROVIDER = Path(__file__).parent / "oidc"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
START_S = 120
SECRET = "a-cookie-secret-of-the-tests-that-is-long-enough"  # noqa: S105 - guards nothing
BASE_TOML = """
[sign_in]
domains = ["example.com"]
addresses = ["listed@elsewhere.net"]
groups = ["telemetry-readers"]
admins = ["group:telemetry-admins"]
analysts = ["listed@elsewhere.net"]
"""


def needs_provider() -> None:
    """Skip, loudly, without the provider; CI must have it."""
    missing = not (PROVIDER / "node_modules" / "oidc-provider").exists()
    if shutil.which("node") is None or missing:
        say = "no OpenID provider: run `npm ci --prefix tests/oidc`"
        if os.environ.get("CI"):
            pytest.fail(say)
        pytest.skip(say)


@contextmanager
def provider(*apps: str) -> Iterator[str]:
    """Run the provider for apps at these origins, and yield its address."""
    port = free_port()
    command = ["node", "provider.mjs", str(port), *apps]
    with subprocess.Popen(
        command, cwd=PROVIDER, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        try:
            assert run.stdout is not None
            assert run.stdout.readline().strip() == "ready"
            yield f"http://127.0.0.1:{port}"
        finally:
            run.terminate()
            run.wait(START_S)


def secrets(issuer: str, app: str) -> str:
    """Return the secrets.toml of an app at this origin."""
    return (
        f'[auth]\nredirect_uri = "{app}/oauth2callback"\ncookie_secret = "{SECRET}"\n'
        'client_id = "betascope"\nclient_secret = "a-secret-of-the-tests-only"\n'
        f'server_metadata_url = "{issuer}/.well-known/openid-configuration"\n'
        'client_kwargs = { prompt = "login" }\n'  # this provider knows no select_account
    )


@contextmanager
def configured(path: Path) -> Iterator[None]:
    """Let this very process read its secrets from one file, as `--secrets.files` does."""
    before = config.get_option("secrets.files")
    config.set_option("secrets.files", [str(path)])
    secrets_singleton._reset()
    try:
        yield
    finally:
        config.set_option("secrets.files", before)
        secrets_singleton._reset()


def claims(email: str, **more: object) -> dict[str, object]:
    """Return what a provider says about somebody who signed in a minute ago."""
    now = time.time()
    said = {"is_logged_in": True, "email": email, "email_verified": True}
    return said | {"iat": now - 60, "exp": now + 3_000} | more


def command(home: Path, port: int, *options: str) -> list[str]:
    """Return the command with which a person starts the app."""
    start = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true"]
    return [*start, f"--server.port={port}", *options, "--", str(home)]


@contextmanager
def serving(
    home: Path, port: int, log: Path, *options: str, host: str = "127.0.0.1"
) -> Iterator[str]:
    """Run the app the way a person does, and yield its address."""
    with (
        log.open("wb") as out,
        subprocess.Popen(command(home, port, *options), cwd=ROOT, stdout=out, stderr=out) as run,
    ):
        address = f"http://{host}:{port}"
        try:
            wait_for(f"{address}/_stcore/health", run, log)
            yield address
        finally:
            run.terminate()
            run.wait(START_S)


@dataclass(frozen=True)
class Answer:
    """What a server answered, redirects not followed."""

    status: int
    headers: Message
    body: bytes


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_given: object) -> None:
        return None


def get(url: str, method: str = "GET", **headers: str) -> Answer:
    """Ask for a URL with these headers; an underscore in a name stands for a hyphen."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, headers=named, method=method)  # noqa: S310 - our own server
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=START_S) as found:
            return Answer(found.status, found.headers, found.read())
    except urllib.error.HTTPError as found:
        with found:
            return Answer(found.code, found.headers, found.read())
