"""What a model said and what is true: the predictions table that train.py writes, by slices and by studies."""

import difflib
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64

from ich.errors import InputError
from ich.findings import FINDINGS

IDS = ("image_id", "study_id", "patient_id")
PROBABILITIES = tuple(f"p_{finding}" for finding in FINDINGS)
COLUMNS = (*IDS, *FINDINGS, *PROBABILITIES)
FIRST_LINE = 2
"""Of a table's rows in its file: the header is line 1."""


class BadPredictions(InputError):
    """A table of predictions that cannot be evaluated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """N slices, or N studies, with six labels and six probabilities each.

    `patients` numbers the patient of each, in the order of the names in `names`.
    """

    ids: np.ndarray
    studies: np.ndarray
    patients: Int64[np.ndarray, " n"]
    names: np.ndarray
    positive: Bool[np.ndarray, "n 6"]
    probabilities: Float64[np.ndarray, "n 6"]

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
        )


def read_predictions(path: Path) -> Cases:
    """A table as `predictions/val.csv` of a run, in the order of its images. Raises BadPredictions."""
    return as_cases(_read(path), path)


def as_cases(table: pd.DataFrame, path: Path) -> Cases:
    """Columns COLUMNS as `read_predictions` gives them; `path` is what messages name."""
    if table.empty:
        raise BadPredictions(f"{path}: there is no row below the header, so there is nothing to evaluate")
    for column in IDS:
        _refuse(path, table[column], table[column] == "", "is empty; every row names its image, study and patient")
    images = table["image_id"]
    _refuse(path, images, images.duplicated(), "stands a second time; a table has a row an image")
    owner = table.groupby("study_id")["patient_id"].transform("first")
    _refuse(path, table["study_id"], table["patient_id"] != owner, "is a study of two patients; a study has one")
    labels, probabilities = (
        np.column_stack([_numbers(path, table[column]) for column in columns]) for columns in (FINDINGS, PROBABILITIES)
    )
    _refuse_some(path, table, FINDINGS, ~((labels == 0) | (labels == 1)), "a label is 0 or 1")
    _refuse_some(path, table, PROBABILITIES, ~((probabilities >= 0) & (probabilities <= 1)), "it must lie in 0 .. 1")
    order = np.argsort(images.to_numpy(dtype=str), kind="stable")
    names, patients = np.unique(table["patient_id"].to_numpy(dtype=str), return_inverse=True)
    return Cases(
        ids=images.to_numpy(dtype=str)[order],
        studies=table["study_id"].to_numpy(dtype=str)[order],
        patients=patients[order].astype(np.int64),
        names=names,
        positive=labels[order] == 1,
        probabilities=probabilities[order],
    )


def _read(path: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # rows with more fields than the header
            table = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)  # a patient may be called NA
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise BadPredictions(f"{path}: no table can be read: {error}; {_way_out()}") from error
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise BadPredictions(f"{path}: {_said(missing, table.columns)}; {_way_out()}")
    return table[list(COLUMNS)]


def _said(missing: list[str], there: pd.Index) -> str:
    near = difflib.get_close_matches(missing[0], [str(name) for name in there if name not in COLUMNS], n=1)
    hint = f" (is it {near[0]!r}?)" if near else ""
    return f"there is no column {missing[0]}{hint}" + (f", nor {', '.join(missing[1:])}" if missing[1:] else "")


def _way_out() -> str:
    return (
        "a predictions table is a CSV with the columns image_id, study_id, patient_id, the labels "
        f"{FINDINGS[0]} … {FINDINGS[-1]} and the probabilities {PROBABILITIES[0]} … {PROBABILITIES[-1]}, such as "
        "predictions/val.csv of a run"
    )


def _numbers(path: Path, column: pd.Series) -> Float64[np.ndarray, " n"]:
    _refuse(path, column, pd.to_numeric(column, errors="coerce").isna(), "is no number")
    return column.to_numpy(dtype=np.float64)  # to the last of 17 digits


def _refuse(path: Path, column: pd.Series, wrong: pd.Series, why: str) -> None:
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise BadPredictions(
            f"{path}, line {row + FIRST_LINE}, column {column.name}: {str(column.iloc[row])!r} {why} "
            f"({_rows(int(wrong.sum()))})"
        )


def _refuse_some(
    path: Path, table: pd.DataFrame, columns: tuple[str, ...], wrong: Bool[np.ndarray, "n 6"], why: str
) -> None:
    if wrong.any():
        row, place = np.argwhere(wrong)[0]
        value = repr(table[columns[place]].iloc[row])
        count = _rows(int(wrong.any(axis=1).sum()))
        raise BadPredictions(f"{path}, line {row + FIRST_LINE}, column {columns[place]}: {value}; {why} ({count})")


def _rows(number: int) -> str:
    return f"{number:,} such row{'s' * (number != 1)}"
