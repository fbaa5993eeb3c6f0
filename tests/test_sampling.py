"""What sampling keeps, why, at which weight, and what that does to the numbers people read."""

from __future__ import annotations

import math
import random
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from frames import event, events, trace, traces, window
from hypothesis import given, settings
from hypothesis import strategies as st

from data_access.metrics.active_users import active_users
from data_access.metrics.activity import activity, sessions_by_period
from data_access.metrics.kpis import kpis
from data_access.metrics.latency import latency
from data_access.metrics.lifecycle import lifecycle
from ingest import sampling as module
from ingest.sampling import (
    CRITICAL,
    REASONS,
    Decision,
    Sampling,
    from_settings,
    standard_error,
    standard_error_of_sum,
)
from ingest.vocabulary import ACTIVE_EVENTS, CortexEventName, share_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FIVE_PERCENT = Sampling(keep_rate=0.05)
IN, OUT = "user-40", "user-0"  # of the 5 %, and not
USERS = [f"user-{number}" for number in range(20_000)]


def reason(record: dict[str, Any], sampling: Sampling = FIVE_PERCENT) -> str:
    return sampling.decide({"user_id_hash": OUT} | record).reason


# --- what is kept ----------------------------------------------------------------------------


def test_an_ordinary_success_is_kept_with_its_user_at_one_over_the_keep_rate():
    chosen, left = (
        FIVE_PERCENT.decide({"event_name": "context_loaded", "user_id_hash": user})
        for user in (IN, OUT)
    )

    assert chosen == Decision(keep=True, weight=20.0, reason="sampled_in")
    assert left == Decision(keep=False, weight=0.0, reason="sampled_out")


def test_it_is_off_by_default_and_then_keeps_everything_at_weight_one():
    off = Decision(keep=True, weight=1.0, reason="off")

    assert Sampling().decide({"event_name": "context_loaded", "user_id_hash": OUT}) == off
    assert Sampling().decide({"error_type": "ValueError"}) == off
    assert Sampling(keep_rate=1).decide({}) == off


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param({"error_type": "ValueError"}, "error", id="error-row"),
        pytest.param({"error_type": ""}, "sampled_out", id="no-error-type"),
        pytest.param({"result": "failure"}, "error", id="failure"),
        pytest.param({"result": "timeout"}, "error", id="any-other-result"),
        pytest.param({"result": "success "}, "error", id="which-the-metrics-count-as-failed"),
        pytest.param({"result": 0}, "error", id="a-number-is-no-success"),
        pytest.param({"result": []}, "error", id="nor-a-list"),
        pytest.param({"result": "SUCCESS"}, "sampled_out", id="loud-success"),
        pytest.param({"result": ""}, "sampled_out", id="empty-result"),
        pytest.param({"result": None}, "sampled_out", id="no-result"),
        pytest.param({"operation_name": "x", "success": False}, "error", id="failed-trace"),
        pytest.param({"operation_name": "x", "success": 0}, "error", id="zero"),
        pytest.param({"operation_name": "x", "success": "no"}, "error", id="no"),
        pytest.param({"operation_name": "x", "success": " False "}, "error", id="false-in-words"),
        pytest.param({"operation_name": "x", "success": True}, "sampled_out", id="success"),
        pytest.param({"operation_name": "x", "success": 1}, "sampled_out", id="one"),
        pytest.param({"operation_name": "x", "success": "who knows"}, "sampled_out", id="unread"),
        pytest.param({"operation_name": "x", "success": None}, "sampled_out", id="unknown"),
        pytest.param({"result": "success", "error_message": "no"}, "error", id="v1-with-error"),
        pytest.param({"error_message": ""}, "sampled_out", id="v1-without"),
    ],
)
def test_errors_are_always_kept(record, expected):
    assert reason(record) == expected


@pytest.mark.parametrize(
    ("duration_ms", "expected"),
    [
        (1_000.0, "sampled_out"),
        (1_000.001, "slow"),
        (1_001, "slow"),
        ("1001", "slow"),
        (10**400, "sampled_out"),
        (math.inf, "sampled_out"),
        (math.nan, "sampled_out"),
        ("soon", "sampled_out"),
        (None, "sampled_out"),
        ([5_000], "sampled_out"),
    ],
)
def test_what_took_longer_than_the_limit_is_always_kept(duration_ms, expected):
    assert reason({"event_name": "web_view_opened", "duration_ms": duration_ms}) == expected


