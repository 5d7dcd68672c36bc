"""Batches: every row once, in an order of (seed, epoch), shared out over processes without a pad."""

import shutil
from pathlib import Path
from typing import Any

import albumentations
import numpy as np
import pandas as pd
import pytest
import torch

from ich.ct.geometry import HeadGeometry
from ich.data.augment import Augment
from ich.data.batches import BadBatchSize, Batch
from ich.data.labels import read_labels, write_labels
from ich.data.module import HeadCT
from ich.data.source import Repeat, Rsna
from ich.data.split import TEST, BadFolds
from ich.findings import FINDINGS
from tests.data.dicom_files import write_slice

PATIENTS, SLICES = 7, 3


@pytest.fixture(scope="module")
def kaggle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """7 patients of 3 slices, the value of each its number; the second slice of every other patient is epidural."""
    root = tmp_path_factory.mktemp("kaggle")
    labels = {}
    for number in range(PATIENTS * SLICES):
        patient, z = divmod(number, SLICES)
        names = {"image": f"ID_{number:02}", "series": f"ID_s{patient}", "patient": f"ID_p{patient}"}
        write_slice(root / "stage_2_train" / f"ID_{number:02}.dcm", **names, z=5.0 * z, hu=number)
        labels[names["image"]] = [z == 1 and patient % 2 == 0, 0, 0, 0, 0, z == 1 and patient % 2 == 0]
    table = pd.DataFrame.from_dict(labels, orient="index", columns=list(FINDINGS)).astype(np.uint8)
    write_labels(root / "stage_2_train.csv", table)
    return root


FLIP = Augment(flip=1.0, transforms=[albumentations.VerticalFlip(p=1.0)], shift_hu=5.0)


def opened(
    root: Path, *, augment: Augment | None = None, size: int = 32, field_mm: float = 256.0, **source: Any
) -> HeadCT:
    data = HeadCT(
        source=Rsna(root=root, cache=root / "cache", **({"folds": 3, "batch_size": 4, "pseudonymize": False} | source)),
        geometry=HeadGeometry(size=size, field_mm=field_mm),
        augment=augment or Augment(),
        seed=5,
    )
    data.prepare_data()
    data.setup()
    return data


def test_validation_holds_the_fold_in_order_and_as_it_is(kaggle: Path) -> None:
    data = opened(kaggle, augment=FLIP)
    batches = list(data.val_dataloader())
    hu, labels, rows = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert isinstance(batches[0], Batch)
    assert hu.dtype == torch.int16
    assert rows.tolist() == data.val_rows.tolist()
    images = data.index["image_id"].iloc[data.val_rows]
    assert hu[:, 0, 16, 16].tolist() == [int(image[3:]) for image in images]
    assert np.array_equal(labels, read_labels(kaggle / "stage_2_train.csv").loc[images])
    assert np.array_equal(hu[:, 0], data.store.read(data.val_rows))


def test_every_slice_is_in_one_part_and_every_patient_too(kaggle: Path) -> None:
    data = opened(kaggle, test_share=0.2)
    test_rows = np.flatnonzero(data.folds["fold"] == TEST)
    assert sorted([*data.train_rows, *data.val_rows, *test_rows]) == list(range(PATIENTS * SLICES))
    parts = [set(data.folds["patient_id"].iloc[rows]) for rows in (data.train_rows, data.val_rows, test_rows)]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts)) == PATIENTS


def test_training_is_augmented_and_drops_an_incomplete_batch(kaggle: Path) -> None:
    data = opened(kaggle, augment=FLIP)
    batches = list(data.train_dataloader())
    assert len(batches) == data.num_train_batches == len(data.train_rows) // 4
    assert {len(batch.rows) for batch in batches} == {4}
    for batch in batches:
        assert set(batch.rows.tolist()) <= set(data.train_rows.tolist())
        plain = data.store.read(batch.rows.numpy())
        assert not np.array_equal(batch.hu[:, 0], plain)
        assert np.array_equal(batch.hu[:, 0, 16, 16] > -500, plain[:, 16, 16] > -500)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # torch, of two processors
