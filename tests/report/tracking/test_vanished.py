"""Runs whose process is gone are KILLED; those of a living process, another machine or another time are left alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from ich.report.rescue import rescue, rescue_others, run_folder
from ich.report.tracking import VANISHED, open_run, vanished_runs
from ich.report.tracking.process import PROCESS_TAG, is_gone, number_of, this_process

HELD_OPEN = """
import time
from ich.report.tracking import open_run
with open_run(name='held', params={{'data.cache': '{cache}'}}, tags={{}}) as run:
    print(run.id, flush=True)
    time.sleep(60)
"""
ME, MY_START = f" {os.getpid()} ", this_process().rpartition(" ")[2]


@pytest.fixture
def killed(tmp_path: Path) -> str:
    """A run whose process was killed by SIGKILL; its id."""
    door = HELD_OPEN.format(cache=tmp_path)
    with subprocess.Popen([sys.executable, "-c", door], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        process.send_signal(signal.SIGKILL)
    return run_id


def leave(cache: Path, run_id: str) -> Path:
    """What a training leaves aside."""
    folder = run_folder(cache, run_id)
    (folder / "predictions").mkdir(parents=True)
    for file in ("last.ckpt", "predictions/val.csv"):
        (folder / file).write_text(run_id)
    return folder


def test_a_killed_process_s_run_is_killed_and_has_what_it_left(
    client: MlflowClient, killed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = leave(tmp_path, killed)
    with open_run(name="lives", params={"data.cache": tmp_path}, tags={}) as living:
        leave(tmp_path, living.id)
        rescue()
        assert client.get_run(living.id).info.status == "RUNNING"
        assert not client.list_artifacts(living.id)
    run = client.get_run(killed)
    assert run.info.status == "KILLED"
    assert run.data.tags["failure"] == VANISHED
    assert capsys.readouterr().out == f"Note: run {killed} is KILLED in the record: {VANISHED}\n"
    copy = Path(client.download_artifacts(killed, "", str(tmp_path)))
    for file in ("checkpoints/last.ckpt", "predictions/val.csv"):
        assert (copy / file).read_text() == killed
    assert folder.is_dir()  # the run can go on from there
    assert not [*vanished_runs()]


def test_a_rescue_that_breaks_off_is_done_again(client: MlflowClient, killed: str, tmp_path: Path) -> None:
    last = leave(tmp_path, killed) / "last.ckpt"
    last.unlink()
    last.symlink_to("nowhere")  # no file that can be copied
    with pytest.raises(OSError, match=r"last\.ckpt"):
        rescue()
    assert client.get_run(killed).info.status == "RUNNING"
    rescue_others()
    last.unlink()
    rescue()
    assert client.get_run(killed).info.status == "KILLED"


@pytest.mark.parametrize(
    ("process", "number", "gone"),
    [
        (this_process(), os.getpid(), False),
        (this_process().replace(ME, " 999999999 "), None, True),
        (this_process().replace(MY_START, "17"), None, True),  # the number was given to another process
        (f"elsewhere {os.getpid()} 17", None, False),
        (f"another-{this_process()}", None, False),
        ("", None, False),
    ],
    ids=["own", "no such process", "another with its number", "another machine", "another name space", "untold"],
)
def test_only_what_is_known_of_a_process_is_said(process: str, number: int | None, gone: bool) -> None:
    assert (number_of(process), is_gone(process)) == (number, gone)


def test_a_run_that_goes_on_is_its_new_process_s_and_forgets_why_it_ended(client: MlflowClient, killed: str) -> None:
    rescue()
    with open_run(name="", params={}, tags={}, again=killed):
        assert not [*vanished_runs()]
        run = client.get_run(killed)
        assert run.data.tags[PROCESS_TAG] == this_process()
        assert "failure" not in run.data.tags
    assert client.get_run(killed).info.status == "FINISHED"
