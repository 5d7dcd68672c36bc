"""Names that Hydra takes for new ones: unknown groups, choices and keys, in a command line and in experiment files."""

import typing
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import yaml
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from ich.config import compose, files
from ich.config.compose import Job
from ich.config.mistakes import COMMAND_LINE, NO_KEY, Mistake, nearest
from ich.config.words import has_commas

PACKAGE_LINE = "# @package _global_"
HYDRA_GROUPS = ("hydra/launcher", "hydra/sweeper")
"""What of Hydra itself an experiment file may choose."""
CLUSTER = ("joblib", "submitit")
"""The launchers of the extra `cluster`."""
HYDRA_KEYS = (
    "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.job.name", "hydra.output_subdir", "hydra.verbose",
    "hydra.launcher.*", "hydra.sweeper.max_batch_size",
)  # fmt: skip
"""What of Hydra itself a command line may set besides; job name and subdirectory are for Lightning's processes."""


def sweeps(overrides: Sequence[Override], *, multirun: bool) -> Iterator[Mistake]:
    """Several values without -m, or values that cannot be counted."""
    for one in overrides:
        what = _no_sweep(one, multirun=multirun) if one.is_sweep_override() else ""
        if what:
            yield Mistake(key=one.key_or_group, what=what, where=COMMAND_LINE)


def _no_sweep(one: Override, *, multirun: bool) -> str:
    """What is wrong with several values, or nothing."""
    if not multirun:
        what = "several values are a sweep: add -m to run a job for each"
        within = f"""; quote one value with a comma in it: '{one.key_or_group}="{one.get_value_string()}"'"""
        return what + within if has_commas(one) else what
    if one.is_interval_sweep():
        return "an interval has no values to run; give key=a,b,c or key=range(a,b,step)"
    try:
        first = next(iter(one.sweep_string_iterator()), None)
    except (HydraException, ValueError) as error:  # a step of 0
        return f"{one.get_value_string()} has no values to run: {error}"
    return f"{one.get_value_string()} has no values to run" if first is None else ""


def check(job: Job, keys: type) -> list[Mistake]:
    """What can be found without composing and without importing a target; `keys` holds the door's own keys."""
    try:
        for file in _chosen(job):
            files.keys(file)  # before anything else reads it, which a file may make to take for ever
        mistakes = [*_on_command_line(job, set(typing.get_type_hints(keys)))]
        if job.experiment:
            mistakes += _in_experiment(job.experiment, job)
    except yaml.MarkedYAMLError as error:
        return [compose.bad_yaml(error)]
    return mistakes or [*_sent_elsewhere(job)]


def _chosen(job: Job) -> Iterator[Path]:
    """The files that the command line, the door and the experiment choose."""
    yield from filter(None, (job.chosen(group) for group in job.group_names))
    for group, choice, _ in files.defaults(job.experiment) if job.experiment else ():
        known = files.groups(job.conf).get(group, {})
        if choice in known:
            yield known[str(choice)].file


def _sent_elsewhere(job: Job) -> Iterator[Mistake]:
    """Files that set what is not theirs, by a first line or a file that they include: Hydra runs what stands there."""
    try:
        merged = job.merged
    except (HydraException, OmegaConfBaseException, yaml.MarkedYAMLError, LookupError, TypeError, ValueError):
        return  # said by the composition
    for file, above in merged:
        group = file.parent.relative_to(job.conf).as_posix()
        own = () if group in (".", "experiment") else (group,)
        if above != own:
            what = f"it sets {'.'.join(above) or 'everything'}, and a file of {group} sets {group} alone"
            yield Mistake(key=file.stem, what=what, where=files.place(file, 1))
        if file not in (job.file, job.experiment):
            yield from _of_hydra(file)


def _of_hydra(file: Path) -> Iterator[Mistake]:
    for key, line in files.keys(file).items():
        if key.split(".")[0] == "hydra":
            what = "an experiment sets nothing of Hydra but launcher and sweeper, chosen in its defaults"
            yield Mistake(key=key, what=what, where=files.place(file, line))


