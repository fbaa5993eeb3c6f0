"""Who may come in, and as what: what a provider says against what the team listed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_access.config import SignIn
from pages.server.entry import Entry, decide, plain_address, plain_domain

NOW = 1_800_000_000.0
LISTS = SignIn(
    domains=("example.com", "bücher.example"),
    addresses=("Listed@elsewhere.net",),
    groups=("readers",),
    admins=("ada@example.com", "group:admins"),
    analysts=("ben@example.com", "group:analysts"),
)


def said(email: object = "ada@example.com", **more: object) -> dict[str, object]:
    claims = {"is_logged_in": True, "email": email, "email_verified": True}
    return claims | {"iat": NOW - 60, "exp": NOW + 3_000} | more


def entry(email: object = "ada@example.com", lists: SignIn = LISTS, **more: object) -> Entry:
    return decide(said(email, **more), lists, NOW)


@pytest.mark.parametrize(
    "email",
    [
        "ada@example.com",
        "Ada@EXAMPLE.com",
        "a.b+c@example.com",
        "listed@elsewhere.net",
        "LISTED@Elsewhere.NET",
        "x@bücher.example",
        "x@xn--bcher-kva.example",
    ],
)
def test_who_is_of_the_domain_or_listed_comes_in(email):
    assert entry(email).is_in


@pytest.mark.parametrize(
    "email",
    [
        "eve@evil-example.com",
        "eve@example.com.evil.org",
        "eve@sub.example.com",
        "eve@example.com.",
        "eve@example.co",
        "eve@xample.com",
        '"a@example.com"@evil.org',
        "a@example.com@evil.org",
        "other@elsewhere.net",
        "listed@elsewhere.net.evil.org",
        "eve@example.com\u3002evil.org",
        "eve@e\u0445ample.com",  # a Cyrillic letter
        "eve@ex\u00adample.com",  # a letter nobody sees
        "eve@EXAMPLE\u3002COM",
        "eve@bucher.example",
    ],
)
def test_an_address_that_only_looks_like_it_stays_outside(email):
    assert entry(email).why in ("unlisted", "address")


def test_letters_beyond_ascii_are_never_folded_into_others():
    lists = SignIn(domains=("strasse.example", "kelvin.example", "stripe.example"))

    assert not entry("eve@straße.example", lists).is_in
    assert not entry("eve@\u212aelvin.example", lists).is_in
    assert not entry("eve@\u017ftripe.example", lists).is_in
    assert entry("eve@STRASSE.example", lists).is_in
    assert plain_address("\u212a@example.com") != plain_address("k@example.com")


@pytest.mark.parametrize(
    "email",
    [
        None,
        "",
        "@",
        "@example.com",
        "ada",
        "ada@",
        "eve@evil.org@example.com",  # some read it as evil.org's
        '"eve"@evil.org,"ada"@example.com',
        7,
        ["ada@example.com"],
        {"address": "ada@example.com"},
        "ada@example.com\n",
        "a da@example.com",
        "ada\x00@example.com",
        "a" * 400 + "@example.com",
    ],
    ids=repr,
)
def test_what_is_no_address_stays_outside(email):
    assert entry(email) == Entry("", "viewer", "address", NOW + 3_000)


def test_an_at_in_quotes_is_part_of_a_name():
    assert plain_address('"ada@evil.org"@example.com') == '"ada@evil.org"@example.com'
    assert entry('"ada@example.com"@evil.org').why == "unlisted"


@pytest.mark.parametrize("value", [None, False, "true", "True", 1, "1", [True], {}], ids=repr)
def test_only_an_address_verified_by_a_real_true_comes_in(value):
    assert entry(email_verified=value).why == "unverified"
    assert entry("listed@elsewhere.net", email_verified=value).why == "unverified"
    assert entry("x@evil.org", email_verified=value, groups=["readers"]).why == "unverified"


def test_another_claim_can_say_that_the_address_is_verified():
    lists = replace(LISTS, verified_claim="xms_edov")

    assert entry(lists=lists).why == "unverified"
    assert entry(lists=lists, xms_edov=True, email_verified=False).is_in


@pytest.mark.parametrize(
    "value", [["readers"], ["a", "readers"], "readers", ("readers",)], ids=repr
)
def test_a_member_of_a_listed_group_comes_in(value):
    assert entry("x@partner.org", groups=value).is_in


@pytest.mark.parametrize(
    "value",
    [None, [], "reader", "readers,staff", ["Readers"], [["readers"]], {"readers": 1}, [7], 7],
    ids=repr,
)
def test_whoever_is_in_no_listed_group_stays_outside(value):
    assert entry("x@partner.org", groups=value).why == "unlisted"


def test_the_groups_stand_in_the_claim_the_team_names():
    lists = replace(LISTS, groups_claim="roles")

    assert entry("x@partner.org", lists, groups=["readers"]).why == "unlisted"
    assert entry("x@partner.org", lists, roles=["readers"]).is_in


@pytest.mark.parametrize(
    ("email", "groups", "role"),
    [
        ("ADA@example.com", [], "admin"),
        ("ben@example.com", [], "analyst"),
        ("cleo@example.com", [], "viewer"),
        ("cleo@example.com", ["analysts"], "analyst"),
        ("ben@example.com", ["admins"], "admin"),
        ("cleo@example.com", ["group:admins"], "viewer"),
        ("cleo@example.com", "admins", "admin"),
    ],
)
def test_roles_come_from_addresses_and_groups_and_the_higher_counts(email, groups, role):
    assert entry(email, groups=groups).role == role


def test_everybody_else_has_the_default_role():
    assert entry("cleo@example.com", replace(LISTS, default_role="analyst")).role == "analyst"


def test_a_role_alone_lets_nobody_in():
    lists = replace(LISTS, admins=("root@evil.org", "group:rooters"))

    assert entry("root@evil.org", lists) == Entry(
        "root@evil.org", "viewer", "unlisted", NOW + 3_000
    )
    assert not entry("x@evil.org", lists, groups=["rooters"]).is_in


def test_nobody_comes_in_on_empty_lists_or_settings_that_cannot_be_used():
    assert entry(lists=SignIn()).why == "unlisted"
    assert entry(lists=replace(LISTS, broken=("sign_in.domain is no setting.",))).why == "settings"


@pytest.mark.parametrize("value", [None, False, "true", 1, {}], ids=repr)
def test_whoever_is_not_signed_in_is_nobody(value):
    assert decide(said(is_logged_in=value), LISTS, NOW).why == "anonymous"
    assert decide({}, LISTS, NOW) == Entry()


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": NOW}, "expired"),
        ({"exp": NOW + 1}, ""),
        ({"exp": None}, "expired"),
        ({"exp": "9999999999"}, "expired"),
        ({"exp": float("nan")}, "expired"),
        ({"exp": float("inf")}, "expired"),
        ({"exp": 10**400}, "expired"),
        ({"exp": True}, "expired"),
        ({"iat": None}, "expired"),
        ({"iat": "now"}, "expired"),
        ({"iat": NOW - 12 * 3_600, "exp": NOW + 9}, "expired"),
        ({"iat": NOW - 12 * 3_600 + 1, "exp": NOW + 9}, ""),
        ({"iat": NOW + 299}, ""),
        ({"iat": NOW + 301}, "expired"),
    ],
    ids=repr,
)
def test_a_session_ends_with_the_token_and_after_the_hours_at_the_latest(claims, why):
    assert entry(**claims).why == why


def test_a_session_can_outlive_its_token_but_not_its_hours():
    lists = replace(LISTS, session_ends="hours", session_hours=2.0)

    assert entry(lists=lists, exp=NOW - 1).is_in
    assert entry(lists=lists, exp=NOW - 1).ends == NOW - 60 + 7_200
    assert entry(lists=lists, iat=NOW - 7_200).why == "expired"


def test_google_vouches_for_a_domain_only_with_hd():
    google = {"iss": "https://accounts.google.com"}

    assert entry(**google).why == "unlisted"
    assert entry(**google, hd="evil.org").why == "unlisted"
    assert entry(**google, hd="Example.com").is_in
    assert entry("listed@elsewhere.net", **google).is_in


@given(st.text(max_size=30), st.text(max_size=30))
def test_nothing_but_the_domain_itself_is_the_domain(local, domain):
    address = plain_address(f"{local}@{domain}")

    assert not address or address.rpartition("@")[2] == plain_domain(domain)
    assert (plain_domain(domain) == "example.com") == (domain.lower() == "example.com")


ODD = st.one_of(st.none(), st.booleans(), st.floats(), st.text(), st.lists(st.text(), max_size=3))


@given(st.dictionaries(st.sampled_from(["email", "groups", "exp", "iat", "hd"]), ODD))
def test_no_claim_of_whatever_shape_lets_a_stranger_in(claims):
    assert not decide({"is_logged_in": True} | claims, LISTS, NOW).is_in
