"""Who is exposed to which variant, what they did afterwards, and what may be said of it."""

from __future__ import annotations

import json
import math

import polars as pl
import pytest
from frames import event, events, instant, window
from scipy import stats as scipy_stats

from data_access import metrics
from data_access.metrics.common import MetricError
from data_access.metrics.experiment_results import MISMATCH, NOT_ENOUGH
from data_access.metrics.exposures import FLAG_EVENTS

WEEK = window("2026-01-05", "2026-01-12")
PAID = "paid_subscription_started"


def saw(when: str, user: str, variant: object, flag: str | None = "f", **columns: object):
    """Return an event that exposes a user."""
    said = {"ide": "zed"} | ({"flag": flag} if flag else {}) | {"variant": variant}
    return event(when, user, metadata=json.dumps(said), **columns)


def paid(when: str, user: str, **columns: object):
    return event(when, user, PAID, **columns)


def arms(*rows, **options) -> dict[str, dict]:
    found = metrics.experiment(events(*rows), WEEK, **{"flag": "f"} | options).collect()
    return {row["variant"]: row for row in found.rows(named=True)}


def listed(*rows) -> list[tuple]:
    found = metrics.experiments(events(*rows), WEEK).collect()
    return found.select("flag", "variant", "users").rows()


# --- which variant an event names ------------------------------------------------------------


def test_a_variant_is_read_from_any_event_and_alone_belongs_to_the_default_flag():
    assert listed(
        saw("2026-01-05", "ada", "a"),
        saw("2026-01-06", "ben", "b", name="code_insert"),
        saw("2026-01-06", "cyd", "b", flag=None),
        event("2026-01-06", "dan"),
    ) == [("default", "b", 1.0), ("f", "a", 1.0), ("f", "b", 1.0)]


@pytest.mark.parametrize("name", FLAG_EVENTS)
@pytest.mark.parametrize(
    "said",
    [
        {"flag": "f", "variant": "b"},
        {"flag": "f", "value": "b"},
        {"$feature_flag": "f", "$feature_flag_response": "b"},
        {"flag_key": "f", "variant": "b"},
    ],
    ids=str,
)
def test_a_feature_flag_event_may_use_its_own_names(name, said):
    assert listed(event("2026-01-05", "ada", name, metadata=json.dumps(said))) == [("f", "b", 1.0)]


def test_a_flag_that_is_on_or_off_has_variants_true_and_false():
    rows = [
        event("2026-01-05", "ada", "exposure", metadata='{"flag": "f", "value": true}'),
        saw("2026-01-05", "ben", variant=False),
    ]

    assert listed(*rows) == [("f", "false", 1.0), ("f", "true", 1.0)]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "{}",
        '{"flag": "f", "variant": ""}',
        '{"flag": "f", "variant": null}',
        '{"flag": "f", "value": "b"}',
        '{"about": {"flag": "f", "variant": "b"}}',
        '{"key": "variant"}',
        '{"flag": "f", "variant": "b"',
        '{"text": "\\"variant\\": \\"b\\""}',
        "broken",
    ],
)
def test_an_event_that_names_no_variant_exposes_nobody(text):
    assert listed(event("2026-01-05", "ada", metadata=text)) == []


@pytest.mark.parametrize(
    "text",
    [
        '{"variant": "b", "flag": "f"}',
        '{"ide":"zed","flag":"f","n":1,"variant":"b","deep":{"variant":"x"}}',
        '{"wörter": "schön: ü", "flag": "f", "variant": "b"}',
        '{ "flag" : "f" , "variant" : "b" }',
    ],
)
def test_the_variant_is_found_wherever_it_stands(text):
    assert listed(event("2026-01-05", "ada", metadata=text)) == [("f", "b", 1.0)]


def test_an_experiment_that_is_over_keeps_its_dates_and_has_nobody():
    given = events(
        saw("2025-12-01", "ada", "a"), saw("2025-12-20", "ben", "a"), saw("2026-02-01", "cyd", "a")
    )

    assert metrics.experiments(given, WEEK).collect().rows() == [
        ("f", "a", 0.0, instant("2025-12-01"), instant("2025-12-20"))
    ]


# --- who converted ---------------------------------------------------------------------------


