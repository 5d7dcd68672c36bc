"""What a run writes aside until its end, and how it gets into the run: also that of a process which was killed."""

import logging
from pathlib import Path

from ich.report.tracking import VANISHED, Run, TrackingFailed, vanished_runs
from ich.saves import PREVIOUS

CACHE = "data.cache"
"""Of a run's parameters."""

log = logging.getLogger(__name__)


def run_folder(cache: Path, run_id: str) -> Path:
    """Where a run writes while it is not finished."""
    return cache / "runs" / run_id


def upload_folder(run: Run, folder: Path) -> None:
    """Put checkpoints, predictions and figures into the run."""
    for file in sorted([*folder.glob("predictions/*"), *folder.glob("figures/*")]):
        run.log_file(file, file.parent.name)
    for file in sorted({*folder.glob("*.ckpt")} - {folder / PREVIOUS}):
        run.log_file(file, "checkpoints")


def rescue() -> None:
    """Put into runs whose process was killed what it left aside, and write KILLED. Raises TrackingFailed.

    KILLED comes last, so that a rescue which is killed itself is done again by the next.
    """
    for run, params in vanished_runs():
        if CACHE in params:  # a sweep's parent leaves nothing aside
            upload_folder(run, run_folder(Path(params[CACHE]), run.id))
        run.close("KILLED", VANISHED)
        print(f"Note: run {run.id} is KILLED in the record: {VANISHED}", flush=True)


def rescue_others() -> None:
    """The same in a run that is open, which goes on whatever becomes of the others."""
    try:
        rescue()
    except (TrackingFailed, OSError) as error:
        log.warning("runs whose process was killed are looked for next time: %s", error)
