"""Which features are worth building on: come back to, and used by those who begin to pay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import streamlit as st

from pages.components import charts, pictures, text
from pages.components.cell import ask, cell
from pages.components.tables import Table

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from pages.components.cell import Data
    from pages.components.view import View

SURE: Final = 0.05  # a p value below this, corrected for all features, is told as a difference
_SAID: Final = {True: "more often", False: "less often", None: "about as often"}


def cells(view: View) -> None:
    """Show who comes back to each feature, and who pays with it and without it."""
    left, right = st.columns(2)
    with left:
        cell(
            view,
            "Worth coming back to",
            ask("feature_value"),
            _again,
            subtitle="Share of the people who used a feature who used it on two days or more",
            alt=lambda data: pictures.said_bars(
                data.now.sort("again_rate", descending=True), "feature", "users_again"
            ),
            empty="Nobody used a feature in this period.",
        )
    with right:
        cell(
            view,
            "What goes with paying",
            ask("feature_value"),
            _paying,
            subtitle="Share who began to pay, of those who used a feature before and of those who "
            "did not",
            alt="A table of features with the share of people who began to pay.",
            empty="Nobody who came without paying began to pay in this period.",
            is_empty=lambda data: not _reached(data),
            note="It goes together; it need not be the cause: who stays longer uses more. "
            "“About” is a difference that chance alone makes now and then (p corrected by Holm).",
        )


def sentences(view: View) -> list[str]:
    """Say which feature goes with paying most surely, when one does."""
    found = view.load("feature_value").filter(pl.col("p_value") < SURE).sort("p_value").head(1)
    return [
        f"Who used **{text.escaped(name)}** began to pay {_SAID[lift > 0]}: {text.percent(has)} "
        f"against {text.percent(lacks)} without it."
        for name, lift, has, lacks in found.select(
            "feature", "lift", "with_rate", "without_rate"
        ).iter_rows()
    ]


def _again(data: Data) -> go.Figure:
    rows = data.now.sort("again_rate", "users", descending=True)
    said = [
        text.share(again, users, "people")
        for again, users in rows.select("users_again", "users").iter_rows()
    ]
    return charts.bars(rows, name="feature", value="again_rate", kind="percent", said=said)


def _paying(data: Data) -> Table:
    rows = data.now.sort("p_value", "feature", nulls_last=True)
    columns = ("with_reached", "with_users", "without_reached", "without_users", "lift", "p_value")
    said = [
        (text.share(a, n, "people"), text.share(b, m, "people"), _verdict(lift, p))
        for a, n, b, m, lift, p in rows.select(columns).iter_rows()
    ]
    shown = rows.with_columns(
        pl.Series("_with", [one[0] for one in said], pl.String),
        pl.Series("_without", [one[1] for one in said], pl.String),
        pl.Series("_said", [one[2] for one in said], pl.String),
    )
    labels = {"feature": "Feature", "_with": "With it", "_without": "Without", "_said": "Pay"}
    return Table(shown, labels, {"_with": "said", "_without": "said"})


def _verdict(lift: float | None, p_value: float | None) -> str:
    if lift is None or p_value is None:
        return "too few to say"
    return _SAID[lift > 0 if p_value < SURE else None]


def _reached(data: Data) -> float:
    return pictures.total(data.now, "with_reached") + pictures.total(data.now, "without_reached")
