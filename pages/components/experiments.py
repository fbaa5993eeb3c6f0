"""An experiment on its page: what is asked of it, its tables, and the people in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import streamlit as st

from data_access.errors import MetricError
from data_access.metrics.experiment_results import (
    BETTER,
    CONTROL,
    CONVERTED_MIN,
    EXPOSED_MIN,
    HIGHER,
    LOWER,
    MISMATCH,
    NO_CONTROL,
    NO_DIFFERENCE,
    NOT_ENOUGH,
    WORSE,
)
from data_access.metrics.experiments import GOAL
from data_access.metrics.exposures import Measure
from data_access.metrics.steps import step_of
from data_access.stats import CORRECTIONS, POWER
from pages.components import experiment_charts, options, text
from pages.components.cell import Ask, ask
from pages.components.marks import Behind, Mark, token_at
from pages.components.tables import Table
from pages.components.verdict import NEEDED, days_words, signed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import plotly.graph_objects as go

    from pages.components.cell import Data
    from pages.components.view import View

PAGE: Final = "experiments"
GOALS_MAX: Final = 5
MEANS_MAX: Final = 5
EFFECT: Final = 20  # per cent
MEANS: Final = (
    *("events", "sessions", "sum of cost_usd", "sum of tokens_input", "sum of lines_inserted"),
    *("mean of duration_ms", "mean of savings_rate"),
)
CODE: Final = """client = ingest.Client(channel="server")
client.track("exposure", user_id=user, flag="short_answers", variant=variant)"""
_VERDICTS: Final = {
    BETTER: "▲ better",
    WORSE: "▼ worse",
    HIGHER: "▲ higher",
    LOWER: "▼ lower",
    NO_DIFFERENCE: "● no difference seen",
    NOT_ENOUGH: "… not enough data yet",
    MISMATCH: "✕ do not read",
    NO_CONTROL: "nobody in the control",
    CONTROL: "control",
}
_HELPS: Final = {
    "metric": "What is compared: a goal that people reach or not, or an average per person.",
    "users": "People exposed; for a mean of something, those who have any.",
    "value": "The share of people who reached the goal, or the average per person.",
    "lift": "How much more than the control, relative to it.",
    "interval": "The lift lies in here, unless this is one of the 5 % of times that it does not.",
    "p": "How often chance alone would show a difference this large or larger, allowing for all "
    "comparisons in this table. Below 0.05 it is called a difference.",
    "chance": "The probability that this variant is the best of all, given these numbers and no "
    "earlier opinion.",
    "loss": "What choosing this variant would cost on average if another one is better, in the "
    "unit of the number itself.",
    "verdict": f"A comparison needs {EXPOSED_MIN} people in both, and {CONVERTED_MIN} who reached "
    "a goal. Read nothing when people are not split as planned.",
    "smallest": f"The rise that these people would show in {POWER:.0%} of experiments; smaller "
    "ones may be there and stay unseen.",
    "needed": NEEDED,
    "days": "Until both variants have them, at the pace of the last 7 days.",
}


@dataclass(frozen=True)
class Trial:
    """One experiment as the reader asks about it, over the days it is looked at."""

    view: View
    flag: str
    goals: tuple[str, ...]
    values: tuple[str, ...]
    control: str | None
    correction: str
    effect: float
    began: datetime

    @property
    def main(self) -> dict[str, Any]:
        """The options of a metric about the first goal."""
        return {"flag": self.flag, "goal": self.goals[0]}

    def results(self) -> Ask:
        """Ask for the comparison of everything."""
        return ask("experiment_results", **self._options())

    def found(self) -> pl.DataFrame:
        """Return the comparison of everything."""
        return self.view.load("experiment_results", **self._options())

    def _options(self) -> dict[str, Any]:
        return {
            "flag": self.flag,
            "goals": self.goals,
            "values": self.values,
            "control": self.control,
            "correction": self.correction,
            "effect": self.effect,
        }


def chosen(view: View) -> Trial | None:
    """Offer the experiments there are and what to ask of them; where none is, say how to start."""
    found = view.load("experiments")
    if found.is_empty():
        _how_to_start()
        return None
    flags = (
        found.group_by("flag")
        .agg(pl.col("users").sum(), pl.col("first_seen").min())
        .sort("users", "flag", descending=[True, False])
    )
    names = flags["flag"].to_list()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        flag = options.choose(PAGE, "flag", "Experiment", names, names[0])
        variants = found.filter(pl.col("flag") == flag)["variant"].to_list()
        control = options.choose(
            PAGE,
            "control",
            "Control",
            ["automatic", *variants],
            "automatic",
            help="The variant all others are compared with. Automatic: the one called control, "
            "baseline or off, else the first by name.",
        )
        effect = options.number(
            PAGE,
            "effect",
            "Smallest change worth seeing, %",
            EFFECT,
            1,
            500,
            help="What the plan below is made for, relative to the control.",
        )
        correction = options.choose(
            PAGE,
            "correction",
            "Correction",
            CORRECTIONS,
            "holm",
            help="Of the p values, for several comparisons. Holm and Bonferroni bound the chance "
            "of any false finding, Benjamini-Hochberg the share of false ones among the findings.",
        )
    goals, values = _measured(view)
    is_period = options.switch(
        PAGE,
        "period",
        "Only the days chosen in the sidebar",
        help="Otherwise from the experiment's first exposure to the end of those days.",
    )
    began = flags.filter(pl.col("flag") == flag)["first_seen"].to_list()[0]
    return Trial(
        replace(view, compare=False) if is_period else _whole(view, began),
        flag,
        goals,
        values,
        None if control == "automatic" else control,
        correction,
        effect / 100,
        began,
    )


def _measured(view: View) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Offer what counts as success, and which averages to compare."""
    left, right = st.columns(2)
    with left:
        events = view.facts.choices.get("events", ())
        goals = options.several(
            PAGE,
            "goals",
            "What counts as success",
            list(dict.fromkeys([GOAL, *events])),
            (GOAL,),
            new=True,
            most=GOALS_MAX,
            help="Events that people reach after they saw a variant; the first one is drawn. You "
            "can type a condition: code_insert where accepted:true",
        )
    with right:
        values = options.several(
            PAGE,
            "means",
            "Averages per person",
            MEANS,
            ("events", "sessions"),
            new=True,
            most=MEANS_MAX,
            help="From a person's exposure on. You can type sum of KEY or mean of KEY, with a "
            "metadata key that holds numbers.",
        )
    return _read(goals, step_of) or (GOAL,), _read(values, Measure.of)