def test_everybody_exposed_is_in_the_denominator_and_only_what_follows_counts():
    found = arms(
        saw("2026-01-06", "ada", "control"),
        paid("2026-01-07", "ada"),
        saw("2026-01-06", "ben", "control"),
        paid("2026-01-05", "ben"),  # before they saw it
        saw("2026-01-06", "cyd", "new"),
        paid("2026-01-12", "cyd"),  # after the window
        paid("2026-01-06", "dan"),  # saw nothing
        saw("2026-01-04", "eve", "new"),  # before the window
        paid("2026-01-06", "eve"),
    )

    assert [(a["users"], a["converted"], a["rate"]) for a in found.values()] == [
        (2.0, 1.0, 0.5),
        (1.0, 0.0, 0.0),
    ]
    assert (found["control"]["rate_low"], found["control"]["rate_high"]) == pytest.approx(
        metrics.rate_interval(1, 2)
    )


def test_who_saw_several_variants_is_in_no_arm_and_counted_as_mixed():
    found = arms(
        saw("2026-01-06", "ada", "a"),
        saw("2026-01-07", "ada", "b"),
        paid("2026-01-08", "ada"),
        saw("2026-01-06", "ben", "a"),
        saw("2026-01-07", "ben", "a"),
        saw("2026-01-06", "ben", "x", flag="other"),
        saw("2026-01-06", "cyd", "b"),
        saw("2026-01-04", "cyd", "a"),  # before the window
    )

    assert {name: (arm["users"], arm["mixed"]) for name, arm in found.items()} == {
        "a": (1.0, 1.0),
        "b": (1.0, 1.0),
    }
    people = metrics.experiment_users(
        events(saw("2026-01-06", "ada", "a"), saw("2026-01-07", "ada", "b")), WEEK, flag="f"
    ).collect()
    assert people.select("user_id_hash", "variant").rows() == [("ada", None)]


def test_a_goal_in_the_same_millisecond_counts_unless_it_is_the_exposure():
    at = "2026-01-06T10:00"
    both = arms(saw(at, "ada", "a"), paid(at, "ada"))
    itself = arms(saw(at, "ada", "a", name=PAID))
    again = arms(saw(at, "ada", "a", name=PAID), saw("2026-01-07", "ada", "a", name=PAID))

    assert [one["a"]["converted"] for one in (both, itself, again)] == [1.0, 0.0, 1.0]


def test_a_goal_may_be_typed_as_a_step_or_given_as_a_predicate():
    rows = [
        saw("2026-01-06", "ada", "a"),
        event("2026-01-07", "ada", "code_insert", metadata='{"accepted": true}'),
        saw("2026-01-06", "ben", "a"),
        event("2026-01-07", "ben", "code_insert", metadata='{"accepted": false}'),
    ]

    typed = arms(*rows, goal="code_insert where accepted:true")
    given = arms(*rows, goal=pl.col("event_name") == "code_insert")

    assert (typed["a"]["converted"], given["a"]["converted"]) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("variants", "asked", "expected"),
    [
        (("blue", "control"), None, "control"),
        (("Off", "on"), None, "Off"),
        (("red", "blue"), None, "blue"),
        (("blue", "control"), "blue", "blue"),
        (("blue", "control"), "gone", None),
    ],
)
def test_which_variant_is_the_control(variants, asked, expected):
    found = arms(*(saw("2026-01-06", v, v) for v in variants), control=asked)

    assert [name for name, arm in found.items() if arm["is_control"]] == (
        [expected] if expected else []
    )


def test_recent_people_are_those_of_the_last_seven_days():
    given = events(saw("2026-01-05", "ada", "a"), saw("2026-01-12", "ben", "a"))

    found = metrics.experiment(given, window("2026-01-05", "2026-01-19"), flag="f").collect()

    assert found.select("users", "users_recent").rows() == [(2.0, 1.0)]


def test_days_fill_up_and_quiet_ones_keep_the_rate_so_far():
    given = events(
        saw("2026-01-06", "ada", "a"),
        saw("2026-01-08", "ben", "a"),
        paid("2026-01-08", "ada"),
        paid("2026-01-09", "ada"),
    )

    found = metrics.experiment_daily(given, WEEK, flag="f").collect()

    assert found["period"].dt.day().to_list() == [5, 6, 7, 8, 9, 10, 11]
    assert found["exposed"].to_list() == [0, 1, 0, 1, 0, 0, 0]
    assert found["converted"].to_list() == [0, 0, 0, 1, 0, 0, 0]
    assert found["exposed_total"].to_list() == [0, 1, 1, 2, 2, 2, 2]
    assert found["rate"].to_list() == [None, 0, 0, 0.5, 0.5, 0.5, 0.5]
    assert found["rate_low"].null_count() == 1


