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
SAME_SECONDS = 2
"""Two starts of a process that differ by less are one."""


def this_process() -> str:
    """What PROCESS_TAG holds of this process."""
    return f"{_place()} {os.getpid()} {psutil.Process().create_time():.0f}"


def is_gone(process: str) -> bool:
    """Whether that process is known to have ended; of another machine or container nothing is known."""
    place, number, started = process.rsplit(" ", 2) if process.count(" ") >= 2 else ("", "", "")
    if place != _place():
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        found = psutil.Process(int(number))
        other = abs(found.create_time() - float(started)) >= SAME_SECONDS  # its number was given away again
        return other or found.status() == psutil.STATUS_ZOMBIE
    return True


def _place() -> str:
    namespace = NAMESPACE.readlink() if NAMESPACE.is_symlink() else ""
    return f"{socket.gethostname()}/{namespace}"
