"""Weights are told apart by the images that they were learned on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

import train
from ich.config import files
from ich.config.compose import compose, plain, read_job
from ich.config.stored import differences
from ich.predictor import BadCheckpoint
from train import build_learner

GROUPS = ("geometry", "window", "context")
SMALL = ("model=timm", "model.name=test_byobnet", "window=brain")


def composed(*words: str) -> DictConfig:
    job, _ = read_job([*SMALL, *words], conf=files.CONF, name="train", keys=train.Keys)
    return compose(job)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as they were born, of size 64."""
    cfg = composed("geometry.size=64")
    path = tmp_path_factory.mktemp("checkpoint") / "best.ckpt"
    torch.save({"state_dict": build_learner(cfg).state_dict(), "settings": plain(cfg)}, path)
    return path


def test_the_same_settings_have_no_differences() -> None:
    assert not differences(plain(composed()), plain(composed("optimizer.lr=1")), GROUPS)


def test_a_key_that_one_side_does_not_say_is_its_default() -> None:
    settings: dict[str, Any] = {"_target_": "ich.ct.geometry.HeadGeometry", "size": 256}
    said = {"geometry": settings | {"field_mm": 256.0}}
    assert not differences({"geometry": settings}, said, GROUPS)
    assert differences({"geometry": settings}, {"geometry": settings | {"field_mm": 200.0}}, GROUPS) == {
        "geometry.field_mm": "256.0, here 200.0"
    }


def test_validation_with_another_geometry_is_refused(checkpoint: Path) -> None:
    with pytest.raises(
        BadCheckpoint, match=r"trained with geometry\.size=64, here 96\. A validation is of the network"
    ):
        build_learner(composed("geometry.size=96", "fit=false", f"checkpoint={checkpoint}"))
    assert build_learner(composed("geometry.size=64", "fit=false", f"checkpoint={checkpoint}"))


def test_training_on_from_another_geometry_is_told(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build_learner(composed("geometry.size=96", f"checkpoint={checkpoint}"))
    assert "Note: " in (said := capsys.readouterr().err)
    assert "trained with geometry.size=64, here 96. Its weights are a start" in said
    assert build_learner(composed("geometry.size=64", f"checkpoint={checkpoint}"))
    assert not capsys.readouterr().err
