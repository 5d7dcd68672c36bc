"""train.py as a user runs it: the run it leaves, what it prints, how it ends."""

import json
import os
import platform
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from ich.findings import FINDINGS
from ich.report.rescue import rescue, run_folder
from tests.project import SMALL, Project, Trained

KAGGLE_WEIGHTS = np.array([1, 1, 1, 1, 1, 2]) / 7


def independent_weighted_log_loss(table: pd.DataFrame) -> float:
    """The challenge's formula, spelled out anew from the columns of predictions/val.csv."""
    total = 0.0
    for weight, finding in zip(KAGGLE_WEIGHTS, FINDINGS, strict=True):
        p = table[f"p_{finding}"].clip(1e-15, 1 - 1e-15)
        y = table[finding]
        total += weight * -(y * np.log(p) + (1 - y) * np.log1p(-p)).mean()
    return total


def best_logged(project: Project, run_id: str, name: str) -> float:
    return min(metric.value for metric in project.client.get_metric_history(run_id, name))


def test_a_run_ends_finished_with_every_metric_by_epoch(project: Project, trained: Trained) -> None:
    assert trained.run.info.status == "FINISHED"
    for name in (
        "weighted_log_loss",
        "precision",
        "recall",
        "f1",
        "accuracy",
        "loss",
        "floor",
        "skill",
        "recall_micro",
    ):
        for stage in ("train", "val"):
            history = project.client.get_metric_history(trained.run.info.run_id, f"{stage}/{name}")
            assert [point.step for point in history] == [0, 1], f"{stage}/{name}"


def test_the_run_names_its_data_and_its_environment(project: Project, trained: Trained) -> None:
    (given,) = trained.run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("phantom", trained.run.data.tags["data_digest"])
    folds = pd.read_csv(project.artifact(trained.run, "folds.csv"))
    assert json.loads(given.dataset.profile)["slices"] == len(folds)
    packages = project.artifact(trained.run, "environment.txt").read_text().splitlines()
    assert f"torch=={torch.__version__}" in packages
    assert packages[0].startswith(f"# Python {platform.python_version()}")


def test_the_report_says_what_the_predictions_say_and_needs_no_network(project: Project, trained: Trained) -> None:
    folder = project.artifact(trained.run, "report")
    table = pd.read_csv(project.artifact(trained.run, "predictions/val.csv"))
    value, low, high = json.loads((folder / "evaluation.json").read_text())["val/weighted_log_loss"]
    assert value == pytest.approx(independent_weighted_log_loss(table), abs=1e-12)
    page = (folder / "report.html").read_text()
    assert f"{value:.3f}" in page
    assert low is None or f"{value:.3f} [{low:.3f}, {high:.3f}]" in page
    assert re.search(rf"^report: .*/{trained.run.info.run_id}/artifacts/report/report.html$", trained.printed, re.M)
    assert "not a medical device" in page
    assert f"{len(table)} slices" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def calibrated_by_hand(table: pd.DataFrame, stored: dict[str, list[float]]) -> pd.DataFrame:
    """A run's predictions as predict.py would give them: calibrated, and any no less than its largest kind."""
    names = [f"p_{finding}" for finding in FINDINGS]
    logits = np.log(table[names]) - np.log1p(-table[names])
    after = 1 / (1 + np.exp(-(logits / stored["temperature"] + stored["bias"])))
    after["p_any"] = after.max(axis=1)
    return table.assign(**after)


def test_the_best_checkpoint_is_calibrated_and_the_run_says_what_it_brings(project: Project, trained: Trained) -> None:
    best, last = (
        torch.load(project.artifact(trained.run, f"checkpoints/{name}.ckpt"), weights_only=True)
        for name in ("best", "last")
    )
    assert "calibration" not in last
    raw = pd.read_csv(project.artifact(trained.run, "predictions/val.csv"))
    after = calibrated_by_hand(raw, best["calibration"])
    score, logged = independent_weighted_log_loss(after), trained.run.data.metrics
    assert logged["val/calibrated/weighted_log_loss"] == pytest.approx(score, abs=1e-9)
    assert score < independent_weighted_log_loss(raw)
    errors = [((after[f"p_{finding}"] - after[finding]) ** 2).mean() for finding in FINDINGS]
    assert logged["val/calibrated/brier"] == pytest.approx(np.mean(errors), abs=1e-9)
    raised = calibrated_by_hand(raw, best["calibration"])["p_any"] > 1 / (
        1
        + (1 / raw["p_any"] - 1) ** (1 / best["calibration"]["temperature"][-1])
        * np.exp(-best["calibration"]["bias"][-1])
    ) * (1 + 1e-12)
    assert logged["val/calibrated/any_raised"] == raised.sum()
    folder = project.artifact(trained.run, "report")
    told = json.loads((folder / "calibration.json").read_text())
    assert told["temperature"] == best["calibration"]["temperature"]
    value, low, high = told["metrics"]["val/calibrated/weighted_log_loss"]
    assert value == pytest.approx(score, abs=1e-9)
    page = (folder / "report.html").read_text()
    assert f"{value:.3f}\n[{low:.3f}, {high:.3f}]" in page if low is not None else f"{value:.3f}" in page
    assert "the calibrated figures of those are optimistic" in page
    for name, error in ((name, value[0]) for name, value in told["metrics"].items() if "calibration_error" in name):
        assert logged[name] == pytest.approx(error, abs=1e-12)


