"""python -m ich.prepare as a user runs it: shards, kills, checksums, faults."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest

from ich.data.labels import write_labels
from ich.findings import FINDINGS
from tests.data.dicom_files import write_slice
from tests.project import Project

SLICES = 240
SHARD = 2 * 16 * 64 * 64
"""Bytes of a shard of sixteen slices: 15 shards."""


@pytest.fixture(scope="module")
def kaggle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 tiny slices of eight patients in Kaggle's layout."""
    root = tmp_path_factory.mktemp("kaggle")
    images = [f"ID_{number:03d}" for number in range(SLICES)]
    for number, image in enumerate(images):
        patient = f"ID_p{number // 30}"
        path = root / "stage_2_train" / f"{image}.dcm"
        write_slice(path, image=image, series=f"{patient}-s", patient=patient, z=5 * number, hu=number)
    labels = pd.DataFrame(0, index=pd.Index(images, name="image_id"), columns=list(FINDINGS))
    write_labels(root / "stage_2_train.csv", labels)
    return root


def command(root: Path, cache: Path, *words: str) -> list[str]:
    data = ("data=rsna", f"data.root={root}", f"data.cache={cache}", "geometry.size=64", f"shard_bytes={SHARD}")
    return [sys.executable, "-m", "ich.prepare", *data, "data.pseudonymize=false", *words]


