"""Our store behind torch's DataLoader."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler

from benchmarks.cohort import BATCH, EPOCH, Slices
from benchmarks.measure import Rival, Work
from ich.data.store import Store

WORKERS = (0, 1, 2)


def feed(slices: Slices) -> list[Rival]:
    store, labels = slices.data.store, slices.labels.astype(np.float32)
    single, batched = loaders(ItemByItem(store, labels), EPOCH), loaders(Batched(store, labels), EPOCH)
    return [
        Rival(work="feed", name="dataloader", ways=single, note="our store, item by item"),
        Rival(work="feed", name="dataloader_batched", ways=batched, note="our store, batched"),
    ]


def loaders(dataset: Dataset[Any], times: int = 1, *, kind: Any = DataLoader) -> dict[str, Work]:
    """A DataLoader as it is usually written, with 0, 1 and 2 workers kept alive; `times` all items make an epoch."""
    ways: dict[str, Work] = {}
    for workers in WORKERS:
        alive = {"num_workers": workers, "persistent_workers": workers > 0}
        order = RandomSampler(range(len(dataset)), num_samples=times * len(dataset))  # type: ignore[arg-type]
        loader = kind(dataset, batch_size=BATCH, sampler=order, drop_last=True, **alive)
        ways[f"{workers} workers"] = lambda loader=loader: count(loader)  # type: ignore[misc]
    return ways


def count(batches: Iterable[Any]) -> int:
    """The slices of all batches; of a batch's parts the first counts."""
    return sum(len(next(iter(batch.values()) if isinstance(batch, dict) else iter(batch))) for batch in batches)


@dataclass
class ItemByItem(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    store: Store
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(self.store.read(np.array([row]))), torch.from_numpy(self.labels[row])


class Batched(ItemByItem):
    """The loader asks for a batch at once where a dataset has __getitems__."""

    def __getitems__(self, rows: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        hu = torch.from_numpy(self.store.read(np.array(rows)))
        return [(one, torch.from_numpy(self.labels[row])) for one, row in zip(hu, rows, strict=True)]


@dataclass
class Items(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """An image and its labels out of a file, however `image` reads it."""

    files: list[Path]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.from_numpy(self.labels[row].astype(np.float32))
        return torch.from_numpy(np.ascontiguousarray(self.image(row))), labels

    def image(self, row: int) -> np.ndarray:
        raise NotImplementedError
