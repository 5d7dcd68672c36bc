"""Every mistake of a configuration at once: names, types, ranges, and what the libraries themselves refuse."""

import dataclasses
import inspect
import itertools
import math
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ich.config import compose, signature
from ich.config.mistakes import BadConfig, Mistake

MAX_JOBS = 64
"""Sweeps of more jobs are checked value by value."""
DUMMY_STEPS = 100


def check_command(words: Sequence[str], *, name: str, keys: type, conf: Path, multirun: bool) -> tuple[compose.Command, ...]:
    """The jobs of a command line; raises BadConfig with all mistakes of all jobs."""
    overrides, mistakes = compose.parse(words)
    sweeps = [one for one in overrides if one.is_sweep_override()]
    if sweeps and not multirun:
        what = "several values are a sweep: add -m to run one job for each"
        raise BadConfig([*mistakes, *(Mistake(key=one.key_or_group, what=what) for one in sweeps)])
    jobs = [compose.Command(conf=conf, name=name, overrides=job) for job in _jobs(overrides)]
    for job in jobs:
        mistakes += _check_job(job, keys)
    if mistakes:
        raise BadConfig(mistakes)
    return tuple(jobs)


def from_plain(settings: dict[str, Any]) -> DictConfig:
    """A stored configuration, such as a checkpoint's: everything that it would build passes the same check, or BadConfig."""
    mistakes: list[Mistake] = []
    for group, node in settings.items():
        if isinstance(node, dict) and group in ("model", "window", "context", "geometry"):
            signature.construct((group,), {**node, **({"weights": None, "pretrained": False} if group == "model" else {})}, mistakes)
    if mistakes:
        raise BadConfig(mistakes)
    cfg = OmegaConf.create(settings)
    assert isinstance(cfg, DictConfig)
    return cfg


def _jobs(overrides: Sequence[Override]) -> Iterator[tuple[Override, ...]]:
    """Every job of a sweep; for a large one every value once, beside the first value of the others."""
    values = [_values(one) for one in overrides]
    if math.prod(len(one) for one in values) <= MAX_JOBS:
        yield from itertools.product(*values)
        return
    for place, several in enumerate(values):
        for value in several:
            yield tuple(value if at == place else one[0] for at, one in enumerate(values))


def _values(one: Override) -> list[Override]:
    if not one.is_sweep_override():
        return [one]
    words = [f"{one.key_or_group}={value}" for value in one.sweep_string_iterator()]
    return list(compose.parse(words)[0])


def _check_job(job: compose.Command, keys: type) -> list[Mistake]:
    known = {field.name for field in dataclasses.fields(keys)}
    mistakes = [*compose.check_files(job)] or [*compose.names(job, known)]
    good = compose.Command(conf=job.conf, name=job.name, overrides=tuple(
        one for one in job.overrides if not any(mistake.key.lstrip("~") == one.key_or_group for mistake in mistakes)
    ))  # fmt: skip
    if any(mistake.where != "command line" for mistake in mistakes):
        return mistakes  # an experiment file with wrong names cannot be composed
    try:
        cfg = compose.compose(good)
        settings = compose.plain(cfg)
    except BadConfig as error:
        return [*mistakes, *error.mistakes]
    except OmegaConfBaseException as error:
        return [*mistakes, Mistake(key=error.full_key or job.name, what=str(error).splitlines()[0], where=job.where([error.full_key or ""]))]
    found: list[Mistake] = []
    _check_keys(keys, settings, found)
    _check_groups(job, settings, found)
    return mistakes + [dataclasses.replace(one, where=job.where(one.key.split("."))) for one in found]


def _check_keys(keys: type, settings: dict[str, Any], mistakes: list[Mistake]) -> None:
    hints = typing.get_type_hints(keys, include_extras=True)
    for name, hint in hints.items():
        if settings.get(name) == signature.MISSING:
            mistakes.append(Mistake(key=name, what="it is missing: it has no default, so give it a value"))
        elif name in settings:
            signature.coerce((name,), hint, settings[name], mistakes)


def _check_groups(job: compose.Command, settings: dict[str, Any], mistakes: list[Mistake]) -> None:
    built = {
        group: signature.construct((group,), settings[group], mistakes)
        for group in sorted(job.group_names - {"experiment"})
        if group in settings
    }
    if built.get("optimizer") is not None:
        _try_learning(built["optimizer"], built.get("scheduler"), mistakes)


def _try_learning(optimizer: Callable[..., Any], scheduler: Callable[..., Any] | None, mistakes: list[Mistake]) -> None:
    """Let the library itself refuse: an optimizer on one dummy weight, and the scheduler on that optimizer."""
    import torch

    try:
        made = optimizer([torch.nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        mistakes.append(_blame("optimizer", optimizer, error))
        return
    if scheduler is None:
        return
    parameters = inspect.signature(scheduler).parameters
    given = getattr(scheduler, "keywords", {})
    length = {name: DUMMY_STEPS for name in ("total_steps", "T_max") if name in parameters and name not in given}
    try:
        scheduler(made, **length)
    except (TypeError, ValueError) as error:
        mistakes.append(_blame("scheduler", scheduler, error))


def _blame(group: str, partial: Any, error: Exception) -> Mistake:
    """The key whose name or value the library's words hold, or the group."""
    words = str(error).lower().replace("learning rate", "lr")
    named = [name for name in partial.keywords if name.lower() in words or name.replace("_", " ") in words]
    return Mistake(key=f"{group}.{named[0]}" if named else group, what=str(error))


