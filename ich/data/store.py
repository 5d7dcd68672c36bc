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
    """`index`: a row a slice, cohort columns and warp; `hu`: int16 [N, S, S] on disk, in the same order."""

    digest: str
    index: pd.DataFrame
    hu: np.memmap[Any, np.dtype[np.int16]]

    def read(self, rows: Int64[np.ndarray, " batch"]) -> Int16[np.ndarray, "batch size size"]:
        """Copies of these rows; mode="raise" would buffer, so the bounds are checked here."""
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self.hu)):
            raise IndexError(f"rows {rows.min()} .. {rows.max()} of a store of {len(self.hu)}")
        return np.take(self.hu, rows, axis=0, mode="clip")


def prepare_store(
    cohort: Cohort, geometry: HeadGeometry | FullGeometry, *, cache: Path, report: Report | None = None
) -> Store:
    """The store of this cohort and geometry under `cache`, written first where it is not there yet.

    It is written beside its place and renamed whole, under a lock: killed anywhere, nothing looks complete.
    """
    facts = {"format": FORMAT, "geometry": _describe(geometry), "cohort": cohort.digest}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache / "store" / digest
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            unfinished = folder.with_name(f"{digest}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            try:
                _write(unfinished, cohort, geometry, facts, report)
            except OSError as error:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise BadStore(f"{folder}: cannot be written: {error}; data.cache names another place") from error
            unfinished.rename(folder)
    return _open(folder, facts)


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


def _open(folder: Path, facts: dict[str, object]) -> Store:
    try:
        found = json.loads((folder / "store.json").read_text())
        index = pd.read_parquet(folder / "index.parquet")
        size = (folder / "hu.bin").stat().st_size
    except (OSError, ValueError) as error:
        raise BadStore(f"{folder}: damaged: {error}; delete the folder, and it is written again") from error
    shape = (len(index), found.get("size", 0), found.get("size", 0))
    if {name: found.get(name) for name in facts} != facts or size != 2 * int(np.prod(shape)):
        raise BadStore(f"{folder}: damaged, or another cohort's; delete the folder, and it is written again")
    hu = np.memmap(folder / "hu.bin", dtype="<i2", mode="r", shape=shape)
    return Store(digest=folder.name, index=index, hu=hu)
