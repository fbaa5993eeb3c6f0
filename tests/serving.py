"""Runs the app the way a person does, on a port the system gives."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from socket import SO_REUSEADDR, SOL_SOCKET, socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parent.parent
START_S = 120


def free_port() -> int:
    """Return a port nobody listens on, and that the system gives to nobody else for a minute.

    A connection closed from the side of the port leaves it waiting: whoever asks for any port does
    not get it, a server that asks for this one does.
    """
    with socket() as one, socket() as other:
        one.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        one.bind(("127.0.0.1", 0))
        one.listen(1)
        other.connect(one.getsockname())
        one.accept()[0].close()
        return int(one.getsockname()[1])


@contextmanager
def serving(home: Path, log: Path, *, base: str = "", options: Sequence[str] = ()) -> Iterator[str]:
    """Run the server over a home until left, under a base path if any; yield its address."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "app.py"]
    command += [f"--server.port={port}", "--server.headless=true"]
    command += [f"--server.baseUrlPath={base}", *options, "--", str(home)]
    with log.open("wb") as out, subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out) as run:
        address = f"http://127.0.0.1:{port}" + (f"/{base}" if base else "")
        try:
            wait_for(f"{address}/_stcore/health", run, log)
            yield address
        finally:
            run.terminate()
            run.wait(START_S)


def wait_for(url: str, run: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers, and fail with its log when it does not."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and run.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own server
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the server did not start:\n{log.read_text()}")
