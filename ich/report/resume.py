"""Going on with a stopped run: its newest good save, its own configuration, and what may differ this time."""

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only

from ich.config import check, compose, files
from ich.config.mistakes import BadConfig
from ich.errors import InputError
from ich.model.learner import OtherLength
from ich.predictor import BadCheckpoint, load_checkpoint
from ich.report.rescue import run_folder
from ich.report.tracking import KeptRun, find_run
from ich.saves import BEST, LAST, PREVIOUS

AUTO = "auto"
"""Go on with the newest unfinished run of this very configuration, or begin one: a cluster may requeue the job."""
CHOICES_TAG = "choices"
"""Of a run: the file that was chosen for each group, by which its page names them."""
WHERE = ("accelerator", "devices", "strategy", "num_nodes")
MAY_CHANGE = (
    "data.num_workers",
    "data.cache",
    "data.root",
    "data.pseudonym_key",
    "report",
    "system_metrics",
    "trainer.max_epochs",
    "trainer.save_every_n_steps",
    "trainer.save_every_minutes",
    *(f"trainer.{name}" for name in WHERE),
)
"""Where and how long, not what: max_epochs may only rise, and digests compare what lies at data.root."""
CONFIG, RECORD = "config.yaml", "record"


class CannotResume(InputError):
    """A run that cannot be gone on with as asked."""


REFUSALS = (CannotResume, OtherLength)
"""After which a run that had finished is as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A run to go on with: from `checkpoint`, or from its beginning where it was stopped before its first save.

    `best` is its best checkpoint so far, `settings` its own configuration, `choices` the names of the groups' files.
    """

    run_id: str
    finished: bool
    checkpoint: Path | None
    best: Path | None
    settings: dict[str, Any]
    choices: dict[str, str]

    def plain(self) -> dict[str, Any]:
        """As the first process of a training tells the others."""
        paths = {"checkpoint": self.checkpoint, "best": self.best}
        return asdict(self) | {name: str(path) if path else None for name, path in paths.items()}

    @classmethod
    def from_plain(cls, told: dict[str, Any]) -> "Resumed":
        paths = {name: Path(told[name]) if told[name] else None for name in ("checkpoint", "best")}
        return cls(**told | paths)

    def configuration(self, asked: DictConfig, typed: Sequence[str], *, keys: type) -> DictConfig:
        """The run's own configuration, with what was typed and may change. Raises CannotResume, BadConfig."""
        settings = {name: asked[name] for name in keys.__annotations__ if name in asked} | self.settings
        cfg, here = OmegaConf.create(settings), compose.flat(asked)
        own, refused = compose.flat(cfg), []
        for key in sorted(name for name in own.keys() | here.keys() if _is_typed(name, [*_typed_keys(typed)])):
            old, new = own.get(key), here.get(key)
            if old == new:
                continue
            shorter = key == "trainer.max_epochs" and isinstance(old, int) and isinstance(new, int) and new < old
            if key not in MAY_CHANGE or shorter:
                refused.append(f"{key} was {old}, here {new}")
            else:
                OmegaConf.update(cfg, key, OmegaConf.select(asked, key))
        if refused:
            raise CannotResume(
                f"run {self.run_id} goes on with its own configuration: {'; '.join(refused)}; leave it out, or start "
                f"a new run from its weights by checkpoint=runs:/{self.run_id}/last"
            )
        self._check(compose.plain(cfg), keys)
        return cfg

    def has_ended(self, cfg: DictConfig) -> bool:
        """Whether nothing is left to do: it has finished, and no further epochs are asked for."""
        return self.finished and int(cfg.trainer.max_epochs) <= int(self.settings["trainer"]["max_epochs"])

    @contextmanager
    def no_folder_if_refused(self, folder: Path) -> Iterator[None]:
        """A run that had finished has none, and is as it was."""
        try:
            yield
        except REFUSALS:
            if self.finished:
                shutil.rmtree(folder)
            raise

    def _check(self, settings: dict[str, Any], keys: type) -> None:
        """As a command line is. Weights come from the save: none are looked for."""
        if self.checkpoint:
            settings = settings | {"checkpoint": None, "model": settings["model"] | FROM_SAVE}
        try:
            check.whole(settings | {"resume": None}, name="train", keys=keys, conf=files.CONF)
        except BadConfig as error:
            raise CannotResume(f"run {self.run_id}: its own configuration is refused: {error}") from error


FROM_SAVE = {"pretrained": False, "weights": None}
"""Of a model whose weights a save brings."""