def test_the_limit_can_be_moved_and_taken_away():
    record = {"operation_name": "search", "duration_ms": 600.0}

    assert reason(record, Sampling(keep_rate=0.05, slow_ms=500)) == "slow"
    assert reason(record | {"duration_ms": 1e12}, Sampling(0.05, math.inf)) == "sampled_out"


def test_money_and_protection_are_critical_and_no_active_event_is():
    assert {
        "paid_subscription_started",
        "paid_subscription_canceled",
        "context_protection_triggered",
        "context_protection_blocked",
    } == CRITICAL
    assert not CRITICAL & set(ACTIVE_EVENTS)
    kept = {name for name in CortexEventName if reason({"event_name": name}) == "critical"}
    assert kept == CRITICAL


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"event_name": "ext.paid_subscription_started"}, "critical"),
        ({"event_name": "paid_subscription_started", "metadata": None}, "critical"),
        ({"event_name": "buy"}, "critical"),
        ({"event_name": "mcp.activate"}, "critical"),
        ({"event_name": "browse"}, "sampled_out"),
        ({"operation_name": "buy"}, "critical"),
        ({"operation_name": "activate"}, "sampled_out"),
        ({"event_name": "tool_call", "metadata": {"tool_name": "buy"}}, "critical"),
        ({"event_name": "tool_call", "metadata": {"route": "buy"}}, "critical"),
        ({"event_name": "tool_call", "metadata": {"action": "buy"}}, "sampled_out"),
        ({"event_name": ["buy"], "metadata": {"route": {"buy": 1}}}, "sampled_out"),
        ({"event_name": "tool_call", "metadata": "buy"}, "sampled_out"),
    ],
)
def test_names_can_be_critical_wherever_a_record_carries_one(record, expected):
    names = CRITICAL | {"buy", "extension_activated"}

    assert reason(record, Sampling(keep_rate=0.05, critical=names)) == expected


def test_an_error_that_is_slow_and_critical_is_an_error():
    both = {"event_name": "paid_subscription_started", "duration_ms": 9_999}

    assert reason(both | {"result": "failure"}) == "error"
    assert reason(both) == "slow"


# --- who is chosen ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "share"),
    [
        ("ada", 0.016444369864717014),
        ("3dd5", 0.5336398877516961),
        ("x" * 64, 0.880107118418985),
        ("é", 0.3197528481357539),
        ("\ud800", 0.42426172873440565),
    ],
)
def test_a_key_has_the_same_share_in_every_process_and_release(key, share):
    """A change here cuts the history of every sampled home in two."""
    assert share_of(key) == share


@pytest.mark.parametrize(
    ("record", "key"),
    [
        ({"user_id_hash": "a", "session_id": "b", "metadata": {"request_id": "c"}}, "a"),
        ({"user_id_hash": "", "session_id": "b", "metadata": {"request_id": "c"}}, "b"),
        ({"session_id": "", "metadata": {"request_id": "c"}, "event_id": "d"}, "c"),
        ({"session_id": None, "metadata": {}, "event_id": "d"}, "d"),
        ({"user_id_hash": 7, "session_id": "b"}, "7"),
    ],
)
def test_the_user_decides_else_the_session_else_the_request_else_the_event(record, key):
    just_in, just_out = share_of(key) + 1e-12, share_of(key) - 1e-12

    assert Sampling(keep_rate=just_in).decide(record).keep
    assert not Sampling(keep_rate=just_out).decide(record).keep


def test_what_nothing_can_choose_is_kept_and_stands_for_itself():
    assert FIVE_PERCENT.decide({"event_name": "context_loaded"}) == Decision(
        keep=True, weight=1.0, reason="sampled_in"
    )


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.5])
def test_the_share_of_users_kept_is_the_keep_rate(rate):
    kept = sum(Sampling(keep_rate=rate).decide({"user_id_hash": user}).keep for user in USERS)

    assert abs(kept - 20_000 * rate) < 4 * math.sqrt(20_000 * rate * (1 - rate))


