"""One shard of a store: the pixels of consecutive rows of a cohort in one file, and a table beside it.

`00003.bin` holds int16 [n, S, S], little endian, without a header; `00003.parquet` a row for each row of the cohort,
also for slices that could not be read. Both appear whole or not at all, and the table last: it says that the shard is
there. Neither holds a path of this machine or a time, so that equal slices give equal bytes.
"""

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int16

from ich.ct.dicom import BadSlice, Slice
from ich.ct.geometry import Prepared

COHORT = {
    "image_id": pa.string(), "series_id": pa.string(), "study_id": pa.string(), "patient_id": pa.string(),
    "file": pa.string(), "position_mm": pa.float64(), "spacing_row_mm": pa.float64(), "spacing_column_mm": pa.float64(),
    "rows": pa.int32(), "columns": pa.int32(), "bytes": pa.int64(), "fingerprint": pa.string(),
}  # fmt: skip
WARP = {
    "height": pa.int32(), "width": pa.int32(), "size": pa.int32(), "origin_row": pa.float64(),
    "origin_column": pa.float64(), "step_row": pa.float64(), "step_column": pa.float64(), "field_mm": pa.float64(),
    "head_found": pa.bool_(), "widened": pa.bool_(),
}  # fmt: skip
FACTS = {
    "pixels": pa.uint64(), "lowest_hu": pa.float64(), "highest_hu": pa.float64(), "wrapped": pa.bool_(),
}  # fmt: skip
PLACE = {"shard": pa.int32(), "offset": pa.int64(), "checksum": pa.int64()}
REFUSAL = {"reason": pa.string(), "detail": pa.string()}
INDEX = pa.schema(COHORT | {f"warp_{name}": kind for name, kind in WARP.items()} | FACTS | PLACE)
"""A row a slice. `offset` counts bytes of the shard's file, `checksum` is the CRC-32 of the slice's bytes there.

`pixels` is a sum over all HU of the slice, before geometry, and `checksum`: slices that agree in both are the same.
`lowest_hu` and `highest_hu` are what they were before clipping, `wrapped` that they were mended.
"""
TABLE = pa.schema([*INDEX, *(pa.field(name, kind) for name, kind in REFUSAL.items())])
"""A shard's own: with the rows that could not be read, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The files of one shard, and the rows of the cohort that it holds."""

    folder: Path
    number: int
    rows: range

    @property
    def pixels(self) -> Path:
        return pixels_file(self.folder, self.number)

    @property
    def table(self) -> Path:
        return self.pixels.with_suffix(".parquet")

    @property
    def is_there(self) -> bool:
        return self.table.exists()

    def write(self, slices: Iterable[tuple[dict[str, Any], "Entry | BadSlice"]]) -> None:
        """The cohort's row and the slice of each of its rows; what was there unfinished is overwritten."""
        rows: list[dict[str, Any]] = []
        offset = 0
        with whole(self.pixels) as file:
            for known, done in slices:
                if isinstance(done, BadSlice):
                    rows.append(known | {"reason": done.reason, "detail": done.detail})
                    continue
                file.write(done.content)
                rows.append(known | done.facts | {"shard": self.number, "offset": offset})
                offset += len(done.content)
        with whole(self.table) as file:
            pq.write_table(pa.Table.from_pylist(rows, schema=TABLE), file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One prepared slice: its bytes in the shard, and what the index says of it."""

    content: bytes
    facts: dict[str, Any]

    @classmethod
    def of(cls, one: Slice, prepared: Prepared) -> "Entry":
        content = prepared.hu.astype("<i2", copy=False).tobytes()
        checksum = zlib.crc32(content)
        facts = {f"warp_{name}": getattr(prepared.warp, name) for name in WARP} | {
            "pixels": _sum_of(one.hu) << 32 | checksum,
            "lowest_hu": one.lowest_hu,
            "highest_hu": one.highest_hu,
            "wrapped": one.wrapped,
            "checksum": checksum,
        }
        return cls(content=content, facts=facts)


def _sum_of(hu: Int16[np.ndarray, "height width"]) -> int:
    """32 bits of the sum of all HU, four at a time; a CRC of all of them takes five times as long."""
    flat = np.ascontiguousarray(hu).ravel()
    whole = len(flat) // 4 * 4
    total = int(flat[:whole].view(np.uint64).sum(dtype=np.uint64))
    if whole < len(flat):
        total += int(flat[whole:].astype(np.uint64).sum())
    return (total ^ total >> 32) & 0xFFFFFFFF


def pixels_file(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.bin"


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name whole or not at all, also where the power fails."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)  # a full disk gets its space back
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
