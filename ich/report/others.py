"""The record of a training of several processes, whichever of them is lost."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ich import config
from ich.processes import ProcessLost, ended_with, lost_started
from ich.report.rescue import rescue_others
from ich.report.tracking import Run, is_gone, outcome, this_process

FIRST = "ICH_FIRST_PROCESS"
"""The process that writes the record; those that Lightning starts inherit it. Other launchers watch it themselves."""
GONE_SECONDS = 2
"""A process that is killed closes its connections a moment before the system has it as ended."""


@contextmanager
def leading(run: Run, upload: Callable[[], None]) -> Iterator[None]:
    """In the first process: where another is lost the record is closed as FAILED, whatever this one waits for."""

    def close(lost: ProcessLost) -> None:
        upload()
        run.close(*outcome(lost))

    os.environ[FIRST] = this_process()
    try:
        with _signals_after_a_loss_ignored(), ended_with(lost_started, close):
            yield
    finally:
        del os.environ[FIRST]


@contextmanager
def following() -> Iterator[None]:
    """In the others: where the first is lost they put what it left into the record and write KILLED."""
    first = os.environ.get(FIRST, "")
    try:
        with _signals_after_a_loss_ignored(), ended_with(lambda: is_gone(first), lambda _: rescue_others()):
            yield
    except ProcessLost:
        time.sleep(GONE_SECONDS)
        rescue_others()
        raise


@contextmanager
def _signals_after_a_loss_ignored() -> Iterator[None]:
    """A launcher sends SIGTERM to those that are left; they are ending already."""
    try:
        yield
    except ProcessLost:
        config.already_ending()
        raise
