"""One thing after the other, in order, worked on by processes: what holds Python's lock gains little by threads."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import TypeVar

import cv2

from ich.data.threads import keep_freed_memory
from ich.errors import InputError

Given = TypeVar("Given")
Made = TypeVar("Made")


class ProcessDied(InputError):
    """A process that works on slices was ended from outside."""


@dataclass(frozen=True, slots=True)
class Processes:
    """`count` of them, begun by the first work and kept for the next; `start_processes` ends them."""

    count: int
    pool: ProcessPoolExecutor

    def in_order(self, make: Callable[[Given], Made], given: Iterable[Given]) -> Iterator[Made]:
        """`make` of each, in order; what is made travels as a pickle. Raises ProcessDied, and what `make` raises."""
        coming = iter(given)
        waiting: deque[Future[Made]] = deque()
        try:
            with _ctrl_c_later():
                waiting.extend(self.pool.submit(make, one) for one in islice(coming, 2 * self.count))
            while waiting:
                made = waiting.popleft().result()
                with _ctrl_c_later():
                    waiting.extend(self.pool.submit(make, one) for one in islice(coming, 1))
                yield made
        except BrokenProcessPool as error:
            raise ProcessDied(
                f"one of {self.count} processes that work on slices has ended, mostly for lack of memory; start again: "
                "what is written stays good (fewer take less: python -m ich.prepare processes=1)"
            ) from error
        finally:
            for one in waiting:
                one.cancel()


@contextmanager
def start_processes(count: int) -> Iterator[Processes]:
    # Spawned, not forked: the caller may run threads of torch, which a fork would leave locked.
    with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_start) as pool:
        try:
            yield Processes(count, pool)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """A process begun in this block has Ctrl-C blocked from its first moment on; else it would print a traceback."""
    if os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start() -> None:
    """One thread a process; Ctrl-C is the parent's to answer; no process outlives it."""
    cv2.setNumThreads(1)
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)
