"""The recipe of deploy/nginx.conf, run by a real nginx with a certificate of its own."""

from __future__ import annotations

import datetime as dt
import http.client
import ipaddress
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import signing_in
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import expect, sync_playwright
from serving import free_port

from ingest.demo import write_demo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.browser]

RECIPE = signing_in.ROOT / "deploy" / "nginx.conf"
BROTLI = "/usr/lib/nginx/modules/ngx_http_brotli_filter_module.so"
END = dt.date(2026, 3, 1)
SLOW_MS = 120_000


@dataclass(frozen=True)
class Site:
    """The app behind nginx."""

    https: int
    http: int
    app: int

    @property
    def url(self) -> str:
        """What people open."""
        return f"https://localhost:{self.https}"


def certificate(folder: Path) -> None:
    """Write a certificate for localhost that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "fullchain.pem").write_bytes(made.public_bytes(pem))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def config(folder: Path, site: Site) -> Path:
    """Write the recipe with this machine's names in the places marked CHANGE, and nothing else."""
    text = RECIPE.read_text("utf-8")
    for before, after in (
        ("server 127.0.0.1:8501;", f"server 127.0.0.1:{site.app};"),
        ("/etc/letsencrypt/live/betascope.example.com", str(folder)),
        ("server_name betascope.example.com;", "server_name localhost;"),
        ("listen 80;", f"listen 127.0.0.1:{site.http};"),
        ("listen 443 ssl", f"listen 127.0.0.1:{site.https} ssl"),
        ("    listen [::]:80;\n", ""),
        ("    listen [::]:443 ssl http2;\n", ""),
    ):
        assert before in text, before
        text = text.replace(before, after)
    load = ""
    if os.path.exists(BROTLI):  # noqa: PTH110 - a module of the system's
        load = f"load_module {BROTLI};\n"
        text = text.replace("    # brotli", "    brotli")
    (folder / "betascope.conf").write_text(text)
    places = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    whole = folder / "nginx.conf"
    whole.write_text(
        f"{load}{user}daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\n"
        f"error_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\n    access_log off;\n{places}    include {folder}/betascope.conf;\n}}\n"
    )
    return whole


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    signing_in.needs_provider()
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        if os.environ.get("CI"):
            pytest.fail("no nginx, and CI must test the recipe")
        pytest.skip("no nginx: `apt install nginx`")
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)
    made = Site(*(free_port() for _ in range(3)))
    certificate(folder)
    home = folder / "telemetry"
    write_demo(home, events=3_000, days=30, seed=3, end=END)
    (home / "telemetry.toml").write_text(
        f'{signing_in.BASE_TOML}\n[server]\npublic_url = "{made.url}"\n'
        'trusted_proxies = ["127.0.0.1"]\n'
    )
    with signing_in.provider(made.url) as issuer:
        secrets = folder / "secrets.toml"
        secrets.write_text(signing_in.secrets(issuer, made.url))
        with (
            signing_in.serving(home, made.app, folder / "log", f"--secrets.files={secrets}"),
            subprocess.Popen([nginx, "-c", str(config(folder, made)), "-p", str(folder)]) as run,
        ):
            try:
                _wait_for(made, run)
                yield made
            finally:
                run.terminate()
                run.wait(signing_in.START_S)


def _wait_for(site: Site, run: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + signing_in.START_S
    while time.monotonic() < until and run.poll() is None:
        try:
            ask(site, "/_stcore/health")
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("nginx did not start")


def ask(site: Site, path: str, **headers: str) -> http.client.HTTPResponse:
    """Ask nginx for a path, over https."""
    context = ssl._create_unverified_context()  # noqa: S323 - the certificate is the test's own
    asked = http.client.HTTPSConnection("localhost", site.https, context=context, timeout=30)
    asked.request(
        "GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()}
    )
    found = asked.getresponse()
    found.body = found.read()  # type: ignore[attr-defined] # kept, since the connection ends here
    asked.close()
    return found


def test_signing_in_works_through_it_and_every_cookie_goes_over_https_only(site):
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=signing_in.CHROMIUM, args=signing_in.FLAGS
        )
        context = chromium.new_context(ignore_https_errors=True)
        context.set_default_timeout(SLOW_MS)
        page = context.new_page()
        page.goto(f"{site.url}/errors?span=7d&tier=paid")
        page.get_by_role("button", name="Sign in").click()
        page.locator("input[name=login]").fill("ada")
        page.locator("input[name=password]").fill("any")
        page.locator("button[type=submit]").click()
        page.get_by_role("button", name="Continue").click()

        expect(page.get_by_text("What breaks, and for whom?")).to_be_visible(timeout=SLOW_MS)
        expect(page.locator(".js-plotly-plot").first).to_be_visible(timeout=SLOW_MS)
        assert "tier=paid" in page.url
        cookies = {one["name"]: one for one in context.cookies(site.url) if one["name"][0] == "_"}
        ours = {name for name in cookies if name.startswith("_streamlit")}
        assert {"_streamlit_user", "_streamlit_user_tokens", "_streamlit_xsrf"} <= ours
        assert {name for name in ours if not cookies[name]["secure"]} == set()
        assert cookies["_streamlit_user"]["httpOnly"]
        chromium.close()


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_scripts_are_compressed(site, coding):
    if coding == "br" and not os.path.exists(BROTLI):  # noqa: PTH110 - a module of the system's
        pytest.skip("no brotli: `apt install libnginx-mod-http-brotli-filter`")
    page = ask(site, "/").body.decode()
    script = re.search(r'src="\./(static/js/index[^"]+)"', page)
    assert script is not None

    plain = ask(site, f"/{script[1]}")
    small = ask(site, f"/{script[1]}", Accept_Encoding=coding)

    assert small.headers["Content-Encoding"] == coding
    assert "immutable" in small.headers["Cache-Control"]
    assert len(small.body) < len(plain.body) / 2.5


