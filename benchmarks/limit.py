"""The limit of all feeding: the same bytes, copied."""

import numpy as np

from benchmarks.cohort import BATCH, SIZE, Slices
from benchmarks.measure import Rival


def feed(slices: Slices) -> list[Rival]:
    return [Rival(work="feed", name="copy", ways={"": lambda: _copy(slices)}, note="the limit: the same bytes, copied")]


def feed_flips(slices: Slices) -> list[Rival]:
    return [Rival(work="feed_flips", name="copy", ways={"": lambda: _copy(slices)}, note="the limit, without flips")]


def _copy(slices: Slices) -> int:
    """Copy the bytes of random batches out of the mapped file, row by row, into one array."""
    hu = slices.data.store.shard(0)
    batch = np.empty((BATCH, SIZE, SIZE), np.int16)
    orders = slices.orders()
    for rows in orders:
        np.take(hu, rows, axis=0, out=batch, mode="clip")
    return int(orders.size)
