"""Metadata keys as expressions: what is there is read, what is not is null, nothing raises."""

from __future__ import annotations

import polars as pl
import pytest
from frames import event, events

from data_access.metrics.common import MetricError
from data_access.metrics.properties import (
    first_number,
    first_text,
    flag_of,
    has_key,
    number_of,
    property_of,
    saying,
    text_of,
    tool_name,
)


def said(*metadata: str | None) -> pl.LazyFrame:
    return pl.LazyFrame({"metadata": metadata}, schema={"metadata": pl.String})


def read(frame: pl.LazyFrame, wanted: pl.Expr) -> list[object]:
    return frame.select(wanted).collect().to_series().to_list()


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        pytest.param('{"ide": "vscode"}', "vscode", id="text"),
        pytest.param('{"ide": "caf\\u00e9 \\"x\\""}', 'café "x"', id="escapes"),
        pytest.param('{"ide": 12}', "12", id="a number"),
        pytest.param('{"ide": null}', None, id="null"),
        pytest.param('{"os": {"ide": "inner"}}', None, id="a nested key is another"),
        pytest.param('{"os": "\\"ide\\": 1"}', None, id="inside a value"),
        pytest.param("{broken", None, id="no JSON"),
        pytest.param("[1]", None, id="a list"),
        pytest.param("", None, id="nothing"),
        pytest.param(None, None, id="a null"),
    ],
)
def test_text_of_reads_one_key(metadata, expected):
    assert read(said(metadata), text_of("ide")) == [expected]


def test_number_of_takes_numbers_and_nothing_else():
    given = said('{"n": 1.5}', '{"n": "7"}', '{"n": "x"}', '{"n": true}', '{"n": 1e999}', "{}")

    assert read(given, number_of("n")) == [1.5, 7.0, None, None, None, None]


def test_flag_of_understands_every_spelling_clients_have_used():
    given = said('{"f": true}', '{"f": 0}', '{"f": "auto"}', '{"f": "Manual"}', '{"f": 3}', "{}")

    assert read(given, flag_of("f")) == [True, False, True, False, None, None]


def test_has_key_is_never_false_for_a_key_that_is_there():
    given = said('{"a": 1}', '{"b":2}', '{"ab": 1}', "", None)

    assert read(given, has_key("a", "b")) == [True, True, False, False, False]


ORDINARY = ('{"ide": "zed", "n": 1.5}', '{"ide": 12, "n": "7"}', '{"ide": null, "n": true}', "{}")
AMISS = ("{broken", "[1]", "", None, '{"ide": [1]}', '{"n": 1e999}', '"ide"', '{"a": "\\"ide\\""}')


@pytest.mark.parametrize("also", [(), *((one,) for one in AMISS)], ids=str)
def test_many_keys_at_once_say_what_each_says_alone(also):
    """One text that is amiss must not change what the others say, nor how many there are."""
    given = said(*ORDINARY, *also)
    wanted = [text_of("ide").alias("a"), number_of("n").alias("b")]

    at_once = saying(given, ["ide", "n"]).select(
        first_text("ide").alias("a"), first_number("n").alias("b")
    )

    assert (
        at_once.collect().rows()
        == given.filter(has_key("ide", "n")).select(wanted).collect().rows()
    )


def test_the_first_key_that_says_something_counts():
    given = saying(said('{"a": "", "b": "x"}', '{"a": "7", "b": "8"}', '{"b": 2}'), ["a", "b"])

    assert read(given, first_text("a", "b")) == ["x", "7", "2"]
    assert read(given, first_number("a", "b")) == [None, 7.0, 2.0]


@pytest.mark.parametrize("key", ["", "a'b", 'a"b', "a\\b", "k" * 101])
def test_a_key_that_cannot_be_is_refused(key):
    with pytest.raises(MetricError, match="no metadata key"):
        text_of(key)


@pytest.mark.parametrize("key", ["a.b", "a b", "$", "a[0]", "*"])
def test_a_key_with_a_meaning_elsewhere_is_only_a_key_here(key):
    assert read(said(f'{{"{key}": "here", "other": "x"}}'), text_of(key)) == ["here"]


def test_a_column_comes_before_a_metadata_key_of_its_name():
    given = events(event("2026-01-01", "u", channel="web", metadata='{"channel": "x", "ide": "y"}'))

    assert read(given, property_of(given, "channel")) == ["web"]
    assert read(given, property_of(given, "ide")) == ["y"]


@pytest.mark.parametrize(
    ("name", "source", "metadata", "tool"),
    [
        ("server_operation_called", "tool_call", '{"tool_name": "rag"}', "rag"),
        ("server_operation_called", "tool_call", '{"tool_name":"rag","top_k": 5}', "rag"),
        ("server_operation_called", "tool_call", '{"ide": "zed", "tool_name": "rag"}', "rag"),
        ("server_operation_called", "tool_call", '{"tool_name": "caf\\u00e9"}', "café"),
        ("server_operation_called", "mcp.search_context", "{}", "search_context"),
        ("server_operation_called", "tool_call", "{}", "server_operation_called"),
        ("server_operation_called", "server_operation_called", "{}", "server_operation_called"),
        ("context_loaded", "context_loaded", '{"tool_name": "rag"}', None),
    ],
)
def test_the_tool_of_a_call_is_named_or_told_from_its_older_name(name, source, metadata, tool):
    given = events(event("2026-01-01", "u", name, source_name=source, metadata=metadata))

    assert read(given, tool_name(given)) == [tool]
    assert read(given.drop("source_name"), tool_name(given.drop("source_name"))) == [
        tool if '"' in metadata or tool is None else "server_operation_called"
    ]
