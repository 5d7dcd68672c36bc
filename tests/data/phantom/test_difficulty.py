"""How hard a cohort is: the levels, from the easiest to the hardest."""

from itertools import pairwise
from typing import get_args, get_type_hints

import pytest

from ich.data.phantom.difficulty import DIFFICULTIES
from ich.data.source import Phantom

LEVELS = [DIFFICULTIES[name] for name in ("demo", "easy", "base")]


def test_the_levels_are_those_that_can_be_configured() -> None:
    assert set(get_args(get_type_hints(Phantom)["difficulty"])) == set(DIFFICULTIES)


@pytest.mark.parametrize(
    "knob", ["thin_subdural_share", "hyperostosis_share", "blob_share", "streaks", "offset_hu", "noise_hu"]
)
def test_every_nuisance_grows_with_the_level(knob: str) -> None:
    for easier, harder in pairwise(getattr(level, knob) for level in LEVELS):
        assert easier <= harder
    assert getattr(LEVELS[0], knob) < getattr(LEVELS[-1], knob)


def test_blood_is_paler_and_smaller_with_the_level() -> None:
    for easier, harder in pairwise(LEVELS):
        assert easier.blood_hu[0] > harder.blood_hu[0]
        assert easier.bleed_scale >= harder.bleed_scale
        assert easier.smallest_mm2 >= harder.smallest_mm2
    assert all(level.blood_hu[1] == 90 for level in LEVELS)


def test_the_hardest_level_has_the_prevalence_of_rsna_2019() -> None:
    assert DIFFICULTIES["base"].positive_share == pytest.approx(8003 / 19530, abs=1e-3)
