"""What work in order, a little ahead, is to the machine."""

import subprocess
import sys

import pytest

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
