"""What the Retention page asks and says: its choices, its numbers and its reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import streamlit as st

from data_access.links import CLOCKS, COHORTS, EVERY, RETENTION_DAYS
from data_access.metrics import compare_rates
from data_access.metrics.common import MetricError
from data_access.metrics.steps import step_of
from pages.components import kpi, options, text
from pages.components import pictures as shared
from pages.components import retention_charts as pictures
from pages.components.cell import Ask, ask
from pages.components.headline import Number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pages.components.cell import Data
    from pages.components.view import View

FAR: Final = {"1d": 7, "1w": 4, "1mo": 3}  # the second number told: does the curve level off?
ANY: Final = "any event"
RETURNS_MAX: Final = 100
SURE: Final = 0.01  # a difference that chance makes more often is not told
PEOPLE_MIN: Final = 20  # a share of fewer is not told either


# --- what is asked ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """The page's choices: which cohorts, and what counts as coming back."""

    every: str = "1w"
    cohort: str = "first"
    start: str = ANY
    back: str = ANY
    later: bool = False
    times: int = 1
    clock: str = "calendar"

    @property
    def noun(self) -> str:
        """What a period is called."""
        return pictures.NOUNS[self.every]

    @property
    def at(self) -> str:
        """How a period is spoken of: on a day, in a week."""
        return "on" if self.every == "1d" else "in"

    @property
    def options(self) -> dict[str, Any]:
        """The options of `metrics.retention`."""
        return {
            "every": self.every,
            "start": self.start,
            "back": self.back,
            "cohort": self.cohort,
            "unbounded": self.later,
            "min_returns": self.times,
            "clock": self.clock,
        }

    def ask(self, metric: str, *, split: str | None = None) -> Ask:
        """Ask for one of the retention metrics, of everybody or once per group."""
        return ask(metric, **self.options, **({"split": split} if split else {}))

    def born(self) -> str:
        """Say who a cohort is, as markdown."""
        if self.start == ANY:
            seen = "first seen" if self.cohort == "first" else "with any event"
            return f"people {seen} {self.at} a {self.noun}"
        event = text.escaped(self.start)
        if self.cohort == "first":
            return f"people whose first {event} was {self.at} a {self.noun}"
        return f"people with {event} {self.at} a {self.noun}"

    def came(self) -> str:
        """Say what counts as coming back, as markdown."""
        what = "came back" if self.back == ANY else f"came back for {text.escaped(self.back)}"
        often = f" at least {self.times} times" if self.times > 1 else ""
        later = f" {self.at} the {self.noun} shown or any later one" if self.later else ""
        return f"{what}{often}{later}"


def choose(page: str, view: View) -> tuple[Asked, str | None]:
    """Offer the choices and what to break down by; all of them are in the link."""
    names = list(view.facts.choices.get("events", ()))
    with st.container(horizontal=True, vertical_alignment="top", key="asked"):
        every = options.pills(page, "every", "Cohorts by", list(EVERY), "week")
        kind = options.pills(
            page,
            "cohort",
            "People",
            list(COHORTS),
            "first-time",
            help="first-time: in the period of their first start event ever. "
            "recurring: in every period with one.",
        )
        start = _event(page, "start", "Start event", names)
        back = _event(page, "back", "Return event", names)
        times = options.number(page, "times", "Returns, at least", 1, 1, RETURNS_MAX)
        later = options.switch(
            page,
            "later",
            "Or any later",
            help="Count who came back in that period or in any later one of those shown.",
        )
        clock = options.choose(
            page,
            "clock",
            "Periods",
            list(CLOCKS),
            "calendar",
            help="own-clock: 24 hours, 7 or 30 days from each person's own start, to the hour.",
            width=140,
        )
        split = options.breakdown(page, view)
    return Asked(EVERY[every], COHORTS[kind], start, back, later, times, CLOCKS[clock]), split


