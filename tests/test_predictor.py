"""A checkpoint as a function of DICOM: what training saw of a slice is what prediction sees."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ich.ct.dicom import BadSlice, read_slice
from ich.ct.geometry import HeadGeometry
from ich.ct.windowing import Window, WindowStack
from ich.data.augment import Augment
from ich.data.labels import write_labels
from ich.data.module import HeadCT
from ich.data.source import Rsna
from ich.findings import FINDINGS
from ich.model.backbone import Backbone
from ich.model.classifier import HemorrhageClassifier
from ich.model.context import Neighbours, Single
from ich.predictor import Predictor, Read
from ich.report.predictions import predict_folder
from tests.data.dicom_files import write_slice

GEOMETRY = HeadGeometry(size=32)


@pytest.fixture(scope="module")
def kaggle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 patients of 4 slices, whose discs wander; names of files say nothing of their order."""
    root = tmp_path_factory.mktemp("kaggle")
    names = [f"ID_{number:02}" for number in np.random.default_rng(0).permutation(24)]
    for number, name in enumerate(names):
        patient, z = divmod(number, 4)
        write_slice(
            root / "stage_2_train" / f"{name}.dcm",
            image=name,
            series=f"ID_s{patient}",
            patient=f"ID_p{patient}",
            z=5.0 * z,
            hu=number,
            middle=(30 + z, 28 + patient),
        )
    table = pd.DataFrame(0, index=names, columns=list(FINDINGS), dtype=np.uint8)
    table.iloc[::3] = 1
    write_labels(root / "stage_2_train.csv", table)
    return root


def predictor(context: Single | Neighbours) -> Predictor:
    torch.manual_seed(0)
    window = WindowStack(windows=[Window(level=40, width=80)])
    classifier = HemorrhageClassifier(backbone=Backbone(name="test_byobnet"), window=window, context=context)
    return Predictor(
        classifier=classifier.eval(),
        geometry=context.geometry(GEOMETRY),
        depth=context.depth,
        device=torch.device("cpu"),
    )


def validated(kaggle: Path, context: Single | Neighbours) -> dict[str, np.ndarray]:
    """What validation gives the network of each image of its fold."""
    data = HeadCT(
        source=Rsna(root=kaggle, cache=kaggle / "cache", folds=3, batch_size=4, pseudonymize=False),
        geometry=context.geometry(GEOMETRY),
        augment=Augment(flip=0.5),
        seed=0,
        depth=context.depth,
    )
    data.setup()
    images = data.index["image_id"].to_numpy()
    return {
        images[row]: hu.numpy() for batch in data.val_dataloader() for hu, row in zip(batch.hu, batch.rows, strict=True)
    }


@pytest.mark.parametrize("context", [Single(), Neighbours(slices=3), Neighbours(slices=5)])
def test_prediction_reads_what_validation_read(kaggle: Path, context: Single | Neighbours) -> None:
    seen = validated(kaggle, context)
    files = sorted((kaggle / "stage_2_train").iterdir())
    groups = [[file] for file in files]
    if context.depth > 1:
        by_patient = {file: read_patient(file) for file in files}
        groups = [[file for file in files if by_patient[file] == patient] for patient in set(by_patient.values())]
    read = {one.image_id: one.hu for some in groups for one in predictor(context).read(some) if isinstance(one, Read)}
    assert len(read) == 24
    assert {hu.shape for hu in read.values()} == {(context.depth, 32, 32)}
    for image, hu in seen.items():
        assert np.array_equal(read[image], hu)


def read_patient(file: Path) -> str:
    from ich.ct.dicom import read_header

    return read_header(file).patient_id


def test_a_folder_is_predicted_series_by_series_and_told_in_the_order_of_names(kaggle: Path, tmp_path: Path) -> None:
    shutil.copytree(kaggle / "stage_2_train", tmp_path / "in")
    (tmp_path / "in" / "ID_05x.dcm").write_text("no DICOM")
    shutil.copy(tmp_path / "in" / "ID_05.dcm", tmp_path / "in" / "ID_99.dcm")  # a copy is no neighbour
    one = predictor(Neighbours())
    whole = predict_folder(one, tmp_path / "in", batch_size=5)
    table = whole.probabilities
    assert table["file"].tolist() == sorted([f"ID_{number:02}.dcm" for number in range(24)] + ["ID_99.dcm"])
    assert whole.rejected[["file", "reason"]].to_numpy().tolist() == [["ID_05x.dcm", "not_dicom"]]
    by_file = table.set_index("file")[list(FINDINGS)]
    assert np.allclose(by_file.loc["ID_99.dcm"], by_file.loc["ID_05.dcm"], rtol=0, atol=1e-6)
    seen = validated(kaggle, Neighbours())
    for image, hu in seen.items():
        assert np.allclose(by_file.loc[f"{image}.dcm"], one.predict([hu])[0], rtol=0, atol=1e-6)


def test_a_slice_without_its_series_is_its_own_neighbour(kaggle: Path) -> None:
    file = next((kaggle / "stage_2_train").iterdir())
    (alone,) = predictor(Neighbours()).read([file])
    (single,) = predictor(Single()).read([file])
    assert isinstance(alone, Read)
    assert isinstance(single, Read)
    assert np.array_equal(alone.hu, np.repeat(single.hu, 3, axis=0))


def test_what_cannot_be_read_stands_in_its_place(kaggle: Path) -> None:
    file = next((kaggle / "stage_2_train").iterdir())
    bad, good = predictor(Neighbours()).read([b"no DICOM", file])
    assert isinstance(bad, BadSlice)
    assert isinstance(good, Read)


@pytest.mark.parametrize("context", [Single(), Neighbours()])
def test_a_slice_tells_its_file_and_the_way_back_to_it(kaggle: Path, context: Single | Neighbours) -> None:
    series = sorted(file for file in (kaggle / "stage_2_train").iterdir() if read_patient(file) == "ID_p0")
    read = [one for one in predictor(context).read(series) if isinstance(one, Read)]
    assert [one.source for one in read] == series
    for one in read:
        hu = read_slice(one.source).hu
        assert np.array_equal(np.rint(one.warp.to_square(hu, outside=-1024)), one.hu[context.depth // 2])


def test_copies_of_a_slice_are_its_first_file(kaggle: Path, tmp_path: Path) -> None:
    file = next((kaggle / "stage_2_train").iterdir())
    copy = shutil.copy(file, tmp_path)
    assert [one.source for one in predictor(Neighbours()).read([file, copy]) if isinstance(one, Read)] == [file, file]
