"""Slices that stay on the device: the same batches, and a refusal where they do not fit."""

import numpy as np
import pytest
import torch

from ich.data import resident
from ich.data.augment import Augment
from ich.data.batches import BatchReader, Draw
from ich.data.resident import NotResident, Resident, RowReader, check_augment

ROWS, SIDE = 40, 24
CPU = torch.device("cpu")


class Shelf:
    """A store in memory."""

    size = SIDE
    hu = np.random.default_rng(0).integers(-1024, 3072, (ROWS, SIDE, SIDE)).astype(np.int16)

    def read(self, rows: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        return np.take(self.hu, rows, axis=0, out=out, mode="clip")


LABELS = np.eye(6, dtype=np.uint8)[np.arange(ROWS) % 6]
BETWEEN = np.clip(np.arange(ROWS)[:, None] + [-1, 0, 1], 0, ROWS - 1)


@pytest.mark.parametrize("neighbours", [None, BETWEEN])
@pytest.mark.parametrize("epoch", [None, 0, 1])
def test_batches_are_those_of_the_store_bit_for_bit(neighbours: np.ndarray | None, epoch: int | None) -> None:
    augment, draw = Augment(flip=0.5), Draw(np.random.default_rng(1).permutation(ROWS)[:16], epoch)
    read = BatchReader(Shelf(), LABELS, augment, 5, neighbours=neighbours)[draw]
    chosen = RowReader(LABELS, augment, 5, neighbours=neighbours)[draw]
    gathered = Resident(Shelf(), ROWS, CPU).gather(chosen)
    assert all(torch.equal(mine, yours) for mine, yours in zip(gathered, read, strict=True))
    assert epoch is None or 0 < chosen.flipped.sum() < 16


def test_a_store_larger_than_the_free_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ROWS * SIDE**2 * 2
    monkeypatch.setattr(resident, "free_bytes", lambda device: needed / 0.8 - 1)
    with pytest.raises(NotResident, match=r"40 slices of 24 x 24 take .* cpu has .* take data\.resident=false"):
        Resident(Shelf(), ROWS, CPU)
    monkeypatch.setattr(resident, "free_bytes", lambda device: needed / 0.8 + 1)
    assert len(Resident(Shelf(), ROWS, CPU).hu) == ROWS


def test_an_augmentation_that_the_device_cannot_do_is_refused() -> None:
    with pytest.raises(NotResident, match=r"take augment=flip, or data\.resident=false"):
        check_augment(Augment(flip=0.5, noise_hu=3.0))
    check_augment(Augment(flip=0.5))


def test_free_memory_is_what_the_system_says() -> None:
    assert 2**20 < resident.free_bytes(CPU) < 2**50
