"""What is bright and no blood."""

from dataclasses import replace

import numpy as np
import pytest

from ich.data.phantom.difficulty import DIFFICULTIES
from ich.data.phantom.field import Map, Plane
from ich.data.phantom.lookalike import Lookalikes, draw_lookalikes, paint_lookalikes, paint_spot, paint_streaks
from ich.data.phantom.scanner import draw_scanner, place_head
from ich.data.phantom.skull import Shell, cut_skull, draw_skull
from ich.data.phantom.study import draw_study, render

BASE = DIFFICULTIES["base"]
BRAIN_HU = 30.0


def head(height_mm: float) -> tuple[Plane, Shell, Map]:
    """A slice whose brain is all of one HU."""
    scanner = replace(draw_scanner(np.random.default_rng(0), BASE, gap_mm=5.0, noise=1.0), pitch=0.0)
    plane = place_head(scanner, height_mm)
    shell = cut_skull(draw_skull(np.random.default_rng(0), plane), plane)
    return plane, shell, np.full_like(plane.x, BRAIN_HU)


def drawn(count: int, hyperostosis_share: float) -> list[Lookalikes]:
    knobs = replace(BASE, hyperostosis_share=hyperostosis_share)
    return [draw_lookalikes(np.random.default_rng(seed), knobs) for seed in range(count)]


@pytest.mark.parametrize(("share", "fewest", "most"), [(0.0, 0, 0), (0.3, 6, 18), (1.0, 40, 40)])
def test_a_share_of_heads_has_bone_inside_the_skull(share: float, fewest: int, most: int) -> None:
    assert fewest <= sum(bool(one.lenses) for one in drawn(40, share)) <= most


def test_hyperostosis_is_white_in_a_brain_window_and_bone_in_the_others() -> None:
    lookalikes = next(one for one in drawn(20, 1.0) if one.lenses)
    lens = lookalikes.lenses[0]
    plane, shell, hu = head(lens.centre[2])
    paint_lookalikes(hu, replace(lookalikes, calcium=()), plane, shell)
    changed = (hu > 200) & (shell.inner > 0)
    assert changed.sum() > 10
    assert shell.inner[changed].max() <= 7 + 3  # the deepest lens, and its crumbs
    assert hu[changed].max() > 90  # no blood is so dense


def test_calcium_is_denser_than_blood_in_most_heads() -> None:
    grains = [grain for one in drawn(60, 0.0) for grain in one.calcium]
    assert len(grains) > 90
    assert min(grain.hu for grain in grains) >= 70
    assert np.mean([grain.hu > 90 for grain in grains]) > 0.9
    assert max(max(grain.radii[:2]) for grain in grains) < 10


@pytest.mark.parametrize(("share", "fewest", "most"), [(0.0, 0, 0), (0.12, 5, 30), (1.0, 60, 100)])
def test_a_share_of_slices_has_a_spot(share: float, fewest: int, most: int) -> None:
    """Some of them fall outside the brain."""
    spots = 0
    for seed in range(100):
        plane, shell, hu = head(50.0)
        paint_spot(hu, np.random.default_rng(seed), plane, shell, share)
        spots += bool((hu > BRAIN_HU + 10).any())
        assert hu.max() <= BRAIN_HU + 34
    assert fewest <= spots <= most


def test_a_spot_is_in_one_slice_and_not_in_its_neighbours() -> None:
    study = draw_study(seed=1, number=0, kinds=(), slices=30, difficulty="base", noise=1.0)
    always, never = (replace(study, difficulty=replace(BASE, blob_share=share)) for share in (1.0, 0.0))
    spots = []
    for place in (20, 21, 22):
        spotted = render(always, place)
        assert spotted.kinds == ()
        spots.append(spotted.hu - render(never, place).hu > 8)
    assert all(spot.any() for spot in spots)
    assert not (spots[0] & spots[1]).any()
    assert not (spots[1] & spots[2]).any()


def test_streaks_are_stronger_at_the_skull_base() -> None:
    def change(height_mm: float) -> float:
        changes = []
        for seed in range(20):
            plane, _, hu = head(height_mm)
            paint_streaks(hu, np.random.default_rng(seed), plane, 0.6)
            changes.append(float(np.abs(hu - BRAIN_HU).mean()))
        return float(np.mean(changes))

    assert change(-20.0) > 2 * change(60.0) > 0


def test_a_dark_bar_lies_between_the_petrous_bones() -> None:
    plane, _, hu = head(-20.0)
    paint_streaks(hu, np.random.default_rng(0), plane, 0.0)
    row, column = np.unravel_index(int(hu.argmin()), hu.shape)
    assert (float(plane.x[row, column]), float(plane.y[row, column])) == pytest.approx((0, 12), abs=1)
    assert hu.min() == pytest.approx(BRAIN_HU - 7 * 0.4, abs=0.1)
