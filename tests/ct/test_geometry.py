"""Heads of many sizes and places on squares of one scale, and back."""

import math
import tracemalloc
from collections import defaultdict

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ich.ct.dicom import Slice
from ich.ct.geometry import FullGeometry, HeadGeometry, SeriesGeometry, Warp
from ich.ct.head import find_head
from ich.ct.resampling import ROOM
from tests.ct.heads import AIR, BRAIN, WATER, head, millimetres

spacings = st.floats(0.3, 2.5)
random_images = st.builds(
    lambda seed, height, width: np.random.default_rng(seed).integers(-1024, 3072, (height, width)).astype(np.int16),
    st.integers(0, 2**32 - 1),
    st.integers(1, 30),
    st.integers(1, 30),
)


def warp_of(shape: tuple[int, int], size: int, origin: tuple[float, float], step: tuple[float, float]) -> Warp:
    return Warp(
        height=shape[0],
        width=shape[1],
        size=size,
        origin_row=origin[0],
        origin_column=origin[1],
        step_row=step[0],
        step_column=step[1],
        field_mm=None,
        head_found=False,
        widened=False,
    )


def area_mean(image: np.ndarray, warp: Warp) -> np.ndarray:
    """Slow and independent: cumulative sums, read at the edges of output pixels."""
    mean = image.astype(np.float64) - AIR
    for axis, origin, step in ((0, warp.origin_row, warp.step_row), (1, warp.origin_column, warp.step_column)):
        edges = origin + (np.arange(warp.size + 1) - 0.5) * step
        knots = np.arange(mean.shape[axis] + 1) - 0.5
        sums = np.insert(np.cumsum(mean, axis=axis), 0, 0, axis=axis)
        mean = np.diff(np.apply_along_axis(lambda one: np.interp(edges, knots, one), axis, sums), axis=axis) / step  # noqa: B023
    return mean + AIR


def linear(image: np.ndarray, warp: Warp) -> np.ndarray:
    """Slow and independent: numpy's own interpolation, along one axis and then the other."""
    rows = warp.origin_row + np.arange(warp.size) * warp.step_row
    columns = warp.origin_column + np.arange(warp.size) * warp.step_column
    half = np.stack([np.interp(rows, np.arange(len(one)), one) for one in image.T.astype(np.float64)], axis=1)
    return np.stack([np.interp(columns, np.arange(len(one)), one) for one in half])


# One scale.


@given(spacing=st.tuples(spacings, spacings), field=st.floats(32, 1024), size=st.sampled_from([16, 96, 224, 256]))
@settings(deadline=None, max_examples=40)
def test_a_pixel_is_the_field_over_the_size_for_everybody(
    spacing: tuple[float, float], field: float, size: int
) -> None:
    warp = HeadGeometry(size=size, field_mm=field).prepare(np.full((64, 80), AIR, np.int16), spacing).warp
    assert warp.step_row * spacing[0] == pytest.approx(field / size, rel=1e-14)
    assert warp.step_column * spacing[1] == pytest.approx(field / size, rel=1e-14)
    assert warp.field_mm == field


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((512, 512), (0.5, 0.5)), ((128, 128), (2.0, 2.0)), ((256, 512), (1.0, 0.5)), ((768, 640), (0.4, 0.48))],
)
def test_the_same_head_looks_the_same_from_every_matrix(shape: tuple[int, int], spacing: tuple[float, float]) -> None:
    expected = HeadGeometry(size=128).prepare(head(), (0.5, 0.5)).hu
    found = HeadGeometry(size=128).prepare(head(shape, spacing, middle=(5.0, -8.0)), spacing).hu
    # Only the rim differs, where a pixel holds both brain and air: 520 mm of it, of 256 * 256 mm.
    assert (np.abs(found - expected) > 60).mean() < 520 * 4 / 256**2


@given(move=st.tuples(st.integers(-15, 15), st.integers(-20, 20)))
@settings(deadline=None, max_examples=20)
def test_a_head_moved_by_whole_steps_of_the_grid_gives_the_same_square(move: tuple[int, int]) -> None:
    # The head is searched on every 4th pixel of 0.5 mm.
    moved = head(middle=(move[0] * 2.0, move[1] * 2.0))
    assert np.array_equal(HeadGeometry().prepare(moved, (0.5, 0.5)).hu, HeadGeometry().prepare(head(), (0.5, 0.5)).hu)


