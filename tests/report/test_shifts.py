"""The network at shifts of HU: the run's own answers at 0, and those to files of a scanner that has drifted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

from ich import metric
from ich.predictor import Predictor, Read
from ich.report.evaluation import Cases, read_predictions
from ich.report.evaluation.level import Settings, evaluate
from ich.report.evaluation.shifts import by_shift, shift_table
from ich.report.shifts import OtherSlices, predict_shifted, shift_hu
from tests.project import Project, Trained
from tests.report.test_evaluation import random_cases


def test_hu_move_within_what_is_kept_and_padding_stays() -> None:
    hu = torch.tensor([-1024, -1023, -1000, 0, 40, 3060, 3071], dtype=torch.int16)
    assert shift_hu(hu, 30).tolist() == [-1024, -993, -970, 30, 70, 3071, 3071]
    assert shift_hu(hu, -30).tolist() == [-1024, -1024, -1024, -30, 10, 3030, 3041]
    assert shift_hu(hu, 30).dtype == torch.int16


@pytest.fixture(scope="module")
def checkpoint(project: Project, trained: Trained) -> Path:
    return project.artifact(trained.run, "checkpoints/best.ckpt")


@pytest.fixture(scope="module")
def cases(project: Project, trained: Trained) -> Cases:
    return read_predictions(project.artifact(trained.run, "predictions/val.csv"))


@pytest.fixture(scope="module")
def shifted(checkpoint: Path, cases: Cases) -> dict[int, Cases]:
    return dict(predict_shifted(checkpoint, cases, [-25, 0, 25], test=False))


def test_without_a_shift_the_answers_are_those_of_the_run(cases: Cases, shifted: dict[int, Cases]) -> None:
    assert np.abs(shifted[0].probabilities - cases.probabilities).max() < 1e-6
    for one in shifted.values():
        assert one.ids.tolist() == cases.ids.tolist()
        assert (one.positive == cases.positive).all()


@pytest.mark.parametrize("shift", [-25, 25])
def test_a_shift_is_what_files_of_a_drifted_scanner_give(
    project: Project, checkpoint: Path, shifted: dict[int, Cases], tmp_path: Path, shift: int
) -> None:
    """The same files with another RescaleIntercept; their head may be found elsewhere by a pixel or so."""
    predictor = Predictor.load(checkpoint, "cpu")
    ours = shifted[shift]
    files = []
    for image in ours.ids:
        read = pydicom.dcmread(project.root / "cache" / "phantom" / "latest" / f"{image}.dcm")
        read.RescaleIntercept = read.RescaleIntercept + shift
        files.append(tmp_path / f"{image}.dcm")
        read.save_as(files[-1])
    stacks = [one.hu for file in files for one in predictor.read([file]) if isinstance(one, Read)]
    with torch.inference_mode():
        logits = predictor.classifier(torch.from_numpy(np.stack(stacks)))
    apart = np.abs(metric.probabilities(logits.numpy()) - ours.probabilities).max(axis=1)
    moved = np.abs(shifted[0].probabilities - ours.probabilities).max(axis=1)
    assert np.median(apart) < 0.02 * np.median(moved)
    assert apart.mean() < 0.1 * moved.mean()


def test_other_slices_than_the_runs_are_refused(checkpoint: Path, cases: Cases) -> None:
    other = replace(cases, ids=np.array([*cases.ids[:-1], "ID_zzz"]))
    with pytest.raises(OtherSlices, match=r"differ in 2 images, such as ID_.*; shifts= needs the slices that the run"):
        predict_shifted(checkpoint, other, [0], test=False)


def test_changes_are_paired_and_intervals_are_there() -> None:
    cases = random_cases(30)
    few = Settings(resamples=100)
    worse = replace(cases, probabilities=0.5 * cases.probabilities + 0.25)
    sets = by_shift(evaluate(cases, few), {10: worse, 0: cases, -10: cases}, few)
    assert [one.name for one in sets] == ["-10", "0", "+10"]
    table = shift_table(sets).set_index(["shift_hu", "label"])
    same = table.loc[("-10", "all")]
    assert same[["log_loss_change", "log_loss_change_low", "log_loss_change_high"]].tolist() == [0, 0, 0]
    row = table.loc[("+10", "all")]
    assert row["log_loss_change"] == pytest.approx(row["log_loss"] - table.loc[("0", "all"), "log_loss"], rel=1e-12)
    assert 0 < row["log_loss_change_low"] < row["log_loss_change"] < row["log_loss_change_high"]
    assert row["log_loss_change_high"] - row["log_loss_change_low"] < row["log_loss_high"] - row["log_loss_low"]
    assert table.loc[("+10", "any"), "auc"] == pytest.approx(table.loc[("0", "any"), "auc"], abs=1e-12)
