"""Work in order, a little ahead, and what it is to the machine."""

import subprocess
import sys
import threading
import time

import pytest

from ich.data.threads import in_order
from tests.project import REPOSITORY

PREPARING = """
import resource
import numpy as np
from ich.ct.geometry import HeadGeometry
from ich.data.threads import in_order, keep_freed_memory

assert keep_freed_memory()
hu = np.full((512, 512), -1000, np.int16)
hu[100:400, 150:350] = 40
make = lambda _: HeadGeometry().prepare(hu.copy(), (0.5, 0.5))
for number, made in enumerate(in_order(make, range(200), ahead=8, threads=2)):
    if number == 100:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 100)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of glibc")
def test_slices_one_after_the_other_are_prepared_in_the_same_pages() -> None:
    """As glibc is set by itself, each faults in 50 pages anew, with a file's bytes beside it 400."""
    words = [sys.executable, "-c", PREPARING]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 10


def test_what_takes_longer_keeps_its_place() -> None:
    def late(number: int) -> int:
        time.sleep(0.02 * (number % 3 == 0))
        return number

    assert list(in_order(late, range(20), ahead=6, threads=4)) == [*range(20)]


def test_an_error_is_raised_in_its_turn_and_ends_the_threads() -> None:
    made = in_order(lambda number: 12 // (3 - number), range(9), ahead=5, threads=2, name="divide")
    assert [next(made), next(made), next(made)] == [4, 6, 12]
    with pytest.raises(ZeroDivisionError):
        next(made)
    assert not [thread for thread in threading.enumerate() if thread.name == "divide"]


def test_what_waits_is_not_begun_once_nobody_takes_more() -> None:
    begun: list[int] = []

    def slow(number: int) -> int:
        begun.append(number)
        time.sleep(0.05)
        return number

    made = in_order(slow, range(100), ahead=50, threads=2)
    assert next(made) == 0
    made.close()  # type: ignore[attr-defined]
    assert len(begun) < 10


def test_a_pass_that_is_never_ended_does_not_hold_up_the_exit() -> None:
    script = "from ich.data.threads import in_order; kept = in_order(abs, range(9), ahead=3, threads=2); next(kept)"
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=True, timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="what a process may use is asked of Linux")
def test_a_job_with_one_of_a_machines_processors_counts_one() -> None:
    code = (
        "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nfrom ich.data.threads import processors\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print(processors())"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"
