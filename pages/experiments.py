"""Did the change help? Each experiment, what its variants did, and what can be said of it."""

from __future__ import annotations

import streamlit as st

from pages.components import charts, experiment_charts, experiments, pictures, text, verdict
from pages.components.boundary import alone
from pages.components.cell import ask, cell
from pages.components.head import head, reading
from pages.components.headline import headline
from pages.components.view import current

view = current()
COUNTED = "People who saw a variant of an experiment, and what they did afterwards."
NOBODY = "Nobody saw a variant of this experiment in these days and with these filters."


def laid_out(trial: experiments.Trial) -> None:
    """Lay out the page about one experiment."""
    seen = trial.view
    goal = text.escaped(trial.goals[0], most=80)
    reading(seen, lambda: verdict.sentences(trial))
    headline(seen, lambda: verdict.numbers(trial))

    # What can be said?
    cell(
        seen,
        "What can be said",
        trial.results(),
        lambda data: experiments.compared(data, trial),
        subtitle="Everybody who saw a variant, and what they did from then on",
        alt="A table with a row per metric and variant: value, lift, certainty, verdict.",
        empty=NOBODY,
        is_empty=lambda data: data.now.is_empty(),
        note=experiments.method,
    )

    # Who did what they should?
    left, right = st.columns(2)
    with left:
        cell(
            seen,
            "Conversion by variant",
            ask("experiment", control=trial.control, **trial.main),
            lambda data: experiment_charts.dots(data.now),
            subtitle=f"Share of the people exposed who reached {goal} afterwards, with its "
            "95\u00a0% interval",
            alt=experiments.said,
            empty=NOBODY,
            is_empty=lambda data: data.now.is_empty(),
            **experiments.people(trial),
        )
    with right:
        cell(
            seen,
            "Lift over the control",
            trial.results(),
            lambda data: charts.intervals(
                experiments.lifts(data, trial),
                name="metric",
                value="lift",
                low="lift_low",
                high="lift_high",
                group="variant",
            ),
            subtitle="How much more than the control, with its 95\u00a0% interval; across "
            "zero it may be chance",
            alt=lambda data: pictures.said_bars(experiments.lifts(data, trial), "metric", "lift"),
            empty="Not enough data yet for a lift: the verdict above says what is missing.",
            is_empty=lambda data: experiments.lifts(data, trial).is_empty(),
            height=charts.TALL,
        )

    # How did it come about?
    left, right = st.columns(2)
    with left:
        cell(
            seen,
            "Conversion so far",
            ask("experiment_daily", **trial.main),
            lambda data: experiments.so_far(data, trial),
            subtitle=f"Reached {goal} by each day, of all exposed by then; shaded: its interval",
            alt=lambda data: pictures.said(data.now, "converted", "people converted per day"),
            empty=NOBODY,
        )
    with right:
        cell(
            seen,
            "People exposed per day",
            ask("experiment_daily", **trial.main),
            lambda data: charts.lines(
                *pictures.spread(data.now, "variant", "exposed"), open_from=seen.open_from("1d")
            ),
            subtitle="People on the day they first saw a variant",
            alt=lambda data: pictures.said(data.now, "exposed", "people exposed per day"),
            empty=NOBODY,
        )

    # How long until it is sure?
    cell(
        seen,
        "How long it takes",
        trial.results(),
        lambda data: experiments.planned(data, trial),
        subtitle=f"For a change of {verdict.wanted(trial)}, seen in four of five experiments",
        alt="A table of the people and days that each comparison needs.",
        empty="There is no variant beside the control.",
        is_empty=lambda data: data.now.filter(~data.now["is_control"]).is_empty(),
    )


top, asked = st.container(), None
with alone("The list of experiments"):
    asked = experiments.chosen(view)
with top:
    head(asked.view if asked else view, "Did the change help?", COUNTED)
if asked:
    laid_out(asked)
