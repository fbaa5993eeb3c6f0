"""The Features page in numbers and sentences: what is used most, what fails, what it brings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import polars as pl

from data_access.metrics.tools import ACCEPTANCE_TARGET, SAVINGS_TARGET
from pages.components import features, kpi, pictures, text
from pages.components.headline import Number

if TYPE_CHECKING:
    from pages.components.view import View

WORTH_SAYING: Final = 1.25  # a tool fails this much more often than all, or a pair than chance
NOISE: Final = 2.0  # and by this many units of the chance in a count
SAVED: Final = ("saved_tokens", "before_tokens")
ACCEPTED: Final = ("accepted", "answered")


def numbers(view: View) -> list[Number]:
    """Return the headline: how much the tools do, how often they fail, whether they help."""
    return [
        _in_use(view),
        _count(view),
        _rate(view, "tools", ("failures", "calls"), "Failed calls", "calls", good=-1),
        _rate(
            view,
            "token_savings",
            SAVED,
            "Tokens saved",
            "tokens",
            spark="savings_rate",
            target=SAVINGS_TARGET,
        ),
        _rate(
            view,
            "reference_acceptance",
            ACCEPTED,
            "Suggestions accepted",
            "suggestions",
            spark="acceptance_rate",
            target=ACCEPTANCE_TARGET,
        ),
        _rate(
            view,
            "rag",
            ("empty", "counted"),
            "Empty searches",
            "searches",
            spark="empty_rate",
            good=-1,
        ),
    ]


def _in_use(view: View) -> Number:
    now = _used(view)
    change = None
    if view.previous is not None:
        before = _used(view, before=True)
        same = "as many as before" if before == now else f"{before} before"
        change = text.Change(same)
    note = "Features with at least one use."
    return Number("Features in use", text.count(now), change, "feature_usage", 0, (), note)


def _used(view: View, *, before: bool = False) -> int:
    return view.load("feature_usage", before=before, by=None).filter(pl.col("uses") > 0).height


def _count(view: View) -> Number:
    now = pictures.total(view.load("tools"), "calls")
    change = None
    if view.previous is not None:
        sample = view.sample("tools")
        before = pictures.total(view.load("tools", before=True), "calls")
        change = text.change(now, before, each=sample.each if sample else 1)
    past = kpi.spark(view, view.load("rag"), "searches")
    return Number("Tool calls", text.count(now), change, "tools", 1, past, "Line: searches a day.")


def _rate(
    view: View,
    metric: str,
    parts: tuple[str, str],
    label: str,
    noun: str,
    *,
    spark: str = "",
    target: float | None = None,
    good: int = 1,
) -> Number:
    """Return a share of the window's sums as a headline number."""
    part, whole = _sums(view, metric, parts)
    change = None
    if view.previous is not None:
        sample = view.sample(metric)
        before = _sums(view, metric, parts, before=True)
        each = sample.each if sample else 1.0
        if metric == "token_savings" and whole and before[1]:  # tokens are no independent draws
            change = _points(part / whole, before[0] / before[1])
        else:
            change = text.change_of_rate((part, whole), before, each=each)
    past = kpi.spark(view, view.load(metric), spark) if spark else ()
    note = f"{text.count(part)} of {text.count(whole)} {noun}."
    if target is not None:
        note += f" The target is {target * 100:.0f} %."
    return Number(label, text.rate(part, whole), change, metric, good, past, note)


def _sums(
    view: View, metric: str, parts: tuple[str, str], *, before: bool = False
) -> tuple[float, float]:
    frame = view.load(metric, before=before)
    return pictures.total(frame, parts[0]), pictures.total(frame, parts[1])


def _points(now: float, before: float) -> text.Change:
    points = (now - before) * 100
    if abs(points) < 1:
        return text.Change(f"about the same (from {text.percent(before)})")
    word = "up" if points > 0 else "down"
    return text.Change(
        f"{word} {abs(points):.1f} points (from {text.percent(before)})", 1 if points > 0 else -1
    )


def sentences(view: View) -> list[str]:
    """Say what is used most, which tool fails most, and whether the targets are met."""
    return [*_most_used(view), *_fails_most(view), *_targets(view), *_combined(view)]


def _most_used(view: View) -> list[str]:
    found = features.by_people(view.load("feature_usage", by=None))
    if found.is_empty() or not found["users"][0]:
        return []
    top = found.row(0, named=True)
    who = text.share(top["users"], top["active_users"], "active people")
    words = text.about(f"{who} used it, {text.some(top['uses'], 'time')}", _sample(view))
    return [f"**{text.escaped(top['feature'])}** is used by most: {words}."]


def _sample(view: View) -> text.Sample | None:
    return view.sample("feature_usage")


def _fails_most(view: View) -> list[str]:
    tools = view.load("tools").filter(pl.col("calls") >= features.CALLS_MIN)
    calls, failures = pictures.total(tools, "calls"), pictures.total(tools, "failures")
    worst = tools.sort("error_rate", "tool", descending=[True, False]).head(1).rows(named=True)
    if not worst or not failures:
        return []
    one, usual = worst[0], failures / calls
    expected = usual * one["calls"]
    by_chance = max(WORTH_SAYING * expected, expected + NOISE * math.sqrt(expected))
    if one["failures"] <= by_chance:
        return []
    share = text.share(one["failures"], one["calls"], "calls")
    everywhere = text.percent(usual)
    return [f"**{text.escaped(one['tool'])}** fails most: {share}, against {everywhere} of all."]


def _targets(view: View) -> list[str]:
    said = []
    for metric, parts, words, target in (
        ("token_savings", SAVED, "of tokens saved", SAVINGS_TARGET),
        ("reference_acceptance", ACCEPTED, "of suggestions accepted", ACCEPTANCE_TARGET),
    ):
        part, whole = _sums(view, metric, parts)
        if whole:
            place = "on target, which is" if part / whole >= target else "below the target of"
            said.append(f"**{text.percent(part / whole)}** {words}, {place} {target * 100:.0f} %")
    return [f"{'; '.join(said)}."] if said else []


def _combined(view: View) -> list[str]:
    found = features.strongest(view.load("co_usage", tools_only=True))
    if found.is_empty() or found["lift"][0] < WORTH_SAYING:
        return []
    top = found.row(0, named=True)
    both = f"**{text.escaped(top['feature'])}** and **{text.escaped(top['other'])}**"
    where = text.share(top["sessions"], top["sessions_all"], "sessions")
    return [f"{both} are together {top['lift']:.1f} times as often as by chance, in {where}."]
