"""What Hydra calls: a door's `run` on one configuration. Also in the processes of a cluster's launcher."""

import errno
import functools
import sys
import traceback
from collections.abc import Callable

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ich.config import compose  # noqa: F401  (its resolver, in a process that knows nothing yet)
from ich.config.current import is_sweep_job
from ich.errors import InputError, recorded

OF_THE_DISK = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO,
    errno.ENODEV, errno.ENOTCONN, errno.ESTALE,
)  # fmt: skip
"""No right to write, a disk that is full, broken or gone: no mistake of the program, and the message names the file."""


class FailedJob(InputError):
    """A job of a sweep has failed; it has said why in its own words."""


class Task:
    """`run`, whose failures are said once and in full: Hydra's own printing is passed by.

    A single run's failure is kept in `failure`. A job of a sweep says its own at once and raises FailedJob: the other
    jobs go on.
    """

    def __init__(self, run: Callable[[DictConfig], None]) -> None:
        self.run = run
        self.failure: Exception | None = None
        functools.update_wrapper(self, run)  # Hydra asks for its file and its name

    def __call__(self, cfg: DictConfig) -> None:
        try:
            self.run(cfg)
        except Exception as error:
            if not is_sweep_job():
                self.failure = error
                return
            say(error)
            job = HydraConfig.get()
            said = " ".join(word.lstrip("+") for word in job.overrides.task)
            raise FailedJob(f"job {job.job.num} ({said}): {recorded(error)}") from None


def say(error: Exception) -> None:
    """What is refused, here or by the disk, in one line or more; anything else with its traceback."""
    if isinstance(error, InputError) or (isinstance(error, OSError) and error.errno in OF_THE_DISK):
        print(summary(error), file=sys.stderr, flush=True)
    else:
        traceback.print_exception(error)


def summary(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
