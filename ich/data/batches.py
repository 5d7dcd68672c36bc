"""Batches of HU from a store: which rows, in which order, and read ahead of the training."""

import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int16, Int64
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ich.data.augment import Augment
from ich.data.threads import in_order
from ich.errors import InputError

AHEAD = 3
"""Batches that are read, or wait, while the network works on one."""
THREADS = 2
"""That read: a second one keeps up with the memory, and waits for the disk while the first does."""
ROOMS = AHEAD + 2
"""Batches that are there at once: those ahead, the one that is handed over, and the network's."""


class BadBatchSize(InputError):
    """The global batch fits neither the training part nor the processes."""


class Batch(NamedTuple):
    """B slices, each with its D - 1 neighbours: HU, their labels in the order of FINDINGS, their rows in the store."""

    hu: Int16[Tensor, "batch depth height width"]
    labels: Float[Tensor, "batch 6"]
    rows: Int64[Tensor, " batch"]


class Draw(NamedTuple):
    """One batch to come: the rows, and the epoch whose augmentation they get (None: as they are)."""

    rows: Int64[np.ndarray, " batch"]
    epoch: int | None


@runtime_checkable
class Slices(Protocol):
    """What is read of a store: int16 slices [size, size] by their rows."""

    @property
    def size(self) -> int: ...

    def read(self, rows: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray: ...


def seen_together(
    rows: Int64[np.ndarray, " batch"], neighbours: Int64[np.ndarray, "rows depth"] | None
) -> Int64[np.ndarray, "batch _"]:
    """Each row with its neighbours, or alone."""
    return rows[:, None] if neighbours is None else neighbours[rows]


class Room:
    """Memory for batches, each given again when its tensor is gone: new memory is zeroed by the system first."""

    def __init__(self) -> None:
        self._given: list[tuple[np.ndarray, weakref.ref[np.ndarray]]] = []
        self._one_at_a_time = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process has memory of its own."""
        return Room, ()

    def take(self, shape: tuple[int, ...]) -> Int16[np.ndarray, "..."]:
        """Of any content. What it is given as is what holds it: a view of it alone, as numpy makes them, does not."""
        with self._one_at_a_time:
            free = (place for place, (_, given) in enumerate(self._given) if given() is None)
            place = next(free, len(self._given))
            memory = self._given[place][0] if place < len(self._given) else np.empty(shape, np.int16)
            if memory.shape != shape:
                memory = np.empty(shape, np.int16)
            given = memory[:]
            if place < ROOMS:
                self._given[place : place + 1] = [(memory, weakref.ref(given))]
            return given


class BatchReader(Dataset[Batch]):
    """A draw to a batch: rows from the store straight into one tensor, changed where the draw names an epoch.

    `neighbours` [N, D] names the rows that are seen with each row; without it, each is alone (D = 1).
    """

    def __init__(
        self,
        store: Slices,
        labels: np.ndarray,
        augment: Augment,
        seed: int,
        *,
        neighbours: Int64[np.ndarray, "rows depth"] | None = None,
        pin: bool = False,
    ) -> None:
        self.store = store
        self.labels = labels.astype(np.float32)
        self.augment = augment
        self.seed = seed
        self.neighbours = neighbours
        self.pin = pin
        self._room = Room()

    def __getitem__(self, draw: Draw) -> Batch:
        seen = seen_together(draw.rows, self.neighbours)
        shape = (*seen.shape, self.store.size, self.store.size)
        if self.pin:
            hu = torch.empty(shape, dtype=torch.int16, pin_memory=True)
            slices = hu.numpy()
        else:
            slices = self._room.take(shape)
            hu = torch.from_numpy(slices)
        self.store.read(seen.ravel(), out=slices.reshape(-1, *shape[2:]))
        if draw.epoch is not None:
            self._change(slices, draw.rows, draw.epoch)
        labels = self.labels.take(draw.rows, axis=0)
        return Batch(hu, torch.from_numpy(labels), torch.from_numpy(draw.rows))

    def _change(self, slices: Int16[np.ndarray, "batch depth size size"], rows: np.ndarray, epoch: int) -> None:
        """A slice and its neighbours alike."""
        for place in np.flatnonzero(self.augment.flipped(rows, seed=self.seed, epoch=epoch)):
            for one in slices[place]:
                cv2.flip(one, 1, one)
        if self.augment.changes_pixels:
            for some, row in zip(slices, rows, strict=True):
                some[:] = self.augment.apply(some, (self.seed, epoch, int(row)))


class ReadAhead:
    """What Lightning iterates: threads of its own read the next batches; worker processes would only copy once more.

    `sampler` is where Lightning sets the epoch; it asks for a `batch_sampler`, too.
    """

    batch_sampler = None

    def __init__(self, reader: Dataset[Any], sampler: "TrainBatches | ValBatches", *, threads: int = THREADS) -> None:
        self.reader = reader
        self.sampler = sampler
        self.threads = threads

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        yield from in_order(self.reader.__getitem__, self.sampler, ahead=AHEAD, threads=self.threads, name="feed")


class TrainBatches(Sampler[Draw]):
    """Every row once an epoch in an order of its own; each process takes its share of each global batch.

    `position` says where to begin, as (epoch, batches done), and is asked when the first batch is drawn: Lightning sets
    the epoch of a resumed training only after worker processes have begun to read.
    """

    def __init__(
        self,
        rows: np.ndarray,
        batch_size: int,
        seed: int,
        rank: int,
        processes: int,
        position: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.rank, self.processes = rank, processes
        self.epoch = 0
        self.position = position

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rows) // self.batch_size

    def __iter__(self) -> Iterator[Draw]:
        epoch, done = self.position() if self.position else (self.epoch, 0)
        order = np.random.default_rng((self.seed, epoch)).permutation(self.rows)
        share = self.batch_size // self.processes
        for start in range(done * self.batch_size, len(self) * self.batch_size, self.batch_size):
            first = start + self.rank * share
            yield Draw(order[first : first + share], epoch)


class ValBatches(Sampler[Draw]):
    """Every row once over all processes, unpadded, in shares side by side.

    Every process has the same number of batches, differing by one row at most: distributed data parallel meets at each.
    """

    def __init__(self, rows: np.ndarray, batch_size: int, rank: int, processes: int) -> None:
        if len(rows) < processes:
            raise BadBatchSize(
                f"{len(rows)} validation slices are too few for {processes} processes; use fewer devices"
            )
        share = -(-len(rows) // processes)
        self.count = min(-(-share // max(1, batch_size // processes)), len(rows) // processes)
        self.rows = np.array_split(rows, processes)[rank]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Draw]:
        for rows in np.array_split(self.rows, self.count):
            yield Draw(rows, None)
