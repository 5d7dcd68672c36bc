"""A store in the memory of the device that trains: only numbers of rows travel to it."""

from typing import NamedTuple

import numpy as np
import psutil
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.utils.data import Dataset

from ich.data.augment import Augment
from ich.data.batches import Batch, Draw, Slices, seen_together
from ich.errors import InputError

SHARE = 0.8
"""Of the device's free memory; the network needs the rest."""
CHUNK = 1024
"""Slices that are copied to the device at a time."""


class NotResident(InputError):
    """A store that cannot stay on the device."""


def check_augment(augment: Augment) -> None:
    """Raises NotResident where an augmentation needs the slices on the processor."""
    if augment.changes_pixels:
        raise NotResident(
            "data.resident=true keeps slices on the device, and this augmentation changes them on the processor; "
            "take augment=flip, or data.resident=false"
        )


class Chosen(NamedTuple):
    """A batch before it is gathered: the rows that are seen together, and which of them are flipped."""

    seen: Int64[Tensor, "batch depth"]
    flipped: Bool[Tensor, " batch"]
    labels: Float[Tensor, "batch 6"]
    rows: Int64[Tensor, " batch"]


class RowReader(Dataset[Chosen]):
    """A draw to its rows; flips are the only augmentation that the device does."""

    def __init__(self, labels: np.ndarray, augment: Augment, seed: int, *, neighbours: np.ndarray | None) -> None:
        self.labels = labels
        self.augment = augment
        self.seed = seed
        self.neighbours = neighbours

    def __getitem__(self, draw: Draw) -> Chosen:
        seen = seen_together(draw.rows, self.neighbours)
        flipped = np.zeros(len(draw.rows), dtype=bool)
        if draw.epoch is not None:
            flipped = self.augment.flipped(draw.rows, seed=self.seed, epoch=draw.epoch)
        labels = self.labels[draw.rows].astype(np.float32)
        return Chosen(*map(torch.from_numpy, (seen, flipped, labels, draw.rows)))


class Resident:
    """HU int16 [N, S, S] of every slice of a store on one device."""

    def __init__(self, store: Slices, count: int, device: torch.device) -> None:
        """Raises NotResident where the slices would take more than SHARE of the device's free memory."""
        needed, free = count * store.size**2 * 2, free_bytes(device)
        if needed > SHARE * free:
            raise NotResident(
                f"data.resident=true: {count} slices of {store.size} x {store.size} take {needed / 2**30:.1f} GiB, and "
                f"{device} has {free / 2**30:.1f} GiB free, of which {SHARE:.0%} may be used; take data.resident=false "
                "or a smaller geometry.size"
            )
        self.hu = torch.empty((count, store.size, store.size), dtype=torch.int16, device=device)
        for start in range(0, count, CHUNK):
            rows = np.arange(start, min(start + CHUNK, count))
            self.hu[start : start + CHUNK] = torch.from_numpy(store.read(rows)).to(device)

    def gather(self, chosen: Chosen) -> Batch:
        """The same batch as from the store; `chosen` is on the device, too."""
        hu = self.hu[chosen.seen]
        hu = torch.where(chosen.flipped[:, None, None, None], hu.flip(-1), hu)
        return Batch(hu, chosen.labels, chosen.rows)


def free_bytes(device: torch.device) -> int:
    """Memory that a device has left."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)  # Apple's GPUs share it
