"""YAML files and overrides to one configuration, by Hydra; what Hydra would let through is refused here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ich.config import files
from ich.config.mistakes import COMMAND_LINE, BadConfig, Mistake, nearest

PACKAGE_LINE = "# @package _global_"
HYDRA_KEYS = (
    "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.job.name", "hydra.output_subdir", "hydra.verbose",
    "hydra/launcher", "hydra/sweeper", "hydra.launcher.", "hydra.sweeper.",
)  # fmt: skip
"""What of Hydra itself a command line may set; an experiment file may only choose launcher and sweeper."""

OmegaConf.register_new_resolver("project", lambda: str(files.PROJECT), replace=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One job: a file of conf/, and the overrides of its command line."""

    conf: Path
    name: str
    overrides: tuple[Override, ...]

    @property
    def file(self) -> Path:
        return self.conf / f"{self.name}.yaml"

    @property
    def choices(self) -> dict[str, str]:
        """The choice of each group, by the last word: command line, then experiment, then defaults."""
        chosen = {group: choice for group, choice, _ in files.defaults(self.file) if choice}
        said = {one.key_or_group: str(one.value()) for one in self.overrides if self.is_group(one)}
        experiment = self.experiment_file
        if experiment:
            chosen |= {group: choice for group, choice, _ in files.defaults(experiment) if choice}
        return chosen | said

    @property
    def experiment_file(self) -> Path | None:
        said = [str(one.value()) for one in self.overrides if one.key_or_group == "experiment"]
        choice = files.groups(self.conf).get("experiment", {}).get(said[-1]) if said else None
        return choice.file if choice else None

    @property
    def group_names(self) -> set[str]:
        """The groups of this door."""
        return {group for group, _, _ in files.defaults(self.file)}

    def is_group(self, override: Override) -> bool:
        return override.key_or_group in self.group_names

    def where(self, path: Sequence[str]) -> str:
        """Where a key of the composed configuration was set last."""
        key = ".".join(path)
        for one in self.overrides:
            if key == one.key_or_group or key.startswith(f"{one.key_or_group}.") and not self.is_group(one):
                return COMMAND_LINE
        choice = files.groups(self.conf).get(path[0], {}).get(self.choices.get(path[0], ""))
        for file, inner in ((self.experiment_file, path), (choice and choice.file, path[1:]), (self.file, path)):
            line = files.line_of(file, inner) if file else None
            if line:
                return place(file, line)
        return place(choice.file if choice else self.file, 1)


def place(file: Path | None, line: int) -> str:
    """file:line, as short as it can be said."""
    assert file is not None
    return f"{file.relative_to(files.PROJECT) if file.is_relative_to(files.PROJECT) else file}:{line}"


def parse(words: Sequence[str]) -> tuple[tuple[Override, ...], list[Mistake]]:
    """The overrides of a command line, and the words that are none."""
    parsed, mistakes = [], []
    for word in words:
        try:
            parsed.append(OverridesParser.create().parse_override(word))
        except HydraException:
            what = "there is no such flag; see --help" if word.startswith("-") else "a command line has key=value"
            mistakes.append(Mistake(key=word, what=what))
    return tuple(parsed), mistakes


def names(command: Command, keys: set[str]) -> Iterator[Mistake]:
    """Unknown groups, choices and top keys, on the command line and in the experiment file."""
    all_groups = files.groups(command.conf)
    for one in command.overrides:
        yield from _override_names(one, command, keys, all_groups)
    experiment = command.experiment_file
    if experiment:
        yield from _experiment_names(experiment, command, keys, all_groups)


