"""What the process of a query may still do: no other file, no network, no more than its limits.

The SQL is checked before any of it runs; this is for the day on which that check has a hole. It is
the operating system that says no here, so it says it to whatever runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

STDERR_BYTES_MAX: Final = 65_536  # the only file it writes is what it complains to
NICE: Final = 5  # a third of the processor's time that a page gets, where both want it
SECONDS_SPARE: Final = 2  # the server stops it first, and can say why
_MB: Final = 1024 * 1024

# Landlock, Linux 5.13: include/uapi/linux/landlock.h and the system call numbers all have in common
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION_FLAG: Final = 1
_PATH_BENEATH: Final = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# every right a version knows; a right that is handled and not granted is gone
_FILE_RIGHTS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NET_VERSION, _NET_RIGHTS = 4, 0b11  # bind and connect
_SCOPE_VERSION, _SCOPES = 6, 0b11  # abstract sockets and signals out of here
_NO_NEW_PRIVILEGES: Final = 38  # prctl


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def close_doors(readable: Iterable[Path]) -> bool:
    """Leave this process the right to read beneath these folders, and to nothing else on disk.

    Call it before the engine has begun to work: each thread has rights of its own and hands them
    on. The three that Polars starts when it is imported free memory and open nothing.

    Returns
    -------
    Whether the kernel keeps to it: False before Linux 5.13 and on other systems.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION_FLAG)
    if version < 1:
        return False
    rights = _FILE_RIGHTS[max(known for known in _FILE_RIGHTS if known <= version)]
    ruleset = _Ruleset(
        rights,
        _NET_RIGHTS if version >= _NET_VERSION else 0,
        _SCOPES if version >= _SCOPE_VERSION else 0,
    )
    # an older kernel takes a shorter structure
    size = 8 if version < _NET_VERSION else 16 if version < _SCOPE_VERSION else 24
    made = libc.syscall(_CREATE, ctypes.byref(ruleset), ctypes.c_size_t(size), 0)
    if made < 0:
        return False
    try:
        for folder in readable:
            _allow(libc, made, folder)
        if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            return False
        return bool(libc.syscall(_RESTRICT, made, 0) == 0)
    finally:
        os.close(made)


def _allow(libc: ctypes.CDLL, ruleset: int, folder: Path) -> None:
    try:
        opened = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there need not be read
    try:
        allowed = _READ_FILE | _READ_DIR if folder.is_dir() else _READ_FILE
        rule = _PathBeneath(allowed, opened)
        libc.syscall(_ADD, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(opened)


def keep_small() -> None:
    """Leave no core file, write no other file, and step back behind the server.

    Call it before the engine has begun to work: on Linux each thread steps back by itself.
    """
    if hasattr(os, "nice"):
        os.nice(NICE)
    with contextlib.suppress(ImportError):
        import resource  # noqa: PLC0415 - not there on Windows

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (STDERR_BYTES_MAX, STDERR_BYTES_MAX))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def limit(memory_mb: int, seconds: float, held_bytes: int) -> None:
    """Take away what is beyond the limits: memory on top of what is held now, and time.

    Memory is counted in private pages (RLIMIT_DATA), so the Parquet files it reads, which the
    kernel maps and can drop again, do not count; beyond it an allocation fails. The clock and the
    processor's time end the process even when nobody is left to do it.
    """
    with contextlib.suppress(ImportError):
        import resource  # noqa: PLC0415 - not there on Windows

        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds + SECONDS_SPARE)
        used = resource.getrusage(resource.RUSAGE_SELF)
        spent = used.ru_utime + used.ru_stime
        most = math.ceil(spent + seconds * (os.cpu_count() or 1) + SECONDS_SPARE)
        resource.setrlimit(resource.RLIMIT_CPU, (most, most))
        if held_bytes:
            data = held_bytes + memory_mb * _MB
            resource.setrlimit(resource.RLIMIT_DATA, (data, data))


class Meter:
    """How much private memory this process has asked for; opened before the doors are closed."""

    def __init__(self) -> None:
        self._file: int | None = None
        with contextlib.suppress(OSError):
            self._file = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)

    def held_bytes(self) -> int:
        """Return the bytes, 0 where the system does not say."""
        if self._file is None:
            return 0
        for line in os.pread(self._file, 65_536, 0).splitlines():
            if line.startswith(b"VmData"):
                return int(line.split()[1]) * 1024
        return 0


__all__ = ["Meter", "close_doors", "keep_small", "limit"]
