"""Finished frames reshaped for a picture, and pictures said in words.

Reshaping only: every number here was computed by a metric.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl
import streamlit as st

from pages.components import charts, text
from pages.components.boundary import alone
from pages.components.tables import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go

    from pages.components.cell import Data
    from pages.components.view import View

SERIES_MAX: Final = 6  # more lines cannot be told apart; the rest is one line
ROWS: Final = 8
_OPERATION: Final = "_operation"


def before_is(view: View, drawn: str = "dotted", of: str = "the period before") -> str:
    """Return "; the period before is dotted" where it is drawn at all."""
    return "" if view.previous is None else f"; {of} is {drawn}"


def total(frame: pl.DataFrame, column: str) -> float:
    """Return the sum of a column, 0 for no rows."""
    return float(frame[column].sum())


def side_by_side(frames: Mapping[str, pl.DataFrame], column: str) -> pl.DataFrame:
    """Return one frame with a column per name, joined on the period."""
    joined: pl.DataFrame | None = None
    for name, frame in frames.items():
        one = frame.select("period", pl.col(column).alias(name))
        joined = one if joined is None else joined.join(one, on="period", how="left")
    return (joined if joined is not None else pl.DataFrame()).sort("period")


def spread(
    frame: pl.DataFrame, group: str, column: str, *, most: int = SERIES_MAX
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return a frame with a column per value of `group`, and each column's label.

    The values with the largest totals get their own column; the others are left to the rows.
    """
    named = frame.with_columns(
        pl.col(group).cast(pl.String).replace("", None).fill_null(text.NO_NAME).alias(group)
    )
    order = (
        named.group_by(group)
        .agg(pl.col(column).sum())
        .filter(pl.col(column) != 0)
        .sort(column, group, descending=[True, False])
        .head(most)[group]
        .to_list()
    )
    wide = named.select("period").unique().sort("period")
    for number, value in enumerate(order):
        one = named.filter(pl.col(group) == value).select(
            "period", pl.col(column).alias(f"_{number}")
        )
        wide = wide.join(one, on="period", how="left")
    return wide.sort("period"), {f"_{number}": value for number, value in enumerate(order)}


def zoned(frame: pl.DataFrame, column: str, timezone: str) -> pl.DataFrame:
    """Return the frame with an instant told in the page's timezone."""
    return frame.with_columns(pl.col(column).dt.convert_time_zone(timezone))


def movers(frame: pl.DataFrame, *, most: int = ROWS) -> Table:
    """Return what changed most, each change in words."""
    top = frame.sort(pl.col("z").abs(), descending=True).head(most)
    said = [
        _change(now, before) for now, before in top.select("events", "events_before").iter_rows()
    ]
    shown = top.with_columns(pl.Series("said", said, pl.String))
    return Table(
        shown,
        {"event_name": "Event", "events": "Now", "events_before": "Before", "said": "Change"},
        rows=most,
    )


def _change(now: float, before: float) -> str:
    change = text.change(now, before)
    if change is None:
        return text.NOTHING
    words = change.words.partition(" (from")[0]
    return {1: "↑ ", -1: "↓ "}.get(change.direction, "") + words


# --- pictures in words -----------------------------------------------------------------------


def said(frame: pl.DataFrame, column: str, what: str) -> str:
    """Say a series for somebody who does not see it: first, last, lowest and highest."""
    values = frame[column].drop_nulls()
    if values.is_empty():
        return f"A chart of {what}, without any value."
    kind = "duration" if column.startswith("duration_ms") else "count"
    say = charts.SAY["percent" if "rate" in column else kind]
    numbers = [float(one) for one in values]
    return (
        f"A chart of {what}: from {say(numbers[0])} to {say(numbers[-1])}, "
        f"lowest {say(min(numbers))}, highest {say(max(numbers))}. The numbers are under Details."
    )


