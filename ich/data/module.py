"""What Lightning trains on: a source's slices, prepared once, in folds by patient."""

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int64
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from ich.ct.geometry import Geometry
from ich.data import split
from ich.data.augment import Augment
from ich.data.batches import THREADS, BadBatchSize, Batch, BatchReader, ReadAhead, TrainBatches, ValBatches
from ich.data.cohort import neighbour_rows
from ich.data.faults import find_faults, shared_pixels
from ich.data.layout import name_layouts
from ich.data.resident import Chosen, Resident, RowReader, check_augment
from ich.data.source import Source
from ich.data.store import Store, prepare_store
from ich.findings import FINDINGS
from ich.progress import bar


class HeadCT(LightningDataModule):
    """A source's slices, prepared once, in folds by patient.

    `prepare_data` writes phantom and store, `setup` reads them; the held-out fold is `source.fold`. `depth` is the
    number of slices that are seen together: each slice, and its neighbours in its series.
    """

    def __init__(self, *, source: Source, geometry: Geometry, augment: Augment, seed: int, depth: int = 1) -> None:
        super().__init__()
        if source.resident:
            check_augment(augment)
        self.source = source
        self.geometry = geometry
        self.augment = augment
        self.seed = seed
        self.depth = depth
        self._opened = False
        self._resident: Resident | None = None

    def prepare_data(self) -> None:
        self._open()

    def setup(self, stage: str | None = None) -> None:
        self._open()
        if stage == "fit":  # before a scheduler is told of no steps
            self._check_batch_size()

    def _open(self) -> None:
        """Read everything once a process; what is missing in the cache is written first, under a lock."""
        if not self._opened:
            with self.source.pseudonyms.guarding():
                self._read()
            self._opened = True

    def _read(self) -> None:
        with bar("Reading headers") as report:
            cohort, labels = self.source.load(spacing_required=self.geometry.spacing_required, report=report)
        with bar("Preparing slices") as report:
            store = prepare_store(cohort, self.geometry, cache=self.source.cache, report=report)
        self.store: Store
        self.store, left_out = self.source.policies.apply(find_faults(cohort, store, labels), store)
        self.cohort_digest = cohort.digest
        self.left_out = pd.concat([cohort.rejected, store.rejected, left_out], ignore_index=True)
        self.index: pd.DataFrame = self.store.index.reset_index(drop=True)
        self.layouts = cohort.layouts_of(self.index["image_id"])
        self.neighbours = neighbour_rows(self.index, self.depth) if self.depth > 1 else None
        self.labels = labels.loc[self.index["image_id"], list(FINDINGS)].to_numpy(np.uint8)
        self.folds = self._assign_folds()
        part = self.folds["fold"].to_numpy()
        self.val_rows = np.flatnonzero(part == self.source.fold)
        self.train_rows = np.flatnonzero((part != self.source.fold) & (part >= 0))
        self.test_rows = np.flatnonzero(part == split.TEST)

    def _assign_folds(self) -> pd.DataFrame:
        """A row a slice of the store: image_id, patient_id, fold (split.TEST for test patients)."""
        images, groups = self.index[["image_id", "study_id", "patient_id"]], shared_pixels(self.store)
        if self.source.folds_csv is not None:
            folds = split.read_folds(self.source.folds_csv, images, pseudonyms=self.source.pseudonyms)
        else:
            table = images.assign(**dict(zip(FINDINGS, self.labels.T, strict=True)))
            folds = split.assign_folds(
                table,
                folds=self.source.folds,
                test_share=self.source.test_share,
                seed=self.source.fold_seed,
                groups=groups,
            )
        split.check_folds(folds, fold=self.source.fold, groups=groups)
        return folds

    @property
    def notes(self) -> list[str]:
        """What whoever reads the results should know of the slices, a sentence each."""
        notes = []
        if len(self.left_out):
            reasons = ", ".join(f"{reason} {count}" for reason, count in self.left_out["reason"].value_counts().items())
            notes.append(f"{len(self.left_out)} files are left out: {reasons}")
        if widened := int(self.index["warp_widened"].sum()):
            notes.append(
                f"{widened} of {len(self.index)} slices have a head larger than the field and a coarser scale; "
                "raise geometry.field_mm"
            )
        return notes

    def header_groups(self, rows: Int64[np.ndarray, " n"]) -> pd.Series:
        """Bits, sign and intercept of these rows, in words."""
        return name_layouts(self.layouts.iloc[rows])

    @property
    def prevalence(self) -> Float64[np.ndarray, " 6"]:
        """(positives + 1) / (slices + 2) of each label in the training fold: the floor's prediction."""
        labels = self.labels[self.train_rows]
        prevalence: np.ndarray = (labels.sum(axis=0) + 1) / (len(labels) + 2)
        return prevalence

    @property
    def num_train_batches(self) -> int:
        """Whole global batches an epoch; an incomplete last one is dropped."""
        return len(self._repeated_train_rows()) // self.source.batch_size

    def train_dataloader(self) -> ReadAhead | DataLoader[Batch]:
        self._check_batch_size()
        rank, processes = self._place()
        rows, position = self._repeated_train_rows(), self._position if self.trainer else None
        batches = TrainBatches(rows, self.source.batch_size, self.seed, rank, processes, position)
        return self._loader(batches)

    def _check_batch_size(self) -> None:
        _, processes = self._place()
        if not self.num_train_batches or self.source.batch_size % processes:
            raise BadBatchSize(
                f"data.batch_size={self.source.batch_size} is over all processes: it must divide by their number, "
                f"{processes}, and not exceed the {len(self._repeated_train_rows())} training slices"
            )

    def val_dataloader(self) -> ReadAhead | DataLoader[Batch]:
        return self._whole(self.val_rows)

    def test_dataloader(self) -> ReadAhead | DataLoader[Batch]:
        """The patients of `source.test_share`, whom no fold trains on."""
        return self._whole(self.test_rows)

    def _whole(self, rows: Int64[np.ndarray, " n"]) -> ReadAhead | DataLoader[Batch]:
        rank, processes = self._place()
        return self._loader(ValBatches(rows, self.source.batch_size, rank, processes))

    def _repeated_train_rows(self) -> Int64[np.ndarray, " n"]:
        times = np.where(self.labels == 1, self.source.repeat.times, 1).max(axis=1)
        return np.repeat(self.train_rows, times[self.train_rows])

    def _position(self) -> tuple[int, int]:
        """Epoch and batches done of it: of the trainer's own counters, which a checkpoint brings back."""
        assert self.trainer is not None
        loop = self.trainer.fit_loop
        return loop.epoch_progress.current.processed, loop.epoch_loop.batch_progress.current.processed

    def _place(self) -> tuple[int, int]:
        """This process's rank and the number of processes."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _loader(self, sampler: TrainBatches | ValBatches) -> ReadAhead | DataLoader[Batch]:
        if self.source.resident:
            rows = RowReader(self.labels, self.augment, self.seed, neighbours=self.neighbours)
            return ReadAhead(rows, sampler)
        pin = torch.cuda.is_available()
        workers = self.source.num_workers
        reader = BatchReader(
            self.store, self.labels, self.augment, self.seed, neighbours=self.neighbours, pin=pin and not workers
        )
        if not workers:
            return ReadAhead(reader, sampler, threads=1 if self.augment.transforms else THREADS)
        return DataLoader(
            reader,
            batch_size=None,  # a draw is a whole batch
            sampler=sampler,
            num_workers=workers,
            pin_memory=pin,
            persistent_workers=True,
        )

    def transfer_batch_to_device(self, batch: Batch | Chosen, device: torch.device, dataloader_idx: int) -> Batch:
        """With `data.resident`, rows are gathered where the slices are."""
        moved: Batch | Chosen = super().transfer_batch_to_device(batch, device, dataloader_idx)
        if isinstance(moved, Batch):
            return moved
        if self._resident is None:
            self._resident = Resident(self.store, len(self.store), device)
        return self._resident.gather(moved)
