"""The benchmarks as a user runs them; what they measure is for a quiet machine and no test."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tests import warm
from tests.project import REPOSITORY

OPTIONAL = {name for name in ("monai", "litdata", "webdataset") if find_spec(name)}
RIVALS = {
    "prepare": {"ours", "ours_pydicom", "pydicom", "png512"},
    "feed": {"ours", "copy", "copy_two", "dataloader", "dataloader_batched", "png512", "png16", "pydicom"},
    "feed_flips": {"ours", "copy", "copy_two"},
    "labels": {"ours", "pandas"},
    "scale": {"ours", "pandas"},
    "scale_epoch": {"ours", "dataloader"},
}
BY_OPTIONAL = {
    "prepare": {"monai": {"monai_persistent"}, "litdata": {"litdata"}, "webdataset": {"webdataset"}},
    "feed": {"monai": {"monai_cache", "monai_persistent"}, "litdata": {"litdata"}, "webdataset": {"webdataset"}},
}


@pytest.mark.slow
def test_every_rival_that_is_installed_has_a_row_and_the_others_are_named(tmp_path: Path) -> None:
    words = [f"json={tmp_path / 'rows.json'}", "patients=6", "repeats=1", "seconds=0.01"]
    done = run(words)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    names = {work: {row["name"] for row in rows if row["work"] == work} for work in {row["work"] for row in rows}}
    for work, optional in BY_OPTIONAL.items():
        RIVALS[work].update(*(optional[name] for name in OPTIONAL))
    assert names == RIVALS
    assert all(row["rate"] > 0 and row["ratio"] > 0 for row in rows)
    assert all(row["ratio"] == 1 for row in rows if row["name"] == "ours")
    missing = {"monai", "litdata", "webdataset"} - OPTIONAL
    assert all(name in done.stdout for name in missing)
    assert ("Left out" in done.stdout) == bool(missing)


def run(words: list[str], command: str = "benchmarks") -> subprocess.CompletedProcess[str]:
    """In a fresh process: what is measured has to begin as it does for a user."""
    return subprocess.run(
        [sys.executable, "-m", command, *words], cwd=REPOSITORY, check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize(("word", "named"), [("patient=3", "patient"), ("work=fed", "fed"), ("who=monai", "monai")])
def test_an_unknown_key_or_work_is_a_mistake_in_the_command(word: str, named: str) -> None:
    done = warm.run(["-m", "benchmarks", word], cwd=REPOSITORY)
    assert done.returncode == 2
    assert f"unknown: {named}" in done.stderr


@pytest.mark.slow
def test_feeding_a_network_has_a_rate_and_its_share_of_what_one_batch_that_stays_reaches(tmp_path: Path) -> None:
    words = ["device=cpu", "models=test_resnet", "batch=4", "size=32", "steps=2", "repeats=1", "patients=6"]
    done = run([*words, f"json={tmp_path / 'rows.json'}"], "benchmarks.gpu")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert (row["work"], row["name"], row["batch"]) == ("gpu", "test_resnet", 4)
    assert row["rate"] > 0
    assert row["ratio"] > 0


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_nothing_is_wrong() -> None:
    done = run([], "benchmarks.gpu")
    assert done.returncode == 0, done.stderr
    assert "no GPU" in done.stdout
