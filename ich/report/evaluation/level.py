"""An evaluation: every metric with its interval, of slices and of studies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float64

from ich import metric
from ich.report.evaluation.bootstrap import Measured, measure
from ich.report.evaluation.families import all_families
from ich.report.evaluation.points import Thresholds, fit_points
from ich.report.evaluation.reliability import describe_reliability
from ich.report.evaluation.table import BadPredictions, Cases

STUDY = "study/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Slices or studies of one part of the patients.

    `prefix` stands before the names of its metrics (`val/`, `val/study/`); `points` are thresholds by operating point,
    fitted on the part `fitted_on`.
    """

    prefix: str
    cases: Cases
    measured: Measured
    points: Mapping[str, Thresholds]
    fitted_on: str
    reliability: pd.DataFrame

    @property
    def is_study(self) -> bool:
        return self.prefix.endswith(STUDY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the floor and the intervals are made. `prevalence`: the training fold's, where it is known."""

    prevalence: Float64[np.ndarray, " 6"] | None = None
    resamples: int = 2000
    seed: int = 0


def evaluate(cases: Cases, settings: Settings, *, test: Cases | None = None) -> list[Level]:
    """Slices and studies of the validation patients, then of the test patients where there are any.

    Operating points are fitted on validation data, and reported on the test patients; without those on the same data.
    """
    if test is None:
        parts = {f"val/{name}": some for name, some in _parts(cases).items()}
        return [_level(prefix, some, settings) for prefix, some in parts.items()]
    shared = np.intersect1d(cases.names, test.names)
    if len(shared):
        raise BadPredictions(
            f"patient {shared[0]} is in both tables ({len(shared)} such patients); test patients are others than those "
            "that operating points are fitted on"
        )
    vals, tests = _parts(cases), _parts(test)
    return [
        *(_level(f"val/{name}", some, settings, points={}) for name, some in vals.items()),
        *(
            _level(f"test/{name}", some, settings, points=fit_points(vals[name]), fitted_on="val")
            for name, some in tests.items()
        ),
    ]


def reported(levels: Sequence[Level]) -> list[Level]:
    """The slices and studies that an evaluation is about: of the test patients where there are any."""
    part = levels[-1].prefix.partition("/")[0]
    return [level for level in levels if level.prefix.startswith(part)]


def _parts(cases: Cases) -> dict[str, Cases]:
    """Slices and studies, by what stands before the names of their metrics; studies alone where no slice has labels."""
    return {STUDY: cases} if cases.whole else {"": cases, STUDY: cases.by_study()}


def floor_prevalence(cases: Cases, settings: Settings, *, study: bool) -> Float64[np.ndarray, " 6"]:
    """The training fold's, of slices; else the table's own: a training fold's rate of studies is not known."""
    known = settings.prevalence is not None and not study
    return settings.prevalence if known and settings.prevalence is not None else metric.prevalence(cases.positive)


def _level(
    prefix: str,
    cases: Cases,
    settings: Settings,
    *,
    points: Mapping[str, Thresholds] | None = None,
    fitted_on: str = "the same data",
) -> Level:
    prevalence = floor_prevalence(cases, settings, study=prefix.endswith(STUDY))
    points = fit_points(cases) if points is None else points
    families = all_families(cases, prevalence=prevalence, points=points)
    measured = measure(families, cases, resamples=settings.resamples, seed=settings.seed)
    # The very numbers that a run logs: sums by patient differ from them in the last digit.
    scores = metric.score(cases.positive, cases.probabilities, prevalence=prevalence)
    return Level(
        prefix=prefix,
        cases=cases,
        measured=replace(measured, values=measured.values | scores),
        points=points,
        fitted_on=fitted_on,
        reliability=describe_reliability(cases, resamples=settings.resamples, seed=settings.seed),
    )