@given(move=st.tuples(st.floats(-30, 30), st.floats(-40, 40)))
@settings(deadline=None, max_examples=20)
def test_a_moved_head_stays_in_the_middle(move: tuple[float, float]) -> None:
    warp = HeadGeometry(size=64).prepare(head(middle=move), (0.5, 0.5)).warp
    (centre,) = warp.points_to_source(np.array([[31.5, 31.5]]))
    assert (centre - 255.5) * 0.5 == pytest.approx(move, abs=1.0 + 0.25)  # half a step of the grid, and half a pixel
    assert warp.origin_row.is_integer()
    assert warp.origin_column.is_integer()


# The head.


def test_air_has_no_head_and_keeps_its_own_middle() -> None:
    prepared = HeadGeometry(size=64).prepare(np.full((100, 60), AIR, np.int16), (1.0, 2.0))
    assert find_head(np.full((100, 60), AIR, np.int16), (1.0, 2.0)) is None
    assert not prepared.warp.head_found
    assert (prepared.hu == AIR).all()
    assert prepared.warp.points_to_source(np.array([[31.5, 31.5]])) == pytest.approx(np.array([[49.5, 29.5]]))


@pytest.mark.parametrize("radius", [9.0, 15.0])
def test_the_last_discs_at_the_vertex_are_heads(radius: float) -> None:
    warp = HeadGeometry(size=64).prepare(head(radii=(radius, radius), middle=(40.0, 20.0)), (0.5, 0.5)).warp
    assert warp.head_found
    assert warp.points_to_source(np.array([[31.5, 31.5]])) == pytest.approx(np.array([[335.5, 295.5]]), abs=2)


def test_a_head_larger_than_the_field_widens_it_and_says_so() -> None:
    prepared = HeadGeometry(size=64, field_mm=128.0).prepare(head(), (0.5, 0.5))
    assert prepared.warp.widened
    assert prepared.warp.field_mm == pytest.approx(180, abs=2)  # twice the longer radius
    assert prepared.warp.step_row * 0.5 * 64 == prepared.warp.field_mm
    assert (prepared.hu > -900).any(axis=1).all()  # from the first row to the last
    assert not HeadGeometry(size=64).prepare(head(), (0.5, 0.5)).warp.widened


def test_a_head_that_fits_is_not_cut_for_the_sake_of_its_centre() -> None:
    wedge = np.full((512, 512), AIR, np.int16)
    # 30 mm wide above, 150 mm below, 235 mm high: its centre lies 144 mm under its top, and half the field is 120.
    cv2.fillConvexPoly(wedge, np.array([[226, 20], [286, 20], [406, 490], [106, 490]]), BRAIN)
    prepared = HeadGeometry(size=120, field_mm=240.0).prepare(wedge, (0.5, 0.5))
    assert not prepared.warp.widened
    assert (prepared.hu > -900).any(axis=1).sum() == pytest.approx(235 / 2, abs=2)


def test_a_head_found_elsewhere_in_the_series_can_be_placed() -> None:
    geometry = HeadGeometry(size=64)
    found = find_head(head(middle=(10.0, -6.0)), (0.5, 0.5))
    warp = geometry.place(found, (512, 512), (0.5, 0.5))
    assert warp == geometry.prepare(head(middle=(10.0, -6.0)), (0.5, 0.5)).warp


@pytest.mark.parametrize("spacing", [(0.01, 0.01), (0.01, 20.0), (20.0, 0.01), (0.02, 0.02)])
@pytest.mark.parametrize("shape", [(32, 32), (2048, 32), (32, 2048)])
def test_a_slice_smaller_than_any_head_has_none(shape: tuple[int, int], spacing: tuple[float, float]) -> None:
    prepared = HeadGeometry(size=16).prepare(np.full(shape, BRAIN, np.int16), spacing)
    assert not prepared.warp.head_found
    assert not prepared.warp.widened


@given(
    shape=st.tuples(st.integers(32, 300), st.integers(32, 300)),
    spacing=st.tuples(st.floats(0.01, 20), st.floats(0.01, 20)),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=60)
def test_whatever_the_reader_lets_through_can_be_prepared(
    shape: tuple[int, int], spacing: tuple[float, float], seed: int
) -> None:
    noise = np.random.default_rng(seed).normal(size=shape)
    blobs = np.where(cv2.GaussianBlur(noise, (0, 0), 1 + seed % 20) > 0, BRAIN, AIR).astype(np.int16)
    for geometry in (HeadGeometry(size=32), FullGeometry(size=32)):
        assert geometry.prepare(blobs, spacing).hu.shape == (32, 32)


