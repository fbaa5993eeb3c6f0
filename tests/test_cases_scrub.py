"""The worked cases of tests/cases/scrub.json: what must go, what must stay, what must end soon."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from ingest.scrub import redact, stack, text

CASES = Path(__file__).parent / "cases"
# The budgets are for a quiet 2 GHz core; a shared one may be this much slower.
SLOWER = 4


def load(key: str) -> list[dict]:
    """Read the cases without the marker that hides them from secret scanners."""
    raw = json.loads((CASES / "scrub.json").read_text(encoding="utf-8"))
    marker = raw["meta"]["break_marker"]
    return [_without(case, marker) for case in raw[key]]


def _without(value: object, marker: str) -> object:
    if isinstance(value, str):
        return value.replace(marker, "")
    if isinstance(value, list):
        return [_without(inner, marker) for inner in value]
    if isinstance(value, dict):
        return {_without(key, marker): _without(inner, marker) for key, inner in value.items()}
    return value


SECRETS = load("secret_cases")
BENIGN = load("benign_cases")
METADATA = load("metadata_cases")
BENIGN_METADATA = load("benign_metadata")
HOSTILE = load("hostile_cases")


def by_id(case: dict) -> str:
    return f"{case['id']}-{case['kind']}-{case['level']}"


def hostile_text(case: dict) -> str:
    return case["prefix"] + case["repeat"] * case["times"] + case["suffix"]


@pytest.mark.parametrize("case", SECRETS, ids=by_id)
@pytest.mark.parametrize("scrub", [text, stack, redact])
def test_a_worked_secret_vanishes_and_its_surroundings_stay(
    case: dict, scrub: Callable[[str], str]
) -> None:
    scrubbed = scrub(case["input"])

    assert not [secret for secret in case["secrets"] if secret in scrubbed]
    assert not [kept for kept in case.get("keep", ()) if kept not in scrubbed]


@pytest.mark.parametrize("case", BENIGN, ids=by_id)
@pytest.mark.parametrize("scrub", [text, redact])
def test_a_worked_harmless_text_stays_as_it_is(case: dict, scrub: Callable[[str], str]) -> None:
    scrubbed = scrub(case["input"])

    if "must_survive" in case:
        assert not [part for part in case["must_survive"] if part not in scrubbed]
    else:
        assert scrubbed == case["input"]


@pytest.mark.parametrize("case", METADATA, ids=by_id)
def test_a_worked_secret_vanishes_from_metadata(case: dict) -> None:
    written = json.dumps(redact(case["input"]))

    assert not [secret for secret in case["secrets"] if secret in written]
    assert not [kept for kept in case.get("keep", ()) if kept not in written]


@pytest.mark.parametrize("case", BENIGN_METADATA, ids=by_id)
def test_worked_harmless_metadata_stays_as_it_is(case: dict) -> None:
    assert redact(case["input"]) == case["input"]


@pytest.mark.parametrize("case", HOSTILE, ids=by_id)
@pytest.mark.parametrize("scrub", [text, stack, redact])
def test_a_hostile_text_ends_soon_and_leaves_no_half_of_a_secret(
    case: dict, scrub: Callable[[str], str]
) -> None:
    hostile = hostile_text(case)
    started = time.thread_time()

    scrubbed = scrub(hostile)

    assert (time.thread_time() - started) * 1_000 < SLOWER * case["budget_ms"]
    assert not [secret for secret in case["secrets"] if secret in scrubbed]
    assert scrubbed.encode("utf-8").decode("utf-8") == json.loads(json.dumps(scrubbed))


def test_scrubbing_every_worked_string_twice_equals_once() -> None:
    strings = [case["input"] for case in SECRETS + BENIGN] + [hostile_text(c) for c in HOSTILE]

    for scrub in (text, stack, redact):
        once = [scrub(string) for string in strings]
        assert [scrub(string) for string in once] == once
    for case in METADATA + BENIGN_METADATA:
        assert redact(redact(case["input"])) == redact(case["input"])


# The live cases: what JSON cannot say -------------------------------------------------------------


def test_values_that_contain_themselves_end_in_a_placeholder() -> None:
    mapping: dict = {"password": "hunter2-FAKE", "n": 1}
    mapping["self"] = mapping
    listing: list = ["alice@example.com"]
    listing.append(listing)
    left: dict = {"token": "abcFAKE99"}
    left["right"] = {"left": left}

    assert redact(mapping) == {"password": "[secret]", "n": 1, "self": "[cycle]"}
    assert redact(listing) == ["[email]", "[cycle]"]
    assert redact(left) == {"token": "[secret]", "right": {"left": "[cycle]"}}


class Unprintable:
    """An object whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Numberish:
    """An object whose text is not text."""

    def __str__(self) -> str:
        return 42  # type: ignore[return-value]  # noqa: PLE0307 - that is what it tests


class Broken(Mapping):
    """A mapping that cannot be read."""

    def __getitem__(self, key: object) -> object:
        raise RuntimeError("broken")

    def __iter__(self) -> Iterator[object]:
        raise RuntimeError("broken")

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize("value", [Unprintable(), Numberish()])
def test_an_object_without_a_text_becomes_a_placeholder(value: object) -> None:
    assert text(value) == "[unreadable]"
    assert stack(value) == "[unreadable]"


@pytest.mark.parametrize("value", [Unprintable(), Numberish(), Broken()])
def test_an_object_that_raises_becomes_a_placeholder(value: object) -> None:
    assert redact({"value": value, "n": 1}) == {"value": "[unreadable]", "n": 1}


def test_a_generator_is_not_consumed_and_an_endless_iterator_ends() -> None:
    numbers = (number for number in (1, 2, 3))
    endless = iter(int, 1)

    json.dumps(redact({"numbers": numbers, "endless": endless}))

    assert text(numbers).startswith("<generator object")
    assert list(numbers) == [1, 2, 3]


@pytest.mark.parametrize("nothing", [None, 0, False, "", [], {}, math.nan, b""])
def test_nothing_to_scrub_is_no_trouble(nothing: object) -> None:
    for scrub in (text, stack):
        assert scrub(nothing) == ("" if nothing in (None, "", b"") else str(nothing))
    json.dumps(redact(nothing), allow_nan=False)
