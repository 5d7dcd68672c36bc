"""The benchmarks as a user runs them; what they measure is for a quiet machine and no test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import REPOSITORY

FEED = {"ours", "copy", "dataloader", "dataloader_batched", "png512", "png16", "pydicom"}


@pytest.mark.slow
def test_every_rival_has_a_row_with_its_rate_and_ratio(tmp_path: Path) -> None:
    words = [f"json={tmp_path / 'rows.json'}", "patients=3", "repeats=1", "seconds=0.01"]
    subprocess.run([sys.executable, "-m", "benchmarks", *words], cwd=REPOSITORY, check=True)
    rows = json.loads((tmp_path / "rows.json").read_text())
    names = {work: {row["name"] for row in rows if row["work"] == work} for work in {row["work"] for row in rows}}
    assert names == {
        "prepare": {"ours", "pydicom", "png512"},
        "feed": FEED,
        "feed_flips": {"ours", "copy"},
        "labels": {"ours", "pandas"},
    }
    assert all(row["rate"] > 0 and row["ratio"] > 0 for row in rows)
    assert all(row["ratio"] == 1 for row in rows if row["name"] == "ours")


def test_an_unknown_key_is_a_mistake_in_the_command() -> None:
    words = [sys.executable, "-m", "benchmarks", "patient=3"]
    done = subprocess.run(words, cwd=REPOSITORY, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "unknown: patient" in done.stderr