def test_a_header_of_tiny_pixels_takes_no_memory() -> None:
    """At 0.01 mm a field of 256 mm would reach over 25,600 x 25,600 pixels."""
    hu = np.full((512, 512), BRAIN, np.int16)
    tracemalloc.start()
    prepared = HeadGeometry().prepare(hu, (0.01, 0.01))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 2**20
    # The slice is 5 mm a side.
    assert ((prepared.hu > AIR).sum(axis=0) > 0).sum() in (5, 6)
    assert (prepared.hu.astype(float) - AIR).sum() == pytest.approx((BRAIN - AIR) * 5.12**2, rel=0.01)


# The one resampling.


@given(
    image=random_images,
    origin=st.tuples(st.floats(-40, 40), st.floats(-40, 40)),
    step=st.tuples(st.floats(1, 9), st.floats(1, 9)),
    room=st.sampled_from([-1000, ROOM]),
)
@settings(deadline=None)
def test_where_it_shrinks_each_pixel_is_the_mean_of_its_area(
    image: np.ndarray, origin: tuple[float, float], step: tuple[float, float], room: int
) -> None:
    warp = warp_of(image.shape, 16, origin, step)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ich.ct.resampling.ROOM", room)
        np.testing.assert_allclose(warp.to_square(image, outside=AIR), area_mean(image, warp), rtol=0, atol=3e-3)


@given(
    image=random_images,
    places=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    step=st.tuples(st.floats(0.1, 1), st.floats(0.1, 1)),
    room=st.sampled_from([-1000, ROOM]),
)
@settings(deadline=None)
def test_where_it_grows_it_is_linear_between_pixel_centres(
    image: np.ndarray, places: tuple[float, float], step: tuple[float, float], room: int
) -> None:
    warp = warp_of(image.shape, 16, (places[0] * image.shape[0], places[1] * image.shape[1]), step)
    rows, columns = (
        (origin + (np.arange(16) + 0.5) * one < count - 0.5) & (origin + (np.arange(16) - 0.5) * one > -0.5)
        for origin, one, count in ((warp.origin_row, step[0], warp.height), (warp.origin_column, step[1], warp.width))
    )
    inside = np.ix_(rows, columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ich.ct.resampling.ROOM", room)
        square = warp.to_square(image, outside=AIR)
    np.testing.assert_allclose(square[inside], linear(image, warp)[inside], rtol=0, atol=3e-3)


@given(image=random_images, step=st.tuples(st.floats(1, 4), st.floats(1, 4)))
@settings(deadline=None)
def test_what_lies_in_a_slice_is_neither_lost_nor_gained(image: np.ndarray, step: tuple[float, float]) -> None:
    warp = warp_of(image.shape, 64, (-20.0, -30.0), step)
    density = image - AIR  # no offset, so that float32 rounds in proportion
    mass = warp.to_square(density, outside=0).astype(np.float64).sum() * step[0] * step[1]
    assert mass == pytest.approx(density.astype(np.float64).sum(), rel=1e-5)


def test_beyond_the_slice_is_air() -> None:
    warp = HeadGeometry(size=256).place(None, (200, 200), (0.5, 0.5))
    square = warp.to_square(np.full((200, 200), WATER, np.int16), outside=AIR)
    # 100 mm of water in 256 mm: 78 mm, and so 78 pixels, of air on each side.
    assert (square[78:178, 78:178] == WATER).all()
    assert (square == AIR).sum() == 256**2 - 100**2


def test_halves_are_rounded_to_even() -> None:
    hu = np.zeros((32, 32), np.int16)
    hu[0, :2], hu[0, 2:4] = (1, 1), (3, 3)
    assert FullGeometry(size=16).prepare(hu, None).hu[0, :2].tolist() == [0, 2]  # 2 / 4 and 6 / 4


# The whole slice.


def test_the_whole_slice_at_its_own_size_is_itself() -> None:
    hu = np.random.default_rng(0).integers(-1024, 3072, (64, 64)).astype(np.int16)
    prepared = FullGeometry(size=64).prepare(hu, (0.4, 0.4))
    assert np.array_equal(prepared.hu, hu)
    assert prepared.warp.field_mm == pytest.approx(64 * 0.4)


def test_the_whole_slice_at_half_its_size_is_the_mean_of_every_four_pixels() -> None:
    hu = np.random.default_rng(0).integers(-1024, 3072, (64, 64)).astype(np.int16)
    expected = hu.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    assert np.array_equal(FullGeometry(size=32).prepare(hu, None).hu, np.rint(expected))


@pytest.mark.parametrize(
    ("shape", "spacing", "rows"),
    [((32, 64), None, 16), ((64, 64), (0.5, 1.0), 16), ((32, 64), (2.0, 1.0), 32), ((64, 64), None, 32)],
)
def test_the_whole_slice_is_padded_and_never_stretched(
    shape: tuple[int, int], spacing: tuple[float, float] | None, rows: int
) -> None:
    prepared = FullGeometry(size=32).prepare(np.full(shape, WATER, np.int16), spacing)
    above = (32 - rows) // 2
    assert (prepared.hu[above : above + rows] == WATER).all()
    assert (prepared.hu == AIR).sum() == (32 - rows) * 32
    assert (prepared.warp.field_mm is None) == (spacing is None)


# And back.


@given(
    origin=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
    step=st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)),
    point=st.tuples(st.floats(-600, 600), st.floats(-600, 600)),
)
def test_points_go_both_ways(
    origin: tuple[float, float], step: tuple[float, float], point: tuple[float, float]
) -> None:
    warp = warp_of((100, 100), 32, origin, step)
    points = np.array([point])
    assert warp.points_to_source(warp.points_to_square(points)) == pytest.approx(points, abs=1e-9)
    assert warp.points_to_square(warp.points_to_source(points)) == pytest.approx(points, abs=1e-9)


