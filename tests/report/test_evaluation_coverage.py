"""Whether a 95% interval is one: simulated cohorts whose truth is known."""

import numpy as np
import pytest
from scipy.stats import norm

from ich import metric
from ich.findings import FINDINGS
from ich.report.evaluation import Cases
from ich.report.evaluation.bootstrap import measure
from ich.report.evaluation.families import rankings

PATIENTS, SLICES = 200, 20
BETWEEN = 0.8
"""Standard deviation of what all scores of a patient share; that of the rest is 1."""
SEPARATION = np.array([1.0, 1.3, 1.6, 1.9, 2.2, 2.5])


def simulate(seed: int) -> Cases:
    """Four of ten patients bleed, each in a share of slices of its own; all slices of a patient share a shift."""
    random = np.random.default_rng(seed)
    owner = np.repeat(np.arange(PATIENTS), SLICES)
    share = np.where(random.random((PATIENTS, 6)) < 0.4, random.beta(2, 4, (PATIENTS, 6)), 0)
    positive = random.random((len(owner), 6)) < share[owner]
    shift = BETWEEN * random.normal(size=(PATIENTS, 6))[owner]
    scores = SEPARATION * positive + shift + random.normal(size=positive.shape)
    return Cases(
        ids=np.arange(len(owner)).astype(str),
        studies=owner.astype(str),
        patients=owner,
        names=np.arange(PATIENTS).astype(str),
        positive=positive,
        probabilities=metric.probabilities(scores - 3),
    )


@pytest.mark.slow
def test_the_interval_of_auc_holds_the_truth_in_92_to_98_of_100_cohorts() -> None:
    """200 cohorts, six AUC each between 0.71 and 0.92 (of slices of two patients; two normal distributions)."""
    truth = norm.cdf(SEPARATION / np.sqrt(2 * (1 + BETWEEN**2)))
    held = np.zeros((200, 6), dtype=bool)
    for seed in range(len(held)):
        cases = simulate(seed)
        measured = measure([rankings(cases)], cases, resamples=1000, seed=seed)
        for i, finding in enumerate(FINDINGS):
            interval = measured.interval(f"auc/{finding}")
            assert interval is not None
            held[seed, i] = interval.low <= truth[i] <= interval.high
    print(f"held: {held.mean():.1%} of {held.size} intervals; by label {held.mean(axis=0)}")
    assert 0.92 <= held.mean() <= 0.98
    assert (held.mean(axis=0) >= 0.90).all()
