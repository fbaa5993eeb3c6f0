"""How fast is it? Percentiles by operation, over time, as a distribution; what changed."""

from __future__ import annotations

import streamlit as st

from pages.components import behind, charts, groups, kpi, pictures, sentences, text
from pages.components.cell import ask, cell
from pages.components.head import head, reading
from pages.components.headline import headline
from pages.components.view import current

view = current()
open_day = view.open_from("1d")
EMPTY = "No operation was traced in this period. A line with `operation_name` is a trace."

head(view, "How fast is it, and did that change?", "Traced operations, failed ones included.")
reading(view, lambda: [*sentences.slower(view, most=3)])
headline(
    view,
    lambda: [
        kpi.latency(view, "duration_ms_p50", "p50"),
        kpi.latency(view, "duration_ms_p95", "p95"),
        kpi.latency(view, "duration_ms_p99", "p99"),
        kpi.apdex(view),
        kpi.failures(view),
    ],
)

# When was it slow?
cell(
    view,
    "Percentiles over time",
    ask("latency", by=(), every="1d"),
    lambda data: charts.percentiles(data.now, before=data.before, open_from=open_day),
    compare=True,
    subtitle="All operations per day, logarithmic"
    + pictures.before_is(view, of="the p95 of the period before"),
    alt=lambda data: pictures.said(data.now, "duration_ms_p95", "p95 per day"),
    empty=EMPTY,
    is_empty=lambda data: not data.now["traces"].sum(),
    height=charts.TALL,
)

groups.over_time(
    "latency", view, "p95", "latency", "duration_ms_p95", "duration", by=(), every="1d"
)

# Which operation?
cell(
    view,
    "Operations",
    [ask("latency"), ask("apdex", threshold_ms=view.apdex_ms)],
    pictures.operations,
    compare=True,
    subtitle="Percentiles per operation, slowest p95 first; "
    f"Apdex counts {text.duration(view.apdex_ms)} as fast enough",
    alt="A table of operations with their percentiles, failures and Apdex.",
    empty=EMPTY,
    **behind.of_values(
        view,
        "operation_name",
        column="traces",
        metric="trace_people",
        did="waited for",
        of=lambda operation: {"operation": operation},
    ),
)
cell(
    view,
    "p95 by operation",
    ask("latency", every="1d"),
    lambda data: charts.small_multiples(
        *pictures.spread(data.now, "operation_name", "duration_ms_p95", most=8),
        kind="duration",
        open_from=open_day,
        log=True,
    ),
    subtitle="p95 per day, on one logarithmic scale; the slowest first, releases dotted",
    alt=lambda data: pictures.said(data.now, "duration_ms_p95", "p95 per operation and day"),
    empty=EMPTY,
    height=charts.TALL,
)

# How is it spread?
operation = pictures.chosen_operation(view)
by = ("operation_name",) if operation else ()
left, right = st.columns(2)
with left:
    cell(
        view,
        "How long operations take",
        [ask("latency_distribution", by=by), ask("latency", "percentiles", by=by)],
        lambda data: pictures.distribution(data, operation),
        subtitle=lambda data: pictures.counted(data, operation),
        alt="A histogram of durations on a logarithmic axis, failures apart.",
        empty=EMPTY,
        is_empty=lambda data: pictures.nothing_timed(data, operation),
    )
with right:
    cell(
        view,
        "Slow days and fast days",
        ask("latency_heatmap"),
        lambda data: pictures.durations_by_day(data.now),
        subtitle="Operations per day and duration; darker, in the dark theme lighter, is more",
        alt="A heatmap of durations per day.",
        empty=EMPTY,
        is_empty=lambda data: not data.now["traces"].sum(),
    )

cell(
    view,
    "Failures and successes apart",
    ask("latency", by=("operation_name", "success")),
    pictures.by_outcome,
    subtitle="A failure that is fast, or slow, says where to look; most failures first",
    alt="A table of operations with the p50 and p95 of successes and of failures.",
    empty=EMPTY,
)
cell(
    view,
    "The slowest",
    ask("slowest", limit=50),
    pictures.slowest,
    subtitle="Single operations, slowest first",
    alt="A table of the slowest single operations.",
    empty=EMPTY,
    is_empty=lambda data: not data.now.height,
)