@pytest.mark.parametrize("geometry", [HeadGeometry(size=64), HeadGeometry(size=512), FullGeometry(size=64)])
@pytest.mark.parametrize(
    ("shape", "spacing"), [((512, 400), (0.5, 0.5)), ((128, 128), (2.0, 2.0)), ((256, 512), (1.0, 0.5))]
)
def test_a_hot_spot_returns_to_its_place(
    geometry: HeadGeometry | FullGeometry, shape: tuple[int, int], spacing: tuple[float, float]
) -> None:
    rows, columns = millimetres(shape, spacing)
    spot = np.exp(-((rows - 31) ** 2 + (columns + 22) ** 2) / (2 * 20**2)).astype(np.float32)
    warp = geometry.prepare(head(shape, spacing, middle=(6.0, -9.0)), spacing).warp
    back = warp.to_source(warp.to_square(spot, outside=0.0))
    assert back.shape == shape
    assert (rows * back).sum() / back.sum() == pytest.approx(31, abs=0.05)
    assert (columns * back).sum() / back.sum() == pytest.approx(-22, abs=0.05)
    assert np.abs(back - spot).max() < 0.02


def test_a_map_covers_what_its_square_covered() -> None:
    warp = HeadGeometry(size=64, field_mm=128.0).place(None, (512, 512), (0.5, 0.5))
    back = warp.to_source(np.ones((64, 64), np.float32), outside=-1.0)
    # 128 of 256 mm, in the middle.
    assert back[128:384, 128:384] == pytest.approx(1)
    back[128:384, 128:384] = -1
    assert (back == -1).all()


def test_a_map_of_the_whole_slice_has_no_faded_edge() -> None:
    for size in (32, 96, 128):
        warp = FullGeometry(size=size).prepare(np.full((96, 96), WATER, np.int16), None).warp
        assert warp.to_source(np.ones((size, size), np.float32)) == pytest.approx(1)


# Refusals.


