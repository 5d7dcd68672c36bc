"""Random changes that depend on (seed, epoch, row) alone and keep HU."""

import itertools

import albumentations
import numpy as np
import pytest

from ich.data.augment import Augment

DRAW = (0, 3, 17)


@pytest.fixture
def hu() -> np.ndarray:
    return np.random.default_rng(0).integers(-1024, 3071, (1, 32, 32), endpoint=True).astype(np.int16)


def strong() -> Augment:
    affine = albumentations.Affine(rotate=(-10.0, 10.0), scale=(0.9, 1.1), fill=-1024, p=1.0)
    return Augment(transforms=[affine], shift_hu=1.0, noise_hu=2.0)


def test_nothing_to_do_changes_nothing(hu: np.ndarray) -> None:
    assert np.array_equal(Augment().apply(hu, DRAW), hu)


def test_equal_draws_give_equal_slices(hu: np.ndarray) -> None:
    assert np.array_equal(strong().apply(hu, DRAW), strong().apply(hu, DRAW))


def test_the_order_of_slices_does_not_matter(hu: np.ndarray) -> None:
    augment = strong()
    first = augment.apply(hu, DRAW)
    augment.apply(hu, (0, 3, 18))
    assert np.array_equal(augment.apply(hu, DRAW), first)


@pytest.mark.parametrize("other", [(1, 3, 17), (0, 4, 17), (0, 3, 18)])
def test_another_seed_epoch_or_row_gives_another_slice(hu: np.ndarray, other: tuple[int, int, int]) -> None:
    assert not np.array_equal(strong().apply(hu, DRAW), strong().apply(hu, other))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_a_share_of_the_slices_is_flipped(share: float) -> None:
    flipped = Augment(flip=share).flipped(np.arange(40_000), seed=0, epoch=1)
    assert flipped.mean() == pytest.approx(share, abs=0.0125)  # 5 standard deviations of a half


def test_a_flip_depends_on_seed_epoch_and_row_alone() -> None:
    augment, rows = Augment(flip=0.5), np.arange(4_000)
    of = {draw: augment.flipped(rows, seed=draw[0], epoch=draw[1]) for draw in ((0, 0), (0, 1), (1, 0), (1, 1))}
    assert np.array_equal(augment.flipped(rows[::-7], seed=0, epoch=1), of[0, 1][::-7])
    for one, other in itertools.combinations(of.values(), 2):
        assert (one != other).mean() == pytest.approx(0.5, abs=0.04)  # 5 standard deviations
    assert (of[0, 0][1:] != of[0, 0][:-1]).mean() == pytest.approx(0.5, abs=0.04)


def test_what_an_affine_moves_in_is_air(hu: np.ndarray) -> None:
    water = np.zeros_like(hu)
    affine = albumentations.Affine(translate_percent=(0.5, 0.5), fill=-1024, p=1.0)
    out = Augment(transforms=[affine]).apply(water, DRAW)
    assert set(np.unique(out)) == {-1024, 0}


def test_noise_has_the_spread_asked_for() -> None:
    out = Augment(noise_hu=4.0).apply(np.zeros((1, 256, 256), np.int16), DRAW)
    assert out.std() == pytest.approx(np.sqrt(16 + 1 / 12), rel=0.02)  # rounding adds 1/12
    assert out.mean() == pytest.approx(0, abs=0.1)


def test_a_shift_moves_the_whole_slice_by_one_number() -> None:
    augment = Augment(shift_hu=10.0)
    shifts = [np.unique(augment.apply(np.zeros((1, 8, 8), np.int16), (0, 0, row))) for row in range(200)]
    assert all(len(shift) == 1 for shift in shifts)
    assert np.std(shifts) == pytest.approx(10, rel=0.2)


def test_changed_values_stay_in_range() -> None:
    out = Augment(noise_hu=500.0).apply(np.full((1, 64, 64), 3000, np.int16), DRAW)
    assert out.max() == 3071
    assert out.dtype == np.int16


def test_depth_is_changed_alike() -> None:
    stack = np.repeat(np.random.default_rng(1).integers(0, 100, (1, 32, 32)).astype(np.int16), 3, axis=0)
    out = Augment(transforms=[albumentations.Affine(rotate=(-10.0, 10.0), fill=-1024, p=1.0)]).apply(stack, DRAW)
    assert np.array_equal(out[0], out[1])
    assert np.array_equal(out[0], out[2])
