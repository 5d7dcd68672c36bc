"""The skull: a closed vault over a floor."""

from dataclasses import replace

import numpy as np
import pytest

from ich.data.phantom.difficulty import DIFFICULTIES
from ich.data.phantom.field import Plane
from ich.data.phantom.scanner import draw_scanner, place_head
from ich.data.phantom.skull import Shell, cut_skull, draw_skull, surface_point

STRAIGHT = replace(
    draw_scanner(np.random.default_rng(0), DIFFICULTIES["base"], gap_mm=5.0, noise=1.0),
    roll=0.0,
    pitch=0.0,
    shift_mm=(0.0, 0.0),
    size=1.0,
    spacing_mm=0.5,
)


def cut(height_mm: float, seed: int = 0) -> tuple[Plane, Shell]:
    plane = place_head(STRAIGHT, height_mm)
    return plane, cut_skull(draw_skull(np.random.default_rng(seed), plane), plane)


def area_cm2(height_mm: float) -> float:
    _, shell = cut(height_mm)
    return float((shell.cavity > 0).sum()) / 100  # pixels of 1 mm


def test_the_cavity_is_widest_in_the_middle_and_closes_at_the_vertex() -> None:
    areas = [area_cm2(height_mm) for height_mm in (23.0, 60.0, 80.0, 105.0)]
    assert areas == sorted(areas, reverse=True)
    assert 150 < areas[0] < 230  # an ellipse of 14 x 17 cm: 187
    assert areas[-1] == 0


def test_there_is_no_brain_in_the_neck() -> None:
    assert area_cm2(-110.0) == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_vault_is_a_few_millimetres_thick_all_round(seed: int) -> None:
    _, shell = cut(40.0, seed)
    bone = (shell.outer > 0) & (shell.inner < 0)
    assert float((shell.outer - shell.inner)[bone].min()) > 2
    assert float((shell.outer - shell.inner)[bone].max()) < 10


def test_the_deepest_point_is_in_the_middle_of_the_head() -> None:
    """Where all directions lead outward at once, a distance must not collapse."""
    plane, shell = cut(40.0)
    row, column = np.unravel_index(int(shell.inner.argmax()), shell.inner.shape)
    assert abs(plane.x[row, column]) < 20
    assert abs(plane.y[row, column]) < 25
    assert shell.inner.max() > 40


def test_a_wall_is_upright_at_the_widest_level_and_flat_at_the_vertex() -> None:
    for height_mm, low, high in ((23.0, 0.0, 0.1), (96.0, 0.7, 1.0)):
        _, shell = cut(height_mm)
        wall = np.abs(shell.outer) < 2
        assert low <= float(np.median(shell.upright[wall])) <= high


def test_upright_is_how_fast_a_wall_nears_from_slice_to_slice() -> None:
    (_, below), (_, here), (_, above) = (cut(height_mm) for height_mm in (59.0, 60.0, 61.0))
    wall = np.abs(here.outer) < 2
    assert np.median((below.outer - above.outer)[wall] / 2 - here.upright[wall]) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(("angle", "height_mm"), [(0.5, 20.0), (1.75, 30.0), (-2.5, 50.0), (-1.2, 10.0)])
def test_a_surface_point_lies_under_the_vault(angle: float, height_mm: float) -> None:
    point = surface_point(angle, height_mm, depth_mm=5.0)
    assert np.sign(point[0]) == np.sign(angle)
    plane, shell = cut(height_mm)
    nearest = np.hypot(plane.x - point[0], plane.y - point[1]).argmin()
    assert abs(float(shell.outer.ravel()[nearest]) - 5) < 5  # of an average head


def test_no_two_skulls_are_alike() -> None:
    outlines = [cut(40.0, seed)[1].outer > 0 for seed in range(2)]
    assert (outlines[0] != outlines[1]).any()
