"""Ctrl-C and SIGTERM as one exception; a SIGTERM can be asked to wait for a place where a training may be left."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(slots=True)
class _Signals:
    """What has come so far; a process has its signals once."""

    count: int = 0
    waits: bool = False
    asked: bool = False


_come = _Signals()


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """The first signal raises Stopped where the program is; the next is ignored, so that the record can be closed.

    Inside another such block nothing changes, nor in a thread, which gets no signals.
    """
    inside = getattr(signal.getsignal(signal.SIGTERM), "__module__", None) == __name__
    if inside or threading.current_thread() is not threading.main_thread():
        yield
        return
    _come.count = 0

    def stop(number: int, _: FrameType | None) -> None:
        if _come.waits and number == signal.SIGTERM and not _come.asked:
            _come.asked = True
            return
        _come.count += 1
        if _come.count == 1:
            raise Stopped(number)
        if _come.count >= PATIENCE:
            os._exit(128 + number)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def sigterm_waits() -> Iterator[None]:
    """In the block a first SIGTERM only asks, and whoever finds it `asked` ends by `stop_now`; else the block's end."""
    _come.waits, _come.asked = True, False
    try:
        yield
    finally:
        _come.waits = False
    if _come.asked:
        stop_now()


def already_ending() -> None:
    """The record is being closed: the next signal, which a launcher sends to all its processes, is as a second one."""
    _come.count = max(_come.count, 1)


def asked() -> bool:
    """Whether a SIGTERM waits."""
    return _come.asked


def stop_now() -> None:
    """Raises Stopped for the SIGTERM that this process or another of the training has got."""
    _come.waits, _come.count = False, 1
    raise Stopped(signal.SIGTERM)
