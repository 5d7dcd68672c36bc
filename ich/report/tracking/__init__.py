"""Runs in MLflow; the only room that imports it. An import points only to an earlier line of this map:

store        where runs are kept, and the command that shows them
origin       command, user and commit of a run
process      which process holds a run open
sender       metrics from a thread of their own, an end that no signal disturbs
outbox       what a server did not take, kept on disk
run          one run: what it holds, how it ends
vanished     runs whose process is gone
system       what the machine does meanwhile
sweep        a multirun: one parent, its children
checkpoint   `runs:/ID` to its files
model        a checkpoint as a model that MLflow serves; `served` is its code there
"""

from ich.report.tracking.checkpoint import (
    KeptRun,
    UnknownCheckpoint,
    UnknownRun,
    find_run,
    resolve_checkpoint,
    unfinished_run,
)
from ich.report.tracking.model import log_model
from ich.report.tracking.outbox import send_all
from ich.report.tracking.process import is_gone, this_process
from ich.report.tracking.run import PARENT_VARIABLE, Run, open_run, outcome
from ich.report.tracking.store import TrackingFailed, ui_command
from ich.report.tracking.sweep import (
    DIGEST_TAG,
    SWEPT_TAG,
    Child,
    JobsFailed,
    finished_child,
    open_sweep,
    read_children,
    swept_keys,
)
from ich.report.tracking.system import system_metrics
from ich.report.tracking.vanished import VANISHED, vanished_runs

__all__ = [
    "DIGEST_TAG",
    "PARENT_VARIABLE",
    "SWEPT_TAG",
    "VANISHED",
    "Child",
    "JobsFailed",
    "KeptRun",
    "Run",
    "TrackingFailed",
    "UnknownCheckpoint",
    "UnknownRun",
    "find_run",
    "finished_child",
    "is_gone",
    "log_model",
    "open_run",
    "open_sweep",
    "outcome",
    "read_children",
    "resolve_checkpoint",
    "send_all",
    "swept_keys",
    "system_metrics",
    "this_process",
    "ui_command",
    "unfinished_run",
    "vanished_runs",
]
