"""A multirun: one parent run, whose children are opened inside; stopped halfway, the same command goes on with it."""

import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ich.errors import InputError
from ich.progress import counted
from ich.report.tracking.origin import COMMIT_TAG, SOURCE_TAG, code_version
from ich.report.tracking.process import PROCESS_TAG, is_gone, number_of
from ich.report.tracking.run import EXPERIMENT, FAILURE_TAG, PARENT_TAG, PARENT_VARIABLE, Run, open_run
from ich.report.tracking.store import connect, experiment_id, failures_named
from ich.report.tracking.vanished import end_vanished

if TYPE_CHECKING:
    import mlflow

SWEPT_VARIABLE = "ICH_SWEPT_KEYS"
"""The keys of a multirun that have several values; set by open_sweep, inherited by processes."""
SWEPT_TAG = "swept."
"""Before a swept key: a child's own value of it."""
DIGEST_TAG = "config_digest"
"""Of a child's whole configuration."""
SWEEP_TAG = "sweep"
"""Of a parent: the swept keys."""


class JobsFailed(InputError):
    """Jobs of a sweep did not end well, and the launcher went on."""


class JobsRunning(InputError):
    """Jobs of a sweep outlived it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One job of a sweep: its own values of the swept keys, and its metrics at its best epoch."""

    id: str
    state: str
    failure: str = ""
    swept: dict[str, str]
    epoch: int | None
    metrics: dict[str, float]


@contextmanager
def open_sweep(command: Sequence[str]) -> Iterator[Run]:
    """The parent run of a multirun, told by its words after the door's name (`-m optimizer.lr=1e-4,3e-4`).

    Runs opened in the block, also in other processes that it starts, become its children. Its state is theirs: FAILED
    where one failed or was never closed, which a launcher of processes may not tell (raises JobsFailed). A parent of
    the same command and commit that was stopped or failed is opened again.
    """
    swept = [word for word in command if "=" in word and ("," in word or word.startswith("hydra.sweeper"))]
    words = [Path(sys.argv[0]).name, *command]
    begun = time.time_ns() // 1_000_000
    keys = ",".join(word.partition("=")[0].lstrip("+") for word in swept)
    name, tags = " ".join(["sweep", *swept])[:250], {SWEEP_TAG: keys}
    with open_run(name=name, params={}, tags=tags, command=words, again=_unfinished(words)) as parent:
        with _environment({PARENT_VARIABLE: parent.id, SWEPT_VARIABLE: keys}):
            yield parent
        _check_children(parent.id, since=begun)


def swept_keys() -> list[str]:
    """The keys of which each job of this multirun has a value of its own; outside a multirun none."""
    return [key for key in os.environ.get(SWEPT_VARIABLE, "").split(",") if key]


def finished_child(digest: str) -> str | None:
    """The run in which a job of this multirun with the same configuration has finished already."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None:
        return None
    for run in _latest_children(connect(), parent):
        if run.info.status == "FINISHED" and run.data.tags.get(DIGEST_TAG) == digest:
            return str(run.info.run_id)
    return None


def read_children(parent_id: str, *, monitor: str, names: Sequence[str]) -> list[Child]:
    """Every job, first to last; metrics `names` are those of the epoch with the lowest `monitor`."""
    client = connect()
    found = []
    for run in _latest_children(client, parent_id):
        swept = {name.removeprefix(SWEPT_TAG): value for name, value in run.data.tags.items() if SWEPT_TAG in name}
        with failures_named():
            history = client.get_metric_history(run.info.run_id, monitor)
            best = min(history, key=lambda point: (point.value, point.step), default=None)
            metrics = {
                name: point.value
                for name in names
                for point in client.get_metric_history(run.info.run_id, name)
                if best and point.step == best.step
            }
        one = Child(
            id=run.info.run_id,
            state=run.info.status,
            failure=run.data.tags.get(FAILURE_TAG, ""),
            swept=swept,
            epoch=best.step if best else None,
            metrics=metrics,
        )
        found.append(one)
    return found


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """These variables for the block, for processes started in it too."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _unfinished(words: Sequence[str]) -> str | None:
    """The newest parent of the same command and commit, unless it finished or its process still lives."""
    client = connect()
    with failures_named():
        runs = client.search_runs([experiment_id(client, EXPERIMENT)], order_by=["attributes.start_time DESC"])
    for run in runs:
        tags = run.data.tags
        if SWEEP_TAG in tags and tags.get(SOURCE_TAG) == shlex.join(words):
            same = tags.get(COMMIT_TAG) == code_version().get(COMMIT_TAG)
            open_elsewhere = run.info.status == "RUNNING" and not is_gone(tags.get(PROCESS_TAG, ""))
            if run.info.status == "FINISHED" or open_elsewhere or not same:
                return None
            _refuse_running(_latest_children(client, run.info.run_id))
            return str(run.info.run_id)
    return None


def _refuse_running(children: "Sequence[mlflow.entities.Run]") -> None:
    """Jobs that outlived their sweep, as a launcher's processes do when it is killed, would be run twice."""
    running = [run for run in children if run.info.status == "RUNNING"]
    numbers = {run.info.run_id: number_of(run.data.tags.get(PROCESS_TAG, "")) for run in running}
    said = [f"run {run_id} in process {number}" for run_id, number in numbers.items() if number]
    if said:
        raise JobsRunning(
            f"jobs of this sweep's last start still run: {', '.join(said)}; wait until they have ended, or stop them "
            "(kill and the number), and give the same command again: what has finished is passed over"
        )


def _latest_children(client: "mlflow.MlflowClient", parent_id: str) -> "list[mlflow.entities.Run]":
    """The last run of each job, in the order in which they were begun."""
    with failures_named():
        experiment = client.get_run(parent_id).info.experiment_id
        runs = client.search_runs(
            [experiment], f"tags.{PARENT_TAG} = '{parent_id}'", order_by=["attributes.start_time ASC"]
        )
    return [*{run.data.tags.get(DIGEST_TAG, run.info.run_id): run for run in runs}.values()]


def _check_children(parent_id: str, *, since: int) -> None:
    """What earlier attempts left unfinished does not count (`since`, in milliseconds)."""
    client = connect()
    children = [
        run
        for run in _latest_children(client, parent_id)
        if run.info.status == "FINISHED" or run.info.start_time >= since
    ]
    for run in children:
        if run.info.status == "RUNNING":  # nobody is left to write its state
            end_vanished(client, run.info.run_id)
    failed = [run.info.run_id for run in children if run.info.status != "FINISHED"]
    if failed:
        raise JobsFailed(f"{len(failed)} of {counted(len(children), 'job')} did not finish: {', '.join(failed)}")
