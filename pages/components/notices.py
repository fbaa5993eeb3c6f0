"""What the frame says above a page: whose data this is, what is wrong with it, what was ignored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import streamlit as st

import data_access
from data_access import DataUnavailable
from pages.components import text
from pages.components.boundary import alone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pages.components.load import Facts
    from pages.components.view import View

FOLLOW_SECONDS: Final = 2  # an event is on the page within this and the time to compute it
PROBLEMS_MAX: Final = 20
_CALM: Final = ("flagged", "copy", "settings", "clock")


def prepared(where: str) -> str:
    """Bring the fast copy of the data up to date, with a bar when that takes a while."""
    slot = st.empty()

    def told(done: int, total: int) -> None:
        of = f" of {text.count(total)}" if total else ""
        part = min(done / total, 1.0) if total else 1.0
        slot.progress(part, f"Reading new telemetry: {text.count(done)}{of} rows")

    version = data_access.prepare(where, progress=told)
    slot.empty()
    return version


def no_data(trouble: str) -> None:
    """Say that there is nothing to show, and how to get something."""
    st.title("There is no telemetry here yet", anchor=False)
    no_telemetry(trouble)


def no_telemetry(trouble: str) -> None:
    """Say why there is none, and the two ways to some."""
    st.text(trouble)
    st.markdown("Make a believable beta to look around in, then reload this page:")
    st.code("python -m ingest demo", language="bash")
    st.markdown("Or point the app at your own: a folder, a `.db` file or a `.jsonl` file.")
    st.code(
        "streamlit run app.py -- PATH\nTELEMETRY_HOME=PATH streamlit run app.py", language="bash"
    )


def banner(facts: Facts, where: str) -> None:
    """Say that demo data is made up, and how to see one's own."""
    if facts.settings.is_demo:
        with st.container(key="demo-banner"):
            st.info(
                "**This data is made up.** To see your own: `streamlit run app.py -- PATH` (a "
                "folder, a `.db` or a `.jsonl` file), or set `TELEMETRY_HOME`.",
                icon=":material/science:",
            )
    elif facts.last_day is None:
        st.info(
            "There are no events yet. Load a file with "
            f"`python -m ingest load FILE`, or drop a `.jsonl` file into the folder "
            f"`inbox` of {text.escaped(where)}.",
            icon=":material/inbox:",
        )


def problems(facts: Facts) -> None:
    """List what is wrong with the data: everything that can be shown is shown all the same."""
    found = facts.problems
    if not found:
        return
    worst = [problem for problem in found if problem.kind not in _CALM]
    title = text.some(len(found), "problem") + " with the data"
    with st.expander(title, icon=":material/warning:" if worst else ":material/info:"):
        for problem in found[:PROBLEMS_MAX]:
            times = f" ({text.count(problem.count)} times)" if problem.count > 1 else ""
            st.markdown(
                f"**{text.escaped(problem.kind)}**{times}: "
                f"{text.escaped(problem.what, most=300)}  \n"
                f"in {text.escaped(problem.where, most=160)}. "
                f"{text.escaped(problem.what_to_do, most=300)}"
            )
        if len(found) > PROBLEMS_MAX:
            st.caption(f"And {len(found) - PROBLEMS_MAX} more.")


def first_client(view: View) -> None:
    """Where no product has written yet, show the lines with which one would."""
    slot = st.container()

    def fill() -> None:
        with slot, alone("What clients reported", quiet=True):
            found = view.load("pipeline_totals").row(0, named=True)
            if found["kind"] == "home" and found["last_report"] is None:
                _five_lines(view.home)

    view.later(fill)


def _five_lines(where: str) -> None:
    st.markdown("**No client has written here yet.** These lines in a product's code change that:")
    st.code(
        "from ingest import Client\n\n"
        f'client = Client({json.dumps(where)}, channel="server")\n'
        'client.track("session_started", user_id="somebody")\n'
        "client.close()",
        language="python",
    )


def notes(said: Sequence[str]) -> None:
    """Say what of a link was ignored, and where a span was moved."""
    if said:
        st.info("  \n".join(text.escaped(note, most=300) for note in said), icon=":material/info:")


@st.fragment(run_every=FOLLOW_SECONDS)
def follow(where: str, shown: str) -> None:
    """Run the page again when the data is no longer the version shown."""
    try:
        is_new = data_access.version(where) != shown
    except DataUnavailable:
        is_new = True
    if is_new:
        st.rerun()
