"""LitData: slices in chunks, streamed from the disk.

It keeps what ours keeps, int16 HU of 256 px, so that reading is compared and not decoding. Nothing is downloaded: all
folders are local ones. Its check for a newer version is off, as it is by default.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

os.environ["LITDATA_DISABLE_VERSION_CHECK"] = "1"
os.environ.setdefault("LITDATA_CACHE_DIR", tempfile.gettempdir())

import litdata

from benchmarks.cohort import BATCH, Slices
from benchmarks.measure import Rival, Work
from benchmarks.with_pydicom import decode_small
from benchmarks.with_torch import WORKERS, count
from ich.data.store import Store

CHUNK = "16MB"
"""128 slices: enough chunks for two workers; usual ones hold 64 MB."""


def prepare(slices: Slices) -> list[Rival]:
    ways: dict[str, Work] = {f"{n} workers": lambda n=n: _write_once(slices, n) for n in (1, 2)}  # type: ignore[misc]
    note = "HU resized to 256 px into chunks; no millimetres, no head"
    return [Rival(work="prepare", name="litdata", ways=ways, note=note)]


def feed(slices: Slices) -> list[Rival]:
    folder = slices.folder / "litdata"
    _write(partial(_stored, slices.data.store, slices.labels.astype(np.float32)), slices, folder, 1)
    ways: dict[str, Work] = {}
    for workers in WORKERS:
        dataset = litdata.StreamingDataset(str(folder), shuffle=True, drop_last=True)
        loader = litdata.StreamingDataLoader(
            dataset, batch_size=BATCH, num_workers=workers, persistent_workers=workers > 0
        )
        ways[f"{workers} workers"] = lambda loader=loader: count(loader)  # type: ignore[misc]
    return [Rival(work="feed", name="litdata", ways=ways, note="our slices in chunks, shuffled within windows of 256")]


def _stored(store: Store, labels: np.ndarray, row: int) -> dict[str, Any]:
    return {"hu": store.read(np.array([row]))[0], "labels": labels[row]}


def _decoded(files: list[Path], labels: np.ndarray, row: int) -> dict[str, Any]:
    return {"hu": decode_small(files[row]), "labels": labels[row]}


def _write_once(slices: Slices, workers: int) -> int:
    folder = Path(tempfile.mkdtemp(dir=slices.folder))
    _write(partial(_decoded, slices.files, slices.labels.astype(np.float32)), slices, folder, workers)
    shutil.rmtree(folder)
    return len(slices.files)


def _write(item: Callable[[int], dict[str, Any]], slices: Slices, folder: Path, workers: int) -> None:
    rows = list(range(len(slices.files)))
    litdata.optimize(
        fn=item, inputs=rows, output_dir=str(folder), chunk_bytes=CHUNK, num_workers=workers, start_method="fork",
        verbose=False,
    )  # fmt: skip
