"""A multirun: one parent, its children, and a state that is true for all of them."""

import os
import subprocess
import sys

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from ich.report.tracking import (
    DIGEST_TAG,
    PARENT_VARIABLE,
    SWEPT_TAG,
    JobsFailed,
    finished_child,
    open_run,
    open_sweep,
    read_children,
)
from ich.report.tracking.process import PROCESS_TAG, this_process

CHILD = "from ich.report.tracking import open_run\nwith open_run(name='child', params={'lr': 1}, tags={}): pass\n"


def child(**params: object) -> "open_run":
    return open_run(name="child", params=params, tags={})


def children(client: MlflowClient, parent_id: str) -> list[Run]:
    experiment = client.get_run(parent_id).info.experiment_id
    return list(client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent_id}'"))


def test_runs_opened_in_a_sweep_are_its_children_and_later_ones_are_not(client: MlflowClient) -> None:
    with open_sweep(["-m", "lr=1,2"]) as parent:
        for lr in (1, 2):
            with child(lr=lr):
                pass
    with child() as later:
        pass
    assert sorted(run.data.params["lr"] for run in children(client, parent.id)) == ["1", "2"]
    assert client.get_run(parent.id).info.status == "FINISHED"
    assert "mlflow.parentRunId" not in client.get_run(parent.id).data.tags
    assert "mlflow.parentRunId" not in client.get_run(later.id).data.tags


def test_a_run_of_another_process_is_a_child_too(client: MlflowClient) -> None:
    with open_sweep(["-m", "lr=1"]) as parent:
        subprocess.run([sys.executable, "-c", CHILD], check=True)
    assert [run.info.status for run in children(client, parent.id)] == ["FINISHED"]


def test_a_sweep_is_named_after_what_is_swept(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/train.py"])
    with open_sweep(["-m", "experiment=demo", "optimizer.lr=1e-4,3e-4", "seed=0,1"]) as parent:
        pass
    run = client.get_run(parent.id)
    assert run.info.run_name == "sweep optimizer.lr=1e-4,3e-4 seed=0,1"
    assert run.data.tags["mlflow.source.name"] == "train.py -m experiment=demo optimizer.lr=1e-4,3e-4 seed=0,1"


def test_a_failed_child_fails_its_parent(client: MlflowClient) -> None:
    with pytest.raises(ValueError, match="no slices"), open_sweep(["-m", "seed=0,1"]) as parent, child():
        raise ValueError("no slices")
    failed = client.get_run(parent.id)
    assert (failed.info.status, failed.data.tags["failure"]) == ("FAILED", "ValueError: no slices")


def test_a_failure_that_the_launcher_kept_to_itself_fails_the_parent(client: MlflowClient) -> None:
    with pytest.raises(JobsFailed) as told, open_sweep(["-m", "seed=0,1"]) as parent:  # noqa: PT012
        with child():
            pass
        with pytest.raises(ValueError, match="lost"), child() as failed:
            raise ValueError("lost")
    assert str(told.value) == f"1 of 2 jobs did not finish: {failed.id}"
    assert client.get_run(parent.id).info.status == "FAILED"


def test_a_child_whose_process_vanished_is_killed_and_fails_its_parent(client: MlflowClient) -> None:
    vanish = CHILD.replace("pass", "import os; os._exit(9)")
    with pytest.raises(JobsFailed), open_sweep(["-m", "seed=0"]) as parent:
        subprocess.run([sys.executable, "-c", vanish], check=False)
    assert [run.info.status for run in children(client, parent.id)] == ["KILLED"]
    assert client.get_run(parent.id).info.status == "FAILED"


def test_ctrl_c_kills_child_and_parent(client: MlflowClient) -> None:
    with pytest.raises(KeyboardInterrupt), open_sweep(["-m", "seed=3"]) as parent, child():
        raise KeyboardInterrupt
    assert client.get_run(parent.id).info.status == "KILLED"
    assert [run.info.status for run in children(client, parent.id)] == ["KILLED"]


def test_the_environment_is_as_before_after_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_sweep(["-m"]):
        pass
    assert PARENT_VARIABLE not in os.environ
    monkeypatch.setenv(PARENT_VARIABLE, "outer")
    with open_sweep(["-m"]) as parent:
        assert os.environ[PARENT_VARIABLE] == parent.id
    assert os.environ[PARENT_VARIABLE] == "outer"


def job(digest: str, score: float | None = None) -> "open_run":
    return open_run(name=digest, params={}, tags={DIGEST_TAG: digest, f"{SWEPT_TAG}lr": digest})


def test_a_sweep_that_was_stopped_goes_on_where_it_was(client: MlflowClient) -> None:
    command = ["-m", "lr=1,2,3"]
    with pytest.raises(KeyboardInterrupt), open_sweep(command) as stopped:  # noqa: PT012
        with job("1") as first:
            first.log_metrics({"val/weighted_log_loss": 0.3}, 0)
        with job("2"):
            raise KeyboardInterrupt
    with open_sweep(command) as parent:
        assert parent.id == stopped.id
        assert client.get_run(parent.id).info.status == "RUNNING"
        assert finished_child("1") == first.id
        assert finished_child("2") is None
        for digest in ("2", "3"):
            with job(digest) as later:
                later.log_metrics({"val/weighted_log_loss": 0.1 + float(digest)}, 0)
                later.log_metrics({"val/weighted_log_loss": 0.2, "val/auc/any": 0.9}, 1)
                later.log_metrics({"val/weighted_log_loss": 0.4, "val/auc/any": 0.8}, 2)
    assert client.get_run(parent.id).info.status == "FINISHED"
    read = read_children(parent.id, monitor="val/weighted_log_loss", names=["val/weighted_log_loss", "val/auc/any"])
    assert [child.swept for child in read] == [{"lr": "1"}, {"lr": "2"}, {"lr": "3"}]
    assert [child.state for child in read] == ["FINISHED"] * 3
    assert read[2].metrics == {"val/weighted_log_loss": 0.2, "val/auc/any": 0.9}
    assert (read[0].epoch, read[2].epoch) == (0, 1)


def test_a_finished_sweep_and_another_command_begin_anew(client: MlflowClient) -> None:
    with open_sweep(["-m", "lr=7,8"]) as finished:
        pass
    with pytest.raises(KeyboardInterrupt), open_sweep(["-m", "lr=7,9"]) as stopped:
        raise KeyboardInterrupt
    with open_sweep(["-m", "lr=7,8"]) as again:
        assert again.id not in (finished.id, stopped.id)


def test_a_sweep_whose_process_lives_is_left_alone_and_one_that_died_is_not(client: MlflowClient) -> None:
    command = ["-m", "lr=4,5"]
    with open_sweep(command) as open_one, open_sweep(command) as another:
        assert another.id != open_one.id
    died = client.create_run(client.get_run(another.id).info.experiment_id, tags=client.get_run(another.id).data.tags)
    client.set_tag(died.info.run_id, PROCESS_TAG, this_process().replace(f" {os.getpid()} ", " 999999999 "))
    with open_sweep(command) as parent:
        assert parent.id == died.info.run_id