def said_bars(frame: pl.DataFrame, name: str, column: str, *, most: int = ROWS) -> str:
    """Say a bar chart: each name with its number."""
    rows = frame.select(name, column).head(most).iter_rows()
    return "; ".join(f"{text.plain(one)}: {text.count(value)}" for one, value in rows)


# --- tables the pages share ------------------------------------------------------------------


def transposed(frame: pl.DataFrame, name: str, lines: Sequence[tuple[str, Any]]) -> Table:
    """Return a table with a column per row of `frame`: `lines` are (label, row -> text)."""
    heads = [text.plain(one) or text.NO_NAME for one in frame[name]]
    rows = frame.rows(named=True)
    columns: dict[str, list[str]] = {"": [label for label, _ in lines]}
    for number, row in enumerate(rows):
        columns[f"_{number}"] = [say(row) for _, say in lines]
    labels = {"": " "} | {f"_{number}": head for number, head in enumerate(heads)}
    return Table(
        pl.DataFrame(columns),
        labels,
        {f"_{number}": "said" for number in range(len(heads))},
        rows=len(lines),
    )


def used(frame: pl.DataFrame, series: Mapping[str, str]) -> dict[str, str]:
    """Return the series that hold anything: a legend of zeros helps nobody."""
    return {name: label for name, label in series.items() if frame[name].fill_null(0).sum()}


def errors_by_release(data: Data) -> Table:
    """Return releases, newest first, with how often each breaks."""
    rows = data.now.sort("first_seen", descending=True, nulls_last=True)
    return Table(
        rows.with_columns(pl.col("release").fill_null(text.NO_NAME)),
        {
            "release": "Release",
            "first_seen": "First seen",
            "users": "People",
            "errors": "Errors",
            "users_with_errors": "People hit",
            "errors_per_1000_events": "Per 1,000 events",
        },
        {"errors_per_1000_events": "decimal"},
        rows=ROWS,
    )


def speed_by_release(data: Data) -> Table:
    """Return releases, newest first, with how fast each is."""
    return Table(
        data.now.sort("first_seen", descending=True, nulls_last=True),
        {
            "release": "Release",
            "first_seen": "First seen",
            "users": "People",
            "duration_ms_p95": "p95",
            "error_rate": "Error rate",
        },
        {"duration_ms_p95": "duration"},
        rows=ROWS,
    )


# --- latency ---------------------------------------------------------------------------------


def operations(data: Data) -> Table:
    """Return a row per operation with its change against the period before."""
    now = data.now.sort("duration_ms_p95", descending=True, nulls_last=True)
    apdex = data.frames["apdex"].select("operation_name", "apdex")
    now = now.join(apdex, on="operation_name", how="left", maintain_order="left")
    if data.before is not None:
        past = data.before.select(
            "operation_name",
            pl.col("duration_ms_p95").alias("_before"),
            pl.col("traces").alias("_traces"),
        )
        now = now.join(past, on="operation_name", how="left", maintain_order="left")
        said = [
            _slower(*row)
            for row in now.select("duration_ms_p95", "_before", "traces", "_traces").iter_rows()
        ]
        now = now.with_columns(pl.Series("_said", said, pl.String))
    shares = pl.when(pl.col("traces") > 0).then(pl.col("failures") / pl.col("traces"))
    now = now.with_columns(shares.alias("_failed"))
    percentiles = {f"duration_ms_p{p}": f"p{p}" for p in (50, 75, 90, 95, 99)}
    return Table(
        now,
        {"operation_name": "Operation", "traces": "Count"}
        | percentiles
        | {"_said": "p95, change", "_failed": "Failed", "apdex": "Apdex"},
        dict.fromkeys(percentiles, "duration") | {"_failed": "percent", "apdex": "ratio"},
    )


def _slower(
    now: float | None, before: float | None, traces: float, traces_before: float | None
) -> str:
    change = text.change_of_duration(now, before, fewest=min(traces, traces_before or 0))
    return "new" if change is None and before is None else change.words if change else text.NOTHING


