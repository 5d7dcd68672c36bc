"""Ours: files to what a store holds, and batches from the store."""

import itertools
from pathlib import Path

import numpy as np
import pydicom

from benchmarks.cohort import BATCH, EPOCH, SIZE, Slices
from benchmarks.measure import Rival, Work, threads
from ich.ct.dicom import Header, Slice, read_slice
from ich.ct.geometry import HeadGeometry
from ich.ct.pixels import to_hu
from ich.data.augment import Augment
from ich.data.batches import BatchReader, ReadAhead, TrainBatches
from ich.data.store.shard import Entry

GEOMETRY = HeadGeometry(size=SIZE)


def prepare(slices: Slices) -> list[Rival]:
    """What a store is made of: HU, the head, the area mean, and the checksums of both; with our reader, and without."""
    note = "the same from pydicom's dcmread and pixel_array, without our checks"
    return [
        Rival(work="prepare", name="ours", ways=threads(slices.files, _entry)),
        Rival(work="prepare", name="ours_pydicom", ways=threads(slices.files, _entry_by_pydicom), note=note),
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
    slope, intercept = float(_said(dataset, "RescaleSlope")), float(_said(dataset, "RescaleIntercept"))
    x, y, z = map(float, _said(dataset, "ImagePositionPatient").split("\\"))
    row_mm, column_mm = map(float, _said(dataset, "PixelSpacing").split("\\"))
    hu = to_hu(dataset.pixel_array, slope, intercept)
    header = Header(
        image_id=_said(dataset, "SOPInstanceUID"),
        series_id=_said(dataset, "SeriesInstanceUID"),
        study_id=_said(dataset, "StudyInstanceUID"),
        patient_id=_said(dataset, "PatientID"),
        position_mm=(x, y, z),
        orientation=None,
        spacing_mm=(row_mm, column_mm),
        rows=hu.shape[0],
        columns=hu.shape[1],
        bits_stored=int(dataset.BitsStored),
        signed=dataset.PixelRepresentation == 1,
        intercept=intercept,
        slope=slope,
    )
    read = Slice(hu=hu, header=header, lowest_hu=float(hu.min()), highest_hu=float(hu.max()), wrapped=False)
    return Entry.of(read, GEOMETRY.prepare(hu, header.spacing_mm))


def _said(dataset: pydicom.Dataset, keyword: str) -> str:
    """An element's text as it lies in the file, without the checks that pydicom makes of an attribute."""
    element = dataset.get_item(keyword)
    assert element is not None
    return element.value.decode("ascii").strip("\0 ") if isinstance(element.value, bytes) else str(element.value)


def _epochs(slices: Slices, augment: Augment) -> dict[str, Work]:
    rows = np.tile(np.arange(len(slices.files)), EPOCH)
    draws = TrainBatches(rows, BATCH, 0, 0, 1)
    loader = ReadAhead(BatchReader(slices.data.store, slices.labels, augment, 0), draws)
    epochs = itertools.count(1)

    def work() -> int:
        draws.set_epoch(next(epochs))
        return sum(len(batch.hu) for batch in loader)

    return {"": work}