def test_the_hash_spreads_users_evenly():
    counts = [0] * 20
    for user in USERS:
        counts[int(share_of(user) * 20)] += 1

    chi_squared = sum((count - 1_000) ** 2 / 1_000 for count in counts)
    assert chi_squared < 19 + 4 * math.sqrt(2 * 19)


@given(st.text(min_size=1), st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_raising_the_rate_only_adds_users(user, one, other):
    low, high = sorted((one, other))
    record = {"user_id_hash": user}

    assert (
        Sampling(keep_rate=high).decide(record).keep >= Sampling(keep_rate=low).decide(record).keep
    )


def test_a_verdict_outlives_the_memory_of_it(monkeypatch):
    monkeypatch.setattr(module, "KEYS_REMEMBERED_MAX", 10)
    small = Sampling(keep_rate=0.3)

    first = [small.decide({"user_id_hash": user}) for user in USERS[:100]]
    again = [small.decide({"user_id_hash": user}) for user in reversed(USERS[:100])]

    assert first == again[::-1]
    assert len(small._verdicts) <= 10


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
_COLUMNS = (
    *("event_name", "operation_name", "error_type", "error_message", "result", "success"),
    *("duration_ms", "user_id_hash", "session_id", "event_id", "metadata"),
)


@given(st.dictionaries(st.sampled_from(_COLUMNS), _JSON))
def test_any_record_gets_a_verdict_and_a_sentence_that_agree(record):
    decision, sentence = FIVE_PERCENT.decide(record), FIVE_PERCENT.explain(record)

    assert decision.reason in REASONS
    assert decision.weight == {"sampled_in": decision.weight, "sampled_out": 0.0}.get(
        decision.reason, 1.0
    )
    assert decision.keep == (decision.weight >= 1) == sentence.startswith("Kept: ")
    assert sentence.endswith(".")


def test_a_decision_takes_microseconds():
    """About 1 in quiet, 2 for a user never seen; 8 leaves room for a busy machine."""
    record = {"event_name": "server_operation_called", "result": "success", "duration_ms": 9.5}
    rows = [record | {"user_id_hash": user, "metadata": {"tool_name": "x"}} for user in USERS]

    def once() -> float:
        sampling = Sampling(keep_rate=0.05)
        begun = time.process_time()
        for row in rows:
            sampling.decide(row)
        return time.process_time() - begun

    assert min(once() for _ in range(3)) / len(rows) < 8e-6


# --- in words --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (
            {"event_name": "context_loaded", "duration_ms": 2300.0},
            "Kept: it took 2,300 ms, over the limit of 1,000 ms.",
        ),
        ({"error_type": "ValueError"}, "Kept: it is an error, ValueError."),
        ({"result": "Timeout"}, "Kept: its result is 'timeout', not success."),
        ({"operation_name": "x", "success": False}, "Kept: it did not succeed."),
        ({"error_message": "it broke"}, "Kept: it carries an error message."),
        (
            {"event_name": "paid_subscription_started"},
            "Kept: 'paid_subscription_started' is critical, and always kept.",
        ),
        (
            {"user_id_hash": "user-40"},
            (
                "Kept: user user-40 is among the 5 % whose ordinary successes are kept. "
                "It stands for 20 like it."
            ),
        ),
        (
            {"user_id_hash": "3dd5a6c19f0b"},
            "Left out: user 3dd5a6c1... is not among the 5 % whose ordinary successes are kept.",
        ),
        (
            {"session_id": "s1"},
            "Left out: session s1 is not among the 5 % whose ordinary successes are kept.",
        ),
        ({}, "Kept: it has no user, session, request or event id to choose it by."),
    ],
)
def test_it_explains_itself(record, sentence):
    assert FIVE_PERCENT.explain(record) == sentence


def test_it_says_when_sampling_is_off():
    assert Sampling().explain({"error_type": "ValueError"}) == "Kept: sampling is off."


# --- settings --------------------------------------------------------------------------------