def chosen_operation(view: View) -> str | None:
    """Let the reader pick one operation for the distribution; the choice is in the link."""
    names: list[str] = []
    with alone("The list of operations", quiet=True):  # the cells say so already
        found = view.load("latency").sort("traces", descending=True)
        names = found["operation_name"].to_list()
    if not names:
        return None
    linked = st.session_state.get("operation")
    st.session_state[_OPERATION] = linked if linked in names else None
    chosen: str | None = st.selectbox(
        "Operation",
        names,
        index=None,
        key=_OPERATION,
        on_change=_choose_operation,
        placeholder="All operations",
        width=360,
    )
    return chosen


def _choose_operation() -> None:
    st.session_state["operation"] = st.session_state[_OPERATION] or ""


def of_operation(frame: pl.DataFrame, operation: str | None) -> pl.DataFrame:
    """Return the rows of one operation, or all of them."""
    return frame if operation is None else frame.filter(pl.col("operation_name") == operation)


def nothing_timed(data: Data, operation: str | None) -> bool:
    """Say whether there is no duration to draw."""
    return not of_operation(data.now, operation)["traces"].sum()


def counted(data: Data, operation: str | None) -> str:
    """Say what a distribution is of."""
    n = total(of_operation(data.now, operation), "traces")
    of = f" of {text.escaped(operation)}" if operation else ""
    return f"{text.some(n, 'operation')}{of} by duration, logarithmic; failures are hatched"


def distribution(data: Data, operation: str | None) -> go.Figure:
    """Draw the histogram with its percentiles."""
    rows = of_operation(data.now, operation)
    at = of_operation(data.frames["percentiles"], operation)
    marks = {
        f"p{p}": float(at[f"duration_ms_p{p}"][0])
        for p in (50, 95, 99)
        if at.height and at[f"duration_ms_p{p}"][0] is not None
    }
    return charts.histogram(
        rows,
        low="bucket_from_ms",
        high="bucket_to_ms",
        series={"successes": "succeeded", "failures": "failed"},
        marks=marks,
    )


def durations_by_day(frame: pl.DataFrame) -> go.Figure:
    """Draw how many operations took how long, per day."""
    timed = frame.drop_nulls("bucket_from_ms")
    starts = timed["bucket_from_ms"].unique().sort().to_list()
    return charts.heatmap(
        timed.with_columns(pl.when(pl.col("traces") > 0).then(pl.col("traces")).alias("traces")),
        x="period",
        y="bucket_from_ms",
        value="traces",
        y_labels=[text.duration(start) for start in starts],
        log=True,
    )


def by_outcome(data: Data) -> Table:
    """Return a row per operation: how long successes take, and failures."""
    kinds = {True: "success", False: "failure"}
    table = data.now.select("operation_name").unique().sort("operation_name")
    for is_success, name in kinds.items():
        one = data.now.filter(pl.col("success") == is_success).select(
            "operation_name",
            pl.col("traces").alias(f"{name}_traces"),
            pl.col("duration_ms_p50").alias(f"{name}_p50"),
            pl.col("duration_ms_p95").alias(f"{name}_p95"),
        )
        table = table.join(one, on="operation_name", how="left")
    return Table(
        table.sort("failure_traces", descending=True, nulls_last=True),
        {
            "operation_name": "Operation",
            "success_p50": "Success p50",
            "success_p95": "Success p95",
            "failure_traces": "Failures",
            "failure_p50": "Failure p50",
            "failure_p95": "Failure p95",
        },
        dict.fromkeys(("success_p50", "success_p95", "failure_p50", "failure_p95"), "duration"),
        rows=ROWS,
    )


def slowest(data: Data) -> Table:
    """Return the slowest single operations."""
    return Table(
        data.now,
        {
            "duration_ms": "Took",
            "operation_name": "Operation",
            "timestamp": "When",
            "success": "Succeeded",
            "user_tier": "Tier",
            "release": "Release",
        },
        {"duration_ms": "duration"},
        rows=ROWS,
    )
