"""How a classifier learns: loss, optimizer, schedule, and metrics that are exact over an epoch and over processes."""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from ich import metric
from ich.data.batches import Batch
from ich.data.module import HeadCT
from ich.errors import InputError
from ich.model.classifier import HemorrhageClassifier
from ich.progress import counted

MONITOR = "val/weighted_log_loss"
NOT_FINITE = "not_finite.ckpt"
TOTAL_STEPS = ("total_steps", "T_max")
"""What schedulers call the length of the whole training; filled in where the configuration leaves it out."""


class TooShort(InputError):
    """A training with fewer steps than its scheduler has phases."""


class OtherLength(InputError):
    """A training that goes on for longer or shorter than its scheduler was made for."""


class NotFinite(InputError):
    """A loss that is no number any more; what the network was is saved."""


class Scored(NamedTuple):
    """What a network said of N slices, in the order of their rows in the store."""

    rows: Int64[np.ndarray, " n"]
    logits: Float64[np.ndarray, "n 6"]
    labels: UInt8[np.ndarray, "n 6"]


Share = tuple[Tensor, Tensor, Tensor]
"""Rows, logits and labels of slices that one process has seen."""


@dataclass(slots=True)
class _Collected:
    batches: list[Share] = field(default_factory=list)

    def add(self, batch: Batch, logits: Tensor) -> None:
        self.batches.append((batch.rows, logits.detach(), batch.labels))

    def shares(self) -> list[Share | None]:
        """What each process has seen; None of one that has seen nothing."""
        own = tuple(torch.cat([part.cpu() for part in parts]) for parts in zip(*self.batches, strict=True))
        return _from_all_processes(own if self.batches else None)

    def restore(self, shares: Sequence[Share | None], rank: int, processes: int) -> None:
        """This process's share; all of it in the first where there were more or fewer processes."""
        same = len(shares) == processes
        own = [shares[rank]] if same else shares if rank == 0 else []
        self.batches = [share for share in own if share is not None]

    def gather(self) -> Scored:
        """The rows of every process, each once, sorted; and forget them."""
        rows, logits, labels = (
            (torch.cat([part.cpu() for part in parts]).numpy() for parts in zip(*self.batches, strict=True))
            if self.batches
            else (np.zeros(0, np.int64), np.zeros((0, 6)), np.zeros((0, 6)))
        )
        self.batches.clear()
        share = Scored(rows, logits.astype(np.float64), labels.astype(np.uint8))
        shares = _from_all_processes(share)
        merged = Scored(*(np.concatenate(parts) for parts in zip(*shares, strict=True)))
        order = np.argsort(merged.rows, kind="stable")
        return Scored(*(part[order] for part in merged))


