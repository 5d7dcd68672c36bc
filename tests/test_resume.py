"""train.py resume=…: the same run goes on with its own configuration, or is refused in words."""

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

from tests.project import SMALL, Project, Trained


def test_a_finished_run_says_so(project: Project, trained: Trained) -> None:
    before = len(project.runs())
    done = project.run("train.py", f"resume={trained.checkpoint}")
    assert f"run {trained.run.info.run_id} has finished; nothing is left to do" in done.stdout
    assert len(project.runs()) == before


def test_a_changed_key_is_refused_with_both_values(project: Project, trained: Trained) -> None:
    done = project.run(
        "train.py", "optimizer.lr=1e-4", "data.fold=1", "trainer.max_epochs=1", f"resume={trained.checkpoint}", code=1
    )
    for said in ("optimizer.lr was 0.003, here 0.0001", "data.fold was 0, here 1", "trainer.max_epochs was 2, here 1"):
        assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert project.client.get_run(trained.run.info.run_id).info.status == "FINISHED"


def test_a_finished_run_goes_on_for_more_epochs_and_on_no_other_data(project: Project, tmp_path: Path) -> None:
    project.run("train.py", *SMALL, "trainer.max_epochs=1", "scheduler=constant", "seed=8", "system_metrics=true")
    run_id, before = project.newest().info.run_id, len(project.runs())
    longer = (f"resume=runs:/{run_id}", "trainer.max_epochs=2")
    shutil.copytree(project.root / "cache" / "phantom", tmp_path / "phantom", symlinks=True)
    for cohort in (tmp_path / "phantom").glob("*/"):
        next(cohort.rglob("*.dcm")).unlink()
    done = project.run("train.py", *longer, f"data.cache={tmp_path}", code=1)
    assert "the run saw other data: cohort was" in done.stderr
    assert "Traceback" not in done.stderr
    assert project.client.get_run(run_id).info.status == "FINISHED"  # as it was
    project.run("train.py", *longer)
    assert len(project.runs()) == before
    assert project.client.get_run(run_id).info.status == "FINISHED"
    for name in ("train/loss", "val/weighted_log_loss"):
        assert [point.step for point in project.client.get_metric_history(run_id, name)] == [0, 1]
    samples = project.client.get_metric_history(run_id, "system/cpu_utilization_percentage")
    assert [point.step for point in samples] == [*range(len(samples))]  # counted on
    assert len(samples) >= 3


def test_a_scheduler_that_was_laid_out_for_fewer_epochs_is_refused(project: Project, trained: Trained) -> None:
    before = project.artifact(trained.run, "config.yaml").read_text()
    done = project.run("train.py", f"resume={trained.checkpoint}", "trainer.max_epochs=3", code=1)
    assert "the scheduler was laid out for" in done.stderr
    assert project.artifact(trained.run, "config.yaml").read_text() == before
    assert project.client.get_run(trained.run.info.run_id).info.status == "FINISHED"
    assert not (project.root / "cache" / "runs" / trained.run.info.run_id).exists()


def test_a_best_checkpoint_is_no_save_to_go_on_from(project: Project, trained: Trained) -> None:
    best = project.artifact(trained.run, "checkpoints/best.ckpt")
    done = project.run("train.py", f"resume={best}", code=1)
    assert "no training can go on from it" in done.stderr


def test_a_terminated_training_goes_on_in_the_same_run(project: Project, trained: Trained) -> None:
    longer = [*SMALL, "trainer.max_epochs=6", "scheduler=constant", "seed=7"]
    before = {run.info.run_id for run in project.runs()}
    process = subprocess.Popen(project.command("train.py", *longer), stderr=subprocess.PIPE)
    run_id = wait_for_two_saves(project, process, before)
    os.kill(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said.decode()
    assert project.client.get_run(run_id).info.status == "KILLED"
    folder = project.root / "cache" / "runs" / run_id
    with (folder / "last.ckpt").open("r+b") as file:  # the one before it is found
        file.truncate(1000)
    done = project.run("train.py", *longer, "resume=auto")
    assert "the save before it is taken" in done.stdout
    run = project.client.get_run(run_id)
    assert {one.info.run_id for one in project.runs()} == before | {run_id}
    assert run.info.status == "FINISHED"
    assert not folder.exists()
    for name in ("train/loss", "val/weighted_log_loss"):
        steps = Counter(point.step for point in project.client.get_metric_history(run_id, name))
        assert steps == dict.fromkeys(range(6), 1), name


def wait_for_two_saves(project: Project, process: "subprocess.Popen[bytes]", before: set[str]) -> str:
    """The run that began."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for folder in Path(project.root / "cache" / "runs").glob("*"):
            if folder.name not in before and (folder / "previous.ckpt").exists():
                return folder.name
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"no two saves within two minutes: {process.communicate()}")
