"""Save points from which a training goes on to the bit, and files that are written whole or not at all."""

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins.io import TorchCheckpointIO

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
"""The newest save, and the one before it, for when the newest is damaged."""


class WholeFiles(TorchCheckpointIO):
    """Writes beside, fsyncs, renames: Lightning's own goes through the system's temporary folder, maybe another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.name}.new")
        try:
            with aside.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            if path.name == LAST and path.exists():
                path.replace(path.with_name(PREVIOUS))
            aside.replace(path)
            _sync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
            raise


class Saves(Callback):
    """Saves `last.ckpt` before each epoch but the first, after the last, and in between every so many steps or minutes.

    In between means: after an optimizer step with no validation due, never inside an accumulation. Only there do
    Lightning's own counters bring a resumed training to the same next step.
    """

    def __init__(self, folder: Path, *, every_n_steps: int | None, every_minutes: float | None) -> None:
        self.path = folder / LAST
        self.every_n_steps = every_n_steps
        self.every_minutes = every_minutes
        self._step = 0
        self._time = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._step, self._time = trainer.global_step, time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch and not trainer.fit_loop.restarting:
            self._save_between_epochs(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loop = trainer.fit_loop.epoch_loop
        inside = loop._should_accumulate()  # also false after an epoch's last batch, which is left to the epoch's end
        if inside or batch_idx + 1 >= trainer.num_training_batches or not self._due(trainer):
            return
        self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save_between_epochs(trainer)

    def _due(self, trainer: Trainer) -> bool:
        if trainer.fit_loop.epoch_loop._should_check_val_fx(trainer.fit_loop._data_fetcher):
            return False
        steps = self.every_n_steps is not None and trainer.global_step - self._step >= self.every_n_steps
        late = self.every_minutes is not None and time.monotonic() - self._time >= 60 * self.every_minutes
        if trainer.world_size > 1:  # clocks differ, and every process takes part in a save
            late = bool(trainer.strategy.broadcast(late)) if self.every_minutes is not None else False
        return steps or late

    def _save_between_epochs(self, trainer: Trainer) -> None:
        """Lightning clears an epoch's counters when the next begins; saved before, it would skip that epoch."""
        loop = trainer.fit_loop.epoch_loop
        loop.batch_progress.reset_on_run()
        loop.scheduler_progress.reset_on_run()
        loop.automatic_optimization.optim_progress.reset_on_run()
        loop.val_loop.batch_progress.total.reset()
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._step, self._time = trainer.global_step, time.monotonic()


def _sync_folder(folder: Path) -> None:
    """A rename lasts once its folder is on the disk; Windows has no such call."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
