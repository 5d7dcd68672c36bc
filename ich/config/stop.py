"""Ctrl-C and SIGTERM as one exception."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 3
"""So many signals end the process at once, without closing anything."""


class Stopped(BaseException):
    """The process was asked to end. No Exception, so that nothing carries on after it.

    No KeyboardInterrupt either: Lightning would answer that with exit code 1.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.code = 128 + number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """The first signal raises Stopped where the program is; the next is ignored, so that the record can be closed.

    Inside another such block nothing changes, nor in a thread, which gets no signals.
    """
    inside = getattr(signal.getsignal(signal.SIGTERM), "__module__", None) == __name__
    if inside or threading.current_thread() is not threading.main_thread():
        yield
        return
    count = 0

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 1:
            raise Stopped(number)
        if count >= PATIENCE:
            os._exit(128 + number)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
