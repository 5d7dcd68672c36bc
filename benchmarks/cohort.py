"""The slices that all rivals get: a phantom as DICOM, and our store of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ich.ct.geometry import HeadGeometry
from ich.data.augment import Augment
from ich.data.module import HeadCT
from ich.data.source import Phantom

SIZE = 256
BATCH = 32
EPOCH = 16
"""Times that an epoch has every slice, where one pass takes a few milliseconds: as long as beginning it."""


@dataclass(frozen=True, kw_only=True)
class Slices:
    """`files`: a DICOM file a row of the store, in its order. `folder` is for what a rival writes."""

    data: HeadCT
    files: list[Path]
    labels: np.ndarray
    folder: Path

    def orders(self) -> np.ndarray:
        """The rows of whole batches in a new random order: [batches, BATCH]."""
        rows = np.random.default_rng().permutation(len(self.files))
        return rows[: len(rows) // BATCH * BATCH].reshape(-1, BATCH)


def prepare_slices(cache: Path, folder: Path, *, patients: int, size: int = SIZE) -> Slices:
    """Write the phantom and the store where they are not there yet.

    Other processes draw it, so a script that asks for it needs `if __name__ == "__main__"`.
    """
    source = Phantom(cache=cache, patients=patients, slices=32, batch_size=BATCH)
    data = HeadCT(source=source, geometry=HeadGeometry(size=size), augment=Augment(), seed=0)
    data.setup()
    by_name = {file.name: file for file in source.write().rglob("*.dcm")}
    files = [by_name[Path(file).name] for file in data.store.columns(["file"])["file"]]
    return Slices(data=data, files=files, labels=data.labels, folder=folder)
