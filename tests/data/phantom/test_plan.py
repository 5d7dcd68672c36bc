"""Who has what: kinds, slice counts, header layouts and ids, before anything is drawn."""

import re
from collections import Counter

import numpy as np
import pytest

from ich.data.phantom.difficulty import DIFFICULTIES
from ich.data.phantom.plan import KIND_SHARES, LAYOUT_SHARES, StudyPlan, draw_ids, plan_cohort, quotas
from ich.findings import KINDS

POSITIVE_STUDIES = 8003
STUDIES_WITH = {
    "epidural": 313,
    "intraparenchymal": 4796,
    "intraventricular": 3313,
    "subarachnoid": 3549,
    "subdural": 3442,
}
"""RSNA 2019, stage 1."""


def plan(patients: int = 30, slices: int = 12, difficulty: str = "base", seed: int = 0) -> list[StudyPlan]:
    return plan_cohort(patients=patients, slices=slices, difficulty=DIFFICULTIES[difficulty], seed=seed)


@pytest.mark.parametrize(
    ("count", "given"),
    [
        (10, "aaaaabbbcc"),  # 5, 3 and 2 exactly
        (4, "aabc"),  # 2, 1.2, 0.8: the last one has the largest remainder
        (1, "a"),
        (0, ""),
    ],
)
def test_quotas_go_by_the_largest_remainder(count: int, given: str) -> None:
    assert "".join(quotas({"a": 0.5, "b": 0.3, "c": 0.2}, count)) == given


def test_a_tie_of_remainders_goes_to_the_earlier_key() -> None:
    assert quotas({"late": 1.0, "early": 1.0}, 3) == ["late", "late", "early"]


def test_shares_of_kinds_add_up_to_the_counts_of_rsna_2019() -> None:
    assert sum(KIND_SHARES.values()) == pytest.approx(1, abs=1e-3)
    for kind, studies in STUDIES_WITH.items():
        share = sum(share for kinds, share in KIND_SHARES.items() if kind in kinds)
        assert share == pytest.approx(studies / POSITIVE_STUDIES, abs=1e-3)


def test_each_set_of_kinds_is_in_the_order_of_all_tables() -> None:
    for kinds in KIND_SHARES:
        assert list(kinds) == [kind for kind in KINDS if kind in kinds]


@pytest.mark.parametrize(("difficulty", "positive"), [("base", 41), ("easy", 41), ("demo", 55)])
def test_the_share_of_positive_studies_is_exact(difficulty: str, positive: int) -> None:
    assert sum(bool(study.kinds) for study in plan(100, difficulty=difficulty)) == positive


def test_kinds_are_dealt_by_quota() -> None:
    """100 positive studies: each set within one of its share, apart from what the epidural one takes."""
    dealt = Counter(study.kinds for study in plan(244) if study.kinds)
    assert dealt.total() == 100
    assert all(abs(dealt[kinds] - 100 * share) < 1 for kinds, share in KIND_SHARES.items())


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
@pytest.mark.parametrize("patients", [2, 3, 6, 15, 30, 72])
def test_every_cohort_has_an_epidural_study(patients: int, difficulty: str) -> None:
    assert any("epidural" in study.kinds for study in plan(patients, difficulty=difficulty))


def test_the_demo_has_four_epidural_studies_and_a_small_one_keeps_room_for_others() -> None:
    assert sum("epidural" in study.kinds for study in plan(72, difficulty="demo")) == 4
    few = [study.kinds for study in plan(12, difficulty="demo") if study.kinds]
    assert sum("epidural" in kinds for kinds in few) == 2  # a quarter of 7 positive ones, rounded up
    assert {"subdural", "intraparenchymal"} <= {kind for kinds in few for kind in kinds}


@pytest.mark.parametrize("patients", [14, 15, 72])
def test_every_header_layout_appears_with_two_patients_a_layout(patients: int) -> None:
    assert {study.layout for study in plan(patients)} == set(LAYOUT_SHARES)


def test_layouts_are_dealt_by_quota() -> None:
    counts = Counter(study.layout for study in plan(100))
    assert counts == {layout: round(100 * share) for layout, share in LAYOUT_SHARES.items()}


@pytest.mark.parametrize(("patients", "slices"), [(2, 4), (15, 24), (72, 24), (30, 34)])
def test_slices_scatter_about_a_mean_that_they_keep(patients: int, slices: int) -> None:
    counts = [len(study.image_ids) for study in plan(patients, slices)]
    assert sum(counts) == patients * slices
    assert min(counts) >= 0.5 * slices
    assert max(counts) <= 2 * slices
    assert patients == 2 or len(set(counts)) > 3


def test_ids_look_as_in_the_challenge_and_none_stands_twice() -> None:
    studies = plan()
    images = [image for study in studies for image in study.image_ids]
    for ids, digits in (
        (images, 9),
        ([study.patient_id for study in studies], 8),
        ([study.study_id for study in studies], 10),
        ([study.series_id for study in studies], 10),
    ):
        assert all(re.fullmatch(rf"ID_[0-9a-f]{{{digits}}}", one) for one in ids)
        assert len(set(ids)) == len(ids)


def test_no_id_is_drawn_twice_even_where_all_are_needed() -> None:
    assert sorted(draw_ids(np.random.default_rng(0), 16, 1)) == [f"ID_{digit}" for digit in "0123456789abcdef"]


def test_a_seed_is_a_plan() -> None:
    assert plan(seed=1) == plan(seed=1)
    ids = [{study.patient_id for study in plan(seed=seed)} for seed in (1, 2)]
    assert not ids[0] & ids[1]


def test_positive_studies_are_not_the_first_ones() -> None:
    """Patients are shuffled: the plan's numbers say nothing of the label."""
    numbers = np.array([study.number for study in plan(100) if study.kinds])
    assert numbers.max() > 80
    assert 30 < numbers.mean() < 70
