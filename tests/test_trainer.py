"""Where a learner trains; what this machine lacks is refused in words."""

import sys

import pytest
import torch

from ich.trainer import JobFailed, TrainerSettings, run_as_own_process

NO_GPU = not torch.cuda.is_available()


@pytest.mark.skipif(not NO_GPU, reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no GPU that torch can use; take trainer=cpu or trainer=auto"):
        TrainerSettings(accelerator="gpu")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has an Apple GPU")
def test_an_apple_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no Apple GPU"):
        TrainerSettings(accelerator="mps")


@pytest.mark.skipif(not NO_GPU, reason="this machine has a GPU")
def test_auto_is_one_process_where_there_is_no_gpu() -> None:
    assert TrainerSettings().num_processes == 1


def test_devices_on_the_cpu_are_processes() -> None:
    assert TrainerSettings(accelerator="cpu", devices=3, strategy="ddp").num_processes == 3


def test_a_failed_job_is_told_with_its_exit_code() -> None:
    with pytest.raises(JobFailed, match="exit code 7"):
        run_as_own_process([sys.executable, "-c", "raise SystemExit(7)"])
