"""A store, written shard by shard: killed anywhere it goes on where it was, and many processes may share the work.

A folder is a whole store once its index is there. Before, each shard that is there is whole; locks lie beside the
folder, so that what it holds is the same bytes however it came about.
"""

import json
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from ich.ct.dicom import BadSlice, Slice
from ich.ct.geometry import Geometry
from ich.data.cohort import COLUMNS, Cohort, series_ranges
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
from ich.data.store.shard import COHORT, INDEX, REFUSAL, TABLE, Entry, Shard, whole
from ich.data.threads import in_order
from ich.progress import Report

SHARD_BYTES = 2**31
"""16,384 slices of 256 x 256: 46 shards for RSNA 2019."""
AHEAD = 64
"""Slices that threads may be ahead of the file."""

ROW_GROUP = 2**16
"""Rows of the index that are decoded at a time: the whole of it at once takes twice the memory."""


def prepare_store(
    cohort: Cohort,
    geometry: Geometry,
    *,
    cache: Path,
    report: Report | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Store:
    """The store of this cohort and geometry under `cache`; what of it is not there yet is written first."""
    unfinished = begin_store(cohort, geometry, cache=cache, shard_bytes=shard_bytes)
    if not unfinished.is_whole:
        unfinished.write(report)
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

    def write(self, report: Report | None = None) -> None:
        """Every shard that is missing. Where another process has one, first the others, then what it may leave."""
        while missing := [shard for shard in self.shards if not shard.is_there]:
            written = [self._write_shard(shard, report, wait=False) for shard in missing]
            if not any(written):
                self._write_shard(missing[0], report, wait=True)
        self.finish()

    def write_one(self, number: int, report: Report | None = None) -> None:
        """One shard alone, or none beyond the last; whoever writes the last missing one finishes the store."""
        shards = self.shards
        for shard in shards[number : number + 1]:
            self._write_shard(shard, report, wait=True)
        if all(shard.is_there for shard in shards):
            self.finish()

    def _write_shard(self, shard: Shard, report: Report | None, *, wait: bool) -> bool:
        """Whether the shard is there now; not, without `wait`, where another process is writing it."""
        try:
            with FileLock(f"{self.folder}.{shard.number:05d}.lock", timeout=-1 if wait else 0):
                if not shard.is_there:
                    shard.write(self._prepare(shard.rows, report))
        except Timeout:
            return False
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        return True

    def _prepare(self, rows: range, report: Report | None) -> Any:
        """Cohort row and slice of each row: each file's pixels once, in order, a little ahead of the writing."""
        table = self.cohort.table.iloc[rows.start : rows.stop][list(COLUMNS)]
        known = table.to_dict("records")
        if self.geometry.by_series:
            together = [known[series.start : series.stop] for series in series_ranges(table)]
            ahead = (os.cpu_count() or 1) + 1
        else:
            together, ahead = [[row] for row in known], AHEAD
        done = rows.start
        for some, entries in zip(together, in_order(self._entries, together, ahead=ahead), strict=True):
            for row, entry in zip(some, entries, strict=True):
                yield row, entry
                done += 1
                if report:
                    report(done, len(self.cohort.table))

    def _entries(self, rows: list[dict[Any, Any]]) -> list[Entry | BadSlice]:
        """One slice, or all of a series: those that can be read are laid on one square."""
        read = [self._read(str(row["file"])) for row in rows]
        good = [one for one in read if isinstance(one, Slice)]
        positions = [row["position_mm"] for row, one in zip(rows, read, strict=True) if isinstance(one, Slice)]
        spacings = [one.header.spacing_mm for one in good]
        prepared = self.geometry.prepare_series([one.hu for one in good], spacings, positions)
        entries = iter([Entry.of(one, squared) for one, squared in zip(good, prepared, strict=True)])
        return [next(entries) if isinstance(one, Slice) else one for one in read]

    def _read(self, name: str) -> Slice | BadSlice:
        try:
            return self.cohort.files.read_slice(name, spacing_required=self.geometry.spacing_required)
        except BadSlice as bad:
            # Its header was read a moment ago: what is no DICOM now is no damaged slice, left out for ever.
            if bad.reason in ("empty", "not_dicom"):
                detail = f"it vanished or changed while slices were prepared ({bad.detail})"
                raise BadStore(f"{bad.path}: {detail}; start again: what is written stays good") from bad
            return bad

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
