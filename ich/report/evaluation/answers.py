"""Predictions and what belongs to them, from a run or from tables: validation, test, the training's prevalence."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64

from ich.findings import FINDINGS
from ich.report.evaluation.columns import OWN, Columns
from ich.report.evaluation.headers import read_headers
from ich.report.evaluation.table import BadPredictions, Cases, read_predictions
from ich.report.layouts import HEADERS
from ich.report.tracking import find_run

SCHEME = "runs:/"
VALIDATION, TEST, PREVALENCE = "predictions/val.csv", "predictions/test.csv", "prevalence.csv"
"""Files of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """`name` is what people call them, `where` names them without doubt.

    `prevalence` is the training's, if known, `headers` the header group of each image, if known.
    """

    name: str
    where: str
    val: Cases
    test: Cases | None = None
    prevalence: Float64[np.ndarray, " 6"] | None = None
    headers: pd.Series | None = None


def read_answers(
    place: str | Path, *, test: Path | None = None, headers: Path | None = None, columns: Columns = OWN
) -> Answers:
    """Of `runs:/ID`, or of a table with these columns, beside which those of `test` and `headers` may stand.

    Raises BadPredictions, and what a run that cannot be found raises.
    """
    place = str(place)
    if not place.startswith(SCHEME):
        val = read_predictions(Path(place), columns)
        return Answers(
            name=Path(place).name,
            where=place,
            val=val,
            test=read_predictions(test, columns) if test else None,
            headers=read_headers(headers) if headers else None,
        )
    run = find_run(place, VALIDATION)
    files = {name: run.file(name) for name in (VALIDATION, TEST, PREVALENCE, HEADERS)}
    val_file, test_file, prevalence_file, headers_file = files.values()
    assert val_file is not None
    return Answers(
        name=f"run {run.name}",
        where=f"runs:/{run.id}",
        val=read_predictions(val_file),
        test=read_predictions(test_file) if test_file else None,
        prevalence=read_prevalence(prevalence_file) if prevalence_file else None,
        headers=read_headers(headers_file) if headers_file else None,
    )


def read_prevalence(path: Path) -> Float64[np.ndarray, " 6"]:
    """label,prevalence as train.py writes it. Raises BadPredictions."""
    try:
        table = pd.read_csv(path, dtype=str).set_index("label")["prevalence"]
        prevalence = table.loc[list(FINDINGS)].to_numpy(dtype=np.float64)
    except (OSError, ValueError, KeyError) as error:
        raise BadPredictions(f"{path}: no prevalence of the six labels can be read: {error}") from error
    if not ((prevalence > 0) & (prevalence < 1)).all():
        raise BadPredictions(f"{path}: a prevalence must lie between 0 and 1; it is made when a run is trained")
    return prevalence
