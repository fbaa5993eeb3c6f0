"""From what the host said to rows: what is written can be read back as the very same row."""

from __future__ import annotations

import json
import math
import random
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.counts import Counts
from ingest.ids import IsoTime, Uuid7
from ingest.intake import Intake
from ingest.prepare import Preparer
from ingest.said import ErrorSaid, EventSaid, TraceSaid, TurnSaid
from ingest.salt import home_salt, read_salt
from ingest.sampling import Sampling
from ingest.vocabulary import METADATA, TABLES, parse_time, read_row
from ingest.writer import to_line
from tests.examples import examples
from tests.said import NOON_S

NOBODY = (None,) * 8


def preparer(**options) -> Preparer:
    return Preparer(
        salt=b"salt",
        new_id=Uuid7(random.Random(7).getrandbits),
        counts=options.pop("counts", Counts()),
        allow=METADATA,
        channel="server",
        release="1.0",
        **options,
    )


WORDS = st.one_of(
    st.text(max_size=30), st.sampled_from(["", "\0", "\ud800", "A" * 300, "a@b.io", "x" * 9_000])
)
ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    WORDS,
    st.binary(max_size=10),
    st.lists(st.integers(), max_size=2),
    st.datetimes(),
)
WHO = st.tuples(*[st.one_of(st.none(), WORDS, ANY) for _ in range(8)])
MAPS = st.one_of(
    ANY,
    st.dictionaries(
        st.one_of(st.sampled_from(["tool_name", "top_k", "accepted", "query"]), WORDS), ANY
    ),
)


def read_back(row) -> list:
    return read_row(json.loads(to_line(row)))


@settings(max_examples=examples(300), deadline=None)
@given(name=ANY, who=WHO, result=ANY, took=ANY, metadata=MAPS, more=MAPS, timestamp=ANY)
def test_an_events_line_reads_back_as_its_row(
    *, name, who, result, took, metadata, more, timestamp
):
    said = EventSaid(NOON_S, name, who, result, took, metadata, more, timestamp)

    row = preparer().event(said)

    if row is not None:
        [again] = read_back(row)
        assert (again.table, again.values) == ("events", row.values)


@settings(max_examples=examples(200), deadline=None)
@given(name=ANY, who=WHO, took=ANY, success=ANY, count=ANY, metadata=MAPS, timestamp=ANY)
def test_a_traces_line_reads_back_as_its_row(
    *, name, who, took, success, count, metadata, timestamp
):
    said = TraceSaid(NOON_S, name, who, took, success, count, metadata, None, timestamp)

    row = preparer().trace(said)

    if row is not None:
        [again] = read_back(row)
        assert (again.table, again.values) == ("traces", row.values)


@settings(max_examples=examples(200), deadline=None)
@given(kind=ANY, who=WHO, message=ANY, trace=ANY, severity=ANY, event=ANY, times=ANY, metadata=MAPS)
def test_an_errors_line_reads_back_as_its_row(
    *, kind, who, message, trace, severity, event, times, metadata
):
    said = ErrorSaid(NOON_S, kind, who, message, trace, severity, event, times, metadata)
    made = preparer()

    row = made.error_row(made.error(said))

    [again] = read_back(row)
    assert (again.table, again.values) == ("errors", row.values)


USUAL = st.dictionaries(
    st.sampled_from(["tool_name", "model", "top_k", "cost_usd", "accepted", "version", "query"]),
    st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=70), WORDS),
    max_size=5,
)


@settings(max_examples=examples(400), deadline=None)
@given(metadata=USUAL)
def test_the_short_way_to_metadata_ends_where_the_long_one_does(metadata):
    made = preparer()
    long_way = made._json(made._properties(metadata, None))

    assert made._usual_json(metadata) in (long_way, None)
    assert made._usual_json({"tool_name": "search", "top_k": 5}) is not None


def test_rows_have_the_columns_of_their_tables():
    made = preparer()
    intake = Intake(made, Counts())
    intake.take(ErrorSaid(NOON_S, "ValueError", NOBODY))
    [error] = intake.due(NOON_S, 0.0)
    rows = [
        made.event(EventSaid(NOON_S, "x", NOBODY)),
        made.trace(TraceSaid(NOON_S, "x", NOBODY, 1.0)),
        error,
    ]

    for row, table in zip(rows, ("events", "traces", "errors"), strict=True):
        assert row is not None
        assert (row.table, len(row.values)) == (table, len(TABLES[table].columns))


def test_sampling_leaves_out_ordinary_successes_and_weighs_the_kept():
    counts = Counts()
    made = preparer(counts=counts, sampling=Sampling(keep_rate=0.1))
    rows = [
        made.event(EventSaid(NOON_S, "x", (f"u{number}", *NOBODY[1:]))) for number in range(1_000)
    ]
    kept = [row for row in rows if row is not None]
    failed = made.event(EventSaid(NOON_S, "x", ("u1", *NOBODY[1:]), "error"))

    assert 60 < len(kept) < 140
    assert counts.sampled_out == 1_000 - len(kept)
    assert {row.values[-1] for row in kept} == {10.0}
    assert failed is not None
    assert failed.values[-1] == 1.0


def test_a_turn_that_nobody_can_be_named_for_is_still_somebodys():
    counts = Counts()
    intake = Intake(preparer(), counts)
    intake.take(TurnSaid(NOON_S, NOBODY, {"observation_count": 3}))

    [row] = intake.close()

    assert row.values[2] == "context_injected_rollup"
    assert counts.held == counts.merged == 0


# --- ids, times and the salt ---


def test_ids_are_uuids_that_sort_by_when_they_were_made():
    new_id = Uuid7(random.Random(1).getrandbits)
    made = [new_id(NOON_S + step // 3 / 1_000) for step in range(3_000)]

    assert made == sorted(made)
    assert len(set(made)) == 3_000
    assert {uuid.UUID(one).version for one in made} == {7}
    assert {uuid.UUID(one).variant for one in made} == {uuid.RFC_4122}
    assert int(made[0][:8] + made[0][9:13], 16) == NOON_S * 1_000


@pytest.mark.parametrize("at_s", [-1.0, 0.0, 1e15])
def test_a_wrong_clock_still_makes_an_id(at_s):
    uuid.UUID(Uuid7(random.Random(1).getrandbits)(at_s))


@given(st.floats(0, 4e9))
def test_times_are_written_as_they_are_read(at_s):
    text = IsoTime()(at_s)

    assert parse_time(text) == text
    exact = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at_s)
    assert abs((datetime.fromisoformat(text) - exact).total_seconds()) <= 0.001
    assert math.isfinite(at_s)


def test_a_salt_is_made_once_and_shared(tmp_path):
    home = tmp_path / "new"

    assert read_salt(home, {}) == b""
    made = home_salt(home, {})
    assert len(made) == 64
    assert home_salt(home, {}) == read_salt(home, {}) == made
    assert home_salt(home, {"TELEMETRY_SALT": " pepper "}) == b"pepper"
    assert [path.name for path in home.iterdir()] == ["salt"]