def test_parameters_are_flat_and_complete(trained: Trained) -> None:
    params = trained.run.data.params
    assert params["optimizer.lr"] == "0.003"
    assert params["model.name"] == "test_byobnet"
    assert params["geometry.size"] == "96"
    assert params["data.patients"] == "6"


def test_the_run_holds_its_configuration(project: Project, trained: Trained) -> None:
    config = yaml.safe_load(project.artifact(trained.run, "config.yaml").read_text())
    assert config["trainer"]["max_epochs"] == 2
    assert config["scheduler"]["max_lr"] == config["optimizer"]["lr"] == 3e-3


def test_the_run_names_its_data_and_its_code(trained: Trained) -> None:
    assert len(trained.run.data.tags["data_digest"]) >= 16
    assert len(trained.run.data.tags["store_digest"]) >= 16


def test_no_patient_is_in_two_folds(project: Project, trained: Trained) -> None:
    folds = pd.read_csv(project.artifact(trained.run, "folds.csv"))
    assert list(folds.columns) == ["image_id", "patient_id", "fold"]
    assert folds.groupby("patient_id")["fold"].nunique().max() == 1
    assert folds["fold"].nunique() == 3


def test_the_logged_score_is_that_of_the_predictions(project: Project, trained: Trained) -> None:
    table = pd.read_csv(project.artifact(trained.run, "predictions/val.csv"))
    assert list(table.columns) == [
        "image_id", "study_id", "patient_id", *FINDINGS, *(f"p_{finding}" for finding in FINDINGS)
    ]  # fmt: skip
    logged = best_logged(project, trained.run.info.run_id, "val/weighted_log_loss")
    assert independent_weighted_log_loss(table) == pytest.approx(logged, abs=1e-7)  # best by float32


def test_best_and_last_checkpoints_are_kept_and_scratch_is_not(project: Project, trained: Trained) -> None:
    assert project.artifact(trained.run, "checkpoints/best.ckpt").is_file()
    assert project.artifact(trained.run, "checkpoints/last.ckpt").is_file()
    assert not run_folder(project.root / "cache", trained.run.info.run_id).exists()


def test_the_windows_are_printed_and_a_table_with_floors_and_the_way_to_the_runs(trained: Trained) -> None:
    assert "network: test_byobnet; windows: L40 W80" in trained.printed
    assert "weighted_log_loss" in trained.printed
    assert "floor" in trained.printed
    assert trained.run.info.run_id in trained.printed
    assert "make ui" in trained.printed or "mlflow ui" in trained.printed


def test_everything_is_written_beside_train_py(project: Project, trained: Trained) -> None:
    assert {"cache", "mlflow.db", "mlruns", "outputs"} <= {path.name for path in project.root.iterdir()}
    assert {path.name for path in project.root.parent.iterdir()} == {"project"}
    assert (project.root / "mlruns" / ".gitignore").read_text() == (project.root / "mlruns.gitignore").read_text()


def test_validation_alone_repeats_the_best_score(project: Project, trained: Trained) -> None:
    done = project.run("train.py", *SMALL, "fit=false", f"checkpoint={trained.checkpoint}")
    assert "\nvalidation of the network's own probabilities: " in done.stdout
    run = project.newest()
    again = run.data.metrics["val/weighted_log_loss"]
    assert again == pytest.approx(best_logged(project, trained.run.info.run_id, "val/weighted_log_loss"), abs=1e-7)
    assert not [name for name in run.data.metrics if name.startswith("train/")]
    assert project.artifact(run, "predictions/val.csv").is_file()


