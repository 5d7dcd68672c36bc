"""What fails is the machine or the numbers: one message with the way out, nothing half-written, exit code 1."""

import os
import re
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from ich.config.job import say
from ich.errors import InputError
from ich.findings import FINDINGS
from ich.predictor import NoMemory, Predictor
from ich.report.predictions import Predictions, write_predictions
from ich.trainer import OutOfMemory, Unsaved, WorkerDied, with_faults_named
from tests.faults.small import small_checkpoint
from tests.project import SMALL, Project, Trained

CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79 GiB"


def test_a_loss_that_is_no_number_stops_with_the_images_and_the_state(project: Project, trained: Trained) -> None:
    endless = ("scheduler=constant", "optimizer=sgd", "optimizer.lr=1e30")
    done = project.run("train.py", *SMALL, *endless, code=1)
    assert "Traceback" not in done.stderr
    run = project.newest()
    assert run.info.status == "FAILED"
    said = re.search(
        r"NotFinite: the loss is (nan|inf) in step (\d+) \(epoch 0\); its batch's images are (.*?)\. ", done.stderr
    )
    assert said
    folds = pd.read_csv(project.artifact(run, "folds.csv")).set_index("image_id")["fold"]
    assert (folds.loc[said[3].split(", ")] > 0).all()  # fold 0 is held out
    assert len(said[3].split(", ")) == 32
    state = torch.load(project.artifact(run, "checkpoints/not_finite.ckpt"), weights_only=True)
    assert state["global_step"] == int(said[2]) - 1
    assert state["settings"]["optimizer"]["lr"] == 1e30
    assert "NotFinite" in run.data.tags["failure"]


def out_of_memory(*_: object) -> None:
    raise torch.OutOfMemoryError(CUDA)


def test_a_gpu_without_memory_names_what_to_lower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutOfMemory, match=r"^CUDA out of memory: lower data\.batch_size"):
        with_faults_named(out_of_memory, tmp_path)
    predictor = Predictor.load(small_checkpoint(tmp_path / "small.ckpt"), "cpu")

    monkeypatch.setattr(predictor.classifier, "forward", out_of_memory)
    with pytest.raises(NoMemory, match="32 slices at once are too many; lower batch_size"):
        predictor.predict([torch.zeros(1, 64, 64, dtype=torch.int16).numpy()] * 32)


def test_a_machine_without_memory_says_so(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match=r"no memory left .* lower data\.batch_size"):
        with_faults_named(lambda: torch.empty(2**60, dtype=torch.int8), tmp_path)


class Deadly(Dataset[int]):
    """What reads it is killed."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, place: int) -> int:
        if place == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return place


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the loader's, when it is collected
def test_a_killed_worker_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(WorkerDied, match=r"data\.num_workers=0"):
        with_faults_named(lambda: list(DataLoader(Deadly(), num_workers=1)), tmp_path)


def test_a_killed_workers_signal_after_its_cut_pipe_is_one_message(tmp_path: Path) -> None:
    def strike(*_: object) -> None:
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")

    def cut() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        raise EOFError

    before = signal.signal(signal.SIGALRM, strike)
    try:
        with pytest.raises(WorkerDied, match=r"\(DataLoader worker \(pid 1\) is killed by signal: Killed\.\)"):
            with_faults_named(cut, tmp_path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_cut_pipe_alone_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut() -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr("ich.trainer.CUT_TO_SIGNAL", 0)
    with pytest.raises(WorkerDied, match="Connection reset by peer"):
        with_faults_named(cut, tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_under_a_checkpoint_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(Unsaved, match="is the disk full"):
        with_faults_named(lambda: torch.save({"weights": torch.zeros(2**20)}, "/dev/full"), tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_leaves_no_half_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pd.DataFrame(0.5, index=range(1000), columns=list(FINDINGS))
    rows.insert(0, "file", "a.dcm")
    rows.insert(1, "image_id", "a")
    rejected = pd.DataFrame(columns=["file", "reason", "detail"])
    found = Predictions(probabilities=rows, rejected=rejected, any_raised=0, calibration=None)
    write_predictions(found, tmp_path)
    before = (tmp_path / "probabilities.csv").read_bytes()
    (tmp_path / "probabilities.csv.unfinished").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as full:
        write_predictions(found, tmp_path)
    assert (tmp_path / "probabilities.csv").read_bytes() == before
    say(full.value)
    assert capsys.readouterr().err.startswith("OSError: [Errno 28] No space left on device")


def test_a_vanished_mount_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    say(OSError(116, "Stale file handle", "/mnt/ct/a.dcm"))
    assert capsys.readouterr().err == "OSError: [Errno 116] Stale file handle: '/mnt/ct/a.dcm'\n"


def test_a_folder_that_vanishes_while_it_is_prepared_is_one_message(tmp_path: Path) -> None:
    from ich.ct.geometry import HeadGeometry
    from ich.data.cohort import read_cohort
    from ich.data.store import begin_store
    from tests.data.dicom_files import write_slice

    for number in range(3):
        write_slice(tmp_path / "in" / f"{number}.dcm", image=str(number), z=number)
    cohort = read_cohort(tmp_path / "in")
    (tmp_path / "in").rename(tmp_path / "gone")
    begun = begin_store(cohort, HeadGeometry(size=16), cache=tmp_path / "cache")
    with pytest.raises(InputError, match="it vanished or changed while slices were prepared"):
        begun.write()
    assert not begun.is_whole
    assert not [*begun.folder.glob("*.unfinished"), *begun.folder.glob("*.parquet")]
    (tmp_path / "gone").rename(tmp_path / "in")
    begun.write()
    assert begun.is_whole


@pytest.mark.skipif(os.name != "posix", reason="folders are read-only by other means there")
def test_a_folder_that_nobody_can_write_to_is_one_message(project: Project, trained: Trained, tmp_path: Path) -> None:
    file = next((project.root / "cache" / "phantom").rglob("*.dcm"))
    for output in ("/proc/ich", "/sys/ich"):  # for root every folder of a disk can be written to
        done = project.run(
            "predict.py", f"checkpoint={trained.checkpoint}", f"input={file}", f"output={output}", code=2
        )
        assert f"no folder can be made at {output}" in done.stderr
        assert "Traceback" not in done.stderr
