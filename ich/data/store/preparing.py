"""A cohort's files to prepared slices: each file's pixels once, in order, a little ahead of whoever writes them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import pandas as pd

from ich.ct.dicom import BadSlice, Slice
from ich.ct.geometry import Geometry
from ich.data.cohort import COLUMNS, Cohort, series_ranges
from ich.data.files import Files, Sample
from ich.data.pool import start_processes
from ich.data.store.reading import BadStore
from ich.data.store.shard import Entry
from ich.data.threads import in_order, processors
from ich.progress import Report

AHEAD = 64
"""Slices that threads may be ahead of the file."""
TOGETHER = 16
"""Slices that travel between processes at a time."""
WORTH_PROCESSES = 5000
"""Slices: for fewer, processes take longer to start than they save."""

Entries = list[Entry | BadSlice]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Files of a cohort, by their own names, whose slices are made one after the other."""

    files: Files
    names: Sequence[str]
    samples: Sequence[Sample]
    positions_mm: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    """By threads or by processes: `in_order` makes the entries of each part, of `together` slices or of a series."""

    in_order: Callable[[Callable[[Part], Entries], Iterable[Part]], Iterator[Entries]]
    geometry: Geometry
    together: int

    def slices(self, cohort: Cohort, rows: range, report: Report | None) -> Iterator[tuple[Any, Entry | BadSlice]]:
        """The cohort's row and the slice of each of these rows."""
        table = cohort.table.iloc[rows.start : rows.stop]
        if self.geometry.by_series:
            ranges = series_ranges(table)
        else:
            ranges = [range(first, first + self.together) for first in range(0, len(rows), self.together)]
        made = self.in_order(partial(prepare, self.geometry), _parts(cohort, table, ranges))
        known = table[list(COLUMNS)].to_dict("records")
        for done, (row, entry) in enumerate(zip(known, chain.from_iterable(made), strict=True), start=rows.start + 1):
            yield row, entry
            if report:
                report(done, len(cohort.table))


@contextmanager
def start_preparing(geometry: Geometry, *, slices: int, processes: int | None) -> Iterator[Preparing]:
    """For so many slices. `processes`: None is one a processor where that is worth it; 1 is threads of this process."""
    cores = processors()
    count = processes or (cores if slices >= WORTH_PROCESSES else 1)
    if count == 1:
        ahead = cores + 1 if geometry.by_series else AHEAD
        yield Preparing(in_order=partial(in_order, ahead=ahead), geometry=geometry, together=1)
        return
    with start_processes(count) as started:
        yield Preparing(in_order=started.in_order, geometry=geometry, together=TOGETHER)


def prepare(geometry: Geometry, part: Part) -> Entries:
    """Slices alone, or all of a series: those that can be read are laid on one square. Raises BadStore."""
    known = zip(part.names, part.samples, strict=True)
    read = [_read(part.files, name, sample, geometry.spacing_required) for name, sample in known]
    good = [one for one in read if isinstance(one, Slice)]
    positions = [position for position, one in zip(part.positions_mm, read, strict=True) if isinstance(one, Slice)]
    prepared = geometry.prepare_series([one.hu for one in good], [one.header.spacing_mm for one in good], positions)
    entries = iter([Entry.of(one, squared) for one, squared in zip(good, prepared, strict=True)])
    return [next(entries) if isinstance(one, Slice) else one for one in read]


def _parts(cohort: Cohort, table: pd.DataFrame, ranges: Iterable[range]) -> Iterator[Part]:
    names, positions = table["file"].tolist(), table["position_mm"].tolist()
    samples = [Sample(*one) for one in zip(table["bytes"].tolist(), table["fingerprint"].tolist(), strict=True)]
    for one in ranges:
        some = slice(one.start, one.stop)
        files, own = cohort.files.part(names[some])
        yield Part(files=files, names=own, samples=samples[some], positions_mm=positions[some])


def _read(files: Files, name: str, sample: Sample, spacing_required: bool) -> Slice | BadSlice:
    try:
        return files.read_slice(name, spacing_required=spacing_required)
    except BadSlice as bad:
        # Its header was read a moment ago: what is another file now is no damaged slice, left out for ever.
        if _is_other(files, name, sample):
            detail = f"it vanished or changed while slices were prepared ({bad.detail})"
            raise BadStore(f"{bad.path}: {detail}; start again: what is written stays good") from bad
        return bad


def _is_other(files: Files, name: str, sample: Sample) -> bool:
    try:
        return files.sample(name) != sample
    except BadSlice:
        return True
