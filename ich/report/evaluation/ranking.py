"""AUC and average precision of one label over many resamples of patients, exact, from one sparse table.

Only the scores of positive cases can change either: a negative case matters by how many of those lie above it. So both
need, for each distinct score of a positive case, how many positive cases of each patient stand there and how many
negative cases of each patient lie between it and the next. Times the resamples' weights these are their histograms.
Every count is a whole number, so the AUC is exact in float64.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.sparse import csr_array

CELLS = 2**21
"""Numbers that one histogram may hold at a time: 16 MiB."""


class Ranking:
    """One label of N cases, ready for any weights of their patients."""

    def __init__(
        self,
        positive: Bool[np.ndarray, " n"],
        scores: Float64[np.ndarray, " n"],
        patients: Int64[np.ndarray, " n"],
        number: int,
    ) -> None:
        """`number` is that of all patients; `patients` says which of them each case belongs to."""
        levels, place = np.unique(scores[positive], return_inverse=True)
        below = np.searchsorted(levels, scores[~positive], side="right")  # levels that are not above
        tied = (below > 0) & (levels[below - 1] == scores[~positive]) if len(levels) else np.zeros(len(below), bool)
        owners = patients[~positive]
        self._levels = len(levels)
        self._positives = _histogram(place, patients[positive], (len(levels), number))
        self._negatives = _histogram(below, owners, (len(levels) + 1, number))
        self._tied = _histogram(below[tied] - 1, owners[tied], (len(levels), number))

    def resample(self, weights: Float64[np.ndarray, "resamples patients"]) -> Float64[np.ndarray, "2 resamples"]:
        """AUC and average precision where a patient counts as often as his weight; nan where one class is missing."""
        rows = max(1, CELLS // (self._levels + 1))
        parts = [self._some(weights[start : start + rows]) for start in range(0, len(weights), rows)]
        return np.concatenate(parts, axis=1)

    def _some(self, weights: Float64[np.ndarray, "resamples patients"]) -> Float64[np.ndarray, "2 resamples"]:
        turned = np.ascontiguousarray(weights.T)
        positive = self._positives @ turned
        under = np.cumsum(self._negatives @ turned, axis=0)
        negatives, under = under[-1], under[:-1]  # of all, and below each level
        above = np.cumsum(positive[::-1], axis=0)[::-1]  # positive cases at a level or above it
        positives = positive.sum(axis=0)
        with np.errstate(invalid="ignore"):
            pairs = np.einsum("lr,lr->r", positive, under + 0.5 * (self._tied @ turned))
            auc = pairs / np.where(negatives > 0, positives * negatives, np.nan)
            precision = above / np.maximum(above + (negatives - under), 1)
            average = np.einsum("lr,lr->r", positive, precision) / np.where(negatives > 0, positives, np.nan)
        return np.stack([auc, average])


def _histogram(levels: Int64[np.ndarray, " n"], patients: Int64[np.ndarray, " n"], shape: tuple[int, int]) -> csr_array:
    """Cases by level and patient."""
    return csr_array((np.ones(len(levels)), (levels, patients)), shape=shape)
