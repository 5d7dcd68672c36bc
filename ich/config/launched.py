"""Jobs of a sweep that a launcher runs as processes on this machine."""

import contextlib
from collections.abc import Iterator

import psutil

from ich.config.stop import Stopped

SUBMITIT = "submitit.local._local"
"""What runs a job of its own, as a module; SIGTERM it hands on, at a SIGINT it kills the job after a second."""
JOB_SECONDS = 90
"""How long a launcher's jobs may take to close their records: longer than one waits for its server."""


@contextlib.contextmanager
def jobs_stopped() -> Iterator[None]:
    """A signal that ends the block is passed on to the jobs that submitit runs as processes, and they are waited for.

    By itself submitit leaves them to go on alone.
    """
    try:
        yield
    except Stopped:
        jobs = [child for child in psutil.Process().children() if _is_job(child)]
        for job in jobs:
            with contextlib.suppress(psutil.NoSuchProcess):
                job.terminate()
        psutil.wait_procs(jobs, timeout=JOB_SECONDS)
        raise


def _is_job(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return SUBMITIT in process.cmdline()
    return False
