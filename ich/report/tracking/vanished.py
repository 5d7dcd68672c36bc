"""Runs whose process ended without a word (SIGKILL, out of memory): nobody else is left to write KILLED."""

from typing import TYPE_CHECKING

from ich.report.tracking.process import PROCESS_TAG, is_gone
from ich.report.tracking.run import EXPERIMENT, Run
from ich.report.tracking.store import connect, experiment_id, failures_named

if TYPE_CHECKING:
    import mlflow

VANISHED = "its process ended without a word: killed, or out of memory"


def end_vanished() -> list[str]:
    """Write KILLED into every run that is RUNNING in the record while its process, on this machine, is gone; their ids.

    Raises TrackingFailed.
    """
    client = connect()
    with failures_named():
        running = client.search_runs([experiment_id(client, EXPERIMENT)], "attributes.status = 'RUNNING'")
    gone = [run for run in running if _is_gone(run)]
    for run in gone:
        end_killed(client, run.info.run_id)
    return [run.info.run_id for run in gone]


def end_killed(client: "mlflow.MlflowClient", run_id: str) -> None:
    Run(client, run_id).close("KILLED", VANISHED)


def vanished_run(run_id: str) -> Run | None:
    """A run that its process left behind, to put into it what it had not told; None where there is nothing to do.

    Raises TrackingFailed.
    """
    client = connect()
    with failures_named():
        found = client.search_runs([experiment_id(client, EXPERIMENT)], f"attributes.run_id = '{run_id}'")
    return Run(client, run_id) if found and _is_gone(found[0]) else None


def _is_gone(run: "mlflow.entities.Run") -> bool:
    return is_gone(run.data.tags.get(PROCESS_TAG, ""))
