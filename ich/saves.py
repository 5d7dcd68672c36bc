"""Save points from which a training goes on to the bit, and checkpoints that are written whole or not at all."""

import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins.io import TorchCheckpointIO

from ich.config import stop
from ich.data.store.shard import whole
from ich.model.learner import Learner

BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"
"""The best network so far; the newest save, and the one before it, for when the newest is damaged."""

HALF_DONE = "half_done"
"""Of a save, and of no other checkpoint: what Lightning's own state lacks to go on in the middle of an epoch."""


class WholeFiles(TorchCheckpointIO):
    """Writes beside, fsyncs, renames; Lightning goes through the system's temporary folder, maybe another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()  # so that a full disk is an OSError, and not whatever torch's writer makes of it
        torch.save(checkpoint, content)
        with whole(path) as file:
            file.write(content.getbuffer())
            if path.name == LAST and path.exists():
                file.flush()
                os.fsync(file.fileno())  # before the last one gives way
                path.replace(path.with_name(PREVIOUS))


class Saves(Callback):
    """Saves `last.ckpt` before each epoch but the first, after the last, and in between every so many steps or minutes.

    In between means: before a batch is trained on, when the one before ended an optimizer step. By then its validation
    has been made and each scheduler has stepped, so that Lightning's counters lead a resumed training to this batch.
    A SIGTERM waits for the next such place.
    """

    def __init__(self, folder: Path, *, every_n_steps: int | None, every_minutes: float | None) -> None:
        self.path = folder / LAST
        self.every_n_steps = every_n_steps
        self.every_minutes = every_minutes
        self._saving = False
        self._step = 0
        self._time = time.monotonic()
        self._callback_metrics: dict[str, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._step, self._time = trainer.global_step, time.monotonic()
        trainer._logger_connector._callback_metrics.update(self._callback_metrics)  # a scheduler may ask for them

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch and not trainer.fit_loop.restarting:
            with _as_before_an_epoch(trainer):
                self._save(trainer)
        self._stop_if_asked(trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> int | None:
        trainer.fit_loop._restarting = False  # else its first epoch ends without ReduceLROnPlateau
        if batch_idx == 0 or batch_idx % trainer.accumulate_grad_batches:
            return None
        if trainer.strategy.reduce_boolean_decision(self._due(trainer) or stop.asked(), all=False):
            with _as_before_a_batch(trainer):
                self._save(trainer)
            self._stop_if_asked(trainer)
        return None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with _as_before_an_epoch(trainer):
            self._save(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """What is half done; a best checkpoint is no save point and goes without."""
        if self._saving:
            half_done = pl_module.half_done() if isinstance(pl_module, Learner) else {}
            checkpoint[HALF_DONE] = half_done | {
                "callback_metrics": {name: value.cpu() for name, value in trainer.callback_metrics.items()}
            }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.training:
            assert isinstance(pl_module, Learner)
            pl_module.go_on(checkpoint[HALF_DONE])
            self._callback_metrics = checkpoint[HALF_DONE]["callback_metrics"]

    def _due(self, trainer: Trainer) -> bool:
        steps = self.every_n_steps is not None and trainer.global_step - self._step >= self.every_n_steps
        late = self.every_minutes is not None and time.monotonic() - self._time >= 60 * self.every_minutes
        return steps or late

    def _save(self, trainer: Trainer) -> None:
        self._saving = True
        try:
            trainer.save_checkpoint(self.path)
        finally:
            self._saving = False
        self._step, self._time = trainer.global_step, time.monotonic()

    def _stop_if_asked(self, trainer: Trainer) -> None:
        if trainer.strategy.reduce_boolean_decision(stop.asked(), all=False):
            stop.stop_now()


@contextmanager
def _as_before_an_epoch(trainer: Trainer) -> Iterator[None]:
    """Lightning clears an epoch's counters when the next begins; saved before, it would skip that epoch."""
    loop = trainer.fit_loop.epoch_loop
    loop.batch_progress.reset_on_run()
    loop.scheduler_progress.reset_on_run()
    loop.automatic_optimization.optim_progress.reset_on_run()
    loop.val_loop.batch_progress.total.reset()
    yield


@contextmanager
def _as_before_a_batch(trainer: Trainer) -> Iterator[None]:
    """Lightning has counted the batch that is about to be trained on as ready, and knows whether it is the last."""
    progress = trainer.fit_loop.epoch_loop.batch_progress
    is_last = progress.is_last_batch
    progress.increment_by(0, is_last_batch=False)
    for counted in (progress.total, progress.current):
        counted.ready -= 1
    yield
    for counted in (progress.total, progress.current):
        counted.ready += 1
    progress.increment_by(0, is_last_batch=is_last)
