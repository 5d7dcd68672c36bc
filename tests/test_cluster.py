"""A sweep whose jobs are processes of their own, by submitit's local executor, as a cluster's are."""

import os
import signal
import subprocess
import time

import pandas as pd
import pytest
from mlflow.entities import Run

from tests.project import SMALL, Project, Trained

pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="the extra `cluster` is not installed")
pytestmark = pytest.mark.slow

LAUNCHER = "hydra/launcher=submitit_local"
LONG = ("train.py", "-m", LAUNCHER, *SMALL, "trainer.max_epochs=1,60")
"""A job that ends at once and one that does not."""


def parents(project: Project) -> list[Run]:
    return [run for run in project.runs() if "mlflow.parentRunId" not in run.data.tags]


def children(project: Project, parent_id: str) -> dict[str, Run]:
    """The newest run of each number of epochs, or of each learning rate."""
    found = reversed(project.runs(f"tags.mlflow.parentRunId = '{parent_id}'"))
    return {next(value for name, value in run.data.tags.items() if "swept." in name): run for run in found}


def number(run: Run) -> int:
    return int(run.data.tags["process"].split()[-2])


def wait_until_one_is_done(project: Project, sweep: subprocess.Popen[bytes], before: set[str]) -> dict[str, Run]:
    """One job has finished, the other is beyond its second epoch."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and sweep.poll() is None:
        time.sleep(0.5)
        for parent in parents(project):
            jobs = children(project, parent.info.run_id) if parent.info.run_id not in before else {}
            if len(jobs) == 2 and jobs["1"].info.status == "FINISHED":
                history = project.client.get_metric_history(jobs["60"].info.run_id, "val/weighted_log_loss")
                if len(history) > 1:
                    return jobs
    sweep.kill()
    sweep.wait()
    raise AssertionError("no job finished while the other ran")


def test_jobs_are_processes_under_one_parent(project: Project, trained: Trained) -> None:
    project.run("train.py", "-m", LAUNCHER, *SMALL, "optimizer.lr=1e-4,1e-3")
    parent = parents(project)[0]
    jobs = children(project, parent.info.run_id)
    assert sorted(jobs) == ["0.0001", "0.001"]
    assert {run.info.status for run in [parent, *jobs.values()]} == {"FINISHED"}
    assert len({number(run) for run in [parent, *jobs.values()]}) == 3
    alone = jobs["0.001"].data.tags["mlflow.source.name"]
    assert alone == " ".join(["train.py", *SMALL, "optimizer.lr=0.001"]).replace("=false", "=False")
    table = pd.read_csv(project.artifact(parent, "sweep.csv"))
    assert table["val/weighted_log_loss"].notna().all()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_sweep_that_is_killed_halfway_passes_over_what_has_finished(
    project: Project, trained: Trained, sent: signal.Signals
) -> None:
    before = {run.info.run_id for run in parents(project)}
    words = (*LONG, f"seed={sent}")
    sweep = subprocess.Popen(project.command(*words), cwd=project.root.parent, stdout=subprocess.DEVNULL)
    jobs = wait_until_one_is_done(project, sweep, before)
    os.kill(sweep.pid, sent)
    assert sweep.wait(timeout=120) == (143 if sent == signal.SIGTERM else -9)
    cut, parent_id = jobs["60"].info.run_id, jobs["1"].data.tags["mlflow.parentRunId"]
    if sent == signal.SIGKILL:  # the job is left to itself
        refused = project.run(*words, code=1)
        assert f"run {cut} in process {number(jobs['60'])}" in refused.stderr
        os.kill(number(jobs["60"]), signal.SIGTERM)
        while project.client.get_run(cut).info.status == "RUNNING":
            time.sleep(0.5)
    killed = project.client.get_run(cut)
    assert killed.info.status == "KILLED"
    assert project.artifact(killed, "checkpoints/last.ckpt").is_file()
    project.run(*words)
    again = children(project, parent_id)
    assert project.client.get_run(parent_id).info.status == "FINISHED"
    assert again["1"].info.run_id == jobs["1"].info.run_id
    assert again["60"].info.run_id != cut
    assert again["60"].info.status == "FINISHED"
