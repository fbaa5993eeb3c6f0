"""Runs the app for a benchmark, on a port the system gives."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from data_access import DataUnavailable
from data_access.home import open_home

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parent.parent
START_S: Final = 60


@contextmanager
def serving(home: Path | None, *options: str) -> Iterator[tuple[str, int]]:
    """Run the server over a home, else the app's own; yield its address and process number."""
    try:
        place = open_home(home).path
    except DataUnavailable as error:
        raise SystemExit(str(error)) from None
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}"]
    command += ["--server.headless=true", *options, "--", str(place)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as run:
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/_stcore/health", run)
            yield address, run.pid
        finally:
            run.terminate()


def _wait_for(url: str, run: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and run.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own server
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")
