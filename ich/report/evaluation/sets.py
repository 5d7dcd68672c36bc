"""Several sets of cases side by side, a few metrics of each: header groups, or the same slices at shifts of HU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64

from ich import metric
from ich.findings import ANY, FINDINGS
from ich.report.evaluation.bootstrap import Measured, Row, measure, percentiles, row_of
from ich.report.evaluation.families import losses, rankings
from ich.report.evaluation.level import Settings
from ich.report.evaluation.table import Cases

ALL = "all"
"""Of labels: the weighted log loss, and the mean of the AUC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSet:
    """`floors` are the log losses of one prevalence as everybody's answer, by label; `own_floors` of the set's own."""

    name: str
    cases: Cases
    measured: Measured
    floors: Mapping[str, float]
    own_floors: Mapping[str, float]


def measure_sets(
    sets: Mapping[str, Cases], *, prevalence: Float64[np.ndarray, " 6"], settings: Settings
) -> list[CaseSet]:
    """The log losses and AUC of each set with their intervals; sets of the same patients get the same resamples."""
    return [_measure(name, cases, prevalence, settings) for name, cases in sets.items()]


def choose(cases: Cases, some: Bool[np.ndarray, " n"]) -> Cases:
    """Some of the cases, and their patients alone."""
    known, patients = np.unique(cases.patients[some], return_inverse=True)
    return replace(
        cases,
        ids=cases.ids[some],
        studies=cases.studies[some],
        patients=patients.astype(np.int64),
        names=cases.names[known],
        positive=cases.positive[some],
        probabilities=cases.probabilities[some],
    )


def set_table(sets: Sequence[CaseSet], *, column: str) -> pd.DataFrame:
    """A row a set (its name in `column`) and label: counts, log loss and AUC with their intervals, floors."""
    return pd.DataFrame([_row(one, label, column) for one in sets for label in (ALL, *FINDINGS)])


def set_row(one: CaseSet, name: str) -> Row | None:
    """A metric of a set with its interval; None where it is not defined."""
    if name not in one.measured.values:
        return None
    return row_of(one.measured.values[name], one.measured.interval(name))


def change(one: CaseSet, reference: CaseSet, name: str) -> Row:
    """How a metric differs from that of a set of the same patients; resampled together, what is hard cancels."""
    apart = one.measured.resamples[name] - reference.measured.resamples[name]
    value = one.measured.values[name] - reference.measured.values[name]
    return row_of(value, percentiles(apart, patients=one.measured.count(name)))


def _measure(name: str, cases: Cases, prevalence: Float64[np.ndarray, " 6"], settings: Settings) -> CaseSet:
    measured = measure(
        [losses(cases, prevalence), rankings(cases)], cases, resamples=settings.resamples, seed=settings.seed
    )
    scores = metric.score(cases.positive, cases.probabilities)  # to the last digit those of a run
    values = {known: scores.get(known, value) for known, value in measured.values.items()}
    return CaseSet(
        name=name,
        cases=cases,
        measured=replace(measured, values=values),
        floors=_floors(cases, prevalence),
        own_floors=_floors(cases, metric.prevalence(cases.positive)),
    )


def _floors(cases: Cases, prevalence: Float64[np.ndarray, " 6"]) -> dict[str, float]:
    answers = np.broadcast_to(prevalence, cases.positive.shape)
    scores = metric.score(cases.positive, answers)
    return {ALL: scores["weighted_log_loss"], **{label: scores[f"log_loss/{label}"] for label in FINDINGS}}


def _row(one: CaseSet, label: str, column: str) -> dict[str, object]:
    place = ANY if label == ALL else FINDINGS.index(label)
    log_loss, auc = ("weighted_log_loss", "auc") if label == ALL else (f"log_loss/{label}", f"auc/{label}")
    row: dict[str, object] = {
        column: one.name,
        "label": label,
        "slices": len(one.cases),
        "patients": len(one.cases.names),
        "positives": int(one.cases.positive[:, place].sum()),
    }
    for said, name in (("log_loss", log_loss), ("auc", auc)):
        row |= dict(zip((said, f"{said}_low", f"{said}_high"), set_row(one, name) or (np.nan,) * 3, strict=True))
        if said == "log_loss":
            row |= {"floor": one.floors[label], "own_floor": one.own_floors[label]}
    return row
