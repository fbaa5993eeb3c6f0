"""What became of a question: the answer as picture, table or pivot, or why there is none."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import polars as pl
import streamlit as st

from data_access.explore import Pivoted, QueryRefused, QueryStopped, ask, pivoted
from data_access.explore.refused import BUSY, CANCELLED, MEMORY, SIZE, TIME
from pages.components import (
    charts,
    explore,
    explore_charts,
    explore_run,
    exports,
    picture_file,
    tables,
    taken,
    text,
)
from pages.components import explore_words as words

if TYPE_CHECKING:
    from pathlib import Path

    from data_access.explore import Answer, Question
    from pages.components.cell import Picture
    from pages.components.explore_charts import Plan
    from pages.components.explore_run import Outcome
    from pages.components.view import View

SHOWN: Final = ("Chart", "Table", "Pivot")
SHOWN_AS: Final = {"table": "Table", "pivot": "Pivot"}
_AUTO: Final = "Automatic"
UNGUARDED: Final = (
    ":material/info: This system cannot keep a query's process from files and the network, as "
    "Linux 5.13 and later can; what keeps it from them is the check of its SQL alone."
)
# why it was stopped -> the key of telemetry.toml that says so
_KEYS: Final = {
    TIME: "limits.query_seconds",
    MEMORY: "limits.query_memory_mb",
    BUSY: "limits.queries_at_once",
}


def refused(error: QueryRefused) -> None:
    """Say why there is no answer, and what to do."""
    if error.kind == CANCELLED:
        st.info("Cancelled. Nothing of it runs any more.", icon=":material/stop_circle:")
    else:
        parts = [f"**{text.escaped(error.what, most=600)}**"]
        if error.where:
            parts.append(text.escaped(error.where, most=700))
        if error.what_to_do:
            parts.append(text.escaped(error.what_to_do, most=400))
        key = _KEYS.get(error.kind)
        if key:
            parts.append(f"The limit is `{key}` in telemetry.toml.")
        said = "  \n".join(parts)
        stopped = isinstance(error, QueryStopped) or error.kind in {BUSY, SIZE}
        (st.warning if stopped else st.error)(said, icon=":material/block:")
    if error.kind in {CANCELLED, TIME, MEMORY, BUSY}:
        st.button(
            "Ask it again",
            icon=":material/refresh:",
            key="explore-retry",
            on_click=explore_run.again,
        )


def result(view: View, question: Question, found: Outcome, answer: Answer) -> None:
    """Draw an answer."""
    frame, plan = answer.frame, explore_charts.planned(answer.frame, question)
    auto = explore_charts.planned(frame, replace(question, picture="auto")).picture
    _account(view, found, answer)
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"
    ):
        shown = _shown_as(plan, auto)
        _details(view, question, answer)
    if frame.is_empty():
        _nothing(view, question)
    elif shown == "Pivot":
        _pivot(view, question, frame, plan)
    elif shown == "Table":
        _table(view, question, frame)
    else:
        _chart(view, question, frame, plan, auto)


def _account(view: View, found: Outcome, answer: Answer) -> None:
    """Say how many rows there are, whether these are all, and what it took."""
    many = text.some(answer.rows, "row")
    took = text.duration(answer.seconds * 1_000)
    parts = [f"**{many}** in {took}"]
    if answer.truncated:
        many = f"The first {answer.rows:,} rows"
        more = "there are more. A group or a condition makes it fewer; `limits.query_rows`"
        parts = [f"**{many}** in {took}: {more} in telemetry.toml says how many may be shown"]
    if found.is_remembered:
        parts.append("answered before and kept")
    sample = view.sample("kpis")
    if sample is not None:
        parts.append(text.escaped(text.estimated(sample), most=300))
    st.markdown(" · ".join(parts))
    if found.version != view.version:
        st.button(
            "The data has changed since: ask again",
            icon=":material/refresh:",
            type="tertiary",
            key="explore-again",
            on_click=explore_run.again,
        )


def _nothing(view: View, question: Question) -> None:
    narrowed = bool(view.filters.chosen() or question.where)
    more = " Fewer filters or conditions, or a longer period, may find some." if narrowed else ""
    days = "" if question.all_history else f" in {text.window(view.window, today=view.today)}"
    st.info(f"There are no rows{days}.{more}", icon=":material/hourglass_empty:")


# --- as what ---------------------------------------------------------------------------------


def _shown_as(plan: Plan, auto: str) -> str:
    """Offer the three ways to look at an answer; which one is in the link."""
    here = SHOWN_AS.get(plan.picture, SHOWN[0])
    st.session_state["_x-shown"] = here
    st.segmented_control(
        "Show as",
        SHOWN,
        key="_x-shown",
        required=True,
        on_change=partial(_set_shown, auto),
        label_visibility="collapsed",
    )
    return here


def _set_shown(auto: str) -> None:
    """Show the answer in another way; a chart is the one that fits, or bars where none does."""
    named = {label: picture for picture, label in SHOWN_AS.items()}
    chart = "bar" if auto in SHOWN_AS else "auto"
    explore.change(picture=named.get(st.session_state["_x-shown"], chart))


def _table(view: View, question: Question, frame: pl.DataFrame) -> None:
    if frame.height > tables.ROWS_MAX:
        st.caption(f"The first {tables.ROWS_MAX:,} of {frame.height:,}; exports hold all.")
    tables.show(
        _as_table(question, frame),
        timezone=view.timezone,
        alt=f"The answer, {text.some(frame.height, 'row')}.",
    )


def _as_table(question: Question, frame: pl.DataFrame) -> tables.Table:
    return tables.Table(
        _readable(frame),
        {name: name for name in frame.columns},
        {name: kind for name in frame.columns if (kind := _kind(frame, name, question))},
        rows=16,
    )


def _readable(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with days of the week by name, and nothing a table cannot hold."""
    changed = []
    for name, dtype in frame.schema.items():
        if name == "weekday" and dtype.is_integer():
            days = dict(enumerate(words.WEEKDAYS, start=1))
            changed.append(pl.col(name).replace_strict(days, default=None, return_dtype=pl.String))
        elif dtype.is_decimal() or dtype == pl.Int128:
            changed.append(pl.col(name).cast(pl.Float64))
        elif isinstance(dtype, pl.Time | pl.Struct) or dtype == pl.Null:
            changed.append(pl.col(name).cast(pl.String))
    return explore_charts.with_lengths(frame.with_columns(changed))


