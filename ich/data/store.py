"""Prepared slices, written once and mapped into memory: one int16 array per cohort and geometry."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from jaxtyping import Int16, Int64

from ich.ct.dicom import BadSlice, read_slice
from ich.ct.geometry import FullGeometry, HeadGeometry, Prepared
from ich.data.cohort import Cohort
from ich.errors import InputError
from ich.progress import Report

FORMAT = 1


class BadStore(InputError):
    """A store that is damaged, or cannot be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """`index`: a row a slice, cohort columns and warp; `hu`: int16 [N, S, S] on disk, in the same order.

    `rejected`: file, reason, detail of each slice whose pixels could not be read.
    """

    folder: Path
    index: pd.DataFrame
    rejected: pd.DataFrame
    hu: np.memmap[Any, np.dtype[np.int16]]

    def __reduce__(self) -> tuple[Any, ...]:
        """Opened anew in a worker process; pickled as it is, it would be read whole and sent through a pipe."""
        return open_store, (self.folder,)

    @property
    def digest(self) -> str:
        return self.folder.name

    @property
    def size(self) -> int:
        """Pixels a side."""
        return int(self.hu.shape[-1])

    def read(
        self, rows: Int64[np.ndarray, " batch"], *, out: Int16[np.ndarray, "batch size size"] | None = None
    ) -> Int16[np.ndarray, "batch size size"]:
        """Copies of these rows, into `out` where it is given; mode="raise" would buffer, so bounds are checked here."""
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self.hu)):
            raise IndexError(f"rows {rows.min()} .. {rows.max()} of a store of {len(self.hu)}")
        return np.take(self.hu, rows, axis=0, out=out, mode="clip")


def prepare_store(
    cohort: Cohort, geometry: HeadGeometry | FullGeometry, *, cache: Path, report: Report | None = None
) -> Store:
    """The store of this cohort and geometry under `cache`, written first where it is not there yet.

    It is written beside its place and renamed whole, under a lock: killed anywhere, nothing looks complete.
    """
    facts = {"format": FORMAT, "geometry": _describe(geometry), "cohort": cohort.digest}
    folder = cache / "store" / _digest(facts)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            unfinished = folder.with_name(f"{folder.name}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            try:
                _write(unfinished, cohort, geometry, facts, report)
            except OSError as error:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise BadStore(f"{folder}: cannot be written: {error}; data.cache names another place") from error
            unfinished.rename(folder)
    return open_store(folder)


def _digest(facts: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _describe(geometry: HeadGeometry | FullGeometry) -> dict[str, object]:
    return {"name": type(geometry).__name__} | asdict(geometry)


def _write(
    folder: Path, cohort: Cohort, geometry: HeadGeometry | FullGeometry, facts: dict[str, object], report: Report | None
) -> None:
    shape = (len(cohort.table), geometry.size, geometry.size)
    with (folder / "hu.bin").open("wb") as file:
        kept, rejected = [], []
        for row, prepared in enumerate(_prepare_all(cohort, geometry)):
            name = cohort.table["file"].iloc[row]
            if isinstance(prepared, BadSlice):
                _refuse_vanished(prepared)
                rejected.append({"file": name, "reason": prepared.reason, "detail": prepared.detail})
            else:
                prepared.hu.astype("<i2").tofile(file)
                kept.append({"row": row} | asdict(prepared.warp))
            if report:
                report(row + 1, shape[0])
    if not kept:
        raise BadStore(f"{cohort.root}: none of its {shape[0]} slices can be read (first: {rejected[0]['reason']})")
    warps = pd.DataFrame(kept).set_index("row").add_prefix("warp_")
    index = cohort.table.loc[warps.index].join(warps).reset_index(drop=True)
    index.to_parquet(folder / "index.parquet", index=False)
    pd.DataFrame(rejected, columns=["file", "reason", "detail"]).to_csv(folder / "rejected.csv", index=False)
    described = facts | {"slices": len(index), "size": geometry.size}
    (folder / "store.json").write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")


def _refuse_vanished(bad: BadSlice) -> None:
    """Its header was read a moment ago: what is no DICOM now is no damaged slice, and would be left out for ever."""
    if bad.reason in ("empty", "not_dicom"):
        raise BadStore(f"{bad.path}: it vanished or changed while slices were prepared ({bad.detail}); start again")


def _prepare_all(cohort: Cohort, geometry: HeadGeometry | FullGeometry) -> Iterator[Prepared | BadSlice]:
    """Each file's pixels once, in order, a few slices ahead of the writing."""

    def prepare(name: str) -> Prepared | BadSlice:
        try:
            one = read_slice(cohort.root / name, spacing_required=geometry.spacing_required)
        except BadSlice as bad:
            return bad
        return geometry.prepare(one.hu, one.header.spacing_mm)

    files, ahead = cohort.table["file"].tolist(), 64
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), ahead):
            yield from pool.map(prepare, files[start : start + ahead])


def open_store(folder: Path) -> Store:
    """A store that is there. Its name is the digest of what it says of itself."""
    try:
        found = json.loads((folder / "store.json").read_text())
        index = pd.read_parquet(folder / "index.parquet")
        rejected = pd.read_csv(folder / "rejected.csv", keep_default_na=False)
        size = (folder / "hu.bin").stat().st_size
        shape = (found.pop("slices"), found["size"], found.pop("size"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadStore(f"{folder}: damaged: {error}; delete the folder, and it is written again") from error
    if _digest(found) != folder.name or shape[0] != len(index) or size != 2 * int(np.prod(shape)):
        raise BadStore(f"{folder}: damaged, or another cohort's; delete the folder, and it is written again")
    hu = np.memmap(folder / "hu.bin", dtype="<i2", mode="r", shape=shape)
    return Store(folder=folder, index=index, rejected=rejected, hu=hu)