def _event(page: str, name: str, label: str, names: Sequence[str]) -> str:
    """Offer an event; one can also be typed, with what it has to say."""
    chosen = options.several(
        page,
        name,
        label,
        names,
        new=True,
        most=1,
        placeholder=ANY,
        help="Or type one with a condition: server_operation_called where tool_name:rag_search",
    )
    typed = chosen[0] if chosen else ANY
    try:
        step_of(typed)
    except MetricError as error:
        st.caption(f":material/error: {text.escaped(error, most=300)} Any event counts until then.")
        return ANY
    return typed


def enough(view: View, every: str) -> View:
    """Return a view of periods enough for a curve, no further back than the data goes."""
    wide, first = view.at_least(RETENTION_DAYS[every]), view.facts.first_day
    if first is None or wide.window.start >= first or wide is view:
        return wide
    return view.at_least((view.window.end - min(first, view.window.start)).days)


def counted(asked: Asked, chosen: View, shown: View) -> str:
    """Say what the page counts, and why over more days than were chosen."""
    said = f"How many {asked.born()} {asked.came()}."
    if shown.window is not chosen.window:
        few = text.window(chosen.window, today=chosen.today).partition(" to ")[0]
        said += f" {few} would be too few for {asked.noun}s, so more are shown."
    return said


# --- headline and reading ----------------------------------------------------------------------


def _at(mean: pl.DataFrame, number: int) -> tuple[float, float, int]:
    """Return users, cohort_users and cohorts of a row of the mean; zeros where there is none."""
    rows = mean.filter(pl.col("period") == number).select("users", "cohort_users", "cohorts").rows()
    return rows[0] if rows else (0.0, 0.0, 0)


def numbers(view: View, asked: Asked) -> list[Number]:
    """Return the headline: back after one period and after some, who comes, who goes."""
    return [
        _back(view, asked, 1),
        _back(view, asked, FAR[asked.every]),
        *_lifecycle(view, asked),
        kpi.number(view, "stickiness"),
    ]


def _each(view: View, metric: str) -> float:
    sample = view.sample(metric)
    return sample.each if sample else 1.0


def _back(view: View, asked: Asked, number: int) -> Number:
    mean = view.load("retention_mean", **asked.options)
    users, of, cohorts = _at(mean, number)
    change = None
    if view.previous is not None:
        before = _at(view.load("retention_mean", before=True, **asked.options), number)
        each = _each(view, "retention_mean")
        change = text.change_of_rate((users, of), before[:2], each=each)
    rates = view.load("retention", **asked.options).filter("complete", period=number)["rate"]
    return Number(
        f"Back in {asked.noun} {number}",
        text.rate(users, of),
        change,
        "retention_mean",
        1,
        [round(rate, 6) for rate in rates.drop_nulls()],
        f"{text.count(users)} of {text.count(of)} people in {text.some(cohorts, 'cohort')} "
        f"whose {asked.noun} {number} is over.",
    )


def _lifecycle(view: View, asked: Asked) -> list[Number]:
    """Return who came first, over all periods, and who fell silent in the last whole one."""
    now = view.load("lifecycle", every=asked.every)
    over, each = now.filter("complete"), _each(view, "lifecycle")
    before = None
    if view.previous is not None:
        before = float(view.load("lifecycle", every=asked.every, before=True)["new"].sum())
    came = float(now["new"].sum())
    gone = [abs(float(one)) for one in over["dormant"]]
    last = gone[-1] if gone else None
    earlier = gone[-2] if len(gone) > 1 else None
    return [
        Number(
            "New people",
            text.count(came),
            text.change(came, before, each=each),
            "lifecycle",
            1,
            [float(one) for one in over["new"]],
            people=came,
        ),
        Number(
            "Gone quiet",
            text.count(last),
            text.change(last, earlier, each=each),
            "lifecycle",
            -1,
            gone,
            f"In the last whole {asked.noun}, against the {asked.noun} before.",
            last,
        ),
    ]


def sentences(view: View, asked: Asked) -> list[str]:
    """Say the curve, what changed beyond chance, and which cohort stands out: else nothing."""
    mean = view.load("retention_mean", **asked.options)
    return [
        *_curve_said(view, asked, mean),
        *_changed(view, asked, mean),
        *_outlier(view, asked, mean),
    ]


