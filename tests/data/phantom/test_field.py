"""Maps over a slice: edges, distances, and noise that goes on from slice to slice."""

import numpy as np
import pytest

from ich.data.phantom.field import Map, Plane, capsule, distance, draw_noise, ellipsoid, gradient, mirrored, paint, ramp


def plane(height_mm: float = 0.0, *, side: int = 41, pixel_mm: float = 1.0) -> Plane:
    """A square about the axis."""
    line = ((np.arange(side) - side // 2) * pixel_mm).astype(np.float32)
    x, y = np.meshgrid(line, line)
    return Plane(x=x, y=y, z=np.full_like(x, height_mm), height_mm=height_mm, pixel_mm=pixel_mm, thickness_mm=5.0)


def row(*values: float) -> Map:
    return np.array([values], np.float32)


def test_a_ramp_is_the_partial_volume_of_an_edge() -> None:
    """A pixel 2 mm wide whose centre is 0.5 mm inside an edge lies to three quarters inside it."""
    assert ramp(row(-2, -1, 0, 0.5, 1, 2), 2.0) == pytest.approx(row(0, 0, 0.5, 0.75, 1, 1))


def test_paint_replaces_a_fraction() -> None:
    hu = row(100, 100, 100)
    paint(hu, row(0, 0.25, 1), 20.0)
    assert hu == pytest.approx(row(100, 80, 20))


def test_an_ellipsoid_is_positive_inside_and_its_distances_are_right_near_the_surface() -> None:
    ball = ellipsoid(plane(), (0, 0, 0), (10, 10, 10))[20, 20:]
    assert ball[9:12] == pytest.approx([1, 0, -1], abs=0.15)
    assert (ball[1:10] > 0).all()
    egg = ellipsoid(plane(), (0, 0, 0), (15, 5, 5))
    assert (egg[20, 34], egg[20, 36]) == pytest.approx((1, -1), abs=0.15)
    assert (egg[24, 20], egg[26, 20]) == pytest.approx((1, -1), abs=0.25)


def test_a_capsule_is_a_rod_whose_radius_changes() -> None:
    rod = capsule(plane(), (-10, 0, 0), (10, 0, 0), radius=(2, 6))
    assert rod[20, 10] == pytest.approx(2)
    assert rod[20, 30] == pytest.approx(6)
    assert rod[20 + 4, 20] == pytest.approx(0)
    assert rod[20, 38] == pytest.approx(-2)


@pytest.mark.parametrize("height_mm", [-60.0, 60.0])
def test_a_shape_far_from_a_slice_is_nowhere_in_it(height_mm: float) -> None:
    assert (ellipsoid(plane(height_mm), (0, 0, 0), (10, 10, 10)) < -5).all()
    assert (capsule(plane(height_mm), (0, 0, 0), (0, 0, 9), radius=(5, 5)) < -5).all()


def test_a_distance_is_measured_across_slices_too() -> None:
    assert distance(plane(12.0), (0, 0, 0))[20, 25] == pytest.approx(13)  # 5, 12, 13


def test_a_gradient_is_in_one_over_mm_whatever_the_pixel() -> None:
    for pixel_mm in (0.5, 2.0):
        here = plane(pixel_mm=pixel_mm)
        assert gradient(3 * here.x + 4 * here.y, pixel_mm)[5:-5, 5:-5] == pytest.approx(5, rel=1e-4)


def test_mirrored_halves_are_one() -> None:
    shape = ellipsoid(mirrored(plane()), (12, 0, 0), (4, 4, 4))
    assert (shape == shape[:, ::-1]).all()
    assert shape[20, 8] == shape[20, 32] > 0


def test_a_pushed_plane_moves_what_is_drawn_in_it() -> None:
    pushed = plane().pushed(np.full((41, 41), 6, np.float32))
    column = int(ellipsoid(pushed, (0, 0, 0), (5, 5, 5))[20].argmax())
    assert abs(column - 26) <= 1


def test_noise_has_deviation_1_at_every_height_and_goes_on_from_slice_to_slice() -> None:
    noise = draw_noise(np.random.default_rng(0), 60, 60, step_mm=7)
    for height_mm in (-80.0, 0.0, 3.5, 91.3):
        assert noise.at(height_mm).std() == pytest.approx(1, abs=0.05)
    near, far = (np.corrcoef(noise.at(10).ravel(), noise.at(10 + up).ravel())[0, 1] for up in (1.0, 40.0))
    assert near > 0.9
    assert abs(far) < 0.1


@pytest.mark.parametrize(("height_mm", "basal"), [(40.0, 0.0), (-6.0, 0.5), (-60.0, 1.0)])
def test_a_slice_is_basal_through_the_skull_base_and_below(height_mm: float, basal: float) -> None:
    assert plane(height_mm).basal == basal
