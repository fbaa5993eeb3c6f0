"""One raw record becomes the rows it stands for, or is refused with a reason."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.vocabulary import (
    ACTIVE_EVENTS,
    EVENT_ID_CHARS_MAX,
    METADATA_CHARS_MAX,
    TABLES,
    CortexEventName,
    LineIds,
    Refused,
    is_gzip,
    parse_json,
    parse_time,
    read_old_row,
    read_row,
    standard_name,
)

LINE = {"timestamp": "2026-03-01T10:00:00Z", "event_name": "session_started", "user_id_hash": "u"}


def values(record: dict, table: str = "events") -> dict:
    [row] = [row for row in read_row(record) if row.table == table]
    return dict(zip(TABLES[table].column_names, row.values, strict=True))


def flags(record: dict) -> tuple[str, ...]:
    return read_row(record)[0].flags


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-03-01T10:00:00Z", "2026-03-01T10:00:00.000Z", id="zulu"),
        pytest.param("2026-03-01T10:00:00.123456Z", "2026-03-01T10:00:00.123Z", id="microseconds"),
        pytest.param("2026-03-01T10:00:00+09:00", "2026-03-01T01:00:00.000Z", id="offset"),
        pytest.param("2026-03-01T10:00:00", "2026-03-01T10:00:00.000Z", id="naive is UTC"),
        pytest.param("2026-03-01 10:00:00", "2026-03-01T10:00:00.000Z", id="blank for T"),
        pytest.param("2026-03-01", "2026-03-01T00:00:00.000Z", id="day"),
        pytest.param(1_772_359_200, "2026-03-01T10:00:00.000Z", id="epoch seconds"),
        pytest.param(1_772_359_200_500, "2026-03-01T10:00:00.500Z", id="epoch milliseconds"),
        pytest.param("1772359200", "2026-03-01T10:00:00.000Z", id="epoch digits"),
        pytest.param(
            datetime(2026, 3, 1, 10, tzinfo=UTC), "2026-03-01T10:00:00.000Z", id="datetime"
        ),
        pytest.param("2025-11-20t06:06:00z", "2025-11-20T06:06:00.000Z", id="lower case"),
        pytest.param("2025-11-20 06:06:00 UTC", "2025-11-20T06:06:00.000Z", id="UTC in words"),
        pytest.param("2025-11-20 06:06:00.5 gmt", "2025-11-20T06:06:00.500Z", id="GMT in words"),
        pytest.param("2025-11-20T24:00:00Z", "2025-11-21T00:00:00.000Z", id="hour 24"),
        pytest.param("2025-12-31T24:00:00.000Z", "2026-01-01T00:00:00.000Z", id="hour 24, ms"),
        pytest.param("2025-11-20T24:00:00+09:00", "2025-11-20T15:00:00.000Z", id="hour 24 there"),
        pytest.param("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999Z", id="leap second"),
        pytest.param("2016-12-31T23:59:60.250Z", "2016-12-31T23:59:59.999Z", id="leap second, ms"),
        pytest.param("2025-11-20T24:00:01Z", None, id="past hour 24"),
        pytest.param("2025-11-20T23:59:61Z", None, id="second 61"),
        pytest.param("2025-11-20 06:06:00 PST", None, id="a zone of unknown offset"),
        pytest.param("9999-12-31T24:00:00Z", None, id="after the last year"),
        pytest.param("yesterday", None, id="words"),
        pytest.param("2026-13-01T00:00:00Z", None, id="month 13"),
        pytest.param(True, None, id="a boolean is no time"),
        pytest.param(float("nan"), None, id="NaN"),
        pytest.param(1e300, None, id="beyond the calendar"),
        pytest.param("0001-01-01T00:00:00+14:00", None, id="before the first year"),
    ],
)
def test_times_of_every_spelling_become_utc_milliseconds(text, expected):
    assert parse_time(text) == expected


@given(st.one_of(st.text(), st.floats(), st.integers(), st.datetimes(), st.none(), st.booleans()))
def test_parse_time_never_raises_and_reads_its_own_output(value):
    moment = parse_time(value)

    assert moment is None or parse_time(moment) == moment


def test_there_are_eighteen_standard_names_and_four_of_them_mean_active():
    assert len(CortexEventName) == 18
    assert set(ACTIVE_EVENTS) < {name.value for name in CortexEventName}


@pytest.mark.parametrize(
    ("source", "standard"),
    [
        ("activate", "extension_activated"),
        ("ext.activate", "extension_activated"),
        ("mcp.tool_call", "server_operation_called"),
        ("branch_create", "context_created"),
        ("install", "install"),
        ("ext.install", "install"),
        ("mcp.context_loaded", "context_loaded"),
        ("never heard of", "never heard of"),
    ],
)
def test_old_names_have_a_standard_name(source, standard):
    assert standard_name(source) == standard


def test_an_automatic_branch_is_an_automatic_context():
    assert standard_name("mcp.branch_create", automatic=True) == "context_auto_created"
    assert standard_name("tool_call", automatic=True) == "server_operation_called"


def test_the_older_systems_line_is_read_by_its_own_names():
    row = values(
        {
            "timestamp": "2025-12-14T08:30:00Z",
            "level": "INFO",
            "service": "mcp",
            "event_type": "tool_call",
            "user_tier": "paid",
            "user_id_hash": "abc123",
            "tool_name": "search_context",
            "result": "success",
            "duration_ms": 125,
            "metadata": {"top_k": 5},
        }
    )

    assert (row["event_name"], row["channel"], row["is_paid_user"]) == ("tool_call", "server", 1)
    assert row["duration_ms"] == 125
    assert json.loads(row["metadata"]) == {
        "level": "INFO",
        "tool_name": "search_context",
        "top_k": 5,
    }


def test_an_old_event_with_an_error_message_is_an_error_as_well():
    event, error = read_row(LINE | {"error_message": "boom", "result": "error"})

    assert (event.table, error.table) == ("events", "errors")
    named = dict(zip(TABLES["errors"].column_names, error.values, strict=True))
    assert (named["error_message"], named["related_event_name"]) == ("boom", "session_started")
    assert named["event_id"] != event.values[0]


@pytest.mark.parametrize(
    ("record", "table"),
    [
        (LINE, "events"),
        ({"timestamp": 1, "operation_name": "rag", "user_id_hash": "u"}, "traces"),
        ({"timestamp": 1, "error_type": "ValueError", "user_id_hash": "u"}, "errors"),
        ({"start_time": 1, "session_id": "s", "user_id_hash": "u"}, "sessions"),
    ],
)
def test_the_table_is_told_by_what_a_record_has(record, table):
    assert [row.table for row in read_row(record)] == [table]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"timestamp": "soon"}, "no readable time"),
        ({"timestamp": None}, "no readable time"),
        ({"event_name": ""}, "no event name"),
        ({"user_id_hash": None}, "no user"),
        ({"user_id_hash": "  "}, "no user"),
    ],
)
def test_time_name_and_user_are_what_a_line_cannot_do_without(broken, reason):
    with pytest.raises(Refused, match=reason):
        read_row(LINE | broken)


@pytest.mark.parametrize("raw", [None, 3, "text", [1], [LINE]])
def test_json_that_is_no_object_is_refused(raw):
    with pytest.raises(Refused, match="not an object"):
        read_row(raw)


@pytest.mark.parametrize(
    ("wrong", "field", "kept"),
    [
        ({"duration_ms": "soon"}, "duration_ms", None),
        ({"duration_ms": -1}, "duration_ms", None),
        ({"duration_ms": float("inf")}, "duration_ms", None),
        ({"duration_ms": {"a": 1}}, "duration_ms", None),
        ({"user_tier": "gold"}, "user_tier", "gold"),
        ({"channel": "fax"}, "channel", "fax"),
        ({"weight": "heavy"}, "weight", 1.0),
        ({"metadata": "{broken"}, "metadata", "{}"),
        ({"metadata": [1, 2]}, "metadata", "{}"),
        ({"metadata": {"a": float("nan")}}, "metadata", '{"a": null}'),
        ({"metadata": '{"a": [-Infinity, 1]}'}, "metadata", '{"a": [null, 1]}'),
        ({"metadata": {"a": "x" * (METADATA_CHARS_MAX + 1)}}, "metadata", "{}"),
        ({"session_id": "a\0b"}, "session_id", "ab"),
        ({"session_id": "\ud800"}, "session_id", "?"),
    ],
)
def test_any_other_wrong_value_is_flagged_and_the_row_is_kept(wrong, field, kept):
    assert flags(LINE | wrong) == (field,)
    assert values(LINE | wrong)[field] == kept


def test_a_number_json_cannot_say_costs_itself_and_no_other_key():
    record = LINE | {"metadata": {"ide": "vscode", "cost_usd": float("nan"), "in": {"b": [1e999]}}}

    assert flags(record) == ("metadata",)
    assert json.loads(values(record)["metadata"]) == {
        "ide": "vscode",
        "cost_usd": None,
        "in": {"b": [None]},
    }


@pytest.mark.parametrize("digits", ["9" * 5_000, "-" + "9" * 5_000])
@pytest.mark.parametrize(
    ("text", "field", "kept"),
    [
        ('{"metadata": {"a": %s, "b": 2}}', "metadata", '{"a": null, "b": 2}'),
        ('{"metadata": "{\\"a\\": %s, \\"b\\": 2}"}', "metadata", '{"a": null, "b": 2}'),
        ('{"duration_ms": %s}', "duration_ms", None),
    ],
)
def test_an_integer_too_long_to_read_costs_itself_and_not_the_line(text, field, kept, digits):
    record = LINE | parse_json((text % digits).encode())

    assert flags(record) == (field,)
    assert values(record)[field] == kept


def test_two_ids_too_long_to_read_stay_two():
    ids = [parse_json('{"event_id": %s}' % (digit * 5_000)) for digit in "12"]

    assert len({values(LINE | one)["event_id"] for one in ids}) == 2


@pytest.mark.parametrize("broken", [b"{broken", b"\xff", b"", '{"a": %s' % ("9" * 5_000)])
def test_what_is_not_json_is_not_read_twice_into_something(broken):
    with pytest.raises(ValueError, match=r"line 1|decode"):
        parse_json(broken)


def test_gzip_is_told_by_its_first_bytes():
    assert is_gzip(gzip.compress(b"{}")[:2])
    assert not is_gzip(b'{"a": 1}')
    assert not is_gzip(b"")


def old_id(**more) -> str:
    row = {"timestamp": "2025-01-01T00:00:00Z", "user_id_hash": "u", "event_type": "install"} | more
    return read_old_row(row, file_name="telemetry.db", sql_name="telemetry_events")[0].values[0]


def test_an_old_row_without_row_id_is_known_by_all_it_holds():
    assert old_id() != old_id(result="error")
    assert old_id(id=None) != old_id(id=None, result="error")
    assert old_id() == old_id()


def test_the_id_of_an_old_row_with_row_id_is_the_one_it_always_had():
    assert old_id(id=7) == old_id(id=7, result="error") == "4c59f393-d30a-5b71-8fc5-bad1f6beb845"


def test_numbers_in_quotes_are_numbers():
    row = values(LINE | {"duration_ms": "12.5", "weight": "10"})

    assert (row["duration_ms"], row["weight"]) == (12.5, 10.0)


def test_a_user_that_looks_like_a_person_is_hashed():
    seen = {
        values(LINE | {"user_id_hash": user})["user_id_hash"]
        for user in ("ann@example.org", "/home/ann", "C:\\Users\\ann", "x" * 129)
    }

    assert all(len(user) == 64 and user.isalnum() for user in seen)
    assert values(LINE | {"user_id_hash": "x" * 128})["user_id_hash"] == "x" * 128


def test_a_raw_user_id_is_hashed_with_the_homes_salt():
    record = {key: LINE[key] for key in ("timestamp", "event_name")} | {"user_id": "ann"}
    plain, salted = (read_row(record, salt=salt)[0].values[3] for salt in (b"", b"pepper"))

    assert len(plain) == len(salted) == 64
    assert plain != salted


def test_event_ids_are_kept_made_or_shortened():
    assert values(LINE | {"event_id": "e1"})["event_id"] == "e1"
    assert values(LINE)["event_id"] == values(LINE)["event_id"]
    assert len(values(LINE | {"event_id": "e" * 500})["event_id"]) <= EVENT_ID_CHARS_MAX


def test_two_equal_lines_without_id_stay_two_and_keep_their_ids():
    first, second = LineIds(), LineIds()
    ids = [first.of(b"a"), first.of(b"a"), first.of(b"b")]

    assert len(set(ids)) == 3
    assert ids == [second.of(b"a\n"), second.of(b"a"), second.of(b"b")]


@given(
    st.dictionaries(
        st.sampled_from(
            [*TABLES["events"].column_names, *TABLES["errors"].column_names, "user_id"]
        ),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    )
)
def test_whatever_a_line_holds_it_becomes_rows_or_is_refused(record):
    try:
        rows = read_row(record)
    except Refused:
        return
    for row in rows:
        assert len(row.values) == len(TABLES[row.table].columns)
        assert not any(isinstance(value, (dict, list)) for value in row.values)
