"""The challenge's metric and its company: exact, in float64, over all slices at once.

Labels are 0 or 1, probabilities lie in [0, 1], both in rows of six in the order of FINDINGS. Every function here wants
all slices of an epoch, gathered from all processes, each once: a mean of batch means would weigh a slice by its batch.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score

from ich.findings import FINDINGS, WEIGHTS

CLIP = 1e-15
"""Probabilities are clipped to [CLIP, 1 - CLIP] (RSNA 2019, evaluation page)."""

THRESHOLD = 0.5
"""A finding is predicted from this probability on."""


class Counts(NamedTuple):
    """Of each label: slices, those that show it, those predicted to, and both at once. Many tables stand in rows."""

    slices: Float64[np.ndarray, "*tables 6"]
    there: Float64[np.ndarray, "*tables 6"]
    found: Float64[np.ndarray, "*tables 6"]
    hits: Float64[np.ndarray, "*tables 6"]


def probabilities(logits: ArrayLike) -> Float64[np.ndarray, "*shape"]:
    """The sigmoid in float64, where 1 - 1e-15 is not yet 1 as it is in float32."""
    x = np.asarray(logits, dtype=np.float64)
    small = np.exp(-np.abs(x))  # never overflows
    return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small))


def weighted_log_loss(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """The challenge's score: (2 · any + the five kinds) / 7 of the labels' mean log losses; lower is better.

    Raises ValueError for anything but labels 0 or 1 and probabilities in [0, 1], n rows of six each, n > 0.
    """
    return float(np.average(_log_losses(*_checked(labels, probabilities)), weights=WEIGHTS))


def prevalence(labels: ArrayLike) -> Float64[np.ndarray, " 6"]:
    """What a training fold says of any slice unseen: (positives + 1) / (slices + 2), Laplace's rule, never 0 or 1."""
    positive = _checked_labels(labels)
    return np.asarray((positive.sum(axis=0) + 1) / (len(positive) + 2))


def floor_log_loss(prevalence: ArrayLike, labels: ArrayLike) -> float:
    """The floor: the weighted log loss of answering every slice of `labels` with the training fold's prevalence."""
    positive = _checked_labels(labels)
    return weighted_log_loss(positive, np.broadcast_to(np.asarray(prevalence, dtype=np.float64), positive.shape))


def score(labels: ArrayLike, probabilities: ArrayLike, *, prevalence: ArrayLike | None = None) -> dict[str, float]:
    """Every metric by name: a name with a finding (`recall/epidural`) is one label's, a plain name is over all labels.

    - `weighted_log_loss`; where the training fold's `prevalence` is given also `floor` and `skill` = 1 - score / floor.
    - `brier`: the mean of the labels' mean squared errors (Brier, 1950).
    - `precision`, `recall`, `f1`, `accuracy`: means over the labels with a positive slice (no `accuracy` if none has).
    - `precision_micro`, `recall_micro`, `f1_micro`: from the counts of all six labels together.
    - `specificity`, `auc`, `average_precision`: means over the labels with both classes; absent where none has.
    - of each label: `log_loss/…`, `brier/…`, `precision/…`, `recall/…`, `specificity/…`, `f1/…`, `accuracy/…`,
      `predicted_positives/…`, `auc/…`, `average_precision/…`. With one class only, a label has no recall, no
      specificity, no AUC and no average precision.

    Precision, recall and F1 count as 0 where their denominator is 0 (scikit-learn's zero_division=0).
    Raises ValueError as weighted_log_loss does.
    """
    positive, p = _checked(labels, probabilities)
    loss = weighted_log_loss(positive, p)
    scores = {"weighted_log_loss": loss}
    if prevalence is not None:
        floor = floor_log_loss(prevalence, positive)
        scores |= {"floor": floor, "skill": 1 - loss / floor}
    scores |= _by_label("log_loss", _log_losses(positive, p))
    errors = _label_means((p - positive) ** 2)
    scores |= {"brier": float(errors.mean())} | _by_label("brier", errors)
    decided = decisions(count_decisions(positive, p >= THRESHOLD))
    scores |= {name: float(value) for name, value in decided.items() if not np.isnan(value)}
    return scores | _ranking_scores(positive, p)


def count_decisions(positive: Bool[np.ndarray, "n 6"], predicted: Bool[np.ndarray, "n 6"]) -> Counts:
    """What `decisions` asks for, of one table."""
    there, found, hits = (
        np.count_nonzero(some, axis=0).astype(np.float64) for some in (positive, predicted, positive & predicted)
    )
    return Counts(slices=np.full(len(FINDINGS), float(len(positive))), there=there, found=found, hits=hits)


