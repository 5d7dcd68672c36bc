"""Two processes, however they are started, leave one run."""

import subprocess
import sys

import pytest

from tests.project import SMALL, Project

TWO = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")


@pytest.mark.slow
def test_torchrun_leaves_one_run_and_one_folder(project: Project) -> None:
    runs = len(project.runs())
    folders = {*(project.root / "outputs").glob("*/*")}
    command = [*TORCHRUN, str(project.root / "train.py"), *SMALL, *TWO, "trainer.max_epochs=1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert len(project.runs()) == runs + 1
    assert project.newest().info.status == "FINISHED"
    assert len({*(project.root / "outputs").glob("*/*")} - folders) == 1
    assert [*(project.root / "outputs").glob("*.log")] == []
    assert [*(project.root / "cache" / "runs").glob("*/")] == []  # a finished run's goes
