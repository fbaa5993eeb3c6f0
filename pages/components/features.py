"""The Features page's pictures and tables, out of finished frames.

What is counted, and how, is in data_access/metrics/features.py and tools.py. Names of features
come from the data, so they are escaped wherever they would be markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data_access.metrics.breakdown import GROUP
from data_access.metrics.tools import ACCEPTANCE_TARGET, SAVINGS_TARGET
from ingest.vocabulary import TIERS
from pages.components import charts, feature_charts, pictures, text
from pages.components.feature_charts import COLUMNS_MAX, ROWS_MAX, Square
from pages.components.marks import HASH_CHARS
from pages.components.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    import plotly.graph_objects as go

    from pages.components.cell import Data

PAIRED_MAX: Final = 10  # features in the grid of pairs
CURVES_MAX: Final = 8  # small charts of adoption; all features are under Details
CALLS_MIN: Final = 20  # fewer calls say nothing about how often a tool fails
SESSIONS_MIN: Final = 20  # fewer sessions with both may be chance
PEOPLE_MAX: Final = 50  # in the list of those who use most; the others are under Details
JOIN: Final = "~"  # between the two parts of a mark's token


# --- which features ------------------------------------------------------------------------------


def by_people(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the features, those that most people use first."""
    return frame.sort("users", "uses", "feature", descending=[True, True, False])


def ranking(data: Data) -> go.Figure:
    """Draw the features by the share of active people who use each."""
    rows = by_people(data.now)
    before = {} if data.before is None else dict(data.before.select("feature", "share").rows())
    said = [
        f"{text.rate(users, active)} · {text.some(uses, 'use')}"
        for users, active, uses in rows.select("users", "active_users", "uses").iter_rows()
    ]
    return feature_charts.ranking(rows, name="feature", value="share", said=said, before=before)


def matrix(frame: pl.DataFrame, column: str, *, named: Callable[[Any], str] = str) -> go.Figure:
    """Draw the share of each column's active people who use each feature."""
    down = largest(frame)
    across = _columns(frame, column)
    labels = {value: named(value) for value in across}
    squares = {
        (row["feature"], labels[row[column]]): _used(row, column, labels[row[column]])
        for row in frame.rows(named=True)
        if row["feature"] in down and row[column] in labels
    }
    return feature_charts.grid(squares, down, list(labels.values()))


def largest(frame: pl.DataFrame) -> list[str]:
    """Return the features for the rows of a grid, those with most people first."""
    totals = frame.group_by("feature").agg(pl.col("users", "uses").sum())
    return by_people(totals)["feature"].head(ROWS_MAX).to_list()


def _columns(frame: pl.DataFrame, column: str) -> list[Any]:
    values = frame.filter(pl.col("active_users") > 0)[column].unique(maintain_order=True).to_list()
    if frame.schema[column] == pl.Date():
        return sorted(values)[-COLUMNS_MAX:]
    known = [tier for tier in TIERS if tier in values]
    return [*known, *(value for value in values if value not in TIERS)][:COLUMNS_MAX]


def _used(row: Mapping[str, Any], column: str, label: str) -> Square:
    people = f"{text.count(row['users'])} of {text.count(row['active_users'])} active people"
    late = "" if row.get("complete", True) else ", a period that is not over"
    return Square(
        row["share"],
        "" if row["share"] is None else f"{row['share'] * 100:.0f} %" + ("*" if late else ""),
        f"{charts.label_of(row['feature'])}, {charts.label_of(label)}: {people}, "
        f"{text.some(row['uses'], 'use')}{late}",
        f"{row['feature']}{JOIN}{row[column]}" if row["users"] else "",
    )


