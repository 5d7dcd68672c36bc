"""pydicom: decoding alone, and what a training pays that decodes its files in every epoch anew."""

from pathlib import Path

import cv2
import numpy as np
import pydicom

from benchmarks.cohort import SIZE, Slices
from benchmarks.measure import Rival, workers
from benchmarks.with_torch import Items, loaders

WINDOWS = ((40, 80), (80, 200), (600, 2800))


def prepare(slices: Slices) -> list[Rival]:
    return [Rival(work="prepare", name="pydicom", ways=workers(slices.files, _decode), note="decodes, no more")]


def feed(slices: Slices) -> list[Rival]:
    items = OnTheFly(slices.files, slices.labels)
    return [Rival(work="feed", name="pydicom", ways=loaders(items), note="decodes every epoch anew; three windows")]


def _decode(file: Path) -> np.ndarray:
    pixels: np.ndarray = pydicom.dcmread(file).pixel_array
    return pixels


def decode_hu(file: Path) -> np.ndarray:
    """As challenge solutions do it: float32 HU of the whole slice."""
    dataset = pydicom.dcmread(file)
    return dataset.pixel_array.astype(np.float32) * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def decode_small(file: Path) -> np.ndarray:
    """What a rival that keeps HU would keep: int16 of the whole slice, resized to ours' size."""
    small = cv2.resize(decode_hu(file), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(np.rint(small)).astype(np.int16)


def windowed(hu: np.ndarray) -> np.ndarray:
    """Three windows as 8-bit channels [H, W, 3]."""
    channels = [((hu - level) / width + 0.5).clip(0, 1) * 255 for level, width in WINDOWS]
    return np.stack(channels, axis=-1).astype(np.uint8)


class OnTheFly(Items):
    def image(self, row: int) -> np.ndarray:
        return cv2.resize(windowed(decode_hu(self.files[row])), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