def test_over_https_the_browser_is_told_to_stay_there(site):
    headers = ask(site, "/_stcore/health").headers

    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "; Secure" in headers["Set-Cookie"]
    assert headers["Content-Security-Policy"] == "frame-ancestors 'self'"


def test_what_a_browser_says_of_forwarding_is_thrown_away(site):
    headers = ask(
        site,
        "/_stcore/health",
        X_Forwarded_Proto="http",
        X_Forwarded_For="127.0.0.1",
        Forwarded="proto=http",
    ).headers

    assert "; Secure" in headers["Set-Cookie"]


def test_plain_http_leads_to_https(site):
    asked = http.client.HTTPConnection("localhost", site.http, timeout=30)
    asked.request("GET", "/errors?span=7d", headers={"Host": "evil.org"})
    answer = asked.getresponse()

    assert answer.status == 308
    assert answer.headers["Location"] == "https://localhost/errors?span=7d"
    asked.close()


@pytest.mark.parametrize(("source", "believed"), [("127.0.0.1", True), ("127.0.0.2", False)])
def test_only_the_proxy_that_is_named_is_believed(site, source, believed):
    asked = http.client.HTTPConnection(
        "127.0.0.1", site.app, timeout=30, source_address=(source, 0)
    )
    asked.request("GET", "/_stcore/health", headers={"X-Forwarded-Proto": "https"})
    headers = asked.getresponse().headers
    asked.close()

    assert ("; Secure" in headers["Set-Cookie"]) is believed
    assert ("Strict-Transport-Security" in headers) is believed


def test_another_name_is_not_answered(site):
    assert ask(site, "/", Host="evil.org").status == 403


def test_a_stranger_gets_no_more_than_without_it(site):
    assert ask(site, "/_stcore/metrics").status == 401
    assert ask(site, "/media/x.csv").status == 401
    assert ask(site, "/_stcore/metrics", X_Forwarded_For="127.0.0.1").status == 401


def raw(site: Site, text: str) -> bytes:
    """Send nginx bytes that no library would send, and return all that comes back."""
    context = ssl._create_unverified_context()  # noqa: S323 - the certificate is the test's own
    with (
        socket.create_connection(("localhost", site.https), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as to,
    ):
        to.sendall(text.replace("\n", "\r\n").encode("latin-1"))
        answered = b""
        try:
            while piece := to.recv(65_536):
                answered += piece
        except ssl.SSLError:  # it hung up in the middle of ours
            pass
        return answered


# a second request hidden in the body of the first, for one of the two servers to stumble over
HIDDEN = "GET /_stcore/metrics HTTP/1.1\nHost: localhost\nConnection: close\nX: "
SMUGGLED = {
    "both lengths": f"Content-Length: {len(HIDDEN) + 9}\nTransfer-Encoding: chunked\n\n"
    f"0\n\n{HIDDEN}",
    "a length and a chunk": "Transfer-Encoding: chunked\nContent-Length: 4\n\n"
    f"{len(HIDDEN):x}\n{HIDDEN}\n0\n\n",
    "two lengths": f"Content-Length: 0\nContent-Length: {len(HIDDEN)}\n\n{HIDDEN}",
    "an odd coding": f"Transfer-Encoding: xchunked\nContent-Length: 0\n\n{HIDDEN}",
    "a tab": f"Transfer-Encoding:\tchunked\n\n0\n\n{HIDDEN}",
    "a space": f"Transfer-Encoding : chunked\n\n0\n\n{HIDDEN}",
    "a plaintext upgrade": "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\n"
    f"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\n\n{HIDDEN}",
    "half a websocket": "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 1\n"
    f"Sec-WebSocket-Key: x\n\n{HIDDEN}",
}


@pytest.mark.parametrize("path", ["/", "/_stcore/stream"])
@pytest.mark.parametrize("way", SMUGGLED)
def test_no_request_is_smuggled_in_with_another(site, way, path):
    answered = raw(site, f"GET {path} HTTP/1.1\nHost: localhost\n{SMUGGLED[way]}\n\n")

    assert b"# EOF" not in answered
    for _ in range(4):  # nor does somebody else get an answer that is not theirs
        assert ask(site, "/_stcore/health").body == b"ok"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../_stcore/metrics",
        "/static/..%2f_stcore/metrics",
        "/static/%2e%2e/_stcore/metrics",
        "//_stcore/metrics",
        "/_stcore/stream/../metrics",
        "/_stcore/metrics/",
        "/_stcore/metrics%20",
        "/_stcore/metrics%23",
        "/_stcore/metrics?/_stcore/health",
        "/_stcore%252fmetrics",
        "https://localhost/_stcore/metrics",
    ],
)
def test_no_way_of_writing_a_path_gets_round_both(site, path):
    answered = raw(site, f"GET {path} HTTP/1.1\nHost: localhost\nConnection: close\n\n")

    assert answered.startswith(b"HTTP/1.1 ")
    assert b"# EOF" not in answered
    assert b"cache_memory_bytes" not in answered
