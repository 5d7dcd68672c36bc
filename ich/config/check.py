"""Every mistake of a configuration at once: names, types, ranges, and what the libraries themselves refuse."""

import itertools
import math
import typing
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ich.config import compose, files, names, signature, target, trial, values
from ich.config.compose import Job
from ich.config.mended import mended
from ich.config.mistakes import COMMAND_LINE, BadConfig, Mistake, nearest
from ich.config.words import parse

MAX_JOBS = 16
"""A sweep of more jobs is checked value by value, beside the first value of the others."""
MAX_VALUES = 1000
"""Of a longer range, so many values are checked."""
FROM_CHECKPOINT = ("model", "window", "context", "geometry")
"""The groups that a prediction builds."""
KINDS = {
    "model": ("ich.model.backbone.Backbone",),
    "window": ("ich.ct.windowing.WindowStack",),
    "context": ("ich.model.context.Single", "ich.model.context.Neighbours"),
    "geometry": ("ich.ct.geometry.Geometry",),
    "augment": ("ich.data.augment.Augment",),
    "data": ("ich.data.source.Source",),
    "trainer": ("ich.trainer.TrainerSettings",),
    "table": ("ich.report.evaluation.columns.Columns",),
}
"""What a group may be, asked before it is built: `torch.nn.Linear` of a million by a million is no window, but 4 TB."""


def check_command(words: Sequence[str], *, name: str, keys: type, conf: Path, multirun: bool) -> tuple[Job, ...]:
    """The jobs of a command line; raises BadConfig with all mistakes of all jobs."""
    command, mistakes = compose.read_job(words, conf=conf, name=name, keys=keys, multirun=multirun)
    mistakes += names.sweeps(command.overrides, multirun=multirun)
    said = {one.key for one in mistakes}
    jobs = [command.with_overrides(some) for some in _jobs(command.without(mistakes).overrides, conf)]
    for job in jobs:
        mistakes += (one for one in check_job(job, keys) if one.key not in said)  # which may be missing only here
    if mistakes:
        raise BadConfig(mistakes)
    return tuple(jobs)


def check_job(job: Job, keys: type) -> list[Mistake]:
    """All mistakes of one job: what is wrong on the command line is left out, and the rest is checked, too."""
    mistakes = names.check(job, keys)
    if any(one.where != COMMAND_LINE for one in mistakes):
        with mended(job.without(mistakes), mistakes) as whole:  # as it stands, Hydra cannot compose the experiment
            return mistakes + (whole.in_place(check_job(whole.job, keys)) if whole else [])
    job = job.without(mistakes)
    try:
        cfg = compose.compose(job)
    except BadConfig as error:
        rest = job.without(error.mistakes)
        return [
            *mistakes,
            *error.mistakes,
            *(check_job(rest, keys) if len(rest.overrides) < len(job.overrides) else ()),
        ]
    found: list[Mistake] = []
    settings = _resolve(cfg, found)
    _check_keys(settings, keys, job.group_names, found)
    _check_groups(settings, sorted(job.group_names - {"experiment"}), found)
    found = [replace(one, what=names.elsewhere(one.key, one.what, job)) for one in _said_once(found, cfg)]
    return mistakes + [replace(one, where=job.where(one.key)) for one in found]


def from_plain(settings: dict[str, Any], groups: Sequence[str] = FROM_CHECKPOINT) -> dict[str, Any]:
    """Groups of a stored configuration, such as a checkpoint's, checked; by default what a prediction builds.

    Weights come from the checkpoint: nothing is downloaded or looked for. Raises BadConfig.
    """
    nodes = {group: settings.get(group) for group in groups}
    if isinstance(model := nodes.get("model"), dict):
        nodes["model"] = model | {"pretrained": False, "weights": None}
    mistakes: list[Mistake] = []
    for group, node in nodes.items():
        _construct(group, node, mistakes)
    if mistakes:
        raise BadConfig(mistakes)
    return nodes


