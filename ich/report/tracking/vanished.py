"""Runs whose process ended without a word (SIGKILL, out of memory): nobody else is left to write KILLED."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ich.report.tracking.process import PROCESS_TAG, is_gone
from ich.report.tracking.run import EXPERIMENT, Run
from ich.report.tracking.store import connect, experiment_id, failures_named

if TYPE_CHECKING:
    import mlflow

VANISHED = "its process ended without a word: killed, or out of memory"


def vanished_runs() -> Iterator[tuple[Run, dict[str, str]]]:
    """Every run that is RUNNING in the record while its process, on this machine, is gone; and its parameters.

    Raises TrackingFailed.
    """
    client = connect()
    with failures_named():
        running = client.search_runs([experiment_id(client, EXPERIMENT)], "attributes.status = 'RUNNING'")
    for run in running:
        if is_gone(run.data.tags.get(PROCESS_TAG, "")):
            yield Run(client, run.info.run_id), run.data.params


def end_vanished(client: "mlflow.MlflowClient", run_id: str) -> None:
    """Write KILLED into a run that nobody holds open any more. Raises TrackingFailed."""
    Run(client, run_id).close("KILLED", VANISHED)
