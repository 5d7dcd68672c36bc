"""YAML files and overrides to one configuration, by Hydra; what Hydra would let through is refused elsewhere."""

import copy
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ich.config import files, hints, target
from ich.config.mistakes import COMMAND_LINE, BadConfig, Mistake
from ich.config.words import as_one_value, has_commas, hydra_at, parse

OmegaConf.register_new_resolver("project", lambda: str(files.PROJECT), replace=True)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One configuration to be: a file of conf/, and the overrides of a command line."""

    conf: Path
    name: str
    overrides: tuple[Override, ...]
    of_files: dict[tuple[str, ...], DictConfig] = field(default_factory=dict, compare=False, repr=False)
    """What the files alone say, by the choices; the jobs of a sweep share it."""

    @property
    def file(self) -> Path:
        return self.conf / f"{self.name}.yaml"

    @cached_property
    def group_names(self) -> set[str]:
        """The groups of this door."""
        return {default.group for default in files.defaults(self.file)}

    @property
    def experiment(self) -> Path | None:
        """The file of the chosen experiment, where there is one."""
        return self.chosen("experiment")

    def chosen(self, group: str) -> Path | None:
        """The file that the command line or else the door chooses for a group; None where there is no such file."""
        said = [default.choice for default in files.defaults(self.file) if default.group == group]
        said += [one.value() for one in self.overrides if one.key_or_group == group]
        choice = files.groups(self.conf).get(group, {}).get(str(said[-1])) if said else None
        return choice.file if choice else None

    def with_overrides(self, overrides: Iterable[Override]) -> "Job":
        return replace(self, overrides=tuple(overrides))

    def without(self, mistakes: Iterable[Mistake]) -> "Job":
        """The job without what is wrong on its command line."""
        wrong = {one.key.lstrip("~") for one in mistakes if one.where == COMMAND_LINE}
        return self.with_overrides(one for one in self.overrides if one.key_or_group not in wrong)

    def spoken(self) -> list[str]:
        """The overrides as Hydra is to hear them: a checked key may stand in no file, so values are forced."""
        return [self._spoken(one) for one in self.overrides]

    def chooses(self, one: Override) -> bool:
        """Whether an override chooses a file, or is for Hydra itself; any other sets a value."""
        return one.key_or_group in self.group_names or one.is_hydra_override()

    def _spoken(self, one: Override) -> str:
        assert one.input_line is not None
        word = one.input_line.lstrip("+")
        return word if self.chooses(one) else f"++{word}"

    def where(self, key: str) -> str:
        """Where a key of the configuration was said last; for one that nobody said, where it should have been."""
        for one in self.overrides:
            said = one.key_or_group
            within = f"{key}.".startswith(f"{said}.") or f"{said}.".startswith(f"{key}.")
            if within and (said not in self.group_names or said == key):
                return COMMAND_LINE
        path = key.split(".")
        deepest, place = -1, files.place(self.file, 1)
        for file, above in self.merged:
            if tuple(path[: len(above)]) == above:
                depth, line = files.locate(file, path[len(above) :])
                if len(above) + depth >= deepest:
                    deepest, place = len(above) + depth, files.place(file, line)
        return place

    @cached_property
    def merged(self) -> list[tuple[Path, tuple[str, ...]]]:
        """The files of conf/ in the order of their merging, each with the keys above its own."""
        with hydra_at(self.conf) as loader:
            entries = loader.compute_defaults_list(self.name, self.spoken(), RunMode.RUN).defaults
        found = [(self.conf / f"{entry.config_path}.yaml", entry.package) for entry in entries]
        return [(file, tuple(above.split(".")) if above else ()) for file, above in found if file.is_file()]


def read_job(
    words: Sequence[str], *, conf: Path, name: str, keys: type, multirun: bool = False
) -> tuple[Job, list[Mistake]]:
    """The job of a command line, and what of it is no override. Of a key given twice the last counts, as in Hydra.

    Without a multirun, commas in a path are part of it.
    """
    parsed, mistakes = parse(words, conf, multirun=multirun)
    last = {(one.is_delete(), one.key_or_group, one.package): one for one in parsed}
    job = Job(conf=conf, name=name, overrides=tuple(last.values()))
    if multirun:
        return job, mistakes
    one_each = [as_one_value(one) if has_commas(one) and _is_path(job, one, keys) else one for one in job.overrides]
    return job.with_overrides(one_each), mistakes


def _is_path(job: Job, one: Override, keys: type) -> bool:
    """Whether an override sets a path: of the door's own keys, or of the class of a group."""
    top, _, name = one.key_or_group.partition(".")
    if not name:
        return hints.takes_path(typing.get_type_hints(keys, include_extras=True).get(top))
    file = job.chosen(top)
    if file is None:
        return False
    made = target.resolve(str(yaml.safe_load(file.read_text(encoding="utf-8"))["_target_"]))
    known = hints.parameters(made, partial=False)
    return name in known and hints.takes_path(hints.hint(made, known[name]))