def decisions(counts: Counts) -> dict[str, Float64[np.ndarray, "*tables"]]:
    """The metrics of yes and no by name, as `score` has them, of one table or of many; nan where one is not defined."""
    slices, there, found, hits = counts
    both = (there > 0) & (there < slices)
    labels = {
        "precision": _ratio(hits, found),
        "recall": np.where(both, _ratio(hits, there), np.nan),
        "f1": _ratio(2 * hits, found + there),
        "accuracy": _ratio(slices - there - found + 2 * hits, slices),
        "specificity": np.where(both, _ratio(slices - there - found + hits, slices - there), np.nan),
    }
    values = {
        "precision": _mean(labels["precision"], there > 0, empty=0.0),
        "recall": _mean(_ratio(hits, there), there > 0, empty=0.0),
        "f1": _mean(labels["f1"], there > 0, empty=0.0),
        "accuracy": _mean(labels["accuracy"], there > 0),  # 0 would be untrue
        "specificity": _mean(labels["specificity"], both),
        "precision_micro": _ratio(hits.sum(axis=-1), found.sum(axis=-1)),
        "recall_micro": _ratio(hits.sum(axis=-1), there.sum(axis=-1)),
        "f1_micro": _ratio(2 * hits.sum(axis=-1), (found + there).sum(axis=-1)),
    }
    for name, each in (labels | {"predicted_positives": found}).items():
        values |= {f"{name}/{finding}": each[..., i] for i, finding in enumerate(FINDINGS)}
    return values


def _ranking_scores(positive: Bool[np.ndarray, "n 6"], p: Float64[np.ndarray, "n 6"]) -> dict[str, float]:
    both = _both_classes(positive)
    scores: dict[str, float] = {}
    for name, function in (("auc", roc_auc_score), ("average_precision", average_precision_score)):
        values = np.array([function(positive[:, i], p[:, i]) if both[i] else np.nan for i in range(len(FINDINGS))])
        if both.any():
            scores[name] = float(values[both].mean())
        scores |= _by_label(name, values, among=both)
    return scores


def _log_losses(positive: Bool[np.ndarray, "n 6"], p: Float64[np.ndarray, "n 6"]) -> Float64[np.ndarray, " 6"]:
    p = np.clip(p, CLIP, 1 - CLIP)
    return _label_means(-np.where(positive, np.log(p), np.log1p(-p)))


def _label_means(values: Float64[np.ndarray, "n 6"]) -> Float64[np.ndarray, " 6"]:
    # numpy sums pairwise along contiguous memory only: down the columns, 400,000 slices err by 4e-12.
    return np.asarray(np.ascontiguousarray(values.T).mean(axis=1))


def _both_classes(positive: Bool[np.ndarray, "n 6"]) -> Bool[np.ndarray, " 6"]:
    return np.asarray(positive.any(axis=0) & ~positive.all(axis=0))


def _ratio(part: ArrayLike, whole: ArrayLike) -> Float64[np.ndarray, "*labels"]:
    """One count over another, 0 where the other is 0."""
    return np.asarray(np.asarray(part) / np.maximum(whole, 1))


def _mean(
    values: Float64[np.ndarray, "*tables 6"], among: Bool[np.ndarray, "*tables 6"], *, empty: float = np.nan
) -> Float64[np.ndarray, "*tables"]:
    """The mean over some of the labels, `empty` where there are none."""
    number = among.sum(axis=-1)
    return np.asarray(np.where(number > 0, np.where(among, values, 0.0).sum(axis=-1) / np.maximum(number, 1), empty))


def _by_label(name: str, values: np.ndarray, *, among: Bool[np.ndarray, " 6"] | None = None) -> dict[str, float]:
    chosen = np.ones(len(FINDINGS), dtype=bool) if among is None else among
    return {f"{name}/{FINDINGS[i]}": float(values[i]) for i in np.flatnonzero(chosen)}


def _checked(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Bool[np.ndarray, "n 6"], Float64[np.ndarray, "n 6"]]:
    positive, p = _checked_labels(labels), np.asarray(probabilities, dtype=np.float64)
    if p.shape != positive.shape:
        raise ValueError(f"labels are {positive.shape} and probabilities {p.shape}; they must match")
    wrong = ~((p >= 0) & (p <= 1))  # catches nan, too
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"{wrong.sum()} of {p.size} probabilities are not in [0, 1]; the first, in row {row}, {FINDINGS[column]}, "
            f"is {p[row, column]}. A network that answers nan has diverged (a lower learning rate may help); "
            "logits become probabilities by ich.metric.probabilities"
        )
    return positive, p


def _checked_labels(labels: ArrayLike) -> Bool[np.ndarray, "n 6"]:
    values = np.asarray(labels)
    if values.ndim != 2 or values.shape[1] != len(FINDINGS):
        raise ValueError(f"labels are {values.shape}; they need rows of six: {', '.join(FINDINGS)}")
    if len(values) == 0:
        raise ValueError("there is no slice to score")
    positive = values == 1
    if not (positive | (values == 0)).all():
        row, column = np.argwhere(~(positive | (values == 0)))[0]
        raise ValueError(f"labels must be 0 or 1; row {row}, {FINDINGS[column]} is {values[row, column]}")
    return np.asarray(positive)
