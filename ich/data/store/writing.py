"""A store, written shard by shard: killed anywhere it goes on where it was, and many processes may share the work.

A folder is a whole store once its index is there. Before, each shard that is there is whole; locks lie beside the
folder, so that what it holds is the same bytes however it came about.
"""

import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from ich.ct.geometry import Geometry
from ich.data.cohort import COLUMNS, Cohort, series_ranges
from ich.data.store.preparing import Preparing, start_preparing
from ich.data.store.reading import (
    CHECKSUMS,
    DESCRIPTION,
    FORMAT,
    INDEX_FILE,
    REJECTED,
    WRITE_ANEW,
    BadStore,
    Store,
    digest_of,
    open_store,
)
from ich.data.store.shard import COHORT, INDEX, REFUSAL, TABLE, Shard, whole
from ich.progress import Report

SHARD_BYTES = 2**31
"""16,384 slices of 256 x 256: 46 shards for RSNA 2019."""
ROW_GROUP = 2**16
"""Rows of the index that are decoded at a time: the whole of it at once takes twice the memory."""


def prepare_store(
    cohort: Cohort,
    geometry: Geometry,
    *,
    cache: Path,
    report: Report | None = None,
    shard_bytes: int = SHARD_BYTES,
    processes: int | None = None,
) -> Store:
    """The store of this cohort and geometry under `cache`; what of it is not there yet is written first."""
    unfinished = begin_store(cohort, geometry, cache=cache, shard_bytes=shard_bytes)
    if not unfinished.is_whole:
        unfinished.write(report, processes)
    return open_store(unfinished.folder)


