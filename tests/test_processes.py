"""Two processes, however they are started, leave one run with the numbers of one process, and end together."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from mlflow.entities import Run
from pytorch_lightning.utilities import rank_zero_only

from ich.processes import TOLD, from_first
from ich.report.tracking.store import local_path
from tests.faults.resume import same
from tests.project import REPOSITORY, SMALL, Project, Trained
from tests.test_resume import wait_for_two_saves

TWO = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
NO_BATCH_NORM = "model.name=test_convnext"
END_SECONDS = 60
SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2): an orphan becomes a child of this process, which hears its exit code."""


def torchrun(project: Project, *words: str) -> list[str]:
    return [*TORCHRUN, str(project.root / "train.py"), *words]


def run(command: list[str], code: int = 0, **environment: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=400, check=False, env=os.environ | environment
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def files(project: Project, run: Run) -> set[str]:
    """Of what a run holds but its page."""
    root = local_path(run.info.artifact_uri)
    assert root
    names = {file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()}
    return {name for name in names if not name.startswith(("report/", "model/"))}


def folders(project: Project) -> set[Path]:
    """Hydra's, and those of runs that have not finished."""
    return {*(project.root / "outputs").glob("*/*"), *(project.root / "cache" / "runs").glob("*/")}


def predictions(project: Project, run: Run) -> pd.DataFrame:
    return pd.read_csv(project.artifact(run, "predictions/val.csv"))


def one_run_and_one_folder(project: Project, runs: int, before: set[Path], trained: Trained) -> None:
    assert len(project.runs()) == runs + 1
    assert project.newest().info.status == "FINISHED"
    assert files(project, project.newest()) == files(project, trained.run)
    assert len(folders(project) - before) == 1  # the run's own is gone
    assert [*(project.root / "outputs").glob("*.log")] == []


def test_lightnings_own_launcher_leaves_one_run_and_one_folder(project: Project, trained: Trained) -> None:
    runs, before = len(project.runs()), folders(project)
    assert "sync_dist" not in project.run("train.py", *SMALL, *TWO, "trainer.max_epochs=1").stderr
    one_run_and_one_folder(project, runs, before, trained)


@pytest.mark.slow
def test_torchrun_leaves_one_run_and_one_folder(project: Project, trained: Trained) -> None:
    runs, before = len(project.runs()), folders(project)
    run(torchrun(project, *SMALL, *TWO, "trainer.max_epochs=1"))
    one_run_and_one_folder(project, runs, before, trained)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fold", "batch_size", "halves", "fills"), [(0, 26, True, True), (0, 12, True, False), (1, 12, False, False)]
)
def test_every_metric_and_every_row_is_that_of_one_process(
    project: Project, trained: Trained, fold: int, batch_size: int, halves: bool, fills: bool
) -> None:
    words = (*SMALL, "fit=false", f"checkpoint={trained.checkpoint}", f"data.batch_size={batch_size}")
    words = (*words, "data.folds=4", f"data.fold={fold}")
    project.run("train.py", *words)
    one = project.newest()
    project.run("train.py", *words, *TWO)
    two = project.newest()
    assert one.info.run_id != two.info.run_id
    assert one.data.metrics.keys() == two.data.metrics.keys()
    for name, value in one.data.metrics.items():
        assert two.data.metrics[name] == pytest.approx(value, abs=1e-6), name
    rows, others = predictions(project, one), predictions(project, two)
    assert (len(rows) % 2 == 0, len(rows) % batch_size == 0) == (halves, fills)
    assert rows["image_id"].is_unique
    probabilities = [name for name in rows if name.startswith("p_")]
    assert rows.drop(columns=probabilities).equals(others.drop(columns=probabilities))
    np.testing.assert_allclose(others[probabilities], rows[probabilities], rtol=0, atol=1e-6)


@dataclass(frozen=True, slots=True)
class Steps:
    """What tests/steps.py has written: losses [steps], rows [steps, batch]."""

    losses: np.ndarray
    rows: np.ndarray


def steps(folder: Path, processes: int) -> Steps:
    """The processes' shares of each global batch side by side, and the mean of their losses."""
    told = np.stack([np.loadtxt(folder / f"{rank}.txt") for rank in range(processes)])
    assert len({*folder.iterdir()}) == processes
    return Steps(told[..., 0].mean(axis=0), np.concatenate(told[..., 1:], axis=1).astype(int))


