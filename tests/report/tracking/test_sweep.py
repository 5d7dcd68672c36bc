"""A multirun: one parent, its children, and a state that is true for all of them."""

import os
import subprocess
import sys

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from ich.report.tracking import PARENT_VARIABLE, JobsFailed, open_run, open_sweep

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


def test_a_child_whose_process_vanished_is_failed(client: MlflowClient) -> None:
    vanish = CHILD.replace("pass", "import os; os._exit(9)")
    with pytest.raises(JobsFailed), open_sweep(["-m", "seed=0"]) as parent:
        subprocess.run([sys.executable, "-c", vanish], check=False)
    assert [run.info.status for run in children(client, parent.id)] == ["FAILED"]


def test_ctrl_c_kills_child_and_parent(client: MlflowClient) -> None:
    with pytest.raises(KeyboardInterrupt), open_sweep(["-m", "seed=0"]) as parent, child():
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
