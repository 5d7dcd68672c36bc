"""Which bleeds a study has."""

from dataclasses import replace

import numpy as np
import pytest

from ich.data.phantom.bleeding import Bleed, Subdural
from ich.data.phantom.difficulty import DIFFICULTIES, Difficulty
from ich.data.phantom.injury import SITES, draw_bleeds
from ich.findings import KINDS

BASE = DIFFICULTIES["base"]


def bleeds(kind: str, difficulty: Difficulty = BASE, count: int = 100) -> list[Bleed]:
    random = np.random.default_rng(0)
    return [draw_bleeds(random, (kind,), difficulty)[0] for _ in range(count)]


def test_a_study_has_one_bleed_of_each_of_its_kinds() -> None:
    drawn = draw_bleeds(np.random.default_rng(0), KINDS, BASE)
    assert sorted(bleed.kind for bleed in drawn) == sorted(KINDS)
    assert draw_bleeds(np.random.default_rng(0), (), BASE) == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_blood_is_as_dense_as_the_level_says(kind: str, difficulty: str) -> None:
    low, high = DIFFICULTIES[difficulty].blood_hu
    densities = [bleed.hu for bleed in bleeds(kind, DIFFICULTIES[difficulty], 40)]
    assert low <= min(densities) < max(densities) <= high


@pytest.mark.parametrize("kind", ["epidural", "intraparenchymal", "subdural"])
def test_both_sides_bleed(kind: str) -> None:
    left = np.mean([bleed.centre[0] > 0 for bleed in bleeds(kind)])
    assert 0.35 < left < 0.65


@pytest.mark.parametrize(("share", "thin"), [(0.0, 0.0), (0.4, 0.4), (1.0, 1.0)])
def test_a_share_of_subdural_bleeds_is_thin(share: float, thin: float) -> None:
    knobs = replace(BASE, thin_subdural_share=share, convexity_share=1.0)
    drawn = [bleed for bleed in bleeds("subdural", knobs) if isinstance(bleed, Subdural)]
    assert np.mean([bleed.depth_mm <= 5 for bleed in drawn]) == pytest.approx(thin, abs=0.12)


@pytest.mark.parametrize("share", [0.0, 0.72, 1.0])
def test_a_share_of_subdural_bleeds_is_over_the_convexity(share: float) -> None:
    drawn = [bleed for bleed in bleeds("subdural", replace(BASE, convexity_share=share)) if isinstance(bleed, Subdural)]
    assert np.mean([bleed.where == "convexity" for bleed in drawn]) == pytest.approx(share, abs=0.12)


def test_sites_of_bleeds_in_the_brain_have_shares_of_one() -> None:
    assert sum(share for share, *_ in SITES.values()) == pytest.approx(1)