@pytest.mark.slow
def test_twenty_steps_have_the_losses_of_one_process(project: Project, trained: Trained, tmp_path: Path) -> None:
    script = str(Path(__file__).with_name("steps.py"))
    words = (str(project.root / "train.py"), *SMALL, NO_BATCH_NORM, "data.batch_size=8", "trainer.max_epochs=3")
    for name, launcher, where in (("one", (sys.executable,), ()), ("two", TORCHRUN, TWO)):
        (tmp_path / name).mkdir()
        run([*launcher, script, str(tmp_path / name), *words, *where])
    one, two = steps(tmp_path / "one", 1), steps(tmp_path / "two", 2)
    assert len(one.losses) >= 20
    assert (one.rows == two.rows).all()
    assert one.rows.shape[1] == 8
    print(f"largest difference of 20 losses: {np.abs(one.losses - two.losses)[:20].max():.1e}")
    np.testing.assert_allclose(two.losses[:20], one.losses[:20], rtol=0, atol=1e-5)
    assert np.ptp(one.losses) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_one_processs_loss_that_is_no_number_stops_both_with_its_images_and_the_state(
    project: Project, trained: Trained, tmp_path: Path, rank: int
) -> None:
    script, train = str(Path(__file__).with_name("steps.py")), str(project.root / "train.py")
    done = run([*TORCHRUN, script, str(tmp_path), train, *SMALL, *TWO, "data.batch_size=8"], code=1, BAD=f"{rank} 3")
    stopped = project.newest()
    assert stopped.info.status == "FAILED"
    rows = np.loadtxt(tmp_path / f"{rank}.txt")[3, 1:].astype(int)
    images = ", ".join(pd.read_csv(project.artifact(stopped, "folds.csv"))["image_id"].iloc[rows])
    assert f"NotFinite: the loss is nan in step 4 (epoch 0); its batch's images are {images}. The state" in done.stderr
    state = torch.load(project.artifact(stopped, "checkpoints/not_finite.ckpt"), weights_only=True)
    assert state["global_step"] == 3
    assert all(weights.isfinite().all() for weights in state["state_dict"].values())
    assert "NotFinite" in stopped.data.tags["failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Two:
    """A training by two processes that goes on: what was started, its processes by rank, its run, all that is said."""

    launcher: "subprocess.Popen[bytes]"
    ranks: dict[int, psutil.Process]
    run_id: str
    said: Path

    def kill(self, rank: int) -> tuple[int | None, int]:
        """SIGKILL one; the exit codes of the other (None where it is not heard) and of what was started."""
        other = self.ranks[1 - rank]
        self.ranks[rank].kill()
        killed = time.monotonic()
        first = self.launcher.wait(END_SECONDS)
        code = first if other.pid == self.launcher.pid else other.wait(END_SECONDS)
        assert time.monotonic() - killed < END_SECONDS
        print(f"ended {time.monotonic() - killed:.1f} s after rank {rank} was killed")
        return code, first


@pytest.fixture
def orphans_come_here() -> Iterator[None]:
    prctl = ctypes.CDLL(None).prctl
    assert prctl(SUBREAPER, 1) == 0
    yield
    prctl(SUBREAPER, 0)


def begin(project: Project, launcher: str, said: Path, *words: str) -> Two:
    before = {run.info.run_id for run in project.runs()}
    command = torchrun(project, *words) if launcher == "torchrun" else project.command("train.py", *words)
    with said.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    run_id = wait_for_two_saves(project, process, before)
    started = psutil.Process(process.pid)
    ranks = {int(rank): one for one in started.children(recursive=True) if (rank := one.environ().get("LOCAL_RANK"))}
    if launcher != "torchrun":
        ranks[0] = started
    assert sorted(ranks) == [0, 1]
    return Two(launcher=process, ranks=ranks, run_id=run_id, said=said)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="who was orphaned is heard of on Linux alone")