def test_the_settings_of_the_home_are_read():
    found = from_settings({"keep_rate": 0.02, "slow_ms": 250, "critical": ["/checkout"]})

    assert found == Sampling(keep_rate=0.02, slow_ms=250, critical=frozenset({"/checkout"}))
    assert from_settings({}) == Sampling()
    assert from_settings({"keep_rate": 1}) == Sampling()


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        ({"keep_rate": 0}, "keep_rate = 0 is not a share"),
        ({"keep_rate": -0.1}, "keep_rate = -0.1 is not a share"),
        ({"keep_rate": 1.01}, "keep_rate = 1.01 is not a share"),
        ({"keep_rate": math.nan}, "keep_rate = nan is not a share"),
        ({"keep_rate": "0.1"}, "keep_rate = '0.1' is not a share"),
        ({"keep_rate": True}, "keep_rate = True is not a share"),
        ({"keep_rate": None}, "keep_rate = None is not a share"),
        ({"slow_ms": 0}, "slow_ms = 0 is not a time limit"),
        ({"slow_ms": math.nan}, "slow_ms = nan is not a time limit"),
        ({"slow_ms": "1s"}, "slow_ms = '1s' is not a time limit"),
        ({"critical": "checkout"}, "critical = 'checkout' is not a list of names"),
        ({"critical": [1]}, r"critical = \[1\] is not a list of names"),
        ({"critical": [""]}, r"critical = \[''\] is not a list of names"),
        ({"critical": None}, "critical = None is not a list of names"),
        ({"rate": 0.1}, "no setting 'rate'. It has keep_rate, slow_ms, critical"),
    ],
)
def test_a_setting_that_cannot_be_used_says_which_and_what_to_write(raw, what):
    with pytest.raises(ValueError, match=r"\[sampling\].*" + what):
        from_settings(raw)


# --- what it does to the numbers -------------------------------------------------------------

RATE = 0.1
FEBRUARY = window("2026-02-01", "2026-03-01")
NAMES = (
    *("server_operation_called", "server_operation_called", "context_loaded"),
    *("web_view_opened", "context_created", "context_modified"),
)
DRAWS = 8  # samples of the same home, each with its users called something else

Rows = list[dict[str, Any]]


def population() -> tuple[Rows, Rows]:
    """Return events and traces of 3,000 people, some of them busy, over 40 days."""
    rng = random.Random(4)
    said: Rows = []
    timed: Rows = []
    for number in range(3_000):
        busy, dependent = rng.choice((0.02, 0.05, 0.2)), rng.random()
        for day in range(40):
            if rng.random() < busy:
                at = datetime(2026, 1, 20, 7, tzinfo=UTC) + timedelta(days=day)
                begun = event(at, f"{number}", session_id=f"{number}-{day}")
                more = _session(rng, begun, dependent)
                said += [begun, *more]
                timed += [_trace_of(row) for row in more if row["event_name"] in NAMES]
    return said, timed


def _session(rng: random.Random, begun: dict[str, Any], dependent: float) -> Rows:
    rows, at, user = [], begun["timestamp"], begun["user_id_hash"]
    session = {"session_id": begun["session_id"]}
    for _ in range(rng.randrange(7)):
        at += timedelta(minutes=rng.uniform(0, 20))
        name = rng.choice(NAMES)
        if name == "context_loaded" and rng.random() > dependent:
            name = "context_modified"
        took = round(rng.lognormvariate(5, 1), 3)
        result = "success" if rng.random() < 0.97 else "failure"
        rows.append(event(at, user, name, result=result, duration_ms=took, **session))
    if rng.random() < 0.02:
        rows.append(event(at, user, "paid_subscription_started", **session))
    return rows


def _trace_of(row: dict[str, Any]) -> dict[str, Any]:
    return trace(
        row["timestamp"],
        row["event_name"],
        row["duration_ms"],
        row["user_id_hash"],
        success=row["result"] == "success",
    )


SAID, TIMED = population()


