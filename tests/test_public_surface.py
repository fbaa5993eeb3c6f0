"""What people script against: names, arguments with their defaults, columns with their types.

The design promises that these stay. Something may be added at the end; nothing here may change.
"""

from __future__ import annotations

import inspect
from typing import Any

import polars as pl
import pytest
from frames import error, errors, event, events, trace, traces, window

import data_access
import ingest
from data_access import Filters, Window, metrics
from ingest.vocabulary import ACTIVE_EVENTS

FOUR = ("session_started", "extension_activated", "server_operation_called", "web_view_opened")
P = [f"duration_ms_p{number}" for number in (50, 75, 90, 95, 99)]
ASKED: dict[str, dict[str, Any]] = {
    "active_users": {"every": "1d", "days": None, "active_events": FOUR},
    "stickiness": {"every": "1d", "at_least": False, "min_events": 1, "active_events": FOUR},
    "lifecycle": {"every": "1w", "active_events": FOUR},
    "retention": {
        "every": "1w",
        "start": None,
        "back": None,
        "cohort": "first",
        "unbounded": False,
        "min_returns": 1,
    },
    "funnel": {"within": "14d", "order": "ordered", "entry": "best", "exclude": ()},
    "paths": {"gap": "30m", "depth": 5, "start": None, "end": None, "groups": (), "top": None},
    "sessions": {"gap": "30m"},
    "latency": {
        "by": ("operation_name",),
        "every": None,
        "quantiles": (0.5, 0.75, 0.9, 0.95, 0.99),
    },
    "kpis": {},
    "error_groups": {},
    "tiers": {},
    "compare_rates": {"pooled": True},
}
FRAMES = {
    "latency": ["traces", "window"],
    "error_groups": ["errors", "window"],
    "tiers": ["events", "errors", "traces", "window"],
    "compare_rates": ["a", "b"],
}
F, INT, TEXT, DAY = pl.Float64, pl.Int64, pl.String, pl.Date
TIME = pl.Datetime("ms", "UTC")
COLUMNS: dict[str, dict[str, Any]] = {
    "active_users": {"period": DAY, "users": F, "complete": pl.Boolean},
    "stickiness": {"periods_active": INT, "users": F},
    "lifecycle": {
        "period": DAY,
        "new": F,
        "returning": F,
        "resurrecting": F,
        "dormant": F,
        "complete": pl.Boolean,
    },
    "retention": {
        "cohort": DAY,
        "period": INT,
        "users": F,
        "cohort_users": F,
        "rate": F,
        "complete": pl.Boolean,
    },
    "funnel": {
        "step": INT,
        "event_name": TEXT,
        "users": F,
        "rate_from_first": F,
        "rate_from_previous": F,
        "seconds_p50": F,
    },
    "paths": {"step": INT, "source": TEXT, "target": TEXT, "sessions": F, "seconds_mean": F},
    "sessions": {
        "user_id_hash": TEXT,
        "started_at": TIME,
        "ended_at": TIME,
        "duration_s": F,
        "events": F,
        "weight": F,
    },
    "latency": {"operation_name": TEXT, "traces": F, "failures": F} | dict.fromkeys(P, F),
    "kpis": {"kpi": TEXT, "value": F, "numerator": F, "denominator": F},
}
BEGIN: dict[str, dict[str, Any]] = {  # the design leaves the rest open
    "error_groups": {
        "group_hash": TEXT,
        "error_type": TEXT,
        "message_template": TEXT,
        "culprit": TEXT,
        "occurrences": F,
        "users": F,
    },
    "tiers": {"tier": TEXT, "users": F},
}
WINDOW = window("2026-01-05", "2026-01-19")


def frames(name: str) -> list[pl.LazyFrame]:
    """Return what a metric reads."""
    tables = {
        "events": events(event("2026-01-06", session_id="s"), event("2026-01-08")),
        "errors": errors(error("2026-01-06")),
        "traces": traces(trace("2026-01-06")),
    }
    return [tables[table] for table in FRAMES.get(name, ["events"]) if table in tables]


