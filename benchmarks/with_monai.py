"""MONAI, as its tutorials write a classification: transforms on dictionaries, cached in memory or on the disk.

One window on 256 px, the whole slice without millimetres or head. What is cached are float32 tensors; the flip is drawn
when an item is asked for. `track_meta=False` and ThreadDataLoader are what MONAI's guide to fast training advises.
"""

import logging
import shutil
import tempfile
import warnings
from typing import Any

from monai.data import CacheDataset, DataLoader, PersistentDataset, ThreadDataLoader
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    EnsureTyped,
    LoadImaged,
    RandFlipd,
    Resized,
    ScaleIntensityRanged,
)

from benchmarks.cohort import BATCH, SIZE, Slices
from benchmarks.measure import Rival, Work
from benchmarks.with_torch import WORKERS, count, loaders

# Of a decoder on the GPU that MONAI tries first, for each transform anew.
warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader")
logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)

BRAIN = {"a_min": 0.0, "a_max": 80.0, "b_min": 0.0, "b_max": 1.0, "clip": True}
CACHED = "float32 of 256 px in one window, flipped; no millimetres, no head"


def prepare(slices: Slices) -> list[Rival]:
    """Its first epoch, which writes the cache."""
    ways: dict[str, Work] = {f"{workers} workers": lambda n=workers: _write(slices, n) for workers in WORKERS}  # type: ignore[misc]
    return [Rival(work="prepare", name="monai_persistent", ways=ways, note="its first epoch, which writes the cache")]


def feed(slices: Slices) -> list[Rival]:
    cached = CacheDataset(_items(slices), _transforms(track_meta=True), num_workers=2, progress=False)
    plain = CacheDataset(_items(slices), _transforms(track_meta=False), num_workers=2, progress=False)
    kept = PersistentDataset(_items(slices), _transforms(track_meta=False), slices.folder / "monai")
    return [
        Rival(
            work="feed",
            name="monai_cache",
            ways=loaders(cached, kind=DataLoader) | _thread(plain),
            note=f"in memory: {CACHED}",
        ),
        Rival(
            work="feed",
            name="monai_persistent",
            ways=loaders(kept, kind=DataLoader) | _thread(kept),
            note=f"on the disk: {CACHED}",
        ),
    ]


def _items(slices: Slices) -> list[dict[str, Any]]:
    return [
        {"image": str(file), "label": label} for file, label in zip(slices.files, slices.labels.tolist(), strict=True)
    ]


def _transforms(*, track_meta: bool) -> Compose:
    return Compose(
        [
            LoadImaged("image", reader="PydicomReader"),
            EnsureChannelFirstd("image"),
            ScaleIntensityRanged("image", **BRAIN),
            Resized("image", (SIZE, SIZE), mode="area"),
            EnsureTyped(("image", "label"), track_meta=track_meta),
            RandFlipd("image", prob=0.5, spatial_axis=0),
        ]
    )


def _write(slices: Slices, workers: int) -> int:
    folder = tempfile.mkdtemp(dir=slices.folder)
    dataset = PersistentDataset(_items(slices), _transforms(track_meta=False), folder)
    done = count(DataLoader(dataset, batch_size=BATCH, num_workers=workers))
    shutil.rmtree(folder)
    return done


def _thread(dataset: Any) -> dict[str, Work]:
    loader = ThreadDataLoader(dataset, batch_size=BATCH, shuffle=True, drop_last=True, num_workers=0)
    return {"plain tensors, a thread": lambda: count(loader)}
