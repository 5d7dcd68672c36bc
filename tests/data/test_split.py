"""Folds by patient."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ich.data.split import TEST, BadFolds, assign_folds, check_folds, read_folds
from ich.findings import FINDINGS, KINDS


def images(patients: int, *, seed: int = 0, rate: float = 0.4) -> pd.DataFrame:
    """A cohort of one to three studies a patient and five slices a study."""
    random = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        for study in range(random.integers(1, 4)):
            kinds = (random.random(5) < rate * np.array([0.05, 0.6, 0.4, 0.45, 0.45])).astype(int)
            for number in range(5):
                ids = {
                    "image_id": f"i{patient}-{study}-{number}",
                    "study_id": f"s{patient}-{study}",
                    "patient_id": f"p{patient}",
                }
                rows.append(ids | dict(zip(KINDS, kinds, strict=True)) | {"any": kinds.max()})
    return pd.DataFrame(rows)


@given(st.integers(12, 60), st.integers(2, 6), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_every_patient_is_in_exactly_one_fold_and_every_fold_is_used(patients: int, folds: int, seed: int) -> None:
    table = assign_folds(images(patients, seed=seed), folds=folds, test_share=0.0, seed=seed)
    assert table.groupby("patient_id")["fold"].nunique().eq(1).all()
    assert sorted(table["fold"].unique()) == list(range(folds))
    assert table.columns.tolist() == ["image_id", "patient_id", "fold"]


def test_every_fold_has_each_label_about_as_often() -> None:
    cohort = images(500)
    table = assign_folds(cohort, folds=5, test_share=0.0, seed=0)
    studies = cohort.assign(fold=table["fold"].to_numpy()).groupby("study_id")[[*FINDINGS, "fold"]].max()
    rates = studies.groupby("fold")[list(FINDINGS)].mean()
    whole = studies[list(FINDINGS)].mean()
    assert (rates - whole).abs().max().max() < 0.02
    counts = table["fold"].value_counts()
    assert counts.max() / counts.min() < 1.1


def test_every_fold_has_each_labels_slices_about_as_often_and_as_many_slices() -> None:
    """Studies of 5 to 60 slices, in runs of 1 to 20 with a kind: patients weigh very differently."""
    random = np.random.default_rng(0)
    studies = []
    for patient in range(2000):
        kinds = np.zeros((random.integers(5, 61), len(KINDS)), np.int64)
        for kind, rate in enumerate((0.02, 0.25, 0.17, 0.18, 0.18)):
            start = random.integers(0, len(kinds))
            kinds[start : start + random.integers(1, 21), kind] = random.random() < rate
        studies.append(pd.DataFrame(kinds, columns=list(KINDS)).assign(patient_id=f"p{patient:04}"))
    cohort = pd.concat(studies, ignore_index=True)
    cohort = cohort.assign(any=cohort[list(KINDS)].max(axis=1), study_id=cohort["patient_id"], image_id=cohort.index)
    fold = assign_folds(cohort, folds=5, test_share=0.0, seed=0)["fold"].to_numpy()
    rates = cohort.groupby(fold)[list(FINDINGS)].mean() / cohort[list(FINDINGS)].mean()
    assert (rates - 1).abs().max().max() < 0.02
    sizes = np.bincount(fold)
    assert sizes.max() / sizes.min() < 1.01


def test_a_part_that_is_smaller_than_any_patient_has_one() -> None:
    table = assign_folds(images(12), folds=3, test_share=0.01, seed=0)
    assert table.groupby("fold")["patient_id"].nunique()[TEST] == 1


def test_test_patients_are_in_no_fold() -> None:
    table = assign_folds(images(200), folds=4, test_share=0.2, seed=0)
    share = (table["fold"] == TEST).mean()
    assert share == pytest.approx(0.2, abs=0.03)
    assert sorted(table["fold"].unique()) == [TEST, 0, 1, 2, 3]


def test_the_seed_decides_and_nothing_else() -> None:
    cohort = images(60)
    folds = [assign_folds(cohort, folds=5, test_share=0.0, seed=seed)["fold"].tolist() for seed in (0, 0, 1)]
    assert folds[0] == folds[1] != folds[2]


def test_more_folds_than_patients_are_refused() -> None:
    with pytest.raises(BadFolds, match="3 patients cannot fill 5 folds"):
        assign_folds(images(3), folds=5, test_share=0.0, seed=0)


def folds_csv(path: Path, rows: list[tuple[str, str, object]]) -> Path:
    pd.DataFrame(rows, columns=["image_id", "patient_id", "fold"]).to_csv(path, index=False)
    return path


COHORT = pd.DataFrame({"image_id": ["a", "b", "c"], "patient_id": ["p", "p", "q"]})


def test_a_folds_csv_is_taken_as_it_is_and_may_know_more(tmp_path: Path) -> None:
    path = folds_csv(tmp_path / "f.csv", [("c", "q", 0), ("a", "p", 1), ("b", "p", 1), ("z", "r", 0)])
    assert read_folds(path, COHORT)["fold"].tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [("a", "p", 0), ("b", "p", 1), ("c", "q", 1)],
            r"patient p is in two folds \(a in fold 0 and b in fold 1; 1 such patients\)",
        ),
        ([("a", "p", 0), ("c", "q", 1)], r"b has no fold \(1 images of the cohort have none\)"),
        ([("a", "p", 0), ("a", "p", 0), ("b", "p", 0), ("c", "q", 1)], "line 3: image_id is 'a'; a line above has"),
        ([("a", "p", 0), ("b", "p", "x"), ("c", "q", "y")], r"line 3: fold is 'x'; a fold .* \(2 such lines\)"),
        (
            [("a", "p", 0), ("b", "p", -2), ("c", "q", 1)],
            "line 3: fold is '-2'; a fold is a whole number from 0",
        ),
        ([("a", "p", 0), ("b", "p", 0), ("c", "q", 1.5)], "line 4: fold is '1.5'; a fold is a whole number"),
        ([("a", "p", 0), ("b", "p", 0), ("c", "q", "inf")], "line 4: fold is 'inf'; a fold is a whole number"),
        ([("a", "p", 0), ("b", "", 0), ("c", "q", 1)], "line 3: patient_id is ''; every row names an image and"),
    ],
)
def test_a_folds_csv_that_would_leak_is_refused(tmp_path: Path, rows: list[tuple[str, str, object]], said: str) -> None:
    with pytest.raises(BadFolds, match=said):
        read_folds(folds_csv(tmp_path / "f.csv", rows), COHORT)


def test_a_folds_csv_that_hides_a_patient_under_two_names_is_refused_by_the_cohorts_own_ids(tmp_path: Path) -> None:
    path = folds_csv(tmp_path / "f.csv", [("a", "p1", 0), ("b", "p2", 1), ("c", "q", 1)])
    with pytest.raises(BadFolds, match="patient p is in two folds"):
        check_folds(read_folds(path, COHORT), fold=0)


def test_patients_called_na_are_patients(tmp_path: Path) -> None:
    path = folds_csv(tmp_path / "f.csv", [("a", "NA", 0), ("b", "NA", 1), ("c", "null", 1)])
    with pytest.raises(BadFolds, match="patient NA is in two folds"):
        read_folds(path, COHORT)


def test_an_empty_part_is_refused() -> None:
    one = COHORT.assign(fold=0)
    with pytest.raises(BadFolds, match="no slice is left to train on"):
        check_folds(one, fold=0)
    with pytest.raises(BadFolds, match="fold 3 has no slice to validate with"):
        check_folds(one, fold=3)


def test_a_missing_file_or_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFolds, match="no table can be read"):
        read_folds(tmp_path / "none.csv", COHORT)
    (tmp_path / "f.csv").write_text("image,fold\na,0\n")
    with pytest.raises(BadFolds, match="it lacks image_id, patient_id; its columns are image, fold;"):
        read_folds(tmp_path / "f.csv", COHORT)


def test_patients_who_share_pixels_are_dealt_together() -> None:
    cohort = images(60)
    owners = cohort["patient_id"].to_numpy()
    groups = np.full(len(cohort), -1)
    for number, some in enumerate((["p0", "p7"], ["p7", "p31"], ["p50", "p51"])):  # p0, p7 and p31 by way of p7
        for patient in some:
            groups[np.flatnonzero(owners == patient)[number]] = 10 * number
    for seed in range(10):
        table = assign_folds(cohort, folds=5, test_share=0.1, seed=seed, groups=groups)
        fold = table.drop_duplicates("patient_id").set_index("patient_id")["fold"]
        assert fold["p0"] == fold["p7"] == fold["p31"]
        assert fold["p50"] == fold["p51"]
        assert sorted(fold.unique()) == [-1, 0, 1, 2, 3, 4]


def test_without_shared_pixels_folds_are_what_they_were() -> None:
    cohort = images(60)
    alone = assign_folds(cohort, folds=5, test_share=0.0, seed=3)
    none = np.full(len(cohort), -1)
    assert alone.equals(assign_folds(cohort, folds=5, test_share=0.0, seed=3, groups=none))


def test_folds_that_part_the_same_pixels_of_two_patients_are_refused_with_both_images() -> None:
    folds = pd.DataFrame({"image_id": list("abcd"), "patient_id": list("pqrs"), "fold": [0, 1, 1, TEST]})
    check_folds(folds, fold=0, groups=np.array([-1, 5, 5, -1]))
    said = r"folds: a of patient p in fold 0 and c of patient r in fold 1 are the same pixels \(2 such groups\)"
    with pytest.raises(BadFolds, match=said):
        check_folds(folds, fold=0, groups=np.array([7, 5, 7, 5]))
