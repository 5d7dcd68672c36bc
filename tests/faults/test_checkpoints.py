"""Checkpoints of strangers: none runs, none asks for more memory than it is long, each is refused by name."""

import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from ich.config.mistakes import BadConfig
from ich.predictor import BadCheckpoint, Predictor
from tests.faults.alarm import silence
from tests.faults.evil_checkpoints import evil_checkpoints
from tests.faults.small import small_checkpoint, small_state

MOST = 400_000
"""kB that a refusal may add to the highest memory of this process."""


def test_none_of_them_runs_and_each_is_refused_by_name(tmp_path: Path) -> None:
    Predictor.load(small_checkpoint(tmp_path / "good.ckpt"), "cpu")  # whatever it imports is imported now
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = list(evil_checkpoints(small_state(), tmp_path))
    assert len(found) >= 20
    for name, path in found:
        with silence(), pytest.raises((BadCheckpoint, BadConfig)) as refused:
            Predictor.load(path, "cpu")
        assert path.name in str(refused.value), name
        assert not (tmp_path / "sprung").exists(), name
    assert (tmp_path / "precious").read_text() == "precious"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < MOST


@pytest.mark.parametrize(
    "state",
    [
        5,
        [],
        {"settings": 5, "state_dict": {}},
        {"settings": {}, "state_dict": {}},
        {"settings": {"model": 3}, "state_dict": {"classifier.mean": 3}},
        {"settings": {}, "state_dict": {5: torch.zeros(1)}},
    ],
)
def test_what_is_of_another_shape_is_refused(state: Any, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "odd.ckpt")
    with pytest.raises((BadCheckpoint, BadConfig), match=r"odd\.ckpt"):
        Predictor.load(tmp_path / "odd.ckpt", "cpu")


def test_weights_without_numbers_are_refused(tmp_path: Path) -> None:
    good = small_state()
    for kind in ("meta", "sparse"):
        weights = {
            name: value.to("meta") if kind == "meta" else value.to_sparse() if value.ndim else value
            for name, value in good["state_dict"].items()
        }
        torch.save(good | {"state_dict": weights}, tmp_path / f"{kind}.ckpt")
        with pytest.raises(BadCheckpoint, match=kind):
            Predictor.load(tmp_path / f"{kind}.ckpt", "cpu")