def begin_store(cohort: Cohort, geometry: Geometry, *, cache: Path, shard_bytes: int = SHARD_BYTES) -> "Unfinished":
    """The folder of a store with its description. One that was begun keeps its shards, whatever `shard_bytes` says."""
    described: dict[str, Any] = {
        "format": FORMAT,
        "geometry": {"name": type(geometry).__name__} | asdict(geometry),
        "cohort": cohort.digest,
    }
    _keep_cohort(cohort, cache / "cohort" / f"{described['cohort']}.parquet")
    folder = cache / "store" / digest_of(described)
    in_shard = max(1, shard_bytes // (2 * geometry.size**2))
    divided = _divide(cohort, in_shard, by_series=geometry.by_series)
    described |= {"slices_in_shard": in_shard, "shards": len(divided)}
    try:
        if not (folder / DESCRIPTION).exists():
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                if not (folder / DESCRIPTION).exists():
                    with whole(folder / DESCRIPTION) as file:
                        file.write((json.dumps(described, indent=2, sort_keys=True) + "\n").encode())
        found = json.loads((folder / DESCRIPTION).read_text())
        if in_shard != int(found["slices_in_shard"]):
            in_shard = int(found["slices_in_shard"])
            divided = _divide(cohort, in_shard, by_series=geometry.by_series)
        shards = int(found["shards"])
    except OSError as error:
        raise _unwritable(folder, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadStore(f"{folder}: damaged: {error}; {WRITE_ANEW}") from error
    if shards != len(divided):
        raise BadStore(f"{folder}: damaged: {shards} shards of {in_shard} slices are another cohort's; {WRITE_ANEW}")
    return Unfinished(folder=folder, cohort=cohort, geometry=geometry, divided=divided)


def _divide(cohort: Cohort, in_shard: int, *, by_series: bool) -> list[range]:
    """The rows of each shard: `in_shard` of them, or whole series of that many at most, unless one alone has more."""
    count = len(cohort.table)
    if not by_series:
        return [range(start, min(start + in_shard, count)) for start in range(0, count, in_shard)]
    divided: list[range] = []
    for series in series_ranges(cohort.table):
        if divided and series.stop - divided[-1].start <= in_shard:
            divided[-1] = range(divided[-1].start, series.stop)
        else:
            divided.append(series)
    return divided


def _keep_cohort(cohort: Cohort, path: Path) -> None:
    """The table that the store was made of, also with slices whose pixels cannot be read."""
    if path.exists():  # a store that is whole may lie where nothing can be written
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.exists():
                table = pa.Table.from_pandas(cohort.table[list(COLUMNS)], pa.schema(COHORT), preserve_index=False)
                with whole(path) as file:
                    pq.write_table(table.replace_schema_metadata(), file, row_group_size=ROW_GROUP)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(folder: Path, error: OSError) -> BadStore:
    detail = "data.cache names another place; what is written stays good"
    return BadStore(f"{folder}: cannot be written: {error}; {detail}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A store to be, of which some shards may be there."""

    folder: Path
    cohort: Cohort
    geometry: Geometry
    divided: list[range]

    @property
    def is_whole(self) -> bool:
        return (self.folder / INDEX_FILE).exists()

    @property
    def shards(self) -> list[Shard]:
        return [Shard(folder=self.folder, number=number, rows=rows) for number, rows in enumerate(self.divided)]

    def write(self, report: Report | None = None, processes: int | None = None) -> None:
        """Every shard that is missing. Where another process has one, first the others, then what it may leave."""
        count = sum(len(shard.rows) for shard in self.shards if not shard.is_there)
        with start_preparing(self.geometry, slices=count, processes=processes) as preparing:
            while missing := [shard for shard in self.shards if not shard.is_there]:
                written = [self._write_shard(shard, preparing, report, wait=False) for shard in missing]
                if not any(written):
                    self._write_shard(missing[0], preparing, report, wait=True)
        self.finish()

    def write_one(self, number: int, report: Report | None = None, processes: int | None = None) -> None:
        """One shard alone, or none beyond the last; whoever writes the last missing one finishes the store."""
        shards = self.shards
        for shard in shards[number : number + 1]:
            with start_preparing(self.geometry, slices=len(shard.rows), processes=processes) as preparing:
                self._write_shard(shard, preparing, report, wait=True)
        if all(shard.is_there for shard in shards):
            self.finish()

    def _write_shard(self, shard: Shard, preparing: Preparing, report: Report | None, *, wait: bool) -> bool:
        """Whether the shard is there now; not, without `wait`, where another process is writing it."""
        try:
            with FileLock(f"{self.folder}.{shard.number:05d}.lock", timeout=-1 if wait else 0):
                if not shard.is_there:
                    shard.write(preparing.slices(self.cohort, shard.rows, report))
        except Timeout:
            return False
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        return True

    def finish(self) -> None:
        """One index of all shards; with it the store is whole."""
        try:
            with FileLock(f"{self.folder}.lock"):
                if not self.is_whole:
                    self._merge()
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def _merge(self) -> None:
        table = pa.concat_tables([_read_shard(shard) for shard in self.shards])
        readable = pc.is_null(table["reason"])
        rejected = table.filter(pc.invert(readable)).select(["file", *REFUSAL]).to_pandas()
        index = table.filter(readable).select(INDEX.names)
        if not index.num_rows:
            reason = rejected["reason"].iloc[0]
            raise BadStore(f"{self.cohort.root}: none of its {len(rejected)} slices can be read (first: {reason})")
        packed = pa.BufferOutputStream()
        pq.write_table(index, packed, row_group_size=ROW_GROUP)
        contents = {REJECTED: rejected.to_csv(index=False).encode(), INDEX_FILE: packed.getvalue()}
        sums = {name: zlib.crc32(content) for name, content in contents.items()}
        # In this order: the index says that all is there.
        for name, content in {CHECKSUMS: json.dumps(sums).encode(), **contents}.items():
            with whole(self.folder / name) as file:
                file.write(content)


def _read_shard(shard: Shard) -> pa.Table:
    try:
        return pq.read_table(shard.table, schema=TABLE)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BadStore(f"{shard.table}: damaged: {error}; delete it, and its slices are written again") from error
