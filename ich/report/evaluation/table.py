"""What a model said and what is true: a table of predictions, by slices and by studies."""

import difflib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64

from ich.errors import InputError
from ich.findings import FINDINGS
from ich.report.evaluation.columns import OWN, Columns

FIRST_LINE = 2
"""Of a table's rows in its file: the header is line 1."""


class BadPredictions(InputError):
    """A table of predictions that cannot be evaluated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """N slices, or N studies, with six labels and six probabilities each.

    `patients` numbers the patient of each, in the order of the names in `names`. `whole` is true of studies.
    """

    ids: np.ndarray
    studies: np.ndarray
    patients: Int64[np.ndarray, " n"]
    names: np.ndarray
    positive: Bool[np.ndarray, "n 6"]
    probabilities: Float64[np.ndarray, "n 6"]
    whole: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    def by_study(self) -> "Cases":
        """A study shows what one of its slices shows, and its probability is the largest of its slices."""
        studies, first, study = np.unique(self.studies.astype(str), return_index=True, return_inverse=True)
        order = np.argsort(study, kind="stable")
        starts = np.searchsorted(study[order], np.arange(len(studies)))
        return Cases(
            ids=studies,
            studies=studies,
            patients=self.patients[first],
            names=self.names,
            positive=np.maximum.reduceat(self.positive[order], starts, axis=0),
            probabilities=np.maximum.reduceat(self.probabilities[order], starts, axis=0),
            whole=True,
        )


def read_predictions(path: Path, columns: Columns = OWN) -> Cases:
    """The cases of a table in the order of their images, or its whole scans in theirs. Raises BadPredictions."""
    table = read_columns(path, columns.of_predictions, _way_out(columns))
    probabilities = np.column_stack([_probabilities(path, table[columns.probabilities[name]]) for name in FINDINGS])
    if columns.reads is not None:
        return _of_scans(path, table[columns.image], probabilities, columns)
    image = table[columns.image]
    study = table[columns.study] if columns.study else image
    patient = table[columns.patient] if columns.patient else study
    for column in (image, study, patient):
        refuse(path, column, column == "", "is empty; every row names its image, study and patient")
    refuse(path, image, image.duplicated(), "stands a second time; a table has a row an image")
    owner = patient.groupby(study.to_numpy()).transform("first")
    refuse(path, study, patient != owner, "is a study of two patients; a study has one")
    return _sorted(image, study, patient, _labels(path, table, columns), probabilities)


def _of_scans(path: Path, image: pd.Series, probabilities: Float64[np.ndarray, "n 6"], columns: Columns) -> Cases:
    """Labels are of scans: so are the cases, each with the largest probability of its slices, and its own patient."""
    assert columns.reads is not None
    reads = read_columns(columns.reads.file, [columns.reads.case, *columns.of_labels], _way_out(columns))
    file, found = columns.reads.file, "does not hold what pattern= looks for, so it names no scan"
    scan, case = (some.str.extract(columns.reads.pattern)[0] for some in (image, reads[columns.reads.case]))
    refuse(path, image, scan.isna(), found)
    refuse(file, reads[columns.reads.case], case.isna(), found)
    refuse(file, reads[columns.reads.case], case.duplicated(), "stands a second time; a table has a row a scan")
    refuse(path, image, ~scan.isin(case), f"is of a scan that {file.name} has no labels of")
    labels = pd.DataFrame(_labels(file, reads, columns), index=case)
    slices = _sorted(image, scan, scan, labels.loc[scan].to_numpy(), probabilities)
    return slices.by_study()


def _sorted(
    image: pd.Series,
    study: pd.Series,
    patient: pd.Series,
    positive: Bool[np.ndarray, "n 6"],
    probabilities: Float64[np.ndarray, "n 6"],
) -> Cases:
    ids, studies, owners = (column.to_numpy(dtype=str) for column in (image, study, patient))
    order = np.argsort(ids, kind="stable")
    names, patients = np.unique(owners, return_inverse=True)
    return Cases(
        ids=ids[order],
        studies=studies[order],
        patients=patients[order].astype(np.int64),
        names=names,
        positive=positive[order],
        probabilities=probabilities[order],
    )


def read_columns(path: Path, needed: Sequence[str], way_out: str) -> pd.DataFrame:
    """A table as text, with these columns and others. Raises BadPredictions, with the way out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # rows with more fields than the header
            table = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)  # a patient may be called NA
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise BadPredictions(f"{path}: no table can be read: {error}; {way_out}") from error
    missing = [column for column in needed if column not in table.columns]
    if missing:
        others = [str(name) for name in table.columns if name not in needed]
        raise BadPredictions(f"{path}: {_said(missing, others)}; {way_out}")
    if table.empty:
        raise BadPredictions(f"{path}: there is no row below the header, so there is nothing to evaluate")
    return table


def _said(missing: list[str], others: list[str]) -> str:
    near = difflib.get_close_matches(missing[0], others, n=1)
    hint = f" (is it {near[0]!r}?)" if near else ""
    return f"there is no column {missing[0]}{hint}" + (f", nor {', '.join(missing[1:])}" if missing[1:] else "")


def _way_out(columns: Columns) -> str:
    if columns != OWN:
        return "table= says which columns hold what"
    return (
        f"a predictions table is a CSV with the columns {', '.join(columns.of_predictions[:3])}, the labels "
        f"{FINDINGS[0]} … {FINDINGS[-1]} and the probabilities p_{FINDINGS[0]} … p_{FINDINGS[-1]}, such as "
        "predictions/val.csv of a run; of other columns table= tells"
    )


def _labels(path: Path, table: pd.DataFrame, columns: Columns) -> Bool[np.ndarray, "n 6"]:
    """What most readers say."""
    for name in columns.of_labels:
        numbers = _numbers(path, table[name])
        refuse(path, table[name], ~numbers.isin([0, 1]), "is no label; a label is 0 or 1")
    votes = [table[columns.labels[finding]].astype(np.float64).mean(axis=1) for finding in FINDINGS]
    return np.column_stack(votes) > 0.5


def _probabilities(path: Path, column: pd.Series) -> Float64[np.ndarray, " n"]:
    numbers = _numbers(path, column)
    refuse(path, column, ~((numbers >= 0) & (numbers <= 1)), "is no probability; it must lie in 0 .. 1")
    return column.to_numpy(dtype=np.float64)  # to the last of 17 digits


def _numbers(path: Path, column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    refuse(path, column, numbers.isna(), "is no number")
    return numbers


def refuse(path: Path, column: pd.Series, wrong: pd.Series, why: str) -> None:
    """Raises BadPredictions with the line, the column and the value of the first row that is wrong."""
    if wrong.any():
        row, count = int(np.flatnonzero(wrong)[0]), int(wrong.sum())
        rows = f"{count:,} such row{'s' * (count != 1)}"
        raise BadPredictions(
            f"{path}, line {row + FIRST_LINE}, column {column.name}: {column.iloc[row]!r} {why} ({rows})"
        )
