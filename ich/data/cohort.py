"""A folder of DICOM files to one table: a row a slice, every series in anatomical order."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64

from ich.ct.dicom import BadSlice, Header
from ich.data.files import Files, Folder, open_archive
from ich.data.labels import BadLabels, check_any
from ich.data.threads import in_order
from ich.errors import InputError
from ich.findings import FINDINGS
from ich.progress import Report

COLUMNS = (
    "image_id", "series_id", "study_id", "patient_id", "file", "position_mm", "spacing_row_mm", "spacing_column_mm",
    "rows", "columns", "bytes", "fingerprint",
)  # fmt: skip
BLOCK = 2**15
"""Rows that wait as dictionaries, of a kilobyte each, before they become columns."""
AHEAD = 1024
"""Files that threads may be ahead of the table."""


Row = dict[str, object]


class BadCohort(InputError):
    """A folder or a table that is no cohort."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """`table`: COLUMNS, a row a slice, `file` a name of `files`; `rejected`: file, reason, detail of every other file.

    `recipe` names what made the slices where somebody knows it: two phantoms may differ in nothing but their blood.
    """

    files: Files
    table: pd.DataFrame
    rejected: pd.DataFrame
    recipe: str = ""

    @property
    def root(self) -> Path:
        return self.files.root

    @property
    def digest(self) -> str:
        """Of what is known of each slice, the same wherever it lies."""
        content = hashlib.sha256(self.recipe.encode())
        for name in COLUMNS:
            column = self.table[name].to_numpy()
            if column.dtype.kind == "f":
                known = (np.round(column, 6) + 0.0).astype("<f8").tobytes()  # + 0.0: there are two zeros
            else:
                known = "\n".join(map(str, column)).encode()
            content.update(f"\n{name} {len(known)}\n".encode() + known)
        return content.hexdigest()[:32]


def kaggle_files(root: Path) -> Files:
    """The folder with stage_2_train/ and stage_2_train.csv: `root` itself, one folder inside it, or in its .zip."""
    if root.is_file():
        archive = open_archive(root)
        found = sorted(name for name in archive.members if f"/{name}".endswith("/stage_2_train.csv"))
        for inside in (name.removesuffix("stage_2_train.csv") for name in found):
            if any(name.startswith(f"{inside}stage_2_train/") for name in archive.members):
                return archive.under(inside)
        raise BadCohort(f"{root}: it holds no stage_2_train/ beside a stage_2_train.csv, as Kaggle's does")
    return Folder(kaggle_folder(root))


def kaggle_folder(root: Path) -> Path:
    """The folder with stage_2_train/ and stage_2_train.csv: `root` itself, or one folder inside it."""
    if not root.is_dir():
        wanted = "data.root is Kaggle's folder, the folder above it, or its .zip"
        raise BadCohort(f"{root}: there is no such {'file' if root.suffix == '.zip' else 'folder'}; {wanted}")
    for folder in (root, *sorted(child for child in root.iterdir() if child.is_dir())):
        if (folder / "stage_2_train").is_dir() and (folder / "stage_2_train.csv").is_file():
            return folder
    missing = "neither it nor a folder in it holds stage_2_train/ and stage_2_train.csv"
    raise BadCohort(f"{root}: {missing}, as Kaggle's does")


def read_cohort(root: Path | Files, *, spacing_required: bool = True, report: Report | None = None) -> Cohort:
    """Read the header of every file under `root`, flat or nested; hidden files are passed over."""
    if isinstance(root, Path) and not root.is_dir():
        raise BadCohort(f"{root}: there is no such folder")
    files = Folder(root) if isinstance(root, Path) else root
    return _read_files(files, files.names(), spacing_required=spacing_required, report=report)


def read_table(
    path: Path, *, spacing_required: bool = True, report: Report | None = None
) -> tuple[Cohort, pd.DataFrame]:
    """A cohort and its labels from a CSV: `file` (relative to it), `patient_id`, the six labels."""
    try:
        # A patient may be called NA, which pandas takes for nothing.
        rows = pd.read_csv(path, dtype={"file": str, "patient_id": str}, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise BadCohort(f"{path}: no table can be read: {error}") from error
    missing = [name for name in ("file", "patient_id", *FINDINGS) if name not in rows]
    if missing:
        raise BadCohort(f"{path}: it lacks {', '.join(missing)}; its columns are {', '.join(rows.columns)}")
    rows["file"] = [_relative(path.parent / file, path.parent) if file else "" for file in rows["file"]]
    if (rows[["file", "patient_id"]] == "").any(axis=None) or rows["file"].duplicated().any():
        raise BadCohort(f"{path}: every row names a file of its own and a patient_id")
    if not rows[list(FINDINGS)].isin([0, 1]).all(axis=None):
        raise BadLabels(f"{path}: a label is 0 or 1")
    cohort = _read_files(Folder(path.parent), rows["file"].tolist(), spacing_required=spacing_required, report=report)
    by_file = rows.set_index("file").loc[cohort.table["file"]]
    cohort.table["patient_id"] = by_file["patient_id"].to_numpy()
    labels = by_file[list(FINDINGS)].astype(np.uint8).set_index(pd.Index(cohort.table["image_id"], name="image_id"))
    check_any(path, labels)
    return cohort, labels


def _read_files(files: Files, names: list[str], *, spacing_required: bool, report: Report | None) -> Cohort:
    blocks: list[pd.DataFrame] = []
    rows: list[Row] = []
    rejected: list[Row] = []
    for done, (name, read) in enumerate(_read_rows(files, names, spacing_required), start=1):
        if isinstance(read, BadSlice):
            rejected.append({"file": name, "reason": read.reason, "detail": read.detail})
        else:
            rows.append(read | {"file": name})
        if rows and (len(rows) == BLOCK or done == len(names)):
            blocks.append(pd.DataFrame(rows))
            rows = []
        if report and (done % 100 == 0 or done == len(names)):
            report(done, len(names))
    refused = pd.DataFrame(rejected, columns=["file", "reason", "detail"])
    if not blocks:
        mostly = "".join(f" (mostly: {reason})" for reason in refused["reason"].mode()[:1])
        raise BadCohort(f"{files.root}: none of its {len(names)} files is a CT slice{mostly}")
    table = _in_order(files.root, pd.concat(blocks, ignore_index=True))
    return Cohort(files=files, table=table, rejected=refused)


def _relative(file: Path, root: Path) -> str:
    return Path(os.path.relpath(file, root)).as_posix()


def _read_rows(files: Files, names: Sequence[str], spacing_required: bool) -> Iterator[tuple[str, Row | BadSlice]]:
    for name in names:
        if not name.isprintable():
            raise BadCohort(f"{files.root}: {name!a} is no name for a table; rename the file")

    def read(name: str) -> tuple[str, Row | BadSlice]:
        try:
            header, sample = files.read_header(name, spacing_required=spacing_required)
        except BadSlice as bad:
            return name, bad
        return name, _row(header) | sample._asdict()

    return in_order(read, names, ahead=AHEAD)


def _row(header: Header) -> Row:
    spacing = header.spacing_mm or (np.nan, np.nan)
    ids = {name: value for name, value in asdict(header).items() if name.endswith("_id")}
    return ids | {
        "position_mm": position_mm(header),
        "spacing_row_mm": spacing[0],
        "spacing_column_mm": spacing[1],
        "rows": header.rows,
        "columns": header.columns,
    }


def position_mm(header: Header) -> float:
    """Millimetres along the slice normal, feet to head; nan where the header does not say."""
    if header.position_mm is None:
        return float("nan")
    if header.orientation is None:
        return header.position_mm[2]
    normal = np.cross(header.orientation[:3], header.orientation[3:])
    return float(np.dot(normal, header.position_mm) * np.sign(normal[2]))


def _in_order(root: Path, table: pd.DataFrame) -> pd.DataFrame:
    """By patient, study, series, position; ties and slices without a position by image id."""
    double = table["image_id"][table["image_id"].duplicated()]
    if len(double):
        files = table.loc[table["image_id"] == double.iloc[0], "file"].tolist()[:2]
        detail = f"{' and '.join(files)} are both image {double.iloc[0]} ({len(double)} such files)"
        raise BadCohort(f"{root}: {detail}; keep one of each")
    order = ["patient_id", "study_id", "series_id", "position_mm", "image_id"]
    return table[list(COLUMNS)].sort_values(order, kind="stable").reset_index(drop=True)


def neighbour_rows(table: pd.DataFrame, slices: int) -> Int64[np.ndarray, "n slices"]:
    """For each row the rows of an odd number of slices of its series, itself in the middle; ends are repeated.

    A slice without a position is its own neighbour. `table` has patient_id, study_id, series_id and position_mm, in a
    cohort's order.
    """
    if slices < 1 or slices % 2 == 0:
        raise ValueError(f"slices={slices}: a slice has as many neighbours below as above; give an odd number")
    ranges = _ranges(_begins_series(table) | table["position_mm"].isna().to_numpy())
    lengths = np.array([len(one) for one in ranges], np.int64)
    first = np.repeat(np.array([one.start for one in ranges], np.int64), lengths)
    last = first + np.repeat(lengths, lengths) - 1
    offsets = np.arange(slices) - slices // 2
    return np.clip(np.arange(len(table))[:, None] + offsets, first[:, None], last[:, None])


def series_ranges(table: pd.DataFrame) -> list[range]:
    """The rows of each series, in a cohort's order."""
    return _ranges(_begins_series(table))


def _begins_series(table: pd.DataFrame) -> Bool[np.ndarray, " n"]:
    ids = table[["patient_id", "study_id", "series_id"]]
    return np.asarray((ids != ids.shift()).any(axis=1))


def _ranges(begins: Bool[np.ndarray, " n"]) -> list[range]:
    return [range(start, stop) for start, stop in pairwise([*np.flatnonzero(begins).tolist(), len(begins)])]