def test_the_same_seed_trains_the_same_network(project: Project, trained: Trained) -> None:
    project.run("train.py", *SMALL)
    again = project.newest()
    learned = {name: value for name, value in trained.run.data.metrics.items() if not name.startswith("system/")}
    assert again.data.metrics == learned
    assert len(trained.run.data.metrics) > len(learned)  # what the machine did, which a key turns off


def test_validation_without_a_checkpoint_is_refused(project: Project) -> None:
    done = project.run("train.py", *SMALL, "fit=false", code=2)
    assert "checkpoint: fit=false validates a checkpoint; give checkpoint=runs:/ID" in done.stderr


def test_weights_of_another_model_are_refused_in_words(project: Project, trained: Trained) -> None:
    done = project.run("train.py", *SMALL, "window=brain", f"checkpoint={trained.checkpoint}", code=1)
    assert "another model, window or context" in done.stderr
    other = project.run("train.py", *SMALL, "window=brain3", f"checkpoint={trained.checkpoint}", code=1)
    assert "another model, window or context" in other.stderr  # of the same shape, and still another window
    assert "Traceback" not in done.stderr


def test_a_folder_of_something_else_is_a_failed_run_without_a_traceback(project: Project, tmp_path: Path) -> None:
    done = project.run("train.py", "data=rsna", f"data.root={tmp_path}", code=1)
    assert str(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr
    assert project.newest().info.status == "FAILED"


@pytest.mark.parametrize(
    ("sent", "code"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)]
)
def test_a_stopped_training_is_killed_in_the_record_and_keeps_its_checkpoint(
    project: Project, trained: Trained, sent: signal.Signals, code: int
) -> None:
    before = {run.info.run_id for run in project.runs()}
    process = _start(project, "train.py", *SMALL, "trainer.max_epochs=1000")
    run_id = _wait_for_second_epoch(project, process, before)
    os.kill(process.pid, sent)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == code, printed.decode()
    assert f"goes on by: python train.py resume=runs:/{run_id}" in printed.decode()
    run = project.client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert project.artifact(run, "checkpoints/last.ckpt").is_file()


