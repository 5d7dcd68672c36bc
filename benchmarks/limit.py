"""The limit of all feeding: the same bytes, copied."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from benchmarks.cohort import BATCH, EPOCH, SIZE, Slices
from benchmarks.measure import Rival


def feed(slices: Slices) -> list[Rival]:
    return _rivals("feed", slices, "the same bytes, copied")


def feed_flips(slices: Slices) -> list[Rival]:
    return _rivals("feed_flips", slices, "the same bytes, copied without flips")


def _rivals(work: str, slices: Slices, said: str) -> list[Rival]:
    """One thread, and two at once, as feeding has them."""
    return [
        Rival(work=work, name="copy", ways={"1 thread": partial(_copy, slices, 1)}, note=f"the limit: {said}"),
        Rival(work=work, name="copy_two", ways={"2 threads": partial(_copy, slices, 2)}, note=f"the limit: {said}"),
    ]


def _copy(slices: Slices, threads: int) -> int:
    """Random batches out of the mapped file into memory that is there, an even share by each thread."""
    hu, orders = slices.data.store.shard(0), np.concatenate([slices.orders() for _ in range(EPOCH)])

    def copy(share: int) -> None:
        batch = np.empty((BATCH, SIZE, SIZE), np.int16)
        for rows in orders[share::threads]:
            np.take(hu, rows, axis=0, out=batch, mode="clip")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(copy, range(threads)))
    return int(orders.size)