def schema(name: str, **options: Any) -> dict[str, Any]:
    if name == "funnel":
        options["steps"] = ["session_started", "context_loaded"]
    plan = getattr(metrics, name)(*frames(name), WINDOW, **options)
    assert isinstance(plan, pl.LazyFrame)
    assert dict(plan.collect().schema) == dict(plan.collect_schema())
    return dict(plan.collect_schema())


@pytest.mark.parametrize("name", ASKED)
def test_a_metric_takes_what_the_design_says(name):
    told = inspect.signature(getattr(metrics, name)).parameters.values()
    first = [one.name for one in told if one.kind is one.POSITIONAL_OR_KEYWORD]
    options = {one.name: one.default for one in told if one.kind is one.KEYWORD_ONLY}

    assert first == FRAMES.get(name, ["events", "window"])
    assert {option: options[option] for option in ASKED[name]} == ASKED[name]
    assert [one for one in options if options[one] is inspect.Parameter.empty] == (
        ["steps"] if name == "funnel" else []
    )


@pytest.mark.parametrize("name", COLUMNS)
def test_a_metric_gives_exactly_these_columns(name):
    assert list(schema(name).items()) == list(COLUMNS[name].items())


@pytest.mark.parametrize("name", BEGIN)
def test_a_metric_begins_with_these_columns(name):
    found = list(schema(name).items())

    assert found[: len(BEGIN[name])] == list(BEGIN[name].items())
    assert {"first_seen": TIME, "last_seen": TIME}.items() <= dict(found).items() or name == "tiers"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"by": ()}, {"traces": F, "failures": F} | dict.fromkeys(P, F)),
        (
            {"by": ("channel", "success"), "every": "1w", "quantiles": (0.5,)},
            {
                "period": DAY,
                "channel": TEXT,
                "success": pl.Boolean,
                "traces": F,
                "failures": F,
                "duration_ms_p50": F,
            },
        ),
    ],
)
def test_latency_has_the_columns_it_is_grouped_by(options, expected):
    assert list(schema("latency", **options).items()) == list(expected.items())


def test_the_headline_numbers_have_these_names():
    named = metrics.kpis(*frames("kpis"), WINDOW).collect()["kpi"]

    assert set(named) >= {
        *("cdr", "cdr_users", "resurrection", "resurrection_by_context", "dau", "wau", "mau"),
        *("stickiness", "paid_conversion", "error_rate"),
    }


def test_rates_are_compared_into_a_named_tuple():
    found = metrics.compare_rates(a=(10, 100), b=(20, 100))

    assert found._fields == ("lift", "ci_low", "ci_high", "p_value")
    assert found.lift == 1.0


def test_active_means_one_of_four_events():
    assert ACTIVE_EVENTS == FOUR


def test_a_window_a_filter_and_a_scan_are_asked_like_this():
    days = Window(WINDOW.start, WINDOW.end, timezone="Europe/Berlin", week_starts_on="sunday")

    assert list(inspect.signature(data_access.scan).parameters) == [
        *("table", "home", "since", "filters")
    ]
    assert days.previous().end == days.start
    assert days.calendar("1w").collect().columns == ["period", "complete"]
    assert Window.last(7, WINDOW.start).end > WINDOW.start
    filters = Filters(
        days,
        tiers=("paid",),
        channels=("server",),
        projects=("p",),
        releases=("1.0",),
        stages=("open-beta",),
        events=("install",),
    )
    assert Filters.from_query(filters.to_query()) == filters


@pytest.mark.parametrize("name", ["scan", "Window", "Filters", "version", "problems"])
def test_reading_offers(name):
    assert name in data_access.__all__


@pytest.mark.parametrize(
    "name",
    [
        *("Client", "Event", "Error", "Trace", "scrub", "stack_hash", "message_template"),
        *("TelemetryEvent", "TelemetryError", "TelemetryTrace", "TelemetryClient"),
        *("TelemetryStorage", "MCPTelemetryClient", "ExtensionTelemetryClient"),
        *("get_mcp_telemetry_client", "get_extension_telemetry_client"),
        *("CortexEventName", "ChannelType", "EventSeverity"),
    ],
)
def test_writing_offers(name):
    assert hasattr(ingest, name)
