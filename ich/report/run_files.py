"""What a run writes of its data and of what its network says of them."""

from pathlib import Path

import pandas as pd

from ich import metric
from ich.data.module import HeadCT
from ich.findings import FINDINGS
from ich.model.learner import Scored
from ich.report import charts, figures
from ich.report.comparison import COLUMNS


def write_slices(path: Path, data: HeadCT) -> Path:
    """A row a slice, for `ich.compare`: image_id, pixels, fold, labels."""
    table = data.folds[["image_id", "fold"]].assign(pixels=data.store.columns(["pixels"])["pixels"].to_numpy())
    table[list(FINDINGS)] = data.labels
    table[list(COLUMNS)].to_parquet(path, index=False)
    return path


def write_predictions(path: Path, data: HeadCT, scored: Scored) -> None:
    """`image_id,study_id,patient_id`, the labels, the probabilities `p_…` with 17 digits; a row a slice."""
    table = data.index.loc[scored.rows, ["image_id", "study_id", "patient_id"]].reset_index(drop=True)
    labels = pd.DataFrame(scored.labels, columns=list(FINDINGS))
    probabilities = pd.DataFrame(metric.probabilities(scored.logits), columns=[f"p_{finding}" for finding in FINDINGS])
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.concat([table, labels, probabilities], axis=1).to_csv(path, index=False, float_format="%.17g")


def draw_validation(path: Path, data: HeadCT, scored: Scored) -> None:
    """A sheet of the surest finds, the worst misses and the worst false alarms, in the brain window."""
    probabilities = metric.probabilities(scored.logits)
    patients = data.index["patient_id"].to_numpy()[scored.rows]
    rows = figures.hardest_and_easiest(scored.labels, probabilities, patients)
    hu = {name: data.store.read(scored.rows[places]) for name, places in rows.items()}
    sheet = {
        name: [
            figures.Picture(hu=one, caption=figures.caption(scored.labels[place], probabilities[place]))
            for one, place in zip(hu[name], places, strict=True)
        ]
        for name, places in rows.items()
    }
    charts.save(figures.sheet_figure(sheet), path)
