"""A question is plain values: to and from a link, as SQL, as a start from a cell, as a pivot."""

from __future__ import annotations

from datetime import date
from urllib.parse import urlencode

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data_access.explore import (
    BUCKETS,
    MEASURES,
    PICTURES,
    Condition,
    QueryRefused,
    Question,
    pivoted,
    sql_of,
    started,
)
from data_access.explore.checked import check
from data_access.explore.question import OPERATORS
from data_access.metrics import METRICS
from data_access.schema import SCHEMAS

NAMES = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1, max_size=30
)
KEYS = (
    "ide",
    "a b",
    "http.status",
    "$.x",
    "1st",
    "a[0]",
    "*",
    "día",
    "; DROP",
    "read_csv(x)",
    "^.*$",
)
COLUMNS = st.sampled_from([*SCHEMAS["events"], *BUCKETS, *(f"metadata.{key}" for key in KEYS)])
QUESTIONS = st.builds(
    Question,
    sql=st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=80),
    table=st.sampled_from(list(SCHEMAS)),
    columns=st.lists(NAMES, max_size=4, unique=True).map(tuple),
    group=st.lists(NAMES, max_size=4, unique=True).map(tuple),
    measure=st.sampled_from(list(MEASURES)),
    of=st.one_of(st.just(""), NAMES),
    where=st.lists(
        st.builds(
            Condition,
            NAMES.filter(lambda name: ":" not in name),
            st.sampled_from([*OPERATORS]),
            NAMES,
        ),
        max_size=3,
        unique=True,
    ).map(tuple),
    order=st.one_of(st.just(""), NAMES),
    limit=st.integers(0, 1_000_000),
    all_history=st.booleans(),
    picture=st.sampled_from(PICTURES),
    x=st.one_of(st.just(""), NAMES),
    y=st.one_of(st.just(""), NAMES),
    series=st.one_of(st.just(""), NAMES),
)


@settings(max_examples=50)
@given(QUESTIONS)
def test_a_question_survives_its_link(question):
    read = Question.from_query(question.to_link())

    assert read == question
    assert read.notes == ()
    assert hash(read) == hash(question)


@given(st.dictionaries(NAMES.map(lambda name: f"explore.{name}"), st.lists(NAMES, max_size=3)))
def test_any_link_is_a_question(query):
    Question.from_query(query)


@given(st.text(max_size=200))
def test_any_text_is_a_question(text):
    Question.from_query(text)
    Question.from_query(f"explore.group={text}&explore.if={text}&explore.limit={text}")


def test_what_a_link_cannot_mean_is_ignored_and_said():
    asked = [("table", "secrets"), ("measure", "magic"), ("limit", "-1"), ("if", "is:"), ("x", "a")]

    read = Question.from_query(urlencode([(f"explore.{name}", value) for name, value in asked]))

    assert read == Question(x="a")
    assert len(read.notes) == 4


def test_an_empty_question_has_an_empty_link():
    assert Question().to_query() == []


@given(
    st.sampled_from(list(SCHEMAS)),
    st.lists(COLUMNS, max_size=3, unique=True).map(tuple),
    st.sampled_from(list(MEASURES)),
    st.sampled_from(["duration_ms", "weight", "metadata.top_k", "duration_sec"]),
    st.lists(st.builds(Condition, COLUMNS, st.sampled_from([*OPERATORS]), NAMES), max_size=2).map(
        tuple
    ),
)
def test_whatever_is_put_together_may_run(table, group, measure, of, where):
    question = Question(
        table=table, group=group, columns=group, measure=measure, of=of, where=where
    )
    try:
        sql = sql_of(question)
    except QueryRefused:  # a column the table has not, a value that is no number
        return

    assert check(sql).tables == (table,)


@pytest.mark.parametrize("key", KEYS)
def test_any_key_of_the_metadata_can_be_grouped_by(key):
    question = Question(group=(f"metadata.{key}",), where=(Condition(f"metadata.{key}", "filled"),))

    assert check(sql_of(question)).keys == (key,)


