"""Metrics of a table of predictions with their intervals, by other means than the project's own."""

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm
from scipy.stats import t as student
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    precision_recall_fscore_support,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from ich.findings import FINDINGS

RESAMPLES = 2000
WEIGHTS = np.array([1, 1, 1, 1, 1, 2]) / 7
P = [f"p_{label}" for label in FINDINGS]

Value = tuple[float, float | None, float | None]


class Recomputed:
    """Slices or studies: a metric's value by scikit-learn, its interval from plain sums over weighted cases."""

    def __init__(self, table: pd.DataFrame, prevalence: np.ndarray | None, points: "dict[str, np.ndarray]") -> None:
        self.y, self.p = table[list(FINDINGS)].to_numpy(bool), table[P].to_numpy()
        names, self.owner = np.unique(table["patient_id"].to_numpy(str), return_inverse=True)
        self.patients, self.points = len(names), points
        self.prevalence = (self.y.sum(axis=0) + 1) / (len(self.y) + 2) if prevalence is None else prevalence
        drawn = np.random.default_rng(0).integers(len(names), size=(RESAMPLES, len(names)))
        self.weights = np.stack([(drawn == patient).sum(axis=1) for patient in range(len(names))], axis=1)[
            :, self.owner
        ]

    def both(self, i: int) -> bool:
        return 0 < self.y[:, i].sum() < len(self.y)

    def one(self, name: str) -> Value | None:
        """A label's metric such as "auc/any", or a total such as "auc"."""
        name, _, label = name.rpartition("/") if "/" in name else (name, "", "")
        if not label:
            return self._total(name)
        i = FINDINGS.index(label)
        if name.rpartition("/")[2] in ("auc", "average_precision", "recall", "specificity") and not self.both(i):
            return None
        if "/" in name and not self.both(i):
            return None
        value, resampled = self._of_label(name, i)
        positive = [len({*self.owner[self.y[:, i] == side]}) for side in (True, False)]
        return self._with_interval(value, resampled, min(positive) or self.patients, name)

    def _of_label(self, name: str, i: int) -> tuple[float, np.ndarray]:
        y, p, w = self.y[:, i], self.p[:, i], self.weights
        clipped = np.clip(p, 1e-15, 1 - 1e-15)
        if name == "log_loss":
            losses = -np.where(y, np.log(clipped), np.log1p(-clipped))
            return log_loss(y, clipped, labels=[False, True]), w @ losses / w.sum(axis=1)
        if name == "brier":
            return brier_score_loss(y, p, pos_label=True), w @ (p - y) ** 2 / w.sum(axis=1)
        if name == "expected_calibration_error":
            tenth = np.digitize(p, np.arange(1, 10) / 10)
            gaps = np.stack([w @ np.where(tenth == bin_, y - p, 0) for bin_ in range(10)])
            ones = sum(abs((y - p)[tenth == bin_].sum()) for bin_ in range(10)) / len(y)
            return ones, np.abs(gaps).sum(axis=0) / w.sum(axis=1)
        if name in ("auc", "average_precision"):
            function = roc_auc_score if name == "auc" else average_precision_score
            return function(y, p), (resampled_auc if name == "auc" else resampled_ap)(y, p, w)
        point, _, rate = name.rpartition("/")
        found = p >= (self.points[point][i] if point else 0.5)
        return rate_of(rate, y, found), resampled_rate(rate, y, found, w)

    def _total(self, name: str) -> Value | None:
        labels = range(6) if name not in ("auc", "average_precision") else [i for i in range(6) if self.both(i)]
        if name in ("weighted_log_loss", "floor", "skill"):
            own, resampled = self._weighted(self.p)
            floor, floors = self._weighted(np.broadcast_to(self.prevalence, self.p.shape))
            value, some = {
                "weighted_log_loss": (own, resampled),
                "floor": (floor, floors),
                "skill": (1 - own / floor, 1 - resampled / floors),
            }[name]
            return self._with_interval(value, some, self.patients, name)
        if not labels:
            return None
        values, resamples = zip(*(self._of_label(name, i) for i in labels), strict=True)
        together = np.stack(resamples)
        known = ~np.isnan(together)
        mean = np.where(known, together, 0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)
        return self._with_interval(float(np.mean(values)), mean, self.patients, name)

    def _weighted(self, p: np.ndarray) -> tuple[float, np.ndarray]:
        losses = -np.where(self.y, np.log(np.clip(p, 1e-15, 1)), np.log1p(-np.clip(p, 0, 1 - 1e-15))) @ WEIGHTS
        return float(losses.mean()), self.weights @ losses / self.weights.sum(axis=1)

    def _with_interval(self, value: float, resampled: np.ndarray, patients: int, name: str) -> Value:
        """The expanded percentile interval; of a calibration error reflected at the value."""
        there = resampled[~np.isnan(resampled)]
        if patients < 2 or len(there) < 0.9 * RESAMPLES:
            return value, None, None
        tail = norm.cdf(-np.sqrt(patients / (patients - 1)) * student.ppf(0.975, patients - 1))
        low, high = np.quantile(there, [tail, 1 - tail])
        if low == high:
            return value, None, None
        if name == "expected_calibration_error":
            low, high = max(0, 2 * value - high), max(0, 2 * value - low)
        return value, float(low), float(high)


