"""Every patient at one scale: millimetres, the head, a square round it; and the way back to the original slice.

Points are (row, column) in pixels, whole at the centres of pixels: pixel i reaches from i - 0.5 to i + 0.5.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import cv2
import numpy as np
from annotated_types import Ge, Le
from jaxtyping import Float, Float32, Int16
from scipy.sparse import csr_array

from ich.ct.head import Head, Point, find_head, head_of_series

AIR_HU = -1024
"""What lies beyond a slice; the reader clips to it."""
NO_SPACING = "without spacing_mm pixels cannot become millimetres; FullGeometry does without"
MIN_SIZE, MAX_SIZE = 16, 2048
MIN_FIELD_MM, MAX_FIELD_MM = 32.0, 1024.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Warp:
    """How a square [S, S] lies on its source slice [H, W]: along each axis, source = origin + step * square.

    `field_mm` is the side of the square, None where the slice has no spacing; `head_found` says that it lies round a
    head, `widened` that this head was larger than the field asked for, so that this slice alone has a coarser scale.
    """

    height: int
    width: int
    size: int
    origin_row: float
    origin_column: float
    step_row: float
    step_column: float
    field_mm: float | None
    head_found: bool
    widened: bool

    def points_to_source(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Points of the square as points of the source slice."""
        return points * (self.step_row, self.step_column) + (self.origin_row, self.origin_column)

    def points_to_square(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Points of the source slice as points of the square."""
        return (points - (self.origin_row, self.origin_column)) / (self.step_row, self.step_column)

    def to_square(
        self, image: Int16[np.ndarray, "height width"] | Float[np.ndarray, "height width"], *, outside: float
    ) -> Float32[np.ndarray, "size size"]:
        """Bring an image of the source slice to the square; `outside` is what lies beyond the slice."""
        rows = _weights(self.height, self.size, self.origin_row, self.step_row)
        columns = _weights(self.width, self.size, self.origin_column, self.step_column)
        return _resample(image, rows, columns, outside)

    def to_source(
        self, heat: Float[np.ndarray, "size size"], *, outside: float = 0.0
    ) -> Float32[np.ndarray, "height width"]:
        """Put a map of the square back on the source slice; `outside` is what the square does not cover."""
        rows = _weights(self.size, self.height, -self.origin_row / self.step_row, 1 / self.step_row)
        columns = _weights(self.size, self.width, -self.origin_column / self.step_column, 1 / self.step_column)
        return _resample(heat, rows, columns, outside)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A slice on its square: HU int16 [S, S], and how it came there."""

    hu: Int16[np.ndarray, "size size"]
    warp: Warp


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry(ABC):
    """How slices are laid on squares of `size` pixels."""

    size: int
    spacing_required: ClassVar[bool]
    by_series: ClassVar[bool] = False
    """Whether all slices of a series have to be there to lay one of them."""

    @abstractmethod
    def prepare(self, hu: Int16[np.ndarray, "height width"], spacing_mm: Point | None) -> Prepared:
        """HU [H, W] with millimetres between its rows and between its columns to HU [S, S]."""

    @abstractmethod
    def for_series(self) -> "Geometry":
        """The same, with the slices of a series aligned."""

    def prepare_series(
        self,
        slices: Sequence[Int16[np.ndarray, "_ _"]],
        spacings_mm: Sequence[Point | None],
        positions_mm: Sequence[float],
    ) -> list[Prepared]:
        """Some slices of one series, in any order, with their positions along its normal (nan: not known)."""
        return [self.prepare(hu, spacing) for hu, spacing in zip(slices, spacings_mm, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadGeometry(Geometry):
    """`field_mm` millimetres over `size` pixels, the head in the middle, air where the slice ends.

    A slice without a head keeps its own middle. A head larger than the field widens it.
    """

    size: Annotated[int, Ge(MIN_SIZE), Le(MAX_SIZE)] = 256
    field_mm: Annotated[float, Ge(MIN_FIELD_MM), Le(MAX_FIELD_MM)] = 256.0
    spacing_required: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_range("size", self.size, MIN_SIZE, MAX_SIZE)
        _check_range("field_mm", self.field_mm, MIN_FIELD_MM, MAX_FIELD_MM)

    def for_series(self) -> "SeriesGeometry":
        """The same field, round one head for all slices of a series."""
        return SeriesGeometry(size=self.size, field_mm=self.field_mm)

    def prepare(self, hu: Int16[np.ndarray, "height width"], spacing_mm: Point | None) -> Prepared:
        if spacing_mm is None:
            raise ValueError(NO_SPACING)
        height, width = hu.shape
        return _apply(self.place(find_head(hu, spacing_mm), (height, width), spacing_mm), hu)

    def place(self, head: Head | None, shape: tuple[int, int], spacing_mm: Point) -> Warp:
        """Lay the field round a head, found on this slice or on others of its series.

        The head's centre of area stands in the middle, unless its box would then leave the field.
        """
        if head is None:
            return _lay(_middle(shape), shape, spacing_mm, size=self.size, field_mm=self.field_mm)
        first, last, spacing = np.array(head.top_left), np.array(head.bottom_right), np.array(spacing_mm)
        field_mm = max(self.field_mm, float(((last - first) * spacing).max()))
        reach = field_mm / 2 / spacing
        row, column = np.clip(head.centre, last - reach, first + reach).tolist()
        warp = _lay((row, column), shape, spacing_mm, size=self.size, field_mm=field_mm)
        return replace(warp, head_found=True, widened=field_mm > self.field_mm)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesGeometry(HeadGeometry):
    """One head for all slices of a series, so that neighbouring slices stay aligned; else as HeadGeometry."""

    by_series: ClassVar[bool] = True

    def for_series(self) -> "SeriesGeometry":
        return self

    def prepare_series(
        self,
        slices: Sequence[Int16[np.ndarray, "_ _"]],
        spacings_mm: Sequence[Point | None],
        positions_mm: Sequence[float],
    ) -> list[Prepared]:
        """At each position one slice says where the head is; where positions are not known, each.

        A pixel of the square is the same place of every slice of one shape and spacing; others are laid by themselves.
        """
        layouts = [(one.shape, spacing) for one, spacing in zip(slices, spacings_mm, strict=True)]
        warps: dict[object, Warp] = {}
        for shape, spacing in dict.fromkeys(layouts):
            if spacing is None:
                raise ValueError(NO_SPACING)
            rows = np.array([row for row, layout in enumerate(layouts) if layout == (shape, spacing)])
            _, firsts = np.unique(np.asarray(positions_mm)[rows], return_index=True, equal_nan=False)
            heads = [find_head(slices[row], spacing) for row in rows[firsts]]
            found = head_of_series([head for head in heads if head])
            warps[shape, spacing] = self.place(found, shape, spacing)
        return [_apply(warps[layout], hu) for hu, layout in zip(slices, layouts, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class FullGeometry(Geometry):
    """The whole slice on `size` pixels; air fills what is not square, so that nothing is stretched."""

    size: Annotated[int, Ge(MIN_SIZE), Le(MAX_SIZE)] = 256
    spacing_required: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_range("size", self.size, MIN_SIZE, MAX_SIZE)

    def for_series(self) -> "FullGeometry":
        """Whole slices are aligned as they are."""
        return self

    def prepare(self, hu: Int16[np.ndarray, "height width"], spacing_mm: Point | None) -> Prepared:
        """HU [H, W] to HU [S, S]; without a spacing, pixels count as square."""
        height, width = hu.shape
        row, column = spacing_mm or (1.0, 1.0)
        field = max(height * row, width * column)
        warp = _lay(_middle((height, width)), (height, width), (row, column), size=self.size, field_mm=field)
        return _apply(warp if spacing_mm else replace(warp, field_mm=None), hu)


def _middle(shape: tuple[int, int]) -> Point:
    return (shape[0] - 1) / 2, (shape[1] - 1) / 2


def _lay(middle: Point, shape: tuple[int, int], spacing_mm: Point, *, size: int, field_mm: float) -> Warp:
    """A square with its middle at a point of the slice."""
    step_row, step_column = field_mm / size / spacing_mm[0], field_mm / size / spacing_mm[1]
    return Warp(
        height=shape[0],
        width=shape[1],
        size=size,
        origin_row=middle[0] - step_row * (size - 1) / 2,
        origin_column=middle[1] - step_column * (size - 1) / 2,
        step_row=step_row,
        step_column=step_column,
        field_mm=field_mm,
        head_found=False,
        widened=False,
    )


def _apply(warp: Warp, hu: Int16[np.ndarray, "height width"]) -> Prepared:
    return Prepared(hu=np.rint(warp.to_square(hu, outside=AIR_HU)).astype(np.int16), warp=warp)


def _resample(image: np.ndarray, rows: csr_array, columns: csr_array, outside: float) -> Float32[np.ndarray, "_ _"]:
    """The one resampling: rows @ image @ columns.T of what differs from `outside`, in one thread.

    Sparse products are exact for any origin and step, in less time than cv2.resize with INTER_AREA. Temporaries are
    what costs here: subtracting while converting, and transposing by OpenCV, make it four times faster.
    """
    half = cv2.transpose(rows @ np.subtract(image, outside, dtype=np.float32))
    return np.asarray(cv2.transpose(columns @ half) + np.float32(outside))


def _weights(count: int, size: int, origin: float, step: float) -> csr_array:
    """The weight of each of `count` source pixels in each of `size` output pixels.

    The mean over a window as wide as an output pixel is the exact area mean; over one as wide as a source pixel it is
    linear interpolation. So the wider of both is right for both. A row sums to the share of its pixel that is covered.
    """
    centre = origin + np.arange(size) * step
    first, last = _cut(centre, max(step, 1.0), count)
    pixel = np.floor(first + 0.5)[:, None] + np.arange(math.ceil(max(step, 1.0)) + 1)
    inside = _within_0_and_1(last[:, None] + 0.5 - pixel) - _within_0_and_1(first[:, None] + 0.5 - pixel)
    if step >= 1:
        inside /= step
    else:
        pixel_first, pixel_last = _cut(centre, step, count)
        inside *= ((pixel_last - pixel_first) / step / np.maximum(last - first, np.finfo(float).tiny))[:, None]
    places = np.minimum(pixel, count - 1).astype(np.int32)
    starts = np.arange(0, places.size + 1, pixel.shape[1], dtype=np.int32)
    return csr_array((inside.astype(np.float32).ravel(), places.ravel(), starts), shape=(size, count))


def _cut(centre: np.ndarray, width: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ends of windows round these centres, cut where the source ends."""
    first, last = (np.minimum(np.maximum(centre + half, -0.5), count - 0.5) for half in (-width / 2, width / 2))
    return first, last


def _within_0_and_1(values: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(values, 0, out=values), 1, out=values)  # np.clip takes three times as long


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}; it must lie in {least} .. {most}")
