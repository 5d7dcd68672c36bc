"""Every metric of a table of cases, as functions of patients' weights; the names are those that a run logs."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64

from ich import metric
from ich.findings import FINDINGS, WEIGHTS
from ich.report.evaluation.bootstrap import CALIBRATION_ERROR, Family, Weights, sum_by_patient
from ich.report.evaluation.ranking import Ranking
from ich.report.evaluation.reliability import BINS, sum_by_bin
from ich.report.evaluation.table import Cases

SIX = len(FINDINGS)
AT_A_POINT = ("recall", "specificity", "precision", "f1")

Metrics = dict[str, Float64[np.ndarray, " resamples"]]


def all_families(
    cases: Cases, *, prevalence: Float64[np.ndarray, " 6"], points: Mapping[str, Float64[np.ndarray, " 6"]]
) -> list[Family]:
    """`prevalence` gives the floor, `points` thresholds by the name of an operating point (nan: there is none)."""
    halves = np.full(SIX, metric.THRESHOLD)
    return [
        losses(cases, prevalence),
        decisions(cases, halves),
        *(_at_point(cases, name, thresholds) for name, thresholds in points.items()),
        rankings(cases),
        calibration_errors(cases),
    ]


def losses(cases: Cases, prevalence: Float64[np.ndarray, " 6"]) -> Family:
    """weighted_log_loss, floor, skill, brier, and log loss and Brier score of each label."""
    p = np.clip(cases.probabilities, metric.CLIP, 1 - metric.CLIP)
    logs = -np.where(cases.positive, np.log(p), np.log1p(-p))
    floors = -np.where(cases.positive, np.log(prevalence), np.log1p(-prevalence))
    errors = (cases.probabilities - cases.positive) ** 2
    columns = np.column_stack([np.ones(len(cases)), logs, floors, errors])
    sums = sum_by_patient(columns, cases.patients, len(cases.names))

    def of(weights: Weights) -> Metrics:
        total = weights @ sums
        logs, floors, errors = np.split(total[:, 1:] / total[:, :1], 3, axis=1)
        score, floor = (np.average(each, axis=1, weights=WEIGHTS) for each in (logs, floors))
        return {
            "weighted_log_loss": score,
            "floor": floor,
            "skill": 1 - score / floor,
            "brier": errors.mean(axis=1),
            **_by_label("log_loss", logs),
            **_by_label("brier", errors),
        }

    return of


def decisions(cases: Cases, thresholds: Float64[np.ndarray, " 6"]) -> Family:
    """Precision, recall, … of answering yes from each label's threshold on."""
    predicted = cases.probabilities >= thresholds
    parts = np.column_stack([np.ones(len(cases)), cases.positive, predicted, cases.positive & predicted])
    sums = sum_by_patient(parts.astype(np.float64), cases.patients, len(cases.names))

    def of(weights: Weights) -> Metrics:
        total = weights @ sums
        there, found, hits = np.split(total[:, 1:], 3, axis=1)
        slices = np.broadcast_to(total[:, :1], there.shape)
        return metric.decisions(metric.Counts(slices=slices, there=there, found=found, hits=hits))

    return of


def rankings(cases: Cases) -> Family:
    """AUC and average precision: of each label, and their means over the labels that have both classes."""
    labels = [
        Ranking(cases.positive[:, i], cases.probabilities[:, i], cases.patients, len(cases.names)) for i in range(SIX)
    ]

    def of(weights: Weights) -> Metrics:
        both = np.stack([label.resample(weights) for label in labels], axis=-1)
        metrics: Metrics = {}
        for name, values in zip(("auc", "average_precision"), both, strict=True):
            there = ~np.isnan(values)
            number = there.sum(axis=1)
            mean = np.where(there, values, 0.0).sum(axis=1) / np.maximum(number, 1)
            metrics |= {name: np.where(number > 0, mean, np.nan), **_by_label(name, values)}
        return metrics

    return of


def calibration_errors(cases: Cases) -> Family:
    """expected_calibration_error: how far rates lie from probabilities, over bins, weighted by their cases."""
    gaps = sum_by_bin(cases, cases.positive - cases.probabilities)
    slices = np.bincount(cases.patients, minlength=len(cases.names))
    sums = np.column_stack([slices, gaps])

    def of(weights: Weights) -> Metrics:
        total = weights @ sums
        errors = np.abs(total[:, 1:]).reshape(-1, SIX, BINS).sum(axis=2) / total[:, :1]
        return {CALIBRATION_ERROR: errors.mean(axis=1), **_by_label(CALIBRATION_ERROR, errors)}

    return of


def _at_point(cases: Cases, point: str, thresholds: Float64[np.ndarray, " 6"]) -> Family:
    decide = decisions(cases, thresholds)
    kept = [f"{name}/{FINDINGS[i]}" for name in AT_A_POINT for i in range(SIX) if not np.isnan(thresholds[i])]

    def of(weights: Weights) -> Metrics:
        metrics = decide(weights)
        return {f"{point}/{name}": metrics[name] for name in kept}

    return of


def _by_label(name: str, values: Float64[np.ndarray, "resamples 6"]) -> Metrics:
    return {f"{name}/{finding}": values[:, i] for i, finding in enumerate(FINDINGS)}
