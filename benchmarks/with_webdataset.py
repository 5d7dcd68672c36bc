"""WebDataset: slices as .npy in tar files, read from first to last and shuffled in a buffer.

It keeps what ours keeps, int16 HU of 256 px, so that reading is compared and not decoding.
"""

import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import webdataset

from benchmarks.cohort import BATCH, Slices
from benchmarks.measure import Rival, Work
from benchmarks.with_pydicom import decode_small
from benchmarks.with_torch import WORKERS, count

IN_SHARD = 128
"""Slices a tar: enough tars for two workers; usual ones hold thousands."""
BUFFER = 1000


def prepare(slices: Slices) -> list[Rival]:
    ways: dict[str, Work] = {f"{n} threads": lambda n=n: _write_once(slices, n) for n in (1, 2)}  # type: ignore[misc]
    note = "HU resized to 256 px into tars; no millimetres, no head"
    return [Rival(work="prepare", name="webdataset", ways=ways, note=note)]


def feed(slices: Slices) -> list[Rival]:
    folder = slices.folder / "webdataset"
    folder.mkdir()
    hu = (slices.data.store.read(np.array([row]))[0] for row in range(len(slices.files)))
    _write(slices, hu, folder)
    tars = sorted(map(str, folder.glob("*.tar")))
    ways: dict[str, Work] = {}
    for workers in WORKERS:
        dataset = webdataset.WebDataset(tars, shardshuffle=len(tars)).shuffle(BUFFER).decode()
        batches = dataset.to_tuple("hu.npy", "labels.npy").batched(BATCH, partial=False)
        loader = webdataset.WebLoader(batches, batch_size=None, num_workers=workers, persistent_workers=workers > 0)
        ways[f"{workers} workers"] = lambda loader=loader: count(loader)  # type: ignore[misc]
    note = f"our slices in tars, shuffled in a buffer of {BUFFER} only"
    return [Rival(work="feed", name="webdataset", ways=ways, note=note)]


def _write_once(slices: Slices, threads: int) -> int:
    folder = Path(tempfile.mkdtemp(dir=slices.folder))
    with ThreadPoolExecutor(threads) as pool:
        _write(slices, pool.map(decode_small, slices.files), folder)
    shutil.rmtree(folder)
    return len(slices.files)


def _write(slices: Slices, images: Iterable[Any], folder: Path) -> None:
    labels = slices.labels.astype(np.float32)
    with webdataset.ShardWriter(str(folder / "%05d.tar"), maxcount=IN_SHARD, verbose=0) as writer:
        for file, image, known in zip(slices.files, images, labels, strict=True):
            writer.write({"__key__": file.stem, "hu.npy": image, "labels.npy": known})
