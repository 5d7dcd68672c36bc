"""Maps over one slice, and the few shapes that a head is built from.

A shape is a map of signed distances in mm, positive inside. An edge is drawn as a ramp over the pixel and over what the
slice's thickness sees of it: the exact partial volume of a plane.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float32

Map = Float32[np.ndarray, "height width"]
Grid = Float32[np.ndarray, "rows columns"]
Point = tuple[float, float, float]
Radii = tuple[Map | float, Map | float, float]
"""Of an ellipsoid; the first two may change over the slice."""

FAR_MM = -12.0
"""Farther outside than any edge is wide."""
TINY = np.float32(1e-4)
"""Keeps the centre of an ellipsoid inside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A slice in the head's own millimetres: x to the patient's left, y backward, z upward, 0 near the sella.

    `height_mm` is z at the head's axis: a pitched head is cut obliquely, so z changes over the slice.
    """

    x: Map
    y: Map
    z: Map
    height_mm: float
    pixel_mm: float
    thickness_mm: float

    @property
    def basal(self) -> float:
        """1 in slices through the skull base and below, 0 above: there bone hardens the beam and adds noise."""
        return float(np.clip((-6 - self.height_mm) / 14 + 0.5, 0, 1))

    def raised(self, up_mm: float) -> "Plane":
        return replace(self, z=self.z + np.float32(up_mm))

    def pushed(self, left_mm: Map) -> "Plane":
        return replace(self, x=self.x - left_mm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Smooth noise that goes on from slice to slice: coarse grids, one every `step_mm`, blended in between."""

    grids: Float32[np.ndarray, "levels rows columns"]
    step_mm: float

    def at(self, height_mm: float) -> Grid:
        place = (height_mm + 120) / self.step_mm
        level, part = int(place) % (len(self.grids) - 1), place % 1
        blended = (1 - part) * self.grids[level] + part * self.grids[level + 1]
        return blended / np.float32(np.hypot(1 - part, part))

    def over(self, plane: Plane) -> Map:
        """The noise of a slice, stretched over it."""
        return stretch(self.at(plane.height_mm), plane.x.shape)


def draw_noise(random: np.random.Generator, rows: int, columns: int, *, step_mm: float) -> Noise:
    levels = int(260 / step_mm) + 2
    return Noise(grids=random.standard_normal((levels, rows, columns), dtype=np.float32), step_mm=step_mm)


def stretch(grid: Grid, shape: tuple[int, int]) -> Map:
    stretched: Map = cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return stretched


def ramp(distance: Map, width: Map | float) -> Map:
    """The fraction of a pixel inside an edge, 0.5 on it."""
    return np.clip(distance / width + np.float32(0.5), 0, 1)


def bump(value: Map, centre: float, spread: float) -> Map:
    """A bell of height 1."""
    scaled = (value - centre) / spread
    return np.exp(-scaled * scaled)


def paint(hu: Map, fraction: Map, value: Map | float) -> None:
    """Replace a fraction of each pixel, in place."""
    hu += fraction * (value - hu)


def distance(plane: Plane, point: Point) -> Map:
    """From a point, in mm."""
    return np.sqrt((plane.x - point[0]) ** 2 + (plane.y - point[1]) ** 2 + (plane.z - point[2]) ** 2)


def ellipsoid(plane: Plane, centre: Point, radii: Radii) -> Map:
    """Distance to an ellipsoid's surface, good near the surface and of the right sign everywhere."""
    if _misses(plane, centre[2] - radii[2], centre[2] + radii[2]):
        return np.full_like(plane.x, FAR_MM)
    u, v, w = (
        (axis - middle) / radius
        for axis, middle, radius in zip((plane.x, plane.y, plane.z), centre, radii, strict=True)
    )
    steepness = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2 + (w / radii[2]) ** 2)
    reach = np.sqrt(u * u + v * v + w * w)
    return (1 - reach) * (reach + TINY) / (steepness + TINY)


def capsule(plane: Plane, start: Point, end: Point, *, radius: tuple[float, float], scale: Map | float = 1.0) -> Map:
    """Distance to a rod whose radius changes from `start` to `end`."""
    if _misses(plane, min(start[2], end[2]) - 2 * max(radius), max(start[2], end[2]) + 2 * max(radius)):
        return np.full_like(plane.x, FAR_MM)
    along = [stop - begin for begin, stop in zip(start, end, strict=True)]
    offset = [axis - begin for axis, begin in zip((plane.x, plane.y, plane.z), start, strict=True)]
    share = np.clip(sum(o * a for o, a in zip(offset, along, strict=True)) / sum(a * a for a in along), 0, 1)
    apart = np.sqrt(sum((o - share * a) ** 2 for o, a in zip(offset, along, strict=True)))
    return (radius[0] + (radius[1] - radius[0]) * share) * scale - apart


def _misses(plane: Plane, low_mm: float, high_mm: float) -> bool:
    """Whether a shape between two heights is far from the slice: most are, and need no work."""
    return bool(plane.z.min() > high_mm - FAR_MM or plane.z.max() < low_mm + FAR_MM)


def mirrored(plane: Plane) -> Plane:
    """The same slice with both halves on the left: one shape draws a pair."""
    return replace(plane, x=np.abs(plane.x))


def gradient(values: Map, pixel_mm: float) -> Map:
    """The steepness within the slice, in 1/mm."""
    across = cv2.Sobel(values, cv2.CV_32F, 1, 0, scale=1 / (8 * pixel_mm))
    down = cv2.Sobel(values, cv2.CV_32F, 0, 1, scale=1 / (8 * pixel_mm))
    steepness: Map = cv2.magnitude(across, down)
    return steepness
