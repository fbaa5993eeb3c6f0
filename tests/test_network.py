"""Where a request comes from: whose word counts, and what is of this machine."""

from __future__ import annotations

import pytest

from pages.server import network


def scope(
    *headers: tuple[str, str],
    client: str | None = "127.0.0.1",
    server: str = "127.0.0.1",
    scheme: str = "http",
    host: str = "127.0.0.1:8501",
) -> dict:
    given = [("host", host), *headers]
    return {
        "type": "http",
        "scheme": scheme,
        "server": (server, 8501),
        "client": (client, 50_000) if client else None,
        "headers": [(name.lower().encode(), value.encode()) for name, value in given],
    }


def strange(one: dict) -> str:
    return network.strange_to_this_machine(one, network.arrived(one, ()))


def test_this_machines_own_request_is_welcome():
    assert strange(scope()) == ""
    assert strange(scope(host="localhost:8501")) == ""
    assert strange(scope(host="LOCALHOST")) == ""
    assert strange(scope(host="[::1]:8501", client="::1", server="::1")) == ""
    assert strange(scope(client="::ffff:127.0.0.1", server="::ffff:127.0.0.1")) == ""
    assert strange(scope(("origin", "http://localhost:8501"), host="localhost:8501")) == ""
    assert strange(scope(("x-forwarded-for", "127.0.0.1"))) == ""


@pytest.mark.parametrize(
    "host",
    [
        "evil.org",
        "evil.org:8501",
        "localhost.evil.org",
        "127.0.0.1.evil.org",
        "127.0.0.1@evil.org",
        "evil.org@127.0.0.1",
        "192.168.1.7:8501",
        "0.0.0.0:8501",
        "127.0.0.1:port",
        "127.0.0.1/evil.org",
        "2130706433",
        "[::1",
        "",
        " ",
    ],
)
def test_a_name_pointed_here_by_somebody_else_is_refused(host):
    assert "host" in strange(scope(host=host))


def test_two_hosts_are_none():
    assert "no name" in strange(scope(("host", "127.0.0.1:8501")))


@pytest.mark.parametrize(
    "origin",
    ["http://evil.org", "http://localhost:3000", "https://127.0.0.1:8501", "null", "", "file://"],
)
def test_a_page_of_another_site_may_not_ask(origin):
    assert "page of" in strange(scope(("origin", origin)))


def test_what_comes_from_or_through_another_machine_is_refused():
    assert "another machine" in strange(scope(client="192.168.1.7"))
    assert "other machines can reach" in strange(scope(server="192.168.1.2"))
    assert "proxy" in strange(scope(("x-forwarded-for", "8.8.8.8")))
    assert "proxy" in strange(scope(("x-forwarded-for", "127.0.0.1, 8.8.8.8")))
    assert "proxy" in strange(scope(("x-real-ip", "8.8.8.8")))
    assert "proxy" in strange(scope(("forwarded", "for=127.0.0.1")))
    assert "proxy" in strange(scope(("x-forwarded-host", "betascope.example.com")))


def test_what_is_refused_is_said_without_odd_letters_and_cut_short():
    said = strange(scope(host="x\x1b[31m" + "y" * 500))

    assert said.isprintable()
    assert len(said) < 200


# --- proxies ----------------------------------------------------------------------------------


def test_a_trusted_proxy_is_believed_about_the_scheme():
    one = scope(("x-forwarded-proto", "https"), client="10.0.0.7")

    assert network.arrived(one, ("10.0.0.0/8",)).scheme == "https"
    assert one["scheme"] == "https"


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("1.1.1.1, 8.8.8.8", "8.8.8.8"),
        ("127.0.0.1, 8.8.8.8", "8.8.8.8"),
        ("8.8.8.8, 10.0.0.9", "8.8.8.8"),
        ("2001:db8::1", "2001:db8::1"),
        ("8.8.8.8, unknown", "10.0.0.7"),
        ("10.0.0.8", "10.0.0.7"),
        ("", "10.0.0.7"),
    ],
)
def test_a_trusted_proxy_is_believed_about_for_whom_it_asks(said, client):
    one = scope(("x-forwarded-for", said), client="10.0.0.7")

    network.arrived(one, ("10.0.0.0/8",))

    assert one["client"][0] == client


def test_without_a_sign_in_even_a_trusted_proxy_brings_nobody_from_elsewhere():
    one = scope(("x-forwarded-for", "8.8.8.8"))

    way = network.arrived(one, ("127.0.0.1",))

    assert "another machine" in network.strange_to_this_machine(one, way)


def test_of_several_proxies_the_nearest_is_believed():
    one = scope(("x-forwarded-proto", "https, http"), client="10.0.0.7")
    assert network.arrived(one, ("10.0.0.7",)).scheme == "http"

    one = scope(("x-forwarded-proto", "https"), ("x-forwarded-proto", "http"), client="10.0.0.7")
    assert network.arrived(one, ("10.0.0.7",)).scheme == "http"

    one = scope(("x-forwarded-proto", "gopher"), client="10.0.0.7")
    assert network.arrived(one, ("10.0.0.7",)).scheme == "http"


@pytest.mark.parametrize("proxies", [(), ("10.0.0.8",), ("10.0.1.0/24",), ("not an address",)])
def test_a_stranger_is_not_believed_and_their_word_goes_no_further(proxies):
    said = [(name.decode(), "https") for name in network.FORWARDED]
    one = scope(*said, ("Accept", "x"), client="10.0.0.7")

    assert network.arrived(one, proxies).scheme == "http"
    assert one["scheme"] == "http"
    assert [name for name, _ in one["headers"]] == [b"host", b"accept"]


def test_a_connection_without_an_address_is_trusted_by_no_rule():
    one = scope(("x-forwarded-proto", "https"), client=None)

    assert network.arrived(one, ("0.0.0.0/0", "::/0")).scheme == "http"


def test_a_websocket_keeps_its_kind_of_scheme():
    one = scope(("x-forwarded-proto", "https"), scheme="ws") | {"type": "websocket"}

    assert network.arrived(one, ("127.0.0.1",)).scheme == "https"
    assert one["scheme"] == "wss"


# --- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost", "::ffff:127.0.0.1"])
def test_loopback_answers_here_only(host):
    assert network.answers_here_only(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.2", "fe80::1", "no-such.invalid"])  # noqa: S104 - what is refused
def test_every_other_address_may_be_reached(host):
    assert not network.answers_here_only(host)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Betascope.Example.com/oauth2callback", "https://betascope.example.com"),
        ("https://a.example:443/x", "https://a.example"),
        ("http://127.0.0.1:8501/oauth2callback", "http://127.0.0.1:8501"),
        ("http://[::1]:8501/", "http://[::1]:8501"),
        ("https://user@a.example/", ""),
        ("ftp://a.example/", ""),
        ("a.example", ""),
        ("https://a.example:x/", ""),
        ("", ""),
    ],
)
def test_an_origin_is_written_as_a_browser_does(url, origin):
    assert network.origin_of(url) == origin
