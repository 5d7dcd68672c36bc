"""Where the head lies on a slice: not its holder, not the table, not the shoulders.

Points are (row, column) in pixels, whole at the centres of pixels: pixel i reaches from i - 0.5 to i + 0.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Int16

BODY_HU = -300
"""Skin is denser; foam pads, hair and clothes are not."""
GRID_MM = 2.0
"""The head is searched on every 4th pixel of a usual slice; on every 8th it moves by up to 252 pixels (measured)."""
HOLDER_MM = 9.0
"""Opening by a disc of this size erases head holders (3 to 4 mm thick), also where they touch the head."""
MIN_HEAD_MM = 12.0
"""The shorter side of the last discs below the vertex."""
MIN_ROUNDNESS = 1 / 3
"""Shorter over longer side: shoulders have 0.4, heads 0.6 and more, the top of a table below 0.1."""
MIN_PART = 0.1
"""A solid part of less than this share of the largest is what a holder leaves where it touches."""
KEPT = 0.9
"""The share of a series' boxes that its own box reaches as far as."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a head lies on its source slice: the centre of its area, and two corners of the box round it."""

    centre: Point
    top_left: Point
    bottom_right: Point


def find_head(hu: Int16[np.ndarray, "height width"], spacing_mm: Point) -> Head | None:
    """The largest body that is neither thin nor long; None where there is only air, a head holder or a table.

    Bodies are told apart with their holes filled: open sinuses and dark streaks of metal divide no head. What is
    measured is the convex hull of a body's solid parts: a holder that closes a ring with the head adds nothing.
    """
    if min(hu.shape[0] * spacing_mm[0], hu.shape[1] * spacing_mm[1]) < MIN_HEAD_MM:
        return None  # and no grid
    every = (max(1, round(GRID_MM / spacing_mm[0])), max(1, round(GRID_MM / spacing_mm[1])))
    grid_mm = (every[0] * spacing_mm[0], every[1] * spacing_mm[1])
    dense = (hu[every[0] // 2 :: every[0], every[1] // 2 :: every[1]] > BODY_HU).view(np.uint8)
    solid = _open(dense, grid_mm)
    bodies = _outlines(_open(_fill_holes(dense), grid_mm))
    inside = [solid & _fill(dense, [body]) for body in bodies if _is_compact(body, grid_mm)]
    return _measure(_outlines(max(inside, key=cv2.countNonZero)), every) if inside else None


def head_of_series(heads: Sequence[Head]) -> Head | None:
    """One place for all slices of a series: the median centre, and a box that nine in ten of its edges keep to.

    A chin, a shoulder or a hand on a few slices neither moves the head nor makes the whole series coarser.
    """
    if not heads:
        return None
    row, column = np.median([head.centre for head in heads], axis=0).tolist()
    top, left = np.quantile([head.top_left for head in heads], 1 - KEPT, axis=0).tolist()
    bottom, right = np.quantile([head.bottom_right for head in heads], KEPT, axis=0).tolist()
    return Head(centre=(row, column), top_left=(top, left), bottom_right=(bottom, right))


def _outlines(mask: np.ndarray) -> Sequence[np.ndarray]:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return tuple(contours)


def _fill(like: np.ndarray, outlines: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(cv2.drawContours(np.zeros(like.shape, np.uint8), outlines, -1, 1, thickness=cv2.FILLED))


def _fill_holes(mask: np.ndarray) -> np.ndarray:
    """All that air from outside of the slice does not reach."""
    reached = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(reached, None, (0, 0), 2)
    return np.asarray((reached[1:-1, 1:-1] != 2).view(np.uint8))


def _open(mask: np.ndarray, grid_mm: Point) -> np.ndarray:
    """Erase what a disc of HOLDER_MM does not fit in. Beyond the slice is air: thin things along its edge go, too."""
    disc = _disc(round(HOLDER_MM / grid_mm[0]) | 1, round(HOLDER_MM / grid_mm[1]) | 1)
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc, borderType=cv2.BORDER_CONSTANT, borderValue=0))


@lru_cache(maxsize=64)
def _disc(rows: int, columns: int) -> np.ndarray:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (columns, rows)))


def _is_compact(outline: np.ndarray, grid_mm: Point) -> bool:
    _, _, width, height = cv2.boundingRect(outline)
    short, long = sorted((height * grid_mm[0], width * grid_mm[1]))
    return bool(short >= max(MIN_HEAD_MM, MIN_ROUNDNESS * long))


def _measure(parts: Sequence[np.ndarray], every: tuple[int, int]) -> Head | None:
    """The convex hull of all but the small parts, from points of the grid to points of the slice."""
    areas = [cv2.contourArea(part) for part in parts]
    least = MIN_PART * max(areas, default=0.0)
    kept = [part for part, area in zip(parts, areas, strict=True) if area >= least]
    hull = cv2.convexHull(np.concatenate(kept)) if kept else np.zeros((1, 1, 2), np.int32)
    moments = cv2.moments(hull)
    if moments["m00"] == 0:
        return None
    left, top, width, height = cv2.boundingRect(hull)

    def to_slice(row: float, column: float) -> Point:
        return row * every[0] + every[0] // 2, column * every[1] + every[1] // 2

    return Head(
        centre=to_slice(moments["m01"] / moments["m00"], moments["m10"] / moments["m00"]),
        top_left=to_slice(top - 0.5, left - 0.5),
        bottom_right=to_slice(top + height - 0.5, left + width - 0.5),
    )
