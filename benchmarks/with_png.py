"""PNG, as most solutions of the challenge keep slices: three windows at 512 px, or HU in 16 bits at 256."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks.cohort import SIZE, Slices
from benchmarks.measure import Rival, workers
from benchmarks.with_pydicom import decode_hu, windowed
from benchmarks.with_torch import Items, loaders


def prepare(slices: Slices) -> list[Rival]:
    folder = _folder(slices, "written")
    return [
        Rival(
            work="prepare",
            name="png512",
            ways=workers(slices.files, partial(write_png, folder=folder)),
            note="three windows at 512 px, written; no millimetres, no head",
        )
    ]


def feed(slices: Slices) -> list[Rival]:
    """Both are written before."""
    png512, png16 = _folder(slices, "png512"), _folder(slices, "png16")
    for row, file in enumerate(slices.files):
        write_png(file, png512)
        hu = slices.data.store.read(np.array([row]))[0]
        cv2.imwrite(str(png16 / f"{file.stem}.png"), (hu.astype(np.int32) + 1024).astype(np.uint16))
    small, large = Png16(slices.files, slices.labels), Png512(slices.files, slices.labels)
    small.folder, large.folder = png16, png512
    return [
        Rival(work="feed", name="png512", ways=loaders(large), note="three windows of 512 px, resized and flipped"),
        Rival(work="feed", name="png16", ways=loaders(small), note="HU of 256 px in 16 bits"),
    ]


def write_png(file: Path, folder: Path) -> None:
    cv2.imwrite(str(folder / f"{file.stem}.png"), windowed(decode_hu(file)))


def _folder(slices: Slices, name: str) -> Path:
    folder = slices.folder / name
    folder.mkdir(exist_ok=True)
    return folder


class Png512(Items):
    folder: Path

    def image(self, row: int) -> np.ndarray:
        image = cv2.imread(str(self.folder / f"{self.files[row].stem}.png"))
        assert image is not None
        image = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        return (image[:, ::-1] if np.random.default_rng().random() < 0.5 else image).astype(np.float32) / 255


class Png16(Items):
    folder: Path

    def image(self, row: int) -> np.ndarray:
        image = cv2.imread(str(self.folder / f"{self.files[row].stem}.png"), cv2.IMREAD_UNCHANGED)
        assert image is not None
        return (image.astype(np.int32) - 1024).astype(np.int16)
