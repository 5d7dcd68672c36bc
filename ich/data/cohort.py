"""A folder of DICOM files to one table: a row a slice, every series in anatomical order."""

import hashlib
import os
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64

from ich.data.files import Files, Folder, open_archive
from ich.data.headers import read_headers
from ich.data.labels import BadLabels, check_any
from ich.data.layout import LAYOUT
from ich.data.pseudonym import AS_THEY_ARE, Pseudonyms
from ich.data.renamed import CohortFiles, Renamed, rename
from ich.data.rows import read_rows, refuse_rows
from ich.errors import InputError
from ich.findings import FINDINGS
from ich.progress import Report

COLUMNS = (
    "image_id", "series_id", "study_id", "patient_id", "file", "position_mm", "spacing_row_mm", "spacing_column_mm",
    "rows", "columns", "bytes", "fingerprint",
)  # fmt: skip


WANTED = "data.root is Kaggle's folder, the folder above it, or its .zip"


class BadCohort(InputError):
    """A folder or a table that is no cohort."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """`table`: COLUMNS and LAYOUT, a row a slice, `file` a name of `files`; `rejected`: file, reason, detail of others.

    `recipe` names what made the slices where somebody knows it: two phantoms may differ in nothing but their blood.
    """

    files: CohortFiles
    table: pd.DataFrame
    rejected: pd.DataFrame
    recipe: str = ""

    @property
    def root(self) -> Path:
        return self.files.root

    @property
    def originals(self) -> dict[str, str]:
        """What files are called on the disk that `table` and `rejected` call by pseudonyms."""
        return self.files.originals if isinstance(self.files, Renamed) else {}

    @property
    def digest(self) -> str:
        """Of what is known of each slice, the same wherever it lies."""
        content = hashlib.sha256(self.recipe.encode())
        for name in (*COLUMNS, *LAYOUT):
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
        if root.suffix.lower() != ".zip":
            raise BadCohort(f"{root}: {WANTED}")
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
        raise BadCohort(f"{root}: there is no such {'file' if root.suffix == '.zip' else 'folder'}; {WANTED}")
    for folder in (root, *sorted(child for child in root.iterdir() if child.is_dir())):
        if (folder / "stage_2_train").is_dir() and (folder / "stage_2_train.csv").is_file():
            return folder
    missing = "neither it nor a folder in it holds stage_2_train/ and stage_2_train.csv"
    archives = "".join(f"; data.root={archive} reads that .zip in place" for archive in sorted(root.glob("*.zip"))[:1])
    raise BadCohort(f"{root}: {missing}, as Kaggle's does{archives}; data=table takes slices of any other folder")


def read_cohort(
    root: Path | Files,
    *,
    spacing_required: bool = True,
    cache: Path | None = None,
    report: Report | None = None,
    pseudonyms: Pseudonyms = AS_THEY_ARE,
) -> Cohort:
    """Read the header of every file under `root`, flat or nested; hidden files are passed over.

    Under `cache` a long pass is kept (see `headers`). Ids and files go by their `pseudonyms`.
    """
    if isinstance(root, Path) and not root.is_dir():
        raise BadCohort(f"{root}: there is no such folder")
    files = Folder(root) if isinstance(root, Path) else root
    renamed, names = rename(files, files.names(), pseudonyms)
    return _read_files(renamed, names, spacing_required=spacing_required, cache=cache, report=report)


def read_table(
    path: Path,
    *,
    spacing_required: bool = True,
    cache: Path | None = None,
    report: Report | None = None,
    pseudonyms: Pseudonyms = AS_THEY_ARE,
) -> tuple[Cohort, pd.DataFrame]:
    """A cohort and its labels from a CSV: `file` (relative to it), `patient_id`, the six labels.

    Ids, those in the CSV too, and files go by their `pseudonyms`.
    """
    rows = read_rows(path, columns=["file", "patient_id", *FINDINGS], refuse=BadCohort)
    for name in ("file", "patient_id"):
        refuse_rows(path, rows[name] == "", rows[name], "every row names a file and a patient", refuse=BadCohort)
    rows["file"] = [_relative(path.parent / file, path.parent) for file in rows["file"]]
    refuse_rows(path, rows["file"].duplicated(), rows["file"], "a line above names it, too", refuse=BadCohort)
    for finding in FINDINGS:
        label = pd.to_numeric(rows[finding], errors="coerce")
        refuse_rows(path, ~label.isin([0, 1]), rows[finding], "a label is 0 or 1", refuse=BadLabels)
        rows[finding] = label.astype(np.uint8)
    rows["patient_id"] = pseudonyms.of_all(rows["patient_id"])
    files, names = rename(Folder(path.parent), rows["file"].tolist(), pseudonyms)
    cohort = _read_files(files, names, spacing_required=spacing_required, cache=cache, report=report)
    rows.index = pd.Index(names)
    patients = rows["patient_id"].loc[cohort.table["file"]].to_numpy()
    cohort = replace(cohort, table=_in_order(path, cohort.table.assign(patient_id=patients)))
    by_file = rows.loc[cohort.table["file"]]
    labels = by_file[list(FINDINGS)].set_index(pd.Index(cohort.table["image_id"], name="image_id"))
    check_any(path, labels)
    return cohort, labels


def _read_files(
    files: CohortFiles, names: list[str], *, spacing_required: bool, cache: Path | None, report: Report | None
) -> Cohort:
    for name in names:
        if not name.isprintable():
            raise BadCohort(f"{files.root}: {name!a} is no name for a table; rename the file")
    table, rejected = read_headers(files, names, spacing_required=spacing_required, cache=cache, report=report)
    if not names:
        raise BadCohort(f"{files.root}: there is no file in it")
    if not len(table):
        first = f"{rejected['file'].iloc[0]}: {rejected['detail'].iloc[0]}"
        mostly = f"mostly {rejected['reason'].mode()[0]}; the first is {first}"
        raise BadCohort(f"{files.root}: none of its {len(names)} files is a CT slice ({mostly})")
    return Cohort(files=files, table=_in_order(files.root, table), rejected=rejected)


def _relative(file: Path, root: Path) -> str:
    return Path(os.path.relpath(file, root)).as_posix()


def _in_order(root: Path, table: pd.DataFrame) -> pd.DataFrame:
    """By patient, study, series, position; ties and slices without a position by image id."""
    double = table["image_id"][table["image_id"].duplicated()]
    if len(double):
        files = table.loc[table["image_id"] == double.iloc[0], "file"].tolist()[:2]
        detail = f"{' and '.join(files)} are both image {double.iloc[0]} ({len(double)} such files)"
        raise BadCohort(f"{root}: {detail}; keep one of each")
    order = ["patient_id", "study_id", "series_id", "position_mm", "image_id"]
    return table[[*COLUMNS, *LAYOUT]].sort_values(order, kind="stable").reset_index(drop=True)


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
