"""How a classifier learns, through the real data module."""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer

from ich import metric
from ich.ct.geometry import HeadGeometry
from ich.ct.windowing import Window, WindowStack
from ich.data.augment import Augment
from ich.data.batches import BadBatchSize
from ich.data.module import HeadCT
from ich.data.source import Phantom, Repeat
from ich.model.backbone import Backbone
from ich.model.classifier import HemorrhageClassifier
from ich.model.context import Single
from ich.model.learner import Learner
from ich.model.loss import BCE
from ich.trainer import TrainerSettings


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def data_of(cache: Path, **source: Any) -> HeadCT:
    settings = {"patients": 4, "slices": 8, "difficulty": "demo", "folds": 2, "batch_size": 4} | source
    return HeadCT(source=Phantom(cache=cache, **settings), geometry=HeadGeometry(size=32), augment=Augment(), seed=0)


def learner_of(
    scheduler: Callable[..., Any] = torch.optim.lr_scheduler.ConstantLR, *, prior_bias: bool = False, lr: float = 1e-3
) -> Learner:
    torch.manual_seed(0)
    classifier = HemorrhageClassifier(
        backbone=Backbone(name="test_byobnet"),
        window=WindowStack(windows=[Window(level=40, width=80)]),
        context=Single(),
    )
    return Learner(
        classifier=classifier,
        loss=BCE(),
        optimizer=lambda groups: torch.optim.AdamW(groups, lr=lr),
        scheduler=scheduler,
        settings={"kept": ["plain", 1]},
        prior_bias=prior_bias,
    )


def fit(learner: Learner, data: HeadCT, folder: Path, epochs: int = 2) -> Trainer:
    settings = TrainerSettings(accelerator="cpu", max_epochs=epochs)
    trainer = settings.create(folder=Path(tempfile.mkdtemp(dir=folder)), callbacks=[], logger=None)
    trainer.fit(learner, datamodule=data)
    return trainer


def test_validation_sees_each_held_out_slice_once_in_order(cache: Path, tmp_path: Path) -> None:
    learner, data = learner_of(), data_of(cache)
    fit(learner, data, tmp_path)
    assert learner.validated is not None
    assert learner.validated.rows.tolist() == data.val_rows.tolist()
    assert np.array_equal(learner.validated.labels, data.labels[data.val_rows])


def test_the_logged_score_is_that_of_all_rows_at_once(cache: Path, tmp_path: Path) -> None:
    learner, data = learner_of(), data_of(cache)
    trainer = fit(learner, data, tmp_path)
    assert learner.validated is not None
    score = metric.weighted_log_loss(learner.validated.labels, metric.probabilities(learner.validated.logits))
    assert float(trainer.callback_metrics["val/weighted_log_loss"]) == pytest.approx(
        score, rel=1e-6
    )  # logged as float32
    assert float(trainer.callback_metrics["val/skill"]) == pytest.approx(
        1 - score / float(trainer.callback_metrics["val/floor"]), rel=1e-4
    )


def test_a_head_that_starts_at_the_prevalence_starts_near_the_floor(cache: Path, tmp_path: Path) -> None:
    scores = {}
    for prior_bias in (False, True):
        trainer = fit(learner_of(prior_bias=prior_bias, lr=1e-9), data_of(cache), tmp_path, epochs=1)
        scores[prior_bias] = float(
            trainer.callback_metrics["val/weighted_log_loss"] / trainer.callback_metrics["val/floor"]
        )
    assert scores[True] == pytest.approx(1.0, abs=0.1)
    assert scores[False] > 1.5


@pytest.mark.parametrize("name", ["OneCycleLR", "CosineAnnealingLR", "ConstantLR", "ReduceLROnPlateau"])
def test_every_scheduler_starts_and_knows_the_length_of_the_training(cache: Path, tmp_path: Path, name: str) -> None:
    kind = getattr(torch.optim.lr_scheduler, name)
    given = {"OneCycleLR": {"max_lr": 1e-3}, "ConstantLR": {"factor": 1.0}}.get(name, {})
    trainer = fit(learner_of(functools.partial(kind, **given)), data_of(cache), tmp_path)
    scheduler = trainer.lr_scheduler_configs[0].scheduler
    steps = 2 * data_steps(trainer)
    assert getattr(scheduler, "total_steps", steps) == steps
    assert getattr(scheduler, "T_max", steps) == steps
    if name in ("OneCycleLR", "CosineAnnealingLR"):
        assert scheduler.last_epoch == steps  # it has come to its end


def data_steps(trainer: Trainer) -> int:
    return int(trainer.datamodule.num_train_batches)  # type: ignore[attr-defined]


def test_the_checkpoint_holds_plain_settings_and_loads_safely(cache: Path, tmp_path: Path) -> None:
    trainer = fit(learner_of(), data_of(cache), tmp_path, epochs=1)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    state = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert state["settings"] == {"kept": ["plain", 1]}


def test_weight_decay_spares_norms_and_biases(cache: Path) -> None:
    from ich.model.learner import _parameter_groups

    weights, others = _parameter_groups(learner_of().classifier)
    assert all(parameter.ndim > 1 for parameter in weights["params"])
    assert all(parameter.ndim <= 1 for parameter in others["params"])
    assert others["weight_decay"] == 0
    count = sum(1 for _ in learner_of().classifier.parameters())
    assert len(weights["params"]) + len(others["params"]) == count


def test_repeated_labels_repeat_training_slices_alone(cache: Path) -> None:
    data = data_of(cache, repeat=Repeat(any=3))
    data.setup()
    rows = data._repeated_train_rows()
    positive = int(data.labels[data.train_rows, -1].sum())
    assert positive > 0
    assert len(rows) == len(data.train_rows) + 2 * positive
    assert set(rows) == set(data.train_rows)
    assert len(set(data.val_rows)) == len(data.val_rows)


def test_the_floor_is_the_training_folds_prevalence(cache: Path) -> None:
    data = data_of(cache)
    data.setup()
    train = data.labels[data.train_rows]
    assert data.prevalence == pytest.approx((train.sum(axis=0) + 1) / (len(train) + 2))
    assert not set(data.train_rows) & set(data.val_rows)


def test_a_batch_larger_than_the_training_part_is_refused(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(BadBatchSize, match=r"data\.batch_size=1000 is over all processes"):
        fit(learner_of(), data_of(cache, batch_size=1000), tmp_path)


def test_worker_processes_draw_the_same_batches(cache: Path) -> None:
    batches = []
    for num_workers in (0, 2):
        data = data_of(cache, num_workers=num_workers)
        data.augment = Augment(shift_hu=5.0, noise_hu=5.0)
        data.setup()
        batches.append(list(data.train_dataloader()))
    for one, two in zip(*batches, strict=True):
        assert torch.equal(one.hu, two.hu)
        assert torch.equal(one.rows, two.rows)
