"""What the page on models and cost says: its numbers, tables, sentences and who is behind a bar."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data_access.metrics.models import OBSERVATION_TYPES
from pages.components import charts, marks, pictures, product_charts, text
from pages.components.cell import ask, cell
from pages.components.headline import Number
from pages.components.marks import Behind, Mark
from pages.components.properties import of_value, token_of, value_of
from pages.components.tables import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import plotly.graph_objects as go

    from pages.components.cell import Ask, Data
    from pages.components.view import View

RANKS: Final = {"calls": "count", "cost": "money", "people": "count", "tokens": "count"}
COLUMNS: Final = {"calls": "calls", "cost": "cost_usd", "people": "users", "tokens": "tokens"}
SHARE_SAID: Final = 0.5  # half of the cost on one model is news
TIMES_SAID: Final = 2.0  # so is twice the wait
CALLS_MIN: Final = 50
SURPRISE: Final = 4.0  # units of noise
FAILS_MORE: Final = 1.5
NO_CALLS: Final = (
    "No event names a model, tokens or a cost. Send `model`, `tokens_input` and `cost_usd`."
)
NO_COST: Final = "No event reports a cost. Send `cost_usd` with each call."
NO_TYPE: Final = "no type named"

# label, what of `costs`, what it is divided by
_NUMBERS: Final = (
    ("Cost", "cost_usd", "users"),
    ("Cost per session", "cost_per_session", "sessions"),
    ("Cost per active person", "cost_per_user", "users"),
    ("Cost per observation", "cost_per_observation", "observations"),
)
_MONEY: Final = ("cost_usd", "cost_per_session", "cost_per_user", "cost_per_observation")


# --- the headline ----------------------------------------------------------------------------


def numbers(view: View) -> list[Number]:
    """Return the headline: cost, what it is per something, calls and how many fail."""
    now, before = _pair(view, "costs", every=None)
    past = view.load("costs", every="1d").filter(pl.col("period") < view.open_from("1d"))
    costs = [
        Number(
            label,
            text.money(now.get(column)),
            _dearer(now, before, column, of),
            "costs",
            0 if column == "cost_usd" else -1,
            charts.spark(past, column),
            f"{text.money(now.get('cost_usd'))} for {text.count(now.get(of))} "
            f"{'active people' if of == 'users' else of}.",
        )
        for label, column, of in _NUMBERS
    ]
    return [*costs, *_calls(view)]


def _dearer(
    now: dict[str, Any], before: dict[str, Any], column: str, of: str
) -> text.Change | None:
    fewest = min(now.get(of) or 0, before.get(of) or 0)
    return text.change_of_money(now.get(column), before.get(column), fewest=fewest)


def _calls(view: View) -> list[Number]:
    now, before = _pair(view, "models", by=())
    days = view.load("models", by=(), every="1d").filter(pl.col("period") < view.open_from("1d"))
    each = view.each("models")
    change = text.change(now.get("calls"), before.get("calls"), each=each)
    moved = text.change_of_rate(
        (now.get("failures"), now.get("calls")),
        (before.get("failures"), before.get("calls")),
        each=each,
    )
    said = f"{text.count(now.get('failures'))} of {text.count(now.get('calls'))} calls failed."
    failed = text.rate(now.get("failures"), now.get("calls"))
    calls, past = charts.spark(days, "calls"), charts.spark(days, "error_rate")
    return [
        Number("Calls", text.count(now.get("calls")), change, "models", 1, calls),
        Number("Failed calls", failed, moved, "models", -1, past, said),
    ]


def _pair(view: View, metric: str, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:  # noqa: ANN401 - a metric's own options
    """Return the only row of a metric, and that of the period before; empty when not compared."""
    now = view.load(metric, **options).row(0, named=True)
    if view.previous is None:
        return now, {}
    return now, view.load(metric, before=True, **options).row(0, named=True)


# --- ranks and tables ------------------------------------------------------------------------


def ranked(frame: pl.DataFrame, rank: str) -> pl.DataFrame:
    """Return models or providers with the largest first."""
    tokens = (pl.col("tokens_input") + pl.col("tokens_output")).alias("tokens")
    return frame.with_columns(tokens).sort(
        COLUMNS[rank], "calls", frame.columns[0], descending=[True, True, False], nulls_last=True
    )


def ranking(view: View, title: str, name: str, rank: str) -> None:
    """Put the ranking of models or providers here; a click on a bar shows who called it."""
    cell(
        view,
        title,
        ask("models", by=(name,)),
        lambda data: _bars(data.now, name, rank),
        subtitle=f"By {rank} in this period",
        alt=lambda data: pictures.said_bars(ranked(data.now, rank), name, COLUMNS[rank]),
        empty=NO_CALLS,
        marks=lambda data: _marks(data.now, name, rank),
        at=marks.token_at,
        behind=lambda token, _: _behind(view, token, name),
    )


def _bars(frame: pl.DataFrame, name: str, rank: str) -> go.Figure:
    """Draw a bar per model or provider by what the reader ranks by, its value in words."""
    rows = ranked(frame, rank)
    shown = rows.with_columns(pl.col(name).fill_null(text.NO_NAME).alias("_name"))
    column, total = COLUMNS[rank], float(rows[COLUMNS[rank]].sum())
    say = charts.SAY[RANKS[rank]]
    # a person may use two models, so shares of people are no parts of a whole
    parts = rank != "people" and total > 0
    said = [
        f"{say(value)} · {text.percent(value / total)}" if parts else say(value)
        for value in rows[column]
    ]
    drawn = charts.bars(shown, name="_name", value=column, said=said)
    return product_charts.clickable(drawn, [token_of(value) for value in rows[name]])


def _marks(frame: pl.DataFrame, name: str, rank: str) -> list[Mark]:
    """Return one mark per bar, in its order."""
    return [
        Mark(f"{value or text.NO_NAME}: {text.some(users, 'person', 'people')}", token_of(value))
        for value, users in ranked(frame, rank).select(name, "users").iter_rows()
    ]


def _behind(view: View, token: str, name: str) -> Behind:
    """Return who called a model or a provider, those with most calls first."""
    calls = view.load("models", by=(name, "user_id_hash"))
    people = of_value(calls, name, token).filter(pl.col("user_id_hash").is_not_null())
    shown = people.sort("calls", "user_id_hash", descending=[True, False]).select(
        "user_id_hash", "calls", "cost_usd", "tokens_input", "tokens_output", "failures"
    )
    many = text.some(people.height, "person", "people")
    called = text.escaped(value_of(token) or f"{name}, {text.NO_NAME}")
    return Behind(shown, f"{many} who called {called}")


def by_group(view: View, split: str) -> None:
    """Put what each group of a breakdown costs here."""
    cell(
        view,
        f"Cost by {text.escaped(split)}",
        ask("costs", every=None, split=split),
        lambda data: _groups(data.now, split),
        subtitle="Most expensive group first; an event counts under its own group",
        alt="A table of groups with their cost, per session, person and observation.",
        empty=NO_COST,
    )


def _groups(frame: pl.DataFrame, split: str) -> Table:
    """Return a row per group with its cost and what that is divided by."""
    return Table(
        frame.sort("cost_usd", "group", descending=[True, False]),
        {
            "group": text.plain(split),
            "cost_usd": "Cost",
            "cost_per_session": "Per session",
            "cost_per_user": "Per active person",
            "cost_per_observation": "Per observation",
            "sessions": "Sessions",
            "users": "Active people",
            "tokens_input": "Tokens in",
            "tokens_output": "Tokens out",
        },
        dict.fromkeys(_MONEY, "money"),
        rows=8,
    )


def over_days(
    view: View,
    title: str,
    series: Mapping[str, str],
    *,
    kind: str,
    subtitle: str,
    what: str,
    empty: str,
) -> None:
    """Put columns of `costs` here as lines over days, with the period before."""
    cell(
        view,
        title,
        ask("costs"),
        lambda data: charts.lines(
            data.now, series, kind=kind, before=data.before, open_from=view.open_from("1d")
        ),
        compare=True,
        subtitle=f"{subtitle}{pictures.before_is(view)}",
        alt=lambda data: pictures.said(data.now, next(iter(series)), what),
        empty=empty,
        is_empty=lambda data: not any(data.now[name].fill_null(0).sum() for name in series),
    )


def over_weeks(
    view: View,
    title: str,
    asked: Ask,
    *,
    by: str,
    column: str,
    kind: str,
    subtitle: str,
    empty: str,
) -> None:
    """Put a number by week here as bars made of the values of `by`."""
    cell(
        view,
        title,
        asked,
        lambda data: product_charts.told_apart(
            charts.columns(
                *pictures.spread(data.now, by, column), kind=kind, open_from=view.open_from("1w")
            )
        ),
        subtitle=subtitle,
        alt=lambda data: pictures.said(data.now, column, f"{title.lower()} per week"),
        empty=empty,
        is_empty=lambda data: not data.now[column].sum(),
    )


def table(data: Data) -> Table:
    """Return a row per model with all there is to compare."""
    rows = ranked(data.now, "cost")
    total = float(rows["cost_usd"].sum())
    share = (pl.col("cost_usd") / total if total else pl.lit(None, pl.Float64)).alias("cost_share")
    rows = rows.with_columns(share, pl.col("model", "provider").fill_null(text.NO_NAME))
    return Table(
        rows,
        {
            "model": "Model",
            "provider": "Provider",
            "calls": "Calls",
            "rank": "Rank by calls",
            "users": "People",
            "tokens_input": "Tokens in",
            "tokens_output": "Tokens out",
            "cost_usd": "Cost",
            "cost_share": "Share of cost",
            "error_rate": "Failed",
            "duration_ms_p50": "p50",
            "duration_ms_p95": "p95",
        },
        {"cost_usd": "money"},
        rows=8,
    )


def observed(data: Data) -> go.Figure:
    """Draw the observations of each model, made of their types."""
    rows = data.now.with_columns(
        pl.col("model").fill_null(text.NO_NAME), pl.col("type").fill_null(NO_TYPE)
    )
    totals = rows.group_by("model").agg(pl.col("observations").sum().alias("_all"))
    shown = rows.join(totals, on="model").sort("_all", "model", descending=[True, False])
    return product_charts.stacked(
        shown,
        name="model",
        part="type",
        value="observations",
        parts=[*OBSERVATION_TYPES, NO_TYPE],
        noun="observations",
    )


# --- what stands out -------------------------------------------------------------------------


def reading(view: View) -> list[str]:
    """Return what stands out about models and cost, most surprising first."""
    found = view.load("models")
    return [
        *_dearer_sessions(view),
        *_failing(found, view.each("models")),
        *_dominant(found, view.sample("models")),
        *_slow(found),
        *_lost(view),
    ]


def _name(row: dict[str, Any]) -> str:
    return f"**{text.escaped(row['model'] or row['provider'] or text.NO_NAME)}**"


def _dominant(found: pl.DataFrame, sample: text.Sample | None) -> list[str]:
    """Say which model most of the money goes to."""
    cost, calls = float(found["cost_usd"].sum()), float(found["calls"].sum())
    if found.height < 2 or not cost or calls < CALLS_MIN:  # noqa: PLR2004 - of one, all is no news
        return []
    top = ranked(found, "cost").row(0, named=True)
    if top["cost_usd"] < SHARE_SAID * cost:
        return []
    of_calls = text.percent(top["calls"] / calls)
    words = (
        f"{_name(top)} is {text.percent(top['cost_usd'] / cost)} of the cost "
        f"({text.about(text.money(top['cost_usd']), sample)} of {text.money(cost)}) and {of_calls} "
        "of the calls."
    )
    return [words]


def _slow(found: pl.DataFrame) -> list[str]:
    """Say which model's p95 is a multiple of the fastest one's."""
    timed = found.filter(pl.col("calls") >= CALLS_MIN, pl.col("duration_ms_p95") > 0)
    timed = timed.sort("duration_ms_p95", "model")
    if timed.height < 2:  # noqa: PLR2004 - nothing to compare with
        return []
    fast, slow = timed.row(0, named=True), timed.row(-1, named=True)
    times = slow["duration_ms_p95"] / fast["duration_ms_p95"]
    words = (
        f"p95 of {_name(slow)} is {times:.1f} times that of {_name(fast)} "
        f"({text.duration(slow['duration_ms_p95'])} against "
        f"{text.duration(fast['duration_ms_p95'])})."
    )
    return [words] if times >= TIMES_SAID else []


def _failing(found: pl.DataFrame, each: float) -> list[str]:
    """Say which model fails more often than all others, beyond chance: that of a sample's calls."""
    failures, calls = float(found["failures"].sum()), float(found["calls"].sum())
    worst: tuple[float, str] | None = None
    for row in found.filter(pl.col("calls") >= CALLS_MIN).rows(named=True):
        others = calls - row["calls"]
        if others < CALLS_MIN:
            continue
        rate = (failures - row["failures"]) / others
        noise = math.sqrt(each * max(rate * (1 - rate) * row["calls"], 1.0))
        surprise = (row["failures"] - rate * row["calls"]) / noise
        if surprise > SURPRISE and row["error_rate"] > FAILS_MORE * rate:
            words = (
                f"{_name(row)} fails {text.percent(row['error_rate'])} of its calls, "
                f"the others {text.percent(rate)}."
            )
            worst = max(worst or (0.0, ""), (surprise, words))
    return [worst[1]] if worst else []


def _dearer_sessions(view: View) -> list[str]:
    """Say how the cost of a session changed, when it did."""
    now, before = _pair(view, "costs", every=None)
    change = _dearer(now, before, "cost_per_session", "sessions")
    if change is None or not change.direction:
        return []
    cost = text.about(text.money(now["cost_per_session"]), view.sample("costs"))
    return [f"A session costs **{cost}**, {change.words}."]


def _lost(view: View) -> list[str]:
    """Say so when contexts cost more tokens than they saved."""
    saved = float(view.load("savings_against_naive", every="1d")["tokens_saved"].sum())
    if saved >= 0:
        return []
    lost = text.about(f"{text.count(-saved)} tokens", view.sample("savings_against_naive"))
    return [f"Contexts cost **{lost} more** than sending everything would."]


def saved(data: Data) -> str:
    """Say what was saved in all, and how much of it was lost again."""
    total, lost = float(data.now["tokens_saved"].sum()), float(data.now["tokens_lost"].sum())
    words = f"Tokens per day, against sending everything: {text.count(total)} in all"
    return f"{words}, after {text.count(-lost)} lost where a context cost more" if lost else words