def hydra_choices(group: str, conf: Path) -> list[str]:
    """The choices of one of Hydra's own groups, such as hydra/launcher."""
    with hydra_at(conf) as loader:
        return list(loader.get_group_options(group, results_filter=ObjectType.CONFIG))


def compose(job: Job, *, new_keys: bool = True) -> DictConfig:
    """The configuration of one job. Raises BadConfig where YAML or Hydra cannot make one.

    Without `new_keys`, a key that stands in no file is an error, too.
    """
    words = job.spoken() if new_keys else [word.lstrip("+") for word in job.spoken()]
    try:
        return (_compose_values(job) if new_keys else None) or _compose_words(job, words)
    except yaml.MarkedYAMLError as error:
        raise BadConfig([bad_yaml(error)]) from error
    except (HydraException, OmegaConfBaseException, LookupError, TypeError, ValueError) as error:
        # IndexError, TypeError and ValueError: OmegaConf's, of an override like windows.7.width=80
        raise BadConfig(_blame(job, error)) from error


def _compose_words(job: Job, words: list[str]) -> DictConfig:
    with hydra_at(job.conf):
        cfg = hydra_compose(job.name, words)
    assert isinstance(cfg, DictConfig)
    return cfg


def _compose_values(job: Job) -> DictConfig | None:
    """The values of a job set in what its files say, as Hydra sets them: reading the files takes far longer.

    None where a value cannot be set: Hydra is to say why.
    """
    choices = tuple(job.with_overrides(one for one in job.overrides if job.chooses(one)).spoken())
    if choices not in job.of_files:
        job.of_files[choices] = _compose_words(job, list(choices))
    cfg = copy.deepcopy(job.of_files[choices])
    try:
        for one in job.overrides:
            if not job.chooses(one):
                OmegaConf.update(cfg, one.key_or_group, one.value(), merge=True, force_add=True)
    except (OmegaConfBaseException, LookupError, TypeError, ValueError):
        return None
    return cfg


def _blame(job: Job, error: Exception) -> list[Mistake]:
    """Hydra stops at the first thing that it cannot set: the files alone, then each value alone, show all of them."""
    choices = [one for one in job.overrides if job.chooses(one)]
    values = [one for one in job.overrides if not job.chooses(one)]
    if not values:
        return [Mistake(key=job.name, what=_in_words(error), where=files.place(job.experiment or job.file, 1))]
    mistakes: list[Mistake] = []
    for some in ([], *([one] for one in values if len(values) > 1)):
        try:
            compose(job.with_overrides([*choices, *some]))
        except BadConfig as found:
            mistakes += found.mistakes
    key = ", ".join(one.key_or_group for one in values)
    return mistakes or [Mistake(key=key, what=f"cannot be set: {_in_words(error)}", where=COMMAND_LINE)]


def _in_words(error: Exception) -> str:
    """Hydra's own words on one line, without its advice to add what it does not know."""
    cause = error.__cause__ or error
    lines = [line.strip() for line in str(cause).splitlines()]
    words = [line for line in lines if line and not line.startswith(("To append", "full_key:", "object_type="))]
    return "; ".join(words) or type(cause).__name__


def bad_yaml(error: yaml.MarkedYAMLError) -> Mistake:
    """What YAML says of a file that it cannot read, or that says a key twice."""
    mark = error.problem_mark
    file, line = (Path(mark.name), mark.line + 1) if mark else (Path(), 1)
    return Mistake(key=file.stem, what=f"no YAML: {error.problem}", where=files.place(file, line))


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The configuration in plain types, resolved."""
    container = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items() if key != "hydra"}


def flat(cfg: DictConfig) -> dict[str, Any]:
    """`optimizer.lr` and the like to scalars; lists as one line of YAML."""
    return dict(_flatten("", plain(cfg)))


def _flatten(prefix: str, node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flatten(f"{prefix}{key}.", value)
        elif isinstance(value, list):
            yield f"{prefix}{key}", yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
        else:
            yield f"{prefix}{key}", value