def _override_names(one: Override, command: Command, keys: set[str], all_groups: dict[str, Any]) -> Iterator[Mistake]:
    key = one.key_or_group
    top = key.split(".")[0]
    if one.is_delete():
        yield Mistake(key=f"~{key}", what="nothing can be left out; choose another file of its group instead")
    elif top.split("/")[0] == "hydra":
        if not key.startswith(HYDRA_KEYS):
            yield Mistake(key=key, what=f"of Hydra itself only these can be set: {', '.join(HYDRA_KEYS)}")
    elif key in command.group_names:
        value = one.value()
        if not isinstance(value, str) or value not in all_groups[key]:
            yield Mistake(key=key, what=f"there is no {key} {value!r}; {nearest(str(value), all_groups[key])}")
    elif top not in command.group_names | keys:
        yield Mistake(key=key, what=f"there is no such key; {nearest(top, command.group_names | keys)}")
    elif top in keys and key != top:
        yield Mistake(key=key, what=f"{top} is one value and has no keys")


def _experiment_names(file: Path, command: Command, keys: set[str], all_groups: dict[str, Any]) -> Iterator[Mistake]:
    if not file.read_text().startswith(PACKAGE_LINE):
        yield Mistake(key="experiment", what=f"its first line must be {PACKAGE_LINE}", where=place(file, 1))
    for group, choice, line in files.defaults(file):
        if group in ("hydra/launcher", "hydra/sweeper"):
            continue
        if group not in command.group_names:
            yield Mistake(key=group, what=f"there is no such group; {nearest(group, command.group_names)}", where=place(file, line))
        elif choice not in all_groups[group]:
            yield Mistake(
                key=group, what=f"there is no {group} {choice!r}; {nearest(str(choice), all_groups[group])}", where=place(file, line)
            )
    for key, line in files.keys(file):
        if key not in command.group_names | keys | {"defaults"}:
            what = "experiments set nothing of Hydra but launcher and sweeper, in their defaults" if key == "hydra" else (
                f"there is no such key; {nearest(key, command.group_names | keys)}"
            )  # fmt: skip
            yield Mistake(key=key, what=what, where=place(file, line))


def compose(command: Command) -> DictConfig:
    """The configuration of one job. Raises BadConfig where YAML or Hydra cannot make one."""
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(command.conf), version_base="1.3"):
            return hydra_compose(command.name, [spoken(one, command) for one in command.overrides])
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise BadConfig([Mistake(key=command.name, what=_in_words(error))]) from error


def spoken(one: Override, command: Command) -> str:
    """An override as Hydra is to hear it: a checked key may be in a signature and in no file, so values are forced."""
    assert one.input_line is not None
    word = one.input_line.lstrip("+")
    return word if command.is_group(one) or one.key_or_group.startswith("hydra") else f"++{word}"


def check_files(command: Command) -> Iterator[Mistake]:
    """YAML that cannot be parsed, or says a key twice; the experiment first, since it chooses the others."""
    for file in (command.experiment_file, command.file):
        mistakes = [*_check_file(file)] if file else []
        yield from mistakes
        if mistakes:
            return
    for group, name in command.choices.items():
        choice = files.groups(command.conf).get(group, {}).get(name)
        if choice:
            yield from _check_file(choice.file)


def _check_file(file: Path) -> Iterator[Mistake]:
    try:
        OmegaConf.load(file)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        yield Mistake(key=file.stem, what=f"no YAML: {error.problem}", where=place(file, line))


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The configuration in plain types, resolved."""
    container = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items() if key != "hydra"}


def flat(cfg: DictConfig) -> dict[str, Any]:
    """`optimizer.lr` and the like to scalars; lists as one line of YAML."""
    return dict(_flatten("", plain(cfg)))


def _flatten(prefix: str, node: Any) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flatten(f"{prefix}{key}.", value)
        elif isinstance(value, list):
            yield f"{prefix}{key}", yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
        else:
            yield f"{prefix}{key}", value


def _in_words(error: Exception) -> str:
    """The first line of Hydra's own words, without its advice to append what it does not know."""
    lines = [line for line in str(error).splitlines() if line.strip() and "append" not in line]
    return lines[0] if lines else type(error).__name__
