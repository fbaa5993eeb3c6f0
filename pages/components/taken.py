"""What a cell says of itself when it is taken away: for a file's metadata, and for a notebook."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from data_access import export, notebook
from data_access.home import open_home
from pages.components import redrawn, text
from pages.components.load import spec

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from data_access.explore import Answer, Question
    from pages.components.cell import Ask, Cell, Data
    from pages.components.view import View


_FACTS: Final = {
    "Link": "link",
    "Data version": "data_version",
    "Data as of": "data_as_of",
    "Sample": "estimated",
    "Demo": "demo",
}


def about(view: View, made: Cell) -> export.About:
    """Return what a cell's rows are."""
    words = text.period_and_filters(view.filters, today=view.today)
    sample = view.sample(*(one.metric for one in made.asks))
    window, chosen = view.window, text.filtered(view.filters)
    estimated = "" if sample is None else text.estimated(sample)
    facts = {
        "metric": ", ".join(dict.fromkeys(one.metric for one in made.asks)),
        "options": json.dumps([[one.name, dict(one.options)] for one in made.asks], default=str),
        "definition": _definition(made),
        "period": f"{window.opens_at.isoformat()}/{window.closes_at.isoformat()}",
        "timezone": window.timezone,
        "filters": chosen or "none",
        "query": view.filters.to_query(),
        "link": f"{view.link}#{made.slug}",
        "estimated": estimated,
        **_data(view),
    }
    return export.About(
        title=made.title,
        words=f"{words}; {estimated}" if estimated else words,
        facts={name: value for name, value in facts.items() if value},
        made_at=view.now,
    )


def _definition(made: Cell) -> str:
    found = spec(made.asks[0].metric)
    return found.definition.partition("\n")[0] if found else ""


def _data(view: View) -> dict[str, str]:
    as_of = view.facts.as_of
    return {
        "data_version": view.version,
        "data_as_of": as_of.isoformat() if as_of else "",
        "demo": "made-up data" if view.facts.settings.is_demo else "",
    }


def story(  # noqa: PLR0917 - the cell, what it holds and what it says
    view: View,
    made: Cell,
    data: Data,
    taken: export.About,
    said: tuple[str, ...],
    drawn: go.Figure | None,
) -> notebook.Story:
    """Return what a notebook tells of a cell. It is made when the file is clicked: no session.

    Parameters
    ----------
    taken : what `about` said.
    said : what the cell says around its picture, as markdown.
    drawn : its picture; None for a table.
    """
    befores = [one for one in made.asks if one.name in data.befores]
    parts = [
        *(_part(one, data.frames[one.name]) for one in made.asks),
        *(_part(one, data.befores[one.name], is_before=True) for one in befores),
    ]
    words = {name: taken.facts[key] for name, key in _FACTS.items() if key in taken.facts}
    return notebook.Story(
        title=made.title,
        words=tuple(filter(None, said)),
        parts=parts,
        filters=view.filters,
        home=str(open_home(view.home).path),
        version=view.version,
        facts=words | {"Exported": view.now.isoformat(timespec="seconds")},
        picture="" if drawn is None else redrawn.code(drawn, parts, view.timezone),
    )


def _part(one: Ask, frame: pl.DataFrame, *, is_before: bool = False) -> notebook.Part:
    options: dict[str, Any] = dict(one.options)
    split = options.pop("split", None)
    return notebook.Part(one.name, one.metric, frame, options, split, is_before)


# --- the answer to a question ----------------------------------------------------------------


def about_answer(view: View, question: Question, answer: Answer) -> export.About:
    """Return what the rows of an answer are."""
    words = text.period_and_filters(view.filters, today=view.today)
    if question.all_history:
        words = f"all days; {text.filtered(view.filters)}".removesuffix("; ")
    sample = view.sample("kpis")
    facts = {
        "sql": answer.sql,
        "ran": answer.ran,
        "filters": text.filtered(view.filters) or "none",
        "query": view.filters.to_query(),
        "link": view.link,
        "estimated": "" if sample is None else text.estimated(sample),
        **_data(view),
    }
    return export.About(
        title="Explore",
        words=f"{words}; {' '.join(answer.sql.split())}",
        facts={name: value for name, value in facts.items() if value},
        made_at=view.now,
    )


def story_of_answer(  # noqa: PLR0917 - the question, its answer and what is said of it
    view: View,
    question: Question,
    answer: Answer,
    taken: export.About,
    said: str,
    drawn: go.Figure | None,
) -> notebook.Story:
    """Return what a notebook tells of a question. It is made when the file is clicked."""
    from data_access.explore.checked import check  # noqa: PLC0415 - loads sqlglot, 0.25 s

    checked = check(answer.sql)
    query = notebook.Query(
        answer.sql,
        answer.ran,
        checked.tables,
        checked.keys,
        checked.buckets,
        question.all_history,
        answer.rows,
    )
    parts = [notebook.Part("answer", "", answer.frame, query=query)]
    cut = f"The first {answer.rows:,} rows of more." if answer.truncated else ""
    words = {name: taken.facts[key] for name, key in _FACTS.items() if key in taken.facts}
    return notebook.Story(
        title="A question",
        words=tuple(filter(None, (said, cut))),
        parts=parts,
        filters=view.filters,
        home=str(open_home(view.home).path),
        version=view.version,
        facts=words | {"Exported": view.now.isoformat(timespec="seconds")},
        picture="" if drawn is None else redrawn.code(drawn, parts, view.timezone),
    )
