"""What can be said of an experiment, in words and in the headline; most important first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data_access.metrics.experiment_results import (
    BETTER,
    CONVERTED_MIN,
    EXPOSED_MIN,
    HIGHER,
    LOWER,
    MISMATCH,
    NO_DIFFERENCE,
    NOT_ENOUGH,
    WORSE,
)
from pages.components import text
from pages.components.headline import Number

if TYPE_CHECKING:
    from pages.components.experiments import Trial

SAID_MAX: Final = 2  # variants in the reading
YEAR: Final = 365  # days; a plan beyond that is no plan
MIXED_MIN: Final = 0.01  # of the people: fewer in several variants are a stray login
NEEDED: Final = "People in each variant who would show the smallest change worth seeing."


def sentences(trial: Trial) -> list[str]:
    """Say the verdict on the first goal, most important first."""
    found = trial.found()
    rows = [row for row in found.rows(named=True) if row["metric"] == trial.goals[0]]
    control = next((row for row in rows if row["is_control"]), None)
    others = [row for row in rows if not row["is_control"]]
    if any(row["status"] == MISMATCH for row in others):
        return [_mismatch(rows)]
    if control is None or not others:
        return [_alone(trial, rows)]
    others.sort(key=lambda row: row["p_corrected"] if row["p_corrected"] is not None else 2.0)
    said = [_verdict(row, control, trial) for row in others[:SAID_MAX]]
    return [*said, *_beside(found, trial), *_mixed(rows)]


def _mismatch(rows: list[dict[str, Any]]) -> str:
    counts = " to ".join(text.count(row["users"]) for row in rows)
    odds = rows[0]["srm_p_value"]
    return (
        f"**Do not read this experiment.** People are split {counts} where equal parts were "
        f"expected, which chance alone does once in {text.count(1 / max(odds, 1e-12))} times. "
        "Something loses or adds people in one variant: look at how they are assigned and "
        "recorded first."
    )


def _alone(trial: Trial, rows: list[dict[str, Any]]) -> str:
    flag = text.escaped(trial.flag)
    if not rows:
        return f"**Nobody saw {flag}** in these days and with these filters."
    names = text.listed([text.escaped(row["variant"]) for row in rows])
    return (
        f"**There is nothing to compare yet**: {flag} has people in {names} only, and a "
        "comparison needs a control and another variant."
    )


def _verdict(row: dict[str, Any], control: dict[str, Any], trial: Trial) -> str:
    name, base = text.escaped(row["variant"]), text.escaped(control["variant"])
    goal = text.escaped(row["metric"], most=80)
    rates = f"{text.percent(row['value'])} against {text.percent(control['value'])}"
    if row["status"] == NOT_ENOUGH:
        sample = trial.view.sample("experiment")
        have = " and ".join(
            f"{text.about(text.count(one['converted']), sample)} of "
            f"{text.some(one['users'], 'person', 'people')} in {text.escaped(one['variant'])}"
            for one in (control, row)
        )
        return (
            f"**Not enough data yet** to compare {name} with {base} at {goal}: {have} did it, and "
            f"a comparison needs {EXPOSED_MIN} people and {CONVERTED_MIN} who did in each."
            + _wait(row, trial)
        )
    lift = f"{signed(row['lift'])} ({signed(row['lift_low'])} to {signed(row['lift_high'])})"
    if row["status"] == NO_DIFFERENCE:
        seen = row["smallest_lift"]
        unseen = (
            f" A rise below {text.percent(seen)} would stay unseen with this many people."
            if seen is not None
            else ""
        )
        return (
            f"**No difference seen** between {name} and {base} at {goal}: {rates}, a lift of "
            f"{lift}.{unseen}{_wait(row, trial)}"
        )
    return (
        f"**{name} is {row['status']} than {base}** at {goal}: {rates}, a lift of {lift}; "
        f"chance alone shows as much {_p(row['p_corrected'])} of the time."
    )


def _wait(row: dict[str, Any], trial: Trial) -> str:
    """Say how long until the smallest change worth seeing would be seen."""
    if not row["days_to_go"]:
        return ""
    days = math.ceil(row["days_to_go"])
    wait = "more than a year" if days > YEAR else f"about {text.some(days, 'more day')}"
    return f" To see a change of {wanted(trial)} it takes {wait} at the present pace."


def wanted(trial: Trial) -> str:
    """Return the smallest change worth seeing, in words."""
    return f"{trial.effect * 100:g} %"


def _beside(found: pl.DataFrame, trial: Trial) -> list[str]:
    """Say which of the other numbers differ."""
    sure = found.filter(
        pl.col("metric") != trial.goals[0], pl.col("status").is_in([BETTER, WORSE, HIGHER, LOWER])
    ).sort("p_corrected")
    if sure.is_empty():
        return []
    said = [
        f"{text.escaped(metric, most=60)} {signed(lift)} in {text.escaped(variant)}"
        for metric, variant, lift in sure.select("metric", "variant", "lift").head(3).iter_rows()
    ]
    return [f"Beyond chance as well: {'; '.join(said)}."]


def _mixed(rows: list[dict[str, Any]]) -> list[str]:
    mixed, people = rows[0]["mixed"], sum(row["users"] for row in rows)
    if mixed <= MIXED_MIN * (people + mixed):
        return []
    who = text.some(mixed, "person", "people")
    return [f"{who} saw several variants and {'is' if mixed == 1 else 'are'} left out."]


def signed(share: float | None) -> str:
    """Return a share with its sign: +12.0 %."""
    if share is None:
        return text.NOTHING
    return ("+" if share > 0 else "\N{MINUS SIGN}" if share < 0 else "") + text.percent(abs(share))


def _p(value: float) -> str:
    return "less than 0.1 %" if value < 0.001 else text.percent(value)  # noqa: PLR2004 - more digits say nothing


def numbers(trial: Trial) -> list[Number]:
    """Return the headline: people, the rates of the control and the best other one, the plan."""
    rows = [row for row in trial.found().rows(named=True) if row["metric"] == trial.goals[0]]
    control = next((row for row in rows if row["is_control"]), {})
    others = [row for row in rows if not row["is_control"]]
    best = max(others, key=lambda row: (row["chance_to_win"] or 0, row["value"] or 0), default={})
    people = sum(row["users"] for row in rows)
    is_broken = any(row["status"] == MISMATCH for row in others)
    split = "not as planned" if is_broken else "as planned" if others else text.NOTHING
    p = next((row["srm_p_value"] for row in rows), None)
    metric = "experiment_results"
    return [
        Number("People in it", text.count(people), metric="experiment", people=people),
        Number("Split", split, note="" if p is None else f"Chi-square p = {p:.3g}."),
        _rated("Converted, control", control),
        _rated("Converted, best other", best),
        Number("Chance to win", text.percent(best.get("chance_to_win")), metric=metric),
        Number("Days to go", days_words(best), metric=metric, note=NEEDED),
    ]


def _rated(label: str, row: dict[str, Any]) -> Number:
    name = f"Converted: {text.plain(row['variant'], most=18)}" if row else label
    value = text.rate(row.get("converted"), row.get("users"))
    change = None
    if row.get("lift") is not None:
        direction = {BETTER: 1, WORSE: -1}.get(row["status"], 0)
        change = text.Change(f"{signed(row['lift'])} on the control", direction)
    return Number(name, value, change, metric="experiment")


def days_words(row: dict[str, Any]) -> str:
    """Return the days to go, none when there is no telling."""
    if row.get("days_to_go") is None:
        return text.NOTHING
    days = math.ceil(row["days_to_go"])
    return "over a year" if days > YEAR else text.count(days) if days else "0, enough"