def _curve_said(view: View, asked: Asked, mean: pl.DataFrame) -> list[str]:
    """Say "41 % of people first seen in a week came back in week 1 (n = 90), 18 % in ..."."""
    parts, each = [], _each(view, "retention_mean")
    for number, least in ((1, PEOPLE_MIN), (FAR[asked.every], text.GROUP_MIN)):
        users, of, _ = _at(mean, number)
        if of >= least * each:
            share = text.about(text.percent(users / of), view.sample("retention_mean"))
            when = f"{asked.at} {asked.noun} {number} (n = {text.count(of)})"
            parts.append((f"**{share}**", when))
    if not parts:
        return []
    (share, when), *later = parts
    further = "".join(f", {more} {then}" for more, then in later)
    return [f"{share} of {asked.born()} {asked.came()} {when}{further}."]


def _changed(view: View, asked: Asked, mean: pl.DataFrame) -> list[str]:
    """Say how the first return moved against the previous period, when that is hardly chance."""
    if view.previous is None:
        return []
    each = _each(view, "retention_mean")
    now = _at(mean, 1)
    before = _at(view.load("retention_mean", before=True, **asked.options), 1)
    if not _is_sure(before[:2], now[:2], each, SURE):
        return []
    first, second = before[0] / before[1], now[0] / now[1]
    word = "more" if second > first else "fewer"
    points = f"**{abs(second - first) * 100:.1f} points {word}**"
    when = f"{asked.at} {asked.noun} 1"
    return [f"That is {points} {when} than in the period before ({text.percent(first)})."]


def _outlier(view: View, asked: Asked, mean: pl.DataFrame) -> list[str]:
    """Say which cohort kept fewest or most, when it is beyond what chance does to so many."""
    cells = view.load("retention", **asked.options).filter("complete", period=1)
    users, of, cohorts = _at(mean, 1)
    each = _each(view, "retention")
    found = []
    for row in cells.filter(pl.col("cohort_users") > 0).rows(named=True):
        rest = (users - row["users"], of - row["cohort_users"])
        own = (row["users"], row["cohort_users"])
        if _is_sure(rest, own, each, SURE / max(cohorts, 1)):
            found.append((row["rate"] - rest[0] / rest[1], row, rest))
    if not found:
        return []
    apart, row, rest = max(found, key=lambda one: abs(one[0]))
    name = pictures.cohort_name(row["cohort"], asked.every)
    share = f"**{text.percent(row['rate'])}** of {text.count(row['cohort_users'])}"
    said = f"The cohort of {name} kept {'most' if apart > 0 else 'fewest'}: {share}"
    others = text.percent(rest[0] / rest[1])
    return [f"{said} {asked.at} {asked.noun} 1, against {others} of all others."]


def _is_sure(a: tuple[float, float], b: tuple[float, float], each: float, chance: float) -> bool:
    """Say whether two shares differ by more than chance would; of a sample, of those kept."""
    if min(a[1], b[1]) < PEOPLE_MIN * each:
        return False
    compared = compare_rates((a[0] / each, a[1] / each), (b[0] / each, b[1] / each))
    return compared.p_value < chance


# --- around the pictures ----------------------------------------------------------------------


def left_out(data: Data, asked: Asked) -> str | None:
    """Say what the triangle does not show, and what its stars are."""
    notes = []
    shown = pictures.shown(data.now, every=asked.every)
    if not shown.filter(pl.col("period") > 0)["complete"].all():
        notes.append(
            f"* and a dotted outline: that {asked.noun} is not over, so the number can only grow. "
            "The mean and the curves leave it out"
        )
    peopled = data.now.filter(pl.col("cohort_users") > 0)["cohort"].n_unique()
    if shown["cohort"].n_unique() < peopled:
        notes.append(
            f"Shown are the newest {shown['cohort'].n_unique()} cohorts; the mean is over all, "
            "and the rest is under Details"
        )
    return ". ".join(notes) + "." if notes else None


def curves_of(frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return a column per group and its label: the shares of the means that are over."""
    over = frame.filter(pl.col("period") > 0, pl.col("cohort_users") >= pictures.FEW)
    return shared.spread(over, "group", "rate")
