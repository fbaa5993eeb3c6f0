"""The rate limit of errors: what comes out, when, and that every occurrence is counted."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.repeats import Repeats, Verdict
from ingest.vocabulary import read_row
from tests.examples import examples

KEY = ("g1", "ada", "1.0")
OTHER = ("g2", "ada", "1.0")
NOON_S = 1_767_268_800.0  # 2026-01-01T12:00:00Z


def error(message: str = "it broke", **columns: object) -> dict[str, object]:
    return {"event_id": message, "error_type": "ValueError", "error_message": message} | columns


def counts(records: list[dict[str, object]]) -> list[object]:
    return [record["occurrences"] for record in records]


def test_a_burst_in_one_drain_is_one_record_at_once():
    repeats = Repeats()

    verdicts = [repeats.add(KEY, error(f"no. {n}"), NOON_S + n / 100) for n in range(100)]
    records = repeats.due(NOON_S + 1)

    assert verdicts == [Verdict.FIRST] + [Verdict.REPEATED] * 99
    assert records == [
        {
            "event_id": "no. 0",
            "error_type": "ValueError",
            "error_message": "no. 0",
            "occurrences": 100,
            "first_at": "2026-01-01T12:00:00.000Z",
            "last_at": "2026-01-01T12:00:00.990Z",
        }
    ]
    assert repeats.held == 0


def test_later_ones_wait_for_the_end_of_the_window_which_opens_the_next():
    repeats = Repeats(window_s=60)
    repeats.add(KEY, error("first"), NOON_S)

    assert counts(repeats.due(0.0)) == [1]
    repeats.add(KEY, error("second"), NOON_S + 1)
    repeats.add(KEY, error("third"), NOON_S + 2)
    assert repeats.due(59.9) == []
    assert repeats.held == 2
    (record,) = repeats.due(60.0)
    assert (record["error_message"], record["occurrences"]) == ("second", 2)
    assert record["first_at"] == "2026-01-01T12:00:01.000Z"
    assert record["last_at"] == "2026-01-01T12:00:02.000Z"
    assert repeats.add(KEY, error("fourth"), NOON_S + 61) == Verdict.REPEATED
    assert repeats.due(119.9) == []
    assert counts(repeats.due(120.0)) == [1]


def test_a_crash_loop_costs_one_record_a_minute_and_no_count():
    repeats = Repeats()
    out = []
    for tenth in range(6_000):  # ten minutes, a crash and a drain every 0.1 s
        repeats.add(KEY, error(), NOON_S + tenth / 10)
        out += repeats.due(tenth / 10)

    assert counts(out) == [1] + [600] * 9
    assert counts(repeats.close()) == [599]


def test_a_key_that_was_quiet_for_a_window_is_forgotten_and_comes_out_at_once_again():
    repeats = Repeats()
    repeats.add(KEY, error(), NOON_S)
    repeats.due(0.0)
    repeats.due(60.0)

    assert not repeats._windows
    assert repeats.add(KEY, error(), NOON_S + 61) == Verdict.FIRST
    assert counts(repeats.due(61.0)) == [1]


def test_another_fingerprint_user_or_release_has_a_window_of_its_own():
    repeats = Repeats()
    keys = [KEY, ("g2", "ada", "1.0"), ("g1", "bob", "1.0"), ("g1", "ada", "1.1")]
    for key in keys:
        repeats.add(key, error("-".join(key)), NOON_S)

    assert [record["error_message"] for record in repeats.due(0.0)] == ["-".join(k) for k in keys]


def test_too_many_keys_are_counted_and_the_known_ones_go_on():
    repeats = Repeats(keys_max=1)
    repeats.add(KEY, error(), NOON_S)

    assert repeats.add(OTHER, error(occurrences=3), NOON_S) == Verdict.OVERFLOW
    assert repeats.add(KEY, error(), NOON_S) == Verdict.REPEATED
    assert (repeats.held, repeats.overflow) == (2, 3)
    assert counts(repeats.close()) == [2]
    assert repeats.add(OTHER, error(), NOON_S) == Verdict.FIRST


def test_close_brings_out_what_waits_whatever_its_window():
    repeats = Repeats()
    repeats.add(KEY, error(), NOON_S)
    repeats.due(0.0)
    repeats.add(KEY, error(), NOON_S + 1)
    repeats.add(OTHER, error(), NOON_S + 2)

    assert counts(repeats.close()) == [1, 1]
    assert (repeats.held, repeats.close(), repeats.due(9e9)) == (0, [], [])


@pytest.mark.parametrize(
    ("said", "counted"),
    [(5, 5), (2.0, 2), (0, 1), (-3, 1), (None, 1), ("7", 1), (True, 1), (1e300, 1)],
)
def test_a_record_may_stand_for_several_occurrences(said, counted):
    repeats = Repeats()
    repeats.add(KEY, error(occurrences=said), NOON_S)
    repeats.add(KEY, error(), NOON_S)

    assert repeats.held == counted + 1
    (record,) = repeats.due(0.0)
    assert record["occurrences"] == counted + 1
    assert isinstance(record["occurrences"], int)


def test_a_record_that_stands_for_a_run_brings_its_own_first_and_last():
    repeats = Repeats()
    run = {"first_at": "2026-01-01T13:00:00+02:00", "last_at": "2026-01-01T12:00:05Z"}
    repeats.add(KEY, error(occurrences=9), NOON_S)
    repeats.add(KEY, error(**run), NOON_S + 1)
    repeats.add(KEY, error(first_at="long ago", last_at=None), NOON_S + 2)

    (record,) = repeats.due(0.0)
    assert record["first_at"] == "2026-01-01T11:00:00.000Z"
    assert record["last_at"] == "2026-01-01T12:00:05.000Z"


def test_weights_are_kept_and_unequal_ones_keep_their_sum():
    repeats = Repeats()
    for key, weights in ((KEY, (10.0, 10.0)), (OTHER, (1.0, 4.0, 4.0))):
        for weight in weights:
            repeats.add(key, error(weight=weight), NOON_S)

    equal, mixed = repeats.due(0.0)
    assert (equal["occurrences"], equal["weight"]) == (2, 10.0)
    assert mixed["occurrences"] * mixed["weight"] == pytest.approx(9.0)


@pytest.mark.parametrize("weight", [0, -1, None, "2", float("nan"), float("inf"), True])
def test_a_weight_that_is_none_counts_as_one(weight):
    repeats = Repeats()
    repeats.add(KEY, error(weight=weight), NOON_S)

    assert repeats.due(0.0)[0]["weight"] == 1.0


def test_the_record_that_was_given_stays_as_it_was():
    given_record = error()
    repeats = Repeats()
    repeats.add(KEY, given_record, NOON_S)

    assert repeats.due(0.0)[0] is not given_record
    assert given_record == error()


def test_occurrences_out_of_order_still_begin_before_they_end():
    repeats = Repeats()
    for at_s in (NOON_S + 5, NOON_S, NOON_S + 2):
        repeats.add(KEY, error(), at_s)

    (record,) = repeats.due(0.0)
    assert record["first_at"] == "2026-01-01T12:00:00.000Z"
    assert record["last_at"] == "2026-01-01T12:00:05.000Z"


def test_a_record_whose_run_ends_before_it_begins_is_turned_round():
    repeats = Repeats()
    run = {"first_at": "2026-01-01T12:00:05Z", "last_at": "2026-01-01T12:00:01Z"}
    repeats.add(KEY, error(**run), NOON_S)

    (record,) = repeats.due(0.0)
    assert record["first_at"] == "2026-01-01T12:00:01.000Z"
    assert record["last_at"] == "2026-01-01T12:00:05.000Z"


def test_a_clock_that_is_set_back_makes_no_window_longer():
    repeats = Repeats()
    repeats.add(KEY, error(), NOON_S)
    repeats.due(10_000.0)
    repeats.add(KEY, error(), NOON_S)

    assert repeats.due(100.0) == []
    assert repeats.due(159.0) == []
    assert counts(repeats.due(160.0)) == [1]


def test_what_comes_out_is_a_row_of_the_errors_table():
    repeats = Repeats()
    record = error(user_id_hash="ada", timestamp="2026-01-01T12:00:00Z", stack_hash="g1")
    repeats.add(KEY, record, NOON_S)
    repeats.add(KEY, record, NOON_S + 1)

    (row,) = read_row(repeats.due(0.0)[0])

    assert (row.table, row.flags) == ("errors", ())
    assert 2 in row.values


@pytest.mark.parametrize(
    "options", [{"window_s": 0}, {"window_s": float("inf")}, {"window_s": -1}, {"keys_max": 0}]
)
def test_limits_have_to_be_above_zero(options):
    with pytest.raises(ValueError, match="must be above 0"):
        Repeats(**options)


_KEYS = [(name, "ada", "1") for name in "abcd"]
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "due", "close"]),
        st.sampled_from(_KEYS),
        st.integers(1, 4),  # occurrences
        st.sampled_from([0.0, 0.1, 3.0, 9.9, 10.0, 25.0]),  # seconds since the step before
    ),
    max_size=60,
)


@settings(max_examples=examples(300))
@given(_STEPS)
def test_every_occurrence_comes_out_once_or_is_held_or_is_overflow(steps):
    repeats = Repeats(window_s=10.0, keys_max=3)
    now_s, added, out = 0.0, 0, 0
    last_out_s: dict[str, float] = {}
    firsts: dict[str, list[int]] = defaultdict(list)  # numbers of the occurrences, by key
    for number, (step, key, occurrences, later_s) in enumerate(steps):
        now_s += later_s
        records = []
        if step == "add":
            record = error(occurrences=occurrences, name=key[0], number=number)
            if repeats.add(key, record, NOON_S + now_s) != Verdict.OVERFLOW:
                firsts[key[0]].append(number)
            added += occurrences
        elif step == "due":
            records = repeats.due(now_s)
            for record in records:
                assert now_s - last_out_s.get(record["name"], -1e9) >= 10.0
                last_out_s[record["name"]] = now_s
        else:
            records = repeats.close()
            last_out_s.clear()
        for record in records:
            assert record["number"] == firsts.pop(record["name"])[0]
            assert record["first_at"] <= record["last_at"]
        out += sum(record["occurrences"] for record in records)
        assert out + repeats.held + repeats.overflow == added
        assert len(repeats._windows) <= 3
    assert sum(counts(repeats.close())) + out + repeats.overflow == added
    assert repeats.held == 0


@given(st.lists(st.tuples(st.booleans(), st.floats(-1e6, 1e6)), max_size=40))
def test_no_clock_makes_it_lose_a_count(steps):
    repeats = Repeats(window_s=10.0)
    added = out = 0
    for is_add, at_s in steps:
        if is_add:
            repeats.add(KEY, error(), NOON_S + at_s)
            added += 1
        else:
            records = repeats.due(at_s)
            assert all(record["first_at"] <= record["last_at"] for record in records)
            out += sum(counts(records))
    assert out + repeats.held == added
    assert sum(counts(repeats.close())) + out == added
