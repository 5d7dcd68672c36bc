"""The limit of all feeding: the same bytes, copied."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from benchmarks.cohort import BATCH, EPOCH, SIZE, Slices
from benchmarks.measure import Rival, Work


def feed(slices: Slices) -> list[Rival]:
    return [Rival(work="feed", name="copy", ways=_ways(slices), note="the limit: the same bytes, copied")]


def feed_flips(slices: Slices) -> list[Rival]:
    return [Rival(work="feed_flips", name="copy", ways=_ways(slices), note="the limit, without flips")]


def _ways(slices: Slices) -> dict[str, Work]:
    return {f"{number} threads": partial(_copy, slices, number) for number in (1, 2)}


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
