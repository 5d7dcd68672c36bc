"""A store that is there: mapped into memory, a shard when it is first asked for."""

import hashlib
import json
import mmap
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int16, Int64

from ich.data.store.shard import pixels_file
from ich.errors import InputError
from ich.progress import Report

FORMAT = 4
DESCRIPTION, INDEX_FILE, REJECTED, CHECKSUMS = "store.json", "index.parquet", "rejected.csv", "checksums.json"
"""The third holds the CRC-32 of the tables, of which one flipped bit would make another slice of one."""
KNOWN = ["image_id", "series_id", "study_id", "patient_id", "position_mm", "warp_widened"]
"""What training asks of a slice. All columns of 752,803 rows take 300 MB, these 70."""
WRITE_ANEW = "delete the folder, and it is written again"


class BadStore(InputError):
    """A store that is damaged, or cannot be written."""


class Store:
    """HU int16 [N, S, S] of N slices, on disk.

    `rows` chooses slices of the folder's and their order; without it, they are all there.
    """

    def __init__(self, folder: Path, *, size: int, counts: list[int], rows: np.ndarray | None = None) -> None:
        self.folder = folder
        self.size = size
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self._rows = rows
        self._shards: dict[int, np.ndarray] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Opened anew in a worker process; pickled as it is, it would be read whole and sent through a pipe."""
        return open_store, (self.folder, self._rows)

    def __len__(self) -> int:
        return int(self._starts[-1]) if self._rows is None else len(self._rows)

    @property
    def digest(self) -> str:
        return self.folder.name

    @cached_property
    def index(self) -> pd.DataFrame:
        """A row a slice: the columns KNOWN."""
        return self.columns(KNOWN)

    def columns(self, names: list[str]) -> pd.DataFrame:
        """A row a slice: any columns of the index, which `shard.INDEX` describes."""
        table: pd.DataFrame = pq.read_table(self.folder / INDEX_FILE, columns=names).to_pandas(self_destruct=True)
        pa.default_memory_pool().release_unused()
        return table if self._rows is None else table.iloc[self._rows].reset_index(drop=True)

    @cached_property
    def rejected(self) -> pd.DataFrame:
        """file, reason, detail of each slice whose pixels could not be read."""
        return pd.read_csv(self.folder / REJECTED, keep_default_na=False)

    def choose(self, rows: Int64[np.ndarray, " n"]) -> "Store":
        """The same store with these rows only."""
        return open_store(self.folder, rows if self._rows is None else self._rows[rows])

    def read(
        self, rows: Int64[np.ndarray, " batch"], *, out: Int16[np.ndarray, "batch size size"] | None = None
    ) -> Int16[np.ndarray, "batch size size"]:
        """Copies of these rows, in `out` where it is given."""
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"rows {rows.min()} .. {rows.max()} of a store of {len(self)}")
        if out is None:
            out = np.empty((len(rows), self.size, self.size), np.int16)
        places = rows if self._rows is None else self._rows[rows]
        if len(self._starts) == 2:  # one shard; mode="raise" would buffer, and the bounds are checked above
            return np.take(self.shard(0), places, axis=0, out=out, mode="clip")
        shards = np.searchsorted(self._starts, places, side="right") - 1
        slots = places - self._starts[shards]
        for place, (shard, slot) in enumerate(zip(shards.tolist(), slots.tolist(), strict=True)):
            out[place] = self.shard(shard)[slot]
        return out

    def damaged(self, report: Report | None = None) -> Iterator[str]:
        """The image of each slice whose bytes are no longer those that were written: everything is read."""
        table = self.columns(["image_id", "file", "checksum"])
        for row, (image, file, checksum) in enumerate(table.itertuples(index=False)):
            if zlib.crc32(self.read(np.array([row])).data) != checksum:
                yield f"{image} ({file})"
            if report and ((row + 1) % 100 == 0 or row + 1 == len(table)):
                report(row + 1, len(table))

    def shard(self, number: int) -> Int16[np.ndarray, "n size size"]:
        """The slices of one file, as they lie on the disk."""
        if number not in self._shards:
            self._shards[number] = _map(pixels_file(self.folder, number), self.size)
        return self._shards[number]


def _map(path: Path, size: int) -> np.ndarray:
    """int16 [n, S, S] in a file. Batches are drawn at random: reading around a slice would cost 25 slices more."""
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise BadStore(f"{path}: it vanished while it was in use ({error})") from error
    if hasattr(mmap, "MADV_RANDOM"):
        mapped.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(mapped, "<i2").reshape(-1, size, size)


def open_store(folder: Path, rows: Int64[np.ndarray, " n"] | None = None) -> Store:
    """A store that is whole. Its name is the digest of what it says of itself."""
    try:
        described = json.loads((folder / DESCRIPTION).read_text())
        size, shards, digest = int(described["geometry"]["size"]), int(described["shards"]), digest_of(described)
        _check_sums(folder)
        slices = pq.read_metadata(folder / INDEX_FILE).num_rows
        counts = [_count(pixels_file(folder, number), size) for number in range(shards)]
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError, pa.ArrowException) as error:
        raise BadStore(f"{folder}: damaged: {error}; {WRITE_ANEW}") from error
    if digest != folder.name or sum(counts) != slices:
        raise BadStore(f"{folder}: damaged, or another cohort's; {WRITE_ANEW}")
    return Store(folder, size=size, counts=counts, rows=rows)


def _check_sums(folder: Path) -> None:
    """Raises ValueError where a table is not what was written."""
    sums = json.loads((folder / CHECKSUMS).read_text())
    for name in (INDEX_FILE, REJECTED):
        if zlib.crc32((folder / name).read_bytes()) != sums[name]:
            raise ValueError(f"{name} has another checksum")


def _count(path: Path, size: int) -> int:
    """The slices in a shard's file."""
    count, rest = divmod(path.stat().st_size, 2 * size * size)
    if rest:
        raise ValueError(f"{path.name} ends inside a slice")
    return count


def digest_of(described: dict[str, Any]) -> str:
    """A store's name: what makes it another store, and nothing of how it is divided into shards."""
    known = {name: described[name] for name in ("format", "geometry", "cohort")}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