def _read(typed: tuple[str, ...], reads: Callable[[str], object]) -> tuple[str, ...]:
    """Return what can be read of it, and say what cannot."""
    known = []
    for one in typed:
        try:
            reads(one)
        except MetricError as error:
            st.caption(f":material/info: {text.escaped(error, most=300)}")
        else:
            known.append(one)
    return tuple(known)


def _whole(view: View, began: datetime) -> View:
    """Return a view from the day of the first exposure to the end of the period."""
    day = view.window.start
    local = pl.Series([began]).dt.convert_time_zone(view.timezone).dt.date().to_list()[0]
    start = min(local, view.window.end) if local < view.window.end else day
    whole = replace(view.window, start=start, start_at=None, end_at=None)
    return replace(view.over(whole), compare=False)


def _how_to_start() -> None:
    """Say what would fill this page: two lines in the product."""
    st.caption(
        ":material/hourglass_empty: No event up to this period names a variant, so there is no "
        "experiment to read. Record which variant a person sees, when they see it:"
    )
    st.code(CODE, language="python")
    st.caption(
        "Any other event may carry `flag` and `variant` in its metadata as well. What people do "
        "afterwards is counted from the events you already have."
    )


# --- pictures --------------------------------------------------------------------------------


def so_far(data: Data, trial: Trial) -> go.Figure:
    """Return the conversion so far by variant."""
    control = control_of(trial)
    names = data.now["variant"].unique().sort().to_list()
    wide = data.now.select("period").unique().sort("period")
    for at, name in enumerate(names):
        ends = [pl.col("rate").alias(f"_{at}")]
        ends += [pl.col(f"rate_{end}").alias(f"_{at}_{end}") for end in ("low", "high")]
        one = data.now.filter(pl.col("variant") == name).select("period", *ends)
        wide = wide.join(one, on="period", how="left")
    labels = {f"_{at}": name for at, name in enumerate(names)}
    return experiment_charts.so_far(wide.sort("period"), labels, control)


def control_of(trial: Trial) -> str | None:
    """Return the variant that the others are compared with."""
    found = trial.found().filter("is_control")["variant"].to_list()
    return found[0] if found else None


def lifts(data: Data, trial: Trial) -> pl.DataFrame:
    """Return the lifts that may be shown."""
    return _in_order(data, trial).filter(
        pl.col("lift_low").is_not_null(), pl.col("status") != MISMATCH
    )


def _in_order(data: Data, trial: Trial) -> pl.DataFrame:
    """Return the comparisons as they were asked for, the control first."""
    places = {name: at for at, name in enumerate((*trial.goals, *trial.values))}
    at = data.now["metric"].replace_strict(places, default=len(places), return_dtype=pl.Int64)
    return data.now.sort(at, ~data.now["is_control"], maintain_order=True)