class Learner(LightningModule):
    """A classifier in training.

    `optimizer` takes parameter groups, `scheduler` an optimizer; both come as partials from the configuration.
    `settings` is the run's own configuration in plain types, and travels in the checkpoint. `prior_bias` starts the
    head at the prevalence.
    """

    def __init__(
        self,
        *,
        classifier: HemorrhageClassifier,
        loss: nn.Module,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler],
        settings: dict[str, Any],
        prior_bias: bool,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.loss = loss
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.settings = settings
        self.prior_bias = prior_bias
        self.resumed = False
        self._train, self._val, self._test = _Collected(), _Collected(), _Collected()
        self._unchecked: list[tuple[Tensor, Tensor]] = []
        self.validated: Scored | None = None
        self.tested: Scored | None = None
        self.scores: dict[str, float] = {}

    def forward(self, hu: Tensor) -> Float[Tensor, "batch 6"]:
        return self.classifier(hu)

    def on_fit_start(self) -> None:
        if self.prior_bias and not self.resumed:
            self.classifier.start_at(torch.from_numpy(self._data.prevalence).float())

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Dropout draws from (seed, epoch, batch, process), so that a resumed training draws the same."""
        place = (self._data.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        logits = self(batch.hu)
        self._train.add(batch, logits)
        loss: Tensor = self.loss(logits, batch.labels)
        self._unchecked.append((loss.detach(), batch.rows))
        return loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Once a step, when the device has all its work: to ask it after each batch would let it wait.

        Processes ask each other, for the gradients of all are those of the one with such a batch, too.
        """
        losses, rows = zip(*self._unchecked, strict=True) if self._unchecked else ((), ())
        self._unchecked.clear()
        finite = not losses or bool(torch.stack(losses).isfinite().all())
        if not self.trainer.strategy.reduce_boolean_decision(finite):
            self._stop([(float(loss), some) for loss, some in zip(losses, rows, strict=True)])

    def _stop(self, batches: list[tuple[float, Tensor]]) -> None:
        """Raises NotFinite with the images of the first such batch; the weights are still those of before it."""
        own = next(((loss, rows.tolist()) for loss, rows in batches if not math.isfinite(loss)), None)
        value, rows = next(found for found in _from_all_processes(own) if found)
        images = self._data.index["image_id"].iloc[rows]
        if self.trainer.is_global_zero:
            path = Path(self.trainer.default_root_dir) / NOT_FINITE
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(self.trainer._checkpoint_connector.dump_checkpoint(), path)  # not by all processes together
        raise NotFinite(
            f"the loss is {value} in step {self.global_step + 1} (epoch {self.current_epoch}); its batch's images are "
            f"{', '.join(map(str, images))}. The state before this step is checkpoints/{NOT_FINITE} of the run. Lower "
            "optimizer.lr, give trainer.gradient_clip_val=1, or look at these images"
        )

    def on_train_epoch_end(self) -> None:
        self._log_scores("train", self._train.gather())

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._val.add(batch, self(batch.hu))

    def on_validation_epoch_end(self) -> None:
        self.validated = self._val.gather()
        self._log_scores("val", self.validated)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._test.add(batch, self(batch.hu))

    def on_test_epoch_end(self) -> None:
        self.tested = self._test.gather()
        self._log_scores("test", self.tested)

    def _log_scores(self, stage: str, scored: Scored) -> None:
        scores = metric.score(scored.labels, metric.probabilities(scored.logits), prevalence=self._data.prevalence)
        loss = self.loss(torch.from_numpy(scored.logits).float(), torch.from_numpy(scored.labels).float())
        exact = {f"{stage}/{name}": value for name, value in scores.items()} | {f"{stage}/loss": float(loss)}
        self.log_dict(exact, logger=False)  # for callbacks and schedulers; Lightning keeps float32
        for logger in self.loggers:
            logger.log_metrics(exact | {"epoch": self.current_epoch}, step=self.global_step)
        self.scores |= exact

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer(_parameter_groups(self.classifier))
        length = self._length()
        try:
            scheduler = self.scheduler(optimizer, **length)
        except (ValueError, ZeroDivisionError) as error:  # OneCycleLR divides by its phases' lengths
            raise TooShort(
                f"the training of {counted(self._total_steps(), 'step')} is too short for its scheduler ({error}); "
                "train longer, or take scheduler=constant"
            ) from error
        if isinstance(scheduler, ReduceLROnPlateau):
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": MONITOR}}
        interval = "step" if length else "epoch"
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": interval}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["settings"] = self.settings

    def half_done(self) -> dict[str, Any]:
        """What a training that goes on needs besides Lightning's own state, in plain types; asked of all processes."""
        return {"seen": self._train.shares(), "scores": dict(self.scores), "length": self._length()}

    def go_on(self, half_done: dict[str, Any]) -> None:
        """As it was when `half_done` told it. Raises OtherLength."""
        if half_done["length"] != self._length():
            raise OtherLength(
                f"the scheduler was laid out for {half_done['length']} of the whole training, now it would be "
                f"{self._length()}: leave trainer.max_epochs as it was, or start a new run from these weights"
            )
        self.resumed = True
        self.scores = half_done["scores"]
        self._train.restore(half_done["seen"], self.global_rank, self.trainer.world_size)

    def _length(self) -> dict[str, int]:
        """What a scheduler is told of the length of the training."""
        return {name: self._total_steps() for name in TOTAL_STEPS if _is_open(self.scheduler, name)}

    @property
    def _data(self) -> HeadCT:
        data: HeadCT = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    def _total_steps(self) -> int:
        """Optimizer steps of the whole training; Lightning's own estimate would drop the loader's state."""
        epochs, accumulate = self.trainer.max_epochs or 1, self.trainer.accumulate_grad_batches
        return epochs * -(-self._data.num_train_batches // accumulate)


def _parameter_groups(module: nn.Module) -> list[dict[str, Any]]:
    """Weights, and what no weight decay should shrink (norms, biases, windows: fewer than two dimensions)."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    weights = [parameter for parameter in trained if parameter.ndim > 1]
    others = [parameter for parameter in trained if parameter.ndim <= 1]
    return [{"params": weights}, {"params": others, "weight_decay": 0.0}]


def _is_open(partial: Callable[..., Any], name: str) -> bool:
    """Whether a scheduler takes this argument and the configuration did not give it."""
    return name in inspect.signature(partial).parameters and name not in getattr(partial, "keywords", {})


def _from_all_processes(share: Any) -> list[Any]:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [share]
    shares = [share] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(shares, share)
    return shares
