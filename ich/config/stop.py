"""Ctrl-C and SIGTERM as one exception."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import psutil

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SUBMITIT = "submitit.local._local"
"""What runs a job of its own, as a module; SIGTERM it hands on, at a SIGINT it kills the job after a second."""
JOB_SECONDS = 90
"""How long a launcher's jobs may take to close their records: longer than one waits for its server."""
PATIENCE = 3
"""So many signals end the process at once, without closing anything."""


class Stopped(BaseException):
    """The process was asked to end. No Exception, so that nothing carries on after it.

    No KeyboardInterrupt either: Lightning would answer that with exit code 1.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.code = 128 + number


class _Stop:
    """Handles the signals of one block."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, number: int, _: FrameType | None) -> None:
        self.count += 1
        if self.count == 1:
            raise Stopped(number)
        if self.count >= PATIENCE:
            os._exit(128 + number)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """The first signal raises Stopped where the program is; the next is ignored, so that the record can be closed.

    Inside another such block nothing changes, nor in a thread, which gets no signals.
    """
    inside = any(isinstance(signal.getsignal(number), _Stop) for number in SIGNALS)
    if inside or threading.current_thread() is not threading.main_thread():
        yield
        return
    stop = _Stop()
    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def jobs_stopped() -> Iterator[None]:
    """A signal that ends the block is passed on to the jobs that submitit runs as processes, and they are waited for.

    By itself submitit leaves them to go on alone.
    """
    try:
        yield
    except Stopped:
        jobs = [child for child in psutil.Process().children() if _is_job(child)]
        for job in jobs:
            with contextlib.suppress(psutil.NoSuchProcess):
                job.terminate()
        psutil.wait_procs(jobs, timeout=JOB_SECONDS)
        raise


def _is_job(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return SUBMITIT in process.cmdline()
    return False
