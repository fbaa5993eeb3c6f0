"""Asking a question for one reader: begun, looked after, cancelled, and never asked twice.

A question runs in a process of its own (data_access.explore). The page looks at it twice a second
and shows how long it has taken; when nobody looks any more, it is stopped.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import streamlit as st

from data_access import DataUnavailable
from data_access.explore import QueryRefused, Question, start
from pages.components.load import answers

if TYPE_CHECKING:
    from data_access import Filters
    from data_access.config import Limits
    from data_access.explore import Answer, Running
    from pages.components.view import View

QUICK_SECONDS: Final = 0.8  # an answer that comes within it needs no "running" in between
LOOK_SECONDS: Final = 0.5  # how often the page looks whether it is done
ABANDONED_SECONDS: Final = 15.0  # nobody looked for so long: a browser in the background still does
_JOB: Final = "_explore_job"
_DONE: Final = "_explore_done"


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, as plain values; how it is drawn has no part in it."""

    question: Question
    filters: Filters
    home: str
    limits: Limits


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a question: an answer, or why there is none; `version` of which data."""

    asked: Asked
    version: str
    answer: Answer | None = None
    refused: QueryRefused | None = None
    is_remembered: bool = False  # it was answered before, and kept


@dataclass(slots=True)
class Job:
    """A question on its way, and when its reader last looked."""

    asked: Asked
    version: str
    running: Running
    looked: float = field(default_factory=time.monotonic)

    def watch(self) -> None:
        """Stop the question when nobody has looked for a while. Runs in a thread of its own."""
        while not self.running.wait(1.0):
            if time.monotonic() - self.looked > ABANDONED_SECONDS:
                self.running.cancel()


def asked_of(view: View, question: Question) -> Asked:
    """Return what a question asks here, whatever picture is made of the answer."""
    bare = replace(question, picture="auto", x="", y="", series="", notes=())
    if bare.sql:
        bare = Question(sql=bare.sql, all_history=bare.all_history)
    return Asked(bare, view.filters, view.home, view.facts.settings.limits)


def outcome(asked: Asked, version: str, *, live: bool = False) -> Outcome | None:
    """Return what became of a question, asking it when need be; None while it is on its way.

    What was answered stays until the reader asks again; `live` asks anew when the data changes.
    """
    done: Outcome | None = st.session_state.get(_DONE)
    if done is not None and done.asked == asked and (done.version == version or not live):
        leave()
        return done
    known = answers().get((asked, version))
    if known is not None:
        leave()
        return _keep(Outcome(asked, version, known, is_remembered=True))
    job: Job | None = st.session_state.get(_JOB)
    if job is None or job.asked != asked:
        job = _begin(asked, version)
    job.looked = time.monotonic()
    if job.running.wait(QUICK_SECONDS):
        return _keep(_finished(job))
    return None


def before(asked: Asked) -> Outcome | None:
    """Return the last answer, to be looked at while another question of this home runs."""
    done: Outcome | None = st.session_state.get(_DONE)
    return done if done is not None and done.answer and done.asked.home == asked.home else None


def again() -> None:
    """Forget the answer on show, so that it is asked anew; to be called in a callback."""
    done: Outcome | None = st.session_state.pop(_DONE, None)
    if done is not None:
        answers().drop((done.asked, done.version))


def leave() -> None:
    """Stop what runs for this reader: the page was left, or something else is asked."""
    job: Job | None = st.session_state.pop(_JOB, None)
    if job is not None:
        job.running.cancel()


@st.fragment(run_every=LOOK_SECONDS)
def waiting(seconds_max: float) -> None:
    """Say how long the question has been running, and offer to stop it."""
    job: Job | None = st.session_state.get(_JOB)
    if job is None or job.running.done():
        st.rerun()
    job.looked = time.monotonic()
    row = st.container(horizontal=True, vertical_alignment="center", key="explore-running")
    row.markdown(
        f":material/hourglass_top: Running for {job.running.seconds:.0f} s of at most "
        f"{seconds_max:g} s",
        width="content",
    )
    row.button(
        "Cancel",
        icon=":material/stop_circle:",
        on_click=cancel,
        key="explore-cancel",
        type="primary",
    )


def cancel() -> None:
    """Stop the running question: it then says that it was cancelled."""
    job: Job | None = st.session_state.get(_JOB)
    if job is not None:
        job.running.cancel()
        job.running.wait(QUICK_SECONDS)


def _begin(asked: Asked, version: str) -> Job:
    leave()
    running = start(asked.question, asked.filters, asked.home, asked.limits)
    job = Job(asked, version, running)
    threading.Thread(target=job.watch, name="explore-watch", daemon=True).start()
    st.session_state[_JOB] = job
    return job


def _finished(job: Job) -> Outcome:
    st.session_state.pop(_JOB, None)
    try:
        answer = job.running.answer()
    except QueryRefused as error:
        return Outcome(job.asked, job.version, refused=error)
    except DataUnavailable as error:
        return Outcome(job.asked, job.version, refused=QueryRefused(str(error)))
    answers().put((job.asked, job.version), answer)
    return Outcome(job.asked, job.version, answer)


def _keep(found: Outcome) -> Outcome:
    st.session_state[_DONE] = found
    return found
