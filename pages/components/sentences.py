"""What stands out, in plain English with its numbers; empty when nothing does.

Each function reads finished frames and returns sentences, the most surprising first. Names from
the data are escaped here, because a sentence is markdown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pages.components import pictures, text

if TYPE_CHECKING:
    from datetime import date

    from pages.components.view import View

SURPRISE: Final = 5.0  # movers beyond this many units of noise are worth a sentence
HARM: Final = 1.5  # something got worse is as much news as an improvement this much larger
QUIET_DAYS: Final = 14
UNLUCKY_SHARE: Final = 0.2  # a fifth of all errors on one person is news
HEAVY_SHARE: Final = 0.4  # so are two fifths in one group
CROWD_MIN: Final = 3  # of two, somebody always has most


def slower(view: View, *, most: int = 2) -> list[str]:
    """Say which operation's p95 stepped, when, and with which release: harm first."""
    found = view.load("shifts")
    ratio = pl.col("ratio")
    order = _harm_first(found, worse=ratio > 1, size=ratio.log().abs())
    return [
        f"p95 of **{text.escaped(name)}** {_times(times)} on {_on(day, view)}, "
        f"from {text.duration(before)} to {text.duration(after)}{_with(release)}."
        for name, day, times, before, after, release in order.head(most)
        .select(
            "operation_name",
            "day",
            "ratio",
            "duration_ms_p95_before",
            "duration_ms_p95_after",
            "release",
        )
        .iter_rows()
    ]


def failing(view: View, *, most: int = 1) -> list[str]:
    """Say for which event the error rate stepped: the one that brought most failures first."""
    found = view.load("error_shifts")
    excess = pl.col("excess")
    rows = _harm_first(found, worse=excess > 0, size=excess.abs()).head(most)
    return [
        f"The error rate of **{text.escaped(name)}** {'rose' if after > before else 'fell'} from "
        f"{text.percent(before)} to {text.percent(after)} on {_on(day, view)}{_with(release)}."
        for name, day, before, after, release in rows.select(
            "event_name", "day", "error_rate_before", "error_rate_after", "release"
        ).iter_rows()
    ]


def moved(view: View, *, most: int = 1) -> list[str]:
    """Say which event changed most against the period before."""
    if view.previous is None:
        return []
    found = view.load("movers").filter(pl.col("z").abs() > SURPRISE)
    rows = found.sort(pl.col("z").abs(), descending=True).head(most)
    sentences = []
    for name, now, before in rows.select("event_name", "events", "events_before").iter_rows():
        change = text.change(now, before)
        if change is not None and change.direction:
            times = text.about(text.some(now, "time"), view.sample("movers"))
            sentences.append(f"**{text.escaped(name)}** is {change.words}: {times} in this period.")
    return sentences


def people(view: View) -> list[str]:
    """Say how the number of active people changed, when it did."""
    if view.previous is None:
        return []
    now = view.load("kpis").filter(pl.col("kpi") == "mau")["numerator"]
    before = view.load("kpis", before=True).filter(pl.col("kpi") == "mau")["numerator"]
    sample = view.sample("kpis")
    each = sample.each if sample else 1
    change = text.change(now[0], before[0], each=each) if len(now) and len(before) else None
    if change is None or not change.direction:
        return []
    who = "person was" if now[0] == 1 else "people were"
    many = text.about(text.count(now[0]), sample)
    return [f"**{many}** {who} active in the last 30 days, {change.words}."]


def quiet(view: View) -> list[str]:
    """Say how many testers have gone quiet."""
    testers = view.load("testers")
    away = testers.filter(pl.col("quiet_days") >= QUIET_DAYS).height
    if not away:
        return []
    verb = "has" if away == 1 else "have"
    share = text.about(text.share(away, testers.height, "testers"), view.sample("testers"))
    return [f"**{share}** {verb} been quiet for {QUIET_DAYS} days or more."]


def unlucky(view: View) -> list[str]:
    """Say who meets most errors, when one tester stands out."""
    testers = view.load("testers").sort("errors", descending=True)
    total = pictures.total(testers, "errors")
    if testers.height < CROWD_MIN or total < text.SAY_MIN:
        return []
    top = testers.row(0, named=True)
    if top["errors"] < total * UNLUCKY_SHARE:
        return []
    may_list = view.facts.settings.people_lists
    who = text.escaped(text.person(top["user_id_hash"])) if may_list else "One tester"
    return [
        (
            f"**{who}** meets "
            f"{text.percent(top['errors'] / total)} of all errors "
            f"({text.count(top['errors'])} of {text.count(total)})."
        )
    ]


def new_errors(view: View) -> list[str]:
    """Say which new group of errors hits most people, and which old one does most harm."""
    groups = view.load("error_groups")
    fresh = groups.filter(pl.col("first_seen") >= view.window.opens_at).sort(
        "users", "occurrences", descending=True
    )
    if fresh.is_empty():
        return []
    top = fresh.row(0, named=True)
    many = (
        f"{text.some(fresh.height, 'group')} of errors {'is' if fresh.height == 1 else 'are'} new"
    )
    people_hit = text.some(top["users"], "person", "people")
    since = _on(top["first_seen"].date(), view)
    return [f"{many}; **{text.escaped(top['error_type'])}** hits {people_hit}, first seen {since}."]


def heaviest(view: View) -> list[str]:
    """Say how much of all errors one group is, when it is most of them."""
    groups = view.load("error_groups").sort("occurrences", descending=True)
    total = pictures.total(groups, "occurrences")
    if groups.height < CROWD_MIN or total < text.SAY_MIN:
        return []
    top = groups.row(0, named=True)
    if top["occurrences"] < total * HEAVY_SHARE:
        return []
    place = text.escaped(top["culprit"] or "an unknown place")
    share = text.percent(top["occurrences"] / total)
    return [f"**{text.escaped(top['error_type'])}** in {place} is {share} of all errors."]


def _harm_first(steps: pl.DataFrame, *, worse: pl.Expr, size: pl.Expr) -> pl.DataFrame:
    """Return the steps by size: what a release made worse, then the rest, harm counting more."""
    released = worse & pl.col("release").is_not_null()
    weighed = size * pl.when(worse).then(HARM).otherwise(1.0)
    return steps.sort(released, weighed, descending=True, maintain_order=True)


def _times(ratio: float) -> str:
    if ratio >= 1:
        if 1.9 <= ratio < 2.15:  # noqa: PLR2004
            return "doubled"
        return f"rose to {ratio:.1f} times"
    if 0.47 <= ratio <= 0.53:  # noqa: PLR2004
        return "halved"
    return f"fell by {text.percent(1 - ratio)}"


def _with(release: str | None) -> str:
    return f", with release {text.escaped(release)}" if release else ""


def _on(day: date, view: View) -> str:
    return text.day(day, today=view.today)
