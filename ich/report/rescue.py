"""What a run writes aside until its end, and how it gets into the run: also that of a process which was killed."""

import shutil
from pathlib import Path

from filelock import FileLock

from ich.report.tracking import Run, end_vanished, vanished_run

SCRATCH = "runs"
"""Under the cache; in it a folder a run, named by its id."""


def upload_folder(run: Run, folder: Path) -> None:
    """Put checkpoints, predictions and figures into the run."""
    for file in sorted([*folder.glob("predictions/*"), *folder.glob("figures/*")]):
        run.log_file(file, file.parent.name)
    for file in sorted(folder.glob("*.ckpt")):
        run.log_file(file, "checkpoints")


def rescue(cache: Path) -> None:
    """Tell KILLED of runs whose process was killed, and put into them what it left aside. Raises TrackingFailed."""
    killed = end_vanished()
    for one in killed:
        print(f"Note: run {one} is KILLED in the record: its process is gone", flush=True)
    if not (cache / SCRATCH).is_dir():
        return
    with FileLock(cache / f"{SCRATCH}.lock"):
        for folder in sorted((cache / SCRATCH).glob("*")):
            run = vanished_run(folder.name)
            if run:
                upload_folder(run, folder)
                shutil.rmtree(folder)
