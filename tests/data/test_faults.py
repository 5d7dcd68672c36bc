"""Each fault is found where it is, counted, and dealt with as the configuration says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ich.ct.geometry import HeadGeometry
from ich.data.augment import Augment
from ich.data.cohort import Cohort
from ich.data.faults import NAMES, BadFaults, Policies, count_faults, find_faults, shared_pixels
from ich.data.labels import write_labels
from ich.data.module import HeadCT
from ich.data.source import Rsna
from ich.data.split import BadFolds
from ich.data.store import Store, prepare_store
from ich.findings import FINDINGS
from tests.data.dicom_files import write_slice
from tests.data.test_source import silent

FAULTS = {
    "wrapped": ["ID_wrapped"], "padded": ["ID_padded"], "metal": ["ID_metal"], "not_square": ["ID_oblong"],
    "tied": ["ID_t1", "ID_t2"], "duplicate": ["ID_d1", "ID_d2", "ID_d3"], "conflict": ["ID_d1", "ID_d2", "ID_d3"],
    "cut": ["ID_cut"], "no_spacing": ["ID_bare"], "no_label": ["ID_mute"], "no_image": ["ID_ghost"],
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kaggle's folder with every fault, and ten sound slices of five patients."""
    folder = tmp_path_factory.mktemp("faulty")
    images = folder / "stage_2_train"
    made = {f"ID_{number}": {"patient": f"p{number % 5}", "z": number, "hu": 20 + number} for number in range(10)}
    made |= {
        "ID_wrapped": {"wrapped": True, "hu": 50},
        "ID_padded": {"air": -2000, "hu": 51},
        "ID_metal": {"hu": 9000},
        "ID_oblong": {"spacing": (4.0, 3.0), "hu": 52},
        "ID_t1": {"series": "tied", "z": 7, "hu": 53},
        "ID_t2": {"series": "tied", "z": 7, "hu": 54},
        "ID_d1": {"patient": "p0", "hu": 60},
        "ID_d2": {"patient": "p1", "hu": 60},
        "ID_d3": {"patient": "p2", "hu": 60},
        "ID_same": {"patient": "p0", "hu": 61},
        "ID_same_too": {"patient": "p0", "hu": 61},  # no duplicates: one patient
        "ID_air1": {"patient": "p0", "hu": -1000},
        "ID_air2": {"patient": "p1", "hu": -1000},  # nor these: they are nobody's
        "ID_cut": {"hu": 62},
        "ID_bare": {"spacing": None, "hu": 63},
        "ID_mute": {"hu": 64},
    }
    for image, how in made.items():
        write_slice(images / f"{image}.dcm", image=image, **{"series": image} | how)  # type: ignore[arg-type]
    cut = images / "ID_cut.dcm"
    cut.write_bytes(cut.read_bytes()[:-100])
    labels = pd.DataFrame(0, index=pd.Index([*made, "ID_ghost"], name="image_id"), columns=list(FINDINGS))
    labels.loc["ID_d2", ["subdural", "any"]] = 1
    write_labels(folder / "stage_2_train.csv", labels.drop("ID_mute"))
    return folder


@pytest.fixture(scope="module")
def prepared(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Cohort, Store, pd.DataFrame]:
    cache = tmp_path_factory.mktemp("cache")
    cohort, labels = Rsna(root=root, cache=cache, pseudonymize=False).load(spacing_required=True, report=silent)
    return cohort, prepare_store(cohort, HeadGeometry(size=32), cache=cache), labels


Prepared = tuple[Cohort, Store, pd.DataFrame]


@pytest.mark.parametrize("fault", NAMES)
def test_a_fault_is_found_where_it_is_and_nowhere_else(prepared: Prepared, fault: str) -> None:
    found = find_faults(*prepared)
    assert sorted(found.loc[found["fault"] == fault, "image_id"]) == FAULTS[fault]


def test_faults_are_counted_with_their_policy_and_one_of_them(prepared: Prepared) -> None:
    counts = count_faults(find_faults(*prepared), Policies(metal="fail")).set_index("fault")
    assert counts["count"].to_dict() == {fault: len(images) for fault, images in FAULTS.items()}
    assert counts.loc["metal"].tolist() == [1, "fail", "ID_metal"]
    assert counts.loc["duplicate", "policy"] == "keep"


def test_another_reason_for_a_file_without_a_slice_is_a_fault_of_its_own(prepared: Prepared) -> None:
    cohort, store, labels = prepared
    other = pd.DataFrame([{"file": "x.txt", "reason": "not_dicom", "detail": "text"}])
    found = find_faults(replace(cohort, rejected=pd.concat([cohort.rejected, other])), store, labels)
    assert count_faults(found, Policies()).iloc[-1].tolist() == ["not_dicom", 1, "leave_out", "x"]


