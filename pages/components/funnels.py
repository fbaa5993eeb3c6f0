"""The Funnels page's own choices, words and people: which funnel, what stands out, who left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import streamlit as st

from data_access.links import BETWEEN, EVERY, TO_PAID, TREND_WITHIN
from data_access.metrics import compare_rates
from data_access.metrics.common import MetricError
from data_access.metrics.steps import names_of, step_of
from data_access.metrics.tiers import USERS_MIN
from pages.components import funnel_charts, options, text
from pages.components.cell import Ask, ask
from pages.components.headline import Number
from pages.components.marks import Behind, Mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pages.components.cell import Data
    from pages.components.view import View

PAGE: Final = "funnels"
ANY_TIME: Final = "any"
# token in the link -> in words
LIMITS: Final = {
    ANY_TIME: "the period",
    "1h": "an hour",
    "1d": "a day",
    "7d": "7 days",
    "14d": "14 days",
    "30d": "30 days",
}
SURE: Final = 0.05  # a difference less likely than this by chance is worth a sentence
CONVERTED_MIN: Final = 10  # people, for a median to mean something


@dataclass(frozen=True, slots=True)
class Funnel:
    """The funnel the reader asks for: `options` go to every metric, `notes` say what was wrong."""

    options: dict[str, Any]
    by: str
    every: str
    users_min: int  # fewer people are no group of their own
    notes: tuple[str, ...]

    @property
    def optional(self) -> tuple[int, ...]:
        """The numbers of steps nobody has to take."""
        found: tuple[int, ...] = self.options["optional"]
        return found

    @property
    def is_in_order(self) -> bool:
        """Whether a step is an event, and not a number of events."""
        return bool(self.options["order"] != "unordered")

    @property
    def last(self) -> int:
        """The number of the step that is the conversion."""
        return max(k for k in range(len(self.options["steps"])) if k not in self.optional)

    @property
    def trend_within(self) -> str:
        """How long everybody is given in the trend, in words."""
        return LIMITS[self.options["within"] or TREND_WITHIN]

    def trend(self) -> Ask:
        """Ask for the funnel by period of entry: without any limit no period is ever over."""
        options = self.options | {"within": self.options["within"] or TREND_WITHIN}
        return ask("funnel_trend", every=self.every, **options)

    def by_group(self) -> Ask:
        """Ask for the funnel by group; a stage is no column, but nobody ever changes it."""
        if self.by == "stage":
            return ask("funnel", split="stage", **self.options)
        return ask("funnel_by", by=self.by, users_min=self.users_min, **self.options)


# --- choices ---------------------------------------------------------------------------------


def choose(view: View) -> Funnel:
    """Let the reader say which funnel; what makes no sense is left out, with a note."""
    names = view.facts.choices.get("events", ())
    asked = options.several(
        PAGE,
        "steps",
        "Steps, in their order",
        names,
        TO_PAID,
        new=True,
        help="Choose events, or type one: `context_loaded where ide:vscode` has a condition, "
        "`context_loaded or context_resumed` is either. What stands before the colon is a column "
        "or a metadata key; join several conditions with `and`.",
        placeholder="Choose or type the events people go through",
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = options.pills(
            PAGE,
            "order",
            "Order",
            ("ordered", "strict", "unordered"),
            "ordered",
            help="ordered: one after the other, whatever lies between. strict: each the person's "
            "very next event. unordered: all of them, in any order.",
        )
        within = options.choose(
            PAGE,
            "within",
            "Within",
            tuple(LIMITS),
            ANY_TIME,
            help="How long after the first step the others count.",
            width=110,
        )
        entry = options.pills(
            PAGE,
            "entry",
            "Entry",
            ("best", "first"),
            "best",
            help="A person may start over. best: the try that got furthest counts; first: the "
            "first one does.",
        )
        groups = view.breakdowns()
        by = options.choose(
            PAGE,
            "by",
            "Compare groups by",
            groups,
            "tier",
            help="Everybody is in the group they were in on entering.",
            width=170,
        )
        with st.popover("More", icon=":material/tune:"):
            optional = options.several(
                PAGE, "optional", "Steps nobody has to take", asked, placeholder="None"
            )
            without = options.several(
                PAGE,
                "without",
                "Leave out whoever also did",
                names,
                new=True,
                help="Between the first step and the last. To narrow it, type the steps: "
                "`context_deleted between 2 and 3`.",
                placeholder="Nobody",
            )
            every = options.pills(PAGE, "every", "Conversion over time by", tuple(EVERY), "week")
    notes: list[str] = []
    steps = _steps(asked, notes)
    _unknown(steps, names, notes)
    skipped = _optional(optional, steps, order, notes)
    required = [k for k in range(len(steps)) if k not in skipped]
    return Funnel(
        {
            "steps": steps,
            "within": None if within == ANY_TIME else within,
            "order": order,
            "entry": entry,
            "exclude": _exclusions(without, required, notes),
            "optional": skipped,
        },
        by,
        EVERY[every],
        view.facts.settings.group_users_min,
        tuple(notes),
    )


def _steps(asked: Sequence[str], notes: list[str]) -> tuple[str, ...]:
    """Return the steps that can be read; the usual ones when there is none."""
    found = [step for step in asked if _is_step(step, notes)]
    if not found:
        notes.append("Choose at least one step. Until then, this is the way from free to paid.")
    return tuple(found) or TO_PAID


def _is_step(step: str, notes: list[str]) -> bool:
    try:
        step_of(step)
    except MetricError as error:
        notes.append(f"Left out “{text.escaped(step)}”: {text.escaped(error, most=300)}")
        return False
    return True


def _unknown(steps: Sequence[str], names: Sequence[str], notes: list[str]) -> None:
    """Say which steps nobody can take, because no event is called so."""
    unknown = [name for step in steps for name in names_of(step) if name not in names]
    if unknown and names:
        notes.append(
            f"No event is called {text.escaped(text.listed(unknown))}, so 0 people get "
            "there. Check the spelling in the list."
        )


def _optional(
    asked: Sequence[str], steps: Sequence[str], order: str, notes: list[str]
) -> tuple[int, ...]:
    found = tuple(k for k, step in enumerate(steps) if step in asked)
    if found and order != "ordered":
        notes.append("Every step is required here: only an ordered funnel has optional ones.")
        return ()
    if 0 in found:
        notes.append("The first step is always required: it is how people enter.")
    return tuple(k for k in found if k)


def _exclusions(
    asked: Sequence[str], required: Sequence[int], notes: list[str]
) -> tuple[tuple[str, int, int], ...]:
    """Return who is left out, as the metrics take it; people count steps from 1."""
    found = []
    for one in asked:
        narrowed = BETWEEN.fullmatch(one.strip())
        event, after, before = (
            (narrowed[1], int(narrowed[2]) - 1, int(narrowed[3]) - 1)
            if narrowed
            else (one, required[0], required[-1])
        )
        if after not in required or before not in required or after >= before:
            notes.append(
                f"“{text.escaped(one)}” leaves nobody out: name two required steps, such as "
                f"“{text.escaped(event)} between 1 and 2”."
            )
        elif _is_step(event, notes):
            found.append((event, after, before))
    return tuple(found)


# --- words -----------------------------------------------------------------------------------


def numbers(view: View, funnel: Funnel) -> list[Number]:
    """Return who entered, who converted, at what rate and how fast."""
    now = _ends(view.load("funnel", **funnel.options), funnel)
    before = None
    if view.previous is not None:
        before = _ends(view.load("funnel", before=True, **funnel.options), funnel)
    sample = view.sample("funnel")
    each = sample.each if sample else 1.0
    entered, converted, seconds = now
    changes: list[text.Change | None] = [None] * 4
    if before is not None:
        changes = [
            text.change(entered, before[0], each=each),
            text.change(converted, before[1], each=each),
            text.change_of_rate((converted, entered), (before[1], before[0]), each=each),
            text.change_of_duration(_ms(seconds), _ms(before[2]), fewest=min(converted, before[1])),
        ]
    note = text.about(f"{text.count(converted)} of {text.count(entered)} people.", sample)
    return [
        Number("Entered", text.count(entered), changes[0], "funnel", 1, (), "", entered),
        Number("Converted", text.count(converted), changes[1], "funnel", 1, (), "", converted),
        Number("Conversion", text.rate(converted, entered), changes[2], "funnel", 1, (), note),
        Number("Median time", text.duration(_ms(seconds)), changes[3], "funnel", -1),
    ]


def _ends(frame: pl.DataFrame, funnel: Funnel) -> tuple[float, float, float | None]:
    """Return who entered, who converted, and the median seconds between."""
    rows = frame.select("users", "seconds_p50").rows()
    return rows[0][0], rows[funnel.last][0], rows[funnel.last][1]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def sentences(view: View, funnel: Funnel) -> list[str]:
    """Say the biggest drop, how groups differ beyond chance, and how long it takes."""
    rows = view.load("funnel", **funnel.options).rows(named=True)
    return [*_drop(view, rows, funnel), *_difference(view, funnel), *_spent(rows, funnel)]


def _drop(view: View, rows: list[dict[str, Any]], funnel: Funnel) -> list[str]:
    """Say between which two steps most people are lost."""
    pairs = [
        (funnel_charts.before_of(rows, row["step"], funnel.optional), row)
        for row in rows[1:]
        if row["step"] not in funnel.optional
    ]
    if not pairs:
        return []
    before, after = max(pairs, key=lambda pair: pair[0]["users"] - pair[1]["users"])
    gone = before["users"] - after["users"]
    if before["users"] < USERS_MIN or gone <= 0:
        return []
    many = text.about(text.share(gone, before["users"], "people"), view.sample("funnel"))
    where = f"{text.escaped(before['event_name'])} and **{text.escaped(after['event_name'])}**"
    return [f"Most are lost between {where}: {many} did not go on."]


def _difference(view: View, funnel: Funnel) -> list[str]:
    """Say which group converts most unlike the largest one, when it is hardly chance."""
    asked = funnel.by_group()
    frame = view.load(asked.metric, **dict(asked.options))
    sizes = (
        frame.filter(step=0)
        .sort("users", "group", descending=[True, False])
        .select("group", "users")
        .rows()
    )
    done = dict(frame.filter(step=funnel.last).select("group", "users").iter_rows())
    large = [(group, done[group], n) for group, n in sizes if n >= USERS_MIN]
    if len(large) <= 1:
        return []
    base, hits, of = large[0]
    compared = [
        (compare_rates((hits, of), (other_hits, n)).p_value, group, other_hits, n)
        for group, other_hits, n in large[1:]
    ]
    chance, group, other_hits, n = min(compared)
    # the more groups are looked at, the more one differs by chance
    if not chance * len(compared) < SURE:
        return []
    more = "more" if other_hits / n > hits / of else "less"
    sample = view.sample(asked.metric)
    shares = [text.share(*pair, "people") for pair in ((other_hits, n), (hits, of))]
    against = " against ".join(text.about(share, sample) for share in shares)
    who = f"**{text.escaped(group)}** converts {more} often than {text.escaped(base)}"
    return [f"{who}: {against}."]


def _spent(rows: list[dict[str, Any]], funnel: Funnel) -> list[str]:
    end = rows[funnel.last]
    if not funnel.last or end["users"] < CONVERTED_MIN or end["seconds_p50"] is None:
        return []
    return [f"Half of those who convert do so within {text.duration(_ms(end['seconds_p50']))}."]


def entrants(view: View, funnel: Funnel, data: Data) -> str:
    """Say what a period's rate is a share of."""
    users = data.now.filter(pl.col("users") > 0)["users"]
    of = ""
    if users.len():
        low, high = float(users.min()), float(users.max())  # type: ignore[arg-type]
        of = f" ({text.count(low)} to {text.count(high)} people each)"
    before = settled_before(data)
    dotted = "" if before is None or not before["rate"].count() else "; the period before is dotted"
    return (
        f"Share of those who entered in a period{of} who converted within {funnel.trend_within}, "
        f"{text.window(view.window, today=view.today)}{dotted}"
    )


