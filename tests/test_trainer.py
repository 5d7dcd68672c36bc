"""Where a learner trains; what this machine lacks is refused in words."""

import signal
import sys
from pathlib import Path
from types import FrameType

import pytest
import torch
from pytorch_lightning import Callback, LightningModule
from torch.utils.data import DataLoader

from ich.model.learner import MONITOR
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


def test_signals_stay_with_whoever_asked_for_them(tmp_path: Path) -> None:
    seen = []

    class Watch(Callback):
        def on_train_batch_end(self, *_: object) -> None:
            seen.append(signal.getsignal(signal.SIGTERM))

    def mine(number: int, frame: FrameType | None) -> None: ...

    before = signal.signal(signal.SIGTERM, mine)
    try:
        trainer = TrainerSettings(accelerator="cpu", max_epochs=1).create(
            folder=tmp_path, callbacks=[Watch()], logger=None
        )
        trainer.fit(Tiny(), DataLoader([torch.ones(1)]), DataLoader([torch.ones(1)]))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [mine]


class Tiny(LightningModule):
    """One weight."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.layer(batch).sum()

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.log(MONITOR, 1.0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_failed_job_is_told_with_its_exit_code() -> None:
    with pytest.raises(JobFailed, match="exit code 7"):
        run_as_own_process([sys.executable, "-c", "raise SystemExit(7)"])
