"""Runs whose process is gone are KILLED; those of a living process, another machine or another time are left alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from ich.report.rescue import rescue
from ich.report.tracking import end_vanished, open_run
from ich.report.tracking.process import PROCESS_TAG, is_gone, this_process

HELD_OPEN = """
import time
from ich.report.tracking import open_run
with open_run(name='held', params={}, tags={}) as run:
    print(run.id, flush=True)
    time.sleep(60)
"""
ME, MY_START = f" {os.getpid()} ", this_process().rpartition(" ")[2]


@pytest.fixture
def killed() -> str:
    """A run whose process was killed by SIGKILL; its id."""
    with subprocess.Popen([sys.executable, "-c", HELD_OPEN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        process.send_signal(signal.SIGKILL)
    return run_id


def test_a_run_whose_process_was_killed_is_killed(client: MlflowClient, killed: str) -> None:
    with open_run(name="lives", params={}, tags={}) as living:
        assert client.get_run(killed).info.status == "RUNNING"
        assert end_vanished() == [killed]
        assert client.get_run(living.id).info.status == "RUNNING"
    run = client.get_run(killed)
    assert run.info.status == "KILLED"
    assert run.data.tags["failure"] == "its process ended without a word: killed, or out of memory"
    assert end_vanished() == []


@pytest.mark.parametrize(
    ("process", "gone"),
    [
        (this_process(), False),
        (this_process().replace(ME, " 999999999 "), True),
        (this_process().replace(MY_START, "17"), True),  # the number was given to another process
        (f"elsewhere {os.getpid()} 17", False),
        (f"another-{this_process()}", False),
        ("", False),
    ],
)
def test_only_what_is_known_to_be_gone_is_gone(process: str, gone: bool) -> None:
    assert is_gone(process) is gone


def test_what_a_killed_process_left_aside_comes_into_its_run(client: MlflowClient, killed: str, tmp_path: Path) -> None:
    with open_run(name="lives", params={}, tags={}) as living:
        for name in (killed, living.id, "0123"):
            for file in ("last.ckpt", "predictions/val.csv"):
                (tmp_path / "runs" / name / file).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "runs" / name / file).write_text(name)
        rescue(tmp_path)
        assert sorted(folder.name for folder in (tmp_path / "runs").iterdir()) == sorted([living.id, "0123"])
    assert client.get_run(killed).info.status == "KILLED"
    folder = Path(client.download_artifacts(killed, "", str(tmp_path)))
    assert (folder / "checkpoints" / "last.ckpt").read_text() == killed
    assert (folder / "predictions" / "val.csv").read_text() == killed
    assert PROCESS_TAG in client.get_run(killed).data.tags