def _kind(frame: pl.DataFrame, name: str, question: Question) -> str:
    if not frame.schema[name].is_float():
        return ""
    kind = explore_charts.kind_of(name, question)
    if kind == "count":
        return "decimal" if _has_fractions(frame[name]) else "number"
    return kind


def _has_fractions(values: pl.Series) -> bool:
    return bool((values.round(0) != values).any())


# --- the chart -------------------------------------------------------------------------------


def _chart(view: View, question: Question, frame: pl.DataFrame, plan: Plan, auto: str) -> None:
    keys = explore_charts.keys_of(frame, question)
    values = explore_charts.values_of(frame, question)
    with st.container(horizontal=True, vertical_alignment="bottom", key="explore-picture"):
        _picture(question, auto)
        if plan.picture != "number":
            along = [*keys, *[name for name in values if name != plan.y]]
            _columns("Along", "x", plan.x, along)
        _columns("Number", "y", plan.y, values)
        if plan.picture != "number":
            label = "Down" if plan.picture == "heatmap" else "Apart by"
            _columns(label, "series", plan.series, [name for name in keys if name != plan.x])
    if plan.picture == "number" and explore_charts.has_number(frame, plan):
        with st.container(width="content", border=True, key="explore-number"):
            label = text.escaped(words.label(plan.y))
            st.metric(label, explore_charts.number(frame, plan, question))
        return
    drawn = explore_charts.draw(frame, plan, question, view.window)
    if isinstance(drawn, str):
        st.info(drawn, icon=":material/info:")
        _table(view, question, frame)
        return
    st.plotly_chart(drawn.figure, config=charts.CONFIG, alt=drawn.alt)
    st.caption(_below(frame, question, plan, view))
    if drawn.note:
        st.caption(f":material/info: {drawn.note}")