def _start(project: Project, *words: str) -> subprocess.Popen[bytes]:
    """A command that goes on beside the test."""
    return subprocess.Popen(project.command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _wait_for_second_epoch(project: Project, process: subprocess.Popen[bytes], before: set[str]) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for run in project.runs():
            history = project.client.get_metric_history(run.info.run_id, "val/weighted_log_loss")
            if run.info.run_id not in before and len(history) > 1:  # so the first epoch's checkpoint is written
                return run.info.run_id
        time.sleep(0.5)
    process.kill()
    raise AssertionError(f"no second epoch ended within two minutes: {process.communicate()[1].decode()}")


def test_a_sweep_is_one_parent_with_a_child_a_value(project: Project, trained: Trained) -> None:
    done = project.run("train.py", "-m", *SMALL, "trainer.max_epochs=1", "optimizer.lr=1e-4,3e-4,1e-3")
    parent = next(run for run in project.runs() if "mlflow.parentRunId" not in run.data.tags)
    children = project.runs(f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert parent.info.status == "FINISHED"
    assert [child.info.status for child in children] == ["FINISHED"] * 3
    assert sorted(float(child.data.params["optimizer.lr"]) for child in children) == [1e-4, 3e-4, 1e-3]
    assert all("val/weighted_log_loss" in child.data.metrics for child in children)
    assert {child.info.run_name for child in children} == {f"optimizer.lr={lr}" for lr in (0.0001, 0.0003, 0.001)}
    table = pd.read_csv(project.artifact(parent, "sweep.csv"))
    lowest = min(children, key=lambda child: best_logged(project, child.info.run_id, "val/weighted_log_loss"))
    assert sorted(table["optimizer.lr"]) == [1e-4, 3e-4, 1e-3]
    assert parent.data.tags["best_child"] == lowest.info.run_id
    told = [float(line.split()[0]) for line in done.stdout.splitlines() if "FINISHED" in line]
    assert told == table.sort_values("val/weighted_log_loss")["optimizer.lr"].tolist()
    assert f"best runs:/{lowest.info.run_id}; parent runs:/{parent.info.run_id};" in done.stdout
    assert parent.data.metrics["best/val/weighted_log_loss"] == table["val/weighted_log_loss"].min()
    assert project.artifact(parent, "sweep.svg").read_text().startswith("<?xml")


def test_a_sweep_with_a_failed_child_failed(project: Project, trained: Trained, tmp_path: Path) -> None:
    words = ("model=resnet50", "data=rsna", f"data.root={tmp_path}", "data.pseudonymize=false")
    project.run("train.py", "-m", *words, "seed=0,1", code=1)
    parent = next(run for run in project.runs() if "mlflow.parentRunId" not in run.data.tags)
    assert parent.info.status == "FAILED"
    assert str(tmp_path) in parent.data.tags["failure"]
    children = project.runs(f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert [child.info.status for child in children] == ["FAILED"] * 2
    assert all(str(tmp_path) in child.data.tags["failure"] for child in children)
    assert pd.read_csv(project.artifact(parent, "sweep.csv"))["state"].tolist() == ["FAILED"] * 2


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "state"), [(signal.SIGTERM, "KILLED"), (signal.SIGKILL, "RUNNING")])
def test_a_killed_sweep_and_its_job_are_killed_and_the_same_command_goes_on(
    project: Project, trained: Trained, sent: signal.Signals, state: str
) -> None:
    words = ("train.py", "-m", *SMALL, "trainer.max_epochs=12", f"seed=2,{3 + (sent == signal.SIGKILL)}")
    before = {run.info.run_id for run in project.runs()}
    process = _start(project, *words)
    first = _wait_for_second_epoch(project, process, before)
    second = _wait_for_second_epoch(project, process, {*before, first})
    os.kill(process.pid, sent)
    process.communicate(timeout=60)
    parent_id = project.client.get_run(second).data.tags["mlflow.parentRunId"]
    assert project.client.get_run(first).info.status == "FINISHED"
    for run_id in (second, parent_id):
        assert project.client.get_run(run_id).info.status == state
    if state == "KILLED":
        table = pd.read_csv(project.artifact(project.client.get_run(parent_id), "sweep.csv"))
        assert table["state"].tolist() == ["FINISHED", "KILLED"]
        assert table["val/weighted_log_loss"].notna().all()
    project.run(*words)
    killed, parent = project.client.get_run(second), project.client.get_run(parent_id)
    assert killed.info.status == "KILLED"
    assert killed.data.metrics["val/weighted_log_loss"] > 0
    assert project.artifact(killed, "checkpoints/last.ckpt").is_file()
    assert parent.info.status == "FINISHED"
    table = pd.read_csv(project.artifact(parent, "sweep.csv"))
    assert table["state"].tolist() == ["FINISHED"] * 2
    assert table["run"].tolist()[0] == first
    assert second not in table["run"].tolist()


def test_a_training_that_vanished_is_killed_with_its_metrics_and_its_last_checkpoint(
    project: Project, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {run.info.run_id for run in project.runs()}
    process = _start(project, "train.py", *SMALL, "trainer.max_epochs=1000")
    run_id = _wait_for_second_epoch(project, process, before)
    process.kill()
    process.communicate(timeout=60)
    assert project.client.get_run(run_id).info.status == "RUNNING"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.root / 'mlflow.db'}")
    rescue()  # as the next training does
    run = project.client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert len(project.client.get_metric_history(run_id, "val/weighted_log_loss")) > 1
    assert project.artifact(run, "checkpoints/last.ckpt").is_file()
    assert project.artifact(run, "predictions/val.csv").is_file()


@pytest.mark.slow
def test_a_sweep_over_two_processes_has_a_run_a_child(project: Project, trained: Trained) -> None:
    two = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
    project.run("train.py", "-m", *SMALL, *two, "trainer.max_epochs=1", "seed=0,1", "data.test_share=0.3")
    parent = next(run for run in project.runs() if "mlflow.parentRunId" not in run.data.tags)
    children = project.runs(f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert parent.info.status == "FINISHED"
    assert [child.info.status for child in children] == ["FINISHED"] * 2
    assert {"mean/val/weighted_log_loss", "spread/val/weighted_log_loss"} <= parent.data.metrics.keys()
    for child in children:  # patients whom no fold trains on, by the best checkpoint
        tested = pd.read_csv(project.artifact(child, "predictions/test.csv"))
        folds = pd.read_csv(project.artifact(child, "folds.csv"))
        assert set(tested["image_id"]) == set(folds["image_id"][folds["fold"] == -1])
        score = independent_weighted_log_loss(tested)
        assert child.data.metrics["test/weighted_log_loss"] == pytest.approx(score, abs=1e-12)
        stored = torch.load(project.artifact(child, "checkpoints/best.ckpt"), weights_only=True)["calibration"]
        score = independent_weighted_log_loss(calibrated_by_hand(tested, stored))
        assert child.data.metrics["test/calibrated/weighted_log_loss"] == pytest.approx(score, abs=1e-9)
