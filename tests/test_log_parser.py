"""The log's parser: whatever a crash or a stranger left, every whole line of ours counts."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import sqlite3
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from data_access import scan
from ingest.loader import replay_log
from ingest.vocabulary import read_row
from ingest.writer import Quarantined, parse_line, to_line
from tests.examples import examples
from tests.lines import event

LINE = st.one_of(
    st.binary(max_size=60).filter(lambda data: b"\n" not in data),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=10), inner, max_size=3)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b"", b"{", b'{"event_name":"x"}', b"[" * 2_000, b"9" * 5_000, b"\xff\xfe{}"]),
)


def ours(number: int) -> bytes:
    [row] = read_row(event(event_id=f"e{number}"))
    return to_line(row)


@settings(max_examples=examples(200), deadline=None)
@given(line=LINE)
def test_a_line_is_rows_or_a_reason_and_never_an_exception(line):
    parsed = parse_line(line, file="log/x.jsonl", number=0, event_id=lambda: "e1")

    if isinstance(parsed, Quarantined):
        assert parsed.reason
    else:
        assert parsed
        assert all(row.values[0] for row in parsed)


@settings(max_examples=25, deadline=None)
@given(
    strange=st.lists(LINE, max_size=6),
    cut=st.integers(0, 200),
    packed=st.booleans(),
    data=st.data(),
)
def test_strange_lines_and_a_torn_end_cost_only_themselves(strange, cut, packed, data):
    numbered = [ours(number) for number in range(5)]
    pieces = data.draw(st.permutations(numbered + [line + b"\n" for line in strange]))
    torn = ours(99)[:cut].rstrip(b"\n")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        path = home / "log" / "2026-03-01" / "w-0001.jsonl"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"".join(pieces) + torn)
        if packed:
            packed_path = path.with_name(f"{path.name}.gz")
            with path.open("rb") as plain, gzip.open(packed_path, "wb") as file:
                shutil.copyfileobj(plain, file)
            path.unlink()

        seen = set(scan("events", home).collect()["event_id"])
        replay_log(home)
        again = replay_log(home)
        with contextlib.closing(sqlite3.connect(home / "telemetry.db")) as connection:
            stored = [row[0] for row in connection.execute("SELECT event_id FROM telemetry_events")]

    assert again == 0
    assert {f"e{number}" for number in range(5)} <= set(stored)
    assert {f"e{number}" for number in range(5)} <= seen
    assert len(stored) == len(set(stored))
    if not packed and cut < len(ours(99)) - 1:
        assert "e99" not in stored