def settled_before(data: Data) -> pl.DataFrame | None:
    """Return the previous period's trend as far as everybody's time was over in it."""
    if data.before is None:
        return None
    return data.before.with_columns(pl.when("settled").then("rate").alias("rate"))


def open_note(data: Data) -> str | None:
    """Say that some periods may still change."""
    if data.now["settled"].all() or not data.now["users"].sum():
        return None
    return "Hollow: some who entered then still have time to convert."


def open_from(data: Data) -> Any:  # noqa: ANN401 - a date of the frame
    """Return the first period in which somebody may still convert."""
    return data.now.filter(~pl.col("settled"))["period"].min()


# --- people ----------------------------------------------------------------------------------


def marks(funnel: Funnel, data: Data) -> list[Mark]:
    """Return what one can ask about: who got to each step, and who did not."""
    rows = data.now.rows(named=True)
    found = []
    for row in rows:
        step = row["step"]
        got = funnel_charts.said(row, funnel.optional, name_of=text.plain)
        found.append(Mark(got, f"{funnel_charts.REACHED}-{step}"))
        if step:
            past = funnel_charts.before_of(rows, step, funnel.optional)
            lost = funnel_charts.lost(row, past, funnel.optional, name_of=text.plain)
            found.append(Mark(f"Not {step + 1}: {lost}", f"{funnel_charts.LEFT}-{step}"))
    return found