def find_resumed(asked: str, *, cache: Path) -> Resumed:
    """The run of `runs:/ID` or of a checkpoint file, at its newest good save. Raises CannotResume, UnknownRun."""
    if asked.startswith("runs:/"):
        run = find_run(asked, CONFIG)
        path, state = _newest_save(run, cache) or (None, None)
    else:
        path, state = Path(asked), load_save(Path(asked))
        run = find_run(f"runs:/{state[RECORD]['run_id']}", CONFIG)
    if state is None and run.finished:
        raise CannotResume(f"{asked}: this run has finished and keeps no {LAST}: nothing can go on")
    settings = state["settings"] if state else _read_config(run)
    if not isinstance(settings, dict) or not settings.get("fit"):
        raise CannotResume(f"{asked}: this run validated a checkpoint (fit=false); only a training can go on")
    best = path.with_name(BEST) if path else None
    if path and not (best and best.exists()):
        best = run.file(f"checkpoints/{BEST}")
    choices = json.loads(run.tags.get(CHOICES_TAG, "{}"))
    return Resumed(run_id=run.id, finished=run.finished, checkpoint=path, best=best, settings=settings, choices=choices)


def load_save(path: Path) -> dict[str, Any]:
    """A checkpoint from which a training can go on. Raises BadCheckpoint."""
    state = load_checkpoint(path)
    record, step = state.get(RECORD), state.get("global_step")
    if not (isinstance(record, dict) and isinstance(record.get("run_id"), str) and isinstance(step, int)):
        raise BadCheckpoint(
            f"{path}: no training can go on from it; give its run or its {LAST}, or start from it by checkpoint={path}"
        )
    return state


def newest_good(paths: Iterable[Path | None]) -> tuple[Path, dict[str, Any]] | None:
    """The first of these saves that is there and can be read; a damaged one is told."""
    for path in paths:
        if path and path.exists():
            try:
                return path, load_save(path)
            except BadCheckpoint as bad:
                rank_zero_only(print)(f"Note: {bad}; the save before it is taken", flush=True)
    return None


def _newest_save(run: KeptRun, cache: Path) -> tuple[Path, dict[str, Any]] | None:
    """Of the folder where the run wrote, and of what it has put into its record, maybe on another machine."""
    own = Path(str(run.run.data.params.get("data.cache", cache)))
    folders = dict.fromkeys(run_folder(one, run.id) for one in (cache, own))
    here = [newest_good([folder / LAST, folder / PREVIOUS]) for folder in folders]
    found = [one for one in [*here, newest_good([run.file(f"checkpoints/{LAST}")])] if one]
    return max(found, key=lambda one: one[1]["global_step"], default=None)


def _read_config(run: KeptRun) -> Any:
    path = run.file(CONFIG)
    assert path is not None  # it was found by it
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise CannotResume(f"{path}: no configuration can be read: {error}") from error


@contextmanager
def held(folder: Path, run_id: str) -> Iterator[None]:
    """One process at a time writes into a run. Raises CannotResume where another does."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise CannotResume(f"run {run_id} is being trained by another process on {folder}; wait for its end") from None
    try:
        yield
    finally:
        lock.release()


def describe_machine(trainer: Trainer, module: LightningModule) -> dict[str, str]:
    """What the last bit of a sum hangs on."""
    last = all(one.is_contiguous(memory_format=torch.channels_last) for one in module.parameters() if one.ndim == 4)
    return {
        "torch": str(torch.__version__),
        "threads": str(torch.get_num_threads()),
        "processes": str(trainer.world_size),
        "device": torch.cuda.get_device_name() if module.device.type == "cuda" else module.device.type,
        "precision": str(trainer.precision),
        "memory format": "channels_last" if last else "contiguous",
    }


def check_data(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raises CannotResume where cohort, store or folds are others."""
    other = _others(before, now)
    if other:
        raise CannotResume(f"the run saw other data: {'; '.join(other)}; give it the same data, or start a new run")


def tell_machine(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Say where the rest of a run will not be the same to the bit."""
    other = _others(before, now)
    if other:
        print(f"Note: not bit-exact: {'; '.join(other)}", flush=True)


def _others(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [f"{name} was {before.get(name)}, here {value}" for name, value in now.items() if before.get(name) != value]


def _typed_keys(typed: Sequence[str]) -> Iterator[str]:
    """The keys that a command line says, also by the choice of a file."""
    for word in typed:
        key, _, value = word.lstrip("+~").partition("=")
        key = re.split("[@]", key)[0].replace("/", ".")
        if key == "trainer":  # its files say where to train; how long and how finely is said by key
            yield from (f"trainer.{name}" for name in WHERE)
        elif key == "experiment":
            yield from _keys_of_experiment(value)
        elif key != "resume":
            yield key


def _keys_of_experiment(name: str) -> Iterator[str]:
    file = files.groups(files.CONF)["experiment"][name].file
    yield from (default.group for default in files.defaults(file))
    said = yaml.safe_load(file.read_text(encoding="utf-8"))
    said.pop("defaults", None)
    yield from compose.flat(DictConfig(said))


def _is_typed(name: str, typed: Sequence[str]) -> bool:
    return any(name == key or name.startswith(f"{key}.") for key in typed)
