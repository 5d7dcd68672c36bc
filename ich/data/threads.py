"""One thing after the other, in order, worked on by threads a little ahead of whoever takes them."""

import ctypes
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT_BYTES, LARGEST_BYTES = 2**28, 2**25
"""Free memory that a process keeps, and the largest array for which it does: glibc's own limit."""


def in_order(
    make: Callable[[Given], Made], given: Iterable[Given], *, ahead: int, threads: int | None = None, name: str = ""
) -> Iterator[Made]:
    """`make` of each, in order, by as many threads as there are processors or as are asked for.

    A task each for 752,803 would take a gigabyte and be deaf to Ctrl-C.
    """
    keep_freed_memory()
    pool, waiting = ThreadPoolExecutor(threads or os.cpu_count(), thread_name_prefix=name), iter(given)
    try:
        tasks: deque[Future[Made]] = deque(pool.submit(make, one) for one in islice(waiting, ahead))
        while tasks:
            made = tasks.popleft().result()
            for one in islice(waiting, 1):
                tasks.append(pool.submit(make, one))
            yield made
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


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