def sampled(rows: Rows, draw: int) -> Rows:
    """Return the rows that are kept, with their weights, of users whose name is the draw's."""
    sampling = Sampling(keep_rate=RATE)
    kept = []
    for row in rows:
        renamed = row | {"user_id_hash": f"{draw}/{row['user_id_hash']}"}
        decision = sampling.decide(renamed)
        if decision.keep:
            kept.append(renamed | {"weight": decision.weight})
    return kept


def numbers(said: Rows) -> dict[str, float]:
    """Return what the pages show of these events, by the real metrics."""
    frame = events(*said)
    shown = {
        f"users week {number}": users
        for number, users in enumerate(
            active_users(frame, FEBRUARY, every="1w").collect()["users"].to_list()
        )
    }
    totals = kpis(frame, FEBRUARY).collect()
    shown |= {row["kpi"]: row["value"] for row in totals.iter_rows(named=True)}
    weekly = activity(frame, FEBRUARY, every="1mo").collect()
    shown |= {name: weekly[name].sum() for name in ("events", "users", "sessions")}
    monthly = sessions_by_period(frame, FEBRUARY, every="1mo").collect()
    return shown | {"sessions_by_period": monthly["sessions"].sum()}


def errors_of(said: Rows, shown: dict[str, float]) -> dict[str, float]:
    """Return the standard error of each number, out of the sample alone."""
    inside = [row for row in said if _day(row) >= datetime(2026, 2, 1, tzinfo=UTC)]
    active = [row for row in said if row["event_name"] in ACTIVE_EVENTS]
    everything = _per_user(inside, id)
    bundles = _per_user(inside, _session_of)
    loading = [row for row in inside if row["event_name"] == "context_loaded"]
    loaded = _per_user([row for row in loading if row["result"] == "success"], _session_of)
    residuals = [
        loaded.get(user, 0) - shown["cdr"] * bundles.get(user, 0) for user in loaded | bundles
    ]
    of_events = standard_error_of_sum(everything.values(), RATE)
    of_sessions = standard_error_of_sum(bundles.values(), RATE)
    found = {
        "events": of_events,
        "error_rate": shown["error_rate"] * of_events / shown["events"],
        "users": standard_error(len(_per_user(inside, _nothing)), RATE),
        "sessions": of_sessions,
        "sessions_by_period": of_sessions,
        "cdr": standard_error_of_sum(residuals, RATE) / shown["sessions"],
    }
    for name, days in {"dau": 1, "wau": 7, "mau": 30}.items():
        found[name] = _people(active, datetime(2026, 3, 1, tzinfo=UTC), days)
    for number in range(4):  # from Monday 26 January to Monday 23 February
        end = datetime(2026, 2, 2, tzinfo=UTC) + timedelta(weeks=number)
        found[f"users week {number}"] = _people(active, end, 7)
    return found


def _people(active: Rows, end: datetime, days: int) -> float:
    seen = [row for row in active if end - timedelta(days=days) <= row["timestamp"] < end]
    return standard_error(len(_per_user(seen, _nothing)), RATE)


def _per_user(rows: Rows, what: Callable[[dict[str, Any]], object]) -> dict[str, int]:
    """Return how many different things each user has whose smallest weight is not 1."""
    least: dict[tuple[str, object], float] = {}
    for row in rows:
        key = row["user_id_hash"], what(row)
        least[key] = min(row["weight"], least.get(key, math.inf))
    found: dict[str, int] = defaultdict(int)
    for (user, _), weight in least.items():
        if weight > 1:
            found[user] += 1
    return found


def _day(row: dict[str, Any]) -> datetime:
    return row["timestamp"]


def _session_of(row: dict[str, Any]) -> object:
    return row["session_id"]


def _nothing(_: dict[str, Any]) -> object:
    return None


def check(deviations: Iterable[float]) -> None:
    """Each within four standard errors, and their mean within four of its own: no bias."""
    each = list(deviations)
    assert max(map(abs, each)) < 4
    assert abs(sum(each) / len(each)) < 4 / math.sqrt(len(each))


def test_numbers_of_a_sampled_home_are_within_their_stated_error_and_not_biased():
    truth = numbers(SAID)
    deviations = defaultdict(list)
    for draw in range(DRAWS):
        kept = sampled(SAID, draw)
        shown = numbers(kept)
        for name, error in errors_of(kept, shown).items():
            deviations[name].append((shown[name] - truth[name]) / error)

    assert len(deviations) == 13
    for each in deviations.values():
        check(each)


