"""Does the server start? Never where others reach it and nobody has to sign in."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest
import signing_in
from raw_page import refused, visit
from serving import free_port, wait_for
from streamlit import config

from data_access.config import Server, SignIn
from ingest.demo import write_demo
from pages.server import start
from pages.server.policy import current, policy_of

if TYPE_CHECKING:
    from pathlib import Path

LISTS = SignIn(domains=("example.com",))
AUTH = {
    "redirect_uri": "https://betascope.example.com/oauth2callback",
    "cookie_secret": "x" * 32,
    "client_id": "id",
    "client_secret": "secret",
    "server_metadata_url": "https://idp.example.com/.well-known/openid-configuration",
}
OTHERS = ["0.0.0.0", "::", "", "192.168.1.2"]  # noqa: S104 - what is refused
HERE = ["127.0.0.1", "127.0.0.2", "::1", "localhost"]


def refusal(address: str, sign_in: SignIn = LISTS, **auth: str) -> str:
    return start.refusal(policy_of(sign_in, Server(), auth, "telemetry.toml"), [address])


@pytest.mark.parametrize("address", HERE)
def test_on_this_machine_it_starts_without_a_sign_in(address):
    assert refusal(address, SignIn()) == ""
    assert refusal(address, replace(LISTS, required=False)) == ""


@pytest.mark.parametrize("address", OTHERS)
@pytest.mark.parametrize("sign_in", [SignIn(), SignIn(required=False)])
def test_where_others_reach_it_it_does_not_and_says_what_to_write(address, sign_in):
    said = refusal(address, sign_in)

    assert f"listen on {address or 'every address'}, where other machines reach it" in said
    assert "--server.address=127.0.0.1" in said
    assert ".streamlit/secrets.toml has no section [auth]" in said
    assert "telemetry.toml: [sign_in] must say who may come in" in said
    assert 'domains = ["example.com"]' in said
    assert ("required = false. Take that out" in said) is (sign_in.required is False)


@pytest.mark.parametrize("address", [*OTHERS, *HERE])
def test_with_all_that_a_sign_in_needs_it_starts_anywhere(address):
    assert refusal(address, **AUTH) == ""
    assert refusal(address, replace(LISTS, required=True), **AUTH) == ""


def test_a_sign_in_that_is_turned_off_stays_refused_where_others_reach_it():
    assert refusal("0.0.0.0", replace(LISTS, required=False), **AUTH)  # noqa: S104 - what is refused


@pytest.mark.parametrize("address", [OTHERS[0], HERE[0]])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cookie_secret": "x" * 31}, "cookie_secret must have at least 32 random characters"),
        ({"redirect_uri": ""}, "redirect_uri must be the address people open"),
        ({"redirect_uri": "https://betascope.example.com/"}, "redirect_uri must be"),
        ({"redirect_uri": "betascope.example.com/oauth2callback"}, "redirect_uri must be"),
        ({"client_secret": ""}, "[auth] must name a provider by client_id, client_secret"),
        ({"server_metadata_url": ""}, "[auth] must name a provider by"),
    ],
    ids=str,
)
def test_half_a_sign_in_starts_nowhere(address, change, words):
    said = refusal(address, **(AUTH | change))

    assert words in said
    assert "signing in is not set up completely" in said


@pytest.mark.parametrize(
    ("sign_in", "words"),
    [
        (SignIn(), "[sign_in] must say who may come in"),
        (SignIn(admins=("a@b.org",)), "[sign_in] must say who may come in"),
        (SignIn(domains=("@example.com",)), "'@example.com', which is no domain"),
        (SignIn(domains=("*.example.com",)), "'*.example.com', which is no domain"),
        (SignIn(addresses=("example.com",)), "'example.com', which is no e-mail address"),
        (replace(LISTS, admins=("root",)), "'root', which is no e-mail address"),
        (replace(LISTS, broken=("sign_in.x is no setting.",)), "sign_in.x is no setting."),
    ],
    ids=str,
)
def test_lists_that_let_nobody_or_everybody_in_are_refused_by_name(sign_in, words):
    assert words in refusal(HERE[0], sign_in, **AUTH)


def test_lists_without_a_provider_do_not_quietly_let_everybody_in():
    said = refusal(HERE[0], LISTS)

    assert "not set up completely" in said
    assert "required = false" in said


def test_a_provider_in_a_table_of_its_own_is_one():
    named = {f"google.{key}": AUTH[key] for key in ("client_id", "client_secret")}
    named |= {"google.server_metadata_url": AUTH["server_metadata_url"]}
    shared = {key: AUTH[key] for key in ("redirect_uri", "cookie_secret")}

    assert policy_of(LISTS, Server(), shared | named).providers == ("google",)
    assert policy_of(LISTS, Server(), AUTH | named).providers == ("default", "google")
    odd = {name.replace("google", "my_idp"): value for name, value in named.items()}
    assert "no underscore" in refusal(HERE[0], **(shared | odd))


def test_a_header_may_not_say_who_somebody_is():
    config.set_option("server.trustedUserHeaders", {"X-Email": "email"})
    try:
        assert "lets a header say who somebody is" in refusal(HERE[0], **AUTH)
    finally:
        config.set_option("server.trustedUserHeaders", {})


def test_a_proxy_that_is_no_address_is_named():
    server = Server(trusted_proxies=("127.0.0.1", "nginx"))

    said = start.refusal(policy_of(LISTS, server, AUTH), [HERE[0]])

    assert "server.trusted_proxies has 'nginx'" in said


def test_the_settings_are_read_again_when_they_change(home):
    path = home / "telemetry.toml"
    path.write_text('[sign_in]\ndomains = ["example.com"]\n')
    assert current(str(home)).sign_in.domains == ("example.com",)

    path.write_text('[sign_in]\ndomains = ["example.org"]\n')
    assert current(str(home)).sign_in.domains == ("example.org",)

    path.write_text("[sign_in]\ndomains = 3\n")
    assert current(str(home)).is_on
    assert current(str(home)).missing


def test_settings_that_cannot_be_read_do_not_keep_this_machine_out(home):
    (home / "telemetry.toml").write_text("= broken")

    assert not current(str(home)).is_on
    assert not current(str(home / "nowhere")).is_on


# --- real processes ---------------------------------------------------------------------------

STREAMLIT = ("-m", "streamlit", "run", "app.py", "--server.headless=true", "--server.port=0")
UVICORN = ("-m", "uvicorn", "app:app", "--port", "0")


OF_ITS_OWN = """
import uvicorn
from app import app

