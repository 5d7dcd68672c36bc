"""Who has what: kinds, slice counts, scanners and ids of a whole cohort, before anything is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ich.data.phantom.difficulty import Difficulty

Key = TypeVar("Key")

KIND_SHARES = {
    ("subdural",): 0.17131,
    ("intraparenchymal",): 0.13595,
    ("intraparenchymal", "intraventricular"): 0.12583,
    ("intraparenchymal", "intraventricular", "subarachnoid"): 0.09509,
    ("subarachnoid",): 0.06285,
    ("intraparenchymal", "intraventricular", "subarachnoid", "subdural"): 0.05798,
    ("intraparenchymal", "subarachnoid"): 0.05435,
    ("intraparenchymal", "subarachnoid", "subdural"): 0.05198,
    ("intraventricular", "subarachnoid"): 0.04448,
    ("intraparenchymal", "subdural"): 0.03974,
    ("subarachnoid", "subdural"): 0.03899,
    ("intraventricular",): 0.02799,
    ("intraventricular", "subarachnoid", "subdural"): 0.02312,
    ("intraparenchymal", "intraventricular", "subdural"): 0.02037,
    ("intraventricular", "subdural"): 0.01087,
    ("epidural",): 0.01025,
    ("epidural", "intraparenchymal"): 0.00475,
    ("epidural", "subdural"): 0.004,
    ("epidural", "subarachnoid"): 0.00325,
    ("epidural", "intraparenchymal", "subdural"): 0.00287,
    ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural"): 0.00287,
    ("epidural", "intraparenchymal", "subarachnoid", "subdural"): 0.00212,
    ("epidural", "subarachnoid", "subdural"): 0.00187,
    ("epidural", "intraparenchymal", "subarachnoid"): 0.00175,
    ("epidural", "intraparenchymal", "intraventricular", "subarachnoid"): 0.0015,
    ("epidural", "intraparenchymal", "intraventricular"): 0.00137,
    ("epidural", "intraventricular", "subarachnoid", "subdural"): 0.00087,
    ("epidural", "intraparenchymal", "intraventricular", "subdural"): 0.00075,
    ("epidural", "intraventricular", "subarachnoid"): 0.00037,
    ("epidural", "intraventricular", "subdural"): 0.00037,
    ("epidural", "intraventricular"): 0.00012,
}
"""Of the positive studies of RSNA 2019 (stage 1, 8,003 studies), the share with exactly these kinds."""

LAYOUT_SHARES = {
    "unsigned_implicit": 0.30,
    "unsigned_explicit": 0.08,
    "signed_padded": 0.35,
    "signed_corner": 0.17,
    "intercept_1000": 0.04,
    "intercept_0": 0.04,
    "wrapped": 0.02,
}
"""Of studies; after 2,178 slices of 73 studies, the last two from what is known of the rest."""

SLICES_DEVIATION = 0.125
"""Of a study's slice count, relative to its mean (RSNA 2019: 35.1, 5 to 95 %: 28 to 44)."""
PLAN_STREAM = 1 << 32
"""Beyond every study's number, so that no study draws from the same stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan:
    """One study before it is drawn; `image_ids` are in anatomical order, from the neck upward."""

    number: int
    kinds: tuple[str, ...]
    layout: str
    patient_id: str
    study_id: str
    series_id: str
    image_ids: tuple[str, ...]


def plan_cohort(*, patients: int, slices: int, difficulty: Difficulty, seed: int) -> list[StudyPlan]:
    """One study a patient, patients * slices slices in all.

    Kinds and header layouts are dealt out by quota, not drawn one by one: a small cohort has every common kind too,
    and, with two patients a layout, every layout.
    """
    random = np.random.default_rng([seed, PLAN_STREAM])
    kinds = _deal_kinds(random, patients, difficulty)
    layouts = _deal_layouts(random, patients)
    counts = _deal_slices(random, patients, slices)
    images = iter(draw_ids(random, sum(counts), 9))
    people, studies, series = (draw_ids(random, patients, digits) for digits in (8, 10, 10))
    return [
        StudyPlan(
            number=number,
            kinds=kinds[number],
            layout=layouts[number],
            patient_id=people[number],
            study_id=studies[number],
            series_id=series[number],
            image_ids=tuple(next(images) for _ in range(counts[number])),
        )
        for number in range(patients)
    ]


def quotas(shares: Mapping[Key, float], count: int) -> list[Key]:
    """`count` keys, each as often as its share asks for, by the largest remainder; ties go to the earlier key."""
    keys = list(shares)
    wanted = np.array([shares[key] for key in keys]) / sum(shares.values()) * count
    given = np.floor(wanted).astype(int)
    for place in np.argsort(given - wanted, kind="stable")[: count - given.sum()]:
        given[place] += 1
    return [key for key, times in zip(keys, given, strict=True) for _ in range(times)]


def _deal_kinds(random: np.random.Generator, patients: int, difficulty: Difficulty) -> list[tuple[str, ...]]:
    positive = round(patients * difficulty.positive_share)
    sets = quotas(KIND_SHARES, positive)
    fewest = min(difficulty.fewest_epidural, -(-positive // 4))
    missing = max(0, fewest - sum("epidural" in kinds for kinds in sets))
    sets[:missing] = [("epidural",)] * missing  # in place of some of the commonest
    dealt = [*sets, *[()] * (patients - positive)]
    return [dealt[place] for place in random.permutation(patients)]


def _deal_layouts(random: np.random.Generator, patients: int) -> list[str]:
    layouts = quotas(LAYOUT_SHARES, patients)
    missing = [layout for layout in LAYOUT_SHARES if layout not in layouts]
    if patients >= 2 * len(LAYOUT_SHARES):
        for layout in missing:
            layouts[layouts.index(max(layouts, key=layouts.count))] = layout
    return [layouts[place] for place in random.permutation(patients)]


def _deal_slices(random: np.random.Generator, patients: int, slices: int) -> list[int]:
    """Counts a study, scattered about their mean, which they keep exactly."""
    scatter = random.normal(slices, SLICES_DEVIATION * slices, patients).clip(0.6 * slices, 1.7 * slices)
    edges = np.rint(np.cumsum(scatter) * (patients * slices / scatter.sum())).astype(int)
    return [int(count) for count in np.diff(edges, prepend=0)]


def draw_ids(random: np.random.Generator, count: int, digits: int) -> list[str]:
    """Ids as in the challenge, all different."""
    return [f"ID_{number:0{digits}x}" for number in random.choice(16**digits, count, replace=False)]