def test_everybody_is_listed_with_their_variant_and_conversion():
    given = events(
        saw("2026-01-06", "ada", "a"),
        paid("2026-01-08", "ada"),
        paid("2026-01-09", "ada"),
        saw("2026-01-07", "ben", "b"),
    )

    assert metrics.experiment_users(given, WEEK, flag="f").collect().rows() == [
        ("ada", "a", instant("2026-01-06"), True, instant("2026-01-08"), 1.0),
        ("ben", "b", instant("2026-01-07"), False, None, 1.0),
    ]


def test_the_list_can_be_of_one_variant_or_of_those_who_did_not_convert():
    given = events(
        saw("2026-01-06", "ada", "a"),
        paid("2026-01-08", "ada"),
        saw("2026-01-06", "ben", "a"),
        saw("2026-01-07", "cyd", "b"),
    )

    def listed(**options) -> list[str]:
        found = metrics.experiment_users(given, WEEK, flag="f", **options)
        return found.collect()["user_id_hash"].to_list()

    assert listed(variant="a") == ["ada", "ben"]
    assert listed(converted=False) == ["ben", "cyd"]
    assert listed(variant="a", converted=True) == ["ada"]


# --- means -----------------------------------------------------------------------------------


def spent(when: str, user: str, cost: object, **columns: object):
    return event(when, user, "code_insert", metadata=json.dumps({"cost_usd": cost}), **columns)


ROWS = (
    saw("2026-01-06", "ada", "a", session_id="s1"),
    spent("2026-01-05", "ada", 100.0, session_id="s0"),
    spent("2026-01-07", "ada", 1.0, session_id="s1", duration_ms=10.0),
    spent("2026-01-08", "ada", 2.5, session_id="s2", duration_ms=30.0),
    spent("2026-01-09", "ada", "dear", session_id=""),
    saw("2026-01-06", "ben", "a"),
    saw("2026-01-06", "cyd", "b"),
    spent("2026-01-06T10:00", "cyd", 8, duration_ms=5.0),
    spent("2026-01-06T10:00", "dan", 9.0),
)


@pytest.mark.parametrize(
    ("value", "of_a", "of_b"),
    [
        ("events", (2.0, 2.5, 4.5), (1.0, 2.0, None)),
        ("sessions", (2.0, 1.0, 2.0), (1.0, 0.0, None)),
        ("sum of cost_usd", (2.0, 1.75, 6.125), (1.0, 8.0, None)),
        ("mean of cost_usd", (1.0, 1.75, None), (1.0, 8.0, None)),
        ("mean of duration_ms", (1.0, 20.0, None), (1.0, 5.0, None)),
        ("sum of tokens", (2.0, 0.0, 0.0), (1.0, 0.0, None)),
    ],
)
def test_means_count_from_the_exposure_on_and_over_people(value, of_a, of_b):
    found = metrics.experiment_means(events(*ROWS), WEEK, flag="f", value=value).collect()

    assert found.select("users", "mean", "variance").rows() == [of_a, of_b]


@pytest.mark.parametrize("value", ["", "clicks", "sum of ", "median of cost_usd", "sum of a'b"])
def test_what_is_no_measure_is_refused(value):
    with pytest.raises(MetricError):
        metrics.experiment_means(events(), WEEK, flag="f", value=value)


# --- what may be said ------------------------------------------------------------------------


def crowd(variant: str, people: int, converted: int, flag: str = "f") -> list[dict]:
    rows = []
    for at in range(people):
        user = f"{variant}{at}"
        rows.append(saw("2026-01-06", user, variant, flag))
        if at < converted:
            rows.append(paid("2026-01-07", user))
    return rows


def results(*groups: list[dict], **options) -> dict[tuple[str, str], dict]:
    rows = [row for group in groups for row in group]
    found = metrics.experiment_results(events(*rows), WEEK, **{"flag": "f"} | options).collect()
    return {(row["metric"], row["variant"]): row for row in found.rows(named=True)}


