"""A stopped training goes on to the bit; a checkpoint is whole or not there."""

import errno
import os
from pathlib import Path

import pytest
import torch

from ich.saves import LAST, PREVIOUS, WholeFiles
from tests.faults.resume import Setting, run, same


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    ("setting", "cuts"),
    [
        (Setting(validation=3), [(2,), (5, 7)]),
        (Setting(accumulation=2, scheduler="onecycle"), [(4,), (6, 11)]),
        (Setting(every_n_steps=None), [(2, 9)]),
    ],
)
def test_a_stopped_training_ends_in_the_same_bits(cache: Path, setting: Setting, cuts: list[tuple[int, ...]]) -> None:
    whole = run(setting, cache, [])
    for some in cuts:
        assert same(whole, run(setting, cache, some)), some


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failed_save_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    io = WholeFiles()
    io.save_checkpoint({"step": 1}, tmp_path / LAST)
    target = {"write": (torch, "save"), "fsync": (os, "fsync"), "rename": (Path, "replace")}[call]
    with monkeypatch.context() as patched:
        patched.setattr(*target, fail)
        with pytest.raises(OSError, match=os.strerror(number)):
            io.save_checkpoint({"step": 2}, tmp_path / LAST)
    assert torch.load(tmp_path / LAST, weights_only=True) == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == [LAST]


def test_the_save_before_the_last_is_kept(tmp_path: Path) -> None:
    io = WholeFiles()
    for step in (1, 2):
        io.save_checkpoint({"step": step}, tmp_path / LAST)
    assert torch.load(tmp_path / PREVIOUS, weights_only=True) == {"step": 1}
    assert torch.load(tmp_path / LAST, weights_only=True) == {"step": 2}
