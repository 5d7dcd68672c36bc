"""Heads are found, and nothing else: no holder, no table, no second body."""

from collections import defaultdict
from itertools import pairwise

import cv2
import numpy as np
import pytest

from ich.ct.dicom import Slice
from ich.ct.head import Head, find_head, head_of_series
from tests.ct.heads import AIR, BRAIN, HOLDER, arc, head


@pytest.mark.parametrize("thickness", [3.0, 4.0])
@pytest.mark.parametrize("radius", [60.0, 90.0, 126.0])
def test_a_head_holder_is_no_head(radius: float, thickness: float) -> None:
    assert find_head(np.where(arc(radius, thickness), HOLDER, AIR).astype(np.int16), (0.5, 0.5)) is None


def test_a_table_is_no_head() -> None:
    table = np.full((512, 512), AIR, np.int16)
    table[400:440] = HOLDER  # 20 mm thick, from edge to edge
    assert find_head(table, (0.5, 0.5)) is None


def test_a_holder_along_the_edges_is_no_head() -> None:
    holder = np.full((512, 512), AIR, np.int16)
    holder[432:, :8] = holder[504:, :80] = HOLDER  # 4 mm thick, 40 mm up and 40 mm along
    assert find_head(holder, (0.5, 0.5)) is None


@pytest.mark.parametrize("gap", [-3.0, -1.0, 1.0, 10.0])
def test_a_holder_does_not_move_the_head(gap: float) -> None:
    """It cuts into the back of the head, touches it, or lies behind."""
    alone = find_head(head(), (0.5, 0.5))
    held = find_head(np.where(arc(100, 3.5, (gap - 10, 0.0)), HOLDER, head()).astype(np.int16), (0.5, 0.5))
    assert alone is not None
    assert held is not None
    assert np.hypot(*np.subtract(alone.centre, held.centre)) * 0.5 < 1.5


@pytest.mark.parametrize("clamp", [0.0, 6.0])
def test_the_air_between_a_head_and_a_holder_that_close_a_ring_is_no_head(clamp: float) -> None:
    """Neither is a clamp on the holder, though no opening erases its 12 mm."""
    alone = head(radii=(60.0, 76.0))
    ring = np.where(
        arc(76, 3.5), HOLDER, np.maximum(alone, head(radii=(clamp or 1e-3, clamp or 1e-3), middle=(76.0, 0.0)))
    )
    found, expected = find_head(ring.astype(np.int16), (0.5, 0.5)), find_head(alone, (0.5, 0.5))
    assert found is not None
    assert expected is not None
    assert found.bottom_right[0] - expected.bottom_right[0] < 8  # 4 mm; the ring reaches 16 mm lower


def test_a_hollow_table_is_smaller_than_a_disc_at_the_vertex() -> None:
    hu = head(radii=(15.0, 12.0), middle=(-20.0, 0.0))
    shell = cv2.ellipse(np.zeros((512, 512), np.uint8), (256, 380), (150, 60), 0, 0, 360, 1, thickness=6)
    found = find_head(np.where(shell > 0, HOLDER, hu).astype(np.int16), (0.5, 0.5))
    assert found is not None
    assert (np.array(found.centre) - 255.5) * 0.5 == pytest.approx([-20, 0], abs=1)


def test_of_two_bodies_the_larger_is_the_head() -> None:
    """Chin and neck, or a hand beside the head."""
    both = np.maximum(head(radii=(30.0, 35.0), middle=(-70.0, 0.0)), head(radii=(50.0, 60.0), middle=(30.0, 0.0)))
    found = find_head(both, (0.5, 0.5))
    assert found is not None
    assert (np.array(found.centre) - 255.5) * 0.5 == pytest.approx([30, 0], abs=1)


def test_open_sinuses_and_streaks_of_metal_divide_no_head() -> None:
    hu = head()
    hu[:, 251:261] = np.where(hu[:, 251:261] == BRAIN, AIR, hu[:, 251:261])  # 5 mm, from front to back
    hu[80:90], hu[420:430] = head()[80:90], head()[420:430]  # but closed by skin
    found, whole = find_head(hu, (0.5, 0.5)), find_head(head(), (0.5, 0.5))
    assert found is not None
    assert whole is not None
    assert found.top_left == pytest.approx(whole.top_left, abs=4)
    assert found.bottom_right == pytest.approx(whole.bottom_right, abs=4)


def box(row: float, column: float, half: float) -> Head:
    return Head(centre=(row, column), top_left=(row - half, column - half), bottom_right=(row + half, column + half))


def test_a_series_has_the_median_centre_and_a_box_round_nine_in_ten() -> None:
    # 21 slices, each 1 pixel lower and larger: the middle one is the 11th, the 90th percentile the 19th.
    found = head_of_series([box(100.0 + n, 50.0, 60.0 + n) for n in range(21)])
    assert found == Head(centre=(110.0, 50.0), top_left=(40.0, 50.0 - 78.0), bottom_right=(118.0 + 78.0, 50.0 + 78.0))


def test_shoulders_on_two_of_thirty_slices_do_not_move_a_series() -> None:
    heads = [box(256, 256, 150)] * 28
    assert head_of_series([*heads, box(400, 256, 250), box(420, 256, 250)]) == head_of_series(heads)


def test_a_series_of_air_has_no_head() -> None:
    assert head_of_series([]) is None


# Real slices.


def test_real_heads_are_found_and_holders_are_none(real: list[Slice]) -> None:
    """What a disc of 24 mm fits in is a head; where no disc of 8 mm fits, there is none. On every pixel, not a grid."""
    for one in real:
        assert one.header.spacing_mm is not None
        dense = np.pad((one.hu > -300).astype(np.uint8), 1)
        thickness = 2 * cv2.distanceTransform(dense, cv2.DIST_L2, 5).max() * one.header.spacing_mm[0]
        found = find_head(one.hu, one.header.spacing_mm)
        if thickness > 24 or thickness < 8:
            assert (found is not None) == (thickness > 24), one.header.image_id


def test_neighbouring_centres_do_not_jump(real: list[Slice]) -> None:
    """A gantry leans by 27 degrees at most, and heads slope: a centre moves by millimetres in 5 mm."""
    series = defaultdict(list)
    for one in real:
        assert one.header.spacing_mm is not None
        found = find_head(one.hu, one.header.spacing_mm)
        if found is not None:
            series[one.header.series_id].append((one, np.multiply(found.centre, one.header.spacing_mm)))
    jumps = [
        np.hypot(*(after - before))
        for slices in series.values()
        for (lower, before), (upper, after) in pairwise(slices)
        if lower.header.position_mm and upper.header.position_mm
        if abs(upper.header.position_mm[2] - lower.header.position_mm[2]) < 8
    ]
    assert len(jumps) > 250
    assert np.median(jumps) < 2.5
    assert max(jumps) < 10
