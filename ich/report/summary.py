"""What a training prints: its network and windows before, one small table after."""

import numpy as np
from pytorch_lightning.utilities import rank_zero_only
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ich import metric
from ich.data.module import HeadCT
from ich.model.learner import Learner
from ich.progress import counted
from ich.report.recorder import SHEET, Record
from ich.report.run_report import PAGE
from ich.report.tracking import Run, ui_command

SHOWN = ("weighted_log_loss", "auc/any", "average_precision/any", "precision", "recall", "f1", "accuracy")


@rank_zero_only
def show_settings(learner: Learner) -> None:
    """The network and the windows, so that nobody trains with one and believes in the other.

    An experiment file's own keys stand above a choice beside it: `experiment=demo model=resnet50` keeps its network.
    """
    network, windows = learner.settings["model"]["name"], learner.classifier.window.describe()
    Console().print(f"network: {network}; windows: {windows}", highlight=False)


@rank_zero_only
def show_results(record: Record, data: HeadCT, *, fit: bool) -> None:
    """Each metric of the best epoch beside its floor: that of the training fold's prevalence as everybody's answer."""
    assert record.recorder is not None
    scores, epoch = record.recorder.best, record.recorder.best_epoch
    labels = data.labels[data.val_rows]
    floors = metric.score(labels, np.broadcast_to(data.prevalence, labels.shape), prevalence=data.prevalence)
    table = Table("metric", "score", "floor", box=SIMPLE_HEAD)
    for name in SHOWN:
        if name in floors:
            table.add_row(name, f"{scores[f'val/{name}']:.4f}", f"{floors[name]:.4f}")
    console = Console()
    patients = data.index["patient_id"].iloc[data.val_rows].nunique()
    what = f"best validation, epoch {epoch}" if fit else "validation of the network's own probabilities"
    held_out = f"{counted(len(labels), 'slice')} of {counted(patients, 'patient')} held out"
    console.print(f"\n{what}: {held_out}", highlight=False)
    console.print(table)
    _show_file(console, record.recorder.run)
    console.print(f"run {record.recorder.run.id}; open the runs with: {ui_command()}", highlight=False, soft_wrap=True)


def _show_file(console: Console, run: Run) -> None:
    """The one to look at: the run's page, or without it the sheet; where a server keeps them, none."""
    for said, name in (("report", f"report/{PAGE}"), ("found and missed slices", SHEET.as_posix())):
        file = run.local_file(name)
        if file and file.exists():
            console.print(f"{said}: {file}", highlight=False, soft_wrap=True)
            return