def resampled_auc(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    pairs = (p[y][:, None] > p[~y]) + 0.5 * (p[y][:, None] == p[~y])
    wins, of = ((w[:, y] @ pairs) * w[:, ~y]).sum(axis=1), w[:, y].sum(axis=1) * w[:, ~y].sum(axis=1)
    return np.where(of > 0, wins / np.maximum(of, 1), np.nan)


def resampled_ap(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    above = p[:, None] >= p[y]  # of each case, at the threshold of each positive one
    precision = (w[:, y] @ above[y]) / np.maximum(w @ above, 1)
    there, others = w[:, y].sum(axis=1), w[:, ~y].sum(axis=1)
    return np.where(there * others > 0, (w[:, y] * precision).sum(axis=1) / np.maximum(there, 1), np.nan)


def rate_of(rate: str, y: np.ndarray, found: np.ndarray) -> float:
    if rate == "specificity":
        return float(recall_score(y, found, pos_label=False))
    precision, recall, f1, _ = precision_recall_fscore_support(y, found, average="binary", zero_division=0)
    return float({"precision": precision, "recall": recall, "f1": f1}[rate])


def resampled_rate(rate: str, y: np.ndarray, found: np.ndarray, w: np.ndarray) -> np.ndarray:
    there, called, hits, alarms = w @ y, w @ found, w @ (y & found), w @ (~y & found)
    absent = w @ ~y
    if rate in ("recall", "specificity"):
        part, whole = (hits, there) if rate == "recall" else (absent - alarms, absent)
        return np.where((there > 0) & (absent > 0), part / np.maximum(whole, 1), np.nan)
    return hits / np.maximum(called, 1) if rate == "precision" else 2 * hits / np.maximum(called + there, 1)


def by_study(table: pd.DataFrame) -> pd.DataFrame:
    return table.groupby("study_id").agg(dict.fromkeys([*FINDINGS, *P], "max") | {"patient_id": "first"}).reset_index()


def fit_points(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """The highest threshold that finds 95%, and the one with the largest sensitivity - false positive rate."""
    points = {"sensitivity_95": np.full(6, np.nan), "youden": np.full(6, np.nan)}
    for i, label in enumerate(FINDINGS):
        y, p = table[label].to_numpy(bool), table[P[i]].to_numpy()
        if 0 < y.sum() < len(y):
            points["sensitivity_95"][i] = max(t for t in p[y] if (p[y] >= t).mean() >= 0.95)
            alarms, found, thresholds = roc_curve(y, p, drop_intermediate=False)
            gain = np.round(found - alarms, 12)
            points["youden"][i] = thresholds[gain == gain.max()].max()
    return points


def calibrated(table: pd.DataFrame, temperature: list[float], bias: list[float]) -> tuple[pd.DataFrame, int]:
    """The table with calibrated probabilities, and how often `any` had to be raised to its largest kind."""
    p = table[P].to_numpy()
    there = np.clip(p, 1e-15, 1 - 1e-15)
    for i, (one, other) in enumerate(zip(temperature, bias, strict=True)):
        if (one, other) != (1, 0):
            p[:, i] = expit(logit(there[:, i]) / one + other)
    raised = below(p)
    p[:, -1] = p.max(axis=1)
    return table.assign(**dict(zip(P, p.T, strict=True))), raised


def below(p: np.ndarray) -> int:
    """In how many rows `any` is less probable than some kind."""
    return int((p[:, :-1] > p[:, -1:]).any(axis=1).sum())
