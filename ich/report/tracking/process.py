"""Which process holds a run open, and whether it is still there."""

import contextlib
import os
import socket
from pathlib import Path

import psutil

PROCESS_TAG = "process"
"""Of a run: host, its space of process numbers, number and start of the process that opened it."""
NAMESPACE = Path("/proc/self/ns/pid")
"""Of Linux: containers of one host name do not see each other's processes."""
SAME_SECONDS = 60
"""Two starts of a process that differ by less are one: Linux counts them by a clock that is set meanwhile."""


def this_process() -> str:
    """What PROCESS_TAG holds of this process."""
    return f"{_place()} {os.getpid()} {psutil.Process().create_time():.0f}"


def is_gone(process: str) -> bool:
    """Whether that process is known to have ended; of another machine or container nothing is known."""
    return _is_here(process) and _found(process) is None


def number_of(process: str) -> int | None:
    """Its number where that process is known to live; None where it has ended or is of another machine."""
    found = _found(process) if _is_here(process) else None
    return found.pid if found else None


def _is_here(process: str) -> bool:
    return process.count(" ") >= 2 and process.rsplit(" ", 2)[0] == _place()


def _found(process: str) -> psutil.Process | None:
    _, number, started = process.rsplit(" ", 2)
    with contextlib.suppress(psutil.NoSuchProcess):
        found = psutil.Process(int(number))
        other = abs(found.create_time() - float(started)) >= SAME_SECONDS  # its number was given away again
        return None if other or found.status() == psutil.STATUS_ZOMBIE else found
    return None


def _place() -> str:
    namespace = NAMESPACE.readlink() if NAMESPACE.is_symlink() else ""
    return f"{socket.gethostname()}/{namespace}"
