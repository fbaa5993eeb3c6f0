"""What each endpoint answers: which metrics, with which options, as which JSON.

The options are those of the cells on the pages, so that a number here is the number there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlencode

import polars as pl

from data_access.api.problem import Refused, bad_value, shown
from data_access.compute import compute
from data_access.config import PEOPLE_COLUMNS
from data_access.metrics import METRICS
from ingest.vocabulary import USER_CHARS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from data_access.api.query import Query
    from data_access.api.reader import Reader
    from data_access.window import Window

SERVER: Final = "server"
EXTENSION: Final = "extension"
EDITORS_MAX: Final = 10  # as many as the page has bars
CURSOR_JOIN: Final = "~"

KPIS: Final[dict[str, tuple[str, ...]]] = {
    "cdr": ("cdr", "cdr_users"),
    "resurrection": ("resurrection", "resurrection_by_context"),
    "dau-wau": ("dau", "wau", "mau", "stickiness"),
    "paid-conversion": ("paid_conversion", "cancellations"),
    "all": (
        *("cancellations", "cdr", "cdr_users", "dau", "error_rate", "mau", "paid_conversion"),
        *("resurrection", "resurrection_by_context", "stickiness", "wau"),
    ),
}


@dataclass(frozen=True, slots=True)
class Asking:
    """One request, understood: the data, the query, what the path names, and what may be told."""

    reader: Reader
    query: Query
    path: str
    named: Mapping[str, str]
    may_see_people: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes the answer's JSON: `more` are further fields of meta, `next` the next page."""

    data: Any
    metrics: tuple[str, ...]
    rows: int = 1
    more: dict[str, Any] = field(default_factory=dict)
    next: str = ""
    notes: tuple[str, ...] = ()


Answerer: TypeAlias = "Callable[[Asking], Answer]"


