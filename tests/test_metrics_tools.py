"""What the tools do: calls and failures, tokens saved, suggestions, searches: rows in, rows out."""

from __future__ import annotations

import json

import pytest
from frames import day, event, events, window

from data_access import metrics
from data_access.metrics.common import MetricError

FIRST, SECOND = day("2026-01-05"), day("2026-01-06")
TWO_DAYS = window("2026-01-05", "2026-01-07")


def call(
    when: str, tool: str | None = "search_context", user: str = "ada", said=None, **columns: object
):
    """Return a call of a tool that says `said` about itself."""
    metadata = json.dumps(({"tool_name": tool} if tool else {}) | (said or {}))
    return event(when, user, "server_operation_called", metadata=metadata, **columns)


# --- tools -------------------------------------------------------------------------------------


def test_a_tool_has_its_calls_people_failures_and_durations():
    given = events(
        call("2026-01-05", duration_ms=100.0),
        call("2026-01-05", duration_ms=300.0, result="timeout"),
        call("2026-01-06", user="ben", weight=2.0),
        call("2026-01-06", tool=None, source_name="mcp.update_memory", result="error"),
        event("2026-01-06", name="context_loaded", metadata='{"tool_name": "other"}'),
        call("2026-01-07"),
    )

    assert metrics.tools(given, TWO_DAYS).collect().rows() == [
        ("search_context", 4.0, 3.0, 1.0, 0.25, 200.0, 290.0),
        ("update_memory", 1.0, 1.0, 1.0, 1.0, None, None),
    ]


def test_tools_by_release_and_day_have_a_row_for_every_day():
    given = events(call("2026-01-05", release="1.0", duration_ms=5.0), call("2026-01-06"))

    found = metrics.tools(given, TWO_DAYS, by="release", every="1d").collect()

    assert found.rows() == [
        ("search_context", None, FIRST, 0.0, 0.0, 0.0, None, None, None, True),
        ("search_context", None, SECOND, 1.0, 1.0, 0.0, 0.0, None, None, True),
        ("search_context", "1.0", FIRST, 1.0, 1.0, 0.0, 0.0, 5.0, 5.0, True),
        ("search_context", "1.0", SECOND, 0.0, 0.0, 0.0, None, None, None, True),
    ]


def test_tools_cannot_go_by_a_column_the_result_counts():
    with pytest.raises(MetricError, match="'calls'"):
        metrics.tools(events(), TWO_DAYS, by="calls")


# --- token_savings -----------------------------------------------------------------------------


def test_the_rate_of_savings_is_of_all_tokens_and_no_mean_of_rates():
    """900 of 1,000 and 10 of 100 saved: 910 of 1,100 are 82.7 %, where the mean would say 50 %."""
    compress, rollup = "compress_context", "observer_turn_rollup"
    large = {"before_tokens": 1000, "after_tokens": 100, "savings_rate": 0.1}
    given = events(
        call("2026-01-05", compress, said=large),
        event("2026-01-05", "ben", rollup, metadata='{"before_tokens": 100, "after_tokens": 90}'),
    )

    found = metrics.token_savings(given, TWO_DAYS).collect()

    rate = pytest.approx(910 / 1100)
    assert found.rows() == [
        (FIRST, 2.0, 2.0, 1100.0, 190.0, 910.0, rate, 0.0, None, True),
        (SECOND, 0.0, 0.0, 0.0, 0.0, 0.0, None, 0.0, None, True),
    ]


def test_a_rate_alone_has_no_size_and_is_told_apart():
    compress = "compress_context"
    given = events(
        call("2026-01-05", compress, said={"savings_rate": 0.9}, weight=3.0),
        call("2026-01-05", compress, said={"savings_rate": 0.5, "before_tokens": 10}),
        call("2026-01-05", compress, said={"before_tokens": 8, "after_tokens": 2}, weight=2.0),
        call("2026-01-05", compress, said={"before_tokens": -8, "after_tokens": 2}),
        call("2026-01-05", compress, said={"before_tokens": "many", "after_tokens": 2}),
        call("2026-01-05", compress, said={"before_tokens": 4}),
        call("2026-01-06", compress, said={"before_tokens": 0, "after_tokens": 0}),
        call("2026-01-06", compress, user="ben", said={"before_tokens": 2, "after_tokens": 3}),
    )

    assert metrics.token_savings(given, TWO_DAYS).collect().rows() == [
        (FIRST, 2.0, 2.0, 16.0, 4.0, 12.0, 0.75, 4.0, pytest.approx(0.8), True),
        (SECOND, 2.0, 2.0, 2.0, 3.0, -1.0, -0.5, 0.0, None, True),
    ]


# --- reference_acceptance ----------------------------------------------------------------------


