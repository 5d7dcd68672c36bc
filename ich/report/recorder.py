"""What a training leaves in its run besides its parameters: metrics, folds, digests, checkpoints, predictions."""

import hashlib
import json
import shutil
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from ich import config
from ich.calibration import Calibration
from ich.config import compose
from ich.config.stop import Stopped
from ich.data.module import HeadCT
from ich.findings import FINDINGS
from ich.model.learner import MONITOR, Learner, Scored
from ich.report.calibrated import calibrate, calibrated_scores
from ich.report.comparison import SLICES
from ich.report.layouts import HEADERS, write_headers
from ich.report.lightning_logger import RunLogger
from ich.report.others import following, leading
from ich.report.rescue import rescue_others, run_folder, upload_folder
from ich.report.resume import CHOICES_TAG, RECORD, REFUSALS, Resumed, check_data, describe_machine, held, tell_machine
from ich.report.run_files import draw_validation, write_predictions, write_slices
from ich.report.run_report import Files, Told, write_report
from ich.report.setting import LogSetting, describe_setting
from ich.report.tracking import (
    DIGEST_TAG,
    SWEPT_TAG,
    Run,
    finished_child,
    log_model,
    open_run,
    swept_keys,
    system_metrics,
    unfinished_run,
)
from ich.saves import BEST, HALF_DONE

SHEET = Path("figures", "validation.png")
PREVALENCE = "prevalence.csv"
"""The training fold's, by label: what the floor is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a trainer needs to leave a record; in the other processes of a run, an empty one."""

    folder: Path
    logger: Logger | None = None
    recorder: "RunRecorder | None" = None
    setting: LogSetting | None = None

    @property
    def callbacks(self) -> Sequence[Callback]:
        return [one for one in (self.recorder, self.setting) if one]


@contextmanager
def record_run(cfg: DictConfig, *, cache: Path, resumed: Resumed | None = None) -> Iterator[Record]:
    """Open the run in the one process that writes; what was learned is uploaded also after a failure.

    The run's folder stays until it has finished, so that it can go on.
    """
    if rank_zero_only.rank != 0:
        with following():
            yield Record(folder=run_folder(cache, resumed.run_id if resumed else uuid.uuid4().hex))
        return
    with ExitStack() as stack:
        if resumed:  # before its state is touched
            stack.enter_context(held(run_folder(cache, resumed.run_id), resumed.run_id))
            stack.enter_context(resumed.no_folder_if_refused(run_folder(cache, resumed.run_id)))
        run = stack.enter_context(_open(cfg, resumed))
        folder = run_folder(cache, run.id)
        if not resumed:
            stack.enter_context(held(folder, run.id))
        elif resumed.best and not (folder / BEST).exists():
            shutil.copy(resumed.best, folder / BEST)
        rescue_others()
        setting = LogSetting(run, OmegaConf.to_yaml(cfg, resolve=True))
        if not resumed:
            setting.write()
        points = run.held_metrics() if resumed else Counter[tuple[str, int]]()
        logger = RunLogger(run, points)
        recorder = RunRecorder(run, folder, logger)
        try:
            with leading(run, recorder.upload), system_metrics(run, points) if cfg.system_metrics else nullcontext():
                yield Record(folder=folder, logger=logger, recorder=recorder, setting=setting if resumed else None)
            if cfg.report:
                recorder.log_report(cfg, resumed.choices if resumed else config.choices())
                recorder.log_model()
        except Stopped:
            if cfg.fit and not config.is_sweep_job():
                print(f"goes on by: python train.py resume=runs:/{run.id}", file=sys.stderr, flush=True)
            raise
        finally:
            recorder.upload()
    shutil.rmtree(folder)