def _below(frame: pl.DataFrame, question: Question, plan: Plan, view: View) -> str:
    """Return the unit of a picture in words, and the clock where it shows times."""
    unit = {"percent": "share", "duration": "duration", "money": "US dollars"}
    said = f"{text.escaped(words.label(plan.y))}"
    kind = explore_charts.kind_of(plan.y, question)
    said += f", {unit[kind]}" if kind in unit else ""
    said += f", by {text.escaped(words.label(plan.x))}"
    if plan.series:
        said += f" and {text.escaped(words.label(plan.series))}"
    along = [name for name in (plan.x, plan.series) if name]
    if any(name in words.BUCKETS or explore_charts.is_time(frame.schema[name]) for name in along):
        said += f"; times are {text.escaped(view.timezone)}"
    return said


def _picture(question: Question, auto: str) -> None:
    """Offer the kinds of chart; the first is whichever fits."""
    fits = words.PICTURES.get(auto, "").lower()
    offered = {"auto": f"{_AUTO}: {fits}" if fits else _AUTO, **words.PICTURES}
    st.session_state["_x-picture"] = question.picture if question.picture in offered else "auto"
    st.selectbox(
        "Picture",
        list(offered),
        format_func=offered.__getitem__,
        key="_x-picture",
        on_change=partial(_set, "picture", tuple(offered)),
        width=160,
    )


def _columns(label: str, name: str, here: str, offered: list[str]) -> None:
    known = offered if here in offered or not here else [*offered, here]
    st.session_state[f"_x-{name}"] = here or None
    st.selectbox(
        label,
        known,
        index=None,
        format_func=words.label,
        key=f"_x-{name}",
        on_change=partial(_set, name, tuple(known)),
        placeholder="Nothing",
        width=170,
    )


def _set(name: str, offered: tuple[str, ...]) -> None:
    """Take over what was chosen; a browser may still send what the answer before had."""
    chosen = st.session_state[f"_x-{name}"] or ""
    if not chosen or chosen in offered:
        explore.change(**{name: chosen})


# --- the pivot -------------------------------------------------------------------------------


def _pivot(view: View, question: Question, frame: pl.DataFrame, plan: Plan) -> None:
    keys = explore_charts.keys_of(frame, question)
    values = explore_charts.values_of(frame, question)
    with st.container(horizontal=True, vertical_alignment="bottom", key="explore-pivot"):
        _columns("Rows", "x", plan.x, keys)
        _columns("Columns", "series", plan.series, [name for name in keys if name != plan.x])
        _columns("Value", "y", plan.y, values or frame.columns)
    found = _found_pivot(frame, plan)
    if not isinstance(found, Pivoted):
        if found is None:
            st.info(
                "A pivot needs two columns to group by and a number. Group by one more.",
                icon=":material/info:",
            )
        else:
            refused(found)
        _table(view, question, frame)
        return
    tables.show(
        _as_pivot(question, frame, plan, found),
        timezone=view.timezone,
        alt=f"{words.label(plan.y)}, a row per {plan.x} and a column per {plan.series}.",
    )
    if found.left_out:
        st.caption(f":material/info: {_left_out(found, plan)}")


def _found_pivot(frame: pl.DataFrame, plan: Plan) -> Pivoted | QueryRefused | None:
    """Return the pivot, why there is none, or nothing where the question is too short for one."""
    if not (plan.x and plan.series and plan.y):
        return None
    try:
        return pivoted(frame, plan.x, plan.series, plan.y)
    except QueryRefused as error:
        return error


