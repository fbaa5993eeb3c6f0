"""A key says a value exactly when parsing every text would find it, however it is written."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data_access.metadata import is_key, json_text, quick_text, says
from data_access.metrics.common import event_predicate
from data_access.metrics.steps import step_of

VALUES = st.one_of(
    st.sampled_from(["vscode", "zed", "true", "1.5.0", "1", "5e3", "", '"', "\\", "é", "a/b", "{"]),
    st.booleans(),
    st.integers(-3, 3),
    st.just(5000.0),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.none(),
    st.dictionaries(st.sampled_from(["ide", "os"]), st.sampled_from(["vscode", "zed"]), max_size=2),
    st.lists(st.sampled_from(["vscode", "zed"]), max_size=2),
)
KEYS = st.sampled_from(["ide", "os", "é", "ide:vscode", "vscode"])


@st.composite
def texts(draw: st.DrawFn) -> str:
    said = draw(st.dictionaries(KEYS, VALUES, max_size=3))
    text = json.dumps(
        said,
        ensure_ascii=draw(st.booleans()),
        separators=draw(st.sampled_from([(", ", ": "), (",", ":")])),
    )
    if draw(st.booleans()):
        text = text.replace("5000.0", "5e3")  # a number the parser writes anew
    return text.replace("/", "\\/") if draw(st.booleans()) else text


@given(
    st.lists(st.one_of(texts(), st.sampled_from([None, "", "no json", '"ide":"zed"'])), max_size=8),
    KEYS,
    st.lists(
        st.sampled_from(["vscode", "zed", "true", "1.5.0", "1", "5000.0", "é", "a/b", "", "null"]),
        min_size=1,
        max_size=2,
    ),
)
def test_a_cheap_look_at_the_text_loses_and_adds_nothing(rows, key, values):
    frame = pl.DataFrame({"metadata": pl.Series(rows, dtype=pl.String)})

    parsed = frame.select(json_text(key).is_in(values).fill_null(value=False)).to_series()
    assert frame.select(says(key, values)).to_series().to_list() == parsed.to_list()


@given(
    st.lists(st.tuples(st.booleans(), texts()), max_size=8),
    KEYS,
    st.sampled_from(["vscode", "zed", "true", "1.5.0", "1", "5000.0", "é", "a/b", "null"]),
)
def test_a_step_with_a_condition_means_the_events_whose_parsed_text_says_so(rows, key, value):
    """A key of a step ends at its first colon, so one with a colon is asked for otherwise."""
    frame = pl.DataFrame(
        {
            "event_name": pl.Series(["load" if is_load else "save" for is_load, _ in rows]),
            "metadata": pl.Series([text for _, text in rows], dtype=pl.String),
        },
        schema={"event_name": pl.String, "metadata": pl.String},
    )
    key = key.partition(":")[0]
    means = (pl.col("event_name") == "load") & (json_text(key) == value).fill_null(value=False)

    typed = event_predicate(step_of(f"load where {key}:{value}"))
    assert frame.select(typed).to_series().to_list() == frame.select(means).to_series().to_list()


@pytest.mark.parametrize("key", ["", "a'b", 'a"b', "a\\b", "k" * 101])
def test_what_would_break_a_path_is_no_key(key):
    assert not is_key(key)


NESTED = st.recursive(
    st.one_of(
        VALUES,
        st.integers(-(10**18), 10**18),
        st.sampled_from(['say "ide": "x"', '"ide": 1', '"ide": true,', "{", "}", "a,b"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=2)),
    max_leaves=6,
)


@given(st.lists(st.one_of(texts(), st.dictionaries(KEYS, NESTED, max_size=4).map(json.dumps))))
def test_a_quick_look_reads_what_the_parser_reads(rows):
    frame = pl.LazyFrame({"metadata": [None, *rows]}, schema={"metadata": pl.String})
    for key in ("ide", "os", "ide:vscode"):
        parsed = frame.select(json_text(key)).collect()

        assert_frame_equal(frame.select(quick_text(key)).collect(), parsed)
