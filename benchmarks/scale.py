"""What 752,803 slices cost before the first batch can be read, a row a slice; the pixels are not touched.

scale         ours: open the store, read its index, deal five folds by patient, draw the first batch
              pandas: read the same table, order it, scikit-learn's folds by patient, torch's sampler
scale_epoch   ours: the first batch of an epoch; dataloader: the same from torch's sampler
"""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold
from torch.utils.data import BatchSampler, RandomSampler

from benchmarks.cohort import BATCH, SIZE
from benchmarks.labels import RATES
from benchmarks.measure import Rival
from benchmarks.sparse import SLICES, write_sparse_store
from ich.data.batches import TrainBatches
from ich.data.split import assign_folds
from ich.data.store import open_store
from ich.data.store.reading import INDEX_FILE
from ich.findings import FINDINGS

FOLDS = 5


def rivals(folder: Path) -> list[Rival]:
    store = write_sparse_store(folder, size=SIZE)
    labels = made_up_labels()
    epochs = itertools.count(1)
    return [
        Rival(work="scale", name="ours", ways={"": lambda: _start(store, labels)}, once=True),
        Rival(
            work="scale",
            name="pandas",
            ways={"": lambda: _start_with_pandas(store / INDEX_FILE, labels)},
            note="the whole index, ordered; folds by patient, stratified by one label",
            once=True,
        ),
        Rival(work="scale_epoch", name="ours", ways={"": lambda: _draw(np.arange(SLICES), next(epochs))}),
        Rival(
            work="scale_epoch", name="dataloader", ways={"": lambda: _draw_with_torch(SLICES)}, note="torch's sampler"
        ),
    ]


def made_up_labels() -> np.ndarray:
    """uint8 [SLICES, 6], about as frequent as in RSNA 2019."""
    kinds = np.random.default_rng(0).random((SLICES, len(RATES))) < RATES
    return np.column_stack([kinds, kinds.any(axis=1)]).astype(np.uint8)


def _start(folder: Path, labels: np.ndarray) -> int:
    store = open_store(folder)
    images = store.index[["image_id", "study_id", "patient_id"]]
    table = images.assign(**dict(zip(FINDINGS, labels.T, strict=True)))
    fold = assign_folds(table, folds=FOLDS, test_share=0.0, seed=0)["fold"].to_numpy()
    _draw(np.flatnonzero(fold != 0), 0)
    return len(store)


def _draw(rows: np.ndarray, epoch: int) -> int:
    batches = TrainBatches(rows, BATCH, 0, 0, 1)
    batches.set_epoch(epoch)
    assert len(next(iter(batches)).rows) == BATCH
    return len(rows)


def _start_with_pandas(index: Path, labels: np.ndarray) -> int:
    """As challenge notebooks do it."""
    table = pd.read_parquet(index).assign(**dict(zip(FINDINGS, labels.T, strict=True)))
    table = table.sort_values(["patient_id", "study_id", "series_id", "position_mm"]).reset_index(drop=True)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(table, table["any"], table["patient_id"])
    train, _ = next(folds)
    return _draw_with_torch(len(train)) and len(table)


def _draw_with_torch(count: int) -> int:
    batches = BatchSampler(RandomSampler(range(count)), BATCH, drop_last=True)
    assert len(next(iter(batches))) == BATCH
    return count
