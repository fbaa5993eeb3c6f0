"""What do the models cost? Who uses which, and what they get for it."""

from __future__ import annotations

import streamlit as st

from pages.components import charts, models, options, pictures, product_charts, properties
from pages.components.cell import ask, cell
from pages.components.head import head, reading
from pages.components.headline import headline
from pages.components.view import current

PAGE = "models"
HOURS_DAYS = 8  # so many days still show single hours

view = current()
weeks = view.at_least(56)
open_day = view.open_from("1d")
hours = "1h" if view.window.days <= HOURS_DAYS else "1d"

head(
    view,
    "What do the models cost, and which are used?",
    "Calls of language models, with tokens and US dollars as the product reports them.",
)
reading(view, lambda: models.reading(view))
headline(view, lambda: models.numbers(view))

# Which models and providers?
with st.container(horizontal=True, gap="medium"):
    rank = options.pills(PAGE, "rank", "Rank by", tuple(models.RANKS), "calls")
    split = options.breakdown(PAGE, view)
left, right = st.columns([3, 2])
with left:
    models.ranking(view, "Models", "model", rank)
with right:
    models.ranking(view, "Providers", "provider", rank)
cell(
    view,
    "Models side by side",
    ask("models"),
    models.table,
    subtitle="Most expensive first; percentiles are of timed calls, failed ones included",
    alt="A table of models with calls, people, tokens, cost, failures and speed.",
    empty=models.NO_CALLS,
)
if split is not None:
    models.by_group(view, split)

# How does it move?
left, right = st.columns(2)
with left:
    models.over_days(
        view,
        "Cost per day",
        {"cost_usd": "cost"},
        kind="money",
        subtitle="US dollars per day",
        what="US dollars per day",
        empty=models.NO_COST,
    )
    models.over_weeks(
        weeks,
        "Cost by model",
        ask("models", by=("model",), every="1w"),
        by="model",
        column="cost_usd",
        kind="money",
        subtitle="US dollars per week, the six that cost most",
        empty=models.NO_COST,
    )
with right:
    models.over_days(
        view,
        "Tokens per day",
        {"tokens_input": "in", "tokens_output": "out"},
        kind="count",
        subtitle="Tokens sent to models and received",
        what="tokens sent per day",
        empty="No event reports tokens. Send `tokens_input` and `tokens_output` with each call.",
    )
    models.over_days(
        view,
        "What a session and a person cost",
        {"cost_per_user": "per person", "cost_per_session": "per session"},
        kind="money",
        subtitle="US dollars per day, over all sessions and all active people",
        what="US dollars per active person and day",
        empty=models.NO_COST,
    )

# What do they get for it?
left, right = st.columns(2)
with left:
    cell(
        view,
        "Observations by model",
        ask("observations"),
        models.observed,
        subtitle="Observations made in this period, by type",
        alt=lambda data: pictures.said_bars(data.now, "type", "observations"),
        empty="No event names observations. Send `observations_created` or `obs_type_bugfix`.",
    )
with right:
    cell(
        view,
        "Tokens saved",
        ask("savings_against_naive"),
        lambda data: product_charts.around_zero(
            data.now, {"tokens_saved": "tokens saved"}, open_from=open_day
        ),
        subtitle=models.saved,
        alt=lambda data: pictures.said(data.now, "tokens_saved", "tokens saved per day"),
        empty="No event says what a context saved. Send `tokens_saved_vs_naive`.",
    )

# Who, where, when, and on which plan?
left, right = st.columns(2)
with left:
    properties.by_value(
        view,
        "Languages",
        "language",
        subtitle="People by the language their events name; one may be in two",
        empty="No event names a language. Send `language` with your events.",
    )
with right:
    properties.by_value(
        view,
        "Regions",
        "region",
        subtitle="People by the region their events name; one may be in two",
        empty="No event names a region. Send `region` with your events.",
    )
left, right = st.columns(2)
with left:
    cell(
        view,
        "At the same moment",
        ask("concurrent_users", every=hours),
        lambda data: charts.lines(data.now, {"users": "people"}, open_from=open_day, fill=True),
        subtitle=f"The most people in a session at once, per {'hour' if hours == '1h' else 'day'}",
        alt=lambda data: pictures.said(data.now, "users", "people at the same moment"),
        empty="Nobody was here in this period.",
    )
with right:
    models.over_weeks(
        weeks,
        "Credits",
        ask("credits_by_plan"),
        by="plan",
        column="credits",
        kind="count",
        subtitle="Credits per week and plan, those of cancellations left out",
        empty="No event names credits. Send `plan` and `credits` with a payment.",
    )
