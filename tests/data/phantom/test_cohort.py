"""A cohort on disk: RSNA 2019's layout, the same bytes for the same seed, whole or not there at all."""

import hashlib
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from ich.ct.dicom import read_header, read_slice
from ich.data.labels import read_labels
from ich.data.phantom import BadPhantom, draw_study, render, write_cohort
from ich.data.phantom.cohort import KAGGLE
from ich.data.phantom.difficulty import DIFFICULTIES
from ich.data.phantom.plan import plan_cohort
from ich.findings import FINDINGS, KINDS
from tests.project import REPOSITORY

PATIENTS, SLICES = 3, 6


def write(root: Path, *, seed: int = 0, workers: int = 2) -> Path:
    write_cohort(
        root, patients=PATIENTS, slices=SLICES, difficulty="base", noise=1.0, seed=seed, report=None, workers=workers
    )
    return root


def digests(root: Path) -> dict[str, str]:
    files = (file for file in root.rglob("*") if file.is_file())
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("phantom") / "cohort")


def test_the_folder_is_laid_out_as_kaggles(cohort: Path) -> None:
    assert [folder.name for folder in cohort.iterdir()] == ["rsna-intracranial-hemorrhage-detection"]
    assert sorted(file.name for file in (cohort / KAGGLE).iterdir()) == ["stage_2_train", "stage_2_train.csv"]
    files = list((cohort / KAGGLE / "stage_2_train").iterdir())
    assert len(files) == PATIENTS * SLICES
    assert all(read_header(file).image_id == file.stem for file in files)


def test_labels_are_the_challenges_table(cohort: Path) -> None:
    table = pd.read_csv(cohort / KAGGLE / "stage_2_train.csv")
    assert list(table.columns) == ["ID", "Label"]
    images = {file.stem for file in (cohort / KAGGLE / "stage_2_train").iterdir()}
    assert set(table["ID"]) == {f"{image}_{finding}" for image in images for finding in FINDINGS}
    assert set(table["Label"]) <= {0, 1}
    labels = read_labels(cohort / KAGGLE / "stage_2_train.csv")
    assert (labels["any"] == labels[list(KINDS)].max(axis=1)).all()
    assert 0 < labels["any"].sum() < len(labels)


def test_files_and_labels_are_those_of_the_rendered_slices(cohort: Path) -> None:
    labels = read_labels(cohort / KAGGLE / "stage_2_train.csv")
    for plan in plan_cohort(patients=PATIENTS, slices=SLICES, difficulty=DIFFICULTIES["base"], seed=0):
        count = len(plan.image_ids)
        study = draw_study(seed=0, number=plan.number, kinds=plan.kinds, slices=count, difficulty="base", noise=1.0)
        place = count // 2
        expected = render(study, place)
        image = plan.image_ids[place]
        found = read_slice(cohort / KAGGLE / "stage_2_train" / f"{image}.dcm")
        assert (found.hu == expected.hu)[100:-100, 100:-100].all()  # inside the circle
        assert tuple(kind for kind in KINDS if labels.loc[image, kind]) == expected.kinds
        assert found.header.patient_id == plan.patient_id


def test_a_study_is_one_series_in_steps_along_the_table(cohort: Path) -> None:
    headers = [read_header(file) for file in (cohort / KAGGLE / "stage_2_train").iterdir()]
    assert len({header.patient_id for header in headers}) == PATIENTS
    for patient in {header.patient_id for header in headers}:
        own = [header for header in headers if header.patient_id == patient]
        assert len({(header.study_id, header.series_id, header.spacing_mm, header.orientation) for header in own}) == 1
        heights = sorted(header.position_mm[2] for header in own if header.position_mm)
        steps = [above - below for below, above in pairwise(heights)]
        assert steps == pytest.approx([steps[0]] * len(steps), abs=1e-3)
        assert steps[0] > 15  # six slices for a whole head


def test_the_same_seed_gives_the_same_bytes_for_any_number_of_workers(cohort: Path, tmp_path: Path) -> None:
    assert digests(write(tmp_path / "one", workers=1)) == digests(cohort)


def test_another_seed_gives_other_bytes(cohort: Path, tmp_path: Path) -> None:
    ours, others = digests(cohort), digests(write(tmp_path / "other", seed=1))
    assert len(ours) == len(others)
    assert not set(ours.values()) & set(others.values())


def test_a_folder_that_exists_is_refused_and_left_alone(cohort: Path) -> None:
    before = digests(cohort)
    with pytest.raises(BadPhantom, match=r"cohort: it exists already; remove it or choose another folder"):
        write(cohort)
    assert digests(cohort) == before


def test_progress_counts_slices(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_cohort(
        tmp_path / "cohort",
        patients=2,
        slices=4,
        difficulty="demo",
        noise=1.0,
        seed=0,
        report=lambda done, total: told.append((done, total)),
        workers=1,
    )
    assert len(told) == 2
    assert told[-1] == (8, 8)


def test_a_stopped_writer_leaves_no_cohort(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    root = tmp_path / "cohort"
    with pytest.raises(KeyboardInterrupt):
        write_cohort(root, patients=2, slices=4, difficulty="base", noise=1.0, seed=0, report=stop, workers=1)
    assert not root.exists()


def test_a_killed_writer_leaves_no_cohort_and_no_worker_and_the_next_one_begins_anew(
    cohort: Path, tmp_path: Path
) -> None:
    root = tmp_path / "cohort"
    arguments = 'patients=4, slices=60, difficulty="base", noise=1.0, seed=0, workers=2'
    script = f"import pathlib, ich.data.phantom as p; p.write_cohort(pathlib.Path({str(root)!r}), {arguments})"
    writer = subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY)
    try:
        while not _written(tmp_path):
            assert writer.poll() is None, "the writer ended before it was killed"
            time.sleep(0.01)
    finally:
        writer.kill()
        writer.wait()
    assert not root.exists()
    assert _count_at_rest(tmp_path) < 30  # a worker left alone would finish its study of about 60
    assert digests(write(root)) == digests(cohort)
    assert [folder for folder in tmp_path.iterdir() if folder.is_dir()] == [root]


def _written(folder: Path) -> int:
    return sum(1 for _ in folder.rglob("*.dcm"))


def _count_at_rest(folder: Path) -> int:
    """How many slices there are when no more come."""
    before = -1
    while (now := _written(folder)) != before:
        before = now
        time.sleep(1)
    return now
