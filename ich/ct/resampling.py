"""The one resampling: exact means of areas where an image shrinks, linear between pixel centres where it grows.

A coordinate is whole at the centre of a pixel: pixel i reaches from i - 0.5 to i + 0.5.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float32
from scipy.sparse import csr_array

ROOM = 256
"""A window of the resampling holds at most twice a slice's pixels and these along each axis, and two output pixels."""


class Axis(NamedTuple):
    """`size` output pixels over `there` source pixels: the first has its centre at `origin`, the next a `step` on."""

    there: int
    size: int
    origin: float
    step: float

    @property
    def grows(self) -> bool:
        return self.step < 1

    @property
    def needed(self) -> tuple[int, int]:
        """The first source pixel that `weights` need, negative before the source; and how many they need."""
        return math.floor(self.origin) - _margin(self.step), self.weights.shape[1]

    @property
    def weights(self) -> csr_array:
        return _weights(self.size, self.origin - math.floor(self.origin), self.step)

    @property
    def beyond(self) -> Bool[np.ndarray, " size"]:
        """Which output pixels have their centre outside of the source."""
        centre = self.origin + np.arange(self.size) * self.step
        return (centre < -0.5) | (centre > self.there - 0.5)

    @property
    def touching(self) -> slice:
        """The output pixels that the source reaches into."""
        reach = max(self.step, 1.0) / 2 + 0.5
        first = math.ceil((-reach - self.origin) / self.step)
        last = math.floor((self.there - 1 + reach - self.origin) / self.step)
        first = min(max(first, 0), self.size)
        return slice(first, max(first, min(last + 1, self.size)))


def resample(image: np.ndarray, rows: Axis, columns: Axis, outside: float) -> Float32[np.ndarray, "columns rows"]:
    """The one resampling: weights of rows @ image @ weights of columns, transposed; `outside` beyond; in one thread.

    Sparse products are exact for any origin and step, in less time than cv2.resize with INTER_AREA. Temporaries are
    what costs here: one copy of the image, and transposing by OpenCV, make it five times faster.
    """
    return _along(columns, _along(rows, image, outside), outside, transposed=True)


def _along(axis: Axis, source: np.ndarray, outside: float, *, transposed: bool = False) -> Float32[np.ndarray, "_ _"]:
    """Resample the rows of a source, or of what it is transposed."""
    if axis.needed[1] <= 2 * axis.there + ROOM:
        return _along_all(axis, source, outside, transposed=transposed)
    # A header that says 0.01 mm asks for a window of gigabytes, of which the source fills a corner.
    lines = np.full((axis.size, source.shape[0 if transposed else 1]), outside, np.float32)
    touching = axis.touching
    if touching.start < touching.stop:
        origin = axis.origin + touching.start * axis.step
        inner = Axis(axis.there, touching.stop - touching.start, origin, axis.step)
        lines[touching] = _along_all(inner, source, outside, transposed=transposed)
    return lines


def _along_all(axis: Axis, source: np.ndarray, outside: float, *, transposed: bool) -> Float32[np.ndarray, "_ _"]:
    """Beyond a source that shrinks is `outside`; one that grows repeats its edge, which is not mixed with `outside`."""
    first, needed = axis.needed
    top = min(max(-first, 0), needed)
    bottom = max(top, min(needed, axis.there - first))
    window = np.empty((needed, source.shape[0 if transposed else 1]), np.float32)
    if not transposed:
        window[top:bottom] = source[top + first : bottom + first]
    elif top < bottom:
        cv2.transpose(source[:, top + first : bottom + first], dst=window[top:bottom])
    repeated = axis.grows and top < bottom
    window[:top] = window[top] if repeated else outside
    window[bottom:] = window[bottom - 1] if repeated else outside
    lines: Float32[np.ndarray, "_ _"] = axis.weights @ window
    if axis.grows:
        lines[axis.beyond] = outside
    return lines


@lru_cache(maxsize=512)
def _weights(size: int, start: float, step: float) -> csr_array:
    """The weight of each source pixel in each output pixel, the first of which has its centre `start` behind a pixel.

    The mean over a window as wide as an output pixel is the exact area mean; over one as wide as a source pixel it is
    linear interpolation. So the wider of both is right for both. Kept: all slices of a series have the same.
    """
    width = max(step, 1.0)
    first = _margin(step) + start + np.arange(size) * step - width / 2
    pixel = np.floor(first + 0.5)[:, None] + np.arange(math.ceil(width) + 1)
    lower, upper = np.maximum(first[:, None], pixel - 0.5), np.minimum(first[:, None] + width, pixel + 0.5)
    inside = np.maximum(upper - lower, 0) / width
    places = pixel.astype(np.int32)
    starts = np.arange(0, places.size + 1, pixel.shape[1], dtype=np.int32)
    weights = csr_array((inside.astype(np.float32).ravel(), places.ravel(), starts), shape=(size, places.max() + 1))
    weights.eliminate_zeros()
    return weights


def _margin(step: float) -> int:
    """Source pixels before the one where the first output pixel has its centre, which it may reach into."""
    return math.ceil(max(step, 1.0) / 2)