def test_a_comparison_is_the_one_of_the_public_statistics():
    found = results(crowd("control", 100, 10), crowd("new", 110, 30))
    row = found[PAID, "new"]
    lift = metrics.compare_rates((10, 100), (30, 110))
    chances = metrics.chances_of_rates([(10, 100), (30, 110)])

    assert row["status"] == "better"
    assert (row["lift"], row["lift_low"], row["lift_high"], row["p_value"]) == pytest.approx(lift)
    assert row["p_corrected"] == row["p_value"]
    assert (row["chance_to_win"], row["expected_loss"]) == pytest.approx(chances[1])
    assert (row["value_low"], row["value_high"]) == pytest.approx(metrics.rate_interval(30, 110))
    assert row["smallest_lift"] == pytest.approx(metrics.smallest_lift(0.1, 100, 110))
    assert row["people_needed"] == pytest.approx(metrics.people_for_rates(0.1, 0.12))
    assert row["days_to_go"] == pytest.approx((row["people_needed"] - 100) / (100 / 7))
    assert row["srm_p_value"] == pytest.approx(metrics.sample_ratio([100, 110]).p_value)
    assert found[PAID, "control"]["status"] == "control"
    assert found[PAID, "control"]["lift"] is None
    assert found[PAID, "control"]["chance_to_win"] == pytest.approx(chances[0].best)


@pytest.mark.parametrize(
    ("control", "other", "status"),
    [
        ((100, 10), (100, 30), "better"),
        ((100, 30), (100, 10), "worse"),
        ((100, 20), (100, 21), "no difference seen"),
        ((29, 10), (40, 20), NOT_ENOUGH),
        ((40, 20), (29, 10), NOT_ENOUGH),
        ((100, 4), (100, 50), NOT_ENOUGH),
        ((100, 50), (100, 4), NOT_ENOUGH),
        ((30, 5), (30, 5), "no difference seen"),
        ((200, 20), (100, 50), MISMATCH),
    ],
)
def test_what_may_be_said(control, other, status):
    row = results(crowd("control", *control), crowd("new", *other))[PAID, "new"]

    assert row["status"] == status
    if status == NOT_ENOUGH:
        silent = ("lift", "lift_low", "lift_high", "p_value", "p_corrected", "chance_to_win")
        assert [row[name] for name in silent] == [None] * 6


def test_the_planned_shares_decide_what_a_mismatch_is():
    groups = [crowd("control", 200, 20), crowd("new", 100, 50)]

    row = results(*groups, shares=(2, 1))[PAID, "new"]

    assert row["srm_p_value"] == pytest.approx(1.0)
    assert row["status"] == "better"


def test_every_comparison_of_the_table_is_allowed_for():
    groups = [crowd("control", 100, 10), crowd("new", 100, 24), crowd("other", 100, 12)]

    found = results(*groups, values=("events",), correction="bonferroni")

    rows = [row for row in found.values() if row["p_value"] is not None]
    assert len(rows) == 4
    for row in rows:
        assert row["p_corrected"] == pytest.approx(min(1, 4 * row["p_value"]))
        assert row["correction"] == "bonferroni"
    assert found["events", "new"]["status"] == "higher"


def test_a_mean_is_compared_by_welchs_test():
    found = results(crowd("control", 100, 10), crowd("new", 120, 60), values=("events",))
    row = found["events", "new"]
    a, b = [1.0] * 90 + [2.0] * 10, [1.0] * 60 + [2.0] * 60

    assert row["p_value"] == pytest.approx(scipy_stats.ttest_ind(b, a, equal_var=False).pvalue)
    assert row["value"] == 1.5
    assert row["lift"] == pytest.approx(1.5 / 1.1 - 1)
    assert row["converted"] is None


def test_a_control_nobody_saw_compares_nothing():
    row = results(crowd("a", 50, 10), crowd("b", 50, 20), control="gone")[PAID, "b"]

    assert (row["status"], row["lift"]) == ("nobody in the control", None)


def test_people_who_no_longer_come_never_suffice():
    rows = [row for group in (crowd("control", 100, 10), crowd("new", 100, 12)) for row in group]
    later = window("2026-01-05", "2026-02-02")

    found = metrics.experiment_results(events(*rows), later, flag="f").collect()

    assert found.filter(variant="new")["days_to_go"].to_list() == [None]


def test_one_variant_alone_and_nobody_at_all_are_no_comparison():
    alone = results(crowd("a", 50, 10))

    assert alone[PAID, "a"]["status"] == "control"
    assert alone[PAID, "a"]["chance_to_win"] is None
    assert results([]) == {}


@pytest.mark.parametrize(
    "options",
    [
        {"goals": ()},
        {"goals": (PAID,) * 21},
        {"correction": "tukey"},
        {"effect": 0.0},
        {"effect": math.nan},
        {"shares": (1, 0)},
        {"values": ("clicks",)},
        {"goals": ("",)},
    ],
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(MetricError):
        metrics.experiment_results(events(), WEEK, flag="f", **options)