def test_the_sql_of_a_count_reads_like_one():
    question = Question(group=("day", "metadata.ide"), where=(Condition("channel", "is", "web"),))

    assert sql_of(question) == (
        "SELECT day, metadata ->> 'ide' AS ide, SUM(weight) AS events\n"
        "FROM events\n"
        "WHERE channel = 'web'\n"
        "GROUP BY day, metadata ->> 'ide'\n"
        "ORDER BY day, ide"
    )


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (Question(table="secrets"), "secrets"),
        (Question(measure="magic"), "magic"),
        (Question(table="sessions", group=("event_name",)), "event_name"),
        (Question(measure="sum"), "needs a column"),
        (Question(measure="sum", of="channel"), "no numbers"),
        (Question(table="errors", measure="error_rate"), "what failed"),
        (Question(order="nothing"), "nothing"),
        (Question(group=("metadata.day", "day")), "same name"),
        (Question(where=(Condition("duration_ms", "gt", "1; DROP"),)), "a number"),
        (Question(where=(Condition("is_paid_user", "is", "maybe"),)), "true or false"),
        (Question(where=(Condition("timestamp", "ge", "soon"),)), "a time"),
        (Question(where=(Condition("timestamp", "ge", "0001-01-01T00:00+14:00"),)), "a time"),
        (Question(where=(Condition("channel", "like", "a"),)), "operator"),
        (Question(group=("a'b",)), "a'b"),
        (Question(group=('a"b',)), 'a"b'),
    ],
)
def test_what_cannot_be_put_together_is_said(question, words):
    with pytest.raises(QueryRefused, match=words):
        sql_of(question)


@given(NAMES)
def test_a_value_stays_a_value(value):
    where = (Condition("metadata.ide", "is", value), Condition("channel", "contains", value))

    checked = check(sql_of(Question(where=where)))

    assert checked.sql.count("'" + value.replace("'", "''") + "'") == 2


@pytest.mark.parametrize("split", ["", "user_tier", "ide", "stage"])
def test_every_cell_has_a_question_to_begin_with(split):
    for name, metric in METRICS.items():
        question = started(name, metric.sources, {"every": "1w"}, split=split).question

        assert set(check(sql_of(question)).tables) == {question.table}, name
        assert Question.from_query(question.to_link()) == question, name


def test_a_pivot_has_a_row_and_a_column_per_value():
    frame = pl.DataFrame(
        {
            "day": [date(2026, 1, 1), date(2026, 1, 1), date(2026, 1, 2)],
            "tier": ["free", None, "paid"],
            "n": [5, 1, 2],
        }
    )

    wide = pivoted(frame, "day", "tier", "n")

    expected = pl.DataFrame(
        {
            "day": [date(2026, 1, 1), date(2026, 1, 2)],
            "free": [5, None],
            "paid": [None, 2],
            "(none)": [1, None],
        }
    )
    assert_frame_equal(wide.frame, expected)
    assert wide.left_out == 0


def test_a_pivot_keeps_the_largest_columns_and_says_how_many_are_left_out():
    frame = pl.DataFrame({"r": ["a"] * 60, "c": [str(n) for n in range(60)], "n": range(60)})

    wide = pivoted(frame, "r", "c", "n", most=3)

    assert wide.frame.columns == ["r", "59", "58", "57"]
    assert wide.left_out == 57


def test_a_pivot_of_columns_called_alike_tells_them_apart():
    frame = pl.DataFrame({"r": ["a"] * 3, "c": ["r", "(none)", None], "n": [3, 2, 1]})

    assert pivoted(frame, "r", "c", "n").frame.columns == ["r", "r (2)", "(none)", "(none) (2)"]


def test_a_pivot_of_columns_called_like_patterns_can_be_gone_on_with():
    frame = pl.DataFrame({"r": ["a"] * 2, "c": ["*", "^.*$"], "n": [3, 2]})

    wide = pivoted(frame, "r", "c", "n").frame

    assert wide.columns == ["r", "“*”", "“^.*$”"]
    assert [wide.select(name).width for name in wide.columns] == [1, 1, 1]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pl.DataFrame({"r": [1], "c": [1]}), "no column"),
        (pl.DataFrame({"r": [1, 1], "c": [1, 1], "n": [1, 2]}), "one value in each cell"),
    ],
)
def test_a_pivot_that_cannot_be_is_refused(frame, words):
    with pytest.raises(QueryRefused, match=words):
        pivoted(frame, "r", "c", "n")


def test_a_word_that_is_none_is_answered_with_those_there_are():
    question = Question.from_query("explore.all_history=true&explore.picture=pie")

    assert question == Question()
    assert question.notes[0] == "Ignored unknown all_history: 'true'. It may be yes."
    assert "'pie'. It may be auto, " in question.notes[1]
