"""Train: python train.py model=resnet50 window=brain3"""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before torchvision)

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Lt
from omegaconf import DictConfig

from ich import config
from ich.config.paths import CHECKPOINT, RESUMABLE

if TYPE_CHECKING:
    from ich.data.module import HeadCT
    from ich.model.learner import Learner
    from ich.report.resume import Resumed

# torch and mlflow are imported where they are used, so that --help and --cfg need neither.


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of conf/train.yaml that are no group."""

    seed: Annotated[int, Ge(0), Lt(2**32)]
    checkpoint: Annotated[str, CHECKPOINT] | None
    fit: bool
    resume: Annotated[str, RESUMABLE] | None
    report: bool
    system_metrics: bool

    def __post_init__(self) -> None:
        if not self.fit and self.checkpoint is None:
            raise ValueError("fit=false validates a checkpoint; give checkpoint=runs:/ID or a file")
        if not self.fit and self.resume is not None:
            raise ValueError("resume goes on with a training, fit=false validates; leave one of them out")


def train(cfg: DictConfig) -> None:
    """Build, fit, report; compose and check are done by now."""
    from pytorch_lightning.utilities import rank_zero_only

    from ich.config.signature import build
    from ich.report.recorder import finished_before, record_run
    from ich.report.summary import show_results, show_settings
    from ich.trainer import TrainerSettings, run_as_own_process, with_faults_named

    if resumed := find_stopped(cfg):
        cfg = resumed.configuration(cfg, config.typed_words(), keys=Keys)
        if resumed.has_ended(cfg):
            rank_zero_only(print)(f"run {resumed.run_id} has finished; nothing is left to do", flush=True)
            return
    if done := finished_before(cfg):
        print(f"this job has finished in run {done} already and is passed over")
        return
    settings: TrainerSettings = build(cfg.trainer)
    if config.is_sweep_job() and settings.num_processes > 1:
        run_as_own_process(config.job_command())
        return
    start = resumed.checkpoint if resumed else None
    data, learner = build_data(cfg), build_learner(cfg, weights_follow=start is not None)
    show_settings(learner)
    with record_run(cfg, cache=data.source.cache, resumed=resumed) as record:
        trainer = settings.create(folder=record.folder, callbacks=record.callbacks, logger=record.logger)

        def run() -> None:
            if cfg.fit:
                with config.sigterm_waits():  # for a save
                    trainer.fit(learner, datamodule=data, ckpt_path=start, weights_only=True)
            else:
                trainer.validate(learner, datamodule=data)
            if len(data.test_rows):  # the best checkpoint's, as all predictions of a run
                best = "best" if cfg.fit else None
                trainer.test(learner, datamodule=data, ckpt_path=best, verbose=False, weights_only=True)

        with_faults_named(run, record.folder)
    show_results(record, data, fit=cfg.fit)


def find_stopped(cfg: DictConfig) -> "Resumed | None":
    """The run that `resume` names; with `auto` the newest unfinished one of this configuration, or none.

    The first process of a training looks for it, once for all.
    """
    from ich.processes import from_first
    from ich.report.recorder import unfinished_before
    from ich.report.resume import AUTO, CannotResume, Resumed, find_resumed

    def find() -> dict[str, Any] | None:
        run = unfinished_before(cfg) if cfg.resume == AUTO else None
        asked = f"runs:/{run}" if run else cfg.resume
        return find_resumed(asked, cache=Path(cfg.data.cache)).plain() if asked != AUTO else None

    if cfg.resume is None:
        return None
    if cfg.resume != AUTO and config.is_sweep_job():
        raise CannotResume(f"resume={cfg.resume} is one run and -m are many: leave -m out, or give resume={AUTO}")
    found = from_first(find)
    return Resumed.from_plain(found) if found else None


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


def build_learner(cfg: DictConfig, *, weights_follow: bool = False) -> "Learner":
    """The classifier and how it learns, from the groups model, window, context, loss, optimizer and scheduler.

    `weights_follow`: a save brings them, so that none are fetched or read.
    """
    from pytorch_lightning import seed_everything

    from ich.config.compose import plain
    from ich.config.signature import build
    from ich.model.classifier import HemorrhageClassifier
    from ich.model.learner import Learner
    from ich.predictor import load_checkpoint, load_weights
    from ich.report.resume import FROM_SAVE
    from ich.report.tracking import resolve_checkpoint

    seed_everything(cfg.seed, workers=True, verbose=False)
    backbone = replace(build(cfg.model), **FROM_SAVE) if weights_follow else build(cfg.model)
    classifier = HemorrhageClassifier(backbone=backbone, window=build(cfg.window), context=build(cfg.context))
    if cfg.checkpoint is not None and not weights_follow:
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
