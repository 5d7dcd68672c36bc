"""Lightning's metrics into a run, through a real trainer."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from ich.report.lightning_logger import RunLogger

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning"),  # inside Lightning
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
]


class ARun:
    """Remembers what it was told."""

    id = "abc"

    def __init__(self) -> None:
        self.logged: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        self.logged.append((epoch, dict(metrics)))


class Net(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.save_hyperparameters({"lr": 1})
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.layer(batch).sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/score", torch.tensor(self.current_epoch + 0.5))

    def on_train_epoch_end(self) -> None:
        self.log("train/score", torch.tensor(self.current_epoch + 0.25))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ARun:
    """Two epochs of five steps, then a validation alone."""
    run, data = ARun(), DataLoader(torch.zeros(5, 1))
    folder: Path = tmp_path_factory.mktemp("trainer")
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=RunLogger(run), enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(Net(), data, data)
    trainer.validate(Net(), data, verbose=False)
    return run


def test_metrics_are_logged_by_epoch_and_not_by_step(run: ARun) -> None:
    assert [(epoch, metrics) for epoch, metrics in run.logged if "train/score" in metrics] == [
        (0, {"train/score": 0.25}), (1, {"train/score": 1.25})
    ]  # fmt: skip
    assert (0, {"val/score": 0.5}) in run.logged
    assert (1, {"val/score": 1.5}) in run.logged


def test_nothing_else_is_logged(run: ARun) -> None:
    assert {name for _, metrics in run.logged for name in metrics} == {"train/score", "val/score"}


def test_the_logger_names_its_run() -> None:
    logger = RunLogger(ARun())
    assert (logger.name, logger.version) == ("ich", "abc")


def test_what_a_run_holds_is_not_logged_again() -> None:
    run = ARun()
    logger = RunLogger(run, {("val/score", 1): 1, ("val/calibrated/brier", 1): 1})
    logger.log_metrics({"val/score": 0.5, "epoch": 0})
    logger.log_metrics({"val/score": 0.4, "epoch": 1})
    logger.log_once({"val/calibrated/brier": 0.1, "val/calibrated/log_loss": 0.2}, 1)
    told = [(epoch, metrics) for epoch, metrics in run.logged if metrics]
    assert told == [(0, {"val/score": 0.5}), (1, {"val/calibrated/log_loss": 0.2})]
    assert logger.history == {"val/score": {0: 0.5, 1: 0.4}}
