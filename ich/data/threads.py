"""One thing after the other, in order, worked on by threads a little ahead of whoever takes them."""

import ctypes
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")
_Answer = tuple[Made | None, BaseException | None]
"""What was made, or why it was not."""
_Task = tuple[Given, SimpleQueue[_Answer[Made]]]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT_BYTES, LARGEST_BYTES = 2**28, 2**25
"""Free memory that a process keeps, and the largest array for which it does: glibc's own limit."""


def in_order(
    make: Callable[[Given], Made], given: Iterable[Given], *, ahead: int, threads: int | None = None, name: str = ""
) -> Iterator[Made]:
    """`make` of each, in order, by as many threads as there are processors or as are asked for.

    A task each for 752,803 would take a gigabyte and be deaf to Ctrl-C. A task is a queue of C for its one answer: an
    executor's futures take 40 microseconds more, a tenth of what a batch takes.
    """
    keep_freed_memory()
    waiting: SimpleQueue[_Task[Given, Made] | None] = SimpleQueue()
    count = threads or processors()
    workers = [Thread(target=_work, args=(make, waiting), name=name, daemon=True) for _ in range(count)]
    answers: deque[SimpleQueue[_Answer[Made]]] = deque()
    coming = iter(given)

    def ask(count: int) -> None:
        for one in islice(coming, count):
            answers.append(SimpleQueue())
            waiting.put((one, answers[-1]))

    for worker in workers:
        worker.start()
    try:
        ask(ahead)
        while answers:
            made, error = answers.popleft().get()
            if error is not None:
                raise error
            ask(1)
            yield made  # type: ignore[misc]
    finally:
        _end(workers, waiting)


def _work(
    make: Callable[[Given], Made], waiting: "SimpleQueue[tuple[Given, SimpleQueue[_Answer[Made]]] | None]"
) -> None:
    while task := waiting.get():
        given, answer = task
        try:
            answer.put((make(given), None))
        except BaseException as error:  # raised where it is waited for
            answer.put((None, error))


def _end(workers: Sequence[Thread], waiting: "SimpleQueue[Any]") -> None:
    """What waits is not begun."""
    with suppress(Empty):
        while True:
            waiting.get_nowait()
    for _ in workers:
        waiting.put(None)
    for worker in workers:
        worker.join()


def processors() -> int:
    """How many this process may use: a cluster's job has a few of its machine's (Python's own count is of all)."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@cache
def keep_freed_memory() -> bool:
    """Have glibc keep what is freed for the next array, for the whole process; whether it does so.

    It gives a few free MB back to the system at once, and each page is then faulted in and zeroed anew: nearly half of
    the time that preparing a slice takes, and most of a batch's. Other C libraries have no such settings (mallopt(3)).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and all(
        [mallopt(_TRIM_THRESHOLD, KEPT_BYTES) == 1, mallopt(_MMAP_THRESHOLD, LARGEST_BYTES) == 1]
    )