def _on_command_line(job: Job, keys: set[str]) -> Iterator[Mistake]:
    for one in job.overrides:
        name = f"~{one.key_or_group}" if one.is_delete() else one.key_or_group
        what = _objection(one, job, keys)
        if what:
            yield Mistake(key=name, what=what, where=COMMAND_LINE)


def _in_experiment(file: Path, job: Job) -> Iterator[Mistake]:
    """What keeps Hydra from composing an experiment file, or what Hydra would follow. Raises yaml.MarkedYAMLError."""
    first = file.read_text(encoding="utf-8").partition("\n")[0].rstrip()
    if first != PACKAGE_LINE:
        what = f"the first line of an experiment file must be {PACKAGE_LINE}"
        yield Mistake(key="experiment", what=what, where=files.place(file, 1))
    for group, choice, line in files.defaults(file):
        if group in job.group_names or group in HYDRA_GROUPS:
            what = _choice(group, choice, job)
        else:
            what = f"there is no such group; {nearest(group, job.group_names)}"
        if what:
            yield Mistake(key=group, what=what, where=files.place(file, line))
    yield from _of_hydra(file)


def _objection(one: Override, job: Job, keys: set[str]) -> str:
    """What is wrong with the name of one override, or with the choice that it makes; or nothing."""
    key = one.key_or_group
    top, *below = key.split(".")
    if one.is_delete():
        return "nothing can be left out; choose another file of its group instead"
    if one.package is not None:
        return f"a package (@{one.package}) cannot be given; say {key}="
    if key in job.group_names or key in HYDRA_GROUPS:
        return _choice(key, one.value(), job)
    if one.is_hydra_override():
        return _hydra_key(key)
    if top not in job.group_names | keys:
        return f"there is no such key or group; {_nearest_key(key, job, keys)}"
    if below and top in keys:
        return f"{top} is one value and has no keys"
    return ""


def _hydra_key(key: str) -> str:
    if any(part.startswith("_") for part in key.split(".")):
        return "what Hydra builds of itself is chosen by hydra/launcher and hydra/sweeper"
    allowed = any(key == one or (one.endswith("*") and key.startswith(one[:-1])) for one in HYDRA_KEYS)
    known = ", ".join((*HYDRA_GROUPS, *HYDRA_KEYS))
    return "" if allowed else f"of Hydra itself a command line sets only {known}"


def _choice(group: str, choice: object, job: Job) -> str:
    """What is wrong with a choice: null is one where it is the default."""
    known: Collection[str] = files.groups(job.conf).get(group, {})
    if group in HYDRA_GROUPS:
        known = compose.hydra_choices(group, job.conf)
    open_by_default = any(default.group == group and default.choice is None for default in files.defaults(job.file))
    if (isinstance(choice, str) and choice in known) or (choice is None and open_by_default):
        return ""
    said = "null" if choice is None else str(choice)
    if group == "hydra/launcher" and said.partition("_")[0] in CLUSTER:
        return f'{said} is not installed: pip install "ich[cluster]"; choices without it: {", ".join(sorted(known))}'
    return f"there is no {group} {said!r}; {nearest(said, known)}"


def elsewhere(key: str, what: str, job: Job) -> str:
    """`what` is wrong with a key, and which other choices of its group have it: data.root is of data=rsna."""
    group, _, name = key.partition(".")
    if group not in job.group_names or not what.startswith(NO_KEY):
        return what
    owners = [f"{group}={one.name}" for one in files.groups(job.conf)[group].values() if _has_key(one.file, name)]
    return what.replace(NO_KEY, f"{NO_KEY}; it goes with {' or '.join(owners)}", 1) if owners else what


def _has_key(file: Path, key: str) -> bool:
    try:
        return key in files.leaves(file)
    except yaml.MarkedYAMLError:  # of a choice that nobody has asked for
        return False


def _nearest_key(key: str, job: Job, keys: set[str]) -> str:
    """`lr` stands nearest to optimizer.lr: some choice of that group has a key of this name."""
    owners = [
        group
        for group, choices in files.groups(job.conf).items()
        if group in job.group_names - {"experiment"} and any(_has_key(choice.file, key) for choice in choices.values())
    ]
    if owners:
        return f"did you mean {' or '.join(f'{owner}.{key}' for owner in owners)}?"
    return nearest(key.split(".")[0], job.group_names | keys)
