"""The cells of the Features page, one function per question, each read top to bottom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import streamlit as st

from data_access.links import EVERY
from pages.components import behind, charts, feature_people, features, pictures, text
from pages.components.cell import Ask, ask, cell
from pages.components.feature_charts import ROWS_MAX

if TYPE_CHECKING:
    from pages.components.view import View

DAYS: Final = {"day": 28, "week": 56, "month": 180}  # at least, so that there is a course to see
NOBODY: Final = (
    "Nobody used a feature in this period. A call of a tool or a context loaded fills this."
)


@dataclass(frozen=True, slots=True)
class Choices:
    """What the reader chose: the groups of a breakdown, the length of a period, what is paired."""

    split: str | None
    every: str
    everything: bool

    def asked(self, metric: str) -> Ask:
        """Ask for a metric, once per group where there is a breakdown."""
        return ask(metric, split=self.split) if self.split else ask(metric)

    def long(self, view: View) -> View:
        """Return a view with room for several periods."""
        return view.at_least(DAYS[self.every])


def used(view: View, choices: Choices) -> None:
    """Show which features are used, by whom, how soon and how widely."""
    long = choices.long(view)
    span = text.window(long.window, today=view.today)
    open_period, group = long.open_from(EVERY[choices.every]), choices.split or "tier"
    column = "group" if choices.split else "user_tier"
    matrix = {"by": None, "split": choices.split} if choices.split else {"by": column}
    left, right = st.columns(2)
    with left:
        cell(
            view,
            "Most used features",
            ask("feature_usage", by=None),
            features.ranking,
            compare=True,
            subtitle="Share of active people who used each, and its uses"
            + pictures.before_is(view, "the upright tick"),
            alt=lambda data: pictures.said_bars(
                features.by_people(data.now), "feature", "users", most=ROWS_MAX
            ),
            empty=NOBODY,
            **behind.of_values(
                view, "feature", metric="feature_users", of=lambda one: {"feature": one}, did="used"
            ),
        )
    with right:
        cell(
            view,
            f"Features by {text.escaped(group)}",
            ask("feature_usage", **matrix),
            lambda data: features.matrix(data.now, column),
            subtitle=f"Percent of the active people of each {text.escaped(group)} who used it",
            alt="A grid: a row per feature, a column per group, the share of its active people.",
            empty=NOBODY,
            **feature_people.of_groups(view, column, group),
        )
    cell(
        long,
        "Features over time",
        ask("feature_usage", by=None, every=EVERY[choices.every]),
        lambda data: features.matrix(data.now, "period", named=lambda day: f"{day.day} {day:%b}"),
        subtitle=f"Percent of the {choices.every}'s active people who used it, {span}; "
        f"* is a {choices.every} that is not over",
        alt=f"A grid: a row per feature, a column per {choices.every}, shares of active people.",
        empty=NOBODY,
        **feature_people.of_periods(long, EVERY[choices.every]),
    )
    left, right = st.columns(2)
    with left:
        cell(
            long,
            "How features spread",
            ask("feature_adoption", every=EVERY[choices.every]),
            lambda data: charts.small_multiples(
                *features.adoption(data.now), kind="percent", open_from=open_period
            ),
            subtitle=f"Share of all people so far who ever used it, {span}",
            alt="A small chart per feature: the share of all people who have ever used it.",
            empty=NOBODY,
        )
        cell(
            view,
            "How much they use them",
            ask("feature_breadth"),
            features.depth,
            subtitle="Uses on an active day, the median of the people who used so many features",
            alt="A line over the number of different features: uses on an active day.",
            empty=NOBODY,
        )
    with right:
        cell(
            view,
            "How many features one person uses",
            ask("feature_breadth"),
            features.breadth,
            subtitle="Active people by the number of different features they used",
            alt=lambda data: pictures.said_bars(data.now, "features", "users", most=20),
            empty=NOBODY,
            **feature_people.of_breadth(view),
        )
        if view.facts.settings.people_lists:
            cell(
                view,
                "Who uses most",
                ask("feature_people"),
                features.heaviest,
                subtitle="Those with most different features first, then by uses on an active day",
                alt="A table of people with their features, uses on an active day and active days.",
                empty=NOBODY,
            )


def working(view: View, choices: Choices) -> None:
    """Show how often tools are called and fail, and what is used together."""
    long = choices.long(view)
    span = text.window(long.window, today=view.today)
    calls = (
        {}
        if choices.split
        else behind.of_values(
            view, "tool", metric="feature_users", of=lambda one: {"feature": one}, did="called"
        )
    )
    cell(
        view,
        "Tools",
        choices.asked("tools"),
        features.tools,
        compare=True,
        subtitle="Calls of the server's tools, most called first; p50 and p95 in milliseconds",
        alt="A table with a row per tool: calls, people, failures, error rate and durations.",
        empty="No tool was called in this period.",
        **calls,
    )
    left, right = st.columns(2)
    blank = f"blank for fewer than {features.CALLS_MIN} calls"
    with left:
        cell(
            view,
            "Failures by release",
            [ask("tools", by="release"), ask("releases")],
            features.failures,
            subtitle=f"Percent of a tool's calls that failed, oldest release first; {blank}",
            alt="A grid: a row per tool, a column per release, the share of calls that failed.",
            empty="No release saw a tool called often enough to say how often it fails.",
            is_empty=features.nothing_by_release,
        )
    with right:
        cell(
            long,
            "Failures over time",
            ask("tools", every=EVERY[choices.every]),
            features.failures_over_time,
            subtitle=f"Percent of a tool's calls per {choices.every} that failed, {span}; {blank}",
            alt=f"A grid: a row per tool, a column per {choices.every}, shares of failed calls.",
            empty="No tool was called often enough to say how often it fails.",
            is_empty=lambda data: features.often_called(data.now).is_empty(),
        )
    pairs = ask("co_usage", tools_only=not choices.everything)
    left, right = st.columns(2)
    with left:
        cell(
            view,
            "Used together",
            pairs,
            features.together,
            subtitle=f"Percent of sessions with any {'feature' if choices.everything else 'tool'} "
            "that use both; a hover says how much more often than by chance",
            alt="A grid of features over themselves: the share of sessions that use both.",
            empty="No session used two of them in this period.",
            **feature_people.of_pairs(view),
        )
    with right:
        cell(
            view,
            "Strongest combinations",
            pairs,
            features.pairs,
            subtitle="1 is as often as two independent ones would meet; "
            f"pairs in {features.SESSIONS_MIN} sessions or more",
            alt="A table of pairs with their sessions and how much more often than by chance.",
            empty="No pair is in enough sessions yet.",
            is_empty=lambda data: features.strongest(data.now).is_empty(),
        )


def helpful(view: View, choices: Choices) -> None:
    """Show whether tools bring what they are for."""
    long = choices.long(view)
    span = text.window(long.window, today=view.today)
    open_day, open_period = view.open_from("1d"), long.open_from(EVERY[choices.every])
    left, right = st.columns(2)
    with left:
        cell(
            view,
            "Tokens saved",
            choices.asked("token_savings"),
            features.savings(open_day),
            compare=not choices.split,
            subtitle=features.savings_subtitle,
            alt=lambda data: pictures.said(data.now, "savings_rate", "the share of tokens saved"),
            empty="No event states its tokens before and after. compress_context does.",
            note=features.savings_note,
        )
        cell(
            view,
            "What searches find",
            ask("rag_results"),
            features.found,
            subtitle=features.found_subtitle,
            alt=lambda data: pictures.said_bars(
                features.results(data.now), "label", "searches", most=10
            ),
            empty="No search says how much it found. search_context states results_count.",
            is_empty=lambda data: not data.now["searches"].sum(),
        )
        cell(
            view,
            "How long searches take",
            ask("rag"),
            lambda data: charts.lines(
                data.now,
                {"duration_ms_p50": "p50", "duration_ms_p95": "p95"},
                kind="duration",
                open_from=open_day,
                log=True,
            ),
            subtitle="Calls of search_context per day, failed ones included; logarithmic",
            alt=lambda data: pictures.said(data.now, "duration_ms_p95", "p95 of searches per day"),
            empty="No search was timed in this period.",
            is_empty=lambda data: not data.now["duration_ms_p50"].count(),
        )
        cell(
            long,
            "Automatic and manual branches",
            ask("branches", every=EVERY[choices.every]),
            lambda data: charts.columns(
                data.now, {"automatic": "automatic", "manual": "by hand"}, open_from=open_period
            ),
            subtitle=features.branches_subtitle(choices.every, span),
            alt=lambda data: pictures.said(data.now, "automatic", "automatic branches"),
            empty="No context was created.",
        )
    with right:
        cell(
            view,
            "Suggestions accepted",
            choices.asked("reference_acceptance"),
            features.acceptance(open_day),
            compare=not choices.split,
            subtitle=features.acceptance_subtitle,
            alt=lambda data: pictures.said(data.now, "acceptance_rate", "suggestions accepted"),
            empty="No suggestion says whether it was accepted. reference_suggest does.",
            is_empty=lambda data: not data.now["answered"].sum(),
            note=features.acceptance_note,
        )
        cell(
            view,
            "Do large results take longer?",
            ask("rag_results"),
            features.slower_with_results,
            subtitle="Duration of successful searches by how many results they found",
            alt="Two lines over the number of results: p50 and p95 of the duration.",
            empty="No timed search says how much it found.",
            is_empty=lambda data: not data.now["duration_ms_p50"].count(),
        )
        cell(
            view,
            "Searches without result",
            ask("rag"),
            lambda data: charts.lines(
                data.now,
                {"empty_rate": "found nothing"},
                kind="percent",
                before=data.before,
                open_from=open_day,
            ),
            compare=True,
            subtitle=f"Share of successful searches per day{pictures.before_is(view)}",
            alt=lambda data: pictures.said(data.now, "empty_rate", "searches without result"),
            empty="No search says how much it found.",
            is_empty=lambda data: not data.now["counted"].sum(),
        )
        cell(
            view,
            "Ontology categories",
            ask("ontology"),
            features.categories,
            subtitle="What memories were classified as, and how surely",
            alt="A table of categories with their count, share and confidence.",
            empty="Nothing was classified. A call of ontology_classify that names a category, "
            "or an update_memory that states one with its confidence, fills this.",
        )
