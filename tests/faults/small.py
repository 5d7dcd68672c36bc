"""A checkpoint of a network of a few kilobytes, for what is about files and not about scores."""

from pathlib import Path
from typing import Any

import torch

from ich.config.check import from_plain
from ich.config.signature import build
from ich.model.classifier import HemorrhageClassifier

SETTINGS: dict[str, Any] = {
    "model": {"_target_": "ich.model.backbone.Backbone", "name": "test_byobnet"},
    "window": {"_target_": "ich.ct.windowing.WindowStack", "windows": [{"level": 40, "width": 80}]},
    "context": {"_target_": "ich.model.context.Single"},
    "geometry": {"_target_": "ich.ct.geometry.HeadGeometry", "size": 64},
}


def small_state() -> dict[str, Any]:
    """What a checkpoint of train.py holds of what a prediction needs."""
    torch.manual_seed(0)
    built = {group: build(node) for group, node in from_plain(dict(SETTINGS)).items()}
    classifier = HemorrhageClassifier(backbone=built["model"], window=built["window"], context=built["context"])
    return {
        "settings": SETTINGS,
        "state_dict": {f"classifier.{name}": value for name, value in classifier.state_dict().items()},
    }


def small_checkpoint(path: Path) -> Path:
    torch.save(small_state(), path)
    return path
