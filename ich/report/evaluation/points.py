"""Operating points: the probability from which on a finding is called, chosen on validation data."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Float64

from ich.findings import FINDINGS
from ich.report.evaluation.table import Cases

SENSITIVITY = 0.95
Thresholds = Float64[np.ndarray, " 6"]


def fit_points(cases: Cases) -> dict[str, Thresholds]:
    """The thresholds of each operating point by its name; nan for a label of one class only, where there is none.

    `sensitivity_95`: the highest threshold that finds 95% of the positive cases or more. `youden`: the one with the
    largest sensitivity + specificity - 1 (Youden, 1950), the highest of equals.
    """
    both = np.asarray(cases.positive.any(axis=0) & ~cases.positive.all(axis=0))
    return {
        name: np.array(
            [
                choose(cases.positive[:, i], cases.probabilities[:, i]) if both[i] else np.nan
                for i in range(len(FINDINGS))
            ]
        )
        for name, choose in POINTS.items()
    }


def threshold_of_sensitivity(positive: Bool[np.ndarray, " n"], scores: Float64[np.ndarray, " n"]) -> float:
    """The highest threshold that finds SENSITIVITY of the positive cases."""
    falling = np.sort(scores[positive])[::-1]
    needed = int(np.ceil(SENSITIVITY * len(falling) - 1e-9))
    return float(falling[needed - 1])


def threshold_of_youden(positive: Bool[np.ndarray, " n"], scores: Float64[np.ndarray, " n"]) -> float:
    """The threshold of the largest sensitivity + specificity, the highest of equals."""
    levels, place = np.unique(scores, return_inverse=True)
    hits, alarms = (np.bincount(place[some], minlength=len(levels)) for some in (positive, ~positive))
    # Whole numbers, so that equals are equal.
    found = np.cumsum(hits[::-1]) * np.count_nonzero(~positive) - np.cumsum(alarms[::-1]) * np.count_nonzero(positive)
    return float(levels[::-1][np.argmax(found)])


POINTS: Mapping[str, Callable[[Bool[np.ndarray, " n"], Float64[np.ndarray, " n"]], float]] = {
    "sensitivity_95": threshold_of_sensitivity,
    "youden": threshold_of_youden,
}
