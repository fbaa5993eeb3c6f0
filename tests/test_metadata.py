"""A key says a value exactly when parsing every text would find it, however it is written."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_access.metadata import is_key, json_text, says

VALUES = st.one_of(
    st.sampled_from(["vscode", "zed", "true", "1.5.0", "1", "5e3", "", '"', "\\", "é", "a/b", "{"]),
    st.booleans(),
    st.integers(-3, 3),
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


@pytest.mark.parametrize("key", ["", "a'b", 'a"b', "a\\b", "k" * 101])
def test_what_would_break_a_path_is_no_key(key):
    assert not is_key(key)
