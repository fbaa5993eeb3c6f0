"""The one table of endpoints: routes, rights, parameters and the OpenAPI document come from it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from data_access.api import answers, schemas
from data_access.api.answers import KPIS, Answerer
from data_access.api.query import LIMIT_DEFAULT, PAGE, Parameter, one_of, text, whole
from data_access.api.schemas import NUMBER, TEXT, WHOLE, Schema, envelope, row, rows
from data_access.filters import VALUE_CHARS_MAX
from ingest.vocabulary import USER_CHARS_MAX, EventSeverity

if TYPE_CHECKING:
    from collections.abc import Mapping

SKIP_MAX: Final = 1_000_000
TABLES: Final = ("events", "errors", "traces", "sessions")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint.

    Attributes
    ----------
    scope : what a token needs to be let in; empty for everybody.
    answer : how the data comes about; None where the server has a way of its own.
    schema : of the whole answer.
    metrics : whose definitions belong to its description.
    own : its parameters beside those of every page.
    pages : whether it takes the pages' query string at all.
    """

    path: str
    name: str
    summary: str
    scope: str
    schema: Schema
    answer: Answerer | None = None
    says: str = ""
    metrics: tuple[str, ...] = ()
    own: tuple[Parameter, ...] = ()
    pages: bool = True
    media: str = "application/json"
    in_path: Mapping[str, Schema] = field(default_factory=dict)
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(self.path))
        object.__setattr__(self, "pattern", re.compile(pattern))

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Every parameter of its query string."""
        return (*self.own, *PAGE) if self.pages else self.own


_CURSOR: Final = re.compile(rf"-?[0-9]{{1,14}}{answers.CURSOR_JOIN}", re.ASCII)
_AFTER: Final = Parameter(
    "after",
    "Where the page before ended: out of its `next`.",
    {"type": "string", "maxLength": VALUE_CHARS_MAX, "pattern": f"^{_CURSOR.pattern}"},
    lambda one: None if _CURSOR.match(one) else "what `next` of the page before says",
)
_LIMIT: Final = "How many rows at most."
_PAGING: Final = {
    "page": schemas.strict(
        {
            "limit": WHOLE,
            "total": WHOLE | {"description": "Rows of all pages."},
            "next": {
                "type": ["string", "null"],
                "description": "The address of the next page; null on the last one.",
            },
        }
    )
}
_CUT: Final = {
    "cut": {
        "type": "object",
        "additionalProperties": WHOLE,
        "description": "Tables that have more rows than may be told at once, and how many they "
        "have; of names out of the data the most frequent are told.",
    }
}
_KPI_ROW: Final = {name: kind for name, kind in schemas.columns("kpis").items() if name != "kpi"}


def _kpi(name: str) -> Schema:
    before = schemas.maybe(schemas.strict(_KPI_ROW)) | {
        "description": "The same over the period before, with `compare=true`; null before the "
        "first data."
    }
    one = {
        "type": "object",
        "properties": _KPI_ROW | {"before": before},
        "required": list(_KPI_ROW),
        "additionalProperties": False,
    }
    return envelope(schemas.strict(dict.fromkeys(KPIS[name], one)))


def _limited(most: int) -> Parameter:
    return whole("limit", _LIMIT, least=1, most=most, default=min(LIMIT_DEFAULT, most))


_KPI_SAYS: Final = {
    "cdr": "How much sessions, and people, depend on contexts",
    "resurrection": "How many dormant people came back, and how many of them through a context",
    "dau-wau": "Daily, weekly and monthly active people on the last day, and stickiness",
    "paid-conversion": "Who converted to paying, out of whom; cancellations beside it",
    "all": "Every KPI",
}


def table(*, page_rows: int) -> tuple[Endpoint, ...]:
    """Return every endpoint, in the order of the documentation.

    `page_rows` is how many rows a page may have: limits.api_page_rows.
    """
    kpis = tuple(
        Endpoint(
            f"/api/kpi/{name}",
            f"kpi_{name.replace('-', '_')}",
            _KPI_SAYS[name],
            "read",
            _kpi(name),
            answers.kpi(name),
            metrics=("kpis",),
        )
        for name in KPIS
    )
    return (*_telemetry(page_rows), *kpis, *_others())


def _telemetry(page_rows: int) -> tuple[Endpoint, ...]:
    return (
        Endpoint(
            "/api/telemetry/overview",
            "overview",
            "The Overview page: active people, sessions, errors, speed, what changed",
            "read",
            envelope(_overview(), **_CUT),
            answers.overview,
            metrics=(
                *("kpis", "active_users", "hourly", "activity", "movers", "tiers", "latency"),
                *("releases", "incidents"),
            ),
        ),
        Endpoint(
            "/api/telemetry/mcp/summary",
            "mcp_summary",
            "The MCP server: its tools, tokens saved, suggestions accepted, searches",
            "read",
            envelope(_mcp(), **_CUT),
            answers.mcp_summary,
            metrics=("tools", "token_savings", "reference_acceptance", "rag", "ontology"),
        ),
        Endpoint(
            "/api/telemetry/mcp/tools",
            "mcp_tools",
            "The MCP server's tools, most called first",
            "read",
            envelope(rows("tools"), **_CUT),
            answers.mcp_tools,
            metrics=("tools",),
        ),
        Endpoint(
            "/api/telemetry/extension/summary",
            "extension_summary",
            "The editor extension: installs, use, editors, interactions, failures",
            "read",
            envelope(_extension(), **_CUT),
            answers.extension_summary,
            metrics=(
                *("extension_installs", "extension_funnel", "extension_activation"),
                *("by_property", "interactions", "code_insertions", "context_switches"),
                *("session_lengths", "extension_sessions", "extension_failures"),
            ),
        ),
        Endpoint(
            "/api/telemetry/users/{user_id_hash}",
            "user",
            "One person: who they are, what they did, met and waited for",
            "people",
            envelope(_user(), **_CUT),
            answers.user,
            says="Closed where `people_lists = false` in telemetry.toml.",
            metrics=(
                *("users", "user_tiers", "user_sessions", "user_tools", "user_errors"),
                *("user_latency", "user_timeline"),
            ),
            own=(_limited(page_rows),),
            in_path={"user_id_hash": {"type": "string", "maxLength": USER_CHARS_MAX}},
        ),
        Endpoint(
            "/api/telemetry/errors",
            "errors",
            "Single errors, newest first, page by page",
            "read",
            envelope(rows("error_occurrences"), **_PAGING),
            answers.errors,
            says="Follow `meta.page.next` (also in the Link header) until it is null: pages "
            "neither repeat nor leave out a row when new errors come in meanwhile. Without the "
            "scope `people`, and where `people_lists = false`, nobody is named: user_id_hash and "
            "session_id are null.",
            metrics=("error_occurrences",),
            own=(
                _limited(page_rows),
                _AFTER,
                text("group", "Errors of this group only, by its group_hash."),
                one_of(
                    "severity",
                    tuple(one.value for one in EventSeverity),
                    "Errors of these severities only.",
                    many=True,
                ),
                text("type", "Errors of these types only.", many=True),
            ),
        ),
        Endpoint(
            "/api/telemetry/errors/groups",
            "error_groups",
            "Groups of errors, most frequent first, page by page",
            "read",
            envelope(rows("error_groups"), **_PAGING),
            answers.error_groups,
            metrics=("error_groups",),
            own=(
                _limited(page_rows),
                whole("skip", "How many groups to leave out.", least=0, most=SKIP_MAX, default=0),
            ),
        ),
        Endpoint(
            "/api/telemetry/export/csv",
            "export_csv",
            "The rows behind the numbers, as CSV",
            "export",
            {"type": "string"},
            says="The rows of one table inside the window and under the filters, streamed. "
            "`X-Rows` says how many there are, `X-Total-Rows` how many there would be, "
            "`X-Truncated` whether limits.export_rows cut them. Text that a spreadsheet would "
            "take for a formula gets an apostrophe in front. Where `people_lists = false`, the "
            "columns user_id_hash and session_id are left out.",
            own=(one_of("table", TABLES, "Which rows; `events` when left out."),),
            media="text/csv",
        ),
    )


def _others() -> tuple[Endpoint, ...]:
    status = schemas.strict({"status": TEXT})
    return (
        Endpoint(
            "/api/openapi.json",
            "openapi",
            "This description",
            "",
            {"type": "object"},
            pages=False,
        ),
        Endpoint(
            "/api/docs",
            "docs",
            "This description, for people",
            "",
            {"type": "string"},
            pages=False,
            media="text/html",
        ),
        Endpoint(
            "/metrics",
            "metrics",
            "KPIs, freshness and the server's own counts, for Prometheus",
            "metrics",
            {"type": "string"},
            says="The KPIs are those of the last 28 days that are over. OpenMetrics where the "
            "Accept header asks for it.",
            pages=False,
            media="text/plain",
        ),
        Endpoint("/healthz", "healthz", "Whether the process answers", "", status, pages=False),
        Endpoint(
            "/readyz",
            "readyz",
            "Whether the telemetry can be read; 503 when not",
            "",
            status,
            pages=False,
        ),
    )


def _overview() -> Schema:
    names = ("dau_users", "wau_users", "mau_users", "sessions", "error_rate", "events", "failures")
    headline = dict.fromkeys((*names, "duration_ms_p50", "duration_ms_p95"), NUMBER)
    text_or_null = {"type": ["string", "null"]}
    return schemas.strict(
        {
            "headline": schemas.strict(headline),
            "daily_active": rows("active_users"),
            "weekly_active": rows("active_users"),
            "monthly_active": rows("active_users"),
            "last_24_hours": rows("hourly"),
            "events_by_channel": rows("activity", channel=text_or_null),
            "what_changed": rows("movers"),
            "people_by_tier": rows("tiers"),
            "releases": rows("releases"),
            "incidents": rows("incidents"),
        }
    )


def _mcp() -> Schema:
    names = ("tools", "calls", "failures", "error_rate", "savings_rate", "acceptance_rate")
    headline = dict.fromkeys((*names, "empty_searches_rate"), NUMBER)
    return schemas.strict(
        {
            "headline": schemas.strict(headline),
            "server_events_by_day": rows("activity", channel={"type": ["string", "null"]}),
            "tools": rows("tools"),
            "token_savings_by_day": rows("token_savings"),
            "reference_acceptance_by_day": rows("reference_acceptance"),
            "searches_by_day": rows("rag"),
            "ontology": rows("ontology"),
        }
    )


def _extension() -> Schema:
    headline = dict.fromkeys(("installed_users", "seconds_per_day", "failure_rate"), NUMBER)
    return schemas.strict(
        {
            "headline": schemas.strict(headline),
            "funnel": rows("extension_funnel"),
            "newcomers_by_week": rows("extension_activation"),
            "editors": rows("by_property"),
            "interactions": rows("interactions"),
            "code_insertions_by_day": rows("code_insertions"),
            "context_switches_by_day": rows("context_switches"),
            "session_lengths": rows("session_lengths"),
            "sessions_by_day": rows("extension_sessions"),
            "failures_by_day": rows("extension_failures"),
        }
    )


def _user() -> Schema:
    tables = ("tiers", "sessions", "tools", "errors", "latency", "timeline")
    return schemas.strict({"user": row("users")} | {name: rows(f"user_{name}") for name in tables})