def _open(cfg: DictConfig, resumed: Resumed | None) -> AbstractContextManager[Run]:
    if resumed:
        at = resumed.checkpoint or "its beginning"
        return open_run(name="", params={}, tags={"resumed": f"from {at}"}, again=resumed.run_id, refusals=REFUSALS)
    choices = config.choices()
    swept = {f"{SWEPT_TAG}{key}": str(_said(cfg, key)) for key in swept_keys()}
    tags = {DIGEST_TAG: config_digest(cfg), CHOICES_TAG: json.dumps(choices)} | swept
    command = config.job_words() if config.is_sweep_job() else None
    return open_run(name=_name(cfg, choices), params=compose.flat(cfg), tags=tags, command=command)


def unfinished_before(cfg: DictConfig) -> str | None:
    """The newest run of this very configuration, where it has not finished."""
    return unfinished_run(DIGEST_TAG, config_digest(cfg))


def finished_before(cfg: DictConfig) -> str | None:
    """The run of a job of this multirun that has finished already, in an earlier attempt."""
    return finished_child(config_digest(cfg)) if rank_zero_only.rank == 0 and swept_keys() else None


def config_digest(cfg: DictConfig) -> str:
    """Of a whole configuration, so that a job is known again."""
    said = {name: value for name, value in compose.plain(cfg).items() if name != "resume"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


class RunRecorder(Callback):
    """Writes folds, digests and the best validation's predictions as the training goes."""

    def __init__(self, run: Run, folder: Path, logger: RunLogger) -> None:
        self.run, self.logger, self.folder = run, logger, folder
        self.lowest = float("inf")
        self.best: dict[str, float] = {}
        self.best_epoch = 0
        self.validated: tuple[HeadCT, Scored] | None = None
        self.calibration: Calibration | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._record_data(trainer.datamodule)  # type: ignore[attr-defined]

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._record_data(trainer.datamodule)  # type: ignore[attr-defined]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        assert pl_module.validated is not None
        score = float(trainer.callback_metrics[MONITOR])  # in float32, as ModelCheckpoint compares it
        if not self.best or score < self.lowest:
            self.lowest, self.best, self.best_epoch = score, dict(pl_module.scores), trainer.current_epoch
            data: HeadCT = trainer.datamodule  # type: ignore[attr-defined]
            write_predictions(self.folder / "predictions" / "val.csv", data, pl_module.validated)
            self.validated = data, pl_module.validated

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Calibrate the best checkpoint; the last, from which a training goes on, stays as it is."""
        best = self.folder / BEST
        if self.validated and best.exists():
            self.calibration = calibrate(best, self.folder / "predictions" / "val.csv")
            self._log_calibrated("val")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """What a training that goes on needs; a best checkpoint is no save point and goes without."""
        if HALF_DONE not in checkpoint:
            return
        scored = self.validated[1] if self.validated else None
        checkpoint[RECORD] = {
            "run_id": self.run.id,
            "data": _digests(trainer.datamodule),  # type: ignore[attr-defined]
            "machine": describe_machine(trainer, pl_module),
            "told": [(epoch, dict(metrics)) for epoch, metrics in self.logger.told],
            "lowest": self.lowest,
            "best": dict(self.best),
            "best_epoch": self.best_epoch,
            "validated": [torch.from_numpy(part) for part in scored] if scored else None,
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Of a training that goes on: what it has told, told again where the run does not hold it."""
        if not trainer.training:
            return
        kept, data = checkpoint[RECORD], trainer.datamodule  # type: ignore[attr-defined]
        check_data(kept["data"], _digests(data))
        tell_machine(kept["machine"], describe_machine(trainer, pl_module))
        self.logger.tell_again(kept["told"])
        if not (self.folder / BEST).exists():  # as the checkpoint callback: the next validation is the best so far
            return
        self.lowest, self.best, self.best_epoch = kept["lowest"], kept["best"], kept["best_epoch"]
        if kept["validated"]:
            self.validated = data, Scored(*(part.numpy() for part in kept["validated"]))
            write_predictions(self.folder / "predictions" / "val.csv", *self.validated)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        assert pl_module.tested is not None
        data: HeadCT = trainer.datamodule  # type: ignore[attr-defined]
        write_predictions(self.folder / "predictions" / "test.csv", data, pl_module.tested)
        self._log_calibrated("test")

    def _log_calibrated(self, part: str) -> None:
        if self.calibration:
            scores = calibrated_scores(self.folder / "predictions" / f"{part}.csv", part, self.calibration)
            self.logger.log_once(scores, self.best_epoch)

    def log_model(self) -> None:
        """The best checkpoint as a model that MLflow can serve; a validation alone has none."""
        best = self.folder / BEST
        if best.exists():
            log_model(self.run, best)

    def log_report(self, cfg: DictConfig, choices: Mapping[str, str]) -> None:
        """report.html and what stands on it, as files. `choices` are the names of the groups' files."""
        if not self.validated:
            return
        data, _ = self.validated
        setting = describe_setting(cfg, data, choices) | {"best epoch": f"{self.best_epoch}, by {MONITOR}"}
        sheet = self._draw_sheet()
        told = Told(
            name=_name(cfg, choices),
            where=f"runs:/{self.run.id}",
            setting=setting,
            history=self.logger.history,
            sheet=sheet,
            calibration=self.calibration,
        )
        output = self.folder / "report"
        files = Files(
            predictions=self.folder / "predictions",
            prevalence=self.folder / PREVALENCE,
            headers=self.folder / HEADERS,
        )
        write_report(told, files, output)
        for file in sorted(output.iterdir()):
            self.run.log_file(file, "report")

    def _draw_sheet(self) -> Path:
        assert self.validated is not None
        sheet = self.folder / SHEET
        if not sheet.exists():
            draw_validation(sheet, *self.validated)
        return sheet

    def upload(self) -> None:
        """Put checkpoints, predictions and the sheet of found and missed slices into the run."""
        if self.validated:
            self._draw_sheet()
        upload_folder(self.run, self.folder)

    def _record_data(self, data: HeadCT) -> None:
        self.run.set_tags({"data_digest": data.cohort_digest, "store_digest": data.store.digest})
        counts = {"slices": len(data.index), "training": len(data.train_rows), "validation": len(data.val_rows)}
        self.run.log_dataset(type(data.source).__name__.lower(), data.cohort_digest, counts)
        folds = self.folder / "folds.csv"
        data.folds[["image_id", "patient_id", "fold"]].to_csv(folds, index=False)
        self.run.log_file(folds)
        self.run.log_file(write_slices(self.folder / SLICES, data))
        predicted = np.union1d(data.val_rows, data.test_rows)
        write_headers(self.folder / HEADERS, data.index["image_id"][predicted], data.header_groups(predicted))
        self.run.log_file(self.folder / HEADERS)
        prevalence = self.folder / PREVALENCE
        pd.DataFrame({"label": FINDINGS, "prevalence": data.prevalence}).to_csv(prevalence, index=False)
        self.run.log_file(prevalence)
        if len(data.left_out):
            data.left_out.to_csv(self.folder / "left_out.csv", index=False)
            self.run.log_file(self.folder / "left_out.csv")
        for note in data.notes:
            print(note, flush=True)


def _digests(data: HeadCT) -> dict[str, str]:
    """What a training saw, and in which parts."""
    rows = [data.train_rows, data.val_rows, data.test_rows]
    parts = hashlib.sha256(b"|".join(part.astype(np.int64).tobytes() for part in rows)).hexdigest()[:16]
    return {"cohort": data.cohort_digest, "store": data.store.digest, "folds": parts}


def _name(cfg: DictConfig, choices: Mapping[str, str]) -> str:
    """What the list of runs shows: in a sweep what is this job's own, else the network and its windows."""
    own = [f"{key}={_said(cfg, key)}" for key in swept_keys()]
    return " ".join(own) or f"{cfg.model.name} {choices['window'] if cfg.fit else 'validation'}"


def _said(cfg: DictConfig, key: str) -> object:
    """A key's value, or the choice of a group."""
    value = OmegaConf.select(cfg, key)
    return config.choice(key) if OmegaConf.is_dict(value) and "." not in key else value
