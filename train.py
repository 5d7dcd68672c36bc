"""Train: python train.py model=resnet50 window=brain3"""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before torchvision)

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Lt
from omegaconf import DictConfig

from ich import config
from ich.config.paths import CHECKPOINT

if TYPE_CHECKING:
    from ich.data.module import HeadCT
    from ich.model.learner import Learner

# torch and mlflow are imported where they are used, so that --help and --cfg need neither.


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of conf/train.yaml that are no group."""

    seed: Annotated[int, Ge(0), Lt(2**32)]
    checkpoint: Annotated[str, CHECKPOINT] | None
    fit: bool
    resume: Annotated[str, CHECKPOINT] | None
    report: bool

    def __post_init__(self) -> None:
        if not self.fit and self.checkpoint is None:
            raise ValueError("fit=false validates a checkpoint; give checkpoint=runs:/ID or a file")


def train(cfg: DictConfig) -> None:
    """Build, fit, report; compose and check are done by now."""
    from ich.config.signature import build
    from ich.report.recorder import finished_before, record_run
    from ich.report.resume import find_resumed
    from ich.report.summary import show_results, show_settings
    from ich.trainer import TrainerSettings, faults_named, run_as_own_process

    resumed = None
    if cfg.resume is not None:
        resumed = find_resumed(cfg.resume, cache=Path(cfg.data.cache))
        cfg = resumed.configuration(cfg, config.typed_words())
        if resumed.finished:
            print(f"run {resumed.run_id} has finished already; nothing is left to do")
            return
    if done := finished_before(cfg):
        print(f"this job has finished in run {done} already and is passed over")
        return
    settings: TrainerSettings = build(cfg.trainer)
    if config.is_sweep_job() and settings.num_processes > 1:
        run_as_own_process(config.job_command())
        return
    data, learner = build_data(cfg), build_learner(cfg)
    show_settings(learner)
    with record_run(cfg, cache=data.source.cache, resumed=resumed) as record:
        trainer = settings.create(folder=record.folder, callbacks=record.callbacks, logger=record.logger)
        with faults_named(record.folder):
            if cfg.fit:
                start = resumed.checkpoint if resumed else None
                trainer.fit(learner, datamodule=data, ckpt_path=start, weights_only=True)
            else:
                trainer.validate(learner, datamodule=data)
            if len(data.test_rows):  # the best checkpoint's, as all predictions of a run
                best = "best" if cfg.fit else None
                trainer.test(learner, datamodule=data, ckpt_path=best, verbose=False, weights_only=True)
    show_results(record, data)


def build_data(cfg: DictConfig) -> "HeadCT":
    """Slices and labels in folds, from the groups data, geometry, context and augment."""
    from ich.config.signature import build
    from ich.data.module import HeadCT

    context = build(cfg.context)
    return HeadCT(
        source=build(cfg.data),
        geometry=context.geometry(build(cfg.geometry)),
        augment=build(cfg.augment),
        seed=cfg.seed,
        depth=context.depth,
    )


def build_learner(cfg: DictConfig) -> "Learner":
    """The classifier and how it learns, from the groups model, window, context, loss, optimizer and scheduler."""
    from pytorch_lightning import seed_everything

    from ich.config.compose import plain
    from ich.config.signature import build
    from ich.model.classifier import HemorrhageClassifier
    from ich.model.learner import Learner
    from ich.predictor import load_checkpoint, load_weights
    from ich.report.tracking import resolve_checkpoint

    seed_everything(cfg.seed, workers=True, verbose=False)
    classifier = HemorrhageClassifier(backbone=build(cfg.model), window=build(cfg.window), context=build(cfg.context))
    if cfg.checkpoint is not None:
        path = resolve_checkpoint(cfg.checkpoint)
        state = load_checkpoint(path)
        load_weights(classifier, state, path)
        compare_settings(state["settings"], cfg, path)
    return Learner(
        classifier=classifier,
        loss=build(cfg.loss),
        optimizer=build(cfg.optimizer),
        scheduler=build(cfg.scheduler),
        settings=plain(cfg),
        prior_bias=cfg.model.prior_bias and cfg.checkpoint is None,
    )


def compare_settings(stored: dict[str, Any], cfg: DictConfig, path: Path) -> None:
    """Weights mean something with the images that they were learned on: others are refused or, to start from, told."""
    from pytorch_lightning.utilities import rank_zero_only

    from ich.config.compose import plain
    from ich.config.stored import differences
    from ich.predictor import BadCheckpoint

    found = differences(stored, plain(cfg), ("geometry", "window", "context"))
    if not found:
        return
    what = f"{path}: it was trained with {'; '.join(f'{key}={both}' for key, both in found.items())}"
    if not cfg.fit:
        raise BadCheckpoint(f"{what}. A validation is of the network as it was trained: give the same here")
    told = f"{what}. Its weights are a start and have to learn these images; give the same to go on as it was"
    rank_zero_only(print)(f"Note: {told}", file=sys.stderr, flush=True)


def around_sweep(command: Sequence[str]) -> AbstractContextManager[object]:
    """A multirun is one parent run; its children are opened inside."""
    from ich.report.sweep import record_sweep

    return record_sweep(command)


if __name__ == "__main__":
    config.launch(train, name="train", keys=Keys, around_sweep=around_sweep)