@pytest.mark.parametrize("num_workers", [1, 4])
def test_workers_change_nothing(kaggle: Path, num_workers: int) -> None:
    alone, shared = opened(kaggle, augment=FLIP), opened(kaggle, augment=FLIP, num_workers=num_workers)
    for one, other in zip(alone.train_dataloader(), shared.train_dataloader(), strict=True):
        assert all(torch.equal(mine, yours) for mine, yours in zip(one, other, strict=True))


def test_a_training_fed_from_the_devices_memory_gets_the_same_batches(kaggle: Path) -> None:
    flip = Augment(flip=0.5)
    fed, resident = opened(kaggle, augment=flip), opened(kaggle, augment=flip, resident=True)
    cpu = torch.device("cpu")
    for loader in ("train_dataloader", "val_dataloader"):
        for one, other in zip(getattr(fed, loader)(), getattr(resident, loader)(), strict=True):
            moved = resident.transfer_batch_to_device(other, cpu, 0)
            assert all(torch.equal(mine, yours) for mine, yours in zip(one, moved, strict=True))
    assert resident._resident is not None


def test_a_repeated_label_is_seen_more_often_in_training_alone(kaggle: Path) -> None:
    once, thrice = opened(kaggle, batch_size=1), opened(kaggle, batch_size=1, repeat=Repeat(epidural=3))
    positive = {int(row) for row in np.flatnonzero(once.labels[:, 0]) if row in once.train_rows}
    seen = [int(row) for batch in thrice.train_dataloader() for row in batch.rows]
    assert {seen.count(row) for row in positive} == {3}
    assert {seen.count(row) for row in {*once.train_rows.tolist()} - positive} == {1}
    assert len(list(thrice.val_dataloader())) == len(list(once.val_dataloader()))


def test_the_floors_prevalence_is_of_the_training_fold_and_never_0_or_1(kaggle: Path) -> None:
    data = opened(kaggle, repeat=Repeat(epidural=3))
    positives = data.labels[data.train_rows].sum(axis=0)
    assert data.prevalence.tolist() == ((positives + 1) / (len(data.train_rows) + 2)).tolist()
    assert data.prevalence[1] == 1 / (len(data.train_rows) + 2)


def test_folds_of_ones_own_that_share_a_patient_are_refused_at_the_start(kaggle: Path, tmp_path: Path) -> None:
    data = opened(kaggle)
    good = data.folds.assign(fold=[0, 0, 0, *[1] * 18])
    good.to_csv(tmp_path / "good.csv", index=False)
    assert opened(kaggle, folds_csv=tmp_path / "good.csv").val_rows.tolist() == [0, 1, 2]
    good.assign(fold=[0, 0, *[1] * 19]).to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(BadFolds, match="patient ID_p0 is in two folds"):
        opened(kaggle, folds_csv=tmp_path / "bad.csv")
    names = {"patient_id": good["image_id"]}  # each image a patient of its own, says the file; the cohort knows better
    good.assign(fold=[0, 0, *[1] * 19], **names).to_csv(tmp_path / "worse.csv", index=False)
    with pytest.raises(BadFolds, match="patient ID_p0 is in two folds"):
        opened(kaggle, folds_csv=tmp_path / "worse.csv")


def test_a_batch_larger_than_the_training_part_is_refused(kaggle: Path) -> None:
    data = opened(kaggle, batch_size=100)
    with pytest.raises(BadBatchSize, match=r"data\.batch_size=100 .* not exceed the 1[0-9] training slices"):
        data.train_dataloader()


def test_notes_say_what_was_left_out_and_which_heads_are_larger_than_the_field(kaggle: Path, tmp_path: Path) -> None:
    """The heads have a diameter of 160 mm."""
    assert opened(kaggle).notes == []
    assert opened(kaggle, field_mm=128.0).notes == [
        "21 of 21 slices have a head larger than the field and a coarser scale; raise geometry.field_mm"
    ]
    root = shutil.copytree(kaggle, tmp_path / "copy", ignore=shutil.ignore_patterns("cache"))
    cut = root / "stage_2_train" / "ID_00.dcm"
    cut.write_bytes(cut.read_bytes()[:-1])
    write_slice(root / "stage_2_train" / "ID_99.dcm", image="ID_99")
    data = opened(root)
    assert data.notes == ["2 files are left out: truncated 1, no_label 1"]
    assert sorted(data.left_out["file"]) == ["ID_00.dcm", "ID_99.dcm"]
