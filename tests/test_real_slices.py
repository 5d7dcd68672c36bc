"""Training on real slices of RSNA 2019, and learning them."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_lightning.callbacks import EarlyStopping

from ich import metric
from ich.ct.geometry import HeadGeometry
from ich.ct.windowing import Window, WindowStack
from ich.data.augment import Augment
from ich.data.module import HeadCT
from ich.data.source import Rsna
from ich.findings import ANY
from ich.model.backbone import Backbone
from ich.model.classifier import HemorrhageClassifier
from ich.model.context import Single
from ich.model.learner import Learner
from ich.model.loss import BCE
from ich.trainer import TrainerSettings
from tests.project import Project
from tests.test_train import best_logged, independent_weighted_log_loss


def test_one_command_trains_on_real_slices(project: Project, mini: Path) -> None:
    project.run(
        "train.py",
        "data=rsna",
        f"data.root={mini}",
        "model=mobilenetv2_100",
        "geometry.size=128",
        "trainer.max_epochs=1",
    )
    run = project.newest()
    folds = pd.read_csv(project.artifact(run, "folds.csv"))
    assert len(folds) == 346
    assert folds.groupby("patient_id")["fold"].nunique().max() == 1
    table = pd.read_csv(project.artifact(run, "predictions/val.csv"))
    assert independent_weighted_log_loss(table) == pytest.approx(
        best_logged(project, run.info.run_id, "val/weighted_log_loss"), abs=1e-6
    )


def test_it_can_learn_64_real_slices(mini: Path, tmp_path: Path) -> None:
    data = HeadCT(
        source=Rsna(root=mini, cache=tmp_path, batch_size=16),
        geometry=HeadGeometry(size=96),
        augment=Augment(),
        seed=0,
    )
    data.setup()
    data.train_rows = data.val_rows = _half_positive(data.labels)
    learner = Learner(
        classifier=HemorrhageClassifier(
            backbone=Backbone(name="test_byobnet"),
            window=WindowStack(
                windows=[Window(level=40, width=80), Window(level=80, width=200), Window(level=600, width=2800)]
            ),
            context=Single(),
        ),
        loss=BCE(),
        optimizer=lambda groups: torch.optim.AdamW(groups, lr=2e-3),
        scheduler=functools.partial(torch.optim.lr_scheduler.ConstantLR, factor=1.0),
        settings={},
        prior_bias=True,
    )
    torch.manual_seed(0)
    settings = TrainerSettings(accelerator="cpu", max_epochs=60)
    learned = EarlyStopping("val/auc/any", mode="max", stopping_threshold=0.99, patience=60)
    trainer = settings.create(folder=tmp_path / "run", callbacks=[learned], logger=None)
    trainer.fit(learner, datamodule=data)
    assert learner.validated is not None
    assert len(learner.validated.rows) == 64
    scores = metric.score(learner.validated.labels, metric.probabilities(learner.validated.logits))
    assert scores["auc/any"] > 0.99


def _half_positive(labels: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(0)
    halves = [random.choice(np.flatnonzero(labels[:, ANY] == value), 32, replace=False) for value in (0, 1)]
    return np.sort(np.concatenate(halves))
