"""The app as its own first customer: page views, the time of each cell, the errors it met.

They go through `ingest`, like any product's, into a home beside the one on show. It is on for a
demo and where telemetry.toml says `record_app_use = true`, and off where it says false or where
the reader's environment forbids telemetry. It and `team` are the files of the pages that write.
"""

from __future__ import annotations

import os
import shlex
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import streamlit as st

from ingest import Client
from ingest.events import Trace
from pages.components import access, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from data_access import Settings

RELEASE: Final = "0.1.0"  # of the app, as in pyproject.toml
SUFFIX: Final = "-betascope"  # a home whose name ends so is the app's own; it records none itself
CLIENTS_MAX: Final = 4
CLOSE_TIMEOUT_S: Final = 1.0
_VISIT: Final = "_visit"
_PAGE: Final = "_page_recorded"


@dataclass(slots=True)
class Timed:
    """What a cell says about itself while it is timed."""

    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Recorder:
    """Says what one reader does, where that is wanted; without a client it does nothing."""

    client: Client | None = None
    visit: str = ""
    user: str = ""

    def opened(self, page: str) -> None:
        """Say that a page was opened: once per page and visit in a row, however often it reruns."""
        if self.client is None or st.session_state.get(_PAGE) == page:
            return
        if _PAGE not in st.session_state:
            self._track("session_started", page)
        st.session_state[_PAGE] = page
        self._track("web_view_opened", page)

    @contextmanager
    def timed(self, name: str, metric: str) -> Iterator[Timed]:
        """Time a cell; what it raises is said and goes on.

        A run that the reader interrupts is no failure and is not said: Streamlit's own signals are
        no `Exception`.
        """
        timed, start = Timed(), time.perf_counter()
        try:
            yield timed
        except Exception as error:
            self.met(error, name)
            self._timed(name, metric, start, timed, success=False)
            raise
        self._timed(name, metric, start, timed, success=True)

    def met(self, error: Exception, element: str = "frame") -> None:
        """Say that the app met an error."""
        if self.client is not None:
            self.client.error(
                error,
                user_id=self.user,
                session_id=self.visit,
                related_event_name="web_view_opened",
                metadata={"element": element, "route": st.session_state.get(_PAGE)},
            )

    def _track(self, name: str, page: str) -> None:
        if self.client is not None:
            self.client.track(
                name, user_id=self.user, session_id=self.visit, metadata={"element": page}
            )

    def _timed(self, name: str, metric: str, start: float, timed: Timed, *, success: bool) -> None:
        if self.client is None:
            return
        took_ms = (time.perf_counter() - start) * 1_000
        self.client.record(
            Trace(
                name,
                took_ms,
                success=success,
                result_count=timed.rows,
                user_id=self.user,
                session_id=self.visit,
                metadata={"element": metric, "route": st.session_state.get(_PAGE)},
            )
        )


OFF: Final = Recorder()


def of(where: str, settings: Settings) -> Recorder:
    """Return the recorder for this reader of the home at `where`."""
    if not is_wanted(where, settings):
        return OFF
    visit: str = st.session_state.setdefault(_VISIT, uuid.uuid4().hex)
    return Recorder(_client(str(own_home(where))), visit, _signed_in() or visit)


def is_wanted(where: str, settings: Settings) -> bool:
    """Tell whether the app records its use of this home: on in a demo, otherwise when asked for."""
    asked = settings.record_app_use
    return not is_own(where) and (settings.is_demo if asked is None else asked)


def is_own(where: str) -> bool:
    """Tell whether this is a home, or a file in a home, that the app itself wrote."""
    path = _absolute(where)
    return not path.name or any(one.name.endswith(SUFFIX) for one in (path, path.parent))


def own_home(where: str) -> Path:
    """Return the home of the app's own use: beside the one on show, with its name and SUFFIX."""
    path = _absolute(where)
    return path.with_name(path.name + SUFFIX)


def told(where: str, settings: Settings) -> tuple[str, str]:
    """Say, as markdown, whether the app records its own use and how to change that.

    Where on the server that is, is told to admins only.

    Returns the sentence and the command that opens the app's own home, empty when there is none.
    """
    if is_own(where):
        return "This is the app's own use, written by itself; looking at it is not recorded.", ""
    if not is_wanted(where, settings):
        return (
            "The app does not record its own use here; `record_app_use = true` in "
            "`telemetry.toml` lets it."
        ), ""
    home = str(own_home(where))
    client = _client(home)
    is_admin = access.may("admin")
    if not client.stats()["consent"]:
        why = f" {text.escaped(client.explain(), most=400)}" if is_admin else ""
        return f"The app does not record its own use.{why}", ""
    place = f" in {text.escaped(home, most=400)}" if is_admin else ""
    sentence = (
        f"The app records its own use{place}: page views, the time of each cell, and the errors it "
        "met. Turn that off with `record_app_use = false` in `telemetry.toml`"
    )
    if not is_admin:
        return f"{sentence}.", ""
    return f"{sentence}; open it with", f"streamlit run app.py -- {shlex.quote(home)}"


def foot(where: str, settings: Settings) -> None:
    """Write at the foot of a page whether, and where to, the app records its own use."""
    sentence, command = told(where, settings)
    st.caption(sentence)
    if command:
        st.code(command, language="bash", wrap_lines=True)


def _absolute(where: str) -> Path:
    return Path(os.path.abspath(where))  # noqa: PTH100 - takes ".." out too, without following links


def _signed_in() -> str | None:
    """Return the reader's address where people sign in; the client stores its hash only."""
    return access.who() or None


@st.cache_resource(
    max_entries=CLIENTS_MAX,
    show_spinner=False,
    on_release=lambda client: client.close(CLOSE_TIMEOUT_S),
)
def _client(home: str) -> Client:
    """Return this process's client for one of the app's own homes."""
    return Client(home, channel="web", release=RELEASE)
