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

from ich.ct.head import Head, Point, find_head, head_of_series
from ich.ct.resampling import Axis, resample

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
        return np.asarray(cv2.transpose(self.to_transposed_square(image, outside=outside)))

    def to_transposed_square(
        self, image: Int16[np.ndarray, "height width"] | Float[np.ndarray, "height width"], *, outside: float
    ) -> Float32[np.ndarray, "size size"]:
        """The same before its last step, for those who make it smaller first."""
        rows = Axis(self.height, self.size, self.origin_row, self.step_row)
        columns = Axis(self.width, self.size, self.origin_column, self.step_column)
        return resample(image, rows, columns, outside)

    def to_source(
        self, heat: Float[np.ndarray, "size size"], *, outside: float = 0.0
    ) -> Float32[np.ndarray, "height width"]:
        """Put a map of the square back on the source slice; `outside` is what the square does not cover."""
        rows = Axis(self.size, self.height, -self.origin_row / self.step_row, 1 / self.step_row)
        columns = Axis(self.size, self.width, -self.origin_column / self.step_column, 1 / self.step_column)
        return np.asarray(cv2.transpose(resample(heat, rows, columns, outside)))


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

        The head's centre of area stands in the middle, unless its box would then leave the field; to half a pixel of
        the slice, because the square begins at the middle of one.
        """
        if head is None:
            return _lay(_middle(shape), shape, spacing_mm, size=self.size, field_mm=self.field_mm)
        (top, left), (bottom, right), (row_mm, column_mm) = head.top_left, head.bottom_right, spacing_mm
        field_mm = max(self.field_mm, (bottom - top) * row_mm, (right - left) * column_mm)
        rows, columns = field_mm / 2 / row_mm, field_mm / 2 / column_mm
        middle = (
            min(max(head.centre[0], bottom - rows), top + rows),
            min(max(head.centre[1], right - columns), left + columns),
        )
        widened = field_mm > self.field_mm
        return _lay(middle, shape, spacing_mm, size=self.size, field_mm=field_mm, head_found=True, widened=widened)


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


def _lay(
    middle: Point,
    shape: tuple[int, int],
    spacing_mm: Point,
    *,
    size: int,
    field_mm: float,
    head_found: bool = False,
    widened: bool = False,
) -> Warp:
    """A square with its middle at a point of the slice; round a head it begins at the middle of the nearest pixel.

    So slices of one spacing have the same weights, wherever their heads lie.
    """
    step_row, step_column = field_mm / size / spacing_mm[0], field_mm / size / spacing_mm[1]
    row, column = middle[0] - step_row * (size - 1) / 2, middle[1] - step_column * (size - 1) / 2
    if head_found:
        row, column = float(math.floor(row + 0.5)), float(math.floor(column + 0.5))
    return Warp(
        height=shape[0],
        width=shape[1],
        size=size,
        origin_row=row,
        origin_column=column,
        step_row=step_row,
        step_column=step_column,
        field_mm=field_mm,
        head_found=head_found,
        widened=widened,
    )


def _apply(warp: Warp, hu: Int16[np.ndarray, "height width"]) -> Prepared:
    square = warp.to_transposed_square(hu, outside=AIR_HU)
    whole = np.rint(square, out=square).astype(np.int16)
    return Prepared(hu=np.asarray(cv2.transpose(whole)), warp=warp)


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}; it must lie in {least} .. {most}")
