"""95% intervals by resampling patients: slices of one patient are alike, and only patients are drawn independently."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.stats import norm
from scipy.stats import t as student

from ich.findings import FINDINGS
from ich.report.evaluation.table import Cases

CELLS = 2**22
"""Weights that are held at a time: 32 MiB."""
SHARE = 0.95
DEFINED = 0.9
"""An interval is given where at least so many resamples define the metric: with three patients of a class or more."""
CALIBRATION_ERROR = "expected_calibration_error"

Weights = Float64[np.ndarray, "resamples patients"]
Row = tuple[float, float | None, float | None]
"""A value with its interval; without one where patients are too few."""
Family = Callable[[Weights], Mapping[str, Float64[np.ndarray, " resamples"]]]
"""Metrics by name, for each row of weights; nan where one is not defined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The middle 95% of a metric over resamples."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Metrics by name: their values, and what they are in each resample. What is not defined has no name here.

    `patients` is how many there are, `patients_of` how many a label's metrics rest on: those with it, or those without.
    """

    values: dict[str, float]
    resamples: dict[str, Float64[np.ndarray, " resamples"]]
    patients: int
    patients_of: Mapping[str, int]

    def interval(self, name: str) -> Interval | None:
        """The 95% interval of a metric, as `find_interval` gives it.

        A calibration error is a mean of absolute values, which drawing patients anew can hardly but raise; so its
        percentiles are reflected at the value (the basic bootstrap; Davison and Hinkley, 1997, section 5.2).
        """
        found = find_interval(self.resamples[name], patients=self.count(name))
        if found is None or name.partition("/")[0] != CALIBRATION_ERROR:
            return found
        twice = 2 * self.values[name]
        return Interval(low=max(0.0, twice - found.high), high=max(0.0, twice - found.low))

    def count(self, name: str) -> int:
        """The patients that a metric rests on."""
        return self.patients_of.get(name.rpartition("/")[2], self.patients)


def draw_weights(patients: int, *, resamples: int, seed: int) -> Iterator[Weights]:
    """How often each patient stands in each resample; some rows at a time, and equal for equal seeds."""
    random = np.random.default_rng(seed)
    rows = max(1, CELLS // patients)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = random.integers(patients, size=(count, patients)) + patients * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * patients).reshape(count, patients).astype(np.float64)


def measure(families: Sequence[Family], cases: Cases, *, resamples: int, seed: int) -> Measured:
    """The metrics of all families, with every patient once and in each resample."""
    patients = len(cases.names)
    values = _together(families, np.ones((1, patients)))
    parts = [_together(families, weights) for weights in draw_weights(patients, resamples=resamples, seed=seed)]
    defined = [name for name, value in values.items() if not np.isnan(value[0])]
    return Measured(
        values={name: float(values[name][0]) for name in defined},
        resamples={name: np.concatenate([part[name] for part in parts]) for name in defined},
        patients=patients,
        patients_of=count_patients(cases),
    )


def find_interval(resamples: Float64[np.ndarray, " resamples"], *, patients: int) -> Interval | None:
    """The 95% interval of a metric; None where patients are too few for one, or all resamples say the same.

    (Where a few patients are all answered rightly, so are all resamples of them: that is no certainty.)
    """
    found = percentiles(resamples, patients=patients)
    return None if found is None or found.low == found.high else found


def percentiles(resamples: Float64[np.ndarray, " resamples"], *, patients: int) -> Interval | None:
    """The middle 95% of the resamples that define a metric; None where few do, and of one patient.

    A little more than the middle 95%, as Student's t is wider than the normal distribution: the fewer patients, the
    more (the expanded percentile interval; Hesterberg, 2015, section 5.3).
    """
    there = resamples[~np.isnan(resamples)]
    if patients < 2 or len(there) < max(1, DEFINED * len(resamples)):
        return None
    reach = np.sqrt(patients / (patients - 1)) * student.ppf((1 + SHARE) / 2, patients - 1)
    low, high = np.quantile(there, [norm.cdf(-reach), norm.cdf(reach)])
    return Interval(low=float(low), high=float(high))


def row_of(value: float, interval: Interval | None) -> Row:
    """A value with what its interval is, if there is one."""
    return (value, interval.low, interval.high) if interval else (value, None, None)


def count_patients(cases: Cases) -> dict[str, int]:
    """By label how many patients have a case with it, or how many one without, whichever is less; one class: all."""
    counts = {}
    for i, finding in enumerate(FINDINGS):
        sides = [len(np.unique(cases.patients[cases.positive[:, i] == value])) for value in (True, False)]
        counts[finding] = min(sides) or len(cases.names)
    return counts


def sum_by_patient(
    values: Float64[np.ndarray, "n columns"], patients: Int64[np.ndarray, " n"], number: int
) -> Float64[np.ndarray, "patients columns"]:
    """Sums by patient: what is linear in the cases is, for any weights, weights @ sums."""
    return np.column_stack([np.bincount(patients, weights=column, minlength=number) for column in values.T])


def _together(families: Sequence[Family], weights: Weights) -> dict[str, np.ndarray]:
    return {name: values for family in families for name, values in family(weights).items()}