def test_millimetres_need_a_spacing() -> None:
    assert HeadGeometry.spacing_required
    assert not FullGeometry.spacing_required
    with pytest.raises(
        ValueError, match="without spacing_mm pixels cannot become millimetres; FullGeometry does without"
    ):
        HeadGeometry().prepare(head(), None)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("size", 15, "size is 15; it must lie in 16 .. 2048"),
        ("size", 2049, "size is 2049; it must lie in 16 .. 2048"),
        ("field_mm", 0.256, "field_mm is 0.256; it must lie in 32.0 .. 1024.0"),
        ("field_mm", float("nan"), "field_mm is nan; it must lie in 32.0 .. 1024.0"),
    ],
)
def test_a_square_out_of_range_is_refused(key: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HeadGeometry(**{key: value})  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        TypeAdapter(HeadGeometry.__annotations__[key]).validate_python(value)


# A series.


def series_of(*middles: tuple[float, float]) -> list[np.ndarray]:
    return [head(middle=middle) for middle in middles]


def test_all_slices_of_a_series_lie_on_one_square_round_the_median_head() -> None:
    slices = series_of((0.0, 0.0), (2.0, 4.0), (10.0, 20.0))
    prepared = SeriesGeometry(size=64).prepare_series(slices, [(0.5, 0.5)] * 3, [0.0, 5.0, 10.0])
    assert {one.warp for one in prepared} == {HeadGeometry(size=64).prepare(slices[1], (0.5, 0.5)).warp}
    for one, hu in zip(prepared, slices, strict=True):
        assert np.array_equal(one.hu, np.rint(one.warp.to_square(hu, outside=AIR)).astype(np.int16))


def test_a_position_counts_once_however_many_slices_it_has() -> None:
    slices = series_of((0.0, 0.0), (2.0, 4.0), (10.0, 20.0), (10.0, 20.0), (10.0, 20.0))
    geometry, spacings = SeriesGeometry(size=64), [(0.5, 0.5)] * 5
    tied = geometry.prepare_series(slices, spacings, [0.0, 5.0, 10.0, 10.0, 10.0])[0].warp
    assert tied == geometry.prepare_series(slices[:3], spacings[:3], [0.0, 5.0, 10.0])[0].warp
    # Where nothing is known of positions, each slice counts: the median is the third of five.
    unknown = geometry.prepare_series(slices, spacings, [math.nan] * 5)[0].warp
    assert unknown == HeadGeometry(size=64).prepare(slices[2], (0.5, 0.5)).warp


def test_a_slice_of_air_and_one_of_another_spacing_find_their_place_in_a_series() -> None:
    slices = [*series_of((0.0, 0.0), (2.0, 4.0)), np.full((512, 512), AIR, np.int16), head((256, 256), (1.0, 1.0))]
    prepared = SeriesGeometry(size=64).prepare_series(slices, [(0.5, 0.5)] * 3 + [(1.0, 1.0)], [0.0, 5.0, 10.0, 15.0])
    assert prepared[2].warp == prepared[0].warp == prepared[1].warp
    assert prepared[3].warp == HeadGeometry(size=64).prepare(slices[3], (1.0, 1.0)).warp


# Real slices.


def test_real_skulls_stand_in_the_middle(real: list[Slice]) -> None:
    """Bone, another measure than skin, has its centre near the square's; faces have theirs in front."""
    geometry, worst = HeadGeometry(size=64), 0.0
    for one in real:
        hu = geometry.prepare(one.hu, one.header.spacing_mm).hu
        bone = (hu > 300) & (np.hypot(*np.indices(hu.shape) - 31.5) < 26)  # no holder: 104 mm
        if bone.sum() * 4**2 > 4000:
            worst = max(worst, float(np.hypot(*(np.argwhere(bone).mean(axis=0) - 31.5)) * 4))
    assert 0 < worst < 35


def overlaps(edges: np.ndarray, count: int) -> np.ndarray:
    """The share of each output pixel, between its edges, that lies on each of `count` source pixels."""
    pixel = np.arange(count)
    lower, upper = np.maximum(edges[:-1, None], pixel - 0.5), np.minimum(edges[1:, None], pixel + 0.5)
    return np.maximum(upper - lower, 0) / np.diff(edges)[:, None]


def test_prepared_real_slices_are_exact_area_means_to_half_a_unit(real: list[Slice]) -> None:
    """256 mm over 256 pixels: each covers 1 mm by 1 mm, whatever the spacing. Only rounding to whole HU is lost."""
    worst, worst_unrounded, inside = 0.0, 0.0, []
    for one in real[::4]:
        assert one.header.spacing_mm is not None
        prepared = HeadGeometry().prepare(one.hu, one.header.spacing_mm)
        assert not prepared.warp.widened
        (centre,) = prepared.warp.points_to_source(np.array([[127.5, 127.5]]))
        edges = [middle + (np.arange(257) - 128) / mm for middle, mm in zip(centre, one.header.spacing_mm, strict=True)]
        rows, columns = (overlaps(one_edges, 512) for one_edges in edges)
        exact = rows @ (one.hu.astype(np.float64) - AIR) @ columns.T + AIR
        worst = max(worst, np.abs(prepared.hu - exact).max())
        worst_unrounded = max(worst_unrounded, np.abs(prepared.warp.to_square(one.hu, outside=AIR) - exact).max())
        inside.append((prepared.hu > -300).mean())
    assert np.median(inside) > 0.2  # heads, and no squares of air
    assert worst < 0.501
    assert worst_unrounded < 1e-3


def test_real_series_stay_on_squares_that_hold_their_skulls(real: list[Slice]) -> None:
    series = defaultdict(list)
    for one in real:
        series[one.header.series_id].append(one)
    whole = [slices for slices in series.values() if len(slices) > 20]
    assert len(whole) >= 8
    for slices in whole:
        prepared = SeriesGeometry(size=128).prepare_series(
            [one.hu for one in slices],
            [one.header.spacing_mm for one in slices],
            [one.header.position_mm[2] for one in slices if one.header.position_mm],
        )
        assert len({one.warp for one in prepared}) == 1
        bone = np.stack([one.hu for one in prepared]) > 300
        rim = bone.copy()
        rim[:, 4:-4, 4:-4] = False
        assert rim.sum() < 0.01 * bone.sum()
