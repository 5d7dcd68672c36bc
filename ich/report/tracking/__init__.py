"""Runs in MLflow; the only room that imports it. An import points only to an earlier line of this map:

store        where runs are kept, and the command that shows them
sender       metrics from a thread of their own, an end that no signal disturbs
run          one run: what it holds, how it ends
sweep        a multirun: one parent, its children
checkpoint   `runs:/ID` to its files
"""

from ich.report.tracking.checkpoint import KeptRun, UnknownCheckpoint, UnknownRun, find_run, resolve_checkpoint
from ich.report.tracking.run import PARENT_VARIABLE, Run, open_run
from ich.report.tracking.store import TrackingFailed, ui_command
from ich.report.tracking.sweep import JobsFailed, open_sweep, swept_keys

__all__ = [
    "PARENT_VARIABLE",
    "JobsFailed",
    "KeptRun",
    "Run",
    "TrackingFailed",
    "UnknownCheckpoint",
    "UnknownRun",
    "find_run",
    "open_run",
    "open_sweep",
    "resolve_checkpoint",
    "swept_keys",
    "ui_command",
]
