"""The one place where a page catches everything: what fails, fails alone and says so."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import streamlit as st
from polars.exceptions import PanicException

from data_access import DataUnavailable
from pages.components import text

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)


@contextmanager
def alone(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Keep a failure inside from the rest of the page, and say what failed where it would be.

    The reason goes to the server's log only: it may hold paths and data. `quiet` says nothing
    on the page, for what a page is complete without.
    """
    try:
        yield
    except DataUnavailable as error:
        if not quiet:
            st.warning(text.escaped(error, most=500), icon=":material/database_off:")
    # a panic of the engine is no Exception, and would end the page without a word
    except (Exception, PanicException):  # noqa: BLE001 - whatever it was, it is this part's alone
        _log.exception("%s failed", what)
        if not quiet:
            st.error(
                f"{what} could not be computed. The rest of the page is unaffected; the reason is "
                "in the server's log. Try another period, or fewer filters.",
                icon=":material/error:",
            )
