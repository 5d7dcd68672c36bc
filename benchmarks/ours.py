"""Ours: files to what a store holds, and batches from the store."""

import itertools
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataelem import RawDataElement

from benchmarks.cohort import BATCH, EPOCH, SIZE, Slices
from benchmarks.measure import Rival, Work, workers
from ich.ct.dicom import make_slice, read_slice
from ich.ct.elements import PIXEL_DATA, Elements, PixelData
from ich.ct.geometry import HeadGeometry
from ich.data.augment import Augment
from ich.data.batches import BatchReader, ReadAhead, TrainBatches
from ich.data.store.shard import Entry

GEOMETRY = HeadGeometry(size=SIZE)


def prepare(slices: Slices) -> list[Rival]:
    """What a store is made of: HU, the head, the area mean, and the checksums of both; with our reader, and without."""
    note = "the same with pydicom's dcmread in the place of our walk over the elements"
    return [
        Rival(work="prepare", name="ours", ways=workers(slices.files, _entry)),
        Rival(work="prepare", name="ours_pydicom", ways=workers(slices.files, _entry_by_pydicom), note=note),
    ]


def feed(slices: Slices) -> list[Rival]:
    """HU, as `data.num_workers=0` feeds a training."""
    return [Rival(work="feed", name="ours", ways=_epochs(slices, Augment()))]


def feed_flips(slices: Slices) -> list[Rival]:
    """The same with every other slice flipped."""
    return [Rival(work="feed_flips", name="ours", ways=_epochs(slices, Augment(flip=0.5)))]


def _entry(file: Path) -> Entry:
    read = read_slice(file)
    return Entry.of(read, GEOMETRY.prepare(read.hu, read.header.spacing_mm))


def _entry_by_pydicom(file: Path) -> Entry:
    dataset = pydicom.dcmread(file)
    values = {int(tag): element.value for tag, element in dataset.items() if isinstance(element, RawDataElement)}
    pixels = values[PIXEL_DATA]
    elements = Elements(
        path=str(file),
        data=pixels,
        size=len(pixels),
        transfer_syntax=dataset.file_meta.TransferSyntaxUID,
        big_endian=False,
        values=values,
        pixels=PixelData(start=0, length=len(pixels)),
        cut=False,
    )
    read = make_slice(elements, file)
    return Entry.of(read, GEOMETRY.prepare(read.hu, read.header.spacing_mm))


def _epochs(slices: Slices, augment: Augment) -> dict[str, Work]:
    rows = np.tile(np.arange(len(slices.files)), EPOCH)
    draws = TrainBatches(rows, BATCH, 0, 0, 1)
    loader = ReadAhead(BatchReader(slices.data.store, slices.labels, augment, 0), draws)
    epochs = itertools.count(1)

    def work() -> int:
        draws.set_epoch(next(epochs))
        return sum(len(batch.hu) for batch in loader)

    return {"": work}
