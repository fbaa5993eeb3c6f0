"""What a client does when its process ends or is copied: at exit, at SIGTERM, around a fork."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

    from ingest.client import Client
    from ingest.pipeline import Pipeline

EXIT_TIMEOUT_S: Final = 2.0  # an exit is never held up longer than this, whatever waits

_clients: weakref.WeakSet[Client] = weakref.WeakSet()
# a pipeline with something to write is kept, also when its client was a passing one
_running: set[Pipeline] = set()
_hooked = threading.Event()
_known_to_multiprocessing = threading.Event()


def watch(client: Client) -> None:
    """Let this client go on after a fork, and write what waits when the process ends."""
    _clients.add(client)
    if not _hooked.is_set():
        _hooked.set()
        atexit.register(close_all)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child
            )
    _catch_sigterm()
    _end_with_children()


def begin(pipeline: Pipeline) -> None:
    """Remember a pipeline that has begun to write."""
    _running.add(pipeline)


def end(pipeline: Pipeline) -> None:
    """Forget a pipeline that has nothing left to write."""
    _running.discard(pipeline)


def close_all() -> None:
    """Close every pipeline, all of them within EXIT_TIMEOUT_S."""
    deadline_s = time.monotonic() + EXIT_TIMEOUT_S
    for pipeline in list(_running):
        pipeline.close(deadline_s - time.monotonic())


def _catch_sigterm() -> None:
    """Write what waits before SIGTERM ends the process; a host that handles it is left alone."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, _: FrameType | None) -> None:
    close_all()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)  # ends the process the way it would have ended without us


def _before_fork() -> None:
    for pipeline in list(_running):
        pipeline.pause()
    _end_with_children()


def _end_with_children() -> None:
    """Children of multiprocessing leave without atexit; its own hook is as good."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is None or process is None:
        return
    if not _known_to_multiprocessing.is_set():
        _known_to_multiprocessing.set()
        util.register_after_fork(_known_to_multiprocessing, _close_with_child)
    if process.parent_process() is not None:
        _close_with_child()


def _close_with_child(_: object = None) -> None:
    util = sys.modules["multiprocessing.util"]
    util.Finalize(None, close_all, exitpriority=100)


def _in_parent() -> None:
    for pipeline in list(_running):
        pipeline.resume()


def _in_child() -> None:
    _running.clear()
    for client in list(_clients):
        client.start_over()