def whole(settings: dict[str, Any], *, name: str, keys: type, conf: Path) -> None:
    """A whole configuration that a run or its checkpoint kept, checked as a command line is. Raises BadConfig."""
    groups = {default.group for default in files.defaults(conf / f"{name}.yaml")} - {"experiment"}
    mistakes: list[Mistake] = []
    _check_keys(settings, keys, groups, mistakes)
    missing = sorted(groups - settings.keys())
    mistakes += [Mistake(key=group, what="this group is missing") for group in missing]
    _check_groups(settings, sorted(groups), mistakes)
    if mistakes:
        raise BadConfig(mistakes)


def _jobs(overrides: Sequence[Override], conf: Path) -> Iterator[tuple[Override, ...]]:
    """Every job of a sweep; of a large one every value once."""
    several = [_values(one, conf) for one in overrides]
    if math.prod(len(some) for some in several) <= MAX_JOBS:
        yield from itertools.product(*several)
        return
    first = tuple(some[0] for some in several)
    yield first
    for place, some in enumerate(several):
        for value in some[1:]:
            yield (*first[:place], value, *first[place + 1 :])


def _values(one: Override, conf: Path) -> list[Override]:
    if not one.is_sweep_override():
        return [one]
    values = itertools.islice(one.sweep_string_iterator(), MAX_VALUES)
    parsed, _ = parse([f"{one.get_key_element()}={value}" for value in values], conf)
    return parsed


def _resolve(cfg: DictConfig, mistakes: list[Mistake]) -> dict[str, Any]:
    """The configuration in plain types, without the top keys whose references cannot be resolved."""
    settings = {}
    for key in map(str, cfg):
        try:
            node = values.MISSING if OmegaConf.is_missing(cfg, key) else cfg[key]
            settings[key] = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
        except OmegaConfBaseException as error:
            mistakes.append(Mistake(key=str(error.full_key or key), what=str(error).splitlines()[0]))
    return settings


def _check_keys(settings: dict[str, Any], keys: type, groups: set[str], mistakes: list[Mistake]) -> None:
    """The keys beside the groups, and keys that are neither."""
    types = typing.get_type_hints(keys, include_extras=True)
    before, said = len(mistakes), {}
    for name, value in settings.items():
        if name in types:
            said[name] = values.convert((name,), types[name], value, mistakes, signature.construct)
        elif name not in groups:
            mistakes.append(
                Mistake(key=name, what=f"there is no such key or group; {nearest(name, groups | set(types))}")
            )
    if len(mistakes) == before:
        signature.call((), keys, said, mistakes)  # what they refuse of each other


def _check_groups(settings: dict[str, Any], groups: Sequence[str], mistakes: list[Mistake]) -> None:
    built = {group: _construct(group, settings[group], mistakes) for group in groups if group in settings}
    trial.try_parts(built, mistakes)


def _construct(group: str, node: Any, mistakes: list[Mistake]) -> Any:
    """The part of a group; None where it is mistaken, or of another kind than the group's."""
    with suppress(target.BadTarget):  # said by the construction itself
        made = target.resolve(str(node[values.TARGET])) if isinstance(node, dict) and values.TARGET in node else None
        if made is not None and group in KINDS and not target.is_a(made, *KINDS[group]):
            known = " or ".join(name.rpartition(".")[2] for name in KINDS[group])
            what = f"a {made.__name__} is no {known}"
            mistakes.append(Mistake(key=f"{group}.{values.TARGET}", what=what))
            return None
    return signature.construct((group,), node, mistakes)


def _said_once(found: list[Mistake], cfg: DictConfig) -> list[Mistake]:
    """Without what is only a reference to another mistaken key."""
    own = [one for one in found if not _is_reference(cfg, one.key)]
    return own or found


def _is_reference(cfg: DictConfig, key: str) -> bool:
    above, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, above, throw_on_resolution_failure=False) if above else cfg
    return isinstance(node, DictConfig) and name in node and OmegaConf.is_interpolation(node, name)