def adoption(frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return the share of people who have used each feature, those of most people as columns."""
    last = frame.filter(pl.col("period") == pl.col("period").max())
    top = last.sort("adopters", "feature", descending=[True, False]).head(CURVES_MAX)["feature"]
    return pictures.spread(
        frame.filter(pl.col("feature").is_in(top.implode())), "feature", "share", most=CURVES_MAX
    )


def breadth(data: Data) -> go.Figure:
    """Draw how many people use how many features."""
    said = [
        f"{text.some(row['features'], 'feature')}: {text.some(row['users'], 'person', 'people')} "
        f"({text.percent(row['share'])})"
        for row in data.now.rows(named=True)
    ]
    return feature_charts.by_number(
        _labelled(data.now),
        label="label",
        value="users",
        said=said,
        unit="different features used",
    )


def depth(data: Data) -> go.Figure:
    """Draw how often people of each breadth use something on an active day."""
    drawn = feature_charts.levels(
        _labelled(data.now),
        {"uses_per_day_p50": "uses on an active day"},
        label="label",
        unit="different features used",
        kind="count",
    )
    said = [
        f"{text.count(uses)} uses on each of {text.some(days or 0, 'active day')}"
        for uses, days in data.now.select("uses_per_day_p50", "active_days_p50").iter_rows()
    ]
    return drawn.update_traces(customdata=said)


def heaviest(data: Data) -> Table:
    """Return the people who use most features, and those most often."""
    order = ["features", "uses_per_day", "active_days"]
    rows = data.now.sort(*order, "user_id_hash", descending=[True, True, True, False])
    return Table(
        rows.head(PEOPLE_MAX).with_columns(pl.col("user_id_hash").str.slice(0, HASH_CHARS)),
        {
            "user_id_hash": "Person",
            "features": "Features",
            "uses_per_day": "Uses a day",
            "active_days": "Active days",
        },
        {"uses_per_day": "decimal"},
        rows=pictures.ROWS,
    )


def _labelled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("features").cast(pl.String).alias("label"))


# --- tools ---------------------------------------------------------------------------------------


def tools(data: Data) -> Table:
    """Return the tools, those called most first, each with its change against the period before."""
    keys = [name for name in (GROUP, "tool") if name in data.now.columns]
    rows = data.now.sort("calls", "tool", descending=[True, False])
    if data.before is not None:
        past = data.before.select(*keys, pl.col("calls", "failures").name.prefix("_"))
        rows = rows.join(past, on=keys, how="left", maintain_order="left")
        said = [
            (_words(text.change(calls, was or 0)), _words(_error_change(calls, bad, was, was_bad)))
            for calls, bad, was, was_bad in rows.select(
                "calls", "failures", "_calls", "_failures"
            ).iter_rows()
        ]
        rows = rows.with_columns(
            pl.Series("calls_said", [one for one, _ in said], pl.String),
            pl.Series("errors_said", [one for _, one in said], pl.String),
        )
    return Table(
        rows,
        {
            GROUP: "Group",
            "tool": "Tool",
            "calls": "Calls",
            "calls_said": "Calls, change",
            "users": "People",
            "failures": "Failed",
            "error_rate": "Error rate",
            "errors_said": "Error rate, change",
            "duration_ms_p50": "p50",
            "duration_ms_p95": "p95",
        },
        {"duration_ms_p50": "duration", "duration_ms_p95": "duration"}
        | dict.fromkeys(("calls_said", "errors_said"), "said"),
    )


def _error_change(
    calls: float, failures: float, calls_before: float | None, failures_before: float | None
) -> text.Change | None:
    return text.change_of_rate((failures, calls), (failures_before, calls_before))


def _words(change: text.Change | None) -> str:
    if change is None:
        return text.NOTHING
    return {1: "↑ ", -1: "↓ "}.get(change.direction, "") + change.words.partition(" (from")[0]


def failures(data: Data) -> go.Figure:
    """Draw how often each tool fails in each release, oldest release first."""
    order = data.frames["releases"].sort("first_seen")["release"].to_list()
    return _failures(data.now, "release", [one for one in order if one in data.now["release"]])


def failures_over_time(data: Data) -> go.Figure:
    """Draw how often each tool fails in each period."""
    days = data.now["period"].unique().sort().to_list()
    return _failures(data.now, "period", days, named=lambda day: f"{day.day} {day:%b}")


def _failures(
    frame: pl.DataFrame, column: str, order: list[Any], *, named: Callable[[Any], str] = str
) -> go.Figure:
    """Draw the error rate of each tool in each of `order`, where there are calls enough."""
    totals = frame.group_by("tool").agg(pl.col("calls").sum()).sort("calls", "tool")
    down = totals["tool"].reverse().head(ROWS_MAX).to_list()
    rows = often_called(frame)
    across = [one for one in order if one in rows[column]][-COLUMNS_MAX:]
    squares = {
        (row["tool"], named(row[column])): Square(
            row["error_rate"],
            text.percent(row["error_rate"]),
            f"{charts.label_of(row['tool'])}, {charts.label_of(named(row[column]))}: "
            f"{text.count(row['failures'])} of {text.some(row['calls'], 'call')} failed",
        )
        for row in rows.drop_nulls(column).rows(named=True)
    }
    return feature_charts.grid(squares, down, [named(one) for one in across])


def often_called(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with calls enough to say how often they fail."""
    return frame.filter(pl.col("calls") >= CALLS_MIN)


def nothing_by_release(data: Data) -> bool:
    """Say whether no tool was called often enough under any release."""
    return often_called(data.now)["release"].drop_nulls().is_empty()


def together(data: Data) -> go.Figure:
    """Draw in which share of sessions each two features are used, as a grid over itself."""
    names = paired(data.now)
    squares = {}
    for row in data.now.rows(named=True):
        if row["feature"] in names and row["other"] in names:
            one = _pair(row)
            squares[row["feature"], row["other"]] = squares[row["other"], row["feature"]] = one
    return feature_charts.grid(squares, names, names)


def paired(frame: pl.DataFrame) -> list[str]:
    """Return the features in most sessions, which have a row in the grid of pairs."""
    counts = dict(frame.select("feature", "sessions_feature").rows())
    counts |= dict(frame.select("other", "sessions_other").rows())
    return sorted(counts, key=lambda name: (-counts[name], name))[:PAIRED_MAX]


def _pair(row: Mapping[str, Any]) -> Square:
    often = f"{row['lift']:.2f} times as often as by chance"
    pair = f"{charts.label_of(row['feature'])} and {charts.label_of(row['other'])}"
    sessions = f"{text.count(row['sessions'])} of {text.some(row['sessions_all'], 'session')}"
    return Square(
        row["share"],
        f"{row['share'] * 100:.0f} %",
        f"{pair}: {sessions}, {often}",
        f"{row['feature']}{JOIN}{row['other']}" if row["sessions"] else "",
    )


def strongest(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs used together most above chance, in enough sessions to say so."""
    often = frame.filter(pl.col("sessions") >= SESSIONS_MIN)
    return often.sort("lift", "feature", "other", descending=[True, False, False])


def pairs(data: Data) -> Table:
    """Return the strongest pairs as a table."""
    return Table(
        strongest(data.now),
        {"feature": "This", "other": "With this", "lift": "Times chance", "sessions": "Sessions"},
        {"lift": "ratio"},
        rows=pictures.ROWS,
    )


# --- whether they help ---------------------------------------------------------------------------


def savings(open_from: date) -> Callable[[Data], go.Figure]:
    """Draw the share of tokens saved against its target."""

    def draw(data: Data) -> go.Figure:
        series = {"savings_rate": "tokens saved"}
        if GROUP not in data.now.columns and data.now["stated_rate_mean"].count():
            series["stated_rate_mean"] = "stated rates, mean"
        return _against(data, series, SAVINGS_TARGET, open_from)

    return draw


def acceptance(open_from: date) -> Callable[[Data], go.Figure]:
    """Draw the share of suggestions accepted against its target."""
    return lambda data: _against(
        data, {"acceptance_rate": "accepted"}, ACCEPTANCE_TARGET, open_from
    )


def _against(data: Data, series: dict[str, str], target: float, open_from: date) -> go.Figure:
    """Draw shares over time against a target: together, or of a breakdown each on its own."""
    if GROUP not in data.now.columns:
        return feature_charts.against_target(
            data.now, series, target, before=data.before, open_from=open_from
        )
    wide = pictures.spread(data.now, GROUP, next(iter(series)))
    return feature_charts.each_against_target(*wide, target, open_from=open_from)


def savings_subtitle(data: Data) -> str:
    """Say how much was saved, of how much, in how many events."""
    saved, before = (pictures.total(data.now, name) for name in ("saved_tokens", "before_tokens"))
    events = text.some(pictures.total(data.now, "events"), "compression")
    whole = f", {text.percent(saved / before)} in all" if before else ""
    return f"Share of tokens per day that {events} saved{whole}{_marked(data, SAVINGS_TARGET)}"


def savings_note(data: Data) -> str | None:
    """Say which events state a rate and no tokens, so that they are not in the line."""
    alone = pictures.total(data.now, "events_rate_only")
    if not alone:
        return None
    return (
        f"{text.some(alone, 'compression')} more stated only a rate and no tokens. They cannot be "
        "weighed, so they are a line of their own: the mean of what they stated."
    )


def acceptance_subtitle(data: Data) -> str:
    """Say how many suggestions were accepted."""
    accepted, answered = (pictures.total(data.now, name) for name in ("accepted", "answered"))
    words = text.share(accepted, answered, "suggestions that say so")
    return f"Share per day; {words}{_marked(data, ACCEPTANCE_TARGET)}"


def _marked(data: Data, target: float) -> str:
    """Say which line is what, where it is not written beside it."""
    if GROUP in data.now.columns:
        return f"; dashed is the target of {target * 100:.0f} %"
    return "" if data.before is None else "; the period before is dotted"


def acceptance_note(data: Data) -> str | None:
    """Say how many suggestions do not say whether they were accepted."""
    silent = pictures.total(data.now, "unanswered")
    if not silent:
        return None
    return f"{text.some(silent, 'suggestion')} more did not say whether they were accepted."


def results(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the classes of results up to the largest that any search found, named."""
    named = frame.with_columns(
        pl.when(pl.col("results_to").is_null())
        .then(pl.format("{} or more", "results_from"))
        .when(pl.col("results_to") == pl.col("results_from"))
        .then(pl.col("results_from").cast(pl.String))
        .otherwise(pl.format("{} to {}", "results_from", "results_to"))
        .alias("label")
    )
    most = named.filter(pl.col("searches") > 0)["results_from"].max()
    return named if most is None else named.filter(pl.col("results_from") <= most)


def slower_with_results(data: Data) -> go.Figure:
    """Draw how long searches take by how much they found."""
    return feature_charts.levels(
        results(data.now),
        {"duration_ms_p50": "p50", "duration_ms_p95": "p95"},
        label="label",
        unit="results of a search",
        kind="duration",
    )


def found(data: Data) -> go.Figure:
    """Draw how many searches found how much."""
    rows = results(data.now)
    said = [
        f"{label} results: {text.some(searches, 'search', 'searches')} ({text.percent(share)})"
        for label, searches, share in rows.select("label", "searches", "share").iter_rows()
    ]
    return feature_charts.by_number(
        rows, label="label", value="searches", said=said, unit="results of a search"
    )


def found_subtitle(data: Data) -> str:
    """Say how many searches there were, and how many found nothing."""
    searches = pictures.total(data.now, "searches")
    empty = pictures.total(data.now.filter(pl.col("results_from") == 0), "searches")
    return (
        f"{text.some(searches, 'successful search', 'successful searches')} by results; "
        f"{text.rate(empty, searches)} found nothing"
    )


def branches_subtitle(every: str, span: str) -> Callable[[Data], str]:
    """Say how many branches the product opened by itself."""

    def said(data: Data) -> str:
        automatic, manual = (pictures.total(data.now, name) for name in ("automatic", "manual"))
        share = text.rate(automatic, automatic + manual)
        return f"Contexts created per {every}, {span}; {share} automatic"

    return said


def categories(data: Data) -> Table:
    """Return the categories, the most frequent first."""
    return Table(
        data.now.sort("events", "category", descending=[True, False]),
        {
            "category": "Category",
            "events": "Classified",
            "share": "Share",
            "users": "People",
            "confidence_mean": "Confidence, mean",
            "confidence_p50": "Median",
        },
        {"confidence_mean": "percent", "confidence_p50": "percent"},
        rows=pictures.ROWS,
    )
