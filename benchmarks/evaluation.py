"""python -m benchmarks.evaluation: seconds for 2,000 resamples of 2,500 patients with 100,000 slices, six labels."""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before torchvision)

import time
from collections.abc import Callable

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score, roc_auc_score

from ich import metric
from ich.report.evaluation import Cases, Settings, evaluate, families
from ich.report.evaluation.bootstrap import Family, draw_weights, measure

PATIENTS, SLICES, RESAMPLES = 2_500, 100_000, 2_000
PREVALENCE = np.array([3_145, 36_118, 26_205, 35_675, 47_166, 107_933]) / 752_803
"""Of RSNA 2019, stage 2."""
RIVAL_RESAMPLES = 3
"""That scikit-learn is given; its time is multiplied."""


def make_cases() -> Cases:
    """Distinct scores throughout, which is the slowest that a table can be."""
    random = np.random.default_rng(0)
    patients = np.sort(np.concatenate([np.arange(PATIENTS), random.integers(PATIENTS, size=SLICES - PATIENTS)]))
    positive = random.random((SLICES, 6)) < PREVALENCE
    return Cases(
        ids=np.array([f"ID_{row:09d}" for row in range(SLICES)]),
        studies=np.array([f"ID_{one:06d}" for one in patients]),
        patients=patients,
        names=np.array([f"ID_{one:06d}" for one in range(PATIENTS)]),
        positive=positive,
        probabilities=metric.probabilities(random.normal(size=(SLICES, 6)) + 2 * positive - 2),
    )


def main() -> None:
    """Ours by families of metrics, an evaluation whole, and scikit-learn's loop."""
    cases = make_cases()
    works: dict[str, Callable[[], Family]] = {
        "log loss, Brier score, floor": lambda: families.losses(cases, PREVALENCE),
        "precision, recall, …": lambda: families.decisions(cases, np.full(6, metric.THRESHOLD)),
        "calibration error": lambda: families.calibration_errors(cases),
        "AUC and average precision, exact": lambda: families.rankings(cases),
    }
    table = Table("work", "seconds", box=SIMPLE_HEAD)
    for name, family in works.items():
        table.add_row(name, f"{_seconds(lambda f=family: measure([f()], cases, resamples=RESAMPLES, seed=0)):.2f}")  # type: ignore[misc]
    table.add_row("all of it, slices and studies", f"{_seconds(lambda: evaluate(cases, Settings())):.2f}")
    rival = _seconds(lambda: _scikit_learn(cases)) * RESAMPLES / RIVAL_RESAMPLES
    table.add_row(f"scikit-learn's AUC and average precision, {RIVAL_RESAMPLES} resamples times", f"{rival:,.0f}")
    Console().print(table)


def _scikit_learn(cases: Cases) -> None:
    for weights in next(draw_weights(PATIENTS, resamples=RIVAL_RESAMPLES, seed=0)):
        of_slices = weights[cases.patients]
        for i in range(6):
            for score in (roc_auc_score, average_precision_score):
                score(cases.positive[:, i], cases.probabilities[:, i], sample_weight=of_slices)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
