"""Pages as Streamlit's own test runner opens them, and what they then say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.testing.v1 import AppTest

if TYPE_CHECKING:
    import pytest

FRAME = Path(__file__).parent.parent / "pages" / "frame.py"


def show(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the app show a home, with nothing of it computed yet."""
    st.cache_data.clear()
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.setenv("TELEMETRY_HOME", str(home))


def opened(page: str, **asked: str | list[str]) -> AppTest:
    """Open a page with what a link asks for; two underscores stand for the dot in a name."""
    app = AppTest.from_file(FRAME, default_timeout=60)
    for name, value in asked.items():
        app.query_params[name.replace("__", ".")] = value
    app.run()
    app.switch_page(f"{page}.py").run()
    assert not app.exception, [one.message for one in app.exception]
    assert not app.error, [one.value for one in app.error]
    return app


def words(app: AppTest) -> str:
    """Return everything a page says, in one string."""
    kinds = (app.title, app.header, app.subheader, app.markdown, app.caption, app.text)
    return "\n".join(
        str(one.value) for kind in (*kinds, app.info, app.warning, app.error) for one in kind
    )


def plain_words(app: AppTest) -> str:
    """Return what a page says as it is read: without the backslashes of markdown."""
    return words(app).replace("\\", "")
