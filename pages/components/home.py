"""Which telemetry this process shows: the path on the command line, else the default one.

The only place of the pages that reads arguments.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from data_access.home import default_home

_SERVER_FILE: Final = "app.py"


def chosen() -> str:
    """Return PATH of `streamlit run app.py -- PATH`, else what the environment or a file says.

    Streamlit hands the script `[app.py, *arguments]`; under another launcher (uvicorn, pytest)
    the arguments are that launcher's own and are left alone.
    """
    launcher, *arguments = sys.argv or [""]
    paths = [argument for argument in arguments if not argument.startswith("-")]
    if Path(launcher).name == _SERVER_FILE and paths:
        return paths[0]
    return default_home()
