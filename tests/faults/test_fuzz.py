"""A cheap sample of `python -m tests.faults.dicom` and `python -m tests.faults.tables` in each run of the tests."""

import resource
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from ich.ct.dicom import BadSlice, Slice, read_header, read_slice
from ich.predictor import Predictor
from ich.report.predictions import predict_folder
from tests.data.dicom_files import write_slice
from tests.faults import configurations, dicom, tables
from tests.faults.damage import DICOM, damaged, renamed
from tests.faults.small import small_checkpoint
from tests.project import REPOSITORY

SLOWEST_SECONDS = 5.0


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The kit's files where they are, else one of our own."""
    if dicom.KIT.is_dir():
        return dicom.sources(None)
    return [write_slice(tmp_path_factory.mktemp("own") / "one.dcm", image="1.2.3.4.5.6.7.8").read_bytes()]


def test_the_same_seed_gives_the_same_damage(originals: list[bytes]) -> None:
    once, again = (damaged(originals[0], DICOM, Random("0 1")) for _ in range(2))
    assert once == again
    assert once != damaged(originals[0], DICOM, Random("0 2"))
    assert once[0] != originals[0]


def test_a_damaged_file_is_a_slice_or_has_a_reason(originals: list[bytes]) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = set()
    for number in range(400):
        random = Random(f"fast {number}")
        content, how = damaged(renamed(random.choice(originals), number), DICOM, random)
        start = time.monotonic()
        try:
            read_header(content)
            outcomes.add(type(read_slice(content)))
        except BadSlice as bad:
            outcomes.add(bad.reason)
        assert time.monotonic() - start < SLOWEST_SECONDS, how
    assert {Slice, "truncated", "bad_header"} <= outcomes or not dicom.KIT.is_dir()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < dicom.MOST_KB


def test_damaged_files_change_nothing_of_their_neighbours(originals: list[bytes], tmp_path: Path) -> None:
    dicom.write_damaged(tmp_path / "in", originals, 0, 100, seed=1)
    predictor = Predictor.load(small_checkpoint(tmp_path / "small.ckpt"), "cpu")
    sound = [write_slice(tmp_path / "in" / f"m{number:06}_sound.dcm", image=f"sound{number}") for number in (0, 50, 99)]
    both = predict_folder(predictor, tmp_path / "in", batch_size=8)
    assert len(both.probabilities) + len(both.rejected) == 103
    for file in sound:
        alone = predict_folder(predictor, file, batch_size=8).probabilities.iloc[0]
        beside = both.probabilities.set_index("file").loc[file.name]
        assert beside[list(dicom.FINDINGS)].to_numpy(float) == pytest.approx(
            alone[list(dicom.FINDINGS)].to_numpy(float), abs=dicom.SAME
        )


def test_damaged_tables_archives_stores_and_checkpoints_are_refused_or_right() -> None:
    assert tables.main(count=120, seed=1) == []


def test_damaged_experiments_and_commands_are_right_or_refused() -> None:
    assert configurations.main(count=16, seed=3) == []


@pytest.mark.slow
@pytest.mark.parametrize(("script", "count"), [("dicom", 4000), ("tables", 5000), ("configurations", 500)])
def test_thousands(script: str, count: int) -> None:
    """`python -m tests.faults.dicom` does 20,000 by itself: a quarter of an hour."""
    if script == "dicom" and not dicom.KIT.is_dir():
        pytest.skip("the real data are not here: dicom_odd is not in a folder `shared` beside the checkout")
    command = [sys.executable, "-m", f"tests.faults.{script}", "--count", str(count), "--seed", "2"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert "PASSED" in done.stdout.splitlines(), done.stdout[-3000:] + done.stderr[-2000:]
