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

EXIT_TIMEOUT_S: Final = 2.0  # an exit is never held up longer than this, whatever waits

_clients: weakref.WeakSet[Client] = weakref.WeakSet()
_hooked = threading.Event()


def watch(client: Client) -> None:
    """Close this client when the process ends, and let it go on after a fork."""
    _clients.add(client)
    if not _hooked.is_set():
        _hooked.set()
        atexit.register(close_all)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child
            )
    _catch_sigterm()


def close_all() -> None:
    """Close every client, all of them within EXIT_TIMEOUT_S."""
    deadline_s = time.monotonic() + EXIT_TIMEOUT_S
    for client in list(_clients):
        client.close(deadline_s - time.monotonic())


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
    for client in list(_clients):
        client.pause()
    # children of multiprocessing leave without atexit; by now the module is there if it is used
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        for client in list(_clients):
            util.register_after_fork(client, _close_with_child)


def _close_with_child(_: Client) -> None:
    util = sys.modules["multiprocessing.util"]
    util.Finalize(None, close_all, exitpriority=100)


def _in_parent() -> None:
    for client in list(_clients):
        client.resume()


def _in_child() -> None:
    for client in list(_clients):
        client.start_over()