def test_a_suggestion_is_accepted_by_a_flag_or_by_a_count_above_0():
    answers = [True, "yes", 2, False, 0, "no", None, "perhaps"]
    given = events(
        *(
            call("2026-01-05", "reference_suggest", said={"accepted": one, "suggestion_count": 3})
            for one in answers
        ),
        call("2026-01-05", "reference_suggest"),
        call("2026-01-05", None, "ben", {"accepted": True}, source_name="reference_suggest"),
        event("2026-01-05", name="code_insert", metadata='{"accepted": true}'),
        call("2026-01-05", "other", said={"accepted": True, "text": "reference_suggest"}),
    )

    assert metrics.reference_acceptance(given, TWO_DAYS).collect().rows() == [
        (FIRST, 7.0, 4.0, pytest.approx(4 / 7), 3.0, 24.0, 2.0, True),
        (SECOND, 0.0, 0.0, None, 0.0, 0.0, 0.0, True),
    ]


# --- searches ----------------------------------------------------------------------------------


def found(many: object, **columns: object):
    return call("2026-01-05", said={"results_count": many}, **columns)


def test_a_failed_search_is_no_empty_one():
    given = events(
        found(0, duration_ms=10.0),
        found(4, duration_ms=30.0),
        found(8, weight=2.0),
        found(0, result="timeout", user="ben", duration_ms=50.0),
        call("2026-01-05", None, source_name="search_context"),
        call("2026-01-05", "other", said={"results_count": 3}),
    )

    assert metrics.rag(given, TWO_DAYS).collect().rows() == [
        (FIRST, 6.0, 2.0, 1.0, 4.0, 5.0, 1.0, 0.25, 30.0, 48.0, True),
        (SECOND, 0.0, 0.0, 0.0, 0.0, None, 0.0, None, None, None, True),
    ]


def test_searches_fall_into_classes_of_how_much_they_found():
    given = events(
        found(0, duration_ms=1.0),
        found(5, duration_ms=2.0),
        found(10, duration_ms=3.0),
        found(6, duration_ms=5.0),
        found(900, duration_ms=8.0),
        found(7, result="error"),
        found(-1),
        found("many"),
    )

    rows = metrics.rag_results(given, TWO_DAYS).collect().rows()

    assert [row[:2] for row in rows] == [
        *((one, one) for one in range(6)), (6, 10), (11, 20), (21, 50), (51, None)
    ]  # fmt: skip
    assert [row[2:] for row in rows if row[2]] == [
        (1.0, 0.2, 1.0, 1.0),
        (1.0, 0.2, 2.0, 2.0),
        (2.0, 0.4, 4.0, 4.9),
        (1.0, 0.2, 8.0, 8.0),
    ]


# --- branches and the ontology -----------------------------------------------------------------


def test_branches_are_told_apart_by_who_opened_them():
    given = events(
        event("2026-01-05", name="context_auto_created"),
        event("2026-01-05", "ben", "context_created", weight=3.0, result="error"),
        event("2026-01-05", name="context_loaded"),
    )

    assert metrics.branches(given, TWO_DAYS, every="1d").collect().rows() == [
        (FIRST, 1.0, 3.0, 0.25, 4.0, True),
        (SECOND, 0.0, 0.0, None, 0.0, True),
    ]


def test_categories_come_from_classifications_and_from_calls_that_were_classified():
    given = events(
        call("2026-01-05", "ontology_classify", said={"category": "a", "confidence": 0.9}),
        call("2026-01-05", "ontology_classify", "ben", {"category": "a", "confidence": 0.5}),
        call("2026-01-05", "ontology_classify", said={"category": "a"}),
        call("2026-01-05", "update_memory", said={"category": "b", "confidence": 0.7}),
        call("2026-01-05", "update_memory", said={"category": "b"}),
        call("2026-01-05", "ontology_classify", said={"confidence": 0.7}),
        event("2026-01-05", name="context_protection_blocked", metadata='{"category": "c"}'),
    )

    assert metrics.ontology(given, TWO_DAYS).collect().rows() == [
        ("a", 3.0, 0.75, 2.0, pytest.approx(0.7), pytest.approx(0.7)),
        ("b", 1.0, 0.25, 1.0, 0.7, 0.7),
    ]


def test_the_confidence_of_a_sample_is_weighted():
    given = events(
        *(
            call("2026-01-05", "ontology_classify", said={"category": "a", "confidence": sure})
            | {"weight": weight}
            for sure, weight in ((0.2, 1.0), (0.8, 3.0))
        )
    )

    [(_, many, _, _, mean, median)] = metrics.ontology(given, TWO_DAYS).collect().rows()

    assert (many, mean, median) == (4.0, pytest.approx(0.65), pytest.approx(0.8))
