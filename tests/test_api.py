"""The HTTP API asked without a network: its numbers, its gate, its refusals, its description."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import jsonschema
import polars as pl
import pytest
import streamlit as st
from asgi import Answered, ask, scope_of
from polars.testing import assert_frame_equal
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_plain
from streamlit.testing.v1 import AppTest
from test_pages import a_beta

import data_access
from data_access.api import Api, endpoints, prometheus, reader, rows, server
from data_access.api.answers import KPIS
from data_access.config import Server
from ingest import tokens
from ingest.__main__ import main as run_ingest
from ingest.demo import write_demo
from ingest.sampling import Sampling
from ingest.team import save_segment
from pages.components.view import View
from pages.server.api import OF_PAGES, ApiFirst, check

GUESS = "bts_guess"
SCOPES = ["read", "people", "export", "metrics"]
TABLE = endpoints.table(page_rows=1_000)
DATA = [one for one in TABLE if one.scope]


class Client:
    """The API over a home, with a token that may do everything."""

    def __init__(
        self, home: Any, *, now: datetime | None = None, stall_s: float = server.STALL_SECONDS
    ) -> None:
        self.home = home
        self.now = now or datetime.now(UTC)
        self.clock_s = 0.0
        self.api = Api(
            home=lambda: str(home),
            check=check,
            of_pages=OF_PAGES,
            now=lambda: self.now,
            monotonic_s=lambda: self.clock_s,
            stall_s=stall_s,
        )
        self.token = self.make()

    def make(self, *scopes: str, days: int = 90) -> str:
        """Make another token."""
        secret, _ = tokens.create(
            self.home, name="test", scopes=scopes or SCOPES, days=days, now=self.now
        )
        return secret

    def __call__(self, address: str, *, token: str | None = "", **more: Any) -> Answered:
        """Ask, with the token unless another, or None, is given."""
        headers = list((more.pop("headers", None) or {}).items())
        secret = self.token if token == "" else token
        if secret is not None:
            headers.append(("Authorization", f"Bearer {secret}"))
        return ask(self.api, address, headers=headers, **more)

    def get(self, address: str, **more: Any) -> Any:
        """Ask for JSON that has to be there."""
        answered = self(address, **more)
        assert answered.status == 200, answered.body
        return answered.json()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    home = tmp_path_factory.mktemp("api") / "telemetry"
    write_demo(home, events=4_000, days=90, seed=5, end=datetime(2026, 3, 1, tzinfo=UTC).date())
    return home


@pytest.fixture(scope="module")
def client(demo):
    made = Client(demo)
    made.api._asked = made.api._failed = _Generous()
    return made


class _Generous(server.Buckets):
    """Buckets that never run dry, for what is not about them."""

    def take(self, client: str, *, per_minute: int, at_s: float) -> Any:  # noqa: ARG002 - that is it
        return super().take(client, per_minute=1_000_000, at_s=at_s)


def address_of(endpoint: endpoints.Endpoint, home: Any) -> str:
    who = data_access.scan("events", home).select("user_id_hash").head(1).collect().item()
    return endpoint.path.replace("{user_id_hash}", who)


# --- the same numbers as the pages -----------------------------------------------------------


@pytest.fixture
def seen(demo, monkeypatch):
    """Open a page and return every frame it loaded, by metric and options."""
    st.cache_data.clear()
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.setenv("TELEMETRY_HOME", str(demo))
    loaded: dict[Any, pl.DataFrame] = {}
    real = View.load

    def load(self: View, metric: str, **options: Any) -> pl.DataFrame:
        frame = real(self, metric, **options)
        if not options.pop("before", False):
            key = (metric, self.window.days, tuple(sorted(options.items())))
            loaded[key] = frame
            loaded.setdefault((metric, tuple(sorted(options.items()))), frame)
        return frame

    monkeypatch.setattr(View, "load", load)

    def open_page(page: str, query: str) -> dict[Any, pl.DataFrame]:
        app = AppTest.from_file("../pages/frame.py", default_timeout=60)
        for name, values in parse_qs(query).items():
            app.query_params[name] = values
        app.run()
        if page != "overview":
            app.switch_page(f"{page}.py").run()
        assert not app.exception, [one.message for one in app.exception]
        return loaded

    return open_page


def same(rows: list[dict[str, Any]], frame: pl.DataFrame, *, sort: bool = False) -> None:
    """Compare rows of JSON with a frame, value by value."""
    told = json.loads(server.orjson.dumps(frame.to_dicts(), option=server._JSON))
    if sort:
        rows, told = (sorted(one, key=json.dumps) for one in (rows, told))
    assert rows == told


QUERIES = [
    "span=28d",
    pytest.param("span=7d&tier=paid&tier=free", marks=pytest.mark.slow),
    pytest.param("span=month&channel=server", marks=pytest.mark.slow),
    pytest.param("span=24h", marks=pytest.mark.slow),
    "span=custom&from=2026-01-10&to=2026-02-03&timezone=America/New_York&week_starts_on=sunday",
    pytest.param("span=week&complete=false&stage=open-beta", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("query", QUERIES)
def test_the_overview_has_the_frames_of_the_page(client, seen, query):
    told = client.get(f"/api/telemetry/overview?{query}")["data"]
    page = seen("overview", query)

    kpis = dict(page["kpis", ()].select("kpi", "value").iter_rows())
    assert told["headline"]["dau_users"] == kpis["dau"]
    assert told["headline"]["error_rate"] == kpis["error_rate"]
    [p95] = page["latency", (("by", ()),)]["duration_ms_p95"].to_list() or [None]
    assert told["headline"]["duration_ms_p95"] == p95
    for name, key in {
        "daily_active": ("active_users", ()),
        "weekly_active": ("active_users", (("days", 7),)),
        "monthly_active": ("active_users", (("days", 30),)),
        "last_24_hours": ("hourly", ()),
        "events_by_channel": ("activity", (("by", ("channel",)),)),
        "what_changed": ("movers", ()),
        "people_by_tier": ("tiers", ()),
        "releases": ("releases", ()),
    }.items():
        same(told[name], page[key])
    assert sum(row["events"] for row in told["events_by_channel"])


@pytest.mark.slow
def test_tools_savings_and_acceptance_are_those_of_the_features_page(client, seen):
    query = "span=28d"
    told = client.get(f"/api/telemetry/mcp/summary?{query}")["data"]
    page = seen("features", query)

    same(told["tools"], page["tools", ()], sort=True)
    same(client.get(f"/api/telemetry/mcp/tools?{query}")["data"], page["tools", ()], sort=True)
    same(told["token_savings_by_day"], page["token_savings", ()])
    same(told["reference_acceptance_by_day"], page["reference_acceptance", ()])
    same(told["searches_by_day"], page["rag", ()])
    same(told["ontology"], page["ontology", ()])
    assert told["headline"]["calls"] == sum(row["calls"] for row in told["tools"]) > 0


@pytest.mark.slow
def test_the_extension_is_that_of_its_page(client, seen):
    told = client.get("/api/telemetry/extension/summary?span=28d")["data"]
    page = seen("extension", "span=28d")

    editors = next(
        frame
        for key, frame in page.items()
        if key[0] == "by_property" and ("key", "ide") in key[-1] and ("most", 10) in key[-1]
    )
    same(told["editors"], editors)
    same(told["funnel"], page["extension_funnel", ()])
    same(told["interactions"], page["interactions", ()])
    same(told["failures_by_day"], page["extension_failures", ()])
    same(told["session_lengths"], page["session_lengths", ()])
    assert told["headline"]["installed_users"] == page["extension_installs", 28, ()]["weight"].sum()


@pytest.mark.slow
def test_one_person_is_that_of_their_page(client, seen, demo):
    who = data_access.scan("errors", demo).select(pl.col("user_id_hash").mode().min()).collect()
    who = who.item()
    told = client.get(f"/api/telemetry/users/{who}?span=90d")["data"]
    page = seen("users", f"span=90d&user={who}")

    assert told["user"]["user_id_hash"] == who
    for name in ("tiers", "sessions", "tools", "errors", "latency"):
        same(told[name], page[f"user_{name}", (("user", who),)].head(100))
    assert told["timeline"]
    assert told["errors"]


@pytest.mark.parametrize("name", KPIS)
def test_each_kpi_is_the_metric_s_own_value(client, demo, name):
    told = client.get(f"/api/kpi/{name}?from=2026-02-01&to=2026-02-28")
    window = data_access.Window(
        datetime(2026, 2, 1, tzinfo=UTC).date(), datetime(2026, 3, 1, tzinfo=UTC).date()
    )
    frame = data_access.metrics.kpis(data_access.scan("events", demo), window).collect()
    expected = {row.pop("kpi"): row for row in frame.to_dicts()}

    assert told["data"] == {one: expected[one] for one in KPIS[name]}
    assert told["meta"]["window"]["to"] == "2026-02-28"
    assert told["meta"]["query"] == "span=custom&from=2026-02-01&to=2026-02-28"
    assert told["meta"]["notes"] == []


def test_all_kpis_are_all_there_are(client):
    assert (
        set(client.get("/api/kpi/all")["data"])
        == set(KPIS["all"])
        >= {one for names in KPIS.values() for one in names}
    )


def test_a_kpi_is_compared_with_the_period_before_when_asked(client):
    now = client.get("/api/kpi/cdr?from=2026-02-15&to=2026-02-28&compare=true")["data"]["cdr"]
    past = client.get("/api/kpi/cdr?from=2026-02-01&to=2026-02-14")["data"]["cdr"]

    assert now.pop("before") == past
    first = client.get("/api/kpi/cdr?from=2025-01-01&to=2025-01-07&compare=true")
    assert first["data"]["cdr"]["before"] is None


# --- what an answer says of itself -----------------------------------------------------------


@pytest.mark.parametrize("endpoint", [one for one in DATA if one.answer], ids=lambda one: one.name)
def test_every_answer_keeps_to_its_schema_and_counts_its_rows(client, demo, endpoint):
    told = client.get(address_of(endpoint, demo) + "?span=90d")

    jsonschema.Draft202012Validator(
        endpoint.schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    ).validate(told)
    data = told["data"]
    tables = data.values() if isinstance(data, dict) else [data]
    rows = sum(len(one) for one in tables if isinstance(one, list))
    assert told["meta"]["rows"] == (rows or len(data))
    assert told["meta"]["as_of"].startswith("2026-02-28")
    assert told["meta"]["sample"] is None
    assert {one["name"] for one in told["meta"]["metrics"]} <= set(data_access.metrics.METRICS)


def test_a_span_that_ends_with_the_data_says_so(client):
    meta = client.get("/api/kpi/all?span=7d")["meta"]

    assert (meta["window"]["from"], meta["window"]["to"]) == ("2026-02-22", "2026-02-28")
    assert meta["complete"]
    assert "The data ends on 2026-02-28" in meta["notes"][0]


def test_a_page_s_own_choices_in_a_link_mean_nothing_and_are_named(client):
    meta = client.get("/api/kpi/all?retention.every=month&who=a:b&embed=true")["meta"]

    assert any("retention.every, who, embed" in note for note in meta["notes"])


def test_a_value_that_no_row_has_finds_nothing_and_is_named(client):
    told = client.get("/api/telemetry/mcp/tools?release=9.9.9")

    assert told["data"] == []
    assert any("release='9.9.9'" in note for note in told["meta"]["notes"])


def test_a_sample_is_said_to_be_one(home, load_lines):
    sampling = Sampling(keep_rate=0.1, critical=frozenset())
    rows = [
        {"event_name": "ui_interaction", "user_id_hash": f"u{n}", "session_id": f"s{n}-{day}"}
        | {"timestamp": f"2026-02-{day:02}T10:00:00Z"}
        for n in range(400)
        for day in range(1, 20)
    ]
    kept = [row | {"weight": 10.0} for row in rows if sampling.decide(row).keep]
    load_lines(*kept)

    told = Client(home).get("/api/kpi/cdr")

    assert told["meta"]["sample"] == {"keep_rate": 0.1}
    assert told["data"]["cdr_users"]["denominator"] == 10 * len({r["user_id_hash"] for r in kept})


def test_an_etag_saves_asking_again_until_something_changes(home, load_lines):
    load_lines(*a_beta())
    client = Client(home)
    first = client("/api/kpi/all")
    tag = first.headers["etag"]

    again = client("/api/kpi/all", headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status, again.body) == (304, b"")
    assert "content-length" not in again.headers
    other = client("/api/kpi/all?tier=paid", headers={"If-None-Match": tag})
    assert other.status == 200
    load_lines(
        {"event_name": "session_started", "user_id_hash": "new"}
        | {"timestamp": (client.now - timedelta(days=2)).isoformat()},
        name="more.jsonl",
    )
    assert client("/api/kpi/all", headers={"If-None-Match": tag}).status == 200


def test_more_names_than_a_page_has_rows_are_cut_to_the_most_frequent(home, load_lines):
    at = "2026-02-01T10:00:00Z"
    load_lines(
        *(
            {"event_name": f"e{n}", "user_id_hash": "u", "timestamp": at, "session_id": f"s{k}"}
            for n in range(9)
            for k in range(n + 1)
        )
    )
    (home / "telemetry.toml").write_text("[limits]\napi_page_rows = 3", "utf-8")

    told = Client(home).get("/api/telemetry/overview")

    assert [row["event_name"] for row in told["data"]["what_changed"]] == ["e6", "e7", "e8"]
    assert told["meta"]["cut"]["what_changed"] == 9


# --- errors, page by page --------------------------------------------------------------------


def pages_of(client: Client, address: str) -> list[list[dict[str, Any]]]:
    found = []
    while address:
        answered = client(address)
        told = answered.json()
        found.append(told["data"])
        address = told["meta"]["page"]["next"]
        assert ("link" in answered.headers) == bool(address)
        assert len(found) < 200
    return found


def test_pages_of_errors_are_together_what_there_is(client, demo):
    pages = pages_of(client, "/api/telemetry/errors?from=2026-01-01&to=2026-03-01&limit=7")
    rows = [row for page in pages for row in page]
    window = data_access.Window(
        datetime(2026, 1, 1, tzinfo=UTC).date(), datetime(2026, 3, 2, tzinfo=UTC).date()
    )
    expected = data_access.metrics.error_occurrences(
        data_access.scan("errors", demo), window
    ).collect()

    assert all(len(page) == 7 for page in pages[:-1])
    same(rows, expected)
    told = client.get("/api/telemetry/errors?from=2026-01-01&to=2026-03-01&limit=7")
    assert told["meta"]["page"]["total"] == len(rows) > 20


def test_rows_of_the_same_instant_are_on_one_page_each(home, load_lines):
    load_lines(
        *(
            {"error_type": "E", "user_id_hash": "u", "event_id": f"\U0001f600 &~#{'e' * 120}{n}"}
            | {"timestamp": "2026-02-01T10:00:00Z"}
            for n in range(9)
        )
    )

    pages = pages_of(Client(home), "/api/telemetry/errors?from=2026-02-01&to=2026-02-01&limit=2")

    found = [row["event_id"] for page in pages for row in page]
    assert [one[-1] for one in found] == list("876543210")


def test_an_address_that_takes_nothing_says_so(home):
    refused = Client(home)("/readyz?x=1", token=None)

    assert refused.status == 400
    assert json.loads(refused.body)["detail"].endswith("'x'. This address takes none.")


def test_behind_a_root_path_the_api_still_comes_before_the_pages(load_lines, home, monkeypatch):
    load_lines(*a_beta())
    client = Client(home)
    monkeypatch.setenv("TELEMETRY_HOME", str(home))

    async def pages(scope, receive, send):
        raise AssertionError(scope["path"])

    first = ApiFirst(pages)

    async def rooted(scope, receive, send):  # as uvicorn's --root-path has it
        await first({**scope, "root_path": "/foo", "path": f"/foo{scope['path']}"}, receive, send)

    assert ask(rooted, "/healthz").status == 200
    assert ask(rooted, "/api/kpi/all").status == 401
    headers = {"Authorization": f"Bearer {client.token}"}
    answered = ask(rooted, "/api/telemetry/errors?limit=1&span=90d", headers=headers)
    assert json.loads(answered.body)["meta"]["page"]["next"].startswith(
        "/foo/api/telemetry/errors?"
    )


def test_an_error_that_comes_in_between_moves_no_page(home, load_lines):
    load_lines(*a_beta())
    client = Client(home)
    first = client.get("/api/telemetry/errors?limit=10")
    load_lines(
        {"error_type": "New", "user_id_hash": "u"}
        | {"timestamp": (client.now - timedelta(days=1, hours=1)).isoformat()},
        name="more.jsonl",
    )

    second = client.get(first["meta"]["page"]["next"])

    seen = {row["event_id"] for row in first["data"]}
    assert not seen & {row["event_id"] for row in second["data"]}
    assert "New" not in {row["error_type"] for row in second["data"]}
    assert second["meta"]["page"]["total"] == first["meta"]["page"]["total"] + 1


def test_errors_are_found_by_group_severity_and_type(client):
    everything = client.get("/api/telemetry/errors?span=90d&limit=1000")["data"]
    one = everything[0]

    for name, column in (("group", "group_hash"), ("severity", "severity"), ("type", "error_type")):
        told = client.get(f"/api/telemetry/errors?span=90d&limit=1000&{name}={one[column]}")
        assert told["data"] == [row for row in everything if row[column] == one[column]]
    next_page = client.get(f"/api/telemetry/errors?span=90d&limit=1&type={one['error_type']}")
    assert parse_qs(urlsplit(next_page["meta"]["page"]["next"]).query)["type"] == [
        one["error_type"]
    ]


@pytest.mark.slow
def test_groups_of_errors_are_those_of_the_page(client, seen):
    pages = pages_of(client, "/api/telemetry/errors/groups?span=28d&limit=3")

    expected = seen("errors", "span=28d")["error_groups", ()]
    same(
        [row for page in pages for row in page],
        expected.sort("occurrences", "group_hash", descending=[True, False]),
    )


@pytest.mark.parametrize("cursor", ["!", "AAAA", "1", "~e1", "1e3~x", "%D9%A1~x", "9" * 15 + "~x"])
def test_a_cursor_nobody_gave_out_is_refused(client, cursor):
    told = client(f"/api/telemetry/errors?after={cursor}")

    assert told.status == 400
    assert told.json()["parameter"] == "after"


# --- who may see people ----------------------------------------------------------------------


def test_without_the_scope_people_errors_name_nobody(client):
    named = client.get("/api/telemetry/errors?span=90d")["data"]
    silent = client.get("/api/telemetry/errors?span=90d", token=client.make("read"))["data"]

    assert all(row["user_id_hash"] for row in named)
    assert (
        {row["user_id_hash"] for row in silent} == {row["session_id"] for row in silent} == {None}
    )
    assert [row["event_id"] for row in silent] == [row["event_id"] for row in named]


def test_closed_lists_of_people_are_closed_here_too(home, load_lines):
    load_lines(*a_beta())
    (home / "telemetry.toml").write_text("people_lists = false", "utf-8")
    client = Client(home)

    told = client("/api/telemetry/users/u0")

    assert (told.status, told.json()["setting"]) == (403, "people_lists")
    assert "people_lists = false" in told.json()["detail"]
    assert {row["user_id_hash"] for row in client.get("/api/telemetry/errors")["data"]} == {None}
    assert b"u0" not in client("/api/telemetry/export/csv").body
    assert client.get("/api/kpi/all")


@pytest.mark.parametrize("who", ["nobody", "%2e%2e", "b%00", "%F0%9F%98%80", "x" * 129, "a%20b"])
def test_somebody_unknown_is_not_found(client, who):
    from urllib.parse import unquote  # noqa: PLC0415 - a server hands over the path decoded

    told = client(f"/api/telemetry/users/{unquote(who)}")

    assert told.status == 404
    assert told.headers["content-type"] == "application/problem+json"


# --- the gate --------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", DATA, ids=lambda one: one.name)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nobody_gets_data_without_a_token(client, demo, endpoint, method):
    address = address_of(endpoint, demo)
    for token in (None, "", " ", "bts_x", f"bts_{'0' * 12}_{'0' * 64}"):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        told = ask(client.api, address, method=method, headers=headers)

        assert told.status == 401
        assert told.headers["www-authenticate"].startswith("Bearer")
        assert told.headers["content-type"] == "application/problem+json"
        assert (told.body == b"") == (method == "HEAD")


@pytest.mark.parametrize("endpoint", DATA, ids=lambda one: one.name)
def test_a_token_opens_only_what_its_scope_says(client, demo, endpoint):
    for scope in SCOPES:
        told = client(address_of(endpoint, demo), token=client.make(scope), method="HEAD")

        assert told.status == (200 if scope == endpoint.scope else 403)
        if told.status == 403:
            assert f'scope="{endpoint.scope}"' in told.headers["www-authenticate"]


def test_the_command_a_refusal_tells_of_makes_the_token_that_is_needed(client, capsys):
    for token in (None, client.make("read")):
        told = client("/metrics", token=token).json()
        [command] = re.findall(r"python -m ingest (token create [-\w ]+)", told["detail"])

        assert run_ingest(["--home", str(client.home), *command.split()]) == 0

    assert client("/metrics", token=capsys.readouterr().out.split()[-1]).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("Authorization", "Basic {token}")], id="basic"),
        pytest.param([("Authorization", "Bearer {token} extra")], id="more"),
        pytest.param([("Authorization", "Bearer {token}")] * 2, id="twice"),
        pytest.param([("Authorization", "{token}")], id="bare"),
        pytest.param([("X-Api-Key", "{token}")], id="another-header"),
        pytest.param([("Cookie", "token={token}")], id="cookie"),
        pytest.param([("Proxy-Authorization", "Bearer {token}")], id="proxy"),
        pytest.param([("Authorization", "Bearer {token}\x00")], id="nul"),
        pytest.param([("Authorization", "Bearer \xff\xfe")], id="latin"),
    ],
)
def test_a_token_counts_only_as_one_bearer_header(client, headers):
    filled = [(name, value.replace("{token}", client.token)) for name, value in headers]

    assert ask(client.api, "/api/kpi/all", headers=filled).status == 401


def test_a_token_in_the_address_opens_nothing(client):
    for name in ("token", "access_token", "api_key", "authorization"):
        told = client(f"/api/kpi/all?{name}={client.token}", token=None)
        assert told.status == 401
        assert client.token not in told.body.decode()


def test_expired_and_revoked_tokens_say_which(home, load_lines):
    load_lines(*a_beta())
    client = Client(home)
    brief = client.make("read", days=1)
    ended = client.make("read")
    tokens.revoke(home, ended.split("_")[1], now=client.now)

    assert "revoked" in client("/api/kpi/all", token=ended).json()["detail"]
    assert client("/api/kpi/all", token=brief).status == 200
    client.now += timedelta(days=1)
    assert "expired" in client("/api/kpi/all", token=brief).json()["detail"]


def test_a_use_is_noted(home, load_lines):
    load_lines(*a_beta())
    client = Client(home)

    client.get("/api/kpi/all")

    assert tokens.listed(home)[0].used_at == client.now.replace(microsecond=0)


def test_who_asks_too_often_has_to_wait_and_is_told_how_long(home, load_lines):
    load_lines(*a_beta())
    (home / "telemetry.toml").write_text("[limits]\napi_requests_per_minute = 3", "utf-8")
    client = Client(home)
    other = client.make("read")

    first = [client("/api/kpi/all") for _ in range(3)]
    fourth = client("/api/kpi/all")

    assert [one.status for one in first] == [200] * 3
    assert [one.headers["ratelimit-remaining"] for one in first] == ["2", "1", "0"]
    assert fourth.status == 429
    assert fourth.headers["content-type"] == "application/problem+json"
    assert fourth.headers["retry-after"] == "20"
    assert client("/api/kpi/all", token=other).status == 200
    client.clock_s += 20
    assert client("/api/kpi/all").status == 200
    assert client("/api/kpi/all").status == 429


def test_guessing_is_slowed_by_address_and_hurts_nobody_with_a_token(home, load_lines):
    load_lines(*a_beta())
    (home / "telemetry.toml").write_text("[limits]\napi_requests_per_minute = 3", "utf-8")
    client = Client(home)

    statuses = [client("/api/kpi/all", token=GUESS).status for _ in range(5)]
    forged = client("/api/kpi/all", token=None, headers={"X-Forwarded-For": "9.9.9.9"})

    assert statuses == [401, 401, 401, 429, 429]
    assert forged.status == 429  # no proxy is trusted, so the header changes nothing
    assert client("/api/kpi/all", token=None, peer="10.0.0.7").status == 401
    assert client("/api/kpi/all").status == 200


def test_only_a_trusted_proxy_says_who_is_behind_it():
    proxies = Server(trusted_proxies=("10.0.0.0/8", "::1"))

    assert server.client_address("1.2.3.4", "5.6.7.8", proxies) == "1.2.3.4"
    assert server.client_address("10.0.0.1", "6.6.6.6, 5.6.7.8", proxies) == "5.6.7.8"
    assert server.client_address("10.0.0.1", "5.6.7.8, 10.0.0.2", proxies) == "5.6.7.8"
    assert server.client_address("::1", "", proxies) == "::1"
    assert server.client_address("::1", "2001:db8:0:1:9::7", proxies) == "2001:db8:0:1::/64"
    assert server.client_address("2001:db8:0:1::8%eth0", "", Server()) == "2001:db8:0:1::/64"
    assert server.client_address("::ffff:1.2.3.4", "", Server()) == "::ffff:1.2.3.4"
    assert server.client_address("10.0.0.1", "nonsense", proxies) == "nonsense"
    assert server.client_address("", "5.6.7.8", Server()) == ""


def test_no_more_clients_are_remembered_than_the_limit():
    buckets = server.Buckets(clients_max=10)
    for number in range(100):
        buckets.take(str(number), per_minute=5, at_s=0.0)

    assert len(buckets) == 10


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "names", "says"),
    [
        ("spam=7d", "spam", "Did you mean span"),
        ("tier=fre", "tier", "free, trial, paid, enterprise"),
        ("channel=mcp", "channel", "server, extension, web"),
        ("span=1y", "span", "24h, 7d, 28d"),
        ("span=", "span", "1 to 200"),
        ("from=2026-02-01", "to", "both from and to"),
        ("from=2026-02-30&to=2026-03-01", "from", "2026-03-01"),
        ("from=20260201&to=2026-03-01", "from", "a day such as"),
        ("span=custom", "", "both from and to"),
        ("span=7d&from=2026-02-01&to=2026-02-02", "from", "span=custom"),
        ("from=1920-01-01&to=2026-02-02", "", "longer than"),
        ("span=24h&until=yesterday", "until", "an instant"),
        ("span=7d&until=2026-02-01T00:00:00Z", "until", "24h or custom"),
        ("timezone=Berlin", "timezone", "Europe/Berlin"),
        ("timezone=../../etc/passwd", "timezone", "IANA"),
        ("complete=maybe", "complete", "true or false"),
        ("where=ide", "where", "key:value"),
        ("span=7d&span=28d", "span", "Give it once"),
        ("week_starts_on=friday", "week_starts_on", "monday, sunday"),
        ("span=24h&until=9999-12-31T23:59:59Z", "", "until"),
        ("from=0001-01-02&to=0001-01-03", "", "calendar"),
        ("tier=" + "x" * 201, "tier", "1 to 200"),
        ("&".join(f"event=e{n}" for n in range(201)), "event", "at most 200"),
        ("a[b]=c", "a[b]", "no parameter"),
        ("tier%00=free", "tier\x00", "no parameter"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_can(client, query, names, says):
    told = client(f"/api/kpi/all?{query}")

    assert told.status == 400, told.body
    assert says in told.json()["detail"] or says in str(told.json())
    if names:
        assert told.json()["parameter"] == names


def test_a_segment_nobody_saved_is_not_found(client, demo):
    save_segment(demo, "internal", users=["u0"])

    told = client("/api/kpi/all?segment=interna")

    assert told.status == 404
    assert told.json()["suggestions"] == ["internal"]
    assert client("/api/kpi/all?segment=not internal".replace(" ", "%20")).status == 200


@pytest.mark.parametrize(
    ("limit", "status"),
    [("0", 400), ("1001", 400), ("-1", 400), ("1e3", 400), ("%D9%A1", 400), ("1000", 200)],
)
def test_pages_have_a_limit(client, limit, status):
    assert client(f"/api/telemetry/errors?limit={limit}").status == status


def test_the_limit_of_a_page_is_the_team_s(home, load_lines):
    load_lines(*a_beta())
    (home / "telemetry.toml").write_text("[limits]\napi_page_rows = 5", "utf-8")
    client = Client(home)

    assert client("/api/telemetry/errors?limit=6").status == 400
    assert len(client.get("/api/telemetry/errors")["data"]) == 5


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("/api/" + "x" * 2_001, {}, 414),
        ("/api/kpi/all?tier=" + "x" * 20_001, {}, 414),
        ("/api/kpi/all", {"X-Large": "x" * 17_000}, 431),
        ("/healthz?" + "x" * 20_001, {}, 414),
        ("/api/kpi/all?" + "&".join(f"e{n}" for n in range(2_000)), {}, 400),
    ],
)
def test_what_is_too_large_is_refused_as_such(client, address, headers, status):
    told = client(address, headers=headers)

    assert (told.status, told.json()["status"]) == (status, status)


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/kpi", "/api/kpi/", "/api/kpi/all/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_under_api_what_is_not_there_is_a_problem_and_no_page(client, path, method):
    told = client(path, method=method, token=None)

    assert told.status == 404
    assert told.headers["content-type"] == "application/problem+json"


def test_a_near_path_is_suggested(client):
    assert "/api/kpi/dau-wau" in client("/api/kpi/dau_wau").json()["suggestions"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "BREW"])
@pytest.mark.parametrize("endpoint", TABLE, ids=lambda one: one.name)
def test_everything_is_only_read(client, demo, endpoint, method):
    told = client(address_of(endpoint, demo), method=method)

    assert told.status == 405
    assert told.headers["allow"] == "GET, HEAD, OPTIONS"
    assert told.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("endpoint", TABLE, ids=lambda one: one.name)
def test_options_says_what_is_allowed_and_opens_no_other_site(client, demo, endpoint):
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    for method in ("OPTIONS", "GET"):
        told = client(address_of(endpoint, demo), method=method, headers=asked)
        assert not [name for name in told.headers if name.startswith("access-control")]
        assert told.status == (204 if method == "OPTIONS" else 200)


@pytest.mark.parametrize("endpoint", TABLE, ids=lambda one: one.name)
def test_head_is_get_without_the_body(client, demo, endpoint):
    address = address_of(endpoint, demo)
    got, head = client(address), client(address, method="HEAD")

    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    if endpoint.name not in ("export_csv", "metrics"):
        assert int(head.headers["content-length"]) == len(got.body)


def test_answers_may_be_kept_by_nobody_and_sniffed_by_nothing(client):
    for address in ("/api/kpi/all", "/api/nothing", "/metrics"):
        told = client(address)
        assert told.headers["cache-control"] == "private, no-store"
        assert told.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in told.headers["content-security-policy"]


def test_a_fault_of_ours_is_told_by_name_and_logged_whole(client, monkeypatch, caplog):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(reader.Reader, "frame", broken)
    told = client("/api/kpi/all")

    assert told.status == 500
    assert "secret" not in told.body.decode()
    assert told.json()["id"] in caplog.text
    assert "secret detail" in caplog.text
    assert client.token not in caplog.text


def test_the_log_names_no_person_whose_answer_was_taken_too_slowly(demo, caplog):
    client = Client(demo, stall_s=0.01)
    headers = {"Authorization": f"Bearer {client.token}"}

    async def taken_by_nobody(_: dict[str, Any]) -> None:
        await anyio.sleep_forever()

    scope = scope_of("/api/telemetry/users/the-hash-of-ada", headers=headers)
    anyio.run(client.api, scope, anyio.sleep_forever, taken_by_nobody)

    assert "ended: /api/telemetry/users/{user_id_hash}" in caplog.text
    assert "the-hash-of-ada" not in caplog.text


def test_an_export_that_breaks_is_no_half_file(client, monkeypatch, caplog):
    def broken(*_: object, **__: object) -> None:
        yield from ()
        raise OSError("No space left on device")

    monkeypatch.setattr(rows.export, "chunks", broken)
    told = client("/api/telemetry/export/csv")

    assert (told.status, told.headers["content-type"]) == (500, "application/problem+json")
    assert "No space left" in caplog.text


def test_without_telemetry_it_says_what_to_do(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    client = Client(home)
    assert client.get("/api/kpi/all")["data"]["dau"]["value"] == 0
    assert client.get("/api/telemetry/errors")["data"] == []

    client.api._home = lambda: str(tmp_path / "gone")
    client.api._check = lambda *_: server.Presented(server.Holder("x", tuple(SCOPES)))
    told = client("/api/kpi/all")

    assert told.status == 503
    assert "python -m ingest demo" in told.json()["detail"]
    assert client("/readyz").status == 503
    assert str(tmp_path) not in client("/readyz").body.decode()
    assert client("/healthz").status == 200
    assert b"betascope_readable 0" in client("/metrics").body


# --- rows ------------------------------------------------------------------------------------


def test_readers_who_take_nothing_hold_up_few_exports_and_not_for_long(
    demo, caplog, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    client = Client(demo, stall_s=0.5)
    export, headers = "/api/telemetry/export/csv", {"Authorization": f"Bearer {client.token}"}
    statuses: list[int] = []

    async def stuck() -> None:
        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            elif statuses[-1] == 200:
                await anyio.sleep_forever()

        await client.api(scope_of(export, headers=headers), anyio.sleep_forever, send)

    async def several() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(server.STREAMS_MAX + 2):
                group.start_soon(stuck)

    left = []

    async def until_all_are_cut_off() -> None:
        await several()
        left.extend(tmp_path.iterdir())  # while the server still runs

    anyio.run(until_all_are_cut_off)

    assert not left
    assert sorted(statuses) == [200] * server.STREAMS_MAX + [503] * 2
    assert caplog.text.count("taken too slowly") == server.STREAMS_MAX
    assert client(export).status == 200


@pytest.mark.parametrize("table", ["events", "errors", "traces"])
def test_an_export_holds_every_row_of_the_question(client, demo, table):
    told = client(f"/api/telemetry/export/csv?table={table}&from=2026-02-01&to=2026-02-28")
    frame = pl.read_csv(told.body, infer_schema=False)
    filters = data_access.Filters.from_query("span=custom&from=2026-02-01&to=2026-02-28")
    expected = (
        data_access.scan(table, demo, filters=filters).filter(filters.window.contains()).collect()
    )

    assert told.headers["content-type"] == "text/csv; charset=utf-8"
    assert told.headers["x-rows"] == told.headers["x-total-rows"] == str(expected.height)
    assert told.headers["x-truncated"] == "false"
    assert expected.height > 10
    assert_frame_equal(frame.select("event_id"), expected.select("event_id"), check_row_order=False)
    assert frame.columns == expected.columns


def test_an_export_that_is_cut_says_so(home, load_lines):
    load_lines(*a_beta())
    (home / "telemetry.toml").write_text("[limits]\nexport_rows = 3", "utf-8")

    told = Client(home)("/api/telemetry/export/csv")

    assert told.headers["x-truncated"] == "true"
    assert told.headers["x-rows"] == "3"
    assert int(told.headers["x-total-rows"]) > 100
    assert pl.read_csv(told.body, infer_schema=False).height == 3


def test_an_export_runs_no_formula(home, load_lines):
    load_lines(
        {"event_name": "=cmd|' /C calc'!A0", "user_id_hash": "-u", "release": "+1"}
        | {"timestamp": "2026-02-01T10:00:00Z"}
    )

    told = Client(home)("/api/telemetry/export/csv?from=2026-02-01&to=2026-02-01")
    [row] = pl.read_csv(told.body, infer_schema=False).to_dicts()

    assert row["event_name"].startswith("'=")
    assert row["user_id_hash"] == "'-u"
    assert row["release"] == "'+1"


# --- Prometheus ------------------------------------------------------------------------------


def test_prometheus_reads_both_formats_and_finds_the_kpis(client):
    kpis = client.get("/api/kpi/all")["data"]
    client("/api/kpi/none")

    plain = client("/metrics")
    told = {one.name: one for one in read_plain(plain.body.decode())}
    opened = client("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    again = {one.name: one for one in read_openmetrics(opened.body.decode())}

    assert opened.headers["content-type"].startswith("application/openmetrics-text")
    assert set(told) == set(again)
    users = {one.labels["days"]: one.value for one in told["betascope_active_users"].samples}
    assert users == {"1": kpis["dau"]["value"], "7": kpis["wau"]["value"]} | {
        "30": kpis["mau"]["value"]
    }
    rates = {one.labels["kpi"]: one.value for one in told["betascope_kpi_ratio"].samples}
    assert rates["error_rate"] == pytest.approx(kpis["error_rate"]["value"])
    requests = told["betascope_api_requests"].samples
    assert any(one.labels == {"endpoint": "unknown", "status": "404"} for one in requests)
    assert told["betascope_problems"].samples[0].labels["kind"] in prometheus.KINDS_OF_PROBLEMS
    assert told["process_resident_memory_bytes"].samples[0].value > 10**6


# --- the description -------------------------------------------------------------------------


def test_the_description_names_every_endpoint_and_is_open(client):
    told = client.get("/api/openapi.json", token=None)

    assert set(told["paths"]) == {one.path for one in TABLE}
    for endpoint in TABLE:
        operation = told["paths"][endpoint.path]["get"]
        assert operation["security"] == ([{"token": []}] if endpoint.scope else [])
        known = {one["name"] for one in operation["parameters"] if one["in"] == "query"}
        assert known == {one.name for one in endpoint.parameters}
    assert "not_netted" not in json.dumps(told)
    assert told["info"]["version"] == server.RELEASE


def test_the_page_of_the_description_needs_nothing_from_elsewhere(client):
    told = client("/api/docs", token=None)

    text = told.body.decode()
    assert told.headers["content-type"] == "text/html; charset=utf-8"
    assert all(one.path in text for one in TABLE)
    for part in ("<script", "http://", "https://", "src="):
        assert part not in text


def test_the_release_is_that_of_the_project():
    import tomllib  # noqa: PLC0415 - only here
    from pathlib import Path  # noqa: PLC0415

    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["version"] == server.RELEASE


def test_frames_are_kept_within_their_limits():
    kept = reader.Frames(most=3, bytes_max=1_000)
    for number in range(10):
        kept.keep(number, pl.DataFrame({"a": [number]}))
    kept.keep("large", pl.DataFrame({"a": list(range(1_000))}))

    assert [number for number in range(10) if kept.get(number) is not None] == [7, 8, 9]
    assert kept.get("large") is None