def compared(data: Data, trial: Trial) -> Table:
    """Return the table of everything that is compared."""
    said = [
        {
            "metric": row["metric"],
            "variant": row["variant"],
            "users": row["users"],
            "value": _value(row, row["value"]),
            "lift": signed(row["lift"]) if _told(row) else text.NOTHING,
            "interval": f"{signed(row['lift_low'])} to {signed(row['lift_high'])}"
            if _told(row) and row["lift_low"] is not None
            else text.NOTHING,
            "p": f"{row['p_corrected']:.3f}"
            if _told(row) and row["p_corrected"] is not None
            else text.NOTHING,
            "chance": text.percent(row["chance_to_win"]) if _told(row) else text.NOTHING,
            "loss": _value(row, row["expected_loss"]) if _told(row) else text.NOTHING,
            "verdict": _VERDICTS.get(row["status"], row["status"]),
        }
        for row in _in_order(data, trial).rows(named=True)
    ]
    labels = {
        "metric": "Metric",
        "variant": "Variant",
        "users": "People",
        "value": "Value",
        "lift": "Lift",
        "interval": "95 % interval",
        "p": "p, corrected",
        "chance": "Chance to win",
        "loss": "Expected loss",
        "verdict": "Verdict",
    }
    right = ("value", "lift", "interval", "p", "chance", "loss")
    return Table(pl.DataFrame(said), labels, dict.fromkeys(right, "said"), helps=_HELPS, rows=10)


def _told(row: dict[str, Any]) -> bool:
    return bool(row["status"] != MISMATCH)


def _value(row: dict[str, Any], value: float | None) -> str:
    if value is None:
        return text.NOTHING
    if row["kind"] == "rate":
        return text.percent(value)
    if "_usd" in row["metric"]:
        return text.money(value)
    return text.duration(value) if row["metric"].endswith("_ms") else _plain(value)


def _plain(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 10 else text.count(value)  # noqa: PLR2004 - 0.0123 is not 0


def planned(data: Data, trial: Trial) -> Table:
    """Return the table of what could be seen, and when."""
    rows = _in_order(data, trial).filter(~pl.col("is_control"))
    frame = pl.DataFrame(
        {
            "metric": rows["metric"],
            "variant": rows["variant"],
            "users": rows["users"],
            "smallest": [signed(one) for one in rows["smallest_lift"]],
            "needed": [text.count(one) for one in rows["people_needed"].ceil()],
            "days": [days_words({"days_to_go": one}) for one in rows["days_to_go"]],
        }
    )
    labels = {
        "metric": "Metric",
        "variant": "Variant",
        "users": "People",
        "smallest": "Smallest rise seen",
        "needed": "People needed, each",
        "days": "Days to go",
    }
    said = dict.fromkeys(("smallest", "needed", "days"), "said")
    return Table(frame, labels, said, helps=_HELPS, rows=8)


def method(data: Data) -> str | None:
    """Name the correction, and how many comparisons it allows for."""
    tests = data.now["p_value"].count()
    if not tests:
        return None
    name = {"holm": "Holm", "bonferroni": "Bonferroni", "benjamini-hochberg": "Benjamini-Hochberg"}
    used = data.now["correction"][0]
    how = (
        f"corrected by {name[used]} for {text.some(tests, 'comparison')}"
        if used in name
        else ("not corrected")
    )
    return (
        f"p values are two-sided and {how}. Decide the day of the verdict beforehand: whoever "
        "stops at the first good day finds differences that are not there."
    )


def said(data: Data) -> str:
    """Say the rates for somebody who does not see them."""
    return "; ".join(
        f"{name}: {text.percent(rate)} ({text.percent(low)} to {text.percent(high)})"
        for name, rate, low, high in data.now.select(
            "variant", "rate", "rate_low", "rate_high"
        ).iter_rows()
    )


# --- the people ------------------------------------------------------------------------------


def people(trial: Trial) -> dict[str, Any]:
    """Lead from a variant to the people in it who reached the first goal, or did not."""

    def marks(data: Data) -> list[Mark]:
        found = []
        for name, users, converted in data.now.select("variant", "users", "converted").iter_rows():
            who = text.some(converted, "person", "people")
            found.append(Mark(f"{name}: {who} who reached the goal", f"{name}~yes"))
            who = text.some(users - converted, "person", "people")
            found.append(Mark(f"{name}: {who} who did not", f"{name}~no"))
        return found

    def behind(token: str, _: Data) -> Behind:
        name, answer = token.rsplit("~", 1)
        did = answer == "yes"
        found = trial.view.load("experiment_users", variant=name, converted=did, **trial.main)
        shown = found.select("user_id_hash", "exposed_at", "converted_at", "weight")
        words = (
            f"{text.some(found.height, 'person', 'people')} saw {text.escaped(name)} and "
            f"{'reached' if did else 'did not reach'} {text.escaped(trial.goals[0], most=80)}"
        )
        return Behind(shown, words, window=trial.view.window)

    return {"marks": marks, "at": token_at, "behind": behind}