def test_without_faults_every_count_is_zero(tmp_path: Path) -> None:
    write_slice(tmp_path / "stage_2_train" / "ID_a.dcm", image="ID_a")
    index = pd.Index(["ID_a"], name="image_id")
    write_labels(tmp_path / "stage_2_train.csv", pd.DataFrame(0, index=index, columns=list(FINDINGS)))
    cohort, labels = Rsna(root=tmp_path, cache=tmp_path, pseudonymize=False).load(spacing_required=True, report=silent)
    store = prepare_store(cohort, HeadGeometry(size=32), cache=tmp_path)
    found = find_faults(cohort, store, labels)
    assert not len(found)
    assert count_faults(found, Policies())["count"].tolist() == [0] * len(NAMES)
    assert Policies(padded="fail").apply(found, store)[0] is store


def test_by_default_every_readable_slice_stays(prepared: Prepared) -> None:
    store, left_out = Policies().apply(find_faults(*prepared), prepared[1])
    assert store is prepared[1]
    assert not len(left_out)


@pytest.mark.parametrize(
    ("fault", "gone"),
    [
        ("metal", ["ID_metal"]),
        ("tied", ["ID_t2"]),  # the first stays
        ("duplicate", ["ID_d2", "ID_d3"]),
        ("conflict", ["ID_d1", "ID_d2", "ID_d3"]),  # nobody knows which is right
    ],
)
def test_what_a_policy_leaves_out_is_not_in_the_store_and_named(
    prepared: Prepared, fault: str, gone: list[str]
) -> None:
    whole = prepared[1]
    store, left_out = Policies(**{fault: "leave_out"}).apply(find_faults(*prepared), whole)  # type: ignore[arg-type]
    assert sorted(left_out["file"]) == [f"{image}.dcm" for image in gone]
    assert set(left_out["reason"]) == {fault}
    assert store.index["image_id"].tolist() == [image for image in whole.index["image_id"] if image not in gone]


def test_a_fault_that_is_not_tolerated_stops_with_its_name_and_an_example(prepared: Prepared) -> None:
    with pytest.raises(BadFaults, match=r"metal: 1, such as ID_metal\.dcm; no_image: 1, such as ID_ghost; data\.pol"):
        Policies(metal="fail", no_image="fail").apply(find_faults(*prepared), prepared[1])


def test_only_slices_of_several_patients_share_a_group(prepared: Prepared) -> None:
    _, store, _ = prepared
    groups = pd.Series(shared_pixels(store), index=store.index["image_id"])
    assert groups[groups >= 0].index.tolist() == ["ID_d1", "ID_d2", "ID_d3"]
    assert groups[groups >= 0].nunique() == 1


def test_training_obeys_the_policies_and_keeps_duplicates_on_one_side(root: Path, tmp_path: Path) -> None:
    for policies, kept in ((Policies(), True), (Policies(metal="leave_out", conflict="leave_out"), False)):
        source = Rsna(root=root, cache=tmp_path, folds=2, policies=policies, pseudonymize=False)
        data = HeadCT(source=source, geometry=HeadGeometry(size=32), augment=Augment(), seed=0)
        data.setup()
        images = data.index["image_id"]
        assert images.isin(["ID_metal", "ID_d1"]).any() == kept
        assert len(data.labels) == len(data.folds) == len(data.store)
        assert ("metal" in data.left_out["reason"].tolist()) != kept
        if kept:
            fold = data.folds["fold"].to_numpy()[images.isin(FAULTS["duplicate"]).to_numpy()]
            assert len(np.unique(fold)) == 1


def test_folds_of_ones_own_that_part_duplicates_are_refused_unless_these_are_left_out(
    root: Path, prepared: Prepared, tmp_path: Path
) -> None:
    folds = prepared[1].index[["image_id", "patient_id"]]
    folds.assign(fold=(folds["patient_id"] == "p1").astype(int)).to_csv(tmp_path / "folds.csv", index=False)

    def opened(policies: Policies) -> HeadCT:
        source = Rsna(
            root=root, cache=tmp_path, policies=policies, folds_csv=tmp_path / "folds.csv", pseudonymize=False
        )
        data = HeadCT(source=source, geometry=HeadGeometry(size=32), augment=Augment(), seed=0)
        data.setup()
        return data

    with pytest.raises(BadFolds, match="ID_d1 of patient p0 in fold 0 and ID_d2 of patient p1 in fold 1 are the same"):
        opened(Policies())
    assert len(opened(Policies(duplicate="leave_out")).val_rows)
