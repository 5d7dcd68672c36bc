"""What was run, on which machine and on whom, in words."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import distributions

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer

from ich.data.module import HeadCT
from ich.progress import counted
from ich.report.run_report import THESIS
from ich.report.tracking import Run


class LogSetting(Callback):
    """A run's configuration and environment; as a callback for a resumed one: refused, it stays as it was."""

    def __init__(self, run: Run, configuration: str) -> None:
        self.run, self.configuration = run, configuration

    def write(self) -> None:  # `log` is Lightning's
        self.run.log_text(self.configuration, "config.yaml")
        self.run.log_text(describe_environment(), "environment.txt")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.write()


def describe_environment() -> str:
    """Python, system, devices, and every package with its version, as pip takes it."""
    devices = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    packages = sorted({f"{one.metadata['Name']}=={one.version}" for one in distributions()}, key=str.lower)
    head = [
        f"# Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        f"# {', '.join(devices) or 'no GPU'}",
    ]
    return "\n".join([*head, *packages]) + "\n"


def describe_setting(cfg: DictConfig, data: HeadCT, choices: Mapping[str, str]) -> dict[str, str]:
    """What was run and on whom, in words."""
    experiment, parts = choices.get("experiment"), data.folds.groupby("fold")["patient_id"].nunique()
    held_out = f"fold {data.source.fold} of {data.source.folds}" if data.source.folds_csv is None else "by folds.csv"
    setting = {
        "network": f"{cfg.model.name}, {'pretrained' if cfg.model.pretrained or cfg.model.weights else 'from scratch'}",
        "window": f"{choices['window']}; context {choices['context']}",
        "geometry": f"{choices['geometry']}, {data.store.size} pixels",
        "augmentation": choices["augment"],
        "learning": f"{choices['optimizer']} at {cfg.optimizer.lr:g}, {choices['scheduler']}, loss "
        f"{choices['loss']}, batches of {data.source.batch_size}, up to {counted(cfg.trainer.max_epochs, 'epoch')}",
        "data": f"{choices['data']}: {len(data.index):,} slices of {int(parts.sum()):,} patients; validation "
        f"{held_out}; digest {data.cohort_digest}",
        "left out": "; ".join(data.notes) or "nothing",
    }
    if experiment in THESIS:
        setting["the thesis's own result"] = f"{THESIS[experiment]} (not measured with this code; docs/thesis.md)"
    return setting
