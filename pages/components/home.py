"""Which telemetry this process shows: the path on the command line, else the default one.

The only place of the pages that reads arguments.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from data_access.config import beside_app, home_beside_app
from data_access.home import HOME_VARIABLE, default_home

_SERVER_FILE: Final = "app.py"
_FRAME_FILE: Final = "frame.py"
DEFAULT: Final = "default"
COMMAND_LINE: Final = "the command line"


def chosen() -> str:
    """Return PATH of `streamlit run app.py -- PATH`, else what the environment or a file says.

    Streamlit hands the script `[app.py, *arguments]`; under another launcher (uvicorn, pytest)
    the arguments are that launcher's own and are left alone.
    """
    return _argument() or default_home()


def is_without_server() -> bool:
    """Tell whether the frame was started by itself: without app.py nothing keeps others out."""
    return Path((sys.argv or [""])[0]).name == _FRAME_FILE


def said_by() -> str:
    """Say who chose it: the command line, the environment, the app's own file, or nobody."""
    if _argument():
        return COMMAND_LINE
    if os.environ.get(HOME_VARIABLE):
        return f"${HOME_VARIABLE}"
    return str(beside_app().resolve()) if home_beside_app() else DEFAULT


def _argument() -> str:
    launcher, *arguments = sys.argv or [""]
    paths = [argument for argument in arguments if not argument.startswith("-")]
    return paths[0] if Path(launcher).name == _SERVER_FILE and paths else ""
