"""A learner on its devices: processes, precision, progress, checkpoints."""

import logging
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher

from ich.errors import InputError
from ich.model.learner import MONITOR
from ich.processes import forget_started, name_lost, watch_started
from ich.progress import counted
from ich.saves import BEST, Saves, WholeFiles

CUT_TO_SIGNAL = 1.0
"""Seconds from a dead worker's cut pipe to its signal, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSettings:
    """Where and how long to train, in Lightning's words; `auto` takes what the machine has."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    devices: Annotated[int, Ge(1)] | Literal["auto"] = "auto"
    strategy: Literal["auto", "ddp"] = "auto"
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    max_epochs: Annotated[int, Ge(1)] = 2
    accumulate_grad_batches: Annotated[int, Ge(1)] = 1
    gradient_clip_val: Annotated[float, Gt(0)] | None = None
    num_nodes: Annotated[int, Ge(1)] = 1
    val_check_interval: Annotated[int, Ge(1)] | Annotated[float, Gt(0), Le(1)] = 1.0
    save_every_n_steps: Annotated[int, Ge(1)] | None = None
    save_every_minutes: Annotated[float, Gt(0)] | None = None

    def __post_init__(self) -> None:
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            raise ValueError("this machine has no GPU that torch can use; take trainer=cpu or trainer=auto")
        if self.accelerator == "mps" and not torch.backends.mps.is_available():
            raise ValueError("this machine has no Apple GPU that torch can use; take trainer=cpu or trainer=auto")
        if self.on_gpu and isinstance(self.devices, int) and self.devices > torch.cuda.device_count():
            raise ValueError(
                f"devices={self.devices}, but this machine has {counted(torch.cuda.device_count(), 'GPU')}"
            )

    @property
    def on_gpu(self) -> bool:
        return self.accelerator in ("auto", "gpu") and torch.cuda.is_available()

    @property
    def num_processes(self) -> int:
        """Processes on this machine."""
        if self.devices != "auto":
            return self.devices
        return torch.cuda.device_count() if self.on_gpu else 1

    def create(self, *, folder: Path, callbacks: Sequence[Callback], logger: Logger | None) -> Trainer:
        """The trainer; `folder` gets best.ckpt (lowest MONITOR) and last.ckpt."""
        _quiet()
        watch_started()
        saves = Saves(folder, every_n_steps=self.save_every_n_steps, every_minutes=self.save_every_minutes)
        precision = self.precision
        if precision == "auto":
            precision = "bf16-mixed" if self.on_gpu else "32-true"
        trainer = Trainer(
            accelerator=self.accelerator,
            devices=self.num_processes if self.strategy == "ddp" else self.devices,
            strategy=self.strategy,
            num_nodes=self.num_nodes,
            precision=precision,
            max_epochs=self.max_epochs,
            accumulate_grad_batches=self.accumulate_grad_batches,
            gradient_clip_val=self.gradient_clip_val,
            val_check_interval=self.val_check_interval,
            default_root_dir=folder,
            logger=logger or False,
            callbacks=[saves, *callbacks, _Best(folder), _Bar(), _EndOthers()],
            plugins=[WholeFiles()],
            num_sanity_val_steps=0,  # its scores would be half a validation
            log_every_n_steps=1,
            use_distributed_sampler=False,  # it pads; ich.data.module shares rows out unpadded
            enable_model_summary=False,
        )
        # Signals are the door's (ich.config.stop): Lightning's own handler broadcasts from wherever the program is, and
        # inside a collective the processes then wait for each other for ever.
        trainer._signal_connector.register_signal_handlers = _leave_signals  # type: ignore[method-assign]
        return trainer


class JobFailed(InputError):
    """A job of a sweep, in a process of its own, did not end well; it has said why itself."""


class OutOfMemory(InputError):
    """The device, or this machine, has no memory left for the batches of this training."""


class WorkerDied(InputError):
    """A process that reads batches was ended from outside."""


class Unsaved(InputError):
    """A checkpoint that could not be written."""


def with_faults_named(run: Callable[[], None], folder: Path) -> None:
    """Run; what torch raises where a machine fails becomes one message with the setting that helps.

    No context manager: a dead worker is a cut pipe and a signal, and the signal's error may strike in a manager's exit.
    """
    try:
        try:
            run()
        except (ConnectionError, EOFError) as error:
            time.sleep(CUT_TO_SIGNAL)  # and where the signal comes, it strikes here
            raise RuntimeError(f"DataLoader worker: {type(error).__name__} {error}".rstrip()) from error
    except torch.OutOfMemoryError as error:
        first = str(error).partition(". ")[0]
        raise OutOfMemory(
            f"{first}: lower data.batch_size (trainer.accumulate_grad_batches makes up for it), geometry.size, or take "
            "trainer.precision=bf16-mixed"
        ) from error
    except RuntimeError as error:
        said = str(error).partition("\n")[0]
        if "DataLoader worker" in said:
            raise WorkerDied(
                f"a process that reads batches has ended ({said}), mostly for lack of memory or of /dev/shm: "
                "data.num_workers=0 reads in this process, as fast"
            ) from error
        if "can't allocate memory" in said:
            raise OutOfMemory(f"this machine has no memory left ({said}); lower data.batch_size") from error
        if "PytorchStreamWriter" in said or "inline_container" in said:
            raise Unsaved(f"{folder}: a checkpoint could not be written: is the disk full? ({said})") from error
        if lost := name_lost(error):
            raise lost from error
        raise


def run_as_own_process(command: Sequence[str]) -> None:
    """Run one job of a sweep over several devices; Lightning starts the others from this process's command line."""
    job = subprocess.Popen(command)
    try:
        code = job.wait()
    except BaseException:
        job.terminate()
        job.wait()
        raise
    if code:
        raise JobFailed(f"exit code {code} of: {' '.join(command)}")


def _leave_signals() -> None:
    """In the place of Lightning's registering."""


class _EndOthers(Callback):
    """A failed or stopped process ends those that it has started: they would wait for it."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        launcher = trainer.strategy.launcher
        if isinstance(launcher, _SubprocessScriptLauncher):
            launcher.kill(signal.SIGINT)  # a SIGTERM would wait for the next save
            forget_started()


class _Bar(RichProgressBar):
    """Lightning's bar with the score of the last validation instead of its version number."""

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        score = trainer.callback_metrics.get(MONITOR)
        return {} if score is None else {"val": f"{float(score):.4f}"}


def _quiet() -> None:
    """What Lightning says that nobody here can use: other products, a deprecation of its own, means of means."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*deprecated")
    warnings.filterwarnings("ignore", message=".*does not have many workers")
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")  # a run goes on
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable")  # ich.data.module asks the counters
    warnings.filterwarnings("ignore", message=".*sync_dist=True")  # scores are over all processes' rows already


class _Best(ModelCheckpoint):
    """best.ckpt of the lowest MONITOR, also where a training goes on in another folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            dirpath=folder,
            filename=Path(BEST).stem,
            monitor=MONITOR,
            mode="min",
            save_top_k=1,
            enable_version_counter=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        path = Path(str(self.dirpath)) / BEST
        if not path.exists():  # the next validation is the best so far
            return
        score = state_dict["best_model_score"]
        own = {"dirpath": self.dirpath, "best_model_path": str(path), "kth_best_model_path": str(path)}
        super().load_state_dict(state_dict | own | {"best_k_models": {str(path): score} if score is not None else {}})
