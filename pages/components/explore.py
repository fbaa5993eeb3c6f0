"""The question on show: in the link, kept while other pages are looked at, opened from anywhere.

It asks nothing and draws nothing a reader sees.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import streamlit as st

from data_access import DataUnavailable
from data_access.explore import Question, sql_of
from data_access.explore.builder import group_names, measure_name
from data_access.schema import SCHEMAS
from data_access.views import saved as saved_of
from pages.components import access, explore_run, options

if TYPE_CHECKING:
    from data_access.views import SavedView

PAGE: Final = "explore"
LINK_CHARS_MAX: Final = 6_000  # of a question in a link: proxies stop at 8 KB, filters included
TOO_LONG: Final = "too-long-"  # what a link has in the place of SQL that has no room in it
# what a link says of a question, beside the id of the saved one it is
ONE: Final = (
    *("saved", "sql", "table", "measure", "of", "order", "limit", "all_history"),
    *("picture", "x", "y", "series"),
)
SEVERAL: Final = ("columns", "group", "if")
_PREFIX: Final = f"{PAGE}."
_NEXT: Final = "_explore_next"  # opened from somewhere else, in the run that follows
_GO: Final = "_explore_go"
_LAST: Final = "_explore_last"  # as it was when another page was opened
_LONG: Final = "_explore_long"  # SQL that has no room in a link, by what the link has instead
_AWAY: Final = "_explore_away"  # another page was looked at meanwhile
_SAID: Final = "_explore_said"  # a question, and what to tell about how it got here


Wanted: TypeAlias = "tuple[Question, str, str]"  # with the saved one's id, and what to say


@dataclass(frozen=True, slots=True)
class Shown:
    """The question, which saved one it began as, and what to say about how it came here."""

    question: Question
    saved: SavedView | None = None
    said: str = ""
    notes: tuple[str, ...] = ()


def shown(home: str) -> Shown:
    """Return the question of the link; the page calls it once a run, before anything else."""
    wanted = _arrive(home)
    values = options.held(PAGE, ONE, SEVERAL)
    notes: list[str] = []
    question, view_id = _read(values, notes), "".join(values["saved"])
    if wanted is not None and question != wanted[0]:
        # the browser's Back empties the fields of the page it comes back to, whatever they hold
        st.session_state[_NEXT] = wanted
        st.rerun()
    found = _saved(home, view_id, notes) if view_id else None
    told_of, said = st.session_state.get(_SAID, (question, ""))
    if told_of != question:  # the browser's Back has led to another
        said = ""
    st.session_state[_LAST] = (question, view_id, said)
    return Shown(question, found, said, (*question.notes, *notes))


def current() -> Question:
    """Return the question as it stands now: for callbacks, which run before the page."""
    state = st.session_state
    one = {name: state.get(_PREFIX + name) for name in ONE}
    values = {name: [value] if value else [] for name, value in one.items()}
    return _read(values | {name: list(state.get(_PREFIX + name, ())) for name in SEVERAL}, [])


def put(question: Question, *, saved: str | None = None, said: str = "") -> None:
    """Make this the question on show: in a callback, or before the page has drawn its fields.

    Parameters
    ----------
    saved : the id of the saved question it is; None leaves the one it began as.
    said : a sentence about where it comes from, until it is changed.
    """
    values = _values(question)
    if saved is not None:
        values["saved"] = saved
    options.hold(PAGE, values)
    st.session_state[_SAID] = (question, said)


def change(**changes: Any) -> None:  # noqa: ANN401 - the fields of a Question
    """Change some of the question on show; to be called in a callback."""
    put(replace(current(), **changes))


def open_next(question: Question, *, said: str = "") -> None:
    """Go to the page with this question in the run that follows; to be called in a callback."""
    st.session_state[_NEXT] = (question, "", said)
    st.session_state[_GO] = True


def follow() -> None:
    """Go to the page where `open_next` asked for it. The frame calls it: the filters come along."""
    if st.session_state.pop(_GO, False):
        question, _, _ = st.session_state[_NEXT]
        # fields to come find their values in the URL; set otherwise, it would not get them
        st.switch_page("explore.py", query_params=question.to_query())


def left() -> None:
    """Say that another page is on show: nobody waits for an answer, and the question is kept."""
    st.session_state[_AWAY] = True
    explore_run.leave()


def is_too_long(question: Question) -> bool:
    """Tell whether a link has no room for it: then only a saved one can be shared."""
    return len(question.to_link()) > LINK_CHARS_MAX


def text_of(question: Question) -> str:
    """Return the SQL of a question, built or written."""
    return question.sql or sql_of(question)


def _arrive(home: str) -> Wanted | None:
    """Put into the fields what was asked for elsewhere, or what was here before; return it."""
    is_here = not st.session_state.get(_AWAY, True)
    st.session_state[_AWAY] = False
    in_link = [name for name in st.query_params if name.startswith(_PREFIX)]
    wanted: Wanted | None = st.session_state.pop(_NEXT, None)
    if wanted is None and not is_here and not in_link:
        wanted = st.session_state.get(_LAST)
    if wanted is None and not is_here and in_link == [f"{_PREFIX}saved"]:
        found = _saved(home, st.query_params[f"{_PREFIX}saved"], [])
        if found is not None:
            wanted = (Question.from_query(found.query), found.id, "")
    if wanted is None:
        return None
    question, view_id, said = wanted
    put(question, saved=view_id, said=said)
    return None if is_here else wanted


def _values(question: Question) -> dict[str, str | list[str]]:
    """Return the fields that say a question; SQL without room in a link stays in the session."""
    values: dict[str, str | list[str]] = {name: "" for name in ONE if name != "saved"}
    several: dict[str, list[str]] = {name: [] for name in SEVERAL}
    for name, value in question.to_query():
        field = name.removeprefix(_PREFIX)
        if field in several:
            several[field].append(value)
        else:
            values[field] = value
    if is_too_long(question):
        token = TOO_LONG + hashlib.sha256(question.sql.encode()).hexdigest()[:12]
        st.session_state[_LONG] = (token, question.sql)
        values["sql"] = token
    return values | several


def _read(values: dict[str, list[str]], notes: list[str]) -> Question:
    asked = {_PREFIX + name: given for name, given in values.items() if given and name != "saved"}
    question = Question.from_query(asked)
    if not question.sql.startswith(TOO_LONG):
        return question
    token, sql = st.session_state.get(_LONG, ("", ""))
    if token == question.sql:
        return replace(question, sql=sql)
    notes.append(
        "The question of this link was too long for a link, so it is not in it. It is in the "
        "history of whoever asked it: saved by name, it has a link that works."
    )
    return replace(question, sql="")


def _saved(home: str, view_id: str, notes: list[str]) -> SavedView | None:
    try:
        found = saved_of(home, view_id, who=access.who())
    except DataUnavailable as error:
        notes.append(str(error))
        return None
    if found is None or found.kind != "query":
        notes.append("The saved question of this link is not there: removed, or somebody's own.")
        return None
    return found


def orders_of(question: Question) -> list[str]:
    """Return the columns a built question's answer can be ordered by, what is measured first."""
    if question.measure:
        return [measure_name(question), *group_names(question)]
    return list(question.columns or SCHEMAS[question.table])
