"""The headline numbers that several pages share, picked out of finished frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pages.components import charts, text
from pages.components.headline import Number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pages.components.view import View

# kpi -> (label, what the denominator counts, which direction is good news)
KPIS: Final = {
    "cdr": ("Context dependency", "sessions", 1),
    "cdr_users": ("Context dependency of people", "people", 1),
    "resurrection": ("Resurrection", "dormant people", 1),
    "dau": ("Daily active", "", 1),
    "wau": ("Weekly active", "", 1),
    "mau": ("Monthly active", "", 1),
    "stickiness": ("Stickiness, DAU / MAU", "people", 1),
    "paid_conversion": ("Paid conversion", "people not paying", 1),
    "error_rate": ("Error rate", "events", -1),
}


def number(view: View, kpi: str, *, past: Sequence[float] = ()) -> Number:
    """Return a KPI of `metrics.kpis` as a headline number."""
    label, noun, good = KPIS[kpi]
    value, part, whole = _row(view.load("kpis"), kpi)
    before = _row(view.load("kpis", before=True), kpi) if view.previous is not None else None
    sample, each = view.sample("kpis"), _each(view, "kpis")
    if not noun:
        change = text.change(value, before[0], each=each) if before else None
        if kpi == "dau" and view.open_from("1d") < view.window.end:
            change = text.Change("today so far")  # against a whole day it would look like a drop
        return Number(label, text.count(value), change, "kpis", good, past, _LAST_DAY, value)
    moved = None
    if before:
        moved = text.change_of_rate((part, whole), (before[1], before[2]), each=each)
    note = text.about(f"{text.count(part)} of {text.count(whole)} {noun}.", sample)
    return Number(label, text.rate(part, whole), moved, "kpis", good, past, note)


def _each(view: View, metric: str) -> float:
    sample = view.sample(metric)
    return sample.each if sample else 1.0


_LAST_DAY: Final = "On the last day shown."


def value(frame: pl.DataFrame, kpi: str) -> float | None:
    """Return one KPI's value."""
    return _row(frame, kpi)[0]


def _row(frame: pl.DataFrame, kpi: str) -> tuple[float | None, float | None, float | None]:
    rows = frame.filter(pl.col("kpi") == kpi).select("value", "numerator", "denominator").rows()
    return rows[0] if rows else (None, None, None)


def spark(view: View, frame: pl.DataFrame, column: str) -> list[float]:
    """Return a sparkline of the days that are over."""
    return charts.spark(frame.filter(pl.col("period") < view.open_from("1d")), column)


def error_rate(view: View) -> Number:
    """Return the error rate with its days."""
    return number(view, "error_rate", past=spark(view, view.load("activity"), "error_rate"))


def daily_active(view: View, days: int | None = None) -> list[float]:
    """Return the sparkline of DAU, or of WAU and MAU."""
    return spark(view, view.load("active_users", days=days), "users")


def sessions(view: View) -> Number:
    """Return the sessions of the window: by their id, or by pauses when events name none."""
    now = _sessions(view, before=False)
    before = _sessions(view, before=True) if view.previous is not None else None
    by_id = bool(_row(view.load("kpis"), "cdr")[2])
    past = spark(view, view.load("sessions_by_period"), "sessions") if by_id else ()
    note = "" if by_id else "Events name no session, so one ends after a pause of 30 minutes."
    metric = "kpis" if by_id else "sessions"
    change = text.change(now, before, each=_each(view, metric))
    return Number("Sessions", text.count(now), change, metric, 1, past, note)


def _sessions(view: View, *, before: bool) -> float | None:
    named = _row(view.load("kpis", before=before), "cdr")[2]
    if named:
        return named
    return float(view.load("sessions", before=before)["weight"].sum())


def latency(view: View, column: str, label: str) -> Number:
    """Return a percentile over all operations as a headline number."""
    now = view.load("latency", by=())
    before = view.load("latency", by=(), before=True) if view.previous is not None else None
    change = None
    if before is not None:
        fewest = min(_first(now, "traces") or 0, _first(before, "traces") or 0)
        change = text.change_of_duration(_first(now, column), _first(before, column), fewest=fewest)
    past = spark(view, view.load("latency", by=(), every="1d"), column)
    note = f"Of {text.some(_first(now, 'traces') or 0, 'operation')}."
    return Number(label, text.duration(_first(now, column)), change, "latency", -1, past, note)


def failures(view: View) -> Number:
    """Return the share of operations that failed."""
    pairs = []
    for before in (False, True) if view.previous is not None else (False,):
        frame = view.load("latency", by=(), before=before)
        pairs.append((_first(frame, "failures"), _first(frame, "traces")))
    each = _each(view, "latency")
    change = text.change_of_rate(pairs[0], pairs[1], each=each) if len(pairs) > 1 else None
    part, whole = pairs[0]
    note = f"{text.count(part)} of {text.count(whole)} operations did not succeed."
    return Number("Failed operations", text.rate(part, whole), change, "latency", -1, (), note)


def apdex(view: View) -> Number:
    """Return Apdex over all operations."""
    now = _first(view.load("apdex", by=(), threshold_ms=view.apdex_ms), "apdex")
    words = None
    if view.previous is not None:
        asked = view.load("apdex", by=(), threshold_ms=view.apdex_ms, before=True)
        before = _first(asked, "apdex")
        if now is not None and before is not None:
            moved = now - before
            direction = 0 if abs(moved) < 0.01 else (1 if moved > 0 else -1)  # noqa: PLR2004
            said = {0: "about the same", 1: "up", -1: "down"}[direction]
            words = text.Change(f"{said} (from {before:.2f})", direction)
    shown = text.NOTHING if now is None else f"{now:.2f}"
    return Number(
        "Apdex",
        shown,
        words,
        "apdex",
        1,
        (),
        f"1 is everybody satisfied; T is {text.duration(view.apdex_ms)}.",
    )


def _first(frame: pl.DataFrame, column: str) -> float | None:
    return frame[column][0] if frame.height else None
