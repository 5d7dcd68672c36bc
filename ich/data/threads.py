"""One thing after the other, in order, worked on by threads a little ahead of whoever takes them."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def in_order(
    make: Callable[[Given], Made], given: Iterable[Given], *, ahead: int, threads: int | None = None, name: str = ""
) -> Iterator[Made]:
    """`make` of each, in order, by as many threads as there are processors or as are asked for.

    A task each for 752,803 would take a gigabyte and be deaf to Ctrl-C.
    """
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
