"""Going on with a stopped run: its newest good save, its own configuration, and what may differ this time."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from ich.config import compose
from ich.errors import InputError
from ich.predictor import BadCheckpoint, load_checkpoint
from ich.report.tracking import find_state
from ich.saves import LAST, PREVIOUS

MAY_CHANGE = (
    "data.num_workers",
    "data.cache",
    "report",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.max_epochs",
    "trainer.save_every_n_steps",
    "trainer.save_every_minutes",
)
"""Where and how long, not what: max_epochs may only rise."""


class CannotResume(InputError):
    """A run that cannot be gone on with as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A run to go on with: from `checkpoint`, or from its beginning where it was stopped before its first save."""

    run_id: str
    finished: bool
    checkpoint: Path | None
    settings: dict[str, Any]

    def configuration(self, asked: DictConfig, typed: Sequence[str]) -> DictConfig:
        """The run's own configuration, with what was typed and may change. Raises CannotResume."""
        own = {name: value for name, value in compose.flat(OmegaConf.create(self.settings)).items()}
        here, refused = compose.flat(asked), []
        cfg = OmegaConf.create(self.settings)
        for key in sorted(name for name in own.keys() | here.keys() if _typed(name, typed)):
            old, new = own.get(key), here.get(key)
            if old == new:
                continue
            shorter = key == "trainer.max_epochs" and int(str(new)) < int(str(old))
            if key not in MAY_CHANGE or shorter:
                refused.append(f"{key} was {old}, here {new}")
            else:
                OmegaConf.update(cfg, key, OmegaConf.select(asked, key))
        if refused:
            raise CannotResume(
                f"run {self.run_id} goes on with its own configuration: {'; '.join(refused)}; leave it out, or start "
                f"a new run from its weights by checkpoint=runs:/{self.run_id}/last"
            )
        return cfg


def find_resumed(asked: str, *, cache: Path) -> Resumed:
    """The run of `runs:/ID` or of a checkpoint file, at its newest good save. Raises CannotResume, UnknownRun."""
    if not asked.startswith("runs:/"):
        state = load_checkpoint(Path(asked))
        if "record" not in state:
            raise CannotResume(f"{asked}: it names no run to go on with; give checkpoint={asked} to start from it")
        run_id, finished, _ = find_state(f"runs:/{state['record']['run_id']}")
        return Resumed(run_id=run_id, finished=finished, checkpoint=Path(asked), settings=state["settings"])
    run_id, finished, kept = find_state(asked)
    folder = run_folder(cache, run_id)
    found = [folder / LAST, folder / PREVIOUS]
    if not any(path.exists() for path in found):
        found = [path for path in (kept(f"checkpoints/{LAST}"), kept(f"checkpoints/{PREVIOUS}")) if path]
    for path in found:
        if path.exists():
            try:
                settings = load_checkpoint(path)["settings"]
            except BadCheckpoint as bad:
                print(f"Note: {bad}; the save before it is taken", flush=True)
                continue
            return Resumed(run_id=run_id, finished=finished, checkpoint=path, settings=settings)
    config = kept("config.yaml")
    if config is None or finished:
        raise CannotResume(f"{asked}: there is no checkpoint of it that can be read, in {folder} or in the run")
    return Resumed(run_id=run_id, finished=False, checkpoint=None, settings=compose.plain(OmegaConf.load(config)))


def run_folder(cache: Path, run_id: str) -> Path:
    """Where a run writes while it is not finished."""
    return cache / "runs" / run_id


def describe_machine(precision: str) -> dict[str, str]:
    """What the last bit of a sum hangs on."""
    return {
        "torch": str(torch.__version__),
        "threads": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "precision": precision,
    }


def check_data(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raises CannotResume where cohort, store or folds are others."""
    other = [f"{name} was {before.get(name)}, here {value}" for name, value in now.items() if before.get(name) != value]
    if other:
        raise CannotResume(f"the run saw other data: {'; '.join(other)}; give it the same data, or start a new run")


def tell_machine(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Say where the rest of a run will not be the same to the bit."""
    other = [f"{name} was {before.get(name)}, here {value}" for name, value in now.items() if before.get(name) != value]
    if other:
        print(f"Note: not bit-exact: {'; '.join(other)}", flush=True)


def _typed(name: str, typed: Sequence[str]) -> bool:
    keys = [re.split("[=@]", word.lstrip("+~"), maxsplit=1)[0].replace("/", ".") for word in typed]
    return any(name == key or name.startswith(f"{key}.") for key in keys)
