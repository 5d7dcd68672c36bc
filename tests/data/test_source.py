"""Where slices and labels come from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from ich.data.cohort import BadCohort
from ich.data.labels import write_labels
from ich.data.phantom.cohort import BadPhantom
from ich.data.source import Phantom, Repeat, Rsna, Table
from ich.findings import FINDINGS
from tests.data.dicom_files import write_slice


def silent(done: int, total: int) -> None:
    """No bar."""


def kaggle(root: Path, images: list[str], labelled: list[str]) -> Path:
    folder = root / "rsna-intracranial-hemorrhage-detection"
    for number, image in enumerate(images):
        write_slice(folder / "stage_2_train" / f"{image}.dcm", image=image, z=number)
    index = pd.Index(labelled, name="image_id")
    write_labels(folder / "stage_2_train.csv", pd.DataFrame(0, index=index, columns=list(FINDINGS)))
    return root


def test_images_without_a_label_and_labels_without_an_image_are_passed_over(tmp_path: Path) -> None:
    root = kaggle(tmp_path, ["ID_a", "ID_b"], ["ID_b", "ID_c"])
    cohort, labels = Rsna(root=root, cache=tmp_path, pseudonymize=False).load(spacing_required=True, report=silent)
    assert cohort.table["image_id"].tolist() == ["ID_b"]
    assert set(cohort.table["image_id"]) <= set(labels.index)


def test_a_folder_and_labels_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    root = kaggle(tmp_path, ["ID_a"], ["ID_z"])
    with pytest.raises(BadCohort, match="none of the 1 images has a label"):
        Rsna(root=root, cache=tmp_path, pseudonymize=False).load(spacing_required=True, report=silent)


def test_the_phantom_is_written_once_and_read_like_any_cohort(tmp_path: Path) -> None:
    source = Phantom(cache=tmp_path, patients=2, slices=4, difficulty="demo")
    cohort, labels = source.load(spacing_required=True, report=silent)
    before = {file: file.stat().st_mtime_ns for file in source.write().rglob("*.dcm")}
    assert len(before) == len(cohort.table) == len(labels)
    assert cohort.table["patient_id"].nunique() == 2
    assert {file: file.stat().st_mtime_ns for file in source.write().rglob("*.dcm")} == before


def test_what_stopped_runs_left_of_phantoms_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "phantom"
    for name in ("stopped", "running"):
        (folder / f"{name}.unfinished" / "stage_2_train").mkdir(parents=True)
    with FileLock(folder / "running.lock"):
        Phantom(cache=tmp_path, patients=2, slices=4, difficulty="demo").write()
    assert [path.name for path in folder.glob("*.unfinished")] == ["running.unfinished"]


def test_latest_leads_to_the_slices_of_the_phantom_asked_for_last(tmp_path: Path) -> None:
    link = tmp_path / "phantom" / "latest"
    one, other = (Phantom(cache=tmp_path, patients=2, slices=4, difficulty="demo", seed=seed) for seed in (0, 1))
    for source in (one, other, one):
        root = source.write()
        assert link.resolve() == root / "rsna-intracranial-hemorrhage-detection" / "stage_2_train"
        assert {file.suffix for file in link.rglob("*")} == {".dcm"}
    assert {path.suffix for path in link.parent.iterdir()} == {"", ".lock"}


def test_another_recipe_is_another_phantom_with_another_digest(tmp_path: Path) -> None:
    """A store goes by the digest: with equal ones, one phantom's slices would be served with the other's labels."""
    recipes: list[dict[str, Any]] = [{}, {"seed": 1}, {"noise": 0.5}, {"difficulty": "easy"}, {"faults": 1.0}]
    sources = [Phantom(cache=tmp_path, patients=2, slices=4, **recipe) for recipe in recipes]
    cohorts = [source.load(spacing_required=True, report=silent)[0] for source in sources]
    assert len({cohort.root for cohort in cohorts}) == len({cohort.digest for cohort in cohorts}) == 5
    assert cohorts[0].recipe in str(cohorts[0].root)
    assert replace(cohorts[0], recipe=cohorts[1].recipe).digest != cohorts[0].digest


def test_the_default_phantom_has_at_most_400_slices() -> None:
    source = Phantom(cache=Path())
    assert source.patients * source.slices <= 400


def test_a_fold_beyond_the_last_is_refused() -> None:
    with pytest.raises(ValueError, match="fold=5 is not one of 5 folds, which count from 0"):
        Table(root=Path(), cache=Path(), fold=5)


def test_repeats_follow_the_order_of_the_findings() -> None:
    assert np.array_equal(Repeat(epidural=2, any=3).times, [2, 1, 1, 1, 1, 3])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_under_a_phantom_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BadPhantom, match=r"cannot be written: No space left on device; data\.cache names"):
        Phantom(cache=tmp_path, patients=2, slices=4, difficulty="demo").write()
