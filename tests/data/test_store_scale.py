"""A store of RSNA 2019's size, its pixels sparse files: what opening and reading it takes."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.sparse import write_sparse_store
from tests.project import REPOSITORY

OPEN = '''
import sys, time
import numpy as np
from pathlib import Path
from ich.data.store import open_store

def private_mb():
    """Without the pages of the mapped files: they are the page cache's, and given back where memory is short."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1e3

before, start = private_mb(), time.perf_counter()
store = open_store(Path(sys.argv[1]))
assert len(store.index) == len(store)
print(time.perf_counter() - start, private_mb() - before)
out, before = np.empty((32, store.size, store.size), np.int16), None
for rows in np.random.default_rng(0).permutation(len(store))[:32 * 400].reshape(-1, 32):
    assert not store.read(rows, out=out).any()
    before = before or private_mb()
print(private_mb() - before)
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sparse_store(tmp_path_factory.mktemp("store"), size=256)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="private memory is read from Linux's /proc")
def test_it_opens_in_half_a_second_with_200_mb_and_reading_adds_none(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OPEN, folder], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    seconds, opened_mb, read_mb = map(float, done.stdout.split())
    assert seconds < 0.5, done.stdout
    assert opened_mb < 200, done.stdout
    assert abs(read_mb) < 20, done.stdout
