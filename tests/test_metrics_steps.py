"""A step as it is typed: which rows it means, and what is said about one that means none."""

from __future__ import annotations

import pytest
from frames import event, events

from data_access.metrics.common import MetricError, event_label, event_predicate
from data_access.metrics.steps import names_of, step_of, steps_of

ROWS = events(
    event("2026-01-01", "u", "load", channel="web", metadata='{"ide": "vscode", "n": 3}'),
    event("2026-01-01", "u", "load", channel="server", metadata='{"ide": "a and b", "n": 4}'),
    event("2026-01-01", "u", "load", duration_ms=5.0, metadata='{"q": "x and ide:vscode"}'),
    event("2026-01-01", "u", "save", is_paid_user=True, metadata='{"url": "a:b: c", "n": 3}'),
    event("2026-01-01", "u", "x or y"),
)


def matched(text: str) -> list[int]:
    """Return the positions of the rows a step means."""
    found = ROWS.select(event_predicate(step_of(text)).alias("is")).collect()["is"]
    return found.arg_true().to_list() if len(found) > 1 else [*range(5)] * found[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("load", [0, 1, 2], id="a name"),
        pytest.param("  load ", [0, 1, 2], id="spaces around"),
        pytest.param("load or save", [0, 1, 2, 3], id="either"),
        pytest.param("nobody does this", [], id="a name nobody wrote"),
        pytest.param("any event", [0, 1, 2, 3, 4], id="anything"),
        pytest.param("load where ide:vscode", [0], id="a metadata key"),
        pytest.param("load where ide: vscode", [0], id="a space after the colon"),
        pytest.param("load where ide:VSCODE", [], id="exactly"),
        pytest.param("any event where n:3", [0, 3], id="any event with a number"),
        pytest.param("load or save where n:3", [0, 3], id="either, both with the condition"),
        pytest.param("load where channel:web", [0], id="a column"),
        pytest.param("any event where is_paid_user:true", [3], id="a flag"),
        pytest.param("load where duration_ms:5", [2], id="a number in a column"),
        pytest.param("load where ide:vscode and n:3", [0], id="two conditions"),
        pytest.param("load where ide:vscode and n:4", [], id="that never hold together"),
        pytest.param("load where ide:a and b", [1], id="and inside a value"),
        pytest.param("save where url:a:b: c", [3], id="colons inside a value"),
        pytest.param('load where q:"x and ide:vscode"', [2], id="a quoted value"),
        pytest.param("load where nothing:1", [], id="a key nobody wrote"),
    ],
)
def test_a_text_means_these_rows(text, expected):
    assert matched(text) == expected


def test_a_step_is_called_what_was_typed():
    texts = ["load", "load or save", "any event", "any event where n:3"]

    assert [event_label(step) for step in steps_of(texts)] == texts


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("  ", "Write an event's name", id="nothing"),
        pytest.param("x" * 501, "at most 500", id="too long"),
        pytest.param("load where ide", "Write key:value", id="no colon"),
        pytest.param("load where ide:", "Write key:value", id="no value"),
        pytest.param("load where :vscode", "Write key:value", id="no key"),
        pytest.param("load where it's:1", "no metadata key", id="no possible key"),
        pytest.param("load where is_paid_user:maybe", "takes true or false", id="no flag"),
        pytest.param("load where duration_ms:long", "takes a number", id="no number"),
        pytest.param("load where timestamp:2026-01-01", "no condition", id="a time"),
        pytest.param("load where " + " and ".join(["a:1"] * 11), "at most 10", id="too many"),
    ],
)
def test_a_text_that_means_no_step_is_refused(text, says):
    with pytest.raises(MetricError, match=says):
        step_of(text)


def test_a_text_tells_which_events_it_names():
    texts = ["load", "load or save where n:3", "any event where ide:a or b"]

    assert [names_of(text) for text in texts] == [("load",), ("load", "save"), ()]
