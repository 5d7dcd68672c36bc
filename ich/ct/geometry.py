"""Every patient at one scale: millimetres, the head, a square round it; and the way back to the original slice.

Points are (row, column) in pixels, whole at the centres of pixels: pixel i reaches from i - 0.5 to i + 0.5.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import cv2
import numpy as np
from annotated_types import Ge, Le
from jaxtyping import Float, Float32, Int16
from scipy.sparse import csr_array

AIR_HU = -1024
"""What lies beyond a slice; the reader clips to it."""
BODY_HU = -300
"""Skin is denser; foam pads, hair and clothes are not."""
GRID_MM = 2.0
"""The head is searched on this grid, every 4th pixel of a usual slice; on every 8th it moves by up to 252 pixels (measured)."""
HOLDER_MM = 9.0
"""Opening by a disc of this size erases head holders (3 to 4 mm thick), also where they touch the head; ears and tubes too."""
MIN_HEAD_MM = 12.0
"""The shorter side of the last discs below the vertex."""
MIN_ROUNDNESS = 1 / 3
"""Shorter over longer side: shoulders have 0.4, heads 0.6 and more, the top of a table below 0.1."""

MIN_SIZE, MAX_SIZE = 16, 2048
MIN_FIELD_MM, MAX_FIELD_MM = 32.0, 1024.0

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a head lies on its source slice: the centre of its area, and the corners of the box round it."""

    centre: Point
    top_left: Point
    bottom_right: Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Warp:
    """How a square [S, S] lies on its source slice [H, W]: source point = origin + step * square point.

    `field_mm` is the side of the square, None where the slice has no spacing; `head` is None where none was found or looked
    for; `widened` says that the head was larger than the field asked for, so that this slice alone has a coarser scale.
    """

    source_shape: tuple[int, int]
    size: int
    origin: Point
    step: Point
    field_mm: float | None
    head: Head | None
    widened: bool

    def points_to_source(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Points of the square as points of the source slice."""
        return np.asarray(self.origin) + points * np.asarray(self.step)

    def points_to_square(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Points of the source slice as points of the square."""
        return (points - np.asarray(self.origin)) / np.asarray(self.step)

    def to_square(self, image: Float32[np.ndarray, "height width"], *, outside: float) -> Float32[np.ndarray, "size size"]:
        """Bring an image of the source slice to the square; `outside` is what lies beyond the slice."""
        return _resample(image, shape=(self.size, self.size), origin=self.origin, step=self.step, outside=outside)

    def to_source(
        self, heat: Float32[np.ndarray, "size size"], *, outside: float = 0.0
    ) -> Float32[np.ndarray, "height width"]:
        """Put a map of the square back on the source slice; `outside` is what the square does not cover."""
        step = (1 / self.step[0], 1 / self.step[1])
        origin = (-self.origin[0] * step[0], -self.origin[1] * step[1])
        return _resample(heat, shape=self.source_shape, origin=origin, step=step, outside=outside)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A slice on its square: HU int16 [S, S], and how it came there."""

    hu: Int16[np.ndarray, "size size"]
    warp: Warp


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadGeometry:
    """`field_mm` millimetres over `size` pixels, the head in the middle, air where the slice ends.

    A slice without a head keeps its own middle. A head larger than the field widens it.
    """

    size: Annotated[int, Ge(MIN_SIZE), Le(MAX_SIZE)] = 256
    field_mm: Annotated[float, Ge(MIN_FIELD_MM), Le(MAX_FIELD_MM)] = 256.0
    spacing_required: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_range("size", self.size, MIN_SIZE, MAX_SIZE)
        _check_range("field_mm", self.field_mm, MIN_FIELD_MM, MAX_FIELD_MM)

    def prepare(self, hu: Int16[np.ndarray, "height width"], spacing_mm: Point | None) -> Prepared:
        """HU int16 [H, W] with millimetres between its rows and between its columns to HU int16 [S, S]."""
        if spacing_mm is None:
            raise ValueError("without spacing_mm pixels cannot become millimetres; FullGeometry does without")
        height, width = hu.shape
        return _apply(self.place(find_head(hu, spacing_mm), (height, width), spacing_mm), hu)

    def place(self, head: Head | None, source_shape: tuple[int, int], spacing_mm: Point) -> Warp:
        """Lay the field round a head found here or on other slices of the series.

        The head's centre of area stands in the middle; where a long nose or a cut head would leave the field, its box does.
        """
        middle, field_mm = _middle(source_shape), self.field_mm
        if head is not None:
            field_mm = max(self.field_mm, *_box_mm(head, spacing_mm))
            middle = _fit(head, (field_mm / 2 / spacing_mm[0], field_mm / 2 / spacing_mm[1]))
        step = (field_mm / self.size / spacing_mm[0], field_mm / self.size / spacing_mm[1])
        return Warp(
            source_shape=source_shape,
            size=self.size,
            origin=_origin(middle, step, self.size),
            step=step,
            field_mm=field_mm,
            head=head,
            widened=field_mm > self.field_mm,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FullGeometry:
    """The whole slice on `size` pixels, in its own middle; air fills what is not square, so that nothing is stretched."""

    size: Annotated[int, Ge(MIN_SIZE), Le(MAX_SIZE)] = 256
    spacing_required: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_range("size", self.size, MIN_SIZE, MAX_SIZE)

    def prepare(self, hu: Int16[np.ndarray, "height width"], spacing_mm: Point | None) -> Prepared:
        """HU int16 [H, W] to HU int16 [S, S]; without a spacing, pixels count as square."""
        height, width = hu.shape
        row, column = spacing_mm or (1.0, 1.0)
        field = max(height * row, width * column)
        step = (field / self.size / row, field / self.size / column)
        warp = Warp(
            source_shape=(height, width),
            size=self.size,
            origin=_origin(_middle((height, width)), step, self.size),
            step=step,
            field_mm=field if spacing_mm else None,
            head=None,
            widened=False,
        )
        return _apply(warp, hu)


def find_head(hu: Int16[np.ndarray, "height width"], spacing_mm: Point) -> Head | None:
    """The largest body that is neither thin nor long; None where there is only air, a head holder or a table.

    Its convex hull is what is measured: open sinuses and airways belong to a head, and the air between it and a holder does not.
    """
    every = (max(1, round(GRID_MM / spacing_mm[0])), max(1, round(GRID_MM / spacing_mm[1])))
    phase = (every[0] // 2, every[1] // 2)
    grid_mm = (every[0] * spacing_mm[0], every[1] * spacing_mm[1])
    body = (hu[phase[0] :: every[0], phase[1] :: every[1]] > BODY_HU).astype(np.uint8)
    # What touches the edge is opened against air too: a holder that lies along the edge is as thin as elsewhere.
    opened = cv2.morphologyEx(body, cv2.MORPH_OPEN, _disc(HOLDER_MM, grid_mm), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    sides = np.sort(stats[:, [cv2.CC_STAT_HEIGHT, cv2.CC_STAT_WIDTH]] * np.asarray(grid_mm), axis=1)
    area = np.where((sides[:, 0] >= MIN_HEAD_MM) & (sides[:, 0] >= MIN_ROUNDNESS * sides[:, 1]), stats[:, cv2.CC_STAT_AREA], 0)
    area[0] = 0  # the background
    if not area.any():
        return None
    return _measure((labels == area.argmax()).astype(np.uint8), every, phase)


def _disc(diameter_mm: float, grid_mm: Point) -> np.ndarray:
    """A disc of an odd number of grid points."""
    rows, columns = (round(diameter_mm / one) | 1 for one in grid_mm)
    kernel: np.ndarray = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (columns, rows))
    return kernel


def _measure(body: np.ndarray, every: tuple[int, int], phase: tuple[int, int]) -> Head:
    """Centre of area and box of the body's convex hull, from points of the grid to points of the slice."""
    contours, _ = cv2.findContours(body, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.fillConvexPoly(np.zeros_like(body), cv2.convexHull(np.concatenate(contours)), 1)
    moments = cv2.moments(hull, binaryImage=True)
    left, top, width, height = cv2.boundingRect(hull)

    def to_slice(row: float, column: float) -> Point:
        return row * every[0] + phase[0], column * every[1] + phase[1]

    return Head(
        centre=to_slice(moments["m01"] / moments["m00"], moments["m10"] / moments["m00"]),
        top_left=to_slice(top - 0.5, left - 0.5),
        bottom_right=to_slice(top + height - 0.5, left + width - 0.5),
    )


def _box_mm(head: Head, spacing_mm: Point) -> Point:
    height, width = (last - first for first, last in zip(head.top_left, head.bottom_right, strict=True))
    return height * spacing_mm[0], width * spacing_mm[1]


def _fit(head: Head, reach: Point) -> Point:
    """The point nearest to the head's centre from which `reach` pixels to each side cover its box."""
    row, column = (
        min(max(centre, last - most), first + most)
        for centre, first, last, most in zip(head.centre, head.top_left, head.bottom_right, reach, strict=True)
    )
    return row, column


def _middle(shape: tuple[int, int]) -> Point:
    return (shape[0] - 1) / 2, (shape[1] - 1) / 2


def _origin(middle: Point, step: Point, size: int) -> Point:
    return middle[0] - step[0] * (size - 1) / 2, middle[1] - step[1] * (size - 1) / 2


def _apply(warp: Warp, hu: Int16[np.ndarray, "height width"]) -> Prepared:
    square = warp.to_square(hu.astype(np.float32), outside=AIR_HU)
    return Prepared(hu=np.rint(square).astype(np.int16), warp=warp)


def _resample(
    image: Float32[np.ndarray, "height width"], *, shape: tuple[int, int], origin: Point, step: Point, outside: float
) -> Float32[np.ndarray, "rows columns"]:
    """The one resampling: the mean over each output pixel where pixels grow, linear interpolation where they shrink.

    Both axes are independent, so it is rows @ image @ columns.T with about step + 1 weights in a row: sparse products take less
    than cv2.resize does, for any origin and step, in one thread. Transposing makes each run along memory.
    """
    rows = _weights(image.shape[0], shape[0], origin[0], step[0])
    columns = _weights(image.shape[1], shape[1], origin[1], step[1])
    inside = columns @ cv2.transpose(rows @ (image - np.float32(outside)))
    return np.asarray(cv2.transpose(inside)) + np.float32(outside)


def _weights(count: int, size: int, origin: float, step: float) -> csr_array:
    """The weight of each of `count` source pixels in each of `size` output pixels; [size, count], a row sums to what it covers.

    The mean over a window as wide as an output pixel is the exact area mean; over a window as wide as a source pixel it is linear
    interpolation. So the wider one is right for both.
    """
    centre = origin + np.arange(size) * step
    width = max(step, 1.0)
    pixel = np.floor(centre - width / 2 + 0.5)[:, None] + np.arange(np.ceil(width) + 1)
    weight = _overlap(centre[:, None], width, pixel, 1.0) * ((pixel >= 0) & (pixel < count))
    covered = _overlap(centre, step, (count - 1) / 2, count) / step
    weight *= (covered / np.maximum(weight.sum(axis=1), np.finfo(float).tiny))[:, None]
    place = pixel.clip(0, count - 1).astype(np.int32)
    starts = np.arange(size + 1, dtype=np.int32) * place.shape[1]
    return csr_array((weight.astype(np.float32).ravel(), place.ravel(), starts), shape=(size, count))


def _overlap(centre: np.ndarray, width: float, other: np.ndarray | float, other_width: float) -> np.ndarray:
    """The length that two intervals share."""
    first = np.maximum(centre - width / 2, other - other_width / 2)
    last = np.minimum(centre + width / 2, other + other_width / 2)
    return (last - first).clip(0)


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}; it must lie in {least} .. {most}")