@pytest.mark.parametrize("launcher", ["lightning", "torchrun"])
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.usefixtures("orphans_come_here")
def test_a_killed_process_ends_the_other_and_the_run(
    project: Project, trained: Trained, tmp_path: Path, launcher: str, rank: int
) -> None:
    two = begin(project, launcher, tmp_path / "said.txt", *SMALL, *TWO, "trainer.max_epochs=1000")
    code, first = two.kill(rank)
    said = two.said.read_text()
    assert "ProcessLost: another process of this training has ended" in said
    if launcher == "torchrun":
        assert first == 1
    else:
        assert (code, first) == (1, -signal.SIGKILL if rank == 0 else 1)
        assert "Traceback" not in said
    left = project.client.get_run(two.run_id)
    assert left.info.status == ("KILLED" if rank == 0 else "FAILED")
    assert "ended" in left.data.tags["failure"]
    assert {"checkpoints/best.ckpt", "checkpoints/last.ckpt", "predictions/val.csv"} <= files(project, left)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "rank", "resume"), [("torchrun", 0, "auto"), ("lightning", 1, "auto"), ("torchrun", 1, "ID")]
)
def test_a_killed_training_of_two_goes_on_to_the_same_bits(
    project: Project, trained: Trained, tmp_path: Path, launcher: str, rank: int, resume: str
) -> None:
    words = [*SMALL, *TWO, "trainer.max_epochs=10", "trainer.save_every_n_steps=1", f"seed={20 + rank}"]
    start = torchrun if launcher == "torchrun" else lambda project, *words: project.command("train.py", *words)
    run(start(project, *words))
    whole = project.newest()
    two = begin(project, launcher, tmp_path / "said.txt", *words, "resume=auto")
    two.kill(rank)
    runs = len(project.runs())
    done = run(start(project, *words, f"resume={resume}" if resume == "auto" else f"resume=runs:/{two.run_id}"))
    assert "not bit-exact" not in done.stdout
    again = project.client.get_run(two.run_id)
    assert (again.info.status, len(project.runs())) == ("FINISHED", runs)
    one, other = (torch.load(project.artifact(of, "checkpoints/last.ckpt"), weights_only=True) for of in (whole, again))
    assert one["global_step"] == other["global_step"]
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert same(one[part], other[part]), part
    assert predictions(project, whole).equals(predictions(project, again))
    for name, value in whole.data.metrics.items():
        assert again.data.metrics[name] == value, name
        steps = [point.step for point in project.client.get_metric_history(two.run_id, name)]
        assert len(steps) == len({*steps}), name


TELL = """
import ich
import os, sys
from pathlib import Path
from ich.errors import InputError
from ich.processes import from_first

def find():
    if sys.argv[2] == "refused":
        raise InputError("no such run")
    return {"found by": os.getpid()}

try:
    told = from_first(find)
except InputError as error:
    told = f"{type(error).__name__}: {error}"
Path(sys.argv[1], str(os.getpid())).write_text(str(told))
"""


def srun(command: list[str]) -> None:
    """Two tasks with the variables that srun sets; it is not here."""
    job = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NODEID": "0", "SLURM_NODELIST": "127.0.0.1"}
    job |= {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NAME": "train"}
    tasks = [
        subprocess.Popen(command, env=os.environ | job | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)})
        for rank in (0, 1)
    ]
    assert [task.wait(timeout=400) for task in tasks] == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "srun"])
@pytest.mark.parametrize("way", ["found", "refused"])
def test_the_first_finds_out_for_all(tmp_path: Path, launcher: str, way: str) -> None:
    (tmp_path / "told").mkdir()
    (tmp_path / "tell.py").write_text(TELL)
    command = [str(tmp_path / "tell.py"), str(tmp_path / "told"), way]
    if launcher == "torchrun":
        run([*TORCHRUN, *command], PYTHONPATH=str(REPOSITORY))
    else:
        srun(["env", f"PYTHONPATH={REPOSITORY}", sys.executable, *command])
    told = sorted(file.read_text() for file in (tmp_path / "told").iterdir())
    assert len(told) == 2
    if way == "refused":
        assert told == ["FirstRefused: no such run", "InputError: no such run"]
    else:
        assert told[0] == told[1]


def test_what_lightning_starts_is_told_by_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOLD, "")  # and gone after the test
    assert from_first(lambda: {"run_id": "abc"}) == {"run_id": "abc"}
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert from_first(lambda: pytest.fail("the second looks for itself")) == {"run_id": "abc"}


@pytest.mark.slow
def test_tasks_of_srun_leave_one_run(project: Project, trained: Trained) -> None:
    runs = len(project.runs())
    srun(project.command("train.py", *SMALL, *TWO, "trainer.max_epochs=1", "resume=auto", "seed=30"))
    assert len(project.runs()) == runs + 1
    assert project.newest().info.status == "FINISHED"
    assert files(project, project.newest()) == files(project, trained.run)


WAITS = """
import ich, time
from ich import processes
processes.GRACE_SECONDS = 1
with processes.ended_with(lambda: True, lambda lost: print("closed:", lost, flush=True)):
    time.sleep(60)
"""


def test_a_process_that_waits_where_no_exception_comes_is_ended_with_its_record() -> None:
    done = subprocess.run([sys.executable, "-c", WAITS], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "ProcessLost: another process of this training ended 1 seconds before" in done.stderr
    assert done.stdout.startswith("closed: another process")