def dicts(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return a frame's rows as JSON values."""
    return frame.to_dicts()


class Largest:
    """Takes tables whose rows are names out of the data, which nobody limits, and cuts them.

    What is left are the rows with most of something, in their own order; `cut` says how many there
    are of each table that lost some.
    """

    def __init__(self, reader: Reader) -> None:
        self._most = reader.settings.limits.api_page_rows
        self.cut: dict[str, int] = {}

    def __call__(self, name: str, frame: pl.DataFrame, *, by: str) -> list[dict[str, Any]]:
        """Return the rows of a table as JSON values, those with most `by` where there are many."""
        if frame.height > self._most:
            self.cut[name] = frame.height
            frame = (
                frame.with_row_index("_place")
                .sort(by, "_place", descending=[True, False], nulls_last=True)
                .head(self._most)
                .sort("_place")
                .drop("_place")
            )
        return dicts(frame)


def counted(data: dict[str, Any]) -> int:
    """Return how many rows the tables of an answer have together."""
    return sum(len(value) for value in data.values() if isinstance(value, list))


# --- KPIs ------------------------------------------------------------------------------------


def kpi(name: str) -> Answerer:
    """Answer with some of the KPIs, each with what it was divided by."""

    def answer(asking: Asking) -> Answer:
        now = _kpis(asking.reader)
        compare = asking.query.flag("compare", default=False)
        past = asking.reader.before() if compare else None
        before = _kpis(asking.reader, past) if past is not None else {}
        data = {
            one: now[one] | ({"before": before.get(one)} if compare else {}) for one in KPIS[name]
        }
        return Answer(data, ("kpis",), rows=len(data))

    return answer


def _kpis(reader: Reader, window: Window | None = None) -> dict[str, dict[str, Any]]:
    frame = reader.frame("kpis", window=window)
    return {row.pop("kpi"): row for row in dicts(frame)}


# --- the five pages --------------------------------------------------------------------------


def overview(asking: Asking) -> Answer:
    """Answer with the cells of the Overview page."""
    reader = asking.reader
    largest = Largest(reader)
    numbers = _kpis(reader)
    waits = dicts(reader.frame("latency", by=()))
    headline = {f"{one}_users": numbers[one]["value"] for one in ("dau", "wau", "mau")}
    headline |= {
        "sessions": _sessions(reader, numbers["cdr"]["denominator"]),
        "error_rate": numbers["error_rate"]["value"],
        "events": numbers["error_rate"]["denominator"],
        "failures": numbers["error_rate"]["numerator"],
    }
    headline |= {
        f"duration_ms_p{level}": waits[0][f"duration_ms_p{level}"] if waits else None
        for level in (50, 95)
    }
    data = {
        "headline": headline,
        "daily_active": dicts(reader.frame("active_users")),
        "weekly_active": dicts(reader.frame("active_users", days=7)),
        "monthly_active": dicts(reader.frame("active_users", days=30)),
        "last_24_hours": dicts(reader.frame("hourly", window=reader.last_24_hours())),
        "events_by_channel": dicts(reader.frame("activity", by=("channel",))),
        "what_changed": largest("what_changed", reader.frame("movers"), by="events"),
        "people_by_tier": largest("people_by_tier", reader.frame("tiers"), by="events"),
        "releases": largest("releases", reader.frame("releases"), by="events"),
        "incidents": dicts(reader.frame("incidents", **reader.incidents)),
    }
    used = (
        *("kpis", "sessions", "latency", "active_users", "hourly", "activity", "movers"),
        *("tiers", "releases", "incidents"),
    )
    return Answer(data, used, rows=counted(data), more={"cut": largest.cut})


def _sessions(reader: Reader, named: float | None) -> float:
    """Return the sessions: by their id, or by pauses where no event names one."""
    return named or float(reader.frame("sessions")["weight"].sum())


def mcp_summary(asking: Asking) -> Answer:
    """Answer with what the server's tools do and bring: the Features page, and its channel."""
    reader = asking.reader
    largest = Largest(reader)
    tools, savings = reader.frame("tools"), reader.frame("token_savings")
    accepted, searches = reader.frame("reference_acceptance"), reader.frame("rag")
    by_channel = reader.frame("activity", by=("channel",))
    headline = {
        "tools": tools.height,
        "calls": _sum(tools, "calls"),
        "failures": _sum(tools, "failures"),
        "error_rate": _share(tools, "failures", "calls"),
        "savings_rate": _share(savings, "saved_tokens", "before_tokens"),
        "acceptance_rate": _share(accepted, "accepted", "answered"),
        "empty_searches_rate": _share(searches, "empty", "counted"),
    }
    data = {
        "headline": headline,
        "server_events_by_day": dicts(by_channel.filter(pl.col("channel") == SERVER)),
        "tools": largest("tools", _most_called(tools), by="calls"),
        "token_savings_by_day": dicts(savings),
        "reference_acceptance_by_day": dicts(accepted),
        "searches_by_day": dicts(searches),
        "ontology": largest("ontology", reader.frame("ontology"), by="events"),
    }
    used = ("tools", "token_savings", "reference_acceptance", "rag", "activity", "ontology")
    return Answer(data, used, rows=counted(data), more={"cut": largest.cut})


def mcp_tools(asking: Asking) -> Answer:
    """Answer with the table of tools of the Features page, most called first."""
    largest = Largest(asking.reader)
    rows = largest("tools", _most_called(asking.reader.frame("tools")), by="calls")
    return Answer(rows, ("tools",), rows=len(rows), more={"cut": largest.cut})


def _most_called(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort("calls", "tool", descending=[True, False])


def extension_summary(asking: Asking) -> Answer:
    """Answer with the cells of the Extension page."""
    reader = asking.reader
    largest = Largest(reader)
    weeks = reader.weeks()
    use = reader.frame("extension_sessions", every=None)
    failures = reader.frame("extension_failures")
    wrong = _sum(failures, "failures") + _sum(failures, "timeouts")
    events = _sum(failures, "events")
    editors = reader.frame(
        "by_property",
        key="ide",
        most=EDITORS_MAX,
        least_users=reader.settings.group_users_min,
        channels=(EXTENSION,),
        event=None,
    )
    data = {
        "headline": {
            "installed_users": _sum(reader.frame("extension_installs"), "weight"),
            "seconds_per_day": use["seconds_per_day"][0] if use.height else None,
            "failure_rate": wrong / events if events else None,
        },
        "funnel": dicts(reader.frame("extension_funnel", window=weeks)),
        "newcomers_by_week": dicts(reader.frame("extension_activation", window=weeks)),
        "editors": dicts(editors),
        "interactions": largest("interactions", reader.frame("interactions"), by="events"),
        "code_insertions_by_day": dicts(reader.frame("code_insertions")),
        "context_switches_by_day": dicts(reader.frame("context_switches")),
        "session_lengths": dicts(reader.frame("session_lengths")),
        "sessions_by_day": dicts(reader.frame("extension_sessions")),
        "failures_by_day": dicts(failures),
    }
    used = (
        *("extension_installs", "extension_funnel", "extension_activation", "by_property"),
        *("interactions", "code_insertions", "context_switches", "session_lengths"),
        *("extension_sessions", "extension_failures"),
    )
    notes: tuple[str, ...] = ()
    if weeks != reader.window:
        last = weeks.end - timedelta(days=1)
        span = f"{weeks.start.isoformat()} to {last.isoformat()}"
        notes = (f"funnel and newcomers_by_week look at twelve weeks, {span}.",)
    return Answer(data, used, rows=counted(data), more={"cut": largest.cut}, notes=notes)


def user(asking: Asking) -> Answer:
    """Answer with one person, as the Users page shows them."""
    reader, who = asking.reader, asking.named["user_id_hash"]
    limit = asking.query.number("limit")
    found = pl.DataFrame()
    if 0 < len(who) <= USER_CHARS_MAX:
        everybody = reader.frame("users", prefix=who, everybody=True)
        found = everybody.filter(pl.col("user_id_hash") == who)
    if found.is_empty():
        raise Refused(
            HTTPStatus.NOT_FOUND,
            f"Nobody here has the hash {shown(who)}, under these filters. Give the whole hash, or "
            "fewer filters.",
        )
    tables = {
        name: reader.frame(f"user_{name}", user=who)
        for name in ("tiers", "sessions", "tools", "errors", "latency")
    }
    tables["timeline"] = reader.frame("user_timeline", user=who, limit=limit)
    total = reader.frame("user_rows", user=who)
    cut = {name: frame.height for name, frame in tables.items() if frame.height > limit}
    rows = int(total["rows"].sum())
    if rows > limit:
        cut["timeline"] = rows
    data: dict[str, Any] = {"user": dicts(found)[0]}
    data |= {name: dicts(frame.head(limit)) for name, frame in tables.items()}
    return Answer(
        data,
        ("users", *(f"user_{name}" for name in tables)),
        rows=counted(data),
        more={"cut": cut},
    )


# --- errors, page by page --------------------------------------------------------------------


def errors(asking: Asking) -> Answer:
    """Answer with single errors, newest first, one page of them."""
    reader, query = asking.reader, asking.query
    rows = compute(
        METRICS["error_occurrences"], reader.filters, reader.home, group=query.one("group")
    )
    for name, column in (("severity", "severity"), ("type", "error_type")):
        if query.values.get(name):
            rows = rows.filter(pl.col(column).is_in(query.values[name]))
    limit = query.number("limit")
    rest = rows
    after = query.one("after")
    if after is not None:
        rest = rows.filter(_beyond(after))
    total, page = pl.collect_all([rows.select(pl.len()), rest.head(limit + 1)])
    more = page.height > limit
    page = page.head(limit)
    following = _next(asking, page, limit) if more else ""
    if not asking.may_see_people:
        nobody = [pl.lit(None, pl.String).alias(name) for name in PEOPLE_COLUMNS]
        page = page.with_columns(nobody)
    paging = {"limit": limit, "total": int(total.item()), "next": following or None}
    return Answer(
        dicts(page), ("error_occurrences",), page.height, {"page": paging}, next=following
    )


def error_groups(asking: Asking) -> Answer:
    """Answer with the groups of the Errors page, most frequent first, one page of them."""
    found = asking.reader.frame("error_groups").sort(
        "occurrences", "group_hash", descending=[True, False]
    )
    limit = asking.query.number("limit")
    skip = asking.query.number("skip")
    page = found.slice(skip, limit)
    following = ""
    if skip + limit < found.height:
        following = _link(asking, {"limit": str(limit), "skip": str(skip + limit)})
    paging = {"limit": limit, "total": found.height, "next": following or None}
    return Answer(dicts(page), ("error_groups",), page.height, {"page": paging}, next=following)


def _beyond(cursor: str) -> pl.Expr:
    """Return the predicate "comes after that row, newest first" of a cursor."""
    millis, _, event_id = cursor.partition(CURSOR_JOIN)
    try:
        moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(millis))
    except (ValueError, OverflowError):
        raise bad_value("after", cursor, "what `next` of the page before says") from None
    at = pl.lit(moment).cast(pl.Datetime("ms", "UTC"))
    same = pl.col("timestamp") == at
    return (pl.col("timestamp") < at) | (same & (pl.col("event_id") < event_id))


def _next(asking: Asking, page: pl.DataFrame, limit: int) -> str:
    last = page.row(page.height - 1, named=True)
    millis = page["timestamp"].dt.epoch("ms")[-1]
    cursor = f"{millis}{CURSOR_JOIN}{last['event_id'] or ''}"
    return _link(asking, {"limit": str(limit), "after": cursor})


def _link(asking: Asking, changed: Mapping[str, str]) -> str:
    """Return the address of another page of the same question, its days written out."""
    own = [
        (name, value)
        for name in ("group", "severity", "type")
        for value in asking.query.values.get(name, ())
    ]
    query = asking.reader.filters.to_query()
    return f"{asking.path}?{query}&{urlencode([*own, *changed.items()])}"


def _sum(frame: pl.DataFrame, column: str) -> float:
    return float(frame[column].sum())


def _share(frame: pl.DataFrame, part: str, whole: str) -> float | None:
    divisor = _sum(frame, whole)
    return _sum(frame, part) / divisor if divisor else None
