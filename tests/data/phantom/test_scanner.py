"""The scanner: how the head lies in it, its holder, its noise."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from ich.data.phantom.difficulty import DIFFICULTIES
from ich.data.phantom.scanner import COARSE, Scanner, draw_scanner, in_circle, place_head, scan, surround

BASE = DIFFICULTIES["base"]
SCANNERS = [draw_scanner(np.random.default_rng(seed), BASE, gap_mm=5.0, noise=1.0) for seed in range(400)]
STRAIGHT = replace(SCANNERS[0], roll=0.0, pitch=0.0, shift_mm=(0.0, 0.0), size=1.0, spacing_mm=0.5)
NOTHING = np.zeros((COARSE, COARSE), np.float32)


def scanned(scanner: Scanner, seed: int = 0, *, hu: float = 30.0, louder: float = 1.0) -> np.ndarray:
    """A slice of one tissue."""
    return scan(NOTHING + np.float32(hu), scanner, np.random.default_rng(seed), louder=louder)


def test_a_straight_head_of_size_1_is_in_the_scanners_millimetres() -> None:
    plane = place_head(STRAIGHT, 20.0)
    assert plane.pixel_mm == 1.0  # two pixels of 0.5 mm
    assert (plane.x[0, 0], plane.x[0, -1]) == (-127.5, 127.5)
    assert (plane.y[0, 0], plane.y[-1, 0]) == (-127.5, 127.5)
    assert (plane.z == 20).all()


def test_a_pitched_head_is_cut_obliquely() -> None:
    plane = place_head(replace(STRAIGHT, pitch=np.deg2rad(10)), 0.0)
    assert plane.z[-1, 0] == pytest.approx(127.5 * np.tan(np.deg2rad(10)), abs=1e-3)
    assert plane.z[0, 0] == pytest.approx(-plane.z[-1, 0], abs=1e-3)


def test_a_larger_head_spans_more_of_the_slice() -> None:
    plane = place_head(replace(STRAIGHT, size=1.25), 20.0)
    assert plane.x[0, -1] == pytest.approx(127.5 / 1.25)
    assert (plane.pixel_mm, plane.height_mm) == (0.8, 16.0)


def test_a_rolled_head_turns_and_a_shifted_one_moves() -> None:
    turned = place_head(replace(STRAIGHT, roll=np.pi / 2), 0.0)
    assert turned.y[0, 0] == pytest.approx(127.5, abs=1e-3)
    moved = place_head(replace(STRAIGHT, shift_mm=(3.0, -6.0)), 0.0)
    assert (moved.x[0, 0], moved.y[0, 0]) == (-130.5, -121.5)


@pytest.mark.parametrize("noise_hu", [2.0, 6.0])
def test_noise_has_the_deviation_that_it_is_given(noise_hu: float) -> None:
    one = scanned(replace(STRAIGHT, noise_hu=noise_hu, offset_hu=0.0))
    assert one[10:-10, 10:-10].std() == pytest.approx(noise_hu, rel=0.05)
    assert scanned(replace(STRAIGHT, noise_hu=noise_hu), louder=1.5).std() == pytest.approx(1.5 * noise_hu, rel=0.05)


def test_noise_is_grain_not_snow() -> None:
    """Neighbouring pixels resemble each other, and yet averages over 16 x 16 pixels hardly vary.

    White noise of 20 HU, whose pixels are strangers, would leave 20 / 16 of them; merely smoothed, 2.8 times as much.
    """
    one = scanned(replace(STRAIGHT, noise_hu=20.0)).astype(float)
    assert np.corrcoef(one[:, 1:].ravel(), one[:, :-1].ravel())[0, 1] > 0.5
    assert one.reshape(32, 16, 32, 16).mean((1, 3)).std() < 1.6 * 20 / 16


def test_the_offset_of_a_study_shifts_every_slice() -> None:
    shift = scanned(replace(STRAIGHT, offset_hu=4.0)).mean() - scanned(replace(STRAIGHT, offset_hu=-2.0)).mean()
    assert shift == pytest.approx(6.0, abs=0.05)


def test_hu_stay_in_the_range_of_12_bits() -> None:
    assert scanned(STRAIGHT, hu=9000).max() == 3071
    assert scanned(STRAIGHT, hu=-9000).min() == -1024


def test_noise_over_studies_has_the_median_and_the_tail_of_real_ones() -> None:
    noise = [scanner.noise_hu for scanner in SCANNERS]
    assert np.median(noise) == pytest.approx(3.05, abs=0.2)
    assert max(noise) > 6
    assert min(noise) > 1.6


def test_the_noise_factor_multiplies() -> None:
    once, twice = (
        draw_scanner(np.random.default_rng(0), BASE, gap_mm=5.0, noise=noise).noise_hu for noise in (1.0, 2.0)
    )
    assert twice == 2 * once


def test_tilts_and_spacings_are_distributed_as_in_real_headers() -> None:
    tilts = np.rad2deg([scanner.tilt for scanner in SCANNERS])
    assert np.count_nonzero(tilts) / len(tilts) == pytest.approx(0.49, abs=0.07)
    assert -27 <= tilts.min() < np.median(tilts[tilts != 0]) < -12
    spacings = Counter(scanner.spacing_mm for scanner in SCANNERS)
    assert spacings.most_common(1)[0][0] == 0.488281
    assert len(spacings) == 6
    assert 0.418 <= min(spacings) < max(spacings) <= 0.508


def test_slices_are_never_thicker_than_5_mm() -> None:
    thick = draw_scanner(np.random.default_rng(0), BASE, gap_mm=12.0, noise=1.0)
    thin = draw_scanner(np.random.default_rng(0), BASE, gap_mm=2.5, noise=1.0)
    assert (thick.thickness_mm, thin.thickness_mm) == (5.0, 2.5)


def test_a_holder_is_bright_under_the_head_and_sometimes_absent() -> None:
    holders = [scanner.holder is not None for scanner in SCANNERS]
    assert 0.8 < np.mean(holders) < 0.95
    held = next(scanner for scanner in SCANNERS if scanner.holder)
    around = surround(NOTHING, NOTHING, held, 0.0)
    assert (around[COARSE // 2 :] > 80).any()  # white in a brain window
    assert (around[: COARSE // 4] < -900).all()
    assert (surround(NOTHING, NOTHING, replace(held, holder=None), 0.0) == around.min()).all()


def test_a_body_hides_the_holder() -> None:
    assert surround(NOTHING + 40, NOTHING + 1, SCANNERS[0], 0.0) == pytest.approx(40, abs=1e-3)


def test_the_circle_touches_the_borders() -> None:
    inside = in_circle()
    assert inside.mean() == pytest.approx(np.pi / 4, abs=1e-3)
    assert inside[255, 0]
    assert not inside[0, 0]