def start(project: Project, root: Path, cache: Path, *words: str) -> subprocess.Popen[str]:
    """In a session of its own."""
    return subprocess.Popen(
        command(root, cache, *words),
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(project: Project, root: Path, cache: Path, *words: str, code: int = 0) -> str:
    """What the door says."""
    with start(project, root, cache, *words) as process:
        said, failed = process.communicate(timeout=240)
    assert process.returncode == code, said + failed
    return said + failed


def content(cache: Path) -> dict[str, bytes]:
    return {str(file.relative_to(cache)): file.read_bytes() for file in sorted(cache.rglob("*")) if file.is_file()}


@pytest.fixture(scope="module")
def whole(project: Project, kaggle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of one undisturbed run."""
    cache = tmp_path_factory.mktemp("whole")
    said = run(project, kaggle, cache)
    assert f"{SLICES} slices are prepared, 0 files left out: {cache}" in said
    return cache


def kill_at(project: Project, root: Path, cache: Path, moments: Iterator[float], *words: str) -> None:
    """Start and kill once at each moment, in seconds after the store has been begun."""
    for moment in moments:
        process = start(project, root, cache, *words)
        while process.poll() is None and not list(cache.rglob("store.json")):
            time.sleep(0.002)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)  # none that it began holds its output open


def writing_seconds(cache: Path) -> float:
    """From the store's first file to its last."""
    times = [file.stat().st_mtime for file in cache.rglob("*") if file.is_file()]
    return max(times) - min(times)


def resumed(project: Project, root: Path, whole: Path, cache: Path, seed: int, *words: str) -> None:
    seconds = writing_seconds(whole)
    draw = random.Random(seed)
    kill_at(project, root, cache, iter([draw.uniform(0, seconds)]), *words)
    run(project, root, cache, *words)
    assert content(cache) == content(whole)


def test_killed_at_any_moment_it_resumes_to_the_same_bytes(
    project: Project, kaggle: Path, whole: Path, tmp_path: Path
) -> None:
    resumed(project, kaggle, whole, tmp_path, 0)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("seed", range(20))
def test_killed_at_twenty_moments_it_resumes_to_the_same_bytes(
    project: Project, kaggle: Path, whole: Path, tmp_path: Path, seed: int, processes: int
) -> None:
    resumed(project, kaggle, whole, tmp_path, 100 + seed, f"processes={processes}")


def begin_two(project: Project, root: Path, cache: Path) -> subprocess.Popen[str]:
    """A command with two processes, of which one has begun."""
    process = start(project, root, cache, "processes=2")
    while not [line for line in session(process) if "spawn_main" in line]:
        assert process.poll() is None, "it ended before it had two processes"
        time.sleep(0.002)
    return process


def session(process: subprocess.Popen[str]) -> list[str]:
    """The command lines of what a command has begun, itself included."""
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getsid(one.pid) == process.pid and one.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(one.cmdline()))
    return found


@pytest.mark.parametrize("moment", [0.1, 1.5])
def test_a_killed_command_leaves_no_process_and_the_next_gives_the_same_bytes(
    project: Project, kaggle: Path, whole: Path, tmp_path: Path, moment: float
) -> None:
    process = begin_two(project, kaggle, tmp_path)
    time.sleep(moment)
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while left := session(process):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    run(project, kaggle, tmp_path, "processes=2")
    assert content(tmp_path) == content(whole)


@pytest.mark.parametrize("moment", [0.1, 0.4])
def test_ctrl_c_while_processes_begin_is_one_line(
    project: Project, kaggle: Path, tmp_path: Path, moment: float
) -> None:
    process = begin_two(project, kaggle, tmp_path)
    time.sleep(moment)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert "Fatal" not in said


def test_a_store_for_neighbours_is_another_one(project: Project, kaggle: Path, tmp_path: Path) -> None:
    """Eight series of 30 slices, in shards of 16 at most: a series alone has more, and is never divided."""
    said = run(project, kaggle, tmp_path, "series=true")
    folder = Path(said.strip().rpartition(": ")[2])
    assert json.loads((folder / "store.json").read_text())["geometry"]["name"] == "SeriesGeometry"
    assert [file.stat().st_size for file in sorted(folder.glob("*.bin"))] == [30 * 2 * 64 * 64] * 8


def test_killed_again_and_again_it_comes_to_an_end(project: Project, kaggle: Path, whole: Path, tmp_path: Path) -> None:
    seconds = writing_seconds(whole)
    kill_at(project, kaggle, tmp_path, iter([seconds / 3, seconds / 3]))
    run(project, kaggle, tmp_path)
    assert content(tmp_path) == content(whole)


def test_two_at_once_share_the_work_and_give_the_same_bytes(
    project: Project, kaggle: Path, whole: Path, tmp_path: Path
) -> None:
    both = [start(project, kaggle, tmp_path) for _ in range(2)]
    for process in both:
        said, failed = process.communicate(timeout=240)
        assert process.returncode == 0, said + failed
    assert content(tmp_path) == content(whole)


def test_a_sweep_over_shards_prepares_each_and_the_last_finishes(
    project: Project, kaggle: Path, whole: Path, tmp_path: Path
) -> None:
    said = run(project, kaggle, tmp_path, "-m", "shard=range(16)")
    assert "shard 0 is prepared; 1 of 15 shards there" in said
    assert "shard 14 is prepared; 15 of 15 shards there" in said
    assert "there is no shard 15; 15 of 15 shards there" in said
    assert content(tmp_path) == content(whole)


def test_verify_names_the_damaged_slices(project: Project, kaggle: Path, whole: Path, tmp_path: Path) -> None:
    assert f"{SLICES} slices have their checksums" in run(project, kaggle, whole, "verify=true")
    run(project, kaggle, tmp_path)
    file = next(tmp_path.rglob("00001.bin"))
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    said = run(project, kaggle, tmp_path, "verify=true", code=1)
    assert f"1 slice of {SLICES} damaged: ID_031 (ID_031.dcm)" in said
    assert "Traceback" not in said


def test_the_report_counts_faults_on_the_screen_and_names_them_in_files(project: Project, tmp_path: Path) -> None:
    root, output = tmp_path / "in", tmp_path / "out"
    for number, hu in enumerate((40, 9000, 41)):
        write_slice(root / "stage_2_train" / f"ID_{number}.dcm", image=f"ID_{number}", z=number, hu=hu)
    index = pd.Index([f"ID_{number}" for number in (0, 1, 2, 7)], name="image_id")
    write_labels(root / "stage_2_train.csv", pd.DataFrame(0, index=index, columns=list(FINDINGS)))
    said = run(project, root, tmp_path, "report=true", f"output={output}", "data.policies.metal=leave_out")
    rows = [line.replace("│", " ").split() for line in said.splitlines() if line.startswith("│")]
    assert ["metal", "1", "leave_out", "ID_1"] in rows
    assert ["no_image", "1", "keep", "ID_7"] in rows
    assert ["wrapped", "0", "mend"] in rows
    counts = json.loads((output / "faults.json").read_text())
    assert counts["metal"] == {"count": 1, "policy": "leave_out"}
    assert sum(fault["count"] for fault in counts.values()) == 2
    faults = pd.read_csv(output / "faults.csv", keep_default_na=False)
    assert faults.to_numpy().tolist() == [
        ["metal", "ID_1", "ID_p", "ID_1.dcm", "9000 HU"],
        ["no_image", "ID_7", "", "", "the table names it, and no file does"],
    ]


def test_an_output_that_is_no_folder_is_told_before_anything_is_read(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    said = run(project, tmp_path / "empty", tmp_path, "report=true", f"output={tmp_path / 'file' / 'out'}", code=1)
    assert f"BadOutput: {tmp_path / 'file' / 'out'}: cannot be written: Not a directory; output= takes a folder" in said
    assert "Traceback" not in said


def test_a_policy_that_there_is_not_is_refused(project: Project, kaggle: Path, tmp_path: Path) -> None:
    said = run(project, kaggle, tmp_path, "data.policies.metal=mend", "data.policies.medal=keep", code=2)
    assert "'mend' is not one of keep, leave_out, fail" in said
    assert "did you mean metal?" in said


def test_a_folder_that_is_not_there_is_one_message(project: Project, tmp_path: Path) -> None:
    said = run(project, tmp_path / "none", tmp_path, code=2)
    assert f"data.root: there is no file or folder {tmp_path / 'none'}" in said
    assert "Traceback" not in said


def test_one_shard_and_verify_exclude_each_other(project: Project, kaggle: Path, tmp_path: Path) -> None:
    assert "leave one out" in run(project, kaggle, tmp_path, "shard=0", "verify=true", code=2)


def test_preparing_imports_no_torch(project: Project) -> None:
    """A machine that only prepares needs none."""
    code = (
        "import runpy, sys; sys.argv = ['prepare', 'data.patients=2', 'data.slices=4', 'data.difficulty=demo']\n"
        "try:\n    runpy.run_module('ich.prepare', run_name='__main__')\n"
        "except SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "heavy = {'torch', 'mlflow', 'pytorch_lightning', 'timm'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project.root, capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
