"""A door: `--help`, the check of its command line, Hydra, and honest exit codes.

0: all went well. 1: a failure. 2: a mistake in the command. 130, 143: stopped by Ctrl-C, SIGTERM.
"""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from ich.config import files, help
from ich.config.mistakes import BadConfig
from ich.errors import InputError

Run = Callable[..., None]
_MULTIRUN = ("-m", "--multirun")
_PRINTING = ("--cfg", "-c", "--resolve")


class Stopped(BaseException):
    """The process was asked to end: by Ctrl-C or by SIGTERM. No Exception, so that nothing carries on after it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.code = 128 + signal_number


def launch(
    run: Run,
    *,
    name: str,
    keys: type,
    around_sweep: Callable[[Sequence[str]], AbstractContextManager[object]] | None = None,
    conf: Path = files.CONF,
) -> NoReturn:
    """Run a door with its command line and exit. `keys` is the dataclass of the keys that are no group."""
    try:
        sys.exit(_launch(run, name, keys, around_sweep, conf))
    except BadConfig as mistakes:
        print(mistakes, file=sys.stderr)
        sys.exit(2)
    except InputError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(stopped.code)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def _launch(
    run: Run,
    name: str,
    keys: type,
    around_sweep: Callable[[Sequence[str]], AbstractContextManager[object]] | None,
    conf: Path,
) -> int:
    words = sys.argv[1:]
    if "--help" in words or "-h" in words:
        print(help.text(name, conf))
        return 0
    if any(word in _PRINTING for word in words):
        return _print_config(words, name, keys, conf)
    multirun = any(word in _MULTIRUN for word in words)
    if "LOCAL_RANK" not in os.environ:  # else Lightning started this process: its command line was checked by the first
        overrides = [word for word in words if word not in _MULTIRUN]
        sys.argv[1:] = [*(["-m"] if multirun else []), *_checked(overrides, name, keys, conf, multirun=multirun)]
    with _stoppable(), around_sweep(words) if multirun and around_sweep else contextlib.nullcontext():
        _hand_to_hydra(run, name, conf)
    return 0


def _checked(words: Sequence[str], name: str, keys: type, conf: Path, *, multirun: bool) -> list[str]:
    """The overrides as Hydra is to hear them, once all are found right."""
    from ich.config import check, compose

    job = check.check_command(words, name=name, keys=keys, conf=conf, multirun=multirun)[0]
    return [compose.spoken(one, job) for one in compose.parse(words)[0]]


def _hand_to_hydra(run: Run, name: str, conf: Path) -> None:
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra raises, and the messages are ours
    import hydra

    from ich.config import compose  # noqa: F401  (its resolvers)

    hydra.main(config_path=str(conf), config_name=name, version_base="1.3")(run)()


def _print_config(words: Sequence[str], name: str, keys: type, conf: Path) -> int:
    """--cfg job: compose and print; the constructors are asked only where a key stands in no file."""
    from omegaconf import OmegaConf

    from ich.config import check, compose

    said = [word for word in words if word not in (*_PRINTING, *_MULTIRUN, "job")]
    overrides, mistakes = compose.parse(said)
    if mistakes:
        raise BadConfig(mistakes)
    job = compose.Command(conf=conf, name=name, overrides=overrides)
    known = compose.compose(compose.Command(conf=conf, name=name, overrides=tuple(one for one in overrides if job.is_group(one))))
    if any(OmegaConf.select(known, one.key_or_group) is None and not job.is_group(one) for one in overrides):
        check.check_command(said, name=name, keys=keys, conf=conf, multirun=False)
    print(OmegaConf.to_yaml(compose.compose(job), resolve="--resolve" in words), end="")
    return 0


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise Stopped once; what follows is left alone, so that the record can be closed."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_sweep_job() -> bool:
    """Whether this is one job of a multirun."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def job_command() -> list[str]:
    """The command line of this job alone."""
    from hydra.core.hydra_config import HydraConfig

    return [sys.executable, str(Path(sys.argv[0]).resolve()), *HydraConfig.get().overrides.task]


def choice(group: str) -> str:
    """The file that was chosen for a group."""
    from hydra.core.hydra_config import HydraConfig

    return str(HydraConfig.get().runtime.choices[group])
