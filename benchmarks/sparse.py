"""A store of RSNA 2019's size whose pixels are sparse files: written in seconds with 100 MB, and read as zeros."""

import json
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ich.data.store.reading import CHECKSUMS, DESCRIPTION, FORMAT, INDEX_FILE, REJECTED, digest_of
from ich.data.store.shard import INDEX, pixels_file
from ich.data.store.writing import ROW_GROUP, SHARD_BYTES

SLICES, SERIES = 752_803, 21_744


def write_sparse_store(parent: Path, *, size: int) -> Path:
    """Its folder under `parent`: SLICES slices of `size` pixels a side, and an index as long as a real one."""
    in_shard = SHARD_BYTES // (2 * 256**2)
    shards = -(-SLICES // in_shard)
    geometry = {"name": "HeadGeometry", "size": size, "field_mm": 256.0}
    described = {
        "format": FORMAT, "geometry": geometry, "cohort": "sparse", "slices_in_shard": in_shard, "shards": shards,
    }  # fmt: skip
    folder = parent / digest_of(described)
    folder.mkdir()
    (folder / DESCRIPTION).write_text(json.dumps(described))
    (folder / REJECTED).write_text("file,reason,detail\n")
    for number in range(shards):
        with pixels_file(folder, number).open("wb") as file:
            file.truncate(2 * size**2 * min(in_shard, SLICES - number * in_shard))
    pq.write_table(pa.table([_column(field) for field in INDEX], INDEX), folder / INDEX_FILE, row_group_size=ROW_GROUP)
    sums = {name: zlib.crc32((folder / name).read_bytes()) for name in (REJECTED, INDEX_FILE)}
    (folder / CHECKSUMS).write_text(json.dumps(sums))
    return folder


def _column(field: pa.Field) -> pa.Array:
    rows = np.arange(SLICES)
    if field.type == pa.string():
        ids = rows * SERIES // SLICES if field.name in ("series_id", "study_id", "patient_id") else rows
        return pa.array([f"ID_{number:09x}" for number in ids])
    if field.type == pa.bool_():
        return pa.array(rows % 50 == 0)
    return pa.array(np.random.default_rng(0).random(SLICES) * 1000).cast(field.type, safe=False)
