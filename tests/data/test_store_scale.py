"""A store of RSNA 2019's size, its pixels sparse files: what opening and reading it takes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ich.data.store.reading import DESCRIPTION, FORMAT, INDEX_FILE, REJECTED, digest_of
from ich.data.store.shard import INDEX, pixels_file
from ich.data.store.writing import ROW_GROUP, SHARD_BYTES
from tests.project import REPOSITORY

SLICES, SERIES, SIZE = 752_803, 21_744, 256

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
    """752,803 slices in 46 sparse shards, and an index as long as a real one."""
    in_shard = SHARD_BYTES // (2 * SIZE**2)
    shards = -(-SLICES // in_shard)
    geometry = {"name": "HeadGeometry", "size": SIZE, "field_mm": 256.0}
    described = {
        "format": FORMAT, "geometry": geometry, "cohort": "sparse", "slices_in_shard": in_shard, "shards": shards,
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("store") / digest_of(described)
    folder.mkdir()
    (folder / DESCRIPTION).write_text(json.dumps(described))
    (folder / REJECTED).write_text("file,reason,detail\n")
    for number in range(shards):
        with pixels_file(folder, number).open("wb") as file:
            file.truncate(2 * SIZE**2 * min(in_shard, SLICES - number * in_shard))
    pq.write_table(pa.table([_column(field) for field in INDEX], INDEX), folder / INDEX_FILE, row_group_size=ROW_GROUP)
    return folder


def _column(field: pa.Field) -> pa.Array:
    rows = np.arange(SLICES)
    if field.type == pa.string():
        ids = rows * SERIES // SLICES if field.name in ("series_id", "study_id", "patient_id") else rows
        return pa.array([f"ID_{number:09x}" for number in ids])
    if field.type == pa.bool_():
        return pa.array(rows % 50 == 0)
    return pa.array(np.random.default_rng(0).random(SLICES) * 1000).cast(field.type, safe=False)


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