class Config(uvicorn.Config):
    pass

uvicorn.Server(Config(app, host="0.0.0.0", port=0)).run()
"""


def started(*command: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a server that is to refuse; one that starts is stopped by the time limit and fails."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=signing_in.ROOT,
        env=os.environ | {"TELEMETRY_HOME": str(home)} | variables,
        capture_output=True,
        text=True,
        timeout=signing_in.START_S,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "variables"),
    [
        ((*STREAMLIT, "--server.address=0.0.0.0"), {}),
        ((*STREAMLIT, "--server.address=::"), {}),
        ((*STREAMLIT, "--server.address="), {}),
        (STREAMLIT, {"STREAMLIT_SERVER_ADDRESS": "0.0.0.0"}),  # noqa: S104 - what is refused
        ((*UVICORN, "--host", "0.0.0.0"), {}),  # noqa: S104 - what is refused
        (UVICORN, {"UVICORN_HOST": "::"}),
        (
            ("-c", "import uvicorn; from app import app; uvicorn.run(app, host='0.0.0.0', port=0)"),
            {},
        ),
        pytest.param(("-c", OF_ITS_OWN), {}, id="a configuration of its own kind"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, tuple) else str(value),
)
def test_a_server_that_others_reach_ends_before_it_answers(command, variables, home):
    done = started(*command, home=home, **variables)

    assert done.returncode != 0
    assert "Betascope did not start: it would listen on" in done.stderr
    assert "startup complete" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("text", ["domains = 3", "domian = ['a.org']", "required = true"])
def test_a_sign_in_that_cannot_be_used_starts_nowhere(text, home):
    (home / "telemetry.toml").write_text(f"[sign_in]\n{text}\n")

    done = started(*STREAMLIT, home=home)

    assert done.returncode == 1
    assert "Betascope did not start: signing in is not set up completely" in done.stderr


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.mark.slow
def test_the_frame_alone_without_the_door_shows_nothing(port, tmp_path):
    home = tmp_path / "telemetry"
    write_demo(home, events=1_000, days=30, seed=3, end=date(2026, 3, 1))
    command = [sys.executable, "-m", "streamlit", "run", "pages/frame.py"]
    command += [f"--server.port={port}", "--server.headless=true", "--server.address=0.0.0.0"]
    log = tmp_path / "log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            command,
            cwd=signing_in.ROOT,
            env=os.environ | {"TELEMETRY_HOME": str(home)},
            stdout=out,
            stderr=out,
        ) as run,
    ):
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", run, log)
        heard = visit(f"http://127.0.0.1:{port}", "overview")
        run.terminate()

    assert heard.kinds == {"html", "alert"}
    assert "streamlit run app.py" in heard.text


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.2", "::1"])
def test_another_address_of_this_machine_is_its_own(address, home, port, tmp_path):
    host = f"[{address}]" if ":" in address else address
    log = tmp_path / "log"
    with signing_in.serving(home, port, log, f"--server.address={address}", host=host) as app:
        assert signing_in.get(f"{app}/").status == 200
        assert signing_in.get(f"{app}/", Host="evil.org").status == 403
        assert signing_in.get(f"{app}/", X_Forwarded_For="8.8.8.8:1234").status == 403
        assert refused(app) == 101
        assert refused(app, origin="http://evil.org") == 403
        assert refused(app, origin="http://localhost:3000") == 403
