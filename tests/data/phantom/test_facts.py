"""The phantom against the facts of RSNA 2019 (stage 1: 19,530 studies, 674,258 slices): chi-square."""

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from ich.data.phantom.difficulty import DIFFICULTIES
from ich.data.phantom.plan import StudyPlan, plan_cohort
from ich.data.phantom.study import draw_study, render
from ich.findings import FINDINGS, KINDS

LEAST_P = 0.01
STUDIES, POSITIVE_STUDIES = 19_530, 8_003
STUDIES_WITH = {
    "epidural": 313, "intraparenchymal": 4_796, "intraventricular": 3_313, "subarachnoid": 3_549, "subdural": 3_442
}  # fmt: skip
NUMBER_OF_KINDS = {1: 0.41, 2: 0.33, 3: 0.20, 4: 0.06}
SLICES_A_STUDY = {30: 0.158, 36: 0.532, 60: 0.310}
"""Shares of 6,750 series with up to so many slices and more than the number before; real ones like multiples of four,
which the phantom does not imitate, so steps are wide."""
SLICES = 674_258
SLICES_WITH = {
    "epidural": 2_761, "intraparenchymal": 32_564, "intraventricular": 23_766, "subarachnoid": 32_122,
    "subdural": 42_496, "any": 97_103,
}  # fmt: skip


@pytest.fixture(scope="module")
def plans() -> list[StudyPlan]:
    return plan_cohort(patients=244, slices=35, difficulty=DIFFICULTIES["base"], seed=11)


def p_value(found: list[int], shares: list[float]) -> float:
    expected = np.array(shares) / sum(shares) * sum(found)
    return float(stats.chisquare(found, expected).pvalue)


def test_as_many_studies_are_positive(plans: list[StudyPlan]) -> None:
    positive = sum(bool(plan.kinds) for plan in plans)
    share = POSITIVE_STUDIES / STUDIES
    assert p_value([positive, len(plans) - positive], [share, 1 - share]) > LEAST_P


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_in_as_many_positive_studies(plans: list[StudyPlan], kind: str) -> None:
    positive = [plan for plan in plans if plan.kinds]
    having = sum(kind in plan.kinds for plan in positive)
    share = STUDIES_WITH[kind] / POSITIVE_STUDIES
    assert p_value([having, len(positive) - having], [share, 1 - share]) > LEAST_P


def test_positive_studies_have_as_many_kinds(plans: list[StudyPlan]) -> None:
    found = Counter(min(4, len(plan.kinds)) for plan in plans if plan.kinds)
    assert p_value([found[number] for number in NUMBER_OF_KINDS], list(NUMBER_OF_KINDS.values())) > LEAST_P


def test_studies_have_as_many_slices(plans: list[StudyPlan]) -> None:
    counts = [len(plan.image_ids) for plan in plans]
    steps = list(SLICES_A_STUDY)
    found = np.bincount(np.searchsorted(steps, counts), minlength=len(steps))
    assert np.mean(counts) == pytest.approx(35.1, abs=0.2)
    assert p_value(found.tolist(), list(SLICES_A_STUDY.values())) > LEAST_P


@pytest.mark.slow
def test_slices_show_each_finding_as_often(plans: list[StudyPlan]) -> None:
    """Slices of one study go together, so a sum is as uncertain as the studies that it is made of."""
    some = plans[:120]
    shown = np.zeros((len(some), len(FINDINGS)))
    for row, plan in enumerate(some):
        if plan.kinds:
            count = len(plan.image_ids)
            study = draw_study(
                seed=11, number=plan.number, kinds=plan.kinds, slices=count, difficulty="base", noise=1.0
            )
            kinds = [render(study, place).kinds for place in range(count)]
            shown[row] = [*(sum(kind in one for one in kinds) for kind in KINDS), sum(map(bool, kinds))]
    slices = sum(len(plan.image_ids) for plan in some)
    expected = np.array([SLICES_WITH[finding] / SLICES for finding in FINDINGS]) * slices
    uncertain = shown.std(axis=0, ddof=1) * np.sqrt(len(some))
    chi_square = float((((shown.sum(axis=0) - expected) / uncertain) ** 2).sum())
    assert stats.chi2.sf(chi_square, len(FINDINGS)) > LEAST_P