def behind(view: View, funnel: Funnel, token: str, data: Data) -> Behind:
    """Return the people who got to a step, or who got to the one before and not to it."""
    kind, _, number = token.partition("-")
    rows, step = data.now.rows(named=True), int(number)
    people = view.load("funnel_users", **funnel.options).sort("entered_at", descending=True)
    names: tuple[str, ...] = ()  # of those who left, whatever they did instead
    if kind == funnel_charts.LEFT:
        past = funnel_charts.before_of(rows, step, funnel.optional)
        words = funnel_charts.lost(rows[step], past, funnel.optional, name_of=text.escaped)
        people = people.filter(_at(past["step"]), ~_took(step, funnel))
    else:
        words = funnel_charts.said(rows[step], funnel.optional, name_of=text.escaped)
        people = people.filter(_took(step, funnel))
        names = tuple(name for one in funnel.options["steps"] for name in names_of(one))
    hidden = ["seconds"] if (people["weight"] != 1).any() else ["seconds", "weight"]
    return Behind(people.drop(hidden), words, names)


def _at(step: int) -> pl.Expr:
    return pl.col("steps_reached") > step


def _took(step: int, funnel: Funnel) -> pl.Expr:
    """Return whether a person got to a step."""
    if step not in funnel.optional:
        return _at(step)
    return pl.col("seconds").list.get(step, null_on_oob=True).is_not_null()