def _left_out(found: Pivoted, plan: Plan) -> str:
    return (
        f"{text.some(found.left_out, 'more value')} of {text.escaped(words.label(plan.series))} "
        "have no room; the largest are shown."
    )


def _as_pivot(question: Question, frame: pl.DataFrame, plan: Plan, found: Pivoted) -> tables.Table:
    wide, kind = found.frame, explore_charts.kind_of(plan.y, question)
    if explore_charts.adds_up(question) and not found.left_out:
        wide = _with_totals(wide, plan.x)
    numbers = [name for name in wide.columns if name != plan.x]
    if not frame.schema[plan.y].is_float():
        kind = "number"
    elif kind == "count":
        fractions = any(_has_fractions(wide[name].drop_nulls()) for name in numbers)
        kind = "decimal" if fractions else "number"
    return tables.Table(
        _readable(wide),
        {name: name for name in wide.columns},
        dict.fromkeys(numbers, kind),
        rows=20,
    )


def _with_totals(wide: pl.DataFrame, rows: str) -> pl.DataFrame:
    """Return the table with the sum of each row; the pictures' own numbers stay as they are."""
    numbers = [name for name in wide.columns if name != rows]
    total = "Total" if "Total" not in wide.columns else "Total of all"
    return wide.with_columns(pl.sum_horizontal(numbers).alias(total))


# --- beside it -------------------------------------------------------------------------------


def _details(view: View, question: Question, answer: Answer) -> None:
    popover = st.popover("Details", type="tertiary", key="details-explore", on_change="rerun")
    if not popover.open:
        return
    with popover:
        sql, plan, files = st.tabs(["SQL", "Plan", "Export"])
        with sql:
            if not question.sql:
                st.code(answer.sql, language="sql", wrap_lines=True)
            st.caption("What ran, after it was checked and written anew:")
            st.code(answer.ran, language="sql", wrap_lines=True)
        with plan:
            st.caption(f"How the engine went about it, in {answer.seconds:.3f} s.")
            if not answer.guarded:
                st.caption(UNGUARDED)
            st.code(answer.plan, language=None, height=320)
        with files:
            _files(view, question, answer)


def _files(view: View, question: Question, answer: Answer) -> None:
    drawn, below = _drawn(view, question, answer.frame)
    about = taken.about_answer(view, question, answer)
    cut = f"The first {answer.rows:,} rows of more. " if answer.truncated else ""
    picture = picture_file.of(drawn, about, f"{cut}{below}", view.timezone)
    figure = None if isinstance(drawn, tables.Table) else drawn
    exports.files(
        answer.frame,
        about,
        f"explore-{view.window.start}-{view.last_shown_day()}",
        key="explore",
        limit=view.facts.settings.limits.export_rows,
        story=partial(taken.story_of_answer, view, question, answer, about, below, figure),
        picture=None if answer.frame.is_empty() else picture,
        whole=partial(_whole, explore_run.asked_of(view, question)) if answer.truncated else None,
    )


def _drawn(view: View, question: Question, frame: pl.DataFrame) -> tuple[Picture, str]:
    """Return an answer as it is shown, and the words below it; a number is shown as a table."""
    plan, table = explore_charts.planned(frame, question), (_as_table(question, frame), "")
    if frame.is_empty() or plan.picture in {"table", "number"}:
        return table
    if plan.picture != "pivot":
        made = explore_charts.draw(frame, plan, question, view.window)
        if isinstance(made, str):
            return table
        return made.figure, _below(frame, question, plan, view) + (made.note and f". {made.note}")
    found = _found_pivot(frame, plan)
    if not isinstance(found, Pivoted):
        return table
    left = f". {_left_out(found, plan)}" if found.left_out else ""
    return _as_pivot(question, frame, plan, found), _below(frame, question, plan, view) + left


def _whole(asked: explore_run.Asked, into: Path) -> pl.LazyFrame:
    """Ask once more for every row there is, into a file."""
    return ask(asked.question, asked.filters, asked.home, asked.limits, into=into).lazy()
