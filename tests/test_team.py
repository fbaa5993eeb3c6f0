"""The team's notes and segments: one line each, the latest one counts, no telemetry touched."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from data_access import Filters, Note, Segment, Window, notes, problems, scan, segments, version
from ingest.team import TeamRefused, add_note, remove_note, remove_segment, save_segment
from ingest.vocabulary import SEGMENT_USERS_MAX
from tests.lines import event

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)
HOSTILE = "**x**\n<script>\u202e\x00 $y$"


def written(home: Path, name: str, *lines: str) -> None:
    (home / "team").mkdir(exist_ok=True)
    (home / "team" / name).write_text("".join(f"{line}\n" for line in lines))


def test_a_note_about_a_day_or_an_instant_is_read_back_oldest_first(home):
    second = add_note(home, "Announced", at="2026-03-02T09:00:00+01:00", who="Mina", now=NOW)
    first = add_note(home, " Moved\nthe servers ", at=date(2026, 3, 1), now=NOW)

    assert notes(home) == [
        Note(first, date(2026, 3, 1), "Moved the servers", "", NOW),
        Note(second, datetime(2026, 3, 2, 8, tzinfo=UTC), "Announced", "Mina", NOW),
    ]
    assert [note.day for note in notes(home)] == [date(2026, 3, 1), date(2026, 3, 2)]


def test_a_note_taken_back_is_gone_and_its_line_is_kept(home):
    gone = add_note(home, "Wrong day", at="2026-03-01")
    remove_note(home, gone)

    assert notes(home) == []
    assert (home / "team" / "notes.jsonl").read_text().count("Wrong day") == 1


def test_a_segment_is_a_list_or_a_query_and_the_latest_of_its_name_counts(home):
    save_segment(home, "internal", users=["b", "a", "a"], now=NOW)
    save_segment(home, "payers", query="?tier=paid", who="Mina", now=NOW)
    assert segments(home) == {
        "internal": Segment("internal", ("a", "b"), "", "", NOW),
        "payers": Segment("payers", (), "tier=paid", "Mina", NOW),
    }

    save_segment(home, "internal", users=["c"])
    remove_segment(home, "payers")
    assert {name: one.users for name, one in segments(home).items()} == {"internal": ("c",)}


def test_a_hostile_name_is_one_plain_line(home):
    assert save_segment(home, HOSTILE, users=["a"]) == "**x** <script> $y$"
    assert list(segments(home)) == ["**x** <script> $y$"]


@pytest.mark.parametrize(
    ("name", "people", "said"),
    [
        ("  ", {"users": ["a"]}, "needs a name"),
        ("n" * 61, {"users": ["a"]}, "longer than 60"),
        ("not internal", {"users": ["a"]}, "everybody else"),
        ("s", {"users": []}, "Nobody"),
        ("s", {"users": ["x" * 129]}, "at most 128"),
        ("s", {"users": [str(n) for n in range(SEGMENT_USERS_MAX + 1)]}, "Save the filters"),
        ("s", {"query": ""}, "would be everybody"),
        ("s", {"query": "q" * 4_001}, "longer than 4,000"),
        ("s", {}, "one of them"),
        ("s", {"users": ["a"], "query": "tier=paid"}, "one of them"),
    ],
)
def test_what_cannot_be_a_segment_is_refused_with_what_to_do(home, name, people, said):
    with pytest.raises(TeamRefused, match=said):
        save_segment(home, name, **people)
    assert not (home / "team").exists()


@pytest.mark.parametrize(
    ("text", "at"), [("", "2026-03-01"), ("x", "March"), ("x", "2026-13-01"), ("x", "")]
)
def test_a_note_without_words_or_day_is_refused(home, text, at):
    with pytest.raises(TeamRefused):
        add_note(home, text, at=at)


def test_a_home_that_is_one_file_has_no_room_and_says_so(home, load_lines):
    load_lines(event())

    with pytest.raises(TeamRefused, match="single file"):
        add_note(home / "telemetry.db", "x", at="2026-03-01")
    with pytest.raises(TeamRefused, match="no telemetry at"):
        add_note(home / "missing", "x", at="2026-03-01")
    assert notes(home / "telemetry.db") == []
    assert segments(home / "telemetry.db") == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_may_not_be_written_says_whom_to_ask(home):
    home.chmod(0o500)
    try:
        with pytest.raises(TeamRefused, match="cannot be written"):
            save_segment(home, "s", users=["a"])
    finally:
        home.chmod(0o700)


def test_a_file_in_the_folders_place_says_it_cannot_be_written(home):
    (home / "team").write_text("")

    with pytest.raises(TeamRefused, match="cannot be written"):
        save_segment(home, "s", users=["a"])


def test_lines_that_cannot_be_understood_are_counted_and_the_rest_is_read(home):
    save_segment(home, "good", users=["a"])
    good = (home / "team" / "segments.jsonl").read_text().strip()
    broken = (
        "{",
        "[]",
        '"name"',
        "{}",
        '{"name": 3}',
        '{"name": "a"}',
        '{"name": "b", "users": []}',
        '{"name": "c", "users": "abc"}',
        '{"name": "d", "users": [1]}',
        '{"name": "e", "query": 1}',
        '{"name": "f", "users": ["a"], "query": "tier=paid"}',
        json.dumps({"name": "n" * 61, "users": ["a"]}),
        "[" * 100_000,
        "\x00",
    )
    written(home, "segments.jsonl", *broken, good)
    written(home, "notes.jsonl", '{"id": "1", "at": "soon", "text": "x"}', '{"id": "2", "at": 1}')

    assert list(segments(home)) == ["good"]
    assert notes(home) == []
    said = {problem.where: problem.count for problem in problems(home)}
    assert said == {"team/segments.jsonl": len(broken), "team/notes.jsonl": 2}


def test_a_line_cut_in_half_costs_itself_alone(home):
    save_segment(home, "one", users=["a"])
    with (home / "team" / "segments.jsonl").open("a") as file:
        file.write('{"name": "tw')
    save_segment(home, "three", users=["a"])

    assert list(segments(home)) == ["one", "three"]


def test_many_writers_at_once_lose_nothing(home):
    users = [f"{number:064}" for number in range(1_000)]
    threads = [
        threading.Thread(target=save_segment, args=(home, f"s{number}"), kwargs={"users": users})
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {len(one.users) for one in segments(home).values()} == {1_000}
    assert len(segments(home)) == 8


def test_the_version_follows_segments_and_not_notes(home, load_lines):
    load_lines(event())
    before = version(home)

    add_note(home, "x", at="2026-03-01")
    assert version(home) == before
    save_segment(home, "s", users=["u1"])
    assert version(home) != before


def test_what_the_team_says_is_never_telemetry(home, load_lines):
    load_lines(event("u1"))
    save_segment(home, "s", users=["u2"])
    add_note(home, "x", at="2026-03-01")

    everything = scan("events", home, filters=Filters(Window(date(2026, 3, 1), date(2026, 4, 1))))
    assert everything.collect()["user_id_hash"].to_list() == ["u1"]
    assert {problem.kind for problem in problems(home)} <= {"clock"}
