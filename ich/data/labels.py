"""Labels: the challenge's long CSV (`ID,Label`, six rows an image) and a wide table (a row an image)."""

from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64, Int64, UInt8
from pyarrow import csv

from ich.data.label_bytes import read_flawless
from ich.errors import InputError
from ich.findings import FINDINGS
from ich.progress import counted

SHOWN = 60
"""Letters of a wrong header."""


class BadLabels(InputError):
    """A label table that cannot be trusted."""


def read_labels(path: Path | str) -> pd.DataFrame:
    """The challenge's CSV as a table: index `image_id`, columns FINDINGS, uint8.

    Rows may come in any order, and equal rows twice (as in stage_2_train.csv); the table is in the order of its ids.
    Refused: an image with two different answers, a missing or unknown finding, a label other than 0 and 1, an *any*
    that contradicts its kinds.
    """
    table = read_flawless(Path(path))
    if table is None:
        table = _read_carefully(Path(path))
    check_any(path, table)
    return table


def _read_carefully(path: Path) -> pd.DataFrame:
    """A table with ids of any shape, or what is wrong with it."""
    ids, labels, lines = _read_long(path)
    images = pc.unique(_images_of(ids, "any")[1])
    known = np.zeros(len(ids), dtype=bool)
    said = np.zeros((2, len(images), len(FINDINGS)), dtype=bool)
    for column, finding in enumerate(FINDINGS):
        rows, names = _images_of(ids, finding)
        image = pc.index_in(names, value_set=images)
        if image.null_count:
            lost = pc.unique(names.filter(image.is_null()))
            have = counted(len(lost), "image has", "images have")
            raise BadLabels(f"{path}: {lost[0]} has no label for any ({have} one for {finding} only)")
        said[labels[rows], image.to_numpy(), column] = True
        known |= rows
    if not known.all():
        row = int(np.argmin(known))
        name = ids[row].as_py() or ""
        raise BadLabels(f"{path}, line {lines[row]}: {name!r} does not end with one of {', '.join(FINDINGS)}")
    return _widen(
        path, pd.Index(images.to_pandas(), name="image_id"), said, pd.Series(lines, ids.to_pandas())
    ).sort_index()


def _images_of(ids: pa.ChunkedArray, finding: str) -> tuple[Bool[np.ndarray, " rows"], pa.ChunkedArray]:
    """Which rows speak of a finding, and the images they name."""
    rows = pc.fill_null(pc.ends_with(ids, f"_{finding}"), False)
    return rows.to_numpy(), pc.utf8_slice_codeunits(ids.filter(rows), 0, -len(f"_{finding}"))


def _read_long(path: Path) -> tuple[pa.ChunkedArray, UInt8[np.ndarray, " rows"], Int64[np.ndarray, " rows"]]:
    """The columns ID and Label, and the line of each row; blank lines are passed over.

    Types are named, because guessing them takes twice the memory.
    """
    failure: Exception | None = None
    parse = csv.ParseOptions(ignore_empty_lines=False)  # so that lines can be counted
    for label in (pa.int8(), pa.string()):  # as text where it is no number, to show which
        options = csv.ConvertOptions(column_types={"ID": pa.string(), "Label": label}, strings_can_be_null=True)
        try:
            table = csv.read_csv(path, parse_options=parse, convert_options=options)
            names = table.column_names  # here, because they may be no text
            break
        except (OSError, ValueError, pa.ArrowException) as error:
            failure = error
    else:
        raise BadLabels(f"{path}: no label table can be read: {failure}") from failure
    if names[:2] != ["ID", "Label"]:
        found = ",".join(names)
        found = found if len(found) <= SHOWN else f"{found[:SHOWN]}…"
        raise BadLabels(f"{path}: the header is {found}, not ID,Label as in the challenge's stage_2_train.csv")
    filled = pc.invert(pc.and_(pc.is_null(table["Label"]), pc.equal(pc.fill_null(table["ID"], ""), "")))
    table, lines = table.filter(filled), np.flatnonzero(filled.to_numpy()) + 2
    labels = table["Label"]
    valid = pc.is_in(labels, value_set=pa.array([0, 1]).cast(labels.type)).to_numpy()
    if not valid.all():
        row = int(np.argmin(valid))
        value = labels[row].as_py()
        raise BadLabels(f"{path}, line {lines[row]}: a label is 0 or 1, not {'missing' if value is None else value}")
    if not len(labels):
        raise BadLabels(f"{path}: there is no row under its header; download or copy it again")
    return table["ID"], labels.cast(pa.uint8()).to_numpy(), lines


def _widen(path: Path, images: pd.Index, said: Bool[np.ndarray, "2 images 6"], lines: pd.Series) -> pd.DataFrame:
    """The table, once what was said of an image (0, 1) shows neither a conflict nor a gap."""
    for wrong, what in ((said.all(axis=0), "has two different labels"), (~said.any(axis=0), "has no label")):
        if np.any(wrong):
            row, column = np.argwhere(wrong)[0]
            there = lines[lines.index == f"{images[row]}_{FINDINGS[column]}"].astype(str)
            where = f", lines {' and '.join(there)}" if len(there) else ""
            have = counted(int(wrong.max(axis=1).sum()), "image has", "images have")
            raise BadLabels(f"{path}{where}: {images[row]} {what} for {FINDINGS[column]} ({have} this fault)")
    return pd.DataFrame(said[1].astype(np.uint8), index=images, columns=list(FINDINGS))


def check_any(path: Path | str, table: pd.DataFrame) -> None:
    """Refuse a table in which *any* is not the largest of the kinds; none of 400,242 rows of the challenge's is so."""
    wrong = table["any"] != table[list(FINDINGS[:-1])].max(axis=1)
    if wrong.any():
        first = table.index[wrong][0]
        detail = f"any is not the largest of its kinds ({counted(wrong.sum(), 'image')})"
        raise BadLabels(f"{path}: {first} contradicts itself: {detail}")


def write_labels(path: Path | str, table: pd.DataFrame) -> None:
    """The wide table as the challenge's CSV."""
    write_submission(path, table.index.tolist(), table[list(FINDINGS)].to_numpy())


def write_submission(
    path: Path | str | IO[bytes], image_ids: Sequence[str], values: Float64[np.ndarray, "n 6"] | np.ndarray
) -> None:
    """`ID,Label`, six rows an image, in the order of FINDINGS."""
    ids = [f"{image_id}_{finding}" for image_id in image_ids for finding in FINDINGS]
    pd.DataFrame({"ID": ids, "Label": np.asarray(values).reshape(-1)}).to_csv(path, index=False, float_format="%.17g")
