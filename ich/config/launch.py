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
from ich.config.launched import jobs_stopped
from ich.config.mistakes import BadConfig, Mistake
from ich.config.stop import Stopped, stoppable

Run = Callable[..., None]
AroundSweep = Callable[[Sequence[str]], AbstractContextManager[object]]
_RELAUNCHED = "hydra.job.name=train_ddp_process_"
"""What Lightning adds to the command line of the processes that it starts."""

_FURTHER = ("hydra.run.dir=${project:}/outputs", "hydra.output_subdir=null", "hydra/job_logging=stdout")
"""For the further processes of torchrun: the first alone has a folder of Hydra's."""


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
    """The flags of a command line; `words` is the rest of it. `tells`: what Hydra says of itself is asked for."""

    help: bool = False
    multirun: bool = False
    cfg: str | None = None
    resolve: bool = False
    package: str | None = None
    info: str | None = None
    tells: bool = False
    shell_completion: bool = False
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
        _tell(f"{page.text(door.name, door.conf)}\n")
        return 0
    try:
        if options.cfg == "job":
            _print_config(door, options)
            return 0
        if options.info or options.cfg:
            _composed(door, options)
        elif options.shell_completion:
            _check_completion(options.words)
        elif not options.tells and not _relaunched(options.words):
            further = _FURTHER if _is_further() else ()
            sys.argv[1:] = [*(["-m"] if options.multirun else []), *_checked(door, options), *further]
    except BadConfig as mistakes:
        print(mistakes, file=sys.stderr)
        return 2
    return _run(door, options)


def _tell(said: str) -> None:
    """On the screen; a reader that has seen enough, such as `| head`, is no failure."""
    try:
        print(said, end="", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes as it ends


def _run(door: Door, options: Options) -> int:
    from ich.config import job

    around = door.around_sweep if options.multirun else None
    try:
        with around(["-m", *options.words]) if around else contextlib.nullcontext(), jobs_stopped():
            _hand_to_hydra(job.Task(door.run), door)
    except Exception as error:
        job.say(error)
        return 1
    return 0


def _hand_to_hydra(task: Any, door: Door) -> None:
    import hydra

    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra raises, and the messages are ours
    before = os.environ.get("PYTHONPATH")  # a launcher's processes import this very ich, wherever they start
    os.environ["PYTHONPATH"] = os.pathsep.join([str(files.PROJECT), *([before] if before else [])])
    hydra.main(config_path=str(door.conf.resolve()), config_name=door.name, version_base="1.3")(task)()
    if task.failure:
        raise task.failure


def _options(said: Sequence[str]) -> Options:
    """The flags that a door knows. What Hydra tells of itself is left to Hydra."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("--package", "-p")
    parser.add_argument("--info", "-i", nargs="?", const="all")
    parser.add_argument("--shell-completion", "-sc", action="store_true")
    for name in ("--hydra-help", "--version"):
        parser.add_argument(name, action="store_true", dest="tells")
    options = Options()
    _, options.words = parser.parse_known_args(said, options)
    if options.cfg and options.multirun:
        parser.error("--cfg prints one configuration: leave out -m")
    return options


def _relaunched(words: Sequence[str]) -> bool:
    """Whether Lightning started this process for a further device: the first has checked the same command line."""
    return "LOCAL_RANK" in os.environ and any(word.startswith(_RELAUNCHED) for word in words)


def _is_further() -> bool:
    """Whether torchrun started this process, and not as the first. Tasks of srun may be trainings of their own."""
    return os.environ.get("RANK", "0") != "0"


def _checked(door: Door, options: Options) -> list[str]:
    """The overrides as Hydra is to hear them, once all are found right."""
    from ich.config import check, compose

    words, multirun = options.words, options.multirun
    check.check_command(words, name=door.name, keys=door.keys, conf=door.conf, multirun=multirun)
    job, _ = compose.read_job(words, name=door.name, keys=door.keys, conf=door.conf, multirun=multirun)
    return job.spoken()


def _check_completion(words: Sequence[str]) -> None:
    """Raises BadConfig where Hydra would not know what to do."""
    if not any(word.startswith(("install=", "uninstall=", "query=")) for word in words):
        raise BadConfig([Mistake(key="--shell-completion", what="give install=bash (or zsh, fish), or uninstall=bash")])


def _print_config(door: Door, options: Options) -> None:
    """Print one configuration, or what `--package` names of it."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    cfg = _composed(door, options)
    try:
        nothing = object()
        shown = OmegaConf.select(cfg, options.package or "", default=nothing, throw_on_missing=True)
        if shown is nothing:
            raise BadConfig([Mistake(key="--package", what=f"there is no {options.package} in the configuration")])
        if not OmegaConf.is_config(shown):
            _tell(yaml.safe_dump(shown, allow_unicode=True).removesuffix("...\n"))
            return
        _tell(OmegaConf.to_yaml(shown, resolve=options.resolve))
    except OmegaConfBaseException as error:  # a reference that leads nowhere
        raise BadConfig([Mistake(key=error.full_key or "--cfg", what=str(error).partition("\n")[0])]) from error


def _composed(door: Door, options: Options) -> Any:
    """The configuration. The constructors, and with them torch, are asked only about a key that stands in no file."""
    from ich.config import compose, names

    job, mistakes = compose.read_job(options.words, conf=door.conf, name=door.name, keys=door.keys)
    unclear = [*names.sweeps(job.overrides, multirun=False)]
    mistakes += [*unclear, *names.check(job.without(unclear), door.keys)]
    if mistakes:
        raise BadConfig(mistakes)
    try:
        return compose.compose(job, new_keys=False)
    except BadConfig:
        _checked(door, options)
        return compose.compose(job)
