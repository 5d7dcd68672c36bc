"""A door: `--help`, the check of its command line, Hydra, and honest exit codes.

0: all went well. 1: a failure. 2: a mistake in the command. 130, 143: stopped by Ctrl-C, SIGTERM.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from ich.config import files, page
from ich.config.mistakes import BadConfig
from ich.config.stop import Stopped, stoppable

Run = Callable[..., None]
AroundSweep = Callable[[Sequence[str]], AbstractContextManager[object]]
_RELAUNCHED = "hydra.job.name=train_ddp_process_"
"""What Lightning adds to the command line of the processes that it starts."""


@dataclass(frozen=True, kw_only=True)
class Door:
    """What `launch` was given. `keys` is the dataclass of the keys that are no group."""

    run: Run
    name: str
    keys: type
    conf: Path = files.CONF
    around_sweep: AroundSweep | None = None


@dataclass
class Options(argparse.Namespace):
    """The flags of a command line; `words` is the rest of it."""

    help: bool = False
    multirun: bool = False
    cfg: str | None = None
    resolve: bool = False
    package: str | None = None
    info: bool = False
    words: list[str] = field(default_factory=list)


def launch(
    run: Run, *, name: str, keys: type, around_sweep: AroundSweep | None = None, conf: Path = files.CONF
) -> NoReturn:
    """Run a door with its command line, and exit.

    `around_sweep` gets the words of a multirun's command line and is open as long as the multirun: Hydra's own hook
    is not reached after a failure.
    """
    door = Door(run=run, name=name, keys=keys, conf=conf, around_sweep=around_sweep)
    try:
        with stoppable():
            code = _enter(door, sys.argv[1:])
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        code = stopped.code
    sys.exit(code)


def _enter(door: Door, said: Sequence[str]) -> int:
    """The exit code."""
    options = _options(said)
    if options.help:
        print(page.text(door.name, door.conf))
        return 0
    try:
        if options.cfg == "job":
            _print_config(door, options)
            return 0
        if not options.info and not _relaunched(options.words):
            sys.argv[1:] = [*(["-m"] if options.multirun else []), *_checked(door, options)]
    except BadConfig as mistakes:
        print(mistakes, file=sys.stderr)
        return 2
    return _run(door, options)


def _run(door: Door, options: Options) -> int:
    from ich.config import job

    around = door.around_sweep if options.multirun else None
    try:
        with around(options.words) if around else contextlib.nullcontext():
            _hand_to_hydra(job.Task(door.run), door)
    except Exception as error:
        job.say(error)
        return 1
    return 0


def _hand_to_hydra(task: Any, door: Door) -> None:
    import hydra

    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra raises, and the messages are ours
    hydra.main(config_path=str(door.conf.resolve()), config_name=door.name, version_base="1.3")(task)()
    if task.failure:
        raise task.failure


def _options(said: Sequence[str]) -> Options:
    """The flags that a door knows. What Hydra tells of itself is left to Hydra (`info`)."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("--package", "-p")
    for names in (("--info", "-i"), ("--hydra-help",), ("--version",), ("--shell-completion", "-sc")):
        parser.add_argument(*names, action="store_true", dest="info")
    options = Options()
    _, options.words = parser.parse_known_args(said, options)
    options.info = options.info or options.cfg in ("hydra", "all")
    if options.cfg and options.multirun:
        parser.error("--cfg prints one configuration: leave out -m")
    return options


def _relaunched(words: Sequence[str]) -> bool:
    """Whether Lightning started this process for a further device: the first has checked the same command line."""
    return "LOCAL_RANK" in os.environ and any(word.startswith(_RELAUNCHED) for word in words)


def _checked(door: Door, options: Options) -> list[str]:
    """The overrides as Hydra is to hear them, once all are found right."""
    from ich.config import check, compose

    words, multirun = options.words, options.multirun
    check.check_command(words, name=door.name, keys=door.keys, conf=door.conf, multirun=multirun)
    job, _ = compose.read_job(words, name=door.name, keys=door.keys, conf=door.conf, multirun=multirun)
    return job.spoken()


def _print_config(door: Door, options: Options) -> None:
    """Compose and print. The constructors, and with them torch, are asked only about a key that stands in no file."""
    from omegaconf import OmegaConf

    from ich.config import compose, names

    job, mistakes = compose.read_job(options.words, conf=door.conf, name=door.name, keys=door.keys)
    unclear = [*names.sweeps(job.overrides, multirun=False)]
    mistakes += [*unclear, *names.check(job.without(unclear), door.keys)]
    if mistakes:
        raise BadConfig(mistakes)
    try:
        cfg = compose.compose(job, new_keys=False)
    except BadConfig:
        _checked(door, options)
        cfg = compose.compose(job)
    shown = OmegaConf.select(cfg, options.package) if options.package else cfg
    print(OmegaConf.to_yaml(shown, resolve=options.resolve), end="")
