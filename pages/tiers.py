"""Do paying people use it differently? Every headline by tier, side by side."""

from __future__ import annotations

import polars as pl
import streamlit as st

from pages.components import charts, lift, pictures, text
from pages.components.cell import ask, cell
from pages.components.head import head, reading
from pages.components.headline import headline
from pages.components.tables import Table
from pages.components.view import current

view = current()
EMPTY = "Nobody was here in this period."

head(view, "Do paying people use it differently?", "Every headline number by tier.")
reading(view, lambda: lift.sentences(view.load("tiers"), view.each("tiers")))
headline(view, lambda: lift.numbers(view))

# Everything, side by side.
cell(
    view,
    "Side by side",
    ask("tiers"),
    lambda data: pictures.transposed(lift.present(data.now), "tier", lift.LINES),
    subtitle="A person who changed tier counts in both, so columns do not add up",
    alt="A table with a row per number and a column per tier.",
    empty=EMPTY,
    is_empty=lambda data: not data.now["events"].sum(),
)

left, right = st.columns(2)
with left:
    cell(
        view,
        "Lift over free",
        ask("tiers"),
        lambda data: charts.intervals(
            lift.table(data.now, view.each("tiers")).filter("is_enough"),
            name="rate",
            value="lift",
            low="ci_low",
            high="ci_high",
            group="tier",
        ),
        subtitle="How much higher or lower a rate is than for free, with its 95 % interval; "
        "an interval across zero may be chance",
        alt=lambda data: lift.said(data.now, view.each("tiers")),
        empty=f"Too few people to say: a rate needs {lift.ENOUGH} in both tiers.",
        is_empty=lambda data: (
            lift.table(data.now, view.each("tiers")).filter("is_enough").is_empty()
        ),
        note=lambda data: lift.left_out(data.now, view.each("tiers")),
        height=charts.TALL,
    )
with right:
    cell(
        view,
        "People by tier and day",
        ask("activity", by=("user_tier",)),
        lambda data: charts.lines(
            *pictures.spread(data.now, "user_tier", "users"),
            open_from=view.open_from("1d"),
            height=charts.TALL,
        ),
        subtitle="People with any event per day",
        alt=lambda data: pictures.said(data.now, "users", "people per day and tier"),
        empty=EMPTY,
        height=charts.TALL,
    )

left, right = st.columns(2)
with left:
    cell(
        view,
        "Moves between tiers",
        ask("tier_moves"),
        lambda data: Table(
            data.now.sort("users", descending=True),
            {"from_tier": "From", "to_tier": "To", "users": "People", "moves": "Moves"},
            rows=pictures.ROWS,
        ),
        subtitle=lambda data: (
            f"{text.some(pictures.total(data.now, 'moves'), 'move')} in this period"
        ),
        alt="A table of moves from tier to tier.",
        empty="Nobody changed tier in this period.",
        is_empty=lambda data: not data.now.height,
    )
with right:
    cell(
        view,
        "p95 by tier",
        ask("latency", by=("user_tier",)),
        lambda data: charts.bars(
            lift.ordered(data.now.filter(pl.col("duration_ms_p95").is_not_null()), "user_tier"),
            name="user_tier",
            value="duration_ms_p95",
            kind="duration",
        ),
        subtitle="All operations, p95",
        alt="Bars of the p95 per tier.",
        empty="No operation was traced in this period.",
    )