def test_the_stated_error_is_no_larger_than_it_has_to_be():
    """The spread over many samples is what the formulas say, within the noise of 200 draws."""
    busy = {user: 1 + (number % 7) for number, user in enumerate(USERS[:2_000])}
    people, sums, stated, stated_sum = [], [], [], []
    for draw in range(200):
        kept = [busy[user] for user in busy if share_of(f"{draw}/{user}") < RATE]
        people.append(len(kept) / RATE)
        sums.append(sum(kept) / RATE)
        stated.append(standard_error(len(kept), RATE))
        stated_sum.append(standard_error_of_sum(kept, RATE))

    assert _spread(people) == pytest.approx(sum(stated) / 200, rel=0.2)
    assert _spread(sums) == pytest.approx(sum(stated_sum) / 200, rel=0.2)


def _spread(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def test_errors_are_worked_out_by_hand():
    assert standard_error(100, 0.1) == pytest.approx(94.868, abs=0.001)  # of about 1,000
    assert standard_error_of_sum([1.0] * 100, 0.1) == pytest.approx(standard_error(100, 0.1))
    assert standard_error(100, 1) == standard_error_of_sum([3.0], 1) == 0


def test_failures_and_conversions_of_a_sampled_home_are_exact():
    truth, shown = (
        activity(events(*rows), FEBRUARY, every="1mo").collect()["failures"].sum()
        for rows in (SAID, sampled(SAID, 0))
    )
    bought, kept = (
        [row for row in rows if row["event_name"] == "paid_subscription_started"]
        for rows in (SAID, sampled(SAID, 0))
    )

    assert truth == shown > 0
    assert len(bought) == len(kept) == sum(row["weight"] for row in kept)


def test_sampling_leaves_out_most_rows():
    assert len(sampled(SAID, 0)) < 0.2 * len(SAID)


@pytest.mark.parametrize(("column", "q"), [("duration_ms_p50", 0.5), ("duration_ms_p95", 0.95)])
def test_percentiles_of_a_sampled_home_are_within_their_stated_error(column, q):
    """In ranks: which share of all durations lies below the percentile that the sample shows."""
    durations = [row["duration_ms"] for row in TIMED]
    deviations = []
    for draw in range(DRAWS):
        kept = sampled(TIMED, draw)
        shown = latency(traces(*kept), window("2026-01-01", "2026-04-01"), by=()).collect()
        value = shown[column].item()
        residuals: dict[str, float] = defaultdict(float)
        for row in kept:
            if row["weight"] > 1:
                residuals[row["user_id_hash"]] += (row["duration_ms"] <= value) - q
        error = standard_error_of_sum(residuals.values(), RATE) / shown["traces"].item()
        rank = sum(took <= value for took in durations) / len(durations)
        deviations.append((rank - q) / error)

    check(deviations)


def test_who_is_new_is_right_among_the_chosen_users_alone():
    """Somebody left out is first seen with their first slow event, which may be their tenth."""
    truth = lifecycle(events(*SAID), FEBRUARY, every="1w").collect()["new"].sum()
    deviations = []
    for draw in range(DRAWS):
        chosen = [
            row | {"weight": 1 / RATE}
            for row in sampled(SAID, draw)
            if share_of(row["user_id_hash"]) < RATE
        ]
        new = lifecycle(events(*chosen), FEBRUARY, every="1w").collect()["new"].sum()
        deviations.append((new - truth) / standard_error(new * RATE, RATE))

    check(deviations)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(USERS[:50]), st.booleans()), max_size=30))
def test_a_user_kept_whole_and_one_left_out_never_mix_ordinary_events(seen):
    sampling = Sampling(keep_rate=0.3)
    verdicts = defaultdict(set)
    for user, failed in seen:
        decision = sampling.decide({"user_id_hash": user, "result": "failure" if failed else ""})
        if not failed:
            verdicts[user].add(decision)

    assert all(len(of_user) == 1 for of_user in verdicts.values())
