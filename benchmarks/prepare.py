"""DICOM files to what a training reads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pydicom

from benchmarks.cohort import SIZE, Slices
from benchmarks.measure import Rival, Work
from ich.ct.dicom import read_slice
from ich.ct.geometry import HeadGeometry

WINDOWS = ((40, 80), (80, 200), (600, 2800))
GEOMETRY = HeadGeometry(size=SIZE)


def rivals(slices: Slices) -> list[Rival]:
    """Ours reads, finds the head, resamples by area and keeps HU; pydicom only decodes."""
    png = slices.folder / "written"
    png.mkdir(exist_ok=True)
    return [
        Rival(work="prepare", name="ours", ways=_threads(slices, _ours)),
        Rival(work="prepare", name="pydicom", ways=_threads(slices, _decode), note="decodes, no more"),
        Rival(
            work="prepare",
            name="png512",
            ways=_threads(slices, lambda file: write_png(file, png / f"{file.stem}.png")),
            note="three windows at 512 px, no millimetres, no head",
        ),
    ]


def _threads(slices: Slices, one: Callable[[Path], object]) -> dict[str, Work]:
    def work(count: int) -> int:
        with ThreadPoolExecutor(count) as pool:
            return len(list(pool.map(one, slices.files)))

    return {f"{count} threads": lambda count=count: work(count) for count in (1, 2)}  # type: ignore[misc]


def _ours(file: Path) -> None:
    read = read_slice(file)
    GEOMETRY.prepare(read.hu, read.header.spacing_mm)


def _decode(file: Path) -> None:
    _ = pydicom.dcmread(file).pixel_array


def decode_hu(file: Path) -> np.ndarray:
    """As challenge solutions do it: float32 HU of the whole slice."""
    dataset = pydicom.dcmread(file)
    return dataset.pixel_array.astype(np.float32) * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def windowed(hu: np.ndarray) -> np.ndarray:
    """Three windows as 8-bit channels [H, W, 3]."""
    channels = [((hu - level) / width + 0.5).clip(0, 1) * 255 for level, width in WINDOWS]
    return np.stack(channels, axis=-1).astype(np.uint8)


def write_png(file: Path, target: Path) -> None:
    cv2.imwrite(str(target), windowed(decode_hu(file)))
