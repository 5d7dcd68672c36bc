"""The header pass: a row a slice, read by threads; what a long pass has read is kept, so that it goes on where it was.

A row that was kept counts while its file is the same: by length, times of change and inode, which no copy and no edit
leaves as they were. It was read by this very code. Files that are no slices are read each time.
"""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import ich.ct
from ich.ct.dicom import BadSlice, Header
from ich.data.renamed import CohortFiles, Renamed
from ich.data.threads import in_order
from ich.progress import Report

BLOCK = 2**15
"""Rows that wait as dictionaries, of a kilobyte each, before they become columns."""
AHEAD = 1024
"""Files that threads may be ahead of the table."""
THREADS = 16
"""Mostly they wait for a disk, of a network perhaps; on a fast one more than the processors do no harm."""
KEEP_SECONDS = 10.0
"""A shorter pass is not worth a file; of a longer one so much is lost where it is stopped."""
SAME = "same"
"""The column that says which file it was."""

Row = dict[str, object]


def read_headers(
    files: CohortFiles, names: Sequence[str], *, spacing_required: bool, cache: Path | None, report: Report | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row of each slice, in no order, and file, reason, detail of every other file, in theirs."""
    kept = Kept(folder=cache / "headers" / _key(files, spacing_required)) if cache else None
    known = kept.load(files, names) if kept else pd.DataFrame()
    there = set(known["file"]) if len(known) else set()
    wanted = [name for name in names if name not in there]
    blocks, unkept, rows, rejected = [known], [], [], list[Row]()
    start = last = time.monotonic()
    for done, (name, read) in enumerate(_read_rows(files, wanted, spacing_required), start=1):
        if isinstance(read, BadSlice):
            rejected.append({"file": name, "reason": read.reason, "detail": read.detail})
        else:
            rows.append(read | {"file": name})
        now = time.monotonic()
        if rows and (len(rows) == BLOCK or done == len(wanted) or now - last >= KEEP_SECONDS):
            unkept.append(pd.DataFrame(rows))
            blocks.append(unkept[-1])
            rows, last = [], now
        if kept and unkept and now - start >= KEEP_SECONDS:
            kept.add(pd.concat(unkept, ignore_index=True))
            unkept = []
        if report and (done % 100 == 0 or done == len(wanted)):
            report(len(there) + done, len(names))
    table = pd.concat([block for block in blocks if len(block)] or blocks[:1], ignore_index=True)
    return table.drop(columns=SAME, errors="ignore"), pd.DataFrame(rejected, columns=["file", "reason", "detail"])


def _key(files: CohortFiles, spacing_required: bool) -> str:
    """Of the place, of what is asked, of what things are called, and of the code that reads."""
    here = Path(__file__)
    code = [
        *sorted(Path(ich.ct.__file__).parent.glob("*.py")),
        here,
        *map(here.with_name, ("files.py", "pseudonym.py", "renamed.py")),
    ]
    names = files.pseudonyms.identity if isinstance(files, Renamed) else b""
    content = [str(files.root.resolve()).encode("utf-8", "surrogateescape"), bytes([spacing_required]), names]
    return hashlib.sha256(b"\0".join([*content, *(file.read_bytes() for file in code)])).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Rows of earlier passes, in files that appear whole; a later one counts."""

    folder: Path

    def load(self, files: CohortFiles, names: Sequence[str]) -> pd.DataFrame:
        """Those of these names whose files are still the same."""
        parts = []
        for part in sorted(self.folder.glob("*.parquet")):
            with suppress(OSError, pa.ArrowException):  # a damaged one is as good as none
                parts.append(pq.read_table(part).to_pandas())
        if not parts:
            return pd.DataFrame()
        known = pd.concat(parts, ignore_index=True).drop_duplicates("file", keep="last")
        known = known[known["file"].isin(names)]
        same = list(in_order(files.same, known["file"], ahead=AHEAD, threads=THREADS))
        return known[known[SAME].to_numpy() == np.array(same, dtype=object)]

    def add(self, rows: pd.DataFrame) -> None:
        """Where nothing can be written, the pass goes on without."""
        part = self.folder / f"{time.time_ns():020d}-{os.getpid()}.parquet"
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            unfinished = part.with_suffix(".unfinished")
            rows[rows[SAME] != ""].to_parquet(unfinished, index=False)
            unfinished.replace(part)


def _read_rows(
    files: CohortFiles, names: Sequence[str], spacing_required: bool
) -> Iterator[tuple[str, Row | BadSlice]]:
    def read(name: str) -> tuple[str, Row | BadSlice]:
        same = files.same(name)  # before it is read: what changes meanwhile is another one
        try:
            header, sample = files.read_header(name, spacing_required=spacing_required)
        except BadSlice as bad:
            return name, bad
        return name, _row(header) | sample._asdict() | {SAME: same}

    return in_order(read, names, ahead=AHEAD, threads=THREADS)


def _row(header: Header) -> Row:
    spacing = header.spacing_mm or (np.nan, np.nan)
    return {
        "image_id": header.image_id,
        "series_id": header.series_id,
        "study_id": header.study_id,
        "patient_id": header.patient_id,
        "position_mm": position_mm(header),
        "spacing_row_mm": spacing[0],
        "spacing_column_mm": spacing[1],
        "rows": header.rows,
        "columns": header.columns,
        "bits_stored": header.bits_stored,
        "signed": header.signed,
        "intercept": header.intercept,
        "slope": header.slope,
    }


def position_mm(header: Header) -> float:
    """Millimetres along the slice normal, feet to head; nan where the header does not say."""
    if header.position_mm is None:
        return float("nan")
    x, y, z = header.position_mm
    if header.orientation is None:
        return z
    a, b, c, d, e, f = header.orientation
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)  # plain, because numpy takes ten times as long for three
    along = normal[0] * x + normal[1] * y + normal[2] * z
    return along if normal[2] > 0 else -along
