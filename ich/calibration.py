"""Calibration: temperature and bias of each label's logit, so that probabilities are rates.

Fitted to held-out predictions (Platt, 1999; Guo et al., 2017):

    p' = sigmoid(logit(p) / temperature + bias)

A temperature is positive, so the order of a label's cases stays as it is. The fit is of highest probability, not of
highest likelihood: with the slices of ten patients the likelihood alone finds numbers that are worse than none on
others (docs/metric.md). Many patients leave nothing of the prior.
"""

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from ich import metric
from ich.findings import ANY, FINDINGS

LARGEST = np.log((1 - metric.CLIP) / metric.CLIP)
"""Of a logit: beyond it the metric cannot tell probabilities apart, and a fit must not follow them."""
STEEPEST = 20.0
"""Largest of temperature and of 1 / temperature: labels that scores part without fault would make it 0."""
WIDEST = 20.0
"""Largest bias."""
SCALE_SPREAD, BIAS_SPREAD = 0.5, 1.0
"""Standard deviations of the prior: 1 / temperature is normal about 1, bias about 0."""
SLICES_A_PATIENT = 3
"""What the slices of one patient are worth, which are alike: as many that are independent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What is done to each label's logit, in the order of FINDINGS."""

    temperature: tuple[float, ...]
    bias: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, values in (("temperature", self.temperature), ("bias", self.bias)):
            if len(values) != len(FINDINGS) or not np.isfinite(values).all():
                raise ValueError(f"{name} is {values}; it needs a finite number for each of {', '.join(FINDINGS)}")
        if min(self.temperature) <= 0:
            raise ValueError(
                f"temperature is {self.temperature}; it must be positive, or the order of cases would turn"
            )

    @classmethod
    def from_plain(cls, stored: object) -> "Calibration":
        """What `plain` has written. Raises ValueError for anything else."""
        if not isinstance(stored, dict) or stored.keys() != {"temperature", "bias"}:
            raise ValueError("a calibration holds temperature and bias, and nothing else")
        for name, values in stored.items():
            if not isinstance(values, list) or not all(type(value) is float for value in values):
                raise ValueError(f"{name} is no list of floats")
        return cls(temperature=tuple(stored["temperature"]), bias=tuple(stored["bias"]))

    def plain(self) -> dict[str, list[float]]:
        """In types that a checkpoint may hold."""
        return {name: [*values] for name, values in asdict(self).items()}

    @property
    def left_alone(self) -> tuple[str, ...]:
        """The labels that it leaves as they are: of one class only, or no temperature and bias were better."""
        both = zip(FINDINGS, self.temperature, self.bias, strict=True)
        return tuple(finding for finding, temperature, bias in both if (temperature, bias) == (1.0, 0.0))

    def apply(self, probabilities: ArrayLike) -> Float64[np.ndarray, "*n 6"]:
        """The calibrated probabilities; where nothing is to be done, the very same."""
        p = np.asarray(probabilities, dtype=np.float64)
        temperature, bias = np.array(self.temperature), np.array(self.bias)
        same = (temperature == 1) & (bias == 0)
        with np.errstate(over="ignore"):  # of a stored calibration that nobody fitted: infinite is 0 or 1 as well
            logits = _logits(p) / temperature + bias
        return np.where(same, p, metric.probabilities(logits))


IDENTITY = Calibration(temperature=(1.0,) * len(FINDINGS), bias=(0.0,) * len(FINDINGS))
"""Changes nothing."""


def raise_any(probabilities: ArrayLike) -> tuple[Float64[np.ndarray, "n 6"], int]:
    """`any` is at least as large as the largest kind, since each kind is a hemorrhage; and how often it was not."""
    p = np.array(probabilities, dtype=np.float64)
    largest = np.delete(p, ANY, axis=1).max(axis=1)
    below = p[:, ANY] < largest
    p[below, ANY] = largest[below]
    return p, int(below.sum())


def fit_calibration(labels: ArrayLike, probabilities: ArrayLike, *, patients: int) -> Calibration:
    """The most probable calibration of each label after these slices of so many patients.

    A label of one class only is left as it is. On what it is fitted on it is never worse than none. Raises ValueError
    as `ich.metric.weighted_log_loss` does.
    """
    metric.weighted_log_loss(labels, probabilities)
    positive, p = np.asarray(labels) == 1, np.asarray(probabilities, dtype=np.float64)
    worth = min(len(p), SLICES_A_PATIENT * patients)
    fitted = [_fit(positive[:, i], p[:, i], worth) for i in range(len(FINDINGS))]
    temperature, bias = zip(*fitted, strict=True)
    return Calibration(temperature=temperature, bias=bias)


def _fit(positive: Bool[np.ndarray, " n"], p: Float64[np.ndarray, " n"], worth: int) -> tuple[float, float]:
    """Temperature and bias of one label. The loss is convex in scale = 1 / temperature and bias."""
    unchanged = (1.0, 0.0)
    if positive.all() or not positive.any():
        return unchanged
    logits, middle, spread = _logits(p), np.array([1.0, 0.0]), np.array([SCALE_SPREAD, BIAS_SPREAD])

    def loss(parameters: Float64[np.ndarray, " 2"]) -> tuple[float, Float64[np.ndarray, " 2"]]:
        z = parameters[0] * logits + parameters[1]
        error = metric.probabilities(z) - positive
        value, away = np.mean(np.logaddexp(0.0, z) - positive * z), (parameters - middle) / spread
        slope = np.array([np.mean(error * logits), np.mean(error)]) + away / spread / worth
        return float(value + away @ away / 2 / worth), slope

    bounds = [(1 / STEEPEST, STEEPEST), (-WIDEST, WIDEST)]
    found = minimize(loss, middle, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14})
    scale, bias = (float(value) for value in found.x)
    calibrated = metric.probabilities(logits / (1 / scale) + bias)
    return (1 / scale, bias) if _log_loss(positive, calibrated) <= _log_loss(positive, p) else unchanged


def _logits(p: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    with np.errstate(divide="ignore"):
        return np.clip(np.log(p) - np.log1p(-p), -LARGEST, LARGEST)


def _log_loss(positive: Bool[np.ndarray, " n"], p: Float64[np.ndarray, " n"]) -> float:
    p = np.clip(p, metric.CLIP, 1 - metric.CLIP)
    return float(-np.mean(np.where(positive, np.log(p), np.log1p(-p))))
