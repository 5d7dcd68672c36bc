"""Batches in random order, from what was prepared."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.cohort import BATCH, SIZE, Slices
from benchmarks.measure import Rival, Work
from benchmarks.prepare import decode_hu, windowed, write_png
from ich.data.augment import Augment
from ich.data.batches import BatchReader, ReadAhead, TrainBatches
from ich.data.store import Store


def rivals(slices: Slices) -> list[Rival]:
    """All give tensors of BATCH slices; ours and the stores give HU (windows are the model's), PNG gives windows."""
    store, files, folder = slices.data.store, slices.files, slices.folder
    for file in files:
        write_png(file, folder / f"{file.stem}.png")
    png16 = _write_png16(slices)
    labels = slices.labels.astype(np.float32)
    return [
        Rival(work="feed", name="ours", ways=ours(slices, Augment())),
        Rival(work="feed", name="copy", ways={"": lambda: copy(slices)}, note="the limit: the same bytes, copied"),
        Rival(work="feed", name="dataloader", ways=_loaders(ItemByItem(store, labels)), note="our store, item by item"),
        Rival(work="feed", name="dataloader_batched", ways=_loaders(Batched(store, labels)), note="our store, batched"),
        Rival(work="feed", name="png512", ways=_loaders(Png(files, labels, folder)), note="512 px, resize and flip"),
        Rival(work="feed", name="png16", ways=_loaders(Png16(files, labels, png16)), note="256 px, 16 bits"),
        Rival(work="feed", name="pydicom", ways=_loaders(OnTheFly(files, labels)), note="decodes every epoch anew"),
    ]


def flips(slices: Slices) -> list[Rival]:
    """With every other slice flipped; the limit is the same copy."""
    return [
        Rival(work="feed_flips", name="ours", ways=ours(slices, Augment(flip=0.5))),
        Rival(work="feed_flips", name="copy", ways={"": lambda: copy(slices)}, note="the limit, without flips"),
    ]


def ours(slices: Slices, augment: Augment) -> dict[str, Work]:
    """As `data.num_workers=0` feeds a training."""
    draws = TrainBatches(np.arange(len(slices.files)), BATCH, 0, 0, 1)
    loader = ReadAhead(BatchReader(slices.data.store, slices.labels, augment, 0), draws)

    def work() -> int:
        draws.set_epoch(draws.epoch + 1)
        return _count(loader)

    return {"": work}


def copy(slices: Slices) -> int:
    """Copy the bytes of random batches out of the mapped file, row by row, into one array."""
    hu = slices.data.store.shard(0)
    batch = np.empty((BATCH, SIZE, SIZE), np.int16)
    orders = slices.orders()
    for rows in orders:
        np.take(hu, rows, axis=0, out=batch, mode="clip")
    return int(orders.size)


def _loaders(dataset: Dataset[tuple[torch.Tensor, torch.Tensor]]) -> dict[str, Work]:
    """A DataLoader as it is usually written, with 0, 1 and 2 workers kept alive."""
    ways: dict[str, Work] = {}
    for workers in (0, 1, 2):
        loader = DataLoader(
            dataset, BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
        )
        ways[f"{workers} workers"] = lambda loader=loader: _count(loader)  # type: ignore[misc]
    return ways


def _count(batches: Iterable[tuple[torch.Tensor, ...]]) -> int:
    return sum(len(batch[0]) for batch in batches)


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
class Files(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    files: list[Path]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(np.ascontiguousarray(self.image(row))), torch.from_numpy(self.labels[row])

    def image(self, row: int) -> np.ndarray:
        raise NotImplementedError


@dataclass
class Png(Files):
    folder: Path

    def image(self, row: int) -> np.ndarray:
        image = cv2.imread(str(self.folder / f"{self.files[row].stem}.png"))
        assert image is not None
        image = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        return (image[:, ::-1] if np.random.default_rng().random() < 0.5 else image).astype(np.float32) / 255


@dataclass
class Png16(Files):
    folder: Path

    def image(self, row: int) -> np.ndarray:
        image = cv2.imread(str(self.folder / f"{self.files[row].stem}.png"), cv2.IMREAD_UNCHANGED)
        assert image is not None
        return (image.astype(np.int32) - 1024).astype(np.int16)


class OnTheFly(Files):
    def image(self, row: int) -> np.ndarray:
        return cv2.resize(windowed(decode_hu(self.files[row])), (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def _write_png16(slices: Slices) -> Path:
    folder = slices.folder / "png16"
    folder.mkdir(exist_ok=True)
    for row, file in enumerate(slices.files):
        hu = slices.data.store.read(np.array([row]))[0]
        cv2.imwrite(str(folder / f"{file.stem}.png"), (hu.astype(np.int32) + 1024).astype(np.uint16))
    return folder
