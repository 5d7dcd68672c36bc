"""An evaluation in words and rows, for the screen and for the page: what is not defined is a dash."""

from collections.abc import Mapping, Sequence

import pandas as pd

from ich.findings import ANY, FINDINGS
from ich.report.evaluation.answers import SCHEME, Answers
from ich.report.evaluation.bootstrap import Row
from ich.report.evaluation.headers import ByHeader
from ich.report.evaluation.level import Level, reported
from ich.report.evaluation.sets import ALL, CaseSet, change, set_row
from ich.report.evaluation.shifts import UNSHIFTED
from ich.report.evaluation.tables import FIXED

NONE = "–"
PARTS = {"val": "validation patients", "test": "test patients"}
SUMMARY = {
    "weighted_log_loss": "weighted log loss",
    "floor": "its floor",
    "skill": "skill: 1 - score / floor",
    "auc/any": "AUC, any",
    "auc": "AUC, mean",
    "average_precision/any": "average precision, any",
    "average_precision": "average precision, mean",
    "brier": "Brier score, mean",
    "expected_calibration_error": "calibration error, mean",
    "recall/any": "sensitivity at 0.5, any",
    "specificity/any": "specificity at 0.5, any",
    "precision/any": "precision at 0.5, any",
    "f1/any": "F1 at 0.5, any",
    "sensitivity_95/specificity/any": "specificity at sensitivity 0.95, any",
}
"""What is said first of many metrics, and how."""
BY_LABEL = {
    "log_loss": "log loss",
    "auc": "AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "expected_calibration_error": "calibration error",
}
POINTS = {FIXED: "0.5", "sensitivity_95": "sensitivity 0.95", "youden": "Youden"}
RATES = {"recall": "sensitivity", "specificity": "specificity", "precision": "precision", "f1": "F1"}


def say(row: Row | None, *, apart: str = " ", digits: int = 3) -> str:
    """Such as "0.937 [0.911, 0.959]", or "0.937" where there is no interval; `apart` stands between the two."""
    if row is None:
        return NONE
    value, low, high = (one if one is None else f"{one:.{digits}f}" for one in row)
    return f"{value}" if low is None else f"{value}{apart}[{low}, {high}]"


def summary_rows(levels: Sequence[Level], metrics: Mapping[str, Row]) -> list[tuple[str, ...]]:
    """Header, then a row a metric: of slices, of studies."""
    shown = reported(levels)
    header = ("metric", *(case_name(level) for level in shown))
    rows = [
        (said, *(say(metrics.get(f"{level.prefix}{name}")) for level in shown))
        for name, said in SUMMARY.items()
        if any(f"{level.prefix}{name}" in metrics for level in shown)
    ]
    return [header, *rows]


def label_rows(level: Level, metrics: Mapping[str, Row]) -> list[tuple[str, ...]]:
    """Header, then a row a label."""
    rows = [
        (
            label,
            f"{int(level.cases.positive[:, place].sum()):,}",
            *(say(metrics.get(f"{level.prefix}{name}/{label}"), apart="\n") for name in BY_LABEL),
        )
        for place, label in enumerate(FINDINGS)
    ]
    return [("label", "positive", *BY_LABEL.values()), *rows]


def point_rows(level: Level, thresholds: pd.DataFrame) -> list[tuple[str, ...]]:
    """Header, then a row an operating point and label."""
    rows = thresholds[thresholds["level"] == level.prefix.rstrip("/")]
    return [
        ("operating point, label", "threshold", "called", *RATES.values()),
        *(
            (
                f"{POINTS[row['point']]}, {row['label']}",
                NONE if pd.isna(row["threshold"]) else f"{row['threshold']:.4f}",
                f"{row['predicted_positives']:,}",
                *(say(_rate(row, name), apart="\n") for name in RATES),
            )
            for _, row in rows.iterrows()
        ),
    ]


def header_rows(by_header: ByHeader) -> list[tuple[str, ...]]:
    """Header, then a row a header group."""
    return [
        ("header group", "slices", "patients", "any", "weighted log loss", "floor", "its own rates", "AUC, any"),
        *(
            (
                one.name,
                f"{len(one.cases):,}",
                f"{len(one.cases.names):,}",
                f"{int(one.cases.positive[:, ANY].sum()):,}",
                say(set_row(one, "weighted_log_loss"), apart="\n"),
                f"{one.floors[ALL]:.3f}",
                f"{one.own_floors[ALL]:.3f}",
                say(set_row(one, "auc/any"), apart="\n"),
            )
            for one in by_header.sets
        ),
    ]


def shift_rows(sets: Sequence[CaseSet]) -> list[tuple[str, ...]]:
    """Header, then a row a shift."""
    unshifted = next(one for one in sets if one.name == UNSHIFTED)
    return [
        ("shift", "weighted log loss", "change", "floor", "AUC, any"),
        *(
            (
                f"{one.name} HU",
                say(set_row(one, "weighted_log_loss")),
                NONE if one is unshifted else say(change(one, unshifted, "weighted_log_loss")),
                f"{one.floors[ALL]:.3f}",
                say(set_row(one, "auc/any")),
            )
            for one in sets
        ),
    ]


def comparison_rows(levels: Sequence[Level], compared: Mapping[str, tuple[float, float, Row]]) -> list[tuple[str, ...]]:
    """Header, then a row a metric that is said first: of slices and studies, of the test patients if both have them."""
    rows = []
    for level in reported([level for level in levels if f"{level.prefix}weighted_log_loss" in compared]):
        for name, words in SUMMARY.items():
            if name != "floor" and f"{level.prefix}{name}" in compared:
                this, other, row = compared[f"{level.prefix}{name}"]
                rows.append((f"{case_name(level)}: {words}", f"{this:.3f}", f"{other:.3f}", say(row, digits=4)))
    return [("metric", "this", "other", "this - other"), *rows]


def facts(answers: Answers, levels: Sequence[Level], *, resamples: int, seed: int) -> dict[str, str]:
    """What was evaluated, and how."""
    said = {"predictions": answers.where}
    if answers.where.startswith(SCHEME):
        said["probabilities"] = "the network's own; those of predict.py are calibrated"
    parts = PARTS if answers.test is not None else {"val": "patients"}
    for part in dict.fromkeys(level.prefix.partition("/")[0] for level in levels):
        counts = [
            f"{len(level.cases):,} {case_name(level)} ({int(level.cases.positive.any(axis=1).sum()):,} with hemorrhage)"
            for level in levels
            if level.prefix.startswith(part)
        ]
        patients = next(len(level.cases.names) for level in levels if level.prefix.startswith(part))
        said[parts[part]] = f"{patients:,}: {', '.join(counts)}"
    floor = "the training fold's prevalence" if answers.prevalence is not None else "their own prevalence"
    on_test = answers.test is not None
    return said | {
        "floor": f"{floor} as everybody's answer"
        + ("; of studies, their own" if answers.prevalence is not None else ""),
        "operating points": "fitted on validation patients, reported on test patients"
        if on_test
        else "fitted and reported on the same patients (there are no test predictions), which flatters them",
        "intervals": f"95%, from {resamples:,} resamples of patients, seed {seed}",
    }


def case_name(level: Level) -> str:
    """What its cases are called."""
    return "studies" if level.is_study else "slices"


def _rate(row: pd.Series, name: str) -> Row | None:
    if pd.isna(row[name]):
        return None
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return (row[name], None, None) if pd.isna(low) else (row[name], low, high)
