"""Every place where a training may be stopped, and whether it ends in the same bits: python -m tests.faults.resume

A tiny network with dropout on a tiny phantom, in this process. Stopped after each batch, once or twice, with 0 and 2
workers, accumulation of 1 and 2, validation at the end of an epoch, halfway too, and out of step with epochs.
`workers=2` and the like choose among them.
"""

import ich  # isort: skip  # noqa: F401

import functools
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from ich.ct.geometry import HeadGeometry
from ich.ct.windowing import Window, WindowStack
from ich.data.augment import Augment
from ich.data.module import HeadCT
from ich.data.source import Phantom
from ich.model.backbone import Backbone
from ich.model.classifier import HemorrhageClassifier
from ich.model.context import Single
from ich.model.learner import Learner
from ich.model.loss import BCE
from ich.saves import BEST, LAST
from ich.trainer import TrainerSettings

EPOCHS, BATCHES = 3, 4
SCHEDULERS: dict[str, Callable[..., Any]] = {
    "plateau": lambda optimizer: torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=10.0),
    "onecycle": functools.partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=1e-2),
}


class Cut(Exception):
    """The training ends here, as by a kill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One training, and how it is saved."""

    workers: int = 0
    accumulation: int = 1
    validation: float = 1.0
    every_n_steps: int | None = 1
    scheduler: str = "plateau"


class Watch(Callback):
    """Keeps the loss of each batch, each time that it is trained on; ends the training after batch `cut` of all."""

    def __init__(self, losses: dict[int, list[float]], cut: int | None) -> None:
        self.losses, self.cut = losses, cut

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        place = trainer.current_epoch * BATCHES + batch_idx
        self.losses.setdefault(place, []).append(float(outputs["loss"]))
        if place == self.cut:
            raise Cut


def run(setting: Setting, cache: Path, cuts: Sequence[int]) -> list[Any]:
    """Train to the end, stopped after each of these batches; all that must be the same."""
    losses: dict[int, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for cut in [*cuts, None]:
            learner, data = make(setting, cache)
            trainer = TrainerSettings(
                accelerator="cpu",
                max_epochs=EPOCHS,
                accumulate_grad_batches=setting.accumulation,
                val_check_interval=setting.validation,
                save_every_n_steps=setting.every_n_steps,
            ).create(folder=folder, callbacks=[Watch(losses, cut)], logger=None)
            trainer.progress_bar_callback.disable()
            last = folder / LAST
            try:
                trainer.fit(learner, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
            except Cut:
                continue
        state, best = (torch.load(folder / file, weights_only=True) for file in (LAST, BEST))
    kept = [state["state_dict"], state["optimizer_states"], state["lr_schedulers"], best["state_dict"], learner.scores]
    same_losses = [sorted(set(losses[place])) for place in sorted(losses)]
    return [kept, same_losses, trainer.global_step, trainer.current_epoch]


def make(setting: Setting, cache: Path) -> tuple[Learner, HeadCT]:
    source = Phantom(
        cache=cache, patients=4, slices=8, difficulty="demo", folds=2, batch_size=4, num_workers=setting.workers
    )
    data = HeadCT(source=source, geometry=HeadGeometry(size=32), augment=Augment(), seed=0)
    torch.manual_seed(0)
    classifier = HemorrhageClassifier(
        backbone=Backbone(name="test_byobnet", drop_rate=0.3),
        window=WindowStack(windows=[Window(level=40, width=80)]),
        context=Single(),
    )
    learner = Learner(
        classifier=classifier,
        loss=BCE(),
        optimizer=lambda groups: torch.optim.AdamW(groups, lr=1e-3),
        scheduler=SCHEDULERS[setting.scheduler],
        settings={"seed": 0},
        prior_bias=True,
    )
    return learner, data


def same(one: Any, other: Any) -> bool:
    """Bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)


def cuts() -> Iterator[tuple[int, ...]]:
    places = range(EPOCHS * BATCHES)
    yield from ((one,) for one in places)
    yield from itertools.combinations(places, 2)


def settings() -> Iterator[Setting]:
    for workers, accumulation, validation in itertools.product((0, 2), (1, 2), (1.0, 2, 3)):
        yield Setting(workers=workers, accumulation=accumulation, validation=validation)
    for accumulation in (1, 2):
        yield Setting(accumulation=accumulation, scheduler="onecycle")
        yield Setting(accumulation=accumulation, every_n_steps=None)


def main() -> int:
    wanted = dict(word.split("=") for word in sys.argv[1:])
    wrong = count = 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for setting in settings():
            if any(str(getattr(setting, name)) != value for name, value in wanted.items()):
                continue
            whole = run(setting, Path(folder), [])
            for some in cuts():
                count += 1
                if not same(whole, run(setting, Path(folder), some)):
                    wrong += 1
                    print(f"other bits: {setting}, stopped after batches {some}", flush=True)
            minutes = (time.monotonic() - begun) / 60
            print(f"{setting}: so far {count} trainings in {minutes:.1f} min, {wrong} with other bits", flush=True)
    return int(wrong > 0 or count == 0)


if __name__ == "__main__":
    sys.exit(main())
