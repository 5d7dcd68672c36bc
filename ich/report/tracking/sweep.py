"""A multirun: one parent run, whose children are opened inside."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ich.errors import InputError
from ich.progress import counted
from ich.report.tracking.run import PARENT_TAG, PARENT_VARIABLE, Run, open_run
from ich.report.tracking.store import connect, failures_named

SWEPT_VARIABLE = "ICH_SWEPT_KEYS"
"""The keys of a multirun that have several values; set by open_sweep, inherited by processes."""


class JobsFailed(InputError):
    """Jobs of a sweep did not end well, and the launcher went on."""


@contextmanager
def open_sweep(command: Sequence[str]) -> Iterator[Run]:
    """The parent run of a multirun, told by its words after the door's name (`-m optimizer.lr=1e-4,3e-4`).

    Runs opened in the block, also in other processes that it starts, become its children. Its state is theirs: FAILED
    where one failed or was never closed, which a launcher of processes may not tell (raises JobsFailed).
    """
    swept = [word for word in command if "=" in word and ("," in word or word.startswith("hydra.sweeper"))]
    words = [Path(sys.argv[0]).name, *command]
    with open_run(name=" ".join(["sweep", *swept])[:250], params={}, tags={}, command=words) as parent:
        keys = ",".join(word.partition("=")[0].lstrip("+") for word in swept)
        with _environment({PARENT_VARIABLE: parent.id, SWEPT_VARIABLE: keys}):
            yield parent
        _check_children(parent.id)


def swept_keys() -> list[str]:
    """The keys of which each job of this multirun has a value of its own; outside a multirun none."""
    return [key for key in os.environ.get(SWEPT_VARIABLE, "").split(",") if key]


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


def _check_children(parent_id: str) -> None:
    client = connect()
    with failures_named():
        experiment = client.get_run(parent_id).info.experiment_id
        children = client.search_runs([experiment], f"tags.{PARENT_TAG} = '{parent_id}'")
        lost = [run.info.run_id for run in children if run.info.status == "RUNNING"]
        for run_id in lost:  # nobody is left to write its state
            client.set_terminated(run_id, "FAILED")
    failed = [run.info.run_id for run in children if run.info.status != "FINISHED"]
    if failed:
        raise JobsFailed(f"{len(failed)} of {counted(len(children), 'job')} did not finish: {', '.join(failed)}")
